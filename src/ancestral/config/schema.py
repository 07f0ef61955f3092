"""The config of a training run: one frozen tree of dataclasses.

Its settings are options of the command line and arguments in Python, and `config.json` in a run folder is its JSON. The
docstring below each field says what it sets.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ancestral.base import registries
from ancestral.base.arguments import checked_class, converted, describe, from_json, read_json, short_source, shown
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument, argument, arguments_of, check_ranges, chosen_by_name, hidden
from ancestral.base.options import option
from ancestral.base.registries import DistillationName, TargetName, TimesName, WeightingName
from ancestral.config.condition_sources import Given, placeless, unplaced
from ancestral.config.data_sources import FILE_SUFFIXES
from ancestral.config.image_size import plain_image_size

OWN_DATA = ("folder", "arrays", "latent", "photos64", "photos128", "photos256", "ddpm256")
"""The presets for data of your own."""
FROM_PYTHON = "(given from Python)"
"""The source of data that were given as a tensor, an array or a torch Dataset."""
PLAIN_LOOP = "plain-loop"
"""The preset of models that were not trained by `train`."""

MAY_CHANGE = {"steps", "lr", "precision", "save_every", "sample_every", "until", "measure_every"}
"""Training settings that may differ when a run is resumed, besides those of runtime and sampling."""


@checked_class
@dataclass(frozen=True)
class DataConfig:
    """The data to train on."""

    source: str = hidden("digits")
    """The name, path or address of the data, as `data` of `train` takes it."""
    image_size: int | str | tuple[int, int] | None = argument(None, words=str | None, metavar="HxW", names="words")
    """Height x width to which images are brought, as in 32x48; one number is the side of a square. {From Python also
    (height, width).} Default: the size that they have."""
    fit: Literal["crop", "pad"] = "crop"
    """The way to the shape of `image_size`: crop keeps the largest centre part of that shape; pad keeps all of each
    image, and adds edges in the colour of `background`."""
    crop: float = argument(1.0, least=1, most=4)
    """Train on random windows of `image_size`, cut from images whose height and width are this many times as large.
    Samples look like windows, and are compared with those at the centre. 1 cuts none."""
    channels: int | None = None
    """1 makes images grey, 3 makes them RGB, and their own number keeps all channels as they are (4: RGBA);
    default: that of the preset, else grey or RGB, whichever they are, and 5 and more kept."""
    dims: Literal[1, 2, 3] | None = None
    """Axes besides the channels: 1 for signals, 2 for images, 3 for volumes; default: as the array's shape says."""
    bits: Literal[8, 16] | None = None
    """8 rounds deeper images to 8 bits, 16 keeps 16-bit files as they are; default: 16 where all are so deep."""
    length: int | None = None
    """Number of samples of .wav recordings: longer ones are cut at their end, shorter ones filled with silence;
    default: all are of one length."""
    rate: int | None = None
    """Sampling rate in Hz that .wav recordings are brought to, which keeps what both rates hold: `length` is counted
    at it. Default: all are of one rate."""
    flip: bool = False
    """Mirror half of the images left to right, at random. Not for digits and letters."""
    augment: float = argument(0.0, least=0, below=1)
    """Probability of each random transform of an item: translation, flips, and of images rotation, scaling and
    stretching. The network is conditioned on them, and on none in sampling, so samples show none. 0.12 suits small
    data; 0 is none."""
    stretch_period: Literal[180, 360] = hidden(180, earlier=360)
    """Degrees of φ after which the numbers of a stretching of `augment` repeat: 180, as the stretching does; 360
    in runs of earlier versions, whose numbers do not tell a stretching from its inverse."""
    background: str = argument("white", names="words")
    """Colour that shows through transparent images: a name or #rrggbb."""
    class_labels: bool = True
    """Condition the model on the classes of the data (one sub-folder each), where there are any."""
    balance: bool = False
    """Train on each class equally often, however many items it has."""
    given: tuple[Given, ...] | None = argument(
        None, words=tuple[str, ...] | None, metavar="[NAME=]WHAT", repeats=True, names="condition"
    )
    """What the model is conditioned on besides the class: a column of the data (of metadata.csv or metadata.jsonl in a
    folder, a further array of an .npz, a column or key), or several joined by commas; a folder with a file of the same
    name for each, or a .npy or .npz file with a row for each; an operator that makes it of the item itself
    ({OPERATORS}), several joined by +, as in upscale:4+noise:0.05; or a function, package.module:function. Default:
    what comes from Python with the items."""
    fingerprint: str = hidden("")
    """The number of items and a hash of some of them, by which a run that is resumed knows its data wherever they lie;
    "" in a run that a Trainer began without a workflow."""
    moved: str = hidden("")
    """The rows of items, separated by blanks, that are on the other side of the split by `validation`, a share, than
    chance put them, so that copies stay together; "" in runs of earlier versions, whose copies are on both sides."""
    memory: float = 1.0
    """GiB of decoded data that are held in memory; larger data sets are read from the disk while training. As many for
    latents, which are else encoded again in each step."""
    validation: float | str | None = argument(None, metavar="SHARE|SOURCE", above=0, below=1, names="data")
    """Share of the items that is held out of training, as in 0.1, or other data of the same kind; their loss is
    measured at every multiple of `sample_every`. Default: none."""

    def __post_init__(self) -> None:
        """Bring the image size into its plain form."""
        if self.image_size is not None:
            object.__setattr__(self, "image_size", plain_image_size(self.image_size))

    @property
    def moved_rows(self) -> tuple[int, ...]:
        """`moved` as numbers."""
        return tuple(
            int(row) for row in self.moved.split() if row.isdecimal() and len(row) < 19
        )  # files may be damaged

    @property
    def form(self) -> dict[str, Any]:
        """Arguments of `data.load` and `data.open` that say how the source is read."""
        names = ("image_size", "fit", "channels", "background", "dims", "bits", "length", "rate", "given", "crop")
        return {name: getattr(self, name) for name in names}


