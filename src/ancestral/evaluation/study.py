"""One model, one sampler, one set of data: what is drawn, looked at and measured, and in which files it is kept.

Whoever measures several (samplers, models) makes a study of each: data is looked at once, and samples are drawn once.
"""

import dataclasses
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from ancestral import __version__, storage
from ancestral.data import Dataset
from ancestral.errors import InputError
from ancestral.evaluation import drawn, quality, results
from ancestral.evaluation.drawn import Drawn, Recipe
from ancestral.evaluation.quality import Quality, Set
from ancestral.evaluation.real import Real
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features
from ancestral.model import Model
from ancestral.samplers import Sampler

DRAW = 2500
"""Samples, unless told otherwise: enough to fill the covariance of every built-in extractor's features."""


@dataclass(frozen=True)
class Study:
    """What is drawn and what it is held against."""

    model: Model
    sampler: Sampler
    recipe: Recipe
    drawn: Drawn
    count: int
    extractor: Extractor
    train: Real
    held_out: Real | None
    notes: tuple[str, ...] = ()

    def by(self, sampler: Sampler) -> "Study":
        """The same by another sampler, whose samples are kept beside these."""
        recipe = dataclasses.replace(self.recipe, sampler=repr(sampler))
        stored = Drawn.of(self.model, recipe, self.drawn.folder.parent)
        return dataclasses.replace(self, sampler=sampler, recipe=recipe, drawn=stored)

    def draw(self, parts: list[range]) -> Iterator[float]:
        """Draw and keep these items, each range in one batch; after each step, how many items' work it was."""
        return drawn.draw(self.model, self.sampler, self.recipe, self.drawn, parts)

    def sets(self, samples: Tensor) -> list[tuple[str, Tensor, Path | None]]:
        """All items whose features are needed, and where they are kept: of data in the cache, for other runs too."""
        found: list[tuple[str, Tensor, Path | None]] = [("samples", samples, self.drawn.folder / "features")]
        found.append(("training data", self.train.items, None))
        return found if self.held_out is None else [*found, ("held-out data", self.held_out.items, None)]

    def measure(self, samples: Tensor, looks: list[Features]) -> Iterator[Quality]:
        """The states of `quality.measure`, from the features of each of `sets`."""
        labels = self.model.labels(range(self.count), self.recipe.label)
        ours = Set(samples, looks[0], None if labels is None else labels.cpu())
        train = Set(self.train.items, looks[1], self.train.labels)
        held_out = None if self.held_out is None else Set(self.held_out.items, looks[2], self.held_out.labels)
        return quality.measure(ours, train, held_out, self.model.spec.codec, self.extractor, self.train.all)

    def tree(self, found: Quality, run: str) -> dict[str, Any]:
        """All that was found, for samples.json; the same for the same samples, whoever drew them and when."""
        model, recipe = self.model, self.recipe
        classes = model.spec.classes
        which = recipe.label if recipe.label is not None else f"{len(classes)} classes in turn"
        return {
            "model": {"run": run, "step": model.step, "version": model.version, "sha256": recipe.model},
            "samples": {
                "count": self.count,
                "sampler": recipe.sampler,
                "steps": len(self.sampler.times(model.denoiser.schedule)) - 1,
                "seed": recipe.seed,
                "guidance": recipe.guidance,
                "label": which if classes else None,
                "folder": self.drawn.folder.name,
            },
            "data": {
                "train": self.train.words(),
                "held_out": None if self.held_out is None else self.held_out.words(),
                "notes": list(self.notes),
            },
            **results.tree(found, self.extractor),
            "versions": {
                "ancestral": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": model.device.type,
            },
        }


def study(
    model: Model,
    sampler: Sampler,
    train: Dataset,
    held_out: Dataset | None = None,
    count: int = DRAW,
    extractor: str | None = None,
    seed: int = 0,
    guidance: float = 1.0,
    home: Path | None = None,
    splits: tuple[str, str] = ("train split", "test split"),
) -> Study:
    """The study of a model that was loaded from a file; its samples are kept in `home`, unless given beside that file.

    `splits` says in words which parts of their sources `train` and `held_out` are. `extractor` is a name as
    `metrics.extractors.extractor` takes it; None is lite0 for images of 1 or 3 channels, else pixels. Raises InputError
    for what cannot be measured, before anything is drawn.
    """
    if model.file is None:
        raise InputError("save the model and load it again: samples are kept by the hash of its file")
    facts = model.spec
    seen = len(facts.shape) == 3 and facts.shape[0] in (1, 3)
    chosen = extractors.extractor(extractor or ("lite0" if seen else "pixels"), facts.shape, facts.codec, model.device)
    recipe = Recipe(storage.sha256(model.file), repr(sampler), seed, None, guidance)
    next(model.trajectory(range(1), sampler, seed, None, guidance))  # refuses a guidance that cannot be
    real = Real.of_data(train, model, splits[0])
    unseen = None if held_out is None else Real.of_data(held_out, model, splits[1])
    quality.check(count, len(real.items), None if unseen is None else len(unseen.items))
    skipped = [f"{len(part.skipped)} of {part.name}" for part in (train, held_out) if part is not None and part.skipped]
    notes = tuple(f"Files that could not be read were left out: {words}." for words in skipped)
    stored = Drawn.of(model, recipe, home or model.file.parent / "evaluation" / "samples")
    need, free = count * math.prod(facts.shape) * stored.dtype.itemsize, psutil.virtual_memory().available
    if need > free:
        raise InputError(f"{count:,} samples take {need / 2**30:,.0f} GiB and {free / 2**30:.0f} are free; draw fewer")
    return Study(model, sampler, recipe, stored, count, chosen, real, unseen, notes)
