"""The variational bound compared with closed forms, and its gap to the exact likelihood as T grows.

    python bench/bound_gap.py         writes docs/explanation/bound.md (a minute on two cores)

`tests/test_bound.py` checks both.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from ancestral import bound, oracle, probability_flow, schedules
from ancestral.reverse import Variance
from ancestral.schedules import Schedule

F64 = torch.float64
LEVELS = torch.tensor([10, 60, 61, 64, 128, 200, 201, 255], dtype=F64) / 127.5 - 1
WEIGHTS = torch.tensor([0.1, 0.2, 0.05, 0.15, 0.1, 0.2, 0.1, 0.1], dtype=F64)
"""Grey levels of one pixel and their probabilities: data whose likelihood in bits is at best its entropy."""

COUNTS = (8, 32, 128, 512, 2048)


def entropy() -> float:
    """Compute the entropy of the data in bits, a lower bound of the bits of every model."""
    return -(WEIGHTS * WEIGHTS.log2()).sum().item()


def closed_form(schedule: Schedule, mean: float, std: float, variance: Variance, null: bool = False) -> list[Tensor]:
    """Compute L_T, L_t for t = 2..T, and L_0 with the density decoder: expectations over x_0 ~ N(mean, std²) and ε.

    In bits/dim, for the exact denoiser or for the null model ε̂ = 0. It does not use the package's own bound.
    """
    a, b = schedule.signal, schedule.noise
    # E ‖x_0 − x̂_0‖²: the posterior's variance, or (b/a)² of the null model
    error = (b / a) ** 2 if null else std**2 * b**2 / (a**2 * std**2 + b**2)
    prior, end = schedule.prior_std**2, b[-1] ** 2
    L_T = 0.5 * (end / prior - 1 - (end / prior).log() + a[-1] ** 2 * (mean**2 + std**2) / prior)
    t, s = torch.arange(2, schedule.steps + 1), torch.arange(1, schedule.steps)
    beta = b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2
    tilde = beta * b[s] ** 2 / b[t] ** 2
    sigma2 = beta if variance == "large" else tilde
    L_t = 0.5 * (tilde / sigma2 - 1 - (tilde / sigma2).log() + (a[s] * beta / b[t] ** 2) ** 2 * error[t] / sigma2)
    L_0 = 0.5 * ((2 * math.pi * tilde[0]).log() + error[1] / tilde[0])
    return [term / math.log(2) for term in (L_T, L_t, L_0)]


def gap(schedule: Schedule, variance: Variance, nodes: int = 1025) -> float:
    """Compute the expected bits of the exact denoiser's bound on the grey levels, minus their entropy.

    The expectation over ε, the same at every t, is an integral over ±8 standard deviations by the trapezoidal rule.
    Rare values count: at ±3.7, which one value in 4,096 exceeds, it would be 0.002 bits too small.
    """
    grid = torch.linspace(-8, 8, nodes, dtype=F64)
    density = torch.exp(-(grid**2) / 2)
    eps, x0 = grid.repeat(len(LEVELS))[:, None], LEVELS.repeat_interleave(nodes)[:, None]
    denoiser = oracle.Mixture(schedule, LEVELS[:, None], torch.zeros(len(LEVELS), dtype=F64), WEIGHTS)
    total = bound.bits_per_dim(denoiser, x0, variance=variance, clip=False, noise=lambda _: eps).total
    expected = total.reshape(len(LEVELS), nodes) @ (density / density.sum())
    return float(expected @ WEIGHTS) - entropy()


def flow_error(schedule: Schedule) -> float:
    """Compute the largest error, in nats, of the probability-flow likelihood of points of a mixture in the plane.

    x_T has its exact density instead of the prior's, so the error is that of the integration.
    """
    means = torch.tensor([[-0.6, 0.2], [0.5, 0.5], [0.1, -0.6]], dtype=F64)
    stds = torch.tensor([0.15, 0.25, 0.2], dtype=F64)
    denoiser = oracle.Mixture(schedule, means, stds)
    z = torch.randn(17, 3, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    x0 = (means + stds[:, None] * z).flatten(0, 1)
    *_, end = probability_flow.integrate(denoiser, x0)
    exact = denoiser.log_density(x0, 0)
    return (denoiser.log_density(end.x, end.t) + end.divergence - exact).abs().max().item()


MAKERS = {
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "geometric": schedules.geometric,
    "karras": schedules.karras,
    "flow": schedules.flow,
}

FORMULAS = """# The variational bound in closed form

