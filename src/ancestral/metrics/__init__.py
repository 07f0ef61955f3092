"""How good samples are: distances between sets of features, with their uncertainty."""
