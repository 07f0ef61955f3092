"""Train on data of several shapes and bit depths, and compare the statistics of samples with known values.

    python bench/shapes.py [signals volumes channels deep] [--out runs/shapes] [--samples 512] [--seed 0]

The statistics of the data are known in closed form. The data is written to files, and `ancestral train` trains on it
for a minute or two. The table has each statistic's known value, its values in the training data and in the samples, and
the tolerance. The exit code is 1 if a statistic of the samples is off by more than its tolerance. The folder also has a
picture of the data and one of the samples.
"""

import argparse
import contextlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

import ancestral
from ancestral.faces import command as cli
from ancestral.render import pictures, writers

Statistics = dict[str, float]
SAMPLER = "dpm:steps=40,spacing=logsnr"
"""For data N(0, 0.05²), its samples have 1.00 of the standard deviation, and those of ddim with 50 steps 0.72."""


@dataclass(frozen=True)
class Case:
    """One kind of data: its generator, its statistics with known values, and the options for training."""

    make: Callable[[np.random.Generator, int], NDArray[np.generic]]
    measure: Callable[[NDArray[np.float64]], Statistics]
    known: dict[str, tuple[float, float]]
    """The known value of each statistic, and the tolerance for the samples."""
    options: str
    """Options of `ancestral train`, besides the preset `arrays` (or `folder`). Smooth volumes and fields have few
    degrees of freedom, so x_0 is learned faster than v, which contains the noise."""
    count: int = 5000


# signals: (N, 1, 64) float32, three sines of random phase


LENGTH, SINES = 64, {3: 1.0, 7: 0.5, 12: 0.3}  # frequency -> amplitude


