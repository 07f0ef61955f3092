"""Networks: the paper's U-Net and a plain transformer for images, signals and volumes, and a small MLP for points.

Answers are differentiable in x, in float time indices, in conditions of floats and in the weights, twice and more.
"""

from ancestral.nets.build import build, check_weights, takes, weight_shapes
from ancestral.nets.conditioning import drawn_noise
from ancestral.nets.mlp import MLP
from ancestral.nets.transformer import Transformer
from ancestral.nets.unet import UNet

__all__ = ["MLP", "Transformer", "UNet", "build", "check_weights", "drawn_noise", "takes", "weight_shapes"]
