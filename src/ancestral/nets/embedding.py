"""The sinusoidal embedding of the time index."""

import math

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.transforms import certain


def timestep_embedding(index: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[sin | cos] of index · exp(−i · ln 10000 / (half − 1)), i = 0..half−1: (B, width) from index (B,).

    The sines stand before the cosines and the last frequency is 1/10000 exactly, as in the DDPM authors' code. Angles
    are in float32, or in float64 for that `dtype` of the result.
    """
    if width < 4 or width % 2:
        raise InputError(f"a time embedding needs an even width of at least 4, not {width}")
    half = width // 2
    work = torch.promote_types(dtype, torch.float32)
    frequency = torch.exp(torch.arange(half, device=index.device, dtype=work) * (-math.log(10000) / (half - 1)))
    angle = index[:, None].to(work) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


def class_index(labels: Tensor, classes: int) -> Tensor:
    """Index of the embedding of each label (B,): that of its class, or for a label below 0 the last, "no class".

    Raises:
        InputError: On a CPU, for a label of no class. On a GPU its index is beyond the last one, which fails there.
    """
    beyond = labels >= classes
    if labels.device.type == "cpu" and certain(beyond.any()):
        raise InputError(f"labels are 0..{classes - 1}, or -1 for no class, not {int(labels.max())}")
    return (labels + beyond).where(labels >= 0, classes)
