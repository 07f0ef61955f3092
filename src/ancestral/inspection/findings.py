"""What is wrong with a data set, or may be, each with what to do about it."""

import math
from collections.abc import Iterator, Mapping, Sequence

from ancestral.config import Config, DataConfig
from ancestral.config.image_size import parse_image_size
from ancestral.data import Dataset
from ancestral.data.convert import Conversion, crop_note
from ancestral.data.spec import CROP_NOTED, NOTHING_TO_LEARN
from ancestral.inspection.near_duplicates import Groups
from ancestral.options import option
from ancestral.quantities import format_bytes, plural
from ancestral.results.data_report import FileStatistics, Finding, TrainingCost, ValueStatistics
from ancestral.results.estimate import Estimate

EPOCHS = 100
"""Number of passes over the data after which a network that could memorise it is likely to have done so."""
FEW_ITEMS = 100
"""Number of items below which those that may be memorised will probably be."""
UNEVEN = 5
"""The largest ratio of the largest class to the smallest."""
FEW = 20
"""Number of images below which a class is hardly learned."""
SKIPPED = "training skips what cannot be read"
FAULTS = {
    "corrupt": ("damaged: it cannot be decoded to its end", f"fetch it again, or delete it: {SKIPPED}"),
    "empty": ("zero bytes long", f"fetch it again, or delete it: {SKIPPED}"),
    "not_image": ("no image, whatever the name says", "convert it to PNG or JPEG, or delete it"),
    "too_large": ("too large to be decoded safely", "shrink it: no training needs such a size"),
    "loop": ("in a circle of symbolic links", "delete the link"),
    "unreadable": ("out of reach", f"mend its permissions or its link, or delete it: {SKIPPED}"),
}
"""Why a file cannot be read: the end of "1 file is ...", and what to do."""
UNUSUAL = {
    "suffix": ("note", "of another format than the name says", "nothing is needed: the contents decide"),
    "animated": ("warning", "of several frames or pages", "only the first is trained on: save the "
                 "others as files to use all"),
    "mode": ("warning", "in the colours of print or measurement (CMYK and such)", "convert to RGB by its "
             "colour profile, if exact colours matter: the profile is not used here"),
    "deep": ("note", "of more than 8 bits a channel", "rounded to 8, unless all files are 16-bit grey"),
    "unread": ("warning", "of a kind that is not read", "convert to PNG or JPEG to train on it"),
}  # fmt: skip
"""What is unusual about a file: the level, the end of "1 file is ...", and what to do."""


def file_findings(files: FileStatistics, config: DataConfig) -> Iterator[Finding]:
    """Find what is wrong with the files of a folder."""
    for kind, (fault, advice) in FAULTS.items():
        if names := {file.name: file.reason for file in files.unreadable if file.kind == kind}:
            yield Finding(kind, "warning", f"{_are(len(names), 'file')} {fault}", advice, names)
    for code, (level, text, advice) in UNUSUAL.items():
        if code == "deep" and all(mode.startswith("I") for mode in files.modes):
            advice = (
                f"all are grey, so training keeps their bits ({option('bits', 8)} rounds them); the statistics "
                "here are of 8 bits"
            )
        if names := files.unusual.get(code, {}):
            yield Finding(code, level, f"{_are(len(names), 'file')} {text}", advice, names)
    yield from _size_findings(files, config)
    grey = sum(count for mode, count in files.modes.items() if mode[0] in "1LI")
    if 0 < grey < files.read and config.channels != 1:
        text = f"{grey:,} of {files.read:,} files are grey, the others in colour"
        advice = f"grey ones are used as grey RGB; {option('channels', 1)} makes all grey"
        yield Finding("mixed_modes", "note", text, advice)
    if blank := files.unusual.get("blank", {}):
        other = "black" if sum(Conversion(background=config.background).background_rgb) > 3 * 127 else "white"
        text = f"{_are(len(blank), 'file')} of one colour when laid on {config.background}, the background"
        advice = f"{option('background', other)} shows them, and {option('channels', 4)} keeps alpha"
        yield Finding("blank", "warning", text, advice, blank)
    if files.transparent and config.channels not in (2, 4):
        text = f"{_are(files.transparent, 'file')} partly transparent, laid on {config.background}"
        advice = f"{option('background')} chooses the colour, which the model learns with the rest"
        yield Finding("transparent", "note", text, advice)
    if files.rotated:
        text = f"{_are(files.rotated, 'photograph')} turned upright by the EXIF block"
        yield Finding("rotated", "note", text, "nothing is needed")


