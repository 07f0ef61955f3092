"""`ancestral import DIR`: a run folder from a folder that diffusers saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.options import on_command_line


@dataclass(frozen=True)
class Options:
    """Read a DDPMPipeline or DDIMPipeline of diffusers: an unconditional UNet2DModel with its scheduler."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder that diffusers saved, with its weights as safetensors."""
    out: Path | None = None
    """New run folder; default: runs/ and the name of DIR."""


def main(argv: Sequence[str]) -> int:
    """Import, and return the exit code."""
    options = parse(Options, argv, "import")
    from ancestral.render.terminal import follow
    from ancestral.workflows import publish

    follow(publish.import_pipeline(options.folder, options.out), spelling=on_command_line)
    return 0
