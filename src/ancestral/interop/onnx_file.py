"""The network of a model as an ONNX file, with all that sampling needs as metadata; of latents also the decoder's.

Inputs are x, float32 (batch, *shape), index = t − 1, int64 (batch,), for models with classes labels, int64 (batch,),
negative for "no class", and each of the other conditions by its name, as its `encode` makes it. The output is the
prediction of the network, float32 of the shape of x, with twice as many channels where the variance is learned. The
metadata is JSON: a_t and b_t (signal and noise, t = 0..T), the target, the shape, the codec with its limits (the values
that −1 and 1 stand for), the classes, the other conditions, and a recipe of sampling that numpy can follow. Of a model
of latents the shape is theirs, and `decoder` the name of a second file, whose input z are latents and whose output are
items in [−1, 1].
"""

import dataclasses
import json
import logging
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.base import storage
from ancestral.base.errors import InputError, install_command
from ancestral.base.options import option
from ancestral.conditions import Condition, argument_name
from ancestral.model import Model
from ancestral.model.building import sampler_for, sampler_name
from ancestral.nets.autoencoder import Decoder
from ancestral.samplers import DDIM, Consistency

SAMPLING = """\
x = prior_std * normal noise of shape (n, *shape)
for each t in times but the last, with the s that follows it in times, and its std in fresh_noise_std:
    answer = output_scale[t-1] * network(x = input_scale[t-1] * x, index = t-1, conditions), its first shape[0] channels
    x0 = (target_eps[t-1] * x - noise[t] * answer) / (signal[t] * target_eps[t-1] - noise[t] * target_x0[t-1])
    x0 = x0 clipped to [-clip, clip], unless clip is null
    eps = (x - signal[t] * x0) / noise[t]
    x = signal[s] * x0 + sqrt(noise[s]^2 - std^2) * eps + std * normal noise
x = output of the network in the file decoder, which is beside this one, for z = x, unless decoder is null
item = low + (x + 1) / 2 * (high - low), with low, high = limits; of integers rounded, and clipped to the limits"""
"""Sampling, in the names of the metadata. DDIM and consistency models differ in `fresh_noise_std` alone."""
MASKED = "; the last channel of values is 1 where the image is known, and -1 where it is not and the others are 0"
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
    if path.is_dir():
        raise InputError(f"{path} is a folder; give {option('out')} a file that ends in .onnx")
    if sum(p.numel() * p.element_size() for p in model.diffusion.parameters()) > MOST_ONNX_BYTES:
        raise InputError(
            f"the network's weights are over 2 GB, which one ONNX file cannot hold; use {option('to', 'diffusers')}"
        )
    try:
        import onnx  # noqa: F401  # the exporter's own error is less clear
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(f"ONNX files need two more packages: {install_command('onnx')}") from None
    storage.check_writable(path.parent)  # before the minutes that the export takes
    net, spec, written = model.diffusion.net.float().eval(), model.spec, [path]
    inputs = {"x": torch.zeros(2, *spec.x_shape), "index": torch.zeros(2, dtype=torch.int64)}
    if OUTPUT in spec.conditions:
        raise InputError(f"the output of an ONNX file is called {OUTPUT}, as a condition of this model is: rename that")
    for name, kind in spec.conditions.items():
        inputs[argument_name(name)] = kind.absent(2, spec.x_shape[1:])
    if spec.autoencoder is not None:
        written.append(path.with_suffix(f".decoder{path.suffix}"))
        half = Decoder(spec.autoencoder.float(), spec.shape[1:]).eval()
        _write(half, {"z": torch.zeros(2, *spec.x_shape)}, written[1], {"ancestral": json.dumps(model.version)})
    named = _Positional(net, tuple(inputs)).eval() if spec.further else net
    _write(named, inputs, path, metadata(model, *(file.name for file in written[1:])))
    return written


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


def metadata(model: Model, decoder: str | None = None) -> dict[str, str]:
    """Return the metadata, whose values are JSON. `decoder` is the name of the decoder's file.

    At t = 1..T the network's input is `input_scale` times x_t, and the estimate of the target `output_scale` times its
    output. The target is `target_x0` x_0 + `target_eps` ε. `SAMPLING` says what is done with them.
    """
    schedule, spec, target = model.denoiser.schedule, model.spec, model.diffusion.target
    values = {
        "ancestral": model.version,
        "schedule": schedule.spec,
        "signal": schedule.signal.tolist(),
        "noise": schedule.noise.tolist(),
        "prior_std": schedule.prior_std,
        "target": target.name,
        **model.diffusion.target.tables(model.denoiser.schedule),
        "learned_variance": model.diffusion.learned_variance,
        "shape": spec.x_shape,
        "decoder": decoder,
        "codec": spec.codec.kind,
        "limits": spec.codec.limits,
        "classes": spec.classes,
        "conditions": {name: _described(kind, spec.x_shape[1:]) for name, kind in spec.further.items()},
        **_recipe(model),
    }
    return {name: json.dumps(value) for name, value in values.items()}


def _described(kind: Condition, sides: Sequence[int]) -> dict[str, Any]:
    """A condition besides the label: its kind, the input of the network, its value where it is absent, and the rest."""
    nothing = kind.absent(1, sides)
    return {
        "kind": type(kind).__name__,
        "shape": nothing.shape[1:],
        "dtype": str(nothing.dtype).removeprefix("torch."),
        "absent": nothing.flatten()[0].item(),
        "encoded": kind.encoding + (MASKED if kind.masked else ""),
        **dataclasses.asdict(kind),
    }


def _recipe(model: Model) -> dict[str, Any]:
    """The times, the clip and the deviations of fresh noise of the model's own sampler, or of DDIM if it is another."""
    schedule, sampler = model.denoiser.schedule, model.sampler()
    if not isinstance(sampler, DDIM | Consistency):
        sampler = sampler_for(model.denoiser, "ddim")
        assert isinstance(sampler, DDIM)
    times = sampler.times(schedule)
    if isinstance(sampler, DDIM):
        deviations = [sampler.eta * schedule.posterior_variance(t, s) ** 0.5 for t, s in pairwise(times)]
    else:
        deviations = [schedule.at(s)[1] for s in times[1:]]
    return {
        "sampling": SAMPLING,
        "sampler": sampler_name(sampler),
        "times": times,
        "clip": sampler.clip,
        "fresh_noise_std": deviations,
    }
