"""What a data set is, what is wrong with it, and what training on it costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from PIL.Image import Image

from ancestral.results.estimate import Estimate, format_duration
from ancestral.results.result import ATTACHED, Result
from ancestral.results.table import Table

NAMES, CLASSES, BAR = 5, 20, 30
"""The numbers of names of a finding and of classes that are shown, and the length of the longest bar."""
NAME_WIDTH = 14
"""Characters of the names of rows, so that the tables line up."""
MARKS = {"error": "✗", "warning": "!", "note": "·"}
"""The levels of findings, the worst first."""


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

    def rows(self) -> Iterator[tuple[str, str]]:
        """Format the statistics as (name, text)."""
        unread = f", {len(self.unreadable):,} named below not" if self.unreadable else ""
        yield "files", f"{self.read:,} of {self.found:,} read, {format_bytes(self.bytes)}{unread}"
        yield "formats", _counts(self.formats)
        yield "modes", _counts(self.modes)
        if set(self.depths) != {"8"}:
            yield "bits", _counts(self.depths)
        if len(self.sizes) > 1:
            low, middle, high = (f"{h}x{w}" for w, h in zip(self.width, self.height, strict=True))
            often = _counts(dict(list(self.sizes.items())[:3]))
            yield "height x width", f"{low} to {high}, median {middle}; most often {often}"
            yield "shapes", f"{_counts(self.ratios)}; the crop keeps {1 - self.cropped:.0%}"
        else:
            yield "height x width", _counts(self.sizes)
        if self.transparent:
            yield "transparent", f"{self.transparent:,}"
        if self.others or self.hidden:
            hidden = {"hidden": self.hidden} if self.hidden else {}
            yield "passed over", _counts({**dict(list(self.others.items())[:8]), **hidden})


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
    at_0: float | None
    """The share of bytes that are 0; None for other numbers."""
    at_255: float | None
    flat: int
    """The number of items of one colour throughout."""
    grey: int
    """The number of RGB items without colour."""
    colourfulness: float | None
    """The mean of Hasler and Süsstrunk's M (2003): 0 is grey, 33 moderate, 109 extreme; None without RGB items."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Format the statistics as (name, text)."""
        names = {1: ("grey",), 3: ("red", "green", "blue")}.get(len(self.mean), ())
        if len(self.shape) != 3 or not names:
            axis = "channel" if len(self.shape) > 1 else "axis"
            names = tuple(f"{axis} {i}" for i in range(len(self.mean)))
        means = zip(names, self.mean, self.std, strict=True)
        shown = [f"{name} {_number(mean)} ± {_number(std)}" for name, mean, std in means]
        yield "mean ± std", ", ".join(shown[:6]) + (f", and {len(shown) - 6} more" if len(shown) > 6 else "")
        ends = f"; {self.at_0:.1%} at 0, {self.at_255:.1%} at 255" if self.at_255 is not None else ""
        yield "range", f"{_number(self.low)} to {_number(self.high)} ({self.dtype}){ends}"
        if self.colourfulness is not None:
            grey = f"; {self.grey:,} without any colour" if self.grey else ""
            yield "colourfulness", f"{self.colourfulness:.0f} (0 grey, 33 moderate, 109 extreme){grey}"


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

    def summary(self) -> str:
        """Format time and memory in a line, with what helps if the memory does not suffice."""
        steps = f"{self.steps:,} step{'s' * (self.steps > 1)} of {self.seconds_per_step:.3g} s"
        line = f"about {format_duration(self.seconds)} for {steps}"
        line += " (measured)" if self.scaled_from == self.batch_size else f" (measured on {self.scaled_from} items)"
        line += f", {format_bytes(self.memory)} of memory beside the program; {format_bytes(self.available)} are free"
        return line if self.fits else f"{line}: too little. {self.remedy().capitalize()}"

    def remedy(self) -> str:
        """Say which options help if the memory does not suffice."""
        if self.micro_batch:
            return f"give --micro-batch {self.micro_batch} (the same batches, in parts), or a smaller --image-size"
        return "take a smaller --image-size or --width, or a larger --patch"

    def rows(self, count: int) -> Iterator[tuple[str, str]]:
        """Format the cost of training on `count` items as (name, text)."""
        epochs = _number(self.steps * self.batch_size / count)
        yield "training", f"{self.steps:,} steps of {self.batch_size:,}: each item is seen {epochs} times"
        network = "" if self.network is None else f"{self.network}; "
        yield "network", f"{network}{self.parameters:,} parameters, {self.dtype}, on {self.device}"
        if self.chosen is not None:
            yield "settings", self.chosen
        how = f"{self.measured} step{'s' if self.measured > 1 else ''} measured"
        if self.scaled_from < self.batch_size:
            how += f" of {self.scaled_from} items and scaled up"
        yield "time", f"about {format_duration(self.seconds)}, {self.seconds_per_step:.3g} s a step ({how})"
        parts = f"weights and optimiser {format_bytes(self.weights)}, data {format_bytes(self.data)}"
        free = f"{format_bytes(self.available)} are free"
        yield "memory", f"about {format_bytes(self.memory)} ({parts}) beside the program; {free}"
        averages = f", snapshots of averages {format_bytes(self.snapshots)} in all" if self.snapshots else ""
        yield "on the disk", f"{format_bytes(self.checkpoint)} a checkpoint{averages}"


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
    sheet: Image | None = field(default=None, repr=False, compare=False, metadata=ATTACHED)
    """The contact sheet."""

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the report."""
        title = f"{self.source}: {plural(self.count, 'item')} of {shape_text(self.values.shape)}"
        if self.rate is not None:
            title += f" at {self.rate:,} Hz"
        parts: list[Table | str] = [f"{title} for the preset {self.preset}", ""]
        copies = [
            (what, f"{plural(len(groups), 'group')} of {sum(map(len, groups)):,} items")
            for kind, what in (("same", "duplicates"), ("alike", "look-alikes"))
            if (groups := self.duplicates[kind])
        ]
        if self.mirroring is not None:
            text = f"{self.mirroring.percent} are nearer to another image than to a mirrored one (50 %: no difference)"
            copies.append(("mirroring", text))
        sections: list[Sequence[tuple[str, ...]]] = [[*self.values.rows(), *copies], _class_rows(self.classes)]
        if self.files is not None:
            sections.insert(0, [*self.files.rows()])
        if self.cost is not None:
            sections.append([*self.cost.rows(self.count)])
        for rows in filter(None, sections):
            parts += [Table((), [(name.ljust(NAME_WIDTH), *texts) for name, *texts in rows]), ""]
        for finding in self.findings:
            parts.append(f"{MARKS[finding.level]} {finding.level}: {finding.text}; {finding.advice}")
            parts += [f"    {name}: {remark}" for name, remark in list(finding.names.items())[:NAMES]]
            if len(finding.names) > NAMES:
                parts.append(f"    and {len(finding.names) - NAMES:,} more; --json lists all")
        return parts if self.findings else [*parts, "No problems were found."]


def _class_rows(classes: Mapping[str, int]) -> list[tuple[str, str, str]]:
    most, shown = max(1, *classes.values(), 1), list(classes.items())[:CLASSES]
    width = max((len(f"{count:,}") for _, count in shown), default=0)
    rows = [
        (name[:40], f"{count:,}".rjust(width), "█" * max(1 if count else 0, round(BAR * count / most)))
        for name, count in shown
    ]
    return [*rows, (f"and {len(classes) - CLASSES:,} more", "", "")] if len(classes) > CLASSES else rows


def shape_text(shape: Sequence[int]) -> str:
    """Format the shape of an item."""
    return " x ".join(map(str, shape)) or "different sizes"


def format_bytes(count: float) -> str:
    """Format a number of bytes."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def plural(count: int, noun: str) -> str:
    """Format a count: 1 class, 2 classes."""
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("s") else "s")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _number(value: float) -> str:
    if value.is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
