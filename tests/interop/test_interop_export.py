"""A folder for diffusers, loaded by diffusers: the same image from the same noise, and what cannot be said so."""

import dataclasses
import errno
import json
import os
import re
import shlex
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import ancestral
import ancestral.base.storage
from ancestral import config as configs
from ancestral import interop, schedules, targets
from ancestral.base.errors import InputError
from ancestral.conditions import Image, Vector, Words
from ancestral.config import ProcessConfig
from ancestral.declarations import Export
from ancestral.diffusion import Diffusion
from ancestral.samplers import DDIM, DDPM, Consistency
from ancestral.schedules import Schedule
from ancestral.use_cases import export
from tiny_models import events_of, untrained

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of its own dependencies
    from diffusers import DDIMPipeline, DDPMPipeline

PROCESSES = [ProcessConfig("linear", target="eps"), ProcessConfig("cosine", target="v"), ProcessConfig(target="x0")]


def with_schedule(model, schedule, target=None):
    model.denoiser = Diffusion(model.denoiser.net, schedule, target or model.denoiser.target).eval()
    return model


def load(pipeline, folder):
    loaded = pipeline.from_pretrained(folder)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def drawn(pipeline, seed=5, **options):
    """Two images of a pipeline, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    images = pipeline(2, generator=generator, output_type="np", **options).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def ours(model, sampler, seed=5, label=None):
    """The same two images by our sampler, from the noise that the pipeline's generator gives."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, *model.spec.shape)
    condition = {} if label is None else {"labels": torch.tensor([label, label])}
    x_T = torch.randn(shape, generator=generator)
    noise = lambda size: torch.randn(size, generator=generator)  # noqa: E731
    x = sampler.sample(model.denoiser, x_T, noise=noise, **condition)
    return (x / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: f"{p.schedule}, {p.target}")
def test_ddim_draws_the_same_image(tmp_path, process):
    model = untrained(process=process)
    interop.write_pipeline(model, tmp_path / "out")
    pipeline = load(DDIMPipeline, tmp_path / "out")
    theirs = drawn(pipeline, num_inference_steps=20, use_clipped_model_output=True)
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours(model, DDIM(20)), theirs, rtol=0, atol=1e-4)
    noisy = drawn(pipeline, num_inference_steps=10, eta=0.7, use_clipped_model_output=True)
    torch.testing.assert_close(ours(model, DDIM(10, eta=0.7)), noisy, rtol=0, atol=1e-4)


def test_with_a_patch_the_images_of_the_pipeline_are_folded(tmp_path, run):
    """The same image from the same noise, once its channels are pixels again; read back it is the same network."""
    model = untrained(shape=(3, 8, 12), patch=2, process=ProcessConfig("cosine", target="v"))
    model.save(tmp_path / "model.safetensors")
    out = run("export", tmp_path, "--to", "diffusers", "--out", tmp_path / "out")
    assert "torch.nn.functional.pixel_shuffle(images, 2)" in out
    folded = drawn(load(DDIMPipeline, tmp_path / "out"), num_inference_steps=10, use_clipped_model_output=True)
    assert folded.shape == (2, 12, 4, 6)
    noise = torch.randn(2, 12, 4, 6, generator=torch.Generator().manual_seed(5))
    x = DDIM(10).sample(model.denoiser, torch.nn.functional.pixel_shuffle(noise, 2))
    theirs = torch.nn.functional.pixel_shuffle(folded, 2)
    assert theirs.std() > 0.05
    torch.testing.assert_close((x / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-4)
    read, _ = interop.read_pipeline(tmp_path / "out")
    assert read.spec.shape == (3, 8, 12)
    assert read.config.net.patch == 2
    for name, value in model.denoiser.net.state_dict().items():
        assert torch.equal(read.denoiser.net.state_dict()[name], value), name


@pytest.mark.parametrize(("method", "sampler"), [("progressive", DDIM(3)), ("consistency", Consistency(1))])
def test_a_distilled_model_is_sampled_in_few_steps_as_the_command_says(tmp_path, method, sampler):
    model = untrained(process=ProcessConfig("cosine", target="v"))
    model.config = dataclasses.replace(model.config, distil=configs.DistilConfig(method, 2, evaluations=3))
    model.save(tmp_path / "model.safetensors")
    events = list(events_of(Export)(tmp_path / "model.safetensors", out=tmp_path / "out"))
    (options,) = re.findall(r"DDIMPipeline.*\)\((.*)\)$", events[-1].text)
    pipeline = load(DDIMPipeline, tmp_path / "out")
    theirs = drawn(pipeline, **eval(f"dict({options})"))
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours(model, sampler), theirs, rtol=0, atol=1e-3)  # its float32 table of ᾱ in long steps


