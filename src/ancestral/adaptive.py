"""The probability flow with steps of adaptive length, each item with its own.

With s = √(a² + b²), the angle θ = arctan(b/a) and u = x/s, so that u = cos θ x_0 + sin θ ε, the probability flow
dx = x̂_0 da + ε̂ db is

    du/dθ = cos θ ε̂ − sin θ x̂_0        (the v of Salimans and Ho 2022)

on every schedule. It is smooth in θ at both ends: at θ = 0, clean data, and at π/2, where no signal is left.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.transforms import leaves, recomputed, transformed
from ancestral.schedules import Schedule, Time, broadcast, per_item
from ancestral.targets import Prediction

Tensors = tuple[Tensor, ...]
"""Tensors (B, *) that are integrated together."""
MOST_ATTEMPTS = 10_000
"""The largest number of attempted steps."""
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR_WEIGHTS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""The difference of the solutions of order 5 and 4."""


def check_rtol(rtol: float, x: Tensor) -> None:
    """Raise InputError unless rtol is a tolerance that the dtype of x can resolve."""
    least = 8 * torch.finfo(x.dtype).eps
    if not least <= rtol < 1:
        raise InputError(
            f"rtol must be below 1, and at least {least:.1g} for {x.dtype}, whose rounding is that large, not {rtol}"
        )


def records(*tensors: Tensor) -> bool:
    """Whether gradients are recorded step by step, each computed again in the backward pass.

    Under a transform or a compiler all steps are one graph.
    """
    return torch.is_grad_enabled() and not (torch.compiler.is_compiling() or transformed(*tensors))


def dormand_prince(
    slope: Callable[[Tensor, Tensors], Tensors],
    state: Tensors,
    start: float,
    end: float,
    rtol: float,
    others: Mapping[int, Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensors]]:
    """Integrate d state/dθ = slope(θ, state) by the pair of order 5(4) of Dormand and Prince (1980).

    Each item has steps of its own, so its result does not depend on its batch: a step is accepted if the root mean
    square of its error, relative to rtol · (1 + |state|), is at most 1 in each tensor. It is repeated with a shorter
    one if not.

    The states are differentiable in the initial state and in `others`, any number of times. The gradient is that of the
    steps that are made, whose lengths are constants; so it differs from that of the exact solution by about rtol. One
    state is kept for each step, and the slopes are evaluated again in the backward pass.

    Args:
        slope: The derivative at θ, float64 (B,) on the CPU.
        state: The initial state.
        start: θ at the start.
        end: θ at the end.
        rtol: The tolerance.
        others: Leaves that get gradients, by any key; the slope may add to them when it is evaluated. Others get none.

    Yields:
        θ of each item, float64 (B,), and the state, after each attempt.

    Raises:
        InputError: If the state is not finite, or the end is not reached.
    """
    theta = torch.full((len(state[0]),), start, dtype=torch.float64)
    step = torch.full_like(theta, (end - start) / 64)
    recorded = records(*state)
    quiet = torch.no_grad if recorded else nullcontext
    with quiet():
        first = slope(theta, _values(state) if recorded else state)
    for _ in range(MOST_ATTEMPTS):
        after = torch.where(step.abs() >= (end - theta).abs(), end, theta + step)
        step, before = after - theta, _values(state) if recorded else state
        with quiet():
            moved, slopes = _stages(slope, theta, after, before, first)
            slopes.append(slope(after, moved))
        errors = [
            (_sum(step, ERROR_WEIGHTS, part) / (rtol * (1 + torch.maximum(y.abs(), new.abs()))))
            .flatten(1)
            .square()
            .mean(1)
            for y, new, *part in zip(before, moved, *slopes, strict=True)
        ]
        error = torch.stack(errors).amax(0).sqrt().detach().cpu().double()
        if not bool(error.isfinite().all()):
            raise InputError("the probability flow leaves the finite numbers: the network diverged, or needs a clip")
        accepted = error <= 1
        following = _where(accepted, moved, before)
        if recorded:

            def step_again(*y: Tensor, start: Tensor = theta, end: Tensor = after, taken: Tensor = accepted) -> Tensors:
                return _where(taken, _stages(slope, start, end, y, slope(start, y))[0], y)

            following = recomputed(step_again, state, (others or {}).values(), following)
        theta, state = theta.where(~accepted, after), following
        first = _where(accepted, slopes[-1], first)
        yield theta, state
        if bool((theta == end).all()):
            return
        step = step * (0.9 * error.clamp(min=1e-10) ** -0.2).clamp(0.2, 10)
    raise InputError(f"the probability flow needs more than {MOST_ATTEMPTS:,} steps at rtol {rtol}; take a larger one")


