"""A pretended accelerator: tensors that say that they lie on "gpu:0", and compute on the CPU.

    with pretended() as waits:
        ancestral.train("digits", device="gpu", steps=3, out=...)
    assert not waits

An operation that is given tensors of both devices raises `MixedDevices`, as a GPU does. `waits` counts, by the line of
the package, what makes a program wait for a real GPU: reading a number, copies to the CPU, copies from memory that is
not pinned, decompositions of matrices, and operations whose result has a size that depends on values. Autocast casts as
on CUDA. With `float64=False` there are no tensors of float64, as on Apple's GPUs (MPS).

docs/explanation/devices.md lists what is not pretended.
"""

import collections
import contextlib
import functools
import sys
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import ancestral
from ancestral.base import device_tensors

NAME = "gpu"
PACKAGE = str(Path(ancestral.__file__).parent)
READS = {"_local_scalar_dense", "equal", "is_nonzero"}
"""Operations whose result is a number of Python."""
SIZES = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave"}
"""Operations whose result has a size that depends on values."""
DECOMPOSITIONS = {"_linalg_svd", "_linalg_eigh", "linalg_eig", "linalg_pinv", "linalg_lstsq", "_linalg_check_errors"}
"""Operations that read whether a matrix was decomposed; functions of `torch.linalg` that end in `_ex` need not."""
STAGED = 64 * 1024
"""Bytes up to which CUDA copies memory that is not pinned without waiting: it keeps them in memory of its own first."""
COPYING = {"where", "index_put", "index_put_", "_index_put_impl_"}
"""Operations that copy a tensor without axes from the CPU, where other kernels are given its number."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}

# As CUDA's autocast has them; https://docs.pytorch.org/docs/stable/amp.html lists them.
TO_LOWER = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d.input conv_transpose3d.input linear matmul mm mv bmm addmm
    addmv addbmm baddbmm addr chain_matmul linalg_multi_dot prelu scaled_dot_product_attention
"""
TO_FLOAT32 = """
    acos asin cosh sinh tan erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt pow.Tensor_Tensor pow.Tensor_Scalar
    pow.Scalar softplus layer_norm native_layer_norm group_norm norm.Scalar norm.ScalarOpt_dim mse_loss l1_loss
    smooth_l1_loss huber_loss kl_div nll_loss cosine_similarity dist cdist softmax.int log_softmax.int cumsum cumprod
    sum sum.dim_IntList prod prod.dim_int
"""
TO_WIDEST = "addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put scatter_add tensordot"


class MixedDevices(RuntimeError):
    """An operation was given tensors of both devices."""


class OnDevice(Tensor):
    """A tensor on the pretended device; `inner` holds its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(NAME, 0),
        )
        tensor.inner = inner
        return tensor

    def __repr__(self):
        return f"OnDevice({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class UnorderedUse(RuntimeError):
    """An operation uses memory on a stream that does not wait for what another stream does with it."""


class Stream:
    """A queue of operations.

    Attributes:
        done: By stream, how many of its operations are done before the next one of this stream begins.
    """

    def __init__(self):
        self.done = collections.Counter()

    def record_event(self):
        """All that is queued: an event is what is done when it is reached."""
        return self.done.copy()

    def wait_event(self, event):
        self.done |= event

    def wait_stream(self, stream):
        self.done |= stream.done

    def use(self, read, written, made):
        """Queue an operation on memory, by address. Raise UnorderedUse if another stream may use that at once."""
        self.done[self] += 1
        for address in read | written:
            uses = _now.uses.setdefault(address, {"write": {}, "read": {}})
            before = uses["write"] | (uses["read"] if address in written else {})
            if any(self.done[stream] < number for stream, number in before.items()):
                raise UnorderedUse(f"a stream does not wait for another, at {_line()}")
            if address in written:
                uses["write"], uses["read"] = {self: self.done[self]}, {}
            else:
                uses["read"][self] = self.done[self]
        for address in made:
            _now.uses[address] = {"write": {self: self.done[self]}, "read": {}}


def _new_stream(device=None):
    _now.several_streams = True
    return Stream()


@contextlib.contextmanager
def _on_stream(stream):
    before, _now.stream = _now.stream, stream
    try:
        yield
    finally:
        _now.stream = before


def _addresses(tensors):
    return {tensor.inner.untyped_storage().data_ptr() for tensor in tensors}


def _queue(func, args, kwargs, inputs, result):
    """Queue an operation on the current stream, if there are several."""
    if not _now.several_streams:
        return
    given = zip(func._schema.arguments, args, strict=False)
    named = [(argument, kwargs[argument.name]) for argument in func._schema.arguments if argument.name in kwargs]
    changed = [value for argument, value in (*given, *named) if argument.alias_info and argument.alias_info.is_write]
    read, outputs = _addresses(inputs), list[OnDevice]()
    _mapped(lambda leaf: outputs.append(leaf) if isinstance(leaf, OnDevice) else None, [result])
    written = _addresses(value for value in changed if isinstance(value, OnDevice))
    _now.stream.use(read, written, _addresses(outputs) - read - written)


class _Pretence:
    """What is counted, and what the device lacks."""

    def __init__(self):
        self.waits = collections.Counter()
        self.float64 = True
        self.pinned = dict[int, Tensor]()
        self.begin()

    def begin(self):
        self.waits.clear()
        self.pinned.clear()
        self.stream, self.several_streams, self.uses = Stream(), False, {}


_now = _Pretence()


def _line():
    """The innermost line of the package on the stack."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return "?" if frame is None else f"{Path(frame.f_code.co_filename).relative_to(PACKAGE)}:{frame.f_lineno}"


