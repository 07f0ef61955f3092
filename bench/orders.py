"""The order of convergence of each sampler on every schedule and target, compared with the exact solution.

    python bench/orders.py            writes docs/explanation/samplers.md (minutes on two cores)

The data is a mixture of three Gaussians in the plane, whose exact denoiser is a formula, in float64. With the angle θ
of (a, b) as the time, the probability-flow ODE is du/dθ = v̂ for every schedule. Runge and Kutta's fourth-order method
solves it in 1,000 steps with an error of 1e-10. `tests/samplers/test_orders.py` checks the claims.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ancestral import Diffusion, oracle, schedules, targets
from ancestral.samplers import DDIM, DDPM, DPMSolver, Euler, Heun, Langevin, PredictorCorrector, Sampler, UniPC
from ancestral.schedules import Schedule
from ancestral.targets import Target

F64 = torch.float64
MEANS = torch.tensor([[-0.6, 0.2], [0.5, 0.5], [0.1, -0.6]], dtype=F64)
STDS = torch.tensor([0.15, 0.25, 0.2], dtype=F64)

SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "sigmoid": schedules.sigmoid,
    "geometric": lambda steps: schedules.geometric(steps, 0.01, 20.0),
    "karras": schedules.karras,
    "flow": schedules.flow,
    "zero_terminal": lambda steps: schedules.zero_terminal(schedules.linear(steps)),
}

SAMPLERS: dict[str, tuple[Sampler, int, int]] = {
    "DDIM": (DDIM(clip=None), 1, 1),
    "Euler": (Euler(clip=None), 1, 1),
    "DPM-Solver++ 1": (DPMSolver(order=1), 1, 1),
    "DPM-Solver++ 2M": (DPMSolver(), 2, 1),
    "Heun": (Heun(), 2, 2),
    "UniPC": (UniPC(), 3, 1),
}
"""The deterministic samplers: a sampler, the order that it claims, and its network evaluations per step."""

STEPS = (10, 20, 50, 100, 1000)
FINE = (200, 400, 800)
"""Numbers of steps from which the order is measured."""

FIRST = {"sigmoid": 9}
"""Tenths of T at which the solvers start, 10 by default. The ᾱ of `sigmoid` falls to 0 linearly, so its first steps are
long in λ = log a/b whatever their number, and methods that extrapolate in λ have order 1 there."""

STOCHASTIC: dict[str, Sampler] = {
    "DDPM, large": DDPM("large", clip=None),
    "DDPM, small": DDPM("small", clip=None),
    "DDIM, η = 0.5": DDIM(None, eta=0.5, clip=None),
    "Euler, ancestral": Euler(None, ancestral=True, clip=None),
    "DPM-Solver++ 2M SDE": DPMSolver(None, eta=1.0),
    "Heun, churn 10": Heun(None, churn=10.0),
    "predictor-corrector": PredictorCorrector(clip=None),
    "Langevin, 100 a level": Langevin(100, 2e-5),
}
MEAN, STD = 0.3, 0.5
"""The Gaussian data whose samples' mean and deviation are known exactly."""


