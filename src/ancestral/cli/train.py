"""`ancestral train [PRESET]`: from a preset and a few options to a run folder."""

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
from ancestral.interrupts import raised


@dataclass(frozen=True)
class Options:
    """Options of this call, which are not settings of the run."""

    COMMON: ClassVar[tuple[str, ...]] = (
        *("out", "resume", "device", "net", "source", "image_size", "channels", "flip", "class_labels"),
        *("steps", "batch_size", "lr", "seed", "sample_every", "sampler"),
    )

    out: Path | None = None
    """Run folder; default: runs/PRESET, or runs/ and the name of your own data."""
    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    net: Annotated[str | None, arg(metavar="unet|mlp|package.module:function")] = None
    """Kind of network, or a function of your own that is called with the shape of an item and the number of classes and
    returns a network; default: the preset's."""
    export_to: Annotated[Literal["diffusers"] | None, arg(name="for")] = None
    """Refuse, before training, a model that could not be exported to this library; default: none."""
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)


def main(argv: Sequence[str]) -> int:
    """Train, and return the exit code."""
    name, args = _preset_name(argv)
    default = Options(config=_with_net(configs.preset(name), _value(args, "--net")))
    description = f"Train a model. Presets: {', '.join(configs.PRESETS)}; the defaults below are those of {name}."
    options = parse(Options, args, "train", default, description)

    from ancestral.render.terminal import follow
    from ancestral.workflows.train import default_folder, saved_config, train

    out = options.out or default_folder(options.config, options.config.data.source)
    saved = saved_config(out) if options.resume else None
    if saved is not None:  # the defaults of a run that is resumed are its own settings
        if argv and argv[0] == name != saved.preset:
            raise InputError(f"{out} holds a run of the preset {saved.preset}, not {name}; give --out another name")
        options = parse(Options, args, "train", dataclasses.replace(default, config=saved), description)
    net = options.net if options.net not in (None, *configs.NET_KINDS) else None
    given = {name: getattr(options, name) for name in ("resume", "device", "export_to")}
    with raised():
        follow(train(options.config, out=out, net=net, **given))
    return 0


def _preset_name(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The preset that `argv` begins with, and the rest; without one, the preset for --data."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    source = _value(argv, "--data")
    return configs.default_preset(source) if source else "digits", list(argv)


def _value(argv: Sequence[str], option: str) -> str:
    """The value of an option before the options are parsed; "" without one."""
    value = ""
    for number, word in enumerate(argv):
        if word.partition("=")[0] == option:
            value = word.partition("=")[2] or "".join(argv[number + 1 : number + 2])
    return value


def _with_net(config: Config, kind: str) -> Config:
    """The config with the default settings of another kind of network."""
    if kind not in configs.NET_KINDS or kind in (config.net.kind, "custom"):
        return config
    return dataclasses.replace(config, net=configs.NET_KINDS[kind]())
