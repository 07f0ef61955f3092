"""Networks: the paper's U-Net for images, a small MLP for points, and scales around either."""

from ancestral.nets.build import build, conditions
from ancestral.nets.mlp import MLP
from ancestral.nets.scaled import Scaled
from ancestral.nets.unet import UNet

__all__ = ["MLP", "Scaled", "UNet", "build", "conditions"]
