"""The page of a model, opened from the file system with the network off: its samples are those of Python."""

import base64
import dataclasses
import hashlib
import html
import io
import json
import re
import shutil
import struct
import time
import zlib

import numpy as np
import pytest
import torch
import yaml
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from ancestral import load
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector, Words
from ancestral.config import ProcessConfig, TrainConfig, TransformerConfig
from ancestral.data.spec import Codec
from ancestral.interop import write_html, write_space
from ancestral.model import Model, build
from ancestral.model.building import sampler_name
from ancestral.page import program_builder
from ancestral.render.html_report import fill_template
from ancestral.samplers import BY_NAME
from firefox import Firefox
from shared_fixtures import json_schemas
from tiny_models import but_one_long, untrained

SECONDS = 60
"""The longest that the page may take for what a test waits for."""
HOSTILE = ("</script><script>alert(1)</script>", "<!--<b>'\"`&\u2028${x}", "ordinary")


def sampled_by(model, sampler, **config):
    """The model with another sampler of its own, and other parts of its config."""
    sample = dataclasses.replace(model.config.sample, sampler=sampler)
    model.config = dataclasses.replace(model.config, sample=sample, **config)
    return model


def rounded(model):
    """Give the model its weights as a page holds them."""
    with torch.no_grad():
        for net in filter(None, [model.diffusion.net, model.spec.autoencoder]):
            for weight in net.parameters():
                weight.copy_(program_builder.rounded(weight))


class Page:
    """A page in Chromium. Its content-security policy forbids `eval`, by which Playwright waits for functions."""

    def __init__(self, tab):
        self.tab = tab

    def wait(self, code, *, seconds=SECONDS):
        """Wait until a function of the page returns something true, and return that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := self.tab.evaluate(code):
                return answer
            time.sleep(0.02)
        raise AssertionError(f"{code} is not true: {self.status} {self.tab.text_content('#alert')}")

    def finished(self):
        """Wait for the samples, and return them as the network has them, (n, size)."""
        self.wait("() => document.querySelector('#page').dataset.state === 'ready' && AncestralPage.current()?.seconds")
        samples = self.tab.evaluate("() => AncestralPage.current().samples.map(one => [...one])")
        return torch.tensor(samples, dtype=torch.float64)

    def sample(self, **settings):
        """Choose settings by the names of their controls, and sample."""
        self.finished()
        for name, setting in settings.items():
            part = self.tab.locator(f'[name="{name}"]')
            if part.evaluate("part => part.tagName") == "SELECT":
                part.select_option(str(setting))
            else:
                part.evaluate("(part, text) => { part.value = text }", str(setting))
        self.tab.click("#run")
        return self.finished()

    def open_picture(self, file):
        """Open a picture, and wait until its settings are those of the page."""
        self.tab.set_input_files("#open-file", file)
        self.wait("() => document.querySelector('#status').textContent.includes('settings of the picture')")

    def give_images(self, folder, **images):
        """Give the images of conditions as files, and wait until they are shown."""
        for name, pixels in images.items():
            PillowImage.fromarray(pixels).save(folder / f"{name}.png")
            self.tab.set_input_files(f"[aria-label='Image {name}']", folder / f"{name}.png")
            self.wait(f"() => document.querySelector('[aria-label=\"The image {name}\"]')")

    def recipe(self):
        return self.tab.evaluate("() => AncestralPage.current().recipe")

    @property
    def status(self):
        return self.tab.text_content("#status")


@pytest.fixture
def open_page(chromium, tmp_path):
    """Opens the page of a model, offline. In the end: no message on the console, and no request left the file."""
    contexts, complaints, requests = [], [], []

    def call(model, title="model", script="", **options):
        path = tmp_path / f"page{len(contexts)}.html"
        write_html(model, path, title, "A model.")
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, "offline": True, **options})
        contexts.append(context)
        context.add_init_script(script)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        return Page(tab)

    yield call
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []


def images(**options):
    return untrained(**{"process": ProcessConfig("cosine", 100, "v"), **options})


LABELS = {"classes": ("a", "b", "c")}
ANSWERS = TrainConfig(objective="energy:evaluations=2")
CASES = {
    "ddim of 50 steps": lambda: sampled_by(images(), "ddim:steps=50"),
    "ddim with noise, no clip": lambda: sampled_by(images(**LABELS), "ddim:steps=7,eta=0.7,clip=none"),
    "ddpm": lambda: sampled_by(images(), "ddpm:steps=9,variance=small"),
    "learned variance": lambda: sampled_by(
        images(process=ProcessConfig("cosine", 100, "x0", learned_variance=True)), "ddpm:steps=9,variance=learned"
    ),
    "heun, odd sides": lambda: sampled_by(images(shape=(1, 7, 5), mults=(1,)), "heun:steps=6"),
    "exploding, scaled": lambda: sampled_by(images(process=ProcessConfig("karras", 60, "edm")), "heun:steps=9"),
    "unipc, no signal at T": lambda: sampled_by(images(process=ProcessConfig("flow", 100, "flow")), "unipc:steps=8"),
    "leading times": lambda: sampled_by(images(), "ddim:steps=60,spacing=leading"),
    "consistency": lambda: sampled_by(
        images(process=ProcessConfig("karras", 100, "skip"), **LABELS), "consistency:steps=3"
    ),
    "noise that the network draws, scaled": lambda: sampled_by(
        images(process=ProcessConfig("cosine", 100, "x0"), train=ANSWERS, **LABELS), "consistency:steps=2,noise=1.3"
    ),
    "points": lambda: sampled_by(images(shape=(2,)), "dpm:steps=9"),
    "signals": lambda: sampled_by(images(shape=(2, 16)), "dpm-sde:steps=9"),
    "latents, odd sides": lambda: sampled_by(images(shape=(3, 17, 14), latent=2, mults=(1,)), "ddim:steps=9"),
    "latents, exploding": lambda: sampled_by(
        images(shape=(1, 32, 32), latent=4, process=ProcessConfig("karras", 60, "edm")), "heun:steps=9"
    ),
    "latents of signals": lambda: sampled_by(images(shape=(2, 32), latent=2), "ddim:steps=9"),
}


@pytest.mark.browser
@pytest.mark.parametrize("case", but_one_long(CASES.values()), ids=CASES)
def test_samples_are_those_of_python(open_page, case):
    """By the model's own sampler, with all its settings, from the same noise."""
    page = open_page(model := case())
    rounded(model)
    actual = page.finished()
    steps = model.sampler().steps
    assert page.recipe()["sampler"].split("steps=")[1].split(",")[0] == str(steps)
    expected = model.spec.from_x(model.sample(len(actual), decode=False)).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.browser
