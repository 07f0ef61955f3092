"""Workflows on a terminal: progress bars on standard error, messages and the paths of files on standard output."""

from collections.abc import Generator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ancestral.events import Message, Work, Wrote

R = TypeVar("R")


def console() -> Console:
    """Create a console on standard output that prints whole lines and takes no name for markup, emoji or a number."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


class _Amount(ProgressColumn):
    """The share of the work, or its count and rate."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if not unit:
            return Text(f"{task.percentage:>3.0f}%")
        rate = f", {task.speed:.3g}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f} {unit}{rate}")


def follow(events: Generator[Any, None, R], quiet: bool = False) -> R:
    """Run a workflow to its end and show its events.

    Args:
        events: The workflow.
        quiet: Whether to show nothing.

    Returns:
        The result of the workflow.
    """
    out, err = console(), Console(stderr=True)
    hidden = quiet or not err.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), _Amount(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=err, transient=True, disable=hidden) as bar:
        task = None
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                result: R = end.value
                return result
            if isinstance(event, Work):
                if task is None or bar.tasks[-1].description != event.task:
                    if task is not None:
                        bar.remove_task(task)
                    task = bar.add_task(event.task, total=event.total, unit=event.unit)
                bar.update(task, completed=event.done, total=event.total)
            elif not quiet:
                if isinstance(event, Message):
                    out.print(event.text)
                elif isinstance(event, Wrote):
                    out.print(str(event.path))
