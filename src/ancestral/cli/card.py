"""README.md of a run, brought up to date by whoever changes what it tells of."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ancestral.model import Model


def tell(model: "Model", folder: Path, place: str, out: Path) -> None:
    """Write the card of a model that was loaded from `folder`, or from the Hub's `place`, with what `out` holds of it.

    What was measured of another state of the run is left out, and a card that is the user's own is left alone.
    """
    from ancestral import storage
    from ancestral.render import card
    from ancestral.workflows import publish

    assert model.file is not None
    about = publish.card_facts(model, folder.absolute().name, place)
    if card.write(folder, card.card(about, card.read(out, storage.sha256(model.file)))):
        print(folder / card.NAME)
    else:
        print(f"{folder / card.NAME} is left as it is, since it is your own; move it away for a new one")
