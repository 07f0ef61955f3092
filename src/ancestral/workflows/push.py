"""A model on the Hugging Face Hub, with its card."""

import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ancestral import hub
from ancestral.declarations import Push
from ancestral.events import Event
from ancestral.model import FILE_NAME, Model, load
from ancestral.render.model_card import PICTURE, README, merge_card, model_card
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.workflows.model_cards import evaluation_of, sample_picture


@dataclass(frozen=True)
class PushPlan:
    """What is uploaded, and where: the name of the repository is a part of the address."""

    options: Push
    name: str


def plan(options: Push) -> PushPlan:
    """Read the address. Raises InputError if it is none."""
    return PushPlan(options, hub.parse(options.address).repo)


def run(plan: PushPlan) -> Generator[Event, None, str]:
    """Upload the model and return the URL. Raises InputError if the Hub refuses or cannot be reached."""
    yield from ()
    options = plan.options
    model = options.model if isinstance(options.model, Model) else load(options.model, "cpu", net=options.net)
    run = model.file.parent if model.file else None
    evaluation = EvaluationResult() if run is None else evaluation_of(model, run / "evaluation")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        model.save(path)
        shown = sample_picture(model)
        card = model_card(model, plan.name, options.address, evaluation, PICTURE if shown else None)
        card = card if run is None else merge_card(run, card)
        files = {README: card.encode()} | ({PICTURE: shown} if shown and PICTURE in card else {})
        return hub.push(options.address, path, files, options.private)
