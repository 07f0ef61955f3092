"""The samples of an edit, and the options of all edits."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.registries import DISTILLATIONS
from ancestral.config.request import EditRequest, Request
from ancestral.model.condition_values import NONE
from ancestral.model.process import Process
from ancestral.model.requested import check_avoided, check_images, user_values, with_settings
from ancestral.model.sample_conditioning import Conditioning, read_conditioning
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers import Sampler
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

    @classmethod
    def of(cls, process: Process, samples: Tensor, items: Tensor) -> "Edited":
        """Return the samples of an edit with how they were made; `items` are those in the units of the data."""
        edited = samples.as_subclass(cls)
        edited.method, edited.evaluations, edited.inputs = process.method, process.evaluations, process.inputs
        notes = (f"{note.rstrip('.')}." for note in process.notes)
        edited.reason = " ".join((process.reason, *notes, *process.check(items)))
        return edited

    @property
    def deviation(self) -> Tensor:
        """The standard deviation over the samples of an input, float64 (*sides), or (inputs, *sides) of several."""
        samples = self.as_subclass(Tensor)
        maps = [deviation_of(samples[i :: self.inputs]) for i in range(self.inputs)]
        return torch.stack(maps) if self.inputs > 1 else maps[0]


def sampler_of(model: TrainedModel, request: Request) -> Sampler:
    """Return the sampler of an edit: DDIM with η = 1, or that of a distilled model, where the request names none."""
    sampler = request.objects.sampler or request.sampler or None
    if sampler is None and is_distilled(model):
        return model.sampler(steps=request.steps)
    if sampler is None:
        return model.sampler("ddim:eta=1", steps=_steps(model, request, EDIT_STEPS))
    return model.sampler(sampler, steps=request.steps)


def flow_sampler(model: TrainedModel, request: Request) -> Sampler:
    """Return the sampler of the probability flow, which does not clip: what is clipped has no inverse."""
    own = request.objects.sampler or request.sampler
    sampler = sampler_of(model, request) if own else model.sampler("heun", steps=_steps(model, request, FLOW_STEPS))
    return dataclasses.replace(sampler, clip=None)  # type: ignore[type-var]  # all samplers are dataclasses


def _steps(model: TrainedModel, request: Request, default: int) -> int:
    return min(default, model.denoiser.schedule.steps) if request.steps is None else request.steps


def conditioning_of(model: TrainedModel, request: Request) -> Conditioning:
    """Return what an edit is conditioned on, with its settings; what is left out is absent, the label too."""
    given = read_conditioning(model.spec, request.label, user_values(request))
    check_images(request, given.values)
    check_avoided(request, model.spec.conditions)
    label = NONE if given.label is None and model.spec.classes else given.label
    return with_settings(dataclasses.replace(given, label=label), request, model.spec)


def items_of(model: TrainedModel, request: Request, default: int) -> Sequence[int]:
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


def is_distilled(model: TrainedModel) -> bool:
    """Whether x̂_0 of a model is a sample, as of consistency models, and not the mean of all that fit x_t."""
    consistent = {entry.sampler for entry in DISTILLATIONS.values() if entry.consistent}
    return model.config.sample.sampler.partition(":")[0] in consistent


def evaluations(sampler: Sampler, schedule: Schedule, times: Sequence[float]) -> int:
    """The number of network evaluations along some times, which may rise."""
    each = sampler.nfe(schedule) / max(len(sampler.times(schedule)) - 1, 1)
    return math.ceil(each * sum(s < t for t, s in pairwise(times)))
