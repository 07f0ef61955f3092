"""The description of a model."""

from collections.abc import Generator

from ancestral.base import hub
from ancestral.base.events import Event
from ancestral.declarations import Info
from ancestral.model import find, load
from ancestral.results.model_info import ConditionInfo, ModelInfo
from ancestral.training import RunFolder


def plan(options: Info) -> Info:
    """Return the options: there is nothing to decide."""
    return options


def run(plan: Info) -> Generator[Event, None, ModelInfo]:
    """Describe the model. Raises InputError if there is none."""
    yield from ()
    file = find(plan.run)
    model = load(file, "cpu", net=plan.net)
    config, spec, schedule = model.config, model.spec, model.denoiser.schedule
    return ModelInfo(
        model=str(plan.run if hub.is_address(plan.run) else file),
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
        latents=None if spec.autoencoder is None else f"{config.latent}: {'x'.join(map(str, spec.x_shape))}",
        best=RunFolder(file.parent).best_model(),
        ranges=spec.codec.ranges,
        conditions={name: ConditionInfo.of(kind) for name, kind in spec.further.items()},
    )
