"""The processes of a training run: `torchrun` or `accelerate launch` starts them, as torch.distributed knows them.

Process r of N works on the positions r, r + N, r + 2N, ... of every global batch. What all have to know goes through
one sum a step (`total`). A process group is made once for the program, so several workflows of a script share it; one
that the user made is taken.
"""

import atexit
import contextlib
import datetime
import os
import warnings
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ancestral.device import Precision, pick_device, pick_dtype
from ancestral.errors import InputError, text_of
from ancestral.options import option

E = TypeVar("E")
R = TypeVar("R")

PATIENCE = datetime.timedelta(days=30)
"""Time for which processes wait for the work of the first one."""


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
            distributed.init_process_group(distributed.get_default_backend_for_device(self.device))
            atexit.register(lambda: distributed.is_initialized() and distributed.destroy_process_group())
        self.rank, self.world = (distributed.get_rank(), distributed.get_world_size()) if started else (0, 1)
        self.dtype = pick_dtype(precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.shard = shard and self.world > 1
        self._process = psutil.Process()  # its memory is read at every step

    @property
    def main(self) -> bool:
        """Whether this process prints and writes."""
        return bool(self.rank == 0)

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
        net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # all that FSDP2 can cut
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
        if self.world > 1:
            tensor = tensor.to(self.device, copy=True)
            distributed.all_reduce(tensor)
        return tensor.cpu()

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
        group = distributed.new_group(timeout=PATIENCE, backend="gloo")
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


def repeated_blocks(net: nn.Module) -> list[nn.Module]:
    """List the blocks that a network repeats, which are compiled, or gathered before use, one at a time."""
    return [block for module in net.modules() if isinstance(module, nn.ModuleList) for block in module]


def compile_blocks(net: nn.Module) -> None:
    """Have each repeated block compiled at its first call, and again for each new shape.

    Blocks of a class share the compiler's cache, which by default holds 8 versions, and there are 4 of each: a whole
    and a last micro-batch, in training and without a gradient. Shapes are compiled as they are: from two blocks of
    different width the compiler would conclude that the number of channels varies, which its CPU kernels of
    channels_last do not support.
    """
    blocks, settings = repeated_blocks(net), torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, 4 * len(blocks))
    for block in blocks:
        block.compile(dynamic=False)


@contextlib.contextmanager
def memory_explained(advice: str) -> Iterator[None]:
    """Turn an error that means that memory ran out into an InputError with this advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise InputError(f"there is not enough memory: {advice}") from None


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a device or the system means that memory ran out."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words
