"""Training: from a config and data to a run folder, with previews, a log, a report, and signals that end it well."""

import contextlib
import dataclasses
import os
import shlex
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import torch

from ancestral import __version__, interop, render
from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral.arguments import short_source
from ancestral.config import Config, CustomNetConfig, UNetConfig, by_size
from ancestral.config.file_kinds import first_suffix
from ancestral.config.output_folders import is_output
from ancestral.data import Dataset, DataSpec, InMemoryDataset
from ancestral.data.spec import NOTHING_TO_LEARN, SAMPLE
from ancestral.device import keep_freed_memory, pick_device
from ancestral.errors import InputError
from ancestral.events import Event, Message, Work, finish
from ancestral.inspection.findings import memorisation_finding
from ancestral.inspection.training_cost import step_memory, training_cost
from ancestral.model import Model
from ancestral.nets import Transformer, UNet
from ancestral.options import on_command_line, option
from ancestral.quantities import format_bytes
from ancestral.render.data_text import cost_summary
from ancestral.results.data_report import TrainingCost
from ancestral.results.sampling_recipe import SamplingRecipe
from ancestral.results.training_result import TrainingResult
from ancestral.threads import cpu_threads
from ancestral.training import Progress, RunFolder, Stopped, Trainer, trackers
from ancestral.training.disk_space import disk_warning
from ancestral.training.distributed import memory_explained
from ancestral.training.preview import preview_sampler, sample_preview
from ancestral.training.training_state import spec_of
from ancestral.workflows import fine_tuning, validation_source
from ancestral.workflows.plan_training import TrainPlan, plan
from ancestral.workflows.run_report import RunReport

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["fit", "plan", "run"]

PREVIEW_STEPS, LAST_PREVIEW_STEPS = 30, 100
"""Largest numbers of sampling steps of the previews during training, and of the last one."""
FILM_ITEMS = 4
"""Number of items of the report's film strip; points are one cloud."""
MEASURED = 3
"""Number of steps whose time is measured before training."""
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
    config, notes = plan.config, [*plan.notes]
    keep_freed_memory()
    opening = datasets.opening(plan.data, **config.data.form, memory=config.data.memory)
    dataset = (yield from opening) if int(os.environ.get("RANK", "0")) == 0 else finish(opening)
    if plan.saved is not None:
        notes += _check_same_data(plan.saved, config, dataset, plan.folder)
    else:
        _check_varied(dataset)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, fingerprint=dataset.fingerprint))
    dataset, held_out = validation_source.split(dataset, config, plan.validation)
    if plan.export_to == "diffusers" and plan.saved is None and plan.start is None:
        chosen = interop.choose_for_diffusers(config, spec_of(dataset, config), pick_device(plan.device).type)
        config = config.with_settings(**chosen)
        options = " ".join(option(name, value) for name, value in chosen.items())
        notes += [f"chosen for diffusers: {options} (options that are given win)"] if options else []
    with memory_explained(f"give a smaller {option('width')} or {option('batch_size')}"):
        trainer = Trainer(config, dataset, plan.device, plan.parts, plan.objective, held_out)
        if plan.start is not None:
            notes += [str(plan.start), *fine_tuning.begin(trainer, plan.start)]
    if config.distil.method and plan.saved is None:
        notes.append(f"distilling {config.distil}: samples by {config.sample.sampler}")
    if trainer.config.net.kind != config.net.kind:
        notes.append(f"points have no neighbours for a U-Net: the network is an {trainer.config.net}")
    notes += _doubts(trainer)
    notes += disk_warning(trainer, plan.folder)
    by_size_note = by_size.explain(config, trainer.spec.shape, trainer.device.type)
    models.check_sampler(trainer.denoiser, config.sample.sampler)
    if plan.export_to == "diffusers":
        interop.check_exportable(trainer.denoiser, trainer.config, trainer.spec)
    details = [by_size_note] if by_size_note else []
    return (yield from _run(trainer, plan.folder, plan.saved is not None, notes, details))


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
            if folder.model_step() != trainer.step:
                trainer.save(folder)
            if main:
                more = "" if config.distil.method else f"; more {option('steps')} go on"
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
                if main and step == configs.EARLY[0] and not last and picture.exists() and folder.model_step() == step:
                    yield Message(f"First samples: {picture}; more, in another terminal:  {_sampling(trainer, folder)}")
    return True


