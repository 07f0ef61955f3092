"""A run that starts from a model, and a run whose settings are in a file."""

import contextlib
import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Message, finish
from ancestral.conditions import Image as ImageCondition
from ancestral.conditions import Vector
from ancestral.data import spec as conditions
from ancestral.declarations import Train
from ancestral.training import Checkpoints, Progress, RunFolder
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training import train as training
from tiny_models import events_of, same_tensors, stripes, untrained

workflow = events_of(Train)

NET = {"width": 16, "mults": (1,), "blocks": 1, "attention": (8,)}
FAST = {"steps": 4, "batch_size": 8, "save_every": 2, "sample_every": 100, "trackers": ("none",), "workers": 0,
        "sampler": "ddim:steps=2", "warmup": 2, "decay": "none", "progress": False, "device": "cpu"}  # fmt: skip


def data(offset=0):
    items = stripes(40)
    return (items.items[offset:], items.labels[offset:])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of four steps with classes."""
    return ancestral.train(
        "arrays", data=data(), out=tmp_path_factory.mktemp("source") / "run", target="v", **NET, **FAST
    )


@pytest.fixture
def source_run(source, tmp_path):
    """The run folder of the source, which a test may remove."""
    return shutil.copytree(source.folder, tmp_path / "source")


def tune(source, out, **options):
    return ancestral.train("arrays", data=data(3), out=out, initial=source, **{**FAST, **options})


def weights(folder):
    return storage.read_tensors(folder / "model.safetensors")[0]


def state(folder, step=None):
    checkpoints = Checkpoints(folder / "checkpoints")
    step = checkpoints.steps()[-1] if step is None else step
    return storage.read_tensors(checkpoints.path(step) / "state.safetensors")[0]


# -- starting from a model --------------------------------------------------------------------------------------------


def test_network_and_average_start_as_the_average_of_the_model(source_run, tmp_path):
    run = tune(source_run, tmp_path / "run", keep=9)
    first = state(tmp_path / "run", 0)
    for name, value in weights(source_run).items():
        assert torch.equal(first[f"net.{name}"], value)
        assert torch.equal(first[f"ema.{name}"], value)
    assert not any(name.startswith("adam.step") for name in first)
    assert run.step == 4
    assert any(not torch.equal(value, weights(source_run)[name]) for name, value in weights(tmp_path / "run").items())
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.net, config.process) == (
        ancestral.load(source_run).config.net,
        ancestral.load(source_run).config.process,
    )
    assert config.initial == configs.InitialConfig(str(source_run), storage.sha256(source_run / "model.safetensors"))
    assert ancestral.load(tmp_path / "run").config.initial == config.initial
    assert f"from the weights of {source_run}" in str(ancestral.info(tmp_path / "run"))
    assert "sha256" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.long
def test_a_model_file_and_a_model_start_the_same_run(source, source_run, tmp_path):
    tune(source_run / "model.safetensors", tmp_path / "a", steps=1)
    tune(source.model, tmp_path / "b", steps=1)
    assert same_tensors(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.parametrize("killed", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_resumed_run_is_the_whole_run_without_the_model_it_started_from(source_run, tmp_path, killed):
    tune(source_run, tmp_path / "whole")
    events = workflow("arrays", data(3), out=tmp_path / "cut", initial=source_run,
                      **{name: value for name, value in FAST.items() if name != "progress"})  # fmt: skip
    steps = 0
    for event in events:
        steps += isinstance(event, Progress)
        if steps == killed:
            break
    events.close()
    shutil.rmtree(source_run)
    ancestral.train("arrays", data=data(3), out=tmp_path / "cut", resume=True, initial=source_run, **FAST)
    assert same_tensors(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert RunFolder(tmp_path / "cut").read_config() == RunFolder(tmp_path / "whole").read_config()


@pytest.mark.long
def test_a_run_that_was_killed_before_it_saved_starts_from_the_model_again(source_run, tmp_path):
    tune(source_run, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints")
    (tmp_path / "cut" / "model.safetensors").unlink()
    options = {"data": data(3), "out": tmp_path / "cut", "resume": True, **FAST}
    ancestral.train("arrays", **options)
    assert same_tensors(state(tmp_path / "whole"), state(tmp_path / "cut"))
    shutil.rmtree(tmp_path / "cut" / "checkpoints")
    (tmp_path / "cut" / "model.safetensors").unlink()
    untrained((1, 8, 8)).save(source_run / "model.safetensors")
    with pytest.raises(InputError, match="has changed: the SHA-256"):
        ancestral.train("arrays", **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 32}, "has width=16, so a run that starts from it cannot have width=32"),
        ({"target": "eps"}, "has target='v', so"),
        ({"schedule": "linear"}, "has schedule='cosine', so"),
        ({"learned_variance": True}, "has learned_variance=False, so"),
        ({"net": "mlp"}, "has net='unet', so"),
        ({"schedule": ancestral.schedules.linear()}, "has another schedule: give it from Python"),
    ],
    ids=str,
)
def test_another_architecture_is_refused_by_name(source_run, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        tune(source_run, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_augmentation_begins_without_a_change_and_goes_on(source_run, tmp_path):
    run = tune(source_run, tmp_path / "run", augment=0.3, keep=9)
    first, before = state(tmp_path / "run", 0), weights(source_run)
    assert all(torch.equal(first[f"net.{name}"], value) for name, value in before.items())
    x, index = torch.randn(2, 1, 8, 8, generator=torch.manual_seed(0)), torch.tensor([3, 700])
    net = run.model.denoiser.net
    net.load_state_dict({name.removeprefix("net."): value for name, value in first.items() if name.startswith("net.")})
    told = net.eval()(x, index, augment=torch.ones(2, 10))
    assert torch.equal(told, ancestral.load(source_run).denoiser.net.eval()(x, index))
    again = tune(tmp_path / "run", tmp_path / "again", steps=2)
    assert again.model.config.data.augment == 0.3  # its network was trained with it
    assert tune(tmp_path / "run", tmp_path / "other", steps=1, augment=0.1).model.config.data.augment == 0.1
    with pytest.raises(InputError, match=r"has augment=0.3, so a run that starts from it cannot have augment=0\.0;"):
        tune(tmp_path / "run", tmp_path / "none", augment=0.0)
    distilled = ancestral.distil(tmp_path / "run", data=data(), out=tmp_path / "fast", stages=1, **FAST)
    assert distilled.model.config.data.augment == 0.3
    assert weights(tmp_path / "fast").keys() == weights(tmp_path / "run").keys()
    assert torch.isfinite(distilled.model.sample(2).float()).all()


def given(scale=1.0, hair=("dark", "fair"), count=37, **more):
    """The data of `tune` with a label, a vector and classes."""
    items, labels = data(40 - count)
    ages = torch.linspace(20, 60, count, dtype=torch.float64) * scale
    names = [hair[row % len(hair)] for row in range(count)]
    return items, {"label": labels, "age": ages, "hair": names, **more}


def answers(net, **conditions):
    x, index = torch.randn(4, 1, 8, 8, generator=torch.manual_seed(0)), torch.tensor([3, 700, 50, 999])
    with torch.no_grad():
        return net.eval()(x, index, labels=torch.tensor([0, 1, -1, 0]), **conditions)


def at_the_start(run):
    """The network of a run as it began."""
    first = state(run.model.file.parent, 0)
    net = run.model.denoiser.net
    net.load_state_dict({name.removeprefix("net."): value for name, value in first.items() if name.startswith("net.")})
    return net


@pytest.fixture(scope="module")
def conditional(source, tmp_path_factory):
    """A run with conditions that starts from the run without, and its messages."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    options = {name: value for name, value in FAST.items() if name != "progress"} | {"keep": 9, "lr": 0.05}
    events = workflow(
        "arrays", given(), given=("upscale:2", "age", "hair"), out=folder, initial=source.folder, **options
    )
    texts = [event.text for event in events if isinstance(event, Message)]
    assert "new conditions: low, age, hair; at first they change nothing, and all other weights are kept" in texts
    return folder


