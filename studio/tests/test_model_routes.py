"""What the controls of a model are made from, and what is refused."""

import dataclasses
import io
import json

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import ancestral
from ancestral import config as configs
from ancestral.conditions import Image as ImageCondition
from ancestral.conditions import Vector
from ancestral.model import sampler_name
from ancestral.samplers import BY_NAME, from_name
from ancestral.training import RunFolder, Trainer
from ancestral_studio.model_description import model_description
from ancestral_studio.restored_recipe import restored, sampler_words
from studio_client import studio
from tiny_models import conditional_stripes, tiny_config, untrained

SAMPLERS = [*BY_NAME, "ddim:steps=7,eta=0.3", "heun:rtol=0.01", "heun:churn=10,spacing=logsnr", "ddpm:variance=small"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_words_of_a_sampler_make_it_again(name):
    sampler = from_name(name)
    words = sampler_words(sampler_name(sampler))
    text = words.pop("sampler")
    assert from_name(text, **words) == sampler
    assert len(text) <= max(len("heun:churn=10.0,spacing=logsnr"), len(name) + 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A studio over two runs: one with conditions, and one of data outside the folders that were named."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    trainer = Trainer(tiny_config(), conditional_stripes(), "cpu")
    run = RunFolder(folder / "stripes")
    run.begin(trainer.config)
    list(trainer.run(run))
    data = configs.DataConfig(source=str(tmp_path_factory.mktemp("private")))
    model = untrained((1, 8, 8))
    model.config = configs.Config(data=data, net=model.config.net)
    (folder / "outside").mkdir()
    model.save(folder / "outside" / "model.safetensors")
    (folder / "outside" / "config.json").write_text(model.config.to_json())
    with studio(folder, out=tmp_path_factory.mktemp("studio")) as (server, client):
        ids = {path.name: number for number, path in server.state.places.runs().items()}
        yield server, client, ids, folder


def test_a_model_is_described_for_its_controls(place):
    _, client, ids, _ = place
    model = client.get(f"/api/runs/{ids['stripes']}/model").json
    assert (model["shape"], model["classes"]) == ([1, 8, 8], ["0", "1"])
    kinds = {name: kind["kind"] for name, kind in model["conditions"].items()}
    assert kinds == {"colour": "classes", "angle": "vector", "caption": "words", "low": "image", "hole": "image"}
    assert model["conditions"]["angle"]["std"][0] > 0
    assert model["conditions"]["hole"]["made_by"] == "mask"
    assert {"jfps", "trained"} <= {method["name"] for method in model["methods"]}
    assert model["tasks"]["vary"] == ["window", "soften", "strength"]
    assert all(sampler["steps"] <= model["timesteps"] for sampler in model["samplers"])


def test_a_slider_ends_where_the_data_of_the_model_end(tmp_path):
    kinds = {"age": Vector.of(torch.tensor([[3.0], [98.0]])), "old": Vector((0.0,), (1.0,))}
    untrained((2,), conditions=kinds).save(tmp_path / "model.safetensors")
    shown = model_description(tmp_path / "model.safetensors")["conditions"]
    assert (shown["age"]["low"], shown["age"]["high"]) == ((3.0,), (98.0,))
    assert shown["old"]["low"] == ()


def test_training_items_outside_the_named_folders_are_not_shown(place):
    _, client, ids, _ = place
    job = client.start("sample", model=ids["outside"], n=1, steps=1)
    client.end(job)
    answer = client.get(f"/api/runs/{ids['outside']}/nearest?entry={job}&index=0&k=3")
    assert answer.status == 403
    assert "outside the folders" in answer.line
    assert client.get(f"/api/runs/{ids['outside']}/items/0").status == 403


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        ("/api/runs/0000000000000000/model", 404, "no such run"),
        ("/api/runs/{stripes}/nearest?entry=x&index=one&k=3", 400, "index is a whole number"),
        (f"/api/runs/{{stripes}}/nearest?entry=x&index={'9' * 5000}&k=3", 400, "index is a whole number"),
        (f"/api/runs/{{stripes}}/items/{'9' * 20}", 400, "an item is a whole number"),
    ],
    ids=["run", "index", "an index of 5000 digits", "an item beyond 64 bits"],
)
def test_what_is_not_there_is_said(place, path, status, line):
    _, client, ids, _ = place
    answer = client.get(path.format(**ids))
    assert answer.status == status
    assert line in answer.line


