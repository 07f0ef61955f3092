"""The state of a training run as tensors by name, and back: for one process or many, replicated or sharded."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral.training.distributed import Distributed
from ancestral.training.ema import Average

OPTIMISER_STATE = ("step", "exp_avg", "exp_avg_sq", "momentum")
"""What Adam keeps of a parameter, and Muon of a matrix."""


def collect(
    distributed: Distributed, net: nn.Module, averages: Mapping[str, Average], optimiser: Optimizer
) -> dict[str, Tensor]:
    """Copy weights, averages and the optimiser's moments to the CPU, by parameter name. All processes take part."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        tensors |= {f"adam.{key}.{name}": optimiser.state[parameter][key] for key in optimiser.state[parameter]}
    return {name: _copied(distributed.full(value)) for name, value in tensors.items()} | collect_averages(
        distributed, net, averages
    )


def collect_averages(distributed: Distributed, net: nn.Module, averages: Mapping[str, Average]) -> dict[str, Tensor]:
    """Copy averages to the CPU, by their prefixes and parameter names. All processes take part."""
    return {
        f"{prefix}{name}": _copied(distributed.full(weight))
        for prefix, average in averages.items()
        for (name, _), weight in zip(net.named_parameters(), average.weights, strict=True)
    }


def restore(
    tensors: Mapping[str, Tensor],
    distributed: Distributed,
    net: nn.Module,
    averages: Mapping[str, Average],
    optimiser: Optimizer,
) -> None:
    """Take up what `collect` returned.

    Raises:
        KeyError, RuntimeError, ValueError: If it is of another network.
    """
    own = net.state_dict()
    saved = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
    old = own.keys() != saved.keys() and all(name.startswith("net.") for name in saved)
    prefix = "net." if old else ""  # versions before 0.2 wrapped some networks in one that scaled
    if own.keys() != {name.removeprefix(prefix) for name in saved}:
        raise KeyError("the network has other weights")
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in own.items():
        value.copy_(distributed.like(value, _same_shape(saved[prefix + name], value)))
    for number, (name, parameter) in enumerate(net.named_parameters()):
        for key, average in averages.items():
            saved_average = _same_shape(tensors[f"{key}{prefix}{name}"], parameter)
            average.weights[number].copy_(distributed.like(parameter, saved_average))
        found = {key: tensors.get(f"adam.{key}.{prefix}{name}") for key in OPTIMISER_STATE}
        moments = {
            key: distributed.like(parameter, _same_shape(value, parameter)) if value.ndim else value.clone()
            for key, value in found.items()
            if value is not None
        }
        if moments:
            state[number] = moments
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def averaged(distributed: Distributed, net: nn.Module, ema: Average) -> Iterator[tuple[str, Tensor]]:
    """Yield the averaged weights by parameter name, gathered. All processes take part."""
    for (name, _), weight in zip(net.named_parameters(), ema.weights, strict=True):
        yield name, distributed.full(weight)


def _copied(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, in memory of its own: training goes on while it is written."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _same_shape(saved: Tensor, own: Tensor) -> Tensor:
    if saved.shape != own.shape:
        raise ValueError("a weight has another shape")
    return saved
