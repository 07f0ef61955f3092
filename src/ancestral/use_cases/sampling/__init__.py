"""Sampling and editing."""
