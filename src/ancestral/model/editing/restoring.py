"""How samples are made that fit a measurement: the method, what it gets, and what is said of its samples."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ancestral import derived
from ancestral.base.arguments import function_name, shown, takes
from ancestral.base.device import on_device
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import RESTORATIONS, Restoration
from ancestral.conditions import argument_name
from ancestral.config.request import Request
from ancestral.covariance import Covariance
from ancestral.data.spec import DataSpec
from ancestral.derived import known_part
from ancestral.diffusion import Diffusion
from ancestral.guidance import Clipped, Posterior
from ancestral.model.condition_values import ConditionValues
from ancestral.model.editing.edited_samples import (
    EDIT_SAMPLES,
    conditioning_of,
    evaluations,
    is_distilled,
    items_of,
    sampler_of,
    settings_of,
)
from ancestral.model.editing.measurement_noise import (
    LEAST_NOISE,
    Explanation,
    Observation,
    disagreement,
    explained,
    resemblance,
)
from ancestral.model.process import Process
from ancestral.model.sample_conditioning import Conditioning, Route, states
from ancestral.model.trained_model import TrainedModel
from ancestral.operators import CHECK_EVERY, Linear, Operator
from ancestral.samplers import Sampler, Step, resampled
from ancestral.targets import SIGMA_DATA, Denoiser

CustomMethod: TypeAlias = Callable[[Denoiser, Tensor, Operator, float], Denoiser]
"""A method of restoration: given a denoiser, which is clipped as the sampler's, y (B, *) in units of [-1, 1], A and σ,
it returns a denoiser whose samples fit y. A gradient through the denoiser needs `torch.enable_grad`."""
NETWORK_ERROR, EXACT_ERROR = 0.1, 0.2
"""Standard deviation of the error of a network's x̂_0, which JFPS takes for noise beside that of y: for y with noise and
without. An error where y is known would else be continued into what is not; without noise, the result is then made to
agree with y. The methods with the network's own covariance are better without it."""
PROJECTIONS, RANGE_TOLERANCE = 100, 1e-3
"""The largest number of projections of samples without noise into the range of the data, and how far beyond it they may
end, an eighth of a grey level of 255."""
JUMP, STRETCH_REPEATS = 5, 5
"""RePaint: the number of steps of a stretch, and how often each is gone through."""


@dataclass(frozen=True)
class Aids:
    """What a method gets besides the measurement.

    Attributes:
        covariance: The covariance of the data; None is that of the items that the model was trained on.
        custom_method: A method in place of one by name.
        of_latents: Of a model of latents, a measurement of the latents that says the same, (m, *), and its operator.
            Without it samples are moved along the gradient through the decoder, and what they decode to is made to fit.
    """

    covariance: Covariance | None = None
    custom_method: CustomMethod | None = None
    of_latents: tuple[Tensor, Operator] | None = None


@dataclass(frozen=True)
class CustomRestoration(Restoration):
    """A method of the user.

    Attributes:
        function: The method.
    """

    linear: bool = False
    function: CustomMethod | None = None

    def wrap(self, denoiser: Denoiser, y: Tensor, operator: Operator, **facts: Any) -> Denoiser:
        """Return the denoiser that the method makes. Raises InputError if it is none."""
        assert self.function is not None
        made = self.function(denoiser, y, operator, facts["noise"])
        if not (hasattr(made, "schedule") and hasattr(made, "predict")):
            raise InputError(f"{self.name} returned {shown(made)}, and a method returns a denoiser")
        return made


