"""Which devices compute in float64."""

import torch

WITHOUT_FLOAT64 = {"mps"}
"""Kinds of devices that have no float64: Apple's GPUs."""


def highest_dtype(device: torch.device | str) -> torch.dtype:
    """Return float64, or float32 for a device that has none."""
    return torch.float32 if torch.device(device).type in WITHOUT_FLOAT64 else torch.float64


def float64_device(device: torch.device | str) -> torch.device:
    """Return the device to compute float64 on: the given one, or the CPU if that has none."""
    return torch.device("cpu") if torch.device(device).type in WITHOUT_FLOAT64 else torch.device(device)
