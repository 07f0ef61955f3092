"""How much arithmetic a step is, and how fast this machine could do it at best."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

CHANNELS, SIDE = 256, 16
"""The convolution whose speed is the peak: 3×3, 256 to 256 channels, 16×16 pixels, as the paper's network has most."""


def counted(work: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and dense layers in `work`, two for a multiply-add.

    PyTorch's counter leaves attention out on a CPU, which is under a hundredth of the paper's network.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def of_network(net: nn.Module, shape: tuple[int, ...], training: bool) -> int:
    """Of one item of this shape (C, H, W): forward, and backward to all weights if `training`. The net takes (x, t)."""
    device = next(net.parameters()).device
    x, t = torch.zeros(1, *shape, device=device), torch.zeros(1, dtype=torch.long, device=device)

    def work() -> None:
        with torch.set_grad_enabled(training):
            answer = net(x, t)
            answer = answer if isinstance(answer, Tensor) else answer.sample
            if training:
                answer.sum().backward()

    flops = counted(work)
    net.zero_grad(set_to_none=True)
    return flops


class Peak:
    """Forward and backward of that convolution, to its input and its weights, over and over."""

    def __init__(self, batch: int, dtype: torch.dtype, device: torch.device, channels_last: bool, flops: float = 4e10):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(device, dtype, memory_format=layout)
        shape = (batch, CHANNELS, SIDE, SIDE)
        self.x = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout).requires_grad_()
        self.gradient = torch.randn_like(self.x)
        self.once = counted(self.pass_)
        """FLOPs of one pass."""
        self.passes = max(1, round(flops / self.once))
        self.flops = self.once * self.passes
        """FLOPs of a call."""

    def pass_(self) -> None:
        """Once there and back."""
        self.x.grad = self.conv.weight.grad = self.conv.bias.grad = None
        self.conv(self.x).backward(self.gradient)

    def __call__(self) -> None:
        """Enough of them to be timed."""
        for _ in range(self.passes):
            self.pass_()
