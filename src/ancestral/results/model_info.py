"""What a model file holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ancestral.results.result import Result
from ancestral.results.table import Table


@dataclass(frozen=True)
class ModelInfo(Result):
    """A model: its file, how it was trained, its data, its network and its process.

    `final_signal` is the fraction a_T of x_0 that is left in x_T, and `mean` the mean of the training data's channels,
    empty where it is not known.
    """

    SCHEMA: ClassVar[str] = "model-1"

    model: str
    version: str
    file_bytes: int
    preset: str
    source: str
    step: int
    steps: int
    batch_size: int
    seed: int
    shape: tuple[int, ...]
    codec: str
    limits: tuple[float, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    parameters: int
    network: str
    schedule: str
    timesteps: int
    final_signal: float
    target: str
    clip: bool
    rate: int | None = None
    """Samples in a second, of recordings."""
    initial: str | None = None
    """The model that training started from; None is random weights."""
    average: float | None = None
    """The length σ_rel of the power-function average that the weights are; None for the average of training."""
    distilled: str | None = None
    """How that model was distilled, in words; None for a model that was trained by denoising."""
    sampler: str | None = None
    """The sampler that samples are drawn by if no other is given; None in results of older versions."""

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the result."""
        low, high = self.limits
        rate = "" if self.rate is None else f", {self.rate:,} Hz"
        trained = f"{self.step:,} of {self.steps:,} steps of {self.batch_size} on {self.source}, seed {self.seed}"
        if self.initial:
            trained += f", from the weights of {self.initial}"
        if self.average is not None:
            trained += f"; an average of length {self.average:g}, chosen after training"
        if self.distilled:
            trained += f", distilled {self.distilled}"
        if self.preset == "imported":
            trained = f"elsewhere; imported from {self.source}"
        if self.preset == "plain-loop":  # config.PLAIN_LOOP
            trained = f"{self.step:,} steps of a loop of your own"
        rows = {
            "model": self.model,
            "preset": self.preset,
            "trained": trained,
            "item": f"{'x'.join(map(str, self.shape))}, {self.codec} from {low:g} to {high:g}{rate}",
            "classes": ", ".join(self.classes) or "none",
            "network": f"{self.parameters:,} parameters; {self.network}",
            "schedule": f"{self.schedule}, T = {self.timesteps}; a_T = {self.final_signal:.2g}",
            "target": self.target + (", x_0 clipped in the loss" if self.clip else ""),
            **({"sampler": self.sampler} if self.sampler else {}),
            "mean": " ".join(map(str, self.mean)) or "not known",
            "file": f"{self.file_bytes / 1e6:.1f} MB, written by ancestral {self.version}",
        }
        return [Table((), list(rows.items()))]
