"""Edits with a trained model: a part sampled anew, restoration, variations and walks between two images."""

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from ancestral import samplers
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.base.threads import cpu_threads
from ancestral.config.request import EditRequest, Request
from ancestral.config.sweep_values import SweptValue
from ancestral.data.statistics import evenly_spaced
from ancestral.declarations import EDIT_TASKS, FITTED, Edit
from ancestral.model import editing, sampler_name
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.requested import RequestedModel, recipe_of, stages_of
from ancestral.render import compositions
from ancestral.results.editing_result import EditedCell, EditingResult
from ancestral.use_cases.output_files import write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import DecidedEditing, EditPlan, WrittenEdit, files_of, paths_of
from ancestral.use_cases.sampling.edit_folder import FolderPlan, edited_folder, is_folder, planned_folder
from ancestral.use_cases.sampling.edit_inputs import EditInput, check_images, edit_input
from ancestral.use_cases.sampling.reverse_process import ReverseProcess, sampled
from ancestral.use_cases.sampling.sweep_files import SweepPlan
from ancestral.use_cases.sampling.sweep_table import first_cell, planned_sweep, written_sweep

STATISTICS = 2
"""The smallest number of samples that have a map of their standard deviation."""
COMPARED_SHOWN = 32
"""The largest number of cells of a table whose figures are said; the result has those of all."""


def plan(options: Edit) -> EditPlan | SweepPlan[DecidedEditing] | FolderPlan:
    """Decide how an image is edited, or each image of a folder, and into which files.

    Raises:
        InputError: If the model cannot do this, the images cannot be read, an option does not apply, or `like` was made
            otherwise.
    """
    _check_options(options)
    return planned_folder(options) if is_folder(options) else _planned(options)


def _planned(options: Edit) -> EditPlan | SweepPlan[DecidedEditing]:
    """Decide how one image is edited."""
    digest = requests.digest_at(options.model)
    like = None if options.like is None else requests.like(options, digest)
    if like is not None:
        _check_task(like, options)
    source = requests.loaded(options, digest)
    model, name = source.model, source.name
    if len(model.spec.shape) < 2:
        raise InputError(f"{name} is a model of points; images, signals and volumes can be edited")
    request = requests.of_options(options).of_edit(_settings(options), {}) if like is None else like
    given = edit_input(options, model, settings_of(first_cell(request, [model])))
    if like is not None:
        check_images(like, given)
    settings = settings_of(request)
    if like is None:
        settings = dataclasses.replace(settings, images=given.values)
    request = requests.with_weak(request.of_edit(settings, given.arguments), options, model)
    decide = partial(_decided, options, source, given)
    if request.sweep is not None:
        return planned_sweep(options, request, [model], decide)
    decided = decide(request)
    out, gif, film = paths_of(options, request, model)
    return EditPlan(**vars(decided), shown=given.shown, out=out, gif=gif, film=film)


def _decided(options: Edit, source: RequestedModel, given: EditInput, request: Request) -> DecidedEditing:
    """Decide how the samples of a request without a sweep are made."""
    model, settings = source.model, settings_of(request)
    (stage,) = stages_of([source], request)
    edit = editing.edit_of(model, request)
    indices = None if options.task == "interpolate" else request.indices
    items = range(edit.count) if indices is None else indices
    own = request.objects.sampler
    made = recipe_of(
        request,
        [stage],
        n=len(items),
        sampler=request.sampler if own is None else sampler_name(own),
        edit=dataclasses.replace(settings, method=edit.method if options.task in FITTED else None),
    )
    notes = [
        *given.notes,
        *edit.remarks,
        *requests.coupling_note(model),
        *requests.never_absent(stage),
        *stage.conditioning.notes(),
        *requests.snapshot_notes(options, request.objects.weak),
        *(requests.differences(request, model) if options.like is not None else ()),
    ]
    return DecidedEditing(options, model, source.name, edit, made, items, tuple(dict.fromkeys(notes)), given.change)


