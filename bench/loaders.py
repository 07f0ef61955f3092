"""Images a second of each kind of source, against decoding alone, on small synthetic PNGs.

    python bench/loaders.py [--images 6000] [--size 64] [--seconds 3]

"decoding alone" turns bytes that are in memory into items, in one thread, with nothing else around it: what no source
can beat on one core. Images a second of a core's time, workers' included, tell what a source costs even where other
programs are busy on the machine; images a second of the clock are what a training would get, had it nothing to do but
wait for them. The last line is what the preset digits consumes while it trains on all cores.
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
from ancestral.data import Dataset
from ancestral.data.convert import Conversion
from ancestral.data.loading import Loader
from ancestral.data.sources.image_files import decode_image, strict_pillow
from ancestral.training import Trainer

BATCH = 64
SHARDS = 8


def pngs(count: int, size: int) -> list[bytes]:
    """Smooth pictures with some noise, which compress about as photographs do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    made = []
    for _ in range(count):
        waves = [128 + 90 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-6, 6, (3, 3))]
        out = io.BytesIO()
        pixels = np.stack(waves, -1) + rng.normal(0, 4, (size, size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "PNG")
        made.append(out.getvalue())
    return made


def write(root: Path, raws: list[bytes]) -> None:
    """The same images as a tree, as shards, and as a data set on disk and in parquet."""
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


def cores() -> float:
    """Seconds of a core that this process and its workers have had."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(each.user + each.system for each in times)


def rates(advance: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Images a second of the clock, and of a core's time, after one call that does not count."""
    advance()
    began, used, done = time.perf_counter(), cores(), 0
    while time.perf_counter() - began < seconds:
        done += advance()
    return done / (time.perf_counter() - began), done / (cores() - used)


def loaded(source: Dataset, workers: int, seconds: float) -> tuple[float, float]:
    """The rates of a loader while nothing else is done."""
    with Loader(source, seed=0, batch_size=BATCH, positions=range(BATCH), workers=workers) as loader:
        batches = loader.batches(0)
        return rates(lambda: len(next(batches).items), seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["ANCESTRAL_CACHE"] = f"{place}/cache"
        root = Path(place)
        raws = pngs(options.images, options.size)
        write(root, raws)
        print(
            f"{len(raws):,} PNGs of {options.size} x {options.size}, {np.mean([len(r) for r in raws]):,.0f} bytes each"
        )
        conversion = Conversion(channels=3, bits=8)
        turn = itertools.cycle(raws)
        print(f"{'':31} {'by the clock':>14} {'a core-second':>14} {'of decoding':>12}")
        with strict_pillow():
            bare = rates(lambda: len(decode_image(next(turn), conversion)[:1]), options.seconds)
        print(f"{'decoding alone':31} {bare[0]:14,.0f} {bare[1]:14,.0f} {1:12.2f}", flush=True)
        sources: dict[str, Dataset] = {
            "memory": data.load(str(root / "tree")),
            "tree": data.open(str(root / "tree"), memory=0),
            "tar": data.open(str(root / "tar"), memory=0),
            "datasets": data.open(str(root / "saved"), memory=0),
            "parquet": data.open(str(root / "parquet"), memory=0),
        }
        for name, source in sources.items():
            for workers in (0,) if source.in_memory else (0, 2):
                clock, core = loaded(source, workers, options.seconds)
                print(f"{name:20}, {workers} workers {clock:14,.0f} {core:14,.0f} {core / bare[1]:12.2f}", flush=True)
        trainer = Trainer(config.digits(), data.load("digits"), "cpu")
        size = trainer.config.train.batch_size

        def step() -> int:
            trainer.advance()
            return size

        clock, core = rates(step, 10 * options.seconds)
        name = f"training, {torch.get_num_threads()} threads"
        print(f"{name:31} {clock:14,.0f} {core:14,.0f}")


if __name__ == "__main__":
    main()
