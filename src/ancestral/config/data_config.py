"""Settings of the data that a run is trained on, and how texts name them: condition sources, shares, sizes, layouts."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from ancestral.base.arguments import MOST_CHARACTERS, checked_class, is_remote, short_source, shown
from ancestral.base.errors import InputError
from ancestral.base.fields import argument, hidden
from ancestral.base.options import option
from ancestral.base.registries import TEXT_KINDS

AXES = ("item", "channel", "z", "y", "x")
"""The names of the axes of an array, in the order that items are brought to."""
SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+):([a-z]*)")
"""A share of the items and how it is held out."""
FROM_PYTHON = "(given from Python)"
"""The source of data that were given as a tensor, an array or a torch Dataset."""
UNPLACED = "…/"
"""Placeholder for the folders of a path that are not shared."""


def unplaced(source: str) -> str:
    """Return a source as it may be shared: an absolute path as …/NAME, which cannot be opened by mistake."""
    return UNPLACED + short_source(source) if Path(source).is_absolute() else source


@dataclass(frozen=True)
class ConditionSource:
    """Source of a condition, written as [NAME=]WHAT.

    Attributes:
        name: The name of the condition; "" where the source decides it.
        what: A column of the data, or several joined by commas; a column of text as words:COLUMN or classes:COLUMN; a
            folder or a file of arrays; an operator or a function that makes it of the item.
    """

    name: str
    what: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a text. Raises InputError if it names no source."""
        name, _, what = (part.strip() for part in (text.partition("=") if "=" in text else ("", "", text)))
        if not what:
            example = option("given", f"{name or 'NAME'}=WHAT")
            raise InputError(f"{option('given', text)} names no source: say where the condition comes from, {example}")
        return cls(name, what)

    def __str__(self) -> str:
        return f"{self.name}={self.what}" if self.name else self.what

    @property
    def condition(self) -> str:
        """The name of the condition of a column, or one that the user named."""
        return self.name or self.column

    @property
    def read_as(self) -> str:
        """What a column of text is read as, if the user says so: words or classes; else ""."""
        kind, colon, _ = self.what.partition(":")
        return kind if colon and kind in TEXT_KINDS else ""

    @property
    def column(self) -> str:
        """The source without `read_as`."""
        return self.what.removeprefix(f"{self.read_as}:")

    @property
    def is_place(self) -> bool:
        """Whether the source is an absolute path, also without its folders, or an address."""
        return self.what.startswith(UNPLACED) or Path(self.what).is_absolute() or is_remote(self.what)

    @property
    def lost(self) -> bool:
        """Whether the source is a folder or file that does not exist."""
        return bool(self.name) and self.is_place and not (is_remote(self.what) or Path(self.what).exists())

    def renamed(self, place: Callable[[str], str]) -> Self:
        """Return the same with another name for its place, if its source is one, as `place` returns it."""
        return replace(self, what=place(self.what)) if self.is_place else self

    @property
    def placeless(self) -> Self:
        """The same with nothing but the suffix of a place, since data may be moved and renamed."""
        return self.renamed(lambda place: UNPLACED + Path(place).suffix.lower())


def placeless(given: Iterable[ConditionSource] | None) -> tuple[ConditionSource, ...] | None:
    """Return all of `given` without their places."""
    return None if given is None else tuple(one.placeless for one in given)


class HeldOut(NamedTuple):
    """A share of the items that is held out.

    Attributes:
        share: The share, above 0 and below 1.
        by_blocks: Whether runs of items that follow each other are held out, and not single items.
    """

    share: float
    by_blocks: bool = False

    def __str__(self) -> str:
        return f"{self.share:g}{':blocks' * self.by_blocks}"


