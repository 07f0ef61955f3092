"""Conditions: what an item is given beside its noise, so that a model of p(x_0 | c) can be asked for any c.

A condition has a name and one of five kinds. The kind says what its values are in the data, what a network gets of
them, and what stands for a condition that is absent:

    kind      in the data               a network gets                                       absent
    Classes   an integer each           the integers, (B,)                                   -1
    Vector    k numbers each            (B, k + 1): standardised, then 1                     zeros
    Image     channels on a grid        (B, C + 1, *sides): in [-1, 1], on x's grid, then 1  zeros
    Words     texts                     the tokens of one of them, (B, L), then -1           -1
    Noise     nothing: it is drawn      (B, n) independent normal numbers                    zeros

The last number or channel of what is given says whether it is there, so a custom network needs no case for what is
absent. A condition that is dropped at random in training can be left out when sampling.

Each kind also says in words the `encoding` of values in the units of the data; whether what a network gets lies on the
grid of x (`on_grid`), or is a sequence that networks attend to (`in_sequence`); whether two values have a distance
(`has_distance`); the names of its `classes`; the pieces of its `vocabulary`; the `shape` of a value; whether its last
channel is a mask (`masked`); the function or operator of the item that it is `made_by`; and what lies `between` two
values. What follows elsewhere from the kind stands in tables (`ByKind`): a type checker finds one that lacks a row.
"""

import functools
import keyword
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.device_tensors import float64_device, kept
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.randomness import Stream, normal, normal_of, uniforms
from ancestral.scaling import Scale, encoded
from ancestral.vocabulary import MARK, Vocabulary

ABSENT = -1
"""The number of a class that is absent, for which networks learn an embedding."""
NOISE = "noise"
"""The name of the noise that a network draws its answers by."""
FACTOR = "noise_factor"
"""The name of what multiplies this noise where it is drawn, one number for each item (B,)."""
LABEL = "label"
"""The name of the classes of sub-folders and arrays of labels. Networks get them as `labels`."""
RESERVED = {
    *("x", "x0", "x_t", "t", "s", "eps", "index", "keys", "labels", FACTOR),
    *("step", "seed", "indices", "averaged", "objective", "denoiser", "self"),
}
"""Names that mean something else in the calls of networks, denoisers and objectives."""
ONE_VALUE = "has one value in all items: leave it out"
"""The end of the message on a condition from which nothing is learned."""
MOST_VALUES = 2**40
"""The largest number of values of an image."""
MOST_NAMED = 10
"""The largest number of classes or numbers that the text of a condition has."""
MOST_TOKENS = 4096
"""The largest number of tokens of a text."""
Ranges = tuple[tuple[float, float], ...]
"""The least and the largest value of each channel; () where all channels have one range."""
Limits = tuple[float, float] | Ranges
"""The least and the largest value of all channels, or of each."""


class FieldLimits(tuple[tuple[float, float], ...]):
    """The limits of each channel of fields, which pictures show below one another.

    Attributes:
        names: The name of each channel with its units; () where a picture has them elsewhere.
    """

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, ranges: Ranges, names: Sequence[str] = ()) -> "FieldLimits":
        """Return limits with names."""
        limits = cls(ranges)
        limits.names = tuple(names)
        return limits


INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""How images are brought to another grid, by the number of axes of space."""


Row = TypeVar("Row")


class _Kind(ABC):
    """What each kind has to say, and what holds of one that says nothing else."""

    on_grid: ClassVar[bool] = False
    in_sequence: ClassVar[bool] = False
    has_distance: ClassVar[bool] = False
    masked: bool = False
    made_by: str = ""
    vocabulary: tuple[str, ...] = ()
    scaling: tuple[Scale, ...] = ()

    @property
    @abstractmethod
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; () of other kinds."""
        return ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the numbers of a value; () of other kinds."""
        return ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a value."""
        return ()

    def check(self, name: str, dims: int) -> None:  # noqa: B027 (all items can have most kinds)
        """Raise InputError if items with `dims` axes of space cannot have this condition."""

    def missing(self, values: Any) -> Tensor | None:
        """Return which of the values in the data are missing, bool (N,); None where they never are."""
        return None

    @property
    def facts(self) -> dict[str, Any]:
        """All that the kind holds by name, as files have it; scales only where there are some."""
        facts = asdict(self)  # type: ignore[call-overload]  # all kinds are dataclasses
        return {
            name: fact
            for name, fact in facts.items()
            if fact or name not in ("scaling", "earlier", "hours", "noise", "window")
        }

    def scaled_as(self, model: Any) -> Any:
        """Return this description with the scale of a model's."""
        return self

    def recoded(self, values: Any, other: Any) -> Any:
        """Return values that another description of the same form has coded as this one codes them."""
        return values

    def drawn(self, values: Tensor, seed: int, step: int, indices: Sequence[int]) -> Tensor:
        """Return one of the values (B, ...) of each item, where items have several."""
        return values

    def noised(self, inputs: Tensor, seed: int, step: int, indices: Sequence[int]) -> Tensor:
        """Return what a network gets in training, of what it gets while sampling, (B, ...)."""
        return inputs

    def plain(self, values: Tensor) -> Any:
        """Return values as people write them."""
        return values

    def between(self, name: str, first: Tensor, last: Tensor, weights: Tensor) -> Tensor | None:
        """Return the values of a walk, in the units of the data; None where it mixes the estimates of both ends.

        Args:
            name: The name of the condition.
            first: The value at the weight 0, (1, ...).
            last: The value at the weight 1.
            weights: The weights of the last value, float64 (n,).

        Raises:
            InputError: If the kind does not say what lies between two values.
        """
        raise InputError(
            f"a walk cannot interpolate between two values of {name}: give one for all of it, "
            f"{option('given', f'{name}=VALUE')}"
        )

    @abstractmethod
    def encode(self, values: Tensor, sides: Sequence[int]) -> Tensor:
        """Return what a network gets of values in the units of the data; `sides` is the grid of x."""

    @abstractmethod
    def absent(self, count: int, sides: Sequence[int]) -> Tensor:
        """Return what a network gets where the condition is absent, (count, ...)."""

    def place(self, values: Tensor, sides: Sequence[int]) -> Tensor:
        """Return what a network gets of values that are made of the item."""
        return self.encode(values, sides)

    def drop(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the inputs of a network with the condition absent in some rows, bool (B,)."""
        absent = 0.0 if inputs.is_floating_point() else ABSENT
        return inputs.masked_fill(rows.reshape(-1, *[1] * (inputs.ndim - 1)), absent)


@dataclass(frozen=True)
class Classes(_Kind):
    """One of several classes, by their numbers.

    Attributes:
        names: The name of each class.
    """

    encoding: ClassVar[str] = "the number of the name"
    names: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if len(self.names) > MOST_NAMED else ""
        return f"{len(self.names)} classes: {', '.join(self.names[:MOST_NAMED])}{more}"

    @property
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""
        return "classes"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.names

    def missing(self, values: Tensor) -> Tensor:
        """Return which of the values in the data are missing, bool (N,)."""
        return values == ABSENT

    def between(self, name: str, first: Tensor, last: Tensor, weights: Tensor) -> None:
        """Return None: a walk mixes the estimates of both ends."""

    def encode(self, values: Tensor, sides: Sequence[int] = ()) -> Tensor:
        """Return the numbers, int64 (B,)."""
        return values.long()

    def absent(self, count: int, sides: Sequence[int] = ()) -> Tensor:
        """Return what a network gets where the condition is absent, int64 (count,)."""
        return torch.full((count,), ABSENT)


@dataclass(frozen=True)
class Vector(_Kind):
    """Numbers, which networks get standardised.

    Attributes:
        mean: The mean of each number over the data.
        std: The standard deviation of each number over the data.
        names: The name of each number; () if they have none.
        made_by: The function that makes them of the item (`derived`); "" for those of the data.
        low: The least value of each number in the data; () where it is not known.
        high: The largest value of each number in the data; () as `low`.
    """

    encoding: ClassVar[str] = "(values - mean) / std, then 1; all numbers are 0 where one is missing"
    has_distance: ClassVar[bool] = True
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...] = ()
    made_by: str = ""
    low: tuple[float, ...] = field(default=(), compare=False)
    high: tuple[float, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        names = [f"{name} " for name in self.names] or [""] * self.size
        each = [f"{name}{m:.4g} ± {s:.4g}" for name, m, s in zip(names, self.mean, self.std, strict=True)]
        ranges = self.ranges() or [""] * self.size
        each = [f"{one} ({range_})" if range_ else one for one, range_ in zip(each, ranges, strict=True)]
        more = ", ..." if len(each) > MOST_NAMED else ""
        numbers = "a number" if self.size == 1 else f"{self.size} numbers"
        return f"{numbers}, {', '.join(each[:MOST_NAMED])}{more}{_origin(self.made_by)}"

    @property
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""
        return f"numbers ({self.size})"

    @classmethod
    def of(cls, values: Tensor, made_by: str = "") -> "Vector":
        """Describe numbers (N, k) of the data by the rows without NaN.

        The standard deviation of numbers that are all the same is exactly 0, whatever their mean is rounded to.
        """
        if not values.shape[1]:  # PyTorch warns of the deviation of nothing
            return cls((), (), made_by=made_by)
        rows = values[~values.isnan().any(1)]
        std = rows.std(0, correction=0).where((rows != rows[:1]).any(0), 0.0)
        ends = [tuple(end.tolist()) for end in (rows.amin(0), rows.amax(0))] if len(rows) else [(), ()]
        return cls(tuple(rows.mean(0).tolist()), tuple(std.tolist()), (), made_by, *ends)

    def ranges(self) -> list[str]:
        """Return the range of each number in the data as text, as in "3 to 98"; [] where it is not known."""
        if not len(self.low) == len(self.high) == self.size:
            return []
        return [f"{low:.4g} to {high:.4g}" for low, high in zip(self.low, self.high, strict=True)]

    def check(self, name: str, dims: int) -> None:
        """Raise InputError if no network can learn from the numbers."""
        if not self.size:
            raise InputError(f"the condition {name} has no number for each item: leave it out")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise InputError(f"the condition {name} holds numbers that are not finite: correct them, or leave it out")
        if not all(std > 0 for std in self.std):
            raise InputError(f"the condition {name} {ONE_VALUE}")

    def missing(self, values: Tensor) -> Tensor:
        """Return which of the values (N, k) in the data are missing, bool (N,): those with a gap."""
        return values.isnan().any(1)

    def scaled_as(self, model: Any) -> "Vector":
        """Return this description as a model standardises the numbers, with the range of the data of both."""
        return replace(self.joined(model), mean=model.mean, std=model.std)

    def joined(self, other: "Vector") -> "Vector":
        """Return this description with the range of the data of both; the range of one where the other has none."""
        if not (self.ranges() and other.ranges()):
            known = self if self.ranges() else other
            return replace(self, low=known.low, high=known.high)
        low, high = tuple(map(min, self.low, other.low)), tuple(map(max, self.high, other.high))
        return replace(self, low=low, high=high)

    @property
    def size(self) -> int:
        """The number of numbers."""
        return len(self.mean)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the numbers, or their places from 1."""
        return self.names or tuple(map(str, range(1, self.size + 1)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a value, (k,)."""
        return (self.size,)

    def between(self, name: str, first: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Return the numbers on the line between two, (n, k)."""
        return torch.lerp(first.expand(len(weights), -1), last.expand(len(weights), -1), weights[:, None])

    def encode(self, values: Tensor, sides: Sequence[int] = ()) -> Tensor:
        """Standardise numbers (B, k) or (B,): float32 (B, k + 1), whose rows are zeros where a number is NaN."""
        device = values.device
        work = float64_device(device)
        values = values.reshape(len(values), self.size).to(work).double()
        mean, std = (
            torch.tensor(part, dtype=torch.float64).to(work, non_blocking=True) for part in (self.mean, self.std)
        )
        inputs = F.pad((values - mean) / std, (0, 1), value=1.0)
        return inputs.where(~inputs.isnan().any(1, keepdim=True), 0.0).float().to(device, non_blocking=True)

    def absent(self, count: int, sides: Sequence[int] = ()) -> Tensor:
        """Return what a network gets where the condition is absent, zeros (count, k + 1)."""
        return torch.zeros(count, self.size + 1)


@dataclass(frozen=True)
class Image(_Kind):
    """An image, signal or volume with as many axes of space as the items.

    Attributes:
        channels: The number of channels.
        limits: The values that -1 and 1 stand for.
        sides: The grid of the values in the data; () where it varies.
        masked: Whether the last channel says what is known: the upper half of the limits, as an alpha channel does.
        made_by: The operator that makes them of the item (`derived`); "" for those of the data.
        rate: Samples in a second, of recordings in the data.
        ranges: The values of each channel that -1 and 1 stand for, where channels have ranges of their own; `limits`
            are then the least and the largest of these. A constant channel is 0 to networks.
        scaling: The scale of all channels, or that of each, where they are those of items whose scale is no range.
        earlier: Of fields in time, how many of the states before the item they are, the nearest first; 0 of others.
        hours: The time between these states; 0 where it is not known.
        noise: The standard deviation of the noise that training adds to them, in units of the network.
        window: Of windows of larger items, what they get: "position", where they are, or "coarse", the whole at a lower
            resolution; "" of others.
    """

    encoding: ClassVar[str] = (
        "-1 + 2 (values - low) / (high - low) with low, high = limits, or those of the channel in ranges, where there "
        "are such (0 where low = high); brought to the sides of x by linear "
        "interpolation between the centres of pixels (smaller ones with antialias); then a channel of ones. Values "
        "that are missing (NaN) are 0, in the last channel too"
    )
    on_grid: ClassVar[bool] = True
    has_distance: ClassVar[bool] = True
    channels: int
    limits: tuple[float, float] = (0.0, 255.0)
    sides: tuple[int, ...] = ()
    masked: bool = False
    made_by: str = ""
    rate: int | None = None
    ranges: Ranges = ()
    scaling: tuple[Scale, ...] = ()
    earlier: int = 0
    hours: float = 0.0
    noise: float = 0.0
    window: Literal["", "position", "coarse"] = ""

    def __str__(self) -> str:
        if self.window == "position":
            return "the position of a window in the whole"
        if self.window == "coarse":
            return f"the whole that a window is of, at {'x'.join(map(str, self.shape))}"
        plural = "s" if self.channels > 1 else ""
        size = "x".join(map(str, self.shape)) if self.sides else f"{self.channels} channel{plural}"
        return f"an image of {size}{', the last of which says what is known' * self.masked}{_origin(self.made_by)}"

    @property
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""
        integers = self.limits in [(0.0, torch.iinfo(dtype).max) for dtype in (torch.uint8, torch.uint16)]
        values = f"integers up to {self.limits[1]:g}" if integers else "floats"
        mask = ", the last channel a mask" if self.masked else ""
        return f"images of {'x'.join(map(str, self.shape))} ({values}{mask})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a value, (C, *sides); (C,) where the sides vary."""
        return (self.channels, *self.sides)

    def check(self, name: str, dims: int) -> None:
        """Raise InputError if items with `dims` axes of space cannot have this condition."""
        if not dims:
            raise InputError(f"the condition {name} is an image, and points have no grid for it: give it as a vector")
        if not (
            min(self.channels, *self.sides, self.rate or 1) >= 1
            and math.prod(self.shape) <= MOST_VALUES
            and -math.inf < self.limits[0] < self.limits[1] < math.inf
            and len(self.ranges) in (0, self.channels)
            and len(self.scaling) in (0, 1, self.channels)
            and all(-math.inf < low <= high < math.inf for low, high in self.ranges)
        ):
            raise InputError(
                f"the condition {name} cannot be an image of {self.channels} channels, sides {self.sides}, "
                f"limits {self.limits} and rate {self.rate}"
            )

    def scaled_as(self, model: Any) -> "Image":
        """Return this description with the values that -1 and 1 stand for in a model."""
        return replace(self, limits=model.limits, ranges=model.ranges, scaling=model.scaling)

    @property
    def channel_limits(self) -> Limits:
        """The limits of each channel where they differ, else those of all."""
        return self.ranges or self.limits

    def between(self, name: str, first: Tensor, last: Tensor, weights: Tensor) -> None:
        """Return None: a walk mixes the estimates of both ends."""

    def noised(self, inputs: Tensor, seed: int, step: int, indices: Sequence[int]) -> Tensor:
        """Return what a network gets in training: with noise of the deviation `noise` where values are known."""
        if not self.noise:
            return inputs
        drawn = normal(tuple(inputs[0, :-1].shape), seed, Stream.EARLIER, step, indices)
        noise = drawn.to(inputs.device, non_blocking=True)
        return torch.cat([inputs[:, :-1] + self.noise * noise * inputs[:, -1:], inputs[:, -1:]], 1)

    def encode(self, values: Tensor, sides: Sequence[int]) -> Tensor:
        """Scale values (B, C, *) to [-1, 1], bring them to the grid of the data, and place them.

        The scale is that of `data.Codec`, to the last bit. Where a mask says that nothing is known, the values are 0.
        So are missing ones, NaN.
        """
        low, high = self.limits
        x, scale = values.float(), (high - low) / 2
        if self.scaling:
            x = encoded(x, self.scaling)
        elif self.ranges:
            x = scaled(x, self.ranges)
        else:
            x = (x - (low + high) / 2) / scale if values.is_floating_point() else (x - low) / scale - 1
        own_sides = self.sides or x.shape[2:]
        if values.is_floating_point() and not self.masked:
            there = ~x.isnan().any(1, keepdim=True)
            placed = self.place(resized(x.where(there, 0.0), own_sides), sides)
            known = resized(resized(there.to(x.dtype), own_sides), sides).round(decimals=5)  # 1 if nothing is missing
            return torch.cat([placed[:, :-1], known], dim=1)
        x = resized(x, own_sides)
        if self.masked:
            known = x[:, -1:] > 0
            x = torch.cat([x[:, :-1].where(known, 0.0), 2 * known.float() - 1], dim=1)
        return self.place(x, sides)

    def place(self, values: Tensor, sides: Sequence[int]) -> Tensor:
        """Bring values in [-1, 1] (B, C, *) to the grid of x, then add ones: float32 (B, C + 1, *sides).

        The interpolation is linear along each axis between the centres of pixels; smaller grids average (antialias).
        """
        placed = resized(values, sides)
        return torch.cat([placed, torch.ones_like(placed[:, :1])], dim=1)

    def absent(self, count: int, sides: Sequence[int]) -> Tensor:
        """Return what a network gets where the condition is absent, zeros (count, C + 1, *sides)."""
        return torch.zeros(count, self.channels + 1, *sides)


@dataclass(frozen=True)
class Words(_Kind):
    """Texts, which networks get as tokens of a vocabulary. The empty text is absent.

    In the data an item has V texts of at most L tokens, (N, V, L), of which training draws one by (seed, step, index).

    Attributes:
        vocabulary: The pieces of the vocabulary (`vocabulary.count_pieces`); a token is the place of one.
        length: The number L of tokens that networks get; the rest of a longer text is left out.
        shuffled: Whether training draws an order of the parts between commas too.
        example: One of the texts of the data.
        cut: The number of texts of the data that are longer.
    """

    encoding: ClassVar[str] = "tokens: places in the vocabulary, then -1"
    in_sequence: ClassVar[bool] = True
    vocabulary: tuple[str, ...] = ()
    length: int = 0
    shuffled: bool = False
    example: str = ""
    cut: int = field(default=0, compare=False)

    def __str__(self) -> str:
        order = ", parts between commas in any order" if self.shuffled else ""
        return f"words: {len(self.vocabulary):,} pieces of text, at most {self.length} for a sample{order}"

    @property
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""
        return "words"

    @property
    def pieces(self) -> Vocabulary:
        """The vocabulary with its tokens by their pieces."""
        return Vocabulary.of(self.vocabulary)

    def check(self, name: str, dims: int) -> None:
        """Raise InputError for a vocabulary or a length that no data have."""
        known = len(self.vocabulary) == len(set(self.vocabulary)) < torch.iinfo(torch.int16).max
        if not (self.vocabulary and all(self.vocabulary) and known and 1 <= self.length <= MOST_TOKENS):
            raise InputError(
                f"the condition {name} cannot be words of {len(self.vocabulary):,} pieces and {self.length} tokens"
            )

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the tokens of some texts, int16 (len(texts), L), −1 behind the last one."""
        tokens_of = self.pieces.tokens
        return self.packed([tokens_of(text) for text in texts])

    def packed(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the first L tokens of some texts, int16 (len(rows), L), −1 behind the last one."""
        rows = [row[: self.length] for row in rows]
        table = torch.full((len(rows), self.length), ABSENT, dtype=torch.int16)
        filled = torch.arange(self.length) < torch.tensor([len(row) for row in rows])[:, None]
        table[filled] = torch.tensor([token for row in rows for token in row], dtype=torch.int16)
        return table

    def texts(self, values: Tensor) -> list[str]:
        """Return tokens (N, L), or those of the first text of each item (N, V, L), as text."""
        return [self.pieces.text(row) for row in self.encode(values).tolist()]

    def plain(self, values: Tensor) -> list[str]:
        """Return the texts, as `texts` does."""
        return self.texts(values)

    def missing(self, values: Tensor) -> Tensor:
        """Return which items (N, V, L) have no text, bool (N,)."""
        return (values == ABSENT).flatten(1).all(1)

    def scaled_as(self, model: Any) -> "Words":
        """Return this description with the length and the tokens of a model, and those of new pieces behind them."""
        pieces = dict.fromkeys([*model.vocabulary, *self.vocabulary])
        return replace(self, vocabulary=tuple(pieces), length=model.length)

    def recoded(self, values: Any, other: Any) -> Any:
        """Return tokens (N, V, L') of another description of words as those of this one, (N, V, L)."""
        if (self.vocabulary[: len(other.vocabulary)], self.length) == (other.vocabulary, other.length):
            return values
        return self.read(other.texts(values.flatten(0, 1))).reshape(*values.shape[:2], self.length)

    def drawn(self, values: Tensor, seed: int, step: int, indices: Sequence[int]) -> Tensor:
        """Return one of the texts (B, V, L) of each item, (B, L)."""
        count = (values[..., 0] != ABSENT).sum(1).clamp(min=1)
        draws = uniforms(1 + self.length * self.shuffled, seed, Stream.CAPTION, step, indices)
        tokens = values[torch.arange(len(values)), (draws[:, 0] * count).long()]
        if self.shuffled:
            comma = self.pieces.index.get(MARK + ",", ABSENT - 1)
            tokens = torch.stack([_shuffled(row, comma, keys) for row, keys in zip(tokens, draws[:, 1:], strict=True)])
        return tokens

    def between(self, name: str, first: Tensor, last: Tensor, weights: Tensor) -> None:
        """Return None: a walk mixes the estimates of both ends."""

    def encode(self, values: Tensor, sides: Sequence[int] = ()) -> Tensor:
        """Return the tokens, int64 (B, L): those given, (B, L), or of the first text of each item, (B, V, L)."""
        return (values[:, 0] if values.ndim == 3 else values).long()

    def absent(self, count: int, sides: Sequence[int] = ()) -> Tensor:
        """Return what a network gets where the condition is absent, int64 (count, L)."""
        return torch.full((count, self.length), ABSENT)


def _shuffled(tokens: Tensor, comma: int, keys: Tensor) -> Tensor:
    """The parts of tokens (L,) between commas in the order of their keys."""
    parts: list[list[int]] = [[]]
    for token in tokens[tokens != ABSENT].tolist():
        if token == comma:
            parts.append([])
        else:
            parts[-1].append(token)
    ordered = [parts[place] for place in keys[: len(parts)].argsort().tolist()]
    joined = [token for part in ordered for token in [comma, *part]][1:]
    return torch.tensor(joined + [ABSENT] * (len(tokens) - len(joined)), dtype=tokens.dtype)


@dataclass(frozen=True)
class Noise(_Kind):
    """Noise that a network draws its answers by: an item's own, of its keys and its time. No user gives it.

    Attributes:
        size: The number of numbers that add to the embedding of t.
        grid: The channels and the sides of what is added on the lowest grid of a network; () adds nothing there.
        until: The number of time steps, from which on x is noise alone, and networks get zeros in its place.
    """

    encoding: ClassVar[str] = "independent normal numbers of mean 0 and variance 1"
    size: int = 32
    grid: tuple[int, ...] = ()
    until: int = 2**63 - 1

    def __str__(self) -> str:
        return f"{self.shape[0]:,} numbers of noise"

    @property
    def form(self) -> str:
        """The kind with all that has to be equal where a network takes it, in words."""
        return str(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the noise of an item: the numbers of the embedding, then those of the grid."""
        return (self.size + (math.prod(self.grid) if self.grid else 0),)

    def encode(self, values: Tensor, sides: Sequence[int] = ()) -> Tensor:
        """Return the values (B, *shape), as networks get them."""
        return values

    def absent(self, count: int, sides: Sequence[int] = ()) -> Tensor:
        """Return zeros (count, *shape), the mean of all noise."""
        return torch.zeros(count, *self.shape)

    def drawn_by(self, keys: Tensor, index: Tensor) -> Tensor:
        """Draw the noise of items by their keys (B,) and their time indices (B,), so that each time has its own."""
        return normal_of(keys, self.shape, index)

    def fed(self, x: Tensor, index: Tensor) -> Tensor:
        """Return x (B, *) with zeros where it is noise alone, at time indices (B,)."""
        return x.where((index < self.until - 1).view(-1, *[1] * (x.ndim - 1)), 0.0)


Condition = Classes | Vector | Image | Words | Noise


@dataclass(frozen=True)
class ByKind(Generic[Row]):
    """A table with a row for each kind of condition, `table[kind]`."""

    classes: Row
    vector: Row
    image: Row
    words: Row
    noise: Row

    def __getitem__(self, kind: Condition) -> Row:
        match kind:
            case Classes():
                return self.classes
            case Vector():
                return self.vector
            case Image():
                return self.image
            case Words():
                return self.words
            case Noise():
                return self.noise
            case _:
                assert_never(kind)


def _origin(made_by: str) -> str:
    return f", made by {made_by}" if made_by else ""


def rolling(kinds: Mapping[str, Condition], states: int) -> tuple[str, Image]:
    """Return the condition that is the states before an item, which a rollout goes on from.

    Args:
        kinds: The conditions by name.
        states: The number of states of the rollout, which the message names.

    Raises:
        InputError: If there is none.
    """
    for name, kind in kinds.items():
        if isinstance(kind, Image) and kind.earlier:
            return name, kind
    raise InputError(
        f"{option('rollout', states)} is for a model that goes on from earlier states alone: train it with "
        f"{option('given', 'previous:2')}"
    )


def resized(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Bring images, signals or volumes (B, C, *) to a grid by linear interpolation."""
    if tuple(x.shape[2:]) == tuple(sides):
        return x
    smaller = any(after < before for before, after in zip(x.shape[2:], sides, strict=True))
    if smaller and len(sides) != 2:  # PyTorch has an antialias for images alone: each axis is one of an image
        for axis, side in enumerate(sides, 2):
            lines = x.movedim(axis, -1)
            rows = lines.reshape(-1, 1, 1, lines.shape[-1])
            rows = F.interpolate(rows, (1, side), mode="bilinear", align_corners=False, antialias=True)
            x = rows.reshape(*lines.shape[:-1], side).movedim(-1, axis)
        return x
    return F.interpolate(x, tuple(sides), mode=INTERPOLATION[len(sides)], align_corners=False, antialias=smaller)


@functools.cache
def middle_and_scale(ranges: Ranges, axes: int) -> tuple[Tensor, Tensor]:
    """Return the middle and half the length of the range of each channel, float32 (C, 1, ...) on the CPU.

    Args:
        ranges: The range of each channel.
        axes: The number of axes of a batch (B, C, *).
    """
    with torch.inference_mode(False):  # so that other modes can use what is kept
        ends = torch.tensor(ranges, dtype=torch.float64).view(-1, 2, *[1] * (axes - 2))
        return ((ends[:, 0] + ends[:, 1]) / 2).float(), ((ends[:, 1] - ends[:, 0]) / 2).float()


def scaled(x: Tensor, ranges: Ranges) -> Tensor:
    """Scale each channel of x (B, C, *) from its range to [-1, 1]; a constant channel is 0."""
    middle, scale = (kept(part, x) for part in middle_and_scale(ranges, x.ndim))
    return ((x - middle) / scale).where(scale > 0, 0.0)


def unscaled(x: Tensor, ranges: Ranges) -> Tensor:
    """Undo `scaled`; a constant channel has its value, whatever x is."""
    middle, scale = (kept(part, x) for part in middle_and_scale(ranges, x.ndim))
    return x * scale + middle


def argument_name(name: str) -> str:
    """Return the name by which networks and denoisers take a condition."""
    return "labels" if name == LABEL else name


def check_name(name: str) -> str:
    """Return the name of a condition. Raises InputError if no network could take an argument of that name."""
    if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED or name.startswith("_"):
        reason = ", since Python or networks use the word" if name.isidentifier() else ""
        raise InputError(
            f"{name!r} cannot be the name of a condition{reason}: take another, of letters, digits and _, beginning "
            "with a letter"
        )
    return name


def check(conditions: Mapping[str, Condition], dims: int) -> None:
    """Raise InputError if items with `dims` axes of space cannot have these conditions."""
    for name, condition in conditions.items():
        check_name(name)
        condition.check(name, dims)
