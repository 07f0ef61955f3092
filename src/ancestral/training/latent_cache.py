"""Latents of the items of a run, each encoded once: an encoder can take as long as the rest of a step."""

import torch
from torch import Tensor

from ancestral.config import DataConfig
from ancestral.data import Dataset, DataSpec


class LatentCache:
    """The latents of items by their numbers, of mirrored ones too, filled as they are needed.

    Each item is encoded alone, so that its latents do not depend on the batch that it is in: a run that is resumed,
    whose cache is empty, has the same to the bit.

    Args:
        spec: The description of the items, with an autoencoder.
        count: The number of items.
        mirrored: Whether there are mirrored ones.
    """

    def __init__(self, spec: DataSpec, count: int, mirrored: bool) -> None:
        self.spec, self.count = spec, count
        size = count * (1 + mirrored)
        self.latents, self.known = torch.empty(size, *spec.x_shape), torch.zeros(size, dtype=torch.bool)

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
            key = keys[place]
            if not self.known[key]:  # an item may be twice in a batch
                self.latents[key] = self.spec.to_x(encoded[place : place + 1])[0].cpu()
                self.known[key] = True
        return self.latents[keys].to(encoded.device)


def cache_for(data: DataConfig, spec: DataSpec, dataset: Dataset) -> LatentCache | None:
    """Return a cache for the latents of a run.

    Returns:
        None where there are no latents, where an item has others in each step, since windows are cut or it is
        augmented, and where they do not fit into the memory that is meant for data.
    """
    if spec.autoencoder is None or data.augment or dataset.stored_shape != dataset.shape:
        return None
    mirrored = data.flip and len(spec.shape) > 2
    nbytes = 4 * torch.Size(spec.x_shape).numel() * len(dataset) * (1 + mirrored)
    return LatentCache(spec, len(dataset), mirrored) if nbytes <= data.memory * 2**30 else None
