"""Scales without bounds: closed forms, exact inverses beyond the data, deviation ½, constants, and no clipping."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import ancestral
from ancestral import data, scaling
from ancestral.base.errors import InputError
from ancestral.data.scales import fitted_codec, proposed_scale
from ancestral.data.spec import Codec
from ancestral.scaling import CURVES, Scale

NORMAL = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 3 + 280
RAIN = torch.where(NORMAL > 281, torch.expm1((NORMAL - 281) / 2) * 1e-5, 0.0)
SMALL = {
    **{"width": 8, "mults": (1,), "blocks": 1, "attention": (), "patch": 1, "groups": 2, "batch_size": 8, "warmup": 1},
    **{"snapshots": 0, "precision": "fp32", "progress": False},
}
VALUES = {"normal": NORMAL, "rain": RAIN, "both signs": (NORMAL - 280) ** 3}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("kind", VALUES)
def test_a_scale_has_deviation_half_and_an_exact_inverse_beyond_the_data(name, kind):
    v = VALUES[kind]
    scale = Scale.of(name, v)
    x = scale.encode(v)
    assert x.mean().abs() < 1e-4
    assert x.std(correction=0).item() == pytest.approx(0.5, abs=1e-4)
    beyond = torch.cat([v, v.max() + 20 * v.std().view(1), v.min() - 20 * v.std().view(1)])
    resolution = 4e-6 * beyond.abs().max()  # float32's, of x up to some tens
    torch.testing.assert_close(scale.decode(scale.encode(beyond)), beyond, rtol=4e-6, atol=float(resolution))


def test_curves_equal_their_closed_forms():
    v, u = RAIN.double().numpy(), float(RAIN[RAIN > 0].median())
    for name, f in (("log1p", np.sign(v) * np.log1p(np.abs(v) / u)), ("asinh", np.arcsinh(v / u))):
        scale = Scale.of(name, RAIN)
        assert scale.unit == pytest.approx(u, rel=1e-6)
        np.testing.assert_allclose(scale.encode(RAIN), (f - f.mean()) / f.std() / 2, atol=3e-6)
    standard = Scale.of("standard", NORMAL)
    n = NORMAL.double().numpy()
    assert (standard.middle, standard.half) == pytest.approx((n.mean(), 2 * n.std()))


def test_quantiles_become_normal_scores():
    v = torch.rand(100_000, generator=torch.Generator().manual_seed(1)) ** 3  # P(V < v) = v^(1/3)
    scale = Scale.of("quantile", v)
    for share in (0.01, 0.2, 0.5, 0.9, 0.99):
        x = scale.encode(torch.tensor([share**3])).item()
        assert x * scale.half + scale.middle == pytest.approx(stats.norm.ppf(share), abs=0.03)


def test_missing_values_do_not_count_and_constants_come_back():
    v = torch.tensor([1.0, math.nan, 3.0])
    assert Scale.of("standard", v) == Scale("standard", 2.0, 2.0)
    for name in CURVES:
        constant = Scale.of(name, torch.full((5,), 7.3))
        assert constant.encode(torch.tensor([7.3, 9.0])).tolist() == [0, 0]
        assert constant.decode(torch.tensor([-3.0, 4.0])).tolist() == [torch.tensor(7.3)] * 2
    with pytest.raises(InputError, match="no value that is there"):
        Scale.of("standard", torch.tensor([math.nan]))


@pytest.mark.parametrize(
    "facts",
    [{"name": "cube"}, {"name": "standard", "half": -1.0}, {"name": "asinh", "unit": 0.0}, {"name": "quantile"},
     {"name": "quantile", "knots": ((1.0, 0.0), (0.0, 1.0))}, {"name": "standard", "middle": math.inf}],
)  # fmt: skip
def test_a_damaged_scale_is_refused(facts):
    with pytest.raises(InputError):
        Scale(**facts)


def fields(count=60):
    generator = torch.Generator().manual_seed(3)
    warm = 280 + 10 * torch.randn(count, 8, 8, generator=generator)
    rain = torch.expm1(2 * torch.randn(count, 8, 8, generator=generator).clamp(min=0)) * 1e-5
    return torch.stack([warm, rain], 1)


def test_a_scale_is_fitted_channel_by_channel():
    items = fields()
    codec = fitted_codec(data.load(items), "standard,1=log1p")
    assert [scale.name for scale in codec.scaling] == ["standard", "log1p"]
    torch.testing.assert_close(codec.decode(codec.encode(items)), items, rtol=4e-6, atol=1e-6 * codec.scaling[1].unit)
    assert codec.scaling[0] == Scale.of("standard", items[:, 0])
    assert not codec.bounded
    shared = fitted_codec(data.open(items, ranges="shared"), "asinh")
    assert shared.scaling == (Scale.of("asinh", items),)
    mixed = fitted_codec(data.load(items), "minmax,1=log1p").encode(items)
    torch.testing.assert_close(mixed[:, 0], Codec("float", ranges=data.load(items).codec.ranges).encode(items)[:, 0])
    with pytest.raises(InputError, match="names tp, and the channels of arrays are 0, 1"):
        fitted_codec(data.load(items), "standard,tp=log1p")
    with pytest.raises(InputError, match="no scale 'log'"):
        fitted_codec(data.load(items), "log")
    with pytest.raises(InputError, match="integers, whose range is known"):
        fitted_codec(data.load(torch.zeros(4, 1, 8, 8, dtype=torch.uint8)), "standard")


def test_the_scale_that_is_proposed_follows_the_distribution():
    assert proposed_scale(data.load(fields())) == "standard,1=log1p"
    heavy = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(4)) ** 5
    assert proposed_scale(data.load(heavy)) == "asinh"


def test_means_and_deviations_of_others_are_read(tmp_path):
    path = tmp_path / "stats.json"
    path.write_text('{"0": {"mean": 281, "std": 9}, "1": {"mean": 1e-5, "std": 3e-5}}')
    codec = fitted_codec(data.load(fields()), str(path))
    assert codec.scaling == (Scale("standard", 281.0, 18.0), Scale("standard", 1e-5, 6e-5))
    path.write_text('{"0": {"mean": 281, "std": 9}}')
    with pytest.raises(InputError, match="no mean and deviation of 1"):
        fitted_codec(data.load(fields()), str(path))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("scales") / "run"
    options = {"scale": "standard,1=log1p", "validation": "0.2:blocks", "steps": 4}
    ancestral.train("arrays", data=fields(), out=path, **options, **SMALL)
    return path


def test_the_statistics_are_those_of_the_training_items_and_nothing_is_clipped(run):
    model = ancestral.load(run)
    training, held_out = data.hold_out(data.load(fields()), data.dataset.HeldOut(0.2, by_blocks=True))
    assert len(held_out)
    assert model.spec.codec.scaling[0] == Scale.of("standard", training.items[:, 0])
    assert model.spec.codec.scaling[0] != Scale.of("standard", fields()[:, 0])
    assert not model.config.process.clip
    assert model.sampler().clip is None is model.sampler("heun").clip
    assert model.sampler("ddim:clip=2.0").clip == 2
    far = torch.full((1, 2, 8, 8), 1000.0)
    torch.testing.assert_close(model.spec.decode(model.spec.encode(far)), far)


def test_a_run_goes_on_and_starts_others_in_its_scale(run, tmp_path):
    ancestral.train("arrays", data=fields(), out=tmp_path / "next", initial=run, steps=6, **SMALL)
    assert ancestral.load(tmp_path / "next").spec.codec == ancestral.load(run).spec.codec


def test_clipping_and_a_scale_without_bounds_contradict_each_other(tmp_path):
    with pytest.raises(InputError, match="have no bounds"):
        ancestral.train("arrays", data=fields(), out=tmp_path / "run", scale="standard", clip=True, **SMALL)


def test_known_values_of_a_curve_are_filled_and_other_measurements_refused(run):
    model = ancestral.load(run)
    y = fields()[:1]
    with pytest.raises(InputError, match="is a curve"):
        model.restore(y[..., ::2, ::2], "upscale:2", steps=2)
    known = torch.zeros(8, 8)
    known[:, :4] = 1
    filled = model.restore(y * known, ancestral.operators.Mask(known), steps=2, n=1)
    torch.testing.assert_close(torch.as_tensor(filled)[..., :4], y[..., :4], rtol=1e-5, atol=2e-11)


def test_scales_are_differentiable():
    generator = torch.Generator().manual_seed(5)
    for name in CURVES:
        knots = ((-9.0, -2.0), (0.05, 0.0), (9.0, 2.0)) if name == "quantile" else ()
        scale = Scale(name, 0.1, 0.7, 1.5, knots)
        v = (3 * torch.randn(7, generator=generator)).requires_grad_()
        step = 1e-2
        (slope,) = torch.autograd.grad(scale.encode(v).sum(), v)
        with torch.no_grad():
            finite = (scale.encode(v + step).double() - scale.encode(v - step).double()) / (2 * step)
        torch.testing.assert_close(slope.double(), finite, rtol=1e-3, atol=1e-4)
    assert scaling.encoded(fields(), (Scale("standard"),)).shape == (60, 2, 8, 8)
