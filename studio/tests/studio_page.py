"""A page of the studio in Chromium that must stay quiet: no error in the console, no request to another host."""

import base64
import contextlib
import inspect
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = "section:not([hidden]) :is(label, legend, button, summary, h2, h3, h4)"
SCREENS = {"laptop": (1440, 900), "desktop": (1920, 1080), "tablet": (1024, 768), "phone": (390, 844)}
CONTRAST = """() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, below) => below.map((value, index) => index < 3 ? top[3] * top[index] + (1 - top[3]) * value : 1);
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, index) => sum + v * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = element => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
    const shown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!text || !shown || element.disabled || element.matches('option, script, style')) continue;
    const style = getComputedStyle(element), below = ground(element), ink = over(parse(style.color), below);
    const [low, high] = [light(below), light(ink)].sort((a, b) => a - b), ratio = (high + 0.05) / (low + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""The texts of the page with less contrast than level AA of WCAG asks for."""
UNNAMED = """() => [...document.querySelectorAll('button, a, input, select, textarea')]
  .filter(one => one.checkVisibility() && !one.closest('[aria-hidden=true]'))
  .filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
  .filter(one => !one.querySelector('img')?.alt)
  .map(one => one.outerHTML)"""
"""The controls of the page without an accessible name."""
STILL = """async one => {
    for (let still = 0, before = ""; still < 5; ) {
        await new Promise(requestAnimationFrame);
        const now = JSON.stringify([one.getBoundingClientRect(), document.body.scrollHeight]);
        still = now === before ? still + 1 : 0;
        before = now;
    }
}"""
"""Wait until a page that is being drawn keeps the place of an element for five frames."""
SECONDS = 60
"""Longest time that a test waits for a state of the page or the server."""
ANYTHING = object()


def until(page, condition, equals=ANYTHING, *, seconds=SECONDS):
    """Wait until a function returns something true or, where `equals` is given, a value equal to that.

    Args:
        page: A page of Playwright, which goes on while the test waits.
        condition: The function, without arguments.
        equals: The expected value: an array of NumPy, or anything that `==` compares.
        seconds: The longest time to wait.

    Returns:
        The value.

    Raises:
        AssertionError: The state did not come; with the last value and the source of the function.
    """

    def came(value):
        if equals is ANYTHING:
            return bool(value)
        return np.array_equal(value, equals) if isinstance(equals, np.ndarray) else value == equals

    end = time.monotonic() + seconds
    while not came(value := condition()):
        if time.monotonic() > end:
            wanted = "a true value" if equals is ANYTHING else repr(equals)
            source = inspect.getsource(condition).strip()
            raise AssertionError(f"waited {seconds} s for {wanted}, the last value is {value!r}: {source}")
        page.wait_for_timeout(50)
    return value


class StudioPage:
    """A page of a studio, with what the tests of its tabs share.

    Args:
        context: The context of the browser.
        server: The studio.
    """

    def __init__(self, context, server):
        self.server = server
        self.page = context.new_page()
        self.faults = []
        self.expected = ["Canvas2D: Multiple readback"]
        """Parts of lines in the console that a test provokes; reading many tiles is such a thing."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message):
        if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
            self.faults.append(message.text)

    def _asked(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"a request to {request.url}")

    @property
    def address(self):
        return self.server.address.partition("/?")[0]

    def open(self, tab):
        """Show a tab, once its controls are there."""
        self.page.goto(f"{self.address}/#{tab}")
        self.tab = self.page.locator(f"section[data-tab={tab.partition('/')[0].partition('?')[0]}]")
        self.field("seed").wait_for()
        return self

    def follow(self, tab):
        """Look at another tab, which the page opened."""
        self.tab = self.page.locator(f"section[data-tab={tab}]")
        self.field("seed").wait_for()

    def field(self, name):
        return self.tab.locator(f"[data-option={name}] input[name={name}]")

    def set(self, **values):
        for name, value in values.items():
            place = self.tab.locator(f"[data-option={name}]")
            place.evaluate("one => { const fold = one.closest('details'); if (fold) fold.open = true; }")
            if name in ("sampler", "method"):
                place.locator("select").select_option(value)
            elif name == "guidance":
                place.locator("input[type=number]").fill(str(value))
            else:
                self.field(name).fill(str(value))

    def set_table(self, columns, rows):
        """Choose the columns and the rows of a table, (name, values) each; the seed is not given beside them."""
        self.tab.locator("[data-option=sweep]").evaluate("one => { one.closest('details').open = true; }")
        for option, (name, values) in (("sweep", columns), ("by", rows)):
            place = self.tab.locator(f"[data-option={option}]")
            place.locator("select").select_option(name)
            place.get_by_label("Values of").fill(values)
        self.field("seed").fill("")

    def values(self, *names):
        return {name: self.field(name).input_value() for name in names}

    def start(self):
        """Press the button, and wait for the end of the job. Return the entry in the history."""
        self.begin()
        return self.end()

    def begin(self):
        before = self.tab.locator(".job").get_attribute("data-job")
        self.tab.locator("form button.primary").click()
        self.tab.locator(f".job[data-job]:not([data-job='{before}'])").wait_for()

    def until(self, condition, equals=ANYTHING, *, seconds=SECONDS):
        """Wait for a state of the page or the server, and return it: see the function `until`."""
        return until(self.page, condition, equals, seconds=seconds)

    def still(self, locator):
        """Wait until an element keeps its place, and return its bounding box."""
        locator.evaluate(STILL)
        return locator.bounding_box()

    def end(self, state="done"):
        self.tab.locator(f".job[data-state={state}]").wait_for()
        return self.get(f"/api/history/{self.tab.locator('.job').get_attribute('data-job')}")

    def get(self, path):
        return self.page.request.get(self.address + path).json()

    def file(self, url):
        return self.page.request.get(self.address + url).body()

    def pixels(self, url):
        return np.array(Image.open(io.BytesIO(self.file(url))))

    def samples(self, entry):
        """The pixels of the single samples of an entry."""
        files = [file for file in entry["files"] if len(file["name"]) == 10 and file["name"][:6].isdecimal()]
        return [self.pixels(file["url"]) for file in files]

    def drop(self, path, target=None):
        """Drop a file on an element of the tab, by default beside all others."""
        content = base64.b64encode(Path(path).read_bytes()).decode()
        (target or self.tab).evaluate(
            """(element, [content, name]) => {
                const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
                element.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
            }""",
            [content, Path(path).name],
        )

    def toast(self, text):
        """Wait for a message that has a text."""
        self.page.locator(".toast", has_text=text).first.wait_for()


@contextlib.contextmanager
def studio_pages(chromium, server, view="full", **options):
    """Open pages of a studio in one context, as a function; none of them may complain. `view` is simple or full."""
    context = chromium.new_context(**options)
    # a page inside the studio has no storage of it
    choice = f"localStorage['ancestral-preferences'] ??= JSON.stringify({{ view: '{view}' }})"
    context.add_init_script(f"if (window === top) {choice}")
    context.request.get(server.address)  # keeps the token in a cookie
    pages = []

    def new():
        pages.append(StudioPage(context, server))
        return pages[-1]

    yield new
    context.close()
    faults = [fault for page in pages for fault in page.faults]
    assert not faults, faults
