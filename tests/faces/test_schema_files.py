"""JSON Schemas that the site publishes, compared with what the readers of the files accept."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

import ancestral
from ancestral.base.errors import InputError
from ancestral.base.fields import check_ranges
from ancestral.base.registries import COUPLINGS, SAMPLERS, SCHEDULES
from ancestral.base.result import SITE, schema_address
from ancestral.config import NET_KINDS, PRESETS, Config, base_config, preset
from ancestral.config.request import EditRequest, ImageRef, Request
from ancestral.faces.schema_files import result_kinds, schema_files
from ancestral.results import EvaluationResult, SampleMetrics
from shared_fixtures import json_schemas

ROOT = Path(__file__).parents[2]
SAVED = ROOT / "tests" / "files" / "evaluation"
VALUES = (None, True, -1, 3, 0.5, 10**6, "x", "", [], [8], [8, 8], ["x"], {}, {"x": 1})
"""Values that some fields take, and others refuse."""


@functools.cache
def refusal(name, text):
    error = best_match(json_schemas()[schema_address(name)].iter_errors(json.loads(text)))
    return None if error is None else f"{error.json_path}: {error.message}"


def refusal_of(name, tree):
    return refusal(name, json.dumps(tree))


def test_the_schemas_are_schemas_of_what_this_version_writes():
    for name, schema in schema_files().items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == schema_address(name)
        assert schema["title"]
        assert schema["description"]
    names = {kind.SCHEMA for kind in result_kinds()}
    assert (
        {"recipe-2", "samples-2", "compare-2", "editing-1", "sampling-1"} <= names == schema_files().keys() - {"config"}
    )
    for kind in result_kinds():
        assert kind.head()["schema"] == schema_files()[kind.SCHEMA]["properties"]["schema"]["const"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_config_of_every_preset_is_valid(name):
    text = preset(name).to_file_text()
    assert refusal("config", text) is None
    assert Config.from_json(text) == preset(name)


@pytest.mark.parametrize(
    "tree",
    [
        {"$schema": schema_address("config"), "preset": "digits", "steps": 200, "net": {"width": 64}},
        {"preset": "folder", "data": "photos", "net": "transformer", "depth": 3, "latent": 4},
        {"kind": "mlp", "source": "moons", "schedule": "karras:rho=5", "image_size": [32, 48]},
        {"train": {"lr": 1}, "sampler": "heun:steps=18,churn=10", "latent": {"latent": "runs/a"}},
    ],
)
def test_files_with_some_settings_are_valid(tree, tmp_path):
    assert refusal_of("config", tree) is None
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(tree))
    base_config(file=file)  # reads it too


@pytest.mark.parametrize("kind", NET_KINDS)
def test_the_schema_of_a_config_refuses_what_the_reader_refuses(kind):
    """Each setting gets each of some values; image_size, layout, scale and crop are text of a form of its own."""
    whole = json.loads(Config().with_net(kind).to_json())
    sections = [name for name, part in whole.items() if isinstance(part, dict)]
    compared = []
    for section in sections if kind == "unet" else ["net"]:
        for name in whole[section].keys() - {"image_size", "layout", "scale", "crop", "kind"}:
            for value in VALUES:
                tree = {**whole, section: {**whole[section], name: value}}
                accepted = _accepted(tree)
                assert (refusal_of("config", tree) is None) == accepted, (section, name, value)
                compared.append(accepted)
    assert {True, False} == set(compared)


def _accepted(tree):
    with contextlib.suppress(InputError):
        config = Config.from_json(json.dumps(tree))
        for section in vars(config).values():
            if dataclasses.is_dataclass(section):
                check_ranges(section)
        SAMPLERS.read(config.sample.sampler)
        COUPLINGS.read(config.train.coupling)
        if config.process.schedule != "custom":
            SCHEDULES.read(config.process.schedule)
        return True
    return False


PLAIN = Request.of(n=4, seed=3, label="7", given={"low": "a.png"}).replace(sampler="heun:steps=18,churn=10")
RECIPES = {
    "plain": PLAIN,
    "without a sampler": Request.of(guidance={"label": 2, "low": 1}, indices=[7, 9], guidance_interval=(0.1, 3)),
    "conditions": dataclasses.replace(
        PLAIN,
        given={"low": (ImageRef("low.png", "0123456789abcdef"),), "pose": ("1,2",)},
        avoid={"caption": ("blue",)},
        label=("7", "none"),
    ),
    "a cascade": dataclasses.replace(PLAIN, then={"a" * 64: "ddim:steps=20"}, weak="b" * 64),
    "a branch of a branch": dataclasses.replace(PLAIN, parent=dataclasses.replace(PLAIN, parent=PLAIN, at=0), at=5),
    "a table": dataclasses.replace(PLAIN, sweep={"guidance": (1, 2.5), "label": ("7", 3)}),
    "an edit": PLAIN.of_edit(
        EditRequest("inpaint", {"mask": ImageRef("m.png", "0" * 16)}, "std", "jfps", window="1,2,3,4", soften=2), {}
    ),
    "a custom method": PLAIN.of_edit(EditRequest("restore", method="my.module:method", operator="grey"), {}),
    "a walk": PLAIN.of_edit(EditRequest("interpolate", part="film", t=500.0), {}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_valid(name):
    text = RECIPES[name].to_json()
    assert refusal(Request.SCHEMA, text) is None
    assert json.loads(text)["$schema"] == schema_address(Request.SCHEMA)
    assert Request.from_json(text).to_json() == text
    tree = json.loads(text)
    del tree["$schema"]
    assert Request.from_json(json.dumps(tree)).to_json() == text  # the address is for editors alone
    assert refusal_of(Request.SCHEMA, {**tree, "of_a_newer_version": 1}) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("$.seed", {"seed": "3"}),
        ("$.sampler", {"sampler": "hein"}),
        ("$.guidance_rescale", {"guidance_rescale": 1.5}),
        ("$.parent", {"parent": {"seed": 3}}),
        ("$.edit.method", {"edit": {"task": "restore", "method": "best"}}),
        ("$.edit.strength", {"edit": {"task": "vary", "strength": 2}}),
        ("$.given.low", {"given": {"low": "a.png"}}),
        ("$.schema", {"schema": "recipe-1"}),
    ],
)
def test_bad_recipes_are_invalid(name, change):
    assert refusal_of(Request.SCHEMA, json.loads(PLAIN.to_json()) | change).startswith(f"{name}:")


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.pop("sets"),
        lambda tree: tree["metrics"].update(mine={"kind": "class_accuracy"}),
        lambda tree: tree["samples"].update(count="many"),
        lambda tree: tree["samples"].update(count=True),
        lambda tree: tree["metrics"]["kernel"].update(title=3),
        lambda tree: tree["metrics"]["kernel"]["value"].update(error="small"),
        lambda tree: tree.update(notes="none"),
        lambda tree: tree.update(schema="samples-3"),
    ],
)
def test_a_bad_result_is_invalid_as_it_is_refused(change):
    tree = json.loads((SAVED / "samples.json").read_text(encoding="utf-8"))
    assert refusal_of("samples-2", tree) is None
    change(tree)
    assert refusal_of("samples-2", tree)
    with pytest.raises(InputError):
        SampleMetrics.from_json(json.dumps(tree))


def test_results_inside_results_are_valid():
    whole = EvaluationResult.load(SAVED)
    assert refusal("evaluation-2", whole.to_json()) is None
    assert refusal("likelihood-1", whole.likelihood.to_json()) is None
    tree = json.loads(whole.to_json())
    tree["likelihood"]["bits_per_dim"]["total"]["mean"] = "585"
    assert refusal_of("evaluation-2", tree).startswith("$.likelihood")


def test_a_run_names_the_schema_of_its_config_in_the_file_alone(tiny_run):
    text = tiny_run.config.read_text(encoding="utf-8")
    assert json.loads(text)["$schema"] == schema_address("config")
    config = tiny_run.read_config()
    tree = json.loads(text)
    del tree["$schema"]
    assert Config.from_json(json.dumps(tree)) == config == Config.from_json(text)
    assert Config.from_json(json.dumps(tree)).identity() == config.identity()
    assert "$schema" not in ancestral.load(tiny_run.path, "cpu").config.to_json()
    tiny_run.config.write_text(text.replace(SITE, "https://example.org/"), encoding="utf-8")
    assert tiny_run.read_config() == config  # its digest is that of the settings
    tiny_run.config.write_text(text, encoding="utf-8")
