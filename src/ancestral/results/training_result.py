"""Result of a training run."""

from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from ancestral.errors import InputError
from ancestral.results.result import ATTACHED, Result

ModelType = TypeVar("ModelType")
"""The type of the model, which this layer does not know."""


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
    loss: float | None = None
    """L_simple, smoothed over about fifty steps; None before the first good step."""
    validation: ValidationLosses | None = None
    """The last validation loss; None without a validation set."""

    trained: ModelType | None = field(default=None, repr=False, compare=False, metadata=ATTACHED)
    """The model that `model` returns; None of a result that was read from JSON."""

    @property
    def model(self) -> ModelType:
        """The `Model`. Raises InputError for a result that was read from JSON, which does not hold it."""
        if self.trained is None:
            raise InputError(f"a result read from JSON holds no model: ancestral.load({self.folder!r})")
        return self.trained
