"""The real items that samples are compared with: what a model was trained on, and what it never saw."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral import data, derived
from ancestral.base.errors import InputError, MissingSplitError, UnsuitableError
from ancestral.base.options import option
from ancestral.conditions import ABSENT, Classes, Words
from ancestral.config import ConditionSource, DataConfig
from ancestral.config.data_sources import ARRAY_FILES
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.equal_items import first_equal
from ancestral.data.spec import DataSpec
from ancestral.guidance import NO_CLASS

MAX_ITEMS = 10_000
"""Items whose features are compared: distances take time and memory with the square of their number."""
MAX_ELEMENTS = 2**26
"""Elements of all items in memory: as float64, half a GiB."""

OpenSplit = Callable[[Any, str], Dataset]
"""(source, split) -> the data of that split, each opened once."""
CLASSES_NAMED = 5
"""Largest number of classes that a message names."""
HELD_OUT_SPLIT = "held out of the run"
"""The split of a run's own data that `train --validation` held out."""


def loader(
    spec: DataSpec,
    config: DataConfig | None,
    run: DataConfig | None = None,
    given: Sequence[ConditionSource] | None = None,
) -> OpenSplit:
    """Create the function that opens data as `load_reference` does, and the same data only once.

    `spec`, `config` and `given` are those of `load_reference`, and `run` the data of a run by their fingerprint: what
    it held out is the split `HELD_OUT_SPLIT`, and not in "train".
    """
    opened: dict[tuple[object, str], Dataset] = {}

    def load(source: Any, split: str) -> Dataset:
        place = source if isinstance(source, str) else id(source)
        if (place, split) not in opened and split == "test":
            opened[place, split] = load_reference(spec, source, split, config, given)
        elif (place, "train") not in opened:
            train, held_out = load_reference(spec, source, "train", config, given), None
            if run is not None and train.fingerprint == run.fingerprint:
                train = train.without(run.left_out_rows)
                if run.held_out is not None:
                    train, held_out = data.hold_out(train, run.held_out, run.moved_rows)
                elif run.validation is not None:
                    with contextlib.suppress(InputError):  # it was moved, or given from Python
                        held_out = load_validation(spec, run.validation, config, given)
            opened[place, "train"] = train
            if held_out is not None:
                opened[place, HELD_OUT_SPLIT] = held_out
        if (place, split) not in opened:
            raise MissingSplitError(f"{source} has no part that was held out")
        return opened[place, split]

    return load


def plain_source(source: Any) -> Any:
    """Return a path as text, and other data as they are."""
    return str(source) if isinstance(source, Path) else source


def held_out_data(source: Any, load: OpenSplit, held_out: Any) -> tuple[Dataset | None, str]:
    """Held-out data and their name: as given, or the test split of the data, or the part that the run held out."""
    if held_out is not None:
        tested = isinstance(held_out, str) and held_out in data.TESTED
        return load(plain_source(held_out), "test" if tested else "train"), "test split" if tested else "held out"
    for split, title in (("test", "test split"), (HELD_OUT_SPLIT, HELD_OUT_SPLIT)):
        with contextlib.suppress(MissingSplitError):
            if split != "test" or isinstance(source, str):
                return load(source, split), title
    return None, ""


def load_validation(
    spec: DataSpec, source: Any, config: DataConfig | None, given: Sequence[ConditionSource] | None = None
) -> Dataset:
    """Open what `train --validation SOURCE` names: of built-in data the test split, if there is one."""
    tested = isinstance(source, str) and source in data.TESTED
    return load_reference(spec, source, "test" if tested else "train", config, given)


