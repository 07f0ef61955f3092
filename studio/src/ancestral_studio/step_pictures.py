"""The states of a reverse process as pictures: grids of tiles without gaps, of x_t and of the estimate of x_0."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ancestral.base.events import State
from ancestral.conditions import Limits
from ancestral.render.pictures import bare_tiles, channels_shown, grid_columns, with_legend
from ancestral.render.writers import write_picture
from ancestral_studio.history_entry import STEPS_FILE, HistoryEntry

PICTURES_FOLDER = Path(STEPS_FILE).stem
FAST = 1
"""Compression of the pictures, of 9: noise hardly shrinks, and the computation waits."""


class StepPictures:
    """Writes the pictures of the states of a job.

    Args:
        entry: The entry of the history that they belong to.
    """

    def __init__(self, entry: HistoryEntry) -> None:
        self._entry = entry
        self._task, self._first, self._last = "", 0, -1
        (entry.folder / PICTURES_FOLDER).mkdir(exist_ok=True)

    def add(self, state: State, limits: Limits | None) -> dict[str, Any]:
        """Write the two pictures of a state, and note it.

        Samples that are made in several batches have one picture for each state, to which each batch adds its tiles.
        Where a model follows another, its states go on in the numbers of those before.

        Args:
            state: The state.
            limits: Values of floats that are black and white.

        Returns:
            What pages get of it, with addresses of the pictures.
        """
        if state.task != self._task:
            self._task, self._first = state.task, self._last + 1
        index = self._first + state.index
        self._last = max(self._last, index)
        facts: dict[str, Any] = {"index": index, "total": self._first + state.total, "t": float(state.t)}
        for name, items in (("x", state.x), ("x0", state.x0)):
            tiles = bare_tiles(items, limits)
            points = items.ndim == 2
            columns = 1 if points else min(state.count, grid_columns(state.count, tiles.shape[1:]))
            start, count = (0, 1) if points else (state.positions[0], state.count)
            path = f"{PICTURES_FOLDER}/{index:04d}-{name}.png"
            _write(self._entry.folder / path, tiles.numpy(), start, columns, -(-count // columns))
            facts |= {
                name: path,
                "columns": columns,
                "count": start + len(tiles),
                "height": tiles.shape[2],
                "width": tiles.shape[3],
                "channels": [one._asdict() for one in channels_shown(limits)],
            }
        self._entry.add_step(facts)
        return self._entry.step_event(facts)


def write_last(entry: HistoryEntry, name: str, recipe: str = "", limits: Limits | None = None) -> None:
    """Write the estimates of the last state as a picture among the files, with the recipe of all samples if known, and
    of fields what is black and white.
    """
    steps = entry.steps()
    if steps:
        with Image.open(entry.folder / steps[-1]["x0"]) as image:
            write_picture(entry.files / name, with_legend(image, limits), recipe)


def sheet_of(
    tiles: NDArray[np.uint8], columns: int, rows: int = 0, start: int = 0, before: NDArray[np.uint8] | None = None
) -> Image.Image:
    """Place tiles in a grid without gaps.

    Args:
        tiles: The tiles (N, 1 or 3, H, W).
        columns: The number of columns.
        rows: The number of rows; 0 is as many as there are tiles for.
        start: The place of the first tile.
        before: The pixels of a grid of this size, whose other tiles stay; None is a grey one.
    """
    channels, height, width = tiles.shape[1:]
    shape = (rows or -(-len(tiles) // columns)) * height, columns * width, channels
    sheet = np.full(shape, 128, dtype=np.uint8) if before is None else before.reshape(shape)
    for place, tile in enumerate(tiles, start):
        row, column = divmod(place, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile.transpose(1, 2, 0)
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)


def _write(path: Path, tiles: NDArray[np.uint8], start: int, columns: int, rows: int) -> None:
    """Write tiles (N, C, H, W) into the grid of a picture, from a place on; those of earlier places stay."""
    before = None
    if start and path.exists():
        with Image.open(path) as image:
            before = np.array(image.convert("L" if tiles.shape[1] == 1 else "RGB"))
    temporary = path.with_name(f".{path.name}")
    sheet_of(tiles, columns, rows, start, before).save(temporary, format="PNG", compress_level=FAST)
    temporary.replace(path)  # not flushed to the disk, as hundreds come in a minute; a killed process loses nothing
