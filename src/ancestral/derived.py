"""Conditions that are made of the item itself, so that super-resolution, colourising and inpainting need no pairs.

A text says how: operators of `registries.OPERATORS`, joined by + ("grey+upscale:4+noise:0.05"),
or a custom function (package.module:function). Images, signals and volumes have masks alike. Values that a mask hides
are 0, and one more channel is 1 where the item is known and -1 elsewhere.

Random numbers follow from (seed, step, index), the place of the operator in the text and that of the condition among
those that are made of the item. So an item gets the same mask in every batch and on every device, and two conditions
have different masks.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.arguments import is_digits
from ancestral.base.device_tensors import float64_device, highest_dtype
from ancestral.base.errors import InputError, whole
from ancestral.base.options import option
from ancestral.base.plugins import explained, import_function
from ancestral.base.registries import OPERATORS, TEXT_KINDS
from ancestral.conditions import Condition, Image, Limits, Vector
from ancestral.operators import Blur, Crop, Downsample, Grey, Identity, Linear, Mask, Operator
from ancestral.randomness import Stream

CHECKED_EXAMPLES = 1000
"""The number of items of which the mean and standard deviation of numbers are computed."""
FUNCTION_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
HALVES = {"left": (-1, True), "right": (-1, False), "top": (-2, True), "bottom": (-2, False)}
"""The axis that is halved, and whether its first half is known."""
MIXTURE = ("box", "brush", "half")
"""The kinds of random masks, each of a third of the items unless one is chosen."""
BOXES = 3
"""The largest number of boxes of a mask."""
BOX = {1: (0.1, 0.3), 2: (0.2, 0.5), 3: (0.35, 0.65)}
"""The least and largest share of each side that a box hides, by the number of axes."""
STROKES, SEGMENTS = 3, 4
"""The largest number of strokes of a brush, and the segments of each."""
REACH = {1: 0.05, 2: 0.5, 3: 0.5}
"""The longest step of a brush along each axis, as a share of the side, by the number of axes."""
RADIUS = {1: (0.02, 0.06), 2: (0.04, 0.08), 3: (0.12, 0.2)}
"""The least and largest radius of a brush, as a share of the longest side, by the number of axes."""


@dataclass(frozen=True)
class RngKey:
    """RNG key of the masks and noise of an operator; each item has its own random numbers."""

    seed: int
    step: int
    indices: Sequence[int]
    draw: int | tuple[int, int]

    def uniforms(self, count: int) -> Tensor:
        """Draw from U[0, 1): float64 (B, count) on the CPU."""
        return randomness.uniforms(count, self.seed, Stream.CONDITION, self.step, self.indices, self.draw)

    def normal(self, like: Tensor) -> Tensor:
        """Draw N(0, 1) in the shape of (B, *)."""
        shape = like.shape[1:]
        return randomness.normal(shape, self.seed, Stream.CONDITION, self.step, self.indices, like.device, self.draw)

    def seeds(self) -> list[int]:
        """Seeds of PyTorch's generator, one for each item."""
        keys = randomness.keys(self.seed, Stream.CONDITION, self.step, self.indices, self.draw)
        return [key & randomness.MASK for key in keys.tolist()]


@dataclass(frozen=True)
class Fixed:
    """An operator that has no random numbers."""

    operator: Operator

    def __call__(self, x: Tensor, key: RngKey) -> Tensor:
        """A x. In float64, so that the order of a sum, which depends on batch and device, has no effect."""
        work = x.to(highest_dtype(x.device))
        return self.operator.apply(work).float()


@dataclass(frozen=True)
class Noise:
    """White Gaussian noise.

    Attributes:
        sigma: The standard deviation, in units of [-1, 1].
        masked: Whether the last channel of x says what is known; the noise is there alone, and not in that channel.
    """

    sigma: float
    masked: bool = False

    def __call__(self, x: Tensor, key: RngKey) -> Tensor:
        """Return x + σ z."""
        if self.masked:
            known = x[:, -1:]
            values = x[:, :-1]
            return torch.cat([torch.where(known > 0, values + self.sigma * key.normal(values), 0.0), known], dim=1)
        return x + self.sigma * key.normal(x)


