"""Ctrl-C on the command line. A KeyboardInterrupt that passes through native code can abort the process or become
another error, so commands without work to save end at once: nothing is unwound, and temporary files are removed.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_CODE = 130
"""What shells report for a program that Ctrl-C ended."""
MESSAGE = "ancestral: interrupted"

_undo: list[Callable[[], None]] = []


@contextlib.contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` at the end of the block, also if the process ends at once; it may be called twice."""
    _undo.append(undo)
    try:
        yield
    finally:
        undo()
        _undo.remove(undo)


def at_once() -> contextlib.AbstractContextManager[None]:
    """Let Ctrl-C end the process within the block, with one line and code 130."""
    return _replaced(signal.default_int_handler, _end)


def raised() -> contextlib.AbstractContextManager[None]:
    """Let Ctrl-C raise KeyboardInterrupt again within the block, for work that is saved or can go on later."""
    return _replaced(_end, signal.default_int_handler)


@contextlib.contextmanager
def _replaced(before: object, after: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Replace one handler by another. Other handlers stay, such as that of a program which ignores the signal."""
    main = threading.current_thread() is threading.main_thread()  # no other thread may handle signals
    if not main or signal.getsignal(signal.SIGINT) is not before:
        yield
        return
    signal.signal(signal.SIGINT, after)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for undo in reversed(_undo):
        with contextlib.suppress(Exception):
            undo()
    with contextlib.suppress(Exception):  # it may be in use just now
        sys.stdout.flush()
    with contextlib.suppress(OSError):  # a progress bar is replaced, and the cursor that it hides is shown again
        os.write(2, f"{chr(13)}\x1b[K\x1b[?25h{MESSAGE}\n".encode() if os.isatty(2) else f"{MESSAGE}\n".encode())
    os._exit(EXIT_CODE)
