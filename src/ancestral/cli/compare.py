"""`ancestral compare RUN RUN ...`: runs side by side; with --samplers, the samplers of one run over what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.config.evaluation_options import Metric, SampleOptions
from ancestral.errors import InputError
from ancestral.interrupts import raised
from ancestral.options import on_command_line


@dataclass(frozen=True, kw_only=True)
class CompareCommand(SampleOptions):
    """Compare runs, measured alike on the same data; or the samplers of one run, over the passes that they take."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN")]
    """Run folders, their model.safetensors, or hf://user/repo: two or more, or one with --samplers."""
    samplers: Annotated[str | None, arg(metavar="all|NAME,...")] = None
    """Compare these samplers of one run: the distance of their samples to the data over network evaluations (passes),
    and the fewest that come within 5 % of DDPM with all steps. A name with steps, as in heun:steps=5, is tried with
    these alone. Default: none, runs are compared."""
    most: int | None = None
    """With --samplers: largest number of passes, of DDPM too; default: 250, and all T steps for DDPM."""
    metrics: tuple[Metric, ...] | None = None
    """What is measured of runs, as of ancestral evaluate; default: all."""
    draw: int | None = None
    """Number of samples of each; default: 2500. Those that evaluate made are used again."""


def main(argv: Sequence[str]) -> int:
    """Compare, print the result, and return the exit code."""
    options = parse(CompareCommand, argv, "compare")
    if options.samplers is None and options.most is not None:
        raise InputError("--most belongs to --samplers; give that too")
    if options.samplers is not None and len(options.runs) != 1:
        raise InputError("--samplers are compared of one run, not of several; name one")
    if options.samplers is not None and options.metrics is not None:
        raise InputError("--metrics is for runs; --samplers are compared by their distances, so leave --metrics out")
    from ancestral.render.terminal import follow, show
    from ancestral.workflows.compare import compare_runs, compare_samplers

    given = dict(vars(options))
    runs, names, most, draw, metrics = (given.pop(name) for name in ("runs", "samplers", "most", "draw", "metrics"))
    if draw is not None:
        given["samples"] = draw
    with raised():
        if names is None:
            show(follow(compare_runs(runs, metrics=metrics, **given), spelling=on_command_line))
        else:
            show(follow(compare_samplers(runs[0], names, most=most, **given), spelling=on_command_line))
    return 0
