"""The one sampling loop, as a generator of `Step`.

A sampler is a rule that moves x from time t to an earlier time s, given the denoiser's estimate of x_0 and ε. What it
needs from one step to the next (a multistep history) it returns as a value, and the loop hands it back. Progress bars,
film strips, animations and the studio all read the same generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import InputError
from ancestral.schedules import Schedule
from ancestral.targets import X0, Denoiser, Prediction

Spacing = Literal["trailing", "leading", "linspace"]


@dataclass(frozen=True, eq=False)
class Step:
    """One state of the reverse process: x at time t, and the estimate x0 of the clean images made from it.

    The first is x_T, the last has t = 0 and is the sample, with x0 = x.
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
    z: Callable[[], Tensor]
    """Draws the reverse noise z ~ N(0, I) of this step, of the shape of x."""


class Sampler(ABC):
    """What all samplers share: the loop. A subclass is a frozen dataclass with `times` and `advance`."""

    clip: float | None
    """x̂_0 is kept within [−clip, clip]; None leaves it alone."""

    @abstractmethod
    def times(self, schedule: Schedule) -> list[int]:
        """The times visited, strictly falling from some t ≤ T to 0."""

    @abstractmethod
    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: Any) -> tuple[Tensor, Any]:
        """X at time `move.s` from x at time `move.t`, with the state for the next step (None before the first)."""

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
        """Every state from x_T, of shape (B, *), down to the sample.

        `times` replaces the sampler's own; it must fall strictly and end at 0. `noise(shape)` replaces the seeded
        reverse noise. `indices` are the images' numbers within the seed (0..B−1 unless given): image i gets the same
        noise in whatever batch it is drawn. `condition` goes to the denoiser. Raises InputError for unusable times.
        """
        schedule = denoiser.schedule
        times = _checked(self.times(schedule) if times is None else [int(t) for t in times], schedule)
        places = range(len(x_T)) if indices is None else indices
        if len(places) != len(x_T) or not x_T.is_floating_point():
            raise InputError(f"x_T must hold floats, one image for each of the {len(places)} indices")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip must be above 0, or None, not {self.clip}")

        def predict(x: Tensor, t: int) -> Prediction:
            prediction = denoiser.predict(x, t, **condition)
            if self.clip is None:
                return prediction
            return X0.solve(x, prediction.x0.clamp(-self.clip, self.clip), *schedule.at(t))

        x, state = x_T, None
        for index, (t, s) in enumerate(pairwise(times)):

            def z(x: Tensor = x, t: int = t) -> Tensor:
                if noise is not None:
                    return noise(x.shape).to(x).expand_as(x)
                return randomness.normal(x.shape[1:], seed, "reverse", t, places, x.device).to(x)

            prediction = predict(x, t)
            yield Step(index, t, x, prediction.x0)
            x, state = self.advance(x, prediction, Move(schedule, t, s, predict, z), state)
        yield Step(len(times) - 1, 0, x, x)

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


def spaced(schedule: Schedule, steps: int | None, spacing: Spacing) -> list[int]:
    """`steps` times out of 1..T, falling, then 0; all T where steps is None.

    "trailing" starts at T and ends anywhere, "leading" ends at 1 and starts anywhere, "linspace" holds both ends (Lin
    et al. 2024, table 2, whose indices are t − 1). Raises InputError unless 1 ≤ steps ≤ T.
    """
    T = schedule.steps
    count = T if steps is None else steps
    if not isinstance(count, int) or not 1 <= count <= T:
        raise InputError(f"{count} sampling steps do not fit a schedule of {T}; choose 1 to {T}")
    if spacing == "trailing":
        return [round(T - i * (T / count)) for i in range(count)] + [0]
    if spacing == "leading":
        return [1 + i * (T // count) for i in reversed(range(count))] + [0]
    if spacing == "linspace":
        gap = (T - 1) / max(count - 1, 1)
        return [1 + round(i * gap) for i in reversed(range(count))] + [0] if count > 1 else [T, 0]
    raise InputError(f"unknown spacing {spacing!r}; there are trailing, leading and linspace")


def _checked(times: list[int], schedule: Schedule) -> list[int]:
    falling = all(s < t for t, s in pairwise(times))
    if len(times) < 2 or not falling or times[-1] != 0 or times[0] > schedule.steps:
        raise InputError(f"times must fall strictly from at most {schedule.steps} to 0, not {times}")
    return times
