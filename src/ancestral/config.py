"""One frozen tree of dataclasses says all that a training run is; presets are functions that return one.

The command line is generated from it, and the `config.json` of a run folder is it. The docstring below each field is
its help.
"""

import dataclasses
import difflib
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal

from tyro.conf import Suppress, arg

from ancestral.errors import InputError


@dataclass(frozen=True)
class DataConfig:
    """What to train on."""

    source: Annotated[str, arg(name="data", metavar="SOURCE")] = "digits"
    """A built-in (digits, fashion, cifar10, moons, swissroll, checkerboard), a folder of images, or a .npy/.npz file.
    """
    image_size: int | None = None
    """Side to which images are cropped and resized; None keeps the size that they have."""
    channels: int | None = None
    """1 makes images grey, 3 makes them RGB; None keeps what they are."""
    flip: bool = False
    """Mirror half of the images left to right, at random. Not for digits and letters."""
    background: str = "white"
    """Colour that shows through transparent images: a name or #rrggbb."""
    class_labels: bool = True
    """Learn the classes where the data has them (one sub-folder each), so that they can be asked for."""


@dataclass(frozen=True)
class NetConfig:
    """The network: a U-Net for images, of which points use the width and the number of blocks in a plain MLP."""

    width: int = 128
    """Channels of the U-Net's first level, or of the MLP."""
    mults: tuple[int, ...] = (1, 2, 2, 2)
    """Width of each level of the U-Net, as multiples; every level but the last halves the image."""
    blocks: int = 2
    """Residual blocks of each level, or of the MLP."""
    attention: tuple[int, ...] = (16,)
    """Resolutions (after the patch) at which the U-Net has self-attention."""
    dropout: float = 0.1
    """Share of features dropped in each block while training."""
    patch: int = 1
    """Fold patch x patch pixels into channels first: 2 is about four times as fast on small images."""
    groups: int | None = None
    """Groups of every group norm; None is 32, and fewer in narrow layers. One number for all is what other libraries
    need of a model that is exported to them."""


@dataclass(frozen=True)
class ProcessConfig:
    """The forward process and what the network predicts."""

    schedule: Literal["linear", "cosine", "sigmoid", "geometric", "karras", "flow"] = "linear"
    """How the noise grows: linear (DDPM), cosine (Improved DDPM), sigmoid, geometric (NCSN), karras (EDM), flow."""
    timesteps: int = 1000
    """T, the number of noise levels."""
    target: Literal["eps", "x0", "v", "score", "flow", "edm"] = "eps"
    """What the network predicts: the noise, the clean image, v (their rotation), the score, the velocity of a
    flow, or EDM's F."""
    sigma_min: float | None = None
    """Least noise of geometric and karras; None is 0.01 and 0.002."""
    sigma_max: float | None = None
    """Most noise of geometric and karras; None is 50 and 80."""
    zero_terminal_snr: bool = False
    """Shift linear, cosine or sigmoid so that the last level holds no signal at all; not for eps and score."""
    learned_variance: bool = False
    """Also learn the variance of the reverse steps, by the bound (Improved DDPM's hybrid loss)."""

    def schedule_spec(self) -> dict[str, Any]:
        """What `schedules.from_spec` makes the schedule of. Raises InputError for settings of other schedules."""
        spec: dict[str, Any] = {"name": self.schedule, "steps": self.timesteps}
        for name in ("sigma_min", "sigma_max"):
            if getattr(self, name) is not None:
                if self.schedule not in ("geometric", "karras"):
                    raise InputError(f"--{name.replace('_', '-')} is for the schedules geometric and karras")
                spec[name] = getattr(self, name)
        return {"name": "zero_terminal", "of": spec} if self.zero_terminal_snr else spec


