"""Samples on disk, each made once, in whole files of neighbouring items: any number of processes may make them, and an
evaluation that was killed goes on where it was. Samples of code that can change without notice are not kept.

KEY/recipe.json                  what decides the items (`content_of`); KEY is a hash of it
KEY/000064-000127.safetensors    items 64 to 127
KEY/features/                    their features (metrics/cache.py)
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Work, mapped
from ancestral.config import CustomNetConfig
from ancestral.config.request import Request
from ancestral.measure.item_conditions import ItemConditions
from ancestral.model import Model
from ancestral.model.process import made
from ancestral.samplers import Sampler

PACKAGE = __name__.partition(".")[0]
SAMPLE_FILE = re.compile(r"(\d{6,})-(\d{6,})\.safetensors")


def reproducible(model: Model, sampler: Sampler) -> bool:
    """Whether `content_of` decides the samples: all code that makes them is this version's of this package.

    A custom sampler, network, schedule or target can be edited while its name and the weights stay the same.
    """
    custom = isinstance(model.config.net, CustomNetConfig) or model.config.process.target == "custom"
    parts = (sampler, model.denoiser, model.denoiser.schedule)
    return not custom and all(_packaged(type(part)) for part in parts)


def _packaged(kind: type) -> bool:
    """Whether a class is of this package, and no method of it or of its bases was replaced by a custom one."""
    methods = (getattr(value, "fget", value) for base in kind.__mro__ for value in vars(base).values())
    modules = {method.__module__.partition(".")[0] for method in methods if isinstance(method, FunctionType)}
    return kind.__module__.partition(".")[0] == PACKAGE and modules <= {PACKAGE, "torch", *sys.stdlib_module_names}


def content_of(request: Request, conditions: ItemConditions | None = None) -> dict[str, object]:
    """Return all that decides what item i is, if the model and the sampler are `reproducible`, by name. The batch size,
    the device and the number of processes do not.

    Args:
        request: The request, with the sampler among its objects. Items have all classes in turn.
        conditions: The conditions that the items are given.
    """
    content = {
        "model": request.model,
        "sampler": repr(request.objects.sampler),
        "seed": request.seed,
        "label": None,
        "guidance": request.guidance,
        "version": request.version,
    }
    return content if conditions is None else content | {"conditions": conditions.digest}


def key_of(request: Request, conditions: ItemConditions | None = None) -> str:
    """Return the name of the folder: a hash of what decides the items."""
    content = json.dumps(content_of(request, conditions), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SampleStore:
    """The folder with the samples of a request, as many as there are so far."""

    folder: Path
    shape: tuple[int, ...]
    dtype: torch.dtype

    def parts(self) -> dict[range, Path]:
        """List the whole files and the items that they hold. Damaged files are removed."""
        ranges = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            match = SAMPLE_FILE.fullmatch(path.name)
            if path.is_dir():
                raise InputError(f"{path} is a folder where samples are kept; move it away")
            if match and int(match[1]) <= int(match[2]):
                try:
                    storage.read_metadata(path)
                except InputError:  # damaged on the disk; a killed process leaves none
                    path.unlink(missing_ok=True)
                    continue
                ranges[range(int(match[1]), int(match[2]) + 1)] = path
        return ranges

    def count(self, n: int) -> int:
        """Count how many of the items 0..n−1 are there."""
        return n - sum(len(part) for part in self.missing(n, n))

    def missing(self, n: int, size: int) -> list[range]:
        """List those of the items 0..n−1 that are not there, in batches of at most `size` neighbours."""
        gaps, end = [], 0
        for part in [*sorted(self.parts(), key=lambda part: part.start), range(n, n)]:
            gaps.append(range(end, min(part.start, n)))
            end = max(end, part.stop)
        return [gap[first : first + size] for gap in gaps for first in range(0, len(gap), size)]

    def write(self, part: range, items: Tensor) -> None:
        """Keep decoded items. Raises OSError if they cannot be written."""
        path = self.folder / f"{part.start:06d}-{part.stop - 1:06d}.safetensors"
        storage.write_tensors(path, {"items": items}, {})

    def read(self, n: int) -> Tensor | None:
        """Read items 0..n−1 (n, *shape), decoded; None if some are not there. Damaged files are removed."""
        items = torch.empty(n, *self.shape, dtype=self.dtype)
        for part, path in self.parts().items():
            if part.start >= n:
                continue
            stored = torch.empty(0)
            with contextlib.suppress(InputError):
                stored = storage.read_tensors(path)[0].get("items", stored)
            if stored.shape != (len(part), *self.shape) or stored.dtype != self.dtype:
                path.unlink(missing_ok=True)
                continue
            items[part.start : part.stop] = stored[: n - part.start]
        return None if self.missing(n, n) else items

    def fill(
        self,
        model: Model,
        request: Request,
        parts: Iterable[range],
        conditions: ItemConditions | None = None,
    ) -> Generator[float, None, None]:
        """Sample each range of items in one batch and keep it. Item i has condition i modulo their number.

        Yields:
            After each step, the number of items that its share of the work stands for.

        Raises:
            InputError: If samples are not finite.
        """
        path = self.folder / "recipe.json"
        if not path.exists():
            storage.write_text(path, json.dumps(content_of(request, conditions), indent=2) + "\n")
        parts = [*parts]
        of_all = dataclasses.replace(request, model="", n=max((part.stop for part in parts), default=1))
        process = model.process(of_all, None if conditions is None else conditions.inputs)
        for part in parts:
            shares = partial(_shares, len(part) / len(process.times))
            self.write(part, (yield from mapped(made(process, len(part), positions=part), shares)).samples)


def _shares(share: float, event: Event) -> list[float]:
    return [share] * isinstance(event, Work)
