"""Files that are never half-written, and tensors on disk without pickle.

Everything the package writes goes through `atomic`: a temporary file beside the target is flushed to the disk, then
renamed over it. So at any moment the target is the old file or the new one, whole.

A safetensors file carries two digests in its metadata, that of its tensors and that of its metadata, the first digest
included. Each reader checks them, so a bit that is flipped later is noticed. Files of other programs have none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
from safetensors import SafetensorError

from ancestral.base.errors import InputError
from ancestral.base.interrupts import undone
from ancestral.base.options import option

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` at the end of the block, and is removed on an error.

    It has the suffix of `path`; the folder is created. Raises OSError if the disk is full or read-only; `path` is then
    as it was before.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
        temporary.touch(exist_ok=False)  # unlike a file of `tempfile`, it has the rights that the user gives to files
        with undone(lambda: temporary.unlink(missing_ok=True)), _claimed(temporary):
            yield temporary
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
        raise InputError(f"{path} is not empty, and nothing there is overwritten; give {option('out')} a new folder")
    if (path.exists() or path.is_symlink()) and not path.is_dir():
        raise InputError(f"{path} is a file; give {option('out')} a folder")
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        temporary.mkdir()
    with undone(lambda: shutil.rmtree(temporary, ignore_errors=True)), _claimed(temporary):
        yield temporary  # the files in it name themselves where they fail
        with _named(path):
            if path.is_dir():
                path.rmdir()  # it is empty, and not every system renames over a folder
            temporary.replace(path)
            _sync_folder(path.parent)


def write_new(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file or a folder, whole or not at all, and overwrite nothing, whatever other processes write meanwhile.

    Args:
        path: Where it goes; if there is something but an empty folder, the first of name-2, name-3, ... that is free.
        write: Writes it to the path that it is given, of the same name in a temporary folder.

    Returns:
        The path that was written.

    Raises:
        OSError: If the disk is full or read-only.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    with undone(lambda: shutil.rmtree(folder, ignore_errors=True)), _claimed(folder), _named(path):
        write(folder / path.name)
        numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
        place = next(name for name in itertools.chain([path], numbered) if _moved(folder / path.name, name))
        _sync_folder(path.parent)
    return place


@contextlib.contextmanager
def _claimed(temporary: Path) -> Iterator[None]:
    """Lock a temporary file or folder in the block, which says that its process lives."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    handle = os.open(temporary, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_abandoned(temporary: Path) -> bool:
    """Tell whether no process writes a temporary file or folder any more: it was killed, and left it.

    Where there are no locks, one that was not changed for `ABANDONED_AFTER` seconds is abandoned.
    """
    try:
        import fcntl

        handle = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(handle)
    except (BlockingIOError, FileNotFoundError):
        return False
    except (ImportError, OSError):
        with contextlib.suppress(OSError):
            return time.time() - temporary.lstat().st_mtime > ABANDONED_AFTER
        return False
    return True


def _moved(source: Path, target: Path) -> bool:
    """Move a file or a folder; False if there is something else but an empty folder."""
    if source.is_dir():
        with contextlib.suppress(OSError):
            target.rmdir()  # it is empty, and not every system renames over a folder
        try:
            source.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EBUSY):
                raise
            if not target.is_dir() or any(target.iterdir()):
                return False
            for part in source.iterdir():  # the empty folder is a link or a mount, which cannot be replaced
                shutil.move(part, target)
        return True
    try:
        target.hardlink_to(source)  # unlike a rename, it does not replace what is there
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links, where a kill between the two leaves an empty file
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            return False
        source.replace(target)
    return True


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the path that could not be written in the error, and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
        error_with_path = OSError(
            f"could not write {path}: {reason}; {REMEDIES.get(error.errno or 0, 'choose another folder')} (what was "
            "there is untouched)"
        )
        error_with_path.errno = error.errno
        raise error_with_path from None


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), "make room or choose another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "get the right to write there, or choose another folder"),
    errno.EROFS: "the disk can only be read: choose a folder on another one",
    errno.EIO: "the disk may be failing: choose a folder on another one",
    errno.EFBIG: "files may not be so large there: raise the limit (ulimit -f) or choose another folder",
    errno.EMFILE: "close other files, or raise their number (ulimit -n)",
}
"""What to do where a file could not be written, by the number of the error."""
LOCK_TIMEOUT = 3.0
"""Seconds to wait for a lock: data workers of a killed process hold it for a second more."""
ABANDONED_AFTER = 3600.0
"""Seconds after which a temporary file is no longer one that is being written, on a system without locks."""


