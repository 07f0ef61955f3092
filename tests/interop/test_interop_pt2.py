"""torch.export files, loaded by processes that have PyTorch alone, compared with our denoiser and our samplers."""

import dataclasses
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from ancestral import interop
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector, Words
from ancestral.config import Config, ProcessConfig, TransformerConfig
from ancestral.data.spec import Codec, DataSpec
from ancestral.interop.exported_network import ExportedDenoiser, example_conditions
from ancestral.model import Model, build
from tiny_models import untrained, wake

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "export-import.md").read_text(encoding="utf-8")
PROGRAM = re.search(r"^```python\n(import json\nfrom pathlib import Path\n\nimport torch.*?)^```", PAGE, re.M | re.S)[1]
LOADED = """\
import sys, torch
denoiser = torch.export.load("model.pt2").module()
with torch.no_grad():
    answers = [denoiser(*inputs) for inputs in torch.load("inputs.pt", weights_only=True)]
torch.save(answers, "answers.pt")
print({"ancestral"} & {*sys.modules})
"""
CONDITIONS = {
    "hair": Classes(("dark", "fair")),
    "pose": Vector((3.0, -1.0), (2.0, 0.5)),
    "low": Image(1, (0.0, 255.0), (4, 4)),
    "caption": Words(("\u2581a", "\u2581red", "\u2581circle", "\u2581c", "ub", "e"), 6),
}


def transformer():
    config = dataclasses.replace(
        Config(), net=TransformerConfig(width=16, depth=1, heads=2, patch=2), process=ProcessConfig(target="x0")
    )
    spec = DataSpec((1, 8, 8), Codec("uint8"), ("a", "b"), conditions=CONDITIONS)
    model = Model(build(config, spec), spec, config)
    wake(model.diffusion.net)
    return model


CASES = {
    "points, scaled": lambda: untrained(shape=(2,), process=ProcessConfig("karras", 100, "edm")),
    "points, labels": lambda: untrained(shape=(2,), classes=("a", "b"), process=ProcessConfig("cosine", 100, "v")),
    "a U-Net, all conditions": lambda: untrained((1, 8, 8), ("a", "b"), conditions=CONDITIONS),
    "a transformer, all conditions": transformer,
    "signals, augmented": lambda: untrained(shape=(2, 16), augment=0.1, process=ProcessConfig("flow", 50, "flow")),
    "volumes, learned variance": lambda: untrained(
        shape=(1, 8, 8, 8), process=ProcessConfig(target="x0", learned_variance=True)
    ),
}


@pytest.mark.long  # each takes a process that imports PyTorch
@pytest.mark.parametrize("case", CASES)
def test_a_process_with_torch_alone_has_the_same_answers(tmp_path, case):
    model = CASES[case]()
    for parameter in model.diffusion.net.conditioning.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert interop.write_pt2(model, tmp_path / "model.pt2") == [tmp_path / "model.pt2"]
    batches = []
    for n in (1, 5):
        x, t = torch.randn(n, *model.spec.x_shape), torch.linspace(1, model.denoiser.schedule.steps, n).long()
        batches.append((x, t, {name: _values(one, n) for name, one in example_conditions(model).items()}))
    torch.save(batches, tmp_path / "inputs.pt")
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout == "set()\n", done.stderr
    tables = ExportedDenoiser(model.diffusion)
    for (x, t, given), answers in zip(batches, torch.load(tmp_path / "answers.pt", weights_only=True), strict=True):
        with torch.no_grad():
            ours = model.diffusion.predict(x, t, **given)
            without = model.diffusion.predict(x, t, **{name: torch.full_like(one, -1) for name, one in given.items()})
        x0, eps, *fraction = answers
        for theirs, right, table in ((x0, ours.x0, tables.x0_of_answer), (eps, ours.eps, tables.eps_of_answer)):
            enlarged = (1 + table[t - 1].abs()).reshape(-1, *[1] * (x.ndim - 1))  # rounding, by the solve
            assert ((theirs - right).abs() / (enlarged * (1 + right.abs()))).max() < 1e-6
        assert [torch.allclose(one, ours.variance_fraction, atol=1e-6) for one in fraction] == (
            [True] * model.diffusion.learned_variance
        )
        assert not given or (x0 - without.x0).abs().max() > 1e-4  # they are heard


