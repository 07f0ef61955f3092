"""The processes of a training run: `torchrun` or `accelerate launch` starts them, as torch.distributed knows them.

Process r of N works on the positions r, r + N, r + 2N, ... of every global batch. What all have to know goes through
one sum a step (`total`). A process group is made once for the program, so several workflows of a script share it; one
that the user made is taken.
"""

import atexit
import contextlib
import datetime
import os
import secrets
import time
import warnings
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from ancestral.base.device import Precision, pick_device, pick_dtype
from ancestral.base.errors import InputError, out_of_memory, text_of
from ancestral.base.events import finish
from ancestral.base.options import option

E = TypeVar("E")
R = TypeVar("R")

WORK_TIMEOUT = datetime.timedelta(days=30)
"""Time for which processes wait for the work of the first one."""
START_TIMEOUT = datetime.timedelta(minutes=30)
"""Time for which a process waits for the other ones to start."""
POLL = 0.1
"""Seconds between two reads of the store while a process waits for the first one."""


class Distributed:
    """One process of a run: its device, its share of the work, and the sums over all processes.

    It joins those that a launcher started. `shard` distributes the weights (FSDP2) over them.

    Raises:
        InputError: If there is no such device.
    """

    def __init__(self, device: str = "auto", precision: Precision = "auto", shard: bool = False) -> None:
        started = distributed.is_initialized() or int(os.environ.get("WORLD_SIZE", 1)) > 1
        if started and (device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())):
            device = f"cuda:{os.environ.get('LOCAL_RANK') or torch.cuda.current_device()}"  # a GPU for each process
        self.device = pick_device("cpu" if started and device == "auto" else device)
        if started and self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        elif started and self.device.type != "cpu":
            raise InputError(
                f"several processes compute on cpu or cuda, not on {self.device.type}: give {option('device')}"
            )
        if started and not distributed.is_initialized():
            _init_process_group(distributed.get_default_backend_for_device(self.device))
            atexit.register(_leave)
        self.rank, self.world = (distributed.get_rank(), distributed.get_world_size()) if started else (0, 1)
        self.dtype = pick_dtype(precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.shard = shard and self.world > 1
        self._process = psutil.Process()  # its memory is read at every step

    @property
    def main(self) -> bool:
        """Whether this process prints and writes."""
        return bool(self.rank == 0)

    @property
    def replicated(self) -> bool:
        """Whether each of several processes has a copy of the network (DDP)."""
        return self.world > 1 and not self.shard

    def positions(self, count: int) -> range:
        """Return this process's positions in a batch of `count`."""
        return range(self.rank, count, self.world)

    def wrap(self, net: nn.Module) -> nn.Module:
        """Wrap the network for training: not at all, replicated (DDP), or with its weights sharded (FSDP2)."""
        if self.world == 1:
            return net
        if not self.shard:
            warnings.filterwarnings("ignore", "Grad strides do not match")  # of 1×1 kernels, whose layout is ambiguous
            return DistributedDataParallel(net, None if self.device.type == "cpu" else [self.device])
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        warnings.filterwarnings("ignore", "FSDP2-wrapped module")  # a view is returned, and never changed in place
        net.to(memory_format=torch.contiguous_format)  # all that FSDP2 can cut
        mesh = init_device_mesh(self.device.type, (self.world,))
        for module in (*repeated_blocks(net), net):
            fully_shard(module, mesh=mesh)
        return net

    @contextlib.contextmanager
    def accumulating(self, net: nn.Module, last: bool) -> Iterator[None]:
        """Inside, gradients are summed over the processes only if this is the `last` micro-batch of the step."""
        if self.shard:
            net.set_requires_gradient_sync(last)  # type: ignore[operator]  # FSDP2 adds it to the module
        with net.no_sync() if isinstance(net, DistributedDataParallel) and not last else contextlib.nullcontext():
            yield

    def autocast(self) -> torch.autocast:
        """The context of the forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @property
    def scale(self) -> dict[str, Tensor]:
        """The state of the loss scaling, by name; empty where nothing is scaled."""
        return {name: torch.tensor(float(value)) for name, value in self.scaler.state_dict().items()}

    @scale.setter
    def scale(self, saved: dict[str, Tensor]) -> None:
        if saved and self.scaler.is_enabled():
            self.scaler.load_state_dict({name: value.item() for name, value in saved.items()})

    def gradient_norm(self, parameters: list[nn.Parameter]) -> Tensor:
        """Compute the norm of the whole gradient, the same on every process."""
        return self.full(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))

    def total(self, tensor: Tensor) -> Tensor:
        """Sum a small tensor over the processes; the result is on the CPU of each."""
        return self.total_on_device(tensor).cpu()

    def total_on_device(self, tensor: Tensor) -> Tensor:
        """Sum a small tensor over the processes; the result is on the device."""
        if self.world > 1:
            tensor = tensor.to(self.device, copy=True)
            distributed.all_reduce(tensor)
        return tensor

    def memory(self) -> int:
        """Return the bytes in use: the peak so far on a GPU, else what this process holds now."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return int(self._process.memory_info().rss)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()

    def first(self, events: Generator[E, None, R]) -> Generator[E, None, R]:
        """Run a workflow on the first process; the others wait for its result, and raise InputError if it fails."""
        if self.world == 1:
            return (yield from events)
        group: Any = distributed.new_group(timeout=WORK_TIMEOUT, backend="gloo")
        answer: list[Any] = [None, None]
        try:
            if self.main:
                answer = [(yield from events), None]
        except BaseException as error:
            answer = [None, f"the first process ended: {text_of(error) or type(error).__name__}"]
            raise
        finally:
            with contextlib.suppress(RuntimeError) if answer[1] else contextlib.nullcontext():  # others may be gone
                distributed.broadcast_object_list(answer, 0, group)
        distributed.destroy_process_group(group)
        if answer[1] is not None:
            raise InputError(answer[1])
        return answer[0]  # type: ignore[no-any-return]

    def full(self, tensor: Tensor) -> Tensor:
        """Gather a tensor that may be sharded. All processes take part."""
        return tensor.full_tensor() if self.shard and hasattr(tensor, "full_tensor") else tensor

    def like(self, parameter: Tensor, whole: Tensor) -> Tensor:
        """Return this process's shard of a whole tensor, in the memory layout of the parameter."""
        if self.shard:
            from torch.distributed.tensor import DTensor, distribute_tensor

            if isinstance(parameter, DTensor):
                whole = distribute_tensor(whole.to(self.device), parameter.device_mesh, parameter.placements)
        # PyTorch's fused Adam walks memory, not indices: moments must lie in the parameter's own layout
        return torch.empty_like(parameter).copy_(whole)


def note_beginning(folder: Path) -> None:
    """Note in the store of torchrun's agent, which outlives the workers, that this launch begins a run in a folder."""
    if (store := _agent_store()) is not None:
        store.set(_beginning_of(folder), "begun")


def on_first(events: Generator[E, None, R]) -> Generator[E, None, R]:
    """Do some work on each process of a launch, before these know of each other, and yield its events on the first."""
    return (yield from events) if int(os.environ.get("RANK", "0")) == 0 else finish(events)


def begun_before_restart(folder: Path) -> bool:
    """Tell whether torchrun restarted its workers after this launch had begun a run in the folder."""
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) == 0:
        return False
    store = _agent_store()
    return store is not None and bool(store.check([_beginning_of(folder)]))


