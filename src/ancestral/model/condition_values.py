"""Values of conditions as users write them: names of classes, numbers, and images as tensors, arrays or files."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from ancestral.arguments import plain, shown
from ancestral.conditions import ABSENT, LABEL, Classes, Condition, Image, Vector, argument_name
from ancestral.config.folders import SUFFIXES
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.decoding import decode_image, strict_pillow
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.sources.file_folder import scan
from ancestral.data.spec import LARGEST, DataSpec
from ancestral.errors import InputError, one_line
from ancestral.options import option

NONE = "none"
"""The name of an absent class."""


@dataclass(frozen=True)
class ConditionValues:
    """The values of one condition, of which sample i of a seed has value i modulo their number.

    Attributes:
        kind: The kind of the condition.
        rows: The values in the units of the data: (m,), (m, k) or (m, C, *sides).
        names: What names each value: the class, the numbers, or the file of an image; "" for an image without one.
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
        The values by name; what is left out is absent.

    Raises:
        InputError: If the model has no such condition, or it cannot have this value.
    """
    values: dict[str, ConditionValues] = {}
    for name, value in given.items():
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
            names = [NONE if row.isnan().any() else ",".join(map(_exactly, row.tolist())) for row in rows]
        else:
            images = _images(kind, value, name, spec)
            rows, names = torch.stack([image for image, _ in images]), [path for _, path in images]
        if not len(rows):
            raise InputError(f"the condition {name} has no value: leave it out where it is absent")
        values[name] = ConditionValues(kind, rows, tuple(names))
    return values


def network_inputs(
    values: Mapping[str, ConditionValues], indices: Sequence[int], spec: DataSpec, device: torch.device
) -> dict[str, Tensor]:
    """Return what a network gets of the conditions of some samples besides the label; what is left out is absent."""
    sides = spec.shape[1:]
    return {
        argument_name(name): kind.encode(values[name].of(indices).to(device), sides)
        if name in values
        else kind.absent(len(indices), sides).to(device)
        for name, kind in spec.further.items()
    }


def class_number(classes: Sequence[str], label: object, name: str = LABEL) -> int:
    """Return the number of a class that is given by name or number, -1 for "none".

    Raises:
        InputError: If there is no such class.
    """
    text = NONE if label is None else str(plain(label))
    if isinstance(label, str) and text in classes:
        return classes.index(text)
    if text == NONE:
        return ABSENT
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    what = "there is no class" if name == LABEL else f"{name} has no class"
    raise InputError(f"{what} {text!r}; this model has {', '.join(classes)} (or 0 to {len(classes) - 1}, or {NONE})")


def separate(value: Any) -> Sequence[Any]:
    """Return several values as a sequence, one as a sequence of itself."""
    value = plain(value)
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _vectors(kind: Vector, value: Any, name: str) -> Tensor:
    """Numbers (m, k), a row of NaN for None."""
    size = kind.size
    try:
        rows: Any = [[value]] if isinstance(plain(value), int | float) else separate(value)
        if all(isinstance(one, str) for one in rows):
            rows = [None if one == NONE else one.split(",") for one in rows]
        if rows and all(isinstance(plain(one), int | float | None) for one in rows):
            rows = [[one] for one in rows] if size == 1 else [rows]
        rows = [[np.nan] * size if row is None or list(row) == [None] else [float(one) for one in row] for row in rows]
        tensor = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1)
    except (TypeError, ValueError):
        tensor = torch.empty(0, 0)
    if tensor.shape[1:] != (size,) or bool(tensor.isinf().any()):
        numbers = "a number" if size == 1 else f"{size} numbers"
        raise InputError(f"{name} cannot be {shown(value)}: give {numbers}, or a sequence of such for several samples")
    return tensor


def _exactly(number: float) -> str:
    """The shortest text that is read as the same number, since a recipe repeats samples."""
    return repr(number).removesuffix(".0")


def _images(kind: Image, value: Any, name: str, spec: DataSpec) -> list[tuple[Tensor, str]]:
    """Each image as the data have it, (C, *sides), with its path or ""."""
    dims = len(spec.shape) - 1
    if isinstance(value, str | os.PathLike):
        return [_image_of_file(kind, path, name, dims) for path in _files(Path(value), name)]
    if isinstance(value, PillowImage.Image):
        return [(_checked(kind, _decoded(kind, value, name, "the image"), name), "")]
    if isinstance(value, Tensor | np.ndarray) and value.ndim > dims + 1:
        return [image for one in value for image in _images(kind, one, name, spec)]
    if isinstance(value, Tensor | np.ndarray):
        item = value[None] if value.ndim == dims else value
        items = arrays.to_items(item[None], f"the condition {name}", Conversion(), dims)
        return [(_checked(kind, items[0], name), "")]
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value):
        return [image for one in value for image in _images(kind, one, name, spec)]
    raise InputError(
        f"{name} cannot be {shown(value)}: give an image as a tensor, an array, a Pillow image or a path, a folder of "
        "images, or a sequence of such"
    )


def _files(path: Path, name: str) -> list[Path]:
    """The file, or the images of a folder."""
    if path.is_dir():
        files = [path / os.fsdecode(file) for file in scan(path, (*SUFFIXES, ".npy"), [], [])]
        if not files:
            raise InputError(f"{option('given', f'{name}={path}')}: there are no images in this folder")
        return files
    if not path.is_file():
        raise InputError(f"{option('given', f'{name}={path}')}: there is no such file or folder")
    return [path]


def _image_of_file(kind: Image, path: Path, name: str, dims: int) -> tuple[Tensor, str]:
    if path.suffix.lower() == ".npy":
        items, *_ = arrays.load(path)
        items = items[None] if items.ndim == dims else items
        return _checked(kind, arrays.to_items(items[None], one_line(path), Conversion(), dims)[0], name), str(path)
    try:
        return _checked(kind, _decoded(kind, read_file(path), name, one_line(path)), name), str(path)
    except Unreadable as error:
        raise InputError(f"{option('given', f'{name}={path}')}: {error}") from None


def _decoded(kind: Image, image: bytes | PillowImage.Image, name: str, origin: str) -> Tensor:
    """The pixels of an image of integers, in the channels and the bits of the condition."""
    bits = next((8 * dtype.itemsize for dtype, largest in LARGEST.items() if kind.limits == (0.0, largest)), None)
    if bits is None:
        raise InputError(
            f"the condition {name} has floats from {kind.limits[0]:g} to {kind.limits[1]:g}, and {origin} integers: "
            "give an array, or a .npy file"
        )
    try:
        with strict_pillow():
            return decode_image(image, Conversion(channels=kind.channels, bits=bits))
    except Unreadable as error:
        raise InputError(f"{origin} cannot be read as the condition {name}: {error}") from None


def _checked(kind: Image, image: Tensor, name: str) -> Tensor:
    """The image, if it has the channels and the sides of the condition, and finite values."""
    expected = (kind.channels, *(kind.sides or image.shape[1:]))
    if tuple(image.shape) != expected:
        size, right = ("x".join(map(str, shape)) for shape in (image.shape, expected))
        raise InputError(
            f"the condition {name} is {size} (channels x sides), and the model takes {right}: bring it to this size"
        )
    if not bool(image.isfinite().all()):
        raise InputError(f"the condition {name} holds NaN or infinity: give finite values, or leave it out")
    return image
