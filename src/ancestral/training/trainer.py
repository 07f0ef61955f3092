"""The training loop, as a generator of `Progress`.

Each step is a function of (config, data, step): the batch, the flips, t, ε and dropout all follow from (seed, step,
index), so a run that was stopped and resumed is the run that was not, and many processes train what one would.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral import model, storage
from ancestral.config import Config
from ancestral.data import Dataset
from ancestral.data.io_errors import SourceLost
from ancestral.data.loading import Batch, Loader
from ancestral.errors import InputError
from ancestral.model import Model
from ancestral.training import divergence, state
from ancestral.training.checkpoints import Checkpoint, Checkpoints
from ancestral.training.distributed import Distributed, out_of_memory, regions
from ancestral.training.divergence import Guard
from ancestral.training.ema import EMA
from ancestral.training.inputs import prepare, spec_of
from ancestral.training.meters import LossByTime, Rate
from ancestral.training.optimiser import learning_rate, make_adam, set_learning_rate
from ancestral.training.progress import Outcome, Progress, Stopped
from ancestral.training.run_folder import RunFolder


class Trainer:
    """A denoiser, its average, its optimiser and its step: all that a checkpoint holds."""

    def __init__(self, config: Config, dataset: Dataset, device: str = "auto") -> None:
        """Build everything, or raise InputError where config and data do not fit; nothing is written."""
        self.config, self.dataset = config, dataset
        self.engine = Distributed(device, config.train.precision, config.engine.shard)
        self.device, self.dtype = self.engine.device, self.engine.dtype
        self.spec = spec_of(dataset, config)
        self.places = self.engine.places(config.train.batch_size)
        if not self.places:
            raise InputError(
                f"--batch-size {config.train.batch_size} leaves nothing to do for some of {self.engine.world} processes"
            )
        self.micro = min(config.engine.micro_batch or len(self.places), len(self.places))
        """Images at once; see RuntimeConfig."""
        self.loader = Loader(
            dataset,
            seed=config.train.seed,
            batch_size=config.train.batch_size,
            positions=self.places,
            workers=config.engine.workers,
        )
        self.stopping = False
        """Whether `stop` was called on this process."""
        self.waiting = False
        """Whether it waits for data, where nothing is in progress: a signal handler may raise `Stopped` then."""
        self.restart()

    def restart(self) -> None:
        """Be at step 0: fresh weights, which follow from the seed."""
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.train.seed)
            self.denoiser = model.build(config, self.spec).to(self.device)
        self.net = self.denoiser.net
        if config.engine.compile:
            for region in regions(self.net):
                region.compile()
        self.denoiser.net = self.engine.wrap(self.net)
        self.parameters = list(self.net.parameters())
        self.ema = EMA(self.parameters, config.train.ema)
        self.optimiser = make_adam(self.net)
        self.guard = Guard()
        self.by_time = LossByTime(self.denoiser.schedule.steps)
        self._go_to(0)

    def _go_to(self, step: int) -> None:
        self.step = step
        self.batches = self.loader.batches(step)

    def run(self, folder: RunFolder | None = None) -> Generator[Progress, None, None]:
        """Train up to `config.train.steps`, saving into `folder` at intervals, at the end, and when `stop` is called.

        Raises InputError where training cannot go on, and OSError where the last save fails.
        """
        checkpoints = None if folder is None else self.checkpoints(folder)
        try:
            yield from self._steps(folder, checkpoints)
        finally:
            if checkpoints is not None:
                checkpoints.settle()

    def _steps(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> Generator[Progress, None, None]:
        train, rate = self.config.train, Rate(self.config.train.batch_size)
        done, began = 0, time.monotonic()
        while self.step < train.steps:
            try:
                outcome = self.advance()
            except Stopped:
                outcome = Outcome("good", math.nan, torch.empty(0), torch.empty(0), True, ())
            except SourceLost as error:
                raise SourceLost(f"{error}; {self._save_at_once(folder, checkpoints)}") from None
            done += len(outcome.t) > 0
            notes = outcome.notes
            if outcome.verdict == "return":
                notes += (self._go_back(checkpoints),)
            stopping = outcome.stopping or (self.stopping and self.engine.world == 1)
            ending = stopping or self.step >= train.steps
            saving = folder is not None and (ending or (self.step % train.save_every == 0 and not self.guard.bad))
            if folder is not None and checkpoints is not None:
                notes += self._save_or_say(folder, checkpoints, saving, ending)
            seconds = time.monotonic() - began
            yield Progress(
                self.step,
                train.steps,
                math.nan if self.guard.loss is None else self.guard.loss,
                self.by_time.means,
                self._learning_rate(max(self.step - 1, 0)),
                outcome.norm,
                rate.tick(),
                seconds,
                (train.steps - self.step) * seconds / max(done, 1),
                saving,
                stopping,
                notes,
            )
            if stopping:
                return

    def close(self) -> None:
        """End the processes that read data, and take leave of those that train."""
        self.loader.close()
        self.engine.close()

    def stop(self) -> None:
        """End `run` after the step in progress, saved. May be called from a signal handler, on any of the processes."""
        self.stopping = True

    def advance(self) -> Outcome:
        """One optimiser step, or the decision not to take it. `step` is one more in either case."""
        self.waiting = self.engine.world == 1
        try:
            batch = next(self.batches)
        finally:
            self.waiting = False
        losses, notes = self._gradients(batch)
        with torch.no_grad():
            t, all_losses, stopping = self._shared(losses)
        self.engine.scaler.unscale_(self.optimiser)
        norm = self.engine.gradient_norm(self.parameters)
        loss = all_losses.mean().item()
        # with loss scaling an infinite gradient is how the scale is found: the scaler then skips the step itself
        verdict = self.guard.judge(loss, 0.0 if self.engine.scaler.is_enabled() else norm.item())
        if verdict == "good":
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.train.clip_norm, norm)
            set_learning_rate(self.optimiser, self._learning_rate(self.step))
            self.engine.scaler.step(self.optimiser)
            self.denoiser.times.learn(t, all_losses)
            self.by_time.add(t, all_losses)
            self.ema.update(self.parameters, self.step + 1)
        else:
            notes += (self._fault(t, all_losses, batch) + f": skipped ({self.guard.bad} in a row)",)
        self.engine.scaler.update()
        self.step += 1
        return Outcome(verdict, norm.item(), t, all_losses, stopping, batch.notes + notes)

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.config.train, step) * self.guard.slower

    def _gradients(self, batch: Batch) -> tuple[Tensor, tuple[str, ...]]:
        """Leave the gradient of the mean loss in the parameters: (times and losses of this process's places, notes)."""
        notes: tuple[str, ...] = ()
        while True:
            try:
                return self._accumulate(batch), notes
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if self.engine.world > 1 or self.micro == 1:
                    raise InputError(
                        f"the memory of {self.device} does not suffice for {self.micro} images at once: give "
                        f"--micro-batch {max(1, self.micro // 2)}, or a smaller network, and --resume"
                    ) from None
            self.micro //= 2
            notes += (f"out of memory: going on with {self.micro} images at once, in the same batches",)
            self.optimiser.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _accumulate(self, batch: Batch) -> Tensor:
        """One pass over the batch, `micro` images at once: float64 (2, places) of times and losses, on the device."""
        train, net, count = self.config.train, self.denoiser.net, len(self.places)
        self.denoiser.train()
        self.optimiser.zero_grad()
        x0, condition = prepare(batch, self.places, self.config, self.spec, self.device)
        table = []
        for start in range(0, count, self.micro):
            part = slice(start, start + self.micro)
            some = {name: value[part] for name, value in condition.items()}
            with self.engine.accumulating(net, last=start + self.micro >= count):
                with self.engine.autocast():
                    t, losses = self.denoiser.losses(
                        x0[part], step=self.step, seed=train.seed, indices=self.places[part], **some
                    )
                # DDP and FSDP2 take the mean over the processes, so each gives its part of the sum times their number
                loss = losses.sum() * (self.engine.world / train.batch_size)
                self.engine.scaler.scale(loss).backward()
            table.append(torch.stack([t.to(self.device, torch.float64), losses.detach().double()]))
        return torch.cat(table, dim=1)

    def _shared(self, mine: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Times and losses of the whole batch in its order, and whether some process was asked to stop: on the CPU."""
        table = mine.new_zeros(3, self.config.train.batch_size)
        table[:2, self.places.start :: self.engine.world] = mine
        table[2, 0] = self.stopping
        t, losses, stop = self.engine.total(table)
        return t.long(), losses, bool(stop[0])

    def _fault(self, t: Tensor, losses: Tensor, batch: Batch) -> str:
        """What went wrong with the step just computed. All processes take part."""
        items = torch.zeros(self.config.train.batch_size, dtype=torch.float64, device=self.device)
        items[self.places.start :: self.engine.world] = batch.indices.to(self.device, torch.float64)
        worst = divergence.worst_layer(self.net)
        names = self.engine.total(items).long().tolist()
        return divergence.describe(self.step, t, losses, names, worst, self.denoiser.schedule.steps)

    def _go_back(self, checkpoints: Checkpoints | None) -> str:
        """Return to the last good state with a lower learning rate. Raises InputError when that did not help before."""
        before, failed = self.guard, self.step
        if before.returns >= divergence.RETURNS:
            raise InputError(
                f"training diverges again and again before step {failed}: try a lower --lr, or look at the data; "
                "what was saved is untouched"
            )
        self.restart()
        if checkpoints is not None:
            checkpoints.settle()
            self.engine.wait()
            self._take(checkpoints, lambda facts: facts["guard"]["bad"] == 0)
            self.engine.wait()
            if self.engine.main:
                checkpoints.forget(self.step)
        before.returned(self.guard)
        self.guard = before
        return (
            f"{divergence.SKIPS} bad steps in a row: back to step {self.step}, with {self.guard.slower:g} times the "
            "learning rate"
        )

    def checkpoints(self, folder: RunFolder) -> Checkpoints:
        """The checkpoints of a run, as this config keeps them."""
        return Checkpoints(folder.checkpoints, self.config.engine.keep, self.config.engine.keep_every)

    def model(self) -> Model:
        """The denoiser with the averaged weights (a copy), as it would be saved now. All processes take part."""
        with torch.random.fork_rng(devices=[]):
            denoiser = model.build(self.config, self.spec).to(self.device).requires_grad_(False)
        own = dict(state.averaged(self.engine, self.net, self.ema)) | dict(self.net.named_buffers())
        for name, tensor in [*denoiser.net.named_parameters(), *denoiser.net.named_buffers()]:
            tensor.copy_(own[name])
        return Model(denoiser, self.config, self.spec, self.step)

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint, then the model. Raises OSError where they cannot be written; the old ones stay."""
        checkpoints = self.checkpoints(folder)
        self._save(folder, checkpoints)
        checkpoints.wait()

    def _save_or_say(self, folder: RunFolder, checkpoints: Checkpoints, saving: bool, ending: bool) -> tuple[str, ...]:
        """Save if it is time, in the background unless it is the end; the rest is what went wrong with the save before.

        Raises OSError where the last save fails: that of an earlier one is none, since training goes on.
        """
        notes: tuple[str, ...] = ()
        try:
            if saving:
                checkpoints.wait()
            else:
                checkpoints.check()
        except OSError as error:
            notes = (f"{error}; training goes on, and saves again at the next multiple of --save-every",)
        if saving:
            self._save(folder, checkpoints)
        if ending:
            checkpoints.wait()
        return notes

    def _save(self, folder: RunFolder, checkpoints: Checkpoints) -> None:
        tensors = self.state()
        if not self.engine.main:
            return
        averaged = {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}
        buffers = {name: tensors[f"net.{name}"] for name, _ in self.net.named_buffers() if f"net.{name}" in tensors}
        metadata = model.describing(self.denoiser, self.config, self.spec, self.step)
        config = self.config.to_json()

        def publish() -> None:
            storage.write_text(folder.config, config)
            storage.write_tensors(folder.model, averaged | buffers, metadata)

        facts = {"guard": self.guard.state}
        checkpoints.save(Checkpoint(self.step, tensors, facts), publish)

    def _save_at_once(self, folder: RunFolder | None, checkpoints: Checkpoints | None) -> str:
        """Keep what there is where training cannot go on, and say so; not where that takes all processes."""
        if folder is None or checkpoints is None or self.engine.shard or not self.engine.main:
            return "what was saved last is whole"
        self._save(folder, checkpoints)
        checkpoints.wait()
        return f"saved after step {self.step}: --resume goes on"

    def state(self) -> dict[str, Tensor]:
        """Weights, average and Adam's moments by parameter name, the losses that importance draws from, and the loss
        scale; all on the CPU, in memory of their own. All processes take part.
        """
        tensors = state.gather(self.engine, self.net, self.ema, self.optimiser)
        tensors |= {f"times.{name}": value.clone() for name, value in self.denoiser.times.state.items()}
        return tensors | {f"scaler.{name}": value for name, value in self.engine.scale.items()}

    def load(self, folder: RunFolder) -> list[str]:
        """Take up the newest whole checkpoint; the rest is what is wrong with newer ones, a line each.

        Raises InputError where there is none, or where it does not fit this config.
        """
        return self._take(self.checkpoints(folder))

    def _take(
        self, checkpoints: Checkpoints, good: Callable[[Mapping[str, Any]], bool] = lambda facts: True
    ) -> list[str]:
        found, wrong = checkpoints.newest(good)
        if found is None:
            if wrong:
                raise InputError(f"{wrong[0]}, and no other is left; give --out another name to start anew")
            return wrong
        try:
            state.scatter(found.tensors, self.engine, self.net, self.ema, self.optimiser)
            for name, value in self.denoiser.times.state.items():
                value.copy_(found.tensors[f"times.{name}"])
            self.engine.scale = {n[7:]: v for n, v in found.tensors.items() if n.startswith("scaler.")}
            self.guard = Guard.restored(found.facts["guard"])
        except (KeyError, RuntimeError, ValueError, TypeError):
            path = checkpoints.path(found.step)
            raise InputError(f"{path} does not fit the network of the run's config: one of them was changed") from None
        self._go_to(found.step)
        return wrong
