"""The calls of a program while it is built, the values that they read and write, and the memory that they take.

Weights have 18 bits, for a browser: integers with one scale for each row (output channel). The estimates x̂_0 of the
digits model then differ by at most 2e-5 from those with all bits, and its samples by 2e-4. With float16, whose numbers
near the largest are the coarsest, it is 1e-3 and 2e-2.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.errors import InputError

PROGRAM_START = 65536
"""The first byte of the memory that a program uses; the stack of the kernels lies below."""
MAX_MEMORY = 2**31 - 1
"""The largest memory that addresses of 32 bits with a sign reach."""
AXES = 8
"""The largest number of axes of an elementwise call, as in kernels.c."""
OPERATIONS = {
    name: number
    for first, names in {
        0: "copy neg abs exp sigmoid silu tanh relu sqrt rsqrt reciprocal erf trunc floor ceil round",
        32: "add sub mul div max min ge gt le lt eq ne and or",
        64: "where addcmul",
    }.items()
    for number, name in enumerate(names.split(), first)
}
"""Numbers of the elementwise operations, as in kernels.c."""
LEVELS = 2**17 - 1
"""The integers are from -LEVELS to LEVELS."""
EXACT = 256
"""Tensors of fewer numbers, and vectors, are stored in float32."""


@dataclass(eq=False)
class Buffer:
    """Part of the memory: `size` bytes, needed from call `first` to call `last`, or always if it is `static`."""

    size: int
    static: bool = False
    first: int = -1
    last: int = -1
    offset: int = -1

    def __post_init__(self) -> None:
        self.size = aligned(self.size)


@dataclass(frozen=True, eq=False)
class MemoryPlace:
    """An address: a byte of a buffer."""

    buffer: Buffer
    byte: int = 0

    def plus(self, byte: int) -> "MemoryPlace":
        """The address some bytes further on."""
        return MemoryPlace(self.buffer, self.byte + byte)

    def address(self) -> int:
        """The address in the memory, once the buffer has its place."""
        return self.buffer.offset + self.byte


CallArgument = int | float | MemoryPlace
Call = tuple[str, list[CallArgument]]


@dataclass(eq=False)
class Value:
    """A tensor in the memory: a meta tensor has its shape, strides and place in the buffer."""

    buffer: Buffer
    view: Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the tensor."""
        return self.view.shape

    def at(self) -> MemoryPlace:
        """The address of its first number."""
        return MemoryPlace(self.buffer, 4 * int(self.view.storage_offset()))

    def viewed(self, view: Tensor) -> "Value":
        """Another view of the same memory."""
        return Value(self.buffer, view)


