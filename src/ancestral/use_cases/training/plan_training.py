"""The plan of a training run: all decisions and refusals that need no data, from what the user gave."""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral import config as configs
from ancestral import data as datasets
from ancestral import derived
from ancestral import model as models
from ancestral.base import registries
from ancestral.base.arguments import is_remote
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.plugins import import_function
from ancestral.base.registries import OBJECTIVES
from ancestral.config import ConditionSource, Config, by_size
from ancestral.config.data_sources import ARRAY_FILES
from ancestral.config.run_files import check_run_folder
from ancestral.declarations import Train
from ancestral.model import CustomParts
from ancestral.nets.autoencoder import Autoencoder
from ancestral.objectives import EnergyScore, Objective
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.training import RunFolder
from ancestral.training.trackers import Tracker, check_trackers
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training.fine_tuning import Start
from ancestral.use_cases.training.resuming import changes, in_order, with_saved_schedule


@dataclass(frozen=True)
class TrainPlan:
    """A training run that is decided but for what follows from its data.

    Attributes:
        config: The config, whose settings by size may be left out.
        data: Data that were given from Python, or the name of the source.
        folder: The run folder.
        saved: The config of the run that is resumed, if any.
        start: The model that the run starts from, if any.
        parts: Custom parts.
        trackers: Custom trackers.
        autoencoder: The autoencoder that is taken from another run, if any.
        validation: Validation data that were given from Python, if any.
        device: The name of the device.
        given: The names of the settings that the user gave.
        notes: What the user should know, a line each.
    """

    config: Config
    data: Any
    folder: RunFolder
    saved: Config | None
    start: Start | None
    parts: CustomParts
    trackers: tuple[Tracker, ...]
    autoencoder: Autoencoder | None
    validation: Any
    device: str
    given: frozenset[str]
    notes: tuple[str, ...]


