"""Tiny models and data that many tests use, a use case as its events, processes that train together, and long cases."""

import dataclasses
import os
import socket
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from ancestral import config as configs
from ancestral import data
from ancestral.data import InMemoryDataset
from ancestral.data.spec import Codec, DataSpec
from ancestral.faces.functions import read
from ancestral.model import Model, build
from ancestral.model.autoencoders import build_autoencoder
from ancestral.objectives import Denoising, Objective, time_distribution
from ancestral.training import RunFolder
from ancestral.use_cases import start


def but_one_long(cases):
    """Cases of a test, of which the first one is run by `make test` and all by `make test-long`."""
    first, *others = cases
    values = (one if isinstance(one, tuple) else (one,) for one in others)
    return [first, *(pytest.param(*one, marks=pytest.mark.long) for one in values)]


def events_of(declaration):
    """A use case that takes its arguments as its function in Python does, and returns its events."""
    return lambda *places, **named: start(read(declaration, places, named))


def tiny_config(**train):
    """A U-Net of a few thousand parameters on 8×8 images with two classes, in float32 on every kind of CPU."""
    base = configs.preset("digits")
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, source="stripes"),
        net=configs.UNetConfig(width=16, mults=(1,), blocks=1, attention=(8,), dropout=0.1),
        process=configs.ProcessConfig("cosine", target="v"),
        train=dataclasses.replace(
            base.train,
            **{"steps": 6, "batch_size": 8, "warmup": 2, "save_every": 3, "optimiser": "adam", "precision": "fp32"}
            | train,
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
    """Stripes with classes, a vector, captions, an image and a random mask of each; some are missing."""
    images, rows = stripes(count), torch.arange(count)
    conditions = {
        "label": images.labels,
        "colour": rows % 4 - 1,
        "angle": torch.where(rows % 5 == 0, torch.nan, rows / 3),
        "caption": [(f"stripes {row % 7}", f"upright, number {row % 5}")[: row % 3] for row in range(count)],
        "low": images.items[:, :, ::2, ::2].flip(3),
    }
    return data.open(data.open((images.items, conditions)), given=("hole=mask",))


def begun(path, config=None):
    """The folder of a run that has begun."""
    folder = RunFolder(path)
    folder.begin(config or tiny_config())
    return folder


def same_tensors(one, other):
    """Whether two dictionaries have the same tensors, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


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


def untrained(shape=(3, 8, 8), classes=(), process=None, augment=0.0, conditions=None, latent=None, train=None, **net):
    """A model with random weights: a tiny U-Net, or for one dimension an MLP; with a factor, of latents."""
    settings = {"width": 16, "mults": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.1, "groups": 4, **net}
    config = dataclasses.replace(
        configs.Config(),
        data=configs.DataConfig(augment=augment),
        net=configs.UNetConfig(**settings),
        process=process or configs.ProcessConfig(),
        train=train or configs.TrainConfig(),
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
