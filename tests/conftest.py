"""What several tests share: a tiny run, trained once."""

import dataclasses

import pytest
import torch

from ancestral import config as configs
from ancestral.data import Dataset
from ancestral.training import RunFolder, Trainer


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny_config(**train):
    """A U-Net of a few thousand parameters on 8×8 images with two classes."""
    base = configs.digits()
    return dataclasses.replace(
        base,
        data=dataclasses.replace(base.data, source="stripes"),
        net=configs.NetConfig(width=16, mults=(1, 2), blocks=1, attention=(4,), dropout=0.1),
        train=dataclasses.replace(base.train, **{"steps": 6, "batch_size": 8, "warmup": 2, "save_every": 3, **train}),
    )


def stripes(count=40, channels=1):
    """Images 8×8 of vertical or horizontal stripes, by class."""
    labels = torch.arange(count) % 2
    bars = (torch.arange(8) % 4 < 2).to(torch.uint8) * 255
    images = torch.where(labels.bool()[:, None, None], bars[None, :, None], bars[None, None, :])
    return Dataset(
        images[:, None].repeat(1, channels, 1, 1).contiguous(), labels, ("vertical", "horizontal"), "stripes"
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The run folder of a tiny model, six steps old."""
    torch.manual_seed(0)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    trainer = Trainer(tiny_config(), stripes(), "cpu")
    folder.begin(trainer.config)
    list(trainer.run(folder))
    return folder
