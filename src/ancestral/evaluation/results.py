"""What was measured of samples as a tree of plain numbers, for samples.json."""

import math
from typing import Any

from ancestral.evaluation.quality import Nearness, Quality
from ancestral.metrics import uncertainty
from ancestral.metrics.colour import Colour, Drift
from ancestral.metrics.extractors import Extractor

CLOSEST = 24
"""Samples that are named, those nearest to a training item."""
CHANNELS = 32
"""Most channels whose covariances are written down."""


def tree(quality: Quality, extractor: Extractor) -> dict[str, Any]:
    """All numbers, finite or None, of a whole `Quality`."""
    sets = {"train": quality.train, "held_out": quality.held_out, "floor": quality.floor}
    titles = {"frechet": "FD", "kernel": "KID", "inception_score": "IS"}
    return {
        "extractor": {"name": extractor.name, "features": extractor.width},
        "titles": {name: extractor.title(kind) for name, kind in titles.items()},
        "floor": "training data against the rest of it" if quality.halves else "held-out data",
        "distances": {name: _plain(found) for name, found in sets.items() if found is not None},
        "inception_score": _plain(quality.inception),
        "memorisation": {
            name: None if near is None else _near(near)
            for name, near in (("pixels", quality.pixels), ("features", quality.features))
        },
        "colour": None if quality.drift is None else _drift(quality.drift),
        "class_accuracy": _plain(quality.accuracy),
        "notes": list(quality.notes),
    }


def closest(near: Nearness, count: int = CLOSEST) -> list[int]:
    """The numbers of the samples nearest to a training item, the nearest first."""
    order: list[int] = near.samples.distance.argsort(stable=True)[:count].tolist()
    return order


def _near(near: Nearness) -> dict[str, Any]:
    distance = near.samples.distance * near.scale
    found: dict[str, Any] = {"among": near.among, "median": float(distance.median())}
    if near.judged is not None:
        share, error, expected, threshold = near.judged[:4]
        found |= {
            "share": share,
            "share_error": uncertainty.share(share, len(distance)).error,
            "expected": expected,
            "error": error,
            "threshold": threshold * near.scale,
        }
    rows = closest(near)
    found["closest"] = [
        {"sample": row, "training_item": int(near.samples.index[row]), "distance": float(distance[row])} for row in rows
    ]
    return found


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "levels": _plain(drift.levels),
        "sigmas": _plain(drift.sigmas),
        "samples": _colour(drift.samples),
        "data": _colour(drift.data),
    }


def _colour(colour: Colour) -> dict[str, Any]:
    kept = colour._asdict() if len(colour.mean) <= CHANNELS else {"mean": colour.mean, "mean_error": colour.mean_error}
    return {name: tensor.tolist() for name, tensor in kept.items()}


def _plain(value: Any) -> Any:
    """Tuples of numbers by name; what is infinite or NaN as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        value = value._asdict()
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, dict) else value
