"""Tiles of a trained network: samples larger than it, of periodic Gaussian fields of a known spectrum.

python bench/tiles.py [--steps 4000] [--sampling 200] [--out F]

Fields of 64x64, whose correlation falls below 1/e within 6 positions, are cut to windows of 32x32 at random places, and
a network is trained on these. Samples of 256x256 by `guidance.Tiled` are compared with the spectrum of the fields, and
the variance of differences across the borders of tiles with that elsewhere.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

import ancestral
from ancestral import guidance, samplers

FIELD, WINDOW, WIDE, LENGTH = 64, 32, 256, 6.0
FIELDS, SAMPLES, OVERLAP = 3000, 4, 16
OCTAVES = (4, 8, 16, 32, 64, 128)
Array = NDArray[np.float64]


def wave_numbers(side: int) -> Array:
    """The size of the wave vector of each element of a transform, in radians a position."""
    k = np.fft.fftfreq(side) * 2 * np.pi
    return np.hypot(k[:, None], k[None])


def power(side: int) -> Array:
    """The power of the fields, with a variance of 1."""
    shape = lambda side: (1 + (wave_numbers(side) * LENGTH / 2) ** 2) ** -3.0  # noqa: E731
    variance: Array = shape(side) / shape(1024).mean()
    return variance


def fields(count: int, side: int, seed: int) -> Array:
    """Draw periodic fields (count, side, side)."""
    white = np.random.default_rng(seed).normal(size=(count, side, side))
    drawn: Array = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power(side))).real
    return drawn


def windows(seed: int) -> torch.Tensor:
    """Cut a window at a random place of each field: (FIELDS, 1, WINDOW, WINDOW)."""
    places = np.random.default_rng(seed).integers(0, FIELD, (FIELDS, 2))
    pairs = zip(fields(FIELDS, FIELD, seed), -places, strict=True)
    cut = [np.roll(field, place, (0, 1))[:WINDOW, :WINDOW] for field, place in pairs]
    return torch.from_numpy(np.stack(cut)[:, None]).float()


def ratios(samples: Array) -> dict[str, float]:
    """The power of samples over that of the fields, by octave of the wave length."""
    found = (np.abs(np.fft.fft2(samples)) ** 2).mean(0) / samples[0].size
    waves, expected = 2 * np.pi / np.maximum(wave_numbers(WIDE), 1e-9), power(WIDE)
    bands = {f"{low} to {2 * low}": (waves >= low) & (waves < 2 * low) for low in OCTAVES}
    return {name: float(found[band].sum() / expected[band].sum()) for name, band in bands.items()}


def seam(samples: Array) -> tuple[float, float]:
    """The variance of differences across the borders of tiles over that elsewhere, and its standard error."""
    variances = (np.diff(samples, axis=-1, append=samples[..., :1]) ** 2).mean((0, 1))
    border = np.arange(WIDE) % (WINDOW - OVERLAP) == WINDOW - OVERLAP - 1
    there, elsewhere = variances[border], variances[~border]
    error = np.sqrt(there.var(ddof=1) / len(there) + elsewhere.var(ddof=1) / len(elsewhere))
    return float(there.mean() / elsewhere.mean()), float(error / elsewhere.mean())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--sampling", type=int, default=200)
    parser.add_argument("--out", type=Path, help="the run folder; one that is there is taken")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        out = arguments.out or Path(folder) / "run"
        if not out.exists():
            settings = {"scale": "standard", "steps": arguments.steps, "snapshots": 0}
            ancestral.train("arrays", data=windows(1), out=out, **settings)
        model = ancestral.load(out)
        wide = guidance.Tiled(model.denoiser, WINDOW, overlap=OVERLAP, periodic=True)
        noise = torch.randn(SAMPLES, 1, WIDE, WIDE, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            x = samplers.DDIM(arguments.sampling, eta=1, clip=None).sample(wide, noise)
        samples = model.spec.codec.decode(x)[:, 0].double().numpy()
    for name, ratio in ratios(samples).items():
        print(f"waves of {name} positions: {ratio:.3f} of the power")
    value, error = seam(samples)
    print(f"differences across borders of tiles: {value:.3f} ± {error:.3f} of the variance elsewhere")


if __name__ == "__main__":
    main()
