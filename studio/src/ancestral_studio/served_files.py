"""Files that visitors made or named, as answers: only of kinds that cannot run in a browser."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ancestral.config.run_files import REPORT
from ancestral_studio.answers import MissingError
from ancestral_studio.state import state_of

STARTS = {
    ".png": (b"\x89PNG\r\n\x1a\n", "image/png"),
    ".jpg": (b"\xff\xd8\xff", "image/jpeg"),
    ".jpeg": (b"\xff\xd8\xff", "image/jpeg"),
    ".gif": (b"GIF8", "image/gif"),
    ".webp": (b"RIFF", "image/webp"),
    ".bmp": (b"BM", "image/bmp"),
    ".wav": (b"RIFF", "audio/wav"),
    ".npz": (b"PK", "application/octet-stream"),
    ".nc": (b"\x89HDF", "application/octet-stream"),
    ".npy": (b"\x93NUMPY", "application/octet-stream"),
    ".mp4": (b"", "video/mp4"),
    ".json": (b"", "application/json"),
    ".csv": (b"", "text/plain; charset=utf-8"),
    ".txt": (b"", "text/plain; charset=utf-8"),
}
"""By the suffix of a file: how its content begins, and its type."""
MOST_BYTES_READ = 64 << 20
"""Largest number of bytes of a file that is read before it is sent."""
SANDBOX = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""The policy of a report: a page of its own without scripts, which knows nothing of the studio."""
DAY: Mapping[str, str] = {"cache-control": "private, max-age=86400"}


def served(path: Path, headers: Mapping[str, str] | None = None) -> Response:
    """Return a file of a kind that is shown. Raises MissingError for others, and where the content is of another.

    A picture may be replaced and a table may grow while they are sent, so they are read at once.
    """
    start, kind = STARTS.get(path.suffix.lower(), (None, ""))
    if start is None:
        raise MissingError("files of this kind are not shown in the studio")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES_READ + 1)
    if not content.startswith(start):
        raise MissingError("this file is not of the kind that its name says")
    if len(content) > MOST_BYTES_READ:
        return FileResponse(path, media_type=kind, headers=dict(headers or {}))
    return Response(content, media_type=kind, headers=dict(headers or {}))


def of_history(request: Request) -> Response:
    """Return a file of the history."""
    return served(state_of(request).history.file(request.path_params["id"], request.path_params["path"]), DAY)


def of_run(request: Request) -> Response:
    """Return a file of a run: a picture, a table, a note, or its report."""
    places = state_of(request).places
    folder = places.run(request.path_params["id"])
    path = places.below(folder, request.path_params["path"])
    if any(part.startswith(".") for part in path.relative_to(folder.resolve()).parts):
        raise MissingError("there is no such file")
    if path.name == REPORT:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers={"content-security-policy": SANDBOX})
    return served(path)


def of_upload(request: Request) -> Response:
    """Return an upload, or what a browser shows for it."""
    return served(state_of(request).uploads.shown(request.path_params["id"]), DAY)


ROUTES = [
    Route("/files/history/{id}/{path:path}", of_history),
    Route("/files/runs/{id}/{path:path}", of_run),
    Route("/files/uploads/{id}", of_upload),
]
