"""Distillation: a training run that starts from a model, and makes one that samples in few network evaluations."""

import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

from ancestral import config as configs
from ancestral import hub
from ancestral.arguments import checked
from ancestral.config import Config
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.model import Model, NetSource, describe_file, find, load
from ancestral.results.training_result import TrainingResult
from ancestral.schedules import Schedule
from ancestral.targets import Target
from ancestral.workflows.train import TrainingEvent, saved_config, train

Method = Literal["consistency", "tuning", "progressive"]

DEFAULT_METHOD: Method = "consistency"
MAX_GAIN = 10.0
"""Largest factor by which x̂_0 of a target of your own may depend on the network's answer."""


def distil_config(
    run: Model | str | Path, method: str = DEFAULT_METHOD, stages: int | None = None, evaluations: int | None = None
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
    return Path("runs") / f"{name}-{method or DEFAULT_METHOD}"


@checked
def distil(
    run: Model | str | Path,
    data: Any = None,
    *,
    out: str | Path | None = None,
    method: Method | None = None,
    stages: int | None = None,
    evaluations: int | None = None,
    resume: bool = False,
    config: Config | None = None,
    device: str = "auto",
    net: NetSource | None = None,
    schedule: Schedule | None = None,
    target: Target | None = None,
    **settings: Any,
) -> Generator[TrainingEvent, None, TrainingResult[Model]]:
    """Distil a model, in a run folder of its own.

    Args:
        run: A model, or the run folder, model file or hf:// address of one.
        data: What to train on; None is what the model was trained on. See `workflows.train.train`.
        out: The run folder; None is runs/, the name of the model's run or repository, and the method.
        method: "consistency", "tuning" (consistency without a teacher) or "progressive"; see `config.distilled`. None
            is "consistency", or what the run that is resumed has.
        stages: The number of stages; None is the method's.
        evaluations: The number of network evaluations of the default sampler, and of the last stage of progressive
            distillation; None is 2.
        resume: Whether to resume the run in the folder; without one, start it.
        config: The config of the run; None is that of `distil_config`, or of the run that is resumed.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        net: The network of your own that the model was trained with.
        schedule: Its schedule, if it is of your own.
        target: Its target, if it is of your own.
        settings: Settings by name in place of the config's, for example steps=500 or lr=5e-4.

    Yields:
        Messages, and the progress after each step.

    Returns:
        The result, with the model.

    Raises:
        InputError: If the model cannot be distilled, the data do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    folder = Path(out) if out is not None else distil_folder(run, method)
    saved = saved_config(folder) if resume else None
    chosen = config or saved or distil_config(run, method or DEFAULT_METHOD, stages, evaluations)
    given: dict[str, Any] = {"method": method, "stages": stages, "evaluations": evaluations}
    asked = dataclasses.replace(chosen.distil, **{name: value for name, value in given.items() if value is not None})
    if saved is not None and not saved.distil.method:
        raise InputError(f"{folder} holds a run that is no distillation; give --out another name")
    if not asked.method:
        raise InputError("this config is not one of a distillation: take that of workflows.distil.distil_config")
    if "initial" in settings:
        raise InputError("the model that a distillation starts from is its first argument; leave initial out")
    if saved is not None and asked != saved.distil:
        before = saved.distil
        holds = f"{before.method}, {before.stages} stages, {before.evaluations} evaluations"
        raise InputError(
            f"{folder} holds another distillation ({holds}); leave --method, --stages and --evaluations as they were, "
            "or give --out another name"
        )
    if saved is None and data is None and chosen.data.source == configs.FROM_PYTHON:
        raise InputError("the data of this model were given from Python: give them, distil(..., data=...)")
    if target is not None:
        model = run if isinstance(run, Model) else load(run, "cpu", net=net, schedule=schedule, target=target)
        _check_gain(model.diffusion)
    start = run if isinstance(run, Model) or hub.is_address(run) else str(Path(run).resolve())
    return (
        yield from train(
            dataclasses.replace(chosen, distil=asked),
            data,
            out=folder,
            resume=resume,
            initial=start,
            device=device,
            net=net,
            schedule=schedule,
            target=target,
            **settings,
        )
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
