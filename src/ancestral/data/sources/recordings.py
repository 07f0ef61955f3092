"""A folder of .wav files as signals (C, L) of float32 in [-1, 1]; sub-folders are classes."""

import math
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ancestral.base.errors import InputError, UnsuitableError
from ancestral.base.options import option
from ancestral.config.data_sources import WAV
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset
from ancestral.data.decoding import HEADER, reading_threads
from ancestral.data.files import Files, Unreadable
from ancestral.data.place import Place
from ancestral.data.sources.file_folder import FileFolder

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
ENCODINGS = {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32)}
"""The encodings that are read, with their bits."""
MARGIN = 1024
"""Samples beyond both ends by which a signal is continued before it is resampled, where it falls to silence."""
OPEN_END = 0xFFFFFFFF
"""The length that programs write which do not know it yet."""


class WavHeader(NamedTuple):
    """Facts of the samples in the header of a .wav file."""

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
    """Read the header of a .wav file of `size` bytes from its first bytes; None if it goes on beyond these.

    Raises:
        Unreadable: If it is no .wav file of one or two channels in one of ENCODINGS, or is cut short.
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
    if (encoding, bits) not in ENCODINGS or frame != channels * bits // 8 or channels not in (1, 2) or not rate:
        raise Unreadable(
            f"its samples (encoding {encoding}, {bits} bits, {channels} channels at {rate} Hz) are of a kind that is "
            "not read: save it in mono or stereo as PCM of 8, 16, 24 or 32 bits, or as float of 32"
        )
    if length != OPEN_END and length > size - start:
        raise Unreadable(f"cut short: {max(0, size - start):,} of {length:,} bytes of samples")
    count = min(length, size - start) // frame
    if count < 1:
        raise Unreadable("it holds no samples")
    return WavHeader(encoding, bits, channels, rate, start, count)


def decode_wav(raw: bytes) -> tuple[WavHeader, NDArray[np.float32]]:
    """Decode a .wav file to its header and samples (C, L) in [-1, 1]; floats may be beyond. Raises as `read_header`."""
    header = read_header(raw, len(raw))
    assert header is not None  # since `raw` is the whole file
    width = header.bits // 8
    data = np.frombuffer(raw, np.uint8, header.length * header.channels * width, header.start)
    if header.encoding == FLOAT:
        samples = data.view("<f4").astype(np.float32)
    elif header.bits == 8:  # the only one without a sign
        samples = (data.astype(np.float32) - np.float32(128)) / np.float32(128)
    else:
        padded = np.zeros((len(data) // width, 4), np.uint8)
        padded[:, 4 - width :] = data.reshape(-1, width)  # the sign and the highest bits are those of the last byte
        samples = padded.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return header, samples.reshape(-1, header.channels).T


class SignalForm(NamedTuple):
    """What recordings are brought to: a number of samples at a sampling rate in Hz; None is what all of them have."""

    length: int | None = None
    rate: int | None = None


def resampled_length(length: int, rate: int, new_rate: int) -> int:
    """Return the number of samples at a new rate of a signal with `length` samples."""
    return -(-length * new_rate // rate)


def resample(signal: NDArray[np.float32], rate: int, new_rate: int) -> NDArray[np.float32]:
    """Bring a signal (C, L) from one sampling rate to another, by its Fourier transform.

    Frequencies below half of the lower rate stay, and all others are left out, so a signal that has none is the same
    function of time, but for some samples at its ends, which are continued by their mirror image, which fades out.
    """
    common = math.gcd(rate, new_rate)
    if rate == new_rate:
        return signal
    up, down, length = new_rate // common, rate // common, signal.shape[1]
    before = -(-MARGIN // down) * down  # the new samples begin at the old ones' beginning
    after = before + -length % down
    padded = np.pad(signal.astype(np.float64), ((0, 0), (before, after)), mode="symmetric")
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(before) + 0.5) / before)
    padded[:, :before] *= fade
    padded[:, -before:] *= fade[::-1]
    size = padded.shape[1] * up // down
    spectrum = np.fft.rfft(padded)[:, : (min(size, padded.shape[1]) + 1) // 2]  # without half of the lower rate
    start = before * up // down
    result = np.fft.irfft(spectrum, size)[:, start : start + resampled_length(length, rate, new_rate)] * (up / down)
    return result.astype(np.float32)


def fit_signal(signal: NDArray[np.float32], channels: int, length: int) -> NDArray[np.float32]:
    """Bring a signal (C, L) to channels and a length: cut at its end, or filled with silence there.

    Of fewer channels the mean is taken, and mono is repeated.
    """
    if channels < len(signal):
        signal = signal.mean(0, keepdims=True)
    out = np.zeros((channels, length), np.float32)
    out[:, : signal.shape[1]] = signal[:, :length]
    return out


class RecordingFolder(FileFolder):
    """All .wav files below `root`, brought to one sampling rate, length and number of channels."""

    def __init__(self, root: Path | Files, conversion: Conversion, form: SignalForm) -> None:
        """Find the recordings. The conversion may set the channels, 1 or 2; the form has options of `data.open`.

        Raises:
            InputError: If rates or lengths differ and none is given, or as `scan` does.
        """
        super().__init__(root, suffixes=(WAV,))
        if conversion.image_size is not None or conversion.bits is not None or conversion.channels not in (None, 1, 2):
            raise UnsuitableError(
                f"{self.name} holds recordings, which have no image size or bits, and 1 or 2 channels: leave such "
                "options out, as the preset arrays does"
            )
        with reading_threads(self.threads) as pool:
            headers = [header for header in pool.map(self._header, range(self.count)) if header]
        rates = Counter(header.rate for _, header in headers).most_common()
        if len(rates) > 1 and form.rate is None:
            first = {header.rate: row for row, header in reversed(headers)}
            parts = [f"{count:,} of {rate:,} Hz ({self.name_of(first[rate])})" for rate, count in rates[:3]]
            raise InputError(
                f"the recordings in {self.name} have different sampling rates, {', '.join(parts)}: give "
                f"{option('rate', rates[0][0])}, or another number, to bring all to one"
            )
        self.rate = form.rate or (rates[0][0] if rates else None)
        lengths = sorted((resampled_length(one.length, one.rate, self.rate or one.rate), row) for row, one in headers)
        length = form.length
        if length is None and lengths and lengths[0][0] != lengths[-1][0]:
            (short, one), (median, _), (long, other) = lengths[0], lengths[len(lengths) // 2], lengths[-1]
            raise InputError(
                f"the recordings in {self.name} differ in length ({self.name_of(one)} has {short:,} samples, "
                f"{self.name_of(other)} {long:,}): give {option('length', median)}, the median, or another "
                "number, to cut longer ones at their end and to fill shorter ones with silence"
            )
        self._form = form
        self._length = length or (lengths[0][0] if lengths else 1)
        self._channels = conversion.channels or max((header.channels for _, header in headers), default=1)

    def _header(self, row: int) -> tuple[int, WavHeader] | None:
        """The number and header of a file; None if it cannot be read, which is said when the file is."""
        name = self.names[row]
        try:
            head, size = self.files.read(name, HEADER), self.files.size(name)
            header = read_header(head, size) or read_header(self.files.read(name), size)
        except Unreadable:
            return None
        assert header is not None  # since the whole file was read
        return row, header

    def raw(self, row: int) -> NDArray[np.float32]:
        """Read a recording: (C, L)."""
        header, signal = decode_wav(self.files.read(self.names[row]))
        assert self.rate is not None  # since a header could be read
        if self._form.rate is None and header.rate != self.rate:
            raise Unreadable(f"it has {header.rate:,} Hz, and the others {self.rate:,}")
        return fit_signal(resample(signal, header.rate, self.rate), self._channels, self._length)

    def partner(self, root: Path | Files) -> "RecordingFolder":
        """Find the recordings of another folder that belong to these, of their length in seconds and their rate where
        these are given.
        """
        folder = RecordingFolder(root, Conversion(), self._form)
        length = self._form.length
        if length is None or folder.rate in (None, self.rate) or not self.rate:
            return folder
        return RecordingFolder(root, Conversion(), SignalForm(max(1, round(length * folder.rate / self.rate))))

    def head(self, row: int) -> None:
        """Return None, since all headers were read."""

    def dataset(self, conversion: Conversion, dims: int | None) -> Dataset:
        """See `StoredItems.dataset`: the channels are brought to those of the conversion here."""
        return super().dataset(replace(conversion, channels=None), 1)


def open_recordings(place: Place) -> RecordingFolder:
    """Open a folder of .wav files."""
    assert place.at is not None  # since folders have a place
    return RecordingFolder(place.at, place.conversion, SignalForm(place.length, place.rate))
