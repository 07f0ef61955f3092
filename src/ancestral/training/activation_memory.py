"""The share of the memory for activations that is left if blocks recompute theirs in the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ancestral.training.distributed import checkpoint_blocks, keep_activations, repeated_blocks
from ancestral.training.trainer import Trainer


class _Count:
    """Bytes of the tensors that are kept for the backward pass: in each block, the inputs of blocks, and outside."""

    def __init__(self, net: nn.Module) -> None:
        self.seen = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
        self.alive: list[Tensor] = []
        """All tensors that were counted: as long as they live, no other has their address."""
        self.outside, self.inputs, self.blocks = 0, 0, list[int]()

    def add(self, tensor: Tensor) -> int:
        """Return the bytes of a tensor's storage, 0 if it was counted before, or is a parameter."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self.seen:
            return 0
        self.seen.add(storage.data_ptr())
        self.alive.append(tensor.detach())
        return storage.nbytes()

    def outside_block(self, tensor: Tensor) -> Tensor:
        self.outside += self.add(tensor)
        return tensor

    def in_block(self, tensor: Tensor) -> Tensor:
        self.blocks[-1] += self.add(tensor)
        return tensor


def _identity(tensor: Tensor) -> Tensor:
    return tensor


@contextmanager
def _counting(net: nn.Module) -> Iterator[_Count]:
    """Count what a forward pass of a network keeps, inside."""
    count = _Count(net)

    def counted(forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            tensors = [one for one in (*arguments, *named.values()) if isinstance(one, Tensor)]
            count.inputs += sum(map(count.add, tensors))
            count.blocks.append(0)
            with saved_tensors_hooks(count.in_block, _identity):
                return forward(*arguments, **named)

        return call

    blocks = repeated_blocks(net)
    for block in blocks:
        block.forward = counted(block.forward)
    try:
        with saved_tensors_hooks(count.outside_block, _identity):
            yield count
    finally:
        for block in blocks:
            del block.__dict__["forward"]


@contextmanager
def recomputed_activations(trainer: Trainer) -> Iterator[None]:
    """Recompute activations in the backward pass inside, in a run that keeps them so far."""
    checkpoint_blocks(trainer.state.net)
    try:
        yield
    finally:
        keep_activations(trainer.state.net)


def recomputed_share(trainer: Trainer) -> float:
    """Compute the share of the memory for activations that is left with activation checkpointing.

    Kept are then what lies outside the blocks, the inputs of all blocks, and at any time the activations of one block.
    The gradients of one block's activations are needed in either case.
    It follows from the sizes of what a forward pass of one item and of two keeps: what they have in common, such as
    weights in bfloat16, does not grow with the number of items. Nothing in the training run changes.
    """
    net, checkpointing = trainer.state.net, trainer.config.runtime.checkpointing
    if checkpointing:
        keep_activations(net)
    sums = []
    try:
        for items in (1, 2):
            with _counting(net) as count:
                trainer.dry_run(items)
            largest = max(count.blocks, default=0)
            always = count.outside + count.inputs + largest  # as gradients
            sums.append((always + largest, always + sum(count.blocks)))
    finally:
        if checkpointing:
            checkpoint_blocks(net)
    (less, all_of), (less_two, all_of_two) = sums
    if all_of_two <= all_of:  # a batch of one item
        return less / max(all_of, 1)
    return max(0.0, less_two - less) / (all_of_two - all_of)