MOST_FEATURES, MOST_BLOCKS, MOST_PATCH, MOST_LEVELS = 65_536, 256, 1024, 16
"""Largest features of a layer, blocks, side of a patch, and levels of a network. A file that asks for more is damaged,
and would keep whoever opens it busy for hours."""


@checked_class
@dataclass(frozen=True)
class UNetConfig:
    """The U-Net of the DDPM paper, for images, signals and volumes."""

    kind: Literal["unet"] = hidden("unet")
    width: int | None = argument(128, least=4, most=MOST_FEATURES)
    """Channels of the first level; default: chosen by the size of the images."""
    mults: tuple[int, ...] | None = (1, 2, 2, 2)
    """Width of each level, as a multiple of the first; every level but the last halves the resolution. Default: chosen
    by the size of the images."""
    blocks: int | None = argument(2, least=1, most=MOST_BLOCKS)
    """Number of residual blocks of each level; default: chosen by the size of the images."""
    attention: tuple[int, ...] | None = (16,)
    """Resolutions (after the patch) with self-attention, none without a number; default: chosen by the size of the
    images."""
    dropout: float = argument(0.1, least=0, below=1)
    """Probability that a feature is dropped in each block during training."""
    patch: int | None = argument(1, least=1, most=MOST_PATCH)
    """Side of the pixel blocks that are folded into channels first: 2 is about four times as fast on small images.
    Default: chosen by the size of the images."""
    groups: int | None = argument(None, least=1, most=MOST_FEATURES)
    """Number of groups of every group norm; default: 32, and fewer in narrow layers. Export to diffusers needs one
    number for all layers."""
    narrow: bool | None = False
    """Change the width by the convolutions that change the resolution, so that no level holds the wide features of the
    level below it, and have one skip connection for each block: a training step takes about 0.6 of the time on a CPU.
    Off in the DDPM paper; default: chosen by the size of the images."""

    def __str__(self) -> str:
        if None in (self.width, self.mults, self.blocks, self.attention, self.patch):
            return "U-Net, chosen by the size of the images"
        mults = "·".join(map(str, self.mults or ()))
        blocks = f"{self.blocks} block{'s' * (self.blocks != 1)} a level, patch {self.patch}, dropout {self.dropout:g}"
        return f"U-Net, width {self.width} x {mults}, {blocks}"

    def check(self) -> None:
        """Raise InputError for settings that no U-Net can have."""
        widths = [] if self.width is None else [self.width * mult for mult in (1, *(self.mults or ()))]
        if widths and widths[0] % 2:
            raise InputError(f"{option('width', widths[0])} must be even")
        if self.mults is not None and not (
            1 <= len(self.mults) <= MOST_LEVELS and min(self.mults) >= 1 and max(widths) <= MOST_FEATURES
        ):
            raise InputError(
                f"{option('mults')} must be one or more numbers from 1, at most {MOST_LEVELS}, with at most "
                f"{MOST_FEATURES:,} channels in each level"
            )
        if self.blocks is not None and self.mults is not None and self.blocks * len(self.mults) > MOST_BLOCKS:
            raise InputError(f"{option('blocks', self.blocks)} of {len(self.mults)} levels: give at most {MOST_BLOCKS}")
        if self.groups is not None and any(channels % self.groups for channels in widths):
            raise InputError(
                f"{option('groups', self.groups)} must divide {option('width')}, and with it the channels of every "
                "level"
            )


