"""Scores of conditional samples against the items that their conditions belong to."""

from dataclasses import dataclass

from ancestral.base.quantities import Estimate

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
