"""Names, units and coordinates of the channels and axes of fields, as files of science have them.

They are read from the attributes that the CF conventions name (`axis`, `standard_name`, `units`), go into the model
file, and come out with samples.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

ROLES = {
    "T": ({"time", "valid_time"}, {"time"}, set[str]()),
    "X": ({"longitude", "projection_x_coordinate"}, {"lon", "longitude"}, {"degrees_east", "degree_east"}),
    "Y": ({"latitude", "projection_y_coordinate"}, {"lat", "latitude"}, {"degrees_north", "degree_north"}),
    "Z": (
        {"air_pressure", "height", "depth", "altitude", "model_level_number", "ocean_sigma_coordinate"},
        {"level", "lev", "plev", "pressure_level", "isobaricinhpa", "height", "depth", "levels"},
        set[str](),
    ),
    "C": (set[str](), {"channel", "channels", "band", "variable", "c"}, set[str]()),
    "E": ({"realization"}, {"realization", "member", "number", "ensemble", "sample", "batch", "item"}, set[str]()),
}
"""What an axis is, by the CF letter (C: channels, E: members and other items): standard names, names and units."""
KEPT = ("standard_name", "long_name", "units", "axis", "positive", "calendar", "bounds", "grid_mapping")
"""Attributes that are kept with an axis or a channel."""
MOST_COORDINATES = 4096
"""Largest number of coordinates of an axis that a model file holds."""
Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Axis:
    """An axis of space, or that of the items.

    Attributes:
        name: Its name.
        values: Its coordinates; () where it has none, or the items have their own.
        attributes: Its attributes in the file, of those of `KEPT`.
    """

    name: str
    values: tuple[float, ...] = ()
    attributes: Attributes = ()

    @property
    def role(self) -> str:
        """What the axis is, a letter of `ROLES`; "" where nothing says it."""
        return role_of(self.name, dict(self.attributes))

    def is_called(self, name: str) -> bool:
        """Whether a name says what the axis is, as longitude of an axis lon."""
        standard, names, _ = ROLES.get(self.role, ((), (), ()))
        return name.lower() in (*standard, *names)

    @property
    def units(self) -> str:
        """The units of the coordinates; "" without."""
        return dict(self.attributes).get("units", "")

    @property
    def in_degrees(self) -> bool:
        """Whether the coordinates are degrees: by their units, or without these by the name and the range."""
        known = self.name.lower() in ROLES[self.role][1] if self.role in ("X", "Y") else False
        return "degree" in self.units or (known and not self.units and max(map(abs, self.values), default=361) <= 360)

    @property
    def closed(self) -> bool:
        """Whether the coordinates go around: longitudes whose last step leads to the first."""
        if self.role != "X" or len(self.values) < 2 or not self.in_degrees:
            return False
        step = (self.values[-1] - self.values[0]) / (len(self.values) - 1)
        return math.isclose(abs(step) * len(self.values), 360, rel_tol=1e-3)


@dataclass(frozen=True)
class Channel:
    """A channel: a variable, or a level of one.

    Attributes:
        variable: The name of the variable.
        level: The coordinate of the level; None of a variable without levels.
        attributes: The attributes of the variable in the file, of those of `KEPT`.
    """

    variable: str
    level: float | None = None
    attributes: Attributes = ()

    @property
    def name(self) -> str:
        """The name of the channel, as in "t2m" or "z@500"."""
        return self.variable if self.level is None else f"{self.variable}@{self.level:g}"

    @property
    def units(self) -> str:
        """The units of its values; "" without."""
        return dict(self.attributes).get("units", "")


@dataclass(frozen=True)
class Grid:
    """What the channels and the axes of fields are.

    Attributes:
        channels: Each channel.
        axes: Each axis of space.
        items: The axis of the items.
        levels: The axis of levels, where channels are levels of variables.
        affine: The matrix from voxels to places of a NIfTI file, row by row; () of others.
        cells: The weight of each cell where a file has them: float32 in base 64, 1 on average.
        whole: The axes of the whole, of windows; () of others.
    """

    channels: tuple[Channel, ...]
    axes: tuple[Axis, ...]
    items: Axis
    levels: Axis | None = None
    affine: tuple[tuple[float, ...], ...] = ()
    cells: str = ""
    whole: tuple[Axis, ...] = ()

    def of_sides(self, own: Sequence[int], sides: Sequence[int]) -> "Grid":
        """Return the grid of items of other sides: the axes of the whole, or else axes without coordinates.

        Args:
            own: The sides of this grid.
            sides: The other sides.
        """
        if tuple(own) == tuple(sides):
            return self
        axes = list[Axis]()
        for axis, whole, before, after in zip(self.axes, self.whole or self.axes, own, sides, strict=True):
            other = whole if len(whole.values) == after else replace(axis, values=())
            axes.append(axis if before == after else other)
        return replace(self, axes=tuple(axes), cells="", whole=self.whole or self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each channel."""
        return tuple(one.name for one in self.channels)

    @property
    def titles(self) -> tuple[str, ...]:
        """The name of each channel with its units, as in "t2m [K]"."""
        return tuple(f"{one.name} [{one.units}]" if one.units else one.name for one in self.channels)

    def areas(self, sides: Sequence[int]) -> Any:
        """Return the area of each cell, an array of the shape `sides`, 1 on average; None where nothing is known of it.

        It is that of `cells`, or the cosine of the latitude.
        """
        if self.cells:
            return np.frombuffer(base64.b64decode(self.cells), "<f4").reshape(sides).copy()
        for place, axis in enumerate(self.axes):
            if axis.role == "Y" and axis.in_degrees and len(axis.values) == sides[place]:
                cosines = np.cos(np.deg2rad(axis.values)).clip(0)
                shape = [-1 if number == place else 1 for number in range(len(sides))]
                areas = np.broadcast_to(cosines.reshape(shape), sides)
                return areas / areas.mean()
        return None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether items have this shape (C, *space)."""
        sides = all(len(axis.values) in (0, side) for axis, side in zip(self.axes, shape[1:], strict=False))
        cells = len(base64.b64decode(self.cells)) in (0, 4 * math.prod(shape[1:]))
        return len(self.channels) == shape[0] and len(self.axes) == len(shape) - 1 and sides and cells


def role_of(name: str, attributes: Mapping[str, Any]) -> str:
    """Tell what an axis is by its attributes, or else by its name: a letter of `ROLES`, "" where nothing says it."""
    if str(attributes.get("axis", "")) in ("X", "Y", "Z", "T"):
        return str(attributes["axis"])
    standard, units = str(attributes.get("standard_name", "")), str(attributes.get("units", ""))
    if " since " in units:
        return "T"
    for letter, (standards, names, own_units) in ROLES.items():
        if standard in standards or name.lower() in names or units in own_units:
            return letter
    return "Z" if attributes.get("positive") in ("up", "down") else ""


def kept(attributes: Mapping[str, Any]) -> Attributes:
    """Return the attributes of `KEPT` as text."""
    return tuple((name, str(attributes[name])) for name in KEPT if str(attributes.get(name, "")).strip())
