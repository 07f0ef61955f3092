"""Uploads over HTTP."""

from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.arguments import parse_json
from ancestral.base.errors import InputError
from ancestral_studio.answers import answer
from ancestral_studio.state import state_of


async def upload(request: Request) -> Response:
    """Take a file, check it and keep it; return its facts and the recipe that it holds."""
    uploads, name = state_of(request).uploads, request.query_params.get("name", "file")
    length = request.headers.get("content-length", "")
    temporary = await uploads.receive(name, request.stream(), int(length) if length.isdecimal() else None)
    facts = await run_in_threadpool(uploads.keep, temporary, name)
    file = uploads.path(facts["id"])
    recipe = await run_in_threadpool(_recipe, file)
    shown = {one: facts.get(one) for one in ("id", "name", "width", "height")} | {"file": file.name}
    return answer({**shown, "url": f"/files/uploads/{facts['id']}", "recipe": recipe}, 201)


def _recipe(file: Path) -> dict[str, Any] | None:
    """The recipe in a PNG of this package; None without one."""
    from ancestral.config.request import read_text

    if file.suffix != ".png":
        return None
    try:
        recipe = parse_json(read_text(file))
    except (InputError, ValueError):
        return None
    return recipe if isinstance(recipe, dict) else None


ROUTES = [Route("/api/uploads", upload, methods=["PUT"])]
