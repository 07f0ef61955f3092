"""Ancestral in the quality part, through the Python API: the preset of the data set, and distillation."""

import dataclasses
from typing import Any, ClassVar

from torch import Tensor

from ancestral import config, load
from ancestral.data import InMemoryDataset
from ancestral.model import CustomParts, Model
from ancestral.objectives.distillation import ConsistencyTuning, ProgressiveDistillation
from ancestral.training import Trainer
from ancestral.use_cases.training.distil import distil_config
from peers.contest import Task, with_changes

PRESETS = {"emoji": "folder", "oxygen": "folder"}
"""The preset of a data set that is not a preset's name."""
GUIDANCE = {"emoji": 1.5}
"""The guidance of a data set where it is not 1: on classes that look unlike, samples are nearer to the data."""
AUTOGUIDANCE = {"fashion": 3.0}
"""The guidance of a data set by a weaker model, the network's own half-way through training: where ε is predicted, the
errors of a short training run are led away from."""
AUTOGUIDED = (0.0, 2.0)
"""The noise levels b/a of that guidance: 0.7 of the steps, so that a sample takes 1.7 times as many evaluations."""
SECTIONS = ("net", "process", "train", "sample", "distil")
"""The sections of the config that a row has."""


class Ancestral:
    """`Trainer` with the preset of the data set. `task.change` replaces settings of the config, "guidance" and
    "autoguidance".
    """

    guided: ClassVar[dict[str, float]] = GUIDANCE
    """See `GUIDANCE`."""
    autoguided: ClassVar[dict[str, float]] = AUTOGUIDANCE
    """See `AUTOGUIDANCE`."""

    def __init__(self, task: Task) -> None:
        change = dict(task.change)
        self.guidance = float(change.pop("guidance", self.guided.get(task.data, 1.0)))
        self.autoguidance = float(change.pop("autoguidance", self.autoguided.get(task.data, 1.0)))
        self.weak: Model | None = None
        run = {"data": {"source": task.data}, "train": {"steps": task.steps, "seed": task.seed}}
        settings = with_changes(with_changes(self.recipe(task.data, change), change), run)
        classes = tuple(map(str, range(task.classes)))
        self.sampled_labels = task.sampled_labels
        data = InMemoryDataset(task.images, task.labels, classes, task.data)
        self.trainer = Trainer(settings, data, task.device, self.parts())
        self.settings: dict[str, Any] = {
            "preset": settings.preset,
            **{name: dataclasses.asdict(getattr(settings, name)) for name in SECTIONS},
            "parameters": sum(p.numel() for p in self.trainer.state.parameters),
            "computes in": str(self.trainer.dtype),
            "guidance": self.guidance,
            "autoguidance": self.autoguidance,
        }

    def parts(self) -> CustomParts:
        """Return the weights that training starts from; none are random ones."""
        return CustomParts()

    def recipe(self, data: str, change: dict[str, Any]) -> config.Config:
        """Return the config before `change`; settings that are not the config's are taken out of it."""
        net = with_changes({"kind": None}, change.get("net", {}))
        return config.preset(PRESETS.get(data.partition("-")[0], data)).with_net(net["kind"])

    @property
    def steps(self) -> int:
        """Number of training steps, at which the learning rate schedule ends."""
        return self.trainer.config.train.steps

    @steps.setter
    def steps(self, value: int) -> None:
        old = self.trainer.config  # the contest moves the last step of a run to the budget of time
        self.trainer.config = dataclasses.replace(old, train=dataclasses.replace(old.train, steps=value))

    def step(self) -> float:
        """Make one step of `Trainer` and return the loss. Half-way, the weaker model is kept."""
        if self.autoguidance != 1 and self.weak is None and 2 * self.trainer.state.step >= self.steps:
            self.weak = self.trainer.model()
        return float(self.trainer.advance().losses.mean())

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """Sample with the sampler of the preset."""
        labels = self.sampled_labels(count).tolist()
        options: dict[str, Any] = {"guidance": self.guidance}
        if self.weak is not None:
            options = {"guidance": self.autoguidance, "guidance_interval": AUTOGUIDED, "weak": self.weak}
        return self.trainer.model().sample(count, None, steps, seed, label=labels, batch_size=batch, **options)


class Distilled(Ancestral):
    """Distillation of a model. `task.change` also has "teacher", a run folder, and "method", "stages"."""

    guided: ClassVar[dict[str, float]] = {}  # guidance extrapolates, and x̂_0 of a distilled model is a sample
    autoguided: ClassVar[dict[str, float]] = {}

    def parts(self) -> CustomParts:
        """Return the weights of the teacher."""
        return CustomParts(weights=self.teacher.diffusion.net.state_dict())

    def recipe(self, data: str, change: dict[str, Any]) -> config.Config:
        """Return the config of `ancestral distil`, and load the teacher."""
        self.teacher = load(change.pop("teacher", f"runs/{data}"), "cpu")
        return distil_config(self.teacher, change.pop("method", "consistency"), change.pop("stages", None))

    @property
    def steps(self) -> int:
        """Number of training steps, at which the learning rate schedule and the last stage end."""
        return super().steps

    @steps.setter
    def steps(self, value: int) -> None:
        Ancestral.steps.fset(self, value)  # type: ignore[attr-defined]
        objective = self.trainer.state.objective
        assert isinstance(objective, ConsistencyTuning | ProgressiveDistillation)
        objective.stages = objective.stages._replace(steps=value)
