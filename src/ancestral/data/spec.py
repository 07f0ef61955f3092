"""Facts of the data that a model needs: shape, codec, conditions. A model file records it, so that it can be undone.

Here items become x, which is noised and denoised, and x becomes items: `DataSpec.encode` and `decode`. x is the items
in [-1, 1], or the latents of these by an autoencoder, which have another shape, `DataSpec.x_shape`. Values of
conditions become what a network gets of them: `inputs`.
"""

import base64
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ancestral import derived, scaling
from ancestral.base.device import on_device
from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import (
    LABEL,
    Classes,
    Condition,
    FieldLimits,
    Limits,
    Ranges,
    argument_name,
    middle_and_scale,
    scaled,
    unscaled,
)
from ancestral.config.data_config import AXES
from ancestral.data.grid import Grid
from ancestral.nets.autoencoder import Autoencoder
from ancestral.scaling import Scale

Gaps = Literal["", "shared", "random"]
"""What is known of missing values: which they are is the same in all items, or does not depend on them."""
SPEC_ITEMS = 128
"""Number of items that decide on the shape, the range of floats and the mean."""
CROP_NOTED = 0.05
"""Share of the pixels of images of one size that a crop may lose without a note."""
NOTHING_TO_LEARN = "there is nothing to learn from it"
CODEC_DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "float": torch.float32}
NAMED_RANGES = 8
"""The largest number of channels whose ranges messages say."""
SUMMED_ITEMS = 4096  # items at a time, so that temporaries stay far below the items
LARGEST_VALUES = {torch.uint8: 255, torch.uint16: 65535}
"""The largest value of each kind of integers, whose smallest is 0."""


class GapsDifferError(InputError):
    """The values that items lack differ, and nothing is known of them."""


def bits_of(limits: tuple[float, float]) -> int | None:
    """Return the bits of the integers whose range limits are; None of floats."""
    return next((8 * dtype.itemsize for dtype, largest in LARGEST_VALUES.items() if limits == (0.0, largest)), None)


