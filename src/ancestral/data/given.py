"""Conditions of a data set: where the setting `given` finds them.

Each text of `given` is `[name=]what`, and `what` is a column of the data (`age`; several, joined by commas, are one
vector), an operator that makes the condition of the item itself (`upscale:4`), a function (`package.module:function`),
a folder with a file of the same name for each item, or a .npy or .npz with a row for each.

In Python integers are classes, since floats can be given as well. In files numbers are numbers. Text is a class, or
words: a caption, as `texts.TextColumn` decides. `words:column` and `classes:column` say it.
"""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral import derived
from ancestral.base.arguments import is_remote, plain
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.base.registries import OPERATORS
from ancestral.conditions import ABSENT, LABEL, ONE_VALUE, Classes, Condition, Image, Vector, Words, check, check_name
from ancestral.config import ConditionSource
from ancestral.config.data_sources import ARRAY_FILES
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, InMemoryDataset, Notes, Values
from ancestral.data.lazy_dataset import LazyDataset, NamedClasses, StoredItems
from ancestral.data.partners import AbsentError, partners_of
from ancestral.data.sources.fields import Earlier
from ancestral.data.sources.folder_columns import FolderColumns
from ancestral.data.sources.metadata_table import ItemsError
from ancestral.data.spec import Codec
from ancestral.data.texts import TextColumn, cut_note
from ancestral.data.windows import condition_of_windows

MOST_ADVISED = 6
"""Number of columns that the note on a table names as conditions."""


@dataclass(frozen=True)
class Search:
    """Data that get conditions, and where these are looked for.

    Attributes:
        data: The data.
        columns: What their source has for each item, as `StoredItems.columns`.
        conversion: How images are converted that lie beside the items.
        notes: Receives notes on what was found.
    """

    data: Dataset
    columns: Mapping[str, Any]
    conversion: Conversion | None = None
    notes: list[tuple[str, str]] = field(default_factory=list)


def attach(
    data: Dataset,
    given: Sequence[ConditionSource] | None,
    columns: Mapping[str, Any],
    uses_all: bool = False,
    conversion: Conversion | None = None,
    faults: list[InputError] | None = None,
) -> Dataset:
    """Return a data set with its conditions.

    Args:
        data: The data set.
        given: Where they come from; None takes all columns if `uses_all`, else none.
        columns: What the source has for each item, as `StoredItems.columns`.
        uses_all: Whether columns are conditions that are not named.
        conversion: How images are converted that lie beside the items.
        faults: Receives the errors of conditions, which are left out then; None raises the first.

    Raises:
        InputError: If there is no such column, operator, function or folder, or it does not fit the items.
    """
    unnamed = given is None and uses_all
    kinds: dict[str, Condition] = {}
    values: dict[str, Values] = {}
    search = Search(data, columns, conversion)
    for one in [ConditionSource(name, name) for name in columns] if unnamed else given or ():
        try:
            name, kind, value = _checked(one, search, kinds)
        except InputError as error:
            advice = f"; or name the conditions to use: {option('given', 'NAME')}" if unnamed else ""
            if faults is None:
                raise InputError(error.text + advice) from None
            faults.append(error)
            continue
        kinds[name] = kind
        if value is not None:
            values[name] = value
            search.notes.extend(_missing_note(name, kind, value))
            search.notes.extend(value.notes if isinstance(value, InMemoryDataset) else ())
            search.notes.extend(cut_note(name, kind) if isinstance(kind, Words) else ())
    notes = search.notes
    if given is None and isinstance(columns, FolderColumns) and columns.note is not None:
        text, names = columns.note
        ways = " or ".join(option("given", name) for name in names[:MOST_ADVISED])
        notes.append((text, f"{ways} conditions the model on it"))
    labels, classes = values.pop(LABEL, None), kinds.pop(LABEL, None)
    if isinstance(labels, Tensor) and classes is not None:
        data = data.with_labels(labels, classes.classes)
    if not kinds and not notes:
        return data
    return data.with_conditions({**data.conditions, **values}, {**data.spec.further, **kinds}, tuple(notes))


