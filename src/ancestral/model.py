"""A trained model and the one file that explains it.

`model.safetensors` holds the averaged weights and, as metadata, everything needed to rebuild the denoiser around them:
the config, the schedule, the target, the codec, the shape of an image, the classes, the step and the version.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import __version__, hub, nets, samplers, schedules, storage, targets
from ancestral.config import Config
from ancestral.data.codec import Codec
from ancestral.data.spec import DataSpec
from ancestral.device import layout, pick_device
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError, whole
from ancestral.guidance import NO_CLASS, ClassifierFree
from ancestral.reverse import check_variance, prior
from ancestral.samplers import DDPM, Sampler, Step
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Target

FILE_NAME = "model.safetensors"
FORMAT = "ancestral-1"


class Model:
    """A denoiser with all that is needed to draw images from it."""

    def __init__(
        self,
        denoiser: Any,
        config: Any,
        spec: DataSpec,
        step: int,
        version: str = __version__,
        file: Path | None = None,
    ) -> None:
        self.denoiser: Any = denoiser.eval() if isinstance(denoiser, nn.Module) else denoiser
        self.config, self.spec, self.step, self.version = config, spec, step, version
        self.file = file
        """Where it was loaded from."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        if not isinstance(self.denoiser, nn.Module):
            return torch.device("cpu")
        device: torch.device = next(self.denoiser.parameters()).device
        return device

    def sample(
        self,
        n: int = 64,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        seed: int = 0,
        label: int | str | None = None,
        guidance: float = 1.0,
        batch_size: int = 64,
    ) -> Tensor:
        """Items 0..n−1 of a seed, on the CPU, in the data's own units: uint8, uint16 or float32 (n, C, *space) with 1
        axis of space for signals, 2 for images, 3 for volumes, or float32 (n, 2) of points.

        `sampler` is a name of `samplers.BY_NAME`, with options or without ("heun:churn=10"), or a sampler of your own;
        left out, it is the one of the model's config. `steps` is its number of steps (DDIM 50, DDPM all).
        `label` is the number or the name of a class, or "none"; left out, a model with classes draws them in turn,
        image i of class i mod their number. `guidance` above 1 strengthens the label. Raises InputError for what the
        model cannot do.
        """
        says = f"n and batch_size must be whole numbers, at least 1, not {n} and {batch_size}"
        n, batch_size = (whole(number, 1, math.inf, says) for number in (n, batch_size))
        if isinstance(sampler, Sampler) and steps is not None:
            raise InputError("a sampler of your own has its own number of steps; leave steps out")
        chosen = sampler if isinstance(sampler, Sampler) else self.sampler(sampler, steps=steps)
        images = []
        for start in range(0, n, batch_size):
            indices = range(start, min(start + batch_size, n))
            *_, last = self.trajectory(indices, chosen, seed, label, guidance)
            images.append(self.spec.codec.decode(last.x).cpu())
        return torch.cat(images)

    def sampler(self, name: str | None = None, **options: object) -> Sampler:
        """The sampler called `name`, or that of the config, with these options. Raises InputError."""
        return sampler_for(self.denoiser, name or (self.config.sample.sampler if self.config else "ddim"), **options)

    def trajectory(
        self,
        indices: Sequence[int],
        sampler: Sampler,
        seed: int = 0,
        label: int | str | None = None,
        guidance: float = 1.0,
    ) -> Iterator[Step]:
        """The steps of the images `indices` of a seed, in one batch. `spec.codec` decodes what they hold."""
        if not math.isfinite(guidance):
            raise InputError(f"guidance must be a finite number, not {guidance}")
        condition: dict[str, Any] = {}
        denoiser: Denoiser = self.denoiser
        labels = self.labels(indices, label)
        if labels is not None:
            condition["labels"] = labels
            denoiser = denoiser if guidance == 1.0 else ClassifierFree(denoiser, guidance)
        elif guidance != 1.0:
            raise InputError("this model was trained without classes, so there is nothing for guidance to strengthen")
        x_T = prior(self.denoiser.schedule, self.spec.shape, seed, indices, self.device)
        for step in sampler.trajectory(denoiser, x_T, seed=seed, indices=indices, **condition):
            if step.t == 0 and not bool(step.x.isfinite().all()):
                raise InputError(f"the samples are no finite numbers: the network diverged, or {sampler} cannot do it")
            yield step

    def labels(self, indices: Sequence[int], label: int | str | None) -> Tensor | None:
        """The labels (len(indices),) of these images, or None for a model without classes. Raises InputError."""
        classes = self.spec.classes
        if not classes:
            if label is not None:
                raise InputError(f"this model was trained without classes, so it cannot draw label {label!r}")
            return None
        if label is None:
            numbers = [index % len(classes) for index in indices]
        else:
            numbers = [self._label_number(label)] * len(indices)
        return torch.tensor(numbers, device=self.device)

    def _label_number(self, label: int | str) -> int:
        classes = self.spec.classes
        text = str(label)
        if isinstance(label, str) and text in classes:
            return classes.index(text)
        if text == "none":
            return NO_CLASS
        if text.isdecimal() and int(text) < len(classes):
            return int(text)
        raise InputError(
            f"there is no class {text!r}; this model has {', '.join(classes)} (or 0 to {len(classes) - 1}, or none)"
        )

    def save(self, path: str | Path) -> None:
        """Write the model file, atomically. Raises OSError where it cannot be written."""
        metadata = describing(self.denoiser, self.config, self.spec, self.step, self.version)
        storage.write_tensors(Path(path), self.denoiser.net.state_dict(), metadata)


