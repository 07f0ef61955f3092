"""Guidance: denoisers that wrap denoisers, so that every sampler can use them.

Estimates are differentiable in x_t, in a measurement y, in weights that are tensors (those of a blend between 0 and 1),
and in the parameters of the wrapped denoisers, as many times as these are.
"""

from ancestral.guidance.autoguidance import AutoGuidance
from ancestral.guidance.blend import Blend
from ancestral.guidance.classifier_free import NO_CLASS, ClassifierFree, guided, rescaled
from ancestral.guidance.dps import DPS
from ancestral.guidance.posterior import METHODS, Posterior
from ancestral.guidance.replacement import Replacement
from ancestral.guidance.tiled import Tiled
from ancestral.guidance.wrapper import Clipped, Interval, Skip, Wrapper

__all__ = [
    "DPS",
    "METHODS",
    "NO_CLASS",
    "AutoGuidance",
    "Blend",
    "ClassifierFree",
    "Clipped",
    "Interval",
    "Posterior",
    "Replacement",
    "Skip",
    "Tiled",
    "Wrapper",
    "guided",
    "rescaled",
]
