"""What real items are conditioned on, so that a model's samples can be given the same."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ancestral import derived
from ancestral.conditions import LABEL, Classes, Condition
from ancestral.data.spec import DataSpec, inputs
from ancestral.guidance import NO_CLASS
from ancestral.measure.reference import ReferenceSet

CONDITIONS_AT_ONCE = 256
"""Items of which conditions are made at a time."""


@dataclass(frozen=True, eq=False)
class ItemConditions:
    """The conditions of N items in an order: sample i of a seed is given those of item i modulo N.

    Random operators draw by (seed, 0, the place of the item in the order), so that all samples of an item are given the
    same.
    """

    spec: DataSpec
    """The description of the data of the model, whose network gets the conditions."""
    items: Tensor
    """(M, *shape), decoded."""
    labels: Tensor | None
    """int64 (M,) in the model's numbering; None where they mean nothing to the model."""
    values: Mapping[str, Tensor]
    """As `reference.conditions_for` returns them."""
    order: Tensor
    """Which items, int64 (N,)."""
    seed: int = 0

    @staticmethod
    def of(spec: DataSpec, items: ReferenceSet, order: Tensor, seed: int) -> "ItemConditions":
        """Return the conditions of real items in an order."""
        return ItemConditions(spec, items.items, items.labels, items.conditions, order, seed)

    def __len__(self) -> int:
        return len(self.order)

    def labels_of(self, samples: Iterable[int]) -> Tensor | None:
        """Return the labels of some samples, int64, NO_CLASS without; None for a model without classes."""
        rows = self._rows(samples)
        if not self.spec.classes:
            return None
        return torch.full((len(rows),), NO_CLASS) if self.labels is None else self.labels[rows]

    def inputs(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """Return what a network gets for some samples, by the names of its arguments, on the CPU."""
        rows, labels = self._rows(samples), self.labels_of(samples)
        values = {name: value[rows] for name, value in self.values.items()}
        x0 = self.spec.codec.encode(self.items[rows])
        rest = inputs(self.spec, x0, values, self.seed, 0, [sample % len(self) for sample in samples])
        return rest if labels is None else {"labels": labels, **rest}

    def values_of(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """Return the values of some samples, and the one text that each is given of an item that has several."""
        rows, places = self._rows(samples), [sample % len(self) for sample in samples]
        kinds = self.spec.further
        return {name: kinds[name].drawn(value[rows], self.seed, 0, places) for name, value in self.values.items()}

    def _rows(self, samples: Iterable[int]) -> Tensor:
        return self.order[[sample % len(self) for sample in samples]]

    @cached_property
    def digest(self) -> str:
        """A hash of all that the conditions follow from."""
        digest, parts = hashlib.sha256(), [*self.values.values()]
        parts += [] if self.labels is None else [self.labels]
        if len(self.values) < len(self.spec.further):  # some are made of the items
            digest.update(str(self.seed).encode())
            parts.append(self.items)
        for part in parts:
            for row in self.order.tolist():
                digest.update(part[row].contiguous().numpy().tobytes())
        return f"{len(self)}:{digest.hexdigest()[:16]}"

    def kinds(self) -> dict[str, Condition]:
        """Return the conditions that items are searched for by, with the label if it is known."""
        labels = {} if self.labels is None else {LABEL: Classes(self.spec.classes)}
        known = {name: kind for name, kind in self.spec.further.items() if kind.made_by or name in self.values}
        return labels | known

    def compared(self, plain: bool) -> dict[str, Tensor]:
        """Return the values of all N items for `baselines.nearest_items`.

        Args:
            plain: Whether conditions are made without noise and with nothing hidden, as of items that are known.
        """
        values = {name: value[self.order] for name, value in self.values.items()}
        if self.labels is not None:
            values[LABEL] = self.labels[self.order]
        for name, degradation in derived.degradations(self.spec.further, self.spec.periodic).items():
            made = []
            for places in torch.split(torch.arange(len(self)), CONDITIONS_AT_ONCE):
                x0 = self.spec.codec.encode(self.items[self.order[places]])
                made.append(
                    degradation.make_plain(x0) if plain else degradation.make(x0, self.seed, 0, places.tolist())
                )
            values[name] = torch.cat(made)
        return values
