"""A training under the eyes of its user: the panel, the log, sample grids, the page, and signals that end it well."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console

    from ancestral.training import RunFolder, Trainer
    from ancestral.training.trackers import Trackers

PREVIEW_STEPS, LAST_STEPS = 30, 100
"""Most sampling steps of the grids drawn while training, and of the last: enough to see by, and cheap to wait for."""
FILM_ITEMS = 4
"""Items of the page's film strip; points are one cloud."""


def fit(trainer: "Trainer", folder: "RunFolder", console: "Console") -> bool:
    """Train to the last step with a live panel, the log, grids and the page. Asked to stop, save and return False.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1 ask, which is how clusters announce that they want a machine back; a second
    Ctrl-C interrupts at once. Raises InputError and OSError as `Trainer.run` does.
    """
    from ancestral.cli.page import Page
    from ancestral.cli.panel import panel
    from ancestral.training.trackers import Trackers

    train, engine = trainer.config.train, trainer.config.engine
    T, main = trainer.denoiser.schedule.steps, trainer.engine.main
    page = Page(trainer, folder) if main else None

    def report(film: "Image | None" = None, last: bool = False) -> None:
        if page is not None and (problem := page.write(film, last)):
            console.print(problem, soft_wrap=True)

    with (
        _signals(trainer),
        panel(console, T, trainer.engine.memory) as show,
        Trackers(folder, engine.trackers, T, trainer.step) if main else contextlib.nullcontext() as trackers,
        contextlib.closing(trainer.run(folder)) as steps,
    ):
        reached = trainer.step
        for progress in steps:
            show(progress)
            step, last = progress.step, progress.step == progress.steps
            if trackers is not None:
                if step < reached:  # training went back, and will log these steps again
                    with contextlib.suppress(OSError):  # of a full disk: they stand there twice
                        folder.trim_log(step)
                if step % engine.log_every == 0 or last or progress.notes:
                    problem = trackers.log(progress)
                    if problem:
                        console.print(problem, soft_wrap=True)
            reached = step
            if progress.stopped and not last:
                report(last=True)
                return False
            if step % train.sample_every == 0 or last:
                try:
                    film = _preview(trainer, folder, LAST_STEPS if last else PREVIEW_STEPS, trackers)
                except OSError as error:
                    film = None
                    console.print(f"{error}; training goes on", soft_wrap=True)
                report(film, last)
    return True


def _preview(trainer: "Trainer", folder: "RunFolder", most: int, trackers: "Trackers | None") -> "Image | None":
    """A grid of what the averaged weights draw now, written; and a film strip of how, for the page."""
    from ancestral.render import film, picture, write_picture
    from ancestral.training.preview import draw

    points = len(trainer.spec.shape) == 1
    columns = 10 if len(trainer.spec.classes) == 10 else 8
    n = 1000 if points else columns * 8
    drawn = draw(trainer, n, most, n if points else FILM_ITEMS)
    if drawn is None or trackers is None:
        return None
    limits = trainer.spec.codec.limits
    image = picture(drawn.items, columns, height=500, limits=limits)
    write_picture(folder.samples / f"{trainer.step:06d}.png", image)
    trackers.picture(image, trainer.step)
    return film(drawn.states, height=72, limits=limits)


@contextlib.contextmanager
def _signals(trainer: "Trainer") -> Iterator[None]:
    """While inside, signals that ask to end are told to the trainer."""
    from ancestral.training import Stopped

    def handle(number: int, _frame: FrameType | None) -> None:
        if trainer.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        trainer.stop()
        if trainer.waiting:
            raise Stopped

    asked = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
