"""Every use case, declared once: what it takes, what each option sets, and what it returns.

A declaration is a frozen dataclass with a docstring for the use case and one below each field. A face derives from it
what it needs: the Python function with its signature, the command with its options and help, the reference page, and
the spelling of an option in an error.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, dataclass_transform, get_args

from ancestral.base.errors import InputError
from ancestral.base.fields import argument, check_ranges
from ancestral.base.options import option
from ancestral.base.registries import (
    DEFAULT_DISTILLATION,
    EXTRACTORS,
    NETWORKS,
    OBJECTIVES,
    RESTORATIONS,
    SAMPLERS,
    CustomMetric,
    DistillationName,
    MaskPart,
    MetricName,
    NetworkName,
)
from ancestral.config import NET_KINDS, PRESETS, Config, base_config, distilled, preset
from ancestral.config.data_sources import BUILT_IN, FIELDS_WRITTEN
from ancestral.config.request import SamplingOptions, swept_settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ancestral.diffusion import Diffusion
    from ancestral.model import Model, NetSource
    from ancestral.objectives import Objective
    from ancestral.operators import Operator
    from ancestral.samplers import Sampler
    from ancestral.targets import Denoiser

PRINTED = Path("-")
"""A file that stands for standard output."""
DEFAULT_COUNT = 2500
"""The default number of samples: enough to fill the covariance of every built-in extractor's features."""
DEFAULT_MEMBERS = 8
"""The default number of samples of each condition."""
FUNCTION_NAME = "package.module:function"
COMMON_SETTINGS = ("steps", "batch_size", "lr", "seed", "sample_every", "sampler")
IN_OBJECT_STORAGE = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):/{1,2}(?P<path>[^/].*)")
"""An address, also as pathlib writes it, with one slash."""
COPYING = {
    "s3": ("`aws s3 sync {} {}`", "`aws s3 cp {} {}`"),
    "gs": ("`gcloud storage rsync -r {} {}`", "`gcloud storage cp {} {}`"),
}
"""Commands that copy a folder, and a file, from one place to another."""
EditTask = Literal["inpaint", "restore", "vary", "interpolate"]
EDIT_TASKS: tuple[EditTask, ...] = get_args(EditTask)
METHODS = ("auto", *RESTORATIONS)
"""The methods of restoration by name, and what chooses one."""
FITTED: tuple[EditTask, ...] = ("inpaint", "restore")
"""The tasks whose samples fit what is known."""
Prints = Literal["events", "parts", "result", "messages"]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The base of all declarations: a class below it is a dataclass by itself."""

    PRINTS: ClassVar[Prints]
    RESUMABLE: ClassVar[bool]
    SETTINGS: ClassVar[bool] = False
    """Whether all settings of a config are options too."""
    COMMON: ClassVar[tuple[str, ...]] = ()
    """The options that the help lists first; () lists all."""
    OUT: ClassVar[str] = ""
    """Meaning of `out`, and its default."""
    COMMAND_DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    """Defaults that only the command has."""

    def __init_subclass__(cls, prints: Prints = "events", resumable: bool = False) -> None:
        """Make the declaration a dataclass.

        Args:
            prints: What the command prints: the events alone, or with them the parts of the result or all of it; of
                one that has no result the messages.
            resumable: Whether work that Ctrl-C interrupts is saved, or can go on later.
        """
        cls.PRINTS, cls.RESUMABLE = prints, resumable
        dataclass(frozen=True, kw_only=True)(cls)

    def check(self) -> None:
        """Raise InputError for a number out of its range, and for a file that its option does not read or write."""
        check_ranges(self)
        self._check_places()
        for one in dataclasses.fields(self):
            value, suffixes = getattr(self, one.name), one.metadata.get("suffixes")
            if not suffixes or isinstance(value, bool | None) or value == one.metadata["bare"]:
                continue
            if Path(value).suffix.lower() not in suffixes:
                kinds = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
                raise InputError(f"{option(one.name)} writes {kinds} files, not {value}")

    def _check_places(self) -> None:
        """Raise InputError for a run, a folder or a file in object storage, where data alone are read."""
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            for place in value if isinstance(value, list | tuple) else (value,):
                match = IN_OBJECT_STORAGE.match(str(place)) if isinstance(place, str | Path) else None
                if "Path" not in str(one.type) or match is None or match["protocol"] == "hf":
                    continue
                address = f"{match['protocol']}://{match['path']}"
                here = Path(match["path"]).name
                local = f"runs/{here}" if one.name == "out" and "." not in here else here
                commands = COPYING.get(match["protocol"], ("a copy of {} as {}",) * 2)
                copy = commands["." in here]
                if one.metadata.get("written"):
                    raise InputError(
                        f"nothing is written to {address}: give {option(one.name)} a place on this machine, as in "
                        f"{local}, and copy it afterwards, by {copy.format(local, address)}"
                    )
                raise InputError(
                    f"{address} is not read there, as data alone are: copy it to this machine, by "
                    f"{copy.format(address, here)}, and name the copy"
                )

    @classmethod
    def ordered(cls) -> list[str]:
        """Name the options that Python takes by their place."""
        fields = dataclasses.fields(cls)
        return [one.name for fact in ("positional", "ordered") for one in fields if one.metadata.get(fact)]

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config | None:
        """Return the config whose settings the help shows as defaults, or None if settings are no options.

        Args:
            values: The options that were given.
        """
        return None


class WithSettings(Declaration):
    """A use case that takes the settings of a config too."""

    SETTINGS: ClassVar[bool] = True
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings in place of the config's."""