def _size_findings(files: FileStatistics, config: DataConfig) -> Iterator[Finding]:
    (low_width, _, high_width), (low_height, _, high_height) = files.width, files.height
    smallest, tiny = min(low_width, low_height), files.unusual.get("tiny", {})
    size = None if config.image_size is None else parse_image_size(config.image_size)
    one_size = low_width == high_width and low_height == high_height
    if size is None and not one_size:
        text = f"the sizes differ, from {low_height}x{low_width} to {high_height}x{high_width} (height x width)"
        yield Finding("sizes", "error", text, f"give {option('image_size', 'HxW')}: all are cropped and resized to it")
    same_shape = one_size and size is not None and files.cropped > CROP_NOTED
    if tiny and not same_shape:  # else all files are smaller, and the size that keeps their shape is their own
        text = f"{_are(len(tiny), 'file')} smaller than {config.image_size or 8} pixels"
        advice = (
            f"leave them out, or take a smaller {option('image_size')}: enlarged images are blurred, and so are the "
            "samples"
        )
        yield Finding("tiny", "warning", text, advice, tiny)
    if size is None:
        return
    if max(size) < smallest // 4:
        text = f"the smallest side is {smallest} pixels, and training is at {config.image_size}"
        yield Finding("shrunk", "note", text, f"a larger {option('image_size')} keeps more detail, at more time a step")
    cropped = files.unusual.get("cropped", {})
    level = "warning" if cropped else "note"
    if same_shape:
        yield Finding("aspect", level, *crop_note("all images are", low_height, low_width, size))
    elif cropped or (files.cropped > CROP_NOTED and len(files.ratios) > 1):
        text = f"shapes are mixed: the crop to {size[0]}x{size[1]} throws away {files.cropped:.0%} of the pixels"
        if cropped:
            text += f", and over a third of {plural(len(cropped), 'file')}"
        advice = (
            "crop the pictures yourself where the subject is not in the middle, or keep all of each by "
            f"{option('fit', 'pad')}"
        )
        yield Finding("aspect", level, text, advice, cropped)
    elif files.cropped > CROP_NOTED:
        note = crop_note("the median image is", files.height[1], files.width[1], size)
        yield Finding("aspect", level, *note)


def unreadable_finding(names: dict[str, str]) -> Finding:
    """Name what cannot be read of data that are no images, each with the reason."""
    return Finding(
        "unreadable", "warning", f"{plural(len(names), 'file')} cannot be read", f"mend it: {SKIPPED}", names
    )


def duplicate_findings(groups: Mapping[str, Groups], dataset: Dataset, classes: Mapping[str, int]) -> Iterator[Finding]:
    """Find the items of a data set that are there twice, and those of them that have two classes."""
    sentences = {
        "same": ("duplicates", "the same pixels as another", "the same pixels as"),
        "alike": ("near_duplicates", "the same look as another", "looks the same as"),
    }
    labels, class_names, crossing = dataset.labels, list(classes), dict[str, str]()
    for kind, (code, text, remark) in sentences.items():
        copies: dict[str, str] = {}
        for original, *others in groups[kind]:
            first = dataset.name_of(original)
            for copy in others:
                name = dataset.name_of(copy)
                copies[name] = f"{remark} {first}"
                if labels is not None and labels[copy] != labels[original]:
                    one, other = (class_names[int(labels[item])] for item in (copy, original))
                    crossing[name] = f"in the class {one}, but {first} in {other}"
        if copies:
            advice = "delete the copies: they count twice, and items seen more often are memorised sooner"
            yield Finding(code, "warning", f"{plural(len(copies), 'item')} with {text}", advice, copies)
    if crossing:
        advice = "keep one of them: two labels for one picture contradict each other"
        yield Finding("two_classes", "warning", f"{_are(len(crossing), 'picture')} in two classes", advice, crossing)


