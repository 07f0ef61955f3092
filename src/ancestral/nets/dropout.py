"""Dropout as a function of its address: the image's key, the layer and the element.

The mask of an image comes from the words of its own key, so it is the same on any device, in any batch and memory
layout, and a step that is computed again, or elsewhere, drops the same elements. A word serves four elements, 16 bits
each, so the chance of a drop is a multiple of 1/65536 (0.1 becomes 0.1000061), and the rescale is exact for it.
Elements are counted with the channels innermost, as channels_last has them in memory.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral import randomness
from ancestral.errors import InputError

LANES = 2**16


class Dropout(nn.Module):
    """Zeroes each element with probability p in training, and scales what is left by 1/(1 − p).

    A network that holds several tells them apart by `number_dropouts`.
    """

    salt: Tensor
    """What the layer's number adds to the keys: int64, of no axes."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"dropout must be from 0 to below 1, not {p}")
        self.p = p
        self.dropped = min(round(p * LANES), LANES - 1)
        """Of 65,536 elements."""
        self.register_buffer("salt", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, h: Tensor, keys: Tensor | None = None) -> Tensor:
        """Drop from h (B, C, *) by the keys of its images, int64 (B,); without keys, by PyTorch's generator."""
        if keys is None or not self.training or self.p == 0:
            return F.dropout(h, self.p, self.training)
        batch, channels, *sides = h.shape
        size = channels * math.prod(sides)
        lanes = randomness.words(keys ^ self.salt, -(-size // 4)).view(torch.int16)[:, :size]
        kept = (lanes >= self.dropped - LANES // 2).reshape(batch, *sides, channels).movedim(-1, 1)
        return h * kept * (LANES / (LANES - self.dropped))


def number_dropouts(net: nn.Module) -> None:
    """Number the dropout layers of `net` 0, 1, 2... in the order in which they were built."""
    layers = [module for module in net.modules() if isinstance(module, Dropout)]
    salts = randomness.words(torch.zeros(1, dtype=torch.int64), len(layers))[0]
    for layer, salt in zip(layers, salts, strict=True):
        layer.salt.copy_(salt)
