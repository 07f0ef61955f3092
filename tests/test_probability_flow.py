"""The probability flow's likelihood against exact densities."""

import math

import pytest
import torch

import bound_gap
from ancestral import oracle, probability_flow, schedules, targets
from ancestral.base.errors import InputError
from ancestral.diffusion import Diffusion
from ancestral.samplers import Heun
from ancestral.targets import Prediction

F64 = torch.float64
MEANS = torch.tensor([[-0.6, 0.2], [0.5, 0.5], [0.1, -0.6]], dtype=F64)
STDS = torch.tensor([0.15, 0.25, 0.2], dtype=F64)


def points(count=60):
    generator = torch.Generator().manual_seed(1)
    part = torch.randint(3, (count,), generator=generator)
    return MEANS[part] + STDS[part, None] * torch.randn(count, 2, dtype=F64, generator=generator)


def density(x):
    """Log p of the mixture, written out with torch's own distributions."""
    parts = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(3, dtype=F64)),
        torch.distributions.Independent(torch.distributions.Normal(MEANS, STDS[:, None].expand(3, 2)), 1),
    )
    return parts.log_prob(x)


@pytest.mark.parametrize(
    "make",
    [pytest.param(schedules.cosine, marks=pytest.mark.long), pytest.param(schedules.flow, marks=pytest.mark.slow)],
    ids=["cosine", "flow"],
)
def test_it_is_the_exact_density_to_a_ten_thousandth_of_a_nat(make):
    """End to end: schedules whose x_T is N(0, 1) to that precision."""
    schedule, x = make(1000), points()
    found = probability_flow.log_likelihood(oracle.Mixture(schedule, MEANS, STDS), x)
    torch.testing.assert_close(found, density(x), rtol=0, atol=1e-4)


@pytest.mark.long
def test_its_order_is_two():
    errors = [bound_gap.flow_error(schedules.flow(steps)) for steps in (100, 200, 400)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.15)


def test_gaussian_data_in_many_dimensions_by_hutchinson():
    """Random signs are exact here: the Jacobian of the exact denoiser of a Gaussian is diagonal."""
    x = 0.3 + 0.5 * torch.randn(4, 1, 6, 6, dtype=F64, generator=torch.Generator().manual_seed(0))
    denoiser = oracle.Gaussian(schedules.cosine(500), 0.3, 0.5)
    exact = torch.distributions.Normal(0.3, 0.5).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(probability_flow.log_likelihood(denoiser, x, probes=1), exact, rtol=0, atol=5e-3)


def test_hutchinson_is_unbiased():
    denoiser, x = oracle.Mixture(schedules.cosine(30), MEANS, STDS), points(3)
    exact = probability_flow.log_likelihood(denoiser, x)
    many = x.repeat(400, 1)
    estimates = probability_flow.log_likelihood(denoiser, many, probes=1, seed=3).reshape(400, 3)
    error = estimates.std(0) / 20
    assert (error > 0).all()
    assert ((estimates.mean(0) - exact).abs() < 4 * error).all()


def test_an_image_has_the_same_probe_in_every_batch():
    denoiser, x = oracle.Mixture(schedules.cosine(20), MEANS, STDS), points(5)
    whole = probability_flow.log_likelihood(denoiser, x, probes=1, seed=1)
    alone = probability_flow.log_likelihood(denoiser, x[3:4], probes=1, seed=1, indices=[3])
    torch.testing.assert_close(alone, whole[3:4])


def test_fewer_steps_and_bad_ones():
    denoiser, x = oracle.Mixture(schedules.cosine(1000), MEANS, STDS), points(5)
    states = list(probability_flow.integrate(denoiser, x, steps=25, spacing="logsnr"))
    assert [states[0].t, states[-1].t, len(states)] == [0, 1000, 26]
    few = probability_flow.log_likelihood(denoiser, x, steps=50, spacing="logsnr")
    torch.testing.assert_close(few, density(x), rtol=0, atol=0.3)
    with pytest.raises(InputError, match="probes is a whole number, 0"):
        probability_flow.log_likelihood(denoiser, x, probes=-1)
    with pytest.raises(InputError, match="sampling steps"):
        probability_flow.log_likelihood(denoiser, x, steps=0)


def test_a_flow_that_ends_below_T_meets_the_prior_of_that_time():
    """karras, 300 leading steps: the last state is of t = 997, whose noise is 2 % less than that of T."""
    schedule, x = schedules.karras(1000), points()
    denoiser = oracle.Mixture(schedule, MEANS, STDS)
    *_, end = probability_flow.integrate(denoiser, x, steps=300, spacing="leading")
    assert end.t == 997
    found = probability_flow.log_density(schedule, end)
    exact = torch.distributions.Normal(0.0, schedule.noise[997]).log_prob(end.x).sum(1) + end.divergence
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, density(x), rtol=0, atol=6e-3)
    with pytest.raises(InputError, match="not noise alone"):
        probability_flow.log_likelihood(denoiser, x, steps=1, spacing="leading")


def test_no_data_have_no_likelihood_and_integers_are_refused():
    denoiser = oracle.Mixture(schedules.cosine(10), MEANS, STDS)
    for probes in (0, 1):
        assert probability_flow.log_likelihood(denoiser, points()[:0], probes=probes).shape == (0,)
    with pytest.raises(InputError, match="must be floats"):
        probability_flow.log_likelihood(denoiser, torch.zeros(2, 2, dtype=torch.int64))


