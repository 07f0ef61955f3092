"""Samples as fields: an xarray.Dataset by the CF conventions, and files of it, in the units and on the coordinates of
the data.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ancestral import __version__
from ancestral.base.errors import InputError, one_line
from ancestral.config.data_sources import suffix_of
from ancestral.data.arrays import ARRAY_NAMES, SPACE
from ancestral.data.grid import Axis, Channel, Grid
from ancestral.data.sources.fields import imported, xarray
from ancestral.data.spec import DataSpec

MEMBER = "realization"
"""The axis of samples, as CF calls the members of an ensemble."""
LEAD = "forecast_period"
"""The axis of states in time, as CF calls the time since a forecast began."""
START = "forecast_reference_time"
"""The time at which a forecast began."""
RECIPE = "ancestral_recipe"
"""The attribute with the recipe of samples, JSON as in the pictures of samples."""


def to_xarray(
    items: Tensor,
    spec: DataSpec,
    recipe: str = "",
    beside: Mapping[str, Any] | None = None,
    start: tuple[float, dict[str, str]] | None = None,
    series: Axis | None = None,
) -> Any:
    """Return samples as an xarray.Dataset: a variable for each variable of the data, with names, units and coordinates.

    Args:
        items: Items (n, C, *space) in the units of the data, or with states in time (n, states, C, *space), or with
            those of each field of a series (fields, n, C, *space).
        spec: The description of the data of the model.
        recipe: The request of the samples as JSON.
        beside: What samples are conditioned on by name, with a row for each: vectors (n, k) are variables too.
        start: The time from which states in time go on, with its units and calendar, where it is known.
        series: The axis of a series, with its coordinates.

    Raises:
        InputError: If the items are points, or xarray is missing.
    """
    library, grid = xarray(), spec.grid or _plain_grid(spec)
    several: tuple[str, ...] = (MEMBER, LEAD) if items.ndim > len(spec.shape) + 1 else (MEMBER,)
    several = several if series is None else (series.name, MEMBER)
    values = np.moveaxis(items.numpy(), len(several), 0)  # channels first
    variables = dict[str, Any]()
    space = [axis.name for axis in grid.axes]
    for name in dict.fromkeys(one.variable for one in grid.channels):
        rows = [number for number, one in enumerate(grid.channels) if one.variable == name]
        first = grid.channels[rows[0]]
        if first.level is None or grid.levels is None:
            dims, array = (*several, *space), values[rows[0]]
        else:
            dims, array = (*several, grid.levels.name, *space), np.moveaxis(values[rows], 0, len(several))
        variables[name] = (dims, array, dict(first.attributes))
    for name, rows in (beside or {}).items():
        if name not in variables and np.ndim(rows) <= 2 and np.asarray(rows).dtype.kind in "fiu":
            array = np.asarray(rows)
            dims = (MEMBER,) if array.ndim == 1 or array.shape[1] == 1 else (MEMBER, f"{name}_part")
            variables[name] = (dims, array.reshape(array.shape[: len(dims)]), {"long_name": f"given: {name}"})
    members = np.arange(items.shape[several.index(MEMBER)])
    coordinates: dict[str, Any] = {MEMBER: (MEMBER, members, {"standard_name": MEMBER})}
    if LEAD in several:
        known = {"standard_name": LEAD, "units": "hours"}
        lead = known if spec.hours else {"long_name": "number of the state", "units": "1"}
        coordinates[LEAD] = (LEAD, np.arange(1, items.shape[1] + 1) * (spec.hours or 1), lead)
        if start is not None:
            coordinates[START] = ((), start[0], {"standard_name": START, **start[1]})
    for axis in filter(None, (*grid.axes, grid.levels, series)):
        if axis.values:
            coordinates[axis.name] = (axis.name, np.asarray(axis.values), dict(axis.attributes))
    if grid.levels is not None:
        levels = dict.fromkeys(one.level for one in grid.channels if one.level is not None)
        coordinates[grid.levels.name] = (grid.levels.name, np.asarray([*levels]), dict(grid.levels.attributes))
    facts = {"Conventions": "CF-1.11", "source": f"ancestral {__version__}", **({RECIPE: recipe} if recipe else {})}
    return library.Dataset(variables, coordinates, facts)


def _plain_grid(spec: DataSpec) -> Grid:
    """The grid of data without names."""
    if len(spec.shape) == 1:
        raise InputError("points have no grid: write a .npz of them")
    axes = tuple(Axis(name) for name in SPACE[-(len(spec.shape) - 1) :])
    name, channels = ARRAY_NAMES[len(axes)].removesuffix("s"), spec.shape[0]
    if channels == 1:
        return Grid((Channel(name),), axes, Axis("item"))
    return Grid(tuple(Channel(name, float(k)) for k in range(channels)), axes, Axis("item"), Axis("channel"))


def _netcdf(path: Path, fields: Any, spec: DataSpec) -> None:
    packed = {name: {"zlib": True, "complevel": 4} for name in fields.data_vars}
    fields.to_netcdf(path, engine="h5netcdf", encoding=packed)


def _zarr(path: Path, fields: Any, spec: DataSpec) -> None:
    fields.to_zarr(path, mode="w", zarr_format=2, consolidated=True)  # what all readers of zarr know


def _nifti(path: Path, fields: Any, spec: DataSpec) -> None:
    nibabel = imported("nibabel")
    (name,) = _channels(fields, spec)
    series = np.moveaxis(_levelled(fields[name].values, spec)[:, 0], 0, -1)
    affine = np.asarray(spec.grid.affine) if spec.grid is not None and spec.grid.affine else np.eye(4)
    image = nibabel.Nifti1Image(series[..., 0] if series.shape[-1] == 1 else series, affine)
    image.header.set_xyzt_units((spec.grid.axes[0].units if spec.grid is not None else "") or "mm")
    nibabel.save(image, path)


def _tiff(path: Path, fields: Any, spec: DataSpec) -> None:
    tifffile = imported("tifffile")
    array = np.concatenate([_levelled(fields[name].values, spec) for name in _channels(fields, spec)], axis=1)
    letters = "ZYX"[-(array.ndim - 2) :]
    facts: dict[str, Any] = {"axes": f"TC{letters}", "Channel": {"Name": [*spec.channel_names]}}
    for axis, letter in zip(spec.grid.axes if spec.grid is not None else (), letters, strict=False):
        if len(axis.values) > 1 and axis.units:
            facts |= {f"PhysicalSize{letter}": axis.values[1] - axis.values[0], f"PhysicalSize{letter}Unit": axis.units}
    tifffile.imwrite(path, array, metadata=facts, ome=True)


def _channels(fields: Any, spec: DataSpec) -> Sequence[str]:
    grid = spec.grid or _plain_grid(spec)
    return [*dict.fromkeys(one.variable for one in grid.channels)]


def _levelled(array: Any, spec: DataSpec) -> Any:
    return array[:, None] if array.ndim == len(spec.shape) else array


FORMATS: dict[str, Callable[[Path, Any, DataSpec], None]] = {
    ".nc": _netcdf,
    ".zarr": _zarr,
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".tif": _tiff,
    ".tiff": _tiff,
}
"""Functions that write samples as fields, by the suffix of the file."""


def write_fields(path: Path, fields: Any, spec: DataSpec) -> None:
    """Write what `to_xarray` returns in the format of a suffix of `FORMATS`, whole or not at all."""
    FORMATS[suffix_of(path.name)](path, fields, spec)


def check_format(path: Path, spec: DataSpec, more: str = "") -> None:
    """Raise InputError if samples cannot be written in the format of a suffix of `FORMATS`.

    Args:
        path: The file.
        spec: The description of the data of the model.
        more: What messages call items along a further axis, such as states in time; "" without.
    """
    _ = spec.grid or _plain_grid(spec)
    suffix = suffix_of(path.name)
    imported({".nc": "h5netcdf", ".zarr": "zarr", ".tif": "tifffile", ".tiff": "tifffile"}.get(suffix, "nibabel"))
    if more and suffix not in (".nc", ".zarr"):
        raise InputError(f"{one_line(path)} has no axis for {more}: write a .nc or .zarr")
    if suffix in (".nii", ".nii.gz") and (spec.shape[0] != 1 or len(spec.shape) != 4):
        shape = "x".join(map(str, spec.shape))
        raise InputError(
            f"{one_line(path)} holds volumes of one channel alone, and samples are {shape}: write a .nc or .zarr"
        )
