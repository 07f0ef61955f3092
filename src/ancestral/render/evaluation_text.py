"""The metrics of samples and the likelihood of data, in words and tables."""

import math
from collections.abc import Sequence
from functools import singledispatch

from ancestral.base.arguments import short_source
from ancestral.base.options import command_line, option
from ancestral.base.quantities import NORMAL, Estimate, format_hours, format_percent, plural
from ancestral.base.registries import needs_of
from ancestral.base.result import Table
from ancestral.results import evaluation_result as facts
from ancestral.results import sample_result as measures
from ancestral.results.sample_result import SampleMetrics

MAX_CHANNELS = 6
"""Channels whose means are shown."""
ITEM_NOUNS = {2: "signals", 3: "images", 4: "volumes"}
"""Noun of items, by their number of axes; else points."""
MAX_RANKS = 20
"""Shares of ranks that are shown in a line."""
SET_TITLES = {
    "value": "to training data",
    "held_out": "to held-out data",
    "matched": "as the floor",
    "floor": "floor",
}
"""Titles of the sets that distances are between, by the fields of a measure."""
FORECASTS = {
    "samples": "samples",
    "mean": "their mean",
    "scaled": "samples, noise scaled",
    "average": "average of training items",
    "nearest": "nearest training item",
    "random": "random training items",
}
"""Names of answers to a condition."""
CAPTIONS = {
    "training": "captions of training items",
    "new": "captions that never occurred",
    "new pairs": "captions with pairs of words that never occurred",
    "exchanged": "captions with a word exchanged",
}
"""Names of groups of captions."""
HOLD_OUT = f"hold out 10 % ({option('validation', 0.1)}) and stop where its loss rises"
"""Advice against memorisation."""


def evaluation_parts(result: facts.EvaluationResult) -> list[Table | str]:
    """Say what the samples' metrics and the likelihood show."""
    samples = [] if result.samples is None else metrics_parts(result.samples)
    conditional = [] if result.conditional is None else conditional_parts(result.conditional)
    return [*samples, *conditional, *([] if result.likelihood is None else likelihood_parts(result.likelihood))]


def metrics_parts(metrics: SampleMetrics) -> list[Table | str]:
    """The verdict, tables of the distances, the other metrics and the settings, and the notes."""
    others, settings = (Table((), [*rows.items()]) for rows in (other_metrics(metrics), sample_settings(metrics)))
    tables = [table for table in (distance_table(metrics), others, settings) if table.rows]
    return [*filter(None, [verdict(metrics)]), *tables, *metrics.all_notes]


def verdict(metrics: SampleMetrics) -> str:
    """Verdict on samples in a line, with advice: copies first, then how far the samples are from the data."""
    measured = metrics.memorisation
    if (copies := measured.copied) is not None:
        word = "COPIES" if copies.excess >= measures.MANY_COPIES else "SOME COPIES"
        return (
            f"{word}: {copies.share.percent} of the samples copy a training item ({copies.copied:,} of "
            f"{copies.items:,} different ones). Take more data or fewer {option('steps')}, or {HOLD_OUT}."
        )
    if (near := measured.near) is not None:
        return (
            f"NEAR THE TRAINING DATA: {_memorisation(near)}: memorised in part, or blurred. Look at memorisation.png, "
            f"and {HOLD_OUT}."
        )
    searched = any(part is not None and part.copies for part in (measured.pixels, measured.features))
    return ": ".join(filter(None, ["NO COPIES" if searched else "", _distance_verdict(metrics)]))


def _distance_verdict(metrics: SampleMetrics) -> str:
    """Say how far the samples are from the data, against the floor of equal numbers of items."""
    few = min(metrics.sets.get("matched", metrics.sets["value"])) <= metrics.extractor.features
    for name in ("kernel", "frechet") if few else ("frechet", "kernel"):  # of few items the Fréchet distance is nothing
        measure = metrics.numbers.get(name)
        if measure is None or measure.floor is None:
            continue
        title, value, least = measure.title, measure.comparable, measure.floor
        apart, error = value.value - least.value, math.hypot(value.error or 0, least.error or 0)
        if apart <= NORMAL * error:
            return f"{title} cannot tell the samples from the data ({value}, floor {least})."
        return (
            f"{title} {value}, where data has {least}. Train for more {option('steps')}, or see with "
            f"`{command_line('compare', 'RUN', samplers='all')}` whether the sampler holds it back."
        )
    return ""


