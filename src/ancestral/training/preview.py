"""Samples drawn while training, the work shared out: each process draws its own, and one sum brings them together."""

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.samplers import Step
from ancestral.training.trainer import Trainer

STATES = 12
"""States of the reverse process that are kept, evenly over its steps."""


class Drawn(NamedTuple):
    """Decoded items on the CPU, the same on every process, and the way to some of them."""

    items: Tensor
    states: list[Step]
    """Of the first items that this process drew, decoded too: few enough to be held, whatever their size."""


def draw(trainer: Trainer, n: int, most: int, followed: int = 0) -> Drawn | None:
    """Items 0..n−1 of seed 0 from the averaged weights, by the run's own sampler in at most `most` steps; the way of
    the first `followed` is kept. None where the training was asked to stop meanwhile.
    """
    model, engine = trainer.model(), trainer.engine
    usual = len(model.sampler().times(model.denoiser.schedule)) - 1
    steps = min(most, usual)
    sampler = model.sampler(steps=steps)
    mine = engine.places(n)
    drawn = torch.zeros(n, *model.spec.shape, device=engine.device)
    kept: dict[int, list[Step]] = {index: [] for index in torch.linspace(0, steps, STATES).round().long().tolist()}
    decode = model.spec.codec.decode
    for start in range(0, len(mine), 64):
        part = mine[start : start + 64]
        for step in model.trajectory(part, sampler):
            drawn[part.start : part.stop : engine.world] = step.x
            if step.index in kept and start < followed:
                few = slice(0, followed - start)
                kept[step.index].append(Step(step.index, step.t, decode(step.x[few]).cpu(), decode(step.x0[few]).cpu()))
            if trainer.stopping and engine.world == 1:
                return None
    states = [
        Step(index, parts[0].t, torch.cat([part.x for part in parts]), torch.cat([part.x0 for part in parts]))
        for index, parts in kept.items()
        if parts
    ]
    return Drawn(decode(engine.total(drawn)), states)
