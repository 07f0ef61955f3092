"""Training: from a config and data to a run folder, with previews, a log, a report, and signals that end it well."""

import contextlib
import dataclasses
import os
import shlex
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from ancestral import __version__, interop, render, storage
from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral.arguments import checked, short_source
from ancestral.config import Config, CustomNetConfig, UNetConfig, by_size
from ancestral.config.file_kinds import first_suffix
from ancestral.config.output_folders import check_run_folder, is_output
from ancestral.data import Dataset, DataSpec, InMemoryDataset
from ancestral.data.spec import NOTHING_TO_LEARN, SAMPLE
from ancestral.device import keep_freed_memory, pick_device
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.events import Event, Message, Work, finish
from ancestral.inspection.findings import memorisation_finding
from ancestral.inspection.training_cost import step_memory, training_cost
from ancestral.model import Model, NetSource, OwnParts
from ancestral.nets import Transformer, UNet
from ancestral.objectives import Objective
from ancestral.quantities import format_bytes
from ancestral.render.data_text import cost_summary
from ancestral.results.data_report import TrainingCost
from ancestral.results.sampling_recipe import SamplingRecipe
from ancestral.results.training_result import TrainingResult
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.threads import cpu_threads
from ancestral.training import Progress, RunFolder, Stopped, Trainer, trackers
from ancestral.training.disk_space import disk_warning
from ancestral.training.distributed import memory_explained
from ancestral.training.prepare import spec_of
from ancestral.training.preview import preview_sampler, sample_preview
from ancestral.workflows import fine_tuning, validation_source
from ancestral.workflows.run_report import RunReport

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW_STEPS, LAST_PREVIEW_STEPS = 30, 100
"""Largest numbers of sampling steps of the previews during training, and of the last one."""
FILM_ITEMS = 4
"""Number of items of the report's film strip; points are one cloud."""
MEASURED = 3
"""Number of steps whose time is measured before training."""
SKIPPED_SHOWN = 20
"""Number of unreadable files that are listed."""

TrainingEvent = Event | Progress


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