def inputs(model, age, hair, low):
    kinds = model.spec.conditions
    return {
        "age": kinds["age"].encode(torch.tensor(age)),
        "hair": torch.tensor([kinds["hair"].names.index(one) if one else -1 for one in hair]),
        "low": kinds["low"].encode(low, (8, 8)),
    }


AGES, HAIR = [30.0, 50.0, 21.0, 64.0], ["fair", "", "dark", "fair"]
LOW = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8, generator=torch.manual_seed(1))


def test_conditions_of_a_model_without_begin_without_a_change(source, conditional):
    """The untrained network computes what the model did, whatever its conditions, and then they count."""
    model = ancestral.load(conditional, "cpu")
    kept, values = source.model.denoiser.net, inputs(model, AGES, HAIR, LOW)
    trained = answers(model.denoiser.net, **values)
    assert (trained - answers(model.denoiser.net)).abs().max() > 1e-4
    run = ancestral.train("arrays", data=given(), out=conditional, resume=True, **FAST)
    assert torch.equal(answers(at_the_start(run), **values), answers(kept))


@pytest.mark.long
def test_weights_of_conditions_keep_their_meaning(conditional, tmp_path):
    """Other means, another order of classes and new conditions change nothing in what the model computes."""
    before = ancestral.load(conditional, "cpu")
    other = given(scale=3, hair=("fair", "red", "dark"), count=30, size=torch.rand(30))
    options = {**FAST, "keep": 9, "steps": 2}
    more = ("blur:1", "size", "hair", "age", "upscale:2")
    run = ancestral.train("arrays", data=other, given=more, out=tmp_path / "run", initial=conditional, **options)
    spec = run.model.spec
    assert [*spec.further] == ["low", "age", "hair", "blurred", "size"]
    assert spec.conditions["age"].mean == before.spec.conditions["age"].mean
    assert spec.conditions["hair"].names == ("dark", "fair", "red")
    values = inputs(run.model, AGES, HAIR, LOW)
    new = {"size": torch.rand(4, 2), "blurred": torch.rand(4, 2, 8, 8)}
    ours = answers(at_the_start(run), **values, **new)
    theirs = answers(before.denoiser.net, **inputs(before, AGES, HAIR, LOW))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    red = answers(run.model.denoiser.net, **values | {"hair": torch.tensor([2, 2, 2, 2])})
    none = answers(before.denoiser.net, **inputs(before, AGES, [""] * 4, LOW))
    torch.testing.assert_close(red, none, rtol=1e-5, atol=1e-6)
    again = ancestral.train("arrays", data=other, out=tmp_path / "run", resume=True, **{**options, "steps": 3})
    assert again.model.spec == spec


