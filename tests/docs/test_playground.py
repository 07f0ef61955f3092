"""The playground's numbers are those of the package; its page works by keyboard, mouse and touch."""

import itertools
import math
import re
import shutil
from pathlib import Path

import pytest
import torch

from ancestral import oracle, reverse, samplers, schedules, targets
from theory_js import DATA, SAMPLERS, SCHEDULES, SCRIPT, TARGETS, close, tensor

DOCS = Path(__file__).parents[2] / "docs"
SIZED = """() => { const one = document.querySelector('.pg-canvas');
    return one.clientWidth && one.width === Math.round(one.clientWidth * devicePixelRatio); }"""
"""Whether the picture has its size, which the page gives it in its first frame; places in it are known then."""
FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
"""Waits for two frames."""


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
    (folder / "assets/playground/diffusion.js").write_text(SCRIPT, encoding="utf-8")
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
        page.wait_for_function(SIZED)
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


# The network that is trained in the page


def torch_network(js, seed, width=5):
    """A network of the page as a module, with the weights that the page starts from."""
    code = "(A, [widths, seed]) => [...A.mlp(widths, seed).weights]"
    widths = [22, width, width, 2]
    layers = [torch.nn.Linear(m, n, dtype=torch.float64) for m, n in itertools.pairwise(widths)]
    net = torch.nn.Sequential(layers[0], torch.nn.SiLU(), layers[1], torch.nn.SiLU(), layers[2])
    torch.nn.utils.vector_to_parameters(tensor(js(code, [widths, seed])), net.parameters())
    return net


BATCH = """(A, [schedule, points, predicts, seed, size, step]) => {
    const s = A.schedule(schedule, 100), settings = { schedule: s, points, predicts, seed, size };
    const { t, x, target } = A.batch(settings, step);
    return { t, x: [...x], target: [...target], inputs: [...A.inputs(s, x, t)] } }"""
POINTS = [[0.1, 0.9], [-0.35, -0.2], [0.8, -0.77]]


@pytest.mark.browser
def test_the_first_weights_are_those_of_pytorch_layers(js):
    """U(-1/sqrt(in), 1/sqrt(in)), other numbers for another seed."""
    net, other = torch_network(js, 3, width=64), torch_network(js, 4, width=64)
    for layer, second in zip(net[::2], other[::2], strict=True):
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
        assert not torch.equal(layer.weight, second.weight)


@pytest.mark.browser
@pytest.mark.parametrize("predicts", ["v", "eps", "x0"])
def test_a_training_batch_is_a_noisy_mixture_with_its_target(js, predicts):
    schedule, points = schedules.cosine(100), tensor(POINTS)
    batch = js(BATCH, ["cosine", points.flatten().tolist(), predicts, 7, 3000, 2])
    t, x, target = torch.tensor(batch["t"]), tensor(batch["x"]).view(-1, 2), tensor(batch["target"]).view(-1, 2)
    a, b = schedule.signal[t, None], schedule.noise[t, None]
    x0, eps = targets.BY_NAME[predicts].solve(x, target, a, b)
    assert torch.cdist(x0, points).min(1).values.max() < 1e-6  # each item is one of the points with noise
    shares = torch.cdist(x0, points).argmin(1).bincount() / 3000
    assert (shares - 1 / 3).abs().max() < 0.04
    assert t.min() == 1
    assert t.max() == 100
    assert t.double().mean() == pytest.approx(50.5, abs=2.5)
    assert eps.mean().abs() < 0.05
    assert eps.std() == pytest.approx(1, abs=0.03)
    assert torch.corrcoef(torch.cat([x0, eps, t[:, None]], 1).T)[:4, 2:].fill_diagonal_(0).triu(1).abs().max() < 0.06
    again = js(BATCH, ["cosine", points.flatten().tolist(), predicts, 7, 3000, 3])
    assert again["t"] != batch["t"]