@checked_class
@dataclass(frozen=True)
class TransformerConfig:
    """A transformer on patches of pixels, for images, signals and volumes; it should predict x0."""

    kind: Literal["transformer"] = hidden("transformer")
    width: int = argument(192, least=4, most=MOST_FEATURES)
    """Features of a patch."""
    depth: int = argument(6, least=1, most=MOST_BLOCKS)
    """Number of blocks."""
    heads: int = argument(4, least=1, most=MOST_FEATURES)
    """Number of attention heads; twice this number divides the width."""
    patch: int | None = argument(None, least=1, most=MOST_PATCH)
    """Side of the patches: a side twice as long is about four times as fast, and leaves less detail to attention.
    Default: chosen by the size of the images."""
    bottleneck: int | None = argument(None, least=1, most=MOST_FEATURES)
    """Number of features between the pixels of a patch and its first layer; default: none, one layer."""
    dropout: float = argument(0.0, least=0, below=1)
    """Probability that a feature is dropped in each block during training."""

    def __str__(self) -> str:
        size = f"width {self.width}, {self.depth} block{'s' * (self.depth > 1)} of {self.heads} head"
        patch = "patch chosen by size" if self.patch is None else f"patch {self.patch}"
        return f"transformer, {size}{'s' * (self.heads > 1)}, {patch}, dropout {self.dropout:g}"

    def check(self) -> None:
        """Raise InputError for settings that no transformer can have."""
        if self.width % (2 * self.heads):
            raise InputError(
                f"{option('width', self.width)} must be a multiple of twice {option('heads', self.heads)}: each head "
                "has an even number of features"
            )


@checked_class
@dataclass(frozen=True)
class MLPConfig:
    """A residual MLP, for points."""

    kind: Literal["mlp"] = hidden("mlp")
    width: int = argument(128, least=4, most=MOST_FEATURES)
    """Features of the hidden layers."""
    blocks: int = argument(3, least=1, most=MOST_BLOCKS)
    """Number of residual blocks."""

    def __str__(self) -> str:
        return f"MLP, width {self.width}, {self.blocks} block{'s' * (self.blocks > 1)}"

    def check(self) -> None:
        """Raise InputError for settings that no MLP can have."""
        if self.width % 2:
            raise InputError(f"{option('width', self.width)} must be even")


@checked_class
@dataclass(frozen=True)
class CustomNetConfig:
    """A network of your own: any function that can be imported and returns one."""

    kind: Literal["custom"] = hidden("custom")
    function: str = hidden("")
    """package.module:function, called with the shape of an item and the number of classes; "" for a network that was
    given from Python and is needed again to load the model."""

    def __str__(self) -> str:
        return f"a network of its own, {self.function or 'given from Python'}"

    def check(self) -> None:
        """Raise InputError for a name that is none."""
        if self.function and not all(self.function.partition(":")):
            raise InputError(
                f"{option('net', self.function)}: give {registries.NETWORKS.names}, or a function as "
                "package.module:function"
            )


NetConfig = UNetConfig | TransformerConfig | MLPConfig | CustomNetConfig
SECTIONS = ("data", "net", "latent", "process", "train", "runtime", "sample")
"""The sections of a config that hold settings."""
NET_KINDS: dict[str, type[NetConfig]] = {kind.kind: kind for kind in typing.get_args(NetConfig)}


LATENT_FACTORS = (2, 4, 8, 16)
"""Factors by which the sides of latents may be smaller than those of items."""
AUTOENCODER = "autoencoder"
"""The preset of the runs that train the autoencoders of other runs."""


