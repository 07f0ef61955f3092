"""What `ancestral compare` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Options:
    """Runs side by side, measured alike on the same data; or the samplers of one run, over what they cost."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN")]
    """Run folders, their model.safetensors, or hf://user/repo: two or more, or one with --samplers."""
    samplers: Annotated[str | None, arg(metavar="all|NAME,...")] = None
    """Of one run: how far its samples are from the data over passes of the network, by each of these samplers, and
    how many each needs to come within 5 % of DDPM with all steps; None compares runs."""
    most: int | None = None
    """With --samplers: passes of the network up to which they are tried; None is 250."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """What samples are held against: a built-in, a folder of images, a .npy/.npz file; None is what the first run was
    trained on."""
    held_out: Annotated[str | None, arg(metavar="SOURCE")] = None
    """The same kind of data that no run learned from; None is the data's test split where it has one."""
    draw: int | None = None
    """How many samples of each to draw; None is 2500. Those that evaluate drew are not drawn again."""
    sampler: str | None = None
    """Of runs: as in ancestral sample; None is what each run was configured with."""
    steps: int | None = None
    """Of runs: sampling steps; None is what the sampler has."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; None is 1."""
    extractor: str | None = None
    """What makes features of items, as in ancestral evaluate; None is lite0 for images of 1 or 3 channels, else
    pixels."""
    seed: int = 0
    """Sample i follows from the seed: it starts from the same noise in each run."""
    batch_size: int = 64
    """Items at once. It changes memory and time, not the numbers."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for compare.json and compare.png, None is runs/compare; or for samplers.json and samplers.png, None is
    evaluation in RUN."""
