"""What several tests share: a tiny run, trained once, and processes that train together."""

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from studio_client import studio
from torch import nn

from ancestral import config as configs
from ancestral import data
from ancestral.config.folders import HEIC, SUFFIXES
from ancestral.data import InMemoryDataset
from ancestral.data.spec import Codec, DataSpec
from ancestral.faces import command as cli
from ancestral.faces.functions import read
from ancestral.model import Model, build
from ancestral.model.autoencoders import build_autoencoder
from ancestral.objectives import Denoising, Objective, time_distribution
from ancestral.render import compositions
from ancestral.training import RunFolder, Trainer, step_cost
from ancestral.use_cases import start
from ancestral.use_cases.training import training_previews as previews
from bucket_server import bucket, object_store  # noqa: F401 (fixtures)

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # an activated environment

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores, and so do the processes that their tests start
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def events_of(declaration):
    """A use case that takes its arguments as its function in Python does, and returns its events."""
    return lambda *places, **named: start(read(declaration, places, named))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


DRAWING = {(compositions, "_clouds"): compositions._clouds, (Figure, "savefig"): Figure.savefig}
MEASURING = {"_seconds": step_cost._seconds, "LEAST_BYTES": step_cost.LEAST_BYTES}


def _blank(figure, file, **_options):
    """A blank page in the size of a figure."""
    Image.new("RGBA", (figure.get_size_inches() * figure.dpi).round().astype(int).tolist()).save(file, "PNG")