@pytest.mark.parametrize("name", but_one_long(name for name in BY_NAME if name not in ("langevin", "consistency")))
def test_every_sampler_that_the_page_offers(open_page, name):
    page = open_page(model := images(**LABELS))
    rounded(model)
    page.finished()
    options = page.tab.evaluate("() => [...document.querySelector('[name=sampler]').options].map(one => one.text)")
    texts = page.tab.evaluate("() => AncestralPage.model.samplers")
    assert len(options) == len(texts) == 9
    sampler = model.sampler(name, steps=5)
    number = next(i for i, text in enumerate(texts) if model.sampler(text, steps=5) == sampler)
    actual = page.sample(sampler=number, steps=5, n=4, seed=7)
    expected = model.sample(4, sampler, seed=7, decode=False).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    assert page.recipe()["sampler"] == sampler_name(sampler)


STATES = """globalThis.states = []; const Made = Worker;
    Worker = function (url) { const worker = new Made(url);
        worker.addEventListener("message", ({data}) => data.x && states.push([...data.x], [...data.x0]));
        return worker; }"""


@pytest.mark.browser
@pytest.mark.parametrize("options", [{}, {"shape": (1, 16, 16), "latent": 2}], ids=["pixels", "latents"])
def test_estimates_of_each_step_and_guidance(open_page, options):
    """x_t and x̂_0 of every step, with a label and guidance. The numbers are those that are then shown in 8 bits."""
    page = open_page(model := images(**LABELS, **options), script=STATES)
    rounded(model)
    page.finished()
    page.tab.evaluate("() => { states.length = 0; }")
    page.tab.click('.chips [title="c"]')
    actual = page.sample(n=1, seed=5, guidance=2.5, steps=12)
    steps = list(model.trajectory([0], model.sampler(steps=12), 5, ["c"], 2.5))
    parts = [model.spec.from_x(part) for step in steps for part in (step.x, step.x0)]
    expected = torch.stack([part.detach().flatten() for part in parts]).double()
    seen = torch.tensor(page.tab.evaluate("() => states"), dtype=torch.float64)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(actual[0], seen[-1])
    assert page.recipe()["label"] == ["c"]
    assert page.tab.evaluate("() => AncestralPage.current().times") == [step.t for step in steps]


CONDITIONS = {
    "angle": Vector((30.0,), (12.5,)),
    "two": Vector((0.0, 1.0), (1.0, 2.0), ("x", "y")),
    "kind": Classes(HOSTILE),
    "low": Image(1, sides=(4, 3)),
    "hint": Image(4, masked=True),
}


@pytest.mark.browser
@pytest.mark.parametrize("shape", [{"shape": (1, 7, 5)}, {"shape": (1, 14, 9), "latent": 2}], ids=["pixels", "latents"])
def test_conditions(open_page, tmp_path, shape):
    """Numbers, classes and images: on another grid, and with a mask; on images whose sides are odd."""
    options = {**shape, "mults": (1,), "conditions": CONDITIONS, **LABELS}
    page = open_page(model := images(**options))
    rounded(model)
    page.finished()
    rng = np.random.default_rng(0)
    low, hint = rng.integers(0, 256, (4, 3), dtype=np.uint8), rng.integers(0, 256, (9, 10, 4), dtype=np.uint8)
    hint[..., 3] = rng.choice([0, 255], (9, 10))
    hint[hint[..., 3] == 0] = 0  # a canvas does not keep what is transparent
    page.give_images(tmp_path, low=low, hint=hint)
    for label, number in (("angle, value", 44.5), ("two, x", -0.5), ("two, y", 3)):
        page.tab.fill(f"[aria-label='{label}, as a number']", str(number))
    actual = page.sample(n=4, steps=6, guidance=1.5, **{"given kind": 1})
    given = {"angle": 44.5, "two": [-0.5, 3.0], "kind": HOSTILE[1], "low": low, "hint": tmp_path / "hint.png"}
    settings = {"steps": 6, "guidance": 1.5, "given": given, "label": ["a", "b", "c"]}
    expected = model.spec.from_x(model.sample(4, decode=False, **settings)).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    recipe = page.recipe()
    assert recipe["given"]["angle"] == ["44.5"]
    assert recipe["given"]["two"] == ["-0.5,3"]


