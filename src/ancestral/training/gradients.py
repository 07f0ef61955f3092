"""From a batch of the data to the gradient of its mean loss, in parts that fit into the memory."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ancestral import augmentation, randomness
from ancestral.base.device import memory_format, on_device
from ancestral.base.device_tensors import highest_dtype
from ancestral.base.errors import InputError, out_of_memory
from ancestral.base.options import option
from ancestral.conditions import LABEL, argument_name
from ancestral.config import Config, CustomNetConfig, TrainConfig
from ancestral.data.convert import at_random
from ancestral.data.loading import Batch
from ancestral.data.spec import DataSpec, inputs
from ancestral.data.windows import cut_at_random
from ancestral.guidance import NO_CLASS
from ancestral.objectives.objective import draw_noise
from ancestral.randomness import Stream, pytorch_generator
from ancestral.training.device_data import BatchCopies, LatentCache
from ancestral.training.distributed import Distributed, memory_explained
from ancestral.training.training_state import TrainingState

Latents = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def prepare(
    batch: Batch,
    positions: range,
    config: Config,
    spec: DataSpec,
    device: torch.device,
    latents: Latents | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Prepare the clean images of a batch and what the network is conditioned on.

    Each image is a function of (seed, step, position) alone. `latents` returns x of items in [−1, 1], given their
    numbers and which are mirrored; None encodes them.

    Returns:
        x_0 of shape (len(positions), *x_shape) in [−1, 1], mirrored and augmented where the config says so; by name the
        numbers of the augmentation, and the conditions, some of them dropped.
    """
    train, step = config.train, batch.step
    items = at_random(batch.items, spec.shape[1:], train.seed, step, positions)
    placed = on_device(items, device)
    x0 = spec.codec.encode(placed)
    condition: dict[str, Tensor] = {}
    transforms = list[Callable[[Tensor], Tensor]]()  # of the items, and of the images that they are given with
    flips = None
    if config.data.flip and x0.ndim >= 4:
        flips = randomness.uniform(train.seed, Stream.FLIP, step, positions) < 0.5
        flip = flips.to(device, non_blocking=True).view(-1, *[1] * (x0.ndim - 1))
        transforms.append(lambda images: images.flip(-1).where(flip, images))
    if config.data.augment:
        augment = augmentation.draw(spec.shape[1:], config.data.augment, train.seed, step, positions)
        condition[augmentation.NAME] = augment.inputs(spec.shape[1:])
        transforms.append(augment)
    for transform in transforms:
        x0 = transform(x0)
    pixels = x0.contiguous(memory_format=memory_format(x0.ndim, config.runtime.memory_format))
    x0 = spec.to_x(pixels) if latents is None else latents(pixels, batch.indices, flips)
    if spec.codec.gaps:
        missing = placed.isnan() if flips is None else transforms[0](placed.isnan())
        x0 = x0.masked_fill(missing, math.nan)
    x0 = x0.contiguous(memory_format=memory_format(x0.ndim, config.runtime.memory_format))
    absent = _absent(train, spec, step, positions)
    if spec.classes and batch.labels is not None:
        condition["labels"] = batch.labels.masked_fill(absent[LABEL], NO_CLASS)
    if spec.further:
        values = cut_at_random(spec, batch.conditions, train.seed, step, positions)
        values = inputs(spec, pixels, values, train.seed, step, positions)
        for name, kind in spec.further.items():
            argument = argument_name(name)
            value = values[argument]
            for transform in transforms if kind.on_grid and not kind.made_by else ():
                value = transform(value)
            condition[argument] = kind.drop(value, absent[name].to(device, non_blocking=True))
    return x0, {name: value.to(device, non_blocking=True) for name, value in condition.items()}


def _absent(train: TrainConfig, spec: DataSpec, step: int, positions: range) -> dict[str, Tensor]:
    """Which items go without which condition, bool (len(positions),): each on its own, and all together."""
    absent: dict[str, Tensor] = {}
    if spec.classes:
        absent[LABEL] = randomness.uniform(train.seed, Stream.LABEL, step, positions) < train.label_dropout
    if not spec.further:
        return absent
    draws = randomness.uniforms(1 + len(spec.further), train.seed, Stream.ABSENCE, step, positions)
    every, *each = (draws < train.condition_dropout).T
    absent |= dict(zip(spec.further, each, strict=True))
    return absent if len(absent) == 1 else {name: rows | every for name, rows in absent.items()}