@pytest.mark.long
def test_made_conditions_are_taken_over_and_others_are_needed(conditional, tmp_path):
    run = ancestral.train("arrays", data=given(), out=tmp_path / "run", initial=conditional, **{**FAST, "steps": 1})
    assert tuple(map(str, run.model.config.data.given)) == ("upscale:2", "age", "hair")
    items, columns = given()
    for data_, options, says in (
        (
            (items, {"label": columns["label"], "age": columns["age"]}),
            {"given": ("age", "hair")},
            "no column 'hair'",
        ),
        (given(), {"given": ("age", "hair", "low=upscale:4")}, "low as images of 1x4x4 .* it is images of 1x2x2"),
        ((items, {**columns, "age": torch.rand(37, 2)}), {}, r"age as numbers \(1\), and in .* it is numbers \(2\)"),
        ((items, {**columns, "age": ["x", "y"] * 18 + ["x"]}), {}, "it is classes: give age alike"),
    ):
        with pytest.raises(InputError, match=says) as error:
            ancestral.train("arrays", data=data_, out=tmp_path / "other", initial=conditional, **{**FAST, **options})
        assert "\n" not in str(error.value)
        assert not (tmp_path / "other").exists()


def files(folder, table=None, classes=False):
    """A folder of 12 images, in two classes or none, with a table."""
    folder.mkdir()
    names = [f"{'ab'[row % 2]}/{row}.png" if classes else f"{row}.png" for row in range(12)]
    for name, image in zip(names, stripes(12).items, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / name)
    if table is not None:
        lines = [f"file_name,{table}", *(f"{name},{row}" for row, name in enumerate(names))]
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


CONDITIONS = {
    "age": Vector((40.0,), (12.0,)),
    "edges": ImageCondition(1, sides=(8, 8)),
    "low": ImageCondition(1, sides=(4, 4), made_by="upscale:2"),
}


