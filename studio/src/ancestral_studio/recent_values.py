"""Values of files in memory, such as models, so that what is asked of one next begins at once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

from ancestral_studio.places import contents

V = TypeVar("V")


class RecentValues(Generic[V]):
    """The values that were used last. A file that has changed, as while it is trained, is read again.

    Args:
        most: Number of values that stay in memory.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._values: OrderedDict[Hashable, tuple[tuple[int, int], V]] = OrderedDict()

    def get(self, file: Path, read: Callable[[], V], variant: str = "") -> V:
        """Return the value of a file.

        Args:
            file: The file.
            read: Reads the value. It is called once where two threads ask at a time.
            variant: Which of several values of the file is meant.
        """
        key, state = (file, variant), contents(file)
        with self._lock:
            if key not in self._values or self._values[key][0] != state:
                self._values[key] = (state, read())
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
            return self._values[key][1]
