"""Data sets: `open` reads any source; a `Dataset` gives its items by index; a codec maps them to the network's [-1, 1].

open("digits")    open("photos/", image_size="64x96")    open("samples.npz", channels=1)    open("ecg.npy", dims=1)
open("shards/", memory=4)    open("hf://datasets/user/name")    open((images, labels))    open(torch_dataset)
open(["a.png", "b.jpg"])    open([pillow_image, ...])    open("s3://bucket/photos")    open("gs://bucket/{000..099}.tar")
"""

import math
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL.Image import Image
from torch.utils import data as torch_data

from ancestral.base.arguments import converted
from ancestral.base.errors import InputError, MissingSplitError, UnsuitableError, one_line
from ancestral.base.events import Work, finish
from ancestral.base.options import option
from ancestral.conditions import LABEL
from ancestral.config import ConditionSource
from ancestral.config.data_config import parse_image_size, parse_sides, plain_crop
from ancestral.config.data_sources import BUILT_IN, DataSource
from ancestral.data import arrays
from ancestral.data.convert import Conversion, enlarged
from ancestral.data.dataset import Dataset, InMemoryDataset, hold_out
from ancestral.data.given import attach, with_one_range
from ancestral.data.lazy_dataset import LazyDataset, StoredItems
from ancestral.data.partners import shared_partners as shared_partners
from ancestral.data.place import Place, absolute, find
from ancestral.data.spec import IMAGES, POINTS, Codec, DataSpec
from ancestral.data.windows import with_cut_conditions

__all__ = [
    "BUILTINS",
    "IMAGES",
    "POINTS",
    "TESTED",
    "Codec",
    "DataSpec",
    "Dataset",
    "InMemoryDataset",
    "LazyDataset",
    "Source",
    "absolute",
    "hold_out",
    "load",
    "open",
    "opening",
]

Source = (
    str
    | Path
    | arrays.Array
    | tuple[arrays.Array, arrays.Array | Mapping[str, Any]]
    | list[str]
    | list[Path]
    | list[Image]
    | torch_data.Dataset[Any]
)
"""A name, a path or an address; items, or (items, labels) or (items, {name: condition}); a list of paths of images, or
of Pillow images; or a map-style data set of PyTorch."""

BUILTINS = BUILT_IN.load()
"""The built-in data sets: functions of the split."""
TESTED = frozenset(name for name, one in BUILT_IN.items() if one.tested)
"""Built-in data sets with a test split."""


