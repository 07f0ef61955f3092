"""The config of a training run: one frozen tree of dataclasses.

Its settings are options of the command line and arguments in Python, and `config.json` in a run folder is its JSON. The
docstring below each field says what it sets.
"""

import dataclasses
import hashlib
import json
import math
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ancestral.base import registries
from ancestral.base.arguments import (
    checked_class,
    converted,
    describe,
    from_json,
    nearest,
    read_json,
    short_source,
    shown,
)
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument, argument, arguments_of, check_ranges, chosen_by_name, hidden
from ancestral.base.options import option
from ancestral.base.registries import DistillationName, TimesName, WeightingName
from ancestral.base.result import schema_address
from ancestral.config.data_config import FROM_PYTHON, ConditionSource, DataConfig, placeless, unplaced
from ancestral.config.data_sources import FILE_SUFFIXES
from ancestral.config.model_config import NET_KINDS, LatentConfig, NetConfig, ProcessConfig, UNetConfig

OWN_DATA = ("folder", "arrays", "latent", "photos64", "photos128", "photos256", "ddpm256")
"""The presets for user data."""
PLAIN_LOOP = "plain-loop"
"""The preset of models that were not trained by `train`."""
MAY_CHANGE = {"steps", "lr", "precision", "save_every", "sample_every", "until", "measure_every"}
"""Training settings that may differ when a run is resumed, besides those of runtime and sampling."""
OF_INTERVALS = ("save_every", "sample_every", "measure_every")
"""Those of them that change no weights: the steps between saves, previews and measurements."""
SECTIONS = ("data", "net", "latent", "process", "train", "runtime", "sample")
"""The sections of a config that hold settings."""
MAX_STAGES = 30
"""The largest number of stages of a distillation; no schedule has as many as 2^30 steps."""
OPTIONS_OF = {"source": "data", "kind": "net", "function": "net"}
"""Settings that users give by an option of another name."""


OF_ENERGY: dict[str, Any] = {
    **{"target": "x0", "learned_variance": False},
    **{"weighting": "simple", "times": "uniform", "continuous": False},
}
"""Settings of a run that minimises the energy score, which has none of their other values."""
GraphMode = Literal["reduce-overhead", "max-autotune"]
"""Modes of torch.compile that run a network as CUDA graphs."""
EARLY = (50, 100, 200)
"""First steps that are shown and saved, so that the first samples are seen soon, in runs that do neither as often."""


