"""A `DDPMPipeline` of diffusers, written from a model and read into one.

    model_index.json                              the class of each part
    scheduler/scheduler_config.json               the process (scheduler.py)
    unet/config.json                              the network (unet2d.py)
    unet/diffusion_pytorch_model.safetensors      its weights (unet2d.py)

Early pipelines, such as google/ddpm-cifar10-32, have the files of all parts in one folder. They are read too.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ancestral import nets
from ancestral.base import storage
from ancestral.base.arguments import parse_json
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import UNPLACED, Config, DataConfig, ProcessConfig
from ancestral.config.data_config import parse_image_size
from ancestral.config.presets import command
from ancestral.data.spec import IMAGES, DataSpec
from ancestral.diffusion import Diffusion
from ancestral.interop import scheduler, unet2d
from ancestral.model import Model, build
from ancestral.nets import UNet, drawn_noise

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
WRITTEN_FOR = {"_diffusers_version": "0.31.0"}
"""The oldest version that the tests cover; its keys mean the same in later versions."""


def write_pipeline(model: Model, folder: Path, label: int | str | None = None) -> None:
    """Write a folder that `diffusers.DDPMPipeline.from_pretrained` loads and that samples as the model does.

    A `DDPMPipeline` takes no labels, so one class of a model with classes is built in: `label`, its name or number, or
    "none". Raises InputError if diffusers cannot represent the model, or the folder is not empty.
    """
    _check_exportable(model)
    net, spec = model.diffusion.net, model.spec
    unet_config = unet2d.to_config(net, spec.shape)
    scheduler_config = scheduler.to_config(model.denoiser.schedule, model.diffusion.target)
    assert isinstance(net, UNet)
    if spec.classes and label is None:
        raise InputError(
            "a DDPMPipeline takes no labels, so one class is built in: name it by "
            f"{option('label')} {', '.join(spec.classes)} or none"
        )
    numbers = model.labels([0], label)
    state = net.state_dict()
    if numbers is not None:
        rows = state.pop("label.weight")
        # emb = dense(time) + row of the class, so the row is part of the dense layer's bias
        state["time.2.bias"] = state["time.2.bias"] + rows[int(numbers) if int(numbers) >= 0 else len(rows) - 1]
    # neither has it an input for the numbers of the augmentation, which are built in as absent
    absent = net.conditioning.embed(torch.zeros(1, len(state["time.2.bias"])), {})[0][0].detach()
    state["time.2.bias"] = state["time.2.bias"] + absent
    state = {name: value for name, value in state.items() if not name.startswith("conditioning.embeddings.")}
    parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    files = {
        INDEX: {"_class_name": "DDPMPipeline", **WRITTEN_FOR, **parts},
        "unet/config.json": {**unet_config, **WRITTEN_FOR},
        "scheduler/scheduler_config.json": {**scheduler_config, **WRITTEN_FOR},
    }
    with storage.atomic_folder(folder) as temporary:
        for name, values in files.items():
            storage.write_text(temporary / name, json.dumps(values, indent=2))
        storage.write_tensors(temporary / "unet" / WEIGHTS, unet2d.to_weights(net, state), {"format": "pt"})


def obstacles(model: Model) -> list[str]:
    """List what diffusers cannot represent of a model, apart from its classes."""
    return [problem for problem, _ in _obstacles(model.diffusion, model.spec)]


def _check_exportable(model: Model) -> None:
    """Raise InputError, with all that diffusers cannot represent and the command that trains a model that it can."""
    denoiser, config, spec = model.diffusion, model.config, model.spec
    problems, cures = list[str](), dict[str, Any]()
    distilled = bool(config.distil.method)  # no command trains it, so none is named
    while cures_of := dict(_obstacles(denoiser, spec)):
        problems += [problem for problem in cures_of if problem not in problems]
        new = {
            name: value for cure in cures_of.values() for name, value in cure.items() if cures.get(name, cure) != value
        }
        if not new or distilled or not all(cures_of.values()):
            cures = {}
            break
        cures |= new
        size = cures.get("image_size")
        if size is not None:
            spec = dataclasses.replace(spec, shape=(spec.shape[0], *parse_image_size(size)))
        denoiser = build(config.with_settings(**cures), spec)
    if problems:
        advice = f"export with {option('to', 'onnx')}"
        if cures and not config.data.source.startswith(UNPLACED):
            run = model.file.parent if model.file else Path("runs") / config.preset
            words = command(config.with_settings(**cures), out=f"{run}-diffusers")
            advice = f"this command trains one that it can: {words} (or {advice})"
        raise InputError(f"diffusers cannot hold this model: {'; '.join(problems)}; {advice}")


def _obstacles(denoiser: Diffusion, spec: DataSpec) -> Iterator[unet2d.Obstacle]:
    if spec.further:
        yield f"a UNet2DModel takes no conditions but classes, and this model has {', '.join(spec.further)}", {}
    if denoiser.learned_variance:
        yield "a DDPMPipeline drops the variance that the network predicts too", {"learned_variance": False}
    if drawn_noise(denoiser.net) is not None:
        yield "a DDPMPipeline gives its network no noise to draw answers by", {}
    yield from unet2d.obstacles(denoiser.net, spec.shape)
    yield from scheduler.obstacles(denoiser.schedule, denoiser.target)


def read_pipeline(folder: Path) -> tuple[Model, list[str]]:
    """Read a model from a folder that diffusers saved, a `UNet2DModel` and a scheduler of DDPM's family.

    Also returns remarks on how its scheduler samples, which is an option of sampling here. Raises InputError if there
    is no such pipeline, the U-Net cannot be so, or a file is damaged.
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
            target.name,
        ),
    )
    if target.determinant(*schedule.at(schedule.steps)) == 0:
        raise InputError(
            f"the scheduler has rescale_betas_zero_snr, and a network that predicts {target.name} says nothing of x_0 "
            "where no signal is left; such a model can only be of v_prediction or sample"
        )
    _check_weights(weights_path)
    tensors, _ = storage.read_tensors(weights_path)
    with torch.device("meta"):  # the weights are checked before memory is allocated
        plan = nets.build(shape=shape, **dataclasses.asdict(config.net))
    assert isinstance(plan, UNet)
    state = unet2d.from_weights(plan, tensors)
    net = nets.build(shape=shape, **dataclasses.asdict(config.net))
    net.load_state_dict(state)
    model = Model(Diffusion(net, schedule, target), DataSpec(shape, IMAGES), config)
    return model, _remarks(scheduler_config)


