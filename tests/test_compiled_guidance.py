"""Guidance within torch.compile, without a graph break, and within torch.func.vmap."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import vmap

from ancestral import Diffusion, guidance, nets, oracle, schedules, targets
from ancestral.operators import Blur, Crop, Downsample, Linear, Mask
from tiny_models import wake

SCHEDULE = schedules.cosine(100)
NUMBERS = torch.Generator().manual_seed(0)
X, NOISE = torch.randn(2, 4, 3, 8, 8, generator=NUMBERS, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, -1])
KNOWN = (torch.rand(1, 8, 8, generator=NUMBERS) > 0.5).double()
GAUSSIAN = oracle.Gaussian(SCHEDULE, NOISE[0] / 3, 0.5)
OPERATORS = {
    "mask": Mask(KNOWN),
    "downsampling": Downsample(2),
    "blur": Blur(1.0),
    "crop": Crop((2, 2), (4, 4)),
    "blurred mask": Mask(KNOWN) | Blur(1.0),
    "function": Linear(lambda x: x.flip(-1) + x),
}


def posterior(operator, method):
    return lambda denoiser: guidance.Posterior(denoiser, operator.apply(NOISE[:1]), operator, 0.1, method, iterations=4)


GUIDED = {
    "classifier-free": lambda denoiser: guidance.ClassifierFree(denoiser, 2.0),
    "two conditions": lambda denoiser: guidance.ClassifierFree(denoiser, {"labels": 2.0, "low": 1}, rescale=0.7),
    "interval": lambda denoiser: guidance.Interval(guidance.ClassifierFree(denoiser, 2.0), 0.3, 5.0),
    "blend": lambda denoiser: guidance.Blend(denoiser, {"labels": LABELS.flip(0)}, 0.3),
    "blends": lambda denoiser: guidance.Blend(denoiser, {"labels": LABELS.flip(0)}, torch.tensor([0.0, 0.5, 1.0, 0.2])),
    **{f"ddnm {name}": posterior(operator, "ddnm") for name, operator in OPERATORS.items()},
    **{f"jfps {name}": posterior(OPERATORS[name], "jfps") for name in ("mask", "downsampling", "blur")},
    **{f"{method} mask": posterior(OPERATORS["mask"], method) for method in ("pigdm", "mmps")},
}
OF_NETWORKS = ("classifier-free", "interval", "blend", "blends", "ddnm mask", "jfps mask", "pigdm mask")


def network():
    torch.manual_seed(0)
    net = nets.UNet(3, width=8, mults=(1,), blocks=1, groups=4, attention=(), image_size=8, classes=2)
    return Diffusion(wake(net).eval().double(), SCHEDULE, targets.V)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "denoiser"),
    [(name, lambda: GAUSSIAN) for name in GUIDED] + [(name, network) for name in OF_NETWORKS],
    ids=lambda value: value if isinstance(value, str) else value.__name__.replace("<lambda>", "oracle"),
)
def test_guidance_compiles_in_one_piece(name, denoiser):
    """Without a graph break, for one time and for many; and another time needs no other graph."""
    torch.compiler.reset()
    guided = GUIDED[name](denoiser())
    condition = {"labels": LABELS} | ({"low": NOISE} if name == "two conditions" else {})
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(guided.predict, fullgraph=True, backend=counter)
    for times in [(50, 7, 99), (torch.tensor([3, 70, 20, 99]), torch.tensor([0, 99, 50, 1]))]:
        graphs = []
        for t in times:
            with torch.no_grad():
                exact = guided.predict(X, t, **condition)
                for mine, number in zip(compiled(X, t, **condition), exact, strict=True):
                    torch.testing.assert_close(mine, number, rtol=1e-6, atol=1e-8)
            graphs.append(counter.frame_count)
        assert graphs[1] == graphs[-1]


@pytest.mark.long
def test_guidance_of_another_scale_compiles():
    """The compiler takes the number of a second object for a variable, whose value it does not know."""
    torch.compiler.reset()
    for scales in ({"labels": 2.0, "low": 3.0}, {"labels": 1.5, "low": 3.5}, {"labels": 2.5, "low": 2.5}):
        guided = guidance.ClassifierFree(GAUSSIAN, scales)
        compiled = torch.compile(guided.predict, fullgraph=True, backend="eager")
        exact = guided.predict(X, 50, labels=LABELS, low=NOISE)
        torch.testing.assert_close(compiled(X, 50, labels=LABELS, low=NOISE).x0, exact.x0)


@pytest.mark.parametrize("method", guidance.METHODS)
@pytest.mark.parametrize("name", OPERATORS)
def test_posterior_is_batched_over_measurements(name, method):
    operator = OPERATORS[name]

    def one(y, x):
        return guidance.Posterior(GAUSSIAN, y[None], operator, 0.1, method).predict(x[None], 50).x0[0]

    y = operator.apply(NOISE)
    torch.testing.assert_close(vmap(one)(y, X), torch.stack(list(map(one, y, X))))


@pytest.mark.parametrize("method", guidance.METHODS)
def test_posterior_is_batched_over_masks_and_times(method):
    def one(y, x, mask, t):
        return guidance.Posterior(GAUSSIAN, y[None], Mask(mask), 0.1, method).predict(x[None], t).x0[0]

    masks = (torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    each = (NOISE * masks, X, masks, torch.tensor([3, 20, 50, 90]))
    torch.testing.assert_close(vmap(one)(*each), torch.stack(list(map(one, *each))))
