"""The reverse process and its loss, against formulas written out here a second time."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from ancestral import (
    Diffusion,
    guidance,
    nets,
    objectives,
    oracle,
    probability_flow,
    randomness,
    samplers,
    schedules,
    targets,
)
from ancestral.base.errors import InputError
from ancestral.bound import ELBO, bits_per_dim
from ancestral.randomness import Stream
from ancestral.reverse import prior, step_bits, transition
from ancestral.targets import Prediction

F64 = torch.float64


class Recorder(nn.Module):
    """A "network" that keeps what it is given and answers with a fixed function of it."""

    def forward(self, x, index, **condition):
        self.x, self.index, self.condition = x, index, condition
        return 0.3 * x + 0.1


def test_the_network_is_fed_the_index_t_minus_one():
    d = Diffusion(Recorder(), schedules.linear())
    d.predict(torch.zeros(3, 2), 1000)
    assert d.net.index.tolist() == [999, 999, 999]
    d.predict(torch.zeros(3, 2), torch.tensor([1, 2, 1000]))
    assert d.net.index.tolist() == [0, 1, 999]
    assert d.net.index.dtype == torch.int64


def test_condition_reaches_the_network():
    d = Diffusion(Recorder(), schedules.linear())
    labels = torch.tensor([4, 5])
    d.predict(torch.zeros(2, 2), 7, labels=labels)
    assert d.net.condition["labels"] is labels


@pytest.mark.parametrize("t", [1, 2, 500, 1000])
def test_mean_is_the_lectures_and_equals_the_posterior_at_the_prediction(t):
    """(11) against (7) at x̂_0, and against the lecture's formula with the paper's α_t, β_t and ᾱ_t."""
    s = schedules.linear()
    d = Diffusion(Recorder(), s)
    x = torch.randn(4, 2, dtype=F64)
    alpha, alpha_bar = 1 - s.beta[t], s.alpha_bar[t]
    lecture = (x - s.beta[t] / (1 - alpha_bar).sqrt() * (0.3 * x + 0.1)) / alpha.sqrt()
    torch.testing.assert_close(d.mean(x, t), lecture, rtol=1e-9, atol=1e-10)
    p = transition(s, d.predict(x, t), x, t, t - 1, "large")
    torch.testing.assert_close(p.mean, lecture, rtol=1e-9, atol=1e-10)
    assert p.variance == pytest.approx(s.beta[t].item(), rel=1e-9)


def test_small_variance_is_that_of_the_posterior():
    s, x = schedules.linear(), torch.zeros(1, 1, dtype=F64)
    alpha_bar, beta = s.alpha_bar, s.beta
    for t in (2, 10, 1000):
        truth = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]
        assert transition(s, Prediction(x, x), x, t, t - 1, "small").variance == pytest.approx(truth.item(), rel=1e-9)
    assert transition(s, Prediction(x, x), x, 1, 0, "small").variance == 0
    with pytest.raises(InputError, match="large, small, learned and analytic"):
        transition(s, Prediction(x, x), x, 1, 0, "medium")


def test_posterior_defaults_to_one_step():
    d, x = Diffusion(Recorder(), schedules.linear()), torch.randn(2, 3, dtype=F64)
    one, other = d.posterior(x, x, 10), d.schedule.posterior(x, x, 10, 9)
    assert torch.equal(one.mean, other.mean)
    assert one.variance == other.variance


@pytest.mark.parametrize("target", targets.BY_NAME.values(), ids=lambda target: target.name)
def test_loss_is_l_simple_written_out(target):
    s = schedules.linear()
    d = Diffusion(Recorder(), s, target)
    x0 = torch.randn(6, 3, 2, 2, dtype=F64)
    t = randomness.integers(1, 1000, 5, Stream.TIME, 9, range(6))
    eps = randomness.normal((3, 2, 2), 5, Stream.FORWARD, 9, range(6)).double()
    a, b = s.alpha_bar[t].sqrt().view(-1, 1, 1, 1), (1 - s.alpha_bar[t]).sqrt().view(-1, 1, 1, 1)
    x_t = a * x0 + b * eps
    sigma, data = b / a, 0.5  # EDM writes its network in σ = b/a and x_t/a (Karras et al. 2022, table 1)
    c_skip, c_out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
    c_in = 1 / (sigma**2 + data**2).sqrt()
    truth = {
        "eps": eps,
        "x0": x0,
        "v": a * eps - b * x0,
        "score": -eps / b,
        "flow": eps - x0,
        "edm": (x0 - c_skip * x_t / a) / c_out,
        "skip": x0 - 0.03**2 / sigma * eps,
    }[target.name]
    scaled = target in (targets.EDM, targets.SCORE)
    answer = 0.3 * (c_in * x_t / a if scaled else x_t) + 0.1
    expected = ((truth - (answer / b if target is targets.SCORE else answer)) ** 2).mean()
    assert d.loss(x0, seed=5, step=9).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize(
    ("schedule", "target", "scaled"),
    [
        (schedules.linear(), targets.EPS, False),
        (schedules.linear(), targets.SCORE, True),
        (schedules.flow(), targets.FLOW, False),
        (schedules.cosine(), targets.EDM, True),
        (schedules.geometric(), targets.EPS, True),
        (schedules.karras(), targets.V, True),
        (schedules.karras(), targets.EDM, True),
        (schedules.geometric(), targets.SCORE, True),
    ],
)
def test_what_a_network_sees_and_answers_is_of_order_one(schedule, target, scaled):
    """EDM's c_in, and NCSNv2's division of the score by σ; for one time and for many, in float32 as in float64."""
    d, times = Diffusion(Recorder(), schedule, target), torch.tensor([1, 500, 1000])
    x_t = d.add_noise(0.5 * torch.randn(3, 1000), times, torch.randn(3, 1000))
    output = d.output(x_t, times)
    for row, t in enumerate(times.tolist()):
        a, b = schedule.at(t)
        factor = torch.tensor((b**2 + 0.25 * a**2) ** -0.5 if scaled else 1.0)
        assert torch.equal(d.net.x[row], factor * x_t[row])
        if scaled:
            assert d.net.x[row].std().item() == pytest.approx(1, abs=4 / 2000**0.5)
        scale_out = torch.tensor(1 / b if target is targets.SCORE else 1.0)
        assert torch.equal(output[row], scale_out * (0.3 * d.net.x[row] + 0.1))
    one = d.output(x_t[1:2], 500)
    assert torch.equal(one, output[1:2])


@pytest.mark.parametrize("target", targets.BY_NAME.values(), ids=lambda target: target.name)
def test_the_scale_of_the_target_is_not_that_of_a_learned_variance(target):
    """1/b of the score is large at low noise, where a variance fraction that is scaled with it overflows."""

    class Twice(Recorder):
        def forward(self, x, index):
            return torch.cat([super().forward(x, index), torch.full_like(x, 0.2)], dim=1)

    for schedule in (schedules.linear(), schedules.geometric(100, 0.001, 50.0)):
        d = Diffusion(Twice(), schedule, target, learned_variance=True)
        one = Diffusion(Recorder(), schedule, target)
        x_t = torch.randn(2, 3, 4)
        for t in (1, torch.tensor([1, 90])):
            prediction = d.predict(x_t, t)
            torch.testing.assert_close(prediction.variance_fraction, torch.full_like(x_t, 0.6), rtol=1e-6, atol=0)
            assert torch.equal(prediction.x0, one.predict(x_t, t).x0)
            assert torch.equal(prediction.eps, one.predict(x_t, t).eps)


@pytest.mark.parametrize("target", targets.BY_NAME.values(), ids=lambda target: target.name)
def test_the_clipped_loss_is_that_of_the_clipped_image(target):
    """The answers of x̂_0 and of its clipped self lie D/b times as far apart as the images."""
    d = Diffusion(Recorder(), schedules.cosine(), target)
    t = torch.tensor([9, 99, 300, 600, 900, 999])
    x0, eps = torch.rand(6, 50, dtype=F64) * 2 - 1, 5 * torch.randn(6, 50, dtype=F64)
    a, b = d.schedule.at(t)
    guess = d.predict(d.add_noise(x0, t, eps), t).x0
    assert (guess.abs() > 1).any()
    want = ((guess.clamp(-1, 1) - x0) * (target.determinant(a, b) / b)[:, None]).square().mean(1)
    clipped = objectives.build(d.schedule, target, clip=True)
    torch.testing.assert_close(clipped.errors(d.forward_pass(x0, t, eps)), want, rtol=1e-6, atol=1e-9)


def test_what_is_beyond_the_range_costs_nothing_and_is_pulled_back_where_the_image_is_within():
    class Answer(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.tensor([[-1.5, -1.5, 1.5, 1.5, 0.5]], dtype=F64))

        def forward(self, x, index):
            return self.value

    d = Diffusion(Answer(), schedules.cosine(), targets.X0)
    objective = objectives.build(d.schedule, d.target, clip=True)
    x0 = torch.tensor([[-1.0, 0.0, 1.0, -1.0, 0.0]], dtype=F64)
    errors = objective.errors(d.forward_pass(x0, torch.tensor([400]), torch.randn(1, 5, dtype=F64)))
    assert errors.item() == pytest.approx((0 + 1 + 0 + 4 + 0.25) / 5)
    errors.sum().backward()
    assert d.net.value.grad[0].tolist() == pytest.approx([0, -2 / 5, 0, 4 / 5, 1 / 5])


def test_the_loss_of_a_batch_is_that_of_its_parts():
    """Two processes with half the images each see the same t and ε as one with all."""
    d = Diffusion(Recorder(), schedules.linear())
    x0 = torch.randn(8, 5, dtype=F64)
    halves = [d.loss(x0[i], seed=1, step=3, indices=i) for i in (range(4), range(4, 8))]
    whole = d.loss(x0, seed=1, step=3)
    assert ((halves[0] + halves[1]) / 2).item() == pytest.approx(whole.item(), rel=1e-12)
    assert halves[0].item() != pytest.approx(halves[1].item(), rel=1e-3)


def test_times_cover_one_to_T():
    """`randint(1, T)` that never trains t = T is a known mistake."""
    seen = []

    class Keeps(nn.Module):
        def forward(self, x, index):
            seen.append(index)
            return x

    d = Diffusion(Keeps(), schedules.linear(5))
    d.loss(torch.zeros(400, 1), seed=0, step=0)
    assert torch.bincount(torch.cat(seen), minlength=5).tolist() == pytest.approx([80] * 5, abs=4 * 8)


def test_prior_is_a_standard_normal_times_the_schedules_deviation():
    s = schedules.Schedule(torch.ones(2, dtype=F64), torch.tensor([0.0, 7.0], dtype=F64), prior_std=7.0)
    one, other = prior(schedules.linear(), (2, 2), 3, [5]), prior(s, (2, 2), 3, [5])
    assert torch.equal(other, 7 * one)
    assert torch.equal(one, randomness.normal((2, 2), 3, Stream.PRIOR, 0, [5]))


def test_the_loss_needs_its_step():
    """A default would train on one draw of t and ε for ever."""
    d, x0 = Diffusion(nn.Module(), schedules.linear()), torch.randn(2, 3)
    for call in (d.loss, d.losses):
        with pytest.raises(TypeError, match="required keyword-only argument: 'step'"):
            call(x0)


def test_the_module_is_its_loss_so_that_wrappers_of_a_module_work():
    """DistributedDataParallel, FSDP and Accelerate wrap `forward` of what they are given."""
    d, x0, labels = Diffusion(Recorder(), schedules.linear()), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert torch.equal(d(x0, step=7, seed=2, labels=labels), d.loss(x0, step=7, seed=2, labels=labels))
    assert d.net.condition["labels"] is labels


def test_a_step_whose_numbers_were_drawn_for_other_samples_is_refused():
    """A loop that forgets to count, and micro-batches, would train all samples on the same t and ε."""
    d, (one, two) = Diffusion(Recorder(), schedules.linear()), torch.randn(2, 4, 3)
    first = d.loss(one, step=5)
    with pytest.raises(InputError, match="t and ε of step 5 were drawn already, for other samples: count step up"):
        d.loss(two, step=5)
    with pytest.raises(InputError, match="drawn already"):
        copy.deepcopy(d).loss(one, step=5) + d(one[:2], step=5)  # a copy has drawn nothing
    assert torch.equal(d.loss(one.clone(), step=5), first)
    d.loss(two, step=5, seed=1)
    d.loss(one, step=6)
    d.loss(two, step=6, indices=range(4, 8))
    with torch.no_grad():
        d.loss(two, step=6)
    d.eval().loss(two, step=6)


def test_indices_are_numbers_of_any_kind_one_for_each_sample():
    d, x0 = Diffusion(Recorder(), schedules.linear()), torch.randn(3, 2)
    objective = objectives.Denoising(objectives.time_distribution("stratified", d.schedule))
    losses = [
        d.losses(x0, step=1, indices=indices, objective=objective)[1]
        for indices in ([7, 2, 90], torch.tensor([7, 2, 90]), np.array([7, 2, 90]))
    ]
    assert all(torch.equal(each, losses[0]) for each in losses)
    for wrong in ([0], range(4)):  # one index would give all samples one t and one ε
        with pytest.raises(InputError, match=f"3 samples and {len(wrong)} indices"):
            d.loss(x0, step=2, indices=wrong)


@pytest.mark.parametrize("step", [1.5, 2.0, -1, True])
def test_a_step_is_a_whole_number(step):
    """Random numbers between the integers are those of continuous times."""
    d = Diffusion(Recorder(), schedules.linear())
    with pytest.raises(InputError, match=f"a step is a whole number, 0 or more, not {step}"):
        d.loss(torch.randn(3, 2), step=step)
    assert d.loss(torch.randn(3, 2), step=np.int64(2)).isfinite()


def test_replicas_of_data_parallel_are_refused():
    """Each would draw t and ε of the samples 0, 1, ...; PyTorch makes replicas on GPUs only."""
    replica = Diffusion(Recorder(), schedules.linear())._replicate_for_data_parallel()
    with pytest.raises(InputError, match="use DistributedDataParallel"):
        replica(torch.randn(2, 3), step=0)
    replica(torch.randn(2, 3), step=0, indices=[0, 1])


def test_a_network_of_the_wrong_width_is_refused_and_not_broadcast():
    class Two(nn.Module):
        def forward(self, x, index):
            return x.repeat(1, 2) if self.double else x

    x0 = torch.randn(4, 2)
    for double, learned in ((False, True), (True, False)):
        net = Two()
        net.double = double
        denoiser = Diffusion(net, schedules.linear(20), learned_variance=learned)
        for call in (lambda x, d=denoiser: d.loss(x, step=0), lambda x, d=denoiser: d.predict(x, 3)):
            with pytest.raises(InputError, match="twice the channels"):
                call(x0)
    with pytest.raises(InputError, match="at least 2 steps"):
        Diffusion(Two(), schedules.linear(1), learned_variance=True)


def test_times_may_be_of_any_integer_type():
    d = Diffusion(Recorder(), schedules.cosine(200))
    objective = objectives.build(d.schedule, d.target, weighting="min-snr")
    x, t = torch.randn(3, 2, dtype=F64), torch.tensor([1, 7, 200])
    errors, eps = objective.errors(d.forward_pass(x, t, x)), d.predict(x, t).eps
    for dtype in (torch.int32, torch.uint8, torch.int16):
        assert torch.equal(d.predict(x, t.to(dtype)).eps, eps)
        assert d.net.index.dtype == torch.int64
        assert d.net.index.tolist() == [0, 6, 199]
        assert torch.equal(objective.errors(d.forward_pass(x, t.to(dtype), x)), errors)
    assert torch.equal(d.predict(x, np.int64(7)).eps, d.predict(x, 7).eps)
    assert torch.equal(d.mean(x, np.int64(7)), d.mean(x, 7))
    terms = [step_bits(d.schedule, d.predict(x, 7), x, x, t, "large") for t in (7, np.int64(7))]
    assert torch.equal(*terms)


@pytest.mark.parametrize(
    "t", [20.5, -0.5, math.nan, torch.tensor([2.0, 20.5]), True, torch.tensor([True, True])], ids=str
)
def test_what_is_no_time_is_refused(t):
    d, x = Diffusion(Recorder(), schedules.cosine(20)), torch.randn(2, 2)
    for call in (
        lambda: d.predict(x, t),
        lambda: d.add_noise(x, t, x),
        lambda: d.posterior(x, x, t, 1),
        lambda: d.errors(x, t, x),
        lambda: step_bits(d.schedule, Prediction(x, x), x, x, t, "large"),
    ):
        with pytest.raises(InputError, match=r"times must be|are outside"):
            call()


def test_times_between_the_integers():
    """The network gets index t − 1 as a float; the prediction is a solution of both rows at that time."""
    d, x = Diffusion(Recorder(), schedules.cosine(20), targets.V), torch.randn(2, 2, dtype=F64)
    for t in (2.5, torch.tensor([2.5, 7.25]), torch.tensor([0.5, 20.0])):
        x0, eps = d.predict(x, t)
        torch.testing.assert_close(d.add_noise(x0, t, eps), x, rtol=1e-12, atol=1e-12)
        expected = torch.as_tensor(t, dtype=F64).expand(2) - 1
        assert torch.equal(d.net.index, expected)
    d.predict(x.float(), 2.5)
    assert d.net.index.dtype == torch.float32
    d.predict(x, 2.0)  # an integer
    assert d.net.index.dtype == torch.int64
    with pytest.raises(InputError, match="need integer times"):
        step_bits(d.schedule, Prediction(x, x), x, x, 2.5, "large")


@pytest.mark.parametrize("t", [0, 0.0, torch.tensor([0, 0])], ids=["int", "float", "tensor"])
def test_clean_samples_are_their_own_estimate(t):
    d, x = Diffusion(Recorder(), schedules.cosine(20)), torch.randn(2, 2)
    x0, eps = d.predict(x, t)
    assert torch.equal(x0, x)
    assert torch.equal(eps, torch.zeros(2, 2))
    assert not hasattr(d.net, "x")  # it was not evaluated
    with pytest.raises(InputError, match="above 0"):
        d.errors(x, t, x)


def test_a_batch_may_be_clean_in_part():
    for d in (Diffusion(Recorder(), schedules.cosine(20)), oracle.Empirical(schedules.cosine(20), torch.randn(3, 2))):
        x = torch.randn(2, 2)
        mixed, alone = d.predict(x, torch.tensor([0, 7])), d.predict(x[1:], 7)
        torch.testing.assert_close(mixed.x0, torch.cat([x[:1], alone.x0]))
        torch.testing.assert_close(mixed.eps, torch.cat([torch.zeros(1, 2), alone.eps]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integer_images_are_refused(dtype):
    """Their dtype would round every scale to 0."""
    d, x = Diffusion(Recorder(), schedules.cosine(20)), torch.ones(2, 3, dtype=dtype)
    for call in (
        lambda: d.add_noise(x, 5, torch.randn(2, 3)),
        lambda: d.loss(x, seed=0, step=0),
        lambda: d.predict(x, 5),
        lambda: d.predict(x, torch.tensor([5, 6])),
        lambda: d.posterior(x, x, 5),
        lambda: bits_per_dim(d, x),
    ):
        with pytest.raises(InputError, match=r"must be floats in \[-1, 1\]"):
            call()


def test_no_images_have_a_prediction_but_no_loss():
    d, none = Diffusion(Recorder(), schedules.cosine(20)), torch.zeros(0, 3)
    assert d.predict(none, 5).x0.shape == d.predict(none, torch.zeros(0, dtype=torch.int64)).x0.shape == (0, 3)
    assert samplers.DDPM().sample(d, none).shape == (0, 3)
    with pytest.raises(InputError, match="the loss of no images"):
        d.loss(none, seed=0, step=0)
    with pytest.raises(InputError, match="the bound of no images"):
        bits_per_dim(d, none)


@pytest.mark.parametrize("t", [torch.tensor([1, 2]), torch.tensor([[1], [2], [3]]), torch.tensor([1 + 0j]), [1, 2, 3]])
def test_times_that_do_not_fit_the_images_are_refused(t):
    d = Diffusion(Zero(), schedules.linear())
    for call in (lambda: d.add_noise(torch.randn(3, 2), t, torch.randn(3, 2)), lambda: d.predict(torch.randn(3, 2), t)):
        with pytest.raises(InputError, match="time"):
            call()


class Zero(nn.Module):
    """Answers 0."""

    def forward(self, x, index):
        return 0 * x + 0 * index[:, None]


class Output(dict):
    """The answer of a network of other libraries: a dataclass with a field of its name."""

    sample = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            Output(),
            r"returned a Output, not a tensor: pass a module whose forward returns .*, net\(x, index\)\.sample$",
        ),
        ((Output.sample,), r"returned a tuple, not a tensor: .*, net\(x, index\)\[0\]$"),
        (None, r"returned a NoneType, not a tensor: pass a module whose forward returns the tensor$"),
    ],
    ids=["sample", "tuple", "None"],
)
def test_a_network_that_returns_no_tensor_is_refused(answer, says):
    class Net(nn.Module):
        def forward(self, x, index):
            return answer

    with pytest.raises(InputError, match=says):
        Diffusion(Net(), schedules.linear()).loss(torch.zeros(2, 1, 4, 4), step=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("own", [F64, torch.float32, torch.bfloat16, torch.float16])
def test_the_network_computes_in_its_dtype_and_the_schedule_in_that_of_x(dtype, own):
    net = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 8))
    seen = []
    net.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0].dtype))
    net.forward = lambda x, index: net[2](net[1](net[0](x)))
    diffusion, x = Diffusion(net, schedules.linear()), torch.randn(3, 8)
    exact = diffusion.predict(x, 500)
    prediction = diffusion.to(own).predict(x.to(dtype), torch.tensor([500] * 3))
    assert seen[-1] == own
    assert prediction.x0.dtype == prediction.eps.dtype == dtype
    error = max(torch.finfo(each).eps for each in (own, dtype, torch.float32))
    torch.testing.assert_close(prediction.eps.float(), exact.eps, rtol=0, atol=4 * error)
    if dtype == F64:  # x_t = a x_0 + b ε holds to the precision of x
        torch.testing.assert_close(
            diffusion.add_noise(prediction.x0, 500, prediction.eps), x.to(dtype), rtol=0, atol=1e-14
        )


def test_a_loss_that_failed_may_be_repeated():
    d, x = Diffusion(Recorder(), schedules.linear()), torch.randn(2, 3)
    with pytest.raises(InputError, match="must be floats"):
        d.loss((x * 255).to(torch.uint8), step=0)
    assert torch.equal(d.loss(x, step=0), d.loss(x, step=0))


def _sampled(denoiser, x):
    samplers.DDIM(steps=2).sample(denoiser, x)


def _inverted(denoiser, x):
    samplers.invert(guidance.Skip(denoiser), x, samplers.DDIM(steps=2))


def _bounded(denoiser, x):
    bits_per_dim(denoiser, x)


def _estimated(denoiser, x):
    next(ELBO().estimates(denoiser, x, 2))


def _likelihood(denoiser, x):
    probability_flow.log_likelihood(denoiser, x, steps=1)


@pytest.mark.parametrize("use", [_sampled, _inverted, _bounded, _estimated, _likelihood])
def test_a_denoiser_in_training_mode_is_named(use):
    """Its answers are random, or depend on the batch. Whoever owns the module chooses its mode, so it stays."""
    schedule, x = schedules.linear(4), torch.zeros(2, 3)
    for layer in (nn.Dropout(0.1), nets.MLP(3, width=4), nn.BatchNorm1d(3), nn.GRU(3, 3, num_layers=2, dropout=0.2)):
        denoiser = Diffusion(Layers(layer), schedule, targets.V)
        exact = oracle.Gaussian(schedule, 0.0, 1.0)
        for wrapped in (denoiser, guidance.AutoGuidance(exact, guidance.Clipped(denoiser), 2.0)):
            if isinstance(layer, nets.MLP):
                use(wrapped, x)  # which answers the same in both modes
            else:
                with pytest.warns(UserWarning, match=f"layer {type(layer).__name__} answers at random .* call .eval"):
                    use(wrapped, x)
        assert denoiser.training
        use(denoiser.eval(), x)


class Layers(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.scale = layer, nn.Parameter(torch.tensor(0.3))

    def forward(self, x, index, **condition):
        return self.scale * x
