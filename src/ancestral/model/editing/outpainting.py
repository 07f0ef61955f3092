"""Images that are extended: windows of the size of the model continue what is known, one after another."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.device import check_memory
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config.request import Request
from ancestral.model.editing.edited_samples import EDIT_SAMPLES, items_of, settings_of
from ancestral.model.editing.filling import filled
from ancestral.model.process import Process
from ancestral.model.rectangles import Rectangle
from ancestral.model.regions import Region
from ancestral.model.trained_model import TrainedModel
from ancestral.randomness import MASK, Stream, keys
from ancestral.samplers import Step

MOST_WINDOWS = 1024
"""The largest number of windows of an image."""


@dataclass(frozen=True)
class Canvas:
    """An image with room around it.

    Attributes:
        sides: The height and the width of the whole.
        known: Where the image lies.
    """

    sides: tuple[int, int]
    known: Rectangle

    @property
    def new(self) -> Tensor:
        """What is no part of the image, bool (*sides)."""
        return ~self.known.mask(self.sides)

    def widened(self, images: Tensor) -> Tensor:
        """Return images (*, C, H, W) with zeros around them."""
        wide = torch.zeros((*images.shape[:-2], *self.sides), dtype=images.dtype)
        self.image_in(wide).copy_(images)
        return wide

    def image_in(self, wide: Tensor) -> Tensor:
        """Return the part of widened images (*, *sides) where the image lies."""
        x, y, width, height = self.known
        return wide[..., y : y + height, x : x + width]

    def regions(self, shape: Sequence[int]) -> list[Region]:
        """Choose the windows that fill the canvas, in their order: that with most known pixels is next.

        Neighbours overlap by half, and what one of them fills is known to the next.

        Args:
            shape: The sides of the items of the model.

        Raises:
            InputError: If the windows are too many.
        """
        size, regions = tuple(shape), list[Region]()
        too_many = InputError(
            f"more than {MOST_WINDOWS:,} windows of {size[1]} x {size[0]} pixels would fill the new part: give "
            f"{option('extend')} smaller numbers"
        )
        if math.prod(self.sides) - self.known.height * self.known.width > MOST_WINDOWS * math.prod(size):
            raise too_many
        unknown = self.new
        ends = ((self.known.y, self.sides[0], size[0]), (self.known.x, self.sides[1], size[1]))
        starts = [_starts(*end) for end in ends]
        while bool(unknown.any()):
            left = _sums(unknown, starts, size)
            known = (_sums(torch.ones_like(unknown), starts, size) - left).masked_fill(left == 0, -1)
            row, column = divmod(int(known.argmax()), len(starts[1]))
            regions.append(Region(unknown, size, (starts[0][row], starts[1][column]), size))
            if len(regions) > MOST_WINDOWS:
                raise too_many
            unknown = unknown & ~regions[-1].covered
        return regions


def canvas_of(extend: str, sides: Sequence[int]) -> Canvas:
    """Return the canvas of an image of these sides.

    Args:
        extend: The pixels that are added, "left,top,right,bottom".
        sides: The sides of the image.

    Raises:
        InputError: If they are no such numbers, or the item is no image.
    """
    try:
        numbers = [int(one) for one in extend.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or min(numbers) < 0 or not any(numbers):
        raise InputError(
            f"{option('extend', extend)}: give left,top,right,bottom in whole pixels that are added, as in 0,0,16,0"
        )
    if len(sides) != 2:
        raise InputError(f"{option('extend')} is of images, which have a height and a width: leave it out")
    left, top, right, bottom = numbers
    height, width = sides
    return Canvas((top + height + bottom, left + width + right), Rectangle(left, top, width, height))


def _starts(known: int, length: int, size: int) -> list[int]:
    """Where windows of a size begin along an axis: half a window apart, counted from the known part."""
    if size >= length:
        return [-((size - length) // 2)]
    stride = max(1, size // 2)
    first = known - -(-known // stride) * stride
    return sorted({min(max(start, 0), length - size) for start in range(first, length, stride)})


def _sums(mask: Tensor, starts: Sequence[Sequence[int]], size: Sequence[int]) -> Tensor:
    """The number of True pixels of a mask (H, W) in windows that begin at these rows and columns."""
    table = F.pad(mask.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    for axis, (begin, side) in enumerate(zip(starts, size, strict=True)):
        first = torch.tensor(begin)
        ends = [(first + by).clamp(0, mask.shape[axis]) for by in (side, 0)]
        table = table.index_select(axis, ends[0]) - table.index_select(axis, ends[1])
    return table


def outpainting(model: TrainedModel, request: Request, images: Tensor, **aids: Any) -> Process:
    """Decide how images are extended, of a request with its `extend`, `noise` and `method`.

    Args:
        model: The model.
        request: The request.
        images: The images (m, C, H, W), in the units of the data.
        aids: The covariance of the data, and a method in place of one by name, as of `restoration`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, settings = model.spec, settings_of(request)
    for name in ("window", "soften"):
        if getattr(settings, name):
            raise InputError(f"{option(name)} has no effect with {option('extend')}: leave it out")
    canvas = canvas_of(settings.extend or "", images.shape[2:])
    extension = Extension(model, request, canvas, canvas.regions(spec.shape[1:]), canvas.widened(images), aids)
    items = items_of(model, request, EDIT_SAMPLES * len(images))
    check_memory(len(items), (spec.shape[0], *canvas.sides), spec.codec.dtype)
    first, count = extension.filled(0, extension.images, request), len(extension.regions)
    sizes = ["x".join(map(str, sides)) for sides in (images.shape[2:], canvas.sides, spec.shape[1:])]
    note = f"The image of {sizes[0]} was extended to {sizes[1]} pixels by {plural(count, 'window')} of {sizes[2]}."
    return dataclasses.replace(
        first,
        items=items,
        evaluations=first.evaluations * count,
        times=[*first.times] * count,
        steps=partial(extension.steps, items),
        finish=extension.finish,
        notes=(*first.notes, note),
        decode=spec.codec.decode,
    )