@dataclass(frozen=True)
class RandomMask:
    """Hides a part of the item; one more channel says which part is known.

    Attributes:
        kind: "" for a mixture, a kind of `MIXTURE`, a half of `HALVES`, or "crop".
        share: The share of each side that a crop knows.
    """

    kind: str = ""
    share: float = 0.5

    def __call__(self, x: Tensor, key: RngKey) -> Tensor:
        """Return x where it is known and 0 elsewhere, then 1 where it is known and -1 elsewhere."""
        sides = tuple(x.shape[2:])
        mask = self._known(key, sides, x.device)[:, None]
        return torch.cat([x.where(mask, 0.0), 2 * mask.to(x) - 1], dim=1)

    def _known(self, key: RngKey, sides: tuple[int, ...], device: torch.device) -> Tensor:
        """Where the items are known, bool (B, *sides) on the device."""
        if self.kind in HALVES:
            axis, first = HALVES[self.kind]
            if -axis > len(sides):
                raise InputError(f"mask:{self.kind} is of images and volumes: give mask:left or mask:right to signals")
            return _half(sides, axis, first).to(device, non_blocking=True).expand(len(key.indices), *sides)
        if self.kind == "crop":
            return _box(key.uniforms(len(sides)), sides, self.share).to(device, non_blocking=True)
        if self.kind:
            return _RANDOM[self.kind](key.uniforms(_NUMBERS), sides, device)
        numbers = key.uniforms(1 + _NUMBERS)
        choices = (numbers[:, 0] * len(MIXTURE)).long()
        known = torch.empty(len(numbers), *sides, dtype=torch.bool, device=device)
        for choice, kind in enumerate(MIXTURE):
            rows = (choices == choice).nonzero()[:, 0]
            if len(rows):
                known[rows.to(device, non_blocking=True)] = _RANDOM[kind](numbers[rows, 1:], sides, device)
        return known


@dataclass(frozen=True)
class CustomFunction:
    """A custom function, which is called on the CPU with one item at a time.

    PyTorch's CPU generator is seeded for each item.

    Attributes:
        name: package.module:function.
    """

    name: str

    def __call__(self, x: Tensor, key: RngKey) -> Tensor:
        """Return images (B, C', *sides') or numbers (B, k). Raises InputError if the function fails."""
        function = import_function(self.name)
        shape = "x".join(map(str, x[:1].shape))
        results: list[Tensor] = []
        for item, seed in zip(x.cpu(), key.seeds(), strict=True):
            with (
                explained(f"{self.name} failed", f"it is called with one item of shape {shape} in [-1, 1]"),
                randomness.pytorch_generator(),
            ):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed takes a millisecond, for other devices
                result = function(item[None].clone())  # a copy, since it may write to it
            if not isinstance(result, Tensor) or result.ndim not in (2, x.ndim) or len(result) != 1:
                what = f"shape {list(result.shape)}" if isinstance(result, Tensor) else f"type {type(result).__name__}"
                raise InputError(
                    f"{self.name} returned a result of {what}: return a tensor of shape (1, numbers) or "
                    f"(1, channels{', side' * (x.ndim - 2)})"
                )
            if results and result.shape != results[0].shape:
                shapes = f"{list(results[0].shape)} for one item and {list(result.shape)} for another"
                raise InputError(f"{self.name} returned {shapes}: return one shape for all")
            results.append(result.detach())
        made = torch.cat(results)
        return made.to(x.device, torch.float32 if made.ndim > 2 else highest_dtype(x.device))


Part = Fixed | Noise | RandomMask | CustomFunction


