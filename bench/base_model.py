"""Measure whether a pretrained start helps: fine-tuning on 200 images against training from scratch, in equal steps.

    python bench/base_model.py data PACKAGES DATA          make the images of 32x32 from the unpacked packages
    python bench/base_model.py train DATA BASE             train the model to start from on DATA/base
    python bench/base_model.py trial DATA BASE RESULTS     the trial on emoji, icons and photographs

PACKAGES has a folder for each package, of its name without a scope, with its content as `dpkg-deb -x` or `tar x` lays
it: Debian's openclipart-png, tango-icon-theme and budgie-backgrounds, and npm's @lobehub/fluent-emoji-3d and
emoji-datasource-twitter, to train on (BASE below has their licences); and Debian's oxygen-icon-theme, mate-backgrounds
and plasma-workspace-wallpapers, and npm's emoji-datasource-google, to measure with alone.

The trial draws 200 images of each data set by a seed and trains on them for equal steps from the model and from
nothing, with equal settings. `evaluate` compares the samples with up to 800 other images of the set. README.md has what
was found: the start did not help, so no such model is shipped.
"""

import argparse
import itertools
import json
import math
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

import ancestral
from measure import write_json

SIDE = 32
PREPARED = dict[str, Image.Image]

BASE = {
    "openclipart-png": "CC0-1.0 or public domain",
    "tango-icon-theme": "CC0-1.0 (application-pdf, which is LGPL-2.1, is left out)",
    "budgie-backgrounds": "CC0-1.0",
    "fluent-emoji-3d": "MIT (Microsoft)",
    "emoji-datasource-twitter": "CC-BY-4.0 (Twemoji)",
}
"""The packages whose images the model is trained on, with their licences."""
CROPS = 250
"""Number of random crops of each photograph that is trained on."""
PHOTOGRAPHS = {
    "mate-backgrounds": (
        *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm"),
        *("TwoWings", "Wood", "YellowFlower"),
    ),
    "plasma-workspace-wallpapers": (
        *("BytheWater", "ColdRipple", "ColorfulCups", "EveningGlow", "FallenLeaf", "Kite", "OneStandsOut", "Path"),
        *("Volna", "summer_1am", "DarkestHour"),
    ),
}
"""The photographs among the wallpapers that are measured with."""
TILES = (6, 4)
"""Columns and rows of the tiles of such a photograph, each of which is an image."""
SETS = ("emoji", "icons", "photographs")
TRAINED, HELD_OUT = 200, 800
STARTS = ("nothing", "base")
BASE_STEPS, STEPS = 7000, 3500
"""Steps of the model to start from, 10 CPU-minutes, and of the trial, 5 to 6 CPU-minutes, on a busy core of an EPYC."""


def on_white(image: Image.Image, side: int = SIDE) -> Image.Image:
    """Fit an image into a square on white."""
    image = image.convert("RGBA")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.convert("RGB")


LEFT_OUT = re.compile("application-pdf|shapes/stars|-1f3f[b-f]")
"""A drawing of another licence, 1,378 nearly equal stars and wheels, and emoji of five further skin tones."""


def drawings(folder: Path, pattern: str) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over the drawings of a package, without those of nearly one colour."""
    for path in sorted(folder.glob(pattern)):
        if LEFT_OUT.search(str(path)):
            continue
        try:
            with Image.open(path) as image:
                drawing = on_white(image)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        if max(high - low for low, high in drawing.getextrema()) > 32:
            yield path.stem, drawing


def random_crops(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over random square crops of photographs, of all scales down to one pixel for a pixel."""
    draw = random.Random(0)
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as file:
            photo = file.convert("RGB")
        for index in range(CROPS):
            side = round(math.exp(draw.uniform(math.log(64), math.log(min(photo.size)))))
            left, top = draw.randint(0, photo.width - side), draw.randint(0, photo.height - side)
            crop = photo.crop((left, top, left + side, top + side))
            yield f"{path.stem}-{index}", crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def tiles(packages: Path) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over the tiles of the photographs that are measured with."""
    for package, names in PHOTOGRAPHS.items():
        for name in names:
            paths = [path for path in (packages / package).rglob("*.[jp][pn]g") if name in (path.stem, path.parts[-4])]
            paths = [path for path in paths if "screenshot" not in path.name and "images_dark" not in path.parts]
            with Image.open(max(paths, key=lambda path: path.stat().st_size)) as file:
                photo = file.convert("RGB")
            columns, rows = TILES
            side = min(photo.width // columns, photo.height // rows)
            for index in range(columns * rows):
                left, top = index % columns * side, index // columns * side
                tile = photo.crop((left, top, left + side, top + side))
                yield f"{name}-{index}", tile.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def write(images: Iterator[tuple[str, Image.Image]], folder: Path, prefix: str = "") -> int:
    """Write images without repetitions as PNG files; return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = {}
    for name, image in images:
        seen.setdefault(image.tobytes(), (name, image))
    for index, (name, image) in enumerate(seen.values()):
        image.save(folder / f"{prefix}{index:05}-{name[:60]}.png")
    return len(seen)


