"""`ancestral compare`: runs measured as `evaluate` does, and samplers by the passes of the network that they take."""

import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image

import ancestral
from ancestral import config, samplers
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.base.result import to_plain
from ancestral.declarations import Compare
from ancestral.faces import command as cli
from ancestral.measure import time_needed
from ancestral.measure.step_budgets import TRIED_PASSES, reference_budget, step_budgets
from ancestral.render.compositions import side_by_side
from ancestral.render.pictures import picture
from ancestral.render.plots import samplers_plot
from ancestral.render.result_text import reference_warning
from ancestral.results import ComparisonResult, Estimate, SampleMetrics, SamplerComparisonResult
from ancestral.results.comparison_result import (
    ComparedBound,
    ComparedQuantity,
    ComparedRun,
    SamplerPoint,
    fewest_passes,
)
from test_card import samples_tree

# what evaluate's tests have: a run of six steps, its data and options, and a list of all that is drawn
from test_evaluate_samples import CLASSES, PROCESS, SHAPE, common, files, metrics_json, model_run, passes  # noqa: F401
from tiny_models import events_of, untrained

compare = events_of(Compare)

LONGER = config.ProcessConfig("cosine", timesteps=12, target="v")


@dataclasses.dataclass(frozen=True)
class OneJump(samplers.Sampler):
    """A sampler that is not the package's: x̂_0 with the noise that belongs to the time, as DDIM's."""

    clip: float | None = 1.0
    steps: int | None = None
    spacing: samplers.Spacing = "trailing"

    def advance(self, x, prediction, move, state):
        a, b = move.schedule.at(move.s)
        return a * prediction.x0 + b * prediction.eps, state


@pytest.fixture
def other(tmp_path):
    """Another model of the same items, with other weights."""
    torch.manual_seed(1)
    untrained(SHAPE, CLASSES, LONGER, dropout=0.0).save(tmp_path / "other" / "model.safetensors")
    return tmp_path / "other"


@pytest.fixture
def options(common):  # noqa: F811
    """Those of evaluate, which are compare's too."""
    return common


def compared(folder, name="compare"):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def at(passes, value, error=0.0):  # noqa: F811
    estimate = Estimate(value, error, value, value)
    return SamplerPoint(passes, passes, estimate, estimate)


def sampler_result(curves):
    reference = at(1000, 10.0)
    plain = to_plain({"frechet": reference.frechet, "kernel": reference.kernel})
    tree = {
        "model": {"run": "a run", "step": 1, "sha256": None},
        "samples": {"count": 9, "seed": 0, "guidance": 1.0},
        "data": {"train": "data", "held_out": None},
        "extractor": {"name": "pixels", "features": 2},
        "titles": {"frechet": "FD", "kernel": "KID"},
        "floor": {"value": 1.0},
        "reference": {"sampler": "ddpm", "steps": 1000, "passes": 1000, **plain},
        "needed": {name: to_plain(fewest_passes(points, 10.0)) for name, points in curves.items()},
        "curves": {name: to_plain(points) for name, points in curves.items()},
    }
    return SamplerComparisonResult.from_json(json.dumps(tree))


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_numbers_are_those_of_evaluate_and_its_samples_are_not_drawn_again(
    run, model_run, other, options, passes, tmp_path  # noqa: F811
):  # fmt: skip
    run("evaluate", model_run, *options)
    assert len(passes) == 3
    text = run("compare", model_run, other, *options, "--out", tmp_path / "both")
    assert len(passes) == 6
    run("evaluate", other, *options)
    assert len(passes) == 6
    for folder, tree in zip((model_run, other), compared(tmp_path / "both")["runs"], strict=True):
        evaluation = metrics_json(folder / "evaluation")
        assert [evaluation.pop(key) for key in SampleMetrics.head()] == [*SampleMetrics.head().values()]
        assert {name: tree[name] for name in evaluation} == evaluation
        parameters = sum(p.numel() for p in ancestral.load(folder, "cpu").denoiser.parameters())
        assert tree["parameters"] == parameters
        assert f"{parameters:,}" in text
        assert tree["bits_per_dim"] is None
    assert "bits/dim" not in text