def plan(options: Train) -> TrainPlan:
    """Decide a training run.

    Raises:
        InputError: If options do not fit each other, the run that is resumed or the model that it starts from.
    """
    preset, data = configs.preset_and_data(options.config, options.data)
    from_python = data is not None and not isinstance(data, str | Path)
    base = configs.base_config(preset, data, options.file)
    source = configs.FROM_PYTHON if from_python else base.data.source if data is None else str(data)
    title = dataclasses.replace(base, data=dataclasses.replace(base.data, source=source)).title
    folder = RunFolder(Path("runs") / title if options.out is None else Path(options.out))
    saved = folder.config_to_resume(options.resume)
    begins = (preset, data, options.file, options.initial, options.net)
    if options.resume and saved is None and all(part is None for part in begins):
        raise InputError(
            f"there is no run in {folder.path} to go on with, and nothing says what to begin: name the folder "
            f"of a run ({option('out')}), or a preset or data"
        )
    base = _base(options, preset, base, saved, folder)
    parts, settings = custom_parts_of(options)
    custom_trackers = tuple[Tracker, ...]()
    if "trackers" in settings:
        settings["trackers"], custom_trackers = divided_trackers(settings["trackers"])
    if isinstance(parts.net, str) and parts.net in registries.NETWORKS:
        base, parts = base.with_net(parts.net), dataclasses.replace(parts, net=None)
    config, validation = with_settings(base, parts, settings), settings.get("validation")
    config, autoencoder = with_autoencoder(config, options.settings)
    if data is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
    config = _with_absolute_paths(config, saved, folder, from_python, validation)
    if config.data.given:
        # no file runs code: functions that make conditions run where the user wrote them, in the option or in a Config
        # from Python; those in a config file, a run or an initial model have to be named again
        by_user = isinstance(preset, Config) and options.initial is None
        trusted = config.data.given if by_user else settings.get("given")
        named = [trusted] if isinstance(trusted, str) else map(str, trusted or ())
        derived.check_trusted(map(str, config.data.given), named, "given")
    notes = list[str]() if saved is None else changes(saved, config, folder)
    if saved is None:
        folder.check_free()
        if not from_python:
            check_run_folder(folder.path, config.data.source)
    start = None
    if options.initial is not None or config.initial.model:
        start = fine_tuning.start_of(options.initial, config, parts, saved, folder)
    if saved is not None or start is not None:
        parts = with_saved_schedule(parts, config, saved, start, folder)
    check_trackers(config.runtime.trackers)
    if isinstance(preset, str) and preset in configs.PRESETS and Path(preset).is_dir():
        notes.append(f"{preset} is the preset of that name; the folder is  ./{preset}")
    if start is not None and start.model.spec.autoencoder is not None:
        autoencoder = start.model.spec.autoencoder
    record = start.record if start is not None else config.initial if saved is None else saved.initial
    return TrainPlan(
        config=dataclasses.replace(config, initial=record, run="" if saved is None else saved.run),
        data=data if from_python else config.data.source,
        folder=folder,
        saved=saved,
        start=start,
        parts=parts,
        trackers=custom_trackers,
        autoencoder=autoencoder,
        validation=validation,
        device=options.device,
        given=frozenset(options.settings),
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


def with_autoencoder(config: Config, given: Collection[str]) -> tuple[Config, Autoencoder | None]:
    """Return the config with the settings of the autoencoder of another run that it names, and that autoencoder.

    It is None where the config names none.

    Args:
        config: The config.
        given: Names of the settings that the user gave.

    Raises:
        InputError: If there is none, or other settings are given for it.
    """
    name = config.latent.latent
    if not isinstance(name, str):
        return config, None
    file = models.find(name)
    latent, _, _ = models.described_autoencoder(file)
    own = dataclasses.replace(config.latent, latent=latent.latent)
    usual = dataclasses.replace(configs.LatentConfig(), latent=latent.latent)
    for field in dataclasses.fields(latent):
        value = getattr(own, field.name)
        if field.name in given and value not in (getattr(usual, field.name), getattr(latent, field.name)):
            raise InputError(f"{name} has an autoencoder of its own: leave {option(field.name, value)} out")
    return dataclasses.replace(config, latent=latent), models.load_autoencoder(file)[0]


def _with_absolute_paths(
    config: Config, saved: Config | None, folder: RunFolder, from_python: bool, validation: Any
) -> Config:
    """The config with absolute paths to its data and validation data, which must exist, or be given from Python."""
    config = (config if saved is None else by_size.keep(config, saved)).check()
    source, held_out = config.data.source, config.data.validation
    if source == configs.FROM_PYTHON and not from_python:
        raise InputError(
            f"{folder.path} was trained on data given from Python: give them again, train(..., {option('data', '...')})"
        )
    if held_out == configs.FROM_PYTHON and validation is None:
        raise InputError("the validation data of this run were given from Python: give them again, validation=...")
    if isinstance(held_out, str) and held_out != configs.FROM_PYTHON and config.data.held_out is None:
        try:
            held_out = datasets.absolute(held_out)
        except InputError as error:
            share = "give a share of the items, as in 0.1 or 0.1:blocks, or other data"
            raise InputError(f"{option('validation')}: {error.text}; {share}") from None
    try:
        source = source if from_python else datasets.absolute(source)
    except InputError as error:
        advice = f"; if the data of this run were moved, say where they are: {option('data', '...')}"
        raise InputError(error.text + advice * (saved is not None and source == saved.data.source)) from None
    given = None if config.data.given is None else tuple(map(_absolute, config.data.given))
    if given is not None and saved is not None:
        given = in_order(given, saved.data.given)
    for lost in (one for one in given or () if one.lost):
        moved = [ConditionSource(lost.name, "PLACE") if one == lost else one for one in given or ()]
        raise InputError(
            f"there is no {lost.what}, where the condition {lost.name} is: say where, {option('given', *moved)}"
        )
    data = dataclasses.replace(config.data, source=source, validation=held_out, given=given)
    return dataclasses.replace(config, data=data)


def _absolute(given: ConditionSource) -> ConditionSource:
    """Where a condition comes from, with the absolute path of its folder or file of arrays, if it names one."""
    name, what = given.name, given.what
    place = Path(what).expanduser()
    if derived.parse(what) is not None:  # an operator, whatever is in this folder; ./mask is not one
        return given
    if is_remote(what):
        return ConditionSource(name or place.name, what.rstrip("/"))
    if os.path.isdir(place):  # noqa: PTH112 (no error of a name that is too long)
        return ConditionSource(name or place.name, str(place.resolve()))
    is_array = place.suffix.lower() in ARRAY_FILES and os.path.isfile(place)  # noqa: PTH113
    return ConditionSource(name or place.stem, str(place.resolve())) if is_array else given


OWN: dict[str, Callable[[object], bool]] = {
    "schedule": lambda given: isinstance(given, Schedule),
    "target": lambda given: isinstance(given, Target),
    "optimiser": callable,
}
"""Settings that may be objects, and how these are recognised."""
IDLE_BESIDE = {"optimiser": ("lr",), "lr_schedule": ("warmup", "decay")}
"""Settings that have no effect beside custom parts."""


def custom_parts_of(options: Train) -> tuple[CustomParts, dict[str, Any]]:
    """Return the custom parts, and the remaining settings."""
    settings = dict(options.settings)
    objects = {name: settings.pop(name) for name, is_own in OWN.items() if is_own(settings.get(name))}
    objects["lr_schedule"], objective = function_of(options.lr_schedule), options.objective
    if isinstance(objective, EnergyScore) or _names_objective(objective):
        settings["objective"] = str(objective)
    elif isinstance(objective, Objective):
        name = type(objective).__name__
        raise InputError(f"{option('objective')} is a function of the denoiser that makes the {name}, not one itself")
    else:
        objects["objective"] = function_of(objective)
    parts = CustomParts(options.net, **objects)
    for name, idle in IDLE_BESIDE.items():
        if getattr(parts, name) is not None and any(setting in settings for setting in idle):
            names = " and ".join(map(option, idle))
            raise InputError(f"a custom {option(name)} replaces {names}: leave {names} out")
    return parts, settings


def _names_objective(objective: object) -> bool:
    """Whether it is the name of an objective, with options or without, and not that of a function."""
    return isinstance(objective, str) and (":" not in objective or objective.partition(":")[0] in OBJECTIVES)


def divided_trackers(trackers: str | Tracker | Sequence[str | Tracker]) -> tuple[tuple[str, ...], tuple[Tracker, ...]]:
    """Divide trackers into the names of those of this package, and custom ones.

    These may be given as package.module:function. The config has no place for them: the code of a config that someone
    else wrote is not run.
    """
    each = trackers if isinstance(trackers, Sequence) and not isinstance(trackers, str) else [trackers]
    names = tuple(one for one in each if isinstance(one, str) and ":" not in one)
    functions = [function_of(one) for one in each if one not in names]
    return names, tuple(function for function in functions if function is not None)


def function_of(function: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    """Return a function, which may be given as package.module:function."""
    return import_function(function) if isinstance(function, str) else function


def with_settings(base: Config, parts: CustomParts, settings: Mapping[str, Any]) -> Config:
    """Return the config with these settings, and "custom" for custom parts."""
    values, validation = dict(settings), settings.get("validation")
    if validation is not None and not isinstance(validation, float | int | str):
        values["validation"] = str(validation) if isinstance(validation, Path) else configs.FROM_PYTHON
    config = parts.named_in(base).with_settings(**values)
    if parts.named_in(config) != config:
        raise InputError("a custom schedule, target or network has no settings: leave those of its kind out")
    return config
