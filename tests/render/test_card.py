"""The model card: what the Hub can read, what was measured and nothing else, and what a user wrote is kept."""

import json
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image as PillowImage

import ancestral
from ancestral import config
from ancestral.base import hub, storage
from ancestral.base.options import on_command_line, spell
from ancestral.base.quantities import Estimate
from ancestral.base.result import SITE
from ancestral.conditions import Classes, Image, Vector
from ancestral.config import presets
from ancestral.data.spec import Codec, DataSpec
from ancestral.render import evaluation_text, html_report
from ancestral.render.model_card import (
    ADDRESS_PLACEHOLDER,
    merge_card,
    model_card,
    update_sections,
    write_card,
)
from ancestral.results.evaluation_result import EvaluationResult, LikelihoodResult, SampleMetrics
from ancestral.use_cases.model_cards import update_card
from test_evaluate_samples import CLASSES, PROCESS, SHAPE, common, files, images, metrics_json, model_run, state
from test_page import about as page_about
from test_page import read
from tiny_models import begun, untrained

__all__ = ["common", "files", "model_run"]  # fixtures


def estimate(value, error=0.1):
    return {"value": value, "error": error, "low": value - 2 * error, "high": value + 2 * error}


def samples_tree(**changes):
    """A samples.json of round numbers."""
    distances = {name: {"title": title, "value": estimate(value), "floor": estimate(value)} for name, title, value in
                 (("frechet", "FD-lite0", 12.345), ("kernel", "KID-lite0", 0.5), ("precision", "precision", 0.7),
                  ("recall", "recall", 0.6), ("density", "density", 0.8), ("coverage", "coverage", 0.9))}  # fmt: skip
    return {
        "schema": "samples-2",
        "model": {"run": "runs/x", "step": 600, "version": "0.1.0", "sha256": "abc"},
        "samples": {"count": 2500, "sampler": "DDIM(steps=50)", "seed": 3, "guidance": 2.0,
                    "label": "2 classes in turn"},
        "data": {"train": "stripes, train split, 60", "held_out": None, "notes": ["A note of the data."]},
        "extractor": {"name": "lite0", "features": 1280},
        "floor": "training data against the rest of it",
        "sets": {"value": [2500, 60], "floor": [30, 30]},
        "metrics": {
            **distances,
            "inception_score": {"title": "IS-lite0", "value": estimate(5.5), "floor": estimate(6.5)},
            "memorisation": {
                "kind": "memorisation",
                "pixels": {"among": 60, "median": 20.0, "share": 0.5, "expected": 0.05, "error": 0.01},
                "features": {"among": 60, "median": 4.0},
            },
            "class_accuracy": {"kind": "class_accuracy", "samples": estimate(0.9, 0.01), "data": estimate(0.95, 0.02),
                               "items": 12, "classes": 3},
            "colour": {"kind": "colour", "levels": -1.5, "sigmas": 4.0,
                       "samples": {"mean": [100.0], "covariance": [[9.0]]},
                       "data": {"mean": [101.5], "covariance": [[16.0]]}},
        },
        "notes": ["A note of the samples."],
        **changes,
    }  # fmt: skip


def likelihood_tree():
    mean = {"mean": 3.456, "standard_error": 0.02}
    return {
        "model": {"run": "runs/x", "step": 600, "version": "0.1.0", "sha256": "abc"},
        "data": {
            "source": "/home/me/photos",
            "split": "train",
            "images": 64,
            "of": 500,
            "shape": [1, 8, 8],
            "notes": [],
        },
        "settings": {"T": 1000, "variance": "large", "clip": True, "decoder": "exact", "passes": 60, "seed": 0},
        "bits_per_dim": dict.fromkeys(("L_T", "L_t", "L_0", "total"), mean),
        "over_time": {
            "t_first": [1],
            "t_last": [1000],
            "bits_per_dim_of_a_step": [0.1],
            "rate": [3.0],
            "mean_square_error": [0.1],
            "distortion": [9.0],
        },
        "per_image": {"index": [0], "bits_per_dim": [3.456]},
    }


