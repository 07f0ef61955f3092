"""What a model has to know of its data."""

from dataclasses import dataclass

from ancestral.data.codec import Codec


@dataclass(frozen=True)
class DataSpec:
    """The shape of one item, how it is coded, the names of its classes, and the mean of each channel."""

    shape: tuple[int, ...]
    codec: Codec
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
