"""Facts that ONNX files and torch.export files of a model have in common: inputs, tables, conditions, and a recipe.

Each of the conditions besides the label is an input by its name, as its `encode` makes it. The facts are written as
JSON: a_t and b_t (signal and noise, t = 0..T), the target, the shape, the codec with its limits (the values that −1
and 1 stand for), the classes, the other conditions, and a recipe of sampling. Of a model of latents the shape is
theirs, and `decoder` the name of a second file, whose input z are latents and whose output are items in [−1, 1].
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Condition, argument_name
from ancestral.model import Model
from ancestral.model.building import sampler_for, sampler_name
from ancestral.nets.autoencoder import Decoder
from ancestral.samplers import DDIM, Consistency

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
    spec = model.spec
    return {argument_name(name): kind.absent(2, spec.x_shape[1:]) for name, kind in spec.conditions.items()}


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
        "conditions": {name: _described(kind, spec.x_shape[1:]) for name, kind in spec.further.items()},
        "sampling": SAMPLING.format(estimate=estimate),
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
    return {"sampler": sampler_name(sampler), "times": times, "clip": sampler.clip, "fresh_noise_std": deviations}
