"""`ancestral doctor SOURCE`: what a data set is, what is wrong with it, and what a training of it will take."""

import dataclasses
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from tyro.conf import Positional, arg

from ancestral import config as configs
from ancestral.cli.parse import parse
from ancestral.config import Config
from ancestral.errors import InputError

T = TypeVar("T")
PRINTED = Path("-")
PLAIN_WIDTH = 200
"""Characters of a line where there is no terminal, so that nothing that can be searched for is broken."""


@dataclass(frozen=True)
class Options:
    """Examine a data set before training on it.

    The exit code is 0 where it can be trained on, with warnings too; 1 where the report says why it cannot; 2 where
    there is nothing to examine.
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A folder of images, a .npy or .npz file, or a built-in (digits, fashion, cifar10, moons ...)."""
    preset: str | None = None
    """The preset whose training is judged and measured; None is the one that ancestral train takes for SOURCE."""
    image_size: int | None = None
    """Side to which training crops and resizes; None is the preset's."""
    channels: int | None = None
    """1 for grey, 3 for RGB; None is the preset's."""
    dims: Literal[1, 2, 3] | None = None
    """Axes of an array besides channels: 1 for signals, 2 for images, 3 for volumes; None reads it off the shape."""
    background: str = "white"
    """Colour that shows through transparent images: a name or #rrggbb."""
    steps: int = 5
    """Training steps that are measured for the estimate of time and memory; 0 leaves it out."""
    threads: int | None = None
    """Threads that decode files; None is one a core, 8 at most."""
    device: str = "auto"
    """Where to measure: auto, cpu, cuda, cuda:N or mps."""
    json: Path | None = None
    """Write everything as JSON into this .json file, with all names; left bare, print it instead of the page."""
    out: Path | None = None
    """The contact sheet: a .png, or a folder for it; None is runs/doctor/NAME.png."""


def main(argv: Sequence[str]) -> int:
    """Examine, and return the exit code."""
    options = parse(Options, _with_path(argv), "doctor")
    config = _config(options)
    _check(options)

    from rich.console import Console

    from ancestral import data, doctor, render, storage
    from ancestral.device import keep_freed_memory, pick_device

    pick_device(options.device)
    out = _sheet_path(options, data.BUILTINS)
    render.check_sheet(out)
    keep_freed_memory()
    found = doctor.examine(
        options.source, config, steps=options.steps, threads=options.threads, device=options.device, watch=_watch
    )
    render.write_sheet(out, found.sheet)
    if options.json == PRINTED:
        print(found.to_json())
        return 0 if found.trainable else 1
    if options.json is not None:
        storage.write_text(options.json, found.to_json() + "\n")
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(doctor.page(found), soft_wrap=True)
    console.print(f"\nLook at {out}" + (f"; all of it is in {options.json}" if options.json else ""), soft_wrap=True)
    if found.trainable:
        console.print(f"Train on it:  {_command(options, config)}", soft_wrap=True)
    return 0 if found.trainable else 1


def _config(options: Options) -> Config:
    """The config of the training that is judged."""
    config = configs.preset(options.preset or configs.default_preset(options.source))
    settings = dataclasses.replace(config.data, background=options.background, dims=options.dims)
    if options.image_size is not None:
        settings = dataclasses.replace(settings, image_size=options.image_size)
    if options.channels is not None:
        settings = dataclasses.replace(settings, channels=options.channels)
    return dataclasses.replace(config, data=settings)


def _check(options: Options) -> None:
    """Refuse, before any work, what could not be written at the end, and numbers that cannot be."""
    if options.steps < 0:
        raise InputError(f"--steps must be at least 0, not {options.steps}")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads must be at least 1, not {options.threads}")
    if options.json not in (None, PRINTED) and options.json.suffix.lower() != ".json":
        raise InputError(f"--json writes .json files, not {options.json}; left bare, it prints")
    if options.json is not None and options.json.is_dir():
        raise InputError(f"{options.json} is a folder; give --json the name of a file")
    suffix = options.out.suffix if options.out is not None and not options.out.is_dir() else ""
    if suffix.lower() not in ("", ".png"):
        raise InputError(f"the contact sheet is a .png, not {suffix}; give --out a .png or a folder")


def _sheet_path(options: Options, builtins: Iterable[str]) -> Path:
    """Where the contact sheet goes. Raises InputError for a place among the data, where it would become an image."""
    source = Path(options.source).expanduser()
    name = options.source if options.source in builtins else source.resolve().stem or "data"
    out = options.out or Path("runs/doctor")
    if out.suffix.lower() != ".png" or out.is_dir():
        out = out / f"{name}.png"
    if options.source not in builtins and source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"the contact sheet {out} lies in the data and would be trained on; give --out a place outside"
        )
    return out


def _watch(things: Iterable[T], what: str, count: int) -> Iterable[T]:
    """Progress on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(things, f"reading {count:,} {what}", count, console=console, transient=True,
                 disable=not console.is_terminal)  # fmt: skip


def _command(options: Options, config: Config) -> str:
    """The training that was judged, as a command."""
    words = ["ancestral", "train", config.preset]
    if options.source != configs.preset(config.preset).data.source:
        words += ["--data", options.source]
    for name in ("image_size", "channels", "dims"):
        if getattr(options, name) is not None:
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.background != "white":
        words += ["--background", options.background]
    return shlex.join(words)


def _with_path(argv: Sequence[str]) -> list[str]:
    """`--json` may stand alone, which prints: give it `-` where no .json follows."""
    args = []
    for word, following in zip(argv, [*argv, ""][1:], strict=True):
        args.append(word)
        if word == "--json" and following != str(PRINTED) and not following.lower().endswith(".json"):
            args.append(str(PRINTED))
    return args
