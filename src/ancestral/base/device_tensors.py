"""Tensors on devices: which devices have float64, and constants, each copied once, as a copy from memory may wait."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ancestral.base.transforms import transformed

WITHOUT_FLOAT64 = {"mps"}
"""Kinds of devices that have no float64: Apple's GPUs."""


def highest_dtype(device: torch.device | str) -> torch.dtype:
    """Return float64, or float32 for a device that has none."""
    return torch.float32 if torch.device(device).type in WITHOUT_FLOAT64 else torch.float64


def float64_device(device: torch.device | str) -> torch.device:
    """Return the device to compute float64 on: the given one, or the CPU if that has none."""
    return torch.device("cpu") if torch.device(device).type in WITHOUT_FLOAT64 else torch.device(device)


_COPIES: Any = WeakTensorKeyDictionary()
"""The copies of each constant by device and dtype, as long as it exists, and the version of its values."""


def kept(tensor: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a constant on the device of a tensor and in its dtype, or in another: `tensor.to(like)`, copied once.

    What has a gradient, or is transformed or compiled, is not kept.
    """
    dtype = dtype or like.dtype
    if tensor.device == like.device and tensor.dtype == dtype:
        return tensor
    if torch.compiler.is_compiling() or transformed(tensor) or tensor.requires_grad or tensor.is_inference():
        return tensor.to(like.device, dtype)
    copies = _COPIES.setdefault(tensor, {})
    copy: Tensor
    version, copy = copies.get((like.device, dtype), (None, tensor))
    if version != tensor._version:
        with torch.inference_mode(False):  # so that other modes can use the copy
            copy = tensor.to(like.device, dtype)
        copies[like.device, dtype] = (tensor._version, copy)
    return copy
