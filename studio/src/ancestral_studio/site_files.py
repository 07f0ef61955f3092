"""The page of the studio and its files: `browser/`, and JavaScript that it shares with the page of a model."""

from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from ancestral_studio.answers import MissingError
from ancestral_studio.state import state_of

BROWSER = Path(str(files("ancestral_studio"))) / "browser"
ROOMS = {"studio": BROWSER, "page": Path(str(files("ancestral.page")))}
"""The folders of the page's files, by the first part of their address."""
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""The types of the files of the page; the tables of the system may lack or change them."""


async def index(request: Request) -> FileResponse:
    """Return the page."""
    return FileResponse(BROWSER / "index.html", media_type=MEDIA_TYPES[".html"])


async def asset(request: Request) -> FileResponse:
    """Return a file of the page. Raises MissingError if there is none."""
    room, _, name = request.path_params["path"].partition("/")
    if room not in ROOMS:
        raise MissingError("there is no such file")
    path = state_of(request).places.below(ROOMS[room], name)
    if path.suffix not in MEDIA_TYPES:
        raise MissingError("there is no such file")
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix])


ROUTES = [Route("/", index), Route("/assets/{path:path}", asset)]
