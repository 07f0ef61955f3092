"""What `ancestral average` measures: the distance of samples to the data over the length of the average of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ancestral.results.comparison_result import ComparedSamples
from ancestral.results.estimate import NORMAL, Estimate
from ancestral.results.evaluation_result import ExtractorName, MeasuredModel, MetricTitles, ReferenceNames
from ancestral.results.result import Result
from ancestral.results.table import Table


@dataclass(frozen=True)
class AveragePoint:
    """The distances to the training data of samples by the average of one length."""

    length: float
    """σ_rel, the standard deviation of the average's profile as a share of the steps."""
    frechet: Estimate
    kernel: Estimate
    behind: Estimate | None
    """How much larger its Fréchet distance is than the best length's, on the same noise; None for the best itself. The
    EMA of training may be better than all lengths: then it is negative."""
    profile_error: float = 0.0
    """The root mean square error of the reconstructed profile, as a share of its root mean square."""

    @property
    def within_error(self) -> bool:
        """Whether it differs from the best length by no more than the error (95 %)."""
        return self.behind is None or self.behind.error is None or abs(self.behind.value) <= NORMAL * self.behind.error


@dataclass(frozen=True)
class AveragingResult(Result):
    """The distance of samples to the data over the averaging length, and the best length."""

    SCHEMA: ClassVar[str] = "average-1"

    model: MeasuredModel
    """The model of the run, whose weights are the EMA of training at its step."""
    end: int
    """The last step of the averages."""
    snapshots: int
    """The number of snapshots that the averages are made of."""
    decay: float
    """Of the EMA of training."""
    samples: ComparedSamples
    sampler: str
    data: ReferenceNames
    extractor: ExtractorName
    titles: MetricTitles
    floor: Estimate
    """The Fréchet distance of data to data."""
    points: tuple[AveragePoint, ...]
    """By rising length."""
    ema: AveragePoint
    """The EMA of training, with the length of its own profile."""
    file: str | None = None
    """The model file of the best average; None if none was written."""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> AveragePoint:
        """The length with the smallest Fréchet distance."""
        return next(point for point in self.points if point.behind is None)

    def verdict(self) -> list[str]:
        """Say which length is best, which others are as good, how the EMA compares with it, and what was written."""
        best, lines = f"{self.best.length:g}", []
        if len(self.points) > 1:
            others = [f"{point.length:g}" for point in self.points if point is not self.best and point.within_error]
            alike = f"as good within the error (95 %): {', '.join(others)}" if others else "the others are worse"
            lines.append(f"The best of these lengths is {best}; {alike}.")
        behind = self.ema.behind or Estimate(0)
        outcome = "as good as" if self.ema.within_error else "worse than" if behind.value > 0 else "better than"
        apart = f"{Estimate(abs(behind.value), behind.error)} {'higher' if behind.value > 0 else 'lower'}"
        clear = "no more" if self.ema.within_error else "more"
        lines.append(
            f"The EMA of training (decay {self.decay:g}, step {self.model.step:,}) is {outcome} length {best}: its "
            f"{self.titles.frechet} is {apart} on the same noise, {clear} than the error (95 %)."
        )
        return [*lines, f"The average of length {best} is in {self.file}."] if self.file else lines

    def parts(self) -> Sequence[Table | str]:
        """A table with a row for each length, the verdict and the notes."""
        head = (
            f"Averages up to step {self.end:,}, {self.samples.count:,} samples each by {self.sampler}, seed "
            f"{self.samples.seed}, to {self.data.train}; the floor is {self.titles.frechet} {self.floor}."
        )
        columns = ("averaging length", self.titles.frechet, "behind the best length", self.titles.kernel)
        rows = [_row(f"{point.length:g}", point) for point in self.points]
        rows.append(_row(f"EMA of training, step {self.model.step:,} ({self.ema.length:.3f})", self.ema))
        return [head, Table(columns, rows), *self.verdict(), *self.data.notes, *self.notes]


def _row(name: str, point: AveragePoint) -> list[str]:
    behind = "best" if point.behind is None else str(point.behind)
    return [name, str(point.frechet), behind, str(point.kernel)]