@pytest.fixture(scope="session", autouse=True)
def _short_trainings():
    """Shorten what precedes and follows the few steps that most tests train.

    The time of a step is not measured, the last preview has 4 sampling steps, and figures are blank. The fixtures
    `measured` and `figures` restore the first and the last.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(previews, "PREVIEW_STEPS", 3)
        patch.setattr(previews, "LAST_PREVIEW_STEPS", 4)
        patch.setattr(compositions, "_clouds", lambda states, captions: Image.new("RGB", (96, 32)))
        patch.setattr(Figure, "savefig", _blank)
        patch.setattr(step_cost, "_seconds", lambda trainer, count: 0.01)
        patch.setattr(step_cost, "LEAST_BYTES", 0)
        yield


@pytest.fixture
def measured(monkeypatch):
    """Measure the time of a step and the memory of many items, which other tests leave out."""
    for name, value in MEASURING.items():
        monkeypatch.setattr(step_cost, name, value)


@pytest.fixture
def figures(monkeypatch):
    """Draw with matplotlib, which other tests leave out."""
    for (place, name), function in DRAWING.items():
        monkeypatch.setattr(place, name, function)


def tiny_config(**train):
    """A U-Net of a few thousand parameters on 8×8 images with two classes."""
    base = configs.preset("digits")
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, source="stripes"),
        net=configs.UNetConfig(width=16, mults=(1,), blocks=1, attention=(8,), dropout=0.1),
        process=configs.ProcessConfig("cosine", target="v"),
        train=dataclasses.replace(
            base.train,
            **{"steps": 6, "batch_size": 8, "warmup": 2, "save_every": 3, "optimiser": "adam", **train},
        ),
    )


def stripes(count=40, channels=1):
    """Images 8×8 of vertical or horizontal stripes, by class."""
    labels = torch.arange(count) % 2
    bars = (torch.arange(8) % 4 < 2).to(torch.uint8) * 255
    images = torch.where(labels.bool()[:, None, None], bars[None, :, None], bars[None, None, :])
    return InMemoryDataset(
        images[:, None].repeat(1, channels, 1, 1).contiguous(), labels, ("vertical", "horizontal"), "stripes"
    )


def conditional_stripes(count=40):
    """Stripes with classes besides the label, a vector, an image and a random mask of each; some are missing."""
    images, rows = stripes(count), torch.arange(count)
    conditions = {
        "label": images.labels,
        "colour": rows % 4 - 1,
        "angle": torch.where(rows % 5 == 0, torch.nan, rows / 3),
        "low": images.items[:, :, ::2, ::2].flip(3),
    }
    return data.open(data.open((images.items, conditions)), given=("hole=mask",))


class LearnedWeights(nn.Module, Objective):
    """EDM2's learned loss weights, one for each t."""

    def __init__(self, denoiser):
        nn.Module.__init__(self)
        Objective.__init__(self, time_distribution("uniform", denoiser.schedule))
        self.inner = Denoising(self.times)
        self.u = nn.Parameter(0.1 * torch.randn(denoiser.schedule.steps + 1))

    def errors(self, forward):
        u = self.u[forward.t]
        return self.inner.errors(forward) / u.exp() + u


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The run folder of a tiny model, six steps old."""
    torch.manual_seed(0)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    trainer = Trainer(tiny_config(), stripes(), "cpu")
    folder.begin(trainer.config)
    list(trainer.run(folder))
    return folder


def wait_for_saves():
    """Wait for the saves in the background, so that what is on the disk does not depend on how fast they are."""
    for thread in threading.enumerate():
        if thread.name == "ancestral-save":
            thread.join()


def wake(net):
    """Give the layers that are initialised to zero some weight, or nothing would be compared."""
    for parameter in net.parameters():
        if parameter.abs().max() < 1e-4:
            torch.nn.init.normal_(parameter, std=0.02)
    return net


def untrained(shape=(3, 8, 8), classes=(), process=None, augment=0.0, conditions=None, latent=None, **net):
    """A model with random weights: a tiny U-Net, or for one dimension an MLP; with a factor, of latents."""
    settings = {"width": 16, "mults": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.1, "groups": 4, **net}
    config = dataclasses.replace(
        configs.Config(),
        data=configs.DataConfig(augment=augment),
        net=configs.UNetConfig(**settings),
        process=process or configs.ProcessConfig(),
        latent=configs.LatentConfig(latent, 3, 8) if latent else configs.LatentConfig(),
    )
    codec = Codec("uint8" if len(shape) == 3 else "float")
    facts = DataSpec(shape, codec, tuple(classes), conditions=conditions or {})
    if latent:
        facts = dataclasses.replace(facts, autoencoder=wake(build_autoencoder(config.latent, facts)))
    denoiser = build(config, facts)
    wake(denoiser)
    return Model(denoiser, facts, config, step=3)


def together(*words, count=2):
    """Run `python WORDS` in `count` processes of one training group; return what each printed. All exit with code 0."""
    with socket.socket() as listener:
        # Held until the end, so that no other test is given the port. A listener that reuses addresses may take it.
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "OMP_NUM_THREADS": 1}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": listener.getsockname()[1]}
        shared |= {"PYTHONPATH": os.pathsep.join(sys.path)}
        started = []
        for rank in range(count):
            variables = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen([sys.executable, *map(str, words)], env=os.environ | variables, **pipes))
        outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * count, outputs
    return [output for output, _ in outputs]


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


def patient(make):
    """The function, whose page or context waits for two minutes before it says that something did not come about."""

    def call(**options):
        made = make(**options)
        made.set_default_timeout(120_000)
        return made

    return call


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "install Chromium: apt-get install chromium"
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--no-first-run", *quiet])
        browser.new_page, browser.new_context = patient(browser.new_page), patient(browser.new_context)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_studio(tiny_run, tmp_path_factory):
    """A studio over the tiny run, its server and a client, for the tests of a file."""
    with studio(tiny_run.path, out=tmp_path_factory.mktemp("studio")) as both:
        both[1].get("/")
        yield both


@pytest.fixture
def own_studio(tiny_run, tmp_path):
    """A studio over the tiny run of one test, its server and a client."""
    with studio(tiny_run.path, out=tmp_path / "studio") as both:
        both[1].get("/")
        yield both
