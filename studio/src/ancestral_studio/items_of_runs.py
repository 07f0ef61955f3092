"""Training items in memory, so that those nearest to the next sample are found at once."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ancestral.model import Model
    from ancestral.use_cases.training.training_neighbours import TrainingItems

MOST_ITEM_BYTES = 64 << 20
"""Largest number of bytes of the items of a run that are read from a disk, so that memory is bounded."""
MOST_RUNS = 2
"""Number of runs whose items stay in memory."""


class ItemsOfRuns:
    """The training items of the runs that were asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[tuple[Path, int], TrainingItems] = OrderedDict()

    def of(self, model: Model) -> TrainingItems:
        """Return the items that a model in a file was trained on.

        Raises:
            InputError: If they cannot be read.
        """
        from ancestral.base.events import finish
        from ancestral.use_cases.training.training_neighbours import training_items

        assert model.file is not None
        key, spec = (model.file, model.file.stat().st_mtime_ns), model.spec
        with self._lock:  # two requests at once read the data once
            if key not in self._items:
                each = math.prod(spec.shape) * spec.codec.dtype.itemsize
                self._items[key] = finish(training_items(model, max(1, MOST_ITEM_BYTES // each)))
                while len(self._items) > MOST_RUNS:
                    self._items.popitem(last=False)
            self._items.move_to_end(key)
            return self._items[key]
