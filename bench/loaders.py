"""Images per second of each kind of data source, compared with decoding alone, on small synthetic PNG files.

    python bench/loaders.py [--images 6000] [--size 64] [--seconds 3]

"decoding alone" decodes bytes in memory in one thread. It is the upper limit of every source on one core. The column
"per second" divides the number of images by wall time: it is the rate that a training run could receive. The column
"per CPU-second" divides by the CPU time of the process and its workers, which other programs on the machine do not
affect. The last line is the rate at which a training run with the preset digits consumes images, on all cores.
"""

import argparse
import io
import itertools
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import psutil
import torch
from PIL import Image

from ancestral import config, data
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.convert import Conversion
from ancestral.data.decoding import decode_image, strict_pillow
from ancestral.data.loading import Loader
from ancestral.training import Trainer

BATCH = 64
SHARDS = 8


def make_pngs(count: int, size: int) -> list[bytes]:
    """Make smooth images with some noise, which compress about as well as photographs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    encoded = []
    for _ in range(count):
        waves = [128 + 90 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-6, 6, (3, 3))]
        out = io.BytesIO()
        pixels = np.stack(waves, -1) + rng.normal(0, 4, (size, size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "PNG")
        encoded.append(out.getvalue())
    return encoded


def write_sources(root: Path, raws: list[bytes]) -> None:
    """Write the same images as a folder tree, as tar shards, as a saved data set, and as parquet files."""
    per = -(-len(raws) // SHARDS)
    (root / "tar").mkdir()
    (root / "parquet").mkdir()
    for k in range(SHARDS):
        with tarfile.open(root / "tar" / f"{k:03d}.tar", "w") as tar:
            for i, raw in enumerate(raws[k * per : (k + 1) * per], k * per):
                for name, content in ((f"{i:06d}.png", raw), (f"{i:06d}.cls", str(i % 10).encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    for i, raw in enumerate(raws):
        path = root / "tree" / f"class {i % 10}" / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": raw, "path": None} for raw in raws], "label": [i % 10 for i in range(len(raws))]},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(i) for i in range(10)])}
        ),
    )
    rows.save_to_disk(root / "saved", num_shards=SHARDS)
    for k in range(SHARDS):
        rows.shard(SHARDS, k, contiguous=True).to_parquet(root / "parquet" / f"{k}.parquet")


def cpu_seconds() -> float:
    """Return the CPU time of this process and its workers."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(each.user + each.system for each in times)


def throughput(advance: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Measure images per second and per CPU-second.

    Args:
        advance: Processes some images and returns their number. Its first call is not timed.
        seconds: Wall time of the measurement.
    """
    advance()
    began, cpu_began, count = time.perf_counter(), cpu_seconds(), 0
    while time.perf_counter() - began < seconds:
        count += advance()
    return count / (time.perf_counter() - began), count / (cpu_seconds() - cpu_began)


def loader_throughput(source: Dataset, workers: int, seconds: float) -> tuple[float, float]:
    """Measure the throughput of a loader without training."""
    with Loader(source, seed=0, batch_size=BATCH, positions=range(BATCH), workers=workers) as loader:
        batches = loader.batches(0)
        return throughput(lambda: len(next(batches).items), seconds)


def main() -> None:
    """Measure all sources and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000, help="number of images (default: 6000)")
    parser.add_argument("--size", type=int, default=64, help="width and height in pixels (default: 64)")
    parser.add_argument("--seconds", type=float, default=3, help="duration of each measurement (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ANCESTRAL_CACHE"] = f"{folder}/cache"
        root = Path(folder)
        raws = make_pngs(options.images, options.size)
        write_sources(root, raws)
        print(
            f"{len(raws):,} PNGs of {options.size} x {options.size}, {np.mean([len(r) for r in raws]):,.0f} bytes each"
        )
        conversion = Conversion(channels=3, bits=8)
        repeated = itertools.cycle(raws)
        print(f"{'':31} {'per second':>14} {'per CPU-second':>14} {'of decoding':>12}")
        with strict_pillow():
            decoding = throughput(lambda: len(decode_image(next(repeated), conversion)[:1]), options.seconds)
        print(f"{'decoding alone':31} {decoding[0]:14,.0f} {decoding[1]:14,.0f} {1:12.2f}", flush=True)
        sources: dict[str, Dataset] = {
            "memory": data.load(str(root / "tree")),
            "tree": data.open(str(root / "tree"), memory=0),
            "tar": data.open(str(root / "tar"), memory=0),
            "datasets": data.open(str(root / "saved"), memory=0),
            "parquet": data.open(str(root / "parquet"), memory=0),
        }
        for name, source in sources.items():
            for workers in (0,) if isinstance(source, InMemoryDataset) else (0, 2):
                wall, cpu = loader_throughput(source, workers, options.seconds)
                print(f"{name:20}, {workers} workers {wall:14,.0f} {cpu:14,.0f} {cpu / decoding[1]:12.2f}", flush=True)
        trainer = Trainer(config.preset("digits"), data.load("digits"), "cpu")
        size = trainer.config.train.batch_size

        def step() -> int:
            trainer.advance()
            return size

        wall, cpu = throughput(step, 10 * options.seconds)
        name = f"training, {torch.get_num_threads()} threads"
        print(f"{name:31} {wall:14,.0f} {cpu:14,.0f}")


if __name__ == "__main__":
    main()
