"""Results of an evaluation: quality of samples (samples.json), samples for the conditions of held-out items
(conditional.json), and the likelihood of data (likelihood.json).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from ancestral.errors import InputError
from ancestral.results.ensemble_result import Calibration, ChannelScores, ForecastScores
from ancestral.results.estimate import Estimate
from ancestral.results.result import Result

SAMPLES_FILE, CONDITIONAL_FILE, LIKELIHOOD_FILE = "samples.json", "conditional.json", "likelihood.json"
SHARES = ("precision", "recall", "density", "coverage")
MANY_COPIES, SOME_COPIES = 0.05, 0.005
"""Shares of copies beyond chance from which a verdict speaks of them."""
BY_CHANCE = 1e-3
"""The least probability of as many copies by chance with which they may be chance."""
SURE = 3
"""Standard deviations beyond which a share of a model that memorised nothing is hardly ever."""
DATA_UNIT = "units of the data"
"""The unit of errors of data without grey levels."""


@dataclass(frozen=True)
class MeasuredModel:
    """The model that was evaluated, and the SHA-256 of its file; None for a model that is in no file."""

    run: str
    step: int
    sha256: str | None
    version: str | None = None


@dataclass(frozen=True)
class SampleSettings:
    """The making of samples. Samples that came from elsewhere have a count and a folder."""

    count: int
    sampler: str | None
    seed: int | None
    guidance: float | None
    label: str | None
    """The classes that samples were conditioned on, or the conditions, in words."""
    steps: int | None = None
    folder: str | None = None


@dataclass(frozen=True)
class ReferenceNames:
    """Data that samples were compared with."""

    train: str
    held_out: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExtractorName:
    """A feature extractor and the number of its features."""

    name: str
    features: int


@dataclass(frozen=True)
class MetricTitles:
    """Titles of the distances on the features of the extractor, such as FID."""

    frechet: str
    kernel: str
    inception_score: str | None = None


@dataclass(frozen=True)
class Distances:
    """The distances of `items` items to `against` others; None is what was not asked for."""

    items: int
    against: int
    frechet: Estimate | None = None
    kernel: Estimate | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None
    density: Estimate | None = None
    coverage: Estimate | None = None


@dataclass(frozen=True)
class DistanceSets:
    """The distances of samples to training data and to held-out data, and the floor: those of data to data."""

    train: Distances
    floor: Distances
    held_out: Distances | None = None
    matched: Distances | None = None
    """Distance of as many samples to as many training items as the floor has; None where `train` has these numbers."""

    @property
    def comparable(self) -> Distances:
        """The distances of samples that can be compared with the floor: of equal numbers of items."""
        return self.train if self.matched is None else self.matched


@dataclass(frozen=True)
class InceptionScores:
    """The Inception score of the samples and of the training data."""

    samples: Estimate
    train: Estimate


@dataclass(frozen=True)
class ClosestPair:
    """A sample and its nearest training item."""

    sample: int
    training_item: int
    distance: float


@dataclass(frozen=True)
class CopyResult:
    """Samples that are copies: much nearer to one training item than to any other (`metrics.copies`)."""

    share: Estimate
    """Share of samples that are copies."""
    chance: Estimate
    """Share of training items that would be copies of others: that of a model that copies nothing."""
    items: int
    copied: int
    """The number of training items that some sample copies, of the `items` that are different."""
    equal: int = 0
    """The number of samples that are identical to a training item."""
    flat: int = 0
    """The number of samples near to one constant training item alone; they are not counted as copies."""
    p_value: float = 0.0
    """The probability of as many copies by chance (`metrics.copies.Copies.p_value`); 0 in files without it."""

    @property
    def excess(self) -> float:
        """Excess of the share over chance; 0 where that may be chance."""
        excess = self.share.value - self.chance.value
        certain = self.p_value < BY_CHANCE and excess >= SOME_COPIES and self.share.value > 2 * self.chance.value
        if self.equal:  # which chance does not do
            return max(excess, SOME_COPIES)
        return excess if certain else 0.0


@dataclass(frozen=True)
class MemorisationResult:
    """Distances of samples to `among` training items; no shares where unseen items are copies of training items."""

    among: int
    median: float
    """The median distance of a sample to the nearest of these."""
    share: float | None = None
    """Share of samples nearer to a training item than `threshold`; `expected` of a model that memorised nothing."""
    share_error: float | None = None
    expected: float | None = None
    error: float | None = None
    """The standard deviation of the share of such a model."""
    threshold: float | None = None
    closest: tuple[ClosestPair, ...] = ()
    copies: CopyResult | None = None
    """Needs no unseen items; None where the training items are too few."""

    @property
    def excess(self) -> float:
        """Excess of the share over that without memorisation; 0 where that may be chance."""
        if self.share is None or self.expected is None or self.error is None:
            return 0.0
        return self.share - self.expected if self.share - self.expected > SURE * self.error else 0.0


@dataclass(frozen=True)
class MemorisationBySpace:
    """Memorisation by the distance of pixels and of features; None where the features are the pixels."""

    pixels: MemorisationResult | None
    features: MemorisationResult | None


@dataclass(frozen=True)
class ChannelMoments:
    """The mean (C,) and covariance (C, C) of the channels, with standard errors; no covariance of many channels."""

    mean: tuple[float, ...]
    mean_error: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] | None = None
    covariance_error: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if any(len(row) <= i or row[i] < 0 for i, row in enumerate(self.covariance or ())):
            raise InputError("a covariance has a diagonal of at least 0")


@dataclass(frozen=True)
class ColourDrift:
    """Distance of the colours of samples from those of the data."""

    levels: float
    """The largest difference of a channel's mean, signed, in 255ths of the range of values."""
    sigmas: float | None
    """The largest difference of a channel's mean in standard errors; None where a channel never changes."""
    samples: ChannelMoments
    data: ChannelMoments


