"""The gradient of the mean loss over a global batch, in parts that fit into the memory."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.config import Config, CustomNetConfig
from ancestral.data.loading import Batch
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.randomness import Stream, pytorch_generator
from ancestral.training.compilation import compiler_failure
from ancestral.training.distributed import Distributed, memory_explained, out_of_memory
from ancestral.training.prepare import prepare
from ancestral.training.training_state import TrainingState


class Gradients:
    """Forward and backward passes over this process's share of each batch.

    Args:
        config: The config of the run.
        distributed: The processes.

    Raises:
        InputError: If there are more processes than images in a batch.
    """

    def __init__(self, config: Config, distributed: Distributed) -> None:
        assert config.train.batch_size is not None
        self.config, self.distributed = config, distributed
        self.batch_size = config.train.batch_size
        """The number of images in the global batch."""
        self.positions = distributed.positions(self.batch_size)
        """The positions of this process's images in the global batch."""
        if not self.positions:
            raise InputError(
                f"{option('batch_size', self.batch_size)} leaves nothing to do for some of {distributed.world} "
                "processes"
            )
        self.micro_batch = min(config.runtime.micro_batch or len(self.positions), len(self.positions))
        """The number of images in a forward pass; see RuntimeConfig."""

    def compute(self, state: TrainingState, batch: Batch, stopping: bool) -> tuple[Tensor, Tensor, bool, list[str]]:
        """Compute the gradient of a batch, in smaller parts where the memory does not suffice.

        Args:
            state: The state, whose parameters get the gradient.
            batch: The items of this process.
            stopping: Whether this process was asked to stop.

        Returns:
            Times and losses of the whole batch in its order, float64 (batch_size,) on the CPU; whether a process was
            asked to stop; and what the user should know.

        Raises:
            InputError: If the memory does not suffice for one image at once, or the network cannot be compiled.
        """
        own, notes = self._in_parts(state, batch, self.positions)
        table = own.new_zeros(3, self.batch_size)
        table[:2, self.positions.start :: self.distributed.world] = own
        table[2, 0] = stopping
        t, losses, stop = self.distributed.total(table)
        return t if state.objective.times.continuous else t.long(), losses, bool(stop[0]), notes

    def rehearse(self, state: TrainingState, count: int | None = None) -> None:
        """Compute the gradient of empty items, which changes nothing, to measure the time or the memory of a step.

        Args:
            state: The state.
            count: The number of items; None is all that this process computes in a step.

        Raises:
            InputError: If the memory does not suffice for one image at once.
        """
        positions, micro_batch, spec = self.positions[:count], self.micro_batch, state.spec
        try:
            with memory_explained(f"give a smaller {option('batch_size')}"):
                none = torch.zeros(len(positions), dtype=torch.int64)
                items = torch.zeros(len(positions), *spec.shape, dtype=spec.codec.dtype)
            self._in_parts(state, Batch(state.step, items, none if spec.classes else None, none), positions)
        finally:
            state.optimiser.zero_grad()
            self.micro_batch = micro_batch  # the first step finds it again

    def _in_parts(self, state: TrainingState, batch: Batch, positions: range) -> tuple[Tensor, list[str]]:
        notes: list[str] = []
        while True:
            try:
                return self._accumulate(state, batch, positions), notes
            except (RuntimeError, MemoryError) as error:
                if failure := compiler_failure(error) if self.config.runtime.compile else "":
                    raise InputError(
                        f"the network could not be compiled ({failure}): leave {option('compile')} out, or install "
                        "a C++ compiler (for a GPU, Triton)"
                    ) from error
                if not out_of_memory(error):
                    raise
                if self.distributed.world > 1 or self.micro_batch == 1:
                    half = self.micro_batch // 2
                    smaller = option("micro_batch", half) if half else f"a smaller {option('batch_size')}"
                    raise InputError(
                        f"the memory of {self.distributed.device} does not suffice for {self.micro_batch} images at "
                        f"once: give {smaller}, or a smaller "
                        "network"
                    ) from None
            self.micro_batch //= 2
            notes.append(f"out of memory: going on with {self.micro_batch} images at once, in the same batches")
            state.optimiser.zero_grad()
            if self.distributed.device.type == "cuda":
                torch.cuda.empty_cache()

    def _accumulate(self, state: TrainingState, batch: Batch, positions: range) -> Tensor:
        """Times and losses of the images at `positions`, float64 (2, positions), and their gradients."""
        distributed, count = self.distributed, len(positions)
        state.denoiser.train()
        state.optimiser.zero_grad()
        x0, condition = prepare(batch, positions, self.config, state.spec, state.takes, distributed.device)
        table = []
        for start in range(0, count, self.micro_batch):
            part = slice(start, start + self.micro_batch)
            some: dict[str, Any] = {name: value[part] for name, value in condition.items()}
            with distributed.accumulating(state.denoiser.net, last=start + self.micro_batch >= count):
                with distributed.autocast(), self._own_randomness(batch.step, positions[start]):
                    t, losses = state.objective.losses(
                        state.denoiser,
                        x0[part],
                        step=batch.step,
                        seed=self.config.train.seed,
                        indices=positions[part],
                        averaged=state.averaged,
                        **some,
                    )
                # DDP and FSDP2 average over the processes, so each gives its part of the sum times their number
                loss = losses.sum() * (distributed.world / self.batch_size)
                distributed.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            table.append(torch.stack([t.to(distributed.device, torch.float64), losses.detach().double()]))
        for parameter in state.own.values() if distributed.world > 1 else ():  # no wrapper sums their gradients
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = distributed.total(gradient).to(distributed.device) / distributed.world
        return torch.cat(table, dim=1)

    @contextlib.contextmanager
    def _own_randomness(self, step: int, position: int) -> Iterator[None]:
        """Make the random numbers that a network of one's own draws functions of (seed, step, first position) too."""
        if not isinstance(self.config.net, CustomNetConfig):
            yield
            return
        key = randomness.keys(self.config.train.seed, Stream.NETWORK, step, [position])
        with pytorch_generator(int(key) & randomness.MASK):
            yield
