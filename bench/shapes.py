"""Data of every shape and depth, each trained for a minute or two and sampled: have the samples the right statistics?

    python bench/shapes.py [signals volumes channels deep] [--out runs/shapes] [--samples 512] [--seed 0]

The data is made with statistics that are known in closed form. It goes through files and the command line as a user's
would, from `ancestral train` on; the table shows what is known, what the training data has (luck of the draw) and what
the samples have, and the exit code is 1 where a sample's statistic is off by more than is allowed. The folder keeps a
picture of the data and one of the samples of each.
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
from ancestral import cli, render

Statistics = dict[str, float]
SAMPLER = "dpm:steps=40,spacing=logsnr"
"""On N(0, 0.05²) its samples have 1.00 of the deviation; those of ddim in 50 steps have 0.72."""


@dataclass(frozen=True)
class Case:
    """One kind of data: how it is made, what is known of it, and how it is trained on."""

    make: Callable[[np.random.Generator, int], NDArray[np.generic]]
    measure: Callable[[NDArray[np.float64]], Statistics]
    known: dict[str, tuple[float, float]]
    """Each statistic's true value, and how far off that of the samples may be."""
    options: str
    """Of `ancestral train`, besides the preset `arrays` (or `folder`). Smooth volumes and fields, whose every part
    follows from few numbers, are learned sooner as x_0 than as v, which has all of the noise in it."""
    count: int = 5000


# signals: (N, 1, 64) float32, three sines of random phase


LENGTH, SINES = 64, {3: 1.0, 7: 0.5, 12: 0.3}  # frequency -> amplitude


