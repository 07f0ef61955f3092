"""Models beside each other, and the samplers of one model over what they cost: pure functions of what was measured.

Cost is counted in passes of the network, since a step of Heun's costs two and a level of Langevin's several.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ancestral.errors import InputError
from ancestral.evaluation.quality import floor_sets
from ancestral.metrics import uncertainty
from ancestral.metrics.extractors import Features
from ancestral.metrics.uncertainty import NORMAL, Estimate
from ancestral.model import Model
from ancestral.samplers import Sampler

PASSES = (4, 6, 8, 10, 12, 16, 25, 50, 100, 250)
"""The ladder: passes of the network that are tried."""
SLACK = 0.05
"""A distance so much larger than another, as a share of it, still counts as reached."""


class Number(NamedTuple):
    """A value and its standard error; None where it has none."""

    value: float
    error: float | None = None


@dataclass(frozen=True)
class Row:
    """One quantity of each run."""

    title: str
    values: tuple[Number | None, ...]
    floor: Number | None = None
    """What data would have in the place of samples."""
    sign: int = 0
    """1 where more is better, −1 where less is, 0 where neither."""

    @property
    def best(self) -> int | None:
        """Whose value is the best: None unless it is further from every other than 1.96 errors of their difference.

        The errors count as independent. Runs share data and seeds, so they differ less by chance: this is cautious.
        """
        known = [(self.sign * n.value, n.error, i) for i, n in enumerate(self.values) if n is not None]
        if not self.sign or len(known) < 2:
            return None
        (top, error, winner), *others = sorted(known, key=lambda one: one[0], reverse=True)
        apart = all(top - value > NORMAL * math.hypot(error or 0, other or 0) for value, other, _ in others)
        return winner if apart else None


def rows(
    trees: Sequence[Mapping[str, Any]], likelihoods: Sequence[Mapping[str, Any] | None], parameters: Sequence[int]
) -> list[Row]:
    """The table of runs, from the trees of their samples.json and likelihood.json and their numbers of parameters.

    Bits/dim are of no rank where they are not of the same items by the same bound.
    """
    first, found = trees[0], []
    titles = {"frechet": first["titles"]["frechet"], "kernel": first["titles"]["kernel"]}
    for name, title in {**titles, "precision": "precision", "recall": "recall"}.items():
        values = tuple(_number(tree["distances"]["train"][name]) for tree in trees)
        sign = -1 if name in titles else 1
        found.append(Row(str(title), values, _number(first["distances"]["floor"][name]), sign))
    classes = [tree["class_accuracy"] for tree in trees]
    if any(classes):
        data = next(one["data"] for one in classes if one)
        values = tuple(_number(one["samples"]) if one else None for one in classes)
        found.append(Row("class accuracy", values, _number(data), 1))
    if any(likelihoods):
        alike = {_items(tree) for tree in likelihoods if tree}
        bits = tuple(_number(tree["bits_per_dim"]["total"], "mean", "standard_error") if tree else None
                     for tree in likelihoods)  # fmt: skip
        found.append(Row("bits/dim", bits, None, -1 if len(alike) == 1 else 0))
    found.append(Row("parameters", tuple(map(Number, parameters))))
    found.append(Row("steps trained", tuple(Number(tree["model"]["step"]) for tree in trees)))
    return found


def _items(tree: Mapping[str, Any]) -> tuple[Any, ...]:
    """Of what items a likelihood is, and by which bound."""
    settings = (tree["settings"][name] for name in ("variance", "clip", "decoder"))
    return (*(tree["data"].get(name) for name in ("source", "split", "images", "of")), *settings)


def _number(tree: Mapping[str, Any], value: str = "value", error: str = "error") -> Number | None:
    return None if tree[value] is None else Number(tree[value], tree[error])


class Rung(NamedTuple):
    """A sampler of so many steps, which take so many passes of the network."""

    sampler: Sampler
    steps: int
    passes: int


def ladder(model: Model, name: str, most: int) -> Iterator[Rung]:
    """The sampler called `name` by the numbers of passes in PASSES up to `most`, or what it can that is just below.

    Passes grow evenly with the steps, which all samplers here do. Numbers of steps that the sampler's spacing cannot
    take are left out. Raises InputError for a sampler that the model cannot be sampled with.
    """
    schedule, before = model.denoiser.schedule, 0
    full: Any = model.sampler(name, steps=schedule.steps)
    # counted at a spacing that takes any number of steps
    few: Any = [dataclasses.replace(full, steps=min(n, schedule.steps), spacing="trailing") for n in (1, 2)]
    one, two = (sampler.nfe(schedule) for sampler in few)
    for wanted in PASSES:
        steps = min(1 + (wanted - one) // max(1, two - one), schedule.steps) if wanted >= one else 0
        if wanted <= most and steps > before:
            before = steps
            with contextlib.suppress(InputError):  # leading spacing needs some steps to start near T
                sampler = model.sampler(name, steps=steps)
                yield Rung(sampler, steps, sampler.nfe(schedule))


def reference(model: Model) -> Rung:
    """DDPM with all T steps of the model's schedule."""
    sampler, schedule = model.sampler("ddpm", steps=model.denoiser.schedule.steps), model.denoiser.schedule
    return Rung(sampler, schedule.steps, sampler.nfe(schedule))


class Point(NamedTuple):
    """How far from the training data samples are that took so many passes."""

    steps: int
    passes: int
    frechet: Estimate
    kernel: Estimate


def point(rung: Rung, samples: Features, train: Features) -> Point:
    """The distances of one set of samples."""
    x, y = samples.values, train.values
    return Point(rung.steps, rung.passes, uncertainty.frechet(x, y), uncertainty.kernel(x, y))


def floor(count: int, train: Features, held_out: Features | None) -> Estimate:
    """The Fréchet distance of so many real items to the training data, as in `quality.measure`."""
    return uncertainty.frechet(*floor_sets(count, train.values, None if held_out is None else held_out.values))


def fewest(points: Iterable[Point], level: float) -> Point | None:
    """The point of fewest passes whose Fréchet distance is within SLACK of the level, or better; None without one."""
    enough = (point for point in points if point.frechet.value <= (1 + SLACK) * level)
    return min(enough, key=lambda point: point.passes, default=None)


def doubt(level: Estimate) -> str | None:
    """What to say where the error of the level is more than the slack, so that luck decides who reaches it."""
    if not NORMAL * level.error > SLACK * level.value:
        return None
    return (
        f"The 95 % interval of DDPM's own distance is ± {NORMAL * level.error / level.value:.0%}, more than "
        f"{SLACK:.0%}: luck takes part in who reaches it; draw more."
    )


def check_alike(first: Model, other: Model, names: tuple[str, str]) -> None:
    """Raise InputError for two models whose items differ in shape or in coding."""
    one, two = first.spec, other.spec
    for what, mine, yours in (
        ("items of", *("x".join(map(str, facts.shape)) for facts in (one, two))),
        ("items as", *(_coded(facts.codec) for facts in (one, two))),
    ):
        if mine != yours:
            raise InputError(
                f"{names[0]} makes {what} {mine}, but {names[1]} {yours}; compare runs whose items are alike"
            )


def _coded(codec: Any) -> str:
    return str(codec.kind) if codec.level else f"{codec.kind} in [{codec.limits[0]:g}, {codec.limits[1]:g}]"