class WithDevice(Declaration):
    """A use case that computes with a network."""

    device: str = argument("auto", names="words", choices=("auto", "cpu", "cuda", "mps"))
    """Device on which networks run: auto, cpu, cuda, cuda:N or mps."""


class WithThreads(Declaration):
    """A use case that computes on the CPU, or may."""

    threads: int | None = argument(None, title="CPU threads", least=1, largest=1024)
    """Number of CPU threads; default: one for each physical core."""


class WithOut(Declaration):
    """A use case that writes files."""

    out: str | Path | None = argument(
        None, title="Save as", words=Path | None, metavar="PATH", names="file", written=True
    )
    """{OUT}."""


class WithNet(Declaration):
    """A use case that loads models."""

    net: NetSource | None = argument(None, title="Network", words=str | None, metavar="package.module:function")
    """The custom network that the model was trained with, or the function that builds it."""


class WithResume(Declaration):
    """A use case that trains."""

    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    verbose: bool = argument(False, title="All notes", short=["v"])
    """Print all notes before the first step: threads, snapshots, settings chosen by size."""


class WithConditions(Declaration, SamplingOptions):
    """A use case that makes samples, which may be conditioned."""

    weak: Model | str | Path | int | None = argument(
        None, title="Weaker model", words=int | str | None, metavar="RUN|STEP", names="run"
    )
    """Weaker model of the same data, for autoguidance: guidance leads away from it, and needs no condition. A number is
    a step of RUN itself: the averaged weights of the nearest snapshot. Default: none."""
    batch_size: int | None = argument(None, largest=1024)
    """Number of samples in a batch; default: 64, fewer for large items. It changes memory and time, not the
    samples."""


class Train(WithSettings, WithResume, WithDevice, WithOut):
    """Train a model in a run folder.

        run = ancestral.train("digits", out="runs/a", steps=200)
        run = ancestral.train("arrays", data=x, out="runs/b", net=my_module)
        run = ancestral.train("folder", data="photos/", out="runs/c", initial="runs/photos")

    A setting has the value of the first of these that gives it: an option; the run that is resumed, or network and
    process of the model that the run starts from; the file; the preset; the default.

    Returns:
        The result: its `model` samples, and str() of it is a table.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """

    OUT: ClassVar[str] = "Run folder; default: runs/ and the preset, or the name of your data"
    PRESETS: ClassVar[str] = PRESETS.names
    DATA_SETS: ClassVar[str] = BUILT_IN.names
    COMMON: ClassVar[tuple[str, ...]] = (
        *("config", "data", "out", "resume", "device", "net", "image_size", "channels", "flip", "augment", "given"),
        *("class_labels", "validation", "latent", "until", *COMMON_SETTINGS),
    )

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config:
        """Return the config of the preset and the file, with the kind of network that was chosen."""
        base = base_config(values.get("config"), values.get("data"), values.get("file"))
        return base.with_net(values["net"]) if values.get("net") in NET_KINDS else base

    config: str | Config | None = argument(
        None, title="Preset", words=str | None, metavar="PRESET", positional=True, names="preset"
    )
    """Name of a preset ({PRESETS}){; from Python also a config, or a .json file as of `file`}. A name or path of
    data is read as `data`. Default: the preset for the data, or digits without data."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", positional=True, names="data")
    """Data to train on: a built-in data set ({DATA_SETS}), a folder or a file, here or in object storage
    (s3://bucket/name or gs://bucket/name). `ancestral help data` lists them. {From
    Python also a tensor or array of items (N, C, *sides) or points (N, 2), alone or with labels as (items, labels); a
    list of paths of images, or of Pillow images; or a torch Dataset of items, alone or with labels.} Default: the
    preset's."""
    file: str | Path | None = argument(
        None, title="Settings file", words=Path | None, metavar="FILE.json", short=["config"], names="file"
    )
    """The config.json of a run, or a JSON file with some settings, which change the preset."""
    initial: Model | str | Path | None = argument(
        None, title="Start from", words=str | None, metavar="RUN", short=["from"], names="run"
    )
    """Run folder, model file or hf:// address of a model whose averaged weights the run starts from{; from Python also
    the model}. Network, schedule and target are those of the model; the data must be of its shape. New classes start a
    new label embedding. Default: random weights."""
    net: NetSource | None = argument(
        None,
        title="Kind of network",
        words=str | None,
        metavar=f"{'|'.join(NETWORKS)}|package.module:function",
        names=tuple(NETWORKS),
    )
    """Kind of network, or a function of (shape of an item, number of classes) that returns a custom one{; from
    Python also a module, which is copied}. Default: the preset's."""
    objective: Callable[[Diffusion], Objective] | Objective | str | None = argument(
        None, words=str | None, metavar=f"{'|'.join(OBJECTIVES)}|package.module:function", names=tuple(OBJECTIVES)
    )
    """What training minimises: {OBJECTIVES}. energy may have options, as in energy:members=8,noise=vector{; from Python
    also an `objectives.EnergyScore`}. Or a function that makes an objective for the denoiser, whose own parameters
    (`Objective.trainable`) are trained too."""
    lr_schedule: Callable[[int], float] | str | None = argument(
        None, title="Learning rate schedule", words=str | None, metavar=FUNCTION_NAME
    )
    """Function of the step 0, 1, ... that returns the factor of the learning rate, in place of `warmup` and `decay`."""


