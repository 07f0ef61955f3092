"""Files in object storage: s3://bucket/folder, gs://bucket/folder, and all other addresses that obstore can open.

A folder is listed once. Its objects are read by index, whole or in parts, and kept in `object_cache` under their name,
size and version, so that one that was replaced is fetched again. obstore takes the login from the environment, makes
requests again that fail, and goes on where a connection was cut.
"""

import functools
import io
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from ancestral.base import storage
from ancestral.base.errors import InputError, install_command, one_line
from ancestral.base.options import option
from ancestral.config.data_sources import FILE_SUFFIXES
from ancestral.config.run_files import CONFIG, IN_RUN, RUNS
from ancestral.data import object_cache
from ancestral.data.files import LARGEST_FILE, OFFLINE, Files, Section, SourceLost, Unreadable, cache, suffix_of

SMALL_OBJECT = 1 << 20
"""Largest size in bytes of an object of which the whole is fetched when its first bytes are needed."""
BLOCK_BYTES = 1 << 23
"""Size in bytes of the parts in which a large object is fetched."""
STREAMED = 1 << 21
"""Size in bytes of the parts in which an object is read that is not kept."""
CONCURRENT = 16
"""Number of requests that are open at the same time in one process."""
CLIENT = {"allow_http": True, "read_timeout": timedelta(seconds=30), "timeout": timedelta(hours=1)}
"""Servers without TLS are those that the user names. The time between two parts of an answer is limited to 30 s."""
RETRY = {"max_retries": 4, "retry_timeout": timedelta(minutes=1)}
"""Requests are made again after 0.1 to 0.8 s, but none after a minute: then the loader of a training run waits."""
NUMBERED = re.compile(r"\{(\d+)\.\.(\d+)\}")
"""A range of numbers in an address, as shells write it."""
NO_BUCKET = "NoSuchBucket"
"""What S3 and Google say of a bucket that is not there."""
NO_LOGIN = re.compile("latest/api/token|latest/meta-data|computeMetadata")
"""The addresses at which machines of AWS and of Google ask for a login, in the error of a machine that has none."""
LOGIN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, after `aws configure` by "
    '`eval "$(aws configure export-credentials --format env)"`; AWS_SKIP_SIGNATURE=true reads public buckets without',
    "gs": "log in by `gcloud auth application-default login`; GOOGLE_SKIP_SIGNATURE=true reads public buckets without",
}
EXTRA = "object-storage"