def size_of(path: Path) -> int:
    """Sum the bytes of a file, or of all files below a folder; those that vanish meanwhile are left out."""
    files = [Path(root) / name for root, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.lstat().st_size
    return total


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk of a file or folder, which need not exist yet."""
    return shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists())).free


@contextlib.contextmanager
def locked(folder: Path, line: str) -> Iterator[None]:
    """Lock a folder for this process. The system releases the lock however the process ends.

    Args:
        folder: The folder.
        line: What is wrong, and what to do, where another process holds the lock.

    Raises:
        InputError: If another process holds the lock for longer than `LOCK_TIMEOUT`.
    """
    try:
        import fcntl
    except ImportError:  # Windows has none of these
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(line) from None
                time.sleep(0.1)
                continue
            except OSError:  # a file system without locks
                pass
            break
        yield
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """Raise OSError if files cannot be written into `folder`, which need not exist yet."""
    parent = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose another folder")
        raise OSError(f"cannot write into {folder}: {error.strerror}; {remedy}") from None


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
    import safetensors.torch  # torch is imported where tensors are: the rest serves faces that start without it

    return safetensors.torch.save(_plain(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with its digests, atomically; the same content gives the same bytes.

    Raises:
        OSError: If it cannot be written; the old file stays.
    """
    import safetensors.torch

    plain = _plain(tensors)
    metadata = {**metadata, TENSORS_DIGEST: _digest_of_tensors(plain)}
    # the library's own function for files would write to a name of its own, which nobody removes after a kill
    content = safetensors.torch.save(plain, {**metadata, METADATA_DIGEST: _digest_of_metadata(metadata)})
    with atomic(path) as temporary, temporary.open("wb") as file:
        end = 8 + int.from_bytes(content[:8], "little")
        file.write(content[:8] + _sorted_header(content[8:end]))
        file.write(memoryview(content)[end:])


def _sorted_header(header: bytes) -> bytes:
    """The header of a safetensors file with its metadata in order; the library writes them in a random one."""
    tree = json.loads(header)
    tree["__metadata__"] = dict(sorted(tree["__metadata__"].items()))
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode().ljust(len(header))
    return text if len(text) == len(header) else header  # the same characters in another order


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own: networks may share weights, and files cannot."""
    plain: dict[str, Tensor] = {}
    addresses = set[int]()
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous()
        plain[name] = copy.clone() if copy.data_ptr() in addresses else copy
        addresses.add(copy.data_ptr())
    return plain


TENSORS_DIGEST, METADATA_DIGEST = "tensors_sha256", "metadata_sha256"
"""Names of the digests in the metadata of a file; who reads the metadata does not see them."""


def _digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors: of their names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest_of_metadata(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode()).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and metadata of a safetensors file.

    Raises:
        InputError: If it is not a whole one, or its content is not what was written.
    """
    with _opened(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    facts = _checked_metadata(path, metadata)
    if TENSORS_DIGEST in metadata and metadata[TENSORS_DIGEST] != _digest_of_tensors(tensors):
        raise _changed(path, "tensors")
    return tensors, facts


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata alone, a few kilobytes of a file of any size. Raises InputError as `read_tensors` does."""
    with _opened(path, "numpy") as file:
        return _checked_metadata(path, file.metadata() or {})


def _checked_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata without digests. Raises InputError if they are not those that were written."""
    facts = {name: text for name, text in metadata.items() if name != METADATA_DIGEST}
    digests = {TENSORS_DIGEST, METADATA_DIGEST} & metadata.keys()
    version, ours = metadata.get("version", ""), metadata.get("format", "").startswith("ancestral-")
    if ours and version.startswith("0."):
        raise InputError(f"{path} was written by version {version}, which was never released: make it anew")
    if ours and not digests:
        raise InputError(f"{path} is damaged: its digests were removed; take another copy of it")
    if digests and metadata.get(METADATA_DIGEST) != _digest_of_metadata(facts):
        raise _changed(path, "metadata")
    facts.pop(TENSORS_DIGEST, None)
    return facts


def _changed(path: Path, part: str) -> InputError:
    return InputError(
        f"{path} is damaged: its {part} are not those that were written (by their SHA-256); take another copy of the "
        f"file, or let {option('resume', True)} write the model of a run anew"
    )


@contextlib.contextmanager
def _opened(path: Path, framework: str) -> Iterator[Any]:
    """Open a safetensors file whose tensors are read by a framework: the metadata need no torch."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    if not os.access(path, os.R_OK):  # the library calls such a file missing
        raise InputError(f"{path} may not be read: permission denied")
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            yield file
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}): cut short, or of another kind") from None


def _sync_folder(folder: Path) -> None:
    """Flush the rename to the disk; not every system can open a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
