"""The table of data sources: which address is of which source, and what follows from a row."""

import numpy as np
import pytest
import torch

from ancestral import config, data
from ancestral.base.errors import InputError
from ancestral.base.registries import Registry
from ancestral.config import data_sources
from ancestral.config.data_sources import (
    BUILT_IN,
    SOURCES,
    DataSource,
    LocalFolder,
    nearest_path,
    source_of,
    source_of_folder,
)
from ancestral.data.dataset import InMemoryDataset
from ancestral.data.sources.array_items import ArrayItems


@pytest.mark.parametrize("source", [*SOURCES.values(), *BUILT_IN.values()], ids=lambda one: one.name)
def test_what_a_row_names_is_there(source):
    assert callable(source.load())
    assert source.preset in config.PRESETS


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ((), "images"),
        (("a.png",), "images"),
        (("a.JPG", "b.wav"), "images"),
        (("a.wav", "b.png"), "recordings"),
        (("rock/a.wav", "x.tar"), "recordings"),
        (("cats/notes.txt",), "images"),
        (("x.tar", "x.parquet"), "shards"),
        (("x.arrow", "notes.txt"), "rows"),
        (("state.json", "a.png"), "rows"),
        ((".hidden.tar",), "images"),
    ],
)
def test_the_names_in_a_folder_say_its_source(files, source, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert source_of_folder(LocalFolder(tmp_path)) is SOURCES[source]
    assert source_of(tmp_path) is SOURCES[source]


@pytest.mark.parametrize(
    ("address", "source", "preset"),
    [
        ("digits", "built-in", "digits"),
        ("moons", "built-in", "points"),
        ("hf://datasets/user/name", "rows", "folder"),
        ("s3://bucket/photos", "images", "folder"),
        ("s3://bucket/x.NPY", "arrays", "arrays"),
        ("gs://bucket/{000..099}.tar", "shards", "folder"),
        ("nowhere/x.npz", "arrays", "arrays"),
        ("nowhere/at/all", "images", "folder"),
        (300 * "x", "images", "folder"),
    ],
)
def test_the_source_of_an_address_needs_no_file(address, source, preset):
    assert source_of(address) is SOURCES[source]
    assert config.default_preset(address) == preset


def test_a_row_and_a_function_are_a_source(tmp_path, monkeypatch):
    """Points in a table, found by their suffix: opened, named in messages, and near what is misspelt."""
    row = DataSource("table", "data.sources.array_items:open_table", "a .pts file", files=(".pts",), preset="points")
    sources = Registry("source of data", *SOURCES.values(), row)
    for module in (data_sources, data.place):
        monkeypatch.setattr(module, "SOURCES", sources)
    monkeypatch.setattr(data_sources, "FILE_SUFFIXES", (*data_sources.FILE_SUFFIXES, ".pts"))

    def open_table(place):
        return ArrayItems(InMemoryDataset(torch.tensor(np.loadtxt(place.at), dtype=torch.float32), name="table"))

    monkeypatch.setattr("ancestral.data.sources.array_items.open_table", open_table, raising=False)
    (tmp_path / "x.pts").write_text("0.5 0.25\n-1 0\n")
    opened = data.open(tmp_path / "x.pts")
    assert opened.items.tolist() == [[0.5, 0.25], [-1, 0]]
    assert config.default_preset(tmp_path / "x.pts") == "points"
    assert nearest_path(str(tmp_path / "y.pts")) == str(tmp_path / "x.pts")
    with pytest.raises(InputError, match=r"x.pts has no test split: give the path of the test data itself"):
        data.open(tmp_path / "x.pts", split="test")
    (tmp_path / "x.txt").touch()
    with pytest.raises(InputError, match=r"a folder of images, .* or a .pts file"):
        data.open(tmp_path / "x.txt")
