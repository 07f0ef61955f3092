"""The group norm with silu: PyTorch's own two functions are the truth, forwards and backwards."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ancestral.nets.kernels import normalisation
from ancestral.nets.kernels.attention import EXPLICIT, attend, merged_attention, merges
from ancestral.nets.kernels.normalisation import GroupNorm
from ancestral.nets.unet import SelfAttention

SHAPES = {"signal": (3, 24, 17), "image": (2, 24, 5, 6), "volume": (2, 24, 3, 4, 5), "one pixel": (3, 24, 1, 1)}


def pair(groups: int, width: int, silu: bool, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, nn.Module]:
    """Ours, and PyTorch's with the same weights, which are not 1 and 0."""
    ours, theirs = GroupNorm(groups, width, silu).to(dtype), nn.GroupNorm(groups, width, eps=1e-6).to(dtype)
    generator = torch.Generator().manual_seed(1)
    for parameter in ours.parameters():
        parameter.data = torch.randn(width, generator=generator, dtype=torch.float64).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, nn.Sequential(theirs, nn.SiLU()) if silu else theirs


def results(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The answer, and the gradients of a fixed sum of it: of x, γ and β."""
    x = x.detach().requires_grad_()
    out = net(x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.dtype)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *net.parameters()])]


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("groups", [1, 6, 24])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_is_group_norm_and_silu(shape: tuple[int, ...], groups: int, silu: bool) -> None:
    x = 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, theirs = pair(groups, 24, silu)
    for mine, other in zip(results(ours, x), results(theirs, x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("few", [1, 24 * 30 * 2])
def test_parts_of_a_batch_make_the_whole(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = 3 + 2 * torch.randn(5, 24, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, theirs = pair(6, 24, silu=True)
    monkeypatch.setattr(normalisation, "CACHED_ELEMENTS", few)
    for mine, other in zip(results(ours, x), results(theirs, x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_finite_differences() -> None:
    x = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    ours, _ = pair(2, 8, silu=True)
    assert torch.autograd.gradcheck(ours, [x])


@pytest.mark.parametrize("mean", [0, 5, 30])
def test_in_float32_it_is_as_near_to_the_truth_as_pytorchs_own(mean: float) -> None:
    x = mean + torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    ours, theirs = pair(8, 32, silu=True)
    truth = results(ours, x.double())
    x = x.contiguous(memory_format=torch.channels_last)
    for mine, other, exact in zip(results(ours.float(), x), results(theirs.float(), x), truth, strict=True):
        unit = exact.abs().max() * 2**-23
        assert (mine - exact).abs().max() <= 1.5 * (other - exact).abs().max() + unit


def test_bfloat16_is_rounded_once() -> None:
    x = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    ours, _ = pair(8, 32, silu=True, dtype=torch.float32)
    exact = ours(x.float())
    assert torch.equal(ours(x), exact.bfloat16())


def test_layout_and_dtype_stay() -> None:
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last).bfloat16()
    out = GroupNorm(2, 8, silu=True)(x)
    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_it_keeps_its_input_and_nothing_else_of_that_size() -> None:
    x = torch.randn(2, 8, 32, 32, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        GroupNorm(2, 8, silu=True)(x)
    assert [t.data_ptr() for t in kept if t.numel() >= x.numel()] == [x.data_ptr()]


@pytest.mark.parametrize("positions", [49, EXPLICIT, EXPLICIT + 1])
def test_attention_in_bfloat16_is_softmax_attention(positions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 1, positions, 16, generator=generator) for _ in range(3))
    exact = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend(q.bfloat16(), k.bfloat16(), v.bfloat16()).float(), exact, rtol=0.05, atol=0.03)


def attention_results(x: torch.Tensor, merged: bool) -> list[torch.Tensor]:
    """Attention of all positions of x, and the gradients of a fixed sum of it: of x, and of weights and biases."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    generator = torch.Generator().manual_seed(1)
    shapes = [(96, 32), (96,), (32, 32), (32,)]
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) / 4 for shape in shapes]
    w_qkv, b_qkv, w_out, b_out = parameters = [value.to(dtype).requires_grad_() for value in values]
    x = x.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.bfloat16):
        if merged:
            out = merged_attention(x, (w_qkv, b_qkv), (w_out, b_out))
        else:
            q, k, v = F.linear(x, w_qkv, b_qkv).unsqueeze(1).chunk(3, dim=-1)
            out = F.linear(attend(q, k, v).squeeze(1), w_out, b_out)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.dtype)
    results = [out, *torch.autograd.grad((out * weights).sum(), [x, *parameters])]
    results[3] = results[3][
        [*range(32), *range(64, 96)]
    ]  # the keys' bias has no effect: its gradient is rounding error
    return results


def test_merged_projections_are_attention() -> None:
    x = torch.randn(2, 50, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for mine, other in zip(attention_results(x, True), attention_results(x, False), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_merged_projections_are_as_precise_in_bfloat16() -> None:
    x = torch.randn(2, 50, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    truth = attention_results(x.double(), False)
    for mine, other, exact in zip(attention_results(x, True), attention_results(x, False), truth, strict=True):
        assert (mine - exact).norm() <= 1.25 * (other - exact).norm() + 1e-3 * exact.norm()


def test_projections_are_merged_where_that_is_faster() -> None:
    """In bfloat16 on a CPU, where there are many more positions than channels."""
    assert merges(torch.empty(8, 256, 256, dtype=torch.bfloat16))
    assert not merges(torch.empty(8, 16, 256, dtype=torch.bfloat16))
    assert not merges(torch.empty(1, 2 * EXPLICIT, 16, dtype=torch.bfloat16))
    assert not merges(torch.empty(8, 256, 256))
    assert not merges(torch.empty(8, 256, 256, dtype=torch.bfloat16, device="meta"))


@pytest.mark.parametrize("dims", [1, 2])
def test_a_network_merges_projections_in_bfloat16(dims: int) -> None:
    """Its self-attention has the same result and gradients as in float32, up to rounding."""
    layer = SelfAttention(16, None, dims)
    x = torch.randn(4, 16, *[32 if dims == 1 else 8] * dims, generator=torch.Generator().manual_seed(0)).bfloat16()
    nn.init.normal_(layer.out.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    assert merges(x.flatten(2).transpose(1, 2))
    exact = results(layer, x.float())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = results(layer, x)
    assert rounded[0].dtype == torch.bfloat16
    for mine, other in zip(rounded, exact, strict=True):
        assert (mine - other).norm() < 0.03 * other.norm()
