"""A model and its evaluation for others: its model card, and the Hugging Face Hub."""

import tempfile
from pathlib import Path

from ancestral import hub, storage
from ancestral.events import Event, Message, Wrote
from ancestral.model import FILE_NAME, Model, find
from ancestral.render import card
from ancestral.results import EvaluationResult


def home(model: Model | str | Path) -> Path:
    """Return the folder for files made from a model: its run folder, or runs/REPO for an address on the Hub."""
    if isinstance(model, Model):
        return model.file.parent if model.file else Path()
    text = str(model)
    return Path("runs") / hub.parse(text).repo.rpartition("/")[2] if hub.is_address(text) else find(text).parent


def push(model: Model, address: str, private: bool = False) -> str:
    """Upload a model file to the Hugging Face Hub, with a model card.

    The card is the README.md of the run folder that the model was loaded from, with what its owner wrote there and what
    was measured of it, or a new one.

    Args:
        model: The model.
        address: hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; the repository is made if need be.
        private: Whether a new repository is private.

    Returns:
        The URL of the repository.

    Raises:
        InputError: If the address is none, or the Hub refuses or cannot be reached.
    """
    hub.parse(address)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        model.save(path)
        return hub.push(address, path, _card(model, address), private)


def update_card(model: Model, folder: Path, address: str = card.FOLDER, evaluation: Path | None = None) -> Event:
    """Write or update the model card of a folder.

    Args:
        model: A model that was loaded from a file.
        folder: The folder of the card.
        address: Where the model can be loaded from.
        evaluation: The folder with the evaluations of the model, of which those of other files are left out; None is
            the folder `evaluation` beside the card.

    Returns:
        The path written, or a message if the card is the user's own.
    """
    assert model.file is not None
    found = EvaluationResult.load(evaluation or folder / "evaluation", storage.sha256(model.file))
    if card.write(folder, card.card(card_facts(model, folder.absolute().name, address), found)):
        return Wrote(folder / card.NAME)
    return Message(f"{folder / card.NAME} is left as it is, since it is your own; move it away for a new one")


def _card(model: Model, address: str) -> str:
    about = card_facts(model, hub.parse(address).repo, address)
    if model.file is None:
        return card.card(about, EvaluationResult())
    found = EvaluationResult.load(model.file.parent / "evaluation", storage.sha256(model.file))
    return card.around(model.file.parent, card.card(about, found))


def card_facts(model: Model, name: str, place: str = card.FOLDER) -> card.About:
    """Collect what a model card says of a model called `name` that can be loaded from `place`."""
    facts, parameters = model.spec, sum(parameter.numel() for parameter in model.denoiser.parameters())
    return card.About(name, place, model.config, facts.shape, facts.classes, model.step, model.version, parameters)
