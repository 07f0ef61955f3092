"""The plan of a training run: all decisions and refusals that need no data, from what the user gave."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral import registries, storage
from ancestral.config import Config, InitialConfig, by_size
from ancestral.config.output_folders import check_run_folder
from ancestral.declarations import Train
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model import OwnParts
from ancestral.objectives import Objective
from ancestral.options import option
from ancestral.plugins import import_function
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.training import RunFolder, trackers
from ancestral.workflows import fine_tuning, validation_source
from ancestral.workflows.fine_tuning import Start

OWN: dict[str, Callable[[object], bool]] = {
    "schedule": lambda given: isinstance(given, Schedule),
    "target": lambda given: isinstance(given, Target),
    "optimiser": callable,
}
"""Settings that may be objects, and how these are recognised."""
REPLACED = {"optimiser": ("lr",), "lr_schedule": ("warmup", "decay")}
"""Settings that have no effect beside parts of your own."""


@dataclass(frozen=True)
class TrainPlan:
    """A training run that is decided but for what follows from its data.

    Attributes:
        config: The config, whose settings by size may be left out.
        data: Data that were given from Python, or the name of the source.
        folder: The run folder.
        saved: The config of the run that is resumed, if any.
        start: The model that the run starts from, if any.
        parts: Parts of the user's own.
        objective: A function that makes an objective of the user's own, if any.
        validation: Validation data that were given from Python, if any.
        device: The name of the device.
        export_to: The library whose limits the run respects, if any.
        notes: What the user should know, a line each.
    """

    config: Config
    data: Any
    folder: RunFolder
    saved: Config | None
    start: Start | None
    parts: OwnParts
    objective: Callable[[Diffusion], Objective] | None
    validation: Any
    device: str
    export_to: str | None
    notes: tuple[str, ...]


def plan(options: Train) -> TrainPlan:
    """Decide a training run.

    Raises:
        InputError: If options do not fit each other, the run that is resumed or the model that it starts from.
    """
    preset, data = configs.preset_and_data(options.config, options.data)
    given = data is not None and not isinstance(data, str | Path)
    base = configs.base_config(preset, data, options.file)
    source = configs.FROM_PYTHON if given else base.data.source if data is None else str(data)
    folder = RunFolder(default_folder(base, source) if options.out is None else Path(options.out))
    saved = saved_config(folder.path) if options.resume else None
    base = _base(options, preset, base, saved, folder)
    parts, settings = _own_parts(options)
    if isinstance(parts.net, str) and parts.net in registries.NETWORKS:
        base, parts = base.with_net(parts.net), dataclasses.replace(parts, net=None)
    config = _with_settings(base, parts, settings)
    config = _with_source(config, None if data is None else source, folder)
    if saved is not None:
        config = by_size.keep(config, saved)
    validation = settings.get("validation")
    config = validation_source.with_absolute_path(config.check(), validation)
    if not given:
        config = _with_absolute_source(config, saved)
    notes = _check_place(config, saved, folder, given)
    start = fine_tuning.start_of(options.initial, config, parts, saved, folder)
    parts = _with_known_schedule(parts, config, saved, start, folder)
    trackers.check_trackers(config.runtime.trackers)
    if isinstance(preset, str) and preset in configs.PRESETS and Path(preset).is_dir():
        notes.append(f"{preset} is the preset of that name; the folder is  ./{preset}")
    return TrainPlan(
        config=dataclasses.replace(config, initial=_record(saved, start, config)),
        data=data if given else config.data.source,
        folder=folder,
        saved=saved,
        start=start,
        parts=parts,
        objective=_function(options.objective),
        validation=validation,
        device=options.device,
        export_to=options.export_to,
        notes=tuple(notes),
    )


def _base(options: Train, preset: str | Config | None, base: Config, saved: Config | None, folder: RunFolder) -> Config:
    """The config that settings change: that of the run that is resumed, else with the parts of the initial model."""
    if isinstance(preset, Config):
        return base
    if saved is None:
        return base if options.initial is None else fine_tuning.with_parts_of(options.initial, base)
    file = preset if isinstance(preset, str) and preset.endswith(".json") else options.file
    if isinstance(preset, str) and preset not in (file, saved.preset):
        raise InputError(
            f"{folder.path} holds a run of the preset {saved.preset}, not {preset}; give {option('out')} another name"
        )
    return saved if file is None else configs.read_config(Path(file), saved)


def _own_parts(options: Train) -> tuple[OwnParts, dict[str, Any]]:
    """The parts of the user's own, and the settings that are none."""
    settings = dict(options.settings)
    objects = {name: settings.pop(name) for name, is_own in OWN.items() if is_own(settings.get(name))}
    parts = OwnParts(options.net, **objects, lr_schedule=_function(options.lr_schedule))
    for name, idle in REPLACED.items():
        if getattr(parts, name) is not None and any(setting in settings for setting in idle):
            names = " and ".join(map(option, idle))
            raise InputError(
                f"{option(name)} of your own says what {names} would: leave {'them' if idle[1:] else 'it'} out"
            )
    return parts, settings


