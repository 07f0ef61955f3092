"""Power-function averages of the weights, and how two of them that were stored give all others.

The profiles and the idea of the reconstruction are of Karras et al. 2024, Analyzing and improving the training dynamics
of diffusion models, arXiv 2312.02696, section 3 and appendix C. The derivation below is this package's own.

**The average.** Step s leaves the weights θ_s, which hold for the times s − 1 < τ ≤ s. The average of sharpness γ over
the first t steps weighs them by a power of time,

    θ̂_γ(t) = ∫_0^t p(τ) θ(τ) dτ,      p(τ) = (γ + 1) τ^γ / t^(γ+1).                                             (1)

The weight of step s is ∫ p over its unit of time, (s/t)^(γ+1) − ((s−1)/t)^(γ+1). From t − 1 to t all weights but the
last are multiplied by the same factor, so that the average follows without the past:

    θ̂_γ(t) = β θ̂_γ(t − 1) + (1 − β) θ_t,      β = (1 − 1/t)^(γ+1).                                              (2)

β(1) = 0, so nothing of the initial weights remains. No step is approximated: (2) is (1), whatever the weights do.

**Its length.** p has the mean t (γ+1)/(γ+2) and E τ² = t² (γ+1)/(γ+3), so its standard deviation is a fixed share of t,

    σ_rel² = (γ+1)/(γ+3) − (γ+1)²/(γ+2)² = (γ+1) / ((γ+2)² (γ+3)).                                              (3)

With z = γ + 2 this is z³ + z² − z/σ² + 1/σ² = 0. Without its square term (z = y − 1/3) it is y³ − 3 h² y + q = 0 with
h² = (1/σ² + 1/3)/3 and q = 2/27 + 4/(3σ²). By cos 3φ = 4 cos³φ − 3 cos φ the largest root is

    y = 2 h cos(arccos(−q / (2h³)) / 3).                                                                        (4)

**The reconstruction.** Let averages of the sharpness γ_1 and γ_2 be stored at the steps t_1 < ... < t_K. The profile of
average k at t_i, times t_i^(γ_k+1)/(γ_k+1), is τ^γ_k on (0, t_i], so differences of neighbours are τ^γ_k on interval i,
(t_{i−1}, t_i], alone (t_0 = 0). The combinations of stored profiles are therefore f(τ) = c_i1 u^γ_1 + c_i2 u^γ_2 with
u = τ/t_i on interval i, whose coefficients do not depend on those of other intervals. The least-squares approximation
of the profile p of any γ and t = t_K thus falls into K problems of two unknowns. Their inner products are, with
r = t_{i−1}/t_i,

    ⟨u^α, u^β⟩ = ∫_r^1 u^(α+β) du = (1 − r^(α+β+1))/(α+β+1).                                                    (5)

The K problems are well conditioned, which the one with 2K unknowns is not: its matrix holds almost equal profiles.
Minimise ∫ (f − p)² on each interval, where f keeps the mass of p, ∫ f = ∫ p. With Lagrange's multiplier λ,

    [ ⟨u^γ_k, u^γ_l⟩  ⟨u^γ_k, 1⟩ ] [ c ]   [ ⟨u^γ_k, p⟩ ]
    [ ⟨1, u^γ_l⟩           0     ] [ λ ] = [ ⟨1, p⟩     ].                                                      (6)

The masses make the coefficients of the stored averages sum to 1, so weights that do not move are reconstructed exactly,
and otherwise only their movement within an interval counts. A combination of the intervals is one of the averages:

    coefficient of average k at t_i = (c_ik − c_{i+1,k} (t_i/t_{i+1})^γ_k) t_i / (γ_k + 1).                     (7)

**Precision.** Where γ is γ_1 or γ_2 the result is the stored average. Between them, f − p is of second order in the
interval's share of t. The error of the average is this times the movement of the weights within an interval.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.errors import InputError

LENGTHS = (0.05, 0.10)
"""The lengths σ_rel of the two averages that are tracked."""
SHORTEST, LONGEST = 0.005, 12**-0.5
"""The range of σ_rel: of profiles that are much narrower than those stored little is right; 1/√12 is the plain mean of
all steps, γ = 0."""


def power_decay(gamma: float, step: int) -> float:
    """Compute β, the factor of the average at step `step` (from 1)."""
    return float((1 - 1 / step) ** (gamma + 1))  # EDM2 (2)


def length_of(gamma: float) -> float:
    """Compute σ_rel, the standard deviation of a profile as a share of the steps."""
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))  # EDM2 (3)


def gamma_of(length: float) -> float:
    """Compute the sharpness γ ≥ 0 of a length σ_rel.

    Raises:
        InputError: As `check_length` does.
    """
    check_length(length)
    h, q = math.sqrt((length**-2 + 1 / 3) / 3), 2 / 27 + 4 / 3 * length**-2
    y = 2 * h * math.cos(math.acos(max(-1.0, -q / (2 * h**3))) / 3)  # EDM2 (4)
    return y - 1 / 3 - 2


def check_length(length: float) -> None:
    """Raise InputError unless 0.005 ≤ σ_rel ≤ 1/√12."""
    if not SHORTEST <= length <= LONGEST:
        raise InputError(f"an averaging length is {SHORTEST} to 0.2886 (1/√12, the mean of all steps), not {length:g}")


def coefficients(steps: Sequence[int], length: float, stored: Sequence[float] = LENGTHS) -> tuple[Tensor, float]:
    """Compute the combination of stored averages that is the average of another length, up to the last stored step.

    Args:
        steps: The K steps at which they were stored, rising.
        length: σ_rel of the average.
        stored: The lengths σ_rel of the two stored averages.

    Returns:
        Coefficients float64 (K, 2), which sum to 1; and the root mean square error of the profile, as a share of its
        root mean square.

    Raises:
        InputError: If the length is out of range.
    """
    gamma, end, powers = gamma_of(length), steps[-1], [*map(gamma_of, stored), 0.0]
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
    found = (c - after) * t[:, None] / (power + 1)  # EDM2 (7)
    total = height**2 * inner(2 * gamma)
    error = total - 2 * (c * right[:, :2]).sum(1) + (c[:, :, None] * squares * c[:, None]).sum((1, 2))
    return found, math.sqrt(max(0.0, float(t @ error / (t @ total))))
