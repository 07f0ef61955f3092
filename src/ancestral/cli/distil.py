"""`ancestral distil RUN`: from a run to one that samples in few network evaluations."""

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
class DistilCommand:
    """Options of this call, and how the model is distilled."""

    COMMON: ClassVar[tuple[str, ...]] = (
        *("method", "stages", "evaluations", "out", "resume", "device", "net", "source"),
        *("steps", "batch_size", "lr", "seed", "sample_every", "sampler"),
    )

    method: Literal["consistency", "tuning", "progressive"] | None = None
    """consistency: the model predicts a sample from every noise level; sampled by consistency. tuning: the same without
    the model as a teacher in later stages. progressive: each step learns two steps of its teacher, so the same noise
    gives the same image; sampled by ddim. Default: consistency."""
    stages: int | None = None
    """Number of stages, each of which halves the step that is learned; default: 10, and 6 for progressive."""
    evaluations: int | None = None
    """Number of network evaluations of the default sampler, and of the last stage of progressive; default: 2."""
    out: Path | None = None
    """Run folder; default: runs/, the name of RUN, and the method."""
    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    net: Annotated[str | None, arg(metavar="package.module:function")] = None
    """The network of your own that the model was trained with."""
    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Show all that the notes of the run say before the first step."""
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)


def main(argv: Sequence[str]) -> int:
    """Distil, and return the exit code."""
    run, args = ("", list(argv)) if not argv or argv[0].startswith("-") else (argv[0], list(argv[1:]))
    description = (
        "Distil a model: ancestral distil RUN [options]. RUN is a run folder, a model file or hf://user/repo. The "
        "result is a run like any other, whose samples need few network evaluations. Settings that are not given are "
        "those of RUN and the method; the defaults below are for the preset digits and the method consistency."
    )
    default = DistilCommand(config=configs.distilled(configs.digits()))
    if not run and not {"-h", "--help", "--help-all"} & set(args):
        raise InputError("say what to distil: ancestral distil RUN; --help lists the options")
    options = parse(DistilCommand, args, "distil", default, description)

    from ancestral.render.terminal import follow
    from ancestral.workflows.distil import DEFAULT_METHOD, distil, distil_config, distil_folder
    from ancestral.workflows.train import saved_config

    out = options.out or distil_folder(run, options.method)
    saved = saved_config(out) if options.resume else None  # its settings are the defaults, else those of the model
    own = saved or distil_config(run, options.method or DEFAULT_METHOD, options.stages, options.evaluations)
    options = parse(DistilCommand, args, "distil", dataclasses.replace(default, config=own), description)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    verbose = given.pop("verbose")
    follow(distil(run, **{**given, "out": out}), verbose=verbose, spelling=on_command_line)
    return 0
