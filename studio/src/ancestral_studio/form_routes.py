"""The forms of the commands, made from the declarations: names, help and defaults are those of the command line."""

import re
import typing
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.fields import MISSING, Argument
from ancestral.config.data_sources import BUILT_IN
from ancestral.faces.help_text import description, entry_text, shown_value
from ancestral.faces.words import written
from ancestral_studio.answers import answer
from ancestral_studio.posted_options import case_of, offered
from ancestral_studio.state import state_of


def form(request: Request) -> Response:
    """Return the options of a command, with the defaults of a preset or for data.

    Raises:
        InputError: If there is no such preset.
        RefusedError: If a path is outside the folders of the studio.
    """
    case, places = case_of(request.path_params["command"]), state_of(request).places
    preset, data = (request.query_params.get(name) for name in ("preset", "data"))
    if preset and not re.fullmatch(r"[\w-]+", preset):
        preset = str(places.inside(preset))  # a file of settings; any other word is a preset, or none
    if data and data not in BUILT_IN:
        data = str(places.inside(data))
    options = offered(case, preset, data)
    names, common = {one.name for one in options}, case.declaration.COMMON
    return answer(
        {
            "command": case.command,
            "summary": case.summary,
            "description": description(case),
            "options": [_option(one, names, not common or one.name in common) for one in options],
        }
    )


def _option(one: Argument, names: set[str], common: bool) -> dict[str, Any]:
    choices = _choices(one)
    kind = "flag" if one.flag or one.switch else "choice" if choices else _kind(one.hint)
    return {
        "name": one.name,
        "title": one.heading,
        "flag": written(one)[0],
        "text": entry_text(one, names).replace("\u00a0", " "),
        "default": None
        if one.default is MISSING
        else str(one.default)
        if isinstance(one.default, Path)
        else one.default,
        "kind": kind,
        "choices": choices,
        "metavar": shown_value(one),
        "section": one.section,
        "common": common,
        "positional": one.positional,
        "required": one.required,
        "many": one.many,
        "repeats": one.repeats,
        "least": one.least,
        "most": one.most,
    }


def _kinds(hint: Any) -> set[Any]:
    """The types that a hint is made of."""
    if typing.get_origin(hint) is Literal:
        return {hint}
    inner = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    return {kind for each in inner for kind in _kinds(each)} if inner else {hint}


def _choices(one: Argument) -> list[Any]:
    """The words that an option takes, if it takes no others; also False and True, if it takes none as well."""
    kinds = _kinds(one.hint)
    literal = all(typing.get_origin(kind) is Literal for kind in kinds)
    choices = [choice for kind in kinds for choice in typing.get_args(kind)] if literal else []
    return [False, True, *choices] if one.off else choices


def _kind(hint: Any) -> str:
    kinds = _kinds(hint)
    return "integer" if kinds == {int} else "number" if kinds <= {int, float} else "text"


ROUTES = [Route("/api/forms/{command}", form)]
