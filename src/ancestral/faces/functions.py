"""Functions made from declarations: their arguments are read and checked, their signature and docstring derived."""

import contextlib
import dataclasses
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ancestral.base.arguments import converted, nearest
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.base.fields import Argument, arguments_of, for_python
from ancestral.base.options import in_python, option, spelled
from ancestral.declarations import Declaration, UseCase
from ancestral.faces.standard_streams import lasting_streams

D = TypeVar("D", bound=Declaration)
PROGRESS = "progress"
"""The argument that all functions have: whether to show the progress."""


def read(kind: type[D], places: tuple[object, ...], keywords: Mapping[str, Any]) -> D:
    """Read the arguments of a function.

    Args:
        kind: The declaration of the use case.
        places: The arguments without a name.
        keywords: The others. Those that are no options are settings, where the use case has such.

    Raises:
        InputError: If an argument is missing, is none of the use case, or has a value of another type.
    """
    order, values = kind.ordered(), dict(keywords)
    if len(places) > len(order):
        raise InputError(f"{len(places)} arguments have no name; only {', '.join(order) or 'none'} may be given so")
    for name, value in zip(order, places, strict=False):
        if name in values:
            raise InputError(f"{option(name)} is given twice")
        values[name] = value
    names = [one.name for one in dataclasses.fields(kind)]
    unknown = {name: value for name, value in values.items() if name not in names}
    own: Any = kind
    hints = _types(own)
    checked = {name: converted(name, value, hints[name]) for name, value in values.items() if name in names}
    if kind.SETTINGS:
        checked["settings"] = unknown
    elif unknown:
        name = next(iter(unknown))
        near = nearest(name, [one.name for one in arguments_of(kind) if not one.deletes])
        hint = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
        raise InputError(f"there is no option {name!r}; {hint}")
    for one in arguments_of(kind):
        if one.required and one.name not in checked:
            raise InputError(f"{option(one.name)} is missing")
    return kind(**checked)


@functools.cache
def _types(kind: Any) -> Mapping[str, Any]:
    """The types of the arguments of a use case. Those of objects need torch, and the command line has none of them."""
    from torch import Tensor, nn

    from ancestral.diffusion import Diffusion
    from ancestral.model import Label, Model, NetSource
    from ancestral.objectives import Objective
    from ancestral.operators import Operator
    from ancestral.samplers import Sampler
    from ancestral.targets import Denoiser

    objects = {one.__name__: one for one in (Denoiser, Diffusion, Model, Objective, Operator, Sampler, Tensor)}
    return typing.get_type_hints(kind, localns=objects | {"nn": nn, "Label": Label, "NetSource": NetSource})


def in_order(kind: type[Declaration]) -> list[Argument]:
    """List the arguments as the function has them: those that it takes by their place first."""
    order = kind.ordered()
    return sorted(arguments_of(kind), key=lambda one: order.index(one.name) if one.name in order else len(order))


def docstring(case: UseCase) -> str:
    """Write the docstring of a function: that of the declaration, with its arguments."""
    text, lines = inspect.cleandoc(case.declaration.__doc__ or ""), ["Args:"]
    for one in arguments_of(case.declaration):
        lines += textwrap.wrap(f"{one.name}: {for_python(one.text)}", 112, initial_indent=" " * 4,
                               subsequent_indent=" " * 8, break_on_hyphens=False)  # fmt: skip
    lines.append(f"    {PROGRESS}: Whether to show the progress.")
    summary, start, results = text.partition("\nReturns:")
    if case.declaration.SETTINGS:
        summary += "\nFurther keywords are settings by name, in place of the config's; see `ancestral.config`.\n"
    return f"{summary}\n" + "\n".join(lines) + f"\n{start}{results}"


def function_of(case: UseCase) -> Callable[..., Any]:
    """Make the function of a use case: it plans and runs it, shows its events, and returns its result."""

    def call(*places: object, progress: bool = True, **keywords: Any) -> Any:
        from ancestral.render.terminal import follow
        from ancestral.use_cases import start

        with lasting_streams() if progress else contextlib.nullcontext():
            events = start(read(case.declaration, places, keywords))
            return follow(events) if progress else spelled(finish(events), in_python)

    call.__name__ = call.__qualname__ = case.function
    call.__module__ = "ancestral"
    call.__doc__ = docstring(case)
    order, kinds = case.declaration.ordered(), inspect.Parameter
    parameters = [
        kinds(one.name, kinds.POSITIONAL_OR_KEYWORD if one.name in order else kinds.KEYWORD_ONLY,
              default=kinds.empty if one.required else one.default)
        for one in in_order(case.declaration)
    ]  # fmt: skip
    parameters.append(kinds(PROGRESS, kinds.KEYWORD_ONLY, default=True))
    if case.declaration.SETTINGS:
        parameters.append(kinds("settings", kinds.VAR_KEYWORD))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call
