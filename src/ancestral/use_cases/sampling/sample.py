"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch

from ancestral import samplers
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.base.registries import DISTILLATIONS
from ancestral.base.threads import cpu_threads
from ancestral.config.request import SAMPLER_OPTIONS, Request
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.model import Model, sampler_name
from ancestral.model.requested import check_followers, count_of, recipe_of, stages_of
from ancestral.model.sampling_model import SamplingModel
from ancestral.model.stages import Stage
from ancestral.render import compositions, writers
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingResult
from ancestral.samplers.loop import Step
from ancestral.use_cases.output_files import other_images, write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.reverse_process import ReverseProcess, sampled
from ancestral.use_cases.sampling.sample_files import SamplePlan, files_of, paths_of


def plan(options: Sample) -> SamplePlan:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model.
    """
    _check(options)
    request, stages = _staged(options)
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
    out, gif, film = paths_of(options, made, stages)
    paths = [path for path in (out, gif, film) if path is not None]
    read = request.parent if options.branch is not None else request
    return SamplePlan(
        options=options,
        stages=tuple(stages),
        items=items,
        request=made,
        out=out,
        gif=gif,
        film=film,
        notes=(
            *(doubt for stage in stages for doubt in _doubts(stage.model, stage.sampler)),
            *(note for stage in stages for note in requests.never_absent(stage)),
            *(note for stage in stages for note in requests.beyond_data(stage)),
            *requests.snapshot_notes(options, request.objects.weak),
            *requests.differences(read or request, model),
            *other_images(paths),
        ),
    )


def _check(options: Sample) -> None:
    """Raise InputError for options that contradict each other, and a sampler that there is not."""
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **{name: getattr(options, name) for name in SAMPLER_OPTIONS})
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")


def _staged(options: Sample) -> tuple[Request, list[Stage]]:
    """The request of the options, and its stages."""
    digest = requests.digest_at(options.model)
    branched = options.branch is not None or options.at is not None
    parent = requests.parent_of(options, digest) if branched else None
    request = None if options.like is None else requests.like(options, digest)
    if request is not None and request.edit is not None:
        raise InputError(f"{options.like} is an edit: make it again by ancestral edit")
    followers = _followers(options, request)
    first = requests.loaded(options, digest)
    if parent is not None:
        request = requests.branch_of(parent, options, first.model.spec.classes)
    request = requests.with_weak(request or requests.of_options(options), options, first.model)
    sources = [first, *(requests.follower(model, options.device, options.net) for model in followers)]
    stages = stages_of(sources, request)
    if parent is not None:
        requests.check_seed(options, stages[0])
    return request, stages


def run(plan: SamplePlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    model, request, items, options = plan.model, plan.request, plan.items, plan.options
    yield from map(Message, plan.notes)
    times = plan.stages[-1].times
    animated = plan.gif is not None or plan.out.suffix.lower() in writers.ANIMATIONS
    in_animation = evenly_spaced(writers.frame_count(options.fps or writers.FPS), len(times)) if animated else []
    in_film = evenly_spaced(compositions.FILM_STATES, len(times)) if plan.film else []
    stages, samples = list[Stage](), torch.empty(0)
    with cpu_threads(options.threads):
        for stage in plan.stages:
            stages.append(stage.given_samples(samples, items) if stages else stage)
            keep = sorted({*in_animation, *in_film}) if stage is plan.stages[-1] else []
            samples, states = yield from _sampled(stages[-1], plan, keep)
    plan = dataclasses.replace(plan, stages=tuple(stages))
    frames, stills = ([state for state in states if state.index in indices] for indices in (in_animation, in_film))
    paths = yield from write_new_files(files_of(plan, samples, frames, stills))
    result = SamplingResult(
        model=plan.stages[0].name,
        count=len(items),
        seed=request.seed,
        sampler=str(plan.stages[0].sampler),
        label=None if request.label is None else ", ".join(map(str, request.label)),
        guidance=request.guidance,
        paths=paths,
        codec=model.spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=model.spec.mean,
        index=request.indices,
        given=request.given,
        then=tuple(stage.name for stage in plan.stages[1:]),
    )
    if means := channel_means(result):
        yield Message(means)
    return result


def _sampled(stage: Stage, plan: SamplePlan, keep: Sequence[int]) -> Generator[Event, None, samplers.Recording]:
    """Make the samples of a stage, and keep some of the states."""
    model, items = stage.model, plan.items
    sides = f" of {'x'.join(map(str, model.spec.shape[1:]))}" if len(plan.stages) > 1 else ""

    def trajectory(positions: Sequence[int]) -> Iterator[Step]:
        return stage.trajectory([items[position] for position in positions], plan.request.seed)

    task = f"{len(items)} image{'s' * (len(items) > 1)}{sides}"
    process = ReverseProcess(task, trajectory, len(items), len(stage.times), model.spec.decode)
    return (yield from sampled(process, model.batch(plan.options.batch_size), keep))


# -- the models -------------------------------------------------------------------------------------------------------


def _followers(options: Sample, request: Request | None) -> list[Model | str | Path]:
    """The models of a cascade behind the first. Raises InputError unless they are as many as those of a request."""
    then = options.then
    followers = [] if then is None else [then] if isinstance(then, Model | str | Path) else [*then]
    if request is not None and followers and not request.then:
        raise InputError(f"{options.like} was made by one; leave {option('then')} out")
    if request is not None and len(followers) != len(request.then):
        check_followers(request, ["..."] * len(followers))
    return followers


def _doubts(model: SamplingModel, sampler: samplers.Sampler) -> list[str]:
    """Why a sampler does not suit a distilled model."""
    distil = model.config.distil
    if not distil.method:
        return []
    if DISTILLATIONS[distil.method].consistent:
        advice = "the x̂_0 of this model is a sample, for the sampler consistency; others take it for a mean"
        return [] if isinstance(sampler, samplers.Consistency) else [f"{advice}, and get worse with each step"]
    suits = isinstance(sampler, samplers.DDIM) and sampler.steps == distil.evaluations
    advice = f"this model was distilled for {distil.evaluations} steps of ddim; other samples of it are worse"
    return [] if suits else [advice]
