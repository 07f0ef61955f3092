"""Findings: faults of a data set, or possible ones, each with what to do about it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ancestral.base.options import option
from ancestral.base.quantities import are, format_bytes, plural
from ancestral.config import Config, DataConfig
from ancestral.config.image_size import parse_image_size, plain_image_size
from ancestral.config.training_values import TrainingCost
from ancestral.data.convert import share_cropped
from ancestral.data.spec import CROP_NOTED, NOTHING_TO_LEARN
from ancestral.data.windows import enlarged
from ancestral.measure.items import InspectedItems
from ancestral.results.data_report import Finding, ValueStatistics

EPOCHS = 100
"""Number of passes over the data after which a network that could memorise it is likely to do so."""
TRIALS = 104, 166
"""Smallest and largest number of passes after which the validation loss was lowest in trials on 50, 100, 200 and 400
digits (docs/how-to/memorisation.md)."""
FEW_ITEMS = 100
"""Number of items below which those that may be memorised will probably be."""
UNEVEN_CLASSES = 5
"""The largest ratio of the largest class to the smallest."""
FEW_OF_CLASS = 20
"""Number of images below which a class is hardly learned."""
PRINT_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes whose conversion to RGB depends on a colour profile."""


def unreadable_finding(names: dict[str, str]) -> Iterator[Finding]:
    """Name what cannot be read, each with the reason."""
    if names:
        advice = "fetch each again, save it in a format that is read, or delete it: training skips these"
        yield Finding("unreadable", "warning", f"{plural(len(names), 'file')} cannot be read", advice, names)


def file_findings(files: NDArray[np.void], name_of: Callable[[int], str], config: DataConfig) -> Iterator[Finding]:
    """Find what speaks against the image files of a folder, of which `files` are the FILE_FACTS."""

    def named(which: NDArray[np.bool_], remark: Callable[[np.void], str]) -> dict[str, str]:
        return {name_of(row): remark(files[row]) for row in np.flatnonzero(which).tolist()}

    if names := named(files["animated"], lambda _: "only its first frame is used"):
        text = f"{are(len(names), 'file')} of several frames or pages"
        advice = "only the first is trained on: save the others as files to use all"
        yield Finding("animated", "warning", text, advice, names)
    if names := named(np.isin(files["mode"], PRINT_MODES), lambda file: str(file["mode"])):
        text = f"{are(len(names), 'file')} in the colours of print or measurement (CMYK and such)"
        advice = "convert to RGB by its colour profile, if exact colours matter: the profile is not used here"
        yield Finding("mode", "warning", text, advice, names)
    transparent = int(files["transparent"].sum())
    if transparent and config.channels not in (2, 4):
        text = f"{are(transparent, 'file')} partly transparent, laid on {config.background}"
        advice = f"{option('background')} chooses the colour behind, and {option('channels', 4)} keeps the transparency"
        yield Finding("transparent", "note", text, advice)
    if config.image_size is None:
        return
    size, height, width = enlarged(config.image_size, config.crop), files["height"], files["width"]
    cropped = crop_shares(files, config)
    sizes = np.unique(np.stack([height, width]), axis=1).shape[1]
    if sizes == 1 and cropped.mean() > CROP_NOTED:
        return  # the data say so, and the size that keeps their shape is their own
    both, either = (height < size[0]) & (width < size[1]), (height < size[0]) | (width < size[1])
    if names := named(both if config.fit == "pad" else either, lambda file: f"{file['height']}x{file['width']}"):
        text = f"{are(len(names), 'file')} smaller than {plain_image_size(size)} pixels"
        smallest = plain_image_size((int(height.min()), int(width.min())))
        advice = (
            f"leave them out, or take {option('image_size', smallest)}: enlarged images are blurred, as samples are"
        )
        yield Finding("tiny", "warning", text, advice, names)
    order = np.argsort(-cropped, kind="stable")
    names = {
        name_of(row): f"{height[row]}x{width[row]} loses {cropped[row]:.0%}" for row in order[cropped[order] > 1 / 3]
    }
    if names or cropped.mean() > CROP_NOTED:
        text = f"shapes are mixed: the crop to {size[0]}x{size[1]} throws away {cropped.mean():.0%} of the pixels"
        text += f", and over a third of {plural(len(names), 'file')}" if names else ""
        pad = option("fit", "pad")
        advice = f"crop the pictures yourself where the subject is not in the middle, or keep all of each by {pad}"
        yield Finding("aspect", "warning" if names else "note", text, advice, names)