class Exact(nn.Module):
    """A network without error: its output is the target of the oracle's prediction."""

    def __init__(self, schedule: Schedule, target: Target) -> None:
        super().__init__()
        self.oracle, self.target = oracle.Mixture(schedule, MEANS, STDS), target

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the exact target at t = index + 1, scaled as `Diffusion` expects it."""
        t = index[0].item() + 1
        input_scale, output_scale = self.target.scales(self.oracle.schedule, t)
        x0, eps = self.oracle.predict(x / input_scale, t)
        return self.target.from_x0_eps(x0, eps, *self.oracle.schedule.at(t)) / output_scale


def start(schedule: Schedule, count: int = 64) -> Tensor:
    """Sample x_T, the same for all samplers: (count, 2), with the standard deviation of the prior."""
    return schedule.prior_std * torch.randn(count, 2, dtype=F64, generator=torch.Generator().manual_seed(0))


def times(steps: int, first: int = 10) -> list[int]:
    """Return the times of `steps` equal steps from first/10 of T to T/10, on a schedule of 10 · steps levels."""
    return list(range(first * steps, steps - 1, 1 - first))


def exact(schedule: Schedule, t: int, s: int, x: Tensor, steps: int = 1000) -> Tensor:
    """Solve the probability-flow ODE from x at t to s, to about ten digits."""
    (first, early), (last, late) = ((math.atan2(b, a), math.hypot(a, b)) for a, b in (schedule.at(t), schedule.at(s)))
    angles = torch.linspace(last, first, 2 * steps + 1, dtype=F64)
    circle = Schedule(torch.cat([torch.ones(1), angles.cos()]), torch.cat([torch.zeros(1), angles.sin()]))
    denoiser = oracle.Mixture(circle, MEANS, STDS)
    h = (last - first) / steps

    def v(u: Tensor, index: int) -> Tensor:
        x0, eps = denoiser.predict(u, index + 1)
        return targets.V.from_x0_eps(x0, eps, *circle.at(index + 1))

    u = x / early
    for index in range(2 * steps, 0, -2):
        k1 = v(u, index)
        k2 = v(u + h / 2 * k1, index - 1)
        k3 = v(u + h / 2 * k2, index - 1)
        k4 = v(u + h * k3, index - 2)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return late * u


def error(sampler: Sampler, schedule: Schedule, target: Target, times: Sequence[float], truth: Tensor) -> float:
    """Compute the mean distance from the exact solution at the last of the times."""
    denoiser = Diffusion(Exact(schedule, target), schedule, target)
    x = sampler.sample(denoiser, start(schedule), times=times)
    return (x - truth).norm(dim=1).mean().item()


def slope(errors: dict[int, float]) -> float:
    """Compute the order of convergence: the negative least-squares slope of log error over log steps."""
    x = torch.tensor([math.log(steps) for steps in errors])
    y = torch.tensor([math.log(value) for value in errors.values()])
    return -(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()).item()


def errors(
    name: str, steps: tuple[int, ...], target: Target = targets.V, exact_steps: int = 1000
) -> dict[str, dict[int, float]]:
    """Compute the error of each deterministic sampler after each number of steps, on the schedule `name`."""
    found: dict[str, dict[int, float]] = {sampler: {} for sampler in SAMPLERS}
    for count in steps:
        schedule, visited = SCHEDULES[name](10 * count), times(count, FIRST.get(name, 10))
        truth = exact(schedule, visited[0], visited[-1], start(schedule), exact_steps)
        for label, (sampler, _, _) in SAMPLERS.items():
            found[label][count] = error(sampler, schedule, target, visited, truth)
    return found


def moments(sampler: Sampler, schedule: Schedule) -> tuple[float, float]:
    """Compute the mean and the standard deviation of the samples of Gaussian data, without sampling.

    The exact denoiser is affine, so a sample is an affine function of x_T and of every z. Its coefficients are the
    responses to unit impulses. x_T has its exact distribution, so every error is the sampler's.
    """
    denoiser, noises = oracle.Gaussian(schedule, MEAN, STD), 0
    a, b = schedule.at(schedule.steps)

    def zero_noise(shape: torch.Size) -> Tensor:
        nonlocal noises
        noises += 1
        return torch.zeros(shape)

    sampler.sample(denoiser, torch.zeros(1, 1, dtype=F64), noise=zero_noise)
    responses = []
    for first in range(0, noises + 2, 2048):  # 0: no impulse, 1: x_T, from 2: each z
        impulses, number = torch.arange(first, min(first + 2048, noises + 2)), iter(range(2, noises + 2))

        def noise(_: torch.Size, impulses: Tensor = impulses, number: Iterator[int] = number) -> Tensor:
            return (impulses == next(number)).double()[:, None]

        x_T = a * MEAN + math.hypot(a * STD, b) * (impulses == 1).double()[:, None]
        responses.append(sampler.sample(denoiser, x_T, noise=noise).flatten())
    response = torch.cat(responses)
    return response[0].item(), (response[1:] - response[0]).norm().item()


COUNT = 50_000
"""Number of samples in a set."""


def sample_data(seed: int) -> Tensor:
    """Sample the data: (COUNT, 2)."""
    generator = torch.Generator().manual_seed(seed)
    part = torch.randint(len(MEANS), (COUNT,), generator=generator)
    return MEANS[part] + STDS[part, None] * torch.randn(COUNT, 2, dtype=F64, generator=generator)


@lru_cache(maxsize=1)
def projections(directions: int = 32) -> tuple[Tensor, Tensor]:
    """Return evenly spaced directions (2, D), and the exact quantiles of the data projected on each (COUNT, D)."""
    angles = torch.arange(directions, dtype=F64) * math.pi / directions
    rays = torch.stack([angles.cos(), angles.sin()])
    grid = torch.linspace(-3, 3, 60_001, dtype=F64)
    levels = (torch.arange(COUNT, dtype=F64) + 0.5) / COUNT
    quantiles = []
    for means in (MEANS @ rays).T:
        cdf = torch.special.ndtr((grid[:, None] - means) / STDS).mean(1)
        after = torch.searchsorted(cdf, levels).clamp(1, len(grid) - 1)
        part = (levels - cdf[after - 1]) / (cdf[after] - cdf[after - 1]).clamp_min(1e-300)
        quantiles.append(torch.lerp(grid[after - 1], grid[after], part.clamp(0, 1)))
    return rays, torch.stack(quantiles, dim=1)


def swd(samples: Tensor) -> float:
    """Compute the sliced Wasserstein-2 distance of samples (COUNT, 2) to the density of the data."""
    rays, quantiles = projections()
    return ((samples @ rays).sort(0).values - quantiles).square().mean().sqrt().item()


def distance(sampler: Sampler, schedule: Schedule) -> float:
    """Compute the distance of samples to the density. x_T is a Sobol sequence, which reduces the variance."""
    even = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(COUNT, dtype=F64)
    x_T = schedule.prior_std * torch.special.ndtri(even.clamp(1e-9, 1 - 1e-9))
    return swd(sampler.sample(oracle.Mixture(schedule, MEANS, STDS), x_T))


@lru_cache(maxsize=1)
def floor(sets: int = 20) -> tuple[float, float]:
    """Compute the distance of independent samples of the data to the density: mean and maximum of several sets."""
    distances = [swd(sample_data(seed)) for seed in range(sets)]
    return sum(distances) / sets, max(distances)


def langevin(name: str, count: int) -> tuple[float, float]:
    """Compute the errors of mean and standard deviation of annealed Langevin dynamics with α = b²/5 on 50 levels."""
    schedule = SCHEDULES[name](50)
    mean, std = moments(Langevin(count, 0.2 * schedule.at(1)[1] ** 2), schedule)
    return abs(mean - MEAN), abs(std - STD)


SAMPLES: dict[str, Callable[[int], Sampler]] = {
    "DDPM, large": lambda n: DDPM("large", n, clip=None),
    "DDPM, small": lambda n: DDPM("small", n, clip=None),
    "DDIM": lambda n: DDIM(n, clip=None),
    "DPM-Solver++ 2M": lambda n: DPMSolver(n, spacing="logsnr"),
    "DPM-Solver++ 2M SDE": lambda n: DPMSolver(n, eta=1.0, spacing="logsnr"),
    "UniPC": lambda n: UniPC(n, spacing="logsnr"),
    "Heun": lambda n: Heun(n, spacing="logsnr"),
    "Heun, churn 10": lambda n: Heun(n, churn=10.0, spacing="logsnr"),
    "predictor-corrector": lambda n: PredictorCorrector("large", n, clip=None),
}
"""Samplers as functions of the number of steps. Samplers of order 1 have "trailing" spacing. The others are spaced in
log SNR, since their last steps have to be short."""

COUNTS = (5, 10, 15, 20, 30, 50, 100, 200, 500, 1000)


def steps_needed(make: Callable[[int], Sampler], schedule: Schedule, limit: float) -> tuple[int | None, float]:
    """Find the first of COUNTS whose samples are within `limit` of the density, or None, and the last distance."""
    for count in COUNTS:
        away = distance(make(count), schedule)
        if away <= limit:
            return count, away
    return None, away


def _scientific(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-")


def report() -> Iterator[str]:
    """Yield the lines of docs/explanation/samplers.md."""
    yield from INTRODUCTION.splitlines()
    yield (
        "| schedule | sampler | network evaluations per step | order claimed | order measured | "
        + " | ".join(map(str, STEPS))
        + " |"
    )
    yield "|---|---|---|---|---|" + "---|" * len(STEPS)
    for name in SCHEDULES:
        found = errors(name, tuple(sorted({*STEPS, *FINE})))
        for label, (_, order, passes) in SAMPLERS.items():
            measured = slope({count: found[label][count] for count in FINE})
            row = " | ".join(_scientific(found[label][count]) for count in STEPS)
            yield f"| `{name}` | {label} | {passes} | {order} | {measured:.2f} | {row} |"
    yield from TARGETS.splitlines()
    yield from MOMENTS.splitlines()
    yield "| schedule | sampler | " + " | ".join(map(str, STEPS)) + " |"
    yield "|---|---|" + "---|" * len(STEPS)
    for name in SCHEDULES:
        for label, sampler in STOCHASTIC.items():
            if not isinstance(sampler, Langevin):
                off = [abs(moments(sampler, SCHEDULES[name](count))[1] - STD) for count in STEPS]
                yield f"| `{name}` | {label} | {' | '.join(map(_scientific, off))} |"
    yield from LANGEVIN.splitlines()
    counts = (3, 10, 30, 100)
    yield f"| schedule | {' | '.join(map(str, counts))} |"
    yield "|---|" + "---|" * len(counts)
    for name in SCHEDULES:
        off = [" and ".join(map(_scientific, langevin(name, count))) for count in counts]
        yield f"| `{name}` | {' | '.join(off)} |"
    mean, largest = floor()
    yield from CLOUDS.format(mean=f"{mean:.4f}", largest=f"{largest:.4f}").splitlines()
    yield "| sampler | " + " | ".join(f"`{name}`" for name in CLOUD_SCHEDULES) + " |"
    yield "|---|" + "---|" * len(CLOUD_SCHEDULES)
    for label, make in SAMPLES.items():
        cells = []
        for name in CLOUD_SCHEDULES:
            count, away = steps_needed(make, SCHEDULES[name](1000), largest)
            cells.append(f"{count} ({away:.4f})" if count else f"more than 1000 ({away:.4f})")
        yield f"| {label} | {' | '.join(cells)} |"


CLOUD_SCHEDULES = ("linear", "cosine", "karras", "flow")

INTRODUCTION = """# Samplers, measured

