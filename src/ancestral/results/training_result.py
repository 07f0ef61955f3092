"""Result of a training run."""

from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from ancestral.base.errors import InputError
from ancestral.base.result import ATTACHED, Result
from ancestral.config.run_files import BestModel, MeasuredDistance, ValidationLosses

ModelType = TypeVar("ModelType")
"""The type of the model, which this layer does not know."""


@dataclass(frozen=True)
class TrainingResult(Result, Generic[ModelType]):
    """A training run, finished or stopped. `model` is the denoiser with the averaged weights, ready to sample."""

    SCHEMA: ClassVar[str] = "training-1"

    folder: str
    preset: str
    step: int
    """The number of steps done, of `steps`."""
    steps: int
    seconds: float
    """Seconds of training, those before a resume included."""
    parameters: int
    stopped: bool = False
    """Whether the run was stopped before its last step; it is saved and can be resumed."""
    preempted: bool = False
    """Whether SIGTERM, SIGUSR1 or SIGHUP stopped it, so that a scheduler should start it again."""
    loss: float | None = None
    """L_simple, smoothed over about fifty steps; None before the first good step."""
    validation: ValidationLosses | None = None
    """The last validation loss; None without a validation set."""
    distance: MeasuredDistance | None = None
    """The last distance of samples that was measured; None if none was."""
    best: BestModel | None = None
    """The model with the smallest distance; None if none was measured."""
    plateau: int | None = None
    """The step at which the samples' distance had stopped improving; None before."""

    trained: ModelType | None = field(default=None, repr=False, compare=False, metadata=ATTACHED)
    """The model that `model` returns; None of a result that was read from JSON."""

    @property
    def model(self) -> ModelType:
        """The `Model`. Raises InputError for a result that was read from JSON, which does not hold it."""
        if self.trained is None:
            raise InputError(f"a result read from JSON holds no model: ancestral.load({self.folder!r})")
        return self.trained
