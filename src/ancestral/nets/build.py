"""From a kind of network and its settings to an untrained network."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import NETWORKS
from ancestral.conditions import Condition, check
from ancestral.nets.mlp import MLP
from ancestral.nets.transformer import Transformer
from ancestral.nets.unet import UNet

DRAWING_FUNCTIONS = {Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}
"""Functions that draw initial weights."""


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


def check_weights(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Check that a network has weights of these names and shapes, before any memory is allocated for it.

    Args:
        make: Builds the network.
        tensors: The weights by name.

    Raises:
        InputError: If it has others.
    """
    if weight_shapes(make) != {name: value.shape for name, value in tensors.items()}:
        raise InputError("the weights do not fit the network of its settings")


def weight_shapes(make: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    """Return the shapes of the weights of a network by name, without memory for them; {} if one has none in 64 bits.

    Args:
        make: Builds the network.
    """
    try:
        with _WithoutValues():
            return {name: value.shape for name, value in make().state_dict().items()}
    except (RuntimeError, OverflowError):
        return {}


class _WithoutValues(TorchFunctionMode):
    """Make the weights of layers on the device "meta", which has shapes and no values, and draw none.

    `torch.device("meta")` as a context would draw them: the first random number there imports modules for two seconds.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in DRAWING_FUNCTIONS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **{**kwargs, "device": "meta"} if function is torch.empty else kwargs)


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
    return Transformer(
        channels,
        image_size=max(sides),
        out_channels=factor * channels,
        classes=classes,
        dims=len(sides),
        **settings,
    )


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
