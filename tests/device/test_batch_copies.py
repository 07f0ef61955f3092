"""Batches that are copied on a stream of their own: no memory is used by two streams at once, and the weights are those
of the CPU.
"""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from accelerator import NAME, Stream, UnorderedUse
from ancestral import data
from ancestral.base import device as base_device
from ancestral.base.errors import InputError
from ancestral.training import RunFolder, Trainer
from ancestral.training.device_data import BatchCopies
from test_device_training import assert_equal_states, changed, conditional_stripes, stripes
from tiny_models import tiny_config

BATCHES = [torch.full((4, 1, 8, 8), number, dtype=torch.uint8) for number in range(6)]


def stepped(batches, device=NAME):
    """The sums of batches that a step computes of each, and what is queued on both streams after each."""
    copies, sums, queued = BatchCopies(torch.device(device)), [], []
    for batch in batches:
        items = copies(batch)
        assert items.device.type == torch.device(device).type
        sums.append(items.float().sum())
        if device == NAME:
            queued.append((copies.stream.done.copy(), torch.gpu.current_stream().record_event()))
    return [float(one) for one in sums], queued


def test_batches_are_copied_while_earlier_steps_are_computed(waits):
    sums, queued = stepped(BATCHES)
    assert sums == [256.0 * number for number in range(6)]
    computing = torch.gpu.current_stream()
    for (_, one), (_, before), (copied, _) in zip(queued, queued[1:], queued[2:], strict=False):
        # of the steps only those are done that used the buffer: of the last step none needs to have begun
        assert one[computing] <= copied[computing] < before[computing]
    assert not [line for line in waits if "from the CPU" in line or "not pinned" in line]


def test_another_shape_is_copied_too(device):
    odd = [torch.ones(3, 2), torch.ones(5, 2), torch.ones(5, 2, dtype=torch.uint8), torch.ones(3, 2), torch.ones(3, 2)]
    assert stepped(odd, device)[0] == [6.0, 10.0, 10.0, 6.0, 6.0]


@pytest.mark.parametrize("wait", ["wait_stream", "wait_event"])
def test_without_waits_two_streams_use_a_buffer_at_once(wait, waits, monkeypatch):
    monkeypatch.setattr(Stream, wait, lambda self, other: None)
    with pytest.raises(UnorderedUse, match=r"device_data|\?"):
        stepped(BATCHES)


@pytest.fixture
def folder(tmp_path):
    """A folder of images, which are read by processes."""
    generator = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(generator.integers(0, 256, (12, 12), dtype=np.uint8)).save(tmp_path / f"{number:02}.png")
    return tmp_path


def from_folder(folder, workers=0, **train):
    config = tiny_config(**{"steps": 4, "save_every": 2, "sample_every": 100, **train})
    config = changed(runtime={"workers": workers, "log_every": 2})(config)
    return config, data.open(str(folder), memory=0, image_size=8, crop=1.5, channels=1)


def drawn(trainer):
    """The trainer, and the steps of the batches that it draws."""
    steps, batches = [], trainer.batches
    trainer.batches = (steps.append(batch.step) or batch for batch in batches)
    return trainer, steps


@pytest.mark.parametrize("workers", [0, 2])
def test_files_train_the_weights_of_the_cpu_and_are_drawn_at_their_own_step(folder, workers, device, close):
    config, dataset = from_folder(folder, workers)
    (one, steps), (other, truth) = (drawn(Trainer(config, dataset, name)) for name in (device, "cpu"))
    assert one.gradients.copies is not None
    assert other.gradients.copies is None
    for event in itertools.islice(zip(one.run(), other.run(), strict=True), 3):
        assert [progress.step for progress in event] == [len(steps)] * 2
    one.read_steps()
    assert steps == truth == [0, 1, 2]
    assert_equal_states(one, other, close, rtol=1e-3, atol=1e-5)
    one.close(), other.close()


def test_a_resumed_run_is_the_run_that_was_not_stopped(folder, tmp_path_factory, waits, close):
    config, dataset = from_folder(folder)
    whole = Trainer(config, dataset, NAME)
    list(whole.run())
    stopped, run = Trainer(config, dataset, NAME), RunFolder(tmp_path_factory.mktemp("run"))
    list(itertools.islice(stopped.run(run), 2))
    resumed = Trainer(config, dataset, NAME)
    resumed.load(run)
    assert resumed.step == 2
    list(resumed.run())
    assert_equal_states(resumed, whole, close, rtol=0, atol=0)


def test_an_error_of_reading_is_raised_at_its_own_step(folder, waits):
    config, dataset = from_folder(folder)
    trainer = Trainer(config, dataset, NAME)
    next(trainer.batches)

    def failing():
        yield from itertools.islice(trainer.loader.batches(0), 2)
        raise InputError("the disk is gone")

    trainer.batches = failing()
    events = trainer.run()
    assert [next(events).step, next(events).step] == [1, 2]
    with pytest.raises(InputError, match="the disk is gone"):
        next(events)


@pytest.mark.parametrize("make", [stripes, conditional_stripes])
def test_data_in_memory_that_do_not_fit_are_copied(make, waits, monkeypatch, close):
    monkeypatch.setattr(base_device, "free_memory", lambda device: 0)
    config = tiny_config(steps=3, save_every=100, sample_every=100)
    one, other = (Trainer(config, make(), name) for name in (NAME, "cpu"))
    assert one.gradients.items is None
    one.advance()
    waits.clear()
    one.take_step()
    assert not waits
    for trainer in (one, other):
        list(trainer.run())
    assert_equal_states(one, other, close, rtol=1e-3, atol=1e-5)
