"""What is wrong with the data, or might be, each with what to do about it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ancestral.config import Config, DataConfig
from ancestral.doctor.cost import Estimate
from ancestral.doctor.duplicates import Group
from ancestral.doctor.files import LOST, Kind
from ancestral.doctor.survey import Files
from ancestral.doctor.values import Values

Level = Literal["error", "warning", "note"]
EPOCHS = 100
"""Passes over the data after which a network that could hold it is likely to."""
UNEVEN = 5
"""How many times the smallest class the largest may be."""
FEW = 20
"""Images of a class below which it is hardly learned."""


@dataclass(frozen=True)
class Finding:
    """One line of what is the case, one of what to do, and the files or items in question, each with a remark."""

    code: str
    level: Level
    """error: it cannot be trained on, or is lost; warning: it will hurt; note: good to know."""
    text: str
    advice: str
    names: Mapping[str, str] = field(default_factory=dict)


SKIPPED = "training skips what cannot be read"
MEND: dict[Kind, str] = {
    "corrupt": f"fetch it again, or delete it: {SKIPPED}",
    "empty": f"fetch it again, or delete it: {SKIPPED}",
    "not_image": "convert it to PNG or JPEG, or delete it",
    "too_large": "shrink it: no training needs such a size",
    "loop": "delete the link",
    "unreadable": f"mend its permissions or its link, or delete it: {SKIPPED}",
}
ODD: dict[str, tuple[Level, str, str]] = {
    "suffix": ("note", "of another format than the name says", "nothing is needed: the contents decide"),
    "animated": ("warning", "animated", "only the first frame is trained on: save the frames as files to use all"),
    "mode": ("warning", "in the colours of print or measurement (CMYK and such)", "convert to RGB by its "
             "colour profile, if exact colours matter: the profile is not used here"),
    "deep": ("note", "of more than 8 bits a channel", "rounded to 8, unless all files are 16-bit grey"),
    "unread": ("warning", "of a kind that is not read", "convert to PNG or JPEG to train on it"),
}  # fmt: skip
"""What is said of each kind after "1 file is", and what to do."""


def of_files(files: Files, config: DataConfig) -> Iterator[Finding]:
    """What the files of a folder show."""
    for kind, said in LOST.items():
        names = {lost.name: lost.reason for lost in files.lost if lost.kind == kind}
        if names:
            yield Finding(kind, "warning", f"{_are(len(names), 'file')} {said}", MEND[kind], names)
    for code, (level, text, advice) in ODD.items():
        if code == "deep" and all(mode.startswith("I") for mode in files.modes):
            advice = "all are grey, so training keeps their bits (--bits 8 rounds them); the figures here are of 8"
        if names := files.odd.get(code, {}):
            yield Finding(code, level, f"{_are(len(names), 'file')} {text}", advice, names)
    yield from _of_shapes(files, config.image_size)
    grey = sum(count for mode, count in files.modes.items() if mode[0] in "1LI")
    if 0 < grey < files.read and config.channels != 1:
        text = f"{grey:,} of {files.read:,} files are grey, the others in colour"
        yield Finding("mixed_modes", "note", text, "grey ones are used as grey RGB; --channels 1 makes all grey")
    if files.transparent:
        text = f"{_are(files.transparent, 'file')} partly transparent, laid on {config.background}"
        yield Finding(
            "transparent", "note", text, "--background chooses the colour, which the model learns with the rest"
        )
    if files.rotated:
        text = f"{_are(files.rotated, 'photograph')} turned upright by the EXIF block"
        yield Finding("rotated", "note", text, "nothing is needed")


def _of_shapes(files: Files, image_size: int | None) -> Iterator[Finding]:
    sizes = (*files.width, *files.height)
    if image_size is None and (files.width[0] != files.width[2] or files.height[0] != files.height[2]):
        text = f"the sizes differ, from {files.width[0]} x {files.height[0]} to {files.width[2]} x {files.height[2]}"
        yield Finding("sizes", "error", text, "give --image-size N: all are cropped and resized to it")
    if tiny := files.odd.get("tiny", {}):
        text = f"{_are(len(tiny), 'file')} smaller than {image_size or 8} pixels"
        advice = "leave them out, or take a smaller --image-size: what is enlarged is blurred, and so the model draws"
        yield Finding("tiny", "warning", text, advice, tiny)
    if image_size is not None:
        if image_size < min(sizes) // 4:
            text = f"the smallest side is {min(sizes)} pixels, and training is at {image_size}"
            yield Finding("shrunk", "note", text, "a larger --image-size keeps more detail, at more time a step")
        cropped, some = files.odd.get("cropped", {}), files.cropped > 0.05 and len(files.ratios) > 1
        if cropped or some:
            text = f"shapes are mixed: the crop to the centre square throws away {files.cropped:.0%} of the pixels"
            if cropped:
                text += f", and over a third of {plural(len(cropped), 'file')}"
            advice = "crop the pictures yourself where the subject is not in the middle"
            yield Finding("aspect", "warning" if cropped else "note", text, advice, cropped)


def of_duplicates(
    groups: Sequence[Group], title: Callable[[int], str], label: Callable[[int], str]
) -> Iterator[Finding]:
    """Items that are there twice; `title` and `label` give an item's name and its class."""
    copies = [(group.kind, group.members[0], member) for group in groups for member in group.members[1:]]
    sentences = {
        "same": ("duplicates", "the same pixels as another", "the same pixels as"),
        "alike": ("near_duplicates", "the same look as another", "looks the same as"),
    }
    for kind, (code, text, remark) in sentences.items():
        if found := {title(copy): f"{remark} {title(first)}" for of, first, copy in copies if of == kind}:
            advice = "delete the copies: they count twice, and what is seen more often is sooner learned by heart"
            yield Finding(code, "warning", f"{plural(len(found), 'item')} with {text}", advice, found)
    crossing = {
        title(copy): f"in the class {label(copy)}, but {title(first)} in {label(first)}"
        for _, first, copy in copies
        if label(copy) != label(first)
    }
    if crossing:
        advice = "decide for one of them: two labels for one picture say nothing"
        yield Finding("two_classes", "warning", f"{_are(len(crossing), 'picture')} in two classes", advice, crossing)


