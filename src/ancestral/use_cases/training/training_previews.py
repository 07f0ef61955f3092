"""Previews of a training run: grids of samples from the averaged weights, and film strips of their states."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral import __version__
from ancestral import config as configs
from ancestral import model as models
from ancestral.base import storage
from ancestral.base.errors import survived
from ancestral.base.events import Event, Message, finish
from ancestral.config import run_files
from ancestral.config.request import Request
from ancestral.data import DataSpec
from ancestral.model.condition_values import captions
from ancestral.render import compositions, pictures, writers
from ancestral.samplers import Recording, Sampler
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.use_cases.training.training_messages import sampling_command

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

from ancestral.training.training_samples import Examples, SharedSampling, examples_of, sampler_of_run

PREVIEW_STEPS, LAST_PREVIEW_STEPS = 30, 100
"""Largest numbers of sampling steps of the previews during training, and of the last one."""
PREVIEW_TILES, PREVIEW_POINTS = 64, 1000
"""About the number of tiles of a preview: samples, and what stands beside them; the number of points."""
HEARD_SAMPLES, PAUSE_SECONDS = 8, 0.25
"""Number of the recordings of a preview that can be heard, and the silence after each."""
PREVIEW_FILM_ITEMS = 4
"""Number of items of the report's film strip; points are one cloud."""


@dataclass(frozen=True)
class Preview:
    """A preview of a step.

    Attributes:
        step: The step.
        last: Whether it is the last step of the run.
        grid: Samples between the conditions of the examples and the true items; None if the run was asked to stop.
        film: States of the reverse process of a few of them.
    """

    step: int
    last: bool
    grid: "PillowImage | None" = None
    film: "PillowImage | None" = None


def previewed(
    steps: Iterator[Progress], trainer: Trainer, folder: RunFolder
) -> Generator[Event | Progress | Preview, None, None]:
    """Sample a preview after each step where one is due, and one that a process which was killed did not finish.

    All processes take part; the first one writes the grids.
    """
    given, train, problems = Examples(), trainer.ending_config.train, list[str]()
    with survived("read the items whose conditions previews have", problems):
        given = examples(trainer, _size(trainer.spec)[0])
    yield from map(Message, problems)
    if lacks_preview(trainer, folder):
        yield from _preview(trainer, folder, given)
    for progress in steps:
        yield progress
        last = progress.step == progress.steps
        if last or (train.previews(progress.step) and not progress.interrupted):
            yield from _preview(trainer, folder, given)


def lacks_preview(trainer: Trainer, folder: RunFolder) -> bool:
    """Tell whether there should be a preview of this step, and is none. All processes take part."""
    step, train, lacks = trainer.step, trainer.ending_config.train, False
    if step > 0 and (train.previews(step) or step >= train.steps) and trainer.distributed.main:
        with contextlib.suppress(OSError):  # it cannot be written either
            lacks = not folder.grid(step).exists()
    return bool(trainer.distributed.total(torch.tensor([float(lacks)]))[0])