def _checked(
    one: ConditionSource, search: Search, others: Mapping[str, Condition]
) -> "tuple[str, Condition, Values | None]":
    """The name, the kind and the values of a condition beside others, which has been checked."""
    data, what = search.data, one.what
    name, kind, value = _condition(one, search)
    if (name == LABEL or one.read_as == "classes") and isinstance(value, Tensor):
        kind, value = _as_classes(kind, value)
    if name in {**others, **data.spec.conditions}:
        text = f"{data.name} has classes already" if name == LABEL else f"two conditions are called {name}"
        raise InputError(f"{text}: name this one, as in {option('given', f'other={what}')}")
    try:
        check_name(name)
    except InputError as error:
        raise InputError(f"{error.text}, as in {option('given', f'other={what}')}") from None
    check({name: kind}, len(data.shape) - 1)
    if name == LABEL and not kind.classes:
        raise InputError(
            f"{LABEL} is the name of classes, and {what} holds no texts or whole numbers: give it another name"
        )
    if one.read_as == "classes" and not kind.classes:
        raise InputError(f"{one.column} holds no texts or whole numbers: give {option('given', one.column)}")
    if name != LABEL and isinstance(value, Tensor) and value.ndim == 1 and value.min() == value.max():
        raise InputError(f"the condition {name} {ONE_VALUE}")
    return name, kind, value


def _condition(one: ConditionSource, search: Search) -> "tuple[str, Condition, Values | None]":
    """The name, the kind and the values of a condition; None of one that is made from the items."""
    name, what, data = one.name, one.what, search.data
    is_column, place = what in search.columns or bool(one.read_as), Path(what).expanduser()
    if not is_column and (degradation := derived.parse(what)) is not None:
        kind = degradation.condition(data.shape, data.codec.channel_limits, partial(_example, data))
        return name or degradation.name, kind, None
    if not is_column and (of_windows := condition_of_windows(what, data)) is not None:
        own, kind, made = of_windows
        return name or own, kind, made
    if not is_column and (is_remote(what) or os.path.isdir(place)):  # noqa: PTH112 (no error of a name that is too long)
        partners = partners_of(data, what)
        search.notes.extend(partners.notes)
        kind, images = _of_images(partners, data, search.conversion)
        return name or place.name, kind, images if data.rows is None else images.subset(data.rows)
    if not is_column and place.suffix.lower() in ARRAY_FILES and os.path.isfile(place):  # noqa: PTH113
        array, *_ = arrays.load(place, name or place.stem)
        array, title = _array(array, one_line(place)), one_line(place)
        if _is_text(array):
            return name or place.stem, *_of_text(array, title, ConditionSource(name or place.stem, ""), search)
        return name or place.stem, *_of_array(array, title, data, search.conversion)
    return _of_columns(one, search)


def _of_columns(one: ConditionSource, search: Search) -> "tuple[str, Condition, Values]":
    """The name, the kind and the values of a condition of one column, or of several that are one vector."""
    columns, data = search.columns, search.data
    what, read_as = (one.what, "") if one.what in columns else (one.column, one.read_as)
    names = [what] if what in columns else [part.strip() for part in what.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"{what!r} joins columns without a name, or one twice: name each once")
    parts = [_column(part, columns, data) for part in names]
    if not one.name and not what.isidentifier() and not isinstance(parts[0], Earlier):
        plain_name = "pose" if len(names) > 1 else re.sub(r"\W+", "_", what).strip("_") or "name"
        raise InputError(f"{what!r} needs a name as a condition: give {option('given', f'{plain_name}={one.what}')}")
    name = one.name or what.partition(":")[0]
    title = f"the condition {name}"
    if len(parts) == 1 and not isinstance(parts[0], StoredItems | NamedClasses):
        array = _array(parts[0], title)
        if _is_text(array):
            return name, *_of_text(array, title, replace(one, name=name), search)
        parts = [array]
    if read_as == "words":
        raise InputError(f"{what} holds no text, which words are: give {option('given', what)}")
    return name, *_joined(parts, names, title, data, search.conversion)


