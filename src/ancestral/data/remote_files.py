"""Files in object storage: s3://bucket/folder, gs://bucket/folder, and all other addresses that fsspec can open.

A folder is listed once. Its objects are read by index, whole or in parts, and kept in `object_cache` under their name,
size and version, so that one that was replaced is fetched again.
"""

import bisect
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ancestral.base.errors import InputError, one_line
from ancestral.config.data_sources import FILE_SUFFIXES
from ancestral.config.run_files import CONFIG, IN_RUN, RUNS
from ancestral.data import object_cache
from ancestral.data.files import LARGEST_FILE, Files, NameList, Section, SourceLost, Unreadable, suffix_of
from ancestral.data.object_requests import (
    CONCURRENT,
    NO_BUCKET,
    NUMBERED,
    check_online,
    explained,
    file_system,
    is_transient,
    listed,
    numbered,
    paused_attempts,
    tried,
    version_of,
)

SMALL_OBJECT = 1 << 20
"""Largest size in bytes of an object of which the whole is fetched when its first bytes are needed."""
BLOCK_BYTES = 1 << 23
"""Size in bytes of the parts in which a large object is fetched."""
STREAMED = 1 << 21
"""Size in bytes of the parts in which an object is read that is not kept."""
MD5 = re.compile(r"[0-9a-f]{32}")


