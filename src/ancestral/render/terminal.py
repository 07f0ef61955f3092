"""Workflows on a terminal: the panel of a training run, progress bars on standard error, messages and paths on standard
output. Plain lines now and then where the output is a file or a pipe.
"""

import math
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from ancestral.base.errors import lines
from ancestral.base.events import Measured, Message, State, Work, Wrote
from ancestral.base.options import Spelling, in_python, on_command_line, spelled
from ancestral.base.plugins import import_effects_undone
from ancestral.base.quantities import format_number
from ancestral.base.result import Result

with import_effects_undone():  # a module of rich draws a random number
    from rich.console import Console, Group
    from rich.live import Live
    from rich.panel import Panel
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

if TYPE_CHECKING:
    from ancestral.training import Progress

R = TypeVar("R")
STYLES = {"✗ error:": "bold red", "! warning:": "bold yellow", "· note:": "bold blue"}
"""Styles of the beginnings of findings."""
PLAIN_SECONDS = 15.0
"""Time between two lines if the output is a file or a pipe."""
LIVE_SECONDS = 1.0
"""Time between two updates of the panel, which take a few milliseconds each."""
BAR_BLOCKS = "▁▂▃▄▅▆▇█"


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects, with control characters in text escaped: a terminal would obey those of a file of others."""
        super().print(*(lines(one) if isinstance(one, str) else one for one in objects), **options)

    def on_broken_pipe(self) -> None:
        """Raise the error again: rich would end the program with code 1, whatever is left to do."""
        raise BrokenPipeError


def console() -> Console:
    """Create a console on standard output that prints whole lines and takes no name for markup, emoji or a number."""
    moves = _interactive(sys.stdout)
    return _Console(soft_wrap=True, markup=False, emoji=False, highlight=False, force_interactive=moves)


def _interactive(stream: TextIO) -> bool | None:
    """`force_interactive` of a console on a stream: FORCE_COLOR makes a file a terminal, but nothing moves in it."""
    return None if stream.isatty() else False


class _Bar:
    """A progress bar for one task after the other on standard error; if that is no terminal, a line now and then."""

    def __init__(self) -> None:
        self.console = _Console(stderr=True, force_interactive=_interactive(sys.stderr))
        amount = TextColumn("{task.fields[amount]}")
        columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
        self.bars = Bars(*columns, console=self.console, transient=True, disable=not self.console.is_interactive)
        self.bars.start()
        self.last_line = time.monotonic()
        self.task, self.began, self.done_before = "", self.last_line, 0.0

    def show(self, work: Work) -> None:
        """Show how much of a task is done."""
        total, amount = work.total or None, ""
        if total is not None:
            amount = f"{work.done:,.0f} of {total:,.0f} {work.unit}" if work.unit else f"{work.done / total:.0%}"
        if self.bars.tasks and self.bars.tasks[0].description != work.task:
            self.bars.remove_task(self.bars.tasks[0].id)
        if not self.bars.tasks:
            self.bars.add_task(work.task, amount="")
        self.bars.update(self.bars.tasks[0].id, completed=work.done, total=total, amount=amount)
        now = time.monotonic()
        if work.task != self.task:
            self.task, self.began, self.done_before = work.task, now, work.done
        if self.bars.disable and total is not None and now - self.last_line > PLAIN_SECONDS:
            self.last_line, done = now, work.done - self.done_before
            left = f", {_clock((now - self.began) * (total - work.done) / done)} left" if done > 0 else ""
            line = f"{work.task}: {amount}{left}"
            self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        if not self.bars.disable:  # rich before 14.3 prints an empty line for a bar that never was
            self.bars.stop()


class TrainingPanel:
    """The progress of a training run on a console: a live panel on a terminal, else a line from time to time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.panel: Panel | None = None
        self.live = Live(console=console, auto_refresh=False, transient=False) if console.is_interactive else None
        self.last_shown = -math.inf if self.live else time.monotonic() - PLAIN_SECONDS + 2  # the first line soon
        if self.live:
            self.live.start()

    def show(self, progress: "Progress | Work") -> None:
        """Show the progress, if the last update is long enough ago, and its notes always.

        Work that interrupts the training, such as sampling a preview, is shown below the last progress.
        """
        if isinstance(progress, Work):
            if self.live and self.panel is not None:
                share = f"{progress.done / max(progress.total, 1):.0%}"
                line = Text(f"{progress.task}: {share}" if progress.done < progress.total else "", style="dim")
                self.live.update(Group(self.panel, line), refresh=True)
            return
        for note in progress.notes:
            self.console.print(note, soft_wrap=True)
        now, last = time.monotonic(), progress.step == progress.steps
        if self.live and (now - self.last_shown > LIVE_SECONDS or progress.stopped or last):
            self.last_shown, self.panel = now, draw(progress)
            self.live.update(self.panel, refresh=True)
        elif not self.live and (now - self.last_shown > PLAIN_SECONDS or last):
            self.last_shown = now
            self.console.print(
                f"step {progress.step}/{progress.steps}  loss {progress.loss:#.4g}  "
                f"{_validation(progress, '  ')}{_distance(progress, '  ')}"
                f"{progress.images_per_second:.0f} images/s  {_clock(progress.seconds_left)} left",
                highlight=False,
                soft_wrap=True,
            )

    def close(self) -> None:
        """Leave the last panel on the terminal."""
        if self.live:
            self.live.stop()


