"""Folders that diffusers saved, read without it: the same output, nothing lost on the way there and back, refusals."""

import copy
import json
import shutil
import warnings

import pytest
import torch

import ancestral
from ancestral import interop, schedules
from ancestral.base import storage
from ancestral.interop import scheduler, unet2d
from tiny_models import untrained, wake

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of its own dependencies
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, PNDMScheduler, UNet2DModel

PAPER = {
    "act_fn": "silu",
    "norm_eps": 1e-6,
    "attention_head_dim": None,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
}
TINY = {
    **PAPER,
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
CIFAR10 = {
    **PAPER,
    "sample_size": 32,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
CELEBAHQ = {
    **PAPER,
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": ("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
}
"""google/ddpm-cifar10-32's and google/ddpm-celebahq-256's settings."""


def saved(folder, settings=TINY, process=None, pipeline=DDPMPipeline):
    """A pipeline of random weights, saved by diffusers, and its network."""
    net = wake(UNet2DModel(**settings)).eval()
    pipeline(net, process or DDPMScheduler(variance_type="fixed_large")).save_pretrained(folder)
    return net


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline") / "tiny"
    return folder, saved(folder)


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tiny pipeline to damage."""
    return shutil.copytree(tiny[0], tmp_path / "copy")


def agree(model, net, size):
    """The two networks on the same noise, at two times."""
    x, index = torch.randn(2, 3, size, size), torch.tensor([3, 870])
    with torch.no_grad():
        theirs, ours = net(x, index).sample, model.denoiser.net(x, index)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def change(path, **values):
    tree = json.loads(path.read_text())
    for key, value in values.items():
        if value is ...:
            del tree[key]
        else:
            tree[key] = value
    path.write_text(json.dumps(tree))


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "size"),
    [(CIFAR10, 32), pytest.param(CELEBAHQ, 64, marks=pytest.mark.slow)],
    ids=["CIFAR-10", "CelebA-HQ, on 64x64"],
)
def test_the_networks_of_the_paper(tmp_path, run, settings, size):
    net = saved(tmp_path / "ddpm", settings)
    run("import", tmp_path / "ddpm", "--out", tmp_path / "run")
    model = ancestral.load(tmp_path / "run", "cpu")
    assert model.spec.shape == (3, settings["sample_size"], settings["sample_size"])
    assert model.config.net.attention == (16,)
    assert model.denoiser.schedule.spec == schedules.linear().spec
    agree(model, net, size)


def test_an_imported_run_samples_and_says_what_it_is(tiny, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = run("import", tiny[0])
    assert text.splitlines() == ["runs/tiny", "Try:  ancestral sample runs/tiny"]
    assert {path.name for path in (tmp_path / "runs" / "tiny").iterdir()} == {"model.safetensors", "config.json"}
    run("sample", "runs/tiny", "-n", 2, "--steps", 2, "--out", "two.npz")
    about = run("info", "runs/tiny")
    assert "elsewhere; imported from tiny" in about
    assert "linear, T = 1000" in about
    assert "uint8" in about
    model = ancestral.load("runs/tiny", "cpu")
    assert (model.config.preset, model.step, model.spec.classes, model.spec.mean) == ("imported", 0, (), ())
    assert ancestral.config.Config.from_json((tmp_path / "runs" / "tiny" / "config.json").read_text()) == model.config


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sample_size": (8, 12)},
        {"in_channels": 1, "out_channels": 1, "dropout": 0.25},
        {"attention_head_dim": 32},
        {"block_out_channels": (16,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)},
        {"down_block_types": ("AttnDownBlock2D",) * 2, "up_block_types": ("AttnUpBlock2D",) * 2, "layers_per_block": 2},
    ],
    ids=str,
)
def test_there_and_back_loses_nothing(tmp_path, settings):
    process = DDPMScheduler(variance_type="fixed_large", timestep_spacing="trailing")
    saved(tmp_path / "theirs", TINY | settings, process)
    model, remarks = interop.read_pipeline(tmp_path / "theirs")
    assert remarks == []
    interop.write_pipeline(model, tmp_path / "again")
    before, after = (
        storage.read_tensors(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")[0]
        for name in ("theirs", "again")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    before, after = (
        UNet2DModel.from_pretrained(tmp_path / name, subfolder="unet").config for name in ("theirs", "again")
    )
    differ = {key for key in before if not key.startswith("_") and before[key] != after[key]}
    assert differ <= {"attention_head_dim"}
    before, after = (DDPMScheduler.from_pretrained(tmp_path / n, subfolder="scheduler") for n in ("theirs", "again"))
    assert {k: v for k, v in before.config.items() if k[0] != "_"} == {
        k: v for k, v in after.config.items() if k[0] != "_"
    }


@pytest.mark.parametrize("net", [{}, {"mults": (1, 2, 2), "attention": (2,), "blocks": 2}])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 4)])
def test_out_and_in_again_loses_nothing(tmp_path, net, shape):
    model = untrained(shape=shape, **net)
    interop.write_pipeline(model, tmp_path / "out")
    again, _ = interop.read_pipeline(tmp_path / "out")
    assert again.config.net == model.config.net
    assert again.config.process == model.config.process
    assert again.spec == model.spec
    assert again.denoiser.schedule.spec == model.denoiser.schedule.spec
    before, after = model.denoiser.net.state_dict(), again.denoiser.net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "process",
    [
        DDPMScheduler(beta_start=2e-4, beta_end=0.01),
        DDPMScheduler(num_train_timesteps=400, beta_end=0.05, prediction_type="v_prediction"),
        DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample"),
        DDPMScheduler(num_train_timesteps=77, beta_schedule="squaredcos_cap_v2"),
        PNDMScheduler(),
        DDPMScheduler(num_train_timesteps=4, trained_betas=[0.1, 0.2, 0.15, 0.5]),
    ],
    ids=lambda value: f"{type(value).__name__} {value.config.beta_schedule} {value.config.num_train_timesteps}",
)
def test_schedules_both_ways(tmp_path, process):
    process.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "scheduler_config.json").read_text())
    schedule, target = scheduler.from_config(config)
    assert ((process.betas.double() - schedule.beta[1:]) / schedule.beta[1:]).abs().max() < 1e-6
    assert process.config.prediction_type == scheduler.PREDICTION[target.name]
    written = scheduler.to_config(schedule, target)
    again = DDPMScheduler.from_config(written)
    assert torch.equal(again.betas, process.betas)
    assert again.config.beta_schedule == ("linear" if config["trained_betas"] else config["beta_schedule"])
    assert again.config.trained_betas == config["trained_betas"]
    for key in ("beta_start", "beta_end"):
        assert "linear" not in again.config.beta_schedule or again.config[key] == process.config[key]
    assert again.config.prediction_type == process.config.prediction_type


@pytest.mark.long
def test_whole_trajectories_are_the_same(tmp_path):
    saved(tmp_path / "p", process=DDIMScheduler(num_train_timesteps=400, timestep_spacing="trailing"),
          pipeline=DDIMPipeline)  # fmt: skip
    model, _ = interop.read_pipeline(tmp_path / "p")
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "p")
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        2, torch.Generator().manual_seed(1), num_inference_steps=50, use_clipped_model_output=True, output_type="np"
    ).images
    x_T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = ancestral.samplers.DDIM(50).sample(model.denoiser, x_T)
    theirs = torch.from_numpy(theirs).permute(0, 3, 1, 2)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-4)


def test_early_pipelines_in_one_folder(tiny, tmp_path):
    for path in tiny[0].rglob("*.*"):
        shutil.copy(path, tmp_path / path.name)
    model, _ = interop.read_pipeline(tmp_path)
    agree(model, tiny[1], 8)
    (tmp_path / "model_index.json").unlink()
    agree(interop.read_pipeline(tmp_path)[0], tiny[1], 8)


@pytest.mark.parametrize("convolutions", [False, True])
def test_old_names_of_attention(folder, tiny, convolutions):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, metadata = storage.read_tensors(path)
    old = {}
    for name, tensor in tensors.items():
        for before, after in unet2d.OLD_NAMES.items():
            if f".{after}." in name:
                name = name.replace(f".{after}.", f".{before}.")
                tensor = tensor[:, :, None, None] if convolutions and tensor.ndim == 2 else tensor
        old[name] = tensor
    assert len(old.keys() - tensors.keys()) == 8 * 4  # four attentions, of four layers of two tensors
    storage.write_tensors(path, old, metadata)
    agree(interop.read_pipeline(folder)[0], tiny[1], 8)


def test_half_precision_is_read_as_float32(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, metadata = storage.read_tensors(path)
    storage.write_tensors(path, {name: tensor.half() for name, tensor in tensors.items()}, metadata)
    model, _ = interop.read_pipeline(folder)
    state = model.denoiser.net.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert torch.equal(state["stem.weight"], tensors["conv_in.weight"].half().float())


def test_what_the_scheduler_asks_of_sampling_is_said(folder, tmp_path, run):
    change(folder / "scheduler" / "scheduler_config.json", variance_type="fixed_small", clip_sample=False)
    text = run("import", folder, "--out", tmp_path / "run")
    assert "--sampler ddpm --variance small" in text
    assert "does not clip" in text


def test_absent_keys_mean_what_diffusers_means():
    assert unet2d.UNET_DEFAULTS.keys() >= {k for k in UNet2DModel(**TINY).config if not k.startswith("_")}
    import inspect

    signature = inspect.signature(UNet2DModel.__init__).parameters
    for key, value in unet2d.UNET_DEFAULTS.items():
        default = signature[key].default
        assert (list(default) if isinstance(default, tuple) else default) == value, key
    import diffusers

    for name in scheduler.SAME_PROCESS:
        signature = inspect.signature(getattr(diffusers, name).__init__).parameters
        for key, value in scheduler.SCHEDULER_DEFAULTS.items():
            if key in signature:
                assert signature[key].default == value, (name, key)


# -- what is refused --------------------------------------------------------------------------------------------------

IMPORT = "import copy --out runs/new"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"),
        ({"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]}, "SkipDownBlock2D"),
        ({"down_block_types": ["DownBlock2D", "DownBlock2D"]}, "up_block_types = "),
        ({"down_block_types": [["DownBlock2D"], 3]}, "down_block_types"),
        ({"mid_block_type": None}, "mid_block_type = null"),
        ({"attention_head_dim": 8}, "attention_head_dim = 8: several heads"),
        ({"attention_head_dim": ...}, "attention_head_dim = 8 (UNet2DModel's default)"),
        ({"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift"),
        ({"num_class_embeds": 10}, "num_class_embeds = 10"),
        ({"norm_num_groups": 3}, "norm_num_groups = 3"),
        ({"norm_eps": 1e-5}, "norm_eps = 1e-05"),
        ({"norm_eps": ...}, "norm_eps = 1e-05 (UNet2DModel's default)"),
        ({"flip_sin_to_cos": True}, "flip_sin_to_cos = true"),
        ({"flip_sin_to_cos": ...}, "flip_sin_to_cos = true (UNet2DModel's default)"),
        ({"freq_shift": 0}, "freq_shift = 0"),
        ({"downsample_padding": 1}, "downsample_padding = 1"),
        ({"out_channels": 6}, "out_channels = 6: a learned variance"),
        ({"block_out_channels": [16, 24]}, "block_out_channels = [16, 24]"),
        ({"block_out_channels": [0, 0]}, "whole numbers from 1 up"),
        ({"block_out_channels": [2**17, 2**17]}, "block_out_channels"),
        ({"block_out_channels": [32, 64]}, "have the shape"),
        ({"layers_per_block": 1.5}, "layers_per_block"),
        ({"layers_per_block": 2}, "the weights lack"),
        ({"sample_size": ...}, "sample_size = null"),
        ({"sample_size": 9}, "multiple of 2"),
        ({"dropout": "some"}, "dropout"),
        ({"use_magic": 3}, "use_magic = 3"),
    ],
    ids=str,
)
def test_a_network_that_ours_cannot_be_is_refused_by_name(folder, tmp_path, refused_in, values, says):
    change(folder / "unet" / "config.json", **values)
    assert says in refused_in(tmp_path, IMPORT)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler"),
        ({"prediction_type": "flow_prediction"}, "flow_prediction"),
        ({"prediction_type": ["epsilon"]}, "prediction_type"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ({"beta_schedule": "sigmoid"}, "sigmoid"),
        ({"beta_schedule": ["linear"]}, "beta_schedule"),
        ({"num_train_timesteps": 0}, "num_train_timesteps 0"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps"),
        ({"beta_start": 0.5}, "beta_start 0.5"),
        ({"beta_end": "large"}, "beta_end"),
        ({"trained_betas": [0.1, 0.2]}, "1000 numbers"),
        ({"trained_betas": [0.1, 1.0], "num_train_timesteps": 2}, "between 0 and 1"),
        ({"trained_betas": [float("nan")], "num_train_timesteps": 1}, "between 0 and 1"),
    ],
    ids=str,
)
def test_a_scheduler_that_ours_cannot_be_is_refused_by_name(folder, tmp_path, refused_in, values, says):
    change(folder / "scheduler" / "scheduler_config.json", **values)
    assert says in refused_in(tmp_path, IMPORT)


@pytest.mark.parametrize("path", ["unet/config.json", "scheduler/scheduler_config.json", "model_index.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]", '"unet"', "[" * 100_000, "\udcff"], ids=lambda text: repr(text[:9]))
def test_malformed_json_is_named(folder, tmp_path, refused_in, path, text):
    (folder / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert path in refused_in(tmp_path, IMPORT)


@pytest.mark.parametrize(
    "path", ["unet/config.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors"]
)
def test_missing_files_are_named(folder, tmp_path, refused_in, path):
    (folder / path).unlink()
    assert path in refused_in(tmp_path, IMPORT)


def test_weights_that_are_not_safetensors(folder, tmp_path, refused_in):
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole.rename(whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert "rename that variant" in refused_in(tmp_path, IMPORT)
    whole.with_name("diffusion_pytorch_model.bin").write_bytes(b"never read")
    assert "is a pickle" in refused_in(tmp_path, IMPORT)
    whole.with_name(f"{whole.name}.index.json").write_text("{}")
    assert "in pieces" in refused_in(tmp_path, IMPORT)


def test_truncated_weights(folder, tmp_path, refused_in):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    for length in (0, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "cut short" in refused_in(tmp_path, IMPORT)


def test_tensors_that_do_not_fit(folder, tmp_path, refused_in):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, metadata = storage.read_tensors(path)
    for change_to, says in (
        ({"conv_in.bias": torch.zeros(3)}, "conv_in.bias have the shape [3]"),
        ({"conv_in.bias": torch.zeros(16, dtype=torch.int8)}, "floating-point"),
        ({"extra.bias": torch.zeros(3)}, "have extra.bias too many"),
    ):
        storage.write_tensors(path, copy.copy(tensors) | change_to, metadata)
        assert says in refused_in(tmp_path, IMPORT)


def test_folders_that_hold_no_such_pipeline_or_are_taken(folder, tmp_path, refused_in):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    for command, says in {
        "import nowhere": "there is no folder",
        "import hf://google/ddpm-cifar10-32": "hf download",
        "import copy/model_index.json": "there is no folder",
        "import copy --out taken": "not empty",
    }.items():
        assert says in refused_in(tmp_path, command)
    change(folder / "model_index.json", vqvae=["diffusers", "VQModel"])
    assert "has a vqvae" in refused_in(tmp_path, IMPORT)
