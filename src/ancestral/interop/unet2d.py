"""The U-Net as diffusers' `UNet2DModel`: its config and the names of its weights, both ways.

Both networks hold the same numbers in the same shapes, except in attention: q, k and v are one 1×1 convolution here and
three dense layers there. What one side cannot represent is refused by name.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import nets
from ancestral.base.errors import InputError
from ancestral.config import UNetConfig
from ancestral.config.data_config import plain_image_size
from ancestral.config.model_config import MOST_PATCH
from ancestral.nets import UNet
from ancestral.nets.unet import NOUNS, SelfAttention, UNetBlock

Obstacle = tuple[str, dict[str, Any]]
"""A property that diffusers cannot represent, and the settings of a model without it."""

FIXED: dict[str, tuple[Any, Any]] = {
    "center_input_sample": (False, False),
    "time_embedding_type": ("positional", "positional"),
    "freq_shift": (1, 0),
    "flip_sin_to_cos": (False, True),
    "mid_block_type": ("UNetMidBlock2D", "UNetMidBlock2D"),
    "mid_block_scale_factor": (1, 1),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "conv"),
    "upsample_type": ("conv", "conv"),
    "act_fn": ("silu", "silu"),
    "norm_eps": (1e-6, 1e-5),
    "resnet_time_scale_shift": ("default", "default"),
    "add_attention": (True, True),
    "class_embed_type": (None, None),
    "num_class_embeds": (None, None),
}
"""Settings of `UNet2DModel` that are fixed in ancestral's U-Net, the DDPM paper's: its value, and `UNet2DModel`'s
default, which is the meaning of a missing key."""

UNET_DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "time_embedding_dim": None,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "dropout": 0.0,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "num_train_timesteps": None,
    **{key: default for key, (_, default) in FIXED.items()},
}
"""The defaults of `UNet2DModel`."""

PATCH = "_ancestral_patch"
"""The key of the side of the blocks of pixels that are folded into channels, which diffusers does not read."""
BLOCK_TYPES = {"down": ("DownBlock2D", "AttnDownBlock2D"), "up": ("UpBlock2D", "AttnUpBlock2D")}
"""The types of a level without and with attention."""
LARGEST_SIZE = 2**16
"""Upper bound of widths, sides and depths, so that a damaged config cannot exhaust the memory."""
HINTS = {
    "attention_head_dim": ": several heads",
    "out_channels": ": a learned variance, or conditions on another image",
}
"""Meaning of an unsupported setting."""

BLOCK_LAYERS = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "conv_shortcut",
}
ATTENTION_LAYERS = {"norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"), "out": ("to_out.0",)}
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention layers in diffusers before version 0.15."""


