"""Compare Ancestral with other libraries: `python bench PART`, or all parts and then the page.

python bench all                 all parts, then docs/explanation/benchmarks.md (hours on two cores)
python bench steps --batch 8     one part; --help lists its options
python bench gpu                 all that a GPU is measured by; without one on a pretended one
python bench page                write docs/explanation/benchmarks.md from the files in bench/results
python bench record digits       measure an entry of the records (bench/records.md)
"""

import argparse
import importlib
import math
from pathlib import Path

import page
import records
from ancestral.base.errors import whole
from measure import errors_in_one_line, run_python

PARTS = ("steps", "memory", "start", "quality", "sampling", "growth")
"""The parts of `bench all`."""


def run_all(options: argparse.Namespace) -> None:
    """Run each part in a separate process with its default options, then write the page."""
    for name in PARTS:
        threads = ["--threads", str(options.threads)] if options.threads and name != "quality" else []
        run_python(str(Path(__file__).parent), name, *threads)
    page.write_page()


def main() -> None:
    """Parse the command line and run the part."""
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name in (*PARTS, "gpu", "words"):
        part = importlib.import_module(f"parts.{name}")
        command = commands.add_parser(
            name,
            help=part.__doc__.splitlines()[0],
            description=part.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--threads", type=int, help="number of PyTorch threads (default: all cores)")
        part.add_options(command)
        command.set_defaults(run=part.run)
    everything = commands.add_parser("all", help="all parts with their default options, then the page")
    everything.add_argument("--threads", type=int, help="number of PyTorch threads; the quality part always uses one")
    everything.set_defaults(run=run_all)
    command = commands.add_parser(
        "record",
        help=records.__doc__.splitlines()[0],
        description=records.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    records.add_options(command)
    command.set_defaults(run=records.run)
    commands.add_parser("page", help="write the page of benchmarks").set_defaults(run=lambda options: page.write_page())
    options = parser.parse_args()
    with errors_in_one_line():
        if getattr(options, "threads", None) is not None:
            import torch

            torch.set_num_threads(
                whole(options.threads, 1, math.inf, f"--threads must be at least 1, not {options.threads}")
            )
        options.run(options)


if __name__ == "__main__":
    main()
