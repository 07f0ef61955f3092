"""The methods of the history side by side, on points: how near each comes to the data, and what that costs it.

Cost is counted in passes of the network, since a step of Heun's costs two and a level of Langevin's several.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.model import Model
from ancestral.samplers import Sampler, Step
from ancestral.schedules import Schedule

COUNT = 5000
"""Samples whose distance to as many held-out points is measured."""
PATHS = 30
"""Samples whose way from the noise is kept."""
STATES = 100
"""States of each way that are kept: more than the eye tells apart."""
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
"""Numbers of steps tried, as shares of the method's own."""
MOST = 1000
"""Passes beyond which nothing is tried: what DDPM takes."""
SLACK = 1.5
"""How far from its best a method may be and have got there: by luck alone, two clouds of the data differ as much."""


class Measure(NamedTuple):
    """The distance to the data after so many steps, which took so many passes of the network."""

    steps: int
    passes: int
    distance: float


class Study:
    """One method under study. `run` measures it; then `measures`, `paths` and `cloud` are there."""

    def __init__(self, model: Model, held_out: Tensor, seed: int = 0) -> None:
        """`held_out` are points (N, 2) that the model did not see; as many samples are drawn."""
        self.model, self.held_out, self.seed = model, held_out, seed
        sampler = model.sampler()
        self.own = len(sampler.times(model.denoiser.schedule)) - 1
        self.samplers = dict(self._ladder())
        self.measures: list[Measure] = []
        self.paths: list[tuple[int, Tensor]] = []
        """(t, x_t) of the first PATHS samples, by the method's own number of steps."""
        self.cloud = torch.empty(0, 2)
        """All samples by the method's own number of steps: (N, 2)."""

    def _ladder(self) -> Iterator[tuple[int, Sampler]]:
        """The numbers of steps that are tried, rising, each with its sampler."""
        for steps in sorted({max(1, round(share * self.own)) for share in SHARES}):
            if steps > self.model.denoiser.schedule.steps:
                return
            sampler = self.model.sampler(steps=steps)
            if steps > self.own and sampler.nfe(self.model.denoiser.schedule) > MOST:
                return
            yield steps, sampler

    def run(self) -> Iterator[Step]:
        """Sample by each number of steps, from the same x_T. Yields every step on the way."""
        denoiser, indices = self.model.denoiser, range(len(self.held_out))
        for steps, sampler in self.samplers.items():
            x_T = start(denoiser.schedule, len(indices), self.seed).to(self.model.device)
            kept = {round(place * steps / STATES) for place in range(STATES + 1)}
            for step in sampler.trajectory(denoiser, x_T, seed=self.seed, indices=indices):
                if steps == self.own and step.index in kept:
                    self.paths.append((step.t, step.x[:PATHS].cpu()))
                yield step
            cloud = self.model.spec.codec.decode(step.x).cpu()
            self.measures.append(Measure(steps, sampler.nfe(denoiser.schedule), distance(cloud, self.held_out)))
            if steps == self.own:
                self.cloud = cloud

    def best(self) -> Measure:
        """The nearest that the method comes."""
        return min(self.measures, key=lambda measure: measure.distance)

    def needed(self, floor: float) -> Measure:
        """The fewest passes that come within SLACK of the method's best, or as near as the data comes to itself."""
        enough = max(SLACK * self.best().distance, floor)
        return min((m for m in self.measures if m.distance <= enough), key=lambda measure: measure.passes)

    def figures(self, floor: float) -> dict[str, Any]:
        """All that was measured, for JSON."""
        config = self.model.config
        return {
            "schedule": self.model.denoiser.schedule.spec,
            "target": config.process.target,
            "weighting": config.train.weighting,
            "times": config.train.times,
            "learned_variance": config.process.learned_variance,
            "sampler": config.sample.sampler,
            "training_steps": self.model.step,
            "own": next(m for m in self.measures if m.steps == self.own)._asdict(),
            "best": self.best()._asdict(),
            "needed": self.needed(floor)._asdict(),
            "measures": [measure._asdict() for measure in self.measures],
        }


def start(schedule: Schedule, count: int, seed: int) -> Tensor:
    """x_T of the prior, (count, 2), spread evenly: deterministic samplers carry its luck on to the samples."""
    engine = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    even: Tensor = engine.draw(count, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    x_T: Tensor = schedule.prior_std * torch.special.ndtri(even)
    return x_T.float()


def distance(cloud: Tensor, other: Tensor, directions: int = 64) -> float:
    """The sliced Wasserstein-2 distance of two clouds (N, 2): over even directions, that of their shadows."""
    angles = torch.arange(directions, dtype=torch.float64) * math.pi / directions
    rays = torch.stack([angles.cos(), angles.sin()])
    shadows, others = ((points.double() @ rays).sort(0).values for points in (cloud, other))
    return (shadows - others).square().mean().sqrt().item()


def floor(points: Tensor, held_out: Tensor) -> float:
    """What the data is away from itself: the mean distance of clouds of the training points to the held-out ones.

    No method can be expected to come nearer. There must be at least as many training points.
    """
    clouds = points[: len(points) // len(held_out) * len(held_out)].reshape(-1, *held_out.shape)
    return sum(distance(cloud, held_out) for cloud in clouds) / len(clouds)


def on_one_scale(schedule: Schedule, paths: Sequence[tuple[int, Tensor]]) -> Tensor:
    """x_t/max(1, √(a_t² + b_t²)), of shape (S, N, 2): what explodes is drawn at the scale of what does not.

    Where a² + b² is 1, or less as for flow, this is x_t; where the noise grows to σ = 80 it starts at N(0, I) all the
    same, and the sample is itself in any case.
    """
    return torch.stack([x / max(1.0, math.hypot(*schedule.at(t))) for t, x in paths])
