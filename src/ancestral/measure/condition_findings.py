"""Inspection of the conditions of a data set: their kinds and ranges, what is missing, far out or uneven in them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import are, plural
from ancestral.conditions import ABSENT, Classes, Condition, Image, Vector, Words
from ancestral.data import Dataset, LazyDataset
from ancestral.data.convert import Conversion, share_cropped
from ancestral.data.dataset import Values, evenly_spaced
from ancestral.data.decoding import read_header, reading_threads
from ancestral.data.files import Unreadable
from ancestral.data.spec import CROP_NOTED
from ancestral.data.texts import cut_note
from ancestral.measure.findings import UNEVEN_CLASSES
from ancestral.measure.items import class_counts
from ancestral.results.data_report import ConditionStatistics, Finding, TextStatistics
from ancestral.vocabulary import words

FAR_OUT = 8.0
"""Distance from the median, in standard deviations by the median absolute deviation, from which a number is far out."""
DEVIATION = 1.4826
"""The standard deviation of normal numbers over their median absolute deviation."""
MEAN_DEVIATION = 1.2533
"""The same over their mean absolute deviation, where more than half of the numbers are equal."""
SHOWN_TEXTS = 6
"""The largest number of texts of words that a report has."""
FEW_VALUES, ITEMS_EACH = 12, 5
"""The largest number of whole numbers that look like classes, and the least mean number of items of each."""
HAS_LETTER = re.compile(r"[^\W\d_]")
REPEATED = 10
"""Number of items from which on a caption repeats, and how many times the median number of items of a caption it is."""


def fault_findings(faults: Sequence[InputError]) -> Iterator[Finding]:
    """Report the conditions that training would refuse, each with the items concerned."""
    for fault in faults:
        text, _, advice = fault.text.rpartition(": ")
        if not text:
            text, advice = fault.text, "correct the data, or leave the condition out"
        names: dict[str, str] = getattr(fault, "names", {})
        yield Finding("condition", "error", text, advice, names)


def condition_statistics(data: Dataset) -> dict[str, ConditionStatistics]:
    """Compute the statistics of all conditions besides the label."""
    statistics = {}
    for name, kind in data.spec.further.items():
        values: Any = data.conditions.get(name)
        rows = None if values is None else kind.missing(values)
        missing = 0 if rows is None else int(rows.sum())
        facts = _statistics(kind, values)
        statistics[name] = ConditionStatistics(type(kind).__name__.lower(), missing, made_by=kind.made_by, **facts)
    return statistics


@singledispatch
def _statistics(kind: Condition, values: Any) -> dict[str, Any]:
    """The statistics of a condition of this kind with these values, None where they are made of the items."""
    return {"shape": kind.shape}


@_statistics.register(Classes)
def _(kind: Classes, values: Tensor) -> dict[str, Any]:
    return {"classes": class_counts(values, kind.names)}


@_statistics.register(Vector)
def _(kind: Vector, values: Tensor | None) -> dict[str, Any]:
    present = torch.empty(0) if values is None else values[~kind.missing(values)]
    ends = [tuple(end.tolist()) for end in (present.amin(0), present.amax(0))] if len(present) else [(), ()]
    return {"low": ends[0], "high": ends[1], "mean": kind.mean, "std": kind.std}


@_statistics.register(Words)
def _(kind: Words, values: Tensor) -> dict[str, Any]:
    lengths = (values != ABSENT).sum(2)
    each = lengths[lengths > 0]
    found, _ = _words_found(kind, values)
    ends = (int(each.min()), int(each.median()), int(each.max())) if len(each) else (0, 0, 0)
    most = int((lengths > 0).sum(1).max())
    present = values[~kind.missing(values)]
    examples = kind.texts(present[evenly_spaced(SHOWN_TEXTS, len(present))])
    sizes = len(kind.vocabulary), len(found)
    return {"text": TextStatistics(len(each), most, ends, *sizes, kind.cut, tuple(dict.fromkeys(examples)))}


def _words_found(kind: Words, values: Tensor) -> tuple[Counter[str], dict[str, int]]:
    """How often each word with letters occurs in tokens (N, V, L), and in which item first.

    The last word of a text that was cut does not count, since it may be a part of one.
    """
    counts, items, rows = Counter[str](), dict[str, int](), values.flatten(0, 1)
    full = (rows[:, -1] != ABSENT).tolist() if kind.cut else [False] * len(rows)
    for place, (text, is_full) in enumerate(zip(kind.texts(rows), full, strict=True)):
        for word in filter(HAS_LETTER.search, words(text)[: -1 if is_full else None]):
            counts[word] += 1
            items.setdefault(word, place // values.shape[1])
    return counts, items


def condition_findings(data: Dataset) -> Iterator[Finding]:
    """Find what is missing, far out, uneven or of another shape in the conditions besides the label."""
    for name, values in data.conditions.items():
        kind = data.spec.conditions[name]
        yield from _missing(name, kind, values, data)
        yield from _findings(kind, name, values, data)


@singledispatch
def _findings(kind: Condition, name: str, values: Any, data: Dataset) -> Iterator[Finding]:
    """Find what is uneven, far out or of another shape in the values of a condition: nothing where no rule is below."""
    yield from ()


@_findings.register(Classes)
def _(kind: Classes, name: str, values: Tensor, data: Dataset) -> Iterator[Finding]:
    return _of_classes(name, class_counts(values, kind.names))


@_findings.register(Vector)
def _(kind: Vector, name: str, values: Tensor, data: Dataset) -> Iterator[Finding]:
    titles = [f"{name} ({part})" for part in kind.names] or [name] * kind.size
    for title, column in zip(titles, values.T, strict=True):
        yield from _of_numbers(title, column.numpy(), data)


@_findings.register(Image)
def _(kind: Image, name: str, values: "Values", data: Dataset) -> Iterator[Finding]:
    if isinstance(values, LazyDataset) and isinstance(data, LazyDataset):
        yield from _of_partners(name, values, data)


@_findings.register(Words)
def _(kind: Words, name: str, values: Tensor, data: Dataset) -> Iterator[Finding]:
    yield from _repeated(name, Counter(filter(None, kind.texts(values))))
    counts, items = _words_found(kind, values)
    if once := {word: data.name_of(items[word]) for word, count in counts.items() if count == 1}:
        text = f"{len(once):,} of {plural(len(counts), 'word')} of the condition {name} occur once"
        advice = "correct misspelled ones: a network reads them by pieces, and hardly learns what they mean"
        yield Finding("single_words", "note", text, advice, once)
    for text, advice in cut_note(name, kind):
        full = (values[:, :, -1] != ABSENT).any(1).nonzero().flatten().tolist()
        names = {data.name_of(row): "the rest is left out" for row in full}
        yield Finding("long_captions", "note", text, f"{advice}: put what matters first", names)


def _repeated(name: str, counts: Counter[str]) -> Iterator[Finding]:
    """Find captions that many more items have than others, by the number of items of each."""
    least = REPEATED * max(1.0, float(np.median(list(counts.values())))) if counts else 0
    if names := {text: f"{count:,} items" for text, count in counts.most_common() if count >= least}:
        text = f"the condition {name} repeats {plural(len(names), 'text')} for many items, "
        text += f"{sum(counts[one] for one in names):,} in all"
        advice = "correct them if a table was filled down; what many items share says little of each"
        yield Finding("repeated_captions", "warning", text, advice, names)


def _missing(name: str, kind: Condition, values: Any, data: Dataset) -> Iterator[Finding]:
    rows = kind.missing(values)
    if rows is None or not bool(rows.any()):
        return
    names = {data.name_of(row): "missing" for row in rows.nonzero().flatten().tolist()}
    text = f"the condition {name} is missing for {len(names):,} of {plural(len(rows), 'item')}"
    advice = "fill it in where it is known: these items are trained on without it"
    yield Finding("missing_condition", "warning" if 2 * len(names) > len(rows) else "note", text, advice, names)


def _of_classes(name: str, counts: dict[str, int]) -> Iterator[Finding]:
    single = {label: "one item" for label, count in counts.items() if count == 1}
    filled = [count for count in counts.values() if count]
    if 2 * len(single) > len(filled) and len(filled) > 2:
        text = f"the condition {name} has {len(filled):,} classes for {plural(sum(filled), 'item')}"
        advice = (
            "leave it out, merge classes, or read it as text (words: before the column): no network learns what it "
            "sees once"
        )
        yield Finding("single_classes", "warning", text, advice, single)
        return
    if empty := {label: "no item" for label, count in counts.items() if not count}:
        text = f"{are(len(empty), 'class')} of the condition {name} empty"
        yield Finding("empty_classes", "note", text, "number the classes 0, 1, 2, ..., or give floats", empty)
    if single:
        text = f"{plural(len(single), 'class')} of the condition {name} with one item"
        yield Finding("single_classes", "warning", text, "add items, or merge classes", single)
    if filled and max(filled) > UNEVEN_CLASSES * min(filled):
        commonest = max(counts, key=lambda label: counts[label])
        rarest = min((label for label in counts if counts[label]), key=lambda label: counts[label])
        text = (
            f"the classes of the condition {name} are uneven: {commonest} has {counts[commonest]:,} items, {rarest} "
            f"{counts[rarest]:,}"
        )
        advice = (
            f"add to the rare ones; where it is the label ({option('given', f'label={name}')}), "
            f"{option('balance', True)} trains on each equally often"
        )
        yield Finding("uneven_classes", "warning", text, advice)


def _of_numbers(title: str, column: NDArray[np.float64], data: Dataset) -> Iterator[Finding]:
    present = column[~np.isnan(column)]
    if not len(present):
        return
    median = np.median(present)
    deviations = np.abs(present - median)
    scale = DEVIATION * np.median(deviations) or MEAN_DEVIATION * deviations.mean()
    if scale and len(far := np.flatnonzero(np.abs(np.nan_to_num(column, nan=median) - median) > FAR_OUT * scale)):
        far = far[np.argsort(-np.abs(column[far] - median), kind="stable")]
        names = {data.name_of(row): f"{column[row]:g}" for row in far.tolist()}
        text = f"{plural(len(names), 'item')} with {title} far from the others, whose median is {median:g}"
        advice = "correct mistakes, and leave out what is rare: such numbers push all others together"
        yield Finding("outliers", "warning", text, advice, names)
    distinct = np.unique(present)
    if len(distinct) <= FEW_VALUES and len(present) >= ITEMS_EACH * len(distinct) and (distinct % 1 == 0).all():
        text = f"{title} has {len(distinct)} different values, all whole: {', '.join(f'{one:g}' for one in distinct)}"
        advice = "if these number kinds without an order, make them classes: texts in files, integers in Python"
        yield Finding("like_classes", "note", text, advice)


def _of_partners(name: str, images: LazyDataset, data: LazyDataset) -> Iterator[Finding]:
    """Find images of another aspect than their items, which the crop would shift against them."""

    def compare(row: int) -> str | None:
        sizes = []
        for part in (data, images):
            with suppress(Unreadable):
                head = part.source.head(row if part.rows is None else int(part.rows[row]))
                header = None if not isinstance(head, bytes) else read_header(head, Conversion())
                sizes += [] if header is None else [header[2]]
        if len(sizes) < 2:
            return None
        (height, width), other = sizes
        lost = float(share_cropped(height, width, other))
        return f"{height}x{width}, and {other[0]}x{other[1]}" if lost > CROP_NOTED else None

    with reading_threads(min(data.threads, images.threads)) as pool:
        remarks = pool.map(compare, range(len(data)))
    names = {data.name_of(row): remark for row, remark in enumerate(remarks) if remark is not None}
    if names:
        text = f"{plural(len(names), 'item')} of another shape than the image of the condition {name}"
        advice = "bring both to one shape: they are cropped and resized each by itself, and would not lie on each other"
        yield Finding("condition_aspect", "warning", text, advice, names)
