"""Averages of the weights: the exponential one, with which samples are drawn, and power-function averages.

Two power-function averages give those of all lengths (`coefficients`). docs/explanation/theory.md derives it. They are
stored as snapshots, at the multiples of a power of two, and where training ends. A run of more steps has a larger
power, and removes the snapshots between its multiples, so their number is bounded whatever the number of steps.

snapshots/000064.safetensors    both averages after step 64, by length and parameter name
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.base import storage
from ancestral.base.errors import InputError

LENGTHS = (0.05, 0.10)
"""The lengths σ_rel of the two averages that are tracked."""
SHORTEST_LENGTH, LONGEST_LENGTH = 0.005, 12**-0.5
"""The range of σ_rel: of profiles that are much narrower than those stored little is right; 1/√12 is the plain mean of
all steps, γ = 0."""
SNAPSHOT_FORMAT = "ancestral-snapshot-1"
PAIRS, FEWEST_PAIRS = 16, 8
"""By default there are at most PAIRS snapshots, and none where fewer than FEWEST_PAIRS fit into BYTES."""
BYTES = 500_000_000
PREFIXES = tuple(f"average.{length:g}." for length in LENGTHS)
"""Prefixes of the parameters' names, in snapshots and in checkpoints."""


class Average:
    """An averaged copy of parameters. Buffers are not averaged, which is known to spoil samples.

    Args:
        parameters: The parameters.
        decay_at: The factor of the old average at an optimiser step, counted from 1.
    """

    def __init__(self, parameters: Iterable[Tensor], decay_at: Callable[[int], float]) -> None:
        self.weights, self.decay_at = [parameter.detach().clone() for parameter in parameters], decay_at

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], step: int, skipped: Tensor | None = None) -> None:
        """Update the average after optimiser step `step` (counted from 1), unless it was `skipped`, bool ()."""
        weight = 1 - self.decay_at(step)
        if skipped is None:
            torch._foreach_lerp_(self.weights, list(parameters), weight)
            return
        change = torch._foreach_sub(list(parameters), self.weights)
        torch._foreach_mul_(change, torch.where(skipped, 0.0, weight))
        torch._foreach_add_(self.weights, change)


