"""The site in headless Chromium, opened from the file system: `make docs` builds it, `make test-browser` runs this."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "site"
PAGES = sorted(SITE.rglob("*.html"))

pytestmark = pytest.mark.browser

LOOK = """() => ({
    wide: document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
    pictures: [...document.images].map(image => [image.src, image.alt, image.complete && image.naturalWidth > 0]),
    links: [...document.querySelectorAll("a[href]")].map(link => link.href),
    ids: [...document.querySelectorAll("[id]")].map(element => element.id),
    formulas: document.querySelectorAll(".arithmatex").length,
    rendered: document.querySelectorAll(".arithmatex .katex").length,
    errors: document.querySelectorAll(".katex-error").length,
    text: [...document.querySelectorAll("article :is(p, li, td, th, dd, h1, h2, h3, summary)")].filter(
        element => !element.querySelector(".arithmatex, code")).map(element => element.innerText).join("\\n"),
})"""
"""What a page shows, after its scripts and pictures have loaded."""
FORMULAS = """() => [...document.querySelectorAll(".arithmatex")].every(
    element => element.querySelector(".katex, .katex-error"))"""
"""Whether each formula of a page is rendered, or has an error."""
CODE = """() => [...document.querySelectorAll("article pre")].map(block => [block, ...block.children].filter(
    part => part.scrollWidth > part.clientWidth && part.clientWidth).map(part => part.textContent.slice(0, 80)))"""
"""The parts of each block of code that are wider than their column."""


@pytest.fixture(scope="module")
def looks(chromium):
    """What every page shows at 1280 and at 360 pixels, and the requests and console messages that it made."""
    found, requests, errors = {}, [], []
    for width in (1280, 360):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda request: requests.append(request.url))
        page.on("requestfailed", lambda r: r.failure == "net::ERR_ABORTED" or errors.append(f"{r.url}: {r.failure}"))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and errors.append(message.text))
        for path in PAGES:
            before = len(requests), len(errors)
            page.goto(path.as_uri())
            page.wait_for_function(FORMULAS)
            found[path, width] = page.evaluate(LOOK)
            found[path, width] |= {"requests": requests[before[0] :], "console": errors[before[1] :]}
            if width == 1280:
                page.set_viewport_size({"width": 1440, "height": 900})
                found[path, width]["code"] = page.evaluate(CODE)
                page.set_viewport_size({"width": 1280, "height": 900})
        page.close()
    return found


def test_the_site_is_built():
    assert (SITE / "index.html").is_file(), "make docs builds the site"
    assert len(PAGES) > 50


def test_no_page_reports_an_error_or_asks_for_anything_beside_files(looks):
    for (path, width), look in looks.items():
        assert not look["console"], (path, width, look["console"])
        assert all(url.startswith(("file:", "data:", "blob:")) for url in look["requests"]), (path, look["requests"])


def test_every_link_and_anchor_resolves(looks):
    ids = {path: set(look["ids"]) for (path, _), look in looks.items()}
    for (path, _), look in looks.items():
        for link in look["links"]:
            parts = urlsplit(link)
            if parts.scheme != "file":
                assert parts.scheme in ("https", "mailto"), (path, link)
                continue
            target = Path(unquote(parts.path))
            assert target.is_file(), (path, link)
            anchor = unquote(parts.fragment)
            playground = target.name in ("playground.html", "step.html")  # the page, and the frame in the lessons
            state = playground and anchor.startswith("view=")  # of the playground, not a place
            assert not anchor or anchor.startswith("__") or state or anchor in ids[target], (path, link)


def test_every_picture_is_loaded_and_described(looks):
    assert sum(len(look["pictures"]) for look in looks.values()) > 20
    for (path, _), look in looks.items():
        for source, text, loaded in look["pictures"]:
            assert loaded, (path, source)
            assert text, (path, source)


def test_every_formula_is_rendered(looks):
    assert sum(look["rendered"] for look in looks.values()) > 100
    for (path, _), look in looks.items():
        assert look["rendered"] == look["formulas"], path
        assert not look["errors"], path
        raw = re.findall(r"\\\(|\\\[|\$\$|\\frac|\\sqrt", look["text"])
        assert not raw, (path, raw)


def test_no_page_scrolls_sideways_on_a_phone(looks):
    for (path, width), look in looks.items():
        assert look["wide"] <= 0, (path, width, look["wide"])


@pytest.mark.parametrize("width", [1280, 360])
def test_the_search_works_from_the_file_system(chromium, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto((SITE / "index.html").as_uri())
    if width < 960:
        page.locator(".md-header__button[for=__search]").click()
    page.locator("input.md-search__input").press_sequentially("out of memory")
    result = page.locator(".md-search-result__link", has_text="Out of memory").first
    result.wait_for(state="visible")
    result.click()
    page.wait_for_url("**/how-to/out-of-memory.html*")
    page.close()


def test_an_option_is_found_with_its_dashes(chromium):
    """The search engine would take them as "without this word"."""
    page = chromium.new_page()
    page.goto((SITE / "index.html").as_uri())
    page.locator("input.md-search__input").press_sequentially("--zero-terminal-snr")
    page.locator(".md-search-result__link[href*='reference/config.html']").first.wait_for(state="visible")
    page.close()


def test_the_palette_changes_by_the_button_and_follows_the_system(chromium):
    page = chromium.new_page(color_scheme="dark")
    page.goto((SITE / "index.html").as_uri())
    page.locator("body[data-md-color-scheme=slate]").wait_for()
    page.locator("header label[title='Light mode']").click()
    page.locator("body[data-md-color-scheme=default]").wait_for()
    page.close()


def test_the_search_index_has_the_pages_of_lessons_reference_and_commands():
    index = json.loads((SITE / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert "learn/01_ddpm_from_scratch.html" in places
    assert "reference/command-line.html#ancestral-train" in places
    assert "reference/api.html#ancestral.faces.python.train" in places


def test_the_trained_network_of_the_playground_samples(chromium):
    """In its frame, from the file system, when the reader has scrolled there."""
    page = chromium.new_page()
    page.goto((SITE / "playground.html").as_uri())
    page.locator(".pg-model").scroll_into_view_if_needed()
    frame = page.frame_locator(".pg-model")
    frame.locator("#status", has_text="16 samples in").wait_for()
    assert frame.locator(".tile").count() == 16
    page.close()


def test_code_fits_its_column_on_a_wide_screen(looks):
    blocks = [(path, wide) for (path, _), look in looks.items() for wide in look.get("code", ())]
    assert len(blocks) > 300
    assert not [block for block in blocks if block[1]]


@pytest.mark.parametrize(
    ("lesson", "view"),
    [("02", "forward"), ("03", "field"), ("05", "field"), ("06", "compare"), ("07", "paths"), ("09", "network")],
)
def test_a_lesson_shows_the_step_of_its_subject(chromium, lesson, view):
    """In a frame that is loaded when the reader comes near, in the palette of the site."""
    page, errors = chromium.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce"), []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(next((SITE / "learn").glob(f"{lesson}_*.html")).as_uri())
    frame = page.locator("iframe.pg-lesson")
    assert frame.get_attribute("loading") == "lazy"
    frame.scroll_into_view_if_needed()
    inside = page.frame_locator("iframe.pg-lesson")
    inside.locator(f".pg[data-step={view}]").wait_for()
    inside.locator(".pg-canvas:not([aria-label='The playground is being prepared.'])").wait_for()
    assert not inside.locator(".pg-views").is_visible()
    page.evaluate("document.body.dataset.mdColorScheme = 'slate'")
    inside.locator("body[data-md-color-scheme=slate]").wait_for()
    assert f"view={view}" in page.locator(".pg-lesson-link a").get_attribute("href")
    assert errors == []
    page.close()
