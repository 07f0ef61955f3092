"""The U-Net for signals and volumes: layers against PyTorch's own, the whole net against itself with an axis more."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ancestral
from ancestral import nets
from ancestral.base.device import memory_format
from ancestral.base.errors import InputError
from ancestral.interop import unet2d
from ancestral.nets.space import fold, unfold
from ancestral.nets.unet import BlockSettings, UNetBlock, UpsampleLayer
from tiny_models import untrained

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def small(dims, **options):
    net = nets.UNet(
        **{"channels": 2, "width": 8, "mults": (1, 2), "blocks": 1, "attention": (4,), "image_size": 8, **options},
        dims=dims,
    )
    for parameter in net.parameters():  # wake the layers that begin at zero, or every output is zero
        nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_upsampling_is_nearest_and_a_convolution(dims):
    up = UpsampleLayer(3, 2, dims).double()
    nn.init.normal_(up.conv.bias)
    for sides in [(5, 3, 4)[:dims], (1,) * dims]:
        x = torch.randn(2, 3, *sides, dtype=torch.float64, requires_grad=True)
        nearest = F.interpolate(x, scale_factor=2, mode="nearest")
        expected = CONVOLVE[dims](nearest, up.conv.weight, up.conv.bias, padding=1)
        torch.testing.assert_close(up(x, torch.empty(0)), expected, rtol=1e-12, atol=1e-12)
        inputs, probe = [x, up.conv.weight, up.conv.bias], torch.randn_like(expected)
        ours, theirs = (torch.autograd.grad((y * probe).sum(), inputs) for y in (up(x, torch.empty(0)), expected))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_attention_looks_at_all_positions(dims):
    """Against the formula, position by position."""
    stage = UNetBlock(8, 8, BlockSettings(4, dims=dims), attend=True).double()
    attention = stage.attention
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 8, *(3, 2, 4)[:dims], dtype=torch.float64)
    h = attention.norm(x).flatten(2)
    matrix = attention.qkv.weight.flatten(1)
    q, k, v = (matrix @ h + attention.qkv.bias[:, None]).split(8, dim=1)
    h = v @ (q.mT @ k / math.sqrt(8)).softmax(-1).mT
    h = attention.out.weight.flatten(1) @ h + attention.out.bias[:, None]
    torch.testing.assert_close(attention(x), x + h.reshape(x.shape), rtol=1e-10, atol=1e-10)


def test_folding_puts_each_block_into_channels():
    image = torch.randn(2, 3, 6, 4)
    assert torch.equal(fold(image, 2), F.pixel_unshuffle(image, 2))
    assert torch.equal(unfold(fold(image, 2), 2), image)
    signal = torch.arange(12.0).reshape(1, 2, 6)
    assert fold(signal, 3)[0].tolist() == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]
    volume = torch.randn(2, 3, 4, 6, 2)
    folded = fold(volume, 2)
    assert folded.shape == (2, 24, 2, 3, 1)
    for c, i, j, k in ((0, 0, 0, 1), (1, 0, 1, 0), (2, 1, 0, 1)):
        assert torch.equal(folded[:, 8 * c + 4 * i + 2 * j + k], volume[:, c, i::2, j::2, k::2])
    for x in (signal, volume):
        assert torch.equal(unfold(fold(x, 2), 2), x)


@pytest.mark.parametrize(
    "sides", [(8,), (7,), (13,), (2,), (4, 4, 4), (5, 4, 3), (2, 7, 9)], ids=lambda s: "x".join(map(str, s))
)
@pytest.mark.parametrize("patch", [1, 2])
def test_any_sides_in_and_the_same_out(sides, patch):
    net = small(len(sides), patch=patch, mults=(1, 2) if patch == 1 else (1,))
    x, index = torch.randn(2, 2, *sides), torch.tensor([0, 7])
    answer = net(x, index)
    assert answer.shape == x.shape
    torch.testing.assert_close(net(x[1:], index[1:]), answer[1:], rtol=1e-4, atol=1e-5)  # the batch does not mix
    assert small(len(sides), out_channels=5)(x, index).shape == (2, 5, *sides)


def lifted(net, weights):
    """The weights of `net` for one axis more, which touch a single tap of it."""
    tall = small(net.dims + 1)
    state = tall.state_dict()
    for name, tensor in weights.items():
        if state[name].ndim == tensor.ndim:
            state[name] = tensor
            continue
        taps = state[name].shape[-1]
        strided = name.startswith("down") and name.endswith("conv.weight")  # its padding stands at the end alone
        state[name] = torch.zeros_like(state[name])
        state[name][..., 0 if strided else taps // 2] = tensor
    tall.load_state_dict(state)
    return tall


@pytest.mark.parametrize("sides", [(8,), (11,), (8, 4), (5, 7)], ids=lambda s: "x".join(map(str, s)))
def test_a_net_is_the_net_of_one_axis_more_where_nothing_changes_along_it(sides):
    """Stem, blocks, attention, resampling, padding: all of it, and images have diffusers for an oracle."""
    net = small(len(sides))
    tall = lifted(net, net.state_dict())
    x, index = torch.randn(2, 2, *sides), torch.tensor([3, 700])
    with torch.no_grad():
        low, high = net(x, index), tall(x[..., None].repeat_interleave(4, dim=-1), index)
    assert low.std() > 0.1
    torch.testing.assert_close(high, low[..., None].expand_as(high), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("sides", "name"), [((3,), "signals of 3"), ((4, 3, 4), "volumes of 4x3x4")])
def test_sides_below_the_levels_are_refused_by_name(sides, name):
    net = small(len(sides), mults=(1, 1, 1))
    net(torch.zeros(1, 2, *[4] * len(sides)), torch.tensor([0]))
    with pytest.raises(InputError, match=f"{name} are too small.*at least 4"):
        net(torch.zeros(1, 2, *sides), torch.tensor([0]))


def test_more_axes_than_three_are_refused():
    with pytest.raises(InputError, match="dims=4"):
        small(4)


@pytest.mark.parametrize("dims", [1, 3])
def test_initialisation_counts_every_tap(dims):
    net = nets.UNet(width=32, mults=(1, 2), image_size=8, attention=(), dims=dims)
    weight = net.down[3].block.conv1.weight  # 32 -> 64
    limit = math.sqrt(3 / (3**dims * (32 + 64) / 2))
    assert weight.abs().max().item() == pytest.approx(limit, rel=2e-3)
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("kind", ["unet", "transformer"])
@pytest.mark.parametrize("sides", [(8,), (12, 12)], ids=["signals", "images"])
def test_weights_that_require_a_gradient_answer_bit_for_bit_as_those_that_do_not(kind, sides):
    """Models of training runs have the one kind, models of files the other: PyTorch chooses how to multiply by it."""
    net = small(len(sides)) if kind == "unet" else nets.Transformer(2, 16, depth=2, heads=2, patch=2, dims=len(sides))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    x, index = torch.randn(12, 2, *sides, generator=torch.Generator().manual_seed(0)), torch.arange(12)
    with torch.no_grad():
        assert torch.equal(net(x, index), net.requires_grad_(False)(x, index))


@pytest.mark.parametrize("shape", [(2, 21), (3, 6, 8), (1, 4, 6, 5)])
def test_a_model_of_any_shape_is_built_saved_and_sampled(tmp_path, shape):
    model = untrained(shape)
    net = model.denoiser.net
    assert net.dims == len(shape) - 1
    assert net.down[0].block.conv1.weight.is_contiguous(memory_format=memory_format(len(shape) + 1))
    model.save(tmp_path / "m.safetensors")
    again = ancestral.load(tmp_path / "m.safetensors", "cpu")
    assert again.spec.shape == shape
    samples = again.sample(3, sampler="ddim", steps=2)
    assert samples.shape == (3, *shape)
    assert torch.equal(samples, model.sample(3, sampler="ddim", steps=2))
    with pytest.raises(InputError, match="too small"):
        untrained((shape[0], *[1] * (len(shape) - 1)))


def test_only_images_go_to_diffusers():
    with pytest.raises(InputError, match="of volumes"):
        unet2d.to_config(untrained((1, 8, 8, 8)).denoiser.net, (1, 8, 8, 8))
