"""Fixtures of the tests of the package and of the studio, each of whose conftest.py imports them: a tiny run, trained
once, commands, and a browser. Processes that tests start see the environment that is set here.
"""

import functools
import gc
import json
import os
import platform
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from matplotlib.figure import Figure
from PIL import Image

from ancestral.base.result import Result
from ancestral.config import Config
from ancestral.config.data_sources import HEIC, SUFFIXES
from ancestral.faces import command as cli
from ancestral.faces.schema_files import schema_files
from ancestral.render import compositions
from ancestral.training import RunFolder, Trainer, step_cost
from ancestral.use_cases.training import training_previews as previews
from tiny_models import stripes, tiny_config

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # an activated environment


if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores, and so do the processes that their tests start
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


INSTRUCTIONS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16")
"""The instruction sets that oneDNN chooses kernels by; each orders sums otherwise."""


def pytest_report_header(config):
    """What numbers may depend on beside the packages: the processor, its instruction set, and the number of threads."""
    facts = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.10 has none
    instructions = ", ".join(name for name in INSTRUCTIONS if facts.get(name)) or "unknown instructions"
    workers = config.getoption("numprocesses", None)
    threads = f"{workers} workers of one thread" if workers else f"{torch.get_num_threads()} threads"
    kernels = f"PyTorch {torch.__version__} by {torch.backends.cpu.get_cpu_capability()}"
    names = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
    settings = "".join(f", {name}={os.environ[name]}" for name in names if name in os.environ)
    processor = facts.get("cpu_name") or platform.processor() or platform.machine()
    return f"processor: {processor} ({instructions}), {os.cpu_count()} cores; {kernels}, {threads}{settings}"


gc.disable()  # while tests are collected: nothing is garbage, and to find that out takes a fifth of the time


def pytest_collection_finish(session):
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


SHORT = {
    previews: {"PREVIEW_STEPS": 3, "LAST_PREVIEW_STEPS": 4},
    step_cost: {"LEAST_SECONDS": 0.0, "LEAST_BYTES": 0},
    compositions: {"CLOUDS": 1},
}
"""Numbers of the package, each with a smaller one: sampling steps of previews, time and memory to measure, plots."""
LONG = {(module, name): getattr(module, name) for module, numbers in SHORT.items() for name in numbers}
DRAWN = Figure.savefig


def _blank(figure, file, **_options):
    """A blank page in the size of a figure."""
    Image.new("RGBA", (figure.get_size_inches() * figure.dpi).round().astype(int).tolist()).save(file, "PNG")


@pytest.fixture(scope="session", autouse=True)
def _short_trainings():
    """Shorten what precedes and follows the few steps that most tests train; figures are blank."""
    with pytest.MonkeyPatch.context() as patch:
        for module, numbers in SHORT.items():
            for name, number in numbers.items():
                patch.setattr(module, name, number)
        patch.setattr(Figure, "savefig", _blank)
        yield


@functools.cache
def json_schemas():
    """The validators of all JSON Schemas, by their addresses."""
    return {one["$id"]: Draft202012Validator(one) for one in schema_files().values()}


@pytest.fixture(scope="session", autouse=True)
def _valid_files():
    """Every config.json, recipe and result that a test writes in this process obeys the JSON Schema that it names."""

    def checking(write):
        @functools.wraps(write)
        def call(value):
            text = write(value)
            tree = json.loads(text)
            if "$schema" in tree:
                json_schemas()[tree["$schema"]].validate(tree)
            return text

        return call

    with pytest.MonkeyPatch.context() as patch:
        for kind, name in ((Result, "to_json"), (Config, "to_file_text")):
            patch.setattr(kind, name, checking(getattr(kind, name)))
        yield


def _restore(monkeypatch, module):
    for (place, name), number in LONG.items():
        if place is module:
            monkeypatch.setattr(place, name, number)


@pytest.fixture
def measured(monkeypatch):
    """Measure the time of a step and the memory of many items, which other tests leave out."""
    _restore(monkeypatch, step_cost)


@pytest.fixture
def figures(monkeypatch):
    """Draw with matplotlib, which other tests leave out."""
    _restore(monkeypatch, compositions)
    monkeypatch.setattr(Figure, "savefig", DRAWN)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The run folder of a tiny model, six steps old."""
    torch.manual_seed(0)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    trainer = Trainer(tiny_config(), stripes(), "cpu")
    folder.begin(trainer.config)
    list(trainer.run(folder))
    return folder


@pytest.fixture
def no_heic(monkeypatch):
    """As if Pillow's plug-in for HEIC were not installed."""
    for suffix in HEIC:
        monkeypatch.delitem(SUFFIXES, suffix)


@pytest.fixture
def run(capsys):
    """What `ancestral ARGV` prints; exit code 0."""

    def call(*argv):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in argv])
        captured = capsys.readouterr()
        assert stop.value.code == 0, captured.err
        return captured.out

    return call


@pytest.fixture
def refused(capsys):
    """The one line in which `ancestral ARGV` is refused; exit code 2."""

    def call(*argv):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in argv])
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.err.startswith("ancestral: ")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err

    return call


@pytest.fixture
def refused_in(refused, monkeypatch):
    """The one line in which a command is refused in a folder, where it writes nothing."""

    def files(folder):
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    def call(folder, command):
        monkeypatch.chdir(folder)
        before = files(folder)
        line = refused(*shlex.split(command))
        assert files(folder) == before
        return line

    return call


def patient(make):
    """The function, whose page or context waits for two minutes before it says that something did not come about."""

    def call(**options):
        made = make(**options)
        made.set_default_timeout(120_000)
        return made

    return call


@functools.cache
def _playwright():
    """Playwright, and the Chromium that it drives. A process can start it once, and each conftest.py has a fixture."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "install Chromium: apt-get install chromium"
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--no-first-run", *quiet])
    browser.new_page, browser.new_context = patient(browser.new_page), patient(browser.new_context)
    return playwright, browser


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium, driven by Playwright."""
    playwright, browser = _playwright()
    yield browser
    if browser.is_connected():
        browser.close()
        playwright.stop()