@checked_class
@dataclass(frozen=True)
class LatentConfig:
    """The latent space in which the model is trained, of a small autoencoder of its own."""

    latent: int | str | None = argument(None, metavar="FACTOR|RUN", names="run")
    """Train an autoencoder first, whose latents have sides shorter than the items by this factor (2, 4, 8 or 16), and
    then the model on its latents; or a run folder or model file whose autoencoder is taken. Suits images of 128 pixels
    and more. Default: the model is trained on the items themselves."""
    latent_channels: int | None = argument(None, least=1, most=64)
    """Number of channels of the latents. More lose less of the items, and are harder to sample. Default: the factor."""
    latent_width: int = argument(64, least=8, most=MOST_FEATURES)
    """Channels of the autoencoder at the resolution of the latents; at finer ones fewer."""
    latent_steps: int = argument(2000, least=1, below=2**63)
    """Number of optimiser steps of the autoencoder."""

    @property
    def channels(self) -> int:
        """The number of channels of the latents."""
        return self.latent_channels or int(self.latent or 0)

    def __str__(self) -> str:
        return f"latents with {self.channels} channels and sides {self.latent} times shorter"

    def check(self) -> None:
        """Raise InputError for a factor that no autoencoder has, and for settings of no autoencoder."""
        if self.latent is None and self != LatentConfig():
            usual = dataclasses.asdict(LatentConfig())
            name, value = next(item for item in dataclasses.asdict(self).items() if item[1] != usual[item[0]])
            raise InputError(
                f"{option(name, value)} is for an autoencoder: give {option('latent', 4)} too, or leave it out"
            )
        if self.latent is not None and self.latent not in LATENT_FACTORS:
            factors = ", ".join(map(str, LATENT_FACTORS[:-1]))
            raise InputError(
                f"{option('latent', self.latent)} is no factor by which sides become shorter: give {factors} or "
                f"{LATENT_FACTORS[-1]}, or the run folder or model file whose autoencoder is taken"
            )


MAX_STAGES = 30
"""The largest number of stages of a distillation; no schedule has as many as 2^30 steps."""
OPTIONS_OF = {"source": "data", "kind": "net", "function": "net"}
"""Settings that users give by an option of another name."""


@checked_class
@dataclass(frozen=True)
class ProcessConfig:
    """The forward process and what the network predicts."""

    schedule: str = argument("linear", names="words")
    """Noise schedule, a name or a name with options, as in karras:rho=5. {SCHEDULES}; custom is one that was given from
    Python."""
    timesteps: int = 1000
    """T, the number of noise levels."""
    target: TargetName = "eps"
    """Target, which the network predicts: {TARGETS}; custom is a target that was given from Python."""
    sigma_min: float | None = None
    """Smallest noise level of geometric and karras; default: 0.01 and 0.002."""
    sigma_max: float | None = None
    """Largest noise level of geometric and karras; default: 50 and 80."""
    zero_terminal_snr: bool = False
    """Shift linear, cosine or sigmoid so that the last level holds no signal; not for eps and score."""
    learned_variance: bool = False
    """Also learn the variance of the reverse steps, by the variational bound (Improved DDPM's hybrid loss)."""
    clip: bool = False
    """Clip the predicted clean image to [-1, 1] in the loss, as samplers do; for images with saturated pixels."""

    @property
    def schedule_name(self) -> str:
        """The name of the schedule, without its options."""
        return self.schedule.partition(":")[0]

    def schedule_spec(self) -> dict[str, Any]:
        """Describe the schedule as `schedules.from_spec` takes it.

        Raises:
            InputError: If there are settings of another schedule, or the schedule was given from Python.
        """
        if self.schedule == "custom":
            raise InputError("a schedule of your own is given from Python: train(..., schedule=...)")
        entry, options = registries.SCHEDULES.read(self.schedule)
        sigmas = {name: getattr(self, name) for name in ("sigma_min", "sigma_max") if getattr(self, name) is not None}
        if sigmas and entry.name not in ("geometric", "karras"):
            raise InputError(f"{option(next(iter(sigmas)))} is for the schedules geometric and karras")
        if twice := options.keys() & {"steps", *sigmas}:
            raise InputError(f"{min(twice)} of the schedule is a setting of its own: leave it out of {self.schedule}")
        spec = {"name": entry.name, "steps": self.timesteps, **options, **sigmas}
        return {"name": "zero_terminal", "of": spec} if self.zero_terminal_snr else spec


