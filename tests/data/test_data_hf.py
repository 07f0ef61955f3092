import io
import re
import sys

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import data
from ancestral.base.errors import InputError, MissingSplitError, install_command
from ancestral.data import InMemoryDataset, LazyDataset
from ancestral.data.decoding import IMAGE_FORMATS
from ancestral.data.files import SourceLost
from ancestral.data.loading import Loader
from tiny_models import but_one_long

COUNT, SHARDS = 30, 3
RNG = np.random.default_rng(0)
MODES = ("RGB", "L", "RGBA", "P", "LA", "RGB")


def pictures():
    """One of each mode, again and again."""
    for i in range(COUNT):
        mode = MODES[i % len(MODES)]
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = RNG.integers(0, 256, (6, 5, bands), dtype=np.uint8)
        image = Image.fromarray(pixels.squeeze(-1) if bands == 1 else pixels, "L" if mode == "P" else mode)
        out = io.BytesIO()
        (image.convert("P") if mode == "P" else image).save(out, "PNG", **({"transparency": 7} if mode == "P" else {}))
        yield out.getvalue()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same pictures as a folder of images, as `save_to_disk` and as parquet and arrow files in three shards."""
    root = tmp_path_factory.mktemp("sets")
    raws = list(pictures())
    for i, raw in enumerate(raws):
        path = root / "folder" / ("cat", "dog")[i * 2 // COUNT] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    columns = {
        "id": list(range(COUNT)),
        "picture": [{"bytes": raw, "path": None} for raw in raws],
        "kind": [i * 2 // COUNT for i in range(COUNT)],
    }
    kinds = {
        "id": datasets.Value("int64"),
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["cat", "dog"]),
    }
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    rows.save_to_disk(root / "saved", num_shards=SHARDS)
    datasets.DatasetDict({"train": rows, "test": rows.select(range(4))}).save_to_disk(root / "splits")
    for kind in ("parquet", "arrow"):
        (root / kind).mkdir()
    for k in range(SHARDS):
        shard = rows.shard(SHARDS, k, contiguous=True)
        shard.to_parquet(root / "parquet" / f"{k}.parquet")
        shard.save_to_disk(root / f"one-{k}")
        (root / f"one-{k}" / "data-00000-of-00001.arrow").rename(root / "arrow" / f"{k}.arrow")
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["saved", "splits", "parquet", "arrow"])
@pytest.mark.parametrize("options", [{}, {"background": "black", "image_size": 4}, {"channels": 4}])
def test_by_index_it_equals_the_folder(places, kind, options):
    eager = data.load(str(places / "folder"), **options)
    lazy = data.open(str(places / kind), memory=0, **options)
    assert isinstance(lazy, LazyDataset)
    assert (lazy.name, len(lazy), lazy.classes, lazy.shape) == (kind, COUNT, ("cat", "dog"), eager.shape)
    for i in range(COUNT):
        item, label = lazy.read(i)
        assert torch.equal(item, eager.items[i])
        assert label == eager.labels[i]
    memory = data.open(str(places / kind), **options)
    assert isinstance(memory, InMemoryDataset)
    assert torch.equal(memory.items, eager.items)
    assert torch.equal(memory.labels, eager.labels)


def test_splits(places):
    assert len(data.load(str(places / "splits"), split="test")) == 4
    for kind in ("saved", "parquet", "arrow"):
        with pytest.raises(MissingSplitError, match=f"{kind} has no test split"):
            data.open(str(places / kind), split="test")


def test_labels_that_are_missing_and_images_that_are_broken(places, tmp_path):
    columns = {"image": [{"bytes": b"bad", "path": None}, None, {"bytes": next(pictures()), "path": None}]}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    rows = datasets.Dataset.from_dict(columns | {"label": [0, None, 1]}, features=datasets.Features(kinds))
    rows.save_to_disk(tmp_path / "set")
    lazy = data.open(str(tmp_path / "set"), memory=0)
    assert lazy.labels.tolist() == [0, -1, 1]
    eager = data.load(str(tmp_path / "set"))
    assert eager.labels.tolist() == [1]
    assert eager.skipped == (
        f"row 0: not an image of a kind that is read ({', '.join(IMAGE_FORMATS)})",
        "row 1: the file is empty",
    )


def test_what_is_no_set_of_images(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"], "n": [1]}).save_to_disk(tmp_path / "text")
    with pytest.raises(InputError, match=r"has no column of images, only text, n: cast one to datasets\.Image"):
        data.open(str(tmp_path / "text"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as a data set"):
        data.open(str(tmp_path / "bad"))


def test_addresses(places, monkeypatch):
    calls = []

    def load_dataset(*args, **options):
        calls.append((args, options))
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for address in ("hf://datasets/me/cats", "hf://datasets/me/cats@v1/small"):
        with pytest.raises(InputError, match=r"cannot be read as a data set: no network"):
            data.open(address, split="test")
    assert calls == [
        (("me/cats", None), {"revision": None}),
        (("me/cats", "small"), {"revision": "v1"}),
    ]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.load_from_disk(str(places / "splits")))
    assert len(data.open("hf://datasets/me/cats", split="test", image_size=4)) == 4
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.DatasetDict())
    with pytest.raises(MissingSplitError, match="no test split"):
        data.open("hf://datasets/me/cats", split="test")
    with pytest.raises(InputError, match="is no address: write hf://datasets/user/name"):
        data.open("hf://datasets/cats")


def test_without_the_library(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=re.escape(install_command("datasets"))):
        data.open(str(places / "saved"))


def test_rows_that_cannot_be_read_are_lost(places, monkeypatch):
    lazy = data.open(str(places / "parquet"), memory=0)

    def gone(*_):
        raise OSError("no\nroute")

    monkeypatch.setattr(lazy.source, "_rows", type("Rows", (), {"__getitem__": gone})())
    with pytest.raises(SourceLost, match=r"parquet cannot be read: no route"):
        lazy.read(0)


@pytest.mark.parametrize("kind", but_one_long(["parquet", "saved", "arrow"]))
def test_batches_of_any_workers(places, kind):
    lazy = data.open(str(places / kind), memory=0)

    def batches(first, count, workers):
        with Loader(lazy, seed=1, batch_size=4, positions=range(4), workers=workers) as loader:
            running = loader.batches(first)
            return [next(running) for _ in range(count)]

    whole = batches(0, 20, 0)
    for one, other in zip(batches(9, 4, 2), whole[9:13], strict=True):
        assert torch.equal(one.items, other.items)
        assert torch.equal(one.labels, other.labels)
