"""Guidance: denoisers that wrap denoisers, so that every sampler can use them."""

from ancestral.guidance.autoguidance import AutoGuidance
from ancestral.guidance.classifier_free import NO_CLASS, ClassifierFree
from ancestral.guidance.extrapolation import guided, rescaled
from ancestral.guidance.interval import Interval
from ancestral.guidance.posterior import Posterior
from ancestral.guidance.wrapper import Clipped, Wrapper

__all__ = [
    "NO_CLASS",
    "AutoGuidance",
    "ClassifierFree",
    "Clipped",
    "Interval",
    "Posterior",
    "Wrapper",
    "guided",
    "rescaled",
]
