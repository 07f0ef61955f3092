"""Progress on standard error, where that is a terminal: a bar, how much is done, images a second, the time left."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def watched(
    items: Iterable[T], name: str, total: float, size: Callable[[T], float] = lambda _: 1.0, unit: str = ""
) -> Iterator[T]:
    """The same items, each of which is `size` of the `total` work. With a `unit`, its count and rate are told."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = f", {task.speed:.3g}/s" if task.speed else ""
            return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f} {unit}{rate}")

    count = Rate() if unit else TextColumn("{task.percentage:>3.0f}%")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        for item in items:
            yield item
            progress.advance(task, size(item))