def _of_text(array: Any, title: str, one: ConditionSource, search: Search) -> "tuple[Condition, Values]":
    """The kind and the values of a condition of text: of a column, or of a file of arrays, which `title` names."""
    _check_count(array, title, search.data)
    column, read_as = (one.what, "") if one.what in search.columns else (one.column, one.read_as)
    text = TextColumn.of(array, title, (one.name, column), search.data.name_of)
    read_as = read_as or ("classes" if one.name == LABEL else "")
    written = column if column in ("", one.name) else f"{one.name}={column}"
    search.notes.extend(text.notes(f"the column {column}" if column else title, written, read_as))
    return text.condition(read_as)


def _as_classes(kind: Condition, values: Tensor) -> "tuple[Condition, Values]":
    """Classes as they are, and whole numbers of a file as the names of classes, in their order."""
    if values.ndim < 2 or values.shape[1] > 1:
        return kind, values
    numbers, there = values[:, 0], ~values[:, 0].isnan()
    distinct = numbers[there].unique()  # type: ignore[no-untyped-call]
    if bool((distinct % 1 != 0).any()) or len(distinct) > arrays.MAX_CLASSES:
        return kind, values
    names = tuple(f"{number:.0f}" for number in distinct.tolist())
    return Classes(names), torch.searchsorted(distinct, numbers.nan_to_num()).where(there, ABSENT)


LAYOUT_OF_CONDITION = "give a torch tensor (N, C, *sides), or an array whose sides are those of the items"
"""What to do if the layout of an array of conditions was read wrongly."""


def _missing_note(name: str, kind: Condition, values: Any) -> Notes:
    """The note that a condition is missing for some items."""
    rows = kind.missing(values)
    count = 0 if rows is None else int(rows.sum())
    if rows is None or not count:
        return ()
    text = f"the condition {name} is missing for {count:,} of {plural(len(rows), 'item')}"
    return ((text, "these are trained on without it"),)


def with_kinds(data: Dataset, kinds: Mapping[str, Condition], values: Mapping[str, Values]) -> Dataset:
    """Return a data set whose conditions besides the label have other kinds or values, or another order."""
    if isinstance(data, LazyDataset):
        return data.with_conditions(values, kinds)
    assert isinstance(data, InMemoryDataset)
    return replace(data, kinds=kinds, conditions=values)


def with_one_range(data: Dataset) -> Dataset:
    """Return a data set with one range for all channels of floats, of items and of images that they have."""
    kinds = {
        name: replace(kind, ranges=()) if isinstance(kind, Image) and kind.ranges else kind
        for name, kind in data.spec.further.items()
    }
    if kinds != data.spec.further:
        data = with_kinds(data, kinds, data.conditions)
    if not data.codec.ranges:
        return data
    if isinstance(data, InMemoryDataset):
        return replace(data, limits=data.codec.limits)
    part = copy.copy(data)
    part.spec = replace(data.spec, codec=Codec.of(data.codec.limits))
    return part


def _example(data: Dataset, n: int) -> Tensor:
    return data.codec.encode(data.sample(n).items)


def _column(name: str, columns: Mapping[str, Any], data: Dataset) -> Any:
    with suppress(KeyError):
        return columns[name]
    has = f"its columns are {', '.join(map(one_line, columns))}" if len(columns) else "it has no columns"
    raise AbsentError(
        f"{data.name} has no column {name!r} ({has}), and there is no folder or function of that name: give one of "
        f"these, or an operator ({', '.join(OPERATORS)})",
        {},
    )


