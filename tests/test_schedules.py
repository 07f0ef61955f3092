"""The first row of the matrix: published values, and the algebra of the forward process."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from ancestral import objectives, schedules, targets
from ancestral.base.errors import InputError
from ancestral.diffusion import Diffusion

SCHEDULES = [
    schedules.linear(),
    schedules.linear(37),
    schedules.cosine(),
    schedules.cosine(50),
    schedules.sigmoid(),
    schedules.sigmoid(20),
    schedules.zero_terminal(schedules.linear(100)),
    schedules.from_betas([0.1, 0.5, 0.9]),
]
MAKERS = [schedules.linear, schedules.cosine, schedules.sigmoid, schedules.geometric, schedules.karras, schedules.flow]
OTHERS = [
    schedules.geometric(),
    schedules.geometric(7, 0.1, 1.0),
    schedules.karras(),
    schedules.karras(18, 0.01, 50.0, rho=3.0),
    schedules.flow(),
    schedules.flow(1),
]
"""Those whose a² + b² is not 1."""


def name(s):
    return f"{s.spec['name']}{s.steps}"


def test_linear_has_the_papers_values():
    s = schedules.linear()
    assert s.alpha_bar[1].item() == pytest.approx(0.9999, rel=1e-12)
    assert s.alpha_bar[500].item() == pytest.approx(0.07858724288, rel=1e-9)
    assert s.alpha_bar[1000].item() == pytest.approx(4.035829765e-5, rel=1e-9)
    assert s.beta[1].item() == pytest.approx(1e-4, rel=1e-9)
    assert s.beta[1000].item() == pytest.approx(0.02, rel=1e-9)
    assert s.posterior_variance(2, 1) == pytest.approx(5.453187661e-5, rel=1e-9)


def test_posterior_coefficients_have_the_papers_values():
    s = schedules.linear()
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert s.posterior(one, zero, 2, 1).mean.item() == pytest.approx(0.5452915, abs=5e-8)
    assert s.posterior(zero, one, 2, 1).mean.item() == pytest.approx(0.4547085, abs=5e-8)


def test_cosine_has_the_papers_values():
    s = schedules.cosine()
    assert s.beta[1].item() == pytest.approx(4.1284225e-5, rel=1e-7)
    assert s.beta[500].item() == pytest.approx(0.0031458862, rel=1e-7)
    assert s.beta[1000].item() == pytest.approx(0.999, rel=1e-9)
    assert s.alpha_bar[500].item() == pytest.approx(0.49384359, rel=1e-7)


def test_noise_is_stored_itself_and_not_lost_beside_a_rounded_signal():
    # ᾱ_1 = 1 − 1e-14: √(1 − a²) of a rounded a has 1 % error here
    assert schedules.from_betas([1e-14]).noise[1].item() == pytest.approx(1e-7, rel=1e-12)


def test_from_betas_gives_the_betas_back():
    betas = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    torch.testing.assert_close(schedules.from_betas(betas).beta[1:], betas, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 10, 250, 999, 1000, 1500, 4000])
def test_linear_of_any_length_walks_the_same_curve(steps):
    """T cuts the process more or less finely; it does not change where it leads (peers.md, 12)."""
    whole, s = schedules.linear(), schedules.linear(steps)
    assert s.alpha_bar[-1].item() == pytest.approx(whole.alpha_bar[-1].item(), rel=1e-12)
    for t in range(steps + 1):
        if t * 1000 % steps == 0:
            assert s.signal[t].item() == pytest.approx(whole.signal[t * 1000 // steps].item(), rel=1e-12)


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_spec_rebuilds_the_schedule(s):
    again = schedules.from_spec(s.spec)
    assert torch.equal(again.signal, s.signal)
    assert torch.equal(again.noise, s.noise)
    assert again.spec == s.spec
    assert again.prior_std == s.prior_std


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_schedules_begin_clean_and_only_get_noisier(s):
    assert s.signal.dtype == s.noise.dtype == torch.float64
    assert (s.signal[0].item(), s.noise[0].item()) == (1, 0)
    assert (s.signal.diff() <= 0).all()
    assert (s.noise.diff() > 0).all()
    assert s.prior_std == (1 if s in SCHEDULES else s.noise[-1].item())
    assert (s.snr.diff() < 0).all()
    assert s.snr[0] == math.inf


def test_geometric_is_ncsns():
    """Equal ratios from σ_min to σ_max whatever T; ten levels from 1 to 0.01 in Song and Ermon 2019."""
    s = schedules.geometric(10, 0.01, 1.0)
    assert s.noise[[1, 10]].tolist() == pytest.approx([0.01, 1.0], rel=1e-12)
    torch.testing.assert_close(s.noise[2:] / s.noise[1:-1], torch.full((9,), 100 ** (1 / 9), dtype=torch.float64))
    assert (s.signal == 1).all()
    assert schedules.geometric(1, 0.01, 3.0).noise.tolist() == [0, 3]


def test_karras_is_edms():
    """Their (5), counted from the clean end: the 18 levels of their CIFAR-10 sampler."""
    s = schedules.karras(18)
    i = torch.arange(18, dtype=torch.float64)
    levels = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(s.noise[1:].flip(0), levels, rtol=1e-12, atol=0)


def test_flow_is_the_straight_line():
    s = schedules.flow(4)
    assert s.signal.tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert s.noise.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_sigmoid_is_jabri_et_als():
    """ᾱ(u) = (σ(−z) − σ(−end)) / (σ(−start) − σ(−end)): ½ in the middle, symmetric, and near 0 at the end."""
    s = schedules.sigmoid(100)
    assert s.alpha_bar[50].item() == pytest.approx(0.5, rel=1e-12)
    inner = s.alpha_bar[:-1]
    torch.testing.assert_close(inner[1:], 1 - inner[1:].flip(0), rtol=0, atol=1e-12)
    z = torch.tensor(-3 + 6 * 0.2, dtype=torch.float64)
    ends = [1 / (1 + math.exp(v)) for v in (-3, 3)]
    assert s.alpha_bar[20].item() == pytest.approx(((1 / (1 + z.exp())).item() - ends[1]) / (ends[0] - ends[1]))
    assert s.beta[-1].item() == pytest.approx(0.999)


@pytest.mark.parametrize("make", [schedules.cosine, schedules.sigmoid, schedules.flow])
@pytest.mark.parametrize("steps", [10, 100, 250])
def test_every_curve_is_the_same_whatever_the_number_of_steps(make, steps):
    """Up to the last step, where cosine and sigmoid cap β."""
    whole, s = make(1000), make(steps)
    for t in range(steps):
        assert s.signal[t].item() == pytest.approx(whole.signal[t * 1000 // steps].item(), rel=1e-9)


def test_zero_terminal_is_lin_et_als_algorithm_1():
    """√ᾱ shifted by its last value and scaled so that the first stays."""
    before = schedules.linear()
    after = schedules.zero_terminal(before)
    root = before.alpha_bar[1:].sqrt()
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    torch.testing.assert_close(after.signal[1:], expected, rtol=1e-12, atol=1e-15)
    assert after.signal[-1] == 0
    assert after.noise[-1] == 1


def test_composed_steps_are_the_closed_form():
    """q(x_t|x_{t−1}) t times is q(x_t|x_0): eq. (2) iterated against eq. (4), to rounding."""
    s = schedules.linear()
    x0 = torch.tensor([[0.7, -0.3]], dtype=torch.float64)
    mean, variance = x0, 0.0
    for t in range(1, s.steps + 1):
        step = s.forward(mean, t, t - 1)
        mean = step.mean
        variance = variance * (1 - s.beta[t].item()) + step.variance  # of a linear map of a Gaussian, plus its own
        closed = s.marginal(x0, t)
        torch.testing.assert_close(mean, closed.mean, rtol=1e-12, atol=1e-15)
        assert variance == pytest.approx(closed.variance, rel=1e-12)


@pytest.mark.parametrize(("t", "s"), [(1, 0), (2, 1), (500, 499), (1000, 999), (1000, 300), (40, 7)])
@pytest.mark.parametrize("schedule", [make() for make in MAKERS], ids=[make.__name__ for make in MAKERS])
def test_posterior_is_brute_force_conditioning(schedule, t, s):
    """(x_s, x_t) given x_0 is jointly Gaussian; condition it by the textbook formula."""
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    ratio = a_t / a_s
    x0 = torch.tensor([0.9], dtype=torch.float64)
    x_t = torch.tensor([-0.4], dtype=torch.float64)
    covariance, variance_t = ratio * b_s**2, b_t**2
    mean = a_s * x0 + covariance / variance_t * (x_t - a_t * x0)
    variance = b_s**2 - covariance**2 / variance_t
    posterior = schedule.posterior(x0, x_t, t, s)
    torch.testing.assert_close(posterior.mean, mean, rtol=1e-11, atol=1e-13)
    assert posterior.variance == pytest.approx(variance, rel=1e-9, abs=1e-15)


def test_times_of_each_image_agree_with_one_time_for_all():
    s = schedules.cosine()
    t = torch.tensor([1, 700, 1000])
    x0, eps = torch.randn(3, 2, 4, 4, dtype=torch.float64), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    together = s.add_noise(x0, t, eps)
    posterior = s.posterior(x0, eps, t, t - 1)
    for i, time in enumerate(t.tolist()):
        torch.testing.assert_close(together[i], s.add_noise(x0[i : i + 1], time, eps[i : i + 1])[0], rtol=1e-14, atol=0)
        alone = s.posterior(x0[i : i + 1], eps[i : i + 1], time, time - 1)
        torch.testing.assert_close(posterior.mean[i], alone.mean[0], rtol=1e-13, atol=1e-15)
        assert posterior.variance[i].item() == pytest.approx(alone.variance, rel=1e-13)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: schedules.linear(0), "1 to 1,000,000"),
        (lambda: schedules.linear(10, 0.5, 0.1), "beta_start <= beta_end"),
        (lambda: schedules.cosine(10, offset=-1), "offset"),
        (lambda: schedules.cosine(10, max_beta=1), "max_beta"),
        (lambda: schedules.from_betas([0.1, 1.0]), "between 0 and 1"),
        (lambda: schedules.from_betas([]), "non-empty"),
        (lambda: schedules.from_spec({"name": "sine"}), "linear, cosine"),
        (lambda: schedules.linear(1.5), "whole number"),
        (lambda: schedules.linear(True), "whole number"),
        (lambda: schedules.linear(1000, 0.99, 0.99), "loses all signal"),
        (lambda: schedules.cosine(10, offset=math.inf), "loses all signal"),
        (lambda: schedules.sigmoid(10, start=-1000, end=1000), "loses all signal"),
        (lambda: schedules.sigmoid(10, start=3, end=3), "start < end"),
        (lambda: schedules.geometric(10, 0, 1), "0 < sigma_min < sigma_max"),
        (lambda: schedules.karras(10, 2, 1), "0 < sigma_min < sigma_max"),
        (lambda: schedules.karras(10, rho=0), "rho between"),
        (lambda: schedules.flow(0), "1 to 1,000,000"),
        (lambda: schedules.zero_terminal(schedules.flow(5)), r"a² \+ b² = 1"),
        (lambda: schedules.zero_terminal(schedules.linear(1)), "1 step"),
        (lambda: schedules.zero_terminal(learned()[1]), "a learned curve cannot be shifted"),
        (lambda: schedules.from_spec({"name": "cosine", "slope": 2}), "has no option slope"),
        (lambda: schedules.linear(10).at(11), "0..10"),
        (lambda: schedules.linear(10).at(torch.tensor([-1])), "0..10"),
        (lambda: schedules.linear(10).at(10.5), "times must be numbers in 0..10, .*, not 10.5"),
        (lambda: schedules.linear(10).at(math.nan), "times must be numbers"),
        (lambda: schedules.karras(10).at(math.inf), "times must be numbers"),
        (lambda: schedules.karras(10).at(11), "times must be numbers"),
        (lambda: schedules.linear(10).at(True), "times must be numbers"),
        (lambda: schedules.linear(10).at(np.bool_(True)), "times must be numbers"),
        (lambda: schedules.linear(10).at(np.array([1, 2])), "times must be numbers"),
        (lambda: schedules.linear(10).at(torch.tensor([2.5, 10.5])), "2.5..10.5 are outside"),
        (lambda: schedules.linear(10).at(torch.tensor([2.5, math.nan])), "outside"),
        (lambda: schedules.linear(10).at(torch.tensor([True])), "a tensor .B,. of integers or floats, not torch.bool"),
        (lambda: schedules.linear(10).time_at(-1.0), "at least 0, not -1.0"),
        (lambda: schedules.linear(10).time_at("5"), "or a tensor .B,. of them, not '5'"),
        (lambda: schedules.karras(10).time_at(math.inf), "finite on a schedule that goes on above T"),
        (lambda: schedules.linear(10).time_at(torch.tensor([math.nan])), "at least 0"),
        (lambda: schedules.cosine(np.bool_(True)), "whole number"),
        (lambda: schedules.karras(np.float64(5)), "whole number"),
        (lambda: schedules.linear(9).add_noise(torch.ones(2, 3, dtype=torch.uint8), 5, torch.ones(2, 3)), "must be fl"),
        (lambda: schedules.linear(9).marginal(torch.ones(2, 3, dtype=torch.int64), 5), "must be floats"),
    ],
)
def test_bad_schedules_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("make", MAKERS)
def test_steps_and_times_may_be_of_any_integer_type(make):
    schedule, plain = make(np.int64(20)), make(20)
    assert json.loads(json.dumps(schedule.spec)) == plain.spec
    assert torch.equal(schedule.noise, plain.noise)
    for kind in (np.int64, np.uint8, torch.tensor):
        assert schedule.at(kind(7)) == plain.at(7)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        for one, other in zip(schedule.at(torch.tensor([0, 1, 20], dtype=dtype)), plain.at(20), strict=True):
            assert one.shape == (3,)
            assert one[2] == other


def test_the_priors_deviation_falls_as_the_noise():
    s = schedules.karras(100)
    assert (s.prior_deviation(100), s.prior_deviation(0)) == (80, 0)
    assert s.prior_deviation(60) == pytest.approx(s.noise[60].item(), rel=1e-12)
    own = schedules.Schedule(torch.tensor([1.0, 0.9, 0.1]).double(), torch.tensor([0.0, 0.2, 0.5]).double(), 3.0)
    torch.testing.assert_close(own.prior_deviation(torch.tensor([1, 2])), torch.tensor([1.2, 3.0], dtype=torch.float64))


# -- continuous time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_floats_without_a_fraction_are_the_integers_to_the_last_bit(s):
    times = torch.arange(s.steps + 1)
    for a, b in (s.at(times.double()), s.at(times.float())):
        assert torch.equal(a, s.signal)
        assert torch.equal(b, s.noise)
    assert s.at(float(s.steps)) == s.at(np.float32(s.steps)) == s.at(s.steps)
    assert type(s.time(1.0)) is int


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_between_the_integers_noise_never_falls_and_a_unit_variance_stays_one(s):
    t = torch.linspace(0, s.steps, 20 * s.steps + 1, dtype=torch.float64)
    a, b = s.at(t)
    assert (b[1:] * a[:-1] >= b[:-1] * a[1:] * (1 - 1e-14)).all()
    if s in SCHEDULES:
        torch.testing.assert_close(a**2 + b**2, torch.ones_like(a), rtol=0, atol=1e-14)
    one_by_one = [s.at(time)[0] for time in t[::7].tolist()]
    torch.testing.assert_close(torch.tensor(one_by_one, dtype=torch.float64), a[::7], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_rates_are_the_derivatives(s):
    """Compared with central differences, away from the integers, where an interpolation has kinks of second order."""
    t = torch.linspace(0.03, s.steps - 0.03, 997, dtype=torch.float64)
    t = t[(t - t.round()).abs() > 1e-3]
    h = 1e-5
    found = s.rates(t)
    truth = ((late - early) / (2 * h) for late, early in zip(s.at(t + h), s.at(t - h), strict=True))
    for rate, difference in zip(found, truth, strict=True):
        torch.testing.assert_close(rate, difference, rtol=1e-5, atol=1e-8)
    assert s.rates(float(t[5])) == (found[0][5].item(), found[1][5].item())
    whole = torch.arange(1, s.steps + 1)
    for rate, gradient in zip(s.rates(whole), _gradients(s, whole.double()), strict=True):
        assert torch.equal(rate, gradient)  # a float time at an integer has the table's value and the curve's slope


def _gradients(s, t):
    t = t.requires_grad_()
    return [torch.autograd.grad(scale.sum() + 0 * t.sum(), t, retain_graph=True)[0] for scale in s.at(t)]


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_rates_at_the_ends_are_one_sided_differences(s):
    """Three points to the right of 0 and of the kink at t = 1, and to the left of T; √t has no slope at 0."""
    h = 1e-5
    for t, step in ((0, h), (1, h), (s.steps, -h)):
        if t == 1 == s.steps:
            continue
        near, middle, far = (s.at(t + step * i) for i in range(3))
        for rate, x, y, z, scale in zip(s.rates(t), near, middle, far, ("a", "b"), strict=True):
            if t == 0 and scale == "b" and z / y == pytest.approx(math.sqrt(2), rel=1e-3):
                assert rate == math.inf
            else:
                assert rate == pytest.approx((4 * y - 3 * x - z) / (2 * step), rel=2e-5, abs=1e-9)


def cosine_rates(t, steps, offset=0.008):
    """da/dt and db/dt by hand: a = cos θ/cos θ_0 with θ = (t/T + offset) w, and b db = −a da."""
    width = math.pi / 2 / (1 + offset)
    angle, start = (t / steps + offset) * width, offset * width
    a = math.cos(angle) / math.cos(start)
    da = -width / steps * math.sin(angle) / math.cos(start)
    b = math.sqrt(math.sin(angle - start) * math.sin(angle + start)) / math.cos(start)
    return (da, -a * da / b) if b else (da, math.inf if offset else width / steps)


def sigmoid_rates(t, steps, start=-3.0, end=3.0):
    """da/dt and db/dt by hand: a² falls as f(z) = 1/(1 + eᶻ), whose derivative is −f(z) f(−z)."""
    f = [1 / (1 + math.exp(z)) for z in (start, start + (end - start) * t / steps, end)]
    slope = -(end - start) / steps * f[1] * (1 - f[1]) / (f[0] - f[2])
    square_a = (f[1] - f[2]) / (f[0] - f[2])
    square_b = f[0] * (1 - f[1]) * -math.expm1(-(end - start) * t / steps) / (f[0] - f[2])
    return slope / 2 / math.sqrt(square_a), -slope / 2 / math.sqrt(square_b) if square_b else math.inf


@pytest.mark.parametrize("own_root", [False, True], ids=["root", "root-of-0-without-slope"])
@pytest.mark.parametrize(
    ("s", "closed"),
    [
        (schedules.cosine(), cosine_rates),
        (schedules.cosine(10, 0.0), lambda t, steps: cosine_rates(t, steps, 0.0)),
        (schedules.sigmoid(), sigmoid_rates),
        (schedules.sigmoid(20, -2.0, 7.0), lambda t, steps: sigmoid_rates(t, steps, -2.0, 7.0)),
    ],
    ids=["cosine", "cosine-without-offset", "sigmoid", "sigmoid-of-other-ends"],
)
def test_rates_of_clean_data_are_closed_forms(s, closed, own_root, monkeypatch):
    """Where a falls with a finite slope, b = √(1 − a²) rises with an infinite one, whatever PyTorch says of √0."""
    if own_root:
        monkeypatch.setattr(torch.Tensor, "sqrt", lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0) ** 0.5, 0.0))
    for t in (0.0, 1e-12, 1e-6, 0.01, 1.0, s.steps / 2):
        assert s.rates(t) == pytest.approx(closed(t, s.steps), rel=1e-11)
    t = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # the derivative of `at` is the same
    for scale, rate in zip(s.at(t), closed(0.0, s.steps), strict=True):
        assert torch.autograd.grad(scale.sum(), t, retain_graph=True)[0].tolist() == pytest.approx([rate, rate])


class Bent(torch.nn.Module):
    """A flow whose b = u^power is learned, u = t/T."""

    def __init__(self, power):
        super().__init__()
        self.power = torch.nn.Parameter(torch.tensor(power, dtype=torch.float64))

    def forward(self, t):
        return 1 - t / 10, (t / 10) ** self.power


def learned(power=1.5, wrap=lambda curve: curve):
    curve = Bent(power)
    return curve, schedules.Schedule(*curve(torch.arange(11, dtype=torch.float64)), curve=wrap(curve))


@pytest.mark.parametrize(
    "wrap",
    [lambda curve: curve, lambda curve: curve.forward, lambda curve: lambda t: curve(t)],
    ids=["module", "method", "function"],
)
def test_a_learned_curve_is_followed_at_the_integers_too(wrap):
    curve, s = learned(wrap=wrap)
    assert s.at(5)[1] == pytest.approx(0.5**1.5)
    with torch.no_grad():
        curve.power.fill_(3.0)
    assert s.at(5)[1] == s.at(5.0)[1] == pytest.approx(s.at(5 + 1e-12)[1]) == pytest.approx(0.5**3)
    for t in (torch.tensor([5]), torch.tensor([5.0]), torch.tensor(5)):
        (slope,) = torch.autograd.grad(s.at(t)[1].sum(), curve.power)
        assert slope.item() == pytest.approx(0.5**3 * math.log(0.5))
    u = torch.arange(11, dtype=torch.float64) / 10
    for table, truth in ((s.signal, 1 - u), (s.noise, u**3), (s.alpha_bar, (1 - u) ** 2)):
        torch.testing.assert_close(table, truth, rtol=1e-14, atol=0)
        assert not table.requires_grad
    truth = u[1:] ** 6 - ((1 - u[1:]) / (1 - u[:-1])) ** 2 * u[:-1] ** 6
    torch.testing.assert_close(s.beta[1:], truth, rtol=1e-12, atol=1e-15)
    assert s.largest_noise == 1
    assert s.time_at(0.5**3 / 0.5) == pytest.approx(5)
    again = dataclasses.replace(s, prior_std=2.0)
    assert torch.equal(again.noise, s.noise)


def test_the_rates_of_a_learned_curve_have_gradients_in_its_parameters():
    curve, s = learned()
    t = torch.tensor([2.0, 5.5, 10.0], dtype=torch.float64)
    da, db = s.rates(t)
    u = t / 10
    torch.testing.assert_close(db, 0.15 * u**0.5, rtol=1e-12, atol=0)
    (slope,) = torch.autograd.grad(db.sum() + da.sum(), curve.power)  # of p u^(p−1)/T in p
    assert slope.item() == pytest.approx(float((0.1 * u**0.5 * (1 + 1.5 * u.log())).sum()), rel=1e-12)
    assert s.rates(5.5) == (-0.1, db[1].item())
    with torch.no_grad():
        assert not s.rates(t)[1].requires_grad
    assert not schedules.cosine(10).rates(t)[1].requires_grad


def test_weights_and_time_distributions_follow_a_learned_curve():
    curve, s = learned()
    weighted = objectives.build(s, targets.EPS, times="lognormal", weighting="p2")
    with torch.no_grad():
        curve.power.fill_(3.0)
    fresh = objectives.build(learned(3.0)[1], targets.EPS, times="lognormal", weighting="p2")
    t = torch.arange(1, 11)
    torch.testing.assert_close(weighted.weights(t.double()), fresh.weights(t.double()), rtol=1e-12, atol=0)
    torch.testing.assert_close(weighted.times.probabilities, fresh.times.probabilities, rtol=1e-12, atol=0)


def test_training_moves_a_learned_curve_at_integer_times():
    """Of an answer of 0 and the target b_t ε the loss is b_t² ε², whose derivative in the power is 2 ln u b_t² ε²."""
    curve, s = learned()
    diffusion = Diffusion(Zero(), s, targets.Target("noise", lambda a, b: 0.0, lambda a, b: b))
    t, losses = diffusion.losses(torch.zeros(64, 1, dtype=torch.float64), step=0)
    assert t.dtype == torch.int64
    (slope,) = torch.autograd.grad(losses.sum(), curve.power)
    assert slope.item() == pytest.approx(float((2 * (t.double() / 10).log() * losses.detach()).sum()), rel=1e-12)


class Zero(torch.nn.Module):
    def forward(self, x, index):
        return 0 * x


def test_closed_forms_between_the_integers():
    """A coarse schedule has the curve of the formula, not a line between two of its few points."""
    u = torch.tensor([0.1, 1.7, 4.5, 7.3], dtype=torch.float64)
    angle = [(t + 0.008) / 1.008 * math.pi / 2 for t in (u / 10, torch.zeros(1, dtype=torch.float64))]
    torch.testing.assert_close(schedules.cosine(10).at(u)[0], angle[0].cos() / angle[1].cos(), rtol=1e-12, atol=0)
    torch.testing.assert_close(schedules.flow(10).at(u)[1], u / 10, rtol=1e-15, atol=0)
    z = torch.sigmoid(3 - 6 * u / 10)
    ends = torch.sigmoid(torch.tensor([3.0, -3.0], dtype=torch.float64))
    squared = (z - ends[1]) / (ends[0] - ends[1])
    torch.testing.assert_close(schedules.sigmoid(10).at(u)[0] ** 2, squared, rtol=1e-12, atol=0)
    later = u.clamp(min=1)
    levels = (0.002 ** (1 / 7) + (later - 1) / 9 * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7
    torch.testing.assert_close(schedules.karras(10).at(later)[1], levels, rtol=1e-12, atol=0)
    ratios = 0.01 * 5000 ** ((later - 1) / 9)
    torch.testing.assert_close(schedules.geometric(10).at(later)[1], ratios, rtol=1e-12, atol=0)
    assert schedules.karras(10).at(0.25)[1] == pytest.approx(0.0005)
    shifted, inner = schedules.zero_terminal(schedules.cosine(10)), schedules.cosine(10)
    first, last = inner.signal[1], inner.signal[10]
    expected = (inner.at(later)[0] - last) * first / (first - last)
    torch.testing.assert_close(shifted.at(later)[0], expected, rtol=1e-12, atol=0)


def test_a_finer_linear_schedule_is_what_a_coarser_one_interpolates():
    fine, coarse = schedules.linear(1000), schedules.linear(500)
    t = torch.arange(1, 1000, 2)  # between the points of the coarse one
    a, b = coarse.at(t / 2)
    torch.testing.assert_close(a, fine.signal[t], rtol=2e-5, atol=0)
    later = t >= 20  # b is interpolated itself, and steep near t = 0: 16 % off at t = 1/2, 1 % at 3/2, 4e-7 from 10 on
    torch.testing.assert_close(b[later], fine.noise[t[later]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("s", SCHEDULES + OTHERS, ids=name)
def test_time_at_inverts_the_noise_level(s):
    t = torch.linspace(0.01, s.steps, 301, dtype=torch.float64)
    a, b = s.at(t)
    level = (b / a)[a > 0]
    torch.testing.assert_close(s.time_at(level), t[a > 0], rtol=0, atol=1e-10)
    assert s.time_at(float(level[3])) == s.time_at(level)[3].item()
    assert s.time_at(0.0) == 0
    assert s.extends or s.time_at(math.inf) == s.steps


def test_the_time_of_a_level_has_the_derivative_of_the_inverse():
    """Of a flow t = T σ/(1 + σ), and of `geometric` t − 1 is (T − 1) log(σ/σ_min)/log(σ_max/σ_min), to second order."""
    level = torch.tensor([0.0, 0.02, 0.5, 1.0, 3.0, 30.0, 49.0, 1e3], dtype=torch.float64, requires_grad=True)
    first, second = (100 / (1 + level.detach()) ** 2, -200 / (1 + level.detach()) ** 3)
    rate = 99 / math.log(5000) / level.detach()
    cases = (
        (schedules.flow(100), slice(None), first, second),
        (schedules.geometric(100), slice(1, None), rate[1:], (-rate / level.detach())[1:]),
    )
    for schedule, rows, slope, curvature in cases:
        (found,) = torch.autograd.grad(schedule.time_at(level).sum(), level, create_graph=True)
        torch.testing.assert_close(found.detach()[rows], slope, rtol=1e-9, atol=0)
        torch.testing.assert_close(torch.autograd.grad(found.sum(), level)[0][rows], curvature, rtol=1e-9, atol=0)
    assert torch.autograd.grad(schedules.geometric(100).time_at(level).sum(), level)[0][0] == pytest.approx(
        100
    )  # b = 0.01 t
    assert torch.autograd.grad(schedules.linear(100).time_at(level).sum(), level)[0][-1] == 0  # T, above the last level


def test_levels_above_the_last():
    """`karras` and `geometric` go on above T, where EDM's churn leads; other schedules end there."""
    s = schedules.karras(18)
    t = s.time_at(113.0)
    assert t > 18
    assert s.at(t)[1] == pytest.approx(113.0, rel=1e-12)
    assert schedules.cosine(18).time_at(1e9) == 18


