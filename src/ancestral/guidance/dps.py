"""Diffusion posterior sampling: a step of a size of one's choice down the gradient of the misfit to a measurement."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.transforms import pullback
from ancestral.guidance.wrapper import MoveWrapper
from ancestral.operators import Operator, check_fit, check_measurement, unit
from ancestral.schedules import Time
from ancestral.targets import X0, Denoiser, Prediction, exact_at_zero


@checked_class
class DPS(MoveWrapper):
    """A denoiser whose steps of ancestral sampling are moved by −ζ ∇_{x_t} ‖y − A x̂_0(x_t)‖.

    It is here for history and for parity with other libraries: ζ must be tuned for each data set, operator and number
    of steps, too small a step leaves y unused, too large a one makes noise, and the samples are not those of the
    posterior even if the denoiser is exact. `Posterior` has nothing to tune.

    The gradient of x̂_0 shifts x̂_0 by what moves the mean of q(x_s | x_t, x̂_0) by just that, so `samplers.DDPM`, and
    `samplers.DDIM` with η = 1, make the published step, and other samplers get the same shift of x̂_0. Outside of a
    sampler the shift is that of a step to s = 0. A sampler that clips is refused, since it would undo a part of the
    move: give it `clip=None`, and clip the estimate before, by `DPS(Clipped(denoiser), ...)`.

    Args:
        denoiser: The denoiser to wrap, with gradients.
        y: One measurement (1, *), or one for each item (B, *).
        operator: A, or any function of items (B, *) with gradients.
        scale: ζ, that of the authors' code. As ∇‖r‖² = 2 ‖r‖ ∇‖r‖, it is twice the ζ' of the paper's section 3.3,
            whose step is ζ'/‖r‖ times the gradient of the square.

    Raises:
        InputError: If y holds NaN or infinity; of `for_move`, if the sampler clips.

    References:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems* (2023), algorithm 1.
    """

    def __init__(
        self, denoiser: Denoiser, y: Tensor, operator: Operator | Callable[[Tensor], Tensor], scale: float = 1.0
    ) -> None:
        super().__init__(denoiser)
        check_measurement(y, 0.0)
        self.y, self.scale = y, scale
        self.apply = operator.apply if isinstance(operator, Operator) else operator

    def for_move(self, move: Any) -> Self:
        """See `targets.for_move`. Raises InputError if the sampler clips."""
        if move.clip is not None:
            raise InputError(
                f"the sampler clips x̂_0 to ±{move.clip:g}, which undoes a part of the move of DPS: give the sampler "
                f"clip=None, and clip before the move, by DPS(Clipped(denoiser), ...)"
            )
        return super().for_move(move)

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, with the gradient of the misfit of each item."""
        (x0, *fraction), transpose = self.estimate(x_t, t, condition)
        (made,), transpose_apply = pullback(lambda x0: (self.apply(x0),), x0)
        residual = made - check_fit(self.y, made, x0)
        gradient = transpose(transpose_apply(unit(residual)))
        weight = 1.0
        if self.move is not None:
            one = torch.ones(1, dtype=torch.float64)
            weight = float(self.schedule.posterior(one, 0 * one, self.move.t, self.move.s).mean)
        x0 = x0 - self.scale / weight * gradient
        return Prediction(*X0.solve(x_t, x0, *self.schedule.at(t)), *fraction)
