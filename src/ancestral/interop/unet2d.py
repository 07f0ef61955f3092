"""Our U-Net's settings as the config of diffusers' `UNet2DModel`, and back. What one side lacks is refused by name."""

import json
import math
from typing import Any

from torch import nn

from ancestral.config import UNetConfig
from ancestral.errors import InputError
from ancestral.nets import UNet
from ancestral.nets.unet import NOUNS, SelfAttention, Stage

DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}
"""What a key means that is not there: the defaults of `UNet2DModel`."""

OURS: dict[str, Any] = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_padding": 0,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "act_fn": "silu",
    "norm_eps": 1e-6,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
}
"""What our U-Net, the DDPM paper's, always has; of a `UNet2DModel` these are choices."""

BLOCKS = {"down": ("DownBlock2D", "AttnDownBlock2D"), "up": ("UpBlock2D", "AttnUpBlock2D")}
"""A level without and with attention."""
LARGEST = 2**16
"""No width, side or depth is more; it keeps a damaged config from asking for all of the memory."""


def to_config(net: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """The config of a `UNet2DModel` that computes what `net` does, labels aside. Raises InputError where none does."""
    if not isinstance(net, UNet):
        raise InputError(
            f"a UNet2DModel holds images, and this model is an {type(net).__name__} of points; use --to onnx"
        )
    if net.dims != 2:
        raise InputError(f"a UNet2DModel holds images, and this model is of {NOUNS[net.dims]}; use --to onnx")
    if net.patch > 1:
        raise InputError(
            f"the network folds {net.patch}x{net.patch} pixels into channels (patch {net.patch}), which a UNet2DModel "
            "cannot; train with --patch 1, or use --to onnx"
        )
    height, width = shape[-2:]
    if height % net.multiple or width % net.multiple:
        raise InputError(
            f"images of {height}x{width} are padded to multiples of {net.multiple} inside the network, which a "
            f"UNet2DModel does not do; train with --image-size {_up(max(height, width), net.multiple)} or fewer "
            "--mults, or use --to onnx"
        )
    groups = sorted({module.num_groups for module in net.modules() if isinstance(module, nn.GroupNorm)})
    widths, attends, blocks, dropout = _levels(net)
    if len(groups) > 1:
        raise InputError(
            f"the group norms have {', '.join(map(str, groups))} groups, each by its width, and a UNet2DModel has one "
            f"number for all; train with --groups {math.gcd(*groups)}, or use --to onnx"
        )
    return {
        "_class_name": "UNet2DModel",
        "sample_size": height if height == width else [height, width],
        "in_channels": net.channels,
        "out_channels": net.out.out_channels,
        "block_out_channels": widths,
        "down_block_types": [BLOCKS["down"][attend] for attend in attends],
        "up_block_types": [BLOCKS["up"][attend] for attend in reversed(attends)],
        "layers_per_block": blocks,
        "dropout": dropout,
        "attention_head_dim": None,
        "norm_num_groups": groups[0],
        **OURS,
    }


def _up(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple


def _levels(net: UNet) -> tuple[list[int], list[bool], int, float]:
    """The width of each level, whether it has attention, the blocks of a level, and the dropout."""
    widths, attends = [], []
    level: list[Stage] = []
    for module in [*net.down, None]:
        if isinstance(module, Stage):
            level.append(module)
        else:  # the downsampling that ends a level, or the end of the last
            widths.append(level[-1].block.conv2.out_channels)
            attends.append(isinstance(level[-1].attention, SelfAttention))
            blocks, dropout, level = len(level), level[-1].block.dropout.p, []
    return widths, attends, blocks, dropout


def from_config(config: dict[str, Any]) -> tuple[UNetConfig, tuple[int, int, int]]:
    """Our settings for a `UNet2DModel` of this config, and the shape of its images.

    Raises InputError, by name, for what our U-Net cannot be, and for values that no network can have.
    """
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise InputError(f"the network is a {kind}; ancestral reads UNet2DModel, the U-Net of unconditional images")
    for key, value in config.items():
        if not key.startswith("_") and key not in DEFAULTS and value not in (None, False):
            raise InputError(f"the network has the setting {key} = {json.dumps(value)}, which ancestral does not know")
    asked = DEFAULTS | config
    asked["act_fn"] = "silu" if asked["act_fn"] == "swish" else asked["act_fn"]  # two names of one function
    for key, ours in OURS.items():
        if asked[key] != ours or (type(asked[key]) is bool) != (type(ours) is bool):
            default = "" if key in config else " (UNet2DModel's default)"
            raise InputError(
                f"the network has {key} = {json.dumps(asked[key])}{default}; ancestral's U-Net, the DDPM paper's, has "
                f"{json.dumps(ours)}, so this model cannot be imported"
            )
    widths = _integers(asked, "block_out_channels")
    attends = _attention(asked, len(widths))
    blocks, channels, out_channels, groups = (
        _integers({key: [asked[key]]}, key)[0]
        for key in ("layers_per_block", "in_channels", "out_channels", "norm_num_groups")
    )
    if out_channels != channels:
        raise InputError(
            f"the network has {channels} channels in and {out_channels} out: a learned variance, or conditions on "
            "another image; ancestral imports networks with as many out as in"
        )
    width, multiple = widths[0], 2 ** (len(widths) - 1)
    if width % 2 or width < 4 or any(other % width for other in widths):
        raise InputError(
            f"the network has block_out_channels = {widths}; ancestral's levels are multiples of an even first one"
        )
    if any(other % groups for other in widths) or asked["attn_norm_num_groups"] not in (None, groups):
        raise InputError(
            f"the network has norm_num_groups = {groups} and attn_norm_num_groups = "
            f"{json.dumps(asked['attn_norm_num_groups'])}; they should divide block_out_channels and be the same"
        )
    if asked["time_embedding_dim"] not in (None, 4 * width):
        raise InputError(
            f"the network has time_embedding_dim = {json.dumps(asked['time_embedding_dim'])}; ancestral's has 4 times "
            f"the first of block_out_channels, {4 * width}"
        )
    attending = {other for other, attend in zip([*widths, widths[-1]], [*attends, True], strict=True) if attend}
    if asked["attention_head_dim"] is not None and [asked["attention_head_dim"]] != list(attending):
        default = "" if "attention_head_dim" in config else " (UNet2DModel's default)"
        raise InputError(
            f"the network has attention_head_dim = {json.dumps(asked['attention_head_dim'])}{default}: several heads; "
            "ancestral's U-Net has one head, attention_head_dim = null"
        )
    height, side = _sides(asked["sample_size"], multiple)
    if type(asked["dropout"]) not in (int, float) or not 0 <= asked["dropout"] < 1:
        raise InputError(f"the network has dropout = {json.dumps(asked['dropout'])}; it should be from 0 to below 1")
    return UNetConfig(
        width=width,
        mults=tuple(other // width for other in widths),
        blocks=blocks,
        attention=tuple(max(height, side) >> level for level, attend in enumerate(attends) if attend),
        dropout=float(asked["dropout"]),
        patch=1,
        groups=groups,
    ), (channels, height, side)


def _integers(asked: dict[str, Any], key: str) -> list[int]:
    """The value of `key` as positive integers. Raises InputError where it is not."""
    values = asked[key]
    if not isinstance(values, list) or not values or not all(type(n) is int and 0 < n <= LARGEST for n in values):
        raise InputError(f"the network has {key} = {json.dumps(values)}, which should be whole numbers from 1 up")
    return values


def _attention(asked: dict[str, Any], levels: int) -> list[bool]:
    """Whether each level has attention, from the types of its blocks. Raises InputError where ours cannot be so."""
    attends: dict[str, list[bool]] = {}
    for way, kinds in BLOCKS.items():
        types = asked[f"{way}_block_types"]
        if not isinstance(types, list) or len(types) != levels:
            raise InputError(f"the network has {way}_block_types = {json.dumps(types)} for {levels} block_out_channels")
        for kind in types:
            if kind not in kinds:
                raise InputError(
                    f"the network has a block of type {json.dumps(kind)}; ancestral has {' and '.join(kinds)}"
                )
        attends[way] = [kind == kinds[1] for kind in types]
    if attends["down"] != attends["up"][::-1]:
        raise InputError(
            "the network has attention on other levels on the way up than on the way down, which ancestral's cannot"
        )
    return attends["down"]


def _sides(size: Any, multiple: int) -> tuple[int, int]:
    """Height and width of the images. Raises InputError where they are unknown or would be padded inside."""
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= LARGEST for side in sides):
        raise InputError(
            f"the network has sample_size = {json.dumps(size)}; write the height and width of its images into the "
            "network's config.json"
        )
    if sides[0] % multiple or sides[1] % multiple:
        raise InputError(
            f"the network has sample_size = {json.dumps(size)}; with {multiple.bit_length()} levels, it should be a "
            f"multiple of {multiple}"
        )
    return sides[0], sides[1]