def test_a_run_differs_from_itself_by_nothing(run, model_run, options, files, tmp_path):  # noqa: F811
    run("evaluate", model_run, "--likelihood", "-n", 3, "--passes", 2, "--data", files / "train.npz")
    text = run("compare", model_run, model_run, *options, "--out", tmp_path / "both")
    tree = compared(tmp_path / "both")
    assert tree["runs"][0] == tree["runs"][1]
    likelihood = json.loads((model_run / "evaluation" / "likelihood.json").read_text())
    expected = likelihood["bits_per_dim"]["total"] | likelihood["settings"]
    assert {name: tree["runs"][0]["bits_per_dim"][name] for name in expected} == expected
    assert set(tree["best"].values()) == {None}
    assert " *" not in text.replace("* better", "")
    with Image.open(tmp_path / "both" / "compare.png") as image:
        middle = image.width // 2
        left, right = (image.crop((x, 0, x + middle - 6, image.height)) for x in (0, middle + 6))
        assert left.tobytes() == right.tobytes()


@pytest.mark.long
def test_bounds_that_differ_are_reported(run, model_run, options, files, tmp_path):  # noqa: F811
    other = tmp_path / "other"
    shutil.copytree(model_run, other)
    for folder, variance in ((model_run, "large"), (other, "small")):
        run("evaluate", folder, "--likelihood", "-n", 3, "--passes", 2, "--data", files / "train.npz",
            "--variance", variance)  # fmt: skip
    text = run("compare", model_run, other, *options, "--out", tmp_path / "both")
    for folder, variance in ((model_run, "large"), (other, "small")):
        assert f"bits/dim of {folder}" in text
        assert f"3 of 60 images of train.npz, train split: {variance} variance" in text
    runs = compared(tmp_path / "both")["runs"]
    assert [run["bits_per_dim"]["variance"] for run in runs] == ["large", "small"]


@pytest.mark.parametrize("names", [None, ["cat", "dog", "owl"] * 3], ids=["plain", "with classes above the columns"])
def test_image_i_stands_beside_image_i(names):
    items = torch.arange(9 * 64).reshape(9, 1, 8, 8).remainder(256).to(torch.uint8)
    sheet = side_by_side([("one", items), ("two", 255 - items)], (0, 255), names)
    grids = [picture(part, 3, 384, (0, 255), names) for part in (items, 255 - items)]
    width, height = grids[0].size
    assert (height > picture(items, 3, 384, (0, 255)).height) == bool(names)
    for left, grid in zip((0, sheet.width - width), grids, strict=True):
        assert sheet.crop((left, sheet.height - height, left + width, sheet.height)).tobytes() == grid.tobytes()


def test_the_best_is_marked_only_beyond_the_error():
    ten, twelve, thirteen = (Estimate(value, 1) for value in (10, 12, 13))
    near, far = (ComparedQuantity("FD", values, sign=-1) for values in ((ten, twelve), (ten, thirteen)))
    assert (near.best, far.best) == (None, 0)  # 1.96 · √2 = 2.77
    assert dataclasses.replace(far, sign=1).best == 1
    assert dataclasses.replace(far, sign=0).best is None
    assert ComparedQuantity("FD", (ten, thirteen, ten), sign=-1).best is None
    assert ComparedQuantity("FD", (ten, None), sign=-1).best is None


def test_bits_of_other_items_or_bounds_have_no_rank():
    metrics = vars(SampleMetrics.from_json(json.dumps(samples_tree())))

    def bound(bits, source="one", **changes):
        settings = {
            "T": 10,
            "variance": "large",
            "clip": True,
            "decoder": "exact",
            "passes": None,
            "seed": 0,
            **changes,
        }
        return ComparedBound(**settings, mean=bits, standard_error=0.1, source=source, split="test", images=9, of=9,
                             data="9 of 9")  # fmt: skip

    def best(**changes):
        runs = [ComparedRun(**metrics, parameters=1, bits_per_dim=part) for part in (bound(3), bound(2, **changes))]
        rows = ComparisonResult.from_runs(runs).quantities()
        return next(row for row in rows if row.title == "bits/dim").best

    assert best() == best(passes=5) == 1
    assert [best(source="two"), best(variance="small"), best(clip=False), best(decoder="tanh")] == [None] * 4


