"""Networks: the paper's U-Net for signals, images and volumes, and a small MLP for points."""

from ancestral.nets.mlp import MLP
from ancestral.nets.unet import UNet

__all__ = ["MLP", "UNet"]
