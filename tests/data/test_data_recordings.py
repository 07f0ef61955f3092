"""Folders of .wav files: every encoding, one rate, one length, and back to .wav files."""

import contextlib
import math
import struct
import wave

import numpy as np
import pytest
import torch

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data.files import Unreadable
from ancestral.data.sources.recordings import decode_wav, read_header, resample
from test_cli_shapes import SMALL
from test_data_folder import flat

RATE = 8000
TIME = np.arange(64) / 64
TONE = np.stack([0.5 * np.sin(2 * np.pi * 3 * TIME), 0.25 * np.cos(2 * np.pi * 5 * TIME)]).astype(np.float32)
BITS = {"u8": (1, 8), "i16": (1, 16), "i24": (1, 24), "i32": (1, 32), "f32": (3, 32)}


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def wav(signal, kind="i16", rate=RATE, extra=b"", extensible=False, length=None):
    """A .wav file of a signal (C, L), written by hand."""
    code, bits = BITS[kind]
    frames = signal.T.astype(np.float64)
    if kind == "f32":
        body = frames.astype("<f4").tobytes()
    elif kind == "u8":
        body = (np.round(frames * 128) + 128).clip(0, 255).astype(np.uint8).tobytes()
    else:
        whole = np.round(frames * 2 ** (bits - 1)).clip(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype("<i8")
        body = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    align = len(signal) * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else code, len(signal), rate, rate * align, align, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 3, code) + b"\0" * 14
    samples = b"data" + struct.pack("<I", len(body) if length is None else length) + body
    content = b"WAVE" + chunk(b"fmt ", form) + extra + samples
    return b"RIFF" + struct.pack("<I", len(content)) + content


def folder_of(tmp_path, count=6, **options):
    for number in range(count):
        part = tmp_path / ("low", "high")[number % 2]
        part.mkdir(exist_ok=True)
        (part / f"{number}.WAV").write_bytes(wav(TONE * (number + 1) / count, **options))
    return str(tmp_path)


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("extensible", [False, True])
def test_every_encoding(kind, channels, extensible):
    signal = TONE[:channels]
    header, read = decode_wav(wav(signal, kind, 44_100, chunk(b"LIST", b"odd"), extensible))
    assert (header.rate, header.channels, header.length) == (44_100, channels, 64)
    assert (read.dtype, read.shape) == (np.float32, signal.shape)
    assert np.abs(read - signal).max() <= {"u8": 0.51 / 128, "i16": 0.51 / 2**15}.get(kind, 1e-7)


def test_the_standard_library_agrees(tmp_path):
    levels = np.random.default_rng(0).integers(-(2**15), 2**15, (50, 2)).astype("<i2")
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((2, 2, RATE, 50, "NONE", ""))
        file.writeframes(levels.tobytes())
    assert np.array_equal(decode_wav((tmp_path / "x.wav").read_bytes())[1] * 2**15, levels.T)
    ends = np.array([[-1.0, 1.0, 0.5]], np.float32)
    assert decode_wav(wav(ends))[1][0].tolist() == [-1, 1 - 2**-15, 0.5]


def test_a_stream_of_unknown_length_is_read_to_its_end():
    assert np.array_equal(decode_wav(wav(TONE, length=0xFFFFFFFF))[1], decode_wav(wav(TONE))[1])


def test_a_header_that_goes_on_is_read_further():
    raw = wav(TONE, extra=chunk(b"LIST", bytes(500)))
    assert read_header(raw[:300], len(raw)) is None
    assert read_header(raw[:600], len(raw)).length == 64


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the file is empty"),
        (b"OggS" + bytes(100), "not a WAV file"),
        (wav(TONE)[:-10], "cut short: 246 of 256 bytes"),
        (wav(TONE)[:30], "cut short: it holds no samples"),
        (wav(TONE[:, :0]), "it holds no samples"),
        (wav(TONE).replace(b"fmt ", b"fmz "), "does not say how its samples are encoded"),
        (wav(np.zeros((6, 4))), "6 channels at 8000 Hz"),
        (wav(TONE, rate=0), "2 channels at 0 Hz"),
        (wav(TONE)[:20] + b"\x06\0" + wav(TONE)[22:], "encoding 6, 16 bits"),
        (wav(TONE)[:34] + b"\x0c\0" + wav(TONE)[36:], "encoding 1, 12 bits"),
    ],
)
def test_what_is_no_recording_says_why(raw, reason):
    with pytest.raises(Unreadable, match=reason):
        decode_wav(raw)


