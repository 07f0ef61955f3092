"""The training loop, as a generator of `Progress`.

Each step is a function of (config, data, step): the batch, the flips, t, ε and dropout all follow from (seed, step,
index). So a run that was stopped and resumed is the run that was not, and many processes train what one would.
"""

import contextlib
import copy
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ancestral import model, nets, objectives, randomness, storage, targets
from ancestral.config import EARLY, Config, CustomNetConfig
from ancestral.data import Dataset
from ancestral.data.io_errors import SourceLost
from ancestral.data.loading import Batch, Loader, is_worker_death
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model import Model, OwnParts
from ancestral.objectives import ConsistencyTuning, Objective, ProgressiveDistillation, Stages
from ancestral.randomness import Stream, pytorch_generator
from ancestral.results.training_result import ValidationLosses
from ancestral.training import divergence, training_state
from ancestral.training.checkpoints import Checkpoint, Checkpoints, Publication
from ancestral.training.compilation import compile_blocks, compiler_failure
from ancestral.training.distributed import Distributed, memory_explained, out_of_memory, repeated_blocks
from ancestral.training.divergence import DivergenceGuard
from ancestral.training.ema import EMA, Average, PowerAverage
from ancestral.training.meters import LossByTime, Rate
from ancestral.training.optimiser import lr_factor, make_optimiser, own_factor, own_optimiser, set_learning_rate
from ancestral.training.power_average import LENGTHS
from ancestral.training.prepare import prepare, spec_of
from ancestral.training.progress import Progress, StepOutcome, Stopped
from ancestral.training.run_folder import RunFolder
from ancestral.training.snapshots import PREFIXES, Snapshots, default_pairs, interval
from ancestral.training.validation import Validation

COPIES = 5
"""Copies of each weight in a checkpoint and a model file, without the power-function averages: weight, average, two
moments of the optimiser, and the average once more."""
PARTS = ("snapshots", "checkpoints")
"""Folders of a run with a part for each of several steps."""