@dataclass(frozen=True)
class Codec:
    """`decode(encode(items)) == items`, exactly for integers, and to float32's rounding for floats; any shape.

    "uint8" and "uint16": {0..255} and {0..65535} <-> [-1, 1]. "float": `limits` <-> [-1, 1], which unless given is the
    identity, for data that is in [-1, 1] already; with `ranges` each channel of items (B, C, *) has its own.
    """

    kind: str
    limits: tuple[float, float] = (-1.0, 1.0)
    """Least and largest value of the items; integers have their own."""
    ranges: Ranges = ()
    """Least and largest value of each channel, of floats whose channels have ranges of their own. A constant channel is
    0 to the network, and comes back as the constant."""
    scaling: tuple[Scale, ...] = ()
    """The scale of all channels of floats, or that of each, where it is another than the range to [-1, 1]; limits and
    ranges are then those of the data, which nothing is clipped to."""
    gaps: Gaps = ""
    """Which values are missing, NaN: "shared" are the same in all items, "random" any; "" none. They are 0 to the
    network."""
    mask: str = ""
    """Of shared gaps: the values that are there, packed bits in base 64."""

    def __post_init__(self) -> None:
        if self.kind not in CODEC_DTYPES:
            raise InputError(f"unknown codec {self.kind!r}: use one of {', '.join(CODEC_DTYPES)}")
        if self.dtype in LARGEST_VALUES:
            object.__setattr__(self, "limits", (0.0, float(LARGEST_VALUES[self.dtype])))
        if self.ranges:
            if self.dtype in LARGEST_VALUES:
                raise InputError(f"{self.kind} items have one range: leave the ranges of channels out")
            lows, highs = zip(*self.ranges, strict=True)
            object.__setattr__(self, "limits", (min(lows), max(highs)))
        if self.scaling and (self.dtype in LARGEST_VALUES or len(self.scaling) not in (1, len(self.ranges))):
            raise InputError(f"{self.kind} items of {len(self.ranges)} ranges cannot have {len(self.scaling)} scales")
        low, high = self.limits
        backwards = any(one > other for one, other in self.ranges)
        if not (math.isfinite(high - low) and low < high) or backwards:
            raise InputError(f"values from {low} to {high} cannot be mapped to [-1, 1]: give finite limits, low < high")

    @classmethod
    def of(cls, limits: Limits) -> "Codec":
        """Return the codec of floats with these limits, of all channels or of each."""
        low, high = limits[0], limits[-1]
        if isinstance(low, tuple) or isinstance(high, tuple):
            return cls("float", ranges=limits)  # type: ignore[arg-type]
        return cls("float", (low, high))

    @property
    def channel_limits(self) -> Limits:
        """The limits of each channel where they differ, else those of all."""
        return self.ranges or self.limits

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the items."""
        return CODEC_DTYPES[self.kind]

    @property
    def bounded(self) -> bool:
        """Whether [-1, 1] holds all data, so that estimates beyond it are clipped."""
        return not self.scaling

    @property
    def by_channel(self) -> bool:
        """Whether a distance over several channels has no unit but that of the network: each has its own, or none."""
        return bool(self.ranges) if self.bounded else len(self.scaling) > 1 or not self.scaling[0].linear

    @property
    def scale(self) -> float:
        """The distance in the items' units that is 1 to the network; 1 where it has none (`by_channel`)."""
        if self.by_channel:
            return 1.0
        return self.scaling[0].half if self.scaling else (self.limits[1] - self.limits[0]) / 2

    def scales(self, space: int) -> float | Tensor:
        """Return `scale`, or that of each channel, float32 (C, 1, ...), of items with `space` axes of space; 1 of those
        whose scale is a curve.
        """
        if self.scaling and self.by_channel:
            halves = [scale.half if scale.linear else 1.0 for scale in self.scaling]
            return torch.tensor(halves).view(-1, *[1] * space)
        return middle_and_scale(self.ranges, 2 + space)[1] if self.by_channel else self.scale

    @property
    def level(self) -> float | None:
        """The distance in [-1, 1] of two successive integers; None of floats, which have no levels."""
        return 1 / self.scale if self.dtype in LARGEST_VALUES else None

    @property
    def rounding(self) -> float:
        """The standard deviation in [-1, 1] of what integers are rounded by; 0 of floats."""
        return (self.level or 0.0) / math.sqrt(12)

    @property
    def uniform_bits(self) -> float:
        """The bits/dim of a uniform guess among the levels: 8 of 8-bit images; infinite of floats."""
        low, high = self.limits
        return math.log2(1 + high - low) if self.level else math.inf

    def of_one_unit(self, items: Tensor) -> Tensor:
        """Return items whose channels can be averaged: encoded where channels have units of their own.

        Differentiable in the items.
        """
        return self.encode(items) if self.by_channel else items

    def present(self, shape: Sequence[int]) -> Tensor | None:
        """Return which values of an item (C, *space) are there, bool, of shared gaps; None of others."""
        return _unpacked(self.mask, tuple(shape)) if self.mask else None

    def encode(self, items: Tensor) -> Tensor:
        """Convert items to float32 in [-1, 1], missing values to 0. Differentiable in items that are floats."""
        x = self._encoded(items)
        return x.where(~items.isnan(), 0.0) if self.gaps else x

    def _encoded(self, items: Tensor) -> Tensor:
        x = items.to(torch.float32)
        if self.scaling:
            return scaling.encoded(x, self.scaling)
        if self.ranges:
            return scaled(x, self.ranges)
        return x / self.scale - 1 if self.level else (x - sum(self.limits) / 2) / self.scale

    def decode(self, x: Tensor) -> Tensor:
        """Convert values of the network to items; integers are rounded, and clamped from beyond [-1, 1].

        Items that are floats are differentiable in x. Values that are missing in all items of the data are NaN.
        """
        items = self._decoded(x)
        present = self.present(x.shape[1:])
        return items if present is None else items.where(kept(present, items, torch.bool), math.nan)

    def _decoded(self, x: Tensor) -> Tensor:
        x = x.to(torch.float32)
        if self.scaling:
            return scaling.decoded(x, self.scaling)
        if self.ranges:
            return unscaled(x, self.ranges)
        if self.level is None:
            return x * self.scale + sum(self.limits) / 2
        return ((x + 1) * self.scale).round().clamp(*self.limits).to(self.dtype)