def obstacles(net: nn.Module, shape: tuple[int, ...]) -> Iterator[Obstacle]:
    """Yield what no `UNet2DModel` can represent of a network for items of a shape, each with settings that help."""
    if not isinstance(net, UNet):
        yield (
            f"a UNet2DModel is a U-Net for images, and the network of this model is of the class {type(net).__name__}",
            {},
        )
        return
    if net.dims != 2:
        yield f"a UNet2DModel holds images, and this model is of {NOUNS[net.dims]}", {}
        return
    if net.periodic:
        yield "the network pads periodic axes with their other end", {"periodic": "none"}
    if net.narrow:
        yield "the network changes its width where it changes the resolution", {"narrow": False}
    height, width = shape[-2:]
    if height % net.multiple or width % net.multiple:
        size = plain_image_size((-(-height // net.multiple) * net.multiple, -(-width // net.multiple) * net.multiple))
        text = f"images of {height}x{width} are padded to multiples of {net.multiple} inside the network"
        yield text, {"image_size": size}
    groups = _groups(net)
    if len(groups) > 1:
        text = f"the group norms have {', '.join(map(str, groups))} groups, where diffusers has one number for all"
        yield text, {"groups": math.gcd(*groups)}


def _groups(net: nn.Module) -> list[int]:
    return sorted({module.num_groups for module in net.modules() if isinstance(module, nn.GroupNorm)})


def to_config(net: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the config of the `UNet2DModel` that computes what a network does for items of a shape, apart from labels.

    A `UNet2DModel` has no layer that folds pixels into channels. So with a patch its images are folded already: noise
    of folded images is that of images, and `torch.nn.functional.pixel_shuffle` unfolds samples.

    Raises InputError if no `UNet2DModel` computes it.
    """
    for problem, _ in obstacles(net, shape):
        raise InputError(problem)
    assert isinstance(net, UNet)
    height, width = (side // net.patch for side in shape[-2:])
    folded = {} if net.patch == 1 else {PATCH: net.patch}
    levels: list[list[UNetBlock]] = [[]]
    for module in net.down:
        if isinstance(module, UNetBlock):
            levels[-1].append(module)
        else:  # the downsampling that ends a level
            levels.append([])
    attends = [isinstance(level[-1].attention, SelfAttention) for level in levels]
    return {
        "_class_name": "UNet2DModel",
        "sample_size": height if height == width else [height, width],
        "in_channels": net.channels * net.patch**2,
        "out_channels": net.out.out_channels,
        "block_out_channels": [level[-1].block.conv2.out_channels for level in levels],
        "down_block_types": [BLOCK_TYPES["down"][attend] for attend in attends],
        "up_block_types": [BLOCK_TYPES["up"][attend] for attend in reversed(attends)],
        "layers_per_block": len(levels[-1]),
        "dropout": levels[-1][-1].block.dropout.p,
        "attention_head_dim": None,
        "norm_num_groups": _groups(net)[0],
        **folded,
        **{key: value for key, (value, _) in FIXED.items()},
    }


def from_config(config: dict[str, Any]) -> tuple[UNetConfig, tuple[int, int, int]]:
    """Return the settings of the U-Net for the config of a `UNet2DModel`, and the shape (C, H, W) of its images.

    `to_config` describes a U-Net of these settings in turn. Raises InputError if that differs from `config`: then the
    network is another.
    """
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise InputError(f"the network is a {kind}; ancestral reads UNet2DModel, the U-Net of unconditional images")
    for key, value in config.items():
        if not key.startswith("_") and key not in UNET_DEFAULTS and value not in (None, False):
            raise InputError(f"the network has the setting {key} = {json.dumps(value)}, which ancestral does not know")
    settings = UNET_DEFAULTS | config
    widths = _integers(settings["block_out_channels"], "block_out_channels")
    blocks, channels, groups = (
        _integers([settings[key]], key)[0] for key in ("layers_per_block", "in_channels", "norm_num_groups")
    )
    width, dropout = widths[0], settings["dropout"]
    height, side = _sides(settings["sample_size"], 2 ** (len(widths) - 1))
    multiples = width % 2 == 0 and width >= 4 and not any(other % width for other in widths)
    _require(multiples, f"block_out_channels = {widths}; ancestral's levels are multiples of an even first one")
    divides = not any(other % groups for other in widths)
    _require(divides, f"norm_num_groups = {groups}, which should divide block_out_channels = {widths}")
    sane = type(dropout) in (int, float) and 0 <= dropout < 1
    _require(sane, f"dropout = {json.dumps(dropout)}; it should be from 0 to below 1")
    types = settings["down_block_types"]
    attends = [kind == BLOCK_TYPES["down"][1] for kind in types] if isinstance(types, list) else []
    patch = _integers([settings.get(PATCH, 1)], PATCH)[0]
    _require(patch <= MOST_PATCH and channels % patch**2 == 0, f"{PATCH} = {patch}, and {channels} channels")
    shape = (channels // patch**2, patch * height, patch * side)
    unet = UNetConfig(
        width=width,
        mults=tuple(other // width for other in widths),
        blocks=blocks,
        attention=tuple(max(height, side) >> level for level, attend in enumerate(attends) if attend),
        dropout=float(dropout),
        patch=patch,
        groups=groups,
    )
    with torch.device("meta"):
        ours = UNET_DEFAULTS | to_config(nets.build(shape=shape, **dataclasses.asdict(unet)), shape)
    attending = {other for other, attend in zip([*widths, widths[-1]], [*attends, True], strict=False) if attend}
    same: dict[str, list[Any]] = {
        "act_fn": ["swish"],
        "attn_norm_num_groups": [groups],
        "time_embedding_dim": [4 * width],
    }
    same["attention_head_dim"] = list(attending) if len(attending) == 1 else []  # one head
    for key, value in ours.items():
        if key in ("_class_name", "sample_size", "dropout", "num_train_timesteps"):
            continue
        accepted = map(json.dumps, [value, *same.get(key, [])])
        default, hint = "" if key in config else " (UNet2DModel's default)", HINTS.get(key, "")
        _require(
            json.dumps(settings[key]) in accepted,
            f"{key} = {json.dumps(settings[key])}{default}{hint}; ancestral's U-Net, the DDPM paper's, has "
            f"{json.dumps(value)}, so this model cannot be imported",
        )
    return unet, shape


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise InputError(f"the network has {problem}")


def _integers(values: Any, key: str) -> list[int]:
    """The value of `key`, which must be positive integers."""
    positive = isinstance(values, list) and values and all(type(n) is int and 0 < n <= LARGEST_SIZE for n in values)
    _require(bool(positive), f"{key} = {json.dumps(values)}, which should be whole numbers from 1 up")
    integers: list[int] = values
    return integers


def _sides(size: Any, multiple: int) -> tuple[int, int]:
    """Height and width of the images, which must be known and must not be padded inside the network."""
    sides = size if isinstance(size, list) else [size, size]
    two_sides = len(sides) == 2 and all(type(side) is int and 0 < side <= LARGEST_SIZE for side in sides)
    setting = f"sample_size = {json.dumps(size)}"
    _require(two_sides, f"{setting}; write the height and width of its images into the network's config.json")
    whole = not any(side % multiple for side in sides)
    _require(whole, f"{setting}; with {multiple.bit_length()} levels, it should be a multiple of {multiple}")
    return sides[0], sides[1]


def to_weights(net: UNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a `UNet2DModel` from that of a network, without its label embedding."""
    names, weights = _layer_names(net), {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if ".attention." in layer and tensor.ndim == 4:
            tensor = tensor.flatten(1)  # a 1×1 convolution is a dense layer
        for theirs, part in zip(names[layer], tensor.chunk(len(names[layer])), strict=True):
            weights[f"{theirs}.{kind}"] = part
    return weights


def from_weights(net: UNet, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a network, in float32, from that of a `UNet2DModel` of any version.

    Raises InputError if a tensor is missing, left over, of another shape, or does not hold floats.
    """
    ours = net.state_dict()
    expected = to_weights(net, ours)
    tensors = {_current_name(name): tensor for name, tensor in weights.items()}
    absent, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if absent or surplus:
        differ = f"lack {absent[0]}" if absent else f"have {surplus[0]} too many"
        raise InputError(f"the weights {differ}, so they are not of the network that its config.json describes")
    for name, tensor in tensors.items():
        shape = expected[name].shape
        if not tensor.is_floating_point():
            raise InputError(f"the weights {name} are {tensor.dtype}; give a model with floating-point weights")
        if tensor.shape not in (shape, (*shape, 1, 1)):  # old attention may be a 1×1 convolution too
            raise InputError(
                f"the weights {name} have the shape {list(tensor.shape)} where its config.json asks for {list(shape)}"
            )
    names, state = _layer_names(net), {}
    for name, tensor in ours.items():
        layer, _, kind = name.rpartition(".")
        parts = [tensors[f"{theirs}.{kind}"].float() for theirs in names[layer]]
        state[name] = torch.cat(parts).reshape(tensor.shape)
    return state


def _layer_names(net: UNet) -> dict[str, tuple[str, ...]]:
    """The names in diffusers of each layer: one, or the three that correspond to qkv."""
    names: dict[str, tuple[str, ...]] = {
        "time.0": ("time_embedding.linear_1",),
        "time.2": ("time_embedding.linear_2",),
        "stem": ("conv_in",),
        "norm": ("conv_norm_out",),
        "out": ("conv_out",),
    }
    for part, sampler in (("down", "downsamplers"), ("up", "upsamplers")):
        level = block = 0
        for number, module in enumerate(getattr(net, part)):
            if isinstance(module, UNetBlock):
                names |= _stage_names(module, f"{part}.{number}", f"{part}_blocks.{level}", block, block)
                block += 1
            else:  # the resampling that ends a level
                names[f"{part}.{number}.conv"] = (f"{part}_blocks.{level}.{sampler}.0.conv",)
                level, block = level + 1, 0
    for number, module in enumerate(net.middle):
        assert isinstance(module, UNetBlock)
        names |= _stage_names(module, f"middle.{number}", "mid_block", number, 0)
    return names


def _stage_names(stage: UNetBlock, ours: str, theirs: str, block: int, attention: int) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {
        f"{ours}.block.{layer}": (f"{theirs}.resnets.{block}.{name}",) for layer, name in BLOCK_LAYERS.items()
    }
    if isinstance(stage.attention, SelfAttention):
        for layer, parts in ATTENTION_LAYERS.items():
            names[f"{ours}.attention.{layer}"] = tuple(f"{theirs}.attentions.{attention}.{part}" for part in parts)
    return names


def _current_name(name: str) -> str:
    """The name of a tensor in current versions: attention's query is to_q."""
    head, _, kind = name.rpartition(".")
    layer, _, old = head.rpartition(".")
    return f"{layer}.{OLD_NAMES[old]}.{kind}" if old in OLD_NAMES and ".attentions." in layer else name
