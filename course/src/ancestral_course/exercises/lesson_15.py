"""Exercises of lesson 15: random numbers by their key, a sampler in plain arrays, and weights in few bits."""

import math
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ancestral import randomness, schedules, targets
from ancestral.page import program_builder
from ancestral.randomness import GAMMA, MASK, Stream, mix
from ancestral_course.exercise import Counted, Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import seed_of, whole

Array = NDArray[Any]
Tables = dict[str, Array]
HALF = np.uint64(0xFFFFFFFF)


def _numbers(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed_of(seed)).standard_normal(shape)


def _tensors(values: Sequence[Any]) -> list[Any]:
    """Arrays as the tensors that are compared; what is no array stays, and is complained of."""
    return [torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value for value in values]


# -- random numbers ---------------------------------------------------------------------------------------------------


def _key(seed: int, stream: str, number: int, index: int) -> int:
    return int(randomness.keys(seed, Stream(stream), number, [index])[0]) & MASK


def _chain(words: Callable[[int, int, int, int], Sequence[int]], step: Callable[[int, int], int]) -> Function:
    """A key of other words, or by another step."""

    def key(seed: int, stream: str, number: int, index: int) -> int:
        value = 0
        for word in words(seed, zlib.crc32(stream.encode()), number, index):
            value = step(value, word)
        return value

    return key


def _all(*words: int) -> Sequence[int]:
    return words


def _mixed(value: int, word: int) -> int:
    return mix(((value ^ word) + GAMMA) & MASK)


def _key_results(function: Function) -> list[int]:
    """Both halves of the keys of two streams, which a float64 holds."""
    cases = (
        (0, "prior", 0, 0),
        (0, "prior", 0, whole(1, 1, 99)),
        (whole(5, 1, 99), "reverse", whole(981, 1, 999), whole(7, 1, 99)),
        (2**63 + 1, "reverse", 1, 2**40),
    )
    keys = [int(function(*case)) for case in cases]
    return [half for key in keys for half in (key >> 32, key & 0xFFFFFFFF)]


KEY = Exercise(
    name="key",
    task="The 64-bit key of (seed, stream, number, index).",
    reference=_key,
    results=_key_results,
    mistakes={
        "the stream is missing: x_T and the noise of a step would be the same numbers.": _chain(
            lambda seed, stream, number, index: (seed, number, index), _mixed
        ),
        "the index is missing: all images would have the same noise.": _chain(
            lambda seed, stream, number, index: (seed, stream, number), _mixed
        ),
        "the number is missing: all steps would draw the same noise.": _chain(
            lambda seed, stream, number, index: (seed, stream, index), _mixed
        ),
        "the order of the words is that of the arguments: seed, stream, number, index.": _chain(
            lambda seed, stream, number, index: (stream, seed, number, index), _mixed
        ),
        "the words come in the order of the arguments, the number before the index.": _chain(
            lambda seed, stream, number, index: (seed, stream, index, number), _mixed
        ),
        "γ is missing: of seed 0 the first step would mix 0, and mix(0) is 0.": _chain(
            _all, lambda value, word: mix(value ^ word)
        ),
        "a word is joined by XOR (^), not by addition.": _chain(
            _all, lambda value, word: mix((value + word + GAMMA) & MASK)
        ),
        "each word is mixed after it was joined, not before.": _chain(
            _all, lambda value, word: ((value ^ mix(word)) + GAMMA) & MASK
        ),
        "nothing is mixed here: apply mix after each word.": _chain(
            _all, lambda value, word: ((value ^ word) + GAMMA) & MASK
        ),
    },
    rtol=0,
    atol=0.5,
)


def _words(key: int, count: int) -> Array:
    """The first words of a key, as the package draws them."""
    signed = key - (1 << 64) if key >> 63 else key
    return randomness.words(torch.tensor([signed]), count)[0].numpy().view(np.uint64)


