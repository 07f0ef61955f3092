"""The one sampling loop, as a generator of `Step`.

A sampler is a rule that moves x from time t to an earlier time s, given the denoiser's estimate of x_0 and ε. What it
needs from one step to the next (a multistep history) it returns as a value, and the loop hands it back. Progress bars,
film strips, animations and the studio all read the same generator.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import InputError, whole
from ancestral.randomness import Stream
from ancestral.schedules import Schedule, Time
from ancestral.targets import SIGMA_DATA, Denoiser, Prediction

Spacing = Literal["trailing", "leading", "linspace", "logsnr", "karras"]


@dataclass(frozen=True, eq=False)
class Step:
    """One state of the reverse process: x at time t, and the estimate x0 of the clean images made from it.

    The first is x_T (or what a sampler that adds noise first makes of it), the last has t = 0 and is the sample, with
    x0 = x.
    """

    index: int
    t: int
    x: Tensor
    x0: Tensor


@dataclass(frozen=True)
class Move:
    """The step t → s that a sampler is asked to make."""

    schedule: Schedule
    t: int
    s: int
    predict: Callable[[Tensor, int], Prediction]
    """The (clipped) denoiser, for samplers that look at a second point."""
    z: Callable[[int], Tensor]
    """The reverse noise z ~ N(0, I) of this step, of the shape of x: number 0, 1, ... of those that a step needs."""
    steps: int = 1
    """The number of steps of the trajectory that this one is part of."""


class Sampler(ABC):
    """What all samplers share: the loop. A subclass is a frozen dataclass with these fields and `advance`."""

    clip: float | None
    """x̂_0 is kept within [−clip, clip]; None leaves it alone."""
    steps: int | None
    """How many of the times T..1 are visited; all for None."""
    spacing: Spacing
    """Which ones; see `spaced`."""

    def times(self, schedule: Schedule) -> list[int]:
        """The times visited, strictly falling from some t ≤ T to 0.

        Raises:
            InputError: As `spaced` does.
        """
        return spaced(schedule, self.steps, self.spacing)

    def passes(self, schedule: Schedule) -> int:
        """How often a denoiser is asked on the way to a sample: once a step, by some samplers more often."""
        blank = _Blank(schedule)
        self.sample(blank, torch.zeros(1, 1))
        return blank.asked

    def start(self, x: Tensor, move: Move) -> tuple[Tensor, Move]:
        """Where the denoiser is asked: at x and `move.t`, unless a sampler adds noise first and steps from there."""
        return x, move

    @abstractmethod
    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: Any) -> tuple[Tensor, Any]:
        """x at time `move.s` from x at time `move.t`, with the state for the next step (None before the first)."""

    @torch.no_grad()
    def trajectory(
        self,
        denoiser: Denoiser,
        x_T: Tensor,
        times: Sequence[int] | None = None,
        noise: Callable[[torch.Size], Tensor] | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        **condition: Any,
    ) -> Iterator[Step]:
        """Every state from x_T down to the sample.

        Args:
            denoiser: What estimates x_0 and ε.
            x_T: Noise of the prior at T, floats of shape (B, *). Where the sampler's own times begin below T, it is
                scaled to the prior at the first of them. With `times` it is the state at times[0] and left as it is.
            times: Replace the sampler's own times. They must fall strictly; where they end above 0, the last state is
                x at that time, still noisy.
            noise: `noise(shape)` replaces the seeded reverse noise.
            seed: The seed of the reverse noise.
            indices: The images' numbers within the seed, 0..B−1 unless given: image i gets the same noise in every
                batch.
            condition: Passed on to the denoiser.

        Yields:
            A `Step` for each time visited.

        Raises:
            InputError: If the times, x_T, the indices or `clip` cannot be used.
        """
        schedule = denoiser.schedule
        visited = _checked(self.times(schedule) if times is None else times, schedule)
        places = range(len(x_T)) if indices is None else indices
        if len(places) != len(x_T) or not x_T.is_floating_point():
            raise InputError(f"x_T must hold floats, one image for each of the {len(places)} indices")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip must be above 0, or None, not {self.clip}")

        def predict(x: Tensor, t: int) -> Prediction:
            prediction = denoiser.predict(x, t, **condition)
            return prediction if self.clip is None else prediction.clipped(self.clip, x, *schedule.at(t))

        fade = schedule.prior_deviation(visited[0]) / schedule.prior_std if times is None else 1.0
        x, state = x_T * fade, None  # noise of time T becomes noise of the first time
        for index, (t, s) in enumerate(pairwise(visited)):

            def z(draw: int, x: Tensor = x, t: int = t) -> Tensor:
                if noise is not None:
                    return noise(x.shape).to(x).expand_as(x)
                return randomness.normal(x.shape[1:], seed, Stream.REVERSE, t, places, x.device, draw or None).to(x)

            x, move = self.start(x, Move(schedule, t, s, predict, z, len(visited) - 1))
            prediction = predict(x, move.t)
            yield Step(index, move.t, x, prediction.x0)
            x, state = self.advance(x, prediction, move, state)
        yield Step(len(visited) - 1, visited[-1], x, predict(x, visited[-1]).x0 if visited[-1] else x)

    def sample(
        self,
        denoiser: Denoiser,
        x_T: Tensor,
        times: Sequence[int] | None = None,
        noise: Callable[[torch.Size], Tensor] | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        **condition: Any,
    ) -> Tensor:
        """The last state of `trajectory`: samples of the shape of x_T."""
        *_, last = self.trajectory(denoiser, x_T, times, noise, seed, indices, **condition)
        return last.x


class _Blank:
    """A denoiser that knows nothing, but how often it was asked."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.asked = schedule, 0

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        self.asked += 1
        return Prediction(*torch.zeros(3, *x_t.shape, dtype=x_t.dtype, device=x_t.device))


