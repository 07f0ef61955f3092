"""The real items that samples are held against: what a model learned from, and what it never saw."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ancestral import data
from ancestral.data import Dataset, InMemoryDataset
from ancestral.errors import InputError, UnsuitableError
from ancestral.evaluation.bound_terms import labels_for
from ancestral.model import Model

MOST = 10_000
"""Items whose features are looked at: distances take time and memory with the square of it."""
ELEMENTS = 2**26
"""Numbers of all items that are held: as float64, half a GiB."""


def fitting(model: Model, source: str, split: str) -> Dataset:
    """The data of `source`, brought to the model's shape where that can be, in memory as the run's own data were.

    Raises InputError where it does not fit.
    """
    own = config = model.config.data
    channels, height, width = model.spec.shape if len(model.spec.shape) == 3 else (None, 0, None)
    if source != own.source and channels in (1, 3) and height == width:
        bits: Any = {"uint8": 8, "uint16": 16}.get(model.spec.codec.kind)
        own = dataclasses.replace(own, image_size=height, channels=channels, bits=bits)
    try:
        found = data.open(source, **own.form, memory=config.memory, split=split)
    except UnsuitableError as error:  # nobody here gave such options
        made = f"{model.spec.codec.kind} items of {_sides(model.spec.shape)}"
        raise InputError(f"{source} cannot be made into {made}, which the model knows; give --data that can") from error
    except InputError as error:
        gone = source == own.source and "no such file" in str(error)
        hint = "; say with --data where the data of this run is now, or take other data" if gone else ""
        raise InputError(f"{error}{hint}") from None
    kind, known = found.codec.kind, model.spec.codec.kind
    if found.shape != model.spec.shape or kind != known:
        raise InputError(
            f"{found.name} holds items of {_sides(found.shape)}, but the model knows {_sides(model.spec.shape)}; "
            "give --data of that shape"
            if kind == known
            else f"{found.name} holds {kind} numbers, but the model knows {known}; give --data of that kind"
        )
    return found


def in_memory(found: Dataset) -> InMemoryDataset:
    """The same, or as many of its items as can be held, evenly chosen."""
    return found.sample(len(found), read=limit(found.shape))


def limit(shape: Sequence[int]) -> int:
    """How many items of a shape are held of data that does not fit into memory."""
    return min(MOST, max(1, ELEMENTS // math.prod(shape)))


@dataclass(frozen=True, eq=False)
class Real:
    """Items (N, *shape) of a part of the data."""

    items: Tensor
    labels: Tensor | None
    """int64 (N,), as the model numbers its classes, -1 without; None where they mean nothing to it."""
    name: str
    split: str
    of: int
    """How many there are in all."""
    all: Tensor
    """More items (M, *shape), or the same: copies are looked for among all that can be held."""

    @staticmethod
    def of_data(found: Dataset, model: Model, split: str) -> "Real":
        """Of `found`, as many as distances can be measured on, evenly chosen."""
        more = found.sample(max(1, ELEMENTS // math.prod(found.shape)), limit(found.shape))
        held = more.sample(limit(found.shape))
        labels = labels_for(held, model.spec.classes, nameless(held.classes))
        return Real(held.items, labels, held.name, split, len(found), more.items)

    def words(self) -> str:
        """What they are, in words."""
        count = f"{len(self.items):,}"
        if self.of != len(self.items):
            count += f" of {self.of:,}, evenly chosen"
        return f"{self.name}, {self.split}, {count}"


def nameless(classes: Sequence[str]) -> bool:
    """Whether classes are but numbers, as in a .npz file."""
    return list(classes) == [str(number) for number in range(len(classes))]


def _sides(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
