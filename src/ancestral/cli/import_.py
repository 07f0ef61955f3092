"""`ancestral import DIR`: a run folder from a folder that diffusers saved."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError


@dataclass(frozen=True)
class Options:
    """Read a DDPMPipeline or DDIMPipeline of diffusers, an unconditional UNet2DModel with its scheduler."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder that diffusers saved, with its weights as safetensors."""
    out: Path | None = None
    """Run folder, a new one; None is runs/ and the name of DIR."""


def main(argv: Sequence[str]) -> int:
    """Import, and return the exit code."""
    options = parse(Options, argv, "import")
    from ancestral import interop, storage
    from ancestral.model import FILE_NAME

    if options.folder.parts[:1] == ("hf:",):
        raise InputError(
            "models of other libraries are not fetched: `hf download USER/REPO --local-dir DIR`, then import DIR"
        )
    if (options.folder / FILE_NAME).is_file():
        raise InputError(f"{options.folder} is a run of ancestral's already: ancestral sample {options.folder}")
    out = options.out or Path("runs") / options.folder.resolve().name
    model, remarks = interop.read_pipeline(options.folder)
    with storage.atomic_folder(out) as folder:
        model.save(folder / FILE_NAME)
        storage.write_text(folder / "config.json", model.config.to_json())
    print(out)
    for remark in remarks:
        print(remark)
    print(f"Try:  ancestral sample {shlex.quote(str(out))}")
    return 0
