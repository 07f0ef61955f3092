"""Facts of a model that the controls of sampling and editing are made from, read without its weights."""

import dataclasses
from pathlib import Path
from typing import Any

from ancestral.base.fields import arguments_of
from ancestral.base.registries import OPERATORS, RESTORATIONS, SAMPLERS, Entry
from ancestral.config.request import swept_settings
from ancestral.config.sweep_values import axis_text
from ancestral.declarations import EDIT_TASKS, Declaration, Edit, Sample

PICTURE_CHANNELS = (1, 2, 3, 4)
"""Numbers of channels that a PNG has."""
UNSHOWN = ("limits", "ranges", "rate", "made_by")
"""Facts of a condition that the controls do not need; the function that makes it is there where there is one."""


def model_description(file: Path) -> dict[str, Any]:
    """Describe a model for the controls of a page.

    Args:
        file: The model file.

    Returns:
        The shape and the kind of its items, its classes and further conditions, what it can be sampled and edited with,
        and the defaults.

    Raises:
        InputError: If it is no model file.
    """
    from ancestral.model import describe_file  # the studio starts without torch

    config, spec = describe_file(file)
    return {
        "shape": list(spec.shape),
        "kind": spec.codec.kind,
        "limits": list(spec.codec.limits),
        "pictures": len(spec.shape) == 3 and spec.shape[0] in PICTURE_CHANNELS,
        "editable": len(spec.shape) > 1,
        "classes": list(spec.classes),
        "conditions": {name: _condition(kind) for name, kind in spec.further.items()},
        "timesteps": config.process.timesteps,
        "sampler": config.sample.sampler,
        "samplers": [_sampler(one, config.process.timesteps) for one in SAMPLERS.values()],
        "axes": {"sample": _axes(Sample, spec), "edit": _axes(Edit, spec)},
        "tasks": {task: [one.name for one in arguments_of(Edit) if task in one.tasks] for task in EDIT_TASKS},
        "methods": [_entry(one) for one in RESTORATIONS.values()],
        "operators": [_entry(one) for one in OPERATORS.values()],
    }


def _entry(one: Entry) -> dict[str, str]:
    return {"name": one.name, "text": one.text}


def _axes(declaration: type[Declaration], spec: Any) -> list[dict[str, Any]]:
    """What a table can have a column for each value of: conditions, then settings.

    `values` are all that there are, as a command takes them: classes and names. The values of `texts` are texts.
    """
    from ancestral.conditions import LABEL

    titles = {one.name: one.heading for one in arguments_of(declaration)}
    names = {LABEL: titles[LABEL]} if spec.classes else {}
    for name, kind in spec.further.items():
        parts = kind.parts if len(kind.parts) > 1 else ()
        names |= {f"{name}.{part}": f"{name}: {part}" for part in parts}
        names |= {} if parts or kind.on_grid else {name: name}
    settings = swept_settings(declaration is Edit)
    names |= {name: titles[name] for name in settings}
    values = {name: kind.classes for name, kind in spec.conditions.items()}
    values |= {name: tuple(one.choices) for name, one in settings.items()}
    texts = {name for name, kind in spec.further.items() if kind.in_sequence} - settings.keys()
    return [
        {
            "name": name,
            "title": title,
            "values": axis_text(name, values.get(name, ())).partition("=")[2],
            "texts": name in texts,
        }
        for name, title in names.items()
    ]


def _sampler(one: Entry, timesteps: int) -> dict[str, Any]:
    """A sampler with its settings; the number of steps is at most that of the schedule, and all of them without one."""
    options = one.defaults()
    steps = min(options["steps"] or timesteps, timesteps)
    return {**_entry(one), "steps": steps, "settings": {name: str(value) for name, value in options.items()}}


def _condition(kind: Any) -> dict[str, Any]:
    facts = {name: value for name, value in dataclasses.asdict(kind).items() if name not in UNSHOWN}
    return {"kind": type(kind).__name__.lower(), **facts, **({"made_by": kind.made_by} if kind.made_by else {})}
