"""Dropout as a function of the image's key, the layer and the element."""

import pytest
import torch
from torch import nn

from ancestral import Diffusion, nets, randomness, schedules
from ancestral.base.errors import InputError
from ancestral.nets.kernels.dropout import Dropout, number_dropouts
from ancestral.randomness import Stream


def keys(places, step=0, seed=0):
    return randomness.keys(seed, Stream.DROPOUT, step, places)


def layers(count, p=0.1):
    net = nn.ModuleList(Dropout(p) for _ in range(count)).train()
    number_dropouts(net)
    return net


def kept(layer, shape, key):
    """The mask: 1 where an element is kept."""
    return (layer(torch.ones(len(key), *shape), key) > 0).double()


def word(key, number, j):
    """The j-th word of a layer, in Python's own integers."""
    salt = randomness.mix(randomness.mix(number * randomness.GAMMA & randomness.MASK))
    return randomness.mix((key & randomness.MASK) ^ salt ^ randomness.mix(j * randomness.GAMMA & randomness.MASK))


@pytest.mark.parametrize("shape", [(3, 2, 2), (5,), (2, 7), (1, 3, 1, 3)])
def test_the_mask_is_the_words_of_its_address_four_elements_each(shape):
    """Element e, counted over positions and then channels, is dropped where 16 bits, as a signed number, are low."""
    net = layers(3, p=0.3)
    for number, layer in enumerate(net):
        for place in (0, 5):
            key = keys([place])
            mask = kept(layer, shape, key)[0].movedim(0, -1).flatten().tolist()
            for e, value in enumerate(mask):
                lane = word(int(key), number, e // 4) >> 16 * (e % 4) & 0xFFFF
                lane = lane - 65536 if lane >= 32768 else lane
                assert value == (lane >= round(0.3 * 65536) - 32768)


@pytest.mark.parametrize(("p", "images"), [(1 / 65536, 64), (0.02, 8), (0.1, 8), (0.5, 8), (0.9, 8)])
def test_the_share_dropped_is_p_and_the_mean_is_kept(p, images):
    h = layers(1, p)[0](torch.ones(images, 64, 32, 32), keys(range(images)))
    n = h.numel()
    chance = round(p * 65536) / 65536
    assert (h == 0).double().mean().item() == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5)
    assert h.unique().tolist() == [0, pytest.approx(1 / (1 - chance), rel=1e-6)]
    assert h.double().mean().item() == pytest.approx(1, abs=4 * (chance / (1 - chance) / n) ** 0.5)


@pytest.mark.parametrize("shape", [(6, 5, 7), (6, 9), (5, 3, 4, 2), (10,)])
def test_an_image_has_its_mask_in_any_batch_and_layout(shape):
    layer = layers(1, p=0.4)[0]
    h = torch.randn(6, *shape)
    whole = layer(h, keys(range(6)))
    for places in ([4], [5, 0, 2], [1, 2, 3]):
        assert torch.equal(layer(h[places], keys(places)), whole[places])
    strange = h.movedim(1, -1).contiguous().movedim(-1, 1)  # the channels innermost
    assert torch.equal(layer(strange, keys(range(6))), whole)
    assert layer(strange, keys(range(6))).stride() == strange.stride()
    torch.manual_seed(123)  # no hidden state
    assert torch.equal(layer(h, keys(range(6))), whole)


def test_gradients_flow_through_what_is_kept():
    layer = layers(1, p=0.25)[0]
    h = torch.randn(2, 4, 5, 5, requires_grad=True)
    out = layer(h, keys([0, 1]))
    (gradient,) = torch.autograd.grad(out.sum(), h)
    assert torch.equal(gradient, kept(layer, (4, 5, 5), keys([0, 1])).float() / 0.75)
    torch.testing.assert_close(out, h * gradient)


def test_half_precision_stays_so():
    assert layers(1)[0](torch.ones(2, 4, 3, dtype=torch.bfloat16), keys([0, 1])).dtype == torch.bfloat16


def test_without_keys_it_is_pytorchs_own():
    h = torch.randn(2, 4, 5, 5)
    layer = layers(1, p=0.3)[0]
    torch.manual_seed(5)
    ours = layer(h)
    torch.manual_seed(5)
    assert torch.equal(ours, nn.functional.dropout(h, 0.3))


