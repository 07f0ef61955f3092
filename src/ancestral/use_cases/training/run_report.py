"""The report of a training run, kept up to date while it costs next to nothing."""

import dataclasses
import math
import shlex
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ancestral import config as configs
from ancestral.base.errors import survived
from ancestral.measure.findings import class_findings, training_findings, value_findings
from ancestral.measure.items import class_counts, value_statistics
from ancestral.render import compositions, html_report, model_card
from ancestral.render.data_text import value_rows
from ancestral.render.html_report import DataFacts, RunFacts
from ancestral.training import RunFolder, Trainer

if TYPE_CHECKING:
    from PIL.Image import Image
from collections.abc import Generator, Iterator

from ancestral.base.events import Event, Message
from ancestral.training import Progress
from ancestral.training.trackers import Trackers
from ancestral.use_cases.training.training_previews import Preview

MAX_SECONDS = 0.5
"""A report that takes longer is written only at the end of training."""
STALE_SECONDS = 60
"""A report of a running training is written again after that many seconds."""
EXAMINED = 2**24
"""Number of values of the data that are examined; of larger data, evenly spaced items."""


class RunReport:
    """The report of a run, for the process that writes it."""

    def __init__(self, trainer: Trainer, folder: RunFolder) -> None:
        self.trainer, self.folder = trainer, folder
        self.seconds = 0.0
        """Seconds that the last report took."""
        self._failed = False
        self._film: Image | None = None
        self._written = time.monotonic()

    def write(self, film: "Image | None" = None, last: bool = False) -> str | None:
        """Write the report as things are; if that takes long, only the `last` one.

        Returns:
            A line on what went wrong, the first time.
        """
        if self.seconds > MAX_SECONDS and not last:
            return None
        self._film, self._written = film or self._film, time.monotonic()
        problems = list[str]()
        with survived("write the report", problems):
            facts = dataclasses.replace(self._facts(), training=not last)
            began = time.monotonic()
            html_report.write_report(self.folder.path, facts, self._film)
            self.seconds = time.monotonic() - began
        if not problems or self._failed:
            return None
        self._failed = True
        return problems[0]

    @property
    def stale(self) -> bool:
        """Whether the last report is old, and a new one takes less than one per cent of the time since."""
        return time.monotonic() - self._written > max(STALE_SECONDS, 100 * self.seconds)

    def _facts(self) -> RunFacts:
        """Facts of the run that are not in its folder."""
        trainer, distributed, command = self.trainer, self.trainer.distributed, "from Python"
        if Path(sys.argv[0]).stem in ("ancestral", "__main__"):
            command = shlex.join(["ancestral", *map(_unplaced, sys.argv[1:])])
        sentence = model_card.describe_model(trainer.config, trainer.spec, trainer.dataset.name)
        environment = html_report.environment(distributed.device, distributed.dtype, distributed.world)
        return RunFacts(
            step=trainer.step,
            steps=trainer.last_step,
            sentence=f"{sentence}, and learns from {trainer.config.train.batch_size:,} items a step.",
            seconds=self.folder.seconds(),
            parameters=sum(parameter.numel() for parameter in trainer.state.parameters),
            data=self._data,
            environment=environment | {"command": command},
        )

    @cached_property
    def _data(self) -> DataFacts:
        data, held_out, config = self.trainer.dataset, self.trainer.held_out, self.trainer.config
        some = data.sample(max(1, EXAMINED // math.prod(data.shape)))
        values, classes = value_statistics(some.items), class_counts(data.labels, data.classes)
        findings = [*class_findings(classes), *value_findings(values), *training_findings(len(data), config, None)]
        rows = {"items": f"{len(data):,} of {'x'.join(map(str, data.shape))}"}
        rows |= {"examined": f"{len(some):,} of them"} if len(some) != len(data) else {}
        rows |= {"held out": f"{len(held_out):,} of {held_out.name}, for the validation loss"} if held_out else {}
        rows |= {f"given {name}": str(kind) for name, kind in self.trainer.spec.further.items()}
        rows |= dict(value_rows(values))
        texts = [(finding.level, finding.text, finding.advice) for finding in findings]
        given = tuple(self.trainer.spec.further)
        return DataFacts(data.name, rows, classes, texts, compositions.sample_picture(some), given)


def _unplaced(word: str) -> str:
    """A word of the command without the folders of this machine, for a page that is shared."""
    option, equals, value = word.rpartition("=")
    return f"{option}{equals}{configs.unplaced(value)}"


RunEvent = Event | Progress | Preview


def logged(events: Iterator[RunEvent], log: Trackers, every: int) -> Generator[RunEvent, None, None]:
    """Log each step that is a multiple of `every`, the last one, and those with notes or measurements; and previews."""
    for event in events:
        problem = None
        if isinstance(event, Progress):
            parts = (event.validation, event.distance)
            measured = [part.step for part in parts if part is not None]
            if event.step % every == 0 or event.step == event.steps or event.notes or event.step in measured:
                problem = log.log(event)
        elif isinstance(event, Preview) and event.grid is not None:
            problem = log.picture(event.grid, event.step)
        yield event
        if problem:
            yield Message(problem)


def reported(events: Iterator[RunEvent], report: RunReport) -> Generator[Event | Progress, None, None]:
    """Write the report after each preview, where it is stale, and where the run stops."""
    for event in events:
        problem = None
        if isinstance(event, Preview):
            problem = report.write(event.film, event.last)
        else:
            yield event
            if isinstance(event, Progress) and event.step != event.steps and (report.stale or event.interrupted):
                problem = report.write(last=event.interrupted)
        if problem:
            yield Message(problem)
