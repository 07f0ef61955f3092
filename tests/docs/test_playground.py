"""The playground's numbers are those of the package; its page works by keyboard, mouse and touch."""

import math
import re
import shutil
from pathlib import Path

import pytest
import torch

from ancestral import oracle, randomness, reverse, samplers, schedules, targets
from ancestral.randomness import Stream
from ancestral.samplers.loop import spaced_times

DOCS = Path(__file__).parents[2] / "docs"
THEORY = DOCS.parent / "src/ancestral/browser/diffusion.js"
SOURCE = THEORY.read_text(encoding="utf-8")


def names(table):
    """The keys of a table of diffusion.js."""
    body = re.search(rf"^  const {table} = {{\n(.*?)^  }};", SOURCE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r'^    "?([\w-]+)"?: {', body, re.MULTILINE)


SCHEDULES, TARGETS, SAMPLERS = names("SCHEDULES"), names("TARGETS"), names("SAMPLERS")
SETTINGS = [(name, {}) for name in SAMPLERS] + [
    ("ddim", {"eta": 0.5}),
    ("ddim", {"eta": 1.0}),
    ("ddpm", {"variance": "small"}),
    ("pc", {"variance": "small"}),
]
STEPS = [(2, 1), (2, 2), (10, 1), (10, 7), (10, 10), (1000, 1), (1000, 2), (1000, 7), (1000, 20), (1000, 70)]
"""T and the number of steps."""
DATA = {
    "drawn": [[0.1, 0.9], [-0.35, -0.2], [0.8, -0.77], [0.81, -0.77], [-1.0, 1.0]],
    "duplicates": [[0.5, -0.25], [0.5, -0.25], [0.5, -0.25], [-0.7, 0.1]],
    "single": [[0.3, -0.6]],
    "far": [[40.0, -30.0], [41.0, -30.0], [-0.5, 0.5]],
}


