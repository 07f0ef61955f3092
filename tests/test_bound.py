"""The variational bound, against published values and closed forms for Gaussian data."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

import bound_gap
from ancestral import Diffusion, bound, oracle, randomness, schedules
from ancestral.base.errors import InputError
from ancestral.gaussian import DiagonalGaussian, normal_tail, tanh_tail
from ancestral.randomness import Stream
from ancestral.reverse import step_bits, transition
from ancestral.targets import Prediction, V

F64 = torch.float64
LINEAR = schedules.linear()


def test_L_T_has_the_papers_values():
    """Two images for which the prior's cost is known; mind the factor 5e4 between them."""
    shape = (1, 3, 8, 8)
    assert bound.prior_bits(LINEAR, torch.zeros(shape, dtype=F64)).item() == pytest.approx(5.87478e-10, rel=2e-6)
    assert bound.prior_bits(LINEAR, torch.ones(shape, dtype=F64)).item() == pytest.approx(2.91129e-5, rel=2e-6)


@pytest.mark.parametrize("variances", [(0.3, 0.3), (0.3, 0.5), (2.0, 0.1)])
def test_kl_by_quadrature(variances):
    grid = torch.linspace(-30, 30, 400_001, dtype=F64)
    p, q = (
        torch.distributions.Normal(torch.tensor(m, dtype=F64), v**0.5)
        for m, v in zip((0.2, -0.4), variances, strict=True)
    )
    integral = torch.trapezoid(p.log_prob(grid).exp() * (p.log_prob(grid) - q.log_prob(grid)), grid)
    one, other = (DiagonalGaussian(torch.tensor(m, dtype=F64), v) for m, v in zip((0.2, -0.4), variances, strict=True))
    assert one.kl(other).item() == pytest.approx(integral.item(), rel=1e-8)


def test_gaussian_sample_is_the_mean_and_a_deviation():
    g = DiagonalGaussian(torch.tensor([1.0, 2.0]), 4.0)
    assert g.sample(torch.tensor([0.5, -1.0])).tolist() == [2.0, 0.0]


def test_bins_hold_all_the_mass():
    """Over the 256 grey levels of eq. (13), edges open, the probabilities sum to one."""
    levels = torch.arange(256, dtype=F64) / 127.5 - 1
    for mean, std in ((0.0, 0.1), (-1.0, 0.01), (0.97, 0.3), (1.5, 0.2)):
        mass = DiagonalGaussian(torch.full((256,), mean, dtype=F64), std**2).log_bins(levels, 1 / 255, 0.999).exp()
        assert mass.sum().item() == pytest.approx(1, abs=256e-12)


def test_sixteen_bits_cost_eight_more_than_eight():
    """Of data that is smooth within a grey level: the bins are 257 times as narrow, and still hold all the mass."""
    levels = torch.arange(65536, dtype=F64) / 32767.5 - 1
    g = DiagonalGaussian(torch.full((65536,), 0.9, dtype=F64), 0.1**2)
    assert g.log_bins(levels, 1 / 65535, 1 - 0.5 / 65535).exp().sum().item() == pytest.approx(1, abs=65536e-12)
    schedule = schedules.cosine(50)
    denoiser = oracle.Gaussian(schedule, 0.1, 0.2)
    x0 = (0.1 + 0.2 * torch.randn(64, 1, 8, 8, dtype=F64)).clamp(-0.99, 0.99)
    costs = []
    for half in (127.5, 32767.5):
        elbo = bound.ELBO(level=1 / half)
        terms = elbo.terms(denoiser, (x0 * half).round() / half)
        costs.append(sum(term.bits.mean().item() for term in terms))
    assert costs[1] - costs[0] == pytest.approx(math.log2(257), abs=0.02)


