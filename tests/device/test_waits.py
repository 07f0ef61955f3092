"""What sampling, editing and measuring wait for on an accelerator: a budget for each method, by the step."""

import dataclasses

import pytest
import torch

from accelerator import pretended
from ancestral import bound, guidance, operators, oracle, probability_flow, samplers, schedules
from ancestral.base.device import on_device
from ancestral.conditions import Vector
from ancestral.covariance import Covariance
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model
from tiny_models import untrained

SHAPE = (3, 8, 8)
STEPS = (2, 4)
"""The numbers of steps whose waits are compared: the difference is what a step waits, without what a call does."""


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(device):
    torch.manual_seed(0)
    return untrained(SHAPE, classes=("a", "b"), conditions={"angle": Vector((0.0,), (1.0,))}).to(device)


def large(device):
    """Of items for which a pseudo-inverse has no matrix."""
    torch.manual_seed(0)
    return untrained((3, 24, 24), mults=(1,), attention=()).to(device)


def exact(device):
    """A Gaussian: what follows the probability flow is found in a few steps."""
    mean = torch.zeros(1, *SHAPE, device=device)
    model = Model(oracle.Gaussian(schedules.cosine(100), mean, 0.5), DataSpec(SHAPE, Codec("uint8")))
    model.denoiser.device = torch.device(device)
    return model


def sampled(sampler, **options):
    return lambda device, steps: small(device).sample(2, sampler, steps, label="a", **options)


def wrapped(wrap, sampler="ddim", **options):
    """Samples of a denoiser that is wrapped."""

    def run(device, steps):
        model = small(device)
        x_T = draw(2, *SHAPE).to(device)
        labels = torch.tensor([0, 1]).to(device)
        sampler_ = dataclasses.replace(samplers.from_name(sampler, steps=steps), **options)
        return sampler_.sample(wrap(model.denoiser), x_T, labels=labels)

    return run


def posterior(method, operator, clip=False, **options):
    y = operator.apply(draw(2, *SHAPE, seed=1).clamp(-1, 1))

    def wrap(denoiser):
        return guidance.Posterior(guidance.Clipped(denoiser) if clip else denoiser, y, operator, 0.1, method, **options)

    return wrapped(wrap)


def restored(method, operator, noise=0.0, make=small, **options):
    def run(device, steps):
        model = make(device)
        shape = model.spec.shape
        y = operator.apply(draw(1, *shape, seed=1).clamp(-1, 1))
        covariance = Covariance.of(draw(20, *shape, seed=2))
        options_ = {"covariance": covariance} if method in ("pigdm", "jfps") else {}
        return model.restore(y, operator, noise, 2, method, steps=steps, decode=False, **options_, **options)

    return run


def tds(device, steps):
    y = operators.Blur(1.0).apply(draw(1, *SHAPE, seed=1))
    sampler = samplers.TDS(y, operators.Blur(1.0), 0.1, particles=2, steps=steps)
    return sampler.sample(small(device).denoiser, draw(4, *SHAPE).to(device), labels=torch.tensor([0] * 4).to(device))


IMAGES = (255 * torch.sigmoid(draw(2, *SHAPE, seed=3))).byte()


def exact_bound(device, steps):
    torch.manual_seed(0)
    denoiser = untrained(SHAPE).denoiser.to(device)
    elbo = bound.ELBO()
    x0 = draw(2, *SHAPE).clamp(-1, 1).to(device)
    return torch.stack([term.bits for term in elbo.estimates(denoiser, x0, steps)]).sum(0)


def likelihood(device, steps, **options):
    x0 = draw(2, *SHAPE).to(device)
    if not options:
        options = {"steps": steps}
    return probability_flow.log_likelihood(exact(device).denoiser, x0, probes=1, **options)


def attempts(device, steps):
    """The adaptive likelihood: a smaller tolerance takes more attempts."""
    x0, flow = draw(2, *SHAPE).to(device), exact(device).denoiser
    return list(probability_flow.integrate(flow, x0, probes=1, rtol=10.0**-steps))[-1].divergence


def edited(make, task, *arguments, **options):
    """Samples of an edit."""

    def run(device, steps):
        return getattr(make(device), task)(*arguments, steps=steps, decode=False, **options)

    return run


def between(device, steps):
    ends = (draw(3, *SHAPE, seed=seed).to(device) for seed in (0, 1))
    return samplers.slerp(*ends, torch.linspace(0, 1, 3))


def exact_gaussian(device):
    return oracle.Gaussian(schedules.cosine(100), torch.zeros(1, *SHAPE, device=device), 0.5)


def mixture(device):
    means, stds = draw(3, *SHAPE, seed=2).to(device), torch.tensor([0.5, 0.2, 0.3]).to(device)
    return oracle.Mixture(schedules.cosine(100), means, stds)


def empirical(device):
    return oracle.Empirical(schedules.cosine(100), draw(3, *SHAPE, seed=2).to(device))


