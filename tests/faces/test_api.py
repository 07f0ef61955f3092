"""The use cases from Python, called as the design's contract has them; custom parts work all the way."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import nn

import ancestral
from ancestral import config as configs
from ancestral import samplers, schedules, targets
from ancestral.base.errors import InputError
from ancestral.schedules import Schedule
from ancestral.targets import Target
from tiny_models import same_tensors, stripes, tiny_config

SHORT = {"steps": 4, "batch_size": 8, "save_every": 2, "sample_every": 100, "trackers": ("none",),
         "sampler": "ddim:steps=2"}  # fmt: skip
SMALL = {**SHORT, "width": 16, "mults": (1,), "blocks": 1, "attention": ()}


class Own(nn.Module):
    """A network that takes no labels and no keys."""

    def __init__(self, channels=1):
        super().__init__()
        self.before = nn.Conv2d(channels + 1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.after = nn.Conv2d(8, channels, 3, padding=1)

    def forward(self, x, index):
        time = (index / 1000).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return self.after(torch.relu(self.norm(self.before(torch.cat([x, time], dim=1)))))


def build(shape, classes):
    return Own(shape[0])


def images(count=40):
    return stripes(count).items


def train(tmp_path, **options):
    return ancestral.train("arrays", data=images(), out=tmp_path / "run", progress=False,
                           **{**(SHORT if "net" in options else SMALL), **options})  # fmt: skip


def test_a_preset_is_trained_resumed_and_loaded(tmp_path, capsys):
    run = ancestral.train(
        "points", out=tmp_path / "a", steps=3, sample_every=100, sampler="ddim:steps=2", progress=False
    )
    assert (run.step, run.steps, run.stopped, run.preset) == (3, 3, False, "points")
    assert run.parameters == run.model.parameters == 232_450
    samples = run.model.sample(64, seed=0, steps=4)
    assert torch.equal(ancestral.load(tmp_path / "a").sample(64, steps=4), samples)
    assert torch.equal(run.model.sample(2, indices=[7, 9], steps=4), samples[[7, 9]])
    again = ancestral.train("points", out=tmp_path / "a", resume=True, steps=5, progress=False)
    assert again.step == 5
    plain = ancestral.train(
        "points", out=tmp_path / "b", steps=5, sample_every=100, sampler="ddim:steps=2", progress=False
    )
    assert torch.equal(plain.model.sample(8, steps=4), again.model.sample(8, steps=4))
    assert capsys.readouterr().out == ""


def test_an_own_network_is_trained_saved_loaded_and_resumed(tmp_path):
    net = Own()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run = train(tmp_path, net=net)
    assert same_tensors(net.state_dict(), before)  # a copy is trained
    samples = run.model.sample(3, steps=5)
    path = tmp_path / "run"
    with pytest.raises(InputError, match="a custom network"):
        ancestral.load(path)
    loaded = ancestral.load(path, net=Own())
    assert torch.equal(loaded.sample(3, steps=5), samples)
    assert [image.size for image in loaded.images(2, steps=3)] == [(8, 8)] * 2
    with pytest.raises(InputError, match="do not fit the network"):
        ancestral.load(path, net=nn.Conv2d(1, 1, 3))
    copy = tmp_path / "copy.safetensors"
    loaded.save(copy)
    assert torch.equal(ancestral.load(copy, net=build).sample(3, steps=5), samples)
    resumed = ancestral.train("arrays", data=images(), out=path, resume=True, net=Own(), steps=6, progress=False)
    plain = ancestral.train(
        "arrays", data=images(), out=tmp_path / "plain", net=net, progress=False, **{**SHORT, "steps": 6}
    )
    assert resumed.step == 6
    assert torch.equal(resumed.model.sample(2, steps=4), plain.model.sample(2, steps=4))
    with pytest.raises(InputError, match="given from Python"):
        ancestral.train("arrays", out=path, resume=True, net=Own(), steps=9, progress=False)


def test_a_function_by_name_is_never_run_unless_it_is_named(tmp_path):
    run = train(tmp_path, net="test_api:build")
    with pytest.raises(InputError, match="test_api:build"):
        ancestral.load(tmp_path / "run")
    loaded = ancestral.load(tmp_path / "run", net="test_api:build")
    assert torch.equal(loaded.sample(2, steps=3), run.model.sample(2, steps=3))
    for wrong in ("nonsense", "test_api:nothing", "no_such_module:f", "test_api:SHORT"):
        with pytest.raises(InputError):
            ancestral.load(tmp_path / "run", net=wrong)


@pytest.mark.long
def test_an_own_network_from_the_command_line(tmp_path, run, refused):
    np.save(tmp_path / "images.npy", images().numpy())
    out, net = tmp_path / "run", ("--net", "test_api:build")
    begin = ("train", "--data", tmp_path / "images.npy", "--out", out, "--steps", 3, "--batch-size", 8)
    run(*begin, *net)
    run("train", "arrays", "--out", out, "--resume", "--steps", 4, *net)
    run("sample", out, "-n", 4, "--steps", 3, *net)
    run("info", out, *net)
    options = ("--likelihood", "--samples", 16, "--steps", 3, "--extractor", "pixels")
    assert "FD-pixels" in run("evaluate", out, *options, *net)
    assert "test_api:build" in refused("sample", out)
    for wrong in ("resnet", "test_api:nothing"):
        refused(*begin, "--net", wrong)


def test_an_own_schedule_and_an_own_target(tmp_path):
    base = schedules.cosine(100)
    schedule = Schedule(base.signal, base.noise)
    twice = Target("twice", lambda a, b: 0.0, lambda a, b: 2.0)
    run = train(tmp_path, schedule=schedule, target=twice)
    samples = run.model.sample(3, steps=5)
    with pytest.raises(InputError, match="custom target, twice"):
        ancestral.load(tmp_path / "run")
    with pytest.raises(InputError, match="trained with another target twice"):
        ancestral.load(tmp_path / "run", target=targets.EPS)
    loaded = ancestral.load(tmp_path / "run", target=twice)  # the tables of a schedule are in the file
    assert torch.equal(loaded.denoiser.schedule.signal, schedule.signal)
    assert torch.equal(loaded.sample(3, steps=5), samples)


def test_a_subclass_of_schedule_is_needed_again(tmp_path):
    class Mine(Schedule):
        pass

    base = schedules.cosine(100)
    mine = Mine(base.signal, base.noise)
    run = train(tmp_path, schedule=mine)
    with pytest.raises(InputError, match="custom schedule"):
        ancestral.load(tmp_path / "run")
    loaded = ancestral.load(tmp_path / "run", schedule=mine)
    assert torch.equal(loaded.sample(3, steps=5), run.model.sample(3, steps=5))


def test_a_schedule_that_was_changed_is_kept_as_it_is(tmp_path):
    """Its spec would rebuild another one."""
    base = schedules.linear()
    run = train(tmp_path, schedule=dataclasses.replace(base, noise=base.noise * 0.99))
    assert torch.equal(ancestral.load(tmp_path / "run").denoiser.schedule.noise, run.model.denoiser.schedule.noise)
    assert torch.equal(ancestral.load(tmp_path / "run").sample(2, steps=3), run.model.sample(2, steps=3))


def test_an_own_sampler(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Jump(samplers.Sampler):
        steps: int | None = 3
        clip: float | None = 1.0
        spacing: str = "trailing"

        def advance(self, x, prediction, move, state):
            a, b = move.schedule.at(move.s)
            return a * prediction.x0 + b * prediction.eps, state

    run = train(tmp_path)
    assert torch.equal(run.model.sample(3, sampler=Jump()), run.model.sample(3, sampler=samplers.DDIM(steps=3)))


def test_an_own_objective_reads_the_averaged_weights(tmp_path):
    from ancestral.model import CustomParts
    from ancestral.objectives import Denoising, time_distribution
    from ancestral.training import Trainer

    weights = []

    class Watching(Denoising):
        reads_average = True

        def losses(self, denoiser, x0, *, averaged=None, **options):
            weights.append([value.clone() for value in averaged.net.parameters()])
            return super().losses(denoiser, x0, **options)

    parts = CustomParts(objective=lambda d: Watching(time_distribution("uniform", d.schedule)))
    trainer = Trainer(tiny_config(), stripes(), "cpu", parts)
    for _ in range(3):
        trainer.advance()
    assert all(
        torch.equal(a, b)
        for a, b in zip(trainer.state.averaged.net.parameters(), trainer.state.ema.weights, strict=True)
    )
    assert not torch.equal(weights[0][0], weights[-1][0])


def test_the_steps_of_a_training_run_one_by_one(tmp_path):
    """`train_steps` is `train`, and `model` copies the model of each step."""
    whole = train(tmp_path / "whole")
    steps, models = [], []
    events = ancestral.train_steps("arrays", data=images(), out=tmp_path / "run", **SMALL)
    for progress in events:
        steps.append(progress.step)
        models.append(progress.model())
    assert steps == [1, 2, 3, 4]
    assert [model.step for model in models] == steps
    last = whole.model.denoiser.net.state_dict()
    assert same_tensors(models[-1].denoiser.net.state_dict(), last)
    assert not same_tensors(models[0].denoiser.net.state_dict(), last)
    with pytest.raises(InputError, match=r"go on with it by resume=True, or give out another name"):
        list(ancestral.train_steps("arrays", data=images(), out=tmp_path / "run", **SMALL))


@pytest.mark.long
def test_a_run_goes_on_with_its_own_schedule_alone(tmp_path):
    run = train(tmp_path, schedule=schedules.linear(20))
    with pytest.raises(InputError, match="was trained with another schedule"):
        train(tmp_path, resume=True, steps=run.steps + 1, schedule=schedules.cosine(20))
    assert train(tmp_path, resume=True, steps=run.steps + 1, schedule=schedules.linear(20)).step == run.steps + 1


def test_an_own_optimiser_is_given_again(tmp_path):
    parts = {"optimiser": torch.optim.AdamW, "lr_schedule": lambda step: 1.0}
    run = train(tmp_path, **parts)
    config = configs.read_config(tmp_path / "run" / "config.json")
    assert (config.train.optimiser, config.train.decay) == ("custom", "custom")
    with pytest.raises(InputError, match="was trained with optimiser='custom', so it cannot go on with adam"):
        train(tmp_path, resume=True, steps=run.steps + 1, lr_schedule=parts["lr_schedule"], optimiser="adam")
    assert train(tmp_path, resume=True, steps=run.steps + 1, **parts).step == run.steps + 1
    with pytest.raises(InputError, match="custom optimiser"):
        train(tmp_path / "other", lr=1e-3, **parts)
    with pytest.raises(InputError, match="a custom lr_schedule"):
        train(tmp_path / "other", warmup=3, **parts)


class Shared(Own):
    """Two names for one layer."""

    def __init__(self, channels=1):
        super().__init__(channels)
        self.again = self.after


class Noisy(Own):
    """Draws random numbers of its own."""

    def forward(self, x, index):
        return torch.nn.functional.dropout(super().forward(x, index), 0.5, self.training)


class Broken(Own):
    def forward(self, x, index):
        raise ValueError("two\nlines")


class Wide(Own):
    def forward(self, x, index):
        return torch.cat([x, x], dim=1)


def test_shared_weights_are_saved_and_loaded(tmp_path):
    run = train(tmp_path, net=Shared())
    loaded = ancestral.load(tmp_path / "run", net=Shared())
    assert torch.equal(loaded.sample(2, steps=3), run.model.sample(2, steps=3))
    loaded.save(tmp_path / "again.safetensors")
    assert ancestral.load(tmp_path / "again.safetensors", net=Shared()).parameters == loaded.parameters


def test_random_numbers_of_an_own_network_are_those_of_the_run(tmp_path):
    net = Noisy()
    weights = []
    for name, steps in (("a", (6,)), ("b", (6,)), ("c", (4, 6))):
        for number, until in enumerate(steps):
            torch.rand(number + len(name))
            run = ancestral.train("arrays", data=images(), net=net, out=tmp_path / name, resume=True, progress=False,
                                  **{**SHORT, "steps": until, "decay": "none"})  # fmt: skip
        weights.append(run.model.denoiser.net.state_dict())
    assert all(same_tensors(weights[0], other) for other in weights[1:])


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Broken(), "the network fails on x of shape .* ValueError: two"),
        (Wide(), "the network's output"),
        (Own(3), "the network fails on x of shape"),
        (Own().requires_grad_(False), "no parameters to train"),
        (nn.Identity(), "no parameters to train"),
        (3, "net cannot be 3"),
    ],
)
def test_a_wrong_network_is_refused_before_anything_is_written(tmp_path, net, message):
    with pytest.raises(InputError, match=message):
        train(tmp_path, net=net)
    assert not (tmp_path / "run").exists()


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    train(tmp_path)
    net, before = Noisy(), torch.get_rng_state()
    ancestral.load(tmp_path / "run").sample(2, steps=2)
    ancestral.train("arrays", data=images(), out=tmp_path / "other", net=net, progress=False, **SHORT)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.long
def test_two_threads_train_what_each_would_alone(tmp_path):
    alone = train(tmp_path).model.sample(2, steps=2)
    samples = {}

    def work(name):
        run = ancestral.train("arrays", data=images(), out=tmp_path / name, progress=False, **SMALL)
        samples[name] = run.model.sample(2, steps=2)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(samples["a"], alone)
    assert torch.equal(samples["b"], alone)


# -- evaluation -------------------------------------------------------------------------------------------------------

FAST = {"extractor": "pixels", "progress": False, "device": "cpu"}


def test_an_oracle_is_evaluated():
    """Any denoiser that can be sampled from, without a network."""
    points = ancestral.data.load("moons").items[:400]
    exact = ancestral.oracle.Empirical(schedules.cosine(50), points)
    result = ancestral.evaluate(exact, data=points, samples=64, sampler="ddim:steps=5,clip=none", **FAST)
    assert result.samples.metrics["frechet"].value.value < 0.2
    assert type(result).from_json(result.to_json()) == result


def test_one_metric_is_named_and_a_size_is_a_pair(tmp_path):
    items, options = images(60), {"data": images(60), **FAST}
    one = ancestral.evaluate_samples(items[:20], metrics="frechet", image_size=(8, 8), **options)
    assert [*one.samples.metrics] == ["frechet"]
    assert one.samples.memorisation.pixels is None
    run = train(tmp_path)
    other = ancestral.evaluate(run.model, metrics="colour", samples=16, **options).samples
    assert [*other.metrics] == ["colour"]
    for call in (
        lambda: ancestral.evaluate_samples(items[:20], metrics=["class_accuracy"], **options),
        lambda: ancestral.evaluate(run.model, metrics=["class_accuracy"], samples=16, **options),
    ):
        with pytest.raises(InputError, match="class_accuracy cannot be measured of samples without classes"):
            call()