def test_mutilated_files_do_no_harm():
    rng, whole = np.random.default_rng(0), wav(TONE, "f32")
    for _ in range(500):
        raw = np.frombuffer(whole[: rng.integers(1, len(whole) + 1)], np.uint8).copy()
        raw[rng.integers(min(len(raw), 60), size=3)] = rng.integers(256, size=3)
        with contextlib.suppress(Unreadable):
            assert decode_wav(raw.tobytes())[1].dtype == np.float32


def test_a_folder_is_read_as_signals(tmp_path):
    source = folder_of(tmp_path)
    (tmp_path / "low" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "low" / "notes.txt").write_bytes(b"x")
    found = data.load(source)
    assert (found.shape, found.rate, found.spec.rate, found.classes) == ((2, 64), RATE, RATE, ("high", "low"))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.skipped == ("low/broken.wav: not a WAV file",)
    assert torch.allclose(found.items[0], torch.from_numpy(TONE) / 3, atol=1e-4)  # high/1
    lazy = data.open(source, memory=0)
    assert (lazy.shape, lazy.rate, lazy.spec.rate) == ((2, 64), RATE, RATE)
    assert torch.equal(lazy.read(0)[0], found.items[0])
    mono = data.load(source, channels=1)
    assert torch.allclose(mono.items, found.items.mean(1, keepdim=True), atol=1e-6)


def test_mono_beside_stereo_is_repeated(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(TONE))
    (tmp_path / "b.wav").write_bytes(wav(TONE[:1]))
    found = data.load(str(tmp_path))
    assert found.shape == (2, 64)
    assert torch.equal(found.items[1, 0], found.items[1, 1])


def test_lengths_that_differ_need_a_length(tmp_path):
    for name, length in (("a", 64), ("b", 40), ("c", 50)):
        (tmp_path / f"{name}.wav").write_bytes(wav(TONE[:, :length]))
    with pytest.raises(InputError, match=r"\(b.wav has 40 samples, a.wav 64\): give length=50, the median"):
        data.open(str(tmp_path))
    found = data.load(str(tmp_path), length=50)
    assert found.shape == (2, 50)
    assert torch.equal(found.items[0], data.load(str(tmp_path), length=64).items[0, :, :50])
    assert found.items[1, :, 40:].unique().tolist() == [0]
    assert found.items[1, :, :40].abs().max() > 0.4


def test_rates_that_differ_are_refused_by_name(tmp_path):
    for name, rate in (("a", 8000), ("b", 44_100), ("c", 8000)):
        (tmp_path / f"{name}.wav").write_bytes(wav(TONE, rate=rate))
    with pytest.raises(InputError, match=r"rates, 2 of 8,000 Hz \(a.wav\), 1 of 44,100 Hz \(b.wav\): give rate=8000,"):
        data.open(str(tmp_path))


