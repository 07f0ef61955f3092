"""What a data set is, what is wrong with it, and what training on it costs."""

from dataclasses import dataclass, field
from typing import ClassVar

from PIL.Image import Image

from ancestral.results.estimate import Estimate
from ancestral.results.result import ATTACHED, Result


@dataclass(frozen=True)
class Finding:
    """What is the case, what to do, and the files or items concerned, each with a remark.

    `level` is error (data that cannot be trained on), warning (data that is lost, or will hurt) or note.
    """

    code: str
    level: str
    text: str
    advice: str
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UnreadableFile:
    """A file or folder that cannot be read: the kind of fault, a key of `findings.FAULTS`, and the reason in a line."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class FileStatistics:
    """Statistics of the files of a folder of images. Counts by name are in the order of their frequency."""

    found: int
    """The number of files with the suffix of an image."""
    read: int
    bytes: int
    """The size of the files that were read."""
    formats: dict[str, int]
    modes: dict[str, int]
    """Pillow's modes: L is grey, P a palette, A alpha, 1 black and white."""
    depths: dict[str, int]
    """Bits of a channel."""
    width: tuple[int, ...]
    """Minimum, median, maximum."""
    height: tuple[int, ...]
    sizes: dict[str, int]
    """The most frequent sizes, height x width."""
    ratios: dict[str, int]
    """Images by the ratio of width to height."""
    cropped: float
    """The mean over images of the share of pixels that the crop loses: 0 where they are padded."""
    transparent: int
    rotated: int
    """Images that were turned upright by their EXIF block."""
    others: dict[str, int]
    """Files that are not read, by suffix."""
    hidden: int
    unreadable: tuple[UnreadableFile, ...]
    unusual: dict[str, dict[str, str]]
    """Names of unusual files with a remark, by kind: animated, deep, mode, suffix, tiny, cropped, unread."""


@dataclass(frozen=True)
class ValueStatistics:
    """Statistics of the items as training receives them: bytes in 0..255, or numbers."""

    count: int
    shape: tuple[int, ...]
    """Of one item: (C, *space), or (2,) of points; () if they differ."""
    dtype: str
    mean: tuple[float, ...]
    """Of each channel, or coordinate."""
    std: tuple[float, ...]
    low: float
    high: float
    flat: int
    """The number of items of one colour throughout."""
    grey: int
    """The number of RGB items without colour."""


@dataclass(frozen=True)
class TrainingCost:
    """Time in seconds and memory in bytes of a training run, from `measured` steps."""

    device: str
    dtype: str
    shape: tuple[int, ...]
    """Of one item."""
    parameters: int
    batch_size: int
    steps: int
    measured: int
    scaled_from: int
    """The batch size that was measured; if it is less than `batch_size`, time and memory were scaled up."""
    seconds_per_step: float
    """The median."""
    seconds: float
    """Of all steps, without checkpoints and previews."""
    weights: int
    """Weights, gradients, averages and moments."""
    data: int
    """The whole data set, decoded."""
    memory: int
    """At most, with the data if it is held in memory: in addition to the program's on a CPU, else on the GPU."""
    available: int
    """Free memory there."""
    checkpoint: int
    """One checkpoint and the model file."""
    snapshots: int = 0
    """All snapshots of averages."""
    network: str | None = None
    """The settings of the network in words."""
    chosen: str | None = None
    """What was chosen by the size of the items and why; None if all settings were given."""
    micro_batch: int | None = None
    """The largest number of items at once whose memory is free, 0 for none; None if a whole step fits."""

    @property
    def fits(self) -> bool:
        """Whether the memory of a step is free."""
        return self.memory <= self.available


@dataclass(frozen=True)
class DataReport(Result):
    """A data set before training: statistics, findings, and the cost of training on it."""

    SCHEMA: ClassVar[str] = "data-1"

    trainable: bool
    """Whether the preset can be trained on the data as it is."""
    source: str
    preset: str
    image_size: int | str | None
    """Side in pixels, or "HEIGHTxWIDTH", to which training brings the images; None keeps their size."""
    count: int
    """The number of items that training would use."""
    values: ValueStatistics
    classes: dict[str, int]
    """The number of items of each class; empty without classes."""
    files: FileStatistics | None
    """None if the data is no folder of images."""
    duplicates: dict[str, tuple[tuple[str, ...], ...]]
    """Groups of items by name: the "same" pixels, or "alike"."""
    findings: tuple[Finding, ...]
    """The worst first."""
    cost: TrainingCost | None
    """None if it was not measured, or the preset cannot be trained on the data."""
    mirroring: Estimate | None = None
    """The share of images that are nearer to another image than to a mirrored one: 1/2 where mirrored images look like
    the data. None of other data, and of few images."""
    rate: int | None = None
    """Samples in a second, of recordings."""
    command: str = ""
    """The command that trains on the data; "" if they cannot be trained on."""
    sheet: Image | None = field(default=None, repr=False, compare=False, metadata=ATTACHED)
    """The contact sheet."""