@functools.lru_cache(8)
def _unpacked(mask: str, shape: tuple[int, ...]) -> Tensor | None:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(mask), np.uint8))
    count = math.prod(shape)
    if not count <= len(bits) < count + 8:  # of items of another shape, such as one channel
        return None
    with torch.inference_mode(False):
        return torch.from_numpy(bits[:count].astype(bool)).view(shape)


IMAGES = Codec("uint8")
POINTS = Codec("float")


@dataclass(frozen=True)
class DataSpec:
    """The shape of one item, how it is coded, the names of its classes, the mean of each channel, and its conditions.

    The mean, in the items' units, is reported only; training does not depend on it. Of data in memory it is over all
    items, else over a sample of at most SPEC_ITEMS; of points it is empty.
    """

    shape: tuple[int, ...]
    codec: Codec
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    rate: int | None = None
    """Samples in a second, of recordings."""
    conditions: Mapping[str, Condition] = field(default_factory=dict, hash=False)
    """All conditions of an item by name; the classes are the condition LABEL."""
    grid: Grid | None = None
    """Names, units and coordinates of channels and axes, of fields."""
    periodic: tuple[int, ...] = ()
    """Axes of space that go around, by number: what is beyond their end is their beginning."""
    whole: tuple[int, ...] = field(default=(), compare=False)
    """The sides of the items that these are windows of; () of whole items."""
    tile: tuple[int, ...] = field(default=(), compare=False)
    """The sides of the tiles of x that a network gets; () where it gets all of x."""
    autoencoder: Autoencoder | None = field(default=None, compare=False, repr=False)
    """The autoencoder in whose latent space a model is; None where x is the items themselves."""

    def __post_init__(self) -> None:
        label = self.conditions.get(LABEL)
        if label is not None and not self.classes:
            object.__setattr__(self, "classes", label.classes)
        label_first = {LABEL: Classes(self.classes)} if self.classes else {}
        object.__setattr__(self, "conditions", label_first | dict(self.further))

    @property
    def further(self) -> Mapping[str, Condition]:
        """The conditions besides the label."""
        return {name: kind for name, kind in self.conditions.items() if name != LABEL}

    @property
    def x_shape(self) -> tuple[int, ...]:
        """The shape of x, which the network gets: that of an item, or of its latents."""
        return self.shape if self.autoencoder is None else self.autoencoder.latent_shape(self.shape)

    def encode(self, items: Tensor) -> Tensor:
        """Convert items (B, *shape) to x, float32 (B, *x_shape) in [-1, 1]. Differentiable as `to_x` is."""
        return self.to_x(self.codec.encode(items))

    @torch.no_grad()
    def to_x(self, encoded: Tensor) -> Tensor:
        """Return the x of items that are in [-1, 1] already: the same, with its graph, or their latents, detached."""
        return encoded if self.autoencoder is None else self.autoencoder.to(encoded.device).encode(encoded)

    def from_x(self, x: Tensor) -> Tensor:
        """Return the items in [-1, 1] of x: the same, or what latents decode to. Differentiable in x."""
        if self.autoencoder is None:
            return x
        return self.autoencoder.to(x.device).decode(x.float(), self.shape[1:])

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """Convert x (B, *x_shape) to items (B, *shape), detached."""
        return self.codec.decode(self.from_x(x))

    def without_label(self) -> "DataSpec":
        """Return the description of the same data without classes."""
        return replace(self, classes=(), conditions=self.further)

    def cells(self, weights: str) -> Tensor | None:
        """Return the weights of cells, float32 (*space) of mean 1; None where all count alike.

        Args:
            weights: "equal", or else the areas of the grid are taken, where it has some.
        """
        areas = self.grid.areas(self.shape[1:]) if self.grid is not None and weights != "equal" else None
        return None if areas is None else torch.tensor(areas, dtype=torch.float32)

    def with_borders(self, names: str | Sequence[bool] | None, setting: str = "periodic") -> "DataSpec":
        """Return the description of items whose axes of these names go around.

        Args:
            names: Names of axes joined by commas: those of the grid, what they are (longitude), or x, y and z; "none";
                or for each axis whether it goes around. None is those whose coordinates say it: longitudes of 360
                degrees.
            setting: The option that names them.

        Raises:
            InputError: If there is no such axis.
        """
        known = self.axis_names
        shown = ", ".join(known) or "none: these are points"
        if names is None:
            axes = () if self.grid is None else self.grid.axes
            return replace(self, periodic=tuple(number for number, axis in enumerate(axes) if axis.closed))
        if not isinstance(names, str):
            if len(names) != len(known):
                raise InputError(f"{option(setting, names)} has one truth value for each axis of space: {shown}")
            return replace(self, periodic=tuple(number for number, around in enumerate(names) if around))
        axes, places = () if self.grid is None else self.grid.axes, set[int]()
        for name in [] if names == "none" else [name.strip() for name in names.split(",")]:
            found = [known.index(name)] if name in known else [k for k, axis in enumerate(axes) if axis.is_called(name)]
            if len(found) != 1:
                raise InputError(
                    f"{option(setting, names)} names {name or 'nothing'}, and the axes of space are {shown}"
                )
            places |= {*found}
        return replace(self, periodic=tuple(sorted(places)))

    @property
    def hours(self) -> float:
        """The time between the states that items are given; 0 where it is not known."""
        return max((getattr(kind, "hours", 0.0) for kind in self.further.values()), default=0.0)

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The name of each axis of space; z, y and x where they have none."""
        named = () if self.grid is None else tuple(axis.name for axis in self.grid.axes)
        return named or AXES[len(AXES) - len(self.shape) + 1 :]

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The name of each channel, its number where it has none."""
        return self.grid.names if self.grid is not None else tuple(map(str, range(self.shape[0])))

    @property
    def titles(self) -> tuple[str, ...]:
        """The name of each channel of fields, with its units; () of other data."""
        return () if self.grid is None else self.grid.titles

    @property
    def limits(self) -> Limits:
        """What pictures show as black and white: the limits of each channel where they differ, else those of all; of
        fields those of each, with names and units.
        """
        limits = self.codec.channel_limits
        if self.grid is None or len(self.shape) < 3:
            return limits
        ranges = self.codec.ranges or (self.codec.limits,) * self.shape[0]
        return FieldLimits.of(ranges, self.titles)

    @property
    def items(self) -> str:
        """The kind, the shape and the range of the items, in words."""
        return f"{self.codec.kind} items of {'x'.join(map(str, self.shape))} from {limits_text(self.codec)}"