def load_reference(
    spec: DataSpec,
    source: Any,
    split: str = "train",
    config: DataConfig | None = None,
    given: Sequence[ConditionSource] | None = None,
) -> Dataset:
    """Open data in the shape and coding of a model's items.

    Args:
        spec: The model's items.
        source: The data, as `data.open` takes it.
        split: "train" or "test".
        config: What the model was trained on. Its options apply to its own source; other images are cropped, resized
            and converted to the model's shape.
        given: Where conditions are found, as `data.open` takes it.

    Returns:
        The data.

    Raises:
        MissingSplitError: If there is no such split.
        InputError: If the data cannot be read, or not be brought to that shape and coding.
    """
    given = text_as_known(spec, given)
    options: dict[str, Any] = {"split": split, "given": given}
    trained_on = config is not None and isinstance(source, str) and _same_place(source, config.source)
    from_data = {name for name, kind in spec.further.items() if not kind.made_by}
    if isinstance(source, Dataset) and from_data <= set(source.spec.further):
        options["given"] = None  # it was opened with its conditions
    if not isinstance(source, str) and len(spec.shape) > 1:
        options["dims"] = len(spec.shape) - 1
    if isinstance(source, str):
        form = config or DataConfig()
        if not trained_on and len(spec.shape) == 3 and spec.shape[0] in (1, 3):
            bits: Any = {"uint8": 8, "uint16": 16}.get(spec.codec.kind)
            form = dataclasses.replace(form, image_size=spec.shape[1:], channels=spec.shape[0], bits=bits)
        if not trained_on and spec.rate is not None:
            form = dataclasses.replace(form, channels=spec.shape[0], length=spec.shape[1])
        options |= {**form.form, "memory": form.memory, "given": given}
    if spec.codec.gaps:
        options["gaps"] = spec.codec.gaps
    needed = f"the model knows {_items(spec)}; give {option('data')} of that kind"
    try:
        dataset = data.open(source, **options)
    except UnsuitableError as error:  # nobody here gave such options
        raise InputError(f"{source} cannot be converted, but {needed}") from error
    except MissingSplitError:
        raise
    except InputError as error:
        hint = f"; the run was trained on it: say with {option('data')} where it is now" if trained_on else ""
        raise InputError(f"{error.text}{hint}") from None
    rates = {dataset.rate, spec.rate} - {None}
    if dataset.shape != spec.shape or dataset.codec.kind != spec.codec.kind or len(rates) > 1:
        raise InputError(f"{dataset.name} holds {_items(dataset.spec)}, but {needed}")
    return dataset


def text_as_known(spec: DataSpec, given: Sequence[ConditionSource] | None) -> tuple[ConditionSource, ...] | None:
    """Return `given` with columns of text read as the kind that a model knows, however much text the data have."""

    def read(one: ConditionSource) -> ConditionSource:
        kind = spec.further.get(one.condition)
        is_column = not (one.read_as or one.is_place or Path(one.what).suffix.lower() in ARRAY_FILES)
        if not is_column or not isinstance(kind, Classes | Words):
            return one
        return dataclasses.replace(one, what=f"{type(kind).__name__.lower()}:{one.what}")

    return None if given is None else tuple(map(read, given))


def _items(spec: DataSpec) -> str:
    rate = "" if spec.rate is None else f" at {spec.rate:,} Hz"
    return f"{spec.codec.kind} items of {'x'.join(map(str, spec.shape))}{rate}"


def in_memory(dataset: Dataset) -> InMemoryDataset:
    """Load the data into memory, or as many evenly chosen items as fit."""
    return dataset.sample(len(dataset), read=max_items(dataset.shape))