def test_a_table_of_ones_own_is_interpolated_and_a_curve_of_ones_own_is_used():
    a, b = torch.tensor([1.0, 0.9, 0.7, 0.2]), torch.tensor([0.0, 0.3, 0.8, 1.5])
    table = schedules.Schedule(a, b)
    assert table.at(1.5)[0] == pytest.approx(0.8, abs=0.03)
    assert 0.3 < table.at(1.5)[1] < 0.8

    def curve(t):
        return 1 - t / 4, t / 2

    t = torch.arange(4, dtype=torch.float64)
    own = schedules.Schedule(*curve(t), curve=curve)
    assert own.at(2.25) == (1 - 2.25 / 4, 2.25 / 2)
    assert own.rates(2.25) == (-0.25, 0.5)
    for wrong, says in [
        (lambda t: (1 - t / 4, t / 3), "at t = . it is a = .*, and they hold .*; give no curve"),
        (lambda t: (0.5, 0.5), "curve maps times, a float64 tensor"),
        (lambda t: 1 - t / 4, "curve maps times, a float64 tensor"),
    ]:
        with pytest.raises(InputError, match=says):
            schedules.Schedule(*curve(t), curve=wrong)


def test_the_forward_process_at_float_times():
    """q(x_t | x_s) after q(x_s | x_0) is q(x_t | x_0), and (6) is Bayes' rule, for times between the integers."""
    for s in (schedules.cosine(10), schedules.linear(10), schedules.karras(10), schedules.flow(10)):
        t, r = 7.3, 4.6
        (a, b), (a_r, b_r) = s.at(t), s.at(r)
        forward = s.forward(torch.ones(1, 1, dtype=torch.float64), t, r)
        assert forward.mean.item() * a_r == pytest.approx(a, rel=1e-12)
        assert (a / a_r) ** 2 * b_r**2 + forward.variance == pytest.approx(b**2, rel=1e-12)
        assert 1 / s.posterior_variance(t, r) == pytest.approx(
            1 / b_r**2 + (a / a_r) ** 2 / s.forward_variance(t, r), rel=1e-9
        )
