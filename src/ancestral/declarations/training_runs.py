"""The use cases that train: train, distil."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ancestral.config import NET_KINDS, PRESETS, Config, base_config, distilled, preset
from ancestral.declarations.declaration import WithDevice, WithNet, WithOut, WithResume, WithSettings
from ancestral.fields import argument
from ancestral.registries import DEFAULT_DISTILLATION, DISTILLATIONS, NETWORKS, DistillationName

if TYPE_CHECKING:
    from ancestral.diffusion import Diffusion
    from ancestral.model import Model, NetSource
    from ancestral.objectives import Objective

FUNCTION = "package.module:function"
COMMON_SETTINGS = ("steps", "batch_size", "lr", "seed", "sample_every", "sampler")


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

    OUT: ClassVar[str] = "Run folder; default: runs/ and the preset, or the name of your own data"
    PRESETS: ClassVar[str] = PRESETS.names
    COMMON: ClassVar[tuple[str, ...]] = (
        *("config", "data", "out", "resume", "device", "net", "image_size", "channels", "flip", "class_labels"),
        *("validation", *COMMON_SETTINGS),
    )

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config:
        """Return the config of the preset and the file, with the kind of network that was chosen."""
        base = base_config(values.get("config"), values.get("data"), values.get("file"))
        return base.with_net(values["net"]) if values.get("net") in NET_KINDS else base

    config: str | Config | None = argument(None, words=str | None, metavar="PRESET", positional=True)
    """Name of a preset ({PRESETS}){; from Python also a config, or a .json file as of `file`}. The name or path of
    data is taken for `data`. Default: the preset for the data, or digits without data."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", positional=True)
    """What to train on: a built-in (digits, fashion, cifar10, moons, swissroll, checkerboard), a folder of images or
    .wav files, a .npy/.npz file, a folder of WebDataset shards (.tar), or a data set of the library datasets (a folder,
    or hf://datasets/user/name). {From Python also a tensor or array of items (N, C, *sides) or points (N, 2), alone or
    with labels as (items, labels); a list of paths of images, or of Pillow images; or a torch Dataset of items, alone
    or with labels.} Default: the preset's."""
    file: str | Path | None = argument(None, words=Path | None, metavar="FILE.json", short=["config"])
    """The config.json of a run, or a JSON file with some settings, which change the preset."""
    initial: Model | str | Path | None = argument(None, words=str | None, metavar="RUN", short=["from"])
    """Run folder, model file or hf:// address of a model whose averaged weights the run starts from{; from Python also
    the model}. Network, schedule and target are those of the model; the data must be of its shape. New classes start a
    new label embedding. Default: random weights."""
    net: NetSource | None = argument(None, words=str | None, metavar=f"{'|'.join(NETWORKS)}|package.module:function")
    """Kind of network, or a function of (shape of an item, number of classes) that returns one of your own{; from
    Python also a module, which is copied}. Default: the preset's."""
    objective: Callable[[Diffusion], Objective] | str | None = argument(None, words=str | None, metavar=FUNCTION)
    """Function that makes an objective for the denoiser, in place of L_simple and its variants. Parameters of its own
    (`Objective.trainable`) are trained too."""
    lr_schedule: Callable[[int], float] | str | None = argument(None, words=str | None, metavar=FUNCTION)
    """Function of the step 0, 1, ... that returns the factor of the learning rate, in place of `warmup` and `decay`."""
    export_to: Literal["diffusers"] | None = argument(None, short=["for"])
    """Choose a patch and groups that diffusers can hold, unless they are given, and refuse other settings that it
    cannot hold before training. Default: none."""


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

    run: Model | str | Path = argument(words=str, metavar="RUN", positional=True)
    """Run folder, model file or hf:// address of a model{; from Python also the model}."""
    data: Any = argument(None, words=str | None, metavar="SOURCE", ordered=True)
    """What to train on, in any form that training takes; default: what the model was trained on."""
    METHODS: ClassVar[str] = DISTILLATIONS.described

    method: DistillationName | None = None
    """{METHODS}. Default: consistency, or what the run that is resumed has."""
    stages: int | None = None
    """Number of stages, each of which halves the step that is learned; default: the method's."""
    evaluations: int | None = None
    """Number of network evaluations of the default sampler, and of the last stage of progressive; default: 2."""
