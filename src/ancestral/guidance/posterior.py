"""Samples given a measurement y = A x_0 + σ n, by a model that was not trained for it."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError, whole
from ancestral.covariance import Covariance
from ancestral.guidance.wrapper import Wrapper
from ancestral.operators import Operator, check_fit, check_linear, check_measurement, conjugate_gradients, gmres
from ancestral.schedules import Time, broadcast
from ancestral.targets import SIGMA_DATA, X0, Denoiser, Prediction, exact_at_zero

Map = Callable[[Tensor], Tensor]
Matrix = Literal["one", "isotropic", "jacobian", "data"]


class Method(NamedTuple):
    """What a method takes for the covariance of x_0 given x_t, in the system that is solved and outside of it."""

    inner: Matrix
    outer: Matrix
    solver: Literal["exact", "cg", "gmres"]
    iterations: int


METHODS = {
    "ddnm": Method("one", "one", "exact", 0),
    "pigdm": Method("isotropic", "jacobian", "cg", 20),
    "mmps": Method("jacobian", "jacobian", "gmres", 1),
    "jfps": Method("data", "data", "cg", 20),
}
"""DDNM; ΠGDM; MMPS; JFPS."""


@checked_class
class Posterior(Wrapper):
    """A denoiser given a measurement y = A x_0 + σ n, for data that are Gaussian given x_t.

    With a covariance of x_0 given x_t inside (I) and outside (O) of the inverse,

        x̂(y) = x̂ + O Aᵀ (A I Aᵀ + σ² 1)⁻¹ (y − A x̂).

    | method  | I     | O | evaluations |
    |---------|-------|---|-------------|
    | `ddnm`  | 1     | 1 | 1, and σ is taken for 0: A x̂(y) = y |
    | `pigdm` | r_t² 1, with r_t² = b² v/(a² v + b²) for data of variance v | V | 1, and a backward pass |
    | `mmps`  | V     | V | 1, and a backward pass for each iteration and one more |
    | `jfps`  | C     | C | 1 |

    V = (b²/a) ∂x̂/∂x_t is the covariance of x_0 given x_t if the denoiser is exact (Tweedie, second order), and C =
    (Σ⁻¹ + (a²/b²) 1)⁻¹ that of Gaussian data of covariance Σ. For Gaussian data and an exact denoiser, `mmps` is exact,
    `jfps` with the covariance of the data too, and `pigdm` if that is v 1. For other data all are approximations, whose
    samples have another spread than the posterior's.

    Args:
        denoiser: The denoiser to wrap.
        y: One measurement (1, *), or one for each item (B, *).
        operator: A.
        noise: σ, 0 or more, in the units of the items: [-1, 1].
        method: A name in the table.
        covariance: Σ; None is 0.25 1, EDM's assumption.
        iterations: The iterations that solve the system: of conjugate gradients, or of GMRES for `mmps`, since the
            Jacobian of a network is not symmetric. None is the number of the method in `METHODS`.

    Raises:
        InputError: If an argument cannot be used; of `predict`, if A is not linear: `DPS` takes such an operator.

    References:
        Wang et al., DDNM: *Zero-shot image restoration using denoising diffusion null-space model* (2023).
        Song et al., *Pseudoinverse-guided diffusion models for inverse problems* (2023).
        Rozet et al., *Learning diffusion priors from observations by expectation maximization* (2024): MMPS.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        y: Tensor,
        operator: Operator,
        noise: float = 0.0,
        method: str = "jfps",
        covariance: Covariance | None = None,
        iterations: int | None = None,
    ) -> None:
        super().__init__(denoiser)
        if method not in METHODS:
            raise InputError(f"there is no method {method!r}: give one of {', '.join(METHODS)}")
        check_measurement(y, noise)
        self.y, self.operator, self.noise = y, operator, noise
        self.method, self.covariance = METHODS[method], covariance or Covariance.isotropic(SIGMA_DATA**2)
        message = f"iterations is a whole number, 1 or more, not {iterations}"
        self.iterations = self.method.iterations if iterations is None else whole(iterations, 1, math.inf, message)
        self.variance = self.covariance.mean_variance()

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε given y. Where x_t holds no signal, the methods with a Jacobian ignore y."""
        check_linear(self.operator, x_t)
        scales = self.schedule.at(t)
        a, b = (broadcast(scale, x_t) for scale in scales)
        flat = [broadcast(scale, x_t.flatten(1)) for scale in scales]

        if "jacobian" in self.method:
            (x0, *_), transpose = self.estimate(x_t, t, condition)
            signal, noise = (torch.as_tensor(scale, dtype=torch.float64) for scale in scales)
            tweedie = broadcast((noise**2 / signal).where(signal > 0, 0.0), x_t)
        else:
            x0 = self.denoiser.predict(x_t, t, **condition).x0
        shape, made = x_t.shape[1:], self.operator.apply(x0)
        residual = check_fit(self.y, made, x0) - made
        maps: dict[Matrix, Map] = {
            "one": lambda v: v,
            "isotropic": lambda v: b**2 * self.variance / (a**2 * self.variance + b**2) * v,
            "jacobian": lambda v: tweedie * transpose(v),
            "data": lambda v: self.covariance.given(v.flatten(1), *flat).reshape(v.shape),
        }
        inner, outer = maps[self.method.inner], maps[self.method.outer]

        def adjoint(v: Tensor) -> Tensor:
            return self.operator.adjoint(v, shape)

        def system(v: Tensor) -> Tensor:
            return self.operator.apply(inner(adjoint(v))) + self.noise**2 * v

        if self.method.solver == "exact":
            moved = self.operator.pseudo_inverse(residual, shape)
        elif self.method.solver == "cg":
            moved = outer(adjoint(conjugate_gradients(system, residual, self.iterations)))
        else:
            moved = outer(adjoint(gmres(system, residual, self.iterations)))
        return X0.solve(x_t, x0 + moved, *scales)
