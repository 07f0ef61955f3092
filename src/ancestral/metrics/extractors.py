"""Feature extractors: networks trained on photographs, a custom network, or the pixels themselves."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.data import Codec
from ancestral.errors import InputError
from ancestral.metrics import custom
from ancestral.metrics.networks import FeatureNetwork
from ancestral.options import option
from ancestral.registries import EXTRACTORS

FID = "inception"
"""The only extractor whose Fréchet distance is called FID: other networks have other scales."""

MICROBATCH = {"cpu": 4}
"""Images in one forward pass: with few, activations fit into a CPU's cache, and lite0 takes a third of the time per
image."""


class Features(NamedTuple):
    """Features `values` (N, d) of N items, and `logits` (N, K) of networks that classify; float32 on the CPU."""

    values: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Extractor:
    """A function from a batch of items, as a `Dataset` holds them, to their `Features`."""

    name: str
    width: int
    """The number of features of an item."""
    identity: str | None
    """All that the features follow from: weights and transform. None if unknown; then features are not cached."""
    compute: Callable[[Tensor], Features]

    def __call__(self, items: Tensor) -> Features:
        """Compute the features of items (B, C, *space). Raises InputError if one is not finite."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # true float32
            found = self.compute(items)
        values = found.values.float().cpu()
        if not bool(values.isfinite().all()):
            raise InputError(f"a feature of {self.name} is NaN or infinite: look at the samples, or at the extractor")
        return Features(values, None if found.logits is None else found.logits.float().cpu())

    def title(self, kind: str) -> str:
        """Name a metric ("FD", "KID" or "IS") on these features: "FD-lite0", or "FID" on inception's."""
        if self.name == FID:
            return "FID" if kind == "FD" else kind
        return f"{kind}-{self.name}"


def extractor(
    name: str | Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    codec: Codec,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Create an extractor.

    Args:
        name: "lite0", "inception" or "dinov2" for images of one or three channels (grey ones as RGB), stretched to the
            size that the network was trained on; "pixels" for items of any shape in [−1, 1]; or
            "package.module:callable", a function from float32 items (B, C, *space) in [0, 1] to features (B, d); or
            such a function or torch module itself, which stays on its device.
        shape: The shape of an item, (C, *space) or (2,).
        codec: The codec of the items.
        device: Where the network runs.

    Raises:
        InputError: If the name is unknown, the shape does not fit, or the weights are missing and cannot be downloaded.
    """
    device = torch.device(device)
    if name == "pixels":
        made: Extractor = EXTRACTORS[name].make(shape, codec)
        return made
    if not isinstance(name, str) or ":" in name:
        module = custom.load(name, shape, device)
        return Extractor(module.name, module.width, None, lambda x: Features(module((codec.encode(x) + 1) / 2)))
    if name not in EXTRACTORS:
        raise InputError(
            f"unknown extractor {name!r}: use {EXTRACTORS.names}, or your own function as package.module:function"
        )
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"{name} sees grey or RGB images, not items of shape {'x'.join(map(str, shape))}: use "
            f"{option('extractor', 'pixels')}"
        )
    network: FeatureNetwork = EXTRACTORS[name].make(device)

    def compute(items: Tensor) -> Features:
        x = ((codec.encode(items.to(device)) + 1) * 127.5).expand(-1, 3, -1, -1)
        return concatenate(
            Features(*network.forward(part)) for part in torch.split(x, MICROBATCH.get(device.type, len(x)))
        )

    return Extractor(name, network.width, f"{network.identity} {codec.kind} {codec.limits}", compute)


def pixels(shape: tuple[int, ...], codec: Codec) -> Extractor:
    """Create the extractor whose features are the items themselves in [−1, 1]."""
    identity = f"pixels v1 {codec.kind} {codec.limits}"
    return Extractor("pixels", torch.Size(shape).numel(), identity, lambda x: Features(codec.encode(x).flatten(1)))


def features(extractor: Extractor, items: Tensor, batch_size: int = 64) -> Iterator[Features]:
    """Compute the features of items (N, C, *space), batch by batch."""
    for start in range(0, len(items), batch_size):
        yield extractor(items[start : start + batch_size])


def concatenate(features: Iterable[Features]) -> Features:
    """Concatenate batches of features."""
    batches = list(features)
    logits = [batch.logits for batch in batches if batch.logits is not None]
    return Features(torch.cat([batch.values for batch in batches]), torch.cat(logits) if logits else None)
