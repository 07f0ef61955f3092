"""The section of report.html on evaluations, from the files that they left in the run folder."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ancestral.results import EvaluationResult, Table

PICTURES = {
    "memorisation.png": "Samples that are nearest to a training item, each above that item.",
    "likelihood.png": "Bits/dim of each step, and the error of x̂_0 against the bits/dim sent so far.",
}


@dataclass(frozen=True)
class EvaluationSection:
    """What the report shows of an evaluation."""

    step: int
    distances: Table | None
    facts: list[dict[str, str]]
    notes: list[str]
    pictures: list[tuple[Image.Image, str]]


def evaluation_section(folder: Path) -> EvaluationSection | None:
    """Collect what lies in an evaluation's folder; None if nothing does. Damaged files are left out."""
    found = EvaluationResult.load(folder)
    samples, likelihood = found.samples, found.likelihood
    if not found.measured:
        return None
    facts = [] if samples is None else [samples.other_metrics(), samples.settings()]
    return EvaluationSection(
        max(part.model.step if part.model is not None else 0 for part in found.measured),
        None if samples is None else samples.distance_table(),
        facts + ([] if likelihood is None else [likelihood.summary()]),
        [note for part in found.measured for note in part.all_notes],
        [(image, text) for name, text in PICTURES.items() if (image := _open(folder / name)) is not None],
    )


def _open(path: Path) -> Image.Image | None:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged files
        return None