LEFT = operators.Mask((torch.arange(8) < 4).expand(8, 8))
HALF = operators.Mask((torch.arange(24) < 12).expand(24, 24))
DOWN, BLUR = operators.Downsample(2), operators.Blur(1.0)
SMALL_BOX = operators.Crop((2, 1), (3, 5))
BY_OPERATOR = {"mask": LEFT, "down": DOWN, "blur": BLUR, "grey": operators.Grey(), "crop": SMALL_BOX}
BY_OPERATOR |= {"blur of a mask": BLUR | LEFT, "down of a blur": BLUR | DOWN}

CASES = {
    **{f"sample {name}": sampled(name) for name in samplers.BY_NAME},
    "sample heun churn": sampled("heun:churn=5"),
    "sample ddim eta": sampled("ddim:eta=1"),
    "sample guided": sampled("ddim", guidance=2.0),
    "sample interval": sampled("ddim", guidance=2.0, guidance_interval=(0.1, 1.0)),
    "sample rescaled": sampled("ddim", guidance=2.0, guidance_rescale=0.5),
    "sample without angle": sampled("ddim"),
    "sample angle": sampled("ddim", given={"angle": 0.5}),
    "blend": wrapped(lambda d: guidance.Blend(d, {"labels": torch.tensor([1]).to(d.device)}, torch.tensor([0.2, 0.7]))),
    "blend ends": wrapped(lambda d: guidance.Blend(d, {"labels": torch.tensor([1]).to(d.device)}, 1.0)),
    "autoguidance": wrapped(lambda d: guidance.AutoGuidance(d, small(d.device).denoiser, 2.0)),
    "clipped skip": wrapped(lambda d: guidance.Skip(guidance.Clipped(d))),
    "heun adaptive": lambda device, steps: exact(device).sample(2, samplers.Heun(rtol=10.0**-steps), decode=False),
    **{
        f"posterior {method} {name}": posterior(method, BY_OPERATOR[name])
        for method, names in {"ddnm": BY_OPERATOR, **dict.fromkeys(("pigdm", "mmps", "jfps"), ("mask", "blur"))}.items()
        for name in names
    },
    # clipped as `restore` clips: x̂_0 of the untrained network is up to 600, of which the float32 solve with this
    # covariance, of condition number 900, has errors of 1e-2
    "posterior jfps data": posterior("jfps", LEFT, clip=True, covariance=Covariance.of(draw(20, *SHAPE, seed=2))),
    "dps": wrapped(lambda d: guidance.DPS(d, BLUR.apply(draw(2, *SHAPE, seed=1)), BLUR, 0.5), "ddpm", clip=None),
    "replacement blur": wrapped(lambda d: guidance.Replacement(d, BLUR.apply(draw(2, *SHAPE, seed=1)), BLUR), "ddpm"),
    **{f"restore {method}": restored(method, DOWN) for method in ("ddnm", "replacement", "repaint", "dps")},
    **{f"restore {method}": restored(method, LEFT, 0.1) for method in ("pigdm", "mmps", "jfps")},
    "restore ddnm large": restored("ddnm", operators.Grey() | HALF, 0.1, make=large),
    "tds": tds,
    "inpaint": edited(small, "inpaint", IMAGES[0], LEFT.mask, 2, method="mmps"),
    "vary": edited(small, "vary", IMAGES[0], 1.0, 2),
    "invert": lambda device, steps: exact(device).invert(IMAGES, 8 * steps),
    "interpolate t": edited(exact, "interpolate", *IMAGES, 3, t=50),
    "interpolate": lambda device, steps: exact(device).interpolate(*IMAGES, 3, steps=8 * steps, decode=False),
    "interpolate labels": edited(small, "interpolate", n=3, label=("a", "b")),
    "slerp": between,
    "bound": exact_bound,
    "likelihood": likelihood,
    "likelihood adaptive": attempts,
}
BUDGETS = {
    "heun adaptive": (3, "adaptive.py"),  # one for each attempt
    "likelihood adaptive": (4, "adaptive.py"),
    "invert": (8, "samplers/inversion.py"),  # one for each iteration, of which each of 8 steps has about one
    "interpolate": (16, "samplers/inversion.py"),  # of two images
    "tds": (2, "base/transforms.py"),  # one for 16 iterations of conjugate gradients
    "restore ddnm large": (1, "base/transforms.py"),
}
"""The largest number of waits for one more step, and the file that waits; 0 of what is not here."""


@pytest.mark.parametrize("name", CASES)
def test_steps_wait_no_more_than_the_budget_and_give_what_the_cpu_gives(name):
    counts = []
    for steps in STEPS:
        with pretended() as waits:
            made = CASES[name]("gpu", steps)
            counted = dict(waits)
            made = torch.Tensor(made.cpu())
        counts.append(counted)
    fewer, more = counts
    budget, where = BUDGETS.get(name, (0, ""))
    further = {line: number - fewer.get(line, 0) for line, number in more.items() if number > fewer.get(line, 0)}
    assert sum(further.values()) <= budget * (STEPS[1] - STEPS[0]), further
    assert all(where in line for line in further), further
    on_cpu = torch.Tensor(CASES[name]("cpu", STEPS[1]))
    assert torch.allclose(made.double(), on_cpu.double(), atol=1e-3, rtol=1e-3)


