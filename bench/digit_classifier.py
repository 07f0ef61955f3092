"""A classifier fitted to the real digits, to judge generated ones: how many does it accept, and is each class drawn?

    python bench/digit_classifier.py RUN [-n 1000]

It is fitted here to 4,000 of the 5,000 real digits (about a minute on two cores) and its accuracy on the other 1,000 is
printed first, with the share of those that it accepts: the ceiling for the samples. Nothing of it is used by the
package.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ancestral
from ancestral import data

ACCEPTED = 0.9
"""A digit counts as readable where the classifier gives some class more than this probability."""


def network() -> nn.Sequential:
    """Two convolutions and a dense layer: 28×28 to ten logits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * 49, 10),
    )  # fmt: skip


def fit(images: Tensor, labels: Tensor, epochs: int = 15, seed: int = 0) -> nn.Sequential:
    """A network fitted to uint8 images (N, 1, 28, 28), with small shifts as augmentation."""
    torch.manual_seed(seed)
    net, x = network(), images.float() / 127.5 - 1
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * (len(x) // 64))
    for _ in range(epochs):
        for chosen in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
            shift = tuple(torch.randint(-2, 3, (2,)).tolist())
            loss = F.cross_entropy(net(x[chosen].roll(shift, (2, 3))), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def judge(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """(probability of the likeliest class, that class) of uint8 images (N, 1, 28, 28)."""
    best = net(images.float() / 127.5 - 1).softmax(1).max(1)
    return best.values, best.indices


def report(net: nn.Module, images: Tensor) -> str:
    """One line: the share accepted, and how often each class appears among the accepted."""
    probability, label = judge(net, images)
    accepted = probability > ACCEPTED
    counts = torch.bincount(label[accepted], minlength=10)
    return f"accepted {accepted.float().mean():.1%} of {len(images)}; of each class 0-9: {counts.tolist()}"


def main() -> None:
    """Fit, then judge the held-out digits and the samples of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder, or its model.safetensors")
    parser.add_argument("-n", type=int, default=1000, help="samples to judge")
    parser.add_argument("--sampler", help="a sampler, with options if need be; that of the run unless given")
    parser.add_argument("--steps", type=int, help="sampling steps; the sampler's own unless given")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], help="classifier-free guidance")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples")
    options = parser.parse_args()

    digits = data.load("digits")
    assert digits.labels is not None
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    train, held = order[:4000], order[4000:]
    net = fit(digits.items[train], digits.labels[train])
    _, label = judge(net, digits.items[held])
    print(
        f"held-out real digits: accuracy {(label == digits.labels[held]).float().mean():.1%};",
        report(net, digits.items[held]),
    )
    model = ancestral.load(options.run)
    for guidance in options.guidance:
        samples = model.sample(options.n, options.sampler, options.steps, options.seed, guidance=guidance)
        print(f"samples, guidance {guidance:g}:", report(net, samples), flush=True)


if __name__ == "__main__":
    main()