def spaced(schedule: Schedule, steps: int | None, spacing: Spacing) -> list[int]:
    """The times that a sampler visits.

    "trailing" starts at T and ends at about T/steps. "leading" ends at 1 and starts within T/steps of T, at the times
    of Lin et al. where steps divides T. "linspace" holds both ends (Lin et al. 2024, table 2, whose indices are t − 1).
    "logsnr" spaces log a/b evenly and "karras" the seventh root of σ = b/a (Karras et al. 2022, eq. 5), as near as the
    times of this schedule allow; both hold both ends.

    Args:
        schedule: The schedule, with times 1..T.
        steps: The number of times, all T for None.
        spacing: How they are spaced.

    Returns:
        `steps` times out of 1..T, falling, then 0.

    Raises:
        InputError: Unless 1 ≤ steps ≤ T, for an unknown spacing, and where "leading" starts at a time t < T whose x_t
            is no noise: data of deviation σ_d = ½ makes its deviation √(a²σ_d² + b²) more than 5 % larger than b.
    """
    T = schedule.steps
    says = f"{steps} sampling steps do not fit a schedule of {T}; choose 1 to {T}"
    count = T if steps is None else whole(steps, 1, T, says)
    if spacing == "trailing":
        return [round(T - i * (T / count)) for i in range(count)] + [0]
    if spacing == "leading":
        a, b = schedule.at(first := 1 + (count - 1) * T // count)
        if first < T and math.hypot(a * SIGMA_DATA, b) > 1.05 * b:
            raise InputError(
                f"leading spacing with {count} of {T} steps starts at t = {first}, where x_t is not noise alone; take "
                "more steps, or trailing spacing"
            )
        return [1 + i * T // count for i in reversed(range(count))] + [0]
    if spacing == "linspace":
        gap = (T - 1) / max(count - 1, 1)
        return [1 + round(i * gap) for i in reversed(range(count))] + [0] if count > 1 else [T, 0]
    sigma = schedule.noise[1:] / schedule.signal[1:]
    curves = {"logsnr": sigma.log(), "karras": sigma ** (1 / 7)}
    if spacing not in curves:
        raise InputError(f"unknown spacing {spacing!r}; there are trailing, leading, linspace, logsnr and karras")
    return _evenly(curves[spacing], count)


def _evenly(curve: Tensor, count: int) -> list[int]:
    """The `count` times whose values on the rising curve of t = 1..T are nearest to even ones, falling, then 0.

    Where no signal is left the curve is infinite: that time comes first, and the others share what is finite.
    """
    finite = int(curve.isfinite().sum())
    times = list(range(len(curve), finite, -1))[:count]
    rest = count - len(times)
    for place, value in enumerate(torch.linspace(float(curve[finite - 1]), float(curve[0]), rest, dtype=torch.float64)):
        after = int(torch.searchsorted(curve[:finite], value).clamp(1, max(finite - 1, 1)))
        nearest = after + int(value - curve[after - 1] > curve[min(after, finite - 1)] - value)
        below = (times[-1] if times else len(curve) + 1) - 1
        times.append(max(min(nearest, below), rest - place))  # all different, with enough left for those that follow
    return [*times, 0]


def _checked(times: Sequence[int], schedule: Schedule) -> list[int]:
    times, T = list(times), schedule.steps
    says = f"times must be whole numbers that fall strictly, from at most {T} to 0 or above, not {times}"
    times = [whole(t, 0, T, says) for t in times]
    if len(times) < 2 or not all(s < t for t, s in pairwise(times)):
        raise InputError(says)
    return times
