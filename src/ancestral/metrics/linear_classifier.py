"""A linear classifier on features, which tells whether samples of a conditional model are of the right class."""

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.randomness import Stream

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Weights of the L2 penalty; the one with the best accuracy on the held-out part is taken."""
HELD_OUT_EVERY = 5
"""One in this number of items is held out."""


class LinearClassifier(NamedTuple):
    """A classifier, and its accuracy on items that it was not fitted to."""

    weight: Tensor
    bias: Tensor
    penalty: float
    accuracy: float
    """On the held-out part."""
    held_out: int
    """The number of items of that part."""

    def predict(self, features: Tensor) -> Tensor:
        """Return the most likely class of each of the features (n, d), int64 (n,)."""
        return (features.double() @ self.weight + self.bias).argmax(1)


def fit(features: Tensor, labels: Tensor) -> LinearClassifier:
    """Fit a multinomial logistic regression to features (n, d) with labels (n,), by L-BFGS in float64.

    A random fifth of the items chooses the penalty and gives the accuracy. The result is detached.

    Args:
        features: Features (n, d).
        labels: Classes (n,), int64.

    Raises:
        InputError: If there are too few items, or all are of one class.
    """
    if len(features) < 2 * HELD_OUT_EVERY or bool((labels == labels[0]).all()):
        raise InputError(f"a classifier needs at least {2 * HELD_OUT_EVERY} items, of two classes or more")
    features, order = features.detach(), randomness.permutation(len(features), 0, Stream.CLASSIFIER, 0)
    test_rows, fit_rows = order[: len(order) // HELD_OUT_EVERY], order[len(order) // HELD_OUT_EVERY :]
    mean, scale = features[fit_rows].double().mean(0), features[fit_rows].double().std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    x, classes = (features.double() - mean) / scale, int(labels.max()) + 1
    best: LinearClassifier | None = None
    weight, bias = torch.zeros(x.shape[1], classes, dtype=x.dtype), torch.zeros(classes, dtype=x.dtype)
    for penalty in PENALTIES:  # each starts at the solution of the one before
        weight, bias = _minimum(x[fit_rows], labels[fit_rows], penalty, weight, bias)
        plain = weight / scale[:, None]
        classifier = LinearClassifier(plain, bias - mean @ plain, penalty, 0.0, len(test_rows))
        accuracy = float((classifier.predict(features[test_rows]) == labels[test_rows]).double().mean())
        if best is None or accuracy > best.accuracy:
            best = classifier._replace(accuracy=accuracy)
    assert best is not None
    return best


def _minimum(x: Tensor, labels: Tensor, penalty: float, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    weight, bias = (start.clone().requires_grad_() for start in (weight, bias))
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-4, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ weight + bias, labels) + penalty / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
