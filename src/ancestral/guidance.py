"""Denoisers that wrap denoisers: what is asked of the samples changes, the sampler does not know."""

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.schedules import Time
from ancestral.targets import Denoiser, Prediction

NO_CLASS = -1
"""The label of an image without one: the network answers with its learned "no class"."""


class ClassifierFree:
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6): away from "no class", towards the label.

    `scale` 0 ignores the label, 1 is plain conditioning, more trades variety for typical samples. Both answers come
    from one pass over a doubled batch.
    """

    def __init__(self, denoiser: Denoiser, scale: float) -> None:
        self.denoiser, self.schedule, self.scale = denoiser, denoiser.schedule, scale

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """The guided estimates.

        Args:
            x_t: The states, of shape (B, *).
            t: Their time, or times (B,), in 1..T.
            condition: What the denoiser is conditioned on; `labels` (B,) must be among it.

        Returns:
            The prediction, each part of the shape of x_t.

        Raises:
            InputError: If there are no labels.
        """
        if condition.get("labels") is None:
            raise InputError("guidance strengthens a label, and none is given: pass labels=..., one for each image")
        labels = condition.pop("labels")
        both = {"labels": torch.cat([labels, torch.full_like(labels, NO_CLASS)])}
        both |= {name: torch.cat([value, value]) for name, value in condition.items()}
        times = t.expand(len(x_t)).repeat(2) if isinstance(t, Tensor) else t
        guided = self.denoiser.predict(torch.cat([x_t, x_t]), times, **both)
        (x0, free_x0), (eps, free_eps) = (part.chunk(2) for part in guided)
        variance_fraction = None if guided.variance_fraction is None else guided.variance_fraction[: len(x_t)]
        return Prediction(
            free_x0 + self.scale * (x0 - free_x0), free_eps + self.scale * (eps - free_eps), variance_fraction
        )
