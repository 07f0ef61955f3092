"""Evaluation, comparison, and inspection of data."""