@dataclass(frozen=True, eq=False)
class Task:
    """A restoration that is decided.

    Attributes:
        measurement: The measurement, with the noise that it is taken to have.
        y: The measurements of x (m, *), of latents those of a model of them.
        operator: What y measures of x.
        conditioning: What they are conditioned on besides the measurement.
        trained: The condition that says the measurement, for the method `trained`.
        decoded: Whether the measurement is one of what latents decode to.
    """

    model: TrainedModel
    request: Request
    measurement: Observation
    method: Restoration
    y: Tensor
    operator: Operator
    covariance: Covariance | None
    sampler: Sampler
    items: Sequence[int]
    conditioning: Conditioning
    trained: tuple[str, derived.Degradation] | None
    decoded: bool

    @property
    def projects(self) -> bool:
        """Whether samples are made to fit y exactly, which has no noise then and is linear in the items."""
        return not self.noise and self.measurement.linear

    @property
    def times(self) -> list[float]:
        """The times that are visited."""
        times = list(self.sampler.times(self.model.denoiser.schedule))
        return resampled(times, JUMP, STRETCH_REPEATS) if self.method.repeats else times

    @property
    def noise(self) -> float:
        """The standard deviation of the noise of y."""
        return self.measurement.noise

    def steps(self, positions: Sequence[int]) -> Iterator[Step]:
        """Make the samples at some positions in one batch, step by step."""
        batch, sampler, rows = [self.items[position] for position in positions], self.sampler, self._rows(positions)
        if not self.noise or not self.method.clip:  # clipping would undo a part of the moves
            sampler = dataclasses.replace(sampler, clip=None)  # type: ignore[type-var]
        conditioning = self.conditioning.wrapped(lambda denoiser: self._wrapped(denoiser, rows))
        conditioning = dataclasses.replace(conditioning, rows=self._condition(positions, batch))
        for step in states(self.model, batch, sampler, self.request.seed, conditioning, Route(times=self.times)):
            x = step.x
            if step.t == 0 and self.projects and self.sampler.clip is not None and not self.decoded:
                x = _in_range(x, rows, self.operator, self.sampler.clip)
            yield Step(step.index, step.t, x, x if step.t == 0 else step.x0)

    def finish(self, x: Tensor) -> Tensor:
        """Bring the samples, all at once, to the units of the data."""
        spec, y, operator = self.model.spec, self.measurement.y, self.measurement.operator
        if not self.projects or not self.decoded:
            return spec.decode(x)
        with torch.no_grad():
            rows = y[[position % len(y) for position in range(len(x))]]
            made = spec.from_x(x)
            made = made + operator.pseudo_inverse(rows.to(made) - operator.apply(made), spec.shape)
            limit = self.sampler.clip or 1.0 if spec.codec.bounded else math.inf
            return spec.codec.decode(_in_range(made, rows, operator, limit))

    def check(self, items: Tensor) -> tuple[str, ...]:
        """Say what the user should know of the samples, in the units of the data."""
        spec = self.model.spec
        if known_part(self.measurement.operator, spec.shape) is not None:  # what is known is put in its place
            return ()
        encoded, floor = spec.codec.encode(items).cpu(), spec.codec.rounding or LEAST_NOISE
        rounded = dataclasses.replace(self.measurement, rounding=max(self.measurement.rounding, floor))
        return *disagreement(rounded, encoded, self.noise), *resemblance(self.model.examples, encoded, floor)

    def misfit(self, items: Tensor) -> float:
        """The root mean square of A x − y of samples, in the units of the data."""
        x, y = self.model.spec.codec.encode(items).cpu(), self.measurement.y
        made = self.measurement.operator.apply(x)
        return float((made - y[torch.arange(len(x)) % len(y)]).square().mean().sqrt())

    def _rows(self, positions: Sequence[int]) -> Tensor:
        return on_device(self.y[[position % len(self.y) for position in positions]], self.model.device)

    def _condition(self, positions: Sequence[int], batch: Sequence[int]) -> dict[str, Tensor]:
        if self.method.name != "trained" or self.trained is None:
            return {}
        (name, degradation), spec, measurement = self.trained, self.model.spec, self.measurement
        rows = on_device(measurement.y[[position % len(measurement.y) for position in positions]], self.model.device)
        made = degradation.of_measurement(rows, measurement.operator, self.noise, spec.shape, self.request.seed, batch)
        return {argument_name(name): spec.further[name].place(made, spec.x_shape[1:])}

    def _wrapped(self, denoiser: Denoiser, rows: Tensor) -> Denoiser:
        method, noise, network = self.method, self.noise, isinstance(self.model.denoiser, Diffusion)
        clipped = denoiser if self.sampler.clip is None else Clipped(denoiser, self.sampler.clip)
        iterations = settings_of(self.request).iterations
        if method.name != "trained":
            operator, spec = self.measurement.operator, self.model.spec
            applied = Linear(lambda x: operator.apply(spec.from_x(x))) if self.decoded else self.operator
            error = (NETWORK_ERROR if noise else EXACT_ERROR) if network and method.error else 0.0
            denoiser = method.wrap(
                clipped,
                rows,
                applied,
                noise=math.hypot(noise, error) if error else noise,
                covariance=self.covariance,
                iterations=method.iterations if network and iterations is None else iterations,
            )
            clipped = denoiser if self.sampler.clip is None else Clipped(denoiser, self.sampler.clip)
        # what agrees with y exactly is not clipped any more
        fits = self.projects and not self.decoded
        return Posterior(clipped, rows, self.operator, 0.0, "ddnm") if fits else denoiser