def spec_of_items(
    items: Tensor,
    classes: tuple[str, ...],
    name: str,
    limits: Limits | None = None,
    rate: int | None = None,
    conditions: Mapping[str, Condition] | None = None,
    codec: Codec | None = None,
) -> DataSpec:
    """Describe items in memory.

    Args:
        items: (N, C, *space) of uint8, uint16 or float32, or float32 points (N, 2).
        classes: The name of each label.
        name: What messages call the data.
        limits: The range of floats, or that of each channel; None is that of `items`, of several channels by channel.
        rate: The sampling rate of recordings.
        conditions: The conditions besides the label.
        codec: The codec; None is that of the range of the items.

    Raises:
        InputError: If floats hold NaN or infinity, or have no range.
    """
    mean = channel_mean(items) if items.ndim > 2 else ()
    codec = _codec(items, name, limits) if codec is None else codec
    return DataSpec(tuple(items.shape[1:]), codec, classes, mean, rate, conditions or {})


def with_gaps(items: Tensor, name: str, gaps: str | None, channels: Sequence[str] = ()) -> Codec | None:
    """Return the codec of floats (N, C, *space) of which values are missing (NaN); None where none is.

    Args:
        items: Items, or some of them.
        name: What messages call the data.
        gaps: What is known of the gaps; None finds out whether all items share them.
        channels: The name of each channel, where they have names.

    Raises:
        InputError: If gaps differ where nothing is known of them, or a channel has no value.
    """
    missing = items.isnan() if items.is_floating_point() and items.ndim > 2 else torch.zeros(1, dtype=torch.bool)
    if not bool(missing.any()):
        return None
    shared = bool((missing == missing[:1]).all())
    if gaps is None and not shared:
        raise GapsDifferError(
            f"the values that {name} lacks differ from item to item{_of_channels(missing, channels)}: "
            f"{option('gaps', 'random')} says that they are missing at random, so that complete items are learned; "
            "else fill the gaps"
        )
    axes = (0, *range(2, items.ndim))
    lows = items.where(~missing, math.inf).amin(axes).tolist()
    highs = items.where(~missing, -math.inf).amax(axes).tolist()
    if empty := [number for number, (low, high) in enumerate(zip(lows, highs, strict=True)) if low > high]:
        which = ", ".join(channels[number] if channels else f"channel {number}" for number in empty)
        raise InputError(f"{name} has no value in {which}: leave it out")
    if not all(map(math.isfinite, (*lows, *highs))):
        raise InputError(f"{name} holds infinity: leave those items out, or fill the gaps")
    if lows == highs:
        raise InputError(f"{name} holds nothing but one value in each channel: {NOTHING_TO_LEARN}")
    limits: Limits = (lows[0], highs[0]) if len(lows) == 1 else tuple(zip(lows, highs, strict=True))
    kind: Gaps = "random" if gaps == "random" else "shared"
    bits = np.packbits((~missing[0]).numpy().reshape(-1))
    mask = base64.b64encode(bits.tobytes()).decode() if kind == "shared" else ""
    return replace(Codec.of(limits), gaps=kind, mask=mask)