def crop_shares(files: NDArray[np.void], config: DataConfig) -> NDArray[np.float64]:
    """Compute the share of each file that the crop to the image size loses: 0 where files are padded or keep theirs."""
    if config.image_size is None or config.fit == "pad":
        return np.zeros(len(files))
    shares: NDArray[np.float64] = share_cropped(files["height"], files["width"], parse_image_size(config.image_size))
    return shares


def duplicate_findings(items: InspectedItems, classes: Mapping[str, int], left_out: bool) -> Iterator[Finding]:
    """Find the items of a data set that are there twice, and those of them that have two classes.

    Args:
        items: The items.
        classes: The number of items of each class.
        left_out: Whether training leaves copies out.
    """
    data, rows = items.data, np.arange(len(items.data))
    equal, alike = items.first_copies
    sentences = {
        "duplicates": (equal, "the same pixels as another", "the same pixels as"),
        "near_duplicates": (alike, "the same look as another", "looks the same as"),
    }
    class_names, crossing = list(classes), dict[str, str]()
    for code, (firsts, text, remark) in sentences.items():
        copies: dict[str, str] = {}
        for copy in np.flatnonzero(firsts != rows).tolist():
            name, first = data.name_of(copy), data.name_of(original := int(firsts[copy]))
            copies[name] = f"{remark} {first}"
            if data.labels is not None and data.labels[copy] != data.labels[original]:
                one, other = (class_names[int(data.labels[item])] for item in (copy, original))
                crossing[name] = f"in the class {one}, but {first} in {other}"
        if copies and left_out:
            yield Finding(code, "note", f"left out: {plural(len(copies), 'item')} with {text}", "", copies)
        elif copies:
            leave_out = option("leave_out_copies", True)
            advice = f"{leave_out}, or delete the copies: items seen more often are memorised sooner"
            yield Finding(code, "warning", f"{plural(len(copies), 'item')} with {text}", advice, copies)
    if crossing:
        advice = "keep one of them: two labels for one picture contradict each other"
        yield Finding("two_classes", "warning", f"{are(len(crossing), 'picture')} in two classes", advice, crossing)


def class_findings(classes: Mapping[str, int]) -> Iterator[Finding]:
    """Find empty, small and uneven classes."""
    if empty := {name: "no image that can be read" for name, count in classes.items() if not count}:
        yield Finding("empty_class", "warning", f"{are(len(empty), 'class')} empty", "add images or delete it", empty)
    counts = [count for count in classes.values() if count]
    if not counts:
        return
    if len(counts) == 1:
        text = "there is one class alone"
        advice = f"{option('class_labels', False)} leaves it out; or train on the folder inside"
        yield Finding("one_class", "note", text, advice)
    if max(counts) > UNEVEN_CLASSES * min(counts):
        text = f"classes are uneven: the largest has {max(counts):,}, the smallest {min(counts):,}"
        advice = (
            f"add to the small ones, since samples of rare classes are worse, or train with {option('balance', True)}"
        )
        yield Finding("imbalance", "warning", text, advice)
    if few := {name: f"{count}" for name, count in classes.items() if 0 < count < FEW_OF_CLASS}:
        text = f"{plural(len(few), 'class')} with fewer than {FEW_OF_CLASS} items"
        advice = f"add images, or merge classes, or {option('class_labels', False)}"
        yield Finding("small_class", "warning", text, advice, few)


def flat_finding(names: Sequence[str], background: str) -> Iterator[Finding]:
    """Name the items of one colour throughout, laid on the background if they are transparent."""
    if names:
        text = f"{are(len(names), 'item')} of one colour throughout"
        advice = (
            f"leave them out if that is an accident; transparent drawings in {background}, the background, show by "
            f"another {option('background')} or {option('channels', 4)}"
        )
        level = "warning" if len(names) > 1 else "note"
        yield Finding("flat", level, text, advice, dict.fromkeys(names, "one colour"))


