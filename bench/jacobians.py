"""Why more iterations can make MMPS worse: the Jacobian of a trained digits network, its solver, and the clip.

    make demo                                  trains runs/demo
    python bench/jacobians.py runs/demo        writes results/jacobians.json (about 20 minutes on one core)
    python bench/posteriors.py --page          the page that has its tables

MMPS takes V = (b²/a) J with the Jacobian J = ∂x̂_0/∂x_t of the denoiser, which is symmetric if the denoiser is exact.
For 48 held-out digits and 4 samples each, given the left half with noise 0.05, this script computes the energy score
of samples by each solver, with J and with (J + Jᵀ)/2, with and without the network's x̂_0 clipped to [-1, 1] before. It
also measures ‖J − Jᵀ‖/‖J + Jᵀ‖.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ancestral
import digits
import measure
from ancestral import guidance, samplers
from ancestral.metrics import ensembles
from ancestral.operators import Crop
from ancestral.schedules import Time
from ancestral.targets import X0, Denoiser, Prediction

COUNT, MEMBERS, STEPS, NOISE = 48, 4, 25, 0.05
LEVELS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Noise levels b_t/a_t at which the asymmetry is measured."""
PROBES = 4
"""Random vectors of each image that estimate the norms of J − Jᵀ and J + Jᵀ."""
SOLVERS = (("cg", 1), ("cg", 3), ("gmres", 1), ("gmres", 3), ("gmres", 10))
RESULTS = "jacobians.json"


class Products:
    """Products of the Jacobian of x̂_0 with vectors: J v is the derivative of Jᵀ u in u."""

    def __init__(self, denoiser: Denoiser, x_t: Tensor, t: Time, **condition: Any) -> None:
        with torch.enable_grad():
            self.x = x_t.detach().requires_grad_()
            self.x0 = denoiser.predict(self.x, t, **condition).x0
            self.u = torch.zeros_like(self.x0, requires_grad=True)
            (self.transposed,) = torch.autograd.grad(self.x0, self.x, self.u, create_graph=True)

    def transpose(self, v: Tensor) -> Tensor:
        """Jᵀ v."""
        return torch.autograd.grad(self.x0, self.x, v, retain_graph=True)[0]

    def plain(self, v: Tensor) -> Tensor:
        """J v."""
        return torch.autograd.grad(self.transposed, self.u, v, retain_graph=True)[0]


class Symmetric(guidance.Wrapper):
    """A denoiser whose Jacobian autograd takes for (J + Jᵀ)/2."""

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, as the denoiser does."""
        products = Products(self.denoiser, x_t, t, **condition)

        class Half(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return products.x0.detach().clone()

            @staticmethod
            def backward(ctx: Any, v: Tensor) -> Tensor:  # type: ignore[override]
                return (products.transpose(v) + products.plain(v)) / 2

        return X0.solve(x_t, Half.apply(x_t), *self.schedule.at(t))  # type: ignore[no-untyped-call]


def held_out() -> Tensor:
    """48 digits that are not in the training set, evenly from all classes."""
    images = digits.load_reference()
    return images[:: len(images) // COUNT][:COUNT].float() / 127.5 - 1


def energies(denoiser: Denoiser, solver: str, iterations: int) -> Tensor:
    """The energy score of each held-out digit, (48,)."""
    truth, operator = held_out(), Crop((0, 0), (28, 14))
    y = operator.apply(truth)
    y = y + NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    x_T = torch.randn(MEMBERS * COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    wrapper = guidance.Posterior(denoiser, y, operator, NOISE, "mmps", iterations=iterations)
    wrapper.method = wrapper.method._replace(solver=solver)
    sampler, sets = samplers.DDIM(STEPS, eta=1.0), []
    for first in range(0, len(x_T), COUNT):  # one set at a time, since (J + Jᵀ)/2 takes much memory
        rows = range(first, first + COUNT)
        labels = torch.full((COUNT,), guidance.NO_CLASS)
        sets.append(sampler.sample(wrapper, x_T[rows.start : rows.stop], indices=rows, labels=labels))
    return ensembles.energy_scores(torch.stack(sets, 1).clamp(-1, 1), truth)


def asymmetry(denoiser: Denoiser, sigma: float) -> float:
    """‖J − Jᵀ‖/‖J + Jᵀ‖ in the Frobenius norm, over the held-out digits at a noise level."""
    truth, generator = held_out()[::2], torch.Generator().manual_seed(0)
    t = round(float(denoiser.schedule.time_at(sigma)))
    a, b = denoiser.schedule.at(t)
    x_t = a * truth + b * torch.randn(truth.shape, generator=generator)
    products = Products(denoiser, x_t, t, labels=torch.full((len(truth),), guidance.NO_CLASS))
    difference = total = 0.0
    for _ in range(PROBES):
        v = torch.randn(truth.shape, generator=generator)
        one, other = products.plain(v), products.transpose(v)
        difference += float((one - other).square().sum())
        total += float((one + other).square().sum())
    return math.sqrt(difference / total)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = ancestral.load(arguments.model)
    plain = model.denoiser
    for parameter in plain.net.parameters():
        parameter.requires_grad_(False)
    rows: list[dict[str, Any]] = []
    ratios: list[dict[str, Any]] = []
    for clip in (True, False):
        denoiser: Denoiser = guidance.Clipped(plain) if clip else plain
        for sigma in LEVELS:
            ratios.append({"clip": clip, "sigma": sigma, "ratio": asymmetry(denoiser, sigma)})
            print(ratios[-1], flush=True)
        for symmetric, solvers in ((False, SOLVERS), (True, (("cg", 3),))):
            for solver, iterations in solvers:
                began = time.process_time()
                scores = energies(Symmetric(denoiser) if symmetric else denoiser, solver, iterations)
                rows.append(
                    {
                        "clip": clip,
                        "symmetric": symmetric,
                        "solver": solver,
                        "iterations": iterations,
                        "energy": float(scores.mean()),
                        "error": float(scores.std() / len(scores) ** 0.5),
                        "seconds": (time.process_time() - began) / (COUNT * MEMBERS),
                    }
                )
                print(rows[-1], flush=True)
    facts = measure.provenance(torch.device("cpu"))
    measure.write_json(measure.RESULTS / RESULTS, {"part": "jacobians", **facts, "rows": rows, "asymmetry": ratios})


if __name__ == "__main__":
    main()
