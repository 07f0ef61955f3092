"""ONNX files, sampled by numpy and onnxruntime alone: a whole DDIM run from the file's own tables against ours."""

import itertools
import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from ancestral import interop
from ancestral.config import ProcessConfig
from ancestral.errors import InputError
from ancestral.samplers import DDIM
from conftest import untrained


def session(path):
    loaded = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return loaded, {key: json.loads(text) for key, text in loaded.get_modelmeta().custom_metadata_map.items()}


def numpy_ddim(path, x, steps=50, **labels):
    """DDIM's steps as a user would write them, knowing the file and nothing of ancestral."""
    network, about = session(path)
    a, b = about["signal"], about["noise"]
    T = len(a) - 1
    times = [round(T - i * T / steps) for i in range(steps)] + [0]
    p, q = {
        "eps": (lambda t: 0, lambda t: 1),
        "x0": (lambda t: 1, lambda t: 0),
        "v": (lambda t: -b[t], lambda t: a[t]),
    }[about["target"]]
    for t, s in itertools.pairwise(times):
        (output,) = network.run(["output"], {"x": x, "index": np.full(len(x), t - 1), **labels})
        x0 = np.clip((q(t) * x - b[t] * output) / (a[t] * q(t) - b[t] * p(t)), -1, 1)
        x = (a[s] * x0 + b[s] * (x - a[t] * x0) / b[t]).astype(np.float32)
    return x


CASES = {
    "attention": lambda: untrained(),
    "patch, odd sides, labels": lambda: untrained(
        shape=(1, 13, 14), classes=("a", "b"), patch=2, groups=None, process=ProcessConfig("cosine", target="v")
    ),
    "odd sides, three levels": lambda: untrained(shape=(3, 9, 11), mults=(1, 2, 2), process=ProcessConfig(target="x0")),
    "points": lambda: untrained(shape=(2,), process=ProcessConfig(target="x0")),
    "points, labels": lambda: untrained(shape=(2,), classes=("a", "b"), process=ProcessConfig("cosine", 100, "v")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_ddim_run_in_numpy(tmp_path, case):
    model = CASES[case]()
    path = tmp_path / "model.onnx"
    interop.write_onnx(model, path)
    network, about = session(path)
    classes = bool(model.spec.classes)
    assert [value.name for value in network.get_inputs()] == ["x", "index", *["labels"] * classes]
    assert [value.name for value in network.get_outputs()] == ["output"]
    assert {value.shape[0] for value in [*network.get_inputs(), *network.get_outputs()]} == {"batch"}
    assert about["shape"] == list(model.spec.shape)
    assert about["classes"] == list(model.spec.classes)
    assert about["codec"] == model.spec.codec.kind
    assert about["schedule"] == model.denoiser.schedule.spec
    assert about["prior_std"] == 1
    for batch in (1, 3):
        x_T = torch.randn(batch, *model.spec.shape)
        labels = torch.tensor([1, -1, 0])[:batch]
        ours = DDIM(50).sample(model.denoiser, x_T, **({"labels": labels} if classes else {}))
        theirs = numpy_ddim(path, x_T.numpy(), **({"labels": labels.numpy()} if classes else {}))
        assert (ours.abs() < 0.99).any()
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=1e-4)
    if classes:  # the labels are heard
        other = numpy_ddim(path, x_T.numpy(), labels=np.array([0, 1, 1]))
        assert abs(other - theirs).max() > 1e-3


def test_the_command_line(tmp_path, run, refused):
    untrained(shape=(2,)).save(tmp_path / "run" / "model.safetensors")
    assert run("export", tmp_path / "run", "--to", "onnx") == f"{tmp_path / 'run' / 'model.onnx'}\n"
    run("export", tmp_path / "run", "--to", "onnx", "--out", tmp_path / "elsewhere" / "net.onnx")
    assert (tmp_path / "elsewhere" / "net.onnx").is_file()
    (tmp_path / "folder.onnx").mkdir()
    assert "is a folder" in refused("export", tmp_path / "run", "--to", "onnx", "--out", tmp_path / "folder.onnx")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"model.safetensors", "model.onnx"}


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'ancestral\[onnx\]'"):
        interop.write_onnx(untrained(shape=(2,)), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_one_file_cannot_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("ancestral.interop.onnx_file.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="over 2 GB"):
        interop.write_onnx(untrained(shape=(2,)), tmp_path / "model.onnx")
