"""Training: from a config and data to a run folder, with previews, a log, a report, and signals that end it well."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence

from ancestral.base.device import cpu_threads, keep_freed_memory
from ancestral.base.errors import survived
from ancestral.base.events import Event, Message, Work
from ancestral.base.options import option
from ancestral.model import Model
from ancestral.results.run_result import TrainingResult
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.signals import stop_on_signals
from ancestral.training.trackers import Tracker, Trackers, named_trackers
from ancestral.use_cases.training.autoencoding import prepare_autoencoder
from ancestral.use_cases.training.opened_data import opened
from ancestral.use_cases.training.plan_training import TrainPlan, plan
from ancestral.use_cases.training.run_report import RunEvent, RunReport, logged, reported
from ancestral.use_cases.training.settling import settle
from ancestral.use_cases.training.training_messages import announced, ended
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
    setup = yield from settle(plan, (yield from opened(plan)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(cpu_threads(setup.config.runtime.threads))
        trainer = stack.enter_context(contextlib.closing(setup.trainer(plan.device)))
        main = trainer.distributed.main
        if main and not resuming:  # only now, so that Ctrl-C before leaves nothing
            folder.begin(trainer.config)
        if main:
            stack.enter_context(folder.locked())
            folder.tidy()
        if resuming:
            wrong = _restore(trainer, folder, setup.notes)
            setup = dataclasses.replace(setup, notes=(*setup.notes, *wrong))
        if main:
            yield from announced(trainer, folder, setup, resuming)
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
        steps=max(trainer.last_step, trainer.step),
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


def _restore(trainer: Trainer, folder: RunFolder, notes: Sequence[str]) -> list[str]:
    """Bring a trainer to the newest checkpoint; return what is wrong with newer ones."""
    wrong = [f"{line}; going on from an older one" for line in trainer.load(folder)]
    if trainer.distributed.main:
        folder.trim_log(trainer.step)
        with survived("write the notes", []):  # they are for the report alone
            if trainer.step < trainer.last_step:  # else nothing goes on, so nothing has changed
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
    if trainer.parts.weights is not None and trainer.step == 0:
        trainer.save(folder)  # from here on the run needs the model that it started from no more
    if trainer.step < trainer.last_step:
        if main:
            yield Work("the first step", 0, 0)
        return not (yield from fit(trainer, folder, plan.trackers))
    if (model_step := folder.model_step()) != trainer.step:
        trainer.save(folder)
        if main and model_step is None:
            yield Message(f"{folder.model} was missing or damaged, and is written anew.")
    if main:
        more = "" if trainer.config.distil.method else f"; more {option('steps')} go on"
        yield Message(f"Already at step {trainer.step} of {trainer.last_step}{more}.")
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