def make_signals(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Make Σ amplitude · sin(2π frequency u + phase) with independent uniform phases."""
    u = np.arange(LENGTH) / LENGTH
    phase = 2 * np.pi * rng.random((count, len(SINES), 1))
    waves = np.sin(2 * np.pi * np.array(list(SINES))[:, None] * u + phase)
    return (np.array(list(SINES.values()))[:, None] * waves).sum(1, keepdims=True).astype(np.float32)


def measure_signals(x: NDArray[np.float64]) -> Statistics:
    """Measure amplitudes by FFT, the power at other frequencies, and the means and correlations of the phases."""
    spectrum = np.fft.rfft(x[:, 0]) * 2 / LENGTH
    power = np.abs(spectrum) ** 2
    phases = spectrum[:, list(SINES)] / np.abs(spectrum[:, list(SINES)])
    values = {f"RMS amplitude at {f}": math.sqrt(power[:, f].mean()) for f in SINES}
    values |= {f"std of amplitude at {f}": float(np.sqrt(power[:, f]).std()) for f in SINES}
    values["share of power elsewhere"] = 1 - power[:, list(SINES)].sum() / power.sum()
    values["phases: largest mean"] = float(np.abs(phases.mean(0)).max())
    pairs = phases[:, 0] * phases[:, 1].conj(), phases[:, 0] * phases[:, 2].conj(), phases[:, 1] * phases[:, 2].conj()
    values["phases: largest correlation"] = max(abs(pair.mean()) for pair in pairs)
    return values


SIGNALS = Case(
    make_signals,
    measure_signals,
    {
        **{f"RMS amplitude at {f}": (a, 0.05 * a) for f, a in SINES.items()},
        **{f"std of amplitude at {f}": (0, 0.1 * a) for f, a in SINES.items()},
        "share of power elsewhere": (0, 0.01),
        "phases: largest mean": (0, 0.12),  # of 512 random ones it is above 0.1 once in 200 times
        "phases: largest correlation": (0, 0.12),
    },
    "--dims 1 --width 32 --mults 1 2 2 --patch 1 --batch-size 64 --steps 1000",
)


# volumes: (N, 16, 16, 16) uint8, a Gaussian blob


SIDE, CENTRES, SIZES = 16, (6.0, 9.0), (1.6, 2.4)


def make_volumes(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Make 255 exp(−r²/2s²) with a uniform centre and a uniform size s."""
    centre = rng.uniform(*CENTRES, (count, 3, 1))
    size = rng.uniform(*SIZES, (count, 1, 1))
    d, h, w = np.moveaxis(np.exp(-((np.arange(SIDE) - centre) ** 2) / (2 * size**2)), 1, 0)
    return (255 * np.einsum("nd,nh,nw->ndhw", d, h, w)).round().astype(np.uint8)


def measure_volumes(x: NDArray[np.float64]) -> Statistics:
    """Measure centre and size by the moments of x², a Gaussian of size s/√2. Squaring suppresses the background."""
    weight = x[:, 0] ** 2 / (x[:, 0] ** 2).sum((1, 2, 3), keepdims=True).clip(1)
    marginals = [weight.sum(tuple(other for other in (1, 2, 3) if other != axis)) for axis in (1, 2, 3)]
    u = np.arange(SIDE)
    centre = np.stack([(share * u).sum(1) for share in marginals], 1)
    variance = np.stack([(share * (u - c[:, None]) ** 2).sum(1) for share, c in zip(marginals, centre.T, strict=True)])
    size = np.sqrt(2 * variance.mean(0))
    brightest = x.max((1, 2, 3, 4))
    values = {"mean of a voxel": x.mean(), "brightest voxel": brightest.mean(), "faint blobs": (brightest < 180).mean()}
    for axis, name in enumerate("DHW"):
        values |= {f"centre along {name}": centre[:, axis].mean(), f"std of centre along {name}": centre[:, axis].std()}
    correlation = np.abs(np.corrcoef(centre.T) - np.eye(3)).max()
    return values | {"centre: largest correlation": correlation, "size": size.mean(), "std of size": size.std()}


def uniform(low: float, high: float) -> tuple[float, float]:
    """Return the mean and the standard deviation of a uniform distribution."""
    return (low + high) / 2, (high - low) / math.sqrt(12)


CUBE = (SIZES[1] ** 4 - SIZES[0] ** 4) / (4 * (SIZES[1] - SIZES[0]))  # E s³
VOLUMES = Case(
    make_volumes,
    measure_volumes,
    {
        "mean of a voxel": (255 * (2 * math.pi) ** 1.5 * CUBE / SIDE**3, 0.6),
        "brightest voxel": (247, 32),  # less than 255, since the peak lies between grid points
        "faint blobs": (0, 0.05),  # fraction whose brightest voxel is below 180
        **{f"centre along {name}": (uniform(*CENTRES)[0], 0.2) for name in "DHW"},
        **{f"std of centre along {name}": (uniform(*CENTRES)[1], 0.12) for name in "DHW"},
        "centre: largest correlation": (0, 0.14),
        "size": (uniform(*SIZES)[0], 0.1),
        "std of size": (uniform(*SIZES)[1], 0.08),
    },
    "--dims 3 --target x0 --weighting min-snr --width 64 --mults 1 --patch 4 --batch-size 16 --steps 1300",
)


# channels: (N, 16, 16, 4) uint8, smooth fields mixed into four channels; deep: 16-bit PNG files of one such field


def fields(rng: np.random.Generator, count: int, channels: int) -> NDArray[np.float64]:
    """Make smooth Gaussian fields (N, C, 16, 16): bicubic interpolation of 4×4 normal numbers, mean variance 1."""
    coarse = torch.from_numpy(rng.standard_normal((count, channels, 4, 4)))
    return (F.interpolate(coarse, size=(16, 16), mode="bicubic") / math.sqrt(GAIN)).numpy()


BASIS = F.interpolate(torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4), size=(16, 16), mode="bicubic")
GAIN = float(BASIS.square().sum(0).mean())
"""Mean variance of a field before scaling."""
MEANS = np.array([118.0, 124, 130, 136])
MIXING = 17 * np.array([[2.0, 0, 0, 0], [1, 1.5, 0, 0], [-1, 0.5, 1.2, 0], [0, -1, 1, 1]])


def make_channels(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Make four mixed fields, none of which is a colour or opacity."""
    mixed = np.einsum("dc,nchw->nhwd", MIXING, fields(rng, count, 4)) + MEANS
    return mixed.round().clip(0, 255).astype(np.uint8)


def measure_channels(x: NDArray[np.float64]) -> Statistics:
    """Measure the means and covariances of the channels over all pixels."""
    flat = np.moveaxis(x, 1, 0).reshape(4, -1)
    covariance = np.cov(flat)
    values = {f"mean of channel {c}": flat[c].mean() for c in range(4)}
    pairs = [(c, d) for c in range(4) for d in range(c + 1)]
    return values | {f"covariance of {c} and {d}": covariance[c, d] for c, d in pairs}


COVARIANCE = MIXING @ MIXING.T
CHANNELS = Case(
    make_channels,
    measure_channels,
    {
        **{f"mean of channel {c}": (MEANS[c], 2.0) for c in range(4)},
        **{
            f"covariance of {c} and {d}": (COVARIANCE[c, d], 0.1 * math.sqrt(COVARIANCE[c, c] * COVARIANCE[d, d]))
            for c in range(4)
            for d in range(c + 1)
        },
    },
    "--channels 4 --target x0 --width 32 --mults 1 2 --patch 2 --batch-size 32 --steps 1200",
)

MEAN, DEVIATION = 30000.0, 6000.0


def make_deep(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Make one 16-bit field; 8 bits would keep every 257th of its levels."""
    return (MEAN + DEVIATION * fields(rng, count, 1)[:, 0]).round().clip(0, 65535).astype(np.uint16)


def measure_deep(x: NDArray[np.float64]) -> Statistics:
    """Measure statistics of pixels, of images, and of the low bits that a conversion to 8 bits would drop."""
    low = np.bincount(x.astype(np.int64).ravel() % 257, minlength=257)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "std of the image mean": x.mean((1, 2, 3)).std(),
        "RMS step to the next pixel": math.sqrt(np.square(np.diff(x)).mean()),
        "distinct levels above 256": float(len(np.unique(x)) > 256),
        "evenness modulo 257": low.min() / low.mean(),
    }


