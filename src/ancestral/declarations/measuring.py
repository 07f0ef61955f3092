"""The use cases that measure: evaluate, evaluate_samples, compare, average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from ancestral.declarations.declaration import WithDevice, WithNet, WithOut, WithThreads
from ancestral.fields import argument
from ancestral.registries import EXTRACTORS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ancestral.model import Model
    from ancestral.samplers import Sampler
    from ancestral.targets import Denoiser

Metric = Literal["frechet", "kernel", "precision_recall", "inception_score", "memorisation", "colour", "class_accuracy"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""What is measured of samples; precision_recall includes density and coverage, memorisation includes copies."""
DEFAULT_COUNT = 2500
"""The default number of samples: enough to fill the covariance of every built-in extractor's features."""


class WithReference(WithDevice, WithOut):
    """A use case that compares samples with data."""

    held_out: Any = argument(None, words=str | None, metavar="SOURCE")
    """Data of the same kind that no model was trained on, in any form that `data` has; default: the test split, or what
    the run held out by `validation`, if there is one."""
    EXTRACTORS: ClassVar[str] = EXTRACTORS.described

    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = argument(None, words=str | None, metavar="NAME")
    """Feature extractor: {EXTRACTORS}, or a function of your own as package.module:function{; from Python also a module
    or function}. Default: lite0 for images of 1 or 3 channels, else pixels."""
    batch_size: int = argument(64, least=1)
    """Number of items at a time. It changes memory and time, not the numbers."""


class WithMetrics(WithReference):
    """A use case that measures samples by several metrics."""

    metrics: tuple[Metric, ...] | None = None
    """What is measured of samples: frechet, kernel, precision_recall (with density and coverage), inception_score,
    memorisation (with copies), colour, class_accuracy; default: all."""


class WithSamples(WithReference, WithThreads, WithNet):
    """A use case that makes samples and measures them."""

    COUNT: ClassVar[str] = f"{DEFAULT_COUNT}"

    samples: int | bool | None = argument(None, words=int | None, short=["draw"], bare=True, metavar="[N]", least=1)
    """Number of samples{; False measures none}. Default: {COUNT}, more than the features of each built-in extractor.
    Those that were made before are used again."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", ordered=True)
    """What the model was trained on, in any form that training takes; default: the source of the (first) run."""
    sampler: str | Sampler | None = argument(None, words=str | None, metavar="NAME")
    """Sampler, a name with options if need be{; from Python also one of your own}. Default: the one of the run."""
    steps: int | None = None
    """Number of sampling steps; default: the sampler's default."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; default: 1."""
    seed: int = 0
    """Seed of sample i, and of the noise of item i of the data."""


class Evaluate(WithSamples, WithMetrics, prints="parts", resumable=True):
    """Measure how good a model's samples are, its likelihood, or both.

        result = ancestral.evaluate("runs/a", samples=1000)
        result = ancestral.evaluate(run.model, data=x, likelihood=True)

    Samples of a run are kept in its folder and made only once, so an evaluation that was stopped goes on; the results,
    their pictures, the model card and report.html are written there. For a model in memory nothing is written, unless
    `out` is given. Processes that a launcher started share the sampling.

    Returns:
        What was measured; str() of it is its tables.

    Raises:
        InputError: If the model or the data cannot be read or do not fit, or an option does not apply.
    """

    OUT: ClassVar[str] = (
        "Folder for the results and their pictures; default: evaluation in the run folder, whose README.md (the model "
        "card) and report.html are updated"
    )
    COMMON: ClassVar[tuple[str, ...]] = (
        *("model", "samples", "likelihood", "data", "held_out", "sampler", "steps", "extractor"),
        *("metrics", "batch_size", "device", "out"),
    )

    model: str | Path | Model | Denoiser = argument(words=str, metavar="RUN", positional=True)
    """Run folder, its model.safetensors, or hf://user/repo{; from Python also a model, saved or not, or any denoiser
    with `schedule` and `predict`}."""
    likelihood: bool = False
    """Measure the likelihood: the variational bound in bits/dim over time, and the error of x̂_0 at each rate. Samples
    are then measured only if `samples` is given."""
    n: int | None = argument(None, short=["n"], least=1)
    """Likelihood: number of items, spread evenly over the data; default: 64, or all if there are fewer."""
    split: Literal["train", "test", "held-out"] | None = None
    """Likelihood: part of the data; default: held-out if that is given, else test if there is one, else what the run
    held out by `validation`."""
    passes: int | None = argument(None, least=2)
    """Likelihood: number of network evaluations of each item, at random times; default: all T, exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Likelihood: variance of the reverse steps; default: learned if the model has it, else large."""
    clip: bool | None = None
    """Likelihood: keep x̂_0 within [−1, 1], as sampling does; default: yes."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Likelihood: last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density.
    Default: exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = False
    """Also measure the likelihood of the probability-flow ODE, of images with uniform noise in their grey levels."""
    ode_steps: int | None = None
    """Number of ODE steps, of two network evaluations each; default: 100, or T if that is less."""
    probes: int | None = argument(None, least=0)
    """Number of random directions that estimate the ODE's divergence; 0 is exact. Default: exact up to 16 dimensions,
    else 1."""


class EvaluateSamples(WithMetrics, prints="parts", resumable=True):
    """Measure how good samples are that are files or in memory, without a model.

    Returns:
        The metrics of the samples; str() of it is their tables.

    Raises:
        InputError: If the samples or the data cannot be read, or do not fit.
    """

    OUT: ClassVar[str] = "Folder for samples.json and memorisation.png; default: none is written"

    samples: Any = argument(words=str, metavar="SAMPLES", positional=True)
    """A folder of images, a .npy or .npz file{; from Python items in any form that training takes}. Labels are those
    that the samples were conditioned on, in the numbering of the data's classes or by their names."""
    data: Any = argument(words=str, metavar="SOURCE", positional=True)
    """Data that the samples are compared with, in any form that training takes. Images are brought to the size and
    channels of the samples."""
    n: int | None = argument(None, short=["n"])
    """Number of samples, spread evenly; default: all that fit into memory."""
    image_size: int | str | tuple[int, int] | None = argument(None, words=str | None, metavar="HxW")
    """Height x width to which samples of several sizes are cropped and resized; one number is a square."""


