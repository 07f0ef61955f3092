"""Training: from a config and data to a run folder, with previews, a log, a report, and signals that end it well."""

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ancestral import __version__, interop
from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral.arguments import short_source
from ancestral.conditions import Image
from ancestral.config import Config, CustomNetConfig, UNetConfig, by_size
from ancestral.config.folders import first_suffix, is_output
from ancestral.data import Dataset, DataSpec, InMemoryDataset
from ancestral.data.equal_items import moved_rows
from ancestral.data.given import AbsentError
from ancestral.data.spec import NOTHING_TO_LEARN, SAMPLE
from ancestral.device import keep_freed_memory, pick_device
from ancestral.errors import InputError, UnsuitableError
from ancestral.events import Event, Message, Work, finish
from ancestral.guidance import NO_CLASS
from ancestral.measure.findings import memorisation_finding
from ancestral.measure.reference import (
    check_partners,
    conditions_for,
    labels_for,
    load_validation,
    names_of_conditions,
)
from ancestral.model import Model
from ancestral.model.condition_values import as_words, captions
from ancestral.model.condition_values import examples as value_examples
from ancestral.nets import Transformer, UNet
from ancestral.options import on_command_line, option
from ancestral.quantities import format_bytes, plural
from ancestral.render import compositions, model_card, pictures, writers
from ancestral.render.data_text import cost_summary
from ancestral.results.data_report import TrainingCost
from ancestral.results.sampling_result import SamplingRecipe
from ancestral.results.training_result import TrainingResult
from ancestral.threads import cpu_threads
from ancestral.training import Progress, RunFolder, Trainer, trackers
from ancestral.training.disk_space import disk_warning
from ancestral.training.distributed import memory_explained
from ancestral.training.plateau import FEWEST, constant_steps
from ancestral.training.preview import CONDITIONS, examples, preview_sampler, sample_preview
from ancestral.training.sample_distance import SAMPLES
from ancestral.training.signals import stop_on_signals
from ancestral.training.step_cost import (
    StepMemory,
    choose_checkpointing,
    choose_measurements,
    step_memory,
    training_cost,
)
from ancestral.training.training_samples import Examples
from ancestral.training.training_state import spec_of
from ancestral.training.validation import PASSES
from ancestral.workflows import fine_tuning, model_cards
from ancestral.workflows.autoencoding import prepare_autoencoder
from ancestral.workflows.plan_training import TrainPlan, plan
from ancestral.workflows.run_report import RunReport

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

__all__ = ["fit", "plan", "run"]

PREVIEW_STEPS, LAST_PREVIEW_STEPS = 30, 100
"""Largest numbers of sampling steps of the previews during training, and of the last one."""
PREVIEW_TILES, PREVIEW_POINTS = 64, 1000
"""About the number of tiles of a preview: samples, and what stands beside them; the number of points."""
FILM_ITEMS = 4
"""Number of items of the report's film strip; points are one cloud."""
MEASURED = 3
"""Number of steps whose time is measured before training."""
SMALLEST_FOR_LATENTS = 128
"""Longest side of items below which a note says that latents hardly pay."""
GREY_ITEMS = 64
"""Number of items among which colours are looked for."""
SKIPPED_SHOWN = 20
"""Number of unreadable files that are listed."""

TrainingEvent = Event | Progress


