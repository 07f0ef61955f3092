"""Values of conditions as users write them: names of classes, numbers, and images as tensors, arrays or files."""

import hashlib
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from ancestral import derived
from ancestral.base.arguments import MOST_CHARACTERS, is_digits, plain, shown
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import ABSENT, LABEL, MOST_NAMED, ByKind, Classes, Condition, Image, Noise, Vector, Words
from ancestral.config.data_sources import WAV
from ancestral.config.request import ImageRef
from ancestral.config.sweep_values import SweptValue, read_numbers, spread
from ancestral.data.convert import has_alpha, middle_of, positions, to_uint8
from ancestral.data.dataset import InMemoryDataset
from ancestral.data.decoding import from_pixels
from ancestral.data.grid import Channel
from ancestral.data.partners import partner_rows
from ancestral.data.sources.fields import last_time, read_fields
from ancestral.data.spec import Codec, DataSpec, bits_of
from ancestral.model.image_values import (
    FAR_BEYOND,
    NOISE_REACH,
    NOTED_BEYOND,
    beyond_limits,
    condition_reader,
    holds_fields,
    image_files,
    sampling_rate,
)
from ancestral.vocabulary import is_text

NO_CLASS_NAME = "no class"
"""The caption of a sample without a class."""
NONE = "none"
"""The name of an absent class."""


@dataclass(frozen=True)
class ConditionValues:
    """The values of one condition, of which sample i of a seed has value i modulo their number.

    Attributes:
        kind: The kind of the condition.
        rows: The values in the units of the data: (m,), (m, k) or (m, C, *sides).
        names: What names each value: the class, the numbers, or the file of an image or its item; "" for an image
            without one.
        indices: The index of the sample that each value is of, if it is not i modulo their number.
        time: The time of the newest of states, with its units and calendar, where their file has it.
    """

    kind: Condition
    rows: Tensor
    names: tuple[str, ...]
    indices: Sequence[int] | None = None
    time: tuple[float, dict[str, str]] | None = None

    @property
    def refs(self) -> tuple[ImageRef | str, ...]:
        """What a request names the values by: text, or a reference to an image.

        Of masked images it is that of what is known.
        """
        if not isinstance(self.kind, Image) or self.kind.window == "position":
            return self.names
        rows = _known(self.kind, self.rows.numpy())
        digests = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()[:16] for row in rows]
        return tuple(map(ImageRef, [Path(name).name or "image" for name in self.names], digests))

    def text(self, row: int) -> str:
        """The value of a row in a few characters, numbers with four digits."""
        name = self.names[row]
        return name if name == NONE else VALUE_FORMATS[self.kind].text(self.rows[row], name)

    def beyond(self, name: str, field: str = "given") -> list[str]:
        """Say which of the values, which an option has, lie beyond the data that the model was trained on."""
        return VALUE_FORMATS[self.kind].beyond(self, name, field)

    def pictures(self) -> list[PillowImage.Image]:
        """Draw the images in 8 bits; what a mask hides is transparent. [] of conditions that are no images."""
        if not isinstance(self.kind, Image) or self.kind.window == "position":
            return []
        images = to_uint8(self.rows, self.kind.channel_limits)
        colours = images[:, :-1] if self.kind.masked else images
        if self.kind.masked or not has_alpha(images.shape[1:], self.rows.dtype):
            colours = colours[:, : 3 if colours.shape[1] >= 3 else 1]
        if self.kind.masked:
            colours = torch.cat([colours, torch.where(images[:, -1:] > 127, 255, 0).to(torch.uint8)], dim=1)
        return [from_pixels(one) for one in colours]

    def array(self, indices: Sequence[int]) -> NDArray[Any]:
        """Return the values of some samples as a file of arrays holds them: words as text."""
        if self.kind.in_sequence:
            return np.array([self.names[index % len(self.names)] for index in indices])
        return self.of(indices).numpy()

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


def _known(kind: Image, rows: np.ndarray) -> np.ndarray:
    """Masked images with 0 where nothing is known: a browser does not keep the colours of transparent pixels."""
    return np.where(rows[:, -1:] > middle_of(kind.channel_limits), rows, np.zeros_like(rows)) if kind.masked else rows


