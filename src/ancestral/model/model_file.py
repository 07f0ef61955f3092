"""The file of a model: `model.safetensors` holds the averaged weights and, as metadata, what rebuilds the denoiser.

The metadata are the config, the schedule, the target, the codec, the shape of an item, the classes, the step and the
version. Code is never stored and never run: a network of your own, a target of your own, or a subclass of Schedule has
to be given again when the model is loaded, and the file says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ancestral import __version__, hub, schedules, storage, targets
from ancestral.config import Config
from ancestral.data.codec import Codec
from ancestral.data.spec import DataSpec
from ancestral.device import pick_device
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model.building import NetSource, OwnParts, build
from ancestral.model.trained_model import Model
from ancestral.schedules import Schedule
from ancestral.targets import Target

FILE_NAME = "model.safetensors"
FORMAT = "ancestral-1"
KEYS = ("version", "step", "config", "schedule", "target", "codec", "shape", "classes", "mean")


def save(model: Model, path: str | Path) -> None:
    """Write the file of a model, atomically.

    Args:
        model: A model whose denoiser is a `Diffusion`.
        path: Where to write it.

    Raises:
        InputError: If the denoiser has no network, so that there is nothing to save.
        OSError: If the file cannot be written; what was there before stays.
    """
    metadata = metadata_of(model.diffusion, model.config, model.spec, model.step, model.version)
    storage.write_tensors(Path(path), model.diffusion.net.state_dict(), metadata)


def metadata_of(
    denoiser: Diffusion, config: Config, spec: DataSpec, step: int, version: str = __version__
) -> dict[str, str]:
    """Describe a model in the metadata of its file; `load` reads them."""
    return {
        "format": FORMAT,
        "version": version,
        "step": str(step),
        "config": config.to_json(),
        "schedule": json.dumps(_schedule_spec(denoiser.schedule)),
        "target": denoiser.target.name,
        "codec": spec.codec.kind,
        "limits": json.dumps(spec.codec.limits),
        "shape": json.dumps(spec.shape),
        "classes": json.dumps(spec.classes),
        "mean": json.dumps(spec.mean),
    }


def _schedule_spec(schedule: Schedule) -> dict[str, Any]:
    """The spec from which `_schedule` rebuilds the schedule: its own, its tables, or the name of a subclass."""
    if type(schedule) is not Schedule:
        return {"name": "custom", "class": type(schedule).__qualname__}
    try:
        if _same(schedules.from_spec(schedule.spec), schedule):
            return schedule.spec
    except InputError:
        pass
    tables = {"signal": schedule.signal.tolist(), "noise": schedule.noise.tolist()}
    return {"name": "tables", **tables, "prior_std": schedule.prior_std}


def _same(one: Schedule, other: Schedule) -> bool:
    same = torch.equal(one.signal, other.signal) and torch.equal(one.noise, other.noise)
    return same and one.prior_std == other.prior_std


def find(path: str | Path) -> Path:
    """Find the model file of a run folder or of hf://user/repo, or the file itself.

    Raises:
        InputError: If there is none.
    """
    if hub.is_address(path):
        return hub.fetch(str(path), FILE_NAME)
    path = Path(path)
    if path.is_dir():
        if not (path / FILE_NAME).is_file():
            raise InputError(f"{path} holds no {FILE_NAME}: it is no run folder, or its training has not saved yet")
        return path / FILE_NAME
    if not path.exists():
        raise InputError(f"there is no run folder or model file {path}; `ancestral train` makes one")
    return path


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
        net: The network of your own that was trained: the module (its weights are replaced in a copy), a function that
            builds it, or the function's name, package.module:function.
        schedule: The schedule of your own, if it is a subclass of Schedule; tables are in the file.
        target: The target of your own.

    Raises:
        InputError: If it is no model, is damaged, or needs a part that is not given.
    """
    path = find(path)
    tensors, metadata = storage.read_tensors(path)
    config, spec = describe(path, metadata)
    parts = OwnParts(net, schedule or _schedule(path, metadata), _target(path, metadata, config, target))
    try:
        denoiser = build(config, spec, parts)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    own = denoiser.net.state_dict()
    if own.keys() != tensors.keys() and all(name.startswith("net.") for name in tensors):
        tensors = {name.removeprefix("net."): tensor for name, tensor in tensors.items()}  # versions before 0.2
    try:
        denoiser.net.load_state_dict(tensors)
    except RuntimeError:
        whose = "that was given" if net is not None else "that its own config describes"
        raise InputError(f"the weights in {path} do not fit the network {whose}") from None
    denoiser.to(pick_device(device))
    return Model(denoiser, spec, config, int(metadata["step"]), metadata["version"], path)


def describe(path: Path, metadata: Mapping[str, str]) -> tuple[Config, DataSpec]:
    """Read the config and the description of the data from the metadata of a model file.

    Raises:
        InputError: If `save` did not write them.
    """
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is a safetensors file, but not a model of ancestral's (format {FORMAT})")
    missing = set(KEYS) - set(metadata)
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))} in its metadata")
    config = Config.from_json(metadata["config"], f"the config in {path}")
    shape, classes, mean = (_json_list(path, metadata, key) for key in ("shape", "classes", "mean"))
    if len(shape) not in (1, 2, 3, 4) or not all(type(side) is int and side > 0 for side in shape):
        raise _damaged(path, "shape")
    if not all(isinstance(name, str) for name in classes):
        raise _damaged(path, "classes")
    if not metadata["step"].isdecimal():
        raise _damaged(path, "step")
    return config, DataSpec(shape, _codec(path, metadata), classes, mean)


def _schedule(path: Path, metadata: Mapping[str, str]) -> Schedule:
    spec = _json(path, metadata, "schedule")
    if not isinstance(spec, dict):
        raise _damaged(path, "schedule")
    if spec.get("name") == "custom":
        raise InputError(f"{path} was trained with a schedule of your own, {spec.get('class')}: give it, schedule=...")
    if spec.get("name") != "tables":
        return schedules.from_spec(spec)
    try:
        signal, noise = (torch.tensor(spec[name], dtype=torch.float64) for name in ("signal", "noise"))
        if signal.ndim != 1 or signal.shape != noise.shape or len(signal) < 2:
            raise ValueError
        return Schedule(signal, noise, float(spec["prior_std"]))
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, "schedule") from None


def _target(path: Path, metadata: Mapping[str, str], config: Config, given: Target | None) -> Target:
    name = metadata["target"]
    if given is not None:
        if given.name != name:
            raise InputError(f"{path} was trained with the target {name}, not {given.name}")
        return given
    if config.process.target == "custom":
        raise InputError(f"{path} was trained with a target of your own, {name}: give it, target=...")
    if name != config.process.target:
        raise _damaged(path, "target")
    return targets.from_name(name)


def _codec(path: Path, metadata: Mapping[str, str]) -> Codec:
    """The codec. Files written before 16-bit and float images have no limits, and use the default ones."""
    if "limits" not in metadata:
        return Codec(metadata["codec"])
    limits = _json_list(path, metadata, "limits")
    if len(limits) != 2 or not all(type(value) in (int, float) for value in limits):
        raise _damaged(path, "limits")
    return Codec(metadata["codec"], (limits[0], limits[1]))


def _json_list(path: Path, metadata: Mapping[str, str], key: str) -> tuple[Any, ...]:
    value = _json(path, metadata, key)
    if not isinstance(value, list):
        raise _damaged(path, key)
    return tuple(value)


def _json(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError:
        raise _damaged(path, key) from None


def _damaged(path: Path, key: str) -> InputError:
    return InputError(f"{path} has a damaged {key!r} in its metadata")
