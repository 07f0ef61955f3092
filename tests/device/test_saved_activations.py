"""What autocast on an accelerator keeps for the backward pass, and the gradient that comes of it."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from accelerator import NAME, OnDevice
from ancestral import config as configs
from ancestral.data import InMemoryDataset
from ancestral.nets import transformer
from ancestral.nets.kernels import normalisation
from ancestral.nets.kernels.dropout import Dropout
from ancestral.nets.kernels.normalisation import GroupNorm, LayerNorm
from ancestral.training import Trainer

NETWORKS = {
    "digits": (configs.preset("digits").net, (1, 28, 28), 0.62),
    "cifar10": (dataclasses.replace(configs.preset("cifar10").net, width=32, dropout=0.0), (3, 32, 32), 0.62),
    "transformer": (configs.TransformerConfig(width=64, depth=2, heads=2, patch=4, dropout=0.1), (1, 28, 28), 0.8),
}
"""Networks, the shape of their items, and the largest share of the bytes that are kept, compared with plain autocast.
Without the matrix of attention, which CUDA's kernel does not keep, it is less. None has dropout between a norm and a
product: there bfloat16 rounds once more than autocast, which `test_dropout_after_a_norm_rounds_once_more` bounds."""


def plainly(function, x, *others):
    return function(x, *others)


def storage_of(tensor):
    return (tensor.inner if isinstance(tensor, OnDevice) else tensor).untyped_storage()


def gradient_of(network, device, precision):
    """The gradient of a step as one vector, and the bytes that it keeps for the backward pass."""
    net, shape, _ = NETWORKS[network]
    generator = torch.Generator().manual_seed(0)
    items = torch.randint(0, 256, (8, *shape), dtype=torch.uint8, generator=generator)
    base = configs.preset("digits")
    train = dataclasses.replace(base.train, batch_size=4, precision=precision, steps=10)
    runtime = dataclasses.replace(base.runtime, snapshots=0)
    config = dataclasses.replace(base, net=net, train=train, runtime=runtime)
    trainer = Trainer(config, InMemoryDataset(items, name="noise"), device)
    with torch.no_grad():
        for parameter in trainer.state.parameters:  # no layer begins with 0
            noise = torch.randn(parameter.shape, generator=generator).to(device)
            parameter.copy_(noise / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else parameter + 0.1 * noise)
    kept, losses = {}, trainer.state.objective.losses

    def keep(tensor):
        storage = storage_of(tensor)
        kept[storage.data_ptr()] = storage
        return tensor

    def counted(*arguments, **named):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            return losses(*arguments, **named)

    trainer.state.objective.losses = counted
    trainer.gradients.compute(trainer.state, next(trainer.batches), False, False)
    for parameter in trainer.state.parameters:
        kept.pop(storage_of(parameter).data_ptr(), None)
    trainer.close()
    gradients = [parameter.grad.cpu().double().flatten() for parameter in trainer.state.parameters]
    return torch.cat(gradients), sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_norms_keep_their_input_alone_and_give_the_gradient_of_autocast(network, device, monkeypatch):
    """To the bit on the pretended accelerator. The kernels of a GPU may order their sums anew in each call."""
    gradient, kept = gradient_of(network, device, "bf16")
    for module in (normalisation, transformer):
        monkeypatch.setattr(module, "in_float32", plainly)
    by_autocast, kept_by_autocast = gradient_of(network, device, "bf16")
    assert kept <= NETWORKS[network][2] * kept_by_autocast, f"{kept:,} of {kept_by_autocast:,} bytes"
    assert device != NAME or torch.equal(gradient, by_autocast)
    truth, _ = gradient_of(network, "cpu", "fp32")
    # by the triangle inequality the error is at most 1.02 times that of autocast
    assert (gradient - by_autocast).norm() <= 0.02 * (by_autocast - truth).norm()


def norms():
    return {
        "group norm": (GroupNorm(2, 8), (2, 8, 4, 4), ()),
        "group norm and SiLU": (GroupNorm(2, 8, silu=True), (2, 8, 4, 4), ()),
        "layer norm": (LayerNorm(8, bias=False), (2, 3, 8), ()),
        "layer norm with a bias": (LayerNorm(8), (2, 3, 8), ()),
        "modulation": (transformer.modulate, (2, 3, 8), ((2, 1, 8), (2, 1, 8))),
    }


def results(function, inputs, weights, gradient, device):
    inputs = [each.to(device, torch.bfloat16).requires_grad_() for each in inputs]
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        out = function(*inputs)
    return [out, *torch.autograd.grad((out * gradient.to(device)).sum(), [*inputs, *weights])]


@pytest.mark.parametrize("case", norms())
def test_a_norm_is_that_of_autocast_to_the_bit(case, device, monkeypatch):
    """Its result is rounded, as by the product that follows."""
    function, shape, others = norms()[case]
    generator = torch.Generator().manual_seed(0)
    inputs = [2 + torch.randn(shape, generator=generator) for shape in (shape, *others)]
    weights = list(function.to(device).parameters()) if isinstance(function, torch.nn.Module) else []
    gradient = torch.randn(shape, generator=generator).bfloat16()
    ours = results(function, inputs, weights, gradient, device)
    assert ours[0].dtype == torch.bfloat16
    for module in (normalisation, transformer):
        monkeypatch.setattr(module, "in_float32", plainly)
    theirs = results(lambda *inputs: function(*inputs).bfloat16(), inputs, weights, gradient, device)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        assert torch.equal(mine.cpu(), other.cpu())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.channels_last_3d])
def test_the_channels_stay_innermost_where_the_kernel_undoes_that(layout, device, monkeypatch):
    """As CUDA's group norm does below PyTorch 2.15."""
    plain = F.group_norm
    monkeypatch.setattr(F, "group_norm", lambda x, *rest, **named: plain(x.contiguous(), *rest, **named).contiguous())
    sides = (4, 4) if layout == torch.channels_last else (4, 4, 4)
    x = torch.ones(2, 8, *sides).bfloat16().contiguous(memory_format=layout).to(device)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        out = GroupNorm(2, 8).to(device)(x)
    assert out.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("norm", [GroupNorm(2, 8, silu=True), LayerNorm(8)])
