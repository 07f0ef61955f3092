"""The reverse process of any number of samples as events: the work done, and each state of each batch."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ancestral.base.events import Event, State, track
from ancestral.samplers import Recording, Step, record


@dataclass(frozen=True)
class ReverseProcess:
    """The reverse process of some samples.

    Attributes:
        task: What the progress calls it.
        trajectory: The steps of a batch, given the places of its samples.
        count: The number of samples.
        states: The number of states of each sample.
        decode: Brings states to the units of the data.
        finish: Brings samples and estimates of them to the units of the data, where that is more than decoding.
    """

    task: str
    trajectory: Callable[[Sequence[int]], Iterator[Step]]
    count: int
    states: int
    decode: Callable[[Tensor], Tensor]
    finish: Callable[[Tensor], Tensor] | None = None


def sampled(
    process: ReverseProcess, batch_size: int, keep: Collection[int] = (), decoded: bool = True
) -> Generator[Event, None, Recording]:
    """Sample in batches.

    Args:
        process: The reverse process.
        batch_size: The number of samples in a batch.
        keep: The states to keep, by `Step.index`.
        decoded: Whether samples and states are decoded before they are kept.

    Yields:
        The work done and the `State`, after each step.

    Returns:
        The samples, and the states that are kept.
    """

    def cpu(make: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return make(x).cpu()

    def state(step_of_batch: tuple[Sequence[int], Step]) -> State:
        positions, step = step_of_batch
        last = process.finish or process.decode
        make_x = partial(cpu, process.decode if step.t else last, step.x)
        make_x0 = partial(cpu, last, step.x0)
        return State(process.task, step.index, process.states, step.t, positions, process.count, make_x, make_x0)

    convert = partial(cpu, process.decode) if decoded else Tensor.cpu
    steps = record(process.trajectory, range(process.count), batch_size, convert, keep)
    total = -(-process.count // batch_size) * process.states
    return (yield from track(steps, process.task, total, event=state))
