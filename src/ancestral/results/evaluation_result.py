"""What an evaluation measured: how good samples are (samples.json), and the likelihood of data (likelihood.json)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from ancestral.arguments import short_source
from ancestral.results.estimate import NORMAL, Estimate, format_percent
from ancestral.results.result import Result
from ancestral.results.table import Table

SAMPLES_FILE, LIKELIHOOD_FILE = "samples.json", "likelihood.json"
SHARES = ("precision", "recall", "density", "coverage")
MAX_CHANNELS = 6
"""Channels whose means are shown."""
KINDS = {2: "signals", 3: "images", 4: "volumes"}
"""What items are called, by their number of axes; else points."""
MANY_COPIES, SOME_COPIES = 0.05, 0.005
"""Shares of copies beyond chance from which a verdict speaks of them."""
BY_CHANCE = 1e-3
"""The least probability of as many copies by chance with which they may be chance."""
HOLD_OUT = "hold out 10 % (--validation 0.1) and stop where its loss rises"
"""Advice against memorisation."""
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
    """How the samples were made. Samples that came from elsewhere have a count and a folder."""

    count: int
    sampler: str | None
    seed: int | None
    guidance: float | None
    label: str | None
    steps: int | None = None
    folder: str | None = None
    """The folder's name."""


@dataclass(frozen=True)
class ReferenceNames:
    """What the samples were compared with."""

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
    """What the distances are called on the features of the extractor, such as FID."""

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
    """Of as many samples to as many training items as the floor has; None where `train` has these numbers."""

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
    """Of samples that are copies."""
    chance: Estimate
    """Of training items that would be copies of others: what a model that copies nothing has."""
    items: int
    """The number of different training items."""
    copied: int
    """Of those, the number that some sample copies."""
    equal: int = 0
    """The number of samples that are identical to a training item."""
    flat: int = 0
    """The number of samples near to one constant training item alone; they are not counted as copies."""
    p_value: float = 0.0
    """The probability of as many copies by chance (`metrics.copies.Copies.p_value`); 0 in files without it."""

    @property
    def excess(self) -> float:
        """How much larger the share is than by chance; 0 where that may be chance."""
        excess = self.share.value - self.chance.value
        certain = self.p_value < BY_CHANCE and excess >= SOME_COPIES and self.share.value > 2 * self.chance.value
        if self.equal:  # which chance does not do
            return max(excess, SOME_COPIES)
        return excess if certain else 0.0

    def __str__(self) -> str:
        equal = f", {self.equal:,} samples are equal to one" if self.equal else ""
        return (
            f"{self.share.percent} of samples are less than a third as far from one training item as from any other; "
            f"by chance {self.chance.percent}; {self.copied:,} of {self.items:,} different items are copied{equal}"
        )


@dataclass(frozen=True)
class MemorisationResult:
    """How near samples come to the training items; no shares where unseen items are copies of training items."""

    among: int
    """The number of training items."""
    median: float
    """The median distance of a sample to the nearest of them."""
    share: float | None = None
    """Of samples that are nearer to a training item than `threshold`."""
    share_error: float | None = None
    expected: float | None = None
    """The share of a model that memorised nothing."""
    error: float | None = None
    """The standard deviation of the share of such a model."""
    threshold: float | None = None
    closest: tuple[ClosestPair, ...] = ()
    copies: CopyResult | None = None
    """Needs no unseen items; None where the training items are too few."""

    @property
    def excess(self) -> float:
        """How much larger the share is than without memorisation; 0 where that may be chance."""
        if self.share is None or self.expected is None or self.error is None:
            return 0.0
        return self.share - self.expected if self.share - self.expected > SURE * self.error else 0.0

    def __str__(self) -> str:
        if self.share is None or self.expected is None:
            return f"cannot be told; the median distance to the nearest of {self.among:,} is {self.median:.4g}"
        return (
            f"{format_percent(self.share, self.share_error)} of samples are nearer to a training item than "
            f"{format_percent(1 - self.expected)} of unseen ones are; without memorisation "
            f"{format_percent(self.expected, self.error)}"
        )


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