def sample_settings(metrics: SampleMetrics) -> dict[str, str]:
    """Describe the samples and what they were compared with, by name."""
    samples, floor = metrics.samples, metrics.sets["floor"]
    text = f"{samples.count:,} of {samples.folder}"
    if samples.sampler is not None:
        guidance = f", guidance {samples.guidance:g}" if samples.guidance not in (None, 1) else ""
        text = f"{samples.count:,} by {samples.sampler}, seed {samples.seed}{guidance}"
    rows = {
        "samples": text + (f", {samples.label}" if samples.label is not None else ""),
        "features": f"{metrics.extractor.features:,} of {metrics.extractor.name}",
        "training data": metrics.data.train,
        "held-out data": metrics.data.held_out,
        "floor": f"{metrics.floor}: {floor[0]:,} to {floor[1]:,}",
        "as the floor": "matched" in metrics.sets and "as many of the samples to as many training items",
    }
    return {name: text for name, text in rows.items() if text}


def distance_table(metrics: SampleMetrics) -> Table:
    """Make the table of distances, each with its standard error."""
    columns = {name: title for name, title in SET_TITLES.items() if name in metrics.sets}
    rows = [[one.title, *(str(getattr(one, name)) for name in columns)] for one in metrics.between_sets.values()]
    return Table(("", *columns.values()), rows)


def other_metrics(metrics: SampleMetrics) -> dict[str, str]:
    """Describe what is no distance, by name."""
    return quality_rows(metrics) | memorisation_rows(metrics)


def quality_rows(metrics: SampleMetrics) -> dict[str, str]:
    """Describe what is neither a distance nor the memorisation, by name."""
    rows = dict[str, str]()
    for name, measure in metrics.metrics.items():
        if name not in metrics.between_sets:
            rows |= measure_rows(measure, "training data" if needs_of(name) == "logits" else metrics.floor)
    return rows


@singledispatch
def measure_rows(measure: measures.AnyMeasure, data: str) -> dict[str, str]:
    """Describe a measure, by name; not those that have a section of their own.

    Args:
        measure: The measure.
        data: The data that the floor is of.
    """
    return {}


@measure_rows.register
def _number(measure: measures.Measure, data: str) -> dict[str, str]:
    floor = "" if measure.floor is None else f"; {data} {measure.floor}"
    return {measure.title: f"{measure.value}{floor}"}


@measure_rows.register
def _class_accuracy(measure: measures.ClassAccuracy, data: str) -> dict[str, str]:
    text = (
        f"{measure.samples.percent} of samples are classified as the class that they were conditioned on; of "
        f"{measure.items:,} real items {measure.data.percent}"
    )
    return {measure.title: f"{text}; {by_chance(measure)}"}


@measure_rows.register
def _captions(measure: measures.CaptionRetrieval, data: str) -> dict[str, str]:
    rows = dict[str, str]()
    for group in measure.groups:
        real = "which no real item has" if group.real is None else f"of real items {group.real.percent}"
        rows[CAPTIONS.get(group.name, group.name)] = (
            f"{group.samples.percent} of samples are nearest to their own of {measure.among}; {real}; "
            f"{group.captions:,} different ones"
        )
    chance = f"by chance {format_percent(1 / measure.among)}"
    return {**rows, "shuffled captions": f"{measure.shuffled.percent} of real items; {chance}"}


@measure_rows.register
def _colour(measure: measures.ColourDrift, data: str) -> dict[str, str]:
    sigmas = "–" if measure.sigmas is None else f"{measure.sigmas:.1f}"
    rows = {
        "mean of each channel": f"samples {_few(measure.samples.mean)}; training data {_few(measure.data.mean)}; "
        f"largest difference {measure.levels:+.2f} of 255 levels of the range, {sigmas} standard errors"
    }
    covariances = [moments.covariance for moments in (measure.samples, measure.data)]
    deviations = [_few([row[i] ** 0.5 for i, row in enumerate(matrix)]) for matrix in covariances if matrix]
    if len(deviations) == 2:
        rows["deviation of each channel"] = "samples {}; training data {}".format(*deviations)
    return rows


