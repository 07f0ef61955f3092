"""Denoisers that wrap denoisers."""

import numpy as np
import pytest
import torch
from torch import nn

from ancestral import Diffusion, guidance, nets, oracle, schedules
from ancestral.data.spec import Codec, DataSpec
from ancestral.errors import InputError
from ancestral.model import Model
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


def test_guidance_drops_the_conditions_that_it_names():
    """A network of one's own with a text embedding: absent is a vector of its own, the other condition stays."""

    class TextNet(nn.Module):
        def forward(self, x, index, text, size, mode):
            assert mode == "plain"
            return (text.sum(1) + size)[:, None].expand_as(x)

    inner = Diffusion(TextNet(), schedules.linear())
    text, size = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([10.0, 20.0])
    guided = guidance.ClassifierFree(inner, 3.0, drop={"text": torch.tensor([0.5, 0.5])})
    found = guided.predict(torch.zeros(2, 1), 10, text=text, size=size, mode="plain").eps.flatten()
    free, full = 1.0 + size, text.sum(1) + size
    torch.testing.assert_close(found, free + 3.0 * (full - free))
    with pytest.raises(InputError, match="guidance strengthens text, and none is given: pass text="):
        guided.predict(torch.zeros(2, 1), 10, size=size, mode="plain")


def test_a_wrapper_has_the_device_of_what_it_wraps():
    net = nets.MLP(features=2, width=16, classes=3).to("meta")
    guided = guidance.ClassifierFree(guidance.ClassifierFree(Diffusion(net, schedules.linear()), 2.0), 1.5)
    assert guided.device == Diffusion(net, schedules.linear()).device == torch.device("meta")
    assert Model(guided, DataSpec((2,), Codec("float"))).device == torch.device("meta")
    assert guidance.ClassifierFree(oracle.Gaussian(schedules.linear(), 0.0, 1.0), 2.0).device == torch.device("cpu")


def test_what_guidance_cannot_drop_is_refused():
    inner = Diffusion(LabelNet(), schedules.linear())
    for drop in ({}, ["labels"], {"labels": None}):
        with pytest.raises(InputError, match="drop names at least one condition"):
            guidance.ClassifierFree(inner, 2.0, drop=drop)
    with pytest.raises(InputError, match="guidance drops labels: give it as a tensor"):
        guidance.ClassifierFree(inner, 2.0).predict(torch.zeros(2, 1), 10, labels=4)
    one = guidance.ClassifierFree(inner, 2.0).predict(torch.zeros(2, 1), 10, labels=torch.tensor([4]))
    assert one.eps.flatten().tolist() == pytest.approx([9.0, 9.0])
