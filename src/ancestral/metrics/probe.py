"""A linear classifier on features: whether samples of a conditional model are of the class that was asked for."""

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import InputError
from ancestral.randomness import Stream

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Of the square of the weights: the one is taken that serves the held-out part best."""
HELD_OUT = 5
"""One item in so many is held out."""


class Probe(NamedTuple):
    """A classifier, and how good it is on items that it was not fitted to."""

    weight: Tensor
    bias: Tensor
    penalty: float
    accuracy: float
    """On the held-out part: an upper bound of what it can find in samples."""
    held_out: int
    """Items of that part."""

    def predict(self, features: Tensor) -> Tensor:
        """The most likely class of each of the features (n, d): int64 (n,)."""
        return (features.double() @ self.weight + self.bias).argmax(1)


def fit(features: Tensor, labels: Tensor, seed: int = 0) -> Probe:
    """Multinomial logistic regression on features (n, d) of items with labels (n,), by L-BFGS in float64.

    A fifth of the items, by chance, chooses the penalty and gives the accuracy. Raises InputError where they are too
    few for that, or of one class.
    """
    if len(features) < 2 * HELD_OUT or bool((labels == labels[0]).all()):
        raise InputError(f"a classifier needs at least {2 * HELD_OUT} items, of two classes or more")
    order = randomness.permutation(len(features), seed, Stream.CLASSIFIER, 0)
    held, rest = order[: len(order) // HELD_OUT], order[len(order) // HELD_OUT :]
    mean, scale = features[rest].double().mean(0), features[rest].double().std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    x, classes = (features.double() - mean) / scale, int(labels.max()) + 1
    best: Probe | None = None
    weight, bias = torch.zeros(x.shape[1], classes, dtype=x.dtype), torch.zeros(classes, dtype=x.dtype)
    for penalty in PENALTIES:  # each from the last one's answer
        weight, bias = _minimum(x[rest], labels[rest], penalty, weight, bias)
        plain = weight / scale[:, None]
        probe = Probe(plain, bias - mean @ plain, penalty, 0.0, len(held))
        accuracy = float((probe.predict(features[held]) == labels[held]).double().mean())
        if best is None or accuracy > best.accuracy:
            best = probe._replace(accuracy=accuracy)
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
