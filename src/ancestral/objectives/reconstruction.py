"""The objective of an autoencoder: the difference of items and their reconstructions, and of the edges in both."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.nets.autoencoder import Autoencoder, coarser
from ancestral.nets.space import pad
from ancestral.objectives.objective import ForwardPass, Objective, TrainableDenoiser
from ancestral.objectives.times import UniformTimes
from ancestral.randomness import Stream
from ancestral.targets import Denoiser

SCALES = 3
"""Number of resolutions at which edges are compared, each half as fine as the one before."""


COARSE = 0.5
"""Weight of the error at half the resolution."""


class Reconstruction(Objective):
    """The mean absolute difference of items and their reconstructions, and of their differences of neighbours.

    The latents get noise that is a function of (seed, step, index). Averaged over blocks of two positions, they have to
    decode to the averaged items too: then most of their variance is at low frequencies, as that of images is, which a
    model learns more easily. There is no time: t is 1.

    Args:
        denoiser: A denoiser whose network is an `Autoencoder`.

    References:
        Skorokhodov et al., *Improving the diffusability of autoencoders* (2025): the coarse reconstruction.
    """

    def __init__(self, denoiser: Any) -> None:
        super().__init__(UniformTimes(denoiser.schedule))
        self.autoencoder: Autoencoder = denoiser.net

    def losses(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        *,
        step: int,
        seed: int = 0,
        indices: Sequence[int] | Tensor | None = None,
        averaged: Denoiser | None = None,
        **condition: Any,
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of each item, (B,), and times, which are all 1."""
        indices = range(len(x0)) if indices is None else indices
        shape = self.autoencoder.latent_shape(x0.shape[1:])
        noise = randomness.normal(shape, seed, Stream.LATENT, step, list(indices), x0.device)
        reconstruction, coarse = denoiser.net(x0, None, noise)  # type: ignore[attr-defined]  # it may be wrapped
        losses = reconstruction_errors(reconstruction, x0)
        if coarse is not None:
            losses = losses + COARSE * reconstruction_errors(coarse, coarser(pad(x0, self.autoencoder.factor)))
        return torch.ones(len(x0), dtype=torch.int64), losses

    def errors(self, forward: ForwardPass) -> Tensor:
        """Compute the loss of each item, (B,), of an answer that is a reconstruction."""
        return reconstruction_errors(forward.answer, forward.x0)


def reconstruction_errors(reconstruction: Tensor, x: Tensor) -> Tensor:
    """Compare items (B, C, *sides) with reconstructions: (B,)."""
    difference = reconstruction - x
    difference = difference.to(torch.promote_types(difference.dtype, torch.float32))
    total = difference.abs().flatten(1).mean(1)
    for scale in range(SCALES):
        if scale:
            if min(difference.shape[2:]) < 4 or any(side % 2 for side in difference.shape[2:]):
                break
            difference = coarser(difference)
        for axis in range(2, x.ndim):
            if difference.shape[axis] > 1:
                total = total + difference.diff(dim=axis).abs().flatten(1).mean(1) / (x.ndim - 2)
    return total
