"""A small network for points: residual layers of two dense layers each, with the U-Net's time embedding."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.arguments import checked_class
from ancestral.conditions import Condition
from ancestral.nets.conditioning import ConditionLayers, class_index, timestep_embedding
from ancestral.nets.kernels.normalisation import LayerNorm
from ancestral.nets.space import check_counts


@checked_class
class MLP(nn.Module):
    """ε_θ(x, index) for points x (B, features).

    Args:
        features: Number of coordinates of a point.
        width: Number of features of a layer.
        layers: Number of residual layers.
        classes: Number of class labels; the network also learns an embedding for "no class".
        out_features: Number of features of the output; `features` by default.
        conditions: What it is conditioned on besides class labels, by name: classes, vectors, words and noise.
    """

    def __init__(
        self,
        features: int = 2,
        width: int = 128,
        layers: int = 3,
        classes: int | None = None,
        out_features: int | None = None,
        conditions: Mapping[str, Condition] | None = None,
    ) -> None:
        super().__init__()
        check_counts("an MLP", features=features, width=width, layers=layers, out_features=out_features)
        self.width, self.classes = width, classes
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last row is "no class"
        self.stem = nn.Linear(features, width)
        self.layers = nn.ModuleList(
            nn.Sequential(LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            for _ in range(layers)
        )
        self.norm = LayerNorm(width)
        self.out = nn.Linear(width, out_features or features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.conditioning = ConditionLayers(conditions or {}, width)
        self.conditioning.part(self.out)

    def forward(
        self,
        x: Tensor,
        index: Tensor,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
        **conditions: Tensor | None,
    ) -> Tensor:
        """Predict the target, (B, out_features), at time indices (B,).

        Negative labels, or None, mean "no class". `keys` are the U-Net's dropout keys, which have no effect here.
        """
        x, values = self.conditioning.drawn(x, index, keys, conditions)
        temb = self.time(timestep_embedding(index, self.width, x.dtype))
        if self.label is not None and self.classes is not None:
            labels = torch.full_like(index, -1, dtype=torch.int64) if labels is None else labels
            temb = temb + self.label(class_index(labels, self.classes))
        self.conditioning.check(conditions)
        temb, _ = self.conditioning.embed(temb, values)
        h = self.stem(x)
        for layer in self.layers:
            h = h + layer(h + temb)
        out: Tensor = self.out(F.silu(self.norm(h)))
        return out
