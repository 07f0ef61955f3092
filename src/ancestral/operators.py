"""Linear operators on items: y = A x + σ n, as cameras, masks and instruments make y of x.

An operator makes the condition of a model that is trained to undo it (`given="upscale:4"`), and says what editing
restores. It has A, the adjoint Aᵀ and the pseudo-inverse A⁺ for batches (B, C, *sides) with any number of axes of
space. Operators that follow one another are one: `Blur(1) | Downsample(4)` blurs, then takes every mean of 4×4. All
three maps, and the solvers below, are differentiable in the items and measurements; matrices are constants.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError, whole
from ancestral.base.transforms import certain, pullback, transformed

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, those of ITU-R BT.601 and of Pillow."""
_LUMA = torch.tensor(LUMA, dtype=torch.float64)
TRUNCATE = 4.0
"""Radius of a blur's kernel in standard deviations."""
MOST_CONJUGATE_GRADIENTS, DIGITS = 1000, 0.87
"""Conjugate gradients: their largest number for a pseudo-inverse, and the share of the digits of the numbers that the
residual loses before they end."""
CHECK_EVERY = 16
"""Number of iterations between two tests of convergence on an accelerator, since each test waits for it."""
DENSE = 1024
"""The largest number of elements of an item for which a pseudo-inverse is computed from the matrix of an operator."""


class Operator(ABC):
    """A linear map of items (C, *sides), which stays as it is once it is made."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x, of x (B, C, *sides)."""

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """Aᵀ y, (B, *shape), of y in the shape of `apply`'s result. By default the derivative of `apply`."""
        _, transpose = pullback(lambda x: (self.apply(x),), y.new_zeros(len(y), *shape), y)
        return transpose(y)

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """A⁺ y, (B, *shape): of all x whose A x is nearest to y the smallest one.

        By default from the singular values of `matrices`, where A has them, else from those of its whole matrix, which
        are kept, for items of up to `DENSE` elements. What is lost in the precision of y is taken for lost. A A⁺ A is A
        within 1e-10 in float64. Larger items have it by conjugate gradients (`least_squares`), which reach that too
        unless A almost loses very many directions: with a mask and a blur of 1 pixel, and items of 3×64×64, A A⁺ A
        is A within 1e-5 after `MOST_CONJUGATE_GRADIENTS`, and of 2 pixels within 3e-4.
        """
        form = (tuple(shape), tuple(y.shape[1:]), y.dtype)
        if type(self).matrices is not Operator.matrices and (parts := _constant(_decomposition, self, *form)):
            to_axes, scale, from_axes = parts
            return along_axes(along_axes(y, to_axes) * kept(scale, y), from_axes)
        if math.prod(shape) <= DENSE and _hashable(self):
            inverse: Tensor = _constant(_dense_inverse, self, *form, y.device)
            return (y.flatten(1) @ inverse.T).reshape(-1, *shape)
        return least_squares(self.apply, lambda v: self.adjoint(v, shape), y)

    def matrices(self, shape: Sequence[int]) -> list[Tensor] | None:
        """Matrices, float64, one for each axis of an item, whose product along the axes is A; None if A is no such."""
        return None

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

    def matrices(self, shape: Sequence[int]) -> list[Tensor] | None:
        """See `Operator.matrices`: the products of those of the parts."""
        product = [torch.eye(side, dtype=torch.float64) for side in shape]
        for part in self.parts:
            matrices = part.matrices([len(matrix) for matrix in product])
            if matrices is None:
                return None
            product = [after @ before for after, before in zip(matrices, product, strict=True)]
        return product


@dataclass(frozen=True)
class Identity(Operator):
    """Leaves items as they are, so that a measurement is an item with noise."""

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`."""
        return x

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`."""
        return y

    def pseudo_inverse(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.pseudo_inverse`."""
        return y


