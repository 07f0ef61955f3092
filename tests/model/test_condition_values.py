"""Values of conditions as users write them: arrays, files and recordings."""

import wave

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from ancestral.conditions import Image
from ancestral.data.spec import IMAGES, Codec, DataSpec
from ancestral.errors import InputError
from ancestral.model.condition_values import as_words, examples, read_values

FLOATS = Codec("float", (-1.0, 1.0))
LOW = {"low": Image(1, (-0.9, 0.9), (30,), rate=4000), "half": Image(1, (-1.0, 1.0), (20,), made_by="upscale:3")}
SIGNALS = DataSpec((1, 60), FLOATS, rate=8000, conditions=LOW)


def recording(path, rate, length=30, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes((np.arange(length * channels) * 100).astype("<i2").tobytes())
    return path


def pixels(shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def of_images(**conditions):
    return DataSpec((3, 8, 8), IMAGES, conditions=conditions)


def test_recordings_are_conditions_at_their_own_rate(tmp_path):
    for number, length in enumerate((30, 20, 40)):
        recording(tmp_path / f"{number}.wav", 4000, length)
    (tmp_path / "cover.png").write_bytes(b"which is no recording")
    rows = read_values(SIGNALS, {"low": str(tmp_path)})["low"].rows
    expected = torch.arange(40) * 100 / 2**15
    assert torch.equal(rows[0, 0], expected[:30])
    assert torch.equal(rows[1, 0], torch.cat([expected[:20], torch.zeros(10)]))
    assert torch.equal(rows[2], rows[0])
    stereo = recording(tmp_path / "stereo", 4000, channels=2).rename(tmp_path / "stereo.wav")
    assert torch.allclose(read_values(SIGNALS, {"low": stereo})["low"].rows[0, 0, :2], torch.tensor([50, 250]) / 2**15)
    made = recording(tmp_path / "made.wav", 2667, 20)
    assert read_values(SIGNALS, {"half": made})["half"].rows.shape == (1, 1, 20)
    with pytest.raises(InputError, match=r"stereo\.wav has 4,000 Hz, and the model takes 2,667 Hz"):
        read_values(SIGNALS, {"half": stereo})
    with pytest.raises(InputError, match=r"is a recording, which the model does not take there"):
        read_values(of_images(low=Image(3)), {"low": stereo})


def test_an_array_of_several_images_is_as_many_values(tmp_path):
    colours, grey = pixels((5, 3, 4, 6)), pixels((5, 4, 6))
    spec = of_images(colour=Image(3, sides=(4, 6)), grey=Image(1, sides=(4, 6)))
    for array, name in ((colours, "colour"), (colours.transpose(0, 2, 3, 1), "colour"), (grey, "grey")):
        np.save(tmp_path / "x.npy", array)
        np.savez(tmp_path / "x.npz", **{name: array})
        for value in (array, tmp_path / "x.npy", str(tmp_path / "x.npz")):
            rows = read_values(spec, {name: value})[name].rows
            assert torch.equal(rows, torch.from_numpy(colours if name == "colour" else grey[:, None]))
    np.save(tmp_path / "x.npy", grey[2])
    assert read_values(spec, {"grey": tmp_path / "x.npy"})["grey"].rows.shape == (1, 1, 4, 6)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (
            Image(3, sides=(4, 4), made_by="upscale:2"),
            "pictures",
            r"the condition c in .*b\.png is 4x6, and the model tak",
        ),
        (Image(4, sides=(4, 4), made_by="mask", masked=True), "pictures", r"b\.png is 4x6, and the model takes 4x4"),
        (Image(4, masked=True), pixels((3, 6, 6)), "3 channels, and the model takes 4, the last of which says what"),
        (Image(1), pixels((2, 2, 2, 1, 4, 4)), r"the shape \(2, 2, 2, 1, 4, 4\): give \(channels,"),
        (Image(1), np.zeros(()), r"the shape \(\): give"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path, kind, value, says):
    for name, size in (("a", (4, 4)), ("b", (4, 6))):
        PillowImage.fromarray(pixels((*size, 3))).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=says):
        read_values(of_images(c=kind), {"c": str(tmp_path) if isinstance(value, str) else value})


def test_the_example_of_a_file_is_one_that_the_model_takes():
    kinds = {"a": Image(3), "b": Image(3, (0.0, 65535.0)), "c": Image(3, (-1.0, 1.0)), "d": Image(3, sides=(4, 4))}
    assert as_words(examples(of_images(**kinds))) == ["a=a.png", "b=b.png", "c=c.npy", "d=small.png"]
    assert as_words(examples(SIGNALS)) == ["low=small.wav", "half=small.wav"]
