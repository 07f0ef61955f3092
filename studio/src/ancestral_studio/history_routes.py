"""The history over HTTP: listed, searched, marked, deleted, copied, and repeated on another run."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral_studio.answers import MissingError, answer, read_body
from ancestral_studio.history_search import Search
from ancestral_studio.state import client_of, state_of

PAGE, MOST_LISTED = 60, 1000
"""Numbers of entries of an answer: by default, and at most."""
MOST_CHANGED = 10_000
"""Largest number of entries that one request changes or deletes."""
MOST_SENT = 1000
"""Largest number of entries of an archive: their ids stand in its address."""


def entries(request: Request) -> Response:
    """List what was made, the newest first: a part of what a search finds, and all tags with their numbers."""
    state, query = state_of(request), request.query_params
    rows = state.history.rows(state.live())
    search = Search(
        query.get("words", ""), query.get("command", ""), bool(query.get("favourites")), query.get("tag", "")
    )
    found = search.found(rows)
    start, count = _whole(query.get("from", "0"), len(found)), _whole(query.get("count", str(PAGE)), MOST_LISTED)
    tags = sorted(Counter(tag for row in rows for tag in row.tags).items())
    described = {
        "entries": [row.described() for row in found[start : start + count]],
        "found": len(found),
        "total": len(rows),
        "tags": [{"name": name, "count": number} for name, number in tags],
    }
    return answer(described | ({"ids": [row.id for row in found]} if query.get("ids") else {}))


async def change(request: Request) -> Response:
    """Change several entries, or delete them. Those that are gone already are left out."""
    state, body = state_of(request), await read_body(request)
    names = _ids(body, MOST_CHANGED)
    if request.method == "DELETE":
        if live := state.live().intersection(names):
            raise InputError(f"{len(live)} of these are still being made: cancel them first")
        return answer({"changed": await run_in_threadpool(_each, names, state.history.delete)})
    if not body.keys() - {"ids"} <= {"favourite", "tag", "untag"} or len(body) < 2:
        raise InputError('give {"ids": [ID, ...]} with "favourite", "tag" or "untag"')
    favourite, add, remove = body.get("favourite"), _tags(body, "tag"), _tags(body, "untag")
    if favourite is not None and not isinstance(favourite, bool):
        raise InputError('give {"favourite": true} or {"favourite": false}')

    def save(name: str) -> None:
        if favourite is not None:
            state.history.favour(name, favourite)
        if add or remove:
            state.history.tag(name, add, remove)

    return answer({"changed": await run_in_threadpool(_each, names, save)})


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
    return answer(state.history.get(name).described(name in state.live()))


async def repeat(request: Request) -> Response:
    """Start the job of an entry again, by another run. Raises InputError where its options do not suit the run."""
    state, run = state_of(request), (await read_body(request)).get("run")
    if not isinstance(run, str):
        raise InputError('give {"run": ID}')
    one = state.history.get(request.path_params["id"])
    options = one.facts.get("options")
    options = (options if isinstance(options, dict) else {}) | {"model": run}
    job = await run_in_threadpool(state.start, str(one.facts.get("command")), options, client_of(request))
    return answer({"id": job}, 201)


async def export(request: Request) -> Response:
    """Copy the files of entries, or of all favourites, into a new folder."""
    state, body = state_of(request), await read_body(request)
    title = body.get("name") or "export"
    if body.get("favourites"):
        body["ids"] = [row.id for row in await run_in_threadpool(state.history.rows) if row.favourite]
    if not isinstance(title, str):
        raise InputError('give {"ids": [ID, ...], "name": NAME} or {"favourites": true, "name": NAME}')
    path = await run_in_threadpool(state.history.export, _ids(body, MOST_CHANGED), title)
    return answer({"path": str(path)})


def archive(request: Request) -> Response:
    """Send the files of entries as an archive."""
    names = [name for name in request.query_params.get("ids", "").split(",") if name]
    if not 0 < len(names) <= MOST_SENT:
        raise InputError(f"an archive holds 1 to {MOST_SENT} entries; export more to a folder")
    headers = {"content-disposition": 'attachment; filename="history.zip"'}
    return StreamingResponse(state_of(request).history.archive(names), media_type="application/zip", headers=headers)


def _each(names: Sequence[str], change: Callable[[str], None]) -> int:
    """Call a function for each entry that is there. Returns their number."""
    number = 0
    for name in names:
        try:
            change(name)
            number += 1
        except MissingError:
            continue
    return number


def _ids(body: Mapping[str, Any], most: int) -> list[str]:
    names = body.get("ids")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > most:
        raise InputError(f'give {{"ids": [ID, ...]}}, at most {most:,} of them')
    return names


def _tags(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    tags = [value] if isinstance(value, str) else value
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InputError(f'"{name}" is a tag, or a list of tags')
    return tags


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise InputError("from and count are whole numbers")
    return min(int(text), most)


ROUTES = [
    Route("/api/history", entries),
    Route("/api/history", change, methods=["POST", "DELETE"]),
    Route("/api/history/export", export, methods=["POST"]),
    Route("/api/history/{id}", entry, methods=["GET", "POST", "DELETE"]),
    Route("/api/history/{id}/repeat", repeat, methods=["POST"]),
    Route("/files/history.zip", archive),
]
