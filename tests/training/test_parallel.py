"""One process, two with copies of the network (DDP), two that share it out (FSDP2): the same training, over gloo."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn.parallel import DistributedDataParallel

from ancestral import Diffusion, randomness, schedules, targets
from ancestral.base.events import finish
from ancestral.conditions import Condition, Noise
from ancestral.config import TransformerConfig
from ancestral.model import CustomParts
from ancestral.training import Checkpoints, RunFolder, Snapshots, Trainer
from ancestral.use_cases.training.training_previews import sample_preview
from tiny_models import LearnedWeights, begun, conditional_stripes, stripes, tiny_config, together

STEPS = 12
TOLERANCE = 1e-5


def config(shard=False, times="stratified", net="unet", optimiser="adam", precision="fp32", objective="denoising"):
    """With attention, labels, flips, augmentation and balanced classes, and without dropout.

    The batch is 32 on one process, 16 on each of two.
    """
    base = tiny_config(steps=STEPS, batch_size=32, warmup=4, precision=precision, save_every=8, times=times)
    base = dataclasses.replace(base, train=dataclasses.replace(base.train, optimiser=optimiser))
    nets = {
        "unet": dataclasses.replace(base.net, dropout=0.0),
        "transformer": TransformerConfig(width=16, depth=2, heads=2, patch=2),
    }
    base = base.with_objective(objective)
    base = dataclasses.replace(base, train=dataclasses.replace(base.train, batch_size=32, condition_dropout=0.1))
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, flip=True, augment=0.3, balance=True),
        net=nets[net],
        runtime=dataclasses.replace(base.runtime, shard=shard, keep=9),
    )


def processes(folder, **options):
    """Train with two processes, with the options of `work`, from where the folder is to a step."""
    together(__file__, json.dumps([["work", str(folder), options]]))


def state(folder, step=STEPS):
    newest, wrong = Checkpoints(folder / "checkpoints").newest()
    assert not wrong
    assert newest.step == step
    return newest


def advanced(trainer, folder, steps):
    """The checkpoint of a trainer that takes further steps."""
    if not folder.holds_run():
        folder.begin(trainer.config)
    for _ in range(steps):
        trainer.advance()
    trainer.save(folder)
    return state(folder.path, trainer.step)


def assert_close(one, other):
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert torch.allclose(tensor.double(), other.tensors[name].double(), rtol=0, atol=TOLERANCE), name
    assert one.numbers["guard"]["loss"] == pytest.approx(other.numbers["guard"]["loss"], rel=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training by one process, and what it draws at its end."""
    folder = begun(tmp_path_factory.mktemp("alone") / "run", config())
    trainer = Trainer(config(), stripes(), "cpu")
    list(trainer.run(folder))
    return folder.path, finish(sample_preview(trainer, 5, 4)).samples


PAIRS = {
    "ddp": ["work", {}],
    "importance": ["work", {"steps": 5, "times": "importance"}],
    "conditions": ["work", {"steps": 4, "conditions": True}],
    "energy": ["work", {"steps": 4, "conditions": True, "objective": "energy:members=2"}],
    "learned weights": ["work", {"steps": 4, "optimiser": "custom"}],
    "plain loop": ["write_plain_loop", {"micro_batches": 1}],
    "plain loop in parts": ["write_plain_loop", {"micro_batches": 3}],
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The folder of what two processes did, started once for all tests that compare them with one process."""
    folder = tmp_path_factory.mktemp("pairs")
    together(__file__, json.dumps([[name, str(folder / run), options] for run, (name, options) in PAIRS.items()]))
    return folder


@pytest.fixture(scope="module", params=["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def pair(request, pairs):
    """The training of `alone` by two processes."""
    if request.param == "fsdp":
        processes(pairs / "fsdp", shard=True)
    return pairs / request.param


@pytest.mark.long
def test_two_processes_train_what_one_does(alone, pair):
    """12 steps: 1 x 32 images against 2 x 16, weights, average and Adam's moments within 1e-5."""
    assert_close(state(alone[0]), state(pair))
    one, two = (Snapshots(folder / "snapshots") for folder in (alone[0], pair))
    assert one.steps() == two.steps()
    assert len(one.steps()) > 5
    mine, theirs = (snapshots.reconstruct(0.07)[0] for snapshots in (one, two))
    assert all(torch.allclose(weight, theirs[name], rtol=0, atol=TOLERANCE) for name, weight in mine.items())
    samples = torch.frombuffer(bytearray((pair / "drawn").read_bytes()), dtype=torch.uint8)
    assert (samples.view(5, 1, 8, 8).int() - alone[1].int()).abs().max() <= 2  # of 255


@pytest.mark.long
def test_what_two_began_one_goes_on_with(tmp_path, alone, pair):
    shutil.copytree(pair, tmp_path / "run")
    shutil.rmtree(Checkpoints(tmp_path / "run" / "checkpoints").path(STEPS))
    assert state(tmp_path / "run", 8).step == 8
    trainer = Trainer(config(), stripes(), "cpu")
    assert trainer.load(RunFolder(tmp_path / "run")) == []
    list(trainer.run(RunFolder(tmp_path / "run")))
    assert_close(state(alone[0]), state(tmp_path / "run"))


@pytest.mark.slow
def test_what_one_began_two_share_out(tmp_path, alone):
    folder = begun(tmp_path / "run", config())
    for progress in Trainer(config(), stripes(), "cpu").run(folder):
        if progress.step == 8:
            break
    processes(folder.path, shard=True)
    assert_close(state(alone[0]), state(folder.path))


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["ddp", "fsdp"])
def test_a_transformer_is_trained_alike_too(tmp_path, shard):
    trainer = Trainer(config(net="transformer"), stripes(), "cpu")
    processes(tmp_path / "two", shard=shard, steps=8, net="transformer")
    assert_close(advanced(trainer, RunFolder(tmp_path / "one"), 8), state(tmp_path / "two", 8))


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["ddp", "fsdp"])
def test_muon_steps_alike_too(tmp_path, shard):
    """Few steps, since orthogonalising amplifies rounding errors where a gradient is nearly 0."""
    folder, trainer = RunFolder(tmp_path / "one"), Trainer(config(optimiser="muon"), stripes(), "cpu")
    for steps in (4, 6) if shard else (4,):  # the moments are taken up again
        processes(tmp_path / "two", shard=shard, steps=steps, optimiser="muon")
        assert_close(advanced(trainer, folder, steps - trainer.step), state(tmp_path / "two", steps))


