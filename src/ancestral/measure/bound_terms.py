"""A model's likelihood on a set of items: the variational bound, split over items and time, and the probability flow.

The loops are generators of their progress that return the numbers. A number belongs to (seed, index in the data), so it
is the same in batches of any size.
"""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ancestral import probability_flow, randomness
from ancestral.base.errors import InputError
from ancestral.base.events import Work
from ancestral.base.options import option
from ancestral.bound import ELBO, prior_bits, time_strata
from ancestral.data import Codec, InMemoryDataset
from ancestral.randomness import Stream
from ancestral.results import Estimate
from ancestral.results.evaluation_result import BoundOverTime, LikelihoodSettings
from ancestral.targets import Denoiser


@dataclass(frozen=True)
class EvalItems:
    """Items to evaluate on: x0 (n, *) in [−1, 1], their indices in the data set, and what a network gets of their
    conditions by name, (n, *) each.
    """

    x0: Tensor
    indices: list[int]
    condition: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    @staticmethod
    def choose(
        data: InMemoryDataset,
        n: int,
        codec: Codec,
        condition: Callable[[list[int]], Mapping[str, Tensor]] = lambda indices: {},
    ) -> "EvalItems":
        """Choose n items spread evenly over the data, whose classes may be sorted.

        Args:
            data: The data.
            n: The number of items.
            codec: The codec of the model.
            condition: Returns what a network gets of the conditions of items, by their indices.

        Raises:
            InputError: If the data holds fewer items.
        """
        if not 1 <= n <= len(data):
            raise InputError(f"{option('n')} must be from 1 to {len(data)}, the items of {data.name}, not {n}")
        indices = [i * len(data) // n for i in range(n)]
        return EvalItems(codec.encode(data.items[indices]), indices, condition(indices))

    def batches(self, size: int, device: torch.device) -> Iterator[tuple[slice, "EvalItems", dict[str, Tensor]]]:
        """Iterate over batches on the device: their rows, the items, and what a denoiser is conditioned on."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            condition = {name: value[rows].to(device) for name, value in self.condition.items()}
            yield rows, EvalItems(self.x0[rows].to(device), self.indices[rows], condition), condition


@dataclass(frozen=True)
class BoundTerms:
    """The bound of n items in K time strata, from T down to 1: `prior` (n,), `bits` and `error` (n, K), float64."""

    strata: list[range]
    prior: Tensor
    bits: Tensor
    error: Tensor

    @property
    def total(self) -> Tensor:
        """The bound on each item in bits/dim, (n,)."""
        return self.prior + self.bits.sum(1)

    def over_time(self, scale: float, unit: str) -> BoundOverTime:
        """Average over the items, as in figure 5 of the DDPM paper; `scale` turns errors in [−1, 1] into `unit`."""
        sent, rows = float(self.prior.mean()), []
        means = zip(self.strata, self.bits.mean(0).tolist(), self.error.mean(0).tolist(), strict=True)
        for times, bits, error in means:
            rate = sent + bits * (len(times) - 1) / (2 * len(times))  # on average over the stratum
            rows.append((times[0], times[-1], bits / len(times), rate, error, scale * math.sqrt(error)))
            sent += bits
        first, last, step_bits, rates, errors, distortions = zip(*rows[::-1], strict=True)
        return BoundOverTime(first, last, step_bits, rates, errors, distortions, unit)


def collect_bound(
    denoiser: Denoiser, items: EvalItems, elbo: ELBO, passes: int | None, batch_size: int, device: torch.device
) -> Generator[Work, None, BoundTerms]:
    """Compute the terms of the bound by `passes` network evaluations of each item; None evaluates all T times.

    Raises:
        InputError: If a term is not finite.
    """
    steps = denoiser.schedule.steps
    strata = time_strata(steps, steps if passes is None else passes)[::-1]
    bits, error = (torch.zeros(len(items), len(strata), dtype=torch.float64) for _ in range(2))
    done, total = 0, len(items) * len(strata)
    for rows, part, condition in items.batches(batch_size, device):
        if len(strata) == steps:
            terms = elbo.terms(denoiser, part.x0, part.indices, **condition)
        else:
            terms = elbo.estimates(denoiser, part.x0, len(strata), part.indices, **condition)
        for column, term in enumerate(terms):
            bits[rows, column], error[rows, column] = term.bits.cpu().double(), term.error.cpu().double()
            if not bool((bits[rows, column] + error[rows, column]).isfinite().all()):
                raise InputError(
                    f"the model's prediction at t = {strata[column][0]} is not finite, so it has no likelihood"
                )
            done += len(part)
            yield Work("bound", done, total)
    return BoundTerms(strata, prior_bits(denoiser.schedule, items.x0.double()), bits, error)


@torch.no_grad()
def flow_nats(
    denoiser: Denoiser,
    items: EvalItems,
    settings: LikelihoodSettings,
    level: float | None,
    batch_size: int,
    device: torch.device,
) -> Generator[Work, None, Tensor]:
    """Integrate the probability flow from t = 0 to T, of items whose grey levels are a `level` apart, if they have any.

    Returns:
        −log p of each item in nats, float64 (n,).

    Raises:
        InputError: If a state is not finite.
    """
    steps, probes, seed = settings.ode_steps, settings.probes, settings.seed
    assert steps is not None
    assert probes is not None
    nats, done, total = torch.zeros(len(items), dtype=torch.float64), 0, (steps + 1) * len(items)
    for rows, part, condition in items.batches(batch_size, device):
        x0 = part.x0 if level is None else dequantise(part.x0, level, seed, part.indices)
        for state in probability_flow.integrate(
            denoiser, x0, steps, probes, seed, "logsnr", part.indices, None, **condition
        ):
            if not bool(state.x.isfinite().all()):
                raise InputError(f"the flow is not finite at t = {state.t}; it may need more {option('ode_steps')}")
            done += len(part)
            yield Work("probability flow", done, total)
        nats[rows] = -probability_flow.log_density(denoiser.schedule, state).cpu().double()
    return nats


def dequantise(x0: Tensor, level: float, seed: int, indices: list[int]) -> Tensor:
    """Add noise to x0 (n, *) that is uniform on the bin of each grey level, since a density has no levels."""
    z = randomness.normal(x0.shape[1:], seed, Stream.DEQUANTISE, 0, indices, x0.device)
    uniform: Tensor = torch.special.ndtr(z) - 0.5  # Φ(z) is uniform
    return x0 + level * uniform


def bits_from_nats(nats: Tensor, size: int, level: float | None) -> Tensor:
    """Convert −log p of dequantised items of `size` elements to bits/dim of their grey levels."""
    return nats / (size * math.log(2)) - (math.log2(level) if level is not None else 0.0)


def mean(values: Tensor) -> Estimate:
    """Average values (n,); the error is None for one value, which has no spread."""
    n = len(values)
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(n)) if n > 1 else None)
