"""The history over HTTP."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral_studio.answers import answer, read_body
from ancestral_studio.state import state_of


def entries(request: Request) -> Response:
    """List what was made, the newest first, with the numbers of states."""
    state = state_of(request)
    return answer(state.history.listed(state.live()))


async def entry(request: Request) -> Response:
    """Return an entry, mark it, or delete it."""
    state, name = state_of(request), request.path_params["id"]
    if request.method == "DELETE":
        if name in state.live():
            raise InputError("this is still being made: cancel it first")
        await run_in_threadpool(state.history.delete, name)
        return answer({})
    if request.method == "POST":
        favourite = (await read_body(request)).get("favourite")
        if not isinstance(favourite, bool):
            raise InputError('give {"favourite": true} or {"favourite": false}')
        await run_in_threadpool(state.history.favour, name, favourite)
    return answer(state.history.get(name).described(name in state.live(), full=True))


async def export(request: Request) -> Response:
    """Copy the files of entries, or of all favourites, into a new folder."""
    state, body = state_of(request), await read_body(request)
    names, title = body.get("ids"), body.get("name") or "export"
    if body.get("favourites"):
        names = [one.id for one in state.history.all() if one.facts.get("favourite")]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(title, str):
        raise InputError('give {"ids": [ID, ...], "name": NAME} or {"favourites": true, "name": NAME}')
    path = await run_in_threadpool(state.history.export, names, title)
    return answer({"path": str(path)})


ROUTES = [
    Route("/api/history", entries),
    Route("/api/history/export", export, methods=["POST"]),
    Route("/api/history/{id}", entry, methods=["GET", "POST", "DELETE"]),
]