def test_norms_in_half_precision_are_evaluated_on_the_meta_device(norm):
    """It has no autocast; it tells the shapes of a network."""
    x = torch.empty(2, 8, 8, device="meta", dtype=torch.bfloat16)
    assert norm.to("meta", torch.bfloat16)(x).shape == x.shape


def test_its_gradient_can_be_differentiated(device):
    norm, x = LayerNorm(8).to(device), torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    weights = torch.linspace(-1, 1, 64).reshape(8, 8).to(device)

    def second(dtype):
        leaf = x.to(dtype).requires_grad_()
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            out = norm(leaf).float()
        (slope,) = torch.autograd.grad((out * weights).sum(), leaf, create_graph=True)
        return torch.autograd.grad(slope.float().pow(2).sum(), leaf)[0].float().cpu()

    of_half, truth = second(torch.bfloat16), second(torch.float32)
    assert (of_half - truth).norm() < 0.05 * truth.norm()


def test_dropout_after_a_norm_rounds_once_more(device):
    """Norm, SiLU and dropout as in a residual block: two roundings of the result, and of the gradient."""
    generator = torch.Generator().manual_seed(0)
    x, slope = (torch.randn(4, 8, 16, 16, generator=generator).bfloat16() for _ in range(2))
    norm, dropout, keys = GroupNorm(2, 8, silu=True), Dropout(0.1), torch.arange(4)

    def result_and_gradient(device, dtype):
        leaf = x.to(device, dtype).requires_grad_()
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = dropout.to(device)(norm.to(device, torch.promote_types(dtype, torch.float32))(leaf), keys.to(device))
        return out, torch.autograd.grad(out, leaf, slope.to(device, dtype))[0]

    results = result_and_gradient(device, torch.bfloat16)
    assert [result.dtype for result in results] == [torch.bfloat16] * 2
    out, gradient = (result.detach().cpu().double() for result in results)
    true_out, true_gradient = result_and_gradient("cpu", torch.float64)
    unit = 1.01 * torch.finfo(torch.bfloat16).eps / 2  # a hundredth for float32, and products of two roundings
    assert ((out - true_out).abs() <= 2 * unit * true_out.abs() + 1e-6).all()
    # the gradient g of the norm is rounded, and that of x: (g - mean(g) - x̂ mean(g x̂))/σ of a group; SiLU' is below 1.1
    g, groups = 1.1 / 0.9 * slope.double().abs().view(4, 2, -1), x.double().view(4, 2, -1)
    sigma, mean = torch.std_mean(groups, -1, correction=0, keepdim=True)
    h = ((groups - mean) / sigma).abs()
    by_g = (g + g.mean(-1, keepdim=True) + h * (g * h).mean(-1, keepdim=True)) / sigma
    assert ((gradient - true_gradient).abs() <= unit * (true_gradient.abs() + by_g.view_as(x))).all()


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_in_half_precision_keeps_the_mean(p, device):
    """1/0.9 is 1.1094 in bfloat16, which made all activations smaller by 0.15 %."""
    layer, keys = Dropout(p), torch.arange(4, device=device)
    h = torch.full((4, 8, 32, 32), 65.0 if p == 0.1 else 1.0).bfloat16().to(device)
    kept = layer(h, keys)
    assert kept.dtype == torch.bfloat16
    values = kept.float().cpu().unique().tolist()
    scale = 65536 / (65536 - layer.dropped)
    assert values == [0.0, float(torch.tensor(h.flatten()[0].item() * scale).bfloat16())]