def _size(spec: DataSpec) -> tuple[int, int]:
    """The numbers of samples and of columns of a preview, whose samples and what stands beside them are tiles."""
    conditions = spec.further
    tiles = 2 + sum(kind.on_grid for kind in conditions.values()) if conditions else 1
    count = PREVIEW_TILES // tiles
    columns = pictures.grid_columns(
        count, pictures.shown_shape(spec), 1 if conditions else len(spec.classes) or 1, tiles
    )
    return PREVIEW_POINTS if len(spec.shape) == 1 else columns * -(-count // columns), columns


def _preview(trainer: Trainer, folder: RunFolder, given: Examples) -> Generator[Event | Preview, None, None]:
    """Sample a preview, and write its grid. All processes take part."""
    step, last, problems = trainer.step, trainer.step >= trainer.last_step, list[str]()
    preview = Preview(step, last)
    with survived(f"draw the samples of step {step}", problems):
        n, _ = _size(trainer.spec)
        max_steps = trainer.config.sample.preview_steps or (LAST_PREVIEW_STEPS if last else PREVIEW_STEPS)
        followed = n if len(trainer.spec.shape) == 1 else PREVIEW_FILM_ITEMS
        sampling = sample_preview(trainer, n, max_steps, followed, given)
        recording = (yield from sampling) if trainer.distributed.main else finish(sampling)
        if recording is not None and trainer.distributed.main:  # it is None if the run was asked to stop
            preview = Preview(step, last, *_pictures(trainer, recording, given))
            sampler = models.sampler_name(preview_sampler(trainer, max_steps))
            _write(trainer, folder, given, preview, recording.samples, sampler)
    if trainer.distributed.main:
        yield from map(Message, problems)
        yield preview
        if preview.grid is not None and step == configs.EARLY[0] and not last:
            yield from _shown(trainer, folder)


def _write(
    trainer: Trainer, folder: RunFolder, given: Examples, preview: Preview, samples: Tensor, sampler: str
) -> None:
    """Write the grid of a preview, with the recipe of its samples, and what stands beside it."""
    assert preview.grid is not None
    described = {name: value.refs for name, value in given.values.items()}
    recipe = Request(
        model="",
        version=__version__,
        seed=0,
        n=len(samples),
        sampler=sampler,
        guidance=1.0,
        label=given.label,
        given=described,
        step=preview.step,
        run=trainer.config.identity(),
    )
    writers.write_picture(folder.grid(preview.step), preview.grid, recipe.to_json())
    _write_beside(folder.grid(preview.step), samples, trainer.spec)
    if given.images and not (conditions := folder.samples / run_files.CONDITIONS).exists():
        writers.write_arrays(conditions, {name: rows.numpy() for name, rows in given.images.items()})


def _shown(trainer: Trainer, folder: RunFolder) -> Iterator[Message]:
    """Say where the first samples are, and how to draw more."""
    with survived("describe the first samples", []):
        if folder.grid(trainer.step).exists() and folder.model_step() == trainer.step:
            command = sampling_command(trainer, folder)
            yield Message(f"First samples: {folder.grid(trainer.step)}; more, in another terminal:  {command}")


def _write_beside(grid: Path, samples: Tensor, spec: DataSpec) -> None:
    """Write what a grid does not show: some recordings one after another, or one volume."""
    if spec.rate is not None:
        pause = samples.new_zeros(samples.shape[1], round(PAUSE_SECONDS * spec.rate))
        parts = [part for sample in samples[:HEARD_SAMPLES] for part in (sample, pause)]
        with storage.atomic(grid.with_suffix(".wav")) as temporary:
            temporary.write_bytes(writers.wav_bytes(torch.cat(parts, 1), spec.rate))
    elif len(spec.shape) == 4:
        writers.write_array(grid.with_suffix(".npz"), samples[:1], None)


def _pictures(trainer: Trainer, recording: Recording, given: Examples) -> tuple["PillowImage", "PillowImage"]:
    """Draw the grid of a preview, and the film strip of the items whose states were recorded."""
    spec, n = trainer.spec, len(recording.samples)
    labels, limits = given.label or spec.classes, spec.limits
    names = captions(given.values, range(n), [labels[i % len(labels)] for i in range(n)] if labels else None)
    after = [] if given.items is None else [pictures.ContextColumn(pictures.TRUTH_TITLE, given.items.items, limits)]
    context = pictures.ContextColumns(compositions.condition_columns(given.values, range(n), limits), after).at(
        range(n)
    )
    grid = pictures.picture(recording.samples, _size(spec)[1], 500, limits, names, context)
    grid = pictures.with_legend(grid, limits)
    followed = trainer.distributed.positions(n)
    texts = [names[i] for i in followed] if names else []
    film = compositions.film(recording.states, limits=limits, captions=texts, context=context.at(followed))
    return grid, film


def examples(trainer: Trainer, n: int) -> Examples:
    """Choose at most n items for all previews of a run, held-out ones if there are some."""
    return examples_of(trainer.held_out or trainer.dataset, trainer.spec, n)


def preview_sampler(trainer: Trainer, max_steps: int) -> Sampler:
    """Choose the run's own sampler, with at most `max_steps` steps."""
    return sampler_of_run(trainer.config, trainer.denoiser, max_steps)


def sample_preview(
    trainer: Trainer, n: int, max_steps: int, followed: int = 0, given: Examples | None = None
) -> Generator[Event, None, Recording | None]:
    """Sample as `SharedSampling` does, from the averaged weights of a run."""
    sampler = preview_sampler(trainer, max_steps)
    sampling = SharedSampling(trainer.model(), sampler, trainer.distributed, given or Examples())
    return sampling.sample(n, lambda: trainer.stopping, followed)
