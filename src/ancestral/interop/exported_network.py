"""Networks of models as ONNX and torch.export files, with all that sampling needs; of latents also the decoder's.

Each of the conditions besides the label is an input by its name, as its `encode` makes it. The facts are written as
JSON: a_t and b_t (signal and noise, t = 0..T), the target, the shape, the codec with its limits (the values that −1
and 1 stand for), the classes, the other conditions, and a recipe of sampling. Of a model of latents the shape is
theirs, and `decoder` the name of a second file, whose input z are latents and whose output are items in [−1, 1].

Inputs of an ONNX file are x, float32 (batch, *shape), index = t − 1, int64 (batch,), for models with classes labels,
int64 (batch,), negative for "no class", and each of the other conditions. The output is the prediction of the network,
float32 of the shape of x, with twice as many channels where the variance is learned. The metadata are the facts and the
tables of the target, with a recipe that numpy can follow.

A torch.export file (.pt2) holds the denoiser, and PyTorch alone loads it. `torch.export.load(path).module()` is called
as (x_t, t, conditions) with x_t float32 (batch, *shape), t in 1..T, int64 (batch,), and a dict of the conditions in the
order of `inputs`: labels, int64 (batch,), negative for "no class", and each of the others. It answers x̂_0 and ε̂, and
where the variance is learned its fraction, each of the shape of x_t. The extra file `ancestral.json` in it has the
facts. The file holds the graph and the facts as JSON, and the weights as bytes. PyTorch may write pickled parts into
such files, and unpickles whatever a file holds. So no example inputs are kept, which would be pickled, and this package
reads no such file.
"""

import copy
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
from ancestral.conditions import NOISE, Condition, Noise, argument_name
from ancestral.diffusion import Diffusion
from ancestral.model import Model
from ancestral.model.building import sampler_for, sampler_name
from ancestral.nets import drawn_noise
from ancestral.nets.autoencoder import Decoder
from ancestral.samplers import DDIM, Consistency

DRAWN = """\
in each evaluation the input {name} = network_noise_std * normal noise, another for each sample
"""
"""What is more in the sampling of a network that draws noise."""
SAMPLING = """\
x = prior_std * normal noise of shape (n, *shape)
for each t in times but the last, with the s that follows it in times, and its std in fresh_noise_std:
{estimate}
    x0 = x0 clipped to [-clip, clip], unless clip is null
    eps = (x - signal[t] * x0) / noise[t]
    x = signal[s] * x0 + sqrt(noise[s]^2 - std^2) * eps + std * normal noise
x = output of the network in the file decoder, which is beside this one, for z = x, unless decoder is null
item = low + (x + 1) / 2 * (high - low), with low, high = limits; where limits are a list of pairs, one for \
each channel, that of the channel; of integers rounded, and clipped to the limits"""
"""Sampling, in the names of the facts, around the lines that estimate x0. DDIM and consistency models differ in
`fresh_noise_std` alone."""
MASKED = "; the last channel of values is 1 where the image is known, and -1 where it is not and the others are 0"
ONNX_ESTIMATE = """\
    answer = output_scale[t-1] * network(x = input_scale[t-1] * x, index = t-1, conditions), its first shape[0] channels
    x0 = (target_eps[t-1] * x - noise[t] * answer) / (signal[t] * target_eps[t-1] - noise[t] * target_x0[t-1])"""
"""At t = 1..T the network's input is `input_scale` times x_t, and the estimate of the target `output_scale` times its
output. The target is `target_x0` x_0 + `target_eps` ε."""
OUTPUT = "output"
MOST_ONNX_BYTES = 2_000_000_000
"""An ONNX file is a protocol buffer, which holds at most 2 GiB."""
FACTS_FILE = "ancestral.json"
PT2_ESTIMATE = "    x0 = first answer of the program for (x, t, conditions); t and the conditions have n values each"


