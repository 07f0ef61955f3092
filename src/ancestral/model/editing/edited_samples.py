"""An edit that is decided, its samples, and the options of all edits."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.base.registries import DISTILLATIONS
from ancestral.config.request import EditRequest, Request
from ancestral.model.condition_values import NONE
from ancestral.model.requested import check_avoided, check_images, user_values, with_settings
from ancestral.model.sample_conditioning import Conditioning, read_conditioning
from ancestral.model.sampling_model import SamplingModel
from ancestral.samplers import Sampler, Step, record
from ancestral.schedules import Schedule

EDIT_STEPS = 25
"""Default number of sampling steps of an edit."""
FLOW_STEPS: int = 50
"""Default number of steps along the probability flow: with few the inverse of a step may not exist."""
EDIT_SAMPLES = 4
"""Default number of samples of an edit."""
WALK: int = 9
"""Default number of samples of a walk."""
STRENGTH = 0.5
"""Default share of the schedule's times that variations go back."""


class Edited(Tensor):
    """The samples of an edit, (n, C, *sides) in the units of the data, and how they were made.

    What is computed from them is a plain tensor.

    Attributes:
        method: The method.
        reason: Why it was taken, and what else the user should know.
        evaluations: The number of network evaluations of each sample.
        inputs: The number of inputs, of which sample i has number i modulo it.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as PyTorch's Parameter

    method: str
    reason: str
    evaluations: int
    inputs: int

    @property
    def deviation(self) -> Tensor:
        """The standard deviation over the samples of an input, float64 (*sides), or (inputs, *sides) of several."""
        samples = self.as_subclass(Tensor)
        maps = [deviation_of(samples[i :: self.inputs]) for i in range(self.inputs)]
        return torch.stack(maps) if self.inputs > 1 else maps[0]


@dataclass(frozen=True, eq=False)
class DecidedEdit:
    """An edit that is decided.

    Attributes:
        reason: Why it was taken.
        inputs: The number of inputs, of which sample i has number i modulo it.
        evaluations: The number of network evaluations of each sample.
        steps: Makes samples, given their positions, in one batch.
        finish: Brings the samples, all at once, to the units of the data.
        notes: What else the user should know, a sentence each.
        check: Returns what the user should know of the samples, in the units of the data.
        decode: Brings states to the units of the data, where they are not those of the model.
        misfit: Returns the root mean square of A x − y of samples in the units of the data, in units of [-1, 1]; None
            where nothing was measured, or what was is put in its place.
        beyond: Which images lie beyond the data of the model.
    """

    method: str
    reason: str
    count: int
    inputs: int
    evaluations: int
    times: Sequence[float]
    steps: Callable[[Sequence[int]], Iterator[Step]]
    finish: Callable[[Tensor], Tensor]
    notes: tuple[str, ...] = ()
    check: Callable[[Tensor], tuple[str, ...]] = lambda items: ()
    decode: Callable[[Tensor], Tensor] | None = None
    misfit: Callable[[Tensor], float] | None = None
    beyond: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and which images lie beyond the data, a sentence each."""
        return (*self.notes, *(f"{note}." for note in self.beyond))

    @torch.no_grad()
    def trajectory(self, positions: Sequence[int]) -> Iterator[Step]:
        """Make the samples of some positions in one batch, step by step."""
        return self.steps(positions)

    def run(self, batch_size: int, decode: bool) -> Edited:
        """Make all samples, in the units of the data or as the network knows them."""
        samples = finish(record(self.trajectory, range(self.count), batch_size)).samples
        items = self.finish(samples)
        edited = (items if decode else samples).as_subclass(Edited)
        edited.method, edited.reason = self.method, " ".join((self.reason, *self.remarks, *self.check(items)))
        edited.evaluations, edited.inputs = self.evaluations, self.inputs
        return edited


def sampler_of(model: SamplingModel, request: Request) -> Sampler:
    """Return the sampler of an edit: DDIM with η = 1, or that of a distilled model, where the request names none."""
    sampler = request.objects.sampler or request.sampler or None
    if sampler is None and is_distilled(model):
        return model.sampler(steps=request.steps)
    if sampler is None:
        return model.sampler("ddim:eta=1", steps=_steps(model, request, EDIT_STEPS))
    return model.sampler(sampler, steps=request.steps)


def flow_sampler(model: SamplingModel, request: Request) -> Sampler:
    """Return the sampler of the probability flow, which does not clip: what is clipped has no inverse."""
    own = request.objects.sampler or request.sampler
    sampler = sampler_of(model, request) if own else model.sampler("heun", steps=_steps(model, request, FLOW_STEPS))
    return dataclasses.replace(sampler, clip=None)  # type: ignore[type-var]  # all samplers are dataclasses


def _steps(model: SamplingModel, request: Request, default: int) -> int:
    return min(default, model.denoiser.schedule.steps) if request.steps is None else request.steps


def conditioning_of(model: SamplingModel, request: Request) -> Conditioning:
    """Return what an edit is conditioned on, with its settings; what is left out is absent, the label too."""
    given = read_conditioning(model.spec, request.label, user_values(request))
    check_images(request, given.values)
    check_avoided(request, model.spec.conditions)
    label = NONE if given.label is None and model.spec.classes else given.label
    return with_settings(dataclasses.replace(given, label=label), request, model.spec)


def items_of(model: SamplingModel, request: Request, default: int) -> Sequence[int]:
    """Return the indices of the samples of an edit, of which there are n; None is that of the indices, or the default.

    Raises:
        InputError: If n is another number than that of the indices, or the samples do not fit into memory.
    """
    if request.indices is not None and request.n not in (None, len(request.indices)):
        raise InputError(f"{len(request.indices)} indices are given for {request.n} samples: give as many")
    return model.items(default if request.n is None else request.n, request.indices)


def settings_of(request: Request) -> EditRequest:
    """Return what a request has of an edit."""
    return request.edit or EditRequest("")


def deviation_of(samples: Tensor) -> Tensor:
    """Return the standard deviation over samples (n, C, *sides) of one input, float64 (*sides); 0 of one sample."""
    correction, channels = min(1, len(samples) - 1), samples.unbind(1)  # one at a time, as photographs are large
    variances = (channel.double().var(0, correction=correction) for channel in channels)
    return (sum(variances, torch.zeros(())) / len(channels)).sqrt()


def is_distilled(model: SamplingModel) -> bool:
    """Whether x̂_0 of a model is a sample, as of consistency models, and not the mean of all that fit x_t."""
    consistent = {entry.sampler for entry in DISTILLATIONS.values() if entry.consistent}
    return model.config.sample.sampler.partition(":")[0] in consistent


def evaluations(sampler: Sampler, schedule: Schedule, times: Sequence[float]) -> int:
    """The number of network evaluations along some times, which may rise."""
    each = sampler.nfe(schedule) / max(len(sampler.times(schedule)) - 1, 1)
    return math.ceil(each * sum(s < t for t, s in pairwise(times)))
