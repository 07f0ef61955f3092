"""What `ancestral average` measures: the distance of samples to the data over the length of the average of weights."""

from dataclasses import dataclass
from typing import ClassVar

from ancestral.results.comparison_result import ComparedSamples
from ancestral.results.estimate import NORMAL, Estimate
from ancestral.results.evaluation_result import ExtractorName, MeasuredModel, MetricTitles, ReferenceNames
from ancestral.results.result import Result


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
