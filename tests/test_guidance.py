"""Denoisers that wrap denoisers."""

import numpy as np
import pytest
import torch
from torch import nn

from ancestral import Diffusion, guidance, nets, schedules
from ancestral.errors import InputError
from ancestral.samplers import DDIM
from ancestral.targets import Prediction


class LabelNet(nn.Module):
    """Answers with the label, whatever x is."""

    def forward(self, x, index, labels):
        self.calls = getattr(self, "calls", 0) + 1
        return labels.to(x.dtype)[:, None].expand_as(x)


@pytest.mark.parametrize(("scale", "expected"), [(0.0, -1.0), (1.0, 4.0), (2.0, 9.0)])
def test_guidance_moves_from_no_class_through_the_label_and_on(scale, expected):
    inner = Diffusion(LabelNet(), schedules.linear())
    guided = guidance.ClassifierFree(inner, scale).predict(torch.randn(2, 3), 10, labels=torch.tensor([4, 4]))
    assert guided.eps.flatten().tolist() == pytest.approx([expected] * 6, abs=1e-6)
    assert inner.net.calls == 1


def test_the_guided_pair_still_adds_up_to_x_t():
    schedule = schedules.linear()
    inner = Diffusion(LabelNet(), schedule)
    x_t, t, labels = torch.randn(3, 2, dtype=torch.float64), torch.tensor([1, 500, 1000]), torch.tensor([0, 1, 2])
    x0, eps = guidance.ClassifierFree(inner, 1.7).predict(x_t, t, labels=labels)
    torch.testing.assert_close(schedule.add_noise(x0, t, eps), x_t, rtol=1e-9, atol=1e-9)


def test_scale_one_is_the_denoiser_itself():
    torch.manual_seed(0)
    inner = Diffusion(nets.MLP(features=2, width=16, classes=3), schedules.linear())
    nn.init.normal_(inner.net.out.weight)
    labels = torch.tensor([0, 1, 2])
    x_T = torch.randn(3, 2)
    plain = DDIM(5).sample(inner, x_T, labels=labels)
    torch.testing.assert_close(DDIM(5).sample(guidance.ClassifierFree(inner, 1.0), x_T, labels=labels), plain)


@pytest.mark.parametrize("condition", [{}, {"labels": None}], ids=["none", "None"])
def test_guidance_without_labels_is_refused(condition):
    guided = guidance.ClassifierFree(Diffusion(LabelNet(), schedules.linear()), 2.0)
    with pytest.raises(InputError, match="pass labels="):
        guided.predict(torch.randn(2, 3), 10, **condition)


def test_guidance_takes_the_integers_of_numpy_and_no_images():
    guided = guidance.ClassifierFree(Diffusion(LabelNet(), schedules.linear()), 2.0)
    x, labels = torch.randn(2, 3), torch.tensor([4, 4])
    assert torch.equal(guided.predict(x, np.int64(10), labels=labels).eps, guided.predict(x, 10, labels=labels).eps)
    assert guided.predict(x[:0], 10, labels=labels[:0]).eps.shape == (0, 3)


@pytest.mark.parametrize("t", [torch.tensor(3), torch.tensor([3])])
def test_one_time_as_a_tensor_is_that_of_all_images(t):
    class Labelled:
        schedule = schedules.linear()

        def predict(self, x_t, t, labels):
            assert torch.as_tensor(t).numel() in (1, len(x_t))
            return Prediction(x_t * labels[:, None], x_t)

    x, labels = torch.randn(4, 2), torch.arange(4)
    one, other = (guidance.ClassifierFree(Labelled(), 2.0).predict(x, time, labels=labels) for time in (t, 3))
    assert torch.equal(one.x0, other.x0)
