"""Values of conditions as users write them: names of classes, numbers, and images as tensors, arrays or files."""

import hashlib
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from ancestral import derived
from ancestral.arguments import SHOWN, plain, shown
from ancestral.conditions import ABSENT, LABEL, Classes, Condition, Image, Vector
from ancestral.config.folders import SUFFIXES, WAV, holds_recordings
from ancestral.data import arrays
from ancestral.data.convert import Conversion, has_alpha, to_uint8
from ancestral.data.dataset import InMemoryDataset
from ancestral.data.decoding import decode_image, from_pixels, strict_pillow
from ancestral.data.given import encoded, partner_rows
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.sources.file_folder import scan
from ancestral.data.sources.recordings import decode_wav, fit_signal
from ancestral.data.spec import DataSpec, bits_of
from ancestral.errors import InputError, one_line
from ancestral.options import option
from ancestral.quantities import plural

NO_CLASS_NAME = "no class"
"""The caption of a sample without a class."""
NONE = "none"
"""The name of an absent class."""
OVERSHOOT, FAR_BEYOND = 0.1, 10.0
"""How far values of an image may lie beyond the limits, over the distance of the limits: those of data of integers by
the overshoot of an interpolation; all others far more, since their limits are the range of a part of the data."""


@dataclass(frozen=True)
class ConditionValues:
    """The values of one condition, of which sample i of a seed has value i modulo their number.

    Attributes:
        kind: The kind of the condition.
        rows: The values in the units of the data: (m,), (m, k) or (m, C, *sides).
        names: What names each value: the class, the numbers, or the file of an image or its item; "" for an image
            without one.
        indices: The index of the sample that each value is of, if it is not i modulo their number.
    """

    kind: Condition
    rows: Tensor
    names: tuple[str, ...]
    indices: Sequence[int] | None = None

    @property
    def described(self) -> tuple[str, ...]:
        """The values as text, by which a recipe recognises them: of images also the SHA-256 of their values."""
        if not isinstance(self.kind, Image):
            return self.names
        return tuple(
            f"{Path(name).name or 'image'} sha256:{hashlib.sha256(row.contiguous().numpy().tobytes()).hexdigest()[:16]}"
            for name, row in zip(self.names, self.rows, strict=True)
        )

    def text(self, row: int) -> str:
        """The value of a row in a few characters, numbers with four digits."""
        if isinstance(self.kind, Vector) and self.names[row] != NONE:
            return ", ".join(f"{number:.4g}" for number in self.rows[row].tolist())
        return self.names[row]

    def pictures(self) -> list[PillowImage.Image]:
        """Draw the images of a condition on images, in 8 bits; what a mask hides is transparent."""
        assert isinstance(self.kind, Image)
        images = to_uint8(self.rows, self.kind.limits)
        colours = images[:, :-1] if self.kind.masked else images
        if self.kind.masked or not has_alpha(images.shape[1:], self.rows.dtype):
            colours = colours[:, : 3 if colours.shape[1] >= 3 else 1]
        if self.kind.masked:
            colours = torch.cat([colours, torch.where(images[:, -1:] > 127, 255, 0).to(torch.uint8)], dim=1)
        return [from_pixels(one) for one in colours]

    def of(self, indices: Sequence[int]) -> Tensor:
        """Return the values of some samples."""
        if self.indices is None:
            return self.rows[[index % len(self.rows) for index in indices]]
        places = {index: row for row, index in enumerate(self.indices)}
        return self.rows[[places[index] for index in indices]]