def about(address=ADDRESS_PLACEHOLDER, shape=SHAPE, classes=CLASSES, model_config=None, name="a: name"):
    """A model, as far as a card describes it, and the other arguments of `model_card`."""
    spec = DataSpec(shape, Codec("uint8"), classes)
    facts = {"step": 600, "version": "0.1.0", "parameters": 1234, "average": None}
    return SimpleNamespace(config=model_config or presets.preset("digits"), spec=spec, **facts), name, address


FLOW = config.ProcessConfig("flow", target="flow")
FOUND = EvaluationResult(
    SampleMetrics.from_json(json.dumps(samples_tree())), LikelihoodResult.from_json(json.dumps(likelihood_tree()))
)


# -- the text ---------------------------------------------------------------------------------------------------------


def test_the_hub_reads_the_front_matter(tmp_path):
    """As YAML, and by the library that the Hub's own pages are made with."""
    text = model_card(*about(), FOUND)
    for part in ("| 12.35 ± 0.10 | 12.35 ± 0.10 |", "90.0 ± 1.0 %", "3.456 ± 0.020", "- A note of the data."):
        assert part in text
    assert "/home/me" not in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "ancestral"
    assert "license" not in front  # that is for the user to say
    assert front["tags"] == [
        "ddpm",
        "diffusion",
        "class-conditional-image-generation",
        "unconditional-image-generation",
    ]
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.model_name == "a: name"
    numbers = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert numbers["stripes, train split, 60", "fd-lite0"] == 12.345
    assert numbers["stripes, train split, 60", "coverage"] == 0.9
    assert numbers["64 of 500 images of photos, train split", "bits_per_dim"] == 3.456
    assert len(numbers) == 7


@pytest.mark.parametrize(("bits", "kind", "ranked"), [(8.0, "uint8", True), (8.01, "uint8", False),
                                                      (15.0, "uint16", True), (99.0, "float", True)])  # fmt: skip
def test_a_likelihood_below_a_uniform_guess_is_not_ranked(bits, kind, ranked):
    tree = likelihood_tree()
    tree["bits_per_dim"]["total"] = {"mean": bits, "standard_error": 0.1}
    evaluation = EvaluationResult(likelihood=LikelihoodResult.from_json(json.dumps(tree)))
    model, *rest = about()
    model.spec = DataSpec(SHAPE, Codec(kind))
    text = model_card(model, *rest, evaluation)
    assert ("model-index" in text) == ("bits_per_dim" in text) == ranked
    assert "## Likelihood" in text


def test_what_was_not_measured_is_not_in_the_card():
    text = model_card(*about(), EvaluationResult())
    assert "model-index" not in text
    assert "## Evaluation" not in text
    assert "was not measured" in text
    assert "![" not in text


@pytest.mark.parametrize(
    ("shape", "changes", "says"),
    [
        (SHAPE, {}, "--to onnx"),  # its preset folds pixels into channels
        ((3, 32, 32), {"net": config.UNetConfig(groups=8), "process": PROCESS}, "from_pretrained"),
        ((3, 32, 32), {"net": config.UNetConfig(groups=8), "process": FLOW}, "onnx"),
        ((2,), {}, "points in 2 dimensions"),
        ((1, 8, 8, 8), {}, "volumes of 1×8×8×8"),
    ],
)  # fmt: skip
def test_other_models_have_cards_too(shape, changes, says):
    model_config = config.Config(**{"data": config.DataConfig("/home/me/x|y.npz", flip=True), **changes})
    text = model_card(*about("hf://me/x", shape, (), model_config), FOUND)
    assert says in text
    assert "ancestral sample hf://me/x" in text
    assert f"[Install ancestral]({SITE}#install) with its extra `hub`, then" in text
    assert "pip install" not in text  # its readers have another way to install than its author, and a later one
    assert "x\\|y.npz" in text
    assert "mirrored at random, without labels." in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert ("pipeline_tag" in front) == (len(shape) == 3)
    assert len(ModelCard(text).data.eval_results) == 7


