"""Reader of the JSON of samples in the schema samples-1, which had a key for each metric."""

from collections.abc import Iterator
from typing import Any

from ancestral.base.errors import InputError

FIRST_DISTANCES = ("frechet", "kernel", "precision", "recall", "density", "coverage")
REPLACED_KEYS = {"titles", "distances", "inception_score", "memorisation", "class_accuracy", "colour", "own"}
"""The keys that others replace."""


def current_samples(tree: Any, name: str) -> Any:
    """Convert the JSON of `SampleMetrics` in the first schema to the current one, and leave other JSON as it is.

    Args:
        tree: The JSON. That of a part of another result names no schema.
        name: What an error calls it.

    Raises:
        InputError: If a key is missing.
    """
    if not isinstance(tree, dict) or tree.get("schema", "samples-1") != "samples-1" or "sets" in tree:
        return tree
    try:
        distances = {key: one for key, one in tree["distances"].items() if one is not None}
        sets = {_field(key): [one["items"], one["against"]] for key, one in distances.items()}
        metrics = dict(_measures(tree, distances))
    except KeyError as error:
        raise InputError(f"{name} lacks {error.args[0]}") from None
    except (AttributeError, TypeError):
        raise InputError(f"{name} is not of the schema samples-1") from None
    kept = {key: part for key, part in tree.items() if key not in REPLACED_KEYS}
    return {**kept, "schema": "samples-2", "sets": sets, "metrics": metrics}


def _measures(tree: dict[str, Any], distances: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The measures by the names of their metrics."""
    for key in FIRST_DISTANCES:
        values = {_field(where): one[key] for where, one in distances.items() if key in one}
        if "value" in values:
            yield key, {"title": tree["titles"].get(key, key), **values}
    if (score := tree["inception_score"]) is not None:
        title = tree["titles"].get("inception_score", "IS")
        yield "inception_score", {"title": title, "value": score["samples"], "floor": score["train"]}
    for key in ("memorisation", "class_accuracy", "colour"):
        if tree[key] is not None and any(tree[key].values()):
            yield key, {"kind": key, **tree[key]}
    for key, own in (tree.get("own") or {}).items():
        yield key, {"title": key, "value": {"value": own["samples"]}, "floor": {"value": own["floor"]}}


def _field(key: str) -> str:
    """The field of `Measure` that has the distances of a key."""
    return "value" if key == "train" else key
