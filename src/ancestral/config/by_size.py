"""Settings that follow from the size of the items and the device, where a config leaves them out (None).

The presets for user data, `folder` and `arrays`, leave them out. A run chooses them once and writes them to its
config.json, so resuming and loading need no rule.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ancestral.base.options import option
from ancestral.config.model_config import TransformerConfig, UNetConfig
from ancestral.config.presets import preset
from ancestral.config.schema import Config

SMALL_GRID = 32 * 32
"""Largest number of positions (pixels, samples, voxels) of items that get the network of the preset digits."""
FOLDED = 16 * 16
"""Largest number of positions of a patch."""
SMALLEST_BATCH = 8
"""Smallest batch size that is chosen."""


class Plan(NamedTuple):
    """Sizing limits of items above 32x32 on one kind of device. Sizes are numbers of positions."""

    first: int
    """Size of the first level, to which a patch brings larger items."""
    attention: int
    """Largest of a level with self-attention."""
    batch: int
    """Largest of a batch at the first level; the batch of larger items is smaller."""
    tokens: int
    """Largest number of patches of a transformer."""
    mults: tuple[tuple[int, ...], ...]
    """For one level, two ... With more levels, the additional first ones have the width of the first."""
    settings: dict[str, Any]
    """Width, blocks, wiring, learning rate and largest batch size."""


LAST = 8 * 8
"""Number of positions to which the levels halve the resolution."""
CPU = Plan(
    first=32 * 32,
    attention=8 * 8,
    batch=32 * 64 * 64,
    tokens=64,
    mults=((1,), (1, 2), (1, 2, 4)),
    settings={"width": 32, "blocks": 1, "narrow": True, "lr": 2e-3, "batch_size": 32},
)
GPU = Plan(
    first=256 * 256,
    attention=16 * 16,
    batch=32 * 128 * 128,
    tokens=256,
    mults=((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (1, 1, 2, 3, 4), (1, 1, 2, 2, 4, 4)),
    settings={"width": 128, "blocks": 2, "narrow": False, "lr": 2e-4, "batch_size": 64},
)


def choose(shape: Sequence[int], device: str = "cpu", latents: bool = False) -> dict[str, Any]:
    """Choose network, batch size and learning rate for items of a shape.

    The choice depends on nothing but the shape and the kind of device:

    * Items of at most 32x32 positions get the network of the preset `digits`: two levels, width 32, patch 2. Sides
      below 4 get a smaller patch and fewer levels.
    * On a CPU, convolutions at high resolution take nearly all of the time. So a patch folds larger items to 32x32
      positions, where a step on 256x256 pixels takes less than twice as long as one on 64x64. The width is 32, and
      there are three levels down to 8x8 with self-attention there, since a level at low resolution costs little.
    * On a GPU, the network has the width of the papers, 128, and two blocks a level. It has no patch up to 256x256
      positions, levels down to 8x8, and self-attention at 16x16 and below: four levels for 64x64, five for 128x128 and
      six for 256x256. The learning rate is that of the DDPM paper for this width.

    Latents get the network of larger items whatever their size: each position holds a block of pixels already, which no
    patch should join with others. So those of at most 32x32 positions get none.

    For other shapes the number of positions counts, not the sides: a signal of 4,096 samples is as large as an image of
    64x64. A patch has at most 16x16 positions. Every side has at least one position at the lowest level.

    Args:
        shape: The shape of an item: (channels, *sides).
        device: The kind of device: "cuda" is a GPU, all others are treated as a CPU.
        latents: Whether the items are latents of an autoencoder.

    Returns:
        width, mults, blocks, attention, patch and narrow of a U-Net, batch_size and lr.
    """
    sides = shape[1:]
    shortest = min(sides, default=1)
    if math.prod(sides) <= SMALL_GRID and not latents:
        small = preset("digits")
        settings = dataclasses.asdict(small.net) | dataclasses.asdict(small.train)
        patch = min(settings["patch"], max(1, shortest // 2))
        settings |= {"patch": patch, "mults": settings["mults"][: _most_levels(shortest, patch)]}
        return {name: settings[name] for name in CHOSEN}

    plan = _plan(device)
    patch = _patch(sides, plan.first)
    levels = 1
    while _positions(sides, patch << (levels - 1)) > LAST and levels < _most_levels(shortest, patch):
        levels += 1
    mults = plan.mults[min(levels, len(plan.mults)) - 1]
    largest_batch = plan.batch // _positions(sides, patch)
    return {
        **plan.settings,
        "mults": (1,) * (levels - len(mults)) + mults,
        "attention": _attention(sides, patch, levels, plan),
        "patch": patch,
        "batch_size": max(SMALLEST_BATCH, min(plan.settings["batch_size"], largest_batch)),
    }


CHOSEN = ("width", "mults", "blocks", "attention", "patch", "narrow", "batch_size", "lr")
"""The settings that `choose` chooses."""


def left_out(config: Config) -> list[str]:
    """Name the settings that a config leaves to the size of the items."""
    return [name for name in CHOSEN for part in (config.net, config.train) if getattr(part, name, 0) is None]


def complete(config: Config, shape: Sequence[int], device: str = "cpu") -> Config:
    """Return the config with the settings that it leaves out chosen for items of a shape; those that it has stay.

    `choose` is for a U-Net. A transformer gets patches that make at most 64 tokens, on a GPU 256. Batch size and
    learning rate of other networks are those of the preset `digits`.
    """
    latents = config.latent.latent is not None
    choice = choose(shape, device, latents) if isinstance(config.net, UNetConfig) else choose((), device)
    net = config.net
    if isinstance(net, UNetConfig) and (net.mults or net.patch) and (math.prod(shape[1:]) > SMALL_GRID or latents):
        patch, mults = net.patch or choice["patch"], net.mults or choice["mults"]
        choice["attention"] = _attention(shape[1:], patch, len(mults), _plan(device))
    if isinstance(config.net, TransformerConfig):
        choice["patch"] = _patch(shape[1:], _plan(device).tokens)
    choice["batch_size"] = config.train.items(choice["batch_size"])
    return config.with_settings(**{name: choice[name] for name in left_out(config)})


def keep(config: Config, saved: Config) -> Config:
    """Return the config with the settings that it leaves out as they were chosen for the run that is resumed."""
    values = dataclasses.asdict(saved.net) | dataclasses.asdict(saved.train)
    return config.with_settings(**{name: values[name] for name in left_out(config) if name in values})


def explain(config: Config, shape: Sequence[int], device: str = "cpu") -> str:
    """Say what `complete` chooses and why; "" where the config leaves nothing out."""
    names = left_out(config)
    if not names:
        return ""
    final = complete(config, shape, device)
    values = dataclasses.asdict(final.net) | dataclasses.asdict(final.train)
    words = [option(name, *(values[name] if isinstance(values[name], tuple) else (values[name],))) for name in names]
    why = "small items: the network of the preset digits" if "width" in names else "as the preset digits"
    if isinstance(final.net, TransformerConfig) and "patch" in names:
        why = f"{_positions(shape[1:], values['patch'])} patches for a {'GPU' if device == 'cuda' else 'CPU'}"
    elif (math.prod(shape[1:]) > SMALL_GRID or config.latent.latent is not None) and isinstance(final.net, UNetConfig):
        factors = (1, values["patch"], values["patch"] << (len(values["mults"]) - 1))
        size, first, last = ("x".join(str(-(-side // factor)) for side in shape[1:]) for factor in factors)
        folded = f"patches of {values['patch']} bring {size} to {first}" if size != first else size
        why = f"{folded}, and {len(values['mults'])} levels to {last}, for a {'GPU' if device == 'cuda' else 'CPU'}"
    return f"chosen by size: {' '.join(words)} ({why}; options that are given win)"


def _plan(device: str) -> Plan:
    return GPU if device == "cuda" else CPU


def _patch(sides: Sequence[int], most: int) -> int:
    """The smallest patch, a power of two, that leaves at most `most` positions, or else the largest that fits."""
    patch, shortest = 1, min(sides, default=1)
    while _positions(sides, patch) > most and 2 * patch <= shortest and (2 * patch) ** len(sides) <= FOLDED:
        patch *= 2
    return patch


def _attention(sides: Sequence[int], patch: int, levels: int, plan: Plan) -> tuple[int, ...]:
    """The resolutions of the levels that are small enough for self-attention, as the U-Net pads the items."""
    longest = -(-max(sides) // (patch << (levels - 1))) << (levels - 1)  # at the first level
    return tuple(longest >> level for level in range(levels) if _positions(sides, patch << level) <= plan.attention)


def _positions(sides: Sequence[int], factor: int) -> int:
    return math.prod(-(-side // factor) for side in sides)


def _most_levels(shortest: int, patch: int) -> int:
    """Largest number of levels at which the shortest side still has a position."""
    return max(1, (shortest // patch).bit_length())
