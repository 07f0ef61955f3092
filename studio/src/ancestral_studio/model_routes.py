"""Routes for the controls of a model: what it takes, and what is nearest to its samples."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ancestral.base.errors import InputError
from ancestral.config import FROM_PYTHON, run_files
from ancestral.config.data_sources import BUILT_IN
from ancestral_studio.answers import MissingError, answer
from ancestral_studio.history_entry import HistoryEntry
from ancestral_studio.model_description import PICTURE_CHANNELS, model_description
from ancestral_studio.recent_values import RecentValues
from ancestral_studio.state import state_of

if TYPE_CHECKING:
    from ancestral.data.spec import DataSpec
    from ancestral.use_cases.training.training_neighbours import TrainingItems

MOST_NEIGHBOURS = 24
"""Largest number of training items beside a sample."""
LONGEST_NUMBER = 18
"""Largest number of digits of a number in an address, so that it fits into 64 bits."""
MOST_ITEM_BYTES = 64 << 20
"""Largest number of bytes of the items of a run that are read from a disk, so that memory is bounded."""
TRAINING_ITEMS: "RecentValues[TrainingItems]" = RecentValues(2)
"""The training items of the runs whose nearest ones were asked for last."""


def model(request: Request) -> Response:
    """Return what the controls of a run's model need."""
    return answer(model_description(_model_file(request)))


def nearest(request: Request) -> Response:
    """Return the training items nearest to a sample of the history. Raises InputError if they cannot be read."""
    from ancestral.data.convert import Conversion
    from ancestral.data.decoding import decode_image

    studio, query = state_of(request), request.query_params
    place, k = (_number(query.get(name), name) for name in ("index", "k"))
    spec, items = _items(request)
    if len(spec.shape) != 3 or spec.codec.level is None:
        raise InputError("training items are shown beside images alone")
    entry = studio.history.get(query.get("entry", ""))
    sample = decode_image(_tile(entry, place), Conversion(channels=spec.shape[0], bits=8 * spec.codec.dtype.itemsize))
    near = items.nearest(sample[None], min(max(k, 1), MOST_NEIGHBOURS))
    numbers, run = near.positions[0].tolist(), request.path_params["id"]
    labels = [-1] * len(numbers) if near.labels is None else near.labels[0].tolist()
    found = zip(numbers, near.distances[0].tolist(), labels, strict=True)
    return answer(
        {
            "items": [
                {
                    "url": f"/api/runs/{run}/items/{number}",
                    "distance": distance,
                    "label": near.classes[label] if label >= 0 else None,
                }
                for number, distance, label in found
            ],
            "searched": near.searched,
            "total": near.total,
        }
    )


def item(request: Request) -> Response:
    """Return a training item as a picture, by its number. Raises MissingError if there is none."""
    from ancestral.data.convert import to_uint8
    from ancestral.data.decoding import from_pixels

    number = _number(request.path_params["number"], "an item")
    spec, items = _items(request)
    rows = (items.positions == number).nonzero()[:, 0]
    if not len(rows) or len(spec.shape) != 3 or spec.shape[0] not in PICTURE_CHANNELS:
        raise MissingError("there is no such training item")
    file = io.BytesIO()
    from_pixels(to_uint8(items.items[rows[:1]], spec.codec.channel_limits)[0]).save(file, "PNG")
    return Response(file.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=3600"})


def _model_file(request: Request) -> Path:
    file = state_of(request).places.run(request.path_params["id"]) / run_files.MODEL
    if not file.is_file():
        raise MissingError("this run has no model yet: its training has not saved one")
    return file


def _items(request: Request) -> "tuple[DataSpec, TrainingItems]":
    """The training items of a run, which lie in a named folder. Raises RefusedError if they do not."""
    from ancestral.base.events import finish
    from ancestral.use_cases.training.training_neighbours import training_items

    studio, file = state_of(request), _model_file(request)
    model = studio.queue.model(file)
    source = model.config.data.source
    if source not in (*BUILT_IN, FROM_PYTHON):  # of data from Python it is said that they are not known
        studio.places.inside(source)
    most = max(1, MOST_ITEM_BYTES // (math.prod(model.spec.shape) * model.spec.codec.dtype.itemsize))
    return model.spec, TRAINING_ITEMS.get(file, lambda: finish(training_items(model, most)))


def _tile(entry: HistoryEntry, place: int) -> bytes:
    """The sample at a place of the last state of an entry, as a PNG."""
    steps = entry.steps()
    if not steps or not 0 <= place < steps[-1]["count"]:
        raise MissingError("there is no such sample")
    step, file = steps[-1], io.BytesIO()
    row, column = divmod(place, step["columns"])
    x, y, width, height = column * step["width"], row * step["height"], step["width"], step["height"]
    with Image.open(entry.folder / step["x0"]) as sheet:
        sheet.crop((x, y, x + width, y + height)).save(file, "PNG")
    return file.getvalue()


def _number(text: str | None, name: str) -> int:
    if text is None or not text.isdecimal() or len(text) > LONGEST_NUMBER:
        raise InputError(f"{name} is a whole number from 0 on, of at most {LONGEST_NUMBER} digits")
    return int(text)


ROUTES = [
    Route("/api/runs/{id}/model", model),
    Route("/api/runs/{id}/nearest", nearest),
    Route("/api/runs/{id}/items/{number}", item),
]
