"""Routes of single items: of data that were inspected, of samples, and of the previews of a run."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral.config.run_files import SAMPLES, grids_of
from ancestral_studio import shown_items
from ancestral_studio.answers import MissingError, answer
from ancestral_studio.history_entry import FILES_FOLDER, VOLUMES_FILE
from ancestral_studio.process import Process
from ancestral_studio.state import state_of

LONGEST_NUMBER = 18
"""Largest number of digits of a number in an address, so that it fits into 64 bits."""


def inspected(request: Request) -> Response:
    """Return an item of inspected data: its name, and its slices along an axis, or the address of a recording."""
    process, index = _inspection(request), _number(request, "index")
    dataset, item = shown_items.inspected_item(process, index)
    facts = {"name": dataset.name_of(index), "items": len(dataset)}
    if item.ndim == 4:
        return answer(facts | shown_items.slices_of(item, _axis(request)))
    if item.ndim == 2 and dataset.rate is not None:
        return answer(facts | {"sound": f"/files/items/{process.id}/{index}.wav"})
    raise MissingError("these items are no volumes and no recordings")


def recording(request: Request) -> Response:
    """Return a recording of inspected data, as training gets it. Raises MissingError if there is none."""
    from ancestral.render.writers import wav_bytes

    dataset, item = shown_items.inspected_item(_inspection(request), _number(request, "index"))
    if item.ndim != 2 or dataset.rate is None:
        raise MissingError("these items are no recordings")
    return Response(wav_bytes(item, dataset.rate), media_type="audio/wav")


def sample(request: Request) -> Response:
    """Return the slices of a volume that was made. Raises MissingError if there is none."""
    state, name = state_of(request), request.path_params["id"]
    file = state.places.below(state.history.get(name).folder, f"{FILES_FOLDER}/{VOLUMES_FILE}")
    volume = shown_items.volume_in(file, _number(request, "index"))
    return answer(shown_items.slices_of(volume, _axis(request)))


def preview(request: Request) -> Response:
    """Return the slices of the volume of a preview of a run. Raises MissingError if there is none."""
    places = state_of(request).places
    grid = grids_of(places.run(request.path_params["id"]) / SAMPLES).get(_number(request, "step"))
    if grid is None:
        raise MissingError("there is no such preview")
    file = places.below(grid.parent, grid.with_suffix(".npz").name)
    return answer(shown_items.slices_of(shown_items.volume_in(file, 0), _axis(request)))


def _inspection(request: Request) -> Process:
    return state_of(request).processes.get(request.path_params["id"])


def _axis(request: Request) -> int:
    text = request.query_params.get("axis", "0")
    if text not in ("0", "1", "2"):
        raise InputError("axis must be 0, 1 or 2")
    return int(text)


def _number(request: Request, name: str) -> int:
    text = request.path_params[name]
    if not (text.isdecimal() and len(text) <= LONGEST_NUMBER):
        raise MissingError("there is no such item")
    return int(text)


ROUTES = [
    Route("/api/processes/{id}/items/{index}", inspected),
    Route("/files/items/{id}/{index}.wav", recording),
    Route("/api/history/{id}/items/{index}", sample),
    Route("/api/runs/{id}/previews/{step}", preview),
]
