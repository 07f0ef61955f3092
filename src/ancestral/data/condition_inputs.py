"""What a network gets of the conditions of items."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ancestral import derived
from ancestral.base.device import on_device
from ancestral.conditions import argument_name
from ancestral.data.spec import DataSpec


def inputs(
    spec: DataSpec, x0: Tensor, values: Mapping[str, Tensor], seed: int, step: int, indices: Sequence[int]
) -> dict[str, Tensor]:
    """Make what a network gets of the conditions besides the label.

    Args:
        spec: The description of the data.
        x0: Clean items (B, *) in [−1, 1], not their latents, of which conditions are made.
        values: The values of the other conditions, as `Dataset.conditions_of` returns them; what is missing is absent.
        seed: Seed of random operators.
        step: The training step, of which their draws depend too.
        indices: The index of each item in the random numbers.

    Returns:
        Inputs of the network by name, on the device of x0.
    """
    made = dict[str, Tensor]()
    for name, maker in derived.makers(spec.further).items():
        made[argument_name(name)] = spec.further[name].place(maker.make(x0, seed, step, indices), spec.x_shape[1:])
    values = {name: spec.further[name].drawn(value, seed, step, indices) for name, value in values.items()}
    return encoded(spec, values, len(x0), x0.device, made)


def encoded(
    spec: DataSpec,
    values: Mapping[str, Tensor],
    count: int,
    device: torch.device,
    made: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Encode values of the conditions besides the label for a network; what is left out is absent.

    Args:
        spec: The description of the data.
        values: The values by the names of the conditions, `count` of each, in the units of the data.
        count: The number of items.
        device: The device of the network.
        made: Inputs of the network that are made already, by the names of its arguments.

    Returns:
        Inputs of the network by the names of its arguments.
    """
    inputs, sides = dict(made or {}), spec.x_shape[1:]
    for name, kind in spec.further.items():
        if (argument := argument_name(name)) in inputs:
            continue
        value = values.get(name)
        if value is None:
            inputs[argument] = on_device(kind.absent(count, sides), device)
        else:
            place = value.device if value.dtype == torch.float64 else device  # which not every device has
            encoded_value = kind.encode(on_device(value, place), sides)
            inputs[argument] = on_device(encoded_value, device)
    return inputs
