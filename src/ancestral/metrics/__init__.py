"""Measures of samples: distances between sets of features, with their uncertainty."""
