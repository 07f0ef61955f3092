"""Networks: the paper's U-Net for images, a small MLP for points, and what stands around either."""

from ancestral.nets.mlp import MLP
from ancestral.nets.scaled import Bounded, Scaled
from ancestral.nets.unet import UNet

__all__ = ["MLP", "Bounded", "Scaled", "UNet"]