@measure_rows.register
def _spectrum(measure: measures.PowerSpectrum, data: str) -> dict[str, str]:
    rows = dict[str, str]()
    for name, ratios in [*measure.samples.items()][:MAX_CHANNELS]:
        octaves = zip(measure.waves, measure.waves[1:], ratios, measure.floor[name], strict=False)
        texts = [f"waves of {short:g} to {long:g} cells {one} ({floor})" for long, short, one, floor in octaves]
        rows[f"power of {name}" if len(measure.samples) > 1 else "power"] = (
            f"over that of the training data, and in brackets that of {data}: {', '.join(texts)}"
        )
    return rows


def memorisation_rows(metrics: SampleMetrics) -> dict[str, str]:
    """Describe copies of training items, and how near samples come to these, by name."""
    spaces = {"pixels": metrics.memorisation.pixels, "features": metrics.memorisation.features}
    measured = {name: part for name, part in spaces.items() if part is not None}
    rows = {f"copies by {name}": _copies(part.copies) for name, part in measured.items() if part.copies is not None}
    return rows | {f"memorisation by {name}": _memorisation(part) for name, part in measured.items()}


def _copies(copies: measures.CopyResult) -> str:
    equal = f", {copies.equal:,} samples are equal to one" if copies.equal else ""
    return (
        f"{copies.share.percent} of samples are less than a third as far from one training item as from any other; "
        f"by chance {copies.chance.percent}; {copies.copied:,} of {copies.items:,} different items are copied{equal}"
    )


def _memorisation(part: measures.MemorisationResult) -> str:
    if part.share is None or part.expected is None:
        return f"not measured; the median distance to the nearest of {part.among:,} is {part.median:.4g}"
    return (
        f"{format_percent(part.share, part.share_error)} of samples are nearer to a training item than "
        f"{format_percent(1 - part.expected)} of held-out items are; without memorisation "
        f"{format_percent(part.expected, part.error)}"
    )


def by_chance(accuracy: measures.ClassAccuracy) -> str:
    """Share that guessing would reach, such as "by chance 10 %"."""
    return f"by chance {100 / accuracy.classes:.3g} %"


def _few(values: Sequence[float]) -> str:
    text = " ".join(f"{value:.4g}" for value in values[:MAX_CHANNELS])
    return f"{text} …" if len(values) > MAX_CHANNELS else text


def conditional_parts(result: facts.ConditionalResult) -> list[Table | str]:
    """The verdict, the table of scores, those of the calibration and the settings, and the notes."""
    tables = [
        score_table(result),
        crps_table(result),
        Table((), [*calibration_rows(result).items()]),
        group_table(result),
        lead_table(result),
    ]
    settings = Table((), [*conditional_settings(result).items()])
    return [conditional_verdict(result), *(table for table in tables if table.rows), settings, *result.all_notes]


def conditional_verdict(result: facts.ConditionalResult) -> str:
    """Verdict on samples for the conditions of items in a line, with advice."""
    score = f"energy score {result.forecasts[0].pixels.energy}"
    as_good = {
        answer.name: answer.pixels.energy
        for answer in result.forecasts
        if answer.behind is not None and answer.behind.value <= NORMAL * (answer.behind.error or 0)
    }
    for name in ("random", "nearest", "average"):
        if name in as_good:
            return (
                f"NO BETTER THAN {FORECASTS[name].upper()}: {score}, theirs {as_good[name]}. Train for more "
                f"{option('steps')}, or look whether the conditions are those of the items."
            )
    if "mean" in as_good:
        return f"NO GAIN BY SAMPLING: {score}, and the mean of the samples as a single answer {as_good['mean']}."
    ratio = result.calibration.ratio
    if result.calibration.overconfident:
        return f"TOO LITTLE VARIED: {score}, and the samples of a condition spread {ratio} times as much as they err."
    return f"USES THE CONDITIONS: {score}, better than every baseline without a model{_beside(result)}."


def _beside(result: facts.ConditionalResult) -> str:
    """Say how samples compare with those of other runs for the same conditions."""
    texts = []
    for name, skill in ((one.name, one.skill) for one in result.forecasts if one.name not in FORECASTS):
        if skill is not None and abs(skill.value) > NORMAL * (skill.error or 0):
            size, word = Estimate(abs(skill.value), skill.error).percent, "better" if skill.value > 0 else "worse"
            texts.append(f"; {size} {word} than {name}")
        elif skill is not None:
            texts.append(f"; no different from {name} within the error (skill {skill.percent})")
    return "".join(texts)