class Distil(WithSettings, WithResume, WithDevice, WithNet, WithOut):
    """Distil a model into one that samples in one or two network evaluations, in a run folder of its own.

        fast = ancestral.distil("runs/digits", out="runs/fast").model
        fast.sample(64)
        ancestral.distil("runs/digits", out="runs/steps", method="progressive", evaluations=4)

    The result is a run like any other. Settings that are not given are those of the model and the method.

    Returns:
        The result: its `model` samples with two evaluations by default.

    Raises:
        InputError: If the model cannot be distilled, the data do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """

    OUT: ClassVar[str] = "Run folder; default: runs/, the name of the model's run or repository, and the method"
    COMMON: ClassVar[tuple[str, ...]] = (
        *("run", "method", "stages", "evaluations", "out", "resume", "device", "net", "data", *COMMON_SETTINGS),
    )

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config:
        """Return the config of a distillation of the preset digits."""
        return distilled(preset("digits"), values.get("method") or DEFAULT_DISTILLATION)

    run: Model | str | Path = argument(words=str, metavar="RUN", positional=True, names="run")
    """Run folder, model file or hf:// address of a model{; from Python also the model}."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", ordered=True, names="data")
    """Data to train on, in any form that training takes; default: those of the model."""
    method: DistillationName | None = None
    """{DISTILLATIONS}. Default: consistency, or the method of the run that is resumed."""
    stages: int | None = None
    """Number of stages, each of which halves the step that is learned; default: the method's."""
    evaluations: int | None = None
    """Number of network evaluations of the default sampler, and of the last stage of progressive; default: 2, and of
    the method energy 1."""


class Sample(WithDevice, WithThreads, WithNet, WithOut, WithConditions):
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
        "A .png for a grid, or of one sample for its picture, .gif, .webp or .mp4 for an animation, .npz for an array "
        f"(images, signals, volumes or points) and labels, {FIELDS_WRITTEN} for fields with units and coordinates, "
        "else a new folder for single PNGs, or .wav files if the model was trained on such; default: a .png in the "
        "folder samples of the run, or of the working folder for a model outside a run"
    )
    SWEPT: ClassVar[str] = ", ".join(swept_settings(edit=False))

    model: Model | str | Path = argument(title="Run", words=str, metavar="RUN", positional=True, names="run")
    """Run folder, its model.safetensors, or hf://user/repo{; from Python also a model}."""
    n: int | None = argument(None, title="Samples", short=["n"], ordered=True, largest=1024, branches=False)
    """Number of samples, with indices 0 to n-1 of the seed; default: one for each value of `given` if it has several,
    else 64."""
    sampler: str | Sampler | None = argument(
        None, words=str | None, metavar="|".join(SAMPLERS), names="words", choices=tuple(SAMPLERS)
    )
    """Sampler{, a name of `registries.SAMPLERS`}, with optional settings: heun:churn=10,spacing=logsnr. Default: the
    sampler of the run's config."""
    steps: int | None = None
    """Number of sampling steps; default: 50 for ddim, all for ddpm, 20 for dpm and unipc, 18 for heun."""
    eta: float | None = argument(None, title="Added noise")
    """Noise of ddim and dpm: 0 is none, 1 that of ddpm; default: the value of the run's config, or 0 with `sampler`."""
    variance: str | None = argument(None, title="Step variance", names="words")
    """Variance of ddpm: large, small, analytic (best for the errors of the network, which are measured on training
    items), or learned, where the model has it; default: large."""
    rollout: int | None = argument(None, title="States in time", least=1, most=10_000, branches=False, sweeps=False)
    """Number of states in time of each sample, of a model that was trained with --given previous:2 or the like: the
    first follows the states that `given` names, the later ones those before them. Default: none."""
    size: int | str | tuple[int, ...] | None = argument(
        None, title="Larger size", words=str | None, metavar="HxW", branches=False, names="words"
    )
    """Height x width of the samples, or one side of all, where they are larger than those that the model was trained
    on: tiles of its own size overlap by half. Structures larger than a tile are not coherent. {From Python also
    (height, width).} Default: the size of the model."""
    seamless: str | None = argument(
        None, title="Seamless axes", metavar="AXIS[,AXIS]|all", branches=False, names="words"
    )
    """Axes along which samples go around, so that copies of them join without a seam: x, y, z, names of axes of fields,
    or all. Default: those of the model."""
    then: Model | str | Path | Sequence[Model | str | Path] | None = argument(
        None, title="Enlarge by", words=tuple[str, ...] | None, metavar="UPSCALER", names="run", branches=False
    )
    """Model that continues from the samples of RUN, such as one trained with --given upscale:4; or several, in a row.
    Each gets the seed, and the label and the values of `given` that it knows. A sampler holds for all of them. A single
    scale of guidance holds for RUN; one by name holds for each model with this condition. Default: none."""
    like: str | Path | None = argument(
        None, title="Repeat a picture", words=Path | None, metavar="FILE.png", names="file", branches=False
    )
    """PNG that was sampled from this model, to make the same samples again; options that it holds are refused. A grid
    of the training run gives its noise and settings to the model as it is now."""
    branch: str | Path | None = argument(
        None, title="Continue a picture", words=Path | None, metavar="FILE.png", names="file"
    )
    """PNG that was sampled from this model: its samples up to the state `at`, and from there on with the seed of the
    reverse noise, label, conditions, guidance and sampler that are given. Those that are not given, and the number of
    samples, are those of FILE.png; `index` chooses some of them. Images are given again, the same ones."""
    at: int | None = argument(None, title="From step", least=0, metavar="STEP")
    """Number of the state at which `branch` leaves FILE.png, from 0, which is x_T."""
    gif: str | Path | bool = argument(
        False,
        title="Animation",
        words=Path | None,
        metavar="[PATH]",
        bare=True,
        suffixes=[".gif", ".webp", ".mp4"],
        written=True,
        sweeps=False,
    )
    """Also write an animation of the reverse process, x_t beside its estimate of x_0, as a .gif, .webp (smaller) or
    .mp4 (the smallest; needs ancestral[video]); without a path, a .gif in the folder samples."""
    film: str | Path | bool = argument(
        False,
        title="Film strip",
        words=Path | None,
        metavar="[PATH]",
        bare=True,
        suffixes=[".png"],
        written=True,
        sweeps=False,
    )
    """Also write a film strip of x_t above its estimate of x_0; without a path, in the folder samples."""
    fps: int | None = argument(None, title="Frames per second", least=1, most=50, sweeps=False)
    """Number of frames per second of the animation, whose second half is two to three times slower. Fewer frames make a
    smaller file; default: 8."""
    scale: float | None = argument(None, title="Animation size", least=0.05, most=10, sweeps=False)
    """Width and height of the animation, as a share of its usual ones; default: 1."""
    captions: bool | None = None
    """Whether grids, animations and film strips name the class of each sample, and the last two t; default: yes.
    A single sample is drawn as a grid if this is set, else as its picture alone."""


