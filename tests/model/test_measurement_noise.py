"""Measurements in integers, and by another operator than is named: beside exact posteriors of Gaussian data."""

import pytest
import torch

from ancestral import oracle, schedules
from ancestral.base.errors import InputError
from ancestral.covariance import Covariance
from ancestral.data.spec import Codec, DataSpec
from ancestral.metrics import ensembles
from ancestral.model import Model
from ancestral.model.editing.measurement_noise import Observation, resemblance
from ancestral.model.editing.spectra import Spectra
from ancestral.operators import Blur, Downsample, Identity

SHAPE, MEMBERS, ITEMS = (1, 16, 16), 4, 6
BYTES, WORDS = DataSpec(SHAPE, Codec("uint8")), DataSpec(SHAPE, Codec("uint16"))


@pytest.fixture(scope="module")
def waves():
    """A model of Gaussian data whose power falls with the frequency, as that of images does, with draws of them."""
    side = SHAPE[1]
    k, x = torch.meshgrid(torch.arange(side).double(), torch.arange(side).double(), indexing="ij")
    cosines = torch.cos(torch.pi * (x + 0.5) * k / side)
    cosines /= cosines.norm(dim=1, keepdim=True)
    basis = torch.einsum("ix,jy->xyij", cosines, cosines).reshape(side**2, side**2)
    frequency = (torch.arange(side)[:, None] ** 2 + torch.arange(side) ** 2).double().flatten()
    std = 2.5 / (1 + frequency) ** 0.75
    draws = torch.randn(600, side**2, generator=torch.Generator().manual_seed(0)).double() * std @ basis.T
    model = Model(oracle.Gaussian(schedules.cosine(1000), torch.zeros(1, *SHAPE).double(), std, basis), BYTES)
    items = draws.float().reshape(-1, *SHAPE)
    model.examples = items[ITEMS:]
    model.covariance = Covariance(basis.float(), (std**2).float(), 0.0)
    return model, items[:ITEMS]


def as_bytes(y, sigma=0.0):
    noise = sigma * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return BYTES.codec.decode(y + noise)


def energy(samples, truth):
    x = samples.as_subclass(torch.Tensor).reshape(MEMBERS, *truth.shape).transpose(0, 1)
    return float(ensembles.energy_scores(x, truth).mean())


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_blurred_bytes_are_restored_as_by_their_exact_posterior(waves, sigma):
    """The least noise is that of rounding; the inverse of a blur of 2 pixels would make 1,000 and more of it."""
    model, truth = waves
    y = as_bytes(Blur(sigma).apply(truth))
    edited = model.restore(y, f"blur:{sigma}", n=MEMBERS * ITEMS, decode=False)
    encoded = BYTES.codec.encode(y).repeat(MEMBERS, 1, 1, 1).double()
    exact = Model(model.denoiser.given(encoded, Blur(sigma), BYTES.codec.rounding), BYTES)
    samples = exact.sample(MEMBERS * ITEMS, "ddim:eta=1", steps=25, decode=False)
    assert energy(edited, truth) <= 1.2 * energy(samples, truth)
    spread = samples.reshape(MEMBERS, ITEMS, *SHAPE).std(0).mean()
    assert 0.7 * spread < edited.deviation.mean() < 1.6 * spread  # the map does not say that all is certain
    assert "noise of 0.0023" in edited.reason


def test_agreement_is_exact_where_the_inverse_enlarges_no_rounding(waves):
    model, truth = waves
    y = as_bytes(Downsample(2).apply(truth))
    edited = model.restore(y, "upscale:2", n=ITEMS, decode=False)
    assert (Downsample(2).apply(edited.as_subclass(torch.Tensor)) - BYTES.codec.encode(y)).abs().max() < 2e-3
    assert "ounding" not in edited.reason


@pytest.mark.parametrize(("true", "says"), [(1.0, ""), (0.5, "rougher"), (2.0, "smoother")])
def test_a_blur_that_is_wrong_by_a_factor_of_two_is_said_and_leaves_no_checkerboard(waves, true, says):
    model, truth = waves
    edited = model.restore(as_bytes(Blur(true).apply(truth)), "blur:1", n=ITEMS, steps=10, decode=False)
    assert [word for word in ("rougher", "smoother") if word in edited.reason] == [says] * bool(says)
    wrong = edited.as_subclass(torch.Tensor) - truth
    assert wrong.square().mean() < truth.square().mean()


def test_noise_that_nobody_says_is_estimated(waves):
    model, truth = waves
    edited = model.restore(as_bytes(Blur(1.0).apply(truth), 0.1), "blur:1", n=ITEMS, steps=2, decode=False)
    noise = float(edited.reason.partition(": noise of ")[2].partition(" ")[0])
    assert 0.05 <= noise <= 0.15
    known = model.restore(as_bytes(Blur(1.0).apply(truth), 0.1), "blur:1", 0.1, n=ITEMS, steps=2, decode=False)
    assert "noise of" not in known.reason
    assert "times its noise" in known.reason  # two steps are too few