`python bench/bound_gap.py` writes this page. `tests/test_bound.py` and `tests/test_probability_flow.py` check its
claims.

## Gaussian data

For data x_0 ~ N(m, std²) every term of the bound has a closed form. Let a_t, b_t be the schedule, s = t − 1, β_t =
b_t² − (a_t/a_s)² b_s², β̃_t = β_t b_s²/b_t², π the standard deviation of the prior, and c_t = E ‖x_0 − x̂_0‖² per
element. In nats (divide by ln 2 for bits/dim):

    L_T     = ½ [ b_T²/π² − 1 − ln(b_T²/π²) + a_T² (m² + std²)/π² ]
    L_{t−1} = ½ [ β̃_t/σ_t² − 1 − ln(β̃_t/σ_t²) + (a_s β_t/b_t²)² c_t/σ_t² ]         σ_t² = β_t or β̃_t, t = 2..T
    L_0     = ½ [ ln(2π β̃_2) + c_1/β̃_2 ]                                            (the density decoder)

    c_t = std² b_t²/(a_t² std² + b_t²)   for the exact denoiser,      c_t = b_t²/a_t²   for the null model ε̂ = 0.

`bound.bits_per_dim` agrees with each term and with the total to 1e-8. It is evaluated at the four points x_0 = m ±
std, ε = ±1. All terms are quadratic in x_0 and ε, so the mean over the four points is the expectation.

## The gap closes as T grows

The data is one pixel with 8 grey levels of known probabilities. No model needs fewer bits than their entropy, ENTROPY
bits. The bound of the exact denoiser is above the entropy, and approaches it as T grows. The schedule is `geometric`
with σ from 0.001 to 50, so L_0 is negligible. `large` and `small` are the variances β_t and β̃_t of the reverse
steps.

"""

FLOW = """
## The probability flow's likelihood

The table has the largest error of log p(x_0), in nats, over 51 points of a mixture of three Gaussians in the plane.
The columns are the numbers of steps of each schedule. The divergence is exact, and the integration has order 2.

"""


def report() -> list[str]:
    """Return the lines of docs/explanation/bound.md."""
    lines = FORMULAS.replace("ENTROPY", f"{entropy():.4f}").splitlines()
    lines += [f"| bits above the entropy, T = | {' | '.join(map(str, COUNTS))} |", "|---|" + "---|" * len(COUNTS)]
    kinds: tuple[Variance, ...] = ("large", "small")
    for variance in kinds:
        gaps = [gap(schedules.geometric(count, 0.001, 50.0), variance) for count in COUNTS]
        lines.append(f"| `{variance}` | {' | '.join(f'{value:.4f}' for value in gaps)} |")
    lines += FLOW.splitlines()
    steps = (250, 500, 1000, 2000)
    lines += [f"| schedule | {' | '.join(map(str, steps))} |", "|---|" + "---|" * len(steps)]
    for name, make in MAKERS.items():
        lines.append(f"| `{name}` | {' | '.join(f'{flow_error(make(count)):.1e}' for count in steps)} |")
    return lines


if __name__ == "__main__":
    path = Path(__file__).parent.parent / "docs" / "explanation" / "bound.md"
    path.write_text("\n".join(report()) + "\n", encoding="utf-8")
    print(path)
