"""Result of `ancestral edit`, and the recipe that decides the pixels of its pictures."""

from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.results.result import Result
from ancestral.results.sampling_result import SamplingRecipe


@dataclass(frozen=True)
class EditingResult(Result):
    """Files with the samples of an edit, and how they were made."""

    SCHEMA: ClassVar[str] = "editing-1"

    model: str
    task: str
    count: int
    seed: int
    method: str
    reason: str
    """Why the method was taken."""
    evaluations: int
    """The number of network evaluations of each sample."""
    seconds: float
    paths: tuple[str, ...]
    deviation: float | None = None
    """The mean of the map of the standard deviation over the samples, in the units of the data, where it may change."""
    index: tuple[int, ...] | None = None
    """Which samples of the seed they are; None is the first `count`."""
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditRecipe(SamplingRecipe):
    """The model, the images and the settings of an edit, by which `like` of `edit` repeats it.

    `sampler` and `steps` are what the user gave; "" is the default of the task. Values that are None are defaults too.
    """

    SCHEMA: ClassVar[str] = "edit-recipe-1"

    task: str = ""
    images: dict[str, str] = field(default_factory=dict)
    """The images and the mask by name: the name of the file and the SHA-256 of the values, as in "a.png sha256:..."."""
    part: str = ""
    """Which picture of the edit this is: the number of a sample, "std", "overview" or "film"."""
    steps: int | None = None
    method: str | None = None
    operator: str | None = None
    noise: float | None = None
    strength: float | None = None
    t: float | None = None
    particles: int | None = None
    iterations: int | None = None