@pytest.fixture(scope="module")
def knowing(tmp_path_factory):
    """A model with classes, a number of a table, images of a folder that is not there, and a smaller version."""
    path = tmp_path_factory.mktemp("knowing") / "model.safetensors"
    model = untrained((1, 8, 8), ("a", "b"), conditions=CONDITIONS)
    texts = ("age", "edges=/nowhere/edges", "upscale:2")
    model.config = dataclasses.replace(model.config, data=dataclasses.replace(model.config.data, given=texts))
    model.save(path)
    return path


def opened(model, source, tmp_path, **settings):
    """The trainer of a run that starts from a model, and its notes."""
    settings = {"steps": 1, "batch_size": 4, **settings}
    options = Train(config="folder", data=source, out=tmp_path / "run", initial=model, device="cpu", settings=settings)
    plan = training.plan(options)
    setup = finish(training.settle(plan, finish(training.opened(plan))))
    return setup.trainer("cpu"), [note for note in setup.notes if "absent" in note]


@pytest.mark.parametrize(
    ("table", "classes", "settings", "lacking", "given"),
    [
        (None, True, {}, "age, edges", ("upscale:2",)),  # no table
        ("size", True, {}, "age, edges", ("upscale:2",)),  # other columns
        ("age", False, {}, "label, edges", ("age", "upscale:2")),  # no folders of classes
        ("age", True, {"given": ()}, "age, edges", ()),
        ("age", True, {"given": ("age",)}, "edges", ("age",)),  # a part of them
    ],
)
def test_conditions_that_the_data_lack_are_absent(knowing, tmp_path, table, classes, settings, lacking, given):
    trainer, notes = opened(knowing, files(tmp_path / "data", table, classes), tmp_path, **settings)
    assert notes == [f"data lacks {lacking}, which the model knows: it is trained on with {lacking} absent"]
    assert trainer.spec.conditions.keys() == {"label", *CONDITIONS}
    assert tuple(map(str, trainer.config.data.given or ())) == given
    batch = next(trainer.batches)
    values = conditions.inputs(trainer.spec, trainer.spec.codec.encode(batch.items), batch.conditions, 0, 0, range(4))
    for name in CONDITIONS:
        known = values[name].flatten(1)[:, -1]
        assert known.tolist() == [0.0 if name in lacking else 1.0] * 4
    assert bool((batch.labels < 0).all()) == ("label" in lacking)
    trainer.close()


@pytest.mark.long
@pytest.mark.parametrize("source", ["files", "a tensor"])
def test_a_run_without_the_conditions_of_its_model_goes_on_and_is_evaluated(knowing, tmp_path, source):
    items = files(tmp_path / "data") if source == "files" else stripes(12).items
    options = {**FAST, "data": items, "out": tmp_path / "run"}
    run = ancestral.train("folder" if source == "files" else "arrays", initial=knowing, **{**options, "steps": 2})
    assert run.model.spec.conditions == ancestral.load(knowing).spec.conditions
    again = ancestral.train(resume=True, **options)
    assert (again.step, again.model.spec) == (4, run.model.spec)
    measured = {"likelihood": True, "n": 2, "passes": 2, "device": "cpu", "progress": False}
    notes = ancestral.evaluate(tmp_path / "run", data=items, **measured).likelihood.data.notes
    assert any("has no condition age, which the model knows: it is absent there." in note for note in notes)
    assert again.model.sample(2, given={"age": 30.0}, label="a").shape == (2, 1, 8, 8)


def test_a_student_has_the_conditions_of_its_teacher(conditional, tmp_path):
    options = {**FAST, "stages": 1, "steps": 2}
    distilled = ancestral.distil(conditional, data=given(), out=tmp_path / "fast", **options)
    assert [*distilled.model.spec.further] == ["low", "age", "hair"]
    more, red = ("upscale:2", "age", "hair", "blur:1"), given(hair=("dark", "fair", "red"))
    with pytest.raises(InputError, match="was trained without blurred: leave given out"):
        ancestral.distil(conditional, data=given(), given=more, out=tmp_path / "other", **options)
    with pytest.raises(InputError, match="only the classes of hair that it was trained on, and new classes: red"):
        ancestral.distil(conditional, data=red, out=tmp_path / "other", **options)