@checked_class
@dataclass(frozen=True)
class DataConfig:
    """The data to train on."""

    source: str = hidden("digits")
    """The name, path or address of the data, as `data` of `train` takes it."""
    image_size: int | str | tuple[int, int] | None = argument(None, words=str | None, metavar="HxW", names="words")
    """Height x width to which images are brought, as in 32x48; one number is the side of a square. {From Python also
    (height, width).} Default: the size that they have."""
    fit: Literal["crop", "pad"] = argument("crop", title="Crop or pad")
    """Method that brings images to the shape of `image_size`: crop keeps the largest centre part of that shape; pad
    keeps all of each image, and adds edges in the colour of `background`."""
    crop: float = argument(1.0, title="Random crops", least=1, most=4)
    """Train on random windows of `image_size`, cut from images whose height and width are this many times as large.
    Samples look like windows, and are compared with those at the centre. 1 cuts none."""
    channels: int | None = argument(None, title="Colour channels")
    """Number of channels to which images are converted: 1 is grey, 3 is RGB, and the number that they have (4: RGBA)
    keeps all. Default: that of the preset, else grey or RGB as the images are; five or more channels are kept."""
    dims: Literal[1, 2, 3] | None = argument(None, title="Dimensions")
    """Axes besides the channels: 1 for signals, 2 for images, 3 for volumes; default: inferred from the array's
    shape."""
    layout: str | None = argument(None, title="Axes of arrays", metavar="AXES", names="words")
    """Name of each axis of an array, as in item,channel,y,x: item once, channel at most once, and x, y,x or z,y,x for
    signals, images or volumes, in any order. Default: inferred from the array's shape; an ambiguous shape is
    refused."""
    ranges: Literal["channel", "shared"] = argument("channel", title="Ranges of floats")
    """Scaling of floats with several channels to [-1, 1]: channel scales each channel from its own range; shared scales
    all from one range, for channels of one unit whose proportions matter (colours, the parts of a vector)."""
    bits: Literal[8, 16] | None = None
    """Bits of each channel: 8 rounds deeper images, 16 keeps 16-bit files. Default: 16 if all files have 16 bits."""
    length: int | None = None
    """Number of samples of .wav recordings: longer ones are cut at their end, shorter ones are filled with silence.
    Default: all must have one length."""
    rate: int | None = argument(None, title="Sample rate")
    """Sampling rate in Hz to which .wav recordings are resampled; `length` counts samples at this rate. Default: all
    must have one rate."""
    flip: bool = argument(False, title="Mirror")
    """Mirror half of the images left to right, at random. Not for digits and letters."""
    augment: float = argument(0.0, title="Augmentation", least=0, below=1)
    """Probability of each random transform of an item: translation, flips, and of images rotation, scaling and
    stretching. The network is conditioned on them, and on none in sampling, so samples show none. 0.12 suits small
    data; 0 is none."""
    background: str = argument("white", names="words")
    """Colour that shows through transparent images: a name or #rrggbb."""
    class_labels: bool = argument(True, title="Use classes")
    """Condition the model on the classes of the data (one sub-folder each), where there are any."""
    balance: bool = argument(False, title="Balance classes")
    """Train on each class equally often, however many items it has."""
    leave_out_copies: bool = False
    """Train on each item once: items whose values equal those of an earlier one, and images that look like one (saved
    again in another size or quality), are left out, as doctor names them. Nothing is deleted."""
    given: tuple[ConditionSource, ...] | None = argument(
        None, title="Conditions", words=tuple[str, ...] | None, metavar="[NAME=]WHAT", repeats=True, names="condition"
    )
    """Conditions of the model besides the class: columns of the data, joined by commas; a folder with a file
    of the same name for each item; a .npy or .npz file with a row for each; an operator, as in upscale:4+noise:0.05; or
    a function, package.module:function. `ancestral help given` explains these. Default: the conditions that Python
    gives with the items."""
    shuffle_tags: bool = argument(False, title="Shuffle tags")
    """Train on captions whose parts between commas are in an order that is drawn for each step."""
    fingerprint: str = hidden("")
    """The number of items and a hash of some of them, by which a run that is resumed knows its data wherever they lie;
    "" in a run that a Trainer began without a workflow."""
    moved: str = hidden("")
    """The rows of items, separated by blanks, that are on the other side of the split by `validation`, a share, than
    chance put them, so that copies stay together; "" without any."""
    left_out: str = hidden("")
    """The rows of items, separated by blanks, that `leave_out_copies` left out."""
    memory: float = argument(1.0, title="Keep in memory")
    """GiB of decoded data that are held in memory; larger data sets are read from the disk while training. The same
    number holds for latents; more latents are encoded again in each step."""
    validation: float | str | None = argument(
        None, title="Validation share", metavar="SHARE[:blocks]|SOURCE", above=0, below=1, names="data"
    )
    """Share of the items that is held out of training: 0.1 takes single items at random; 0.1:blocks takes a few runs of
    consecutive items, for ordered data such as frames of a video, whose neighbours are alike. Or other data of the same
    kind. The loss of these items is measured at every multiple of `sample_every`. Default: none."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", plain_image_size(self.image_size))
        if self.layout is not None:
            object.__setattr__(self, "layout", ",".join(parse_layout(self.layout)))

    @property
    def held_out(self) -> HeldOut | None:
        """The share of the items that `validation` holds out; None where it is none, or other data."""
        return held_out_share(self.validation)

    @property
    def moved_rows(self) -> tuple[int, ...]:
        """`moved` as numbers."""
        return _rows(self.moved)

    @property
    def left_out_rows(self) -> tuple[int, ...]:
        """`left_out` as numbers."""
        return _rows(self.left_out)

    @property
    def form(self) -> dict[str, Any]:
        """Arguments of `data.load` and `data.open` that say how the source is read."""
        names = (
            *("image_size", "fit", "channels", "background", "dims", "layout", "ranges", "bits", "length", "rate"),
            *("given", "crop"),
        )
        return {name: getattr(self, name) for name in names}


def held_out_share(validation: Any) -> HeldOut | None:
    """Read the share of items that is held out, as in 0.1 or "0.1:blocks"; None of other data.

    Raises:
        InputError: If a share is not between 0 and 1, or held out in no way that there is.
    """
    if isinstance(validation, float | int):
        return HeldOut(float(validation))
    match = SHARE.fullmatch(validation) if isinstance(validation, str) else None
    if match is None:
        return None
    share, way = float(match[1]), match[2]
    if way != "blocks" or not 0 < share < 1:
        raise InputError(
            f"{option('validation', validation)} holds out no item: give a share between 0 and 1, as in "
            f"{option('validation', 0.1)}, or {option('validation', '0.1:blocks')}"
        )
    return HeldOut(share, by_blocks=True)


def parse_layout(text: str) -> tuple[str, ...]:
    """Read the names of the axes of an array, as in "item,channel,y,x".

    Raises:
        InputError: If a name is none of AXES or there twice, or `item` or an axis of space is missing.
    """
    names = tuple(name.strip().lower() for name in text.split(","))
    space = [name for name in AXES[2:] if name in names]
    if (
        len(set(names)) < len(names)
        or set(names) - set(AXES)
        or "item" not in names
        or space != list(AXES[-len(space) :])
    ):
        raise InputError(
            f"the layout of an array cannot be {shown(text)}: name each axis once, item, channel (if there is one) "
            f"and x, y,x or z,y,x, as in {option('layout', 'item,channel,y,x')}"
        )
    return names


def _rows(text: str) -> tuple[int, ...]:
    """The numbers in a text of rows; files may be damaged."""
    return tuple(int(row) for row in text.split() if row.isdecimal() and len(row) < 19)


def parse_image_size(size: Any) -> tuple[int, int]:
    """Read an image size: 32, "32", "32x48" or (32, 48).

    Returns:
        (height, width).

    Raises:
        InputError: If it is none.
    """
    sides: Any = size if isinstance(size, tuple | list) else (size,)
    if isinstance(size, str):
        match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", size, re.ASCII | re.IGNORECASE)
        sides = [int(side) for side in match.groups() if side] if match else []
    sides = [*sides] * (2 if len(sides) == 1 else 1)
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        text = size if isinstance(size, str) else shown(size)
        raise InputError(
            f"image size {text[:MOST_CHARACTERS]} is impossible: give the side of a square in pixels, as in 32, or "
            "HEIGHTxWIDTH, as in 32x48"
        )
    return sides[0], sides[1]


def plain_image_size(size: Any) -> int | str:
    """Write an image size in one way: an int for a square, else "32x48"."""
    height, width = parse_image_size(size)
    return height if height == width else f"{height}x{width}"
