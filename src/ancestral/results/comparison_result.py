"""Runs side by side, and the samplers of one model over the number of network evaluations (NFE) that they take."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from ancestral.results.estimate import NORMAL, Estimate
from ancestral.results.evaluation_result import (
    ExtractorName,
    LikelihoodResult,
    LikelihoodSettings,
    MeasuredModel,
    MetricTitles,
    ReferenceNames,
    SampleMetrics,
)
from ancestral.results.result import Result
from ancestral.results.table import Table

TOLERANCE = 0.05
"""A distance that is larger than another by at most this share of it counts as reached."""


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
    def from_result(cls, result: LikelihoodResult) -> Self:
        """Take what is compared from a likelihood."""
        data, total = result.data, result.bits_per_dim.total
        items = {name: getattr(data, name) for name in ("source", "split", "images", "of")}
        return cls(**vars(result.settings), **items, data=str(data), mean=total.value, standard_error=total.error)

    @property
    def comparable(self) -> tuple[object, ...]:
        """What must agree for two bounds to be ranked."""
        return self.source, self.split, self.images, self.of, self.variance, self.clip, self.decoder


@dataclass(frozen=True, kw_only=True)
class ComparedRun(SampleMetrics):
    """What is compared of a run: the metrics of its samples, its size, and its bound where that was measured."""

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
    remark: str = ""
    """What stands after the title."""

    @property
    def best(self) -> int | None:
        """The index of the best value, if it differs from every other by more than 1.96 errors of the difference.

        The errors count as independent. Runs share data and seeds, so they differ less by chance: this is cautious.
        """
        known = [(self.sign * one.value, one.error, i) for i, one in enumerate(self.values) if one is not None]
        if not self.sign or len(known) < 2:
            return None
        (top, error, winner), *others = sorted(known, key=lambda one: one[0], reverse=True)
        apart = all(top - value > NORMAL * math.hypot(error or 0, other or 0) for value, other, _ in others)
        return winner if apart else None

    def row(self) -> list[str]:
        """Format the quantity as a row of a table, a star at the best value."""
        stars = ["* " if i == self.best else "" for i in range(len(self.values))]
        cells = [star + self._text(value) for star, value in zip(stars, self.values, strict=True)]
        title = f"{self.title} ({self.remark})" if self.remark else self.title
        return [title, *cells, "" if self.floor is None else self._text(self.floor)]

    def _text(self, value: Estimate | None) -> str:
        if value is None:
            return "–"
        return {"number": str(value), "percent": value.percent, "count": f"{value.value:,.0f}"}[self.form]


@dataclass(frozen=True)
class ComparisonResult(Result):
    """Runs side by side, all measured on the same data."""

    SCHEMA: ClassVar[str] = "compare-1"
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
        runs, sets, titles = self.runs, [run.distances for run in self.runs], self.runs[0].titles
        rows = []
        for name, title, sign in (("frechet", titles.frechet, -1), ("kernel", titles.kernel, -1),
                                  ("precision", "precision", 1), ("recall", "recall", 1)):  # fmt: skip
            values = tuple(getattr(one.train, name) for one in sets)
            if any(value is not None for value in values):
                rows.append(ComparedQuantity(title, values, getattr(sets[0].floor, name), sign))
        accuracies = [run.class_accuracy for run in runs]
        if any(accuracies):
            known = next(one for one in accuracies if one is not None)
            values = tuple(None if one is None else one.samples for one in accuracies)
            rows.append(ComparedQuantity("class accuracy", values, known.data, 1, "percent", known.by_chance))
        bounds = [run.bits_per_dim for run in runs]
        if any(bounds):
            values = tuple(None if one is None else Estimate(one.mean, one.standard_error) for one in bounds)
            alike = len({one.comparable for one in bounds if one is not None}) == 1
            rows.append(ComparedQuantity("bits/dim", values, None, -1 if alike else 0))
        counts: dict[str, list[int | None]] = {"parameters": [run.parameters for run in runs],
                  "steps trained": [None if run.model is None else run.model.step for run in runs]}  # fmt: skip
        for name, numbers in counts.items():
            values = tuple(None if n is None else Estimate(n) for n in numbers)
            rows.append(ComparedQuantity(name, values, form="count"))
        return rows

    def parts(self) -> list[Table | str]:
        """What all runs share and in what they differ, the table of the runs, and the notes."""
        settings = [run.settings() for run in self.runs]
        shared = {name: text for name, text in settings[0].items() if all(one.get(name) == text for one in settings)}
        own = {} if "samples" in shared else {f"samples of {run.run}": run.settings()["samples"] for run in self.runs}
        bounds = {f"bits/dim of {run.run}": run.bits_per_dim for run in self.runs if run.bits_per_dim is not None}
        texts = {name: f"{bound.data}: {bound.bound()}" for name, bound in bounds.items()}
        own |= texts if len(set(texts.values())) > 1 or len(texts) < len(self.runs) else {}
        notes = dict.fromkeys(note for run in self.runs for note in run.all_notes)
        own_counts, floor = self.runs[0].distances.train, self.runs[0].distances.floor
        uneven = floor_note((floor.items, floor.against), (own_counts.items, own_counts.against))
        notes |= {} if uneven is None else {uneven: None}
        star = "* better than all others by more than the error of their difference (95 %)"
        columns = ("", *(run.run for run in self.runs), "floor")
        rows = [row.row() for row in self.quantities()]
        return [Table((), [*shared.items(), *own.items()]), Table(columns, rows), star, *notes]


@dataclass(frozen=True)
class SamplerPoint:
    """The distances to the training data of samples that took `steps` steps and `passes` network evaluations each."""

    steps: int
    passes: int
    frechet: Estimate
    kernel: Estimate


@dataclass(frozen=True)
class ReferencePoint(SamplerPoint):
    """The samples that all others are compared with: DDPM's with all T steps."""

    sampler: str = "ddpm"


