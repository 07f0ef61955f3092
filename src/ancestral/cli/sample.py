"""`ancestral sample RUN`: images from a trained model, as a grid, files, an array, an animation or a film strip."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import home, parse
from ancestral.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.model import Model
    from ancestral.render import Frame
    from ancestral.samplers import Sampler

ANIMATIONS = (".gif", ".webp")
FRAMES = 40
"""States of the reverse process that are kept for pictures of it."""
MOST_MEANS = 8
"""Channels whose means are shown; more would be no line to read."""


@dataclass(frozen=True)
class Options:
    """Draw images from a trained model."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    n: Annotated[int, arg(aliases=["-n"])] = 64
    """How many images."""
    sampler: str | None = None
    """ddpm, ddim, dpm, dpm-sde, unipc, heun, euler, euler-ancestral, langevin or pc, with options if need be:
    heun:churn=10,spacing=logsnr. None is what the run was configured with."""
    steps: int | None = None
    """Sampling steps; None is 50 for ddim, all for ddpm, 20 for dpm and unipc, 18 for heun."""
    eta: float | None = None
    """Noise of ddim and dpm: 0 is none, 1 that of ddpm; None is what the run says, or 0 for a sampler by name."""
    variance: str | None = None
    """Variance of ddpm: large, small or (where the model has it) learned; None is large."""
    seed: int = 0
    """Image i of a seed is always the same image."""
    label: str | None = None
    """Class to draw, by name or number, or "none"; None draws all classes in turn."""
    guidance: float = 1.0
    """Classifier-free guidance: above 1 strengthens the label."""
    batch_size: int = 64
    """Images drawn at once. It changes memory and time, not the images."""
    out: Path | None = None
    """A .png for a grid, .gif or .webp for an animation, .npz for an array (images, signals, volumes or points) and
    labels, else a folder of single PNGs; None is a grid in RUN/samples."""
    gif: Path | None = None
    """Also write an animation of the reverse process; the path may be left out."""
    film: Path | None = None
    """Also write a strip of x_t above its x_0, over time; the path may be left out."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(argv: Sequence[str]) -> int:
    """Sample, and return the exit code."""
    options = parse(Options, _with_paths(argv), "sample")
    if options.n < 1 or options.batch_size < 1:
        raise InputError(f"-n and --batch-size must be at least 1, not {options.n} and {options.batch_size}")
    from ancestral import model as models
    from ancestral import render, samplers
    from ancestral.data.statistics import channel_mean

    settings = {"steps": options.steps, "eta": options.eta, "variance": options.variance}
    if options.sampler:  # a misspelt one is refused before the model is read
        samplers.from_name(options.sampler, **settings)
    model = models.load(options.run, options.device)
    sampler = model.sampler(options.sampler, **settings)
    folder = home(options.run) / "samples"
    name = _name(options)
    out = options.out or folder / f"{name}.png"
    _check_out(out, model)
    suffix = out.suffix.lower()

    columns = 10 if len(model.spec.classes) == 10 else None
    keep = bool(options.gif or options.film or suffix in ANIMATIONS)
    items, labels, frames = _draw(model, options, sampler, keep)
    limits = model.spec.codec.limits
    grid = partial(render.picture, columns=columns, height=500, limits=limits)
    animate = partial(render.animation, frames=frames, columns=columns, height=500, limits=limits)
    writes: list[tuple[Path, Callable[[Path], None]]] = []
    if suffix in ANIMATIONS:
        writes.append((out, animate))
    elif suffix == ".npz":
        writes.append((out, lambda path: render.write_array(path, items, labels)))
    elif suffix == ".png":
        writes.append((out, lambda path: render.write_picture(path, grid(items))))
    else:
        writes.append((out, lambda path: render.write_images(path, items)))
    if options.gif:
        writes.append((_path(options.gif, folder / f"{name}.gif"), animate))
    if options.film:
        film = _path(options.film, folder / f"{name}-film.png")
        writes.append((film, lambda path: render.write_picture(path, render.film(frames, height=96, limits=limits))))
    for path, write in writes:
        write(path)
        print(path)
    facts, mean = model.spec, model.spec.mean
    if 1 < len(mean) <= MOST_MEANS:
        what = "mean colour (0-255)" if facts.codec.kind == "uint8" and len(mean) == 3 else "mean of each channel"
        print(f"{what}: samples {_numbers(channel_mean(items))}; training data {_numbers(mean)}")
    return 0


def _draw(
    model: "Model", options: Options, sampler: "Sampler", keep: bool
) -> tuple["Tensor", "Tensor | None", list["Frame"]]:
    """The decoded items, their labels, and (where asked for) states on the way there."""
    import torch
    from rich.console import Console
    from rich.progress import track

    from ancestral.data.statistics import evenly_spaced
    from ancestral.render import Frame

    times = sampler.times(model.denoiser.schedule)
    kept = evenly_spaced(FRAMES, len(times)) if keep else []
    batches = [
        range(first, min(first + options.batch_size, options.n)) for first in range(0, options.n, options.batch_size)
    ]
    decode = model.spec.codec.decode
    items: list[Tensor] = []
    states: dict[int, list[Frame]] = {index: [] for index in kept}
    walks = (
        (b, step)
        for b in batches
        for step in model.trajectory(b, sampler, options.seed, options.label, options.guidance)
    )
    console = Console(stderr=True)
    total, quiet = len(batches) * len(times), not console.is_terminal
    for _, step in track(walks, f"{options.n} images", total, console=console, transient=True, disable=quiet):
        if step.index in states:
            states[step.index].append(Frame(step.t, decode(step.x).cpu(), decode(step.x0).cpu()))
        if step.t == 0:
            items.append(decode(step.x).cpu())
    frames = [Frame(f[0].t, torch.cat([g.x for g in f]), torch.cat([g.x0 for g in f])) for f in states.values()]
    return torch.cat(items), model.labels(range(options.n), options.label), frames


def _check_out(out: Path, model: "Model") -> None:
    """Refuse, before any work, what could not be written at the end."""
    if out.suffix.lower() in (*ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        raise InputError(
            f"cannot write {out.suffix} files; --out takes .png, .gif, .webp, .npz or the name of a folder"
        )
    from ancestral.render import check_png

    check_png(model.spec.shape, model.spec.codec.dtype)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder, or a name that ends in .png, .gif, .webp or .npz")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the images of two runs would mix; give --out a new folder")


def _name(options: Options) -> str:
    """The stem of the files that are not named: the seed, and whatever else was asked for."""
    asked = {"": options.label, "sampler": options.sampler, "steps": options.steps, "eta": options.eta}
    asked |= {"variance": options.variance, "guidance": options.guidance}
    usual = {"guidance": 1.0}
    parts = [f"{key}{value}" for key, value in asked.items() if value is not None and value != usual.get(key)]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{options.seed}", *parts]))


AUTO = Path("auto")
PICTURES = {"--gif": ANIMATIONS, "--film": (".png",)}
"""What each of the two may write."""


def _with_paths(argv: Sequence[str]) -> list[str]:
    """`--gif` and `--film` may stand alone: give them the path AUTO where no picture's path follows."""
    args = []
    for place, word in enumerate(argv):
        following = argv[place + 1] if place + 1 < len(argv) else ""
        args.append(word)
        suffix = Path(following).suffix.lower()
        if word in PICTURES and suffix not in PICTURES[word]:
            if suffix and not following.startswith("-") and not Path(following).is_dir() and suffix != ".safetensors":
                raise InputError(f"{word} writes {' or '.join(PICTURES[word])} files, not {following}")
            args.append(str(AUTO))
    return args


def _path(given: Path, default: Path) -> Path:
    return default if given == AUTO else given


def _numbers(values: Sequence[float]) -> str:
    """With as many places as the largest of them needs for four digits, one at least."""
    places = max(1, 3 - math.floor(math.log10(max(map(abs, values)) or 1)))
    return " ".join(f"{value:.{places}f}" for value in values)