VOCABULARY = ("\u2581a", "\u2581red", "\u2581blue", "\u2581circle", "\u2581c", "\u2581z", "u", "r", "b", "e", "ca")
WORDS = Words(VOCABULARY, 6, example="a red circle")


def spoken(path, transformer=False, **conditions):
    """A model with words in a file, whose samples depend on them."""
    conditions = {"caption": WORDS, **conditions}
    model = images(shape=(1, 8, 8), conditions=conditions, **LABELS)
    if transformer:
        net = TransformerConfig(width=16, depth=1, heads=2, patch=2)
        config = dataclasses.replace(model.config, net=net)
        model = Model(build(config, model.spec), model.spec, config)
    torch.manual_seed(0)
    for parameter in model.diffusion.net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save(path)
    return load(path)


@pytest.mark.browser
@pytest.mark.parametrize("transformer", [False, True], ids=["unet", "transformer"])
def test_words(open_page, run, tmp_path, transformer):
    """Typed words, spelled ones too, beside other conditions and with guidance; their PNG is repeated everywhere."""
    model = spoken(path := tmp_path / "run" / "model.safetensors", transformer, angle=Vector((30.0,), (12.5,)))
    page = open_page(model)
    rounded(model)
    page.finished()
    field = page.tab.get_by_label("caption", exact=True)
    assert field.input_value() == "a red circle"
    field.fill("A Red cube, Ω zebra")
    assert page.tab.text_content(".words-note") == (
        "spelled: cube · of the caption 'A Red cube, Ω zebra' the model read only: a red cube · "
        "the last word is left out"
    )
    field.press("Shift+Enter")
    assert field.input_value() == "A Red cube, Ω zebra\n"
    field.fill("A Red cube")
    page.tab.get_by_label("avoid caption", exact=True).fill("blue")
    field.press("Enter")
    page.wait("() => document.querySelector('#status').textContent.includes('no effect with guidance 1')")
    page.tab.evaluate("() => { document.querySelector('[name=guidance]').value = 2 }")
    for name, text in (("n", "4"), ("seed", "5"), ("steps", "6")):
        page.tab.locator(f"[name={name}]").evaluate("(one, text) => { one.value = text }", text)
    field.press("Enter")
    actual = page.finished()
    given = {"caption": "A Red cube", "angle": 30.0}
    settings = {"seed": 5, "steps": 6, "guidance": 2, "label": ["a", "b", "c"], "decode": False}
    settings |= {"avoid": {"caption": "blue"}}
    with pytest.warns(UserWarning, match="has cube, or hardly one: such words are spelled from pieces"):
        expected = model.sample(4, given=given, **settings).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    other = model.sample(4, given={**given, "caption": "a red circle"}, **settings).flatten(1).double()
    assert (other - expected).abs().max() > 0.05
    assert page.recipe()["given"] == {"caption": ["A Red cube"], "angle": ["30"]}
    assert page.recipe()["avoid"] == {"caption": ["blue"]}

    (picture := tmp_path / "picture.png").write_bytes(download(page).read_bytes())
    run("sample", path, "--like", picture, "--out", tmp_path / "python.png")
    assert texts(tmp_path / "python.png")["ancestral"]["given"]["caption"] == ["A Red cube"]
    other = open_page(load(path))
    other.finished()
    other.open_picture(tmp_path / "python.png")
    torch.testing.assert_close(other.sample(), actual, rtol=0, atol=1e-4)
    assert other.tab.get_by_label("caption", exact=True).input_value() == "A Red cube"
    assert other.tab.get_by_label("avoid caption", exact=True).input_value() == "blue"


@pytest.mark.browser
def test_texts_are_an_axis(open_page, run, tmp_path):
    model = spoken(path := tmp_path / "run" / "model.safetensors")
    page = open_page(model)
    rounded(model)
    page.finished()
    page.tab.select_option("[name=axis]", "caption")
    page.tab.get_by_label("caption, a text on each line").fill("a red circle\n\n a blue, blue circle \nnone")
    actual = page.sample(steps=5, guidance=2)
    lines = ["a red circle", "a blue, blue circle", "none"]
    expected = model.sweep({"caption": lines}, steps=5, guidance=2, label="a", decode=False)
    torch.testing.assert_close(actual, expected.flatten(0, 2).flatten(1).double(), rtol=0, atol=1e-4)
    assert page.tab.locator(".tile span").all_text_contents() == lines

    (picture := tmp_path / "picture.png").write_bytes(download(page).read_bytes())
    run("sample", path, "--like", picture, "--out", tmp_path / "python.png")
    assert texts(tmp_path / "python.png")["ancestral"]["sweep"] == {"caption": lines}
    page.tab.select_option("[name=axis]", "")
    page.open_picture(tmp_path / "python.png")
    torch.testing.assert_close(page.sample(), actual, rtol=0, atol=1e-4)


@pytest.mark.browser
def test_a_condition_that_is_a_signal_is_absent(open_page):
    """The page says so, in the place of a control for images."""
    page = open_page(model := images(shape=(1, 16), conditions={"low": Image(1, sides=(4,))}))
    rounded(model)
    actual = page.sample(n=4, steps=5)
    assert "takes no signals" in page.tab.text_content("#conditions")
    assert page.tab.evaluate("() => document.querySelectorAll('#conditions input').length") == 0
    expected = model.sample(4, steps=5, decode=False).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