def test_recipes_that_are_none_are_refused(place):
    _, client, _, _ = place
    assert client.post("/api/recipe", {"upload": "../../secret"}).status == 404
    plain, deep = io.BytesIO(), io.BytesIO()
    Image.new("L", (4, 4)).save(plain, "PNG")
    number = client.ask("PUT", "/api/uploads?name=plain.png", plain.getvalue()).json["id"]
    assert "holds no recipe" in client.post("/api/recipe", {"upload": number}).line
    info = PngInfo()
    info.add_text("ancestral", json.dumps({"schema": "recipe-2", "model": "<b>", "seed": "x"}))
    Image.new("L", (4, 4)).save(deep, "PNG", pnginfo=info)
    number = client.ask("PUT", "/api/uploads?name=deep.png", deep.getvalue()).json["id"]
    answer = client.post("/api/recipe", {"upload": number})
    assert (answer.status, "\n" in answer.line) == (400, False)


def test_a_recipe_finds_the_weaker_model(place, tmp_path):
    _, client, ids, folder = place
    ancestral.sample(
        folder / "stripes", 2, steps=2, weak=folder / "stripes", guidance=1.5, label="1", out=tmp_path / "a.png"
    )
    number = client.ask("PUT", "/api/uploads?name=a.png", (tmp_path / "a.png").read_bytes()).json["id"]
    recipe = client.post("/api/recipe", {"upload": number}).json
    assert recipe["missing"] == []
    assert recipe["options"]["weak"] == ids["stripes"]
    assert (recipe["run"], recipe["options"]["guidance"], recipe["options"]["label"]) == (
        ids["stripes"],
        ["1.5"],
        ["1"],
    )


def test_a_recipe_of_a_table_has_its_axes(tiny_run, tmp_path):
    """What is swept is no option of its own, though the recipe names the sampler with all its settings."""
    options = {"steps": None, "sweep": "steps=2:4:2", "by": "label=1,none", "n": 2, "seed": 3}
    ancestral.sample(tiny_run.path, out=tmp_path / "table.png", **options)
    recipe = restored(tmp_path / "table.png", {"tiny": tiny_run.path}, [])
    assert {name: recipe.options.get(name) for name in ("sweep", "by", "steps", "label")} == {
        **{"sweep": "steps=2,4", "by": "label=horizontal,none", "steps": None, "label": None}
    }
    ancestral.sample(tiny_run.path, out=tmp_path / "again.png", **recipe.options)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "table.png").read_bytes()


def test_a_recipe_of_a_cascade_leaves_each_model_its_sampler(tmp_path):
    low = ImageCondition(1, sides=(4, 4), made_by="upscale:2")
    models = {"small": untrained((1, 4, 4)), "large": untrained((1, 8, 8), conditions={"low": low})}
    for sampler, (name, model) in zip(("ddim:steps=2", "heun:steps=2"), models.items(), strict=True):
        model.config = dataclasses.replace(model.config, sample=configs.SampleConfig(sampler))
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.safetensors")
    runs = {name: tmp_path / name for name in models}
    for number, options in enumerate(({}, {"sampler": "ddim"})):
        out = tmp_path / f"{number}.png"
        ancestral.sample(tmp_path / "small", 1, then=tmp_path / "large", out=out, **options)
        recipe = restored(out, runs, [])
        assert recipe.missing == ()
        assert recipe.options["then"] == ["large"]
        assert recipe.options.get("sampler") == options.get("sampler")
        again = {name: value for name, value in recipe.options.items() if name not in ("then", "seed")}
        again = {name: tuple(value) if isinstance(value, list) else value for name, value in again.items()}
        ancestral.sample(tmp_path / "small", then=tmp_path / "large", out=tmp_path / "again.png", **again)
        assert (tmp_path / "again.png").read_bytes() == out.read_bytes()
        (tmp_path / "again.png").unlink()
