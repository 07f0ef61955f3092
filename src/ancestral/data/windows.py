"""Windows of larger items with what is given with them: images on the grid of the items are cut as these are, and on
request windows know their position and the whole at a lower resolution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ancestral.base.arguments import is_digits
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Image
from ancestral.data.convert import Conversion, at_random, corners, positions
from ancestral.data.dataset import Dataset, InMemoryDataset, Values
from ancestral.data.lazy_dataset import LazyDataset, StoredItems
from ancestral.data.spec import DataSpec
from ancestral.operators import Downsample

COARSE, POSITION = "coarse", "position"
"""How `given` names the whole at a lower resolution, with a factor, and the position."""


class Coarse(StoredItems):
    """The whole items that windows are cut from, at a lower resolution: means of blocks of the values that are there.

    Args:
        data: The windows.
        factor: The side of a block.

    Raises:
        InputError: If it does not divide the sides of the whole items.
    """

    gapped = True

    def __init__(self, data: Dataset, factor: int) -> None:
        super().__init__(f"the coarse items of {data.name}", len(data))
        self.data, self.factor, self.fork_safe = data, factor, data.fork_safe
        sides = data.stored_shape[1:]
        if factor < 2 or any(side % factor for side in sides):
            raise InputError(
                f"{option('given', f'{COARSE}:{factor}')}: blocks of {factor} do not fill items of "
                f"{'x'.join(map(str, sides))}: give a factor from 2 that divides each side"
            )

    @property
    def kind(self) -> Image:
        """The kind of the condition, in the scale of the items."""
        channels, *whole = self.data.stored_shape
        codec = self.data.codec
        sides = tuple(side // self.factor for side in whole)
        return Image(channels, codec.limits, sides, ranges=codec.ranges, window="coarse")

    def raw(self, row: int) -> Tensor:
        """Return the means, float32 (C, *sides), NaN where nothing is known."""
        item = self.data.read_stored(row)[None].float()
        operator, there = Downsample(self.factor), ~item.isnan()
        share = operator.apply(there.float())
        return (operator.apply(item.where(there, 0.0)) / share)[0]  # 0/0 is NaN

    def head(self, row: int) -> None:
        """Return None: there are no headers."""
        return

    def values(self) -> Dataset:
        """Return them as a data set, in memory where the items are."""
        if isinstance(self.data, InMemoryDataset):
            return InMemoryDataset(torch.stack([self.raw(row) for row in range(self.count)]), name=self.name)
        return LazyDataset(self, Conversion(beside=self.data.shape[1:]), len(self.data.shape) - 1)


def condition_of_windows(what: str, data: Dataset) -> "tuple[str, Image, Values | None] | None":
    """Return the name, the kind and the values of what `given` says of windows; None where it says nothing of them.

    Args:
        what: The source of the condition.
        data: The windows.

    Raises:
        InputError: If no windows are cut, or not so.
    """
    name, _, factor = what.partition(":")
    if what != POSITION and not (name == COARSE and is_digits(factor)):
        return None
    if data.stored_shape == data.shape:
        raise InputError(f"{option('given', what)} is that of windows: add {option('crop', '64x64')}, their sides")
    if name == COARSE:
        coarse = Coarse(data, int(factor))
        return name, coarse.kind, coarse.values()
    return name, Image(len(data.shape) - 1, (-1.0, 1.0), window="position"), None


def with_cut_conditions(data: Dataset) -> Dataset:
    """Return windows whose images on the grid of the whole items are cut with them.

    Raises:
        InputError: If an image has other sides.
    """
    if data.stored_shape == data.shape:
        return data
    kinds, values, sides = {**data.spec.further}, {**data.conditions}, data.shape[1:]
    grid = data.spec.grid
    areas = None if grid is None else replace(grid, axes=grid.whole).areas(data.spec.whole)
    notes = (
        ()
        if areas is None
        else (
            ("the cells of windows weigh alike", "their areas are those of places, which differ from window to window"),
        )
    )
    for name, value in data.conditions.items():
        kind = kinds[name]
        if not isinstance(value, Dataset) or not isinstance(kind, Image) or kind.window:
            continue
        if value.shape[1:] != data.stored_shape[1:]:
            whole = "x".join(map(str, data.stored_shape[1:]))
            raise InputError(
                f"{option('crop', 'x'.join(map(str, sides)))} cuts windows of items of {whole}, and {name} has images "
                f"of {'x'.join(map(str, value.shape[1:]))}, which are not cut with them: give it in {whole}, or leave "
                "one of the two out"
            )
        values[name], kinds[name] = value.windows(sides), replace(kind, sides=sides)
    return data.with_conditions(values, kinds, notes)


def cut_at_random(
    spec: DataSpec, values: Mapping[str, Tensor], seed: int, step: int, indices: Sequence[int]
) -> dict[str, Tensor]:
    """Return what random windows are given: the parts of images on the grid of the whole items, and positions.

    Args:
        spec: The description of the windows.
        values: The values of the conditions, whole images (B, C, *sides) among them.
        seed: The seed of the places.
        step: The training step, of which they depend too.
        indices: The index of each item in the random numbers.
    """
    cut = dict(values)
    for name, kind in spec.further.items() if spec.whole else ():
        if not isinstance(kind, Image):
            continue
        if kind.window == POSITION:
            at = corners(spec.whole, spec.shape[1:], seed, step, indices)
            cut[name] = positions(spec.whole, spec.shape[1:], at)
        elif name in cut and not kind.window and cut[name].shape[2:] == spec.whole:
            cut[name] = at_random(cut[name], spec.shape[1:], seed, step, indices)
    return cut
