"""Measure the time of listing and loading a folder of a million images, and its memory.

    python bench/million_files.py [--files 1000000] [--workers 2] [--folder PLACE] [--grey]

The files are hard links to a thousand small PNG files. They are in a hundred folders in a temporary folder, which is
removed at the end. The peak memory of the training process is its peak resident memory. With workers, the proportional
set size (PSS) is added up, so that shared pages count once.
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

LINKS = 1000  # hard links to one file, far below the limits of file systems
FOLDERS = 100


def make(root: Path, count: int, grey: bool) -> None:
    """Make `count` PNG files of 16 × 16 pixels, RGB or grey, as hard links to every thousandth of them."""
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
    """Format bytes in MB."""
    return f"{size / 1e6:,.0f} MB"


def peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Make the files, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000, help="number of files (default: 1000000)")
    parser.add_argument("--workers", type=int, default=2, help="number of loader processes (default: 2)")
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder (default: the system's)")
    parser.add_argument("--grey", action="store_true", help="make grey files, whose headers are all read (not RGB)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder) / "images"
        began = time.perf_counter()
        make(root, options.files, options.grey)
        print(f"made {options.files:,} files in {time.perf_counter() - began:.0f} s", flush=True)
        process = psutil.Process()
        rss_before, pss_before = process.memory_info().rss, process.memory_full_info().pss
        began = time.perf_counter()
        source = data.open(str(root), memory=0)
        assert isinstance(source, LazyDataset)
        print(f"found {len(source):,}, {len(source.classes)} classes, in {time.perf_counter() - began:.1f} s")
        print(f"peak memory: {megabytes(peak() - rss_before)} above {megabytes(rss_before)} of the package", flush=True)
        for workers in dict.fromkeys((0, options.workers)):
            began = time.perf_counter()
            with Loader(source, seed=0, batch_size=128, positions=range(128), workers=workers) as loader:
                batches = loader.batches(0)
                next(batches)
                first = time.perf_counter() - began
                for _ in range(200):
                    next(batches)
                rate = 200 * 128 / (time.perf_counter() - began - first)
                pss = sum(each.memory_full_info().pss for each in (process, *process.children()))
            print(
                f"{workers} workers: first batch after {first:.2f} s, then {rate:,.0f} images/s; peak of this process "
                f"{megabytes(peak() - rss_before)}, PSS with its workers {megabytes(pss - pss_before)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
