"""What a training run came to."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ancestral.errors import InputError
from ancestral.results.table import Table

if TYPE_CHECKING:
    from ancestral.model import Model

SCHEMA = "ancestral-training-1"


@dataclass(frozen=True)
class TrainingResult:
    """A training run, finished or stopped."""

    folder: str
    """The run folder."""
    preset: str
    step: int
    """The number of steps done."""
    steps: int
    """The number of steps of the run."""
    loss: float | None
    """L_simple, smoothed over about fifty steps; None before the first good step."""
    seconds: float
    """Seconds of training, of all processes that resumed it."""
    parameters: int
    """The number of parameters of the network."""
    stopped: bool = False
    """Whether the run was stopped before its last step; it is saved and can be resumed."""
    model: "Model | None" = field(default=None, repr=False, compare=False)
    """The denoiser with the averaged weights, ready to sample; not in the JSON."""

    @property
    def table(self) -> Table:
        """The result as a table of names and values."""
        loss = "–" if self.loss is None else f"{self.loss:.4f}"
        rows = {
            "run": self.folder,
            "preset": self.preset,
            "steps": f"{self.step:,} of {self.steps:,}{', stopped' if self.stopped else ''}",
            "loss": loss,
            "time": f"{self.seconds:.0f} s",
            "parameters": f"{self.parameters:,}",
        }
        return Table((), tuple(rows.items()))

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def to_json(self) -> str:
        """Write the result as JSON text, without the model."""
        numbers = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "model"}
        return json.dumps({"schema": SCHEMA, **numbers}, indent=2, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> "TrainingResult":
        """Read what `to_json` wrote. Raises InputError if it is something else."""
        try:
            tree: dict[str, Any] = json.loads(text)
            if tree.pop("schema") != SCHEMA:
                raise ValueError
            return TrainingResult(**tree)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError("this is no JSON of a training result") from None
