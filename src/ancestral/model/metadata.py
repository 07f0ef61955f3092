"""The metadata of a model file: what rebuilds a denoiser around its weights.

They are the config, the schedule, the target, the codec, the shape of an item, the classes, the step and the version.
Code is never stored and never run: a network of your own, a target of your own, or a subclass of Schedule has to be
given again when the model is loaded, and the file says so.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ancestral import __version__, schedules, targets
from ancestral.config import FROM_PYTHON, PLAIN_LOOP, Config, CustomNetConfig, DataConfig, ProcessConfig
from ancestral.curves import Interpolation
from ancestral.data.spec import Codec, DataSpec
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.schedules import CLOSE, Schedule, largest_difference
from ancestral.targets import Denoiser, Target

FORMAT = "ancestral-1"
PROBE = 0.6, 0.8
"""(a, b) at which the factors of a target are compared."""
KEYS = ("version", "step", "config", "schedule", "target", "codec", "shape", "classes", "mean")


def metadata_of(
    denoiser: Diffusion,
    config: Config,
    spec: DataSpec,
    step: int,
    version: str = __version__,
    average: float | None = None,
) -> dict[str, str]:
    """Describe a model in the metadata of its file; `load` reads them."""
    chosen = {} if average is None else {"average": json.dumps(average)}
    config = dataclasses.replace(config, process=process_of(denoiser, config.process))  # a part may have been replaced
    return chosen | {
        "format": FORMAT,
        "version": version,
        "step": str(step),
        "config": config.unplaced().to_json(),
        "schedule": json.dumps(_schedule_spec(denoiser.schedule, config.train.continuous)),
        "target": denoiser.target.name,
        "factors": json.dumps(factors_of(denoiser.target)),
        "codec": spec.codec.kind,
        "limits": json.dumps(spec.codec.limits),
        "shape": json.dumps(spec.shape),
        "classes": json.dumps(spec.classes),
        "mean": json.dumps(spec.mean),
        "rate": json.dumps(spec.rate),
    }


def process_of(denoiser: Denoiser, process: ProcessConfig) -> ProcessConfig:
    """Return the settings of the process that a denoiser has: those of `process`, except where the denoiser differs."""
    if isinstance(denoiser, Diffusion):
        target: Any = target_name(denoiser.target)
        process = dataclasses.replace(process, target=target, learned_variance=denoiser.learned_variance)
    return _with_schedule(process, denoiser.schedule)


def _with_schedule(process: ProcessConfig, schedule: Schedule) -> ProcessConfig:
    if process.schedule != "custom" and not _describes(process, schedule):
        plain: dict[str, Any] = {"zero_terminal_snr": False, "sigma_min": None, "sigma_max": None}
        own = dataclasses.replace(process, schedule="custom", timesteps=schedule.steps, **plain)
        spec: dict[str, Any] = schedule.spec.get("of", schedule.spec)
        named = dataclasses.replace(
            own,
            schedule=spec.get("name", "custom"),
            zero_terminal_snr="of" in schedule.spec,
            sigma_min=spec.get("sigma_min"),
            sigma_max=spec.get("sigma_max"),
        )
        process = named if _describes(named, schedule) else own
    return dataclasses.replace(process, timesteps=schedule.steps)


def factors_of(target: Target) -> list[float]:
    """Compute p and q at PROBE, which distinguish targets of the same name."""
    a, b = torch.tensor(PROBE, dtype=torch.float64)
    return [float(factor(a, b)) for factor in (target.p, target.q)]


def target_name(target: Target) -> str:
    """Return the name of a target in a config: "custom" for one of your own."""
    return target.name if targets.BY_NAME.get(target.name) == target else "custom"


def _describes(process: ProcessConfig, schedule: Schedule) -> bool:
    """Whether the settings of a schedule make this one."""
    try:
        return type(schedule) is Schedule and _same(schedules.from_spec(process.schedule_spec()), schedule)
    except InputError:
        return False


def _schedule_spec(schedule: Schedule, continuous: bool) -> dict[str, Any]:
    """The spec from which `read_schedule` rebuilds the schedule: its own, its tables, or these and the name of a
    subclass.
    """
    if type(schedule) is Schedule:
        with contextlib.suppress(InputError):
            if _same(schedules.from_spec(schedule.spec), schedule):
                return schedule.spec
    tables = {"signal": schedule.signal.tolist(), "noise": schedule.noise.tolist(), "prior_std": schedule.prior_std}
    if type(schedule) is not Schedule:
        return {"name": "custom", "class": type(schedule).__qualname__, **tables}
    if continuous and not isinstance(schedule.curve, Interpolation):  # tables would be interpolated differently
        return {"name": "custom", "class": "with a curve of its own", **tables}
    return {"name": "tables", **tables}


def _same(one: Schedule, other: Schedule) -> bool:
    middles = torch.arange(one.steps, dtype=torch.float64) + 0.5
    same = torch.equal(one.signal, other.signal) and torch.equal(one.noise, other.noise)
    return same and one.prior_std == other.prior_std and all(map(torch.equal, one.at(middles), other.at(middles)))  # type: ignore[arg-type]


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
    if config == Config(net=CustomNetConfig()):  # of a plain loop, by version 0.2
        config = dataclasses.replace(config, preset=PLAIN_LOOP, data=DataConfig(FROM_PYTHON))
    config = dataclasses.replace(config, process=_with_tables(path, metadata, config.process))
    shape, classes, mean = (_json_list(path, metadata, key) for key in ("shape", "classes", "mean"))
    if len(shape) not in (1, 2, 3, 4) or not all(type(side) is int and side > 0 for side in shape):
        raise damaged(path, "shape")
    if not all(isinstance(name, str) for name in classes):
        raise damaged(path, "classes")
    if not metadata["step"].isdecimal():
        raise damaged(path, "step")
    rate = _json(path, metadata, "rate") if "rate" in metadata else None  # older files have none
    if rate is not None and (type(rate) is not int or rate < 1):
        raise damaged(path, "rate")
    return config, DataSpec(shape, _codec(path, metadata), classes, mean, rate)


def _with_tables(path: Path, metadata: Mapping[str, str], process: ProcessConfig) -> ProcessConfig:
    """The settings of the process of a file whose config, by version 0.2, may name another schedule than its tables."""
    spec = _json(path, metadata, "schedule")
    if isinstance(spec, dict) and spec.get("name") == "tables":
        return _with_schedule(process, read_schedule(path, metadata))
    return process


def read_schedule(path: Path, metadata: Mapping[str, str]) -> Schedule:
    """Rebuild the schedule. Raises InputError if it is a subclass of Schedule, or damaged."""
    spec = _spec_of_schedule(path, metadata)
    if spec.get("name") == "custom":
        raise InputError(f"{path} was trained with a schedule of your own, {spec.get('class')}: give it, schedule=...")
    return _with_the_tables(path, spec)


def check_parts(
    path: Path, metadata: Mapping[str, str], schedule: Schedule | None = None, target: Target | None = None
) -> None:
    """Raise InputError if the model was trained with other tables than this schedule's or another target than this."""
    if schedule is not None:
        _check_schedule(path, metadata, schedule)
    if target is not None and target.name != metadata["target"]:
        raise InputError(f"{path} was trained with the target {metadata['target']}, not {target.name}")
    if target is not None and "factors" in metadata:  # which older files do not have
        had, has = _json_list(path, metadata, "factors"), factors_of(target)
        if len(had) != 2 or not all(isinstance(value, float) for value in had):
            raise damaged(path, "factors")
        if not all(abs(one - other) < CLOSE for one, other in zip(had, has, strict=True)):
            where = "at a = {}, b = {}".format(*PROBE)
            text = ", not ".join(f"p = {p:.4g}, q = {q:.4g}" for p, q in (had, has))
            raise InputError(f"{path} was trained with another target {target.name}: {where} it has {text}")


