"""The part of a large image that a model edits.

An image may be larger or smaller than the items of a model: a window around the mask is brought to the size of the
items, and what the model makes of it is put back. Known pixels stay as they are, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.data.spec import LARGEST_VALUES
from ancestral.model.masks import any_in
from ancestral.model.rectangles import Rectangle

FILLED = 0.25
"""The largest share of each side of a window that the box around a mask takes, where the image has room. The rest is
context: models know whole pictures, and fill a window that shows too little of one with something else."""
EDGE = 2
"""Pixels around a mask with which what is put there agrees."""
SMOOTHINGS = 16
"""Averages over the four neighbours at each resolution of the correction of a seam."""


@dataclass(frozen=True)
class Region:
    """The window of an image that a model edits.

    Attributes:
        mask: What changes of the image, bool (*sides).
        shape: The sides of the items of the model.
        start: The first pixel of the window along each axis, which is negative where the window begins outside of the
            image.
        size: The sides of the window in pixels of the image.
        weights: The share of the samples in each pixel of the image, float32 (*sides); None is 1 in the mask.
        chosen: Whether the user chose the window.
    """

    mask: Tensor
    shape: tuple[int, ...]
    start: tuple[int, ...]
    size: tuple[int, ...]
    weights: Tensor | None = None
    chosen: bool = False

    @classmethod
    def around(cls, mask: Tensor, shape: Sequence[int]) -> "Region":
        """Choose the window around a mask.

        It has the size of the model's items if the box around the mask leaves context in it, else a larger one of the
        same proportions, up to the whole image. Where the image has other proportions, a part of the window may lie
        outside of it, and is unknown.

        Args:
            mask: What changes, bool (*sides).
            shape: The sides of the items of the model.

        Raises:
            InputError: If the sides differ and are not those of an image, or too little is known.
        """
        shape = tuple(shape)
        if tuple(mask.shape) == shape:
            return cls(mask, shape, (0,) * len(shape), shape)
        if len(shape) != 2:
            size, right = ("x".join(map(str, sides)) for sides in (mask.shape, shape))
            raise InputError(f"the item is {size}, and the model takes {right}: only images may have another size")
        places = [mask.any(1 - axis).nonzero()[:, 0] for axis in (0, 1)]
        ends = [(int(place[0]), int(place[-1]) + 1) for place in places]
        least = max((end - start) / side for (start, end), side in zip(ends, shape, strict=True))
        whole = [length / side for length, side in zip(mask.shape, shape, strict=True)]
        scale = least / FILLED
        if scale <= min(whole):
            scale = max(scale, min(1.0, *whole))
        else:
            scale = min(whole) if least <= min(whole) else min(scale, max(whole))
        window = tuple(max(1, round(scale * side)) for side in shape)
        start = tuple(_start(end, long, side) for end, long, side in zip(ends, window, mask.shape, strict=True))
        region = cls(mask, shape, start, window)
        region.check_known()
        return region

    @classmethod
    def in_window(cls, mask: Tensor, shape: Sequence[int], window: Rectangle) -> "Region":
        """Make the region of a window that the user chose.

        Args:
            mask: What changes, bool (*sides), nothing outside of the window.
            shape: The sides of the items of the model.
            window: The window.

        Raises:
            InputError: If its proportions are not those of the items.
        """
        (height, width), size = shape, (window.height, window.width)
        fitting = (round(window.width * height / width), window.width)
        if size not in (fitting, (window.height, round(window.height * width / height))) or not all(fitting):
            advice = ",".join(map(str, (window.x, window.y, window.width, max(1, fitting[0]))))
            raise InputError(
                f"{option('window', ','.join(map(str, window)))} does not have the proportions of the model, whose "
                f"images are {width} x {height} (width x height): give {advice} or the like"
            )
        return cls(mask, (height, width), (window.y, window.x), size, chosen=True)

    def check_known(self) -> None:
        """Raise InputError if nothing of the image is known at the resolution of the model."""
        if bool(self.cut_mask.all()):
            pixels = "x".join(map(str, self.shape))
            raise InputError(
                f"too little of the image is known: at the {pixels} pixels of the model nothing of the image would "
                "be left; change less of it at once"
            )

    @property
    def scaled(self) -> bool:
        """Whether the window is brought to another size."""
        return self.size != self.shape

    @property
    def note(self) -> str:
        """What the user should know of the window; "" if it is the whole image in its own size."""
        if tuple(self.mask.shape) == self.size == self.shape:
            return ""
        size, image, model = ("x".join(map(str, sides)) for sides in (self.size, self.mask.shape, self.shape))
        place = f"at {self.start[1]},{self.start[0]}" if self.chosen else "around the mask"
        if not self.scaled:
            return f"A window of {size} pixels {place} was edited, of the image of {image}."
        smaller = all(side < other for side, other in zip(self.size, self.shape, strict=True))
        change = "reduced" if smaller else "enlarged and blended in"
        return (
            f"A window of {size} pixels {place} was edited at the {model} pixels of the model, of the image of "
            f"{image}: what changed was {change}."
        )

    @property
    def covered(self) -> Tensor:
        """The part of the image that the window covers, bool (*sides)."""
        covered = torch.zeros_like(self.mask)
        self._overlap(covered).fill_(True)
        return covered

    def cut(self, images: Tensor) -> Tensor:
        """Return the window of images in the size of the model's items.

        Masked pixels have no influence on those that are known after scaling.

        Args:
            images: Images (*, C, H, W) in the units of the data.

        Returns:
            (*, C, *shape), integers of integers.
        """
        if not self.scaled and tuple(self.mask.shape) == self.shape:
            return images
        window = self._window(images, 0)
        if not self.scaled:
            return window
        weights, share = self._window(~self.mask, False).float(), self._window_share()
        flat = (window.float() * weights).reshape(-1, 1, *self.size)
        mean = flat.sum((2, 3), keepdim=True) / weights.sum()
        result = torch.where(share > 1e-3, _resized(flat, self.shape) / share.clamp(min=1e-3), mean)
        result = result.reshape(*images.shape[:-2], *self.shape)
        return result if images.is_floating_point() else result.round().to(images.dtype)

    def reduced(self, images: Tensor) -> Tensor:
        """Return the window of images in the size of the model's items, with all of its pixels.

        Args:
            images: Images (*, C, H, W) in the units of the data.

        Returns:
            (*, C, *shape), integers of integers.
        """
        window = self._window(images, 0)
        if not self.scaled:
            return window
        flat = window.float().reshape(-1, 1, *self.size)
        result = _resized(flat, self.shape).reshape(*images.shape[:-2], *self.shape)
        return result if images.is_floating_point() else result.round().to(images.dtype)

    @property
    def cut_mask(self) -> Tensor:
        """What the model fills in, bool (*shape): all pixels of which a part changes, or lies outside of the image.

        Where all would do so, those of which half is known stay.
        """
        window = self._window(self.mask, True)
        if not self.scaled:
            return window
        filled = any_in(window, self.shape)
        return filled if not bool(filled.all()) else self._window_share() < 0.5

    def paste(self, images: Tensor, samples: Tensor) -> Tensor:
        """Return the images with what changed taken from samples; all other pixels are those of the images.

        Where the window was scaled, the samples are enlarged, and a smooth correction makes them agree with the known
        pixels along the edge of the mask (the membrane of Poisson image editing). Where weights are below 1, the rest
        is the image.

        Args:
            images: Images (C, H, W) or (m, C, H, W) in the units of the data.
            samples: Samples (n, C, *shape) in these units. Sample i is of image i modulo m.

        Returns:
            (n, C, H, W) in the dtype of the images.
        """
        images = images if images.ndim > len(self.shape) + 1 else images[None]
        images = images[torch.arange(len(samples)) % len(images)]
        values = samples.float()
        if self.scaled:
            inside = self._window(torch.ones_like(self.mask), False)
            window, mask = self._window(images, 0).float(), self._window(self.mask, False)
            values = F.interpolate(values, size=self.size, mode="bicubic", antialias=True)
            values = values + _membrane(window - values, inside & ~mask & _grown(mask, EDGE))
        full = images.clone()
        target, source = self._overlap(full), self._overlap_of_window(values)
        if self.weights is not None:
            source = torch.lerp(target.float(), source, self._overlap(self.weights))
        if images.dtype in LARGEST_VALUES:
            source = source.round().clamp(0, LARGEST_VALUES[images.dtype])
        source = source.to(images.dtype)
        if images.dtype == torch.uint16:  # of which PyTorch before 2.11 has no `where`
            target, source = target.view(torch.int16), source.view(torch.int16)
        target.copy_(torch.where(self._overlap(self.mask), source, target))
        return full

    def _window_share(self) -> Tensor:
        """The share of each pixel of the model that is known, (*shape)."""
        return _resized(self._window(~self.mask, False)[None, None].float(), self.shape)[0, 0]

    def _slices(self) -> tuple[Any, Any]:
        """Indices of the part of the image that the window covers, in the image and in the window."""
        pairs = list(zip(self.start, self.size, self.mask.shape, strict=True))
        ends = [(max(0, start), min(length, start + size)) for start, size, length in pairs]
        inside = [slice(low - start, high - start) for (low, high), start in zip(ends, self.start, strict=True)]
        return (..., *(slice(low, high) for low, high in ends)), (..., *inside)

    def _overlap(self, images: Tensor) -> Tensor:
        return images[self._slices()[0]]

    def _overlap_of_window(self, window: Tensor) -> Tensor:
        return window[self._slices()[1]]

    def _window(self, images: Tensor, outside: float) -> Tensor:
        """The window of images (*, H, W), with this value outside of them."""
        window = torch.full((*images.shape[: -len(self.size)], *self.size), outside, dtype=images.dtype)
        self._overlap_of_window(window).copy_(self._overlap(images))
        return window


def _grown(mask: Tensor, reach: int) -> Tensor:
    """A mask (H, W) with the pixels around it."""
    return F.max_pool2d(mask[None, None].float(), 2 * reach + 1, stride=1, padding=reach)[0, 0] > 0


def _start(ends: tuple[int, int], size: int, length: int) -> int:
    """Where a window of a size begins that has the ends in its middle, and lies inside the length if it can."""
    middle = (sum(ends) - size) // 2
    return min(max(middle, 0), length - size) if size <= length else -((size - length) // 2)


def _resized(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Floats (N, 1, H, W) in another size, by non-negative weights."""
    return F.interpolate(images, size=tuple(sides), mode="bilinear", antialias=True)