class Compare(WithSamples, WithMetrics, prints="result", resumable=True):
    """Compare runs, measured alike on the same data; or the samplers of one run over their network evaluations.

        ancestral.compare(["runs/a", "runs/b"])
        ancestral.compare(["runs/a"], samplers="all")

    Returns:
        The comparison; str() of it is its table.

    Raises:
        InputError: If the runs cannot be read or are not alike, or an option does not apply.
    """

    OUT: ClassVar[str] = (
        "Folder for the results and their pictures; default: runs/compare, or for samplers evaluation in the run folder"
    )

    runs: str | Path | Model | Sequence[str | Path | Model] = argument(
        words=tuple[str, ...], metavar="RUN", positional=True
    )
    """Run folders, their model.safetensors, or hf://user/repo{; from Python also models}. Two or more, or one with
    `samplers`."""
    samplers: str | Sampler | Sequence[str | Sampler] | None = argument(None, words=str | None, metavar="all|NAME,...")
    """Compare these samplers of one run: the distance of their samples to the data over network evaluations (passes),
    and the fewest that come within 5 % of DDPM with all steps. A name with steps, as in heun:steps=5, is tried with
    these alone. {From Python also samplers of your own.} Default: none, runs are compared."""
    most: int | None = argument(None, least=1)
    """With `samplers`: largest number of passes, of DDPM too; default: 250, and all T steps for DDPM."""


class AverageLengths(WithSamples, prints="result", resumable=True):
    """Choose the length of the average of the weights after training, and write the best average as a model.

        result = ancestral.average("runs/a", lengths=[0.03, 0.05, 0.1])
        model = ancestral.load("runs/a/average")

    The averages are made of the snapshots that training kept. All are sampled with the same noise, so that their
    differences have small errors. The best one becomes a model in the folder `average` of the run, for all that takes a
    run; the model of the run stays as it is.

    Returns:
        The distances by length, and the best length; str() of it is its table.

    Raises:
        InputError: If the run has no snapshots, or an option does not apply.
        OSError: If the folder cannot be written.
    """

    OUT: ClassVar[str] = "Folder for the best average, the results and the samples; default: average in the run folder"
    COMMON: ClassVar[tuple[str, ...]] = (
        *("run", "lengths", "samples", "most", "end", "data", "sampler", "steps", "extractor"),
        *("batch_size", "device", "out"),
    )

    run: str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder with snapshots of averages, which training keeps."""
    lengths: tuple[float, ...] = (0.03, 0.04, 0.05, 0.07, 0.10, 0.14, 0.20)
    """Lengths of the averages: standard deviations of their profiles as shares of the steps, 0.005 to 1/√12 (0.2886),
    the mean of all steps."""
    most: int | None = argument(None, least=1)
    """Largest number of network evaluations of a sample: a sampler that takes more gets fewer steps; default: no
    bound."""
    end: int | None = None
    """Last step of the averages, or the last snapshot before it; default: the last snapshot."""
