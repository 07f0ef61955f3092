"""Ctrl-C on the command line. A KeyboardInterrupt that passes through native code can abort the process or become
another error, so commands without work to save end at once: nothing is unwound, and temporary files are removed.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_CODE = 130
"""Exit code that shells report for a program that Ctrl-C ended."""
PREEMPTED = 75
"""Exit code of a training run that SIGTERM, SIGUSR1 or SIGHUP stopped after it was saved: EX_TEMPFAIL of sysexits.h, a
temporary failure, so that no scheduler takes the run for finished."""
MESSAGE = "ancestral: interrupted"
NATIVE_CODE_TIMEOUT = 0.5
"""Seconds that native code has to return after Ctrl-C."""

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


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let Ctrl-C end the process within the block, with one line and code 130.

    Python calls a handler when native code returns, and the gradient of a large network is one call. So a thread, which
    the signal wakes, ends the process if that takes longer than `NATIVE_CODE_TIMEOUT`.
    """
    with _replaced(signal.default_int_handler, _end), _watched():
        yield


def raised() -> contextlib.AbstractContextManager[None]:
    """Let Ctrl-C raise KeyboardInterrupt again within the block, for work that is saved or can go on later."""
    return _replaced(_end, signal.default_int_handler)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    if signal.getsignal(signal.SIGINT) is not _end or os.name == "nt":  # Windows takes no pipe
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    old_descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while signals := os.read(reading, 1):
            # where the signal saves, native code may take its time, and the block may be over after that time
            if signals[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is _end:
                time.sleep(NATIVE_CODE_TIMEOUT)
                if signal.getsignal(signal.SIGINT) is _end:
                    _end(signal.SIGINT, None)
        os.close(reading)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_descriptor)
        os.close(writing)


@contextlib.contextmanager
def _replaced(old_handler: object, new_handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Replace one handler by another. Other handlers stay, such as that of a program which ignores the signal."""
    main = threading.current_thread() is threading.main_thread()  # no other thread may handle signals
    if not main or signal.getsignal(signal.SIGINT) is not old_handler:
        yield
        return
    signal.signal(signal.SIGINT, new_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(ValueError):  # the thread that watches may not
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for undo in reversed(_undo):
        with contextlib.suppress(Exception):
            undo()
    with contextlib.suppress(Exception):  # it may be in use just now
        sys.stdout.flush()
    with contextlib.suppress(OSError):  # a progress bar is replaced, and the cursor that it hides is shown again
        os.write(2, f"{chr(13)}\x1b[K\x1b[?25h{MESSAGE}\n".encode() if os.isatty(2) else f"{MESSAGE}\n".encode())
    os._exit(EXIT_CODE)
