"""From a config and a description of the data to a denoiser and its sampler."""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral import augmentation, nets, samplers, schedules, targets
from ancestral.base.arguments import shown
from ancestral.base.device import memory_format
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.plugins import explained, import_function
from ancestral.conditions import NOISE, Image, Noise
from ancestral.config import Config, CustomNetConfig, MLPConfig, UNetConfig, by_size
from ancestral.data.spec import DataSpec
from ancestral.diffusion import Diffusion
from ancestral.model.metadata import target_name
from ancestral.objectives import Objective
from ancestral.objectives.objective import OBSERVED_NAME
from ancestral.samplers import Sampler
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Target

NetSource = nn.Module | Callable[..., nn.Module] | str
"""A custom network: the module, a function of (shape of x, number of classes) that builds it, or the name of
such a function, package.module:function. A function with a parameter `conditions` gets the kinds of the other ones."""


@dataclass(frozen=True)
class CustomParts:
    """Parts that are given from Python in place of those that a config names; None is the config's."""

    net: NetSource | None = None
    """A module is copied, never changed in place."""
    schedule: Schedule | None = None
    target: Target | None = None
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | None = None
    """A function of the parameters that makes an optimiser, whose learning rates are those at a factor of 1."""
    lr_schedule: Callable[[int], float] | None = None
    """The factor of the learning rate at each step, 0, 1, ..., in place of warm-up and decay."""
    objective: Callable[[Diffusion], Objective] | None = None
    """Makes the objective of the denoiser in training."""
    metric: Callable[[DataSpec, torch.device], Any] | None = None
    """Makes what measures the distance of samples: a `training.sample_distance.ItemMetric`; None measures none."""
    weights: Mapping[str, Tensor] | None = None
    """Initial weights by their names in the network; None draws random ones."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are given, each with the name of its class or function."""
        parts = {name: part for name, part in vars(self).items() if part is not None}
        return tuple(f"{name} {getattr(part, '__qualname__', type(part).__qualname__)}" for name, part in parts.items())

    def named_in(self, config: Config) -> Config:
        """Return the config with "custom" in the place of each custom part."""
        process, net, train = config.process, config.net, config.train
        if self.schedule is not None:
            process = dataclasses.replace(process, schedule="custom", timesteps=self.schedule.steps)
        if self.target is not None:
            target: Any = target_name(self.target)
            process = dataclasses.replace(process, target=target)
        if self.net is not None:
            net = CustomNetConfig(function=self.net if isinstance(self.net, str) else "")
        if self.optimiser is not None:
            train = dataclasses.replace(train, optimiser="custom")
        if self.lr_schedule is not None:
            train = dataclasses.replace(train, decay="custom")
        return dataclasses.replace(config, process=process, net=net, train=train)


NOISE_CHANNELS = 8
"""The number of channels of noise on the lowest grid of a network."""


def for_items(config: Config, spec: DataSpec, device: str = "cpu") -> Config:
    """Return the config with a network for these items.

    Settings that it leaves out are chosen by the size of the items and the kind of device (`config.by_size`). For
    points a U-Net becomes an MLP of its width and blocks.
    """
    config = by_size.complete(config, spec.x_shape, device)
    if len(spec.shape) == 1 and isinstance(config.net, UNetConfig):
        settings: dict[str, Any] = {"width": config.net.width, "blocks": config.net.blocks}
        return dataclasses.replace(config, net=MLPConfig(**settings))
    return config


def build(config: Config, spec: DataSpec, parts: CustomParts | None = None) -> Diffusion:
    """Build the untrained denoiser of a config, with custom parts in place of the config's.

    Raises:
        InputError: As `assemble`, and if x_0 cannot be recovered from the target at all levels of the schedule.
    """
    denoiser = assemble(config, spec, parts)
    _check_determinant(denoiser.target, denoiser.schedule)
    return denoiser


def assemble(config: Config, spec: DataSpec, parts: CustomParts | None = None) -> Diffusion:
    """Build the denoiser of a config, whatever its target can be solved for: a plain loop may have trained it.

    Raises:
        InputError: If data and network do not fit, or a custom part is missing.
    """
    parts, process = parts or CustomParts(), config.process
    schedule = parts.schedule or schedules.from_spec(process.schedule_spec())
    if parts.target is None and process.target == "custom":
        raise InputError("a custom target is given from Python: target=...")
    target = parts.target or targets.from_name(process.target)
    net = _own_net(parts.net, spec) if parts.net is not None else net_of(config, spec)
    denoiser = Diffusion(net, schedule, target, process.learned_variance, spec.codec.present(spec.shape))
    format = memory_format(1 + len(spec.shape), config.runtime.memory_format)
    return denoiser.to(memory_format=format)


