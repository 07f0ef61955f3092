"""`ancestral train [PRESET] [DATA]`: from a preset or data and a few options to a run folder."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from tyro.conf import arg

from ancestral import config as configs
from ancestral.cli.parse import parse
from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.options import on_command_line


@dataclass(frozen=True)
class Options:
    """Options of this call, which are not settings of the run."""

    COMMON: ClassVar[tuple[str, ...]] = (
        *("out", "resume", "device", "net", "source", "image_size", "channels", "flip", "class_labels", "validation"),
        *("steps", "batch_size", "lr", "seed", "sample_every", "sampler"),
    )

    out: Path | None = None
    """Run folder; default: runs/PRESET, or runs/ and the name of your own data."""
    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    initial: Annotated[str | None, arg(name="from", metavar="RUN")] = None
    """Start from the averaged weights of a model: a run folder, a model file or hf://user/repo. Network, schedule and
    target are those of the model; the data must be of its shape. New classes start a new label embedding. Default:
    random weights."""
    file: Annotated[Path | None, arg(name="config", metavar="FILE.json")] = None
    """The config.json of a run, or a JSON file with some settings; options that are given here win. Default: the
    preset."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    net: Annotated[str | None, arg(metavar="unet|transformer|mlp|package.module:function")] = None
    """Kind of network, or a function of your own that is called with the shape of an item and the number of classes and
    returns a network; default: the preset's."""
    export_to: Annotated[Literal["diffusers"] | None, arg(name="for")] = None
    """Choose the patch and the groups that this library can hold, and refuse other settings that it cannot hold before
    training; default: none."""
    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Show all that the notes of the run say before the first step: threads, snapshots, settings chosen by size."""
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)


def main(argv: Sequence[str]) -> int:
    """Train, and return the exit code."""
    if not argv:
        raise InputError(
            "say what to train on: ancestral train digits, or ancestral train FOLDER; --help lists the options"
        )
    name, args = (argv[0], list(argv[1:])) if not argv[0].startswith("-") else ("", list(argv))
    if configs.is_data(name):
        name, args = "", [name, *args]
    elif name in configs.PRESETS and Path(name).is_dir():
        print(f"{name} is the preset of that name; the folder is  ancestral train ./{name}")
    if args and configs.is_data(args[0]):
        if _value(args, "--data"):
            raise InputError(
                f"the data are given twice, {args[0]} and --data {_value(args, '--data')}; give one of them"
            )
        args.insert(0, "--data")
    config = _config(name, args)
    default = Options(config=config.with_net(_kind(_value(args, "--net"))))
    presets = ", ".join(configs.PRESETS)
    description = (
        f"Train a model: ancestral train PRESET, ancestral train photos/, or both. Presets: {presets}; the defaults "
        f"below are those of {config.preset}."
    )
    options = parse(Options, args, "train", default, description)

    from ancestral.render.terminal import follow
    from ancestral.workflows.fine_tuning import with_parts_of
    from ancestral.workflows.train import default_folder, saved_config, train

    out = options.out or default_folder(options.config, options.config.data.source)
    saved = saved_config(out) if options.resume else None
    if saved is not None:  # the defaults of a run that is resumed are its own settings
        if name not in ("", saved.preset):
            raise InputError(f"{out} holds a run of the preset {saved.preset}, not {name}; give --out another name")
        own = configs.read_config(options.file, saved) if options.file else saved
        options = parse(Options, args, "train", dataclasses.replace(default, config=own), description)
    elif options.initial is not None:  # those of network and process are those of the model it starts from
        own = with_parts_of(options.initial, config).with_net(_kind(options.net))
        options = parse(Options, args, "train", dataclasses.replace(default, config=own), description)
    net = options.net if options.net not in (None, *configs.NET_KINDS) else None
    given = {name: getattr(options, name) for name in ("resume", "initial", "device", "export_to")}
    follow(train(options.config, out=out, net=net, **given), verbose=options.verbose, spelling=on_command_line)
    return 0


def _config(name: str, args: Sequence[str]) -> Config:
    """The config of the preset `name`, or of the preset for --data without one, changed by the file of --config."""
    source, file = _value(args, "--data"), _value(args, "--config")
    base = configs.preset(name) if name else None
    if file:
        return configs.read_config(Path(file), base, source)
    return base or configs.preset(configs.default_preset(source) if source else "digits")


def _kind(net: str | None) -> str | None:
    """The kind of network that --net names; None for a function, and without --net."""
    return net if net in configs.NET_KINDS else None


def _value(argv: Sequence[str], option: str) -> str:
    """The value of an option before the options are parsed; "" without one."""
    value = ""
    for number, word in enumerate(argv):
        if word.partition("=")[0] == option:
            value = word.partition("=")[2] or "".join(argv[number + 1 : number + 2])
    return value