def draw(progress: "Progress") -> Panel:
    """Draw the panel for one step."""
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(ratio=1)
    head.add_column(justify="right")
    head.add_row(
        ProgressBar(total=progress.steps, completed=progress.step),
        f"{progress.step:,} of {progress.steps:,}   {_clock(progress.seconds)}   {_clock(progress.seconds_left)} left",
    )
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        f"loss {progress.loss:#.4g}",
        f"lr {progress.lr:.2e}",
        f"gradient {progress.gradient_norm:.3g}",
        f"{progress.images_per_second:.0f} images/s",
        f"{progress.memory / 2**30:.2f} GiB",
    )
    lines = [Text(line) for line in (_validation(progress), _distance(progress)) if line]
    lines.append(_by_time(progress.by_time, progress.T))
    return Panel(Group(head, facts, *lines), title="training", title_align="left")


def _validation(progress: "Progress", end: str = "") -> str:
    """The last validation loss; "" without one."""
    if (losses := progress.validation) is None:
        return ""
    means = f"validation loss {losses.validation:#.4g}, training items {losses.training:#.4g}"
    return f"{means} (step {losses.step:,}){end}"


def _distance(progress: "Progress", end: str = "") -> str:
    """The last distance of samples; "" without one."""
    if (measured := progress.distance) is None:
        return ""
    return f"distance of samples {format_number(measured.distance, measured.error)} (step {measured.step:,}){end}"


def _by_time(means: tuple[float, ...], T: int) -> Text:
    """The loss of each bin of 1..T, as a bar and a number."""
    top = max((mean for mean in means if math.isfinite(mean)), default=0.0) or 1.0
    text = Text("loss by time  ", no_wrap=True, overflow="ellipsis")
    for number, mean in enumerate(means):
        if math.isfinite(mean):
            bar = BAR_BLOCKS[min(int(mean / top * len(BAR_BLOCKS)), len(BAR_BLOCKS) - 1)]
            text.append(f"{bar} ", style="cyan")
            text.append(f"{mean:.3f}  ")
        elif number * T // len(means) < (number + 1) * T // len(means):
            text.append("· -  ")
    return text.append(f"(t = 1 to {T})", style="dim")


def _clock(seconds: float) -> str:
    """Seconds as m:ss, or as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def follow(
    events: Generator[Any, None, R],
    parts: bool = False,
    verbose: bool = False,
    spelling: Spelling = in_python,
) -> R:
    """Run a workflow to its end and show its events.

    Args:
        events: The workflow.
        parts: Whether to print the parts of the result as soon as they are measured.
        verbose: Whether to print messages that are details.
        spelling: Spells the options in what is shown and in the result.

    Returns:
        The result of the workflow.
    """
    out = console()
    display: _Bar | TrainingPanel | None = None  # a terminal has room for one that moves
    try:
        while True:
            try:
                event = spelled(next(events), spelling)
            except StopIteration as end:
                result: R = spelled(end.value, spelling)
                return result
            if isinstance(event, Message):
                if verbose or not event.detail:
                    out.print(event.text)
            elif isinstance(event, Wrote):
                out.print(str(event.path))
            elif isinstance(event, Measured):
                if parts:
                    out.print(event.part.to_text(spelling))
            elif not isinstance(event, State):  # which are for faces that draw them
                bar = isinstance(event, Work) and not event.part
                if not isinstance(display, _Bar if bar else TrainingPanel):
                    if display is not None:
                        display.close()
                    display = _Bar() if bar else TrainingPanel(out)
                display.show(event)
    finally:
        if display is not None:
            display.close()


def is_first_process() -> bool:
    """Tell whether this process prints results: of several processes the first one does."""
    import torch  # the studio shows no result, and starts without it

    group = torch.distributed
    return not (group.is_available() and group.is_initialized() and group.get_rank())


def show(result: object) -> None:
    """Print the result of a command."""
    text = Text(result.to_text(on_command_line) if isinstance(result, Result) else str(result))
    for start, style in STYLES.items():
        text.highlight_regex(f"(?m)^{start}", style)
    console().print(text)
