"""The inverse of a deterministic sampler: from a clean item x_0 to the x_T that it is sampled from."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ancestral.base.device_tensors import float64_device
from ancestral.base.errors import InputError
from ancestral.gaussian import Scalar
from ancestral.guidance import Clipped, Skip
from ancestral.samplers.loop import GaussianDenoiser, Move, Sampler, Step, check_times
from ancestral.schedules import Schedule, Time, check_floats, per_item
from ancestral.targets import SIGMA_DATA, Denoiser, Prediction, check_denoiser, for_move

INVERSION_TOLERANCE = 2e-5
"""The largest error of an inverted step, in units of √(a² + b²): 0.003 levels of 255."""
MOST_CORRECTIONS = 60
"""The largest number of corrections of one step."""
MEMORY = 6
"""The number of earlier corrections that Anderson acceleration combines."""


@torch.no_grad()
def inverse_trajectory(
    denoiser: Denoiser,
    x0: Tensor,
    sampler: Sampler,
    times: Sequence[float] | None = None,
    tolerance: float = INVERSION_TOLERANCE,
    **condition: Any,
) -> Iterator[Step]:
    """Invert a deterministic sampler, and yield every state from x_0 to x_T.

    Each step of the sampler from time t to s is inverted by itself: beginning with the step taken backwards along the
    probability flow, x_t is corrected until the sampler's own step leads from it to x_s. So the way back is as exact as
    the tolerance, with few steps too. The last step to t = 0 returns x̂_0, which of a network is one image for many x_t,
    and never some images: wrap the denoiser in `guidance.Skip`, for this and for sampling from x_T.

    An item's x_T does not depend on the other items of the batch, beyond the rounding of the denoiser.

    Args:
        denoiser: The denoiser that is sampled from.
        x0: Clean items, floats (B, *).
        sampler: A sampler of the probability flow: Heun without churn, DDIM with eta = 0, or Euler. Its clip holds.
        times: Times that replace the sampler's own, as of `Sampler.trajectory`. Where they end above 0, x0 is the state
            at that time.
        tolerance: The largest error of a step, in units of √(a² + b²). The corrections stop there.
        condition: What the denoiser is conditioned on.

    Yields:
        A `Step` for each time, rising from x_0 to x_T. The last has the x_T from which the sampler with these times
        returns x_0; its x0 is the denoiser's estimate, as of the others.

    Raises:
        InputError: If the sampler adds noise or remembers earlier steps, the times cannot be used, or no x_t leads to
            x_s within ten times the tolerance.

    References:
        Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), section 4.3.
        Walker and Ni, *Anderson acceleration for fixed-point iterations* (2011).
    """
    check_denoiser(denoiser)
    check_floats(x0)
    if not tolerance > 0:
        raise InputError(f"tolerance must be above 0, not {tolerance}")
    schedule = denoiser.schedule
    visited = check_times(sampler.times(schedule) if times is None else times, schedule)
    _check_deterministic(sampler, visited, schedule)
    advice = f"take more than {len(visited) - 1} steps"
    if not (isinstance(denoiser, Skip) and isinstance(denoiser.denoiser, Clipped)):
        advice += ", or wrap it, guidance.Skip(guidance.Clipped(denoiser)), with weights in float32 or float64"
    denoiser = denoiser if sampler.clip is None else Clipped(denoiser, sampler.clip)
    now = denoiser

    def predict(x: Tensor, t: Time) -> Prediction:
        return now.predict(x, t, **condition)

    x, s = x0.detach(), visited[-1]
    prediction = predict(x, s)
    yield Step(0, s, x, prediction.x0)
    for index, (s, t) in enumerate(pairwise(reversed(visited)), 1):
        move = Move(schedule, t, s, predict, _refusal(sampler), len(visited) - 1)
        now = for_move(denoiser, move)
        x = _inverted(x, prediction, sampler, move, tolerance, advice)
        prediction = predict(x, t)
        own_start = times is None and index == len(visited) - 1  # the sampler scales noise of time T to this time
        yield Step(index, t, x / (schedule.prior_deviation(t) / schedule.prior_std) if own_start else x, prediction.x0)


def invert(
    denoiser: Denoiser, x0: Tensor, sampler: Sampler, times: Sequence[float] | None = None, **options: Any
) -> Tensor:
    """Invert a deterministic sampler: the x_T of `inverse_trajectory`, of the shape of x0, whose options these are."""
    *_, last = inverse_trajectory(denoiser, x0, sampler, times, **options)
    return last.x


def _inverted(
    x_s: Tensor, prediction: Prediction, sampler: Sampler, move: Move, tolerance: float, advice: str
) -> Tensor:
    """The x_t from which the sampler's step leads to x_s, where the estimates are `prediction`."""
    (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)

    def step(x: Tensor) -> Tensor:
        x, state = sampler.advance(x, move.predict(x, move.t), move, None)
        if state is not None:
            raise InputError(f"{type(sampler).__name__} depends on earlier steps, {_INSTEAD}")
        return x

    if move.s:  # the same step the other way
        back = Move(move.schedule, move.s, move.t, move.predict, move.z, move.steps)
        guess, _ = sampler.advance(x_s, prediction, back, None)
    else:
        guess = a_t * x_s
    # dx_s/dx_t for data of deviation σ_d and a step of DDIM; of other data it is not larger by much
    slope = b_s / b_t + (a_s - a_t * b_s / b_t) * a_t * SIGMA_DATA**2 / ((a_t * SIGMA_DATA) ** 2 + b_t**2)
    scale = math.hypot(a_s, b_s)
    x_t, error = _solve(step, x_s, guess, 1 / slope, tolerance * scale)
    if not error <= 10 * tolerance * scale:
        raise InputError(
            f"no x_t at t = {move.t} leads to these items at t = {move.s}: the nearest are {error:.2g} away; {advice}"
        )
    return x_t


