"""Tiles: their weights, what they cut, and their error against the exact denoiser of Gaussian fields."""

import math

import pytest
import torch

from ancestral import guidance, oracle, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.targets import X0, Prediction

T, N, WINDOW = 100, 64, 16
SCHEDULE = schedules.cosine(T)
FREQUENCY = 2 * math.pi * torch.fft.fftfreq(N, dtype=torch.float64)
SQUARES = FREQUENCY[:, None] ** 2 + FREQUENCY**2


def spectrum(length):
    """Power of a periodic field of variance ¼ whose correlation falls below 1/e at about 1.7 lengths."""
    power = (1 + SQUARES * length**2) ** -2
    return power / power.mean() / 4


class Whole:
    """The exact denoiser of the periodic field."""

    schedule = SCHEDULE

    def __init__(self, power):
        self.power = power

    def predict(self, x_t, t, **_):
        a, b = (float(scale) for scale in SCHEDULE.at(t))
        gain = a * self.power / (a * a * self.power + b * b)
        return X0.solve(x_t, torch.fft.ifft2(torch.fft.fft2(x_t) * gain).real, *SCHEDULE.at(t))


def window(power):
    """The exact denoiser of a window of the field, which knows nothing of what lies outside."""
    covariance = torch.fft.ifft2(power).real
    lags = (torch.arange(WINDOW)[:, None] - torch.arange(WINDOW)) % N
    matrix = covariance[lags[:, None, :, None], lags[None, :, None, :]].reshape(WINDOW**2, -1)
    variances, basis = torch.linalg.eigh(matrix)
    mean = torch.zeros(1, 1, WINDOW, WINDOW, dtype=torch.float64)
    return oracle.Gaussian(SCHEDULE, mean, variances.clamp(min=0).sqrt(), basis)


def draw(count, power, seed=0):
    white = torch.randn(count, 1, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real


@pytest.mark.parametrize("t", [5, 30, 60, 90])
def test_tiles_of_an_exact_window_are_nearly_exact(t):
    power = spectrum(2.0)
    x0, (a, b) = draw(4, power), (float(scale) for scale in SCHEDULE.at(t))
    noise = torch.randn(x0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x_t = a * x0 + b * noise
    exact = Whole(power).predict(x_t, t).x0
    tiled = guidance.Tiled(window(power), WINDOW, WINDOW // 2, periodic=True).predict(x_t, t).x0
    uncertainty = (exact - x0).square().mean().sqrt()
    assert (tiled - exact).square().mean().sqrt() < 0.035 * uncertainty
    hard = guidance.Tiled(window(power), WINDOW, 0, periodic=True).predict(x_t, t).x0
    assert (tiled - exact).norm() < 0.6 * (hard - exact).norm()


def test_samples_of_tiles_have_the_spectrum_of_the_field_and_no_seams():
    power = spectrum(2.0)
    tiled = guidance.Tiled(window(power), WINDOW, WINDOW // 2, periodic=True)
    x_T = torch.randn(24, 1, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    sampler = samplers.Heun(60, clip=None)
    radius = SQUARES.sqrt()
    drawn = [sampler.sample(denoiser, x_T).double() for denoiser in (tiled, Whole(power))]
    powers = [torch.fft.fft2(x).abs().square().mean((0, 1)) for x in drawn]
    for low in (1, 2, 4):
        band = (radius >= 2 * math.pi / WINDOW * low) & (radius < 4 * math.pi / WINDOW * low)
        assert (powers[0][band].sum() / powers[1][band].sum()).item() == pytest.approx(1, abs=0.05)
    steps = (drawn[0] - drawn[0].roll(1, -1)).square().mean((0, 1, 2)).view(-1, WINDOW // 2)  # by place in a tile
    across = steps.mean(0) / steps.mean()
    assert (across - 1).abs().max() < 4 * (steps.std(0) / steps.mean() / math.sqrt(len(steps))).max()


class Recorded:
    """A denoiser that answers what it is given, and keeps it."""

    schedule = SCHEDULE

    def __init__(self):
        self.parts = []

    def predict(self, x_t, t, **condition):
        self.parts.append((x_t, condition))
        return Prediction(x_t * 2, x_t, x_t / 4)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(1, 13, 29), (2, 8, 40), (1, 31), (1, 9, 10, 17)])
def test_tiles_cover_items_of_odd_sides_and_conditions_are_cut_alike(shape, periodic):
    inner, x = Recorded(), torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    tiled = guidance.Tiled(inner, 8, 3, periodic=periodic)
    prediction = tiled.predict(x, 7, image=x + 1, label=torch.arange(3))
    torch.testing.assert_close(prediction.x0, 2 * x)
    torch.testing.assert_close(prediction.variance_fraction, x / 4)
    a, b = (float(scale) for scale in SCHEDULE.at(7))
    torch.testing.assert_close(a * prediction.x0 + b * prediction.eps, x, rtol=1e-4, atol=1e-4)
    for part, condition in inner.parts:
        assert part.shape[2:] == (8,) * (len(shape) - 1)
        torch.testing.assert_close(condition["image"], part + 1)
        assert condition["label"].tolist() == [0, 1, 2]


def test_a_tile_of_the_whole_item_is_the_denoiser_itself():
    inner, x = Recorded(), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(guidance.Tiled(inner, 8, 4).predict(x, 7).x0, 2 * x)
    assert len(inner.parts) == 1


def test_what_cannot_be_tiled_is_refused():
    for size, overlap in ((1, 0), (8, 5), (8, -1), ((8, 16), (4, 9))):
        with pytest.raises(InputError, match="overlap by 0 to"):
            guidance.Tiled(Recorded(), size, overlap)
    with pytest.raises(InputError, match="smaller than tiles of 8"):
        guidance.Tiled(Recorded(), 8, 2).predict(torch.zeros(1, 1, 7, 9), 3)
    with pytest.raises(InputError, match="items of more"):
        guidance.Tiled(Recorded(), (8, 8), 2).predict(torch.zeros(1, 1, 9, 9, 9), 3)


def test_a_posterior_takes_tiles():
    power = spectrum(2.0)
    x0, (a, b) = draw(1, power), (float(scale) for scale in SCHEDULE.at(40))
    x_t = a * x0 + b * torch.randn(x0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tiled = guidance.Tiled(window(power), WINDOW, WINDOW // 2, periodic=True)
    from ancestral.operators import Mask

    known = torch.zeros(N, N, dtype=torch.float64)
    known[:, : N // 2] = 1
    x = guidance.Posterior(tiled, x0 * known, Mask(known), 0.0, "ddnm").predict(x_t, 40).x0
    torch.testing.assert_close(x * known, x0 * known)