@pytest.mark.long
def test_python_compares_runs_and_models(run, model_run, other, options, files):  # noqa: F811
    text = run("compare", model_run, other, *options, "--out", model_run.parent / "both")
    saved = ComparisonResult.from_json((model_run.parent / "both" / "compare.json").read_text())
    assert text.endswith(f"{saved}\n")
    common = {"samples": 20, "extractor": "pixels"}  # noqa: F811
    source = str(files / "train.npz")
    result = finish(compare([model_run, other], source, **common, out=model_run.parent / "again"))
    assert result == saved
    model = ancestral.load(model_run, "cpu")
    mixed = finish(compare([model, other], source, **common))
    assert [run.between_sets for run in mixed.runs] == [run.between_sets for run in saved.runs]
    assert [run.run for run in mixed.runs] == [str(model_run), str(other)]  # a loaded model has the name of its run
    model.file = None
    assert finish(compare([model, other], source, **common)).runs[0].run == "model 1"
    with pytest.raises(InputError, match="a comparison needs two runs"):
        finish(compare([model], source))


@pytest.mark.long
def test_chosen_metrics_alone_are_compared(run, model_run, other, options, files):  # noqa: F811
    text = run("compare", model_run, other, *options, "--out", model_run.parent / "both", "--metrics", "kernel")
    tree = compared(model_run.parent / "both")
    assert list(tree["best"]) == ["KID-pixels", "parameters", "steps trained"]
    assert "copies" not in text.lower()
    named = {"samples": 20, "batch_size": 8, "extractor": "pixels", "data": str(files / "train.npz")}
    result = finish(compare([model_run, other], metrics="kernel", **named, out=model_run.parent / "again"))
    assert json.loads(result.to_json()) == tree


# -- samplers ---------------------------------------------------------------------------------------------------------


def test_the_fewest_passes_within_five_per_cent():
    points = [at(4, 30.0), at(8, 10.6), at(12, 10.4), at(16, 10.6), at(25, 9.0)]
    assert fewest_passes(points, 10.0) == points[2]
    assert fewest_passes(points, 30.0) == points[0]
    assert fewest_passes(points, 8.0) is None
    assert reference_warning(Estimate(10, 0.2)) is None
    assert "± 20%" in reference_warning(Estimate(10, 1.0))


def test_the_ladder_counts_passes_not_steps():
    model = untrained(SHAPE, (), dataclasses.replace(PROCESS, timesteps=60))
    for name, steps in {
        "ddim": [4, 6, 8, 10, 12, 16, 25, 50],
        "heun": [2, 3, 4, 5, 6, 8, 13, 25, 50],  # 2n − 1 passes
        "heun:spacing=leading": [3, 4, 5, 6, 8, 13, 25, 50],  # 2 steps would start among the data
        "langevin": [1, 2, 3, 4, 9, 19, 49],  # 5n + 1
    }.items():
        budgets = list(step_budgets(model, name, 250))
        assert [budget.steps for budget in budgets if budget.steps < 60] == steps
        assert all(budget.passes <= limit for budget, limit in zip(budgets[::-1], TRIED_PASSES[::-1], strict=False))
    assert [budget.passes for budget in step_budgets(model, "heun", 12)] == [3, 5, 7, 9, 11]
    whole = reference_budget(model)
    assert (whole.sampler, whole.steps, whole.passes) == (samplers.DDPM(steps=60), 60, 60)


@pytest.mark.long
def test_the_curve_is_what_evaluate_measures_of_each(run, model_run, options, passes):  # noqa: F811
    argv = ("compare", model_run, *options, "--samplers", "ddim,heun", "--most", 6)
    text = run(*argv)
    tree = compared(model_run / "evaluation", "samplers")
    assert [(p["steps"], p["passes"]) for p in tree["curves"]["ddim"]] == [(4, 4), (6, 6)]
    assert [(p["steps"], p["passes"]) for p in tree["curves"]["heun"]] == [(2, 3), (3, 5)]
    drawn = len(passes)
    assert drawn == 5 * 3
    for name, point in [("ddpm", tree["reference"]), ("heun", tree["curves"]["heun"][1])]:
        run("evaluate", model_run, *options, "--sampler", name, "--steps", point["steps"])
        evaluation = metrics_json(model_run / "evaluation")["metrics"]
        assert point["frechet"] == evaluation["frechet"]["value"]
        assert point["kernel"] == evaluation["kernel"]["value"]
        assert tree["floor"] == evaluation["frechet"]["floor"]
    for name, curve in tree["curves"].items():
        reached = [p for p in curve if p["frechet"]["value"] <= 1.05 * tree["reference"]["frechet"]["value"]]
        assert tree["needed"][name] == (reached[0] if reached else None)
    assert text.count("not reached") == list(tree["needed"].values()).count(None)
    assert run(*argv) == text
    assert len(passes) == drawn


