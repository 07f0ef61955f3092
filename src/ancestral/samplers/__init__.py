"""Samplers: rules that turn a denoiser's estimates into steps from x_T to a sample. One loop, one file a method.

`Sampler.advance` is differentiable in x and the prediction (that of `TDS` is detached). What a trajectory, a sample, an
inversion and a recording return is detached.
"""

from typing import Any

from ancestral.base.arguments import plain
from ancestral.base.registries import SAMPLERS
from ancestral.samplers.consistency import Consistency
from ancestral.samplers.ddim import DDIM
from ancestral.samplers.ddpm import DDPM
from ancestral.samplers.dpm_solver import DPMSolver
from ancestral.samplers.euler import Euler
from ancestral.samplers.heun import Heun
from ancestral.samplers.interpolation import slerp, time_at_strength
from ancestral.samplers.inversion import inverse_trajectory, invert
from ancestral.samplers.langevin import Langevin
from ancestral.samplers.loop import Continuation, Move, Sampler, Spacing, Step, resampled, times_from
from ancestral.samplers.predictor_corrector import PredictorCorrector
from ancestral.samplers.record import Recording, record
from ancestral.samplers.twisted import TDS, Particles
from ancestral.samplers.unipc import UniPC

__all__ = [
    "BY_NAME",
    "DDIM",
    "DDPM",
    "TDS",
    "Consistency",
    "Continuation",
    "DPMSolver",
    "Euler",
    "Heun",
    "Langevin",
    "Move",
    "Particles",
    "PredictorCorrector",
    "Recording",
    "Sampler",
    "Spacing",
    "Step",
    "UniPC",
    "check_name",
    "from_name",
    "inverse_trajectory",
    "invert",
    "record",
    "resampled",
    "slerp",
    "time_at_strength",
    "times_from",
]

BY_NAME: dict[str, Sampler] = {name: entry.make() for name, entry in SAMPLERS.items()}
"""Each name with its default settings."""


def from_name(name: str, max_steps: int | None = None, **options: Any) -> Sampler:
    """Build the sampler called `name`.

    Args:
        name: A key of `BY_NAME`, with options or without: "heun:steps=18,churn=10".
        max_steps: An upper bound of the default number of steps, for example the schedule's T.
        options: More of the sampler's options; None is the default.

    Raises:
        InputError: For an unknown name, an option that this sampler does not have, and a value that it cannot have.
    """
    entry, given = SAMPLERS.read(name)
    given |= {key: plain(value) for key, value in options.items() if value is not None}
    entry.check_options("sampler", given)
    adaptive = given.get("rtol") is not None  # its steps are its own
    steps = entry.defaults()["steps"] or 0
    if max_steps is not None and "steps" not in given and steps > max_steps and not adaptive:
        given["steps"] = max_steps
    sampler: Sampler = entry.make(**given)
    return sampler


def check_name(name: str, **options: Any) -> None:
    """Raise InputError if there is no such sampler, or it cannot have these options, as `from_name` does."""
    from_name(name, **options)
