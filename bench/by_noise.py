"""Say where contestants differ: the error of each by time, and its distance to the data, after equal numbers of steps.

    python bench/by_noise.py fashion --steps 500 1500

Each contestant trains from scratch for each number of steps, at which its learning rate schedule ends. The error is the
mean squared error of ε̂ on held-out images, in ten ranges of t, with the averaged weights and the same ε for all, after
x̂_0 is clipped to [−1, 1] as all samplers clip it (without, an ε̂ that clipping corrects would count as wrong). The
contestants must have the cosine schedule with T = 1000, so that the same x_t is as noisy for each.
"""

import argparse
import time
from typing import Any

import torch
from torch import Tensor

import image_sets
from ancestral.device import keep_freed_memory
from ancestral.schedules import cosine
from ancestral.targets import EPS
from parts.quality import evaluate
from peers import factory
from peers.contest import NoiseEstimator, Task, to_floats

BINS, IMAGES = 10, 1000


def errors(estimate: NoiseEstimator, images: Tensor, labels: Tensor) -> list[float]:
    """Compute the mean squared error of ε̂ in each range of t.

    Args:
        estimate: Estimates ε.
        images: Uint8 (N, C, H, W).
        labels: int64 (N,).
    """
    schedule, generator = cosine(1000), torch.Generator().manual_seed(0)
    x0, t = to_floats(images, 0), torch.arange(len(images)) * 1000 // len(images) + 1
    eps = torch.randn(x0.shape, generator=generator)
    parts = []
    for i in torch.arange(len(x0)).split(100):
        x_t, scales = schedule.add_noise(x0[i], t[i], eps[i]), schedule.at(t[i])
        with torch.no_grad():
            estimated = EPS.solve(x_t, estimate(x_t, t[i] - 1, labels[i]), *scales)
        parts.append((estimated.clipped(1.0, x_t, *scales).eps - eps[i]).square().flatten(1).mean(1))
    return [float(part.mean()) for part in torch.cat(parts).chunk(BINS)]


def main() -> None:
    """Train and evaluate the contestants, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=image_sets.NAMES)
    parser.add_argument("--only", nargs="+", default=["ancestral", "diffusers-tuned"], help="contestants")
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 1500], help="numbers of training steps")
    parser.add_argument("--samples", type=int, default=500, help="number of samples for KID")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    images = image_sets.load(options.data)
    train = images.train
    assert train.labels is not None
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    held = order[: min(IMAGES, len(train) // 5)]
    held_out, labels, train = train.items[held], train.labels[held], train.subset(order[len(held) :])
    print("contestant        steps  ms/step  KID    error by t, from low to high noise", flush=True)
    for steps in options.steps:
        for name in options.only:
            contestant: Any = factory(name)(
                Task(options.data, train.items, train.labels, steps, 0, {}, len(train.classes))
            )
            began = time.process_time()
            for _ in range(steps):
                contestant.step()
            used = 1000 * (time.process_time() - began) / steps
            found = errors(contestant.noise_estimator(), held_out, labels)
            kid = evaluate(contestant.sample(options.samples, 0), images.reference)["KID"]["value"]
            print(f"{name:16s} {steps:6d} {used:8.0f}  {kid:.3f} ", *(f"{error:.4f}" for error in found), flush=True)


if __name__ == "__main__":
    main()