@checked
def train(
    config: str | Config | None = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    initial: Model | str | Path | None = None,
    device: str = "auto",
    net: NetSource | None = None,
    schedule: Schedule | str | None = None,
    target: Target | str | None = None,
    objective: Callable[[Diffusion], Objective] | None = None,
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | str | None = None,
    lr_schedule: Callable[[int], float] | None = None,
    validation: Any = None,
    export_to: Literal["diffusers"] | None = None,
    **settings: Any,
) -> Generator[TrainingEvent, None, TrainingResult[Model]]:
    """Train a model in a run folder.

    Args:
        config: The name of a preset, a config, or the path of a .json file that `config.read_config` reads; None is the
            preset for the data, or digits without data. The name or path of data is taken for `data`.
        data: What to train on in place of the config's source: the name or path of a source; a tensor or array of items
            (N, C, *sides) or points (N, 2), alone or with labels (items, labels); a list of paths of images, or of
            Pillow images; or a torch Dataset of items, alone or with labels.
        out: The run folder; None is runs/ and the name of the preset.
        resume: Whether to resume the run in the folder; without one, start it.
        initial: A model, or the run folder, model file or hf:// address of one, whose averaged weights the run starts
            from. Network, schedule and target are those of the model.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        net: "unet", "transformer" or "mlp"; or a network of your own: a module (which is copied), a function of (shape,
            classes) that builds one, or the name of such a function, package.module:function.
        schedule: The name of a schedule, or one of your own.
        target: The name of a target, or one of your own.
        objective: A function that makes an objective for the denoiser, in place of L_simple and its variants. If it has
            parameters of its own (`Objective.trainable`), they are trained too.
        optimiser: "adam" or "muon"; or a function of the list of parameters that makes an optimiser, with its learning
            rates, for example torch.optim.AdamW.
        lr_schedule: A function of the step 0, 1, ... that returns the factor of the learning rate, in place of warm-up
            and decay.
        validation: The share of the items that is held out of training, or other data, in any form that `data` has;
            their loss is measured at every multiple of `sample_every`.
        export_to: "diffusers" chooses a patch and groups that this library can hold, unless they are given, and refuses
            other settings that it cannot hold before training.
        settings: Settings by name in place of the config's, for example steps=200 or batch_size=32.

    Yields:
        Messages, and the progress after each step.

    Returns:
        The result, with the model.

    Raises:
        InputError: If the settings, the data and the parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    if isinstance(config, str) and data is None and configs.is_data(config):
        config, data = None, config
    given = data is not None and not isinstance(data, str | Path)
    if isinstance(config, str) and config.endswith(".json"):
        config = configs.read_config(Path(config), source="" if data is None or given else str(data))
    preset = config or configs.default_preset(data if given else data or "digits")
    chosen = configs.preset(preset) if isinstance(preset, str) else preset
    source = configs.FROM_PYTHON if given else chosen.data.source if data is None else str(data)
    folder = RunFolder(Path(out) if out is not None else default_folder(chosen, source))
    saved = saved_config(folder.path) if resume else None
    if saved is not None and not isinstance(config, Config):
        if config not in (None, saved.preset):
            raise InputError(
                f"{folder.path} holds a run of the preset {saved.preset}, not {config}; give --out another name"
            )
        chosen = saved
    if initial is not None and saved is None and not isinstance(config, Config):
        chosen = fine_tuning.with_parts_of(initial, chosen)
    if isinstance(schedule, str):  # a name is a setting, as on the command line
        settings["schedule"], schedule = schedule, None
    if isinstance(target, str):
        settings["target"], target = target, None
    if isinstance(optimiser, str):
        settings["optimiser"], optimiser = optimiser, None
    for part, name, idle in ((optimiser, "optimiser", ("lr",)), (lr_schedule, "lr_schedule", ("warmup", "decay"))):
        if part is not None and any(setting in settings for setting in idle):
            raise InputError(
                f"{name} of your own says what {' and '.join(idle)} would: leave {'them' if idle[1:] else 'it'} out"
            )
    if isinstance(net, str) and net in configs.NET_KINDS and net != "custom":
        chosen, net = chosen.with_net(net), None
    if validation is not None:
        settings["validation"] = validation_source.setting(validation)
    parts = OwnParts(net, schedule, target, optimiser, lr_schedule)
    config = parts.named_in(chosen).with_settings(**settings)
    if parts.named_in(config) != config:
        raise InputError("a schedule, target or network of your own has no settings: leave those of its kind out")
    if data is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
    elif config.data.source == configs.FROM_PYTHON:
        raise InputError(f"{folder.path} was trained on data given from Python: give them again, train(..., data=...)")
    if saved is not None:
        config = by_size.keep(config, saved)
    config = validation_source.with_absolute_path(config.check(), validation)
    if not given:
        config = _with_absolute_source(config, saved)
    changes: list[str] = []
    if saved is not None:
        if saved.runtime.snapshots == 0 and config.runtime.snapshots:
            raise InputError(f"{folder.path} was begun without snapshots, whose averages need all steps: train it anew")
        changes = _changes(saved, config, folder)
    else:
        folder.check_free()
        if not given:
            check_run_folder(folder.path, config.data.source)
    start = fine_tuning.start_of(initial, config, parts, saved, folder)
    if parts.schedule is None and config.process.schedule == "custom" and (start or saved):  # a file has its tables
        known = start.model.denoiser.schedule if start is not None else _schedule_of(folder)
        parts = dataclasses.replace(parts, schedule=known)
    if saved is not None and (metadata := _metadata_of(folder)) is not None:
        models.check_parts(folder.model, metadata, parts.schedule, parts.target)
    if record := start.record if start is not None else saved.initial if saved is not None else None:
        config = dataclasses.replace(config, initial=record)
    trackers.check_trackers(config.runtime.trackers)
    keep_freed_memory()
    opening = datasets.opening(data if given else config.data.source, **config.data.form, memory=config.data.memory)
    dataset = (yield from opening) if int(os.environ.get("RANK", "0")) == 0 else finish(opening)
    if saved is not None:
        changes += _check_same_data(saved, config, dataset, folder)
    else:
        _check_varied(dataset)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, fingerprint=dataset.fingerprint))
    dataset, held_out = validation_source.split(dataset, config, validation)
    if export_to == "diffusers" and saved is None and start is None:
        spec = spec_of(dataset, config)
        chosen_for_it = interop.choose_for_diffusers(config, spec, pick_device(device).type)
        config = config.with_settings(**chosen_for_it)
        options = " ".join(f"--{name} {value}" for name, value in chosen_for_it.items())
        changes += [f"chosen for diffusers: {options} (options that are given win)"] if options else []
    with memory_explained("give a smaller --width or --batch-size"):
        trainer = Trainer(config, dataset, device, parts, objective, held_out)
        if start is not None:
            changes += [str(start), *fine_tuning.begin(trainer, start)]
    if config.distil.method and saved is None:
        changes.append(f"distilling {config.distil}: samples by {config.sample.sampler}")
    changes += _doubts(trainer)
    changes += disk_warning(trainer, folder)
    chosen_by_size = by_size.explain(config, trainer.spec.shape, trainer.device.type)
    models.check_sampler(trainer.denoiser, config.sample.sampler)
    if export_to == "diffusers":
        interop.check_exportable(trainer.denoiser, trainer.config, trainer.spec)
    return (yield from _run(trainer, folder, saved is not None, changes, [chosen_by_size] if chosen_by_size else []))


def _run(
    trainer: Trainer, folder: RunFolder, resuming: bool, changes: list[str], details: list[str]
) -> Generator[TrainingEvent, None, TrainingResult[Model]]:
    config, main = trainer.config, trainer.distributed.main
    wrong: list[str] = []
    cost, memory, measured = None, None, None
    if trainer.distributed.world == 1 and not isinstance(config.net, CustomNetConfig):
        yield Work("measuring the memory and the time of a step", 0, 0)
        memory = step_memory(trainer, len(trainer.dataset))
        count = max(1, memory.largest(trainer.gradients.micro_batch))  # a whole step may take more memory than there is
        measured = partial(trainer.rehearse, count if count < trainer.gradients.micro_batch else None)
    with contextlib.ExitStack() as stack:
        if main and resuming:
            stack.enter_context(folder.locked())
        stack.enter_context(contextlib.closing(trainer))
        threads = stack.enter_context(cpu_threads(config.runtime.threads, trainer.device, measured))
        if threads.reason:  # a run that is resumed goes on with this number, since sums are rounded by it
            config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=threads.count))
            trainer.config = config
            details = [*details, threads.reason]
        if resuming:
            _check_same_items(trainer, folder)
            wrong = [f"{line}; going on from an older one" for line in trainer.load(folder)]
            if main:
                folder.tidy()
                folder.trim_log(trainer.step)
                with contextlib.suppress(OSError):  # the notes are for the report alone
                    folder.append_notes(trainer.step, ["going on", *changes, *wrong])
        if memory is not None and trainer.step < config.train.steps:
            cost = training_cost(trainer, len(trainer.dataset), memory, MEASURED)
        if main and not resuming:  # only now, so that Ctrl-C before leaves nothing
            folder.begin(config)
            stack.enter_context(folder.locked())
        if trainer.initial is not None and trainer.step == 0:
            trainer.save(folder)  # from here on the run needs the model that it started from no more
        if main:
            details = [*_details(trainer), *details]
            if not resuming:
                with contextlib.suppress(OSError):
                    folder.append_notes(trainer.step, details)
            for line in [*_opening(trainer, folder, cost), *changes, *wrong]:
                yield Message(line)
            for line in details:
                yield Message(line, detail=True)
        if trainer.step >= config.train.steps:
            if not folder.publishes(trainer.step):
                trainer.save(folder)
            if main:
                more = "" if config.distil.method else "; more --steps go on"
                yield Message(f"Already at step {trainer.step} of {config.train.steps}{more}.")
            finished = True
            if _lacks_preview(trainer, folder):
                yield from fit(trainer, folder)
            model = trainer.model()
        else:
            if main:
                yield Work("the first step", 0, 0)
            finished = yield from fit(trainer, folder)
            model = trainer.model()  # all processes take part
            model.file = folder.model
            if main:
                yield from _closing(trainer, folder, finished, model)
    return TrainingResult(
        folder=str(folder.path),
        preset=config.preset,
        step=trainer.step,
        steps=max(config.train.steps, trainer.step),
        seconds=folder.seconds(),
        parameters=model.parameters,
        stopped=not finished,
        loss=trainer.state.guard.loss,
        validation=folder.last_validation(),
        trained=model,
    )


def fit(trainer: Trainer, folder: RunFolder) -> Generator[TrainingEvent, None, bool]:
    """Train to the last step, with a log, previews and the report in the run folder.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1, by which clusters announce that they want a machine back, stop the run after
    the step in progress, saved; a second Ctrl-C interrupts at once.

    Returns:
        Whether the last step was reached.

    Raises:
        InputError: If training cannot go on.
        OSError: If the last save fails.
    """
    config, T, main = trainer.config, trainer.denoiser.schedule.steps, trainer.distributed.main
    report = RunReport(trainer, folder) if main else None

    def write_report(film: "Image | None" = None, last: bool = False) -> Iterator[Message]:
        if report is not None:
            yield from _follow(folder)
            if problem := report.write(film, last):
                yield Message(problem)

    logs = trackers.Trackers(folder, config.runtime.trackers, T, trainer.step) if main else contextlib.nullcontext()
    with _stop_on_signals(trainer), logs as log, contextlib.closing(trainer.run(folder)) as steps:
        reached = trainer.step
        if _lacks_preview(trainer, folder):  # killed while it was sampled
            last = trainer.step >= config.train.steps
            film = yield from _preview(trainer, folder, last, log)
            yield from write_report(film, last)
        for progress in steps:
            step, last = progress.step, progress.step == progress.steps
            if main:
                yield progress
                yield from _follow(folder)
            if log is not None:
                if step < reached:  # after a rollback these steps are logged again
                    with contextlib.suppress(OSError):
                        folder.trim_log(step)
                validated = progress.validation is not None and progress.validation.step == step
                if step % config.runtime.log_every == 0 or last or progress.notes or validated:
                    problem = log.log(progress)
                    if problem:
                        yield Message(problem)
                if report is not None and report.stale and not last:
                    yield from write_report()
            reached = step
            if progress.stopped and not last:
                yield from write_report(last=True)
                return False
            if config.train.previews(step) or last:
                film = yield from _preview(trainer, folder, last, log)
                yield from write_report(film, last)
                picture = folder.samples / f"{step:06d}.png"
                if main and step == configs.EARLY[0] and not last and picture.exists() and folder.publishes(step):
                    yield Message(f"First samples: {picture}; more, in another terminal:  {_sampling(trainer, folder)}")
    return True


def _sampling(trainer: Trainer, folder: RunFolder, options: str = "") -> str:
    """The command or the Python expression that samples from the model of a run."""
    net, out = trainer.config.net, shlex.quote(str(folder.path))
    if isinstance(net, CustomNetConfig) and not net.function:
        return f"ancestral.load({str(folder.path)!r}, net=...).sample(64)"
    own = f" --net {net.function}" if isinstance(net, CustomNetConfig) else ""
    return f"ancestral sample {out}{options}{own}"


def _follow(folder: RunFolder) -> Iterator[Message]:
    """Find the run folder if it was renamed meanwhile, and say so."""
    if line := folder.follow():
        yield Message(line)


def _lacks_preview(trainer: Trainer, folder: RunFolder) -> bool:
    """Whether there should be a preview of this step, and is none. All processes take part."""
    step, train = trainer.step, trainer.config.train
    due = step > 0 and (train.previews(step) or step >= train.steps)
    lacks = due and trainer.distributed.main and not (folder.samples / f"{step:06d}.png").exists()
    return bool(trainer.distributed.total(torch.tensor([float(lacks)], device=trainer.device))[0])


def _preview(
    trainer: Trainer, folder: RunFolder, last: bool, log: "trackers.Trackers | None"
) -> Generator[TrainingEvent, None, "Image | None"]:
    """Write a grid of samples from the averaged weights, and return a film strip for the report."""
    max_steps = trainer.config.sample.preview_steps or (LAST_PREVIEW_STEPS if last else PREVIEW_STEPS)
    spec = trainer.spec
    points = len(spec.shape) == 1
    columns = render.grid_columns(64, spec.shape, len(spec.classes) or 1)
    n = 1000 if points else columns * -(-64 // columns)
    sampling = sample_preview(trainer, n, max_steps, n if points else FILM_ITEMS)
    recording = finish(sampling) if log is None else (yield from sampling)
    if recording is None or log is None:
        return None
    limits, names = spec.codec.limits, [spec.classes[i % len(spec.classes)] for i in range(n)] if spec.classes else []
    image = render.picture(recording.samples, columns, height=500, limits=limits, captions=names)
    sampler = models.sampler_name(preview_sampler(trainer, max_steps))
    run = trainer.config.identity()
    recipe = SamplingRecipe("", __version__, 0, n, sampler, 1.0, step=trainer.step, run=run)
    yield from _follow(folder)
    try:
        with folder.lasting() as place:
            render.write_picture(place.samples / f"{trainer.step:06d}.png", image, recipe.to_json())
    except OSError as error:
        yield Message(f"{error}; training goes on")
    if problem := log.picture(image, trainer.step):
        yield Message(problem)
    followed = [names[i] for i in trainer.distributed.positions(n)] if names else []
    return render.film(recording.states, limits=limits, names=followed)


@contextlib.contextmanager
def _stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Stop the trainer on signals that ask to end. Only the main thread of a program may handle signals."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if trainer.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        trainer.stop()
        if trainer.waiting:
            raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _changes(saved: Config, asked: Config, folder: RunFolder) -> list[str]:
    """What changes when a run is resumed, a line each. Raises InputError if it would become another run."""
    lines = []
    saved, asked = saved.unplaced(), asked.unplaced()
    for section in ("data", "net", "process", "train", "runtime", "sample"):
        before, after = dataclasses.asdict(getattr(saved, section)), dataclasses.asdict(getattr(asked, section))
        for key in {**before, **after}:
            old, new = before.get(key), after.get(key)
            if old == new or (section == "data" and key in ("source", "fingerprint")):
                continue
            same_items = key == "validation" and not isinstance(old, float) and not isinstance(new, float)
            option = f"--{({'source': 'data', 'kind': 'net', 'function': 'net'}).get(key, key).replace('_', '-')}"
            fixed = key == "steps" and saved.distil.method  # the stages are shares of the steps
            may_change = section == "train" and key in configs.MAY_CHANGE and not fixed
            if section in ("runtime", "sample") or may_change or same_items:
                lines.append(f"changed: {option} {new}, was {old}")
            else:
                had, wants = f"{option} {old}", str(new)
                if isinstance(old, bool):
                    had, wants = (option if value else f"--no-{option[2:]}" for value in (old, new))
                raise InputError(
                    f"{folder.path} was trained with {had}, so it cannot go on with {wants}; leave the option out, or "
                    "start a new run with --out"
                )
    return lines


def _with_absolute_source(config: Config, saved: Config | None) -> Config:
    """The config with an absolute path to its data, which must exist."""
    try:
        source = datasets.absolute(config.data.source)
    except InputError as error:
        if saved is None or config.data.source != saved.data.source:
            raise
        raise InputError(f"{error}; if the data of this run were moved, say where they are: --data PLACE") from None
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))


def _check_same_data(saved: Config, config: Config, dataset: Dataset, folder: RunFolder) -> list[str]:
    """What to say of data at another place. Raises InputError unless they are those that the run was trained on."""
    before, after = saved.data, config.data
    moved = [] if before.source == after.source else [f"changed: the place of --data {short_source(after.source)}"]
    if not before.fingerprint:  # a Trainer without this workflow began the run
        return moved
    if before.fingerprint != dataset.fingerprint:
        (had, _), (has, _) = (text.split(":") for text in (before.fingerprint, dataset.fingerprint))
        what = f"it holds {int(has):,} items, and had {int(had):,}"
        if had == has:
            what = f"it holds other items or labels, of the same number, {has}"
        trained = _saved_spec(folder)
        now = spec_of(dataset, config)
        if trained is not None and trained.classes != now.classes:
            what += f"; {fine_tuning.class_changes(trained.classes, now.classes)}"
        raise _other_data(folder, before.source, f"{after.source} is not what {folder.path} was trained on: {what}")
    return moved


def _check_varied(dataset: Dataset) -> None:
    """Raise InputError if integers, evenly chosen items of them at least, hold one value; floats have no range then."""
    if dataset.codec.level is None:
        return
    items = dataset.items if isinstance(dataset, InMemoryDataset) else dataset.sample(SAMPLE).items
    value = items.flatten()[0] if len(items) else None
    if value is not None and bool((items[0] == value).all() and (items == value).all()):
        cure = (
            " (drawings laid on their own colour? give another --background, or --channels 4)"
            if items.ndim == 4
            else ""
        )
        raise InputError(f"{dataset.name} holds nothing but the value {int(value)}: {NOTHING_TO_LEARN}{cure}")


def _other_data(folder: RunFolder, source: str, text: str) -> InputError:
    """Say that a run cannot be resumed with these data, and how to train on them."""
    same = "" if source == configs.FROM_PYTHON else f" (--data {shlex.quote(source)})"
    return InputError(
        f"{text}. Resuming needs the same data{same}; to train its model further on these, start another run from "
        f"it (--from {shlex.quote(str(folder.path))}, --out NEW)"
    )


def _check_same_items(trainer: Trainer, folder: RunFolder) -> None:
    """Raise InputError if the data of a run that is resumed has items of another kind than before."""
    saved, own = _saved_spec(folder), trainer.spec
    if saved is None:
        return
    for name, before, now in (
        ("of another shape", saved.shape, own.shape),
        ("of another number format", saved.codec, own.codec),
        ("of another sampling rate", saved.rate, own.rate),
    ):
        if before != now:
            raise InputError(
                f"{folder.path} was trained on data {name} ({before}, now {now}); give the same data, or "
                "start a new run with --out"
            )
    if saved.classes != own.classes:
        changes = fine_tuning.class_changes(saved.classes, own.classes)
        raise _other_data(folder, "", f"{folder.path} was trained on data with other classes: {changes}")


def _saved_spec(folder: RunFolder) -> DataSpec | None:
    """The description of the data in the model file of a run; None if the file is missing or damaged."""
    try:
        return models.describe_file(folder.model)[1]
    except InputError:  # it is written anew
        return None


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


def _doubts(trainer: Trainer) -> Iterator[str]:
    """Settings that have no effect, or that hardly work."""
    net, config, shape = trainer.denoiser.net, trainer.config, trainer.spec.shape
    if isinstance(net, UNet) and isinstance(config.net, UNetConfig):
        idle = [side for side in config.net.attention or () if side not in net.resolutions]
        if idle:
            sides, levels = (" ".join(map(str, each)) for each in (idle, net.resolutions))
            yield f"note: --attention {sides} has no effect; the levels have the resolutions {levels}"
    if isinstance(net, Transformer) and config.process.target in ("eps", "score"):
        numbers = shape[0] * net.patch**net.dims
        if numbers > net.width:
            yield (
                f"note: noise fills all {numbers} numbers of a patch, and a token has {net.width} (--width): predict "
                "clean items, --target x0"
            )


def _opening(trainer: Trainer, folder: RunFolder, cost: TrainingCost | None) -> Iterator[str]:
    """Data, network and time, a line each, and what else the user should know before the first step."""
    dataset = trainer.dataset
    shape = "x".join(str(side) for side in dataset.shape)
    number = len(dataset.classes)
    classes = f", {number} class{'es' * (number > 1)}" if number else ""
    parameters = sum(parameter.numel() for parameter in trainer.state.parameters)
    count = f"{len(dataset):,} items"
    workers = max(1, trainer.loader.workers)
    where = f", read by {workers} process{'es' if workers > 1 else ''}" if trainer.loader.workers else ""
    yield f"{dataset.name}: {count} of {shape}{classes}{where}"
    distributed = trainer.distributed
    sharded = ", sharded" if distributed.shard else ""
    processes = f"{distributed.world} processes{sharded} on " if distributed.world > 1 else ""
    precision = str(trainer.dtype).removeprefix("torch.")
    yield f"{parameters:,} parameters on {processes}{trainer.device}, {precision} -> {folder.path}"
    left = trainer.config.train.steps - trainer.step
    if left > 0:
        yield cost_summary(cost) if cost is not None else f"{left:,} steps of {trainer.gradients.batch_size:,} items"
    yield from (f"note: {text}; {advice}" for text, advice in dataset.notes)
    source = Path(trainer.config.data.source)
    if dataset.labels is None and source.is_dir() and any(map(_holds_items, source.iterdir())):
        yield "no classes: some images lie outside the sub-folders"
    if dataset.skipped:
        yield f"skipping {_files(dataset.skipped)} that could not be read:"
        yield from (f"  {line}" for line in dataset.skipped[:SKIPPED_SHOWN])
        if len(dataset.skipped) > SKIPPED_SHOWN:
            yield f"  and {len(dataset.skipped) - SKIPPED_SHOWN} more"
    memorised = memorisation_finding(len(dataset), dataset.shape, parameters, trainer.config)
    if memorised is not None and not trainer.config.distil.method:
        yield f"{memorised.text}; {memorised.advice}"
    if trainer.step:
        yield f"going on from step {trainer.step:,}"


def _holds_items(path: Path) -> bool:
    """Whether a path is a folder with items of data in it, as one of a class has."""
    return path.is_dir() and path.name[0] != "." and not is_output(path) and first_suffix(path) is not None


def _details(trainer: Trainer) -> Iterator[str]:
    """What the notes say beside that."""
    if trainer.held_out is not None:
        yield f"for the validation loss: {len(trainer.held_out):,} items of {trainer.held_out.name} that are held out"
    yield _snapshots_described(trainer)


def _snapshots_described(trainer: Trainer) -> str:
    """What is kept for averages of other lengths, and what it takes on the disk."""
    count = trainer.snapshot_count
    if count:
        size = format_bytes(count * trainer.state.pair_bytes)
        plural = "s" * (count > 1)
        return f"for ancestral average: {count} snapshot{plural} of two averages, {size} (--snapshots 0 keeps none)"
    if trainer.config.runtime.snapshots == 0:
        why = "--snapshots 0"
    elif trainer.state.pairs:
        why = "the run was begun without"
    else:
        why = f"each takes {format_bytes(trainer.state.pair_bytes)} (--snapshots 16 keeps 16)"
    return f"no snapshots for ancestral average: {why}"


def _closing(trainer: Trainer, folder: RunFolder, finished: bool, model: Model) -> Generator[Event, None, None]:
    """What the user should know after the last step, and the model card brought up to date."""
    from ancestral.workflows import publish

    skipped, out = trainer.dataset.skipped, shlex.quote(str(folder.path))
    if skipped:
        yield Message(f"skipped {_files(skipped)} that could not be read, named above")
    if not finished:
        preset = f"{trainer.config.preset} " if trainer.config.preset in configs.PRESETS else ""  # else it is a file's
        resume = f"ancestral train {preset}--out {out} --resume"
        resume += " (started as before, for as many processes)" if trainer.distributed.world > 1 else ""
        yield Message(f"Stopped after step {trainer.step} and saved. Go on with:  {resume}")
        return
    yield Message(f"Trained {trainer.step} steps: {folder.model}")
    if (folder.path / render.README).exists():  # its numbers are of the model before
        yield publish.update_card(model, folder.path)
    picture = folder.samples / f"{trainer.step:06d}.png"
    seen = " and ".join(str(path) for path in (folder.report, picture) if path.exists())
    command = _sampling(trainer, folder, " --gif --film")
    yield Message(f"{f'Look at {seen}; then' if seen else 'Now'} try:  {command}")


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) > 1 else ''}"
