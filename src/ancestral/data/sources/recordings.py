"""A folder of .wav files as signals (C, L) of float32 in [-1, 1], read by index; sub-folders are classes."""

import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestral.config.file_kinds import WAV
from ancestral.data.convert import Conversion
from ancestral.data.decoding import HEADER, reading_threads
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.data.sources.lazy_folder import FileIndex, LazyFolder
from ancestral.errors import InputError, UnsuitableError, one_line
from ancestral.options import option

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
KINDS = {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32)}
"""The encodings that are read, with their bits."""
OPEN_END = 0xFFFFFFFF
"""The length that programs write which do not know it yet."""


@dataclass(frozen=True)
class WavHeader:
    """What the header of a .wav file says of its samples."""

    encoding: int
    bits: int
    channels: int
    rate: int
    """Samples of each channel in a second."""
    start: int
    """The first byte of the samples."""
    length: int
    """The number of samples of each channel."""


def read_header(raw: bytes, size: int) -> WavHeader | None:
    """Read the header of a .wav file. (The standard library's `wave` reads no floats.)

    Args:
        raw: The first bytes of the file.
        size: The number of bytes of the whole file.

    Returns:
        The header, or None if it goes on beyond `raw`.

    Raises:
        Unreadable: If it is no .wav file of one or two channels in one of KINDS, or is cut short.
    """
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise Unreadable("not a WAV file" if size else "the file is empty")
    place, form = 12, b""
    while place + 8 <= len(raw):
        name, length = struct.unpack_from("<4sI", raw, place)
        place += 8
        if name == b"data":
            return _header(form, place, length, size)
        if name == b"fmt ":
            form = raw[place : place + length]
        place += length + length % 2
    if place + 8 > size:
        raise Unreadable("cut short: it holds no samples")
    return None


def _header(form: bytes, start: int, length: int, size: int) -> WavHeader:
    """The header, from the chunk `fmt` and the place and length of the samples in bytes."""
    if len(form) < 16:
        raise Unreadable("damaged: it does not say how its samples are encoded")
    encoding, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", form)
    if encoding == EXTENSIBLE and len(form) >= 26:
        (encoding,) = struct.unpack_from("<H", form, 24)
    if (encoding, bits) not in KINDS or frame != channels * bits // 8:
        raise Unreadable(
            f"its samples (encoding {encoding}, {bits} bits) are of a kind that is not read: save it as PCM of 8, 16, "
            "24 or 32 bits, or as float of 32"
        )
    if channels not in (1, 2) or not rate:
        raise Unreadable(f"it has {channels} channels at {rate} Hz: give recordings in mono or stereo")
    if length != OPEN_END and length > size - start:
        raise Unreadable(f"cut short: {max(0, size - start):,} of {length:,} bytes of samples")
    count = min(length, size - start) // frame
    if count < 1:
        raise Unreadable("it holds no samples")
    return WavHeader(encoding, bits, channels, rate, start, count)


