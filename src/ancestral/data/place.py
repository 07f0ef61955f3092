"""Where data lie: what a name, a path, an address or an object from Python stands for."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import data as torch_data

from ancestral.base.arguments import is_remote, nearest, short_source
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.config import UNPLACED
from ancestral.config.data_sources import (
    BUILT_IN,
    SOURCES,
    DataSource,
    LocalFolder,
    described,
    nearest_path,
    source_of_file,
    source_of_folder,
    source_of_name,
)
from ancestral.config.run_files import is_run
from ancestral.data.convert import Conversion
from ancestral.data.remote_files import RemoteFiles


@dataclass(frozen=True)
class Place:
    """Data as they are named, and how they are read.

    Attributes:
        source: A name, a path, an address, or an object from Python, as it was given.
        at: The path on this machine, or the objects in object storage; None of a name and of an object from Python.
        conversion: How items are converted.
        dims: The number of axes besides channels; None where the items say it.
        split: "train" or "test".
        length: The number of samples of recordings; None if all have the same.
        rate: The sampling rate of recordings in Hz; None if all have the same.
        variables: The variables of fields that are channels; None takes all that fit.
        items: The axes of the items of fields; None takes time, or the first.
    """

    source: Any
    at: Path | RemoteFiles | None
    conversion: Conversion
    dims: int | None = None
    split: str = "train"
    length: int | None = None
    rate: int | None = None
    variables: tuple[str, ...] | None = None
    items: str | None = None


def find(source: Any) -> tuple[DataSource, Path | RemoteFiles | None]:
    """Find what data are, and their path or their objects in object storage, if they have any.

    Raises:
        InputError: If there are no such data, or nothing that can be read as data.
    """
    if not isinstance(source, str | Path):
        return SOURCES[_kind_of_object(source)], None
    named = source_of_name(source) if isinstance(source, str) else None
    if named is not None:
        return named, None
    if is_remote(source):
        files = RemoteFiles(source)
        return _source_of_address(files), files
    path = existing_path(source)
    return _source_of_path(path), path


def absolute(source: str) -> str:
    """Return a name or address of data as it is, and a path as an absolute one.

    Raises:
        InputError: If there is no such file or folder.
    """
    if source_of_name(source):
        return source
    if is_remote(source):
        protocol, _, path = source.partition("://")
        return f"{protocol}://{path.rstrip('/')}"
    return str(existing_path(source).resolve())


def _kind_of_object(source: Any) -> str:
    items = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    if isinstance(items, Tensor | np.ndarray):
        return "array"
    if isinstance(source, torch_data.Dataset):
        return "data set"
    if type(source).__module__.startswith("xarray."):
        return "fields of Python"
    if isinstance(source, list):
        return "list"
    if isinstance(items, list):
        raise InputError(
            "a list of images has no labels: give a map-style data set of PyTorch of (image, class number)"
        )
    raise InputError(
        f"an object of type {type(source).__name__} cannot be read as data: give a name or path, a tensor or array "
        "(N, C, ...), (items, labels), a list of paths or Pillow images, or a map-style data set of PyTorch"
    )


def _source_of_path(path: Path) -> DataSource:
    if not path.is_dir():
        source = source_of_file(path.name) if path.is_file() else None  # opening a pipe would block for ever
        if source is None:
            places = described(one for one in SOURCES.values() if one.files or one.folder)
            raise InputError(f"{one_line(path)} cannot be read as data: give {places}")
        return source
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"{one_line(path)} may not be read: permission denied")
    if is_run(path):
        raise InputError(f"{one_line(path)} is a run folder, whose pictures are samples: give the data itself")
    return source_of_folder(LocalFolder(path))


def _source_of_address(files: RemoteFiles) -> DataSource:
    source = source_of_file(files.only[0].decode()) if files.only else source_of_folder(files)
    source = source or SOURCES["arrays"]
    if not source.remote:
        hub = ", or read them from the Hub by hf://datasets/user/name" if source.scheme else ""
        raise InputError(
            f"{files} holds {' or '.join(source.folder or source.files)} files, which are read on this machine: copy "
            f"them to a folder{hub}"
        )
    return source


def existing_path(source: str | Path) -> Path:
    """The file or folder `source`, or an InputError that helps with the spelling."""
    text = str(source)
    if text.startswith(UNPLACED):
        raise InputError(
            f"a model file does not name the folder of its data, {short_source(text)}: give {option('data')}"
        )
    with suppress(OSError, RuntimeError):  # a name too long for the system; the home of a user who is not there
        path = Path(source).expanduser()
        if text.strip() and path.exists():
            return path
    close = nearest(text.lower(), BUILT_IN)
    if close and not {"/", "\\", "."} & set(text):
        raise InputError(f"no data called {text!r}: did you mean {close}?")
    if near := nearest_path(text):
        raise InputError(f"no such file or folder: {text!r}; did you mean {near}?")
    raise InputError(f"no such file or folder: {text!r} (built-in data: {BUILT_IN.names})")
