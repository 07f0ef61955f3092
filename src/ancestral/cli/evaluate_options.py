"""What `ancestral evaluate` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Options:
    """Measure a trained model: how good its samples are and how well it knows the data, or one of the two."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    samples: bool = False
    """Only the samples: their distance to the data, precision and recall, copies of training items, colours, and
    whether classes are those that were asked for."""
    likelihood: bool = False
    """Only the likelihood: the variational bound in bits/dim, split over time, and the error of x̂_0 at each rate."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """What the model learned from: a built-in, a folder of images, a .npy/.npz file; None is what the run was trained
    on."""
    held_out: Annotated[str | None, arg(metavar="SOURCE")] = None
    """The same kind of data that it did not learn from; None is the data's test split where it has one."""
    draw: int | None = None
    """How many samples to draw; None is 2500, more than the features of each built-in extractor."""
    sampler: str | None = None
    """As in ancestral sample: a name, with options if need be; None is what the run was configured with."""
    steps: int | None = None
    """Sampling steps; None is what the sampler has."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; None is 1."""
    extractor: str | None = None
    """What makes features of items: lite0, inception (whose distance is FID), dinov2, pixels, or a function of your
    own as package.module:function. None is lite0 for images of 1 or 3 channels, else pixels."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """Likelihood: of how many items, spread evenly over the data; None is 64, or all where there are fewer."""
    split: Literal["train", "test", "held-out"] | None = None
    """Likelihood: part of the data; None is held-out where that was given, else test where there is one."""
    passes: int | None = None
    """Likelihood: times at which each item is asked, drawn at random for each; None is all T, exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Likelihood: variance of the reverse steps; None is learned where the model has it, else large."""
    clip: Annotated[bool | None, arg(metavar="| --no-clip")] = None
    """Likelihood: keep x̂_0 within [−1, 1], as sampling does unless it is told otherwise; None does."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Likelihood: last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density.
    None is exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = False
    """Also the likelihood of the probability-flow ODE, of images with uniform noise within their grey levels."""
    ode_steps: int | None = None
    """Steps of the ODE, at two passes each; None is 100, or all T where there are fewer."""
    probes: int | None = None
    """Random directions that estimate the ODE's divergence; 0 is exact. None is exact up to 16 dimensions, else 1."""
    seed: int = 0
    """Sample i, and the noise that item i of the data meets, follow from the seed, whatever the rest."""
    batch_size: int = 64
    """Items at once. It changes memory and time, not the numbers."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for samples.json, likelihood.json and their pictures; None is evaluation in RUN, whose README.md (a model
    card) and report.html then tell of them too."""


OF_SAMPLES = ("draw", "sampler", "steps", "guidance", "extractor")
OF_LIKELIHOOD = ("n", "split", "passes", "variance", "clip", "decoder", "ode", "ode_steps", "probes")
"""Options of one part alone."""
