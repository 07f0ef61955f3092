"""Ancestral and the libraries that it is compared with, behind one interface that uses only their public functions."""

from collections.abc import Callable

from ancestral.base.errors import InputError
from ancestral.base.plugins import import_function
from peers.contest import Contestant, Task

NAMES = ("ancestral", "diffusers-documented", "diffusers-tuned", "ddp-documented", "ddp-tuned")
"""The contestants of the quality part; ddp is denoising-diffusion-pytorch."""
DISTILLED = "ancestral-distilled"
"""The contestant of the divisions of few evaluations: `ancestral distil` of the model in runs/digits."""


def factory(name: str) -> Callable[[Task], Contestant]:
    """Return the function that builds the contestant `name`. Only this library is imported.

    A name with a colon, "package.module:function", is a custom contestant: a function of the task.

    Raises:
        InputError: If there is no such contestant.
    """
    if ":" in name:
        own: Callable[[Task], Contestant] = import_function(name)
        return own
    if name not in (*NAMES, DISTILLED):
        raise InputError(
            f"unknown contestant {name!r}: use {', '.join((*NAMES, DISTILLED))}, or package.module:function"
        )
    if name.startswith("ancestral"):
        from peers import ours

        return ours.Distilled if name == DISTILLED else ours.Ancestral
    if name.startswith("diffusers"):
        from peers import diffusers_

        return diffusers_.documented if name.endswith("documented") else diffusers_.tuned
    from peers import ddp

    return ddp.documented if name.endswith("documented") else ddp.tuned
