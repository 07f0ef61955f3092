"""A training run: its result, the content of its model file, the state of its files, and the runs of a folder."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from ancestral.base.errors import InputError
from ancestral.base.quantities import Estimate
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


@dataclass(frozen=True)
class ConditionInfo:
    """A condition besides the label, whose kind is a class of `ancestral.conditions`, such as Vector.

    What the kind does not have is None: the names of classes or numbers, the mean, the standard deviation, the least
    and the largest value of numbers, the channels, limits and sides of images and whether their last channel says what
    is known, the operator or function that makes it of the item, and the samples in a second of recordings.
    """

    kind: str
    names: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    limits: tuple[float, ...] | None = None
    sides: tuple[int, ...] | None = None
    masked: bool | None = None
    made_by: str | None = None
    rate: int | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    ranges: tuple[tuple[float, ...], ...] | None = None
    """The least and the largest value of each channel of an image; empty where all channels have one range."""
    further: dict[str, Any] | None = None
    """What a kind holds that has no field above, by name."""

    @staticmethod
    def of(kind: Any) -> "ConditionInfo":
        """Describe a condition by all that it holds."""
        facts = {name: fact for name, fact in asdict(kind).items() if name != "scaling" or fact}
        further = {name: facts.pop(name) for name in [*facts] if name not in ConditionInfo.__annotations__}
        return ConditionInfo(type(kind).__name__, **facts, further=further or None)


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
    objective: str = "denoising"
    """What training minimised, a name of the registry `OBJECTIVES` with options."""
    distilled: str | None = None
    """The distillation of that model, in words; None for a model that was trained by denoising."""
    sampler: str | None = None
    """The sampler that samples are drawn by if no other is given."""
    latents: str | None = None
    """The latents that the model is of, in words; None for a model of the items themselves."""
    best: BestModel | None = None
    """The model with the smallest measured distance in the run folder; None if none was measured."""
    conditions: dict[str, ConditionInfo] = field(default_factory=dict)
    """The conditions besides the classes, by name."""
    ranges: tuple[tuple[float, ...], ...] = ()
    """The least and the largest value of each channel; empty where all channels have one range."""
    channels: tuple[str, ...] = ()
    """The name of each channel of fields, with its units."""
    scale: str = ""
    """The scale of floats where it is not the range of the data, and samples are not clipped."""
    gaps: str = ""
    """What is known of missing values; "" where none is missing."""
    periodic: tuple[str, ...] = ()
    """The names of the axes of space that go around."""


@dataclass(frozen=True)
class FileState:
    """A file of a run, a checkpoint, or all files in a part of a run that have no digests.

    `problem` says why it is damaged or of another run, and is empty if it is not; `note` is what else there is to know.
    """

    path: str
    size: int
    run: str = ""
    problem: str = ""
    note: str = ""


@dataclass(frozen=True)
class RunFiles(Result):
    """The files of a run, and whether they are whole and of one run."""

    SCHEMA: ClassVar[str] = "run-files-1"

    folder: str
    run: str
    """The identity of the run; empty where the files name none."""
    files: tuple[FileState, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of the files, a line each."""
        return tuple(file.problem for file in self.files if file.problem)

    @property
    def whole(self) -> bool:
        """Whether no file is damaged or of another run."""
        return not self.problems


@dataclass(frozen=True)
class RunSummary:
    """A training run in a line: its last step that was saved or logged, of `steps`, and its bytes on disk."""

    name: str
    """The path of the run folder, within the folder of the list."""
    data: str
    preset: str
    step: int
    steps: int
    size: int
    changed: str
    """When a file of the run changed last, as ISO 8601 in local time."""
    loss: float | None = None
    """The last loss in the log; None without one."""
    distance: Estimate | None = None
    """The Fréchet distance of samples to the training data; None if this state of the model was not evaluated."""
    distance_name: str | None = None
    """Title of the distance, by its feature extractor: FD-lite0, FID, ..."""
    best: BestModel | None = None
    """The model with the smallest distance that was measured while training; None if none was."""
    parts: dict[str, int] = field(default_factory=dict)
    """Bytes on disk by what they hold: a value of `run_files.RUN_PARTS`, or "other"."""


@dataclass(frozen=True)
class RunList(Result):
    """The runs of a folder, the one that changed last first, and its folders that cannot be read as runs."""

    SCHEMA: ClassVar[str] = "runs-1"

    folder: str
    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...] = ()
    """Damaged files, and folders that are no runs, a line each."""


@dataclass(frozen=True)
class Removal:
    """A file or folder that a finished run no longer needs, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class CleaningResult(Result):
    """Files that were removed from finished runs, or would be."""

    SCHEMA: ClassVar[str] = "cleaning-1"

    folder: str
    removals: tuple[Removal, ...]
    removed: bool
    problems: tuple[str, ...] = ()
    """Runs that were left alone, and why, a line each."""