def _leave() -> None:
    """Destroy the process group, if there still is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _init_process_group(backend: str) -> None:
    """Make the process group.

    The store of torchrun's agent outlives the workers. A worker that is restarted could take the address of one that
    was killed for that of its successor: it fails, or waits for ever. So each group has keys of its own in the store.
    """
    if (store := _agent_store()) is None:
        distributed.init_process_group(backend)
        return
    rank, world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    keys = PrefixStore(agree_on_prefix(store, rank, world), store)
    distributed.init_process_group(backend, store=keys, rank=rank, world_size=world)


def agree_on_prefix(store: Store, rank: int, world: int) -> str:
    """Agree on a prefix of keys that no earlier group had, whatever earlier processes left in the store.

    The first process offers a new prefix, each other one answers with a number of its own, and the first one confirms
    all answers. An offer of an earlier group has no confirmation of this process's number.
    """
    number = secrets.token_hex(8)
    if rank == 0:
        prefix: str = f"ancestral/group-{number}"
        store.set("ancestral/offer", prefix)
        answers = [store.get(f"{prefix}/answer-{other}").decode() for other in range(1, world)]  # waits for each
        store.set(f"{prefix}/confirmed", " ".join(answers))
        return prefix
    while True:
        prefix = store.get("ancestral/offer").decode()
        store.set(f"{prefix}/answer-{rank}", number)
        if store.check([f"{prefix}/confirmed"]) and number in store.get(f"{prefix}/confirmed").decode():
            return prefix
        time.sleep(POLL)


def _beginning_of(folder: Path) -> str:
    return f"ancestral/begun/{folder.absolute()}"


def _agent_store() -> TCPStore | None:
    """Connect to the store of torchrun's agent; None where no agent has one, or it cannot be reached."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    try:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(*place, is_master=False, timeout=START_TIMEOUT)
    except (KeyError, ValueError, RuntimeError):  # torch.distributed's errors are RuntimeErrors
        return None


def repeated_blocks(net: nn.Module) -> list[nn.Module]:
    """List the blocks that a network repeats, which are compiled, or gathered before use, one at a time."""
    return [block for module in net.modules() if isinstance(module, nn.ModuleList) for block in module]


def compile_network(net: nn.Module, mode: bool | str) -> None:
    """Have a network compiled at its first call, and again for each new shape.

    Args:
        net: The network.
        mode: True compiles each repeated block by itself. On a CPU that takes 59 seconds in place of 139 for digits,
            and 571 in place of 596 for cifar10; and between blocks gradients are summed over processes, or weights are
            gathered. The name of a mode of torch.compile is for CUDA graphs. They are made of the whole network:
            between those of blocks activations would be copied, and PyTorch advises against them (its issue 152887).

    Blocks of a class share the compiler's cache, which by default holds 8 versions, and there are 4 of each: a whole
    and a last micro-batch, in training and without a gradient. Shapes are compiled as they are: from two blocks of
    different width the compiler would conclude that the number of channels varies, which its CPU kernels of
    channels_last do not support.
    """
    if isinstance(mode, str):
        net.compile(dynamic=False, mode=mode)
        return
    blocks, settings = repeated_blocks(net), torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, 4 * len(blocks))
    for block in blocks:
        block.compile(dynamic=False)


def checkpoint_blocks(net: nn.Module) -> None:
    """Have each repeated block recompute its activations in the backward pass instead of keeping them.

    The random numbers of dropout are functions of keys, which are inputs of a block, so the gradient is the same to the
    bit. The state of PyTorch's generator is kept for custom networks.
    """
    for block in repeated_blocks(net):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def keep_activations(net: nn.Module) -> None:
    """Undo `checkpoint_blocks`."""
    for block in repeated_blocks(net):
        block.__dict__.pop("forward", None)


@contextlib.contextmanager
def memory_explained(advice: str) -> Iterator[None]:
    """Turn an error that means that memory ran out into an InputError with this advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise InputError(f"there is not enough memory: {advice}") from None