@dataclass(frozen=True)
class Degradation:
    """A degradation that makes a condition from the item.

    Attributes:
        text: The operators, as the user wrote them.
        name: The name of the condition, unless the user gives one.
        parts: The operators, in the order in which they are applied.
        place: Its place among the conditions that are made from the item. Each has its own random numbers.
    """

    text: str
    name: str
    parts: tuple[Part, ...] = field(repr=False)
    place: int = 0

    def condition(self, shape: Sequence[int], limits: Limits, example: Callable[[int], Tensor]) -> Condition:
        """Describe the condition of items of a shape.

        Args:
            shape: (C, *sides), or (k,) of points.
            limits: The values of the data that -1 and 1 stand for, or those of each channel.
            example: Returns the first n items of the data, encoded, (n, C, *sides); called for functions alone.

        Raises:
            InputError: If the operators do not fit the shape, or a function fails.
        """
        own = any(isinstance(part, CustomFunction) for part in self.parts)
        items = example(2) if own else torch.zeros(1, *shape)
        values = self.make(items, 0, 0, range(len(items)))
        if values.ndim > 2:
            if not bool(values.isfinite().all()):
                raise InputError(f"{self.text} makes values that are not finite")
            image = Image(values.shape[1], sides=tuple(values.shape[2:]), masked=self._masked, made_by=self.text)
            return self._with_limits(image, limits, shape)
        items = example(CHECKED_EXAMPLES)
        values = self.make(items, 0, 0, range(len(items)))
        return Vector.of(values, self.text)

    def _with_limits(self, image: Image, limits: Limits, shape: Sequence[int]) -> Image:
        """The image with the values that -1 and 1 stand for: where channels have ranges of their own, those of its
        channels, and ±1 for a mask and for what a function makes in other channels.
        """
        by_channel = [one for one in limits if isinstance(one, tuple)]
        if not by_channel:
            low, high = limits
            return replace(image, limits=(low, high))  # type: ignore[arg-type]
        for part in self.parts:
            if isinstance(part, Fixed) and mixes_channels(part.operator, shape):
                raise InputError(
                    f"{self.text} mixes channels, and those of the data have ranges of their own: give one range to "
                    f"all by {option('ranges', 'shared')}"
                )
        ranges = [*by_channel, *[(-1.0, 1.0)] * image.masked]
        if len(ranges) != image.channels:
            return replace(image, limits=(-1.0, 1.0))
        ends = [end for one in ranges for end in one]
        return replace(image, limits=(min(ends), max(ends)), ranges=tuple(ranges))

    @torch.no_grad()
    def make(self, x0: Tensor, seed: int, step: int, indices: Sequence[int]) -> Tensor:
        """Make the values of the condition, which `Condition.place` brings to what a network gets.

        Args:
            x0: Encoded items (B, C, *sides), in [-1, 1], or points (B, k).
            seed: The seed of the run.
            step: The training step.
            indices: The index of each item.

        Returns:
            float32 (B, C', *sides'), in [-1, 1] on the operator's own grid, or numbers, float64 (B, k).

        Raises:
            InputError: If the operators do not fit the items, or a function fails.
        """
        x = x0
        for draw, part in enumerate(self.parts):
            if x.ndim < 3 and not isinstance(part, CustomFunction):
                raise InputError(
                    f"{self.text} is of images, signals and volumes, not of numbers: give package.module:function"
                )
            x = part(x, RngKey(seed, step, indices, (draw, self.place) if self.place else draw))
        return x

    def around(self, periodic: tuple[int, ...]) -> "Degradation":
        """Return the same of items whose axes of these numbers go around: a blur does so too."""
        if not periodic:
            return self
        parts = tuple(
            Fixed(replace(part.operator, periodic=periodic))
            if isinstance(part, Fixed) and isinstance(part.operator, Blur)
            else part
            for part in self.parts
        )
        return replace(self, parts=parts)

    def make_plain(self, x0: Tensor) -> Tensor:
        """Make the values without noise and with nothing hidden, as `make` returns them."""
        parts = tuple(part for part in self.parts if not isinstance(part, Noise | RandomMask))
        x = replace(self, parts=parts).make(x0, 0, 0, range(len(x0)))
        return torch.cat([x, torch.ones_like(x[:, :1])], 1) if self._masked else x

    @property
    def _masked(self) -> bool:
        return any(isinstance(part, RandomMask) for part in self.parts)

    @property
    def noise(self) -> float:
        """The standard deviation of all noise together, if there is none before another operator."""
        return math.hypot(*(part.sigma for part in self.parts if isinstance(part, Noise)))

    def operator(self, sides: Sequence[int]) -> Operator:
        """Return the operator without its noise; of noise alone it is the identity.

        Args:
            sides: The sides of the items.

        Raises:
            InputError: If it is random, or noise comes before another operator.
        """
        parts = [part for part in self.parts if not isinstance(part, Noise)]
        if tuple(parts) != self.parts[: len(parts)]:
            raise InputError(f"{self.text} is no operator followed by noise: give one, as in upscale:4+noise:0.05")
        operators = [_operator(part, tuple(sides)) for part in parts]
        return reduce(or_, operators) if operators else Identity()

    def answers(self, operator: Operator, noise: float, shape: Sequence[int]) -> bool:
        """Whether a model with this condition was trained to undo an operator with noise of this much, or less.

        Args:
            operator: The operator.
            noise: The standard deviation of the noise of its result.
            shape: The shape of an item.
        """
        parts = [part for part in self.parts if not isinstance(part, Noise)]
        if noise > self.noise * (1 + 1e-6) or tuple(parts) != self.parts[: len(parts)]:
            return False
        last = parts[-1] if parts else None
        if not isinstance(last, RandomMask):
            return self.operator(shape[1:]) == operator
        mask = known_part(operator, shape)
        if len(parts) > 1 or mask is None:
            return False
        return last.kind not in HALVES or bool((mask == _half(tuple(shape[1:]), *HALVES[last.kind])).all())

    def of_measurement(
        self, y: Tensor, operator: Operator, noise: float, shape: Sequence[int], seed: int, indices: Sequence[int]
    ) -> Tensor:
        """Bring a measurement that the condition `answers` to the values that `make` makes.

        Where less noise is in it than the model was trained with, the missing noise is added.

        Args:
            y: The measurement of each item, (B, *).
            operator: The operator.
            noise: The standard deviation of its noise.
            shape: The shape of an item.
            seed: The seed of the noise that is added.
            indices: The index of each item.
        """
        mask = known_part(operator, shape)
        if self._masked and mask is not None:
            known = mask.to(y).expand(len(y), 1, *shape[1:])
            y = torch.cat([operator.adjoint(y, shape).where(known > 0, 0.0), 2 * known - 1], dim=1)
        missing = math.sqrt(max(self.noise**2 - noise**2, 0.0))
        return y if missing == 0 else Noise(missing, self._masked)(y, RngKey(seed, 0, indices, self.place))


