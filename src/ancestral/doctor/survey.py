"""All files of a folder together: counts, sizes, modes, shapes, and the names of those that are odd."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.doctor import duplicates
from ancestral.doctor.files import PICTURES, SUFFIX_FORMATS, Lost, Seen
from ancestral.doctor.values import Tally, Values
from ancestral.errors import one_line

RATIOS = {
    "taller than 1:2": 0.5,
    "1:2 to 3:4": 0.74,
    "3:4 to square": 0.95,
    "square": 1.05,
    "square to 4:3": 1.34,
    "4:3 to 2:1": 2.0,
    "wider than 2:1": float("inf"),
}
"""Width over height, up to."""
PENDING = 64  # files between two counts of their pixels: one by one takes three times as long
ODD_MODES = ("CMYK", "YCbCr", "LAB", "HSV", "F")


@dataclass(frozen=True)
class Files:
    """What the files of a folder are."""

    found: int
    """Files with an image's suffix."""
    read: int
    bytes: int
    """Of those that were read."""
    formats: dict[str, int]
    modes: dict[str, int]
    """Pillow's: L is grey, P a palette, A alpha, 1 black and white."""
    depths: dict[str, int]
    """Bits a channel."""
    width: tuple[int, int, int]
    """Least, median, greatest."""
    height: tuple[int, int, int]
    sizes: dict[str, int]
    """The most frequent sizes."""
    ratios: dict[str, int]
    """Pictures by width over height."""
    cropped: float
    """Share of all their pixels that the crop to the centre square throws away, a picture counting like another."""
    transparent: int
    rotated: int
    """Turned upright by their EXIF block."""
    others: dict[str, int]
    """Files passed over, by suffix."""
    hidden: int
    lost: tuple[Lost, ...]
    odd: dict[str, dict[str, str]]
    """Files that are not what they might be, and how: animated, deep, mode, suffix, tiny, cropped, unread."""


class Survey:
    """Adds up files as they come in."""

    def __init__(self, files: Sequence[Path], root: Path, image_size: int | None) -> None:
        self.files, self.image_size = files, image_size
        self.tally = Tally()
        self.kept = array("q")
        """Which of the files were read."""
        self.lost: list[Lost] = []
        self.bytes = self.transparent = self.rotated = self.hidden = 0
        self.formats, self.modes, self.depths, self.others = (
            Counter[str](),
            Counter[str](),
            Counter[str](),
            Counter[str](),
        )
        self._pending: dict[tuple[int, ...], list[Tensor]] = {}
        self._prefix = len(str(root / "x")) - 1
        self.odd: dict[str, dict[str, str]] = {}
        self.width, self.height, self._digests, self._thumbs = array("q"), array("q"), array("Q"), bytearray()

    def add(self, number: int, seen: Seen | Lost) -> None:
        """Count file `number`."""
        if isinstance(seen, Lost):
            self.lost.append(seen)
            return
        self.kept.append(number)
        self._pending.setdefault(tuple(seen.item.shape), []).append(seen.item)
        if len(self.kept) % PENDING == 0:
            self._count()
        self.bytes += seen.file_size
        self.transparent += seen.transparent
        self.rotated += seen.rotated
        self.formats[seen.format] += 1
        self.modes[seen.mode] += 1
        self.depths[str(seen.depth)] += 1
        self.width.append(seen.width)
        self.height.append(seen.height)
        self._digests.append(seen.digest)
        self._thumbs += seen.thumb
        promised = SUFFIX_FORMATS[self.files[number].suffix.lower()]
        odd = {
            "animated": seen.animated and "only its first frame is used",
            "deep": seen.depth > 8 and f"{seen.depth} bits a channel",
            "mode": seen.mode in ODD_MODES and seen.mode,
            "suffix": seen.format != promised and f"holds a {seen.format}",
            "tiny": min(seen.width, seen.height) < (self.image_size or 8) and f"{seen.width} x {seen.height}",
        }
        for key, how in odd.items():
            if how:
                self.odd.setdefault(key, {})[self._name(number)] = how

    def stray(self, name: Lost | str) -> None:
        """Count what lies beside the images."""
        if isinstance(name, Lost):
            self.lost.append(name)
            return
        suffix = Path(name).suffix.lower()
        if Path(name).name.startswith("."):
            self.hidden += 1
            return
        self.others[suffix or "no suffix"] += 1
        if suffix in PICTURES:
            self.odd.setdefault("unread", {})[name] = f"{suffix} files are not read"

    def values(self) -> Values:
        """The numbers in all files that were read."""
        self._count()
        return self.tally.values()

    def _count(self) -> None:
        for items in self._pending.values():
            self.tally.add(torch.stack(items))
        self._pending.clear()

    def name(self, row: int) -> str:
        """The name of the `row`th file that was read, from the root."""
        return self._name(self.kept[row])

    def path(self, row: int) -> Path:
        """The path of the `row`th file that was read."""
        return self.files[self.kept[row]]

    def duplicates(self) -> list[duplicates.Group]:
        """Files that hold the same picture, by their row."""
        thumbs = np.frombuffer(self._thumbs, dtype=np.uint8).reshape(-1, duplicates.SIZE)
        return duplicates.find(thumbs, np.frombuffer(self._digests, dtype=np.uint64))

    def classes(self) -> dict[str, int]:
        """Readable images of each immediate sub-folder that has image files; none where some files lie in the root."""
        tops = {self._top(number) for number in range(len(self.files))}
        if "" in tops:
            return {}
        counts = dict.fromkeys(sorted(tops), 0)
        for number in self.kept:
            counts[self._top(number)] += 1
        return {one_line(name): count for name, count in counts.items()}

    def label(self, row: int) -> str:
        """The immediate sub-folder of the `row`th file that was read."""
        return one_line(self._top(self.kept[row]))

    def _top(self, number: int) -> str:
        return self._relative(number).rpartition("/")[0].partition("/")[0]

    def _relative(self, number: int) -> str:
        return self.files[number].as_posix()[self._prefix :]

    def report(self) -> Files:
        """What was counted."""
        width, height = (np.frombuffer(side, dtype=np.int64) for side in (self.width, self.height))
        ratio = width / height
        bins = np.searchsorted(list(RATIOS.values()), ratio)
        cut = 1 - np.minimum(ratio, 1 / ratio)
        worst = [row for row in np.argsort(-cut, kind="stable") if cut[row] > 1 / 3]
        cropped = {self.name(row): f"{width[row]} x {height[row]} loses {cut[row]:.0%}" for row in worst}
        sizes = Counter(zip(width.tolist(), height.tolist(), strict=True))
        odd = {**self.odd, "cropped": cropped} if cropped else self.odd
        return Files(
            found=len(self.files),
            read=len(self.kept),
            bytes=self.bytes,
            formats=dict(self.formats.most_common()),
            modes=dict(self.modes.most_common()),
            depths=dict(self.depths.most_common()),
            width=_spread(width),
            height=_spread(height),
            sizes={f"{w} x {h}": count for (w, h), count in sizes.most_common(10)},
            ratios={name: int((bins == place).sum()) for place, name in enumerate(RATIOS) if (bins == place).any()},
            cropped=float(cut.mean()),
            transparent=self.transparent,
            rotated=self.rotated,
            others=dict(self.others.most_common()),
            hidden=self.hidden,
            lost=tuple(self.lost),
            odd=odd,
        )

    def _name(self, number: int) -> str:
        return one_line(self._relative(number))


def _spread(sides: NDArray[np.int64]) -> tuple[int, int, int]:
    return int(sides.min()), int(np.median(sides)), int(sides.max())
