"""From a kind of network and its settings to an untrained network."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ancestral.conditions import Condition, check
from ancestral.errors import InputError
from ancestral.nets.mlp import MLP
from ancestral.nets.transformer import Transformer
from ancestral.nets.unet import UNet
from ancestral.options import option
from ancestral.registries import NETWORKS


def build(
    kind: str,
    shape: Sequence[int],
    classes: int = 0,
    factor: int = 1,
    conditions: Mapping[str, Condition] | None = None,
    **settings: Any,
) -> nn.Module:
    """Build an untrained network.

    Args:
        kind: A name of `registries.NETWORKS`.
        shape: The shape of an item: (C, *sides) for a U-Net or a transformer, (features,) for an MLP.
        classes: The number of class labels, 0 for none.
        factor: The number of output channels for each input channel: 2 where the variance is learned too.
        conditions: What else it is conditioned on, by name.
        settings: The settings of this kind: those of `config.UNetConfig`, `config.TransformerConfig` or
            `config.MLPConfig`.

    Returns:
        A network `net(x, index, labels=None, keys=None, **conditions)`.

    Raises:
        InputError: If the kind is unknown, or items of this shape do not fit it.
    """
    check(conditions or {}, len(shape) - 1)
    settings["conditions"] = conditions
    net: nn.Module = NETWORKS.find(kind).make(shape, classes or None, factor, settings)
    return net


def takes(net: nn.Module, name: str) -> bool:
    """Tell from the signature of its forward method whether a network takes an argument.

    Args:
        net: The network.
        name: The name of a condition, or "keys", those of counter-based dropout.
    """
    parameters = inspect.signature(net.forward).parameters
    return name in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


def _unet(shape: Sequence[int], classes: int | None, factor: int, settings: dict[str, Any]) -> nn.Module:
    channels, *sides = shape
    if not sides:
        raise InputError("a U-Net is for images, signals and volumes, not for points; take an MLP")
    unet = UNet(
        channels,
        image_size=max(sides),
        out_channels=factor * channels,
        classes=classes,
        dims=len(sides),
        **settings,
    )
    unet.check_size(*sides)
    return unet


def _transformer(shape: Sequence[int], classes: int | None, factor: int, settings: dict[str, Any]) -> nn.Module:
    channels, *sides = shape
    if not sides:
        raise InputError("a transformer is for images, signals and volumes, not for points; take an MLP")
    if settings["patch"] > max(sides):
        size = "x".join(map(str, sides))
        raise InputError(
            f"{option('patch', settings['patch'])} is larger than items of {size}; give at most {max(sides)}"
        )
    return Transformer(channels, out_channels=factor * channels, classes=classes, dims=len(sides), **settings)


def _mlp(shape: Sequence[int], classes: int | None, factor: int, settings: dict[str, Any]) -> nn.Module:
    if len(shape) != 1:
        raise InputError(
            f"an MLP is for points, not for images, signals or volumes; take {option('net', 'unet')}, or other data"
        )
    return MLP(
        shape[0],
        settings["width"],
        settings["blocks"],
        classes,
        out_features=factor * shape[0],
        conditions=settings["conditions"],
    )
