"""Samples that agree with a measurement: restoration and inpainting."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral import derived
from ancestral.arguments import function_name, shown, takes
from ancestral.conditions import Image, argument_name
from ancestral.covariance import Covariance
from ancestral.data.spec import DataSpec
from ancestral.derived import known_part
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.guidance import METHODS, Clipped, Posterior
from ancestral.model.condition_values import ConditionValues
from ancestral.model.editing.edited_samples import (
    COUNT,
    Edit,
    conditions_of,
    evaluations,
    is_distilled,
    items_of,
    sampler_of,
    settings_of,
)
from ancestral.model.editing.measurement_noise import (
    FLOOR,
    Explanation,
    Measurement,
    disagreement,
    explained,
    resemblance,
)
from ancestral.model.image_values import read_images
from ancestral.model.regions import Region, read_change
from ancestral.model.requested import guidance_of
from ancestral.model.trained_model import TrainedModel
from ancestral.nets.autoencoder import Autoencoder
from ancestral.nets.space import fold, pad
from ancestral.operators import Identity, Linear, Mask, Operator, check_linear, check_noise
from ancestral.options import option
from ancestral.registries import RESTORATIONS, MaskPart
from ancestral.results.request import Request
from ancestral.samplers import (
    TDS,
    Step,
    resampled,
)
from ancestral.targets import SIGMA_DATA, Denoiser

Restoration: TypeAlias = Callable[[Denoiser, Tensor, Operator, float], Denoiser]
"""A method of restoration: given a denoiser, which is clipped as the sampler's, y (B, *) in units of [-1, 1], A and σ,
it returns a denoiser whose samples fit y. A gradient through the denoiser needs `torch.enable_grad`."""
PARTICLES = 16
"""Default number of particles of a sample."""
LARGEST = 4.0
"""The largest absolute value of a measurement in [-1, 1] with its noise."""
NETWORK_ERROR, EXACT_ERROR = 0.1, 0.2
"""Standard deviation of the error of a network's x̂_0, which JFPS takes for noise beside that of y: for y with noise and
without. An error where y is known would else be continued into what is not; without noise, the result is then made to
agree with y. The methods with the network's own covariance are better without it."""
PROJECTIONS, BEYOND = 100, 1e-3
"""The largest number of projections of samples without noise into the range of the data, and how far beyond it they may
end, an eighth of a grey level of 255."""
WITH_NOISE, WITH_COVARIANCE = ("tds",), ("pigdm", "jfps", "tds")
"""Methods for measurements with noise alone; methods that use the covariance of the data."""
INVERTING = ("ddnm", "replacement", "repaint")
"""Methods that apply A⁺ to y, with its noise."""
NOT_LINEAR = ("trained", "dps")
"""Methods that need no linear operator, for models of latents."""
ITERATIONS = {"jfps": 5, "mmps": 3}
"""Default numbers of iterations with a network, whose estimates are clipped. More of them fit its error: with 20 the
energy score of JFPS is higher by 0.015 on emoji of 32x32, and no lower on digits. One of MMPS is too few."""
MAX_POOL: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
"""The largest value around each position by the number of axes of space."""
BYTE = 257
"""What integers of 16 bits are multiples of that were 8 bits."""
JUMP, REPEATS = 5, 5
"""RePaint: the number of steps of a stretch, and how often each is gone through."""