IMAGE_DEVIATION = DEVIATION * math.sqrt(float(BASIS.mean((1, 2, 3)).square().sum()) / GAIN)
STEP = DEVIATION * math.sqrt(float(BASIS.diff(dim=3).square().sum(0).mean()) / GAIN)
DEEP = Case(
    make_deep,
    measure_deep,
    {
        "mean": (MEAN, 400),
        "std": (DEVIATION, 0.06 * DEVIATION),
        "std of the image mean": (IMAGE_DEVIATION, 0.12 * IMAGE_DEVIATION),
        "RMS step to the next pixel": (STEP, 0.1 * STEP),
        "distinct levels above 256": (1, 0),
        "evenness modulo 257": (1, 0.3),
    },
    "--channels 1 --image-size 16 --no-flip --target x0 --width 32 --mults 1 2 --patch 2 --batch-size 32 --steps 1200",
)
CASES = {"signals": SIGNALS, "volumes": VOLUMES, "channels": CHANNELS, "deep": DEEP}


def save(name: str, array: NDArray[np.generic], folder: Path) -> Path:
    """Write 16-bit images as PNG files and other data as one .npy file, and return the path."""
    if name != "deep":
        np.save(folder / f"{name}.npy", array)
        return folder / f"{name}.npy"
    (folder / name).mkdir()
    for number, image in enumerate(array):
        Image.fromarray(image).save(folder / name / f"{number:05d}.png")
    return folder / name


def run(name: str, folder: Path, samples: int, seed: int) -> bool:
    """Train on a case, sample, measure, and print the table.

    Args:
        name: Name of the case.
        folder: Folder of the data, the run and the pictures.
        samples: Number of samples.
        seed: Seed of the data and the training run; the samples have seed + 1.

    Returns:
        Whether all statistics are within their tolerances.
    """
    case = CASES[name]
    source = save(name, case.make(np.random.default_rng(seed), case.count), folder)
    out, began = folder / f"{name}-run", time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        argv = ["train", "--data", str(source), "--out", str(out), "--seed", str(seed), *case.options.split()]
        cli.main([*argv, "--sampler", SAMPLER])
    seconds, model = time.process_time() - began, ancestral.load(out)
    sampled = model.sample(samples, seed=seed + 1)
    own = model.config.data
    data = ancestral.data.load(str(source), dims=own.dims, channels=own.channels, image_size=own.image_size)
    for kind, items in (("data", data.items), ("samples", sampled)):
        sheet = pictures.picture(items[:64], 8, height=600, limits=model.spec.codec.limits)
        writers.write_picture(folder / f"{name}-{kind}.png", sheet)
    trained = f"{model.step:,} steps in {seconds:.0f} s of CPU time on {torch.get_num_threads()} threads"
    print(f"\n{name}: {data.items.dtype} {tuple(data.items.shape)}, {trained}; {samples} samples\n")
    print(f"{'':32}{'known':>10}{'data':>10}{'samples':>10}{'tolerance':>10}")
    of_data, of_samples = (case.measure(items.numpy().astype(np.float64)) for items in (data.items, sampled))
    passed = True
    for key, (known, tolerance) in case.known.items():
        within = abs(of_samples[key] - known) <= tolerance
        passed &= within
        numbers = "".join(f"{value:10.4g}" for value in (known, of_data[key], of_samples[key], tolerance))
        print(f"{key:32}{numbers}{'' if within else '   off'}", flush=True)
    return passed


def main() -> int:
    """Run the chosen cases and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"), help="new folder (default: runs/shapes)")
    parser.add_argument("--samples", type=int, default=512, help="number of samples (default: 512)")
    parser.add_argument("--seed", type=int, default=0, help="seed of data, training and samples (default: 0)")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    passed = [run(name, options.out, options.samples, options.seed) for name in options.cases]  # runs all cases
    return 0 if all(passed) else 1


if __name__ == "__main__":
    raise SystemExit(main())
