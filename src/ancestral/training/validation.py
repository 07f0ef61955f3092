"""The validation loss: that of the averaged weights on items that are held out, and on as many training items.

Times and noise are the same at every check, so that two checks differ by the weights alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ancestral.base.device import MemoryFormat, memory_format
from ancestral.base.errors import InputError
from ancestral.config.run_files import ValidationLosses
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.spec import DataSpec, inputs
from ancestral.diffusion import Diffusion
from ancestral.guidance import NO_CLASS
from ancestral.objectives import Objective
from ancestral.objectives.objective import draw_noise
from ancestral.objectives.times import GOLDEN
from ancestral.randomness import Stream
from ancestral.training.distributed import Distributed
from ancestral.training.plateau import LOSS_TOLERANCE, Plateau, load_state

VALIDATION_PASSES = 256
"""Number of forward passes on each kind of items: one for each item, or several where there are fewer."""
VALIDATION_BATCH = 64
"""Number of items in a forward pass, as of previews."""
KEPT_VALUES = 2**25
"""Largest number of values of the items of each kind, which stay in memory."""
NAMED_ERRORS, CHECKS_IN_A_ROW = 3.0, 2
"""A rise is named if it is larger than this number of standard errors at this number of checks in a row."""


class Validation:
    """The items on which the loss is measured, and the lowest loss of those that are held out.

    Raises:
        InputError: If there are fewer than two items of a kind, of which no standard error can be computed.
    """

    def __init__(self, held_out: Dataset, training: Dataset, spec: DataSpec, format: MemoryFormat = "auto") -> None:
        n = min(VALIDATION_PASSES, len(held_out), len(training), max(2, KEPT_VALUES // math.prod(spec.shape)))
        parts = [held_out.sample(n), training.sample(n)]  # unreadable items are left out
        n = min(map(len, parts))
        if n < 2:
            raise InputError("the validation loss needs at least 2 items that can be read, and as many to train on")
        self.spec, self.format = spec, format
        parts = [part.sample(n) for part in parts]
        self.items = torch.cat([part.items for part in parts])
        """(2 n, C, *space): those that are held out, then those of the training."""
        self.labels = torch.cat([_labels(part) for part in parts])
        values = [part.conditions_of(torch.arange(n)) for part in parts]
        self.conditions = {name: torch.cat([one[name] for one in values]) for name in values[0]}
        self.lowest = torch.zeros(2, n, dtype=torch.float64)
        """The loss of each item when that of the items that are held out was lowest."""
        self.numbers = torch.zeros(3, dtype=torch.int64)
        """The step of that, 0 before the first; the number of checks in a row with a rise; the step at which it was
        named, 0 before."""
        self.plateau = Plateau(LOSS_TOLERANCE)

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to save with the weights, by name; all are 0 before the first check."""
        return {"lowest": self.lowest, "numbers": self.numbers, **self.plateau.state}

    @property
    def memorises(self) -> int:
        """The step at which memorisation was named; 0 before."""
        return int(self.numbers[2])

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take up a saved state; none, or one of other items, leaves this as it is before the first check."""
        load_state(self.state, saved)

    @torch.no_grad()
    def losses(self, denoiser: Diffusion, objective: Objective, distributed: Distributed) -> Tensor:
        """Compute the loss of each item at uniform t, float64 (2, n). All processes take part."""
        count = len(self.items)
        passes = -(-2 * VALIDATION_PASSES // count)
        table = torch.zeros(count * passes, dtype=torch.float64, device=distributed.device)
        paired = self._paired(objective, torch.arange(len(table)), distributed.device) if objective.pairs else None
        for positions in torch.split(torch.tensor(distributed.positions(len(table))), VALIDATION_BATCH):
            draws = positions % (len(table) // 2)  # both kinds of items have the same times and noise
            t = 1 + ((draws.double() + 0.5) * GOLDEN % 1 * denoiser.schedule.steps).long()
            x0, condition, noise = self._batch(positions, len(table), distributed.device)
            with distributed.autocast():
                eps = noise() if paired is None else paired[positions]
                condition |= objective.keys(denoiser, 0, Stream.VALIDATION, 0, draws.tolist())
                forward = objective.evaluate(denoiser, x0, t, eps, noise, condition)
                errors = objective.errors(replace(forward, averaged=denoiser, z=noise))
            table[positions.to(table.device)] = errors.double()
        return distributed.total(table).view(2, -1, passes).mean(2)

    def _batch(
        self, positions: Tensor, length: int, device: torch.device
    ) -> tuple[Tensor, dict[str, Tensor], Callable[..., Tensor]]:
        """x_0 at some positions of the table of losses, what they are conditioned on, and their noise."""
        rows, draws = positions // (length // len(self.items)), (positions % (length // 2)).tolist()
        items = self.items[rows].to(device)
        encoded = self.spec.codec.encode(items)
        x0 = self.spec.to_x(encoded)
        x0 = x0.masked_fill(items.isnan(), math.nan) if self.spec.codec.gaps else x0
        x0 = x0.contiguous(memory_format=memory_format(x0.ndim, self.format))
        condition = {"labels": self.labels[rows].to(x0.device)} if self.spec.classes else {}
        values = {name: value[rows] for name, value in self.conditions.items()}
        condition |= inputs(self.spec, encoded, values, 0, 0, draws)
        return x0, condition, partial(draw_noise, x0, 0, 0, draws, stream=Stream.VALIDATION)

    def _paired(self, objective: Objective, positions: Tensor, device: torch.device) -> Tensor:
        """The noise at all positions, paired with the items of each kind."""
        parts = [self._batch(part, len(positions), device) for part in positions.chunk(2)]
        return torch.cat([objective.pair(x0, noise(), **condition) for x0, condition, noise in parts])

    def check(self, step: int, losses: Tensor) -> tuple[ValidationLosses, tuple[str, ...]]:
        """Compare the losses (2, n) of a step with the lowest ones, and say once if they show memorisation."""
        lowest, in_a_row, named = self.numbers.tolist()
        rises = losses[0] - self.lowest[0]
        rise, error = rises.mean().item(), rises.std().item() / math.sqrt(len(rises))
        lowest_means, means = self.lowest.mean(1).tolist(), losses.mean(1).tolist()
        if not lowest or not rise >= 0:  # NaN too is replaced by what comes next
            self.lowest.copy_(losses)
            lowest, in_a_row, rise, error = step, 0, 0.0, 0.0
        else:
            in_a_row = in_a_row + 1 if rise > NAMED_ERRORS * error and means[1] < lowest_means[1] else 0
        notes = self._plateau_note(step, means[0])
        if in_a_row >= CHECKS_IN_A_ROW and not named:
            named = step
            notes = (  # which says more than that it does not improve
                f"validation loss rises since step {lowest:,} ({lowest_means[0]:.4g} -> {means[0]:.4g}) while that of "
                f"training items falls ({lowest_means[1]:.4g} -> {means[1]:.4g}): the model begins to memorise; stop "
                "here, take more data, or a smaller network",
            )
        self.numbers.copy_(torch.tensor([lowest, in_a_row, named]))
        return ValidationLosses(step, means[0], means[1], rise, error), notes

    def _plateau_note(self, step: int, loss: float) -> tuple[str, ...]:
        """Say once if the loss of the items that are held out has stopped falling."""
        if not self.plateau.add(step, loss):
            return ()
        return (f"validation loss has stopped falling: {self.plateau}",)


def _labels(items: InMemoryDataset) -> Tensor:
    return torch.full((len(items),), NO_CLASS) if items.labels is None else items.labels.long()