def conditional_settings(result: facts.ConditionalResult) -> dict[str, str]:
    """Describe the items whose conditions were given, and the samples, by name."""
    data, samples = result.data, result.samples
    guidance = f", guidance {samples.guidance:g}" if samples.guidance not in (None, 1) else ""
    rows = {
        "items": f"{data.items:,} of {data.of:,} of {short_source(data.source)}, {data.split}",
        "conditions": ", ".join(data.conditions),
        "samples": f"{result.members:,} for each by {samples.sampler}, seed {samples.seed}{guidance}",
        "baselines": f"of {data.train_items:,} training items of {short_source(data.train)}",
    }
    if result.extractor is not None:
        rows["features"] = f"{result.extractor.features:,} of {result.extractor.name}"
    return rows


def score_table(result: facts.ConditionalResult) -> Table:
    """Make the table of energy scores, and of the distances of single answers."""
    features = result.extractor is not None
    columns = ["", "energy score", *(["in features"] if features else []), "above the samples", "skill",
               "PSNR of one (dB)", "distance of one", *(["in features"] if features else [])]  # fmt: skip
    rows = []
    for answer in result.forecasts:
        by_features = answer.features
        rows.append([
            forecast_name(answer, result.members),
            str(answer.pixels.energy),
            *([str(by_features.energy)] if by_features is not None else []),
            *("–" if one is None else str(one) for one in (answer.behind, answer.skill)),
            "–" if answer.pixels.psnr is None else str(answer.pixels.psnr),
            str(answer.pixels.distance),
            *([str(by_features.distance)] if by_features is not None else []),
        ])  # fmt: skip
    return Table(columns, rows)


def crps_table(result: facts.ConditionalResult) -> Table:
    """Make the table of the CRPS of points, signals and fields, in their units; it has no rows of other items."""
    scores = [(answer, answer.crps) for answer in result.forecasts if answer.crps is not None]
    shown = min([MAX_CHANNELS, *(len(crps.channels) for _, crps in scores)])
    kind = "number" if len(result.data.shape) == 1 else "channel"
    numbers = [*result.data.channels[:shown]] or [f"{kind} {i}" for i in range(shown)]
    rows = [
        [forecast_name(answer, result.members), *map(str, (crps.mean, *crps.channels[:shown]))]
        for answer, crps in scores
    ]
    return Table(("CRPS", "mean", *numbers), rows)


def lead_table(result: facts.ConditionalResult) -> Table:
    """Make the table of scores by lead time, of at most `MAX_CHANNELS` channels; it has no rows without a rollout."""
    names = result.data.channels[:MAX_CHANNELS]
    rows = []
    for one in result.leads:
        time = f"{one.lead}" if one.hours is None else f"{one.lead} ({format_hours(one.hours)})"
        parts = (one.energy, one.ratio, one.persistence, one.climatology, *one.crps.channels[: len(names)])
        rows.append([time, *("–" if part is None else str(part) for part in parts)])
    beside = ("skill beside the state before", "beside random items")
    return Table(("lead time", "energy score", "spread / error", *beside, *(f"CRPS {name}" for name in names)), rows)


def forecast_name(answer: facts.Forecast, members: int) -> str:
    """Name an answer to conditions in a table."""
    several = f"{members:,} " if answer.name in ("samples", "scaled", "random") else ""
    return several + FORECASTS.get(answer.name, answer.name)


