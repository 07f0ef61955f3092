"""Augmentation that does not leak: items are transformed at random, and the network is conditioned on how.

Each transform is drawn with a probability p of its own, and left out otherwise (Karras et al., *Elucidating the design
space of diffusion-based generative models*, 2022, appendix F.2):

    transform                  of               drawn from                                     numbers
    translation                all items        N(0, 1/8 of the side) for each axis, rounded   1 for each axis
    flip along each axis       all items        {no, yes}                                      1 for each axis
    quarter turns              square images    {0, 1, 2, 3}                                   as a rotation
    rotation by θ              images           U(-π, π)                                       cos θ - 1, sin θ
    scaling by 2^(0.2 z)       images           z ~ N(0, 1)                                    z
    stretching by 2^(0.2 z)    images           z ~ N(0, 1), along a direction φ ~ U(-π, π)    z cos 2φ, z sin 2φ

Networks take the numbers as the condition NAME. They are zeros of an item of which nothing was drawn, and where the
condition is absent, so that samples are drawn without: the network learns the items as they are, and learns from the
others. Translations are of whole pixels; with flips and quarter turns they move pixels and change none. The other three
are one resampling. What lies beyond the edges is the item's mirror image.

A stretching by z along φ is the matrix S = 2^(0.2 z (n nᵀ − m mᵀ)), n along φ and m at right angles, and n nᵀ − m mᵀ
has the rows (cos 2φ, sin 2φ) and (sin 2φ, −cos 2φ). So S and (z cos 2φ, z sin 2φ) determine each other: (z, φ),
(z, φ + 180°) and (−z, φ + 90°) are one stretching and have one pair of numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Vector
from ancestral.randomness import Stream

NAME = "augment"
"""The name of the condition."""
SHIFT = 1 / 8
"""The standard deviation of translations, as a share of the side."""
OCTAVES = 0.2
"""The standard deviation of the logarithms of scales to the base 2."""
POINTS_TO_A_PIXEL = 2
"""Along each axis, of which a pixel of a resampled image is the mean: so that an image that shrinks has no aliases."""


def condition(dims: int) -> Vector:
    """Describe the numbers of a transform as a condition.

    Args:
        dims: The number of axes of space: 1 for signals, 2 for images, 3 for volumes.

    Raises:
        InputError: For points, which have no axes.
    """
    if not dims:
        raise InputError(f"points are not augmented: leave {option(NAME)} out")
    axes = [""] if dims == 1 else ["vertical ", "horizontal "] if dims == 2 else [f"axis {axis} " for axis in range(3)]
    names = [f"{axis}{kind}" for kind in ("translation", "flip") for axis in axes]
    if dims == 2:
        names += ["rotation, cos - 1", "rotation, sin", "scale", "stretch, cos 2φ", "stretch, sin 2φ"]
    return Vector((0.0,) * len(names), (1.0,) * len(names), tuple(names))


@dataclass(frozen=True)
class Augmentation:
    """A transform for each item of a batch; `draw` draws them.

    An item is translated, flipped, turned, and then rotated, scaled and stretched around its centre.

    Attributes:
        shifts: Pixels by which an item is moved along each axis, int64 (B, dims).
        flips: Whether it is mirrored along each axis, bool (B, dims).
        turns: The number of quarter turns counter-clockwise, int64 (B,).
        angle: θ of the rotation counter-clockwise, float64 (B,), in radians.
        scale: z of the scaling, float64 (B,).
        stretch: z of the stretching, float64 (B,). It shrinks as much at right angles to its direction.
        direction: φ of the stretching, counter-clockwise from the horizontal, float64 (B,).
    """

    shifts: Tensor
    flips: Tensor
    turns: Tensor
    angle: Tensor
    scale: Tensor
    stretch: Tensor
    direction: Tensor

    def __getitem__(self, rows: slice | Tensor) -> "Augmentation":
        return Augmentation(*(getattr(self, field.name)[rows] for field in fields(self)))

    def numbers(self, sides: Sequence[int]) -> Tensor:
        """Compute the numbers that `condition` names: float64 (B, k) for items (C, *sides)."""
        columns = [self.shifts / (SHIFT * torch.tensor(sides, dtype=torch.float64)), self.flips.double()]
        if len(sides) == 2:
            angle = self.angle + math.pi / 2 * self.turns
            columns.append(torch.stack([angle.cos() - 1, angle.sin(), self.scale], 1))
            phase = 2 * self.direction
            columns.append(self.stretch[:, None] * torch.stack([phase.cos(), phase.sin()], 1))
        return torch.cat(columns, 1)

    def inputs(self, sides: Sequence[int]) -> Tensor:
        """Return what a network gets of the condition: float32 (B, k + 1), zeros where an item stays as it is."""
        numbers = self.numbers(sides)
        return torch.cat([numbers, numbers.any(1, keepdim=True)], 1).float()

    def __call__(self, x: Tensor) -> Tensor:
        """Transform items (B, C, *sides), or images that are aligned with them. Others than x are not changed.

        Values of resampled images stay between the least and the largest of their channel.
        """
        moved = (self.shifts != 0).any(1) | self.flips.any(1) | (self.turns > 0)
        resampled = (self.angle != 0) | (self.scale != 0) | (self.stretch != 0)
        for rows, change in ((moved, Augmentation._move), (resampled, Augmentation._resample)):
            if bool(rows.any()):
                index = rows.nonzero().flatten()
                place = index.to(x.device, non_blocking=True)
                x = x.index_copy(0, place, change(self[index], x[place]))
        return x

    def _move(self, x: Tensor) -> Tensor:
        for axis, side in enumerate(x.shape[2:]):
            place = torch.arange(side).expand(len(x), -1)
            source = place.where(~self.flips[:, axis, None], side - 1 - place) - self.shifts[:, axis, None]
            source = source % (2 * side)
            source = source.where(source < side, 2 * side - 1 - source)  # beyond the edge a mirror image
            shape = [len(x), *[1] * (x.ndim - 1)]
            shape[axis + 2] = side
            x = x.gather(axis + 2, source.to(x.device, non_blocking=True).view(shape).expand_as(x))
        for turns in self.turns.unique().tolist():  # type: ignore[no-untyped-call]
            if turns:
                index = (self.turns == turns).nonzero().flatten().to(x.device, non_blocking=True)
                x = x.index_copy(0, index, x[index].rot90(turns, (2, 3)))
        return x

    def _resample(self, x: Tensor) -> Tensor:
        device, (height, width) = x.device, x.shape[2:]
        x = x.cpu() if device.type == "mps" else x  # which has no bicubic interpolation in all versions of PyTorch
        units = torch.tensor([width, height], dtype=torch.float64)  # of grid_sample: -1 and 1 are the edges
        source = self.source() / units[:, None] * units
        size = [len(x), x.shape[1], POINTS_TO_A_PIXEL * height, POINTS_TO_A_PIXEL * width]
        grid = F.affine_grid(F.pad(source, (0, 1)).to(x, non_blocking=True), size, align_corners=False)
        points = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        least, largest = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return F.avg_pool2d(points, POINTS_TO_A_PIXEL).clamp(least, largest).to(device)

    def source(self) -> Tensor:
        """Compute the matrices that say where a resampled pixel comes from: float64 (B, 2, 2).

        They map places (right, down) from the centre of the resampled image to places from that of the image before.
        """
        octaves = OCTAVES * torch.stack([self.scale + self.stretch, self.scale - self.stretch], 1)
        shrunk = _rotation(self.direction) @ torch.diag_embed(2**-octaves) @ _rotation(-self.direction)
        return _rotation(-self.angle) @ shrunk


def draw(sides: Sequence[int], probability: float, seed: int, step: int, indices: Sequence[int]) -> Augmentation:
    """Draw the transforms of a batch, each a function of (seed, step, index) alone.

    Args:
        sides: The sides of the items.
        probability: The probability of each transform, above 0.
        seed: The seed of the run.
        step: The training step.
        indices: The positions of the items in the global batch.
    """
    dims, image = len(sides), len(sides) == 2
    kinds = randomness.uniforms(5 + dims, seed, Stream.AUGMENTATION, step, indices, draw=0)
    # below 1 with this probability, and uniform if so
    translated, turned, rotated, scaled, stretched, *flipped = (kinds / probability).T
    z = randomness.normal((dims + 2,), seed, Stream.AUGMENTATION, step, indices, draw=1).double()
    shifts = (z[:, :dims] * SHIFT * torch.tensor(sides)).round().long()
    none = torch.zeros(len(z), dtype=torch.float64)
    return Augmentation(
        shifts=shifts.where((translated < 1)[:, None], 0),
        flips=torch.stack(flipped, 1) < 0.5,
        turns=(4 * turned).long().where(turned < 1, 0) if image and sides[0] == sides[1] else none.long(),
        angle=((2 * rotated - 1) * math.pi).where(rotated < 1, 0.0) if image else none,
        scale=z[:, dims].where(scaled < 1, 0.0) if image else none,
        stretch=z[:, dims + 1].where(stretched < 1, 0.0) if image else none,
        direction=((2 * stretched - 1) * math.pi).where(stretched < 1, 0.0) if image else none,
    )


def _rotation(angle: Tensor) -> Tensor:
    """Matrices (B, 2, 2) of counter-clockwise rotations of places (right, down)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
