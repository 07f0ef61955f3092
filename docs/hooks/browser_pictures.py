"""Draw the pictures of the how-to pages of the studio and of the page: drives both in headless Chromium.

    python docs/hooks/browser_pictures.py RUN

RUN is the folder of a trained model of digits, as `make demo` makes it. The pictures replace those in docs/images.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import ancestral
from ancestral import data

IMAGES = Path(__file__).parents[1] / "images"
VIEWPORT = {"width": 1280, "height": 860}
COLOURS = 128
"""Number of colours of a picture: the pages stay small."""


@contextlib.contextmanager
def studio(folder: Path) -> Iterator[str]:
    """Start a studio over the runs of a folder, and give its address with the token."""
    command = [sys.executable, "-m", "ancestral", "studio", "runs", "--port", "0", "--no-open"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if "http://" in line)
            yield "http://" + line.partition("http://")[2].partition(";")[0]
        finally:
            process.terminate()


def picture(page: Page, name: str) -> None:
    """Write what the page shows as a picture of few colours."""
    page.wait_for_timeout(600)  # a toast, or a picture that is still being drawn
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def train(page: Page, address: str) -> None:
    """Train for some steps, and look at the curves of two runs."""
    page.goto(f"{address}/#train/new")
    tab = page.locator("section[data-tab=train]")
    for name, value in {"config": "digits", "steps": "400", "lr": "0.001", "out": "runs/slower"}.items():
        tab.locator(f"[data-option={name}] input").first.fill(value)
    tab.get_by_role("button", name="Start training").click()
    tab.get_by_label("Beside: demo").check()
    tab.get_by_text("step 250").first.wait_for(timeout=300_000)
    picture(page, "studio-train")
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_text("stopped").first.wait_for(timeout=60_000)


def sample(page: Page, address: str) -> None:
    """Sample, go back in time, and choose a sample."""
    page.goto(f"{address}/#sample")
    tab = page.locator("section[data-tab=sample]")
    tab.locator("[data-option=n] input").wait_for()
    for name, value in {"n": "20", "seed": "7"}.items():
        tab.locator(f"[data-option={name}] input[name={name}]").fill(value)
    tab.locator("[data-option=guidance] input[type=number]").fill("2")
    tab.locator("form button.primary").click()
    tab.locator(".job[data-state=done]").wait_for(timeout=120_000)
    tab.get_by_role("button", name="States and estimates").click()
    slider = tab.get_by_label("Step", exact=True)
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    picture(page, "studio-sample")


def edit(page: Page, address: str, digit: Path) -> None:
    """Paint a mask over a digit, and sample what it hides."""
    page.goto(f"{address}/#edit")
    tab = page.locator("section[data-tab=edit]")
    tab.get_by_label("Image", exact=True).locator("input[type=file]").set_input_files(digit)
    paper = tab.locator(".paper")
    paper.wait_for()
    tab.get_by_label("Brush size").fill("5")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    assert box is not None
    places = [(8, 17), (14, 19), (20, 18), (21, 22), (12, 23)]
    for number, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"] / 28, box["y"] + y * box["height"] / 28)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    tab.locator("form button.primary").click()
    tab.locator(".job[data-state=done]").wait_for(timeout=120_000)
    picture(page, "studio-edit")


def page_of_model(page: Page, run: Path) -> None:
    """Export a model as a page, and sample in it."""
    page.goto(ancestral.export(run, to="html", progress=False).as_uri())
    page.get_by_text("16 samples in").wait_for(timeout=120_000)
    picture(page, "page")


def main(run: Path) -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        shutil.copytree(run, folder / "runs" / "demo")
        digit = folder / "digit.png"
        Image.fromarray(data.open("digits").items[2507, 0].numpy()).save(digit)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEWPORT)
        page.add_init_script("localStorage['ancestral-preferences'] ??= JSON.stringify({ view: 'full' })")
        with studio(folder) as whole_address:
            page.goto(whole_address)
            address = whole_address.partition("/?")[0]
            sample(page, address)
            edit(page, address, digit)
            train(page, address)
        page_of_model(page, folder / "runs" / "demo")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
