"""Model files of anybody: what they ask for is checked before memory is allocated, and refused in one line."""

import json
import resource

import pytest

import ancestral
from ancestral.base import storage
from ancestral.base.errors import InputError
from tiny_models import untrained

HUGE = 10**15


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
    ],
    ids=lambda facts: str(facts)[:60],
)
def test_facts_that_no_model_has_are_one_line(forged, facts):
    with pytest.raises(InputError) as error:
        ancestral.load(forged(**facts), "cpu")
    assert "\n" not in str(error.value)
