"""Baselines: random training items are those of the data, and nearest ones those of a search over all pairs."""

from types import SimpleNamespace

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.metrics import baselines


def test_random_items_differ_within_an_ensemble_and_are_used_equally_often():
    index = baselines.random_items(conditions=60, members=7, items=30)
    assert index.shape == (60, 7)
    assert all(len(set(row)) == 7 for row in index.tolist())
    assert torch.equal(torch.bincount(index.flatten()), torch.full((30,), 14))
    assert torch.equal(index[:10], baselines.random_items(10, 7, 30))  # more conditions change none
    assert not torch.equal(index.flatten()[:30], torch.arange(30))
    with pytest.raises(InputError, match=r"7 different training items .* there are 6"):
        baselines.random_items(1, 7, 6)


def test_the_nearest_item_is_that_of_the_condition_in_deviations_of_the_data():
    generator = torch.Generator().manual_seed(0)
    training = {
        "size": torch.randn(50, 2, generator=generator, dtype=torch.float64) * torch.tensor([1000.0, 0.01]),
        "low": torch.randint(0, 256, (50, 1, 3, 3), generator=generator, dtype=torch.uint8),
    }
    kinds = {"size": Vector((0.0, 0.0), (1000.0, 0.01)), "low": Image(1)}
    queries = {name: values[:8].clone() for name, values in training.items()}
    assert baselines.nearest_items(queries, training, kinds).tolist() == list(range(8))
    queries["size"] += torch.tensor([300.0, -0.003])
    queries["low"] = queries["low"] // 2
    parts = []
    for name, scale in (("size", torch.tensor([1000.0, 0.01])), ("low", 127.5)):
        rows, others = (part[name].double().flatten(1) / scale for part in (queries, training))
        parts.append((rows[:, None] - others).square().sum(2) / others.var(0, correction=0).sum())
    assert torch.equal(baselines.nearest_items(queries, training, kinds), sum(parts).argmin(1))


def test_masked_images_are_compared_where_both_are_known(monkeypatch):
    """Values that are made of items are in [-1, 1] already; the last channel says what is known."""
    generator = torch.Generator().manual_seed(0)
    items = torch.rand(40, 2, 4, 4, generator=generator) * 2 - 1
    known = torch.rand(10, 1, 4, 4, generator=generator) < 0.3
    noisy = items[5:15] + 0.9 * torch.randn(10, 2, 4, 4, generator=generator)
    queries = {"masked": torch.cat([noisy.where(known, 0.0), 2 * known.float() - 1], 1)}
    training = {"masked": torch.cat([items, torch.ones(40, 1, 4, 4)], 1)}
    kinds = {"masked": Image(3, (-1.0, 1.0), (4, 4), masked=True, made_by="mask")}
    truth = ((noisy[:, None] - items).square() * known[:, None]).sum((2, 3, 4)).argmin(1)
    assert torch.equal(baselines.nearest_items(queries, training, kinds), truth)
    assert not torch.equal(truth, torch.arange(5, 15))
    monkeypatch.setattr(baselines, "QUERIES_AT_ONCE", 3)
    monkeypatch.setattr(baselines, "TRAINING_ITEMS_AT_ONCE", 7)
    assert torch.equal(baselines.nearest_items(queries, training, kinds), truth)
    raw = {name: ((values + 1) * 127.5).round().to(torch.uint8) for name, values in training.items()}
    data = {"masked": Image(3, (0.0, 255.0), (4, 4), masked=True)}  # an alpha channel of 8-bit images
    assert torch.equal(baselines.nearest_items({"masked": raw["masked"][:9]}, raw, data), torch.arange(9))
    hidden = {"masked": torch.cat([items, -torch.ones(40, 1, 4, 4)], 1)}
    hidden["masked"][7, 2] = 1
    assert baselines.nearest_items(queries, hidden, kinds).tolist() == [7] * 10  # nothing else can be compared


def test_items_of_the_same_class_are_nearer_than_all_others():
    kinds = {"label": Classes(("a", "b")), "age": Vector((0.0,), (1.0,))}
    training = {"label": torch.tensor([0, 0, 1, 1, -1]), "age": torch.tensor([[-1e4], [5.0], [6.0], [1e4], [0.0]])}
    queries = {"label": torch.tensor([0, 1, 1]), "age": torch.tensor([[1e5], [0.0], [1e5]])}
    assert baselines.nearest_items(queries, training, kinds).tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="classes have no distance"):
        baselines.nearest_items({"label": queries["label"]}, {"label": training["label"]}, {"label": kinds["label"]})


def test_of_sequences_without_a_distance_those_are_nearest_that_differ_in_the_fewest_places():
    kinds = {"tokens": SimpleNamespace(has_distance=False), "age": Vector((0.0,), (1.0,))}
    training = {"tokens": torch.tensor([[0, 1, 2], [0, 1, 3], [4, 4, 4]]), "age": torch.tensor([[1.0], [9.0], [2.0]])}
    queries = {"tokens": torch.tensor([[0, 1, 3], [0, 1, 5], [4, 4, 1]]), "age": torch.tensor([[1.0], [8.0], [1.0]])}
    assert baselines.nearest_items(queries, training, kinds).tolist() == [1, 1, 2]
