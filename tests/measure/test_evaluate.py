"""`ancestral evaluate`: its numbers are those of the theory, and what it cannot do it says."""

import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import bound, config, data, oracle, probability_flow, randomness, schedules
from ancestral.base.events import finish
from ancestral.bound import ELBO
from ancestral.data import IMAGES
from ancestral.faces import command as cli
from ancestral.measure import bound_terms
from ancestral.measure.bound_terms import BoundTerms, EvalItems
from ancestral.measure.reference import labels_for
from ancestral.randomness import Stream
from ancestral.results.evaluation_result import LikelihoodSettings
from tiny_models import stripes, untrained

T = 12
PROCESS = config.ProcessConfig("cosine", timesteps=T, target="v")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A .npz of striped images with labels, as `ancestral evaluate --data` takes it."""
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    dataset = stripes()
    np.savez(path, images=dataset.items.numpy(), labels=dataset.labels.numpy())
    return path


@pytest.fixture(scope="module")
def model_run(tmp_path_factory):
    """A model of 12 steps with two classes, in a run folder."""
    path = tmp_path_factory.mktemp("runs") / "twelve"
    untrained((1, 8, 8), ("vertical", "horizontal"), PROCESS, dropout=0.0).save(path / "model.safetensors")
    return path


@pytest.fixture(scope="module")
def points_run(tmp_path_factory):
    """A points run of a few steps and 20 times."""
    path = tmp_path_factory.mktemp("runs") / "points"
    argv = ["train", "points", "--out", str(path), "--steps", "80", "--batch-size", "64", "--width", "16"]
    with pytest.raises(SystemExit) as stop:
        cli.main([*argv, "--timesteps", "20", "--schedule", "linear"])
    assert stop.value.code == 0
    return path


def likelihood_json(folder):
    return json.loads((folder / "likelihood.json").read_text(encoding="utf-8"))


def evenly_spaced_images(path, n):
    """The images that -n chooses, as the model sees them, their labels and places."""
    model = ancestral.load(path, "cpu")
    dataset = stripes()
    places = [i * len(dataset) // n for i in range(n)]
    return model, data.IMAGES.encode(dataset.items[places]), dataset.labels[places], places


# -- the numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"clip": False, "variance": "small"}, marks=pytest.mark.long),
        pytest.param({"decoder": "tanh", "seed": 5}, marks=pytest.mark.long),
    ],
)
def test_the_table_is_the_bound(run, model_run, images, tmp_path, options):
    words = {"clip": lambda value: [] if value else ["--no-clip"]}
    argv = [w for k, v in options.items() for w in words.get(k, lambda v, k=k: [f"--{k}", v])(v)]
    text = run("evaluate", model_run, "--likelihood", "-n", 7, "--data", images, "--out", tmp_path, *argv)
    model, x0, labels, places = evenly_spaced_images(model_run, 7)
    expected = bound.bits_per_dim(model.denoiser, x0, indices=places, labels=labels, **options)
    tree = likelihood_json(tmp_path)
    torch.testing.assert_close(torch.tensor(tree["per_image"]["bits_per_dim"]), expected.total, rtol=1e-5, atol=1e-5)
    parts = {"L_T": expected.L_T, "L_t": expected.L_t.sum(1), "L_0": expected.L_0, "total": expected.total}
    for name, values in parts.items():
        estimate = tree["bits_per_dim"][name]
        assert estimate["mean"] == pytest.approx(values.mean().item(), rel=1e-4)
        assert estimate["standard_error"] == pytest.approx(values.std().item() / 7**0.5, rel=1e-3)
    mean, error = (float(word) for word in re.search(r"total +(\S+) ± (\S+) bits/dim", text).groups())
    digit = 10 ** -len(text.partition("total")[2].split()[2].partition(".")[2])  # of the last place
    assert mean == pytest.approx(expected.total.mean().item(), abs=0.6 * digit)
    assert error == pytest.approx(expected.total.std().item() / 7**0.5, abs=0.6 * digit)
    assert digit < error / 5


@pytest.mark.long
def test_over_time(run, model_run, images, tmp_path):
    """Bits of each step, the rate that adds them up from T down, and the error of x̂_0 in grey levels."""
    run("evaluate", model_run, "--likelihood", "-n", 5, "--data", images, "--out", tmp_path)
    model, x0, labels, places = evenly_spaced_images(model_run, 5)
    terms = list(ELBO().terms(model.denoiser, x0, places, labels=labels))[::-1]
    over, total = likelihood_json(tmp_path)["over_time"], likelihood_json(tmp_path)["bits_per_dim"]
    assert over["t_first"] == over["t_last"] == list(range(1, T + 1))
    assert over["bits_per_dim_of_a_step"] == pytest.approx([t.bits.mean().item() for t in terms], rel=1e-4)
    assert over["mean_square_error"] == pytest.approx([t.error.mean().item() for t in terms], rel=1e-4)
    assert over["distortion"] == pytest.approx([127.5 * t.error.mean().item() ** 0.5 for t in terms], rel=1e-4)
    assert over["rate"][-1] == pytest.approx(total["L_T"]["mean"])
    assert over["rate"][0] == pytest.approx(total["L_T"]["mean"] + total["L_t"]["mean"])
    steps = over["bits_per_dim_of_a_step"]
    assert all(over["rate"][i] - over["rate"][i + 1] == pytest.approx(steps[i + 1], abs=1e-9) for i in range(T - 1))


def test_a_run_of_times_counts_its_steps_and_half_of_them_lie_above():
    terms = BoundTerms(
        [range(3, 7), range(2, 3), range(1, 2)],
        torch.tensor([1.0, 3.0]).double(),
        torch.tensor([[8.0, 2.0, 5.0], [4.0, 4.0, 7.0]]).double(),
        torch.tensor([[0.4, 0.2, 0.1], [0.2, 0.2, 0.1]]).double(),
    )
    assert terms.total.tolist() == [16, 18]
    curve = terms.over_time(10, "units")
    assert (curve.t_first, curve.t_last) == ((1, 2, 3), (1, 2, 6))
    assert curve.bits_per_dim_of_a_step == (6, 3, 1.5)
    assert curve.rate == (2 + 6 + 3, 2 + 6, 2 + 1.5 * 1.5)  # the last is the mean of 2, 3.5, 5 and 6.5
    assert curve.mean_square_error == pytest.approx([0.1, 0.2, 0.3])
    assert curve.distortion == pytest.approx([10 * error**0.5 for error in (0.1, 0.2, 0.3)])


@pytest.mark.long
def test_batch_size_changes_nothing(run, points_run, model_run, images, tmp_path):
    for size in (2, 7):
        common = ("--likelihood", "-n", 3, "--ode", "--ode-steps", 2, "--batch-size", size)
        run("evaluate", model_run, *common, "--passes", 2, "--data", images, "--out", tmp_path / f"i{size}")
        run("evaluate", points_run, *common, "--passes", 3, "--probes", 2, "--out", tmp_path / f"p{size}")
    for kind in "ip":
        one, other = (likelihood_json(tmp_path / f"{kind}{size}")["per_image"] for size in (2, 7))
        assert one["index"] == other["index"]
        for name in ("bits_per_dim", "ode_bits_per_dim"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-4)


# -- the probability flow ---------------------------------------------------------------------------------------------


def test_ode_of_points_is_the_flows_likelihood(run, points_run, tmp_path):
    text = run("evaluate", points_run, "--likelihood", "-n", 6, "--ode", "--ode-steps", 15, "--out", tmp_path)
    model, moons = ancestral.load(points_run, "cpu"), data.load("moons", split="test")
    places = [i * len(moons) // 6 for i in range(6)]
    log_p = probability_flow.log_likelihood(model.denoiser, moons.items[places], steps=15, spacing="logsnr")
    tree = likelihood_json(tmp_path)
    assert tree["ode"]["nats"]["mean"] == pytest.approx(-log_p.mean().item(), rel=1e-4)
    assert tree["per_image"]["ode_bits_per_dim"] == pytest.approx((-log_p / (2 * math.log(2))).tolist(), rel=1e-4)
    assert "15 steps, exact divergence" in text
    assert tree["settings"]["probes"] == 0


def test_grey_levels_have_the_entropy_that_a_density_tells():
    """Levels of a Gaussian, dequantised, under its own exact flow: the cost is the entropy of the levels."""
    std, n, size = 0.3, 400, 4
    x0 = std * randomness.normal((1, 2, 2), 0, Stream.OWN, 0, range(n)).double()
    items = EvalItems((x0 * 127.5).round() / 127.5, list(range(n)))
    denoiser = oracle.Gaussian(schedules.cosine(200), 0.0, std)
    settings = LikelihoodSettings(
        T=200, variance="large", clip=True, decoder="exact", passes=None, seed=0, ode_steps=200, probes=0
    )
    nats = finish(bound_terms.flow_nats(denoiser, items, settings, IMAGES.level, n, torch.device("cpu")))
    bits = bound_terms.mean(bound_terms.bits_from_nats(nats, size, IMAGES.level))
    entropy = 0.5 * math.log2(2 * math.pi * math.e * std**2) + math.log2(127.5)
    assert bits.value == pytest.approx(entropy, abs=4 * bits.error + 0.003)
    assert bits.error < 0.03


# -- what is written and said -----------------------------------------------------------------------------------------


def test_files_and_words(run, tiny_run, images, figures):
    """A run of a thousand steps, few passes, into its own folder."""
    text = run("evaluate", tiny_run.path, "--likelihood", "-n", 6, "--passes", 8, "--data", images, "--ode",
               "--ode-steps", 3)  # fmt: skip
    folder = tiny_run.path / "evaluation"
    names = (folder / "likelihood.json", folder / "likelihood.png", tiny_run.path / "README.md")
    assert [line for line in text.splitlines() if line.startswith(str(tiny_run.path))] == [str(path) for path in names]
    tree = likelihood_json(folder)
    assert (tree["data"]["source"], tree["data"]["split"], tree["data"]["of"]) == (str(images), "train", 40)
    assert "conditioned on the class of each image" in tree["data"]["notes"][0]
    settings = {"T": 1000, "variance": "large", "clip": True, "decoder": "exact", "passes": 8, "seed": 0}
    assert tree["settings"] == settings | {"ode_steps": 3, "probes": 1}
    assert tree["per_image"]["index"] == [0, 6, 13, 20, 26, 33]
    assert tree["over_time"]["t_first"][0] == 1
    assert tree["over_time"]["t_last"][-1] == 1000
    with Image.open(folder / "likelihood.png") as plot:
        assert plot.size == (1800, 600)
        assert len(plot.convert("RGB").getcolors(2**20)) > 10
    assert {path.name for path in folder.iterdir()} == {"likelihood.json", "likelihood.png"}


def test_the_split_is_test_where_there_is_one(run, points_run, tmp_path):
    common = ("evaluate", points_run, "--likelihood", "-n", 3, "--passes", 2, "--out", tmp_path)
    assert "points of moons, test split" in run(*common)
    text = run(*common, "--split", "train")
    assert "moons, train split" in text
    assert "These are training data" in text
    assert likelihood_json(tmp_path)["settings"]["clip"] is True
    assert likelihood_json(tmp_path)["settings"]["decoder"] == "density"
    assert likelihood_json(tmp_path)["data"]["split"] == "train"


def test_one_image_has_no_error(run, points_run, tmp_path):
    text = run("evaluate", points_run, "--likelihood", "-n", 1, "--passes", 3, "--out", tmp_path)
    assert "±" not in text
    assert likelihood_json(tmp_path)["bits_per_dim"]["total"]["standard_error"] is None


def test_a_learned_variance_is_used_by_default(run, tmp_path, images):
    process = config.ProcessConfig("cosine", timesteps=T, target="v", learned_variance=True)
    model = untrained((1, 8, 8), process=process, dropout=0.0)
    model.save(tmp_path / "model.safetensors")
    common = ("evaluate", tmp_path, "--likelihood", "-n", 4, "--data", images, "--out", tmp_path / "evaluation")
    text = run(*common)
    assert "learned variance" in text
    assert "class" not in text
    x0 = data.IMAGES.encode(stripes().items[::10])
    expected = bound.bits_per_dim(model.denoiser, x0, variance="learned", indices=[0, 10, 20, 30])
    assert likelihood_json(tmp_path / "evaluation")["per_image"]["bits_per_dim"] == pytest.approx(
        expected.total.tolist(), 1e-4
    )
    assert "small variance" in run(*common, "--variance", "small")


def test_data_without_its_classes_asks_for_no_class(run, model_run, tmp_path):
    np.save(tmp_path / "plain.npy", stripes().items.numpy())
    text = run("evaluate", model_run, "--likelihood", "-n", 4, "--data", tmp_path / "plain.npy", "--out", tmp_path)
    assert '"no class"' in text
    model, x0, _, places = evenly_spaced_images(model_run, 4)
    expected = bound.bits_per_dim(model.denoiser, x0, indices=places, labels=torch.full((4,), -1))
    assert likelihood_json(tmp_path)["per_image"]["bits_per_dim"] == pytest.approx(expected.total.tolist(), rel=1e-4)


def test_labels_are_matched_by_name_and_by_number_only_where_there_are_no_names():
    names = data.InMemoryDataset(torch.zeros(3, 2), torch.tensor([0, 1, 1]), ("b", "a"), "x")
    assert labels_for(names, ("a", "b", "c")).tolist() == [1, 0, 0]
    assert labels_for(names, ("c", "d")) is None
    assert labels_for(names, ()) is None
    numbers = data.InMemoryDataset(torch.zeros(3, 2), torch.tensor([0, 1, 1]), ("0", "1"), "x")
    assert labels_for(numbers, ("c", "d")).tolist() == [0, 1, 1]
    assert labels_for(numbers, ("c",)) is None


# -- interrupts and what is missing ----------------------------------------------------------------------------------


def test_ctrl_c_writes_nothing(capsys, monkeypatch, points_run, tmp_path):
    term, calls = ELBO.term, []

    def interrupted(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return term(self, *args, **kwargs)

    monkeypatch.setattr(ELBO, "term", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", str(points_run), "--likelihood", "-n", "3", "--out", str(tmp_path / "new")])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "ancestral: interrupted\n"
    assert not (tmp_path / "new").exists()