ONE_PROCESSOR = "Object.defineProperty(navigator, 'hardwareConcurrency', {value: 1})"
ONE_WORKER = """Object.defineProperty(navigator, 'hardwareConcurrency', {value: 4});
    const Made = Worker; let count = 0;
    Worker = function (url) { if (count++) throw new Error('no memory'); return new Made(url); }"""


@pytest.mark.browser
def test_the_number_of_workers_changes_nothing(open_page):
    """Nor does it matter that only one can be started."""
    model = images()
    page = open_page(model)
    samples = page.sample(n=9, steps=4)
    workers = "() => AncestralPage.current().workers"
    assert page.tab.evaluate(workers) > 1
    assert torch.equal(samples[:1], page.sample(n=1, steps=4))
    for script in (ONE_PROCESSOR, ONE_WORKER):
        page = open_page(model, script=script)
        assert torch.equal(samples, page.sample(n=9, steps=4))
        assert page.tab.evaluate(workers) == 1


@pytest.fixture
def saved(tmp_path):
    """A model with classes in a file, and the file."""
    images(**LABELS).save(path := tmp_path / "run" / "model.safetensors")
    return load(path), path


def download(page):
    """Press Save, and return the file."""
    with page.tab.expect_download() as event:
        page.tab.click("#save")
    return event.value.path()


def drop(page, path):
    """Drop a file on the page."""
    code = """bytes => { const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], "dropped.png", {type: "image/png"}));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})); }"""
    page.tab.evaluate(code, list(path.read_bytes()))


def texts(path):
    with PillowImage.open(path) as image:
        return {name: json.loads(text) for name, text in image.info.items()}


@pytest.mark.browser
def test_a_picture_is_made_again_from_its_png(open_page, saved, run, tmp_path):
    """By the page, and by `ancestral sample --like`; and the page makes a picture of that again."""
    model, path = saved
    page = open_page(model)
    page.finished()
    page.tab.evaluate("() => document.querySelectorAll('[name=label]').forEach(one => one.checked = one.value > 0)")
    settings = {"n": 4, "seed": 11, "guidance": 1.5, "sampler": 1, "steps": 7}
    first = page.sample(**settings)
    (picture := tmp_path / "picture.png").write_bytes(download(page).read_bytes())
    recipe = texts(picture)["ancestral"]
    assert recipe == page.recipe() == texts(picture)["ancestral-page"]["recipe"]
    json_schemas()[recipe["$schema"]].validate(recipe)
    assert recipe["label"] == ["b", "c"]

    other = open_page(model)
    other.finished()
    drop(other, picture)
    other.wait("() => document.querySelector('#status').textContent.includes('settings of the picture')")
    assert torch.equal(other.sample(), first)
    assert other.recipe() == recipe

    run("sample", path, "--like", picture, "--out", tmp_path / "python.png")
    again = texts(tmp_path / "python.png")["ancestral"]
    assert again == {**recipe, "sampler": again["sampler"]}
    assert model.sampler(again["sampler"]) == model.sampler(recipe["sampler"])

    run(
        "sample",
        path,
        *["--seed", "3", "-n", "6", "--sampler", "ddim", "--eta", "0.5", "--steps", "5", "--out"],
        tmp_path / "own.png",
    )
    other.tab.set_input_files("#open-file", tmp_path / "own.png")
    other.wait("() => document.querySelector('[name=seed]').value === '3'")
    expected = model.sample(6, "ddim:eta=0.5", 5, 3, decode=False).flatten(1).double()
    torch.testing.assert_close(other.sample(), expected, rtol=0, atol=1e-3)


@pytest.mark.browser
@pytest.mark.parametrize("axis", but_one_long(["label", "angle", "guidance"]))
def test_an_axis_is_a_sweep_of_python(open_page, run, tmp_path, axis):
    """Each sample has another value and the same noise; the PNG is repeated by the page and by `ancestral sample`."""
    conditions = {"angle": Vector((30.0,), (12.5,), low=(10.0,), high=(50.0,)), "kind": Classes(("u", "v"))}
    images(conditions=conditions, **LABELS).save(path := tmp_path / "run" / "model.safetensors")
    model = load(path)
    page = open_page(model)
    rounded(model)
    actual = page.sample(n=4, steps=5, seed=3, axis=axis, **{"given kind": 1})
    own = {"label": ["a", "b", "c"], "angle": (10, 70 / 3, 110 / 3, 50), "guidance": (0, 4 / 3, 8 / 3, 4)}
    fixed = {"given": {"angle": 30.0, "kind": "v"}, "label": "a"}
    settings = {"steps": 5, "seed": 3, "given": {name: value for name, value in fixed["given"].items() if name != axis}}
    settings |= {"label": "a"} if axis != "label" else {}
    expected = model.sweep({axis: own[axis]}, decode=False, **settings).flatten(0, 2).flatten(1).double()
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=0, atol=1e-4)

    (picture := tmp_path / "picture.png").write_bytes(download(page).read_bytes())
    run("sample", path, "--like", picture, "--out", tmp_path / "python.png")
    assert texts(tmp_path / "python.png")["ancestral"]["sweep"].keys() == {axis}
    other = open_page(load(path))
    other.finished()
    other.open_picture(tmp_path / "python.png")
    torch.testing.assert_close(other.sample(), actual, rtol=0, atol=1e-4)


