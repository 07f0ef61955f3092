"""What is kept is used again, and never where anything that it follows from has changed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ancestral.base import storage
from ancestral.data.files import cache as cache_folder
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features, concatenate


class Counting:
    """An extractor's network that counts its items."""

    def __init__(self, classes=True):
        self.count = 0
        self.classes = classes

    def __call__(self, items):
        self.count += len(items)
        x = items.float().flatten(1)
        return Features(x[:, :3] / 7, x[:, :2] if self.classes else None)


@pytest.fixture
def items():
    return torch.randint(0, 256, (10, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def extractor(counting):
    return Extractor("counting", 3, "v1", counting)


def look(extractor, items, folder):
    return concatenate(extractors.features(extractor, items, 4, folder))


@pytest.mark.parametrize("classes", [True, False])
def test_what_was_seen_is_not_looked_at_again(items, tmp_path, classes):
    counting = Counting(classes)
    extractor = Extractor("counting", 3, "v1", counting)
    first = look(extractor, items, tmp_path)
    assert counting.count == 10
    again = look(extractor, items, tmp_path)
    assert counting.count == 10
    assert torch.equal(first.values, again.values)
    assert torch.equal(first.logits, again.logits) if classes else again.logits is None
    assert torch.equal(first.values, items.flatten(1)[:, :3] / 7)


def test_nothing_is_used_where_data_transform_or_extractor_changed(items, extractor, counting, tmp_path):
    look(extractor, items, tmp_path)
    changed = items.clone()
    changed[3, 0, 1, 1] ^= 1  # a bit that no feature depends on
    others = [
        (extractor, changed),
        (extractor, items[:9]),
        (extractor, items.flip(0)),
        (extractor, items.view(10, 1, 4, 1)),
        (extractor, items.to(torch.int8)),  # the same bytes
        (replace(extractor, identity="v2"), items),
        (replace(extractor, name="another"), items),
    ]
    for number, (one, data) in enumerate(others):
        counting.count = 0
        assert torch.equal(look(one, data, tmp_path).values, data.float().flatten(1)[:, :3] / 7)
        assert counting.count == len(data), number
    assert len(list(tmp_path.iterdir())) == 1 + len(others)


def test_an_extractor_that_nobody_knows_is_computed_each_time(items, extractor, counting, tmp_path):
    unknown = replace(extractor, identity=None)
    look(unknown, items, tmp_path)
    look(unknown, items, tmp_path)
    assert counting.count == 20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "width", "count", "nan", "logits", "names", "folder"])
def test_damaged_entries_are_made_anew(items, extractor, counting, tmp_path, damage):
    expected = look(extractor, items, tmp_path)
    (path,) = tmp_path.iterdir()
    values, logits = expected
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "text":
        path.write_text("no tensors")
    elif damage == "pickle":
        torch.save(expected._asdict(), path)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        tensors = {
            "width": {"values": values[:, :2], "logits": logits},
            "count": {"values": values[:9], "logits": logits[:9]},
            "nan": {"values": values * torch.nan, "logits": logits},
            "logits": {"values": values, "logits": logits[:9]},
            "names": {"values": values, "other": logits},
        }[damage]
        storage.write_tensors(path, tensors, {})
    assert torch.equal(look(extractor, items, tmp_path).values, values)
    assert counting.count == 20
    if damage != "folder":
        look(extractor, items, tmp_path)
        assert counting.count == 20  # the entry is whole again


def test_an_evaluation_that_is_left_keeps_nothing(items, extractor, tmp_path):
    next(extractors.features(extractor, items, 4, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_costs_only_time(items, extractor, counting, tmp_path):
    (tmp_path / "file").write_text("")
    look(extractor, items, tmp_path / "file" / "folder")
    look(extractor, items, tmp_path / "file" / "folder")
    assert counting.count == 20


def test_the_folder_is_the_users(items, extractor, monkeypatch, tmp_path):
    monkeypatch.delenv("ANCESTRAL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    look(extractor, items, None)
    assert len(list((tmp_path / "xdg" / "ancestral" / "features").iterdir())) == 1
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "own"))
    look(extractor, items, None)
    assert len(list((tmp_path / "own" / "features").iterdir())) == 1
    monkeypatch.delenv("ANCESTRAL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ancestral"
