"""`ancestral doctor SOURCE`: what a data set is, what is wrong with it, and what training on it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ancestral import config as configs
from ancestral.cli.parse import parse
from ancestral.options import on_command_line

PRINTED = Path("-")
"""The path of --json without one."""
FORM = ("image_size", "fit", "channels", "dims", "length", "background")
"""The options that say how training reads the data."""
STYLES = {"✗ error:": "bold red", "! warning:": "bold yellow", "· note:": "bold blue"}


@dataclass(frozen=True)
class Options:
    """Inspect a data set before training on it.

    The exit code is 0 if it can be trained on, 1 if the report says why it cannot, and 2 if there is nothing to
    inspect.
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A folder of images or .wav files, a .npy or .npz file, or a built-in data set (digits, fashion, cifar10 ...)."""
    preset: str | None = None
    """Preset of the training run that is judged and measured; default: that of ancestral train for SOURCE."""
    image_size: configs.ImageSize = None
    """Height x width to which training brings images, as in 32x48; one number is a square. Default: the preset's."""
    fit: Literal["crop", "pad"] = "crop"
    """How images get that shape: crop them around the centre, or pad them with the background."""
    channels: int | None = None
    """1 for grey, 3 for RGB; default: the preset's."""
    dims: Literal[1, 2, 3] | None = None
    """Axes of an array besides channels: 1 for signals, 2 for images, 3 for volumes; default: as the shape says."""
    length: int | None = None
    """Number of samples to which .wav recordings are cut or filled with silence; default: all are of one length."""
    background: str = "white"
    """Colour that shows through transparent images: a name or #rrggbb."""
    net: Literal["unet", "transformer"] | None = None
    """Network of the training run; default: the preset's."""
    width: int | None = None
    """Channels of its first level, or features of a token; default: the preset's, or chosen by the size of the
    images."""
    mults: tuple[int, ...] | None = None
    """Width of each level of a U-Net, as a multiple of the first; default: see --width."""
    patch: int | None = None
    """Side of the pixel blocks that are folded into channels, or are the tokens of a transformer; default: see
    --width."""
    batch_size: int | None = None
    """Number of images in each step; default: see --width."""
    micro_batch: int | None = None
    """Largest number of images that are computed at once; default: the batch."""
    steps: int = 5
    """Number of training steps that are measured for the time and memory of training; 0 leaves them out."""
    threads: int | None = None
    """Number of threads that decode files; default: the number of cores, but at most 8."""
    device: str = "auto"
    """Device on which the steps are measured: auto, cpu, cuda, cuda:N or mps."""
    json: Path | None = None
    """A .json file for the whole report, with all names; without a path, it is printed in place of the tables."""
    out: Path | None = None
    """A .png for the contact sheet, or a folder for it; default: runs/doctor/NAME.png."""


def main(argv: Sequence[str]) -> int:
    """Inspect, print the report, and return the exit code."""
    options = parse(Options, _complete_json(argv), "doctor")
    from rich.text import Text

    from ancestral.render.terminal import console, follow
    from ancestral.workflows.inspect import inspect

    printed = options.json == PRINTED
    names = [*FORM, "width", "mults", "patch", "batch_size", "micro_batch"]
    settings = {name: value for name in names if (value := getattr(options, name)) is not None}
    config = configs.preset(options.preset or configs.default_preset(options.source)).with_net(options.net)
    config = config.with_settings(source=options.source, **settings)
    events = inspect(
        options.source,
        config,
        steps=options.steps,
        threads=options.threads,
        device=options.device,
        out=options.out or Path("runs/doctor"),
        json=None if printed else options.json,
    )
    report = follow(events, quiet=printed, spelling=on_command_line)
    if printed:
        print(report.to_json(), end="")
        return 0 if report.trainable else 1
    text = Text(report.to_text(on_command_line))
    for start, style in STYLES.items():
        text.highlight_regex(f"(?m)^{start}", style)
    console().print(text)
    if report.trainable:
        print(f"\nTrain on it:  {configs.command(config)}")
    return 0 if report.trainable else 1


def _complete_json(argv: Sequence[str]) -> list[str]:
    """The arguments with the path PRINTED after a --json that no .json file follows."""
    args = []
    for argument, following in pairwise([*argv, ""]):
        args.append(argument)
        if argument == "--json" and following != str(PRINTED) and not following.lower().endswith(".json"):
            args.append(str(PRINTED))
    return args
