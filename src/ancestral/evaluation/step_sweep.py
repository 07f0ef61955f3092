"""A sweep over the number of sampling steps of a model of points: distance to the data against network passes.

Cost is counted in passes of the network, since a step of Heun's method takes two and a level of Langevin's several.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ancestral.model import Model
from ancestral.results.history_result import HistoryPoint
from ancestral.samplers import Sampler, Step, record
from ancestral.schedules import Schedule

PATHS, STATES = 30, 100
"""The number of samples whose paths are kept, and of states of each path."""
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
"""Numbers of steps that are tried, as fractions of the model's own."""
MAX_PASSES = 1000
"""Passes above which no larger number of steps is tried: what DDPM takes."""
TOLERANCE = 1.5
"""A method has converged when its distance is within this factor of its best. Two independent samples of the data
differ by about this factor."""


@dataclass(frozen=True, eq=False)
class StepSweep:
    """The distance for each number of steps, rising (`points`); by the model's own number of steps, states of the first
    samples (PATHS, 2) on the way from noise, and all samples (N, 2).
    """

    model: Model
    points: Sequence[HistoryPoint]
    own_steps: int
    states: Sequence[Step]
    samples: Tensor

    def own(self) -> HistoryPoint:
        """Return the distance by the model's own number of steps."""
        return next(point for point in self.points if point.steps == self.own_steps)

    def best(self) -> HistoryPoint:
        """Return the smallest distance."""
        return min(self.points, key=lambda point: point.distance)

    def needed(self, floor: float) -> HistoryPoint:
        """Return the fewest passes whose distance is within TOLERANCE of the best, or at most `floor`."""
        enough = max(TOLERANCE * self.best().distance, floor)
        return min((p for p in self.points if p.distance <= enough), key=lambda point: point.passes)


def own_steps(model: Model) -> int:
    """Return the number of steps of a model's own sampler."""
    return len(model.sampler().times(model.denoiser.schedule)) - 1


def step_samplers(model: Model) -> dict[int, Sampler]:
    """Return the model's own sampler with each number of steps of the sweep, by that number, rising."""
    own, samplers, schedule = own_steps(model), dict[int, Sampler](), model.denoiser.schedule
    for steps in sorted({max(1, round(fraction * own)) for fraction in FRACTIONS}):
        if steps > schedule.steps:
            break
        sampler = model.sampler(steps=steps)
        if steps > own and sampler.nfe(schedule) > MAX_PASSES:
            break
        samplers[steps] = sampler
    return samplers


def sweep_steps(
    model: Model, reference: Tensor, seed: int = 0
) -> Generator[tuple[Sequence[int], Step], None, StepSweep]:
    """Sample as many points as the reference set (N, 2) has with each number of steps, and measure the distance to it.

    All numbers of steps start from the same x_T. Yields what `samplers.record` yields, after each step.
    """
    denoiser, indices, own = model.denoiser, range(len(reference)), own_steps(model)
    x_T = even_prior(denoiser.schedule, len(indices), seed).to(model.device)
    points, kept = [], None
    for steps, sampler in step_samplers(model).items():
        recording = yield from record(
            partial(_trajectory, model, sampler, x_T, seed),
            indices,
            batch_size=len(indices),
            convert=lambda x: model.spec.codec.decode(x).cpu(),
            keep=sorted({round(i * steps / STATES) for i in range(STATES + 1)}) if steps == own else (),
            followed=PATHS,
        )
        distance = sliced_wasserstein(recording.samples, reference)
        points.append(HistoryPoint(steps, sampler.nfe(denoiser.schedule), distance))
        kept = recording if steps == own else kept
    assert kept is not None
    return StepSweep(model, points, own, kept.states, kept.samples)


def _trajectory(model: Model, sampler: Sampler, x_T: Tensor, seed: int, indices: Sequence[int]) -> Iterator[Step]:
    return sampler.trajectory(model.denoiser, x_T, seed=seed, indices=indices)


def even_prior(schedule: Schedule, count: int, seed: int) -> Tensor:
    """Draw x_T (count, 2) from the prior by a scrambled Sobol sequence: deterministic samplers keep its evenness."""
    engine = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    uniform: Tensor = engine.draw(count, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    x_T: Tensor = schedule.prior_std * torch.special.ndtri(uniform)
    return x_T.float()


def sliced_wasserstein(points: Tensor, others: Tensor, directions: int = 64) -> float:
    """Return the sliced Wasserstein-2 distance of two clouds (N, 2), over evenly spaced directions."""
    angles = torch.arange(directions, dtype=torch.float64) * math.pi / directions
    rays = torch.stack([angles.cos(), angles.sin()])
    one, other = ((cloud.double() @ rays).sort(0).values for cloud in (points, others))
    return (one - other).square().mean().sqrt().item()


def data_floor(points: Tensor, reference: Tensor) -> float:
    """Return the distance of the data to itself, the smallest that can be expected of samples.

    It is the mean distance of disjoint sets of N training points to a reference set (N, 2) of held-out points.
    """
    clouds = points[: len(points) // len(reference) * len(reference)].reshape(-1, *reference.shape)
    return sum(sliced_wasserstein(cloud, reference) for cloud in clouds) / len(clouds)
