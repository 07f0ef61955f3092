"""`ancestral sample RUN`: images from a trained model, as a grid, files, an array, an animation or a film strip."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError
from ancestral.options import on_command_line

AUTO = Path("auto")
"""The path of --gif or --film without one."""
SUFFIXES = {"--gif": (".gif", ".webp", ".mp4"), "--film": (".png",)}
"""The files that the two options write."""


@dataclass(frozen=True)
class Options:
    """Sample images from a trained model."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """Number of images: those with indices 0 to n-1 of the seed; default: 64."""
    index: tuple[int, ...] | None = None
    """Indices of the images of the seed to sample, one or several; default: the first n."""
    sampler: str | None = None
    """ddpm, ddim, dpm, dpm-sde, unipc, heun, euler, euler-ancestral, langevin, pc, or consistency of a distilled
    model, with options if need be: heun:churn=10,spacing=logsnr. Default: the sampler of the run's config."""
    steps: int | None = None
    """Number of sampling steps; default: 50 for ddim, all for ddpm, 20 for dpm and unipc, 18 for heun."""
    eta: float | None = None
    """Noise of ddim and dpm: 0 is none, 1 that of ddpm; default: the value of the run's config, or 0 with --sampler."""
    variance: str | None = None
    """Variance of ddpm: large, small or (where the model has it) learned; default: large."""
    seed: int | None = None
    """Seed of all noise; image i of a seed is always the same image. Default: 0."""
    label: tuple[str, ...] | None = None
    """Class to sample, by name or number, or "none"; of several, image i has label i mod their number. Default:
    all classes in turn."""
    guidance: float | None = None
    """Scale of classifier-free guidance; above 1 strengthens the label. Default: 1."""
    like: Annotated[Path | None, arg(metavar="FILE.png")] = None
    """PNG that this command wrote with this model: sample the same images again. Its metadata hold the seed and all
    settings; other ones are refused. Or a grid of the training run: the same noise and settings, by the model as it is
    now."""
    batch_size: int = 64
    """Number of images in a batch. It changes memory and time, not the images."""
    out: Path | None = None
    """A .png for a grid, .gif, .webp or .mp4 for an animation, .npz for an array (images, signals, volumes or points)
    and labels, else a new folder for single PNGs, or .wav files if the model was trained on such. A file that exists is
    kept, and the new one gets a number: name-2.png. Default: a grid in RUN/samples, or in ./samples for a model file
    outside a run folder."""
    gif: Path | None = None
    """Also write an animation of the reverse process, as a .gif, .webp (smaller) or .mp4 (the smallest; needs
    ancestral[video]); without a path, a .gif in the folder samples."""
    film: Path | None = None
    """Also write a film strip of x_t above its estimate of x_0; without a path, in the folder samples."""
    fps: int | None = None
    """Frames in a second of the animation, which shows the reverse process in 2.5 seconds. Fewer make a smaller file;
    default: 8."""
    scale: float | None = None
    """Width and height of the animation, as a share of its usual ones; default: 1."""
    captions: bool = True
    """Whether grids and film strips name the class of each image, and film strips t."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int | None = None
    """Number of CPU threads; default: measured."""
    net: Annotated[str | None, arg(metavar="package.module:function")] = None
    """Function that builds the network of your own that the model was trained with."""


def main(argv: Sequence[str]) -> int:
    """Sample, and return the exit code."""
    options = parse(Options, _complete_paths(_run_first(argv)), "sample")
    from ancestral.render.result_text import channel_means
    from ancestral.render.terminal import follow
    from ancestral.workflows.sample import sample

    values = dataclasses.asdict(options)
    values["indices"] = values.pop("index")
    paths = {name: values[name] == AUTO or values[name] or False for name in ("gif", "film")}
    if means := channel_means(follow(sample(values.pop("run"), **values | paths), spelling=on_command_line)):
        print(means)
    return 0


def _complete_paths(argv: Sequence[str]) -> list[str]:
    """The arguments with the path AUTO after each --gif and --film that no path of a picture follows."""
    args = []
    for argument, following in zip(argv, [*argv, ""][1:], strict=True):
        args.append(argument)
        suffix = Path(following).suffix.lower()
        if argument in SUFFIXES and suffix not in SUFFIXES[argument]:
            if suffix and not following.startswith("-") and not Path(following).is_dir() and suffix != ".safetensors":
                raise InputError(f"{argument} writes {_any_of(SUFFIXES[argument])} files, not {following}")
            args.append(str(AUTO))
    return args


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _run_first(argv: Sequence[str]) -> list[str]:
    """The arguments with a RUN that follows the values of --label or --index before them, where it is none of them."""
    if argv and not argv[0].startswith("-"):
        return list(argv)
    option = ""
    for place, word in enumerate(argv):
        if word.startswith("-"):
            option = word
        elif (
            option in ("--label", "--index")
            and argv[place - 1] != option
            and (word.startswith("hf://") or Path(word).exists())
        ):
            return [word, *argv[:place], *argv[place + 1 :]]
    return list(argv)
