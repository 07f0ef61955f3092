"""Averages whose length is chosen after training: the mathematics, the snapshots, and `ancestral average`."""

import dataclasses
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import ancestral
from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Message
from ancestral.base.options import on_command_line, spell
from ancestral.base.quantities import Estimate
from ancestral.declarations import AverageLengths
from ancestral.measure import time_needed
from ancestral.metrics import uncertainty
from ancestral.render.result_text import averaging_verdict
from ancestral.results import AveragingResult
from ancestral.training import EMA, Checkpoints, RunFolder, Snapshots, Trainer, ema_length
from ancestral.training.averages import (
    FEWEST_PAIRS,
    LENGTHS,
    LONGEST_LENGTH,
    PAIRS,
    SHORTEST_LENGTH,
    PowerAverage,
    coefficients,
    default_pairs,
    gamma_of,
    interval,
    length_of,
)
from tiny_models import begun, events_of, same_tensors, stripes, tiny_config

F64 = torch.float64


# -- the mathematics --------------------------------------------------------------------------------------------------


def profile(tau, gamma, t):
    """(1), written out."""
    return torch.where(tau <= t, (gamma + 1) * tau**gamma / t ** (gamma + 1), 0)


def step_weights(gamma, t):
    """The integral of the profile over each step."""
    edges = (torch.arange(t + 1, dtype=F64) / t) ** (gamma + 1)
    return edges[1:] - edges[:-1]


@pytest.mark.parametrize("length", [SHORTEST_LENGTH, 0.02, 0.05, 0.1, 0.2, 0.28, LONGEST_LENGTH])
def test_the_length_is_the_standard_deviation_of_the_profile(length):
    gamma = gamma_of(length)
    tau = torch.linspace(0, 1, 2_000_001, dtype=F64)
    p = profile(tau, gamma, 1.0)
    mean = torch.trapezoid(p * tau, tau)
    assert torch.trapezoid(p, tau).item() == pytest.approx(1, abs=1e-6)
    assert torch.trapezoid(p * (tau - mean) ** 2, tau).sqrt().item() == pytest.approx(length, rel=1e-5)
    assert length_of(gamma) == pytest.approx(length, rel=1e-14)


def test_the_papers_values():
    assert [round(gamma_of(length), 2) for length in LENGTHS] == [16.97, 6.94]
    assert gamma_of(LONGEST_LENGTH) == pytest.approx(0, abs=1e-13)  # the plain mean


@pytest.mark.parametrize("length", [0, -0.1, 0.001, 0.3, math.nan, math.inf])
def test_lengths_that_no_profile_has(length):
    with pytest.raises(InputError, match="an averaging length is"):
        gamma_of(length)


def test_the_recursion_is_the_integral():
    """The update of each step, against the weights of all steps at once."""
    path = torch.randn(300, 5, dtype=F64)
    for length in LENGTHS:
        average = PowerAverage([torch.full((5,), math.nan, dtype=F64).nan_to_num(100.0)], length)
        for step, weights in enumerate(path, 1):
            average.update([weights], step)
        torch.testing.assert_close(average.weights[0], step_weights(gamma_of(length), 300) @ path, rtol=0, atol=1e-13)


@pytest.mark.parametrize("decay", [0.9, 0.995, 0.9999])
def test_the_length_of_the_ema_of_training(decay):
    """Against the weights that its update gives each step: averages of the steps' numbers and of their squares."""
    steps = 400
    ema = EMA([torch.zeros(2, dtype=F64)], decay)
    for step in range(1, steps + 1):
        ema.update([torch.tensor([step, step**2], dtype=F64)], step)
    ones = EMA([torch.zeros(1, dtype=F64)], decay)
    for step in range(1, steps + 1):
        ones.update([torch.ones(1, dtype=F64)], step)
    mean, square = (ema.weights[0] / ones.weights[0]).tolist()
    assert ema_length(decay, steps) == pytest.approx(math.sqrt(square - mean**2) / steps, rel=1e-9)


