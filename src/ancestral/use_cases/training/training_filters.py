"""Filters of the events of a training run: its log and its report, around the generator of its steps."""

from collections.abc import Generator, Iterator

from ancestral.base.events import Event, Message
from ancestral.training import Progress
from ancestral.training.trackers import Trackers
from ancestral.use_cases.training.run_report import RunReport
from ancestral.use_cases.training.training_previews import Preview

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
