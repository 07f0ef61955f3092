"""Previews: grids of samples of a run, with what they are conditioned on."""

from collections.abc import Generator

from ancestral.base.events import Event
from ancestral.samplers import Recording, Sampler
from ancestral.training.trainer import Trainer
from ancestral.training.training_samples import Examples, examples_of, sample_in_training, sampler_of_run


def examples(trainer: Trainer, n: int) -> Examples:
    """Choose at most n items for all previews of a run, held-out ones if there are some."""
    return examples_of(trainer.held_out or trainer.dataset, trainer.spec, n)


def preview_sampler(trainer: Trainer, max_steps: int) -> Sampler:
    """Choose the run's own sampler, with at most `max_steps` steps."""
    return sampler_of_run(trainer.config, trainer.denoiser, max_steps)


def sample_preview(
    trainer: Trainer, n: int, max_steps: int, followed: int = 0, given: Examples | None = None
) -> Generator[Event, None, Recording | None]:
    """Sample as `sample_in_training` does, from the averaged weights of a run."""
    sampler, given = preview_sampler(trainer, max_steps), given or Examples()
    stopping = lambda: trainer.stopping  # noqa: E731
    return sample_in_training(trainer.model(), sampler, n, trainer.distributed, given, stopping, followed)