def _of_channels(missing: Tensor, channels: Sequence[str]) -> str:
    """The channels whose gaps differ, with the share that is missing."""
    differ = (missing != missing[:1]).transpose(0, 1).flatten(1).any(1).nonzero().flatten().tolist()
    shares = missing.transpose(0, 1).flatten(1).double().mean(1).tolist()
    return f" ({', '.join(f'{channels[k]} {shares[k]:.1%}' for k in differ[:NAMED_RANGES])})" if channels else ""


def limits_text(codec: Codec) -> str:
    """Format the range of the items as "270 to 310", or those of the first channels."""
    ranges = codec.ranges[:NAMED_RANGES] or (codec.limits,)
    more = ", ..." if len(codec.ranges) > NAMED_RANGES else ""
    return ", ".join(f"{low:g} to {high:g}" for low, high in ranges) + more + " by channel" * bool(codec.ranges)


def _codec(items: Tensor, name: str, limits: Limits | None) -> Codec:
    if items.dtype == torch.uint8:
        return IMAGES
    if items.dtype == torch.uint16:
        return Codec("uint16")
    if items.ndim == 2:
        return POINTS
    if limits is not None:
        return Codec.of(limits)
    low, high = (end.item() for end in items.aminmax())
    if not bool(torch.tensor([low, high]).isfinite().all()):
        rows = [i for i, item in enumerate(items) if not bool(item.isfinite().all())]
        raise InputError(
            f"{name} holds NaN or infinity in {len(rows):,} of {len(items):,} items, number {rows[0]} the first: "
            f"leave those items out, fill the gaps, or say what they are by {option('gaps')}"
        )
    if low == high:
        raise InputError(f"{name} holds nothing but the value {low:g}: {NOTHING_TO_LEARN}")
    if items.shape[1] == 1:
        return Codec("float", (low, high))
    other_axes = (0, *range(2, items.ndim))
    lows, highs = items.amin(other_axes).tolist(), items.amax(other_axes).tolist()
    if lows == highs:
        raise InputError(f"{name} holds nothing but one value in each channel: {NOTHING_TO_LEARN}")
    return Codec("float", ranges=tuple(zip(lows, highs, strict=True)))