def _values(example, n):
    """Values of a condition that are there: numbers, or places in a table."""
    shape = (n, *example.shape[1:])
    return torch.rand(shape) if example.is_floating_point() else torch.arange(n * example[0].numel()).reshape(shape) % 2


@pytest.mark.parametrize(
    "case", ["points, labels", pytest.param("latents", marks=pytest.mark.long), "points, scaled", "fresh noise"]
)
def test_the_program_of_the_page_samples_as_the_package_does(tmp_path, monkeypatch, case):
    fresh = {"sampler": "ddim:steps=6,eta=0.5,clip=none"} if case == "fresh noise" else {}
    made = {
        "latents": lambda: untrained(
            shape=(3, 17, 14), latent=2, mults=(1,), process=ProcessConfig("cosine", target="v")
        ),
        "fresh noise": lambda: untrained(shape=(2,), process=ProcessConfig("cosine", target="x0")),
        **CASES,
    }
    model = made[case]()
    if fresh:
        model.config = dataclasses.replace(model.config, sample=dataclasses.replace(model.config.sample, **fresh))
    written = interop.write_pt2(model, tmp_path / "model.pt2")
    assert [path.name for path in written] == ["model.pt2", *(["model.decoder.pt2"] if case == "latents" else [])]
    assert PROGRAM.count("runs/photos/model.pt2") == 1
    found = {}
    exec(PROGRAM.replace("runs/photos/model.pt2", str(tmp_path / "model.pt2")), found)
    about = found["about"]
    assert about["inputs"] == ["x_t", "t", *found["given"]]
    assert about["shape"] == list(model.spec.x_shape)
    assert all(key in about for key in re.findall(r"[a-z_]{4,}(?=\[|, unless)", about["sampling"]))
    generator = torch.Generator().manual_seed(0)
    x_T = about["prior_std"] * torch.randn(16, *model.spec.x_shape, generator=generator)
    ours = model.sampler().sample(
        model.denoiser, x_T, noise=lambda shape: torch.randn(shape, generator=generator), **found["given"]
    )
    items = model.spec.codec.decode(model.spec.from_x(ours).detach())
    close = {"rtol": 1e-4, "atol": 1e-3 if model.spec.codec.kind == "float" else 1}  # a value is rounded the other way
    torch.testing.assert_close(found["items"].double(), items.double(), **close)


def test_a_file_holds_nothing_pickled_and_no_path(tmp_path):
    interop.write_pt2(untrained(shape=(2,), classes=("a", "b")), tmp_path / "model.pt2")
    with zipfile.ZipFile(tmp_path / "model.pt2") as file:
        parts = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
        names = {name.partition("/")[0] for name in file.namelist()}
    assert len(names) == 1
    assert tmp_path.name not in names.pop()
    configs = [json.loads(part)["config"] for name, part in parts.items() if name.endswith("_config.json")]
    assert len(configs) == 2
    assert not any(one["use_pickle"] for config in configs for one in config.values())
    assert not any(part.startswith((b"\x80", b"PK")) for part in parts.values() if part)
    assert parts["data/sample_inputs/model.pt"] == b""
    assert str(tmp_path).encode() not in b"".join(parts.values())


def test_the_command_line(tmp_path, run, refused):
    untrained(shape=(2,)).save(tmp_path / "run" / "model.safetensors")
    path = tmp_path / "run" / "model.pt2"
    assert run("export", tmp_path / "run", "--to", "pt2") == (
        f"{path}\nLoad it with:  torch.export.load({str(path)!r}).module()\n"
    )
    (tmp_path / "folder.pt2").mkdir()
    assert "is a folder" in refused("export", tmp_path / "run", "--to", "pt2", "--out", tmp_path / "folder.pt2")
    assert "ends in .pt2" in refused("export", tmp_path / "run", "--to", "pt2", "--out", tmp_path / "model.onnx")
    assert {each.name for each in (tmp_path / "run").iterdir()} == {"model.safetensors", "model.pt2"}


def test_the_model_stays_as_it_is(tmp_path):
    model = untrained(shape=(2,))
    before = {name: value.data_ptr() for name, value in model.diffusion.state_dict().items()}
    interop.write_pt2(model, tmp_path / "model.pt2")
    assert {name: value.data_ptr() for name, value in model.diffusion.state_dict().items()} == before
    with pytest.raises(InputError, match="is a folder"):
        interop.write_pt2(model, tmp_path)