def _membrane(values: Tensor, known: Tensor) -> Tensor:
    """Continue values (N, C, H, W) smoothly from where they are known, bool (H, W): about a harmonic function.

    From coarse to fine: each resolution begins with the values of the next coarser one, and averages neighbours.

    References:
        Pérez et al. (2003), Poisson Image Editing.
    """
    weights = known[None, None].float()
    return _filled(values * weights, weights)


def _filled(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of values where weights are positive, and its smooth continuation elsewhere.

    Args:
        values: Values times their weights, (N, C, H, W).
        weights: Weights (1, 1, H, W) from 0 to 1.
    """
    mean = values / weights.clamp(min=1e-6)
    if bool((weights > 0).all()) or max(weights.shape[2:]) == 1:
        return mean
    half = (-(-weights.shape[2] // 2), -(-weights.shape[3] // 2))
    coarse = _filled(F.adaptive_avg_pool2d(values, half), F.adaptive_avg_pool2d(weights, half))
    result = torch.where(weights > 0, mean, F.interpolate(coarse, size=weights.shape[2:], mode="bilinear"))
    for _ in range(SMOOTHINGS):
        padded = F.pad(result, (1, 1, 1, 1), mode="replicate")
        around = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:] + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
        result = torch.where(weights > 0, mean, around / 4)
    return result
