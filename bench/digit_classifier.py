"""Evaluate generated digits with a classifier: the share of readable digits, and the number of each class.

    python bench/digit_classifier.py RUN [-n 1000]

The classifier is trained on 4,000 of the 5,000 real digits (about a minute on two cores). Its accuracy on the other
1,000 is printed first. The share of those that it accepts is an upper limit for samples. The package does not use it.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ancestral
from ancestral import data

MIN_CONFIDENCE = 0.9
"""A digit is accepted as readable if the probability of its most likely class is greater than this."""


def network() -> nn.Sequential:
    """Build a network of two convolutions and a linear layer, from (N, 1, 28, 28) to ten logits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * 49, 10),
    )  # fmt: skip


def train_classifier(images: Tensor, labels: Tensor, epochs: int = 15, seed: int = 0) -> nn.Sequential:
    """Train a classifier on uint8 images (N, 1, 28, 28), with small shifts as augmentation."""
    torch.manual_seed(seed)
    net, x = network(), images.float() / 127.5 - 1
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * (len(x) // 64))
    for _ in range(epochs):
        for batch in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
            shift = tuple(torch.randint(-2, 3, (2,)).tolist())
            loss = F.cross_entropy(net(x[batch].roll(shift, (2, 3))), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def classify(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of the most likely class, and this class, of uint8 images (N, 1, 28, 28)."""
    best = net(images.float() / 127.5 - 1).softmax(1).max(1)
    return best.values, best.indices


def report(net: nn.Module, images: Tensor) -> str:
    """Format the share of accepted images, and the number of accepted images of each class."""
    probability, label = classify(net, images)
    accepted = probability > MIN_CONFIDENCE
    counts = torch.bincount(label[accepted], minlength=10)
    return f"accepted {accepted.float().mean():.1%} of {len(images)}; accepted of each class 0-9: {counts.tolist()}"


def main() -> None:
    """Train the classifier, then evaluate the test digits and the samples of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder, or its model.safetensors")
    parser.add_argument("-n", type=int, default=1000, help="number of samples (default: 1000)")
    parser.add_argument("--sampler", help="sampler with its options (default: that of the run)")
    parser.add_argument("--steps", type=int, help="number of sampling steps (default: that of the sampler)")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], help="guidance scales (default: 1 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (default: 0)")
    options = parser.parse_args()

    digits = data.load("digits")
    assert digits.labels is not None
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    train, test = order[:4000], order[4000:]
    net = train_classifier(digits.items[train], digits.labels[train])
    _, label = classify(net, digits.items[test])
    print(
        f"real digits of the test set: accuracy {(label == digits.labels[test]).float().mean():.1%};",
        report(net, digits.items[test]),
    )
    model = ancestral.load(options.run)
    for guidance in options.guidance:
        samples = model.sample(options.n, options.sampler, options.steps, options.seed, guidance=guidance)
        print(f"samples, guidance {guidance:g}:", report(net, samples), flush=True)


if __name__ == "__main__":
    main()
