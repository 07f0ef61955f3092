"""The state of a training run as tensors by name, and back: for one process or many, replicated or sharded."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral.errors import InputError
from ancestral.training.distributed import Distributed
from ancestral.training.ema import Average

Own = Mapping[str, nn.Parameter]
"""Parameters of the objective itself, by name."""


def collect(
    distributed: Distributed, net: nn.Module, averages: Mapping[str, Average], optimiser: Optimizer, own: Own
) -> dict[str, Tensor]:
    """Copy weights, averages and the optimiser's moments to the CPU, by parameter name. All processes take part."""
    tensors: dict[str, Tensor] = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"objective.{name}": value for name, value in own.items()}
    for prefix, name, parameter in _moments(net, own):
        for key, value in optimiser.state[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{key}.{name}"] = value
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


def optimiser_numbers(net: nn.Module, optimiser: Optimizer, own: Own) -> dict[str, Any]:
    """Collect what an optimiser keeps that is no tensor, as JSON can hold it: of parameter groups and of parameters.

    The name of its class is among them.

    Raises:
        InputError: If it keeps something else, which no checkpoint could hold.
    """
    groups = [
        {key: value for key, value in group.items() if type(value) in NUMBERS} for group in optimiser.param_groups
    ]
    state: dict[str, dict[str, Any]] = {}
    for prefix, name, parameter in _moments(net, own):
        rest = {key: value for key, value in optimiser.state[parameter].items() if not isinstance(value, Tensor)}
        for key, value in rest.items():
            if type(value) not in NUMBERS:
                raise InputError(
                    f"the optimiser keeps a {type(value).__name__} as {key!r}, which no checkpoint can hold"
                )
        state[f"{prefix}.{name}"] = rest
    return {"kind": type(optimiser).__name__, "groups": groups, "state": state}


NUMBERS = (int, float, bool, type(None))
"""What a checkpoint holds of an optimiser besides tensors."""


def _moments(net: nn.Module, own: Own) -> Iterator[tuple[str, str, nn.Parameter]]:
    """The prefix of the moments in checkpoints, the name and the parameter: of the network, then of the objective."""
    yield from (("adam", name, parameter) for name, parameter in net.named_parameters())
    yield from (("objective-adam", name, parameter) for name, parameter in own.items())


def restore(
    tensors: Mapping[str, Tensor],
    distributed: Distributed,
    net: nn.Module,
    averages: Mapping[str, Average],
    optimiser: Optimizer,
    own: Own,
    numbers: Mapping[str, Any] | None = None,
) -> None:
    """Take up what `collect` returned, and `optimiser_numbers` of an optimiser of one's own.

    Raises:
        InputError: If it is of an optimiser of another class.
        KeyError, RuntimeError, ValueError: If it is of another network.
    """
    kind = type(optimiser).__name__
    if numbers is not None and numbers.get("kind", kind) != kind:  # earlier versions kept no name
        raise InputError(
            f"the run was trained with the optimiser {numbers['kind']}, so it cannot go on with {kind}; give "
            f"{numbers['kind']} again, or start a new run with --out"
        )
    weights = net.state_dict()
    saved = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
    old = weights.keys() != saved.keys() and all(name.startswith("net.") for name in saved)
    prefix = "net." if old else ""  # versions before 0.2 wrapped some networks in one that scaled
    if weights.keys() != {name.removeprefix(prefix) for name in saved}:
        raise KeyError("the network has other weights")
    state: dict[int, dict[str, Any]] = {}
    if own.keys() != {name[10:] for name in tensors if name.startswith("objective.")}:
        raise KeyError("the objective has other parameters")
    for name, parameter in own.items():
        parameter.data.copy_(_same_shape(tensors[f"objective.{name}"], parameter))
    for name, value in weights.items():
        value.copy_(distributed.like(value, _same_shape(saved[prefix + name], value)))
    for number, (name, parameter) in enumerate(net.named_parameters()):
        for key, average in averages.items():
            saved_average = _same_shape(tensors[f"{key}{prefix}{name}"], parameter)
            average.weights[number].copy_(distributed.like(parameter, saved_average))
    places = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    order = {id(parameter): place for place, parameter in enumerate(places)}
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(("adam.", "objective-adam.")):
            kind, part, name = key.split(".", 2)
            moments.setdefault(f"{kind}.{name}", {})[part] = value
    for kind, name, parameter in _moments(net, own):
        saved_name = f"{kind}.{prefix if kind == 'adam' else ''}{name}"
        found: dict[str, Any] = {
            key: distributed.like(parameter, value) if value.shape == parameter.shape else value.clone()
            for key, value in moments.get(saved_name, {}).items()
        }
        if numbers is not None:
            found |= numbers["state"][saved_name]
        if found:
            state[order[id(parameter)]] = found
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    if numbers is not None:
        for group, values in zip(optimiser.param_groups, numbers["groups"], strict=True):
            group.update(values)


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
