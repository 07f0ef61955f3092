"""Evaluation of a conditional model: K samples for the conditions of each of N real items."""

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from ancestral.base.errors import InputError, whole
from ancestral.base.events import Event, Work
from ancestral.base.options import option
from ancestral.base.quantities import Estimate
from ancestral.conditions import LABEL, Classes, Vector
from ancestral.data import DataSpec
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reference import ReferenceSet
from ancestral.measure.sample_quality import ITEMS_AT_ONCE
from ancestral.metrics import baselines, ensembles, uncertainty
from ancestral.model.trained_model import TrainedModel
from ancestral.nets import drawn_noise
from ancestral.results import evaluation_result as facts
from ancestral.results.sample_result import ExtractorName
from ancestral.samplers import Consistency

CONDITIONS_MEASURED = 48
"""The default number of items whose conditions are given."""
SPAN = 2.0
"""The range of the values of encoded items, from -1 to 1."""
FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
"""The factors of the noise of networks that are tried beside 1."""
WORST, WORST_SAMPLES = 10, 4
"""Numbers of items with the worst scores, and of the samples that are shown of each."""
RANGES = 3
"""The number of ranges of a number, with equally many items each, that are groups of items."""
NOT_HELD_OUT = (
    "Nothing was held out: the conditions are those of training items, which the model may have memorised, so its "
    f"scores may be too good. Hold some out ({option('validation', 0.1)}), or give {option('held_out')}."
)
IN_TIME = "The items follow one another, and neighbours are alike: errors are those of blocks of items."


