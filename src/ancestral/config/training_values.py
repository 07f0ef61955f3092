"""Values that a training measures: its log and its result hold them."""

from dataclasses import dataclass

from ancestral.base.estimate import Estimate

LOSS_HARDLY_FALLS = "the loss hardly falls after the first few hundred steps, and samples still improve: that is normal"
"""What users ask most about a training, as the log, the report and the docs say it."""


@dataclass(frozen=True)
class ValidationLosses:
    """The loss of the averaged weights at a step, with the same times and noise at every step."""

    step: int
    validation: float
    """The loss of items that are held out."""
    training: float
    """The loss of as many training items."""
    rise: float
    """Rise of the validation loss above its minimum so far."""
    rise_error: float
    """The standard error of the rise: its items are paired."""


@dataclass(frozen=True)
class MeasuredDistance:
    """The distance (KID) of samples of the averaged weights to real items, with the same noise at every step."""

    step: int
    distance: float
    error: float
    """The standard error of the distance: how much it would vary with other samples and other real items."""


@dataclass(frozen=True)
class BestModel:
    """The averaged weights with the smallest measured distance, in a model file of their own."""

    file: str
    step: int
    distance: Estimate
    title: str
    """Title of the distance, by its feature extractor: KID-lite0, ..."""
    compared: str
    """Samples and real items that were compared, in words."""

    def __str__(self) -> str:
        return f"{self.file}, step {self.step:,}, {self.title} {self.distance} ({self.compared})"


@dataclass(frozen=True)
class TrainingCost:
    """Time in seconds and memory in bytes of a training run, from `measured` steps, of which the median counts."""

    device: str
    dtype: str
    shape: tuple[int, ...]
    parameters: int
    batch_size: int
    steps: int
    measured: int
    scaled_from: int
    """The batch size that was measured; if it is less than `batch_size`, time and memory were scaled up."""
    seconds_per_step: float
    seconds: float
    """Time of all steps, without checkpoints and previews."""
    weights: int
    """Weights, gradients, averages and moments; a checkpoint with the model file has the same size."""
    data: int
    memory: int
    """At most, with the data if it is held in memory: in addition to the program's on a CPU, else on the GPU."""
    available: int
    snapshots: int = 0
    network: str | None = None
    chosen: str | None = None
    """Settings that were chosen by the size of the items, and why; None if all settings were given."""
    micro_batch: int | None = None
    """The largest number of items at once whose memory is free, 0 for none; None if a whole step fits."""

    @property
    def fits(self) -> bool:
        """Whether the memory of a step is free."""
        return self.memory <= self.available
