"""How well a model does: its likelihood (likelihood.py), and how good its samples are (study.py, quality.py)."""

from ancestral.evaluation.bound_terms import (
    Cell,
    Mean,
    Point,
    Subjects,
    Terms,
    Walk,
    bits_of_density,
    cells,
    choose,
    curve,
    gather,
    labels_for,
    mean,
    strata,
    walks,
    without_class,
)

__all__ = [
    "Cell",
    "Mean",
    "Point",
    "Subjects",
    "Terms",
    "Walk",
    "bits_of_density",
    "cells",
    "choose",
    "curve",
    "gather",
    "labels_for",
    "mean",
    "strata",
    "walks",
    "without_class",
]
