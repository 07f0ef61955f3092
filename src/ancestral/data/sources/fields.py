"""Fields of science as items: whatever xarray opens (NetCDF, HDF5, zarr), NIfTI volumes and TIFF stacks.

A variable is a channel, or as many as it has levels; one axis is that of the items, by default time. Items are read
by index, whole chunks at a time, by each process with a file that it opened itself.
"""

import base64
import importlib.util
import math
import os
import warnings
from calendar import monthrange
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.base.errors import InputError, install_command, one_line, pip_install
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config.data_config import CELL_WEIGHTS
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, Notes
from ancestral.data.files import Unreadable
from ancestral.data.grid import MOST_COORDINATES, Axis, Channel, Grid, kept, role_of
from ancestral.data.lazy_dataset import LazyDataset, StoredItems
from ancestral.data.place import Place

CACHED = 2**27
"""Bytes of chunks that are kept."""
ENGINES = {".nc": "h5netcdf", ".nc4": "h5netcdf", ".h5": "h5netcdf", ".hdf5": "h5netcdf", ".zarr": "zarr"}
"""The reader that xarray takes for a suffix; for others it looks for one among those that are installed."""
TIFF_NAMES = {"T": "time", "Z": "z", "Y": "y", "X": "x", "C": "channel", "S": "channel"}
LARGE = 2**30
"""Bytes from which on data are read again and again, and not kept in memory."""
SHOWN = 8
"""Channels that a message names."""
DATE_PARTS = ("year", "month", "day", "hour", "dayofyear")
"""The numbers that a time gives as a condition, as in time.month."""


def xarray() -> Any:
    """Import xarray. Raises InputError if it is missing."""
    return imported("xarray")


def imported(name: str) -> Any:
    """Import a package of the extra `fields`. Raises InputError if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"fields need the package {name}: {install_command('fields')}") from None


def opened(path: Path) -> Any:
    """Open a file or folder of fields as an xarray.Dataset. Times stay numbers, with their units and calendar.

    Raises:
        InputError: If it cannot be opened.
    """
    name, lower = one_line(path), path.name.lower()
    if lower.endswith((".nii", ".nii.gz")):
        return _nifti(path)
    if lower.endswith((".tif", ".tiff")):
        return _tiff(path)
    library = xarray()
    engine = ENGINES.get(path.suffix.lower(), "zarr" if path.is_dir() else None)
    if engine == "h5netcdf" and _is_classic(path):
        engine = "scipy"
        if importlib.util.find_spec("scipy") is None:
            raise InputError(f"{name} is NetCDF 3, which SciPy reads: {pip_install()} scipy")
    options: dict[str, Any] = {"phony_dims": "access"} if engine == "h5netcdf" else {}
    if engine is not None:
        imported(engine)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that are not in one place, and of odd attributes
            return library.open_dataset(
                path, engine=engine, chunks=None, decode_times=False, decode_timedelta=False, **options
            )
    except Exception as error:  # a damaged file may raise anything
        reason = one_line(error) or type(error).__name__
    hint = "; GRIB needs the package cfgrib, GeoTIFF rioxarray" if engine is None else ""
    raise InputError(f"{name} cannot be opened as fields: {reason}{hint}")


def _is_classic(path: Path) -> bool:
    """Whether a file is NetCDF of version 3."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(3) == b"CDF"
    return False


def _nifti(path: Path) -> Any:
    nibabel, library = imported("nibabel"), xarray()
    try:
        image = nibabel.load(path)
        values, affine = image.dataobj, np.asarray(image.affine, dtype=float)
        unit = image.header.get_xyzt_units()[0]
    except Exception as error:
        raise InputError(f"{one_line(path)} is not a whole NIfTI file: {one_line(error)}") from None
    sides, dims = image.shape, ("x", "y", "z", "time")[: len(image.shape)]
    if len(sides) not in (3, 4):
        raise InputError(f"{one_line(path)} has the shape {sides}: give volumes, or a series of them")
    array, units = np.asarray(values, dtype=np.float32), "mm" if unit == "unknown" else unit
    lengths = np.linalg.norm(affine[:3, :3], axis=0)  # of a voxel
    axes = zip(dims[:3], sides, lengths, strict=False)
    coordinates = {name: (name, np.arange(side) * length, {"units": units}) for name, side, length in axes}
    if len(sides) == 3:
        array, dims = array[None], ("item", *dims)
    return library.Dataset({"volume": (dims, array)}, coordinates, {"affine": affine})


