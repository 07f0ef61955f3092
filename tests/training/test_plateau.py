"""The rule for a plateau on curves that are known, and runs that measure distances, end at their plateau and resume."""

import dataclasses
import json
import math
import shutil
import sys

import pytest
import torch

import ancestral
from ancestral import config as configs
from ancestral import data
from ancestral.base import storage
from ancestral.config import TrainConfig
from ancestral.model import CustomParts
from ancestral.training import Checkpoints, RunFolder, Trainer
from ancestral.training.optimiser import lr_factor
from ancestral.training.plateau import FEWEST_MEASUREMENTS, Plateau, constant_steps, end_after, student_tail
from ancestral.training.sample_distance import SampleDistance
from ancestral.use_cases.training.settling import KernelDistance
from tiny_models import same_tensors, together

POINTS = {"width": 16, "blocks": 1, "batch_size": 32, "lr": 0.3, "warmup": 0, "decay": "cosine", "measure_every": 3,
          "plateau_tolerance": 0.2,
          "save_every": 10, "sample_every": 10**6, "trackers": ("none",), "device": "cpu", "precision": "fp32",
          "progress": False, "sampler": "ddim:steps=3"}  # fmt: skip


def found(curve, noise=0.0, seed=0, count=100, correlation=0.0):
    """The measurement at which the rule sees a plateau of a curve, measured every 100 steps; 0 if it sees none.

    The noise is a share of the value, as that of a distance is.
    """
    plateau, generator = Plateau(), torch.Generator().manual_seed(seed)
    z = torch.randn(count + 1, generator=generator, dtype=torch.float64).tolist()
    eps = z[0]
    for n in range(1, count + 1):
        eps = correlation * eps + math.sqrt(1 - correlation**2) * z[n]
        if plateau.add(100 * n, curve(n) * (1 + noise * eps)):
            return n
    return 0


def memorising(n):
    return 0.1 + math.exp(-n / 8) + max(0, n - 40) / 400


def saturating(n):
    return 0.1 + math.exp(-n / 8)


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("power", [0.15, 0.3, 0.5])
def test_a_curve_that_falls_has_no_plateau(power, noise):
    assert not any(found(lambda n: n**-power, noise, seed) for seed in range(12 if noise else 1))


def test_noise_that_is_correlated_is_no_plateau():
    """Averaged weights change slowly, so that neighbouring measurements are alike."""
    steps = [found(lambda n: n**-0.15, 0.03, seed, correlation=0.7) for seed in range(20)]
    assert sum(map(bool, steps)) <= 1


def test_a_flat_curve_is_one_as_soon_as_its_fall_is_certain():
    first = 2 * FEWEST_MEASUREMENTS - 1
    assert found(lambda n: 0.1) == first
    few, many = ([found(lambda n: 0.1, noise, seed) for seed in range(12)] for noise in (0.01, 0.03))
    assert max(few) <= 2 * first
    assert min(many) >= first
    assert max(many) < 80
    assert sum(few) < sum(many)


def test_noise_delays_where_a_curve_becomes_flat():
    """At measurement 64 the curve falls by less than 5 % from half of the steps on: 32 e^(-4) < 5 e^0 / 10."""
    few, many = ([found(saturating, noise, seed, 250) for seed in range(6)] for noise in (0.003, 0.03))
    assert min(few) > 48
    assert max(few) < min(100, *many)
    assert max(many) <= 216


def test_a_curve_that_rises_is_seen_soon():
    steps = [found(memorising, noise, seed) for seed in range(6) for noise in (0.003, 0.03, 0.1)]
    assert all(40 < step < 92 for step in steps)


def test_the_tolerance_bounds_the_fall_while_the_steps_double():
    """Of s^-p it is 1 - 2^-p."""
    for tolerance, power, plateau in ((0.05, 0.05, True), (0.05, 0.1, False), (0.1, 0.1, True), (0.01, 0.05, False)):
        rule = Plateau(tolerance)
        assert any(rule.add(step, step**-power) for step in range(1, 100)) == plateau


def test_a_value_that_noise_hides_is_a_plateau():
    """An unbiased distance is below 0 as often as above it where samples are as good as the data."""
    generator, rule = torch.Generator().manual_seed(1), Plateau()
    noise = torch.randn(100, generator=generator, dtype=torch.float64).tolist()
    assert any(rule.add(step + 1, 0.001 + 0.01 * eps) for step, eps in enumerate(noise))
    assert "which the noise of a measurement (0.0" in str(rule)
    zero = Plateau()
    assert any(zero.add(step, 0.0) for step in range(1, 30))
    assert "it stays, and falls by less than 5 % (95 % confidence)" in str(zero)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 30])
