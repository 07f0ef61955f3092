"""Models in memory, so that the next samples of one begin at once."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ancestral.model import Model

MOST_MODELS = 3
"""Number of models that stay in memory."""


class LoadedModels:
    """The most recently used models. A file that has changed, as while it is trained, is loaded again."""

    def __init__(self) -> None:
        self._models: OrderedDict[tuple[str, int, int, str], Model] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str | Path, device: str = "auto") -> "Model":
        """Return a model.

        Args:
            path: Its run folder or its file.
            device: The device, as the option has it.

        Raises:
            InputError: If it cannot be loaded.
        """
        from ancestral.model import find, load  # needs torch

        file = find(path)
        facts = file.stat() if file.exists() else None
        key = (str(file), facts.st_mtime_ns if facts else 0, facts.st_size if facts else 0, device)
        with self._lock:
            if key not in self._models:
                self._models[key] = load(file, device)
                for old in [
                    other for other in self._models if other[0] == key[0] and other != key and other[3] == device
                ]:
                    del self._models[old]
            self._models.move_to_end(key)
            while len(self._models) > MOST_MODELS:
                self._models.popitem(last=False)
            return self._models[key]
