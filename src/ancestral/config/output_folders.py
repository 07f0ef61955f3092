"""Folders that this package writes, runs and reports: their pictures are samples, which no data set takes for items."""

from contextlib import suppress
from pathlib import Path

from ancestral.errors import InputError
from ancestral.options import option

RUNS = "runs"
"""The folder in which commands write where no other is given."""
REPORTS = ("compare", "doctor")
"""Folders in RUNS that hold what commands write of data and of several runs, and are no runs."""
RUN_FILES = ("log.csv", "model.safetensors", "checkpoints")
"""A run folder holds config.json and one of these."""


def is_run(folder: str | Path) -> bool:
    """Tell whether a folder is a run folder."""
    path = Path(folder)
    return (path / "config.json").is_file() and any((path / name).exists() for name in RUN_FILES)


def is_output(folder: str | Path) -> bool:
    """Tell whether a folder is a run, a folder of reports, or the folder RUNS with one of them in it."""
    path = Path(folder)
    if is_run(path) or _is_report(path):
        return True
    if path.name != RUNS:
        return False
    with suppress(OSError):
        return any(_is_report(inner) or is_run(inner) for inner in path.iterdir())
    return False


def _is_report(path: Path) -> bool:
    return path.name in REPORTS and path.absolute().parent.name == RUNS


def check_outside(path: Path, data: object) -> None:
    """Check that a picture is not written among the data, where training would read it.

    Args:
        path: The file, or the folder of files, that is written.
        data: The source of the data. Only of a folder the path can be a part.

    Raises:
        InputError: If it lies in the folder, and in no run or reports there.
    """
    root, place = _root(data), path.resolve()
    if root is not None and place.is_relative_to(root) and not any(map(is_output, _folders_below(root, place))):
        raise InputError(f"{path} lies in the data and would be trained on; give {option('out')} a place outside")


def check_run_folder(folder: Path, data: object) -> None:
    """Check that a new run folder holds no part of the data, which would be skipped as a run from then on.

    Raises:
        InputError: If it lies in the data and is not empty.
    """
    root, place = _root(data), folder.resolve()
    if root is None or not place.is_relative_to(root) or not place.is_dir() or is_output(place):
        return
    if any(not entry.name.startswith(".") for entry in place.iterdir()):
        raise InputError(
            f"{folder} holds data, and a run folder is skipped as data; give {option('out')} a folder of its own"
        )


def _root(data: object) -> Path | None:
    """The folder that the data are, if they are one."""
    root = Path(data).expanduser().resolve() if isinstance(data, str | Path) and data else None
    return root if root is not None and root.is_dir() else None


def _folders_below(root: Path, place: Path) -> list[Path]:
    """The path and the folders that it lies in, down from `root`."""
    return [folder for folder in (place, *place.parents) if folder != root and folder.is_relative_to(root)]
