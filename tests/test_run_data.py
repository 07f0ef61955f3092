"""A run knows its data wherever they lie, is named after them, and says what differs when they are others."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import data
from ancestral.config import Config
from ancestral.errors import InputError

TINY = {"steps": 2, "batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100, "progress": False}


def images(folder, count=12, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def saved(run):
    return Config.from_json((run / "config.json").read_text(encoding="utf-8"))


def test_the_fingerprint_is_that_of_the_data_however_they_are_read(tmp_path):
    first, copy, other = (images(tmp_path / name / "pics", seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    whole, lazy = (data.open(str(first), memory=memory).fingerprint for memory in (1, 0))
    assert whole == lazy == data.open(str(copy)).fingerprint
    assert whole.startswith("12:")
    assert data.open(str(other)).fingerprint != whole
    (copy / "3.png").unlink()
    assert data.open(str(copy)).fingerprint.startswith("11:")
    x = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)
    assert data.open(x).fingerprint == data.open(x.clone()).fingerprint
    assert data.open(x).fingerprint != data.open((x, torch.tensor([0, 1]))).fingerprint


def test_a_run_goes_on_from_another_folder_and_with_data_at_another_place(tmp_path, monkeypatch):
    images(tmp_path / "here" / "pics")
    monkeypatch.chdir(tmp_path / "here")
    run = tmp_path / "run"
    ancestral.train(data="pics", out=run, **TINY)
    assert saved(run).data.source == str(tmp_path / "here" / "pics")
    monkeypatch.chdir(tmp_path)
    ancestral.train(out=run, resume=True, **{**TINY, "steps": 3})
    ancestral.train(data="here/pics", out=run, resume=True, **{**TINY, "steps": 4})  # the same folder by another path
    shutil.move(tmp_path / "here" / "pics", tmp_path / "there")
    with pytest.raises(InputError, match="say where they are: data PLACE"):
        ancestral.train(out=run, resume=True, **{**TINY, "steps": 5})
    assert ancestral.train(data=tmp_path / "there", out=run, resume=True, **{**TINY, "steps": 5}).step == 5
    assert saved(run).data.source == str(tmp_path / "there")


def test_other_data_are_refused_with_what_differs(tmp_path):
    first, other, fewer = (images(tmp_path / n, c, s) for n, c, s in (("a", 12, 0), ("b", 12, 1), ("c", 9, 0)))
    run = tmp_path / "run"
    ancestral.train(data=first, out=run, **TINY)
    for place, message in ((other, "other items or labels, of the same number, 12"), (fewer, "9 items, and had 12")):
        with pytest.raises(InputError, match=f"{message}.*Resuming needs the same data .data {first}.; to train .*"
                                             f"start another run from it .initial {run}, out NEW.$"):  # fmt: skip
            ancestral.train(data=place, out=run, resume=True, **{**TINY, "steps": 4})
    assert saved(run).data.source == str(first)


def test_a_class_that_was_renamed_is_named(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("cats", "flags")):
        images(tmp_path / "pics" / name, seed=number)
    ancestral.train(data="pics", out="run", **TINY)
    (tmp_path / "pics" / "flags").rename(tmp_path / "pics" / "banners")
    words = ["train", "--data", "pics", "--out", "run", "--resume", "--steps", 4, "--device", "cpu"]
    assert "class flags is now banners. Resuming needs the same data" in (line := refused(*words))
    assert line.endswith("(--from run, --out NEW)\n")
    tree = json.loads((tmp_path / "run" / "config.json").read_text())
    del tree["data"]["fingerprint"]  # of version 0.1
    (tmp_path / "run" / "config.json").write_text(json.dumps(tree))
    assert "trained on data with other classes: class flags is now banners. " in refused(*words)


def test_a_run_without_a_fingerprint_takes_data_of_its_shape(tmp_path):
    """Of version 0.1, whose config holds the path as it was typed."""
    first, other = images(tmp_path / "a"), images(tmp_path / "b", seed=1)
    run = tmp_path / "run"
    ancestral.train(data=first, out=run, **TINY)
    tree = json.loads((run / "config.json").read_text())
    del tree["data"]["fingerprint"]
    tree["data"]["source"] = "a"
    (run / "config.json").write_text(json.dumps(tree))
    assert ancestral.train(data=other, out=run, resume=True, **{**TINY, "steps": 3}).step == 3


@pytest.mark.parametrize(
    ("preset", "source", "title"),
    [
        ("folder", "/x/letters", "letters"),
        ("folder", "/x/a.b", "a.b"),
        ("arrays", "tones.npz", "tones"),
        ("folder", "hf://datasets/me/cats", "cats"),
        ("arrays", "(given from Python)", "arrays"),
        ("digits", "/x/letters", "digits"),
    ],
)
def test_a_run_is_named_after_the_data(preset, source, title):
    config = ancestral.config.preset(preset).with_settings(source=source)
    assert config.title == title


def test_the_default_folder_has_the_name_of_the_data(tmp_path, monkeypatch):
    images(tmp_path / "letters")
    monkeypatch.chdir(tmp_path)
    run = ancestral.train(data="letters", **TINY)
    assert run.folder == "runs/letters"
    assert (
        "letters" in (tmp_path / "runs" / "letters" / "report.html").read_text(encoding="utf-8").partition("</h1>")[0]
    )
    with pytest.raises(InputError, match="no such file or folder: 'leters'"):  # before the run that is there
        ancestral.train(data="leters", out="runs/letters", **TINY)


def test_nothing_is_mirrored_unless_asked():
    assert not any(ancestral.config.preset(name).data.flip for name in ("folder", "arrays", "digits", "fashion"))
