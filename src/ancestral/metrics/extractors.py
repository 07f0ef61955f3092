"""What turns items into features: networks trained on photographs, a network of the user's own, or the bare pixels."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.data import Codec
from ancestral.errors import InputError
from ancestral.metrics import networks, own

FID = "inception"
"""The one extractor whose distance is called FID: numbers of other networks are on another scale."""

AT_ONCE = {"cpu": 4}
"""Images that go through a network together: a CPU's cache holds what few make, and lite0 takes a third of the time of
64."""


class Features(NamedTuple):
    """Of N items: `values` (N, d), and `logits` (N, K) where the network names classes; float32 on the CPU."""

    values: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Extractor:
    """Called with a batch of items as a `Dataset` holds them, it gives their `Features`."""

    name: str
    width: int
    """How many features an item has."""
    identity: str | None
    """What its answers follow from: weights and transform. None where nobody can know, so that none are kept."""
    compute: Callable[[Tensor], Features]

    def __call__(self, items: Tensor) -> Features:
        """The features of items (B, C, *space). Raises InputError where one of them is no finite number."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 in earnest
            found = self.compute(items)
        values = found.values.float().cpu()
        if not bool(values.isfinite().all()):
            raise InputError(f"a feature of {self.name} is NaN or infinite: look at the samples, or at the extractor")
        return Features(values, None if found.logits is None else found.logits.float().cpu())

    def title(self, kind: str) -> str:
        """What `kind`, one of "FD", "KID" and "IS", is called on these features: "FD-lite0", and "FID" of one alone."""
        if self.name == FID:
            return "FID" if kind == "FD" else kind
        return f"{kind}-{self.name}"


NAMES = ("lite0", "inception", "dinov2", "pixels")


def extractor(name: str, shape: tuple[int, ...], codec: Codec, device: torch.device | str = "cpu") -> Extractor:
    """The extractor called `name`, for items of this shape, (C, *space) or (2,), and codec.

    "lite0", "inception" and "dinov2" see images of one or three channels, grey ones as RGB, stretched to the size that
    the network was trained on. "pixels" is the items themselves in [−1, 1], of any shape. Another name is the user's
    own "package.module:callable", which is given float32 images (B, C, *space) in [0, 1] and answers with (B, d).
    Raises InputError for a name or shape that cannot be, and for weights that are neither here nor within reach.
    """
    device = torch.device(device)
    if name == "pixels":
        identity = f"pixels v1 {codec.kind} {codec.limits}"
        return Extractor(name, torch.Size(shape).numel(), identity, lambda x: Features(codec.encode(x).flatten(1)))
    if ":" in name:
        module = own.load(name, shape, device)
        return Extractor(name, module.width, None, lambda x: Features(module((codec.encode(x) + 1) / 2)))
    if name not in networks.BY_NAME:
        known = ", ".join(NAMES)
        raise InputError(f"unknown extractor {name!r}: use {known}, or your own function as package.module:function")
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"{name} sees grey or RGB images, not items of shape {'x'.join(map(str, shape))}: use --extractor pixels"
        )
    network = networks.BY_NAME[name](device)

    def compute(items: Tensor) -> Features:
        x = ((codec.encode(items.to(device)) + 1) * 127.5).expand(-1, 3, -1, -1)
        return gathered(Features(*network.answer(part)) for part in torch.split(x, AT_ONCE.get(device.type, len(x))))

    return Extractor(name, network.width, f"{network.identity} {codec.kind} {codec.limits}", compute)


def features(extractor: Extractor, items: Tensor, batch_size: int = 64) -> Iterator[Features]:
    """The features of items (N, C, *space), batch by batch, so that a progress bar can watch."""
    for start in range(0, len(items), batch_size):
        yield extractor(items[start : start + batch_size])


def gathered(found: Iterable[Features]) -> Features:
    """All batches in one."""
    batches = list(found)
    logits = [batch.logits for batch in batches if batch.logits is not None]
    return Features(torch.cat([batch.values for batch in batches]), torch.cat(logits) if logits else None)
