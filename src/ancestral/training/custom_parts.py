"""Checks of custom parts: each is evaluated once, so that its errors are found before anything is written."""

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral import augmentation
from ancestral.base.arguments import fits, plain
from ancestral.base.errors import InputError
from ancestral.base.plugins import explained
from ancestral.data import DataSpec
from ancestral.data.spec import inputs
from ancestral.diffusion import Diffusion
from ancestral.objectives import Objective
from ancestral.randomness import pytorch_generator
from ancestral.training.distributed import Distributed


def check_network(denoiser: Diffusion, spec: DataSpec, distributed: Distributed, augmented: bool = False) -> None:
    """Raise InputError if the network fails on empty items, cannot be trained, or a prediction is not finite."""
    x, conditions = _two_items(spec, distributed, augmented)
    if not any(parameter.requires_grad for parameter in denoiser.net.parameters()):
        raise InputError("the network has no parameters to train: all are frozen, or there are none")
    with (
        explained(f"the network fails on x of shape {list(x.shape)} and index of shape [2]"),
        torch.no_grad(),
        distributed.autocast(),
        pytorch_generator(0),
    ):
        prediction = denoiser.eval().predict(x, 1, **conditions)
    if not all(bool(estimate.isfinite().all()) for estimate in prediction):
        raise InputError("the untrained network, or the custom target, gives numbers that are not finite")


def answers_at_random(denoiser: Diffusion, spec: DataSpec, distributed: Distributed, augmented: bool = False) -> bool:
    """Tell whether the network, outside of training, draws from PyTorch's generator: two answers to one x differ."""
    x, conditions = _two_items(spec, distributed, augmented)
    training, answers = denoiser.training, []
    with torch.no_grad(), distributed.autocast():
        for seed in (0, 1):
            with pytorch_generator(seed):
                answers.append(denoiser.eval().output(x + 0.5, 1, **conditions))
    denoiser.train(training)
    return not torch.equal(*answers)


def call_objective(make: Callable[[Diffusion], Objective], denoiser: Diffusion) -> Objective:
    """Call a custom function. Raises InputError if it fails or returns something else."""
    with explained("objective(denoiser) failed", "give a function of the denoiser that returns an objective"):
        objective: object = make(denoiser)
    if not isinstance(objective, Objective):
        raise InputError(
            f"objective(denoiser) returned a {type(objective).__name__}, not an instance of a subclass of "
            "ancestral.objectives.Objective"
        )
    return objective


def check_objective(objective: Objective, denoiser: Diffusion, spec: DataSpec, distributed: Distributed) -> None:
    """Raise InputError if an objective fails on empty items, or its errors cannot be trained on."""
    x0, labels = _two_items(spec, distributed)
    averaged = denoiser if objective.reads_average else None
    with (
        explained(f"the objective fails on x0 of shape {list(x0.shape)}"),
        distributed.autocast(),
        pytorch_generator(0),
    ):
        _, losses = objective.losses(denoiser.eval(), x0, step=0, seed=0, indices=[0, 1], averaged=averaged, **labels)
    if losses.shape != (2,):
        raise InputError(
            f"the errors of the objective have the shape {list(losses.shape)} for 2 samples: they should be the loss "
            "of each sample, (B,)"
        )
    if not losses.requires_grad:
        raise InputError(
            "the errors of the objective have no gradient: compute them from forward.answer, without detach() or "
            "no_grad()"
        )


def _two_items(spec: DataSpec, distributed: Distributed, augmented: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    x = torch.zeros(2, *spec.x_shape, device=distributed.device)
    labels = {"labels": torch.zeros(2, dtype=torch.int64, device=x.device)} if spec.classes else {}
    conditions = labels | inputs(spec, torch.zeros(2, *spec.shape, device=x.device), {}, 0, 0, [0, 1])
    if augmented:
        conditions[augmentation.NAME] = augmentation.condition(len(spec.shape) - 1).absent(2).to(x.device)
    return x, conditions


def call_optimiser(make: Callable[[list[nn.Parameter]], Optimizer], parameters: list[nn.Parameter]) -> Optimizer:
    """Call a custom function. Raises InputError unless it returns an optimiser of exactly these parameters."""
    with explained("optimiser(parameters) failed"):
        optimiser = make(parameters)
    if not isinstance(optimiser, Optimizer):
        raise InputError(f"optimiser(parameters) returned a {type(optimiser).__name__}, not a torch.optim.Optimizer")
    try:
        inspect.signature(optimiser.step).bind()
    except TypeError:
        raise InputError(
            f"{type(optimiser).__name__} evaluates the loss several times in a step, by a closure, which training does "
            "not give: choose an optimiser with step() alone, for example torch.optim.AdamW"
        ) from None
    numbers = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    if numbers != {id(parameter) for parameter in parameters}:
        raise InputError(
            f"the optimiser has {len(numbers)} parameters, and should have the {len(parameters)} that it was given; "
            "those that are not to be trained have requires_grad=False"
        )
    return optimiser


def call_lr_schedule(schedule: Callable[[int], float], step: int) -> float:
    """Evaluate a learning-rate schedule. Raises InputError unless it returns a number, 0 or more."""
    with explained(f"lr_schedule({step}) failed", "give a function of the step that returns a factor"):
        factor = plain(schedule(step))
    if not fits(factor, float) or not 0 <= factor < math.inf:
        raise InputError(f"lr_schedule({step}) returned {factor!r}: it should be a number, 0 or more")
    return float(factor)
