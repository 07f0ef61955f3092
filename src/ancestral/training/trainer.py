"""The training loop, as a generator of `Progress`.

Each step is a function of (config, data, step): the batch, flips, augmentation, t, ε and dropout all follow from
(seed, step, index). So a run that was stopped and resumed is the run that was not, and many processes train what one
would.
"""

import collections
import math
import time
from collections.abc import Callable, Generator, Mapping

import torch
from torch import Tensor

from ancestral import model
from ancestral.config import Config, CustomNetConfig
from ancestral.data import Dataset
from ancestral.data.loading import Batch, Loader, is_worker_death
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model import Model, OwnParts
from ancestral.objectives import Objective
from ancestral.options import option
from ancestral.randomness import pytorch_generator
from ancestral.results.training_result import ValidationLosses
from ancestral.training import divergence, own_parts
from ancestral.training.averages import interval
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.distributed import Distributed, memory_explained
from ancestral.training.fault_tolerance import Saves, restore_newest, roll_back, save_at_once
from ancestral.training.gradients import Gradients
from ancestral.training.optimiser import lr_factor, set_learning_rate
from ancestral.training.progress import LossByTime, Progress, StepOutcome, Stopped
from ancestral.training.run_folder import RunFolder
from ancestral.training.training_state import TrainingState, spec_of
from ancestral.training.validation import Validation