`python bench/orders.py` writes this page, and `tests/samplers/test_orders.py` checks its claims. All computations are
in float64 with the exact denoiser of a mixture of three Gaussians in the plane, so every error is the sampler's, not a
network's.

## Order of convergence

The last five columns have the mean distance from the exact solution of the probability-flow ODE, after 10, 20, 50,
100 and 1,000 equal steps in t from T to T/10. The measured order is the negative slope of the log error over the log
number of steps, between 200 and 800 steps.

`sigmoid` starts at 9T/10. Its ᾱ falls to 0 linearly at T, so its first steps are long in log SNR whatever their
number, and multistep methods have order 1 there. The last step of every sampler goes to t = 0 and takes x̂_0, which
is of order 1. So the last step has to be short, as it is with `logsnr` and `karras` spacing.

"""

TARGETS = """
The targets eps, x0, v, score, flow and edm give the same numbers up to rounding, since each is solved for the same
(x_0, ε). Where the last level has no signal (`flow`, `zero_terminal`), eps and score do not determine x_0 at t = T,
so these combinations are refused.
"""

MOMENTS = """
## Stochastic samplers

The table has the error of the samples' standard deviation for data N(0.3, 0.5²), with schedules of 10 to 1,000 levels
and one step for each level. No sampling is needed: with Gaussian data a sampler is an affine map of x_T and its noise
z, and its responses to unit impulses are the coefficients of the map. The error of the mean is below 1e-14
throughout.