class Counted:
    """A denoiser that counts its evaluations."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.count = denoiser, denoiser.schedule, 0

    def predict(self, x_t, t, **condition):
        self.count += 1
        return self.denoiser.predict(x_t, t, **condition)


@pytest.mark.parametrize(
    ("name", "T"),
    [
        ("linear", 1000),
        pytest.param("cosine", 2, marks=pytest.mark.long),
        ("karras", 1000),
        pytest.param("geometric", 2, marks=pytest.mark.long),
        ("flow", 1000),
    ],
)
def test_adaptive_steps_are_exact_to_a_hundred_thousandth_of_a_nat_with_fewer_evaluations(name, T):
    """As above, with the exact density of x_T. With two steps of the schedule, the flow is still the continuous one."""
    exact, x = oracle.Mixture(getattr(schedules, name)(T), MEANS, STDS), points(20)
    denoiser = Counted(exact)
    *_, end = probability_flow.integrate(denoiser, x, rtol=1e-6)
    torch.testing.assert_close(exact.log_density(end.x, T) + end.divergence, density(x), rtol=0, atol=1e-5)
    assert denoiser.count < 250  # 1,000 steps of the trapezoid rule need 1,999, for an error of 1e-4 to 1e-3
    assert (torch.as_tensor(end.t) - T).abs().max() < 1e-6


def test_an_item_has_adaptive_steps_of_its_own():
    denoiser, x = oracle.Mixture(schedules.cosine(100), MEANS, STDS), points(5)
    whole = probability_flow.log_likelihood(denoiser, x, rtol=1e-4)
    torch.testing.assert_close(
        probability_flow.log_likelihood(denoiser, x[3:4], rtol=1e-4), whole[3:4], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("rtol", [0.0, -1.0, 1.0, math.nan, 1e-8])
def test_a_tolerance_that_cannot_be_kept_is_refused(rtol):
    denoiser = oracle.Gaussian(schedules.flow(10), 0.0, 1.0)
    with pytest.raises(InputError, match=r"rtol must be below 1, and at least 1e-06 for torch\.float32"):
        probability_flow.log_likelihood(denoiser, torch.zeros(1, 2), rtol=rtol)


def test_a_network_that_diverges_is_named():
    class Broken:
        schedule = schedules.flow(10)

        def predict(self, x_t, t, **condition):
            return Prediction(x_t * math.inf, x_t * math.inf)

    with pytest.raises(InputError, match="leaves the finite numbers"):
        Heun(rtol=1e-3).sample(Broken(), torch.ones(1, 2))


@pytest.mark.parametrize("options", [{"rtol": 1e-6}, {"rtol": 1e-6, "probes": 2}, {"steps": 300, "spacing": "logsnr"}])
def test_its_gradient_is_that_of_the_density_of_a_gaussian(options):
    """In x_0, and in the mean and the logarithm of the deviation, of which the denoiser reads an exponential."""
    x = points(4).requires_grad_()
    mean = torch.tensor([[0.3, -0.2]], dtype=F64, requires_grad=True)
    log_std = torch.tensor([-0.9, -0.3], dtype=F64, requires_grad=True)
    schedule = schedules.zero_terminal(schedules.linear(1000))
    density = torch.distributions.Normal(mean, log_std.exp()).log_prob(x).sum(1)
    found = probability_flow.log_likelihood(oracle.Gaussian(schedule, mean, log_std.exp()), x, **options)
    torch.testing.assert_close(found, density, rtol=0, atol=5e-3)
    gradients = (torch.autograd.grad(value.sum(), [x, mean, log_std]) for value in (found, density))
    for ours, exact in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, exact, rtol=2e-3, atol=2e-3)


def test_recording_gradients_changes_no_bit():
    x = points(3).requires_grad_()
    for options in ({}, {"rtol": 1e-4}, {"probes": 1}):
        recorded = probability_flow.log_likelihood(oracle.Mixture(schedules.cosine(20), MEANS, STDS), x, **options)
        with torch.no_grad():
            plain = probability_flow.log_likelihood(oracle.Mixture(schedules.cosine(20), MEANS, STDS), x, **options)
        assert recorded.requires_grad
        assert not plain.requires_grad
        assert torch.equal(recorded, plain)


class Saved:
    """A tensor that autograd keeps for a backward pass, counted while it is kept."""

    now = most = 0

    def __init__(self, tensor):
        self.tensor = tensor.detach()  # with its graph it would hold itself
        Saved.now += tensor.nbytes
        Saved.most = max(Saved.most, Saved.now)

    def __del__(self):
        Saved.now -= self.tensor.nbytes


def test_memory_grows_by_one_state_a_step():
    """Of a network whose activations are 100 times as large as x."""

    class Wide(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(2, 200), torch.nn.Tanh(), torch.nn.Linear(200, 2))

        def forward(self, x, index):
            return self.layers(x)

    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    most: list[int] = []
    for steps in (5, 40):
        denoiser = Diffusion(Wide(), schedules.cosine(40), targets.V).eval()
        Saved.now = Saved.most = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            probability_flow.log_likelihood(denoiser, x, steps=steps).sum().backward()
        most.append(Saved.most)
    state = x.nbytes + x.nbytes // 2
    weights = sum(weight.nbytes for weight in denoiser.parameters())  # which each step names, and none copies
    assert most[1] - most[0] < 35 * (2 * state + weights)
    assert most[0] > 50 * x.nbytes  # the activations of one step are in it