def _function(given: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    """A function, which may be given as package.module:function."""
    return import_function(given) if isinstance(given, str) else given


def _with_settings(base: Config, parts: OwnParts, settings: Mapping[str, Any]) -> Config:
    """The config with these settings, and "custom" where there are own parts."""
    values = dict(settings)
    if values.get("validation") is not None:
        values["validation"] = validation_source.setting(values["validation"])
    config = parts.named_in(base).with_settings(**values)
    if parts.named_in(config) != config:
        raise InputError("a schedule, target or network of your own has no settings: leave those of its kind out")
    return config


def _with_source(config: Config, source: str | None, folder: RunFolder) -> Config:
    """The config with the source that was given, if any."""
    if source is not None:
        return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
    if config.data.source == configs.FROM_PYTHON:
        raise InputError(
            f"{folder.path} was trained on data given from Python: give them again, train(..., {option('data', '...')})"
        )
    return config


def _check_place(config: Config, saved: Config | None, folder: RunFolder, given: bool) -> list[str]:
    """What changes when a run is resumed. Raises InputError if the folder cannot hold this run."""
    if saved is not None:
        if saved.runtime.snapshots == 0 and config.runtime.snapshots:
            raise InputError(f"{folder.path} was begun without snapshots, whose averages need all steps: train it anew")
        return _changes(saved, config, folder)
    folder.check_free()
    if not given:
        check_run_folder(folder.path, config.data.source)
    return []


def _with_known_schedule(
    parts: OwnParts, config: Config, saved: Config | None, start: Start | None, folder: RunFolder
) -> OwnParts:
    """The parts with a schedule of the user's own from the file that holds its tables.

    Raises:
        InputError: If the run that is resumed has another schedule or target.
    """
    if parts.schedule is None and config.process.schedule == "custom" and (start or saved):
        known = start.model.denoiser.schedule if start is not None else _schedule_of(folder)
        parts = dataclasses.replace(parts, schedule=known)
    if saved is not None and (metadata := _metadata_of(folder)) is not None:
        models.check_parts(folder.model, metadata, parts.schedule, parts.target)
    return parts


def _record(saved: Config | None, start: Start | None, config: Config) -> InitialConfig:
    """The record of the model that a run starts from."""
    if start is not None:
        return start.record
    return config.initial if saved is None else saved.initial


def default_folder(config: Config, source: str) -> Path:
    """Return the run folder where none is given: runs/ and the preset, or the name of data of your own."""
    return Path("runs") / dataclasses.replace(config, data=dataclasses.replace(config.data, source=source)).title


def saved_config(out: str | Path) -> Config | None:
    """Read the config of the run in a folder; None if there is no run.

    Raises:
        InputError: If the config is damaged, or the run has lost its checkpoints and cannot be resumed.
    """
    folder = RunFolder(Path(out))
    if not folder.holds_run():
        return None
    config = folder.read_config()
    folder.check_whole()
    return config


def _changes(saved: Config, asked: Config, folder: RunFolder) -> list[str]:
    """What changes when a run is resumed, a line each. Raises InputError if it would become another run."""
    lines = []
    saved, asked = saved.unplaced(), asked.unplaced()
    for section in configs.SECTIONS:
        before, after = dataclasses.asdict(getattr(saved, section)), dataclasses.asdict(getattr(asked, section))
        for key in {**before, **after}:
            old, new = before.get(key), after.get(key)
            if old == new or (section == "data" and key in ("source", "fingerprint")):
                continue
            same_items = key == "validation" and not isinstance(old, float) and not isinstance(new, float)
            name = configs.OPTIONS_OF.get(key, key)
            fixed = key == "steps" and saved.distil.method  # the stages are shares of the steps
            may_change = section == "train" and key in configs.MAY_CHANGE and not fixed
            if section in ("runtime", "sample") or may_change or same_items:
                lines.append(f"changed: {option(name, new)}, was {old}")
            else:
                wants = option(name, new) if isinstance(new, bool) else str(new)
                raise InputError(
                    f"{folder.path} was trained with {option(name, old)}, so it cannot go on with {wants}; leave the "
                    f"option out, or start a new run with {option('out')}"
                )
    return lines


def _with_absolute_source(config: Config, saved: Config | None) -> Config:
    """The config with an absolute path to its data, which must exist."""
    try:
        source = datasets.absolute(config.data.source)
    except InputError as error:
        if saved is None or config.data.source != saved.data.source:
            raise
        raise InputError(
            f"{error.text}; if the data of this run were moved, say where they are: {option('data', '...')}"
        ) from None
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))


def _metadata_of(folder: RunFolder) -> dict[str, str] | None:
    """The metadata of the model file of a run; None if the file is missing or damaged."""
    try:
        metadata = storage.read_metadata(folder.model)
    except InputError:  # it is written anew
        return None
    return metadata if {"schedule", "target"} <= metadata.keys() else None


def _schedule_of(folder: RunFolder) -> Schedule:
    """The schedule of the run in a folder. Raises InputError if it is a class of your own."""
    return models.read_schedule(folder.model, storage.read_metadata(folder.model))