@pytest.mark.long
def test_what_cannot_run_is_left_out_and_said(run, refused, model_run, options, monkeypatch):  # noqa: F811
    argv = ("compare", model_run, *options, "--most", 4)
    text = run(*argv, "--samplers", "ddim,langevin,ddpm:variance=learned")
    assert "langevin was left out: it takes more than 4 passes." in text
    assert "ddpm:variance=learned was left out: this model did not learn its variance" in text
    assert list(compared(model_run / "evaluation", "samplers")["curves"]) == ["ddim"]
    monkeypatch.setattr(samplers.DDIM, "advance", lambda self, x, prediction, move, state: (x * float("nan"), state))
    text = run(*argv, "--samplers", "ddim,euler", "--seed", 1)
    assert "ddim has no number at 4 passes: the samples are no finite numbers" in text
    assert list(compared(model_run / "evaluation", "samplers")["curves"]) == ["euler"]
    assert "none of these samplers can be tried" in refused(*argv, "--samplers", "langevin")


@pytest.mark.long
def test_all_is_also_what_the_run_draws_by(run, model_run, options, monkeypatch):  # noqa: F811
    model = ancestral.load(model_run, "cpu")
    model.config = dataclasses.replace(model.config, sample=config.SampleConfig("ddim:eta=1"))
    model.save(model_run / "model.safetensors")
    monkeypatch.setattr(samplers, "BY_NAME", {name: samplers.BY_NAME[name] for name in ("ddpm", "ddim", "euler")})
    run("compare", model_run, *options, "--samplers", "all", "--most", 4)
    curves = compared(model_run / "evaluation", "samplers")["curves"]
    assert list(curves) == ["ddpm", "ddim", "euler", "ddim:eta=1"]
    notes = compared(model_run / "evaluation", "samplers")["notes"]
    assert any(note.startswith("20 items are too few for the covariance of 64 features") for note in notes)
    assert curves["ddim"] != curves["ddim:eta=1"]
    model.config = dataclasses.replace(model.config, sample=config.SampleConfig("ddim:steps=3"))
    model.save(model_run / "model.safetensors")  # the curve of ddim has this number of steps too
    run("compare", model_run, *options, "--samplers", "all", "--most", 4)
    assert list(compared(model_run / "evaluation", "samplers")["curves"]) == ["ddpm", "ddim", "euler"]


def test_all_samplers_are_drawn_as_lines_over_passes(figures):
    curves = {name: [at(4, 30.0, 1.0), at(16, 9.0, 1.0)] for name in samplers.BY_NAME}
    whole, fewer = (samplers_plot(sampler_result(subset)) for subset in (curves, dict(list(curves.items())[:1])))
    assert whole.size == fewer.size == (1500, 900)
    assert whole.tobytes() != fewer.tobytes()