def class_findings(classes: Mapping[str, int]) -> Iterator[Finding]:
    """Find empty, small and uneven classes."""
    if empty := {name: "no image that can be read" for name, count in classes.items() if not count}:
        yield Finding("empty_class", "warning", f"{_are(len(empty), 'class')} empty", "add images or delete it", empty)
    counts = [count for count in classes.values() if count]
    if not counts:
        return
    if len(counts) == 1:
        text = "there is one class alone"
        advice = f"{option('class_labels', False)} leaves it out; or train on the folder inside"
        yield Finding("one_class", "note", text, advice)
    if max(counts) > UNEVEN * min(counts):
        text = f"classes are uneven: the largest has {max(counts):,}, the smallest {min(counts):,}"
        yield Finding("imbalance", "warning", text, "add to the small ones: samples of rare classes are worse")
    if few := {name: f"{count}" for name, count in classes.items() if 0 < count < FEW}:
        text = f"{plural(len(few), 'class')} with fewer than {FEW} items"
        advice = f"add images, or merge classes, or {option('class_labels', False)}"
        yield Finding("small_class", "warning", text, advice, few)


def value_findings(values: ValueStatistics, flat: Sequence[str] = ()) -> Iterator[Finding]:
    """Find items of one colour, of which `flat` are the names, unused levels, and colour images without colour."""
    if flat:
        text = f"{_are(len(flat), 'item')} of one colour throughout"
        level = "warning" if len(flat) > 1 else "note"
        yield Finding("flat", level, text, "leave them out if that is an accident", dict.fromkeys(flat, "one colour"))
    if values.low == values.high:
        yield Finding("constant", "error", f"the data holds nothing but the value {values.low:g}", NOTHING_TO_LEARN)
    elif values.dtype == "uint8":
        if values.high <= 1:
            text = f"all bytes are {values.low:.0f} or {values.high:.0f}, so the images are black to the model"
            yield Finding("range", "warning", text, "were they scaled to 0..1? Multiply by 255 before saving as bytes")
        elif values.high - values.low < 128:
            text = f"only the levels {values.low:.0f} to {values.high:.0f} of 0 to 255 are used"
            yield Finding("range", "warning", text, "stretch the contrast, if that is no accident: the rest is wasted")
    if len(values.mean) == 3 and values.grey == values.count:
        text = "all images are grey, and stored in three equal channels"
        advice = f"{option('channels', 1)} is a third of the data, and the model cannot tint them"
        yield Finding("grey", "note", text, advice)


def mirroring_findings(mirroring: Estimate | None, flip: bool) -> Iterator[Finding]:
    """Find whether mirroring half of the images, which `flip` does, suits the data."""
    if mirroring is None or mirroring.error is None:
        return
    differs = mirroring.value - 0.5 > 4 * mirroring.error
    if differs and mirroring.value > 0.6 and flip:
        text = f"half of the images are mirrored, and mirrored ones do not look like the data ({mirroring.percent})"
        yield Finding("mirrored", "warning", text, f"leave {option('flip')} out, or the model learns mirrored images")
    elif not differs and not flip:
        text = "mirrored images look like the data"
        yield Finding("mirror", "note", text, f"{option('flip', True)} trains on them too, which helps small data sets")


def memorisation_finding(count: int, shape: Sequence[int], parameters: int, config: Config) -> Finding | None:
    """Find whether `count` items of a shape may be memorised by a network of `parameters` weights.

    This is no forecast: 30 photographs were copied where 132, in a network larger than the data, were not.
    """
    batch = config.train.batch_size
    assert batch is not None  # chosen by then
    epochs = config.train.steps * batch / count
    if parameters <= count * math.prod(shape) or epochs <= EPOCHS:
        return None
    chance = "will probably" if count < FEW_ITEMS else "may"
    text = (
        f"{plural(count, 'item')} for {parameters:,} parameters: the data has fewer numbers than the network, and each "
        f"item is seen {epochs:,.0f} times, so they {chance} be memorised"
    )
    held_out = config.data.validation is not None
    see = "watch the validation loss" if held_out else f"hold out 10 % and see ({option('validation', 0.1)})"
    return Finding("memorisation", "warning", text, f"{see}; ancestral evaluate measures how many samples are copies")


def training_findings(count: int, config: Config, cost: TrainingCost | None) -> Iterator[Finding]:
    """Find what speaks against training on `count` items by this config, and at this cost if it is known."""
    batch = config.train.batch_size
    assert batch is not None  # chosen by then
    epochs = config.train.steps * batch / count
    if cost is not None:
        memorised = memorisation_finding(count, cost.shape, cost.parameters, config)
        if memorised is not None:
            yield memorised
        elif epochs > 10 * EPOCHS:
            text = f"each item is seen {epochs:,.0f} times"
            yield Finding("epochs", "note", text, f"more items, or fewer {option('steps')}, reduce memorisation")
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


def _are(count: int, noun: str) -> str:
    return f"{plural(count, noun)} {'is' if count == 1 else 'are'}"