@dataclass(frozen=True)
class ColourDrift:
    """How far the colours of samples are from those of the data."""

    levels: float
    """The largest difference of a channel's mean, signed, in 255ths of the range of values."""
    sigmas: float | None
    """The largest difference of a channel's mean in standard errors; None where a channel never changes."""
    samples: ChannelMoments
    data: ChannelMoments


@dataclass(frozen=True)
class ClassAccuracy:
    """How often a linear classifier on the features finds the class that a sample was conditioned on."""

    samples: Estimate
    data: Estimate
    """Of real items that the classifier was not fitted to: the most that samples can be expected to reach."""
    items: int
    """The number of those items."""
    classes: int | None = None
    """The number of classes of the data; None in files of version 0.1."""

    @property
    def by_chance(self) -> str:
        """What guessing would reach, such as "by chance 10 %"; empty if that is not known."""
        return "" if self.classes is None else f"by chance {100 / self.classes:.3g} %"


@dataclass(frozen=True, kw_only=True)
class SampleQuality:
    """What is measured of samples, whatever made them."""

    floor: str
    """Which sets the floor compares."""
    distances: DistanceSets
    inception_score: InceptionScores | None
    memorisation: MemorisationBySpace
    colour: ColourDrift | None
    class_accuracy: ClassAccuracy | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleMetrics(SampleQuality, Result):
    """How good samples are, of what they were made and what they were compared with."""

    SCHEMA: ClassVar[str] = "samples-1"
    model: MeasuredModel | None
    samples: SampleSettings
    data: ReferenceNames
    extractor: ExtractorName
    titles: MetricTitles
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def all_notes(self) -> list[str]:
        """What a reader should know of the data and of the numbers."""
        return [*self.data.notes, *self.notes]

    @property
    def verdict(self) -> str:
        """What was found, in a line, with advice: copies first, then how far the samples are from the data."""
        found = [part for part in (self.memorisation.pixels, self.memorisation.features) if part is not None]
        results = [part.copies for part in found if part.copies is not None]
        copies = max(results, key=lambda one: one.excess, default=None)
        if copies is not None and copies.excess:
            word = "COPIES" if copies.excess >= MANY_COPIES else "SOME COPIES"
            return (
                f"{word}: {copies.share.percent} of the samples copy a training item ({copies.copied:,} of "
                f"{copies.items:,} different ones). Take more data or fewer --steps, or {HOLD_OUT}."
            )
        near = max(found, key=lambda one: one.excess, default=None)
        if near is not None and near.excess and near.share is not None and near.expected is not None:
            return (
                f"NEAR THE TRAINING DATA: {format_percent(near.share, near.share_error)} of the samples are nearer to "
                f"a training item than {format_percent(1 - near.expected)} of unseen ones are: memorised in part, or "
                f"blurred. Look at memorisation.png, and {HOLD_OUT}."
            )
        distance = self._distance_verdict()
        known = [] if not results else ["NO COPIES"]
        return ": ".join([*known, *filter(None, [distance])])

    def _distance_verdict(self) -> str:
        """How far the samples are from the data, against the floor of equal numbers of items."""
        own, floor, titles = self.distances.comparable, self.distances.floor, self.titles
        few = min(own.items, own.against) <= self.extractor.features
        pairs = [(titles.frechet, own.frechet, floor.frechet), (titles.kernel, own.kernel, floor.kernel)]
        for title, value, least in pairs[::-1] if few else pairs:  # of few items the Fréchet distance says nothing
            if value is None or least is None:
                continue
            apart, error = value.value - least.value, math.hypot(value.error or 0, least.error or 0)
            if apart <= NORMAL * error:
                return f"{title} cannot tell the samples from the data ({value}, floor {least})."
            return (
                f"{title} {value}, where data has {least}. Train for more --steps, or see with `ancestral compare RUN "
                "--samplers all` whether the sampler holds it back."
            )
        return ""

    def settings(self) -> dict[str, str]:
        """Describe the samples and what they were compared with, by name."""
        made, floor = self.samples, self.distances.floor
        text = f"{made.count:,} of {made.folder}"
        if made.sampler is not None:
            guidance = f", guidance {made.guidance:g}" if made.guidance not in (None, 1) else ""
            text = f"{made.count:,} by {made.sampler}, seed {made.seed}{guidance}"
        rows = {
            "samples": text + (f", {made.label}" if made.label is not None else ""),
            "features": f"{self.extractor.features:,} of {self.extractor.name}",
            "training data": self.data.train,
            "held-out data": self.data.held_out,
            "floor": f"{self.floor}: {floor.items:,} to {floor.against:,}",
            "as the floor": None
            if self.distances.matched is None
            else "as many of the samples to as many training items",
        }
        return {name: text for name, text in rows.items() if text}

    def distance_table(self) -> Table:
        """Make the table of distances, each with its standard error."""
        sets = {"to training data": self.distances.train, "to held-out data": self.distances.held_out,
                "as the floor": self.distances.matched, "floor": self.distances.floor}  # fmt: skip
        known = {name: part for name, part in sets.items() if part is not None}
        names = {"frechet": self.titles.frechet, "kernel": self.titles.kernel, **{name: name for name in SHARES}}
        measured = {name: title for name, title in names.items() if getattr(self.distances.train, name) is not None}
        rows = [[title, *(str(getattr(part, name)) for part in known.values())] for name, title in measured.items()]
        return Table(("", *known), rows)

    def other_metrics(self) -> dict[str, str]:
        """Describe what is no distance, by name."""
        rows = {}
        if (scores := self.inception_score) is not None:
            rows[self.titles.inception_score or "IS"] = f"{scores.samples}; training data {scores.train}"
        if (accuracy := self.class_accuracy) is not None:
            rows["class accuracy"] = (
                f"{accuracy.samples.percent} of samples are classified as the class that they were conditioned on; of "
                f"{accuracy.items:,} real items {accuracy.data.percent}"
                + (f"; {accuracy.by_chance}" if accuracy.by_chance else "")
            )
        spaces = {"pixels": self.memorisation.pixels, "features": self.memorisation.features}
        known = {name: found for name, found in spaces.items() if found is not None}
        rows |= {f"copies by {name}": str(found.copies) for name, found in known.items() if found.copies is not None}
        rows |= {f"memorisation by {name}": str(found) for name, found in known.items()}
        if (colour := self.colour) is not None:
            sigmas = "–" if colour.sigmas is None else f"{colour.sigmas:.1f}"
            rows["mean of each channel"] = (
                f"samples {_few(colour.samples.mean)}; training data {_few(colour.data.mean)}; largest "
                f"difference {colour.levels:+.2f} of 255 levels of the range, {sigmas} standard errors"
            )
            if colour.samples.covariance is not None and colour.data.covariance is not None:
                deviations = [
                    _few([math.sqrt(row[i]) for i, row in enumerate(covariance)])
                    for covariance in (colour.samples.covariance, colour.data.covariance)
                ]
                rows["deviation of each channel"] = "samples {}; training data {}".format(*deviations)
        return rows

    def parts(self) -> list[Table | str]:
        """The verdict, tables of the distances, the other metrics and the settings, and the notes."""
        others, settings = (Table((), list(rows.items())) for rows in (self.other_metrics(), self.settings()))
        tables = [table for table in (self.distance_table(), others, settings) if table.rows]
        return [*filter(None, [self.verdict]), *tables, *self.all_notes]


