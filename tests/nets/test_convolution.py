"""The convolutions that hold their weights once: PyTorch's own are the truth, to the last bit."""

import pytest
import torch
from torch import nn

from ancestral.nets import UNet
from ancestral.nets.kernels.convolution import CONV

THEIRS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def trained(net, x, dtype, with_gradient=True):
    """The answer under autocast, and the gradients of x, weight and bias."""
    x = x.to(dtype, copy=True).requires_grad_(with_gradient)
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
    out.float().square().sum().backward()
    return [out, x.grad, *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 1, "bias": False},
        {"kernel_size": 3, "dilation": 2, "groups": 4},
    ],
    ids=["same", "half", "without bias", "dilated, in groups"],
)
def test_under_autocast_it_is_pytorchs(dims, dtype, options):
    ours, theirs = CONV[dims](8, 16, **options), THEIRS[dims](8, 16, **options)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, *[9] * dims)
    for mine, other in zip(trained(ours, x, dtype), trained(theirs, x, dtype), strict=True):
        assert mine.dtype == other.dtype
        assert torch.equal(mine, other)


def test_data_needs_no_gradient():
    _, gradient, *weights = trained(CONV[2](3, 8, 3), torch.randn(2, 3, 9, 9), torch.float32, with_gradient=False)
    assert gradient is None
    assert all(p.isfinite().all() for p in weights)


def test_only_under_autocast_in_training_is_anything_different():
    net = CONV[2](3, 8, 3)
    x = torch.randn(2, 3, 9, 9)
    assert net(x).grad_fn.name() == "ConvolutionBackward0"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert net(x).dtype == torch.bfloat16
    assert torch.autograd.gradcheck(net.double(), [x[:1].double().requires_grad_()])


def test_no_weight_of_a_convolution_is_held_twice():
    """What a step keeps for the way back holds no copy, in another type, of what a convolution has."""
    net = UNet(channels=1, width=16, mults=(1, 2), blocks=1, attention=(), image_size=16)
    shapes = {m.weight.shape for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[2:] == (3, 3)}
    kept = []
    keep = torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor)
    with keep, torch.autocast("cpu", torch.bfloat16):
        net(torch.randn(2, 1, 16, 16), torch.tensor([3, 4]))
    held = [tensor for tensor in kept if tensor.shape in shapes]
    assert held
    assert {tensor.dtype for tensor in held} == {torch.float32}
    assert {tensor.data_ptr() for tensor in held} <= {p.data_ptr() for p in net.parameters()}
