"""Solutions that passed, kept by the hash of their source, so that what takes long is not judged again."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import ancestral
from ancestral.base import storage
from ancestral.data import files

LONG = 1.0
"""Seconds from which on a check is long."""


@cache
def _checker() -> str:
    """The versions of the checker and of what it compares with."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return f"{digest} {ancestral.__version__} {metadata.version('torch')}"


def place(exercise: str, sources: Sequence[str]) -> Path:
    """Return the file that keeps that a function has passed.

    Args:
        exercise: The lesson and the name of the function.
        sources: Everything that the function is made of.
    """
    digest = hashlib.sha256(json.dumps([_checker(), exercise, *sources]).encode()).hexdigest()
    return files.cache() / "course" / f"{digest}.txt"


def read(file: Path) -> str:
    """Return the text of a verdict that was kept, or ""."""
    with contextlib.suppress(OSError, ValueError):
        return file.read_text(encoding="utf-8")
    return ""


def keep(file: Path, text: str) -> None:
    """Keep the text of a verdict; where the folder cannot be written to, it is judged again the next time."""
    with contextlib.suppress(OSError):
        storage.write_text(file, text)
