"""The use cases from Python: each runs a workflow, shows its events, and returns its result.

They take what the commands of the same name take. Where they show nothing but the result (`progress=False`), they are
the workflows themselves, run to their end.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.options import in_python, spelled
from ancestral.results import AveragingResult, ComparisonResult, EvaluationResult, SamplerComparisonResult
from ancestral.results.data_report import DataReport
from ancestral.results.training_result import TrainingResult

if TYPE_CHECKING:
    from ancestral.model import Model
    from ancestral.samplers import Sampler
    from ancestral.targets import Denoiser
    from ancestral.training import Progress

R = TypeVar("R")
OTHER_NAMES = {"from": "initial", "for": "export_to"}
"""Options whose names are keywords of Python, and their arguments."""


def train(
    config: str | Config | None = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    initial: "Model | str | Path | None" = None,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> "TrainingResult[Model]":
    """Train a model in a run folder.

        run = ancestral.train("digits", out="runs/a", steps=200)
        run = ancestral.train("arrays", data=x, out="runs/b", net=my_module)
        run = ancestral.train("folder", data="photos/", out="runs/c", initial="runs/photos")

    Args:
        config: The name of a preset, a config, or the path of a .json file with a config or some settings; None is the
            preset for the data, or digits without data. The name or path of data is taken for `data`.
        data: What to train on in place of the config's source: the name or path of a source; a tensor or array of items
            (N, C, *sides) or points (N, 2), alone or with labels as (items, labels); a list of paths of images, or of
            Pillow images, which are converted as those of a folder; or a torch Dataset of items, alone or with labels.
        out: The run folder; None is runs/ and the name of the preset.
        resume: Whether to resume the run in the folder; without one, start it.
        initial: A model, or the run folder, model file or hf:// address of one, whose averaged weights the run starts
            from. Network, schedule and target are those of the model.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: Whether to show the progress.
        options: Parts of your own (net, schedule, target, objective), data that are not trained on (validation; see
            `workflows.train.train`), and settings by name in place of the config's, for example steps=200 or
            batch_size=32.

    Returns:
        The result: its `model` samples, and str() of it is a table.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    from ancestral.workflows import train as workflow

    events = workflow.train(config, data, out=out, resume=resume, initial=initial, device=device, **options)
    return _follow(events, progress)


