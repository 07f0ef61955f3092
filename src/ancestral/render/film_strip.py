"""The reverse process shown: a film strip of x_t above x̂_0, and an animation."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ancestral.data.statistics import evenly_spaced
from ancestral.render.pictures import above, beside, picture
from ancestral.storage import atomic

FILM_ITEMS = 8
"""Rows of a film strip; more would not be looked at."""


class Frame(NamedTuple):
    """Decoded items of one state of the reverse process: x_t, and the x̂_0 that was made from it."""

    t: int
    x: Tensor
    x0: Tensor


def film(
    frames: Sequence[Frame], columns: int = 12, height: int = 0, limits: tuple[float, float] | None = None
) -> Image.Image:
    """Time from left to right: for each of the first items, x_t and below it what x_0 was then taken to be.

    `height` is about that of one image, `limits` are those of `picture`.
    """
    chosen = [frames[i] for i in evenly_spaced(columns, len(frames))]
    if chosen[0].x.ndim == 2:  # points are one cloud, not items to look at one by one
        return _strip(chosen, slice(None), 3 * height, limits)
    count = min(FILM_ITEMS, len(chosen[0].x))
    return above([_strip(chosen, slice(i, i + 1), height, limits) for i in range(count)], gap=12)


def _strip(frames: Sequence[Frame], items: slice, height: int, limits: tuple[float, float] | None) -> Image.Image:
    x = beside([picture(frame.x[items], 1, height, limits) for frame in frames])
    x0 = beside([picture(frame.x0[items], 1, height, limits) for frame in frames])
    return above([x, x0])


def animation(
    path: Path,
    frames: Sequence[Frame],
    columns: int | None = None,
    height: int = 400,
    limits: tuple[float, float] | None = None,
) -> None:
    """Write x_t falling from noise to samples as .gif or .webp: about three seconds, then the end stays for two."""
    pictures = [picture(frame.x, columns, height, limits) for frame in frames]
    lasts = [80] * (len(pictures) - 1) + [2000]  # milliseconds
    with atomic(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=lasts, loop=0)
