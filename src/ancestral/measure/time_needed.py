"""A forecast of the time of an evaluation, from one network evaluation and the features of a few items."""

import time
from collections.abc import Callable, Iterable, Mapping

import torch

from ancestral.base.quantities import format_duration
from ancestral.measure.evaluation import Evaluation
from ancestral.metrics.extractors import missing_features
from ancestral.model import Model
from ancestral.model.sample_conditioning import Conditioning

SHORT = 10.0
"""Seconds of work that need no forecast."""
BRIEF = 2.0
"""Seconds after which work is not timed again."""
MOST_AT_ONCE = 64
"""Largest number of empty items on which the network is timed."""
TIMED_ITEMS = 16
"""Items whose features are timed."""


def network_seconds(model: Model, batch_size: int) -> float:
    """Time a network evaluation of one item in a batch of this size."""
    items = min(batch_size, MOST_AT_ONCE)
    x = torch.zeros(items, *model.spec.x_shape, device=model.device)
    condition = Conditioning().inputs(model.spec, range(items), model.device)
    with torch.no_grad():
        return _seconds(lambda: model.denoiser.predict(x, 1, **condition), model.device) / items


def sampling_parts(evaluations: Iterable[tuple[str, Evaluation]], batch_size: int) -> dict[str, float]:
    """Forecast the seconds that the samples of named evaluations take which are not kept yet, and all features.

    Studies of one name are added up; their references are alike. Returns seconds by name, and of the "features".
    """
    parts, times, count, evaluation = dict[str, float](), dict[tuple[int, str], float](), 0, None
    for name, evaluation in evaluations:
        missing = evaluation.count - evaluation.store.count(evaluation.count)
        network = (evaluation.model.parameters, str(evaluation.model.config.net))
        if missing and network not in times:
            times[network] = network_seconds(evaluation.model, batch_size)
        parts[name] = parts.get(name, 0.0) + (missing * evaluation.passes * times[network] if missing else 0.0)
        count += evaluation.count if missing or evaluation.references.extractor.identity is None else 0
    if evaluation is None or (extractor := evaluation.references.extractor).name == "pixels":
        return parts
    references, items = evaluation.references, evaluation.references.train.items[:TIMED_ITEMS]
    count += sum(missing_features(extractor, part.items) for part in (references.train, references.held_out) if part)
    seconds = count * _seconds(lambda: extractor(items), references.device) / len(items) if count else 0.0
    return parts | {"features": seconds}


def forecast(parts: Mapping[str, float], shorter: str = "") -> str | None:
    """Describe how long all parts take, by their names, and what makes it shorter; None if it is a few seconds."""
    long_parts = [(name, seconds) for name, seconds in parts.items() if seconds >= 1]
    total = sum(seconds for _, seconds in long_parts)
    if total < SHORT:
        return None
    texts = ", ".join(f"{name} {format_duration(seconds)}" for name, seconds in long_parts)
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
