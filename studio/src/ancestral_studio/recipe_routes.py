"""Recipes of pictures over HTTP: what sets the controls of a page as they were."""

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral_studio.answers import answer, read_body
from ancestral_studio.history_entry import FILES_FOLDER
from ancestral_studio.posted_options import HISTORY, UPLOAD
from ancestral_studio.restored_recipe import KeptPicture, restored
from ancestral_studio.state import StudioState, state_of
from ancestral_studio.uploads import FACTS_FILE

PARENT = "parent.png"
"""The name of a picture that holds the recipe which a branch continues."""


async def recipe(request: Request) -> Response:
    """Return the controls of a picture again. Raises InputError if it holds no recipe."""
    body = await read_body(request)
    return await run_in_threadpool(_recipe, state_of(request), str(body.get("upload", "")))


def _recipe(studio: StudioState, number: str) -> Response:
    file = studio.uploads.path(number)
    result = restored(file, studio.places.runs(), _kept_pictures(studio))
    options = dict(result.options)
    if result.parent:
        options["branch"] = _parent(studio, result.parent)
    return answer(
        {
            "command": result.command,
            "run": result.run,
            "options": options,
            "images": {name: _shown(studio, picture) for name, picture in result.images.items()},
            "missing": result.missing,
        }
    )


def _kept_pictures(studio: StudioState) -> list[KeptPicture]:
    """The pictures that visitors sent and that were made, the newest first."""
    pictures = list[tuple[float, KeptPicture]]()
    for facts in studio.uploads.folder.glob(f"*/{FACTS_FILE}"):
        number = facts.parent.name
        try:
            path = studio.uploads.path(number)
            pictures.append((facts.stat().st_mtime, KeptPicture(f"{UPLOAD}{number}", path.name, path)))
        except (InputError, OSError):  # it was removed meanwhile
            continue
    for row in studio.history.rows():
        folder = studio.history.folder / row.id
        for name in row.names_of_pictures():
            path = folder / FILES_FOLDER / name
            pictures.append((row.created, KeptPicture(f"{HISTORY}{row.id}/{FILES_FOLDER}/{name}", path.name, path)))
    return [picture for _, picture in sorted(pictures, key=lambda one: one[0], reverse=True)]


def _shown(studio: StudioState, picture: KeptPicture) -> dict[str, Any]:
    """What pages get of a kept picture."""
    number = picture.reference.removeprefix(UPLOAD)
    with Image.open(picture.path) as image:
        sides = {"width": image.width, "height": image.height}
    url = f"/files/uploads/{number}"
    if picture.reference.startswith(HISTORY):
        url = f"/files/history/{picture.reference.removeprefix(HISTORY)}"
    return {"ref": picture.reference, "name": picture.name, "url": url, **sides}


def _parent(studio: StudioState, recipe: str) -> str:
    """A picture that holds a recipe, as the value of an option: kept with the uploads, since it may be in none yet."""
    from ancestral.render import writers

    studio.uploads.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".parent-", dir=studio.uploads.folder) as folder:
        writers.write_picture(Path(folder) / PARENT, Image.new("L", (1, 1)), recipe)
        return f"{UPLOAD}{studio.uploads.keep(Path(folder) / PARENT, PARENT)['id']}"


ROUTES = [Route("/api/recipe", recipe, methods=["POST"])]
