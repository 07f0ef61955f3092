"""Training: from a config and data to a run folder, with previews, a log, a report, and signals that end it well."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from ancestral import model as models
from ancestral.base.device import cpu_threads, items_at_once, keep_freed_memory
from ancestral.base.errors import survived
from ancestral.base.events import Event, Message, Work
from ancestral.base.options import option
from ancestral.base.quantities import Estimate
from ancestral.data.spec import DataSpec
from ancestral.metrics import extractors, uncertainty
from ancestral.model import Model
from ancestral.results.run_result import TrainingResult
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.disk_space import disk_warning
from ancestral.training.distributed import memory_explained
from ancestral.training.signals import stop_on_signals
from ancestral.training.trackers import Tracker, Trackers, named_trackers
from ancestral.training.training_state import spec_of
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training.autoencoding import prepare_autoencoder
from ancestral.use_cases.training.opened_data import OpenedData, opened
from ancestral.use_cases.training.plan_training import TrainPlan, plan
from ancestral.use_cases.training.run_report import RunEvent, RunReport, logged, reported
from ancestral.use_cases.training.training_choices import choose, choose_memory
from ancestral.use_cases.training.training_messages import announced, doubts, ended
from ancestral.use_cases.training.training_previews import Preview, lacks_preview, previewed

__all__ = ["fit", "plan", "run"]

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
    folder, resuming = plan.folder, plan.saved is not None
    data = yield from opened(plan)
    trainer, notes = new_trainer(plan, data)
    main = trainer.distributed.main
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(trainer))
        memory, memory_notes = yield from choose_memory(trainer)
        notes += memory_notes
        if main and resuming:
            stack.enter_context(folder.locked())
        threads = stack.enter_context(cpu_threads(trainer.config.runtime.threads))
        if resuming:
            notes += _restore(trainer, folder, notes)
        choices = choose(trainer, data.config, memory, threads)
        trainer.take(choices.config if resuming else choices.config.begun(*plan.parts.names), choices.distance)
        if main and not resuming:  # only now, so that Ctrl-C before leaves nothing
            folder.begin(trainer.config)
            stack.enter_context(folder.locked())
            folder.tidy()
        if main:
            yield from announced(trainer, folder, choices, notes, resuming)
        stopped = yield from _phases(trainer, plan)
        model = trainer.model()  # all processes take part
        model.file = folder.model
        if main:
            yield from ended(trainer, folder, stopped, model)
    return _result(trainer, folder, model, bool(stopped))


def _result(trainer: Trainer, folder: RunFolder, model: Model, stopped: bool) -> TrainingResult[Model]:
    return TrainingResult(
        folder=str(folder.path),
        preset=trainer.config.preset,
        step=trainer.step,
        steps=max(trainer.config.train.steps, trainer.step),
        seconds=folder.seconds(),
        parameters=model.parameters,
        stopped=stopped,
        preempted=stopped and trainer.preempted,
        loss=trainer.state.guard.loss,
        validation=folder.last_validation(),
        distance=folder.last_distance(),
        best=folder.best_model(),
        plateau=trainer.plateau or None,
        trained=model,
    )


def new_trainer(plan: TrainPlan, data: OpenedData) -> tuple[Trainer, list[str]]:
    """Make the trainer of a run, at step 0, and lines on it.

    Raises:
        InputError: If parts do not fit the data or each other, or there is no memory or disk for it.
    """
    config, notes, autoencoder = data.config, [*data.notes], None
    with memory_explained(f"give a smaller {option('width')} or {option('batch_size')}"):
        if config.latent.latent is not None:
            spec = spec_of(data.training, config)
            autoencoder = models.build_autoencoder(config.latent, spec, config.train.seed, plan.autoencoder)
        trainer = Trainer(config, data.training, plan.device, plan.parts, data.held_out, autoencoder)
        trainer.measure_by(KernelDistance)
        if plan.start is not None:
            notes += [str(plan.start), *fine_tuning.begin(trainer, plan.start)]
    if config.distil.method and plan.saved is None:
        notes.append(f"distilling {config.distil}: samples by {config.sample.sampler}")
    if trainer.config.net.kind != config.net.kind:
        notes.append(f"points have no neighbours for a U-Net: the network is an {trainer.config.net}")
    notes += [*doubts(trainer), *disk_warning(trainer, plan.folder)]
    models.check_sampler(trainer.denoiser, config.sample.sampler)
    models.metadata_of(trainer.denoiser, trainer.config, trainer.spec, 0)  # what no file can hold is refused now
    return trainer, notes


def _restore(trainer: Trainer, folder: RunFolder, notes: Sequence[str]) -> list[str]:
    """Bring a trainer to the newest checkpoint; return what is wrong with newer ones."""
    wrong = [f"{line}; going on from an older one" for line in trainer.load(folder)]
    if trainer.distributed.main:
        folder.tidy()
        folder.trim_log(trainer.step)
        with survived("write the notes", []):  # they are for the report alone
            if trainer.step < trainer.config.train.steps:  # else nothing goes on, so nothing has changed
                folder.append_notes(trainer.step, ["going on", *notes, *wrong])
    return wrong


def _phases(trainer: Trainer, plan: TrainPlan) -> Generator[TrainingEvent, None, bool | None]:
    """Prepare the autoencoder of a run in a latent space, and train.

    Returns:
        Whether the run was stopped; None if there was no step left.
    """
    folder, main = plan.folder, trainer.distributed.main
    latent = trainer.spec.autoencoder is not None
    if latent and not (yield from prepare_autoencoder(trainer, folder, plan.autoencoder)):
        return True
    if trainer.initial is not None and trainer.step == 0:
        trainer.save(folder)  # from here on the run needs the model that it started from no more
    if trainer.step < trainer.config.train.steps:
        if main:
            yield Work("the first step", 0, 0)
        return not (yield from fit(trainer, folder, plan.trackers))
    if (model_step := folder.model_step()) != trainer.step:
        trainer.save(folder)
        if main and model_step is None:
            yield Message(f"{folder.model} was missing or damaged, and is written anew.")
    if main:
        more = "" if trainer.config.distil.method else f"; more {option('steps')} go on"
        yield Message(f"Already at step {trainer.step} of {trainer.config.train.steps}{more}.")
    if lacks_preview(trainer, folder):
        yield from fit(trainer, folder, plan.trackers)
    return None


def fit(
    trainer: Trainer, folder: RunFolder, custom_trackers: Sequence[Tracker] = ()
) -> Generator[TrainingEvent, None, bool]:
    """Train to the last step, with a log, previews and the report in the run folder.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1, by which clusters announce that they want a machine back, and SIGHUP, when a
    terminal is closed, stop the run after the step in progress, saved; a second Ctrl-C interrupts at once.

    Args:
        trainer: The trainer.
        folder: The run folder.
        custom_trackers: Custom trackers, beside those that the config names.

    Returns:
        Whether the last step was reached.

    Raises:
        InputError: If training cannot go on.
        OSError: If the last save fails.
    """
    runtime, T, progress = trainer.config.runtime, trainer.denoiser.schedule.steps, None
    main, trackers = trainer.distributed.main, [*named_trackers(runtime.trackers), *custom_trackers]
    logs = Trackers(folder, trackers, T, trainer.step) if main else contextlib.nullcontext()
    with stop_on_signals(trainer), logs as log, contextlib.closing(trainer.run(folder)) as steps:
        events: Iterator[RunEvent] = previewed(steps, trainer, folder)
        if log is not None:
            yield from map(Message, log.problems)
            events = reported(logged(events, log, runtime.log_every), RunReport(trainer, folder))
        for event in events:
            progress = event if isinstance(event, Progress) else progress
            if main and not isinstance(event, Preview):
                yield event
    if progress is None or not progress.interrupted:
        return True
    trainer.preempted = progress.preempted  # on every process
    return False


class KernelDistance:
    """The kernel distance of the features of the default extractor: a `training.sample_distance.ItemMetric`.

    Args:
        spec: The description of the data.
        device: Where the feature extractor runs.

    Raises:
        InputError: If the extractor's package is missing.
    """

    def __init__(self, spec: DataSpec, device: torch.device) -> None:
        self.extractor = extractors.extractor(extractors.default_name(spec.shape), spec.shape, spec.codec, device)
        self.title = self.extractor.title("KID")
        self.width = self.extractor.width

    def features(self, items: Tensor) -> Tensor:
        """Return the features (N, width) of decoded items (N, C, *sides)."""
        return self.extractor(items).values

    def reference_features(self, items: Tensor) -> Tensor:
        """Return the same in batches; the user's cache keeps them."""
        batches = extractors.features(self.extractor, items, items_at_once(items.shape[1:]))
        return extractors.concatenate(batches).values

    def to(self, reference: Tensor) -> Callable[[Tensor], Estimate]:
        """Return the distance of features to those of a reference set."""
        return partial(uncertainty.kernel, y=uncertainty.Reference(reference))
