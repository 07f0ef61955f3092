"""From a batch of the data to the input of the network."""

import dataclasses

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.config import Config, CustomNetConfig, TransformerConfig, UNetConfig
from ancestral.data import Dataset
from ancestral.data.loading import Batch
from ancestral.data.spec import DataSpec
from ancestral.device import layout
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.randomness import Stream


def spec_of(data: Dataset, config: Config) -> DataSpec:
    """Describe the data to a model that is trained on it by this config."""
    if not len(data):
        raise InputError(f"{data.name} holds no items to train on")
    return data.spec if config.data.class_labels else dataclasses.replace(data.spec, classes=())


def prepare(
    batch: Batch, positions: range, config: Config, spec: DataSpec, takes: set[str], device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """Prepare the clean images of a batch and what the network is conditioned on.

    Each image is a function of (seed, step, position) alone.

    Args:
        batch: The items of this process.
        positions: Their positions in the global batch.
        config: The config of the run.
        spec: The description of the data.
        takes: What the network takes besides t, out of `nets.CONDITIONS`.
        device: Where to put them.

    Returns:
        x_0 of shape (len(positions), *) in [−1, 1], mirrored where the config says so; and by name the labels, some of
        them dropped, and the keys of counter-based dropout.
    """
    train, step = config.train, batch.step
    x0 = spec.codec.encode(batch.items.to(device, non_blocking=True))
    if config.data.flip and x0.ndim >= 4:
        flip = randomness.uniform(train.seed, Stream.FLIP, step, positions) < 0.5
        x0 = x0.flip(-1).where(flip.to(device).view(-1, *[1] * (x0.ndim - 1)), x0)
    x0 = x0.contiguous(memory_format=layout(x0.ndim))
    condition: dict[str, Tensor] = {}
    if spec.classes and batch.labels is not None and "labels" in takes:
        dropped = randomness.uniform(train.seed, Stream.LABEL, step, positions) < train.label_dropout
        condition["labels"] = batch.labels.masked_fill(dropped, NO_CLASS)
    net = config.net
    drops = isinstance(net, UNetConfig | TransformerConfig) and net.dropout > 0
    if "keys" in takes and (drops or isinstance(net, CustomNetConfig)):
        condition["keys"] = randomness.keys(train.seed, Stream.DROPOUT, step, positions)
    return x0, {name: value.to(device, non_blocking=True) for name, value in condition.items()}
