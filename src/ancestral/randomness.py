"""Counter-based random numbers: every number is a function of (seed, stream, step, index).

Image i of seed s gets the same noise whatever the batch size, the device or the number of processes, and training step
k draws the same times and noise after a restart, so no generator state is ever stored. A draw is a pure function

    bits = mix(key(seed, stream, step, index) ^ mix(j · γ)),   j = 0, 1, ...

where `mix` is the finaliser of SplitMix64 and γ its increment (Steele, Lea and Flood, *Fast splittable pseudorandom
number generators*, 2014). PyTorch's own CPU generator is unsuitable: it keeps 32 bits of its seed, so among 50,000
images two would probably start from the same noise. Normals come from Box-Muller with a uniform number rounded to
float32, the logarithm and the cosine in float64, and a result in float32, so that the last bit of a library's log or
cosine has no effect.
"""

import contextlib
import math
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from enum import Enum, unique
from functools import lru_cache

import torch
from torch import Tensor

from ancestral.base.device_tensors import float64_device
from ancestral.base.errors import InputError, whole

GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
_PYTORCHS = threading.RLock()


@unique
class Stream(Enum):
    """The purposes of random numbers. Each use has its own member, so that no two uses share numbers.

    The values are part of every key: changing one changes all numbers of that stream.
    """

    TIME = "time"
    """The times t of a training step."""
    FORWARD = "forward"
    """ε of a training step, and the z of its objective."""
    FLIP = "flip"
    """Which images of a batch are flipped."""
    CROP = "crop"
    """Where windows are cut from the images of a batch."""
    AUGMENTATION = "augmentation"
    """Which images of a batch are transformed, and by how much."""
    LABEL = "label"
    """Which labels of a batch are dropped, for classifier-free guidance."""
    CONDITION = "condition"
    """Random operators that make a condition of an item: masks, boxes and noise."""
    EARLIER = "earlier"
    """The noise of earlier states that an item is conditioned on."""
    CAPTION = "caption"
    """Which of the texts of an item it is trained with, and the order of their parts."""
    ABSENCE = "absence"
    """Which other conditions of a batch are dropped: a draw for all together, and one for each."""
    DROPOUT = "dropout"
    """Dropout masks."""
    KEYS = "keys"
    """The keys of the noise that a network draws while sampling."""
    ANSWER = "answer"
    """The keys of the noise by which a network draws its answers in training."""
    NETWORK = "network"
    """The seed of what a custom network draws from PyTorch's generator."""
    LATENT = "latent"
    """The noise that is added to latents while an autoencoder is trained."""
    ORDER = "order"
    """The order of the items in an epoch."""
    BALANCE = "balance"
    """The order of classes that are trained on equally often, and of their items."""
    MEASUREMENT = "measurement"
    """The noise of measurements of the data, which one of the user's is compared with."""
    PRIOR = "prior"
    """x_T."""
    REVERSE = "reverse"
    """z of a reverse step."""
    VARIANCE = "variance"
    """The noise in which the analytic variance of reverse steps is measured."""
    WINDOW = "window"
    """The seeds of the windows by which an image is extended."""
    BOUND = "bound"
    """ε at which the variational bound is evaluated."""
    BOUND_TIME = "runs"
    """The times at which the bound is estimated."""
    HUTCHINSON = "probe"
    """The signs of Hutchinson's estimate of a divergence."""
    DEQUANTISE = "dequantise"
    """Dequantisation noise, which turns levels into a density."""
    HALVES = "halves"
    """The two halves of the data that are compared with each other."""
    QUARTERS = "quarters"
    """The splits of sets for the standard errors of distances."""
    PAIRS = "pairs"
    """Pairs of items for the standard errors of kernel distances."""
    EXTRACTOR = "extractor"
    """The images with which a feature extractor is checked."""
    CLASSIFIER = "classifier"
    """The split into training and test set of the linear classifier."""
    JUDGE = "judge"
    """The training of the judge of captions: its items, texts and noise."""
    EXCHANGE = "exchange"
    """The word of a caption that another one takes the place of."""
    BASELINE = "baseline"
    """The random training items that conditional samples are compared with."""
    GIVEN = "given"
    """The order of the training items whose conditions samples are given."""
    HELD_OUT = "held out"
    """Which items are held out of training."""
    VALIDATION = "validation"
    """ε at which the validation loss is measured."""
    OWN = "own"
    """Free for user code; the package does not use it."""


