"""What a folder of a million images costs: the time to find them, and memory above the package's own.

    python bench/million_files.py [--files 1000000] [--workers 2] [--folder PLACE] [--grey]

The files are hard links to a thousand small PNGs, in a hundred folders, made in a temporary folder and removed again.
Peak memory is the kernel's own count for the training process; that of workers is their proportional share (PSS), so
that pages which they share with it count once.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from ancestral import data
from ancestral.data import LazyDataset
from ancestral.data.loading import Loader

LINKS = 1000  # to one file, far below what file systems allow; more files are made for more links
FOLDERS = 100


def make(root: Path, count: int, grey: bool) -> None:
    """`count` files of 16 x 16 pixels, RGB or grey, each of a thousand links to one of few."""
    rng = np.random.default_rng(0)
    for k in range(FOLDERS):
        (root / f"class_{k:03d}").mkdir(parents=True)
    for i in range(count):
        path = root / f"class_{i % FOLDERS:03d}" / f"picture_{i:07d}.png"
        if i % LINKS == 0:
            Image.fromarray(rng.integers(0, 256, (16, 16) if grey else (16, 16, 3), dtype=np.uint8)).save(path)
            first = path
        else:
            os.link(first, path)


def megabytes(size: float) -> str:
    """Bytes in MB."""
    return f"{size / 1e6:,.0f} MB"


def peak() -> int:
    """The most that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to make them; the system's temporary folder unless given")
    parser.add_argument("--grey", action="store_true", help="grey files, all of whose headers are read, not RGB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        root = Path(place) / "images"
        began = time.perf_counter()
        make(root, options.files, options.grey)
        print(f"made {options.files:,} files in {time.perf_counter() - began:.0f} s", flush=True)
        process = psutil.Process()
        before, alone = process.memory_info().rss, process.memory_full_info().pss
        began = time.perf_counter()
        source = data.open(str(root), memory=0)
        assert isinstance(source, LazyDataset)
        print(f"found {len(source):,}, {len(source.classes)} classes, in {time.perf_counter() - began:.1f} s")
        print(f"peak above the {megabytes(before)} of the package: {megabytes(peak() - before)}", flush=True)
        for workers in dict.fromkeys((0, options.workers)):
            began = time.perf_counter()
            with Loader(source, seed=0, batch_size=128, positions=range(128), workers=workers) as loader:
                batches = loader.batches(0)
                next(batches)
                first = time.perf_counter() - began
                for _ in range(200):
                    next(batches)
                rate = 200 * 128 / (time.perf_counter() - began - first)
                held = sum(each.memory_full_info().pss for each in (process, *process.children()))
            print(
                f"{workers} workers: first batch after {first:.2f} s, then {rate:,.0f} images/s; peak of this process "
                f"{megabytes(peak() - before)}, with its workers {megabytes(held - alone)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