def max_items(shape: Sequence[int]) -> int:
    """Return the number of items of a shape that are taken from data that does not fit into memory."""
    return min(MAX_ITEMS, max(1, MAX_ELEMENTS // math.prod(shape)))


def labels_for(data: InMemoryDataset, classes: Sequence[str]) -> Tensor | None:
    """Return the labels of all the data in a model's numbering of its `classes`.

    Classes are matched by name, or by number if the data has no names for them.

    Returns:
        int64 (N,), NO_CLASS for an item without a class; None if the data's classes mean nothing to the model.
    """
    if data.labels is None or not classes:
        return None
    if set(data.classes) <= set(classes):
        labels = torch.tensor([classes.index(name) for name in data.classes])[data.labels]
        return torch.where(data.labels < 0, NO_CLASS, labels)
    numbered = list(data.classes) == [str(number) for number in range(len(data.classes))]
    return data.labels if numbered and len(data.classes) <= len(classes) else None


def check_partners(source: Any, held_out: Any, given: Iterable[ConditionSource]) -> None:
    """Check that training items and other items that are held out have no file of a condition in common.

    Partners are found by their names in one folder, so items of equal names would share them.

    Args:
        source: The data that a model is trained on.
        held_out: Other data.
        given: Where conditions are found, as `data.open` takes it.

    Raises:
        InputError: If items share a partner, or the rows of a file of arrays are for other items.
    """
    if not isinstance(source, str) or not isinstance(held_out, str) or _same_place(held_out, source):
        return
    advice = f"or hold out a share of the data, as in {option('validation', 0.1)}"
    for one in given:
        place = Path(one.what).expanduser()
        if derived.parse(one.what) is not None or not os.path.exists(place):  # noqa: PTH110 (no error of a long name)
            continue
        if place.suffix.lower() in ARRAY_FILES:
            raise InputError(
                f"{place} has a row for each item of {source}, and none for those of {held_out}: give the condition "
                f"{one.name or place.stem} as a column of both, {advice}"
            )
        if names := data.shared_partners(place, Path(source), Path(held_out)):
            raise InputError(
                f"a file of {place} would be the partner of an item of {source} and of another item of {held_out} "
                f"({names}): give the latter a name of its own, and its partner too, {advice}"
            )


def names_of_conditions(
    spec: DataSpec, given: tuple[ConditionSource, ...] | None
) -> tuple[ConditionSource, ...] | None:
    """Return what `data.open` takes as `given` to find the conditions of a model.

    Args:
        spec: The description of the data of the model.
        given: What its training took. None of data from Python, whose conditions are then named.
    """
    if given is not None or not spec.further:
        return given
    return tuple(ConditionSource("", name) for name, kind in spec.further.items() if not kind.made_by)


def conditions_for(data: InMemoryDataset, spec: DataSpec) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the conditions of all the data besides the label in the numbering and the units of a model.

    Classes are matched by name, or by number if the data has no names for them. A class that the model does not know is
    absent. Texts get the tokens of the model. Conditions that are made from the items are not among them.

    Returns:
        The values by name, as `Dataset.conditions_of` returns them, without conditions that the data lack; and notes on
        these and on classes that the model does not know.

    Raises:
        InputError: If a condition is of another kind, or the model knows none of its classes.
    """
    rows, notes = data.conditions_of(list(range(len(data)))), list[str]()
    for name, kind in spec.further.items():
        if kind.made_by:
            rows.pop(name, None)
            continue
        if name not in rows:
            notes.append(f"{data.name} has no condition {name}, which the model knows: it is absent there.")
            continue
        theirs = data.spec.further[name]
        if theirs.form != kind.form:
            raise InputError(
                f"the condition {name} of {data.name} is {theirs.form}, and that of the model "
                f"{kind.form}: give data of that kind"
            )
        rows[name] = kind.recoded(rows[name], theirs)
        if kind.classes:
            rows[name], unknown = _renumbered(rows[name], theirs.classes, kind.classes, name, data.name)
            if unknown:
                notes.append(f"The model does not know {unknown} of {data.name}: there the condition {name} is absent.")
    return {name: rows[name] for name in spec.further if name in rows}, tuple(notes)


def _renumbered(
    numbers: Tensor, theirs: Sequence[str], ours: Sequence[str], name: str, origin: str
) -> tuple[Tensor, str]:
    """Classes int64 (N,) in the numbering of a model, ABSENT where it does not know them; and which these are."""
    table = [ours.index(one) if one in ours else ABSENT for one in theirs]
    if set(table) == {ABSENT}:
        numbered = list(theirs) == [str(number) for number in range(len(theirs))] and len(theirs) <= len(ours)
        if not numbered:
            raise InputError(
                f"the model knows no class of the condition {name} of {origin} ({_listed(theirs)}): its classes are "
                f"{_listed(ours)}"
            )
        table = list(range(len(theirs)))
    unknown = [one for one, number in zip(theirs, table, strict=True) if number == ABSENT]
    return torch.tensor(table)[numbers].where(numbers >= 0, ABSENT), _listed(unknown)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:CLASSES_NAMED]) + (", ..." if len(names) > CLASSES_NAMED else "")


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """Items (N, *shape) of a part of the data."""

    part: InMemoryDataset
    """The N items."""
    labels: Tensor | None
    """int64 (N,) in the model's numbering, NO_CLASS without a class; None if they mean nothing to the model."""
    split: str
    of: int
    """The number of items of that part of the data."""
    searched: InMemoryDataset
    """As many items (M, *shape) as fit into memory, N or more: copies are searched for among these."""
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    """The values of the conditions besides the label that are not made from the items, as `conditions_for` returns
    them."""
    notes: tuple[str, ...] = ()
    """Notes on these."""

    @staticmethod
    def from_data(dataset: Dataset, spec: DataSpec, split: str) -> "ReferenceSet":
        """Take as many evenly chosen items as distances can be measured on, in the numbering of a model."""
        more = searched_items(dataset)
        part = more.sample(max_items(dataset.shape))
        conditions = conditions_for(part, spec) if spec.further else ({}, ())
        return ReferenceSet(part, labels_for(part, spec.classes), split, len(dataset), more, *conditions)

    def without(self, rows: Tensor) -> "ReferenceSet":
        """Return the set without some items, bool (N,)."""
        rest = (~rows).nonzero().flatten()
        return replace(
            self,
            part=self.part.subset(rest),
            labels=None if self.labels is None else self.labels[rest],
            of=self.of - int(rows.sum()),
            conditions={name: values[rest] for name, values in self.conditions.items()},
        )

    @property
    def items(self) -> Tensor:
        """The items (N, *shape)."""
        return self.part.items

    @property
    def name(self) -> str:
        """The name of the data."""
        return self.part.name

    def __str__(self) -> str:
        of = f" of {self.of:,}, evenly chosen" if self.of != len(self.items) else ""
        return f"{self.name}, {self.split}, {len(self.items):,}{of}"


def searched_items(dataset: Dataset) -> InMemoryDataset:
    """Load the items that copies are searched for among: all that fit into memory, else evenly chosen ones."""
    return dataset.sample(max(1, MAX_ELEMENTS // math.prod(dataset.shape)), max_items(dataset.shape))


def copies_among(items: InMemoryDataset, train: InMemoryDataset) -> tuple[Tensor, str]:
    """Find the items whose values equal those of a training item.

    Returns:
        Which, bool (N,); and their number and the names of the first few with those of the training items.
    """
    first = first_equal(items.items, train.items)
    rows = (first >= 0).nonzero().flatten().tolist()
    pairs = [f"{items.name_of(row)} = {train.name_of(int(first[row]))}" for row in rows[: CLASSES_NAMED + 1]]
    return first >= 0, f"{len(rows):,} of {len(items):,} ({_listed(pairs)})"


def copies_note(text: str, left_out: bool) -> str:
    """Say that held-out items equal training items; `text` is that of `copies_among`."""
    if left_out:
        return f"Held-out items that equal training items were left out: {text}."
    return f"Held-out items that equal training items: {text}; {option('leave_out_copies', True)} leaves them out."


def _same_place(one: str, two: str) -> bool:
    return one == two or (one not in data.BUILTINS and str(Path(one).expanduser().resolve()) == two)
