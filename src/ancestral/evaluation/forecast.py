"""A forecast of the time of an evaluation, from one network evaluation and the features of a few items."""

import time
from collections.abc import Callable, Iterable, Mapping

import torch

from ancestral.evaluation.sample_quality import is_cached, missing_features
from ancestral.evaluation.study import References, Study
from ancestral.model import Model
from ancestral.quantities import format_duration

SHORT = 10.0
"""Seconds of work that need no forecast."""
BRIEF = 2.0
"""Seconds after which work is not timed again."""
FEW = 16
"""Items whose features are timed."""


def network_seconds(model: Model, batch_size: int) -> float:
    """Time a network evaluation of one item in a batch of this size."""
    return _seconds(lambda: model.rehearse(batch_size), model.device) / min(batch_size, 64)


def sampling_parts(studies: Iterable[tuple[str, Study]], batch_size: int) -> dict[str, float]:
    """Forecast the seconds that the samples of named studies take which are not kept yet, and all features.

    Args:
        studies: The names and studies; several of one name are added up. Their references are alike.
        batch_size: The number of items at a time.

    Returns:
        Seconds by name, and of the "features".
    """
    parts, times, count, references = dict[str, float](), dict[tuple[int, str], float](), 0, None
    for name, study in studies:
        missing, references = study.count - study.store.count(study.count), study.references
        network = (study.model.parameters, str(study.model.config.net))
        if missing and network not in times:
            times[network] = network_seconds(study.model, batch_size)
        seconds = missing * study.passes * times[network] if missing else 0.0
        parts[name] = parts.get(name, 0.0) + seconds
        count += study.count if missing or not is_cached(references.extractor) else 0
    return parts if references is None else parts | {"features": _feature_seconds(references, count)}


def _feature_seconds(references: References, samples: int) -> float:
    """Forecast the time of the features of `samples` samples, and of the data where they are not kept."""
    extractor, items = references.extractor, references.train.items[:FEW]
    if extractor.name == "pixels":
        return 0.0
    data = [part.items for part in (references.train, references.held_out) if part is not None]
    count = samples + sum(missing_features(extractor, part) for part in data)
    return count * _seconds(lambda: extractor(items), references.device) / len(items) if count else 0.0


def forecast(parts: Mapping[str, float], shorter: str = "") -> str | None:
    """Describe how long all takes.

    Args:
        parts: The seconds of each part, by name.
        shorter: What makes it shorter.

    Returns:
        The line, or None where all takes a few seconds.
    """
    known = [(name, seconds) for name, seconds in parts.items() if seconds >= 1]
    total = sum(seconds for _, seconds in known)
    if total < SHORT:
        return None
    texts = ", ".join(f"{name} {format_duration(seconds)}" for name, seconds in known)
    return f"this takes about {format_duration(total)}: {texts}" + (f"; {shorter}" if shorter else "")


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least time of up to four times that some work is done: other programs, and what the first prepares, add."""
    times = list[float]()
    while len(times) < 2 or (len(times) < 4 and sum(times) < BRIEF):
        began = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        times.append(time.perf_counter() - began)
        if times[-1] > SHORT:
            break
    return min(times)
