"""Samples of other sides than the network's: its estimates in overlapping tiles, also in ones that go around."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Condition, Image
from ancestral.config.request import Request
from ancestral.data.spec import DataSpec
from ancestral.guidance import Tiled
from ancestral.model.trained_model import TrainedModel
from ancestral.targets import Denoiser

ALL = "all"
"""What names all axes of space."""


def enlarged(model: TrainedModel, request: Request) -> tuple[TrainedModel, Callable[[Denoiser], Denoiser]]:
    """Return a model of the sides that a request asks for, and what tiles its guided denoiser.

    Args:
        model: The model.
        request: The request, with a `size`, or axes that are `seamless`.

    Returns:
        A copy of the model with a description of these sides, and a function of the denoiser.

    Raises:
        InputError: If the model cannot be sampled so.
    """
    size, names, spec = request.size, request.seamless, model.spec
    _check(model, request)
    sides = tuple(size or spec.shape[1:])
    sides = sides * (len(spec.shape) - 1) if len(sides) == 1 else sides
    names = ",".join(spec.axis_names) if names == ALL else names
    asked = () if names is None else spec.with_borders(names, "seamless").periodic
    around = [axis for axis in asked if axis not in spec.periodic]  # along which the network goes around itself
    _check_sides(spec, sides, around)
    tile, number = spec.x_shape[1:], range(len(sides))

    def tiled(denoiser: Denoiser) -> Denoiser:
        return Tiled(denoiser, tile, [side // 2 for side in tile], [axis in around for axis in number])

    made = copy.copy(model)
    made.spec = of_sides(spec, sides)
    return made, tiled


def of_sides(spec: DataSpec, sides: Sequence[int]) -> DataSpec:
    """Return the description of items of other sides, whose images of conditions grow as they do.

    Args:
        spec: The description of the data of a model.
        sides: The side along each axis of space.

    Raises:
        InputError: If a condition had no whole sides.
    """
    kinds = {name: _grown(name, kind, spec, sides) for name, kind in spec.conditions.items()}
    grid = None if spec.grid is None else spec.grid.of_sides(spec.shape[1:], sides)
    tile = spec.tile or spec.x_shape[1:]
    return replace(spec, shape=(spec.shape[0], *sides), grid=grid, conditions=kinds, tile=tile)


def tile_note(model: TrainedModel, wide: TrainedModel) -> list[str]:
    """Say what tiles of a model mean for samples of larger sides."""
    if model.spec.shape == wide.spec.shape:
        return []
    tile = "x".join(map(str, model.spec.shape[1:]))
    return [
        f"Samples larger than the network are made in tiles of {tile} that overlap by half: structures larger than a "
        "tile are not coherent."
    ]


def _check(model: TrainedModel, request: Request) -> None:
    """Raise InputError unless a model is a denoiser of items on a grid, and the request one of plain samples."""
    asked = option("size", request.size and "x".join(map(str, request.size)))
    asked = asked if request.size is not None else option("seamless", request.seamless)
    dims = len(model.spec.shape) - 1
    if not dims:
        raise InputError(f"{asked} is for items on a grid, and this model makes points: leave it out")
    if request.size is not None and len(request.size) not in (1, dims):
        example = "x".join(["256"] * dims)
        raise InputError(f"{asked} names {len(request.size)} sides, and items have {dims}: give {example}")
    if request.objects.then:
        raise InputError(f"{asked} is of samples of one model: leave {option('then')} out")
    if model.config.train.energy is not None:
        raise InputError(f"{asked} is for diffusion models: this one draws noise for its own sides alone")


def _check_sides(spec: DataSpec, sides: Sequence[int], around: Sequence[int]) -> None:
    """Raise InputError unless tiles of the items of a model can cover others, which go around along some axes."""
    own = spec.shape[1:]
    shown = option("size", "x".join(map(str, sides)))
    if any(side < least for side, least in zip(sides, own, strict=True)):
        raise InputError(f"{shown} is smaller than the items of the model, {'x'.join(map(str, own))}: give no less")
    if own != tuple(sides) and spec.codec.mask and spec.codec.present((spec.shape[0], *sides)) is None:
        raise InputError(f"{shown}: the items of this model all lack the same values, whose places are of its own size")
    for axis in spec.periodic:
        if sides[axis] != own[axis]:
            name = spec.axis_names[axis]
            raise InputError(f"{shown}: {name} goes around after {own[axis]} positions in this model: keep that side")
    if spec.autoencoder is not None:
        factor = spec.autoencoder.factor
        if around:
            raise InputError(f"{option('seamless')} is for models of the items themselves, and this one is of latents")
        if any(side % factor for side in sides):
            raise InputError(f"{shown}: this model is of latents, so give multiples of {factor}")


def _grown(name: str, kind: Condition, spec: DataSpec, sides: Sequence[int]) -> Condition:
    """A condition of larger items: images of certain sides grow as the items do."""
    if not isinstance(kind, Image) or not kind.sides or kind.window:
        return kind
    pairs = [*zip(kind.sides, sides, spec.shape[1:], strict=True)]
    if any(one * other % own for one, other, own in pairs):
        each = "x".join(str(own // math.gcd(one, own)) for one, _, own in pairs)
        shown = option("size", "x".join(map(str, sides)))
        raise InputError(f"{shown}: the condition {name} has no whole sides then: give multiples of {each}")
    return replace(kind, sides=tuple(one * other // own for one, other, own in pairs))
