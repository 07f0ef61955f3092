"""Start: how long it takes to import each package and to be shown the help, in fresh processes that take turns.

`import torch` is there for scale: everything that trains needs it.
"""

import argparse
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from measure import alternate, paired, spread, write

IMPORTS = {
    "import torch": "import torch",
    "ancestral: import": "import ancestral",
    "ancestral: ready to train": "from ancestral.training import Trainer",
    "ancestral: ready to sample": "import ancestral; ancestral.load",
    "diffusers: import": "import diffusers",
    "diffusers: ready to train": "from diffusers import DDPMScheduler, UNet2DModel",
    "diffusers: ready to sample": "from diffusers import DDPMPipeline",
    "denoising-diffusion-pytorch: import": "import denoising_diffusion_pytorch",
}
"""It has no lazy parts: its import is ready for both."""

HELPS = {
    "ancestral --help": ("-m", "ancestral", "--help"),
    "ancestral train --help": ("-m", "ancestral", "train", "--help"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; one more warms up")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/start.KIND.json."""
    commands = {name: (sys.executable, "-W", "ignore", "-c", code) for name, code in IMPORTS.items() if there(code)}
    commands |= {name: (sys.executable, *words) for name, words in HELPS.items()}
    cli = shutil.which("diffusers-cli", path=str(Path(sys.executable).parent)) or shutil.which("diffusers-cli")
    if cli:
        commands["diffusers-cli --help"] = (cli, "--help")
    jobs = {name: (lambda words=words: start(words)) for name, words in commands.items()}
    seconds = alternate(jobs, options.rounds, wall=True)
    rows: list[dict[str, Any]] = []
    for name, each in seconds.items():
        row = {"what": name, "seconds": spread(each), "ratio": paired(each, seconds["ancestral: import"])}
        rows.append(row)
        print(f"{name}: {row['seconds']['median']:.2f} s", flush=True)
    write("start", torch.device("cpu"), {"rounds": options.rounds, "clock": "wall"}, rows)


def there(code: str) -> bool:
    """Whether the package that the code imports is installed."""
    return find_spec(code.split(";")[0].split()[1].split(".")[0]) is not None


def start(words: tuple[str, ...]) -> None:
    """Run a command to its end."""
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
