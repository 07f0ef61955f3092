"""The likelihood of data under a model: which items, by which bound, and its measurement."""

import dataclasses
import math
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ancestral.base.errors import InputError
from ancestral.base.events import Event, Measured
from ancestral.base.options import option
from ancestral.bound import ELBO
from ancestral.data import TESTED, Codec
from ancestral.declarations import Evaluate
from ancestral.measure.bound_terms import EvalItems, bits_from_nats, collect_bound, flow_nats, mean
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reference import (
    HELD_OUT_SPLIT,
    OpenSplit,
    conditions_for,
    copies_among,
    copies_note,
    held_out_data,
    in_memory,
    labels_for,
    searched_items,
)
from ancestral.results import LikelihoodResult
from ancestral.results import evaluation_result as facts
from ancestral.results.sample_result import MeasuredModel
from ancestral.samplers.loop import check_spacing
from ancestral.use_cases.measuring.evaluated_models import EvaluatedModel

EXACT_DIVERGENCE = 16
"""The largest number of elements of an item for which the default divergence of the ODE is exact."""
ODE_STEPS, LIKELIHOOD_ITEMS = 100, 64
"""The default numbers of ODE steps and of items of the likelihood."""
UNIFORM_GUESS = (
    "A uniform guess costs {:g} bits/dim. The bound counts most where there is least noise, and there this network's "
    "error is larger than the noise. Samples do not show it; the preset `improved` learns for the bound."
)


class LikelihoodPlan(NamedTuple):
    """The items of the likelihood, what results say of them, and how it is measured."""

    items: EvalItems
    data: facts.LikelihoodData
    settings: facts.LikelihoodSettings


def plan_likelihood(entry: EvaluatedModel, options: Evaluate, source: Any, load: OpenSplit) -> LikelihoodPlan:
    """Choose the items, and decide how their likelihood is measured.

    Raises:
        InputError: If the model has no likelihood, the data no such part, or an option does not fit.
    """
    model, schedule, codec = entry.model, entry.model.denoiser.schedule, entry.model.spec.codec
    if model.spec.autoencoder is not None:
        raise InputError(
            f"{entry.name} is a model of latents, whose decoder gives items no probability, so they have no "
            f"likelihood: leave {option('likelihood', True)} out, or train on the items themselves"
        )
    if not codec.level and options.decoder not in (None, "density"):
        raise InputError(
            f"points and floats have no grey levels to decode; leave {option('decoder', options.decoder)} out"
        )
    ode_steps, probes = options.ode_steps, options.probes
    if options.ode:
        ode_steps = min(schedule.steps, ODE_STEPS) if ode_steps is None else ode_steps
        check_spacing(schedule, ode_steps, "logsnr")
        probes = int(math.prod(model.spec.shape) > EXACT_DIVERGENCE) if probes is None else probes
    learned = getattr(model.denoiser, "learned_variance", False)
    settings = facts.LikelihoodSettings(
        T=schedule.steps,
        variance=options.variance or ("learned" if learned else "large"),
        clip=codec.bounded if options.clip is None else options.clip,
        decoder=options.decoder or ("exact" if codec.level else "density"),
        passes=options.passes,
        seed=options.seed,
        ode_steps=ode_steps,
        probes=probes,
    )
    return LikelihoodPlan(*_choose_items(entry, options, source, load), settings)


