"""Masks of what changes, and the window of an image of any size that a model edits."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from ancestral.base.errors import InputError
from ancestral.data.spec import IMAGES, Codec, DataSpec
from ancestral.model.image_values import read_images
from ancestral.model.masks import MaskReading, box_mask, read_change, read_mask
from ancestral.model.regions import Region

GREY, COLOUR = DataSpec((1, 8, 8), IMAGES), DataSpec((3, 8, 8), IMAGES)
SIGNALS = DataSpec((1, 20), Codec("float", (-2.0, 2.0)))
MASK = torch.zeros(6, 8, dtype=torch.bool)
MASK[1:4, 2:7] = True


def picture(height, width, channels=3, seed=0):
    """A smooth picture with some noise, uint8 (channels, height, width)."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    waves = [128 + 90 * torch.sin(3 * x + c) * torch.cos(4 * y - c) for c in range(channels)]
    noise = 6 * torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed))
    return (torch.stack(waves) + noise).round().clamp(0, 255).to(torch.uint8)


def saved(path, array, mode=None):
    PillowImage.fromarray(np.ascontiguousarray(array), mode).save(path)
    return path


# -- masks ------------------------------------------------------------------------------------------------------------


def masks(folder):
    """The same mask in every form."""
    white = (MASK * 255).to(torch.uint8).numpy()
    alpha = np.dstack([np.full((6, 8, 3), (255, 0, 0)), white]).astype(np.uint8)
    strokes = np.dstack([picture(6, 8, seed=1).permute(1, 2, 0).numpy(), white // 3])
    np.save(folder / "mask.npy", MASK.numpy())
    return {
        "grey file": saved(folder / "grey.png", white),
        "its path as text": str(folder / "grey.png"),
        "painted on transparent ground": saved(folder / "painted.png", alpha),
        "painted thinly in many colours": saved(folder / "strokes.png", strokes),
        "two levels": PillowImage.fromarray(white).convert("1"),
        "black painted on transparent ground": PillowImage.fromarray(np.where([0, 0, 0, 1], alpha, 0).astype(np.uint8)),
        "a file of zeros and ones": saved(folder / "labels.png", MASK.numpy().astype(np.uint8)),
        "four times larger": PillowImage.fromarray(white.repeat(4, 0).repeat(4, 1)),
        ".npy": folder / "mask.npy",
        "bool": MASK,
        "floats": MASK[None] * 0.9,
        "8 bits": torch.from_numpy(white),
        "16 bits": (MASK.numpy() * 65535).astype(">u2")[..., None],
        "zeros and ones": MASK.numpy().astype(np.int64),
    }


def test_every_form_of_a_mask_says_the_same(tmp_path):
    for name, mask in masks(tmp_path).items():
        assert torch.equal(read_mask(mask, (6, 8)).mask, MASK), name
    assert torch.equal(box_mask("2,1,5,3", (6, 8)), MASK)
    assert torch.equal(box_mask((2, 1, 5, 3), (6, 8)), MASK)
    signal = torch.arange(20) < 5
    assert torch.equal(read_mask(signal, (20,)).mask, signal)


def layer(colours, alpha):
    """A picture with transparent pixels of colours (C, H, W) and an alpha from 0 to 1."""
    colours = colours.expand(3, -1, -1).permute(1, 2, 0).numpy()
    return PillowImage.fromarray(np.dstack([colours, (255 * alpha).byte().numpy()]).astype(np.uint8))


def painted(*colour):
    return torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).expand(3, 6, 8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_copy_of_the_image_with_holes_changes_in_these_and_a_layer_where_it_is_painted(channels):
    """Also where both have the same transparency."""
    image, other = picture(6, 8, channels), 255 - picture(6, 8, 3)
    copy = layer(image[: 3 if channels > 1 else 1], ~MASK)
    compressed = layer((image.int() + 7).clamp(max=255).byte()[: 3 if channels > 1 else 1], ~MASK)
    large = copy.resize((32, 24), PillowImage.Resampling.NEAREST)
    for mask, note in (
        (copy, "Transparent pixels of the mask change, 31 % of the image."),
        (compressed, "Transparent pixels of the mask change, 31 % of the image."),
        (large, "Transparent pixels of the mask change, 31 % of the image."),
        (layer(other, MASK), "Painted pixels of the mask change, 31 % of the image."),
        (layer(painted(9, 200, 30), MASK), "Painted pixels of the mask change, 31 % of the image."),
        (PillowImage.fromarray(MASK.numpy()), "White pixels of the mask change, 31 % of the image."),
        (MASK, ""),
    ):
        reading = read_mask(mask, (6, 8), image=image)
        assert torch.equal(reading.mask, MASK)
        assert reading.note == note


def test_an_option_says_which_part_of_a_mask_changes():
    grey = torch.tensor([[0, 255] * 4] * 6, dtype=torch.uint8)
    both = layer(grey[None], MASK)
    parts = {"white": MASK & (grey > 0), "black": MASK & (grey == 0), "painted": MASK, "transparent": ~MASK}
    for changes, expected in parts.items():
        assert torch.equal(read_mask(both, (6, 8), changes).mask, expected)
        assert read_mask(both, (6, 8), changes).note.startswith(f"{changes.capitalize()} pixels of the mask change, ")
    for mask in (PillowImage.fromarray(grey.numpy()), grey, grey > 0):
        assert torch.equal(read_mask(mask, (6, 8), "black").mask, grey == 0)
        with pytest.raises(InputError, match=r"changes='painted'.* give white, black or grey"):
            read_mask(mask, (6, 8), "painted")
    with pytest.raises(InputError, match="changes='soft': give white, black, painted, transparent, grey"):
        read_mask(grey, (6, 8), "soft")


def test_greys_of_a_mask_are_shares_where_this_is_said(tmp_path):
    """Without it a mask is hard, of whatever size: pixels above half change. Opacity counts where there is any."""
    greys = torch.linspace(0, 255, 48).round().byte().reshape(6, 8)
    picture_of_greys = PillowImage.fromarray(greys.numpy())
    painted_part = layer(painted(9, 200, 30), greys / 255)
    for mask in (greys, greys / 255, picture_of_greys, painted_part, saved(tmp_path / "grey.png", greys.numpy())):
        reading = read_mask(mask, (6, 8), "grey")
        assert torch.equal(reading.mask, greys > 0)
        torch.testing.assert_close(reading.values, greys / 255)
        assert reading.note.endswith(" change in part, 98 % of the image.")
    for mask in (greys, picture_of_greys, picture_of_greys.resize((32, 24), PillowImage.Resampling.BILINEAR)):
        assert read_mask(mask, (6, 8)).weights is None
    large = picture_of_greys.resize((32, 24), PillowImage.Resampling.NEAREST)
    torch.testing.assert_close(read_mask(large, (6, 8), "grey").values, greys / 255)
    for hard in (MASK, MASK.float(), PillowImage.fromarray(MASK.numpy())):
        reading = read_mask(hard, (6, 8), "grey")
        assert reading.weights is None
        assert torch.equal(reading.mask, MASK)
    with pytest.raises(InputError, match="nothing changes: the mask is all black"):
        read_mask(torch.zeros(6, 8), (6, 8), "grey")


@pytest.mark.parametrize("pixels", [0.5, 1, 3, 2.6, 20])
def test_a_softened_mask_rises_with_the_distance_from_its_edge(pixels):
    """The border of the image is no edge, and no pixel outside of the mask changes."""
    mask = torch.rand(23, 31, generator=torch.Generator().manual_seed(1)) < 0.9
    mask[8:20, 5:25] = True
    outside = (~mask).nonzero().double()
    distances = torch.cdist(mask.nonzero().double(), outside).min(1).values
    expected = torch.zeros(23, 31, dtype=torch.float64)
    expected[mask] = (distances / (pixels + 1)).clamp(max=1)
    reading = MaskReading(mask).softened(pixels)
    torch.testing.assert_close(reading.values, expected.float())
    assert torch.equal(reading.values > 0, mask)
    signal = MaskReading(torch.arange(9) < 4).softened(3)
    assert signal.values.tolist() == [1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0]


def test_masks_that_may_mean_either_part_or_are_empty_are_refused():
    white = torch.full((3, 6, 8), 255, dtype=torch.uint8)
    nothing, everything = torch.zeros(6, 8), torch.ones(6, 8)
    for mask, image, says in (
        (layer(white, MASK), white, "painted pixels (31 %) and transparent ones, and either may be what changes: give"),
        (layer(painted(0, 0, 0), ~MASK), picture(6, 8), "painted pixels (69 %) and transparent ones, and either may"),
        (
            layer(white, nothing),
            white,
            "nothing is painted: the mask is transparent everywhere; paint the part",
        ),
        (layer(white, everything), white, "nothing is known: the mask covers all of the image; leave a part of it out"),
        (layer(painted(0, 0, 0), everything), white, "nothing changes: the mask is all black, and white is what"),
        (layer(painted(200, 0, 0), everything), white, "has colours and no transparent pixels: paint what changes on"),
    ):
        with pytest.raises(InputError) as error:
            read_mask(mask, (6, 8), image=image)
        assert says in str(error.value)
    assert torch.equal(read_mask(layer(white, MASK), (6, 8), "painted", white).mask, MASK)


def test_what_is_transparent_in_the_image_is_the_mask_if_there_is_none(tmp_path):
    """Also in part: such a pixel is laid on white, so it is not known."""
    image = picture(6, 8)
    file = layer(image, torch.where(MASK, 0.5, 1))
    file.save(tmp_path / "torn.png")
    for value, name in ((file, "the image"), (tmp_path / "torn.png", f"the image {tmp_path / 'torn.png'}")):
        reading = read_change(COLOUR, value, image)
        assert torch.equal(reading.mask, MASK)
        assert reading.note == f"Transparent pixels of {name} change, 31 % of the image."
    rgba = DataSpec((4, 8, 8), IMAGES)
    for spec, value, changes, says in (
        (COLOUR, layer(image, torch.ones(6, 8)), None, "the image has no transparent pixels, which would be what is"),
        (COLOUR, layer(image, torch.zeros(6, 8)), None, "nothing is known: the image is transparent everywhere"),
        (COLOUR, image, None, "inpaint needs a mask: give mask='mask.png', or a picture of which a part is"),
        (COLOUR, file, "painted", "changes='painted' says how a mask is read: give mask='mask.png'"),
        (rgba, file, None, "give mask='mask.png', since this model makes transparency too"),
    ):
        with pytest.raises(InputError) as error:
            read_change(spec, value, image, None, changes)
        assert says in str(error.value)


def test_no_painted_pixel_of_a_larger_mask_is_lost():
    large = torch.zeros(60, 80, dtype=torch.bool)
    large[17] = True  # a thin line
    assert read_mask(large, (6, 8)).mask[1].all()
    assert read_mask(torch.ones(33, 25) - torch.eye(33, 25), (100, 75)).mask.shape == (
        100,
        75,
    )  # proportions to a pixel


def test_masks_that_do_not_fit_are_refused():
    """Files that do not fit are refused on the command line."""
    for array, says in (
        (5, "the mask cannot be 5"),
        ("", "the mask cannot be ''"),
        (np.full((6, 8), np.nan), "the mask has values from nan to nan"),
        (MASK * 300, "the mask has values from 0 to 300"),
        (MASK * 255.0, "the mask has values from 0 to 255"),
        (np.full((6, 8), "a"), "the mask holds <U1 values"),
        (np.zeros((0, 8)), "the mask has the shape (0, 8): give (height, width)"),
        (np.zeros((2, 6, 8)), "the mask has the shape (2, 6, 8)"),
        (np.zeros((6, 9)), "the mask is 6x9"),
    ):
        with pytest.raises(InputError) as error:
            read_mask(array, (6, 8))
        assert says in str(error.value)
    with pytest.raises(InputError, match="the mask is 10, and the item 20"):
        read_mask(torch.arange(10) < 5, (20,))


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ("1,2,3", "give x,y,width,height"),
        ("1,2,0,3", "give x,y,width,height"),
        ("-1,2,3,3", "give x,y,width,height"),
        ("4,0,5,2", r"reaches to 9,2, beyond the image of 8 x 6 pixels"),
        ("0,0,8,6", "nothing is known: the box covers all"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(box, says):
    with pytest.raises(InputError, match=says):
        box_mask(box, (6, 8))


# -- regions ----------------------------------------------------------------------------------------------------------

BOXES = [
    (30, 40, 10, 12),
    (0, 0, 5, 5),
    (60, 50, 20, 10),
    (30, 20, 40, 30),
    (0, 0, 80, 30),
    (0, 10, 80, 3),
    (3, 3, 74, 54),
]


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("shape", [(16, 16), (16, 24), (100, 90)], ids=str)
def test_known_pixels_are_bit_equal_and_masked_ones_have_no_influence(box, shape):
    image, mask = picture(60, 80), box_mask(box, (60, 80))
    region = Region.around(mask, shape)
    window, filled = region.cut(image), region.cut_mask
    assert window.shape == (3, *shape)
    assert window.dtype == torch.uint8
    assert filled.any()
    assert not filled.all()
    hidden = image.where(~mask, torch.randint(0, 256, (3, 1, 1), dtype=torch.uint8))
    assert torch.equal(region.cut(hidden)[:, ~filled], window[:, ~filled])
    samples = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8)
    result = region.paste(image, samples)
    assert result.dtype == torch.uint8
    assert torch.equal(result[:, :, ~mask], image[:, ~mask].expand(2, -1, -1))
    assert not torch.equal(result[0, :, mask], result[1, :, mask])


def test_a_window_in_the_size_of_the_model_holds_the_pixels_as_they_are():
    image = picture(60, 80)
    region = Region.around(box_mask((70, 3, 4, 3), (60, 80)), (16, 16))
    assert (region.start, region.size) == ((0, 64), (16, 16))
    assert torch.equal(region.cut(image), image[:, :16, 64:])
    samples = picture(16, 16, seed=1)[None]
    assert torch.equal(region.paste(image, samples)[0, :, 3:6, 70:74], samples[0, :, 3:6, 6:10])
    assert region.note == "A window of 16x16 pixels around the mask was edited, of the image of 60x80."
    same = Region.around(MASK, (6, 8))
    assert same.note == ""
    assert torch.equal(same.cut(picture(6, 8)), picture(6, 8))


def test_the_seam_of_a_scaled_window_is_blended_in():
    """A sample that is right but for its tint has the tint of the known pixels after blending, and no edge."""
    image, mask = picture(120, 160), box_mask((40, 30, 70, 60), (120, 160))
    region = Region.around(mask, (32, 32))
    assert region.scaled
    truth = torch.nn.functional.interpolate(
        region._window(image, 0)[None].float(), size=(32, 32), mode="bilinear", antialias=True
    )
    right, tinted = region.paste(image, truth), region.paste(image, truth + 40)
    assert (right.int() - tinted.int()).abs().max() <= 1
    assert (right[0].int() - image.int())[:, mask].float().abs().mean() < 8  # the noise of the picture itself
    step = (right[0, :, 30:90, 40].int() - right[0, :, 30:90, 39].int()).float().abs().mean()
    usual = (image[:, 30:90, 20].int() - image[:, 30:90, 19].int()).float().abs().mean()
    assert step < 1.5 * usual


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
def test_weights_blend_samples_with_the_image(dtype):
    """In windows of any size; a weight of 1 is the sample itself."""
    image = picture(60, 80).to(dtype)
    for box in ((30, 40, 10, 12), (20, 10, 40, 30)):
        hard = MaskReading(box_mask(box, (60, 80)))
        weights = hard.softened(4).values
        region = Region.around(hard.mask, (16, 16))
        samples = region.paste(image, picture(16, 16, seed=1)[None])[0]
        soft = dataclasses.replace(region, weights=weights).paste(image, picture(16, 16, seed=1)[None])[0]
        blended = weights * samples.double() + (1 - weights) * image.double()
        assert (soft.double() - blended).abs().max() <= (0.01 if dtype.is_floating_point else 1)
        assert torch.equal(soft.double()[:, weights == 1], samples.double()[:, weights == 1])
        assert torch.equal(soft.double()[:, weights == 0], image.double()[:, weights == 0])


def test_an_image_of_other_proportions_is_filled_up_with_unknown_pixels():
    region = Region.around(box_mask((10, 0, 90, 10), (20, 120)), (32, 32))
    assert region.start[0] < 0
    rows = (-region.start[0] * 32 // region.size[0], -(-(20 - region.start[0]) * 32 // region.size[0]))
    assert region.cut_mask[: rows[0]].all()
    assert region.cut_mask[rows[1] :].all()


def test_where_nothing_would_be_known_at_the_resolution_of_the_model_the_mask_is_refused():
    assert not Region.around(box_mask((3, 3, 74, 54), (60, 80)), (16, 16)).cut_mask.all()
    with pytest.raises(InputError, match="too little of the image is known: at the 16x16 pixels of the model nothing"):
        Region.around(box_mask((1, 1, 78, 58), (60, 80)), (16, 16))


# -- images -----------------------------------------------------------------------------------------------------------


def test_images_of_every_form_are_read_in_the_units_of_the_data(tmp_path):
    image = picture(8, 8)
    path = saved(tmp_path / "a.png", image.permute(1, 2, 0))
    np.savez(tmp_path / "a.npz", images=image[None].numpy())
    network = image / 127.5 - 1
    for value in (image, image.permute(1, 2, 0).numpy(), path, str(path), PillowImage.open(path), tmp_path / "a.npz"):
        assert torch.equal(read_images(COLOUR, value, "image"), image[None])
    torch.testing.assert_close(read_images(COLOUR, network, "image"), image[None].float(), rtol=0, atol=1e-4)
    assert read_images(COLOUR, [path, network], "image").dtype == torch.float32
    assert read_images(SIGNALS, torch.full((20,), 1.5), "image").tolist() == [[[1.5] * 20]]
    large = saved(tmp_path / "large.png", picture(12, 20).permute(1, 2, 0))
    assert torch.equal(read_images(COLOUR, large, "image", keep_size=True), picture(12, 20)[None])
    assert read_images(COLOUR, large, "image").shape == (1, 3, 8, 8)
    assert read_images(COLOUR, image[:, :4, :4], "image", shape=(3, 4, 4)).shape == (1, 3, 4, 4)
    assert float(read_images(GREY, torch.full((1, 2, 2), 3.0), "y", shape=(1, 2, 2)).max()) == 4 * 127.5


def test_images_that_a_model_cannot_take_are_refused(tmp_path):
    large = saved(tmp_path / "large.png", np.zeros((4, 4), np.uint8))
    for spec, value, says in (
        (COLOUR, torch.zeros(3, 8, 9), "the image is 8x9, and the model takes 8x8"),
        (COLOUR, torch.full((3, 8, 8), 255.0), "the image has values from 255 to 255, and the model takes -1 to 1 of"),
        (COLOUR, None, "image cannot be None"),
        (
            DataSpec((5, 8, 8), IMAGES),
            large,
            "large.png cannot be read as the image: images of 1 channels cannot be",
        ),
        (SIGNALS, large, "the image has floats from -2 to 2, and"),
        (GREY, [torch.zeros(1, 8, 8), torch.zeros(1, 4, 4)], "the image is 4x4"),
    ):
        with pytest.raises(InputError) as error:
            read_images(spec, value, "image")
        assert says in str(error.value), str(error.value)
    with pytest.raises(InputError, match="the images of a have several sizes: 8x8, 4x4"):
        read_images(GREY, [torch.zeros(1, 8, 8), torch.zeros(1, 4, 4)], "a", keep_size=True)