@dataclass(frozen=True, eq=False)
class Extension:
    """An extension of images that is decided.

    Attributes:
        regions: The windows in their order.
        images: The widened images (m, C, *sides), in the units of the data.
        aids: What `filled` gets besides.
    """

    model: TrainedModel
    request: Request
    canvas: Canvas
    regions: Sequence[Region]
    images: Tensor
    aids: dict[str, Any]

    def filled(self, number: int, images: Tensor, request: Request) -> Process:
        """Decide how the window of a number is filled in widened images."""
        return filled(self.model, request, images, self.regions[number], **self.aids)

    def steps(self, items: Sequence[int], positions: Sequence[int]) -> Iterator[Step]:
        """Fill the windows of the samples at some positions in one batch, step by step; states are whole images."""
        spec, batch, index = self.model.spec, tuple(items[position] for position in positions), 0
        made = self.images[[position % len(self.images) for position in positions]]
        for number, region in enumerate(self.regions):
            (key,) = keys(self.request.seed, Stream.WINDOW, number, [0]).tolist()
            part = dataclasses.replace(self.request, n=len(batch), indices=batch, seed=key & MASK)
            edit, before = self.filled(number, made, part), spec.codec.encode(made)
            for step in edit.steps(range(len(batch))):
                if step.t == 0:
                    made = region.paste(made, (edit.finish or edit.decode)(step.x).cpu())
                    whole = spec.codec.encode(made)
                    yield Step(index, 0.0, whole, whole)
                else:
                    yield Step(index, step.t, self._shown(before, region, step.x), self._shown(before, region, step.x0))
                index += 1

    def _shown(self, before: Tensor, region: Region, x: Tensor) -> Tensor:
        """Encoded images with the window of a state; latents cannot be shown there."""
        return before if self.model.spec.autoencoder is not None else region.paste(before, x.cpu())

    def finish(self, x: Tensor) -> Tensor:
        """Bring extended images, all at once, to the units of the data, with the images themselves in them."""
        made = self.model.spec.codec.decode(x)
        images = self.canvas.image_in(self.images)
        self.canvas.image_in(made).copy_(images[torch.arange(len(made)) % len(images)])
        return made
