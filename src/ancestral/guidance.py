"""Guidance: denoisers that wrap denoisers, so that every sampler can use them."""

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.schedules import Time
from ancestral.targets import Denoiser, Prediction

NO_CLASS = -1
"""The label of an image without a class, for which networks learn an embedding."""


class ClassifierFree:
    """Classifier-free guidance: extrapolation from the estimate without a label to that with one.

    `scale` = 0 ignores the label, 1 is plain conditioning, more trades diversity for fidelity. Both estimates come from
    one forward pass over a doubled batch.

    References:
        Ho and Salimans, *Classifier-free diffusion guidance* (2022), eq. 6.
    """

    def __init__(self, denoiser: Denoiser, scale: float) -> None:
        self.denoiser, self.schedule, self.scale = denoiser, denoiser.schedule, scale

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimate x_0 and ε with guidance, given `labels` (B,). Raises InputError without labels."""
        if condition.get("labels") is None:
            raise InputError("guidance strengthens a label, and none is given: pass labels=..., one for each image")
        labels = condition.pop("labels")
        both = {"labels": torch.cat([labels, torch.full_like(labels, NO_CLASS)])}
        both |= {name: torch.cat([value, value]) for name, value in condition.items()}
        times = t.expand(len(x_t)).repeat(2) if isinstance(t, Tensor) else t
        guided = self.denoiser.predict(torch.cat([x_t, x_t]), times, **both)
        (x0, free_x0), (eps, free_eps) = (part.chunk(2) for part in guided)
        variance_fraction = None if guided.variance_fraction is None else guided.variance_fraction[: len(x_t)]
        return Prediction(  # CFG (6), with scale = 1 + w
            free_x0 + self.scale * (x0 - free_x0), free_eps + self.scale * (eps - free_eps), variance_fraction
        )
