"""The networks: the paper's counts and wiring, and what goes beyond the paper."""

import math

import pytest
import torch
from torch import nn

from ancestral import nets
from ancestral.base.errors import InputError
from ancestral.nets.conditioning import timestep_embedding
from ancestral.nets.unet import DownsampleLayer, SelfAttention, UNetBlock, UpsampleLayer, norm


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def small(**options):
    torch.manual_seed(0)
    net = nets.UNet(
        **{"channels": 3, "width": 32, "mults": (1, 2), "blocks": 1, "attention": (8,), "image_size": 16, **options}
    )
    for parameter in net.parameters():  # wake the layers that begin at zero, or every output is zero
        nn.init.normal_(parameter, std=0.05)
    return net.eval()


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 35_746_307),
        ({"mults": (1, 1, 2, 2, 4, 4), "image_size": 256, "dropout": 0.0}, 113_673_219),
        ({"channels": 1}, 35_741_697),
        ({"out_channels": 6}, 35_749_766),
    ],
    ids=["cifar10", "256x256", "one channel", "six outputs"],
)
def test_parameter_counts_are_the_papers(options, parameters):
    with torch.device("meta"):
        assert count(nets.UNet(**options)) == parameters


def test_time_embedding_has_the_papers_values():
    embedding = timestep_embedding(torch.tensor([1]), 128)[0, [0, 1, 31, 63, 64, 65]]
    expected = torch.tensor([0.841471, 0.7604387, 0.0107582, 0.0001, 0.5403023, 0.6494097])
    torch.testing.assert_close(embedding, expected, rtol=0, atol=5e-7)