STEPS = [20, 45, 60, 77, 100]


@pytest.mark.parametrize("length", [0.03, 0.07, 0.1, 0.2])
def test_coefficients_are_the_least_squares_ones(length):
    """Against the normal equations of all stored profiles on a fine grid, with the mass of each interval kept."""
    factors, error = coefficients(STEPS, length)
    edges = torch.tensor([0, *STEPS], dtype=F64)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    half, middle = (edges[1:] - edges[:-1])[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    tau = (middle + half * torch.tensor(nodes)).flatten()
    w = (half * torch.tensor(weights)).flatten()
    part = torch.arange(len(STEPS)).repeat_interleave(40)
    stored = torch.stack([profile(tau, gamma_of(each), t) for t in STEPS for each in LENGTHS], 1)
    target = profile(tau, gamma_of(length), STEPS[-1])
    masses = torch.stack([(w * (part == i)) @ stored for i in range(len(STEPS))])
    right_side = torch.stack([(w * (part == i)) @ target for i in range(len(STEPS))])
    zeros = torch.zeros(len(STEPS), len(STEPS), dtype=F64)
    system = torch.cat([torch.cat([stored.T @ (w[:, None] * stored), masses.T], 1), torch.cat([masses, zeros], 1)])
    solution = torch.linalg.lstsq(system, torch.cat([stored.T @ (w * target), right_side])).solution[: 2 * len(STEPS)]
    torch.testing.assert_close(factors.flatten(), solution, rtol=1e-6, atol=1e-8)
    miss = stored @ solution - target
    assert error == pytest.approx(math.sqrt((w @ miss**2) / (w @ target**2)), rel=1e-4, abs=1e-7)


MANY = [*range(2**14, 800_000, 2**14), 800_000]


@pytest.mark.parametrize("steps", [[1], [7], STEPS, list(range(64, 1501, 64)), MANY])
def test_coefficients_sum_to_one(steps):
    for length in (SHORTEST_LENGTH, 0.02, 0.05, 0.08, 0.1, 0.2, LONGEST_LENGTH):
        factors, _ = coefficients(steps, length)
        assert factors.shape == (len(steps), 2)
        assert factors.sum().item() == pytest.approx(1, abs=1e-11)


# -- what is reconstructed --------------------------------------------------------------------------------------------


def smooth(s):
    """Weights that approach their end, at different speeds."""
    return 1 - torch.exp(-s[:, None] * torch.linspace(0.5, 8, 30, dtype=F64))


def walk(s, decaying):
    """Random walks, whose steps fall along a cosine as a learning rate does, or are all of one size."""
    rate = (1 + torch.cos(math.pi * s)) / 2 if decaying else torch.ones_like(s)
    return (rate[:, None] * torch.randn(len(s), 300, dtype=F64)).cumsum(0)


WIDE = {
    64: {"smooth": 1e-6, "decaying walk": 1e-6, "walk": 3e-5},
    PAIRS: {"smooth": 4e-5, "decaying walk": 4e-5, "walk": 1e-3},
}
"""By --snapshots the errors of the reconstruction as a share of the weights' size, of which all is movement here."""


@pytest.mark.parametrize("steps", [1500, 2400, 5000])
@pytest.mark.parametrize("kind", WIDE[PAIRS])
@pytest.mark.parametrize("pairs", WIDE)
def test_a_reconstructed_average_equals_a_tracked_one(pairs, kind, steps):
    """In float64, from as many snapshots as a run of this number of steps keeps; lengths 0.03 to 0.12."""
    s = torch.arange(1, steps + 1, dtype=F64) / steps
    path = smooth(s) if kind == "smooth" else walk(s, "decaying" in kind)
    every = interval(steps, pairs)
    times = sorted({*range(every, steps + 1, every), steps})
    stored = torch.stack([torch.stack([step_weights(gamma_of(x), t) @ path[:t] for x in LENGTHS]) for t in times])
    for length in (0.04, 0.06, 0.08, 0.1):
        factors, _ = coefficients(times, length)
        truth = step_weights(gamma_of(length), steps) @ path
        error = (
            torch.einsum("ik,ikd->d", factors, stored) - truth
        ).square().mean().sqrt() / truth.square().mean().sqrt()
        assert error < WIDE[pairs][kind], (length, error)


def points_config(**train):
    base = configs.preset("points")
    net = dataclasses.replace(base.net, width=32)
    return dataclasses.replace(base, net=net).with_settings(**{"batch_size": 32, "threads": 1, **train})


def points_trainer(folder, steps):
    """A training on points with 63 snapshots, in the folder of its run."""
    torch.manual_seed(0)
    dataset = ancestral.data.open("moons")
    config = points_config(steps=steps, save_every=steps, snapshots=64)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, fingerprint=dataset.fingerprint))
    trainer = Trainer(config, dataset, "cpu")
    return trainer, begun(folder / "run", trainer.config)