def _few(values: Sequence[float]) -> str:
    shown = " ".join(f"{value:.4g}" for value in values[:MAX_CHANNELS])
    return f"{shown} …" if len(values) > MAX_CHANNELS else shown


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

    def __str__(self) -> str:
        kind = KINDS.get(len(self.shape), "points")
        return f"{self.images:,} of {self.of:,} {kind} of {short_source(self.source)}, {self.split} split"


@dataclass(frozen=True, kw_only=True)
class LikelihoodSettings:
    """How the bound was taken. Another variance, clipping or decoder makes another number."""

    T: int
    variance: str
    clip: bool
    decoder: str
    passes: int | None
    seed: int
    ode_steps: int | None = None
    probes: int | None = None

    def bound(self) -> str:
        """Describe the bound."""
        clipped = "clipped" if self.clip else "not clipped"
        passes = self.T if self.passes is None else min(self.T, self.passes)
        return f"{self.variance} variance, {clipped}, {self.decoder} decoder; {passes:,} passes for T = {self.T:,}"


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
    """Of x̂_0, in the network's [-1, 1]."""
    distortion: tuple[float, ...]
    """The root mean square error of x̂_0, in `unit`."""
    unit: str | None = None

    def table(self) -> Table:
        """Make a table of the strata that hold T and parts of it, from T down to 1."""
        unit = f" ({self.unit})" if self.unit is not None else ""
        times = [max(round(part * self.t_last[-1]), 1) for part in (1, 0.75, 0.5, 0.25, 0.1, 0.01, 0)]
        strata = list(zip(self.t_first, self.t_last, strict=True))
        chosen = dict.fromkeys(i for t in times for i, (a, b) in enumerate(strata) if a <= t <= b)
        rows = [
            (
                str(self.t_first[i]) if self.t_first[i] == self.t_last[i] else f"{self.t_first[i]}-{self.t_last[i]}",
                f"{self.bits_per_dim_of_a_step[i]:.2g}",
                f"{self.rate[i]:.3f}",
                f"{self.distortion[i]:.3g}",
            )
            for i in chosen
        ]
        return Table(("t", "bits/dim of a step", "rate so far", f"RMSE of x̂_0{unit}"), rows)


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
        """What a reader should know of the data and of the numbers."""
        return list(self.data.notes)

    def summary(self) -> dict[str, str]:
        """Describe the data, the bound and its terms, and the probability flow, by name."""
        bits, settings = self.bits_per_dim, self.settings
        rows = {
            "data": str(self.data),
            "bound": settings.bound(),
            "L_T": f"{bits.L_T} bits/dim",
            "Σ L_t": f"{bits.L_t} bits/dim, t = 2..T",
            "L_0": f"{bits.L_0} bits/dim",
            "total": f"{bits.total} bits/dim",
        }
        if self.ode is not None:
            probes = f"{settings.probes} probe{'s' * (settings.probes != 1)}" if settings.probes else "exact divergence"
            nats = f" ({self.ode.nats} nats)" if self.over_time.unit == DATA_UNIT else ""
            text = f"{self.ode.bits_per_dim} bits/dim{nats}, {settings.ode_steps} steps, {probes}, not clipped"
            rows["probability flow"] = text
        return rows

    def parts(self) -> list[Table | str]:
        """Tables of the terms and of the bound over time, and the notes."""
        return [Table((), list(self.summary().items())), self.over_time.table(), *self.all_notes]