def _choose_items(
    entry: EvaluatedModel, options: Evaluate, source: Any, load: OpenSplit
) -> tuple[EvalItems, facts.LikelihoodData]:
    """The items of the likelihood, and what the reader should know of them."""
    spec, codec, notes = entry.model.spec, entry.model.spec.codec, []
    held_out, title, split = None, "", options.split
    if split in (None, "held-out"):
        held_out, title = held_out_data(source, load, options.held_out)
    if split is None:
        tested = options.held_out is None and title == "test split" and source in TESTED
        split = "test" if tested else "held-out" if options.held_out is not None or title == HELD_OUT_SPLIT else "train"
    data = held_out if split == "held-out" else load(source, split)
    if data is None:
        raise InputError(
            f"{source} has no test split: give data that the model was not trained on, {option('held_out')}"
        )
    name = source if split != "held-out" or options.held_out is None else options.held_out
    dataset = in_memory(data)
    if dataset is not data:
        notes.append(f"The data does not fit into memory: {len(dataset):,} evenly chosen items stand for all.")
    if entry.data_config is not None and name == entry.data_config.source and split == "train":
        notes.append("These are training data, whose likelihood is too good if the model has memorised them.")
    if entry.model.config.distil.method or entry.model.config.train.energy is not None:
        cause = "was distilled" if entry.model.config.distil.method else "answers in one evaluation"
        notes.append(f"The model {cause}: its x̂_0 is a sample, not the mean of x_0 given x_t that the bound is of.")
    if entry.model.config.train.coupling != "independent":
        notes.append("The model was trained on pairs of a coupling, for which the bound is not one of its samples.")
    if split != "train" and (
        options.leave_out_copies or title == HELD_OUT_SPLIT
    ):  # else the training data may be far away
        copies, text = copies_among(dataset, searched_items(load(source, "train")))
        if options.leave_out_copies:
            dataset = dataset.subset((~copies).nonzero().flatten())
        if bool(copies.any()):
            notes.append(copies_note(text, options.leave_out_copies))
    if dataset.skipped:
        notes.append(f"Files that could not be read were skipped: {len(dataset.skipped)}.")
    labels, (values, condition_notes) = labels_for(dataset, spec.classes), conditions_for(dataset, spec)
    conditions = ItemConditions(spec, dataset.items, labels, values, torch.arange(len(dataset)), options.seed)
    notes += condition_notes
    if spec.classes and labels is None:
        notes.append('The data has no classes that the model knows, so the model was conditioned on "no class".')
    elif spec.classes:
        notes.append("The model was conditioned on the class of each image, so these are bits given the class.")
    if spec.further:
        names = ", ".join(spec.further)
        notes.append(f"The model was conditioned on {names} of each item, so these are bits given those.")
    if not all(scale.linear for scale in codec.scaling):
        notes.append(f"Densities are of the data by the scale {entry.model.config.data.scale}.")
    elif not codec.level and (bits := _bits_of_scale(codec)):
        unit = "[-1, 1]" if codec.bounded else "a standard deviation of ½"
        notes.append(f"Densities are of the data scaled to {unit}; in its own units add {bits:.4g} bits/dim.")
    n = min(LIKELIHOOD_ITEMS, len(dataset)) if options.n is None else options.n
    items = EvalItems.choose(dataset, n, codec, conditions.inputs)
    text = str(name) if isinstance(name, str | Path) else data.name
    return items, facts.LikelihoodData(text, split, len(items), len(dataset), dataset.shape, tuple(notes))


def measure_likelihood(
    entry: EvaluatedModel, plan: LikelihoodPlan, batch_size: int
) -> Generator[Event, None, LikelihoodResult]:
    """Measure the bound, and if it was asked for the likelihood of the probability flow."""
    model, codec, (items, data, settings) = entry.model, entry.model.spec.codec, plan
    variance: Any = model.analytic_variance if settings.variance == "analytic" else settings.variance
    decoder: Any = settings.decoder
    # the level does not matter to the density of data without levels
    elbo = ELBO(settings.seed, variance, settings.clip, decoder, level=codec.level or 0.0)
    terms = yield from collect_bound(model.denoiser, items, elbo, settings.passes, batch_size, model.device)
    total, ode, ode_bits = terms.total, None, None
    if settings.ode_steps is not None and settings.probes is not None:
        nats = yield from flow_nats(model.denoiser, items, settings, codec.level, batch_size, model.device)
        bits = bits_from_nats(nats, math.prod(data.shape), codec.level)
        ode, ode_bits = facts.OdeMeans(mean(bits), mean(nats)), tuple(bits.tolist())
    if float(total.mean()) > codec.uniform_bits:
        data = dataclasses.replace(data, notes=(*data.notes, UNIFORM_GUESS.format(codec.uniform_bits)))
    result = LikelihoodResult(
        model=MeasuredModel(entry.name, model.step, entry.sha256 or None, model.version),
        data=data,
        settings=settings,
        bits_per_dim=facts.BoundMeans(*map(mean, (terms.prior, terms.bits[:, :-1].sum(1), terms.bits[:, -1], total))),
        over_time=terms.over_time(codec.scale, _unit(codec)),
        per_image=facts.BitsPerItem(tuple(items.indices), tuple(total.tolist()), ode_bits),
        ode=ode,
    )
    yield Measured(result)
    return result


def _bits_of_scale(codec: Codec) -> float:
    """The bits/dim that densities in the units of floats have more than those in [-1, 1]; constant channels have 0."""
    ranges = codec.ranges or (codec.limits,)
    scales = [scale.half for scale in codec.scaling] or [(high - low) / 2 for low, high in ranges]
    return sum(math.log2(scale) for scale in scales if scale) / len(scales)


def _unit(codec: Codec) -> str:
    """What errors of x̂_0 are in the units of."""
    if codec.level:
        return f"0..{codec.limits[1]:.0f}"
    return "[-1, 1]" if codec.by_channel else facts.DATA_UNIT
