"""Windows of larger images: those at the centre wherever data are read, and random ones in training."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data.convert import at_random
from ancestral.data.loading import Loader
from ancestral.measure.reference import load_reference
from ancestral.training import Trainer
from ancestral.training.gradients import prepare
from tiny_models import tiny_config

DOWN, RIGHT = torch.meshgrid(torch.arange(12), torch.arange(24), indexing="ij")
IMAGES = torch.stack([torch.stack([20 * DOWN, 10 * RIGHT, torch.full_like(DOWN, n)]) for n in range(10)]).byte()
"""(10, 3, 12, 24): of a pixel 20 times its row, 10 times its column, and the number of its image."""
FORM = {"image_size": "8x16", "crop": 1.5}


@pytest.fixture
def folder(tmp_path):
    for number, image in enumerate(IMAGES):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("kind", ["array", "folder", "folder in memory", "torch"])
def test_items_are_windows_at_the_centre_and_a_batch_has_whole_images(folder, kind):
    opened = {
        "array": lambda: data.open(IMAGES.permute(0, 2, 3, 1).numpy(), **FORM),
        "folder": lambda: data.open(folder, memory=0, **FORM),
        "folder in memory": lambda: data.load(folder, **FORM),
        "torch": lambda: data.open(TensorDataset(IMAGES), memory=0, **FORM),
    }[kind]()
    assert opened.shape == opened.spec.shape == (3, 8, 16)
    assert opened.stored_shape == (3, 12, 24)
    assert len(opened.notes) == (kind == "array")  # what it was read as
    order = opened.sample(10).items[:, 2, 0, 0].long()
    window = IMAGES[order][..., 2:10, 4:20]
    assert torch.equal(opened.sample(10).items, window)
    assert torch.equal(opened.read(3)[0], window[3])
    rest, part = data.hold_out(opened, 0.3)
    assert torch.equal(part.sample(3).items, window[part.rows])
    assert part.fingerprint == rest.fingerprint == opened.fingerprint
    for source, rows in ((opened, None), (rest, rest.rows)):
        with Loader(source, seed=0, batch_size=8, positions=range(8), workers=0) as loader:
            batch = next(loader.batches(5))
        index = batch.indices if rows is None else rows[batch.indices]
        assert torch.equal(batch.items, IMAGES[order[index]])


def test_the_size_that_keeps_the_shape_is_that_of_the_windows(folder):
    ((text, advice),) = data.open(folder, memory=0, image_size=8, crop=1.5).notes
    assert text.endswith("the crop to 8x8 loses 50%")
    assert "8x16" in advice


def test_windows_are_uniform_and_a_function_of_seed_step_and_position():
    images = IMAGES[:1].expand(9000, -1, -1, -1)
    cut = at_random(images, (8, 16), seed=0, step=3, indices=range(9000))
    top, left = cut[:, 0, 0, 0] // 20, cut[:, 1, 0, 0] // 10
    assert torch.equal(cut[:, 0], (20 * (top[:, None, None] + DOWN[:8, :16])).byte())
    assert torch.equal(cut[:, 1], (10 * (left[:, None, None] + RIGHT[:8, :16])).byte())
    counts = torch.bincount(9 * top.long() + left.long(), minlength=45)  # 5 rows and 9 columns
    assert ((counts - 200) ** 2 / 200).sum() < 80  # chi squared of 44 degrees of freedom: once in 1,000 seeds
    assert torch.equal(at_random(images[:2], (8, 16), 0, 3, [7, 8000]), cut[[7, 8000]])
    assert not torch.equal(at_random(images, (8, 16), 0, 4, range(9000)), cut)
    assert at_random(images, (12, 24), 0, 3, range(9000)) is images


@pytest.mark.long
def test_a_run_is_trained_on_windows_and_compared_with_those_at_the_centre(folder, tmp_path):
    options = {"steps": 2, "batch_size": 8, "width": 16, "mults": (1,), "blocks": 1, "attention": (), "device": "cpu",
               "trackers": "none", "progress": False, "sampler": "ddim:steps=2"}  # fmt: skip
    run = ancestral.train("folder", data=folder, out=tmp_path / "run", validation=0.3, **FORM, **options)
    assert run.model.spec.shape == (3, 8, 16)
    config = run.model.config
    reference = load_reference(run.model.spec, str(folder), config=config.data)
    assert torch.equal(reference.read(0)[0], IMAGES[0, :, 2:10, 4:20])
    assert reference.fingerprint == config.data.fingerprint
    trainer = Trainer(tiny_config(batch_size=8), data.open(folder, memory=0, **FORM), "cpu")
    with trainer.loader:
        x0, _ = prepare(next(trainer.batches), range(8), trainer.config, trainer.spec, trainer.device)
    pixels = ((x0 + 1) * 127.5).round()
    assert x0.shape == (8, 3, 8, 16)
    assert len({(top, left) for top, left in (pixels[:, :2, 0, 0] / torch.tensor([20, 10])).tolist()}) > 4
    again = ancestral.train("folder", data=folder, out=tmp_path / "run", resume=True, **{**options, "steps": 3})
    assert again.step == 3
    with pytest.raises(InputError, match=r"was trained with crop=1\.5, so it cannot go on with 2"):
        ancestral.train("folder", data=folder, out=tmp_path / "run", resume=True, crop=2.0, **{**options, "steps": 4})


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        (IMAGES, {"crop": 1.5}, "cuts windows of image_size='HxW' from images that are larger by this factor: give"),
        (IMAGES, {"crop": 0.5, "image_size": 8}, "give that size, and a factor of 1 or more"),
        (np.zeros((4, 2), np.float32), {"crop": 1.5, "image_size": 8}, "2-D points have no image size"),
        (np.zeros((4, 1, 64), np.float32), {"crop": 1.5, "image_size": 8, "dims": 1}, "1-D data is not resized"),
        ((IMAGES, {"edge": IMAGES}), FORM, "of the items alone, and edge has an image for each"),
    ],
)
def test_what_has_no_windows_is_refused(source, options, says):
    with pytest.raises(InputError, match=says):
        data.open(source, **options)
