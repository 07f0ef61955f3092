"""The options of evaluations and comparisons, for the command line and from Python.

The docstring below each field is its help text. From Python, data may also be given as arrays, tensors and torch data
sets, a sampler as a `Sampler`, and a network and an extractor as a module.
"""

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from tyro.conf import arg

from ancestral.arguments import describe, fits, plain, shown
from ancestral.errors import InputError, whole

Metric = Literal["frechet", "kernel", "precision_recall", "inception_score", "memorisation", "colour", "class_accuracy"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""What is measured of samples; precision_recall includes density and coverage, memorisation includes copies."""
SAMPLE_OPTIONS = ("sampler", "steps", "guidance", "extractor", "metrics")
OBJECTS = ("data", "held_out", "sampler", "net", "extractor")
"""Options that are names on the command line, and from Python may be objects."""
LIKELIHOOD_OPTIONS = ("n", "split", "passes", "variance", "clip", "decoder", "ode", "ode_steps", "probes")


def metrics_list(metrics: Metric | Sequence[Metric]) -> tuple[Metric, ...]:
    """List the metrics, of which one may be given by its name alone. Raises InputError if there is none."""
    if not metrics:
        raise InputError(f"metrics names none; give some of {', '.join(METRICS)}")
    return (metrics,) if isinstance(metrics, str) else tuple(metrics)


def check_classes(metrics: Collection[Metric] | None, classes: bool) -> None:
    """Raise InputError if the metrics that the user chose contain the class accuracy, and samples have no classes."""
    if metrics is not None and "class_accuracy" in metrics and not classes:
        raise InputError("class_accuracy cannot be measured of samples without classes; leave it out of metrics")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Which samples are measured, and what they are compared with."""

    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """What the model was trained on: a built-in data set, a folder of images, a .npy/.npz file; default: the source of
    the (first) run."""
    held_out: Annotated[str | None, arg(metavar="SOURCE")] = None
    """Data of the same kind that no model was trained on; default: the test split, or what the run held out by
    --validation, if there is one."""
    sampler: str | None = None
    """Sampler, a name with options as in ancestral sample; default: the one of the run."""
    steps: int | None = None
    """Number of sampling steps; default: the sampler's default."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; default: 1."""
    extractor: str | None = None
    """Feature extractor: lite0, inception (whose distance is FID), dinov2, pixels, or a function of your own as
    package.module:function; default: lite0 for images of 1 or 3 channels, else pixels."""
    seed: int = 0
    """Seed of sample i, and of the noise of item i of the data."""
    batch_size: int = 64
    """Number of items at a time. It changes memory and time, not the numbers."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:N or mps."""
    threads: int | None = None
    """Number of CPU threads; default: measured."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the results and their pictures; default: evaluation in RUN, whose README.md (the model card) and
    report.html are updated by an evaluation, and runs/compare for several runs."""

    net: Annotated[str | None, arg(metavar="package.module:function")] = None
    """Function that builds the network, of a run that was trained with one of your own; default: the run's."""

    @classmethod
    def from_names(cls, **options: Any) -> Self:
        """Create the options by their names. Raises InputError for a name that is none of them."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, ["samples", "likelihood", *known], n=1, cutoff=0.0)[0]
                raise InputError(f"there is no option {name!r}; did you mean {near}?")
        if isinstance(options.get("out"), str):
            options["out"] = Path(options["out"])
        hints = get_type_hints(cls)
        for name, value in options.items():
            value = tuple(value) if isinstance(value, list) else plain(value)
            if not fits(value, hints[name]) and fits((value,), hints[name]):  # one of several: metrics="frechet"
                value = (value,)
            options[name] = value
            if name not in OBJECTS and not fits(value, hints[name]):
                raise InputError(f"{name} cannot be {shown(value)}: give {describe(hints[name])}")
        return cls(**options)

    def check(self, samples: int | bool) -> None:
        """Check all that no model can have. Raises InputError.

        Args:
            samples: The number of samples; False measures none.
        """
        if not isinstance(samples, bool):
            whole(samples, 1, math.inf, f"the number of samples must be at least 1, not {samples}")
        if self.threads is not None:
            whole(self.threads, 1, math.inf, f"threads must be at least 1, not {self.threads}")
        whole(self.batch_size, 1, math.inf, f"batch_size must be at least 1, not {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(SampleOptions):
    """How an evaluation is made."""

    metrics: tuple[Metric, ...] | None = None
    """Samples: what is measured: frechet, kernel, precision_recall (with density and coverage), inception_score,
    memorisation (with copies), colour, class_accuracy; default: all."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """Likelihood: number of items, spread evenly over the data; default: 64, or all if there are fewer."""
    split: Literal["train", "test", "held-out"] | None = None
    """Likelihood: part of the data; default: held-out if that is given, else test if there is one, else what the run
    held out by --validation."""
    passes: int | None = None
    """Likelihood: number of network evaluations of each item, at random times; default: all T, exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Likelihood: variance of the reverse steps; default: learned if the model has it, else large."""
    clip: Annotated[bool | None, arg(metavar="| --no-clip")] = None
    """Likelihood: keep x̂_0 within [−1, 1], as sampling does; default: yes."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Likelihood: last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density.
    Default: exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = False
    """Also measure the likelihood of the probability-flow ODE, of images with uniform noise in their grey levels."""
    ode_steps: int | None = None
    """Number of ODE steps, of two network evaluations each; default: 100, or T if that is less."""
    probes: int | None = None
    """Number of random directions that estimate the ODE's divergence; 0 is exact. Default: exact up to 16 dimensions,
    else 1."""

    def check_parts(self, samples: int | bool, likelihood: bool) -> None:
        """Check the options of the parts that are measured, as `check` does. Raises InputError."""
        self.check(samples)
        if self.metrics is not None:
            metrics_list(self.metrics)
        parts = {"samples": (samples is not False, SAMPLE_OPTIONS), "likelihood": (likelihood, LIKELIHOOD_OPTIONS),
                 "ode": (self.ode, ("ode_steps", "probes"))}  # fmt: skip
        defaults = {field.name: field.default for field in fields(EvaluationOptions)}
        for part, (measured, names) in parts.items():
            for name in names:
                if not measured and getattr(self, name) != defaults[name]:
                    raise InputError(f"{name} is an option of {part}: ask for {part} too, or leave {name} out")
        for name, least in (("n", 1), ("passes", 2), ("probes", 0)):
            if (value := getattr(self, name)) is not None:
                whole(value, least, math.inf, f"{name} must be a whole number of at least {least}, not {value}")
