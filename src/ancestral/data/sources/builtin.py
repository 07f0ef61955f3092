"""The built-in data sets: images of digits, clothes and things, and three densities in the plane."""

import gzip
import math
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral.base.errors import InputError, MissingSplitError
from ancestral.config.data_sources import BUILT_IN
from ancestral.data.dataset import InMemoryDataset
from ancestral.data.files import cache, fetch
from ancestral.data.place import Place
from ancestral.data.sources.array_items import ArrayItems

FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"  # torchvision reads the pickled edition only
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
CIFAR10_RECORD = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes
CURVE_POINTS = 10_000
JITTER = 0.02  # standard deviation of the Gaussian noise that gives the curves width, and so a density


def digits(split: str = "train") -> InMemoryDataset:
    """Load 5,000 MNIST digits, uint8 (5000, 1, 28, 28), 500 of each class in turn. There is no test split."""
    if split != "train":
        raise MissingSplitError("digits has no test split: use fashion, which has one, or leave the split out")
    grid = torch.from_numpy(np.array(Image.open(Path(__file__).with_name("digits.png"))))  # 100 digits in each row
    images = grid.view(50, 28, 100, 28).transpose(1, 2).reshape(-1, 1, 28, 28)
    labels = torch.arange(10).repeat_interleave(500)
    return InMemoryDataset(images, labels, tuple("0123456789"), "digits")


def fashion(split: str = "train", installed: Path = FASHION_DEBIAN) -> InMemoryDataset:
    """Load Fashion-MNIST: uint8 (60000, 1, 28, 28) for "train", (10000, ...) for "test", with labels 0..9.

    Files that are not in the folder `installed` come from the cache or are downloaded.

    Raises:
        InputError: If a download fails or a file is damaged.
    """
    part = "train" if split == "train" else "t10k"
    images = _read_idx(_fashion_file(f"{part}-images-idx3-ubyte.gz", installed), 1, 28, 28)
    labels = _read_idx(_fashion_file(f"{part}-labels-idx1-ubyte.gz", installed)).long()
    if len(images) != len(labels) or labels.max() > 9:
        raise InputError(
            f"the Fashion-MNIST files do not fit together ({len(images)} images, {len(labels)} labels): "
            f"delete them from {installed} and {cache() / 'fashion-mnist'} and try again"
        )
    return InMemoryDataset(images, labels, FASHION_CLASSES, "fashion")


def _fashion_file(name: str, installed: Path) -> Path:
    if (installed / name).is_file():
        return installed / name
    folder = cache() / "fashion-mnist"
    hint = f"run `apt-get install dataset-fashion-mnist`, or connect to the internet, or copy the file into {folder}"
    return fetch(FASHION_URL + name, FASHION_SHA256[name], folder, otherwise=hint)


def _read_idx(file: Path, *shape: int) -> Tensor:
    """The items of a gzipped IDX file, each of a shape: uint8 (N, *shape)."""
    try:
        raw = bytearray(gzip.decompress(file.read_bytes()))
        if raw[:3] != b"\0\0\x08":
            raise ValueError("it holds no bytes")
        count, header = int.from_bytes(raw[4:8]), 4 + 4 * raw[3]  # the number of axes, and the length of each
        return torch.frombuffer(raw, dtype=torch.uint8, offset=header).view(count, *shape)
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{file} is damaged ({str(error) or type(error).__name__}): delete it and try again"
        ) from error


def cifar10(split: str = "train") -> InMemoryDataset:
    """Load CIFAR-10: uint8 (50000, 3, 32, 32) for "train", (10000, ...) for "test", with labels 0..9.

    The archive (162 MB) is downloaded once into the cache.

    Raises:
        InputError: If the download fails or the file is damaged.
    """
    folder = cache() / "cifar-10"
    hint = f"connect to the internet and try again, or copy the file into {folder}"
    file = fetch(CIFAR10_URL, CIFAR10_SHA256, folder, otherwise=hint)
    records = torch.cat([_cifar10_records(file, name) for name in CIFAR10_FILES[split]])
    images, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()
    return InMemoryDataset(images, labels, CIFAR10_CLASSES, "cifar10")


def _cifar10_records(file: Path, name: str) -> Tensor:
    """Uint8 (N, 3073), read from inside the archive: nothing is unpacked to disk."""
    with tarfile.open(file, "r:gz") as archive:
        member = archive.extractfile(f"cifar-10-batches-bin/{name}")
        assert member is not None  # by the SHA-256 of the archive
        raw = member.read()
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, CIFAR10_RECORD)


def moons(split: str = "train", count: int = CURVE_POINTS, seed: int = 0) -> InMemoryDataset:
    """Sample two interlocking half circles of radius 0.6: float32 (count, 2) in [-1, 1]²."""
    rng = _generator(split, seed)
    angle = math.pi * torch.rand(count, generator=rng)
    side = 1 - 2 * (torch.arange(count) % 2)  # +1: the upper moon, -1: the lower
    # The unit circle about (0, 0) and the one about (1, 0.5), seen from the midpoint (0.5, 0.25).
    x = torch.stack([side * (angle.cos() - 0.5), side * (angle.sin() - 0.25)], dim=1)
    return _jittered("moons", 0.6 * x, rng)


def swissroll(split: str = "train", count: int = CURVE_POINTS, seed: int = 0) -> InMemoryDataset:
    """Sample a spiral of one and a half turns, r = angle in [1.5π, 4.5π]: float32 (count, 2) in [-1, 1]²."""
    rng = _generator(split, seed)
    angle = math.pi * (1.5 + 3 * torch.rand(count, generator=rng))
    x = torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1)
    mean = torch.tensor([2.0, 2 / (3 * math.pi)])  # the exact mean of x over the angle
    return _jittered("swissroll", (x - mean) / (4.9 * math.pi), rng)


def checkerboard(split: str = "train", count: int = CURVE_POINTS, seed: int = 0) -> InMemoryDataset:
    """Sample the 8 squares of a 4 by 4 board whose column + row is even, uniformly: float32 (count, 2) in [-1, 1]²."""
    rng = _generator(split, seed)
    column = torch.randint(4, (count,), generator=rng)
    row = 2 * torch.randint(2, (count,), generator=rng) + column % 2
    cell = torch.stack([column, row], dim=1)
    return InMemoryDataset((cell + torch.rand(count, 2, generator=rng)) / 2 - 1, name="checkerboard")


def _generator(split: str, seed: int) -> torch.Generator:
    """The generator of a split; no two share a seed."""
    return torch.Generator().manual_seed(2 * seed + (split == "test"))


def _jittered(name: str, x: Tensor, rng: torch.Generator) -> InMemoryDataset:
    return InMemoryDataset((x + JITTER * torch.randn(x.shape, generator=rng)).clamp(-1, 1), name=name)


def open_builtin(place: Place) -> ArrayItems:
    """Open a built-in data set."""
    builtin = BUILT_IN[str(place.source)].load()(place.split)
    data, columns = builtin if isinstance(builtin, tuple) else (builtin, None)
    return ArrayItems(replace(data, items=place.conversion(data.items)), columns, uses_all=True)
