"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from ancestral import samplers
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.base.threads import cpu_threads
from ancestral.config.request import SAMPLER_OPTIONS, Request
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.model import sampler_name
from ancestral.model.requested import RequestedModel, count_of, recipe_of, stages_of
from ancestral.model.stages import Stage
from ancestral.render import compositions, writers
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingResult
from ancestral.use_cases.output_files import other_images, write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.reverse_process import ReverseProcess, sampled
from ancestral.use_cases.sampling.sample_files import DecidedSamples, SamplePlan, files_of, paths_of
from ancestral.use_cases.sampling.sweep_files import SweepPlan
from ancestral.use_cases.sampling.sweep_table import planned_sweep, written_sweep


def plan(options: Sample) -> SamplePlan | SweepPlan[DecidedSamples]:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model.
    """
    _check(options)
    request, sources = _sourced(options)
    decide = partial(_decided, options, sources)
    if request.sweep is not None:
        return planned_sweep(options, request, [source.model for source in sources], decide)
    decided = decide(request)
    out, gif, film = paths_of(options, decided.request, decided.stages)
    notes = *decided.notes, *other_images([path for path in (out, gif, film) if path is not None])
    return SamplePlan(**{**vars(decided), "notes": notes}, out=out, gif=gif, film=film)


def _decided(options: Sample, sources: Sequence[RequestedModel], request: Request) -> DecidedSamples:
    """Decide which samples of a request without a sweep are made, and how."""
    stages = stages_of(sources, request)
    if options.branch is not None:
        requests.check_seed(options, stages[0])
    model, last = stages[0].model, stages[-1].model
    items = model.items(count_of(request, stages), request.indices)
    last.items(len(items), request.indices)
    model.batch(options.batch_size)
    fits = writers.fits_png(last.spec.shape, last.spec.codec.dtype)
    single = len(items) == 1 and fits if options.like is None else request.single
    if single and not (len(items) == 1 and fits):
        writers.check_png(last.spec.shape, last.spec.codec.dtype)
    made = recipe_of(
        request,
        stages,
        n=len(items),
        single=single and options.captions is not True,
        sampler=sampler_name(stages[0].sampler),
        steps=None,
    )
    read = request.parent if options.branch is not None else request
    notes = (
        *(doubt for stage in stages for doubt in requests.doubts(stage)),
        *(note for stage in stages for note in requests.never_absent(stage)),
        *(note for stage in stages for note in stage.conditioning.notes()),
        *requests.snapshot_notes(options, request.objects.weak),
        *requests.differences(read or request, model),
    )
    return DecidedSamples(options, tuple(stages), items, made, notes)


def _check(options: Sample) -> None:
    """Raise InputError for options that contradict each other, and a sampler that there is not."""
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **{name: getattr(options, name) for name in SAMPLER_OPTIONS})
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")


def _sourced(options: Sample) -> tuple[Request, list[RequestedModel]]:
    """The request of the options, and its models."""
    digest = requests.digest_at(options.model)
    branched = options.branch is not None or options.at is not None
    parent = requests.parent_of(options, digest) if branched else None
    request = None if options.like is None else requests.like(options, digest)
    if request is not None and request.edit is not None:
        raise InputError(f"{options.like} is an edit: make it again by ancestral edit")
    followers = requests.followers(options, request)
    first = requests.loaded(options, digest)
    if parent is not None:
        request = requests.branch_of(parent, options, first.model.spec.classes)
    request = requests.with_weak(request or requests.of_options(options), options, first.model)
    return request, [first, *(requests.follower(model, options.device, options.net) for model in followers)]


def run(plan: SamplePlan | SweepPlan[DecidedSamples]) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    yield from map(Message, plan.notes)
    if isinstance(plan, SweepPlan):
        first, (samples, paths) = plan.cells[0], (yield from written_sweep(plan, _cell))
    else:
        first, (samples, paths) = plan, (yield from _written(plan))
    model, request = first.model, plan.request
    result = SamplingResult(
        model=first.stages[0].name,
        count=len(samples),
        seed=request.seed,
        sampler=str(first.stages[0].sampler),
        label=None if request.label is None else ", ".join(map(str, request.label)),
        guidance=request.guidance,
        paths=paths,
        codec=model.spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=model.spec.mean,
        index=request.indices,
        given=request.given,
        avoid=request.avoid,
        then=tuple(stage.name for stage in first.stages[1:]),
        sweep=request.sweep,
    )
    if means := channel_means(result):
        yield Message(means)
    return result


def _written(plan: SamplePlan) -> Generator[Event, None, tuple[Tensor, tuple[str, ...]]]:
    """Make the samples and write the files. Returns the samples and the paths."""
    options, count = plan.options, plan.states
    animated = plan.gif is not None or plan.out.suffix.lower() in writers.ANIMATIONS
    in_animation = evenly_spaced(writers.frame_count(options.fps or writers.FPS), count) if animated else []
    in_film = evenly_spaced(compositions.FILM_STATES, count) if plan.film else []
    stages, (samples, states) = yield from _made(plan, sorted({*in_animation, *in_film}))
    frames, stills = ([state for state in states if state.index in indices] for indices in (in_animation, in_film))
    files = files_of(dataclasses.replace(plan, stages=stages), samples, frames, stills)
    return samples, (yield from write_new_files(files))


def _cell(cell: DecidedSamples) -> Generator[Event, None, Tensor]:
    _, recording = yield from _made(cell)
    return recording.samples


def _made(
    decided: DecidedSamples, keep: Sequence[int] = ()
) -> Generator[Event, None, tuple[tuple[Stage, ...], samplers.Recording]]:
    """Make the samples, and keep some of the states of the last stage. Returns the stages with their conditions too."""
    stages, recording = list[Stage](), samplers.Recording(torch.empty(0), [])
    with cpu_threads(decided.options.threads):
        for stage in decided.stages:
            stages.append(stage.given_samples(recording.samples, decided.items) if stages else stage)
            recording = yield from _sampled(stages[-1], decided, keep if stage is decided.stages[-1] else [])
    return tuple(stages), recording


def _sampled(stage: Stage, decided: DecidedSamples, keep: Sequence[int]) -> Generator[Event, None, samplers.Recording]:
    """Make the samples of a stage, and keep some of the states."""
    model, items = stage.model, decided.items
    sides = f" of {'x'.join(map(str, model.spec.shape[1:]))}" if len(decided.stages) > 1 else ""

    def trajectory(positions: Sequence[int]) -> Iterator[samplers.Step]:
        return stage.trajectory([items[position] for position in positions], decided.request.seed)

    task = f"{len(items)} image{'s' * (len(items) > 1)}{sides}"
    process = ReverseProcess(task, trajectory, len(items), len(stage.times), model.spec.decode)
    return (yield from sampled(process, model.batch(decided.options.batch_size), keep))
