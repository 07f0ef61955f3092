"""Numbers and quantities as text: estimates with their uncertainty, bytes, times, counts and shares."""

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


def format_bytes(count: float) -> str:
    """Format a number of bytes with its unit and three digits, as in 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_duration(seconds: float) -> str:
    """Format a time in words, such as 12 seconds or 1.5 hours."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return "a second" if seconds < 1.5 else f"{seconds:.0f} seconds"


def plural(count: int, noun: str) -> str:
    """Format a count: 1 class, 2 classes."""
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("s") else "s")


def format_hours(hours: float) -> str:
    """Format a lead time, from two days on in days: 6 h, 30 d."""
    return f"{hours / 24:g} d" if hours >= 48 and hours % 24 == 0 else f"{hours:g} h"


def are(count: int, noun: str) -> str:
    """Format a count and the verb, the beginning of a sentence: 1 class is, 2 classes are."""
    return f"{plural(count, noun)} {'is' if count == 1 else 'are'}"


def format_share(share: float) -> str:
    """Format a share in whole per cent, which are 0 and 100 only where it is: 21 %."""
    percent = round(100 * share)
    return f"{percent if share in (0, 1) else min(99, max(1, percent))} %"