@pytest.mark.long
def test_importance_learns_from_the_losses_of_all(tmp_path, pairs):
    trainer = Trainer(config(times="importance"), stripes(), "cpu")
    one, two = advanced(trainer, RunFolder(tmp_path / "one"), 5), state(pairs / "importance", 5)
    assert one.tensors["times.counts"].sum() == 5 * 32
    assert torch.equal(one.tensors["times.counts"], two.tensors["times.counts"])
    assert torch.allclose(one.tensors["times.history"], two.tensors["times.history"], atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("name", "objective"), [("conditions", "denoising"), ("energy", "energy:members=2")])
def test_conditions_of_every_kind_are_those_of_one_process(tmp_path, pairs, name, objective):
    """Each kind, and a random mask, missing for some items and dropped for others; and the noise of members."""
    trainer = Trainer(config(objective=objective), conditional_stripes(), "cpu")
    assert set(map(type, trainer.spec.conditions.values())) == set(typing.get_args(Condition)) - {Noise}
    assert_close(advanced(trainer, RunFolder(tmp_path / "one"), 4), state(pairs / name, 4))


def own_trainer(settings):
    """With a custom optimiser, and a custom objective with parameters."""
    parts = CustomParts(optimiser=functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Trainer(settings, stripes(), "cpu", dataclasses.replace(parts, objective=LearnedWeights))


@pytest.mark.long
def test_learned_loss_weights_are_trained_by_the_losses_of_all(tmp_path, pairs):
    trainer = own_trainer(config(optimiser="custom"))
    began = trainer.state.objective.u.detach().clone()
    one, two = advanced(trainer, RunFolder(tmp_path / "one"), 4), state(pairs / "learned weights", 4)
    assert_close(one, two)
    assert (one.tensors["objective.u"] - began).abs().max() > 10 * TOLERANCE
    assert one.tensors["objective-adam.momentum_buffer.u"].any()


@pytest.mark.slow
def test_in_bf16_two_processes_differ_from_one_by_its_rounding(tmp_path):
    """What docs/how-to/several-gpus.md says: more than in fp32."""
    trainer = Trainer(config(precision="bf16"), stripes(), "cpu")
    processes(tmp_path / "two", precision="bf16")
    one, two = advanced(trainer, RunFolder(tmp_path / "one"), STEPS).tensors, state(tmp_path / "two").tensors
    apart = max((one[name] - two[name]).abs().max().item() for name in one if name.startswith("net."))
    assert TOLERANCE < apart < 1e-2


@pytest.mark.long
def test_torchrun_starts_one_training_of_two_processes(tmp_path):
    """The command of the README: no device named, one run, reported once."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--standalone", "-m", "ancestral", "train", "points", "--steps", "12", "--batch-size", "8"]
    command += ["--width", "16", "--preview-steps", "1", "--trackers", "none", "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "parameters on 2 processes on " in done.stdout
    assert done.stdout.count("Trained 12 steps") == 1
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [12]


WORKFLOWS = """
import json, sys, torch, ancestral
from torch import distributed
from ancestral.training.distributed import Distributed

def failing():
    raise ancestral.base.errors.InputError("no luck")
    yield

options = {"width": 16, "batch_size": 8, "preview_steps": 1, "trackers": ("none",), "progress": False}
measure = {"samples": 30, "steps": 2, "progress": False}
if sys.argv[1] == "own group":
    distributed.init_process_group("gloo")
one = ancestral.train("points", out="one", steps=2, **options)
measured = [ancestral.evaluate("one", **measure).samples]
if sys.argv[1] == "no group":
    ancestral.train("points", out="two", steps=2, seed=1, **options)
    measured += ancestral.compare(["one", "two"], **measure).runs
measured.append(ancestral.evaluate(one.model, "moons", **measure).samples)
try:
    list(Distributed("cpu").first(failing()))
except ancestral.base.errors.InputError as error:
    message = str(error)
total = torch.ones(())
distributed.all_reduce(total)  # the group is still there
distances = [each.metrics["frechet"].value.value for each in measured]
sys.stdout.write(json.dumps([distributed.get_rank(), total.item(), message, distances]) + "\\n")  # at once
if sys.argv[1] == "own group":
    distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("group", ["own group", "no group"])
def test_a_script_trains_evaluates_trains_again_and_compares(tmp_path, group):
    """Under torchrun, in a process group that the script made or one that the first workflow makes. All processes get
    the same results, and those of one process's mistake.
    """
    (tmp_path / "script.py").write_text(WORKFLOWS)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "script.py", group],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (zero, *one), (_, *two) = sorted(json.loads(line) for line in done.stdout.splitlines())
    assert (zero, one[0], one[1], two[1]) == (0, 2.0, "no luck", "the first process ended: no luck")
    assert one[2] == two[2]
    assert len(one[2]) == (2 if group == "own group" else 4)
    assert one[2][0] == one[2][-2 if group == "own group" else 1] == pytest.approx(one[2][-1], rel=1e-4)


