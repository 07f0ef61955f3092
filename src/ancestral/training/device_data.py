"""Data that a run keeps near to its device: items, their latents, and copies of batches.

Each latent is encoded once, since an encoder can take as long as the rest of a step.
"""

from typing import Any

import torch
from torch import Tensor

from ancestral.base.device import home_of, on_device, pinned
from ancestral.config import DataConfig
from ancestral.data import Dataset, DataSpec, InMemoryDataset


class LatentCache:
    """The latents of items by their numbers, of mirrored ones too, filled as they are needed.

    Each item is encoded alone, so that its latents do not depend on the batch that it is in: a run that is resumed,
    whose cache is empty, has the same to the bit.

    Args:
        spec: The description of the items, with an autoencoder.
        count: The number of items.
        mirrored: Whether there are mirrored ones.
        device: Where the latents are kept.
    """

    def __init__(self, spec: DataSpec, count: int, mirrored: bool, device: torch.device | str = "cpu") -> None:
        self.spec, self.count = spec, count
        size = count * (1 + mirrored)
        self.latents = torch.empty(size, *spec.x_shape, device=device)
        self.known = torch.zeros(size, dtype=torch.bool)

    @property
    def nbytes(self) -> int:
        """The size of the latents of all items."""
        return self.latents.nbytes

    def __call__(self, encoded: Tensor, indices: Tensor, flip: Tensor | None) -> Tensor:
        """Return the latents of items.

        Args:
            encoded: The items in [−1, 1], mirrored where `flip` says so, (B, C, *sides).
            indices: Their numbers, int64 (B,).
            flip: Whether they are mirrored, bool (B,); None if none is.
        """
        keys = indices.cpu() if flip is None else indices.cpu() + self.count * flip.cpu().long()
        for place in (~self.known[keys]).nonzero()[:, 0].tolist():
            key = int(keys[place])
            if not self.known[key]:  # an item may be twice in a batch
                self.latents[key] = self.spec.to_x(encoded[place : place + 1])[0]
                self.known[key] = True
        latents = self.latents[keys.to(self.latents.device, non_blocking=True)]
        return on_device(latents, encoded.device)


def cache_for(
    data: DataConfig, spec: DataSpec, dataset: Dataset, device: torch.device | str = "cpu"
) -> LatentCache | None:
    """Return a cache for the latents of a run on a device, where they are kept if they fit.

    Returns:
        None where an item has other latents in each step, since windows are cut or it is augmented, and where they do
        not fit into the memory that is meant for data.
    """
    if data.augment or dataset.stored_shape != dataset.shape:
        return None
    mirrored = data.flip and len(spec.shape) > 2
    nbytes = 4 * torch.Size(spec.x_shape).numel() * len(dataset) * (1 + mirrored)
    home = home_of(nbytes, torch.device(device))
    if home.type == "cpu" and nbytes > data.memory * 2**30:
        return None
    return LatentCache(spec, len(dataset), mirrored, home)


def items_on_device(dataset: Dataset, device: torch.device) -> Tensor | None:
    """Copy items that are in memory to an accelerator, if they fit there and no windows are cut; else return None."""
    if not isinstance(dataset, InMemoryDataset) or dataset.stored is not None:
        return None
    if dataset.items.dtype not in (torch.uint8, torch.float32):  # not every device can index others
        return None
    home = home_of(dataset.items.nbytes, device)
    return None if home.type == "cpu" else dataset.items.to(home)


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
