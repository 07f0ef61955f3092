"""`ancestral history`: the methods from NCSN to consistency tuning, trained on points, measured and drawn."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ancestral import config as configs
from ancestral.cli.parse import parse
from ancestral.interrupts import raised
from ancestral.options import on_command_line


@dataclass(frozen=True)
class Options:
    """Train the methods of the history on points, measure the passes that each needs, and draw them side by side."""

    out: Path = Path("runs/history")
    """Folder for the figure, the measurements, and a run folder of each method."""
    data: str = "moons"
    """Points in the plane: moons, swissroll or checkerboard."""
    steps: int | None = None
    """Training steps of each method; default: the number of its preset, and of `ancestral distil` for consistency."""
    seed: int = 0
    """Seed of all random numbers, in training and in sampling."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    methods: tuple[str, ...] = configs.HISTORY
    """Names of the methods, in the order in which they are drawn. consistency starts from the model of edm, which is
    trained first."""


def main(argv: Sequence[str]) -> int:
    """Train, measure, draw, and return the exit code."""
    options = parse(Options, argv, "history")
    from ancestral.render.terminal import follow
    from ancestral.workflows.history import history

    with raised():
        result = follow(history(**dataclasses.asdict(options)), spelling=on_command_line)
    print(f"Go on with:  {shlex.join(['ancestral', 'history', *argv])}" if result is None else result)
    return 0
