"""Edits with a trained model: a part sampled anew, restoration, variations and walks between two images."""

import dataclasses
import time
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor

from ancestral import samplers
from ancestral.base.device import cpu_threads
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.config.request import EditRequest, Request
from ancestral.config.sweep_values import SweptValue
from ancestral.data.dataset import evenly_spaced
from ancestral.declarations import EDIT_TASKS, Edit
from ancestral.model import editing
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.process import Process, made
from ancestral.render import compositions
from ancestral.results.sampling_result import EditedCell, EditingResult
from ancestral.use_cases.output_files import write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import files_of, paths_of
from ancestral.use_cases.sampling.edit_folder import FolderPlan, edited_folder, is_folder, planned_folder
from ancestral.use_cases.sampling.edit_inputs import check_images, edit_input
from ancestral.use_cases.sampling.edit_series import SeriesPlan, edited_series, planned_series
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan
from ancestral.use_cases.sampling.sweep_table import first_cell, planned_sweep, written_sweep

STATISTICS = 2
"""The smallest number of samples that have a map of their standard deviation."""
COMPARED_SHOWN = 32
"""The largest number of cells of a table whose figures are said; the result has those of all."""


def plan(options: Edit) -> SamplingPlan | FolderPlan | SeriesPlan:
    """Decide how an image is edited, or each image of a folder or field of a file, and into which files.

    Raises:
        InputError: If the model cannot do this, the images cannot be read, an option does not apply, or `like` was made
            otherwise.
    """
    _check_options(options)
    return planned_folder(options) if is_folder(options) else planned_series(options) or _planned(options)


def _planned(options: Edit) -> SamplingPlan:
    """Decide how one image is edited."""
    like = None if options.like is None else requests.like(options, requests.digest_at(options.model))
    if like is not None:
        _check_task(like, options)
    model = requests.loaded(options)
    if len(model.spec.shape) < 2:
        raise InputError(f"{model.name} is a model of points; images, signals and volumes can be edited")
    model.batch(options.batch_size)
    request = requests.of_options(options).of_edit(_settings(options), {}) if like is None else like
    given = edit_input(options, model, settings_of(first_cell(request, [model])))
    if like is not None:
        check_images(like, given)
    settings = settings_of(request)
    if like is None:
        settings = dataclasses.replace(settings, images=given.values)
    request = requests.with_weak(request.of_edit(settings, given.arguments), options, model)
    if request.sweep is not None:
        return planned_sweep(options, request, model, given)
    process = model.process(request)
    out, gif, film = paths_of(options, request, model)
    notes = (*given.notes, *process.notes, *requests.snapshot_notes(options, request.objects.weak))
    return SamplingPlan(options, (process,), process.recipe, out, tuple(dict.fromkeys(notes)), gif, film, given=given)