def test_dropout_and_clipping_may_differ(source_run, tmp_path):
    config = tune(source_run, tmp_path / "run", dropout=0.3, clip=False, steps=1).model.config
    assert (config.net.dropout, config.process.clip) == (0.3, False)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (
            (torch.zeros(20, 5, 12, 12, dtype=torch.uint8), torch.arange(20) % 2),
            "data of 5 channels cannot be given 1",
        ),
        (
            (stripes(20).items.float(), torch.arange(20) % 2),
            "uint8 items of 1x8x8 from 0 to 255, and this data has float",
        ),
    ],
    ids=["shape", "codec"],
)
def test_other_data_are_refused(source_run, tmp_path, items, says):
    if isinstance(items, tuple) and items[0].shape[-1] == 12:
        items[0][:10] = 255
    with pytest.raises(InputError, match=says):
        ancestral.train("arrays", data=items, out=tmp_path / "run", initial=source_run, **FAST)
    assert not (tmp_path / "run").exists()


def named(*classes):
    """Stripes of classes with these names."""
    base = stripes(20)
    return dataclasses.replace(base, labels=torch.arange(20) % len(classes), classes=classes)


@pytest.mark.parametrize(
    ("before", "now", "rows", "says"),
    [
        ("ab", "abc", [0, 1, -1, -1], "new classes: c"),
        ("ab", "ba", [1, 0, -1], "the classes have another order"),
        ("ab", "bz", [1, 0, -1], "class a is now z"),
        ("ab", "xyz", [-1, -1, -1, -1], "classes that are gone: a, b; new classes: x, y, z"),
        ("abcdefgh", "a", [0, -1], "classes that are gone: b, c, d, e, f and 2 more"),
        ("", "ab", [0, 0, 0], "new classes: a, b"),
        ("ab", "", None, "classes that are gone: a, b"),
    ],
)
def test_classes_keep_their_label_embedding_by_name(before, now, rows, says):
    """New ones start as "no class", so that the network computes at first what it did without a label."""
    assert fine_tuning.class_changes(before, now) == says
    others, labels = {"layer.weight": torch.ones(3)}, torch.randn(len(before) + 1, 4)
    weights = {**others, **({"label.weight": labels} if before else {})}
    new = dict(fine_tuning._for_classes(weights, before, now, {"label.weight": torch.ones(len(now) + 1, 4)}))
    if rows is not None:
        assert torch.equal(new.pop("label.weight"), (labels if before else torch.zeros(1, 4))[rows])
    assert new == others


def test_other_classes_have_a_new_label_embedding_and_all_other_weights_are_kept(tmp_path):
    options = {**{name: value for name, value in FAST.items() if name != "progress"}, "steps": 2}
    with contextlib.closing(workflow("arrays", named("a", "b"), out=tmp_path / "a", **NET, **options)) as events:
        finish(events)
    events = workflow("arrays", named("a", "b", "c"), out=tmp_path / "b", initial=tmp_path / "a", keep=9, **options)
    texts = [event.text for event in events if isinstance(event, Message)]
    assert sum(text.startswith("new classes: c; new ones start from") for text in texts) == 1
    old, new = weights(tmp_path / "a"), state(tmp_path / "b", 0)
    assert torch.equal(new.pop("net.label.weight"), old["label.weight"][[0, 1, -1, -1]])
    assert {name[4:] for name in new if name.startswith("net.")} == old.keys() - {"label.weight"}
    assert all(torch.equal(new[f"net.{name}"], value) for name, value in old.items() if name != "label.weight")
    model = ancestral.load(tmp_path / "b")
    assert (model.step, model.spec.classes) == (2, ("a", "b", "c"))


def test_a_teacher_of_other_classes_is_refused(source, tmp_path):
    with pytest.raises(InputError, match="only the classes that it was trained on, and new classes: c"):
        ancestral.distil(source.model, named("0", "1", "c"), out=tmp_path / "fast", progress=False, device="cpu")
    assert not (tmp_path / "fast").exists()


