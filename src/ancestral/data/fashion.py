"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 and grey, in the IDX files of MNIST."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from ancestral.data.dataset import Dataset
from ancestral.data.download import cache, fetch
from ancestral.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts the files
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(split: str = "train", installed: Path = DEBIAN) -> Dataset:
    """Uint8 (60000, 1, 28, 28) for "train", (10000, ...) for "test", with labels 0..9.

    Read from the folder `installed` if it has the files, else from the cache, else downloaded. Raises InputError if
    that fails or if a file is damaged.
    """
    part = "train" if split == "train" else "t10k"
    images = _read_idx(_file(f"{part}-images-idx3-ubyte.gz", installed), dims=3)
    labels = _read_idx(_file(f"{part}-labels-idx1-ubyte.gz", installed), dims=1)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or labels.max() > 9:
        raise InputError(
            f"the Fashion-MNIST files do not fit together ({len(images)} images, {len(labels)} labels): "
            f"delete them from {installed} and {cache() / 'fashion-mnist'} and try again"
        )
    return Dataset(images.unsqueeze(1), labels.long(), CLASSES, name="fashion")


def _file(name: str, installed: Path) -> Path:
    if (installed / name).is_file():
        return installed / name
    folder = cache() / "fashion-mnist"
    hint = f"run `apt-get install dataset-fashion-mnist`, or connect to the internet, or copy the file into {folder}"
    return fetch(URL + name, SHA256[name], folder, otherwise=hint)


def _read_idx(file: Path, dims: int) -> Tensor:
    """A gzipped IDX file -> uint8 tensor. Its header, big-endian: 0, 0, 8 (uint8), dims, then each size (uint32)."""
    try:
        raw = gzip.decompress(file.read_bytes())
        shape = struct.unpack_from(f">{dims}I", raw, offset=4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{file} is damaged ({error}): delete it and try again") from error
    header = 4 + 4 * dims
    if raw[:4] != bytes([0, 0, 8, dims]) or len(raw) != header + math.prod(shape) or len(raw) == header:
        raise InputError(f"{file} is damaged (not a whole IDX file of {dims} dimensions): delete it and try again")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=header).view(shape)
