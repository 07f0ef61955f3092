"""Masks that are drawn in the browser: each pixel is where geometry says, and Python reads what was drawn."""

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral.base.errors import InputError
from ancestral.model.masks import hole_mask, read_mask

FOLDERS = {
    "studio": Path(str(files("ancestral_studio"))) / "browser",
    "page": Path(str(files("ancestral.page"))),
}
"""The folders of the modules by the first part of their address."""
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def script(chromium):
    """Runs the body of an async function that has the modules of the studio for masks."""
    context = chromium.new_context()

    def answer(route):
        room, _, name = route.request.url.removeprefix("http://studio.test/").partition("/")
        body = (FOLDERS[room] / name).read_bytes() if name.endswith(".js") else b"<!doctype html>"
        route.fulfill(body=body, content_type="text/javascript" if name.endswith(".js") else "text/html")

    context.route("**/*", answer)
    page = context.new_page()
    page.goto("http://studio.test/")
    heads = "const { Mask } = await import('/studio/mask.js'), { Timeline } = await import('/studio/timeline.js');"

    def run(body, argument=None):
        return page.evaluate(f"async (argument) => {{ {heads} {body} }}", argument)

    yield run
    context.close()


def drawn(shape, strokes):
    """The pixels whose centre lies within half the size of a brush of a line between two places."""
    height, width = shape
    y, x = np.mgrid[:height, :width] + 0.5
    mask = np.zeros(shape, dtype=bool)
    for ax, ay, bx, by, size, value in strokes:
        place = (lambda p: np.floor(p) + 0.5) if size % 2 else (lambda p: np.floor(p + 0.5))
        start, end = np.array([place(ax), place(ay)]), np.array([place(bx), place(by)])
        along = end - start
        length = along @ along
        share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1) if length else 0 * x
        distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        mask[distance <= size / 2 + 1e-9] = value
    return mask


def test_a_brush_paints_the_pixels_within_half_its_size(script):
    random = np.random.default_rng(0)
    strokes = [
        [*random.uniform(-4, 44, 4).tolist(), int(random.integers(1, 12)), int(random.integers(0, 4) > 0)]
        for _ in range(200)
    ]
    strokes += [[5.2, 5.9, 5.2, 5.9, 1, 1], [20.0, 20.0, 20.0, 20.0, 2, 1], [0.5, 0.5, 39.5, 29.5, 1, 1]]
    pixels = script(
        "const mask = new Mask(40, 30);"
        "for (const [ax, ay, bx, by, ...rest] of argument) mask.stroke({x: ax, y: ay}, {x: bx, y: by}, ...rest);"
        "return [...mask.pixels];",
        strokes,
    )
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(30, 40), drawn((30, 40), strokes))


@pytest.mark.parametrize("distance", [1, 2, 3.5, 7])
def test_grow_adds_a_distance(script, distance):
    before = np.random.default_rng(2).random((23, 31)) < 0.01
    before[11, 15] = True
    pixels = script(
        "const mask = new Mask(31, 23, Uint8Array.from(argument[0]));mask.grow(argument[1]); return [...mask.pixels];",
        [before.astype(int).ravel().tolist(), distance],
    )
    ys, xs = np.nonzero(before)
    y, x = np.mgrid[:23, :31]
    nearest = np.hypot(y[..., None] - ys, x[..., None] - xs).min(-1)
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(23, 31), nearest <= distance)


def test_a_lasso_fills_what_it_goes_around(script):
    """All pixels whose centre is inside, by the rule of even and odd crossings, and the line itself."""
    places = np.random.default_rng(6).uniform(0, 30, (7, 2))
    pixels = script(
        "const mask = new Mask(30, 24); mask.polygon(argument.map(([x, y]) => ({x, y}))); return [...mask.pixels];",
        places.tolist(),
    )
    y, x = np.mgrid[:24, :30] + 0.5
    inside = np.zeros((24, 30), dtype=bool)
    ends = np.roll(places, -1, axis=0)
    for (ax, ay), (bx, by) in zip(places, ends, strict=True):
        inside ^= ((ay <= y) != (by <= y)) & (x > ax + (y - ay) / (by - ay) * (bx - ax))
    line = drawn((24, 30), [[*start, *end, 1, 1] for start, end in zip(places, ends, strict=True)])
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(24, 30), inside | line)


