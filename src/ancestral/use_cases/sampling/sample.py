"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
from collections.abc import Generator

from torch import Tensor

from ancestral import samplers
from ancestral.base.device import cpu_threads
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.config.data_sources import suffix_of
from ancestral.config.request import SAMPLER_OPTIONS, Request
from ancestral.data.dataset import evenly_spaced
from ancestral.data.field_files import FORMATS
from ancestral.data.spec import channel_mean
from ancestral.declarations import Sample
from ancestral.model import Model
from ancestral.model.process import Process, made
from ancestral.render import compositions, writers
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingResult
from ancestral.use_cases.output_files import other_images, write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.sample_files import files_of, paths_of
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan
from ancestral.use_cases.sampling.sweep_table import planned_sweep, written_sweep


def plan(options: Sample) -> SamplingPlan:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model.
    """
    _check(options)
    request, model = _sourced(options)
    model.batch(options.batch_size)
    if request.sweep is not None:
        return planned_sweep(options, request, model)
    process = model.process(request)
    if options.branch is not None:
        requests.check_seed(options, process)
    single = _is_single(options, request, process) and not process.rollout
    if process.rollout and (options.gif or options.film):
        raise InputError(f"{option('rollout')} has no picture of one reverse process: leave gif and film out")
    process = dataclasses.replace(process, recipe=dataclasses.replace(process.recipe, single=single))
    out, gif, film = paths_of(options, process)
    notes = [*process.notes, *requests.snapshot_notes(options, request.objects.weak)]
    pictures = [path for path in (out, gif, film) if path is not None and suffix_of(path.name) not in FORMATS]
    notes += other_images(pictures)
    return SamplingPlan(options, (process,), process.recipe, out, tuple(notes), gif, film)


def _is_single(options: Sample, request: Request, process: Process) -> bool:
    """Whether the picture is one item in its own size, not a grid."""
    spec = process.model.spec
    fits = process.count == 1 and writers.fits_png(spec.shape, spec.codec.dtype)
    single = fits if options.like is None else request.single
    if single and not fits:
        writers.check_png(spec.shape, spec.codec.dtype)
    return single and options.captions is not True


def _check(options: Sample) -> None:
    """Raise InputError for options that contradict each other, and a sampler that there is not."""
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **{name: getattr(options, name) for name in SAMPLER_OPTIONS})
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} already names the samples: leave {option('n')} out")


def _sourced(options: Sample) -> tuple[Request, Model]:
    """The request of the options with the models that follow, and its model."""
    digest = requests.digest_at(options.model)
    branched = options.branch is not None or options.at is not None
    parent = requests.parent_of(options, digest) if branched else None
    request = None if options.like is None else requests.like(options, digest)
    if request is not None and request.edit is not None:
        raise InputError(f"{options.like} is an edit: make it again by ancestral edit")
    followers = requests.followers(options, request)
    model = requests.loaded(options)
    if parent is not None:
        request = requests.branch_of(parent, options, model.spec.classes)
    request = requests.with_weak(request or requests.of_options(options), options, model)
    then = [requests.follower(one, options.device, options.net) for one in followers]
    return requests.with_objects(request, then=then), model


def run(plan: SamplingPlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    yield from map(Message, plan.notes)
    with cpu_threads(plan.options.threads):
        samples, paths = (yield from _written(plan)) if plan.sweep is None else (yield from written_sweep(plan))
    (first, *then), codec, recipe = plan.process.chain, plan.model.spec.codec, plan.recipe
    result = SamplingResult(
        model=first.model.name,
        count=len(samples),
        seed=recipe.seed,
        sampler=str(first.sampler),
        label=None if recipe.label is None else ", ".join(map(str, recipe.label)),
        guidance=recipe.guidance,
        paths=paths,
        codec=codec.kind,
        means=channel_mean(samples.flatten(0, 1) if plan.process.rollout else samples) if samples.ndim > 2 else (),
        data_means=plan.model.spec.mean,
        index=recipe.indices,
        given=recipe.given,
        avoid=recipe.avoid,
        then=tuple(one.model.name for one in then),
        sweep=recipe.sweep,
        channels=plan.model.spec.titles,
    )
    if means := channel_means(result):
        yield Message(means)
    return result


def _written(plan: SamplingPlan) -> Generator[Event, None, tuple[Tensor, tuple[str, ...]]]:
    """Make the samples and write the files. Returns the samples and the paths."""
    options, count = plan.options, len(plan.process.times)
    assert isinstance(options, Sample)
    animated = plan.gif is not None or plan.out.suffix.lower() in writers.ANIMATIONS
    in_animation = evenly_spaced(writers.frame_count(options.fps or writers.FPS), count) if animated else []
    in_film = evenly_spaced(compositions.FILM_STATES, count) if plan.film else []
    recording = yield from made(plan.process, options.batch_size, sorted({*in_animation, *in_film}))
    frames, stills = ([one for one in recording.states if one.index in kept] for kept in (in_animation, in_film))
    paths = yield from write_new_files(files_of(plan, recording, frames, stills))
    return recording.samples, paths
