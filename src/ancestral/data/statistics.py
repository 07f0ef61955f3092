"""Numbers that sum up a set of images."""

import torch
from torch import Tensor


def channel_mean(images: Tensor) -> tuple[float, ...]:
    """Mean of each channel of uint8 images (N, C, H, W), in 0..255; summed as integers, a chunk at a time."""
    total = torch.zeros(images.shape[1], dtype=torch.int64)
    for start in range(0, len(images), 4096):
        total += images[start : start + 4096].sum((0, 2, 3), dtype=torch.int64)
    return tuple(round(value, 2) for value in (total / (images.numel() / images.shape[1])).tolist())
