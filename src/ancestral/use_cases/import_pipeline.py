"""A run folder from a pipeline that diffusers saved."""

import dataclasses
import shlex
from collections.abc import Generator
from pathlib import Path

from ancestral import interop
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, Wrote
from ancestral.config import run_files
from ancestral.declarations import Import


def plan(options: Import) -> Import:
    """Decide where the run folder is. Raises InputError for a folder that is not of diffusers."""
    folder = Path(options.folder)
    if folder.parts[:1] == ("hf:",):
        raise InputError("models of other libraries are not fetched: `hf download` one, then import its folder")
    if (folder / run_files.MODEL).is_file():
        raise InputError(f"{folder} is a run of ancestral's already: ancestral sample {folder}")
    return dataclasses.replace(options, out=options.out or Path("runs") / folder.resolve().name)


def run(plan: Import) -> Generator[Event, None, Path]:
    """Make the run folder and return it. Raises InputError if the pipeline cannot be imported."""
    out = Path(plan.out or "")
    model, remarks = interop.read_pipeline(Path(plan.folder))
    with storage.atomic_folder(out) as temporary:
        model.save(temporary / run_files.MODEL)
        storage.write_text(temporary / run_files.CONFIG, model.config.to_file_text())
    yield Wrote(out)
    for line in [*remarks, f"Try:  ancestral sample {shlex.quote(str(out))}"]:
        yield Message(line)
    return out
