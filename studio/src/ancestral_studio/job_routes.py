"""Jobs over HTTP: started, listed, followed as a stream of events, and cancelled."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral_studio.answers import answer, read_body
from ancestral_studio.jobs import ENDS, Job
from ancestral_studio.ownership import Visitor
from ancestral_studio.state import StudioState, client_of, state_of

HEARTBEAT = 15.0
"""Seconds between two signs of life of a stream in which nothing happens: without, the other end takes it for lost."""


async def jobs(request: Request) -> Response:
    """List the jobs of this server, or start one. Raises InputError for options that cannot be used."""
    state = state_of(request)
    if request.method == "GET":
        visitor = Visitor(request)
        return answer([job.described() | visitor.marks(job.owner) for job in state.jobs.all()])
    body = await read_body(request)
    command, options = body.get("command"), body.get("options", {})
    if not isinstance(command, str) or not isinstance(options, dict):
        raise InputError('a job is {"command": NAME, "options": {NAME: VALUE}}')
    return answer({"id": await run_in_threadpool(state.start, command, options, client_of(request))}, 201)


def job(request: Request) -> Response:
    """Return a job."""
    one = state_of(request).jobs.get(request.path_params["id"])
    return answer(one.described() | Visitor(request).marks(one.owner))


async def cancel(request: Request) -> Response:
    """Stop a job, and keep what there is of it if `keep`. Raises RefusedError for that of another visitor."""
    one = state_of(request).jobs.get(request.path_params["id"])
    await run_in_threadpool(Visitor(request).check_may_stop, one.owner)
    keep = (await read_body(request)).get("keep", True)
    await run_in_threadpool(one.cancel, keep is not False)
    return answer({})


async def events(request: Request) -> Response:
    """Stream the events of a job, from the one after Last-Event-ID on, until its end."""
    state = state_of(request)
    one = state.jobs.get(request.path_params["id"])
    text = request.headers.get("last-event-id", "")
    stream = _stream(state, one, int(text) if text.isdecimal() and len(text) < 16 else 0)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _stream(state: StudioState, one: Job, last: int) -> AsyncIterator[bytes]:
    """The events as they come. Nothing is stored for a listener: a slow one reads the events of the job later."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    leave = one.listen(wake)
    try:
        yield b"retry: 1000\n\n"
        while not state.closing:
            changed.clear()
            for number, kind, data in one.events_after(last):
                yield _event(number, kind, data)
                last = number
                if kind in ENDS:
                    return
            if one.state in ENDS and not one.events_after(last):
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT)
            except TimeoutError:
                yield b": \n\n"
    finally:
        leave()


def _event(number: int, kind: str, data: Any) -> bytes:
    text = answer(data).body
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), bytes(text))


ROUTES = [
    Route("/api/jobs", jobs, methods=["GET", "POST"]),
    Route("/api/jobs/{id}", job),
    Route("/api/jobs/{id}/events", events),
    Route("/api/jobs/{id}/cancel", cancel, methods=["POST"]),
]