@pytest.mark.parametrize(("rate", "new"), [(44_100, 16_000), (16_000, 44_100), (48_000, 44_100), (8000, 8001)])
def test_a_signal_is_the_same_function_of_time_at_another_rate(rate, new):
    """Sines in closed form, nearer to it than polyphase filtering with scipy; beyond half of the new rate, silence."""
    signal = pytest.importorskip("scipy.signal")
    count, common = rate // 4 + 17, math.gcd(rate, new)
    before, after = np.arange(count) / rate, np.arange(math.ceil(count * new / rate)) / new
    inner, lower = slice(len(after) // 10, -len(after) // 10), min(rate, new) / 2
    for share, largest in ((0.01, 1e-5), (0.3, 3e-4), (0.8, 3e-3)):
        tone, expected = (np.sin(2 * np.pi * share * lower * time + 0.3) for time in (before, after))
        result = resample(np.stack([tone, 0.2 + 0 * tone]).astype(np.float32), rate, new)
        assert result.shape == (2, len(after))
        error = np.abs(result[0] - expected)
        filtered = signal.resample_poly(tone, new // common, rate // common)[: len(after)]
        assert error[inner].max() < min(largest, np.abs(filtered - expected)[inner].max())
        assert np.abs(result[1] - 0.2).max() < 1e-3
    if new < rate:
        shrill = np.sin(2 * np.pi * 1.1 * lower * before)[None].astype(np.float32)
        assert np.abs(resample(shrill, rate, new)[:, inner]).max() < 0.01


def test_recordings_of_several_rates_are_brought_to_one(tmp_path):
    """Of one sine at three rates, the items are the same, and their lengths are those at the new rate."""
    for name, rate in (("a", 8000), ("b", 16_000), ("c", 12_000)):
        time = np.arange(rate // 4) / rate
        (tmp_path / f"{name}.wav").write_bytes(wav(0.5 * np.sin(2 * np.pi * 440 * time)[None], "f32", rate))
    dataset = data.load(str(tmp_path), rate=8000)
    assert (dataset.shape, dataset.spec.rate) == ((1, 2000), 8000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / 8000)
    assert np.abs(dataset.items[:, 0, 100:-100].numpy() - expected[100:-100]).max() < 1e-3
    assert data.load(str(tmp_path), rate=8000, length=50).items.equal(dataset.items[:, :, :50])
    assert data.load(str(tmp_path), rate=4000, given=str(tmp_path)).spec.further[tmp_path.name].rate == 4000
    with pytest.raises(InputError, match="recordings of 0 Hz are impossible: give rate=1 or more"):
        data.open(str(tmp_path), rate=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8}, "holds recordings, which have no image size or bits"),
        ({"bits": 8}, "no image size or bits"),
        ({"channels": 3}, "1 or 2 channels"),
        ({"dims": 3}, "holds no volumes"),
        ({"length": 0}, "recordings of 0 samples are impossible"),
    ],
)
def test_options_of_images_are_refused(tmp_path, options, message):
    source = folder_of(tmp_path)
    with pytest.raises(InputError, match=message):
        data.open(source, **options)


def test_a_length_and_a_rate_are_for_recordings(tmp_path):
    flat("RGB", "red").save(tmp_path / "x.png")
    for source in (str(tmp_path), "digits", torch.zeros(3, 8)):
        with pytest.raises(InputError, match="leave length out"):
            data.open(source, length=5)
        with pytest.raises(InputError, match="which alone have a rate: leave rate out"):
            data.open(source, rate=5)


@pytest.mark.long
def test_recordings_from_end_to_end(run, refused, tmp_path):
    source, out, samples = tmp_path / "sounds", tmp_path / "run", tmp_path / "samples"
    source.mkdir()
    folder_of(source, 8)
    (source / "low" / "broken.wav").write_bytes(b"RIFF")
    output = run("train", "--data", source, "--length", "48", "--out", out, *SMALL)
    assert "9 items of 2x48" in output or "8 items of 2x48" in output
    assert "low/broken.wav: not a WAV file" in output
    model = ancestral.load(out)
    assert (model.spec.rate, model.spec.shape, model.config.data.length) == (RATE, (2, 48), 48)
    run("sample", out, "-n", "3", "--steps", "2", "--out", samples)
    with wave.open(str(samples / "000002.wav")) as file:
        assert file.getparams()[:4] == (2, 2, RATE, 48)
    written = data.load(str(samples)).items
    assert torch.allclose(written, model.sample(3, steps=2).clamp(-1, 1), atol=2**-15)
    other = tmp_path / "other"
    other.mkdir()
    folder_of(other, 2)
    run("evaluate", out, "--likelihood", "-n", "2", "--passes", "2", "--data", other)  # brought to the model's length
    folder_of(other, 2, rate=16_000)
    line = refused("evaluate", out, "--likelihood", "-n", "2", "--passes", "2", "--data", other)
    assert "at 16,000 Hz, but the model knows" in line


def test_doctor_describes_recordings(run, tmp_path):
    source = tmp_path / "sounds"
    source.mkdir()
    folder_of(source, 8)
    (source / "low" / "broken.wav").write_bytes(b"RIFF")
    report = ancestral.inspect(source, steps=0, progress=False)
    assert (report.preset, report.rate, report.values.shape, report.trainable) == ("arrays", RATE, (2, 64), True)
    (finding,) = (finding for finding in report.findings if finding.code == "unreadable")
    assert finding.names == {"low/broken.wav": "not a WAV file"}
    assert report.sheet is not None
    output = run("doctor", source, "--length", "32", "--steps", "0", "--out", tmp_path / "sheet.png", "--device", "cpu")
    assert "8 items of 2 x 32 at 8,000 Hz for the preset arrays" in output
    assert f"ancestral train arrays --data {source} --length 32" in output