@dataclass(frozen=True)
class ClassAccuracy:
    """Share of samples of which a linear classifier on the features finds the class that they were conditioned on."""

    samples: Estimate
    data: Estimate
    """Accuracy on real items that the classifier was not fitted to: the most that samples can be expected to reach."""
    items: int
    """Their number."""
    classes: int | None = None
    """The number of classes of the data; None in older files."""


@dataclass(frozen=True)
class ReconstructionQuality:
    """What an autoencoder loses: how close its reconstructions are to items."""

    count: int
    """Number of the items."""
    psnr: float
    """Peak signal-to-noise ratio in dB, of the mean square error over all items."""
    kernel: float | None = None
    """Kernel distance of the reconstructions of one half of the items to the other half; None where there is no network
    for such items."""
    floor: float | None = None
    """That of the halves themselves, without the autoencoder."""
    title: str = "KID"
    """Title of that distance, which names the features."""

    def __str__(self) -> str:
        distance = "" if self.kernel is None else f", {self.title} {self.kernel:.4f} (of the items {self.floor:.4f})"
        text = f"reconstructions of {self.count:,} items: PSNR {self.psnr:.1f} dB{distance}"
        return f"{text}; what is sampled cannot be better"


@dataclass(frozen=True, kw_only=True)
class OwnMeasure:
    """What a metric of the user returned."""

    samples: float
    """Of samples and training data."""
    floor: float
    """Of the sets whose distance is the floor."""


@dataclass(frozen=True, kw_only=True)
class SampleQuality:
    """Measures of samples, whatever made them."""

    floor: str
    distances: DistanceSets
    inception_score: InceptionScores | None
    memorisation: MemorisationBySpace
    colour: ColourDrift | None
    class_accuracy: ClassAccuracy | None
    own: dict[str, OwnMeasure] | None = None
    """Metrics of the user, by the names of their functions; None without any."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleMetrics(SampleQuality, Result):
    """Quality of samples, with the model that made them and the data that they were compared with."""

    SCHEMA: ClassVar[str] = "samples-1"
    model: MeasuredModel | None
    samples: SampleSettings
    data: ReferenceNames
    extractor: ExtractorName
    titles: MetricTitles
    reconstructions: ReconstructionQuality | None = None
    """What the autoencoder of a model of latents loses."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def all_notes(self) -> list[str]:
        """Notes on the data, on what an autoencoder loses, and on the numbers."""
        lost = [] if self.reconstructions is None else [f"The model is one of latents: {self.reconstructions}."]
        return [*self.data.notes, *lost, *self.notes]


@dataclass(frozen=True)
class Forecast:
    """Scores of an answer to conditions, in pixels from -1 to 1 and in features.

    `name` is samples; mean, the mean of the samples of a condition as a single answer; nearest, the training item whose
    conditions are nearest; or random, as many random training items as samples.
    """

    name: str
    pixels: ForecastScores
    features: ForecastScores | None = None
    """None where the features are the pixels."""
    crps: ChannelScores | None = None
    """The CRPS in the units of the data, of points and signals."""
    behind: Estimate | None = None
    """Mean of this energy score less that of the samples, in pixels, on the same items; None of the samples."""


@dataclass(frozen=True)
class ConditionalData:
    """The items whose conditions samples were given: `items` of the `of` items of a source, and the names of these."""

    source: str
    split: str
    items: int
    of: int
    shape: tuple[int, ...]
    conditions: tuple[str, ...]
    train: str
    """The training data, of which the baselines take items, and from how many."""
    train_items: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ConditionalResult(Result):
    """How well samples for the conditions of items forecast these items."""

    SCHEMA: ClassVar[str] = "conditional-1"
    model: MeasuredModel
    samples: SampleSettings
    data: ConditionalData
    extractor: ExtractorName | None
    forecasts: tuple[Forecast, ...]
    calibration: Calibration
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.forecasts or self.forecasts[0].name != "samples":
            raise InputError("the first forecast is that of the samples")

    @property
    def members(self) -> int:
        """The number of samples for each item."""
        return self.calibration.members

    @property
    def all_notes(self) -> list[str]:
        """Notes on the data and on the numbers."""
        return list(self.data.notes)