def _wait(what):
    _now.waits[f"{what}: {_line()}"] += 1


def _ours(device):
    return device is not None and torch.device(device).type == NAME


def _check_devices(name, tensors, first):
    """Raise MixedDevices for what CUDA refuses: only numbers, tensors without axes, may lie on the CPU."""
    if name in INDEXING and isinstance(first, OnDevice):
        return  # indices may lie on the CPU; they are copied
    strays = [tuple(t.shape) for t in tensors if not isinstance(t, OnDevice) and t.ndim > 0]
    if strays or (name in INDEXING and not isinstance(first, OnDevice)):
        raise MixedDevices(f"{name}: tensors on {NAME} and, of shape {strays}, on the CPU, at {_line()}")


def _place(name, args, kwargs, tensors, on_device):
    """Tell whether the result lies on the device, and count a wait."""
    to = kwargs.get("device")
    if name in ("_to_copy", "copy_"):
        source = on_device[0] if on_device and isinstance(args[0], OnDevice) else None
        if name == "copy_":
            source, target = isinstance(args[1], OnDevice), isinstance(args[0], OnDevice)
            asynchronous = len(args) > 2 and args[2]
        else:
            source, target = source is not None, isinstance(args[0], OnDevice) if to is None else _ours(to)
            asynchronous = kwargs.get("non_blocking", False)
        if source and not target:
            _wait("copy to the CPU")
        elif target and not source:
            copied = args[1] if name == "copy_" else args[0]
            pinned = copied.untyped_storage().data_ptr() in _now.pinned
            if not asynchronous:
                _wait("copy from the CPU that blocks")
            elif not pinned and copied.nbytes > STAGED:
                _wait("copy from memory that is not pinned")
        return target
    if to is not None:
        return _ours(to)
    if on_device:
        _check_devices(name, tensors, args[0] if args else None)
        if name in READS or name in SIZES:
            _wait(f"read ({name})" if name in READS else f"size by values ({name})")
        if name in DECOMPOSITIONS or kwargs.get("check_errors"):
            _wait(f"decomposition of a matrix ({name})")
        indices = [index for index in args[1] if index is not None] if name in INDEXING else ()
        if any(index.dtype == torch.bool for index in indices):
            _wait("index by a mask")
        elif any(not isinstance(index, OnDevice) for index in indices if index.ndim):
            _wait("index on the CPU")
        elif name in COPYING and any(not isinstance(value, OnDevice) for value in (args[2:3] if indices else tensors)):
            _wait(f"copy of a number from the CPU ({name})")
    return bool(on_device)


def _mapped(change, value):
    """A value of an operation's arguments or results, each of whose leaves is changed."""
    kind = type(value)
    if kind in (tuple, list):
        return kind([_mapped(change, part) for part in value])
    if kind is dict:
        return {name: _mapped(change, part) for name, part in value.items()}
    return change(value)


