"""A model and what was measured of it, handed on: its card, and the Hugging Face Hub."""

import tempfile
from pathlib import Path

from ancestral import hub, storage
from ancestral.model import FILE_NAME, Model
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
    facts, parameters = model.spec, sum(parameter.numel() for parameter in model.denoiser.parameters())
    return card.About(name, place, model.config, facts.shape, facts.classes, model.step, model.version, parameters)