def describing(
    denoiser: Diffusion, config: Config, spec: DataSpec, step: int, version: str = __version__
) -> dict[str, str]:
    """What the model file says beside the weights; `describe` reads it."""
    return {
        "format": FORMAT,
        "version": version,
        "step": str(step),
        "config": config.to_json(),
        "schedule": json.dumps(denoiser.schedule.spec),
        "target": denoiser.target.name,
        "codec": spec.codec.kind,
        "limits": json.dumps(spec.codec.limits),
        "shape": json.dumps(spec.shape),
        "classes": json.dumps(spec.classes),
        "mean": json.dumps(spec.mean),
    }


def build_net(config: Config, shape: Sequence[int], classes: int) -> nn.Module:
    """The untrained network that a config asks for, for items of a shape. Raises InputError where they do not fit."""
    net, answers = config.net, 2 if config.process.learned_variance else 1
    if len(shape) == 1:
        return nets.MLP(shape[0], net.width, net.blocks, classes or None, out_features=answers * shape[0])
    channels, *sides = shape
    unet = nets.UNet(
        channels=channels,
        width=net.width,
        mults=net.mults,
        blocks=net.blocks,
        attention=net.attention,
        dropout=net.dropout,
        image_size=max(sides),
        out_channels=answers * channels,
        classes=classes or None,
        patch=net.patch,
        groups=net.groups,
        dims=len(sides),
    )
    unet.check_size(*sides)
    return unet


def build(config: Config, spec: DataSpec, schedule: Schedule | None = None) -> Diffusion:
    """The untrained denoiser that a config asks for, with its schedule unless another is given. Raises InputError where
    the data does not fit its network, or the target says nothing at the schedule's last level.
    """
    process, train = config.process, config.train
    schedule = schedule or schedules.from_spec(process.schedule_spec())
    target = targets.from_name(process.target)
    if target.determinant(*schedule.at(schedule.steps)) == 0:
        raise InputError(
            f"the last level of this schedule holds no signal, so the target {target.name} says nothing of x_0 there; "
            "use --target v, x0, flow or edm"
        )
    net = _scaled(build_net(config, spec.shape, len(spec.classes)), schedule, target)
    denoiser = Diffusion(net, schedule, target, train.times, train.weighting, process.learned_variance, process.clip)
    return denoiser.to(memory_format=layout(1 + len(spec.shape)))  # type: ignore[call-overload,no-any-return]


def _scaled(net: nn.Module, schedule: Schedule, target: Target) -> nn.Module:
    """The network between scales, where x_t or the answer would otherwise be far from order 1."""
    a, b = schedule.at(torch.arange(1, schedule.steps + 1))
    if target is not targets.SCORE and (target is targets.EDM or float(schedule.noise[-1]) <= 1):
        return net
    scale_in = targets.EDM.input_scale(a, b)
    scale_out = 1 / b if target is targets.SCORE else b / b
    return nets.Scaled(net, torch.as_tensor(scale_in), torch.as_tensor(scale_out))