@pytest.mark.browser
def test_one_sample_with_conditions_is_made_again(open_page, run, tmp_path):
    """Its PNG is the sample in its own size, and holds the images of the conditions for the page; Python is given them.

    Colours of transparent pixels, which a browser does not keep, do not matter where a mask says that they are unknown.
    """
    conditions = {"angle": Vector((30.0,), (12.5,)), "kind": Classes(("u", "v")), "low": Image(1, sides=(4, 3))}
    conditions["hint"] = Image(4, masked=True)
    images(shape=(1, 8, 8), conditions=conditions, **LABELS).save(path := tmp_path / "run" / "model.safetensors")
    page = open_page(load(path))
    page.finished()
    rng = np.random.default_rng(0)
    low, hint = rng.integers(0, 256, (4, 3), dtype=np.uint8), rng.integers(1, 256, (8, 8, 4), dtype=np.uint8)
    hint[..., 3] = rng.choice([0, 255], (8, 8))
    page.give_images(tmp_path, low=low, hint=hint)
    first = page.sample(n=1, steps=6, guidance=1.5, **{"given kind": 1})
    (picture := tmp_path / "picture.png").write_bytes(download(page).read_bytes())

    images_again = [word for name in ("low", "hint") for word in ("--given", f"{name}={tmp_path / name}.png")]
    run("sample", path, "--like", picture, *images_again, "--out", tmp_path / "python.png")
    ours, theirs = (np.asarray(PillowImage.open(one)).astype(int) for one in (picture, tmp_path / "python.png"))
    assert ours.shape == theirs.shape == (8, 8)
    assert abs(ours - theirs).max() <= 1

    other = open_page(load(path))
    other.finished()
    other.open_picture(picture)
    assert torch.equal(other.sample(), first)


@pytest.mark.browser
def test_pngs_that_the_page_refuses(open_page, saved, run, tmp_path):
    _, path = saved
    page = open_page(images(**LABELS))
    page.finished()
    run("sample", path, "-n", 1, "--steps", 2, "--out", tmp_path / "other.png")
    page.tab.set_input_files("#open-file", tmp_path / "other.png")
    page.wait("() => document.querySelector('#status').textContent === 'The picture was made by another model.'")
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.tab.set_input_files("#open-file", tmp_path / "broken.png")
    page.wait("() => document.querySelector('#status').textContent.includes('is no image that the browser can read')")


def png(recipe):
    """A PNG with a recipe in it, as bytes; None: with a text that is not JSON."""
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("ancestral", "{" if recipe is None else json.dumps(recipe))
    PillowImage.new("L", (4, 4)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


CONTROLS = """() => [...document.querySelectorAll('#page input:not([type=file]), #page select')].map(
    one => one.type === 'checkbox' || one.type === 'radio' ? one.checked : one.value)"""
DAMAGED = "The settings in the picture are damaged."
NOT_HERE = "The picture was made with guidance, models or edits that this page does not have."
NO_SAMPLER = "The page does not have the sampler"
BAD_RECIPES = {
    "no JSON": (None, DAMAGED),
    "a number": (3, DAMAGED),
    "n of -1": ({"n": -1}, DAMAGED),
    "n of 1e9": ({"n": 10**9}, "at most 4096"),
    "n as text": ({"n": "<b>"}, DAMAGED),
    "seed as text": ({"seed": "abc"}, DAMAGED),
    "seed of 2^64": ({"seed": 2**64}, "larger than this page can count"),
    "a million steps": ({"sampler": "ddim:steps=1000000,eta=0.0,clip=None,spacing=trailing"}, NO_SAMPLER),
    "steps as text": ({"sampler": "ddim:steps=x,eta=0.0,clip=None,spacing=trailing"}, NO_SAMPLER),
    "prototype": ({"sampler": "__proto__:steps=3"}, NO_SAMPLER),
    "corrections without end": ({"sampler": "pc:steps=3,corrections=1e300"}, NO_SAMPLER),
    "sampler missing": ({"sampler": None}, DAMAGED),
    "guidance as text": ({"guidance": "2"}, DAMAGED),
    "class of the prototype": ({"label": ["__proto__"]}, "classes that this model does not have"),
    "label as text": ({"label": "a"}, DAMAGED),
    "given as number": ({"given": 3}, DAMAGED),
    "given unknown": ({"given": {"constructor": ["1"]}}, "The model has no condition constructor."),
    "too few indices": ({"index": [1]}, DAMAGED),
    "an edit": ({"edit": {"task": "vary"}}, NOT_HERE),
    "a recipe of an earlier version": ({"schema": "recipe-1"}, NOT_HERE),
    "a branch": ({"parent": {"seed": 3}, "at": 4}, NOT_HERE),
    "an option that the page does not have": ({"later": 0.5}, NOT_HERE),
}


@pytest.mark.browser
def test_damaged_and_hostile_recipes_change_nothing(open_page, saved):
    """Each is refused in one line, with all controls as they were; the page samples on."""
    page = open_page(saved[0])
    page.sample(n=4, seed=8, steps=3)
    recipe, controls = page.recipe(), page.tab.evaluate(CONTROLS)
    for name, (change, message) in BAD_RECIPES.items():
        page.tab.evaluate("() => AncestralPage.say('')")
        content = {**recipe, **change} if isinstance(change, dict) else change
        file = {"name": "bad.png", "mimeType": "image/png", "buffer": png(content)}
        page.tab.set_input_files("#open-file", file)
        page.wait("() => document.querySelector('#status').textContent")
        assert message in page.status, name
        assert page.tab.evaluate(CONTROLS) == controls, name
    page.sample()
    assert page.recipe() == recipe


@pytest.mark.browser
@pytest.mark.parametrize("guidance", [1.3, 7.5, -1])
def test_settings_of_python_beyond_the_controls(open_page, saved, guidance):
    """A scale between or beyond the notches of the slider, and labels in an order of their own, are kept."""
    page = open_page(model := saved[0])
    page.sample(n=4, steps=3)
    recipe = {**page.recipe(), "guidance": guidance, "label": ["c", "a", "c"]}
    file = {"name": "python.png", "mimeType": "image/png", "buffer": png({**recipe, "later": None})}
    page.open_picture(file)
    actual = page.sample()
    assert page.recipe() == recipe
    options = {"guidance": guidance, "label": ["c", "a", "c"], "decode": False}
    expected = model.sample(4, recipe["sampler"], **options).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-3)
    page.tab.click('.chips [title="b"]')
    page.sample()
    assert page.recipe()["label"] == ["a", "b", "c"]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.browser
