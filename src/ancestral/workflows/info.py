"""The description of a model."""

from collections.abc import Generator
from pathlib import Path

from ancestral import hub
from ancestral.declarations import Info
from ancestral.events import Event
from ancestral.model import Model, find, load
from ancestral.results.model_info import ModelInfo


def plan(options: Info) -> Info:
    """Return the options: there is nothing to decide."""
    return options


def run(plan: Info) -> Generator[Event, None, ModelInfo]:
    """Describe the model. Raises InputError if there is none."""
    yield from ()
    file = find(plan.run)
    return describe(plan.run, file, load(file, "cpu", net=plan.net))


def describe(path: str | Path, file: Path, model: Model) -> ModelInfo:
    """Collect the facts of a model in a file.

    Args:
        path: What the user called it.
        file: The file.
        model: The model.
    """
    config, spec, schedule = model.config, model.spec, model.denoiser.schedule
    return ModelInfo(
        model=str(path if hub.is_address(path) else file),
        version=model.version,
        file_bytes=file.stat().st_size,
        preset=config.preset,
        source=config.data.source,
        step=model.step,
        steps=config.train.steps,
        batch_size=config.train.batch_size or 0,
        seed=config.train.seed,
        shape=spec.shape,
        codec=spec.codec.kind,
        limits=spec.codec.limits,
        classes=spec.classes,
        mean=spec.mean,
        parameters=model.parameters,
        network=str(config.net),
        schedule=schedule.spec.get("name", "custom"),
        timesteps=schedule.steps,
        final_signal=float(schedule.signal[-1]),
        rate=spec.rate,
        target=model.diffusion.target.name,
        clip=config.process.clip,
        initial=config.initial.model or None,
        average=model.average,
        distilled=str(config.distil) if config.distil.method else None,
        sampler=config.sample.sampler,
    )
