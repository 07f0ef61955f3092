"""Runs side by side; the samplers of one model over their network evaluations; the lengths of an average of weights."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from ancestral.base.quantities import NORMAL, Estimate
from ancestral.base.registries import METRICS
from ancestral.base.result import Result
from ancestral.results.evaluation_result import LikelihoodResult, LikelihoodSettings
from ancestral.results.sample_result import ExtractorName, MeasuredModel, MetricTitles, ReferenceNames, SampleMetrics

REACHED_WITHIN = 0.05
"""A distance that is larger than another by at most this share of it counts as reached."""
SIGN = {"higher": 1, "lower": -1}


@dataclass(frozen=True, kw_only=True)
class ComparedBound(LikelihoodSettings):
    """The mean bound of a run in bits/dim, how it was taken, and of which items."""

    mean: float
    standard_error: float | None
    source: str
    split: str
    images: int
    of: int
    data: str
    """The items in words."""

    @classmethod
    def from_result(cls, result: LikelihoodResult, text: str) -> Self:
        """Take what is compared from a likelihood, with its items in words."""
        data, total = result.data, result.bits_per_dim.total
        items = {name: getattr(data, name) for name in ("source", "split", "images", "of")}
        return cls(**vars(result.settings), **items, data=text, mean=total.value, standard_error=total.error)

    @property
    def comparable(self) -> tuple[object, ...]:
        """Settings that must agree for two bounds to be ranked."""
        return self.source, self.split, self.images, self.of, self.variance, self.clip, self.decoder


@dataclass(frozen=True, kw_only=True)
class ComparedRun(SampleMetrics):
    """A run in a comparison: the metrics of its samples, its size, and its bound where that was measured."""

    parameters: int
    bits_per_dim: ComparedBound | None

    @property
    def run(self) -> str:
        """The name of the run."""
        return "" if self.model is None else self.model.run


@dataclass(frozen=True)
class ComparedQuantity:
    """One quantity of each run; None where a run does not have it."""

    title: str
    values: tuple[Estimate | None, ...]
    floor: Estimate | None = None
    """The value of real data in the place of samples."""
    sign: int = 0
    """1 where more is better, −1 where less is, 0 where neither."""
    form: Literal["number", "percent", "count"] = "number"

    @property
    def best(self) -> int | None:
        """The index of the best value, if it differs from every other by more than 1.96 errors of the difference.

        The errors count as independent. Runs share data and seeds, so they differ less by chance: this is cautious.
        """
        values = [(self.sign * one.value, one.error, i) for i, one in enumerate(self.values) if one is not None]
        if not self.sign or len(values) < 2:
            return None
        (top, error, winner), *others = sorted(values, key=lambda one: one[0], reverse=True)
        apart = all(top - value > NORMAL * math.hypot(error or 0, other or 0) for value, other, _ in others)
        return winner if apart else None


@dataclass(frozen=True)
class ComparisonResult(Result):
    """Runs side by side, all measured on the same data."""

    SCHEMA: ClassVar[str] = "compare-2"
    runs: tuple[ComparedRun, ...]
    best: dict[str, str | None]
    """The best run of each quantity, None where no run is better than all others by more than the error."""

    @classmethod
    def from_runs(cls, runs: Sequence[ComparedRun]) -> Self:
        """Compare the runs."""
        rows = cls(tuple(runs), {}).quantities()
        return cls(tuple(runs), {row.title: None if row.best is None else runs[row.best].run for row in rows})

    def quantities(self) -> list[ComparedQuantity]:
        """List what is compared. Bits/dim are ranked only if they are of the same items by the same bound."""
        runs, rows = self.runs, []
        for metric in METRICS.values():
            for name, better in metric.numbers.items():
                measures = [run.numbers.get(name) for run in runs]
                first = next((one for one in measures if one is not None), None)
                if better and first is not None:
                    values = tuple(None if one is None else one.value for one in measures)
                    rows.append(ComparedQuantity(first.title, values, first.floor, SIGN[better], metric.form))
        bounds = [run.bits_per_dim for run in runs]
        alike = len({one.comparable for one in bounds if one is not None}) == 1
        values = tuple(None if one is None else Estimate(one.mean, one.standard_error) for one in bounds)
        rows.append(ComparedQuantity("bits/dim", values, None, -1 if alike else 0))
        counts: dict[str, list[int | None]] = {"parameters": [run.parameters for run in runs],
                  "steps trained": [None if run.model is None else run.model.step for run in runs]}  # fmt: skip
        for name, numbers in counts.items():
            values = tuple(None if n is None else Estimate(n) for n in numbers)
            rows.append(ComparedQuantity(name, values, form="count"))
        return [row for row in rows if row.form == "count" or any(row.values)]


@dataclass(frozen=True)
class SamplerPoint:
    """The distances to the training data of samples that took `steps` steps and `passes` network evaluations each."""

    steps: int
    passes: int
    frechet: Estimate
    kernel: Estimate
    sampler: str | None = None
    """The sampler; None where the point is in a curve by its name."""


@dataclass(frozen=True)
class ComparedSamples:
    """The samples that each sampler made."""

    count: int
    seed: int
    guidance: float


@dataclass(frozen=True, kw_only=True)
class DistancesOfOneModel(Result):
    """Distances to the data of samples of one model that are made in several ways."""

    model: MeasuredModel
    samples: ComparedSamples
    data: ReferenceNames
    extractor: ExtractorName
    titles: MetricTitles
    floor: Estimate
    """The Fréchet distance of data to data."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SamplerComparisonResult(DistancesOfOneModel):
    """The distances of samples over the number of network evaluations, for each sampler of one model."""

    SCHEMA: ClassVar[str] = "samplers-1"
    reference: SamplerPoint
    """The samples that all others are compared with: DDPM's with all T steps."""
    needed: dict[str, SamplerPoint | None]
    """The point of fewest network evaluations that reaches the reference, by sampler; None where none does."""
    curves: dict[str, tuple[SamplerPoint, ...]]
    tolerance: float = field(default=REACHED_WITHIN, metadata={"key": "slack"})


