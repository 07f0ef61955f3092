"""Files of samples and results: pictures, single PNGs, recordings, arrays, and animations as GIF, WebP or MP4."""

import io
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ancestral.base.errors import InputError, install_command
from ancestral.base.options import option
from ancestral.base.storage import atomic
from ancestral.config.request import KEYWORD
from ancestral.data.arrays import ARRAY_NAMES
from ancestral.data.decoding import from_pixels
from ancestral.render.pictures import hstack

PNG_CHANNELS = {torch.uint8: (1, 2, 3, 4), torch.uint16: (1,)}
"""Numbers of channels that a PNG (and Pillow) can hold, by dtype: L, LA, RGB, RGBA, and I;16."""

SECONDS, HELD, FPS = 2.5, 3, 8
"""Seconds from noise to samples at an even pace, and for which the samples are held; frames in a second."""
SLOWER = ((0.75, 3), (0.5, 2), (0.0, 1))
"""For how many periods of 1/fps a frame is shown, from a share of the frames on: samples take shape at the end."""
GIF_COLOURS = 128
"""Colours that the frames of a GIF share: a pixel that stays as it was then takes no bytes. The last frame has 256."""
WEBP_QUALITY, MP4_QUALITY = 50, "23"
"""Those of libwebp, of 100; and the constant rate factor of x264, from 0 (lossless) to 51."""


def write_picture(path: Path, image: Image.Image, text: str = "", keyword: str = KEYWORD) -> None:
    """Write one picture atomically, in the format of its suffix; a PNG with a text in its metadata."""
    info = PngInfo()
    if text:
        info.add_itxt(keyword, text)
    with atomic(path) as temporary:
        image.save(temporary, pnginfo=info)  # other formats do not read it


def write_images(
    folder: Path, images: Tensor, names: Iterable[str] | None = None, recipes: Iterable[str] = repeat("")
) -> None:
    """Write images (N, C, H, W) as 000000.png and so on, or by their names; raise InputError as `check_png` does."""
    check_png(images.shape[1:], images.dtype)
    for image, name, recipe in zip(images, names or numbered(count()), recipes, strict=False):
        write_picture(folder / f"{name}.png", from_pixels(image), recipe)


def numbered(indices: Iterable[int]) -> Iterator[str]:
    """Iterate over the names of single files, 000000 and so on, by the indices of the items."""
    return (f"{index:06d}" for index in indices)


def write_recordings(folder: Path, signals: Tensor, rate: int, names: Iterable[str] | None = None) -> None:
    """Write signals (N, C, L) in [-1, 1] as 000000.wav and so on, or by their names: in 16 bits, `rate` a second."""
    for signal, name in zip(signals, names or numbered(count()), strict=False):
        with atomic(folder / f"{name}.wav") as temporary:
            temporary.write_bytes(wav_bytes(signal, rate))


def wav_bytes(signal: Tensor, rate: int) -> bytes:
    """Return a signal (C, L) in [-1, 1] as a .wav: in 16 bits, `rate` a second."""
    levels = (signal.T.double() * 2**15).round().clamp(-(2**15), 2**15 - 1).contiguous().numpy().astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(len(signal))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.tobytes())
    return content.getvalue()


def fits_png(shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Tell whether a PNG holds items of a shape and dtype as they are."""
    return len(shape) == 3 and shape[0] in PNG_CHANNELS.get(dtype, ())


def check_png(shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raise InputError for items of a shape (C, H, W) or dtype that a PNG cannot hold."""
    if not fits_png(shape, dtype):
        kind = ARRAY_NAMES.get(len(shape) - 1, "points")
        number_type = str(dtype).removeprefix("torch.")
        raise InputError(
            f"PNG files hold no {kind} of {shape[0]} channels in {number_type}; give {option('out')} a .npz or .nc "
            "for numbers, or a .png, .gif, .webp or .mp4 for a picture of all"
        )


def write_array(
    path: Path, items: Tensor, labels: Tensor | None, conditions: Mapping[str, NDArray[Any]] | None = None
) -> None:
    """Write items as a .npz: `points` (N, 2), `signals` (N, C, L), `images` (N, C, H, W) or `volumes` (N, C, D, H, W).

    Any labels (N,) are `labels`, and other conditions, of which item i has row i, have their own names.
    """
    arrays = {array_name(items.shape[1:]): items.numpy()}
    if labels is not None:
        arrays["labels"] = labels.cpu().numpy()
    write_arrays(path, {**arrays, **(conditions or {})})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name as a .npz, atomically."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def array_name(shape: Sequence[int]) -> str:
    """Return the name of the array of items of a shape in a .npz."""
    return ARRAY_NAMES.get(len(shape) - 1, "points")


def frame_count(fps: int) -> int:
    """Return the number of states of an animation."""
    return max(2, round(SECONDS * fps))


def check_animation(path: Path) -> None:
    """Raise InputError if the package that encodes MP4 files is needed and missing."""
    if path.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise InputError(f"MP4 files need the package av: {install_command('video')}, or write a .webp")


def write_animation(path: Path, frames: Sequence[Image.Image], fps: int = FPS) -> None:
    """Write frames of one size in the format of the suffix.

    The second half is slower than the first, and the last frame is held for three seconds.

    Args:
        path: A .gif, .webp or .mp4.
        frames: The pictures.
        fps: The number of frames in a second in the first half; GIF rounds a frame's time to 0.01 s.
    """
    with atomic(path) as temporary:
        ANIMATIONS[path.suffix.lower()](temporary, frames, fps)


def frame_periods(count: int) -> list[int]:
    """Return for how many periods of 1/fps each of `count` frames before the last is shown."""
    return [next(periods for share, periods in SLOWER if number >= share * count) for number in range(count)]


def _write_gif(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    late = [frames[len(frames) * eighth // 8] for eighth in (4, 6, 7)]  # colours of the samples rather than of noise
    small = [frame.resize((-(-frame.width // 4), -(-frame.height // 4)), Image.Resampling.NEAREST) for frame in frames]
    palette = hstack([*late, frames[-1], *small], 0).quantize(GIF_COLOURS)
    shared = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames[:-1]]
    _write_frames(path, [*shared, frames[-1].quantize()], fps)


def _write_webp(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    _write_frames(path, frames, fps, quality=WEBP_QUALITY)


def _write_frames(path: Path, frames: Sequence[Image.Image], fps: int, **options: Any) -> None:
    first, *others = frames
    milliseconds = [periods * round(1000 / fps) for periods in frame_periods(len(others))] + [1000 * HELD]
    first.save(path, save_all=True, append_images=others, duration=milliseconds, loop=0, **options)


def _write_mp4(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=fps, options={"crf": MP4_QUALITY})
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)  # halved for the colours
        stream.pix_fmt = "yuv420p"  # what every player shows
        for frame, periods in zip(frames, [*frame_periods(len(frames) - 1), HELD * fps + 1], strict=True):
            even = Image.new("RGB", (stream.width, stream.height), "white")
            even.paste(frame)
            for _ in range(periods):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even), format="rgb24")))
        file.mux(stream.encode())


ANIMATIONS: dict[str, Callable[[Path, Sequence[Image.Image], int], None]] = {
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".mp4": _write_mp4,
}
"""Functions that write an animation, by the suffix of its file."""
