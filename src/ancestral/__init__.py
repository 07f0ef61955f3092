"""Ancestral: denoising diffusion, from the forward process to samples, with every equation in one line.

    schedule (signal, noise)  +  target  +  network  =  denoiser;     denoiser  +  sampler  =  images

Names are imported when they are first used, so that `import ancestral` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_NAMES = {
    "Config": "ancestral.config",
    "Diffusion": "ancestral.diffusion",
    "InputError": "ancestral.errors",
    "Prediction": "ancestral.targets",
    "Model": "ancestral.model",
    "load": "ancestral.model",
    **dict.fromkeys(
        ("average", "compare", "distil", "evaluate", "evaluate_samples", "inspect", "train", "train_steps"),
        "ancestral.api",
    ),
    **dict.fromkeys(("clean_runs", "runs"), "ancestral.workflows.runs"),
    "push": "ancestral.workflows.publish",
}
_MODULES = (
    "bound",
    "config",
    "data",
    "guidance",
    "interop",
    "nets",
    "objectives",
    "oracle",
    "probability_flow",
    "randomness",
    "reverse",
    "samplers",
    "schedules",
    "targets",
)

__all__ = [
    "Config",
    "Diffusion",
    "InputError",
    "Model",
    "Prediction",
    "average",
    "clean_runs",
    "compare",
    "distil",
    "evaluate",
    "evaluate_samples",
    "inspect",
    "load",
    "push",
    "runs",
    "train",
    "train_steps",
    *_MODULES,
]

if TYPE_CHECKING:
    from ancestral import (
        bound,
        config,
        data,
        guidance,
        interop,
        nets,
        objectives,
        oracle,
        probability_flow,
        randomness,
        reverse,
        samplers,
        schedules,
        targets,
    )
    from ancestral.api import average, compare, distil, evaluate, evaluate_samples, inspect, train, train_steps
    from ancestral.config import Config
    from ancestral.diffusion import Diffusion
    from ancestral.errors import InputError
    from ancestral.model import Model, load
    from ancestral.targets import Prediction
    from ancestral.workflows.publish import push
    from ancestral.workflows.runs import clean_runs, runs


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ancestral.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'ancestral' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
