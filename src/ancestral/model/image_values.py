"""Images, signals and volumes as users give them: tensors, arrays, Pillow images, files, and folders of files.

They are what samples are conditioned on, and what is edited. Values are in the units of the data of a model: integers
of 8 or 16 bits are converted to the depth of the data.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import Image, Limits
from ancestral.config.data_sources import FIELD_FILES, SUFFIXES, WAV, holds_recordings, suffix_of
from ancestral.data import arrays
from ancestral.data.convert import Conversion, ends_of
from ancestral.data.decoding import GREY_MODES, decode_image, opened_image, strict_pillow
from ancestral.data.files import Unreadable, read_file
from ancestral.data.sources.fields import read_fields
from ancestral.data.sources.file_folder import scan
from ancestral.data.sources.recordings import decode_wav, fit_signal
from ancestral.data.spec import DataSpec, bits_of

OVERSHOOT, FAR_BEYOND = 0.1, 10.0
"""How far values may lie beyond the limits, over the distance of the limits: those of images of integers by the
overshoot of an interpolation; all others far more, since their limits are the range of a part of the data."""
NOTED_BEYOND = 0.05
"""From how far beyond the limits values are said to lie beyond the data, over the distance of the limits."""
NOISE_REACH = 6.0
"""How many times its deviation noise may take values further."""
MADE_BY_MEASURING = "measured"
"""Stands for `Image.made_by` of measurements: they are not resized, and noise may take them far beyond the limits."""


@dataclass(frozen=True)
class ImageReader:
    """Reads images of one kind.

    Attributes:
        kind: The channels, the limits and the sides that they must have; sides () are any.
        dims: The number of axes of space.
        name: The name of the value, also that of its array in a .npz.
        what: How messages call it.
        option: The option by which it is given as NAME=PATH; "" if it is given by its path alone.
        rate: The samples in a second of recordings; None if they are none.
        signed: Whether floats are in [-1, 1] where the data are integers, not in the units of the data.
        gapped: Whether values may be missing, NaN.
    """

    kind: Image
    dims: int
    name: str
    what: str
    option: str = ""
    rate: int | None = None
    signed: bool = False
    gapped: bool = False

    def read(self, value: Any) -> list[tuple[Tensor, str]]:
        """Read one or several images.

        Args:
            value: A tensor, an array, a Pillow image, the path of a file or a folder, or a sequence of such.

        Returns:
            Each image as the data have it, (C, *sides), with its path or "".

        Raises:
            InputError: If the value is no such image, or does not fit the kind.
        """
        if isinstance(value, str | os.PathLike) and str(value).lower().endswith(".npz"):
            return self._of_named_array(Path(value))
        if isinstance(value, str | os.PathLike) and value != "":
            return [
                image for path in image_files(Path(value), self._cited(Path(value))) for image in self._of_file(path)
            ]
        if isinstance(value, PillowImage.Image):
            return [(self._checked(self._decoded(value, "the image"), self.what), "")]
        if isinstance(value, Tensor | np.ndarray):
            return [(image, "") for image in self._of_array(value, self.what)]
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value):
            return [image for one in value for image in self.read(one)]
        if value is None and self.option:
            raise InputError(
                f"{self.name} is None beside images: make the samples without it by themselves, and leave it out"
            )
        raise InputError(
            f"{self.name} cannot be {shown(value)}: give an image as a tensor, an array, a Pillow image or a path, a "
            "folder of files, or a sequence of such"
        )

    def _cited(self, path: Path) -> str:
        return option(self.option, f"{self.name}={path}") if self.option else one_line(path)

    def _of_file(self, path: Path) -> list[tuple[Tensor, str]]:
        suffix, origin = path.suffix.lower(), f"{self.what} in {one_line(path)}"
        if suffix == ".npy":
            return [(image, str(path)) for image in self._of_array(arrays.load(path)[0], origin)]
        try:
            raw = read_file(path)
            image = self._recording(raw, origin) if suffix == WAV else self._decoded(raw, one_line(path))
        except Unreadable as error:
            raise InputError(f"{self._cited(path)}: {error}") from None
        return [(self._checked(image, origin), str(path))]

    def _recording(self, raw: bytes, origin: str) -> Tensor:
        """The signal of a .wav file, brought to the channels and the length of the kind as the data were."""
        if self.rate is None or self.kind.masked:
            raise InputError(
                f"{origin} is a recording, which the model does not take there: give an array, or a .npy file"
            )
        header, signal = decode_wav(raw)
        if header.rate != self.rate:
            raise InputError(f"{origin} has {header.rate:,} Hz, and the model takes {self.rate:,} Hz: resample it")
        return torch.from_numpy(fit_signal(signal, self.kind.channels, self.kind.sides[0]))

    def _of_named_array(self, path: Path) -> list[tuple[Tensor, str]]:
        """The images of the array of a .npz that has the name of the value, as samples are saved with it."""
        if not path.is_file():
            raise InputError(f"{self._cited(path)}: there is no such file or folder")
        try:
            with np.load(path, allow_pickle=False) as content:
                names = (
                    [self.name]
                    if self.option
                    else [self.name, arrays.ARRAY_NAMES.get(self.dims, ""), *content.files[:1]]
                )
                name = next((name for name in names if name in content.files), None)
                array = None if name is None else content[name]
        except Exception as error:  # a damaged file may raise anything
            raise InputError(f"{self._cited(path)}: it is no whole .npz file of numbers: {one_line(error)}") from None
        if array is None:
            raise InputError(
                f"{self._cited(path)}: there is no array {self.name} in it: name the array of {self.what} so"
            )
        return [(image, path.name) for image in self._of_array(array, f"{self.what} in {one_line(path)}")]

    def _of_array(self, array: Tensor | NDArray[np.generic], origin: str) -> list[Tensor]:
        """The images of an array of several, (N, C, *sides), (N, *sides, C) or (N, *sides), or of one, without N."""
        dims = self.dims
        if array.ndim not in (dims, dims + 1, dims + 2) or not len(array):
            one = f"channels{', side' * dims}"
            raise InputError(
                f"{origin} has the shape {tuple(array.shape)}: give ({one}), or (number, {one}) of several"
            )
        if isinstance(array, np.ndarray):
            array = torch.from_numpy(np.ascontiguousarray(arrays.numbers(array, origin)))
        one_channel = self.kind.channels == 1 and array.ndim == dims + 1 and 1 not in (array.shape[0], array.shape[-1])
        rows = array if one_channel or array.ndim == dims + 2 else array[None]
        return [self._single(row, origin) for row in rows]

    def _single(self, array: Tensor, origin: str) -> Tensor:
        """The image (C, *sides), (*sides, C) or (*sides), with all channels; integers have the bits of the kind."""
        array = array[None] if array.ndim == self.dims else array
        if array.shape[0] != self.kind.channels == array.shape[-1]:
            array = array.moveaxis(-1, 0)
        bits = None if array.is_floating_point() else self._bits(self.what, "the array")
        items = arrays.to_items(array[None], origin, Conversion(channels=len(array), bits=bits), self.dims)
        return self._in_range(self._checked(items[0], origin), origin)

    def _in_range(self, image: Tensor, origin: str) -> Tensor:
        """The image in the units of the data, if its values can be; those of a mask are looked at by themselves."""
        (low, high), integers = self.kind.limits, bits_of(self.kind.limits) is not None
        signed = self.signed and integers and image.is_floating_point()
        if signed:
            image = (image + 1) * ((high - low) / 2) + low
        parts = [(image, False, "")]
        if self.kind.masked:
            parts = [(image[:-1], False, ""), (image[-1:], True, "")]
        if self.kind.ranges:
            mask = len(image) - 1 if self.kind.masked else len(image)
            parts = [(one[None], number == mask, f" in channel {number}") for number, one in enumerate(image)]
        for number, (part, is_mask, place) in enumerate(parts):
            if self.kind.ranges:
                low, high = self.kind.ranges[number]
            span = float(high - low) or max(abs(high), 1.0)  # of a constant channel
            distance = (OVERSHOOT if integers and not self.kind.made_by else FAR_BEYOND) * span
            least, most = (float(end) for end in part.double().aminmax())
            is_small = integers and not signed and (part.is_floating_point() or is_mask) and 0 < max(-least, most) <= 1
            if is_small or least < low - distance or most > high + distance:
                ends = (2 * (end - low) / (high - low) - 1 if signed else end for end in (least, most, low, high))
                first, last, low, high = ends
                raise InputError(
                    f"{origin} has {'a mask' if is_mask else 'values'}{place} from {first:.6g} to {last:.6g}, and "
                    f"the model takes {low:g} to {high:g}{' of floats' * signed}: bring the array to this range"
                )
        return image

    def _decoded(self, image: bytes | PillowImage.Image, origin: str) -> Tensor:
        """The pixels of an image of integers, in the channels and the bits of the kind.

        Images of the data were cropped and resized for training, and so is this one.
        """
        kind, bits = self.kind, self._bits(self.what, origin)
        try:
            with strict_pillow():
                size = (kind.sides[0], kind.sides[1]) if len(kind.sides) == 2 and not kind.made_by else None
                return decode_image(image, Conversion(size, kind.channels, bits=bits))
        except Unreadable as error:
            raise InputError(f"{origin} cannot be read as {self.what}: {error}") from None

    def _bits(self, what: str, origin: str) -> int:
        """The bits that integers get. Raises InputError if the kind has floats."""
        bits = bits_of(self.kind.limits)
        if bits is None:
            low, high = self.kind.limits
            raise InputError(
                f"{what} has floats from {low:g} to {high:g}, and {origin} integers: give an array of floats, or a "
                ".npy file of them"
            )
        return bits

    def _checked(self, image: Tensor, origin: str) -> Tensor:
        """The image, if it has the channels and the sides of the kind, and finite values."""
        channels, *sides = image.shape
        if channels != self.kind.channels:
            last = ", the last of which says what is known" * self.kind.masked
            raise InputError(
                f"{origin} has {plural(channels, 'channel')}, and the model takes {self.kind.channels}{last}: give as "
                "many"
            )
        if self.kind.sides and tuple(sides) != self.kind.sides:
            size, right = ("x".join(map(str, shape)) for shape in (sides, self.kind.sides))
            raise InputError(f"{origin} is {size}, and the model takes {right}: bring it to this size")
        if not bool((image.isfinite() | (image.isnan() & self.gapped)).all()):
            raise InputError(f"{origin} holds NaN or infinity: give finite values, or leave it out")
        return image


def beyond_limits(rows: Tensor, limits: Limits, name: str, slack: float = 0.0) -> list[str]:
    """Say which channel of images lies furthest beyond the data that a model was trained on, if one does.

    Args:
        rows: The images (m, C, *sides), in the units of the data.
        limits: The least and the largest value of the data, or those of each channel.
        name: What messages call the images.
        slack: How far values may lie beyond the limits besides `NOTED_BEYOND`, as a share of their distance.
    """
    values = rows.double().transpose(0, 1).flatten(1)
    low, high = (torch.as_tensor(end, dtype=torch.float64).flatten() for end in ends_of(rows, limits))
    least, most = values.aminmax(dim=1)
    beyond = torch.maximum(low - least, most - high) / (high - low)
    channel = int(beyond.argmax())
    if float(beyond[channel]) <= NOTED_BEYOND + slack:
        return []
    first, last = limits[channel] if isinstance(limits[0], tuple) else limits
    place = f" in channel {channel}" * (len(values) > 1)
    return [
        f"{name} has values{place} from {float(least[channel]):.6g} to {float(most[channel]):.6g}, and the model was "
        f"trained on {first:.6g} to {last:.6g}: it saw nothing like it"
    ]


def image_files(path: Path, cited: str) -> list[Path]:
    """List the file; of a folder the images and arrays, or the recordings, as `data.open` takes them.

    Args:
        path: The file or the folder.
        cited: How messages call it.

    Raises:
        InputError: If there is none.
    """
    if path.is_dir():
        suffixes = (WAV,) if holds_recordings(path) else (*SUFFIXES, ".npy")
        files = [path / os.fsdecode(file) for file in scan(path, suffixes, [], [])]
        if not files:
            raise InputError(f"{cited}: there are no images or recordings in this folder")
        return files
    if not path.is_file():
        raise InputError(f"{cited}: there is no such file or folder")
    return [path]


def sampling_rate(kind: Image, spec: DataSpec) -> int | None:
    """Return the samples in a second of a condition, also of one that is made of recordings; None of all others."""
    return round(spec.rate * kind.sides[0] / spec.shape[1]) if kind.made_by and spec.rate else kind.rate


def condition_reader(kind: Image, name: str, spec: DataSpec) -> ImageReader:
    """Return the reader of a condition that is an image, with values in the units of the data."""
    dims = len(spec.shape) - 1
    rate = sampling_rate(kind, spec)
    return ImageReader(kind, dims, name, f"the condition {name}", "given", rate, gapped=bool(kind.earlier))


def holds_fields(value: Any) -> bool:
    """Whether a value is a file or an object of fields."""
    file = isinstance(value, str | os.PathLike) and suffix_of(str(value)) in (*FIELD_FILES, ".zarr")
    return file or hasattr(value, "to_netcdf")


def read_images(
    spec: DataSpec,
    value: Any,
    name: str,
    keep_size: bool = False,
    shape: Sequence[int] | None = None,
    gapped: bool = False,
) -> Tensor:
    """Read images, signals or volumes that a model edits.

    Args:
        spec: The description of the data of the model.
        value: A tensor, an array, a Pillow image, the path of a file or a folder, or a sequence of such. Integers are
            in the units of the data, converted to their depth. Floats are in [-1, 1] if the data are integers, else in
            the units of the data. Pictures are cropped and resized as those of the data, and get their channels.
        name: How messages call it.
        keep_size: Whether images with two axes of space may have any size, which they keep.
        shape: The shape of a measurement, whose values may lie far beyond the limits; None is that of the items.
        gapped: Whether values may be missing, NaN.

    Returns:
        (m, C, *sides) in the units of the data; integers where integers or pictures were given.

    Raises:
        InputError: If the value is no such image, does not fit the model, or the model is one of points.
    """
    dims = len(spec.shape) - 1
    if dims < 1:
        raise InputError("this is a model of points; images, signals and volumes can be edited")
    if spec.grid is not None and holds_fields(value):
        value = read_fields(value, spec.grid)
    channels, *sides = spec.shape if shape is None else shape
    kind = Image(
        channels,
        spec.codec.limits,
        () if keep_size and dims == 2 else tuple(sides),
        made_by="" if shape is None else MADE_BY_MEASURING,
        ranges=spec.codec.ranges if channels == spec.shape[0] else (),
    )
    rate = spec.rate if tuple(sides) == spec.shape[1:] else None
    images = [image for image, _ in ImageReader(kind, dims, name, f"the {name}", "", rate, True, gapped).read(value)]
    sizes = dict.fromkeys("x".join(map(str, image.shape[1:])) for image in images)
    if len(sizes) > 1:
        raise InputError(f"the images of {name} have several sizes: {', '.join(sizes)}; give one size in a call")
    same = len({image.dtype for image in images}) == 1
    return torch.stack(images if same else [image.float() for image in images])


def reading_notes(spec: DataSpec, value: Any, keep_size: bool = False) -> list[str]:
    """Say how a picture or a recording is changed when it is read for a model.

    Args:
        spec: The description of the data of the model.
        value: What `read_images` reads; only a picture, its path and that of a recording have notes.
        keep_size: That of `read_images`.
    """
    if spec.rate is not None and isinstance(value, str | Path) and Path(value).suffix.lower() == WAV:
        with suppress(InputError, OSError):
            length = decode_wav(Path(value).read_bytes())[1].shape[-1]
            if length != spec.shape[1]:
                how = "the first were read" if length > spec.shape[1] else "silence was added"
                return [f"{one_line(value)} has {length:,} samples, and the model {spec.shape[1]:,}: {how}"]
    if len(spec.shape) != 3:
        return []
    if isinstance(value, PillowImage.Image):
        return _picture_notes(spec, value, "the image", keep_size)
    with suppress(Exception), strict_pillow(), opened_image(Path(value).read_bytes()) as image:
        return _picture_notes(spec, image, one_line(value), keep_size)
    return []  # no picture, or one that is refused when it is read


def _picture_notes(spec: DataSpec, image: PillowImage.Image, name: str, keep_size: bool) -> list[str]:
    (channels, *sides), notes = spec.shape, list[str]()
    if image.mode not in GREY_MODES and channels < 3:
        notes.append(f"{name} is in colour, and was made grey as the data of the model are")
    if image.mode in GREY_MODES and channels >= 3:
        notes.append(f"{name} is grey, and was given the channels of the data of the model")
    if image.mode.startswith("I") and spec.codec.dtype == torch.uint8:
        notes.append(f"{name} has 16 bits, and was made 8 as the data of the model are")
    if image.has_transparency_data and channels in (1, 3):
        notes.append(f"{name} is transparent, and was laid on white, since the model has no transparency")
    if not keep_size and [image.height, image.width] != sides:
        size, right = f"{image.height}x{image.width}", "x".join(map(str, sides))
        notes.append(f"{name} is {size}; its centre was brought to the {right} pixels of the model")
    return notes