class RemoteFiles(Files):
    """The objects below an address, as they were when it was listed."""

    threads = CONCURRENT
    fork_safe = False

    def __init__(self, address: str) -> None:
        """List the objects.

        Args:
            address: The address of a folder, of one object that ends in .tar, .npy or .npz, or of several by their
                numbers, as in s3://bucket/shard-{000..099}.tar.

        Raises:
            InputError: If there is nothing, or access is denied; SourceLost if the place does not respond.
        """
        protocol, _, path = address.partition("://")
        bucket = path.partition("/")[0]
        if not bucket:
            raise InputError(f"{one_line(address)} names no bucket: write {protocol}://bucket/folder")
        if "@" in bucket:
            raise InputError(
                f"an address with a password, of {protocol}, would be written into the run: copy the data to this "
                "machine, and name the copy"
            )
        pattern = address.rstrip("/")
        single = bool(NUMBERED.search(pattern)) or pattern.lower().endswith(FILE_SUFFIXES)
        self.address = pattern.rpartition("/")[0] if single else pattern
        self.only = [name.encode() for name in numbered(pattern.rpartition("/")[2])] if single else []
        """The objects that the address names, "" of a folder."""
        self._anonymous = False
        objects = self._listed(pattern)
        self._objects = dict(sorted(objects.items(), key=lambda item: item[0].replace(b"/", b"\0")))
        """The size and the version of each object, in the order of the parts of their names."""
        self._all_fit = sum(size for size, _ in objects.values()) <= object_cache.limit()

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address, in one line."""
        return one_line(self.address.rpartition("/")[2])

    def address_of(self, name: bytes) -> str:
        """Return the address of an object, in one line."""
        return one_line(f"{self.address}/{os.fsdecode(name)}")

    def names(
        self, suffixes: Iterable[str], skipped: list[str], runs: list[str], others: Counter[str] | None = None
    ) -> Iterator[bytes]:
        """See `Files.names`."""
        endings, outputs, reported = tuple(map(os.fsencode, suffixes)), _outputs(self._objects), set[bytes]()
        for name in self._objects:
            is_named = name.lower().endswith(endings)
            folder = next((folder for folder in _folders(name) if folder in outputs), None)
            if folder is not None:
                if is_named and folder not in reported:
                    runs.append(one_line(os.fsdecode(folder)))
                    reported.add(folder)
            elif b"/." not in b"/" + name:
                if is_named:
                    yield name
                elif others is not None:
                    others[suffix_of(name)] += 1

    def top(self) -> set[str]:
        """Return the suffixes of the objects in the folder itself, and "/" if there is one in a sub-folder."""
        shown = (name for name in self._objects if not name.startswith(b"."))
        return {"/" if b"/" in name else suffix_of(name) for name in shown}

    def first_suffix(self, suffixes: Collection[str]) -> str | None:
        """Return the suffix of the first object with one of these; None without one."""
        return next(map(suffix_of, self.names(suffixes, [], [])), None)

    def has(self, name: bytes) -> bool:
        """See `Files.has`."""
        return name in self._objects

    def size(self, name: bytes) -> int:
        """See `Files.size`."""
        return self._object(name)[0]

    def version(self, name: bytes) -> str:
        """See `Files.version`."""
        size, version = self._object(name)
        return f"{self.address_of(name)} {size} {version}"

    def read(self, name: bytes, size: int = -1) -> bytes:
        """See `Files.read`. An object is kept, unless it is large and only its first bytes are needed."""
        whole = self.size(name)
        if whole > LARGEST_FILE:
            raise Unreadable(f"the object has more than {LARGEST_FILE >> 30} GiB")
        size = whole if size < 0 else min(size, whole)
        return self._kept((name, 0, size), by_whole=size == whole or whole <= SMALL_OBJECT)

    def section(self, place: Section) -> bytes:
        """See `Files.section`. Where all objects fit into the cache, the whole one is fetched, else the part alone."""
        return self._kept(place, by_whole=self._all_fit)

    def stream(self, name: bytes) -> BinaryIO:
        """See `Files.stream`."""
        if self._all_fit and self._keep(self._whole(name)):
            with suppress(OSError):  # another process needed the room
                return self._path(name).open("rb")
        return io.BufferedReader(_Parts(self, name), STREAMED)

    def local(self, name: bytes) -> Path:
        """See `Files.local`."""
        if not self._keep(self._whole(name)):
            raise SourceLost(
                f"{self.address_of(name)} has {self.size(name):,} bytes, for which the cache {object_cache.folder()} "
                f"has no room: make some, or give {object_cache.LIMIT} more GiB"
            )
        return self._path(name)

    def prefetch(self, names: Sequence[bytes]) -> None:
        """See `Files.prefetch`."""
        self._prefetch([self._whole(name) for name in names if self.size(name) <= LARGEST_FILE])

    def prefetch_sections(self, places: Sequence[Section]) -> None:
        """See `Files.prefetch_sections`."""
        if not self._all_fit:
            self._prefetch([place for place in places if not self._has(self._whole(place[0]))])

    def fetch(self, place: Section) -> bytes:
        """Fetch a part of an object, past the cache. Raises as `read`."""
        name, start, size = place
        whole, version = self._object(name)
        if not size:
            return b""
        try:
            options = {"range": (start, start + size)} if size < whole else None
            answer = _client(self.address, self._anonymous).get(os.fsdecode(name), options=options)
            current, whole_now, content = _version(answer.meta), answer.meta["size"], bytes(answer.bytes())
        except FileNotFoundError as error:
            if NO_BUCKET in str(error):
                raise _explained(error, self.address) from None
            raise Unreadable("the object was deleted since the data were listed") from None
        except Exception as error:
            raise _explained(error, self.address_of(name)) from None
        if current != version:
            raise Unreadable("the object was replaced since the data were listed")
        if (len(content), whole_now) != (size, whole):
            raise SourceLost(
                f"{self.address_of(name)} cannot be read: {len(content):,} of {size:,} bytes came, and it has "
                f"{whole_now:,} bytes in all, {whole:,} by the list"
            )
        return content

    def _kept(self, place: Section, by_whole: bool) -> bytes:
        """A part of an object from the cache, where the whole object or the part alone is kept first."""
        whole = self._whole(place[0])
        content = self._cached(whole, place)
        entry = whole if by_whole else place
        if content is None and self._keep(entry):
            content = self._cached(entry, place)
        return self.fetch(place) if content is None else content

    def _cached(self, entry: Section, place: Section) -> bytes | None:
        """A part of an object from an entry of the cache that has it; None if there is no such entry."""
        return object_cache.read(self._key(entry), entry[2], place[1] - entry[1], place[2])

    def _keep(self, place: Section) -> bool:
        """Fetch a part of an object into the cache, if there is room; True if it is there then."""
        name, start, size = place
        stop = start + size
        places = [(name, first, min(BLOCK_BYTES, stop - first)) for first in range(start, stop, BLOCK_BYTES)]
        return object_cache.keep(self._key(place), size, self._blocks(places))

    def _blocks(self, places: Sequence[Section]) -> Iterator[bytes]:
        """Parts of objects, some of which are fetched at the same time."""
        with ThreadPoolExecutor(min(len(places), CONCURRENT) or 1) as pool:
            for first in range(0, len(places), CONCURRENT):
                yield from pool.map(self.fetch, places[first : first + CONCURRENT])

    def _prefetch(self, places: Sequence[Section]) -> None:
        """Keep parts at the same time, until one of them fails: its error is raised when it is read."""
        missing = [place for place in dict.fromkeys(places) if not self._has(place)]
        with suppress(Unreadable, SourceLost), ThreadPoolExecutor(CONCURRENT) as pool:
            for _ in pool.map(self._keep, missing):
                pass

    def _whole(self, name: bytes) -> Section:
        return name, 0, self.size(name)

    def _has(self, place: Section) -> bool:
        return object_cache.has(self._key(place), place[2])

    def _path(self, name: bytes) -> Path:
        return object_cache.path_of(self._key(self._whole(name)))

    def _key(self, place: Section) -> str:
        return object_cache.key_of(self.version(place[0]), *place[1:])

    def _object(self, name: bytes) -> tuple[int, str]:
        if name not in self._objects:
            raise Unreadable("no such object")
        return self._objects[name]

    def _listed(self, pattern: str) -> dict[bytes, tuple[int, str]]:
        """The size and version of each object by its name, from its place or, offline, as it was listed last."""
        file = cache() / "listings" / f"{object_cache.key_of(pattern)}.json"
        objects = dict[str, tuple[int, str]]()
        if os.environ.get(OFFLINE):
            with suppress(OSError, ValueError):
                objects = json.loads(file.read_bytes())
        if not objects:
            objects = self._requested()
            with suppress(OSError), storage.atomic(file) as temporary:  # without a cache it is listed again
                temporary.write_text(json.dumps(objects))
        if not objects:
            raise InputError(f"there is nothing at {one_line(pattern)}: check the name of the bucket and of the folder")
        return {os.fsencode(name): (size, version) for name, (size, version) in objects.items()}

    def _requested(self) -> dict[str, tuple[int, str]]:
        """The size and version of each object by its name. Raises InputError."""
        client = _client(self.address, self._anonymous)
        try:
            if self.only:
                with ThreadPoolExecutor(CONCURRENT) as pool:
                    metas = list(pool.map(functools.partial(self._head, client), self.only))
            else:
                metas = [meta for meta in client.list().collect() if meta["size"] or Path(meta["path"]).suffix]
        except Exception as error:
            if NO_LOGIN.search(str(error)) and not self._anonymous:
                self._anonymous = True
                return self._requested()
            public = "; no login was found, so it was read as a public one" if self._anonymous else ""
            raise _explained(error, self.address, public) from None
        return {meta["path"]: (meta["size"], _version(meta)) for meta in metas}

    def _head(self, client: Any, name: bytes) -> Any:
        try:
            return client.head(os.fsdecode(name))
        except FileNotFoundError:
            raise InputError(f"there is no {self.address_of(name)}: check the address") from None


class _Parts(io.RawIOBase):
    """An object as a file that is read by requests for its parts."""

    def __init__(self, files: RemoteFiles, name: bytes) -> None:
        self._files, self._name, self._place, self._size = files, name, 0, files.size(name)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._size - self._place))
        buffer[:size] = self._files.fetch((self._name, self._place, size))
        self._place += size
        return size


def numbered(name: str) -> list[str]:
    """Return the names for which {000..099} stands: those with each number in its place, with as many digits."""
    match = NUMBERED.search(name)
    if match is None:
        return [name]
    first, last = match.groups()
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    head, tail = name[: match.start()], name[match.end() :]
    return [f"{head}{number:0{width}d}{rest}" for number in range(int(first), int(last) + 1) for rest in numbered(tail)]


def _client(address: str, anonymous: bool) -> Any:
    """The client of obstore for an address, one for each process. Raises InputError."""
    if os.environ.get(OFFLINE):
        raise InputError(f"{one_line(address)} is not in the cache of this machine, and {OFFLINE} is set")
    if _first_process() != os.getpid():  # it would wait for threads that only the first process has
        raise InputError(
            f"{one_line(address)} cannot be read in a process that was forked: start processes by spawn, or read by "
            f"{option('workers', 0)}"
        )
    return _opened(address, anonymous)


@functools.cache
def _first_process() -> int:
    """The process that made the first request, also in those that are forked from it later."""
    return os.getpid()


@functools.cache
def _opened(address: str, anonymous: bool) -> Any:
    protocol, _, path = address.partition("://")
    url = f"{'gs' if protocol == 'gcs' else protocol}://{quote(path, safe='/:')}"
    try:
        from obstore.store import from_url

        options: dict[str, Any] = {"skip_signature": True} if anonymous else {}
        return from_url(url, **options | {"client_options": CLIENT, "retry_config": RETRY})
    except ImportError:
        raise InputError(f"{one_line(address)} is read by a further package: {install_command(EXTRA)}") from None
    except Exception as error:
        raise InputError(
            f"{one_line(address)} cannot be opened ({_reason(error)}): give s3://, gs:// or a path"
        ) from None


def _explained(error: Exception, address: str, remark: str = "") -> InputError:
    """The error that says in one line why an address cannot be read, and what to do."""
    protocol, _, path = address.partition("://")
    reason = _reason(error) + remark
    if isinstance(error, InputError):
        return error
    if NO_BUCKET in reason:
        return SourceLost(f"there is no bucket {path.partition('/')[0]}: check the name")
    if re.search(r"\b40[13]\b", reason):
        advice = LOGIN.get(protocol, "check the login that its server needs")
        return SourceLost(f"access to {address} is denied ({reason}): {advice}")
    if "region" in reason.lower():
        return SourceLost(f"{address} is in another region ({reason}): set AWS_DEFAULT_REGION to that of the bucket")
    return SourceLost(f"{address} cannot be read: {reason}")


def _reason(error: Exception) -> str:
    """What obstore and the server say, in one line, without the tags of XML and the source of the error."""
    text = re.sub(r"<[^>]*>", " ", str(error).partition("\n\nDebug source")[0])
    return one_line(" ".join(text.split()))[:400] or type(error).__name__


def _version(meta: Mapping[str, Any]) -> str:
    """The text that is another one when an object is replaced."""
    return one_line((meta["e_tag"] or f"{meta['last_modified']:%Y-%m-%dT%H:%M:%S}").strip('"'))


def _outputs(names: Collection[bytes]) -> set[bytes]:
    """The folders that are runs, and folders called RUNS that hold one."""
    configured = {name.rpartition(b"/")[0] for name in names if name.endswith(b"/" + CONFIG.encode())}
    parts, runs = {part.encode() for part in IN_RUN}, set[bytes]()
    for name in names if configured else ():
        for folder in configured.intersection(_folders(name)):
            if name[len(folder) + 1 :].partition(b"/")[0] in parts:
                runs.add(folder)
    parents = {folder.rpartition(b"/")[0] for folder in runs}
    return runs | {parent for parent in parents if parent.rpartition(b"/")[2] == RUNS.encode()}


def _folders(name: bytes) -> Iterator[bytes]:
    """The folders that a file lies in, from the top down."""
    place = name.find(b"/")
    while place >= 0:
        yield name[:place]
        place = name.find(b"/", place + 1)
