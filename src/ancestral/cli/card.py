"""Print what `publish.update_card` did."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ancestral.model import Model


def tell(model: "Model", folder: Path, place: str, out: Path) -> None:
    """Update the card of a folder and print the event."""
    from ancestral.events import Wrote
    from ancestral.workflows import publish

    event = publish.update_card(model, folder, place, out)
    print(event.path if isinstance(event, Wrote) else event.text)  # type: ignore[union-attr]