def _joined(
    parts: Sequence[Any], names: Sequence[str], name: str, data: Dataset, conversion: Conversion | None
) -> tuple[Condition, Values]:
    """The kind and the values of one column, or of several that are one vector."""
    if len(parts) == 1 and isinstance(parts[0], StoredItems):
        return _of_images(parts[0], data, conversion)
    if len(parts) == 1 and isinstance(parts[0], NamedClasses):
        return Classes(tuple(map(one_line, parts[0].names))), parts[0].numbers
    read = [_array(part, name) for part in parts]
    if len(read) == 1:
        return _of_array(read[0], name, data, conversion)
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "fiu" and part.ndim <= 2 for part in read):
        raise InputError(f"{name} joins columns that are no numbers: only numbers form a vector")
    for part, column in zip(read, names, strict=True):
        _check_no_sequence(part, column)
    columns = [part.reshape(len(part), -1).astype(np.float64) for part in read]
    if len({len(column) for column in columns}) > 1:
        raise InputError(f"{name} joins columns of different lengths: give one row for each item")
    joined = np.concatenate(columns, 1)
    _check_count(joined, name, data)
    kind, values = _vector(joined, name, data)
    return (replace(kind, names=tuple(names)) if kind.size == len(names) else kind), values


def _array(column: Any, name: str) -> Any:
    """A column as an array of numbers, a tensor of images, or an array of objects, text or None."""
    if isinstance(column, Tensor):
        column = column.detach().to_dense().cpu()
        if column.ndim > 2:
            return column
        column = (column.double() if column.is_floating_point() else column).numpy()
    if isinstance(column, np.ma.MaskedArray) and column.ndim == 2 and np.ma.is_masked(column):
        column = np.where(np.ma.getmaskarray(column), np.nan, column.data.astype(np.float64))
    elif isinstance(column, np.ma.MaskedArray):  # with None where a number is masked
        column = arrays.unmasked(column, name) if column.ndim > 1 else column.tolist()
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "fiu":
            return column
        kinds = "bUO" if column.ndim == 1 else "U" if column.ndim == 2 else ""
        column = column.tolist() if column.dtype.kind in tuple(kinds) else column
    if not isinstance(column, list | tuple):
        what = f"{column.dtype} array" if isinstance(column, np.ndarray) else type(column).__name__
        raise InputError(f"{name} is a {what} that cannot be used: give numbers, texts or images, one for each item")
    values = [plain(one) for one in column]
    types = {type(one) for one in values} - {type(None)}
    if not types:
        raise InputError(f"{name} has no value at all: leave it out")
    if types <= {str, bool}:
        return np.fromiter((None if one is None else str(one) for one in values), object, len(values))
    parts = (part for one in values for part in one or ()) if types <= {str, list, tuple} else iter([0])
    if all(part is None or isinstance(part, str) for part in parts):
        texts = (one if one is None or isinstance(one, str) else tuple(filter(None, one)) for one in values)
        return np.fromiter(texts, object, len(values))
    try:
        if types == {int}:
            return np.array([ABSENT if one is None else one for one in values], dtype=np.int64)
        if types <= {int, float}:
            return np.array([np.nan if one is None else float(one) for one in values])
    except OverflowError:
        raise InputError(f"{name} holds numbers that are too large: scale them, or leave it out") from None
    rows, stacked = [one for one in values if one is not None], None
    with suppress(ValueError, TypeError):
        stacked = np.stack([np.asarray(one.detach().cpu() if isinstance(one, Tensor) else one) for one in rows])
    if stacked is not None and stacked.dtype.kind in "fiu" and stacked.ndim > 1:
        if len(rows) == len(values):
            return stacked
        if stacked.ndim == 2:
            _check_no_sequence(stacked, name)
            filled = np.full((len(values), stacked.shape[1]), np.nan)
            filled[[one is not None for one in values]] = stacked
            return filled
    raise InputError(
        f"{name} holds values of several kinds or lengths: give text alone, numbers alone, or as many numbers for each "
        "item"
    )


def _is_text(array: Any) -> bool:
    """Whether `_array` returned a column of text."""
    return bool(array.ndim == 1 and array.dtype == object)


