"""`ancestral average RUN`: the length of the average of the weights, chosen after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.config.evaluation_options import SampleOptions
from ancestral.interrupts import raised
from ancestral.options import on_command_line


@dataclass(frozen=True, kw_only=True)
class AverageCommand(SampleOptions):
    """Measure the samples of a run over the length of the average of its weights, and write the best average.

    The best average becomes a model in the folder average of the run; the model of the run stays as it is.
    """

    COMMON: ClassVar[tuple[str, ...]] = (
        *("run", "lengths", "samples", "most", "end", "data", "sampler", "steps", "extractor"),
        *("batch_size", "device", "out"),
    )

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder with snapshots of averages, which ancestral train keeps."""
    lengths: tuple[float, ...] | None = None
    """Lengths of the averages: standard deviations of their profiles as shares of the steps, 0.005 to 1/√12 (0.2886),
    the mean of all steps. Default: 0.03 0.04 0.05 0.07 0.1 0.14 0.2."""
    samples: Annotated[int | None, arg(aliases=["--draw"])] = None
    """Number of samples of each length; default: 2500."""
    most: int | None = None
    """Largest number of network evaluations of a sample: a sampler that takes more gets fewer steps; default: no
    bound."""
    end: int | None = None
    """Last step of the averages, or the last snapshot before it; default: the last snapshot."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the best average, the results and the samples; default: average in RUN."""


def main(argv: Sequence[str]) -> int:
    """Measure, print the result, and return the exit code."""
    options = parse(AverageCommand, argv, "average")
    from ancestral.render.terminal import follow, show
    from ancestral.workflows.average import average

    given = dict(vars(options))
    for name in ("lengths", "samples"):
        if given[name] is None:
            del given[name]
    with raised():
        show(follow(average(**given), spelling=on_command_line))
    return 0
