"""A model and what was measured of it, handed on: its card, and the Hugging Face Hub."""

import tempfile
from collections.abc import Generator
from pathlib import Path

from ancestral import hub, storage
from ancestral.events import Event, Message, Wrote
from ancestral.model import FILE_NAME, Model, load
from ancestral.render import card


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


def _card(model: Model, address: str) -> str:
    about = card_facts(model, hub.parse(address).repo, address)
    if model.file is None:
        return card.card(about, card.Found())
    text = card.card(about, card.read(model.file.parent / "evaluation", storage.sha256(model.file)))
    return card.around(model.file.parent, text)


def card_facts(model: Model, name: str, place: str = card.FOLDER) -> card.About:
    """Collect what a model card says of a model called `name` that can be loaded from `place`."""
    facts, parameters = model.spec, model.parameters
    return card.About(name, place, model.config, facts.shape, facts.classes, model.step, model.version, parameters)


def update_card(
    path: Path | str, place: str = card.FOLDER, evaluation: Path | None = None
) -> Generator[Event, None, None]:
    """Write the model card of a run, with what was measured of its present model; a card of the user's own stays.

    Args:
        path: The model file.
        place: From where the model can be loaded: hf://user/repo, or FOLDER.
        evaluation: The folder of its evaluation; None is beside the model file.
    """
    model = load(path, "cpu")
    assert model.file is not None
    folder = model.file.parent
    found = card.read(evaluation or folder / "evaluation", storage.sha256(model.file))
    if card.write(folder, card.card(card_facts(model, folder.absolute().name, place), found)):
        yield Wrote(folder / card.NAME)
    else:
        yield Message(f"{folder / card.NAME} is left as it is, since it is your own; move it away for a new one")
