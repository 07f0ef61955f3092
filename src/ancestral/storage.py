"""Files that are never half-written, and tensors on disk without pickle.

Everything the package writes goes through `atomic`: a temporary file beside the target is flushed to the disk, then
renamed over it. So at any moment the target is the old file or the new one, whole.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ancestral.errors import InputError
from ancestral.interrupts import undone


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` at the end of the block, and is removed on an error.

    It has the suffix of `path`; the folder is created. Raises OSError if the disk is full or read-only; `path` is then
    as it was before.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        with undone(lambda: temporary.unlink(missing_ok=True)):
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes `path` at the end of the block, and is removed on an error.

    Raises InputError if `path` is taken, before anything is written, and OSError as `atomic` does.
    """
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} is not empty, and nothing there is overwritten; give --out a new folder")
    if (path.exists() or path.is_symlink()) and not path.is_dir():
        raise InputError(f"{path} is a file; give --out a folder")
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    with undone(lambda: shutil.rmtree(temporary, ignore_errors=True)):
        yield temporary  # the files in it name themselves where they fail
        with _named(path):
            temporary.chmod(0o777 & ~_umask())  # mkdtemp makes private folders
            if path.is_dir():
                path.rmdir()  # it is empty, and not every system renames over a folder
            temporary.replace(path)
            _sync_folder(path.parent)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the path that could not be written in the error, and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"could not write {path}: {reason}; make room or choose another folder (what was there is untouched)"
        ) from None


def check_writable(folder: Path) -> None:
    """Raise OSError if files cannot be written into `folder`, which need not exist yet."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}; choose another folder") from None


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors as a safetensors file."""
    return safetensors.torch.save(_plain(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically; the same content gives the same bytes.

    Raises:
        OSError: If it cannot be written; the old file stays.
    """
    with atomic(path) as temporary:
        try:
            safetensors.torch.save_file(_plain(tensors), temporary, dict(metadata))
        except SafetensorError as error:  # its only cause here is the operating system
            raise OSError(str(error)) from None
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata in the header of a safetensors file, which the library writes in a random order."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        if len(text) == size:  # the same characters in another order
            file.seek(8)
            file.write(text)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own: networks may share weights, and files cannot."""
    plain, seen = dict[str, Tensor](), set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        plain[name] = own.clone() if own.data_ptr() in seen else own
        seen.add(own.data_ptr())
    return plain


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and metadata of a safetensors file. Raises InputError if it is not a whole one."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata alone, a few kilobytes of a file of any size. Raises InputError as `read_tensors` does."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}): cut short, or of another kind") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Flush the rename to the disk; not every system can open a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