def size_text(shape: tuple[int, ...]) -> str:
    """Format the shape of an item as "height x width with C channels"."""
    return " x ".join(map(str, shape[1:])) + f" with {shape[0]} channels"


def inputs(
    spec: DataSpec, x0: Tensor, values: Mapping[str, Tensor], seed: int, step: int, indices: Sequence[int]
) -> dict[str, Tensor]:
    """Make what a network gets of the conditions besides the label.

    Args:
        spec: The description of the data.
        x0: Clean items (B, *) in [−1, 1], not their latents, of which conditions are made.
        values: The values of the other conditions, as `Dataset.conditions_of` returns them; what is missing is absent.
        seed: Seed of random operators.
        step: The training step, of which their draws depend too.
        indices: The index of each item in the random numbers.

    Returns:
        Inputs of the network by name, on the device of x0.
    """
    made = dict[str, Tensor]()
    for name, degradation in derived.degradations(spec.further, spec.periodic).items() if spec.further else ():
        made[argument_name(name)] = spec.further[name].place(
            degradation.make(x0, seed, step, indices), spec.x_shape[1:]
        )
    values = {name: spec.further[name].drawn(value, seed, step, indices) for name, value in values.items()}
    inputs = encoded(spec, values, len(x0), x0.device, made)
    for name, kind in spec.further.items():
        inputs[argument_name(name)] = kind.noised(inputs[argument_name(name)], seed, step, indices)
    return inputs


def encoded(
    spec: DataSpec,
    values: Mapping[str, Tensor],
    count: int,
    device: torch.device,
    made: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Encode values of the conditions besides the label for a network; what is left out is absent.

    Args:
        spec: The description of the data.
        values: The values by the names of the conditions, `count` of each, in the units of the data.
        count: The number of items.
        device: The device of the network.
        made: Inputs of the network that are made already, by the names of its arguments.

    Returns:
        Inputs of the network by the names of its arguments.
    """
    inputs = dict(made or {})
    for name, kind in spec.further.items():
        if (argument := argument_name(name)) in inputs:
            continue
        whole = spec.tile and getattr(kind, "window", "") == "coarse"  # which each tile gets
        sides = spec.tile if whole else spec.x_shape[1:]
        value = values.get(name)
        if value is None:
            inputs[argument] = on_device(kind.absent(count, sides), device)
        else:
            place = value.device if value.dtype == torch.float64 else device  # which not every device has
            encoded_value = kind.encode(on_device(value, place), sides)
            inputs[argument] = on_device(encoded_value, device)
    return inputs


def channel_mean(items: Tensor) -> tuple[float, ...]:
    """Compute the mean of each channel of items (N, C, *) of any dtype.

    Integers are summed as integers and floats in float64, a chunk at a time.

    Returns:
        One mean per channel in the items' units, rounded to two decimals (integers) or six digits (floats).
    """
    exact = torch.float64 if items.is_floating_point() else torch.int64
    total = torch.zeros(items.shape[1], dtype=exact)
    for start in range(0, len(items), SUMMED_ITEMS):
        total += items[start : start + SUMMED_ITEMS].flatten(2).sum((0, 2), dtype=exact)
    if items.is_floating_point() and bool(total.isnan().any()):  # of values that are there
        return tuple(float(f"{one:.6g}") for one in items.movedim(1, 0).flatten(1).double().nanmean(1).tolist())
    means = (total / (items.numel() / items.shape[1])).tolist()
    return tuple(float(f"{mean:.6g}") if items.is_floating_point() else round(mean, 2) for mean in means)
