"""The second row of the matrix: what the network is asked to predict, and the one solve that turns its answer around.

    [ x_t    ]   [ a  b ] [ x_0 ]
    [ target ] = [ p  q ] [ ε   ]

A target is two functions p(a, b) and q(a, b). With d = a q − b p, the output and x_t give back x_0 and ε. No other
conversion exists in the package: clipping x̂_0 and the exact denoisers go through `X0.solve` too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from ancestral.errors import InputError
from ancestral.gaussian import Scalar
from ancestral.schedules import Schedule, Time, spread


class Prediction(NamedTuple):
    """The two unknowns of the first row, each of the shape (B, *) of x_t, with x_t = a x0 + b eps."""

    x0: Tensor
    eps: Tensor


class Denoiser(Protocol):
    """Anything that guesses what is under the noise: a trained `Diffusion`, an exact oracle, or a wrapper of either."""

    @property
    def schedule(self) -> Schedule:
        """The forward process that made x_t."""
        ...

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimates of x_0 and ε, for x_t of shape (B, *) at times t in 1..T."""
        ...


@dataclass(frozen=True)
class Target:
    """One choice of the second row. `name` is what a config and a model file call it."""

    name: str
    p: Callable[[Scalar, Scalar], Scalar]
    q: Callable[[Scalar, Scalar], Scalar]

    def of(self, x0: Tensor, eps: Tensor, a: Scalar, b: Scalar) -> Tensor:
        """What the network should answer, of shape (B, *): p x_0 + q ε."""
        p, q = spread(self.p(a, b), x0), spread(self.q(a, b), x0)
        return p * x0 + q * eps

    def solve(self, x_t: Tensor, output: Tensor, a: Scalar, b: Scalar) -> Prediction:
        """(x_0, ε) from x_t and the network's output, both of shape (B, *); the coefficients are divided in float64."""
        p, q = self.p(a, b), self.q(a, b)
        d = a * q - b * p
        if not isinstance(d, Tensor) and d == 0:
            raise InputError(f"the target {self.name} says nothing where signal is {a} and noise {b}")
        x0 = spread(q / d, x_t) * x_t - spread(b / d, x_t) * output
        eps = spread(a / d, x_t) * output - spread(p / d, x_t) * x_t
        return Prediction(x0, eps)


EPS = Target("eps", lambda a, b: 0.0, lambda a, b: 1.0)  # Ho et al. 2020
X0 = Target("x0", lambda a, b: 1.0, lambda a, b: 0.0)
V = Target("v", lambda a, b: -b, lambda a, b: a)  # Salimans and Ho 2022

BY_NAME = {target.name: target for target in (EPS, X0, V)}


def from_name(name: str) -> Target:
    """The target called `name`. Raises InputError where there is none."""
    if name not in BY_NAME:
        raise InputError(f"unknown target {name!r}; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]
