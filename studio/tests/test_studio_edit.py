"""The tab Edit in Chromium: masks used to the pixel, undo that outlives everything, all tasks, and recipes."""

import shutil

import numpy as np
import pytest
from PIL import Image

import ancestral
from ancestral import data
from firefox import Firefox
from studio_client import studio
from studio_page import studio_pages
from test_studio_masks import drawn

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of digits, hardly trained."""
    folder = tmp_path_factory.mktemp("studio-runs")
    ancestral.train(
        "digits", out=folder / "digits", steps=2, width=8, blocks=1, mults=(1, 2), batch_size=8, attention=(), seed=0
    )
    return folder


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    with studio(runs, out=tmp_path_factory.mktemp("studio")) as (server, _):
        yield server


@pytest.fixture
def pages(chromium, server):
    with studio_pages(chromium, server) as new:
        yield new


@pytest.fixture(scope="module")
def digit(tmp_path_factory):
    """A picture of a digit."""
    path = tmp_path_factory.mktemp("pictures") / "digit.png"
    Image.fromarray(data.open("digits").items[7, 0].numpy()).save(path)
    return path


@pytest.fixture
def page(pages, digit):
    return with_image(pages().open("edit"), digit)


def with_image(page, path):
    page.tab.get_by_label("Image", exact=True).locator("input[type=file]").set_input_files(path)
    page.tab.locator(".drop img").first.wait_for()
    page.tab.locator(".paper").wait_for()
    return page


def shown_mask(page):
    """The mask that is shown over the image."""
    height, width, colours = (
        page.tab.locator(".paper canvas")
        .nth(1)
        .evaluate("c => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]")
    )
    return np.array(colours).reshape(height, width, 4)[..., 3] > 0


def known_mask(page, entry):
    """The mask that the server used, as the pixels of the file that it got."""
    number = entry["options"]["mask"].removeprefix("upload:")
    return page.pixels(f"/files/uploads/{number}")


def drag(page, places, size=None):
    """Draw through places, in pixels of the image."""
    paper = page.tab.locator(".paper")
    paper.scroll_into_view_if_needed()
    box = page.still(paper)
    width = paper.locator("canvas").first.evaluate("c => c.width")
    scale = box["width"] / width
    (x, y), *rest = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in places]
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    for x, y in rest:
        page.page.mouse.move(x, y)
    page.page.mouse.up()


STROKES = [[(3.2, 4.7), (9.1, 6.3), (20.6, 5.2)], [(14.4, 12.4)], [(25.5, 20.1), (10.3, 24.8)]]


@pytest.mark.parametrize("ratio", [1, 1.25, 3], ids=["1", "1.25", "3"])
@pytest.mark.parametrize("width", [1280, 517], ids=["wide", "narrow"])
def test_the_mask_drawn_is_the_mask_used(chromium, server, digit, ratio, width):
    """At odd zooms and ratios of pixels; known pixels stay to the bit."""
    viewport = {"width": width, "height": 900}
    with studio_pages(chromium, server, viewport=viewport, device_scale_factor=ratio) as new:
        page = with_image(new().open("edit"), digit)
        page.set(n=2, steps=2, seed=1)
        page.tab.get_by_role("button", name="Zoom out").click()  # all of it in sight
        for number, stroke in enumerate(STROKES):
            page.tab.get_by_label("Brush size").fill(str(number + 1))
            drag(page, stroke)
        strokes = [
            [*start, *end, number + 1, 1]
            for number, stroke in enumerate(STROKES)
            for start, end in zip(stroke, stroke[1:] or stroke, strict=False)
        ]
        mask = drawn((28, 28), strokes)
        assert np.array_equal(shown_mask(page), mask)
        entry = page.start()
        assert np.array_equal(known_mask(page, entry), mask * np.uint8(255))
        before = np.array(Image.open(digit))
        for sample in page.samples(entry):
            assert np.array_equal(sample[~mask], before[~mask])
            assert not np.array_equal(sample[mask], before[mask])


def test_undo_outlives_a_generation_and_a_reload(page):
    masks = [shown_mask(page)]
    for stroke in STROKES:
        drag(page, stroke)
        masks.append(shown_mask(page))
    page.set(n=1, steps=1)
    page.start()
    for expected in masks[2::-1]:
        page.page.keyboard.press("Control+z")
        assert np.array_equal(shown_mask(page), expected)
    page.page.keyboard.press("Control+Shift+Z")
    page.page.reload()
    page.tab.locator(".job[data-state=done]").wait_for()
    page.tab.get_by_role("button", name="Image", exact=True).click()
    page.tab.locator(".paper").wait_for()
    page.until(lambda: shown_mask(page), equals=masks[1])
    page.tab.get_by_role("button", name="Redo").click()
    page.tab.get_by_role("button", name="Redo").click()
    assert np.array_equal(shown_mask(page), masks[3])
    assert page.tab.get_by_role("button", name="Redo").is_disabled()
    page.tab.get_by_role("button", name="Undo").click()
    assert np.array_equal(shown_mask(page), masks[2])


def test_the_transparency_of_an_image_is_its_mask(page, digit, tmp_path):
    pixels = np.array(Image.open(digit).convert("RGBA"))
    pixels[4:20, 10:15, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "holes.png")
    page.tab.get_by_label("Image", exact=True).locator("input[type=file]").set_input_files(tmp_path / "holes.png")
    page.toast("The transparent pixels of holes.png are the mask")
    assert np.array_equal(shown_mask(page), pixels[..., 3] == 0)
    page.page.keyboard.press("Control+z")
    assert not shown_mask(page).any()
    page.tab.get_by_role("button", name="From transparency").click()
    assert page.tab.locator(".step[aria-current]").inner_text() == "From the image's transparency"
    page.set(n=1, steps=1)
    entry = page.start()
    assert np.array_equal(known_mask(page, entry) > 0, pixels[..., 3] == 0)


def test_a_canvas_is_extended_by_drag_and_by_numbers(page, digit):
    """What is new is the mask, what is known stays to the bit, and a step goes back."""
    drag(page, [(20.5, 20.5)])
    page.tab.get_by_role("button", name="Extend canvas").click()
    corner = page.still(page.tab.locator(".extension .handle[data-handle=se]"))
    box = page.tab.locator(".paper").bounding_box()
    x, y, scale = corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2, box["width"] / 28
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 3 * scale, y + 2 * scale)
    page.page.mouse.up()
    page.tab.get_by_label("Extend left by pixels").fill("9")
    page.page.keyboard.press("Tab")
    mask = np.ones((30, 40), dtype=bool)
    mask[:28, 9:37] = False
    mask[19:22, 28:31] = True
    assert np.array_equal(shown_mask(page), mask)
    page.tab.get_by_role("button", name="Erase", exact=True).click()
    drag(page, [(2, 10.5), (8, 10.5)])  # outside of the image nothing is known
    assert np.array_equal(shown_mask(page), mask)
    page.set(n=1, steps=2)
    entry = page.start()
    (sample,) = page.samples(entry)
    before = np.zeros((30, 40), dtype=np.uint8)
    before[:28, 9:37] = np.array(Image.open(digit))
    assert np.array_equal(sample[~mask], before[~mask])
    assert not np.array_equal(sample[:, :9], before[:, :9])
    page.tab.get_by_role("button", name="Use as input").click()
    page.tab.get_by_text("28 × 28").wait_for(state="detached")
    page.tab.locator(".paper").wait_for()  # hidden until the image is loaded
    assert np.array_equal(shown_mask(page), mask)
    page.tab.locator(".step").get_by_text("Extend canvas: 0, 0, 3, 2 px").click()
    page.until(lambda: shown_mask(page).shape, equals=(30, 31))


def test_the_canvas_works_by_keyboard(page):
    page.tab.locator(".paper").focus()
    keys = page.page.keyboard
    for _ in range(14):  # from the middle to the corner
        keys.press("ArrowLeft")
        keys.press("ArrowUp")
    keys.press("[")
    keys.press("[")
    keys.press("Space")
    for _ in range(3):
        keys.press("ArrowRight")
    keys.down("Space")
    for _ in range(4):
        keys.press("ArrowDown")
    keys.up("Space")
    expected = np.zeros((28, 28), dtype=bool)
    expected[0, 0] = expected[:5, 3] = True
    assert np.array_equal(shown_mask(page), expected)
    keys.press("r")
    keys.press("Shift+ArrowRight")
    keys.press("Space")
    keys.press("ArrowRight")
    keys.press("ArrowDown")
    keys.press("Space")
    expected[4:6, 13:15] = True
    assert np.array_equal(shown_mask(page), expected)
    keys.press("i")
    assert np.array_equal(shown_mask(page), ~expected)
    page.tab.get_by_text("column 14, row 5, stays").wait_for(state="attached")
    keys.press("Control+z")
    assert np.array_equal(shown_mask(page), expected)


def test_a_result_is_compared_and_sent_back(page, digit):
    drag(page, STROKES[0])
    page.set(n=4, steps=2, seed=3)
    entry = page.start()
    result = page.tab.get_by_label("Result", exact=True)
    page.until(result.locator(".tile").count, equals=4)
    result.get_by_alt_text("Map of the standard deviation").wait_for()  # an image has no size before it is loaded
    page.tab.get_by_text("It had the lowest energy score for masks").wait_for()
    slider = result.get_by_label("Before and after")
    slider.focus()
    slider.press("Home")
    assert result.locator(".after").evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 0%)"
    slider.press("End")
    assert result.locator(".after").evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 100%)"
    result.locator(".tile").nth(2).click()
    mask = shown_mask(page)
    result.get_by_role("button", name="Use as input").click()
    page.toast("The sample is the input now")
    page.tab.locator(".paper").wait_for()  # hidden until the image is loaded
    image = page.tab.locator(".drop img").first
    assert np.array_equal(page.pixels(image.get_attribute("src")), page.samples(entry)[2])
    assert np.array_equal(shown_mask(page), mask)
    page.page.keyboard.press("Control+z")
    page.tab.get_by_text("digit.png, 28 × 28").wait_for()
    page.tab.locator(".paper").wait_for()
    assert np.array_equal(page.pixels(image.get_attribute("src")), np.array(Image.open(digit)))
    assert np.array_equal(shown_mask(page), mask)


def test_methods_are_compared_in_a_table(page, runs, digit, tmp_path):
    """The deviation of a method is that of its own edit."""
    page.tab.get_by_role("button", name="Rectangle", exact=True).click()
    drag(page, [(6.5, 6.5), (20.5, 20.5)])
    page.set(n=3, steps=2)
    page.set_table(("method", "ddnm, repaint"), ("seed", "4, 5"))
    entry = page.start()
    assert entry["recipe"]["sweep"] == {"method": ["ddnm", "repaint"], "seed": [4, 5]}
    result = page.tab.get_by_label("Result", exact=True)
    table = result.get_by_alt_text("The samples of each setting")
    page.until(lambda: table.evaluate("one => one.naturalWidth") > 6 * 28)
    single = ancestral.edit(
        runs / "digits", "inpaint", digit, box="6,6,15,15", n=3, steps=2, seed=5, method="ddnm", out=tmp_path / "a.png"
    )
    lines = result.locator("li").all_inner_texts()
    assert len(lines) == 4
    assert lines[2] == f"method ddnm, seed 5, standard deviation {float(f'{single.deviation:.3g}'):g}"


def test_several_images_are_edited_alike_and_a_bad_one_is_said(page, digit, tmp_path):
    """In a folder too; each result is an entry of the history, with the mask that is painted."""
    page.expected.append("400")
    page.tab.get_by_role("button", name="Rectangle", exact=True).click()
    drag(page, [(6.5, 6.5), (20.5, 20.5)])
    mask = shown_mask(page)
    page.set(n=1, steps=1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        Image.fromarray(data.open("digits").items[40 + number, 0].numpy()).save(folder / f"{number}.png")
    (folder / "5.png").write_text("no image")
    before = len(page.get("/api/history")["entries"])
    several = page.tab.get_by_label("Several images", exact=True)
    several.locator("input[webkitdirectory]").set_input_files(folder)
    several.get_by_role("button", name="Edit all 10").click()
    several.get_by_text("9 of 10 done, 1 failed").wait_for()
    rows = several.locator(".batch-row")
    assert "is no image" in rows.nth(5).inner_text()
    entries = page.get("/api/history")["entries"]
    assert len(entries) == before + 9
    several.get_by_role("button", name="Edit all 1").wait_for()  # what failed may be tried again
    page.tab.get_by_role("button", name="Vary", exact=True).click()
    several.get_by_role("button", name="Edit all 10").wait_for()  # all, as something else is asked
    page.tab.get_by_role("button", name="Inpaint", exact=True).first.click()
    rows.nth(8).get_by_role("link", name="Open").click()
    page.tab.get_by_label("Result", exact=True).locator(".tile").first.wait_for()
    page.tab.locator(".paper[aria-label^='Mask of image,']").wait_for(state="attached")  # the image of that entry
    assert np.array_equal(shown_mask(page), mask)
    (entry,) = [page.get(f"/api/history/{one['id']}") for one in entries if " 8.png " in one["title"]]
    (sample,) = page.samples(entry)
    assert np.array_equal(sample[~mask], data.open("digits").items[48, 0].numpy()[~mask])


def test_an_edit_dropped_in_again_repeats_to_the_bit(pages, page, digit, tmp_path):
    for stroke in STROKES:
        drag(page, stroke)
    mask = shown_mask(page)
    page.set(n=3, steps=3, seed=9, noise=0.1)
    page.tab.get_by_role("button", name="4", exact=True).click()
    entry = page.start()
    picture = tmp_path / "000002.png"
    picture.write_bytes(page.file(next(file["url"] for file in entry["files"] if file["name"] == "000002.png")))
    again = pages().open("edit")
    again.tab.get_by_role("button", name="Vary", exact=True).click()
    again.drop(picture)
    again.toast("Every control is as it was")
    again.tab.locator(".paper").wait_for()
    again.until(lambda: shown_mask(again), equals=mask)
    assert again.values("n", "steps", "seed", "noise") == {"n": "3", "steps": "3", "seed": "9", "noise": "0.1"}
    repeated = again.start()
    assert np.array_equal(again.samples(repeated), page.samples(entry))
    other = pages().open("sample")
    other.drop(picture)  # opens the tab that it is of
    other.follow("edit")
    other.toast("Every control is as it was")
    assert np.array_equal(other.samples(other.start()), page.samples(entry))


def test_all_tasks(pages, page, digit, tmp_path):
    small, second = tmp_path / "small.png", tmp_path / "second.png"
    Image.open(digit).resize((7, 7)).save(small)
    Image.fromarray(data.open("digits").items[3, 0].numpy()).save(second)
    page.tab.get_by_role("button", name="Vary", exact=True).click()
    page.set(strength=0.3, steps=2, n=2)
    assert len(page.samples(page.start())) == 2
    page.tab.get_by_role("button", name="Interpolate").click()
    page.tab.get_by_label("Second image").locator("input[type=file]").set_input_files(second)
    page.tab.get_by_text("second.png").wait_for()
    page.set(n=3, steps=2, t=300)
    entry = page.start()
    walk = page.samples(entry)
    assert np.array_equal(walk[0], np.array(Image.open(digit)))
    assert np.array_equal(walk[2], np.array(Image.open(second)))
    page.tab.get_by_role("button", name="Restore").click()
    page.tab.get_by_label("Image", exact=True).locator("input[type=file]").set_input_files(small)
    page.tab.get_by_text("small.png, 7 × 7").wait_for()
    page.tab.get_by_role("button", name="Enlarge").click()
    page.set(noise="", n=2, steps=2)
    entry = page.start()
    assert (entry["recipe"]["edit"]["task"], entry["recipe"]["edit"]["operator"]) == ("restore", "upscale:4")
    assert [sample.shape for sample in page.samples(entry)] == [(28, 28)] * 2


def test_a_window_is_moved_and_resized_over_a_large_image(pages, tmp_path):
    """In the proportions of the model and inside the image; the field of the form says it."""
    photo = np.random.default_rng(1).integers(0, 256, (60, 90), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page = with_image(pages().open("edit"), tmp_path / "photo.png")
    toggle, field = page.tab.get_by_role("button", name="Choose window"), page.field("window")
    toggle.click()
    assert field.input_value() == "31,16,28,28"
    box = page.still(page.tab.locator(".paper"))
    scale = box["width"] / 90

    def pull(handle, across, down):
        place = page.still(page.tab.locator(f".mask-editor .window-frame [data-handle={handle}]"))
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        page.page.mouse.move(x, y)
        page.page.mouse.down()
        page.page.mouse.move(x + across * scale, y + down * scale)
        page.page.mouse.up()

    pull("move", -9, 4)
    assert field.input_value() == "22,20,28,28"
    pull("se", 7, 3)
    assert field.input_value() == "22,20,35,35"
    pull("nw", -60, -60)
    assert field.input_value() == "2,0,55,55"
    page.tab.locator(".mask-editor").get_by_label("Window: left in pixels").fill("80")
    page.page.keyboard.press("Tab")
    assert field.input_value() == "35,0,55,55"
    page.tab.get_by_role("button", name="Vary", exact=True).click()
    page.until(lambda: page.tab.locator(".plain .window-frame").is_visible())
    page.set(n=1, steps=2)
    (sample,) = page.samples(page.start())
    assert np.array_equal(sample[:, :35], photo[:, :35])
    assert not np.array_equal(sample[:55, 35:], photo[:55, 35:])
    page.tab.get_by_role("button", name="Image", exact=True).click()
    toggle.click()
    assert field.input_value() == ""
    assert not page.tab.locator(".window-frame:visible").count()


def test_firefox_samples_and_edits(server, tmp_path):
    """The mask that is painted there is the mask that is used, too."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if not program:
        pytest.skip("Firefox is not installed")
    firefox = Firefox(program, tmp_path)
    try:
        firefox.send("WebDriver:Navigate", {"url": f"{server.address}#sample"})
        tab = "const tab = document.querySelector('section:not([hidden])'), find = name => tab.querySelector(name);"
        firefox.wait(f"{tab} return find('input[name=seed]')?.offsetParent")
        firefox.run(
            f"{tab} find('input[name=n]').value = 2; find('input[name=steps]').value = 2; find('.primary').click()"
        )
        firefox.wait(f"{tab} return find('.job[data-state=done]') && find('.tile')")
        firefox.run(f"{tab} find('.tile').click()")
        firefox.wait(f"{tab} return find('.near img')?.naturalWidth")
        firefox.run(
            f"{tab} [...tab.querySelectorAll('.details button')].find(b => b.textContent == 'Edit this').click()"
        )
        firefox.wait(f"{tab} return find('.mask-editor')?.offsetParent && find('input[name=steps]')")
        firefox.send(
            "WebDriver:PerformActions",
            {
                "actions": [
                    {
                        "type": "pointer",
                        "id": "mouse",
                        "parameters": {"pointerType": "mouse"},
                        "actions": [
                            {"type": "pointerMove", "x": -40, "y": -30, "origin": element(firefox, ".paper")},
                            {"type": "pointerDown", "button": 0},
                            {"type": "pointerMove", "x": 50, "y": 60, "origin": element(firefox, ".paper")},
                            {"type": "pointerUp", "button": 0},
                        ],
                    }
                ]
            },
        )
        shown = firefox.run(
            f"{tab} const canvas = tab.querySelectorAll('.paper canvas')[1];"
            "return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 == 3)"
        )
        firefox.run(f"{tab} find('input[name=steps]').value = 2; find('form .primary').click()")
        firefox.wait(f"{tab} return find('.job[data-state=done]') && find('.results .tile')")
    finally:
        firefox.close()
    entry = server.state.history.get(server.state.history.rows()[0].id).described(live=False)
    number = entry["options"]["mask"].removeprefix("upload:")
    mask = np.array(Image.open(server.state.uploads.path(number))) > 0
    assert mask.any()
    assert np.array_equal(np.array(shown).reshape(28, 28) > 0, mask)
    before = np.array(Image.open(server.state.uploads.path(entry["options"]["image"].removeprefix("upload:"))))
    after = np.array(Image.open(server.state.history.file(entry["id"], "files/000000.png")))
    assert np.array_equal(after[~mask], before[~mask])


def element(firefox, selector):
    """A reference to an element of the page."""
    return firefox.send("WebDriver:FindElement", {"using": "css selector", "value": selector})
