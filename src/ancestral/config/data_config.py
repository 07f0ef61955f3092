"""Settings of the data that a run is trained on, and how texts name them: condition sources, shares, sizes, layouts."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from ancestral.base.arguments import MOST_CHARACTERS, checked_class, is_digits, is_remote, short_source, shown
from ancestral.base.errors import InputError
from ancestral.base.fields import argument, hidden
from ancestral.base.options import option
from ancestral.base.registries import TEXT_KINDS

CELL_WEIGHTS = ("area", "equal")
"""How cells are weighted without a file."""
AXES = ("item", "channel", "z", "y", "x")
"""The names of the axes of an array, in the order that items are brought to."""
SCALES = ("minmax", "standard", "log1p", "asinh", "quantile")
"""The names of the scales of floats."""
SCALE_FILES = (".json", ".nc", ".zarr")
"""The suffixes of files of means and deviations."""
SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+):([a-z]*)")
"""A share of the items and how it is held out."""
STRETCH = re.compile(r"([A-Za-z_]\w*):(-?\d[^:\\/]*):(-?\d[^:\\/]*)")
"""An axis of items with the first and the last place of those that are held out."""
LARGEST_FACTOR, MOST_SIDE = 4, 2**24
"""The largest number of `crop` that is a factor and no side, and the largest side of samples and windows."""
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
        axis: The axis of the items of which a stretch is held out, whatever its share; "" of a share.
        first: The first place of the stretch, a number or a date.
        last: The last place of it; of a date such as 2018 the whole year.
    """

    share: float
    by_blocks: bool = False
    axis: str = ""
    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        if self.axis:
            return f"{self.axis}:{self.first}:{self.last}"
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
    crop: float | str | tuple[int, ...] = argument(
        1.0, words=float | str, title="Random crops", metavar="FACTOR|HxW", least=1, names="words"
    )
    """Train on random windows: of these sides (64x64, of signals 256, of volumes 32x32x32), cut from items of any kind
    as they are; or, a number up to 4, of `image_size`, cut from images brought to a height and width that are this many
    times as large. Images that are given with the items are cut with them. Samples look like windows, and are compared
    with those at the centre. Default: 1, which cuts none."""
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
    variables: tuple[str, ...] | None = argument(None, title="Variables", metavar="NAME[@LEVEL]", names="words")
    """Variables of fields that are channels, or levels of them, as in t2m z@500. Default: all numbers with the axes of
    the items; each level is a channel."""
    items: str | None = argument(None, title="Axis of items", metavar="AXIS[,AXIS]", names="words")
    """Axis of fields along which the items lie, or several. Default: time and members, or the first."""
    weights: str = argument("area", title="Weights of cells", metavar="area|equal|FILE", names=CELL_WEIGHTS)
    """Weight of each cell of fields in the loss and in scores: area is the cosine of the latitude, where there are
    latitudes; equal counts all alike; a file of fields or a .npy holds them."""
    gaps: Literal["shared", "random"] | None = argument(None, title="Missing values")
    """Values that are missing, NaN: shared, all items lack the same, and samples too; random, which ones does not
    depend on the values, and complete items are learned. Default: shared where all items of fields lack the same; other
    gaps are refused."""
    periodic: str | tuple[bool, ...] | None = argument(
        None, words=str | None, title="Periodic axes", metavar="AXIS[,AXIS]", names="words"
    )
    """Axes of space that go around, as a ring of longitudes or a texture that tiles: names of axes of fields, what
    they are (longitude), or x, y and z; none for none. Default: longitudes of 360 degrees."""
    ranges: Literal["channel", "shared"] = argument("channel", title="Ranges of floats")
    """Scaling of floats with several channels to [-1, 1]: channel scales each channel from its own range; shared scales
    all from one range, for channels of one unit whose proportions matter (colours, the parts of a vector)."""
    scale: str | None = argument(None, title="Scale of floats", metavar="NAME[,CHANNEL=NAME]|FILE", names=SCALES)
    """Scale of floats: minmax maps the range of each channel to [-1, 1]; standard, log1p, asinh and quantile bring
    channels, their sizes by a logarithm, or their ranks to a standard deviation of ½, and nothing is clipped then.
    standard,tp=log1p gives a channel its own; a .json, .nc or .zarr file has means and deviations. {Statistics are
    those of the training items.} Default: minmax."""
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
        None,
        title="Validation share",
        metavar="SHARE[:blocks]|AXIS:FIRST:LAST|SOURCE",
        above=0,
        below=1,
        names="data",
    )
    """Share of the items that is held out of training: 0.1 takes single items at random, of fields along time the last
    ones; 0.1:blocks takes a few runs of consecutive items, for ordered data such as frames of a video, whose neighbours
    are alike; time:2015:2018 takes those years of fields. Or other data of the same kind. The loss of these items is
    measured at every multiple of `sample_every`. Default: none."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", plain_image_size(self.image_size))
        object.__setattr__(self, "crop", plain_crop(self.crop))
        parse_scale(self.scale)
        if self.layout is not None:
            object.__setattr__(self, "layout", ",".join(parse_layout(self.layout)))

    @property
    def bounded(self) -> bool:
        """Whether [-1, 1] holds all data, so that estimates beyond it may be clipped."""
        general, by_name, path = parse_scale(self.scale)
        return {general, *by_name.values()} == {"minmax"} and path is None

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
            *("variables", "items", "gaps", "given", "crop"),
        )
        return {name: getattr(self, name) for name in names}


def held_out_share(validation: Any) -> HeldOut | None:
    """Read the share of items that is held out, as in 0.1 or "0.1:blocks"; None of other data.

    Raises:
        InputError: If a share is not between 0 and 1, or held out in no way that there is.
    """
    if isinstance(validation, float | int):
        return HeldOut(float(validation))
    if isinstance(validation, str) and (stretch := STRETCH.fullmatch(validation)):
        return HeldOut(0.0, True, *stretch.groups())
    match = SHARE.fullmatch(validation) if isinstance(validation, str) else None
    if match is None:
        if isinstance(validation, str) and re.match(r"time:(?!//)", validation):
            raise InputError(
                f"{option('validation', validation)} names no stretch: give its axis, first and last place, as in "
                f"{option('validation', 'time:2015:2018')}"
            )
        return None
    share, way = float(match[1]), match[2]
    if way != "blocks" or not 0 < share < 1:
        raise InputError(
            f"{option('validation', validation)} holds out no item: give a share between 0 and 1, as in "
            f"{option('validation', 0.1)}, or {option('validation', '0.1:blocks')}"
        )
    return HeldOut(share, by_blocks=True)


def parse_scale(text: str | None) -> tuple[str, dict[str, str], Path | None]:
    """Read the scale of floats, as in "standard,tp=log1p", or the place of a file.

    Returns:
        The name of the scale, those of channels by name, and the file, if it is one.

    Raises:
        InputError: If there is no such scale.
    """
    if text is not None and Path(text).suffix.lower() in SCALE_FILES:
        return "standard", {}, Path(text)
    general, by_name = "minmax", dict[str, str]()
    for part in (text or "minmax").split(","):
        name, equals, scale = (one.strip() for one in part.rpartition("="))
        if scale not in SCALES:
            example = option("scale", "standard,tp=log1p")
            raise InputError(
                f"there is no scale {shown(scale)}: take {', '.join(SCALES)}, as in {example}, or a .json, .nc or "
                ".zarr file of means and deviations"
            )
        if equals:
            by_name[name] = scale
        else:
            general = scale
    return general, by_name, None


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


def plain_crop(crop: Any) -> float | str:
    """Write a crop in one way: a factor from 1 to 4, or the sides of windows, "32x48".

    Raises:
        InputError: If it is neither.
    """
    if isinstance(crop, float | int) and crop <= LARGEST_FACTOR:
        return float(crop)
    sides = int(crop) if isinstance(crop, float) and crop.is_integer() else crop
    return "x".join(map(str, parse_sides("crop", sides)))


def parse_sides(setting: str, value: Any) -> tuple[int, ...]:
    """Read the sides of items: 128, "128x320" or (128, 320); one is that of all axes.

    Args:
        setting: The option that has them.
        value: Its value.

    Raises:
        InputError: If they are none.
    """
    words = value.lower().split("x") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    texts = [str(word) for word in words]
    if not (1 <= len(texts) <= 3 and all(is_digits(text) and 1 <= int(text) <= MOST_SIDE for text in texts)):
        raise InputError(
            f"{option(setting, value)} is no size: give one side of all axes, as in 128, or each, as in 128x320"
        )
    return tuple(map(int, texts))


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