@dataclass(frozen=True)
class ComparedSamples:
    """The samples that each sampler made."""

    count: int
    seed: int
    guidance: float


@dataclass(frozen=True)
class SamplerComparisonResult(Result):
    """The distances of samples over the number of network evaluations, for each sampler of one model."""

    SCHEMA: ClassVar[str] = "samplers-1"
    model: MeasuredModel
    samples: ComparedSamples
    data: ReferenceNames
    extractor: ExtractorName
    titles: MetricTitles
    floor: Estimate
    """The Fréchet distance of data to data."""
    reference: ReferencePoint
    needed: dict[str, SamplerPoint | None]
    """The point of fewest network evaluations that reaches the reference, by sampler; None where none does."""
    curves: dict[str, tuple[SamplerPoint, ...]]
    notes: tuple[str, ...] = ()
    tolerance: float = field(default=TOLERANCE, metadata={"key": "slack"})

    def parts(self) -> list[Table | str]:
        """A table with a row for each sampler, and the notes."""
        title, reference = self.titles.frechet, self.reference
        head = f"{self.samples.count:,} samples each, to {self.data.train}; the floor is {title} {self.floor}."
        columns = ("sampler", "passes needed", title, self.titles.kernel, "best", "at passes")
        rows = [[f"ddpm, {reference.steps:,} steps", f"{reference.passes:,}", str(reference.frechet),
                 str(reference.kernel), "", ""]]  # fmt: skip
        for name, points in self.curves.items():
            first, best = self.needed[name], min(points, key=lambda point: point.frechet.value)
            reached = ["not reached", "", ""]
            if first is not None:
                reached = [str(first.passes), str(first.frechet), str(first.kernel)]
            rows.append([name, *reached, str(best.frechet), str(best.passes)])
        foot = f"Needed: the fewest passes whose {title} is within {self.tolerance:.0%} of DDPM's."
        return [head, Table(columns, rows), foot, *self.notes]


def fewest_passes(points: Iterable[SamplerPoint], reference: float) -> SamplerPoint | None:
    """Find the point of fewest network evaluations whose Fréchet distance is within TOLERANCE of the reference."""
    reached = (point for point in points if point.frechet.value <= (1 + TOLERANCE) * reference)
    return min(reached, key=lambda point: point.passes, default=None)


def floor_note(floor: tuple[int, int], samples: tuple[int, int]) -> str | None:
    """Say so if the floor is not of as many items, to as many others, as the distances of the samples are."""
    if floor == samples:
        return None
    return (
        f"The floor is of {floor[0]:,} to {floor[1]:,} items, the distances of samples of {samples[0]:,} to "
        f"{samples[1]:,}: Fréchet distances are larger for fewer items."
    )


def reference_warning(reference: Estimate) -> str | None:
    """Warn if the 95 % interval of the reference distance is wider than the tolerance."""
    error = NORMAL * (reference.error or 0)
    if not error > TOLERANCE * reference.value:
        return None
    return (
        f"The 95 % interval of DDPM's own distance is ± {error / reference.value:.0%}, wider than {TOLERANCE:.0%}: "
        "chance decides in part which sampler reaches it; take more samples."
    )
