"""The reverse process of any number of samples as events: the work done, and each state of each batch."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from functools import partial

from torch import Tensor

from ancestral.base.events import Event, State, track
from ancestral.samplers import Recording, Step, record


def sampled(
    trajectory: Callable[[Sequence[int]], Iterator[Step]],
    count: int,
    batch_size: int,
    task: str,
    states: int,
    decode: Callable[[Tensor], Tensor],
    keep: Collection[int] = (),
    convert: Callable[[Tensor], Tensor] | None = None,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Generator[Event, None, Recording]:
    """Sample in batches.

    Args:
        trajectory: The steps of a batch, given the places of its samples.
        count: The number of samples.
        batch_size: The number of samples in a batch.
        task: The name of the task.
        states: The number of states of each sample.
        decode: Brings states to the units of the data.
        keep: The states to keep, by `Step.index`.
        convert: Applied to samples and states before they are kept; None decodes them.
        finish: Brings samples and estimates of them to the units of the data, where that is more than decoding.

    Yields:
        The work done and the `State`, after each step.

    Returns:
        The samples, and the states that are kept.
    """

    def cpu(make: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return make(x).cpu()

    def state(step_of_batch: tuple[Sequence[int], Step]) -> State:
        positions, step = step_of_batch
        last = finish or decode
        make_x = partial(cpu, decode if step.t else last, step.x)
        return State(task, step.index, states, step.t, positions, count, make_x, partial(cpu, last, step.x0))

    steps = record(trajectory, range(count), batch_size, convert or partial(cpu, decode), keep)
    total = -(-count // batch_size) * states
    return (yield from track(steps, task, total, event=state))