def train_steps(
    config: str | Config | None = None, data: Any = None, **options: Any
) -> "Generator[Progress, None, TrainingResult[Model]]":
    """Train as `train` does, and yield the progress after each step: for a metric or a plot of your own.

        for progress in ancestral.train_steps("digits", out="runs/a", steps=500):
            if progress.step % 100 == 0:
                print(progress.loss, progress.model().sample(64).float().std())

    Nothing is printed; `progress.notes` says what the user should know of a step. A loop that is left early loses the
    steps since the last checkpoint, and `resume=True` goes on from there. Of several processes the first one yields.

    Args:
        config: As of `train`.
        data: As of `train`.
        options: The other arguments of `train` but progress.

    Yields:
        The progress; its method `model` copies the model of this step.

    Returns:
        The result of `train`.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    from ancestral.training import Progress
    from ancestral.workflows import train as workflow

    events = workflow.train(config, data, **options)
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                result: TrainingResult[Model] = spelled(end.value, in_python)
                return result
            except InputError as error:
                _name_as_python(error)
                raise
            if isinstance(event, Progress):
                yield spelled(event, in_python)


def distil(
    run: "Model | str | Path",
    data: Any = None,
    *,
    out: str | Path | None = None,
    method: Literal["consistency", "tuning", "progressive"] | None = None,
    steps: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> "TrainingResult[Model]":
    """Distil a model into one that samples in one or two network evaluations, in a run folder of its own.

        fast = ancestral.distil("runs/digits", out="runs/fast").model
        fast.sample(64)
        ancestral.distil("runs/digits", out="runs/steps", method="progressive", evaluations=4)

    Args:
        run: A model, or the run folder, model file or hf:// address of one.
        data: What to train on, in any form that `train` takes; None is what the model was trained on.
        out: The run folder; None is runs/, the name of the model's run, and the method.
        method: "consistency" (consistency tuning, and distillation in later stages), "tuning" (easy consistency tuning
            in all stages) or "progressive" (progressive distillation, which keeps the map from noise to image). None is
            "consistency", or what the run that is resumed has.
        steps: The number of training steps; None is 2000.
        resume: Whether to resume the run in the folder; without one, start it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: Whether to show the progress.
        options: stages, evaluations, parts of your own that the model was trained with (net, schedule, target; see
            `workflows.distil.distil`), and settings by name, for example lr=5e-4.

    Returns:
        The result: its `model` samples with two evaluations by default.

    Raises:
        InputError: If the model cannot be distilled, the data do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """
    from ancestral.workflows import distil as workflow

    given = options if steps is None else {**options, "steps": steps}
    events = workflow.distil(run, data, out=out, method=method, resume=resume, device=device, **given)
    return _follow(events, progress)


def evaluate(
    model: "str | Path | Model | Denoiser", data: Any = None, *, progress: bool = True, **options: Any
) -> EvaluationResult:
    """Measure how good a model's samples are, its likelihood, or both.

        result = ancestral.evaluate("runs/a", samples=1000)
        result = ancestral.evaluate(run.model, data=x, samples=False, likelihood=True)

    Args:
        model: A run folder, a model file or an hf:// address; a `Model`, saved or not; or any denoiser with `schedule`
            and `predict`.
        data: What the model was trained on, in any form that `train` takes; None is the source of the run.
        progress: Whether to show the progress.
        options: samples (the number of samples, 2500 by default; False measures none), likelihood (False by default),
            and the other options of `ancestral evaluate`; see `workflows.evaluate.evaluate`.

    Returns:
        What was measured; str() of it is its tables.

    Raises:
        InputError: If the model or the data cannot be read or do not fit, or an option does not apply.
    """
    from ancestral.workflows import evaluate as workflow

    return _follow(workflow.evaluate(model, data, **options), progress)


def evaluate_samples(samples: Any, data: Any, *, progress: bool = True, **options: Any) -> EvaluationResult:
    """Measure how good samples are that are files or in memory, without a model.

    Args:
        samples: A folder of images, a .npy or .npz file, or items in any form that `train` takes.
        data: The data that the samples are compared with, in any form that `train` takes.
        progress: Whether to show the progress.
        options: held_out, extractor, metrics, n, image_size, batch_size, device, out; see
            `workflows.evaluate.evaluate_samples`.

    Returns:
        The metrics of the samples; str() of it is their tables.

    Raises:
        InputError: If the samples or the data cannot be read, or do not fit.
    """
    from ancestral.workflows import evaluate as workflow

    return _follow(workflow.evaluate_samples(samples, data, **options), progress)


def compare(
    runs: "str | Path | Model | Sequence[str | Path | Model]",
    data: Any = None,
    *,
    samplers: "str | Sampler | Sequence[str | Sampler] | None" = None,
    progress: bool = True,
    **options: Any,
) -> ComparisonResult | SamplerComparisonResult:
    """Compare models on the same data, or the samplers of one model over their network evaluations.

        ancestral.compare(["runs/a", "runs/b"])
        ancestral.compare(["runs/a"], samplers="all")

    Args:
        runs: Run folders, model files, hf:// addresses or models: two or more, or one with `samplers`.
        data: What the samples are compared with, in any form that `train` takes; None is the source of the first run.
        samplers: Names of samplers to compare on one run, or samplers of your own; "all" takes every sampler. A name
            without `steps` is tried with several numbers of steps, "heun:steps=5" with 5.
        progress: Whether to show the progress.
        options: The options of `ancestral compare`; see `workflows.compare`.

    Returns:
        The comparison; str() of it is its table.

    Raises:
        InputError: If the runs cannot be read or are not alike, or an option does not apply.
    """
    from ancestral.model import Model
    from ancestral.workflows import compare as workflow

    if isinstance(runs, str | Path | Model):
        runs = [runs]
    if samplers is None:
        return _follow(workflow.compare_runs(runs, data, **options), progress)
    if not isinstance(runs, Sequence) or len(runs) != 1:
        raise InputError("samplers are compared of one run: name it, and no other")
    return _follow(workflow.compare_samplers(runs[0], samplers, data, **options), progress)


def average(run: str | Path, data: Any = None, *, progress: bool = True, **options: Any) -> AveragingResult:
    """Choose the length of the average of the weights after training, and write the best average as a model.

        result = ancestral.average("runs/a", lengths=[0.03, 0.05, 0.1])
        model = ancestral.load("runs/a/average")

    Args:
        run: A run folder with snapshots of averages, which `train` keeps.
        data: What the samples are compared with, in any form that `train` takes; None is the source of the run.
        progress: Whether to show the progress.
        options: lengths, samples (the number of samples of each length), end (the last step of the averages), and the
            other options of `ancestral average`; see `workflows.average.average`.

    Returns:
        The distances by length, and the best length; str() of it is its table.

    Raises:
        InputError: If the run has no snapshots, or an option does not apply.
    """
    from ancestral.workflows import average as workflow

    return _follow(workflow.average(run, data, **options), progress)


def inspect(source: Any, config: str | Config | None = None, *, progress: bool = True, **options: Any) -> DataReport:
    """Inspect a data set before training on it, as `ancestral doctor` does.

        report = ancestral.inspect("photos/", image_size=64)
        print(report); report.findings; report.sheet.show()

    Args:
        source: The name or path of a source; a tensor or array of items, alone or with labels as (items, labels); a
            list of paths of images, or of Pillow images; or a torch Dataset.
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
    from ancestral.workflows import inspect as workflow

    return _follow(workflow.inspect(source, config, **options), progress)


def _python_name(option: re.Match[str]) -> str:
    return OTHER_NAMES.get(option[1], option[1].replace("-", "_"))


def _follow(events: Generator[Any, None, R], progress: bool) -> R:
    """Run a workflow to its end; its errors name options as Python does: batch_size, not --batch-size."""
    from ancestral.render.terminal import follow

    try:
        return follow(events, quiet=not progress)
    except InputError as error:
        _name_as_python(error)
        raise


def _name_as_python(error: InputError) -> None:
    error.args = (re.sub(r"(?<![^\s(])--(?!help)([a-z][a-z-]*)", _python_name, str(error)),)
