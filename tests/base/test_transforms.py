"""Second derivatives, torch.func and forward-mode AD: finite differences are the truth, or PyTorch's own layers."""

import shutil

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import forward_ad, functional, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from ancestral import Diffusion, nets, randomness, schedules, targets
from ancestral.base.errors import InputError
from ancestral.nets.kernels.attention import attend, merged_attention
from ancestral.nets.kernels.convolution import TAPS, Conv2d, upsampled_convolution
from ancestral.nets.kernels.dropout import Dropout
from ancestral.nets.kernels.normalisation import GroupNorm, layer_norm
from ancestral.randomness import Stream

KEYS = randomness.keys(0, Stream.DROPOUT, 0, range(2))
INDEX = torch.tensor([3, 70])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def group_norm(x, gamma, beta, silu=True):
    layer = GroupNorm(2, 4, silu)
    return functional_call(layer, {"weight": gamma, "bias": beta}, (x,))


def merged(h, qkv, b_qkv, out, b_out):
    return merged_attention(h, (qkv, b_qkv), (out, b_out))


ATTENTION = [(2, 3, 4), (12, 4), (12,), (4, 4), (4,)]
KERNELS = {
    "group norm": (lambda *inputs: group_norm(*inputs, silu=False), [(2, 4, 3), (4,), (4,)]),
    "group norm and SiLU": (group_norm, [(2, 4, 2, 2), (4,), (4,)]),
    "group norm twice": (lambda x, *weights: group_norm(group_norm(x, *weights), *weights), [(2, 4, 3), (4,), (4,)]),
    "layer norm": (layer_norm, [(2, 3, 4), (4,), (4,)]),
    "dropout": (lambda h: Dropout(0.4)(h, KEYS).square(), [(2, 4, 3)]),
    "attention": (attend, [(2, 2, 3, 4)] * 3),
    "self-attention": (lambda x: attend(x, x.flip(3), x.square()), [(2, 2, 3, 4)]),
    "merged attention": (merged, ATTENTION),
    "upsampling": (lambda *inputs: upsampled_convolution(*inputs, torch.tensor(TAPS)), [(1, 2, 3), (2, 2, 3), (2,)]),
}
"""Functions of tensors, with the shapes of these."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name == "merged attention")) for name in KERNELS]
)
def test_kernels_have_right_derivatives(name):
    """First and second ones, backwards, forwards and in batches."""
    function, shapes = KERNELS[name]
    inputs = [normal(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    assert gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("name", KERNELS)
def test_the_backward_pass_of_training_is_the_one_that_can_be_differentiated(name):
    function, shapes = KERNELS[name]
    inputs = [normal(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    out = function(*inputs)
    plain, again = (
        torch.autograd.grad(out, inputs, torch.ones_like(out), create_graph=create, retain_graph=True)
        for create in (False, True)
    )
    torch.testing.assert_close(again, plain, rtol=1e-10, atol=1e-12)


def small(kind, train=False):
    """A network in float64 none of whose layers is zero, and inputs for it."""
    net, shape = {
        "unet": (lambda: nets.UNet(1, 4, (1, 2), 1, (4, 2), 0.2, 4, groups=2, dims=1), (2, 1, 4)),
        "transformer": (lambda: nets.Transformer(1, 8, 1, 2, 2, dropout=0.2), (2, 1, 4, 4)),
        "mlp": (lambda: nets.MLP(2, 8, 1), (2, 2)),
    }[kind]
    net = net().double().train(train)
    for seed, parameter in enumerate(net.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=seed)
    return net, normal(*shape, seed=99)


@pytest.mark.parametrize("kind", [pytest.param("unet", marks=pytest.mark.long), "transformer", "mlp"])
def test_networks_have_right_derivatives(kind):
    """With respect to x, and to the weights along a direction, with the masks of dropout."""
    net, x = small(kind, train=True)
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    direction = {name: normal(*value.shape, seed=7) for name, value in weights.items()}

    def function(x, step):
        moved = {name: value + step * direction[name] for name, value in weights.items()}
        return functional_call(net, moved, (x, INDEX), {"keys": KEYS})

    inputs = [x.requires_grad_(), torch.zeros((), dtype=torch.float64, requires_grad=True)]
    assert gradcheck(function, inputs, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["unet", "transformer", "mlp"])
def test_every_way_to_a_second_derivative_leads_to_the_same(kind):
    net, x = small(kind, train=True)

    def loss(x):
        return net(x, INDEX, keys=KEYS).square().sum()

    step = 1e-5
    units = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape)
    exact = torch.stack([(grad(loss)(x + step * e) - grad(loss)(x - step * e)) / (2 * step) for e in units])
    exact = exact.reshape(*x.shape, *x.shape)
    ways = {
        "hessian": hessian(loss),
        "forward over forward": jacfwd(jacfwd(loss)),
        "reverse over forward": jacrev(jacfwd(loss)),
        "reverse over reverse": jacrev(jacrev(loss)),
        "functional": lambda x: functional.hessian(loss, x),
        "in batches": lambda x: functional.hessian(loss, x, vectorize=True),
    }
    for name, way in ways.items():
        assert (way(x) - exact).abs().max() < 1e-7 * exact.abs().max(), name
    v = normal(*x.shape, seed=5)
    truth = (exact.flatten(0, x.ndim - 1).flatten(1) @ v.flatten()).reshape(x.shape)
    x.requires_grad_()
    (first,) = torch.autograd.grad(loss(x), x, create_graph=True)
    products = {
        "hvp": functional.hvp(loss, x, v)[1],
        "vhp": functional.vhp(loss, x, v)[1],
        "create_graph": torch.autograd.grad(first, x, v)[0],
        "jvp of grad": jvp(grad(loss), (x.detach(),), (v,))[1],
    }
    for name, product in products.items():
        assert (product - truth).abs().max() < 1e-7 * truth.abs().max(), name


@pytest.mark.parametrize("kind", ["unet", "transformer", "mlp"])
def test_jacobians_of_a_denoiser_are_finite_differences(kind):
    net, x = small(kind)
    diffusion = Diffusion(net, schedules.cosine(100), targets.V)

    def predict(x):
        return diffusion.predict(x, torch.tensor([5, 60])).x0

    v = normal(*x.shape, seed=5)
    exact = (predict(x + 1e-6 * v) - predict(x - 1e-6 * v)) / 2e-6
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(predict(forward_ad.make_dual(x, v))).tangent
    size = x.numel()
    ways = {
        "jvp": jvp(predict, (x,), (v,))[1],
        "double backward": functional.jvp(predict, x, v)[1],
        "forward_ad": dual,
        "jacrev": (jacrev(predict)(x).reshape(size, size) @ v.flatten()).reshape(x.shape),
        "jacfwd": (jacfwd(predict)(x).reshape(size, size) @ v.flatten()).reshape(x.shape),
        "vectorized": (functional.jacobian(predict, x, vectorize=True).reshape(size, size) @ v.flatten()).reshape(
            x.shape
        ),
        "vjp": vmap(vjp(predict, x)[1])(torch.eye(size, dtype=torch.float64).reshape(size, *x.shape))[0]
        .reshape(size, size)
        .mv(v.flatten())
        .reshape(x.shape),
    }
    for name, way in ways.items():
        torch.testing.assert_close(way, exact, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("kind", ["unet", "transformer", "mlp"])
def test_vmap_over_items_and_over_weights(kind):
    """Gradients of single items, with a dropout mask each, and the answers of an ensemble."""
    net, x = small(kind, train=True)
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}

    def loss(weights, x, index, key):
        out = functional_call(net, weights, (x[None], index[None]), {"keys": key[None]})
        return out.square().sum()

    single = vmap(grad(loss), (None, 0, 0, 0))(weights, x, INDEX, KEYS)
    total = torch.autograd.grad(net(x, INDEX, keys=KEYS).square().sum(), list(net.parameters()))
    for name, exact in zip(weights, total, strict=True):
        torch.testing.assert_close(single[name].sum(0), exact, rtol=1e-9, atol=1e-9)
    both = {name: torch.stack([value, 0.5 * value]) for name, value in weights.items()}
    answers = vmap(lambda weights: functional_call(net, weights, (x, INDEX), {"keys": KEYS}))(both)
    for i, answer in enumerate(answers):
        alone = functional_call(net, {name: value[i] for name, value in both.items()}, (x, INDEX), {"keys": KEYS})
        torch.testing.assert_close(answer, alone, rtol=1e-9, atol=1e-9)


def second(net, x):
    """The gradient of x and the parameters under autocast, and the gradient of its squared norm."""
    x = x.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x).float().square().sum()
    inputs = [x, *net.parameters()]
    first = torch.autograd.grad(out, inputs, create_graph=True)
    return [*first, *torch.autograd.grad(sum(g.float().square().sum() for g in first), inputs)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_convolution_under_autocast_is_pytorchs_twice(dtype):
    ours, theirs = Conv2d(8, 16, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 9, 9).to(dtype)
    for mine, other in zip(second(ours, x), second(theirs, x), strict=True):
        assert mine.dtype == other.dtype
        assert (mine - other).norm() < 0.01 * other.norm()  # PyTorch's adds up both passes' parts of dw in bfloat16
    v = torch.randn_like(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(jvp(ours, (x,), (v,))[1], jvp(theirs, (x,), (v,))[1])


def test_second_derivatives_in_bfloat16_are_those_of_float64_rounded():
    """Group norm, attention and convolutions under autocast, one after another."""
    net = nets.UNet(1, 16, (1, 2), 1, (8, 4), 0.0, 8)
    for seed, parameter in enumerate(net.parameters()):
        parameter.data = 0.1 * normal(*parameter.shape, seed=seed).float()
    x, v = normal(2, 1, 8, 8).float(), normal(2, 1, 8, 8, seed=1).float()
    exact = functional.hvp(lambda x: net.double()(x, INDEX).square().sum(), x.double(), v.double())[1]
    net.float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = functional.hvp(lambda x: net(x, INDEX).float().square().sum(), x, v)[1]
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", ["mlp", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("unet", "transformer"))]
)
def test_predict_compiles_in_one_piece(kind):
    """Without a graph break, for one time and for many; and another time needs no other graph."""
    torch.compiler.reset()
    net, x = small(kind)
    diffusion = Diffusion(net, schedules.cosine(100), targets.V)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(diffusion.predict, fullgraph=True, backend=counter)

    pairs = [(50, 7, 99), (torch.tensor([3, 70]), torch.tensor([0, 99]))]
    for times in [*pairs, (1.5, 60.25, 98.5)] if kind == "mlp" else pairs:
        graphs = []
        for t in times:
            for mine, exact in zip(compiled(x, t), diffusion.predict(x, t), strict=True):
                torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-12)
            graphs.append(counter.frame_count)
        assert graphs[1] == graphs[-1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="needs a C++ compiler")
@pytest.mark.parametrize("kind", ["unet", "transformer", "mlp"])
def test_predict_compiled_to_machine_code_is_the_same(kind):
    torch.compiler.reset()
    net, x = small(kind)
    diffusion = Diffusion(net, schedules.cosine(100), targets.V)
    compiled = torch.compile(diffusion.predict, fullgraph=True)
    with torch.no_grad():
        for t in (50, torch.tensor([3, 70])):
            # the frequencies of the time embedding are in float32
            torch.testing.assert_close(compiled(x, t).x0, diffusion.predict(x, t).x0, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [("unet", schedules.cosine(100)), ("transformer", schedules.linear(100)), ("mlp", schedules.karras(100))],
    ids=lambda value: value if isinstance(value, str) else value.spec["name"],
)
def test_times_have_derivatives_and_are_batched(kind, schedule):
    """As for a network that learns a flow map by its derivative in t."""
    net, x = small(kind)
    diffusion = Diffusion(net, schedule, targets.V)

    def predict(t):
        return diffusion.predict(x, t).x0

    def one(x, t):
        return diffusion.predict(x[None], t).x0[0]

    index, t = torch.tensor([3, 70]), torch.tensor([3.3, 70.2], dtype=torch.float64)
    torch.testing.assert_close(vmap(one)(x, index), predict(index), rtol=1e-9, atol=1e-12)
    exact = (predict(t + 1e-5) - predict(t - 1e-5)) / 2e-5
    torch.testing.assert_close(jvp(predict, (t,), (torch.ones_like(t),))[1], exact, rtol=1e-6, atol=1e-8)
    for jacobian in (jacrev, jacfwd):
        torch.testing.assert_close(vmap(jacobian(one, 1))(x, t), exact, rtol=1e-6, atol=1e-8)


def test_times_that_are_none_are_refused_within_a_transform():
    net, x = small("mlp")
    diffusion = Diffusion(net, schedules.cosine(100), targets.V)
    with pytest.raises(InputError, match=r"times 3\.\.101 are outside this schedule's 0\.\.100"):
        jacrev(lambda x: diffusion.predict(x, torch.tensor([3, 101])).x0)(x)