def test_initialisation_is_uniform_over_the_mean_fan_and_zero_where_it_should_be():
    torch.manual_seed(0)
    net = nets.UNet()
    block = net.down[3].block  # 128 -> 256
    limit = math.sqrt(3 / (9 * (128 + 256) / 2))
    assert block.conv1.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert block.conv1.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    attention = net.down[3].attention
    assert attention.qkv.weight.abs().max().item() == pytest.approx(
        math.sqrt(3 / 256), rel=1e-3
    )  # three layers 256 -> 256
    for layer in (block.conv2, attention.out, net.out):
        assert 0 < layer.weight.abs().max() < 1e-5  # a variance scale of 1e-10
    assert all((m.bias == 0).all() for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_an_untrained_network_predicts_nothing():
    torch.manual_seed(0)
    assert nets.UNet(width=32)(torch.randn(1, 3, 32, 32), torch.tensor([5])).abs().max() < 1e-4


def test_downsampling_pads_below_and_right():
    """TensorFlow's "SAME": output (0, 0) sees input rows and columns 0..2, and the last sees the padding."""
    down = DownsampleLayer(1, 1)
    nn.init.ones_(down.conv.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert down(x, torch.empty(0))[0, 0].tolist() == [[45, 39], [66, 50]]


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_narrow_network_holds_wide_features_at_their_own_level_only(blocks):
    """And joins the output of each block above the lowest level to the block of the second half that mirrors it."""
    net = small(mults=(1, 2, 4), blocks=blocks, narrow=True)
    seen = []
    for module in net.modules():
        if isinstance(module, UNetBlock | DownsampleLayer | UpsampleLayer):
            module.register_forward_hook(lambda module, inputs, out: seen.append((inputs[0].shape[1:], out.shape[1:])))
    out = net(torch.randn(2, 3, 16, 16), torch.tensor([3, 5]))
    assert out.shape == (2, 3, 16, 16)
    levels = {16: 32, 8: 64, 4: 128}
    assert all(shape[0] == levels[shape[-1]] for _, shape in seen)
    assert all(shape[0] in (levels[shape[-1]], 2 * levels[shape[-1]]) for shape, _ in seen)
    joined = [shape[-1] for shape, _ in seen if shape[0] == 2 * levels[shape[-1]]]
    assert joined == [8] * blocks + [16] * blocks


def test_padding_keeps_the_image_in_the_middle():
    """A size that needs padding is the padded image, cropped again."""
    net, x = small(), torch.randn(1, 3, 14, 13)
    padded = torch.zeros(1, 3, 14, 14)
    padded[..., :13] = x
    index = torch.tensor([3])
    torch.testing.assert_close(net(x, index), net(padded, index)[..., :13])


@pytest.mark.parametrize(("patch", "mults", "least"), [(1, (1, 2), 2), (2, (1, 2), 4), (2, (1, 1, 1), 8)])
def test_sizes_below_the_levels_are_refused_by_name(patch, mults, least):
    net = small(patch=patch, mults=mults)
    net(torch.zeros(1, 3, least, least), torch.tensor([0]))
    with pytest.raises(InputError, match=f"at least {least}"):
        net(torch.zeros(1, 3, least, least - 1), torch.tensor([0]))
    with pytest.raises(InputError, match="too small"):
        small(patch=patch, mults=mults, image_size=least - 1)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_channels(channels):
    x = torch.randn(2, channels, 16, 16)
    assert small(channels=channels)(x, torch.tensor([0, 1])).shape == x.shape
    assert small(channels=channels, out_channels=2 * channels)(x, torch.tensor([0, 1])).shape == (
        2,
        2 * channels,
        16,
        16,
    )


def test_the_patch_folds_pixels_and_unfolds_them():
    net = small(channels=1, patch=2)
    assert net.stem.in_channels == 4
    assert net.out.out_channels == 4
    assert net(torch.randn(1, 1, 28, 28), torch.tensor([0])).shape == (1, 1, 28, 28)
    assert (
        sum(isinstance(m, SelfAttention) for m in small(channels=1, patch=2, image_size=32).modules()) == 4
    )  # 32 -> 16 -> 8


def test_labels_are_added_to_the_time_and_minus_one_is_no_class():
    net = small(classes=10)
    x, index = torch.randn(1, 3, 16, 16), torch.tensor([5])

    def answer(label):
        return net(x, index, None if label is None else torch.tensor([label]))

    assert torch.equal(answer(None), answer(-1))
    assert not torch.allclose(answer(3), answer(4))
    with torch.no_grad():
        net.label.weight[3] = net.label.weight[10]  # the last row is "no class"
    torch.testing.assert_close(answer(3), answer(None))


def test_time_changes_the_answer_and_images_of_a_batch_do_not_mix():
    net, x = small(), torch.randn(3, 3, 16, 16)
    index = torch.tensor([0, 500, 999])
    together = net(x, index)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], net(x[i : i + 1], index[i : i + 1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(net(x, index + 1), together)


def test_channels_last_gives_the_same_numbers():
    net, x, index = small(), torch.randn(2, 3, 16, 16), torch.tensor([1, 2])
    expected = net(x, index)
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        net(x.contiguous(memory_format=torch.channels_last), index), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("width", "groups"), [(128, 32), (256, 32), (96, 8), (64, 16), (48, 4), (32, 8), (18, 2), (6, 1), (2, 2)]
)
def test_narrow_layers_get_fewer_groups(width, groups):
    assert norm(width).num_groups == groups


def test_mlp_takes_points_times_and_labels():
    torch.manual_seed(0)
    net = nets.MLP(features=3, width=32, classes=2)
    x, index = torch.randn(4, 3), torch.tensor([0, 1, 2, 999])
    assert (net(x, index) == 0).all()  # it begins at zero
    nn.init.normal_(net.out.weight)
    assert net(x, index).shape == (4, 3)
    none = torch.full((4,), -1)
    assert torch.equal(net(x, index), net(x, index, none))
    assert not torch.allclose(net(x, index, torch.zeros(4, dtype=torch.int64)), net(x, index))


def test_volumes_have_sound_gradients_under_bfloat16():
    """At a depth of 2, which this network's lowest level has, PyTorch's CPU gives numbers from memory never set."""
    net = nets.UNet(channels=1, width=8, mults=(1, 2), blocks=1, attention=(), dropout=0.0, image_size=4, dims=3)
    x, index = torch.randn(2, 1, 4, 4, 4), torch.tensor([3, 9])

    def gradient():
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = (net(x, index).float() - x).square().mean()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    mixed = False
    exact = gradient()
    mixed = True
    for _ in range(5):
        torch.full((100_000,), float("nan"))  # what the memory may hold
        assert torch.equal(gradient(), exact)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.01)])
@pytest.mark.parametrize("dims", [0, 1, 2, 3, "transformer"])
def test_networks_compute_in_the_type_of_their_weights(dims, dtype, error):
    """As converted by .to(dtype), with labels and dropout keys; the float32 network is the reference."""
    options = {"channels": 2, "classes": 3, "dropout": 0.2}
    if dims == 0:
        net = nets.MLP(2, 16, 2, classes=3)
    elif dims == "transformer":
        net = nets.Transformer(width=16, depth=1, heads=2, patch=2, **options)
    else:
        net = small(width=16, attention=(4,), image_size=8, dims=dims, **options)
    for seed, parameter in enumerate(net.train().parameters()):
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(seed))
    x = torch.randn(2, 2, *[8] * (2 if dims == "transformer" else dims))
    inputs = torch.tensor([3, 700]), torch.tensor([2, -1]), torch.tensor([5, 6])
    exact = net(x, *inputs)
    out = net.to(dtype)(x.to(dtype), *inputs)
    assert out.dtype == dtype
    assert (out.double() - exact).norm() < error * exact.norm()


@pytest.mark.parametrize("label", [3, 7])
def test_a_label_of_no_class_is_refused(label):
    """3 of 3 classes had the embedding of "no class", so labels 1..3 trained a class as unconditional."""
    net = nets.MLP(features=2, width=16, classes=3)
    with pytest.raises(InputError, match=f"labels are 0..2, or -1 for no class, not {label}"):
        net(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), torch.tensor([0, label]))