class Edit(WithDevice, WithThreads, WithNet, WithOut, WithConditions):
    """Edit images with a trained model: sample a part anew, restore, vary, or walk between two.

        ancestral.edit("runs/faces", "inpaint", "photo.png", mask="mask.png")
        ancestral.edit("runs/faces", "restore", "small.png", operator="upscale:4", noise=0.05)
        ancestral.edit("runs/faces", "restore", "grainy.png", noise=0.2)
        ancestral.edit("runs/faces", "vary", "photo.png", strength=0.5)
        ancestral.edit("runs/faces", "interpolate", "one.png", "other.png")

    Files hold the samples, the map of their standard deviation, and an overview. An image of another size is edited in
    a window around the mask at the resolution of the model; what the mask leaves stays as it is, to the bit. Which
    method is taken, and why, is said. No file is overwritten, and each PNG holds in its metadata how it was made.

    Returns:
        The files, the method and the reason why it was taken, and the mean standard deviation of the samples.

    Raises:
        InputError: If the model cannot edit this, an option does not apply, or `like` was made otherwise, before any
            work is done.
    """

    OUT: ClassVar[str] = (
        "A .png for the edited image, or for an overview of several samples; .npz for arrays of the samples and their "
        f"standard deviation, {FIELDS_WRITTEN} for fields; else a new folder for all of these. Default: a folder in "
        "edits of the run, or of the working folder for a model outside a run"
    )
    LABEL_DEFAULT: ClassVar[str] = "none"
    SWEPT: ClassVar[str] = ", ".join(swept_settings(edit=True))

    model: Model | str | Path = argument(title="Run", words=str, metavar="RUN", positional=True, names="run")
    """Run folder, its model.safetensors, or hf://user/repo{; from Python also a model}."""
    task: EditTask = argument(metavar="|".join(EDIT_TASKS), positional=True)
    """Kind of edit: inpaint samples the masked part of an image anew; restore samples images that the given image may
    be a measurement of; vary samples similar images; interpolate walks from one image to another."""
    image: Any = argument(None, words=str | None, metavar="IMAGE", positional=True, names="file")
    """Image, signal or volume: a file{; from Python also a tensor, an array or a Pillow image}. Each image of a folder
    is edited with the same options, into a folder of results. interpolate takes it as the first image; without images
    it walks between the classes or the conditions."""
    other: Any = argument(
        None,
        title="Second image",
        words=str | None,
        metavar="OTHER",
        positional=True,
        names="file",
        tasks=["interpolate"],
    )
    """Second image of interpolate. Default: none."""
    n: int | None = argument(None, title="Samples", short=["n"], least=1, largest=1024)
    """Number of samples; default: 4, for interpolate 9."""
    mask: Any = argument(None, words=str | None, metavar="FILE", names="file", tasks=["inpaint"])
    """Mask of inpaint, in which white changes: an image file of the proportions of the image, of any size, or a .npy
    file{; from Python also a Pillow image, an array or a tensor}. In a mask with transparent pixels the painted part
    changes; in a copy of the image with holes, the holes change. A folder of images takes one mask for all, or a folder
    of masks with the same names. Default: the transparent part of the image."""
    box: str | Sequence[int] | None = argument(
        None, title="Rectangle", words=str | None, metavar="X,Y,W,H", names="words", tasks=["inpaint"]
    )
    """Rectangle that inpaint changes, in place of a mask: the upper left corner, the width and the height, in pixels
    of the image."""
    extend: str | Sequence[int] | None = argument(
        None, words=str | None, metavar="LEFT,TOP,RIGHT,BOTTOM", names="words", tasks=["inpaint"]
    )
    """Numbers of pixels that inpaint adds on each side of the image, in place of a mask: windows of the size of the
    model continue what is known, one after another."""
    changes: MaskPart | None = argument(None, title="Mask colour", tasks=["inpaint"])
    """Pixels of the mask that change: white, black, painted or transparent ones; with grey each pixel changes in part,
    by its lightness, or by its opacity in a mask with transparent pixels. Default: as described at `mask`,
    hard-edged."""
    window: str | Sequence[int] | None = argument(
        None, words=str | None, metavar="X,Y,W,H", names="words", tasks=["inpaint", "restore", "vary"]
    )
    """Part of the image that is edited at the resolution of the model: the upper left corner, the width and the
    height in pixels, in the proportions of the model; outside it the image stays to the bit. Default: the whole
    image; for inpaint a window around the mask."""
    soften: float | None = argument(
        None, title="Soften the edge", least=0, most=256, tasks=["inpaint", "restore", "vary"]
    )
    """Number of pixels of the image over which the samples pass into the image, inside the edge of the mask or of the
    window; pixels outside it stay to the bit. Default: 0."""
    operator: Operator | str | None = argument(
        None, title="What to do", words=str | None, metavar="OPERATOR", names="operator", tasks=["restore"]
    )
    """Degradation that restore inverts: {OPERATORS.names}, as in upscale:4, several joined by +; or a custom function
    (package.module:function). `ancestral help operators` explains them. Default: noise alone."""
    noise: float | None = argument(None, title="Noise in the image", least=0, tasks=FITTED)
    """Standard deviation of the noise of the image, in units of [-1, 1], of inpaint and restore. Default: 0, with which
    samples agree with the image exactly; for a blur the noise of rounding."""
    strength: float | None = argument(None, least=0, most=1, tasks=["vary"])
    """Distance of vary from the image, from 0, the image, to 1, a new sample; default: 0.5."""
    t: float | None = argument(None, title="Walk from time", above=0, tasks=["interpolate"])
    """Time from which interpolate walks: a lower one stays nearer to the pixels of both images. Default: the last."""
    method: str | None = argument(None, metavar="|".join(METHODS), names="words", choices=METHODS, tasks=FITTED)
    """Method of inpaint and restore{, a name of `registries.RESTORATIONS`}; default: auto, a condition that the model
    was trained with if it fits the measurement, else the best method for the operator and the noise."""
    iterations: int | None = argument(None, least=1, tasks=FITTED)
    """Number of iterations of the methods pigdm, mmps and jfps; default: that of the method."""
    sampler: str | Sampler | None = argument(
        None, words=str | None, metavar="|".join(SAMPLERS), names="words", choices=tuple(SAMPLERS)
    )
    """Sampler{, a name of `registries.SAMPLERS`}, with optional settings. Default: that of the task."""
    steps: int | None = argument(None, least=1)
    """Number of sampling steps; default: 25, for a distilled model 4."""
    like: str | Path | None = argument(
        None, title="Repeat a picture", words=Path | None, metavar="FILE.png", names="file"
    )
    """PNG of an edit by this model, to make the same edit again. Options that it holds are refused; give the images and
    the mask again."""
    gif: str | Path | bool = argument(
        False,
        title="Animation",
        words=Path | None,
        metavar="[PATH]",
        bare=True,
        suffixes=[".gif", ".webp", ".mp4"],
        written=True,
        tasks=["interpolate"],
        sweeps=False,
    )
    """Also write an animation of interpolate; without a path, in the new folder."""
    film: str | Path | bool = argument(
        False,
        title="Film strip",
        words=Path | None,
        metavar="[PATH]",
        bare=True,
        suffixes=[".png"],
        written=True,
        sweeps=False,
    )
    """Also write a film strip of x_t above its estimate of x_0; without a path, in the new folder."""


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
        *("source", "config", "image_size", "fit", "channels", "dims", "length", "rate", "background", "given"),
        *("net", "width", "mults", "patch", "batch_size", "micro_batch", "steps", "threads", "device", "json", "out"),
    )

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config:
        """Return the config of the preset, or of that for the source."""
        base = base_config(values.get("config"), values.get("source"))
        return base.with_net(values.get("net"))

    DATA_SETS: ClassVar[str] = BUILT_IN.names
    source: Any = argument(title="Data", words=str, metavar="SOURCE", positional=True, names="data")
    """Data that training may take{, also from Python}: a built-in data set ({DATA_SETS}), a folder or a file.
    `ancestral help data` lists them."""
    config: str | Config | None = argument(
        None, title="Preset", words=str | None, metavar="PRESET", ordered=True, short=["preset"], names="preset"
    )
    """Preset of the training run that is judged and measured{; from Python also a config}. Default: the preset of
    training for the source."""
    net: NetworkName | None = argument(None, title="Kind of network")
    """Kind of network of the training run; default: the preset's."""
    steps: int = argument(5, least=0)
    """Number of training steps that are measured for the time and memory of training; 0 leaves them out."""
    threads: int | None = argument(None, title="CPU threads", least=1)
    """Number of threads that decode files; default: the number of cores, but at most 8."""
    json: str | Path | None = argument(
        None,
        title="Report as JSON",
        words=Path | None,
        metavar="[FILE.json]",
        bare=PRINTED,
        suffixes=[".json"],
        written=True,
    )
    """A .json file for the whole report, with all names. On the command line without a path, the report is printed as
    JSON in place of the tables."""


