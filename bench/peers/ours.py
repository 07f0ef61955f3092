"""Ancestral in the quality part: the unchanged preset of the data set, through the Python API."""

import dataclasses
from typing import Any

from torch import Tensor

from ancestral import config
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer
from peers.contest import Task, with_changes

PRESETS = {"emoji": "folder", "oxygen": "folder"}
"""The preset of a data set that is not a preset's name."""


class Ancestral:
    """`Trainer` with the preset of the data set. `task.change` replaces settings of the config, and "guidance"."""

    def __init__(self, task: Task) -> None:
        change = dict(task.change)
        self.guidance = float(change.pop("guidance", 1.0))
        run = {"data": {"source": task.data}, "train": {"steps": task.steps, "seed": task.seed}}
        preset = PRESETS.get(task.data, task.data)
        settings = with_changes(with_changes(config.preset(preset), change), run)
        classes = tuple(map(str, range(task.classes)))
        self.sampled_labels = task.sampled_labels
        self.trainer = Trainer(settings, InMemoryDataset(task.images, task.labels, classes, task.data), "cpu")
        self.settings: dict[str, Any] = {
            "preset": preset,
            **{name: dataclasses.asdict(getattr(settings, name)) for name in ("net", "process", "train", "sample")},
            "parameters": sum(p.numel() for p in self.trainer.parameters),
            "computes in": str(self.trainer.dtype),
            "guidance": self.guidance,
        }

    @property
    def steps(self) -> int:
        """Number of training steps, at which the learning rate schedule ends."""
        return self.trainer.config.train.steps

    @steps.setter
    def steps(self, value: int) -> None:
        old = self.trainer.config
        self.trainer.config = dataclasses.replace(old, train=dataclasses.replace(old.train, steps=value))

    def step(self) -> float:
        """Make one step of `Trainer` and return the loss."""
        return float(self.trainer.advance().losses.mean())

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """Sample with the sampler of the preset."""
        labels = self.sampled_labels(count).tolist()
        return self.trainer.model().sample(count, None, steps, seed, labels, self.guidance, batch)
