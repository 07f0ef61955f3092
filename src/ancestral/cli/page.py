"""report.html, kept up to date while a run goes on, as long as that costs next to nothing."""

import math
import shlex
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from ancestral.render import About, DataFacts
    from ancestral.training import RunFolder, Trainer

MOST_SECONDS = 0.5
"""A page that takes longer is only written when a training ends."""
EXAMINED = 2**24
"""Numbers of the data that are looked at; of more data, evenly chosen items."""
SHOWN, HEIGHT = 32, 160
"""Items of the data that are shown, and pixels of their grid's height. Of points 1,000 are."""


class Page:
    """The page of a run; for the process that writes."""

    def __init__(self, trainer: "Trainer", folder: "RunFolder") -> None:
        self.trainer, self.folder = trainer, folder
        self.seconds = 0.0
        """What the last page cost."""
        self._failed = False

    def write(self, film: "Image | None" = None, last: bool = False) -> str | None:
        """Write it as things are; where that takes long, only the `last`. A line on what went wrong, the first time."""
        if self.seconds > MOST_SECONDS and not last:
            return None
        from ancestral.render import write_page

        try:
            about = self._about()
            began = time.monotonic()
            write_page(self.folder.path, about, film)
            self.seconds = time.monotonic() - began
        except Exception as error:  # no training is worth less than its page: a full disk, a damaged log, whatever
            first, self._failed = not self._failed, True
            return f"could not write the report: {error}; training goes on" if first else None
        return None

    def _about(self) -> "About":
        """What the folder does not tell."""
        from ancestral.render import About, environment

        trainer, engine = self.trainer, self.trainer.engine
        command = shlex.join(["ancestral", *sys.argv[1:]])
        return About(
            step=trainer.step,
            steps=trainer.config.train.steps,
            sentence=sentence(trainer),
            seconds=self.folder.seconds(),
            parameters=sum(parameter.numel() for parameter in trainer.parameters),
            data=self._data,
            environment=environment(engine.device, engine.dtype, engine.world) | {"command": command},
        )

    @cached_property
    def _data(self) -> "DataFacts":
        from ancestral.doctor import summary
        from ancestral.doctor.findings import of_classes, of_training, of_values
        from ancestral.doctor.page import value_rows
        from ancestral.doctor.values import balance
        from ancestral.render import DataFacts, picture

        data, points = self.trainer.dataset, len(self.trainer.dataset.shape) == 1
        some = data.sample(max(1, EXAMINED // math.prod(data.shape)))
        values = summary(some).values
        classes = balance(data.labels, data.classes)
        found = [*of_classes(classes), *of_values(values), *of_training(len(data), self.trainer.config, None)]
        rows = {"items": f"{len(data):,} of {'x'.join(map(str, data.shape))}"}
        rows |= {"examined": f"{len(some):,} of them"} if len(some) != len(data) else {}
        shown = some.sample(1000 if points else SHOWN).items
        return DataFacts(
            data.name,
            rows | dict(value_rows(values)),
            classes,
            [(finding.level, finding.text, finding.advice) for finding in found],
            picture(shown, columns=16, height=HEIGHT, limits=self.trainer.spec.codec.limits),
        )


def sentence(trainer: "Trainer") -> str:
    """What is trained here, to one who has not seen the command."""
    from ancestral.data.sources.arrays import NAMES
    from ancestral.render.card import TARGETS

    config, facts = trainer.config, trainer.spec
    process, train = config.process, config.train
    what = NAMES.get(len(facts.shape) - 1, "points")
    net = "An MLP" if len(facts.shape) == 1 else "A U-Net"
    target = TARGETS[process.target]
    by_class = f", in {len(facts.classes)} classes" if facts.classes else ""
    return (
        f"{net} that turns noise into {what} like those of {trainer.dataset.name}{by_class}: it predicts {target} at "
        f"{process.timesteps:,} noise levels of the {process.schedule} schedule, and learns from {train.batch_size:,} "
        "items a step."
    )
