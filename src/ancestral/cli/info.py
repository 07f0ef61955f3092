"""`ancestral info RUN`: what a run or a model file holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Show what a run or a model file holds."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    net: Annotated[str | None, arg(metavar="package.module:function")] = None
    """Function that builds the network of your own that the model was trained with."""


def main(argv: Sequence[str]) -> int:
    """Print the description, and return the exit code."""
    options = parse(Options, argv, "info")
    from ancestral.workflows import publish

    print(publish.info(options.run, options.net))
    return 0
