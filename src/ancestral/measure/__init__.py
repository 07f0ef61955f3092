"""Measuring: the quality of samples and the likelihood of data (study.py), and data before training (findings.py)."""
