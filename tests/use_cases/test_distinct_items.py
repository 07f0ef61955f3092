"""Copies that training leaves out: the run is that of a folder without them, and nothing is deleted."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.storage import read_tensors
from ancestral.data import InMemoryDataset
from ancestral.measure.reference import loader
from tiny_models import but_one_long, same_tensors

TINY = {"steps": 4, "batch_size": 4, "width": 16, "mults": (1,), "blocks": 1, "attention": (), "sample_every": 4,
        "save_every": 2, "image_size": 8, "trackers": ("none",), "preview_steps": 1, "device": "cpu",
        "precision": "fp32", "progress": False, "snapshots": 0}  # fmt: skip
COPIES = ("03z.png", "07z.png")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve smooth images in files, one of them twice and one saved again in another size; and those twelve alone."""
    path = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    (path / "all").mkdir()
    for number in range(12):
        small = Image.fromarray(generator.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        small.resize((24, 24), Image.Resampling.BICUBIC).save(path / "all" / f"{number:02d}.png")
    shutil.copytree(path / "all", path / "each")
    shutil.copy(path / "all" / "03.png", path / "all" / COPIES[0])
    Image.open(path / "all" / "07.png").resize((40, 40), Image.Resampling.BICUBIC).save(path / "all" / COPIES[1])
    return path / "all", path / "each"


def weights(run):
    return read_tensors(run / "model.safetensors")[0]


@pytest.mark.parametrize(
    "more", but_one_long([{}, {"validation": 0.25}, {"memory": 0.0}]), ids=["memory", "validation", "disk"]
)
def test_the_run_is_that_of_a_folder_without_copies(folders, tmp_path, more):
    whole, each = folders
    ancestral.train(data=whole, out=tmp_path / "a", leave_out_copies=True, **TINY, **more)
    ancestral.train(data=each, out=tmp_path / "b", **TINY, **more)
    ancestral.train(data=whole, out=tmp_path / "c", **TINY, **more)
    assert same_tensors(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same_tensors(weights(tmp_path / "a"), weights(tmp_path / "c"))
    assert len([*whole.iterdir()]) == 14
    config = json.loads((tmp_path / "a" / "config.json").read_text(encoding="utf-8"))
    names = sorted(path.name for path in whole.iterdir())
    assert [names[int(row)] for row in config["data"]["left_out"].split()] == list(COPIES)


def test_a_resumed_run_keeps_what_was_left_out(folders, tmp_path):
    """Though the option is not given again; and the run cannot be made another one."""
    whole, _ = folders
    ancestral.train(data=whole, out=tmp_path / "a", leave_out_copies=True, **TINY)
    ancestral.train(data=whole, out=tmp_path / "b", leave_out_copies=True, **{**TINY, "steps": 2})
    with pytest.raises(InputError, match="cannot go on with leave_out_copies=False"):
        ancestral.train(out=tmp_path / "b", resume=True, leave_out_copies=False)
    ancestral.train(out=tmp_path / "b", resume=True, progress=False, steps=4, device="cpu")
    assert same_tensors(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_an_evaluation_compares_with_what_was_trained_on(folders, tmp_path):
    whole, each = folders
    run = ancestral.train(data=whole, out=tmp_path / "a", leave_out_copies=True, validation=0.25, **TINY)
    config = run.model.config.data
    load = loader(run.model.spec, config, config)
    parts = [load(str(whole), split) for split in ("train", "held out of the run")]
    alone = data.hold_out(data.open(str(each), image_size=8), 0.25)
    for part, other in zip(parts, alone, strict=True):
        assert torch.equal(part.sample(12).items, other.sample(12).items)


def test_doctor_names_them_and_then_counts_without_them(folders):
    whole, each = folders
    report = ancestral.inspect(whole, image_size=8, steps=0, progress=False)
    named = {row.code: row for row in report.findings}
    assert [set(named[code].names) for code in ("duplicates", "near_duplicates")] == [{COPIES[0]}, {COPIES[1]}]
    assert named["duplicates"].advice.startswith("leave_out_copies=True, or delete the copies")
    report = ancestral.inspect(whole, image_size=8, steps=0, progress=False, leave_out_copies=True)
    rows = [row for row in report.findings if row.code in ("duplicates", "near_duplicates")]
    assert [(row.level, row.text[:9], row.advice) for row in rows] == [("note", "left out:", "")] * 2
    assert report.count == ancestral.inspect(each, image_size=8, steps=0, progress=False).count == 12


def test_data_without_copies_are_as_they_are(folders, tmp_path):
    """Signals too, whose copies are equal; and a run without the option has the identity that it had."""
    signals = torch.randn(16, 1, 32, generator=torch.Generator().manual_seed(0))
    signals[5] = signals[2]
    tiny = {name: value for name, value in TINY.items() if name != "image_size"} | {"dims": 1}
    run = ancestral.train("arrays", data=signals, out=tmp_path / "a", leave_out_copies=True, **tiny)
    assert run.model.config.data.left_out == "5"
    run = ancestral.train("arrays", data=signals[6:], out=tmp_path / "b", leave_out_copies=True, **tiny)
    other = ancestral.train("arrays", data=signals[6:], out=tmp_path / "c", **tiny)
    assert run.model.config.identity() == other.model.config.identity()
    assert same_tensors(weights(tmp_path / "b"), weights(tmp_path / "c"))


def test_rows_that_are_not_there_are_none():
    whole = InMemoryDataset(torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1))
    assert whole.without((1, 7)).items.flatten().tolist() == [0, 2, 3]
    assert whole.without(()) is whole
