"""Edits with a trained model: a part sampled anew, restoration, variations and walks between two images."""

import dataclasses
import time
from collections.abc import Generator

from ancestral import samplers
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.base.threads import cpu_threads
from ancestral.config.folders import check_outside
from ancestral.config.request import EditRequest, Request
from ancestral.data.statistics import evenly_spaced
from ancestral.declarations import EDIT_TASKS, FITTED, Edit
from ancestral.model import editing, sampler_name
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.requested import recipe_of, stages_of
from ancestral.render import compositions
from ancestral.results.editing_result import EditingResult
from ancestral.samplers import Step
from ancestral.use_cases.output_files import write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import EditPlan, files_of, paths_of
from ancestral.use_cases.sampling.edit_inputs import EditInput, check_images, edit_input
from ancestral.use_cases.sampling.reverse_process import ReverseProcess, sampled

STATISTICS = 2
"""The smallest number of samples that have a map of their standard deviation."""


def plan(options: Edit) -> EditPlan:
    """Decide how an image is edited, and into which files.

    Raises:
        InputError: If the model cannot do this, the images cannot be read, an option does not apply, or `like` was made
            otherwise.
    """
    _check_options(options)
    digest = requests.digest_at(options.model)
    like = None if options.like is None else requests.like(options, digest)
    if like is not None:
        _check_task(like, options)
    source = requests.loaded(options, digest)
    model, name = source.model, source.name
    if len(model.spec.shape) < 2:
        raise InputError(f"{name} is a model of points; images, signals and volumes can be edited")
    given = edit_input(options, model, like)
    if like is not None:
        check_images(like, given)
    settings = _settings(options, given) if like is None else settings_of(like)
    request = (requests.of_options(options) if like is None else like).of_edit(settings, given.arguments)
    request = requests.with_weak(request, options, model)
    (stage,) = stages_of([source], request)
    edit = editing.edit_of(model, request)
    indices = None if options.task == "interpolate" else request.indices
    items = range(edit.count) if indices is None else indices
    out, gif, film = paths_of(options, request)
    for path in filter(None, (out, gif, film)):
        check_outside(path, model.config.data.source)
    own = request.objects.sampler
    request = recipe_of(
        request,
        [stage],
        n=len(items),
        sampler=request.sampler if own is None else sampler_name(own),
        edit=dataclasses.replace(settings, method=edit.method if options.task in FITTED else None),
    )
    notes = [
        *given.notes,
        *edit.notes,
        *requests.never_absent(stage),
        *requests.beyond_data(stage),
        *requests.snapshot_notes(options, request.objects.weak),
        *(requests.differences(like, model) if like else ()),
    ]
    return EditPlan(
        options=options,
        model=model,
        name=name,
        edit=edit,
        request=request,
        items=items,
        shown=given.shown,
        change=given.change,
        out=out,
        gif=gif,
        film=film,
        notes=tuple(dict.fromkeys(notes)),
    )


def run(plan: EditPlan) -> Generator[Event, None, EditingResult]:
    """Make the samples of an edit and write the files.

    Yields:
        The method and why it was taken, the progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    edit, model, options = plan.edit, plan.model, plan.options
    yield Message(f"{edit.method}: {edit.reason}")
    yield from map(Message, plan.notes)
    size, began = model.batch(options.batch_size), time.perf_counter()
    keep = evenly_spaced(compositions.FILM_STATES, len(edit.times)) if plan.film else []
    with cpu_threads(options.threads):
        task = f"{edit.count} sample{'s' * (edit.count > 1)}"
        same_sides = plan.change is not None and tuple(plan.change.shape) == model.spec.shape[1:]
        finish = edit.finish if same_sides else None  # else a state would be a large image around a small window
        process = ReverseProcess(task, edit.trajectory, edit.count, len(edit.times), model.spec.decode, finish)
        recording = yield from sampled(process, size, keep, decoded=False)
    seconds = time.perf_counter() - began
    items = edit.finish(recording.samples)
    remarks = edit.check(items)
    yield from map(Message, remarks)
    deviation = None
    if options.task != "interpolate" and edit.count >= STATISTICS:
        deviation = editing.deviation_of(items)
    decode = model.spec.decode
    states = [Step(state.index, state.t, decode(state.x), decode(state.x0)) for state in recording.states]
    paths = yield from write_new_files(files_of(plan, items, deviation, states))
    changed = deviation if deviation is None or plan.change is None else deviation[plan.change]
    return EditingResult(
        model=plan.name,
        task=options.task,
        count=edit.count,
        seed=plan.request.seed,
        method=edit.method,
        reason=edit.reason,
        evaluations=edit.evaluations,
        seconds=seconds,
        paths=paths,
        deviation=None if changed is None else float(changed.mean()),
        index=plan.request.indices,
        given=plan.request.given,
        notes=(*plan.notes, *remarks),
    )


# -- what the user gives ----------------------------------------------------------------------------------------------


def _check_options(options: Edit) -> None:
    """Raise InputError for options that the task does not have, or lacks."""
    task = options.task
    for one in dataclasses.fields(options):
        tasks, value = one.metadata.get("tasks", EDIT_TASKS), getattr(options, one.name)
        if task not in tasks and value is not None and value is not False:
            names = " and ".join(tasks)
            raise InputError(f"{option(one.name)} is an option of {names}, and has no meaning in {task}: leave it out")
    if options.image is None and task != "interpolate":
        raise InputError(f"{task} needs an image: give it after the task")
    for name in ("mask", "changes"):
        if getattr(options, name) is not None and options.box is not None:
            raise InputError(f"{option(name)} and {option('box')} both say what changes: give one of them")
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


def _settings(options: Edit, given: EditInput) -> EditRequest:
    """What the request has of the edit."""
    own = {name: getattr(options, name) for name in ("strength", "t", "iterations", "noise", "method")}
    operator = None if options.operator is None else str(options.operator)
    return EditRequest(options.task, given.values, operator=operator, **own)


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