class Trainer:
    """A denoiser, the average of its weights, its optimiser and its step: all that a checkpoint holds.

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
        self.parts = parts or OwnParts()
        self.config, self.dataset = self.parts.named_in(config).check(), dataset
        self._own_objective = objective
        precision = config.train.precision
        if precision == "auto" and isinstance(self.config.net, CustomNetConfig):
            precision = "fp32"  # whether code of one's own bears less is not known
        self.distributed = Distributed(device, precision, config.runtime.shard)
        self.device, self.dtype = self.distributed.device, self.distributed.dtype
        self.spec = spec_of(dataset, config)
        self.config = config = model.for_items(self.config, self.spec, self.device.type)
        assert config.train.batch_size is not None
        self.batch_size = config.train.batch_size
        """The number of images in the global batch."""
        self.positions = self.distributed.positions(self.batch_size)
        """The positions of this process's images in the global batch."""
        if not self.positions:
            raise InputError(
                f"--batch-size {self.batch_size} leaves nothing to do for some of {self.distributed.world} processes"
            )
        self.micro_batch = min(config.runtime.micro_batch or len(self.positions), len(self.positions))
        """The number of images in a forward pass; see RuntimeConfig."""
        self.loader = Loader(
            dataset,
            seed=config.train.seed,
            batch_size=self.batch_size,
            positions=self.positions,
            workers=config.runtime.workers,
        )
        self.held_out = held_out
        self.validation = None if held_out is None else Validation(held_out, dataset, self.spec)
        self.stopping = False
        """Whether `stop` was called on this process."""
        self._told: set[str] = set()
        """The kinds of notes that were given on writes that failed."""
        self.waiting = False
        """Whether it waits for data, so that nothing is in progress: a signal handler may raise `Stopped` then."""
        self.initial: Mapping[str, Tensor] | None = None
        """The weights that the run starts from; None for random ones."""
        self.anew: Collection[str] = ()
        """The names of those that are random all the same."""
        self.restart()

    def start_from(self, weights: Mapping[str, Tensor], anew: Collection[str] = ()) -> None:
        """Go to step 0 with these weights, by their names in the network.

        Args:
            weights: The weights.
            anew: The names of weights that stay random.

        Raises:
            InputError: If they do not fit.
        """
        self.initial, self.anew = weights, anew
        self.restart()

    @functools.cached_property
    def pair_bytes(self) -> int:
        """The size of a snapshot: two copies of the weights."""
        return 2 * sum(parameter.numel() * parameter.element_size() for parameter in self.parameters)

    @property
    def save_bytes(self) -> int:
        """The size of a checkpoint (weights, averages and the optimiser's two moments) and a model file."""
        return self.pair_bytes // 2 * (COPIES + len(self.powers))

    @property
    def pairs(self) -> int:
        """The largest number of snapshots of the power-function averages; 0 for none."""
        given = self.config.runtime.snapshots
        return default_pairs(self.pair_bytes) if given is None else given

    @property
    def snapshot_count(self) -> int:
        """The number of snapshots that a run of all steps leaves."""
        steps = self.config.train.steps
        return -(-steps // interval(steps, self.pairs)) if self.powers else 0

    @property
    def _averages(self) -> dict[str, Average]:
        return {"ema.": self.ema, **self.powers}

    def _config_objective(self, denoiser: Diffusion) -> Objective:
        process, train, distil = self.config.process, self.config.train, self.config.distil
        denoising = objectives.build(
            denoiser.schedule,
            denoiser.target,
            train.times,
            train.weighting,
            process.clip,
            process.learned_variance,
            train.continuous,
        )
        stages = Stages(train.steps, distil.stages, int(distil.convert * train.steps))
        clip = 1.0 if process.clip else None
        if distil.method in ("consistency", "tuning"):
            teacher = None if distil.taught_from is None else copy.copy(denoiser)
            if teacher is not None and distil.teacher_target:
                teacher.target = targets.from_name(distil.teacher_target)
            return ConsistencyTuning(denoising, stages, clip, teacher, distil.taught_from or 0)
        if distil.method == "progressive":
            return ProgressiveDistillation(denoising, stages, denoiser, distil.evaluations, clip)
        return denoising

    def restart(self) -> None:
        """Go to step 0 with fresh weights, which follow from the seed, or those that the run starts from."""
        config = self.config
        self.denoiser = self._build(seed=config.train.seed)
        self.net = self.denoiser.net
        if self.initial is not None:
            own = self.net.state_dict()
            try:
                self.net.load_state_dict({**self.initial, **{name: own[name] for name in self.anew}})
            except RuntimeError:
                raise InputError("the weights that the run starts from do not fit its network") from None
        self.takes = nets.conditions(self.net)
        if "labels" not in self.takes:  # a network of one's own may be unconditional
            self.spec = dataclasses.replace(self.spec, classes=())
        if self.parts != OwnParts():
            self._probe()
        with pytorch_generator(config.train.seed):  # parameters of an objective of one's own may begin at random
            make = self._own_objective
            self.objective = self._config_objective(self.denoiser) if make is None else self._made(make)
        self.own = self.objective.trainable
        """The parameters of the objective itself, by name."""
        for parameter in self.own.values():
            parameter.data = parameter.data.to(self.device)
        if self.own and self.distributed.shard:
            raise InputError("an objective with parameters of its own is not distributed; leave --shard out")
        if self._own_objective is not None:
            self._probe_objective()
        if config.runtime.compile:
            compile_blocks(repeated_blocks(self.net))
        self.denoiser.net = self.distributed.wrap(self.net)
        self.parameters = list(self.net.parameters())
        self.ema = EMA(self.parameters, config.train.ema)
        lengths = zip(PREFIXES, LENGTHS, strict=True) if self.pairs else ()
        self.powers: dict[str, Average] = {prefix: PowerAverage(self.parameters, length) for prefix, length in lengths}
        """The power-function averages by the prefix of their tensors: none in a run that was begun without them."""
        self.trained = [*self.parameters, *self.own.values()]
        """All parameters that the gradient is of."""
        if self.parts.optimiser is None:
            self.optimiser: Optimizer = make_optimiser(
                self.net, config.train.optimiser, self.distributed, list(self.own.values())
            )
            set_learning_rate(self.optimiser, config.train.lr or 0.0)
        else:
            self.optimiser = own_optimiser(
                self.parts.optimiser, [parameter for parameter in self.trained if parameter.requires_grad]
            )
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        """The learning rate of each parameter group at a factor of 1."""
        self.guard = DivergenceGuard()
        self._learning_rates(0)  # refuses a schedule that does not fit before anything is written
        self.by_time = LossByTime(self.denoiser.schedule.steps)
        self.averaged = self._averaged() if self.objective.reads_average else None
        """The denoiser with the averaged weights, for objectives that read them."""
        self.validated: ValidationLosses | None = None
        """The last validation loss since this process began to train, or rolled back."""
        for value in self.validation.state.values() if self.validation else ():
            value.zero_()
        self._go_to(0)

    def _build(self, seed: int) -> Diffusion:
        with pytorch_generator(seed):
            return model.build(self.config, self.spec, self.parts).to(self.device)

    def _probe(self) -> None:
        """Evaluate parts of one's own once, so that what is wrong with them is found before anything is written."""
        x, labels = self._two_items()
        if not any(parameter.requires_grad for parameter in self.net.parameters()):
            raise InputError("the network has no parameters to train: all are frozen, or there are none")
        try:
            with torch.no_grad(), self.distributed.autocast(), pytorch_generator(0):
                prediction = self.denoiser.eval().predict(x, 1, **labels)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the network fails on x of shape {list(x.shape)} and index of shape [2]: {type(error).__name__}: "
                f"{error}"
            ) from error
        if not all(bool(estimate.isfinite().all()) for estimate in prediction):
            raise InputError("the untrained network, or the target of your own, gives numbers that are not finite")

    def _two_items(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Empty items and what the network is conditioned on."""
        x = torch.zeros(2, *self.spec.shape, device=self.device)
        return x, {"labels": torch.zeros(2, dtype=torch.int64, device=self.device)} if self.spec.classes else {}

    def _made(self, make: Callable[[Diffusion], Objective]) -> Objective:
        """Make an objective of one's own."""
        try:
            made: object = make(self.denoiser)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"objective(denoiser) failed: {type(error).__name__}: {error}; give a function of the denoiser that "
                "returns an objective"
            ) from error
        if not isinstance(made, Objective):
            raise InputError(
                f"objective(denoiser) returned a {type(made).__name__}, not an objective: give a function of the "
                "denoiser that returns an instance of a subclass of ancestral.objectives.Objective"
            )
        return made

    def _probe_objective(self) -> None:
        """Evaluate an objective of one's own once, as `_probe` does with other parts."""
        x0, labels = self._two_items()
        averaged = self.denoiser if self.objective.reads_average else None
        try:
            with self.distributed.autocast(), pytorch_generator(0):
                _, losses = self.objective.losses(
                    self.denoiser.eval(), x0, step=0, seed=0, indices=[0, 1], averaged=averaged, **labels
                )
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the objective fails on x0 of shape {list(x0.shape)}: {type(error).__name__}: {error}"
            ) from error
        if losses.shape != (2,):
            raise InputError(
                f"the errors of the objective have the shape {list(losses.shape)} for 2 samples: they should be the "
                "loss of each sample, (B,)"
            )
        if not losses.requires_grad:
            raise InputError(
                "the errors of the objective have no gradient: compute them from forward.answer, without detach() or "
                "no_grad()"
            )

    def _averaged(self) -> Diffusion:
        if self.distributed.shard:
            raise InputError("this objective reads the averaged weights, which --shard distributes; leave --shard out")
        denoiser = self._build(seed=0).requires_grad_(False).eval()
        for parameter, average in zip(denoiser.net.parameters(), self.ema.weights, strict=True):
            parameter.data = average  # one memory, so it follows every update
        return denoiser

    def _go_to(self, step: int) -> None:
        self.step = step
        self.batches = self.loader.batches(step)

    def rehearse(self, count: int | None = None) -> None:
        """Compute the gradient of empty items, which changes nothing, to measure the time or the memory of a step.

        Args:
            count: The number of items; None is all that this process computes in a step.

        Raises:
            InputError: If the memory does not suffice for one image at once.
        """
        positions, micro_batch = self.positions, self.micro_batch
        self.positions = positions[:count]
        try:
            with memory_explained("give a smaller --batch-size"):
                none = torch.zeros(len(self.positions), dtype=torch.int64)
                items = torch.zeros(len(self.positions), *self.spec.shape, dtype=self.spec.codec.dtype)
            self._gradients(Batch(self.step, items, none if self.spec.classes else None, none))
        finally:
            self.optimiser.zero_grad()
            self.positions, self.micro_batch = positions, micro_batch  # the first step finds the latter again

    # -- one step -----------------------------------------------------------------------------------------------------

    def advance(self) -> StepOutcome:
        """Take one optimiser step, or skip it. `step` increases by one in either case."""
        batch = self._next_batch()
        own, notes = self._gradients(batch)
        t, losses, stopping = self._whole_batch(own)
        scaler = self.distributed.scaler
        scaler.unscale_(self.optimiser)
        norm = self.distributed.gradient_norm(self.trained)
        # with loss scaling an infinite gradient is how the scale is found: the scaler then skips the step itself
        gradient = 0.0 if scaler.is_enabled() else norm.item()
        verdict = self.guard.judge(losses.mean().item(), gradient, positive=not self.own)
        if verdict == "good":
            torch.nn.utils.clip_grads_with_norm_(self.trained, self.config.train.clip_norm, norm)
            set_learning_rate(self.optimiser, *self._learning_rates(self.step))
            scaler.step(self.optimiser)
            self.objective.update(t, losses)
            self.by_time.add(t, losses)
            self.ema.update(self.parameters, self.step + 1)
        else:
            notes += (self._fault(t, losses, batch) + f": skipped ({self.guard.bad} in a row)",)
        for average in self.powers.values():  # also at a skipped step: the profile is one over all steps
            average.update(self.parameters, self.step + 1)
        scaler.update()
        self.step += 1
        return StepOutcome(verdict, norm.item(), t, losses, stopping, batch.notes + notes)

    def _accumulate(self, batch: Batch) -> Tensor:
        """Forward and backward passes over this process's images: times and losses, float64 (2, positions)."""
        train, count = self.config.train, len(self.positions)
        self.denoiser.train()
        self.optimiser.zero_grad()
        x0, condition = prepare(batch, self.positions, self.config, self.spec, self.takes, self.device)
        table = []
        for start in range(0, count, self.micro_batch):
            part = slice(start, start + self.micro_batch)
            some: dict[str, Any] = {name: value[part] for name, value in condition.items()}
            with self.distributed.accumulating(self.denoiser.net, last=start + self.micro_batch >= count):
                with self.distributed.autocast(), self._own_randomness(start):
                    t, losses = self.objective.losses(
                        self.denoiser,
                        x0[part],
                        step=self.step,
                        seed=train.seed,
                        indices=self.positions[part],
                        averaged=self.averaged,
                        **some,
                    )
                # DDP and FSDP2 average over the processes, so each gives its part of the sum times their number
                loss = losses.sum() * (self.distributed.world / self.batch_size)
                self.distributed.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            table.append(torch.stack([t.to(self.device, torch.float64), losses.detach().double()]))
        for parameter in self.own.values() if self.distributed.world > 1 else ():  # no wrapper sums their gradients
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.distributed.total(gradient).to(self.device) / self.distributed.world
        return torch.cat(table, dim=1)

    @contextlib.contextmanager
    def _own_randomness(self, start: int) -> Iterator[None]:
        """Make the random numbers that a network of one's own draws functions of (seed, step, first position) too."""
        if not isinstance(self.config.net, CustomNetConfig):
            yield
            return
        key = randomness.keys(self.config.train.seed, Stream.NETWORK, self.step, [self.positions[start]])
        with pytorch_generator(int(key) & randomness.MASK):
            yield

    def _next_batch(self) -> Batch:
        self.waiting = self.distributed.world == 1
        try:
            with memory_explained("give a smaller --batch-size"):
                return next(self.batches)
        finally:
            self.waiting = False

    def _learning_rates(self, step: int) -> list[float]:
        """The learning rate of each parameter group."""
        own, train = self.parts.lr_schedule, self.config.train
        factor = lr_factor(train, step) if own is None else own_factor(own, step)
        return [rate * factor * self.guard.lr_factor for rate in self.rates]

    def _gradients(self, batch: Batch) -> tuple[Tensor, tuple[str, ...]]:
        """`_accumulate`, again in smaller parts where the memory does not suffice."""
        notes: tuple[str, ...] = ()
        while True:
            try:
                return self._accumulate(batch), notes
            except (RuntimeError, MemoryError) as error:
                if failure := compiler_failure(error) if self.config.runtime.compile else "":
                    raise InputError(
                        f"the network could not be compiled ({failure}): leave --compile out, or install a C++ "
                        "compiler (for a GPU, Triton)"
                    ) from error
                if not out_of_memory(error):
                    raise
                if self.distributed.world > 1 or self.micro_batch == 1:
                    half = self.micro_batch // 2
                    raise InputError(
                        f"the memory of {self.device} does not suffice for {self.micro_batch} images at once: give "
                        f"{f'--micro-batch {half}' if half else 'a smaller --batch-size'}, or a smaller network"
                    ) from None
            self.micro_batch //= 2
            notes += (f"out of memory: going on with {self.micro_batch} images at once, in the same batches",)
            self.optimiser.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @torch.no_grad()
    def _whole_batch(self, own: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Times and losses of the whole batch in its order, and whether a process was asked to stop: on the CPU."""
        table = own.new_zeros(3, self.batch_size)
        table[:2, self.positions.start :: self.distributed.world] = own
        table[2, 0] = self.stopping
        t, losses, stop = self.distributed.total(table)
        return t if self.objective.times.continuous else t.long(), losses, bool(stop[0])

    def _fault(self, t: Tensor, losses: Tensor, batch: Batch) -> str:
        """Describe a bad step. All processes take part."""
        items = torch.zeros(self.batch_size, dtype=torch.float64, device=self.device)
        items[self.positions.start :: self.distributed.world] = batch.indices.to(self.device, torch.float64)
        layer = divergence.largest_gradient(self.net)
        numbers = self.distributed.total(items).long()
        names = (numbers if self.dataset.rows is None else self.dataset.rows[numbers]).tolist()
        return divergence.describe(self.step, t, losses, names, layer, self.denoiser.schedule.steps)

    def _validate(self, validation: Validation) -> tuple[str, ...]:
        """Measure the validation loss, and say if the model begins to memorise. All processes take part."""
        with pytorch_generator(0):  # a network of one's own may draw random numbers
            losses = validation.losses(self.model().diffusion.eval(), self.objective, self.distributed)
        self.validated, notes = validation.check(self.step, losses)
        return notes

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
        checkpoints = None
        if folder is not None:  # a save in the background goes on while the folder is renamed
            checkpoints = self.checkpoints(RunFolder(folder.lasting_path))
        try:
            yield from self._steps(folder, checkpoints)
        finally:
            if checkpoints is not None:
                checkpoints.settle()

    def _steps(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> Generator[Progress, None, None]:
        train, rate = self.config.train, Rate(self.batch_size)
        if folder is not None and self.distributed.main:
            Snapshots(folder.snapshots).forget(self.step)
        done, began = 0, time.monotonic()
        while self.step < train.steps:
            try:
                self._learning_rates(self.step)
            except InputError as error:  # of a schedule of one's own, before the step has begun
                raise InputError(f"{error}; {self._save_at_once(folder, checkpoints)}") from None
            try:
                outcome = self.advance()
            except Stopped:
                outcome = StepOutcome("good", math.nan, torch.empty(0), torch.empty(0), True, ())
            except SourceLost as error:
                raise SourceLost(f"{error}; {self._save_at_once(folder, checkpoints)}") from None
            except RuntimeError as error:  # from a signal handler, maybe in the middle of an optimiser step
                if not is_worker_death(error) or self.distributed.world > 1:
                    raise
                self._return_to_checkpoint(folder, checkpoints)
                note = f"a data worker died in the middle of a step: back to step {self.step}"
                outcome = StepOutcome("good", math.nan, torch.empty(0), torch.empty(0), False, (note,))
            done += len(outcome.t) > 0
            notes = outcome.notes
            if outcome.verdict == "rollback":
                notes += (self._roll_back(folder, checkpoints),)
            stopping = outcome.stopping or (self.stopping and self.distributed.world == 1)
            ending = stopping or self.step >= train.steps
            checking = self.step % train.sample_every == 0 or self.step >= train.steps
            if self.validation is not None and checking and len(outcome.t) and outcome.verdict != "rollback":
                notes += self._validate(self.validation)
            moved = self._follow(folder)
            notes += moved
            saving = folder is not None and (ending or ((moved or train.saves(self.step)) and not self.guard.bad))
            if folder is not None and checkpoints is not None:
                notes += self._write_snapshot(folder, ending)  # before a checkpoint of this step
                notes += self._save_or_say(folder, checkpoints, saving, ending)
            seconds = time.monotonic() - began
            yield Progress(
                step=self.step,
                steps=train.steps,
                loss=math.nan if self.guard.loss is None else self.guard.loss,
                by_time=self.by_time.means,
                lr=float(self._learning_rates(max(self.step - 1, 0))[0]),
                gradient_norm=outcome.norm,
                images_per_second=rate.tick(),
                seconds=seconds,
                seconds_left=(train.steps - self.step) * seconds / max(done, 1),
                saved=saving,
                T=self.denoiser.schedule.steps,
                memory=self.distributed.memory(),
                stopped=stopping,
                notes=notes,
                validation=self.validated,
                model=self._model_of_one_process,
            )
            if stopping:
                return

    def stop(self) -> None:
        """End `run` after the step in progress, saved. Signal handlers may call it, on any of the processes."""
        self.stopping = True

    def close(self) -> None:
        """End the processes that read data."""
        self.loader.close()

    def _follow(self, folder: RunFolder | None) -> tuple[str, ...]:
        """Find the run folder if it was renamed or removed, and say so."""
        line = "" if folder is None else folder.follow()
        if not line:
            return ()
        if self.distributed.world > 1:  # the others know its old place: they stop after the next step, which is saved
            self.stop()
        return (line,)

    def _write_snapshot(self, folder: RunFolder, ending: bool) -> tuple[str, ...]:
        """Write the power-function averages if it is time, and say what went wrong. All processes take part."""
        if not self.powers or self.step == 0:
            return ()
        every = interval(self.config.train.steps, self.pairs)
        if not ending and self.step % every:
            return ()
        tensors = training_state.collect_averages(self.distributed, self.net, self.powers)
        if self.distributed.main:
            try:
                with folder.lasting() as place:
                    if storage.free_bytes(place.path) < self.pair_bytes + self.save_bytes:
                        raise OSError("the disk has no room for more than checkpoints and the model")
                    Snapshots(place.snapshots).write(self.step, tensors, every)
            except OSError as error:
                return self._tell_once("snapshot", f"{error}; training goes on without snapshots for ancestral average")
        return ()

    def _tell_once(self, kind: str, note: str) -> tuple[str, ...]:
        """Return the note, unless one of its kind was given: of saves since one succeeded."""
        known = kind in self._told
        self._told.add(kind)
        return () if known else (note,)

    def _roll_back(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> str:
        """Return to the last good state with a lower learning rate. Raises InputError if that did not help before."""
        before, failed = self.guard, self.step
        if before.rollbacks >= divergence.ROLLBACKS:
            raise InputError(
                f"training diverges again and again before step {failed}: try a lower --lr, or look at the data; "
                "what was saved is untouched"
            )
        self._return_to_checkpoint(folder, checkpoints)
        before.rolled_back(self.guard)
        self.guard = before
        return (
            f"{divergence.SKIPS} bad steps in a row: back to step {self.step}, with {self.guard.lr_factor:g} times the "
            "learning rate"
        )

    def _return_to_checkpoint(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> None:
        """Restore the newest checkpoint without skipped steps, or begin anew. All processes take part."""
        self.restart()
        if folder is not None and checkpoints is not None:
            checkpoints.settle()
            self.distributed.wait()
            self._restore(checkpoints, lambda numbers: numbers["guard"]["bad"] == 0)
            self.distributed.wait()
            if self.distributed.main:
                checkpoints.forget(self.step)
                Snapshots(folder.snapshots).forget(self.step)

    # -- saving and loading -------------------------------------------------------------------------------------------

    def checkpoints(self, folder: RunFolder) -> Checkpoints:
        """The checkpoints of a run, as this config keeps them."""
        return Checkpoints(folder.checkpoints, self.config.runtime.keep, self.config.runtime.keep_every)

    def model(self) -> Model:
        """Copy the denoiser with the averaged weights, as it would be saved now. All processes take part."""
        denoiser = self._build(seed=0).requires_grad_(False)
        own = dict(training_state.averaged(self.distributed, self.net, self.ema)) | dict(self.net.named_buffers())
        for name, tensor in [*denoiser.net.named_parameters(), *denoiser.net.named_buffers()]:
            tensor.copy_(own[name])
        return Model(denoiser, self.spec, self.config, self.step)

    def _model_of_one_process(self) -> Model:
        if self.distributed.shard:
            raise InputError("the weights are distributed (--shard): load the model from the run folder")
        return self.model()

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint, then the model. Raises OSError if they cannot be written; the old ones stay."""
        checkpoints = self.checkpoints(folder)
        self._save(folder, checkpoints)
        checkpoints.wait()

    def _save_or_say(self, folder: RunFolder, checkpoints: Checkpoints, saving: bool, ending: bool) -> tuple[str, ...]:
        """Save if it is time, and say what went wrong with the save before.

        It is in the background, unless it is the end, or an early step, whose samples are shown next: then there is a
        model to sample from.

        Raises OSError if the last save fails; after an earlier one that failed, training goes on.
        """
        notes = self._save_failure(folder, checkpoints, wait=saving)
        if saving:
            self._save(folder, checkpoints)
        if ending:
            try:
                with folder.lasting():
                    checkpoints.wait()
            except OSError as error:
                raise OSError(f"{error}; {self._what_is_left(folder, checkpoints)}") from None
        elif saving and self.step in EARLY:
            notes += self._save_failure(folder, checkpoints, wait=True)
        for kind, paths in itertools.groupby(checkpoints.take_removed(), key=_part_of_run):
            count = sum(1 for _ in paths)
            what = f"{count} of the {kind}" if kind in PARTS else kind
            notes += self._tell_once(f"removed {kind}", f"the disk is full: removed {what} to make room for a save")
        return notes

    def _what_is_left(self, folder: RunFolder, checkpoints: Checkpoints) -> str:
        """Say what is on the disk after the last save failed."""
        kept = checkpoints.newest_step(self.step)
        published = folder.model_step()
        model = f"the model file is of step {published}; " if published not in (None, kept) else ""
        if not kept:
            return f"{model}there is no checkpoint to resume from"
        lost = ", and the steps since are lost" if kept < self.step else ""
        return f"{model}--resume goes on from step {kept}{lost}"

    def _save_failure(self, folder: RunFolder, checkpoints: Checkpoints, wait: bool) -> tuple[str, ...]:
        """Say what went wrong with the last save, which may be waited for."""
        try:
            with folder.lasting():
                if wait:
                    checkpoints.wait()
                    self._told -= set() if checkpoints.failed else {"save"}
                else:
                    checkpoints.check()
        except OSError as error:
            again = "training goes on, and saves again at the next multiple of --save-every"
            return self._tell_once("save", f"{error}; {again}")
        return ()

    def _save(self, folder: RunFolder, checkpoints: Checkpoints) -> None:
        tensors = self.state()
        if not self.distributed.main:
            return
        averaged = {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}
        first = {id(parameter): name for name, parameter in self.net.named_parameters()}
        for name, parameter in self.net.named_parameters(remove_duplicate=False):  # shared weights have several names
            averaged[name] = averaged[first[id(parameter)]]
        buffers = {name: tensors[f"net.{name}"] for name, _ in self.net.named_buffers() if f"net.{name}" in tensors}
        metadata = model.metadata_of(self.denoiser, self.config, self.spec, self.step)
        config = self.config.to_json()

        place = RunFolder(folder.lasting_path)

        def publish() -> None:
            storage.write_text(place.config, config)
            storage.write_tensors(place.model, averaged | buffers, metadata)

        numbers: dict[str, Any] = {"guard": self.guard.state}
        if self.parts.optimiser is not None:
            numbers["optimiser"] = training_state.optimiser_numbers(self.net, self.optimiser, self.own)
        size, last = storage.tensor_bytes(averaged), self.step >= self.config.train.steps
        model_file = Publication(
            publish, place.model, size, last, lambda: [*Snapshots(place.snapshots).paths(), place.report]
        )
        checkpoints.save(Checkpoint(self.step, tensors, numbers), model_file)

    def _save_at_once(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> str:
        """Save where training cannot go on, and say so; not where that takes all processes."""
        if folder is None or checkpoints is None or self.distributed.shard or not self.distributed.main:
            return "what was saved last is whole"
        self._save(folder, checkpoints)
        checkpoints.wait()
        return f"saved after step {self.step}: --resume goes on"

    def state(self) -> dict[str, Tensor]:
        """Collect the state of the training run by name, on the CPU, in memory of its own. All processes take part.

        It is the weights, their averages and Adam's moments by parameter name, the state of the objective, the lowest
        validation loss, and the loss scale.
        """
        tensors = training_state.collect(self.distributed, self.net, self._averages, self.optimiser, self.own)
        tensors |= {f"times.{name}": value.clone() for name, value in self.objective.state.items()}
        if self.validation is not None:
            tensors |= {f"validation.{name}": value.clone() for name, value in self.validation.state.items()}
        return tensors | {f"scaler.{name}": value for name, value in self.distributed.scale.items()}

    def load(self, folder: RunFolder) -> list[str]:
        """Restore the newest whole checkpoint.

        Returns:
            What is wrong with newer ones, a line each.

        Raises:
            InputError: If all are damaged, or the checkpoint does not fit this config.
        """
        return self._restore(self.checkpoints(folder))

    def _restore(
        self, checkpoints: Checkpoints, good: Callable[[Mapping[str, Any]], bool] = lambda numbers: True
    ) -> list[str]:
        found, wrong = checkpoints.newest(good)
        if found is None:
            if wrong:
                raise InputError(f"{wrong[0]}, and no other is left; give --out another name to start anew")
            return wrong
        try:
            if not any(name.startswith(PREFIXES) for name in found.tensors):  # the averages cannot begin in the middle
                self.powers = {}
            training_state.restore(
                found.tensors,
                self.distributed,
                self.net,
                self._averages,
                self.optimiser,
                self.own,
                found.numbers["optimiser"] if self.parts.optimiser is not None else None,
            )
            for name, value in self.objective.state.items():
                value.copy_(found.tensors[f"times.{name}"])
            if self.validation is not None:
                self.validation.restore({n[11:]: v for n, v in found.tensors.items() if n.startswith("validation.")})
            self.distributed.scale = {n[7:]: v for n, v in found.tensors.items() if n.startswith("scaler.")}
            self.guard = DivergenceGuard.restored(found.numbers["guard"])
        except InputError:  # says more
            raise
        except (KeyError, RuntimeError, ValueError, TypeError):
            path = checkpoints.path(found.step)
            raise InputError(
                f"{path} does not fit the network, the objective or the optimiser of the run: one of them was changed"
            ) from None
        self._go_to(found.step)
        return wrong


def _part_of_run(path: Path) -> str:
    """What a file or folder of a run is: one of the snapshots or checkpoints, the model or the report."""
    return path.parent.name if path.parent.name in PARTS else f"the {path.stem}"
