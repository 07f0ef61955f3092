"""The sinusoidal embedding of the time index."""

import math

import torch
from torch import Tensor

from ancestral.errors import InputError


def timestep_embedding(index: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[sin | cos] of index · exp(−i · ln 10000 / (half − 1)), i = 0..half−1: (B, width) from index (B,).

    The sines stand before the cosines and the last frequency is 1/10000 exactly, as in the DDPM authors' code. Angles
    are in float32, or in float64 for that `dtype` of the result.
    """
    if width < 4 or width % 2:
        raise InputError(f"a time embedding needs an even width of at least 4, not {width}")
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=index.device) * (-math.log(10000) / (half - 1)))
    angle = index[:, None].to(torch.promote_types(dtype, torch.float32)) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)