def test_a_run_that_began_otherwise(source_run):
    with pytest.raises(InputError, match="started from random weights, so it cannot go on from nowhere"):
        ancestral.train("arrays", data=data(), out=source_run, resume=True, initial="nowhere", **FAST)


@pytest.mark.long
def test_a_schedule_of_tables_is_that_of_the_model_file(tmp_path):
    """As models that were imported from diffusers have it."""
    base = ancestral.schedules.linear(1000)
    odd = dataclasses.replace(base, noise=base.noise * 0.99)
    model = untrained((1, 8, 8))
    model.denoiser.schedule = odd
    model.save(tmp_path / "odd.safetensors")
    options = {"data": stripes().items, "initial": tmp_path / "odd.safetensors", **FAST, "steps": 1}
    schedule = ancestral.load(options["initial"]).denoiser.schedule
    with pytest.raises(InputError, match="has another schedule"):
        ancestral.train("arrays", out=tmp_path / "a", schedule=dataclasses.replace(base), **options)
    for out, parts in (("b", {}), ("c", {"schedule": schedule})):
        run = ancestral.train("arrays", out=tmp_path / out, **parts, **options)
        assert torch.equal(run.model.denoiser.schedule.noise, odd.noise)


class Own(torch.nn.Module):
    def __init__(self, shape=(1, 8, 8), classes=0):
        super().__init__()
        self.layer = torch.nn.Conv2d(shape[0], shape[0], 3, padding=1)

    def forward(self, x, index):
        return self.layer(x)


class Labelled(Own):
    def forward(self, x, index, labels):
        return self.layer(x)


def test_a_network_of_ones_own_keeps_its_classes(tmp_path):
    options = {**FAST, "steps": 1, "net": Labelled()}
    ancestral.train("arrays", named("a", "b"), out=tmp_path / "a", **options)
    with pytest.raises(InputError, match="only the classes that it was trained on, and new classes: c; give"):
        ancestral.train("arrays", named("a", "b", "c"), out=tmp_path / "b", initial=tmp_path / "a", **options)


def test_a_network_of_ones_own_is_given_again(tmp_path):
    first = ancestral.train("arrays", data=stripes().items, out=tmp_path / "a", net=Own, **FAST)
    second = ancestral.train(
        "arrays", data=stripes().items, out=tmp_path / "b", net=Own, initial=tmp_path / "a", keep=9, **FAST
    )
    assert second.model.config.initial.model == str(tmp_path / "a")
    assert torch.equal(state(tmp_path / "b", 0)["net.layer.weight"], weights(tmp_path / "a")["layer.weight"])
    with pytest.raises(InputError, match="a custom network"):
        ancestral.train("arrays", data=stripes().items, out=tmp_path / "c", initial=tmp_path / "a", **FAST)
    assert first.parameters == second.parameters


