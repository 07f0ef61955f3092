"""Places of files that are made with a model, warnings of other files beside them, and files of results."""

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from ancestral.base import hub, storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Wrote
from ancestral.base.options import option
from ancestral.base.result import Result
from ancestral.config.data_sources import SUFFIXES
from ancestral.config.request import read_text
from ancestral.config.run_files import check_outside, is_output
from ancestral.model import Model, find
from ancestral.render import writers
from ancestral.training import RunFolder

STILLS, LOOKED_AT = SUFFIXES.keys() - writers.ANIMATIONS.keys(), 100
"""Suffixes of images, of which samples are PNGs with a recipe; how many entries of a folder are looked at."""


def home(model: Model | str | Path) -> Path:
    """Return the folder for files made from a model: its run folder, or runs/REPO for an address on the Hub."""
    if isinstance(model, Model):
        return model.file.parent if model.file else Path()
    return Path("runs") / hub.parse(str(model)).repo.rpartition("/")[2] if hub.is_address(model) else find(model).parent


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


def check_folder(path: str | Path | None, *data: object) -> Path | None:
    """Return the folder, which need not exist.

    Raises:
        InputError: If it is a file, or lies among the data.
        OSError: If files cannot be written into it.
    """
    if path is None:
        return None
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give {option('out')} the name of a folder")
    for source in data:
        check_outside(folder, source)
    storage.check_writable(folder)
    return folder


def stem_of(text: str, longest: int) -> str:
    """Return the stem of a file's name: a text without the characters that not every system takes, cut."""
    return re.sub(r"[^\w.-]+", "-", text)[:longest]


def check_kind_of_path(out: Path, kinds: str) -> None:
    """Raise InputError if a new folder cannot be made: `kinds` are the files that could be written instead."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; {option('out')} takes {kinds}")


def check_empty(out: Path, files: str) -> None:
    """Raise InputError if a folder has files already; `files` are those that would mix with them."""
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the {files} would mix; give {option('out')} a new folder")


def write_new_files(files: Mapping[Path, Callable[[Path], None]]) -> Generator[Event, None, tuple[str, ...]]:
    """Write files, of which none is overwritten.

    Args:
        files: The paths, each with what writes it.

    Returns:
        The paths that were taken.
    """
    paths = []
    for path, write in files.items():
        paths.append(storage.write_new(path, write))
        yield Wrote(paths[-1])
    return tuple(map(str, paths))


def write_results(folder: Path, files: Mapping[str, Result | Image.Image]) -> Iterator[Wrote]:
    """Write results as JSON and pictures as PNGs, by their names in the folder."""
    for name, content in files.items():
        if isinstance(content, Result):
            storage.write_text(folder / name, content.to_json())
        else:
            writers.write_picture(folder / name, content)
        yield Wrote(folder / name)
