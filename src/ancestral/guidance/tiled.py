"""Items larger than a network: x̂_0 of overlapping tiles, averaged with smooth weights."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.guidance.wrapper import Wrapper
from ancestral.schedules import Time, broadcast
from ancestral.targets import Denoiser, Prediction, exact_at_zero


@checked_class
class Tiled(Wrapper):
    """A denoiser of items of any size, by one of windows of them.

    x̂_0(x_t) = Σ_k w_k x̂_0(x_t in tile k) / Σ_k w_k, with the weights w_k of a Hann window over the overlaps, so that
    what a tile says of its border counts least. ε̂ follows from x_t = a x̂_0 + b ε̂. Tiles are denoised one after another,
    in the memory of one. Every sampler and posterior takes it:

        wide = guidance.Tiled(model.denoiser, 32, overlap=16)
        x = samplers.DDIM(50).sample(wide, torch.randn(1, 1, 64, 256))

    It is exact where x_0 at one place depends on x_t within a tile around it alone; tests state the error for Gaussian
    fields. Structures longer than a tile are not coherent: for these give a coarse whole item as a condition.

    Args:
        denoiser: A denoiser of items with the sides `size`.
        size: The sides of a tile, one number for all.
        overlap: The number of positions by which neighbours overlap at least, at most half of a side.
        periodic: Whether the last tile along an axis goes around to its beginning; one truth value for all axes.

    Raises:
        InputError: For a side below 2, and an overlap that is not from 0 to half of the sides.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        size: int | Sequence[int],
        overlap: int | Sequence[int],
        periodic: bool | Sequence[bool] = False,
    ) -> None:
        super().__init__(denoiser)
        self.size, self.overlap, self.periodic = _each(size), _each(overlap), _each(periodic)
        for number in range(max(map(len, (self.size, self.overlap)))):
            side, shared = _of(self.size, number), _of(self.overlap, number)
            if side < 2 or not 0 <= shared <= side // 2:
                raise InputError(f"tiles of {side} positions overlap by 0 to {side // 2} of them, not {shared}")

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """See `Denoiser.predict`. Conditions on the grid of x_t are cut as it is.

        Raises:
            InputError: If x_t is smaller than a tile, or has another number of axes.
        """
        sides = x_t.shape[2:]
        axes = [self._axis(number, side) for number, side in enumerate(sides)]
        total, weights = torch.zeros_like(x_t), x_t.new_zeros(sides)
        fraction: Tensor | None = None
        for tile in itertools.product(*axes):
            at = _grid([place for place, _ in tile], x_t.device)
            weight = math.prod(_grid([one.to(x_t) for _, one in tile], x_t.device), start=x_t.new_ones(()))
            cut: Any = (slice(None), slice(None), *at)
            part = {
                name: value[cut] if isinstance(value, Tensor) and value.shape[2:] == sides else value
                for name, value in condition.items()
            }
            prediction = self.denoiser.predict(x_t[cut], t, **part)
            total[cut] = total[cut] + weight * prediction.x0
            weights[at] = weights[at] + weight
            if prediction.variance_fraction is not None:
                fraction = torch.zeros_like(x_t) if fraction is None else fraction
                fraction[cut] = fraction[cut] + weight * prediction.variance_fraction
        x0 = total / weights
        a, b = (broadcast(scale, x_t) for scale in self.schedule.at(t))
        return Prediction(x0, (x_t - a * x0) / b, None if fraction is None else fraction / weights)

    def _axis(self, number: int, side: int) -> list[tuple[Tensor, Tensor]]:
        """The places of each tile along an axis, and their weights."""
        if number >= max(map(len, (self.size, self.overlap, self.periodic))) > 1:
            raise InputError(f"tiles of {len(self.size)} axes cannot cover items of more")
        size, overlap, around = (_of(one, number) for one in (self.size, self.overlap, self.periodic))
        if side < size:
            raise InputError(f"items of {side} positions are smaller than tiles of {size}: take the denoiser itself")
        ramp = torch.sin(math.pi / 2 * (torch.arange(overlap) + 0.5) / max(1, overlap)) ** 2
        weight = torch.ones(size)
        weight[:overlap] = ramp
        weight[size - overlap :] = torch.minimum(weight[size - overlap :], ramp.flip(0))
        if side == size and not around:
            return [(torch.arange(size), torch.ones(size))]
        count = math.ceil((side if around else side - overlap) / (size - overlap))
        starts = [round(k * side / count) if around else round(k * (side - size) / (count - 1)) for k in range(count)]
        return [((start + torch.arange(size)) % side, weight) for start in starts]


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _of(values: tuple[Any, ...], number: int) -> Any:
    return values[0] if len(values) == 1 else values[number]


def _grid(parts: Sequence[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """Tensors of one axis each, so that they broadcast to all axes."""
    return tuple(part.to(device).view(-1, *[1] * (len(parts) - 1 - axis)) for axis, part in enumerate(parts))
