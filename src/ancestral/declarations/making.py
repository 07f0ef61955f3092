"""The use cases around a model: sample, inspect, export, import, push, info, runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ancestral.config import Config, base_config
from ancestral.declarations.declaration import Declaration, WithDevice, WithNet, WithOut, WithSettings, WithThreads
from ancestral.fields import argument
from ancestral.registries import SAMPLERS, NetworkName

if TYPE_CHECKING:
    from ancestral.model import Label, Model
    from ancestral.samplers import Sampler

PRINTED = Path("-")
"""A file that stands for standard output."""


class Sample(WithDevice, WithThreads, WithNet, WithOut):
    """Sample images from a trained model, and write files.

    No file is overwritten: where one exists, the new one gets a number, as in seed0-2.png. Each PNG of a model that was
    loaded from a file holds in its metadata how it was made.

    Returns:
        The files, and how the samples were made.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model, before any work is done.
    """

    OUT: ClassVar[str] = (
        "A .png for a grid, .gif, .webp or .mp4 for an animation, .npz for an array (images, signals, volumes or "
        "points) and labels, else a new folder for single PNGs, or .wav files if the model was trained on such; "
        "default: a grid in the folder samples of the run, or of the working folder for a model outside a run"
    )

    model: Model | str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder, its model.safetensors, or hf://user/repo{; from Python also a model}."""
    n: int | None = argument(None, short=["n"], ordered=True)
    """Number of samples: those with indices 0 to n-1 of the seed; default: 64."""
    index: tuple[int, ...] | None = None
    """Indices of the samples of the seed, one or several; default: the first n."""
    sampler: str | Sampler | None = argument(None, words=str | None, metavar="|".join(SAMPLERS))
    """Sampler{, a name of `registries.SAMPLERS`}, with options if need be: heun:churn=10,spacing=logsnr. Default: the
    sampler of the run's config."""
    steps: int | None = None
    """Number of sampling steps; default: 50 for ddim, all for ddpm, 20 for dpm and unipc, 18 for heun."""
    eta: float | None = None
    """Noise of ddim and dpm: 0 is none, 1 that of ddpm; default: the value of the run's config, or 0 with `sampler`."""
    variance: str | None = None
    """Variance of ddpm: large, small or (where the model has it) learned; default: large."""
    seed: int | None = None
    """Seed of all noise; sample i of a seed is always the same. Default: 0."""
    label: Label = argument(None, words=tuple[str, ...] | None)
    """Class to sample, by name or number, or "none"; of several, sample i has label i mod their number. Default:
    all classes in turn."""
    guidance: float | None = None
    """Scale of classifier-free guidance; above 1 strengthens the label. Default: 1."""
    like: str | Path | None = argument(None, words=Path | None, metavar="FILE.png")
    """PNG that was sampled from this model: the same samples again. Options that it holds are refused.
    Or a grid of the training run: the same noise and settings, by the model as it is now."""
    batch_size: int = 64
    """Number of samples in a batch. It changes memory and time, not the samples."""
    gif: str | Path | bool = argument(
        False, words=Path | None, metavar="[PATH]", bare=True, suffixes=[".gif", ".webp", ".mp4"]
    )
    """Also write an animation of the reverse process, as a .gif, .webp (smaller) or .mp4 (the smallest; needs
    ancestral[video]); without a path, a .gif in the folder samples."""
    film: str | Path | bool = argument(False, words=Path | None, metavar="[PATH]", bare=True, suffixes=[".png"])
    """Also write a film strip of x_t above its estimate of x_0; without a path, in the folder samples."""
    fps: int | None = argument(None, least=1, most=50)
    """Frames in a second of the animation, which shows the reverse process in 2.5 seconds. Fewer make a smaller file;
    default: 8."""
    scale: float | None = argument(None, least=0.05, most=10)
    """Width and height of the animation, as a share of its usual ones; default: 1."""
    captions: bool = True
    """Whether grids and film strips name the class of each sample, and film strips t."""