def run(plan: EditPlan | SweepPlan[DecidedEditing] | FolderPlan) -> Generator[Event, None, EditingResult]:
    """Make the samples of an edit, or of those of a folder, and write the files.

    Yields:
        The method and why it was taken, the progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    if isinstance(plan, FolderPlan):
        return (yield from edited_folder(plan, lambda options: _run(_planned(options))))
    return (yield from _run(plan))


def _run(plan: EditPlan | SweepPlan[DecidedEditing]) -> Generator[Event, None, EditingResult]:
    cells = plan.cells if isinstance(plan, SweepPlan) else (plan,)
    first, request = cells[0], plan.request
    yield from (
        Message(f"{name}: {reason}") for name, reason in {one.edit.method: one.edit.reason for one in cells}.items()
    )
    yield from map(Message, plan.notes)
    made = (yield from _swept(plan)) if isinstance(plan, SweepPlan) else (yield from _written(plan))
    return EditingResult(
        model=first.name,
        task=first.options.task,
        count=made.samples,
        seed=request.seed,
        method=first.edit.method,
        reason=first.edit.reason,
        evaluations=first.edit.evaluations,
        seconds=made.seconds,
        paths=made.paths,
        deviation=made.deviation,
        index=request.indices,
        given=request.given,
        avoid=request.avoid,
        notes=(*plan.notes, *made.remarks),
        sweep=request.sweep,
        cells=made.cells,
    )


def _written(plan: EditPlan) -> Generator[Event, None, WrittenEdit]:
    """Make the samples and write the files."""
    edit, options, began = plan.edit, plan.options, time.perf_counter()
    keep = evenly_spaced(compositions.FILM_STATES, len(edit.times)) if plan.film else []
    same_sides = plan.change is not None and tuple(plan.change.shape) == plan.model.spec.shape[1:]
    # else a state would be a large image around a small window
    recording = yield from _recorded(plan, keep, edit.finish if same_sides else None)
    seconds = time.perf_counter() - began
    items = edit.finish(recording.samples)
    remarks = edit.check(items)
    yield from map(Message, remarks)
    deviation = None
    if options.task != "interpolate" and edit.count >= STATISTICS:
        deviation = editing.deviation_of(plan.model.spec.codec.of_one_unit(items))
    decode = plan.decode
    states = [samplers.Step(state.index, state.t, decode(state.x), decode(state.x0)) for state in recording.states]
    paths = yield from write_new_files(files_of(plan, items, deviation, states))
    return WrittenEdit(edit.count, seconds, paths, plan.mean_deviation(deviation), remarks)


def _swept(plan: SweepPlan[DecidedEditing]) -> Generator[Event, None, WrittenEdit]:
    """Make the samples of all cells and write the file."""
    began = time.perf_counter()
    samples, paths = yield from written_sweep(plan, _cell)
    seconds = time.perf_counter() - began
    parts = torch.split(samples, [len(cell.items) for cell in plan.cells])
    cells = tuple(map(_compared, plan.cells, parts, plan.sweep.values_of_cells))
    yield from map(Message, _compared_lines(cells))
    return WrittenEdit(len(samples), seconds, paths, cells=cells)


def _compared(cell: DecidedEditing, items: Tensor, values: dict[str, SweptValue]) -> EditedCell:
    """A cell with its figures."""
    edit, several = cell.edit, cell.options.task != "interpolate" and len(items) >= STATISTICS
    alike = cell.model.spec.codec.of_one_unit(items)
    return EditedCell(
        values=values,
        method=edit.method,
        evaluations=edit.evaluations,
        deviation=cell.mean_deviation(editing.deviation_of(alike)) if several else None,
        misfit=None if edit.misfit is None else edit.misfit(items),
    )


def _compared_lines(cells: Sequence[EditedCell]) -> Iterator[str]:
    """The figures of cells as lines, a few of them."""
    for cell in cells[:COMPARED_SHOWN]:
        figures = [f"standard deviation {cell.deviation:.3g}"] if cell.deviation is not None else []
        figures += [f"root mean square of A x - y {cell.misfit:.2g}"] if cell.misfit is not None else []
        if figures:
            yield f"{' '.join(f'{name}={value}' for name, value in cell.values.items())}: {', '.join(figures)}"


def _cell(cell: DecidedEditing) -> Generator[Event, None, Tensor]:
    recording = yield from _recorded(cell)
    items = cell.edit.finish(recording.samples)
    yield from map(Message, cell.edit.check(items))
    return items


def _recorded(
    decided: DecidedEditing, keep: Sequence[int] = (), finish: Callable[[Tensor], Tensor] | None = None
) -> Generator[Event, None, samplers.Recording]:
    """Make the samples as the network knows them, and keep some of the states."""
    edit, model, options = decided.edit, decided.model, decided.options
    task = f"{edit.count} sample{'s' * (edit.count > 1)}"
    process = ReverseProcess(task, edit.trajectory, edit.count, len(edit.times), decided.decode, finish)
    with cpu_threads(options.threads):
        return (yield from sampled(process, model.batch(options.batch_size), keep, decoded=False))


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
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")
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
