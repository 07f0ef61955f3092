"""One step of a training run.

Each step is a function of (config, data, step): the batch, flips, augmentation, t, ε and dropout all follow from
(seed, step, index). So a run that was stopped and resumed is the run that was not, and many processes train what one
would.
"""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from ancestral import model
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import AUTOENCODER, Config, CustomNetConfig
from ancestral.data import Dataset
from ancestral.data.loading import Batch, Loader
from ancestral.diffusion import Diffusion
from ancestral.model import Model, OwnParts
from ancestral.nets.autoencoder import Autoencoder
from ancestral.training import divergence, own_parts
from ancestral.training.averages import interval
from ancestral.training.batch_copies import copies_for
from ancestral.training.distributed import Distributed, checkpoint_blocks, memory_explained
from ancestral.training.gradients import Gradients
from ancestral.training.latent_cache import cache_for, items_on_device
from ancestral.training.optimiser import DenseAdam, lr_factor, set_learning_rate
from ancestral.training.plateau import constant_steps, end_after
from ancestral.training.progress import StepOutcome, UnreadStep
from ancestral.training.sample_distance import MetricMaker, SampleDistance
from ancestral.training.training_state import TrainingState, Watched, spec_of
from ancestral.training.validation import Validation


class Stepper:
    """The state of a training run, and the data and processes that bring it from one step to the next.

    Args:
        config: The config of the run.
        dataset: The data.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        parts: Parts of your own in place of the config's.
        held_out: Data that are not trained on, whose loss is measured; their classes are numbered as those of the data.
        autoencoder: The autoencoder of a config with a latent space, which is not trained here.

    Raises:
        InputError: If config, data and parts do not fit. Nothing is written.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: str = "auto",
        parts: OwnParts | None = None,
        held_out: Dataset | None = None,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        self.parts, self.dataset, self.held_out = parts or OwnParts(), dataset, held_out
        config = self.parts.named_in(config).check()
        precision = config.train.precision
        if precision == "auto" and isinstance(config.net, CustomNetConfig):
            precision = "fp32"  # whether code of one's own bears less is not known
        self.distributed = Distributed(device, precision, config.runtime.shard)
        self.device, self.dtype = self.distributed.device, self.distributed.dtype
        self.spec = dataclasses.replace(spec_of(dataset, config), autoencoder=autoencoder)
        if autoencoder is None and config.latent.latent is not None and config.preset != AUTOENCODER:
            raise InputError("a trainer in a latent space is given its autoencoder: Trainer(..., autoencoder=...)")
        self.planned = config = model.for_items(config, self.spec, self.device.type)
        """The config of the run with all its steps; `config` has those after which it ends."""
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
        self.watched = Watched(None if held_out is None else Validation(held_out, dataset, self.spec, memory_format))
        self.metric: MetricMaker | None = None
        """Makes the metric of samples; None if none can be measured."""
        self.stopping = False
        """Whether `stop` was called on this process."""
        self.preempted = False
        """Whether that was because its machine is taken away."""
        self.waiting = False
        """Whether it waits for data, so that nothing is in progress: a signal handler may raise `Stopped` then."""
        self.unread: list[UnreadStep] = []
        """The steps whose outcome was not read yet."""
        self.initial: Mapping[str, Tensor] | None = None
        """The weights that the run starts from; None for random ones."""
        self.state = self._begin()
        self.spec = self.state.spec
        self.gradients.cache = cache_for(config.data, self.spec, dataset, self.device)
        self.gradients.items = items_on_device(dataset, self.device)
        self.gradients.copies = copies_for(self.device) if self.gradients.items is None else None
        self.batches = self.loader.batches(0)

    @property
    def validation(self) -> Validation | None:
        """What measures the validation loss; None without held-out data."""
        return self.watched.validation

    @property
    def distance(self) -> SampleDistance | None:
        """What measures the distance of samples; None if none is measured."""
        return self.watched.distance

    @property
    def config(self) -> Config:
        """The config of the run, whose last step is the one that it ends at."""
        steps, config = self.last_step, self.planned
        if steps == config.train.steps:
            return config
        return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))

    def take(self, config: Config, distance: SampleDistance | None = None) -> None:
        """Take the config with what was chosen for this machine: recomputed activations, threads and measurements.

        Args:
            config: The config, which differs in this alone.
            distance: What measures the distance of samples, where that was chosen.
        """
        before, self.planned = self.planned, config
        if config.runtime.checkpointing and not before.runtime.checkpointing:
            checkpoint_blocks(self.state.net)
        if distance is not None:
            self.watched.distance = distance

    def measure_by(self, metric: MetricMaker) -> None:
        """Measure the distance of samples by a metric, if the config says how often or that is chosen later.

        Raises:
            InputError: If the distance cannot be measured on these data.
        """
        self.metric = metric
        if self.planned.train.measure_every:
            self.watched.distance = self.new_distance()

    def new_distance(self) -> SampleDistance:
        """Return what measures the distance of samples. Raises InputError if none can be measured on these data."""
        if self.metric is None:
            raise InputError("a trainer measures samples by a metric that it is given: trainer.measure_by(...)")
        metric = self.metric(self.spec, self.device)
        return SampleDistance(self.dataset, self.held_out, self.spec, metric, self.planned.train.plateau_tolerance)

    @property
    def plateau(self) -> int:
        """The step at which the distance of samples had stopped improving, or memorisation was named; 0 before."""
        distance = 0 if self.distance is None else self.distance.plateau.found
        memorises = 0 if self.validation is None else self.validation.memorises
        return min(filter(None, (distance, memorises)), default=0)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Go to step 0 with these weights, by their names in the network. Raises InputError if they do not fit."""
        self.initial = weights
        self._go_on_from(self._begin())

    def _begin(self) -> TrainingState:
        """The state of step 0."""
        state = TrainingState(self.config, self.spec, self.parts, self.distributed, self.initial, self.watched)
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
        self.gradients.rehearse(state)
        for name, value in state.net.named_buffers():
            value.copy_(buffers[name])

    def _go_on_from(self, state: TrainingState) -> None:
        self.state, self.unread = state, []
        self.batches = self.loader.batches(state.step)

    @property
    def last_step(self) -> int:
        """The step that training ends at: that of the config, or sooner in a run until its plateau, once it is found.

        Where the learning rate falls at the end, training ends after that fall.
        """
        train, plateau = self.planned.train, self.plateau
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
        steps = self.config.train.steps
        return -(-steps // interval(steps, self.state.pairs)) if self.state.powers else 0

    def rehearse(self, count: int | None = None) -> None:
        """Compute the gradient of empty items, which changes nothing; see `Gradients.rehearse`."""
        self.gradients.rehearse(self.state, count)

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
        rates = self._learning_rates(state)  # a schedule of one's own may fail: nothing has begun then
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

        On an accelerator the fused kernel of Adam skips a step by a number on the device. Optimisers of your own, MPS
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
        factor = lr_factor(self.config.train, step) if schedule is None else own_parts.call_lr_schedule(schedule, step)
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
        return self.state.model(self.config)
