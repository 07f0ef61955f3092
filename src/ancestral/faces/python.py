"""The use cases from Python: each function plans and runs a use case, shows its events, and returns its result.

The functions are made from the declarations. Editors and type checkers read their signatures in python.pyi, which
docs/hooks/stub.py writes.
"""

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ancestral.base.options import in_python, spelled
from ancestral.declarations import USE_CASES, Train
from ancestral.faces.functions import PROGRESS, function_of, read

if TYPE_CHECKING:
    from ancestral.training import Progress

FUNCTIONS = {case.function: function_of(case) for case in USE_CASES}
globals().update(FUNCTIONS)


def train_steps(*places: object, **named: Any) -> "Generator[Progress, None, Any]":
    """Train as `train` does, and yield the progress after each step: for a custom metric or plot.

        for progress in ancestral.train_steps("digits", out="runs/a", steps=500):
            if progress.step % 100 == 0:
                print(progress.loss, progress.model().sample(64).float().std())

    Nothing is printed; `progress.notes` says what the user should know of a step. A loop that is left early loses the
    steps since the last checkpoint, and `resume=True` goes on from there. Of several processes the first one yields.

    Args:
        places: As of `train`.
        named: As of `train`, but progress.

    Yields:
        The progress; its method `model` copies the model of this step.

    Returns:
        The result of `train`.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    from ancestral.training import Progress
    from ancestral.use_cases import start

    with closing(start(read(Train, places, named))) as events:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return spelled(end.value, in_python)
            if isinstance(event, Progress):
                yield spelled(event, in_python)


_signature = FUNCTIONS["train"].__signature__  # type: ignore[attr-defined]
train_steps.__signature__ = _signature.replace(  # type: ignore[attr-defined]
    parameters=[one for one in _signature.parameters.values() if one.name != PROGRESS]
)
