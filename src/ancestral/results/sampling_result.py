"""Result of `ancestral sample`, and the recipe that decides the pixels of a picture of samples."""

from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.results.result import Result


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
    guidance: float | dict[str, float]
    paths: tuple[str, ...]
    codec: str
    means: tuple[float, ...]
    data_means: tuple[float, ...]
    index: tuple[int, ...] | None = None
    """Which samples of the seed they are; None is the first `count`."""
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label: sample i has value i mod their number."""
    then: tuple[str, ...] = ()
    """The models that follow in a cascade. `codec`, `means` and `data_means` are those of the last."""


@dataclass(frozen=True)
class SamplingRecipe(Result):
    """The model, the seed and the settings of a picture of samples, by which `like` of `sample` repeats it.

    `ancestral sample` writes it into the metadata of its PNGs.
    """

    SCHEMA: ClassVar[str] = "recipe-1"

    model: str
    """SHA-256 of the model file; empty for a grid of training, whose weights are in no file."""
    version: str
    """Version of this package: another one may sample otherwise."""
    seed: int
    n: int
    """The number of items: those with indices 0..n−1 of the seed, unless `index` names others."""
    sampler: str
    """The sampler with all its settings."""
    guidance: float | dict[str, float]
    index: tuple[int, ...] | None = None
    label: tuple[str, ...] | None = None
    """Names of classes: item i has label i mod their number. None takes all classes in turn, if there are any."""
    single: bool = False
    """Whether the picture is one item in its own size, not a grid."""
    step: int | None = None
    """The training step of a grid of training."""
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label: names of classes, numbers, and of images the name of the file and
    the SHA-256 of its values, as in "low.png sha256:...". Item i has value i mod their number."""
    guidance_interval: tuple[float, ...] | None = None
    guidance_rescale: float | None = None
    weak: str | None = None
    """SHA-256 of the file of the weaker model of autoguidance."""
    then: dict[str, str] = field(default_factory=dict)
    """The models that follow in a cascade: the SHA-256 of the file of each, and its sampler with all its settings."""
    run: str | None = None
    """`Config.identity` of the run of a grid of training; earlier versions wrote none."""
    parent: "SamplingRecipe | None" = None
    """The recipe whose trajectory is continued from its state number `at`, by the other settings of this recipe."""
    at: int | None = None
    """The number of the state, from 0, which is x_T."""
