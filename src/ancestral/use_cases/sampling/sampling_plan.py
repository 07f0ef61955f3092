"""A plan of `sample` and `edit`: the processes whose samples are made, and the files that they are written to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ancestral.conditions import Limits
from ancestral.config.request import Request
from ancestral.declarations import Edit, Sample
from ancestral.model.process import Process
from ancestral.model.sweeps import Sweep
from ancestral.model.trained_model import TrainedModel
from ancestral.use_cases.sampling.edit_inputs import EditInput


@dataclass(frozen=True)
class SamplingPlan:
    """What is made, how, and into which files.

    Attributes:
        options: What the user gave.
        processes: The process of the samples; of a table one for each cell, by rows.
        recipe: How all is made, for the metadata of PNGs.
        out: The file or the folder.
        notes: What the user should know, a line each.
        gif: An animation, if any.
        film: A film strip, if any.
        sweep: The axes of a table, if it is one.
        given: What an edit begins with.
    """

    options: Sample | Edit
    processes: tuple[Process, ...]
    recipe: Request
    out: Path
    notes: tuple[str, ...]
    gif: Path | None = None
    film: Path | None = None
    sweep: Sweep | None = None
    given: EditInput | None = None

    @property
    def process(self) -> Process:
        """The process of the samples; of a table that of the first cell."""
        return self.processes[0]

    @property
    def model(self) -> TrainedModel:
        """The model whose samples are written: of a cascade the last one."""
        return self.process.model

    @property
    def count(self) -> int:
        """The number of samples."""
        return sum(process.count for process in self.processes)

    @property
    def sampler(self) -> str:
        """The sampler with its settings; "" is that of the task, or there may be several."""
        return self.recipe.sampler if self.sweep is None else ""

    @property
    def limits(self) -> Sequence[Limits]:
        """The values that are black and white of each model whose states are shown, one after another."""
        return [process.limits for process in self.process.chain]
