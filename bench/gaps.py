"""Values missing at random: the covariance that is learned from items of which none is complete.

python bench/gaps.py [--steps 6000] [--missing 0.3] [--complete] [--out F]

Periodic Gaussian fields of 32x32 of a known spectrum, 5,000 of them, lose a share of their values at random. Samples of
a network that is trained on what is left are compared with the fields: the covariance of values some positions apart.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

import ancestral

SIDE, FIELDS, SAMPLES, LENGTH = 32, 5000, 2000, 2.0
SHIFTS = ((0, 0), (1, 0), (0, 1), (2, 0), (3, 3), (5, 0))
Array = NDArray[np.float64]


def power() -> Array:
    """The power of each wave, 1 on average."""
    k = np.fft.fftfreq(SIDE) * 2 * np.pi
    shape: Array = (1 + (np.hypot(k[:, None], k[None]) * LENGTH) ** 2) ** -2.0
    return shape / shape.mean()


def fields(seed: int) -> torch.Tensor:
    """Draw fields (FIELDS, 1, SIDE, SIDE)."""
    white = np.random.default_rng(seed).normal(size=(FIELDS, 1, SIDE, SIDE))
    return torch.from_numpy(np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power())).real).float()


def ratios(samples: Array) -> dict[str, tuple[float, float]]:
    """The covariance of values some positions apart over that of the fields, and its standard error over samples."""
    expected = np.fft.ifft2(power()).real
    found = {}
    for down, right in SHIFTS:
        products = samples[..., down:, right:] * samples[..., : SIDE - down, : SIDE - right]
        of_each = products.mean((1, 2, 3)) / expected[down, right]
        found[f"{down} down, {right} right"] = float(of_each.mean()), float(of_each.std() / np.sqrt(len(of_each)))
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--complete", action="store_true", help="train on the complete fields, to compare")
    parser.add_argument("--out", type=Path, help="the run folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    items = fields(1)
    if not options.complete:
        items[torch.from_numpy(np.random.default_rng(2).random(items.shape) < options.missing)] = float("nan")
    settings = {"gaps": None if options.complete else "random", "scale": "standard", "steps": options.steps}
    with TemporaryDirectory() as folder:
        run = options.out or Path(folder) / "run"
        ancestral.train("arrays", data=items, out=run, snapshots=0, **settings)
        samples = ancestral.load(run).sample(SAMPLES, sampler="heun:steps=40").double().numpy()
    print("covariance of samples over that of the fields")
    for name, (ratio, error) in ratios(samples).items():
        print(f"  {name:18} {ratio:.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