class Trainer:
    """The state of a training run, and the data and processes that bring it from one step to the next.

    Args:
        config: The config of the run.
        dataset: The data.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        parts: A network, schedule or target of your own in place of the config's.
        objective: An objective of your own in place of the config's.
        held_out: Data that are not trained on, whose loss is measured; their classes are numbered as those of the data.

    Raises:
        InputError: If config, data and parts do not fit. Nothing is written.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: str = "auto",
        parts: OwnParts | None = None,
        objective: Callable[[Diffusion], Objective] | None = None,
        held_out: Dataset | None = None,
    ) -> None:
        self.parts, self.dataset, self.held_out = parts or OwnParts(), dataset, held_out
        config = self.parts.named_in(config).check()
        precision = config.train.precision
        if precision == "auto" and isinstance(config.net, CustomNetConfig):
            precision = "fp32"  # whether code of one's own bears less is not known
        self.distributed = Distributed(device, precision, config.runtime.shard)
        self.device, self.dtype = self.distributed.device, self.distributed.dtype
        self.spec = spec_of(dataset, config)
        self.config = config = model.for_items(config, self.spec, self.device.type)
        self.gradients = Gradients(config, self.distributed)
        self.loader = Loader(
            dataset,
            seed=config.train.seed,
            batch_size=self.gradients.batch_size,
            positions=self.gradients.positions,
            workers=config.runtime.workers,
            balance=config.data.balance,
        )
        self.validation = None if held_out is None else Validation(held_out, dataset, self.spec)
        self.stopping = False
        """Whether `stop` was called on this process."""
        self.waiting = False
        """Whether it waits for data, so that nothing is in progress: a signal handler may raise `Stopped` then."""
        self.initial: Mapping[str, Tensor] | None = None
        """The weights that the run starts from; None for random ones."""
        self._make_objective = objective
        self.state = self._begin()
        self.spec = self.state.spec
        self.batches = self.loader.batches(0)
        self.by_time = LossByTime(self.denoiser.schedule.steps)
        self.validated: ValidationLosses | None = None
        """The last validation loss since this process began to train, or rolled back."""

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Go to step 0 with these weights, by their names in the network. Raises InputError if they do not fit."""
        self.initial = weights
        self._go_on_from(self._begin())

    def _begin(self) -> TrainingState:
        """The state of step 0."""
        state = TrainingState(
            self.config,
            self.spec,
            self.parts,
            self.distributed,
            self._make_objective,
            self.initial,
            self.validation,
        )
        self._learning_rates(state)  # refuses a schedule that does not fit before anything is written
        return state

    def _go_on_from(self, state: TrainingState) -> None:
        self.state, self.validated = state, None
        self.batches = self.loader.batches(state.step)
        self.by_time = LossByTime(self.denoiser.schedule.steps)

    @property
    def step(self) -> int:
        """The number of steps that were taken or skipped."""
        return self.state.step

    @property
    def denoiser(self) -> Diffusion:
        """The denoiser in training."""
        return self.state.denoiser

    @property
    def snapshot_count(self) -> int:
        """The number of snapshots that a run of all steps leaves."""
        steps = self.config.train.steps
        return -(-steps // interval(steps, self.state.pairs)) if self.state.powers else 0

    def rehearse(self, count: int | None = None) -> None:
        """Compute the gradient of empty items, which changes nothing; see `Gradients.rehearse`."""
        self.gradients.rehearse(self.state, count)

    # -- one step -----------------------------------------------------------------------------------------------------

    def advance(self) -> StepOutcome:
        """Take one optimiser step, or skip it. `step` increases by one in either case."""
        state, scaler = self.state, self.distributed.scaler
        rates = self._learning_rates(state)  # a schedule of one's own may fail: nothing has begun then
        batch = self._next_batch()
        t, losses, stopping, notes = self.gradients.compute(state, batch, self.stopping)
        scaler.unscale_(state.optimiser)
        norm = self.distributed.gradient_norm(state.trained)
        # with loss scaling an infinite gradient is how the scale is found: the scaler then skips the step itself
        gradient = 0.0 if scaler.is_enabled() else norm.item()
        verdict = state.guard.judge(losses.mean().item(), gradient, positive=not state.objective_parameters)
        if verdict == "good":
            torch.nn.utils.clip_grads_with_norm_(state.trained, self.config.train.clip_norm, norm)
            set_learning_rate(state.optimiser, *rates)
            scaler.step(state.optimiser)
            state.objective.update(t, losses)
            self.by_time.add(t, losses)
            state.ema.update(state.parameters, state.step + 1)
        else:
            notes += [f"{self._fault(t, losses, batch)}: skipped ({state.guard.bad} in a row)"]
        for average in state.powers.values():  # also at a skipped step: the profile is one over all steps
            average.update(state.parameters, state.step + 1)
        scaler.update()
        state.step += 1
        return StepOutcome(verdict, norm.item(), t, losses, stopping, (*batch.notes, *notes))

    def _next_batch(self) -> Batch:
        self.waiting = self.distributed.world == 1
        try:
            with memory_explained(f"give a smaller {option('batch_size')}"):
                return next(self.batches)
        finally:
            self.waiting = False

    def _learning_rates(self, state: TrainingState, step: int | None = None) -> list[float]:
        """The learning rate of each parameter group at the step of the state, or another one."""
        step, schedule = state.step if step is None else step, self.parts.lr_schedule
        factor = lr_factor(self.config.train, step) if schedule is None else own_parts.call_lr_schedule(schedule, step)
        return [rate * factor * state.guard.lr_factor for rate in state.rates]

    def _fault(self, t: Tensor, losses: Tensor, batch: Batch) -> str:
        """Describe a bad step. All processes take part."""
        items = torch.zeros(len(t), dtype=torch.float64, device=self.device)
        items[self.gradients.positions.start :: self.distributed.world] = batch.indices.to(items)
        layer = divergence.largest_gradient(self.state.net)
        numbers = self.distributed.total(items).long()
        names = (numbers if self.dataset.rows is None else self.dataset.rows[numbers]).tolist()
        return divergence.describe_fault(self.step, t, losses, names, layer, self.denoiser.schedule.steps)

    # -- all steps ----------------------------------------------------------------------------------------------------

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
        train, done, began = self.config.train, 0, time.monotonic()
        ticks = collections.deque([began], maxlen=21)
        if saves is not None:
            saves.begin(self.step)
        while self.step < train.steps:
            outcome = self._attempt(saves)
            done += len(outcome.t) > 0
            notes = [*outcome.notes]
            if outcome.verdict == "rollback":
                state = self._begin()
                notes += [roll_back(saves, self.state, state)]
                self._go_on_from(state)
            stopping = outcome.stopping or (self.stopping and self.distributed.world == 1)
            ending = stopping or self.step >= train.steps
            checking = self.step % train.sample_every == 0 or self.step >= train.steps
            if checking and len(outcome.t) and outcome.verdict != "rollback":
                notes += self._validate()
            moved = "" if saves is None else saves.folder.follow()
            if moved and self.distributed.world > 1:  # the others know its old place: they stop after the next step
                self.stop()
            due = ending or ((bool(moved) or train.saves(self.step)) and not self.state.guard.bad)
            notes += [moved] * bool(moved)
            if saves is not None:
                notes += saves.after_step(self.state, due, ending)
            ticks.append(time.monotonic())
            seconds = ticks[-1] - began
            yield Progress(
                step=self.step,
                steps=train.steps,
                loss=math.nan if self.state.guard.loss is None else self.state.guard.loss,
                by_time=self.by_time.means,
                lr=float(self._learning_rates(self.state, max(self.step - 1, 0))[0]),
                gradient_norm=outcome.norm,
                images_per_second=self.gradients.batch_size * (len(ticks) - 1) / max(ticks[-1] - ticks[0], 1e-9),
                seconds=seconds,
                seconds_left=(train.steps - self.step) * seconds / max(done, 1),
                saved=due and saves is not None,
                T=self.denoiser.schedule.steps,
                memory=self.distributed.memory(),
                stopped=stopping,
                notes=tuple(notes),
                validation=self.validated,
                model=self._model_of_one_process,
            )
            if stopping:
                return

    def _attempt(self, saves: Saves | None) -> StepOutcome:
        """`advance`, unless it is stopped, or cannot go on: then what was trained is saved first."""
        try:
            return self.advance()
        except Stopped:
            return StepOutcome(stopping=True)
        except InputError as error:  # before the weights were changed
            if not self.step:
                raise
            raise type(error)(f"{error.text}; {save_at_once(saves, self.state)}") from None
        except RuntimeError as error:  # from a signal handler, maybe in the middle of an optimiser step
            if not is_worker_death(error) or self.distributed.world > 1:
                raise
            state = self._begin()
            if saves is not None:
                saves.go_back(state)
            self._go_on_from(state)
            return StepOutcome(notes=(f"a data worker died in the middle of a step: back to step {state.step}",))

    def _validate(self) -> tuple[str, ...]:
        """Measure the validation loss, and say if the model begins to memorise. All processes take part."""
        if self.validation is None:
            return ()
        with pytorch_generator(0):  # a network of one's own may draw random numbers
            denoiser = self.model().diffusion.eval()
            losses = self.validation.losses(denoiser, self.state.objective, self.distributed)
        self.validated, notes = self.validation.check(self.step, losses)
        return notes

    def stop(self) -> None:
        """End `run` after the step in progress, saved. Signal handlers may call it, on any of the processes."""
        self.stopping = True

    def close(self) -> None:
        """End the processes that read data."""
        self.loader.close()

    # -- saving and loading -------------------------------------------------------------------------------------------

    def model(self) -> Model:
        """Copy the denoiser with the averaged weights, as it would be saved now. All processes take part."""
        return self.state.model(self.config)

    def _model_of_one_process(self) -> Model:
        if self.distributed.shard:
            raise InputError(
                f"the weights are distributed ({option('shard', True)}): load the model from the run folder"
            )
        return self.model()

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint, then the model. Raises OSError if they cannot be written; the old ones stay."""
        saves = Saves(folder, self.config, self.distributed)
        saves.save(self.state)
        saves.wait()

    def load(self, folder: RunFolder) -> list[str]:
        """Restore the newest whole checkpoint, and list what is wrong with newer ones.

        Raises:
            InputError: If all are damaged, or the checkpoint does not fit this config.
        """
        wrong = restore_newest(Checkpoints(folder.checkpoints), self.state)
        self.batches = self.loader.batches(self.step)
        return wrong
