"""The numbers of steps at which samplers are compared: those that take about the same number of network evaluations.

Cost is counted in network evaluations, since a step of Heun's costs two and a level of Langevin's several.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.model import Model
from ancestral.samplers import Sampler

TRIED_PASSES = (4, 6, 8, 10, 12, 16, 25, 50, 100, 250)
"""The numbers of network evaluations that are tried."""


class StepBudget(NamedTuple):
    """A sampler with a number of steps, and the network evaluations that these take."""

    sampler: Sampler
    steps: int
    passes: int

    @staticmethod
    def of(model: Model, sampler: Sampler) -> "StepBudget":
        """Count the steps and the network evaluations of a sampler of this model."""
        schedule = model.denoiser.schedule
        return StepBudget(sampler, len(sampler.times(schedule)) - 1, sampler.nfe(schedule))


def sampler_title(sampler: str | Sampler) -> str:
    """Name a sampler in tables: a name as it is; an instance by its class and the settings other than its defaults."""
    if isinstance(sampler, str):
        return sampler
    pairs = [(field, repr(getattr(sampler, field.name))) for field in dataclasses.fields(sampler)]  # type: ignore[arg-type]
    changes = [f"{field.name}={value}" for field, value in pairs if value != repr(field.default)]
    return f"{type(sampler).__name__}({', '.join(changes)})"


def without_steps(name: str) -> str:
    """Leave a sampler's number of steps out of its name with options."""
    kind, _, text = name.partition(":")
    others = [option for option in text.split(",") if option and option.partition("=")[0].strip() != "steps"]
    return f"{kind}:{','.join(others)}" if others else kind


def step_budgets(model: Model, sampler: str | Sampler, most: int) -> Iterator[StepBudget]:
    """Choose the numbers of steps of a sampler that are tried, with at most `most` network evaluations.

    A custom sampler and a name with a number of steps ("heun:steps=5") are tried with this number alone. Another
    name is tried with the numbers that come closest to TRIED_PASSES from below. Network evaluations grow linearly with
    the steps, for all samplers here. Numbers of steps that the sampler's spacing cannot take are left out.

    Raises:
        InputError: If the model cannot be sampled with it.
    """
    if not isinstance(sampler, str) or without_steps(sampler) != sampler:
        budget = StepBudget.of(model, model.sampler(sampler))
        if budget.passes <= most:
            yield budget
        return
    schedule, before = model.denoiser.schedule, 0
    full: Any = model.sampler(sampler, steps=schedule.steps)
    # counted at a spacing that takes any number of steps
    small: Any = [dataclasses.replace(full, steps=min(n, schedule.steps), spacing="trailing") for n in (1, 2)]
    one, two = (sampler.nfe(schedule) for sampler in small)
    for passes in TRIED_PASSES:
        steps = min(1 + (passes - one) // max(1, two - one), schedule.steps) if passes >= one else 0
        if passes <= most and steps > before:
            before = steps
            with contextlib.suppress(InputError):  # leading spacing needs some steps to start near T
                yield StepBudget.of(model, model.sampler(sampler, steps=steps))


def reference_budget(model: Model, most: int | None = None) -> StepBudget:
    """Return what other samplers are compared with: DDPM with all T steps of the schedule, or with `most` of them."""
    return bounded(model, model.sampler("ddpm", steps=model.denoiser.schedule.steps), most)


def bounded(model: Model, sampler: Sampler, most: int | None) -> StepBudget:
    """Return a sampler as it is, or with the largest number of steps whose network evaluations are at most `most`.

    Raises:
        InputError: If one step takes more.
    """
    whole = StepBudget.of(model, sampler)
    if most is None or whole.passes <= most:
        return whole
    free: Any = sampler  # all samplers are dataclasses
    for steps in range(min(most, whole.steps - 1), 0, -1):
        with contextlib.suppress(InputError):  # some spacings need some steps to start near T
            budget = StepBudget.of(model, dataclasses.replace(free, steps=steps))
            if budget.passes <= most:
                return budget
    raise InputError(
        f"{sampler_title(sampler)} takes more than {most} network evaluations; give a larger {option('most')}"
    )
