"""KID, as a training measures it: of samples of the averaged weights to real items."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ancestral.base.device import items_at_once
from ancestral.base.estimate import Estimate
from ancestral.data.spec import DataSpec
from ancestral.metrics import extractors, uncertainty


class KernelDistance:
    """The kernel distance of the features of the default extractor: a `training.sample_distance.ItemMetric`.

    Args:
        spec: The description of the data.
        device: Where the feature extractor runs.

    Raises:
        InputError: If the extractor's package is missing.
    """

    def __init__(self, spec: DataSpec, device: torch.device) -> None:
        self.extractor = extractors.extractor(extractors.default_name(spec.shape), spec.shape, spec.codec, device)
        self.title = self.extractor.title("KID")
        self.width = self.extractor.width

    def features(self, items: Tensor) -> Tensor:
        """Return the features (N, width) of decoded items (N, C, *sides)."""
        return self.extractor(items).values

    def reference_features(self, items: Tensor) -> Tensor:
        """Return the same in batches; the user's cache keeps them."""
        batches = extractors.features(self.extractor, items, items_at_once(items.shape[1:]))
        return extractors.concatenate(batches).values

    def to(self, reference: Tensor) -> Callable[[Tensor], Estimate]:
        """Return the distance of features to those of a reference set."""
        return partial(uncertainty.kernel, y=uncertainty.Reference(reference))