def test_the_tail_of_students_distribution_is_the_integral_of_its_density(freedom):
    t = torch.linspace(-40, 1.7, 200_001, dtype=torch.float64)
    density = torch.exp(torch.lgamma(torch.tensor((freedom + 1) / 2)) - torch.lgamma(torch.tensor(freedom / 2)))
    density = density.double() / math.sqrt(freedom * math.pi) * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    below = student_tail(40, freedom) + float(torch.trapezoid(density, t))
    assert student_tail(1.7, freedom) == pytest.approx(1 - below, abs=1e-6)
    assert student_tail(-1.7, freedom) == pytest.approx(below, abs=1e-6)
    assert student_tail(0.0, freedom) == 0.5


def test_a_rule_that_was_saved_goes_on_as_if_it_had_not_been():
    one, other = Plateau(), Plateau()
    for step in range(1, 400):
        one.add(step, memorising(step / 4))
        saved = {name: value.clone() for name, value in one.state.items()}
        if step == 150:
            for name, value in other.state.items():
                value.copy_(saved[name])
        elif step > 150:
            other.add(step, memorising(step / 4))
    assert one.found
    assert (one.found, one.fall, one.measured) == (other.found, other.fall, other.measured)


def test_values_that_are_not_finite_are_no_plateau():
    assert not found(lambda n: math.nan)
    assert not found(lambda n: math.inf if n == 50 else 1 / n)


def test_the_learning_rate_of_a_run_until_its_plateau_falls_over_its_last_fifth():
    config = TrainConfig(steps=1000, warmup=10, decay="cosine", until="plateau")
    factors = torch.tensor([lr_factor(config, step) for step in range(1001)])
    assert bool((factors[10:800] == 1).all())
    assert factors[5] == 0.5
    assert bool((factors[800:].diff() < 0).all())
    assert factors[1000] == pytest.approx(0, abs=1e-12)
    assert factors[900] == pytest.approx(0.5)
    for plateau in range(1, 2000):
        assert constant_steps(end_after(plateau)) == plateau
    constant = TrainConfig(steps=1000, warmup=10, decay="none", until="plateau")
    assert lr_factor(constant, 999) == 1