def restored(model: TrainedModel, request: Request, measurement: Observation, aids: Aids) -> Process:
    """Decide how items are sampled that fit a measurement of encoded items.

    Raises:
        InputError: If the model cannot do this.
    """
    y, operator = measurement.y, measurement.operator
    items, sampler = items_of(model, request, EDIT_SAMPLES * len(y)), sampler_of(model, request)
    conditioning = conditioning_of(model, request)
    linear, values = measurement.linear, conditioning.values
    trained = _condition_for(model.spec, operator, measurement.noise, values) if linear else None
    is_part = known_part(operator, model.spec.shape) is not None
    explanation = Explanation(measurement.noise) if is_part else explained(model, measurement)
    decoded = model.spec.autoencoder is not None and aids.of_latents is None
    measurement = dataclasses.replace(measurement, noise=explanation.noise)
    method, reason = _method(model, request, measurement, aids, trained)
    _check_method(method, model, request, trained, decoded, linear)
    if method.inverts and explanation.enlarged > SIGMA_DATA:
        raise InputError(
            f"{method.name} inverts {measurement.name}, which enlarges the noise of y from {explanation.noise:.2g} to "
            f"{explanation.enlarged:.2g}, and items are in [-1, 1]: take {option('method', 'pigdm')}, which weighs the "
            "noise"
        )
    covariance = model.covariance if method.covariance and aids.covariance is None else aids.covariance
    y_x, operator_x = aids.of_latents or (y, operator)
    task = Task(
        model, request, measurement, method, y_x, operator_x, covariance, sampler, items, conditioning, trained, decoded
    )
    return Process(
        model,
        request,
        items,
        sampler,
        task.times,
        task.steps,
        decode=model.spec.decode,
        finish=task.finish,
        notes=explanation.notes,
        method=method.name,
        reason=reason,
        inputs=len(y),
        evaluations=evaluations(sampler, model.denoiser.schedule, task.times),
        check=task.check,
        misfit=None if is_part else task.misfit,
    )


def _method(
    model: TrainedModel,
    request: Request,
    measurement: Observation,
    aids: Aids,
    trained: tuple[str, derived.Degradation] | None,
) -> tuple[Restoration, str]:
    """The method of a request, and why it is taken."""
    name = settings_of(request).method or "auto"
    if aids.custom_method is not None:
        name = _custom_name(aids.custom_method)
        return CustomRestoration(name, "", "a custom method", function=aids.custom_method), "It is a custom method."
    if name != "auto":
        return RESTORATIONS.find(name), "It is the method that the options or the recipe name."
    if model.spec.autoencoder is not None and aids.of_latents is None and trained is None:
        return RESTORATIONS["dps"], "The decoder of the latents is not linear, which the methods but dps need."
    if not measurement.linear:
        return RESTORATIONS["dps"], "The operator is not linear, which the methods but dps need."
    name, reason = _chosen(model, trained, measurement.operator, aids.covariance)
    return RESTORATIONS[name], reason