@dataclass(frozen=True)
class Linear(Operator):
    """A custom operator.

    Args:
        function: A linear function of (B, C, *sides), of operations that PyTorch can differentiate.
    """

    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InputError(f"a custom operator is a function of (B, C, *sides), not {shown(self.function)}")

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
        if not isinstance(self.mask, Tensor):
            raise InputError(f"a mask is a tensor of 0 and 1, not {shown(self.mask)}")
        if certain(~((self.mask == 0) | (self.mask == 1)).all()):
            raise InputError(f"a mask holds 0 and 1, and this one values from {self.mask.min()} to {self.mask.max()}")

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`. Raises InputError if the mask does not broadcast against x."""
        mask = self.mask.shape
        if len(mask) > x.ndim or not all(m in (1, side) for m, side in zip(mask[::-1], x.shape[::-1], strict=False)):
            raise InputError(f"a mask of the shape {tuple(mask)} does not fit items {tuple(x.shape)}: give their sides")
        return x * kept(self.mask, x)

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

    def matrices(self, shape: Sequence[int]) -> list[Tensor]:
        """See `Operator.matrices`."""
        sides = [torch.eye(side // self.factor, dtype=torch.float64) for side in shape[1:]]
        means = [side.repeat_interleave(self.factor, 1) / self.factor for side in sides]
        return [torch.eye(shape[0], dtype=torch.float64), *means]


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

    def matrices(self, shape: Sequence[int]) -> list[Tensor]:
        """See `Operator.matrices`."""
        weights = torch.tensor([[*LUMA, *[0.0] * (shape[0] - 3)]], dtype=torch.float64)
        return [weights, *(torch.eye(side, dtype=torch.float64) for side in shape[1:])]

    @staticmethod
    def _weights(like: Tensor) -> Tensor:
        return kept(_LUMA, like).reshape(1, 3, *[1] * (like.ndim - 2))


@dataclass(frozen=True)
class Blur(Operator):
    """Gaussian blur, with the pixels at the border repeated beyond it.

    Args:
        sigma: The standard deviation in pixels, above 0.
        periodic: The axes of space, by number, beyond whose end is their beginning instead.
    """

    sigma: float
    periodic: tuple[int, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, int | float) or not 0 < self.sigma < math.inf:
            raise InputError(f"a blur needs a standard deviation above 0, not {self.sigma}")

    def apply(self, x: Tensor) -> Tensor:
        """See `Operator.apply`."""
        _check_floats(x)
        return along_axes(x, [None, *self._of_sides(x.shape[2:])])

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Operator.adjoint`."""
        return along_axes(y, [None, *(kept(one, y).T for one in self._of_sides(shape[1:]))])  # a view is not kept

    def matrices(self, shape: Sequence[int]) -> list[Tensor]:
        """See `Operator.matrices`."""
        return [torch.eye(shape[0], dtype=torch.float64), *self._of_sides(shape[1:])]

    def matrix(self, side: int, periodic: bool = False) -> Tensor:
        """The blur of one axis, float64 (side, side), whose rows sum to 1."""
        matrix: Tensor = _constant(_blur_matrix, self.sigma, side, periodic)
        return matrix

    def _of_sides(self, sides: Sequence[int]) -> list[Tensor]:
        return [self.matrix(side, axis in self.periodic) for axis, side in enumerate(sides)]


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

    def matrices(self, shape: Sequence[int]) -> list[Tensor]:
        """See `Operator.matrices`."""
        boxes = zip(self.start, self.sides, shape[1:], strict=True)
        rows = [torch.eye(side, dtype=torch.float64)[first : first + length] for first, length, side in boxes]
        return [torch.eye(shape[0], dtype=torch.float64), *rows]


LINEAR = (Identity, Mask, Downsample, Grey, Blur, Crop)
"""Operators that are linear by what they are."""


def matrix(
    operator: Operator,
    shape: Sequence[int],
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the matrix of an operator for flat items of a shape, (M, D). Raises InputError if it is not linear."""
    if not isinstance(operator, Operator):
        raise InputError(f"an operator is needed, not {shown(operator)}: wrap a function in operators.Linear")
    identity = torch.eye(math.prod(shape), dtype=dtype, device=device).reshape(-1, *shape)
    check_linear(operator, identity)
    return operator.apply(identity).flatten(1).T


