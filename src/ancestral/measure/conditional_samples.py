"""Evaluation of a conditional model: K samples for the conditions of each of N real items."""

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.base.errors import InputError, whole
from ancestral.base.events import Event, Work
from ancestral.base.options import option
from ancestral.data import DataSpec
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reference import ReferenceSet
from ancestral.metrics import baselines, ensembles, uncertainty
from ancestral.results import evaluation_result as facts
from ancestral.results.sample_result import ExtractorName

CONDITIONS_MEASURED = 48
"""The default number of items whose conditions are given."""
SPAN = 2.0
"""The range of the values of encoded items, from -1 to 1."""
NOT_HELD_OUT = (
    "Nothing was held out: the conditions are those of training items, which the model may have memorised, so its "
    f"scores may be too good. Hold some out ({option('validation', 0.1)}), or give {option('held_out')}."
)


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

    @staticmethod
    def of(evaluation: Evaluation, conditions: int | None, members: int) -> "EnsembleEvaluation":
        """Choose the items, spread evenly over what was held out, else over the training items.

        Args:
            evaluation: An evaluation of the same model.
            conditions: The number N of items; None is `CONDITIONS_MEASURED`, or all if there are fewer.
            members: The number K of samples for each.

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
        ensemble_evaluation = dataclasses.replace(evaluation, count=n * members, conditions=chosen)
        return EnsembleEvaluation(ensemble_evaluation, items, rest, () if held_out is not None else (NOT_HELD_OUT,))

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
        evaluation, references, n = self.evaluation, self.evaluation.references, len(self.chosen)
        spec, extractor = evaluation.model.spec, references.extractor
        flat = yield from evaluation.samples(batch_size, "sampling for held-out conditions")
        samples = flat.view(self.members, n, *spec.shape).transpose(0, 1)
        yield Work("scoring the samples", 0, 0)
        rows = self._baselines()
        answers = {"samples": samples, "mean": None} | {name: references.train.items[i] for name, i in rows.items()}
        truth = self.items.items[self.chosen.order]
        mean = ensembles.mean_forecast(_encoded(spec, samples))
        of_features: dict[str, Tensor] = {}
        if extractor.name != "pixels":
            folder = evaluation.store.folder / "features"
            for name, answer in {**answers, "truth": truth[:, None]}.items():
                decoded = mean if answer is None else answer
                if answer is None:
                    decoded = spec.codec.decode(mean.flatten(0, 1)).view(mean.shape)
                made_here = folder if name in ("samples", "mean") else None
                features = yield from references.features(name, decoded.flatten(0, 1), batch_size, made_here)
                of_features[name] = features.values.view(*decoded.shape[:2], -1)
        encoded = {name: mean if part is None else _encoded(spec, part) for name, part in answers.items()}
        encoded_truth, of_samples = spec.codec.encode(truth), encoded["samples"]
        yield Work("scoring the samples", 0, 0)
        scores = ensembles.energy_scores(of_samples, encoded_truth)
        few_axes = len(spec.shape) <= 2  # points and signals, whose numbers mean something one by one
        forecasts = []
        for name, values in encoded.items():
            behind = ensembles.energy_scores(values, encoded_truth) - scores
            scale = spec.codec.scales(len(spec.shape) - 1)
            units = values * scale if few_axes else None
            forecasts.append(
                facts.Forecast(
                    name=name,
                    pixels=ensembles.score(values, encoded_truth, SPAN),
                    features=ensembles.score(of_features[name], of_features["truth"][:, 0]) if of_features else None,
                    crps=None if units is None else ensembles.channel_crps(units, encoded_truth * scale),
                    behind=None if name == "samples" else uncertainty.mean(behind),
                )
            )
        return facts.ConditionalResult(
            model=evaluation.identity,
            samples=evaluation.settings(),
            data=facts.ConditionalData(
                self.items.name, self.items.split, n, self.items.of, spec.shape, tuple(spec.conditions),
                references.train.name, len(self.rest), (*references.notes, *self.notes),
            ),
            extractor=ExtractorName(extractor.name, extractor.width) if of_features else None,
            forecasts=tuple(forecasts),
            calibration=ensembles.calibration(of_samples, encoded_truth),
            versions=references.versions,
        )  # fmt: skip

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


def _encoded(spec: DataSpec, items: Tensor) -> Tensor:
    """Items (N, members, *shape) in [-1, 1]."""
    return spec.codec.encode(items.flatten(0, 1)).view(items.shape)