def test_what_the_page_offers_is_in_the_package():
    """Those that the page has; a new sampler or target needs no JavaScript."""
    assert {*SCHEDULES} <= {*schedules.BY_NAME}
    assert {*SAMPLERS} <= {*samplers.BY_NAME}
    assert {*TARGETS} <= {*targets.BY_NAME}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page as the site shows it, with nothing around it."""
    markdown = pytest.importorskip("markdown")
    folder = tmp_path_factory.mktemp("site")
    text = re.sub(r"\A---\n.*?\n---\n", "", (DOCS / "playground.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    body = markdown.markdown(text, extensions=["md_in_html", "tables", "attr_list", "toc"])
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Playground</title>'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>'
    (folder / "playground.html").write_text(page, encoding="utf-8")
    shutil.copytree(DOCS / "assets", folder / "assets")
    shutil.copy(THEORY, folder / "assets/playground")
    (folder / "assets/playground/digits.html").write_text("<!doctype html>", encoding="utf-8")
    return (folder / "playground.html").as_uri()


@pytest.fixture
def open_page(chromium, address):
    """Opens the page with a hash and the options of a browser context. In the end: no error, and no request left it."""
    contexts, complaints, requests = [], [], []

    def call(hash="", **options):
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address + hash)
        return page

    yield call
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests
    assert [url for url in requests if not url.startswith("file://")] == []


@pytest.fixture(scope="module")
def js(chromium, address):
    """Evaluates a function of (A, argument), where A is the API of the page."""
    page = chromium.new_page()
    page.goto(address + "#view=forward&at=0")
    yield lambda code, argument=None: page.evaluate(
        f"argument => {{ const A = Ancestral; return ({code})(A, argument); }}", argument
    )
    page.close()


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(actual, expected, rtol=1e-9, atol=1e-12):
    torch.testing.assert_close(tensor(actual), expected, rtol=rtol, atol=atol)


# The numbers


@pytest.mark.browser
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 10, 37, 1000])
def test_schedules(js, name, T):
    expected = schedules.BY_NAME[name](T)
    code = """(A, [name, T]) => { const s = A.schedule(name, T), t = [...Array(T).keys()].map(i => i + 1); return {
        signal: [...s.signal], noise: [...s.noise], snr: t.map(s.snr), priorStd: s.priorStd,
        beta: t.map(i => s.forwardVariance(i, i - 1)), posterior: t.map(i => s.posteriorVariance(i, i - 1)) } }"""
    actual = js(code, [name, T])
    t = torch.arange(1, T + 1)
    close(actual["signal"], expected.signal)
    close(actual["noise"], expected.noise)
    close(actual["snr"], expected.snr[1:])
    close(actual["beta"], expected.beta[1:], atol=1e-10)
    close(actual["posterior"], expected.posterior_variance(t, t - 1), atol=1e-10)
    assert actual["priorStd"] == pytest.approx(expected.prior_std, rel=1e-12)


@pytest.mark.browser
def test_options_of_schedules(js):
    code = "(A, [name, T, options]) => [...A.schedule(name, T, options).noise]"
    for name, options in [
        ("linear", {"beta_start": 1e-3, "beta_end": 0.01}),
        ("cosine", {"offset": 0.02, "max_beta": 0.5}),
        ("sigmoid", {"start": -2.0, "end": 4.0, "max_beta": 0.9}),
        ("geometric", {"sigma_min": 0.1, "sigma_max": 3.0}),
        ("karras", {"sigma_min": 0.1, "sigma_max": 3.0, "rho": 2.0}),
    ]:
        close(js(code, [name, 30, options]), schedules.BY_NAME[name](30, **options).noise)


@pytest.mark.browser
@pytest.mark.parametrize("name", TARGETS)
def test_targets(js, name):
    x0, eps = tensor([[0.3, -0.7]]), tensor([[1.5, 0.2]])
    for a, b in [(1.0, 0.01), (0.6, 0.8), (0.0, 1.0), (1.0, 80.0)]:
        actual = js("(A, v) => [...A.target(...v)]", [name, x0[0].tolist(), eps[0].tolist(), a, b])
        close(actual, targets.BY_NAME[name].from_x0_eps(x0, eps, a, b)[0])


@pytest.mark.browser
@pytest.mark.parametrize("points", DATA.values(), ids=DATA)
@pytest.mark.parametrize("name", SCHEDULES)
def test_denoiser(js, name, points):
    """Also at t = 1, where the softmax is sharp, and for x_t far from every point."""
    schedule, points = schedules.BY_NAME[name](1000), tensor(points)
    exact = oracle.Empirical(schedule, points)
    corners = tensor([[0.0, 0.0], [3.0, -2.5], [100.0, 7.0]])
    for t in (1, 2, 30, 400, 999, 1000):
        a, b = schedule.at(t)
        x = torch.cat([corners, a * points + b * torch.randn(len(points), 2, dtype=torch.float64)])
        code = """(A, [points, a, b, x]) => Object.fromEntries(
            Object.entries(A.denoise(points, a, b, x)).map(([name, values]) => [name, [...values]]))"""
        actual = js(code, [points.flatten().tolist(), a, b, x.flatten().tolist()])
        expected = exact.predict(x, t)
        close(actual["x0"], expected.x0.flatten(), atol=1e-6)
        close(actual["eps"], expected.eps.flatten(), rtol=1e-6, atol=1e-6)
        # the package expands the square, which rounds where the exponent is large
        close(actual["logDensity"], exact.log_density(x, t), rtol=1e-6, atol=1e-4)


@pytest.mark.browser
def test_random_numbers_are_the_same_to_the_last_bit(js):
    settings = [(0, 0, 0, 2), (7, 1000, 0, 2), (999_999, 501, 4, 2), (2**53 - 1, 12.25, 1, 1), (3, 0.1, 0, 35)]
    for seed, step, draw, size in settings:
        code = """(A, [seed, step, draw, size]) =>
            [...A.normal(size, seed, "reverse", step, [...Array(500).keys()], draw)]"""
        actual = js(code, [seed, step, draw, size])
        expected = randomness.normal((size,), seed, Stream.REVERSE, step, range(500), draw=draw or None)
        assert torch.equal(tensor(actual), expected.double().flatten())
    for name in SCHEDULES:
        actual = js("(A, name) => [...A.prior(A.schedule(name, 1000), 2, 5, [...Array(300).keys()])]", name)
        expected = reverse.prior(schedules.BY_NAME[name](1000), (2,), 5, range(300))
        assert torch.equal(tensor(actual), expected.double().flatten())


@pytest.mark.browser
@pytest.mark.parametrize("name", SCHEDULES)
def test_times(js, name):
    for T in (1, 2, 10, 1000):
        schedule = schedules.BY_NAME[name](T)
        counts = [n for n in (*range(1, 31), 50, 75, 99, 100, 333, 500, 999, 1000) if n <= T]
        for sampler in ("ddpm", "heun"):
            code = "(A, [name, T, sampler, counts]) => counts.map(n => A.times(A.schedule(name, T), sampler, n))"
            for actual, count in zip(js(code, [name, T, sampler, counts]), counts, strict=True):
                expected = samplers.from_name(sampler, steps=count).times(schedule)
                if (name, sampler) != ("karras", "heun"):
                    assert actual == expected
                # Even spacing of a curve that is even itself: of two times that are equally near, rounding decides.
                gap = (T - 1) / max(count - 1, 1)
                for i, (t, s) in enumerate(zip(actual, expected, strict=True)):
                    assert t == s or {t, s} == {math.floor(T - i * gap), math.ceil(T - i * gap)}
                    assert t == s or (T - i * gap) % 1 == pytest.approx(0.5)


@pytest.mark.browser
@pytest.mark.parametrize("spacing", ["leading", "linspace", "logsnr"])
def test_times_of_other_spacings(js, spacing):
    for name in ("linear", "cosine", "flow", "karras"):
        schedule, counts = schedules.BY_NAME[name](100), [99, 100] if spacing == "leading" else [1, 2, 7, 50, 99, 100]
        code = "(A, [name, spacing, counts]) => counts.map(n => A.times(A.schedule(name, 100), 'ddim', n, spacing))"
        expected = [spaced_times(schedule, count, spacing) for count in counts]
        assert js(code, [name, spacing, counts]) == expected


def expected_states(sampler, options, schedule, points, steps, x_T, seed):
    rule = samplers.from_name(sampler, steps=steps, **options)
    states = list(rule.trajectory(oracle.Empirical(schedule, points), x_T, seed=seed))
    return [state.t for state in states], torch.stack([torch.stack([state.x, state.x0]) for state in states])


TRAJECTORY = """(A, [schedule, T, sampler, options, points, steps, seed]) => {
    const s = A.schedule(schedule, T), x_T = A.prior(s, 2, seed, [...Array(12).keys()]);
    const states = [...A.trajectory({ denoiser: A.exact(s, points), sampler, options, steps, seed, x_T })];
    return { t: states.map(state => state.t), x: states.map(state => [[...state.x], [...state.x0]]),
             evaluations: states.at(-1).evaluations } }"""


@pytest.mark.browser
@pytest.mark.parametrize("points", DATA.values(), ids=DATA)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("sampler", "options"), SETTINGS, ids=str)
def test_trajectories(js, name, sampler, options, points):
    """Every state of the reverse process, from the same x_T and the same noise. Data outside [-1, 1] are clipped."""
    for T, steps in STEPS:
        schedule = schedules.BY_NAME[name](T)
        x_T = reverse.prior(schedule, (2,), 3, range(12)).double()
        times, expected = expected_states(sampler, options, schedule, tensor(points), steps, x_T, seed=3)
        actual = js(TRAJECTORY, [name, T, sampler, options, tensor(points).flatten().tolist(), steps, 3])
        assert actual["t"] == times
        close(actual["x"], expected.flatten(2), rtol=1e-6, atol=1e-4)
        assert actual["evaluations"] == samplers.from_name(sampler, steps=steps).nfe(schedule)


@pytest.mark.browser
def test_trajectory_with_given_noise_and_without_clipping(js):
    schedule, points = schedules.flow(50), tensor(DATA["far"])
    x_T, z = torch.randn(9, 2, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64)
    rule = samplers.DDPM(steps=11, clip=None)
    expected = rule.sample(oracle.Empirical(schedule, points), x_T, noise=lambda shape: z)
    code = """(A, [points, x_T, z]) => [...[...A.trajectory({ sampler: "ddpm",
        denoiser: A.exact(A.schedule("flow", 50), points), steps: 11, x_T, noise: () => z, clip: null })].at(-1).x]"""
    close(js(code, [values.flatten().tolist() for values in (points, x_T, z)]), expected.flatten(), atol=1e-8)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('A => A.schedule("bogus", 10)', "unknown schedule bogus"),
        ('A => A.schedule("linear", 0)', "whole number of at least 1, not 0"),
        ('A => A.times(A.schedule("linear", 10), "ddim", 11)', "choose 1 to 10 steps, not 11"),
        ('A => A.times(A.schedule("linear", 10), "bogus", 5)', "unknown sampler bogus"),
    ],
)
def test_what_cannot_be_used_is_refused(js, code, message):
    with pytest.raises(Exception, match=message):
        js(code)


@pytest.mark.browser
@pytest.mark.parametrize(
    "settings",
    [
        "data=moons&n=40&schedule=linear&sampler=ddim&eta=0.3&steps=15",
        "data=checkerboard&n=64&schedule=karras&sampler=heun&steps=9&seed=41",
        "data=own&points=5a5a6a6a2n2n&schedule=flow&sampler=dpm-sde&steps=12&T=100",
        "data=two&schedule=cosine&sampler=pc&variance=small&steps=10&T=10&seed=2",
    ],
)
def test_the_python_code_computes_what_the_page_shows(open_page, settings):
    """Including the address: the page takes its settings from there, and stays at the step that it names."""
    page = open_page(f"#view=samples&at=100000&{settings}")
    page.wait_for_function("Ancestral.current().t === 0 && Ancestral.current().x")
    shown = page.evaluate("(({x, points}) => ({x: [...x], points}))(Ancestral.current())")
    scope = {}
    exec(page.text_content(".pg-code"), scope)
    close(shown["points"], scope["x0"].flatten())
    close(shown["x"], scope["samples"].flatten(), rtol=1e-6, atol=1e-4)
    for setting in settings.split("&"):
        assert setting in page.evaluate("location.hash")


# The page


def current(page):
    return page.evaluate("(({x, x0, ...rest}) => rest)(Ancestral.current())")


def alt(page):
    return page.get_attribute(".pg-canvas", "aria-label")


@pytest.mark.browser
def test_every_choice_of_the_page_runs(open_page):
    """All views, data, schedules, fields and samplers, played for some frames each."""
    page = open_page("", color_scheme="dark")
    values = "name => [...document.querySelector('.pg').elements[name].options].map(option => option.value)"
    assert page.evaluate(values, "schedule") == SCHEDULES
    assert page.evaluate(values, "sampler") == SAMPLERS
    assert page.evaluate(values, "field") == TARGETS
    for view, control, choices in [
        ("paths", "sampler", SAMPLERS),
        ("samples", "schedule", SCHEDULES),
        ("forward", "schedule", SCHEDULES),
        ("field", "field", TARGETS),
    ]:
        page.check(f"[name=view][value={view}]", force=True)
        for choice in choices:
            page.select_option(f"[name={control}]", choice)
            page.wait_for_timeout(60)
            assert current(page)["settings"][control] == choice
            assert f"{control}={choice}" in page.evaluate("location.hash")
        for data in ("moons", "swissroll", "checkerboard", "two", "ring"):
            page.check(f"[name=data][value={data}]", force=True)
            points = current(page)["points"]
            assert len(points) == (4 if data == "two" else 240)
            assert max(map(abs, points)) <= 1
        assert page.text_content(".pg-equation")


@pytest.mark.browser
def test_it_plays_at_once_and_the_alt_text_follows(open_page):
    page = open_page()
    assert current(page)["playing"]
    before = alt(page)
    page.wait_for_function("text => document.querySelector('.pg-canvas').ariaLabel !== text", arg=before)
    assert "60 paths of DDIM from noise to 120 data points (two moons)" in alt(page)
    page.wait_for_function("Ancestral.current().t < 900")
    for view, text in [
        ("forward", "600 noisy copies"),
        ("field", "x0: clean point"),
        ("samples", "400 samples of DDIM"),
    ]:
        page.check(f"[name=view][value={view}]", force=True)
        page.wait_for_function("text => document.querySelector('.pg-canvas').ariaLabel.includes(text)", arg=text)
    assert page.get_attribute(".pg-canvas", "role") == "img"
    assert "signal a from 1 to 0.000049" in page.get_attribute(".pg-curves", "aria-label")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "a_falls"), [("linear", True), ("flow", True), ("geometric", False), ("karras", False)]
)
def test_the_curves_of_a_schedule_are_drawn_as_they_are(open_page, name, a_falls):
    """a stays 1 where the noise explodes, and the picture of b rises in every schedule."""
    page = open_page(f"#view=forward&at=0&schedule={name}", reduced_motion="reduce")
    page.wait_for_function("document.querySelector('.pg-curves').ariaLabel")
    page.wait_for_timeout(100)
    curve = page.evaluate(
        """() => {
            const canvas = document.querySelector(".pg-curves");
            const style = getComputedStyle(document.querySelector(".pg"));
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const ratio = canvas.width / canvas.clientWidth, found = {};
            for (const name of ["signal", "noise"]) {
                const hex = style.getPropertyValue(`--pg-${name}`).trim().slice(1);
                const colour = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
                found[name] = [0.15, 0.34, 0.8].map((share) => {  // heights of the curve, from the bottom
                    const x = Math.round((40 + share * (canvas.clientWidth - 64)) * ratio), rows = [];
                    for (let y = 0; y < canvas.height; y++) {
                        const k = 4 * (y * canvas.width + x), near = (c, i) => Math.abs(c - pixels[k + i]) < 40;
                        if (colour.every(near) && pixels[k + 3] > 128) rows.push(y);
                    }
                    return rows.length ? 1 - rows[Math.floor(rows.length / 2)] / canvas.height : null;
                });
            }
            return found;
        }"""
    )
    a, b = curve["signal"], curve["noise"]
    assert None not in (*a, *b)
    assert b[0] < b[1] < b[2]
    assert (a[0] > a[1] > a[2]) is a_falls
    assert (max(a) - min(a) < 0.03) is not a_falls
    assert ("signal a from 1 to 1.0" in page.get_attribute(".pg-curves", "aria-label")) is not a_falls


@pytest.mark.browser
def test_reduced_motion_shows_the_end_and_stands_still(open_page):
    page = open_page("", reduced_motion="reduce")
    page.wait_for_function("Ancestral.current().x")
    page.wait_for_timeout(300)
    assert not current(page)["playing"]
    assert current(page)["t"] == 0
    page.check("[name=view][value=forward]", force=True)
    assert not current(page)["playing"]
    assert current(page)["t"] == 1000


@pytest.mark.browser
def test_keys_play_step_and_scrub(open_page):
    page = open_page("#view=paths&at=10&steps=50")
    step = "Number(document.querySelector('.pg').elements.at.value)"
    assert page.evaluate(step) == 10
    for key, expected in [("ArrowRight", 11), ("ArrowRight", 12), ("ArrowLeft", 11)]:
        page.keyboard.press(key)
        assert page.evaluate(step) == expected
        assert not current(page)["playing"]
    page.keyboard.press("Space")
    assert current(page)["playing"]
    assert page.get_attribute(".pg-play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    assert not current(page)["playing"]
    page.focus("[name=at]")
    page.keyboard.press("End")
    assert page.evaluate(step) == 50
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(step) == 1
    assert current(page)["t"] == 980
    assert page.get_attribute("[name=at]", "aria-valuetext") == "step 1 of 50, t = 980"
    page.focus(".pg-play")  # a button takes Space as a click, once
    page.keyboard.press("Space")
    assert current(page)["playing"]
    page.keyboard.press("Space")
    page.focus("[name=steps]")  # a number takes its own keys
    page.keyboard.press("ArrowUp")
    assert not current(page)["playing"]
    assert current(page)["settings"]["steps"] == "51"


@pytest.mark.browser
def test_keys_draw(open_page):
    page = open_page("#view=field&at=900&data=own")
    page.wait_for_function("document.querySelector('.pg-canvas').ariaLabel.startsWith('An empty picture')")
    page.focus(".pg-stage")
    for key in ("Enter", "ArrowRight", "ArrowRight", "ArrowUp", "Enter", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert current(page)["points"] == pytest.approx([0, 0, 0.1, 0.05, 0.09, 0.05])
    assert page.text_content(".pg-status") == "Point added at (0.09, 0.05). 3 points."
    page.keyboard.press("Delete")
    assert current(page)["points"] == pytest.approx([0, 0, 0.1, 0.05])
    page.click("[data-action=undo]")
    assert len(current(page)["points"]) == 6
    page.click("[data-action=clear]")
    assert current(page)["points"] == []


@pytest.mark.browser
def test_the_mouse_draws_and_erases(open_page):
    page = open_page("#view=samples&at=0&data=own")
    box = page.locator(".pg-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x + 20, y)
    page.mouse.click(x - 60, y - 40)
    drawn = current(page)["points"]
    assert len(drawn) == 4
    assert drawn[0] > 0 == drawn[1]
    assert drawn[2] < 0 < drawn[3]
    page.mouse.move(x - 80, y + 60)  # a stroke
    page.mouse.down()
    page.mouse.move(x + 80, y + 60, steps=30)
    page.mouse.up()
    assert len(current(page)["points"]) > 12
    page.mouse.click(box["x"] + 3, box["y"] + 3)  # outside of the square
    assert "in the square" in page.text_content(".pg-status")
    page.check("[name=tool][value=erase]", force=True)
    page.mouse.click(x - 60, y - 40)
    assert not any(pair == tuple(drawn[2:]) for pair in zip(*[iter(current(page)["points"])] * 2, strict=True))
    saved = current(page)["points"]
    page.reload()
    assert current(page)["points"] == saved
    page.check("[name=data][value=moons]", force=True)
    page.check("[name=tool][value=draw]", force=True)
    page.mouse.click(x, y)  # a point more than the preset has, which becomes a drawing
    assert current(page)["settings"]["data"] == "own"
    assert len(current(page)["points"]) == 242


@pytest.mark.browser
def test_a_finger_draws_where_it_may_and_scrolls_otherwise(open_page):
    page = open_page(
        "#view=paths&at=0&data=own", has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}
    )
    box = page.locator(".pg-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    action = "getComputedStyle(document.querySelector('.pg-canvas')).touchAction"
    page.touchscreen.tap(x, y)
    assert current(page)["points"] == []
    assert page.evaluate(action) == "pan-y"
    page.check("[name=tool][value=draw]", force=True)
    page.evaluate("scrollTo(0, 0)")
    page.touchscreen.tap(x, y)
    assert len(current(page)["points"]) == 2
    assert page.evaluate(action) == "none"


@pytest.mark.browser
def test_values_in_the_address_that_do_not_exist_leave_the_default(open_page):
    bad = "#view=bogus&data=nothing&schedule=x&sampler=y&steps=-3&T=5&n=1e9&eta=NaN&seed=-1&points=!&at=x&other=1"
    page = open_page(bad)
    settings = current(page)["settings"]
    assert [settings[name] for name in ("view", "data", "schedule", "sampler", "steps", "T", "n", "seed")] == [
        "paths", "moons", "cosine", "ddim", "1", "1000", "400", "0"]  # fmt: skip
    page.evaluate("location.hash = '#how-to-use-it'")  # another anchor changes nothing
    page.wait_for_timeout(50)
    assert current(page)["settings"] == settings
    page.evaluate("location.hash = '#view=field&data=ring&T=10&at=9'")
    page.wait_for_function("Ancestral.current().t === 1")


@pytest.mark.browser
def test_dark_mode(open_page):
    ground = "getComputedStyle(document.querySelector('.pg-stage')).backgroundColor"
    pixel = """() => { const c = document.querySelector('.pg-canvas'), copy = new OffscreenCanvas(c.width, c.height)
        .getContext('2d', {willReadFrequently: true}); copy.drawImage(c, 0, 0);
        const d = copy.getImageData(0, 0, c.width, c.height).data; let light = 0, n = 0;
        for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) { n++;
        light += d[i] + d[i + 1] + d[i + 2]; } return light / n; }"""
    light, dark = open_page("#view=forward&at=0"), open_page("#view=forward&at=0", color_scheme="dark")
    dark.wait_for_timeout(200)
    assert light.evaluate(ground) == "rgb(255, 255, 255)"
    assert dark.evaluate(ground) == "rgb(15, 18, 22)"
    assert dark.evaluate(pixel) > light.evaluate(pixel) + 60  # colours for a dark ground are lighter
    before = light.evaluate(pixel)
    light.evaluate("document.body.dataset.mdColorScheme = 'slate'")  # the switch of the site
    light.wait_for_timeout(200)
    assert light.evaluate(ground) == "rgb(15, 18, 22)"
    assert light.evaluate(pixel) > before + 60
    dark.evaluate("document.body.dataset.mdColorScheme = 'default'")  # it wins over the system's setting
    assert dark.evaluate(ground) == "rgb(255, 255, 255)"


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_horizontal_scroll(open_page, width):
    page = open_page("#view=samples&at=20", viewport={"width": width, "height": 740})
    for view in ("forward", "field", "paths", "samples"):
        page.check(f"[name=view][value={view}]", force=True)
        for sampler in ("ddim", "ddpm", "dpm-sde") if view == "paths" else ():
            page.select_option("[name=sampler]", sampler)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = """width => [...document.querySelectorAll('.pg *')].filter(part => part.offsetParent && !part.closest(
            '.pg-hidden') && part.getBoundingClientRect().right > width + 0.5).map(part => part.outerHTML)"""
        assert page.evaluate(outside, width) == []
    assert page.locator(".pg-canvas").bounding_box()["height"] >= 280


@pytest.mark.browser
def test_every_control_has_a_name(open_page):
    """Each form element that is shown has a label, and each button a text."""
    page = open_page("#view=paths&at=0")
    nameless = """() => [...document.querySelectorAll('.pg input:not([type=hidden]), .pg select, .pg button')].filter(
        part =>        !(part.getAttribute('aria-label') || part.textContent.trim() && part.matches('button') ||
          [...part.labels || []].some(label => label.textContent.trim()))).map(part => part.outerHTML)"""
    assert page.evaluate(nameless) == []