MEASURED, EACH_MEASURED = (LEFT.apply(draw(n, *SHAPE, seed=1)) for n in (1, 6))
BATCHES = {
    "sample": (2, lambda model, n: model.sample(n, "ddim", 2, label="a", given={"angle": 0.5}, batch_size=2)),
    "sample classes in turn": (2, lambda model, n: model.sample(n, "ddpm", 2, guidance=2.0, batch_size=2)),
    "restore": (3, lambda model, n: model.restore(MEASURED, LEFT, 0.1, n, "mmps", steps=2, batch_size=2)),
    "restore each": (3, lambda model, n: model.restore(EACH_MEASURED[:n], LEFT, 0.1, n, "mmps", steps=2, batch_size=2)),
    "inpaint": (5, lambda model, n: model.inpaint(IMAGES[0], LEFT.mask, n, steps=2, batch_size=2)),
    "vary": (2, lambda model, n: model.vary(IMAGES[0], 1.0, n, steps=2, batch_size=2)),
    "interpolate": (2, lambda model, n: model.interpolate(n=n, steps=2, batch_size=2, label=("a", "b"))),
}
"""The largest number of waits for one more batch, none of which copies from the CPU: for the samples, for whether they
are finite, for whether a measurement is, and of a part for whether the samples are in the range."""


@pytest.mark.parametrize("name", BATCHES)
def test_batches_wait_no_more_than_the_budget_and_copy_nothing_that_blocks(name):
    budget, run = BATCHES[name]
    counts = []
    for batches in (1, 3):
        with pretended() as waits:
            model = small("gpu")
            waits.clear()
            run(model, 2 * batches)
            counts.append(dict(waits))
    fewer, more = counts
    further = {line: number - fewer.get(line, 0) for line, number in more.items() if number > fewer.get(line, 0)}
    assert sum(further.values()) == budget * 2, further
    assert not any("from the CPU" in line or "not pinned" in line for line in further), further


ZERO, LARGE = torch.tensor(0.0), torch.zeros(2**15)
PLACE = torch.tensor([0])
COUNTED = {
    "a number": (1, lambda x: torch.tensor(1.0, device=x.device)),
    "a number as a tensor": (1, lambda x: torch.as_tensor(1.0, device=x.device)),
    "a tensor without axes": (1, lambda x: ZERO.to(x)),
    "a tensor without axes, not blocking": (0, lambda x: ZERO.to(x, non_blocking=True)),
    "new_tensor": (1, lambda x: x.new_tensor([1.0, 2.0])),
    "new_tensor of a number": (1, lambda x: x.new_tensor(data=1.0)),
    "new_full": (0, lambda x: x.new_full((2,), 1.0)),
    "full": (0, lambda x: torch.full((2,), 1.0, device=x.device)),
    "set an element": (1, lambda x: x.__setitem__(0, 1.0)),
    "set a range": (0, lambda x: x.__setitem__(slice(2), 1.0)),
    "set places": (1, lambda x: x.__setitem__(PLACE.to(x.device, non_blocking=True), 1.0)),
    "where": (1, lambda x: torch.where(x > 0, x, ZERO)),
    "where of a number": (0, lambda x: torch.where(x > 0, x, 0.0)),
    "a sum": (0, lambda x: x + ZERO),
    "large, not pinned": (1, lambda x: LARGE.to(x.device, non_blocking=True)),
    "large, pinned": (0, lambda x: on_device(LARGE, x.device)),
    "svd": (1, lambda x: torch.linalg.svd(x.diag())),
    "pinv": (1, lambda x: torch.linalg.pinv(x.diag())),
    "solve": (1, lambda x: torch.linalg.solve(x.diag(), x)),
    "solve_ex": (0, lambda x: torch.linalg.solve_ex(x.diag(), x)),
    "inv_ex with its check": (1, lambda x: torch.linalg.inv_ex(x.diag(), check_errors=True)),
    "cholesky": (1, lambda x: torch.linalg.cholesky(x.diag())),
}


@pytest.mark.parametrize("name", COUNTED)
def test_copies_and_decompositions_are_counted_as_cuda_waits_for_them(name, waits):
    number, act = COUNTED[name]
    x = torch.ones(3).to("gpu")
    waits.clear()
    act(x)
    assert sum(waits.values()) == number, waits


@pytest.mark.parametrize("float64", [True, False])
@pytest.mark.parametrize("known", [exact_gaussian, mixture, empirical], ids=["gaussian", "mixture", "empirical"])
def test_oracles_on_a_device_are_conditioned_on_a_measurement(known, float64):
    y = DOWN.apply(draw(1, *SHAPE, seed=1))
    expected = known("cpu").given(y, DOWN, 0.1).predict(draw(2, *SHAPE), 50)
    with pretended(float64) as waits:
        conditional = known("gpu").given(y.to("gpu"), DOWN, 0.1)
        x_t = draw(2, *SHAPE).to("gpu")
        conditional.predict(x_t, 50)
        waits.clear()
        made = conditional.predict(x_t, 50)
        assert not waits
        made = [part.cpu() for part in made]
    for one, other in zip(made, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