def mix(z: int) -> int:
    """SplitMix64's finaliser, a bijection of 64-bit integers in which every input bit moves every output bit."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def keys(
    seed: int, stream: Stream, step: float, indices: Sequence[int], draw: int | tuple[int, ...] | None = None
) -> Tensor:
    """Compute one 64-bit key for each index.

    Args:
        seed: A whole number from 0 to 2^64 − 1.
        stream: What the numbers are for.
        step: The training step, time or epoch, 0 or more. A time between the integers has numbers of its own.
        indices: The indices of the items, whole numbers.
        draw: The number of the draw, or numbers, where a stream has several at the same step.

    Returns:
        int64 (len(indices),) on the CPU.

    Raises:
        InputError: If the seed or the step is not a whole number in its range (seeds that differ by 2^64 would be the
            same), the stream is no `Stream`, or an index is not a whole number.
    """
    seed = whole(seed, 0, MASK, f"a seed is a whole number from 0 to 2^64 - 1, not {seed}")
    if isinstance(step, float) and math.isfinite(step) and step > 0 and not step.is_integer():
        step = int.from_bytes(struct.pack(">d", step))  # its 64 bits: a number that no step or integer time has
    number = whole(step, 0, MASK, f"a step is a whole number, 0 or more, not {step}")
    if not isinstance(stream, Stream):
        raise InputError(f"random numbers need a randomness.Stream, not {stream!r}; for custom draws Stream.OWN")
    name = stream.value if draw is None else f"{stream.value} {draw}"
    prefix = 0
    for word in (seed, zlib.crc32(name.encode()), number):
        prefix = mix(((prefix ^ word) + GAMMA) & MASK)
    numbers = torch.as_tensor(indices)
    if numbers.numel() and numbers.is_floating_point():
        raise InputError("indices are whole numbers, one for each item")
    return _mix((numbers.long() ^ _signed(prefix)) + _signed(GAMMA))


def derived(keys: Tensor, number: int) -> Tensor:
    """Return other keys for each key (B,), int64 on their device: those of a number from 1, such as of a member."""
    return _mix((keys ^ _signed(mix(number & MASK))) + _signed(GAMMA))


def further_seed(seed: int, number: int) -> int:
    """Return another seed: that of a number from 1, such as of a state of a rollout; of 0 the seed itself."""
    return mix(seed + number * GAMMA & MASK) if number else seed


def words(keys: Tensor, count: int, reuse: bool = True) -> Tensor:
    """Compute the first `count` 64-bit words of each key (B,): int64 (B, count), on the device of the keys.

    `reuse` keeps constants for the next call; torch.compile warns about that.
    """
    counters = _counters if reuse and not torch.compiler.is_compiling() else _counters.__wrapped__
    return _mix(keys[:, None] ^ counters(count, keys.device))


def uniform(seed: int, stream: Stream, step: int, indices: Sequence[int]) -> Tensor:
    """Draw from U[0, 1) for each index: float64 (len(indices),) on the CPU."""
    return _shift(keys(seed, stream, step, indices), 11).double() * 2.0**-53


def uniforms(
    count: int,
    seed: int,
    stream: Stream,
    step: int,
    indices: Sequence[int],
    draw: int | tuple[int, ...] | None = None,
) -> Tensor:
    """Draw `count` numbers from U[0, 1) for each index: float64 (len(indices), count) on the CPU."""
    return _shift(words(keys(seed, stream, step, indices, draw), count), 11).double() * 2.0**-53


def integers(low: int, high: int, seed: int, stream: Stream, step: int, indices: Sequence[int]) -> Tensor:
    """Draw uniformly from {low, ..., high} for each index: int64 (len(indices),) on the CPU."""
    return low + (uniform(seed, stream, step, indices) * (high - low + 1)).long()


def normal(
    shape: Sequence[int],
    seed: int,
    stream: Stream,
    step: float,
    indices: Sequence[int],
    device: torch.device | str = "cpu",
    draw: int | tuple[int, ...] | None = None,
) -> Tensor:
    """Draw N(0, 1) for each index: float32 (len(indices), *shape), computed on the device where it has float64."""
    work = float64_device(device)
    key = keys(seed, stream, step, indices, draw).to(work, non_blocking=True)
    return _gaussian(key, shape).to(device, non_blocking=True)


def normal_of(keys: Tensor, shape: Sequence[int], draw: float | Tensor = 0) -> Tensor:
    """Draw N(0, 1) for each key, as a network does with the `keys` that it is given.

    Args:
        keys: int64 (B,), as of `keys`.
        shape: The shape of the noise of an item.
        draw: The number of the draw, or one for each key, (B,): for example the network's `index`, so that each time
            has noise of its own.

    Returns:
        float32 (B, *shape), on the device of the keys where it has float64.
    """
    work = float64_device(keys.device)
    numbers = torch.as_tensor(draw).to(work, torch.float64).view(torch.int64).expand(len(keys))
    mixed = _mix((keys.to(work) ^ _mix(numbers + _signed(GAMMA))) + _signed(GAMMA))
    return _gaussian(mixed, shape).to(keys.device)


def _gaussian(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """N(0, 1) of keys (B,), float32 (B, *shape), by Box and Muller's method."""
    size = math.prod(shape)
    bits = words(keys, (size + 1) // 2)
    radius = ((_shift(bits, 32) + 1) * 2.0**-32).double().log_().mul_(-2).sqrt_()  # the upper half: u in (0, 1]
    angle = (bits & 0xFFFFFFFF).double().mul_(2.0**-32 * 2 * math.pi)  # the lower half
    z = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :size]
    return z.to(torch.float32).reshape(len(keys), *shape)


