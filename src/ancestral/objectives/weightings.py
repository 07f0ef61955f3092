"""Weightings of the loss over time.

"simple" and "p2" weight the network's own error. Every other weighting is a weight on ‖x_0 − x̂_0‖². Since
x_0 = (q x_t − b output)/d, the weight on the network's own error is that times (b/d)². So one definition serves every
target. Weights are differentiable in times that are float tensors.
"""

import math

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.registries import WEIGHTINGS, WeightingName
from ancestral.schedules import Schedule
from ancestral.targets import SIGMA_DATA, Target

MIN_SNR_GAMMA = 5.0
"""Min-SNR's γ, as its authors recommend."""
P2_GAMMA = 1 / 3
"""P2's γ; its k is 1. Its authors take 1/2 and 1 for ε. Where x_0 is predicted, samples of icons are nearest to the
data between 1/4 and 1/2 (bench/README.md)."""
MAX_RATE = 20.0
"""Largest 1 + a/b of the weighting "velocity". For a flow it is 1/b, and JiT divides by no b below 0.05."""


def x0_weights(name: WeightingName, schedule: Schedule, t: Tensor | None = None) -> Tensor:
    """Weight on ‖x_0 − x̂_0‖² at t = 1..T, float64 (T,), or at float times t, float64 (B,).

    Raises:
        InputError: For an unknown name, and for "simple" and "p2".
    """
    a, b = (torch.as_tensor(scale) for scale in schedule.at(torch.arange(1, schedule.steps + 1) if t is None else t))
    snr = (a / b) ** 2
    if name == "variational" and schedule.steps < 2:
        raise InputError("the variational weighting needs a schedule of at least 2 steps: the last is decoded with β̃_2")
    if name == "snr":
        return snr  # ‖ε − ε̂‖²: L_simple (14), and λ(σ) = σ² on the score, NCSN (6)
    if name == "min-snr":
        return snr.clamp(max=MIN_SNR_GAMMA)  # Hang et al. 2023
    if name == "variational":  # T L_{t−1} with σ² = β̃ in bits/dim: (12), VDM (13); β̃_2 decodes at t = 1
        if t is not None:  # the limit of small steps: −d snr/dt
            da, db = schedule.rates(t)
            return schedule.steps / math.log(2) * snr * (db / b - da / a)
        first = 1 / torch.as_tensor(schedule.posterior_variance(2, 1), dtype=torch.float64)
        return schedule.steps / (2 * math.log(2)) * torch.cat([first[None], snr[:-1] - snr[1:]])
    if name == "edm":
        return snr + 1 / SIGMA_DATA**2  # EDM (8), table 1: λ(σ) = (σ² + σ_d²)/(σ σ_d)²
    if name == "velocity":
        return (1 + snr.sqrt()).clamp(max=MAX_RATE) ** 2  # ‖u − û‖² of u = ε − x_0: JiT's v-loss
    raise InputError(f"the weighting {WEIGHTINGS.find(name).name} is one of the network's own error")


def loss_weights(name: WeightingName, schedule: Schedule, target: Target, t: Tensor | None = None) -> Tensor:
    """Weight on the network's squared error at t = 0..T, float64 (T + 1,), 0 at t = 0; or at float times t, (B,).

    "simple" needs none: it is 1.

    Raises:
        InputError: For an unknown name, and where the weight is not finite.
    """
    a, b = schedule.at(torch.arange(1, schedule.steps + 1) if t is None else t)
    if name == "p2":
        weights = (1 + (torch.as_tensor(a) / b) ** 2) ** -P2_GAMMA  # Choi et al. 2022
    else:
        weights = x0_weights(name, schedule, t) * (b / target.determinant(a, b)) ** 2
    if not bool(weights.isfinite().all()):
        raise InputError(f"the weighting {name} has no meaning for the target {target.name} where no signal is left")
    return weights if t is not None else torch.cat([torch.zeros(1, dtype=torch.float64), weights])
