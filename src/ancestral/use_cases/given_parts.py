"""Parts of the user's own among the options of a run: a network, a schedule, a target, an optimiser and functions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ancestral import config as configs
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.plugins import import_function
from ancestral.config import Config
from ancestral.declarations import Train
from ancestral.model import OwnParts
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.training.trackers import Tracker

OWN: dict[str, Callable[[object], bool]] = {
    "schedule": lambda given: isinstance(given, Schedule),
    "target": lambda given: isinstance(given, Target),
    "optimiser": callable,
}
"""Settings that may be objects, and how these are recognised."""
IDLE_BESIDE = {"optimiser": ("lr",), "lr_schedule": ("warmup", "decay")}
"""Settings that have no effect beside parts of your own."""


def own_parts_of(options: Train) -> tuple[OwnParts, dict[str, Any]]:
    """Return the parts of the user's own, and the settings that are none."""
    settings = dict(options.settings)
    objects = {name: settings.pop(name) for name, is_own in OWN.items() if is_own(settings.get(name))}
    objects |= {name: function_of(getattr(options, name)) for name in ("lr_schedule", "objective")}
    parts = OwnParts(options.net, **objects)
    for name, idle in IDLE_BESIDE.items():
        if getattr(parts, name) is not None and any(setting in settings for setting in idle):
            names = " and ".join(map(option, idle))
            raise InputError(f"{option(name)} of your own says what {names} would: leave {names} out")
    return parts, settings


def divided_trackers(trackers: str | Tracker | Sequence[str | Tracker]) -> tuple[tuple[str, ...], tuple[Tracker, ...]]:
    """Divide trackers into the names of those of this package, and those of the user's own.

    These may be given as package.module:function. The config has no place for them: the code of a config that someone
    else wrote is not run.
    """
    each = trackers if isinstance(trackers, Sequence) and not isinstance(trackers, str) else [trackers]
    names = tuple(one for one in each if isinstance(one, str) and ":" not in one)
    functions = [function_of(one) for one in each if one not in names]
    return names, tuple(function for function in functions if function is not None)


def function_of(function: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    """Return a function, which may be given as package.module:function."""
    return import_function(function) if isinstance(function, str) else function


def with_settings(base: Config, parts: OwnParts, settings: Mapping[str, Any]) -> Config:
    """Return the config with these settings, and "custom" where there are own parts."""
    values, validation = dict(settings), settings.get("validation")
    if validation is not None and not isinstance(validation, float | int | str):
        values["validation"] = str(validation) if isinstance(validation, Path) else configs.FROM_PYTHON
    config = parts.named_in(base).with_settings(**values)
    if parts.named_in(config) != config:
        raise InputError("a schedule, target or network of your own has no settings: leave those of its kind out")
    return config
