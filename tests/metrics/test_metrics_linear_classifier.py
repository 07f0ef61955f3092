"""The linear classifier: its minimum, what it finds, and what it is fitted to."""

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.metrics.linear_classifier import _minimum, fit


def blobs(count, classes=3, apart=2.0, seed=0):
    """Features whose class decides their mean, some of no use and one that never changes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = apart * torch.eye(classes, 6)
    x = torch.randn(count, 6, generator=generator) + centres[labels]
    return torch.cat([100 + 50 * x, torch.ones(count, 1)], 1), labels


def test_the_gradient_vanishes_where_it_is_least():
    x, labels = blobs(200)
    x = ((x - x.mean(0)) / x.std(0).clamp(min=1)).double()
    penalty = 0.01
    start = torch.zeros(7, 3).double(), torch.zeros(3).double()
    weight, bias = (part.requires_grad_() for part in _minimum(x, labels, penalty, *start))
    likelihoods = (x @ weight + bias).log_softmax(1)[torch.arange(200), labels]
    loss = -likelihoods.mean() + penalty / 2 * weight.square().sum()  # convex, so it has one minimum
    gradient = torch.autograd.grad(loss, (weight, bias))
    assert max(float(part.abs().max()) for part in gradient) < 2e-4
    at_start = (x.T @ (torch.nn.functional.one_hot(labels).double() - 1 / 3) / 200).abs().max()
    assert at_start > 0.1


def test_accuracy_is_that_of_the_best_there_is():
    """Of two normal clouds 2a apart no rule is right more often than Φ(a)."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(4000) % 2
    x = torch.randn(4000, 3, generator=generator)
    x[:, 0] += 2.0 * labels
    classifier = fit(x, labels)
    best = float(torch.special.ndtr(torch.tensor(1.0)))
    assert classifier.held_out == 800
    assert abs(classifier.accuracy - best) < 3 * (best * (1 - best) / 800) ** 0.5
    fresh = torch.randn(4000, 3, generator=generator)
    fresh[:, 0] += 2.0 * labels
    share = float((classifier.predict(fresh) == labels).double().mean())
    assert abs(share - best) < 3 * (best * (1 - best) / 4000) ** 0.5


def test_it_is_the_same_each_time_and_chooses_its_penalty():
    x, labels = blobs(90)
    one, other = fit(x, labels), fit(x, labels)
    assert torch.equal(one.weight, other.weight)
    assert one.penalty == other.penalty
    noise = torch.randn(60, 200, generator=torch.Generator().manual_seed(0))
    noise[:, 0] += labels[:60]  # little to find among much
    assert fit(noise, labels[:60]).penalty > 1e-3


def test_labels_without_items_are_never_predicted():
    x, labels = blobs(60, apart=20.0)
    classifier = fit(x, 2 * labels)  # 0, 2 and 4
    assert classifier.accuracy == 1
    assert set(classifier.predict(x).tolist()) == {0, 2, 4}


def test_too_little_to_learn_from_is_refused():
    x, labels = blobs(30)
    with pytest.raises(InputError, match="at least 10 items, of two classes or more"):
        fit(x[:9], labels[:9])
    with pytest.raises(InputError, match="of two classes or more"):
        fit(x, torch.zeros(30, dtype=torch.int64))
