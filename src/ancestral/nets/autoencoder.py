"""A small convolutional autoencoder: items in [−1, 1] to latents in [−1, 1] on a coarser grid, and back.

Both halves fold blocks of two positions along each axis into channels, so that no layer works at full resolution. There
is no norm: a layer sees its neighbourhood alone, so windows of an image can be trained on, and a change of some pixels
changes the latents beside them alone. A tanh bounds the latents, and noise is added to them in training, so that what
is near in latents is near in items. Within bounds, latents that carry much through noise are spread over them: their
standard deviation was 0.5 on emoji and 0.8 on digits, as of pixels, for which samplers and targets are made.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.nets.kernels.convolution import go_around
from ancestral.nets.space import crop, fold, pad, unfold
from ancestral.nets.unet import ZERO, conv

NOISE = 0.05
"""Standard deviation of the noise of the latents in training."""
BLOCKS_AT_RESOLUTION = 2
"""Number of residual blocks at each resolution."""
VALUES_AT_ONCE = 2**22
"""Largest number of values of items that are encoded or decoded at once without a gradient."""


class Block(nn.Module):
    """Two convolutions with a SiLU between them; add the input."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(dims, width, width), conv(dims, width, width, scale=ZERO)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, *sides) to the same shape."""
        out: Tensor = x + self.conv2(nn.functional.silu(self.conv1(x)))
        return out


class Fold(nn.Module):
    """Space to depth by two along each axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, *sides) to (B, C · 2^dims, *sides / 2)."""
        return fold(x, 2)


class Unfold(nn.Module):
    """Depth to space by two along each axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, *sides) to (B, C / 2^dims, *sides · 2)."""
        return unfold(x, 2)


@checked_class
class Autoencoder(nn.Module):
    """An encoder and a decoder.

    Args:
        channels: The number of channels of an item.
        factor: The factor by which the sides of the latents are smaller; a power of two.
        latent_channels: The number of channels of the latents.
        width: The number of channels at the resolution of the latents; at each finer one half as many.
        dims: The number of axes of space.
        periodic: Axes of space that go around, by number.

    Raises:
        InputError: If there is no such autoencoder.
    """

    def __init__(
        self,
        channels: int,
        factor: int,
        latent_channels: int,
        width: int,
        dims: int = 2,
        periodic: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise InputError(f"points have no grid that could be coarser: leave {option('latent')} out")
        self.channels, self.factor, self.latent_channels, self.dims = channels, factor, latent_channels, dims
        self.periodic = tuple(periodic)
        levels, blocks = factor.bit_length() - 1, 2**dims
        widths = [max(8, width >> (levels - 1 - level)) for level in range(levels)]  # the finest first
        encoder: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            encoder += [
                Fold(),
                conv(dims, blocks * before, after),
                *(Block(after, dims) for _ in range(BLOCKS_AT_RESOLUTION)),
            ]
        self.encoder = nn.Sequential(*encoder, conv(dims, widths[-1], latent_channels))
        decoder: list[nn.Module] = [conv(dims, latent_channels, widths[-1])]
        for after, before in zip([channels, *widths][-2::-1], widths[::-1], strict=True):
            decoder += [
                *(Block(before, dims) for _ in range(BLOCKS_AT_RESOLUTION)),
                conv(dims, before, blocks * after),
                Unfold(),
            ]
        self.decoder = nn.Sequential(*decoder)
        go_around(self, self.periodic)

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the latents of items of a shape (C, *sides)."""
        return (self.latent_channels, *(-(-side // self.factor) for side in shape[1:]))

    def encode(self, x: Tensor) -> Tensor:
        """Map items in [−1, 1] (B, C, *sides) to latents in [−1, 1] (B, latent channels, *sides / factor).

        Sides that the factor does not divide are padded.
        """
        return torch.cat([self._encode(part) for part in self._parts(x, math.prod(x.shape[1:]))])

    def decode(self, z: Tensor, sides: Sequence[int]) -> Tensor:
        """Map latents (B, latent channels, *) to items of these sides (B, C, *sides), about in [−1, 1]."""
        parts = self._parts(z, self.channels * math.prod(sides))
        return torch.cat([_items(self.decoder, part, sides) for part in parts])

    def forward(self, x: Tensor, index: Tensor | None = None, noise: Tensor | None = None) -> Any:
        """Reconstruct items (B, C, *sides).

        Args:
            x: The items.
            index: Not used; denoisers have it.
            noise: In training, noise (B, latent channels, *) that is added to their latents. Then the reconstruction
                from latents on a grid twice as coarse is returned too: None where their sides are odd.
        """
        z = self._encode(x)
        if noise is None:
            return _items(self.decoder, z, x.shape[2:])
        even = all(side % 2 == 0 for side in z.shape[2:])
        return _items(self.decoder, z + NOISE * noise, x.shape[2:]), self.decoder(coarser(z)) if even else None

    def _encode(self, x: Tensor) -> Tensor:
        return _latents(self.encoder, x, self.factor, self.periodic)

    @staticmethod
    def _parts(x: Tensor, values: int) -> Sequence[Tensor]:
        """Parts of a batch whose items have `values` values each; one part where there is a gradient."""
        return [x] if torch.is_grad_enabled() or not len(x) else torch.split(x, max(1, VALUES_AT_ONCE // values))


class Encoder(nn.Module):
    """The half of an autoencoder that makes latents, as a module of its own: exported files hold it.

    Args:
        autoencoder: The autoencoder, whose layers it shares.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.layers, self.factor, self.periodic = autoencoder.encoder, autoencoder.factor, autoencoder.periodic

    def forward(self, x: Tensor) -> Tensor:
        """Map items in [−1, 1] (B, C, *sides) to latents in [−1, 1] (B, latent channels, *sides / factor)."""
        return _latents(self.layers, x, self.factor, self.periodic)


class Decoder(nn.Module):
    """The half of an autoencoder that makes items of latents, as a module of its own.

    Args:
        autoencoder: The autoencoder, whose layers it shares.
        sides: The sides of the items.
    """

    def __init__(self, autoencoder: Autoencoder, sides: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.sides = autoencoder.decoder, tuple(sides)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, latent channels, *) to items (B, C, *sides), about in [−1, 1]."""
        return _items(self.layers, z, self.sides)


def _latents(encoder: nn.Module, x: Tensor, factor: int, periodic: Sequence[int]) -> Tensor:
    latents = encoder(pad(x, factor, periodic))
    return torch.tanh(latents.to(torch.promote_types(latents.dtype, torch.float32)))


def _items(decoder: nn.Module, z: Tensor, sides: Sequence[int]) -> Tensor:
    return crop(decoder(z), sides)


def coarser(x: Tensor) -> Tensor:
    """Average blocks of two positions along each axis: (B, C, *sides / 2)."""
    return torch.unflatten(fold(x, 2), 1, (x.shape[1], -1)).mean(2)
