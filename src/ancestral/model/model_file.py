"""Model files: `model.safetensors` holds the averaged weights, and metadata that rebuild the denoiser."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from ancestral import nets, targets
from ancestral.base import hub, storage
from ancestral.base.arguments import checked
from ancestral.base.device import pick_device
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import AUTOENCODER, Config, run_files
from ancestral.data.spec import DataSpec
from ancestral.model.autoencoders import take_autoencoder
from ancestral.model.building import CustomParts, NetSource, assemble, net_of
from ancestral.model.metadata import check_parts, damaged, describe, read, read_schedule
from ancestral.model.model import Model
from ancestral.randomness import pytorch_generator
from ancestral.schedules import Schedule
from ancestral.targets import Target


def find(path: str | Path) -> Path:
    """Find the model file of a run folder or of hf://user/repo, or the file itself.

    Raises:
        InputError: If there is none.
    """
    if hub.is_address(path):
        return hub.fetch(str(path), run_files.MODEL)
    path = Path(path)
    if os.path.isdir(path):  # noqa: PTH112 (raises nothing, where a name is too long for Path.is_dir)
        if not (path / run_files.MODEL).is_file():
            raise InputError(
                f"{path} holds no {run_files.MODEL}: it is no run folder, or its training has not saved yet"
            )
        return path / run_files.MODEL
    if not os.path.exists(path):  # noqa: PTH110
        raise InputError(f"there is no run folder or model file {path}; `ancestral train` makes one")
    return path


def describe_file(path: Path) -> tuple[Config, DataSpec]:
    """Read the config and the description of the data of a model file, without its weights and its autoencoder.

    The file names no folders of the machine; those of a run come from the config.json beside it.

    Raises:
        InputError: If it is no model file, or the config.json beside it is of another run.
    """
    return _described(path, storage.read_metadata(path))


def _described(path: Path, metadata: Mapping[str, str]) -> tuple[Config, DataSpec]:
    (config, spec), beside = describe(path, metadata), path.parent / run_files.CONFIG
    try:
        of_run = Config.from_json(beside.read_text(encoding="utf-8"), str(beside))
    except (OSError, UnicodeDecodeError, InputError):  # it is damaged, or of another program
        return config, spec
    if path.name in (run_files.MODEL, run_files.BEST):
        run_files.check_same_run({beside: of_run.run, path: config.run})
    return config.placed(of_run), spec


def check_written(path: Path, step: int) -> None:
    """Read the model file of a run that was written: its digests, its description, and its step.

    Raises:
        InputError: If `load` could not read it, or it is the model of another step.
    """
    _, metadata = storage.read_tensors(path)
    describe(path, metadata)
    if int(metadata["step"]) != step:
        raise InputError(
            f"{path} is the model of step {metadata['step']}, and not of step {step}, which was written: another "
            "process writes into this folder"
        )


@checked
def load(
    path: str | Path,
    device: str = "auto",
    *,
    net: NetSource | None = None,
    schedule: Schedule | None = None,
    target: Target | None = None,
) -> Model:
    """Load a model, ready to sample.

    Args:
        path: A run folder, a `model.safetensors`, or hf://user/repo.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        net: The custom network that was trained: the module (its weights are replaced in a copy), a function that
            builds it, or the function's name, package.module:function.
        schedule: The custom schedule, if it is a subclass of Schedule; tables are in the file.
        target: The custom target.

    Raises:
        InputError: If it is no model, is damaged, needs a part that is not given, or was trained with another.
    """
    name, path = str(path), find(path)
    tensors, metadata = storage.read_tensors(path)
    config, spec = _described(path, metadata)
    if config.preset == AUTOENCODER:
        raise InputError(
            f"{path} is an autoencoder, which samples nothing: load the run that it is for, or train one in its latent "
            f"space ({option('latent', path)})"
        )
    check_parts(path, metadata, schedule, target)
    parts = CustomParts(net, schedule or read_schedule(path, metadata), target or _target(path, metadata, config))
    try:
        if config.latent.latent is not None:
            spec = dataclasses.replace(spec, autoencoder=take_autoencoder(tensors, config.latent, spec))
        if net is None:
            nets.check_weights(lambda: net_of(config, spec), tensors)
        with pytorch_generator():  # initial weights are drawn, and then replaced
            denoiser = assemble(config, spec, parts)
    except InputError as error:
        raise InputError(f"{path}: {error.text}") from None
    try:
        denoiser.net.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"the weights in {path} do not fit the network") from None
    denoiser.to(pick_device(device))
    step, average = int(metadata["step"]), read(path, metadata, "average")
    model = Model(denoiser, spec, config, step, metadata["version"], average)
    model.file, model.name = path, name
    return model


def _target(path: Path, metadata: Mapping[str, str], config: Config) -> Target:
    name = metadata["target"]
    if config.process.target == "custom":
        raise InputError(f"{path} was trained with a custom target, {name}: give it, target=...")
    if name not in targets.BY_NAME:
        raise damaged(path, "target")
    return targets.BY_NAME[name]