def _check_schedule(path: Path, metadata: Mapping[str, str], given: Schedule) -> None:
    spec = _spec_of_schedule(path, metadata)
    if spec.get("name") == "custom" and "signal" not in spec:  # written before the tables were kept
        return
    own = _with_the_tables(path, spec)
    if own.steps != given.steps:
        had, has = f"T = {own.steps}", f"{given.steps}"
    else:
        one, other = (torch.stack([schedule.signal, schedule.noise]) for schedule in (own, given))
        if (t := largest_difference(one, other)) is not None:
            had, has = (f"a = {a:.4g}, b = {b:.4g} at t = {t}" for a, b in (own.at(t), given.at(t)))
        elif own.prior_std != given.prior_std:
            had, has = f"prior_std {own.prior_std:g}", f"{given.prior_std:g}"
        else:
            return
    raise InputError(f"{path} was trained with another schedule, of {had}, not {has}: give that one, or none")


def _spec_of_schedule(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    spec = _json(path, metadata, "schedule")
    if not isinstance(spec, dict):
        raise damaged(path, "schedule")
    return spec


def _with_the_tables(path: Path, spec: dict[str, Any]) -> Schedule:
    if spec.get("name") not in ("tables", "custom"):
        return schedules.from_spec(spec)
    try:
        return Schedule(spec["signal"], spec["noise"], spec["prior_std"])
    except (KeyError, TypeError, ValueError):
        raise damaged(path, "schedule") from None


def read_average(path: Path, metadata: Mapping[str, str]) -> float | None:
    """Read the length σ_rel of the average that the weights are; None if they are the EMA of training."""
    average = _json(path, metadata, "average") if "average" in metadata else None
    if average is not None and not isinstance(average, float):
        raise damaged(path, "average")
    return average


def _codec(path: Path, metadata: Mapping[str, str]) -> Codec:
    """The codec. Files written before 16-bit and float images have no limits, and use the default ones."""
    if "limits" not in metadata:
        return Codec(metadata["codec"])
    limits = _json_list(path, metadata, "limits")
    if len(limits) != 2 or not all(type(value) in (int, float) for value in limits):
        raise damaged(path, "limits")
    return Codec(metadata["codec"], (limits[0], limits[1]))


def _json_list(path: Path, metadata: Mapping[str, str], key: str) -> tuple[Any, ...]:
    value = _json(path, metadata, key)
    if not isinstance(value, list):
        raise damaged(path, key)
    return tuple(value)


def _json(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError:
        raise damaged(path, key) from None


def damaged(path: Path, key: str) -> InputError:
    """Make the error that says which of the metadata is damaged."""
    return InputError(f"{path} has a damaged {key!r} in its metadata")
