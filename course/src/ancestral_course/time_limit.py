"""A time limit for the code of a student, which may never end."""

import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator

SECONDS = 20.0
"""Time that a function has for the evaluations of its check."""
SLOWEST = 8
"""How often the time limit passes on the clock, at most: of a busy machine a function gets a part."""
AGAIN = 1.0
"""Seconds until a function that caught the exception gets it again."""
MOST_CAUGHT = 3
"""How often a function may catch it before its process is killed, where that is allowed."""
KILLED = 75
"""Exit code of such a process."""
kills = False
"""Whether the process may be killed: it is one that was started for the file of a student."""


class TimeLimit(BaseException):
    """The code of the student ran for too long. It is no Exception, which this code may catch."""


@contextlib.contextmanager
def time_limit(seconds: float | None = None, text: str = "does a loop in it never end?") -> Iterator[None]:
    """End the block by an exception when its thread has computed for too long.

    The time is that of the processor, so that a busy machine refuses nothing. A block that waits, as for input, ends
    after `SLOWEST` times as many seconds on the clock. Where the system has no such timer, or in another thread than
    the main one, there is no limit: the process that `ancestral-course check` starts for the file of a student has one.

    Args:
        seconds: The time; None is `SECONDS`.
        text: What may be the cause.

    Raises:
        TimeLimit: The block took longer.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    most = SECONDS if seconds is None else seconds
    began, computed = time.monotonic(), time.thread_time()

    caught = 0

    def end(*_: object) -> None:
        nonlocal caught
        left = most - (time.thread_time() - computed)
        if left > 0 and time.monotonic() - began < SLOWEST * most:
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))
            return
        if kills and caught >= MOST_CAUGHT:
            os._exit(KILLED)
        caught += 1
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise TimeLimit(f"it did not end within {most:g} s: {text}")

    handler = signal.signal(signal.SIGALRM, end)
    outer, interval = signal.setitimer(signal.ITIMER_REAL, most)
    if kills:  # also where a function of C does not return
        faulthandler.dump_traceback_later(SLOWEST * most + 2 * MOST_CAUGHT * AGAIN, exit=True)
    try:
        yield
    finally:
        if kills:
            faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer:  # that of a test, or of another block
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), 0.01), interval)
