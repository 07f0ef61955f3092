"""Functions that are called when something happens, in whatever thread that is."""

import threading
from collections.abc import Callable


class Listeners:
    """Those who wait for something to happen."""

    def __init__(self) -> None:
        self._wakes: set[Callable[[], None]] = set()
        self._lock = threading.RLock()  # a signal may come while this thread holds it

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have a function called each time, in the thread in which it happens. Returns what ends this."""
        with self._lock:
            self._wakes.add(wake)

        def leave() -> None:
            with self._lock:
                self._wakes.discard(wake)

        return leave

    @property
    def waiting(self) -> bool:
        """Whether anybody listens."""
        return bool(self._wakes)

    def call(self) -> None:
        """Call all functions."""
        with self._lock:
            wakes = list(self._wakes)
        for wake in wakes:
            wake()
