import numpy as np
import pytest
import torch
from PIL import Image

from ancestral.base.errors import InputError
from ancestral.config.data_config import parse_image_size, plain_image_size
from ancestral.data.convert import CONVERTED_IMAGES, Conversion, centre_crop_resize, composite, to_channels


def image(*channels):
    """One image of one pixel."""
    return torch.tensor(channels, dtype=torch.uint8).view(1, -1, 1, 1)


def random(*shape):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, shape, generator=rng, dtype=torch.uint8)


def test_composite_equals_pillow_for_all_alphas():
    rgba = random(1, 4, 64, 64)
    rgba[0, 3] = torch.arange(4096).view(64, 64) % 256
    under = Image.new("RGBA", (64, 64), (10, 130, 250))
    over = Image.fromarray(rgba[0].permute(1, 2, 0).contiguous().numpy())
    theirs = np.asarray(Image.alpha_composite(under, over).convert("RGB")).astype(int)
    ours = composite(rgba, (10, 130, 250))[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(ours - theirs).mean() < 0.1


def test_hidden_colours_do_not_bleed():
    """A white disc on transparent black, halved on white, is white all over."""
    disc = torch.zeros(1, 4, 16, 16, dtype=torch.uint8)
    disc[:, :, 3:12, 3:12] = 255
    assert Conversion(image_size=8)(disc).unique().tolist() == [255]


@pytest.mark.parametrize(("size", "target"), [((40, 40), 16), ((40, 40), 64), ((90, 40), 16), ((33, 50), 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_fit_equals_pillow_on_the_centre_square(size, target, channels):
    images = random(2, channels, *size)
    side = min(size)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    for ours, source in zip(centre_crop_resize(images, (target, target)), images, strict=True):
        array = source.permute(1, 2, 0).contiguous().numpy().squeeze()
        square = Image.fromarray(array).crop((left, top, left + side, top + side))
        theirs = np.asarray(square.resize((target, target), Image.Resampling.BICUBIC)).reshape(target, target, channels)
        assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs.astype(int)).max() <= 1


def test_fit_reads_any_memory_layout():
    images = random(2, 3, 40, 60)
    expected = centre_crop_resize(images, (20, 20))
    channels_last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(centre_crop_resize(channels_last, (20, 20)), expected)


def test_grey_is_the_luma_of_pillow():
    rgb = random(1, 3, 64, 64)
    theirs = np.asarray(Image.fromarray(rgb[0].permute(1, 2, 0).contiguous().numpy()).convert("L"))
    assert np.array_equal(to_channels(rgb, 1)[0, 0].numpy(), theirs)
    assert to_channels(image(255, 0, 0), 1).item() == 76
    assert to_channels(image(7), 3).flatten().tolist() == [7, 7, 7]


def test_nothing_to_do_copies_nothing():
    images = random(3, 3, 8, 8)
    assert Conversion()(images) is images
    assert Conversion(image_size=8, channels=3)(images) is images


def test_chunks_are_put_together_in_order():
    images = torch.arange(CONVERTED_IMAGES + 10).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).remainder(251).to(torch.uint8)
    out = Conversion(image_size=2, channels=3)(images)
    assert out.shape == (CONVERTED_IMAGES + 10, 3, 2, 2)
    assert torch.equal(out[:, 2, 1, 1], images[:, 0, 0, 0])


@pytest.mark.parametrize(
    ("background", "expected"), [("white", 1), ("#808080", 1), ("#808081", 3), ("rgb(1, 2, 3)", 3), ("navy", 3)]
)
def test_only_a_coloured_background_colours_grey_images(background, expected):
    assert Conversion(background=background).channels_of(grey=True, transparent=True) == expected
    assert Conversion(background=background).channels_of(grey=True, transparent=False) == 1


@pytest.mark.parametrize("size", [(40, 24), (37, 51), (24, 40), (90, 40)])
def test_crop_equals_pillow_on_the_centre_part_of_the_shape(size):
    """24 x 36, that is 2:3: of each image the largest centre part of this shape."""
    images = random(1, 3, *size)
    height, width = size
    high, wide = (round(width * 2 / 3), width) if height / width > 2 / 3 else (height, round(height * 3 / 2))
    box = ((width - wide) // 2, (height - high) // 2)
    whole = Image.fromarray(images[0].permute(1, 2, 0).contiguous().numpy())
    part = whole.crop((*box, box[0] + wide, box[1] + high)).resize((36, 24), Image.Resampling.BICUBIC)
    ours = Conversion("24x36")(images)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - np.asarray(part).astype(int)).max() <= 1


def test_pad_keeps_all_and_adds_the_background():
    images = torch.full((2, 3, 10, 20), 7, dtype=torch.uint8)
    out = Conversion((16, 16), background="#0102ff", fit="pad")(images)
    assert out.shape == (2, 3, 16, 16)
    assert out[:, :, 4:12].unique().tolist() == [7]  # 16 x 8, in the middle
    for rows in (out[:, :, :4], out[:, :, 12:]):
        assert rows.amin((0, 2, 3)).tolist() == rows.amax((0, 2, 3)).tolist() == [1, 2, 255]


@pytest.mark.parametrize(
    ("channels", "dtype", "target_channels", "expected"),
    [
        (1, torch.uint8, None, [1, 2, 3]),  # a coloured background colours grey images
        (1, torch.uint8, 1, [2]),
        (3, torch.uint8, 1, [2]),
        (2, torch.uint8, 2, [2, 255]),
        (4, torch.uint8, 4, [1, 2, 3, 255]),
        (4, torch.uint8, None, [1, 2, 3]),
        (1, torch.uint16, 1, [514]),
        (3, torch.uint16, None, [257, 514, 771]),
    ],
)
def test_the_edges_have_the_background_in_every_kind_of_image(channels, dtype, target_channels, expected):
    images = torch.zeros(1, channels, 4, 8, dtype=dtype)
    out = Conversion((8, 8), target_channels, "#010203", fit="pad")(images)
    assert out[0, :, 0, 0].tolist() == expected
    assert out.dtype == dtype


def test_images_without_colours_are_not_padded():
    for images in (torch.zeros(1, 1, 4, 8), torch.zeros(1, 7, 4, 8, dtype=torch.uint8)):
        with pytest.raises(InputError, match="have no colour to be padded with: leave fit='pad' out"):
            Conversion(8, fit="pad")(images)


@pytest.mark.parametrize("size", [32, "32", "32x48", "32X48", (32, 48), [32, 48]])
def test_image_sizes_are_given_in_any_form(size):
    wide = size not in (32, "32")
    assert parse_image_size(size) == (32, 48 if wide else 32)
    assert plain_image_size(size) == ("32x48" if wide else 32)


@pytest.mark.parametrize(
    "size", [0, -1, True, 3.0, "", "x", "32x", "3x4x5", "0x4", "٣", "1" * 99, (3,) * 3, (3, 0), ()]
)
def test_impossible_image_sizes_are_refused(size):
    with pytest.raises(InputError, match=r"^image size .* is impossible: .*HEIGHTxWIDTH, as in 32x48$"):
        parse_image_size(size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image size 0 is impossible"),
        ({"fit": "stretch"}, "cannot be fitted by 'stretch': give crop or pad"),
        ({"fit": "pad"}, "image_size='HxW'"),
        ({"channels": 0}, "0 channels are impossible"),
        ({"bits": 12}, "12 bits are impossible"),
        ({"background": "wite"}, "unknown background colour 'wite'"),
        ({"background": "#ff00ff80"}, "unknown background colour '#ff00ff80'"),
        ({"background": ""}, "unknown background colour ''"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Conversion(**options)
