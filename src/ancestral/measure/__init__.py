"""Measure samples and the likelihood of data (evaluation.py), and data before training (findings.py)."""
