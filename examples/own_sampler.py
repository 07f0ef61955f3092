"""A custom sampler: one rule that moves x from time t to an earlier time s.

    python examples/own_sampler.py

The rule here is a second-order Adams-Bashforth step on the probability-flow ODE dx = x_0 da + eps db, one network
evaluation a step. The loop, clipping, seeds and conditions are the library's.

Reached: FD of 2,000 samples to the data with 10 network evaluations is 0.0233 ± 0.0014 with DDIM, 0.0186 ± 0.0012 with
this rule.
"""

from argparse import ArgumentParser
from dataclasses import dataclass

from torch import Tensor

import ancestral
from ancestral.samplers import DDIM, Move, Sampler, Spacing
from ancestral.targets import Prediction


@dataclass(frozen=True)
class AdamsBashforth(Sampler):
    steps: int | None = 10
    clip: float | None = 1.0
    spacing: Spacing = "trailing"

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: Prediction | None) -> tuple:
        (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)
        x0, eps = prediction
        if state is not None and move.s:  # extrapolate to the middle of the step; the last step is Euler's
            x0, eps = 1.5 * x0 - 0.5 * state.x0, 1.5 * eps - 0.5 * state.eps
        return x + (a_s - a_t) * x0 + (b_s - b_t) * eps, prediction


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--out", default="runs/own-sampler")
    options = parser.parse_args()
    model = ancestral.train("ddpm-points", out=options.out, steps=options.steps).model
    for sampler in (DDIM(steps=10), AdamsBashforth(steps=10)):
        result = ancestral.evaluate(model, samples=options.samples, sampler=sampler, progress=False)
        print(sampler, result.samples.metrics["frechet"].value)
