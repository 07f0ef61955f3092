"""A translation along a periodic axis translates what a network returns; each network, each axis, each layer."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from ancestral import data, derived, operators
from ancestral.conditions import NOISE, Image, Noise
from ancestral.data.spec import inputs
from ancestral.nets.autoencoder import Autoencoder
from ancestral.nets.kernels.convolution import Conv
from ancestral.nets.transformer import Transformer
from ancestral.nets.unet import UNet

torch.set_default_dtype(torch.float32)
AXES = [
    (dims, axes) for dims in (1, 2, 3) for count in (1, dims) for axes in itertools.combinations(range(dims), count)
]


def randomised(net: nn.Module) -> nn.Module:
    """The network in double precision, with no layer of zeros, through which an error could not be seen."""
    generator = torch.Generator().manual_seed(1)
    for value in net.parameters():
        nn.init.normal_(value, 0, 0.3, generator=generator)
    return net.double().eval()


def networks(dims: int, periodic: tuple[int, ...]):
    sides = [16, 8, 24][:dims] if dims < 3 else [8, 12, 8]
    unets = {
        "plain": {"mults": (1, 2, 2) if dims < 3 else (1, 2), "attention": (4,)},
        "narrow": {"mults": (1, 2), "narrow": True, "patch": 2, "attention": (4,)},
    }
    for name, settings in unets.items():
        yield (
            name,
            UNet(2, 8, blocks=1, dropout=0, image_size=max(sides), dims=dims, periodic=periodic, **settings),
            sides,
        )
    yield "transformer", Transformer(2, 24, 2, 2, patch=2, dims=dims, periodic=periodic), sides


@pytest.mark.parametrize(("dims", "axes"), AXES)
def test_a_translation_along_periodic_axes_translates_the_output(dims, axes):
    for name, net, sides in networks(dims, axes):
        net, index = randomised(net), torch.tensor([3, 500])
        x = torch.randn(2, 2, *sides, dtype=torch.float64)
        stride = getattr(net, "multiple", net.patch)
        for axis in range(dims):
            y, moved = net(x, index), net(x.roll(stride, axis + 2), index)
            distance = (moved - y.roll(stride, axis + 2)).abs().max() / y.std()
            assert distance < 1e-9 if axis in axes else distance > 1e-3, (name, axis, float(distance))


@pytest.mark.parametrize(("dims", "axes"), AXES)
def test_latents_of_periodic_items_are_periodic(dims, axes):
    net = randomised(Autoencoder(1, 4, 2, 16, dims, axes))
    sides = [8] * dims
    x, latents = torch.randn(1, 1, *sides, dtype=torch.float64), torch.randn(1, 2, *[4] * dims, dtype=torch.float64)
    for axis in range(dims):
        for one, other in (
            (net.encode(x.roll(4, axis + 2)), net.encode(x).roll(1, axis + 2)),
            (net.decode(latents.roll(1, axis + 2), [16] * dims), net.decode(latents, [16] * dims).roll(4, axis + 2)),
        ):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-9) == (axis in axes), axis


def test_conditions_go_around_too():
    conditions = {"coarse": Image(1, (-1.0, 1.0)), NOISE: Noise(grid=(2, 4, 4))}
    net = randomised(UNet(1, 8, (1, 2), 1, image_size=8, dropout=0, conditions=conditions, periodic=(1,)))
    x, coarse, noise = (torch.randn(1, *shape, dtype=torch.float64) for shape in ((1, 8, 8), (2, 8, 8), (16 + 32,)))
    size = net.conditioning.noise.size
    noise = torch.randn(1, size + 32, dtype=torch.float64)
    rolled = torch.cat([noise[:, :size], noise[:, size:].view(1, 2, 4, 4).roll(1, 3).flatten(1)], 1)
    index = torch.tensor([7])
    y = net(x, index, **dict(zip(names(net), (coarse, noise), strict=True)))
    moved = net(x.roll(2, 3), index, **dict(zip(names(net), (coarse.roll(2, 3), rolled), strict=True)))
    assert torch.allclose(moved, y.roll(2, 3), rtol=1e-9, atol=1e-9)


def names(net):
    from ancestral.conditions import argument_name

    return [argument_name(name) for name in ("coarse", NOISE)]


def test_every_convolution_with_a_neighbourhood_goes_around():
    net = UNet(1, 8, (1, 2), 1, image_size=8, periodic=(0,))
    for layer in net.modules():
        if isinstance(layer, Conv):
            assert layer.periodic == (0,)
            assert layer.padding[0] == 0
            assert layer.wrapped[0][0] == layer.kernel_size[0] // 2 or layer.stride[0] == 2


def test_a_side_that_is_no_multiple_is_continued_around():
    net = randomised(UNet(1, 8, (1, 2), 1, image_size=10, dropout=0, attention=(), periodic=(1,)))
    assert net(torch.randn(2, 1, 7, 9, dtype=torch.float64), torch.tensor([1, 1])).shape == (2, 1, 7, 9)


@pytest.mark.parametrize("sigma", [0.7, 3.0])  # the second one reaches around more than once
def test_a_blur_goes_around(sigma):
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blur = operators.Blur(sigma, periodic=(1,))
    torch.testing.assert_close(blur.apply(x.roll(3, -1)), blur.apply(x).roll(3, -1))
    assert not torch.allclose(blur.apply(x.roll(2, -2)), blur.apply(x).roll(2, -2))
    torch.testing.assert_close(blur.apply(x).mean(-1), operators.Blur(sigma).apply(x.mean(-1, keepdim=True))[..., 0])
    y = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close((blur.apply(x) * y).sum(), (x * blur.adjoint(y, x.shape[1:])).sum())
    torch.testing.assert_close(blur.apply(blur.pseudo_inverse(blur.apply(x), x.shape[1:])), blur.apply(x))
    spec = dataclasses.replace(data.InMemoryDataset(x.float(), limits=(-4, 4)).spec, periodic=(1,))
    for text in (f"blur:{sigma}", f"blur:{sigma}+noise:0.1"):
        degradation = derived.parse(text).around(spec.periodic)
        assert degradation.operator((5, 8)) == blur
    kind = derived.parse(f"blur:{sigma}").condition(x.shape[1:], (-4, 4), None)
    given = dataclasses.replace(spec, conditions={"blurred": kind})
    made = [inputs(given, one.float() / 4, {}, 0, 0, range(2))["blurred"] for one in (x, x.roll(4, -1))]
    torch.testing.assert_close(made[1], made[0].roll(4, -1))