def test_pictures_that_unpack_to_too_much(open_page, tmp_path):
    """A text of 200 MB in a PNG of 200 kB, and an image of 400 million pixels, before it is decoded."""
    page = open_page(images(shape=(1, 8, 8)))
    page.finished()
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0))
    text = chunk(b"iTXt", b"ancestral\0\1\0\0\0" + zlib.compress(bytes(200_000_000)))
    for name, content, message in (("text", text, DAMAGED), ("pixels", b"", "over 50 million pixels")):
        (path := tmp_path / f"{name}.png").write_bytes(head + content + chunk(b"IEND", b""))
        page.tab.set_input_files("#open-file", path)
        page.wait(f"() => document.querySelector('#status').textContent.includes({message!r})")


@pytest.mark.browser
def test_a_class_of_the_name_none(open_page):
    """Is a class, as in Python, and no other choice has its name."""
    page = open_page(images(classes=("none", "b")))
    page.sample(n=4, steps=2)
    captions = "() => [...document.querySelectorAll('#grid .tile')].map(one => one.textContent)"
    assert page.tab.evaluate(captions) == ["none", "b", "none", "b"]
    assert page.tab.evaluate("() => [...document.querySelectorAll('[name=label]')].map(one => one.value)") == [
        "all",
        "0",
        "1",
    ]


def drawn(page, side=8):
    """The mask that is drawn on a grey image of equal sides, from the picture that the user sees of it."""
    return page.tab.evaluate(
        """side => { const canvas = document.querySelector('#mask');
        canvas.blur();
        const pen = new OffscreenCanvas(side, side).getContext('2d', {willReadFrequently: true});
        pen.imageSmoothingEnabled = false;
        pen.drawImage(canvas, 0, 0, side, side);
        const {data} = pen.getImageData(0, 0, side, side);
        return Array.from({length: side * side}, (_, i) => data[4 * i] > data[4 * i + 2] + 60); }""",
        side,
    )


@pytest.mark.browser
@pytest.mark.parametrize(("side", "latent"), [(8, None), (15, 2)], ids=["pixels", "latents"])
def test_a_part_is_filled_in(open_page, tmp_path, side, latent):
    """By DDNM, as in Python. The mask is that which is drawn, and what is known stays to the bit."""
    page = open_page(model := images(classes=("a", "b"), shape=(3, side, side), latent=latent))
    rounded(model)
    page.finished()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 1), dtype=np.uint8).repeat(3, axis=2)
    PillowImage.fromarray(pixels).save(path := tmp_path / "image.png")
    page.tab.click("#edit summary")
    page.tab.set_input_files("#edit-file", path)
    page.tab.wait_for_selector("#mask")
    page.tab.click("#run")
    page.wait("() => document.querySelector('#status').textContent.startsWith('Paint what is')")
    page.tab.check("[name=tool][value=box]", force=True)
    canvas = page.tab.locator("#mask")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y, each = box["x"], box["y"], box["width"] / side
    page.tab.mouse.move(x + 2.5 * each, y + 1.5 * each)
    page.tab.mouse.down()
    page.tab.mouse.move(x + 5.5 * each, y + 6.5 * each)
    page.tab.mouse.up()
    page.tab.check("[name=tool][value=erase]", force=True)
    page.tab.evaluate("() => document.querySelector('[name=width]').value = 1")
    page.tab.mouse.click(x + 4.5 * each, y + 3.5 * each)
    page.tab.mouse.click(x + 0.5 * each, y + 0.5 * each)
    page.tab.keyboard.press("Control+z")
    mask = np.zeros((side, side), dtype=bool)
    mask[1:7, 2:6], mask[3, 4] = True, False
    assert np.array_equal(np.reshape(drawn(page, side), mask.shape), mask)

    actual = page.sample(n=4, seed=2, steps=9)
    options = {"method": "ddnm", "sampler": model.sampler(), "seed": 2, "label": ["a", "b"], "decode": False}
    options["sampler"] = model.sampler(steps=9)
    expected = model.spec.from_x(model.inpaint(path, mask, 4, **options).as_subclass(torch.Tensor)).flatten(1).double()
    torch.testing.assert_close(actual.clamp(-1, 1), expected.clamp(-1, 1), rtol=0, atol=1e-4)
    frames = page.tab.evaluate("() => AncestralPage.current().frames.map(one => [...one.at(-1).x])")
    shown = np.array(frames, dtype=np.uint8).reshape(4, 3, side, side)
    assert (shown[:, :, ~mask] == pixels.transpose(2, 0, 1)[:, ~mask]).all()
    assert (shown[:, :, mask] != pixels.transpose(2, 0, 1)[:, mask]).any()

    saved = download(page)
    assert "ancestral" not in texts(saved)  # `sample` cannot repeat it
    (tmp_path / "saved.png").write_bytes(saved.read_bytes())
    page.tab.click("#edit-off")
    page.sample(n=1)
    page.tab.set_input_files("#open-file", tmp_path / "saved.png")
    page.tab.wait_for_selector("#mask")
    assert torch.equal(page.sample(), actual)


