"""Findings: faults of a data set, or possible ones, each with what to do about it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray

from ancestral.base.options import option
from ancestral.base.quantities import are, format_bytes, plural
from ancestral.conditions import Image, Limits
from ancestral.config import Config, DataConfig
from ancestral.config.data_config import parse_image_size, plain_image_size
from ancestral.config.run_files import TrainingCost
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.convert import enlarged, share_cropped
from ancestral.data.dataset import evenly_spaced
from ancestral.data.files import Unreadable
from ancestral.data.scales import proposed_scale
from ancestral.data.spec import CROP_NOTED, NOTHING_TO_LEARN
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
FILL_VALUES = (
    *(-999.0, -9999.0, -99999.0, -32767.0, -32768.0, 1e15, -1e15, 1e20, -1e20, 1e30, -1e30),
    *(9.969209968386869e36, -9.969209968386869e36, 1e36, -1e36, 3.4028234663852886e38, -3.4028234663852886e38),
)
"""Numbers that files of science have where a value is missing."""
LEAST_USED, MIDDLE = 0.05, (0.005, 0.995)
"""The least share of the range of a channel that its values between two quantiles should take."""
MOST_QUANTILES = 2**20
"""About how many values of a channel quantiles are computed of."""
ORDERED_PAIRS, LEAST_ORDERED = 64, 16
"""The number of items that are compared with the next one, and of items below which none is."""
NEARER, NEAR = 0.75, 0.8
"""Data are in order if this share of items is nearer to the next one than to a random one, on average at less than this
share of the distance."""
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
    factor = config.crop if isinstance(config.crop, float) else 1.0  # else windows of what it is brought to
    size = enlarged(config.image_size, factor)
    height, width = files["height"], files["width"]
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


def channel_findings(data: Dataset) -> Iterator[Finding]:
    """Find channels of arrays whose values are lost in their range, of the items and of images beside them.

    Integers of 8 bits have none: they are images.
    """
    parts: list[tuple[str, Dataset, Limits]] = [("", data, data.codec.channel_limits)]
    for name, kind in data.spec.further.items():
        values = data.conditions.get(name)
        if isinstance(kind, Image) and isinstance(values, Dataset):
            parts.append((f" of the condition {name}", values, kind.channel_limits))
    for origin, part, limits in parts:
        if part.codec.dtype != torch.uint8 and len(part.shape) > 1:
            items = part.sample(len(part))
            for channel in range(part.shape[0] if len(items) else 0):
                yield from _channel_findings(items, channel, f"channel {channel}{origin}", limits)


def scale_finding(data: Dataset) -> Iterator[Finding]:
    """Propose a scale of fields, whose extremes a range to [-1, 1] would cut."""
    if data.spec.grid is not None:
        scale = proposed_scale(data)
        text = "the range of the data becomes [-1, 1], which samples never leave"
        advice = f"{option('scale', scale)} suits how the channels are distributed, and cuts no extremes"
        yield Finding("scale", "note", text, advice)


def _channel_findings(data: InMemoryDataset, channel: int, name: str, limits: Limits) -> Iterator[Finding]:
    values = data.items[:, channel].flatten().float().numpy()
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low == high:
        if data.shape[0] > 1:
            text, advice = f"{name} is constant, {low:.6g}", "it comes back as that; leave it out if it says nothing"
            yield Finding("constant channel", "warning", text, advice)
        return
    shared = not isinstance(limits[0], tuple)
    first, last = limits if shared else limits[channel]  # type: ignore[misc]
    span, fill = float(last) - float(first), _fill_value(values)  # type: ignore[arg-type]
    if fill is not None:
        gaps, rest = values == fill, values[values != fill]
        row = int(gaps.argmax()) // (len(values) // len(data))
        text = f"{int(gaps.sum()):,} of {len(values):,} values of {name} are {fill:.6g}, as where values are missing"
        advice = (
            f"the others, {rest.min():.6g} to {rest.max():.6g}, are rounded away beside it: fill the gaps, or leave "
            "those items out"
        )
        names = {data.name_of(row): "the first"}
        yield Finding("fill value", "warning", text, advice, names)
        return
    few = values[:: max(1, len(values) // MOST_QUANTILES)]
    start, end = (float(one) for one in np.nanquantile(few, MIDDLE))
    used = (end - start) / span
    if used >= LEAST_USED:
        return
    range_ = f"{100 * used:.2g} % of the range {first:.6g} to {last:.6g}"
    text = f"99 % of the values of {name} are {start:.6g} to {end:.6g}, {range_}"
    if not data.items.is_floating_point():  # their range is that of their bits, whatever they use
        yield Finding("range", "warning", text, "save the array as float32, whose range is that of the data")
        return
    if shared and (end - start) >= LEAST_USED * (high - low):  # the others have the range
        yield Finding("range", "warning", text, f"{option('ranges', 'channel')} gives each channel its own range")
        return
    furthest = int(np.nanargmax(np.maximum(start - values, values - end)))
    row = furthest // (len(values) // len(data))
    advice = (
        "what lies between is rounded away: correct or leave out outliers, or scale values of many sizes by "
        f"{option('scale', 'log1p')}"
    )
    yield Finding("range", "warning", text, advice, {data.name_of(row): f"{values[furthest]:.6g}"})


def _fill_value(values: NDArray[np.float32]) -> float | None:
    """A number that stands for missing values, beside which the others take less than half of the range."""
    low, high = values.min(), values.max()
    for end in (low, high):
        if any(abs(end - fill) <= 1e-6 * abs(fill) for fill in FILL_VALUES):
            rest = values[values != end]
            if rest.max() - rest.min() < (high - low) / 2:
                return float(end)
    return None


def order_finding(data: Dataset) -> Iterator[Finding]:
    """Find whether items are nearer to the next one in the order of the data than to others of their class, so that
    single items that are held out have neighbours in the training data.
    """
    count, generator = len(data), torch.Generator().manual_seed(0)
    pairs = list[tuple[int, int, int]]()
    for row in evenly_spaced(ORDERED_PAIRS, count - 1) if count >= LEAST_ORDERED else []:
        alike = torch.arange(count) if data.labels is None else (data.labels == data.labels[row]).nonzero().flatten()
        alike = alike[(alike - row).abs() > 1]
        if len(alike) and (data.labels is None or data.labels[row] == data.labels[row + 1]):
            pairs.append((row, row + 1, int(alike[torch.randint(len(alike), (), generator=generator)])))
    distances = list[tuple[float, float]]()
    for rows in pairs:
        with suppress(Unreadable):
            one, following, other = (data.codec.encode(data.read(row)[0][None]) for row in rows)
            distances.append((float((one - following).norm()), float((one - other).norm())))
    nearer = sum(near < far for near, far in distances)
    if len(distances) < LEAST_ORDERED // 2 or nearer < NEARER * len(distances):
        return
    near, far = (sum(part) for part in zip(*distances, strict=True))
    if near >= NEAR * far:
        return
    text = (
        f"the data are in order: {nearer} of {len(distances)} items are nearer to the next one than to a random one, "
        f"on average at {near / far:.2g} of its distance"
    )
    advice = (
        f"single items that are held out have neighbours in the training data, so {option('validation', 0.1)} takes "
        f"memorised items for understood ones: {option('validation', '0.1:blocks')} holds out runs of items"
    )
    yield Finding("order", "warning", text, advice)


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
