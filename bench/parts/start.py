"""Start: the time to import each package and to print the help, in new processes, interleaved.

`import torch` is included for comparison, since every library needs it for training.
"""

import argparse
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from measure import alternate, paired_ratio, quartiles, write_result

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
"""denoising-diffusion-pytorch imports all its modules at once, so it needs one entry only."""

HELPS = {
    "ancestral --help": ("-m", "ancestral", "--help"),
    "ancestral train --help": ("-m", "ancestral", "train", "--help"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds after the warm-up (default: 7)")


def run(options: argparse.Namespace) -> None:
    """Measure all commands and write results/start.KIND.json."""
    commands = {name: (sys.executable, "-W", "ignore", "-c", code) for name, code in IMPORTS.items() if installed(code)}
    commands |= {name: (sys.executable, *arguments) for name, arguments in HELPS.items()}
    cli = shutil.which("diffusers-cli", path=str(Path(sys.executable).parent)) or shutil.which("diffusers-cli")
    if cli:
        commands["diffusers-cli --help"] = (cli, "--help")
    jobs = {name: (lambda command=command: run_command(command)) for name, command in commands.items()}
    seconds = alternate(jobs, options.rounds, wall=True)
    rows: list[dict[str, Any]] = []
    for name, each in seconds.items():
        row = {"what": name, "seconds": quartiles(each), "ratio": paired_ratio(each, seconds["ancestral: import"])}
        rows.append(row)
        print(f"{name}: {row['seconds']['median']:.2f} s", flush=True)
    write_result("start", torch.device("cpu"), {"rounds": options.rounds, "clock": "wall"}, rows)


def installed(code: str) -> bool:
    """Return whether the package that the code imports is installed."""
    return find_spec(code.split(";")[0].split()[1].split(".")[0]) is not None


def run_command(command: tuple[str, ...]) -> None:
    """Run a command and discard its output."""
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
