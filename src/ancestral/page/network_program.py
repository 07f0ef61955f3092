"""The network of a model as a static program for network.js: a list of calls of the kernels of kernels.c.

`torch.export` gives the operations of one evaluation for one item. They are compiled here, so that the browser only
loops over calls: all shapes are known, views are strides of the memory that they look at, what depends on weights
alone is computed, neighbours are joined (a convolution with the addition after it, a norm with its SiLU), and every
result has its place in one memory.

Inputs are those of the ONNX file (`exported_network`) for one item, but `index` = t − 1 may lie between integers. All
numbers are float32 in the memory, those of classes too. A model of latents has a program for each half of its
autoencoder too.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._decomp import get_decompositions

from ancestral.base.errors import InputError
from ancestral.conditions import NOISE, argument_name
from ancestral.model import Model
from ancestral.nets import drawn_noise
from ancestral.nets.autoencoder import Decoder, Encoder
from ancestral.nets.unet import UpsampleLayer
from ancestral.page.aten_operations import KEPT_WHOLE, SPLIT
from ancestral.page.program_builder import Value, rounded
from ancestral.page.program_operations import Translation


@dataclass(frozen=True)
class NetworkProgram:
    """A program and its weights.

    Attributes:
        program: What network.js reads, to be written as JSON: `memory`, the number of bytes; `inputs` by name and
            `output`, with `offset`, `shape` and, of inputs, `dtype`; `prepare`, calls to make once; `calls`, those of
            an evaluation. A call is the name of a kernel and its arguments.
        weights: The weights, as `prepare` unpacks them.
    """

    program: dict[str, Any]
    weights: bytes


def compile_model(model: Model) -> dict[str, NetworkProgram]:
    """Compile the network of a model as "denoiser"; of a model of latents also its "encoder" and its "decoder".

    Raises:
        InputError: As `compile_network` does.
    """
    programs, spec = {"denoiser": compile_network(model)}, model.spec
    if spec.autoencoder is not None:
        x, z = (torch.zeros(1, *shape) for shape in (spec.shape, spec.x_shape))
        programs["encoder"] = compile_module(Encoder(spec.autoencoder), {"x": x})
        programs["decoder"] = compile_module(Decoder(spec.autoencoder, spec.shape[1:]), {"z": z})
    return programs


def compile_network(model: Model) -> NetworkProgram:
    """Compile the network of a model for one item.

    Raises:
        InputError: If the network has an operation that the kernels do not have, or cannot be exported by PyTorch.
    """
    inputs = {"x": torch.zeros(1, *model.spec.x_shape), "index": torch.zeros(1)}
    for name, kind in model.spec.conditions.items():
        inputs[argument_name(name)] = kind.absent(1, model.spec.x_shape[1:])
    if (drawn := drawn_noise(model.diffusion.net)) is not None:
        inputs[NOISE] = drawn.absent(1)
    return compile_module(model.diffusion.net, inputs)


def compile_module(net: nn.Module, inputs: Mapping[str, Tensor]) -> NetworkProgram:
    """Compile a module that is called with these inputs by name, whose values do not matter."""
    exported = _exported(_plain(net), dict(inputs))
    translation = Translation()
    constants = {**exported.state_dict, **exported.constants}
    places: dict[str, tuple[Value, str]] = {}
    output: Value | None = None
    specs = iter(exported.graph_signature.input_specs)
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            target = next(specs).target
            if target in constants:
                translation.values[node] = constants[target].detach()
            else:
                value = translation.values[node] = translation.builder.new(node.meta["val"].shape)
                places[node.name] = value, str(node.meta["val"].dtype).removeprefix("torch.")
        elif node.op == "call_function":
            translation.translate(node)
        elif node.op == "output":
            output = translation.builder.dense(translation.value(node.args[0][0]))
    assert output is not None
    return NetworkProgram(translation.builder.placed(places, output), bytes(translation.builder.data))


class _PlainUpsample(nn.Module):
    """`UpsampleLayer` by PyTorch's operations: the kernels repeat pixels for nothing, and each pair of channels has 9
    weights in the place of 16.
    """

    skip = False

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, *_: Tensor | None) -> Tensor:
        """Map (B, width, *sides) to (B, width, *2·sides)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def _plain(net: nn.Module) -> nn.Module:
    """A copy of the network for evaluation in float32, with rounded weights and `_PlainUpsample`."""
    net = copy.deepcopy(net).cpu().float().eval()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, UpsampleLayer):
                setattr(module, name, _PlainUpsample(child.conv))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(rounded(parameter))
    return net


def _exported(net: nn.Module, inputs: dict[str, Tensor]) -> torch.export.ExportedProgram:
    table: Any = torch.export.default_decompositions()
    table.update(get_decompositions(SPLIT))
    for operation in KEPT_WHOLE:
        table.pop(operation, None)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # raised by torch's exporter about itself
            exported: torch.export.ExportedProgram = torch.export.export(net, (), inputs).run_decompositions(table)
    except Exception as error:  # of whatever kind: the network may be anybody's
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"PyTorch cannot export this network, so it cannot run in a browser: {line}") from error
    return exported