def _tiff(path: Path) -> Any:
    tifffile, library = imported("tifffile"), xarray()
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            array, axes, ome = series.asarray(), series.axes, file.ome_metadata
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        more = ": pip install imagecodecs reads it" if "imagecodecs" in reason else ""
        raise InputError(f"{one_line(path)} is not a TIFF that can be read ({reason}){more}") from None
    dims = [TIFF_NAMES.get(axis, f"{axis.lower()}{number}") for number, axis in enumerate(axes)]
    if array.ndim == 2:
        array, dims = array[None], ["item", *dims]
    coordinates = {}
    if ome:
        pixels = tifffile.xml2dict(ome)["OME"]["Image"]
        pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
        for name in set(dims) & {"x", "y", "z"}:
            if size := pixels.get(f"PhysicalSize{name.upper()}"):
                unit = pixels.get(f"PhysicalSize{name.upper()}Unit", "µm")
                coordinates[name] = (name, np.arange(array.shape[dims.index(name)]) * float(size), {"units": unit})
    return library.Dataset({"image": (tuple(dims), array)}, coordinates)


@dataclass(frozen=True)
class Choice:
    """Which variables of a data set are the channels of items, and which axes what.

    Attributes:
        parts: Each variable with its levels by their places; None of one without levels.
        items: The axes of the items.
        level: The axis of levels; "" without.
        space: The axes of space.
        count: The number of items.
        block: The number of items that are read at once: those of a chunk.
        grid: Names, units and coordinates.
    """

    parts: tuple[tuple[str, tuple[int, ...] | None], ...]
    items: tuple[str, ...]
    level: str
    space: tuple[str, ...]
    count: int
    block: int
    grid: Grid

    def read(self, fields: Any, number: int) -> Tensor:
        """Read a block of items, float32 (n, C, *space)."""
        first = number * self.block
        rows = range(first, min(self.count, first + self.block))
        channels = []
        for name, levels in self.parts:
            variable = fields[name]
            if len(self.items) == 1:
                variable = variable.isel({self.items[0]: slice(rows.start, rows.stop)})
            else:
                sizes = [fields.sizes[axis] for axis in self.items]
                places = np.unravel_index(rows.start, sizes)
                variable = variable.isel({axis: [int(one)] for axis, one in zip(self.items, places, strict=True)})
            order = (*self.items, *([self.level] if levels is not None else []), *self.space)
            values = np.asarray(variable.transpose(*order).values, dtype=np.float32)
            values = values.reshape(len(rows), *values.shape[len(self.items) :])
            channels.append(values[:, None] if levels is None else values[:, list(levels)])
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(channels, axis=1)))


