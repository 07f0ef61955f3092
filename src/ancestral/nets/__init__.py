"""Networks: functions (x, index, labels) -> tensor of the shape of x, with index = t − 1 in 0..T−1."""

from ancestral.nets.mlp import MLP
from ancestral.nets.unet import UNet

__all__ = ["MLP", "UNet"]
