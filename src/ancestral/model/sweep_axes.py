"""The axes of a sweep: a setting or a condition of a request by its name, with its values."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import OPERATORS
from ancestral.conditions import ABSENT, LABEL, Classes, Image, Vector, Words
from ancestral.config.request import Request, SweptSetting, swept_settings
from ancestral.config.sweep_values import FORMS, SweptValue, evenly_spaced_numbers, spread, value_texts
from ancestral.data.spec import DataSpec
from ancestral.model.condition_values import NONE, class_number, read_values
from ancestral.model.sampling_model import SamplingModel

GUIDANCE = "guidance"
"""The setting that may have a scale for one condition, as in guidance.label."""
GIVEN = "given."
"""What stands before the name of a condition that is that of a setting too."""
EVEN_COUNT, DEVIATIONS = 7, 2
"""The number of values of a condition that stands without any; they reach these standard deviations from the mean where
the range of the data is not known."""


class Axis(NamedTuple):
    """The values of a setting or a condition.

    Attributes:
        name: Its name.
        values: The values.
        apply: Returns a request with one of the values.
        notes: What the user should know of them, a line each.
        condition: The name of the condition; "" of a setting.
        optional: Whether the values are all that the setting has, of which a model may not have each.
    """

    name: str
    values: tuple[SweptValue, ...]
    apply: Callable[[Request, SweptValue], Request]
    notes: tuple[str, ...] = ()
    condition: str = ""
    optional: bool = False

    @property
    def texts(self) -> list[str]:
        """The values for people."""
        return value_texts(self.values)


def axis_of(request: Request, name: str, values: Sequence[SweptValue], models: Sequence[SamplingModel]) -> Axis:
    """Return the axis of a name.

    Args:
        request: The request of the sweep.
        name: The name of a setting, of a condition, or of one number of it.
        values: The values; () are all.
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
        kind = conditions[first].conditions[first]
        axis = AXES[type(kind)](name, Named(first, part, kind, conditions[first]), values)
        if axis is not None:
            return axis
    raise InputError(
        f"a sweep has no {shown(name)}; it has {', '.join((*conditions, *settings))} and guidance.CONDITION"
    )


def _axis_of_setting(name: str, setting: SweptSetting, values: Sequence[SweptValue]) -> Axis:
    apply, notes = partial(_with_setting, setting.name), tuple[str, ...]()
    if not values and not setting.choices:
        raise InputError(f"{name} of a sweep has no list of all its values: give some, {FORMS}")
    if not values:
        return Axis(name, tuple(setting.choices), apply, optional=True)
    if setting.kind is str:
        for value in values:
            _check_text(name, setting, value)
        return Axis(name, tuple(map(str, values)), apply)
    numbers = _numbers(name, values, setting.kind)
    if any(one % 1 for value in values for one in spread(value) or ()) and setting.kind is int:
        notes = (f"{name} is rounded to whole numbers: {', '.join(map(str, numbers))}",)
    return Axis(name, tuple(numbers), apply, notes)


def _check_text(name: str, setting: SweptSetting, value: SweptValue) -> None:
    """Raise InputError for what begins with none of the names that a setting has; a sweep names no code."""
    names = OPERATORS if name == "operator" else setting.choices
    for part in str(value).split("+") if names else ():
        if part.strip().partition(":")[0] not in names:
            raise InputError(f"{name} of a sweep cannot be {shown(value)}: it has {', '.join(names)}")


def _numbers(name: str, values: Sequence[SweptValue], kind: type) -> list[int] | list[float]:
    """Numbers, of which those that are evenly spaced are rounded where they have to be whole."""
    numbers = list[Any]()
    for value in values:
        evenly = spread(value)
        try:
            each = [kind(value)] if evenly is None else evenly if kind is float else dict.fromkeys(map(round, evenly))
            whole = all(math.isfinite(one) for one in each) and (evenly is not None or each[0] == float(value))
        except (ValueError, OverflowError):
            whole = False
        if not whole:
            what = "a whole number" if kind is int else "a number"
            raise InputError(f"{name} of a sweep cannot be {shown(value)}: give {what}, or FIRST:LAST:COUNT")
        numbers += each
    return numbers


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