def _constant(function: Any, *arguments: Any) -> Any:
    """The result of a function with a cache, which is left out where results are no plain tensors."""
    plain = not (torch.compiler.is_compiling() or transformed()) and _hashable(arguments[0])
    return (function if plain else function.__wrapped__)(*arguments)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _blur_matrix(sigma: float, side: int, periodic: bool) -> Tensor:
    radius = math.ceil(TRUNCATE * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    rows = torch.arange(side)[:, None]
    columns = rows + offsets.long()
    columns = columns % side if periodic else columns.clamp(0, side - 1)
    return torch.zeros(side, side, dtype=torch.float64).index_put_(
        (rows.expand_as(columns), columns), (kernel / kernel.sum()).expand(columns.shape), accumulate=True
    )


@lru_cache(maxsize=8)
@torch.inference_mode(False)
@torch.no_grad()
def _decomposition(
    operator: Operator, shape: tuple[int, ...], values: tuple[int, ...], dtype: torch.dtype
) -> tuple[list[Tensor], Tensor, list[Tensor]] | None:
    """The pseudo-inverse of an operator that has matrices: to the axes of its values, the factors there, and to items.

    All are float64 on the CPU, and what is lost in `dtype` is taken for lost.
    """
    matrices = operator.matrices(shape)
    if matrices is None:
        return None
    parts = [torch.linalg.svd(matrix, full_matrices=False) for matrix in matrices]
    singular = reduce(lambda value, part: value[..., None] * part, [S for _, S, _ in parts])
    scale = _reciprocals(singular, max(*shape, *values) * torch.finfo(dtype).eps)
    return [U.T for U, _, _ in parts], scale, [Vh.T for _, _, Vh in parts]


@lru_cache(maxsize=8)
@torch.inference_mode(False)
@torch.no_grad()
def _dense_inverse(
    operator: Operator, shape: tuple[int, ...], values: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The pseudo-inverse of an operator's matrix, (D, M), from items of a shape to `values`."""
    U, singular, Vh = torch.linalg.svd(matrix(operator, shape, dtype, device).cpu().double(), full_matrices=False)
    inverse: Tensor = (Vh.T * _reciprocals(singular, max(shape + values) * torch.finfo(dtype).eps)) @ U.T
    return inverse.to(device, dtype)


def _hashable(operator: Operator | float) -> bool:
    """Whether an operator has a hash, so that its matrix can be kept: those of unhashable functions have none."""
    try:
        hash(operator)
    except TypeError:
        return False
    return True


def _reciprocals(singular: Tensor, tolerance: float) -> Tensor:
    """1/s of singular values, and 0 of those that are lost, relative to the largest."""
    return (1 / singular).where(singular > tolerance * singular.max(), 0.0)


def is_linear(operator: Operator, like: Tensor) -> bool:
    """Whether an operator keeps sums and multiples of items like those of `like` (B, *).

    Those of this module do, and of a custom function it is tried once, except under a transform or a compiler.
    """
    if isinstance(operator, Composed) and all(isinstance(part, LINEAR) for part in operator.parts):
        return True
    if isinstance(operator, LINEAR) or torch.compiler.is_compiling() or transformed(like):
        return True
    linear: bool = _constant(_keeps_sums, operator, tuple(like.shape[1:]), like.dtype, like.device)
    return linear


def check_linear(operator: Operator, like: Tensor) -> None:
    """Raise InputError unless an operator `is_linear`."""
    if not is_linear(operator, like):
        raise InputError(
            f"{operator} is not linear, as it does not keep sums and multiples: give a linear operator, or take "
            "guidance.DPS or a custom method"
        )


@lru_cache(maxsize=16)
@torch.inference_mode(False)
@torch.no_grad()
def _keeps_sums(operator: Operator, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> bool:
    x = torch.linspace(-1, 1, 2 * math.prod(shape), dtype=torch.float64).sin().reshape(2, *shape).to(device, dtype)
    made, both = operator.apply(x), operator.apply(x[:1] - 2 * x[1:])
    size = float(made.abs().max()) + float(both.abs().max())
    return float((both - made[:1] + 2 * made[1:]).abs().max()) <= 1e-3 * size


def check_noise(noise: float) -> None:
    """Raise InputError unless a number can be the σ of y = A x + σ n."""
    if not isinstance(noise, int | float) or not noise >= 0:
        raise InputError(f"the noise of a measurement is 0 or more, not {noise}")


def check_measurement(y: Tensor, noise: float) -> None:
    """Raise InputError unless y is of finite numbers and noise can be its σ."""
    check_noise(noise)
    if certain(~y.isfinite().all()):
        raise InputError("y holds NaN or infinity: give finite values, and a mask where some are missing")


def check_fit(y: Tensor, made: Tensor, x: Tensor) -> Tensor:
    """Return y in the dtype and on the device of A x; raise InputError unless it is one such, or one for each item."""
    if y.shape[1:] != made.shape[1:] or len(y) not in (1, len(made)):
        raise InputError(f"y is {list(y.shape)}, and the operator makes {list(made.shape)} of {list(x.shape)}")
    return kept(y, made)


def _check_floats(x: Tensor) -> None:
    """Raise InputError unless x is of floats: an integer dtype would round the weights to 0."""
    if not x.is_floating_point():
        raise InputError(f"operators are of floats in [-1, 1], not {x.dtype}: convert uint8 by x.float() / 127.5 - 1")


def along_axes(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Apply a matrix along each axis of an item of x (B, *); None leaves an axis as it is."""
    for axis, matrix in enumerate(matrices, 1):
        if matrix is not None:
            x = (x.movedim(axis, -1) @ kept(matrix, x).T).movedim(-1, axis)
    return x


def conjugate_gradients(
    function: Callable[[Tensor], Tensor], right: Tensor, iterations: int = MOST_CONJUGATE_GRADIENTS
) -> Tensor:
    """Solve function(v) = right for each item of a batch, (B, *), by conjugate gradients.

    Args:
        function: A linear map, symmetric and not negative, of each item by itself.
        right: The right-hand side, a value of the map.
        iterations: The largest number of iterations. They end before where the residual is as small as the precision
            of the numbers allows.

    References:
        Hestenes and Stiefel, *Methods of conjugate gradients for solving linear systems* (1952).
    """
    v, residual = torch.zeros_like(right), right
    direction, square = right, _squares(right)
    least = _tolerance(right) ** 2 * square
    for number in range(iterations):
        going = square > least
        if _ended(going, number, iterations):
            break
        moved = function(direction)
        curvature = (direction * moved).flatten(1).sum(1)
        step = _ratio(square, curvature, going & (curvature > 0))
        v, residual = v + _each(step, v) * direction, residual - _each(step, v) * moved
        before, square = square, _squares(residual)
        direction = residual + _each(_ratio(square, before, before > 0), v) * direction
    return v


def least_squares(
    apply: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    y: Tensor,
    iterations: int = MOST_CONJUGATE_GRADIENTS,
) -> Tensor:
    """Find of all x whose A x is nearest to y the smallest one, for each item of a batch, by conjugate gradients.

    Args:
        apply: A, of each item by itself.
        adjoint: Aᵀ.
        y: Values (B, *), which need not be values of A.
        iterations: The largest number of iterations. They end before where the residual y − A x is as small as the
            precision of the numbers allows, or holds nothing that A gives.

    References:
        Hestenes and Stiefel, *Methods of conjugate gradients for solving linear systems* (1952), section 10.
        Paige and Saunders, *LSQR: an algorithm for sparse linear equations and sparse least squares* (1982), for the
        rules that end it.
    """
    residual, slope = y, adjoint(y)
    x, direction, square = torch.zeros_like(slope), slope, _squares(slope)
    tolerance, size = _tolerance(y) ** 2, _squares(y)
    norm = torch.zeros_like(size)  # ‖A‖², from below
    for number in range(iterations):
        rest = _squares(residual)
        going = (rest > tolerance * size) & (square > tolerance * norm * rest)
        if _ended(going, number, iterations):
            break
        moved = apply(direction)
        length = _squares(moved)
        norm = norm.maximum(_ratio(length, _squares(direction), going).detach())
        step = _ratio(square, length, going & (length > 0))
        x, residual = x + _each(step, x) * direction, residual - _each(step, y) * moved
        slope = adjoint(residual)
        before, square = square, _squares(slope)
        direction = slope + _each(_ratio(square, before, before > 0), x) * direction
    return x


def _ended(going: Tensor, number: int, iterations: int) -> bool:
    """Whether iterations can end, as no item goes on: those that do not are left as they are.

    On an accelerator convergence is tested every `CHECK_EVERY` iterations, while at least as many remain.
    """
    if going.device.type != "cpu" and (number % CHECK_EVERY or not CHECK_EVERY <= number <= iterations - CHECK_EVERY):
        return False
    return certain(~going.any())


def unit(v: Tensor) -> Tensor:
    """Items (B, *) divided by their norms; zeros of those that are 0, as their subgradient is."""
    length = v.flatten(1).norm(dim=1)
    return _ratio(v, _each(length, v), _each(length > 0, v))


def _known_unit(v: Tensor, of: Tensor) -> Tensor:
    """Vectors (B, D) of length 1; zeros where nothing but rounding is left of others, so that these are solved."""
    length = v.norm(dim=1, keepdim=True)
    return _ratio(v, length, length > _tolerance(of) * of.norm(dim=1, keepdim=True))


def _ratio(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """The quotient where a condition holds, and 0 elsewhere, with derivatives that are finite there."""
    return torch.where(where, numerator / denominator.where(where, 1.0), 0.0)


def _each(value: Tensor, v: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (v.ndim - 1))


def _squares(v: Tensor) -> Tensor:
    return v.flatten(1).square().sum(1)


def _tolerance(v: Tensor) -> float:
    """The relative residual at which conjugate gradients end: 1e-6 in float32, 2e-14 in float64."""
    return math.pow(torch.finfo(v.dtype).eps, DIGITS)


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
    directions = [_known_unit(flat, flat)]
    values: list[Tensor] = []
    for _ in range(iterations):
        value = function(directions[-1].reshape(right.shape)).flatten(1)
        values.append(value)
        directions.append(_known_unit(_orthogonal(value, directions), value))
    span = torch.stack(directions, 2)  # (B, D, iterations + 1), orthonormal: the values and the right side lie in it
    weights = _smallest_weights(torch.stack(values, 1) @ span, (flat[:, None] @ span)[:, 0])
    solution: Tensor = span[:, :, :-1] @ weights[:, :, None]
    return solution.reshape(right.shape)


def _smallest_weights(vectors: Tensor, target: Tensor) -> Tensor:
    """The smallest of all weights w (B, K) whose Σ_k w_k v_k of vectors (B, K, D) is nearest to the targets (B, D).

    They are the pseudo-inverse times the targets, with the tolerance of `torch.linalg.pinv`, for which CUDA waits: it
    reads whether the singular values converged. This is a complete orthogonal decomposition instead: the vectors are
    orthogonalised, each time the longest that is left, and then the rows of their coefficients.

    References:
        Golub and Van Loan, *Matrix computations* (2013), section 5.5: complete orthogonal decompositions.
    """
    basis: list[Tensor] = []
    rest, tolerance = vectors, max(vectors.shape[1:]) * torch.finfo(vectors.dtype).eps
    least = tolerance * vectors.norm(dim=2).amax(1, keepdim=True)
    for _ in range(vectors.shape[1]):
        place = rest.norm(dim=2).argmax(1)[:, None, None].expand(-1, 1, rest.shape[2])
        vector = _orthogonal(rest.gather(1, place)[:, 0], basis)
        length = vector.norm(dim=1, keepdim=True)
        basis.append(_ratio(vector, length, length > least))
        rest = rest - (rest @ basis[-1][:, :, None]) * basis[-1][:, None]

    weights = torch.zeros_like(vectors[:, :, 0])
    directions: list[Tensor] = []
    for vector in basis:  # each adds what meets its own equation, row · w = vector · target, and leaves those before
        row = (vectors @ vector[:, :, None])[:, :, 0]
        direction = unit(_orthogonal(row, directions))
        missing, slope = _inner(vector, target) - _inner(row, weights), _inner(row, direction)
        weights = weights + _ratio(missing, slope, slope > 0) * direction
        directions.append(direction)
    return weights


def _orthogonal(v: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """What of vectors (B, D) is orthogonal to directions: Gram-Schmidt, twice, so that rounding leaves nothing else."""
    for direction in (*directions, *directions):
        v = v - _inner(v, direction) * direction
    return v


def _inner(v: Tensor, other: Tensor) -> Tensor:
    return (v * other).sum(1, keepdim=True)