def make_signals(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Σ amplitude · sin(2π frequency u + phase), the phases uniform and independent."""
    u = np.arange(LENGTH) / LENGTH
    phase = 2 * np.pi * rng.random((count, len(SINES), 1))
    waves = np.sin(2 * np.pi * np.array(list(SINES))[:, None] * u + phase)
    return (np.array(list(SINES.values()))[:, None] * waves).sum(1, keepdims=True).astype(np.float32)


def measure_signals(x: NDArray[np.float64]) -> Statistics:
    """Amplitudes by Fourier, the power elsewhere, and how even and how free of each other the phases are."""
    spectrum = np.fft.rfft(x[:, 0]) * 2 / LENGTH
    power = np.abs(spectrum) ** 2
    phases = spectrum[:, list(SINES)] / np.abs(spectrum[:, list(SINES)])
    found = {f"RMS amplitude at {f}": math.sqrt(power[:, f].mean()) for f in SINES}
    found |= {f"its deviation at {f}": float(np.sqrt(power[:, f]).std()) for f in SINES}
    found["share of power elsewhere"] = 1 - power[:, list(SINES)].sum() / power.sum()
    found["phases: largest mean"] = float(np.abs(phases.mean(0)).max())
    pairs = phases[:, 0] * phases[:, 1].conj(), phases[:, 0] * phases[:, 2].conj(), phases[:, 1] * phases[:, 2].conj()
    found["phases: largest correlation"] = max(abs(pair.mean()) for pair in pairs)
    return found


SIGNALS = Case(
    make_signals,
    measure_signals,
    {
        **{f"RMS amplitude at {f}": (a, 0.05 * a) for f, a in SINES.items()},
        **{f"its deviation at {f}": (0, 0.1 * a) for f, a in SINES.items()},
        "share of power elsewhere": (0, 0.01),
        "phases: largest mean": (0, 0.12),  # of 512 random ones it is above 0.1 once in 200 times
        "phases: largest correlation": (0, 0.12),
    },
    "--dims 1 --width 32 --mults 1 2 2 --patch 1 --batch-size 64 --steps 1000",
)


# volumes: (N, 16, 16, 16) uint8, a Gaussian blob


SIDE, CENTRES, SIZES = 16, (6.0, 9.0), (1.6, 2.4)


def make_volumes(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """255 exp(−r²/2s²) around a uniform centre, of a uniform size s."""
    centre = rng.uniform(*CENTRES, (count, 3, 1))
    size = rng.uniform(*SIZES, (count, 1, 1))
    d, h, w = np.moveaxis(np.exp(-((np.arange(SIDE) - centre) ** 2) / (2 * size**2)), 1, 0)
    return (255 * np.einsum("nd,nh,nw->ndhw", d, h, w)).round().astype(np.uint8)


def measure_volumes(x: NDArray[np.float64]) -> Statistics:
    """Centre and size by the moments of x², which is a Gaussian of the size s/√2 and hardly sees the background."""
    weight = x[:, 0] ** 2 / (x[:, 0] ** 2).sum((1, 2, 3), keepdims=True).clip(1)
    along = [weight.sum(tuple(other for other in (1, 2, 3) if other != axis)) for axis in (1, 2, 3)]
    places = np.arange(SIDE)
    centre = np.stack([(share * places).sum(1) for share in along], 1)
    spread = np.stack([(share * (places - c[:, None]) ** 2).sum(1) for share, c in zip(along, centre.T, strict=True)])
    size = np.sqrt(2 * spread.mean(0))
    brightest = x.max((1, 2, 3, 4))
    found = {"mean of a voxel": x.mean(), "brightest voxel": brightest.mean(), "faint blobs": (brightest < 180).mean()}
    for axis, name in enumerate("DHW"):
        found |= {f"centre along {name}": centre[:, axis].mean(), f"its deviation along {name}": centre[:, axis].std()}
    correlation = np.abs(np.corrcoef(centre.T) - np.eye(3)).max()
    return found | {"centre: largest correlation": correlation, "size": size.mean(), "its deviation": size.std()}


def uniform(low: float, high: float) -> tuple[float, float]:
    """Mean and deviation."""
    return (low + high) / 2, (high - low) / math.sqrt(12)


CUBE = (SIZES[1] ** 4 - SIZES[0] ** 4) / (4 * (SIZES[1] - SIZES[0]))  # E s³
VOLUMES = Case(
    make_volumes,
    measure_volumes,
    {
        "mean of a voxel": (255 * (2 * math.pi) ** 1.5 * CUBE / SIDE**3, 0.6),
        "brightest voxel": (247, 32),  # 255 less what the grid misses of the peak
        "faint blobs": (0, 0.05),  # share of those whose brightest voxel is below 180
        **{f"centre along {name}": (uniform(*CENTRES)[0], 0.2) for name in "DHW"},
        **{f"its deviation along {name}": (uniform(*CENTRES)[1], 0.12) for name in "DHW"},
        "centre: largest correlation": (0, 0.14),
        "size": (uniform(*SIZES)[0], 0.1),
        "its deviation": (uniform(*SIZES)[1], 0.08),
    },
    "--dims 3 --target x0 --weighting min-snr --width 64 --mults 1 --patch 4 --batch-size 16 --steps 1300",
)


# channels: (N, 16, 16, 4) uint8, smooth fields mixed into four channels; deep: 16-bit PNG files of one such field


def fields(rng: np.random.Generator, count: int, channels: int) -> NDArray[np.float64]:
    """Smooth Gaussian fields (N, C, 16, 16): 4×4 normal numbers, drawn out by cubic splines to variance 1 on average.

    Its deviation over images of the mean over an image is √(1/16 · gain), see `GAIN`.
    """
    coarse = torch.from_numpy(rng.standard_normal((count, channels, 4, 4)))
    return (F.interpolate(coarse, size=(16, 16), mode="bicubic") / math.sqrt(GAIN)).numpy()


BASIS = F.interpolate(torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4), size=(16, 16), mode="bicubic")
GAIN = float(BASIS.square().sum(0).mean())
"""Mean variance of a field before it is scaled."""
MEANS = np.array([118.0, 124, 130, 136])
MIXING = 17 * np.array([[2.0, 0, 0, 0], [1, 1.5, 0, 0], [-1, 0.5, 1.2, 0], [0, -1, 1, 1]])


def make_channels(rng: np.random.Generator, count: int) -> NDArray[np.generic]:
    """Four fields, mixed, of which no channel is a colour or opacity."""
    mixed = np.einsum("dc,nchw->nhwd", MIXING, fields(rng, count, 4)) + MEANS
    return mixed.round().clip(0, 255).astype(np.uint8)


def measure_channels(x: NDArray[np.float64]) -> Statistics:
    """Means and covariances of the channels, over all pixels."""
    flat = np.moveaxis(x, 1, 0).reshape(4, -1)
    covariance = np.cov(flat)
    found = {f"mean of channel {c}": flat[c].mean() for c in range(4)}
    pairs = [(c, d) for c in range(4) for d in range(c + 1)]
    return found | {f"covariance of {c} and {d}": covariance[c, d] for c, d in pairs}


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
    """One field, in units of which 8 bits would keep one level of 257."""
    return (MEAN + DEVIATION * fields(rng, count, 1)[:, 0]).round().clip(0, 65535).astype(np.uint16)


def measure_deep(x: NDArray[np.float64]) -> Statistics:
    """Of all pixels, of whole images, and of what 8 bits would drop."""
    low = np.bincount(x.astype(np.int64).ravel() % 257, minlength=257)
    return {
        "mean": x.mean(),
        "deviation": x.std(),
        "deviation of an image's mean": x.mean((1, 2, 3)).std(),
        "RMS step to the next pixel": math.sqrt(np.square(np.diff(x)).mean()),
        "distinct levels above 256": float(len(np.unique(x)) > 256),
        "within 8 bits' level: evenness": low.min() / low.mean(),
    }


IMAGE_DEVIATION = DEVIATION * math.sqrt(float(BASIS.mean((1, 2, 3)).square().sum()) / GAIN)
STEP = DEVIATION * math.sqrt(float(BASIS.diff(dim=3).square().sum(0).mean()) / GAIN)
DEEP = Case(
    make_deep,
    measure_deep,
    {
        "mean": (MEAN, 400),
        "deviation": (DEVIATION, 0.06 * DEVIATION),
        "deviation of an image's mean": (IMAGE_DEVIATION, 0.12 * IMAGE_DEVIATION),
        "RMS step to the next pixel": (STEP, 0.1 * STEP),
        "distinct levels above 256": (1, 0),
        "within 8 bits' level: evenness": (1, 0.3),
    },
    "--channels 1 --image-size 16 --no-flip --target x0 --width 32 --mults 1 2 --patch 2 --batch-size 32 --steps 1200",
)
CASES = {"signals": SIGNALS, "volumes": VOLUMES, "channels": CHANNELS, "deep": DEEP}


def save(name: str, array: NDArray[np.generic], folder: Path) -> Path:
    """As a user would have it: 16-bit images as PNG files, the rest as .npy."""
    if name != "deep":
        np.save(folder / f"{name}.npy", array)
        return folder / f"{name}.npy"
    (folder / name).mkdir()
    for number, image in enumerate(array):
        Image.fromarray(image).save(folder / name / f"{number:05d}.png")
    return folder / name


def run(name: str, folder: Path, samples: int, seed: int) -> bool:
    """Make, train, sample, measure, print. Returns whether all is within what is allowed."""
    case = CASES[name]
    source = save(name, case.make(np.random.default_rng(seed), case.count), folder)
    out, began = folder / f"{name}-run", time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        argv = ["train", "--data", str(source), "--out", str(out), "--seed", str(seed), *case.options.split()]
        cli.main([*argv, "--sampler", SAMPLER])
    seconds, model = time.process_time() - began, ancestral.load(out)
    drawn = model.sample(samples, seed=seed + 1)
    own = model.config.data
    data = ancestral.data.load(str(source), dims=own.dims, channels=own.channels, image_size=own.image_size)
    for kind, items in (("data", data.items), ("samples", drawn)):
        sheet = render.picture(items[:64], 8, height=600, limits=model.spec.codec.limits)
        render.write_picture(folder / f"{name}-{kind}.png", sheet)
    trained = f"{model.step:,} steps in {seconds:.0f} s of CPU time on {torch.get_num_threads()} threads"
    print(f"\n{name}: {data.items.dtype} {tuple(data.items.shape)}, {trained}; {samples} samples\n")
    print(f"{'':32}{'known':>10}{'data':>10}{'samples':>10}{'allowed':>10}")
    of_data, of_samples = (case.measure(items.numpy().astype(np.float64)) for items in (data.items, drawn))
    good = True
    for key, (truth, allowed) in case.known.items():
        right = abs(of_samples[key] - truth) <= allowed
        good &= right
        numbers = "".join(f"{value:10.4g}" for value in (truth, of_data[key], of_samples[key], allowed))
        print(f"{key:32}{numbers}{'' if right else '   off'}", flush=True)
    return good


def main() -> int:
    """Run the cases that are asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"), help="a new folder")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0, help="of the data, the training and the samples")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    right = [
        run(name, options.out, options.samples, options.seed) for name in options.cases
    ]  # all, whatever the first came to
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
