"""Conditions of a data set: where the setting `given` finds them, and what a network gets of them.

Each text of `given` is `[name=]what`, and `what` is a column of the data (`age`; several, joined by commas, are one
vector), an operator that makes the condition of the item itself (`upscale:4`), a function (`package.module:function`),
or a folder with a file of the same name for each item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral import derived
from ancestral.conditions import Classes, Condition, Image, Vector, argument_name, check
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, InMemoryDataset, Values
from ancestral.data.decoding import Raw
from ancestral.data.lazy_dataset import LazyDataset, StoredItems
from ancestral.data.sources.file_folder import FileFolder
from ancestral.data.spec import DataSpec
from ancestral.errors import InputError, one_line
from ancestral.options import option
from ancestral.registries import OPERATORS

SHOWN = 3
"""Largest number of items that a message names."""


class Partners(StoredItems):
    """The files of a folder in the order of the items whose names they share, whatever the suffix."""

    def __init__(self, folder: FileFolder, items: StoredItems) -> None:
        """Find the partner of each item. Raises InputError if items have none."""
        rows = {_stem(folder.name_of(row)): row for row in range(folder.count)}
        self._folder = folder
        self._rows = [rows.get(_stem(items.name_of(row)), -1) for row in range(items.count)]
        if alone := [items.name_of(row) for row, partner in enumerate(self._rows) if partner < 0]:
            raise InputError(
                f"{folder.name} has no partner for {len(alone):,} of {items.count:,} items ({_listed(alone)}): give "
                "each a file of the same name there, or leave these items out"
            )
        super().__init__(folder.name, items.count)

    def raw(self, row: int) -> Raw:
        """Read the bytes of the partner of an item."""
        return self._folder.raw(self._rows[row])

    def head(self, row: int) -> Raw | None:
        """Read the first bytes of the partner of an item."""
        return self._folder.head(self._rows[row])

    def name_of(self, row: int) -> str:
        """The path of the partner, from the parent of its folder."""
        return f"{self.name}/{self._folder.name_of(self._rows[row])}"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def attach(
    data: Dataset,
    given: Sequence[str] | None,
    columns: Mapping[str, Any],
    uses_all: bool = False,
    conversion: Conversion | None = None,
) -> Dataset:
    """Return a data set with its conditions.

    Args:
        data: The data set.
        given: The texts of the setting; None takes all columns if `uses_all`, else none.
        columns: What the source has for each item, as `StoredItems.columns`.
        uses_all: Whether columns are conditions that are not named.
        conversion: How images are converted that lie beside the items.

    Raises:
        InputError: If there is no such column, operator, function or folder, or it does not fit the items.
    """
    texts = (list(columns) if uses_all else []) if given is None else given
    kinds: dict[str, Condition] = {}
    values: dict[str, Values] = {}
    for text in texts:
        name, equals, what = text.partition("=")
        name, what = (name.strip(), what.strip()) if equals else ("", text.strip())
        maker = None if what in columns else derived.parse(what)
        name = name or (Path(what).name if maker is None else maker.name)
        if name in kinds:
            raise InputError(f"two conditions are called {name}: name them, as in {option('given', f'other={what}')}")
        with_name = f"the condition {name}"
        if maker is not None:
            kinds[name] = maker.condition(data.shape, data.codec.limits, partial(_example, data))
        elif what not in columns and Path(what).is_dir():
            kinds[name], values[name] = _of_images(_partners(data, Path(what)), data, conversion)
        else:
            parts = [_column(part.strip(), columns, data) for part in ([what] if what in columns else what.split(","))]
            kinds[name], values[name] = _joined(parts, with_name, data, conversion)
    check(kinds, len(data.shape) - 1)
    if not kinds:
        return data
    if isinstance(data, LazyDataset):
        return data.with_conditions(values, kinds)
    assert isinstance(data, InMemoryDataset)
    return replace(data, conditions=values, kinds=kinds)


def _example(data: Dataset, n: int) -> Tensor:
    return data.codec.encode(data.sample(n).items)


def _partners(data: Dataset, folder: Path) -> Partners:
    source = data.source if isinstance(data, LazyDataset) else None
    if not isinstance(source, FileFolder):
        raise InputError(
            f"{folder} holds images for the files of a folder, and {data.name} is none: give its conditions as columns"
        )
    return Partners(FileFolder(folder), source)


def _column(name: str, columns: Mapping[str, Any], data: Dataset) -> Any:
    if name in columns:
        return columns[name]
    has = f"its columns are {', '.join(columns)}" if len(columns) else "it has no columns"
    raise InputError(
        f"{option('given', name)}: {data.name} has no column {name!r} ({has}), and there is no folder, operator "
        f"({', '.join(OPERATORS)}) or function of that name"
    )


def _joined(parts: Sequence[Any], name: str, data: Dataset, conversion: Conversion | None) -> tuple[Condition, Values]:
    """The kind and the values of one column, or of several that are one vector."""
    if len(parts) == 1 and isinstance(parts[0], StoredItems):
        return _of_images(parts[0], data, conversion)
    read = [_array(part, name) for part in parts]
    if len(read) == 1:
        return _of_array(read[0], name, data)
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "fiu" and part.ndim <= 2 for part in read):
        raise InputError(f"{name} joins columns that are no numbers: only numbers form a vector")
    return _of_array(np.concatenate([part.reshape(len(part), -1).astype(np.float64) for part in read], 1), name, data)


def _array(column: Any, name: str) -> Any:
    """A column as an array: of a list, float64 with NaN for None, or objects for text with None."""
    if isinstance(column, Tensor):
        return column.detach().cpu() if column.ndim > 2 else column.detach().cpu().numpy()
    if isinstance(column, np.ndarray) and column.dtype.kind != "U":
        return column
    texts, numbers = (sum(isinstance(one, kind) for one in column) for kind in (str | bool, int | float))
    numbers -= sum(isinstance(one, bool) for one in column)
    missing = sum(one is None for one in column)
    if missing == len(column):
        raise InputError(f"{name} has no value at all: leave it out")
    if texts + missing == len(column):
        return np.array([None if one is None else str(one) for one in column], dtype=object)
    if numbers + missing == len(column):
        array = np.array([np.nan if one is None else one for one in column], dtype=np.float64)
        if np.isfinite(array).sum() != numbers:
            row = next(row for row, one in enumerate(column) if one is not None and not np.isfinite(one))
            raise InputError(f"{name} is {column[row]} in row {row + 1}: give a number, or nothing where it is missing")
        return array
    if all(hasattr(one, "__len__") and not isinstance(one, str) for one in column):
        with_lengths = {len(one) for one in column}
        if len(with_lengths) == 1:
            return np.asarray(column, dtype=np.float64)
    raise InputError(f"{name} holds values of several kinds: give text alone, or numbers alone")


def _of_array(array: Any, name: str, data: Dataset) -> tuple[Condition, Values]:
    count = data.source.count if isinstance(data, LazyDataset) else len(data)
    if len(array) != count:
        raise InputError(f"{name} has {len(array):,} rows, and the data have {count:,} items: give one for each")
    if array.ndim == 1 and array.dtype == object:
        names = tuple(sorted({one for one in array if one is not None}))
        numbers = {None: -1} | {one: number for number, one in enumerate(names)}
        return Classes(tuple(map(one_line, names))), torch.tensor([numbers[one] for one in array])
    if array.ndim == 1 and array.dtype.kind in "iu":
        if array.min() < -1 or array.max() >= arrays.MAX_CLASSES or array.max() < 0:
            raise InputError(
                f"{name} holds whole numbers from {array.min()} to {array.max()}, which would be classes: number them "
                "0, 1, 2, ... (-1 for none), or give floats"
            )
        return Classes(tuple(map(str, range(int(array.max()) + 1)))), torch.from_numpy(array.astype(np.int64))
    if array.ndim <= 2:
        return _vector(np.asarray(array, dtype=np.float64).reshape(count, -1), name)
    items = arrays.to_items(array, name, Conversion(), len(data.shape) - 1)
    if items.is_floating_point() and not bool(items.isfinite().all()):
        raise InputError(f"{name} holds NaN or infinity: leave those items out, or fill the gaps")
    images = InMemoryDataset(items, name=name)
    return _image(images, data), images


def _vector(values: Any, name: str) -> tuple[Condition, Tensor]:
    tensor = torch.from_numpy(values.copy())
    there = ~tensor.isnan().any(1)
    if bool(tensor.isinf().any()) or not bool(there.any()):
        raise InputError(f"{name} holds infinity, or no row of numbers: correct the data, or leave it out")
    mean, std = tensor[there].mean(0), tensor[there].std(0, correction=0)
    return Vector(tuple(mean.tolist()), tuple(std.tolist())), tensor


def _of_images(source: StoredItems, data: Dataset, conversion: Conversion | None) -> tuple[Condition, Values]:
    conversion = replace(conversion or Conversion(), channels=None, bits=None)
    images = LazyDataset(source, conversion, len(data.shape) - 1)
    return _image(images, data), images


def _image(images: Dataset, data: Dataset) -> Image:
    if len(images.shape) != len(data.shape):
        raise InputError(
            f"{images.name} has items of {'x'.join(map(str, images.shape))}, and the data of "
            f"{'x'.join(map(str, data.shape))}: a condition has as many axes as the items"
        )
    return Image(images.shape[0], images.codec.limits, sides=images.shape[1:])


def inputs(
    spec: DataSpec, x0: Tensor, values: Mapping[str, Tensor], seed: int, step: int, indices: Sequence[int]
) -> dict[str, Tensor]:
    """Make what a network gets of the conditions besides the label.

    Args:
        spec: The description of the data.
        x0: Clean items (B, *) in [−1, 1], of which conditions are made.
        values: The values of the other conditions, as `Dataset.conditions_of` returns them; what is missing is absent.
        seed: Seed of random operators.
        step: The training step, of which their draws depend too.
        indices: The index of each item in the random numbers.

    Returns:
        Inputs of the network by name, on the device of x0.
    """
    sides, made = x0.shape[2:], dict[str, Tensor]()
    for name, kind in spec.further.items():
        if isinstance(kind, Vector | Image) and kind.made_by:
            maker = derived.parse(kind.made_by)
            assert maker is not None
            made[name] = kind.place(maker.make(x0, seed, step, indices), sides)
        elif name in values:
            made[name] = kind.encode(values[name].to(x0.device, non_blocking=True), sides)
        else:
            made[name] = kind.absent(len(x0), sides).to(x0.device)
    return {argument_name(name): value for name, value in made.items()}