def open(
    source: Source,
    *,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str = "crop",
    channels: int | None = None,
    background: str = "white",
    dims: int | None = None,
    layout: str | None = None,
    ranges: Literal["channel", "shared"] = "channel",
    bits: int | None = None,
    length: int | None = None,
    rate: int | None = None,
    variables: Sequence[str] | None = None,
    items: str | None = None,
    gaps: Literal["shared", "random"] | None = None,
    memory: float = 1.0,
    split: str = "train",
    given: str | ConditionSource | Sequence[str | ConditionSource] | None = None,
    crop: float | str | tuple[int, ...] = 1.0,
    faults: list[InputError] | None = None,
) -> Dataset:
    """Open a data set, in memory if its decoded items fit, else read by index.

    Args:
        source: The name of a built-in data set; a folder of images (`./digits` is a folder) or of .wav recordings; a
            .npy or .npz file; a .tar of WebDataset samples or a folder of them; a data set of the library `datasets`: a
            folder that `save_to_disk` wrote, or of .parquet or .arrow files, or hf://datasets/user/name; the
            address of images, recordings, shards or arrays in object storage, s3://bucket/folder or gs://bucket/folder,
            or of shards by their numbers, s3://bucket/{000..099}.tar; items as a tensor or array (N, C, *space) or
            points (N, 2), alone, as (items, labels) or as (items, {name: condition}), where a condition is (N,)
            integers, (N,) or (N, k) floats, or (N, C, *space) images; a list of paths of images, or of Pillow images;
            or a map-style data set of PyTorch, whose items are tensors, arrays or Pillow images, alone, as (item,
            label), as (item, {name: condition}), or as a dict in which `image`, `images`, `x`, `item`, `signal` or
            `volume` is the item, `label` its label, and all else a condition: integers are classes, text is classes or
            words, floats and (k,) floats are vectors, and arrays of more axes and Pillow images are images.
        image_size: The size that images are brought to, never stretched: the side of a square, "HEIGHTxWIDTH" or
            (height, width); None keeps their size.
        fit: "crop" cuts images to the shape of `image_size` around their centre; "pad" keeps all of each image, and
            adds edges in the colour of the background.
        channels: 1 or 3 converts to grey or RGB, and the images' own number keeps all channels as they are; None gives
            grey if all images are grey, else RGB, and keeps what is no colour.
        background: Colour behind transparent pixels.
        dims: Number of axes besides channels: 1 for signals, 2 for images, 3 for volumes; None reads it off the shape
            of an array.
        layout: What each axis of an array is, as in "item,channel,y,x"; None reads it off the shape, and refuses one
            that could mean several things.
        ranges: "channel" scales each channel of floats from its own range to [-1, 1], "shared" all from one.
        bits: 8 or 16 makes integers so deep; None keeps 16 if all files are so deep.
        length: The number of samples of recordings: longer ones are cut at their end, shorter ones filled with silence;
            None needs all to be of one length.
        rate: The sampling rate in Hz that recordings are brought to; None needs all to be of one rate.
        variables: The variables of fields that are channels, or levels of them as in "z@500"; None takes all that fit.
        items: The axis of the items of fields, or several joined by commas; None takes time, or the first.
        gaps: What is known of values that are missing, NaN: "shared", all items lack the same; "random", which are
            missing does not depend on them, and complete items are learned. None takes shared gaps of fields for that,
            and refuses all others.
        memory: GiB of decoded items that are held in memory. It changes neither shape, codec nor classes. Arrays and
            built-in data sets are always in memory.
        split: "train" or "test", of built-in data sets and those of `datasets`.
        given: What each item is conditioned on besides its label, `[name=]what` for each condition, where `what` is a
            column of the data (several, joined by commas, are one vector), an operator that makes the condition of the
            item ("upscale:4"), a function ("package.module:function"), a folder with a file of the same name for
            each, or a .npy or .npz file with a row for each. Columns are those of metadata.csv or metadata.jsonl in a
            folder, and `caption` of .txt files beside its files, the other arrays of a .npz, the other members of
            WebDataset samples and fields of their json, and the other columns of a data set of `datasets`. Numbers in
            them are a vector, and text is classes, or words where it is called caption, text or prompt or has several
            words (a note says it); words:COLUMN and classes:COLUMN decide it, and lists of text are several captions of
            an item. None takes the conditions that come from Python with the items, and none of files.
        crop: The sides of windows, as in "64x64", that are cut from items as they are; or above 1, images are brought
            to this multiple of `image_size`, and windows of `image_size` are cut. Items are those at the centre, and
            training cuts others at random. Images on the grid of the items that are given with them are cut as well,
            and the conditions "position" and "coarse:8" are those of windows.
        faults: Receives the errors of conditions that do not fit, which are left out then; None raises the first.

    Returns:
        The data set. For `channels` and `bits` None, headers were read until the answer was certain: a few of RGB
        files, all of grey ones.

    Raises:
        InputError: If the source cannot be read, or an option does not apply to it.
    """
    conditions = converted("given", given, tuple[ConditionSource, ...] | None)
    if isinstance(source, Dataset):
        return source if conditions is None else attach(source, conditions, {}, faults=faults)
    kind, at = find(source)
    crop = plain_crop(crop)
    whole = image_size if crop == 1 or isinstance(crop, str) else enlarged(image_size, crop)
    conversion = Conversion(whole, channels, background, bits, fit, gaps=gaps or "", layout=layout)
    named = None if variables is None else tuple(variables)
    place = Place(source, at, conversion, dims, split, length, rate, named, items)
    _check(kind, place)
    stored: StoredItems = kind.load()(place)
    data, columns = stored.dataset(place.conversion, dims), stored.columns
    data = with_one_range(data) if ranges == "shared" else data
    if stored.uses_all and LABEL in columns:
        data = attach(data, [ConditionSource("", LABEL)], {LABEL: columns[LABEL]})
        columns = {name: column for name, column in columns.items() if name != LABEL}
    if isinstance(crop, str):
        sides = parse_sides("crop", crop)
        data = data.windows(sides * max(1, len(data.shape) - 1) if len(sides) == 1 else sides)
    elif crop != 1 and image_size is not None:
        data = data.windows(parse_image_size(image_size))
    if conditions or columns:
        data = attach(data, conditions, columns, stored.uses_all, place.conversion, faults)
    data = with_one_range(data) if ranges == "shared" else data
    data = with_cut_conditions(data)
    return finish(data.loading()) if isinstance(data, LazyDataset) and data.nbytes <= memory * 2**30 else data


def opening(source: Source, *, memory: float = 1.0, **options: Any) -> Generator[Work, None, Dataset]:
    """Open a data set as `open` does, and report the progress. The options are those of `open`."""
    yield Work("looking at the data", 0, 0)
    data = open(source, memory=0, **options)
    if isinstance(data, LazyDataset) and data is not source and data.nbytes <= memory * 2**30:
        data = yield from data.loading()
    return data


def load(source: Source, **options: Any) -> InMemoryDataset:
    """Open a data set with all items in memory. The options are those of `open` except `memory`."""
    data = open(source, memory=math.inf, **options)
    assert isinstance(data, InMemoryDataset)
    return data


def _check(kind: DataSource, place: Place) -> None:
    """Raise InputError for an option that data of a source do not have, or a value that it cannot have."""
    name = one_line(place.source) if isinstance(place.source, str | Path) else f"the {kind.name}"
    if place.split not in ("train", "test"):
        raise InputError(f"unknown split {place.split!r}: use train or test")
    if place.split != "train" and not kind.splits:
        raise MissingSplitError(f"{name} has no {place.split} split: give the path of the {place.split} data itself")
    for setting, value, unit in (("length", place.length, "samples"), ("rate", place.rate, "Hz")):
        if value is not None and setting not in kind.options:
            text = f"{name} holds no .wav files, which alone have a {setting}"
            raise UnsuitableError(f"{text}: leave {option(setting)} out")
        if value is not None and value < 1:
            raise InputError(f"recordings of {value} {unit} are impossible: give {option(setting, 1)} or more")
    if place.conversion.layout is not None and "layout" not in kind.options:
        text = f"{name} holds no arrays, whose axes {option('layout')} names"
        raise UnsuitableError(f"{text}: leave {option('layout')} out")
    for setting, given in (("variables", place.variables), ("items", place.items)):
        if given is not None and setting not in kind.options:
            raise UnsuitableError(f"{name} holds no fields, which alone have {setting}: leave {option(setting)} out")
    if place.dims in arrays.ARRAY_NAMES and kind.dims not in (0, place.dims):
        items = arrays.ARRAY_NAMES[place.dims]
        raise InputError(f"{name} holds no {items}: leave {option('dims')} out, or give a .npy or .npz file of them")
