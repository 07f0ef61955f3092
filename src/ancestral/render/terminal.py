"""Workflows on a terminal: progress bars on standard error, messages and the paths of files on standard output."""

import time
from collections.abc import Generator
from threading import Timer
from typing import Any, TypeVar, cast

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ancestral.events import Measured, Message, Work, Wrote, finish
from ancestral.options import Spelling, in_python, on_command_line, spelled
from ancestral.render.training_panel import PLAIN_SECONDS, TrainingPanel
from ancestral.results.result import Result

R = TypeVar("R")
STYLES = {"✗ error:": "bold red", "! warning:": "bold yellow", "· note:": "bold blue"}
"""Styles of the beginnings of findings."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error again: rich would exit with code 1, and a reader that has seen enough is no error."""
        raise BrokenPipeError


def console() -> Console:
    """Create a console on standard output that prints whole lines and takes no name for markup, emoji or a number."""
    return _Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


class _Amount(ProgressColumn):
    """The share of the work, or its count and rate."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if task.total is None:
            return Text("")
        if not unit:
            return Text(f"{task.percentage:>3.0f}%")
        rate = f", {task.speed:.3g}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f} {unit}{rate}")


class _Left(TimeRemainingColumn):
    """The time that is left, if it is known."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task).append(" left")


class _Bar:
    """A progress bar for one task after the other on standard error; if that is no terminal, a line now and then."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), _Amount(), _Left())
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.progress.start()
        self.shown = time.monotonic()
        self.silence: Timer | None = None
        """Ends the silence of a task of unknown length."""

    def show(self, work: Work) -> None:
        """Show how much of a task is done."""
        self._end_silence()
        total = work.total or None
        task = self.progress.tasks[0] if self.progress.tasks else None
        if task is None or task.description != work.task:
            if task is not None:
                self.progress.remove_task(task.id)
            self.progress.add_task(work.task, total=total, unit=work.unit)
        self.progress.update(self.progress.tasks[0].id, completed=work.done, total=total)
        if self.progress.disable and total is not None and time.monotonic() - self.shown > PLAIN_SECONDS:
            self.shown = time.monotonic()
            unit = f"{work.done:,.0f} of {total:,.0f} {work.unit}" if work.unit else f"{work.done / total:.0%}"
            self._print(f"{work.task}: {unit}")
        if self.progress.disable and total is None:
            self.silence = Timer(PLAIN_SECONDS, self._print, [f"{work.task} ..."])
            self.silence.daemon = True
            self.silence.start()

    def close(self) -> None:
        """Remove the bar."""
        self._end_silence()
        self.progress.stop()

    def _end_silence(self) -> None:
        if self.silence is not None:
            self.silence.cancel()
            self.silence = None

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def follow(
    events: Generator[Any, None, R],
    quiet: bool = False,
    parts: bool = False,
    verbose: bool = False,
    spelling: Spelling = in_python,
) -> R:
    """Run a workflow to its end and show its events.

    Args:
        events: The workflow.
        quiet: Whether to show nothing.
        parts: Whether to print the parts of the result as soon as they are measured.
        verbose: Whether to print messages that are details.
        spelling: Spells the options in what is shown and in the result.

    Returns:
        The result of the workflow.
    """
    if quiet:
        return cast("R", spelled(finish(events), spelling))
    out = console()
    display: _Bar | TrainingPanel | None = None  # a terminal has room for one that moves
    try:
        while True:
            try:
                event = spelled(next(events), spelling)
            except StopIteration as end:
                result: R = spelled(end.value, spelling)
                return result
            if isinstance(event, Message) and event.detail and not verbose:
                continue
            if isinstance(event, Message | Wrote):
                out.print(event.text if isinstance(event, Message) else str(event.path))
                continue
            if isinstance(event, Measured):
                if parts:
                    out.print(event.part.to_text(spelling))
                continue
            bar = isinstance(event, Work) and not event.part
            wanted = _Bar if bar else TrainingPanel
            if not isinstance(display, wanted):
                if display is not None:
                    display.close()
                display = _Bar() if bar else TrainingPanel(out)
            display.show(event)
    finally:
        if display is not None:
            display.close()


def show(result: object) -> None:
    """Print the result of a command; of several processes the first one does."""
    group = torch.distributed
    if not (group.is_available() and group.is_initialized() and group.get_rank()):
        text = Text(result.to_text(on_command_line) if isinstance(result, Result) else str(result))
        for start, style in STYLES.items():
            text.highlight_regex(f"(?m)^{start}", style)
        console().print(text)
