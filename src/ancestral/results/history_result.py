"""What `ancestral history` measures: each method's distance to the data against the passes of its network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ancestral.results.result import Result
from ancestral.results.table import Table


@dataclass(frozen=True)
class HistoryPoint:
    """The distance of samples to the data for a number of sampling steps, which take a number of network passes."""

    steps: int
    passes: int
    distance: float


@dataclass(frozen=True)
class HistoryMethod:
    """A trained method, and its distances by rising numbers of steps (`measures`).

    `own` is by the number of steps of its own sampler, `best` the smallest distance, and `needed` has the fewest passes
    that are enough, as `StepSweep.needed` defines it. `starts_from` is the method whose trained model this one started
    from; its training is not in `training_steps` and `training_seconds`. None: it was trained from random weights.
    """

    paper: str
    training_steps: int
    training_seconds: float
    own: HistoryPoint
    best: HistoryPoint
    needed: HistoryPoint
    measures: tuple[HistoryPoint, ...]
    starts_from: str | None = None


@dataclass(frozen=True)
class HistoryResult(Result):
    """The methods by name, on the same data.

    `samples` is the number of samples and of held-out points, `floor` the distance of the data to itself, `tolerance`
    the factor of a method's best distance within which a distance is enough.
    """

    SCHEMA: ClassVar[str] = "history-1"

    data: str
    seed: int
    samples: int
    distance: str
    floor: float
    tolerance: float
    methods: dict[str, HistoryMethod]

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the result."""
        columns = ("method", "passes needed", "distance", "own passes", "distance", "training")
        rows = [
            (name, str(method.needed.passes), f"{method.needed.distance:.4f}", str(method.own.passes),
             f"{method.own.distance:.4f}",
             f"{method.training_seconds:.0f} s" + (f" after {method.starts_from}" if method.starts_from else ""))
            for name, method in self.methods.items()
        ]  # fmt: skip
        return Table(columns, rows), (
            f"The distance of the data to itself is {self.floor:.4f}: {self.samples:,} held-out points compared with "
            "as many others."
        )