def test_floats_say_no_rounding_but_their_power_does(waves):
    model, truth = waves
    blurred = Blur(2.0).apply(truth)
    rounded = BYTES.codec.encode(as_bytes(blurred))
    assert "noise" not in model.restore(blurred, "blur:2", n=1, steps=2).reason
    assert "rougher" in model.restore(rounded, "blur:2", n=1, steps=2).reason
    blind = Model(model.denoiser, BYTES)
    blind.examples = blind.covariance = None
    with pytest.raises(InputError, match=r"y has noise, or blur:2 is another operator.*noise"):
        blind.restore(rounded, "blur:2", n=1)


@pytest.mark.parametrize("method", ["ddnm", "replacement", "repaint"])
def test_methods_that_invert_an_operator_refuse_one_that_enlarges_noise(waves, method):
    model, truth = waves
    y = as_bytes(Blur(2.0).apply(truth))
    with pytest.raises(InputError, match=rf"{method} inverts blur:2, which enlarges the noise of y from 0.0023 to"):
        model.restore(y, "blur:2", method=method)
    assert (
        model.restore(as_bytes(Downsample(2).apply(truth)), "upscale:2", n=1, steps=2, method=method).method == method
    )


def test_the_rounding_is_that_of_the_depth_of_the_values(waves):
    deep, truth = Model(waves[0].denoiser, WORDS), waves[1]
    deep.examples = deep.covariance = None
    y = Blur(2.0).apply(truth[:1])
    words = WORDS.codec.decode(y)
    shallow = (as_bytes(y).int() * 257).to(torch.uint16)
    for values, noise in ((words, "8.8e-06"), (shallow, "0.0023")):
        assert f"noise of {noise} " in deep.restore(values, "blur:2", n=1, steps=2).reason


def test_a_hundredth_of_the_data_is_unlike_them(waves):
    """Half of the draws are compared with the other half, also as measured with noise and in bytes."""
    model, _ = waves
    noise = 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    measurement = Observation(model.examples[:1], Blur(1.0), 0.0, BYTES.codec.rounding, "blur:1")
    for items in (model.examples, measurement.like(model.examples, 0.01)):
        spectra, others = Spectra(items[:297], 1e-4), items[297:]
        assert spectra.compare(others).abs().mean() <= 0.03
        assert spectra.compare(others + noise).mean() > 0.95
        assert spectra.compare(Blur(2.0).apply(others)).mean() < -0.95


def test_samples_unlike_the_data_are_said(waves):
    model, truth = waves
    assert resemblance(model.examples, truth, 1e-4) == ()
    noisy = truth + 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    assert resemblance(model.examples, noisy, 1e-4)[0].startswith("6 of 6 samples have more noise or ringing")
    assert resemblance(model.examples, Blur(2.0).apply(truth), 1e-4)[0].startswith("6 of 6 samples have less detail")
    assert resemblance(model.examples[:10], noisy, 1e-4) == ()  # too few to say


def test_noise_alone_is_taken_away(waves):
    """Three ways to say it are one, and the mean of samples is that of the exact posterior."""
    model, truth = waves
    y = truth[:1] + 0.5 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(3))
    ways = ((None, 0.5), ("noise:0.5", 0.0), (Identity(), 0.5))
    one, *others = (model.restore(y, operator, noise, n=32, decode=False) for operator, noise in ways)
    assert all(torch.equal(torch.Tensor(one), torch.Tensor(other)) for other in others)
    mean = model.denoiser.given(y.double(), Identity(), 0.5).mean
    error = (one.as_subclass(torch.Tensor).double().mean(0) - mean).square().mean().sqrt()
    assert error < 0.3 * (y - mean).square().mean().sqrt()
    with pytest.raises(InputError, match=r"restore lacks operator='upscale:4'.*noise=0.1"):
        model.restore(y)


def test_samples_that_do_not_agree_with_the_image_are_named(waves):
    """The distance is that of the samples, measured again, and a message says how many times the noise it is."""
    model, truth = waves
    y = as_bytes(Blur(1.0).apply(truth))
    near, far = (model.restore(y, "blur:1", n=ITEMS, steps=steps, decode=False) for steps in (50, 1))
    assert "times its noise" not in near.reason
    stated = float(far.reason.partition("differ from the image by ")[2].split()[0])
    decoded = model.restore(y, "blur:1", n=ITEMS, steps=1)
    low = -Blur(1.0).apply(torch.ones(1, 1, 16, 16))
    measured = Blur(1.0).apply(model.spec.codec.encode(decoded)) - (y / model.spec.codec.scale + low)
    assert stated == pytest.approx(float(measured.square().mean().sqrt()), rel=0.05)


def test_an_image_with_less_noise_than_the_user_says_is_named(waves):
    model, truth = waves
    noisy, clean = (model.restore(as_bytes(truth, noise), None, 0.3, n=ITEMS, steps=2) for noise in (0.3, 0.0))
    assert "has less noise than 0.3" in clean.reason
    assert "has less noise" not in noisy.reason
