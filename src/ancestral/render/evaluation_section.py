"""The part of report.html that tells of an evaluation: from the files that it left, so that any page can have it."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ancestral.render import summary as words
from ancestral.render.summary import Table, read

PICTURES = {"memorisation.png": "Samples that come nearest to a training item, each above that item.",
            "likelihood.png": "What a step costs, and how well x_0 is known when so much was paid."}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What the page shows of an evaluation."""

    step: int
    setting: dict[str, str]
    table: Table | None
    others: dict[str, str]
    likelihood: dict[str, str]
    notes: list[str]
    pictures: list[tuple[Image.Image, str]]


def measured(folder: Path) -> Measured | None:
    """What lies in an evaluation's folder; None where nothing does. What is damaged is left out."""
    found = read(folder)
    trees = [tree for tree in (found.samples, found.likelihood) if tree is not None]
    if not trees:
        return None
    drawn = found.samples
    return Measured(
        max(words.step(tree) for tree in trees),
        {} if drawn is None else words.setting(drawn),
        None if drawn is None else words.table(drawn),
        {} if drawn is None else words.others(drawn),
        {} if found.likelihood is None else words.about_likelihood(found.likelihood),
        [note for tree in trees for note in words.notes(tree)],
        [(image, text) for name, text in PICTURES.items() if (image := _opened(folder / name)) is not None],
    )


def _opened(path: Path) -> Image.Image | None:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # all that Pillow says of damaged files
        return None
