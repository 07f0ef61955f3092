"""Linear operators on items: y = A x + σ n, as cameras, masks and instruments make y of x.

An operator makes the condition of a model that is trained to undo it (`given="upscale:4"`), and says what editing
restores. It has A, the adjoint Aᵀ and the pseudo-inverse A⁺ for batches (B, C, *sides) with any number of axes of
space. Operators that follow one another are one: `Blur(1) | Downsample(4)` blurs, then takes every mean of 4×4.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from ancestral.errors import InputError, whole

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, those of ITU-R BT.601 and of Pillow."""
TRUNCATE = 4.0
"""Radius of a blur's kernel in standard deviations."""
ITERATIONS, TOLERANCE = 50, 1e-6
"""Conjugate gradients of a pseudo-inverse that has no closed form: their largest number, and the relative residual at
which they end."""


class Operator(ABC):
    """A linear map of items (C, *sides)."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x, of x (B, C, *sides)."""

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """Aᵀ y, (B, *shape), of y in the shape of `apply`'s result. By default the derivative of `apply`."""
        with torch.enable_grad():
            x = torch.zeros(len(y), *shape, dtype=y.dtype, device=y.device, requires_grad=True)
            return torch.autograd.grad(self.apply(x), x, y)[0]

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """A⁺ y, (B, *shape): of all x whose A x is nearest to y the smallest one.

        By default by conjugate gradients on AᵀA x = Aᵀy, which has a solution even where no x gives y. They end after
        `ITERATIONS`, before the directions that A almost loses are found.
        """
        return conjugate_gradients(lambda x: self.adjoint(self.apply(x), shape), self.adjoint(y, shape))

    def __or__(self, after: "Operator") -> "Operator":
        """The operator that applies this one, then the other."""
        return Composed((self, after))


@dataclass(frozen=True)
class Composed(Operator):
    """Operators one after another."""

    parts: tuple[Operator, ...]

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`."""
        return reduce(lambda value, part: part.apply(value), self.parts, x)


@dataclass(frozen=True)
class Linear(Operator):
    """An operator of one's own.

    Args:
        function: A linear function of (B, C, *sides), of operations that PyTorch can differentiate.
    """

    function: Callable[[Tensor], Tensor]

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`."""
        return self.function(x)


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """Keeps some pixels and sets the others to 0.

    Args:
        mask: 1 where a pixel is known and 0 elsewhere, of a shape that broadcasts against (B, C, *sides).
    """

    mask: Tensor

    def __post_init__(self) -> None:
        """Raise InputError for a mask that holds anything but 0 and 1."""
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise InputError(f"a mask holds 0 and 1, and this one values from {self.mask.min()} to {self.mask.max()}")

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`. Raises InputError if the mask does not broadcast against x."""
        mask = self.mask.shape
        if len(mask) > x.ndim or not all(m in (1, side) for m, side in zip(mask[::-1], x.shape[::-1], strict=False)):
            raise InputError(f"a mask of the shape {tuple(mask)} does not fit items {tuple(x.shape)}: give their sides")
        return x * self.mask.to(x)

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`."""
        return self.apply(y)

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`: A is a projection."""
        return self.apply(y)


@dataclass(frozen=True)
class Downsample(Operator):
    """The mean of each block of factor pixels along every axis.

    Args:
        factor: A whole number, 2 or more, that divides every side.
    """

    factor: int

    def __post_init__(self) -> None:
        """Raise InputError for a factor below 2."""
        whole(self.factor, 2, math.inf, f"a downsampling needs a whole factor of at least 2, not {self.factor}")

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`. Raises InputError if the factor does not divide every side."""
        _check_floats(x)
        sides = x.shape[2:]
        if any(side % self.factor for side in sides):
            size = "x".join(map(str, sides))
            raise InputError(f"items of {size} cannot be {self.factor} times smaller: every side must be a multiple")
        for axis in range(2, x.ndim):
            x = torch.unflatten(x, axis, (-1, self.factor)).mean(axis + 1)
        return x

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`."""
        return self.pseudo_inverse(y, shape) / math.pow(self.factor, y.ndim - 2)

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`: each value in all pixels of its block."""
        for axis in range(2, y.ndim):
            y = y.repeat_interleave(self.factor, axis)
        if y.shape[1:] != tuple(shape):
            raise InputError(f"{self} makes no {tuple(y.shape[1:])} of items {tuple(shape)}: every side is a multiple")
        return y


@dataclass(frozen=True)
class Grey(Operator):
    """The grey of RGB images, one channel; an alpha channel has no part in it.

    References:
        ITU-R BT.601, the weights of red, green and blue.
    """

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`. Raises InputError unless there are 3 or 4 channels."""
        _check_floats(x)
        if x.shape[1] not in (3, 4):
            raise InputError(f"grey is of RGB images, and these items have {x.shape[1]} channels")
        return (x[:, :3] * self._weights(x)).sum(1, keepdim=True)

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`. Raises InputError unless items have 3 or 4 channels."""
        if shape[0] not in (3, 4):
            raise InputError(f"grey is of RGB images, and these items have {shape[0]} channels")
        colours = y * self._weights(y)
        return torch.cat([colours, y.new_zeros(len(y), shape[0] - 3, *shape[1:])], dim=1)

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`."""
        return self.adjoint(y, shape) / sum(weight**2 for weight in LUMA)

    @staticmethod
    def _weights(like: Tensor) -> Tensor:
        return like.new_tensor(LUMA).reshape(1, 3, *[1] * (like.ndim - 2))


@dataclass(frozen=True)
class Blur(Operator):
    """Gaussian blur, with the pixels at the border repeated beyond it.

    Args:
        sigma: The standard deviation in pixels, above 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        """Raise InputError for a standard deviation that is not above 0."""
        if not isinstance(self.sigma, int | float) or not 0 < self.sigma < math.inf:
            raise InputError(f"a blur needs a standard deviation above 0, not {self.sigma}")

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`."""
        _check_floats(x)
        for axis in range(2, x.ndim):
            x = (x.movedim(axis, -1) @ self.matrix(x.shape[axis]).to(x).T).movedim(-1, axis)
        return x

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`."""
        for axis in range(2, y.ndim):
            y = (y.movedim(axis, -1) @ self.matrix(y.shape[axis]).to(y)).movedim(-1, axis)
        return y

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`: that of each axis. What is lost in the precision of y is taken for lost."""
        for axis in range(2, y.ndim):
            matrix = self.matrix(y.shape[axis])
            inverse = torch.linalg.pinv(matrix, rtol=len(matrix) * torch.finfo(y.dtype).eps).to(y)
            y = (y.movedim(axis, -1) @ inverse.T).movedim(-1, axis)
        return y

    def matrix(self, side: int) -> Tensor:
        """The blur of one axis, float64 (side, side), whose rows sum to 1."""
        radius = math.ceil(TRUNCATE * self.sigma)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / self.sigma) ** 2)
        rows = torch.arange(side)[:, None]
        columns = (rows + offsets.long()).clamp(0, side - 1)
        return torch.zeros(side, side, dtype=torch.float64).index_put_(
            (rows.expand_as(columns), columns), (kernel / kernel.sum()).expand(columns.shape), accumulate=True
        )