@pytest.mark.slow
@pytest.mark.parametrize(("process", "rounding"), [(PROCESSES[0], 1e-4), (PROCESSES[1], 5e-4)], ids=["eps", "v"])
def test_ddpm_draws_the_same_image_after_1000_steps(tmp_path, process, rounding):
    """With its own float32 table of ᾱ, which a cosine wears down at small t, and with that table in float64."""
    model = untrained(shape=(1, 8, 4), mults=(1,), attention=(), process=process)
    interop.write_pipeline(model, tmp_path / "out")
    pipeline = load(DDPMPipeline, tmp_path / "out")
    theirs = drawn(pipeline, num_inference_steps=1000)
    assert theirs.std() > 0.05
    image = ours(model, DDPM())
    torch.testing.assert_close(image, theirs, rtol=0, atol=rounding)
    pipeline.scheduler.alphas_cumprod = model.denoiser.schedule.alpha_bar[1:].clone()
    torch.testing.assert_close(image, drawn(pipeline, num_inference_steps=1000), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spacing", [pytest.param("from_betas", marks=pytest.mark.long), "capped cosine"])
def test_other_schedules_are_written_out(tmp_path, spacing):
    schedule = {
        "from_betas": schedules.from_betas((torch.rand(60, dtype=torch.float64) * 0.2 + 0.01).tolist()),
        "capped cosine": schedules.cosine(50, offset=0.02, max_beta=0.9),
    }[spacing]
    model = with_schedule(untrained(), schedule)
    interop.write_pipeline(model, tmp_path / "out")
    pipeline = load(DDPMPipeline, tmp_path / "out")
    assert len(pipeline.scheduler.config.trained_betas) == schedule.steps
    theirs = drawn(pipeline, num_inference_steps=schedule.steps)
    torch.testing.assert_close(ours(model, DDPM()), theirs, rtol=0, atol=1e-4)


def test_no_signal_at_the_end_is_written_out(tmp_path):
    """A schedule whose x_T is pure noise, as a model that predicts v can have."""
    signal = torch.cos(torch.linspace(0, 1, 51, dtype=torch.float64) * torch.pi / 2)
    signal[-1] = 0
    schedule = Schedule(signal, (1 - signal**2).sqrt(), spec={"name": "none"})
    model = with_schedule(untrained(), schedule, targets.V)
    interop.write_pipeline(model, tmp_path / "out")
    theirs = drawn(load(DDIMPipeline, tmp_path / "out"), num_inference_steps=25, use_clipped_model_output=True)
    torch.testing.assert_close(ours(model, DDIM(25)), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "of", [pytest.param("linear", marks=pytest.mark.long), pytest.param("cosine", marks=pytest.mark.slow)]
)
def test_zero_terminal_snr_goes_there_and_back(tmp_path, of):
    """By diffusers' own flag: the same image, and the same table again when it is imported."""
    process = ProcessConfig(of, 1000, "v", zero_terminal_snr=True)
    model = untrained(process=process)
    interop.write_pipeline(model, tmp_path / "out")
    pipeline = load(DDIMPipeline, tmp_path / "out")
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    theirs = drawn(pipeline, num_inference_steps=50, use_clipped_model_output=True)
    torch.testing.assert_close(ours(model, DDIM(50)), theirs, rtol=0, atol=1e-4)
    again, _ = interop.read_pipeline(tmp_path / "out")
    assert torch.equal(again.denoiser.schedule.signal, model.denoiser.schedule.signal)


@pytest.mark.parametrize(("label", "number"), [("b", 1), ("0", 0), ("none", -1)])
def test_one_class_is_built_in(tmp_path, label, number):
    model = untrained(classes=("a", "b"))
    torch.nn.init.normal_(model.denoiser.net.label.weight)
    interop.write_pipeline(model, tmp_path / "out", label)
    theirs = drawn(load(DDIMPipeline, tmp_path / "out"), num_inference_steps=10, use_clipped_model_output=True)
    torch.testing.assert_close(ours(model, DDIM(10), label=number), theirs, rtol=0, atol=1e-4)
    other = ours(model, DDIM(10), label=0 if number else 1)
    assert (other - theirs).abs().max() > 1e-3


def test_the_augmentation_is_built_in_as_none(tmp_path):
    model = untrained(augment=0.1)
    assert any("of_augment" in name for name, _ in model.denoiser.named_parameters())
    interop.write_pipeline(model, tmp_path / "out")
    theirs = drawn(load(DDIMPipeline, tmp_path / "out"), num_inference_steps=10, use_clipped_model_output=True)
    torch.testing.assert_close(ours(model, DDIM(10)), theirs, rtol=0, atol=1e-4)
    name = "conditioning.embeddings.of_augment.2.bias"
    dict(model.denoiser.net.named_parameters())[name].data.zero_()  # it counts
    assert (ours(model, DDIM(10)) - theirs).abs().max() > 1e-3


def test_the_command_line_writes_beside_the_run(run, tmp_path):
    folder = tmp_path / "run"
    untrained().save(folder / "model.safetensors")
    text = run("export", folder)
    assert text.splitlines()[0] == str(folder / "diffusers")
    written = {str(path.relative_to(folder / "diffusers")) for path in (folder / "diffusers").rglob("*.*")}
    assert written == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    }
    run("export", folder, "--out", tmp_path / "elsewhere")
    assert json.loads((tmp_path / "elsewhere" / "unet" / "config.json").read_text())["sample_size"] == 8
    assert (folder / "diffusers").stat().st_mode & 0o777 == folder.stat().st_mode & 0o777