@pytest.mark.long
def test_a_sampler_with_its_own_steps_is_one_point_of_a_curve(run, model_run, options, files):  # noqa: F811
    """`steps` in a name was ignored: both names were tried with all numbers of steps, and printed alike."""
    run("compare", model_run, *options, "--samplers", "heun:steps=2,heun:spacing=linspace,steps=3", "--most", 6)
    curves = compared(model_run / "evaluation", "samplers")["curves"]
    assert {name: [(p["steps"], p["passes"]) for p in curve] for name, curve in curves.items()} == {
        "heun:steps=2": [(2, 3)],
        "heun:spacing=linspace,steps=3": [(3, 5)],
    }
    source, common = str(files / "train.npz"), {"samples": 20, "extractor": "pixels", "most": 6}  # noqa: F811
    jump = OneJump(steps=4)
    instances = [samplers.Heun(steps=2, clip=1.0), jump]
    result = finish(compare(model_run, source, samplers=instances, **common))
    assert list(result.curves) == ["Heun(steps=2, clip=1.0)", "OneJump(steps=4)"]
    assert to_plain(result.curves["Heun(steps=2, clip=1.0)"][0]) == curves["heun:steps=2"][0]
    assert [point.passes for point in result.curves["OneJump(steps=4)"]] == [4]
    evaluated = ancestral.evaluate(model_run, source, sampler=jump, samples=20, extractor="pixels", progress=False)
    assert result.curves["OneJump(steps=4)"][0].frechet == evaluated.samples.metrics["frechet"].value
    whole = finish(compare(model_run, source, samplers=OneJump(steps=5), **common))
    assert list(whole.curves) == ["OneJump(steps=5)"]
    with pytest.raises(InputError, match=r"OneJump\(steps=5\) was left out: it takes more than 4 passes"):
        finish(compare(model_run, source, samplers=[OneJump(steps=5)], **common | {"most": 4}))


def test_most_bounds_the_reference_too(run, model_run, options, passes, monkeypatch):  # noqa: F811
    """DDPM took all its steps, 1,000 of a usual model, whatever --most said."""
    monkeypatch.setattr(time_needed, "network_seconds", lambda model, batch_size: 0.1)
    text = run("compare", model_run, *options, "--samplers", "ddim", "--most", 4)
    tree = compared(model_run / "evaluation", "samplers")
    assert (tree["reference"]["steps"], tree["reference"]["passes"]) == (4, 4)
    assert "DDPM took 4 of its 6 steps, as --most allows" in text
    assert "about 16 seconds: ddpm, 4 passes 8 seconds, ddim 8 seconds" in text.splitlines()[0]
    assert "this takes" not in run("compare", model_run, *options, "--samplers", "ddim", "--most", 4)


# -- refusals ---------------------------------------------------------------------------------------------------------


REFUSALS = {
    "": "RUN is missing",
    "run": "a comparison needs two runs",
    "run run --samplers all": "--samplers compares the samplers of one run",
    "run run --most 9": "--most belongs to --samplers",
    "run --samplers all --most 0": "--most must be at least 1, not 0",
    "run --samplers all --steps 3": "--steps has no effect with --samplers",
    "run --samplers all --metrics kernel": "--metrics has no effect with --samplers",
    "run --samplers dddim": "did you mean ddim",
    "run --samplers ,": "--samplers names none",
    "run run --steps 99": "99 sampling steps do not fit",
    "run run --samples nowhere": "--samples",
    "run nowhere": "there is no run folder or model file nowhere",
    "run larger": "but larger uint8 items of 3x8x8",
    "run deeper": "but deeper uint16 items of 1x8x8",
    "run run --out file": "file is a file",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_compared_is_refused_in_one_line_and_draws_nothing(
    refused_in,
    tmp_path,
    files,  # noqa: F811
    passes,  # noqa: F811
    words,
):
    untrained(SHAPE, CLASSES, PROCESS).save(tmp_path / "run" / "model.safetensors")
    untrained((3, 8, 8), CLASSES, PROCESS).save(tmp_path / "larger" / "model.safetensors")
    deeper = untrained(SHAPE, CLASSES, PROCESS)
    deeper.spec = dataclasses.replace(deeper.spec, codec=ancestral.data.Codec("uint16"))
    deeper.save(tmp_path / "deeper" / "model.safetensors")
    (tmp_path / "file").write_text("mine")
    shutil.copy(files / "train.npz", tmp_path)
    measured = "--samples 20 --batch-size 8 --data train.npz --extractor pixels"
    assert REFUSALS[words] in refused_in(tmp_path, f"compare {measured} {words}")
    assert passes == []


def test_ctrl_c_says_how_to_go_on(capsys, monkeypatch, model_run, options):  # noqa: F811
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ancestral.use_cases.measuring.compare_samplers.fewest_passes", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in ("compare", model_run, *options, "--samplers", "ddim", "--most", 4)])
    assert stop.value.code == 130
    assert "all samples so far are kept. Go on with:  ancestral compare" in capsys.readouterr().err
    assert not (model_run / "evaluation" / "samplers.json").exists()
