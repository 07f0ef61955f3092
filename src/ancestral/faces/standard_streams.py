"""Standard output and error whose reader may go away: the work of a command, or of a function that is called from
Python, goes on, and what is printed is dropped.

The reader is another program (`ancestral train ... | head`), a terminal that is closed, or nobody from the beginning,
as with `>&-`.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

GONE = {errno.EPIPE, errno.EIO}
"""Errors of a pipe that nobody reads, and of a terminal that was closed."""


class _Output(io.FileIO):
    is_dropped = False

    def write(self, data: Any, /) -> int:
        """Write, or replace the file by the null device for good if its reader is gone."""
        if self.is_dropped:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                raise
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, self.fileno())
        os.close(silence)
        return super().write(data)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error outlast their readers within the block. A name that they cannot show is escaped."""
    _reserve_descriptors()
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        streams = tuple(_lasting(stream, stack) for stream in before)
        sys.stdout, sys.stderr = streams
        try:
            yield
        finally:
            for stream in streams:
                _flush(stream)
            sys.stdout, sys.stderr = before


def _flush(stream: TextIO) -> None:
    """Write what is left, or drop it on a full disk: the command has failed by it, and Python would report it again."""
    try:
        stream.flush()
    except OSError:
        raw = getattr(stream.buffer, "raw", stream.buffer)
        if isinstance(raw, _Output):
            raw.is_dropped = True
            stream.flush()


def _reserve_descriptors() -> None:
    """Open the null device in the place of closed standard streams, or the next file that is opened takes it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the system gives the lowest free number


def _lasting(stream: TextIO | None, stack: contextlib.ExitStack) -> TextIO:
    """A stream that outlasts the reader of this one; one that is opened for it is closed with the stack."""
    if stream is None or stream.closed:  # None: before Python began
        return stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    with contextlib.suppress(OSError):  # what a script has printed comes first
        stream.flush()
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)  # Python opens standard streams without a buffer on request
    if type(raw) is not io.FileIO:
        return stream
    output = _Output(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        output if raw is stream.buffer else io.BufferedWriter(output),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