MEAN = {"keys": {"value": "mean", "error": "standard_error"}}
"""The keys in the JSON of an estimate that is a mean over items."""


@dataclass(frozen=True)
class LikelihoodData:
    """The items that the likelihood is of: `images` of the `of` items of a source."""

    source: str
    split: str
    images: int
    of: int
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LikelihoodSettings:
    """Settings of the bound. Another variance, clipping or decoder makes another number."""

    T: int
    variance: str
    clip: bool
    decoder: str
    passes: int | None
    seed: int
    ode_steps: int | None = None
    probes: int | None = None


@dataclass(frozen=True)
class BoundMeans:
    """The mean terms of the bound in bits/dim, with standard errors; L_t sums t = 2..T."""

    L_T: Estimate = field(metadata=MEAN)
    L_t: Estimate = field(metadata=MEAN)
    L_0: Estimate = field(metadata=MEAN)
    total: Estimate = field(metadata=MEAN)


@dataclass(frozen=True)
class BoundOverTime:
    """Means over items, and over the times t_first..t_last of each stratum, from t = 1 up."""

    t_first: tuple[int, ...]
    t_last: tuple[int, ...]
    bits_per_dim_of_a_step: tuple[float, ...]
    rate: tuple[float, ...]
    """The bits/dim of all steps above: what was sent before x_t is known (figure 5 of the DDPM paper)."""
    mean_square_error: tuple[float, ...]
    """Mean square error of x̂_0, in the network's [-1, 1]."""
    distortion: tuple[float, ...]
    """The root mean square error of x̂_0, in `unit`."""
    unit: str | None = None

    def __post_init__(self) -> None:
        numbers = [part for part in vars(self).values() if isinstance(part, tuple)]
        if not self.t_first or len(set(map(len, numbers))) > 1:
            raise InputError("a bound over time has a number of each kind for each stratum, one stratum at least")


@dataclass(frozen=True)
class BitsPerItem:
    """The bits/dim of each item: by the bound, and by the probability flow."""

    index: tuple[int, ...]
    bits_per_dim: tuple[float, ...]
    ode_bits_per_dim: tuple[float, ...] | None = None


@dataclass(frozen=True)
class OdeMeans:
    """The mean negative log-likelihood by the probability flow, in bits/dim and in nats per item."""

    bits_per_dim: Estimate = field(metadata=MEAN)
    nats: Estimate = field(metadata=MEAN)


@dataclass(frozen=True)
class LikelihoodResult(Result):
    """The variational bound of a set of items, split over time, and the likelihood of the probability flow."""

    SCHEMA: ClassVar[str] = "likelihood-1"
    model: MeasuredModel
    data: LikelihoodData
    settings: LikelihoodSettings
    bits_per_dim: BoundMeans
    over_time: BoundOverTime
    per_image: BitsPerItem
    ode: OdeMeans | None = None

    @property
    def all_notes(self) -> list[str]:
        """Notes on the data and on the numbers."""
        return list(self.data.notes)


R = TypeVar("R", SampleMetrics, ConditionalResult, LikelihoodResult)


@dataclass(frozen=True)
class EvaluationResult(Result):
    """Measurements of a model or of samples; None where there is none."""

    SCHEMA: ClassVar[str] = "evaluation-1"
    samples: SampleMetrics | None = None
    likelihood: LikelihoodResult | None = None
    conditional: ConditionalResult | None = None

    @classmethod
    def load(cls, folder: str | Path, sha256: str | None = None) -> "EvaluationResult":
        """Read the files of all parts. One that is missing or damaged counts as not measured.

        Args:
            folder: Where an evaluation wrote them, such as `evaluation` in a run folder.
            sha256: Read only what was measured of the model file with this hash. None reads all.
        """
        return cls(
            _load(SampleMetrics, Path(folder) / SAMPLES_FILE, sha256),
            _load(LikelihoodResult, Path(folder) / LIKELIHOOD_FILE, sha256),
            _load(ConditionalResult, Path(folder) / CONDITIONAL_FILE, sha256),
        )

    @property
    def measured(self) -> list[SampleMetrics | ConditionalResult | LikelihoodResult]:
        """The parts that were measured."""
        return [part for part in (self.samples, self.conditional, self.likelihood) if part is not None]


def _load(kind: type[R], path: Path, sha256: str | None) -> R | None:
    try:
        result = kind.from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError):
        return None
    return result if sha256 in (None, result.model and result.model.sha256) else None
