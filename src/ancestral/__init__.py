"""Ancestral: denoising diffusion, from the forward process to samples, with every equation in one line.

    schedule (signal, noise)  +  target  +  network  =  denoiser;     denoiser  +  sampler  =  images

Names are imported when they are first used, so that `import ancestral` costs nothing.
"""

import importlib
from typing import Any

__version__ = "1.0.0"

_MODULES = {
    "": (
        *("bound", "conditions", "config", "data", "errors", "events", "guidance", "hub", "interop", "metrics"),
        *("nets", "objectives", "operators", "oracle", "probability_flow", "randomness", "results", "reverse"),
        *("samplers", "schedules", "targets", "workflows"),
    ),
    "config": ("Config",),
    "config.request": ("Request",),
    "diffusion": ("Diffusion",),
    "errors": ("InputError",),
    "faces.python": (
        *("average", "compare", "distil", "edit", "evaluate", "evaluate_samples", "export", "import_pipeline"),
        *("info", "inspect", "push", "runs", "sample", "studio", "train", "train_steps"),
    ),
    "model": ("Model", "load"),
    "targets": ("Prediction",),
    "training.snapshot_models": ("load_snapshot",),
}
"""The public names by their modules; docs/hooks/stub.py writes __init__.pyi of them for editors and type checkers."""
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ancestral' has no attribute {name!r}")
    module = importlib.import_module(f"ancestral.{_HOMES[name] or name}")
    return getattr(module, name) if _HOMES[name] else module


def __dir__() -> list[str]:
    return sorted(__all__)
