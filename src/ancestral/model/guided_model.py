"""How the estimates of a model are guided: by its conditions, or away from a weaker model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.device import on_device
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import argument_name
from ancestral.config import Config
from ancestral.data.spec import DataSpec
from ancestral.guidance import AutoGuidance, ClassifierFree, Clipped, Interval, Wrapper
from ancestral.model.autoencoders import same_autoencoder
from ancestral.model.condition_values import ConditionValues
from ancestral.targets import Denoiser


class Guidable(Protocol):
    """A denoiser with the description of its data, the config of its training, and its device."""

    denoiser: Denoiser
    spec: DataSpec
    config: Config

    @property
    def device(self) -> torch.device:
        """The device of the denoiser."""


@dataclass(frozen=True)
class Guidance:
    """How estimates are guided.

    Attributes:
        scale: The scale: above 1 strengthens the conditions; or a scale for each of some, by name.
        interval: The lowest and the highest noise level b_t/a_t that are guided.
        rescale: The share in which the standard deviation of x̂_0 is brought back to that of plain conditioning.
        weak: The weaker model of autoguidance; None for classifier-free guidance.
        avoid: The values of conditions that estimates are guided away from, in the place of their absence.
    """

    scale: float | Mapping[str, float] = 1.0
    interval: tuple[float, float] = (0.0, math.inf)
    rescale: float = 0.0
    weak: Guidable | None = None
    avoid: Mapping[str, ConditionValues] = field(default_factory=dict)

    def scales(self, names: Iterable[str]) -> dict[str, float]:
        """Return the scale of each condition of some names, in the order of the scales; a single one is that of all."""
        if not isinstance(self.scale, Mapping):
            return dict.fromkeys(names, self.scale)
        others = dict.fromkeys(names, 1.0)
        scaled = {name: scale for name, scale in self.scale.items() if others.pop(name, None)}
        return scaled | others

    @property
    def off(self) -> bool:
        """Whether the estimates are those of the denoiser itself."""
        return set(self.scale.values() if isinstance(self.scale, Mapping) else [self.scale]) <= {1}


def guided(model: Guidable, guidance: Guidance, names: Iterable[str], indices: Sequence[int]) -> Denoiser:
    """Return the denoiser of a model with guidance. The arguments and errors are those of `SamplingModel.guided`."""
    for name in guidance.scale if isinstance(guidance.scale, Mapping) else ():
        if name not in model.spec.conditions:
            has = ", ".join(model.spec.conditions) or "none"
            raise InputError(f"{option('guidance')} names {name!r}, and the conditions of the model are: {has}")
    scales = guidance.scales(names)
    values = scales.values() if isinstance(guidance.scale, Mapping) else [guidance.scale]
    for scale in values:
        if not (isinstance(scale, int | float) and math.isfinite(scale)):
            raise InputError(f"{option('guidance')} must be a finite number, not {shown(scale)}")
    if guidance.avoid and guidance.weak is not None:
        raise InputError(f"{option('avoid')} has no effect with {option('weak')}: leave one of them out")
    if guidance.off:
        return model.denoiser
    if guidance.weak is not None:
        if isinstance(guidance.scale, Mapping):
            raise InputError(f"autoguidance has one scale: give {option('guidance')} a number")
        weak = guidance.weak
        if weak.spec.shape != model.spec.shape:
            shapes = f"{weak.spec.shape}, not {model.spec.shape}"
            raise InputError(f"{option('weak')} is a model of items of shape {shapes}: take one of the same data")
        if not same_autoencoder(weak.spec.autoencoder, model.spec.autoencoder):
            raise InputError(f"{option('weak')} is a model of the latents of another autoencoder: take a snapshot")
        for name in model.spec.conditions.keys() & weak.spec.conditions.keys():
            if weak.spec.conditions[name] != model.spec.conditions[name]:
                kinds = f"{weak.spec.conditions[name]}, and not on {model.spec.conditions[name]}"
                raise InputError(
                    f"the weaker model is conditioned on {name} as {kinds}: {option('weak')} is a model of the "
                    "same data, such as a snapshot of the run"
                )
        without = [argument_name(name) for name in model.spec.conditions if name not in weak.spec.conditions]
        strong, weaker = (  # after training on clipped estimates, what lies beyond the range means nothing
            Clipped(one.denoiser) if one.config.process.clip else one.denoiser for one in (model, weak)
        )
        wrapper: Wrapper = AutoGuidance(strong, weaker, guidance.scale, guidance.rescale, without)
    elif not scales and model.spec.conditions:
        names_of = ", ".join(model.spec.conditions)
        raise InputError(
            f"this model is given no condition, so there is nothing for guidance to strengthen: give one of "
            f"{names_of} by {option('given', 'NAME=VALUE')}; or {option('weak')}, which needs none"
        )
    elif not scales:
        raise InputError(
            "this model was trained without conditions, so there is nothing for guidance to strengthen; "
            f"{option('weak')} guides it away from a weaker model, and for conditions of your own wrap it: "
            "Model(guidance.ClassifierFree(model.denoiser, scale, drop=...), spec)"
        )
    else:
        by_argument = {argument_name(name): scale for name, scale in scales.items()}
        drop = {argument_name(name): _rows(value, model, indices) for name, value in guidance.avoid.items()}
        wrapper = ClassifierFree(model.denoiser, by_argument, drop or None, guidance.rescale)
    low, high = guidance.interval
    return wrapper if (low, high) == (0.0, math.inf) else Interval(wrapper, low, high)


def _rows(values: ConditionValues, model: Guidable, indices: Sequence[int]) -> Tensor:
    """What a network gets of the values of a condition for some items, on its device."""
    return on_device(values.kind.encode(values.of(indices), model.spec.x_shape[1:]), model.device)