def angle(schedule: Schedule, t: float) -> float:
    """θ = arctan(b/a) at time t."""
    a, b = schedule.at(t)
    return math.atan2(b, a)


def flow_state(schedule: Schedule, theta: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x = s u (B, *), the times t, float64 (B,), and s, float64 (B,), at θ. Differentiable in θ and u."""
    t = torch.as_tensor(schedule.time_at(torch.tan(theta)))
    a, b = schedule.at(t)
    s = torch.hypot(torch.as_tensor(a), torch.as_tensor(b))
    return broadcast(s, u) * u, t, s


def velocity(prediction: Prediction, theta: Tensor) -> Tensor:
    """du/dθ, (B, *). Differentiable in the prediction and θ."""
    x0, eps = prediction
    return broadcast(theta.cos(), eps) * eps - broadcast(theta.sin(), x0) * x0


def flow(
    schedule: Schedule, predict: Callable[[Tensor, Time], Prediction], x: Tensor, t: float, s: float, rtol: float
) -> Tensor:
    """Move x (B, *) along the probability flow from time t to time s. Raises InputError as `dormand_prince` does.

    Differentiable as `dormand_prince` is, in x and the leaves that `predict` reads, such as the parameters of a
    network; not in those of a learned curve.
    """
    recorded, others = records(x), dict[int, Tensor]()

    def slope(theta: Tensor, state: Tensors) -> Tensors:
        x, times, _ = flow_state(schedule, theta, state[0])
        with torch.set_grad_enabled(torch.is_grad_enabled() or recorded):
            result = velocity(predict(x, times), theta)
        if not recorded or x.requires_grad:
            return (result,)
        others.update(parameters(schedule, result))
        return (result.detach(),)

    check_rtol(rtol, x)
    start, end = ((angle(schedule, time), math.hypot(*schedule.at(time))) for time in (t, s))
    *_, (_, (u,)) = dormand_prince(slope, (x / start[1],), start[0], end[0], rtol, others)
    return end[1] * u


def parameters(schedule: Schedule, estimate: Tensor) -> dict[int, Tensor]:
    """The leaves that an estimate was computed of, by their ids, without those of a learned curve."""
    found = {id(leaf): leaf for leaf in leaves(estimate)}
    if found and schedule.learned:
        with torch.enable_grad():
            for scale in schedule.at(torch.ones(1, dtype=torch.float64)):
                for leaf in leaves(torch.as_tensor(scale)):
                    found.pop(id(leaf), None)
    return found


def _values(state: Tensors) -> Tensors:
    return tuple(y.detach() for y in state)


def _where(accepted: Tensor, new: Tensors, before: Tensors) -> Tensors:
    return tuple(y.where(per_item(accepted, y), old) for y, old in zip(new, before, strict=True))


def _stages(
    slope: Callable[[Tensor, Tensors], Tensors], theta: Tensor, after: Tensor, state: Tensors, first: Tensors
) -> tuple[Tensors, list[Tensors]]:
    """The state of order 5 after a step, and the slopes of its stages, of which the first is known."""
    slopes = [first]
    for node, weights in zip((*NODES, None), STAGES, strict=True):
        moved = tuple(y + _sum(after - theta, weights, part) for y, *part in zip(state, *slopes, strict=True))
        if node is not None:
            slopes.append(slope(torch.lerp(theta, after, node), moved))
    return moved, slopes


def _sum(step: Tensor, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """Sum of the slopes with these weights, times the step (B,)."""
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            total = total + weight * slope
    return broadcast(step, total) * total