@pytest.mark.browser
@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_output_and_gradient_of_the_network(js, size):
    """Of batches that fill the loops over four items, and of others."""
    net = torch_network(js, 1)
    batch = js(BATCH, ["linear", tensor(POINTS).flatten().tolist(), "v", 0, size, 0])
    code = """(A, [inputs, target]) => {
        const net = A.mlp([22, 5, 5, 2], 1), { loss, gradient } = A.gradient(net, inputs, target);
        return { output: [...A.output(net, inputs)], loss, gradient: [...gradient] } }"""
    actual = js(code, [batch["inputs"], batch["target"]])
    output = net(tensor(batch["inputs"]).view(size, -1))
    loss = torch.nn.functional.mse_loss(output, tensor(batch["target"]).view(size, 2))
    loss.backward()
    close(actual["output"], output.flatten())
    assert actual["loss"] == pytest.approx(loss.item(), rel=1e-12)
    close(actual["gradient"], torch.cat([p.grad.flatten() for p in net.parameters()]))


@pytest.mark.browser
def test_training_takes_the_steps_of_adam(js):
    """30 steps of the page, compared with torch.optim.Adam on the same batches."""
    points, steps = tensor(POINTS).flatten().tolist(), 30
    code = """(A, [points, steps]) => {
        const settings = { points, steps, seed: 6, predicts: "eps", width: 5, size: 8, rate: 0.02 };
        const run = A.training({ schedule: A.schedule("cosine", 100), ...settings });
        while (run.losses.length < steps) run.advance();
        return { losses: run.losses, weights: [...run.net.weights] } }"""
    actual = js(code, [points, steps])
    net, losses = torch_network(js, 6), []
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for step in range(steps):
        batch = js(BATCH, ["cosine", points, "eps", 6, 8, step])
        loss = torch.nn.functional.mse_loss(
            net(tensor(batch["inputs"]).view(8, -1)), tensor(batch["target"]).view(8, 2)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert actual["losses"] == pytest.approx(losses, rel=1e-7)
    close(actual["weights"], torch.nn.utils.parameters_to_vector(net.parameters()).detach(), rtol=1e-6, atol=1e-9)


class Learned:
    """The denoiser of a network of the page, in PyTorch; its inputs are computed here once more."""

    def __init__(self, net, schedule, target):
        self.net, self.schedule, self.target = net, schedule, target

    @torch.no_grad()
    def predict(self, x_t, t, **_):
        a, b = self.schedule.at(t)
        place = x_t / math.sqrt(0.25 * a**2 + b**2)
        angles = torch.tensor([2**k * math.pi * t / self.schedule.steps for k in range(4)], dtype=torch.float64)
        waves = torch.stack([angles.sin(), angles.cos()], 1).flatten().expand(len(x_t), -1)
        places = [
            f(2 ** (k + 1) * place[:, j : j + 1]) for k in range(3) for j in (0, 1) for f in (torch.sin, torch.cos)
        ]
        return self.target.solve(x_t, self.net(torch.cat([place, waves, *places], 1)), a, b)


@pytest.mark.browser
@pytest.mark.parametrize("predicts", ["v", "eps", "x0"])
@pytest.mark.parametrize("sampler", ["ddpm", "heun"])
def test_samples_of_the_network(js, predicts, sampler):
    """Of its initial weights: the inputs, the estimates, and every state of a sampler."""
    net, schedule = torch_network(js, 2), schedules.linear(1000)
    x_T = reverse.prior(schedule, (2,), 3, range(7)).double()
    denoiser = Learned(net, schedule, targets.BY_NAME[predicts])
    expected = samplers.from_name(sampler, steps=6).sample(denoiser, x_T, seed=3)
    code = """(A, [sampler, predicts]) => { const s = A.schedule("linear", 1000);
        const denoiser = A.learned(A.mlp([22, 5, 5, 2], 2), s, predicts), x_T = A.prior(s, 2, 3, [...Array(7).keys()]);
        return [...[...A.trajectory({ denoiser, sampler, steps: 6, seed: 3, x_T })].at(-1).x] }"""
    close(js(code, [sampler, predicts]), expected.flatten(), rtol=1e-6, atol=1e-8)


@pytest.mark.browser
def test_the_loss_of_the_exact_denoiser(js):
    schedule, points, total = schedules.cosine(100), tensor(POINTS), []
    for step in range(3):
        batch = js(BATCH, ["cosine", points.flatten().tolist(), "v", 0, 40, step])
        x, target = tensor(batch["x"]).view(-1, 2), tensor(batch["target"]).view(-1, 2)
        for t, item, goal in zip(batch["t"], x, target, strict=True):
            x0, eps = oracle.Empirical(schedule, points).predict(item[None], t)
            total.append((targets.V.from_x0_eps(x0, eps, *schedule.at(t))[0] - goal).square().mean().item())
    code = """(A, points) => A.exactLoss(
        { schedule: A.schedule("cosine", 100), points, predicts: "v", seed: 0, size: 40 }, 3)"""
    assert js(code, points.flatten().tolist()) == pytest.approx(sum(total) / len(total), rel=1e-6)


@pytest.mark.browser
def test_classes_and_guidance(js):
    """Classifier-free guidance of the exact denoiser of labelled points, and without a condition that of all."""
    schedule, points, labels = schedules.cosine(100), tensor(DATA["drawn"]), torch.tensor([0, 1, 1, 0, 0])
    everything = oracle.Empirical(schedule, points)
    x = torch.randn(6, 2, dtype=torch.float64)
    code = """(A, [points, labels, x, t, condition, scale]) => {
        const d = A.labelled(A.schedule("cosine", 100), points, labels);
        const { x0, eps } = A.guided(d, scale, null).predict(Float64Array.from(x), t, condition);
        return [[...x0], [...eps]] }"""
    for t in (10, 60):
        absent = everything.predict(x, t)
        for label in (0, 1):
            present = oracle.Empirical(schedule, points[labels == label]).predict(x, t)
            for scale in (0, 1, 3.5):
                expected = [u + scale * (c - u) for u, c in zip(absent, present, strict=True)]
                actual = js(code, [points.flatten().tolist(), labels.tolist(), x.flatten().tolist(), t, label, scale])
                close(actual, torch.stack(expected).flatten(1), rtol=1e-6, atol=1e-9)
        actual = js(code, [points.flatten().tolist(), labels.tolist(), x.flatten().tolist(), t, None, 1])
        close(actual, torch.stack([*absent]).flatten(1), rtol=1e-6, atol=1e-9)


@pytest.mark.browser
def test_energy_distance(js):
    x, y = torch.randn(9, 2, dtype=torch.float64), tensor(DATA["drawn"])
    expected = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    actual = js("(A, [x, y]) => A.energyDistance(x, y)", [x.flatten().tolist(), y.flatten().tolist()])
    assert actual == pytest.approx(expected.item(), rel=1e-12)
    assert js("(A, y) => A.energyDistance(y, y)", y.flatten().tolist()) == pytest.approx(0, abs=1e-15)


@pytest.mark.browser
@pytest.mark.parametrize(
    "settings",
    [
        "data=moons&n=40&schedule=linear&sampler=ddim&eta=0.3&steps=15",
        "data=checkerboard&n=64&schedule=karras&sampler=heun&steps=9&seed=41",
        "data=own&points=5a5a6a6a2n2n&schedule=flow&sampler=dpm-sde&steps=12&T=100",
        "data=two&schedule=cosine&sampler=pc&variance=small&steps=10&T=10&seed=2",
        "data=moons&n=24&schedule=linear&sampler=dpm&steps=10&class=1&scale=2.5",
        "data=ring&n=24&schedule=karras&sampler=ddim&steps=10&class=0&scale=0.5&xT=0.40%2C-1.20",
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


@pytest.mark.long
def test_every_choice_of_the_page_runs(open_page):
    """All views, data, schedules, fields and samplers, played for some frames each."""
    page = open_page("", color_scheme="dark")
    values = "name => [...document.querySelector('.pg').elements[name].options].map(option => option.value)"
    assert page.evaluate(values, "schedule") == SCHEDULES
    assert page.evaluate(values, "sampler") == SAMPLERS
    assert page.evaluate(values, "field") == TARGETS
    for view, control, choices in [
        ("paths", "sampler", SAMPLERS),
        ("paths", "show", ["paths", "samples"]),
        ("paths", "schedule", SCHEDULES),
        ("compare", "metric", ["solution", "data"]),
        ("network", "predicts", ["v", "eps", "x0"]),
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
            assert len(points) == (
                4 if data == "two" else 80 if view == "network" else 240
            )  # the network has 40 points
            assert max(map(abs, points)) <= 1
        assert page.text_content(".pg-equation")


@pytest.mark.browser
def test_it_plays_at_once_and_the_alt_text_follows(open_page):
    page = open_page()
    assert current(page)["playing"]
    before = alt(page)
    page.wait_for_function("text => document.querySelector('.pg-canvas').ariaLabel !== text", arg=before)
    assert "Forward process: 600 noisy copies of 120 data points (two moons)" in alt(page)
    page.check("[name=view][value=paths]", force=True)
    page.wait_for_function("document.querySelector('.pg-canvas').ariaLabel.includes('60 paths of DDIM from noise')")
    assert "to 120 data points (two moons)" in alt(page)
    page.wait_for_function("Ancestral.current().t < 900")
    page.select_option("[name=show]", "samples")
    page.wait_for_function("document.querySelector('.pg-canvas').ariaLabel.includes('400 samples of DDIM')")
    for view, text in [
        ("forward", "600 noisy copies"),
        ("field", "score: gradient of log p"),
        ("compare", "150 samples of DDPM, DDIM, Heun (EDM), DPM-Solver++ 2M side by side"),
        ("network", "of the exact denoiser and of the network"),
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
    curve = page.wait_for_function(
        """() => {
            if (!document.querySelector(".pg-curves").ariaLabel) return null;
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
            return [...found.signal, ...found.noise].includes(null) ? null : found;
        }"""
    ).json_value()
    a, b = curve["signal"], curve["noise"]
    assert None not in (*a, *b)
    assert b[0] < b[1] < b[2]
    assert (a[0] > a[1] > a[2]) is a_falls
    assert (max(a) - min(a) < 0.03) is not a_falls
    assert ("signal a from 1 to 1.0" in page.get_attribute(".pg-curves", "aria-label")) is not a_falls


@pytest.mark.browser
def test_reduced_motion_shows_the_end_and_stands_still(open_page):
    page = open_page("#view=paths", reduced_motion="reduce")
    page.wait_for_function("Ancestral.current().x && Ancestral.current().t === 0")
    page.wait_for_timeout(300)  # nothing moves meanwhile
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
    page.wait_for_function("Ancestral.current().t === 980")
    page.locator("[name=at][aria-valuetext='step 1 of 50, t = 980']").wait_for()  # drawn with the next frame
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
    page.evaluate(FRAMES)
    assert current(page)["points"] == []
    assert page.evaluate(action) == "pan-y"
    page.check("[name=tool][value=draw]", force=True)
    page.evaluate("scrollTo(0, 0)")
    page.touchscreen.tap(x, y)
    page.wait_for_function("Ancestral.current().points.length === 2")
    assert page.evaluate(action) == "none"


@pytest.mark.browser
def test_values_in_the_address_that_do_not_exist_leave_the_default(open_page):
    bad = "#view=bogus&data=nothing&schedule=x&sampler=y&steps=-3&T=5&n=1e9&eta=NaN&seed=-1&points=!&at=x&other=1"
    page = open_page(bad)
    settings = current(page)["settings"]
    assert [settings[name] for name in ("view", "data", "schedule", "sampler", "steps", "T", "n", "seed")] == [
        "forward", "moons", "cosine", "ddim", "1", "1000", "400", "0"]  # fmt: skip
    page.evaluate(
        """() => new Promise(done => {
            addEventListener("hashchange", () => done(), { once: true });  // after the listener of the page
            location.hash = "#how-to-use-it";
        })"""
    )  # another anchor changes nothing
    assert current(page)["settings"] == settings
    page.evaluate("location.hash = '#view=field&data=ring&T=10&at=9'")
    page.wait_for_function("Ancestral.current().t === 1")


@pytest.mark.browser
def test_dark_mode(open_page):
    ground = "getComputedStyle(document.querySelector('.pg-stage')).backgroundColor"
    pixel = """() => { const c = document.querySelector('.pg-canvas'), copy = new OffscreenCanvas(c.width, c.height)
        .getContext('2d', {willReadFrequently: true}); copy.drawImage(c, 0, 0);
        const d = copy.getImageData(0, 0, c.width, c.height).data; let light = 0, n = 0;
        for (let i = 0; i < d.length; i += 4) {
        const rgb = [d[i], d[i + 1], d[i + 2]], coloured = Math.max(...rgb) - Math.min(...rgb) > 30;  // not the square
        if (d[i + 3] > 200 && coloured) { n++; light += rgb[0] + rgb[1] + rgb[2]; } } return light / n; }"""
    light, dark = open_page("#view=forward&at=0"), open_page("#view=forward&at=0", color_scheme="dark")
    assert light.evaluate(ground) == "rgb(255, 255, 255)"
    assert dark.evaluate(ground) == "rgb(15, 18, 22)"
    before = light.wait_for_function(pixel).json_value()
    lighter = f"before => ({pixel})() > before + 60"
    dark.wait_for_function(lighter, arg=before)  # colours for a dark ground are lighter
    light.evaluate("document.body.dataset.mdColorScheme = 'slate'")  # the switch of the site
    light.wait_for_function(f"{ground} === 'rgb(15, 18, 22)'")
    light.wait_for_function(lighter, arg=before)
    dark.evaluate("document.body.dataset.mdColorScheme = 'default'")  # it wins over the system's setting
    dark.wait_for_function(f"{ground} === 'rgb(255, 255, 255)'")


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_horizontal_scroll(open_page, width):
    page = open_page("#view=samples&at=20", viewport={"width": width, "height": 740})
    for view in ("forward", "field", "paths", "compare", "network"):
        page.check(f"[name=view][value={view}]", force=True)
        for sampler in ("ddim", "ddpm", "dpm-sde") if view == "paths" else ():
            page.select_option("[name=sampler]", sampler)
        if view in ("field", "paths", "compare"):
            page.select_option("[name=class]", "1")
        page.evaluate(FRAMES)
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


# The story


@pytest.mark.browser
def test_the_next_button_leads_through_five_steps(open_page):
    """Each step has a text and links; settings that suit a step are its own, and changed ones stay."""
    page = open_page("", reduced_motion="reduce")
    page.check("[name=view][value=forward]", force=True)
    seen = []
    for name in ("forward", "field", "paths", "compare", "network"):
        assert current(page)["settings"]["view"] == name
        assert page.text_content(".pg-equation")
        assert page.locator(".pg-try a").count() == 3
        seen.append(page.text_content(".pg-story p"))
        if name == "compare":
            assert current(page)["settings"]["schedule"] == "linear"
        if name != "network":
            page.click(".pg-next")
    assert len({*seen}) == 5
    assert not page.is_visible(".pg-next")
    assert current(page)["settings"]["schedule"] == "cosine"
    page.select_option("[name=schedule]", "flow")
    page.check("[name=view][value=compare]", force=True)
    assert current(page)["settings"]["schedule"] == "flow"


@pytest.mark.browser
def test_every_link_to_try_sets_its_state(open_page):
    page = open_page("", reduced_motion="reduce")
    for name in ("forward", "field", "paths", "compare", "network"):
        page.check(f"[name=view][value={name}]", force=True)
        for link in page.locator(".pg-try a").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
            page.select_option("[name=schedule]", "sigmoid")  # the link leads to the same state from any other
            page.evaluate(
                "document.querySelector('.pg-try a').setAttribute('href', arguments)".replace("arguments", repr(link))
            )
            page.locator(".pg-try a").first.click()
            page.wait_for_function("Ancestral.current().settings.schedule !== 'sigmoid'")
            settings = current(page)["settings"]
            for setting in link[1:].split("&"):
                key, value = setting.split("=")
                assert settings[key] == value, link
            page.check(f"[name=view][value={name}]", force=True)


@pytest.mark.browser
def test_x_T_is_dragged_and_moved_by_keys(open_page):
    page = open_page("#view=paths&at=50&steps=50", reduced_motion="reduce")
    page.wait_for_function("Ancestral.current().ends[0]")
    before = page.evaluate("Ancestral.current().ends[0].slice(0, 4)")
    handle = page.locator(".pg-handle").first
    box, stage = handle.bounding_box(), page.locator(".pg-canvas").bounding_box()
    unit = min(stage["width"], stage["height"]) / 3.7
    page.mouse.move(box["x"] + 13, box["y"] + 13)
    page.mouse.down()
    page.mouse.move(
        stage["x"] + stage["width"] / 2 - 1.2 * unit, stage["y"] + stage["height"] / 2 + 0.5 * unit, steps=9
    )
    page.mouse.up()
    x_T = [float(u) for u in current(page)["settings"]["xT"].split(",")]
    assert x_T == pytest.approx([-1.2, -0.5], abs=0.03)
    page.wait_for_function("Ancestral.current().ends[0]")
    after = page.evaluate("Ancestral.current().ends[0].slice(0, 4)")
    assert after[2:] == before[2:]  # the other paths stay
    assert math.dist(after[:2], before[:2]) > 0.1
    assert "xT=" in page.evaluate("location.hash")
    handle.focus()
    for key, move in [("ArrowRight", (0.05, 0)), ("ArrowUp", (0, 0.05)), ("Shift+ArrowLeft", (-0.01, 0))]:
        page.keyboard.press(key)
        x_T = [u + d for u, d in zip(x_T, move, strict=True)]
        place = [float(u) for u in current(page)["settings"]["xT"].split(",")]
        assert place == pytest.approx(x_T, abs=1e-9)
    assert "x at T is (" in page.text_content(".pg-status")
    assert "Arrow keys move it" in handle.get_attribute("aria-label")
    page.reload()
    assert current(page)["settings"]["xT"] == ",".join(f"{u:.2f}" for u in x_T)
    page.click("[data-action=seed]")
    assert current(page)["settings"]["xT"] == ""


@pytest.mark.browser
def test_a_finger_drags_x_T(open_page):
    page = open_page(
        "#view=compare&steps=5&at=5", has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}
    )
    page.locator(".pg-handle:visible").nth(3).wait_for()
    assert page.locator(".pg-handle:visible").count() == 4  # one in each picture
    assert page.locator(".pg-handle[tabindex='-1']").count() == 3  # the tab key stops at one
    assert page.evaluate("getComputedStyle(document.querySelector('.pg-handle')).touchAction") == "none"


@pytest.mark.browser
def test_the_errors_of_the_samplers_are_those_of_the_package(open_page):
    """The curves: the distance to the solution of the ODE for the same x_T, and the energy distance to the data."""
    page = open_page("#view=compare&steps=5&at=5&schedule=linear&data=ring&n=20&seed=9", reduced_motion="reduce")
    page.wait_for_function("Ancestral.current().errors?.complete")
    errors, points = page.evaluate("[Ancestral.current().errors, Ancestral.current().points]")
    schedule, data = schedules.linear(1000), tensor(points).view(-1, 2)
    denoiser, x_T = oracle.Empirical(schedule, data), reverse.prior(schedule, (2,), 9, range(100)).double()
    solution = samplers.from_name("dpm", steps=1000).sample(denoiser, x_T)
    for name in ("ddpm", "ddim", "heun", "dpm"):
        counts = [point["evaluations"] for point in errors[name]]
        assert counts == [1, 1 if name == "heun" else 2, 3, 5, 7, 11, 15, 25, 35, 51, 75, 101]
        for point in (errors[name][3], errors[name][7]):
            steps = (point["evaluations"] + 1) // 2 if name == "heun" else point["evaluations"]
            x = samplers.from_name(name, steps=steps).sample(denoiser, x_T, seed=9)
            energy = 2 * torch.cdist(x, data).mean() - torch.cdist(x, x).mean() - torch.cdist(data, data).mean()
            assert point["data"] == pytest.approx(energy.item(), rel=1e-3, abs=1e-5)
            if name == "ddpm":
                assert point["solution"] is None  # its noise leads elsewhere
            else:
                distance = (x - solution).square().sum(1).mean().sqrt()
                assert point["solution"] == pytest.approx(distance.item(), rel=1e-3, abs=1e-5)
    assert errors["heun"][-1]["solution"] < errors["dpm"][-1]["solution"] < 0.2 * errors["dpm"][0]["solution"]
    page.wait_for_function("document.querySelector('.pg-chart').ariaLabel?.includes('Heun (EDM) from')")
    page.wait_for_function("Ancestral.current().ends.every(Boolean)")
    ends = page.evaluate("Ancestral.current().ends")
    assert len(ends) == 4
    assert len({tuple(end[:2]) for end in ends}) == 4


@pytest.mark.browser
def test_the_trained_network_generalises_where_the_exact_denoiser_copies(open_page):
    """It trains when its step is opened, stops and goes on by the button, and gives the same numbers each time."""
    page = open_page("#view=network&n=40&sampler=heun&steps=20")
    page.wait_for_function("Ancestral.current().training.step > 20")
    page.click("[data-action=train]")
    assert page.text_content(".pg-train") == "Continue"
    stopped = page.evaluate("Ancestral.current().training.step")
    page.wait_for_timeout(200)
    assert page.evaluate("Ancestral.current().training.step") == stopped
    page.wait_for_function("step => Ancestral.current().training.shown === step", arg=stopped)
    page.click("[data-action=train]")
    page.wait_for_function("Ancestral.current().training.step >= 3000", timeout=300_000)
    end = "Ancestral.current().training.shown === 3000 && Ancestral.current().copies.every(Number.isFinite)"
    page.wait_for_function(end)
    exact, network = page.evaluate("Ancestral.current().copies")
    assert exact > 0.9
    assert network < 0.3
    losses, ends = page.evaluate("[Ancestral.current().training.losses, Ancestral.current().ends]")
    assert sum(losses[-200:]) < 0.9 * sum(losses[:200])
    points = tensor(page.evaluate("Ancestral.current().points")).view(-1, 2)
    distance = torch.cdist(tensor(ends[1]).view(-1, 2), points).min(1).values
    assert distance.mean() < 0.12  # near the moons all the same; of noise it is 0.6
    page.wait_for_function("document.querySelector('.pg-train').textContent === 'Trained'")
    page.wait_for_function("document.querySelector('.pg-canvas').ariaLabel.includes('Copies of data points')")
    page.click("[data-action=reset]")
    page.wait_for_function("Ancestral.current().training.step === 0")
    page.click("[data-action=train]")
    page.wait_for_function("Ancestral.current().training.step > 40")
    assert page.evaluate("Ancestral.current().training.losses.slice(0, 40)") == losses[:40]


@pytest.mark.browser
def test_reduced_motion_trains_by_the_button_alone(open_page):
    page = open_page("#view=network&n=40", reduced_motion="reduce")
    page.wait_for_timeout(300)
    assert page.evaluate("Ancestral.current().training.step") == 0
    assert page.text_content(".pg-train") == "Train"
    page.click("[data-action=train]")
    page.wait_for_function("Ancestral.current().training.step > 0")


@pytest.mark.browser
def test_an_old_address_of_samples_still_shows_them(open_page):
    page = open_page("#view=samples&at=3&steps=10")
    assert current(page)["settings"]["view"] == "paths"
    assert current(page)["settings"]["show"] == "samples"
