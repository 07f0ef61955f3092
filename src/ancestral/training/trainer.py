"""A training run: its steps, and the loop over them as a generator of `Progress`.

Each step is a function of (config, data, step): the batch, flips, augmentation, t, ε and dropout all follow from
(seed, step, index). So a run that was stopped and resumed is the run that was not, and many processes train what one
would.
"""

import collections
import dataclasses
import math
import time
from collections.abc import Generator

import torch
from torch import Tensor

from ancestral import model
from ancestral.base.device import UNPINNED
from ancestral.base.errors import InputError, text_of
from ancestral.base.options import option
from ancestral.config import AUTOENCODER, Config, CustomNetConfig
from ancestral.config.run_files import ValidationLosses
from ancestral.data import Dataset
from ancestral.data.loading import Batch, Loader, is_worker_death
from ancestral.diffusion import Diffusion
from ancestral.model import CustomParts, Model
from ancestral.nets.autoencoder import Autoencoder
from ancestral.randomness import pytorch_generator
from ancestral.training import custom_parts, divergence
from ancestral.training.averages import interval
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.device_data import BatchCopies, cache_for, items_on_device
from ancestral.training.distributed import Distributed, memory_explained
from ancestral.training.fault_tolerance import Saves, restore_newest, roll_back, save_at_once
from ancestral.training.gradients import Gradients
from ancestral.training.optimiser import DenseAdam, lr_factor, set_learning_rate
from ancestral.training.plateau import constant_steps, end_after
from ancestral.training.progress import Progress, StepOutcome, Stopped, UnreadStep
from ancestral.training.run_folder import RunFolder
from ancestral.training.sample_distance import SampleDistance
from ancestral.training.training_state import Monitors, TrainingState, spec_of
from ancestral.training.validation import Validation


