"""Networks around a network: between two scales that depend on the time alone; with an answer that is bounded."""

from torch import Tensor, nn


class Scaled(nn.Module):
    """out · net(in · x, index): keeps what a network reads and answers of order 1 where the process itself does not.

    So NCSNv2 divides its answer by σ (Song and Ermon 2020, technique 3), and EDM scales what it reads to deviation 1.
    `scale_in` and `scale_out` are tensors (T,), one entry for each index.
    """

    scale_in: Tensor
    scale_out: Tensor

    def __init__(self, net: nn.Module, scale_in: Tensor, scale_out: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("scale_in", scale_in.float(), persistent=False)
        self.register_buffer("scale_out", scale_out.float(), persistent=False)

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None, keys: Tensor | None = None) -> Tensor:
        """The scaled answer for x (B, *) at time indices (B,)."""
        shape = (-1, *[1] * (x.ndim - 1))
        out: Tensor = self.net(self.scale_in[index].reshape(shape) * x, index, labels, keys)
        return self.scale_out[index].reshape(shape) * out


class Bounded(nn.Module):
    """tanh(net(x, index)): for a network that answers with x_0, whose values lie in [−1, 1].

    Where the data are flat and extreme, as the black around a digit, tanh is flat too, and the network's own noise does
    not show.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None, keys: Tensor | None = None) -> Tensor:
        """The bounded answer for x (B, *) at time indices (B,)."""
        out: Tensor = self.net(x, index, labels, keys).tanh()
        return out