def _check_method(
    method: Restoration,
    model: TrainedModel,
    request: Request,
    trained: tuple[str, derived.Degradation] | None,
    decoded: bool,
    linear: bool,
) -> None:
    """Raise InputError if a method cannot be taken, or an option has no effect on it."""
    if method.name == "trained" and trained is None:
        kinds = ", ".join(f"{name} ({kind.made_by})" for name, kind in model.spec.further.items() if kind.made_by)
        raise InputError(
            f"the model was not trained with a condition that says this measurement: it has {kinds or 'none'}; train "
            f"one with {option('given', 'upscale:4+noise:0.05')} or {option('given', 'mask')}, or leave "
            f"{option('method')} out"
        )
    if method.linear and (decoded or not linear):
        others = ", ".join(one.name for one in RESTORATIONS.values() if not one.linear and (linear or one.place))
        what = "the decoder of this model's latents" if linear else "the operator"
        raise InputError(
            f"{method.name} needs a measurement that is linear in x, and {what} is not: {option('method')} is one of "
            f"{others}"
        )
    if settings_of(request).iterations is not None and method.iterations is None:
        iterative = ", ".join(one.name for one in RESTORATIONS.values() if one.iterations is not None)
        raise InputError(f"{option('iterations')} is an option of {iterative}, and {method.name} has none")


def _custom_name(method: CustomMethod) -> str:
    """The name of a method of the user. Raises InputError if it cannot be called as one."""
    if not takes(method, None, None, None, 0.0):
        raise InputError(
            f"{option('method')} cannot be {shown(method)}: give one of {RESTORATIONS.names}, or a function of "
            "(denoiser, y, operator, noise) that returns a denoiser"
        )
    return function_name(method)


def _in_range(x: Tensor, y: Tensor, operator: Operator, limit: float) -> Tensor:
    """Bring samples that agree with y into a range, by projections in turn; they agree with y after the last."""
    for number in range(PROJECTIONS):
        inside = x.clamp(-limit, limit)
        fits = (x - inside).abs().max() <= RANGE_TOLERANCE
        # an accelerator tests every CHECK_EVERY iterations; samples that are in the range already stay as they are
        if (x.device.type == "cpu" or number % CHECK_EVERY == 0) and bool(fits):
            break
        moved = inside + operator.pseudo_inverse(y.to(x) - operator.apply(inside), x.shape[1:])
        x = torch.where(fits, x, moved)
    return x


def _chosen(
    model: TrainedModel,
    trained: tuple[str, derived.Degradation] | None,
    operator: Operator,
    covariance: Covariance | None,
) -> tuple[str, str]:
    """The method that suits an operator best, and why: the figures are on the page of the study of methods."""
    if trained is not None:
        name, degradation = trained
        return (
            "trained",
            f"The model was trained with the condition {name} (made by {degradation.text}), which says this.",
        )
    if model.config.train.energy is not None:
        raise InputError(
            "this model answers in one evaluation what it was trained to be given, and this is something else: "
            f"train with {option('given')} that says it, or edit with a model that was not trained so"
        )
    if is_distilled(model):
        return "jfps", "Estimates of a distilled model are samples, no means, and jfps takes no gradient of them."
    if known_part(operator, model.spec.shape) is None:
        return "pigdm", "It had the lowest energy score for operators other than masks in the study of methods."
    if covariance is None and model.covariance is None:
        return "mmps", "The training data cannot be read, whose covariance jfps needs; mmps needs none."
    return "jfps", "It had the lowest energy score for masks in the study of methods, and needs no gradient."


def _condition_for(
    spec: DataSpec, operator: Operator, noise: float, values: Mapping[str, ConditionValues]
) -> tuple[str, derived.Degradation] | None:
    """The condition that says a measurement, by its name and how it is made, unless it has another value."""
    degradations = derived.degradations(spec.further, spec.periodic)
    fitting = [
        name
        for name, degradation in degradations.items()
        if spec.further[name].on_grid
        and name not in values
        and not any(isinstance(part, derived.CustomFunction) for part in degradation.parts)
        and degradation.answers(operator, noise, spec.shape)
    ]
    # the one with the least noise knows most
    return min(((name, degradations[name]) for name in fitting), key=lambda one: one[1].noise, default=None)