def check_file(path: Path) -> None:
    """Check that a file can be written, before the minutes that an export takes.

    Args:
        path: The file.

    Raises:
        InputError: If the path is a folder.
        OSError: If files cannot be written beside it.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give {option('out')} a file that ends in {path.suffix}")
    storage.check_writable(path.parent)


def example_conditions(model: Model) -> dict[str, Tensor]:
    """Return inputs of the network for a batch of 2 besides x and the time: conditions that are absent.

    Args:
        model: The model.
    """
    spec, kinds = model.spec, {**model.spec.conditions, **_drawn(model)}
    return {argument_name(name): kind.absent(2, spec.x_shape[1:]) for name, kind in kinds.items()}


def _drawn(model: Model) -> dict[str, Noise]:
    """The noise that the network draws, which these files take as an input, by its name; {} where it draws none."""
    noise = drawn_noise(model.diffusion.net)
    return {} if noise is None else {NOISE: noise}


def decoder_of(model: Model, path: Path) -> tuple[Decoder, Tensor, Path] | None:
    """Return the decoder of a model of latents, latents of a batch of 2, and its file; None of other models.

    Args:
        model: The model.
        path: The file of the network. That of the decoder lies beside it: model.decoder.onnx beside model.onnx.
    """
    spec = model.spec
    if spec.autoencoder is None:
        return None
    decoder = Decoder(spec.autoencoder.float(), spec.shape[1:]).eval()
    return decoder, torch.zeros(2, *spec.x_shape), path.with_suffix(f".decoder{path.suffix}")


def sampling_facts(model: Model, estimate: str, decoder: Path | None) -> dict[str, Any]:
    """Return the facts, of which JSON can be made.

    Args:
        model: The model.
        estimate: The lines of the recipe that make an estimate of x_0 from what the file answers.
        decoder: The file of the decoder.
    """
    schedule, spec = model.denoiser.schedule, model.spec
    kinds = {**spec.further, **_drawn(model)}
    return {
        "ancestral": model.version,
        "schedule": schedule.spec,
        "signal": schedule.signal.tolist(),
        "noise": schedule.noise.tolist(),
        "prior_std": schedule.prior_std,
        "target": model.diffusion.target.name,
        "learned_variance": model.diffusion.learned_variance,
        "shape": spec.x_shape,
        "decoder": None if decoder is None else decoder.name,
        "codec": spec.codec.kind,
        "limits": spec.codec.channel_limits,
        "classes": spec.classes,
        "conditions": {name: _described(kind, spec.x_shape[1:]) for name, kind in kinds.items()},
        "sampling": "".join(DRAWN.format(name=name) for name in _drawn(model)) + SAMPLING.format(estimate=estimate),
        **_recipe(model),
    }


def _described(kind: Condition, sides: Sequence[int]) -> dict[str, Any]:
    """A condition besides the label: its kind, the input of the network, its value where it is absent, and the rest."""
    nothing = kind.absent(1, sides)
    return {
        "kind": type(kind).__name__,
        "shape": nothing.shape[1:],
        "dtype": str(nothing.dtype).removeprefix("torch."),
        "absent": nothing.flatten()[0].item(),
        "encoded": kind.encoding + (MASKED if kind.masked else ""),
        **kind.facts,
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
    drawn = {"network_noise_std": getattr(sampler, "noise", 1.0)} if _drawn(model) else {}
    facts = {"sampler": sampler_name(sampler), "times": times, "clip": sampler.clip, "fresh_noise_std": deviations}
    return facts | drawn


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
        _write_onnx(half, {"z": latents}, place, {"ancestral": json.dumps(model.version)})
    facts = sampling_facts(model, ONNX_ESTIMATE, place) | model.diffusion.target.tables(model.denoiser.schedule)
    named = _Positional(net, tuple(inputs)).eval() if model.spec.further or _drawn(model) else net
    _write_onnx(named, inputs, path, {name: json.dumps(value) for name, value in facts.items()})
    return [path, *([] if place is None else [place])]


def _write_onnx(net: nn.Module, inputs: dict[str, Tensor], path: Path, facts: dict[str, str]) -> None:
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


class ExportedDenoiser(nn.Module):
    """A denoiser at the integer times, whose coefficients are tables: x̂_0 and ε̂ are linear in x_t and the estimate.

    Args:
        diffusion: The denoiser, on the CPU.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        super().__init__()
        schedule, target = diffusion.schedule, diffusion.target
        self.net, self.learned_variance = diffusion.net, diffusion.learned_variance
        a, b = schedule.at(torch.arange(1, schedule.steps + 1))
        one, zero = torch.ones(schedule.steps, dtype=torch.float64), torch.zeros(schedule.steps, dtype=torch.float64)
        of_x, of_answer = target.solve(one, zero, a, b), target.solve(zero, one, a, b)
        scales = target.tables(schedule)
        tables = {
            "input_scale": torch.tensor(scales["input_scale"]),
            "output_scale": torch.tensor(scales["output_scale"]),
            "x0_of_x": of_x.x0,
            "x0_of_answer": of_answer.x0,
            "eps_of_x": of_x.eps,
            "eps_of_answer": of_answer.eps,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.float())

    def forward(self, x_t: Tensor, t: Tensor, conditions: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Estimate x_0 and ε.

        Args:
            x_t: Noisy samples, float32 (B, *).
            t: Their times in 1..T, int64 (B,).
            conditions: What the network is conditioned on, by its names.

        Returns:
            x̂_0 and ε̂, each (B, *), and the variance fraction where the network learned it.
        """
        index = t - 1

        def at_time(name: str) -> Tensor:
            table: Tensor = getattr(self, name)
            return table[index].reshape(-1, *[1] * (x_t.ndim - 1))

        output = self.net(at_time("input_scale") * x_t, index, **conditions)
        answer, *fraction = output.chunk(2, dim=1) if self.learned_variance else [output]
        answer = at_time("output_scale") * answer
        x0 = at_time("x0_of_x") * x_t + at_time("x0_of_answer") * answer
        eps = at_time("eps_of_answer") * answer + at_time("eps_of_x") * x_t
        return x0, eps, *((one + 1) / 2 for one in fraction)


def write_pt2(model: Model, path: Path) -> list[Path]:
    """Write the file atomically; of a model of latents also the file of its decoder.

    Args:
        model: The model, on the CPU.
        path: The file. That of the decoder lies beside it: model.decoder.pt2 beside model.pt2.

    Returns:
        The paths of the files, the denoiser's first.

    Raises:
        InputError: For a path that is a folder.
    """
    check_file(path)
    conditions, decoder, place = example_conditions(model), decoder_of(model, path), None
    if decoder is not None:
        half, latents, place = decoder
        _write_pt2(half, (latents,), place, {"ancestral": model.version})
    facts = {"inputs": ["x_t", "t", *conditions], **sampling_facts(model, PT2_ESTIMATE, place)}
    inputs = torch.zeros(2, *model.spec.x_shape), torch.ones(2, dtype=torch.int64), conditions
    _write_pt2(ExportedDenoiser(model.diffusion), inputs, path, facts)
    return [path, *([] if place is None else [place])]


def _write_pt2(net: nn.Module, inputs: tuple[Any, ...], path: Path, facts: dict[str, Any]) -> None:
    """Export a network that is called with these inputs, for batches of any size."""
    net = copy.deepcopy(net).float().eval()
    for weights in (*net.parameters(), *net.buffers()):
        weights.data = weights.data.clone(memory_format=torch.contiguous_format)  # as the file stores them
    batch = {0: torch.export.Dim("batch")}
    shapes = tuple(dict.fromkeys(one, batch) if isinstance(one, dict) else batch for one in inputs)
    with torch.no_grad():
        program = torch.export.export(net, inputs, dynamic_shapes=shapes)
    program.example_inputs = None  # which would be pickled
    # a file that is opened, since one that is named has its name inside, which is temporary here
    with storage.atomic(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files={FACTS_FILE: json.dumps(facts)})