class Export(WithNet, WithOut):
    """Write a model for other programs: a folder for `DDPMPipeline.from_pretrained`, an ONNX file, a file for PyTorch
    alone, or a page that samples it in a browser.

    Returns:
        The path.

    Raises:
        InputError: If the format cannot hold the model, or the path cannot be written.
    """

    OUT: ClassVar[str] = (
        "A new folder, or for onnx, pt2 and html a new file that ends so; default: diffusers or space in the run "
        "folder, or model.onnx, model.pt2 or page.html, which is replaced"
    )

    run: str | Path = argument(words=str, metavar="RUN", positional=True, names="run")
    """Run folder, its model.safetensors, or hf://user/repo."""
    to: Literal["diffusers", "onnx", "pt2", "html", "space"] | None = argument(None, title="Format")
    """diffusers: a folder for DDPMPipeline.from_pretrained; onnx: a file with the network and all that sampling needs;
    pt2: the same for PyTorch alone; html: a page that samples the model in any browser, offline; space: the folder of a
    static Hugging Face Space with that page. Default: the format of `out`, or diffusers if it can hold the model, else
    onnx, or pt2 where the packages of onnx are missing."""
    label: int | str | None = argument(None, title="Class", words=str | None, names="words")
    """Class that is built into the folder for diffusers, which takes no classes: a name or a number, or "none"."""


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

    model: Model | str | Path = argument(title="Run", words=str, metavar="RUN", positional=True, names="run")
    """Run folder or model file{; from Python also a model}."""
    address: str = argument(metavar="hf://user/repo", positional=True)
    """hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; a repository that does not exist is created."""
    private: bool = False
    """Whether a new repository is private."""