@dataclass(eq=False)
class Builder:
    """A program that grows call by call."""

    calls: list[Call] = field(default_factory=list)
    prepare: list[Call] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    statics: dict[Any, Buffer] = field(default_factory=dict)
    zeros: Buffer = field(default_factory=lambda: Buffer(0, static=True))
    stage: Buffer = field(default_factory=lambda: Buffer(0, static=True))
    """Where weights are unpacked before they are packed: the working memory, which nothing else uses yet."""

    def call(self, kernel: str, *arguments: CallArgument) -> None:
        """Add a call of an evaluation."""
        self.calls.append((kernel, list(arguments)))

    def new(self, shape: Sequence[int], like: Value | None = None) -> Value:
        """A new dense value, whose axes lie in memory in the order of those of another of the same number of axes."""
        order = list(range(len(shape)))
        if like is not None and like.view.ndim == len(shape):
            sizes, strides = like.shape, like.view.stride()
            order.sort(key=lambda axis: (-strides[axis] if sizes[axis] > 1 else -math.inf, axis))
        strides_of, step = [0] * len(shape), 1
        for axis in reversed(order):
            strides_of[axis], step = step, step * shape[axis]
        return Value(Buffer(4 * max(step, 1)), torch.empty_strided(tuple(shape), strides_of, device="meta"))

    def channels_last(self, shape: Sequence[int]) -> Value:
        """A new value (1, C, *sides) whose channels are contiguous."""
        value = self.new((shape[0], *shape[2:], shape[1]))
        return value.viewed(value.view.movedim(-1, 1))

    def scratch(self, floats: int) -> MemoryPlace:
        """Memory for a single call."""
        return MemoryPlace(Buffer(4 * floats))

    def zero_row(self, floats: int) -> MemoryPlace:
        """Zeros that nothing overwrites."""
        self.zeros.size = max(self.zeros.size, aligned(4 * floats))
        return MemoryPlace(self.zeros)

    # Constants -----------------------------------------------------------------------------------------------------

    def static(self, key: tuple[Any, ...], size: int, fill: Callable[[MemoryPlace], None]) -> MemoryPlace:
        """Memory of some bytes that is filled once, for all that have this key."""
        if key not in self.statics:
            self.statics[key] = Buffer(size, static=True)
            fill(MemoryPlace(self.statics[key]))
        return MemoryPlace(self.statics[key])

    def constant(self, tensor: Tensor) -> Value:
        """Numbers that never change, in the memory as they are."""
        dense = tensor.detach().float().contiguous()
        key = "constant", tuple(dense.shape), digest(dense)
        place = self.static(key, 4 * dense.numel(), lambda place: self.unpack(dense, place))
        return Value(place.buffer, torch.empty_strided(dense.shape, dense.stride(), device="meta"))

    def integers(self, numbers: Sequence[int]) -> MemoryPlace:
        """Integers in the memory."""
        fill = lambda place: self.prepare.append(("integers", [place, *numbers]))  # noqa: E731
        return self.static(("integers", *numbers), 4 * len(numbers), fill)

    def packed(self, kernel: str, weight: Tensor, floats: int, *arguments: int) -> MemoryPlace:
        """Weights as a kernel, which takes these arguments, packs them."""

        def fill(place: MemoryPlace) -> None:
            self.stage.size = max(self.stage.size, aligned(4 * weight.numel()))
            self.unpack(weight, MemoryPlace(self.stage))
            self.prepare.append((kernel, [place, MemoryPlace(self.stage), *arguments]))

        return self.static((kernel, tuple(weight.shape), arguments, digest(weight)), 4 * floats, fill)

    def unpack(self, tensor: Tensor, place: MemoryPlace) -> None:
        """Add numbers to the weights, and a call that unpacks them to a place."""
        self.data.extend(b"\0" * (-len(self.data) % 4))
        rows, data = encode(tensor)
        self.prepare.append(("unpack", [place, len(self.data), rows, tensor.numel() // max(rows, 1)]))
        self.data.extend(data)

    # Copies and elementwise calls ------------------------------------------------------------------------------------

    def dense(self, value: Value) -> Value:
        """The value, copied if it is not contiguous."""
        return value if value.view.is_contiguous() else self.copied(value, self.new(value.shape))

    def copied(self, value: Value, to: Value) -> Value:
        """Copy a value; returns the copy."""
        self.map("copy", to, value)
        return to

    def map(self, operation: str, out: Value, *operands: Value) -> None:
        """Add an elementwise call with broadcasting. Axes that lie one after another in all values are joined."""
        views = [out.view, *(each.view.expand(out.shape) for each in operands)]
        outermost = sorted(((stride, -axis) for axis, stride in enumerate(out.view.stride())), reverse=True)
        axes: list[list[int]] = []
        for axis in (-axis for _, axis in outermost if out.shape[-axis] > 1):
            size, strides = out.shape[axis], [view.stride(axis) for view in views]
            if axes and axes[-1][1:] == [stride * size for stride in strides]:
                axes[-1] = [axes[-1][0] * size, *strides]
            else:
                axes.append([size, *strides])
        if len(axes) > AXES:
            raise unsupported(f"tensors of more than {AXES} axes")
        axes = axes or [[1, *[1] * len(views)]]
        layout = [number for row in axes for number in row + [0] * (5 - len(row))]
        places = [each.at() for each in operands]
        places += [places[0]] * (3 - len(places))
        self.call("map", OPERATIONS[operation], out.at(), *places, self.integers([len(axes), *layout]))

    # Memory ----------------------------------------------------------------------------------------------------------

    def placed(self, inputs: Mapping[str, tuple[Value, str]], output: Value) -> dict[str, Any]:
        """Give all buffers their places, and return the program.

        Raises:
            InputError: If it needs more memory than a browser has.
        """
        working = PROGRAM_START
        for buffer in (self.zeros, *self.statics.values()):
            buffer.offset = working
            working += buffer.size
        buffers: dict[Buffer, None] = {}
        for value, _ in inputs.values():  # written before the first call
            value.buffer.first, value.buffer.last = -1, 0
            buffers[value.buffer] = None
        for number, (_, arguments) in enumerate(self.calls):
            for argument in arguments:
                if isinstance(argument, MemoryPlace) and not argument.buffer.static:
                    if argument.buffer not in buffers:
                        buffers[argument.buffer] = None
                        argument.buffer.first = number
                    argument.buffer.last = number
        output.buffer.last = len(self.calls)
        self.stage.offset = working
        end = max(_arrange(list(buffers), working), working + self.stage.size)
        if end > MAX_MEMORY:
            raise InputError(
                f"this network needs {end / 1e9:.1f} GB in a browser, which has at most 2.1; export it to onnx instead"
            )
        return {
            "memory": end,
            "inputs": {
                name: {"offset": value.at().address(), "shape": list(value.shape), "dtype": dtype}
                for name, (value, dtype) in inputs.items()
            },
            "output": {"offset": output.at().address(), "shape": list(output.shape)},
            "prepare": _addressed(self.prepare),
            "calls": _addressed(self.calls),
        }


def unsupported(operation: object) -> InputError:
    """The error for what the kernels do not have."""
    return InputError(f"this network uses {operation}, which cannot run in a browser; export it to onnx instead")


def row_stride(view: Tensor) -> int | None:
    """The stride of the rows of (*, channels), if channels are contiguous and rows evenly spaced; None if not."""
    if view.shape[-1] > 1 and view.stride(-1) != 1:
        return None
    axes = [axis for axis in range(view.ndim - 1) if view.shape[axis] > 1]
    if any(view.stride(outer) != view.stride(inner) * view.shape[inner] for outer, inner in pairwise(axes)):
        return None
    return int(view.stride(axes[-1])) if axes else int(view.shape[-1])


def whole_blocks(columns: int) -> int:
    """Number of columns of packed weights: blocks of 8, and of 4 where at most 4 are left."""
    left = columns % 8
    return columns - left + (0 if left == 0 else 4 if left <= 4 else 8)


def aligned(size: int) -> int:
    """The size, rounded up to whole vectors."""
    return -(-size // 16) * 16


def digest(tensor: Tensor) -> bytes:
    """What tensors of the same numbers share."""
    return hashlib.sha256(tensor.detach().float().contiguous().numpy().tobytes()).digest()


def _addressed(calls: Sequence[Call]) -> list[list[Any]]:
    """Calls with addresses for places."""
    return [
        [kernel, *(each.address() if isinstance(each, MemoryPlace) else each for each in arguments)]
        for kernel, arguments in calls
    ]


def _arrange(buffers: list[Buffer], start: int) -> int:
    """Place buffers, the largest first, where none that is needed at the same time lies. Returns the end."""
    done: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda each: -each.size):
        offset = start
        for other in sorted(done, key=lambda each: each.offset):
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if other.offset >= offset + buffer.size:
                break
            offset = max(offset, other.offset + other.size)
        buffer.offset = offset
        done.append(buffer)
    return max([start, *(each.offset + each.size for each in done)])


def rounded(weight: Tensor) -> Tensor:
    """Return the weight as the browser has it: float32, rounded to 18 bits, or as it is if it is small or a vector."""
    weight = weight.detach().float()
    if weight.ndim < 2 or weight.numel() < EXACT:
        return weight
    integers, scale = _integers(weight)
    return integers.float() * scale.view(-1, *[1] * (weight.ndim - 1))


def packed(weight: Tensor) -> bytes:
    """Return the bytes of a weight that `rounded` rounds: the scale of each row in float32, then the integers.

    These come in three planes, of which the first is the one that gzip makes smaller: the upper 8 bits, the next 8, and
    the lowest 2 of four numbers in a byte.
    """
    integers, scale = _integers(weight)
    numbers = integers.flatten() + LEVELS
    low = F.pad(numbers & 3, (0, -len(numbers) % 4)).view(-1, 4) << torch.tensor([0, 2, 4, 6])
    planes = torch.cat([numbers >> 10, numbers >> 2 & 255, low.sum(1)])
    return bytes(scale.numpy().tobytes() + planes.to(torch.uint8).numpy().tobytes())


def encode(tensor: Tensor) -> tuple[int, bytes]:
    """Encode numbers, in 18 bits if those hold them: so are weights that are rounded, but not what is computed of them.

    Returns:
        The number of rows, 0 for float32, and the bytes.
    """
    if _is_rounded(tensor):
        return len(tensor), packed(tensor)
    return 0, tensor.detach().float().contiguous().numpy().tobytes()


def _integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The integers, of the shape of the weight, and the scale of each row, float32."""
    rows = weight.flatten(1).double()
    scale = (rows.abs().amax(1) / LEVELS).float().clamp(min=torch.finfo(torch.float32).tiny)
    integers = (rows / scale.double()[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int32)
    return integers.view(weight.shape), scale


def _is_rounded(tensor: Tensor) -> bool:
    if tensor.ndim < 2 or tensor.numel() < EXACT:
        return False
    largest = tensor.abs().flatten(1).amax(1)
    return bool(((rounded(tensor) - tensor).abs().flatten(1).amax(1) <= 5e-7 * largest).all())
