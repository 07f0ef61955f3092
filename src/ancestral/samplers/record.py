"""The one loop over batches: any number of samples, and the states of the reverse process that a caller keeps."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.samplers.loop import Step


class Recording(NamedTuple):
    """Samples (n, *), and the kept states of the reverse process, of the first images where `followed` limits them.

    Attributes:
        before: The samples of the model before, of a cascade.
    """

    samples: Tensor
    states: list[Step]
    before: "Recording | None" = None


def record(
    trajectory: Callable[[Sequence[int]], Iterator[Step]],
    indices: Sequence[int],
    batch_size: int,
    convert: Callable[[Tensor], Tensor] = Tensor.cpu,
    keep: Collection[int] = (),
    followed: int | None = None,
) -> Generator[tuple[Sequence[int], Step], None, Recording]:
    """Sample images in batches.

    Args:
        trajectory: The steps of a batch, given the indices of its images.
        indices: Indices of all images within the seed, at least one.
        batch_size: The number of images in a batch. It changes memory and time, not the samples.
        convert: Applied to samples and states before they are kept, for example to decode them.
        keep: The states to keep, by `Step.index`.
        followed: Number of images, the first ones, whose states are kept; None: all.

    Yields:
        The indices of a batch and its state, after each step.

    Returns:
        The samples in the order of the indices, and the kept states.
    """
    followed = len(indices) if followed is None else followed
    samples: list[Tensor] = []
    states: dict[int, list[Step]] = {index: [] for index in keep}
    for start in range(0, len(indices), batch_size):
        batch = indices[start : start + batch_size]
        for step in trajectory(batch):
            if step.index in states and start < followed:
                few = slice(followed - start)
                states[step.index].append(Step(step.index, step.t, convert(step.x[few]), convert(step.x0[few])))
            yield batch, step
        samples.append(convert(step.x))
    recorded = [
        Step(index, parts[0].t, torch.cat([part.x for part in parts]), torch.cat([part.x0 for part in parts]))
        for index, parts in states.items()
        if parts
    ]
    return Recording(torch.cat(samples), recorded)
