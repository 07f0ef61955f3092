"""Features kept on disk, so that those of a reference set are computed once.

An entry's name is a hash of all that it follows from: the items' bytes, type and shape, and the extractor's weights and
transform. So a change of any of them is another entry. Entries are safetensors: whoever wrote them, they run no code.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ancestral import storage
from ancestral.data.download import cache
from ancestral.errors import InputError
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features

VERSION = "1"
"""Of this file's layout, in every key."""


def features(
    extractor: Extractor, items: Tensor, batch_size: int = 64, folder: Path | None = None
) -> Iterator[Features]:
    """Compute the features of items batch by batch, or read them from the cache in one batch.

    Features are kept once the last batch has been taken; not if the folder cannot be written to, or the extractor has
    no identity.

    Args:
        extractor: The extractor.
        items: Items (N, C, *space).
        batch_size: The number of items at a time.
        folder: Where the features are kept. The default is a folder in the user's cache.
    """
    if extractor.identity is None:
        yield from extractors.features(extractor, items, batch_size)
        return
    file = path(extractor, items, folder)
    found = _read(file, len(items), extractor.width)
    if found is not None:
        yield found
        return
    batches = []
    for batch in extractors.features(extractor, items, batch_size):
        batches.append(batch)
        yield batch
    tensors = extractors.concatenate(batches)._asdict()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time and nothing else
        storage.write_tensors(file, {name: x for name, x in tensors.items() if x is not None}, {})


def path(extractor: Extractor, items: Tensor, folder: Path | None = None) -> Path:
    """The file that keeps the features of items; `folder` as of `features`."""
    return (folder or cache() / "features") / f"{key(extractor, items)}.safetensors"


def key(extractor: Extractor, items: Tensor) -> str:
    """Compute the SHA-256 of everything that the features follow from."""
    head = f"{VERSION}\n{extractor.name}\n{extractor.identity}\n{items.dtype}\n{tuple(items.shape)}\n"
    digest = hashlib.sha256(head.encode())
    digest.update(items.contiguous().numpy().data)
    return digest.hexdigest()


def _read(file: Path, count: int, width: int) -> Features | None:
    """The entry, or None if there is none that is whole and fits."""
    try:
        tensors, _ = storage.read_tensors(file)
        found = Features(**tensors)
    except (InputError, OSError, TypeError):
        return None
    if found.values.shape != (count, width) or not bool(found.values.isfinite().all()):
        return None
    return found if found.logits is None or len(found.logits) == count else None
