"""Training objectives: what a training step minimises.

`Denoising` is L_simple. `Clipped`, `Weighted` and `Hybrid` wrap it, or one another; all parts of a loss share one
forward pass of the network. `OptimalTransport` wraps an objective too, and pairs noise with samples.
`ConsistencyTuning` and `ProgressiveDistillation` make a model that samples in few network evaluations. A time
distribution says how t is drawn. `from_config` makes the objective of a training run. Losses are differentiable in the
answer of the network, and so in its parameters; what an objective takes for its goal is detached.
"""

from functools import partial
from typing import Any

import torch.nn.functional as F

from ancestral.base.arguments import checked
from ancestral.base.errors import InputError
from ancestral.base.registries import COUPLINGS, DISTILLATIONS, OBJECTIVES, Entry, TimesName, WeightingName
from ancestral.objectives.coupling import OptimalTransport
from ancestral.objectives.distillation import ConsistencyTuning, ProgressiveDistillation, Stages
from ancestral.objectives.energy_score import EnergyScore
from ancestral.objectives.objective import ClippedLoss as Clipped
from ancestral.objectives.objective import (
    Completed,
    Denoising,
    ForwardPass,
    Hybrid,
    Objective,
    ObjectiveWrapper,
    OfCells,
    Weighted,
    positions,
)
from ancestral.objectives.times import TimeDistribution, time_distribution
from ancestral.objectives.weightings import loss_weights
from ancestral.schedules import Schedule
from ancestral.targets import Target

__all__ = [
    "Clipped",
    "Completed",
    "ConsistencyTuning",
    "Denoising",
    "EnergyScore",
    "ForwardPass",
    "Hybrid",
    "Objective",
    "OfCells",
    "OptimalTransport",
    "ProgressiveDistillation",
    "Stages",
    "Weighted",
    "build",
    "from_config",
    "positions",
    "time_distribution",
]


@checked
def build(
    schedule: Schedule,
    target: Target,
    times: TimesName | TimeDistribution = "uniform",
    weighting: WeightingName = "simple",
    clip: bool = False,
    learned_variance: bool = False,
) -> Objective:
    """Build the objective that a config names; "simple" is L_simple, and a learned variance is trained by L_hybrid.

    Args:
        schedule: The forward process.
        target: What the network predicts.
        times: The distribution of t, or its name for one on the integers 1..T.
        weighting: The weights of the loss.
        clip: Whether the estimate is clipped in the loss.
        learned_variance: Whether the network learns its variance.

    Raises:
        InputError: For an unknown name, continuous times with a learned variance, and a weighting that is not defined
            for the schedule and the target.
    """
    times = time_distribution(times, schedule) if isinstance(times, str) else times
    if times.continuous and learned_variance:
        raise InputError("a learned variance needs steps between integer times, so times cannot be continuous")
    objective: Objective = Denoising(times)
    if clip:
        objective = Clipped(objective)
    if weighting != "simple":
        weights = partial(loss_weights, weighting, schedule, target)
        table = weights()  # refuses a weighting that does not fit
        if schedule.learned and not times.continuous:
            objective = Weighted(objective, lambda t: weights()[t.long()])
        else:
            objective = Weighted(objective, weights if times.continuous else table)
    return Hybrid(objective) if learned_variance else objective


def _coupled(objective: Objective, entry: Entry, options: dict[str, Any]) -> Objective:
    coupled: Objective = entry.make(objective, **options)
    return coupled


def _of_cells(objective: Objective, config: Any, spec: Any) -> Objective:
    """The objective over the cells that are there: what it measures, within all that wraps it."""
    if isinstance(objective, ObjectiveWrapper):
        objective.inner = _of_cells(objective.inner, config, spec)
        objective.reads_average = objective.reads_average or objective.inner.reads_average
        return objective
    weights = None if spec is None else spec.cells(config.data.weights)
    if spec is None or (weights is None and not spec.codec.gaps):
        return objective
    if weights is not None and spec.autoencoder is not None:  # those of what latents cover
        weights = F.interpolate(weights[None, None], spec.x_shape[1:], mode="area")[0, 0]
    if spec.codec.gaps == "random":
        return Completed(objective, weights, config.train.steps // 3)
    return OfCells(objective, weights)


def from_config(config: Any, denoiser: Any, spec: Any = None) -> Objective:
    """Build the objective of a training run.

    Args:
        config: The config of the run, an `ancestral.config.Config`.
        denoiser: The denoiser and module in training; of a run that distils a model, with the weights of the model.
        spec: The description of the data, whose cells may be missing, or of several sizes.

    Raises:
        InputError: As `build`; for an option that the coupling does not have; and if continuous times, or the schedule,
            do not fit a distillation.
    """
    process, train = config.process, config.train
    entry, options = OBJECTIVES.read(train.objective)
    entry.check_options("objective", options)
    if entry.name != "denoising":
        objective: Objective = entry.make(**options)
        objective = _of_cells(objective, config, spec)
        return Clipped(objective) if process.clip else objective
    entry, options = COUPLINGS.read(train.coupling)
    entry.check_options("coupling", options)
    denoising = build(
        denoiser.schedule,
        denoiser.target,
        time_distribution(train.times, denoiser.schedule, train.continuous),
        train.weighting,
        process.clip,
        process.learned_variance,
    )
    denoising = _coupled(_of_cells(denoising, config, spec), entry, options)
    if not config.distil.method:
        return denoising
    method: type[ConsistencyTuning | ProgressiveDistillation] = DISTILLATIONS.find(config.distil.method).load()
    return method.from_config(config, denoising, denoiser)
