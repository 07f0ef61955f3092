"""What is made as files: pictures, single PNGs, arrays, numbers as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ancestral.errors import InputError
from ancestral.storage import atomic

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def write_picture(path: Path, image: Image.Image) -> None:
    """Write one picture, atomically, in the format of its suffix."""
    with atomic(path) as temporary:
        image.save(temporary)


def write_images(folder: Path, images: Tensor) -> None:
    """Write uint8 images (N, C, H, W) as 000000.png and so on. Raises InputError where PNG lacks such channels."""
    if images.shape[1] not in MODES:
        raise InputError(f"PNG has no mode of {images.shape[1]} channels; write a .npz instead")
    for number, image in enumerate(images):
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        write_picture(folder / f"{number:06d}.png", Image.fromarray(pixels.squeeze(2) if len(image) == 1 else pixels))


def write_array(path: Path, items: Tensor, labels: Tensor | None) -> None:
    """Write uint8 `images` (N, C, H, W), or float32 `points` (N, 2), and `labels` (N,) where there are any, as .npz."""
    arrays = {"images" if items.ndim == 4 else "points": items.numpy()}
    if labels is not None:
        arrays["labels"] = labels.cpu().numpy()
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a tree of settings and finite numbers as JSON, atomically."""
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