def plain_loop(steps=5, micro_batches=1):
    """A plain loop over 12 points a step, which a process group shares out as `DistributedSampler` does: the weights,
    and the times of this process.
    """
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.SiLU(), torch.nn.Linear(16, 2))
    denoiser = Diffusion(Indexed(net), schedules.cosine(), targets.V)
    wrapped, mine = denoiser, range(12)
    if torch.distributed.is_initialized():
        wrapped = DistributedDataParallel(denoiser)
        mine = range(torch.distributed.get_rank(), 12, torch.distributed.get_world_size())
    optimiser = torch.optim.SGD(denoiser.parameters(), lr=0.1)
    for step in range(steps):
        x0 = randomness.normal((2,), 0, randomness.Stream.OWN, step, range(12))
        optimiser.zero_grad()
        parts = torch.tensor(mine).chunk(micro_batches)
        for part in parts:
            indices = part if micro_batches > 1 else None  # else the default, which must do
            (wrapped(x0[part], step=step, indices=indices) * len(part) / len(mine)).backward()
        optimiser.step()
    return torch.cat([parameter.detach().flatten() for parameter in denoiser.parameters()]), denoiser.net.seen


class Indexed(torch.nn.Module):
    """A network of x alone, which keeps the indices t − 1."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x, index):
        self.seen += index.tolist()
        return self.net(x)


@pytest.mark.long
@pytest.mark.parametrize("run", ["plain loop", "plain loop in parts"])
def test_a_plain_loop_on_two_processes_is_that_of_one(pairs, run):
    """No two processes, and no two micro-batches, draw the same t and ε: together they draw those of one batch."""
    weights, indices = plain_loop()
    parts = [safetensors.torch.load_file(pairs / run / f"{rank}.safetensors") for rank in (0, 1)]
    assert all(torch.allclose(part["weights"], weights, rtol=0, atol=1e-6) for part in parts)
    assert sorted(indices) == sorted(parts[0]["seen"].tolist() + parts[1]["seen"].tolist())


def write_plain_loop(folder, micro_batches):
    """Write what this process did in a plain loop."""
    weights, indices = plain_loop(micro_batches=micro_batches)
    folder.mkdir(exist_ok=True)
    path = folder / f"{torch.distributed.get_rank()}.safetensors"
    safetensors.torch.save_file({"weights": weights, "seen": torch.tensor(indices)}, path)


def work(path, steps=STEPS, conditions=False, **options):
    """Train as this process of two, from where the folder is to `steps`; the options are those of `config`."""
    folder, settings = RunFolder(path), config(**options)
    images = conditional_stripes() if conditions else stripes()
    trainer = own_trainer(settings) if options.get("optimiser") == "custom" else Trainer(settings, images, "cpu")
    assert trainer.distributed.world == 2
    if folder.holds_run():
        trainer.load(folder)
    trainer.distributed.wait()
    if trainer.distributed.main and not folder.holds_run():
        folder.begin(settings)
    trainer.distributed.wait()
    for progress in trainer.run(folder):
        if progress.step == steps:
            break
    trainer.save(folder)
    samples = finish(sample_preview(trainer, 5, 4)).samples
    if trainer.distributed.main:
        (path / "drawn").write_bytes(samples.numpy().tobytes())
    trainer.distributed.wait()
    trainer.close()


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    for name, path, options in json.loads(sys.argv[1]):
        torch.manual_seed(0)
        globals()[name](Path(path), **options)
    torch.distributed.destroy_process_group()
