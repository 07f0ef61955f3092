"""The reverse process as a film strip of x_t above x̂_0, and as an animation."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ancestral.data.statistics import evenly_spaced
from ancestral.render.pictures import hstack, picture, vstack
from ancestral.samplers import Step
from ancestral.storage import atomic

FILM_ITEMS = 8
"""Items in a film strip; points are one cloud."""


def film(
    states: Sequence[Step], columns: int = 12, height: int = 0, limits: tuple[float, float] | None = None
) -> Image.Image:
    """Draw a film strip: time from left to right; for each of the first items, x_t above the estimate x̂_0.

    `states` hold decoded items, as `samplers.record` keeps them; at most `columns` of them are shown. `height` is about
    that of one item in pixels, `limits` are those of `picture`.
    """
    shown = [states[i] for i in evenly_spaced(columns, len(states))]

    def strip(items: slice, height: int) -> Image.Image:
        def row(tensors: list[Tensor]) -> Image.Image:
            return hstack([picture(tensor[items], 1, height, limits) for tensor in tensors])

        return vstack([row([state.x for state in shown]), row([state.x0 for state in shown])])

    if shown[0].x.ndim == 2:
        return strip(slice(None), 3 * height)
    return vstack([strip(slice(i, i + 1), height) for i in range(min(FILM_ITEMS, len(shown[0].x)))], gap=12)


def write_animation(
    path: Path,
    states: Sequence[Step],
    columns: int | None = None,
    height: int = 400,
    limits: tuple[float, float] | None = None,
) -> None:
    """Write x_t from noise to samples as a .gif or .webp: about three seconds, then the samples for two.

    `states` hold decoded items; `columns`, `height` and `limits` are those of `picture`.
    """
    pictures = [picture(state.x, columns, height, limits) for state in states]
    durations = [80] * (len(pictures) - 1) + [2000]  # milliseconds
    with atomic(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