@pytest.fixture(scope="module")
def points_run(tmp_path_factory):
    """A short run on points."""
    trainer, folder = points_trainer(tmp_path_factory.mktemp("points"), 250)
    list(trainer.run(folder))
    return folder


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A run on points, and averages of other lengths that were tracked during it, in float32."""
    trainer, folder = points_trainer(tmp_path_factory.mktemp("tracked"), 1000)
    others = {length: PowerAverage(trainer.state.parameters, length) for length in (0.04, 0.06, 0.08, 0.12)}
    for progress in trainer.run(folder):
        for average in others.values():
            average.update(trainer.state.parameters, progress.step)
    names = [name for name, _ in trainer.state.net.named_parameters()]
    return folder, {k: dict(zip(names, average.weights, strict=True)) for k, average in others.items()}


@pytest.mark.long
@pytest.mark.parametrize("length", [0.04, 0.06, 0.08, 0.12])
def test_a_run_gives_averages_that_were_not_tracked(tracked, length):
    """To 1e-6 of the weights' size, the rounding of float32 included."""
    folder, averages = tracked
    weights, _ = Snapshots(folder.snapshots).reconstruct(length)
    truth = averages[length]
    assert weights.keys() == truth.keys()
    assert all(weights[name].dtype == torch.float32 for name in weights)
    error = math.sqrt(sum(float((weights[n].double() - truth[n].double()).square().sum()) for n in truth))
    assert error / math.sqrt(sum(float(truth[n].double().square().sum()) for n in truth)) < 1e-6


def test_the_tracked_lengths_are_the_last_snapshot(points_run):
    snapshots = Snapshots(points_run.snapshots)
    tensors, metadata = storage.read_tensors(snapshots.path(250))
    assert metadata["step"] == "250"
    for length in LENGTHS:
        weights, error = snapshots.reconstruct(length)
        assert error < 1e-6
        for name, weight in weights.items():
            torch.testing.assert_close(weight, tensors[f"average.{length:g}.{name}"], rtol=1e-6, atol=1e-7)


