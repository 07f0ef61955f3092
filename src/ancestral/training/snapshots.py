"""Snapshots of the power-function averages in a run folder, from which averages of other lengths are made.

snapshots/000064.safetensors    both averages after step 64, by length and parameter name

They are written at the multiples of a power of two, and where training ends. A run of more steps has a larger power,
and removes the snapshots between its multiples, so their number is bounded whatever the number of steps.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral import storage
from ancestral.errors import InputError
from ancestral.training.averages import LENGTHS, coefficients

FORMAT = "ancestral-snapshot-1"
PAIRS, FEWEST = 16, 8
"""By default there are at most PAIRS snapshots, and none where fewer than FEWEST fit into BYTES."""
BYTES = 500_000_000
PREFIXES = tuple(f"average.{length:g}." for length in LENGTHS)
"""What stands before the parameters' names, in snapshots and in checkpoints."""


def default_pairs(pair: int) -> int:
    """Choose the largest number of snapshots of `pair` bytes each: 0 where they are too large to keep unasked."""
    fitting = min(PAIRS, BYTES // max(1, pair))
    return fitting if fitting >= FEWEST else 0


def interval(steps: int, pairs: int) -> int:
    """Return the smallest power of two in whose steps at most `pairs` snapshots lead to the last of all steps."""
    return 1 << (-(-steps // pairs) - 1).bit_length()


@dataclass(frozen=True)
class Snapshots:
    """The snapshots in a folder."""

    folder: Path

    def steps(self) -> list[int]:
        """List the steps of the snapshots, oldest first."""
        return sorted(int(path.stem) for path in self.folder.glob("*.safetensors") if path.stem.isdecimal())

    def path(self, step: int) -> Path:
        """The file of a step."""
        return self.folder / f"{step:06d}.safetensors"

    def paths(self) -> list[Path]:
        """List the files of the snapshots, oldest first: averages depend on older ones least."""
        return [self.path(step) for step in self.steps()]

    def write(self, step: int, tensors: Mapping[str, Tensor], every: int) -> None:
        """Write the snapshot of a step, and keep of the others those at earlier multiples of `every`.

        Raises OSError if it cannot be written; the others stay.
        """
        storage.write_tensors(self.path(step), tensors, {"format": FORMAT, "step": str(step)})
        for other in self.steps():
            if other > step or (other < step and other % every):
                self.path(other).unlink(missing_ok=True)

    def forget(self, step: int) -> None:
        """Remove the snapshots after a step, from which training goes on."""
        for later in self.steps():
            if later > step:
                with contextlib.suppress(OSError):
                    self.path(later).unlink()

    def reconstruct(self, length: float, end: int | None = None) -> tuple[dict[str, Tensor], float]:
        """Combine the snapshots into the average of a length, summed in float64.

        Args:
            length: σ_rel of the average.
            end: The last step of the average, of which there is a snapshot; None is the last snapshot.

        Returns:
            The weights by parameter name, in their own number format, and the error of the profile as `coefficients`
            has it.

        Raises:
            InputError: If the length is out of range, or a snapshot is damaged.
        """
        steps = [step for step in self.steps() if end is None or step <= end]
        factors, error = coefficients(steps, length)
        sums, formats = dict[str, Tensor](), dict[str, torch.dtype]()
        for step, row in zip(steps, factors.tolist(), strict=True):
            tensors, metadata = storage.read_tensors(self.path(step))
            if metadata != {"format": FORMAT, "step": str(step)}:
                raise InputError(f"{self.path(step)} is no snapshot of step {step}: remove it")
            for factor, prefix in zip(row, PREFIXES, strict=True):
                part = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
                if sums and part.keys() != sums.keys():
                    raise InputError(f"{self.path(step)} is of another network than the other snapshots: remove it")
                for name, value in part.items():
                    formats[name] = value.dtype
                    sums[name] = factor * value.double() + sums.get(name, 0)
        return {name: value.to(formats[name]) for name, value in sums.items()}, error