@pytest.mark.long
def test_diffusers_is_not_needed(tmp_path):
    untrained().save(tmp_path / "model.safetensors")
    code = (
        "import sys; sys.modules['diffusers'] = None\n"
        f"from ancestral.faces.command import run; run(['export', {str(tmp_path)!r}])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / "diffusers" / "model_index.json").is_file()


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: untrained(shape=(3, 9, 8)), "image-size 10"),
        (lambda: untrained(groups=None), "--groups 4"),
        (lambda: untrained(shape=(2,)), "of the class MLP"),
        (lambda: untrained(classes=("a", "b")), "label a, b or none"),
        (lambda: with_schedule(untrained(), exploding()), "schedule exploding does not keep"),
        (lambda: with_schedule(untrained(), schedules.linear(), STRAIGHT), "target straight"),
        (lambda: learned(untrained()), "variance that the network predicts"),
        (
            lambda: untrained(conditions={"low": Image(3), "age": Vector((0.0,), (1.0,))}),
            "takes no conditions but classes, and this model has low, age; export with",
        ),
        (
            lambda: untrained(conditions={"caption": Words(("\u2581a", "\u2581cat"), 4)}),
            "takes no conditions but classes, and this model has caption; export with",
        ),
    ],
)
def test_what_diffusers_cannot_hold_is_refused_by_name(tmp_path, model, says):
    with pytest.raises(InputError, match=says) as refusal:
        interop.write_pipeline(model(), tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


STRAIGHT = targets.Target("straight", lambda a, b: -1.0, lambda a, b: 1.0)


def exploding():
    sigma = torch.linspace(0, 50, 101, dtype=torch.float64)
    return Schedule(torch.ones_like(sigma), sigma, prior_std=50.0, spec={"name": "exploding"})


def learned(model):
    model.denoiser.learned_variance = True
    return model


def test_an_unknown_label_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no class 'c'"):
        interop.write_pipeline(untrained(classes=("a", "b")), tmp_path / "out", "c")
    with pytest.raises(InputError, match="without classes"):
        interop.write_pipeline(untrained(), tmp_path / "out", "c")


REFUSALS = {
    "export tiny --out new": "group norms have 4, 8 groups",
    "export tiny --to tensorflow": "--to",
    "export tiny --to onnx --label 0": "leave --label out",
    "export tiny --to onnx --out x.pt": "ends in .onnx",
    "export tiny --to onnx --out net.onnx": "net.onnx exists already; give --out another name, or remove the file",
    "export tiny --to onnx --out folder.onnx": "is a folder",
    "export nowhere": "no run folder",
    "export run --out taken": "not empty",
    "export run --out net.onnx": "net.onnx exists already",
    "export run --to diffusers --out net.onnx": "is a file",
}


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A working folder with models and what lies there already."""
    place = tmp_path_factory.mktemp("refusals")
    untrained().save(place / "run" / "model.safetensors")
    (place / "tiny").mkdir()
    (place / "tiny" / "model.safetensors").write_bytes(tiny_run.model.read_bytes())
    for name in ("net.onnx", "taken/mine.txt", "folder.onnx/mine.txt"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("another")
    return place


@pytest.mark.parametrize("command", REFUSALS)
def test_what_cannot_be_exported_is_refused_in_one_line(folder, refused_in, command):
    assert REFUSALS[command] in refused_in(folder, command)


def test_a_full_disk_leaves_nothing_behind(refused, tmp_path, monkeypatch):
    untrained().save(tmp_path / "run" / "model.safetensors")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ancestral.base.storage.os, "fsync", full)
    line = refused("export", tmp_path / "run")
    assert "No space left" in line
    assert line.count("could not write") == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.safetensors"]


def test_groups_reach_every_norm_and_old_configs_have_none(tmp_path):
    model = untrained(groups=8)
    norms = [m for m in model.denoiser.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert {norm.num_groups for norm in norms} == {8}
    tree = json.loads(model.config.to_json())
    del tree["net"]["groups"]
    assert ancestral.config.Config.from_json(json.dumps(tree)).net.groups is None
    with pytest.raises(InputError, match="groups=3 does not divide"):
        untrained(groups=3)
    assert dataclasses.asdict(model.config)["net"]["groups"] == 8


# -- the format that fits ---------------------------------------------------------------------------------------------


def test_the_default_format_is_the_one_that_holds_the_model(run, tmp_path, monkeypatch):
    models = {
        "plain": (untrained(), "diffusers", "which can hold this model"),
        "folded": (untrained(patch=2), "model.onnx", "folded by 2x2 pixels"),
        "classes": (untrained(classes=("cat", "dog")), "model.onnx", "it takes no classes: --label cat builds one in"),
        "latent": (untrained(latent=2), "model.onnx", "it is a model of latents"),
    }
    for name, (model, _, _) in models.items():
        model.save(tmp_path / name / "model.safetensors")

    def written(_model, path):
        path.touch()
        return [path]

    for kind in ("onnx", "pt2"):  # whose own tests read what they write
        monkeypatch.setitem(export.NETWORK_FILES, kind, written)
    monkeypatch.chdir(tmp_path)
    for name, (_, file, reason) in models.items():
        path, line, *_ = run("export", name).splitlines()
        assert path == f"{name}/{file}"
        assert (tmp_path / path).exists()
        assert line.startswith(f"The format is {'diffusers' if file == 'diffusers' else 'onnx'}, ")
        assert reason in line
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert "ONNX needs two more packages: " in (text := run("export", "folded"))
    assert text.splitlines()[0] == "folded/model.pt2"
    for words, path in (("--out a.pt2", "a.pt2"), ("--out folder --label cat", "folder/model_index.json")):
        assert "The format is" not in run("export", "classes", *words.split())
        assert (tmp_path / path).exists()


def test_the_command_of_a_refusal_runs_as_it_stands(refused, run, tmp_path, monkeypatch):
    """In the folder of the first run, whose place is taken; diffusers can hold the model that it trains."""
    monkeypatch.chdir(tmp_path)
    arrays = {"steps": 1, "batch_size": 2, "width": 16, "mults": (1,), "blocks": 1, "preview_steps": 1}
    np.save("items.npy", np.random.default_rng(0).integers(0, 255, (6, 1, 12, 12), np.uint8))
    ancestral.train("items.npy", out="runs/items", trackers="none", threads=1, progress=False, **arrays)
    line = refused("export", "runs/items", "--out", "folder")
    words = shlex.split(re.search(r"this command trains one that it can: ancestral (.*) \(or", line)[1])
    assert words[-2:] == ["--out", "runs/items-diffusers"]
    run(*words)
    assert "runs/items-diffusers/diffusers\n" in run("export", "runs/items-diffusers", "--to", "diffusers")
