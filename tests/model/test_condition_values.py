"""Values of conditions as users write them: which are read as what, and which are refused in one line."""

import wave

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.data.convert import convert_bit_depth
from ancestral.data.spec import IMAGES, Codec, DataSpec
from ancestral.model.condition_values import class_number, read_values
from ancestral.model.sample_conditioning import read_conditioning
from tiny_models import untrained

FLOATS = Codec("float", (-1.0, 1.0))
LOW = {"low": Image(1, (-0.9, 0.9), (30,), rate=4000), "half": Image(1, (-1.0, 1.0), (20,), made_by="upscale:3")}
SIGNALS = DataSpec((1, 60), FLOATS, rate=8000, conditions=LOW)
CONDITIONS = {
    "age": Vector((45.0,), (20.0,)),
    "pose": Vector((0.0, 0.0), (1.0, 1.0)),
    "hair": Classes(("dark", "fair")),
    "hat": Classes(("False", "True")),
    "low": Image(1, (0.0, 255.0), (4, 4)),
    "deep": Image(1, (0.0, 65535.0), (4, 4)),
    "heat": Image(1, (-1.0, 3.0), (4, 4)),
    "noisy": Image(1, (0.0, 255.0), (4, 4), made_by="noise:0.5"),
    "known": Image(4, (0.0, 255.0), (4, 4), masked=True, made_by="mask"),
}
SPEC = DataSpec((1, 8, 8), IMAGES, ("a", "b"), conditions=CONDITIONS)
LEVELS = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4) * 17
KNOWN = torch.cat([LEVELS] * 3 + [255 * (LEVELS > 99).to(torch.uint8)])


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


def test_nan_is_absent_in_an_array_and_refused_as_text():
    spec = of_images(age=Vector((1.0,), (2.0,)), pose=Vector((0.0, 0.0), (1.0, 1.0)))
    assert read_values(spec, {"age": np.array([np.nan, 2]), "pose": "none"})["age"].names == ("none", "2")
    for name, value in (("age", "nan"), ("age", ["1", "NaN"]), ("pose", "1,nan"), ("age", "inf")):
        with pytest.raises(InputError, match=rf"{name} cannot be .*: give .* none where it is absent"):
            read_values(spec, {name: value})


def read(**given):
    ((_, values),) = read_values(SPEC, given).items()
    return values.rows


@pytest.fixture(scope="module")
def model():
    return untrained((1, 8, 8), ("a", "b"), conditions={name: CONDITIONS[name] for name in ("age", "low")})


def test_integers_of_another_depth_are_converted_as_pictures_are():
    deep = convert_bit_depth(LEVELS, torch.uint16)
    assert torch.equal(read(low=deep), LEVELS[None])
    assert torch.equal(read(deep=LEVELS), deep[None])
    assert torch.equal(read(low=deep.numpy().astype(">u2")), LEVELS[None])
    assert torch.equal(read(deep=PillowImage.fromarray(LEVELS[0].numpy())), read(deep=LEVELS))


def test_floats_in_the_units_of_the_data_are_read_also_beyond_the_range_where_the_data_may_be():
    for name, image in {
        "low": LEVELS * 1.05 - 5,  # the overshoot of an interpolation
        "heat": LEVELS / 16,  # the range of a part of the data was -1 to 3
        "noisy": LEVELS * 3.0 - 200,
        "known": KNOWN.float(),
    }.items():
        assert torch.equal(read(**{name: image}), image[None])
    assert not read(low=torch.zeros(1, 4, 4)).any()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"low": LEVELS / 255}, "has values from 0 to 1, and the model takes 0 to 255: bring the array to this range"),
        ({"low": LEVELS / 127.5 - 1}, "has values from -1 to 1, and"),
        ({"low": LEVELS * 257.0}, "has values from 0 to 65535, and"),
        ({"known": KNOWN / 255}, "has values from 0 to 1, and"),
        ({"known": torch.cat([LEVELS] * 3 + [(LEVELS > 99).to(torch.uint8)])}, "has a mask from 0 to 1, and"),
        (
            {"heat": LEVELS},
            "the condition heat has floats from -1 to 3, and the array integers: give an array of floats",
        ),
        ({"heat": PillowImage.new("L", (4, 4))}, "has floats from -1 to 3, and the image integers"),
        ({"heat": LEVELS.float()}, "has values from 0 to 255, and"),
        ({"low": LEVELS[None][:0]}, "low has the shape (0, 1, 4, 4): give"),
        ({"low": np.full((1, 4, 4), None)}, "holds object numbers"),
        ({"low": torch.tensor(3.0)}, "has the shape (): give (channels, side, side)"),
        ({"low": [None, LEVELS]}, "low is None beside images"),
        ({"age": []}, "age has no value"),
        ({"hair": np.zeros(0)}, "hair has no value"),
        ({"age": "9" * 5000}, "age cannot be '999"),
        ({"age": 10**5000}, "age cannot be a number of thousands of digits"),
        ({"low": ""}, "low cannot be ''"),
        ({"hair": "9" * 5000}, "hair has no class '999"),
        ({"hair": float("nan")}, "hair has no class 'nan'"),
        ({"pose": [None, 1]}, "give 2 numbers"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, dict) else None,
)
def test_what_no_condition_can_be_is_refused_in_one_line(given, says):
    with pytest.raises(InputError) as error:
        read_values(SPEC, given)
    assert says in error.value.text
    assert len(error.value.text) < 300
    assert "\n" not in error.value.text


def test_sparse_tensors_are_values_too():
    assert read(age=torch.tensor([1.0, 2.0]).to_sparse()).tolist() == [[1.0], [2.0]]
    assert read(hair=torch.tensor([1, 0]).to_sparse()).tolist() == [1, 0]
    assert torch.equal(read(low=LEVELS.to_sparse()), LEVELS[None])


def test_none_is_the_absence_of_each_kind():
    assert read(pose=[None, None]).isnan().tolist() == [[True, True]] * 2
    assert read(pose=[None, [1, 2]])[1].tolist() == [1, 2]
    assert read(age=[None, None]).isnan().tolist() == [[True]] * 2
    assert read(hair=[None, "none", "fair"]).tolist() == [-1, -1, 1]
    for absent in (None, "none", [None, "none"]):
        assert not read_values(SPEC, {"low": absent})


def test_truth_values_are_classes():
    assert read(hat=[True, False, "True"]).tolist() == [1, 0, 1]
    with pytest.raises(InputError, match="no class 'True'"):
        class_number(("dark", "fair"), True)


def test_a_label_is_the_same_given_alone_or_among_the_conditions(model):
    for label in (1, np.int64(1), torch.tensor(1), "b", ["b"], np.array([1])):
        one = read_conditioning(model.spec, None, {"label": label}).label
        assert model.labels([0, 1], one).tolist() == [1, 1]
    for label in (1.5, float("nan")):
        with pytest.raises(InputError, match="there is no class"):
            model.sample(1, steps=1, given={"label": label})


def test_a_label_of_none_is_absent_as_each_condition_is(model):
    for given in ({"label": None}, {"label": "none"}, {"age": None}, {"low": None}):
        assert read_conditioning(model.spec, None, given).label == "none"
    assert torch.equal(*(model.sample(2, steps=2, given={"label": one}) for one in (None, "none")))
