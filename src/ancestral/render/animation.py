"""Animations of the reverse process as GIF, WebP or MP4, kept small although noise compresses badly."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from ancestral.errors import InputError, install_command
from ancestral.render.pictures import hstack, picture
from ancestral.samplers import Step
from ancestral.storage import atomic

SECONDS, HELD, FPS = 2.5, 2, 8
"""Seconds from noise to samples, and for which the samples are held; frames in a second."""
COLOURS = 128
"""Colours that the frames of a GIF share: a pixel that stays as it was then takes no bytes. The last frame has 256."""
WEBP_QUALITY, MP4_QUALITY = 50, "23"
"""Those of libwebp, of 100; and the constant rate factor of x264, from 0 (lossless) to 51."""


def frame_count(fps: int) -> int:
    """Return the number of states of an animation."""
    return max(2, round(SECONDS * fps))


def check_animation(path: Path) -> None:
    """Raise InputError if an animation cannot be written in the format of its suffix."""
    if path.suffix.lower() not in ANIMATIONS:
        raise InputError(f"animations are {', '.join(ANIMATIONS)} files, not {path}")
    if path.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise InputError(f"MP4 files need the package av: {install_command('video')}, or write a .webp")


def write_animation(
    path: Path,
    states: Sequence[Step],
    columns: int | None = None,
    height: int = 400,
    limits: tuple[float, float] | None = None,
    fps: int = FPS,
    scale: float = 1.0,
) -> None:
    """Write x_t from noise to samples, which are held for two seconds, in the format of the suffix.

    Args:
        path: A .gif, .webp or .mp4.
        states: Decoded items at the times that are shown.
        columns: That of `picture`.
        height: That of `picture`.
        limits: Those of `picture`.
        fps: The number of states in a second; GIF rounds a frame's time to 0.01 s.
        scale: Width and height, as a share of those of `picture`.
    """
    across, down = picture(states[-1].x, columns, height, limits).size
    size = max(1, round(scale * across)), max(1, round(scale * down))
    frames = []
    for state in states:
        frame = picture(state.x, columns, max(1, round(scale * height)), limits)
        frames.append(frame if frame.size == size else frame.resize(size, Image.Resampling.LANCZOS))
    with atomic(path) as temporary:
        ANIMATIONS[path.suffix.lower()](temporary, frames, fps)


def _write_gif(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    late = [frames[len(frames) * eighth // 8] for eighth in (4, 6, 7)]  # colours of the samples rather than of noise
    small = [frame.resize((-(-frame.width // 4), -(-frame.height // 4)), Image.Resampling.NEAREST) for frame in frames]
    palette = hstack([*late, frames[-1], *small], 0).quantize(COLOURS)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames[:-1]]
    others.append(frames[-1].quantize())
    first.save(path, save_all=True, append_images=others, duration=_durations(frames, fps), loop=0)


def _write_webp(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    first, *others = frames
    durations = _durations(frames, fps)
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, quality=WEBP_QUALITY)


def _durations(frames: Sequence[Image.Image], fps: int) -> list[int]:
    """The milliseconds of each frame."""
    return [round(1000 / fps)] * (len(frames) - 1) + [1000 * HELD]


def _write_mp4(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=fps, options={"crf": MP4_QUALITY})
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)  # halved for the colours
        stream.pix_fmt = "yuv420p"  # what every player shows
        for frame in [*frames, *[frames[-1]] * (HELD * fps)]:
            even = Image.new("RGB", (stream.width, stream.height), "white")
            even.paste(frame)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even), format="rgb24")))
        file.mux(stream.encode())


ANIMATIONS: dict[str, Callable[[Path, Sequence[Image.Image], int], None]] = {
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".mp4": _write_mp4,
}
"""How an animation is written, by the suffix of its file."""
