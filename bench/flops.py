"""The FLOPs of a training step, and the peak FLOP rate of the machine."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

CHANNELS, SIDE = 256, 16
"""The convolution that defines the peak rate: 3×3, 256 channels, 16×16 pixels, the most frequent of the paper's."""


def count_flops(work: Callable[[], object]) -> int:
    """Count the FLOPs of the convolutions and linear layers in `work`; a multiply-add counts as two.

    Attention is left out, as PyTorch's counter does on a CPU before 2.15: it is less than 1 % of the paper's network.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    operations = counter.get_flop_counts()["Global"]
    return sum(count for operation, count in operations.items() if "attention" not in str(operation))


def network_flops(net: nn.Module, shape: tuple[int, ...], training: bool) -> int:
    """Count the FLOPs of one image.

    Args:
        net: A network that is called as net(x, t).
        shape: (C, H, W) of the image.
        training: Whether to add the backward pass to all weights to the forward pass.
    """
    device = next(net.parameters()).device
    x, t = torch.zeros(1, *shape, device=device), torch.zeros(1, dtype=torch.long, device=device)

    def work() -> None:
        with torch.set_grad_enabled(training):
            output = net(x, t)
            output = output if isinstance(output, Tensor) else output.sample
            if training:
                output.sum().backward()

    flops = count_flops(work)
    net.zero_grad(set_to_none=True)
    return flops


class Peak:
    """Repeated forward and backward passes of this convolution, with gradients of its input and weights."""

    def __init__(self, batch: int, dtype: torch.dtype, device: torch.device, channels_last: bool, flops: float = 4e10):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(device, dtype, memory_format=layout)
        shape = (batch, CHANNELS, SIDE, SIDE)
        self.x = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout).requires_grad_()
        self.gradient = torch.randn_like(self.x)
        self.flops_per_pass = count_flops(self.forward_backward)
        """FLOPs of one pass."""
        self.passes = max(1, round(flops / self.flops_per_pass))
        self.flops = self.flops_per_pass * self.passes
        """FLOPs of one call."""

    def forward_backward(self) -> None:
        """Run one forward and one backward pass."""
        self.x.grad = self.conv.weight.grad = self.conv.bias.grad = None
        self.conv(self.x).backward(self.gradient)

    def __call__(self) -> None:
        """Run enough passes for a timing."""
        for _ in range(self.passes):
            self.forward_backward()
