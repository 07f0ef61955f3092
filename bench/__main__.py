"""Measure Ancestral against its peers: `python bench PART`, or all parts and then the page.

python bench all                 every part, then docs/benchmarks.md (hours on two cores)
python bench steps --batch 8     one part; --help says what it takes
python bench page                docs/benchmarks.md, from what bench/results holds
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import page

PARTS = ("steps", "memory", "start", "quality", "sampling", "growth")


def every(options: argparse.Namespace) -> None:
    """Each part in a process of its own, as if called alone; then the page."""
    for name in PARTS:
        words = ["--threads", str(options.threads)] if options.threads and name != "quality" else []
        subprocess.run([sys.executable, str(Path(__file__).parent), name, *words], check=True)
    page.write()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name in PARTS:
        part = importlib.import_module(f"parts.{name}")
        command = commands.add_parser(
            name,
            help=part.__doc__.splitlines()[0],
            description=part.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--threads", type=int, help="threads of PyTorch; as many as there are cores unless given")
        part.add_options(command)
        command.set_defaults(run=part.run)
    whole = commands.add_parser("all", help="every part at its defaults, then the page")
    whole.add_argument("--threads", type=int, help="threads of PyTorch, but for quality, which takes one")
    whole.set_defaults(run=every)
    commands.add_parser("page", help="docs/benchmarks.md").set_defaults(run=lambda options: page.write())
    options = parser.parse_args()
    if getattr(options, "threads", None):
        import torch

        torch.set_num_threads(options.threads)
    options.run(options)


if __name__ == "__main__":
    main()