# -- snapshots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [1, 2, 8, 64, 100])
def test_the_number_of_snapshots_is_bounded(pairs):
    for steps in (1, 2, 3, 63, 64, 65, 129, 1500, 2400, 800_000, 10**9 + 1):
        every = interval(steps, pairs)
        assert every & (every - 1) == 0
        assert -(-steps // every) <= pairs
        assert every == 1 or -(-steps // (every // 2)) > pairs


def test_large_networks_keep_none_by_default():
    """The bound in bytes: 657,000 parameters keep all, 6 million fewer, and the paper's 113,673,219 none."""
    pair = 8 * 657_000
    assert default_pairs(pair) == PAIRS
    assert PAIRS > default_pairs(8 * 6_000_000) >= FEWEST_PAIRS
    assert default_pairs(8 * 6_000_000) * 8 * 6_000_000 <= 500_000_000
    assert default_pairs(8 * 113_673_219) == 0


TRAIN = ("train", "points", "--steps", 4, "--batch-size", 8, "--width", 16, "--trackers", "none", "--threads", 1, "-v")


@pytest.mark.slow
def test_train_says_what_the_snapshots_take(run, refused, tmp_path, monkeypatch):
    text = run(*TRAIN, "--out", tmp_path / "kept")
    assert re.search(r"for ancestral average: 4 snapshots of two averages, [\d.]+ kB ", text)
    assert Snapshots(tmp_path / "kept" / "snapshots").steps() == [1, 2, 3, 4]
    assert "no snapshots (--snapshots 0)" in run(*TRAIN, "--snapshots", 0, "--out", tmp_path / "none")
    again = ("--resume", "--snapshots", 8, "--steps", 5, "--out", tmp_path / "none")
    assert "--snapshots" in refused("train", "points", "--trackers", "none", *again)
    monkeypatch.setattr("ancestral.training.averages.BYTES", 1000)
    assert "--snapshots 16 keeps 16" in run(*TRAIN, "--out", tmp_path / "large")
    assert not (tmp_path / "large" / "snapshots").exists()


def files(folder):
    return {path.name: storage.read_tensors(path) for path in folder.snapshots.iterdir()}


def assert_same_files(one, other):
    first, second = files(one), files(other)
    assert first.keys() == second.keys()
    for name, (tensors, metadata) in first.items():
        assert metadata == second[name][1]
        assert same_tensors(tensors, second[name][0])


CONFIG = dataclasses.replace(tiny_config(steps=12, save_every=5), runtime=configs.RuntimeConfig(snapshots=6))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = begun(tmp_path_factory.mktemp("whole") / "run", CONFIG)
    list(Trainer(CONFIG, stripes(), "cpu").run(folder))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("stopped", [3, 7, 9, 11])
def test_a_resumed_run_has_the_same_snapshots(tmp_path, whole, stopped):
    """Killed without a save, so that snapshots after the checkpoint are there, and one was cut short."""
    folder = begun(tmp_path / "run", CONFIG)
    for progress in Trainer(CONFIG, stripes(), "cpu").run(folder):
        if progress.step == stopped:
            break
    (folder.snapshots / ".000008-abcdefgh.safetensors").write_bytes(b"half")
    folder.tidy()
    trainer = Trainer(CONFIG, stripes(), "cpu")
    trainer.load(folder)
    later = trainer.run(folder)
    assert trainer.step == stopped // 5 * 5
    next(later)
    assert max(Snapshots(folder.snapshots).steps(), default=0) <= trainer.step
    list(later)
    assert_same_files(folder, whole)
    assert Snapshots(whole.snapshots).steps() == [2, 4, 6, 8, 10, 12]


def test_a_stopped_run_ends_with_a_snapshot_that_a_resumed_one_removes(tmp_path, whole):
    folder = begun(tmp_path / "run", CONFIG)
    trainer = Trainer(CONFIG, stripes(), "cpu")
    for progress in trainer.run(folder):
        if progress.step == 6:
            trainer.stop()
    assert Snapshots(folder.snapshots).steps() == [2, 4, 6, 7]
    trainer = Trainer(CONFIG, stripes(), "cpu")
    trainer.load(folder)
    list(trainer.run(folder))
    assert_same_files(folder, whole)


def test_more_steps_thin_the_snapshots(tmp_path, whole):
    shutil.copytree(whole.path, tmp_path / "run")
    longer = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, steps=21))
    trainer = Trainer(longer, stripes(), "cpu")
    trainer.load(RunFolder(tmp_path / "run"))
    list(trainer.run(RunFolder(tmp_path / "run")))
    assert Snapshots(tmp_path / "run" / "snapshots").steps() == [4, 8, 12, 16, 20, 21]


def without_losses(trainer):
    """The gradients of a trainer, with losses that are NaN."""
    compute = trainer.gradients.compute

    def bad(state, batch, *flags):
        t, losses, *rest = compute(state, batch, *flags)
        return t, losses * math.nan, *rest

    return bad