@pytest.mark.browser
def test_a_tile_is_filled_in_by_keys(open_page):
    page = open_page(images(shape=(1, 8, 8)))
    page.sample(n=1, steps=3)
    page.tab.focus("#grid button")
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("() => document.activeElement.id") == "mask"
    page.tab.evaluate("() => document.querySelector('[name=width]').value = 1")
    for key in ("ArrowLeft", "ArrowLeft", "Space", "ArrowDown", "Enter"):
        page.tab.keyboard.press(key)
    assert [i for i, one in enumerate(drawn(page)) if one] == [4 * 8 + 2, 5 * 8 + 2]
    page.tab.check("[name=tool][value=box]", force=True)
    page.tab.focus("#mask")
    for key in ("Space", "ArrowRight", "ArrowDown", "Space", "Control+z"):
        page.tab.keyboard.press(key)
    assert sum(drawn(page)) == 2


@pytest.mark.browser
def test_keys(open_page):
    """All is reached by Tab, each control has a name, and space and arrows move through the steps."""
    page = open_page(images(**LABELS))
    page.sample(n=4, steps=9)
    nameless = """() => [...document.querySelectorAll('input, select, button, canvas[tabindex]')].filter(part =>
        part.checkVisibility() && !(part.ariaLabel || part.textContent.trim() && part.matches('button') ||
        [...part.labels || []].some(label => label.textContent.trim()))).map(part => part.outerHTML)"""
    page.tab.click("#edit summary")
    assert page.tab.evaluate(nameless) == []
    page.tab.evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        reached.add(page.tab.evaluate("() => document.activeElement.id || document.activeElement.name || ''"))
    needed = {"run", "at", "view", "n", "seed", "label", "guidance", "sampler", "steps", "save", "open-file"}
    assert needed <= reached
    page.tab.evaluate("() => document.activeElement.blur()")
    position = "() => Number(document.querySelector('#at').value)"
    assert page.tab.evaluate(position) == 9
    page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("ArrowLeft")
    assert page.tab.evaluate(position) == 7
    page.tab.keyboard.press(" ")
    assert page.tab.get_attribute("#play", "aria-label") == "Pause"
    page.wait("() => Number(document.querySelector('#at').value) === 9")
    page.wait("() => document.querySelector('#play').ariaLabel === 'Play'")


CONTRASTS = """() => {
    const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = text => { const [r, g, b] = numbers(text).map(v => v / 255).map(
        v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = part => { const colour = getComputedStyle(part).backgroundColor;
        return numbers(colour)[3] === 0 && part.parentElement ? ground(part.parentElement) : colour; };
    const texts = [...document.querySelectorAll('body *')].filter(part => part.checkVisibility() &&
        !part.closest('.hidden, :disabled') && [...part.childNodes].some(one => one.nodeType === 3 && one.data.trim()));
    return texts.map(part => [getComputedStyle(part).color, ground(part)].map(light).sort((a, b) => b - a)).map(
        ([more, less]) => (more + 0.05) / (less + 0.05)); }"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page, scheme):
    """Of all texts with what lies behind them: level AA of WCAG needs 4.5."""
    page = open_page(images(shape=(1, 8, 8), conditions=CONDITIONS, **LABELS), color_scheme=scheme)
    page.finished()
    page.tab.click("#grid button")
    page.tab.emulate_media(reduced_motion="reduce")
    page.wait("() => document.getAnimations().every(one => one.playState === 'finished')")  # colours change gradually
    contrasts = page.tab.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    assert min(contrasts) >= 4.5


@pytest.mark.browser
def test_stop(open_page):
    page = open_page(images())
    page.finished()
    page.tab.select_option("[name=n]", "64")
    page.tab.fill("#steps", "100")
    page.tab.click("#run")
    page.wait("() => document.querySelector('#step').textContent.startsWith('Step')")
    page.tab.click("#stop")
    page.wait("() => document.querySelector('#status').textContent === 'Stopped.'", seconds=2)
    assert page.tab.is_disabled("#save")
    assert page.tab.evaluate("() => !AncestralPage.current().samples.length")
    page.tab.select_option("[name=n]", "4")
    page.tab.click("#run")
    assert len(page.finished()) == 4


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
def test_names_from_the_user_are_text(open_page, width):
    """In the title, the classes and the conditions; and no name makes the page wider than the window."""
    conditions = {"kind": Classes(HOSTILE), "v": Vector((0.0,), (1.0,), (HOSTILE[0],))}
    model = images(classes=(*HOSTILE, "x" * 300), conditions=conditions)
    page = open_page(model, HOSTILE[0], viewport={"width": width, "height": 740}, color_scheme="dark")
    page.finished()
    assert page.tab.title() == HOSTILE[0]
    assert page.tab.text_content("h1") == HOSTILE[0]
    chips = page.tab.evaluate("() => [...document.querySelectorAll('.chips span')].map(one => one.textContent)")
    assert chips[2:5] == list(HOSTILE)
    assert page.tab.evaluate("() => document.scripts.length") == 7
    assert page.tab.evaluate("() => document.documentElement.scrollWidth") <= width
    outside = """width => [...document.querySelectorAll('body *')].filter(part => part.checkVisibility() &&
        !part.closest('.hidden') && part.getBoundingClientRect().right > width + 0.5).map(part => part.outerHTML)"""
    assert page.tab.evaluate(outside, width) == []


@pytest.mark.browser
def test_many_classes_are_a_list(open_page):
    page = open_page(model := images(classes=tuple(f"class {i}" for i in range(60))))
    rounded(model)
    page.finished()
    page.tab.select_option("[name=label]", "class 47")
    actual = page.sample(n=4, steps=3)
    expected = model.sample(4, steps=3, label="class 47", decode=False).flatten(1).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.browser
def test_firefox(tmp_path):
    """The same samples in Firefox, without a network."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if not program:
        pytest.skip("Firefox is not installed")
    write_html(model := images(**LABELS), tmp_path / "page.html", "model", "A model.")
    rounded(model)
    (tmp_path / "profile").mkdir()
    firefox = Firefox(program, tmp_path / "profile")
    try:
        firefox.send("WebDriver:Navigate", {"url": (tmp_path / "page.html").as_uri()})
        firefox.wait("return Boolean(page.AncestralPage?.current?.()?.seconds)")
        samples = firefox.run("return page.AncestralPage.current().samples.map(one => [...one])")
    finally:
        firefox.close()
    actual = torch.tensor(samples, dtype=torch.float64)
    exact = model.sample(len(actual), decode=False)  # fewer than 16 where the page measured a slow browser
    torch.testing.assert_close(actual, exact.flatten(1).double(), rtol=0, atol=1e-4)


