"""Routes of runs, of the processes that train and measure them, and of data."""

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ancestral import __version__
from ancestral.base.errors import InputError
from ancestral_studio import data_folders, result_tables
from ancestral_studio.activity import activity
from ancestral_studio.answers import MissingError, answer, read_body
from ancestral_studio.ownership import Visitor
from ancestral_studio.places import short_path
from ancestral_studio.process import PAGE, Process, progress_of
from ancestral_studio.state import state_of

SHOWN_FILES = {".png": "image/png"}
"""The kinds of files of a process that the studio shows, besides the page of an export."""
SANDBOX = (
    "sandbox allow-scripts allow-forms allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The policy of a page that export wrote here: it samples by its own scripts, and has no part of the studio."""


def overview(request: Request) -> Response:
    """Return the runs with their states, and the folders that were named."""
    state = state_of(request)
    folders = [short_path(folder) for folder in state.places.folders]
    queue = {"running": int(state.queue.running is not None), "waiting": len(state.queue.order())}
    visitor, runs = Visitor(request), state.runs.all()
    jobs = activity(state, visitor, runs)
    return answer({"version": __version__, "folders": folders, "runs": runs, "queue": queue, "jobs": jobs})


def run(request: Request) -> Response:
    """Return what stays of a run: settings, notes, pages and pictures."""
    state = state_of(request)
    return answer(state.runs.details(state.places.run(request.path_params["id"])))


def live(request: Request) -> Response:
    """Return what changes of a run while it trains, after a step."""
    state, query = state_of(request), request.query_params
    try:
        after = float(query.get("after", "-1"))
    except ValueError:
        raise InputError("after must be a number of steps") from None
    name = request.path_params["id"]
    try:
        path = state.places.run(name)
    except MissingError:
        started, id_of = state.processes.all(), state.places.id_of
        process = next((one for one in started if one.out is not None and id_of(one.out) == name), None)
        if process is None:
            raise
        began = "starting" if process.state == "running" else process.state  # its folder comes with the first step
        return answer({"state": began, "process": process.id, "version": None})
    process = state.processes.of_run(path)
    own = process if process is not None and process.state == "running" else None  # another one runs in a terminal
    marks = {"may_stop": False} if own is None else Visitor(request).marks(own.owner)
    return answer(state.runs.live(path, after, query.get("version", "")) | marks)


def results(request: Request) -> Response:
    """Return the tables and pictures of the last evaluation of a run, and of the comparison of its samplers."""
    state = state_of(request)
    path = state.places.run(request.path_params["id"])
    parts = {"evaluation": result_tables.evaluation(path), "samplers": result_tables.samplers(path)}
    details = state.runs.details(path)
    return answer(parts | {"pictures": details["evaluation"], "report": details["report"]})


def stop(request: Request) -> Response:
    """Ask the training of a run to stop, which saves it.

    Raises:
        InputError: If the studio did not start it.
        RefusedError: If another visitor started it.
    """
    state = state_of(request)
    process = state.processes.of_run(state.places.run(request.path_params["id"]))
    if process is None or process.state != "running":
        raise InputError("the studio did not start this training: press Ctrl-C where it runs")
    Visitor(request).check_may_stop(process.owner)
    process.stop()
    return answer({})


async def resume(request: Request) -> Response:
    """Resume the training of a run, to more steps if the request says so."""
    state, steps = state_of(request), (await read_body(request)).get("steps")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise InputError("--steps must be a whole number, at least 1")
    process = state.processes.resume(state.places.run(request.path_params["id"]), steps, Visitor(request).owner)
    return answer(process.described(state.places))


def processes(request: Request) -> Response:
    """List the processes, the last one first."""
    state, command = state_of(request), request.query_params.get("command")
    rows = [one for one in state.processes.all() if command in (None, one.command)]
    visitor = Visitor(request)
    return answer([one.described(state.places) | visitor.marks(one.owner) for one in rows[:100]])


def process(request: Request) -> Response:
    """Return a process with the end of its log, and its result once it ended."""
    state = state_of(request)
    one = state.processes.get(request.path_params["id"])
    return answer(_with_result(one, state.places) | Visitor(request).marks(one.owner))


def stop_process(request: Request) -> Response:
    """Ask a process to stop, as Ctrl-C does. Raises RefusedError if another visitor started it."""
    one = state_of(request).processes.get(request.path_params["id"])
    Visitor(request).check_may_stop(one.owner)
    one.stop()
    return answer({})


def process_file(request: Request) -> Response:
    """Return a picture that a process wrote, or the page of an export. Raises MissingError if there is none."""
    state = state_of(request)
    one = state.processes.get(request.path_params["id"])
    path = state.places.below(one.folder, request.path_params["path"])
    if path.name == PAGE and one.has_page:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers={"content-security-policy": SANDBOX})
    if path.suffix not in SHOWN_FILES:
        raise MissingError("there is no such file")
    return FileResponse(path, media_type=SHOWN_FILES[path.suffix])


def data(request: Request) -> Response:
    """List a folder of data, or the named ones."""
    return answer(data_folders.listing(state_of(request).places, request.query_params.get("path", "")))


def _with_result(one: Process, places: Any) -> dict[str, Any]:
    described, lines = one.described(places), one.lines()
    running = described["state"] == "running"
    pictures = sorted(path for path in one.folder.rglob("*.png") if path.name[0] != ".")
    files = [f"/files/processes/{one.id}/{path.relative_to(one.folder)}" for path in pictures]
    described |= {"lines": lines, "progress": progress_of(lines) if running else None, "pictures": files}
    return described | ({} if running else result_tables.of_process(one))


ROUTES = [
    Route("/api/overview", overview),
    Route("/api/runs/{id}", run),
    Route("/api/runs/{id}/live", live),
    Route("/api/runs/{id}/results", results),
    Route("/api/runs/{id}/stop", stop, methods=["POST"]),
    Route("/api/runs/{id}/resume", resume, methods=["POST"]),
    Route("/api/processes", processes),
    Route("/api/processes/{id}", process),
    Route("/api/processes/{id}/stop", stop_process, methods=["POST"]),
    Route("/files/processes/{id}/{path:path}", process_file),
    Route("/api/data", data),
]
