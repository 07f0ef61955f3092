"""The distance of samples of the averaged weights to real items, measured while training.

The samples have the same random numbers at every measurement, and are compared with the same real items: held-out ones
where there are enough of them, else items that are trained on.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from ancestral.base.device import items_at_once
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.base.quantities import Estimate
from ancestral.config import Config
from ancestral.config.run_files import MeasuredDistance
from ancestral.data import Dataset
from ancestral.data.spec import DataSpec
from ancestral.model import Model
from ancestral.training.distributed import Distributed
from ancestral.training.plateau import DISTANCE_TOLERANCE, Plateau, load_state
from ancestral.training.training_samples import Examples, SharedSampling, examples_of, sampler_of_run

COMPARED_SAMPLES, COMPARED_REFERENCES = 200, 500
"""Numbers of samples and of real items that are compared."""
FEWEST_HELD_OUT = 64
"""Number of held-out items below which items that are trained on are the reference set."""
MOST_SAMPLER_STEPS = 12
"""Largest number of sampling steps."""
TIMED_SAMPLES = 32
"""Number of samples of each process by which the time of a measurement is estimated."""


class ItemMetric(Protocol):
    """A distance of sets of items, by features of each item: that of a run is KID."""

    title: str
    """Its name in results."""
    width: int
    """The number of features of an item."""

    def features(self, items: Tensor) -> Tensor:
        """Return the features (N, width) of decoded items (N, C, *sides)."""

    def reference_features(self, items: Tensor) -> Tensor:
        """Return the features of a reference set, which is asked for again in other runs."""

    def to(self, reference: Tensor) -> Callable[[Tensor], Estimate]:
        """Return the distance of features (n, width) to those of a reference set (m, width)."""


MetricMaker = Callable[[DataSpec, torch.device], ItemMetric]
"""Makes the metric for data on a device. Raises InputError where the data or the packages do not allow it."""


class SampleDistance:
    """KID of samples to a reference set, the rule by which it has stopped improving, and the best one so far.

    Args:
        training: The data that are trained on.
        held_out: Data that are not trained on, if there are any.
        spec: The description of the data.
        metric: The distance.
        tolerance: The share of the distance by which it falls at a plateau; see `Plateau`.

    Raises:
        InputError: If there are fewer than two items to compare with.
    """

    def __init__(
        self,
        training: Dataset,
        held_out: Dataset | None,
        spec: DataSpec,
        metric: ItemMetric,
        tolerance: float = DISTANCE_TOLERANCE,
    ) -> None:
        self.held_out = held_out is not None and len(held_out) >= FEWEST_HELD_OUT
        """Whether the reference set are held-out items."""
        source = held_out if held_out is not None and self.held_out else training
        self.items = source.sample(COMPARED_REFERENCES)
        self.spec = spec
        self.metric = metric
        self.given = examples_of(self.items, spec, COMPARED_SAMPLES) if spec.further else Examples()
        self._distance: Callable[[Tensor], Estimate] | None = None
        self.plateau = Plateau(tolerance)
        self.best = torch.zeros(3, dtype=torch.float64)
        """The smallest distance, its standard error and its step; 0 before the first measurement."""
        self.last: MeasuredDistance | None = None
        """The last measurement since this process began to train."""

    @property
    def title(self) -> str:
        """The name of the distance."""
        return self.metric.title

    @property
    def compared_with(self) -> str:
        """Description of the reference set."""
        return f"{len(self.items):,} {'held-out' if self.held_out else 'training'} items"

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to save with the weights, by name; all are 0 before the first measurement."""
        return {**self.plateau.state, "best": self.best}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take up a saved state; none leaves this as it is before the first measurement."""
        load_state(self.state, saved)
        self.last = None

    @property
    def best_distance(self) -> Estimate:
        """The smallest distance so far."""
        return Estimate(*self.best.tolist()[:2])

    def distance(self, features: Tensor) -> Estimate:
        """Return the distance of features to those of the reference set, which are computed once."""
        if self._distance is None:
            self._distance = self.metric.to(self.metric.reference_features(self.items.items))
        return self._distance(features)

    def measure(
        self, model: Model, config: Config, step: int, distributed: Distributed, stopping: Callable[[], bool]
    ) -> bool | None:
        """Measure the distance of samples of a model. All processes take part.

        Returns:
            Whether it is the smallest so far; None if this process, the only one, was asked to stop meanwhile.

        Raises:
            InputError: If the samples cannot be measured, as those of a model that diverged.
        """
        sampler = sampler_of_run(config, model.diffusion, MOST_SAMPLER_STEPS)
        sampling = SharedSampling(model, sampler, distributed, self.given)
        recording = finish(sampling.sample(COMPARED_SAMPLES, stopping, task="measuring"))
        if recording is None:
            return None
        if not bool(recording.samples.isfinite().all()):
            raise InputError(f"samples of step {step} are NaN or infinite")
        features, numbers = self._features(recording.samples, distributed), torch.zeros(2, dtype=torch.float64)
        if distributed.main:  # its numbers decide for all, however others round
            distance = self.distance(features)
            numbers[:] = torch.tensor([distance.value, distance.error])
        value, error = distributed.total(numbers).tolist()
        best = not self.plateau.measured or value < self.best[0]
        if best:
            self.best.copy_(torch.tensor([value, error, step]))
        self.plateau.add(step, value)
        self.last = MeasuredDistance(step, value, error)
        return bool(best)

    def seconds(self, model: Model, config: Config, distributed: Distributed) -> float:
        """Estimate the time of a measurement by a part of one, which changes nothing. All processes take part.

        That of the reference set's features, which are computed once and kept, is no part of it.
        """
        few = min(TIMED_SAMPLES, len(distributed.positions(COMPARED_SAMPLES)))
        positions, sampler = distributed.positions(few * distributed.world), sampler_of_run(config, model.diffusion, 2)
        sampling, times = SharedSampling(model, sampler, distributed, self.given), []
        for _ in range(2):  # the first one takes what happens once
            began = time.perf_counter()
            recording = finish(sampling.sample(few * distributed.world, lambda: False))
            assert recording is not None
            sampled = time.perf_counter()
            self.metric.features(recording.samples[positions])
            times.append((sampled - began, time.perf_counter() - sampled))
        steps = sampler_of_run(config, model.diffusion, MOST_SAMPLER_STEPS)
        evaluations = steps.nfe(model.denoiser.schedule) / sampler.nfe(model.denoiser.schedule)
        (_, _), (sampling_seconds, feature_seconds) = times
        return (sampling_seconds * evaluations + feature_seconds) * -(-COMPARED_SAMPLES // distributed.world) / few

    def _features(self, samples: Tensor, distributed: Distributed) -> Tensor:
        """The features of all samples, of which each process computes those of its share."""
        table = torch.zeros(len(samples), self.metric.width)
        own, size = torch.tensor(distributed.positions(len(samples))), items_at_once(samples.shape[1:])
        for positions in torch.split(own, size):
            table[positions] = self.metric.features(samples[positions])
        return distributed.total(table)