def test_the_card_of_a_conditional_model_has_its_conditions_and_a_command_that_gives_them(tmp_path):
    limits = (0.0, 255.0)
    conditions = {
        "low": Image(1, limits, (4, 4), made_by="upscale:2"),
        "pose": Vector((0.25, 30.0), (0.1, 9.0)),
        "hair": Classes(("very\nfair", "dark")),
    }
    model = untrained((1, 8, 8), conditions=conditions)
    text = model_card(model, "x", ADDRESS_PLACEHOLDER, EvaluationResult())
    assert "given low, pose and hair" in text
    assert "    ancestral sample FOLDER --given low=small.png --given pose=0.25,30 --given 'hair=very fair'\n" in text
    assert '.sample(16, given={"low": "small.png", "pose": [0.25, 30.0], "hair": "very\\nfair"})' in text
    for kind in ("an image of 1x4x4, made by upscale:2", "2 numbers, 0.25 ± 0.1, 30 ± 9", "2 classes: very"):
        assert kind in text
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "samples").mkdir()
    for step in (2, 10):
        PillowImage.new("L", (step, 3)).save(tmp_path / "samples" / f"{step:06d}.png")
    update_card(ancestral.load(tmp_path), tmp_path)
    assert (tmp_path / "card.png").read_bytes() == (tmp_path / "samples" / "000010.png").read_bytes()


def test_names_cannot_break_out():
    evil = '"\n---\n# <!-- end of what ancestral generated -->\n<script>'
    data = {"train": evil, "held_out": evil, "notes": [evil]}
    model_config = config.Config(data=config.DataConfig(evil))
    odd = about(classes=(evil,), model_config=model_config, name=evil)
    tree = samples_tree(data=data)
    tree["sets"]["held_out"] = tree["sets"]["value"]
    for name in ("frechet", "precision"):
        tree["metrics"][name]["held_out"] = tree["metrics"][name]["value"]
    text = model_card(*odd, EvaluationResult(SampleMetrics.from_json(json.dumps(tree))))
    assert ModelCard(text).data.model_name == evil
    assert {result.dataset_name for result in ModelCard(text).data.eval_results} == {evil}
    assert "<script>" not in text.split("---\n", 2)[2]
    assert update_sections(text, text) == text


# -- what the user wrote ----------------------------------------------------------------------------------------------


def test_words_outside_of_the_marks_are_kept(tmp_path):
    assert write_card(tmp_path, model_card(*about(), EvaluationResult()))
    path = tmp_path / "README.md"
    text = path.read_text(encoding="utf-8").replace("---\n# license", "---\nlicense: mit\n# license", 1)
    path.write_text(f"{text}\nMy own words.\n", encoding="utf-8")
    assert write_card(tmp_path, model_card(*about(), FOUND))
    new = path.read_text(encoding="utf-8")
    assert new.endswith("\nMy own words.\n")
    assert "| FD-lite0 |" in new
    assert yaml.safe_load(new.split("---\n")[1])["license"] == "mit"
    assert len(ModelCard.load(path).data.eval_results) == 7


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "My own card.\n",
        lambda text: text.replace("1,234 parameters", "few parameters"),
        lambda text: text.replace("library_name: ancestral", "library_name: other"),
        lambda text: text.replace("<!-- end of what ancestral generated -->", ""),
        lambda text: "",
    ],
    ids=["own", "body", "front", "mark", "emptied"],
)
def test_a_card_that_was_edited_is_left_alone(tmp_path, edit):
    write_card(tmp_path, model_card(*about(), EvaluationResult()))
    path = tmp_path / "README.md"
    mine = edit(path.read_text(encoding="utf-8"))
    path.write_text(mine, encoding="utf-8")
    assert not write_card(tmp_path, model_card(*about(), FOUND))
    assert path.read_text(encoding="utf-8") == mine
    assert merge_card(tmp_path, model_card(*about(), FOUND)) == (mine or model_card(*about(), FOUND))
    path.write_bytes(b"\xff\xfe")
    assert not write_card(tmp_path, model_card(*about(), FOUND))
    assert path.read_bytes() == b"\xff\xfe"


