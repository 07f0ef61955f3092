"""Previews: grids of samples of a run, with what they are conditioned on."""

from collections.abc import Generator

from ancestral.base.events import Event
from ancestral.samplers import Recording, Sampler
from ancestral.training.trainer import Trainer
from ancestral.training.training_samples import Examples, SharedSampling, examples_of, sampler_of_run


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
