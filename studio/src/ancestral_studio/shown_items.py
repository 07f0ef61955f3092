"""Single items as pages show them: the slices of a volume along an axis as one picture, and a signal as a recording."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.faces.help_text import options_of
from ancestral.faces.words import read
from ancestral_studio.answers import MissingError
from ancestral_studio.process import Process
from ancestral_studio.recent_values import RecentValues

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.data import Dataset

MOST_SLICE_PIXELS = 1 << 24
"""Largest number of pixels of a picture of slices; of a larger volume some slices are left out, evenly."""
DATA: "RecentValues[Dataset]" = RecentValues(4)
"""The data whose items were asked for last, opened."""
VOLUMES: "RecentValues[Tensor]" = RecentValues(2)
"""The volumes of the files that were asked for last."""


def slices_of(volume: "Tensor", axis: int) -> dict[str, Any]:
    """Draw the slices of a volume along an axis in one picture of tiles without gaps.

    Args:
        volume: The volume (C, D, H, W), of any number type.
        axis: 0, 1 or 2: D, H or W.

    Returns:
        `axes`, the lengths of all axes; `numbers`, those of the slices that are drawn; the `picture` as a data address;
        and its `columns`, with the `count`, `width` and `height` of its tiles.
    """
    from ancestral.data.dataset import evenly_spaced
    from ancestral.render.pictures import bare_tiles, grid_columns
    from ancestral_studio.step_pictures import sheet_of

    if not 0 <= axis < 3:
        raise InputError("a volume has the axes 0, 1 and 2")
    slices = volume.movedim(1 + axis, 0)
    pixels = slices.shape[2] * slices.shape[3]
    numbers = evenly_spaced(min(len(slices), max(1, MOST_SLICE_PIXELS // pixels)), len(slices))
    ends = [(float(channel.min()), float(channel.max())) for channel in volume]
    by_channel = ends[0] if len(ends) == 1 else tuple(ends)
    limits = by_channel if volume.is_floating_point() else None
    tiles = bare_tiles(slices[numbers], limits)
    columns = grid_columns(len(tiles), tiles.shape[1:])
    file = io.BytesIO()
    sheet_of(tiles.numpy(), columns).save(file, "PNG", compress_level=1)
    return {
        "axes": list(volume.shape[1:]),
        "numbers": list(numbers),
        "picture": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}",
        "columns": columns,
        "count": len(tiles),
        "height": tiles.shape[2],
        "width": tiles.shape[3],
    }


def inspected_item(process: Process, index: int) -> "tuple[Dataset, Tensor]":
    """Return the data of an inspection, opened with its options, and one of the items.

    Raises:
        MissingError: If there is no such inspection, or no such item.
    """
    from ancestral import data
    from ancestral.use_cases.measuring import inspect
    from ancestral_studio.posted_options import case_of

    if process.command != "doctor" or process.source is None:
        raise MissingError("there is no such inspection")
    case = case_of("doctor")
    options: Any = case.options(read(process.words, options_of(case), "doctor"))
    form = inspect.plan(options).config.data.form
    dataset = DATA.get(Path(process.source), lambda: finish(data.opening(options.source, memory=0, **form)), process.id)
    if not 0 <= index < len(dataset):
        raise MissingError(f"there are {len(dataset):,} items")
    return dataset, dataset.read(index)[0]


def volume_in(file: Path, index: int) -> "Tensor":
    """Return a volume of a .npz that samples were written to. Raises MissingError if there is none."""
    import numpy as np
    import torch

    def load() -> "Tensor":
        with np.load(file, allow_pickle=False) as arrays:
            return torch.from_numpy(arrays["volumes"])

    try:
        volumes = VOLUMES.get(file, load)
    except (OSError, ValueError, KeyError):
        raise MissingError("there are no volumes") from None
    if not 0 <= index < len(volumes):
        raise MissingError(f"there are {len(volumes):,} volumes")
    return volumes[index]