EARLY = (50, 100, 200)
"""First steps that are shown and saved, so that the first samples are seen soon, in runs that do neither as often."""


@checked_class
@dataclass(frozen=True)
class TrainConfig:
    """Settings of training."""

    steps: int = argument(800_000, least=1, below=2**63)
    """Number of optimiser steps."""
    until: Literal["steps", "plateau"] = "steps"
    """Where training ends: after `steps`; or where the distance of samples to real items has stopped improving, or the
    validation loss shows memorisation, and at the latest after `steps`. A learning rate that falls along a cosine then
    stays constant until there, and falls over a fifth of all steps."""
    plateau_tolerance: float = argument(0.05, above=0, below=1)
    """The distance of samples has stopped improving if it surely (95 %) falls by less than this share while the steps
    double."""
    batch_size: int | None = argument(128, least=1)
    """Number of images in each step; default: chosen by the size of the images."""
    optimiser: Literal["adam", "muon", "custom"] = "adam"
    """adam: the paper's. muon: for convolutions and dense layers, momentum with orthogonalised steps, which learns more
    from each step; Adam for all other parameters. custom is one that was given from Python."""
    lr: float | None = argument(2e-4, above=0, below=math.inf)
    """The learning rate after the warm-up; default: chosen by the size of the images."""
    warmup: int = argument(5000, least=0)
    """Number of steps over which the learning rate rises from 0."""
    decay: Literal["none", "cosine", "custom"] = "none"
    """Learning rate after the warm-up: constant, or falling to 0 at the last step along a cosine; custom is a schedule
    that was given from Python, in place of the warm-up too."""
    clip_norm: float = argument(1.0, above=0)
    """Largest norm of the gradient; longer gradients are scaled down to it."""
    ema: float = argument(0.9999, least=0, below=1)
    """Decay of the exponential moving average of the weights, from which samples are drawn. It rises to this value, so
    short runs work too."""
    label_dropout: float = argument(0.1, least=0, below=1)
    """Probability that a label is dropped during training, which teaches the unconditional model for guidance."""
    condition_dropout: float = argument(0.1, least=0, below=1)
    """Probability that a condition of `given` is dropped during training: each on its own, and where there are several
    conditions, the label among them, all together. Any of them can then be left out when sampling."""
    times: TimesName = "uniform"
    """Distribution of the times t of a batch: {TIMES}."""
    continuous: bool = False
    """Draw t from the whole interval (0, T], not only from its integers; not with importance or a learned variance."""
    weighting: WeightingName = "simple"
    """Weight of each t in the loss, on the error of x_0; on that of the target for simple and p2: {WEIGHTINGS}."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the network's arithmetic; auto is bf16 where the hardware has it, else fp32, and fp32 for a
    network of one's own."""
    seed: int = argument(0, least=0, below=2**63)
    """Seed of all random numbers of the run."""
    save_every: int = argument(1000, least=1)
    """Number of steps between two checkpoints; steps 50, 100, 200 and the last are saved too."""
    sample_every: int = argument(1000, least=1)
    """Number of steps between two grids of samples; there are grids of steps 50, 100, 200 and the last too."""
    measure_every: int | None = argument(None, least=0)
    """Number of steps between two measurements of the distance (KID) of 200 samples to real items, by which the best
    model is kept as best.safetensors; 0 measures none. Default: chosen so that they take at most 5 % of the time, in
    runs of more than ten minutes; with `until` plateau at most 20 %; else none."""

    def saves(self, step: int) -> bool:
        """Whether there is a checkpoint of this step, be it the last or not."""
        return step % self.save_every == 0 or self._is_early(step, self.save_every)

    def previews(self, step: int) -> bool:
        """Whether there is a grid of samples of this step, be it the last or not."""
        return step % self.sample_every == 0 or self._is_early(step, self.sample_every)

    @staticmethod
    def _is_early(step: int, every: int) -> bool:
        return step in EARLY and step < every


