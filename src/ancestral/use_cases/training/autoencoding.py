"""The first phase of a run in a latent space: its autoencoder is trained, as any run is, in a folder of the run.

The folder `autoencoder` of the run folder holds a config, checkpoints, a log and a model file. So the phase is resumed
as exactly as any other run. An autoencoder that is taken from another run is written there too.
"""

import contextlib
import dataclasses
import time
from collections.abc import Generator
from typing import Any

from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import InputError, survived
from ancestral.base.events import Event, Message, Work
from ancestral.base.options import option
from ancestral.config import AUTOENCODER, Config, CustomNetConfig
from ancestral.config.run_files import AUTOENCODER_FOLDER
from ancestral.data import Dataset
from ancestral.measure.sample_quality import MOST_RECONSTRUCTED, reconstruction_quality
from ancestral.model import CustomParts, Model, build_autoencoder, load_autoencoder, same_autoencoder
from ancestral.model.building import assemble
from ancestral.nets.autoencoder import Autoencoder
from ancestral.objectives.reconstruction import Reconstruction
from ancestral.render import pictures, writers
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.signals import stop_on_signals
from ancestral.training.trackers import Trackers
from ancestral.use_cases.training.run_report import logged

WINDOW = 64
"""Side of the windows of images on which an autoencoder is trained: its layers see no further."""
WINDOWS_IN_STEP = 16
"""Number of windows in a step."""
SAVE_EVERY = 250
"""Number of steps between two checkpoints."""
PICTURE_WINDOWS = 24
"""Number of items in the picture of reconstructions."""


def autoencoder_config(config: Config) -> Config:
    """Return the config of the run that trains the autoencoder of a run."""
    assert config.latent.latent is not None
    data = dataclasses.replace(config.data, class_labels=False, balance=False, given=None, augment=0.0, validation=None)
    train = dataclasses.replace(
        configs.preset("digits").train,
        steps=config.latent.latent_steps,
        batch_size=WINDOWS_IN_STEP,
        save_every=SAVE_EVERY,
        sample_every=config.latent.latent_steps,
        seed=config.train.seed,
        precision=config.train.precision,
    )
    runtime = dataclasses.replace(
        config.runtime,
        micro_batch=None,
        shard=False,
        compile=False,
        checkpointing=False,
        keep_every=0,
        snapshots=0,
        trackers=("none",),
    )
    parts: dict[str, Any] = {"train": train, "runtime": runtime, "latent": config.latent, "run": config.run}
    return Config(AUTOENCODER, data, CustomNetConfig(), **parts)


def windows(dataset: Dataset, factor: int) -> Dataset:
    """Return the items that an autoencoder is trained on: windows of images, and all other items as they are."""
    dataset = dataset.with_conditions({}, {})
    side = max(WINDOW, 8 * factor)
    if len(dataset.shape) != 3 or max(dataset.shape[1:]) <= side:
        return dataset
    return dataset.windows([min(side, one) for one in dataset.shape[1:]])


def prepare_autoencoder(trainer: Trainer, folder: RunFolder, taken: Autoencoder | None) -> Generator[Event, None, bool]:
    """Give a trainer in a latent space its trained autoencoder: that of its folder, one that is taken, or a new one.

    All processes take part.

    Args:
        trainer: The trainer, whose autoencoder is untrained.
        folder: The run folder.
        taken: The autoencoder of another run; None trains one, or reads that of the folder.

    Returns:
        Whether it is trained; False if the run was asked to stop meanwhile, and saved.

    Raises:
        InputError: If the autoencoder in the run folder is another one.
        OSError: If it cannot be saved.
    """
    autoencoder, distributed = trainer.spec.autoencoder, trainer.distributed
    assert autoencoder is not None
    place, steps = RunFolder(folder.path / AUTOENCODER_FOLDER), trainer.config.latent.latent_steps
    distributed.wait()
    if place.model_step() == steps:
        saved, _ = load_autoencoder(place.model)
        if taken is not None and not same_autoencoder(saved, taken):
            raise InputError(
                f"{folder.path} was trained with another autoencoder: leave {option('latent')} out, or give "
                f"{option('out')} another name"
            )
        autoencoder.load_state_dict(saved.state_dict())
        return True
    if taken is None and trainer.step:  # its folder is gone, and the model file has a copy
        taken, _ = load_autoencoder(folder.model)
    if taken is not None:
        autoencoder.load_state_dict(taken.state_dict())
        if distributed.main:
            write_autoencoder(trainer, place, steps)
    elif not (yield from _train(trainer, place, autoencoder)):
        return False
    yield from distributed.first(_measured(trainer, place, folder))
    return True