def probability(low, high, mean, std):
    """The integral of N(mean, std²) over [low, high] by Simpson's rule, from its own log density, in float64."""
    steps = 200
    x = torch.linspace(0, 1, steps + 1, dtype=F64) * (high - low)[..., None] + low[..., None]
    weights = torch.tensor([1.0, *[4.0, 2.0] * (steps // 2 - 1), 4.0, 1.0], dtype=F64) / (3 * steps)
    density = torch.distributions.Normal(mean, std).log_prob(x).exp()
    return (density * weights).sum(-1) * (high - low)


@pytest.mark.parametrize("half", [127.5, 32767.5], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("side", [-1, 1], ids=["left of the mean", "right of the mean"])
@pytest.mark.parametrize("std", [0.0074, 0.02, 0.09])
def test_bins_far_from_the_mean_keep_their_digits_in_float32(half, side, std):
    """Against float64 quadrature, 3 to 12 deviations from the mean on both sides, down to the floor of 1e-12."""
    x = (torch.linspace(-0.97, 0.97, 150, dtype=F64) * half).round() / half
    x, deviations = x.float()[:, None], torch.linspace(3, 12, 91)
    mean = x - side * deviations * std
    found = DiagonalGaussian(mean, std**2).log_bins(x, 0.5 / half, 1 - 0.25 / half)
    low, high = (x.double() + sign * 0.5 / half for sign in (-1, 1))
    exact = probability(low.expand_as(mean), high.expand_as(mean), mean.double()[..., None], std)
    held = exact > 1e-12  # the floor is reached only where the probability is below it
    torch.testing.assert_close(found[held].double(), exact[held].log(), rtol=0, atol=5e-6)
    assert (found[~held] == math.log(1e-12)).all()
    assert held.any()
    assert not held.all()


def test_open_bins_are_the_whole_tail_in_float32():
    """The first and the last bin against erfc of Python's own floats, whichever side of the mean they lie on."""
    std, u = 0.15, torch.linspace(-6.5, 6.5, 53)
    for x, sign in ((-1.0, 1), (1.0, -1)):
        mean = x + sign * (1 / 255 + u * std)  # the bin ends, or begins, u deviations from the mean
        found = DiagonalGaussian(mean, std**2).log_bins(torch.full_like(u, x), 1 / 255, 0.999)
        exact = [math.log(0.5 * math.erfc(v * math.sqrt(0.5))) for v in ((mean.double() - x) * sign - 1 / 255) / std]
        torch.testing.assert_close(found.double(), torch.tensor(exact, dtype=F64), rtol=2e-7, atol=1e-6)


def test_tails_are_precise_where_one_minus_the_cdf_is_not():
    """In float32, where torch.special.ndtr is 4 % off at −5 and 0 at −6: MPS has no float64 to fall back to."""
    u = torch.linspace(0, 12, 97)
    exact = torch.tensor([0.5 * math.erfc(v * math.sqrt(0.5)) for v in u.double()], dtype=F64)
    torch.testing.assert_close(normal_tail(u).double(), exact, rtol=5e-5, atol=0)


@pytest.mark.parametrize("half", [127.5, 32767.5], ids=["8 bits", "16 bits"])
def test_L_0_in_float32_is_that_of_float64(half):
    """Also where the model is sure and wrong: this one assumes a deviation of 0.02 of data that has 0.3."""
    schedule = schedules.linear()
    x0 = (0.3 * randomness.normal((1, 8, 8), 0, Stream.OWN, 0, range(32)).double()).clamp(-1, 1)
    x0 = (((x0 + 1) * half).round() / half - 1).clamp(-1, 1)
    elbo = bound.ELBO(level=1 / half)
    denoiser = oracle.Gaussian(schedule, 0.0, 0.02)
    single, double = (elbo.term(denoiser, x, 1, 1, range(32)).bits for x in (x0.float(), x0))
    assert double.mean() > 3 + math.log2(half / 127.5)  # many bins lie far from the mean
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-3)


def test_total_is_the_sum_of_its_terms_for_each_image():
    x0 = torch.rand(2, 1, 4, 4, dtype=F64) * 2 - 1
    result = bound.bits_per_dim(oracle.Gaussian(LINEAR, 0.0, 0.5), x0)
    assert result.L_T.shape == result.L_0.shape == result.total.shape == (2,)
    assert result.L_t.shape == (2, 999)
    torch.testing.assert_close(result.total, result.L_T + result.L_t.sum(1) + result.L_0)
    assert (result.L_t > 0).all()


def test_an_images_bound_does_not_depend_on_its_neighbours():
    x0 = torch.rand(3, 1, 2, 2, dtype=F64) * 2 - 1
    denoiser = oracle.Gaussian(schedules.linear(20), 0.0, 0.5)
    alone, among = bound.bits_per_dim(denoiser, x0[2:], indices=[2]), bound.bits_per_dim(denoiser, x0)
    assert alone.total.item() == pytest.approx(among.total[2].item(), rel=1e-12)


def test_one_step_has_no_decoder_variance():
    with pytest.raises(InputError, match="at least 2"):
        bound.bits_per_dim(oracle.Gaussian(schedules.linear(1), 0.0, 1.0), torch.zeros(1, 1))


# -- closed forms (docs/explanation/bound.md) -------------------------------------------------------------------------

SCHEDULES = {
    "linear": LINEAR,
    "cosine": schedules.cosine(200),
    "sigmoid": schedules.sigmoid(100),
    "geometric": schedules.geometric(50),
    "karras": schedules.karras(30),
    "flow": schedules.flow(50),
    "zero_terminal": schedules.zero_terminal(schedules.linear(60)),
}


@pytest.mark.parametrize("variance", ["large", "small"])
@pytest.mark.parametrize(
    ("name", "null"),
    [(name, null) for name, s in SCHEDULES.items() for null in (False, True) if not null or s.signal[-1] > 0],
)
def test_every_term_is_its_closed_form(name, null, variance):
    """Expected over x_0 ~ N(m, s²) and ε, to 1e-8: at x_0 = m ± s and ε = ±1, since the terms are quadratic in both."""
    schedule, mean, std = SCHEDULES[name], 0.3, 0.5

    class NoNoise:
        def __init__(self):
            self.schedule = schedule

        def predict(self, x_t, t):
            return Prediction(x_t / schedule.at(t)[0], torch.zeros_like(x_t))

    denoiser = NoNoise() if null else oracle.Gaussian(schedule, mean, std)
    x0 = torch.tensor([mean - std, mean - std, mean + std, mean + std], dtype=F64)[:, None]
    eps = torch.tensor([-1.0, 1, -1, 1], dtype=F64)[:, None]
    found = bound.bits_per_dim(denoiser, x0, variance=variance, clip=False, decoder="density", noise=lambda _: eps)
    L_T, L_t, L_0 = bound_gap.closed_form(schedule, mean, std, variance, null)
    torch.testing.assert_close(found.L_T.mean(), L_T, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.L_t.mean(0), L_t, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.L_0.mean(), L_0, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.total.mean(), L_T + L_t.sum() + L_0, rtol=1e-8, atol=1e-8)


def test_L_0_is_the_integral_of_its_decoder():
    """Eq. (13) at one pixel, by quadrature of the normal density over the bin."""
    x0, x_1 = torch.tensor([[0.1], [1.0], [-1.0]], dtype=F64), torch.tensor([[0.11], [0.98], [-1.01]], dtype=F64)
    prediction = Prediction(x_1 + 0.003, x_1)
    found = step_bits(LINEAR, prediction, x0, x_1, 1, "large") * math.log(2)
    std = LINEAR.posterior_variance(2, 1) ** 0.5
    for place in range(3):
        low = x0[place].item() - 1 / 255 if x0[place] > -0.999 else -3.0
        high = x0[place].item() + 1 / 255 if x0[place] < 0.999 else 3.0
        grid = torch.linspace(low, high, 400_001, dtype=F64)
        density = torch.distributions.Normal(prediction.x0[place], torch.tensor(std, dtype=F64)).log_prob(grid).exp()
        assert found[place].item() == pytest.approx(-torch.trapezoid(density, grid).log().item(), rel=1e-6, abs=1e-10)


def test_the_tanh_of_the_papers_code_is_near_the_exact_cdf():
    """They differ in the third or fourth digit, as the sheet says, and the option changes L_0 by as much."""
    u = torch.linspace(-5, 5, 1001, dtype=F64)
    assert 1e-4 < (tanh_tail(u) - normal_tail(u)).abs().max() < 1e-3
    written = 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))  # as in their code
    torch.testing.assert_close(tanh_tail(-u), written, rtol=0, atol=1e-15)
    x0 = torch.rand(3, 1, 4, 4, dtype=F64) * 2 - 1
    denoiser = oracle.Gaussian(schedules.linear(50), 0.0, 0.5)
    exact, tanh = (bound.bits_per_dim(denoiser, x0, decoder=decoder) for decoder in ("exact", "tanh"))
    assert 0 < (exact.L_0 - tanh.L_0).abs().max() < 2e-2
    assert torch.equal(exact.L_t, tanh.L_t)
    with pytest.raises(InputError, match="exact, tanh and density"):
        bound.bits_per_dim(denoiser, x0, decoder="erf")


@pytest.mark.long
@pytest.mark.parametrize("variance", ["large", "small"])
def test_the_bound_is_above_the_entropy_and_closes_in_as_T_grows(variance):
    gaps = [bound_gap.gap(schedules.geometric(T, 0.001, 50.0), variance) for T in (8, 32, 128, 512)]
    assert all(early > 2 * late for early, late in pairwise(gaps))  # about 1/T in the end
    assert 0 < gaps[-1] < 0.3


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_never_below_the_entropy(seed):
    """Of random distributions over grey levels and random schedules: no code is shorter, whatever the denoiser is."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randperm(256, generator=generator)[:6].double() / 127.5 - 1
    weights = torch.rand(6, dtype=F64, generator=generator)
    weights = weights / weights.sum()
    schedule = [schedules.linear(20), schedules.cosine(7), schedules.flow(9), schedules.geometric(12)][seed % 4]
    denoiser = oracle.Mixture(schedule, levels[:, None], torch.zeros(6, dtype=F64), weights)
    x0 = levels.repeat_interleave(4000)[:, None]
    for variance in ("large", "small"):
        total = bound.bits_per_dim(denoiser, x0, seed, variance, clip=False).total.reshape(6, 4000)
        error = (total.var(1) / 4000 * weights**2).sum().sqrt()
        assert total.mean(1) @ weights > -(weights * weights.log2()).sum() - 4 * error


# -- learned variance (Improved DDPM) ---------------------------------------------------------------------------------


class Blend(nn.Module):
    """Answers v for the target and the same variance_fraction everywhere."""

    def __init__(self, v, target=0.1):
        super().__init__()
        self.v, self.target = nn.Parameter(torch.tensor(v, dtype=F64)), nn.Parameter(torch.tensor(target, dtype=F64))

    def forward(self, x, index):
        return torch.cat([self.target * x, self.v * torch.ones_like(x)], dim=1)


@pytest.mark.parametrize(("v", "fixed"), [(1.0, "large"), (-1.0, "small")])
def test_the_ends_of_the_blend_are_the_fixed_variances(v, fixed):
    x0 = torch.rand(3, 2, 4, dtype=F64) * 2 - 1
    denoiser = Diffusion(Blend(v), schedules.cosine(30), V, learned_variance=True)
    learned, other = (
        bound.bits_per_dim(denoiser, x0, variance=variance, clip=False) for variance in ("learned", fixed)
    )
    torch.testing.assert_close(learned.L_t, other.L_t, rtol=1e-9, atol=1e-12)
    if fixed == "small":
        torch.testing.assert_close(learned.L_0, other.L_0, rtol=1e-9, atol=1e-12)


def test_the_blend_is_geometric():
    """Σ = exp(v ln β + (1 − v) ln β̃), Nichol and Dhariwal's (15), at s = t − 1 and over longer steps, one t or many."""
    schedule, x = schedules.cosine(30), torch.randn(2, 3, dtype=F64)
    p = Prediction(x, x, torch.full_like(x, 0.25))
    for t, s in ((20, 19), (20, 10), (1, 0)):
        beta, tilde = (
            schedule.forward_variance(t, s),
            schedule.posterior_variance(t, s) or schedule.posterior_variance(2, 1),
        )
        found = transition(schedule, p, x, t, s, "learned").variance
        torch.testing.assert_close(found, torch.full_like(x, beta**0.25 * tilde**0.75), rtol=1e-12, atol=0)
    t = torch.tensor([20, 1])
    both = transition(schedule, p, x, t, t - 1, "learned").variance
    for place, one in enumerate((20, 1)):
        torch.testing.assert_close(both[place], transition(schedule, p, x, one, one - 1, "learned").variance[place])


def test_a_model_without_it_is_refused():
    with pytest.raises(InputError, match="did not learn its variance"):
        bound.bits_per_dim(oracle.Gaussian(LINEAR, 0.0, 1.0), torch.zeros(1, 1), variance="learned")


def test_hybrid_loss_is_simple_plus_a_thousandth_of_the_bound():
    """L_hybrid = L_simple + λ T L_t; the bound moves the variance and not the mean (their stop-gradient)."""
    schedule = schedules.cosine(1000)
    net = Blend(0.3)
    hybrid = Diffusion(net, schedule, V, learned_variance=True)
    x0 = (torch.randint(0, 256, (6, 2, 4)) / 127.5 - 1).double()
    t = torch.tensor([1, 2, 17, 400, 900, 1000])
    eps = torch.randn(6, 2, 4, dtype=F64)
    found = hybrid.errors(x0, t, eps)
    x_t = schedule.add_noise(x0, t, eps)
    p = hybrid.predict(x_t, t)
    for place in range(6):
        one = slice(place, place + 1)
        a, b = schedule.at(int(t[place]))
        simple = ((a * eps[one] - b * x0[one] - 0.1 * x_t[one]) ** 2).mean()
        alone = Prediction(p.x0[one], p.eps[one], p.variance_fraction[one])
        bits = step_bits(schedule, alone, x0[one], x_t[one], int(t[place]), "learned")
        assert found[place].item() == pytest.approx((simple + 0.001 * 1000 * bits).item(), rel=1e-9)
    found.sum().backward()
    of_simple = torch.autograd.grad(
        V.from_x0_eps(x0, eps, *schedule.at(t)).sub(net.target * x_t).pow(2)
        .flatten(1).mean(1).sum(), net.target)[0]  # fmt: skip
    torch.testing.assert_close(net.target.grad, of_simple, rtol=1e-9, atol=1e-12)
    assert net.v.grad.abs() > 1e-3


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
@pytest.mark.parametrize("passes", [2, 3, 7, 40, 1000])
def test_runs_are_as_many_as_requested_and_hold_each_time_once(steps, passes):
    found = bound.time_strata(steps, passes)
    assert [t for run in found for t in run] == list(range(1, steps + 1))
    assert len(found) == min(passes, steps)
    assert len(found[0]) == 1
    assert len(found[-1]) == 1 or passes == 2


def test_estimates_are_unbiased():
    """Against the full sum on the same 3,000 images, whose difference has mean zero; four standard errors."""
    n, schedule = 3000, schedules.linear(60)
    x0 = 0.3 * randomness.normal((1, 1, 2), 0, Stream.OWN, 0, range(n)).double()
    denoiser = oracle.Gaussian(schedule, 0.1, 0.4)  # not quite that of the data
    elbo = bound.ELBO(seed=1, decoder="density", clip=False)
    full = sum(term.bits for term in elbo.terms(denoiser, x0))
    spread = []
    for passes in (2, 5, 20):
        terms = list(elbo.estimates(denoiser, x0, passes))
        assert len(terms) == passes
        difference = sum(term.bits for term in terms) - full
        assert abs(difference.mean()) < 4 * difference.std() / n**0.5
        spread.append(difference.std().item())
    assert spread[0] > 2 * spread[1] > 2 * spread[2]


def test_as_many_estimates_as_times_are_the_full_sum():
    """Each t once and each bit counted once; the noise is another draw, so noise that is given makes them equal."""
    x0 = torch.rand(3, 1, 2, 2, dtype=F64) - 0.5
    denoiser = oracle.Gaussian(schedules.linear(30), 0.0, 0.5)
    elbo = bound.ELBO(noise=lambda shape: torch.linspace(-1, 1, 12, dtype=F64).reshape(shape))
    full = list(elbo.terms(denoiser, x0))
    for passes in (30, 99):
        some = list(elbo.estimates(denoiser, x0, passes))
        assert [term.t.unique().tolist() for term in some] == [[term.t] for term in full]
        for one, other in zip(some, full, strict=True):
            torch.testing.assert_close(one.bits, other.bits, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(one.error, other.error)
