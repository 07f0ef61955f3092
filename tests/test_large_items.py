"""Large items are sampled and measured few at a time, since features of 64 photographs at once take 20 GB."""

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

import ancestral
from ancestral.base import device
from ancestral.nets import UNet
from tiny_models import stripes, untrained


@pytest.fixture
def batches(monkeypatch):
    """The batch sizes that networks are evaluated with, in which two items of 8×8 count as large ones."""
    monkeypatch.setattr(device, "POSITIONS_AT_ONCE", 2 * 8 * 8)
    found = []

    def hook(module, args):
        if isinstance(module, UNet) and not module.training:
            found.append(len(args[0]))

    handle = register_module_forward_pre_hook(hook)
    yield found
    handle.remove()


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2,), 64), ((1, 28, 28), 64), ((3, 64, 64), 64), ((3, 65, 64), 63), ((3, 256, 256), 4), ((3, 1024, 2048), 1)],
)
def test_the_number_of_items_at_once_follows_from_their_size(shape, count):
    assert device.items_at_once(shape) == count


@pytest.mark.long
def test_samples_edits_and_measurements_take_few_large_items_at_once(batches, tmp_path):
    model, file = untrained((1, 8, 8)), tmp_path / "model.safetensors"
    model.save(file)
    model.sample(5, steps=1)
    assert batches == [2, 2, 1]
    batches.clear()
    model.sample(5, steps=1, batch_size=5)
    assert batches == [5]
    batches.clear()
    model.inpaint(torch.zeros(1, 8, 8), torch.eye(8, dtype=torch.bool), 3, steps=1)
    ancestral.sample(file, n=3, out=tmp_path / "samples.npz", sampler="ddim", steps=1, progress=False)
    ancestral.evaluate(file, data=stripes(12).items, samples=6, steps=1, extractor="pixels", progress=False)
    ancestral.evaluate(file, data=stripes(12).items, likelihood=True, passes=2, n=3, progress=False)
    assert max(batches) == 2


def test_previews_take_few_large_items_at_once(batches, tmp_path):
    small = {"steps": 1, "preview_steps": 1, "width": 16, "mults": (1, 2), "blocks": 1, "batch_size": 4}
    ancestral.train("arrays", stripes().items, out=tmp_path / "run", progress=False, trackers=("none",), **small)
    assert batches
    assert max(batches) == 2