def _solve(
    function: Callable[[Tensor], Tensor], target: Tensor, x: Tensor, factor: Scalar, tolerance: float
) -> tuple[Tensor, float]:
    """Solve function(x) = target by the iteration x + factor · (target − function(x)), with Anderson acceleration.

    Args:
        function: A function of items (B, *), each by itself.
        target: Its values.
        x: The initial guess.
        factor: The inverse of the slope of the function.
        tolerance: The error at which an item is finished.

    Returns:
        The best x of each item, (B, *), and the largest error; the tolerance if all are within it.
    """
    best, least = x, torch.full((len(x),), math.inf, dtype=x.dtype, device=x.device)
    points: list[Tensor] = []
    residuals: list[Tensor] = []
    for _ in range(MOST_CORRECTIONS):
        residual = target - function(x)
        error = residual.flatten(1).abs().amax(1)
        better = error < least
        best, least = x.where(per_item(better, x), best), error.where(better, least)
        open_items = least > tolerance
        if not bool(open_items.any()):
            return best, tolerance
        points, residuals = ([*kept, new.flatten(1)][-MEMORY:] for kept, new in ((points, x), (residuals, residual)))
        x = torch.where(per_item(open_items, x), _accelerated(points, residuals, factor).reshape(x.shape), best)
    return best, float(least.max())


def _accelerated(points: Sequence[Tensor], residuals: Sequence[Tensor], factor: Scalar) -> Tensor:
    """The next point (B, D): from the combination of the points whose linearly predicted residual is least."""
    x, residual = points[-1], residuals[-1]
    if len(points) > 1:
        dx = torch.stack([x - earlier for earlier in points[:-1]], 2)
        dr = torch.stack([residual - earlier for earlier in residuals[:-1]], 2)
        work = float64_device(x.device)
        gram, right = (part.to(work).double() for part in (dr.mT @ dr, dr.mT @ residual[..., None]))
        ridge = 1e-8 * gram.diagonal(dim1=1, dim2=2).mean(1, keepdim=True) + torch.finfo(gram.dtype).tiny
        # without the check of `solve`, which reads whether the matrix is singular; with the ridge it is not
        weights = torch.linalg.solve_ex(gram + torch.diag_embed(ridge.expand(-1, gram.shape[1])), right).result.to(x)
        x, residual = x - (dx @ weights)[..., 0], residual - (dr @ weights)[..., 0]
    return x + factor * residual


_INSTEAD = "so it has no inverse: take Heun without churn, DDIM with eta = 0, or Euler"


def _refusal(sampler: Sampler) -> Callable[[Any], Tensor]:
    """In the place of noise: raises InputError."""

    def refuse(_: Any) -> Tensor:
        raise InputError(f"{type(sampler).__name__} adds noise, {_INSTEAD}")

    return refuse


def _check_deterministic(sampler: Sampler, times: Sequence[float], schedule: Schedule) -> None:
    """Raise InputError if the sampler takes gradients, or draws noise at these times: one number is sampled."""
    if sampler.differentiates:
        raise InputError(f"{type(sampler).__name__} takes gradients, {_INSTEAD}")
    sampler.sample(GaussianDenoiser(schedule), torch.zeros(1, 1, dtype=torch.float64), times, noise=_refusal(sampler))