def run(plan: TrainPlan) -> Generator[TrainingEvent, None, TrainingResult[Model]]:
    """Train as planned.

    Yields:
        Messages, and the progress after each step.

    Returns:
        The result, with the model.

    Raises:
        InputError: If the data do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    keep_freed_memory()
    trainer, notes, details = yield from _trainer(plan)
    folder, resuming, main = plan.folder, plan.saved is not None, trainer.distributed.main
    memory = yield from _measure_memory(trainer)
    if memory is not None:
        memory, checkpointing = choose_checkpointing(trainer, memory)
        notes += [checkpointing] if checkpointing else []
    with contextlib.ExitStack() as stack:
        if main and resuming:
            stack.enter_context(folder.locked())
        stack.enter_context(contextlib.closing(trainer))
        details += _choose_threads(trainer, memory, stack)
        if resuming:
            notes += _restore(trainer, folder, notes)
        cost = None
        if memory is not None and trainer.step < trainer.config.train.steps:
            cost = training_cost(trainer, len(trainer.dataset), memory, MEASURED)
        notes += _choose_measurements(trainer, cost)
        if main and not resuming:  # only now, so that Ctrl-C before leaves nothing
            folder.begin(trainer.config)
            stack.enter_context(folder.locked())
            folder.tidy()
        if main:
            yield from _announce(trainer, folder, resuming, [*_opening(trainer, folder, cost), *notes], details)
        stopped = yield from _phases(trainer, folder, plan)
        model = trainer.model()  # all processes take part
        model.file = folder.model
        if main:
            yield from _closing(trainer, folder, stopped, model)
    return TrainingResult(
        folder=str(folder.path),
        preset=trainer.config.preset,
        step=trainer.step,
        steps=max(trainer.config.train.steps, trainer.step),
        seconds=folder.seconds(),
        parameters=model.parameters,
        stopped=bool(stopped),
        preempted=bool(stopped) and trainer.preempted,
        loss=trainer.state.guard.loss,
        validation=folder.last_validation(),
        distance=folder.last_distance(),
        best=folder.best_model(),
        plateau=trainer.plateau or None,
        trained=model,
    )


# -- before the first step --------------------------------------------------------------------------------------------


def _trainer(plan: TrainPlan) -> Generator[Event, None, tuple[Trainer, list[str], list[str]]]:
    """Open the data and make the trainer; return it with notes for the user, and details for those who ask."""
    config, notes = plan.config, [*plan.notes]
    from_model = plan.start is not None and "given" not in plan.given  # it says where its own data had the conditions
    faults = list[InputError]() if from_model else None
    opening = datasets.opening(plan.data, **config.data.form, memory=config.data.memory, faults=faults)
    try:
        dataset = (yield from opening) if int(os.environ.get("RANK", "0")) == 0 else finish(opening)
    except UnsuitableError as error:
        if plan.saved is None:
            raise
        raise _other_data(plan.saved, config.data.source, plan.folder, error.text) from None
    for fault in faults or ():
        if not isinstance(fault, AbsentError):
            raise fault
    if plan.saved is not None:
        notes += _check_same_data(plan.saved, config, dataset, plan.folder)
    else:
        _check_varied(dataset)
    fingerprint, start, lacking = dataset.fingerprint, plan.start, tuple[str, ...]()
    spec = start.model.spec if start is not None else None if plan.saved is None else _saved_spec(plan.folder)
    if spec is not None:
        name = str(plan.folder.path) if start is None else start.record.model
        dataset, lacking = fine_tuning.with_conditions_of(spec, name, dataset, config.data.class_labels)
    if lacking:
        names = ", ".join(lacking)
        notes.append(f"{dataset.name} lacks {names}, which the model knows: it is trained on with {names} absent")
    given = fine_tuning.without_lacking(config.data.given, lacking, dataset)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, given=given, fingerprint=fingerprint))
    config, moved_notes = yield from _with_copies_together(plan, config, dataset)
    dataset, held_out, split_notes = _split(dataset, config, plan.validation)
    notes += [*moved_notes, *split_notes]
    if plan.export_to == "diffusers" and plan.saved is None and plan.start is None:
        device = pick_device(plan.device).type
        settings = interop.choose_for_diffusers(config, spec_of(dataset, config), device, plan.given)
        config = config.with_settings(**settings)
        options = " ".join(option(name, value) for name, value in settings.items())
        notes += (
            [f"chosen for diffusers: {options} (settings that were given, or differ from the preset's, stay)"]
            if options
            else []
        )
    with memory_explained(f"give a smaller {option('width')} or {option('batch_size')}"):
        autoencoder = None
        if config.latent.latent is not None:
            spec = spec_of(dataset, config)
            autoencoder = models.build_autoencoder(config.latent, spec, config.train.seed, plan.autoencoder)
        trainer = Trainer(config, dataset, plan.device, plan.parts, plan.objective, held_out, autoencoder)
        if plan.start is not None:
            notes += [str(plan.start), *fine_tuning.begin(trainer, plan.start)]
    if config.distil.method and plan.saved is None:
        notes.append(f"distilling {config.distil}: samples by {config.sample.sampler}")
    if trainer.config.net.kind != config.net.kind:
        notes.append(f"points have no neighbours for a U-Net: the network is an {trainer.config.net}")
    notes += [*_doubts(trainer), *disk_warning(trainer, plan.folder)]
    models.check_sampler(trainer.denoiser, config.sample.sampler)
    if plan.export_to == "diffusers":
        interop.check_exportable(trainer.denoiser, trainer.config, trainer.spec)
    by_size_note = by_size.explain(config, trainer.spec.x_shape, trainer.device.type)
    return trainer, notes, [by_size_note] if by_size_note else []


def _with_copies_together(
    plan: TrainPlan, config: Config, dataset: Dataset
) -> Generator[Event, None, tuple[Config, list[str]]]:
    """The config with the items that change sides so that copies are on one side of the split; and a line on them.

    A run that goes on, or that starts from a model of the same split, keeps what was recorded, though it is nothing.
    """
    share, moved, notes = config.data.validation, "", list[str]()
    before = plan.saved.data if plan.saved is not None else plan.start.model.config.data if plan.start else None
    alike = before is not None and (before.fingerprint, before.validation) == (config.data.fingerprint, share)
    if before is not None and (plan.saved is not None or alike):
        moved = before.moved
    elif isinstance(share, float):
        search = moved_rows(dataset, share)
        rows = (yield from search) if int(os.environ.get("RANK", "0")) == 0 else finish(search)
        moved = " ".join(map(str, rows))
        notes += (
            [f"{plural(len(rows), 'item')} changed sides, so that copies are on one side of the split"] if rows else []
        )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, moved=moved)), notes


def _split(dataset: Dataset, config: Config, validation: Any) -> tuple[Dataset, Dataset | None, tuple[str, ...]]:
    """The data to train on, what is held out, and notes on that: a share of them, or other data, `validation` if from
    Python.

    Raises:
        InputError: If the validation data cannot be read, are not of the kind of the data, or are the data.
    """
    share = config.data.validation
    if share is None or isinstance(share, float):
        rows = config.data.moved_rows
        return (dataset, None, ()) if share is None else (*datasets.hold_out(dataset, share, rows), ())
    spec, source = spec_of(dataset, config), validation if share == configs.FROM_PYTHON else share
    given = names_of_conditions(spec, config.data.given)
    try:
        check_partners(config.data.source, source, given or ())
        held_out = load_validation(spec, source, config.data, given)
        items = held_out.sample(PASSES)
        values, notes = conditions_for(items, spec)
    except InputError as error:
        raise InputError(f"{option('validation')}: {error.text}") from None
    if held_out.fingerprint == dataset.fingerprint or share == config.data.source != configs.FROM_PYTHON:
        raise InputError(
            f"{option('validation')} names the data that are trained on: give a share of them, as in 0.1, or others"
        )
    labels = labels_for(items, spec.classes) if spec.classes else None
    if spec.classes and labels is None:
        labels = torch.full((len(items),), NO_CLASS)
    conditions = {
        name: items.conditions[name] if isinstance(spec.further[name], Image) else value
        for name, value in values.items()
    }
    split = dataclasses.replace(items, labels=labels, classes=spec.classes, conditions=conditions, kinds=spec.further)
    return dataset, split, notes


def _measure_memory(trainer: Trainer) -> Generator[Event, None, StepMemory | None]:
    """The memory of a step; None for several processes, and for a network of your own."""
    if trainer.distributed.world > 1 or isinstance(trainer.config.net, CustomNetConfig):
        return None
    yield Work("measuring the memory and the time of a step", 0, 0)
    return step_memory(trainer, len(trainer.dataset))


def _choose_threads(trainer: Trainer, memory: StepMemory | None, stack: contextlib.ExitStack) -> list[str]:
    """Compute with the number of threads that serves, until the stack is closed; return a line on why."""
    config, count, work = trainer.config, trainer.gradients.micro_batch, None
    if memory is not None:  # a whole step may take more memory than there is
        fits = max(1, memory.largest(count))
        work = partial(trainer.rehearse, fits if fits < count else None)
    threads = stack.enter_context(cpu_threads(config.runtime.threads, trainer.device, work))
    if not threads.reason:
        return []
    # a run that is resumed goes on with this number, since sums are rounded by it
    trainer.config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=threads.count))
    return [threads.reason]


def _choose_measurements(trainer: Trainer, cost: TrainingCost | None) -> list[str]:
    """Decide when the distance of samples is measured, and return a line on it."""
    train, share = trainer.config.train, None
    if trainer.step >= train.steps:
        return []
    if train.measure_every is None:
        try:
            share = choose_measurements(trainer, None if cost is None else cost.seconds_per_step)
        except InputError as error:
            trainer.measure_every(None)
            if train.until == "plateau":
                raise
            return [f"the distance of samples is not measured: {error.text}"]
    distance, every = trainer.distance, trainer.config.train.measure_every or 0
    if distance is None:
        if train.until == "plateau" and trainer.validation is None:
            raise InputError(
                f"{option('until', 'plateau')} needs measurements: leave {option('measure_every', 0)} out, or give "
                f"{option('validation', 0.1)}"
            )
        return [_until_plateau(trainer)] if train.until == "plateau" else []
    times = "" if share is None else f", about {share:.1%} of the time"
    lines = [
        f"measuring {distance.title} of {SAMPLES:,} samples to {distance.compared_with} every {every:,} steps{times}"
    ]
    if train.until == "plateau":
        lines.append(_until_plateau(trainer))
        if 2 * FEWEST * every > train.steps:
            lines.append(f"note: too few measurements to see a plateau: give more {option('steps')}")
    return lines


def _until_plateau(trainer: Trainer) -> str:
    """Describe the end of a run that trains until its plateau."""
    train = trainer.config.train
    fall = ""
    if train.decay == "cosine" and trainer.parts.lr_schedule is None:
        latest = constant_steps(train.steps)
        fall = f", then with a falling learning rate for a quarter of those steps (from step {latest:,} at the latest)"
    return f"training until its plateau{fall}, at most {train.steps:,} steps"


def _restore(trainer: Trainer, folder: RunFolder, notes: Sequence[str]) -> list[str]:
    """Bring a trainer to the newest checkpoint; return what is wrong with newer ones."""
    wrong = [f"{line}; going on from an older one" for line in trainer.load(folder)]
    if trainer.distributed.main:
        folder.tidy()
        folder.trim_log(trainer.step)
        with contextlib.suppress(OSError):  # the notes are for the report alone
            if trainer.step < trainer.config.train.steps:  # else nothing goes on, so nothing has changed
                folder.append_notes(trainer.step, ["going on", *notes, *wrong])
    return wrong


def _check_same_data(saved: Config, config: Config, dataset: Dataset, folder: RunFolder) -> list[str]:
    """Say if the data have another place. Raises InputError unless they are those that the run was trained on."""
    before, source, differences = saved.data, config.data.source, []
    if before.fingerprint not in ("", dataset.fingerprint):  # "" is of a run that a Trainer began
        (count, _), (now, _) = (text.split(":") for text in (before.fingerprint, dataset.fingerprint))
        differences.append(f"{int(now):,} items, and had {int(count):,}")
        if now == count:
            differences = [f"other items or labels, of the same number, {now}"]
    trained_on, spec = _saved_spec(folder), spec_of(dataset, config)
    for name in ("shape", "codec", "rate") if trained_on is not None else ():
        if getattr(trained_on, name) != getattr(spec, name):
            differences.append(f"items of the {name} {getattr(spec, name)}, not {getattr(trained_on, name)}")
    if trained_on is not None and spec.classes and trained_on.classes != spec.classes:  # labels may be absent
        differences.append(f"other classes: {fine_tuning.class_changes(trained_on.classes, spec.classes)}")
    if differences:
        raise _other_data(saved, source, folder, f"it holds {'; '.join(differences)}")
    return [] if before.source == source else [f"changed: the place of {option('data', short_source(source))}"]


def _other_data(saved: Config, source: str, folder: RunFolder, reason: str) -> InputError:
    """Make the error that data are not those that a run was trained on."""
    place = "" if saved.data.source == configs.FROM_PYTHON else f" ({option('data', saved.data.source)})"
    return InputError(
        f"{source} is not what {folder.path} was trained on: {reason}. Resuming needs the same data{place}; to train "
        f"its model further on these, start another run from it ({option('initial', folder.path)}, "
        f"{option('out', '...')})"
    )


def _saved_spec(folder: RunFolder) -> DataSpec | None:
    """The description of the data in the model file of a run; None if the file is missing or damaged."""
    try:
        return models.describe_file(folder.model)[1]
    except InputError:  # it is written anew
        return None


def _check_varied(dataset: Dataset) -> None:
    """Raise InputError if integers, evenly chosen items of them at least, hold one value; floats have no range then."""
    if dataset.codec.level is None or not len(dataset):
        return
    items = dataset.items if isinstance(dataset, InMemoryDataset) else dataset.sample(SAMPLE).items
    value = items.flatten()[0]
    if bool((items[0] == value).all() and (items == value).all()):
        drawings = f" (drawings laid on their own colour? give another {option('background')}, or "
        advice = f"{drawings}{option('channels', 4)})" if items.ndim == 4 else ""
        raise InputError(f"{dataset.name} holds nothing but the value {int(value)}: {NOTHING_TO_LEARN}{advice}")


# -- the steps --------------------------------------------------------------------------------------------------------


def _phases(trainer: Trainer, folder: RunFolder, plan: TrainPlan) -> Generator[TrainingEvent, None, bool | None]:
    """Prepare the autoencoder of a run in a latent space, and train; return as `_train` does."""
    latent = trainer.spec.autoencoder is not None
    if latent and not (yield from prepare_autoencoder(trainer, folder, plan.autoencoder)):
        return True
    if trainer.initial is not None and trainer.step == 0:
        trainer.save(folder)  # from here on the run needs the model that it started from no more
    return (yield from _train(trainer, folder))


def _train(trainer: Trainer, folder: RunFolder) -> Generator[TrainingEvent, None, bool | None]:
    """Train to the last step, and return whether the run was stopped; None if there was no step left."""
    steps, main = trainer.config.train.steps, trainer.distributed.main
    if trainer.step < steps:
        if main:
            yield Work("the first step", 0, 0)
        return not (yield from fit(trainer, folder))
    if (model_step := folder.model_step()) != trainer.step:
        trainer.save(folder)
        if main and model_step is None:
            yield Message(f"{folder.model} was missing or damaged, and is written anew.")
    if main:
        more = "" if trainer.config.distil.method else f"; more {option('steps')} go on"
        yield Message(f"Already at step {trainer.step} of {steps}{more}.")
    if _lacks_preview(trainer, folder):
        yield from fit(trainer, folder)
    return None


def fit(trainer: Trainer, folder: RunFolder) -> Generator[TrainingEvent, None, bool]:
    """Train to the last step, with a log, previews and the report in the run folder.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1, by which clusters announce that they want a machine back, and SIGHUP, when a
    terminal is closed, stop the run after the step in progress, saved; a second Ctrl-C interrupts at once.

    Returns:
        Whether the last step was reached.

    Raises:
        InputError: If training cannot go on.
        OSError: If the last save fails.
    """
    config, T, main = trainer.config, trainer.denoiser.schedule.steps, trainer.distributed.main
    report = RunReport(trainer, folder) if main else None
    given = examples(trainer, _preview_size(trainer.spec)[0])
    logs = trackers.Trackers(folder, config.runtime.trackers, T, trainer.step) if main else contextlib.nullcontext()
    with stop_on_signals(trainer), logs as log, contextlib.closing(trainer.run(folder)) as steps:
        if _lacks_preview(trainer, folder):  # killed while it was sampled
            yield from _preview(trainer, folder, log, report, given)
        for progress in steps:
            step, last = progress.step, progress.step == progress.steps
            if log is not None and report is not None:
                yield progress
                yield from _follow(folder)
                measured = [part.step for part in (progress.validation, progress.distance) if part is not None]
                if step % config.runtime.log_every == 0 or last or progress.notes or step in measured:
                    yield from _problem(log.log(progress))
                if (report.stale and not last) or (progress.stopped and not last):
                    yield from _write_report(folder, report, last=progress.stopped)
            if progress.stopped and not last:
                trainer.preempted = progress.preempted  # on every process
                return False
            if config.train.previews(step) or last:
                yield from _preview(trainer, folder, log, report, given)
    return True


def _lacks_preview(trainer: Trainer, folder: RunFolder) -> bool:
    """Whether there should be a preview of this step, and is none. All processes take part."""
    step, train = trainer.step, trainer.config.train
    due = step > 0 and (train.previews(step) or step >= train.steps)
    lacks = due and trainer.distributed.main and not _grid(trainer, folder).exists()
    return bool(trainer.distributed.total(torch.tensor([float(lacks)], device=trainer.device))[0])


def _grid(trainer: Trainer, folder: RunFolder) -> Path:
    return folder.samples / f"{trainer.step:06d}.png"


def _preview_size(spec: DataSpec) -> tuple[int, int]:
    """The numbers of samples and of columns of a preview, whose samples and what stands beside them are tiles."""
    conditions = spec.further
    tiles = 2 + sum(isinstance(kind, Image) for kind in conditions.values()) if conditions else 1
    count = PREVIEW_TILES // tiles
    columns = pictures.grid_columns(count, spec.shape, 1 if conditions else len(spec.classes) or 1, tiles)
    return PREVIEW_POINTS if len(spec.shape) == 1 else columns * -(-count // columns), columns


def _preview(
    trainer: Trainer, folder: RunFolder, log: "trackers.Trackers | None", report: RunReport | None, given: Examples
) -> Generator[TrainingEvent, None, None]:
    """Write a grid of samples from the averaged weights, and with a film strip the report. All processes take part.

    Samples stand between the conditions of the examples and the true items.
    """
    config, spec, step, last = trainer.config, trainer.spec, trainer.step, trainer.step >= trainer.config.train.steps
    max_steps = config.sample.preview_steps or (LAST_PREVIEW_STEPS if last else PREVIEW_STEPS)
    points = len(spec.shape) == 1
    n, columns = _preview_size(spec)
    sampling = sample_preview(trainer, n, max_steps, n if points else FILM_ITEMS, given)
    if log is None or report is None:
        finish(sampling)
        return
    film, recording = None, (yield from sampling)
    if recording is not None:  # else the run was asked to stop
        labels = given.label or spec.classes
        names = captions(given.values, range(n), [labels[i % len(labels)] for i in range(n)] if labels else None)
        limits, before = spec.codec.limits, compositions.beside(given.values, range(n))
        after = [] if given.items is None else [pictures.Beside(pictures.TRUTH, given.items.items, limits)]
        after = [part.at(range(n)) for part in after]
        image = pictures.picture(recording.samples, columns, 500, limits, names, before, after)
        sampler = models.sampler_name(preview_sampler(trainer, max_steps))
        described = {name: value.described for name, value in given.values.items()}
        recipe = SamplingRecipe(
            "", __version__, 0, n, sampler, 1.0, label=given.label, given=described, step=step, run=config.identity()
        )
        yield from _follow(folder)
        try:
            with folder.lasting() as place:
                writers.write_picture(_grid(trainer, place), image, recipe.to_json())
                if given.images and not (conditions := place.samples / CONDITIONS).exists():
                    writers.write_arrays(conditions, {name: rows.numpy() for name, rows in given.images.items()})
        except OSError as error:
            yield Message(f"{error}; training goes on")
        yield from _problem(log.picture(image, step))
        followed = trainer.distributed.positions(n)
        film = compositions.film(
            recording.states,
            limits=limits,
            names=[names[i] for i in followed] if names else [],
            before=[part.at(followed) for part in before],
            after=[part.at(followed) for part in after],
        )
    yield from _write_report(folder, report, film, last)
    if step == configs.EARLY[0] and not last and _grid(trainer, folder).exists() and folder.model_step() == step:
        command = _sampling(trainer, folder)
        yield Message(f"First samples: {_grid(trainer, folder)}; more, in another terminal:  {command}")


def _write_report(
    folder: RunFolder, report: RunReport, film: "PillowImage | None" = None, last: bool = False
) -> Iterator[Message]:
    yield from _follow(folder)
    yield from _problem(report.write(film, last))


def _follow(folder: RunFolder) -> Iterator[Message]:
    """Find the run folder if it was renamed meanwhile, and say so."""
    yield from _problem(folder.follow())


def _problem(text: str | None) -> Iterator[Message]:
    if text:
        yield Message(text)


# -- messages for the user -------------------------------------------------------------------------------------------


def _announce(
    trainer: Trainer, folder: RunFolder, resuming: bool, lines: Sequence[str], details: Sequence[str]
) -> Iterator[Message]:
    """Say what is trained, and how; the details are in the notes of the run too."""
    held_out = trainer.held_out
    about = [f"for the validation loss: {len(held_out):,} held-out items of {held_out.name}"] if held_out else []
    details = [*about, _snapshots_described(trainer), *details]
    if not resuming:
        with contextlib.suppress(OSError):
            folder.append_notes(trainer.step, details)
    yield from map(Message, lines)
    yield from (Message(line, detail=True) for line in details)


def _snapshots_described(trainer: Trainer) -> str:
    """Describe the snapshots for averages of other lengths, or say why there are none."""
    count, pair = trainer.snapshot_count, format_bytes(trainer.state.pair_bytes)
    if count:
        size = format_bytes(count * trainer.state.pair_bytes)
        text = f"{plural(count, 'snapshot')} of two averages, {size} ({option('snapshots', 0)} keeps none)"
    elif trainer.config.runtime.snapshots == 0:
        text = f"no snapshots ({option('snapshots', 0)})"
    elif trainer.state.pairs:
        text = "no snapshots (the run was begun without)"
    else:
        text = f"no snapshots (each takes {pair}; {option('snapshots', 16)} keeps 16)"
    return f"for ancestral average: {text}"


def _doubts(trainer: Trainer) -> Iterator[str]:
    """Settings that have no effect, or that hardly work."""
    net, config = trainer.denoiser.net, trainer.config
    if isinstance(net, UNet) and isinstance(config.net, UNetConfig):
        idle, levels = set(config.net.attention or ()) - set(net.resolutions), " ".join(map(str, net.resolutions))
        if idle:
            yield f"note: {option('attention', *idle)} has no effect; the resolutions are {levels}"
    if isinstance(net, Transformer) and config.process.target in ("eps", "score"):
        numbers = trainer.spec.x_shape[0] * net.patch**net.dims
        if numbers > net.width:
            problem = f"noise fills all {numbers} numbers of a patch, and a token has {net.width} ({option('width')})"
            yield f"note: {problem}: predict clean items, {option('target', 'x0')}"
    longest = max(trainer.spec.shape[1:], default=0)
    if trainer.spec.autoencoder is not None and longest < SMALLEST_FOR_LATENTS:
        size = "" if config.data.image_size is None else f": {option('image_size', SMALLEST_FOR_LATENTS)} or more"
        yield f"note: items of {longest} a side are small for latents, which lose detail{size}"
    greys = [name for name, kind in trainer.spec.further.items() if kind.made_by == "grey"]
    if greys:
        items = trainer.dataset.sample(GREY_ITEMS).items
        if bool((items[:, :3] == items[:, :1]).all()):
            yield f"note: the images are grey, so the condition {greys[0]} is the image itself: no colours are learned"


def _opening(trainer: Trainer, folder: RunFolder, cost: TrainingCost | None) -> Iterator[str]:
    """Data, network and time, a line each, and what else the user should know before the first step."""
    dataset, distributed, config = trainer.dataset, trainer.distributed, trainer.config
    classes, workers = len(dataset.classes), trainer.loader.workers
    labels = f", {classes} class{'es' * (classes > 1)}" if classes else ""
    readers = f", read by {workers} process{'es' * (workers > 1)}" if workers else ""
    yield f"{dataset.name}: {len(dataset):,} items of {'x'.join(map(str, dataset.shape))}{labels}{readers}"
    yield from _conditions_described(trainer)
    parameters = sum(parameter.numel() for parameter in trainer.state.parameters)
    sharded = ", sharded" if distributed.shard else ""
    processes = f"{distributed.world} processes{sharded} on " if distributed.world > 1 else ""
    precision = str(trainer.dtype).removeprefix("torch.")
    yield f"{parameters:,} parameters on {processes}{trainer.device}, {precision} -> {folder.path}"
    remaining = config.train.steps - trainer.step
    if remaining > 0:
        yield (
            cost_summary(cost) if cost is not None else f"{remaining:,} steps of {trainer.gradients.batch_size:,} items"
        )
    yield from (f"note: {text}; {advice}" for text, advice in dataset.notes)
    source = Path(config.data.source)
    if dataset.labels is None and source.is_dir() and any(map(_holds_items, source.iterdir())):
        yield "no classes: some images lie outside the sub-folders"
    if skipped := dataset.skipped:
        yield f"skipping {plural(len(skipped), 'file')} that could not be read:"
        yield from (f"  {line}" for line in skipped[:SKIPPED_SHOWN])
        if len(skipped) > SKIPPED_SHOWN:
            yield f"  and {len(skipped) - SKIPPED_SHOWN} more"
    memorised = memorisation_finding(len(dataset), dataset.shape, parameters, config)
    if memorised is not None and not config.distil.method:
        yield f"{memorised.text}; {memorised.advice}"
    if trainer.step:
        yield f"going on from step {trainer.step:,}"


def _conditions_described(trainer: Trainer) -> Iterator[str]:
    """The conditions besides the label, and how often they are dropped, a line each."""
    spec, share = trainer.spec, trainer.config.train.condition_dropout
    yield from (f"given {name}: {kind}" for name, kind in spec.further.items())
    if spec.further:
        several = len(spec.conditions) > 1
        together = f", and all together with {share:g}" if several else ""
        each = "each condition" if several else "the condition"
        label = f" (the label with {trainer.config.train.label_dropout:g})" if spec.classes else ""
        yield f"{each} is dropped with probability {share:g}{label}{together}"


def _holds_items(path: Path) -> bool:
    """Whether a path is a folder with items of data in it, as one of a class has."""
    return path.is_dir() and path.name[0] != "." and not is_output(path) and first_suffix(path) is not None


def _closing(trainer: Trainer, folder: RunFolder, stopped: bool | None, model: Model) -> Iterator[Event]:
    """Say what the user should know after the last step, and bring the model card up to date."""
    if stopped is None:
        return
    if skipped := trainer.dataset.skipped:
        yield Message(f"skipped {plural(len(skipped), 'file')} that could not be read, named above")
    if stopped:
        preset = f"{trainer.config.preset} " if trainer.config.preset in configs.PRESETS else ""  # else it is a file's
        place = on_command_line("out", [str(folder.path)])
        resume = f"ancestral train {preset}{place} {on_command_line('resume', ['True'])}"
        resume += " (started as before, for as many processes)" if trainer.distributed.world > 1 else ""
        saved = f"Stopped after step {trainer.step} and saved. " if trainer.step or not trainer.spec.autoencoder else ""
        yield Message(f"{saved}Go on with:  {resume}")
        return
    yield Message(f"Trained {trainer.step} steps: {folder.model}")
    if (best := folder.best_model()) is not None:
        same = " (the last step)" if best.step == trainer.step else ""
        yield Message(f"The best by measured distance: {best}{same}")
    if trainer.measuring_seconds:
        share = trainer.measuring_seconds / max(folder.seconds(), trainer.measuring_seconds)
        yield Message(f"measuring distances took {share:.1%} of the training time", detail=True)
    if (folder.path / model_card.README).exists():  # its numbers are of the model before
        yield model_cards.update_card(model, folder.path)
    pictures = " and ".join(str(path) for path in (folder.report, _grid(trainer, folder)) if path.exists())
    command = _sampling(trainer, folder, ("gif", "film"))
    yield Message(f"{f'Look at {pictures}; then' if pictures else 'Now'} try:  {command}")


def _sampling(trainer: Trainer, folder: RunFolder, options: Sequence[str] = ()) -> str:
    """The command or the Python expression that samples from the model of a run."""
    net, out = trainer.config.net, shlex.quote(str(folder.path))
    if isinstance(net, CustomNetConfig) and not net.function:
        given = f", given={value_examples(trainer.spec)!r}" if trainer.spec.further else ""
        return f"ancestral.load({str(folder.path)!r}, net=...).sample(64{given})"
    words = ["ancestral", "sample", out, *(on_command_line(name, ["True"]) for name in options)]
    words += [on_command_line("given", [word]) for word in as_words(value_examples(trainer.spec))]
    if isinstance(net, CustomNetConfig):
        words.append(on_command_line("net", [net.function]))
    return " ".join(words)
