"""Places of files that are made with a model, and warnings of other files beside them."""

import contextlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ancestral.base import hub
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.folders import SUFFIXES, is_output
from ancestral.config.request import read_text
from ancestral.model import Model
from ancestral.render import writers
from ancestral.training import RunFolder
from ancestral.use_cases.model_cards import home

STILLS, LOOKED_AT = SUFFIXES.keys() - writers.ANIMATIONS.keys(), 100
"""Suffixes of images, of which samples are PNGs with a recipe; how many entries of a folder are looked at."""


def folder_of(model: Model | str | Path, name: str) -> Path:
    """Return the folder for files without a path: of this name in the run, or in the working folder without a run."""
    place = home(model)
    in_run = hub.is_address(model) or RunFolder(place).config.exists()
    return place / name if in_run else Path(name)


def other_images(paths: Sequence[Path]) -> list[str]:
    """Warn of an image that is no sample, in the folder of a file or in that of the folder `samples`.

    A new folder in the working folder is a place of its own. Where a sample was written after the image, this was said
    then.
    """
    here = Path().absolute()  # in which the pictures of several pages lie beside a new folder
    folders = {path.parent for path in paths if path.suffix or path.parent.absolute() != here}
    others, last_sample = list[tuple[float, Path]](), 0.0
    for folder in sorted(folders | ({Path()} if Path("samples") in folders else set())):
        if folder.is_dir() and not any(map(is_output, (folder.absolute(), *folder.absolute().parents))):
            for file in islice(sorted(folder.iterdir()), LOOKED_AT):
                if file.suffix.lower() in STILLS:
                    changed = file.stat().st_mtime
                    if _is_sample(file):
                        last_sample = max(last_sample, changed)
                    else:
                        others.append((changed, file))
    for changed, file in others:
        if changed > last_sample:
            place = f"{file} is no sample, and samples are written beside it"
            advice = f"who trains on that folder trains on both; {option('out')} takes a place elsewhere"
            return [f"warning: {place}: {advice}"]
    return []


def _is_sample(file: Path) -> bool:
    with contextlib.suppress(InputError):
        return bool(read_text(file))
    return False


def path_of(value: str | Path | bool, default: Path) -> Path | None:
    """Return the path of a file that may be written: the default without one, None if it is not."""
    if isinstance(value, bool):
        return default if value else None
    return Path(value)