def _of_array(array: Any, name: str, data: Dataset, conversion: Conversion | None) -> tuple[Condition, Values]:
    _check_count(array, name, data)
    if array.ndim == 1 and array.dtype.kind in "iu":
        if array.min() < ABSENT or array.max() >= arrays.MAX_CLASSES or array.max() < 0:
            raise InputError(
                f"{name} holds whole numbers from {array.min()} to {array.max()}, which would be classes: number them "
                "0, 1, 2, ... (-1 for none), or give floats"
            )
        return Classes(tuple(map(str, range(int(array.max()) + 1)))), torch.from_numpy(array.astype(np.int64))
    if array.ndim <= 2:
        _check_no_sequence(array, name)
        return _vector(np.asarray(array, dtype=np.float64).reshape(len(data), -1), name, data)
    items = arrays.to_items(array, name, _for_partners(conversion, data), len(data.shape) - 1)
    if items.is_floating_point() and not bool(items.isfinite().all()):
        raise InputError(f"{name} holds NaN or infinity: leave those items out, or fill the gaps")
    notes = arrays.reading_notes(array, name, len(data.shape) - 1, _for_partners(conversion, data))
    images = InMemoryDataset(items, name=name, notes=tuple((text, LAYOUT_OF_CONDITION) for text, _ in notes))
    return _image(images, data), images


def _check_count(array: Any, name: str, data: Dataset) -> None:
    """Raise InputError unless an array has a row for each item."""
    rows = 0 if array.ndim == 0 else len(array)
    if array.ndim == 0 or rows != len(data):
        raise InputError(f"{name} has {rows:,} rows, and the data have {len(data):,} items: give one for each")


def _check_no_sequence(array: Any, name: str) -> None:
    """Raise InputError for whole numbers (N, k), k > 1: they may be tokens, whose numbers have no order and no mean."""
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iu":
        raise InputError(
            f"{name} holds {array.shape[1]} whole numbers for each item, which are read neither as tokens nor as a "
            "vector: give floats for a vector (as in .astype('float64')), or one integer for each item for a class"
        )


def _vector(values: Any, name: str, data: Dataset) -> tuple[Vector, Tensor]:
    tensor = torch.from_numpy(values.copy())
    if bool(tensor.isnan().any(1).all()):
        raise InputError(f"{name} holds no row of numbers: correct the data, or leave it out")
    large = tensor.square().isinf()  # the deviation would be infinite
    if bool(large.any()):
        names = {data.name_of(row): f"{tensor[row][large[row]][0]:g}" for row in large.any(1).nonzero()[:, 0].tolist()}
        example, number = next(iter(names.items()))
        raise ItemsError(
            f"{name} holds infinity, or numbers that are too large, in {plural(len(names), 'row')} ({number} of "
            f"{example}): correct the data, or leave it out",
            names,
        )
    return Vector.of(tensor), tensor


def _for_partners(conversion: Conversion | None, data: Dataset) -> Conversion:
    """The conversion of images beside the items, which have channels and a depth of their own."""
    return replace(conversion or Conversion(), channels=None, bits=None, layout=None, gaps="", beside=data.shape[1:])


def _of_images(source: StoredItems, data: Dataset, conversion: Conversion | None) -> tuple[Condition, LazyDataset]:
    images = LazyDataset(source, _for_partners(conversion, data), len(data.shape) - 1)
    kind = _image(images, data)
    if isinstance(source, Earlier):  # they are items: in their scale
        codec, states = data.codec, source.states
        kind = replace(
            kind,
            limits=codec.limits,
            ranges=codec.ranges * states,
            earlier=states,
            hours=source.hours,
            noise=source.noise,
        )
    return kind, images


def _image(images: Dataset, data: Dataset) -> Image:
    if len(images.shape) != len(data.shape):
        raise InputError(
            f"{images.name} has items of {'x'.join(map(str, images.shape))}, and the data of "
            f"{'x'.join(map(str, data.shape))}: a condition has as many axes as the items"
        )
    codec, sides = images.codec, images.shape[1:]
    return Image(images.shape[0], codec.limits, sides=sides, rate=images.spec.rate, ranges=codec.ranges)
