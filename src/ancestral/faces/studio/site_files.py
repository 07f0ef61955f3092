"""The page of the studio and its files, which are those of `ancestral/browser`."""

from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from ancestral.faces.studio.answers import MissingError
from ancestral.faces.studio.state import state_of

BROWSER = Path(str(files("ancestral"))) / "browser"
TYPES = {
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
    return FileResponse(BROWSER / "studio" / "index.html", media_type=TYPES[".html"])


async def asset(request: Request) -> FileResponse:
    """Return a file of the page. Raises MissingError if there is none."""
    path = state_of(request).places.below(BROWSER, request.path_params["path"])
    if path.suffix not in TYPES:
        raise MissingError("there is no such file")
    return FileResponse(path, media_type=TYPES[path.suffix])


ROUTES = [Route("/", index), Route("/assets/{path:path}", asset)]
