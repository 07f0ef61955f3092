"""The studio in Chromium: data, training, evaluation, comparison and history, as a user goes through them."""

import re
import shutil

import pytest

from studio_client import studio
from studio_page import CONTRAST, UNNAMED, until

pytestmark = pytest.mark.browser

SMALL = {"width": 16, "log_every": 5, "threads": 1, "snapshots": 0}
LONG = 240
"""Longest time in seconds that a test waits for steps of a training."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The working folder of a studio: it names runs, and a folder of data with names that are HTML."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("studio")
    (folder / "runs").mkdir()
    for label, value in (("<img src=x onerror=alert(1)>", 40), ("light", 200)):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(6):
            Image.effect_noise((8, 8), 20 + number).point(lambda v, value=value: (v + value) // 2).save(
                folder / "photos" / label / f"{number}.png"
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        with studio(folder / "runs", folder / "photos", out=folder / "runs" / "studio") as (server, client):
            yield folder, f"http://127.0.0.1:{server.port}/", client


@pytest.fixture
def visit(chromium, place):
    """Opens a page of the studio. In the end: nothing was complained of, and no request went to another host."""
    contexts, complaints, requests = [], [], []

    def call(hash="", **options):
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options}))
        tokens = place[2].another().cookies
        contexts[-1].add_cookies([{"name": name, "value": text, "url": place[1]} for name, text in tokens.items()])
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(place[1] + hash)
        return page

    yield call
    for context in contexts:
        context.close()
    # Playwright looks into frames by scripts of its own, which a report does not run either
    assert [text for text in complaints if not re.match(r"Blocked script execution in '\S+/report.html", text)] == []
    assert [url for url in requests if not url.startswith((place[1], "blob:", "data:"))] == []


def option(page, name):
    """The control of an option in the tab that is shown."""
    return page.locator(f'section:not([hidden]) [data-option="{name}"]').locator("input, select, textarea").first


def step_of(page):
    """The step that the facts of the open run name."""
    text = page.locator('[data-tab="train"] p[role="status"].number').first.inner_text()
    match = re.match(r"step ([\d,]+) of", text)
    return int(match[1].replace(",", "")) if match else -1


def state_of(page):
    return page.locator('[data-tab="train"] h2 + .badge').inner_text()


FOCUS = """() => {
    const { id, name, tagName, textContent } = document.activeElement;
    return id || (tagName === "BODY" ? "nothing" : textContent || name);
}"""
"""Name of the element that has the focus: its id, its text or its option."""
KEYS = "() => { window.keys = 0; addEventListener('keydown', () => { window.keys++; }, true); }"


def press_first(page, key):
    """Press the first key on a page, again only if the browser did not deliver it: the page got no event of it."""
    until(page, lambda: page.evaluate("document.hasFocus()"))
    page.evaluate(KEYS)

    def arrived():
        page.keyboard.press(key)
        return page.evaluate("window.keys")

    assert until(page, arrived) == 1


def test_a_run_is_trained_watched_stopped_resumed_and_measured(visit, place):
    folder, _, client = place
    page = visit("#train/new")
    # by the keyboard alone: past the tabs to the form, the options by their names, and Enter in a field starts
    page.wait_for_selector('[data-option="config"]')
    press_first(page, "Tab")
    until(page, lambda: page.evaluate(FOCUS), equals="skip")
    page.keyboard.press("Enter")
    until(page, lambda: page.evaluate(FOCUS), equals="main")
    for name in ("New run", "Clear", "config"):
        page.keyboard.press("Tab")
        focus = "document.activeElement.textContent || document.activeElement.name"
        until(page, lambda focus=focus: page.evaluate(focus), equals=name)
    page.keyboard.type("digits")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('[data-option=steps] input').placeholder === '2400'")
    for name in ("steps", *SMALL):
        for _ in range(200):
            if page.evaluate("document.activeElement.name") == name:
                break
            if page.evaluate(
                "document.activeElement.tagName === 'SUMMARY' && !document.activeElement.parentElement.open"
            ):
                page.keyboard.press("Enter")
            page.keyboard.press("Tab")
        page.keyboard.type(str({"steps": 200, **SMALL}[name]))
    line = page.locator('[data-tab="train"] .command')
    command = "ancestral train digits --width 16 --steps 200 --threads 1 --snapshots 0 --log-every 5"
    until(page, line.inner_text, equals=command)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"#train/[0-9a-f]{16}$"))
    run = page.url.rpartition("/")[2]
    # the curve grows
    readout = page.locator('[data-tab="train"] .readout')
    until(page, lambda: state_of(page) == "training" and step_of(page) >= 10, seconds=LONG)
    first = until(page, lambda: re.match(r"step [\d,]+: loss 0\.\d+", readout.inner_text()))[0]
    until(page, lambda: not readout.inner_text().startswith(first))
    page.get_by_role("button", name="Stop").click()
    until(page, lambda: state_of(page), equals="stopped")
    stopped = until(page, lambda: step_of(page))
    assert 10 <= stopped < 200
    page.reload()
    until(page, lambda: (state_of(page), step_of(page)), equals=("stopped", stopped))
    page.get_by_role("button", name="Resume").click()
    until(page, lambda: (state_of(page), step_of(page)), equals=("finished", 200), seconds=LONG)
    assert (folder / "runs" / "digits" / "model.safetensors").exists()
    # values of the curve by the arrow keys: the first row of the log
    rows = client.get(f"/api/runs/{run}/live").json["log"]
    page.locator('[data-tab="train"] canvas.chart').focus()
    page.keyboard.press("Home")
    until(page, readout.inner_text, equals=f"step {rows[0][0]:.0f}: loss {rows[0][1]:.4g}")
    # the previews by the slider
    steps = [one["step"] for one in client.get(f"/api/runs/{run}/live").json["previews"]]
    before, last = len(steps) - 1, len(steps)  # a stop while a preview is sampled leaves that one out
    assert steps[-2:] == [100, 200]
    slider = page.get_by_label("Step of the preview")
    until(page, page.locator(".caption").inner_text, equals=f"step 200 ({last} of {last})")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".caption").inner_text() == f"step 100 ({before} of {last})"
    assert "000100.png" in page.locator(".previews img").get_attribute("src")
    assert page.locator(".previews img").evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    page.get_by_role("button", name="Play").click()
    until(page, page.locator(".caption").inner_text, equals=f"step 200 ({last} of {last})")
    # measured, in the place that the link leads to
    page.get_by_role("link", name="Evaluate", exact=True).last.click()
    page.wait_for_selector('[data-tab="evaluate"] [data-option="samples"]')
    option(page, "samples").fill("24")
    page.locator('[data-tab="evaluate"] input[data-choice="frechet"]').check()
    page.locator('[data-tab="evaluate"] summary', has_text="options").click()
    option(page, "extractor").fill("pixels")
    page.get_by_role("button", name="Evaluate").click()
    results = page.get_by_role("region", name="Results")
    results.wait_for()
    until(page, lambda: re.search(r"FD-pixels\s+[\d.]+ ± [\d.]+", results.inner_text()))
    # beside another run, and compared with it
    shutil.copytree(folder / "runs" / "digits", folder / "runs" / "copy")
    page.goto(f"{place[1]}#train/{run}")
    page.get_by_label("Beside: copy").check()
    until(page, lambda: page.locator(".previews figure").count(), equals=2)
    until(page, lambda: "copy" in page.locator('[data-tab="train"] .legend').inner_text())
    page.goto(f"{place[1]}#compare")
    runs = len([one for one in client.get("/api/overview").json["runs"] if one["has_model"]])
    until(page, lambda: page.locator(".compared input").count(), equals=runs)
    for box in page.locator(".compared input").all():
        box.check()
    option(page, "samples").fill("24")
    page.locator('[data-tab="compare"] input[data-choice="frechet"]').check()
    page.locator('[data-tab="compare"] summary', has_text="options").click()
    option(page, "extractor").fill("pixels")
    page.get_by_role("button", name="Compare").click()
    comparison = page.get_by_role("region", name="Comparison")
    comparison.wait_for()
    until(page, lambda: re.search(r"FD-pixels\s+[\d.]+ ± [\d.]+\s+[\d.]+ ± [\d.]+", comparison.inner_text()))


def test_the_report_of_a_run_opens_inside(visit, place, tiny_run):
    """In a frame of an origin of its own, without scripts; Escape closes it, and the focus is where it was."""
    folder, _, client = place
    if not (folder / "runs" / "tiny").exists():
        shutil.copytree(tiny_run.path, folder / "runs" / "tiny")
    page_text = "<!doctype html><title>r</title><h1>Digits</h1><a id=full href='#full'>larger</a>"
    (folder / "runs" / "tiny" / "report.html").write_text(page_text, encoding="utf-8")
    run = next(one for one in client.get("/api/overview").json["runs"] if one["name"] == "tiny")["id"]
    page = visit(f"#train/{run}")
    page.get_by_role("button", name="Report").click()
    dialog = page.get_by_role("dialog", name="Report of tiny")
    report = dialog.frame_locator("iframe")
    report.locator("h1", has_text="Digits").wait_for()
    assert dialog.locator("iframe").get_attribute("sandbox") == ""
    assert report.locator("h1").evaluate("() => self.origin") == "null"
    report.locator("a").click()
    until(page, lambda: report.locator("a:target").count(), equals=1)
    tab = dialog.get_by_role("link", name="Open in a tab")
    assert tab.get_attribute("href").startswith(f"/files/runs/{run}/report.html?")
    assert dialog.evaluate("one => one.scrollHeight <= one.clientHeight + 1")
    page.get_by_role("button", name="Close").click()
    until(page, lambda: page.evaluate("document.activeElement.textContent"), equals="Report")
    until(page, lambda: page.get_by_role("dialog").count(), equals=0)


CONTENT = {
    "data?source=digits": "section[aria-label=Facts]",
    "train/new": "[data-option=config]",
    "train": "p[role=status].number:text('step 6 of 6')",
    "evaluate": "[data-option=samples]",
    "compare": ".compared input",
    "history": ":is(.made > *, .empty):visible",
}
"""What each tab shows once the server has answered."""


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (360, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.long),
        pytest.param(360, "light", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("tab", CONTENT)
def test_the_tabs_can_be_read_and_used(visit, place, tiny_run, tab, width, scheme):
    """Contrast AA, a name for each control, and nothing wider than the page."""
    folder, _, client = place
    if not (folder / "runs" / "tiny").exists():
        shutil.copytree(tiny_run.path, folder / "runs" / "tiny")
    run = next(one for one in client.get("/api/overview").json["runs"] if one["name"] == "tiny")["id"]
    page = visit(
        f"#{tab}/{run}" if tab in ("train", "evaluate") else f"#{tab}",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    page.locator("main section:not([hidden]) h1").wait_for()
    page.locator(f"main section:not([hidden]) {CONTENT[tab]}").first.wait_for()
    page.wait_for_load_state("networkidle")
    until(page, lambda: page.evaluate(CONTRAST), equals=[])
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