def states(folder):
    checkpoint, wrong = Checkpoints(folder / "checkpoints").newest()
    assert not wrong
    return checkpoint


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run on points that measures every third step, and ended at its plateau."""
    folder = tmp_path_factory.mktemp("plateau") / "run"
    result = ancestral.train("moons", out=folder, steps=200, until="plateau", keep=99, **POINTS)
    return folder, result


def test_a_run_ends_at_its_plateau(ended):
    folder, result = ended
    assert 33 <= result.plateau < 160
    assert result.step == result.steps == end_after(result.plateau) < 200
    assert RunFolder(folder).read_config().train.steps == result.step
    text = (folder / "notes.txt").read_text(encoding="utf-8")
    assert f"step {result.plateau}: samples no longer come closer to the 500 training items: KID-pixels" in text
    assert f"step {result.plateau}: the plateau is reached: the learning rate falls from here on, and" in text
    rows = [line.split(",") for line in (folder / "distance.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert [int(row[0]) for row in rows] == [*range(3, result.step, 3), result.step]
    assert result.distance.step == result.step
    again = ancestral.train("moons", out=folder, resume=True, steps=200, until="plateau", keep=99, **POINTS)
    assert again.step == result.step


def test_the_best_weights_are_kept_and_named(ended):
    folder, result = ended
    rows = [line.split(",") for line in (folder / "distance.csv").read_text(encoding="utf-8").splitlines()[1:]]
    smallest = min(rows, key=lambda row: float(row[1]))
    assert result.best.step == int(smallest[0])
    assert result.best.distance.value == pytest.approx(float(smallest[1]), rel=1e-5)
    assert ancestral.info(folder).best == result.best
    assert f"run, best by measured distance: {result.best}" in str(ancestral.runs(folder))
    assert "200 samples, 500 training items" in str(ancestral.info(folder / "best.safetensors"))
    model = ancestral.load(folder / "best.safetensors")
    assert model.step == result.best.step
    assert model.sample(3).shape == (3, 2)
    checkpoints = Checkpoints(folder / "checkpoints")
    if result.best.step in checkpoints.steps():
        tensors = storage.read_tensors(checkpoints.path(result.best.step) / "state.safetensors")[0]
        for name, value in model.diffusion.net.named_parameters():
            assert torch.equal(value, tensors[f"ema.{name}"])


def test_a_run_that_did_not_measure_for_a_while_keeps_its_best_weights(tmp_path):
    folder = tmp_path / "run"
    ancestral.train("moons", out=folder, steps=3, **POINTS)
    best = RunFolder(folder).best
    tensors, metadata = storage.read_tensors(best)
    measured = {**json.loads(metadata["measured"]), "distance": -9.0}
    storage.write_tensors(best, tensors, {**metadata, "measured": json.dumps(measured)})
    for steps, every in ((6, 0), (9, 3)):
        ancestral.train("moons", out=folder, resume=True, steps=steps, **POINTS | {"measure_every": every})
    assert RunFolder(folder).last_distance().step == 9
    assert (RunFolder(folder).best_model().step, RunFolder(folder).best_model().distance.value) == (3, -9.0)


def test_a_run_that_was_killed_ends_at_the_same_plateau_to_the_bit(ended, tmp_path):
    folder, result = ended
    for step in (20, (result.plateau + 9) // 10 * 10):  # before the plateau, and after it
        copy = tmp_path / str(step)
        shutil.copytree(folder, copy)
        for path in (copy / "checkpoints").iterdir():
            if int(path.name) > step:
                shutil.rmtree(path)
        config = RunFolder(copy).read_config()  # that of a run that was killed before it saved its end
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=200))
        (copy / "config.json").write_text(config.to_json(), encoding="utf-8")
        again = ancestral.train("moons", out=copy, resume=True, steps=200, until="plateau", keep=99, **POINTS)
        assert (again.step, again.plateau) == (result.step, result.plateau)
        assert same_tensors(states(folder).tensors, states(copy).tensors)
        assert storage.sha256(folder / "best.safetensors") == storage.sha256(copy / "best.safetensors")
        logs = [(place / "distance.csv").read_text(encoding="utf-8") for place in (folder, copy)]
        assert logs[0] == logs[1]


def test_a_measurement_that_a_stop_interrupted_is_made_when_the_run_goes_on(tmp_path):
    options = {**POINTS, "steps": 9}
    whole = ancestral.train("moons", out=tmp_path / "whole", **options)
    folder = RunFolder(tmp_path / "run")
    base = RunFolder(tmp_path / "whole").read_config()
    folder.begin(base)
    trainer = Trainer(base, data.open("moons"), "cpu", CustomParts(metric=KernelDistance))
    original = SampleDistance.measure

    def stopped(self, model, config, step, distributed, stopping):
        if step == 6:
            trainer.stop()
        return original(self, model, config, step, distributed, stopping)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampleDistance, "measure", stopped)
        assert [progress.step for progress in trainer.run(folder)][-1] == 6
    assert trainer.distance.plateau.measured == 3
    again = Trainer(base, data.open("moons"), "cpu", CustomParts(metric=KernelDistance))
    assert again.load(folder) == []
    list(again.run(folder))
    assert same_tensors(states(tmp_path / "whole").tensors, states(tmp_path / "run").tensors)
    assert whole.best.step == folder.best_model().step


def test_measuring_changes_no_weights(tmp_path):
    for name, every in (("with", 3), ("without", 0)):
        ancestral.train("moons", out=tmp_path / name, **{**POINTS, "steps": 7, "measure_every": every})
    one, two = states(tmp_path / "with").tensors, states(tmp_path / "without").tensors
    assert {name.partition(".")[0] for name in one.keys() - two.keys()} == {"distance"}
    assert all(torch.equal(value, one[name]) for name, value in two.items())
    assert not (tmp_path / "without" / "best.safetensors").exists()


def test_a_constant_learning_rate_ends_at_the_plateau_itself(tmp_path):
    result = ancestral.train(
        "moons", out=tmp_path / "run", until="plateau", **{**POINTS, "steps": 200, "decay": "none"}
    )
    assert result.step == result.plateau < 200


def test_memorisation_is_a_plateau_too(tmp_path):
    base = configs.preset("digits").with_settings(steps=100, until="plateau", decay="cosine")
    trainer = Trainer(base, data.open("moons"), "cpu")
    trainer.monitors.validation = type("Named", (), {"memorises": 40})()
    trainer.state.step = 44
    assert trainer.ending_config.train.steps == trainer.last_step == 50


@pytest.mark.long
def test_two_processes_agree_on_the_plateau(tmp_path):
    together(__file__, tmp_path / "run")
    whole = ancestral.train("moons", out=tmp_path / "alone", **{**POINTS, "steps": 12}, until="plateau")
    folder = RunFolder(tmp_path / "run")
    assert folder.best_model().distance.value == pytest.approx(whole.best.distance.value, abs=1e-4)
    assert folder.last_distance().distance == pytest.approx(whole.distance.distance, abs=1e-4)


if __name__ == "__main__":
    ancestral.train("moons", out=sys.argv[1], until="plateau", **{**POINTS, "steps": 12})
