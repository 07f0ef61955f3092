"""All that a training is made of, as tensors by name, and back: for one process or many, copied or shared out."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral.training.distributed import Distributed
from ancestral.training.ema import EMA

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""


def gather(engine: Distributed, net: nn.Module, ema: EMA, optimiser: Optimizer) -> dict[str, Tensor]:
    """Weights, average and Adam's moments by parameter name, whole, on the CPU, in memory of their own.

    All processes take part; what they get is the same.
    """
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    for (name, parameter), average in zip(net.named_parameters(), ema.weights, strict=True):
        tensors[f"ema.{name}"] = average
        tensors |= {f"adam.{key}.{name}": optimiser.state[parameter][key] for key in optimiser.state[parameter]}
    return {name: copied(engine.full(value)) for name, value in tensors.items()}


def scatter(tensors: Mapping[str, Tensor], engine: Distributed, net: nn.Module, ema: EMA, optimiser: Optimizer) -> None:
    """Take up what `gather` gave. Raises KeyError, RuntimeError or ValueError where it is of another network."""
    own = net.state_dict()
    saved = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
    if own.keys() != saved.keys():
        raise KeyError("the network has other weights")
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in own.items():
        value.copy_(engine.like(value, _fitting(saved[name], value)))
    for number, (name, parameter) in enumerate(net.named_parameters()):
        ema.weights[number].copy_(engine.like(parameter, _fitting(tensors[f"ema.{name}"], parameter)))
        if f"adam.step.{name}" in tensors:
            moments = {key: tensors[f"adam.{key}.{name}"] for key in ADAM_STATE}
            state[number] = {
                key: engine.like(parameter, _fitting(value, parameter)) if value.ndim else value.clone()
                for key, value in moments.items()
            }
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def averaged(engine: Distributed, net: nn.Module, ema: EMA) -> Iterator[tuple[str, Tensor]]:
    """The averaged weights by parameter name, whole. All processes take part."""
    for (name, _), weight in zip(net.named_parameters(), ema.weights, strict=True):
        yield name, engine.full(weight)


def copied(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, in memory of its own: training goes on while it is written."""
    tensor = tensor.detach()
    return tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)


def _fitting(saved: Tensor, own: Tensor) -> Tensor:
    if saved.shape != own.shape:
        raise ValueError("a weight has another shape")
    return saved