class Info(WithNet, prints="result"):
    """Show what a run or a model file holds, or check its files.

    Returns:
        The facts; with `verify` the files, each with its state. str() of it is a table.

    Raises:
        InputError: If there is no model.
    """

    run: str | Path = argument(words=str, metavar="RUN", positional=True, names="run")
    """Run folder, its model.safetensors, or hf://user/repo."""
    verify: bool = False
    """Check instead that each file of the run has the content that was written (SHA-256), and belongs to this run.
    Files that no run writes are listed. The exit code is 1 if a file is damaged or of another run."""


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
    """Show what finished runs no longer need: all checkpoints but the newest, snapshots, and temporary files that a
    killed process left, in any run. Nothing is removed without `yes`. The newest checkpoint stays, from which more
    steps go on, and those of `keep_every`; without snapshots, no other averages can be made."""
    yes: bool = argument(False, deletes=True)
    """Remove what `clean` shows."""


class WithReference(WithDevice, WithOut):
    """A use case that compares samples with data."""

    held_out: Any = argument(None, title="Held-out data", words=str | None, metavar="SOURCE", names="data")
    """Data of the same kind that no model was trained on, in any form that `data` has; default: the test split, or the
    items that the run held out by `validation`, if there are any."""
    leave_out_copies: bool = False
    """Leave out held-out items whose values equal those of a training item; default: they stay, and a note names
    them."""
    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = argument(
        None, title="Features", words=str | None, metavar="NAME", names=tuple(EXTRACTORS)
    )
    """Feature extractor: {EXTRACTORS}, or a custom function as package.module:function{; from Python also a module
    or function}. Default: lite0 for images of 1 or 3 channels that are no fields, else pixels."""
    batch_size: int | None = argument(None, least=1)
    """Number of items at a time; default: 64, fewer for large items. It changes memory and time, not the results."""


class WithMetrics(WithReference):
    """A use case that measures samples by several metrics."""

    metrics: tuple[MetricName | CustomMetric, ...] | None = argument(None, words=tuple[MetricName, ...] | None)
    """Metrics of the samples; `ancestral help metrics` explains them{; from Python also a function of (items, other
    items), both (N, *shape) in the units of the data, that returns a number, except in compare}; default: all."""


class WithSamples(WithReference, WithThreads, WithNet):
    """A use case that makes samples and measures them."""

    COUNT: ClassVar[str] = f"{DEFAULT_COUNT}"

    samples: int | bool | None = argument(
        None, title="Samples to measure", words=int | None, short=["draw"], bare=True, metavar="[N]", least=1
    )
    """Number of samples{; False measures none}. Default: {COUNT}, more than the features of each built-in extractor.
    Those that were made before are used again."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", ordered=True, names="data")
    """Data that the model was trained on, in any form that training takes; default: the source of the (first) run."""
    sampler: str | Sampler | None = argument(
        None, words=str | None, metavar="NAME", names="words", choices=tuple(SAMPLERS)
    )
    """Sampler, a name with optional settings{; from Python also a custom one}. Default: the sampler of the run."""
    steps: int | None = None
    """Number of sampling steps; default: the sampler's default."""
    guidance: float | None = None
    """Classifier-free guidance: above 1 strengthens the label; default: 1."""
    seed: int = 0
    """Seed of sample i, and of the noise of item i of the data."""
    given: tuple[str, ...] | None = argument(
        None, title="Conditions", metavar="NAME=WHAT", repeats=True, names="condition"
    )
    """New places of conditions that training found elsewhere, by name, as in sketch=PLACE: a folder, a .npy or .npz
    file, or a column. Default: the places of training."""
    trust: tuple[str, ...] | None = argument(None, metavar=FUNCTION_NAME)
    """Custom functions that may run to make the conditions of a model in a file; no file runs code by itself. Default:
    none."""