def mixes_channels(operator: Operator, shape: Sequence[int]) -> bool:
    """Tell whether what an operator makes of items of a shape (C, *sides) is other than C channels, each of one."""
    channels = shape[0]
    x = torch.arange(channels * math.prod(shape)).sin().view(channels, *shape)  # values without a pattern
    made = operator.apply(x * torch.eye(channels).view(channels, channels, *[1] * (len(shape) - 1)))
    if made.ndim < 3 or made.shape[1] != channels:
        return True
    return bool((made.flatten(2) != 0).any(2)[~torch.eye(channels, dtype=torch.bool)].any())


def known_part(operator: Operator, shape: Sequence[int]) -> Tensor | None:
    """Return where an operator that hides a part of an item knows it, bool (*sides); None of all other operators."""
    if isinstance(operator, Crop):
        return operator.adjoint(operator.apply(torch.ones(1, *shape)), shape)[0, 0] > 0
    if isinstance(operator, Mask):
        known = operator.apply(torch.ones(1, *shape))[0] > 0
        return known[0] if bool((known == known[:1]).all()) else None
    return None


def _operator(part: Part, sides: tuple[int, ...]) -> Operator:
    """A part as an operator. Raises InputError if it is random."""
    if isinstance(part, Fixed):
        return part.operator
    if isinstance(part, CustomFunction):
        return Linear(_custom_operator(part.name))
    if isinstance(part, RandomMask) and part.kind in HALVES and len(sides) >= -HALVES[part.kind][0]:
        return Mask(_half(sides, *HALVES[part.kind]))
    raise InputError("a random mask or crop is no operator of one item: give mask:left, mask:top or a custom mask")


def _custom_operator(name: str) -> Callable[[Tensor], Tensor]:
    """A custom function, whose errors are said in one line."""
    function = import_function(name)

    def apply(x: Tensor) -> Tensor:
        with explained(f"{name} failed", "it is called with items (B, C, *sides) in [-1, 1]"):
            made = function(x)
        if not isinstance(made, Tensor) or len(made) != len(x):
            raise InputError(f"{name} returned no tensor with one row for each item: return A x, (B, *)")
        return made

    return apply


def degradations(kinds: Mapping[str, Condition], periodic: tuple[int, ...] = ()) -> dict[str, Degradation]:
    """Return the degradations of the conditions that are made from the item, by the names of the conditions.

    Args:
        kinds: The conditions, by name.
        periodic: The axes of space that go around, by number.
    """
    found = {name: degradation for name, kind in kinds.items() if (degradation := parse(kind.made_by)) is not None}
    return {
        name: replace(degradation.around(periodic), place=place)
        for place, (name, degradation) in enumerate(found.items())
    }


def check_trusted(texts: Iterable[str], trusted: Iterable[str], name: str) -> None:
    """Raise InputError for a custom function that a file names and the user does not: no file runs code.

    Args:
        texts: How conditions are made, as `made_by` or a text of `given` says it.
        trusted: The functions that the user names, or texts with them.
        name: The option by which the user names them.
    """
    named = {function for text in trusted for function in _functions(text)}
    for function in (function for text in texts for function in _functions(text)):
        if function not in named:
            raise InputError(
                f"a file names the function {function}, which makes a condition; files run no code by themselves: "
                f"name it too, {option(name, function)}, if you trust that code"
            )


