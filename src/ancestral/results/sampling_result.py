"""What `ancestral sample` wrote."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ancestral.results.result import Result
from ancestral.results.table import Table

MAX_CHANNELS = 8
"""The largest number of channels whose means are shown."""


@dataclass(frozen=True)
class SamplingResult(Result):
    """Files with samples, and how the samples were made.

    `means` are those of the samples' channels and `data_means` those of the training data, both in the data's own
    units; the latter are empty for models that do not know them.
    """

    SCHEMA: ClassVar[str] = "sampling-1"

    model: str
    count: int
    seed: int
    sampler: str
    label: str | None
    guidance: float
    paths: tuple[str, ...]
    codec: str
    means: tuple[float, ...]
    data_means: tuple[float, ...]
    index: tuple[int, ...] | None = None
    """Which samples of the seed they are; None is the first `count`."""

    def channel_means(self) -> str:
        """Compare the means of several channels in one line; "" for one channel, and for more than `MAX_CHANNELS`."""
        if not 1 < len(self.data_means) <= MAX_CHANNELS:
            return ""
        rgb = self.codec == "uint8" and len(self.data_means) == 3
        title = "mean colour (0-255)" if rgb else "mean of each channel"
        return f"{title}: samples {_numbers(self.means)}; training data {_numbers(self.data_means)}"

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the result."""
        label = f", label {self.label}" if self.label is not None else ""
        guidance = f", guidance {self.guidance:g}" if self.guidance != 1 else ""
        index = f", index {' '.join(map(str, self.index))}" if self.index is not None else ""
        rows = [("samples", f"{self.count:,} of {self.model}, seed {self.seed}{index}{label}{guidance}")]
        rows += [("sampler", self.sampler), ("files", ", ".join(self.paths))]
        return Table((), rows), *filter(None, [self.channel_means()])


def _numbers(values: Sequence[float]) -> str:
    """Numbers with the decimal places that give the largest of them four digits, and at least one."""
    places = max(1, 3 - math.floor(math.log10(max(map(abs, values)) or 1)))
    return " ".join(f"{value:.{places}f}" for value in values)
