"""Inputs of the exercises: fixed ones, or others for each seed, so that an answer fitted to the fixed ones fails.

An exercise draws its inputs by the functions below. Each is a function of the seed and of what the exercise asks for,
so all functions that are compared get the same inputs.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

Value = TypeVar("Value")
_seed: ContextVar[int | None] = ContextVar("seed of the inputs", default=None)


@contextlib.contextmanager
def variant(seed: int | None) -> Iterator[None]:
    """Draw other inputs within the block: those of a seed. None is for the fixed ones."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


def _number(*words: Any) -> int:
    """A number of 63 bits that depends on the seed and on these words."""
    text = repr((_seed.get(), *words)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_of(key: int) -> int:
    """Return the seed of the random numbers with a key: the key itself for the fixed inputs."""
    return key if _seed.get() is None else _number("numbers", key)


def seeded(key: int) -> torch.Generator:
    """Return a generator of the random numbers with a key."""
    return torch.Generator().manual_seed(seed_of(key))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw normal numbers of a shape, by the key `seed`."""
    return torch.randn(*shape, dtype=dtype, generator=seeded(seed))


@overload
def near(value: float, spread: float = ...) -> float: ...
@overload
def near(value: Tensor, spread: float = ...) -> Tensor: ...
def near(value: float | Tensor, spread: float = 0.2) -> float | Tensor:
    """Return a value itself for the fixed inputs, else it times a factor. Its sign, and 0, remain.

    Args:
        value: A number, or a tensor, each number of which gets a factor of its own.
        spread: Largest absolute logarithm of the factor.
    """
    if _seed.get() is None:
        return value
    if isinstance(value, Tensor):
        draws = torch.rand(value.shape, generator=seeded(_number("near", value.tolist())), dtype=torch.float64)
        return value * (spread * (2 * draws - 1)).exp().to(value.dtype)
    return value * math.exp(spread * (_number("near", value) / 2**62 - 1))


def whole(value: int, low: int, high: int) -> int:
    """Return a whole number itself for the fixed inputs, else one from `low` to `high`."""
    return value if _seed.get() is None else low + _number("whole", value, low, high) % (high - low + 1)


def one_of(values: Sequence[Value]) -> Value:
    """Return the first of some values for the fixed inputs, else any of them."""
    return values[0 if _seed.get() is None else _number("one of", len(values), repr(values[0])) % len(values)]


def order(count: int) -> Tensor:
    """Return 0, 1, … for the fixed inputs, else these numbers in another order."""
    return torch.arange(count) if _seed.get() is None else torch.randperm(count, generator=seeded(_number("order")))