def write_autoencoder(trainer: Trainer, place: RunFolder, steps: int) -> None:
    """Write the autoencoder of a trainer as the model file of the run that trains such a one."""
    config = autoencoder_config(trainer.config)
    spec = dataclasses.replace(trainer.spec, autoencoder=None, classes=(), conditions={})
    storage.write_text(place.config, config.to_file_text())
    Model(assemble(config, spec, CustomParts(trainer.spec.autoencoder)), spec, config, steps).save(place.model)


def learner_of(trainer: Trainer) -> Trainer:
    """Return the trainer of the autoencoder of a trainer in a latent space, at step 0."""
    config = autoencoder_config(trainer.config)
    if config.train.precision == "auto":  # for a custom network that is fp32
        precision = {"bfloat16": "bf16"}.get(str(trainer.dtype).removeprefix("torch."), "fp32")
        config = config.with_settings(precision=precision)
    assert trainer.spec.autoencoder is not None
    data = windows(trainer.dataset, trainer.spec.autoencoder.factor)
    untrained = build_autoencoder(config.latent, data.spec, config.train.seed).requires_grad_(True)
    return Trainer(config, data, str(trainer.device), CustomParts(untrained, objective=Reconstruction))


def seconds_of_autoencoder(trainer: Trainer) -> float:
    """Measure a gradient of the autoencoder of a trainer, and return the time of all its steps in seconds."""
    with contextlib.closing(learner_of(trainer)) as learner:
        seconds = []
        for _ in range(2):  # the first one is slow
            began = time.perf_counter()
            learner.dry_run()
            seconds.append(time.perf_counter() - began)
        return seconds[-1] * learner.config.train.steps


def _train(trainer: Trainer, place: RunFolder, autoencoder: Autoencoder) -> Generator[Event, None, bool]:
    """Train the autoencoder of a trainer, or train on; return whether the last step was reached."""
    main, learner = trainer.distributed.main, learner_of(trainer)
    config, data, progress = learner.config, learner.dataset, None
    with contextlib.closing(learner), contextlib.ExitStack() as stack:
        if place.holds_run():
            learner.load(place)
            if main:
                place.tidy()
                place.trim_log(learner.step)
        elif main:
            place.begin(learner.config)
        if main:
            stack.enter_context(place.locked())
        learner.distributed.wait()
        parameters = sum(parameter.numel() for parameter in learner.state.parameters)
        if main:
            sides = "x".join(map(str, data.shape[1:]))
            resumed = f", from step {learner.step:,}" if learner.step else ""
            yield Message(
                f"first an autoencoder of {parameters:,} parameters, {config.latent}: {config.train.steps:,} steps of "
                f"{WINDOWS_IN_STEP} windows of {sides}{resumed} -> {place.path.name}"
            )
        T = learner.denoiser.schedule.steps
        logs = Trackers(place, [], T, learner.step) if main else contextlib.nullcontext()
        with stop_on_signals(learner), logs as log, contextlib.closing(learner.run(place)) as steps:
            yield from map(Message, [] if log is None else log.problems)
            for event in steps if log is None else logged(steps, log, config.runtime.log_every):
                if isinstance(event, Progress):
                    progress = event
                    if main:
                        yield Work("training the autoencoder", event.step, event.steps, "steps", part=True)
                        yield from map(Message, event.notes)
                elif isinstance(event, Message):
                    yield event
        if progress is not None and progress.interrupted:
            trainer.preempted = progress.preempted
            yield from [Message(f"Stopped after step {progress.step} of the autoencoder and saved.")] * main
            return False
        autoencoder.load_state_dict(learner.model().diffusion.net.state_dict())  # all processes take part
    return True


def _measured(trainer: Trainer, place: RunFolder, folder: RunFolder) -> Generator[Event, None, None]:
    """Measure the reconstructions of items, held-out ones if there are some, and draw a few."""
    spec, problems = trainer.spec, list[str]()
    with survived("measure the reconstructions of the autoencoder", problems):
        items = (trainer.held_out or trainer.dataset).sample(MOST_RECONSTRUCTED, read=MOST_RECONSTRUCTED)
        quality, made = yield from reconstruction_quality(spec, items.items, trainer.device)
        yield Message(str(quality))
        folder.append_notes(0, [f"the autoencoder, {trainer.config.latent}: {quality}"])
        limits, shown = spec.codec.channel_limits, range(min(PICTURE_WINDOWS, len(made)))
        beside = pictures.ContextColumn("item", items.items, limits).at(shown)
        context = pictures.ContextColumns([beside], name="reconstruction")
        image = pictures.picture(made[: len(shown)], None, 500, limits, (), context)
        writers.write_picture(place.path / "reconstructions.png", image, "")
    yield from map(Message, problems)
