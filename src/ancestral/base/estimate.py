"""Numbers with their uncertainty, and how they are formatted."""

import math
from dataclasses import dataclass

NORMAL = 1.96
"""The 95 % interval of a normal distribution reaches this number of standard errors to either side."""


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error and its 95 % interval; None where these are not known.

    `dominance` is the share of the variance that one item makes, if that is too much: tails are heavy, the error may be
    larger and the interval may cover much less than 95 %. Text then says "or more" of the error.
    """

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    dominance: float | None = None

    def __str__(self) -> str:
        return format_number(self.value, self.error) + " or more" * (self.dominance is not None)

    @property
    def percent(self) -> str:
        """The number and its standard error in per cent."""
        return format_percent(self.value, self.error)


def format_number(value: float, error: float | None = None) -> str:
    """Format a value with two digits of its error: 12.31 ± 0.42."""
    if error is None or not 0 < error < math.inf:
        return f"{value:.4g}"
    places = 1 - math.floor(math.log10(error))
    if places > 5:
        return f"{value:.2g} ± {error:.1g}"
    return f"{value:,.{max(0, places)}f} ± {error:,.{max(0, places)}f}"


def format_percent(value: float, error: float | None = None) -> str:
    """Format a share in per cent, to one decimal place if it has an error."""
    if error is None:
        return f"{100 * value:.3g} %"
    return f"{100 * value:.1f} ± {100 * error:.1f} %"
