"""`ancestral evaluate RUN`: how good a model's samples are, and its likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.config.evaluation_options import EvaluationOptions
from ancestral.errors import InputError
from ancestral.interrupts import raised
from ancestral.options import on_command_line


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(EvaluationOptions):
    """Measure a trained model: how good its samples are, and with --likelihood how well it knows the data."""

    COMMON: ClassVar[tuple[str, ...]] = (
        *("run", "samples", "likelihood", "draw", "data", "held_out", "sampler", "steps", "extractor"),
        *("metrics", "batch_size", "device", "out"),
    )

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    samples: bool = False
    """Measure the samples: copies, distance to the data, precision and recall, memorisation, colours, class accuracy.
    That is the default; give it with --likelihood to measure both."""
    likelihood: bool = False
    """Measure the likelihood instead: the variational bound in bits/dim over time, and the error of x̂_0 at each
    rate."""
    draw: int | None = None
    """Number of samples; default: 2500, more than the features of each built-in extractor."""


def main(argv: Sequence[str]) -> int:
    """Evaluate, print the result, and return the exit code."""
    options = parse(EvaluateCommand, _with_values(argv), "evaluate")
    if options.likelihood and not options.samples and options.draw is not None:
        raise InputError("--draw belongs to --samples; give that too, or leave --likelihood out")
    from ancestral.render.terminal import follow
    from ancestral.workflows.evaluate import evaluate

    given = dict(vars(options))
    run, samples, likelihood, draw = (given.pop(name) for name in ("run", "samples", "likelihood", "draw"))
    count = (True if draw is None else draw) if samples or not likelihood else False
    with raised():
        follow(evaluate(run, samples=count, likelihood=likelihood, **given), parts=True, spelling=on_command_line)
    return 0


def _with_values(argv: Sequence[str]) -> list[str]:
    """`--clip` and `--no-clip` take no value, though there is a third choice: to leave both out.

    Raises InputError for a number after --samples, which ancestral average takes and this command does not.
    """
    for before, word in pairwise(argv):
        if before == "--samples" and word.isdigit():
            raise InputError(f"--samples takes no number; give --draw {word}")
    flags = {"--clip": ["--clip", "True"], "--no-clip": ["--clip", "False"]}
    return [word for given in argv for word in flags.get(given, [given])]