@dataclass(frozen=True)
class Crop(Operator):
    """A box of the item.

    Args:
        start: The first pixel along each axis of space.
        sides: The number of pixels along each axis of space.
    """

    start: tuple[int, ...]
    sides: tuple[int, ...]

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`. Raises InputError if the box does not lie in the items."""
        ends = [first + side for first, side in zip(self.start, self.sides, strict=False)]
        if (
            len(self.sides) != x.ndim - 2
            or len(self.start) != x.ndim - 2
            or not all(0 <= first < end <= side for first, end, side in zip(self.start, ends, x.shape[2:], strict=True))
        ):
            raise InputError(f"the box from {self.start} of {self.sides} does not lie in items of {tuple(x.shape[2:])}")
        for axis, (first, side) in enumerate(zip(self.start, self.sides, strict=True), 2):
            x = x.narrow(axis, first, side)
        return x

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`: zeros beyond the box."""
        return self.adjoint(y, shape)


def matrix(operator: Operator, shape: Sequence[int]) -> Tensor:
    """Return the matrix of an operator for flat items of a shape, float64 (M, D)."""
    identity = torch.eye(math.prod(shape), dtype=torch.float64)
    return operator.apply(identity.reshape(-1, *shape)).flatten(1).T


def check_noise(noise: float) -> None:
    """Raise InputError unless a number can be the σ of y = A x + σ n."""
    if not noise >= 0:
        raise InputError(f"the noise of a measurement is 0 or more, not {noise}")


def _check_floats(x: Tensor) -> None:
    """Raise InputError unless x is of floats: an integer dtype would round the weights to 0."""
    if not x.is_floating_point():
        raise InputError(f"operators are of floats in [-1, 1], not {x.dtype}: convert uint8 by x.float() / 127.5 - 1")


def conjugate_gradients(
    function: Callable[[Tensor], Tensor], right: Tensor, iterations: int = ITERATIONS, tolerance: float = TOLERANCE
) -> Tensor:
    """Solve function(v) = right for each item of a batch, (B, *), by conjugate gradients.

    Args:
        function: A linear map, symmetric and not negative, of each item by itself.
        right: The right-hand side, a value of the map.
        iterations: The largest number of iterations.
        tolerance: The relative residual at which an item is solved.

    References:
        Hestenes and Stiefel, *Methods of conjugate gradients for solving linear systems* (1952).
    """
    one = (-1, *[1] * (right.ndim - 1))
    v, residual = torch.zeros_like(right), right
    direction, square = right, right.flatten(1).square().sum(1)
    least = tolerance**2 * square
    for _ in range(iterations):
        if bool((square <= least).all()):
            break
        moved = function(direction)
        curvature = (direction * moved).flatten(1).sum(1)
        step = torch.where((square > least) & (curvature > 0), square / curvature, 0.0).reshape(one)
        v, residual = v + step * direction, residual - step * moved
        before, square = square, residual.flatten(1).square().sum(1)
        direction = residual + torch.where(before > 0, square / before, 0.0).reshape(one) * direction
    return v


def gmres(function: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Tensor:
    """Solve function(v) = right for each item of a batch, (B, *), by the generalised minimal residual method.

    Args:
        function: A linear map of each item by itself, which need not be symmetric.
        right: The right-hand side.
        iterations: The number of iterations, each with one value of the map; all are kept.

    Returns:
        Of the space that the iterations span, the v whose residual is smallest.

    References:
        Saad and Schultz, *GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear systems*
        (1986).
    """
    flat = right.flatten(1)
    length = flat.norm(dim=1, keepdim=True)
    directions = [flat / length.where(length > 0, 1.0)]
    values: list[Tensor] = []
    for _ in range(iterations):
        value = function(directions[-1].reshape(right.shape)).flatten(1)
        values.append(value)
        following = value
        for direction in directions:  # modified Gram-Schmidt
            following = following - (following * direction).sum(1, keepdim=True) * direction
        size = following.norm(dim=1, keepdim=True)
        directions.append(following / size.where(size > 0, 1.0))
    span, images = torch.stack(directions[:-1], 2), torch.stack(values, 2)  # (B, D, iterations)
    weights = torch.linalg.pinv(images) @ flat[:, :, None]
    solution: Tensor = span @ weights
    return solution.reshape(right.shape)