def calibration_rows(result: facts.ConditionalResult) -> dict[str, str]:
    """Describe the coverage, the ranks, and the spread against the error, by name."""
    part, rows = result.calibration, dict[str, str]()
    if part.coverage is not None:
        rows["coverage"] = (
            f"{part.coverage.percent} of true values lie from sample {part.rank} to {part.members + 1 - part.rank} of "
            f"{part.members}; {100 * part.nominal:.3g} % if calibrated"
        )
    if part.ranks and len(part.ranks) <= MAX_RANKS:
        shares = " ".join(f"{100 * share.value:.1f}" for share in part.ranks)
        rows["ranks"] = (
            f"{shares} % of true values are above 0 to {part.members} samples; {100 / len(part.ranks):.3g} % each if "
            "calibrated"
        )
    if part.ratio is not None:
        rows["spread / error"] = (
            f"{part.ratio}; 1 if calibrated, less if overconfident (the mean errs by {part.error}, and the samples "
            f"predict {part.spread})"
        )
    if part.constant > 0:
        rows["constant values"] = f"{100 * part.constant:.3g} % equal all samples, and are left out of the shares"
    if (fit := result.noise) is not None and fit.calibration.coverage is not None:
        halves = " and ".join(f"{one:g}" for one in fit.halves)
        rows["noise"] = (
            f"{fit.factor:g} times as much covers best (the sampler consistency:noise={fit.factor:g}); with the "
            f"factors of half of the items, {halves}, {fit.calibration.coverage.percent} of the other half lie in the "
            f"interval, and spread / error is {fit.calibration.ratio}"
        )
    if result.worst:
        places = ", ".join(f"{one.item} ({one.energy:.3g})" for one in result.worst)
        rows["where it fails"] = f"the items at {places}, from 0 on: worst.png"
    return rows


def group_table(result: facts.ConditionalResult) -> Table:
    """Make the table of the energy scores of groups of items; it has no rows where there are none."""
    rows = [[one.condition, one.group, f"{one.items:,}", str(one.energy)] for one in result.groups]
    return Table(("condition", "group", "items", "energy score"), rows)


def likelihood_parts(result: facts.LikelihoodResult) -> list[Table | str]:
    """Tables of the terms and of the bound over time, and the notes."""
    return [Table((), list(likelihood_terms(result).items())), _over_time(result.over_time), *result.all_notes]


def likelihood_terms(result: facts.LikelihoodResult) -> dict[str, str]:
    """Describe the data, the bound and its terms, and the probability flow, by name."""
    bits, settings = result.bits_per_dim, result.settings
    rows = {
        "data": likelihood_items(result.data),
        "bound": bound_settings(settings),
        "L_T": f"{bits.L_T} bits/dim",
        "Σ L_t": f"{bits.L_t} bits/dim, t = 2..T",
        "L_0": f"{bits.L_0} bits/dim",
        "total": f"{bits.total} bits/dim",
    }
    if result.ode is not None:
        probes = plural(settings.probes, "probe") if settings.probes else "exact divergence"
        nats = f" ({result.ode.nats} nats)" if result.over_time.unit in (facts.DATA_UNIT, "[-1, 1]") else ""
        flow = f"{result.ode.bits_per_dim} bits/dim{nats}, {settings.ode_steps} steps, {probes}, not clipped"
        rows["probability flow"] = flow
    return rows


def likelihood_items(data: facts.LikelihoodData) -> str:
    """Describe the items that a likelihood is of."""
    kind = ITEM_NOUNS.get(len(data.shape), "points")
    return f"{data.images:,} of {data.of:,} {kind} of {short_source(data.source)}, {data.split} split"


def bound_settings(settings: facts.LikelihoodSettings) -> str:
    """Describe how a bound was taken."""
    clipped = "clipped" if settings.clip else "not clipped"
    passes = settings.T if settings.passes is None else min(settings.T, settings.passes)
    return (
        f"{settings.variance} variance, {clipped}, {settings.decoder} decoder; {passes:,} passes for T = {settings.T:,}"
    )


def _over_time(bound: facts.BoundOverTime) -> Table:
    """A table of the strata that hold T and parts of it, from T down to 1."""
    unit = f" ({bound.unit})" if bound.unit is not None else ""
    times = [max(round(part * bound.t_last[-1]), 1) for part in (1, 0.75, 0.5, 0.25, 0.1, 0.01, 0)]
    strata = list(zip(bound.t_first, bound.t_last, strict=True))
    numbers = list(zip(bound.bits_per_dim_of_a_step, bound.rate, bound.distortion, strict=True))
    rows = []
    for i in dict.fromkeys(i for t in times for i, (first, last) in enumerate(strata) if first <= t <= last):
        (first, last), (bits, rate, distortion) = strata[i], numbers[i]
        span = str(first) if first == last else f"{first}-{last}"
        rows.append((span, f"{bits:.2g}", f"{rate:.3f}", f"{distortion:.3g}"))
    return Table(("t", "bits/dim of a step", "rate so far", f"RMSE of x̂_0{unit}"), rows)