def value_findings(values: ValueStatistics) -> Iterator[Finding]:
    """Find data without contrast, and colour images without colour."""
    if values.low == values.high:
        yield Finding("constant", "error", f"the data holds nothing but the value {values.low:g}", NOTHING_TO_LEARN)
    elif values.dtype == "uint8" and values.high <= 1:
        text = f"all bytes are {values.low:.0f} or {values.high:.0f}, so the images are black to the model"
        yield Finding("range", "warning", text, "were they scaled to 0..1? Multiply by 255 before saving as bytes")
    if len(values.mean) == 3 and values.grey == values.count:
        text = "all images are grey, and stored in three equal channels"
        advice = f"{option('channels', 1)} is a third of the data, and the model cannot tint them"
        yield Finding("grey", "note", text, advice)


def memorisation_finding(count: int, shape: Sequence[int], parameters: int, config: Config) -> Finding | None:
    """Find whether `count` items of a shape may be memorised by a network of `parameters` weights.

    This is no forecast: 30 photographs were copied where 132, in a network larger than the data, were not.

    References:
        Bonnaire et al., *Why diffusion models don't memorize: the role of implicit dynamical regularization in
        training* (2025): the time until a model memorises grows in proportion to the number of items, the time until
        its samples are good does not.
    """
    batch = config.train.batch_size
    assert batch is not None  # chosen by then
    epochs = config.train.steps * batch / count
    if parameters <= count * math.prod(shape) or epochs <= EPOCHS:
        return None
    (fewest, most), (first, last) = TRIALS, (passes * count / batch for passes in TRIALS)
    chance = "will probably" if count < FEW_ITEMS else "may"
    text = (
        f"{plural(count, 'item')} for {parameters:,} parameters: the data has fewer numbers than the network, and each "
        f"item is seen {epochs:,.0f} times, so they {chance} be memorised; digits were after {fewest} to {most} "
        f"times, here step {first:,.0f} to {last:,.0f}. That step grows with the number of items, the step at which "
        "samples are good does not"
    )
    held_out = config.data.validation is not None
    see = "watch the validation loss" if held_out else f"hold out 10 % and see ({option('validation', 0.1)})"
    see += "" if config.train.until == "plateau" else f", or end there ({option('until', 'plateau')})"
    return Finding("memorisation", "warning", text, f"{see}; ancestral evaluate measures how many samples are copies")


def training_findings(count: int, config: Config, cost: TrainingCost | None) -> Iterator[Finding]:
    """Find what speaks against training on `count` items by this config, and at this cost if it is known."""
    batch = config.train.batch_size
    assert batch is not None  # chosen by then
    if cost is not None:
        if (memorised := memorisation_finding(count, cost.shape, cost.parameters, config)) is not None:
            yield memorised
        if not cost.fits:
            text = f"training takes about {format_bytes(cost.memory)}, and {format_bytes(cost.available)} are free"
            yield Finding("memory", "warning", text, memory_remedy(cost))
        if cost.seconds > 86400 and cost.device == "cpu":
            text = f"all steps take {cost.seconds / 86400:,.1f} days on this machine"
            advice = f"use a GPU, fewer {option('steps')}, or a smaller {option('width')} or {option('image_size')}"
            yield Finding("time", "warning", text, advice)
    if count < batch:
        text = f"there are fewer items ({count:,}) than in one batch ({batch:,})"
        yield Finding("few", "warning", text, f"each batch repeats some; take {option('batch_size', count)}")


def memory_remedy(cost: TrainingCost) -> str:
    """Say which options help if the memory does not suffice."""
    if cost.micro_batch:
        return (
            f"give {option('micro_batch', cost.micro_batch)} (the same batches, in parts), or a smaller "
            f"{option('image_size')}"
        )
    return f"take a smaller {option('image_size')} or {option('width')}, or a larger {option('patch')}"
