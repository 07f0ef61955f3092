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
    "compare",
    "distil",
    "evaluate",
    "evaluate_samples",
    "export",
    "import_pipeline",
    "info",
    "inspect",
    "load",
    "push",
    "runs",
    "sample",
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
    from ancestral.config import Config
    from ancestral.diffusion import Diffusion
    from ancestral.errors import InputError
    from ancestral.faces.python import (
        average,
        compare,
        distil,
        evaluate,
        evaluate_samples,
        export,
        import_pipeline,
        info,
        inspect,
        push,
        runs,
        sample,
        train,
        train_steps,
    )
    from ancestral.model import Model, load
    from ancestral.targets import Prediction


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ancestral.{name}")
    if name in __all__:
        return getattr(importlib.import_module(_NAMES.get(name, "ancestral.faces.python")), name)
    raise AttributeError(f"module 'ancestral' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