class Trainer:
    """A training run: its state, the data and processes that bring it from one step to the next, what is measured
    between steps, and its saves.

    Args:
        config: The config of the run.
        dataset: The data.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        parts: Custom parts in place of the config's, and the weights that the run starts from.
        held_out: Data that are not trained on, whose loss is measured; their classes are numbered as those of the data.
        autoencoder: The autoencoder of a config with a latent space, which is not trained here.

    Raises:
        InputError: If config, data and parts do not fit, or the distance of samples cannot be measured on these data.
            Nothing is written.
    """

    validated: ValidationLosses | None = None
    """The last validation loss since this process began to train, or rolled back."""
    measuring_seconds = 0.0
    """Time that this process spent on measuring distances."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: str = "auto",
        parts: CustomParts | None = None,
        held_out: Dataset | None = None,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        self.parts, self.dataset, self.held_out = parts or CustomParts(), dataset, held_out
        config = self.parts.named_in(config).check()
        precision = config.train.precision
        if precision == "auto" and isinstance(config.net, CustomNetConfig):
            precision = "fp32"  # whether custom code bears less is not known
        self.distributed = Distributed(device, precision, config.runtime.shard)
        self.device, self.dtype = self.distributed.device, self.distributed.dtype
        self.spec = dataclasses.replace(spec_of(dataset, config), autoencoder=autoencoder)
        if autoencoder is None and config.latent.latent is not None and config.preset != AUTOENCODER:
            raise InputError("a trainer in a latent space is given its autoencoder: Trainer(..., autoencoder=...)")
        self.config = config = model.for_items(config, self.spec, self.device.type)
        """The config of the run, which stays as it is."""
        self.gradients = Gradients(config, self.distributed)
        self.loader = Loader(
            dataset,
            seed=config.train.seed,
            batch_size=self.gradients.batch_size,
            positions=self.gradients.positions,
            workers=config.runtime.workers,
            balance=config.data.balance,
        )
        memory_format = config.runtime.memory_format
        self.monitors = Monitors(None if held_out is None else Validation(held_out, dataset, self.spec, memory_format))
        self.stopping = False
        """Whether `stop` was called on this process."""
        self.preempted = False
        """Whether that was because its machine is taken away."""
        self.waiting = False
        """Whether it waits for data, so that nothing is in progress: a signal handler may raise `Stopped` then."""
        self.unread: list[UnreadStep] = []
        """The steps whose outcome was not read yet."""
        self.state = self._begin()
        self.spec = self.state.spec
        if config.train.measure_every and self.parts.metric is not None:
            self.monitors.distance = self.new_distance()
        if autoencoder is not None:
            self.gradients.cache = cache_for(config.data, self.spec, dataset, self.device)
        if self.device.type != "cpu":
            self.gradients.items = items_on_device(dataset, self.device)
        if self.gradients.items is None and self.device.type not in UNPINNED:
            self.gradients.copies = BatchCopies(self.device)
        self.batches = self.loader.batches(0)

    @property
    def validation(self) -> Validation | None:
        """What measures the validation loss; None without held-out data."""
        return self.monitors.validation

    @property
    def distance(self) -> SampleDistance | None:
        """What measures the distance of samples; None if none is measured."""
        return self.monitors.distance

    @property
    def ending_config(self) -> Config:
        """The config with the number of steps after which the run ends: that of files and of the learning rate."""
        config, steps = self.config, self.last_step
        if steps == config.train.steps:
            return config
        return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))

    def new_distance(self) -> SampleDistance:
        """Return what measures the distance of samples. Raises InputError if none can be measured on these data."""
        if self.parts.metric is None:
            raise InputError("a trainer measures samples by a metric that it is given: parts=CustomParts(metric=...)")
        metric = self.parts.metric(self.spec, self.device)
        return SampleDistance(self.dataset, self.held_out, self.spec, metric, self.config.train.plateau_tolerance)

    @property
    def plateau(self) -> int:
        """The step at which the distance of samples had stopped improving, or memorisation was named; 0 before."""
        distance = 0 if self.distance is None else self.distance.plateau.found
        memorises = 0 if self.validation is None else self.validation.memorises
        return min(filter(None, (distance, memorises)), default=0)

    def _begin(self) -> TrainingState:
        """The state of step 0."""
        state = TrainingState(self.config, self.spec, self.parts, self.distributed, self.monitors)
        self._learning_rates(state)  # refuses a schedule that does not fit before anything is written
        if self.distributed.replicated:
            self._settle_sums(state)
        return state

    def _settle_sums(self, state: TrainingState) -> None:
        """Compute a gradient that changes nothing, so that each step of the run sums gradients in the same order.

        DDP sorts parameters into other buckets after its first backward pass. The place in a bucket decides in which
        order a sum over more than two processes is rounded, so the first step after a resume would differ.
        """
        buffers = {name: value.clone() for name, value in state.net.named_buffers()}
        self.gradients.dry_run(state)
        for name, value in state.net.named_buffers():
            value.copy_(buffers[name])

    def _go_on_from(self, state: TrainingState) -> None:
        self.state, self.unread, self.validated = state, [], None
        self.batches = self.loader.batches(state.step)

    @property
    def last_step(self) -> int:
        """The step that training ends at: that of the config, or sooner in a run until its plateau, once it is found.

        Where the learning rate falls at the end, training ends after that fall.
        """
        train, plateau = self.config.train, self.plateau
        if train.until != "plateau" or not plateau:
            return train.steps
        falls = train.decay == "cosine" and self.parts.lr_schedule is None
        if falls and plateau > constant_steps(train.steps):
            return train.steps
        return min(train.steps, max(self.step, end_after(plateau) if falls else plateau))

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
        steps = self.last_step
        return -(-steps // interval(steps, self.state.pairs)) if self.state.powers else 0

    def dry_run(self, count: int | None = None) -> None:
        """Compute the gradient of empty items, which changes nothing; see `Gradients.dry_run`."""
        self.gradients.dry_run(self.state, count)

    def advance(self) -> StepOutcome:
        """Take one optimiser step, or skip it, and read its outcome. `step` increases by one in either case."""
        notes = self.take_step()
        outcome = self.read_steps()
        return dataclasses.replace(outcome, notes=(*notes, *outcome.notes))

    def take_step(self) -> tuple[str, ...]:
        """Take one optimiser step, or skip it, without waiting for the device; return notes on the batch.

        `read_steps` reads what came out, of this step and those before. The device itself decides whether the step is
        skipped. On a CPU, where nothing waits, it is known at once, and nothing is computed for a step that is skipped.
        """
        state, scaler, at_once = self.state, self.distributed.scaler, self.reads_each_step
        rates = self._learning_rates(state)  # a custom schedule may fail: nothing has begun then
        batch = self._next_batch()
        t, losses, flags, notes = self.gradients.compute(state, batch, self.stopping, self.preempted)
        scaler.unscale_(state.optimiser)
        norm = self.distributed.gradient_norm(state.trained)
        # with loss scaling an infinite gradient is how the scale is found: the scaler then skips the step itself
        judged = torch.zeros_like(norm) if scaler.is_enabled() else norm
        skipped = state.guard.judge(losses.mean(), judged, positive=not state.objective_parameters)
        known_bad = at_once and bool(skipped)
        sizes = divergence.gradient_sizes(state.net) if known_bad or not at_once else {}
        if not known_bad:
            clip_norm = self.config.train.clip_norm
            if not at_once or scaler.is_enabled() or norm > 0.99 * clip_norm:  # else all are multiplied by 1
                torch.nn.utils.clip_grads_with_norm_(state.trained, clip_norm, norm)
            set_learning_rate(state.optimiser, *rates)
            if isinstance(state.optimiser, DenseAdam):
                state.optimiser.skipped = None if at_once else skipped
            scaler.step(state.optimiser)
            state.ema.update(state.parameters, state.step + 1, None if at_once else skipped)
        for average in state.powers.values():  # also at a skipped step: the profile is one over all steps
            average.update(state.parameters, state.step + 1)
        scaler.update()
        self.unread.append(UnreadStep(state.step, t, losses, norm, state.guard.numbers, flags, sizes, batch.indices))
        state.step += 1
        return (*batch.notes, *notes)

    def read_steps(self) -> StepOutcome:
        """Wait for the steps since the last call, and read their outcome: that of the last one, with notes on all.

        All processes take part.
        """
        state, notes, outcome = self.state, list[str](), StepOutcome()
        steps, self.unread = self.unread, []
        if not steps:
            return outcome
        table = torch.stack([torch.cat([step.losses, step.guard, step.norm[None]]) for step in steps]).cpu().double()
        stopping, preempted = torch.stack([step.flags for step in steps]).amax(0).tolist()
        for step, row in zip(steps, table, strict=True):
            losses, t = row[:-4], step.t.cpu()
            verdict = state.guard.read(row[-4:-1].tolist())
            if verdict == "good":
                state.objective.update(t, losses)
                state.by_time.add(t, losses)
            else:
                notes.append(f"{self._fault(step, t, losses)}: skipped ({state.guard.bad} in a row)")
            outcome = StepOutcome(verdict, row[-1].item(), t, losses, bool(stopping), bool(preempted), tuple(notes))
            if verdict == "rollback":  # the device skipped all later ones
                break
        return outcome

    @property
    def reads_each_step(self) -> bool:
        """Whether the outcome of each step is read before the next one, where that costs nothing or is needed.

        On an accelerator the fused kernel of Adam skips a step by a number on the device. Custom optimisers, MPS
        and sharded weights have no such kernel. An objective that learns from its losses draws the next times by them.
        """
        return (
            self.device.type == "cpu"
            or self.distributed.shard
            or not (isinstance(self.state.optimiser, DenseAdam) and self.state.optimiser.defaults["fused"])
            or self.state.objective.learns
        )

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
        train = self.ending_config.train
        factor = lr_factor(train, step) if schedule is None else custom_parts.call_lr_schedule(schedule, step)
        return [rate * factor * state.guard.lr_factor for rate in state.rates]

    def _fault(self, step: UnreadStep, t: Tensor, losses: Tensor) -> str:
        """Describe a bad step. All processes take part."""
        items = torch.zeros(len(t), dtype=torch.int64)
        items[self.gradients.positions.start :: self.distributed.world] = step.indices
        layer = divergence.largest_gradient(step.gradient_sizes)
        numbers = self.distributed.total(items)
        names = (numbers if self.dataset.rows is None else self.dataset.rows[numbers]).tolist()
        return divergence.describe_fault(step.step, t, losses, names, layer, self.denoiser.schedule.steps)

    def stop(self, preempted: bool = False) -> None:
        """End `run` after the step in progress, saved. Signal handlers may call it, on any of the processes.

        Args:
            preempted: Whether the machine is taken away, so that a scheduler should start the run again.
        """
        self.stopping, self.preempted = True, self.preempted or preempted

    def close(self) -> None:
        """End the processes that read data."""
        self.loader.close()

    def model(self) -> Model:
        """Copy the denoiser with the averaged weights, as it would be saved now. All processes take part."""
        return self.state.model(self.ending_config)

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self, folder: RunFolder | None = None) -> Generator[Progress, None, None]:
        """Train up to the last step.

        Args:
            folder: Where to save at intervals, at the end, and when `stop` is called; None saves nothing.

        Yields:
            The progress after each step.

        Raises:
            InputError: If training cannot go on.
            OSError: If the last save fails.
        """
        saves = None if folder is None else Saves(folder, self.ending_config, self.distributed)
        try:
            yield from self._steps(saves)
        finally:
            if saves is not None:
                saves.checkpoints.settle()

    def _steps(self, saves: Saves | None) -> Generator[Progress, None, None]:
        train, done, norm, began = self.ending_config.train, 0, math.nan, time.monotonic()
        ticks = collections.deque([began], maxlen=21)
        if saves is not None:
            saves.begin(self.step)
        # an earlier process may have been stopped before it measured its last step: the first progress has those notes
        late_notes = self._measure(saves)
        while self.step < (train := self.ending_config.train).steps:
            outcome = self._attempt(saves)
            if len(outcome.t):  # a step was taken or skipped, and not stopped while it waited for data
                done += 1
            norm = outcome.norm if len(outcome.losses) else norm
            notes, late_notes = [*late_notes, *outcome.notes], ()
            if outcome.verdict == "rollback":
                state = self._begin()
                notes += [roll_back(saves, self.state, state)]
                self._go_on_from(state)
            checking = self.step % train.sample_every == 0 or self.step >= train.steps
            if checking and len(outcome.t) and outcome.verdict != "rollback":
                notes += self._validate()
            if not outcome.stopping or self.step >= train.steps:
                notes += self._measure(saves)
            stopping = outcome.stopping or (self.stopping and self.distributed.world == 1 and not self.unread)
            train = self.ending_config.train
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
                notes += saves.after_step(self.state, self.ending_config, due, ending)
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
            raise type(error)(f"{error.text}; {save_at_once(saves, self.state, self.ending_config)}") from None
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
        train, step = self.ending_config.train, self.step
        if self.reads_each_step or step >= train.steps or train.saves(step):
            return True
        if self.state.guard.loss is None or (self.distributed.world == 1 and self.stopping):
            return True
        every = (self.config.runtime.log_every, train.sample_every, train.measure_every)
        return any(number and step % number == 0 for number in every)

    def _validate(self) -> tuple[str, ...]:
        """Measure the validation loss, and say if the model begins to memorise. All processes take part."""
        if self.validation is None:
            return ()
        with pytorch_generator(0):  # a custom network may draw random numbers
            denoiser = self.model().diffusion.eval()
            losses = self.validation.losses(denoiser, self.state.objective, self.distributed)
        end = self.last_step
        self.validated, notes = self.validation.check(self.step, losses)
        return (*notes, *self._end_note(end))

    def _measure(self, saves: Saves | None) -> tuple[str, ...]:
        """Measure the distance of samples if it is due, and say if it stops improving. All processes take part."""
        distance, train, step = self.distance, self.ending_config.train, self.step
        if distance is None or not step or step == distance.plateau.measured or self.state.guard.bad:
            return ()
        if not train.measure_every or (step % train.measure_every and step < train.steps):
            return ()
        model, found, end, began = self.model(), distance.plateau.found, self.last_step, time.monotonic()
        stopping = lambda: self.stopping and step < train.steps  # noqa: E731
        try:
            with pytorch_generator(0):  # a custom network may draw random numbers
                best = distance.measure(model, self.ending_config, step, self.distributed, stopping)
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
        saves = Saves(folder, self.ending_config, self.distributed)
        saves.save(self.state, self.ending_config)
        saves.wait()

    def load(self, folder: RunFolder) -> list[str]:
        """Restore the newest whole checkpoint, and list what is wrong with newer ones.

        Raises:
            InputError: If all are damaged, or the checkpoint does not fit this config.
        """
        wrong = restore_newest(Checkpoints(folder.checkpoints), self.state)
        self.batches = self.loader.batches(self.step)
        return wrong
