"""The use cases from Python: each runs a workflow, shows its events, and returns its result.

They take what the commands of the same name take. Where they show nothing but the result (`progress=False`), they are
the workflows themselves, run to their end.
"""

from pathlib import Path
from typing import Any

from ancestral.config import Config
from ancestral.results.data_report import DataReport
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


def inspect(source: Any, config: str | Config | None = None, *, progress: bool = True, **options: Any) -> DataReport:
    """Inspect a data set before training on it, as `ancestral doctor` does.

        report = ancestral.inspect("photos/", image_size=64)
        print(report); report.findings; report.sheet.show()

    Args:
        source: The name or path of a source; a tensor or array of items, alone or with labels as (items, labels); or a
            torch Dataset.
        config: The config of the training run, or the name of a preset; None is the default preset of the source.
        progress: Whether to show the progress.
        options: steps (the number of training steps to measure, 0 for none), threads, device, the files `out` (contact
            sheet) and `json`, and settings by name in place of the config's, for example image_size=64 or channels=1.

    Returns:
        The report: statistics, duplicates, findings, and the cost of training. str() of it is a page of text, and
        `sheet` its contact sheet as a Pillow image.

    Raises:
        InputError: If options are out of range, a file cannot be written, or no item can be read.
    """
    from ancestral.render.terminal import follow
    from ancestral.workflows import inspect as workflow

    return follow(workflow.inspect(source, config, **options), quiet=not progress)
