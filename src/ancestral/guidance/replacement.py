"""The known part of an item in the place of what was sampled there: the baseline among the methods for editing."""

from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.guidance.wrapper import MoveWrapper
from ancestral.operators import Operator, check_fit, check_linear, check_measurement
from ancestral.schedules import Time, per_item
from ancestral.targets import X0, Denoiser, Prediction, exact_at_zero

DRAW = -1
"""The number of the draw of noise for what is known, which no sampler has: theirs count from 0."""


@checked_class
class Replacement(MoveWrapper):
    """A denoiser that gets x_t with its measured part replaced by y, noised to the level t.

    In each step x_t becomes x_t + A⁺(a y + b A z − A x_t), with noise z of that step, and then x̂_0 becomes x̂_0 +
    A⁺(y − A x̂_0), so that the sample agrees with y. The rest of x_t does not follow y exactly: samples are wrong beside
    the border of a mask, even with an exact denoiser. Outside of a sampler, which draws z, x_t is left as it is.

    With the times of `samplers.resampled` and `samplers.DDPM`, this is RePaint: the rest is drawn anew several times
    beside what is known, at as many times the number of evaluations.

    With σ above 0, b is replaced by √(b² − a²σ²), as y has noise already (exact for a mask), and where that is not
    above 0, x_t and x̂_0 are left to the model.

    Args:
        denoiser: The denoiser to wrap, with guidance inside.
        y: One measurement (1, *), or one for each item (B, *).
        operator: A.
        noise: σ, 0 or more, in the units of the items: [-1, 1].

    Raises:
        InputError: If y or the noise cannot be used; of `predict`, if A is not linear.

    References:
        Song et al., *Score-based generative modeling through stochastic differential equations* (2021), appendix I.
        Lugmayr et al., *RePaint: inpainting using denoising diffusion probabilistic models* (2022), algorithm 1.
    """

    def __init__(self, denoiser: Denoiser, y: Tensor, operator: Operator, noise: float = 0.0) -> None:
        super().__init__(denoiser)
        check_measurement(y, noise)
        self.y, self.operator, self.noise = y, operator, noise

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε from x_t with the measured part replaced."""
        check_linear(self.operator, x_t)
        shape, made = x_t.shape[1:], self.operator.apply(x_t)
        y = check_fit(self.y, made, x_t)
        a, b = (per_item(torch.as_tensor(scale, dtype=made.dtype), made) for scale in self.schedule.at(t))
        variance = b**2 - (a * self.noise) ** 2
        noisier = variance > 0

        def replaced(x: Tensor, difference: Tensor) -> Tensor:
            return x + self.operator.pseudo_inverse(torch.where(noisier, difference, 0.0), shape)

        x = x_t
        if self.move is not None:
            z = self.move.z(DRAW)
            if z.shape != x_t.shape:
                raise InputError("a Replacement goes around other guidance, which changes the batch: wrap it last")
            x = replaced(x_t, a * y + variance.clamp(min=0).sqrt() * self.operator.apply(z) - made)
        estimate = self.denoiser.predict(x, t, **condition)
        x0 = replaced(estimate.x0, y - self.operator.apply(estimate.x0))
        x0, eps = X0.solve(x_t, x0, *self.schedule.at(t))
        return Prediction(x0, eps, estimate.variance_fraction)