def with_label(label: Any, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the given values with the label among them. Raises InputError if it is given twice."""
    if label is None:
        return dict(given or {})
    if LABEL in (given or {}):
        raise InputError(f"the label is given twice: by {option('label')} and by {option('given')}")
    return {LABEL: label, **(given or {})}


def read_values(spec: DataSpec, given: Mapping[str, Any]) -> dict[str, ConditionValues]:
    """Read what samples are conditioned on besides the label.

    Args:
        spec: The description of the data of the model.
        given: By the name of the condition a value, or several as a sequence.

    Returns:
        The values by name; what is left out is absent, and so is an image that is None or "none".

    Raises:
        InputError: If the model has no such condition, or it cannot have this value.
    """
    values: dict[str, ConditionValues] = {}
    given = with_partners(given, [name for name, kind in spec.conditions.items() if isinstance(kind, Image)])
    for name, value in given.items():
        value = value.to_dense() if isinstance(value, Tensor) else value
        kind = spec.conditions.get(name)
        if kind is None:
            has = f"its conditions are {', '.join(spec.conditions)}" if spec.conditions else "it has none"
            raise InputError(f"the model is not conditioned on {name!r}: {has}")
        if isinstance(kind, Classes):
            numbers = [class_number(kind.names, one, name) for one in separate(value)]
            names = [NONE if number == ABSENT else kind.names[number] for number in numbers]
            rows = torch.tensor(numbers)
        elif isinstance(kind, Vector):
            rows = _vectors(kind, value, name)
            names = _vector_names(rows)
        elif _is_absent(value):
            continue
        else:
            images = _images(kind, value, name, spec)
            rows, names = torch.stack([image for image, _ in images]), [path for _, path in images]
        if not len(rows):
            raise InputError(f"the condition {name} has no value: leave it out where it is absent")
        values[name] = ConditionValues(kind, rows, tuple(names))
    _check_pairs({name: values[name].names for name in values if isinstance(given[name], _Paired)})
    return values


class _Paired(list[Path]):
    """The files of a folder in the order of those of another one."""


def _check_pairs(names: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError unless files of a name hold as many images, of which arrays have several."""
    counts = {name: [len([*rows]) for _, rows in groupby(files)] for name, files in names.items()}
    for name, each in counts.items():
        first = next(iter(counts))
        if each != counts[first]:
            raise InputError(
                f"files of {name} hold other numbers of images than those of {first}: give as many in each"
            )


def with_partners(given: Mapping[str, Any], images: Collection[str]) -> dict[str, Any]:
    """Return values with the files of several folders in place of these, paired by their names.

    Args:
        given: The values by the names of the conditions.
        images: The names of the conditions on images.

    Returns:
        The values; of each folder the files, in the order of the first one's. A single folder stays as it is.

    Raises:
        InputError: If a file of one folder has no partner in another, or several.
    """
    paths = {
        name: Path(one) for name, one in given.items() if name in images and isinstance(one, str | os.PathLike) and one
    }
    files = {name: _files(path, name) for name, path in paths.items() if path.is_dir()}
    if len(files) < 2:
        return dict(given)
    names = {name: [os.fsencode(file.relative_to(paths[name])) for file in each] for name, each in files.items()}
    first, *others = names
    pairs = {first: _Paired(files[first])}
    for other in others:
        rows = partner_rows(other, names[other], f"files of {first}", names[first])
        partner_rows(first, names[first], f"files of {other}", names[other])
        pairs[other] = _Paired(files[other][row] for row in rows)
    return {**given, **pairs}


def _is_absent(image: Any) -> bool:
    """Whether an image, or each of several, is None or "none"."""
    several = image if isinstance(image, list | tuple) else [image]
    return bool(several) and all(one is None or (isinstance(one, str) and one == NONE) for one in several)


def values_of_items(data: InMemoryDataset, spec: DataSpec, seed: int = 0) -> dict[str, ConditionValues]:
    """Return what items of a data set are conditioned on besides the label, one value for each.

    Args:
        data: The items.
        spec: The description of the data of the model.
        seed: The seed of conditions that are made of the items at random.

    Returns:
        The values by name. Images that are made of items of integers are integers, as those in files are, unless they
        lie beyond the range.
    """
    rows, values = range(len(data)), dict[str, ConditionValues]()
    stored = data.conditions_of(list(rows))
    for name, maker in derived.makers(spec.further).items():
        made = maker.make(spec.codec.encode(data.items), seed, 0, rows)
        stored[name] = _in_units(made, spec) if isinstance(spec.further[name], Image) else made.double()
    for name, kind in spec.further.items():
        if name not in stored:
            continue
        if isinstance(kind, Classes):
            names = [NONE if number == ABSENT else kind.names[number] for number in stored[name].tolist()]
        elif isinstance(kind, Vector):
            names = _vector_names(stored[name])
        else:
            names = [data.name_of(row) for row in rows]
        values[name] = ConditionValues(kind, stored[name], tuple(names))
    return values


def _in_units(made: Tensor, spec: DataSpec) -> Tensor:
    """Values in [-1, 1] in the units of the data."""
    if float(made.abs().max()) <= 1 or spec.codec.level is None:
        return spec.codec.decode(made)
    return (made + 1) * spec.codec.scale + spec.codec.limits[0]


def captions(
    values: Mapping[str, ConditionValues], indices: Sequence[int], labels: Sequence[str] | None = None
) -> list[str]:
    """Say in a text each what samples are conditioned on besides images.

    Args:
        values: The values of the conditions, by name.
        indices: The indices of the samples.
        labels: The name of the class of each sample.

    Returns:
        A text for each sample, such as "cat, angle 30"; none if there is nothing to say. Beside other conditions, the
        absence of all classes is not named.
    """
    open_class = bool(values) and labels is not None and set(labels) == {NO_CLASS_NAME}
    parts = [list(labels)] if labels and not open_class else []
    for name, value in values.items():
        if not isinstance(value.kind, Image):
            texts = [value.text(row) for row in range(len(value.rows))]
            parts.append([f"{name} {texts[index % len(texts)]}" for index in indices])
    return [", ".join(one) for one in zip(*parts, strict=True)]


def examples(spec: DataSpec) -> dict[str, Any]:
    """Return a value of each condition besides the label, for a suggested command: a mean, a class or a file."""
    shape, values = spec.shape, dict[str, Any]()
    for name, kind in spec.further.items():
        if isinstance(kind, Classes):
            values[name] = kind.names[0]
        elif isinstance(kind, Vector):
            numbers = [float(f"{mean:.3g}") for mean in kind.mean]
            values[name] = numbers if len(numbers) > 1 else numbers[0]
        else:
            smaller = bool(kind.sides) and math.prod(kind.sides) < math.prod(shape[1:])
            recordings = not kind.masked and sampling_rate(kind, spec) is not None
            suffix = WAV if recordings else ".png" if len(shape) == 3 and bits_of(kind.limits) else ".npy"
            values[name] = f"{'small' if smaller else name}{suffix}"
    return values


def as_words(given: Mapping[str, Any]) -> list[str]:
    """Return values as the command line takes them, as in angle=45."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    texts = {name: [f"{one:g}" if isinstance(one, float) else one for one in each] for name, each in lists.items()}
    return [f"{name}={','.join(each)}" for name, each in texts.items()]


def network_inputs(
    values: Mapping[str, ConditionValues], indices: Sequence[int], spec: DataSpec, device: torch.device
) -> dict[str, Tensor]:
    """Return what a network gets of the conditions of some samples besides the label; what is left out is absent."""
    return encoded(spec, {name: value.of(indices) for name, value in values.items()}, len(indices), device)


def class_number(classes: Sequence[str], label: object, name: str = LABEL) -> int:
    """Return the number of a class that is given by name or number, -1 for "none".

    Raises:
        InputError: If there is no such class.
    """
    text = NONE if label is None else label if isinstance(label, str) else shown(plain(label))
    if isinstance(label, str | bool) and text in classes:
        return classes.index(text)
    if text == NONE:
        return ABSENT
    if text.isdecimal() and len(text) <= SHOWN and int(text) < len(classes):
        return int(text)
    what = "there is no class" if name == LABEL else f"{name} has no class"
    raise InputError(
        f"{what} {shown(text)}; this model has {', '.join(classes)} (or 0 to {len(classes) - 1}, or {NONE})"
    )


def separate(value: Any) -> Sequence[Any]:
    """Return several values as a sequence, one as a sequence of itself."""
    value = plain(value)
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _vectors(kind: Vector, value: Any, name: str) -> Tensor:
    """Numbers (m, k), a row of NaN for None. As in data, NaN is absent in arrays, and none of numbers as text."""
    size = kind.size
    try:
        rows: Any = [[value]] if isinstance(plain(value), int | float) else separate(value)
        if all(isinstance(one, str) for one in rows):
            rows = [None if one == NONE else [*map(_number, one.split(","))] for one in rows]
        if rows and all(isinstance(plain(one), int | float | None) for one in rows):
            rows = [[one] for one in rows] if size == 1 or all(one is None for one in rows) else [rows]
        rows = [[np.nan] * size if row is None or list(row) == [None] else [float(one) for one in row] for row in rows]
        tensor = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1 if rows else size)
    except (TypeError, ValueError, OverflowError):
        tensor = torch.empty(0, 0)
    if tensor.shape[1:] != (size,) or bool(tensor.isinf().any()):
        numbers = "a number" if size == 1 else f"{size} numbers"
        raise InputError(
            f"{name} cannot be {shown(value)}: give {numbers}, {NONE} where it is absent, or a sequence of such for "
            "several samples"
        )
    return tensor


def _number(text: str) -> float:
    """Read a number. Raises ValueError for NaN too."""
    number = float(text)
    if math.isnan(number):
        raise ValueError(text)
    return number


def _vector_names(rows: Tensor) -> list[str]:
    """The numbers of each row as text, of which the same numbers are read, since a recipe repeats samples."""
    texts = [[repr(number).removesuffix(".0") for number in row] for row in rows.tolist()]
    return [NONE if "nan" in row else ",".join(row) for row in texts]


def _images(kind: Image, value: Any, name: str, spec: DataSpec) -> list[tuple[Tensor, str]]:
    """Each image as the data have it, (C, *sides), with its path or ""."""
    dims, origin = len(spec.shape) - 1, f"the condition {name}"
    if isinstance(value, str | os.PathLike) and str(value).lower().endswith(".npz"):
        return _images_of_arrays(kind, Path(value), name, dims)
    if isinstance(value, str | os.PathLike) and value != "":
        return [image for path in _files(Path(value), name) for image in _images_of_file(kind, path, name, spec)]
    if isinstance(value, PillowImage.Image):
        return [(_checked(kind, _decoded(kind, value, name, "the image"), origin), "")]
    if isinstance(value, Tensor | np.ndarray):
        return [(image, "") for image in _of_array(kind, value, origin, dims)]
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value):
        return [image for one in value for image in _images(kind, one, name, spec)]
    if value is None:
        raise InputError(f"{name} is None beside images: make the samples without it by themselves, and leave it out")
    raise InputError(
        f"{name} cannot be {shown(value)}: give an image as a tensor, an array, a Pillow image or a path, a folder of "
        "files, or a sequence of such"
    )


def _files(path: Path, name: str) -> list[Path]:
    """The file; of a folder the images and arrays, or the recordings, as `data.open` takes them."""
    if path.is_dir():
        suffixes = (WAV,) if holds_recordings(path) else (*SUFFIXES, ".npy")
        files = [path / os.fsdecode(file) for file in scan(path, suffixes, [], [])]
        if not files:
            raise InputError(f"{option('given', f'{name}={path}')}: there are no images or recordings in this folder")
        return files
    if not path.is_file():
        raise InputError(f"{option('given', f'{name}={path}')}: there is no such file or folder")
    return [path]


def _images_of_file(kind: Image, path: Path, name: str, spec: DataSpec) -> list[tuple[Tensor, str]]:
    """The image of a file, or those of an array."""
    suffix, origin = path.suffix.lower(), f"the condition {name} in {one_line(path)}"
    if suffix == ".npy":
        return [(image, str(path)) for image in _of_array(kind, arrays.load(path)[0], origin, len(spec.shape) - 1)]
    try:
        raw = read_file(path)
        image = _recording(kind, raw, origin, spec) if suffix == WAV else _decoded(kind, raw, name, one_line(path))
    except Unreadable as error:
        raise InputError(f"{option('given', f'{name}={path}')}: {error}") from None
    return [(_checked(kind, image, origin), str(path))]


def _recording(kind: Image, raw: bytes, origin: str, spec: DataSpec) -> Tensor:
    """The signal of a .wav file, brought to the channels and the length of the condition as the data were."""
    rate = sampling_rate(kind, spec)
    if rate is None or kind.masked:
        raise InputError(f"{origin} is a recording, which the model does not take there: give an array, or a .npy file")
    header, signal = decode_wav(raw)
    if header.rate != rate:
        raise InputError(f"{origin} has {header.rate:,} Hz, and the model takes {rate:,} Hz: bring it to this rate")
    return torch.from_numpy(fit_signal(signal, kind.channels, kind.sides[0]))


def sampling_rate(kind: Image, spec: DataSpec) -> int | None:
    """Return the samples in a second of a condition, also of one that is made of recordings; None of all others."""
    return round(spec.rate * kind.sides[0] / spec.shape[1]) if kind.made_by and spec.rate else kind.rate


def _images_of_arrays(kind: Image, path: Path, name: str, dims: int) -> list[tuple[Tensor, str]]:
    """The images of the array of a .npz that has the name of the condition, as samples are saved with it."""
    given = option("given", f"{name}={path}")
    if not path.is_file():
        raise InputError(f"{given}: there is no such file or folder")
    try:
        with np.load(path, allow_pickle=False) as content:
            array = content[name] if name in content.files else None
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{given}: it is no whole .npz file of numbers: {one_line(error)}") from None
    if array is None:
        raise InputError(f"{given}: there is no array {name} in it: name the array of the condition so")
    images = _of_array(kind, array, f"the condition {name} in {one_line(path)}", dims)
    return [(image, path.name) for image in images]


def _of_array(kind: Image, array: Tensor | NDArray[np.generic], origin: str, dims: int) -> list[Tensor]:
    """The images of an array of several, (N, C, *sides), (N, *sides, C) or (N, *sides), or of one, without N."""
    if array.ndim not in (dims, dims + 1, dims + 2) or not len(array):
        one = f"channels{', side' * dims}"
        raise InputError(f"{origin} has the shape {tuple(array.shape)}: give ({one}), or (number, {one}) of several")
    if isinstance(array, np.ndarray):
        array = torch.from_numpy(np.ascontiguousarray(arrays.numbers(array, origin)))
    one_channel = kind.channels == 1 and array.ndim == dims + 1 and 1 not in (array.shape[0], array.shape[-1])
    rows = array if one_channel or array.ndim == dims + 2 else array[None]
    return [_single(kind, row, origin, dims) for row in rows]


def _single(kind: Image, array: Tensor, origin: str, dims: int) -> Tensor:
    """The image (C, *sides), (*sides, C) or (*sides), with all channels; integers have the bits of the condition."""
    array = array[None] if array.ndim == dims else array
    if array.shape[0] != kind.channels == array.shape[-1]:
        array = array.moveaxis(-1, 0)
    bits = None if array.is_floating_point() else _bits(kind, origin, "the array")
    items = arrays.to_items(array[None], origin, Conversion(channels=len(array), bits=bits), dims)
    return _in_range(kind, _checked(kind, items[0], origin), origin)


def _in_range(kind: Image, image: Tensor, origin: str) -> Tensor:
    """The image, if its values can be in the units of the data; those of a mask are looked at by themselves."""
    (low, high), integers = kind.limits, bits_of(kind.limits) is not None
    distance = (OVERSHOOT if integers and not kind.made_by else FAR_BEYOND) * (high - low)
    for part, is_mask in ((image[:-1], False), (image[-1:], True)) if kind.masked else ((image, False),):
        least, most = (end.item() for end in part.double().aminmax())
        is_small = integers and (part.is_floating_point() or is_mask) and 0 < max(-least, most) <= 1
        if is_small or least < low - distance or most > high + distance:
            raise InputError(
                f"{origin} has {'a mask' if is_mask else 'values'} from {least:g} to {most:g}, and "
                f"the model takes {low:g} to {high:g}: bring the array to this range"
            )
    return image


def _decoded(kind: Image, image: bytes | PillowImage.Image, name: str, origin: str) -> Tensor:
    """The pixels of an image of integers, in the channels and the bits of the condition.

    Images of the data were cropped and resized for training, and so is this one.
    """
    bits = _bits(kind, f"the condition {name}", origin)
    try:
        with strict_pillow():
            size = (kind.sides[0], kind.sides[1]) if len(kind.sides) == 2 and not kind.made_by else None
            return decode_image(image, Conversion(size, kind.channels, bits=bits))
    except Unreadable as error:
        raise InputError(f"{origin} cannot be read as the condition {name}: {error}") from None


def _bits(kind: Image, condition: str, origin: str) -> int:
    """The bits that integers get. Raises InputError if the condition has floats."""
    bits = bits_of(kind.limits)
    if bits is None:
        raise InputError(
            f"{condition} has floats from {kind.limits[0]:g} to {kind.limits[1]:g}, and {origin} integers: "
            "give an array of floats, or a .npy file of them"
        )
    return bits


def _checked(kind: Image, image: Tensor, origin: str) -> Tensor:
    """The image, if it has the channels and the sides of the condition, and finite values."""
    channels, *sides = image.shape
    if channels != kind.channels:
        last = ", the last of which says what is known" * kind.masked
        raise InputError(
            f"{origin} has {plural(channels, 'channel')}, and the model takes {kind.channels}{last}: give as many"
        )
    if kind.sides and tuple(sides) != kind.sides:
        size, right = ("x".join(map(str, shape)) for shape in (sides, kind.sides))
        raise InputError(f"{origin} is {size}, and the model takes {right}: bring it to this size")
    if not bool(image.isfinite().all()):
        raise InputError(f"{origin} holds NaN or infinity: give finite values, or leave it out")
    return image