class Evaluate(WithSamples, WithMetrics, prints="parts", resumable=True):
    """Measure how good a model's samples are, its likelihood, or both.

        result = ancestral.evaluate("runs/a", samples=1000)
        result = ancestral.evaluate(run.model, data=x, likelihood=True)

    A model with conditions besides the label is measured on held-out items too: samples of the conditions of each item
    are compared with the item. All other samples are given the conditions of training items.

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
        *("model", "samples", "conditions", "members", "beside", "likelihood", "data", "held_out", "sampler", "steps"),
        *("extractor", "metrics", "batch_size", "device", "out"),
    )

    model: str | Path | Model | Denoiser = argument(title="Run", words=str, metavar="RUN", positional=True, names="run")
    """Run folder, its model.safetensors, or hf://user/repo{; from Python also a model, saved or not, or any denoiser
    with `schedule` and `predict`}."""
    conditions: int | None = argument(None, least=0)
    """Conditional models: number of held-out items, evenly chosen, whose conditions the samples get; 0 measures none.
    Default: 48, or all if there are fewer, whenever samples are measured."""
    members: int = argument(DEFAULT_MEMBERS, title="Samples of each condition", least=2)
    """Conditional models: number of samples for each of these items. With 19, or 39, there are intervals that cover
    exactly 90 %."""
    rollout: int | None = argument(None, title="States in time", least=1, most=10_000)
    """Models that were trained with --given previous:2 or the like: number of states in time that samples roll out to
    from held-out states, for scores by lead time beside the state before and random training items. Default: none."""
    beside: str | Path | Model | Sequence[str | Path | Model] | None = argument(
        None, words=tuple[str, ...] | None, metavar="RUN", names="run"
    )
    """Conditional models: other runs of the same data and conditions, whose samples answer the same conditions, such as
    a regression network (`objective` energy:members=1) or a diffusion model of equal time; the skill says how much
    better the samples are."""
    likelihood: bool = False
    """Measure the likelihood: the variational bound in bits/dim over time, and the error of x̂_0 at each rate. Samples
    are then measured only if `samples` is given."""
    n: int | None = argument(None, title="Samples", short=["n"], least=1)
    """Likelihood: number of items, spread evenly over the data; default: 64, or all if there are fewer."""
    split: Literal["train", "test", "held-out"] | None = argument(None, title="Part of the data")
    """Likelihood: part of the data; default: held-out if that is given, else test if there is one, else the items
    that the run held out by `validation`."""
    passes: int | None = argument(None, title="Repeats", least=2)
    """Likelihood: number of network evaluations of each item, at random times; default: all T, exact and slower."""
    variance: Literal["large", "small", "learned", "analytic"] | None = argument(None, title="Step variance")
    """Likelihood: variance of the reverse steps; default: learned if the model has it, else large."""
    clip: bool | None = argument(None, title="Clip estimates")
    """Likelihood: keep x̂_0 within [−1, 1], as sampling does; default: yes."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Likelihood: last step. exact is the normal distribution's mass of a grey level, tanh the DDPM code's version of
    it, density a probability density. Default: exact for data of 8 or 16 bits, density for points and floats."""
    ode: bool = argument(False, title="Exact likelihood")
    """Also measure the likelihood of the probability-flow ODE, of images with uniform noise in their grey levels."""
    ode_steps: int | None = argument(None, title="ODE steps")
    """Number of ODE steps, of two network evaluations each; default: 100, or T if that is less."""
    probes: int | None = argument(None, title="Trace probes", least=0)
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

    samples: Any = argument(title="Samples from", words=str, metavar="SAMPLES", positional=True, names="data")
    """A folder of images, a .npy or .npz file{; from Python items in any form that training takes}. Labels are those
    that the samples were conditioned on, in the numbering of the data's classes or by their names."""
    data: Any = argument(words=str, metavar="SOURCE", positional=True, names="data")
    """Data that the samples are compared with, in any form that training takes. Images are brought to the size and
    channels of the samples."""
    n: int | None = argument(None, title="Samples", short=["n"])
    """Number of samples, spread evenly; default: all that fit into memory."""
    image_size: int | str | tuple[int, int] | None = argument(None, words=str | None, metavar="HxW", names="words")
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
        words=tuple[str, ...], metavar="RUN", names="run", positional=True
    )
    """Run folders, their model.safetensors, or hf://user/repo{; from Python also models}. Two or more, or one with
    `samplers`."""
    samplers: str | Sampler | Sequence[str | Sampler] | None = argument(
        None, words=str | None, metavar="all|NAME,...", names="words", choices=("all", *SAMPLERS)
    )
    """Compare these samplers of one run: the distance of their samples to the data over network evaluations (passes),
    and the fewest that come within 5 % of DDPM with all steps. A name with steps, as in heun:steps=5, is tried with
    these alone. {From Python also custom samplers.} Default: none, runs are compared."""
    most: int | None = argument(None, title="At most", least=1)
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

    run: str | Path = argument(words=str, metavar="RUN", positional=True, names="run")
    """Run folder with snapshots of averages, which training keeps."""
    lengths: tuple[float, ...] = argument((0.03, 0.04, 0.05, 0.07, 0.10, 0.14, 0.20), title="Average lengths")
    """Lengths of the averages: standard deviations of their profiles as shares of the steps, 0.005 to 1/√12 (0.2886),
    the mean of all steps."""
    most: int | None = argument(None, title="At most", least=1)
    """Largest number of network evaluations of a sample: a sampler that takes more gets fewer steps. Default: no
    limit."""
    end: int | None = argument(None, title="Last step")
    """Last step of the averages, or the last snapshot before it; default: the last snapshot."""