@dataclass(frozen=True)
class TrainConfig:
    """How to train."""

    steps: int = 800_000
    """Optimiser steps in all."""
    batch_size: int = 128
    """Images in each step."""
    lr: float = 2e-4
    """Adam's learning rate after the warm-up."""
    warmup: int = 5000
    """Steps over which the learning rate rises from 0."""
    decay: Literal["none", "cosine"] = "none"
    """What the learning rate does after the warm-up: stay, or fall to 0 at the last step along a cosine."""
    clip_norm: float = 1.0
    """Gradients longer than this are shortened to it."""
    ema: float = 0.9999
    """Decay of the averaged weights that samples are drawn with; it is reached gradually, so short runs work too."""
    label_dropout: float = 0.1
    """Share of labels hidden while training, which teaches the "no class" that guidance needs."""
    times: Literal["uniform", "stratified", "lognormal", "importance"] = "uniform"
    """How t is drawn: for each image on its own; spread evenly over the batch, which is less noisy; from EDM's
    log-normal noise levels; or by importance, where the losses of late were large."""
    weighting: Literal["simple", "snr", "min-snr", "variational", "edm"] = "simple"
    """What each t counts: simple is 1 on the network's own error; the others weigh the error of x_0, whatever the
    target."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the network; auto is bf16 where the hardware has it, else fp32."""
    seed: int = 0
    """Everything random follows from it."""
    save_every: int = 1000
    """Steps between two saves; the last step is always saved."""
    sample_every: int = 1000
    """Steps between two sample grids."""


@dataclass(frozen=True)
class SampleConfig:
    """How to sample, unless `ancestral sample` says otherwise."""

    sampler: str = "ddim"
    """What samples are drawn with: a name, or a name with options, as in heun:steps=18,churn=10."""


