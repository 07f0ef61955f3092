"""The numbers of steps at which samplers are compared: those that take about the same number of network evaluations.

Cost is counted in network evaluations, since a step of Heun's costs two and a level of Langevin's several.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from ancestral.errors import InputError
from ancestral.model import Model
from ancestral.samplers import Sampler

PASSES = (4, 6, 8, 10, 12, 16, 25, 50, 100, 250)
"""The numbers of network evaluations that are tried."""


class StepBudget(NamedTuple):
    """A sampler with a number of steps, and the network evaluations that these take."""

    sampler: Sampler
    steps: int
    passes: int


def step_budgets(model: Model, name: str, most: int) -> Iterator[StepBudget]:
    """Choose the numbers of steps of a sampler that come closest to PASSES from below.

    Network evaluations grow linearly with the steps, for all samplers here. Numbers of steps that the sampler's spacing
    cannot take are left out.

    Raises:
        InputError: If the model cannot be sampled with it.
    """
    schedule, before = model.denoiser.schedule, 0
    full: Any = model.sampler(name, steps=schedule.steps)
    # counted at a spacing that takes any number of steps
    few: Any = [dataclasses.replace(full, steps=min(n, schedule.steps), spacing="trailing") for n in (1, 2)]
    one, two = (sampler.nfe(schedule) for sampler in few)
    for wanted in PASSES:
        steps = min(1 + (wanted - one) // max(1, two - one), schedule.steps) if wanted >= one else 0
        if wanted <= most and steps > before:
            before = steps
            with contextlib.suppress(InputError):  # leading spacing needs some steps to start near T
                sampler = model.sampler(name, steps=steps)
                yield StepBudget(sampler, steps, sampler.nfe(schedule))


def reference_budget(model: Model) -> StepBudget:
    """Return DDPM with all T steps of the model's schedule, which other samplers are compared with."""
    sampler, schedule = model.sampler("ddpm", steps=model.denoiser.schedule.steps), model.denoiser.schedule
    return StepBudget(sampler, schedule.steps, sampler.nfe(schedule))
