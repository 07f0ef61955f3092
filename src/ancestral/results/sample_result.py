"""Quality of samples: what was measured of them, by the names of the metrics."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, TypeVar

from ancestral.base.errors import InputError
from ancestral.base.quantities import Estimate
from ancestral.base.registries import needs_of
from ancestral.base.result import Result

MANY_COPIES, SOME_COPIES = 0.05, 0.005
"""Shares of copies beyond chance from which a verdict speaks of them."""
BY_CHANCE = 1e-3
"""The least probability of as many copies by chance with which they may be chance."""
SURE = 3
"""Standard deviations beyond which a share of a model that memorised nothing is hardly ever."""
FID = "inception"
"""The only extractor whose Fréchet distance is called FID: other networks have other scales."""
SETS = ("value", "held_out", "matched", "floor")
"""The fields of `Measure` that are distances between two sets."""
FADED = 0.5
"""Share of the variance of the data's colours below which samples are called grey."""
NARROW = 0.8
"""Share of the floor below which samples with this recall are called too little varied."""
M = TypeVar("M")


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

    def title(self, kind: str) -> str:
        """Name a metric ("FD", "KID" or "IS") on these features: "FD-lite0", or "FID" on inception's."""
        if self.name == FID:
            return "FID" if kind == "FD" else kind
        return f"{kind}-{self.name}"


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


