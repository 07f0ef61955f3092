"""Models of floats whose channels have ranges of their own: temperature in K beside pressure in Pa."""

import dataclasses

import numpy as np
import pytest
import torch

import ancestral
from ancestral import data, operators, schedules
from ancestral.base.errors import InputError
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, load
from ancestral.model.condition_values import read_values
from ancestral.oracle import Gaussian
from tiny_models import untrained

MEAN, STD = (288.0, 101_000.0), (4.16, 600.0)
RANGES = ((270.0, 310.0), (98_000.0, 104_000.0))
FLAT = ((270.0, 310.0), (98_000.0, 104_000.0), (5.0, 5.0))


def fields(count=64, side=8, seed=0):
    """Temperature and pressure, (N, 2, side, side), float64."""
    z = torch.randn(count, 2, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor(MEAN).view(2, 1, 1) + torch.tensor(STD).view(2, 1, 1) * z


def model_of(ranges=RANGES, side=8, **kinds):
    """A model with random weights of fields with these ranges."""
    model = untrained((len(ranges), side, side))
    spec = DataSpec(model.spec.shape, Codec("float", ranges=ranges), conditions=kinds)
    if not kinds:
        return Model(model.denoiser, spec, model.config, step=3)
    return Model(untrained((len(ranges), side, side), conditions=kinds).denoiser, spec, model.config, step=3)


def test_each_channel_has_its_range_and_comes_back_within_the_rounding_of_float32():
    items = torch.cat([fields(), torch.full((64, 1, 8, 8), 5.0)], 1).float()
    opened = data.open(items)
    lows, highs = items.amin((0, 2, 3)).tolist(), items.amax((0, 2, 3)).tolist()
    assert opened.codec.ranges == tuple(zip(lows, highs, strict=True))
    assert opened.codec.limits == (5.0, highs[1])
    encoded = opened.codec.encode(items)
    assert encoded[:, :2].amin((0, 2, 3)).tolist() == pytest.approx([-1.0, -1.0], abs=5e-6)
    assert encoded[:, :2].amax((0, 2, 3)).tolist() == pytest.approx([1.0, 1.0], abs=5e-6)
    assert not encoded[:, 2].any()
    back = opened.codec.decode(encoded)
    assert (back / items - 1).abs().max() < 2 * torch.finfo(torch.float32).eps
    assert bool((opened.codec.decode(encoded + 0.3)[:, 2] == 5.0).all())  # the constant, whatever a network says
    for part in (opened.subset(torch.tensor([3, 5])), data.hold_out(opened, 0.1)[1]):
        assert part.codec == opened.codec


def test_an_oracle_has_the_means_and_deviations_of_each_channel():
    """64 sampled fields of a Gaussian in [-1, 1] are those of the data, by channel, within four standard errors."""
    opened = data.open(fields(512, 4).float())
    x = opened.codec.encode(opened.items)
    denoiser = Gaussian(schedules.cosine(1000), x.mean((0, 2, 3)).view(2, 1, 1), x.std((0, 2, 3)).view(2, 1, 1))
    x_T = torch.randn(64, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    samples = opened.spec.decode(ancestral.samplers.DDIM(steps=20, clip=None).sample(denoiser, x_T))
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        values = samples[:, channel].double()
        assert abs(float(values.mean()) - mean) < 4 * std / 32 + 0.2 * std
        assert float(values.std()) == pytest.approx(std, rel=0.1)


def test_a_model_file_keeps_the_ranges_or_has_one(tmp_path):
    model = model_of(FLAT)
    model.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").spec == model.spec
    shared = Model(model.denoiser, DataSpec((3, 8, 8), Codec("float", (5.0, 104_000.0))), model.config, step=3)
    shared.save(tmp_path / "shared.safetensors")
    read = load(tmp_path / "shared.safetensors").spec.codec
    assert (read.ranges, read.limits) == ((), (5.0, 104_000.0))
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(read.decode(x), x * read.scale + (5.0 + 104_000.0) / 2)


@pytest.mark.parametrize("operator", [operators.Downsample(2), operators.Blur(1.0), operators.Identity()])
def test_a_measurement_of_each_channel_is_that_of_what_the_network_knows(operator):
    from ancestral.model.editing.measurements import _observed

    spec, items = model_of(FLAT).spec, torch.cat([fields(3), torch.full((3, 1, 8, 8), 5.0)], 1).float()
    observation, notes = _observed(spec, operator.apply(items), operator, 0.1, "A")
    assert notes == ()
    made = observation.operator.apply(spec.codec.encode(items))
    assert (observation.y - made).abs().max() < 1e-4


def test_an_operator_that_mixes_channels_measures_them_in_the_units_of_the_data():
    from ancestral.model.editing.measurements import _observed

    weights = torch.tensor([2.0, 0.01]).view(1, 2, 1, 1)
    operator = operators.Linear(lambda x: (weights.to(x) * x).sum(1, keepdim=True))
    spec, items = model_of().spec, fields(3).float()
    observation, _ = _observed(spec, operator.apply(items), operator, 0.0, "A")
    made = observation.operator.apply(spec.codec.encode(items))
    assert (observation.y - made).abs().max() < 1e-5
    restored = observation.operator.pseudo_inverse(observation.y, spec.shape)
    assert (observation.operator.apply(restored) - observation.y).abs().max() < 1e-5


def test_conditions_of_arrays_and_operators_have_ranges_by_channel():
    items, low = fields().float(), fields(64, 4, seed=1).float()
    opened = data.open((items, {"low": low}), given=("low", "small=upscale:2", "hole=mask:left"))
    kinds = opened.spec.further
    assert kinds["low"].ranges == data.open(low).codec.ranges
    assert kinds["small"].ranges == opened.codec.ranges
    assert kinds["hole"].ranges == (*opened.codec.ranges, (-1.0, 1.0))
    assert torch.equal(kinds["low"].encode(low, (4, 4))[:, :2], data.open(low).codec.encode(low))
    small = operators.Downsample(2).apply(opened.codec.encode(items))
    in_units = operators.Downsample(2).apply(items)
    assert (kinds["small"].encode(in_units, (4, 4))[:, :2] - small).abs().max() < 1e-4
    with pytest.raises(InputError, match="grey mixes channels, and those of the data have ranges of their own"):
        data.open(fields(8).float().repeat(1, 2, 1, 1)[:, :3], given="grey")
    shared = data.open((items, {"low": low}), given=("low", "small=upscale:2"), ranges="shared")
    assert not any(kind.ranges for kind in (shared.codec, *shared.spec.further.values()))


NOTED = {
    "15 degrees": (
        torch.tensor([15.0, 101_000.0]),
        "values in channel 0 from 15 to 15, and the model was trained on 270",
    ),
    "25 K warmer": (torch.tensor([335.0, 101_000.0]), "in channel 0 from 335 to 335"),
    "in hPa": (torch.tensor([288.0, 94_000.0]), "in channel 1 from 94000 to 94000, and the model was trained on 98000"),
    "within": (torch.tensor([311.9, 104_290.0]), ""),
}


@pytest.mark.parametrize("case", NOTED)
def test_a_condition_beyond_the_training_is_said_with_the_numbers(case):
    value, says = NOTED[case]
    kind = dataclasses.replace(ancestral.conditions.Image(2, ranges=RANGES), limits=(270.0, 104_000.0))
    spec = DataSpec((2, 8, 8), Codec("float", ranges=RANGES), conditions={"low": kind})
    notes = read_values(spec, {"low": value.view(2, 1, 1).expand(2, 8, 8)})["low"].beyond("low")
    assert bool(notes) is bool(says)
    assert all(says in note and "it saw nothing like it" in note for note in notes)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((-200.0, 101_000.0), "has values in channel 0 from -200 to -200, and the model takes 270 to 310"),
        ((288.0, 1010.0), "has values in channel 1 from 1010 to 1010, and the model takes 98000 to 104000"),
    ],
)
def test_a_condition_ten_ranges_away_is_refused(value, says):
    kind = ancestral.conditions.Image(2, (270.0, 104_000.0), ranges=RANGES)
    spec = DataSpec((2, 8, 8), Codec("float", ranges=RANGES), conditions={"low": kind})
    with pytest.raises(InputError) as error:
        read_values(spec, {"low": np.broadcast_to(np.float32(value)[:, None, None], (2, 8, 8))})
    assert says in str(error.value)


def test_what_is_edited_or_measured_beyond_the_data_is_said():
    model, items = model_of(), fields(1).float()
    warm = items + torch.tensor([30.0, 0.0]).view(1, 2, 1, 1)
    few = {"n": 1, "steps": 2}
    assert "saw nothing like it" not in model.vary(items, 0.5, **few).reason
    with pytest.warns(UserWarning, match="The image has values in channel 0 from"):
        assert "The image has values in channel 0 from" in model.vary(warm, 0.5, **few).reason
    with pytest.warns(UserWarning, match="The image has values in channel 0 from"):
        model.invert(warm, steps=20)
    y = operators.Downsample(2).apply(warm)
    reason = model.restore(y, operators.Downsample(2), noise=0.05, **few).reason
    assert "makes 270 to 310 there of the data that the model was trained on" in reason
    assert "saw nothing" not in model.restore(y - 30.0, operators.Downsample(2), noise=0.05, **few).reason
