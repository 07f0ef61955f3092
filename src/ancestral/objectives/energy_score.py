"""The energy score: an objective under which the answers of a network, in one evaluation, are samples of the posterior.

A network f(c, ξ) draws the noise ξ. Its m answers to one item and its condition, the members of an ensemble, are scored
by how near they are to the item, and how far from each other. The score is proper: its mean is least where the members
are distributed as the items given the condition.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral import randomness
from ancestral.base.arguments import checked_class, shown
from ancestral.base.errors import InputError
from ancestral.base.registries import OBJECTIVES, check_energy
from ancestral.nets.build import takes
from ancestral.objectives.objective import ForwardPass, Objective, TrainableDenoiser
from ancestral.objectives.times import AnswerTimes
from ancestral.randomness import Stream
from ancestral.targets import Denoiser

USUAL = OBJECTIVES["energy"].arguments
"""The options that a config reads too, without PyTorch."""
SMOOTH = 1e-6
"""What is added to a squared distance below the root, so that it has a gradient at 0."""


@checked_class
class EnergyScore(Objective):
    """The almost fair energy score of the members of an ensemble, over patches of items.

    A patch of side 1 is a single value, whose energy score is the CRPS; larger ones hold all channels; side 0 is the
    whole item. Each patch counts by the square root of the number of its values, and the score is the mean over patches
    and sides. The target of the network has to be x_0.

    Args:
        members: The number of members; 1 is trained by the distance to the item alone, a regression.
        patches: The sides of the patches, also as text, "1+4+0". One that is as long as the item is the whole item.
        almost_fair: The share of the fair estimate of the distance of members; of the biased one what is left. With
            the fair one alone a member may be anywhere while all others are equal.
        evaluations: The number of times at which the network is trained: it samples in as many evaluations, and fewer.
        noise: Where the noise enters networks of this package: "grid" beside the embedding of t and on the lowest grid,
            "vector" beside the embedding of t, "input" as x_T.

    Raises:
        InputError: If a number is out of its range.

    References:
        Gneiting and Raftery, *Strictly proper scoring rules, prediction, and estimation* (2007), section 4.3.
        Lang et al., *AIFS-CRPS: ensemble forecasting using a model trained with a loss function based on the continuous
        ranked probability score* (2024): almost fair.
    """

    times: AnswerTimes

    def __init__(
        self,
        members: int = USUAL["members"],
        patches: str | int | Sequence[int] = (1, 4, 0),
        almost_fair: float = 0.95,
        evaluations: int = USUAL["evaluations"],
        noise: Literal["grid", "vector", "input"] = USUAL["noise"],
    ) -> None:
        check_energy(members, evaluations)
        if not 0 <= almost_fair <= 1:
            raise InputError(f"almost_fair is a share from 0 to 1, not {almost_fair}")
        super().__init__(AnswerTimes(evaluations))
        self.members, self.patches, self.almost_fair, self.noise = members, sides_of(patches), almost_fair, noise

    def __str__(self) -> str:
        """The name with its options, as `registries.OBJECTIVES` reads it."""
        patches = "+".join(map(str, self.patches))
        options = f"members={self.members},patches={patches},almost_fair={self.almost_fair}"
        return f"energy:{options},evaluations={self.times.count},noise={self.noise}"

    def prepare(self, denoiser: TrainableDenoiser, step: int, averaged: Denoiser | None) -> None:
        """See `Objective.prepare`: the times are fractions of the schedule's T."""
        self.times.steps = denoiser.schedule.steps

    def evaluate(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        z: Callable[[int], Tensor],
        condition: Mapping[str, Any],
    ) -> ForwardPass:
        """See `Objective.evaluate`: members share the item, its time, its x_t and its condition, and differ by noise.

        Returns:
            The forward pass of all members, one after the other; its x0 is that of the items, (B, *).
        """
        self.prepare(denoiser, 0, None)  # a validation does not
        t = self.times.nearest(t)
        last = (t == self.times.steps).to(x0.device).view(-1, *[1] * (x0.ndim - 1))
        number = range(1, self.members)
        each = [eps, *(z(one).where(last, eps) if self.noise == "input" else eps for one in number)]
        rows = {name: [value] * self.members for name, value in condition.items()}
        if "keys" in rows:
            rows["keys"] = [condition["keys"], *(randomness.derived(condition["keys"], one) for one in number)]
        forward = denoiser.forward_pass(
            torch.cat([x0.masked_fill(last, 0.0)] * self.members),
            t.repeat(self.members),
            torch.cat(each),
            **{name: torch.cat(values) for name, values in rows.items()},
        )
        return replace(forward, x0=x0)

    def keys(
        self, denoiser: TrainableDenoiser, seed: int, stream: Stream, step: int, indices: Sequence[int]
    ) -> dict[str, Tensor]:
        """See `Objective.keys`: those of networks that take them."""
        net: Any = getattr(denoiser, "net", None)
        if net is None or not takes(getattr(net, "module", net), "keys"):  # of data-parallel training too
            return {}
        device = getattr(denoiser, "device", "cpu")
        return {"keys": randomness.keys(seed, stream, step, indices).to(device, non_blocking=True)}

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`: the score of the members of each item."""
        target, schedule = forward.denoiser.target, forward.denoiser.schedule
        members = target.solve(forward.x_t, forward.answer, *schedule.at(forward.t)).x0
        return self.scores(members.reshape(-1, *forward.x0.shape), forward.x0)

    def scores(self, members: Tensor, x0: Tensor) -> Tensor:
        """Compute the score of each item, (B,), of members (m, B, *) in the units of x0 (B, *)."""
        sides, dtype = x0.shape[2:], torch.promote_types(x0.dtype, torch.float32)
        members, x0 = members.to(dtype), x0.to(dtype)
        patches = dict.fromkeys(0 if side > 1 and side >= max(sides, default=1) else side for side in self.patches)
        return torch.stack([self._score(members, x0, side) for side in patches]).mean(0)

    def _score(self, members: Tensor, x0: Tensor, side: int) -> Tensor:
        f, x = (in_patches(part, side, x0.ndim - 1) for part in (members, x0))  # (m, B, P, d) and (B, P, d)
        m, pairs = len(f), list(combinations(range(len(f)), 2))
        score = _distances(f - x).mean(0)
        if pairs:  # E‖f − x‖ − ½ E‖f − f'‖, of the latter α of the fair estimate and 1 − α of the biased one
            share = self.almost_fair / (m * (m - 1)) + (1 - self.almost_fair) / m**2
            score = score - share * sum(_distances(f[j] - f[k]) for j, k in pairs)
        return score.mean(-1) / math.sqrt(f.shape[-1])


def _distances(difference: Tensor) -> Tensor:
    return (difference.square().sum(-1) + SMOOTH).sqrt() - math.sqrt(SMOOTH)


def in_patches(x: Tensor, side: int, axes: int) -> Tensor:
    """Cut items into patches: (..., P, d), of items whose last `axes` axes are channels and sides.

    Args:
        x: The items, (..., C, *sides).
        side: The side of the patches: 1 for single values, 0 for the whole item; others hold all channels. Sides that
            it does not divide are padded with zeros.
        axes: The number of axes of an item.
    """
    if side in (0, 1):
        return x.flatten(-axes).unsqueeze(-1 if side == 1 else -2)
    channels = x.ndim - axes
    x = F.pad(x, [number for length in reversed(x.shape[channels + 1 :]) for number in (0, -length % side)])
    for axis in range(channels + 1, channels + axes):
        x = x.unfold(axis, side, side)  # the axis counts patches, and a last one the places in them
    return x.movedim(channels, channels + axes - 1).flatten(channels + axes - 1).flatten(channels, -2)


def sides_of(patches: str | int | Sequence[int]) -> tuple[int, ...]:
    """Read the sides of patches, as a text joined by plus signs too. Raises InputError for what is none."""
    words = patches.split("+") if isinstance(patches, str) else [patches] if isinstance(patches, int) else patches
    try:
        sides = tuple(dict.fromkeys(int(word) for word in words))
    except (TypeError, ValueError):
        sides = ()
    if not sides or min(sides) < 0:
        raise InputError(f"patches are sides from 0, as in 1+4+0, not {shown(patches)}")
    return sides
