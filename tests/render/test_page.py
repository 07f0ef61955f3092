"""report.html: it holds what the run folder holds, needs nothing else, and never stands in a training's way."""

import base64
import dataclasses
import hashlib
import io
import math
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ancestral.config import presets
from ancestral.render.html_report import GRIDS_SHOWN, DataFacts, RunFacts, write_report
from ancestral.render.plots import CHART_HEIGHT, CHART_WIDTH, TOP, svg_plot
from ancestral.training import Trainer
from ancestral.use_cases.training import training_previews
from ancestral.use_cases.training.run_report import RunReport
from test_training import progress
from tiny_models import begun, stripes, tiny_config

VOID = {"meta", "img", "br", "line", "path", "circle", "link"}


class Read(HTMLParser):
    """The text, the tags and the attributes of a page; fails where tags are not closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.attributes, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self._open.pop() == tag, tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def pictures(self):
        """The pictures of the page, decoded."""
        uris = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        return [Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for uri in uris]


def read(path, training=False):
    """A page, which is checked to need nothing but itself, and to have a script only while the run trains."""
    text = path.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert not re.search(r"url\(|@import|javascript:", text)
    page = Read(text)
    assert ("script" in page.tags) == ("script-src" in text) == training
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert name not in ("srcset", "action", "data"), (tag, name)
        assert name != "href" or value.startswith("#"), value
        assert not name.startswith("on"), (tag, name)
        assert name != "src" or value.startswith("data:image/"), value
    return page


def about(**changes):
    facts = DataFacts("stripes", {"items": "40 of 1x8x8"}, {"a": 30, "b": 10})
    return dataclasses.replace(RunFacts(6, 6, "A net.", 100.0, 1234, facts, {"Python": "3"}), **changes)


# -- contents ---------------------------------------------------------------------------------------------------------


def test_numbers_come_from_the_log(tmp_path):
    folder = begun(tmp_path / "run")
    for step in (50, 100):
        folder.append_log(dataclasses.replace(progress(step, 0.5), images_per_second=4321.0))
    folder.append_log(progress(150, 0.123456))
    page = read(write_report(folder.path, about()))
    assert "loss 0.1235" in page.text
    assert "images per second 99" in page.text
    assert "876-1000" in page.text  # of the last of eight parts of T
    assert page.tags.count("svg") == 5
    assert "step 6 of 6" in page.text
    assert "time trained 1.7 minutes" in page.text


def test_a_log_of_one_line_one_cut_short_and_one_with_nan(tmp_path):
    folder = begun(tmp_path / "run")
    folder.append_log(dataclasses.replace(progress(50, 0.25), gradient_norm=math.nan, by_time=(math.nan,) * 8))
    with folder.log.open("a") as file:
        file.write("100,0.1")
    page = read(write_report(folder.path, about()))
    assert "loss 0.25" in page.text
    assert page.tags.count("svg") == 3  # no gradient, no loss by time
    folder.log.write_bytes(b"\xff\xfe,,\n" * 3)
    assert "No step has been logged yet." in read(write_report(folder.path, about())).text
    folder.log.write_text("")
    assert "No step has been logged yet." in read(write_report(folder.path, about())).text


def test_a_run_that_has_only_begun(tmp_path):
    text = read(write_report(begun(tmp_path / "run").path, about(step=0))).text
    assert "No step has been logged yet." in text
    assert "There are no samples yet." in text
    assert "From noise to samples" not in text
    (tmp_path / "empty").mkdir()
    assert "There are no samples yet." in read(write_report(tmp_path / "empty", about())).text


def test_what_differs_from_the_preset_is_marked(tmp_path):
    base = presets.preset("digits")
    config = dataclasses.replace(base, train=dataclasses.replace(base.train, lr=0.125))
    text = write_report(begun(tmp_path / "run", config).path, about()).read_text()
    marked = re.findall(r'<tr class="changed"><th>(.*?)</th><td>(.*?)</td>', text)
    assert marked == [("lr", "0.125<small>preset: 0.002</small>")]
    assert "<th>batch-size</th><td>32</td>" in text


def test_all_that_the_user_names_is_escaped(tmp_path):
    evil = '<script>alert("1")</script>'
    base = presets.preset("digits")
    config = dataclasses.replace(base, data=dataclasses.replace(base.data, source=evil))
    folder = begun(tmp_path / "<img src=x onerror=y>", config)
    folder.append_notes(3, [evil])
    facts = DataFacts(evil, {evil: evil}, {evil: 1}, [("warning", evil, evil)])
    page = read(write_report(folder.path, about(sentence=evil, data=facts, environment={"command": evil})))
    assert page.words.count(evil) >= 6
    assert f"step 3: {evil}" in page.text


def test_grids_stand_in_order_and_the_last_is_large(tmp_path):
    folder = begun(tmp_path / "run")
    folder.samples.mkdir()
    steps = range(900, 100_900, 5000)
    for step in steps:
        Image.new("RGB", (900, 450), (step // 1000, 0, 0)).save(folder.samples / f"{step:06d}.png")
    Image.new("RGB", (900, 450)).save(folder.samples / "seed0.png")  # drawn by hand
    page = read(write_report(folder.path, about()))
    texts = re.findall(r"step ([\d,]+)", " ".join(page.words))[2:]  # the first two are of the title
    grid_steps = [int(text.replace(",", "")) for text in texts]
    assert len(grid_steps) == GRIDS_SHOWN == len(page.pictures)
    assert grid_steps == sorted(grid_steps)
    assert (grid_steps[0], grid_steps[-1]) == (steps[0], steps[-1])
    assert page.pictures[-1].size == (900, 450)
    assert {picture.size for picture in page.pictures[:-1]} == {(900, 450)}
    reds = [np.asarray(picture)[..., 0].mean() for picture in page.pictures]
    assert np.allclose(reds, [step // 1000 for step in grid_steps], atol=3)


def test_a_damaged_grid_is_left_out(tmp_path):
    folder = begun(tmp_path / "run")
    folder.samples.mkdir()
    Image.new("RGB", (30, 30)).save(folder.samples / "000001.png")
    (folder.samples / "000002.png").write_bytes((folder.samples / "000001.png").read_bytes()[:40])
    (folder.samples / "000003.png").write_text("nothing")
    assert len(read(write_report(folder.path, about())).pictures) == 1


# -- plots ------------------------------------------------------------------------------------------------------------


def coordinates(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path)[1:]]


def test_a_curve_lies_where_its_ticks_say():
    drawn = svg_plot("p", [0, 50, 100], {"a": [0.0, 30.0, 20.0]})
    (line,) = drawn.lines
    x, y = ({text: place for place, text in ticks} for ticks in (drawn.x_ticks, drawn.y_ticks))
    assert coordinates(line.path) == [(x["0"], y["0"]), (x["50"], y["30"]),
                                      (x["100"], y["20"])]  # fmt: skip
    assert drawn.last == "20"
    logarithmic = svg_plot("p", [1, 2, 3], {"a": [0.01, 0.1, 1.0]}, logarithmic=True)
    places = [place for place, text in logarithmic.y_ticks if text in ("0.01", "0.1", "1")]
    assert [y for _, y in coordinates(logarithmic.lines[0].path)] == pytest.approx(places)
    assert places[0] - places[1] == pytest.approx(places[1] - places[2])


@pytest.mark.parametrize("values", [[0.3, 0.2, 0.1], [0.105, 0.1], [0.1], [2.0, 0.9, 0.03]])
def test_an_axis_of_losses_is_logarithmic_in_any_range(values):
    drawn = svg_plot("loss", list(range(1, len(values) + 1)), {"a": values}, logarithmic=True)
    ticks = [(float(text), place) for place, text in drawn.y_ticks]
    assert len(ticks) >= 2
    (first, y_first), (last, y_last) = ticks[0], ticks[-1]
    slope = (y_last - y_first) / math.log(last / first)
    places = [y_first + slope * math.log(value / first) for value in values]
    assert [y for _, y in coordinates(drawn.lines[0].path)] == pytest.approx(places, abs=0.2)


def test_a_loss_of_zero_has_a_linear_axis():
    drawn = svg_plot("loss", [1, 2, 3], {"a": [1.0, 0.5, 0.0]}, logarithmic=True)
    (_, first), (_, middle), (_, last) = coordinates(drawn.lines[0].path)
    assert middle == pytest.approx((first + last) / 2)


@pytest.mark.parametrize("values", [[3.0], [0.0], [-2.0], [1e-9, 1e9], [5.0, 5.0], [0.0, math.nan, 1e-12]])
def test_any_values_stay_in_the_box(values):
    drawn = svg_plot("p", list(range(len(values))), {"a": values}, logarithmic=True)
    for a, b in coordinates(drawn.lines[0].path):
        assert 0 <= a <= CHART_WIDTH
        assert 0 <= b <= CHART_HEIGHT
    assert 1 <= len(drawn.y_ticks) <= 8


def test_gaps_break_a_line_and_a_long_one_keeps_its_outliers():
    assert svg_plot("p", [1, 2, 3, 4], {"a": [1.0, math.nan, 2.0, math.inf]}).lines[0].path.count("M") == 2
    assert svg_plot("p", [1], {"a": [math.nan]}) is None
    values = [1.0] * 100_000
    values[54_321] = 7.0
    drawn = svg_plot("p", list(range(100_000)), {"a": values})
    path = drawn.lines[0].path
    assert len(path) < 10_000
    assert min(b for _, b in coordinates(path)) == TOP  # the outlier is the highest point of the box


# -- trainings --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(training_previews, "PREVIEW_STEPS", 2)
    monkeypatch.setattr(training_previews, "LAST_PREVIEW_STEPS", 3)


TINY = ["--width", "16", "--mults", "1", "2", "--blocks", "1", "--batch-size", "4", "--trackers", "none"]


@pytest.mark.long
def test_a_training_of_digits_leaves_its_page(tmp_path, run, quick, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["ancestral", "train", "digits"])
    text = run("train", "digits", *TINY, "--steps", "4", "--sample-every", "2", "--log-every", "1", "--out", out)
    assert f"Look at {out / 'report.html'} and {out / 'samples' / '000004.png'}" in text
    page = read(out / "report.html")
    assert len(page.pictures) == 4  # two grids, the film strip, the data
    for part in ("step 4 of 4", "in 10 classes", "5,000 of 1x28x28", "predicts the clean item", "cosine schedule",
                 "PyTorch 2.",
                 "500", "From noise to samples", "precision", "command ancestral"):  # fmt: skip
        assert part in page.text, part
    assert (out / "report.html").stat().st_size < 1_000_000
    # each picture opens at full size by a link that the keyboard reaches
    names = [value for tag, name, value in page.attributes if (tag, name) == ("a", "id")]
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert names == ["full-2", "full-4", "full-film", "full-data"]
    assert links == [link for name in names for link in (f"#{name}", "#closed")]
    with Image.open(out / "samples" / "000002.png") as grid:
        assert page.pictures[0].size == grid.size


@pytest.mark.parametrize("shape", [(2, 16), (1, 8, 8, 8)], ids=["signals", "volumes"])
def test_other_data_have_pages_too(tmp_path, run, quick, shape):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "data.npy", rng.random((12, *shape), dtype=np.float32))
    out = tmp_path / "run"
    run("train", "--data", tmp_path / "data.npy", "--dims", len(shape) - 1, *TINY, "--steps", "1", "--out", out)
    page = read(out / "report.html")
    assert len(page.pictures) == 3
    assert f"12 of {'x'.join(map(str, shape))}" in page.text


def test_a_page_refreshes_itself_while_the_run_trains(tmp_path, monkeypatch):
    folder = begun(tmp_path / "run")
    page = RunReport(Trainer(tiny_config(), stripes(), "cpu"), folder)
    assert not page.stale
    assert page.write(film=Image.new("RGB", (30, 30))) is None
    running_page = read(folder.report, training=True)
    (policy,) = (value for _, name, value in running_page.attributes if name == "content" and "script-src" in value)
    script = folder.report.read_text().partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "location.reload()" in script
    later = time.monotonic() + 100
    monkeypatch.setattr("ancestral.use_cases.training.run_report.time.monotonic", lambda: later)
    page.seconds = 0.5
    assert page.stale
    page.seconds = 2.0  # a page that takes long waits longer
    assert not page.stale
    assert page.write(last=True) is None
    assert len(read(folder.report).pictures) == len(running_page.pictures) == 2  # with the film strip of before


@pytest.mark.browser
def test_the_page_of_a_running_training_in_a_browser(chromium, tmp_path):
    folder = begun(tmp_path / "run")
    folder.samples.mkdir()
    for step in (1, 2):
        Image.new("RGB", (1100, 1500), "red").save(folder.samples / f"{step:06d}.png")
    url = write_report(folder.path, about(training=True)).as_uri()
    page = chromium.new_page(viewport={"width": 900, "height": 700})
    page.clock.install()
    page.goto(url)
    page.evaluate("scrollTo(0, 300)")
    write_report(folder.path, about(training=True, sentence="Another."))
    with page.expect_navigation():
        page.clock.run_for(16_000)
    page.wait_for_function("document.body.innerText.includes('Another.')")
    page.wait_for_function("scrollY === 300")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**#full-1")
    page.wait_for_function("document.querySelector('img').getBoundingClientRect().width === 1100")
    page.clock.run_for(40_000)
    assert page.locator(".close >> visible=true").count() == 1  # an open picture stays open
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('img').getBoundingClientRect().width < 500")
    assert page.locator(".close >> visible=true").count() == 0
    write_report(folder.path, about())
    page.reload()
    page.clock.run_for(40_000)
    page.close()
