"""Denoisers that wrap denoisers."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.distributions import MultivariateNormal

from ancestral import Diffusion, guidance, nets, operators, oracle, schedules
from ancestral.base.errors import InputError
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model
from ancestral.samplers import DDIM
from ancestral.targets import X0, Prediction, exact_at_zero


class LabelNet(nn.Module):
    """Answers with the label, whatever x is."""

    def forward(self, x, index, labels):
        self.calls = getattr(self, "calls", 0) + 1
        return labels.to(x.dtype)[:, None].expand_as(x)


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
    """A custom network with a text embedding: absent is a vector of its own, the other condition stays."""

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
    for drop in ({}, {"labels": None}):
        with pytest.raises(InputError, match="drop names at least one condition"):
            guidance.ClassifierFree(inner, 2.0, drop=drop)
    with pytest.raises(InputError, match="guidance drops labels: give it as a tensor"):
        guidance.ClassifierFree(inner, 2.0).predict(torch.zeros(2, 1), 10, labels=4)
    one = guidance.ClassifierFree(inner, 2.0).predict(torch.zeros(2, 1), 10, labels=torch.tensor([4]))
    assert one.eps.flatten().tolist() == pytest.approx([9.0, 9.0])


# -- an exact conditional oracle --------------------------------------------------------------------------------------

EXACT = {"rtol": 1e-10, "atol": 1e-10}
F64 = torch.float64


COLUMNS = {"x": [0, 1, 2], "angle": [3], "low": [4, 5]}
"""The values of x_0 and of two conditions that are jointly Gaussian."""


class JointGaussian:
    """The exact denoiser of x_0 (3 values) given any of two conditions, `angle` (1 value) and `low` (2 values).

    A condition has a last value, which is 1 where it is there and 0 where it is absent.
    """

    def __init__(self, schedule, seed=0, spread=1.0):
        rng = torch.Generator().manual_seed(seed)
        self.mean = torch.randn(6, generator=rng, dtype=F64)
        root = torch.randn(6, 6, generator=rng, dtype=F64)
        self.covariance = spread * (root @ root.T + 0.1 * torch.eye(6, dtype=F64))
        self.schedule, self.calls, self.rows = schedule, 0, 0

    def at(self, t, names):
        """The columns of x_t and of some conditions, and their means and covariance."""
        columns = COLUMNS["x"] + [column for name in names for column in COLUMNS[name]]
        a, b = self.schedule.at(t)
        scale = torch.tensor([a] * 3 + [1.0] * (len(columns) - 3), dtype=F64)
        noise = torch.tensor([b**2] * 3 + [0.0] * (len(columns) - 3), dtype=F64)
        covariance = self.covariance[columns][:, columns] * scale * scale[:, None] + noise.diag()
        return columns, scale * self.mean[columns], covariance

    def observed(self, x_t, condition):
        """x_t and the conditions that are there, of one item, and the names of the latter."""
        names = [name for name in ("angle", "low") if name in condition and condition[name][-1] == 1]
        return torch.cat([x_t, *(condition[name][:-1] for name in names)]), names

    @exact_at_zero
    def predict(self, x_t, t, **condition):
        self.calls, self.rows = self.calls + 1, self.rows + len(x_t)
        times = torch.as_tensor(t).expand(len(x_t)).tolist()
        x0s = []
        for row, time in enumerate(times):
            values, names = self.observed(x_t[row], {name: value[row] for name, value in condition.items()})
            columns, mean, covariance = self.at(time, names)
            a, _ = self.schedule.at(time)
            with_x0 = self.covariance[:3][:, columns] * torch.tensor([a] * 3 + [1.0] * (len(columns) - 3), dtype=F64)
            x0s.append(self.mean[:3] + with_x0 @ torch.linalg.solve(covariance, values - mean))
        return X0.solve(x_t, torch.stack(x0s), *self.schedule.at(t))

    def score(self, x_t, t, condition):
        """∇ log p_t(x_t, conditions) of one item, by autograd of the density."""
        x_t = x_t.detach().requires_grad_()
        values, names = self.observed(x_t, condition)
        _, mean, covariance = self.at(t, names)
        return torch.autograd.grad(MultivariateNormal(mean, covariance).log_prob(values), x_t)[0]


def joint_batch(seed=0):
    """x_t (4, 3) at four times, and both conditions."""
    rng = torch.Generator().manual_seed(seed)
    x, angle, low = (torch.randn(4, size, generator=rng, dtype=F64) for size in (3, 1, 2))
    here = torch.ones(4, 1, dtype=F64)
    return x, torch.tensor([1, 30, 70, 100]), {"angle": torch.cat([angle, here], 1), "low": torch.cat([low, here], 1)}


def scores(joint, x, t, condition, weights):
    """ε̂ = −b Σ weight · ∇ log p_t(x_t, the conditions named) of each item."""
    total = torch.zeros_like(x)
    for row, (names, weight) in itertools.product(range(len(x)), weights.items()):
        given = {name: condition[name][row] for name in names}
        total[row] += weight * joint.score(x[row], int(t[row]), given)
    return -joint.schedule.at(t)[1][:, None] * total


BOTH = ("angle", "low")


@pytest.mark.parametrize(
    ("scale", "weights", "passes"),
    [
        (2.5, {(): -1.5, BOTH: 2.5}, 2),
        (0.0, {(): 1.0}, 2),
        ({"low": 1.5, "angle": 4.0}, {(): -0.5, ("low",): -2.5, BOTH: 4.0}, 3),
        ({"angle": 4.0, "low": 1.5}, {(): -3.0, ("angle",): 2.5, BOTH: 1.5}, 3),
        ({"angle": 2.0, "low": 2.0}, {(): -1.0, BOTH: 2.0}, 2),
        ({"angle": 3.0, "low": 1.0}, {("low",): -2.0, BOTH: 3.0}, 2),
        ({"angle": 3.0}, {("low",): -2.0, BOTH: 3.0}, 2),
        ({"angle": 0.0, "low": 2.0}, {(): -1.0, ("low",): 2.0}, 3),
        ({"angle": 0, "low": 1}, {("low",): 1.0}, 2),
        ({"low": 1, "angle": 1, "unknown": 5}, {BOTH: 1.0}, 2),
    ],
    ids=str,
)
def test_guidance_of_an_exact_conditional_oracle_is_its_formula(scale, weights, passes):
    """Against the scores of the joint density, by autograd: for two scales they are those of InstructPix2Pix (3),
    ∇ log p(x) + s_1 ∇ log p(c_1 | x) + s_2 ∇ log p(c_2 | x, c_1).
    """
    joint = JointGaussian(schedules.cosine(100))
    x, t, condition = joint_batch()
    found = guidance.ClassifierFree(joint, scale).predict(x, t, **condition)
    torch.testing.assert_close(found.eps, scores(joint, x, t, condition, weights), **EXACT)
    torch.testing.assert_close(joint.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)
    assert (joint.calls, joint.rows) == (1, passes * len(x))


def test_a_blend_of_two_conditions_is_their_estimates_in_shares():
    """Item by item, and bit for bit those of the denoiser at weights 0 and 1."""
    joint = JointGaussian(schedules.cosine(100))
    x, t, condition = joint_batch()
    other = {"angle": condition["angle"].flip(0) * torch.tensor([[1.0], [1.0], [1.0], [0.0]], dtype=F64)}
    one, two = joint.predict(x, t, **condition), joint.predict(x, t, **condition | other)
    weights = torch.tensor([0.0, 0.3, 1.0, 0.75], dtype=F64)
    found = guidance.Blend(joint, other, weights).predict(x, t, **condition)
    torch.testing.assert_close(found.x0, (1 - weights[:, None]) * one.x0 + weights[:, None] * two.x0, **EXACT)
    torch.testing.assert_close(joint.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)
    assert torch.equal(found.x0[0], one.x0[0])
    assert torch.equal(found.x0[2], two.x0[2])
    for weight, plain in ((0, one), (1, two)):
        joint.calls = 0
        found = guidance.Blend(joint, other, weight).predict(x, t, **condition)
        assert torch.equal(found.x0, plain.x0)
        assert torch.equal(found.eps, plain.eps)
        assert joint.calls == 1


def test_a_blend_walks_between_labels_and_keeps_a_learned_variance():
    torch.manual_seed(0)
    inner = Diffusion(nets.MLP(2, 16, classes=3, out_features=4), schedules.linear(), learned_variance=True)
    sampler = DDIM(5, clip=None)
    nn.init.normal_(inner.net.out.weight)
    x_T, labels, other = torch.randn(3, 2), torch.zeros(3, dtype=torch.int64), torch.tensor([2])
    ends = [sampler.sample(inner, x_T, labels=label) for label in (labels, other.expand(3))]
    walk = guidance.Blend(inner, {"labels": other}, torch.tensor([0.0, 0.5, 1.0]))
    samples = sampler.sample(walk, x_T, labels=labels)
    assert torch.equal(samples[0], ends[0][0])
    assert torch.equal(samples[2], ends[1][2])
    assert not torch.allclose(samples[1], ends[0][1])
    assert not torch.allclose(samples[1], ends[1][1])
    fraction = walk.predict(x_T, 10, labels=labels).variance_fraction
    assert torch.equal(fraction[0], inner.predict(x_T, 10, labels=labels).variance_fraction[0])
    guided = guidance.Blend(guidance.ClassifierFree(inner, 2.0), {"labels": other}, 0.5)
    assert sampler.sample(guided, x_T, labels=labels).isfinite().all()


def test_weights_that_are_no_shares_are_refused():
    inner = JointGaussian(schedules.cosine(100))
    for weights in (-0.1, 1.5, math.inf, torch.tensor([[0.5]])):
        with pytest.raises(InputError, match="weights are from 0 to 1"):
            guidance.Blend(inner, {}, weights)
    x, t, condition = joint_batch()
    with pytest.raises(InputError, match="4 items need one weight or 4, not 2"):
        guidance.Blend(inner, {}, torch.tensor([0.5, 0.5])).predict(x, t, **condition)


def test_a_chain_of_three_scales_adds_one_condition_after_another():
    class Sum:
        schedule = schedules.linear()

        def predict(self, x_t, t, **condition):
            value = condition["a"] + 2 * condition["b"] + 4 * condition["c"] + condition["a"] * condition["c"]
            return Prediction(value, x_t)

    x, given = torch.zeros(1, 1, dtype=F64), {name: torch.ones(1, 1, dtype=F64) for name in "abc"}
    found = guidance.ClassifierFree(Sum(), {"a": 2.0, "b": 3.0, "c": 2.0}).predict(x, 5, **given).x0
    assert found.item() == 2 * 1 + 3 * 2 + 2 * (4 + 1)  # equal scales that are no neighbours stay apart


@pytest.mark.parametrize("kind", ["auto", "classifier-free"])
def test_rescaled_guidance_has_the_deviation_of_plain_conditioning(kind):
    """Lin et al. (14) to (16), written out."""
    joint, weak = JointGaussian(schedules.cosine(100)), JointGaussian(schedules.cosine(100), seed=1)
    x, t, condition = joint_batch()
    plain = joint.predict(x, t, **condition)
    other = weak.predict(x, t, **condition) if kind == "auto" else joint.predict(x, t)
    x_cfg = other.x0 + 7.5 * (plain.x0 - other.x0)
    x_rescaled = x_cfg * (plain.x0.std(1) / x_cfg.std(1))[:, None]
    for share in (0.7, 1.0):
        wrapper = {
            "auto": guidance.AutoGuidance(joint, weak, 7.5, rescale=share),
            "classifier-free": guidance.ClassifierFree(joint, 7.5, rescale=share),
        }[kind]
        found = wrapper.predict(x, t, **condition)
        torch.testing.assert_close(found.x0, share * x_rescaled + (1 - share) * x_cfg, **EXACT)
        torch.testing.assert_close(joint.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)
    torch.testing.assert_close(found.x0.std(1), plain.x0.std(1), **EXACT)
    assert torch.equal(wrapper.predict(x, 0, **condition).x0, x)


def test_items_of_one_value_have_no_deviation_to_rescale():
    x, t, condition = torch.randn(3, 1, dtype=F64), 40, {"labels": torch.tensor([0, 1, 2])}
    inner = Diffusion(LabelNet(), schedules.linear())
    plain, rescaled = (
        guidance.ClassifierFree(inner, 3.0, rescale=share).predict(x, t, **condition) for share in (0, 1)
    )
    torch.testing.assert_close(rescaled.x0, plain.x0, **EXACT)


def autoguided(schedule, scale, **options):
    """Autoguidance of one joint density by another, wider one."""
    strong, weak = JointGaussian(schedule), JointGaussian(schedule, seed=1, spread=4.0)
    return strong, weak, guidance.AutoGuidance(strong, weak, scale, **options)


@pytest.mark.parametrize("given", [(), ("angle",), BOTH])
def test_autoguidance_is_the_score_of_a_ratio_of_densities(given):
    """Karras et al. (2024), (3) and (5): ∇ log p_1 + (w − 1) ∇ log p_1/p_0, with any conditions or none."""
    strong, weak, auto = autoguided(schedules.cosine(100), 2.2)
    x, t, condition = joint_batch()
    condition = {name: condition[name] for name in given}
    found = auto.predict(x, t, **condition)
    of_strong, of_weak = (scores(joint, x, t, condition, {given: 1.0}) for joint in (strong, weak))
    torch.testing.assert_close(found.eps, of_strong + 1.2 * (of_strong - of_weak), **EXACT)
    torch.testing.assert_close(strong.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)
    assert (strong.rows, weak.rows) == (len(x), len(x))


def test_a_weaker_model_may_know_fewer_conditions():
    strong, weak, auto = autoguided(schedules.cosine(100), 3.0, without=("low",))
    x, t, condition = joint_batch()
    found = auto.predict(x, t, **condition).eps
    of_strong = scores(strong, x, t, condition, {BOTH: 1.0})
    torch.testing.assert_close(found, 3 * of_strong - 2 * scores(weak, x, t, condition, {("angle",): 1.0}), **EXACT)


def test_a_weaker_model_with_another_schedule_is_refused():
    one = oracle.Gaussian(schedules.cosine(100), 0.0, 1.0)
    for other, difference in (
        (schedules.cosine(50), "50 steps, not 100"),
        (schedules.linear(100), r"noise .* at t = "),
    ):
        with pytest.raises(InputError, match=rf"^the weaker model has another schedule \({difference}.*snapshot"):
            guidance.AutoGuidance(one, oracle.Gaussian(other, 0.0, 1.0), 2.0)
    guidance.AutoGuidance(one, oracle.Gaussian(schedules.cosine(100), 0.0, 2.0), 2.0)  # equal, and another object


@pytest.mark.parametrize("t", [40, torch.tensor([0, 30, 70, 100])])
def test_clipped_estimates_still_add_up_to_x_t(t):
    joint = JointGaussian(schedules.cosine(100), spread=9.0)
    x, _, condition = joint_batch()
    plain, found = joint.predict(x, t, **condition), guidance.Clipped(joint, 0.7).predict(x, t, **condition)
    noisy = (torch.as_tensor(t).expand(4) > 0)[:, None]
    assert (plain.x0.abs() > 0.7).any()
    torch.testing.assert_close(found.x0, plain.x0.clamp(-0.7, 0.7).where(noisy, x), **EXACT)
    torch.testing.assert_close(joint.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)


def guided_by(kind, schedule):
    """A wrapper, what it wraps, and what counts its evaluations."""
    if kind == "auto":
        strong, weak, auto = autoguided(schedule, 2.2)
        return auto, strong, (strong, weak)
    joint = JointGaussian(schedule)
    return guidance.ClassifierFree(joint, {"low": 1.5, "angle": 4.0}), joint, (joint,)


@pytest.mark.parametrize("kind", ["auto", "classifier-free"])
def test_an_interval_guides_at_its_noise_levels_alone(kind):
    """Kynkäänniemi et al. (6): low < σ <= high, of each item."""
    schedule = schedules.cosine(100)
    wrapper, plain, counted = guided_by(kind, schedule)
    x, t, condition = joint_batch()
    sigma = (schedule.noise / schedule.signal)[t].tolist()
    with_guidance, without = wrapper.predict(x, t, **condition), plain.predict(x, t, **condition)
    for low, high, rows in (
        (0.0, math.inf, [True, True, True, True]),
        (sigma[0], sigma[2], [False, True, True, False]),
        (sigma[2], sigma[3] * 0.999, [False, False, False, False]),
    ):
        interval = guidance.Interval(wrapper, low, high)
        mask = torch.tensor(rows)[:, None]
        found = interval.predict(x, t, **condition)
        torch.testing.assert_close(found.x0, with_guidance.x0.where(mask, without.x0), **EXACT)
        torch.testing.assert_close(found.eps, with_guidance.eps.where(mask, without.eps), **EXACT)
        for row, inside in enumerate(rows):  # one time for the batch: guided, or evaluated once
            before = sum(joint.rows for joint in counted)
            one = interval.predict(x[row : row + 1], int(t[row]), **{k: v[row : row + 1] for k, v in condition.items()})
            torch.testing.assert_close(one.x0, found.x0[row : row + 1], **EXACT)
            passes = {"auto": 2, "classifier-free": 3}[kind] if inside else 1
            assert sum(joint.rows for joint in counted) - before == passes


def test_an_interval_without_an_upper_end_contains_noise_without_signal():
    joint = JointGaussian(schedules.flow(100))
    x, _, condition = joint_batch()
    wrapper = guidance.ClassifierFree(joint, 3.0)
    found = guidance.Interval(wrapper, 0.5).predict(x, 100, **condition)
    assert joint.schedule.at(100) == (0.0, 1.0)
    assert torch.equal(found.x0, wrapper.predict(x, 100, **condition).x0)


@pytest.mark.parametrize("kind", ["classifier-free", "auto", "interval"])
def test_wrappers_pass_the_step_on_to_all_that_they_wrap(kind):
    class OfStep:
        """The estimate of x_0 is a multiple of the time after the step."""

        def __init__(self, factor, after=None):
            self.schedule, self.factor, self.after = schedules.cosine(50), factor, after

        def for_move(self, move):
            return OfStep(self.factor, move.s)

        @exact_at_zero
        def predict(self, x_t, t, labels=None):
            x0 = torch.full_like(x_t, self.factor * self.after) + (0 if labels is None else labels[:, None])
            return X0.solve(x_t, x0, *self.schedule.at(t))

    labels = {"labels": torch.tensor([2, 3])}
    wrapper, condition, expected = {  # x̂_0 at the last step but one, after which comes t = 10
        "classifier-free": (guidance.ClassifierFree(OfStep(1.0), 2.0), labels, [10 - 1 + 2 * 3, 10 - 1 + 2 * 4]),
        "auto": (guidance.AutoGuidance(OfStep(1.0), OfStep(-1.0), 3.0), {}, [-2 * -10 + 3 * 10] * 2),
        "interval": (guidance.Interval(guidance.AutoGuidance(OfStep(1.0), OfStep(-1.0), 3.0), 0.1), {}, [50] * 2),
    }[kind]
    before = dict(vars(wrapper))
    steps = [*DDIM(5, clip=None).trajectory(wrapper, torch.zeros(2, 1, dtype=F64), **condition)]
    assert (steps[-3].t, steps[-2].t) == (20, 10)
    torch.testing.assert_close(steps[-3].x0, torch.tensor(expected, dtype=F64)[:, None], **EXACT)
    assert vars(wrapper) == before


def test_a_number_strengthens_all_tensors_that_are_given():
    """Integers are -1 where they are absent, floats 0, and what is no tensor is the same in both passes."""
    seen = {}

    class Recorder:
        schedule = schedules.linear()

        def predict(self, x_t, t, **condition):
            seen.update(condition)
            return Prediction(x_t, x_t)

    labels, tokens = torch.tensor([4, 5]), torch.ones(1, 3, 2)
    guidance.ClassifierFree(Recorder(), 2.0).predict(
        torch.zeros(2, 1), 10, labels=labels, tokens=tokens, mode="plain", low=None
    )
    assert seen["labels"].tolist() == [4, 5, -1, -1]
    assert torch.equal(seen["tokens"], torch.cat([torch.ones(2, 3, 2), torch.zeros(2, 3, 2)]))
    assert (seen["mode"], seen["low"]) == ("plain", None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: guidance.ClassifierFree(d, {}), r"names conditions with one each, not \{\}"),
        (lambda d: guidance.ClassifierFree(d, {"low": "2"}), "names conditions with one each"),
        (lambda d: guidance.ClassifierFree(d, None), "scale cannot be None: give a number or a Mapping"),
        (lambda d: guidance.ClassifierFree(d, math.nan), "scale cannot be nan: give a number or a Mapping"),
        (lambda d: guidance.ClassifierFree(d, math.inf), "a finite number, or names conditions with one each, not inf"),
        (lambda d: guidance.AutoGuidance(d, None, 2.0), "weak cannot be None: give a Denoiser"),
        (lambda d: guidance.AutoGuidance(d, d, math.inf), "a finite scale, not inf"),
        (
            lambda d: guidance.ClassifierFree(d, 2.0).predict(torch.zeros(5, 1), 1, low=torch.ones(3, 1)),
            r"low has the shape \(3, 1\): give it one row for each of 5 images",
        ),
        (lambda d: guidance.ClassifierFree(d, {"low": 2.0}, drop={"text": 0}), "drop names text, which scale does not"),
        (lambda d: guidance.ClassifierFree(d, 2.0, rescale=1.5), "rescale is a share from 0 to 1, not 1.5"),
        (lambda d: guidance.AutoGuidance(d, d, 2.0, rescale=-0.1), "rescale is a share from 0 to 1, not -0.1"),
        (lambda d: guidance.Interval(guidance.ClassifierFree(d, 2.0), 3.0, 2.0), "low < high, not 3.0 and 2.0"),
        (lambda d: guidance.Interval(d, 0.1, 2.0), "guidance cannot be a Gaussian: give a Wrapper"),
        (
            lambda d: guidance.ClassifierFree(d, 2.0).predict(torch.zeros(2, 1), 1, mask=torch.ones(2, 1).bool()),
            "an absent mask of torch.bool is not known: name its value in drop",
        ),
    ],
)
def test_what_wrappers_cannot_do_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(oracle.Gaussian(schedules.linear(), 0.0, 1.0))


# -- derivatives ------------------------------------------------------------------------------------------------------

SHAPE = (1, 4, 4)
OPERATORS = {
    "smaller": operators.Downsample(2),
    "mask": operators.Mask((torch.rand(4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).double()),
    "blur": operators.Blur(0.8),
    "crop": operators.Crop((0, 1), (2, 2)),
    "mask, blur": operators.Mask(torch.eye(4, dtype=F64)) | operators.Blur(0.5),
    "own": operators.Linear(lambda x: x.cumsum(2)[..., :2]),
}


def images(seed, count=2):
    return torch.randn(count, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Labelled:
    """The exact denoiser of one of three mixtures, by the label, or of the first where the label is absent."""

    def __init__(self, seed=0):
        self.schedule = schedules.linear()
        self.mixtures = [oracle.Mixture(self.schedule, images(seed + i, 4), torch.full((4,), 0.4)) for i in range(3)]

    def predict(self, x_t, t, labels=None):
        x0 = torch.stack([mixture.predict(x_t, t).x0 for mixture in self.mixtures])
        mixtures = torch.zeros(len(x_t), dtype=int) if labels is None else labels.clamp(min=0)
        return X0.solve(x_t, x0[mixtures, torch.arange(len(x_t))], *self.schedule.at(t))


def posterior(method, operator, inner=None, noise=0.1):
    y = OPERATORS[operator].apply(images(9))
    if method == "dps":
        return guidance.DPS(inner or Labelled(), y, OPERATORS[operator], 0.5)
    return guidance.Posterior(inner or Labelled(), y, OPERATORS[operator], noise, method)


WRAPPERS = {
    "classifier-free": lambda: guidance.ClassifierFree(Labelled(), 2.0),
    "rescaled": lambda: guidance.ClassifierFree(Labelled(), 2.0, rescale=0.5),
    "auto": lambda: guidance.AutoGuidance(Labelled(), Labelled(5), 1.5),
    "interval": lambda: guidance.Interval(guidance.AutoGuidance(Labelled(), Labelled(5), 1.5), 0.1),
    "blend": lambda: guidance.Blend(Labelled(), {"labels": torch.tensor([0, 1])}, 0.3),
    "clipped": lambda: guidance.Clipped(Labelled(), 0.7),
    "skip": lambda: guidance.Skip(Labelled()),
    "replacement": lambda: guidance.Replacement(Labelled(), images(9), OPERATORS["mask"]),
    "dps of a posterior": lambda: posterior("dps", "smaller", posterior("mmps", "mask")),
    "a posterior of dps": lambda: posterior("pigdm", "smaller", posterior("dps", "mask")),
    **{
        f"{method}, {operator}": functools.partial(posterior, method, operator, noise=noise)
        for method in (*guidance.posterior.METHODS, "dps")
        for operator, noise in zip(OPERATORS, itertools.cycle([0.1, 0.0]))
    },
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_derivatives_of_every_wrapper_are_finite_differences(name):
    """Forward mode, reverse mode, and both as transforms of torch.func."""
    denoiser, x, v, u, h = WRAPPERS[name](), images(1), images(2), images(3), 1e-5
    condition = {"labels": torch.tensor([1, 2])}

    def x0(x):
        return denoiser.predict(x, 300, **condition).x0

    difference = (x0(x + h * v) - x0(x - h * v)) / (2 * h)
    close = functools.partial(torch.testing.assert_close, rtol=1e-6, atol=1e-7)
    close(torch.func.jvp(x0, (x,), (v,))[1], difference)
    with forward_ad.dual_level():
        close(forward_ad.unpack_dual(x0(forward_ad.make_dual(x, v))).tangent, difference)
    leaf = x.clone().requires_grad_()
    for transpose in (torch.autograd.grad(x0(leaf), leaf, u)[0], torch.func.vjp(x0, x)[1](u)[0]):
        close((transpose * v).sum(), (u * difference).sum())
    with torch.no_grad():
        assert not x0(leaf).requires_grad
    assert float(difference.abs().max()) > 0.01 or name == "ddnm, blur"  # which is inverted, whatever x_t is