class RemoteFiles(Files):
    """The objects below an address, as they were when it was listed."""

    threads = CONCURRENT

    def __init__(self, address: str) -> None:
        """List the objects.

        Args:
            address: The address of a folder, of one object that ends in .tar, .npy or .npz, or of several by their
                numbers, as in s3://bucket/shard-{000..099}.tar.

        Raises:
            InputError: If there is nothing, or access is denied; SourceLost if the place does not respond.
        """
        self.protocol, _, path = address.partition("://")
        if not path.partition("/")[0]:
            raise InputError(f"{one_line(address)} names no bucket: write {self.protocol}://bucket/folder")
        if "@" in path.partition("/")[0]:
            raise InputError(
                f"an address with a password, of {self.protocol}, would be written into the run: set it in the "
                f"environment, as in FSSPEC_{self.protocol.upper()}_PASSWORD"
            )
        pattern = address.rstrip("/")
        single = bool(NUMBERED.search(pattern)) or pattern.lower().endswith(FILE_SUFFIXES)
        self.address = pattern.rpartition("/")[0] if single else pattern
        self.only = [name.encode() for name in numbered(pattern.rpartition("/")[2])] if single else []
        """The objects that the address names, "" of a folder."""
        objects = listed(pattern, self.address, [os.fsdecode(name) for name in self.only])
        names = sorted(objects)
        self._names = NameList(b"".join(name + b"\0" for name in names))
        self._sizes = np.array([objects[name][0] for name in names], np.int64)
        self._versions = NameList(b"".join(objects[name][1].encode() + b"\0" for name in names))
        for name in self.only:
            if not self.has(name):
                raise InputError(f"there is no {self.address_of(name)}: check the address")
        self._all_fit = int(self._sizes.sum()) <= object_cache.limit()

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
        endings, outputs = tuple(map(os.fsencode, suffixes)), self._outputs()
        reported = set[bytes]()
        if others is not None:
            rest = (name for name in self._names if not name.lower().endswith(endings) and b"/." not in b"/" + name)
            others.update(suffix_of(name) for name in rest if not outputs.intersection(_folders(name)))
        for name in sorted((name for name in self._names if name.lower().endswith(endings)), key=_by_parts):
            folder = next((folder for folder in _folders(name) if folder in outputs), None)
            if folder is not None:
                if folder not in reported:
                    runs.append(one_line(os.fsdecode(folder)))
                reported.add(folder)
            elif not name.startswith(b".") and b"/." not in name:
                yield name

    def top(self) -> set[str]:
        """Return the suffixes of the objects in the folder itself, and "/" if there is one in a sub-folder."""
        shown = (os.fsdecode(name) for name in self._names if not name.startswith(b"."))
        return {"/" if "/" in name else Path(name).suffix.lower() for name in shown}

    def first_suffix(self, suffixes: Collection[str]) -> str | None:
        """Return the suffix of the first object with one of these; None without one."""
        return next(map(suffix_of, self.names(suffixes, [], [])), None)

    def has(self, name: bytes) -> bool:
        """See `Files.has`."""
        row = bisect.bisect_left(self._names, name)
        return row < len(self._names) and self._names[row] == name

    def size(self, name: bytes) -> int:
        """See `Files.size`."""
        return int(self._sizes[self._row(name)])

    def version(self, name: bytes) -> str:
        """See `Files.version`."""
        row = self._row(name)
        return f"{self.address_of(name)} {self._sizes[row]} {os.fsdecode(self._versions[row])}"

    def read(self, name: bytes, size: int = -1) -> bytes:
        """See `Files.read`. An object is kept, unless it is large and only its first bytes are needed."""
        whole = self.size(name)
        if whole > LARGEST_FILE:
            raise Unreadable(f"the object has more than {LARGEST_FILE >> 30} GiB")
        size = whole if size < 0 else min(size, whole)
        content = object_cache.read(self._key(name), whole, 0, size)
        if content is not None and len(content) == size:
            return content
        if size < whole and whole > SMALL_OBJECT:
            return self._fetched([(name, 0, size)])[0]
        with object_cache.claimed(self._key(name)):
            content = object_cache.read(self._key(name), whole)
            if content is None or len(content) != whole:
                content = self._fetched([(name, 0, whole)])[0]
                object_cache.store(self._key(name), content)
        return content[:size]

    def section(self, place: Section) -> bytes:
        """See `Files.section`. Where all objects fit into the cache, the whole one is fetched, else the part alone."""
        name, start, size = place
        whole, key = self.size(name), self._key(name)
        content = object_cache.read(key, whole, start, size)
        if content is None and self._all_fit and self._keep(name):
            content = object_cache.read(key, whole, start, size)
        if content is None:
            key = self._key(*place)
            content = object_cache.read(key, size)
            if content is None:
                content = self._fetched([place])[0]
                object_cache.store(key, content)
        return content

    def stream(self, name: bytes) -> BinaryIO:
        """See `Files.stream`."""
        if self._all_fit and self._keep(name):
            try:
                return object_cache.path_of(self._key(name)).open("rb")
            except OSError:  # another process needed the room
                pass
        return io.BufferedReader(_Parts(self, name), STREAMED)

    def local(self, name: bytes) -> Path:
        """See `Files.local`."""
        if not self._keep(name):
            raise SourceLost(
                f"{self.address_of(name)} has {self.size(name):,} bytes, for which the cache {object_cache.folder()} "
                f"has no room: make some, or give {object_cache.LIMIT} more GiB"
            )
        return object_cache.path_of(self._key(name))

    def prefetch(self, names: Sequence[bytes]) -> None:
        """See `Files.prefetch`."""
        self._prefetch([(name, 0, self.size(name)) for name in names], self._key)

    def prefetch_sections(self, places: Sequence[Section]) -> None:
        """See `Files.prefetch_sections`."""
        if not self._all_fit:
            missing = [place for place in places if not object_cache.has(self._key(place[0]), self.size(place[0]))]
            self._prefetch(missing, lambda name: "")

    def _prefetch(self, places: Sequence[Section], key_of_whole: Callable[[bytes], str]) -> None:
        """Fetch and keep what is not in the cache; what fails is tried again, and its error raised, when it is read."""
        keys = [key_of_whole(place[0]) or self._key(*place) for place in places]
        missing = {
            key: place
            for key, place in zip(keys, places, strict=True)
            if 0 < place[2] <= LARGEST_FILE and not object_cache.has(key, place[2])
        }
        if len(missing) > 1:
            for key, content in zip(missing, self._answers([*missing.values()], attempts=1), strict=True):
                if isinstance(content, bytes):
                    object_cache.store(key, content)

    def _keep(self, name: bytes) -> bool:
        """Fetch a whole object into the cache in blocks, if there is room; True if it is there then."""
        whole, key = self.size(name), self._key(name)
        if object_cache.has(key, whole):
            return True
        with object_cache.claimed(key):
            if object_cache.has(key, whole):
                return True
            try:
                with object_cache.writing(key, whole) as file:
                    places = [(name, start, min(BLOCK_BYTES, whole - start)) for start in range(0, whole, BLOCK_BYTES)]
                    digest, at_once = hashlib.md5(usedforsecurity=False), CONCURRENT // 2
                    for first in range(0, len(places), at_once):
                        for block in self._fetched(places[first : first + at_once], checked=False):
                            digest.update(block)
                            file.write(block)
                    self._check(name, digest.hexdigest())
            except OSError:  # of the cache; those of requests are explained
                return False
        return True

    def _row(self, name: bytes) -> int:
        row = bisect.bisect_left(self._names, name)
        if row == len(self._names) or self._names[row] != name:
            raise Unreadable("no such object")
        return row

    def _key(self, name: bytes, *place: int) -> str:
        return object_cache.key_of(self.version(name), *place)

    def _fetched(self, places: Sequence[Section], checked: bool = True) -> list[bytes]:
        """Fetch parts of objects. Raises Unreadable or SourceLost for the first that cannot be had."""
        contents = list[bytes]()
        for (name, _, _), answer in zip(places, self._answers(places, checked=checked), strict=True):
            if not isinstance(answer, bytes):
                raise self._error(answer, name)
            contents.append(answer)
        return contents

    def _answers(
        self, places: Sequence[Section], attempts: int | None = None, checked: bool = True
    ) -> list[bytes | Exception]:
        """Request parts of objects at the same time; the answers are their bytes, or errors after some attempts."""
        check_online(self.address)
        answers: dict[int, bytes | Exception] = {row: b"" for row, place in enumerate(places) if not place[2]}
        rows = [row for row in range(len(places)) if row not in answers]
        for _ in paused_attempts(self.address, attempts) if rows else ():
            asked = [places[row] for row in rows]
            try:
                system, root = file_system(self.address)
                contents: list[Any] = system.cat_ranges(
                    [f"{root}/{os.fsdecode(name)}" for name, _, _ in asked],
                    [start for _, start, _ in asked],
                    [start + size for _, start, size in asked],
                    on_error="return",
                    **({"batch_size": CONCURRENT} if system.async_impl else {}),
                )
            except Exception as error:  # of the file system as a whole
                contents = [error] * len(asked)
            for row, (name, start, size), content in zip(rows, asked, contents, strict=True):
                if isinstance(content, bytes) and len(content) != size:
                    content = OSError(f"the connection was cut after {len(content):,} of {size:,} bytes")
                elif isinstance(content, bytes) and checked and not start and size == self.size(name):
                    try:
                        self._check(name, hashlib.md5(content, usedforsecurity=False).hexdigest())
                    except (Unreadable, SourceLost) as error:
                        content = error
                answers[row] = content
            rows = [row for row in rows if is_transient(answers[row])]
            if not rows:
                break
        return [answers[row] for row in range(len(places))]

    def _check(self, name: bytes, md5: str) -> None:
        """Check the content of a whole object, where its version is an MD5. Raises Unreadable if it is another one."""
        version = os.fsdecode(self._versions[self._row(name)]).strip('"')
        if not MD5.fullmatch(version) or version == md5:
            return
        # Encrypted objects have versions that look like an MD5 and are none: ask which one the object has now.
        try:
            now = tried(self.address, lambda system, root: system.info(f"{root}/{os.fsdecode(name)}"))
        except Exception as error:
            raise self._error(error, name) from None
        if version_of(now).strip('"') != version:
            raise Unreadable("the object was replaced since the data were listed")
        if int(now.get("size") or 0) != self.size(name):
            raise Unreadable("the object has another size than was listed")

    def _error(self, error: Exception, name: bytes) -> Exception:
        """What an error of a request for an object means: that this one is gone, or that the place is lost."""
        if isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error):
            return Unreadable("the object was deleted since the data were listed")
        return error if isinstance(error, Unreadable) else explained(error, self.address_of(name))

    def _outputs(self) -> set[bytes]:
        """The folders that are runs, and folders called RUNS that hold one."""
        runs = set[bytes]()
        for name in self._names:
            if name.endswith(b"/" + CONFIG.encode()):
                folder = name.rpartition(b"/")[0]
                files = [b"%s/%s" % (folder, file.encode()) for file in IN_RUN]
                rows = [bisect.bisect_left(self._names, file) for file in files]
                nexts = [self._names[row] if row < len(self._names) else b"" for row in rows]
                if any(
                    next_ == file or next_.startswith(file + b"/") for file, next_ in zip(files, nexts, strict=True)
                ):
                    runs.add(folder)
        parents = {folder.rpartition(b"/")[0] for folder in runs}
        return runs | {parent for parent in parents if parent.rpartition(b"/")[2] == RUNS.encode()}


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
        content = self._files._fetched([(self._name, self._place, size)])[0]
        buffer[:size] = content
        self._place += size
        return size


def _by_parts(name: bytes) -> bytes:
    """A text in whose order names are in the order of their parts."""
    return name.replace(b"/", b"\0")


def _folders(name: bytes) -> Iterator[bytes]:
    """The folders that a file lies in, from the top down."""
    place = name.find(b"/")
    while place >= 0:
        yield name[:place]
        place = name.find(b"/", place + 1)