@checked_class
@dataclass(frozen=True)
class RuntimeConfig:
    """Settings of the work that change no result, except for rounding."""

    micro_batch: int | None = argument(None, least=1)
    """Number of images that each process computes at once; gradients are accumulated. Default: all of its share, halved
    automatically if memory runs out."""
    checkpointing: bool | None = None
    """Recompute the activations of each block in the backward pass instead of keeping them: the same gradients with
    less memory, in about a third more time. Default: where the memory does not suffice otherwise."""
    workers: int | None = argument(None, least=0)
    """Number of processes that read and decode data, for each training process. Default: 0 for data in memory, else the
    number of cores, at most 8."""
    threads: int | None = argument(None, least=1)
    """Number of CPU threads of each process; default: one for each physical core; kept with the run."""
    shard: bool = False
    """Shard weights, their average and the optimiser over the processes (FSDP2) instead of replicating them (DDP)."""
    compile: bool = False
    """Compile the blocks of the network (torch.compile); pays off on a GPU in a long run."""
    keep: int = argument(2, least=1)
    """Number of most recent checkpoints to keep."""
    keep_every: int = argument(0, least=0)
    """Also keep checkpoints whose step is a multiple of this; 0 keeps none."""
    snapshots: int | None = argument(None, least=0)
    """Largest number of snapshots of two averages of the weights, from which ancestral average makes averages of other
    lengths after training; 0 keeps none. Default: 16, or as many as take 500 MB; none if that is fewer than 8."""
    log_every: int = argument(50, least=1)
    """Number of steps between two lines of the log and two points of the trackers."""
    trackers: tuple[str, ...] = argument(("auto",), names=("auto", "none", "tensorboard"))
    """Where the curves are logged besides log.csv: tensorboard, wandb, trackio, aim or others that Accelerate knows;
    none for no tracker. auto is tensorboard where it is installed."""


@checked_class
@dataclass(frozen=True)
class SampleConfig:
    """Default settings of sampling."""

    sampler: str = argument("ddim", names="words")
    """Default sampler of the model: a name, or a name with options, as in heun:steps=18,churn=10."""
    preview_steps: int | None = argument(None, least=1)
    """Number of sampling steps of the previews during training; default: at most 30, and 100 for the last."""


@checked_class
@dataclass(frozen=True)
class InitialConfig:
    """The model whose averaged weights a run starts from."""

    model: str = ""
    """Its run folder, file or hf:// address; "" for a run that starts from random weights."""
    sha256: str = ""
    """SHA-256 of its file; "" for a model that is in no file."""


@checked_class
@dataclass(frozen=True)
class DistilConfig:
    """Settings by which a run distils the model that it starts from."""

    method: DistillationName | Literal[""] = ""
    """A name of `registries.DISTILLATIONS`; "" for a run that minimises the denoising loss."""
    stages: int = argument(8, least=1, most=MAX_STAGES)
    """Number of stages; each halves the step over which the network is trained."""
    convert: float = argument(0.0, least=0, below=1)
    """Share of the training steps, the first ones, with the denoising loss: they convert the model to the run's
    target."""
    evaluations: int = argument(1, least=1)
    """Number of steps of the last stage of progressive distillation."""
    taught_from: int | None = None
    """The first stage of consistency distillation, with steps of the model that the run starts from; None: there is
    none, and all stages are consistency tuning."""
    teacher_target: str = ""
    """The target of that model; "" where it is that of the run."""

    def __str__(self) -> str:
        begin = f" after {self.convert:.0%} of the steps, which convert it to another target" if self.convert else ""
        tuned = self.method == "consistency" and self.taught_from is None
        why = " (tuning in all of them: a model that was distilled is no teacher)" if tuned else ""
        return f"by the method {self.method} in {self.stages} stage{'s' * (self.stages > 1)}{begin}{why}"


