"""Results of an evaluation: quality of samples (samples.json), samples for the conditions of held-out items
(conditional.json), and the likelihood of data (likelihood.json).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from ancestral.base.errors import InputError
from ancestral.base.quantities import Estimate
from ancestral.base.result import Result
from ancestral.results.sample_result import ExtractorName, MeasuredModel, SampleMetrics, SampleSettings

SAMPLES_FILE, CONDITIONAL_FILE, LIKELIHOOD_FILE = "samples.json", "conditional.json", "likelihood.json"
DATA_UNIT = "units of the data"
"""The unit of errors of data without grey levels."""
OVERCONFIDENT = 0.8
"""The ratio of spread and error below which members are too much alike."""


@dataclass(frozen=True)
class ForecastScores:
    """Scores of a forecast of `conditions` items by `members` samples each; by 1 member, of a point forecast.

    Distances are root mean squares over the values of an item, in the units of the values.
    """

    conditions: int
    members: int
    energy: Estimate
    """The energy score; smaller is better. Of a point forecast the distance."""
    distance: Estimate
    """The distance of one member from the true item."""
    psnr: Estimate | None = None
    """PSNR of one member in dB; None of features."""


@dataclass(frozen=True)
class ChannelScores:
    """The mean score over all values, and that of each channel; none of very many channels."""

    mean: Estimate
    channels: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Places of the true values among the `members` samples of each of `conditions` conditions.

    Values that equal all members count in none of the shares.
    """

    conditions: int
    members: int
    rank: int
    """The interval reaches from the member of this rank from below to that of this rank from above."""
    nominal: float
    """The coverage of the interval if true values are distributed as members are, exactly."""
    coverage: Estimate | None
    """Share of true values in the interval; None if no value differs from any member."""
    ranks: tuple[Estimate, ...]
    """Shares of values above 0, 1, ..., K members; each 1/(K + 1) if calibrated."""
    constant: float
    """Share of values that equal all members."""
    spread: Estimate
    """The root mean square error of the ensemble mean that the variance of the members predicts."""
    error: Estimate
    """The root mean square error of the ensemble mean."""
    ratio: Estimate | None
    """Spread divided by error, 1 if calibrated; None if the mean has no error."""

    @property
    def overconfident(self) -> bool:
        """Whether the members spread surely less than they err, so that they are too much alike."""
        return self.ratio is not None and self.ratio.high is not None and self.ratio.high < OVERCONFIDENT


@dataclass(frozen=True)
class Forecast:
    """Scores of an answer to conditions, in pixels from -1 to 1 and in features.

    `name` is samples; mean, the mean of the samples of a condition as a single answer; scaled, samples with the noise
    of `NoiseFit`; average, the mean of the training items; nearest, the training item whose conditions are nearest;
    random, as many random training items as samples; or another run, whose samples answer the same conditions.
    """

    name: str
    pixels: ForecastScores
    features: ForecastScores | None = None
    """None where the features are the pixels."""
    crps: ChannelScores | None = None
    """The CRPS in the units of the data, of points and signals."""
    behind: Estimate | None = None
    """Mean of this energy score less that of the samples, in pixels, on the same items; None of the samples."""
    skill: Estimate | None = None
    """1 less the energy score of the samples over this one, in pixels: above 0 if samples are better; None of the
    samples."""


@dataclass(frozen=True)
class NoiseFit:
    """The factor of the noise that a network draws, by which the interval of its answers covers most nearly its share.

    Scores with it are of items that it was not fitted on: of each half of the items with the factor of the other.
    """

    factor: float
    """That of all items, for later samples: the option `noise` of the sampler consistency."""
    halves: tuple[float, float]
    """Those of the items at even and at odd places."""
    calibration: Calibration


@dataclass(frozen=True)
class GroupScores:
    """The energy score of the samples for some of the items: those of a class, or of a range of a number."""

    condition: str
    group: str
    items: int
    energy: Estimate


@dataclass(frozen=True)
class LeadScores:
    """Scores of samples that rolled out from states of the data, for one of the states in time."""

    lead: int
    """The number of the state, from 1."""
    hours: float | None
    """The time since the start; None where the data have no dates."""
    starts: int
    """The number of starts, no two of whose forecasts have a state in common."""
    energy: Estimate
    ratio: Estimate | None
    """Spread divided by error, as of `Calibration`."""
    crps: ChannelScores
    """In the units of the data."""
    persistence: Estimate | None
    """Skill beside the state before the start as a forecast: 1 less the energy score of the samples over its."""
    climatology: Estimate | None
    """Skill beside random training items."""


@dataclass(frozen=True)
class WorstItem:
    """An item that the samples for its conditions forecast worst: its place in the data, from 0, and the score."""

    item: int
    energy: float


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
    channels: tuple[str, ...] = ()
    """The name of each channel of fields, with its units."""


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
    noise: NoiseFit | None = None
    """Of networks that draw noise themselves."""
    groups: tuple[GroupScores, ...] = ()
    worst: tuple[WorstItem, ...] = ()
    """From the worst on."""
    leads: tuple[LeadScores, ...] = ()
    """Of samples that rolled out."""

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


MEAN_KEYS = {"keys": {"value": "mean", "error": "standard_error"}}
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

    L_T: Estimate = field(metadata=MEAN_KEYS)
    L_t: Estimate = field(metadata=MEAN_KEYS)
    L_0: Estimate = field(metadata=MEAN_KEYS)
    total: Estimate = field(metadata=MEAN_KEYS)


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

    bits_per_dim: Estimate = field(metadata=MEAN_KEYS)
    nats: Estimate = field(metadata=MEAN_KEYS)


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

    SCHEMA: ClassVar[str] = "evaluation-2"
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
    return result if sha256 in (None, result.model.sha256 if result.model is not None else None) else None