def sampler_for(denoiser: Diffusion, name: str, **options: object) -> Sampler:
    """The sampler called `name`, whose usual number of steps, where none is asked for, is at most the schedule's T.

    Raises InputError for what this denoiser cannot be sampled with, before any work is done.
    """
    schedule = denoiser.schedule
    sampler = samplers.from_name(name, **options)
    usual = "steps=" not in name and options.get("steps") is None
    if usual and (sampler.steps or 0) > schedule.steps:
        sampler = samplers.from_name(name, **{**options, "steps": schedule.steps})
    sampler.times(schedule)
    if isinstance(sampler, DDPM):
        check_variance(sampler.variance, getattr(denoiser, "learned_variance", False))
    return sampler


def find(path: str | Path) -> Path:
    """The model file of a run folder, of hf://user/repo, or the file itself. Raises InputError where there is none."""
    if hub.is_address(path):
        return hub.fetch(str(path), FILE_NAME)
    path = Path(path)
    if path.is_dir():
        if not (path / FILE_NAME).is_file():
            raise InputError(f"{path} holds no {FILE_NAME}: it is no run folder, or its training has not saved yet")
        return path / FILE_NAME
    if not path.exists():
        raise InputError(f"there is no run folder or model file {path}; `ancestral train` makes one")
    return path


def load(path: str | Path, device: str = "auto") -> Model:
    """The model of a run folder, a `model.safetensors` or hf://user/repo, ready to sample.

    Raises InputError where it is not one.
    """
    path = find(path)
    tensors, metadata = storage.read_tensors(path)
    config, spec = describe(path, metadata)
    schedule = _json(path, metadata, "schedule")
    if not isinstance(schedule, dict):
        raise _damaged(path, "schedule")
    if metadata["target"] != config.process.target:
        raise _damaged(path, "target")
    denoiser = build(config, spec, schedules.from_spec(schedule))
    try:
        denoiser.net.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"the weights in {path} do not fit the network that its own config describes") from None
    denoiser.to(pick_device(device))
    return Model(denoiser, config, spec, int(metadata["step"]), metadata["version"], path)


def describe(path: Path, metadata: dict[str, str]) -> tuple[Config, DataSpec]:
    """The config and the spec in a model file's metadata. Raises InputError where `Model.save` did not write it."""
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is a safetensors file, but not a model of ancestral's (format {FORMAT})")
    missing = {"version", "step", "config", "schedule", "target", "codec", "shape", "classes", "mean"} - set(metadata)
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))} in its metadata")
    config = Config.from_json(metadata["config"], f"the config in {path}")
    shape, classes, mean = (_json_list(path, metadata, key) for key in ("shape", "classes", "mean"))
    if len(shape) not in (1, 2, 3, 4) or not all(type(side) is int and side > 0 for side in shape):
        raise _damaged(path, "shape")
    if not all(isinstance(name, str) for name in classes):
        raise _damaged(path, "classes")
    if not metadata["step"].isdecimal():
        raise _damaged(path, "step")
    return config, DataSpec(shape, _codec(path, metadata), classes, mean)


def _codec(path: Path, metadata: dict[str, str]) -> Codec:
    """The codec; files written before 16-bit and float images name no limits, and have the usual ones."""
    if "limits" not in metadata:
        return Codec(metadata["codec"])
    limits = _json_list(path, metadata, "limits")
    if len(limits) != 2 or not all(type(value) in (int, float) for value in limits):
        raise _damaged(path, "limits")
    return Codec(metadata["codec"], (limits[0], limits[1]))


def _json_list(path: Path, metadata: dict[str, str], key: str) -> tuple[Any, ...]:
    value = _json(path, metadata, key)
    if not isinstance(value, list):
        raise _damaged(path, key)
    return tuple(value)


def _json(path: Path, metadata: dict[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError:
        raise _damaged(path, key) from None


def _damaged(path: Path, key: str) -> InputError:
    return InputError(f"{path} has a damaged {key!r} in its metadata")
