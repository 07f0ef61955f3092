"""Models on the Hugging Face Hub: hf://user/repo, hf://user/repo@revision, hf://user/repo/sub/folder.

huggingface_hub is an optional dependency, imported where it is used.
"""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ancestral.base.errors import InputError, install_command

SCHEME = "hf://"
HUB_TIMEOUT = 3.0
"""Seconds within which the Hub has to answer; the library alone waits and tries again for up to a minute."""
REPO_ADDRESS = re.compile(r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/@\s]+))?(/(?P<folder>.*?))?/*")


@dataclass(frozen=True)
class Address:
    """A folder of a repository ("" is its root) at a revision (None is the newest)."""

    repo: str
    revision: str | None
    folder: str

    def inside(self, name: str) -> str:
        """Return the path in the repository of a file of this folder."""
        return f"{self.folder}/{name}" if self.folder else name


def is_address(path: object) -> bool:
    """Return whether this is an address on the Hub instead of a path."""
    return isinstance(path, str) and path.startswith(SCHEME)


def parse(address: str) -> Address:
    """Parse an address, in whose revision %2F is a slash; raise InputError if it is not valid."""
    match = REPO_ADDRESS.fullmatch(address)
    if match is None or ".." in address:
        raise InputError(
            f"{address} is no address: write hf://user/repo, hf://user/repo@revision or hf://user/repo/folder"
        )
    revision = match["revision"]
    return Address(match["repo"], unquote(revision) if revision else None, match["folder"] or "")


def fetch(address: str, name: str) -> Path:
    """Return the path of a file at an address, downloaded unless it is cached; raise InputError if there is none."""
    place = parse(address)
    with _explained(address):
        from huggingface_hub import hf_hub_download

        cached = not _answers()
        return Path(hf_hub_download(place.repo, place.inside(name), revision=place.revision, local_files_only=cached))


def push(address: str, path: Path, card: Mapping[str, bytes], private: bool = False) -> str:
    """Upload a file in one commit, with the files of a model card if the repository has none, and return its URL.

    A repository that does not exist is created, private or not. Raises InputError if the Hub refuses or cannot answer.
    """
    place = parse(address)
    with _explained(address):
        from huggingface_hub import CommitOperationAdd, HfApi

        if not _answers():
            raise InputError(f"the Hub cannot be reached, so nothing was uploaded to {address}; check the network")
        api = HfApi()
        url = str(api.create_repo(place.repo, private=private, exist_ok=True))
        files: dict[str, str | bytes] = {place.inside(path.name): str(path)}
        if not api.file_exists(place.repo, "README.md", revision=place.revision):
            files |= card
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()]
        api.create_commit(
            place.repo, operations, commit_message=f"Upload {path.name} with ancestral", revision=place.revision
        )
    return url


def _answers() -> bool:
    """Ask the Hub for anything, in a thread, since the look-up of its name cannot be given a time limit."""
    from huggingface_hub import constants, get_session

    answer = threading.Event()

    def ask() -> None:
        with contextlib.suppress(Exception):  # whatever the HTTP library raises, there was no answer
            get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
            answer.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_TIMEOUT)
    return answer.is_set()


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn the exceptions of huggingface_hub into an InputError that says what to do."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise InputError(f"{address} needs one more package: {install_command('hub')}") from None
    reasons = {
        errors.GatedRepoError: "{0} is gated: ask for access on its page, then log in with `hf auth login`",
        errors.RepositoryNotFoundError: "there is no {0}, or it is private: check the name, or `hf auth login`",
        errors.RevisionNotFoundError: "{0} has no such revision; leave @ and what follows out for the newest",
        errors.LocalEntryNotFoundError: "{0} is not in the cache and the Hub cannot be reached; check the network",
        errors.EntryNotFoundError: "{0} holds no model of ancestral's; give the folder of it: hf://user/repo/folder",
        errors.HFValidationError: "{0} is no address: {1}",
        Exception: "the Hub refused {0}, or cannot be reached: {1}",
    }
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of the HTTP library, which depends on the version, or of an answer that is no JSON
        reason = next(text for kind, text in reasons.items() if isinstance(error, kind))
        raise InputError(reason.format(address, " ".join(str(error).split()) or type(error).__name__)) from None
