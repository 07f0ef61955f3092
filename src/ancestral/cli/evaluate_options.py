"""What `ancestral evaluate` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Options:
    """Measure how well a trained model knows its data."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    likelihood: bool = False
    """The variational bound in bits/dim, split over time, and the error of x̂_0 at each rate."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """How many images, spread evenly over the data; None is 64, or all where there are fewer."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """A built-in, a folder of images, or a .npy/.npz file; None is what the run was trained on."""
    split: Literal["train", "test"] | None = None
    """Part of a built-in; None is test where it has one."""
    passes: int | None = None
    """Times at which each image is asked, drawn at random for each; None is all T, which is exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Variance of the reverse steps; None is learned where the model has it, else large."""
    clip: Annotated[bool | None, arg(metavar="| --no-clip")] = None
    """Keep x̂_0 within [−1, 1], as sampling does unless it is told otherwise; None does."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density. None is
    exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = False
    """Also the likelihood of the probability-flow ODE, of images with uniform noise within their grey levels."""
    ode_steps: int | None = None
    """Steps of the ODE, at two passes each; None is 100, or all T where there are fewer."""
    probes: int | None = None
    """Random directions that estimate the ODE's divergence; 0 is exact. None is exact up to 16 dimensions, else 1."""
    seed: int = 0
    """Image i of the data meets the same noise at a seed, whatever the rest."""
    batch_size: int = 64
    """Images at once. It changes memory and time, not the numbers."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for likelihood.json and likelihood.png; None is evaluation in RUN."""