def test_fill_stays_inside_a_line(script):
    pixels = script(
        "const mask = new Mask(9, 8); mask.box({x: 2, y: 1}, {x: 7, y: 6}); mask.box({x: 3, y: 2}, {x: 6, y: 5}, 0);"
        "mask.fillFrom({x: 4.5, y: 3.5}); const shown = [...mask.pixels]; mask.fillFrom({x: 4.5, y: 3.5}, 0);"
        "return [shown, mask.count];"
    )
    expected = np.zeros((8, 9), dtype=int)
    expected[1:7, 2:8] = 1
    assert pixels == [expected.ravel().tolist(), 0]


def test_the_mask_of_transparency_is_that_of_python(script):
    picture = np.random.default_rng(7).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    picture[:5, :, 3], picture[5:, 3:, 3] = 255, 0
    image = Image.fromarray(picture)
    pixels, opaque = script(
        "const [holes, opaque] = argument.map(data => Mask.ofHoles({width: 16, height: 12, data}));"
        "return [[...holes.pixels], opaque];",
        [picture.ravel().tolist(), np.full(picture.size, 255).tolist()],
    )
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(12, 16), hole_mask(image).mask.numpy())
    assert opaque is None


def test_box_invert_and_clear(script):
    pixels = script(
        "const mask = new Mask(6, 5); mask.box({x: 4.9, y: 3.2}, {x: 1.1, y: 2.9}); mask.invert();"
        "mask.box({x: -3, y: 0}, {x: 9, y: 0.5}, 0); const shown = [...mask.pixels]; mask.clear();"
        "return [shown, mask.count];"
    )
    expected = np.ones((5, 6), dtype=int)
    expected[2:4, 1:5] = expected[0] = 0
    assert pixels == [expected.ravel().tolist(), 0]


def test_python_reads_the_mask_that_was_drawn(script):
    random = np.random.default_rng(3)
    for height, width in ((1, 5), (28, 28), (97, 33)):
        mask = random.random((height, width)) < 0.3
        mask.flat[0], mask.flat[-1] = True, False
        file = script(
            "const mask = new Mask(argument[0], argument[1], Uint8Array.from(argument[2]));"
            "return [...new Uint8Array(await (await mask.toPng()).arrayBuffer())];",
            [width, height, mask.astype(int).ravel().tolist()],
        )
        image = Image.open(io.BytesIO(bytes(file)))
        assert image.mode == "L"
        assert np.array_equal(read_mask(image, (height, width)).mask.numpy(), mask)
        assert set(np.unique(image)) == {0, 255}


PICTURES = {
    "grey": lambda random: Image.fromarray(random.integers(0, 256, (12, 16), dtype=np.uint8)),
    "colour": lambda random: Image.fromarray(random.integers(100, 160, (12, 16, 3), dtype=np.uint8)),
    "labels": lambda random: Image.fromarray(random.integers(0, 2, (12, 16), dtype=np.uint8)),
    "painted": lambda random: painted(random, np.full((12, 16, 3), (200, 30, 30), dtype=np.uint8)),
    "faintly painted": lambda random: painted(random, 255 - random.integers(0, 256, (12, 16, 3), dtype=np.uint8), 90),
    "holes": lambda random: painted(random, random.integers(0, 256, (12, 16, 3), dtype=np.uint8)),
}


def painted(random, colours, opacity=255):
    """A picture of which more than half is transparent."""
    alpha = np.where(random.random((12, 16)) < 0.4, opacity, 0).astype(np.uint8)
    return Image.fromarray(np.concatenate([colours, alpha[..., None]], axis=2))


