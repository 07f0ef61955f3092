"""The presets: functions that return a config."""

import dataclasses
import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ancestral.config.file_kinds import holds_recordings, nearest_path
from ancestral.config.schema import (
    POINTS,
    SECTIONS,
    Config,
    DataConfig,
    DistilConfig,
    InitialConfig,
    MLPConfig,
    ProcessConfig,
    RuntimeConfig,
    SampleConfig,
    TrainConfig,
    UNetConfig,
)
from ancestral.errors import InputError
from ancestral.options import command_line, option
from ancestral.registries import DEFAULT_DISTILLATION, DISTILLATIONS


def digits() -> Config:
    """5,000 real MNIST digits, with class labels: minutes on a laptop."""
    return Config(
        preset="digits",
        data=DataConfig("digits"),
        net=UNetConfig(width=32, mults=(1, 2), blocks=1, attention=(), dropout=0.0, patch=2),
        # predicting a clipped x_0 renders flat black exactly; a predicted ε leaves residual noise on it
        process=ProcessConfig("cosine", target="x0", clip=True),
        train=TrainConfig(
            steps=2400,
            batch_size=32,
            optimiser="muon",
            lr=2e-3,
            warmup=50,
            decay="cosine",
            ema=0.995,
            times="stratified",
            save_every=800,
            sample_every=800,
        ),
        # fresh noise corrects the errors of a small network, and of a predicted x_0 6 to 50 steps are equally good
        sample=SampleConfig("ddim:eta=1,steps=16", preview_steps=8),
    )


def fashion() -> Config:
    """60,000 images of clothes (Fashion-MNIST), with class labels."""
    base = digits()
    return dataclasses.replace(
        base,
        preset="fashion",
        data=DataConfig("fashion"),  # not mirrored: all shoes point to the left
        # predicts ε at full resolution, which preserves fine texture
        net=UNetConfig(width=16, mults=(1, 4, 4), blocks=1, attention=(), dropout=0.0),
        process=dataclasses.replace(base.process, target="eps"),
        train=dataclasses.replace(base.train, steps=3000, save_every=1000, sample_every=1000),
        sample=SampleConfig("ddim:eta=1", preview_steps=50),  # KID falls from 30 to 50, and hardly after
    )


def cifar10() -> Config:
    """The DDPM paper's CIFAR-10 run, setting for setting; for a GPU."""
    return Config(
        preset="cifar10",
        data=DataConfig("cifar10", flip=True, class_labels=False),
        train=TrainConfig(save_every=5000, sample_every=5000),
    )


def ddpm256() -> Config:
    """The DDPM paper's 256x256 model (CelebA-HQ, LSUN) on your own photographs; for a GPU."""
    return Config(
        preset="ddpm256",
        data=DataConfig("", image_size=256, channels=3, flip=True, class_labels=False),
        net=UNetConfig(mults=(1, 1, 2, 2, 4, 4), dropout=0.0),
        train=TrainConfig(steps=500_000, batch_size=64, lr=2e-5, save_every=5000, sample_every=5000),
        sample=SampleConfig("ddpm:variance=small"),
    )


def photos64() -> Config:
    """Your own photographs at 64x64, days of training; for a GPU."""
    return _photos(64, mults=(1, 2, 3, 4), dropout=0.1, schedule="cosine", steps=200_000, batch_size=128, lr=2e-4)


def photos128() -> Config:
    """Your own photographs at 128x128, days of training; for a GPU."""
    return _photos(128, mults=(1, 1, 2, 3, 4), dropout=0.0, schedule="linear", steps=300_000, batch_size=64, lr=1e-4)


def photos256() -> Config:
    """Your own photographs at 256x256, weeks of training; for a GPU."""
    return _photos(256, mults=(1, 1, 2, 2, 4, 4), dropout=0.0, schedule="linear", steps=500_000, batch_size=64, lr=1e-4)


def _photos(side: int, mults: tuple[int, ...], dropout: float, schedule: str, **train: Any) -> Config:
    """Levels and attention of ADM (Dhariwal and Nichol 2021) with the width of the DDPM paper.

    The cosine schedule holds too little noise for images of 128 pixels and more, as in ADM. Images are not mirrored.
    """
    return Config(
        preset=f"photos{side}",
        data=DataConfig("", image_size=side, channels=3),
        net=UNetConfig(mults=mults, attention=(16, 8), dropout=dropout),
        process=ProcessConfig(schedule),
        train=TrainConfig(warmup=1000, times="stratified", save_every=5000, sample_every=5000, **train),
    )


def folder() -> Config:
    """Your own folder of images, in colour at 32x32; sub-folders are classes. The network follows from the size."""
    base = digits()
    return dataclasses.replace(
        base,
        preset="folder",
        data=DataConfig("", image_size=32, channels=3),
        net=UNetConfig(width=None, mults=None, blocks=None, attention=None, dropout=0.0, patch=None),
        train=dataclasses.replace(base.train, batch_size=None, lr=None, steps=2500, save_every=500, sample_every=500),
        # on emoji KID falls from 8 steps to 50, and is lower where the last step starts at t = 1
        sample=SampleConfig("ddim:eta=1,spacing=linspace", preview_steps=8),
    )


def arrays() -> Config:
    """Your own .npy or .npz file of images, signals or volumes, or folder of .wav files, as they are."""
    return dataclasses.replace(folder(), preset="arrays", data=DataConfig(""))


def points() -> Config:
    """Points of two moons: seconds."""
    return Config(
        preset="points",
        data=DataConfig("moons"),
        net=MLPConfig(width=128, blocks=3),
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


ON_DIGITS = {"optimiser": "adam", "steps": 1800, "ema": 0.999, "save_every": 600, "sample_every": 600}
"""Training settings of all methods on digits; the images in docs/explanation/history.md were made with them."""
ON_POINTS = {"batch_size": 1024}
"""On points large batches: at low noise ε carries little information on x_0, and small batches are too noisy. With
256, a fifth of DDPM's samples were between the moons; with 1,024 a twenty-fifth."""


def _method(name: str, sampler: str, process: ProcessConfig, base: Callable[[], Config], **train: Any) -> Config:
    """The run of `base` with the method of another paper."""
    config = base()
    return dataclasses.replace(
        config,
        preset=name if base is digits else f"{name}-points",
        process=process,
        train=dataclasses.replace(
            config.train, **{"times": "stratified", **(ON_DIGITS if base is digits else ON_POINTS), **train}
        ),
        sample=SampleConfig(sampler),
    )


METHODS: dict[str, Callable[[Callable[[], Config]], Config]] = {
    "ncsn": lambda base: (
        _method(  # σ_max: twice the largest distance between two moons, a quarter of that between two digits
            "ncsn",
            "langevin:steps=100,steps_per_level=5,step_size=2e-5",
            ProcessConfig("geometric", sigma_max=8.0 if base is digits else 3.0, target="score"),
            base,
            weighting="snr",
        )
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
"""The methods of papers, each a function of the preset that it is applied to."""

PRESETS: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "fashion": fashion,
    "cifar10": cifar10,
    "folder": folder,
    "arrays": arrays,
    "photos64": photos64,
    "photos128": photos128,
    "photos256": photos256,
    "ddpm256": ddpm256,
    "points": points,
    **{name: partial(method, digits) for name, method in METHODS.items()},
    **{f"{name}-points": partial(method, points) for name, method in METHODS.items()},
}


TAUGHT_FROM = 3
"""The first stage of the method "consistency" with steps of the teacher, 1 − σ_r/σ_t = n(σ_t)/16 long: earlier ones are
too coarse for a step of Heun's method. On two moons 17, 10 and 11 % of the samples of two evaluations lay off the arcs
with steps of the teacher alone from 2, 3 and 4 on, 16 % with half of them from 3 on, and 21 % without."""
CONVERTED = ("eps", "score")
"""Targets that cannot be distilled, so that the model is converted to another target first: x̂_0 is the network's answer
times b/a and more, so errors at high noise ruin a sample."""


def distilled(
    config: Config, method: str = DEFAULT_DISTILLATION, stages: int | None = None, evaluations: int | None = None
) -> Config:
    """Return the config of a run that distils the model of a config.

    Args:
        config: The config of the model.
        method: A name of `registries.DISTILLATIONS`. "consistency" has steps of a teacher from stage `TAUGHT_FROM` on.
        stages: The number of stages; None is the method's.
        evaluations: The number of network evaluations of the default sampler; None is 2.

    Raises:
        InputError: If the method needs steps of DDIM, and the model is distilled so that it has none.
    """
    way, before = DISTILLATIONS.find(method), config.distil.method
    if not way.consistent and before and DISTILLATIONS[before].consistent:
        raise InputError(
            f"the x̂_0 of this model is a sample, so it has no steps of DDIM to teach; use {option('method', 'tuning')}"
        )
    process, train = config.process, config.train
    taught = method == "consistency" and not before  # a distilled model is no denoiser to take steps with
    if process.target == "x0" and way.consistent:
        # the same network, but x̂_0 is x_t where there is no noise; otherwise it drifts, consistent with itself alone
        process = dataclasses.replace(process, target="skip")
    convert = process.target in CONVERTED
    if convert:  # to the target with the same scale of the network's input
        same = process.target != "score" and process.schedule_name not in ("geometric", "karras", "custom")
        process = dataclasses.replace(process, target="v" if same else "edm")
        train = dataclasses.replace(train, weighting="simple")
    common: dict[str, Any] = {"steps": 2000, "warmup": 50, "save_every": 500, "sample_every": 500}
    common |= {
        "times": "stratified",
        "continuous": False,
    }  # samples start at noise levels that EDM's log-normal times hardly visit
    evaluations = 2 if evaluations is None else evaluations
    stages = way.stages if stages is None else stages
    return dataclasses.replace(
        config,
        process=process,
        train=dataclasses.replace(train, **{**common, **way.settings}),
        runtime=RuntimeConfig(),
        sample=SampleConfig(f"{way.sampler}:steps={evaluations}"),
        initial=InitialConfig(),
        distil=DistilConfig(
            method,
            stages,
            0.25 if convert else 0.0,
            evaluations,
            TAUGHT_FROM if taught else None,
            config.process.target if taught and process.target != config.process.target else "",
        ),
    )


def preset(name: str) -> Config:
    """Return the preset called `name`. Raises InputError, with the nearest preset and data, if there is none."""
    if name not in PRESETS:
        near = [f"the data {path}"] if (path := nearest_path(name)) else []
        near += [f"the preset {preset}" for preset in difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)]
        question = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise InputError(
            f"there is no preset {name!r}, and no such file or folder{question} Presets: {', '.join(PRESETS)}"
        )
    return PRESETS[name]()


def is_data(name: str) -> bool:
    """Tell whether a name in the place of a preset is that of data: built-in points, an address or a path."""
    if not name or name in PRESETS or name.startswith("-") or name.endswith(".json"):
        return False
    return name in POINTS or "/" in name or Path(name).expanduser().exists()


def default_preset(source: Any) -> str:
    """Choose the preset for a data source, by its name, and the names in a folder; or for data given from Python."""
    if not isinstance(source, str | Path):
        return "folder" if isinstance(source, list) else "arrays"
    name = str(source)
    if name in POINTS:
        return "points"
    if name in ("digits", "fashion", "cifar10"):
        return name
    if name.lower().endswith((".npy", ".npz")):
        return "arrays"
    return "arrays" if holds_recordings(name) else "folder"


def command(config: Config) -> str:
    """Write the command that trains a config: the preset, and the options that differ from it."""
    name = config.preset if config.preset in PRESETS else default_preset(config.data.source)
    usual, options = PRESETS[name](), {}
    if config.net.kind != usual.net.kind:
        usual = usual.with_net(config.net.kind)
        options["net"] = getattr(config.net, "function", config.net.kind)
    for section in SECTIONS:
        own, default = getattr(config, section), getattr(usual, section)
        for field in dataclasses.fields(own):
            value = getattr(own, field.name)
            if value != getattr(default, field.name) and field.name not in ("kind", "function", "fingerprint"):
                options[field.name] = value
    return command_line("train", name, **options)