def _call(func, args, kwargs):
    name = func.overloadpacket._qualified_op_name.split("::")[1]
    tensors, known = [], {}

    def plain(leaf):
        if isinstance(leaf, Tensor):
            tensors.append(leaf)
            if isinstance(leaf, OnDevice):
                known[id(leaf.inner)] = leaf
                return leaf.inner
        elif isinstance(leaf, torch.device) and leaf.type == NAME:
            return torch.device("cpu")
        return leaf

    inner_args, inner_kwargs = _mapped(plain, args), _mapped(plain, kwargs)
    placed = _place(name, args, kwargs, tensors, list(known.values()))
    inner_kwargs.pop("pin_memory", None)
    result = func(*inner_args, **inner_kwargs)
    if not placed:
        return result

    def wrapped(leaf):
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.dtype in (torch.float64, torch.complex128) and not _now.float64:
            raise TypeError(f"the device has no {leaf.dtype}, at {_line()}")
        return known[id(leaf)] if id(leaf) in known else OnDevice(leaf)  # an operation in place returns its argument

    made = _mapped(wrapped, result)
    _queue(func, args, kwargs, list(known.values()), made)
    return made


class _Dispatch(TorchDispatchMode):
    """Sends operations that make tensors on the device, which have no tensor of it as an argument, to `_call`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What makes tensors below the dispatcher goes by the CPU: torch.tensor(..., device=), indexing by lists."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and _ours(kwargs.get("device")):
            device = kwargs.pop("device")
            made = func(*args, **kwargs)
            return made if isinstance(made, OnDevice) else made.to(device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(list(i)) if isinstance(i, list | range) else i for i in index)
            args = (args[0], index if isinstance(args[1], tuple) else index[0], *args[2:])
        if func is torch.Tensor.__setitem__ and isinstance(args[0], OnDevice) and isinstance(args[2], int | float):
            args = (*args[:2], torch.tensor(args[2], dtype=args[0].dtype))  # as on CUDA: on the CPU
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnDevice):
            options = {"dtype": args[0].dtype, "device": args[0].device} | kwargs
            device = options.pop("device")
            return torch.tensor(*args[1:], **options).to(device)
        if func is torch.Tensor.pin_memory:
            copy = args[0].clone()
            _now.pinned[copy.untyped_storage().data_ptr()] = copy
            return copy
        if func is torch.Tensor.tolist and isinstance(args[0], OnDevice):
            _wait("read (tolist)")
            return args[0].inner.tolist()
        if func == torch.Tensor.data.__set__ and isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice):
            torch.utils.swap_tensors(args[0], nn.Parameter(args[1], args[0].requires_grad))
            return None
        return func(*args, **kwargs)


def _cast(operation, dtype_of, *args, **kwargs):
    """Call an operation with its tensors on the device in the dtype that autocast gives it."""
    tensors = list[Tensor]()

    def noted(leaf):
        if isinstance(leaf, OnDevice) and leaf.dtype.is_floating_point and leaf.dtype != torch.float64:
            tensors.append(leaf)
        return leaf

    _mapped(noted, (list(args), kwargs))
    dtype = dtype_of(tensors)
    cast = {id(tensor): tensor.to(dtype) for tensor in tensors}
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
        args, kwargs = _mapped(lambda leaf: cast.get(id(leaf), leaf), (tuple(args), dict(kwargs)))
        return operation(*args, **kwargs)


def _widest(tensors):
    return functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float16)


def _register():
    """Register the device with PyTorch: once for the process, before the first backward pass."""
    _setup_privateuseone_for_python_backend(NAME)
    fallback, casts = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    fallback.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for names, dtype_of in (
        (TO_LOWER, lambda tensors: torch.get_autocast_dtype(NAME)),
        (TO_FLOAT32, lambda tensors: torch.float32),
        (TO_WIDEST, _widest),
    ):
        for name in names.split():
            packet, _, overload = name.partition(".")
            operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
            casts.impl(name, functools.partial(_cast, operation, dtype_of), "AutocastPrivateUse1")
    module = getattr(torch, NAME)
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    module.Stream, module.stream = _new_stream, _on_stream
    module.current_stream = lambda device=None: _now.stream
    module.get_rng_state = lambda device=None: torch.get_rng_state()
    module.set_rng_state = lambda state, device=None: torch.set_rng_state(state)
    return fallback, casts


_LIBRARIES = _register()


@contextlib.contextmanager
def pretended(float64=True):
    """Let "gpu" be a device; the counter that is given counts its waits by line."""
    _now.begin()
    _now.float64 = float64
    lacking = device_tensors.WITHOUT_FLOAT64 | (set() if float64 else {NAME})
    with (
        mock.patch.object(torch.accelerator, "synchronize", lambda device=None: _wait("synchronise")),  # noqa: PT008
        mock.patch.object(device_tensors, "WITHOUT_FLOAT64", lacking),
        _Functions(),
        _Dispatch(),
    ):
        yield _now.waits