Heun's churn raises the noise level to (1 + γ) σ_t, at a time between the integers. That is at most the level at T,
except on `geometric` and `karras`, whose levels go on above T.

"""

LANGEVIN = """
Annealed Langevin dynamics (NCSN) converges in the number of steps within each level instead. The table has the errors
of the mean and of the standard deviation on 50 levels with the step size α = b²/5. The columns are the numbers of
steps in each level. The method is made for a = 1, where the mean of x_t is that of the data at every level. On other
schedules it has to move the mean too, which takes more steps.

"""

CLOUDS = """
## Number of steps needed

The table has the number of steps after which the samples of the mixture are as close to the exact density as
independent samples of the density are. The distance is the sliced Wasserstein distance of 50,000 samples. Twenty sets
of independent samples have a distance of {mean} on average and of {largest} at most, and {largest} is the limit. The
numbers tried are 5, 10, 15, 20, 30, 50, 100, 200, 500 and 1,000 steps of a schedule of 1,000 levels. The distance is
in brackets. A step of Heun and of the predictor-corrector takes two network evaluations.

"""

if __name__ == "__main__":
    path = Path(__file__).parent.parent / "docs" / "explanation" / "samplers.md"
    path.write_text("\n".join(report()) + "\n", encoding="utf-8")
    print(path)