def fewest_passes(points: Iterable[SamplerPoint], reference: float) -> SamplerPoint | None:
    """Find the point of fewest network evaluations whose Fréchet distance is within REACHED_WITHIN of the reference."""
    reached = (point for point in points if point.frechet.value <= (1 + REACHED_WITHIN) * reference)
    return min(reached, key=lambda point: point.passes, default=None)


@dataclass(frozen=True)
class AveragePoint:
    """The distances to the training data of samples by the average of one length."""

    length: float
    """σ_rel, the standard deviation of the average's profile as a share of the steps."""
    frechet: Estimate
    kernel: Estimate
    behind: Estimate | None
    """Excess of its Fréchet distance over the best length's, on the same noise; None for the best itself. The
    EMA of training may be better than all lengths: then it is negative."""
    profile_error: float = 0.0
    """The root mean square error of the reconstructed profile, as a share of its root mean square."""

    @property
    def within_error(self) -> bool:
        """Whether it differs from the best length by no more than the error (95 %)."""
        return self.behind is None or self.behind.error is None or abs(self.behind.value) <= NORMAL * self.behind.error


@dataclass(frozen=True, kw_only=True)
class AveragingResult(DistancesOfOneModel):
    """The distances of samples over the averaging length: averages of `snapshots` up to the step `end`, by rising
    length, and the EMA of training with its `decay` and the length of its own profile.
    """

    SCHEMA: ClassVar[str] = "average-1"
    end: int
    snapshots: int
    decay: float
    sampler: str
    points: tuple[AveragePoint, ...]
    ema: AveragePoint
    file: str | None = None
    """The model file of the best average; None if none was written."""

    @property
    def best(self) -> AveragePoint:
        """The length with the smallest Fréchet distance."""
        return next(point for point in self.points if point.behind is None)
