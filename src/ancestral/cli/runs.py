"""`ancestral runs [DIR]`: the runs of a folder as a table; with --clean, what finished ones no longer need."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError
from ancestral.options import on_command_line


@dataclass(frozen=True)
class Options:
    """List the runs of a folder, or remove what finished runs no longer need."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")] = Path("runs")
    """Folder that holds run folders, or one run folder."""
    clean: bool = False
    """Show what finished runs no longer need: checkpoints but the newest, the snapshots for ancestral average, and
    temporary files that were left. Nothing is removed without the option yes."""
    yes: bool = False
    """Remove what the option clean shows."""


def main(argv: Sequence[str]) -> int:
    """Print the table, and return the exit code."""
    options = parse(Options, argv, "runs")
    if options.yes and not options.clean:
        raise InputError("--yes removes what --clean shows; give both")
    from ancestral.workflows.runs import clean_runs, runs

    result = clean_runs(options.folder, yes=options.yes) if options.clean else runs(options.folder)
    print(result.to_text(on_command_line))
    return 0
