"""Answers of the studio: JSON, and errors as one line with the option that they are about."""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, text_of
from ancestral.base.options import END, NEXT, START, on_command_line, spell

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_JSON = 1 << 20
"""Largest number of bytes of a request that is JSON."""


class MissingError(InputError):
    """What a request names does not exist: status 404."""


class RefusedError(InputError):
    """A request that the studio does not serve, whoever asks: status 403."""


class BusyError(InputError):
    """A queue or a store is full: status 429."""


class TooLargeError(InputError):
    """A request that holds too much: status 413."""


class OptionError(InputError):
    """An option cannot be what a visitor sent.

    Args:
        name: The option.
        message: The line.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.option = name


STATUS: Mapping[type[InputError], int] = {MissingError: 404, RefusedError: 403, BusyError: 429, TooLargeError: 413}


def answer(data: Any, status: int = 200) -> "Response":
    """Return JSON. Numbers that JSON lacks, such as NaN, become null."""
    from starlette.responses import Response

    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text.encode("utf-8", "backslashreplace"), status, media_type="application/json")


def refusal(error: Exception) -> "Response":
    """Return the line of an error, with its options as the command line spells them, and the first of these."""
    status = next((number for kind, number in STATUS.items() if isinstance(error, kind)), 400)
    response = answer(error_line(error), status)
    if isinstance(error, TooLargeError):
        response.headers["connection"] = "close"  # or the server would read the rest of the request
    return response


def error_line(error: BaseException) -> dict[str, str | None]:
    """Return the line of an error and the name of the option that it is about, as in the contract of the pages."""
    text = text_of(error)
    if isinstance(error, OSError) and error.filename is not None:  # Python's own, with a whole path of this machine
        text = f"{shown(os.path.basename(os.fsdecode(error.filename)))}: {error.strerror}"  # noqa: PTH119 (bytes too)
    option = getattr(error, "option", None)
    if option is None and START in text:
        option = text.partition(START)[2].partition(END)[0].partition(NEXT)[0]
    return {"error": spell(text, on_command_line), "option": option}


async def read_body(request: "Request") -> dict[str, Any]:
    """Read a request that is a JSON object.

    Raises:
        InputError: If it is none.
        TooLargeError: If it is too long; the rest is not read.
    """
    from ancestral.base.arguments import read_json

    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > MOST_JSON:
            raise TooLargeError(f"a request holds at most {MOST_JSON >> 20} MB")
    try:
        return read_json(text.decode("utf-8") or "{}", "the request")
    except UnicodeDecodeError:
        raise InputError("the request is not JSON in UTF-8") from None


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if abs(data) < float("inf") else None
    if isinstance(data, Mapping):
        return {str(name): _finite(value) for name, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data