def _sampling(trainer: Trainer, folder: RunFolder, options: Sequence[str] = ()) -> str:
    """The command or the Python expression that samples from the model of a run."""
    net, out = trainer.config.net, shlex.quote(str(folder.path))
    if isinstance(net, CustomNetConfig) and not net.function:
        return f"ancestral.load({str(folder.path)!r}, net=...).sample(64)"
    words = ["ancestral", "sample", out, *(on_command_line(name, ["True"]) for name in options)]
    if isinstance(net, CustomNetConfig):
        words.append(on_command_line("net", [net.function]))
    return " ".join(words)


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


def _check_same_data(saved: Config, config: Config, dataset: Dataset, folder: RunFolder) -> list[str]:
    """What to say of data at another place. Raises InputError unless they are those that the run was trained on."""
    before, after = saved.data, config.data
    moved = (
        [] if before.source == after.source else [f"changed: the place of {option('data', short_source(after.source))}"]
    )
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
            f" (drawings laid on their own colour? give another {option('background')}, or {option('channels', 4)})"
            if items.ndim == 4
            else ""
        )
        raise InputError(f"{dataset.name} holds nothing but the value {int(value)}: {NOTHING_TO_LEARN}{cure}")


def _other_data(folder: RunFolder, source: str, text: str) -> InputError:
    """Say that a run cannot be resumed with these data, and how to train on them."""
    same = "" if source in ("", configs.FROM_PYTHON) else f" ({option('data', source)})"
    return InputError(
        f"{text}. Resuming needs the same data{same}; to train its model further on these, start another run from "
        f"it ({option('initial', folder.path)}, {option('out', '...')})"
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
                f"start a new run with {option('out')}"
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


def _doubts(trainer: Trainer) -> Iterator[str]:
    """Settings that have no effect, or that hardly work."""
    net, config, shape = trainer.denoiser.net, trainer.config, trainer.spec.shape
    if isinstance(net, UNet) and isinstance(config.net, UNetConfig):
        idle = [side for side in config.net.attention or () if side not in net.resolutions]
        if idle:
            levels = " ".join(map(str, net.resolutions))
            yield f"note: {option('attention', *idle)} has no effect; the levels have the resolutions {levels}"
    if isinstance(net, Transformer) and config.process.target in ("eps", "score"):
        numbers = shape[0] * net.patch**net.dims
        if numbers > net.width:
            yield (
                f"note: noise fills all {numbers} numbers of a patch, and a token has {net.width} ({option('width')}): "
                f"predict clean items, {option('target', 'x0')}"
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
        kept = f"{count} snapshot{plural} of two averages, {size}"
        return f"for ancestral average: {kept} ({option('snapshots', 0)} keeps none)"
    if trainer.config.runtime.snapshots == 0:
        why = option("snapshots", 0)
    elif trainer.state.pairs:
        why = "the run was begun without"
    else:
        why = f"each takes {format_bytes(trainer.state.pair_bytes)} ({option('snapshots', 16)} keeps 16)"
    return f"no snapshots for ancestral average: {why}"


def _closing(trainer: Trainer, folder: RunFolder, finished: bool, model: Model) -> Generator[Event, None, None]:
    """What the user should know after the last step, and the model card brought up to date."""
    from ancestral.workflows import model_cards

    skipped = trainer.dataset.skipped
    if skipped:
        yield Message(f"skipped {_files(skipped)} that could not be read, named above")
    if not finished:
        preset = f"{trainer.config.preset} " if trainer.config.preset in configs.PRESETS else ""  # else it is a file's
        place = on_command_line("out", [str(folder.path)])
        resume = f"ancestral train {preset}{place} {on_command_line('resume', ['True'])}"
        resume += " (started as before, for as many processes)" if trainer.distributed.world > 1 else ""
        yield Message(f"Stopped after step {trainer.step} and saved. Go on with:  {resume}")
        return
    yield Message(f"Trained {trainer.step} steps: {folder.model}")
    if (folder.path / render.README).exists():  # its numbers are of the model before
        yield model_cards.update_card(model, folder.path)
    picture = folder.samples / f"{trainer.step:06d}.png"
    seen = " and ".join(str(path) for path in (folder.report, picture) if path.exists())
    command = _sampling(trainer, folder, ("gif", "film"))
    yield Message(f"{f'Look at {seen}; then' if seen else 'Now'} try:  {command}")


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) > 1 else ''}"
