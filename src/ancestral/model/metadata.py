"""The metadata of a model file: what rebuilds a denoiser around its weights.

They are the config, the schedule, the target, the codec, the shape of an item, its conditions, step and version.
Code is never stored and never run: a custom network, a custom target, or a subclass of Schedule has to be
given again when the model is loaded, and the file says so.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from operator import gt
from pathlib import Path
from typing import Any, get_args

import torch

from ancestral import __version__, schedules, targets
from ancestral.base.arguments import fits, from_json, is_digits, parse_json
from ancestral.base.errors import InputError
from ancestral.conditions import MOST_VALUES, Condition, check
from ancestral.config import Config, ProcessConfig
from ancestral.config.run_files import MODEL
from ancestral.curves import Interpolation
from ancestral.data.grid import Grid
from ancestral.data.spec import Codec, DataSpec, Gaps
from ancestral.diffusion import Diffusion
from ancestral.scaling import Scale
from ancestral.schedules import CLOSE, Schedule, largest_difference
from ancestral.targets import Denoiser, Target

MODEL_FORMAT = "ancestral-1"
TARGET_PROBE = 0.6, 0.8
"""(a, b) at which the factors of a target are compared."""
KEYS = {
    *("version", "step", "config", "schedule", "target", "factors", "codec", "limits", "shape", "classes", "mean"),
    "conditions",
}
METADATA_TYPES: dict[str, Any] = {
    "schedule": dict,
    "shape": tuple[int, ...],
    "classes": tuple[str, ...],
    "mean": tuple,
    "factors": tuple[float, float],
    "limits": tuple[float, float],
    "ranges": tuple[tuple[float, float], ...],
    "scaling": tuple[Any, ...],
    "grid": dict,
    "gaps": tuple[str, str],
    "periodic": tuple[int, ...],
    "whole": tuple[int, ...],
    "rate": int,
    "average": float,
    "conditions": dict,
    "measured": dict,
}
"""The types of what is JSON in the metadata, of which those beside `KEYS` may be absent."""
CONDITION_KINDS = {kind.__name__: kind for kind in get_args(Condition)}
"""The kinds of condition by their names in the metadata."""


def metadata_of(
    denoiser: Diffusion,
    config: Config,
    spec: DataSpec,
    step: int,
    version: str = __version__,
    average: float | None = None,
) -> dict[str, str]:
    """Describe a model in the metadata of its file, which `load` reads.

    Raises:
        InputError: If it would not read them: a name or a text holds what no file does, as NUL.
    """
    config = dataclasses.replace(
        config, process=process_config(denoiser, config.process)
    )  # a part may have been replaced
    metadata = {} if average is None else {"average": json.dumps(average)}
    metadata |= {
        "format": MODEL_FORMAT,
        "version": version,
        "step": str(step),
        "config": config.unplaced().to_json(),
        "schedule": json.dumps(_schedule_spec(denoiser.schedule, config.train.continuous)),
        "target": denoiser.target.name,
        "factors": json.dumps(factors_of(denoiser.target)),
        "codec": spec.codec.kind,
        "limits": json.dumps(spec.codec.limits),
        **({"ranges": json.dumps(spec.codec.ranges)} if spec.codec.ranges else {}),
        **({"scaling": json.dumps([*map(dataclasses.asdict, spec.codec.scaling)])} if spec.codec.scaling else {}),
        **({"gaps": json.dumps([spec.codec.gaps, spec.codec.mask])} if spec.codec.gaps else {}),
        **({"grid": json.dumps(dataclasses.asdict(spec.grid))} if spec.grid is not None else {}),
        **({"periodic": json.dumps(spec.periodic)} if spec.periodic else {}),
        **({"whole": json.dumps(spec.whole)} if spec.whole else {}),
        "shape": json.dumps(spec.shape),
        "classes": json.dumps(spec.classes),
        "mean": json.dumps(spec.mean),
        "rate": json.dumps(spec.rate),
        "conditions": json.dumps(
            {name: {"kind": type(kind).__name__, **kind.facts} for name, kind in spec.further.items()}
        ),
    }
    try:
        describe(Path(MODEL), metadata)
    except InputError as error:
        raise InputError(
            f"this model could not be read from a file again ({error.text}): its names and texts must be free of NUL, "
            "and its numbers finite"
        ) from None
    return metadata


def process_config(denoiser: Denoiser, process: ProcessConfig) -> ProcessConfig:
    """Return the settings of the process that a denoiser has: those of `process`, except where the denoiser differs."""
    if isinstance(denoiser, Diffusion):
        target: Any = target_name(denoiser.target)
        process = dataclasses.replace(process, target=target, learned_variance=denoiser.learned_variance)
    return _with_schedule(process, denoiser.schedule)


def _with_schedule(process: ProcessConfig, schedule: Schedule) -> ProcessConfig:
    if process.schedule != "custom" and not _describes(process, schedule):
        plain: dict[str, Any] = {"zero_terminal_snr": False, "sigma_min": None, "sigma_max": None}
        custom = dataclasses.replace(process, schedule="custom", timesteps=schedule.steps, **plain)
        spec: dict[str, Any] = schedule.spec.get("of", schedule.spec)
        named = dataclasses.replace(
            custom,
            schedule=spec.get("name", "custom"),
            zero_terminal_snr="of" in schedule.spec,
            sigma_min=spec.get("sigma_min"),
            sigma_max=spec.get("sigma_max"),
        )
        process = named if _describes(named, schedule) else custom
    return dataclasses.replace(process, timesteps=schedule.steps)


def factors_of(target: Target) -> list[float]:
    """Compute p and q at TARGET_PROBE, which distinguish targets of the same name."""
    a, b = torch.tensor(TARGET_PROBE, dtype=torch.float64)
    return [float(factor(a, b)) for factor in (target.p, target.q)]


def target_name(target: Target) -> str:
    """Return the name of a target in a config: "custom" for a custom one."""
    return target.name if targets.BY_NAME.get(target.name) == target else "custom"


def _describes(process: ProcessConfig, schedule: Schedule) -> bool:
    try:
        return type(schedule) is Schedule and _same(schedules.from_spec(process.schedule_spec()), schedule)
    except InputError:
        return False


def _schedule_spec(schedule: Schedule, continuous: bool) -> dict[str, Any]:
    """The schedule's own spec, its tables, or these and the name of a subclass."""
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
    if metadata.get("format") != MODEL_FORMAT:
        raise InputError(f"{path} is a safetensors file, but not a model of ancestral's (format {MODEL_FORMAT})")
    if missing := KEYS - metadata.keys():
        raise InputError(f"{path} lacks {', '.join(sorted(missing))} in its metadata")
    if not is_digits(metadata["step"]):
        raise damaged(path, "step")
    config = Config.from_json(metadata["config"], f"the config in {path}")
    try:
        config.check_model()
    except InputError as error:
        raise InputError(f"the config in {path}: {error.text}") from None
    shape, classes, mean, rate = (read(path, metadata, key) for key in ("shape", "classes", "mean", "rate"))
    if len(shape) not in (1, 2, 3, 4) or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
        raise damaged(path, "shape")
    if rate is not None and rate < 1:
        raise damaged(path, "rate")
    whole = read(path, metadata, "whole") or ()
    if whole and (len(whole) != len(shape) - 1 or any(map(gt, shape[1:], whole))):
        raise damaged(path, "whole")
    codec, grid = _codec(path, metadata, (shape[0], *(whole or shape[1:]))), _grid(path, metadata, shape)
    conditions = _conditions(path, metadata, len(shape) - 1)
    periodic = read(path, metadata, "periodic") or ()
    if [*periodic] != sorted({*periodic} & {*range(len(shape) - 1)}):
        raise damaged(path, "periodic")
    return config, DataSpec(shape, codec, classes, mean, rate, conditions, grid, periodic, whole)


