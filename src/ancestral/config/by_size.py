"""Settings that follow from the size of the items and the device, where a config leaves them out (None).

The presets for data of your own, `folder` and `arrays`, leave them out. A run chooses them once and writes them to its
config.json, so resuming and loading need no rule.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from ancestral.config.presets import digits
from ancestral.config.schema import Config, UNetConfig

NET_SETTINGS = ("width", "mults", "blocks", "attention", "patch")
"""The settings of a U-Net that follow from the size."""
SMALL = 32 * 32
"""Largest number of positions (pixels, samples, voxels) of items that get the network of the preset digits."""
LOWEST = 8 * 8
"""Number of positions to which the levels of a U-Net halve the resolution."""
CPU_POSITIONS, GPU_POSITIONS = 16 * 16, 256 * 256
"""Largest number of positions of the first level; a larger patch brings larger items down to it."""
CPU_WIDTH, CPU_MULTS = 64, (1, 2, 4)
GPU_WIDTH = 128
GPU_MULTS = {1: (1,), 2: (1, 2), 3: (1, 2, 3), 4: (1, 2, 3, 4), 5: (1, 1, 2, 3, 4), 6: (1, 1, 2, 2, 4, 4)}
"""Width of each level by the number of levels: 4 for 64 pixels, 5 for 128 (ADM), 6 for 256 (DDPM)."""
GPU_ATTENTION = 16 * 16
"""Largest number of positions of a level with self-attention on a GPU."""
GPU_BATCH = 64
"""Batch size on a GPU for 64x64 and less; larger items get fewer, at least 8."""


def choose(shape: Sequence[int], device: str = "cpu") -> dict[str, Any]:
    """Choose network, batch size and learning rate for items of a shape.

    The choice depends on nothing but the shape and the kind of device:

    * Items of at most 32x32 positions get the network of the preset `digits`: two levels, width 32, patch 2. Sides
      below 4 get a smaller patch and fewer levels.
    * On a CPU time is scarce, and a convolution at full resolution is what costs most. So the patch folds larger items
      to about 16x16 positions, where a step costs as much at 256 pixels as at 64, and the network is twice as wide.
    * On a GPU the network has the widths of the papers: width 128, two blocks a level, patch 1 up to 256x256 positions,
      levels down to 8x8, and self-attention at 16x16 and below. The batch is smaller for larger items.

    For other shapes the numbers of positions count, not the sides: a signal of 4,096 samples is as large as an image of
    64x64. Every side has at least one position at the lowest level.

    Args:
        shape: The shape of an item: (channels, *sides).
        device: The kind of device: "cuda" is a GPU, all others are treated as a CPU.

    Returns:
        width, mults, blocks, attention and patch of a U-Net, batch_size and lr.
    """
    small, sides = digits(), shape[1:]
    recipe = {"batch_size": small.train.batch_size, "lr": small.train.lr}
    shortest, gpu = min(sides, default=1), device == "cuda"
    if math.prod(sides) <= SMALL:
        net = small.net
        assert isinstance(net, UNetConfig)
        assert net.mults is not None
        patch = min(net.patch or 1, max(1, shortest // 2))
        mults = net.mults[: _levels(shortest, patch)]
        settings = {
            "width": net.width,
            "mults": mults,
            "blocks": net.blocks,
            "attention": net.attention,
            "patch": patch,
        }
        return settings | recipe

    patch, first = 1, GPU_POSITIONS if gpu else CPU_POSITIONS
    while _positions(sides, patch) > first and 2 * patch <= shortest:
        patch *= 2
    levels = 1
    while _positions(sides, patch << (levels - 1)) > LOWEST and levels < _levels(shortest, patch):
        levels += 1
    mults = GPU_MULTS[min(levels, 6)] if gpu else CPU_MULTS
    mults = (1,) * (levels - len(mults)) + mults[:levels]
    longest = -(-max(sides) // (patch << (levels - 1))) << (levels - 1)  # of the first level, as the U-Net pads it
    attends = GPU_ATTENTION if gpu else LOWEST
    attention = tuple(longest >> level for level in range(levels) if _positions(sides, patch << level) <= attends)
    if gpu:
        fewer = GPU_BATCH * 2 * 64 * 64 // _positions(sides, patch)
        recipe = {"batch_size": max(8, min(GPU_BATCH, fewer)), "lr": 2e-4}
    width, blocks = (GPU_WIDTH, 2) if gpu else (CPU_WIDTH, 1)
    return {"width": width, "mults": mults, "blocks": blocks, "attention": attention, "patch": patch} | recipe


def left_out(config: Config) -> list[str]:
    """Name the settings that a config leaves to the size of the items."""
    sections = (config.net, config.train)
    return [name for name in choose(()) for section in sections if getattr(section, name, 0) is None]


def complete(config: Config, shape: Sequence[int], device: str = "cpu") -> Config:
    """Return the config with the settings that it leaves out chosen for items of a shape; those that it has stay."""
    chosen = choose(shape if isinstance(config.net, UNetConfig) else (), device)
    return config.with_settings(**{name: chosen[name] for name in left_out(config)})


def kept(config: Config, saved: Config) -> Config:
    """Return the config with the settings that it leaves out as they were chosen for the run that is resumed."""
    chosen = {**dataclasses.asdict(saved.net), **dataclasses.asdict(saved.train)}
    return config.with_settings(**{name: chosen[name] for name in left_out(config) if name in chosen})


def explain(config: Config, shape: Sequence[int], device: str = "cpu") -> str:
    """Say what `complete` chooses and why, as options of the command line; "" where the config leaves nothing out."""
    names, done = left_out(config), complete(config, shape, device)
    if not names:
        return ""
    words = []
    for name in names:
        value = getattr(done.net, name, getattr(done.train, name, None))
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    size, place = "x".join(map(str, shape[1:])) or "points", "a GPU" if device == "cuda" else "a CPU"
    why = f"{size} is small enough for the network of the preset digits"
    net = done.net
    if isinstance(net, UNetConfig) and math.prod(shape[1:]) > SMALL:
        assert net.patch is not None
        assert net.mults is not None
        sides = (shape[1:], net.patch), (shape[1:], net.patch << (len(net.mults) - 1))
        first, last = ("x".join(str(-(-side // factor)) for side in s) for s, factor in sides)
        folded = f"patches of {net.patch} bring {size} to {first}" if net.patch > 1 else f"full resolution, {first}"
        why = f"{folded}, and {len(net.mults)} levels to {last}"
    return f"chosen for {place}: {' '.join(words)} ({why}; an option that is given wins)"


def _positions(sides: Sequence[int], factor: int) -> int:
    """Number of positions where every side is divided by a factor."""
    return math.prod(-(-side // factor) for side in sides)


def _levels(shortest: int, patch: int) -> int:
    """Largest number of levels at which the shortest side still has a position."""
    return max(1, (shortest // patch).bit_length())
