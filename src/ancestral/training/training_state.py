"""All that a checkpoint holds: weights, their averages, the optimiser, the objective and the step.

As tensors they have the same names for one process or many, replicated or sharded.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral import augmentation, model, nets, objectives
from ancestral.base.device import free_memory
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import format_bytes
from ancestral.conditions import Classes, Words, argument_name
from ancestral.config import Config
from ancestral.data import Dataset, DataSpec
from ancestral.data.sources.fields import with_weights
from ancestral.diffusion import Diffusion
from ancestral.model import CustomParts, Model
from ancestral.model.building import net_of
from ancestral.objectives import Objective
from ancestral.randomness import pytorch_generator
from ancestral.training import custom_parts
from ancestral.training.averages import EMA, LENGTHS, PREFIXES, Average, PowerAverage, default_pairs
from ancestral.training.distributed import Distributed, checkpoint_blocks, compile_network
from ancestral.training.divergence import DivergenceGuard
from ancestral.training.optimiser import make_optimiser, set_learning_rate
from ancestral.training.progress import LossByTime
from ancestral.training.sample_distance import SampleDistance
from ancestral.training.validation import Validation

COPIES_IN_FILES = 5
"""Copies of each weight in a checkpoint and a model file, without the power-function averages: weight, average, two
moments of the optimiser, and the average once more."""
COPIES_IN_MEMORY = 4
"""Copies of each weight in memory at least: weight, gradient, average and a moment."""
NUMBERS = (int, float, bool, type(None))
"""Types of the values of an optimiser in a checkpoint, besides tensors."""


def _check_memory(config: Config, spec: DataSpec, distributed: Distributed) -> None:
    """Raise InputError if the memory of the network alone is not free; systems may end a process that takes more."""
    weights = sum(shape.numel() for shape in nets.weight_shapes(lambda: net_of(config, spec)).values())
    copies = COPIES_IN_MEMORY / distributed.world if distributed.shard else COPIES_IN_MEMORY
    needed, free = int(4 * weights * copies), free_memory(distributed.device)
    if needed > free:
        raise InputError(
            f"the network has {weights:,} weights, which take {format_bytes(needed)} with their gradients, averages "
            f"and moments, and {format_bytes(free)} are free: give a smaller {option('width')}"
        )


def spec_of(data: Dataset, config: Config) -> DataSpec:
    """Describe the data to a model that is trained on it by this config.

    Raises:
        InputError: If there are none, they have no captions whose tags are to be shuffled, or they have conditions that
            leave a coupling nothing to pair.
    """
    if not len(data):
        raise InputError(f"{data.name} holds no items to train on")
    spec = data.spec if config.data.class_labels else data.spec.without_label()
    spec = spec.with_borders(config.data.periodic)
    grid = with_weights(spec.grid, spec.shape[1:], config.data.weights)
    spec = spec if grid is spec.grid else dataclasses.replace(spec, grid=grid)
    if config.train.coupling != "independent":
        differing = [name for name, kind in spec.further.items() if not isinstance(kind, Classes)]
        if differing or config.data.augment:
            cause = f"{option('given')} {differing[0]} is no class" if differing else ""
            raise InputError(
                f"{option('coupling', config.train.coupling)} pairs items of one class, and "
                f"{cause or option('augment', config.data.augment) + ' draws each item anew'}: leave one of the two out"
            )
    _check_gaps(spec, config)
    if not config.data.shuffle_tags:
        return spec
    kinds = spec.further.items()
    shuffled = {name: dataclasses.replace(kind, shuffled=True) for name, kind in kinds if isinstance(kind, Words)}
    if not shuffled:
        raise InputError(
            f"{option('shuffle_tags', True)} needs captions, and no condition of {data.name} is words: leave it out, "
            f"or name a column of text, as in {option('given', 'caption')}"
        )
    return dataclasses.replace(spec, conditions={**spec.conditions, **shuffled})


def _check_gaps(spec: DataSpec, config: Config) -> None:
    """Raise InputError for settings that need complete items."""
    if not spec.codec.gaps:
        return
    complete: dict[str, Any] = {
        "coupling": config.train.coupling != "independent" and config.train.coupling,
        "learned_variance": config.process.learned_variance,
        "latent": config.latent.latent,
        "augment": config.data.augment,
        "method": config.distil.method,
        "objective": spec.codec.gaps == "random" and config.train.energy is not None and config.train.objective,
    }
    for name, value in complete.items():
        if value:
            raise InputError(f"{option(name, value)} needs complete items, and values are missing: leave it out")
    target = config.process.target
    if spec.codec.gaps == "random" and target in ("eps", "score"):
        raise InputError(
            f"values that are missing at random are sampled in training, which begins at pure noise, where the target "
            f"{target} says nothing of x_0: give {option('target', 'v')}"
        )


def _spec_of_network(net: nn.Module, spec: DataSpec, config: Config) -> DataSpec:
    """Return the description of the data to a network: without labels for one that takes none.

    Raises:
        InputError: If it lacks an argument for a condition, or the augmentation does not fit the conditions.
    """
    augment = config.data.augment
    described = spec if nets.takes(net, "labels") else spec.without_label()
    for name in map(argument_name, described.further):
        if not nets.takes(net, name):
            raise InputError(
                f"the network takes no argument {name}: add it to forward, as in forward(x, index, {name}), or "
                f"leave this condition out ({option('given')})"
            )
    if augment and augmentation.NAME in described.further:
        raise InputError(
            f"{augmentation.NAME} is the condition of {option('augment', augment)}: give yours another name, as in "
            f"{option('given', 'other=augment')}"
        )
    images = [name for name, kind in spec.further.items() if kind.on_grid and not kind.made_by]
    if augment and spec.autoencoder is not None and images:
        raise InputError(
            f"{option('augment', augment)} transforms the pixels of items, and {images[0]} is brought to the grid of "
            "their latents: leave one of the two out"
        )
    if augment and not nets.takes(net, augmentation.NAME):
        raise InputError(
            f"the forward method of the network takes no {augmentation.NAME}=None, the numbers that say how an "
            f"item was transformed: add that argument, or leave {option('augment')} out"
        )
    return described


@dataclasses.dataclass
class Monitors:
    """What is measured while training, of the averaged weights. What it remembers of earlier steps is saved."""

    validation: Validation | None = None
    distance: SampleDistance | None = None

    def items(self) -> Iterator[tuple[str, Validation | SampleDistance]]:
        """Iterate over what is measured, with the prefix of its tensors."""
        if self.validation is not None:
            yield "validation.", self.validation
        if self.distance is not None:
            yield "distance.", self.distance

    def reset(self) -> None:
        """Forget the steps before."""
        for _, watched in self.items():
            for value in watched.state.values():
                value.zero_()


class TrainingState:
    """A denoiser in training, the averages of its weights, its optimiser, its objective and its step.

    It begins at step 0, with random weights that follow from the seed, or those of the parts. What validation and
    measured distances remember of earlier steps is a part of the state.

    Raises:
        InputError: If the parts or the weights do not fit.
    """

    def __init__(
        self,
        config: Config,
        spec: DataSpec,
        parts: CustomParts,
        distributed: Distributed,
        monitors: Monitors | None = None,
    ) -> None:
        self.parts, self.distributed, self.monitors = parts, distributed, monitors or Monitors()
        self.step, self.guard, self.spec = 0, DivergenceGuard(distributed.device), spec
        if parts.net is None:
            _check_memory(config, spec, distributed)
        self.denoiser = self._build(config, config.train.seed)
        self.net = self.denoiser.net
        self.by_time = LossByTime(self.denoiser.schedule.steps)
        if parts.weights is not None:
            try:
                self.net.load_state_dict(parts.weights)
            except RuntimeError:
                raise InputError("the weights that the run starts from do not fit its network") from None
        self.takes_keys = nets.takes(self.net, "keys")
        self.spec = _spec_of_network(self.net, spec, config)
        if dataclasses.replace(parts, objective=None, metric=None, weights=None) != CustomParts():
            custom_parts.check_network(self.denoiser, self.spec, distributed, bool(config.data.augment))
        self.objective = self._objective(config)
        self.objective_parameters = self.objective.trainable
        """The parameters of the objective itself, by name."""
        self._place_objective()
        if config.runtime.checkpointing:
            checkpoint_blocks(self.net)
        if config.runtime.compile:
            compile_network(self.net, config.runtime.compile)
        self.denoiser.net = distributed.wrap(self.net)
        self.parameters = list(self.net.parameters())
        self.trained = [*self.parameters, *self.objective_parameters.values()]
        """All parameters that the gradient is of."""
        self.ema = EMA(self.parameters, config.train.ema)
        self.pair_bytes = 2 * sum(parameter.numel() * parameter.element_size() for parameter in self.parameters)
        """The size of a snapshot: two copies of the weights."""
        self.pairs = default_pairs(self.pair_bytes) if config.runtime.snapshots is None else config.runtime.snapshots
        """The largest number of snapshots of the power-function averages; 0 for none."""
        lengths = zip(PREFIXES, LENGTHS, strict=True) if self.pairs else ()
        self.powers: dict[str, Average] = {prefix: PowerAverage(self.parameters, length) for prefix, length in lengths}
        """The power-function averages by the prefix of their tensors: none in a run that was begun without them."""
        self.optimiser = self._optimiser(config)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        """The learning rate of each parameter group at a factor of 1."""
        self.averaged = self._averaged(config) if self.objective.reads_average else None
        """The denoiser with the averaged weights, for objectives that read them."""
        self.monitors.reset()

    def _build(self, config: Config, seed: int = 0) -> Diffusion:
        with pytorch_generator(seed):
            return model.build(config, self.spec, self.parts).to(self.distributed.device)

    def _objective(self, config: Config) -> Objective:
        with pytorch_generator(config.train.seed):  # parameters of a custom objective may begin at random
            if self.parts.objective is None:
                return objectives.from_config(config, self.denoiser, self.spec)
            return custom_parts.call_objective(self.parts.objective, self.denoiser)

    def _place_objective(self) -> None:
        """Bring the objective's parameters to the device. Raises InputError if it cannot be trained on."""
        for parameter in self.objective_parameters.values():
            parameter.data = parameter.data.to(self.distributed.device)
        if self.distributed.shard and (self.objective_parameters or self.objective.reads_average):
            raise InputError(
                f"an objective with parameters, or that reads the averaged weights, is not distributed; leave "
                f"{option('shard')} out"
            )
        if self.parts.objective is not None:
            custom_parts.check_objective(self.objective, self.denoiser, self.spec, self.distributed)

    def _optimiser(self, config: Config) -> Optimizer:
        if self.parts.optimiser is not None:
            return custom_parts.call_optimiser(self.parts.optimiser, [p for p in self.trained if p.requires_grad])
        more = list(self.objective_parameters.values())
        optimiser = make_optimiser(self.net, config.train.optimiser, self.distributed, more)
        set_learning_rate(optimiser, config.train.lr or 0.0)
        return optimiser

    def _averaged(self, config: Config) -> Diffusion:
        averaged = self._build(config).requires_grad_(False).eval()
        for parameter, average in zip(averaged.net.parameters(), self.ema.weights, strict=True):
            parameter.data = average  # one memory, so it follows every update
        return averaged

    @property
    def save_bytes(self) -> int:
        """The size of a checkpoint (weights, averages and the optimiser's two moments) and a model file."""
        return self.pair_bytes // 2 * (COPIES_IN_FILES + len(self.powers))

    def model(self, config: Config) -> Model:
        """Copy the denoiser with the averaged weights, as it would be saved now. All processes take part."""
        denoiser, values = self._build(config).requires_grad_(False), dict(self.net.named_buffers())
        for (name, _), average in zip(self.net.named_parameters(), self.ema.weights, strict=True):
            values[name] = self.distributed.full(average)
        for name, tensor in [*denoiser.net.named_parameters(), *denoiser.net.named_buffers()]:
            tensor.copy_(values[name])
        return Model(denoiser, self.spec, config, self.step)

    # -- as tensors and numbers, and back -----------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Collect the state by name, on the CPU, in memory of its own. All processes take part."""
        tensors: dict[str, Tensor] = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"objective.{name}": value for name, value in self.objective_parameters.items()}
        for prefix, name, parameter in self._moments():
            for key, value in self.optimiser.state[parameter].items():
                if isinstance(value, Tensor):
                    tensors[f"{prefix}.{key}.{name}"] = value
        tensors = {name: _copied(self.distributed.full(value)) for name, value in tensors.items()}
        tensors |= self.average_tensors({"ema.": self.ema, **self.powers})
        tensors |= {f"times.{name}": value.clone() for name, value in self.objective.state.items()}
        for prefix, monitor in self.monitors.items():
            tensors |= {f"{prefix}{name}": value.clone() for name, value in monitor.state.items()}
        return tensors | {f"scaler.{name}": value for name, value in self.distributed.scale.items()}

    def average_tensors(self, averages: Mapping[str, Average]) -> dict[str, Tensor]:
        """Copy averages to the CPU, by their prefixes and parameter names. All processes take part."""
        return {
            f"{prefix}{name}": _copied(self.distributed.full(weight))
            for prefix, average in averages.items()
            for (name, _), weight in zip(self.net.named_parameters(), average.weights, strict=True)
        }

    def numbers(self) -> dict[str, Any]:
        """Collect what is no tensor, as JSON can hold it: of guard, loss by time, and a custom optimiser.

        Raises InputError if the optimiser keeps something that no checkpoint could hold.
        """
        numbers: dict[str, Any] = {"guard": self.guard.state, "loss by time": self.by_time.state}
        if self.parts.optimiser is None:
            return numbers
        groups = [
            {key: value for key, value in group.items() if type(value) in NUMBERS}
            for group in self.optimiser.param_groups
        ]
        state: dict[str, dict[str, Any]] = {}
        for prefix, name, parameter in self._moments():
            rest = {k: value for k, value in self.optimiser.state[parameter].items() if not isinstance(value, Tensor)}
            for key, value in rest.items():
                if type(value) not in NUMBERS:
                    raise InputError(
                        f"the optimiser keeps a {type(value).__name__} as {key!r}, which no checkpoint can hold"
                    )
            state[f"{prefix}.{name}"] = rest
        optimiser = {"kind": type(self.optimiser).__name__, "groups": groups, "state": state}
        return numbers | {"optimiser": optimiser}

    def _moments(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """The prefix of the moments, the name and the parameter: of the network, then of the objective."""
        yield from (("adam", name, parameter) for name, parameter in self.net.named_parameters())
        yield from (("objective-adam", name, parameter) for name, parameter in self.objective_parameters.items())

    def restore(self, step: int, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take up what `tensors` and `numbers` returned after a step.

        Raises:
            InputError: If it is of an optimiser of another class.
            KeyError, RuntimeError, TypeError, ValueError: If it is of another network, objective or optimiser.
        """
        kind = type(self.optimiser).__name__
        optimiser = numbers["optimiser"] if self.parts.optimiser is not None else None
        if optimiser is not None and optimiser["kind"] != kind:
            raise InputError(
                f"the run was trained with the optimiser {optimiser['kind']}, so it cannot go on with {kind}; give "
                f"{optimiser['kind']} again, or start a new run with {option('out')}"
            )
        if not any(name.startswith(PREFIXES) for name in tensors):  # the averages cannot begin in the middle
            self.powers = {}
        self._restore_weights(tensors)
        self._restore_optimiser(tensors, optimiser)
        for name, value in self.objective.state.items():
            value.copy_(tensors[f"times.{name}"])
        for prefix, monitor in self.monitors.items():
            monitor.restore(_named(tensors, prefix))
        self.distributed.scale = _named(tensors, "scaler.")
        self.guard.restore(numbers["guard"])
        self.by_time.restore(numbers["loss by time"])
        self.step = step

    def _restore_weights(self, tensors: Mapping[str, Tensor]) -> None:
        weights = self.net.state_dict()
        if (weights.keys(), self.objective_parameters.keys()) != (
            _named(tensors, "net.").keys(),
            _named(tensors, "objective.").keys(),
        ):
            raise KeyError("the network or the objective has other weights")
        for name, parameter in self.objective_parameters.items():
            parameter.data.copy_(_same_shape(tensors[f"objective.{name}"], parameter))
        for name, value in weights.items():
            value.copy_(self.distributed.like(value, _same_shape(tensors[f"net.{name}"], value)))
        for prefix, average in {"ema.": self.ema, **self.powers}.items():
            for (name, parameter), weight in zip(self.net.named_parameters(), average.weights, strict=True):
                weight.copy_(self.distributed.like(parameter, _same_shape(tensors[f"{prefix}{name}"], parameter)))

    def _restore_optimiser(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any] | None) -> None:
        places = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        order = {id(parameter): place for place, parameter in enumerate(places)}
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(("adam.", "objective-adam.")):
                prefix, part, name = key.split(".", 2)
                moments.setdefault(f"{prefix}.{name}", {})[part] = value
        state: dict[int, dict[str, Any]] = {}
        for prefix, name, parameter in self._moments():
            moment_name = f"{prefix}.{name}"
            values: dict[str, Any] = {
                key: self.distributed.like(parameter, value) if value.shape == parameter.shape else value.clone()
                for key, value in moments.get(moment_name, {}).items()
            }
            if numbers is not None:
                values |= numbers["state"][moment_name]
            if values:
                state[order[id(parameter)]] = values
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        if numbers is not None:
            for group, values in zip(self.optimiser.param_groups, numbers["groups"], strict=True):
                group.update(values)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with a prefix, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _copied(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, in memory of its own: training goes on while it is written."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _same_shape(saved: Tensor, current: Tensor) -> Tensor:
    if saved.shape != current.shape:
        raise ValueError("a weight has another shape")
    return saved
