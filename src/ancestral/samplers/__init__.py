"""Samplers: rules that turn a denoiser's estimates into steps from x_T to a sample. One loop, one file a method."""

import contextlib
import dataclasses
import difflib
import typing
from typing import Any

from ancestral.arguments import describe, fits, plain, shown
from ancestral.errors import InputError
from ancestral.samplers.consistency import Consistency
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
    "Consistency",
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
    "check_name",
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
    "consistency": Consistency(),
}
"""Each name with its default settings. All clip, since data lies in [−1, 1]: without, x̂_0 of a network that predicts ε
is divided by a_T, which ruins its images.
"""


def from_name(name: str, max_steps: int | None = None, **options: Any) -> Sampler:
    """Build the sampler called `name`.

    Args:
        name: A key of `BY_NAME`, with options or without: "heun:steps=18,churn=10".
        max_steps: An upper bound of the default number of steps, for example the schedule's T.
        options: More of the sampler's options; None is the default.

    Raises:
        InputError: For an unknown name, an option that this sampler does not have, and a value that it cannot have.
    """
    name, _, text = name.partition(":")
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.0)[0]
        raise InputError(f"unknown sampler {name!r}; did you mean {near}? There are {', '.join(BY_NAME)}")
    default = BY_NAME[name]
    defaults = {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}  # type: ignore[arg-type]
    pairs = [(key.strip(), _read(value.strip())) for key, _, value in (o.partition("=") for o in text.split(",") if o)]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise InputError(f"{text!r} gives an option of the sampler {name} twice")
    given |= {key: plain(value) for key, value in options.items() if value is not None}
    hints = typing.get_type_hints(type(default))
    for key, option in given.items():
        if key not in defaults:
            raise InputError(f"sampler {name} has no option {key}; it has {', '.join(defaults)}")
        if not fits(option, hints[key]):
            raise InputError(
                f"{key} of the sampler {name} cannot be {shown(option)}: give {describe(hints[key])} (default: "
                f"{defaults[key]})"
            )
    adaptive = given.get("rtol") is not None  # its steps are its own
    if max_steps is not None and "steps" not in given and (default.steps or 0) > max_steps and not adaptive:
        given["steps"] = max_steps
    return dataclasses.replace(default, **given)  # type: ignore[type-var]  # all samplers are dataclasses


def check_name(name: str, **options: Any) -> None:
    """Raise InputError if there is no such sampler, or it cannot have these options, as `from_name` does."""
    from_name(name, **options)


def _read(text: str) -> object:
    """Parse None, a truth value, an integer or a number; other text stays text."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    return words.get(text.lower(), text)