@dataclass(frozen=True)
class EnsembleEvaluation:
    """Samples for the conditions of real items, the items, and the training items that baselines take.

    Sample i is given the conditions of item i modulo N, so more members add to the samples that are there.
    """

    evaluation: Evaluation
    """The samples, K for each of N items."""
    items: ReferenceSet
    """The real items, of which `evaluation.conditions` takes N."""
    rest: Tensor
    """Training items that are none of the N, int64 (M,)."""
    notes: tuple[str, ...] = ()
    scaled: Mapping[float, Evaluation] = field(default_factory=dict)
    """The same samples with other factors of the noise that the network draws; empty of a network that draws none."""
    beside: Mapping[str, Evaluation] = field(default_factory=dict)
    """Samples of other models for the same conditions, by name."""

    @staticmethod
    def of(
        evaluation: Evaluation, conditions: int | None, members: int, others: Sequence[Evaluation] = ()
    ) -> "EnsembleEvaluation":
        """Choose the items, spread evenly over what was held out, else over the training items.

        Args:
            evaluation: An evaluation of the same model.
            conditions: The number N of items; None is `CONDITIONS_MEASURED`, or all if there are fewer.
            members: The number K of samples for each.
            others: Evaluations of other models, which answer the same conditions.

        Raises:
            InputError: If there are fewer items than conditions, or too few training items for the baselines.
        """
        references, model = evaluation.references, evaluation.model
        train, held_out = references.train, references.held_out
        items = train if held_out is None else held_out
        most = len(items.items) if held_out is not None else len(items.items) // 2  # the others are for the baselines
        n = min(CONDITIONS_MEASURED, most) if conditions is None else conditions
        whole(n, 2, most, f"{option('conditions')} must be from 2 to {most:,}, the items that can be taken, not {n}")
        order = torch.tensor(evenly_spaced(n, len(items.items)))
        rest = torch.arange(len(train.items))
        if held_out is None:
            rest = rest[~torch.isin(rest, order)]
        if members > len(rest):
            raise InputError(
                f"{option('members', members)} needs as many training items to compare with, and there are "
                f"{len(rest):,}: give fewer"
            )
        chosen = ItemConditions.of(model.spec, items, order, evaluation.request.seed)
        asked, *rivals = (
            dataclasses.replace(one, count=n * members, conditions=chosen) for one in (evaluation, *others)
        )
        notes = [NOT_HELD_OUT] * (held_out is None) + [IN_TIME] * in_time(model)
        return EnsembleEvaluation(
            asked, items, rest, tuple(notes), _with_factors(asked), {f"run {rival.name}": rival for rival in rivals}
        )

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """All samples, by what they are."""
        scaled = {f"samples with {factor:g} times the noise": one for factor, one in self.scaled.items()}
        return {"samples for the conditions of items": self.evaluation, **scaled, **self.beside}

    @property
    def chosen(self) -> ItemConditions:
        """The N items and their conditions."""
        assert self.evaluation.conditions is not None
        return self.evaluation.conditions

    @property
    def members(self) -> int:
        """The number of samples for each item."""
        return self.evaluation.count // len(self.chosen)

    def measure(self, batch_size: int) -> Generator[Event, None, facts.ConditionalResult]:
        """Score the samples and the baselines. Those samples that are missing are made first."""
        evaluation, references = self.evaluation, self.evaluation.references
        spec, extractor = evaluation.model.spec, references.extractor
        ordered = in_time(evaluation.model)
        made = dict[str, Tensor]()
        for name, one in self.evaluations.items():
            flat = yield from one.samples(batch_size, "sampling for held-out conditions")
            made[name] = flat.view(self.members, len(self.chosen), *spec.shape).transpose(0, 1)
        samples, *scaled = [*made.values()][: 1 + len(self.scaled)]
        yield Work("scoring the samples", 0, 0)
        truth = self.items.items[self.chosen.order]
        roots = value_roots(spec, evaluation.model.config.data.weights, truth)
        encoded_truth, mean = (
            encoded_items(spec, roots, truth[:, None])[:, 0],
            ensembles.mean_forecast(encoded_items(spec, roots, samples)),
        )
        computed, fit = {"mean": mean, "average": (self._average() * roots).expand_as(mean)}, None
        if scaled:
            parts = zip((1.0, *self.scaled), (samples, *scaled), strict=True)
            fit, computed["scaled"] = fit_noise(
                {factor: encoded_items(spec, roots, part) for factor, part in parts}, encoded_truth, ordered
            )
        answers = {"samples": samples} | dict.fromkeys(computed)
        answers |= {name: references.train.items[rows] for name, rows in self._baselines().items()}
        answers |= {name: made[name] for name in self.beside}
        encoded = {
            name: computed[name] if part is None else encoded_items(spec, roots, part) for name, part in answers.items()
        }
        of_features: dict[str, Tensor] = {}
        if extractor.name != "pixels":
            folder = evaluation.store.folder / "features"
            for name, answer in {**answers, "truth": truth[:, None]}.items():
                decoded = answer
                if decoded is None:
                    decoded = encoded[name] / roots
                    decoded = spec.codec.decode(decoded.flatten(0, 1)).view(decoded.shape)
                made_here = folder if name in ("samples", "mean") else None
                features = yield from references.features(name, decoded.flatten(0, 1), batch_size, made_here)
                of_features[name] = features.values.view(*decoded.shape[:2], -1)
        yield Work("scoring the samples", 0, 0)
        scores = ensembles.energy_scores(encoded["samples"], encoded_truth)
        return facts.ConditionalResult(
            model=evaluation.identity,
            samples=evaluation.settings(),
            data=facts.ConditionalData(
                self.items.name, self.items.split, len(truth), self.items.of, spec.shape, tuple(spec.conditions),
                references.train.name, len(self.rest), (*references.notes, *self.notes),
                spec.titles,
            ),
            extractor=ExtractorName(extractor.name, extractor.width) if of_features else None,
            forecasts=tuple(_forecasts(encoded, encoded_truth, of_features, evaluation.model, roots)),
            calibration=ensembles.calibration(encoded["samples"], encoded_truth, ordered=ordered),
            versions=references.versions,
            noise=fit,
            groups=tuple(self._groups(scores)),
            worst=tuple(
                facts.WorstItem(int(self.chosen.order[row]), float(scores[row]))
                for row in scores.argsort(descending=True)[:WORST].tolist()
            ),
        )  # fmt: skip

    def shown(self, result: facts.ConditionalResult, batch_size: int) -> Generator[Event, None, tuple[Tensor, ...]]:
        """Return the items with the worst scores, and samples of each: (n, C, *sides) and n of (k, C, *sides)."""
        flat = yield from self.evaluation.samples(batch_size)
        places = {item: row for row, item in enumerate(self.chosen.order.tolist())}
        rows = [places[one.item] for one in result.worst]
        samples = flat.view(self.members, len(self.chosen), *flat.shape[1:])[:WORST_SAMPLES, rows]
        return self.items.items[self.chosen.order[rows]], *samples

    def _groups(self, scores: Tensor) -> Iterator[facts.GroupScores]:
        """The scores of the items of each class, and of ranges of each number with equally many items."""
        chosen, model = self.chosen, self.evaluation.model
        kinds = model.spec.conditions
        labels = {} if chosen.labels is None else {LABEL: chosen.labels}
        for name, values in {**labels, **chosen.values}.items():
            kind, of_items = kinds.get(name), values[chosen.order]
            if isinstance(kind, Classes):
                members = {kind.names[number]: of_items == number for number in range(len(kind.names))}
            elif isinstance(kind, Vector) and kind.size == 1:
                members = _ranges(of_items.flatten().double())
            else:
                continue
            for group, rows in members.items():
                if rows.any():
                    yield facts.GroupScores(
                        name, group, int(rows.sum()), uncertainty.mean(scores[rows], in_time(model))
                    )

    def _average(self) -> Tensor:
        """The mean (*shape) of the training items that are none of the N, in [-1, 1]."""
        items, codec = self.evaluation.references.train.items, self.evaluation.model.spec.codec
        sums = [codec.encode(items[rows]).double().sum(0) for rows in torch.split(self.rest, ITEMS_AT_ONCE)]
        total, count = torch.stack(sums).sum(0), torch.tensor(len(self.rest))
        if codec.gaps:  # of the values that are there
            count = (~items[self.rest].isnan()).sum(0).clamp(min=1)
        return (total / count).float()

    def _baselines(self) -> dict[str, Tensor]:
        """The training items that answer each condition, int64 (N, ·), by the name of the baseline."""
        chosen, train = self.chosen, self.evaluation.references.train
        rest = ItemConditions.of(chosen.spec, train, self.rest, chosen.seed)
        kinds = {name: kind for name, kind in chosen.kinds().items() if name in rest.kinds()}
        rows = {}
        if any(kind.has_distance for kind in kinds.values()):
            nearest = baselines.nearest_items(chosen.compared(plain=False), rest.compared(plain=True), kinds)
            rows["nearest"] = self.rest[nearest][:, None]
        random = baselines.random_items(len(chosen), self.members, len(self.rest))
        return {**rows, "random": self.rest[random]}