# -- measures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """A number of the samples, and the same number of data in their place.

    A distance is measured between several sets; other numbers have a value and a floor.
    """

    title: str
    value: Estimate
    """Of the samples; of a distance, to the training data."""
    floor: Estimate | None = None
    """Of data in the place of the samples."""
    held_out: Estimate | None = None
    """The distance of the samples to the held-out data."""
    matched: Estimate | None = None
    """The distance of as many samples to as many training items as the floor has; None where `value` has these."""

    @property
    def comparable(self) -> Estimate:
        """The value that can be compared with the floor: of equal numbers of items."""
        return self.value if self.matched is None else self.matched

    def surely_below(self, share: float) -> bool:
        """Whether the value is below this share of the floor by more than SURE standard errors."""
        if self.floor is None:
            return False
        error = math.hypot(self.comparable.error or 0.0, share * (self.floor.error or 0.0))
        return self.comparable.value + SURE * error < share * self.floor.value


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
    kind: Literal["memorisation"] = "memorisation"

    @property
    def copied(self) -> CopyResult | None:
        """The larger share of copies beyond chance; None if there are none."""
        copies = (part.copies for part in (self.pixels, self.features) if part is not None and part.copies)
        return max((one for one in copies if one.excess), key=lambda one: one.excess, default=None)

    @property
    def near(self) -> MemorisationResult | None:
        """The larger share of samples that are too near to training items; None if neither is."""
        parts = (part for part in (self.pixels, self.features) if part is not None and part.excess)
        return max(parts, key=lambda part: part.excess, default=None)


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
    kind: Literal["colour"] = "colour"

    @property
    def faded(self) -> float | None:
        """The variance of the samples' values, or that between three channels, as a share of that of the data.

        None unless one is surely below FADED.
        """
        pairs = zip(_variances(self.samples), _variances(self.data), strict=False)
        shares = (
            ours / theirs for (ours, error), (theirs, _) in pairs if theirs > 0 and ours + SURE * error < FADED * theirs
        )
        return min(shares, default=None)


def _variances(moments: ChannelMoments) -> list[tuple[float, float]]:
    """The variance of all values, and of three channels that between them, each with a bound of its standard error."""
    matrix, errors = moments.covariance, moments.covariance_error
    if matrix is None or errors is None:
        return []
    total, error = (sum(row[i] for i, row in enumerate(rows)) for rows in (matrix, errors))
    if len(matrix) != 3:
        return [(total, error)]
    between = total - sum(map(sum, matrix)) / 3
    return [(total, error), (max(between, 0.0), error + sum(map(sum, errors)) / 3)]


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy(Measure):
    """Share of samples of which a linear classifier on the features finds the class that they were conditioned on.

    The floor is its accuracy on real items that the classifier was not fitted to: the most that samples can be expected
    to reach.
    """

    title: str = "class accuracy"
    value: Estimate = field(metadata={"key": "samples"})
    floor: Estimate = field(metadata={"key": "data"})
    items: int
    """The number of these real items."""
    classes: int
    """The number of classes of the data."""
    kind: Literal["class_accuracy"] = "class_accuracy"

    @property
    def samples(self) -> Estimate:
        """The share of samples, which is the value."""
        return self.value

    @property
    def data(self) -> Estimate:
        """The share of real items, which is the floor."""
        return self.floor


@dataclass(frozen=True)
class CaptionGroup:
    """The R-precision of the samples for a group of captions, and of the real items that these are of."""

    name: str
    """training: of training items; new: texts that training did not have; new pairs: those with two neighbouring words
    that training did not have beside each other; exchanged: the same, made of other captions by exchanging a word."""
    captions: int
    """The number of different captions."""
    samples: Estimate
    real: Estimate | None = None
    """None of captions that no item has."""


@dataclass(frozen=True, kw_only=True)
class CaptionRetrieval(Measure):
    """Share of samples whose own caption is the nearest of `among` ones, by a judge trained on training items.

    Value and floor are of captions of held-out items that training did not have, else of training items that the judge
    was not trained on.
    """

    title: str = "R-precision"
    value: Estimate = field(metadata={"key": "samples"})
    floor: Estimate = field(metadata={"key": "real"})
    """The share of real items: the most that samples can be expected to reach."""
    shuffled: Estimate
    """The share of real items with the captions of others."""
    among: int
    groups: tuple[CaptionGroup, ...]
    kind: Literal["captions"] = "captions"


@dataclass(frozen=True)
class PowerSpectrum:
    """The power of samples over that of training items, by channel and octave of the wave length."""

    waves: tuple[float, ...]
    """The ends of the octaves in cells of the longest side, from long to short waves."""
    samples: dict[str, tuple[Estimate, ...]]
    """The ratio of each octave, by the name of the channel."""
    floor: dict[str, tuple[Estimate, ...]]
    """The same of held-out items, or of one half of the training items beside the other."""
    kind: Literal["spectrum"] = "spectrum"


AnyMeasure: TypeAlias = Measure | CaptionRetrieval | ClassAccuracy | ColourDrift | MemorisationBySpace | PowerSpectrum


@dataclass(frozen=True)
class MetricTitles:
    """Titles of the distances on the features of the extractor, such as FID."""

    frechet: str
    kernel: str


# -- results -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SampleQuality:
    """Measures of samples, whatever made them."""

    floor: str
    """The data whose distance is the floor, in words."""
    sets: dict[str, tuple[int, ...]]
    """The numbers of items of both sets of each distance, by the fields of `Measure`."""
    metrics: dict[str, AnyMeasure]
    """What was measured, by the names of the metrics, and of the numbers of a metric that has several; those of the
    user by the names of their functions."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not {"value", "floor"} <= self.sets.keys() <= set(SETS) or any(len(two) != 2 for two in self.sets.values()):
            raise InputError("distances have a value and a floor, each between two sets")

    @property
    def numbers(self) -> dict[str, Measure]:
        """The measures that are numbers."""
        return {name: one for name, one in self.metrics.items() if isinstance(one, Measure)}

    @property
    def between_sets(self) -> dict[str, Measure]:
        """The distances, and the shares that are measured between the same sets."""
        return {name: one for name, one in self.numbers.items() if needs_of(name) == "features"}

    @property
    def memorisation(self) -> MemorisationBySpace:
        """The memorisation; both parts are None if it was not measured."""
        return self._measure("memorisation", MemorisationBySpace) or MemorisationBySpace(None, None)

    @property
    def colour(self) -> ColourDrift | None:
        """The drift of the colours; None if it was not measured."""
        return self._measure("colour", ColourDrift)

    @property
    def narrow(self) -> Measure | None:
        """The recall, where it is surely below NARROW of the floor and the precision is not; else None."""
        recall, precision = (self.numbers.get(name) for name in ("recall", "precision"))
        if recall is None or not recall.surely_below(NARROW):
            return None
        return None if precision is not None and precision.surely_below(NARROW) else recall

    @property
    def class_accuracy(self) -> ClassAccuracy | None:
        """The class accuracy; None if it was not measured."""
        return self._measure("class_accuracy", ClassAccuracy)

    @property
    def captions(self) -> CaptionRetrieval | None:
        """How well samples obey their captions; None if it was not measured."""
        return self._measure("captions", CaptionRetrieval)

    def _measure(self, name: str, kind: type[M]) -> M | None:
        measure = self.metrics.get(name)
        return measure if isinstance(measure, kind) else None


@dataclass(frozen=True, kw_only=True)
class SampleMetrics(SampleQuality, Result):
    """Quality of samples, with the model that made them and the data that they were compared with."""

    SCHEMA: ClassVar[str] = "samples-2"
    model: MeasuredModel | None
    samples: SampleSettings
    data: ReferenceNames
    extractor: ExtractorName
    reconstructions: ReconstructionQuality | None = None
    """What the autoencoder of a model of latents loses."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def all_notes(self) -> list[str]:
        """Notes on the data, on what an autoencoder loses, and on the numbers."""
        lost = [] if self.reconstructions is None else [f"The model is one of latents: {self.reconstructions}."]
        return [*self.data.notes, *lost, *self.notes]
