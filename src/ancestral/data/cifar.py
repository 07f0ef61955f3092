"""CIFAR-10: 60,000 colour photographs of 32 x 32, from the binary edition. (The Python edition is pickled.)"""

import tarfile
import zlib
from pathlib import Path

import torch
from torch import Tensor

from ancestral.data.dataset import Dataset
from ancestral.data.download import cache, fetch
from ancestral.errors import InputError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
RECORD = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes


def load(split: str = "train") -> Dataset:
    """Uint8 (50000, 3, 32, 32) for "train", (10000, ...) for "test", with labels 0..9.

    Downloaded once, 162 MB, into the cache. Raises InputError if that fails or if the file is damaged.
    """
    folder = cache() / "cifar-10"
    hint = f"connect to the internet and try again, or copy the file into {folder}"
    file = fetch(URL, SHA256, folder, otherwise=hint)
    records = torch.cat([_records(file, name) for name in BATCHES[split]])
    return Dataset(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long(), CLASSES, name="cifar10")


def _records(file: Path, name: str) -> Tensor:
    """Uint8 (N, 3073), read from inside the archive: nothing is unpacked to disk."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            member = archive.extractfile(f"cifar-10-batches-bin/{name}")
            raw = member.read() if member else b""
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{file} is damaged ({error}): delete it and try again") from error
    if len(raw) == 0 or len(raw) % RECORD or max(raw[::RECORD]) > 9:
        raise InputError(f"{file} is damaged ({name} holds no whole records): delete it and try again")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, RECORD)
