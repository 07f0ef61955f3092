"""Conditions in training: how often they are dropped, and what a trained network computes with and without them."""

import dataclasses
import itertools

import torch

from ancestral import randomness
from ancestral.conditions import Classes, Image, Vector
from ancestral.data.loading import Batch
from ancestral.data.spec import Codec, DataSpec
from ancestral.randomness import Stream
from ancestral.training.gradients import prepare
from tiny_models import tiny_config

N, SHAPE = 10_000, (1, 2, 2)
KINDS = {
    "low": Image(1, (0.0, 255.0), (1, 1), made_by="upscale:2"),
    "age": Vector((1.0,), (2.0,)),
    "hair": Classes(("dark", "fair")),
}


def absent(names, classes=("a", "b"), **train):
    """Which of 10,000 items go without the label and these conditions, bool (N, 1 + names)."""
    kinds = {name: KINDS[name] for name in names}
    spec = DataSpec(SHAPE, Codec("uint8"), classes, conditions=kinds)
    items = torch.full((N, *SHAPE), 255, dtype=torch.uint8)
    labels = torch.ones(N, dtype=torch.int64) if classes else None
    values = {"age": torch.ones(N, 1, dtype=torch.float64), "hair": torch.zeros(N, dtype=torch.int64)}
    batch = Batch(
        3, items, labels, torch.arange(N), conditions={name: values[name] for name in names if name in values}
    )
    config = tiny_config(**train)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, flip=False))
    _, condition = prepare(batch, range(N), config, spec, torch.device("cpu"))
    columns = [condition["labels"] < 0] if classes else []
    for name in names:
        value = condition[name]
        columns.append(value < 0 if name == "hair" else (value.flatten(1)[:, -1] == 0))
    return torch.stack(columns, 1)


def test_each_condition_is_dropped_on_its_own_and_all_together():
    """Every subset has the share of independent drops, p each and q of all: 10,000 items, within 4 standard errors."""
    rows = absent(["low", "age", "hair"], label_dropout=0.3, condition_dropout=0.2)
    for pattern in itertools.product((False, True), repeat=4):
        alone = [p if dropped else 1 - p for dropped, p in zip(pattern, (0.3, 0.2, 0.2, 0.2), strict=True)]
        share = 0.8 * torch.tensor(alone).prod().item() + 0.2 * all(pattern)
        count = int((rows == torch.tensor(pattern)).all(1).sum())
        assert abs(count - N * share) < 4 * (N * share * (1 - share)) ** 0.5, pattern


def test_one_condition_is_dropped_with_its_probability_and_labels_alone_as_ever():
    share = absent(["age"], classes=(), condition_dropout=0.2).double().mean()
    assert abs(share - 0.2) < 4 * (0.16 / N) ** 0.5
    alone = absent([], label_dropout=0.1, condition_dropout=0.9)[:, 0]
    seed = tiny_config().train.seed
    assert torch.equal(alone, randomness.uniform(seed, Stream.LABEL, 3, range(N)) < 0.1)
    assert not absent(["low", "age", "hair"], label_dropout=0.0, condition_dropout=0.0).any()
