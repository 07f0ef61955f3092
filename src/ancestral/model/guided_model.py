"""How the estimates of a model are guided: by its conditions, or away from a weaker model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.device import on_device
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import argument_name
from ancestral.guidance import AutoGuidance, ClassifierFree, Clipped, Interval, Wrapper
from ancestral.model.autoencoders import same_autoencoder
from ancestral.model.condition_values import ConditionValues
from ancestral.model.trained_model import TrainedModel
from ancestral.targets import Denoiser


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
    weak: TrainedModel | None = None
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


def check_guidance(model: TrainedModel, guidance: Guidance, names: Iterable[str]) -> None:
    """Check that samples which are conditioned on these names can be guided so.

    Args:
        model: The model.
        guidance: How its estimates are guided.
        names: The names of the conditions that are given.

    Raises:
        InputError: If a scale is not finite, there is no condition to strengthen and no weaker model, or a value to
            avoid has no effect.
    """
    conditions, weak = model.spec.conditions, guidance.weak
    for name in guidance.scale if isinstance(guidance.scale, Mapping) else ():
        if name not in conditions:
            has = ", ".join(conditions) or "none"
            raise InputError(f"{option('guidance')} names {name!r}, and the conditions of the model are: {has}")
    scales = guidance.scales(names)
    for scale in scales.values() if isinstance(guidance.scale, Mapping) else [guidance.scale]:
        if not (isinstance(scale, int | float) and math.isfinite(scale)):
            raise InputError(f"{option('guidance')} must be a finite number, not {shown(scale)}")
    if guidance.avoid and weak is not None:
        raise InputError(f"{option('avoid')} has no effect with {option('weak')}: leave one of them out")
    if guidance.off:
        return
    if weak is not None:
        _check_weak(model, weak, guidance.scale)
    elif not scales and conditions:
        raise InputError(
            f"this model is given no condition, so there is nothing for guidance to strengthen: give one of "
            f"{', '.join(conditions)} by {option('given', 'NAME=VALUE')}; or {option('weak')}, which needs none"
        )
    elif not scales:
        raise InputError(
            "this model was trained without conditions, so there is nothing for guidance to strengthen; "
            f"{option('weak')} guides it away from a weaker model, and for custom conditions wrap it: "
            "Model(guidance.ClassifierFree(model.denoiser, scale, drop=...), spec)"
        )


def _check_weak(model: TrainedModel, weak: TrainedModel, scale: float | Mapping[str, float]) -> None:
    """Raise InputError if a weaker model is not one of the same data and conditions."""
    if isinstance(scale, Mapping):
        raise InputError(f"autoguidance has one scale: give {option('guidance')} a number")
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


def guided(model: TrainedModel, guidance: Guidance, names: Iterable[str], indices: Sequence[int] = (0,)) -> Denoiser:
    """Return the denoiser of a model with guidance that `check_guidance` accepts.

    Args:
        model: The model.
        guidance: How its estimates are guided.
        names: The names of the conditions that are given.
        indices: The samples, for the values that each avoids.
    """
    weak, scale = guidance.weak, guidance.scale
    if guidance.off:
        return model.denoiser
    if weak is not None:
        assert not isinstance(scale, Mapping)
        without = [argument_name(name) for name in model.spec.conditions if name not in weak.spec.conditions]
        strong, weaker = (  # after training on clipped estimates, what lies beyond the range means nothing
            Clipped(one.denoiser) if one.config.process.clip else one.denoiser for one in (model, weak)
        )
        wrapper: Wrapper = AutoGuidance(strong, weaker, scale, guidance.rescale, without)
    else:
        by_argument = {argument_name(name): scale for name, scale in guidance.scales(names).items()}
        drop = {argument_name(name): _rows(value, model, indices) for name, value in guidance.avoid.items()}
        wrapper = ClassifierFree(model.denoiser, by_argument, drop or None, guidance.rescale)
    low, high = guidance.interval
    return wrapper if (low, high) == (0.0, math.inf) else Interval(wrapper, low, high)


def _rows(values: ConditionValues, model: TrainedModel, indices: Sequence[int]) -> Tensor:
    """What a network gets of the values of a condition for some items, on its device."""
    return on_device(values.kind.encode(values.of(indices), model.spec.x_shape[1:]), model.device)
