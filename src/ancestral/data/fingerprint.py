"""A short text by which data are recognised wherever they lie: the number of items, and a hash of some of them."""

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from torch import Tensor

from ancestral.data.decoding import Raw
from ancestral.data.io_errors import Unreadable
from ancestral.data.statistics import evenly_spaced

ITEMS = 64
"""Number of items whose bytes are hashed."""


def fingerprint(count: int, labels: Tensor | None, item: Callable[[int], tuple[str, Raw]]) -> str:
    """Compute the fingerprint of a data set.

    Args:
        count: The number of items.
        labels: The label of each.
        item: Returns the name of an item, and the item as it is stored. It may raise Unreadable.

    Returns:
        The number and the hash, as in "1911:0f343b0931126a20". Items between those that are hashed do not count.
    """
    digest = hashlib.sha256()
    digest.update(b"" if labels is None else labels.long().numpy().tobytes())
    for index in evenly_spaced(ITEMS, count):
        try:
            name, raw = item(index)
        except Unreadable as error:
            name, raw = "unreadable", str(error).encode()
        digest.update(name.encode(errors="surrogateescape"))
        digest.update(_bytes(raw))
    return f"{count}:{digest.hexdigest()[:16]}"


def _bytes(raw: Raw) -> bytes:
    if isinstance(raw, bytes):
        return raw
    return raw.tobytes() if isinstance(raw, Image.Image) else np.asarray(raw).tobytes()
