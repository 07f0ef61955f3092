"""What a lesson expects of its results, said in place of an assertion: a changed lesson goes on."""

import inspect
import linecache
from types import FrameType


def expect(condition: object) -> None:
    """Print the condition if it does not hold; a lesson that a student changed goes on, with other results.

    Args:
        condition: A truth value, which is true with the settings of the lesson.
    """
    if condition:
        return
    frame = inspect.currentframe()
    print(f"Unlike the lesson, where this holds: {_source(frame.f_back) if frame else ''}")


def _source(frame: FrameType | None) -> str:
    """The source of the condition in the call that a frame is at, in one line."""
    place = inspect.getframeinfo(frame).positions if frame else None
    if frame is None or place is None or place.lineno is None or place.end_lineno is None:
        return "(a condition of this cell)"
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)[place.lineno - 1 : place.end_lineno]
    call = " ".join(line.strip() for line in lines)
    return call.partition("expect(")[2].rpartition(")")[0].strip() or "(a condition of this cell)"