def _remarks(config: dict[str, Any]) -> list[str]:
    """Differences of the scheduler's sampling from the default sampling here."""
    remarks = []
    if config.get("_class_name", "DDPMScheduler") == "DDPMScheduler":
        variance = config.get("variance_type", "fixed_small")
        if variance == "fixed_small":
            remarks.append(
                f"its scheduler has the small variance: {option('sampler', 'ddpm')} {option('variance', 'small')}"
            )
        elif variance != "fixed_large":
            remarks.append(f"its scheduler has the variance {variance}; ancestral has large and small")
    if config.get("clip_sample") is False:
        remarks.append("its scheduler does not clip x_0; ancestral does, to [-1, 1]")
    return remarks


def _check_index(folder: Path) -> None:
    """Raise InputError if the pipeline has other parts than a U-Net and a scheduler."""
    if not (folder / INDEX).is_file():
        return  # the parts themselves are enough
    for part, value in _read_json(folder / INDEX).items():
        if not part.startswith("_") and part not in ("unet", "scheduler") and value not in (None, False, [None, None]):
            raise InputError(
                f"{folder / INDEX} has a {part}, so it is no pipeline of pixels alone; ancestral reads a DDPMPipeline "
                "or DDIMPipeline, of a unet and a scheduler"
            )


def _part(folder: Path, part: str, name: str) -> Path:
    """The path of a file of a part: in the part's folder, or in that of the pipeline as in early ones."""
    return folder / part / name if (folder / part).is_dir() else folder / name


def _check_weights(path: Path) -> None:
    """Raise InputError if the weights are not in one safetensors file."""
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
        values = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {path}; a folder of diffusers holds one") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold an object of settings")
    return values
