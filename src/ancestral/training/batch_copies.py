"""Copies of batches to an accelerator while the steps before them are computed."""

from typing import Any

import torch
from torch import Tensor

from ancestral.base.device import UNPINNED, pinned


class BatchCopies:
    """Copies items to an accelerator on a stream of their own, which waits for no step that still reads them.

    Python queues the steps ahead of the accelerator, so that the items of a step are drawn and copied while earlier
    steps are computed. Two buffers take turns: the items of a step stay as they are until the call after the next one.

    Args:
        device: The accelerator.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.module = device, torch.get_device_module(device)
        self.stream = self.module.Stream(device)
        self.buffers: list[Tensor | None] = [None, None]
        """The buffer of the next call, and that of the last one."""
        self.queued: Any = None
        """An event after all that was queued when the last call began: what reads the buffer of the next one."""

    def __call__(self, items: Tensor) -> Tensor:
        """Return items on the device, where the current stream waits for their copy."""
        steps = self.module.current_stream(self.device)
        before, self.queued = self.queued, steps.record_event()
        buffer = self.buffers[0]
        if buffer is None or (buffer.shape, buffer.dtype) != (items.shape, items.dtype):
            buffer = torch.empty(items.shape, dtype=items.dtype, device=self.device)
            before = steps.record_event()  # its memory may be that of tensors which steps still read
        self.buffers = [self.buffers[1], buffer]
        if before is not None:
            self.stream.wait_event(before)
        with self.module.stream(self.stream):
            buffer.copy_(pinned(items, self.device), non_blocking=True)
        steps.wait_stream(self.stream)
        return buffer


def copies_for(device: torch.device) -> BatchCopies | None:
    """Return what copies batches to a device; None where none are copied."""
    return None if device.type in UNPINNED else BatchCopies(device)
