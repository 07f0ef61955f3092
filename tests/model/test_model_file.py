"""Model files of anybody: what they ask for is checked before memory is allocated, and refused in one line."""

import dataclasses
import json
import resource

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ancestral
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Vector, Words
from ancestral.config import ConditionSource
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, check_written, describe_file
from tiny_models import untrained

HUGE = 10**15


def nested(levels):
    """Lists in each other."""
    tree = []
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.fixture
def forged(tmp_path):
    """Write the file of a model with other settings, its digests right, and return its path."""

    def write(section="", of=None, model=None, **values):
        path = tmp_path / "forged.safetensors"
        (model or untrained(conditions=of or {})).save(path)
        tensors, metadata = storage.read_tensors(path)
        if section:
            config = json.loads(metadata["config"])
            config[section] |= values
            metadata["config"] = json.dumps(config)
        else:
            metadata |= {name: json.dumps(value) for name, value in values.items()}
        storage.write_tensors(path, tensors, metadata)
        return path

    return write


@pytest.mark.parametrize(
    "settings",
    [
        *({"width": width} for width in (65536, 65538, -16, HUGE)),
        *({"blocks": blocks} for blocks in (256, 10**6, -1, HUGE)),
        *({"mults": mults} for mults in ([1, 4096], [1, HUGE], [1] * 10**3, [1, -2], [])),
        *({"patch": patch} for patch in (1024, HUGE, 0)),
        {"attention": [-4, HUGE, 8], "width": 4096},
        {"groups": HUGE},
        {"dropout": -1.0},
    ],
    ids=lambda settings: str(settings)[:40],
)
def test_a_network_that_the_weights_are_not_of_takes_no_memory(forged, settings):
    path, before = forged("net", **settings), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"forged\.safetensors: "):
        ancestral.load(path, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # in KiB


@pytest.mark.parametrize("settings", [{"latent_width": 65536}, {"latent_width": HUGE}, {"latent_channels": -3}])
def test_nor_does_an_autoencoder(forged, settings):
    path, before = forged("latent", model=untrained(latent=2), **settings), resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(InputError, match=r"forged\.safetensors: "):
        ancestral.load(path, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss < 200_000


@pytest.mark.parametrize(
    "facts",
    [
        *({"shape": shape} for shape in ([3, HUGE, HUGE], [HUGE, 8, 8], [3, -8, 8])),
        *({"schedule": {"name": "cosine", "steps": steps}} for steps in (HUGE, -1, 0)),
        {"rate": -8000},
        {"step": HUGE * HUGE},
        *({"conditions": {"c": {"kind": "Image", "channels": channels}}} for channels in (-1, HUGE, 10**9)),
        *({"conditions": {"c": {"kind": "Image", "channels": 1, "sides": sides}}} for sides in ([HUGE] * 2, [-1, 4])),
        {"conditions": {"c": {"kind": "Image", "channels": 1, "limits": [1.0, 1.0]}}},
        {"conditions": {"c": {"kind": "Vector", "mean": [0.0] * 10**4, "std": [1.0] * 10**4}}},
        {"conditions": {"c": {"kind": "Vector", "mean": [0.0], "std": [-1.0]}}},
        {"classes": ["a"] * 10**4},
        {"conditions": {"c": {"kind": "Classes", "names": nested(400)}}},
        {"conditions": {"c": {"kind": "Vector", "mean": nested(90), "std": [1.0]}}},
        {"schedule": nested(400)},
        {"limits": [0, 10**400]},
    ],
    ids=lambda facts: str(facts)[:60],
)
def test_facts_that_no_model_has_are_one_line(forged, facts):
    with pytest.raises(InputError) as error:
        ancestral.load(forged(**facts), "cpu")
    assert "\n" not in str(error.value)


TEXT = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "\ud800",
        "\udcff x",
        "\ufeff",
        "\r\n",
        '"\\',
        "\u2028",
        "\U0001f469\u200d\U0001f680",
        "é" * 5000,
        "null",
        "NaN",
        "{}",
    ]
)
NAMES = st.lists(TEXT, min_size=1, max_size=4, unique=True)


@pytest.fixture(scope="module")
def named_model():
    return untrained((1, 8, 8))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(classes=NAMES, hair=NAMES, pose=NAMES, pieces=NAMES, example=TEXT, place=TEXT)
def test_a_model_file_holds_every_text_or_is_not_written(
    named_model, tmp_path_factory, classes, hair, pose, pieces, example, place
):
    """Names of classes and numbers, pieces of a vocabulary, an example, and the place of a condition."""
    model = named_model
    numbers = tuple(float(number) for number, _ in enumerate(pose, 1))
    kinds = {
        "hair": Classes(tuple(hair)),
        "pose": Vector(numbers, numbers, tuple(pose)),
        "caption": Words(tuple(filter(None, pieces)) or ("a",), 3, example=example),
    }
    spec = DataSpec((1, 8, 8), Codec("uint8"), tuple(classes), conditions=kinds)
    config = dataclasses.replace(
        model.config, data=dataclasses.replace(model.config.data, given=(ConditionSource("low", f"x{place}x"),))
    )
    path, texts = (
        tmp_path_factory.getbasetemp() / "named.safetensors",
        [*classes, *hair, *pose, *pieces, example],
    )
    path.unlink(missing_ok=True)
    one = Model(model.denoiser, spec, config)
    if any("\0" in text for text in texts):
        with pytest.raises(InputError, match="must be free of NUL"):
            one.save(path)
        assert not path.exists()
        return
    one.save(path)
    read_config, read_spec = describe_file(path)
    assert (read_spec.classes, dict(read_spec.further)) == (tuple(classes), kinds)
    assert read_config.data.given == config.unplaced().data.given
    check_written(path, 0)


def test_a_training_reads_what_it_wrote_before_it_says_trained(tmp_path, monkeypatch):
    """A bit that the disk flips, and another process that writes there, are an error in the place of the result."""
    write = storage.write_tensors

    def flipped(path, tensors, metadata):
        write(path, tensors, metadata)
        if path.name == "model.safetensors":
            raw = bytearray(path.read_bytes())
            raw[-1] ^= 1
            path.write_bytes(raw)

    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    options = {"steps": 2, "batch_size": 4, "width": 16, "progress": False}
    monkeypatch.setattr(storage, "write_tensors", flipped)
    with pytest.raises(InputError, match="tensors are not those that were written"):
        ancestral.train("arrays", data=images, out=tmp_path / "a", **options)
    monkeypatch.setattr(
        storage, "write_tensors", lambda path, tensors, metadata: write(path, tensors, metadata | {"step": "1"})
    )
    with pytest.raises(InputError, match="is the model of step 1, and not of step 2"):
        ancestral.train("arrays", data=images, out=tmp_path / "b", **options)
