"""The one sampling loop, as a generator of `Step`.

A sampler is a rule that moves x from time t to an earlier time s, given the denoiser's estimates of x_0 and ε. What it
needs from one step to the next (a multistep history) it returns as a value, and the loop passes it to the next step.
Progress bars, film strips and animations all read the same generator.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError, whole
from ancestral.randomness import Stream
from ancestral.reverse import prior
from ancestral.schedules import Schedule, Time, broadcast
from ancestral.targets import SIGMA_DATA, X0, Denoiser, Prediction, check_denoiser, exact_at_zero, for_move

Spacing = Literal["trailing", "leading", "linspace", "logsnr", "karras"]


@dataclass(frozen=True, eq=False)
class Step:
    """One state of the reverse process.

    The first holds x_T (or x after noise was added, where a sampler adds noise first), the last the sample, with t = 0
    and x0 = x.

    Attributes:
        index: The number of the state, from 0.
        t: The time.
        x: The state, (B, *).
        x0: The estimate of the clean samples, (B, *). Where a later time follows it is the last one that was made; if
            there is none, x/a.
        state: What the sampler passes from the step before to the next one, such as a multistep history or the weights
            of particles; None if it passes nothing.
    """

    index: int
    t: float
    x: Tensor
    x0: Tensor
    state: Any = None


@dataclass(frozen=True)
class Move:
    """A step t → s that a sampler makes.

    Attributes:
        schedule: The forward process.
        t: The time before the step.
        s: The time after it.
        predict: The (clipped) denoiser, for samplers that evaluate it at a second point; times are one or (B,).
        z: Noise z ~ N(0, I) of the shape of x; its argument numbers the draws of one step, from 0.
        steps: The number of steps of the trajectory.
        indices: The images' indices within the seed.
        clip: The limit to which the sampler clips x̂_0; None if it does not.
    """

    schedule: Schedule
    t: float
    s: float
    predict: Callable[[Tensor, Time], Prediction]
    z: Callable[[int], Tensor]
    steps: int = 1
    indices: Sequence[int] = ()
    clip: float | None = None


@dataclass(frozen=True, eq=False)
class Continuation:
    """Estimates and noise with which a trajectory goes on from one of its states.

    Attributes:
        denoiser: The denoiser.
        condition: What it is conditioned on.
        seed: The seed of the reverse noise.
    """

    denoiser: Denoiser
    condition: Mapping[str, Any]
    seed: int


class Sampler(ABC):
    """The sampling loop. A subclass is a frozen dataclass with these fields, and defines `advance`.

    Attributes:
        clip: x̂_0 is clipped to [−clip, clip]; None: it is not.
        steps: The number of times visited out of T..1; None: all.
        spacing: How these times are spaced; see `spaced_times`.
        differentiates: Whether `advance` takes gradients of its prediction: the loop then evaluates the denoiser with
            gradients, so that `torch.autograd.grad(loss(prediction.x0), x)` needs no second evaluation.
    """

    clip: float | None = None
    steps: int | None = None
    spacing: Spacing = "trailing"
    differentiates: ClassVar[bool] = False

    def __new__(cls, *args: Any, **options: Any) -> "Sampler":
        """Raises InputError for a subclass with fields or arguments of its own that is no dataclass."""
        annotated = {name for name, hint in inspect.get_annotations(cls).items() if "ClassVar" not in str(hint)}
        if annotated - getattr(cls, "__dataclass_fields__", {}).keys() or (
            (args or options) and cls.__init__ is object.__init__
        ):
            raise InputError(f"{cls.__name__} needs @dataclass(frozen=True) in the line above its class statement")
        return super().__new__(cls)

    def times(self, schedule: Schedule) -> Sequence[float]:
        """Times visited, strictly falling from some t ≤ T to 0. Raises InputError as `spaced_times` does."""
        return spaced_times(schedule, self.steps, self.spacing)

    def check(self, denoiser: Denoiser) -> None:
        """Raise InputError if this denoiser cannot be sampled with these settings. Nothing is computed."""
        check_spacing(denoiser.schedule, self.steps, self.spacing)

    def nfe(self, schedule: Schedule) -> int:
        """Number of evaluations of the denoiser for one sample: one a step, for some samplers more.

        It is counted on Gaussian data of deviation ½, which matters to samplers that choose their steps.
        """
        counter = GaussianDenoiser(schedule)
        self.sample(counter, prior(schedule, (1,), 0, range(1)).double())
        return counter.count

    def conditions(self, condition: Mapping[str, Any], x: Tensor) -> Mapping[str, Any]:
        """Return what the denoiser is conditioned on at x: what it was given, and what some samplers add."""
        return condition

    def start(self, x: Tensor, move: Move) -> tuple[Tensor, Move]:
        """Prepare a step: samplers that add noise first return the noisier x and the step from its time."""
        return x, move

    @abstractmethod
    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: Any) -> tuple[Tensor, Any]:
        """Compute x at time `move.s`.

        Args:
            x: The state at time `move.t`, (B, *); it requires a gradient if the sampler `differentiates`.
            prediction: The estimates there.
            move: The step.
            state: What the step before returned; None at the first.

        Returns:
            x at time `move.s`, and the state for the next step.
        """

    @torch.no_grad()
    def trajectory(
        self,
        denoiser: Denoiser,
        x_T: Tensor,
        times: Sequence[float] | None = None,
        noise: Callable[[torch.Size], Tensor] | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        visit: int = 0,
        continuations: Mapping[int, Continuation] | None = None,
        **condition: Any,
    ) -> Iterator[Step]:
        """Sample, and yield every state from x_T to the sample.

        Args:
            denoiser: What estimates x_0 and ε.
            x_T: Noise of the prior at T, floats of shape (B, *). Where the sampler's own times begin below T, it is
                scaled to the prior at the first of them. With `times` it is the state at times[0], and not scaled.
            times: Times, integers or floats, that replace the sampler's own, each another than the one before. Where a
                time rises the loop adds the noise, by q(x_s | x_t) without an evaluation, and the sampler starts
                anew: `resampled` makes RePaint's. If they end above 0, the last state is x at that time, still noisy.
            noise: `noise(shape)` replaces the seeded reverse noise.
            seed: The seed of the reverse noise.
            indices: The images' indices within the seed, 0..B−1 by default: image i gets the same noise in every
                batch.
            visit: The number of the first visit of each time, from 0. Where `times` return to a time, each visit has
                the next number, and with it noise of its own; a caller who returns by another call gives the number.
            continuations: By the number of a state what the trajectory goes on with from there. x of this state is
                what came before; its estimate x0 is the first one that follows. The sampler keeps its history.
            condition: What the denoiser is conditioned on.

        Yields:
            A `Step` for each time visited.

        Raises:
            InputError: If the times, x_T, the indices, `visit` or `clip` cannot be used, or `advance` does not return x
                and a state.
        """
        check_denoiser(denoiser)
        schedule = denoiser.schedule
        visit = whole(visit, 0, math.inf, f"visit is a whole number, 0 or more, not {visit}")
        visited = check_times(self.times(schedule) if times is None else times, schedule)
        indices = range(len(x_T)) if indices is None else indices
        self._check_states(x_T, indices)
        now = denoiser

        def predict(x: Tensor, t: Time) -> Prediction:
            prediction = now.predict(x, t, **self.conditions(condition, x))
            return prediction if self.clip is None else prediction.clipped(self.clip, x, *schedule.at(t))

        scale = schedule.prior_deviation(visited[0]) / schedule.prior_std if times is None else 1.0
        x, state = x_T * scale, None  # noise of time T becomes noise of the first time
        x0: Tensor | None = None
        visits = Counter[float]()

        def z_of(draw: int, x: Tensor, t: float, visit: int) -> Tensor:
            if noise is not None:
                return noise(x.shape).to(x).expand_as(x)
            number = (draw, visit) if visit else draw or None
            return randomness.normal(x.shape[1:], seed, Stream.REVERSE, t, indices, x.device, number).to(x)

        for index, (t, s) in enumerate(pairwise(visited)):
            z = partial(z_of, x=x, t=t, visit=visit + visits[t])
            visits[t] += 1
            move = Move(schedule, t, s, predict, z, len(visited) - 1, indices, self.clip)
            if s < t:
                x, move = self.start(x, move)
            if continuations and index in continuations:  # noise that `start` added belongs to the state
                following = continuations[index]
                denoiser, condition, seed = following.denoiser, dict(following.condition), following.seed
            if s > t:
                yield Step(index, t, x, x / schedule.at(t)[0] if x0 is None or t == 0 else x0)
                x, state = schedule.forward(x, s, t).sample(z(0)), None
                continue
            now = for_move(denoiser, move)
            with torch.set_grad_enabled(self.differentiates):
                x = x.detach().requires_grad_() if self.differentiates else x
                prediction = predict(x, move.t)
            x0 = prediction.x0.detach()
            yield Step(index, move.t, x.detach(), x0, state)
            with torch.set_grad_enabled(self.differentiates):
                x, state = self._checked(self.advance(x, prediction, move, state), x)
        now = denoiser
        yield Step(len(visited) - 1, visited[-1], x, predict(x, visited[-1]).x0 if visited[-1] else x, state)

    def _check_states(self, x_T: Tensor, indices: Sequence[int]) -> None:
        if len(indices) != len(x_T) or not x_T.is_floating_point():
            raise InputError(f"x_T must hold floats, one image for each of the {len(indices)} indices")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip must be above 0, or None, not {self.clip}")

    def _checked(self, answer: Any, x: Tensor) -> tuple[Tensor, Any]:
        """Return what `advance` did, without gradients; raise InputError unless it is the next x and a state."""
        following, *state = answer if isinstance(answer, tuple) else (None, None)
        fits = isinstance(following, Tensor) and (following.shape, following.dtype) == (x.shape, x.dtype)
        if not fits or len(state) != 1:
            name, shape = type(self).__name__, list(x.shape)
            raise InputError(f"advance of {name} must return (x, state): x {shape} of {x.dtype}, and a state or None")
        return following.detach(), state[0]

    def sample(self, denoiser: Denoiser, x_T: Tensor, times: Sequence[float] | None = None, **options: Any) -> Tensor:
        """Sample: the last state of `trajectory`, of the shape of x_T. The options are those of `trajectory`."""
        *_, last = self.trajectory(denoiser, x_T, times, **options)
        return last.x


class GaussianDenoiser:
    """The exact denoiser of x_0 ~ N(0, σ_d²), which counts its evaluations: for questions about a sampler."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.count = schedule, 0

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimate x_0 and ε, and count the evaluation."""
        self.count += 1
        a, b = self.schedule.at(t)
        x0 = broadcast(a * SIGMA_DATA**2 / (a**2 * SIGMA_DATA**2 + b**2), x_t) * x_t
        x0, eps = X0.solve(x_t, x0, a, b)
        return Prediction(x0, eps, torch.zeros_like(x_t))  # for samplers with a learned variance too


def times_from(sampler: Sampler, schedule: Schedule, t: float) -> list[float]:
    """Times of a trajectory that begins at time t: t itself, and the sampler's own times below it.

    Args:
        sampler: The sampler.
        schedule: The schedule.
        t: The time of the first state, above 0, an integer or a float.

    Returns:
        Falling times, at least two, for `Sampler.trajectory`.

    Raises:
        InputError: If t is not a time of the schedule above 0, or the sampler's times cannot be used.
    """
    first = schedule.time(t)
    if isinstance(first, Tensor) or not first > 0:
        raise InputError(f"a trajectory begins at one time above 0, not {t}")
    return [first, *(s for s in sampler.times(schedule) if s < first)]


def spaced_times(schedule: Schedule, steps: int | None, spacing: Spacing) -> list[int]:
    """Choose the times that a sampler visits.

    "trailing" starts at T and ends at about T/steps. "leading" ends at 1 and starts within T/steps of T. "linspace"
    contains both ends. "logsnr" spaces log a/b evenly and "karras" the seventh root of σ = b/a, as near as the times
    of this schedule allow; both contain both ends.

    Args:
        schedule: The schedule, with times 1..T.
        steps: The number of times; None: all T.
        spacing: How they are spaced.

    Returns:
        `steps` times out of 1..T, falling, then 0.

    Raises:
        InputError: Unless 1 ≤ steps ≤ T, for an unknown spacing, and where "leading" starts at a time t < T whose x_t
            is not noise alone: data of deviation σ_d = ½ makes its deviation √(a²σ_d² + b²) over 5 % larger than b.

    References:
        Lin et al., *Common diffusion noise schedules and sample steps are flawed* (2024), table 2, whose indices are
        t − 1; Karras et al., *Elucidating the design space of diffusion-based generative models* (2022), eq. 5.
    """
    check_spacing(schedule, steps, spacing)
    T = schedule.steps
    count = T if steps is None else int(steps)
    if spacing == "trailing":
        return [round(T - i * (T / count)) for i in range(count)] + [0]
    if spacing == "leading":
        return [1 + i * T // count for i in reversed(range(count))] + [0]
    if spacing == "linspace":
        gap = (T - 1) / max(count - 1, 1)
        return [1 + round(i * gap) for i in reversed(range(count))] + [0] if count > 1 else [T, 0]
    sigma = schedule.noise[1:] / schedule.signal[1:]
    curves = {"logsnr": sigma.log(), "karras": sigma ** (1 / 7)}
    return _even_times(curves[spacing], count)


def check_spacing(schedule: Schedule, steps: int | None, spacing: Spacing) -> None:
    """Raise InputError as `spaced_times` does, without computing the times."""
    T = schedule.steps
    message = f"{steps} sampling steps do not fit a schedule of {T}; choose 1 to {T}"
    count = T if steps is None else whole(steps, 1, T, message)
    if spacing not in get_args(Spacing):
        raise InputError(f"unknown spacing {spacing!r}; there are trailing, leading, linspace, logsnr and karras")
    if spacing == "leading":
        a, b = schedule.at(first := 1 + (count - 1) * T // count)
        if first < T and math.hypot(a * SIGMA_DATA, b) > 1.05 * b:
            raise InputError(
                f"leading spacing with {count} of {T} steps starts at t = {first}, where x_t is not noise alone; take "
                "more steps, or trailing spacing"
            )


def _even_times(curve: Tensor, count: int) -> list[int]:
    """The `count` times whose values on the rising curve of t = 1..T are nearest to even spacing, falling, then 0.

    Where no signal is left the curve is infinite: that time comes first, and the others share the finite part.
    """
    finite = int(curve.isfinite().sum())
    times = list(range(len(curve), finite, -1))[:count]
    rest = count - len(times)
    for position, value in enumerate(
        torch.linspace(float(curve[finite - 1]), float(curve[0]), rest, dtype=torch.float64)
    ):
        after = int(torch.searchsorted(curve[:finite], value).clamp(1, max(finite - 1, 1)))
        nearest = after + int(value - curve[after - 1] > curve[min(after, finite - 1)] - value)
        below = (times[-1] if times else len(curve) + 1) - 1
        times.append(max(min(nearest, below), rest - position))  # all different, with enough left for the others
    return [*times, 0]


def resampled(times: Sequence[float], jump: int = 10, repeats: int = 10) -> list[float]:
    """Return RePaint's times: falling ones whose every stretch of `jump` steps is gone through `repeats` times.

    After `jump` steps down the time rises to where they began. The stretches are counted from the last noisy time, so
    that steps before the first whole one, and the step to 0, are made once. With `guidance.Replacement` a known region
    then agrees better with what is drawn beside it.

    Args:
        times: Times that fall strictly, for example those of a sampler.
        jump: The number of steps of a stretch, the paper's j.
        repeats: The number of times that a stretch is gone through, the paper's r (U in its algorithm 1).

    Raises:
        InputError: If the times do not fall, or a number is not whole, 1 or more.

    References:
        Lugmayr et al., *RePaint: inpainting using denoising diffusion probabilistic models* (2022), algorithm 1.
    """
    jump = whole(jump, 1, math.inf, f"jump is a whole number of steps, 1 or more, not {jump}")
    repeats = whole(repeats, 1, math.inf, f"repeats is a whole number, 1 or more, not {repeats}")
    times = list(times)
    if len(times) < 2 or not all(s < t for t, s in pairwise(times)):
        raise InputError(f"times to resample must fall strictly, and be two or more, not {times}")
    last = len(times) - (1 if times[-1] > 0 else 2)
    path = times[: last % jump + 1]
    for start in range(last % jump, last, jump):
        path = path[:-1] + repeats * times[start : start + jump + 1]
    return path + times[last + 1 :]


def check_times(times: Sequence[float], schedule: Schedule) -> list[float]:
    """Return the times as ints and floats. Raises InputError unless each is in the schedule, and another than before.

    Of x without signal there is no noisier x: a rise begins where a > 0.
    """
    times = [float(t) if isinstance(t, Tensor) else t for t in times]
    message = f"times are two or more numbers from 0 to {schedule.steps}, each another than the one before, not {times}"
    try:
        visited = [schedule.time(t) for t in times]
    except InputError:
        raise InputError(message) from None
    if len(visited) < 2 or any(s == t for t, s in pairwise(visited)):
        raise InputError(message)
    if any(s > t and schedule.at(t)[0] == 0 for t, s in pairwise(visited)):
        raise InputError(f"times cannot rise from one at which no signal is left: {times}")
    return visited  # type: ignore[return-value]  # no tensor among them