def _read_classes(kind: Classes, value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
    return torch.tensor([class_number(kind.names, one, name) for one in separate(value)]), ()


def _class_names(kind: Classes, rows: Tensor, items: Sequence[str]) -> Sequence[str]:
    return [NONE if number == ABSENT else kind.names[number] for number in rows.tolist()]


def _read_vectors(kind: Vector, value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
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
    distance = _distance_beyond(kind, tensor)
    if bool((distance > FAR_BEYOND).any()):
        row, place = (distance > FAR_BEYOND).nonzero()[0].tolist()
        numbers = ",".join(f"{number:.6g}" for number in tensor[row].tolist())
        raise InputError(
            f"{name} cannot be {numbers}: the model was trained on {_range_text(kind, place)}; give numbers in the "
            "units of its data"
        )
    return tensor, ()


def _distance_beyond(kind: Vector, rows: Tensor) -> Tensor:
    """Return how far numbers (m, k) lie beyond those of the training data, over their range; not above 0 within it."""
    if not kind.ranges():
        return torch.zeros_like(rows)
    low, high = (torch.tensor(end, dtype=rows.dtype) for end in (kind.low, kind.high))
    return torch.maximum(low - rows, rows - high) / (high - low)


def _range_text(kind: Vector, place: int) -> str:
    number = "" if kind.size == 1 else f"{kind.names[place] if kind.names else f'number {place + 1}'} is "
    return f"{number}{kind.ranges()[place]}"


def _number(text: str) -> float:
    """Read a number. Raises ValueError for NaN too."""
    number = float(text)
    if math.isnan(number):
        raise ValueError(text)
    return number


def _vector_names(kind: Vector, rows: Tensor, items: Sequence[str]) -> Sequence[str]:
    """The numbers of each row as text, of which the same numbers are read, since a recipe repeats samples."""
    texts = [[repr(number).removesuffix(".0") for number in row] for row in rows.tolist()]
    return [NONE if "nan" in row else ",".join(row) for row in texts]


def _vector_text(row: Tensor, name: str) -> str:
    return ", ".join(f"{number:.4g}" for number in row.tolist())


def _numbers_beyond(values: Any, name: str, field: str) -> list[str]:
    rows, places = (_distance_beyond(values.kind, values.rows) > NOTED_BEYOND).nonzero(as_tuple=True)
    if not len(rows):
        return []
    value, range_ = option(field, f"{name}={values.names[int(rows[0])]}"), _range_text(values.kind, int(places[0]))
    return [f"{value} lies beyond the data of the model ({range_}): it saw nothing like it"]


def _vector_example(kind: Vector, name: str, spec: DataSpec) -> Any:
    numbers = [float(f"{mean:.3g}") for mean in kind.mean]
    return numbers if len(numbers) > 1 else numbers[0]


def _read_images(kind: Image, value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
    if kind.window == "position":
        return _read_positions(value, name, spec)
    if spec.grid is not None and (kind.earlier or kind.window or kind.channels == 1) and holds_fields(value):
        grid = spec.grid if kind.earlier else replace(spec.grid, channels=(Channel(name),), levels=None)
        if kind.window:  # of all channels, on a grid of its own
            axes = tuple(replace(axis, values=()) for axis in spec.grid.axes)
            grid = replace(spec.grid, axes=axes)
        fields = read_fields(value, grid, kind.earlier, kind.hours)
        rows = fields.flatten(0, 1)[None] if kind.earlier else fields
        return rows, [str(value) if isinstance(value, str | Path) else ""] * len(rows)
    images = condition_reader(kind, name, spec).read(value)
    return torch.stack([image for image, _ in images]), [path for _, path in images]


def _read_positions(value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
    """Positions of windows by the first cell along each axis, as in "16,40", or as coordinates of their cells."""
    whole, sides = spec.whole, spec.shape[1:]
    if isinstance(value, Tensor) and value.shape[1:] == (len(sides), *sides):
        return value.float(), [""] * len(value)
    several = separate(value)
    texts = [str(value)] if isinstance(value, str) else []
    if not texts:
        rows = several if all(isinstance(one, str | Sequence) for one in several) else [several]
        texts = [one if isinstance(one, str) else ",".join(map(str, one)) for one in rows]
    last = [length - side for length, side in zip(whole, sides, strict=True)]
    cells = [[int(part) if is_digits(part) else -1 for part in text.split(",")] for text in texts]
    for text, row in zip(texts, cells, strict=True):
        if len(row) != len(last) or not all(0 <= one <= most for one, most in zip(row, last, strict=True)):
            numbers = ", ".join(f"0 to {most}" for most in last)
            raise InputError(
                f"{name} cannot be {shown(text)}: give the first cell of the window along "
                f"{', '.join(spec.axis_names)} ({numbers}), as in {','.join(['0'] * len(last))}"
            )
    return positions(whole, sides, torch.tensor(cells)), texts


def _images_beyond(values: Any, name: str, field: str) -> list[str]:
    kind = values.kind
    degradation = derived.parse(kind.made_by)
    rows = values.rows[:, :-1] if kind.masked else values.rows
    noise = 0.0 if degradation is None else NOISE_REACH * degradation.noise / 2  # in [-1, 1]
    return beyond_limits(rows, kind.channel_limits, option(field, name), noise)


def _image_example(kind: Image, name: str, spec: DataSpec) -> Any:
    if kind.window == "position":
        return ",".join("0" for _ in spec.shape[1:])
    smaller = bool(kind.sides) and math.prod(kind.sides) < math.prod(spec.shape[1:])
    recordings = not kind.masked and sampling_rate(kind, spec) is not None
    if spec.grid is not None and (kind.earlier or kind.channels == 1):
        return f"{name}.nc"
    suffix = WAV if recordings else ".png" if len(spec.shape) == 3 and bits_of(kind.limits) else ".npy"
    return f"{'small' if smaller else name}{suffix}"


def _read_words(kind: Words, value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
    texts = ["" if one is None or one == NONE else one for one in separate(value)]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{name} cannot be {shown(value)}: give a text, or a sequence of texts for several samples")
    if any("\0" in text for text in texts):
        raise InputError(f"{name} cannot be {shown(value)}, which contains the character NUL: remove it")
    if not all(map(is_text, texts)):
        raise InputError(f"{name} cannot be {shown(value)}, which is not UTF-8: save it as UTF-8")
    tokens = kind.read(texts)
    for text, row in zip(texts, tokens.tolist(), strict=True):
        if text.strip() and row[0] == ABSENT:
            example = f", as in {shown(kind.example)}" * bool(kind.example)
            raise InputError(
                f"{name} cannot be {shown(text)}, of which the model reads nothing: write it with the characters that "
                f"it knows, {kind.pieces.characters()}{example}"
            )
    return tokens, texts


def _words_names(kind: Words, rows: Tensor, texts: Sequence[str]) -> Sequence[str]:
    """Texts as they were given; of items their own."""
    return [text if text.strip() else NONE for text in (texts if rows.ndim == 2 else kind.texts(rows))]


def _words_beyond(values: Any, name: str, field: str) -> list[str]:
    kind, notes, texts = values.kind, list[str](), [text for text in values.names if text != NONE]
    if spelled := [*dict.fromkeys(word for text in texts for word in kind.pieces.in_pieces(text))]:
        words = f"{', '.join(spelled[:MOST_NAMED])}{', ...' * (len(spelled) > MOST_NAMED)}"
        notes.append(f"no {name} that the model learned has {words}, or hardly one: such words are spelled from pieces")
    skipping = [*filter(kind.pieces.skips, dict.fromkeys(texts))]
    for text in skipping[:MOST_NAMED]:
        (read,) = kind.texts(kind.read([text]))
        notes.append(f"of the {name} {shown(text)} the model read only: {read}")
    if (more := len(skipping) - MOST_NAMED) > 0:
        notes.append(f"of {plural(more, 'further text')} of {name} the model read a part alone")
    if rest := next((rest for text in texts if (rest := kind.pieces.rest(text, kind.length))), ""):
        notes.append(f"{name} is read up to {plural(kind.length, 'token')}: {shown(rest)} is left out")
    return notes


class SweptName(NamedTuple):
    """The name of an axis of a sweep: that of a condition, or of one number of it.

    Attributes:
        text: The name as the user wrote it.
        condition: The name of the condition.
        part: The name of the number; "" of a whole condition.
    """

    text: str
    condition: str
    part: str


class SweptCondition(NamedTuple):
    """The values that a sweep has of a condition, or of one number of it.

    Attributes:
        values: The values.
        place: The place of the number among those of the condition; None of a whole condition.
        usual: The numbers of the condition, of which the others stay where a request gives none.
    """

    values: Sequence[SweptValue]
    place: int | None = None
    usual: Sequence[float] = ()


def _sweep_classes(kind: Classes, named: SweptName, values: Sequence[SweptValue]) -> SweptCondition | None:
    if named.part:
        return None
    return SweptCondition([one for value in values for one in _classes(kind, named.condition, value)])


def _classes(kind: Classes, condition: str, value: SweptValue) -> list[str]:
    """The names of the classes that a value is, of which evenly spaced numbers are several."""
    evenly = None if value in kind.names else spread(value)
    numbers = [class_number(kind.names, one, condition) for one in ([value] if evenly is None else map(round, evenly))]
    return [NONE if number == ABSENT else kind.names[number] for number in numbers]


def _sweep_numbers(kind: Vector, named: SweptName, values: Sequence[SweptValue]) -> SweptCondition | None:
    name, condition, part = named
    if (part and part not in kind.parts) or (not part and kind.size > 1):
        parts = " or ".join(f"{condition}.{each}" for each in kind.parts)
        raise InputError(f"{name} of a sweep is no number: give {parts if kind.size > 1 else condition}")
    numbers = list[SweptValue]()
    for value in values:
        numbers += [NONE] if value == NONE and not part else read_numbers(name, [value], float)
    return SweptCondition(numbers, kind.parts.index(part), kind.mean) if part else SweptCondition(numbers)


def _sweep_images(kind: Image, named: SweptName, values: Sequence[SweptValue]) -> SweptCondition | None:
    raise InputError(
        f"{named.text} of a sweep is an image, which has no list of values: "
        f"{option('given', f'{named.condition}=FOLDER')} gives each cell a sample for each of its files"
    )


def _sweep_words(kind: Words, named: SweptName, values: Sequence[SweptValue]) -> SweptCondition | None:
    return None if named.part else SweptCondition([*map(str, values)])


def _sweep_none(kind: Condition, named: SweptName, values: Sequence[SweptValue]) -> SweptCondition | None:
    raise InputError(
        f"a sweep has no values of {named.condition}: give one for all cells, "
        f"{option('given', f'{named.condition}=VALUE')}"
    )


class ValueFormat(NamedTuple):
    """Text format of the values of a kind of condition.

    Attributes:
        read: Reads what a user writes, by kind, value, name of the condition and description of the data: the rows in
            the units of the data, and the files of images.
        names: Names each row, by kind, rows, and the files of images or the names of their items.
        example: Makes a value for a suggested command, by kind, name of the condition and description of the data.
        text: Says a row that is not absent in a few characters, by the row and its name.
        beyond: Says which values lie beyond the data of the model, by the values, the name of the condition and the
            option that has them.
        swept: Returns the values of a sweep, by the kind, the name of the axis and what the user gave; None where there
            is nothing of that name. It refuses a kind that has no such values.
    """

    read: Callable[[Any, Any, str, DataSpec], tuple[Tensor, Sequence[str]]]
    names: Callable[[Any, Tensor, Sequence[str]], Sequence[str]]
    example: Callable[[Any, str, DataSpec], Any]
    text: Callable[[Tensor, str], str] = lambda row, name: name
    beyond: Callable[[Any, str, str], list[str]] = lambda values, name, field: []
    swept: Callable[[Any, SweptName, Sequence[SweptValue]], SweptCondition | None] = _sweep_none


def _read_noise(kind: Noise, value: Any, name: str, spec: DataSpec) -> tuple[Tensor, Sequence[str]]:
    raise InputError("the noise of a network is drawn, by the seed and the index of a sample: leave it out")


VALUE_FORMATS = ByKind(
    classes=ValueFormat(_read_classes, _class_names, lambda kind, name, spec: kind.names[0], swept=_sweep_classes),
    vector=ValueFormat(_read_vectors, _vector_names, _vector_example, _vector_text, _numbers_beyond, _sweep_numbers),
    image=ValueFormat(
        _read_images, lambda kind, rows, files: files, _image_example, beyond=_images_beyond, swept=_sweep_images
    ),
    words=ValueFormat(
        _read_words, _words_names, lambda kind, name, spec: kind.example, beyond=_words_beyond, swept=_sweep_words
    ),
    noise=ValueFormat(_read_noise, lambda kind, rows, names: names, lambda kind, name, spec: None),
)
"""The value format of each kind of condition."""


def read_values(spec: DataSpec, given: Mapping[str, Any]) -> dict[str, ConditionValues]:
    """Read what samples are conditioned on besides the label.

    Args:
        spec: The description of the data of the model.
        given: By the name of the condition a value, or several as a sequence, or values that were read.

    Returns:
        The values by name; what is left out is absent, and so is an image that is None or "none".

    Raises:
        InputError: If the model has no such condition, or it cannot have this value.
    """
    values: dict[str, ConditionValues] = {}
    given = with_partners(given, [name for name, kind in spec.conditions.items() if kind.on_grid])
    for name, value in given.items():
        value = value.to_dense() if isinstance(value, Tensor) else value
        kind = spec.conditions.get(name)
        if kind is None:
            has = f"its conditions are {', '.join(spec.conditions)}" if spec.conditions else "it has none"
            raise InputError(f"the model is not conditioned on {name!r}: {has}")
        if isinstance(value, ConditionValues):
            values[name] = value
        if isinstance(value, ConditionValues) or (kind.on_grid and _is_absent(value)):
            continue
        value_format = VALUE_FORMATS[kind]
        rows, files = value_format.read(kind, value, name, spec)
        if not len(rows):
            raise InputError(f"the condition {name} has no value: leave it out where it is absent")
        stated = spec.grid is not None and isinstance(kind, Image) and kind.earlier and holds_fields(value)
        time = last_time(value, spec.grid) if stated and spec.grid is not None else None
        values[name] = ConditionValues(kind, rows, tuple(value_format.names(kind, rows, files)), time=time)
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
    files = {
        name: image_files(path, option("given", f"{name}={path}")) for name, path in paths.items() if path.is_dir()
    }
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
    for name, degradation in derived.degradations(spec.further, spec.periodic).items():
        made = degradation.make(spec.codec.encode(data.items), seed, 0, rows)
        kind = spec.further[name]
        stored[name] = _in_units(made, kind, spec) if isinstance(kind, Image) else made.double()
    items = [data.name_of(row) for row in rows]
    for name, kind in spec.further.items():
        if name in stored:
            names = VALUE_FORMATS[kind].names(kind, stored[name], items)
            values[name] = ConditionValues(kind, stored[name], tuple(names))
    return values


def _in_units(made: Tensor, kind: Image, spec: DataSpec) -> Tensor:
    """Values in [-1, 1] in the units of the data."""
    if spec.codec.level is None:
        return Codec.of(kind.channel_limits).decode(made)
    if float(made.abs().max()) <= 1:
        return spec.codec.decode(made)
    return (made + 1) * spec.codec.scale + spec.codec.limits[0]


def captions(
    values: Mapping[str, ConditionValues], indices: Sequence[int], labels: Sequence[str] | None = None
) -> list[str]:
    """Say in a text each what samples are conditioned on besides images.

    Returns:
        A text for each sample, such as "cat, angle 30"; none if there is nothing to say. Beside other conditions, the
        absence of all classes is not named. Words stand without the name of their condition.
    """
    open_class = bool(values) and labels is not None and set(labels) == {NO_CLASS_NAME}
    parts = [list(labels)] if labels and not open_class else []
    for name, value in values.items():
        if not value.kind.on_grid:
            texts = [f"{name} {value.text(row)}" for row in range(len(value.rows))]
            if value.kind.in_sequence:
                texts = [text if row == NONE else row for text, row in zip(texts, value.names, strict=True)]
            parts.append([texts[index % len(texts)] for index in indices])
    return [", ".join(one) for one in zip(*parts, strict=True)]


def examples(spec: DataSpec) -> dict[str, Any]:
    """Return a value of each condition besides the label, for a suggested command: a mean, a class or a file."""
    return {name: VALUE_FORMATS[kind].example(kind, name, spec) for name, kind in spec.further.items()}


def as_words(given: Mapping[str, Any]) -> list[str]:
    """Return values as the command line takes them, as in angle=45."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    texts = {name: [f"{one:g}" if isinstance(one, float) else one for one in each] for name, each in lists.items()}
    return [f"{name}={','.join(each)}" for name, each in texts.items()]


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
    if text.isdecimal() and len(text) <= MOST_CHARACTERS and int(text) < len(classes):
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