R = TypeVar("R", SampleMetrics, LikelihoodResult)


@dataclass(frozen=True)
class EvaluationResult(Result):
    """What was measured of a model or of samples; None is what was not."""

    SCHEMA: ClassVar[str] = "evaluation-1"
    samples: SampleMetrics | None = None
    likelihood: LikelihoodResult | None = None

    @classmethod
    def load(cls, folder: str | Path, sha256: str | None = None) -> "EvaluationResult":
        """Read samples.json and likelihood.json. A file that is missing or damaged counts as not measured.

        Args:
            folder: Where an evaluation wrote them, such as `evaluation` in a run folder.
            sha256: Read only what was measured of the model file with this hash. None reads all.

        Returns:
            The result, empty if there is nothing.
        """
        return cls(
            _load(SampleMetrics, Path(folder) / SAMPLES_FILE, sha256),
            _load(LikelihoodResult, Path(folder) / LIKELIHOOD_FILE, sha256),
        )

    @property
    def measured(self) -> list[SampleMetrics | LikelihoodResult]:
        """The parts that were measured."""
        return [part for part in (self.samples, self.likelihood) if part is not None]

    def parts(self) -> list[Table | str]:
        """What the samples' metrics and the likelihood show."""
        return [shown for part in self.measured for shown in part.parts()]


def _load(kind: type[R], path: Path, sha256: str | None) -> R | None:
    try:
        result = kind.from_json(path.read_text(encoding="utf-8"), str(path))
        str(result)  # numbers of the right type may still be such that nothing can be shown
    except (OSError, ValueError, LookupError, OverflowError):
        return None
    if sha256 is not None and (result.model is None or result.model.sha256 != sha256):
        return None
    return result
