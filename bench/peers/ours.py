"""Ancestral in the quality part: the preset of the data as it stands, through the Python API."""

import dataclasses
from typing import Any

from torch import Tensor

from ancestral import config
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer
from peers.contest import Task, changed


class Ours:
    """`Trainer` on the preset, with as many steps as the budget buys. `change` holds parts of the config's tree, and
    "guidance".
    """

    def __init__(self, task: Task) -> None:
        change = dict(task.change)
        self.guidance = float(change.pop("guidance", 1.0))
        tree = changed(config.preset(task.data), change)
        tree = dataclasses.replace(tree, train=dataclasses.replace(tree.train, steps=task.steps, seed=task.seed))
        classes = tuple(map(str, range(10)))
        self.trainer = Trainer(tree, InMemoryDataset(task.images, task.labels, classes, task.data), "cpu")
        self.settings: dict[str, Any] = {
            "preset": task.data,
            **{name: dataclasses.asdict(getattr(tree, name)) for name in ("net", "process", "train", "sample")},
            "parameters": sum(p.numel() for p in self.trainer.parameters),
            "computes in": str(self.trainer.dtype),
            "guidance": self.guidance,
        }

    @property
    def steps(self) -> int:
        """Where the learning rate ends."""
        return self.trainer.config.train.steps

    @steps.setter
    def steps(self, value: int) -> None:
        tree = self.trainer.config
        self.trainer.config = dataclasses.replace(tree, train=dataclasses.replace(tree.train, steps=value))

    def step(self) -> float:
        """One of `Trainer`'s."""
        return float(self.trainer.advance().losses.mean())

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """By the preset's own sampler, a class after the other."""
        return self.trainer.model().sample(count, None, steps, seed, guidance=self.guidance, batch_size=batch)
