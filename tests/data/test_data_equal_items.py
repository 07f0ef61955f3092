"""Copies: equal items stay on one side of a split, which is else what it was; evaluation names those on both."""

import dataclasses

import pytest
import torch
from PIL import Image

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.config import Config
from ancestral.config.data_config import HeldOut
from ancestral.data.equal_items import first_equal, moved_rows
from ancestral.declarations import Train
from ancestral.measure.measured_samples import References
from ancestral.measure.reference import loader
from ancestral.use_cases.training import opened_data, train

SETS = ([0, *range(100, 114)], [3, 200], [4, 201], [5, 202, 203], *([row, 130 + row] for row in range(10, 50)))
"""The rows of `flags` that are equal."""


def flags(count=250):
    """Random images, 15 of which are one image, and 43 of which are two or three times there."""
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for first, *others in SETS:
        images[others] = images[first].clone()
    return data.InMemoryDataset(images, name="flags")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The flags as files."""
    path = tmp_path_factory.mktemp("data") / "flags"
    path.mkdir()
    for row, image in enumerate(flags().items):
        Image.fromarray(image[0].numpy()).save(path / f"{row:03d}.png")
    return path


def test_copies_are_on_one_side_and_all_other_items_stay():
    whole = flags()
    _, before = data.hold_out(whole, 0.1)
    moved = finish(moved_rows(whole, 0.1))
    training, held_out = data.hold_out(whole, 0.1, moved)
    assert (first_equal(before.items, whole.subset(training.rows).items) >= 0).any()  # the split without `moved`
    assert (first_equal(held_out.items, training.items) < 0).all()
    copied = {row for rows in SETS for row in rows}
    assert set(before.rows.tolist()) ^ set(held_out.rows.tolist()) == set(moved)
    assert set(moved) <= copied
    assert 23 <= len(held_out) <= len(before) == 25
    assert copied & set(held_out.rows.tolist())  # copies are held out too
    assert not {100, 0} & set(held_out.rows.tolist())  # 15 equal ones are too large a part of 25


def test_data_without_copies_keep_their_split():
    assert finish(moved_rows(data.open("digits").subset(torch.arange(500)), 0.1)) == ()
    zeros = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]], [[-0.0, 1.0]]])
    assert first_equal(zeros[2:], zeros[:2]).tolist() == [0]


def test_items_that_are_read_lazily_are_hashed_as_they_are_decoded(folder):
    assert finish(moved_rows(data.open(str(folder), memory=0), 0.1)) == finish(moved_rows(flags(), 0.1))


def test_labels_do_not_tell_copies_apart():
    whole = dataclasses.replace(flags(), labels=torch.arange(250) % 2, classes=("a", "b"))
    training, held_out = data.hold_out(whole, 0.1, finish(moved_rows(whole, 0.1)))
    assert (first_equal(held_out.items, training.items) < 0).all()


def test_copies_that_fit_nowhere_are_refused():
    whole = data.InMemoryDataset(flags().items[50:52].repeat(20, 1, 1, 1))
    with pytest.raises(InputError, match="holds out 4, but nearly all items are copies of others"):
        data.hold_out(whole, 0.1, finish(moved_rows(whole, 0.1)))


def test_a_run_records_its_split_and_keeps_it(folder, tmp_path):
    plan = train.plan(Train(config="arrays", data=folder, out=tmp_path / "run", settings={"validation": 0.1}))
    whole = data.open(str(folder))
    config, notes = finish(opened_data.with_copies_together(plan, plan.config, whole))
    assert config.data.moved_rows == finish(moved_rows(whole, 0.1))
    assert [note.partition(" ")[2] for note in notes] == [
        "items changed sides, so that copies are on one side of the split"
    ]
    for saved in (config, plan.config):  # one with nothing recorded too
        resumed, notes = finish(
            opened_data.with_copies_together(dataclasses.replace(plan, saved=saved), plan.config, whole)
        )
        assert (resumed.data.moved, notes) == (saved.data.moved, [])
    assert Config.from_json(config.to_json()) == config


def test_an_evaluation_names_copies_on_both_sides_or_leaves_them_out(folder):
    training, held_out = data.hold_out(data.open(str(folder)), 0.1)
    references = References.of(training.spec, training, held_out, "pixels")
    trained_on = set(training.rows.tolist())
    both = [row for row in held_out.rows.tolist() if any(row in rows and trained_on & set(rows) for rows in SETS)]
    named, without = (references.checked_for_copies(leave_out) for leave_out in (False, True))
    *_, note = named.notes
    assert note.startswith(f"Held-out items that equal training items: {len(both)} of 25 (")
    assert f"{both[0]:03d}.png = " in note
    assert len(named.held_out.items) == 25
    assert len(without.held_out.items) == 25 - len(both)
    assert (first_equal(without.held_out.items, training.items) < 0).all()
    assert without.notes[-1].startswith(f"Held-out items that equal training items were left out: {len(both)} of 25 (")
    assert without.checked_for_copies(False).notes == without.notes


@pytest.mark.parametrize(("count", "share", "runs"), [(250, 0.1, 5), (40, 0.1, 2), (21, 0.2, 2), (1000, 0.004, 2)])
def test_blocks_are_runs_of_items_that_follow_each_other(count, share, runs):
    whole = data.InMemoryDataset(torch.randint(0, 256, (count, 1, 2, 2), dtype=torch.uint8))
    training, held_out = data.hold_out(whole, HeldOut(share, by_blocks=True))
    rows = held_out.rows
    assert len(rows) == round(share * count)
    assert sorted([*training.rows.tolist(), *rows.tolist()]) == list(range(count))
    assert 1 + int((rows.diff() > 1).sum()) == runs
    assert 0 not in rows
    assert count - 1 not in rows


def test_copies_stay_together_where_blocks_are_held_out(folder, tmp_path):
    plan = train.plan(Train(config="arrays", data=folder, out=tmp_path / "run", settings={"validation": "0.1:blocks"}))
    whole = data.open(str(folder))
    config, _ = finish(opened_data.with_copies_together(plan, plan.config, whole))
    training, held_out, _ = opened_data.split(whole, config, None)
    assert (first_equal(held_out.items, training.items) < 0).all()
    assert len(held_out) > 0.05 * len(whole)
    run = dataclasses.replace(config.data, source=str(folder), fingerprint=whole.fingerprint)
    assert loader(whole.spec, run, run)(str(folder), "held out of the run").rows.tolist() == held_out.rows.tolist()
    assert Config.from_json(config.unplaced().to_json()).data.held_out == HeldOut(0.1, by_blocks=True)