def permutation(n: int, seed: int, stream: Stream, step: int, draw: int | None = None) -> Tensor:
    """Draw a uniform permutation of 0..n−1: int64 (n,) on the CPU."""
    return words(keys(seed, stream, step, [0], draw), n)[0].argsort()


@lru_cache(maxsize=16)
def _counters(count: int, device: torch.device) -> Tensor:
    """mix(j · γ) for j = 0..count−1, cached, since a loop draws the same number each time."""
    return _mix(torch.arange(count, device=device) * _signed(GAMMA))


def _mix(z: Tensor) -> Tensor:
    """`mix` of an int64 tensor, in place. Products wrap modulo 2^64."""
    shifted = torch.empty_like(z)
    z.bitwise_xor_(_shift(z, 30, shifted)).mul_(_signed(0xBF58476D1CE4E5B9))
    z.bitwise_xor_(_shift(z, 27, shifted)).mul_(_signed(0x94D049BB133111EB))
    return z.bitwise_xor_(_shift(z, 31, shifted))


def _shift(z: Tensor, bits: int, out: Tensor | None = None) -> Tensor:
    """Logical right shift: PyTorch's own copies the sign bit."""
    return torch.bitwise_right_shift(z, bits, out=out).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(z: int) -> int:
    """The int64 with the same 64 bits."""
    return z - (1 << 64) if z >> 63 else z


@contextlib.contextmanager
def pytorch_generator(seed: int | None = None) -> Iterator[None]:
    """Let PyTorch's own generator be used, and leave it as it was.

    It draws initial weights, and what custom networks draw. All threads share it, so one has it at a time.

    Args:
        seed: What it is seeded with; None leaves its state.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with _PYTORCHS, torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield
