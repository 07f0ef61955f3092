"""The presets: a table of configs, each made of another one by some settings; and settings in a JSON file."""

import dataclasses
from pathlib import Path
from typing import Any

from ancestral.base.arguments import nearest, read_json
from ancestral.base.errors import InputError
from ancestral.base.options import command_line, option
from ancestral.base.registries import DEFAULT_DISTILLATION, DISTILLATIONS, Entry, Registry
from ancestral.config.data_sources import BUILT_IN, SOURCES, nearest_path, source_of
from ancestral.config.schema import (
    SECTIONS,
    Config,
    DistilConfig,
    InitialConfig,
    RuntimeConfig,
    SampleConfig,
    settings_in,
)


def derived(base: str = "", net: str | None = None, **settings: Any) -> Config:
    """Return the config of the preset `base`, or that of the DDPM paper, with another network and other settings."""
    return (preset(base) if base else Config()).with_net(net).with_settings(**settings)


def _row(name: str, text: str, paper: str, *sections: dict[str, Any]) -> Entry:
    settings = {setting: value for section in sections for setting, value in section.items()}
    return Entry(name, "config.presets:derived", text, paper, settings)


def _often(steps: int) -> dict[str, Any]:
    return {"save_every": steps, "sample_every": steps}


def _photos(side: int, time: str, mults: tuple[int, ...], dropout: float, schedule: str, **train: Any) -> Entry:
    """Levels and attention of ADM (Dhariwal and Nichol 2021) with the width of the DDPM paper.

    The cosine schedule holds too little noise for images of 128 pixels and more, as in ADM. Images are not mirrored.
    """
    return _row(
        f"photos{side}",
        f"your own photographs at {side}x{side}, {time} of training; for a GPU",
        "Dhariwal and Nichol (2021)",
        {"source": "", "image_size": side, "channels": 3, "schedule": schedule},
        {"mults": mults, "attention": (16, 8), "dropout": dropout},
        {"warmup": 1000, "times": "stratified", **_often(5000), **train},
    )


DATA_PRESETS = (
    _row(
        "digits",
        "5,000 real MNIST digits, with class labels: minutes on a laptop",
        "",
        {"width": 32, "mults": (1, 2), "blocks": 1, "attention": (), "dropout": 0.0, "patch": 2, "narrow": True},
        # predicting a clipped x_0 renders flat black exactly; a predicted ε leaves residual noise on it
        {"schedule": "cosine", "target": "x0", "clip": True},
        {"steps": 2400, "batch_size": 32, "optimiser": "muon", "lr": 2e-3, "warmup": 50, "decay": "cosine"},
        {"ema": 0.995, "times": "stratified", **_often(800)},
        # fresh noise corrects the errors of a small network, and of a predicted x_0 6 to 50 steps are equally good
        {"sampler": "ddim:eta=1,steps=16", "preview_steps": 8},
    ),
    _row(
        "scenes",
        "12,000 coloured shapes with captions: five CPU-minutes",
        "",
        # from the first layer on a transformer knows places, so that words say what is where
        {"base": "digits", "source": "scenes", "net": "transformer"},
        {"width": 96, "depth": 4, "heads": 4, "patch": 4},
        {"steps": 1600, "lr": 6e-3, **_often(800)},
    ),
    _row(
        "fashion",
        "60,000 images of clothes (Fashion-MNIST), with class labels",
        "",
        {"base": "digits", "source": "fashion"},  # not mirrored: all shoes point to the left
        {"width": 16, "mults": (1, 4, 4), "patch": 1, "target": "eps"},  # at full resolution, for fine texture
        {"steps": 3000, **_often(1000)},
        {"sampler": "ddim:eta=1", "preview_steps": 50},  # KID falls from 30 to 50, and hardly after
    ),
    _row(
        "cifar10",
        "the DDPM paper's CIFAR-10 run, setting for setting; for a GPU",
        "Ho et al. (2020)",
        {"source": "cifar10", "flip": True, "class_labels": False, **_often(5000)},
    ),
    _row(
        "folder",
        "your own folder of images, in colour at 32x32; sub-folders are classes. The network follows from the size",
        "",
        {"base": "digits", "source": "", "image_size": 32, "channels": 3},
        dict.fromkeys(("width", "mults", "blocks", "attention", "patch", "narrow", "batch_size", "lr")),
        {"steps": 2500, **_often(500)},
        # on emoji KID falls from 8 steps to 50, and is lower where the last step starts at t = 1
        {"sampler": "ddim:eta=1,spacing=linspace"},
    ),
    _row(
        "arrays",
        "your own .npy or .npz file of images, signals or volumes, or folder of .wav files, as they are",
        "",
        {"base": "folder", "image_size": None, "channels": None},
    ),
    _row(
        "latent",
        "your own photographs at 256x256, in latents of 64x64; for a GPU, or a patient CPU",
        "Rombach et al. (2022)",
        {"base": "folder", "image_size": 256, "latent": 4, "latent_steps": 5000},
        # latents are never saturated as black and white pixels are
        {"clip": False, "steps": 40_000, "warmup": 500, "ema": 0.999, **_often(2000)},
    ),
    _photos(64, "days", (1, 2, 3, 4), 0.1, "cosine", steps=200_000, batch_size=128, lr=2e-4),
    _photos(128, "days", (1, 1, 2, 3, 4), 0.0, "linear", steps=300_000, batch_size=64, lr=1e-4),
    _photos(256, "weeks", (1, 1, 2, 2, 4, 4), 0.0, "linear", steps=500_000, batch_size=64, lr=1e-4),
    _row(
        "ddpm256",
        "the DDPM paper's 256x256 model (CelebA-HQ, LSUN) on your own photographs; for a GPU",
        "Ho et al. (2020)",
        {"source": "", "image_size": 256, "channels": 3, "flip": True, "class_labels": False},
        {"mults": (1, 1, 2, 2, 4, 4), "dropout": 0.0, "sampler": "ddpm:variance=small"},
        {"steps": 500_000, "batch_size": 64, "lr": 2e-5, **_often(5000)},
    ),
    _row(
        "points",
        "points of two moons: seconds",
        "",
        {"source": "moons", "net": "mlp", "schedule": "cosine"},
        {"steps": 1500, "batch_size": 256, "lr": 2e-3, "warmup": 50, "decay": "cosine", "ema": 0.999, **_often(500)},
    ),
)
ON_DIGITS = {
    "narrow": False,
    "optimiser": "adam",
    "clip": False,
    "steps": 1800,
    "ema": 0.999,
    **_often(600),
    "preview_steps": None,
}
"""Settings of all methods on digits; the images in docs/explanation/history.md were made with them."""
ON_POINTS = {"batch_size": 1024}
"""On points large batches: at low noise ε carries little information on x_0, and small batches are too noisy. With
256, a fifth of DDPM's samples were between the moons; with 1,024 a twenty-fifth."""
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ncsn": (
        "Song and Ermon (2019)",
        "langevin:steps=100,steps_per_level=5,step_size=2e-5",
        {"schedule": "geometric", "target": "score", "weighting": "snr"},
    ),
    "ddpm": ("Ho et al. (2020)", "ddpm", {"schedule": "linear"}),
    "ddim": ("Song et al. (2021)", "ddim", {"schedule": "linear"}),
    "improved": (
        "Nichol and Dhariwal (2021)",
        "ddpm:variance=learned,steps=100",
        {"schedule": "cosine", "learned_variance": True},
    ),
    "edm": (
        "Karras et al. (2022)",
        "heun:steps=18",
        {"schedule": "karras", "target": "edm", "times": "lognormal", "weighting": "edm"},
    ),
    "flow": ("Liu et al. (2022)", "euler:steps=50", {"schedule": "flow", "target": "flow"}),
}
"""The methods of papers: the paper, the sampler, and the settings of the process and the training."""


def _on(base: str, common: dict[str, Any], sigma_max: float) -> list[Entry]:
    """The methods on the data of a preset; σ_max is that of NCSN."""
    return [
        _row(
            name if base == "digits" else f"{name}-{base}",
            f"the method of the paper on {base}",
            paper,
            {"base": base, "target": "eps", "times": "stratified", "sampler": sampler, **common, **settings},
            {"sigma_max": sigma_max} if name == "ncsn" else {},
        )
        for name, (paper, sampler, settings) in METHODS.items()
    ]


PRESETS = Registry(
    "preset",
    *DATA_PRESETS,
    *_on("digits", ON_DIGITS, 8.0),  # σ_max: a quarter of the largest distance between two digits
    *_on("points", ON_POINTS, 3.0),  # twice that between two moons
)


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
        evaluations: The number of network evaluations of the default sampler; None is 2, and of the method energy 1.

    Raises:
        InputError: If the method needs steps of DDIM, and the model is distilled so that it has none.
    """
    entry, model_method = DISTILLATIONS.find(method), config.distil.method
    if config.train.energy is not None:
        raise InputError("this model answers in one evaluation already: there is nothing to distil")
    if not entry.consistent and model_method and DISTILLATIONS[model_method].consistent:
        raise InputError(
            f"the x̂_0 of this model is a sample, so it has no steps of DDIM to teach; use {option('method', 'tuning')}"
        )
    if method == "energy":
        if stages not in (None, 1):
            raise InputError(f"the method energy has one stage: leave {option('stages', stages)} out")
        count = 1 if evaluations is None else evaluations
        train = dataclasses.replace(config.train, steps=1000, warmup=50, **_often(500))
        plain = dataclasses.replace(config, train=train, runtime=RuntimeConfig(), initial=InitialConfig())
        answering = plain.with_objective(f"energy:evaluations={count}")
        return dataclasses.replace(answering, distil=DistilConfig(method, 1, evaluations=count))
    with_teacher = method == "consistency" and not model_method  # a distilled model is no denoiser to take steps with
    target: Any = config.process.target
    settings: dict[str, Any] = {"steps": 2000, "warmup": 50, **_often(500), **entry.settings}
    # samples start at noise levels that EDM's log-normal times hardly visit; the methods have weights of their own
    settings |= {"times": "stratified", "continuous": False, "weighting": "simple"}
    if target == "x0" and entry.consistent:
        # the same network, but x̂_0 is x_t where there is no noise; otherwise it drifts, consistent with itself alone
        target = "skip"
    convert = target in CONVERTED
    if convert:  # to the target with the same scale of the network's input
        same = target != "score" and config.process.schedule_name not in ("geometric", "karras", "custom")
        target = "v" if same else "edm"
    evaluations = 2 if evaluations is None else evaluations
    return dataclasses.replace(
        config,
        process=dataclasses.replace(config.process, target=target),
        train=dataclasses.replace(config.train, **settings),
        runtime=RuntimeConfig(),
        sample=SampleConfig(f"{entry.sampler}:steps={evaluations}"),
        initial=InitialConfig(),
        distil=DistilConfig(
            method,
            entry.stages if stages is None else stages,
            0.25 if convert else 0.0,
            evaluations,
            TAUGHT_FROM if with_teacher else None,
            config.process.target if with_teacher and target != config.process.target else "",
        ),
    )


def preset(name: str) -> Config:
    """Return the preset called `name`. Raises InputError, with the nearest preset and data, if there is none."""
    if name not in PRESETS:
        suggestions = [f"the data {path}"] if (path := nearest_path(name)) else []
        suggestions += [f"the preset {near}"] if (near := nearest(name, PRESETS)) else []
        question = f"; did you mean {' or '.join(suggestions)}?" if suggestions else "."
        raise InputError(f"there is no preset {name!r}, and no such file or folder{question} Presets: {PRESETS.names}")
    config: Config = PRESETS[name].make()
    return dataclasses.replace(config, preset=name)


def is_data(name: str) -> bool:
    """Tell whether a name in the place of a preset is that of data: a built-in one, an address or a path."""
    if not name or name in PRESETS or name.startswith("-") or name.endswith(".json"):
        return False
    return name in BUILT_IN or "/" in name or Path(name).expanduser().exists()


def default_preset(source: Any) -> str:
    """Choose the preset for a data source, by its name, and the names in a folder; or for data given from Python."""
    if not isinstance(source, str | Path):
        return SOURCES["list" if isinstance(source, list) else "array"].preset
    return BUILT_IN[str(source)].preset if str(source) in BUILT_IN else source_of(source).preset


def read_config(path: Path, base: Config | None = None, source: str = "") -> Config:
    """Read the config of a training run from a JSON file.

    Args:
        path: A file that holds all sections of a config, such as the config.json of a run; or one that holds some
            settings, by name or in sections: {"preset": "digits", "steps": 200, "net": {"width": 64}}.
        base: The config that some settings change. None is the preset that the file names, or the one for the data.
        source: The data source; "" is the file's.

    Returns:
        The config, which is not checked yet.

    Raises:
        InputError: If the file cannot be read, has a setting or value that a config cannot have, or is for another
            preset than `base`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the config {path}: {getattr(error, 'strerror', None) or error}") from None
    tree = read_json(text, str(path))
    preset_name = tree.get("preset")
    if base is not None and preset_name not in (None, base.preset):
        raise InputError(f"{path} is for the preset {preset_name}, not {base.preset}; leave one of the two out")
    if set(SECTIONS) <= set(tree):
        return Config.from_json(text, str(path))
    settings = _flat({name: value for name, value in settings_in(tree).items() if name != "preset"})
    if base is None:
        base = preset(str(preset_name or default_preset(source or str(settings.get("source", "digits")))))
    try:
        return base.with_net(settings.pop("kind", None)).with_settings(**settings)
    except InputError as error:
        raise InputError(f"{path}: {error.text}") from None


def preset_and_data(config: str | Config | None, data: Any) -> tuple[str | Config | None, Any]:
    """Take data that are named in the place of the preset for data.

    Raises:
        InputError: If data are named twice.
    """
    if not isinstance(config, str) or not is_data(config):
        return config, data
    if data is not None:
        raise InputError(f"the data are given twice, {config} and {data}; give one of them")
    return None, config


def base_config(config: str | Config | None = None, data: Any = None, file: str | Path | None = None) -> Config:
    """Return the config whose settings are the defaults of a training run.

    Args:
        config: A preset, a config or a .json file; None is the preset for the data, or digits without data.
        data: A name or path, or data from Python.
        file: A .json file that changes the preset.

    Raises:
        InputError: If there is no such preset, or the file cannot be read or is for another one.
    """
    config, data = preset_and_data(config, data)
    if isinstance(config, str) and config.endswith(".json"):
        config, file = None, file or config
    base = preset(config) if isinstance(config, str) else config
    if file is not None:
        return read_config(Path(file), base, str(data) if isinstance(data, str | Path) else "")
    return base or preset(default_preset("digits" if data is None else data))


ALONE = {"data": "source", "net": "kind"}
"""Settings that files of settings have in the place of a section."""


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Settings by name, out of sections too; "data" and "net" alone are the source and the kind of network."""
    settings: dict[str, Any] = {}
    for name, value in tree.items():
        if name in SECTIONS and isinstance(value, dict):
            settings |= value
        else:
            settings[ALONE.get(name, name)] = value
    return settings


RECORDED = ("kind", "function", "fingerprint", "moved", "left_out")
"""Fields that no option sets, or that another option's value says."""


def command(config: Config, **further: Any) -> str:
    """Write the command that trains a config: the preset, the options that differ from it, and further options."""
    name = config.preset if config.preset in PRESETS else default_preset(config.data.source)
    usual, options = preset(name), {}
    if config.net.kind != usual.net.kind:
        usual = usual.with_net(config.net.kind)
        options["net"] = getattr(config.net, "function", config.net.kind)
    for section in SECTIONS:
        values, defaults = getattr(config, section), getattr(usual, section)
        for field in dataclasses.fields(values):
            value = getattr(values, field.name)
            if value != getattr(defaults, field.name) and field.name not in RECORDED:
                options[field.name] = value
    return command_line("train", name, **options, **further)