def test_from_the_command_line(run, source_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", images=data()[0].numpy(), labels=data()[1].numpy())
    words = ["train", "--data", "data.npz", "--from", source_run, "--out", "tuned", "--steps", 2, "--batch-size", 4,
             "--trackers", "none", "--device", "cpu"]  # fmt: skip
    text = run(*words)
    assert f"starting from the averaged weights of {source_run}, step 4 (SHA-256 " in text
    shutil.rmtree(source_run)
    assert "going on from step 2" in run(*words[:7], "--steps", 3, *words[9:], "--resume")
    assert ancestral.load("tuned").step == 3
    assert ancestral.load("tuned").config.initial.model == str(source_run)


# -- settings in a file -----------------------------------------------------------------------------------------------


def file(path, **tree):
    path.write_text(json.dumps(tree))
    return path


def test_settings_in_a_file_change_a_preset(tmp_path):
    path = file(tmp_path / "a.json", preset="points", steps=7, net={"width": 32}, train={"lr": 0.5}, data="swissroll")
    expected = configs.preset("points").with_settings(steps=7, width=32, lr=0.5, source="swissroll")
    assert configs.read_config(path) == expected
    assert configs.read_config(path, configs.preset("points")) == expected
    assert configs.read_config(file(path, data="moons")).preset == "points"
    assert configs.read_config(file(path, steps=3), source="x.npz").preset == "arrays"
    assert configs.read_config(file(path, net="mlp")).net == configs.MLPConfig()
    assert configs.read_config(file(path, net={"kind": "mlp", "width": 6})).net == configs.MLPConfig(width=6)


def test_options_win_over_the_file(run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file(tmp_path / "a.json", preset="points", steps=2, batch_size=4, width=16, trackers=["none"])
    run("train", "--config", "a.json", "--steps", 3, "--device", "cpu")
    config = RunFolder(tmp_path / "runs" / "points").read_config()
    assert (config.preset, config.train.steps, config.net.width, config.train.batch_size) == ("points", 3, 16, 4)
    run("train", "--config", "runs/points/config.json", "--out", "again", "--device", "cpu")
    assert RunFolder(tmp_path / "again").read_config() == config
    assert same_tensors(weights(tmp_path / "runs" / "points"), weights(tmp_path / "again"))
    assert "Already at step 3" in run("train", "--config", "a.json", "--steps", 3, "--resume", "--device", "cpu")
    file(tmp_path / "a.json", width=32)
    assert "--width 16" in refused("train", "points", "--config", "a.json", "--resume", "--device", "cpu")
    result = ancestral.train("runs/points/config.json", out="third", steps=1, progress=False)
    assert (result.model.config.net, result.steps) == (config.net, 1)


@pytest.mark.long
def test_the_config_of_a_fine_tuned_run_starts_from_the_same_model(source_run, tmp_path):
    tune(source_run, tmp_path / "a")
    config = str(RunFolder(tmp_path / "a").config)
    ancestral.train(config, data=data(3), out=tmp_path / "b", progress=False)
    assert same_tensors(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert RunFolder(tmp_path / "b").read_config().initial.model == str(source_run)


def test_a_stopped_run_of_no_preset_says_a_command_that_resumes_it(run, tmp_path):
    config = dataclasses.replace(configs.preset("points"), preset="mine").with_settings(trackers=("none",), width=16)
    messages, interrupted = [], False
    for event in workflow(config, out=tmp_path / "run", device="cpu"):
        if isinstance(event, Message):
            messages.append(event.text)
        elif isinstance(event, Progress) and not interrupted:  # a second one would interrupt at once
            interrupted = True
            signal.raise_signal(signal.SIGINT)
    assert messages[-1].endswith(f"ancestral train --out {tmp_path / 'run'} --resume")
    assert "Already at step" in run("train", "--out", tmp_path / "run", "--resume", "--steps", 1, "--device", "cpu")


@pytest.mark.long
def test_the_size_of_images_is_that_of_the_model(tmp_path, monkeypatch):
    """And the path to the model is absolute, so the config can be used from another folder."""
    rng = np.random.default_rng(0)
    (tmp_path / "pics").mkdir()
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / "pics" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    tiny = {"steps": 1, "batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100, "progress": False}
    ancestral.train(data="pics", out="a", image_size=16, **tiny)
    run = ancestral.train(data="pics", out="b", initial="a", steps=1, batch_size=4, sample_every=100, progress=False)
    assert run.model.spec.shape == (3, 16, 16)
    assert run.model.config.initial.model == str(tmp_path / "a")


def test_new_words_come_behind_those_of_the_model_which_keep_their_embedding(tmp_path):
    """Before the weights change, a text of known words gives the samples that it gave."""
    captions = [f"a {('thin', 'wide')[row % 2]} stripe {row}" for row in range(40)]

    def run(name, **options):
        data = (stripes(40).items, {"caption": captions})
        return ancestral.train("arrays", data=data, out=tmp_path / name, **{**FAST, **options})

    before = run("a", **NET)
    captions[5:8] = [f"a zigzag stripe {letter}" for letter in "abc"]
    tuned = run("b", initial=before.folder, steps=1, lr=1e-30)
    old, new = (one.model.spec.conditions["caption"] for one in (before, tuned))
    assert new.vocabulary[: len(old.vocabulary)] == old.vocabulary
    assert "▁zigzag" in new.vocabulary[len(old.vocabulary) :]
    texts = {"caption": ["a wide stripe 3", "a thin stripe"]}
    assert torch.equal(before.model.sample(2, given=texts), tuned.model.sample(2, given=texts))