def _with_factors(evaluation: Evaluation) -> dict[float, Evaluation]:
    """The evaluation with other factors of the noise, where the network draws noise and the sampler may scale it."""
    sampler, net = evaluation.sampler, getattr(evaluation.model.denoiser, "net", None)
    if not isinstance(sampler, Consistency) or sampler.noise != 1 or net is None or drawn_noise(net) is None:
        return {}
    return {factor: evaluation.with_sampler(dataclasses.replace(sampler, noise=factor)) for factor in FACTORS}


def fit_noise(samples: Mapping[float, Tensor], truth: Tensor, ordered: bool = False) -> tuple[facts.NoiseFit, Tensor]:
    """Find the factor of the noise by which the interval of an ensemble covers most nearly its share of true values.

    Args:
        samples: The ensembles (N, K, *shape) by factor, rounded as `ensembles.calibration` takes them.
        truth: The true items (N, *shape).
        ordered: Whether neighbours are alike, as in time.

    Returns:
        The factors of each half of the items and of all, and the ensembles of each half with the factor of the other.
    """
    factors, members = [*samples], next(iter(samples.values())).shape[1]
    rank, hits, totals = ensembles.interval_rank(members), list[Tensor](), list[Tensor]()
    for part in samples.values():
        ranks = ensembles.rank_counts(part, truth)
        hits.append(ranks[:, rank : members + 1 - rank].sum(1))
        totals.append(ranks.sum(1))
    inside, counted = torch.stack(hits), torch.stack(totals)

    def best(rows: slice) -> float:
        coverage = inside[:, rows].sum(1) / counted[:, rows].sum(1).clamp(min=1)
        misses = (coverage - (members + 1 - 2 * rank) / (members + 1)).abs().tolist()
        return min(factors, key=lambda factor: (misses[factors.index(factor)], abs(factor - 1)))

    halves = best(slice(0, None, 2)), best(slice(1, None, 2))
    scaled = samples[halves[1]].clone()
    scaled[1::2] = samples[halves[0]][1::2]
    return facts.NoiseFit(best(slice(None)), halves, ensembles.calibration(scaled, truth, ordered=ordered)), scaled


