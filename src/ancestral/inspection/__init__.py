"""Inspection of a data set before training: files, values, duplicates, findings, and the cost of training."""