def make_data(packages: Path, out: Path) -> None:
    """Write the images to train on and the three data sets."""
    shutil.rmtree(out, ignore_errors=True)
    clips = drawings(packages / "openclipart-png", "**/*.png")
    icons = drawings(packages / "tango-icon-theme", "**/32x32/**/*.png")
    fluent = drawings(packages / "fluent-emoji-3d", "**/*.webp")
    twitter = drawings(packages / "emoji-datasource-twitter", "**/img/twitter/64/*.png")
    photos = random_crops(packages / "budgie-backgrounds")
    for package, images in zip(BASE, (clips, icons, photos, fluent, twitter), strict=True):
        print(package, write(images, out / "base", f"{package}-"), flush=True)
    google = drawings(packages / "emoji-datasource-google", "**/img/google/64/*.png")
    oxygen = drawings(packages / "oxygen-icon-theme", "**/base/32x32/**/*.png")
    for name, images in (("emoji", google), ("icons", oxygen), ("photographs", tiles(packages))):
        print(name, write(images, out / name), flush=True)


def train_base(images: Path, out: Path, steps: int) -> None:
    """Train the model to start from: the preset `folder` without classes."""
    ancestral.train(
        "folder", data=images / "base", out=out, steps=steps, class_labels=False, measure_every=0, device="cpu"
    )


def draw(images: Path, out: Path, seed: int) -> tuple[Path, Path]:
    """Copy the images that are trained on and those that are held out to two folders, by a seed."""
    files = sorted(images.glob("*.png"))
    random.Random(seed).shuffle(files)
    folders = (out / "trained", out / "held-out")
    for folder, chosen in zip(folders, (files[:TRAINED], files[TRAINED:][:HELD_OUT]), strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in chosen:
            shutil.copy(file, folder)
    return folders


def trial(images: Path, base: Path | None, out: Path, seed: int, steps: int, lr: float, samples: int) -> dict[str, Any]:
    """Train on 200 images from the model, or from nothing without one, and evaluate samples against held-out images."""
    trained, held_out = draw(images, out, seed)
    start = time.process_time()
    run = ancestral.train(
        "folder", data=trained, initial=base, out=out / "run", steps=steps, lr=lr, seed=seed, class_labels=False,
        measure_every=0, sample_every=steps, save_every=steps, device="cpu",
    )  # fmt: skip
    seconds = time.process_time() - start
    found = ancestral.evaluate(
        run.model, data=trained, held_out=held_out, samples=samples, metrics=["kernel", "frechet", "memorisation"],
        device="cpu", out=out / "evaluation",
    )  # fmt: skip
    print(found)
    row = {"data": images.name, "from": "base" if base else "nothing", "seed": seed, "steps": steps, "lr": lr}
    return row | {"cpu_seconds": seconds, "samples": json.loads((out / "evaluation" / "samples.json").read_text())}


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("data", help="make the images")
    command.add_argument("packages", type=Path)
    command.add_argument("images", type=Path)
    command = commands.add_parser("train", help="train the model to start from")
    command.add_argument("images", type=Path)
    command.add_argument("base", type=Path)
    command.add_argument("--steps", type=int, default=BASE_STEPS)
    command = commands.add_parser("trial", help="train on 200 images from the model and from nothing")
    command.add_argument("images", type=Path)
    command.add_argument("base", type=Path)
    command.add_argument("out", type=Path, help="folder for the runs and a JSON file for each")
    command.add_argument("--data", nargs="+", default=list(SETS), choices=list(SETS))
    command.add_argument("--start", nargs="+", default=list(STARTS), choices=list(STARTS))
    command.add_argument("--seeds", type=int, nargs="+", default=[0])
    command.add_argument("--steps", type=int, default=STEPS)
    command.add_argument("--lr", type=float, default=2e-3, help="learning rate (default: 2e-3, the preset's)")
    command.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    if options.command == "data":
        make_data(options.packages, options.images)
    elif options.command == "train":
        train_base(options.images, options.base, options.steps)
    else:
        for seed, name, start in itertools.product(options.seeds, options.data, options.start):
            out = options.out / f"{name}-{start}-{options.lr:g}-{options.steps}-{seed}"
            base = options.base if start == "base" else None
            row = trial(options.images / name, base, out, seed, options.steps, options.lr, options.samples)
            write_json(out.with_name(f"{out.name}.json"), row)


if __name__ == "__main__":
    main()
