"""Samples on disk, drawn once: whole files of neighbouring items, so that any number of processes may draw them, and an
evaluation that was killed goes on where it was.

KEY/recipe.json                  all that decides the items; KEY is a hash of it
KEY/000064-000127.safetensors    items 64 to 127
KEY/features/                    what an extractor made of them (metrics/cache.py)
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral import __version__, storage
from ancestral.errors import InputError
from ancestral.model import Model
from ancestral.samplers import Sampler

NAME = re.compile(r"(\d{6,})-(\d{6,})\.safetensors")


@dataclass(frozen=True)
class Recipe:
    """All that decides what item i is. The size of the batch, the device and the number of processes do not."""

    model: str
    """SHA-256 of the model file."""
    sampler: str
    """The sampler with all its settings, as `repr` writes it."""
    seed: int = 0
    label: int | str | None = None
    """The class that is drawn; None is all in turn."""
    guidance: float = 1.0
    version: str = __version__
    """Of this package: the next may sample better."""

    @property
    def key(self) -> str:
        """The name of the folder: a hash, since what has other samples must have another name."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Drawn:
    """The samples of a recipe, as many as there are."""

    folder: Path
    shape: tuple[int, ...]
    dtype: torch.dtype

    @staticmethod
    def of(model: Model, recipe: Recipe, home: Path) -> "Drawn":
        """Those in the folder of the recipe in `home`, which need not be there yet."""
        return Drawn(home / recipe.key, model.spec.shape, model.spec.codec.dtype)

    def parts(self) -> dict[range, Path]:
        """The whole files and the items that they hold. What is no whole file of samples is removed."""
        found = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            match = NAME.fullmatch(path.name)
            if path.is_dir():
                raise InputError(f"{path} is a folder where samples are kept; move it away")
            if match and int(match[1]) <= int(match[2]):
                try:
                    storage.read_metadata(path)
                except InputError:  # damaged on the disk; a killed process leaves none
                    path.unlink(missing_ok=True)
                    continue
                found[range(int(match[1]), int(match[2]) + 1)] = path
        return found

    def count(self, n: int) -> int:
        """How many of the items 0..n−1 are there."""
        return n - sum(len(part) for part in self.missing(n, n))

    def missing(self, n: int, size: int) -> list[range]:
        """Those of 0..n−1 that are not there, in order, in batches of neighbours of at most `size`."""
        gaps, end = [], 0
        for part in [*sorted(self.parts(), key=lambda part: part.start), range(n, n)]:
            gaps.append(range(end, min(part.start, n)))
            end = max(end, part.stop)
        return [gap[first : first + size] for gap in gaps for first in range(0, len(gap), size)]

    def write(self, part: range, items: Tensor) -> None:
        """Keep items `part`, decoded. Raises OSError where they cannot be written."""
        path = self.folder / f"{part.start:06d}-{part.stop - 1:06d}.safetensors"
        storage.write_tensors(path, {"items": items}, {"sha256": _digest(items)})

    def read(self, n: int) -> Tensor | None:
        """Items 0..n−1 (n, *shape), decoded; None where some are not there. What is not as it should be is removed."""
        items = torch.empty(n, *self.shape, dtype=self.dtype)
        for part, path in self.parts().items():
            if part.start >= n:
                continue
            tensors, facts = storage.read_tensors(path)
            held = tensors.get("items")
            whole = held is not None and held.shape == (len(part), *self.shape) and held.dtype == self.dtype
            if held is None or not whole or facts.get("sha256") != _digest(held):
                path.unlink(missing_ok=True)
                continue
            items[part.start : part.stop] = held[: n - part.start]
        return None if self.missing(n, n) else items


def _digest(items: Tensor) -> str:
    """Of the bytes, so that one that a disk got wrong is noticed."""
    return hashlib.sha256(items.contiguous().numpy().data).hexdigest()


def draw(model: Model, sampler: Sampler, recipe: Recipe, drawn: Drawn, parts: Iterable[range]) -> Iterator[float]:
    """Draw each of `parts` in one batch and keep it. After each step: how many items' worth of the work it was.

    Conditional models draw their classes in turn. Raises InputError for samples that are no finite numbers.
    """
    path = drawn.folder / "recipe.json"
    if not path.exists():
        storage.write_text(path, json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
    steps = len(sampler.times(model.denoiser.schedule)) - 1
    for part in parts:
        for step in model.trajectory(part, sampler, recipe.seed, recipe.label, recipe.guidance):
            if step.t == 0:
                drawn.write(part, model.spec.codec.decode(step.x).cpu())
            if step.index:
                yield len(part) / steps