def _functions(text: str) -> list[str]:
    """The custom functions in a text of `given`."""
    degradation = parse(text.rpartition("=")[2])
    return [] if degradation is None else [part.name for part in degradation.parts if isinstance(part, CustomFunction)]


def parse(text: str) -> Degradation | None:
    """Read the degradation that makes a condition from the item.

    Args:
        text: Operators joined by +, as "upscale:4+noise:0.05", or package.module:function.

    Returns:
        The degradation; None if the text begins with neither, as a column and a path do.

    Raises:
        InputError: If an operator cannot have its option, is unknown, or cannot follow those before it.
    """
    text = text.strip()
    name = ""
    parts: list[Part] = []
    for piece in map(str.strip, text.split("+")):
        if parts and not piece:
            raise InputError(f"{text} lacks an operator next to a +: leave the + out, or name one of {OPERATORS.names}")
        operator, _, argument = piece.partition(":")
        if operator in OPERATORS:
            part: Part = OPERATORS[operator].make(argument)
            name = name or OPERATORS[operator].condition
        elif FUNCTION_PATTERN.fullmatch(piece) and operator not in TEXT_KINDS:
            part = CustomFunction(piece)
            name = name or piece.replace(":", ".").rpartition(".")[2]
        elif not parts:
            return None
        else:
            OPERATORS.find(operator)
        if any(isinstance(before, RandomMask) for before in parts):
            if not isinstance(part, Noise):
                raise InputError(f"{piece} cannot follow a mask in {text}, only noise can: put it before the mask")
            part = replace(part, masked=True)
        parts.append(part)
    return Degradation(text, name, tuple(parts))


def upscale(argument: str) -> Part:
    """Read the factor of upscale:4."""
    factor: object = int(argument) if is_digits(argument) else argument
    return Fixed(Downsample(whole(factor, 2, math.inf, _wrong("upscale", argument, "a whole factor, 2 or more", "4"))))


def grey(argument: str) -> Part:
    """Read grey, which has no option."""
    if argument:
        raise InputError(f"grey takes no argument, not {argument!r}")
    return Fixed(Grey())


def mask(argument: str) -> Part:
    """Read the kind of mask:box; none is the mixture."""
    if argument not in ("", *MIXTURE, *HALVES):
        raise InputError(f"there is no mask {argument!r}: give one of {', '.join((*MIXTURE, *HALVES))}, or mask alone")
    return RandomMask(argument)


def crop(argument: str) -> Part:
    """Read the share of each side in crop:0.4; none is a half."""
    return RandomMask("crop", _number("crop", argument or "0.5", 1, "a share of each side", "0.4"))


def blur(argument: str) -> Part:
    """Read the standard deviation of blur:2."""
    return Fixed(Blur(_number("blur", argument, 1000, "a standard deviation in pixels", "2")))


def noise(argument: str) -> Part:
    """Read the standard deviation of noise:0.1."""
    return Noise(_number("noise", argument, 1000, "a standard deviation", "0.1"))


def _wrong(operator: str, argument: str, needs: str, example: str) -> str:
    return f"{operator} needs {needs}, as in {operator}:{example}, not {argument!r}"


def _number(operator: str, argument: str, most: float, needs: str, example: str) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = math.nan
    if not 0 < number < most:
        raise InputError(_wrong(operator, argument, f"{needs} above 0 and below {most:g}", example))
    return number


def _along(values: Tensor, axis: int, dims: int) -> Tensor:
    """Put values (*, side) along one of the axes of space: (*, 1, ..., side, ..., 1)."""
    return values.reshape(*values.shape[:-1], *(values.shape[-1] if axis == other else 1 for other in range(dims)))


def _half(sides: tuple[int, ...], axis: int, first: bool) -> Tensor:
    axis %= len(sides)
    before = torch.arange(sides[axis]) < sides[axis] // 2
    return _along(before if first else ~before, axis, len(sides)).expand(sides)


def _halves(numbers: Tensor, sides: tuple[int, ...], device: torch.device) -> Tensor:
    halves = torch.stack([_half(sides, axis, first) for axis in range(len(sides)) for first in (True, False)])
    return halves[(numbers[:, 0] * len(halves)).long()].to(device, non_blocking=True)


