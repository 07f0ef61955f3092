"""One frozen tree of dataclasses says all that a training run is.

The command line is generated from it, and the `config.json` of a run folder is it. The docstring below each field is
its help.
"""

import dataclasses
import json
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import Suppress, arg

from ancestral.errors import InputError


@dataclass(frozen=True)
class DataConfig:
    """What to train on."""

    source: Annotated[str, arg(name="data", metavar="SOURCE")] = "digits"
    """A built-in (digits, fashion, cifar10, moons, swissroll, checkerboard), a folder of images, a .npy/.npz file, a
    folder of WebDataset shards (.tar), or a data set of the library datasets (a folder, or hf://datasets/user/name).
    """
    image_size: int | None = None
    """Side to which images are cropped and resized; None keeps the size that they have."""
    channels: int | None = None
    """1 makes images grey, 3 makes them RGB, and their own number keeps all channels as they are (4: RGBA); None
    makes them grey or RGB, whichever they are, and keeps 5 and more."""
    dims: Literal[1, 2, 3] | None = None
    """Axes besides the channels: 1 for signals, 2 for images, 3 for volumes; None reads it off the array's shape."""
    bits: Literal[8, 16] | None = None
    """8 rounds deeper images to 8 bits, 16 keeps 16-bit files as they are; None is 16 where all are so deep."""
    flip: bool = False
    """Mirror half of the images left to right, at random. Not for digits and letters."""
    background: str = "white"
    """Colour that shows through transparent images: a name or #rrggbb."""
    class_labels: bool = True
    """Learn the classes where the data has them (one sub-folder each), so that they can be asked for."""
    memory: float = 1.0
    """Data of up to so many GiB, decoded, is held in memory; more is read from the disk while training."""

    @property
    def form(self) -> dict[str, Any]:
        """What `data.load` and `data.open` are to make of the source, by their arguments."""
        return {name: getattr(self, name) for name in ("image_size", "channels", "background", "dims", "bits")}


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
    clip: bool = False
    """Clip the clean image to [-1, 1] in the loss, as samplers do: for images that are black or white in places."""

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
class RuntimeConfig:
    """How the work is done. None of it changes what is learned, but for rounding."""

    micro_batch: int | None = None
    """Images that each process works on at once; gradients are added up over them. None is all of its share, and
    halves itself where the memory does not suffice."""
    workers: int | None = None
    """Processes that read and decode data, for each training process; None is none for data in memory, else as many
    as there are cores, up to 8."""
    shard: bool = False
    """Share weights, average and optimiser out over the processes (FSDP2) instead of copying them (DDP)."""
    compile: bool = False
    """Compile the blocks of the network (torch.compile). Worth it on a GPU in a long run."""
    keep: int = 2
    """Checkpoints that are kept: the newest so many."""
    keep_every: int = 0
    """Also keep the checkpoints whose step is a multiple of this; 0 for none."""
    log_every: int = 50
    """Steps between two lines of the log and two points of the trackers."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Where the curves go besides log.csv: tensorboard, wandb, trackio, aim or others that Accelerate knows; none
    for nowhere."""


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
    engine: RuntimeConfig = field(default_factory=RuntimeConfig)
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
    if kind is DataConfig and tree.pop("streaming", False):
        raise InputError(f"{where} has streaming = true, which was removed: start a new run, which reads data by index")
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
    """Whether a JSON value may stand in a field of this type: a choice, number, text, bool, None, or a list of one."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return value in options
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(type(item) is options[0] for item in value)
    if options:
        return any(_fits(value, option) for option in options)
    return type(value) is hint or (hint is float and type(value) is int)