@checked_class
@dataclass(frozen=True)
class TrainConfig:
    """Settings of training."""

    steps: int = argument(800_000, least=1, below=2**63)
    """Number of optimiser steps."""
    until: Literal["steps", "plateau"] = argument("steps", title="Train until")
    """End of training: steps ends it after `steps`; plateau ends it when the distance of samples to real items has
    stopped improving, or the validation loss shows memorisation, and at the latest after `steps`. With plateau a cosine
    decay of the learning rate begins there, and takes a fifth of all steps."""
    plateau_tolerance: float = argument(0.05, above=0, below=1)
    """The distance of samples has stopped improving if it surely (95 %) falls by less than this share while the steps
    double."""
    batch_size: int | None = argument(128, least=1)
    """Number of images in each step; default: chosen by the size of the images."""
    optimiser: Literal["adam", "muon", "custom"] = "adam"
    """adam is Adam as in the DDPM paper. muon is momentum with orthogonalised steps for convolutions and dense layers,
    which learns more from each step, and Adam for all other parameters. custom is an optimiser given from Python."""
    lr: float | None = argument(2e-4, title="Learning rate", above=0, below=math.inf)
    """The learning rate after the warm-up; default: chosen by the size of the images."""
    warmup: int = argument(5000, least=0)
    """Number of steps over which the learning rate rises from 0."""
    decay: Literal["none", "cosine", "custom"] = argument("none", title="Learning rate decay")
    """Learning rate after the warm-up: constant, or falling to 0 at the last step along a cosine; custom is a schedule
    that was given from Python, in place of the warm-up too."""
    clip_norm: float = argument(1.0, title="Gradient limit", above=0)
    """Largest norm of the gradient; longer gradients are scaled down to it."""
    ema: float = argument(0.9999, title="Weight average", least=0, below=1)
    """Decay of the exponential moving average of the weights, from which samples are drawn. It rises to this value, so
    short runs work too."""
    label_dropout: float = argument(0.1, least=0, below=1)
    """Probability that a label is dropped during training, which teaches the unconditional model for guidance."""
    condition_dropout: float = argument(0.1, least=0, below=1)
    """Probability that a condition of `given` is dropped during training: each on its own, and where there are several
    conditions, the label among them, all together. Any of them can then be left out when sampling."""
    times: TimesName = argument("uniform", title="Training times")
    """Distribution of the times t of a batch: {TIMES}."""
    continuous: bool = argument(False, title="Continuous times")
    """Draw t from the whole interval (0, T], not only from its integers. It excludes importance and learned
    variance."""
    weighting: WeightingName = argument("simple", title="Loss weighting")
    """Weight of each t in the loss, on the error of x_0; on that of the target for simple and p2: {WEIGHTINGS}."""
    coupling: str = argument("independent", names="words", choices=tuple(registries.COUPLINGS))
    """Pairing of the items of a batch with noise: {COUPLINGS}. A pairing straightens the paths of samplers without
    noise, so that fewer steps suffice. Items are paired within their class. A name, or a name with options, as in
    ot:pool=256; larger pools, and with them larger batches, gain more."""
    objective: str = hidden("denoising")
    """What a run minimises: a name of `registries.OBJECTIVES`, or a name with options, as in energy:members=8."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the network's arithmetic; auto is bf16 where the hardware has it, else fp32, and fp32 for a
    custom network."""
    seed: int = argument(0, least=0, below=2**63)
    """Seed of all random numbers of the run."""
    save_every: int = argument(1000, least=1)
    """Number of steps between two checkpoints; steps 50, 100, 200 and the last are saved too."""
    sample_every: int = argument(1000, title="Preview every", least=1)
    """Number of steps between two grids of samples; steps 50, 100, 200 and the last have grids too."""
    measure_every: int | None = argument(None, least=0)
    """Number of steps between two measurements of the distance (KID) of 200 samples to real items, by which the best
    model is kept as best.safetensors; 0 measures none. Default: chosen so that they take at most 5 % of the time, in
    runs of more than ten minutes; with `until` plateau at most 20 %; else none."""

    @property
    def energy(self) -> dict[str, Any] | None:
        """The options of the energy score that the run minimises; None where it minimises another objective.

        Raises InputError for numbers that they cannot have.
        """
        entry, options = registries.OBJECTIVES.read(self.objective)
        if entry.name != "energy":
            if options:
                raise InputError(f"the objective {entry.name} has no options: give it alone")
            return None
        energy = {**entry.arguments, **options}
        registries.check_energy(energy["members"], energy["evaluations"])
        return energy

    def items(self, answers: int) -> int:
        """The number of items, at least 1, to which the network gives so many answers in all."""
        return answers if self.energy is None else max(1, answers // self.energy["members"])

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

    micro_batch: int | None = argument(None, title="Images at once", least=1)
    """Number of images that each process computes at once; gradients are accumulated. Default: the share of the
    process, halved automatically if memory runs out."""
    checkpointing: bool | None = argument(None, title="Recompute activations")
    """Recompute the activations of each block in the backward pass instead of keeping them: the same gradients with
    less memory, in about a third more time. Default: recompute only if the memory does not suffice otherwise."""
    workers: int | None = argument(None, title="Reading processes", least=0)
    """Number of processes that read and decode data, for each training process. Default: 0 for data in memory, else the
    number of cores, at most 8."""
    threads: int | None = argument(None, title="CPU threads", least=1)
    """Number of CPU threads of each process; default: one for each physical core; kept with the run."""
    shard: bool = argument(False, title="Shard over GPUs")
    """Shard weights, their average and the optimiser over the processes (FSDP2) instead of replicating them (DDP)."""
    compile: bool | GraphMode = argument(False, words=GraphMode, bare=True, off=True, metavar="[MODE]")
    """Compile the blocks of the network (torch.compile); pays off on a GPU in a long run. reduce-overhead compiles the
    whole network and runs it as CUDA graphs: for small networks, whose steps are hundreds of short operations.
    max-autotune also tries several kernels for each operation, which takes long."""
    memory_format: Literal["auto", "channels-last", "contiguous"] = "auto"
    """Memory format of batches and weights, while training and in the model: channels-last keeps the channels of a
    position together, contiguous keeps each channel together. auto is channels-last for images."""
    keep: int = argument(2, title="Checkpoints kept", least=1)
    """Number of most recent checkpoints to keep."""
    keep_every: int = argument(0, least=0)
    """Also keep checkpoints whose step is a multiple of this; 0 keeps none."""
    snapshots: int | None = argument(None, least=0)
    """Largest number of snapshots of two averages of the weights, from which ancestral average makes averages of other
    lengths after training; 0 keeps none. Default: 16, or as many as take 500 MB; none if that is fewer than 8."""
    log_every: int = argument(50, least=1)
    """Number of steps between two lines of the log and two points of the trackers."""
    trackers: tuple[str, ...] = argument(("auto",), names=("auto", "none", "tensorboard"))
    """Trackers that log the curves besides log.csv: tensorboard, none, or a custom function, package.module:function
    (in Python also the function), which has to be given again when a run is resumed. auto is tensorboard if it is
    installed."""

    @property
    def cuda_graphs(self) -> bool:
        """Whether the network runs as CUDA graphs, where that is a GPU of CUDA."""
        return isinstance(self.compile, str)


@checked_class
@dataclass(frozen=True)
class SampleConfig:
    """Default settings of sampling."""

    sampler: str = argument("ddim", names="words", choices=tuple(registries.SAMPLERS))
    """Default sampler of the model: a name, or a name with options, as in heun:steps=18,churn=10."""
    preview_steps: int | None = argument(None, least=1)
    """Number of sampling steps of the previews during training; default: at most 30, and 100 for the last."""


SECTION_KINDS: tuple[Any, ...] = (
    *(DataConfig, *NET_KINDS.values(), LatentConfig, ProcessConfig, TrainConfig, RuntimeConfig, SampleConfig),
)
"""The classes of the sections that hold settings; that of the network has one for each kind."""


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
    run: str = hidden("")
    """The identity of the run, which all its files have; "" for one that has not begun."""

    @property
    def title(self) -> str:
        """Title of the run: its preset, or for user data the name of the data."""
        if self.preset not in OWN_DATA or self.data.source in ("", FROM_PYTHON):
            return self.preset
        path = Path(short_source(self.data.source))
        return (path.stem if path.suffix in FILE_SUFFIXES else path.name) or self.preset

    @staticmethod
    def settings(config: "Config | None" = None) -> list[Argument]:
        """List the settings of all sections and of networks of all kinds; or those of a config, with its values."""
        parts = reversed(SECTION_KINDS) if config is None else (getattr(config, name) for name in SECTIONS)
        titles = ((part, (part.__doc__ or "").partition("\n")[0].rstrip(".")) for part in parts)
        return list({one.name: one for part, title in titles for one in arguments_of(part, title)}.values())

    def unplaced(self) -> "Config":
        """Return the config without the folders of the machine that it was made on, as it may be shared."""
        validation = self.data.validation
        validation = unplaced(validation) if isinstance(validation, str) and not self.data.held_out else validation
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
        if train["objective"] == TrainConfig.objective:  # as it was before there were others
            del train["objective"]
        if not data["left_out"]:
            del data["left_out"], data["leave_out_copies"]
        data["given"] = placeless(config.data.given)
        net.pop("function", None)
        names = ("schedule", "timesteps", "learned_variance", *([] if config.distil.method else ["target"]))
        initial = config.unplaced().initial
        latent = [config.latent] if config.latent.latent is not None else []
        parts = [data, net, {name: process[name] for name in names}, train, initial, config.distil, *latent]
        return hashlib.sha256(json.dumps(parts, default=_as_json).encode()).hexdigest()[:16]

    def begun(self, *custom_parts: str) -> "Config":
        """Return the config with the identity of the run that begins with it: a hash, so that a run that is made again
        is the same to the byte. Another seed, learning rate or data set make another run; the number of steps does not.

        Args:
            custom_parts: Names of the parts that were given from Python, of which the config knows nothing.
        """
        config = dataclasses.replace(self.unplaced(), preset="", run="", runtime=RuntimeConfig(), sample=SampleConfig())
        neutral = {name: getattr(TrainConfig(), name) for name in ("steps", *OF_INTERVALS)}
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, **neutral))
        text = json.dumps([config.to_json(), *custom_parts])
        return dataclasses.replace(self, run=hashlib.sha256(text.encode()).hexdigest()[:16])

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
                f"name the data to train on: {option('data', 'FOLDER')} (of PNG, JPEG, WebP, BMP, GIF or TIFF files), "
                "or a .npy or .npz file"
            )
        for section in (self.data, train, self.runtime, self.distil):
            check_ranges(section)
        self.check_model()
        _ = self.data.held_out
        registries.COUPLINGS.read(train.coupling)
        settings = {**vars(train), **vars(self.process)}
        for name, only in OF_ENERGY.items() if train.energy is not None else ():
            if settings[name] != only:
                raise InputError(
                    "the energy score is of a network that predicts x0, all at times of its own and of the same "
                    f"weight: leave {option(name, settings[name])} out"
                )
        if self.process.clip and not self.data.bounded:
            raise InputError(
                f"data of {option('scale', self.data.scale)} have no bounds: leave {option('clip', True)} out"
            )
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
                f"{option('compile', self.runtime.compile)}"
            )
        if self.runtime.cuda_graphs and self.runtime.shard:
            raise InputError(
                f"CUDA graphs need weights that stay in their place: leave {option('shard', True)} out, or give "
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
            settings: For example steps=200, width=64, schedule="cosine" or sampler="heun". The others are those that
                suit the objective, where it is another than before.

        Raises:
            InputError: If there is no such setting, or it cannot have this value.
        """
        objective = settings.get("objective", self.train.objective)
        if objective != self.train.objective:
            return self.with_objective(objective).with_settings(**settings)
        scale = settings.get("scale", self.data.scale)
        if scale != self.data.scale:
            data = dataclasses.replace(self.data, scale=scale)
            process = self.process if data.bounded else dataclasses.replace(self.process, clip=False)
            return dataclasses.replace(self, data=data, process=process).with_settings(**settings)
        sections = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in SECTIONS}
        section_of = {f.name: name for name, section in sections.items() for f in dataclasses.fields(section)}
        changes: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            if name not in section_of:
                kinds = [kind for kind, net in NET_KINDS.items() if name in net.__dataclass_fields__]
                if kinds:
                    of = " or ".join(option("net", kind) for kind in kinds)
                    raise InputError(f"{option(name)} is for {of}, and this network is of another kind")
                hint = f"; did you mean {near}?" if (near := nearest(name, section_of)) else ""
                raise InputError(f"there is no setting {name!r}{hint}")
            hint = typing.get_type_hints(type(sections[section_of[name]]))[name]
            value = converted(name, value, hint, _describe_setting(name, hint))
            changes.setdefault(section_of[name], {})[name] = value
        return dataclasses.replace(
            self, **{name: dataclasses.replace(sections[name], **values) for name, values in changes.items()}
        )

    def with_objective(self, objective: str) -> "Config":
        """Return the config with another objective, by its name with options or without, and settings that suit it.

        By the energy score a network answers in one evaluation: x̂_0 is a sample, so it is what the network predicts.

        Raises:
            InputError: If there is no such objective.
        """
        config = dataclasses.replace(self, train=dataclasses.replace(self.train, objective=objective))
        if (energy := config.train.energy) is None:
            return config
        size = self.train.batch_size and config.train.items(self.train.batch_size)  # so that a step takes as long
        usual = {"coupling": "independent", "clip": self.data.bounded, "label_dropout": 0.0, "condition_dropout": 0.0}
        sampler = f"consistency:steps={energy['evaluations']}"
        return config.with_settings(**OF_ENERGY, **usual, batch_size=size, sampler=sampler)

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
        """Write the text of config.json: the JSON, the address of its JSON Schema, and the SHA-256 of its settings."""
        tree = json.loads(self.to_json())
        return json.dumps({ADDRESS: schema_address("config"), **tree, DIGEST: digest_of(tree)}, indent=2)

    @staticmethod
    def from_json(text: str, where: str = "the config") -> "Config":
        """Read a config from JSON text. Fields that are missing get their defaults.

        Args:
            text: The JSON text.
            where: What error messages call it.

        Raises:
            InputError: If the text is no JSON object, or has a field or value that this version does not know.
        """
        config: Config = from_json(Config, settings_in(read_json(text, where)), where, closed=True)
        return config


ADDRESS = "$schema"
"""The key of the address of the JSON Schema in config.json, by which editors know its settings."""
DIGEST = "sha256"
"""The key of the digest in config.json."""


def settings_in(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a config without the keys that are no settings."""
    return {name: value for name, value in tree.items() if name not in (ADDRESS, DIGEST)}


def digest_of(tree: dict[str, Any]) -> str:
    """Compute the SHA-256 of the settings in the JSON of a config."""
    return hashlib.sha256(json.dumps(settings_in(tree), sort_keys=True).encode()).hexdigest()


def _as_json(value: Any) -> Any:
    """A section of a config as its settings, and a value that has a text as this text."""
    return str(value) if isinstance(value, ConditionSource) else vars(value)


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
