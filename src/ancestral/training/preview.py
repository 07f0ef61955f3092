"""Samples drawn while training, the work shared out: each process draws its own, and one sum brings them together."""

import torch
from torch import Tensor

from ancestral.training.trainer import Trainer


def draw(trainer: Trainer, n: int, most: int) -> Tensor | None:
    """Items 0..n−1 of seed 0 from the averaged weights, by the run's own sampler in at most `most` steps: decoded, on
    the CPU, the same on every process. None where the training was asked to stop meanwhile.
    """
    model, engine = trainer.model(), trainer.engine
    usual = len(model.sampler().times(model.denoiser.schedule)) - 1
    sampler = model.sampler(steps=min(most, usual))
    mine = engine.places(n)
    drawn = torch.zeros(n, *model.facts.shape, device=engine.device)
    for start in range(0, len(mine), 64):
        part = mine[start : start + 64]
        for step in model.trajectory(part, sampler):
            drawn[part.start : part.stop : engine.world] = step.x
            if trainer.stopping and engine.world == 1:
                return None
    return model.facts.codec.decode(engine.total(drawn))
