"""What a model's likelihood is on a set of items: the bound and the probability flow, over the items and over time.

The loops are generators of what each pass found, so that a progress bar can watch them; `curve` and `mean` say what it
comes to. A number belongs to (seed, place in the data set), so it is the same in batches of any size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.bound import ELBO, prior_bits, time_strata
from ancestral.data import Codec, InMemoryDataset
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.probability_flow import OdeState, integrate
from ancestral.randomness import Stream
from ancestral.targets import Denoiser


@dataclass(frozen=True)
class Subjects:
    """Items to evaluate on: x0 (n, *) in [−1, 1], their places in the data set, and their labels (n,) or None."""

    x0: Tensor
    indices: list[int]
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def batch_count(self, size: int) -> int:
        """How many batches of `size` there are, the last of them perhaps smaller."""
        return math.ceil(len(self) / size)

    def batches(self, size: int, device: torch.device) -> Iterator[tuple[slice, "Subjects", dict[str, Tensor]]]:
        """`size` at a time on `device`: where they stand among all, they themselves, and what a denoiser is told."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            labels = None if self.labels is None else self.labels[rows].to(device)
            part = Subjects(self.x0[rows].to(device), self.indices[rows], labels)
            yield rows, part, {} if labels is None else {"labels": labels}


def choose(data: InMemoryDataset, n: int, codec: Codec, labels: Tensor | None = None) -> Subjects:
    """`n` items spread evenly over the data, as its classes may be sorted. `labels` are those of all the data.

    Raises InputError where there are not as many.
    """
    if not 1 <= n <= len(data):
        raise InputError(
            f"{data.name} has {len(data):,} items to evaluate on; choose -n from 1 to {len(data)}, not {n}"
        )
    indices = [i * len(data) // n for i in range(n)]
    return Subjects(codec.encode(data.items[indices]), indices, None if labels is None else labels[indices])


def labels_for(data: InMemoryDataset, classes: Sequence[str], by_number: bool = False) -> Tensor | None:
    """The labels of all the data as a model of these `classes` numbers them, or None where they mean nothing to it.

    Classes are matched by name, or by number for data that knows no names. -1 is an item without a class.
    """
    if data.labels is None or not classes:
        return None
    if set(data.classes) <= set(classes):
        known = torch.tensor([classes.index(name) for name in data.classes])[data.labels]
        return torch.where(data.labels < 0, NO_CLASS, known)
    return data.labels if by_number and len(data.classes) <= len(classes) else None


def without_class(count: int) -> Tensor:
    """The labels (count,) of items whose class is not known."""
    return torch.full((count,), NO_CLASS)


class Cell(NamedTuple):
    """What one pass found: items `rows` at the times of run number `column`, their bits/dim and square errors."""

    rows: slice
    column: int
    bits: Tensor
    error: Tensor


def strata(steps: int, passes: int | None) -> list[range]:
    """The times that each pass stands for, from t = T down to 1: one each where `passes` are not fewer than T."""
    return time_strata(steps, steps if passes is None else passes)[::-1]


def cells(
    denoiser: Denoiser, subjects: Subjects, elbo: ELBO, passes: int | None, batch_size: int, device: torch.device
) -> Iterator[Cell]:
    """Every pass of the bound, batch by batch, a column for each of `strata`. Raises InputError for answers of NaN."""
    columns = strata(denoiser.schedule.steps, passes)
    every = len(columns) == denoiser.schedule.steps
    for rows, part, condition in subjects.batches(batch_size, device):
        if every:
            terms = elbo.terms(denoiser, part.x0, part.indices, **condition)
        else:
            terms = elbo.estimates(denoiser, part.x0, len(columns), part.indices, **condition)
        for column, term in enumerate(terms):
            bits, error = term.bits.cpu().double(), term.error.cpu().double()
            if not bool((bits + error).isfinite().all()):
                raise InputError(
                    f"the model's answer at t = {columns[column][0]} is no finite number, so it has no likelihood"
                )
            yield Cell(rows, column, bits, error)


@dataclass(frozen=True)
class Terms:
    """The bound of n items in K runs of times, from T down to 1: `prior` (n,); `bits` and `error` (n, K)."""

    runs: list[range]
    prior: Tensor
    bits: Tensor
    error: Tensor

    @property
    def total(self) -> Tensor:
        """The bound on each item in bits/dim, (n,)."""
        return self.prior + self.bits.sum(1)


def gather(found: Sequence[Cell], denoiser: Denoiser, subjects: Subjects, passes: int | None) -> Terms:
    """All cells, laid out as a table."""
    columns = strata(denoiser.schedule.steps, passes)
    bits, error = (torch.zeros(len(subjects), len(columns), dtype=torch.float64) for _ in range(2))
    for cell in found:
        bits[cell.rows, cell.column], error[cell.rows, cell.column] = cell.bits, cell.error
    return Terms(columns, prior_bits(denoiser.schedule, subjects.x0.double()), bits, error)


class Point(NamedTuple):
    """Means over items and over the times first..last: bits/dim of one step from t, what was spent to reach x_t (rate),
    and the mean square of x_0 − x̂_0 there.
    """

    first: int
    last: int
    bits: float
    rate: float
    error: float


def curve(terms: Terms) -> list[Point]:
    """The bound over time, from t = 1 up, as in the DDPM paper's figure 5: who has x_t has paid the steps above it."""
    spent, points = float(terms.prior.mean()), []
    means = zip(terms.runs, terms.bits.mean(0).tolist(), terms.error.mean(0).tolist(), strict=True)
    for run, bits, error in means:
        rate = spent + bits * (len(run) - 1) / (2 * len(run))  # on average over the run
        points.append(Point(run[0], run[-1], bits / len(run), rate, error))
        spent += bits
    return points[::-1]


class Walk(NamedTuple):
    """A state of the flow of items `rows`."""

    rows: slice
    state: OdeState


def walks(
    denoiser: Denoiser,
    subjects: Subjects,
    steps: int,
    probes: int,
    seed: int,
    level: float | None,
    batch_size: int,
    device: torch.device,
) -> Iterator[Walk]:
    """Every state of the probability flow from t = 0 to T, batch by batch.

    A density has no levels: where the items have, a `level` apart, noise is added that is uniform on the bin of each.
    """
    for rows, part, condition in subjects.batches(batch_size, device):
        x0 = part.x0
        if level is not None:
            z = randomness.normal(x0.shape[1:], seed, Stream.DEQUANTISE, 0, part.indices, device)
            x0 = x0 + level * (torch.special.ndtr(z) - 0.5)  # Φ(z) is uniform
        for state in integrate(denoiser, x0, steps, probes, seed, "logsnr", part.indices, **condition):
            if not bool(state.x.isfinite().all()):
                raise InputError(f"the flow leaves all numbers at t = {state.t}; it may need more --ode-steps")
            yield Walk(rows, state)


def bits_of_density(nats: Tensor, size: int, level: float | None) -> Tensor:
    """−log p in nats of items of `size` elements, in bits/dim: of levels so far apart, if p is of dequantised ones."""
    return nats / (size * math.log(2)) - (math.log2(level) if level is not None else 0.0)


class Mean(NamedTuple):
    """A mean over items and its standard error; None for one item, which has no spread."""

    mean: float
    standard_error: float | None


def mean(values: Tensor) -> Mean:
    """The mean of values (n,) and its standard error."""
    n = len(values)
    return Mean(float(values.mean()), float(values.std() / math.sqrt(n)) if n > 1 else None)
