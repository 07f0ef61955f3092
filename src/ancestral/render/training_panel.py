"""The live panel of a training run: progress, loss by time, speed and memory. Plain lines without a terminal."""

import math
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ancestral.events import Work

if TYPE_CHECKING:
    from ancestral.training import Progress

PLAIN_SECONDS = 15.0
"""Between two lines if the output is a file or a pipe."""
LIVE_SECONDS = 1.0
"""Between two updates of the panel, which take a few milliseconds each."""
BARS = "▁▂▃▄▅▆▇█"


class TrainingPanel:
    """Shows the progress of a training run on a console: a live panel on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.panel: Panel | None = None
        self.live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self.shown = -math.inf if self.live else time.monotonic() - PLAIN_SECONDS + 2  # the first line soon
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
        if self.live and (now - self.shown > LIVE_SECONDS or progress.stopped or last):
            self.shown, self.panel = now, draw(progress)
            self.live.update(self.panel, refresh=True)
        elif not self.live and (now - self.shown > PLAIN_SECONDS or last):
            self.shown = now
            self.console.print(
                f"step {progress.step}/{progress.steps}  loss {progress.loss:#.4g}  {_validation(progress, '  ')}"
                f"{progress.images_per_second:.0f} images/s  {clock(progress.seconds_left)} left",
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
        f"{progress.step:,} of {progress.steps:,}   {clock(progress.seconds)}   {clock(progress.seconds_left)} left",
    )
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        f"loss {progress.loss:#.4g}",
        f"lr {progress.lr:.2e}",
        f"gradient {progress.gradient_norm:.3g}",
        f"{progress.images_per_second:.0f} images/s",
        f"{progress.memory / 2**30:.2f} GiB",
    )
    lines = [Text(_validation(progress))] if progress.validation is not None else []
    by_time = _by_time(progress.by_time, progress.T)
    return Panel(Group(head, facts, *lines, by_time), title="training", title_align="left")


def _validation(progress: "Progress", end: str = "") -> str:
    """The last validation loss; "" without one."""
    losses = progress.validation
    if losses is None:
        return ""
    return (
        f"validation loss {losses.validation:#.4g}, training items {losses.training:#.4g} (step {losses.step:,}){end}"
    )


def _by_time(means: tuple[float, ...], T: int) -> Text:
    """The loss of each bin of 1..T, as a bar and a number."""
    known = [mean for mean in means if math.isfinite(mean)]
    top = max(known, default=0.0) or 1.0
    text = Text("loss by time  ", no_wrap=True, overflow="ellipsis")
    for number, mean in enumerate(means):
        if math.isfinite(mean):
            bar = BARS[min(int(mean / top * len(BARS)), len(BARS) - 1)]
            text.append(f"{bar} ", style="cyan")
            text.append(f"{mean:.3f}  ")
        elif number * T // len(means) < (number + 1) * T // len(means):
            text.append("· -  ")
    return text.append(f"(t = 1 to {T})", style="dim")


def clock(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
