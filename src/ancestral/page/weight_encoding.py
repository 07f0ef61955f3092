"""Weights in 18 bits, for a browser: integers with one scale for each row (output channel).

The estimates x̂_0 of the digits model then differ by at most 2e-5 from those with all bits, and its samples by 2e-4.
With float16, whose numbers near the largest are the coarsest, it is 1e-3 and 2e-2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 2**17 - 1
"""The integers are from -LEVELS to LEVELS."""
EXACT = 256
"""Tensors of fewer numbers, and vectors, are stored in float32."""


def rounded(weight: Tensor) -> Tensor:
    """Return the weight as the browser has it: float32, rounded to 18 bits, or as it is if it is small or a vector."""
    weight = weight.detach().float()
    if weight.ndim < 2 or weight.numel() < EXACT:
        return weight
    integers, scale = _integers(weight)
    return integers.float() * scale.view(-1, *[1] * (weight.ndim - 1))


def packed(weight: Tensor) -> bytes:
    """Return the bytes of a weight that `rounded` rounds: the scale of each row in float32, then the integers.

    These come in three planes, of which the first is the one that gzip makes smaller: the upper 8 bits, the next 8, and
    the lowest 2 of four numbers in a byte.
    """
    integers, scale = _integers(weight)
    numbers = integers.flatten() + LEVELS
    low = F.pad(numbers & 3, (0, -len(numbers) % 4)).view(-1, 4) << torch.tensor([0, 2, 4, 6])
    planes = torch.cat([numbers >> 10, numbers >> 2 & 255, low.sum(1)])
    return bytes(scale.numpy().tobytes() + planes.to(torch.uint8).numpy().tobytes())


def encode(tensor: Tensor) -> tuple[int, bytes]:
    """Encode numbers, in 18 bits if those hold them: so are weights that are rounded, but not what is computed of them.

    Returns:
        The number of rows, 0 for float32, and the bytes.
    """
    if _is_rounded(tensor):
        return len(tensor), packed(tensor)
    return 0, tensor.detach().float().contiguous().numpy().tobytes()


def _integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The integers, of the shape of the weight, and the scale of each row, float32."""
    rows = weight.flatten(1).double()
    scale = (rows.abs().amax(1) / LEVELS).float().clamp(min=torch.finfo(torch.float32).tiny)
    integers = (rows / scale.double()[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int32)
    return integers.view(weight.shape), scale


def _is_rounded(tensor: Tensor) -> bool:
    if tensor.ndim < 2 or tensor.numel() < EXACT:
        return False
    largest = tensor.abs().flatten(1).amax(1)
    return bool(((rounded(tensor) - tensor).abs().flatten(1).amax(1) <= 5e-7 * largest).all())
