"""Activation checkpointing: the same gradients to the bit, less memory, chosen where memory is short; and weights in
float32, in which small updates add up.
"""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from ancestral import config as configs
from ancestral.base.options import in_python, spell
from ancestral.config import RuntimeConfig
from ancestral.model import CustomParts
from ancestral.training import Checkpoints, RunFolder, Trainer, step_cost
from ancestral.training.activation_memory import recomputed_share
from ancestral.training.step_cost import StepMemory, choose_checkpointing
from tiny_models import begun, but_one_long, same_tensors, stripes, tiny_config, together


def trainer_of(checkpointing, net="unet", **train):
    base = tiny_config(**train)
    nets = {
        "unet": dataclasses.replace(base.net, dropout=0.3, mults=(1, 2)),
        "transformer": configs.TransformerConfig(width=16, depth=3, heads=2, patch=2, dropout=0.3),
    }
    runtime = dataclasses.replace(base.runtime, checkpointing=checkpointing, micro_batch=4)
    return Trainer(dataclasses.replace(base, net=nets[net], runtime=runtime), stripes(), "cpu")


def without_zeros(trainer):
    """The trainer at weights that have a gradient: some layers begin at 0, which leaves those before them none."""
    generator, config = torch.Generator().manual_seed(3), dataclasses.replace(trainer.config, runtime=RuntimeConfig())
    weights = Trainer(config, stripes(), "cpu").state.net.state_dict()
    for name, value in weights.items():
        if value.abs().max() < 1e-3:  # they begin near 0
            weights[name] = torch.randn(value.shape, generator=generator) / 20
    return Trainer(trainer.config, stripes(), "cpu", CustomParts(weights=weights))


def tensors_after(trainer):
    list(trainer.run())
    return trainer.state.tensors()


@pytest.mark.parametrize("precision", but_one_long(["bf16", "fp32"]))
@pytest.mark.parametrize("net", ["unet", "transformer"])
def test_training_with_recomputed_activations_is_the_same_to_the_bit(net, precision):
    """Dropout with keys, micro-batches, Adam's moments and the average included."""
    assert same_tensors(*(tensors_after(trainer_of(choice, net, precision=precision)) for choice in (False, True)))


def test_a_run_goes_on_with_it_or_without(tmp_path):
    whole = tensors_after(trainer_of(False))
    first = trainer_of(True)
    folder = begun(tmp_path / "run", first.config)
    for progress in first.run(folder):
        if progress.step == 3:
            first.stop()
    again = trainer_of(False)
    again.load(folder)
    assert again.step == 4
    assert same_tensors(tensors_after(again), whole)


def test_the_share_that_is_left_is_that_of_what_autograd_keeps():
    """Of n equal blocks that keep much, the inputs and about one block are left."""
    few, many = (trainer_of(False, "transformer") for _ in "ab")
    deep = dataclasses.replace(many.config, net=dataclasses.replace(many.config.net, depth=12))
    many = Trainer(deep, stripes(), "cpu")
    before = {name: value.clone() for name, value in many.state.tensors().items()}
    shares = recomputed_share(few), recomputed_share(many)
    assert 0 < shares[1] < shares[0] < 1
    assert shares[1] < 0.35
    assert same_tensors(many.state.tensors(), before)
    many = Trainer(deep.with_settings(checkpointing=True), stripes(), "cpu")
    assert recomputed_share(many) == pytest.approx(shares[1])


@pytest.mark.parametrize(
    ("free", "device_least", "choice", "chosen"),
    [
        (99, 1, None, True),
        (101, 1, None, False),  # one item fits: smaller parts are the better choice
        (101, 2, None, True),
        (99, 1, False, False),
        (10**6, 1, True, True),
    ],
    ids=["none fits", "one fits", "one fits on a GPU", "forced off", "forced on"],
)
def test_it_is_chosen_where_memory_is_short(monkeypatch, free, device_least, choice, chosen):
    monkeypatch.setattr(step_cost, "BUSY_ITEMS", {"cpu": device_least})
    trainer = trainer_of(choice)
    memory, line = choose_checkpointing(trainer, StepMemory(fixed=50, each=50, free=free))
    assert memory.recomputed == (chosen and choice is None)
    assert ("forward" in trainer.state.net.middle[0].__dict__) == bool(choice)  # nothing in the run changes
    if not chosen:
        assert (memory.each, line) == (50, "")
        return
    assert (memory.each < 50) == (choice is None)
    assert "checkpointing=False keeps" in spell(line, in_python)


@pytest.mark.long
def test_updates_far_below_the_resolution_of_bfloat16_add_up():
    """bf16 is the format of the arithmetic alone: weights, their average and Adam's moments are float32."""
    trainer = trainer_of(False, precision="bf16", optimiser="adam", lr=2**-19, warmup=0, decay="none", steps=30)
    trainer = without_zeros(trainer)
    assert trainer.dtype == torch.bfloat16
    state = trainer.state
    floats = [*state.parameters, *state.ema.weights, *(w for power in state.powers.values() for w in power.weights)]
    assert {value.dtype for value in floats} == {torch.float32}
    weight = state.net.middle[0].block.conv1.weight
    place = weight.detach().abs().flatten().argmax()
    begin = weight.detach().flatten()[place].item()
    assert abs(begin) > 1 / 16  # whose neighbours in bfloat16 are 2^-11 or more away
    average = previous = begin
    moves = []
    for step in range(1, 31):
        trainer.advance()
        now = weight.detach().flatten()[place].item()
        moves.append(now - previous)
        decay = min(trainer.config.train.ema, (1 + step) / (10 + step))
        average += (1 - decay) * (now - average)
        previous = now
    assert all(0 < abs(move) < 2**-17 for move in moves)
    assert abs(previous - begin) > 5 * 2**-20
    assert sum(moves) == pytest.approx(previous - begin, abs=1e-12)
    index = next(i for i, parameter in enumerate(state.parameters) if parameter is weight)
    assert state.ema.weights[index].flatten()[place].item() == pytest.approx(average, abs=1e-8)
    assert {value.dtype for moments in state.optimiser.state.values() for value in moments.values()} == {torch.float32}


@pytest.mark.slow
def test_sharded_weights_are_float32_too(tmp_path):
    """FSDP2 casts nothing: a step of 2^-19 changes every weight that has a gradient, and the average."""
    together(__file__, tmp_path / "run")
    checkpoint, wrong = Checkpoints(tmp_path / "run" / "checkpoints").newest()
    assert not wrong
    begin = sharded(shard=False).state.tensors()
    for name in ("net.middle.0.block.conv1.weight", "ema.middle.0.block.conv1.weight"):
        move = checkpoint.tensors[name] - begin[name]
        assert checkpoint.tensors[name].dtype == torch.float32
        assert move.abs().max() < 7 * 2**-19
        assert (move != 0).double().mean() > 0.99


def sharded(shard=True):
    """A run of 6 steps in bf16 with recomputed activations."""
    base = tiny_config(precision="bf16", lr=2**-19, warmup=0, decay="none", optimiser="adam")
    runtime = dataclasses.replace(base.runtime, shard=shard, checkpointing=True)
    return without_zeros(Trainer(dataclasses.replace(base, runtime=runtime), stripes(), "cpu"))


if __name__ == "__main__":
    trainer = sharded()
    place = RunFolder(Path(sys.argv[1]))
    if trainer.distributed.main:
        place.begin(trainer.config)
    trainer.distributed.wait()
    list(trainer.run(place))
