"""ONNX files, sampled by numpy and onnxruntime alone: the program of the page with the file's own recipe, and ours."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from ancestral import interop
from ancestral.base.errors import InputError, install_command
from ancestral.conditions import Classes, Image, Vector, Words
from ancestral.config import Config, ProcessConfig, TransformerConfig
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, build
from tiny_models import untrained, wake

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "export-import.md").read_text(encoding="utf-8")
PROGRAM = re.search(r"^```python\n(import json.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]
READ_WORDS = re.search(r"^```python\n(import re.*?)^for name", PAGE, re.MULTILINE | re.DOTALL)[1]


RECIPE = ("prior_std", "shape", "times", "fresh_noise_std", "output_scale", "input_scale", "target_x0", "target_eps")
RECIPE += ("signal", "noise", "clip", "decoder", "limits")
"""What the recipe in words names."""


def program(path):
    """The program of the page, for another file."""
    assert PROGRAM.count("runs/photos/model.onnx") == 1
    return PROGRAM.replace("runs/photos/model.onnx", str(path))


def session(path):
    loaded = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return loaded, {key: json.loads(text) for key, text in loaded.get_modelmeta().custom_metadata_map.items()}


def sampled_by(model, sampler):
    """The model with another sampler of its own."""
    model.config = dataclasses.replace(model.config, sample=dataclasses.replace(model.config.sample, sampler=sampler))
    return model


CASES = {
    "attention": lambda: untrained(),
    "patch, odd sides, labels, augmented": lambda: untrained(
        shape=(1, 13, 14),
        classes=("a", "b"),
        augment=0.1,
        mults=(1,),
        patch=2,
        groups=None,
        process=ProcessConfig("cosine", target="v"),
    ),
    "odd sides, three levels": lambda: untrained(shape=(3, 9, 11), mults=(1, 2, 2), process=ProcessConfig(target="x0")),
    "points": lambda: untrained(shape=(2,), process=ProcessConfig(target="x0")),
    "points, labels": lambda: untrained(shape=(2,), classes=("a", "b"), process=ProcessConfig("cosine", 100, "v")),
    "scaled input and output": lambda: untrained(shape=(2,), process=ProcessConfig("karras", 100, "edm")),
    "a score, no more steps than T": lambda: untrained(shape=(2,), process=ProcessConfig("geometric", 30, "score")),
    "learned variance": lambda: untrained(shape=(2,), process=ProcessConfig(target="x0", learned_variance=True)),
    "consistency": lambda: sampled_by(
        untrained(shape=(2,), process=ProcessConfig("flow", 100, "x0")), "consistency:steps=4"
    ),
    "ddim with noise, without a clip": lambda: sampled_by(
        untrained(shape=(2,), process=ProcessConfig("cosine", target="x0")), "ddim:steps=6,eta=0.5,clip=none"
    ),
    "latents, odd sides": lambda: untrained(
        shape=(3, 17, 14), latent=2, mults=(1,), process=ProcessConfig("cosine", target="v")
    ),
    "another sampler": lambda: sampled_by(untrained(shape=(2,), process=ProcessConfig(target="x0")), "heun"),
}
QUICK = ("patch", "points, labels", "another", "latents")
"""Beginnings of the cases that CI runs."""


@pytest.mark.long
@pytest.mark.parametrize(
    "case", [case if case.startswith(QUICK) else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_the_program_of_the_page_samples_as_the_package_does(tmp_path, case):
    model = CASES[case]()
    path = tmp_path / "model.onnx"
    interop.write_onnx(model, path)
    network, about = session(path)
    classes = bool(model.spec.classes)
    assert [value.name for value in network.get_inputs()] == ["x", "index", *["labels"] * classes]
    assert [value.name for value in network.get_outputs()] == ["output"]
    assert {value.shape[0] for value in [*network.get_inputs(), *network.get_outputs()]} == {"batch"}
    assert about["shape"] == list(model.spec.x_shape)
    assert about["classes"] == list(model.spec.classes)
    assert about["codec"] == model.spec.codec.kind
    assert about["schedule"] == model.denoiser.schedule.spec
    assert about["sampler"].split(":")[0] == model.config.sample.sampler.split(":")[0].replace("heun", "ddim")
    assert all(key in about and key in about["sampling"] for key in RECIPE)
    found = {}
    exec(program(path), found)
    normal = np.random.default_rng(0).standard_normal
    x_T = model.denoiser.schedule.prior_std * normal((16, *model.spec.x_shape))
    sampler = model.sampler(None if about["sampler"].startswith(model.config.sample.sampler[:4]) else "ddim")
    labels = {"labels": torch.arange(16) % len(model.spec.classes)} if classes else {}
    ours = sampler.sample(
        model.denoiser, torch.tensor(x_T, dtype=torch.float32), noise=lambda shape: torch.tensor(normal(shape)).float(),
        **labels,
    )  # fmt: skip
    assert (ours.abs() < 0.99).any()
    ours = model.spec.from_x(ours).detach()
    np.testing.assert_allclose(found["x"], ours.numpy(), rtol=1e-4, atol=2e-4)
    items = model.spec.codec.decode(ours).numpy()
    assert found["items"].shape == items.shape
    if model.spec.codec.kind == "uint8":
        assert found["items"].dtype == np.uint8
        assert abs(found["items"].astype(int) - items).max() <= 1
    if classes:  # the labels are heard
        inputs = {"x": x_T.astype(np.float32), "index": np.full(16, 3)}
        one, other = (network.run(None, {**inputs, "labels": np.full(16, label)})[0] for label in (0, 1))
        assert abs(one - other).max() > 1e-3


CONDITIONS = {
    "hair": Classes(("dark", "fair")),
    "pose": Vector((3.0, -1.0), (2.0, 0.5)),
    "low": Image(1, (0.0, 255.0), (4, 4)),
    "part": Image(2, (-1.0, 3.0), (8, 8), masked=True),
    "caption": Words(("\u2581a", "\u2581red", "\u2581circle", "\u2581c", "ub", "e"), 6),
}
TEXTS = ["a red circle", "A RED\u00a0cube!", "", "cubecube circle a red a red a red", "rΩd Ω"]


@pytest.mark.long
@pytest.mark.parametrize("case", ["points", "unet", "transformer"])
def test_each_condition_is_an_input_that_the_metadata_describe(tmp_path, case):
    """Values in the units of the data become inputs by the metadata alone; absent ones are as those of our network."""
    points = case == "points"
    kinds = {name: kind for name, kind in CONDITIONS.items() if not (points and isinstance(kind, Image))}
    if case == "transformer":
        net = TransformerConfig(width=16, depth=1, heads=2, patch=2)
        config = dataclasses.replace(Config(), net=net)
        spec = DataSpec((1, 8, 8), Codec("uint8"), ("a", "b"), conditions=kinds)
        model = Model(build(config, spec), spec, config)
        wake(model.diffusion.net)
    else:
        model = untrained((2,) if points else (1, 8, 8), ("a", "b"), conditions=kinds)
    for parameter in model.diffusion.net.conditioning.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    interop.write_onnx(model, tmp_path / "model.onnx")
    network, about = session(tmp_path / "model.onnx")
    assert [value.name for value in network.get_inputs()] == ["x", "index", "labels", *kinds]
    rng, n, sides = np.random.default_rng(0), 5, model.spec.shape[1:]
    raw = {
        "hair": np.array([1, 0, -1, 1, 0]),
        "pose": rng.normal(size=(n, 2)),
        "low": rng.integers(0, 256, (n, 1, 4, 4)),
        "part": np.concatenate([rng.uniform(-1, 3, (n, 1, 8, 8)), np.full((n, 1, 8, 8), 3.0)], 1),
        "caption": kinds["caption"].read(TEXTS).numpy(),
    }
    exec(READ_WORDS, program_of_words := {"np": np})
    ones = np.ones((n, 1, *sides))
    made, ours = {}, {}
    for name, kind in kinds.items():
        said = about["conditions"][name]
        assert said["kind"] == type(kind).__name__
        value = raw[name]
        if said["kind"] == "Vector":
            value = np.concatenate([(value - said["mean"]) / said["std"], np.ones((n, 1))], 1)
        if said["kind"] == "Image":
            low, high = said["limits"]
            value = -1 + 2 * (value - low) / (high - low)
            assert said["sides"] == [*value.shape[2:]]
            if value.shape[2:] != sides:
                value = F.interpolate(torch.tensor(value), sides, mode="bilinear").numpy()
            value = np.concatenate([value, ones], 1)
        if said["kind"] == "Words":
            value = program_of_words["read"](TEXTS, said)
        made[name] = value.astype(said["dtype"])
        assert made[name].shape == (n, *said["shape"])
        tensor = torch.tensor(raw[name])
        ours[name] = kind.encode(tensor.byte() if name == "low" else tensor, sides)
        np.testing.assert_allclose(made[name], ours[name].numpy(), atol=1e-6)
    x, index, labels = rng.normal(size=(n, *model.spec.shape)).astype(np.float32), np.arange(n) * 9, np.arange(n) % 2

    def answers(conditions):
        nothing = {
            name: np.full((n, *said["shape"]), said["absent"], said["dtype"])
            for name, said in about["conditions"].items()
        }
        (theirs,) = network.run(None, {"x": x, "index": index, "labels": labels, **nothing, **conditions})
        with torch.no_grad():
            right = model.diffusion.net(
                torch.tensor(x), torch.tensor(index), torch.tensor(labels), **{name: ours[name] for name in conditions}
            )
        np.testing.assert_allclose(theirs, right.numpy(), rtol=1e-4, atol=1e-5)
        return theirs

    without = answers({})
    answers(made)
    for name, value in made.items():
        assert abs(answers({name: value}) - without).max() > 1e-4, name
    found = {}
    exec(program(tmp_path / "model.onnx"), found)
    assert np.isfinite(found["x"]).all()


@pytest.mark.long
def test_the_program_needs_neither_torch_nor_this_package(tmp_path):
    interop.write_onnx(untrained(shape=(2,)), tmp_path / "model.onnx")
    code = program("model.onnx") + "import sys\nprint({'torch', 'ancestral'} & {*sys.modules}, items.shape)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout == "set() (16, 2)\n", done.stderr


@pytest.mark.long
def test_the_command_line(tmp_path, run):
    untrained(shape=(2,)).save(tmp_path / "run" / "model.safetensors")
    assert run("export", tmp_path / "run", "--to", "onnx") == f"{tmp_path / 'run' / 'model.onnx'}\n"
    run("export", tmp_path / "run", "--to", "onnx", "--out", tmp_path / "elsewhere" / "net.onnx")
    assert (tmp_path / "elsewhere" / "net.onnx").is_file()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"model.safetensors", "model.onnx"}


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=re.escape(install_command("onnx"))):
        interop.write_onnx(untrained(shape=(2,)), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_one_file_cannot_hold(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is called output, as a condition"):
        interop.write_onnx(untrained(shape=(2,), conditions={"output": CONDITIONS["hair"]}), tmp_path / "model.onnx")
    monkeypatch.setattr("ancestral.interop.exported_network.MOST_ONNX_BYTES", 1000)
    with pytest.raises(InputError, match="over 2 GB"):
        interop.write_onnx(untrained(shape=(2,)), tmp_path / "model.onnx")