def restoration(
    model: TrainedModel,
    request: Request,
    image: Any,
    operator: Operator | str | None = None,
    covariance: Covariance | None = None,
    of_latents: tuple[Tensor, Operator] | None = None,
    own_method: Restoration | None = None,
) -> Edit:
    """Decide how items are sampled that fit a measurement y = A x_0 + σ n, of a request with its `noise` and `method`.

    `image` is y. For a model of latents `of_latents` is a measurement of the latents that says the same, (m, *), and
    its operator. Without it samples are moved along the gradient through the decoder, and what they decode to is made
    to fit y.

    Raises:
        InputError: If the model cannot do this.
    """
    edit = settings_of(request)
    method, iterations, particles = edit.method or "auto", edit.iterations, edit.particles
    if own_method is not None:
        method = _own_name(own_method)
    if operator is None:
        operator = edit.operator
    name = "the identity" if operator is None else str(operator)
    operator, noise = _operator(operator, edit.noise or 0.0, model.spec)
    check_noise(noise)
    spec = model.spec
    shape, decoded = spec.shape, spec.autoencoder is not None and of_latents is None
    check_linear(operator, shape)
    measured, rounding = _measurements(model.spec, image, operator)
    items, sampler = items_of(model, request, COUNT * len(measured)), sampler_of(model, request)
    label, values = conditions_of(model, request)
    trained = _condition_for(model.spec, operator, noise, values)
    is_part = known_part(operator, shape) is not None
    measurement = Measurement(measured, operator, noise, rounding, name)
    noise, enlarged, notes = Explanation(noise) if is_part else explained(model, measurement)
    measured_x, operator_x = of_latents or (measured, operator)
    if method == "auto" and decoded and trained is None:
        method, reason = "dps", "The decoder of the latents is not linear, which the methods but dps need."
    elif method == "auto":
        method, reason = _chosen(model, trained, operator, noise, covariance)
    elif own_method is not None:
        reason = "It is a method of your own."
    else:
        RESTORATIONS.find(method)
        reason = "It is the method that the options or the recipe name."
    if method == "trained" and trained is None:
        kinds = ", ".join(f"{name} ({kind.made_by})" for name, kind in model.spec.further.items() if kind.made_by)
        example = "upscale:4+noise:0.05" if known_part(operator, shape) is None else "mask"
        raise InputError(
            f"the model was not trained with a condition that says this measurement: it has {kinds or 'none'}; train "
            f"one with {option('given', example)}, or leave {option('method')} out"
        )
    if decoded and method not in NOT_LINEAR:
        raise InputError(
            f"{method} needs a measurement that is linear in x, and the decoder of this model's latents is not: "
            f"{option('method')} is one of {', '.join(NOT_LINEAR)}"
        )
    if method in WITH_NOISE and not noise > 0:
        raise InputError(f"{method} weighs samples by the noise of y: give {option('noise', 0.05)}, or another method")
    if method in INVERTING and enlarged > SIGMA_DATA:
        raise InputError(
            f"{method} inverts {name}, which enlarges the noise of y from {noise:.2g} to {enlarged:.2g}, and items are "
            f"in [-1, 1]: take {option('method', 'pigdm')}, which weighs the noise"
        )
    if particles is not None and method != "tds":
        raise InputError(f"{option('particles')} is an option of tds, and {method} has none: leave it out")
    if iterations is not None and method not in METHODS:
        raise InputError(f"{option('iterations')} is an option of {', '.join(METHODS)}, and {method} has none")
    if method == "tds" and (request.sampler or request.objects.sampler):
        raise InputError(f"tds is a sampler of its own: leave {option('sampler')} out")
    schedule = model.denoiser.schedule
    if method in WITH_COVARIANCE and covariance is None:
        covariance = model.covariance
    count_of_particles = 1 if method != "tds" else particles or PARTICLES
    times = resampled(sampler.times(schedule), JUMP, REPEATS) if method == "repaint" else sampler.times(schedule)

    network = isinstance(model.denoiser, Diffusion)
    error = (NETWORK_ERROR if noise else EXACT_ERROR) if network and method == "jfps" else 0.0
    iterations = ITERATIONS.get(method) if network and iterations is None else iterations

    def clipped(denoiser: Denoiser) -> Denoiser:
        return denoiser if sampler.clip is None else Clipped(denoiser, sampler.clip)

    def wrapped(denoiser: Denoiser, rows: Tensor) -> Denoiser:
        if own_method is not None:
            denoiser = own_method(clipped(denoiser), rows, operator_x, noise)
            if not (hasattr(denoiser, "schedule") and hasattr(denoiser, "predict")):
                raise InputError(f"{method} returned {shown(denoiser)}, and a method returns a denoiser")
        elif method in METHODS:
            uncertainty = math.hypot(noise, error)
            denoiser = Posterior(clipped(denoiser), rows, operator_x, uncertainty, method, covariance, iterations)
        elif method not in ("trained", "tds"):
            entry = RESTORATIONS[method]  # DPS does not use the noise
            applied = (lambda x: operator.apply(spec.from_x(x))) if decoded else operator_x
            denoiser = entry.make(clipped(denoiser), rows, applied, **{"noise": noise} if method != "dps" else {})
        # what agrees with y exactly is not clipped any more
        return denoiser if noise or decoded else Posterior(clipped(denoiser), rows, operator_x, 0.0, "ddnm")

    def steps(positions: Sequence[int]) -> Iterator[Step]:
        batch = [items[position] for position in positions]
        order = [position % len(measured) for position in positions]
        rows, rows_x = (part[order].to(model.device) for part in (measured, measured_x))
        condition: dict[str, Tensor] = {}
        if method == "trained":
            assert trained is not None
            name, maker = trained
            made = maker.of_measurement(rows, operator, noise, shape, request.seed, batch)
            condition[argument_name(name)] = model.spec.further[name].place(made, spec.x_shape[1:])
        method_sampler = sampler
        if not noise or method == "dps":  # clipping would undo a part of their moves
            method_sampler = dataclasses.replace(sampler, clip=None)  # type: ignore[type-var]
        if method == "tds":
            variance = (covariance or Covariance.isotropic(SIGMA_DATA**2)).mean_variance()
            steps, clip, spacing = sampler.steps, sampler.clip, sampler.spacing
            method_sampler = TDS(
                rows_x, operator_x, noise, count_of_particles, variance, steps=steps, clip=clip, spacing=spacing
            )
        trajectory = model.trajectory(
            batch, method_sampler, request.seed, label, guidance_of(request), condition, values,
            lambda denoiser: wrapped(denoiser, rows_x), None, times, count_of_particles,
        )  # fmt: skip
        for step in trajectory:
            first = slice(None, None, count_of_particles)  # each particle is a draw
            x = step.x[first]
            if step.t == 0 and not noise and sampler.clip is not None and not decoded:
                x = _in_range(x, rows_x, operator_x, sampler.clip)
            yield Step(step.index, step.t, x, x if step.t == 0 else step.x0[first])

    def finish(x: Tensor) -> Tensor:
        if noise or not decoded:
            return spec.decode(x)
        with torch.no_grad():
            rows = measured[[position % len(measured) for position in range(len(x))]]
            made = spec.from_x(x)
            made = made + operator.pseudo_inverse(rows.to(made) - operator.apply(made), shape)
            return spec.codec.decode(_in_range(made, rows, operator, sampler.clip or 1.0))

    def check(items: Tensor) -> tuple[str, ...]:
        if is_part:  # what is known is put in its place
            return ()
        encoded, floor = spec.codec.encode(items).cpu(), spec.codec.rounding or FLOOR
        far = disagreement(dataclasses.replace(measurement, rounding=max(rounding, floor)), encoded, noise)
        return *far, *resemblance(model.examples, encoded, floor)

    passes = evaluations(sampler, schedule, times) * count_of_particles
    return Edit(method, reason, len(items), len(measured), passes, times, steps, finish, notes, check)