def _not_compiled(error: Exception) -> InputError:
    """Say why a network could not be compiled, and what to do: a compiler is to be installed only where none is found.

    The compiler's own messages are long, and the line of a C++ compiler that says "error" tells most.
    """
    text = str(error).strip().splitlines() or [type(error).__name__]
    reason = next((line for line in text if "error: " in line), text[0])
    cause = type(getattr(error, "inner_exception", error)).__name__
    missing = {"InvalidCxxCompiler": ", or install a C++ compiler", "TritonMissing": ", or install Triton"}
    return InputError(
        f"the network could not be compiled ({reason.strip()}): leave {option('compile')} out{missing.get(cause, '')}"
    )


class Gradients:
    """Forward and backward passes over this process's share of each batch.

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
        self.cache: LatentCache | None = None
        """The latents of the items, where they are kept."""
        self.items: Tensor | None = None
        """All items, where they are kept on the device."""
        self.copies: BatchCopies | None = None
        """What copies the items of each step to the device, where they are not kept there."""
        self._latents: Latents | None = None

    def compute(
        self, state: TrainingState, batch: Batch, stopping: bool, preempted: bool
    ) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """Compute the gradient of a batch, in smaller parts where the memory does not suffice.

        Returns:
            Times and losses of the whole batch in its order, (batch_size,); whether a process was asked to stop, and
            whether its machine is taken away, (2,); and what the user should know. No step waits for the tensors: the
            losses are on the device, and of several processes all are.

        Raises:
            InputError: If the memory does not suffice for one image at once, or the network cannot be compiled.
        """
        (t, losses), notes = self._in_parts(state, batch, self.positions)
        flags = torch.tensor([stopping, preempted], dtype=losses.dtype)
        if self.distributed.world > 1:
            table = losses.new_zeros(4, self.batch_size)
            table[0, self.positions.start :: self.distributed.world] = t.to(losses, non_blocking=True)
            table[1, self.positions.start :: self.distributed.world] = losses
            table[2:, 0] = flags.to(losses, non_blocking=True)
            t, losses, *rows = self.distributed.total_on_device(table)
            flags = torch.stack(rows)[:, 0]
        return t if state.objective.times.continuous else t.long(), losses, flags, notes

    def dry_run(self, state: TrainingState, count: int | None = None) -> None:
        """Compute the gradient of `count` empty items, by default all of a step, which changes nothing.

        For fewer items than in a step nothing is compiled.

        Raises:
            InputError: If the memory does not suffice for one image at once.
        """
        positions, micro_batch, spec = self.positions[:count], self.micro_batch, state.spec
        fewer = self.config.runtime.compile and len(positions) < len(self.positions)
        stance = torch.compiler.set_stance("force_eager") if fewer else contextlib.nullcontext()
        try:
            with memory_explained(f"give a smaller {option('batch_size')}"):
                none = torch.zeros(len(positions), dtype=torch.int64)
                items = torch.zeros(len(positions), *spec.shape, dtype=spec.codec.dtype)
            if self.cache is not None:  # most steps find all latents in it
                self._latents = lambda encoded, *_: encoded.new_zeros(len(encoded), *spec.x_shape)
            with stance:
                self._in_parts(state, Batch(state.step, items, none if spec.classes else None, none), positions)
        finally:
            self._latents = None
            state.optimiser.zero_grad()
            self.micro_batch = micro_batch  # the first step finds it again

    def _in_parts(
        self, state: TrainingState, batch: Batch, positions: range
    ) -> tuple[tuple[Tensor, Tensor], list[str]]:
        notes: list[str] = []
        while True:
            try:
                return self._accumulate(state, batch, positions), notes
            except (RuntimeError, MemoryError) as error:
                if self.config.runtime.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
                    raise _not_compiled(error) from error
                if not out_of_memory(error):
                    raise
                if self.distributed.world > 1 or self.micro_batch == 1:
                    half = self.micro_batch // 2
                    smaller = option("micro_batch", half) if half else f"a smaller {option('batch_size')}"
                    raise InputError(
                        f"the memory of {self.distributed.device} does not suffice for {self.micro_batch} images at "
                        f"once: give {smaller}, or a smaller network"
                    ) from None
            self.micro_batch //= 2
            notes.append(f"out of memory: going on with {self.micro_batch} images at once, in the same batches")
            state.optimiser.zero_grad()
            if self.distributed.device.type == "cuda":
                torch.cuda.empty_cache()

    def _accumulate(self, state: TrainingState, batch: Batch, positions: range) -> tuple[Tensor, Tensor]:
        """Times on the CPU and losses on the device of the images at `positions`, and their gradients."""
        distributed, count = self.distributed, len(positions)
        if not state.denoiser.training:  # to set it in every module takes 1 % of a small network's step
            state.denoiser.train()
        state.optimiser.zero_grad()
        latents = self._latents or self.cache
        batch = dataclasses.replace(batch, items=self._items_of(state, batch, positions))
        x0, condition = prepare(batch, positions, self.config, state.spec, distributed.device, latents)
        paired = self._paired(state, x0, batch.step, positions, condition) if state.objective.pairs else None
        net = self.config.net
        if state.takes_keys and (isinstance(net, CustomNetConfig) or getattr(net, "dropout", 0) > 0):
            keys = randomness.keys(self.config.train.seed, Stream.DROPOUT, batch.step, positions)
            condition["keys"] = keys.to(distributed.device, non_blocking=True)
        times, values = list[Tensor](), list[Tensor]()
        graphs = self.config.runtime.cuda_graphs
        if graphs and self.micro_batch < count:  # else `grad` would lie in memory that the next part overwrites
            for parameter in filter(lambda one: one.requires_grad, state.trained):
                parameter.grad = torch.zeros_like(parameter)
        for start in range(0, count, self.micro_batch):
            part = slice(start, start + self.micro_batch)
            if graphs:  # the results of the run before are not read any more
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            with distributed.accumulating(state.denoiser.net, last=start + self.micro_batch >= count):
                with distributed.autocast(), self._network_randomness(batch.step, positions[start]):
                    t, losses = state.objective.losses(
                        state.denoiser,
                        x0[part],
                        step=batch.step,
                        seed=self.config.train.seed,
                        indices=positions[part],
                        averaged=state.averaged,
                        **({} if paired is None else {"eps": paired[part]}),
                        **{name: value[part] for name, value in condition.items()},
                    )
                # DDP and FSDP2 average over the processes, so each gives its part of the sum times their number
                loss = losses.sum() * (distributed.world / self.batch_size)
                distributed.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            times.append(t)
            values.append(losses.detach().to(highest_dtype(losses.device)))
        for parameter in (
            state.objective_parameters.values() if distributed.world > 1 else ()
        ):  # no wrapper sums their gradients
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = distributed.total_on_device(gradient) / distributed.world
        return torch.cat(times), torch.cat(values)

    def _paired(
        self, state: TrainingState, x0: Tensor, step: int, positions: range, condition: Mapping[str, Tensor]
    ) -> Tensor:
        """The noise of the items at `positions`: each process pairs the whole batch, and takes its own."""
        world = self.distributed.world
        if world > 1:
            x0, *values = (self._of_all(value) for value in (x0, *condition.values()))
            condition = dict(zip(condition, values, strict=True))
        eps = draw_noise(x0, self.config.train.seed, step, range(len(x0)))
        return state.objective.pair(x0, eps, **condition)[positions.start :: world][: len(positions)]

    def _of_all(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in the order of the batch."""
        table = rows.new_zeros(self.batch_size, *rows.shape[1:])
        table[self.positions.start :: self.distributed.world][: len(rows)] = rows
        return self.distributed.total_on_device(table)

    def _items_of(self, state: TrainingState, batch: Batch, positions: range) -> Tensor:
        """The items of a batch, on the device if they are kept or copied there."""
        if self.items is not None and len(batch.indices) == len(batch.items):
            return self.items[batch.indices.to(self.items.device, non_blocking=True)]
        if self.copies is None:
            return batch.items
        sides, seed = state.spec.shape[1:], self.config.train.seed
        return self.copies(at_random(batch.items, sides, seed, batch.step, positions))

    @contextlib.contextmanager
    def _network_randomness(self, step: int, position: int) -> Iterator[None]:
        """Make the random numbers that a custom network draws functions of (seed, step, first position) too."""
        if not isinstance(self.config.net, CustomNetConfig):
            yield
            return
        key = randomness.keys(self.config.train.seed, Stream.NETWORK, step, [position])
        with pytorch_generator(int(key) & randomness.MASK):
            yield
