"""Compilation of a network (torch.compile), one block at a time."""

from collections.abc import Sequence

import torch
from torch import nn

SHAPES = 4
"""Number of shapes and modes for which a block is compiled: a whole and a last micro-batch, in training and without a
gradient."""


def compile_blocks(blocks: Sequence[nn.Module]) -> None:
    """Have each block compiled at its first call, and again for each new shape.

    Blocks of a class share the compiler's cache, which by default holds 8 versions. Shapes are compiled as they are:
    from two blocks of different width the compiler would conclude that the number of channels varies, which its CPU
    kernels of channels_last do not support.
    """
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, SHAPES * len(blocks))
    for block in blocks:
        block.compile(dynamic=False)


def compiler_failure(error: BaseException) -> str:
    """Return the first line of an error of the compiler; "" for an error of another kind."""
    if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
        return ""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
