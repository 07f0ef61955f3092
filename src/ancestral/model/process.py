"""The reverse process of a request, ready to run, and the one place that runs it."""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ancestral.base.events import Event, State, track
from ancestral.conditions import Limits
from ancestral.config.request import Request
from ancestral.model.condition_values import ConditionValues
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers import Recording, Sampler, Step, record


@dataclass(frozen=True, eq=False)
class Process:
    """The reverse process of some samples, with all that a request says read, checked and guided.

        process = model.process(Request.of(n=4, label=7))
        for step in process.steps(range(4)):
            process.decode(step.x0)  # the estimate of the samples, in the units of the data

    Attributes:
        model: The model; of a cascade the last one.
        recipe: The request, of which JSON names all: hashes, classes, and every setting of the sampler.
        items: The indices of the samples; of a walk their numbers.
        sampler: The sampler.
        times: The times of the states.
        steps: Makes samples in one batch, given their places among all, step by step; states are encoded.
        decode: Brings states to the units of the data.
        finish: Brings all samples at once to the units of the data; None where `decode` does that, batch by batch.
        show: Brings the last states of a batch to the units of the data; None where `decode` does that.
        task: What its progress is called.
        notes: What the user should know, a line each.
        warnings: Those of the notes which say that the model saw nothing like what it is given.
        values: The conditions besides the label.
        labelled: The model whose classes the labels are: of a cascade the first that has some.
        before: The process whose samples it goes on from, of a cascade.
        following: Given the process and a recording of `before`, returns the process that goes on from its samples.
        rollout: The number of states in time that are made one after another; 0 of other samples. `following` then goes
            on from the state before.
        method: How an edit is made; "" of samples.
        reason: Why the method was taken.
        inputs: The number of images of an edit, of which sample i has number i modulo it.
        evaluations: The number of network evaluations of each sample of an edit.
        check: Returns what the user should know of the samples, in the units of the data.
        misfit: Returns the root mean square of A x − y of samples in the units of the data, in units of [-1, 1]; None
            where nothing was measured, or what was is put in its place.
    """

    model: TrainedModel
    recipe: Request
    items: Sequence[int]
    sampler: Sampler
    times: Sequence[float]
    steps: Callable[[Sequence[int]], Iterator[Step]]
    decode: Callable[[Tensor], Tensor]
    finish: Callable[[Tensor], Tensor] | None = None
    show: Callable[[Tensor], Tensor] | None = None
    task: str = "samples"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    values: Mapping[str, ConditionValues] = field(default_factory=dict)
    labelled: TrainedModel | None = None
    before: "Process | None" = None
    following: Callable[["Process", Recording], "Process"] | None = None
    rollout: int = 0
    method: str = ""
    reason: str = ""
    inputs: int = 1
    evaluations: int = 0
    check: Callable[[Tensor], tuple[str, ...]] = lambda items: ()
    misfit: Callable[[Tensor], float] | None = None

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(self.items)

    @property
    def start(self) -> tuple[float, dict[str, str]] | None:
        """The time of the states from which states in time go on, where it is known."""
        return next((value.time for value in self.values.values() if value.time is not None), None)

    @property
    def limits(self) -> Limits:
        """The values that are black and white, of each channel."""
        return self.model.spec.limits

    @property
    def chain(self) -> "tuple[Process, ...]":
        """The processes of a cascade in their order, of which this is the last."""
        return (self,) if self.before is None else (*self.before.chain, self)

    def work(self, batch_size: int | None) -> int:
        """Return the number of states of all batches."""
        batches = [-(-one.count // one.model.batch(batch_size)) * len(one.times) for one in self.chain]
        return sum(batches) * max(1, self.rollout)

    def given(self, recording: Recording) -> "Process":
        """Return the process with the samples that a recording of it goes on from."""
        if recording.before is None or self.following is None:
            return self
        return self.following(self, recording.before)

    def state(self, positions: Sequence[int], step: Step) -> State:
        """Return the event of a step of a batch."""
        last = self.show or self.decode
        make_x = partial(_on_cpu, self.decode if step.t else last, step.x)
        make_x0 = partial(_on_cpu, last, step.x0)
        return State(self.task, step.index, len(self.times), step.t, positions, self.count, make_x, make_x0)


def made(
    process: Process,
    batch_size: int | None = None,
    keep: Collection[int] = (),
    decoded: bool = True,
    positions: Sequence[int] | None = None,
    followed: int | None = None,
) -> Generator[Event, None, Recording]:
    """Make the samples of a process.

    Args:
        process: The process.
        batch_size: The number of samples in a batch; None is 64, and fewer of large items. It changes memory and time,
            not the samples.
        keep: The states to keep, by `Step.index`.
        decoded: Whether samples and states are in the units of the data, or as the network knows them.
        positions: Places of samples among all; None makes all.
        followed: The number of the first samples whose states are kept; None keeps those of all.

    Yields:
        The work done, and the `State` after each step.

    Returns:
        The samples on the CPU, the states that are kept, and the samples of the model before in a cascade.
    """
    if process.rollout:
        return (yield from _rolled_out(process, batch_size, decoded))
    before = None
    if process.before is not None and process.following is not None:
        before = yield from made(process.before, batch_size)
        process = process.following(process, before)
    places, size = range(process.count) if positions is None else positions, process.model.batch(batch_size)
    at_once = process.finish if decoded else None
    convert = partial(_on_cpu, process.decode) if decoded and at_once is None else Tensor.cpu
    steps = record(process.steps, places, size, convert, keep, followed)
    total = -(-len(places) // size) * len(process.times)
    samples, states, _ = yield from track(steps, process.task, total, event=lambda one: process.state(*one))
    if at_once is not None:
        samples = at_once(samples)
        states = [Step(one.index, one.t, process.decode(one.x), process.decode(one.x0)) for one in states]
    return Recording(samples, states, before)


def _rolled_out(process: Process, batch_size: int | None, decoded: bool) -> Generator[Event, None, Recording]:
    """Make the states of samples in time: (n, states, C, *space)."""
    assert process.following is not None
    states = list[Tensor]()
    while process.rollout > len(states):
        recording = yield from made(replace(process, rollout=0), batch_size)
        states.append(recording.samples)
        process = process.following(process, recording)
    samples = torch.stack(states, 1)
    if not decoded:
        samples = process.model.spec.codec.encode(samples.flatten(0, 1)).view(samples.shape)
    return Recording(samples, [], None)


def _on_cpu(convert: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return convert(x).cpu()