def run(plan: SamplingPlan | FolderPlan | SeriesPlan) -> Generator[Event, None, EditingResult]:
    """Make the samples of an edit, or of those of a folder or a series, and write the files.

    Yields:
        The method and why it was taken, the progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    if isinstance(plan, FolderPlan):
        return (yield from edited_folder(plan, lambda options: _run(_planned(options))))
    if isinstance(plan, SeriesPlan):
        return (yield from edited_series(plan, _planned))
    return (yield from _run(plan))


def _run(plan: SamplingPlan) -> Generator[Event, None, EditingResult]:
    methods = {process.method: process.reason for process in plan.processes}
    yield from (Message(f"{name}: {reason}") for name, reason in methods.items())
    yield from map(Message, plan.notes)
    assert isinstance(plan.options, Edit)
    began, recipe = time.perf_counter(), plan.recipe
    result = EditingResult(
        model=plan.model.name,
        task=plan.options.task,
        count=plan.count,
        seed=recipe.seed,
        method=plan.process.method,
        reason=plan.process.reason,
        evaluations=plan.process.evaluations,
        seconds=0.0,
        paths=(),
        deviation=None,
        index=recipe.indices,
        given=recipe.given,
        avoid=recipe.avoid,
        notes=plan.notes,
        sweep=recipe.sweep,
    )
    with cpu_threads(plan.options.threads):
        return (yield from (_written if plan.sweep is None else _swept)(plan, result, began))


def _written(plan: SamplingPlan, result: EditingResult, began: float) -> Generator[Event, None, EditingResult]:
    """Make the samples and write the files."""
    process, options = plan.process, plan.options
    keep = evenly_spaced(compositions.FILM_STATES, len(process.times)) if plan.film else []
    recording = yield from made(process, options.batch_size, keep)
    seconds = time.perf_counter() - began
    remarks = process.check(recording.samples)
    yield from map(Message, remarks)
    deviation = _deviation(plan, process, recording.samples)
    paths = yield from write_new_files(files_of(plan, recording, deviation))
    mean = _mean_deviation(plan, deviation)
    return dataclasses.replace(result, seconds=seconds, paths=paths, deviation=mean, notes=(*plan.notes, *remarks))


def _swept(plan: SamplingPlan, result: EditingResult, began: float) -> Generator[Event, None, EditingResult]:
    """Make the samples of all cells and write the file."""
    assert plan.sweep is not None
    samples, paths = yield from written_sweep(plan)
    seconds = time.perf_counter() - began
    parts = torch.split(samples, [process.count for process in plan.processes])
    values = plan.sweep.values_of_cells
    cells = tuple(_compared(plan, *cell) for cell in zip(plan.processes, parts, values, strict=True))
    yield from map(Message, _compared_lines(cells))
    return dataclasses.replace(result, seconds=seconds, paths=paths, cells=cells)


def _deviation(plan: SamplingPlan, process: Process, items: Tensor) -> Tensor | None:
    """The map of the standard deviation of samples; None of a walk, or of too few."""
    if settings_of(plan.recipe).task == "interpolate" or process.count < STATISTICS:
        return None
    return editing.deviation_of(process.model.spec.codec.of_one_unit(items))


def _mean_deviation(plan: SamplingPlan, deviation: Tensor | None) -> float | None:
    """The mean of the map of the standard deviation where the image may change."""
    change = None if plan.given is None else plan.given.change
    return None if deviation is None else float((deviation if change is None else deviation[change]).mean())


def _compared(plan: SamplingPlan, process: Process, items: Tensor, values: dict[str, SweptValue]) -> EditedCell:
    """A cell with its figures."""
    return EditedCell(
        values=values,
        method=process.method,
        evaluations=process.evaluations,
        deviation=_mean_deviation(plan, _deviation(plan, process, items)),
        misfit=None if process.misfit is None else process.misfit(items),
    )


def _compared_lines(cells: Sequence[EditedCell]) -> Iterator[str]:
    """The figures of cells as lines, a few of them."""
    for cell in cells[:COMPARED_SHOWN]:
        figures = [f"standard deviation {cell.deviation:.3g}"] if cell.deviation is not None else []
        figures += [f"root mean square of A x - y {cell.misfit:.2g}"] if cell.misfit is not None else []
        if figures:
            yield f"{' '.join(f'{name}={value}' for name, value in cell.values.items())}: {', '.join(figures)}"


# -- what the user gives ----------------------------------------------------------------------------------------------


def _check_options(options: Edit) -> None:
    """Raise InputError for options that the task does not have, or lacks."""
    task, swept = options.task, requests.swept_axes(options) or {}
    for one in dataclasses.fields(options):
        tasks, value = one.metadata.get("tasks", EDIT_TASKS), getattr(options, one.name)
        if task not in tasks and ((value is not None and value is not False) or one.name in swept):
            names = " and ".join(tasks)
            raise InputError(f"{option(one.name)} is an option of {names}, and has no meaning in {task}: leave it out")
    if options.image is None and task != "interpolate":
        raise InputError(f"{task} needs an image: give it after the task")
    _check_ways(options)
    if (options.image is None) != (options.other is None) and task == "interpolate":
        raise InputError(
            "interpolate walks between two images: give both, or none to walk between labels or conditions"
        )
    if task == "interpolate" and len(options.index or (0,)) != 1:
        raise InputError(f"interpolate begins at the noise of one sample: give one {option('index')}")
    if options.n is not None and options.index is not None and task != "interpolate":
        raise InputError(f"{option('index')} already names the samples: leave {option('n')} out")
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, steps=options.steps)


def _check_ways(options: Edit) -> None:
    """Raise InputError if a mask, a rectangle and an extension say what changes, or two of them."""
    ways = [name for name in ("mask", "changes", "box", "extend") if getattr(options, name) is not None]
    if len(ways) > 1 and ways != ["mask", "changes"]:
        raise InputError(f"{option(ways[0])} and {option(ways[-1])} both say what changes: give one of them")


def _settings(options: Edit) -> EditRequest:
    """What the request has of the edit besides its images."""
    settings = {
        one.name: getattr(options, one.name) for one in dataclasses.fields(EditRequest) if hasattr(options, one.name)
    }
    return EditRequest(**settings | {"operator": None if options.operator is None else str(options.operator)})


def _check_task(like: Request, options: Edit) -> None:
    """Raise InputError if a request is one of another task, or of another operator."""
    settings = settings_of(like)
    if settings.task != options.task:
        task = settings.task or "ancestral sample"
        raise InputError(f"{options.like} was made by {task}, not by {options.task}")
    if options.operator is not None and str(options.operator) != settings.operator:
        raise InputError(
            f"{options.like} was made with the operator {settings.operator}: leave {option('operator')} out"
        )
