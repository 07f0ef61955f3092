"""Images and arrays as the bytes of files, and archives of them."""

import io
import tarfile

import numpy as np
import torch
from PIL import Image


def image_bytes(image, kind="PNG", **options):
    """The file of an image: of Pillow, of an array (H, W) or (H, W, C), or of a tensor (C, H, W)."""
    if isinstance(image, torch.Tensor):
        image = image.permute(1, 2, 0).numpy()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def array_bytes(array):
    """The .npy file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_tar(path, members, **options):
    """Write an archive of (name, bytes), and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_images(folder, images, name="{:02}.png"):
    """Write images as numbered files, and return their folder."""
    for number, image in enumerate(images):
        file = folder / name.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image_bytes(image))
    return folder
