"""What samples need of a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ancestral.config import Config
from ancestral.covariance import Covariance
from ancestral.data.spec import DataSpec
from ancestral.reverse import AnalyticVariance
from ancestral.samplers import Sampler
from ancestral.targets import Denoiser


class TrainedModel(Protocol):
    """A denoiser, and what is known of its data and its training: `Model`."""

    denoiser: Denoiser
    spec: DataSpec
    config: Config
    step: int
    name: str
    file: Path | None

    @property
    def digest(self) -> str:
        """The SHA-256 of its file; "" if it is in none."""

    @property
    def device(self) -> torch.device:
        """The device of the denoiser."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""

    @property
    def covariance(self) -> Covariance | None:
        """The covariance of the items that it was trained on, encoded; None where they cannot be read."""

    @property
    def examples(self) -> Tensor | None:
        """Some items that it was trained on, float32 in [-1, 1]; None where they cannot be read."""

    @property
    def analytic_variance(self) -> AnalyticVariance:
        """The analytic variance of reverse steps, measured on items that it was trained on."""

    def sampler(self, sampler: str | Sampler | None = None, **options: object) -> Sampler:
        """Choose a sampler: by name, with these options; None is the config's; an object is returned as it is."""

    def items(self, n: int, indices: Sequence[int] | None) -> Sequence[int]:
        """Return the indices of the items to sample. Raises InputError unless they fit into memory."""

    def batch(self, size: int | None) -> int:
        """Return the number of items in a batch: `size`, or what memory suffices for on most machines."""
