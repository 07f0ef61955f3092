"""Samplers: rules that walk a denoiser's estimates from x_T to a sample. One loop, one file a method."""

import contextlib
import dataclasses
import difflib
import math
import typing
from typing import Any

from ancestral.errors import InputError
from ancestral.samplers.ddim import DDIM
from ancestral.samplers.ddpm import DDPM
from ancestral.samplers.dpm_solver import DPMSolver
from ancestral.samplers.euler import Euler
from ancestral.samplers.heun import Heun
from ancestral.samplers.langevin import Langevin
from ancestral.samplers.loop import Move, Sampler, Spacing, Step
from ancestral.samplers.predictor_corrector import PredictorCorrector
from ancestral.samplers.record import Recording, record
from ancestral.samplers.unipc import UniPC

__all__ = [
    "BY_NAME",
    "DDIM",
    "DDPM",
    "DPMSolver",
    "Euler",
    "Heun",
    "Langevin",
    "Move",
    "PredictorCorrector",
    "Recording",
    "Sampler",
    "Spacing",
    "Step",
    "UniPC",
    "from_name",
    "record",
]

BY_NAME: dict[str, Sampler] = {
    "ddpm": DDPM(),
    "ddim": DDIM(),
    "dpm": DPMSolver(clip=1.0),
    "dpm-sde": DPMSolver(eta=1.0, clip=1.0),
    "unipc": UniPC(clip=1.0),
    "heun": Heun(clip=1.0),
    "euler": Euler(),
    "euler-ancestral": Euler(ancestral=True),
    "langevin": Langevin(steps_per_level=5, steps=100, clip=1.0),
    "pc": PredictorCorrector(),
}
"""Each name with the settings that it has unless others are given. All clip, since our data is in [−1, 1]: unclipped, a
network that predicts ε is asked to divide by a_T, and its images are lost."""


def from_name(name: str, **options: Any) -> Sampler:
    """The sampler called `name`, which may bring options itself, "heun:steps=18,churn=10", with those that are given.

    Options that are None stay at their defaults. Raises InputError for a name that is unknown, an option that this
    sampler does not have, and a value that cannot be.
    """
    name, _, written = name.partition(":")
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.0)[0]
        raise InputError(f"unknown sampler {name!r}; did you mean {near}? There are {', '.join(BY_NAME)}")
    usual = BY_NAME[name]
    has = {field.name: getattr(usual, field.name) for field in dataclasses.fields(usual)}  # type: ignore[arg-type]
    given: dict[str, object] = {}
    for word in filter(None, written.split(",")):
        key, _, value = (part.strip() for part in word.partition("="))
        given[key] = _read(value) if not isinstance(has.get(key), str) else value
    # NumPy's numbers become Python's
    given |= {key: v.item() if getattr(v, "ndim", 1) == 0 else v for key, v in options.items() if v is not None}
    hints = typing.get_type_hints(type(usual))
    for key, option in given.items():
        if key not in has:
            raise InputError(f"sampler {name} has no option {key}; it has {', '.join(has)}")
        if not _fits(option, hints[key]):
            choices = typing.get_args(hints[key]) if isinstance(has[key], str) else ()
            known = f"there are {', '.join(choices)}" if choices else f"unless given, it is {has[key]!r}"
            raise InputError(f"{key} of the sampler {name} cannot be {option!r}; {known}")
    return dataclasses.replace(usual, **given)  # type: ignore[type-var]  # all samplers are dataclasses


def _fits(value: object, hint: object) -> bool:
    """Whether a value may stand in a field of this type. An int may stand for a float; NaN never does."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return value in options
    if options:
        return any(_fits(value, option) for option in options)
    if hint is float:
        return type(value) in (int, float) and not math.isnan(value)  # type: ignore[arg-type]
    return type(value) is (type(None) if hint is None else hint)


def _read(value: str) -> object:
    """None, a truth value, an integer or a number."""
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    if value.lower() in words:
        return words[value.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(value)
    return value
