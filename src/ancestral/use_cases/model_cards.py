"""Model cards, and the folders beside models."""

import io
from pathlib import Path

from torch import Tensor

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, Wrote
from ancestral.config.run_files import EVALUATION, SAMPLES, grids_of
from ancestral.model import Model
from ancestral.render.model_card import ADDRESS_PLACEHOLDER, PICTURE, README, model_card, write_card
from ancestral.render.pictures import grid_columns, picture
from ancestral.results.evaluation_result import EvaluationResult

PICTURE_ITEMS, PICTURE_POINTS, PICTURE_STEPS, ROW = 20, 1000, 50, 80
"""Numbers of items and points in the picture of a card, the largest number of sampling steps, and about the height of
a row in pixels."""


def update_card(
    model: Model,
    folder: Path,
    address: str = ADDRESS_PLACEHOLDER,
    evaluation: Path | None = None,
    samples: Tensor | None = None,
) -> Event:
    """Write or update the model card of a folder, unless it is the user's own; return the event to yield.

    `evaluation` is the folder with the evaluations of the model, which was loaded from a file; None is the folder
    `evaluation` beside the card. `samples` are its first samples, of all classes in turn; None makes some.
    """
    results = evaluation_of(model, evaluation or folder / EVALUATION)
    image = card_picture(model, folder, samples)
    if write_card(folder, model_card(model, folder.absolute().name, address, results, PICTURE if image else None)):
        if image:
            storage.write_bytes(folder / PICTURE, image)
        return Wrote(folder / README)
    return Message(f"{folder / README} is left as it is, since it is your own; move it away for a new one")


def card_picture(model: Model, folder: Path | None = None, samples: Tensor | None = None) -> bytes | None:
    """A small grid of samples for the card as a PNG; None if the model makes none, such as one that diverged.

    Of a model with conditions besides the label it is the last preview in its run folder, which shows them too.
    """
    if folder is not None and model.spec.further and (grids := grids_of(folder / SAMPLES)):
        return grids[max(grids)].read_bytes()
    shape, classes = model.spec.shape, len(model.spec.classes) or 1
    n = PICTURE_POINTS if len(shape) == 1 else PICTURE_ITEMS
    if samples is None:
        steps = min(PICTURE_STEPS, len(model.sampler().times(model.denoiser.schedule)) - 1)
        try:
            samples = model.sample(n, steps=steps)
        except InputError:
            return None
    items, buffer = samples[:n], io.BytesIO()
    columns, names = grid_columns(len(items), shape, classes), model.class_names(range(len(items)))
    if model.spec.further:  # samples have the classes of real items then, not all in turn
        names = None
    height = 400 if len(shape) == 1 else ROW * -(-len(items) // columns)
    picture(items, columns, height, model.spec.limits, names).save(buffer, "PNG")
    return buffer.getvalue()


def evaluation_of(model: Model, folder: Path) -> EvaluationResult:
    """The evaluations of this model, not of another state of its run."""
    assert model.file is not None
    return EvaluationResult.load(folder, storage.sha256(model.file))
