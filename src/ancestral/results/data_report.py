"""Report on a data set: its facts, its faults, and the cost of training on it."""

from dataclasses import dataclass, field
from typing import ClassVar

from PIL.Image import Image

from ancestral.base.result import ATTACHED, Result
from ancestral.config.run_files import TrainingCost


@dataclass(frozen=True)
class Finding:
    """A finding: description, advice, and the files or items concerned, each with a remark.

    `level` is error (data that cannot be trained on), warning (data that is lost, or will hurt) or note.
    """

    code: str
    level: str
    text: str
    advice: str
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileStatistics:
    """Statistics of the readable files of a folder of images."""

    bytes: int
    height: tuple[int, ...]
    """Minimum, median, maximum, in pixels; of photographs upright, as the EXIF block says."""
    width: tuple[int, ...]
    cropped: float
    """The mean over images of the share of pixels that the crop loses: 0 where they are padded."""
    transparent: int
    """The number of files with transparent pixels."""


@dataclass(frozen=True)
class ValueStatistics:
    """Statistics of the items as training receives them: bytes in 0..255, or numbers."""

    count: int
    shape: tuple[int, ...]
    """Shape of an item: (C, *space), or (2,) of points."""
    dtype: str
    mean: tuple[float, ...]
    """Mean of each channel, or coordinate."""
    std: tuple[float, ...]
    low: float
    high: float
    grey: int
    """The number of RGB items without colour."""
    channels: tuple[str, ...] = ()
    """The name of each channel of fields, with its units; empty of other data."""


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of captions."""

    captions: int
    """The number of all captions, empty ones not counted."""
    most: int
    """The largest number of captions of an item."""
    tokens: tuple[int, ...]
    """Number of tokens of a caption: minimum, median, maximum."""
    vocabulary: int
    """The number of pieces of the vocabulary, each of which is a token."""
    different_words: int
    """The number of different words."""
    cut: int
    """The number of items with a caption that is longer than what a network gets."""
    examples: tuple[str, ...] = ()
    """Some of the captions."""


@dataclass(frozen=True)
class ConditionStatistics:
    """Statistics of a condition besides the label."""

    kind: str
    """classes, vector, image or words: the name of the class in `ancestral.conditions`, in lower case."""
    missing: int
    """The number of items without it."""
    low: tuple[float, ...] = ()
    """The least value of each number of a vector that the data hold."""
    high: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    """The number of items of each class."""
    shape: tuple[int, ...] = ()
    """Shape of a value that is counted or averaged nowhere above, as of an image: (C, *space)."""
    made_by: str = ""
    """The operator or function that makes it from the item; "" for those of the data."""
    text: TextStatistics | None = None
    """Of words alone."""


@dataclass(frozen=True)
class DataReport(Result):
    """A data set before training: statistics, findings, and the cost of training on it."""

    SCHEMA: ClassVar[str] = "data-2"

    trainable: bool
    """Whether the preset can be trained on the data as it is."""
    source: str
    preset: str
    image_size: int | str | None
    """Side in pixels, or "HEIGHTxWIDTH", to which training brings the images; None keeps their size."""
    count: int
    """The number of items that can be read, which training would use."""
    values: ValueStatistics
    classes: dict[str, int]
    """The number of items of each class; empty without classes."""
    files: FileStatistics | None
    """None if the data is no folder of images."""
    findings: tuple[Finding, ...]
    cost: TrainingCost | None
    """None if it was not measured, or the preset cannot be trained on the data."""
    rate: int | None = None
    """Samples in a second, of recordings."""
    conditions: dict[str, ConditionStatistics] = field(default_factory=dict)
    """The conditions besides the label, by name."""
    command: str = ""
    """The command that trains on the data; "" if they cannot be trained on."""
    sheet: Image | None = field(default=None, repr=False, compare=False, metadata=ATTACHED)
