"""The memory layout of a run: of its weights, batches, validation and model."""

import dataclasses

import pytest
import torch

import ancestral
from ancestral.base.device import memory_format
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer
from ancestral.training.gradients import prepare
from tiny_models import stripes, tiny_config

FORMATS = {
    "auto": torch.channels_last,
    "channels-last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


def trainer(choice, data=None, **parts):
    config = tiny_config(precision="fp32", save_every=100, sample_every=100)
    runtime = dataclasses.replace(config.runtime, memory_format=choice)
    return Trainer(dataclasses.replace(config, runtime=runtime), data or stripes(), "cpu", **parts)


@pytest.mark.parametrize("choice", FORMATS)
def test_a_run_and_its_model_have_the_layout(choice, tmp_path, monkeypatch):
    made, expected = trainer(choice, held_out=stripes(), data=stripes()), FORMATS[choice]
    x0, _ = prepare(next(made.batches), made.gradients.positions, made.config, made.spec, made.device)
    batches, forward_pass = [x0], ancestral.Diffusion.forward_pass

    def noted(denoiser, x0, *rest, **condition):
        batches.append(x0)
        return forward_pass(denoiser, x0, *rest, **condition)

    monkeypatch.setattr(ancestral.Diffusion, "forward_pass", noted)
    made.advance()
    made.validation.losses(made.model().diffusion, made.state.objective, made.distributed)
    made.model().save(tmp_path / "model.safetensors")
    loaded = ancestral.load(tmp_path / "model.safetensors", "cpu")
    weights = [each.denoiser.net.down[0].block.conv1.weight for each in (made, loaded)]
    assert len(batches) >= 3
    other = torch.contiguous_format if expected == torch.channels_last else torch.channels_last
    for tensor in weights:
        assert tensor.is_contiguous(memory_format=expected)
        assert not tensor.is_contiguous(memory_format=other)
    assert all(tensor.is_contiguous(memory_format=expected) for tensor in batches)


def test_it_changes_no_number_but_by_rounding():
    losses = [torch.stack([made.advance().losses for _ in range(3)]) for made in map(trainer, FORMATS)]
    assert torch.equal(losses[0], losses[1])
    torch.testing.assert_close(losses[2], losses[0], rtol=1e-4, atol=1e-6)


def test_volumes_and_signals():
    assert memory_format(5) == memory_format(3) == memory_format(3, "channels-last") == torch.contiguous_format
    assert memory_format(4, "contiguous") == torch.contiguous_format
    assert memory_format(5, "channels-last") == torch.channels_last_3d
    items = torch.randint(0, 256, (16, 1, 4, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = trainer("channels-last", InMemoryDataset(items, name="volumes"))
    made.advance()
    assert made.denoiser.net.down[0].block.conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)
