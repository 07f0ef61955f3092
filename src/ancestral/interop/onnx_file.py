"""The network of a model as an ONNX file, with all that sampling needs as metadata; of latents also the decoder's.

Inputs are x, float32 (batch, *shape), index = t − 1, int64 (batch,), for models with classes labels, int64 (batch,),
negative for "no class", and each of the other conditions. The output is the prediction of the network, float32 of the
shape of x, with twice as many channels where the variance is learned. The metadata are the facts of `exported_network`
and the tables of the target, with a recipe that numpy can follow.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ancestral.base import storage
from ancestral.base.errors import InputError, install_command
from ancestral.base.options import option
from ancestral.interop.exported_network import check_file, decoder_of, example_conditions, sampling_facts
from ancestral.model import Model

ESTIMATE = """\
    answer = output_scale[t-1] * network(x = input_scale[t-1] * x, index = t-1, conditions), its first shape[0] channels
    x0 = (target_eps[t-1] * x - noise[t] * answer) / (signal[t] * target_eps[t-1] - noise[t] * target_x0[t-1])"""
"""At t = 1..T the network's input is `input_scale` times x_t, and the estimate of the target `output_scale` times its
output. The target is `target_x0` x_0 + `target_eps` ε."""
OUTPUT = "output"
MOST_ONNX_BYTES = 2_000_000_000
"""An ONNX file is a protocol buffer, which holds at most 2 GiB."""


def write_onnx(model: Model, path: Path) -> list[Path]:
    """Write the file atomically; of a model of latents also the file of its decoder.

    Args:
        model: The model, on the CPU.
        path: The file. That of the decoder lies beside it: model.decoder.onnx beside model.onnx.

    Returns:
        The paths of the files, the network's first.

    Raises:
        InputError: Without the extra `onnx`, for a path that is a folder, and for a network that is too large.
    """
    if sum(p.numel() * p.element_size() for p in model.diffusion.parameters()) > MOST_ONNX_BYTES:
        raise InputError(
            f"the network's weights are over 2 GB, which one ONNX file cannot hold; use {option('to', 'pt2')}"
        )
    try:
        import onnx  # noqa: F401  # the exporter's own error is less clear
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(f"ONNX files need two more packages: {install_command('onnx')}") from None
    check_file(path)
    if OUTPUT in model.spec.conditions:
        raise InputError(f"the output of an ONNX file is called {OUTPUT}, as a condition of this model is: rename that")
    net = model.diffusion.net.float().eval()
    inputs = {"x": torch.zeros(2, *model.spec.x_shape), "index": torch.zeros(2, dtype=torch.int64)}
    inputs |= example_conditions(model)
    decoder, place = decoder_of(model, path), None
    if decoder is not None:
        half, latents, place = decoder
        _write(half, {"z": latents}, place, {"ancestral": json.dumps(model.version)})
    facts = sampling_facts(model, ESTIMATE, place) | model.diffusion.target.tables(model.denoiser.schedule)
    named = _Positional(net, tuple(inputs)).eval() if model.spec.further else net
    _write(named, inputs, path, {name: json.dumps(value) for name, value in facts.items()})
    return [path, *([] if place is None else [place])]


def _write(net: nn.Module, inputs: dict[str, Tensor], path: Path, facts: dict[str, str]) -> None:
    """Export a network that is called with these inputs in their order, for batches of any size."""
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in inputs}
    first = next(iter(inputs))
    shapes[first] = {0: torch.export.Dim("batch")}  # one name for all, since they have the same size
    # it logs each operation that it does not fold, which changes nothing
    logging.getLogger("onnxscript.optimizer._constant_folding").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # raised by torch's exporter about itself
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        program = torch.onnx.export(
            net,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=[OUTPUT],
            dynamic_shapes={"inputs": tuple(shapes.values())} if isinstance(net, _Positional) else shapes,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(facts)
    with storage.atomic(path) as temporary:
        program.save(temporary, external_data=False)


class _Positional(nn.Module):
    """A network whose inputs have an order in the place of names."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self.net(**dict(zip(self.names, inputs, strict=True)))
        return out
