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

    schedule: Literal["linear", "cosine"] = "linear"
    """How the noise grows: linear (DDPM) or cosine (Improved DDPM)."""
    timesteps: int = 1000
    """T, the number of noise levels."""
    target: Literal["eps", "x0", "v"] = "eps"
    """What the network predicts: the noise, the clean image, or v (their rotation)."""


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
    times: Literal["uniform", "stratified"] = "uniform"
    """How t is drawn: for each image on its own, or spread evenly over the batch, which is less noisy."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the network; auto is bf16 where the hardware has it, else fp32."""
    seed: int = 0
    """Everything random follows from it."""
    save_every: int = 1000
    """Steps between two saves; the last step is always saved."""
    sample_every: int = 1000
    """Steps between two sample grids."""


@dataclass(frozen=True)
class Config:
    """A training run."""

    preset: Suppress[str] = "custom"
    data: DataConfig = field(default_factory=DataConfig)
    net: NetConfig = field(default_factory=NetConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

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


PRESETS: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "fashion": fashion,
    "cifar10": cifar10,
    "folder": folder,
    "points": points,
}


def preset(name: str) -> Config:
    """The preset called `name`. Raises InputError, with the nearest name, where there is none."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise InputError(f"there is no preset {name!r}; did you mean {near}? There are {', '.join(PRESETS)}")
    return PRESETS[name]()