@pytest.mark.parametrize("kind", PICTURES)
def test_the_mask_of_a_picture_is_that_which_python_reads(script, kind):
    """The image is what a picture with holes is a copy of."""
    image = PICTURES[kind](np.random.default_rng(4))
    pixels, unsure = read_by_script(script, image, PICTURES["holes"](np.random.default_rng(4)))
    values = torch.from_numpy(np.array(PICTURES["holes"](np.random.default_rng(4)))[..., :3].copy()).movedim(-1, 0)
    assert np.array_equal(pixels, read_mask(image, (12, 16), image=values).mask.numpy())
    assert not unsure


def read_by_script(script, picture, image):
    """The mask of a picture beside an image, and whether the other part may be meant."""
    data = [np.array(one.convert("RGBA")).ravel().tolist() for one in (picture, image)]
    pixels, unsure = script(
        "const [picture, image] = argument.map(data => "
        "({width: 16, height: 12, data: Uint8ClampedArray.from(data)}));"
        "const mask = Mask.ofPicture(picture, image); return [[...mask.pixels], mask.unsure];",
        data,
    )
    return np.array(pixels, dtype=bool).reshape(12, 16), unsure


def test_what_python_refuses_is_refused_or_shown_as_painted(script):
    random = np.random.default_rng(4)
    image = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    sheet = np.zeros((12, 16, 4), dtype=np.uint8)
    sheet[:9, :, 3] = 255  # black but for a transparent part
    pixels, unsure = read_by_script(script, Image.fromarray(sheet), image)
    assert unsure
    assert np.array_equal(pixels, sheet[..., 3] > 0)
    for refused, says in ((Image.new("RGBA", (16, 12)), "nothing is painted"), (image, "has colours")):
        with pytest.raises(Exception, match=says):  # playwright's, which is imported where there is a browser alone
            read_by_script(script, refused, image)
        with pytest.raises(InputError, match=says):
            read_mask(refused, (12, 16))


@pytest.mark.parametrize("size", [(6, 8), (24, 32), (36, 48)], ids=["smaller", "larger", "much larger"])
def test_a_mask_of_another_size_changes_each_pixel_that_it_touches(script, size):
    mask = np.random.default_rng(5).random((12, 16)) < 0.1
    pixels = script(
        "return [...new Mask(16, 12, Uint8Array.from(argument[0])).resized(argument[2], argument[1]).pixels];",
        [mask.astype(int).ravel().tolist(), *size],
    )
    assert np.array_equal(np.array(pixels, dtype=bool).reshape(size), read_mask(mask, size).mask.numpy())


def test_masks_as_text_and_back(script):
    masks = script(
        "const random = Array.from({length: 35}, (_, i) => (i * 7919 % 5) < 2 ? 1 : 0);"
        "return [random, random.map(() => 0), random.map(() => 1)].map(pixels => {"
        "const mask = new Mask(7, 5, Uint8Array.from(pixels)), again = Mask.unpack(mask.pack());"
        "return [pixels, [...again.pixels], again.width, again.height]; });"
    )
    for pixels, again, width, height in masks:
        assert (again, width, height) == (pixels, 7, 5)


def test_undo_and_redo_are_bounded_and_outlive_a_reload(script):
    states = script(
        "const timeline = new Timeline('0', 3); for (const state of '123456') timeline.push(state); timeline.push('6');"
        "timeline.undo(); timeline.undo(); timeline.redo();"
        "const again = Timeline.from(JSON.parse(JSON.stringify(timeline)), 3);"
        "const shown = [again.past.join(''), again.present, again.future.join('')]; again.push('x');"
        "const small = new Timeline('', 99, 10); for (let i = 0; i < 9; i++) small.push(String(i).repeat(4));"
        "const other = new Timeline('a'); for (const state of 'bcd') other.push(state); other.go(1);"
        "shown.push(other.states.join(''), other.present); other.go(3);"
        "return [...shown, other.present, again.canRedo, small.past.length];"
    )
    assert states == ["34", "5", "6", "abcd", "b", "d", False, 2]