def test_it_does_nothing_outside_training_or_at_p_0():
    h = torch.randn(2, 4, 5, 5)
    assert layers(1).eval()[0](h, keys([0, 1])) is h
    assert layers(1, p=0.0)[0](h, keys([0, 1])) is h


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_impossible_chances_are_refused(p):
    with pytest.raises(InputError, match="from 0 to below 1"):
        Dropout(p)


def build(dims=2, p=0.1, **options):
    torch.manual_seed(0)
    net = nets.UNet(2, 16, (1, 2), 1, (4,), p, 8, dims=dims, **options)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    return net.train()


def test_every_layer_of_a_net_has_its_own_number_and_seeds_do_not_matter():
    salts = [m.salt.item() for m in build().modules() if isinstance(m, Dropout)]
    assert len(set(salts)) == len(salts) == 8  # two down, two in the middle, four up
    torch.manual_seed(7)
    again = [m.salt.item() for m in nets.UNet(2, 16, (1, 2), 1, (4,), 0.1, 8).modules() if isinstance(m, Dropout)]
    assert again == salts
    assert not any("salt" in name for name in build().state_dict())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_keys_decide_what_a_net_in_training_answers(dims):
    net = build(dims)
    x, index = torch.randn(3, 2, *[8] * dims), torch.tensor([1, 2, 3])
    answer = net(x, index, keys=keys([0, 1, 2]))
    assert torch.equal(net(x, index, keys=keys([0, 1, 2])), answer)
    assert not torch.allclose(net(x, index, keys=keys([0, 1, 2], step=1)), answer, atol=1e-3)
    torch.testing.assert_close(net(x[2:], index[2:], keys=keys([2])), answer[2:], rtol=1e-4, atol=1e-4)
    assert torch.equal(net.eval()(x, index, keys=keys([0, 1, 2])), net(x, index))


def test_the_mlp_has_no_use_for_keys():
    x, index = torch.randn(2, 2), torch.tensor([1, 2])
    mlp = nets.MLP(width=16)
    nn.init.normal_(mlp.out.weight)
    assert torch.equal(mlp(x, index, keys=keys([0, 1])), mlp(x, index))


def test_a_batch_in_two_halves_has_the_loss_and_gradients_of_the_whole():
    """What makes one process and two train alike, dropout and all."""
    net = build(p=0.1, classes=3)
    diffusion = Diffusion(net, schedules.cosine(100))
    x0, labels = torch.randn(6, 2, 8, 8), torch.tensor([0, 1, 2, -1, 0, 1])

    def part(places, step=3):
        condition = {"labels": labels[places], "keys": keys(places, step)}
        _, losses = diffusion.losses(x0[places], step=step, indices=places, **condition)
        return losses.detach(), torch.autograd.grad(losses.sum() / 6, list(net.parameters()))

    whole, gradient = part(list(range(6)))
    (first, one), (second, other) = part([0, 2, 4]), part([1, 3, 5])
    halves = torch.stack([first, second], dim=1).flatten()
    torch.testing.assert_close(halves, whole, rtol=1e-5, atol=1e-6)
    for g, a, b in zip(gradient, one, other, strict=True):
        torch.testing.assert_close(a + b, g, rtol=1e-4, atol=1e-5 * g.abs().max().item() + 1e-7)
    net.eval()
    assert not torch.allclose(part(list(range(6)))[0], whole, rtol=1e-3)  # dropout did act


def test_a_compiled_network_keeps_no_tensor_that_a_cuda_graph_made():
    """The graph would use its memory again."""
    randomness._counters.cache_clear()
    shape, keys = (2, 8, 4, 4), torch.arange(2)
    made = torch.ops.ancestral.dropout_factors(keys, shape, torch.float32, 6554)
    assert randomness._counters.cache_info().currsize == 0
    expected = Dropout(0.1).train()(torch.ones(shape), keys)
    assert randomness._counters.cache_info().currsize == 1
    assert torch.equal(made, expected)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of its compiler
def test_a_compiled_network_drops_the_same_elements():
    """32 channels of 7×7 in bfloat16: the compiler's program of these words wrote beyond the end of their memory."""
    layer = Dropout(0.1)
    h = torch.randn(32, 32, 7, 7, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last).requires_grad_()
    keys = torch.arange(32) * 987654321
    compiled = torch.compile(lambda h: layer(h * 2, keys).float().sum())
    for _ in range(3):
        (gradient,) = torch.autograd.grad(compiled(h), h)
    (expected,) = torch.autograd.grad(layer(h * 2, keys).float().sum(), h)
    assert torch.equal(gradient, expected)