class Inspect(WithSettings, WithDevice, WithOut, prints="result"):
    """Inspect a data set before training on it: damage, sizes, classes, duplicates, and what training costs.

        report = ancestral.inspect("photos/", image_size=64)
        print(report); report.findings; report.sheet.show()

    The exit code of the command is 0 if the data can be trained on, 1 if the report says why they cannot, and 2 if
    there is nothing to inspect.

    Returns:
        The report; str() of it is a page of text, and `sheet` its contact sheet as a Pillow image.

    Raises:
        InputError: If options are out of range, a file cannot be written, or no item can be read.
    """

    OUT: ClassVar[str] = "A .png for the contact sheet, or a folder for it; default: none, as a command runs/doctor"
    COMMAND_DEFAULTS: ClassVar[Mapping[str, Any]] = {"out": Path("runs/doctor")}
    COMMON: ClassVar[tuple[str, ...]] = (
        *("source", "config", "image_size", "fit", "channels", "dims", "length", "background"),
        *("net", "width", "mults", "patch", "batch_size", "micro_batch", "steps", "threads", "device", "json", "out"),
    )

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config:
        """Return the config of the preset, or of that for the source."""
        base = base_config(values.get("config"), values.get("source"))
        return base.with_net(values.get("net"))

    source: Any = argument(words=str, metavar="SOURCE", positional=True)
    """A folder of images or .wav files, a .npy or .npz file, or a built-in data set (digits, fashion, cifar10 ...){;
    from Python anything that training takes}."""
    config: str | Config | None = argument(None, words=str | None, metavar="PRESET", ordered=True, short=["preset"])
    """Preset of the training run that is judged and measured{; from Python also a config}. Default: the preset of
    training for the source."""
    net: NetworkName | None = None
    """Kind of network of the training run; default: the preset's."""
    steps: int = argument(5, least=0)
    """Number of training steps that are measured for the time and memory of training; 0 leaves them out."""
    threads: int | None = argument(None, least=1)
    """Number of threads that decode files; default: the number of cores, but at most 8."""
    json: str | Path | None = argument(None, words=Path | None, metavar="[FILE.json]", bare=PRINTED, suffixes=[".json"])
    """A .json file for the whole report, with all names; on the command line without a path, it is printed in place of
    the tables."""


class Export(WithNet, WithOut):
    """Write a model for other libraries: a folder for `DDPMPipeline.from_pretrained`, or an ONNX file.

    Returns:
        The path.

    Raises:
        InputError: If the format cannot hold the model, or the path cannot be written.
    """

    OUT: ClassVar[str] = (
        "A new folder, or for onnx a file that ends in .onnx; default: diffusers or model.onnx in the run folder"
    )

    run: str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder, its model.safetensors, or hf://user/repo."""
    to: Literal["diffusers", "onnx"] = "diffusers"
    """diffusers: a folder for DDPMPipeline.from_pretrained; onnx: a file with the network and all that sampling needs.
    """
    label: int | str | None = argument(None, words=str | None)
    """Class that is built into the folder for diffusers, by name or number, or "none"; needed for models with
    classes."""


class Import(WithOut):
    """Make a run folder of a DDPMPipeline or DDIMPipeline that diffusers saved: an unconditional UNet2DModel with its
    scheduler.

    Returns:
        The run folder.

    Raises:
        InputError: If the pipeline cannot be imported, or the run folder is not empty.
    """

    OUT: ClassVar[str] = "New run folder; default: runs/ and the name of the folder"

    folder: str | Path = argument(words=Path, metavar="DIR", positional=True)
    """Folder that diffusers saved, with its weights as safetensors."""


class Push(WithNet, prints="result"):
    """Upload a model to the Hugging Face Hub, with a model card.

    The card is the README.md of the run folder of the model, with the user's own text and the evaluations of this
    model, or a new one.

    Returns:
        The URL of the repository.

    Raises:
        InputError: If the address is not valid, or the Hub refuses or cannot be reached.
    """

    model: Model | str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder or model file{; from Python also a model}."""
    address: str = argument(metavar="hf://user/repo", positional=True)
    """hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; a repository that does not exist is created."""
    private: bool = False
    """Whether a new repository is private."""


class Info(WithNet, prints="result"):
    """Show what a run or a model file holds.

    Returns:
        The facts; str() of it is a table.

    Raises:
        InputError: If there is no model.
    """

    run: str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder, its model.safetensors, or hf://user/repo."""


class Runs(Declaration, prints="result"):
    """List the runs of a folder, or remove what finished runs no longer need.

    Returns:
        The runs, the one that changed last first; or with `clean` the files and folders, with their sizes.

    Raises:
        InputError: If there is no such folder.
        OSError: If something cannot be removed.
    """

    folder: str | Path = argument("runs", words=Path, metavar="DIR", positional=True)
    """Folder that holds run folders, or one run folder."""
    clean: bool = False
    """Show what finished runs no longer need: checkpoints but the newest, snapshots, and temporary files that were
    left. Nothing is removed without `yes`. The newest checkpoint stays, from which more steps go on, and those of
    `keep_every`; without snapshots, no other averages can be made."""
    yes: bool = False
    """Remove what `clean` shows."""
