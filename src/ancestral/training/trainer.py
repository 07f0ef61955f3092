"""The training loop, as a generator of `Progress`: all steps, with what is measured and saved between them."""

import collections
import dataclasses
import math
import time
from collections.abc import Generator

from ancestral.base.errors import InputError, text_of
from ancestral.base.options import option
from ancestral.config.run_files import ValidationLosses
from ancestral.data.loading import is_worker_death
from ancestral.model import Model
from ancestral.randomness import pytorch_generator
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.fault_tolerance import Saves, restore_newest, roll_back, save_at_once
from ancestral.training.progress import Progress, StepOutcome, Stopped
from ancestral.training.run_folder import RunFolder
from ancestral.training.stepper import Stepper
from ancestral.training.training_state import TrainingState


class Trainer(Stepper):
    """A training run: its steps, the measurements of its averaged weights, and its saves. The arguments are those of
    `Stepper`.
    """

    validated: ValidationLosses | None = None
    """The last validation loss since this process began to train, or rolled back."""
    measuring_seconds = 0.0
    """Time that this process spent on measuring distances."""

    def _go_on_from(self, state: TrainingState) -> None:
        super()._go_on_from(state)
        self.validated = None

    def run(self, folder: RunFolder | None = None) -> Generator[Progress, None, None]:
        """Train up to `config.train.steps`.

        Args:
            folder: Where to save at intervals, at the end, and when `stop` is called; None saves nothing.

        Yields:
            The progress after each step.

        Raises:
            InputError: If training cannot go on.
            OSError: If the last save fails.
        """
        saves = None if folder is None else Saves(folder, self.config, self.distributed)
        try:
            yield from self._steps(saves)
        finally:
            if saves is not None:
                saves.checkpoints.settle()

    def _steps(self, saves: Saves | None) -> Generator[Progress, None, None]:
        train, done, norm, began = self.config.train, 0, math.nan, time.monotonic()
        ticks = collections.deque([began], maxlen=21)
        if saves is not None:
            saves.begin(self.step)
        missed = self._measure(saves)  # of the step that an earlier process was stopped at
        while self.step < (train := self.config.train).steps:
            outcome = self._attempt(saves)
            done += len(outcome.t) > 0
            norm = outcome.norm if len(outcome.losses) else norm
            notes, missed = [*missed, *outcome.notes], ()
            if outcome.verdict == "rollback":
                state = self._begin()
                notes += [roll_back(saves, self.state, state)]
                self._go_on_from(state)
            checking = self.step % train.sample_every == 0 or self.step >= train.steps
            if checking and len(outcome.t) and outcome.verdict != "rollback":
                notes += self._validate()
            if not outcome.stopping or self.step >= train.steps:
                notes += self._measure(saves)
            if saves is not None and not self.stopping and (moved := saves.find_folder()):
                notes.append(moved)
                self.stop()
            stopping = outcome.stopping or (self.stopping and self.distributed.world == 1 and not self.unread)
            train = self.config.train
            ending = stopping or self.step >= train.steps
            due = ending or (train.saves(self.step) and not self.state.guard.bad)
            ticks.append(time.monotonic())
            seconds = ticks[-1] - began
            progress = Progress(
                step=self.step,
                steps=train.steps,
                loss=math.nan if self.state.guard.loss is None else self.state.guard.loss,
                by_time=self.state.by_time.means,
                lr=float(self._learning_rates(self.state, max(self.step - 1, 0))[0]),
                gradient_norm=norm,
                images_per_second=self.gradients.batch_size * (len(ticks) - 1) / max(ticks[-1] - ticks[0], 1e-9),
                seconds=seconds,
                seconds_left=(train.steps - self.step) * seconds / max(done, 1),
                saved=due and saves is not None,
                T=self.denoiser.schedule.steps,
                memory=self.distributed.memory(),
                stopped=stopping,
                preempted=stopping and (outcome.preempted or self.preempted),
                notes=tuple(notes),
                validation=self.validated,
                distance=None if self.distance is None else self.distance.last,
                model=self._model_of_one_process,
            )
            if saves is not None:
                if outcome.verdict != "rollback":
                    notes += saves.log(progress)
                notes += saves.after_step(self.state, self.config, due, ending)
            yield dataclasses.replace(progress, notes=tuple(notes))
            if stopping:
                return

    def _attempt(self, saves: Saves | None) -> StepOutcome:
        """Take a step, unless it is stopped, or cannot go on: then what was trained is saved first.

        The outcome is read with the log, and before the state is saved or measured.
        """
        try:
            notes = self.take_step()
            read = self.read_steps() if self._reads() else StepOutcome(t=self.unread[-1].t)
            return dataclasses.replace(read, notes=(*notes, *read.notes))
        except Stopped:
            return dataclasses.replace(self.read_steps(), stopping=True, preempted=self.preempted)
        except InputError as error:  # before the weights were changed
            self.read_steps()
            if not self.step:
                raise
            raise type(error)(f"{error.text}; {save_at_once(saves, self.state, self.config)}") from None
        except RuntimeError as error:  # from a signal handler, maybe in the middle of an optimiser step
            if not is_worker_death(error) or self.distributed.world > 1:
                raise
            state = self._begin()
            if saves is not None:
                saves.go_back(state)
            self._go_on_from(state)
            return StepOutcome(notes=(f"a data worker died in the middle of a step: back to step {state.step}",))

    def _reads(self) -> bool:
        """Whether the outcome of the steps since the last reading is read now: the same on all processes."""
        train, step = self.config.train, self.step
        if self.reads_each_step or step >= train.steps or train.saves(step):
            return True
        if self.state.guard.loss is None or (self.distributed.world == 1 and self.stopping):
            return True
        every = (self.planned.runtime.log_every, train.sample_every, train.measure_every)
        return any(number and step % number == 0 for number in every)

    def _validate(self) -> tuple[str, ...]:
        """Measure the validation loss, and say if the model begins to memorise. All processes take part."""
        if self.validation is None:
            return ()
        with pytorch_generator(0):  # a network of one's own may draw random numbers
            denoiser = self.model().diffusion.eval()
            losses = self.validation.losses(denoiser, self.state.objective, self.distributed)
        end = self.last_step
        self.validated, notes = self.validation.check(self.step, losses)
        return (*notes, *self._end_note(end))

    def _measure(self, saves: Saves | None) -> tuple[str, ...]:
        """Measure the distance of samples if it is due, and say if it stops improving. All processes take part."""
        distance, train, step = self.distance, self.config.train, self.step
        if distance is None or not step or step == distance.plateau.measured or self.state.guard.bad:
            return ()
        if not train.measure_every or (step % train.measure_every and step < train.steps):
            return ()
        model, found, end, began = self.model(), distance.plateau.found, self.last_step, time.monotonic()
        stopping = lambda: self.stopping and step < train.steps  # noqa: E731
        try:
            with pytorch_generator(0):  # a network of one's own may draw random numbers
                best = distance.measure(model, self.config, step, self.distributed, stopping)
        except Exception as error:  # no measurement is worth the run
            if self.distributed.world > 1:  # the others wait
                raise
            return (f"the distance of samples was not measured: {text_of(error) or type(error).__name__}",)
        self.measuring_seconds += time.monotonic() - began
        notes: tuple[str, ...] = ()
        if best and saves is not None:
            notes += saves.write_best(model, distance)
        if distance.plateau.found and not found:
            notes += (
                f"samples no longer come closer to the {distance.compared_with}: {distance.title} {distance.plateau}",
            )
            notes += self._end_note(end)
        return notes

    def _end_note(self, before: int) -> tuple[str, ...]:
        """Say where the run ends, unless that is the step `before`."""
        after = self.last_step
        if after == before:
            return ()
        falls = "the learning rate falls from here on, and " if after > self.step else ""
        return (f"the plateau is reached: {falls}training ends after step {after:,}",)

    def _model_of_one_process(self) -> Model:
        if self.distributed.shard:
            raise InputError(
                f"the weights are distributed ({option('shard', True)}): load the model from the run folder"
            )
        return self.model()

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint, then the model. Raises OSError if they cannot be written; the old ones stay."""
        saves = Saves(folder, self.config, self.distributed)
        saves.save(self.state, self.config)
        saves.wait()

    def load(self, folder: RunFolder) -> list[str]:
        """Restore the newest whole checkpoint, and list what is wrong with newer ones.

        Raises:
            InputError: If all are damaged, or the checkpoint does not fit this config.
        """
        wrong = restore_newest(Checkpoints(folder.checkpoints), self.state)
        self.batches = self.loader.batches(self.step)
        return wrong