def _inside(starts: Tensor, lengths: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The inside of boxes (B, K, axes), bool (B, K, *sides)."""
    inside = torch.ones((), dtype=torch.bool)
    for axis, side in enumerate(sides):
        positions = torch.arange(side)
        start = starts[..., axis, None]
        one = (positions >= start) & (positions < start + lengths[..., axis, None])
        inside = inside & _along(one, axis, len(sides))
    return inside


def _box(numbers: Tensor, sides: tuple[int, ...], share: float) -> Tensor:
    """The inside of one random box of a share of each side, bool (B, *sides)."""
    space = torch.tensor(sides)
    lengths = (space * share).round().long().clamp(min=1).expand(len(numbers), -1)
    starts = (numbers * (space - lengths + 1)).long()
    return _inside(starts[:, None], lengths[:, None], sides)[:, 0]


def _boxes(numbers: Tensor, sides: tuple[int, ...], device: torch.device) -> Tensor:
    """What is outside of one to three random boxes, bool (B, *sides)."""
    space, dims = torch.tensor(sides), len(sides)
    boxes = 1 + (numbers[:, :1] * BOXES).long()
    sizes, places = numbers[:, 1 : 1 + 2 * BOXES * dims].reshape(-1, BOXES, 2, dims).unbind(2)
    least, most = BOX[dims]
    lengths = ((least + (most - least) * sizes) * space).round().long().clamp(min=1)
    starts = (places * (space - lengths + 1)).long()
    lengths = lengths * (torch.arange(BOXES) < boxes)[..., None]  # boxes beyond the number of this item are empty
    return ~_inside(starts, lengths, sides).any(1).to(device, non_blocking=True)


def _brushes(numbers: Tensor, sides: tuple[int, ...], device: torch.device) -> Tensor:
    """What one to three random walks with a round brush leave, bool (B, *sides)."""
    work = float64_device(device)
    dims, longest = len(sides), max(sides)
    space = torch.tensor(sides, dtype=torch.float64)
    strokes = 1 + (numbers[:, 0] * STROKES).long()
    least, most = RADIUS[dims]
    radii = ((least + (most - least) * numbers[:, 1 : 1 + STROKES]) * longest).clamp(min=0.5)
    walks = numbers[:, 1 + STROKES : 1 + STROKES + STROKES * (1 + SEGMENTS) * dims]
    walks = walks.reshape(-1, STROKES, 1 + SEGMENTS, dims)
    radii = torch.where(torch.arange(STROKES) < strokes[:, None], radii, -1.0).to(work, non_blocking=True)
    points = [walks[:, :, 0] * (space - 1)]
    for segment in range(1, 1 + SEGMENTS):
        moves = (2 * walks[:, :, segment] - 1) * REACH[dims] * space
        points.append(torch.minimum((points[-1] + moves).clamp(min=0), space - 1))
    places = torch.stack(points).to(work, non_blocking=True)
    known = torch.ones(len(numbers), *sides, dtype=torch.bool, device=work)
    for point, end in itertools.pairwise(places):
        for stroke in range(STROKES):
            reach = radii[:, stroke].reshape(-1, *[1] * dims)
            square = _square_distance(point[:, stroke], end[:, stroke], sides)
            known &= (square > reach * reach) | (reach < 0)
    return known.to(device, non_blocking=True)


def _square_distance(start: Tensor, end: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The square of each pixel's distance from a segment between points (B, axes): (B, *sides).

    Every operation is correctly rounded by itself, so CPU and GPU have the same bits.
    """
    dims, one = len(sides), (-1, *[1] * len(sides))
    move = end - start
    offsets = [
        _along(torch.arange(side, device=start.device) - start[:, axis, None], axis, dims)
        for axis, side in enumerate(sides)
    ]
    moves = [move[:, axis].reshape(one) for axis in range(dims)]
    length = sum((step * step for step in moves), start.new_zeros(1)).clamp(min=1e-12)
    nearest = (sum((o * s for o, s in zip(offsets, moves, strict=True)), start.new_zeros(1)) / length).clamp(0, 1)
    gaps = [offset - nearest * step for offset, step in zip(offsets, moves, strict=True)]
    return sum((gap * gap for gap in gaps), start.new_zeros(1))


_RANDOM = {"box": _boxes, "brush": _brushes, "half": _halves}
_NUMBERS = 1 + STROKES + STROKES * (1 + SEGMENTS) * 3
"""Random numbers of a mask, those of brushes in three dimensions being the most."""