class EMA(Average):
    """The exponential moving average.

    The decay rises to its value as (1 + step)/(10 + step), so that a short run does not average in its beginning.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        super().__init__(parameters, lambda step: min(decay, (1 + step) / (10 + step)))


class PowerAverage(Average):
    """The power-function average of length σ_rel."""

    def __init__(self, parameters: Iterable[Tensor], length: float) -> None:
        gamma = gamma_of(length)
        super().__init__(parameters, lambda step: power_decay(gamma, step))


def ema_length(decay: float, steps: int) -> float:
    """Compute σ_rel of an `EMA` after a number of steps: the standard deviation of its profile as a share of them."""
    step = torch.arange(1, steps + 1, dtype=torch.float64)
    factors = ((1 + step) / (10 + step)).clamp(max=decay)
    later = torch.cat([factors[1:].log().flip(0).cumsum(0).flip(0), step.new_zeros(1)]).exp()
    weights = later * (1 - factors)
    mean = (weights @ step) / weights.sum()
    return float((weights @ (step - mean).square() / weights.sum()).sqrt() / steps)


def power_decay(gamma: float, step: int) -> float:
    """Compute β, the factor of the average at step `step` (from 1)."""
    return float((1 - 1 / step) ** (gamma + 1))  # EDM2 (2)


def length_of(gamma: float) -> float:
    """Compute σ_rel, the standard deviation of a profile as a share of the steps."""
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))  # EDM2 (3)


def gamma_of(length: float) -> float:
    """Compute the sharpness γ ≥ 0 of a length σ_rel. Raises InputError as `check_length` does."""
    check_length(length)
    h, q = math.sqrt((length**-2 + 1 / 3) / 3), 2 / 27 + 4 / 3 * length**-2
    y = 2 * h * math.cos(math.acos(max(-1.0, -q / (2 * h**3))) / 3)  # EDM2 (4)
    return y - 1 / 3 - 2


def check_length(length: float) -> None:
    """Raise InputError unless 0.005 ≤ σ_rel ≤ 1/√12."""
    if not SHORTEST_LENGTH <= length <= LONGEST_LENGTH:
        raise InputError(
            f"an averaging length is {SHORTEST_LENGTH} to 0.2886 (1/√12, the mean of all steps), not {length:g}"
        )


def coefficients(steps: Sequence[int], length: float) -> tuple[Tensor, float]:
    """Compute the combination of stored averages that is the average of another length, up to the last stored step.

    Args:
        steps: The K steps at which the averages of `LENGTHS` were stored, rising.
        length: σ_rel of the average.

    Returns:
        Coefficients float64 (K, 2), which sum to 1; and the root mean square error of the profile, as a share of its
        root mean square.

    Raises:
        InputError: If the length is out of range.
    """
    gamma, end, powers = gamma_of(length), steps[-1], [*map(gamma_of, LENGTHS), 0.0]
    t = torch.tensor(steps, dtype=torch.float64)
    r = torch.cat([t.new_zeros(1), t[:-1]]) / t

    def inner(power: float) -> Tensor:
        return (1 - r ** (power + 1)) / (power + 1)  # EDM2 (5)

    height = (gamma + 1) / end * (t / end) ** gamma  # EDM2 (1), p at t_i
    matrix = torch.stack([torch.stack([inner(one + other) for other in powers], 1) for one in powers], 1)
    right = torch.stack([height * inner(one + gamma) for one in powers], 1)
    squares, matrix[:, 2, 2] = matrix[:, :2, :2], 0
    c = torch.linalg.solve(matrix, right)[:, :2]  # EDM2 (6)
    power = torch.tensor(powers[:2], dtype=torch.float64)
    after = torch.cat([c[1:] * (t[:-1] / t[1:])[:, None] ** power, c.new_zeros(1, 2)])
    shares = (c - after) * t[:, None] / (power + 1)  # EDM2 (7)
    total = height**2 * inner(2 * gamma)
    error = total - 2 * (c * right[:, :2]).sum(1) + (c[:, :, None] * squares * c[:, None]).sum((1, 2))
    return shares, math.sqrt(max(0.0, float(t @ error / (t @ total))))


def default_pairs(pair: int) -> int:
    """Choose the largest number of snapshots of `pair` bytes each: 0 where they are too large to keep unasked."""
    fitting = min(PAIRS, BYTES // max(1, pair))
    return fitting if fitting >= FEWEST_PAIRS else 0


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

    def write(self, step: int, tensors: Mapping[str, Tensor], every: int, run: str = "") -> None:
        """Write the snapshot of a step of a run, and keep of the others those at earlier multiples of `every`.

        Raises OSError if it cannot be written; the others stay.
        """
        facts = {"format": SNAPSHOT_FORMAT, "step": str(step)} | ({"run": run} if run else {})
        storage.write_tensors(self.path(step), tensors, facts)
        for other in self.steps():
            if other > step or (other < step and other % every):
                self.path(other).unlink(missing_ok=True)

    def forget(self, step: int) -> None:
        """Remove the snapshots after a step, from which training goes on."""
        for later in self.steps():
            if later > step:
                with contextlib.suppress(OSError):
                    self.path(later).unlink()

    def read(self, step: int, length: float) -> dict[str, Tensor]:
        """Read an average that is stored, whose length is one of `LENGTHS`: the weights by parameter name.

        Raises:
            InputError: If the snapshot is damaged.
        """
        return self._read(step)[LENGTHS.index(length)]

    def _read(self, step: int) -> list[dict[str, Tensor]]:
        """Both averages of a step."""
        tensors, metadata = storage.read_tensors(self.path(step))
        metadata.pop("run", "")
        if metadata != {"format": SNAPSHOT_FORMAT, "step": str(step)}:
            raise InputError(f"{self.path(step)} is no snapshot of step {step}: remove it")
        return [
            {name[len(one) :]: value for name, value in tensors.items() if name.startswith(one)} for one in PREFIXES
        ]

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
            for factor, part in zip(row, self._read(step), strict=True):
                if sums and part.keys() != sums.keys():
                    raise InputError(f"{self.path(step)} is of another network than the other snapshots: remove it")
                for name, value in part.items():
                    formats[name] = value.dtype
                    sums[name] = factor * value.double() + sums.get(name, 0)
        return {name: value.to(formats[name]) for name, value in sums.items()}, error
