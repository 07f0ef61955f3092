"""The live line of a training: step, loss, images per second, time left. Plain lines where there is no terminal."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from ancestral.training import Progress

PLAIN_SECONDS = 15.0
"""Between two lines where the output is a file or a pipe."""


@contextlib.contextmanager
def progress_line(console: Console, steps: int, done: int) -> Iterator[Callable[["Progress"], None]]:
    """A function that shows the progress it is given; it asks the device for the loss a few times a second at most."""
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  {task.fields[rate]} images/s"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("train", total=steps, completed=done, loss="-", rate="-", left="-")
        shown = 0.0

        def show(progress: "Progress") -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > 0.25 or progress.step == progress.steps:
                shown = now
                loss, rate = f"{progress.loss.item():.4f}", f"{progress.images_per_second:.0f}"
                left = _clock(progress.seconds_left)
                bar.update(task, completed=progress.step, loss=loss, rate=rate, left=left)

        yield show


def _plain(console: Console) -> Callable[["Progress"], None]:
    shown = time.monotonic() - PLAIN_SECONDS + 2  # the first line soon

    def show(progress: "Progress") -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > PLAIN_SECONDS or progress.step == progress.steps:
            shown = now
            console.print(
                f"step {progress.step}/{progress.steps}  loss {progress.loss.item():.4f}  "
                f"{progress.images_per_second:.0f} images/s  {_clock(progress.seconds_left)} left",
                highlight=False,
                soft_wrap=True,
            )

    return show


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