def _box_muller(
    words: Callable[[int, int], Array] = _words,
    halves: Callable[[Array], tuple[Array, Array]] = lambda words: (words >> np.uint64(32), words & HALF),
    radius: Callable[[Array], Array] = lambda u: np.sqrt(-2 * np.log(u)),
    turn: float = 2 * math.pi,
    join: Callable[[Array, Array], Array] = lambda one, two: np.concatenate([one, two]),
) -> Function:
    """Normal numbers of a key."""

    def normals(key: int, count: int) -> Array:
        one, two = halves(words(key, (count + 1) // 2))
        r = radius(((one + np.uint64(1)) / 2**32).astype(np.float32).astype(np.float64))
        angle = turn * (two / 2**32)
        return join(r * np.cos(angle), r * np.sin(angle))[:count].astype(np.float32)

    return normals


def _counted(count: int) -> Array:
    return np.arange(count, dtype=np.uint64)


def _mix(z: Array) -> Array:
    return np.array([mix(int(one)) for one in z], dtype=np.uint64)


def _of_two_halves(key: int, count: int) -> Array:
    """A word for each number, of which the sine is thrown away."""
    whole: Array = _box_muller()(key, 2 * count)[:count]
    return whole


SMALL = 14501287577294250220
"""A key whose first word has 32 upper bits that are 0."""
CLOSE = 33400461
"""A key whose first number u is so close to 1 that its rounding to float32 changes the result by a sixth."""


def _roundings(function: Function) -> str:
    """What to say of normal numbers that are not rounded where the text says it, or ""."""
    if not np.allclose(function(SMALL, 2), NORMALS.reference(SMALL, 2), rtol=1e-3, atol=0):
        return f"right, but not for the key {SMALL}, where the upper 32 bits are 0: add 1 to them, so that u is never 0"
    found = function(CLOSE, 2)
    if not np.allclose(found, NORMALS.reference(CLOSE, 2), rtol=1e-2, atol=0):
        return "right but for its digits: round u to float32 before its logarithm, which shows where u is close to 1"
    return "" if found.dtype == np.float32 else f"right, and not rounded at the end: return float32, not {found.dtype}"


NORMALS = Exercise(
    name="normals",
    task="Normal random numbers of a key, by the transform of Box and Muller.",
    reference=_box_muller(),
    results=lambda function: _tensors(
        [function(key, count) for key, count in ((seed_of(1), whole(6, 3, 8)), (2**63 + whole(12345, 1, 99999), 9))]
    ),
    mistakes={
        "all cosines come first, then all sines; here they take turns.": _box_muller(
            join=lambda one, two: np.stack([one, two], 1).ravel()
        ),
        "the sines come first here: the cosines do.": _box_muller(join=lambda one, two: np.concatenate([two, one])),
        "the halves are exchanged: the upper one is for the radius.": _box_muller(
            halves=lambda words: (words & HALF, words >> np.uint64(32))
        ),
        "each word makes two numbers, a cosine and a sine: (count + 1) // 2 words are enough.": _of_two_halves,
        "the radius is √(−2 log u): the factor 2 is missing.": _box_muller(radius=lambda u: np.sqrt(-np.log(u))),
        "the radius is √(−2 log u): the root is missing.": _box_muller(radius=lambda u: -2 * np.log(u)),
        "the angle is a share of a whole turn: multiply by 2π.": _box_muller(turn=1.0),
        "an angle goes around the whole circle: multiply by 2π, not by π.": _box_muller(turn=math.pi),
        "j is multiplied by γ and mixed before it meets the key; here it is taken as it is.": _box_muller(
            words=lambda key, count: _mix(np.uint64(key) ^ _counted(count))
        ),
        "j · γ is mixed before it meets the key.": _box_muller(
            words=lambda key, count: _mix(np.uint64(key) ^ (_counted(count) * np.uint64(GAMMA)))
        ),
        "the key and mix(j · γ) are mixed once more, together.": _box_muller(
            words=lambda key, count: np.uint64(key) ^ _mix(_counted(count) * np.uint64(GAMMA))
        ),
        "j begins with 0.": _box_muller(words=lambda key, count: _words(key, count + 1)[1:]),
    },
    demand=_roundings,
)


# -- the sampler ------------------------------------------------------------------------------------------------------


def _tables(name: str, T: int = 40) -> Tables:
    """The tables of a page for a target."""
    schedule, target = schedules.cosine(T), targets.from_name(name)
    t = torch.arange(1, T + 1)
    input_scale, output_scale = target.scales(schedule, t)
    columns = {
        "target_x0": target.p(*schedule.at(t)),
        "target_eps": target.q(*schedule.at(t)),
        "input_scale": input_scale,
        "output_scale": output_scale,
    }
    tables = {key: torch.as_tensor(column).expand(T).double().numpy().copy() for key, column in columns.items()}
    # other scales than 1, so that one that is left out is noticed
    tables["output_scale"] = tables["output_scale"] * np.linspace(0.5, 1.5, T)
    tables["input_scale"] = tables["input_scale"] * np.linspace(1.2, 0.8, T)
    return {"signal": schedule.signal.numpy().copy(), "noise": schedule.noise.numpy().copy(), **tables}


def _estimate(x: Array, answer: Array, t: int, tables: Tables) -> Array:
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    x0: Array = (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
    return x0


def _estimate_at(levels: int, coefficients: int) -> Function:
    """The estimate with tables that are read at other places."""

    def estimate(x: Array, answer: Array, t: int, tables: Tables) -> Array:
        moved = {name: np.roll(table, -levels if len(table) > len(tables["target_x0"]) else -coefficients)
                 for name, table in tables.items()}  # fmt: skip
        return _estimate(x, answer, t, moved)

    return estimate


def _estimate_with(**changes: Callable[[Tables], Any]) -> Function:
    def estimate(x: Array, answer: Array, t: int, tables: Tables) -> Array:
        return _estimate(x, answer, t, {**tables, **{name: change(tables) for name, change in changes.items()}})

    return estimate


def _signed(x: Array, answer: Array, t: int, tables: Tables) -> Array:
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    x0: Array = (q * x + b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
    return x0


def _noise_of(x: Array, answer: Array, t: int, tables: Tables) -> Array:
    """The estimate of the noise."""
    a, b = tables["signal"][t], tables["noise"][t]
    eps: Array = (x - a * _estimate(x, answer, t, tables)) / b
    return eps


def _estimate_results(function: Function) -> list[Any]:
    cases = [(name, t) for name in ("eps", "v", "edm") for t in (1, whole(17, 10, 30), 39)]
    return _tensors(
        [
            function(_numbers(2, 1, 3, 3, seed=t), _numbers(2, 1, 3, 3, seed=100 + t), t, _tables(name))
            for name, t in cases
        ]
    )


ESTIMATE = Exercise(
    name="estimate",
    task="x̂_0 from x_t and the answer of the network, by the tables of the page.",
    reference=_estimate,
    results=_estimate_results,
    mistakes={
        "the answer has to be multiplied by its output_scale.": _estimate_with(
            output_scale=lambda tables: np.ones_like(tables["output_scale"])
        ),
        "the tables of the network begin at t = 1, so their entry for t is number t − 1.": _estimate_at(0, 1),
        "signal and noise begin at t = 0, so their entry for t is number t.": _estimate_at(-1, 0),
        "p and q are exchanged: p is the factor of x_0.": _estimate_with(
            target_x0=lambda tables: tables["target_eps"], target_eps=lambda tables: tables["target_x0"]
        ),
        "a sign is wrong: eliminate ε by q · x_t − b · answer.": _signed,
        "this is the estimate of the noise; return x̂_0.": _noise_of,
        "divide by a q − b p.": lambda x, answer, t, tables: (
            _estimate(x, answer, t, tables)
            * (tables["signal"][t] * tables["target_eps"][t - 1] - tables["noise"][t] * tables["target_x0"][t - 1])
        ),
    },
    linear=Linear("x, answer, t, tables", inputs="x, answer", at="t"),
)


def _sampled_with(
    index: int = -1,
    scaled: bool = True,
    clips: bool = True,
    late: bool = False,
    stop: int = 0,
    swapped: bool = False,
    whole: bool = False,
    limit: float | None = None,
) -> Function:
    """The loop of DDIM, with one of its mistakes."""

    def sampled(network: Function, x: Array, times: Sequence[int], tables: Tables, clip: float) -> Array:
        signal, noise = tables["signal"], tables["noise"]
        for t, s in [*pairwise(times)][: len(times) - 1 - stop]:
            answer = network(x * (tables["input_scale"][t - 1] if scaled else 1.0), t + index)
            estimate = _estimate(x, answer, t, tables)
            x0 = estimate.clip(-(limit or clip), limit or clip) if clips else estimate
            eps = (x - signal[t] * (estimate if late else x0)) / noise[t]
            a, b = (signal[t], noise[t]) if swapped else (signal[s], noise[s])
            x = a * x0 + (0 if whole else b * eps)
        return x

    return sampled


_sampled = _sampled_with()


def _network(x: Array, index: int) -> Array:
    """What stands for a network: it depends on its input and on the time."""
    answer: Array = 0.9 * np.tanh(1.5 * x + 0.02 * index)
    return answer


def _sampled_results(function: Function) -> list[Any]:
    runs = [(name, [40, 30, whole(20, 15, 28), 9, whole(3, 2, 6), 0], 1.0) for name in ("eps", "v")]
    runs += [("edm", [whole(38, 35, 39), whole(12, 8, 20), 0], 0.5)]
    return _tensors(
        [function(_network, _numbers(2, 1, 3, 3, seed=5), times, _tables(name), clip) for name, times, clip in runs]
    )


def _evaluations(function: Function) -> str:
    network, times = Counted(_network), [40, 30, 20, 9, 3, 0]
    function(network, _numbers(2, 1, 3, 3, seed=5), times, _tables("v"), 1.0)
    return network.needless(len(times) - 1)


SAMPLED = Exercise(
    name="sampled",
    task="Samples by DDIM without noise, in plain arrays.",
    reference=_sampled,
    results=_sampled_results,
    mistakes={
        "the input `index` of the network is t − 1, as its tables begin at t = 1.": _sampled_with(index=0),
        "x has to be multiplied by its input_scale before the network gets it.": _sampled_with(scaled=False),
        "the estimate is not clipped.": _sampled_with(clips=False),
        "the estimate is clipped to [-1, 1]: clip it to [-clip, clip].": _sampled_with(limit=1.0),
        "the noise ε̂ belongs to the clipped estimate: clip first, then solve x_t = a x_0 + b ε for it.": _sampled_with(
            late=True
        ),
        "the last step, to time 0, is missing.": _sampled_with(stop=1),
        "the new state is one of time s: take a and b of s, not of t.": _sampled_with(swapped=True),
        "the estimate alone is no state of time s: add b_s · ε̂.": _sampled_with(whole=True),
    },
    demand=_evaluations,
)


# -- the weights ------------------------------------------------------------------------------------------------------


def _levels(bits: int) -> int:
    return int(2 ** (bits - 1) - 1)


def _rounded_with(
    largest: Callable[[Array], Array] = lambda weight: np.abs(weight).max(1, keepdims=True),
    levels: Callable[[int], float] = _levels,
    whole: Callable[[Array], Array] = np.round,
    scaled: bool = True,
) -> Function:
    def rounded(weight: Array, bits: int) -> Array:
        scale = largest(weight) / levels(bits)
        scale = np.where(scale == 0, 1.0, scale)
        integers = whole(weight / scale)
        return integers * scale if scaled else integers

    return rounded


def _weights() -> list[tuple[Array, int]]:
    """Rows of different sizes, of which one is 0."""
    weight = _numbers(5, 7, seed=3) * np.array([[1.0], [0.01], [30.0], [1e-4], [0.0]])
    return [(weight, bits) for bits in (4, 8, 18)]


def _rounded_results(function: Function) -> list[Any]:
    """Each row in units of its largest number, so that errors of small rows count as much."""
    results = []
    for weight, bits in _weights():
        value = function(weight.copy(), bits)
        size = np.abs(weight).max(1, keepdims=True)
        is_array = isinstance(value, np.ndarray) and value.shape == weight.shape
        results.append(value / np.where(size == 0, 1.0, size) if is_array else value)
    return _tensors(results)


ROUNDED = Exercise(
    name="rounded",
    task="Weights as integers of few bits with a scale for each row, and back.",
    reference=_rounded_with(),
    results=_rounded_results,
    mistakes={
        "one scale for all rows: small rows lose their digits. Take the largest number of each row.": _rounded_with(
            largest=lambda weight: np.abs(weight).max(keepdims=True)
        ),
        "there is a scale for each row, not for each column.": _rounded_with(
            largest=lambda weight: np.abs(weight).max(0, keepdims=True)
        ),
        "take the largest absolute value: a row may be largest below 0.": _rounded_with(
            largest=lambda weight: np.maximum(weight.max(1, keepdims=True), 0)
        ),
        "integers of this many bits have a sign: the largest is 2^(bits − 1) − 1.": _rounded_with(
            levels=lambda bits: 2**bits - 1
        ),
        "the largest integer is 2^(bits − 1) − 1, one less than 2^(bits − 1).": _rounded_with(
            levels=lambda bits: 2 ** (bits - 1)
        ),
        "take the nearest integer; this one is always below.": _rounded_with(whole=np.floor),
        "take the nearest integer; this one is always nearer to 0.": _rounded_with(whole=np.trunc),
        "these are the integers: multiply them by the scale again.": _rounded_with(scaled=False),
    },
    atol=1e-7,
    rtol=1e-7,
)


def _packed(rows: int, columns: int, seed: int, start: int) -> bytes:
    """Weights as a page stores them, after some other bytes."""
    weight = torch.from_numpy(_numbers(rows, columns, seed=seed) * np.exp(_numbers(rows, 1, seed=seed + 1))).float()
    return bytes(range(start)) + program_builder.packed(weight)


def _unpack_with(
    order: tuple[int, int, int] = (0, 1, 2),
    zero: int = program_builder.LEVELS,
    place: Callable[[Array], Array] = lambda i: 2 * (i % 4),
    by_row: bool = True,
    low: bool = True,
) -> Function:
    def unpack(data: bytes, start: int, rows: int, columns: int) -> Array:
        count = rows * columns
        scale = np.frombuffer(data, "<f4", rows, start)
        sizes = (count, count, (count + 3) // 4)
        begins = start + 4 * rows + np.concatenate([[0], np.cumsum(sizes)])
        planes = [np.frombuffer(data, np.uint8, sizes[n], begins[n]).astype(np.int64) for n in range(3)]
        high, middle = planes[order[0]][:count], planes[order[1]][:count]
        i = np.arange(count)
        two = (planes[2][i // 4] >> place(i)) & 3 if low else 0
        integers = ((high << 10) + (middle << 2) + two - zero).reshape(rows, columns)
        matrix: Array = integers * (scale[:, None] if by_row else np.resize(scale, columns))
        return matrix

    return unpack


def _unpack_results(function: Function) -> list[Any]:
    packed = ((3, whole(10, 9, 14), 7, 0), (16, 18, 9, whole(12, 4, 30)))  # rows, columns, seed, first byte
    return _tensors(
        [function(_packed(rows, columns, seed, start), start, rows, columns) for rows, columns, seed, start in packed]
    )


UNPACK = Exercise(
    name="unpack",
    task="The weights of a page from its bytes.",
    reference=_unpack_with(),
    results=_unpack_results,
    mistakes={
        "131071 is missing: the integers in the file are 0 or more, and weights have a sign.": _unpack_with(zero=0),
        "subtract 131071, which is 2^17 − 1, not 2^17.": _unpack_with(zero=2**17),
        "the first plane holds the upper 8 bits, the second the middle ones.": _unpack_with(order=(1, 0, 2)),
        "the lowest two bits are missing.": _unpack_with(low=False),
        "of the four numbers in a byte the first has the lowest two bits.": _unpack_with(
            place=lambda i: 6 - 2 * (i % 4)
        ),
        "two bits are taken: shift by 2 · (i mod 4), not by i mod 4.": _unpack_with(place=lambda i: i % 4),
        "each row has its scale, not each column.": _unpack_with(by_row=False),
    },
)

EXERCISES = (KEY, NORMALS, ESTIMATE, SAMPLED, ROUNDED, UNPACK)