@checked_class
@dataclass(frozen=True)
class Config:
    """A training run."""

    preset: str = hidden("custom")
    data: DataConfig = field(default_factory=DataConfig)
    net: NetConfig = field(default_factory=UNetConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    initial: InitialConfig = field(default_factory=InitialConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)
    latent: LatentConfig = field(default_factory=LatentConfig)

    @property
    def title(self) -> str:
        """Title of the run: its preset, or for data of your own the name of the data."""
        if self.preset not in OWN_DATA or self.data.source in ("", FROM_PYTHON):
            return self.preset
        path = Path(short_source(self.data.source))
        return (path.stem if path.suffix in FILE_SUFFIXES else path.name) or self.preset

    @staticmethod
    def settings(config: "Config | None" = None) -> list[Argument]:
        """List the settings of all sections and of networks of all kinds; or those of a config, with its values."""
        kinds = (DataConfig, *NET_KINDS.values(), LatentConfig, ProcessConfig, TrainConfig, RuntimeConfig, SampleConfig)
        parts = reversed(kinds) if config is None else (getattr(config, name) for name in SECTIONS)
        titles = ((part, (part.__doc__ or "").partition("\n")[0].rstrip(".")) for part in parts)
        return list({one.name: one for part, title in titles for one in arguments_of(part, title)}.values())

    def unplaced(self) -> "Config":
        """Return the config without the folders of the machine that it was made on, as it may be shared."""
        validation = self.data.validation
        validation = unplaced(validation) if isinstance(validation, str) else validation
        data = dataclasses.replace(
            self.data,
            source=unplaced(self.data.source),
            validation=validation,
            given=None if self.data.given is None else tuple(one.renamed(unplaced) for one in self.data.given),
        )
        initial = dataclasses.replace(self.initial, model=unplaced(self.initial.model))
        return dataclasses.replace(self, data=data, initial=initial)

    def identity(self) -> str:
        """Compute a hash of the data and of the settings that stay those of a run, also when it is resumed.

        The config in the model file has the same. Settings that the network, the schedule and the target of the model
        decide there, or that distillation changes, do not count.
        """
        config = Config.from_json(self.to_json())  # numbers of one type
        data, net, process = (dict(vars(part)) for part in (config.unplaced().data, config.net, config.process))
        train = {name: value for name, value in vars(config.train).items() if name not in MAY_CHANGE}
        for name in ("source", "validation"):  # places, which may change
            del data[name]
        if not data["moved"]:  # as in earlier versions
            del data["moved"]
        data["given"] = placeless(config.data.given)
        if data["rate"] is None:  # runs of before have no rate
            del data["rate"]
        if not data["augment"] or data["stretch_period"] == 360:  # as in earlier versions
            del data["stretch_period"]
        net.pop("function", None)
        names = ("schedule", "timesteps", "learned_variance", *([] if config.distil.method else ["target"]))
        initial = config.unplaced().initial
        latent = [config.latent] if config.latent.latent is not None else []
        parts = [data, net, {name: process[name] for name in names}, train, initial, config.distil, *latent]
        return hashlib.sha256(json.dumps(parts, default=_as_json).encode()).hexdigest()[:16]

    def differences(self, other: "Config", sections: Iterable[str]) -> Iterator[tuple[str, str, Any, Any]]:
        """List the settings in which another config differs: their section, their name, and both values."""
        for section in sections:
            old, new = (vars(getattr(config, section)) for config in (self, other))
            for key in {**old, **new}:
                if old.get(key) != new.get(key):
                    yield section, key, old.get(key), new.get(key)

    def placed(self, other: "Config") -> "Config":
        """Return the config with the places of data and models that another one has for the same data and models."""
        plain, data, initial = other.unplaced(), self.data, self.initial
        if (data.source, data.fingerprint) == (plain.data.source, plain.data.fingerprint):
            data = dataclasses.replace(data, source=other.data.source)
            if data.validation == plain.data.validation:
                data = dataclasses.replace(data, validation=other.data.validation)
            if placeless(data.given) == placeless(other.data.given):
                data = dataclasses.replace(data, given=other.data.given)
        return dataclasses.replace(self, data=data, initial=other.initial if initial == plain.initial else initial)

    def check(self) -> "Config":
        """Check all settings that no run can have, whatever the data.

        Returns:
            The config itself.

        Raises:
            InputError: If a setting is out of its range.
        """
        train, validation = self.train, self.data.validation
        if not self.data.source:
            raise InputError(
                f"say what to train on: {option('data', 'FOLDER')} (of PNG, JPEG, WebP, BMP, GIF or TIFF files), "
                "or a .npy or .npz file"
            )
        for section in (self.data, train, self.runtime, self.distil):
            check_ranges(section)
        self.check_model()
        if validation == "":
            raise InputError(f"{option('validation', '')} must be a share, as in 0.1, or other data")
        if self.distil.method and train.steps * (1 - self.distil.convert) < self.distil.stages:
            raise InputError(
                f"{train.steps} steps are too few for {self.distil.stages} stages; give more {option('steps')} or "
                f"fewer {option('stages')}"
            )
        if self.distil.method and train.until != "steps":
            raise InputError(f"the stages of a distillation are shares of its steps: leave {option('until')} out")
        if self.runtime.compile and self.runtime.checkpointing:
            raise InputError(
                f"a compiler decides itself what is recomputed: leave {option('checkpointing', True)} out, or "
                f"{option('compile', True)}"
            )
        return self

    def check_model(self) -> None:
        """Raise InputError for settings that no model has, whatever it was trained on."""
        for section in (self.net, self.latent, self.process, self.sample):
            check_ranges(section)
        if self.process.schedule != "custom":
            self.process.schedule_spec()
        self.net.check()
        self.latent.check()

    def with_settings(self, **settings: Any) -> "Config":
        """Return the config with other values for some settings, each by its own name, whatever its section.

        Args:
            settings: For example steps=200, width=64, schedule="cosine" or sampler="heun".

        Raises:
            InputError: If there is no such setting, or it cannot have this value.
        """
        sections = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in SECTIONS}
        section_of = {f.name: name for name, section in sections.items() for f in dataclasses.fields(section)}
        changes: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            if name not in section_of:
                kinds = [kind for kind, net in NET_KINDS.items() if name in net.__dataclass_fields__]
                if kinds:
                    of = " or ".join(option("net", kind) for kind in kinds)
                    raise InputError(f"{option(name)} is for {of}, and this network is of another kind")
                nearest = difflib.get_close_matches(name, section_of, n=1, cutoff=0.0)[0]
                raise InputError(f"there is no setting {name!r}; did you mean {nearest}?")
            hint = typing.get_type_hints(type(sections[section_of[name]]))[name]
            value = converted(name, value, hint, _describe_setting(name, hint))
            changes.setdefault(section_of[name], {})[name] = value
        return dataclasses.replace(
            self, **{name: dataclasses.replace(sections[name], **values) for name, values in changes.items()}
        )

    def with_net(self, kind: object) -> "Config":
        """Return the config with the default settings of another kind of network; None keeps the network.

        Raises:
            InputError: If there is no such kind.
        """
        if kind is None or kind == self.net.kind:
            return self
        if not isinstance(kind, str) or kind not in NET_KINDS:
            raise InputError(f"there is no kind of network {shown(kind)}: give one of {registries.NETWORKS.names}")
        return dataclasses.replace(self, net=NET_KINDS[kind]())

    def to_json(self) -> str:
        """Write the config as JSON text."""
        return json.dumps(vars(self), indent=2, default=_as_json)

    def to_file_text(self) -> str:
        """Write the text of config.json: the JSON, and the SHA-256 of its settings."""
        tree = json.loads(self.to_json())
        return json.dumps({**tree, DIGEST: digest_of(tree)}, indent=2)

    @staticmethod
    def from_json(text: str, where: str = "the config") -> "Config":
        """Read a config from JSON text. Fields that are missing get their defaults.

        Args:
            text: The JSON text.
            where: What error messages call it.

        Raises:
            InputError: If the text is no JSON object, or has a field or value that this version does not know.
        """
        tree = {name: value for name, value in read_json(text, where).items() if name != DIGEST}
        config: Config = from_json(Config, tree, where, closed=True)
        return config


DIGEST = "sha256"
"""The key of the digest in config.json."""


def digest_of(tree: dict[str, Any]) -> str:
    """Compute the SHA-256 of the settings in the JSON of a config, without that of the digest itself."""
    settings = {name: value for name, value in tree.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _as_json(value: Any) -> Any:
    """A section of a config as its settings, and a value that has a text as this text."""
    return str(value) if isinstance(value, Given) else vars(value)


OWN_PARTS = {
    "schedule": "a Schedule",
    "target": "a Target",
    "optimiser": "a function such as torch.optim.SGD",
    "decay": "lr_schedule, a function of the step",
}
"""Objects that Python gives in place of the name of a setting; a config then has "custom"."""


def _describe_setting(name: str, hint: Any) -> str:
    """Values that fit a setting, without "custom", which nobody chooses by that name."""
    if name not in OWN_PARTS:
        return describe(hint)
    *most, last = typing.get_args(chosen_by_name(hint)) or registries.SCHEDULES
    return f"{', '.join(most)} or {last}, or from Python {OWN_PARTS[name]}"