def _check_determinant(target: Target, schedule: Schedule) -> None:
    """Raise InputError if x_0 cannot be recovered from x_t and the target at one of the times 1..T."""
    times = torch.arange(1, schedule.steps + 1)
    singular = times[torch.as_tensor(target.determinant(*schedule.at(times))).expand(schedule.steps) == 0].tolist()
    if not singular:
        return
    a, b = schedule.at(singular[-1])
    if a == 0:
        raise InputError(
            f"the last level of this schedule holds no signal, so the target {target.name} says nothing of x_0 "
            f"there; use {option('target')} v, x0, flow or edm"
        )
    raise InputError(
        f"the target {target.name} says nothing of x_0 at t = {singular[-1]}, where signal is {a:g} and noise {b:g}: "
        "it holds them in the same ratio as x_t (a q = b p); take p and q with a q - b p other than 0 at all times"
    )


def net_of(config: Config, spec: DataSpec) -> nn.Module:
    """Build the untrained network of a config. Raises InputError if it is a custom one, or does not fit."""
    if isinstance(config.net, CustomNetConfig):
        name = config.net.function
        how = f"{option('net', name)}, if you trust that code" if name else "net=... from Python"
        raise InputError(f"this model has a custom network, which its file does not hold: give {how}")
    settings = dataclasses.asdict(for_items(config, spec).net)
    factor = 2 if config.process.learned_variance else 1
    conditions = dict(spec.further)
    if config.data.augment:
        conditions[augmentation.NAME] = augmentation.condition(len(spec.shape) - 1)
    if spec.codec.gaps == "random":
        conditions[OBSERVED_NAME] = Image(2 * spec.shape[0], (-1.0, 1.0))
    if (noise := _noise_of(config, settings, spec)) is not None:
        if NOISE in conditions:
            raise InputError(f"{NOISE} is what the network draws: give the condition another name, other={NOISE}")
        conditions[NOISE] = noise
    if spec.periodic:
        settings["periodic"] = spec.periodic
    return nets.build(shape=spec.x_shape, classes=len(spec.classes), factor=factor, conditions=conditions, **settings)


def _noise_of(config: Config, net: Mapping[str, Any], spec: DataSpec) -> Noise | None:
    """The noise that the network of a config draws, given its settings; None where it draws none."""
    energy = config.train.energy
    if energy is None or energy["noise"] == "input":
        return None
    below = (net.get("patch") or 1) * 2 ** (len(net.get("mults") or (1,)) - 1)
    sides = tuple(-(-side // below) for side in spec.x_shape[1:])
    grid = (NOISE_CHANNELS, *sides) if energy["noise"] == "grid" and sides else ()
    return Noise(grid=grid, until=config.process.timesteps)


def _own_net(net: NetSource, spec: DataSpec) -> nn.Module:
    if isinstance(net, nn.Module):
        return copy.deepcopy(net)
    name = net if isinstance(net, str) else getattr(net, "__name__", type(net).__name__)
    function = import_function(net) if isinstance(net, str) else net
    with explained(f"{name}(shape, classes) failed", f"it should return a network for x of shape {spec.x_shape}"):
        more = {"conditions": spec.further} if "conditions" in inspect.signature(function).parameters else {}
        module = function(spec.x_shape, len(spec.classes), **more)
    if not isinstance(module, nn.Module):
        raise InputError(f"{name} returned a {type(module).__name__}, not a torch.nn.Module")
    return module


def sampler_for(denoiser: Denoiser, name: str, **options: object) -> Sampler:
    """Build a sampler as `samplers.from_name` does; its default number of steps is at most the schedule's T.

    Raises:
        InputError: If this denoiser cannot be sampled with it.
    """
    sampler = samplers.from_name(name, max_steps=denoiser.schedule.steps, **options)
    sampler.check(denoiser)
    return sampler


def chosen_sampler(denoiser: Denoiser, sampler: str | Sampler, **options: object) -> Sampler:
    """Return the sampler of a name with its options, as `sampler_for`; an object is returned as it is.

    Raises:
        InputError: If the denoiser cannot be sampled with it, or options are given for an object.
    """
    if isinstance(sampler, Sampler):
        if any(value is not None for value in options.values()):
            names = ", ".join(options)
            raise InputError(f"a custom sampler has its own {names}; leave {names} out")
        return sampler
    if not isinstance(sampler, str):
        raise InputError(f"{option('sampler')} cannot be {shown(sampler)}: give a name, or an instance of a Sampler")
    return sampler_for(denoiser, sampler, **options)


def check_sampler(denoiser: Denoiser, name: str) -> None:
    """Raise InputError if this denoiser cannot be sampled with the sampler called `name`, as `sampler_for` does."""
    sampler_for(denoiser, name)


def sampler_name(sampler: Sampler) -> str:
    """Write a sampler as the name that `sampler_for` reads, with all its settings; a custom one by its class."""
    name = next((name for name, default in samplers.BY_NAME.items() if type(default) is type(sampler)), None)
    if name is None:
        return type(sampler).__name__
    fields = dataclasses.fields(sampler)  # type: ignore[arg-type]  # all samplers are dataclasses
    return f"{name}:{','.join(f'{field.name}={getattr(sampler, field.name)}' for field in fields)}"
