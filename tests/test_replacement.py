"""Replacement against RePaint's algorithm written out, and its error beside what is known."""

import math
from itertools import pairwise

import pytest
import torch

from ancestral import guidance, oracle, randomness, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.guidance.replacement import DRAW
from ancestral.operators import Downsample, Linear, Mask
from ancestral.randomness import Stream
from ancestral.samplers import DDIM, DDPM
from ancestral.targets import Prediction

F64 = torch.float64
SHAPE = (1, 4, 4)
KNOWN = (torch.arange(16).reshape(4, 4) % 3 > 0).double()


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_with_resampled_times_it_is_repaint_written_out():
    """Algorithm 1 with jumps: known pixels are the noised image, the others DDPM's, and rises go by q(x_t | x_s)."""
    schedule = schedules.linear(12)
    denoiser = oracle.Mixture(schedule, normal(5, *SHAPE), torch.full((5,), 0.3, dtype=F64))
    image, x_T, indices = normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=2), [5, 3]
    times = samplers.resampled(DDPM().times(schedule), jump=3, repeats=2)
    assert sum(s > t for t, s in pairwise(times)) == 3

    def z(t, visit, draw):
        number = (draw, visit) if visit else draw or None
        return randomness.normal(SHAPE, 7, Stream.REVERSE, t, indices, draw=number).double()

    alpha_bar, x = schedule.alpha_bar, x_T
    for number, (t, s) in enumerate(pairwise(times)):
        visit = times[:number].count(t)
        alpha = alpha_bar[max(t, s)] / alpha_bar[min(t, s)]
        if s > t:
            x = alpha.sqrt() * x + (1 - alpha).sqrt() * z(t, visit, 0)
            continue
        x = KNOWN * (alpha_bar[t].sqrt() * image + (1 - alpha_bar[t]).sqrt() * z(t, visit, DRAW)) + (1 - KNOWN) * x
        eps = denoiser.predict(x, t).eps
        x = (x - (1 - alpha) / (1 - alpha_bar[t]).sqrt() * eps) / alpha.sqrt()
        x = x + (1 - alpha).sqrt() * z(t, visit, 0) if s else x
    x = KNOWN * image + (1 - KNOWN) * x

    mask = Mask(KNOWN)
    repaint = guidance.Replacement(denoiser, mask.apply(image), mask)
    sample = DDPM(clip=None).sample(repaint, x_T, times, seed=7, indices=indices)
    torch.testing.assert_close(sample, x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("operator", [Downsample(2), Mask(KNOWN)], ids=["downsample", "mask"])
def test_the_sample_agrees_with_y(operator):
    schedule = schedules.linear()
    denoiser = oracle.Mixture(schedule, normal(5, *SHAPE), torch.full((5,), 0.3, dtype=F64))
    y = operator.apply(normal(1, *SHAPE, seed=1).clamp(-1, 1))
    sample = DDIM(4, clip=None).sample(guidance.Replacement(denoiser, y, operator), normal(3, *SHAPE, seed=2))
    torch.testing.assert_close(operator.apply(sample), y.expand(3, *y.shape[1:]), rtol=0, atol=1e-12)


class Recorder:
    """A denoiser of x̂_0 = 0 that keeps what it was given."""

    schedule = schedules.linear()

    def predict(self, x_t, t, **condition):
        self.x = x_t
        return Prediction(torch.zeros_like(x_t), torch.zeros_like(x_t))


def test_noise_of_y_counts_as_noise_of_the_level():
    """Where y holds more noise than x_t, both are left to the model."""
    recorder, mask = Recorder(), Mask(KNOWN)
    y = mask.apply(normal(1, *SHAPE))
    replacement = guidance.Replacement(recorder, y, mask, noise=0.5)
    z, x = normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=2)
    move = samplers.Move(recorder.schedule, 300, 200, recorder.predict, lambda draw: z)
    for t in (300, torch.tensor([300, 500])):
        prediction = replacement.for_move(move).predict(x, t)
        a, b = (torch.as_tensor(scale).reshape(-1, 1, 1, 1) for scale in recorder.schedule.at(t))
        known = a * y + (b**2 - 0.25 * a**2).sqrt() * z
        torch.testing.assert_close(recorder.x, torch.where(KNOWN > 0, known, x))
        torch.testing.assert_close(prediction.x0, y.expand(2, *SHAPE))
        torch.testing.assert_close(a * prediction.x0 + b * prediction.eps, x)
    a, b = recorder.schedule.at(100)
    assert b < 0.5 * a
    assert not replacement.for_move(move).predict(x, 100).x0.any()
    assert torch.equal(recorder.x, x)
    replacement.predict(x, 300)  # no step, no noise
    assert torch.equal(recorder.x, x)


def test_repaint_mends_a_part_of_the_error_beside_what_is_known():
    """Of a correlated pair whose first number is 1, the second has the mean 0.9 and the variance 0.19."""
    schedule = schedules.linear()
    axes = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=F64) / math.sqrt(2)
    denoiser = oracle.Gaussian(schedule, torch.zeros(1, 2, dtype=F64), torch.tensor([1.9, 0.1], dtype=F64).sqrt(), axes)
    first = Linear(lambda x: x[:, :1])
    wrapped = guidance.Replacement(denoiser, torch.ones(1, 1, dtype=F64), first)
    sampler = DDPM(steps=50, clip=None)
    x_T, times = normal(500, 2), sampler.times(schedule)
    once = sampler.sample(wrapped, x_T, times)[:, 1].mean()
    repaint = sampler.sample(wrapped, x_T, samplers.resampled(times, 5, 5))[:, 1].mean()
    assert abs(once - 0.9) > 0.1
    assert abs(repaint - 0.9) < 0.5 * abs(once - 0.9)


def test_guidance_goes_inside():
    """A denoiser that makes its batch larger would leave z too small."""
    denoiser, mask = oracle.Gaussian(schedules.linear(), 0.0, 0.5), Mask(KNOWN)
    inside = guidance.Replacement(denoiser, torch.zeros(1, *SHAPE, dtype=F64), mask)
    labels = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InputError, match="Replacement goes around other guidance"):
        DDIM(3).sample(guidance.ClassifierFree(inside, 2.0), normal(2, *SHAPE), labels=labels)
    around = guidance.Replacement(guidance.ClassifierFree(denoiser, 2.0), torch.zeros(1, *SHAPE, dtype=F64), mask)
    assert DDIM(3).sample(around, normal(2, *SHAPE), labels=labels).isfinite().all()
