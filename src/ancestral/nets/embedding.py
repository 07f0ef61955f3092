"""The sinusoidal embedding of the time index."""

import math

import torch
from torch import Tensor

from ancestral.errors import InputError


def timestep_embedding(index: Tensor, width: int) -> Tensor:
    """[sin | cos] of index · exp(−i · ln 10000 / (half − 1)), i = 0..half−1: float32 (B, width) from index (B,).

    The sines stand before the cosines and the last frequency is 1/10000 exactly, as in the DDPM authors' code.
    """
    if width < 4 or width % 2:
        raise InputError(f"a time embedding needs an even width of at least 4, not {width}")
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=index.device) * (-math.log(10000) / (half - 1)))
    angle = index[:, None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
