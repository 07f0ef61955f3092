"""`ancestral evaluate RUN`: how good a model's samples are, and its likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError


@dataclass(frozen=True)
class Options:
    """Measure a trained model: how good its samples are and how well it knows the data, or one of the two."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    samples: bool = False
    """Measure only the samples: distance to the data, precision and recall, memorisation, colours, class accuracy."""
    likelihood: bool = False
    """Measure only the likelihood: the variational bound in bits/dim over time, and the error of x̂_0 at each rate."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """What the model was trained on: a built-in data set, a folder of images, a .npy/.npz file; None is the source of
    the run."""
    held_out: Annotated[str | None, arg(metavar="SOURCE")] = None
    """Data of the same kind that the model was not trained on; None is the test split, if there is one."""
    draw: int | None = None
    """Number of samples; None is 2500, more than the features of each built-in extractor."""
    sampler: str | None = None
    """Sampler, a name with options as in ancestral sample; None is the one of the run."""
    steps: int | None = None
    """Number of sampling steps; None is the sampler's default."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; None is 1."""
    extractor: str | None = None
    """Feature extractor: lite0, inception (whose distance is FID), dinov2, pixels, or a function of your own as
    package.module:function; None is lite0 for images of 1 or 3 channels, else pixels."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """Likelihood: number of items, spread evenly over the data; None is 64, or all if there are fewer."""
    split: Literal["train", "test", "held-out"] | None = None
    """Likelihood: part of the data; None is held-out if that is given, else test if there is one."""
    passes: int | None = None
    """Likelihood: number of network evaluations of each item, at random times; None is all T, exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Likelihood: variance of the reverse steps; None is learned if the model has it, else large."""
    clip: Annotated[bool | None, arg(metavar="| --no-clip")] = None
    """Likelihood: keep x̂_0 within [−1, 1], as sampling does by default; None does."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Likelihood: last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density.
    None is exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = False
    """Also measure the likelihood of the probability-flow ODE, of images with uniform noise in their grey levels."""
    ode_steps: int | None = None
    """Number of ODE steps, of two network evaluations each; None is 100, or T if that is less."""
    probes: int | None = None
    """Number of random directions that estimate the ODE's divergence; 0 is exact. None is exact up to 16 dimensions,
    else 1."""
    seed: int = 0
    """Seed of sample i, and of the noise of item i of the data."""
    batch_size: int = 64
    """Number of items at a time. It changes memory and time, not the numbers."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for samples.json, likelihood.json and their pictures; None is evaluation in RUN, whose README.md (the
    model card) and report.html are updated then."""


def main(argv: Sequence[str]) -> int:
    """Evaluate, print the result, and return the exit code."""
    options = parse(Options, _with_values(argv), "evaluate")
    if options.likelihood and not options.samples and options.draw is not None:
        raise InputError("--draw belongs to --samples; give that too, or leave --likelihood out")
    from ancestral.render.terminal import follow
    from ancestral.workflows.evaluate import evaluate

    given, both = dict(vars(options)), options.samples == options.likelihood
    run, samples, likelihood, draw = (given.pop(name) for name in ("run", "samples", "likelihood", "draw"))
    count = (True if draw is None else draw) if samples or both else False
    result = follow(evaluate(run, samples=count, likelihood=likelihood or both, **given))
    if result.measured:  # not by other processes than the first
        print(result)
    return 0


def _with_values(argv: Sequence[str]) -> list[str]:
    """`--clip` and `--no-clip` take no value, though there is a third choice: to leave both out."""
    flags = {"--clip": ["--clip", "True"], "--no-clip": ["--clip", "False"]}
    return [word for given in argv for word in flags.get(given, [given])]