# -- the files -------------------------------------------------------------------------------------------------------


def test_the_policy_of_the_page(tmp_path):
    """Scripts by their hashes, and no request; what is the user's stands nowhere but in packed text and escaped."""
    write_html(images(classes=HOSTILE), path := tmp_path / "page.html", HOSTILE[1], HOSTILE[0])
    text = path.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in html.unescape(policy)
    scripts = re.findall(r"<script( [^>]*)?>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == text.count("<script") == text.count("</script")
    hashes = re.findall(r"'sha256-[^']*'", rules["script-src"])
    run = [source for attributes, source in scripts if "text/plain" not in attributes]
    digests = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in run]
    assert hashes == [f"'sha256-{digest}'" for digest in digests]
    assert "alert(1)" not in re.sub(r"&lt;/script&gt;&lt;script&gt;alert\(1\)", "", text)
    assert "style=" not in text
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert "http:" not in re.sub(r"http-equiv", "", text)
    assert "https:" not in text


@pytest.mark.parametrize(
    ("shape", "codec", "message"),
    [
        ((3,), "float", "a page shows points in 2 dimensions, and these have 3"),
        ((1, 4, 4, 4), "uint8", "a page shows images, signals and points, and no volumes"),
        ((5, 8, 8), "uint8", "images of 1 or 3 channels, and integers also with alpha; these have 5 channels of uint8"),
        ((4, 8, 8), "float", "these have 4 channels of float"),
    ],
)
def test_what_a_page_cannot_show(tmp_path, shape, codec, message):
    model = images(shape=shape)
    model.spec = dataclasses.replace(model.spec, codec=Codec(codec))
    with pytest.raises(InputError, match=message):
        write_html(model, tmp_path / "page.html", "model", "A model.")
    assert not any(tmp_path.iterdir())


@pytest.mark.long
def test_export_to_html(saved, run, refused):
    """In the run folder, where it is replaced; elsewhere nothing is."""
    _, path = saved
    for _ in range(2):
        printed = run("export", path.parent, "--to", "html")
        assert f"Open {path.parent / 'page.html'} in a browser" in printed
    assert "<title>run</title>" in (path.parent / "page.html").read_text(encoding="utf-8")
    other = path.parent / "other.html"
    run("export", path, "--to", "html", "--out", other)
    assert f"{other} exists already" in refused("export", path, "--to", "html", "--out", other)
    assert "a file that ends in .html" in refused("export", path, "--to", "html", "--out", path.parent / "x.txt")
    assert "a page takes labels as an input" in refused("export", path, "--to", "html", "--label", "a")


@pytest.mark.long
def test_export_to_space(saved, run, refused):
    _, path = saved
    folder = path.parent / "space"
    assert "--repo-type space" in run("export", path.parent, "--to", "space")
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "index.html"]
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    settings = yaml.safe_load(front)
    assert (settings["title"], settings["sdk"], settings["app_file"]) == ("run", "static", "index.html")
    assert settings["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert body.startswith("# run\n")
    assert "is not empty" in refused("export", path.parent, "--to", "space")
    assert "a Space takes labels as an input" in refused("export", path, "--to", "space", "--label", "a")


@pytest.mark.long
def test_a_space_with_a_hostile_name(tmp_path):
    name = "a: b\n---\n# x\"'\u2028"
    card = fill_template("space_card.md", name=name, description="d", model=images())
    front = card.split("---\n", 2)[1]
    assert yaml.safe_load(front)["title"] == name
    write_space(images(), tmp_path / "space", name, "d", card)
    assert (tmp_path / "space" / "README.md").read_text(encoding="utf-8") == card
