"""A model on the Hugging Face Hub, with its card."""

import tempfile
from collections.abc import Generator
from pathlib import Path

from ancestral.base import hub
from ancestral.base.events import Event
from ancestral.config import run_files
from ancestral.config.run_files import EVALUATION
from ancestral.declarations import Push
from ancestral.model import Model, load
from ancestral.render.model_card import PICTURE, README, merge_card, model_card
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.use_cases.model_cards import card_picture, evaluation_of


def plan(options: Push) -> Push:
    """Check the address. Raises InputError if it is none."""
    hub.parse(options.address)
    return options


def run(plan: Push) -> Generator[Event, None, str]:
    """Upload the model and return the URL. Raises InputError if the Hub refuses or cannot be reached."""
    yield from ()
    model = plan.model if isinstance(plan.model, Model) else load(plan.model, "cpu", net=plan.net)
    run = model.file.parent if model.file else None
    evaluation = EvaluationResult() if run is None else evaluation_of(model, run / EVALUATION)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / run_files.MODEL
        model.save(path)
        picture = card_picture(model, run)
        card = model_card(model, hub.parse(plan.address).repo, plan.address, evaluation, PICTURE if picture else None)
        card = card if run is None else merge_card(run, card)
        files = {README: card.encode()} | ({PICTURE: picture} if picture and PICTURE in card else {})
        return hub.push(plan.address, path, files, plan.private)
