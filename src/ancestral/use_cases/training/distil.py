"""Distillation: a training run that starts from a model, and makes one that samples in few network evaluations."""

import dataclasses
from pathlib import Path
from typing import Any

from ancestral import config as configs
from ancestral.base import hub
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import DEFAULT_DISTILLATION
from ancestral.config import Config, DistilConfig
from ancestral.declarations import Distil, Train
from ancestral.model import Model, load
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.training import RunFolder
from ancestral.use_cases.training import plan_training
from ancestral.use_cases.training.fine_tuning import described
from ancestral.use_cases.training.plan_training import TrainPlan
from ancestral.use_cases.training.train import run

__all__ = ["plan", "run"]

MAX_GAIN = 10.0
"""Largest factor by which x̂_0 of a custom target may depend on the network's answer."""


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
    return configs.distilled(described(run)[0], method, stages, evaluations)


def plan(options: Distil) -> TrainPlan:
    """Decide a training run that distils a model.

    Raises:
        InputError: If the model cannot be distilled, or options do not fit.
    """
    if "weighting" in options.settings:
        raise InputError(f"the methods of distillation have weights of their own: leave {option('weighting')} out")
    source, method = options.run, options.method or DEFAULT_DISTILLATION
    folder = Path("runs") / f"{_title(source)}-{method}" if options.out is None else Path(options.out)
    saved = RunFolder(folder).config_to_resume(options.resume)
    base = saved or distil_config(source, method, options.stages, options.evaluations)
    settings = {name: getattr(options, name) for name in ("method", "stages", "evaluations")}
    distil = dataclasses.replace(base.distil, **{name: value for name, value in settings.items() if value is not None})
    if saved is not None:
        _check_resumed(saved, distil, folder)
    elif options.data is None and base.data.source == configs.FROM_PYTHON:
        raise InputError(
            f"the data of this model were given from Python: give them, distil(..., {option('data', '...')})"
        )
    _check_target(options.settings.get("target"), base)
    schedule, target = (options.settings.get(name) for name in ("schedule", "target"))
    if isinstance(target, Target):
        tables = schedule if isinstance(schedule, Schedule) else None
        teacher: Any = source
        if not isinstance(source, Model):
            teacher = load(source, "cpu", net=options.net, schedule=tables, target=target)
        _check_gain(teacher)
    return plan_training.plan(
        Train(
            config=dataclasses.replace(base, distil=distil),
            data=options.data,
            out=folder,
            resume=options.resume,
            initial=source if isinstance(source, Model) or hub.is_address(source) else str(Path(source).resolve()),
            device=options.device,
            net=options.net,
            settings=options.settings,
        )
    )


def _title(run: Model | str | Path) -> str:
    """The name of the run or the repository of a model."""
    source = run.file if isinstance(run, Model) else Path(run)
    if source is None:
        return described(run)[0].title
    return (source.parent if source.suffix else source).resolve().name


def _check_resumed(saved: Config, distil: DistilConfig, folder: Path) -> None:
    """Raise InputError if a run that is resumed is no distillation, or another one."""
    before = saved.distil
    if not before.method:
        raise InputError(f"{folder} holds a run that is no distillation; give {option('out')} another name")
    if distil != before:
        holds = f"{before.method}, {before.stages} stages, {before.evaluations} evaluations"
        raise InputError(
            f"{folder} holds another distillation ({holds}); leave {option('method')}, {option('stages')} and "
            f"{option('evaluations')} as they were, or give {option('out')} another name"
        )


def _check_target(target: object, base: Config) -> None:
    """Raise InputError for the name of another target than the one that the method needs."""
    if isinstance(target, str) and target != base.process.target:
        raise InputError(
            f"this distillation trains the target {base.process.target}, not {target}: leave {option('target')} out"
        )


def _check_gain(model: Model) -> None:
    """Raise InputError for a custom target whose x̂_0 is ill-conditioned at high noise."""
    target, schedule = model.diffusion.target, model.denoiser.schedule
    a, b = schedule.at(schedule.steps)
    gain = abs(float(b / target.determinant(a, b)))
    if gain > MAX_GAIN:
        raise InputError(
            f"at t = T the target {target.name} multiplies the network's errors by {gain:.3g} in x_0, which ruins "
            "samples of few evaluations; distil a model with another target (v, x0, flow or edm)"
        )
