"""Requests of object storage: listings, versions, attempts and the errors that users get.

Each request is tried several times. fsspec and its file systems are an extra, imported where they are used.
"""

import base64
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from ancestral.base import storage
from ancestral.base.errors import InputError, install_command, one_line
from ancestral.base.quantities import plural
from ancestral.data import object_cache
from ancestral.data.files import OFFLINE, NameList, SourceLost, Unreadable, cache

T = TypeVar("T")
ATTEMPTS = 5
"""Number of times that a request is made before the place counts as lost."""
FIRST_RETRY_PAUSE = 0.2
"""Seconds between the first two attempts; each pause is twice the one before."""
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
"""Seconds within which a server must be reached, and send the next bytes."""
CONCURRENT = 16
"""Number of requests that are open at the same time in one process."""
NUMBERED = re.compile(r"\{(\d+)\.\.(\d+)\}")
"""A range of numbers in an address, as shells write it."""
VERSIONS = ("ETag", "etag", "generation", "Content-MD5", "LastModified", "Last-Modified", "mtime", "created")
"""Facts of an object, in the lists of several file systems, of which the first that there is stands for its version."""
NO_BUCKET = "bucket does not exist"
"""What S3 says of a bucket that is not there, for which the error is that of a missing object."""
EXTRA = "object-storage"
S3 = ("s3", "s3a")


def numbered(name: str) -> list[str]:
    """Return the names for which {000..099} stands: those with each number in its place, with as many digits."""
    match = NUMBERED.search(name)
    if match is None:
        return [name]
    first, last = match.groups()
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    head, tail = name[: match.start()], name[match.end() :]
    return [f"{head}{number:0{width}d}{rest}" for number in range(int(first), int(last) + 1) for rest in numbered(tail)]


def listed(pattern: str, address: str, only: Sequence[str]) -> dict[bytes, tuple[int, str]]:
    """Return the size and version of each object by its name, from its place or, offline, as it was listed last.

    Args:
        pattern: The address as it is given.
        address: That of the folder.
        only: The names of the objects that the address names; none of a folder.

    Raises:
        InputError: If there is nothing, or access is denied; SourceLost if the place does not respond.
    """
    file = cache() / "listings" / f"{object_cache.key_of(pattern)}.npz"
    if os.environ.get(OFFLINE):
        try:
            with np.load(file, allow_pickle=False) as arrays:
                names, versions = (NameList(arrays[key].tobytes()) for key in ("names", "versions"))
                rows = zip(names, arrays["sizes"].tolist(), versions, strict=True)
                return {name: (size, os.fsdecode(version)) for name, size, version in rows}
        except (OSError, ValueError, KeyError):
            check_online(pattern)
    objects = _objects(address, only)
    if not objects:
        raise InputError(f"there is nothing at {one_line(pattern)}: check the name of the bucket and of the folder")
    arrays = {
        "names": np.frombuffer(b"".join(name + b"\0" for name in objects), np.uint8),
        "versions": np.frombuffer(b"".join(v.encode() + b"\0" for _, v in objects.values()), np.uint8),
        "sizes": np.array([size for size, _ in objects.values()], np.int64),
    }
    try:
        with storage.atomic(file) as temporary:
            np.savez(temporary, **arrays)
    except OSError:
        pass  # without a cache it is listed again
    return objects


def explained(error: Exception, address: str) -> InputError:
    """Return the error that says in one line why an address cannot be read, and what to do."""
    protocol, bucket = address.partition("://")[0], address.partition("://")[2].partition("/")[0]
    if isinstance(error, InputError):
        return error
    reason, kind = one_line(error).strip() or type(error).__name__, type(error).__name__
    if isinstance(error, FileNotFoundError):
        what = f"bucket {bucket}" if NO_BUCKET in reason else address
        return SourceLost(f"there is no {what}: check the name")
    if isinstance(error, PermissionError) or "Forbidden" in kind or "Unauthorized" in kind:
        public = "; no credentials were found, so it was read as a public one" if _is_anonymous(protocol) else ""
        return SourceLost(f"access to {address} is denied ({reason}{public}): {_how_to_log_in(protocol)}")
    if "Credential" in kind or "Profile" in kind or "Token" in kind:
        return SourceLost(f"no valid credentials for {address} ({reason}): {_how_to_log_in(protocol)}")
    if "Redirect" in repr(error.__cause__) or "region" in reason.lower():
        return SourceLost(f"{address} is in another region ({reason}): set AWS_DEFAULT_REGION to that of the bucket")
    return SourceLost(f"{address} cannot be read after {plural(attempts_at(address), 'attempt')}: {reason}")


