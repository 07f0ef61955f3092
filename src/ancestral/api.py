"""The use cases from Python: each runs a workflow, shows its events, and returns its result.

They take what the commands of the same name take. Where they show nothing but the result (`progress=False`), they are
the workflows themselves, run to their end.
"""

from pathlib import Path
from typing import Any

from ancestral.config import Config
from ancestral.results.training import TrainingResult


def train(
    config: str | Config = "digits",
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> TrainingResult:
    """Train a model in a run folder.

        run = ancestral.train("digits", out="runs/a", steps=200)
        run = ancestral.train("arrays", data=x, out="runs/b", net=my_module)

    Args:
        config: The name of a preset, or a config.
        data: What to train on in place of the config's source: the name or path of a source; a tensor or array of items
            (N, C, *sides) or points (N, 2), alone or with labels as (items, labels); or a torch Dataset of items, alone
            or with labels.
        out: The run folder; None is runs/ and the name of the preset.
        resume: Whether to resume the run in the folder; without one, start it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: Whether to show the progress.
        options: Parts of your own (net, schedule, target, objective; see `workflows.train.train`), and settings by name
            in place of the config's, for example steps=200 or batch_size=32.

    Returns:
        The result: its `model` samples, and str() of it is a table.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    from ancestral.render.terminal import follow
    from ancestral.workflows import train as workflow

    events = workflow.train(config, data, out=out, resume=resume, device=device, **options)
    return follow(events, quiet=not progress)