class Named(NamedTuple):
    """What the name of an axis names: a condition, or one number of it.

    Attributes:
        condition: The name of the condition.
        part: The name of the number; "" of a whole condition.
        kind: The kind of the condition.
        spec: The description of the data of the model that has it.
    """

    condition: str
    part: str
    kind: Any
    spec: DataSpec


def _axis_of_classes(name: str, named: Named, values: Sequence[SweptValue]) -> Axis | None:
    kind, condition = named.kind, named.condition
    if named.part:
        return None
    classes = kind.names if not values else [one for value in values for one in _classes(kind, condition, value)]
    return Axis(name, tuple(classes), partial(_with_condition, condition), condition=condition)


def _classes(kind: Classes, condition: str, value: SweptValue) -> list[str]:
    """The names of the classes that a value is, of which evenly spaced numbers are several."""
    evenly = None if value in kind.names else spread(value)
    numbers = [class_number(kind.names, one, condition) for one in ([value] if evenly is None else map(round, evenly))]
    return [NONE if number == ABSENT else kind.names[number] for number in numbers]


def _axis_of_numbers(name: str, named: Named, values: Sequence[SweptValue]) -> Axis | None:
    kind, condition, part = named.kind, named.condition, named.part
    names = list(kind.names or map(str, range(1, kind.size + 1)))
    if (part and part not in names) or (not part and kind.size > 1):
        parts = " or ".join(f"{condition}.{each}" for each in names)
        raise InputError(f"{name} of a sweep is no number: give {parts if kind.size > 1 else condition}")
    place, notes = names.index(part) if part else 0, list[str]()
    if not values:
        values, note = _range(kind, name, place)
        notes.append(note)
    numbers = list[SweptValue]()
    for value in values:
        numbers += [NONE] if value == NONE and not part else _numbers(name, [value], float)
    if part:
        return Axis(name, tuple(numbers), partial(_with_number, named, place), tuple(notes))
    return Axis(name, tuple(numbers), partial(_with_condition, condition), tuple(notes), condition)


def _axis_of_images(name: str, named: Named, values: Sequence[SweptValue]) -> Axis | None:
    raise InputError(
        f"{name} of a sweep is an image, which has no list of values: {option('given', f'{named.condition}=FOLDER')} "
        "gives each cell a sample for each of its files"
    )


def _axis_of_words(name: str, named: Named, values: Sequence[SweptValue]) -> Axis | None:
    condition = named.condition
    if named.part:
        return None
    if not values:
        raise InputError(f"{name} of a sweep is words, which have no list of values: give some texts")
    return Axis(name, tuple(map(str, values)), partial(_with_condition, condition), condition=condition)


AXES: Mapping[type, Callable[[str, Named, Sequence[SweptValue]], Axis | None]] = {
    Classes: _axis_of_classes,
    Vector: _axis_of_numbers,
    Image: _axis_of_images,
    Words: _axis_of_words,
}
"""By the kind of a condition what makes its axis; None if it has no such part."""


def _range(kind: Vector, name: str, place: int) -> tuple[list[float], str]:
    """Evenly spaced values over the data, and what they are."""
    if kind.ranges():
        low, high, text = kind.low[place], kind.high[place], "the range of the data"
    else:
        mean, std = kind.mean[place], kind.std[place]
        low, high = mean - DEVIATIONS * std, mean + DEVIATIONS * std
        text = f"{DEVIATIONS} standard deviations around the mean of the data"
    return evenly_spaced_numbers(low, high, EVEN_COUNT), f"{name} from {low:.4g} to {high:.4g}: {text}"


def _with_condition(name: str, request: Request, value: SweptValue) -> Request:
    return request.replace(label=value) if name == LABEL else request.replace(given={name: value})


def _with_number(named: Named, place: int, request: Request, value: SweptValue) -> Request:
    """The request with another value of one of the numbers of a condition, whose others stay, or are their means."""
    name = named.condition
    given = request.objects.given.get(name, request.given.get(name))
    rows = [list(named.kind.mean)] if given is None else read_values(named.spec, {name: given})[name].rows.tolist()
    return request.replace(given={name: [[*row[:place], value, *row[place + 1 :]] for row in rows]})