def of_classes(classes: Mapping[str, int]) -> Iterator[Finding]:
    """How even the classes are."""
    if empty := {name: "no image that can be read" for name, count in classes.items() if not count}:
        yield Finding("empty_class", "warning", f"{_are(len(empty), 'class')} empty", "add images or delete it", empty)
    counts = [count for count in classes.values() if count]
    if not counts:
        return
    if len(counts) == 1:
        text = "there is one class alone"
        yield Finding("one_class", "note", text, "--no-class-labels leaves it out; or train on the folder inside")
    if max(counts) > UNEVEN * min(counts):
        text = f"classes are uneven: the largest has {max(counts):,}, the smallest {min(counts):,}"
        advice = "add to the small ones: what is rare is drawn worse"
        yield Finding("imbalance", "warning", text, advice)
    if few := {name: f"{count}" for name, count in classes.items() if 0 < count < FEW}:
        text = f"{plural(len(few), 'class')} with fewer than {FEW} items"
        yield Finding("small_class", "warning", text, "add images, or merge classes, or --no-class-labels", few)


def of_values(values: Values) -> Iterator[Finding]:
    """What the numbers show."""
    if values.flat:
        text = f"{_are(values.flat, 'item')} of one colour throughout"
        yield Finding("flat", "warning" if values.flat > 1 else "note", text, "leave them out if that is an accident")
    if values.dtype == "uint8":
        if values.high <= 1:
            text = f"all bytes are {values.low:.0f} or {values.high:.0f}, so the images are black to the model"
            yield Finding("range", "warning", text, "were they scaled to 0..1? Multiply by 255 before saving as bytes")
        elif values.high - values.low < 128:
            text = f"only the levels {values.low:.0f} to {values.high:.0f} of 0 to 255 are used"
            yield Finding("range", "warning", text, "stretch the contrast, if that is no accident: the rest is wasted")
    if len(values.mean) == 3 and values.grey == values.count:
        text = "all images are grey, and stored in three equal channels"
        yield Finding("grey", "note", text, "--channels 1 is a third of the data, and the model cannot tint them")


def of_training(count: int, config: Config, estimate: Estimate | None) -> Iterator[Finding]:
    """What the data and the preset say of each other."""
    epochs = config.train.steps * config.train.batch_size / count
    if estimate is not None:
        numbers = count * math.prod(estimate.shape)
        if estimate.parameters > numbers and epochs > EPOCHS:
            text = (
                f"{plural(count, 'item')} for {estimate.parameters:,} parameters: the data has fewer numbers than the "
                f"network, and each item is seen {epochs:,.0f} times, so it will be learned by heart (memorisation)"
            )
            enough = -(-estimate.parameters * count // numbers)
            steps = max(1, int(EPOCHS * count / config.train.batch_size))
            advice = f"use {enough:,} items or more, or a smaller --width, or stop early: --steps {steps:,}"
            yield Finding("memorisation", "warning", text, advice)
        elif epochs > 10 * EPOCHS:
            text = f"each item is seen {epochs:,.0f} times"
            yield Finding("epochs", "note", text, "more items, or fewer --steps, leave less to be learned by heart")
        yield from _of_machine(estimate)
    if count < config.train.batch_size:
        text = f"there are fewer items ({count:,}) than in one batch ({config.train.batch_size:,})"
        yield Finding("few", "warning", text, f"each batch repeats some; take --batch-size {count}")


def _of_machine(estimate: Estimate) -> Iterator[Finding]:
    if estimate.memory > estimate.available:
        text = f"training takes about {size(estimate.memory)}, and {size(estimate.available)} are free"
        yield Finding("memory", "warning", text, "take a smaller --batch-size, --width or --image-size")
    if estimate.seconds > 86400 and estimate.device == "cpu":
        text = f"all steps take {estimate.seconds / 86400:,.1f} days on this machine"
        yield Finding("time", "warning", text, "use a GPU, fewer --steps, or a smaller --width or --image-size")


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def plural(count: int, what: str) -> str:
    """So many of a thing: 1 class, 2 classes."""
    return f"{count:,} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")


def _are(count: int, what: str) -> str:
    return f"{plural(count, what)} {'is' if count == 1 else 'are'}"
