"""Measure Ancestral against its peers: `python bench PART`, or all parts and then the page.

    python bench all                 every part, then docs/benchmarks.md (an hour or more on two cores)
    python bench steps --batch 8     one part; --help says what it takes
    python bench page                docs/benchmarks.md, from what bench/results holds
"""

import argparse
import importlib

PARTS = ("steps", "memory", "start", "sampling", "growth", "quality")


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
    options = parser.parse_args()
    if getattr(options, "threads", None):
        import torch

        torch.set_num_threads(options.threads)
    options.run(options)


if __name__ == "__main__":
    main()