def _codec(path: Path, metadata: Mapping[str, str], shape: Sequence[int]) -> Codec:
    """How items of a shape are coded: their range, scales and gaps."""
    limits, ranges = read(path, metadata, "limits"), read(path, metadata, "ranges") or ()
    if len(ranges) not in (0, shape[0]):
        raise damaged(path, "ranges")
    try:
        scaling = tuple(from_json(Scale, one, "scaling", closed=True) for one in read(path, metadata, "scaling") or ())
    except (InputError, TypeError):
        raise damaged(path, "scaling") from None
    codec = Codec(metadata["codec"], limits, ranges, scaling)
    known: Any = read(path, metadata, "gaps") or ("", "")
    try:
        codec = dataclasses.replace(codec, gaps=known[0], mask=known[1])
        whole = not codec.mask or codec.present(shape) is not None
    except ValueError:
        raise damaged(path, "gaps") from None
    if codec.gaps not in get_args(Gaps) or bool(codec.mask) != (codec.gaps == "shared") or not whole:
        raise damaged(path, "gaps")
    return codec


def _grid(path: Path, metadata: Mapping[str, str], shape: tuple[int, ...]) -> Grid | None:
    """The names, units and coordinates of fields."""
    try:
        tree = read(path, metadata, "grid")
        grid: Grid | None = None if tree is None else from_json(Grid, tree, "grid", closed=True)
        fits = grid is None or grid.fits(shape)
    except (InputError, TypeError, ValueError):
        raise damaged(path, "grid") from None
    if not fits:
        raise damaged(path, "grid")
    return grid


