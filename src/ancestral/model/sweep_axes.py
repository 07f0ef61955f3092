"""The axes of a sweep: a setting or a condition of a request by its name, with its values."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.registries import OPERATORS
from ancestral.conditions import LABEL
from ancestral.config.request import Request, SweptSetting, swept_settings
from ancestral.config.sweep_values import SweptValue, read_numbers, spread, value_texts
from ancestral.data.spec import DataSpec
from ancestral.model.condition_values import VALUE_FORMATS, SweptCondition, SweptName, read_values
from ancestral.model.trained_model import TrainedModel

GUIDANCE = "guidance"
"""The setting that may have a scale for one condition, as in guidance.label."""
GIVEN = "given."
"""What stands before the name of a condition that is that of a setting too."""


class Axis(NamedTuple):
    """The values of a setting or a condition.

    Attributes:
        name: Its name.
        values: The values.
        apply: Returns a request with one of the values.
        notes: What the user should know of them, a line each.
        condition: The name of the condition; "" of a setting.
    """

    name: str
    values: tuple[SweptValue, ...]
    apply: Callable[[Request, SweptValue], Request]
    notes: tuple[str, ...] = ()
    condition: str = ""

    @property
    def texts(self) -> list[str]:
        """The values for people."""
        return value_texts(self.values)


def axis_of(request: Request, name: str, values: Sequence[SweptValue], models: Sequence[TrainedModel]) -> Axis:
    """Return the axis of a name.

    Args:
        request: The request of the sweep.
        name: The name of a setting, of a condition, or of one number of it.
        values: The values.
        models: The models of the request.

    Raises:
        InputError: If there is no such setting or condition, or it cannot have a value.
    """
    settings = swept_settings(request.edit is not None)
    conditions = {one: model.spec for model in reversed(models) for one in model.spec.conditions}
    first, _, part = name.removeprefix(GIVEN).partition(".")
    if name in settings:
        return _axis_of_setting(name, settings[name], values)
    if first == GUIDANCE and part in conditions:
        return _axis_of_setting(name, settings[GUIDANCE], values)._replace(apply=partial(_with_scale, part))
    if first in conditions:
        axis = _axis_of_condition(SweptName(name, first, part), conditions[first], values)
        if axis is not None:
            return axis
    raise InputError(
        f"a sweep has no {shown(name)}; it has {', '.join((*conditions, *settings))} and guidance.CONDITION"
    )


def _axis_of_setting(name: str, setting: SweptSetting, values: Sequence[SweptValue]) -> Axis:
    apply, notes = partial(_with_setting, setting.name), tuple[str, ...]()
    if setting.kind is str:
        for value in values:
            _check_text(name, setting, value)
        return Axis(name, tuple(map(str, values)), apply)
    numbers = read_numbers(name, values, setting.kind)
    if any(one % 1 for value in values for one in spread(value) or ()) and setting.kind is int:
        notes = (f"{name} is rounded to whole numbers: {', '.join(map(str, numbers))}",)
    return Axis(name, tuple(numbers), apply, notes)


def _check_text(name: str, setting: SweptSetting, value: SweptValue) -> None:
    """Raise InputError for what is none of the names that a setting has; a sweep names no code.

    Operators alone have options.
    """
    if name == "operator":
        names, parts = list(OPERATORS), [part.strip().partition(":")[0] for part in str(value).split("+")]
    else:
        names, parts = list(setting.choices), [str(value)]
    if names and not {*parts} <= {*names}:
        alone = "" if name == "operator" else ", each without options"
        raise InputError(f"{name} of a sweep cannot be {shown(value)}: it has {', '.join(names)}{alone}")


def _with_setting(name: str, request: Request, value: SweptValue) -> Request:
    if name == "indices":
        return request.replace(indices=(value,))
    if name in vars(request) or (request.edit is not None and name in vars(request.edit)):
        return request.replace(**{name: value})
    further = {**request.objects.sampler_options, name: value}
    return dataclasses.replace(request, objects=dataclasses.replace(request.objects, sampler_options=further))


def _with_scale(name: str, request: Request, value: SweptValue) -> Request:
    scales = request.guidance if isinstance(request.guidance, Mapping) else {}
    return request.replace(guidance={**scales, name: value})


# -- conditions --------------------------------------------------------------------------------------------------------


def _axis_of_condition(named: SweptName, spec: DataSpec, values: Sequence[SweptValue]) -> Axis | None:
    kind = spec.conditions[named.condition]
    swept = VALUE_FORMATS[kind].swept(kind, named, values)
    if swept is None:
        return None
    if swept.place is None:
        apply = partial(_with_condition, named.condition)
        return Axis(named.text, tuple(swept.values), apply, condition=named.condition)
    return Axis(named.text, tuple(swept.values), partial(_with_number, named.condition, spec, swept))


def _with_condition(name: str, request: Request, value: SweptValue) -> Request:
    return request.replace(label=value) if name == LABEL else request.replace(given={name: value})


def _with_number(name: str, spec: DataSpec, swept: SweptCondition, request: Request, value: SweptValue) -> Request:
    """The request with another value of one of the numbers of a condition, whose others stay, or are the usual ones."""
    given, place = request.objects.given.get(name, request.given.get(name)), swept.place
    assert place is not None
    rows = [list(swept.usual)] if given is None else read_values(spec, {name: given})[name].rows.tolist()
    return request.replace(given={name: [[*row[:place], value, *row[place + 1 :]] for row in rows]})