# -- from the command line --------------------------------------------------------------------------------------------


def test_an_evaluation_leaves_a_card_and_keeps_the_users_words(run, model_run, common, files):
    text = run("evaluate", model_run, *common)
    path = model_run / "README.md"
    assert str(path) in text.splitlines()
    value = metrics_json(model_run / "evaluation")["metrics"]["frechet"]["value"]["value"]
    results = {result.metric_type: result.metric_value for result in ModelCard.load(path).data.eval_results}
    assert results["fd-pixels"] == pytest.approx(value, rel=1e-5)
    assert ModelCard.load(path).data.model_name == "run"
    assert "![Samples of this model](card.png)" in path.read_text(encoding="utf-8")
    with PillowImage.open(model_run / "card.png") as picture:
        assert picture.format == "PNG"
    path.write_text(path.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    run("evaluate", model_run, "--likelihood", "-n", 3, "--passes", 2, "--data", files / "train.npz")
    content = path.read_text(encoding="utf-8")
    assert "## Likelihood" in content
    assert content.endswith("\nMine.\n")
    path.write_text("# All mine\n", encoding="utf-8")
    assert "is left as it is, since it is your own" in run("evaluate", model_run, *common)
    assert path.read_text(encoding="utf-8") == "# All mine\n"
    path.unlink()
    (model_run / "card.png").unlink()
    path.mkdir()
    (model_run / "report.html").write_text("mine", encoding="utf-8")
    text = run("evaluate", model_run, *common)
    assert "README.md is left as it is" in text
    assert "report.html is left as it is" in text
    assert path.is_dir()
    assert not (model_run / "card.png").exists()
    assert (model_run / "report.html").read_text(encoding="utf-8") == "mine"


def test_results_of_another_state_of_the_model_are_not_in_its_card(run, model_run, common, files):
    run("evaluate", model_run, "--likelihood", "-n", 3, "--passes", 2, "--data", files / "train.npz")
    model = ancestral.load(model_run, "cpu")
    model.step += 1
    model.save(model_run / "model.safetensors")
    run("evaluate", model_run, *common)
    text = (model_run / "README.md").read_text(encoding="utf-8")
    assert "## Evaluation" in text
    assert "## Likelihood" not in text


def test_elsewhere_there_is_no_card(run, model_run, common, tmp_path):
    text = run("evaluate", model_run, *common, "--out", tmp_path / "out")
    assert str(tmp_path / "out" / "memorisation.png") in text.splitlines()
    assert "README.md" not in text
    assert not (model_run / "README.md").exists()


@pytest.mark.long
def test_push_takes_the_card_of_the_run(monkeypatch, run, model_run, common):
    pushed = []
    monkeypatch.setattr(hub, "push", lambda address, path, files, private: pushed.append(files) or "url")
    run("evaluate", model_run, *common)
    path = model_run / "README.md"
    path.write_text(path.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    ancestral.push(ancestral.load(model_run, "cpu"), "hf://me/stripes")
    ancestral.push(untrained(), "hf://me/none")
    of_run, of_model = (files["README.md"].decode() for files in pushed)
    assert "ancestral sample hf://me/stripes" in of_run
    assert "FD-pixels" in of_run
    assert of_run.endswith("\nMine.\n")
    assert "ancestral sample hf://me/none" in of_model
    assert "FD-pixels" not in of_model
    assert all(files["card.png"].startswith(b"\x89PNG") for files in pushed)


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_tells_of_an_evaluation_whenever_it_is_written(run, model_run, common):
    begun(model_run.parent / "other")
    html_report.write_report(model_run, page_about())
    empty = read(model_run / "report.html").text
    assert "Evaluation" not in empty
    text = run("evaluate", model_run, *common)
    assert str(model_run / "report.html") in text.splitlines()
    updated = read(model_run / "report.html")
    value = EvaluationResult.load(model_run / "evaluation").samples.metrics["frechet"].value
    assert f"FD-pixels {value}" in updated.text
    assert "memorisation by pixels" in updated.text
    metrics = EvaluationResult.load(model_run / "evaluation").samples
    assert spell(evaluation_text.verdict(metrics), on_command_line) in updated.text
    assert len(updated.pictures) == 1
    html_report.write_report(model_run, page_about())  # as a training does
    again = read(model_run / "report.html")
    assert again.text == updated.text
    assert (model_run / "report.html").stat().st_size < 200_000
    storage.write_text(model_run / "report.html", "<html>of another make</html>")
    assert not html_report.update_report(model_run)
    assert (model_run / "report.html").read_text() == "<html>of another make</html>"


def test_damaged_results_are_left_out(tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    begun(tmp_path / "x")
    whole = samples_tree()
    damaged = [
        {"sets": {}},
        {"metrics": {"frechet": {}}},
        {"metrics": {"memorisation": {"kind": "memorisation", "pixels": {"among": 1}}}},
        {"samples": {**whole["samples"], "count": "many"}},
    ]
    cases = ["", "[]", "{}", "nothing", '{"model": 3}', *(json.dumps({**whole, **part}) for part in damaged)]
    for text in cases:
        (folder / "samples.json").write_text(text)
        assert EvaluationResult.load(folder) == EvaluationResult(), text
        assert "Evaluation" not in read(html_report.write_report(tmp_path, page_about())).text
    (folder / "samples.json").write_bytes(b"\xff")
    assert EvaluationResult.load(folder).samples is None
    (folder / "samples.json").write_text(json.dumps(whole))
    (folder / "memorisation.png").write_bytes(b"no picture")
    content = read(html_report.write_report(tmp_path, page_about()))
    assert "FD-lite0 12.35 ± 0.10" in content.text
    assert content.pictures == []
    assert EvaluationResult.load(folder, "abc").samples == FOUND.samples
    assert EvaluationResult.load(folder, "abd").samples is None


def test_what_an_evaluation_names_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    tree = samples_tree(data={"train": evil, "held_out": evil, "notes": [evil]}, notes=[evil])
    storage.write_text(tmp_path / "evaluation" / "samples.json", json.dumps(tree))
    content = read(html_report.write_report(tmp_path, page_about()))
    assert content.words.count(evil) == 4


# -- numbers in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(12.3456, 0.4217, "12.35 ± 0.42"), (1234.5, 67.8, "1,234 ± 68"), (0.5, 0.0123, "0.500 ± 0.012"),
     (1e-7, 2.3e-8, "1e-07 ± 2e-08"), (3.0, 0.0, "3"), (3.0, None, "3"), (-0.001, 0.00123, "-0.0010 ± 0.0012")],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_their_errors_leave(value, error, text):
    assert str(Estimate(value, error)) == text


def test_every_number_of_a_result_is_finite_or_none():
    """Channels that never change have no error, and their drift in errors is infinite."""
    flat = images(20, 0) * 0 + 7
    train = images(40, 1)
    rest = {name: getattr(FOUND.samples, name) for name in ("model", "samples", "data", "extractor")}
    still, both = (SampleMetrics(**vars(state(flat, data)), **rest) for data in (train, train * 0 + 9))
    assert json.loads(still.to_json())["metrics"]["colour"]["samples"]["mean"] == [7.0]
    assert both.colour.sigmas is None
    assert "– standard errors" in evaluation_text.other_metrics(both)["mean of each channel"]
    assert "not measured" in evaluation_text.other_metrics(both)["memorisation by pixels"]
    assert SampleMetrics.from_json(both.to_json()) == both
