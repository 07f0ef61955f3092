"""Folders of diffusers: a `DDPMPipeline` written from a model, and a model read from one.

    model_index.json                              which class each part is of
    scheduler/scheduler_config.json               the process (scheduler.py)
    unet/config.json                              the network (unet2d.py)
    unet/diffusion_pytorch_model.safetensors      its weights (weights.py)

Early pipelines, google/ddpm-cifar10-32 among them, have the parts' files side by side in one folder; they are read too.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from ancestral import nets, storage
from ancestral.config import Config, DataConfig, ProcessConfig
from ancestral.data.codec import IMAGES
from ancestral.data.spec import DataSpec
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.interop import scheduler, unet2d, weights
from ancestral.model import Model
from ancestral.nets import UNet

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
WRITTEN_FOR = {"_diffusers_version": "0.31.0"}
"""The oldest version that the tests hold us to; all its keys mean the same in later ones."""


def write_pipeline(model: Model, folder: Path, label: int | str | None = None) -> None:
    """Write a folder that `diffusers.DDPMPipeline.from_pretrained` loads; it draws what `model` draws.

    A `DDPMPipeline` cannot be asked for classes, so of a model with classes one is built in: `label`, its name or
    number, or "none". Raises InputError for what diffusers cannot hold and where the folder is taken.
    """
    if model.diffusion.learned_variance:
        raise InputError(
            "the network also predicts its variance, and a DDPMPipeline drops it while sampling; train without a "
            "learned variance, or use --to onnx"
        )
    net, facts = model.diffusion.net, model.spec
    unet_config = unet2d.to_config(net, facts.shape)
    scheduler_config = scheduler.to_config(model.denoiser.schedule, model.diffusion.target)
    assert isinstance(net, UNet)
    if facts.classes and label is None:
        raise InputError(
            "a DDPMPipeline cannot be asked for a class, so one is built in: say which by --label "
            f"{', '.join(facts.classes)} or none"
        )
    numbers = model.labels([0], label)
    state = net.state_dict()
    if numbers is not None:
        rows = state.pop("label.weight")
        # emb = dense(time) + row of the class, so the row is part of the dense layer's bias
        state["time.2.bias"] = state["time.2.bias"] + rows[int(numbers) if int(numbers) >= 0 else len(rows) - 1]
    index = {"_class_name": "DDPMPipeline", **WRITTEN_FOR}
    parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    with storage.atomic_folder(folder) as temporary:
        storage.write_text(temporary / INDEX, json.dumps({**index, **parts}, indent=2))
        storage.write_text(temporary / "unet" / "config.json", json.dumps({**unet_config, **WRITTEN_FOR}, indent=2))
        storage.write_text(
            temporary / "scheduler" / "scheduler_config.json", json.dumps({**scheduler_config, **WRITTEN_FOR}, indent=2)
        )
        storage.write_tensors(temporary / "unet" / WEIGHTS, weights.to_diffusers(net, state), {"format": "pt"})


def read_pipeline(folder: Path) -> tuple[Model, list[str]]:
    """The model in a folder of diffusers, and remarks on what of its scheduler is asked for when sampling instead.

    Raises InputError for what is not a pipeline of a `UNet2DModel`, what our U-Net cannot be, and damaged files.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; `ancestral import` reads a folder that diffusers saved")
    _check_index(folder)
    network, weights_path = _part(folder, "unet", "config.json"), _part(folder, "unet", WEIGHTS)
    process = _part(folder, "scheduler", "scheduler_config.json")
    net_config, shape = unet2d.from_config(_read_json(network))
    scheduler_config = _read_json(process)
    schedule, target = scheduler.from_config(scheduler_config)
    config = Config(
        preset="imported",
        data=DataConfig(folder.resolve().name, class_labels=False),
        net=net_config,
        process=ProcessConfig(
            "cosine" if schedule.spec["name"] == "cosine" else "linear",
            schedule.steps,
            target.name,  # type: ignore[arg-type]
        ),
    )
    if target.determinant(*schedule.at(schedule.steps)) == 0:
        raise InputError(
            f"the scheduler has rescale_betas_zero_snr, and a network that predicts {target.name} says nothing of x_0 "
            "where no signal is left; such a model can only be of v_prediction or sample"
        )
    _check_weights(weights_path)
    tensors, _ = storage.read_tensors(weights_path)
    with torch.device("meta"):  # shapes only: the weights are checked before memory is taken for them
        plan = nets.build(shape=shape, **dataclasses.asdict(config.net))
    assert isinstance(plan, UNet)
    state = weights.from_diffusers(plan, tensors)
    net = nets.build(shape=shape, **dataclasses.asdict(config.net))
    net.load_state_dict(state)
    model = Model(Diffusion(net, schedule, target), DataSpec(shape, IMAGES), config)
    return model, _remarks(scheduler_config)


def _remarks(config: dict[str, Any]) -> list[str]:
    """How this scheduler samples where ours would sample otherwise: sampling is asked for, not stored in a model."""
    remarks = []
    if config.get("_class_name", "DDPMScheduler") == "DDPMScheduler":
        variance = config.get("variance_type", "fixed_small")
        if variance == "fixed_small":
            remarks.append("its scheduler has the small variance: --sampler ddpm --variance small")
        elif variance != "fixed_large":
            remarks.append(f"its scheduler has the variance {variance}; ancestral has large and small")
    if config.get("clip_sample") is False:
        remarks.append("its scheduler does not clip x_0; ancestral does, to [-1, 1]")
    return remarks


def _check_index(folder: Path) -> None:
    """Raise InputError where the pipeline has other parts than a U-Net and a scheduler."""
    if not (folder / INDEX).is_file():
        return  # a network and a scheduler are all that is read
    for part, value in _read_json(folder / INDEX).items():
        if not part.startswith("_") and part not in ("unet", "scheduler") and value not in (None, False, [None, None]):
            raise InputError(
                f"{folder / INDEX} has a {part}, so it is no pipeline of pixels alone; ancestral reads a DDPMPipeline "
                "or DDIMPipeline, of a unet and a scheduler"
            )


def _part(folder: Path, part: str, name: str) -> Path:
    """Where a file of a part lies: in the part's folder, or beside the others as in early pipelines."""
    return folder / part / name if (folder / part).is_dir() else folder / name


def _check_weights(path: Path) -> None:
    """Raise InputError, with what to do, where the weights are not in one safetensors file."""
    if path.is_file():
        return
    if path.with_name(f"{path.name}.index.json").exists():
        raise InputError(f"the weights in {path.parent} are in pieces; save the model again with one max_shard_size")
    pickled, variants = sorted(path.parent.glob("*.bin")), sorted(path.parent.glob("*.safetensors"))
    if pickled:
        raise InputError(
            f"{pickled[0]} is a pickle, which could run any code, so it is not read; have diffusers write safetensors: "
            "UNet2DModel.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    if variants:
        raise InputError(f"there is no {path}, but {variants[0].name}; rename that variant to {path.name} to import it")
    raise InputError(f"there is no {path}; it should hold the weights of the unet")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {path}; a folder of diffusers holds one") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path} should hold an object of settings")
    return tree