def _conditions(path: Path, metadata: Mapping[str, str], dims: int) -> dict[str, Condition]:
    """The conditions besides the label."""
    conditions = dict[str, Condition]()
    for name, tree in read(path, metadata, "conditions").items():
        try:
            conditions[name] = from_json(CONDITION_KINDS[tree.pop("kind")], tree, "conditions", closed=True)
        except (InputError, KeyError, AttributeError, TypeError):
            raise damaged(path, "conditions") from None
    check(conditions, dims)
    return conditions


def read_schedule(path: Path, metadata: Mapping[str, str]) -> Schedule:
    """Rebuild the schedule. Raises InputError if it is a subclass of Schedule, or damaged."""
    spec = read(path, metadata, "schedule")
    if spec.get("name") == "custom":
        raise InputError(f"{path} was trained with a custom schedule, {spec.get('class')}: give it, schedule=...")
    return _with_the_tables(path, spec)


def check_parts(
    path: Path, metadata: Mapping[str, str], schedule: Schedule | None = None, target: Target | None = None
) -> None:
    """Raise InputError if the model was trained with other tables than this schedule's or another target than this."""
    spec = read(path, metadata, "schedule")
    if schedule is not None:
        old = _with_the_tables(path, spec)
        one, other = (torch.stack([part.signal, part.noise]) for part in (old, schedule))
        same = one.shape == other.shape and largest_difference(one, other) is None
        if not same or old.prior_std != schedule.prior_std:
            raise InputError(f"{path} was trained with another schedule, of T = {old.steps}: give that one, or none")
    if target is None:
        return
    factors = read(path, metadata, "factors")
    same = all(abs(p - q) < CLOSE for p, q in zip(factors, factors_of(target), strict=True))
    if target.name != metadata["target"] or not same:
        raise InputError(f"{path} was trained with another target {metadata['target']}, not this {target.name}")


def _with_the_tables(path: Path, spec: dict[str, Any]) -> Schedule:
    if spec.get("name") not in ("tables", "custom"):
        try:
            return schedules.from_spec(spec)
        except RecursionError:
            raise damaged(path, "schedule") from None
    try:
        return Schedule(spec["signal"], spec["noise"], spec["prior_std"])
    except (KeyError, TypeError, ValueError):
        raise damaged(path, "schedule") from None


def read(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    """Read one of `METADATA_TYPES` from the metadata; None where there is none. Raises InputError if it is damaged."""
    try:
        value = parse_json(metadata.get(key, "null"))
    except ValueError:
        raise damaged(path, key) from None
    value = _as_tuples(value) if isinstance(value, list) else value
    if any(type(one) is int and abs(one) >= 2**63 for one in (value if isinstance(value, tuple) else ())):
        raise damaged(path, key)
    if not fits(value, METADATA_TYPES[key]) and (value is not None or key in KEYS):
        raise damaged(path, key)
    return value


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def damaged(path: Path, key: str) -> InputError:
    """Make the error that says which of the metadata is damaged."""
    return InputError(f"{path} has a damaged {key!r} in its metadata")
