"""Samples on disk, each made once, in whole files of neighbouring items: any number of processes may make them, and an
evaluation that was killed goes on where it was. Samples of code that can change without notice are not kept.

KEY/recipe.json                  the `SamplingSpec` that decides the items; KEY is a hash of it
KEY/000064-000127.safetensors    items 64 to 127
KEY/features/                    their features (metrics/cache.py)
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor

from ancestral import __version__
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.config import CustomNetConfig
from ancestral.model import Model
from ancestral.samplers import Sampler

PACKAGE = __name__.partition(".")[0]
SAMPLE_FILE = re.compile(r"(\d{6,})-(\d{6,})\.safetensors")


def reproducible(model: Model, sampler: Sampler) -> bool:
    """Whether a `SamplingSpec` decides the samples: all code that makes them is this version's of this package.

    A sampler, network, schedule or target of your own can be edited while its name and the weights stay the same.
    """
    custom = isinstance(model.config.net, CustomNetConfig) or model.config.process.target == "custom"
    parts = (sampler, model.denoiser, model.denoiser.schedule)
    return not custom and all(_packaged(type(part)) for part in parts)


def _packaged(kind: type) -> bool:
    """Whether a class is of this package, and no method of it or of its bases was replaced by one of your own."""
    methods = (getattr(value, "fget", value) for base in kind.__mro__ for value in vars(base).values())
    modules = {method.__module__.partition(".")[0] for method in methods if isinstance(method, FunctionType)}
    return kind.__module__.partition(".")[0] == PACKAGE and modules <= {PACKAGE, "torch", *sys.stdlib_module_names}


@dataclass(frozen=True)
class SamplingSpec:
    """All that decides what item i is, if the model and the sampler are `reproducible`. The batch size, the device and
    the number of processes do not.
    """

    model: str
    """SHA-256 of the model file."""
    sampler: str
    """The sampler with all its settings, as `repr` writes it."""
    seed: int = 0
    label: int | str | None = None
    """The class that samples are conditioned on; None takes all classes in turn."""
    guidance: float = 1.0
    version: str = __version__
    """Version of this package: another one may sample otherwise."""
    conditions: str = ""
    """Hash of the items whose conditions samples are given (`ItemConditions.digest`); "" where they are given none."""

    @property
    def content(self) -> dict[str, object]:
        """All fields by name, without the conditions where there are none."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name != "conditions"}

    @property
    def key(self) -> str:
        """The name of the folder: a hash of all fields."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SampleStore:
    """The folder with the samples of one `SamplingSpec`, as many as there are so far."""

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
        sampler: Sampler,
        spec: SamplingSpec,
        parts: Iterable[range],
        conditions: Callable[[range], dict[str, Tensor]] | None = None,
    ) -> Generator[float, None, None]:
        """Sample each range of items in one batch and keep it. A network gets `conditions` of the items in a range.

        Yields:
            After each step, the number of items that its share of the work stands for.

        Raises:
            InputError: If samples are not finite.
        """
        path = self.folder / "recipe.json"
        if not path.exists():
            storage.write_text(path, json.dumps(spec.content, indent=2) + "\n")
        steps = len(sampler.times(model.denoiser.schedule)) - 1
        for part in parts:
            condition = None if conditions is None else conditions(part)
            for step in model.trajectory(part, sampler, spec.seed, spec.label, spec.guidance, condition):
                if step.t == 0:
                    self.write(part, model.spec.decode(step.x).cpu())
                if step.index:
                    yield len(part) / steps