def decode_wav(raw: bytes) -> tuple[WavHeader, NDArray[np.float32]]:
    """Decode a .wav file.

    Returns:
        The header, and the samples (C, L) in [-1, 1]; floats may be beyond.

    Raises:
        Unreadable: As `read_header` does.
    """
    header = read_header(raw, len(raw))
    assert header is not None  # since `raw` is the whole file
    wide = header.bits // 8
    used = np.frombuffer(raw, np.uint8, header.length * header.channels * wide, header.start)
    if header.encoding == FLOAT:
        samples = used.view("<f4").astype(np.float32)
    elif header.bits == 8:  # the only one without a sign
        samples = (used.astype(np.float32) - np.float32(128)) / np.float32(128)
    else:
        padded = np.zeros((len(used) // wide, 4), np.uint8)
        padded[:, 4 - wide :] = used.reshape(-1, wide)  # the sign and the highest bits are those of the last byte
        samples = padded.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return header, samples.reshape(-1, header.channels).T


class RecordingFolder(LazyFolder):
    """All .wav files below `root`, of one sampling rate and brought to one length and number of channels."""

    def __init__(self, root: Path, conversion: Conversion, length: int | None = None) -> None:
        """Find the recordings.

        Args:
            root: The folder.
            conversion: May set the channels, 1 or 2, and nothing else.
            length: The number of samples: longer recordings are cut at their end, and shorter ones filled with
                silence. None needs all to be of one length.

        Raises:
            InputError: If rates differ, or lengths and none is given, or as `infer_spec` does.
        """
        name = one_line(root.resolve().name)
        if conversion.image_size is not None or conversion.bits is not None or conversion.channels not in (None, 1, 2):
            raise UnsuitableError(
                f"{name} holds recordings, which have no image size or bits, and 1 or 2 channels: leave such options "
                "out, as the preset arrays does"
            )
        index = FileIndex(root, suffixes=(WAV,))
        self.root, self.name, self.names = root, name, index.names
        with reading_threads(self.threads) as pool:
            found = [*enumerate(pool.map(self._read_header, range(len(index.names))))]
        headers = {row: header for row, header in found if header is not None}
        self.rate = self._common_rate(headers)
        self._length = self._common_length(headers) if length is None else length
        self._channels = conversion.channels or max((h.channels for h in headers.values()), default=1)
        rest = replace(conversion, channels=None)
        LazyDataset.__init__(self, name, len(index.names), index.labels, index.classes, index.skipped, rest, dims=1)
        self.notes += index.notes

    def _read_header(self, row: int) -> WavHeader | None:
        """The header of a file; None if it cannot be read, which is said when the file is."""
        path = self._path(row)
        try:
            begin = read_file(path, HEADER)
            size = path.stat().st_size
            return read_header(begin, size) or read_header(read_file(path), size)
        except Unreadable:
            return None
        except OSError as error:
            raise InputError(f"{one_line(path)} cannot be read: {error.strerror}") from None

    def _common_rate(self, headers: dict[int, WavHeader]) -> int | None:
        rates = Counter(header.rate for header in headers.values()).most_common()
        if len(rates) > 1:
            first = {header.rate: row for row, header in reversed(headers.items())}
            parts = [f"{count:,} of {rate:,} Hz ({self.name_of(first[rate])})" for rate, count in rates[:3]]
            raise InputError(
                f"the recordings in {self.name} have different sampling rates, {', '.join(parts)}: bring all to one "
                "rate, or leave the others out"
            )
        return rates[0][0] if rates else None

    def _common_length(self, headers: dict[int, WavHeader]) -> int:
        rows = sorted(headers, key=lambda row: headers[row].length)
        if not rows:
            return 1
        short, middle, long = (headers[row].length for row in (rows[0], rows[len(rows) // 2], rows[-1]))
        if short != long:
            raise InputError(
                f"the recordings in {self.name} differ in length ({self.name_of(rows[0])} has {short:,} samples, "
                f"{self.name_of(rows[-1])} {long:,}): give {option('length', middle)}, the median, or another "
                "number, to cut longer ones at their end and to fill shorter ones with silence"
            )
        return short

    def encoded(self, index: int) -> NDArray[np.float32]:  # type: ignore[override]
        """Read a recording: (C, L)."""
        header, signal = decode_wav(read_file(self._path(index)))
        if header.rate != self.rate:
            raise Unreadable(f"it has {header.rate:,} Hz, and the others {self.rate:,}")
        if self._channels < len(signal):
            signal = signal.mean(0, keepdims=True)
        out = np.zeros((self._channels, self._length), np.float32)
        out[:, : signal.shape[1]] = signal[:, : self._length]  # mono is repeated
        return out

    def encoded_begin(self, index: int) -> None:  # type: ignore[override]
        """Return None, since all headers were read."""
