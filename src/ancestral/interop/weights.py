"""The weights of our U-Net under the names of diffusers' `UNet2DModel`, and back.

Both hold the same numbers in the same shapes, but for attention: ours has q, k and v in one 1×1 convolution, theirs are
three dense layers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.nets import UNet
from ancestral.nets.unet import SelfAttention, Stage

BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "conv_shortcut",
}
ATTENTION = {"norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"), "out": ("to_out.0",)}
OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What diffusers called the layers of attention before version 0.15."""


def layers(net: UNet) -> dict[str, tuple[str, ...]]:
    """Each layer of ours, and what diffusers calls it: one name, or the three that share our qkv."""
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
            if isinstance(module, Stage):
                names |= _stage(module, f"{part}.{number}", f"{part}_blocks.{level}", block, block)
                block += 1
            else:  # the resampling that ends a level
                names[f"{part}.{number}.conv"] = (f"{part}_blocks.{level}.{sampler}.0.conv",)
                level, block = level + 1, 0
    for number, module in enumerate(net.middle):
        assert isinstance(module, Stage)
        names |= _stage(module, f"middle.{number}", "mid_block", number, 0)
    return names


def _stage(stage: Stage, ours: str, theirs: str, block: int, attention: int) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {
        f"{ours}.block.{layer}": (f"{theirs}.resnets.{block}.{name}",) for layer, name in BLOCK.items()
    }
    if isinstance(stage.attention, SelfAttention):
        for layer, parts in ATTENTION.items():
            names[f"{ours}.attention.{layer}"] = tuple(f"{theirs}.attentions.{attention}.{part}" for part in parts)
    return names


def to_diffusers(net: UNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a `UNet2DModel` from `state`, that of `net` without its label embedding, if it has one."""
    names = layers(net)
    tensors = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if ".attention." in layer and tensor.ndim == 4:
            tensor = tensor.flatten(1)  # a 1×1 convolution is a dense layer
        for theirs, piece in zip(names[layer], tensor.chunk(len(names[layer])), strict=True):
            tensors[f"{theirs}.{kind}"] = piece
    return tensors


def from_diffusers(net: UNet, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `net`, in float32, from that of a `UNet2DModel`; the names of old versions are known too.

    Raises InputError where a tensor is missing, left over, of another shape, or not of floating-point numbers.
    """
    ours = net.state_dict()
    expected = to_diffusers(net, ours)
    given = {_modern(name): tensor for name, tensor in tensors.items()}
    missing, left_over = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    if missing or left_over:
        differ = f"lack {missing[0]}" if missing else f"have {left_over[0]} too many"
        raise InputError(f"the weights {differ}, so they are not of the network that its config.json describes")
    for name, tensor in given.items():
        shape = expected[name].shape
        if not tensor.is_floating_point():
            raise InputError(f"the weights {name} are {tensor.dtype}; give a model with floating-point weights")
        if tensor.shape not in (shape, (*shape, 1, 1)):  # old attention may be a 1×1 convolution, as ours is
            raise InputError(
                f"the weights {name} have the shape {list(tensor.shape)} where its config.json asks for {list(shape)}"
            )
    names, state = layers(net), {}
    for name, tensor in ours.items():
        layer, _, kind = name.rpartition(".")
        pieces = [given[f"{theirs}.{kind}"].float() for theirs in names[layer]]
        state[name] = torch.cat(pieces).reshape(tensor.shape)
    return state


def _modern(name: str) -> str:
    """The present name of a tensor: attention's query is to_q."""
    head, _, kind = name.rpartition(".")
    layer, _, old = head.rpartition(".")
    return f"{layer}.{OLD[old]}.{kind}" if old in OLD and ".attentions." in layer else name