def test_a_rollback_takes_its_snapshots_back(tmp_path, monkeypatch):
    """Five bad steps in a row, which are skipped, lead back to the last checkpoint; its snapshots stay."""
    folder, trainer = begun(tmp_path / "run", CONFIG), Trainer(CONFIG, stripes(), "cpu")
    steps = trainer.run(folder)
    while trainer.step < 5:
        next(steps)
    monkeypatch.setattr(trainer.gradients, "compute", without_losses(trainer))
    for _ in range(4):
        next(steps)
    assert Snapshots(folder.snapshots).steps() == [2, 4, 6, 8]
    next(steps)
    assert trainer.step == 5
    assert Snapshots(folder.snapshots).steps() == [2, 4]
    monkeypatch.undo()
    list(steps)
    assert Snapshots(folder.snapshots).steps() == [2, 4, 6, 8, 10, 12]


def test_a_skipped_step_counts(monkeypatch):
    """The profile is over all steps: the weights before a skipped one count for two."""
    trainer = Trainer(CONFIG, stripes(), "cpu")
    trainer.advance()
    before = trainer.state.powers["average.0.05."].weights[0].clone()
    monkeypatch.setattr(trainer.gradients, "compute", without_losses(trainer))
    assert trainer.advance().verdict == "skip"
    torch.testing.assert_close(trainer.state.powers["average.0.05."].weights[0], before)
    assert trainer.step == 2


def test_a_checkpoint_without_averages_goes_on_without(tmp_path, whole):
    """Of a run that was begun without: an average cannot begin in the middle."""
    without = dataclasses.replace(CONFIG, runtime=configs.RuntimeConfig(snapshots=0))
    folder = begun(tmp_path / "run", without)
    for progress in Trainer(without, stripes(), "cpu").run(folder):
        if progress.step == 5:
            break
    assert not folder.snapshots.exists()
    assert not any(name.startswith("average.") for name in Checkpoints(folder.checkpoints).newest()[0].tensors)
    trainer = Trainer(CONFIG, stripes(), "cpu")
    trainer.load(folder)
    assert trainer.state.powers == {}
    list(trainer.run(folder))
    assert not folder.snapshots.exists()
    checkpoint, others = (Checkpoints(each.checkpoints).newest()[0].tensors for each in (folder, whole))
    assert all(torch.equal(tensor, others[name]) for name, tensor in checkpoint.items())  # and nothing else differs


# -- paired differences -----------------------------------------------------------------------------------------------


def test_the_error_of_a_paired_difference():
    """Two models that share most of their noise: the spread over independent sets, far below that of one distance."""
    values, errors, alone = [], [], []
    for _ in range(60):
        noise, other_noise, y = torch.randn(400, 6), torch.randn(400, 6), torch.randn(500, 6)
        x, other = 1.05 * noise + 0.3, 1.1 * noise + 0.33 + 0.1 * other_noise
        difference = uncertainty.frechet_difference(x, other, y)
        assert difference.value == pytest.approx(
            uncertainty.frechet(other, y).value - uncertainty.frechet(x, y).value, abs=1e-9
        )
        values.append(difference.value)
        errors.append(difference.error)
        alone.append(uncertainty.frechet(x, y).error)
    assert 0.7 < np.mean(errors) / np.std(values, ddof=1) < 1.4
    assert np.mean(errors) < 0.5 * np.mean(alone)
    assert uncertainty.frechet_difference(x, x, y).error == 0


# -- the command ------------------------------------------------------------------------------------------------------

DATA = ancestral.data.open("moons").items[:500]
SMALL = {"data": DATA, "lengths": (0.03, 0.06, 0.1), "samples": 60, "steps": 4, "threads": 1, "progress": False}