def _how_to_log_in(protocol: str) -> str:
    return {
        "s3": "log in with `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true "
        "reads public buckets without",
        "gs": "log in with `gcloud auth application-default login`; FSSPEC_GS_TOKEN=anon reads public buckets without",
    }.get(protocol, "check the login that its file system needs")


def check_online(address: str) -> None:
    """Raise InputError if nothing may be downloaded."""
    if os.environ.get(OFFLINE):
        raise InputError(f"{one_line(address)} is not in the cache of this machine, and {OFFLINE} is set")


def is_transient(answer: object) -> bool:
    """Whether a request may succeed when it is made again."""
    if not isinstance(answer, Exception) or isinstance(answer, Unreadable | InputError):
        return False
    final = (FileNotFoundError, PermissionError, IsADirectoryError, ImportError, TypeError, AttributeError)
    kind = type(answer).__name__
    return not isinstance(answer, final) and not any(word in kind for word in ("Credential", "Profile", "ParamValid"))


def attempts_at(address: str) -> int:
    """Return the number of attempts: the file system of Google's storage makes several of each of ours."""
    return 1 if address.startswith(("gs://", "gcs://")) else ATTEMPTS


def tried(address: str, request: Callable[[Any, str], T]) -> T:
    """Make a request of a file system and the path of an address in it. Raises the error of the last attempt."""
    for attempt in paused_attempts(address):
        try:
            return request(*file_system(address))
        except Exception as error:
            if not is_transient(error) or attempt == attempts_at(address) - 1:
                raise
    raise AssertionError


def paused_attempts(address: str, most: int | None = None) -> Iterator[int]:
    """Count the attempts of a request, after a pause each but the first; None is the number for the address."""
    pause = FIRST_RETRY_PAUSE
    for attempt in range(most or attempts_at(address)):
        if attempt:
            time.sleep(pause)
            pause *= 2
        yield attempt


def _objects(address: str, only: Sequence[str]) -> dict[bytes, tuple[int, str]]:
    """The size and version of the objects at an address by their names from there. Raises InputError."""

    def request(system: Any, root: str) -> Mapping[str, Any]:
        if len(only) == 1:
            return {f"{root}/{only[0]}": system.info(f"{root}/{only[0]}")}
        if only:
            return {info["name"]: info for info in system.ls(root, detail=True)}
        return cast("Mapping[str, Any]", system.find(root, detail=True))

    objects = dict[bytes, tuple[int, str]]()
    place = f"{address}/{only[0]}" if len(only) == 1 else address
    try:
        infos, root = tried(address, request), file_system(address)[1]
        for path, info in infos.items():
            name = path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else ""
            if info.get("type") == "file" and name and not name.endswith("/") and (not only or name in only):
                if info.get("size") is None or not version_of(info):  # as of web servers
                    info = tried(address, functools.partial(_info, path))
                objects[os.fsencode(name)] = (int(info.get("size") or 0), version_of(info))
    except Exception as error:
        raise explained(error, place) from None
    return objects


def _info(path: str, system: Any, _: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", system.info(path))


def version_of(info: Mapping[str, Any]) -> str:
    """The text that is another one when an object is replaced; "" if its file system has none."""
    if info.get("md5Hash"):  # of Google's storage
        return base64.b64decode(info["md5Hash"]).hex()
    return next((one_line(info[key]) for key in VERSIONS if info.get(key)), "")


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, one for each process, and the path in it. Raises InputError."""
    protocol = address.partition("://")[0]
    try:
        import fsspec

        system = fsspec.filesystem(protocol, **_options(protocol))
    except ImportError:
        raise InputError(f"{one_line(address)} is read by further packages: {install_command(EXTRA)}") from None
    except ValueError as error:
        raise InputError(f"{one_line(address)} cannot be opened ({error}): give s3://, gs:// or a path") from None
    if protocol in S3:
        system.retries = 1  # since requests are made again here
    return system, str(system._strip_protocol(address)).rstrip("/")


def _is_anonymous(protocol: str) -> bool:
    return protocol in S3 and bool(_options(protocol).get("anon"))


@functools.cache
def _options(protocol: str) -> Mapping[str, Any]:
    """The options of a file system that the user did not choose by fsspec's own variables and files."""
    from fsspec.config import conf

    chosen = conf.get(protocol, {})
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in S3:
        import botocore.session

        if "config_kwargs" not in chosen:
            retries = {"total_max_attempts": 1}
            timeouts = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT}
            options["config_kwargs"] = {**timeouts, "retries": retries}
        if not chosen.keys() & {"anon", "key", "profile", "session"}:
            session = botocore.session.get_session()
            if session.get_credentials() is None:
                options["anon"] = True
    return options
