"""A network between two scales that depend on the time alone."""

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
