"""From a batch of the data to what the network is asked about."""

import dataclasses

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.config import Config
from ancestral.data import Dataset
from ancestral.data.loading import Batch
from ancestral.data.spec import DataSpec
from ancestral.device import layout
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.randomness import Stream


def spec_of(data: Dataset, config: Config) -> DataSpec:
    """What a model trained on this data by this config will know of it."""
    if not len(data):
        raise InputError(f"{data.name} holds no items to train on")
    return data.spec if config.data.class_labels else dataclasses.replace(data.spec, classes=())


def prepare(
    batch: Batch, places: range, config: Config, facts: DataSpec, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clean images (places, *) in [−1, 1] on the device, flipped where the config says so; and what else the
    network is told: labels, some of them hidden, and the keys of its dropout. Image by image a function of
    (seed, step, place).
    """
    train, step = config.train, batch.step
    x0 = facts.codec.encode(batch.items.to(device, non_blocking=True))
    if config.data.flip and x0.ndim >= 4:
        flip = randomness.uniform(train.seed, Stream.FLIP, step, places) < 0.5
        x0 = x0.flip(-1).where(flip.to(device).view(-1, *[1] * (x0.ndim - 1)), x0)
    x0 = x0.contiguous(memory_format=layout(x0.ndim))
    condition: dict[str, Tensor] = {}
    if facts.classes and batch.labels is not None:
        hidden = randomness.uniform(train.seed, Stream.LABEL, step, places) < train.label_dropout
        condition["labels"] = batch.labels.masked_fill(hidden, NO_CLASS)
    if config.net.dropout > 0:
        condition["keys"] = randomness.keys(train.seed, Stream.DROPOUT, step, places)
    return x0, {name: value.to(device, non_blocking=True) for name, value in condition.items()}
