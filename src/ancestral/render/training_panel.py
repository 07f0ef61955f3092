"""The live panel of a training: how far, how well at which times, how fast, how much memory. Plain lines where there is
no terminal.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ancestral.training import Progress

PLAIN_SECONDS = 15.0
"""Between two lines where the output is a file or a pipe."""

LIVE_SECONDS = 1.0
"""Between two pictures of the panel: drawing it takes a few milliseconds."""

BARS = "▁▂▃▄▅▆▇█"

Show = Callable[["Progress"], None]


@contextlib.contextmanager
def panel(console: Console, T: int, memory: Callable[[], int]) -> Iterator[Show]:
    """A function that shows the progress that it is given. Times run to T; `memory` tells the bytes in use."""
    if not console.is_terminal:
        yield _plain(console)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        shown = -math.inf

        def show(progress: "Progress") -> None:
            nonlocal shown
            for note in progress.notes:
                console.print(note, soft_wrap=True)
            now = time.monotonic()
            if now - shown > LIVE_SECONDS or progress.stopped or progress.step == progress.steps:
                shown = now
                live.update(draw(progress, T, memory()), refresh=True)

        yield show


def draw(progress: "Progress", T: int, memory: int) -> Panel:
    """The panel for one step."""
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(ratio=1)
    head.add_column(justify="right")
    head.add_row(
        ProgressBar(total=progress.steps, completed=progress.step),
        f"{progress.step:,} of {progress.steps:,}   {clock(progress.seconds)}   {clock(progress.seconds_left)} left",
    )
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        f"loss {progress.loss:.4f}",
        f"lr {progress.lr:.2e}",
        f"gradient {progress.gradient_norm:.3g}",
        f"{progress.images_per_second:.0f} images/s",
        f"{memory / 2**30:.2f} GiB",
    )
    return Panel(Group(head, facts, _by_time(progress.by_time, T)), title="training", title_align="left")


def _by_time(means: tuple[float, ...], T: int) -> Text:
    """The loss of each part of 1..T, as a bar and a number."""
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


def _plain(console: Console) -> Show:
    shown = time.monotonic() - PLAIN_SECONDS + 2  # the first line soon

    def show(progress: "Progress") -> None:
        nonlocal shown
        for note in progress.notes:
            console.print(note, soft_wrap=True)
        now = time.monotonic()
        if now - shown > PLAIN_SECONDS or progress.step == progress.steps:
            shown = now
            console.print(
                f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}  "
                f"{progress.images_per_second:.0f} images/s  {clock(progress.seconds_left)} left",
                highlight=False,
                soft_wrap=True,
            )

    return show


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