class Studio(WithOut, prints="messages", resumable=True):
    """Work with your models in a browser: look at data, train, sample, edit and compare, and keep what was made.

    A server on this machine shows the pages and runs the other commands. No request leaves the machine, and only files
    in the folders that are named here can be read. A training runs in a process of its own, which goes on without the
    studio. Ctrl-C ends the studio.

    Returns:
        Nothing, when the studio has ended.

    Raises:
        InputError: If the package of the studio is missing, a folder does not exist, another studio keeps what it
            makes in the same folder, or the address is taken.
        OSError: If the folder of the history cannot be written.
    """

    OUT: ClassVar[str] = "Folder for all that is made in the studio; default: runs/studio"

    places: str | Path | Sequence[str | Path] | None = argument(
        None, words=tuple[str, ...] | None, metavar="RUN|FOLDER", positional=True
    )
    """Run folders, folders of runs and folders of data; nothing outside them can be read. Default: the working folder
    with its runs."""
    host: str = argument("127.0.0.1", metavar="ADDRESS")
    """Address of this machine at which the studio can be reached. Any but 127.0.0.1 opens it to other machines."""
    port: int = argument(8765, least=0, most=65535)
    """Port of the address; 0 takes any that is free."""
    open: bool = True
    """Whether to open the page in the browser."""
    token: bool = True
    """Whether visitors need the secret token of the address that is printed; the browser then keeps it in a cookie.
    Without it every user of this machine, and with `host` everyone who reaches it, can use the studio with your
    rights."""


class UseCase(NamedTuple):
    """A row of the table of use cases.

    Attributes:
        command: Its command.
        place: The module in `package` whose `plan` and `run` do the work; it has the name of the Python function.
        declaration: Its declaration.
        summary: What the help says.
        package: The package of the module; one outside `ancestral` is a distribution that an extra of the command's
            name brings.
    """

    command: str
    place: str
    declaration: type[Declaration]
    summary: str
    package: str = "ancestral.use_cases"

    @property
    def function(self) -> str:
        """The name of its Python function."""
        return self.place.rpartition(".")[2]

    @property
    def module(self) -> str:
        """The module that plans and runs it."""
        return f"{self.package}.{self.place}"

    def options(self, values: Mapping[str, Any]) -> Declaration:
        """Make the options of the command from values by name; those that are no options of its own are settings."""
        option_values = {name: value for name, value in values.items() if name in self.declaration.__dataclass_fields__}
        if self.declaration.SETTINGS:
            option_values["settings"] = {name: value for name, value in values.items() if name not in option_values}
        return self.declaration(**{**self.declaration.COMMAND_DEFAULTS, **option_values})


USE_CASES = (
    UseCase(
        "doctor",
        "measuring.inspect",
        Inspect,
        "inspect a data set before training: faults, duplicates, time and memory",
    ),
    UseCase("train", "training.train", Train, "train a model on built-in data or on your own images"),
    UseCase(
        "distil", "training.distil", Distil, "distil a model into one that samples in one or two network evaluations"
    ),
    UseCase(
        "sample", "sampling.sample", Sample, "sample images from a trained model: grid, files, animation, film strip"
    ),
    UseCase("edit", "sampling.edit", Edit, "edit images with a trained model: inpaint, restore, vary, interpolate"),
    UseCase("evaluate", "measuring.evaluate", Evaluate, "measure the samples of a model, and its likelihood"),
    UseCase(
        "evaluate-samples",
        "measuring.evaluate_samples",
        EvaluateSamples,
        "measure samples that are files, without a model",
    ),
    UseCase("compare", "measuring.compare", Compare, "compare runs, or the samplers of one run at their cost"),
    UseCase(
        "average", "measuring.average", AverageLengths, "choose the length of the average of the weights after training"
    ),
    UseCase("runs", "runs", Runs, "list the runs of a folder, and clean up finished ones"),
    UseCase("info", "info", Info, "show what a run or a model file holds"),
    UseCase("export", "export", Export, "write a model for other programs: diffusers, ONNX, PyTorch"),
    UseCase("import", "import_pipeline", Import, "read a model from diffusers"),
    UseCase("studio", "studio", Studio, "work with your models in a browser, on this machine", "ancestral_studio"),
    UseCase("push", "push", Push, "upload a model with its card to the Hugging Face Hub"),
)