def _own_name(method: Restoration) -> str:
    """The name of a method of the user. Raises InputError if it cannot be called as one."""
    if not takes(method, None, None, None, 0.0):
        raise InputError(
            f"{option('method')} cannot be {shown(method)}: give one of {RESTORATIONS.names}, or a function of "
            "(denoiser, y, operator, noise) that returns a denoiser"
        )
    return function_name(method)


def _in_range(x: Tensor, y: Tensor, operator: Operator, limit: float) -> Tensor:
    """Bring samples that agree with y into a range, by projections in turn; they agree with y after the last."""
    for _ in range(PROJECTIONS):
        inside = x.clamp(-limit, limit)
        if float((x - inside).abs().max()) <= BEYOND:
            break
        x = inside + operator.pseudo_inverse(y.to(x) - operator.apply(inside), x.shape[1:])
    return x


def inpainting(
    model: TrainedModel,
    request: Request,
    image: Any,
    mask: Any = None,
    changes: MaskPart | None = None,
    **options: Any,
) -> Edit:
    """Decide how a part of an image is sampled anew, of a request with its `noise` and `method`.

    Args:
        model: The model.
        request: The request.
        image: The image.
        mask: The part that changes.
        changes: The part of the mask that changes, if it is another.
        options: The further arguments of `restoration`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec = model.spec
    # integers in the units of the data, which samples are put into
    images = spec.codec.decode(spec.codec.encode(read_images(spec, image, "image", keep_size=True)))
    reading = read_change(spec, image, images[0], mask, changes)
    region = Region.around(reading.mask, spec.shape[1:])
    operator = Mask(~region.cut_mask)
    y = operator.apply(spec.codec.encode(region.cut(images)))
    if spec.autoencoder is not None:
        options["of_latents"] = _known_latents(
            spec.autoencoder, spec, spec.codec.encode(region.cut(images)), region.cut_mask
        )
    edit = restoration(model, request, spec.codec.decode(y) if spec.codec.level is None else y, operator, **options)
    notes = (*edit.notes, *filter(None, [reading.note, region.note]))
    return dataclasses.replace(edit, finish=lambda x: region.paste(images, spec.decode(x)), notes=notes)


def _known_latents(autoencoder: Autoencoder, spec: DataSpec, encoded: Tensor, mask: Tensor) -> tuple[Tensor, Operator]:
    """The latents of what is known of images in [-1, 1] (B, C, *sides), and the operator that keeps these.

    Latents beside unknown positions depend on these too, so they are unknown. What is unknown is encoded as the mean.
    """
    known = (~mask).expand_as(encoded)
    means = torch.stack([image[:, ~mask].mean(1) for image in encoded])
    filled = encoded.where(known, means.reshape(*means.shape, *[1] * mask.ndim))
    factor = autoencoder.factor
    cells = fold(pad(mask[None, None].float(), factor), factor).amax(1, keepdim=True)
    near = MAX_POOL[mask.ndim](cells, 3, 1, 1)[0, 0] > 0
    if bool(near.all()):
        raise InputError("too little is known for a model of latents: change less of the image at once")
    operator = Mask(~near)
    return operator.apply(spec.to_x(filled)), operator


def _chosen(
    model: TrainedModel,
    trained: tuple[str, derived.Maker] | None,
    operator: Operator,
    noise: float,
    covariance: Covariance | None,
) -> tuple[str, str]:
    """The method that suits an operator best, and why: the figures are on the page of the study of methods."""
    if trained is not None:
        name, maker = trained
        return "trained", f"The model was trained with the condition {name} (made by {maker.text}), which says this."
    if is_distilled(model):
        return "jfps", "Estimates of a distilled model are samples, no means, and jfps takes no gradient of them."
    if known_part(operator, model.spec.shape) is None:
        return "pigdm", "It had the lowest energy score for operators other than masks in the study of methods."
    if covariance is None and model.covariance is None:
        return "mmps", "The training data cannot be read, whose covariance jfps needs; mmps needs none."
    return "jfps", "It had the lowest energy score for masks in the study of methods, and needs no gradient."


def _condition_for(
    spec: DataSpec, operator: Operator, noise: float, values: Mapping[str, ConditionValues]
) -> tuple[str, derived.Maker] | None:
    """The condition that says a measurement, by its name and how it is made, unless it has another value."""
    makers = derived.makers(spec.further)
    fitting = [
        name
        for name, maker in makers.items()
        if isinstance(spec.further[name], Image)
        and name not in values
        and not any(isinstance(part, derived.OwnFunction) for part in maker.parts)
        and maker.answers(operator, noise, spec.shape)
    ]
    # the one with the least noise knows most
    return min(((name, makers[name]) for name in fitting), key=lambda one: one[1].noise, default=None)


def _operator(operator: Operator | str | None, noise: float, spec: DataSpec) -> tuple[Operator, float]:
    """The operator and the noise of a text; None is the identity."""
    if operator is None:
        if not noise:
            raise InputError(
                f"restore lacks {option('operator', 'upscale:4')}, which says how the image was measured, or "
                f"{option('noise', 0.1)} of an image that has noise alone"
            )
        return Identity(), noise
    if isinstance(operator, Operator):
        return operator, noise
    maker = derived.parse(operator) if isinstance(operator, str) else None
    if maker is None:
        raise InputError(
            f"{option('operator')} cannot be {operator!r}: give one such as upscale:4, grey, blur:2 or mask:left, "
            "several joined by +, or a function of your own, package.module:function"
        )
    if maker.noise and noise not in (0, maker.noise):
        raise InputError(
            f"{operator} has noise {maker.noise:g}, and {option('noise', noise)} another: give one of them"
        )
    return maker.operator(spec.shape[1:]), noise or maker.noise


def measured_shape(spec: DataSpec, operator: Operator | str | None, noise: float) -> tuple[int, ...]:
    """Return the shape of what an operator makes of an item; None is the identity.

    Raises:
        InputError: If it cannot be applied to the items of the model, or neither it nor the noise says anything.
    """
    operator, _ = _operator(operator, noise, spec)
    return tuple(operator.apply(torch.zeros(1, *spec.shape)).shape[1:])


def _measurements(spec: DataSpec, y: Any, operator: Operator) -> tuple[Tensor, float]:
    """The measurements (m, *) as an operator makes them of encoded items, and the noise of their rounding."""
    ones = operator.apply(torch.ones(1, *spec.shape))
    shape, codec = ones.shape[1:], spec.codec
    array = torch.from_numpy(np.ascontiguousarray(y)) if isinstance(y, np.ndarray) else y
    if isinstance(array, Tensor) and array.is_floating_point():
        rows = array.detach().cpu().float()
        rows = rows[None] if rows.shape == shape else rows
        if rows.shape[1:] != shape or not len(rows):
            raise InputError(f"y has the shape {list(rows.shape)}, and the operator makes {list(shape)} of an item")
        if not bool(rows.isfinite().all()):
            raise InputError("y holds NaN or infinity: give finite values, and a mask where some are missing")
        if codec.level is not None:
            if float(rows.abs().max()) > LARGEST and not isinstance(operator, Linear):
                raise InputError(f"y has values up to {float(rows.abs().max()):g}: give floats in [-1, 1], or integers")
            return rows, 0.0
        rounding = 0.0
    else:
        rows = read_images(spec, array, "y", shape=shape)
        rounding = 0.0 if rows.is_floating_point() else codec.rounding
        if rows.dtype == torch.uint16 and bool((rows.int() % BYTE == 0).all()):  # they were 8 bits
            rounding *= BYTE
        rows = rows.float()
    # y = A d of items d = scale x + middle
    return rows / codec.scale - ones * (sum(codec.limits) / 2 / codec.scale), rounding
