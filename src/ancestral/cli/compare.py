"""`ancestral compare RUN RUN ...`: runs side by side; with --samplers, the samplers of one run over what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError


@dataclass(frozen=True)
class Options:
    """Compare runs, measured alike on the same data; or the samplers of one run, over the passes that they take."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN")]
    """Run folders, their model.safetensors, or hf://user/repo: two or more, or one with --samplers."""
    samplers: Annotated[str | None, arg(metavar="all|NAME,...")] = None
    """Compare these samplers of one run: the distance of their samples to the data over network evaluations (passes),
    and the fewest that come within 5 % of DDPM with all steps; None compares runs."""
    most: int | None = None
    """With --samplers: largest number of passes; None is 250."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """Data that samples are compared with: a built-in data set, a folder of images, a .npy/.npz file; None is that of
    the first run."""
    held_out: Annotated[str | None, arg(metavar="SOURCE")] = None
    """Data of the same kind that no run was trained on; None is the test split, if there is one."""
    draw: int | None = None
    """Number of samples of each; None is 2500. Those that evaluate made are used again."""
    sampler: str | None = None
    """Of runs: sampler, as in ancestral sample; None is the one of each run."""
    steps: int | None = None
    """Of runs: number of sampling steps; None is the sampler's default."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; None is 1."""
    extractor: str | None = None
    """Feature extractor, as in ancestral evaluate; None is lite0 for images of 1 or 3 channels, else pixels."""
    seed: int = 0
    """Seed of the samples: sample i starts from the same noise in each run."""
    batch_size: int = 64
    """Number of items at a time. It changes memory and time, not the numbers."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for compare.json and compare.png, None is runs/compare; or for samplers.json and samplers.png, None is
    evaluation in RUN."""


def main(argv: Sequence[str]) -> int:
    """Compare, print the result, and return the exit code."""
    options = parse(Options, argv, "compare")
    given = dict(vars(options))
    runs, names, most, draw = (given.pop(name) for name in ("runs", "samplers", "most", "draw"))
    if names is None and most is not None:
        raise InputError("--most belongs to --samplers; give that too")
    if names is not None:
        if len(runs) != 1:
            raise InputError("--samplers are compared of one run, not of several; name one")
        for name in ("sampler", "steps"):
            if given.pop(name) is not None:
                raise InputError(f"--{name} is for runs; --samplers tries several of each, so leave --{name} out")
    from ancestral.render.terminal import follow
    from ancestral.workflows.compare import compare_runs, compare_samplers

    if draw is not None:
        given["samples"] = draw
    if names is None:
        print(follow(compare_runs(runs, **given)))
    else:
        print(follow(compare_samplers(runs[0], names, most=most, **given)))
    return 0
