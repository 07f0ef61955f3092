"""Training items nearest to samples: by pixels, of data in memory and on disk, with mirror images."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.config import FROM_PYTHON, DataConfig
from ancestral.use_cases.training import training_neighbours
from ancestral.use_cases.training.training_neighbours import training_items
from tiny_models import tiny_config, untrained


def model_of(source, shape, **settings):
    """A model with random weights whose config names training data."""
    model = untrained(shape)
    model.config = dataclasses.replace(tiny_config(), data=DataConfig(str(source), **settings))
    return model


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """A file of 200 images of random pixels in three classes, and the data set of it."""
    path = tmp_path_factory.mktemp("data") / "items.npz"
    numbers = np.random.default_rng(0)
    np.savez(path, images=numbers.integers(0, 256, (200, 1, 8, 8), np.uint8), labels=np.arange(200) % 3)
    return path, data.open(path)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_nearest_items_are_those_of_all_differences(monkeypatch, arrays, mirrored):
    monkeypatch.setattr(training_neighbours, "PART_ELEMENTS", 3 * 64)  # parts of three items
    path, whole = arrays
    items = finish(training_items(model_of(path, (1, 8, 8), flip=mirrored)))
    noise = torch.randint(-40, 40, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    samples = (whole.items[100:106].int() + noise).clamp(0, 255).to(torch.uint8)
    samples[0] = whole.items[7].flip(-1)
    near = items.nearest(samples, 4)
    forms = [whole.items, whole.items.flip(-1)] if mirrored else [whole.items]
    apart = [(form[None].double() - samples[:, None].double()).square().mean((2, 3, 4)).sqrt() for form in forms]
    truth = torch.stack(apart).amin(0).topk(4, largest=False)
    assert torch.allclose(near.distances, truth.values, atol=1e-4)
    assert torch.equal(near.positions, truth.indices)
    assert torch.equal(near.items, whole.items[near.positions])
    assert torch.equal(near.labels, near.positions % 3)
    assert (near.classes, near.searched, near.total) == (("0", "1", "2"), 200, 200)
    assert (float(near.distances[0, 0]) == 0) == mirrored


def test_held_out_items_are_not_among_them(arrays):
    path, whole = arrays
    items = finish(training_items(model_of(path, (1, 8, 8), validation=0.25, fingerprint=whole.fingerprint)))
    assert len(items.items) == 150
    assert torch.equal(items.items, whole.items[items.positions])
    assert items.nearest(items.items[5:6]).positions[0, 0] == items.positions[5]


def test_items_of_a_folder_are_read_where_they_lie_and_unreadable_ones_are_left_out(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        Image.new("L", (8, 8), 20 * number).save(folder / f"{number}.png")
    model = model_of(folder, (1, 8, 8), memory=0.0)
    whole = (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(whole[: len(whole) // 2])
    items = finish(training_items(model, most=5))
    near = items.nearest(torch.full((1, 1, 8, 8), 121, dtype=torch.uint8), 9)
    assert near.positions.tolist() == [[6, 8, 2, 0]]  # of 0, 2, 4, 6 and 8
    assert near.distances[0].tolist() == pytest.approx([1, 39, 81, 121])
    assert (near.labels, near.searched, near.total) == (None, 4, 9)


def test_data_that_are_not_known_and_other_samples_are_refused(arrays):
    with pytest.raises(InputError, match="training data of this model are not known here"):
        finish(training_items(model_of(FROM_PYTHON, (1, 8, 8))))
    items = finish(training_items(model_of(arrays[0], (1, 8, 8))))
    for samples in (items.items[:0], items.items[0]):
        with pytest.raises(InputError, match="samples have the shape"):
            items.nearest(samples)
    with pytest.raises(InputError, match="k is the number of nearest items"):
        items.nearest(items.items[:1], 0)