@pytest.fixture(scope="module")
def averaged(points_run, tmp_path_factory):
    """A copy of the run on points, and what `ancestral.average` made of it."""
    run = tmp_path_factory.mktemp("averaged") / "run"
    shutil.copytree(points_run.path, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = ancestral.average(run, **SMALL)
    assert all(path.read_bytes() == content for path, content in before.items())  # the run's model above all
    return run, result


def test_the_best_average_is_a_model_like_any_other(averaged):
    run, result = averaged
    model = ancestral.load(run / "average", "cpu")
    assert result.file == str(run / "average" / "model.safetensors")
    assert model.average == result.best.length == min(result.points, key=lambda one: one.frechet.value).length
    weights, _ = Snapshots(run / "snapshots").reconstruct(result.best.length)
    for name, parameter in model.diffusion.net.named_parameters():
        assert torch.equal(parameter, weights[name])
    assert model.step == result.end == 250
    model.save(run / "copy.safetensors")
    assert ancestral.load(run / "copy.safetensors", "cpu").average == model.average
    assert ancestral.load(run, "cpu").average is None
    again = ancestral.evaluate(run / "average", DATA, samples=60, steps=4, threads=1, progress=False)
    assert again.samples.metrics["frechet"].value.value == pytest.approx(result.best.frechet.value, rel=1e-6)


def test_the_result_is_a_table_and_json(averaged):
    run, result = averaged
    text = (run / "average" / "average.json").read_text(encoding="utf-8")
    assert AveragingResult.from_json(text) == result
    assert json.loads(text)["schema"] == "average-1"
    assert [point.length for point in result.points] == [0.03, 0.06, 0.1]
    assert result.snapshots == 63
    assert result.ema.length == pytest.approx(ema_length(0.999, 250))
    assert f"{result.best.length:g} is in {result.file}" in str(result)
    assert (run / "average" / "average.png").is_file()


def test_the_verdict_is_true_of_the_lengths_and_of_the_ema(averaged):
    """Of differences that are larger or smaller than 1.96 errors, in both directions."""
    result = averaged[1]

    def verdict(ema, *behind):
        points = [
            dataclasses.replace(result.ema, length=0.03 + 0.03 * i, behind=difference)
            for i, difference in enumerate([None, *(Estimate(value, 0.1) for value in behind)])
        ]
        ema_point = dataclasses.replace(result.ema, behind=Estimate(ema, 0.1))
        return averaging_verdict(dataclasses.replace(result, points=tuple(points), ema=ema_point))

    best, ema, file_line = verdict(-0.3, 0.1, 0.3)
    assert best == "The best of these lengths is 0.03; as good within the error (95 %): 0.06."
    assert "step 250) is better than length 0.03: its FD-pixels is 0.30 ± 0.10 lower" in ema
    assert file_line == f"The average of length 0.03 is in {result.file}."
    best, ema, _ = verdict(0.3, 0.3, 0.4)
    assert best == "The best of these lengths is 0.03; the others are worse."
    assert "is worse than length 0.03: its FD-pixels is 0.30 ± 0.10 higher" in ema
    for value, side in ((-0.1, "lower"), (0.1, "higher")):
        ema, _ = verdict(value)  # of one length nothing is said about others
        assert "is as good as length 0.03" in ema
        assert f"0.10 ± 0.10 {side} on the same noise, no more than the error" in ema


def test_all_lengths_are_sampled_with_the_same_noise(averaged):
    """The distances of a length do not depend on which others are measured, and are those of its own samples."""
    run, result = averaged
    other = ancestral.average(run, **{**SMALL, "lengths": [0.06]})
    assert other.points[0].frechet == next(one for one in result.points if one.length == 0.06).frechet
    assert other.best.length == 0.06
    model = ancestral.load(run / "average", "cpu")
    samples = model.sample(60, steps=4, seed=0)
    evaluation = ancestral.evaluate_samples(samples.numpy(), DATA, extractor="pixels", progress=False)
    assert evaluation.samples.metrics["frechet"].value.value == pytest.approx(other.best.frechet.value, rel=1e-6)


@pytest.mark.long
def test_most_bounds_the_network_evaluations(averaged, monkeypatch):
    """DDPM with all its steps took hours, and nothing said so before."""
    run, _ = averaged
    monkeypatch.setattr(time_needed, "network_seconds", lambda model, batch_size: 0.1)
    options = {**SMALL, "steps": None, "sampler": "ddpm", "out": run.parent / "most", "most": 4}
    options.pop("progress")
    events = events_of(AverageLengths)(run, **options)
    messages = [spell(event.text, on_command_line) for event in events if isinstance(event, Message)]
    assert "about 1.6 minutes" in messages[0]  # 4 times 60 samples, with 0.4 s each
    assert "--most" in messages[0]
    assert [line.partition(": ")[0] for line in messages[1:4]] == ["length 0.03", "length 0.06", "length 0.1"]
    result = AveragingResult.from_json((run.parent / "most" / "average.json").read_text())
    assert "steps=4" in result.sampler
    assert any("floor is of 60 to 440 items" in note for note in result.notes)


def test_the_command(run, averaged):
    folder, _ = averaged
    text = run("average", folder, "--lengths", 0.05, 0.1, "--samples", 60, "--steps", 4, "--end", 203, "--threads", 1)
    assert re.search(rf"replaces the average of length 0\.\d+, step \d+, in {folder / 'average'}", text)
    assert f"{folder / 'average' / 'average.png'}" in text
    assert ancestral.load(folder / "average", "cpu").step == 200  # of the last snapshot before --end
    assert "chosen after training" in run("info", folder / "average")
    run("sample", folder / "average", "-n", 4, "--steps", 2, "--out", folder / "four.png", "--threads", 1)


def test_a_damaged_snapshot_ends_in_one_line_and_leaves_no_model(refused, averaged, tmp_path):
    folder, _ = averaged
    shutil.copytree(folder, tmp_path / "damaged", ignore=shutil.ignore_patterns("average"))
    cut = Snapshots(tmp_path / "damaged" / "snapshots").path(250)
    cut.write_bytes(cut.read_bytes()[:1000])
    assert "000250" in refused("average", tmp_path / "damaged", "--samples", 20, "--steps", 2)
    assert not (tmp_path / "damaged" / "average" / "model.safetensors").exists()


@pytest.mark.slow
def test_an_interrupted_average_writes_no_model(averaged, tmp_path):
    """It goes on with the samples that it made."""
    from ancestral.base.events import Work

    run = tmp_path / "run"
    shutil.copytree(averaged[0], run, ignore=shutil.ignore_patterns("average", "evaluation"))
    options = {name: value for name, value in SMALL.items() if name != "progress"}
    events = events_of(AverageLengths)(run, **options)
    for event in events:
        if isinstance(event, Work) and "length 0.06" in event.task:
            break
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    assert not (run / "average" / "model.safetensors").exists()
    assert len(list((run / "average" / "evaluation" / "samples").iterdir())) >= 1


class Own(nn.Module):
    """A network with a buffer and a weight of two names."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
        self.two.weight = self.one.weight
        self.register_buffer("shift", torch.ones(2))

    def forward(self, x, index):
        return self.two(self.one(x)) + self.shift


def test_a_network_of_ones_own(tmp_path):
    data = torch.rand(200, 2) * 2 - 1
    trained = ancestral.train(
        "points", data=data, out=tmp_path / "run", net=Own(), steps=20, batch_size=8, threads=1, trackers=(),
        progress=False,
    )  # fmt: skip
    options = {"data": data, "net": Own(), "lengths": [0.05, 0.1], "samples": 30, "steps": 2, "threads": 1}
    result = ancestral.average(tmp_path / "run", progress=False, **options)
    model = ancestral.load(tmp_path / "run" / "average", "cpu", net=Own())
    assert result.end == trained.step == 20
    assert torch.equal(model.diffusion.net.one.weight, model.diffusion.net.two.weight)
    assert torch.equal(model.diffusion.net.shift, torch.ones(2))