@dataclass(frozen=True)
class Config:
    """A training run."""

    preset: Suppress[str] = "custom"
    data: DataConfig = field(default_factory=DataConfig)
    net: NetConfig = field(default_factory=NetConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def to_json(self) -> str:
        """The tree as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @staticmethod
    def from_json(text: str, where: str = "the config") -> "Config":
        """The tree from JSON text; fields that it does not name get their defaults.

        Raises InputError naming `where` if the text is no JSON object, or has a field that this version does not know.
        """
        try:
            tree = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where} is not JSON: {error}") from None
        config = _build(Config, tree, where)
        assert isinstance(config, Config)
        return config


def _build(kind: type[Any], tree: Any, where: str) -> Any:
    if not isinstance(tree, dict):
        raise InputError(f"{where} should hold an object of settings")
    unknown = sorted(set(tree) - {f.name for f in dataclasses.fields(kind)})
    if unknown:
        raise InputError(
            f"{where} has the unknown setting {unknown[0]!r}; was it written by a newer version of ancestral?"
        )
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in tree.items():
        if dataclasses.is_dataclass(hints[name]):
            values[name] = _build(hints[name], value, where)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
            if not _fits(values[name], hints[name]):
                raise InputError(
                    f"{where} has {name} = {json.dumps(value)}, which cannot be; see ancestral train --help"
                )
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value may stand in a field of this type: a choice, a number, text, bool, None or some ints."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return value in options
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(type(item) is int for item in value)
    if options:
        return any(_fits(value, option) for option in options)
    return type(value) is hint or (hint is float and type(value) is int)


def digits() -> Config:
    """5,000 real MNIST digits, by class: minutes on a laptop."""
    return Config(
        preset="digits",
        data=DataConfig("digits"),
        net=NetConfig(width=32, mults=(1, 2), blocks=1, attention=(), dropout=0.0, patch=2),
        process=ProcessConfig("cosine", target="v"),
        train=TrainConfig(
            steps=1800,
            batch_size=32,
            lr=2e-3,
            warmup=50,
            decay="cosine",
            ema=0.999,
            times="stratified",
            save_every=600,
            sample_every=600,
        ),
    )


def fashion() -> Config:
    """60,000 images of clothes (Fashion-MNIST), by class."""
    base = digits()
    return dataclasses.replace(
        base,
        preset="fashion",
        data=DataConfig("fashion", flip=True),
        train=dataclasses.replace(base.train, steps=3000, save_every=1000, sample_every=1000),
    )


def cifar10() -> Config:
    """The DDPM paper's CIFAR-10 run, setting for setting; for a GPU."""
    return Config(
        preset="cifar10",
        data=DataConfig("cifar10", flip=True, class_labels=False),
        train=TrainConfig(save_every=5000, sample_every=5000),
    )


def folder() -> Config:
    """Your own folder of images, in colour at 32x32, by sub-folder."""
    base = digits()
    return dataclasses.replace(
        base,
        preset="folder",
        data=DataConfig("", image_size=32, channels=3, flip=True),
        train=dataclasses.replace(base.train, steps=2500, save_every=500, sample_every=500),
    )


def points() -> Config:
    """Points of two moons: seconds, and every step can be seen."""
    return Config(
        preset="points",
        data=DataConfig("moons"),
        net=NetConfig(width=128, blocks=3, dropout=0.0),
        process=ProcessConfig("cosine"),
        train=TrainConfig(
            steps=1500,
            batch_size=256,
            lr=2e-3,
            warmup=50,
            decay="cosine",
            ema=0.999,
            save_every=500,
            sample_every=500,
        ),
    )


def _method(name: str, sampler: str, process: ProcessConfig, base: Callable[[], Config], **train: Any) -> Config:
    """The run of `base`, by the method of another paper."""
    config = base()
    if base is points:  # where little noise is left ε tells little of x_0, and small batches drown that in chance
        train = {"batch_size": 1024, **train}
    return dataclasses.replace(
        config,
        preset=name if base is digits else f"{name}-points",
        process=process,
        train=dataclasses.replace(config.train, **{"times": "stratified", **train}),
        sample=SampleConfig(sampler),
    )


METHODS: dict[str, Callable[[Callable[[], Config]], Config]] = {
    "ncsn": lambda base: _method(  # σ_max: twice the largest distance within moons, a quarter of that within digits
        "ncsn",
        "langevin:steps=100,steps_per_level=5,step_size=2e-5",
        ProcessConfig("geometric", sigma_max=8.0 if base is digits else 3.0, target="score"),
        base,
        weighting="snr",
    ),
    "ddpm": lambda base: _method("ddpm", "ddpm", ProcessConfig("linear"), base),
    "ddim": lambda base: _method("ddim", "ddim", ProcessConfig("linear"), base),
    "improved": lambda base: _method(
        "improved", "ddpm:variance=learned,steps=100", ProcessConfig("cosine", learned_variance=True), base
    ),
    "edm": lambda base: _method(
        "edm", "heun:steps=18", ProcessConfig("karras", target="edm"), base, times="lognormal", weighting="edm"
    ),
    "flow": lambda base: _method("flow", "euler:steps=50", ProcessConfig("flow", target="flow"), base),
}
"""The history, each a function of the run that it is tried on."""

PAPERS = {
    "ncsn": ("NCSN", "Song and Ermon 2019"),
    "ddpm": ("DDPM", "Ho, Jain and Abbeel 2020"),
    "ddim": ("DDIM", "Song, Meng and Ermon 2021"),
    "improved": ("Improved DDPM", "Nichol and Dhariwal 2021"),
    "edm": ("EDM", "Karras et al. 2022"),
    "flow": ("Rectified flow", "Liu, Gong and Liu 2022"),
}
"""What each method is called, and where it is from."""

POINTS = ("moons", "swissroll", "checkerboard")
"""The built-in data that are points in the plane."""

PRESETS: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "fashion": fashion,
    "cifar10": cifar10,
    "folder": folder,
    "points": points,
    **{name: partial(method, digits) for name, method in METHODS.items()},
    **{f"{name}-points": partial(method, points) for name, method in METHODS.items()},
}


def preset(name: str) -> Config:
    """The preset called `name`. Raises InputError, with the nearest name, where there is none."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise InputError(f"there is no preset {name!r}; did you mean {near}? There are {', '.join(PRESETS)}")
    return PRESETS[name]()