def _forecasts(
    answers: Mapping[str, Tensor],
    truth: Tensor,
    features: Mapping[str, Tensor],
    model: TrainedModel,
    roots: Tensor | float = 1.0,
) -> Iterator[facts.Forecast]:
    """Score answers (N, ·, *shape), of which the first are the samples; all in [-1, 1], times the roots of weights."""
    scores, spec, ordered = ensembles.energy_scores(answers["samples"], truth), model.spec, in_time(model)
    alone = len(spec.shape) <= 2 or spec.grid is not None  # numbers that mean something one by one
    for name, values in answers.items():
        own = name == "samples"
        others = scores if own else ensembles.energy_scores(values, truth)
        units = (in_units(spec, values, roots), in_units(spec, truth, roots)) if alone else None
        seen = (features[name], features["truth"][:, 0]) if features else None
        yield facts.Forecast(
            name=name,
            pixels=ensembles.score(values, truth, SPAN, ordered),
            features=None if seen is None else ensembles.score(*seen, None, ordered),
            crps=None if units is None else ensembles.channel_crps(*units, ordered),
            behind=None if own else uncertainty.mean(others - scores, ordered),
            skill=None if own else skill(scores, others, ordered),
        )


def in_time(model: TrainedModel) -> bool:
    """Whether the items of a model follow one another: fields along time, and data that are held out by blocks."""
    grid, part = model.spec.grid, model.config.data.held_out
    return (grid is not None and grid.items.role == "T") or (part is not None and part.by_blocks)


def value_roots(spec: DataSpec, weights: str, truth: Tensor) -> Tensor | float:
    """The roots of the weights of the values of true items, (N, 1, *shape), or 1 where all count alike.

    A value weighs as the area of its cell, and nothing where it is missing; 1 on average over a channel.
    """
    cells = spec.cells(weights)
    if cells is None and not spec.codec.gaps:
        return 1.0
    there = (~truth[:, None].isnan()).float()
    there = there if cells is None else there * cells
    return (there / there.flatten(3).mean(3).clamp(min=1e-12).view(*there.shape[:3], *[1] * (truth.ndim - 2))).sqrt()


def in_units(spec: DataSpec, values: Tensor, roots: Tensor | float) -> Tensor:
    """Values (N, [·,] *shape), times the roots of weights, in the units of the data, times the weights: so that a mean
    of distances is weighted.
    """
    if isinstance(roots, Tensor) and values.ndim < roots.ndim:
        roots = roots[:, 0]
    if all(scale.linear for scale in spec.codec.scaling):
        return values * spec.codec.scales(len(spec.shape) - 1) * roots
    items = spec.codec.decode((values / roots).reshape(-1, *spec.shape)).view(values.shape)
    return items.nan_to_num(0.0) * (roots * roots)


def skill(scores: Tensor, others: Tensor, ordered: bool = False) -> Estimate | None:
    """1 − Σ scores / Σ others, of items whose neighbours may be alike; None where the others are not above 0."""
    if not others.sum() > 0:
        return None
    ratio = uncertainty.ratio(scores, others, ordered)
    low, high = (None if end is None else 1 - end for end in (ratio.high, ratio.low))
    return Estimate(1 - ratio.value, ratio.error, low, high)


def _ranges(values: Tensor) -> dict[str, Tensor]:
    """Ranges of numbers (N,), as texts, with equally many of the items each; one that is missing is in none."""
    present = values[~values.isnan()]
    if len(present) < 2 * RANGES or present.min() == present.max():
        return {}
    ends = sorted(set(present.quantile(torch.linspace(0, 1, RANGES + 1, dtype=present.dtype)).tolist()))
    last = len(ends) - 2
    return {
        f"{low:.4g} to {high:.4g}": (values >= low) & ((values < high) if number < last else (values <= high))
        for number, (low, high) in enumerate(pairwise(ends))
    }


def encoded_items(spec: DataSpec, roots: Tensor | float, items: Tensor) -> Tensor:
    """Items (N, members, *shape) in [-1, 1], times the roots of the weights of their cells."""
    return spec.codec.encode(items.flatten(0, 1)).view(items.shape) * roots
