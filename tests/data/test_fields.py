"""Fields of science: zarr, NetCDF, HDF5, NIfTI and TIFF in and out with names, units, coordinates and calendars."""

import importlib
import pickle
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scoringrules
import tifffile
import torch
import xarray
from PIL import Image

import ancestral
from ancestral import data, derived
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.config.data_config import held_out_share
from ancestral.data.field_files import to_xarray, write_fields
from ancestral.data.files import Unreadable
from ancestral.data.grid import Axis, Channel, Grid, role_of
from ancestral.data.sources.fields import Columns, last_time, read_fields
from ancestral.data.spec import Codec
from ancestral.measure.conditional_samples import value_roots
from ancestral.measure.items import ValueSums
from ancestral.metrics.colour import colour
from ancestral.render.evaluation_text import other_metrics
from ancestral.render.result_text import channel_means
from tiny_models import untrained

DAYS, LATITUDES, LONGITUDES = 36, 6, 12
SMALL = {
    **{"width": 8, "mults": (1,), "blocks": 1, "attention": (), "patch": 1, "groups": 2, "batch_size": 8, "warmup": 1},
    **{"snapshots": 0, "precision": "fp32", "progress": False, "steps": 3},
}


def weather(days=DAYS):
    """Fields whose values say where they are: variable, time, level, latitude and longitude."""
    time, lat, lon = np.arange(days), np.linspace(75, -75, LATITUDES), np.arange(LONGITUDES) * 360 / LONGITUDES
    place = time[:, None, None] + np.arange(LATITUDES)[:, None] / 10 + np.arange(LONGITUDES) / 1000
    t2m = (280 + place).astype(np.float32)
    z = (5000 + 100 * np.arange(2)[:, None, None] + place[:, None]).astype(np.float32)
    return xarray.Dataset(
        {
            "t2m": (("time", "lat", "lon"), t2m, {"units": "K", "standard_name": "air_temperature"}),
            "z": (("time", "level", "lat", "lon"), z, {"units": "m2 s-2"}),
            "orography": (("lat", "lon"), np.arange(LATITUDES * LONGITUDES, dtype=np.float32).reshape(LATITUDES, -1)),
            "nino": (("time",), np.sin(time)),
            "names": (("time",), np.array(["a"] * days)),
        },
        {
            "time": ("time", time, {"units": "days since 2000-01-30", "calendar": "standard", "axis": "T"}),
            "level": ("level", [500.0, 850.0], {"units": "hPa", "positive": "down"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


WRITE = {
    "x.nc": lambda fields, path: fields.to_netcdf(path, engine="h5netcdf"),
    "x.zarr": lambda fields, path: fields.drop_vars("names").to_zarr(path, zarr_format=2, consolidated=True),
    "x3.zarr": lambda fields, path: fields.drop_vars("names").to_zarr(path, zarr_format=3, consolidated=False),
    "x.h5": lambda fields, path: fields.to_netcdf(path, engine="h5netcdf"),
}


@pytest.fixture(params=WRITE)
def path(request, tmp_path):
    file = tmp_path / request.param
    WRITE[request.param](weather(), file)
    return file


def test_variables_and_levels_are_channels_along_time(path):
    fields = data.open(str(path), memory=0)
    assert fields.spec.grid.names == ("t2m", "z@500", "z@850")
    assert fields.spec.grid.titles[0] == "t2m [K]"
    assert (len(fields), fields.shape) == (DAYS, (3, LATITUDES, LONGITUDES))
    truth = weather()
    for row in (0, 17, DAYS - 1):
        item = fields.read(row)[0].numpy()
        np.testing.assert_array_equal(item[0], truth.t2m.values[row])
        np.testing.assert_array_equal(item[1:], truth.z.values[row])
    assert fields.spec.grid.axes[1].closed
    assert [axis.role for axis in fields.spec.grid.axes] == ["Y", "X"]
    loaded = data.load(str(path), variables=["z@850"])
    np.testing.assert_array_equal(loaded.items[:, 0].numpy(), truth.z.values[:, 1])
    (note,) = (text for text, _ in fields.notes)
    assert "36 items along time of 6x12 (lat, lon) with 3 channels (t2m, z@500, z@850)" in note


def test_what_items_are_given_comes_from_the_file(path):
    fields = data.open(str(path), given=["orography", "month=time.month", "nino"])
    rows = [0, 2, 35]
    values = fields.conditions_of(rows)
    np.testing.assert_array_equal(values["orography"][1, 0].numpy(), weather().orography.values)
    assert values["month"].flatten().tolist() == [1, 2, 3]
    np.testing.assert_allclose(values["nino"].flatten().numpy(), np.sin(rows))
    given_level = data.open(str(path), variables=["t2m"], given=["height=z"])
    assert given_level.conditions_of([3])["height"].shape == (1, 2, LATITUDES, LONGITUDES)


def test_xarray_objects_are_data_and_other_axes_can_be_those_of_the_items():
    fields = weather()
    assert data.open(fields).shape == (3, LATITUDES, LONGITUDES)
    assert data.open(fields["t2m"]).spec.grid.names == ("t2m",)
    members = fields[["z"]].rename(level="member").drop_vars("member")
    both = data.load(members, items="time,member")
    assert (len(both), both.shape) == (2 * DAYS, (1, LATITUDES, LONGITUDES))
    np.testing.assert_array_equal(both.items[5, 0].numpy(), fields.z.values[2, 1])
    assert data.open(members).shape == (1, LATITUDES, LONGITUDES)  # members are items where nothing is said
    assert data.open(fields[["z"]], dims=3).shape == (1, 2, LATITUDES, LONGITUDES)
    assert data.open(fields["t2m"], items="lat").shape == (1, DAYS, LONGITUDES)


def test_stretches_of_time_are_held_out(path):
    fields = data.open(str(path))
    training, held_out = data.hold_out(fields, held_out_share("time:2000-02:2000-02"))
    assert held_out.along("time")[[0, -1]].astype("datetime64[D]").astype(str).tolist() == ["2000-02-01", "2000-02-29"]
    assert len(training) == DAYS - 29
    assert data.hold_out(fields, 0.25)[1].items[0, 0, 0, 0] == 280 + DAYS - 9  # the last ones
    with pytest.raises(InputError, match="no axis 'lat'"):
        data.hold_out(fields, held_out_share("lat:1:2"))
    with pytest.raises(InputError, match="holds out 0"):
        data.hold_out(fields, held_out_share("time:1950:1960"))


def test_a_process_that_gets_the_items_opens_the_file_itself(path):
    fields = data.open(str(path), memory=0)
    before = fields.read(4)[0]
    copied = pickle.loads(pickle.dumps(fields))
    assert copied.source._handle is None
    torch.testing.assert_close(copied.read(4)[0], before)
    assert not fields.fork_safe


BAD = {
    "no variable": (lambda f: f, {"variables": ["q"]}, "no variable 'q': it has t2m"),
    "no level": (lambda f: f, {"variables": ["z@300"]}, "no level 300: it has 500, 850"),
    "no axis": (lambda f: f, {"items": "step"}, "no axis 'step'"),
    "text": (lambda f: f, {"variables": ["names"]}, "and no numbers"),
    "axes that do not fit": (lambda f: f, {"variables": ["t2m", "orography"]}, "variables of the same axes"),
    "time out of order": (
        lambda f: f.isel(time=[0, 2, 1]),
        {},
        "time of the fields is out of order or double at place",
    ),
    "a time twice": (lambda f: f.isel(time=[0, 1, 1]), {}, "out of order or double"),
    "empty": (lambda f: f.isel(time=[]), {}, "its axis time is empty"),
    "nothing": (lambda f: f[["names"]], {}, "no variable of numbers"),
    "all missing": (lambda f: f[["t2m"]] * np.nan, {}, "NaN"),
    "a layout": (lambda f: f, {"layout": "item,y,x"}, "layout"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_fields_are_refused_in_one_line(case):
    change, options, text = BAD[case]
    with pytest.raises(InputError, match=text) as error:
        data.open(change(weather()), **options)
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    for name in ("x.nc", "x.nii", "x.tif", "x.h5"):
        (tmp_path / name).write_bytes(b"CDF\x01 no such thing" * 9)
        with pytest.raises(InputError) as error:
            data.open(str(tmp_path / name))
        assert "\n" not in str(error.value)
        assert name in str(error.value)
    weather().drop_vars("names").to_zarr(tmp_path / "x.zarr", zarr_format=2, encoding={"t2m": {"chunks": (4, 6, 12)}})
    chunk = tmp_path / "x.zarr" / "t2m" / "2.0.0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    fields = data.open(str(tmp_path / "x.zarr"), variables=["t2m"], memory=0)
    assert fields.source.choice.block == 4
    assert fields.read(7)[0].isfinite().all()
    with pytest.raises(Unreadable):
        fields.read(8)


def test_options_of_fields_are_refused_of_other_data():
    with pytest.raises(InputError, match="holds no fields"):
        data.open("digits", variables=["t2m"])


def test_plain_hdf5_and_bounds_are_read(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.random.default_rng(0).random((5, 8, 8), dtype=np.float32)
    assert data.open(str(tmp_path / "x.h5")).shape == (1, 8, 8)
    fields = weather()[["t2m"]]
    fields["lat"].attrs["bounds"] = "lat_bounds"
    fields["lat_bounds"] = (("lat", "two"), np.zeros((LATITUDES, 2)))
    assert data.open(fields).spec.grid.names == ("t2m",)


def test_volumes_of_nifti_keep_their_affine(tmp_path):
    affine = np.array([[2.0, 0, 0, -5], [0, 3, 0, 4], [0, 0, 1.5, 7], [0, 0, 0, 1]])
    values = np.random.default_rng(0).random((4, 6, 8, 5), dtype=np.float32)
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "x.nii.gz")
    volumes = data.load(str(tmp_path / "x.nii.gz"))
    assert (len(volumes), volumes.shape) == (5, (1, 4, 6, 8))
    np.testing.assert_array_equal(volumes.items[3, 0].numpy(), values[..., 3])
    write_fields(tmp_path / "y.nii.gz", to_xarray(volumes.items, volumes.spec), volumes.spec)
    again = nibabel.load(tmp_path / "y.nii.gz")
    np.testing.assert_array_equal(again.affine, affine)
    np.testing.assert_array_equal(np.asarray(again.dataobj), values)
    assert again.header.get_xyzt_units()[0] == "mm"


def test_stacks_of_tiff_keep_channels_and_sizes(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (5, 2, 8, 6)).astype(np.uint16)
    facts = {"axes": "TCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "x.ome.tif", values, metadata=facts, ome=True)
    stack = data.load(str(tmp_path / "x.ome.tif"))
    assert (len(stack), stack.shape) == (5, (2, 8, 6))
    np.testing.assert_array_equal(stack.items.numpy(), values)
    x = stack.spec.grid.axes[1]
    assert (x.values[1], x.units) == (0.5, "µm")
    write_fields(tmp_path / "y.tif", to_xarray(stack.items, stack.spec), stack.spec)
    with tifffile.TiffFile(tmp_path / "y.tif") as file:
        np.testing.assert_array_equal(file.series[0].asarray(), values)
        assert file.series[0].axes == "TCYX"
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata


@pytest.mark.parametrize("name", ["y.nc", "y.zarr"])
def test_items_come_back_in_their_units_on_their_coordinates(name, tmp_path):
    fields, truth = data.load(weather()), weather()
    written = to_xarray(fields.items[:4], fields.spec, '{"seed": 1}', {"month": np.array([[1.0]] * 4)})
    write_fields(tmp_path / name, written, fields.spec)
    engine = "h5netcdf" if name == "y.nc" else "zarr"
    with xarray.open_dataset(tmp_path / name, engine=engine, decode_times=False) as again:
        np.testing.assert_array_equal(again.t2m.values, truth.t2m.values[:4])
        np.testing.assert_array_equal(again.z.values, truth.z.values[:4])
        assert again.z.dims == ("realization", "level", "lat", "lon")
        for axis in ("level", "lat", "lon"):
            np.testing.assert_array_equal(again[axis].values, truth[axis].values)
            assert again[axis].attrs["units"] == truth[axis].attrs["units"]
        assert again.t2m.attrs == truth.t2m.attrs
        assert again.attrs["ancestral_recipe"] == '{"seed": 1}'
        assert again.month.values.tolist() == [1] * 4
    assert data.open(str(tmp_path / name), variables=["t2m"]).shape == (1, LATITUDES, LONGITUDES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    weather().to_netcdf(folder / "x.nc", engine="h5netcdf")
    given, split = ["orography", "month=time.month"], "time:2000-02-20:2000-03"
    ancestral.train(
        "arrays", data=folder / "x.nc", out=folder / "run", scale="standard", given=given, validation=split, **SMALL
    )
    return folder / "run"


def test_a_model_knows_names_and_units_and_samples_have_them(run, tmp_path):
    model = ancestral.load(run)
    assert model.spec.grid == data.open(weather()).spec.grid
    given = {"orography": weather().orography.values[None], "month": [2.0]}
    samples = model.sample(3, as_="xarray", steps=2, given=given)
    assert (samples.t2m.attrs["units"], samples.sizes["realization"]) == ("K", 3)
    np.testing.assert_array_equal(samples.t2m.values, model.sample(3, steps=2, given=given)[:, 0].numpy())
    with pytest.raises(InputError, match="as_ is tensor or xarray"):
        model.sample(1, as_="pandas", given=given)
    np.save(tmp_path / "o.npy", weather().orography.values[None, None])
    out = ancestral.sample(
        run, n=2, steps=2, given={"orography": tmp_path / "o.npy", "month": 2}, out=tmp_path / "s.nc"
    )
    with xarray.open_dataset(tmp_path / "s.nc", engine="h5netcdf") as written:
        assert written.attrs["ancestral_recipe"].startswith("{")
    assert out.paths == (str(tmp_path / "s.nc"),)


def test_pictures_reports_and_results_of_fields_say_units(run, tmp_path):
    result = ancestral.sample(run, n=2, steps=2, out=tmp_path / "x.png", progress=False)
    assert result.channels == ("t2m [K]", "z@500 [m2 s-2]", "z@850 [m2 s-2]")
    measured = ancestral.evaluate(run, samples=12, steps=2, data=weather(), progress=False).samples
    assert set(measured.metrics["spectrum"].samples) == {"t2m [K]", "z@500 [m2 s-2]", "z@850 [m2 s-2]"}
    assert "power of t2m [K]" in other_metrics(measured)
    line = channel_means(result)
    assert line.startswith("mean of each channel: t2m [K] ")
    assert f"(training data {result.data_means[0]:.4g})" in line
    assert "t2m [K] from 280 (black) to " in (Path(run) / "report.html").read_text()
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.height > 3 * LATITUDES * 2 + 3 * 19  # three channels and what is black and white in each


def test_formats_that_cannot_hold_the_items_are_refused_before_sampling(run, tmp_path):
    with pytest.raises(InputError, match="one channel"):
        ancestral.sample(run, n=1, out=tmp_path / "s.nii.gz")
    assert [*tmp_path.iterdir()] == []


def test_data_without_names_are_written_by_numbers():
    fields = to_xarray(torch.zeros(2, 1, 8, 8), untrained((1, 8, 8)).spec)
    assert fields["image"].dims == ("realization", "y", "x")
    assert to_xarray(torch.zeros(2, 2, 8), untrained((2, 8)).spec)["signal"].dims == ("realization", "channel", "x")


def test_axes_are_known_by_their_attributes_and_names():
    assert role_of("a", {"units": "hours since 1900-01-01"}) == "T"
    assert role_of("a", {"axis": "X"}) == "X"
    assert role_of("nav", {"standard_name": "latitude"}) == role_of("Lat", {}) == "Y"
    assert role_of("depth", {}) == role_of("k", {"positive": "up"}) == "Z"
    assert (role_of("number", {}), role_of("foo", {})) == ("E", "")
    assert not Axis("lon", (0.0, 90.0, 180.0), (("units", "degrees_east"),)).closed
    assert Axis("lon", (0.0, 90.0, 180.0, 270.0), (("units", "degrees_east"),)).closed
    grid = Grid((Channel("a"),), (Axis("y", (1.0, 2.0)), Axis("x")), Axis("time"))
    assert grid.fits((1, 2, 5))
    assert not grid.fits((1, 3, 5))
    assert not grid.fits((2, 2, 5))


def test_columns_of_fields_are_listed():
    columns = Columns(data.open(weather(), memory=0).source)
    assert [*columns] == [
        "orography",
        "nino",
        "names",
        *(f"time.{part}" for part in ("year", "month", "day", "hour", "dayofyear")),
    ]
    assert len(columns) == 8


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("scaling", text) for text in ('[{"name": "cube"}]', "[1]", '[{"name": "standard", "half": -1}]', "{}")),
        *(
            ("grid", text)
            for text in ("[]", "{}", '{"channels": [], "axes": [], "items": {"name": "time"}, "cells": "A"}')
        ),
        *(
            ("gaps", text)
            for text in ('["shared", ""]', '["random", "AAAA"]', '["shared", "!"]', '["none", ""]', "[1, 2]")
        ),
    ],
)
def test_damaged_facts_of_fields_are_named(run, tmp_path, key, value):
    tensors, metadata = storage.read_tensors(run / "model.safetensors")
    storage.write_tensors(tmp_path / "bad.safetensors", tensors, metadata | {key: value})
    with pytest.raises(InputError, match=rf"damaged '{key}'"):
        ancestral.load(tmp_path / "bad.safetensors")


def test_weights_of_cells_come_from_a_file_and_stay_in_the_model(tmp_path):
    fields, areas = weather()[["t2m"]], np.arange(LATITUDES * LONGITUDES, dtype="f8").reshape(LATITUDES, LONGITUDES)
    areas[0, 0] = np.nan  # land
    np.save(tmp_path / "cells.npy", areas)
    cells = xarray.Dataset(
        {"area": (("lat", "lon"), areas[::-1]), "other": (("lat",), areas[:, 1])}, {"lat": fields.lat[::-1]}
    )
    cells.to_netcdf(tmp_path / "cells.nc", engine="h5netcdf")
    expected = torch.from_numpy(np.nan_to_num(areas) / np.nan_to_num(areas).mean()).float()
    for name in ("cells.npy", "cells.nc"):
        ancestral.train("arrays", data=fields, out=tmp_path / name[6:], weights=str(tmp_path / name), **SMALL)
        model = ancestral.load(tmp_path / name[6:])
        (tmp_path / name).unlink()
        torch.testing.assert_close(model.spec.cells(model.config.data.weights), expected)
        roots = value_roots(model.spec, model.config.data.weights, torch.zeros(1, 1, LATITUDES, LONGITUDES))
        torch.testing.assert_close(roots.double().squeeze() ** 2, expected.double())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("none.nc", "none.nc is not there: give area, equal, or a .npy, .nc or .zarr with one value for each cell"),
        ("two.nc", "two.nc has 2 variables of the axes lat, lon: give one alone"),
        ("negative.npy", "negative.npy holds values from -1 to 1: give finite weights, 0 or more"),
        ("infinite.npy", "infinite.npy holds values from 1 to inf: give finite weights, 0 or more"),
        ("complex.npy", "complex.npy holds complex128 values: give area, equal"),
        ("text.txt", "text.txt is no file of fields: give area, equal"),
        ("long.npy", "long.npy holds 12x6 values, and the items have 6x12 cells: give one for each"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message, tmp_path):
    both = {name: (("lat", "lon"), np.ones((LATITUDES, LONGITUDES))) for name in ("a", "b")}
    xarray.Dataset(both).to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    np.save(tmp_path / "negative.npy", 1 - 2 * np.eye(LATITUDES, LONGITUDES))
    ones = np.ones((LATITUDES, LONGITUDES))
    np.save(tmp_path / "complex.npy", ones + 1j)
    ones[0, 0] = np.inf
    np.save(tmp_path / "infinite.npy", ones)
    (tmp_path / "text.txt").write_text("1 1")
    np.save(tmp_path / "long.npy", np.ones((LONGITUDES, LATITUDES)))
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        ancestral.train(
            "arrays", data=weather()[["t2m"]], out=tmp_path / "run", weights=str(tmp_path / weights), **SMALL
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="axes with names"):
        ancestral.train("arrays", data=torch.randn(8, 1, 6, 12), out=tmp_path / "run", weights="x.npy", **SMALL)


@pytest.mark.parametrize("scale", ["standard", "asinh"])
def test_scores_of_fields_are_in_units_and_weighted_by_area(scale, tmp_path):
    """Equal to scoringrules, cell by cell, of the same samples."""
    fields = weather()[["t2m"]]
    fields["t2m"] = fields.t2m.where(fields.lat > -60)
    options = {"scale": scale, "given": "upscale:2", "validation": 0.4, **SMALL}
    ancestral.train("arrays", data=fields, out=tmp_path / "run", **options)
    settings = {"samples": False, "conditions": 5, "members": 4, "extractor": "pixels", "progress": False}
    found = ancestral.evaluate(tmp_path / "run", data=fields, **settings).conditional
    model, held_out = ancestral.load(tmp_path / "run"), data.hold_out(data.load(fields), 0.4)[1].items
    order = [round(i * (len(held_out) - 1) / 4) for i in range(5)]
    truth = held_out[order]
    low = model.spec.further["low"]
    made = model.sample(20, given={"low": _low(model, truth, low)})
    samples = made.view(4, 5, *model.spec.shape).transpose(0, 1)
    weights = np.broadcast_to(np.cos(np.deg2rad(fields.lat.values))[:, None], (LATITUDES, LONGITUDES))
    there = ~np.isnan(truth[0, 0].numpy())
    w = np.where(there, weights, 0) / np.where(there, weights, 0).mean()
    x, y = (part[..., 0, :, :].double().nan_to_num(0).numpy() for part in (samples, truth))
    crps = scoringrules.crps_ensemble(y, np.moveaxis(x, 1, -1), estimator="fair")
    own = found.forecasts[0]
    assert own.crps.mean.value == pytest.approx(float((crps * w).mean()), rel=1e-4)
    assert found.data.channels == ("t2m [K]",)
    e, f = (
        model.spec.codec.encode(part.flatten(0, part.ndim - 4)).view(part.shape).double() for part in (samples, truth)
    )
    root = torch.from_numpy(np.sqrt(w))
    scores = scoringrules.es_ensemble((f * root).flatten(1).numpy(), (e * root).flatten(2).numpy(), estimator="fair")
    assert own.pixels.energy.value == pytest.approx(float(np.mean(scores)) / np.sqrt(w.size), rel=1e-4)


def _low(model, truth, kind):
    degradation = derived.degradations(model.spec.further)["low"]
    made = degradation.make(model.spec.codec.encode(truth), 0, 0, range(len(truth)))
    return Codec("float", kind.limits, scaling=kind.scaling).decode(made)


def test_states_before_an_item_are_those_of_its_member_and_of_the_usual_time(tmp_path):
    fields = weather()[["t2m"]].isel(time=[0, 1, 2, 3, 6, 7])  # a gap before the fifth
    both = xarray.concat([fields, fields + 1000], "member").transpose("time", "member", "lat", "lon")
    both["member"] = [1, 2]
    opened = data.open(both, given=["previous:2+noise:0.1"], memory=0)
    kind = opened.spec.further["previous"]
    assert (kind.earlier, kind.hours, kind.noise, kind.channels) == (2, 24.0, 0.1, 2)
    assert (kind.ranges, kind.limits) == (opened.codec.ranges * 2, opened.codec.limits)
    before = opened.conditions_of(range(12))["previous"]
    items = torch.stack([opened.read(row)[0] for row in range(12)])
    for row in range(12):
        time, member = divmod(row, 2)
        for back in (1, 2):
            state = before[row, back - 1]
            known = time - back >= (0 if time < 4 else 4)
            assert bool(state.isnan().all()) != known
            assert not known or torch.equal(state, items[2 * (time - back) + member, 0])
    inputs = kind.encode(before, (LATITUDES, LONGITUDES))
    assert not inputs.isnan().any()
    assert inputs[:, -1].amin((1, 2)).tolist() == [float(time in (2, 3)) for time in range(6) for _ in range(2)]


def test_noise_is_added_to_states_that_are_known():
    kind = data.open(weather(), given="previous:1+noise:0.25", variables=["t2m"]).spec.further["previous"]
    inputs = torch.zeros(200, 2, 4, 4)
    inputs[100:, 1] = 1.0
    noised = kind.noised(inputs, 0, 3, range(200))
    assert torch.equal(noised[:100], inputs[:100])
    assert torch.equal(noised[:, 1], inputs[:, 1])
    assert abs(float(noised[100:, 0].std()) - 0.25) < 0.02
    assert torch.equal(noised[150:], kind.noised(inputs[150:], 0, 3, range(150, 200)))


@pytest.mark.parametrize(
    "text", ["previous:0", "previous:two", "previous:1+noise:x", "previous:1+noise:-1", "previous:99"]
)
def test_states_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="names no states: give previous:2 for two"):
        data.open(weather(), given=text, variables=["t2m"])


def test_a_forecast_begins_with_the_last_states_of_a_file_and_is_written_by_lead_time(tmp_path):
    weather()[["t2m", "z"]].to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    ancestral.train(
        "arrays", data=tmp_path / "x.nc", out=tmp_path / "run", scale="standard", given="previous:2", **SMALL
    )
    model = ancestral.load(tmp_path / "run")
    assert model.spec.further["previous"].scaling == model.spec.codec.scaling * 2
    state = weather()[["t2m", "z"]].isel(time=[4, 5, 6])
    state.to_netcdf(tmp_path / "state.nc", engine="h5netcdf")
    out = tmp_path / "forecast.nc"
    settings = {"n": 2, "rollout": 3, "steps": 2, "given": {"previous": tmp_path / "state.nc"}}
    ancestral.sample(tmp_path / "run", out=out, **settings, progress=False)
    fields = xarray.open_dataset(out, engine="h5netcdf")
    assert fields["z"].dims == ("realization", "forecast_period", "level", "lat", "lon")
    assert fields["t2m"].dims == ("realization", "forecast_period", "lat", "lon")
    start = fields["forecast_reference_time"]
    assert (start.values, start.attrs["standard_name"]) == (np.datetime64("2000-02-05"), "forecast_reference_time")
    made = model.sample(2, rollout=2, steps=2, given={"previous": state}, as_="xarray")
    assert made["forecast_reference_time"].item() == 6
    assert made["forecast_reference_time"].attrs["units"] == "days since 2000-01-30"
    decoded = model.sample(2, rollout=2, steps=2, given={"previous": xarray.decode_cf(state)}, as_="xarray")
    assert xarray.decode_cf(decoded)["forecast_reference_time"].values == np.datetime64("2000-02-05")
    hours = fields["forecast_period"]
    assert hours.attrs["standard_name"] == "forecast_period"
    rows = [state["t2m"].values[place] for place in (2, 1)], [state["z"].values[place] for place in (2, 1)]
    last = torch.stack([torch.from_numpy(part) for t, z in zip(*rows, strict=True) for part in (t, *z)])[None]
    states = model.sample(2, steps=2, rollout=3, given={"previous": last})
    assert np.allclose(fields["t2m"].values, states[:, :, 0].numpy(), atol=1e-3)
    assert np.allclose(fields["z"].values, states[:, :, 1:].numpy(), atol=1e-2)
    for place, says in ((tmp_path / "x.gif", "writes a .nc"), (tmp_path / "x.tif", "no axis for states in time")):
        with pytest.raises(InputError, match=says):
            ancestral.sample(tmp_path / "run", out=place, **settings, progress=False)
        assert not place.exists()
    with pytest.raises(InputError, match="1 state, and the model begins with 2"):
        model.sample(2, rollout=2, given={"previous": state.isel(time=[0])})


def test_scores_by_lead_time_are_those_of_forecasts_from_held_out_states(tmp_path):
    place = tmp_path / "x.nc"
    weather(60)[["t2m"]].to_netcdf(place, engine="h5netcdf")
    options = {"scale": "standard", "given": "previous:1", "validation": 0.4, **SMALL}
    ancestral.train("arrays", data=place, out=tmp_path / "run", **options)
    model = ancestral.load(tmp_path / "run")
    settings = {"steps": 2, "members": 4, "extractor": "pixels", "progress": False}
    result = ancestral.evaluate(tmp_path / "run", rollout=5, conditions=3, **settings).conditional
    items = torch.from_numpy(weather(60)["t2m"].values)[:, None]
    assert [one.lead for one in result.leads] == [1, 2, 3, 4, 5]
    assert [one.hours for one in result.leads] == [24, 48, 72, 96, 120]
    starts = [36, 46, 51]  # of the rows of five from 36, 41, 46 and 51 on, evenly chosen
    before = torch.stack([items[start - 1] for start in starts])
    samples = model.sample(12, steps=2, rollout=5, given={"previous": before})
    members = samples.view(4, 3, 5, LATITUDES, LONGITUDES).permute(1, 2, 3, 4, 0).numpy()
    truth = np.stack([items[start : start + 5, 0].numpy() for start in starts])
    weights = np.cos(np.deg2rad(np.linspace(75, -75, LATITUDES)))[:, None]
    weights /= weights.mean()
    crps = (scoringrules.crps_ensemble(truth, members, estimator="fair") * weights).mean((2, 3))
    assert np.allclose(crps.mean(0), [one.crps.mean.value for one in result.leads], rtol=1e-3)
    still = (np.abs(truth - before.numpy()) * weights).mean((2, 3))  # the first CRPS of a state that stays
    assert (still[:, 1:] > still[:, :-1]).all()
    assert all(one.persistence is not None and one.climatology is not None for one in result.leads)
    assert "neighbours are alike: errors are those of blocks" in " ".join(result.data.notes)
    with pytest.raises(InputError, match="needs two rows of 13 items in time"):
        ancestral.evaluate(tmp_path / "run", rollout=13, **settings)
    ancestral.train("arrays", data=place, out=tmp_path / "plain", **{**options, "given": None})
    with pytest.raises(InputError, match="goes on from earlier states"):
        ancestral.evaluate(tmp_path / "plain", rollout=2, steps=2, extractor="pixels", progress=False)


def test_what_a_field_lacks_is_sampled_and_written_on_its_coordinates(run, tmp_path):
    model = ancestral.load(run)
    whole = weather().isel(time=[7])[["t2m", "z"]]
    gaps = whole.copy(deep=True)
    gaps["t2m"][0, 1:3, 4:7] = np.nan
    gaps["z"][0, 1, 2, 8] = np.nan
    place = tmp_path / "gaps.nc"
    gaps.to_netcdf(place, engine="h5netcdf")
    out = tmp_path / "filled.nc"
    ancestral.edit(run, "inpaint", place, n=2, steps=2, out=out, progress=False)
    filled = xarray.open_dataset(out, engine="h5netcdf")
    lacking = (gaps["t2m"].isnull() | gaps["z"].isnull().any("level")).values[0]
    for name in ("t2m", "z"):
        assert filled[name].attrs["units"] == whole[name].attrs["units"]
        there = np.broadcast_to(~lacking, whole[name].values[0].shape)
        for member in filled[name].values:
            assert np.allclose(member[there], whole[name].values[0][there], rtol=1e-6)
            assert np.isfinite(member).all()
    one = model.inpaint(gaps.isel(time=0), n=1, steps=2)  # without an axis of items
    assert torch.equal(one, model.inpaint(gaps, n=1, steps=2))
    with pytest.raises(InputError, match="holds NaN"):
        model.restore(gaps, "blur:1", n=1, steps=2)


def test_the_fields_of_a_file_are_filled_one_by_one_and_written_on_their_axis(run, tmp_path):
    model, gaps = ancestral.load(run), weather().isel(time=slice(7, 10))[["t2m", "z"]].copy(deep=True)
    gaps["t2m"][0, 1:3, 4:7] = np.nan
    gaps["z"][2, 1, 2, 8] = np.nan  # the second lacks nothing
    place, out = tmp_path / "gaps.nc", tmp_path / "filled.nc"
    gaps.to_netcdf(place, engine="h5netcdf")
    result = ancestral.edit(run, "inpaint", place, n=2, steps=2, seed=3, out=out, progress=False)
    assert result.count == 6
    assert "1 field of 3 lacks nothing, and stayed as given" in result.notes
    filled = xarray.open_dataset(out, engine="h5netcdf")
    assert filled["t2m"].dims == ("time", "realization", *gaps["t2m"].dims[1:])
    assert (filled["time"].values == xarray.open_dataset(place, engine="h5netcdf")["time"].values).all()
    assert np.array_equal(filled["t2m"].values[1, 0], gaps["t2m"].values[1].astype(np.float32))
    for number, seed in ((0, 3), (2, 5)):  # as by itself, with the seed of its place
        one = to_xarray(model.inpaint(gaps.isel(time=number), n=2, steps=2, seed=seed), model.spec)
        for name in ("t2m", "z"):
            assert np.array_equal(filled[name].values[number], one[name].values)
    for settings, message in (
        ({"out": tmp_path / "other.png"}, "cannot hold 3 fields on their axis: write a .nc or .zarr"),
        ({"film": True}, "film is of one field, and there are 3: leave it out"),
    ):
        with pytest.raises(InputError, match=message):
            ancestral.edit(run, "inpaint", place, progress=False, **settings)
    with pytest.raises(InputError, match="nothing of the field is missing"):
        ancestral.edit(run, "inpaint", run.parent / "x.nc", out=tmp_path / "other.nc", progress=False)
    twice = gaps.expand_dims(member=2)
    with pytest.raises(InputError, match="along member, time: give those along one"):
        ancestral.edit(model, "inpaint", twice, out=tmp_path / "other.nc", progress=False)
    assert not (tmp_path / "other.nc").exists()


def test_fields_are_read_on_the_grid_of_a_model_or_refused():
    fields = weather()[["t2m", "z"]]
    grid = data.open(fields).spec.grid
    last = fields.isel(time=slice(-2, None))
    right = read_fields(last, grid, 2)
    assert np.array_equal(right[:, 0], last["t2m"].values[::-1])
    shifted = last.roll(lon=LONGITUDES // 2, roll_coords=True)
    shifted = shifted.assign_coords(lon=(("lon",), (shifted.lon.values + 180) % 360 - 180, shifted.lon.attrs))
    for same in (last.sortby("lat"), shifted, last.transpose("lon", "lat", "level", "time")):
        assert torch.equal(read_fields(same, grid, 2), right)
    assert torch.equal(read_fields(last, grid, 2, 24.0), right)
    with pytest.raises(InputError, match="the last states of the fields are 240, 24 hours apart, and the model's 24"):
        read_fields(fields.isel(time=[3, 20, 30, 31]), grid, 3, 24.0)
    bare = xarray.Dataset({"t2m": (("time", "lat", "lon"), last["t2m"].values)}, {"lon": last.lon.values})
    turned = bare.roll(lon=5, roll_coords=True)
    turned = turned.assign_coords(lon=(turned.lon.values + 180) % 360 - 180)
    known = data.open(bare.assign_coords(lat=last.lat.values)).spec
    assert known.with_borders(None).periodic == (1,)  # by the name, without units
    assert torch.equal(read_fields(turned, known.grid, 2), read_fields(bare, known.grid, 2))
    celsius = last.copy()
    celsius["t2m"] = celsius["t2m"].assign_attrs(units="degC")
    members = xarray.concat([last, last + 1], "member").transpose("time", "member", ...)
    for bad, says in {
        "t2m of the fields is in degC, and the model's in K": celsius,
        "the fields has 2 of member: begin with one": members,
        "lat of the fields is 75 to 15 in 3 steps, and the model's": last.isel(lat=slice(0, 3)),
        "lon of the fields is 1 to 331": last.assign_coords(lon=(("lon",), last.lon.values + 1, last.lon.attrs)),
        "has no axis lat": last.rename(lat="y"),
        "has 1 state, and the model begins with 2": last.isel(time=[0]),
    }.items():
        with pytest.raises(InputError, match=bad):
            read_fields(says, grid, 2)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_states_follow_each_other_in_every_calendar(calendar):
    fields = weather(900)[["t2m"]]
    fields["time"] = ("time", np.arange(900) / 4, {"units": "days since 2001-12-01", "calendar": calendar})
    opened = data.open(fields, given="previous:1", memory=0)
    assert opened.spec.further["previous"].hours == 6
    known = ~opened.conditions_of(range(900))["previous"].flatten(1).isnan().any(1)
    assert known.tolist() == [False, *[True] * 899]


def test_the_time_of_a_start_is_read_of_numbers_and_of_dates():
    fields = weather()[["t2m"]]
    grid = data.open(fields, memory=0).spec.grid
    number, known = last_time(fields, grid)
    assert (number, known) == (DAYS - 1, {"units": "days since 2000-01-30", "calendar": "standard"})
    dates = xarray.decode_cf(fields)
    one = xarray.Dataset({"x": ((), last_time(dates, grid)[0], last_time(dates, grid)[1])})
    assert xarray.decode_cf(one)["x"].values == dates.time.values[-1]
    assert last_time(fields.drop_vars("time"), grid) is None


def test_statistics_are_of_the_values_that_are_there():
    values = torch.randn(50, 2, 6, 7, generator=torch.Generator().manual_seed(0)) * 3 + 280
    land = torch.rand(6, 7, generator=torch.Generator().manual_seed(1)) < 0.4
    gaps = values.masked_fill(land, float("nan"))
    moments, there = colour(gaps), values[:, :, ~land].double()
    assert torch.allclose(moments.mean, there.mean((0, 2)))
    x = (there - there.mean((0, 2), keepdim=True)).transpose(0, 1).flatten(1)
    assert torch.allclose(moments.covariance, x @ x.T / x.shape[1])
    sums = ValueSums()
    for part in gaps.split(17):
        sums.add(part)
    found = sums.statistics()
    assert np.allclose(found.mean, there.mean((0, 2)))
    assert np.allclose(found.std, there.std((0, 2), correction=0))
    assert (found.low, found.high) == (float(there.min()), float(there.max()))


@pytest.mark.parametrize("stats", ['{"t2m": {"mean": 280, "std": 0}}', '{"t2m": {"mean": NaN, "std": 1}}'])
def test_scales_that_would_lose_a_channel_are_refused(stats, tmp_path):
    (tmp_path / "stats.json").write_text(stats)
    with pytest.raises(InputError):
        ancestral.train(
            "arrays", data=weather()[["t2m"]], out=tmp_path / "run", scale=str(tmp_path / "stats.json"), **SMALL
        )


def test_means_and_deviations_of_other_lengths_are_refused(tmp_path):
    table = xarray.Dataset({"mean": ("channel", [280.0]), "std": ("other", [3.0, 1.0])}, {"channel": ["t2m"]})
    table.to_netcdf(tmp_path / "stats.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="along one axis of channels"):
        ancestral.train(
            "arrays", data=weather()[["t2m"]], out=tmp_path / "run", scale=str(tmp_path / "stats.nc"), **SMALL
        )


def test_latents_of_a_globe_are_weighted_by_what_they_cover(tmp_path):
    fields, settings = weather()[["t2m"]], {**SMALL, "latent": 2, "latent_steps": 2, "latent_width": 8}
    ancestral.train("arrays", data=fields, out=tmp_path / "run", scale="standard", **settings)
    model = ancestral.load(tmp_path / "run")
    assert model.spec.periodic == (1,)
    assert model.sample(2, steps=2).shape == (2, 1, LATITUDES, LONGITUDES)


def test_levels_are_conditions_and_fields_without_items_are_refused():
    opened = data.open(weather(), variables=["t2m"], given="z=z@850")
    assert np.array_equal(opened.conditions_of([5])["z"][0, 0], weather()["z"].values[5, 1])
    with pytest.raises(InputError, match="has axes of space alone, lat, lon"):
        data.open(weather()[["t2m"]].isel(time=0))
    with pytest.raises(InputError, match="names no stretch"):
        held_out_share("time:2010")


def test_a_condition_of_one_field_is_read_from_a_file(run):
    model = ancestral.load(run)
    fields = weather().isel(time=[0])
    given = {"orography": weather().orography.values[None], "month": [2.0]}
    fields.to_netcdf(run.parent / "ground.nc", engine="h5netcdf")
    one = model.sample(2, steps=2, given={**given, "orography": str(run.parent / "ground.nc")})
    assert torch.equal(one, model.sample(2, steps=2, given=given))


def test_gaps_that_nothing_is_known_of_are_a_finding():
    fields = weather()[["t2m", "z"]]
    fields["t2m"] = fields["t2m"].where(np.random.default_rng(0).random(fields["t2m"].shape) > 0.25)
    report = ancestral.inspect(fields, progress=False)
    (found,) = [one for one in report.findings if one.code == "gaps"]
    assert (found.level, report.trainable) == ("error", False)
    assert "differ from item to item (t2m 2" in found.text
    assert "--gaps random" in found.advice or "gaps='random'" in found.advice
    assert np.isfinite(report.values.mean).all()


def test_axes_that_go_around_are_named_by_what_they_are_or_told_one_by_one():
    spec = data.open(weather(), memory=0).spec
    for names in ("longitude", "lon", "LON", (False, True), None):
        assert spec.with_borders(names).periodic == (1,)
    assert spec.with_borders("latitude,longitude").periodic == spec.with_borders((True, True)).periodic == (0, 1)
    assert spec.with_borders("none").periodic == spec.with_borders((False, False)).periodic == ()
    for wrong in ("depth", "x", "", (True,), (True, False, True)):
        with pytest.raises(InputError, match="lat, lon"):
            spec.with_borders(wrong)


def test_a_field_that_lacks_nothing_needs_a_mask(run):
    with pytest.raises(InputError, match="nothing of the field is missing"):
        ancestral.load(run).inpaint(weather().isel(time=[3]), n=1, steps=2)


def test_variables_are_joined_by_commas_too(tmp_path):
    weather().to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    for variables in (("t2m", "z@500"), ("t2m,z@500",), ("t2m, z@500",)):
        assert data.open(str(tmp_path / "x.nc"), memory=0, variables=variables).spec.grid.names == ("t2m", "z@500")


def test_the_classic_netcdf_is_read_by_scipy(tmp_path, monkeypatch):
    fields = weather()[["t2m"]]
    fields.to_netcdf(tmp_path / "x.nc", engine="scipy", format="NETCDF3_CLASSIC")
    found = data.load(str(tmp_path / "x.nc"))
    np.testing.assert_array_equal(found.items[:, 0], fields.t2m.values)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"x\.nc is NetCDF 3, which SciPy reads: pip install scipy"):
        data.load(str(tmp_path / "x.nc"))
