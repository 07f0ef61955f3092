"""Signals at which a training run ends after the step in progress, saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from ancestral.data.loading import JOB_SIGNALS
from ancestral.training.progress import Stopped
from ancestral.training.trainer import Trainer


@contextlib.contextmanager
def stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Stop the trainer on signals that ask to end. Only the main thread of a program may handle signals."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if trainer.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        trainer.stop(preempted=number != signal.SIGINT)
        if trainer.waiting:
            raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hangup = getattr(signal, "SIGHUP", None)  # `nohup` has the run outlast its terminal
    numbers = [one for one in JOB_SIGNALS if one != hangup or signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
