"""Downloads, kept in one folder of the user, and accepted only if their SHA-256 is the known one."""

import os
from http.client import HTTPException
from pathlib import Path

import torch

from ancestral.base import storage
from ancestral.base.errors import InputError

CACHE = "ANCESTRAL_CACHE"
"""An environment variable: the folder of downloads."""
OFFLINE = "ANCESTRAL_OFFLINE"
"""An environment variable; where it has a value, nothing is downloaded."""


def cache() -> Path:
    """Return the folder of downloads: $ANCESTRAL_CACHE, or ancestral in $XDG_CACHE_HOME or in ~/.cache."""
    system = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get(CACHE) or system / "ancestral").expanduser()


def fetch(url: str, sha256: str, folder: Path, otherwise: str) -> Path:
    """Return a file of `folder`; one that is not there is downloaded, and appears only when it is whole and right.

    A file that is there is hashed at each use: who can write into the cache can put another one there.

    Raises:
        InputError: If it cannot be downloaded, or must not; the message ends with `otherwise`, what else the user
            can do. Or if the file that is there is another one.
    """
    file = folder / url.rpartition("/")[2]
    if not file.is_file():
        if os.environ.get(OFFLINE):
            raise InputError(f"{file.name} is not on this machine, and {OFFLINE} is set, as in the studio: {otherwise}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256)
        except (OSError, RuntimeError, HTTPException) as error:
            raise InputError(f"{file.name} could not be downloaded ({error}): {otherwise}") from error
    elif (digest := storage.sha256(file)) != sha256:
        raise InputError(
            f"{file} is not the published file (its SHA-256 is {digest[:16]}…, not {sha256[:16]}…): it is damaged or "
            "was replaced; delete it, and it is downloaded again"
        )
    return file