def chosen(fields: Any, name: str, variables: Sequence[str] | None, items: str | None, dims: int | None) -> Choice:
    """Decide which variables of a data set are channels, and which axis is that of the items.

    Args:
        fields: The xarray.Dataset.
        name: What messages call it.
        variables: Names of variables, or of levels of them as in z@500; None takes all numbers that have the axes of
            the items.
        items: The axes of the items, joined by commas; None takes time, or what else is no axis of space.
        dims: The number of axes of space; None takes vertical levels as channels.

    Raises:
        InputError: If a variable or an axis is not there, or they do not fit each other.
    """
    given = [part.strip() for one in variables or () for part in ([one] if one in fields else one.split(","))]
    named = [_level_of(fields, name, one) for one in given or _numbers(fields)]
    if not named:
        raise InputError(f"{name} holds no variable of numbers: it has {_listed(fields)}")
    first, axes = named[0][0], _axes(fields, items, name, [one for one, _ in named])
    named = [(one, at) for one, at in named if variables or set(axes) <= set(fields[one].dims)]
    if not named:
        raise InputError(f"{name} has no variable with the axis {', '.join(axes)}: it has {_listed(fields)}")
    first, rest = named[0][0], [axis for axis in fields[named[0][0]].dims if axis not in axes]
    levels = [axis for one, _ in named for axis in fields[one].dims if _role(fields, axis) in ("Z", "C")]
    level = next((axis for axis in levels if dims is None or len(set(rest) - {axis}) >= dims or axis not in rest), "")
    level = "" if dims == 3 and level and _role(fields, level) == "Z" else level
    space = tuple(axis for axis in rest if axis != level)
    if not 1 <= len(space) <= 3 or dims not in (None, len(space)):
        axes_named = ", ".join(map(str, fields[first].dims))
        raise InputError(
            f"{first} of {name} has the axes {axes_named}, of which {len(space)} are left for space: name those of the "
            f"items, as in {option('items', 'time,member')}"
        )
    parts, channels = [], list[Channel]()
    for one, at in named:
        variable = fields[one]
        if {*variable.dims} - {level} != {*axes, *space}:
            raise InputError(
                f"{one} of {name} has the axes {', '.join(map(str, variable.dims))}, and {first} has "
                f"{', '.join(map(str, fields[first].dims))}: name variables of the same axes by {option('variables')}"
            )
        own = level in variable.dims
        places = (at,) if at is not None else tuple(range(fields.sizes[level])) if own else None
        parts.append((one, places if own else None))
        coordinates = _coordinates(fields, level) if own else ()
        for place in places if own and places is not None else (None,):
            value = None if place is None else float(coordinates[place]) if coordinates else float(place)
            channels.append(Channel(one, value, kept(variable.attrs)))
    count = int(np.prod([fields.sizes[axis] for axis in axes]))
    if not count:
        raise InputError(f"{name} holds no items: its axis {', '.join(axes)} is empty")
    _check_order(fields, axes, name)
    grid = Grid(
        tuple(channels),
        tuple(_axis(fields, axis) for axis in space),
        Axis(",".join(axes), (), kept(fields[axes[0]].attrs) if axes[0] in fields.coords else ()),
        _axis(fields, level) if any(one.level is not None for one in channels) else None,
        tuple(tuple(map(float, row)) for row in fields.attrs.get("affine", ())),
    )
    block = 1 if len(axes) > 1 else max(_chunk(fields[one], axes[0]) for one, _ in parts)
    item = 4 * len(channels) * int(np.prod([fields.sizes[axis] for axis in space]))
    return Choice(tuple(parts), axes, level, space, count, max(1, min(block, CACHED // item, count)), grid)


def _numbers(fields: Any) -> list[str]:
    variables = fields.data_vars.items()
    names = [str(one) for one, variable in variables if variable.dtype.kind in "fiu" and variable.ndim > 1]
    bounds = {variable.attrs.get("bounds") for variable in fields.variables.values()}
    return sorted(one for one in names if one not in bounds)  # the order of files depends on the version of a library


def _listed(fields: Any) -> str:
    variables = fields.data_vars.items()
    shown = [f"{one} ({', '.join(map(str, variable.dims))}; {variable.dtype})" for one, variable in variables]
    return ", ".join(shown) or "no variable"


def _level_of(fields: Any, name: str, text: str) -> tuple[str, int | None]:
    """The variable of a text as z or z@500, and the place of its level."""
    variable, at, level = text.strip().partition("@")
    if variable not in fields.data_vars:
        raise InputError(f"{name} has no variable {variable!r}: it has {_listed(fields)}")
    if fields[variable].dtype.kind not in "fiu":
        raise InputError(f"{variable} of {name} holds {fields[variable].dtype}, and no numbers: leave it out")
    if not at:
        return variable, None
    axis = next((one for one in fields[variable].dims if _role(fields, one) in ("Z", "C")), None)
    values = () if axis is None else _coordinates(fields, axis)
    try:
        return variable, [round(one, 6) for one in values].index(round(float(level), 6))
    except ValueError:
        shown = ", ".join(f"{one:g}" for one in values) or "none"
        raise InputError(f"{variable} of {name} has no level {level}: it has {shown}") from None


def _axes(fields: Any, items: str | None, name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The axes of the items: as named, else time and members, else the first."""
    dims = list(dict.fromkeys(axis for one in names for axis in fields[one].dims))
    if items is not None:
        axes = tuple(one.strip() for one in items.split(","))
        if missing := [one for one in axes if one not in fields.dims]:
            raise InputError(f"{name} has no axis {missing[0]!r}: it has {', '.join(map(str, fields.dims))}")
        return axes
    found = tuple(axis for letter in ("T", "E") for axis in dims if _role(fields, axis) == letter)
    if not found and dims and _role(fields, dims[0]) in ("X", "Y"):
        raise InputError(
            f"{name} has axes of space alone, {', '.join(map(str, dims))}: name that of the items, as in "
            f"{option('items', dims[0])}, or add one, as in .expand_dims('time')"
        )
    return found or tuple(dims[:1])


def _role(fields: Any, axis: str) -> str:
    return role_of(axis, fields[axis].attrs if axis in fields.coords else {})


def _coordinates(fields: Any, axis: str) -> tuple[float, ...]:
    if axis not in fields.coords or fields[axis].dtype.kind not in "fiu" or len(fields[axis]) > MOST_COORDINATES:
        return ()
    return tuple(map(float, fields[axis].values.tolist()))


def _axis(fields: Any, axis: str) -> Axis:
    return Axis(axis, _coordinates(fields, axis), kept(fields[axis].attrs) if axis in fields.coords else ())


def _chunk(variable: Any, axis: str) -> int:
    """The length of the chunks of a variable on disk along an axis, 1 where they are not known."""
    chunks = variable.encoding.get("preferred_chunks") or {}
    return int(chunks.get(axis, 1)) if isinstance(chunks, Mapping) else 1


def _check_order(fields: Any, axes: Sequence[str], name: str) -> None:
    """Raise InputError if times are not in order."""
    for axis in axes:
        if axis in fields.coords and _role(fields, axis) == "T" and len(fields[axis]) > 1:
            values = fields[axis].values
            falls = np.flatnonzero(~(values[1:] > values[:-1]))
            if len(falls):
                raise InputError(
                    f"{axis} of {name} is out of order or double at place {int(falls[0]) + 1}: sort it, as in "
                    f'xarray.open_dataset(...).sortby("{axis}").drop_duplicates("{axis}")'
                )


PREVIOUS, MOST_STATES = "previous", 64
"""The name of a condition that is the states before an item, and the largest number of them."""
HOURS = {"day": 24.0, "hour": 1.0, "hr": 1.0, "h": 1.0, "minute": 1 / 60, "min": 1 / 60, "second": 1 / 3600}
"""Hours of the units of times."""
LONG_STEP = 1.5
"""A step of time from this many usual ones on is a gap, which no state is taken across."""


class FieldItems(StoredItems):
    """Items of some variables of a data set of fields. All channels of an item are read at once."""

    gapped = True
    fork_safe = False  # HDF5 and zarr have threads and locks that a fork does not take along

    def __init__(self, source: Any, name: str, choice: Choice, notes: Notes = ()) -> None:
        self.source, self.choice, self.grid = source, choice, choice.grid
        super().__init__(name, choice.count, notes=notes)
        self._lock = Lock()
        self._handle: tuple[int, Any] | None = None
        self._blocks: OrderedDict[int, Tensor] = OrderedDict()
        self.threads = 1  # the libraries have threads of their own

    def __getstate__(self) -> dict[str, Any]:
        kept_state = {name: value for name, value in vars(self).items() if name != "_lock"}
        return {**kept_state, "_handle": None, "_blocks": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    @property
    def fields(self) -> Any:
        """The data set, opened by this process."""
        if not isinstance(self.source, Path):
            return self.source
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), opened(self.source))
        return self._handle[1]

    def raw(self, row: int) -> Tensor:
        """Return an item, float32 (C, *space); NaN where a value is missing."""
        number, place = divmod(row, self.choice.block)
        with self._lock:
            if number not in self._blocks:
                try:
                    self._blocks[number] = self.choice.read(self.fields, number)
                except Exception as error:  # a truncated chunk may raise anything
                    raise Unreadable(one_line(error) or type(error).__name__) from None
                while len(self._blocks) > 1 and sum(one.nbytes for one in self._blocks.values()) > CACHED:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            return self._blocks[number][place].clone()

    def head(self, row: int) -> None:
        """Return None: fields have no headers."""
        return

    def key_of(self, row: int) -> str:
        """Name an item by its number alone."""
        return str(row)

    def name_of(self, row: int) -> str:
        """Name an item by its place on the axis of items."""
        return f"{self.choice.items[0]} {row}"

    def along(self, axis: str) -> NDArray[Any] | None:
        """See `StoredItems.along`: dates where the calendar has them."""
        fields, axes = self.fields, self.choice.items
        if axis not in axes or axis not in fields.coords:
            return None
        variable = fields[axis]
        if role_of(axis, variable.attrs) == "T" and variable.dtype.kind != "M":
            with suppress(InputError):
                variable = decoded_times(variable, self.name)
        places = np.asarray(variable.values)
        if places.dtype == object:  # dates of another calendar, as the nearest of the usual one
            days = [min(one.day, monthrange(one.year, one.month)[1]) for one in places]
            pairs = zip(places, days, strict=True)
            texts = [f"{one.year:04d}-{one.month:02d}-{day:02d}T{one.hour:02d}" for one, day in pairs]
            places = np.array(texts, dtype="datetime64[h]")
        sizes = [fields.sizes[one] for one in axes]
        return places[np.unravel_index(np.arange(self.count), sizes)[axes.index(axis)]]

    def dataset(self, conversion: Conversion, dims: int | None) -> Dataset:
        """Return the items as a data set."""
        return LazyDataset(self, conversion, len(self.choice.space))


class Columns(Mapping[str, Any]):
    """What else a data set of fields has for each item: numbers, other fields, fields of all items, parts of times."""

    def __init__(self, items: FieldItems) -> None:
        self._items = items

    def __getitem__(self, name: str) -> Any:
        items, fields = self._items, self._items.fields
        axes = items.choice.items
        axis, _, part = name.partition(".")
        if name.startswith(f"{PREVIOUS}:") and PREVIOUS not in fields.variables:
            return Earlier(items, name.removeprefix(f"{PREVIOUS}:"))
        if part in DATE_PARTS and axis in axes and len(axes) == 1:
            return _date_parts(fields[axis], part, items.name)
        if name.partition("@")[0] not in fields.variables or name in items.choice.grid.names:
            raise KeyError(name)
        variable = fields[name.partition("@")[0]]
        if variable.dims == axes:
            return np.asarray(variable.values)
        if set(axes) <= set(variable.dims):
            choice = chosen(fields, items.name, [name], ",".join(axes), None)
            return FieldItems(items.source, items.name, choice)
        if set(items.choice.space) == set(variable.dims):
            return SameField(name, items.count, variable.transpose(*items.choice.space).values)
        raise InputError(
            f"{name} of {items.name} has the axes {', '.join(map(str, variable.dims))}: a condition has those of the "
            f"items, {', '.join(axes)}, or those of space, {', '.join(items.choice.space)}"
        )

    def __iter__(self) -> Iterator[str]:
        choice = self._items.choice
        taken = {one for one, _ in choice.parts}
        yield from (str(name) for name in self._items.fields.data_vars if str(name) not in taken)
        if choice.grid.items.role == "T" and len(choice.items) == 1:
            yield from (f"{choice.items[0]}.{part}" for part in DATE_PARTS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Earlier(StoredItems):
    """The states before each item in time, the nearest first; NaN before the first one, and before a gap in time."""

    gapped, fork_safe = True, False

    def __init__(self, items: FieldItems, text: str) -> None:
        count, plus, noise = text.partition("+noise:")
        try:
            self.states, self.noise = int(count), float(noise) if plus else 0.0
        except ValueError:
            self.states = 0
        if not (0 < self.states <= MOST_STATES and 0 <= self.noise < math.inf):
            raise InputError(
                f"{option('given', f'{PREVIOUS}:{text}')} names no states: give {PREVIOUS}:2 for two, or "
                f"{PREVIOUS}:2+noise:0.05 for two with noise, at most {MOST_STATES}"
            )
        axes, sizes = items.choice.items, [items.fields.sizes[axis] for axis in items.choice.items]
        place = next((k for k, axis in enumerate(axes) if _role(items.fields, axis) == "T"), 0)
        super().__init__(f"the states before those of {items.name}", items.count)
        self.items, self._stride = items, math.prod(sizes[place + 1 :])
        stride, first = self._stride, np.arange(self.count) // self._stride % sizes[place] == 0
        hours, dated = _hours(items.fields, axes[place])
        times = hours[np.arange(self.count) // stride % sizes[place]]
        steps = (times[stride:] - times[:-stride]).astype(np.float64)
        usual = np.median(steps[~first[stride:]]) if (~first[stride:]).any() else 0.0
        self.hours = float(usual) if dated else 0.0
        self._follows = np.concatenate([np.zeros(stride, bool), ~first[stride:] & (steps < LONG_STEP * usual)])

    def raw(self, row: int) -> Tensor:
        """Return the states, float32 (states · C, *space)."""
        states, known = [self.items.raw(row)], True
        for _ in range(self.states):
            known = known and bool(self._follows[row])
            row -= self._stride
            states.append(self.items.raw(row) if known else torch.full_like(states[0], math.nan))
        return torch.cat(states[1:])

    def head(self, row: int) -> None:
        """Return None: fields have no headers."""
        return


class SameField(StoredItems):
    """One field that all items have, such as the height of the ground."""

    gapped, fork_safe = True, True

    def __init__(self, name: str, count: int, values: Any) -> None:
        super().__init__(name, count)
        self._field = torch.from_numpy(np.asarray(values, dtype=np.float32).copy())[None]

    def raw(self, row: int) -> Tensor:
        """Return the field, float32 (1, *space)."""
        return self._field

    def head(self, row: int) -> None:
        """Return None: fields have no headers."""
        return

    def dataset(self, conversion: Conversion, dims: int | None) -> Dataset:
        """Return the field as the data of each item."""
        return LazyDataset(self, conversion, self._field.ndim - 1)


def _hours(fields: Any, axis: str) -> tuple[NDArray[Any], bool]:
    """The places of an axis in hours, whatever the calendar, and whether they are times; else their numbers."""
    values = np.asarray(fields[axis].values) if axis in fields.coords else np.arange(fields.sizes[axis])
    if values.dtype == object:
        return np.array([(one - values[0]).total_seconds() / 3600 for one in values]), True
    if values.dtype.kind == "M":
        return (values - values[0]) / np.timedelta64(1, "h"), True
    unit = str(fields[axis].attrs.get("units", "")).partition(" since ")[0].rstrip("s") if axis in fields.coords else ""
    return values * HOURS.get(unit, 1.0), unit in HOURS


def _date_parts(times: Any, part: str, name: str) -> Any:
    """A part of each time, as of time.month, float64 (N,)."""
    return np.asarray(getattr(decoded_times(times, name).dt, part).values, dtype=np.float64)


def decoded_times(times: Any, name: str) -> Any:
    """Return times as dates. Raises InputError if they are none."""
    library = xarray()
    try:
        return library.decode_cf(library.Dataset({"times": (times.dims, times.values, dict(times.attrs))}))["times"]
    except Exception as error:
        calendar = times.attrs.get("calendar", "")
        if "cftime" in str(error):
            raise InputError(f"the calendar {calendar} of {name} needs a package: pip install cftime") from None
        raise InputError(f"the times of {name} are no dates: {one_line(error)}") from None


def open_fields(place: Place) -> FieldItems:
    """Open a file or folder of fields."""
    assert isinstance(place.at, Path)  # since they are read on this machine
    fields, source = opened(place.at), place.at
    return _items(fields, source, one_line(place.at.name), place)


def _opened(value: Any) -> AbstractContextManager[Any]:
    """The fields of a file, which is closed, or an xarray object."""
    return opened(Path(value)) if isinstance(value, str | os.PathLike) else nullcontext(value)


def read_fields(value: Any, grid: Grid, states: int = 0, hours: float = 0.0) -> Tensor:
    """Read fields with the variables of a model on its grid, in its order, of a file or an xarray object.

    Args:
        value: The file or the object.
        grid: The channels and the axes of the model.
        states: The number of the last states in time that are read, the last one first; 0 reads all fields.
        hours: The time between states of the model; 0 where it is not known.

    Returns:
        float32 (n, C, *space), NaN where a value is missing.

    Raises:
        InputError: If it lacks a variable or a state, or has other units or coordinates, or several members.
    """
    path = Path(value) if isinstance(value, str | os.PathLike) else None
    name, space = "the fields" if path is None else one_line(path), [axis.name for axis in grid.axes]
    with _opened(value) as fields:
        fields = fields if hasattr(fields, "data_vars") else fields.to_dataset(name=grid.channels[0].variable)
        wanted = [*dict.fromkeys(one.variable for one in grid.channels)]
        fields = fields[wanted] if set(wanted) <= set(fields.data_vars) else fields  # else it is said below
        if lacking := [axis for axis in space if axis not in fields.dims]:
            raise InputError(f"{name} has no axis {lacking[0]}: it has {', '.join(map(str, fields.dims))}")
        for axis in grid.axes:
            fields = fields.isel({axis.name: _places(fields, axis, name)})
        if set(space) == set(fields.dims) - {grid.levels.name if grid.levels is not None else ""}:
            fields = fields.expand_dims("item")  # one field
        fields = fields.transpose(..., *space)
        items = _items(fields, fields, name, Place(value, path, Conversion(), len(space), variables=grid.names))
        for own, channel in zip(items.choice.grid.channels, grid.channels, strict=True):
            if own.units and channel.units and own.units != channel.units:
                raise InputError(
                    f"{own.name} of {name} is in {own.units}, and the model's in {channel.units}: convert it"
                )
        if states:
            _check_states(items, states, hours)
        rows = range(items.count - 1, items.count - 1 - states, -1) if states else range(items.count)
        return torch.stack([items.raw(row) for row in rows])


def last_time(value: Any, grid: Grid) -> tuple[float, dict[str, str]] | None:
    """Return the last time of a file of fields or an xarray object as it is stored, with its units and calendar; None
    where it has none.
    """
    axis = grid.items.name
    with _opened(value) as fields:
        if axis not in fields.coords or not fields.sizes.get(axis):
            return None
        times = fields[axis].variable[-1:] if fields[axis].ndim else fields[axis].variable
        coded = xarray().conventions.encode_cf_variable(times)  # of dates too
    known = {name: str(coded.attrs[name]) for name in ("units", "calendar") if name in coded.attrs}
    return (float(coded.values.ravel()[-1]), known) if " since " in known.get("units", "") else None


def item_axis(value: Any, grid: Grid) -> Axis:
    """Return the axis along which the fields of a file or an xarray object lie, with its places as they are stored.

    Raises:
        InputError: If they lie along several axes.
    """
    space = {axis.name for axis in (*grid.axes, grid.levels) if axis is not None}
    with _opened(value) as fields:
        variable = fields[grid.channels[0].variable] if hasattr(fields, "data_vars") else fields
        names = [str(axis) for axis in variable.dims if axis not in space]
        if len(names) != 1:
            raise InputError(f"the fields lie along {', '.join(names) or 'no axis'}: give those along one, by .isel")
        if names[0] not in variable.coords:
            return Axis(names[0])
        coded = xarray().conventions.encode_cf_variable(variable[names[0]].variable)  # dates become numbers
        values = tuple(coded.values.tolist()) if coded.dtype.kind in "fiu" else ()
        return Axis(names[0], values, kept(coded.attrs) if values else ())


def with_weights(grid: Grid | None, sides: Sequence[int], weights: str) -> Grid | None:
    """Return a grid with the weights of its cells, where a file has them.

    Args:
        grid: The grid; None of data without names.
        sides: The number of cells along each axis.
        weights: Those of `CELL_WEIGHTS` are no file.

    Raises:
        InputError: If the file cannot be read, has several variables or none, or weights that are none.
    """
    if weights in CELL_WEIGHTS:
        return grid
    path, name = Path(weights), f"the file of weights {one_line(weights)}"
    if grid is None:
        raise InputError(f"{name} is of fields, and these data have no axes with names: give an xarray.DataArray")
    is_array = path.suffix.lower() == ".npy"
    kinds = f"give {', '.join(CELL_WEIGHTS)}, or a .npy, .nc or .zarr with one value for each cell"
    if not weights or not path.exists():
        raise InputError(f"{name} is not there: {kinds}")
    if not is_array and path.suffix.lower() not in ENGINES:
        raise InputError(f"{name} is no file of fields: {kinds}")
    if is_array:
        array = arrays.load(path)[0]
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {array.dtype} values: {kinds}")
        values = torch.from_numpy(array.astype(np.float32))
    else:
        with opened(path) as fields:
            space = {axis.name for axis in grid.axes}
            found = [str(key) for key, one in fields.data_vars.items() if set(one.dims) == space]
        if len(found) != 1:
            raise InputError(
                f"{name} has {len(found)} variables of the axes {', '.join(sorted(space))}: give one alone"
            )
        values = read_fields(path, replace(grid, channels=(Channel(found[0]),), levels=None))[0, 0]
    if tuple(values.shape) != tuple(sides):
        shapes = ["x".join(map(str, one)) for one in (values.shape, sides)]
        raise InputError(f"{name} holds {shapes[0]} values, and the items have {shapes[1]} cells: give one for each")
    values = values.where(~values.isnan(), 0.0)
    if not bool(values.isfinite().all() and (values >= 0).all() and values.any()):
        raise InputError(
            f"{name} holds values from {float(values.min()):g} to {float(values.max()):g}: give finite weights, 0 or "
            "more, and not 0 everywhere (NaN is 0)"
        )
    content = (values / values.mean()).numpy().astype("<f4").tobytes()
    return replace(grid, cells=base64.b64encode(content).decode())


def _check_states(items: FieldItems, states: int, hours: float) -> None:
    """Raise InputError unless the last items are states in time of one member, as far apart as those of the model."""
    sizes, name = items.fields.sizes, items.name
    if several := [axis for axis in items.choice.items[1:] if sizes[axis] > 1]:
        raise InputError(f"{name} has {sizes[several[0]]} of {several[0]}: begin with one, .isel({several[0]}=0)")
    if items.count < states:
        raise InputError(f"{name} has {plural(items.count, 'state')}, and the model begins with {states}")
    times, dated = _hours(items.fields, items.choice.items[0])
    steps = np.diff(times[-states:])
    if dated and hours and ((steps > LONG_STEP * hours) | (steps < hours / LONG_STEP)).any():
        shown = ", ".join(f"{step:g}" for step in steps)
        raise InputError(f"the last states of {name} are {shown} hours apart, and the model's {hours:g}: give such")


def _places(fields: Any, axis: Axis, name: str) -> list[int]:
    """The places of the coordinates of a model's axis in fields, which may have them in another order, or from another
    longitude on.
    """
    known, own = np.asarray(axis.values), np.asarray(_coordinates(fields, axis.name))
    if not len(known) or not len(own):
        return [*range(fields.sizes[axis.name])]
    apart = np.abs(known[:, None] - own)
    apart = np.minimum(apart % 360, -apart % 360) if axis.role == "X" and axis.in_degrees else apart
    step = np.abs(np.diff(known)).min() if len(known) > 1 else 1.0
    if len(own) != len(known) or (apart.min(1) > 1e-3 * step).any():
        raise InputError(
            f"{axis.name} of {name} is {own[0]:g} to {own[-1]:g} in {len(own)} steps, and the model's "
            f"{known[0]:g} to {known[-1]:g} in {len(known)}: interpolate the fields to those"
        )
    return [int(place) for place in apart.argmin(1)]


def open_object(place: Place) -> FieldItems:
    """Open an xarray.Dataset or DataArray."""
    library, source = xarray(), place.source
    fields = source if isinstance(source, library.Dataset) else source.to_dataset(name=source.name or "values")
    return _items(fields, fields, "the fields", place)


def _items(fields: Any, source: Any, name: str, place: Place) -> FieldItems:
    choice = chosen(fields, name, place.variables, place.items, place.dims)
    grid = choice.grid
    sides = "x".join(str(fields.sizes[axis]) for axis in choice.space)
    names = ", ".join(grid.names[:SHOWN]) + ", ..." * (len(grid.names) > SHOWN)
    read = (
        f"{name} was read as {plural(choice.count, 'item')} along {', '.join(choice.items)} of {sides} "
        f"({', '.join(choice.space)}) with {plural(len(grid.channels), 'channel')} ({names})"
    )
    notes = [(read, f"{option('variables')} and {option('items')} name others")]
    size = 4 * choice.count * len(grid.names) * int(np.prod([fields.sizes[axis] for axis in choice.space]))
    if choice.block > 1 and isinstance(source, Path) and size > LARGE:
        chunks = f'chunk({{"{choice.items[0]}": 1}}).to_zarr("one.zarr")'
        text = f"a chunk holds {choice.block} items, all of which are read for each that is drawn"
        notes.append((text, f"xarray.open_dataset({source.name!r}).{chunks} makes chunks of one (needs dask)"))
    items = FieldItems(source, name, choice, tuple(notes))
    items.columns = Columns(items)
    return items
