"""What was made is in the window without scrolling, at the sizes of screens, and options have names for people."""

import pytest
from PIL import Image

import ancestral
from ancestral import data
from studio_client import studio
from studio_page import LABELS, SCREENS, studio_pages

pytestmark = pytest.mark.browser
UNSEEN = """elements => elements.filter(one => {
    const box = one.getBoundingClientRect();
    return box.width == 0 || box.top < 0 || box.left < 0 || box.bottom > innerHeight || box.right > innerWidth;
}).map(one => `${one.className} ${JSON.stringify(one.getBoundingClientRect())}`)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio-runs")
    ancestral.train(
        "digits", out=folder / "digits", steps=2, width=8, blocks=1, mults=(1, 2), batch_size=8, attention=(), seed=0
    )
    with studio(folder, out=tmp_path_factory.mktemp("studio")) as (server, _):
        yield server


@pytest.fixture(params=SCREENS, scope="module")
def page(request, chromium, server):
    width, height = SCREENS[request.param]
    scheme = "dark" if request.param in ("desktop", "phone") else "light"
    viewport = {"width": width, "height": height}
    with studio_pages(chromium, server, view="simple", viewport=viewport, color_scheme=scheme) as new:
        yield new()


def check_in_sight(page, *selectors):
    for selector in selectors:
        page.tab.locator(selector).first.wait_for()
        # the stage gives pictures their size in a later frame
        page.until(lambda selector=selector: page.tab.locator(selector).evaluate_all(UNSEEN), equals=[])


def check_labels(page):
    """No label begins with a dash, and no explanation is shown before it is asked for."""
    texts = page.page.locator(LABELS).all_inner_texts()
    assert not [text for text in texts if text.strip().startswith("-")]
    assert page.tab.locator(".help:visible").count() == 0


def test_samples_are_in_sight_with_their_controls(page):
    page.open("sample")
    page.set(n=16, steps=2)
    check_labels(page)
    page.start()
    page.until(lambda: page.tab.locator(".tile").count(), equals=16)
    check_in_sight(page, ".tile", "form button.primary")
    page.tab.locator(".tile").nth(3).click()
    check_in_sight(page, ".viewer-frame", ".viewer-pictures canvas:visible")
    page.page.keyboard.press("ArrowRight")
    page.tab.get_by_role("heading", name="Sample 4: 4").wait_for()
    page.page.keyboard.press("Escape")
    page.begin()
    page.until(lambda: page.tab.locator(".tile").count(), equals=16)  # those before stay while others are made
    page.tab.locator(".job[data-state=done]").wait_for()


def test_a_table_has_a_tile_for_each_cell(page):
    page.open("sample")
    page.set(n=1, steps=2)
    page.set_table(("guidance", "1, 2"), ("seed", "4, 5"))
    entry = page.start()
    assert entry["recipe"]["sweep"] == {"guidance": [1, 2], "seed": [4, 5]}
    texts = page.tab.locator(".tile-text")
    page.until(lambda: texts.all_text_contents()[-1:], equals=["guidance 2, seed 5"])
    check_in_sight(page, ".tile")
    page.tab.locator(".tile").last.click()
    page.tab.get_by_role("heading", name="Sample 3: guidance 2, seed 5").wait_for()
    page.page.keyboard.press("Escape")


def test_a_running_table_has_the_names_of_its_cells_and_its_stop_in_sight(page):
    page.open("sample")
    header = page.page.locator("header.top")
    before = header.bounding_box()["height"]
    page.set(n=1, steps=900)
    page.set_table(("seed", "4, 5"), ("guidance", "1:40:40"))
    page.begin()
    page.tab.locator(".tile-text", has_text="seed 4, guidance").first.wait_for(timeout=20_000)  # not those before
    page.page.evaluate("scrollTo(0, 0)")
    texts, state = page.tab.evaluate(
        """tab => [[...tab.querySelectorAll(".tile-text")].map(one => one.textContent),
            tab.querySelector(".job").dataset.state]"""
    )
    assert state == "running"
    assert texts == [f"seed {4 + cell % 2}, guidance {1 + cell // 2}" for cell in range(len(texts))]
    check_in_sight(page, ".job button.danger", ".job progress", ".film input[type=range]")
    assert header.bounding_box()["height"] == before
    page.tab.get_by_role("button", name="Stop now").click()
    page.tab.locator(".job[data-state=cancelled]").wait_for()


def test_an_edit_is_in_sight_with_its_image_before(page, tmp_path):
    picture = tmp_path / "digit.png"
    Image.fromarray(data.open("digits").items[7, 0].numpy()).save(picture)
    page.open("edit")
    page.tab.get_by_label("Image", exact=True).locator("input[type=file]").set_input_files(picture)
    page.tab.locator(".paper").wait_for()
    check_labels(page)
    page.page.evaluate("scrollTo(0, 0)")
    check_in_sight(page, ".paper")
    page.tab.locator(".paper").focus()
    for key in (" ", "ArrowRight", "ArrowRight", " "):
        page.page.keyboard.press(key)
    page.set(n=2, steps=2)
    page.start()
    check_in_sight(page, ".comparison .sheet")
