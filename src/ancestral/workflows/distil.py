"""Distillation: a training run that starts from a model, and makes one that samples in few network evaluations."""

import dataclasses
from pathlib import Path

from ancestral import config as configs
from ancestral import hub
from ancestral.config import Config, DistilConfig
from ancestral.declarations import Distil, Train
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model import Model, describe_file, find, load
from ancestral.options import option
from ancestral.registries import DEFAULT_DISTILLATION
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.workflows import plan_training
from ancestral.workflows.plan_training import TrainPlan, saved_config
from ancestral.workflows.train import run

__all__ = ["plan", "run"]

MAX_GAIN = 10.0
"""Largest factor by which x̂_0 of a target of your own may depend on the network's answer."""


def distil_config(
    run: Model | str | Path,
    method: str = DEFAULT_DISTILLATION,
    stages: int | None = None,
    evaluations: int | None = None,
) -> Config:
    """Return the config of a run that distils a model: that of the model, with the settings of the method.

    Raises:
        InputError: If there is no such model or method.
    """
    if isinstance(run, Model):
        config = run.config
    else:
        file = find(run)
        config, _ = describe_file(file)
    return configs.distilled(config, method, stages, evaluations)


def distil_folder(run: Model | str | Path, method: str | None = None) -> Path:
    """Return the run folder where none is given: runs/, the name of the model's run or repository, and the method."""
    source = run.file if isinstance(run, Model) else Path(run)
    if source is None:
        name = distil_config(run).title
    else:
        name = (source.parent if source.suffix else source).resolve().name
    return Path("runs") / f"{name}-{method or DEFAULT_DISTILLATION}"


def plan(options: Distil) -> TrainPlan:
    """Decide a training run that distils a model.

    Raises:
        InputError: If the model cannot be distilled, or options do not fit.
    """
    source = options.run
    folder = distil_folder(source, options.method) if options.out is None else Path(options.out)
    saved = saved_config(folder) if options.resume else None
    base = saved or distil_config(source, options.method or DEFAULT_DISTILLATION, options.stages, options.evaluations)
    given = {name: getattr(options, name) for name in ("method", "stages", "evaluations")}
    wanted = dataclasses.replace(base.distil, **{name: value for name, value in given.items() if value is not None})
    if saved is not None:
        _check_resumed(saved, wanted, folder)
    elif options.data is None and base.data.source == configs.FROM_PYTHON:
        raise InputError(
            f"the data of this model were given from Python: give them, distil(..., {option('data', '...')})"
        )
    schedule, target = (options.settings.get(name) for name in ("schedule", "target"))
    if isinstance(target, Target):
        own = schedule if isinstance(schedule, Schedule) else None
        model = (
            source if isinstance(source, Model) else load(source, "cpu", net=options.net, schedule=own, target=target)
        )
        _check_gain(model.diffusion)
    start = source if isinstance(source, Model) or hub.is_address(source) else str(Path(source).resolve())
    return plan_training.plan(
        Train(
            config=dataclasses.replace(base, distil=wanted),
            data=options.data,
            out=folder,
            resume=options.resume,
            initial=start,
            device=options.device,
            net=options.net,
            settings=options.settings,
        )
    )


def _check_resumed(saved: Config, wanted: DistilConfig, folder: Path) -> None:
    """Raise InputError if a run that is resumed is no distillation, or another one."""
    before = saved.distil
    if not before.method:
        raise InputError(f"{folder} holds a run that is no distillation; give {option('out')} another name")
    if wanted != before:
        holds = f"{before.method}, {before.stages} stages, {before.evaluations} evaluations"
        raise InputError(
            f"{folder} holds another distillation ({holds}); leave {option('method')}, {option('stages')} and "
            f"{option('evaluations')} as they were, or give {option('out')} another name"
        )


def _check_gain(denoiser: Diffusion) -> None:
    """Raise InputError for a target of your own whose x̂_0 is ill-conditioned at high noise."""
    target, (a, b) = denoiser.target, denoiser.schedule.at(denoiser.schedule.steps)
    gain = abs(float(b / target.determinant(a, b)))
    if gain > MAX_GAIN:
        raise InputError(
            f"at t = T the target {target.name} multiplies the network's errors by {gain:.3g} in x_0, which ruins "
            "samples of few evaluations; distil a model with another target (v, x0, flow or edm)"
        )
