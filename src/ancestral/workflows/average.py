"""The length of the average of the weights, chosen after training from the snapshots of a run."""

import contextlib
import copy
import dataclasses
import hashlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch

from ancestral import hub, render, storage
from ancestral.declarations import AverageLengths
from ancestral.device import keep_freed_memory
from ancestral.errors import InputError
from ancestral.evaluation import forecast
from ancestral.evaluation.reference import loader
from ancestral.evaluation.sample_quality import floor_sets
from ancestral.evaluation.step_budgets import bounded
from ancestral.evaluation.study import Study
from ancestral.events import Event, Message, Wrote
from ancestral.metrics import uncertainty
from ancestral.metrics.distances import sample_size_warning
from ancestral.metrics.extractors import Features
from ancestral.model import FILE_NAME, Model, find
from ancestral.options import option
from ancestral.render.comparison_text import floor_note
from ancestral.results.averaging_result import AveragePoint, AveragingResult
from ancestral.results.comparison_result import ComparedSamples
from ancestral.results.estimate import Estimate
from ancestral.results.evaluation_result import ExtractorName, MetricTitles
from ancestral.threads import cpu_threads
from ancestral.training import RunFolder, Snapshots, check_length, ema_length
from ancestral.training.distributed import by_first_process
from ancestral.workflows.evaluate import Subject, check_folder, check_options, count_of, open_subject, plan_study

FOLDER, RESULT, PICTURE = "average", "average.json", "average.png"
SHORTER = f"fewer {option('lengths')}, {option('samples')} or {option('steps')}, or {option('most')}, are faster"
ROUGH = 0.1
"""A note says so if the error of a reconstructed profile is larger than this share of it."""


def plan(options: AverageLengths) -> AverageLengths:
    """Sort the lengths, and check the options.

    Raises:
        InputError: If a length or a number is out of range.
    """
    check_options(options)
    if not options.lengths:
        raise InputError(f"{option('lengths')} names none; give some, as in {option('lengths', 0.05, 0.1)}")
    for length in options.lengths:
        check_length(length)
    return dataclasses.replace(options, lengths=tuple(sorted(set(options.lengths))))


@by_first_process
def run(plan: AverageLengths) -> Generator[Event, None, AveragingResult]:
    """Measure the samples of a run over the length of the average of its weights, and write the best average.

    Raises:
        InputError: If the run has no snapshots, or `end` is outside them.
        OSError: If the folder cannot be written.
    """
    if hub.is_address(plan.run):
        raise InputError("averages are made of the snapshots in a run folder, which a model on the Hub does not have")
    home = RunFolder(find(plan.run).parent)
    snapshots, steps = Snapshots(home.snapshots), _steps(home, plan.end)
    with contextlib.ExitStack() as stack:
        subject = open_subject(plan.run, plan.device, plan.data, stack, net=plan.net)
        place = home.path / FOLDER if plan.out is None else Path(plan.out)
        out = check_folder(place, subject.source(plan.data), plan.held_out)
        assert out is not None
        replaced = _replaced(out / FILE_NAME)
        load = loader(subject.model.spec, subject.data_config, subject.model.config.data)
        ema = plan_study(subject, plan, count_of(plan), subject.source(plan.data), load, subject.folder)
        if plan.most is not None:
            ema = ema.with_sampler(bounded(ema.model, ema.sampler, plan.most).sampler)
        keep_freed_memory()
        work = None if plan.threads else lambda: subject.model.rehearse(plan.batch_size)
        if reason := stack.enter_context(cpu_threads(plan.threads, subject.model.device, work)).reason:
            yield Message(reason)
        if replaced:
            yield Message(replaced)
        named = [(f"lengths and EMA, {ema.count:,} samples of {ema.passes:,} network evaluations each", study)
                 for study in (ema, *_studies_of(subject, ema, snapshots, steps, plan.lengths, out))]  # fmt: skip
        if line := forecast.forecast(forecast.sampling_parts(named, plan.batch_size), SHORTER):
            yield Message(line)
        try:
            result, best = yield from _measure(subject, ema, snapshots, steps, plan.lengths, out, plan.batch_size)
        except KeyboardInterrupt as stop:
            if ema.kept:
                stop.add_note("all samples so far are kept")
            raise
    best.save(out / FILE_NAME)
    yield Wrote(out / FILE_NAME)
    result = dataclasses.replace(result, file=str(out / FILE_NAME))
    storage.write_text(out / "config.json", best.config.to_json())
    storage.write_text(out / RESULT, result.to_json())
    yield Wrote(out / RESULT)
    render.write_picture(out / PICTURE, render.averaging_plot(result))
    yield Wrote(out / PICTURE)
    return result


def _steps(home: RunFolder, end: int | None) -> list[int]:
    """The steps of the snapshots up to `end`. Raises InputError if there are none, or `end` is outside them."""
    steps = Snapshots(home.snapshots).steps()
    if not steps and (home.path.parent / "config.json").is_file() and home.path.name == FOLDER:
        raise InputError(f"{home.path} holds an average; give the run that it was made of, {home.path.parent}")
    if not steps:
        raise InputError(
            f"{home.path} has no snapshots of averages: it was trained by an older version or with "
            f"{option('snapshots', 0)}, "
            "its network is too large for the default, or a cleaning or a full disk took them; train it anew with "
            f"{option('snapshots', 16)}"
        )
    if end is not None and not steps[0] <= end <= steps[-1]:
        raise InputError(
            f"{option('end')} must be {steps[0]} to {steps[-1]}, the steps of the snapshots of {home.path}, not {end}"
        )
    chosen = [step for step in steps if end is None or step <= end]
    if len(chosen) == 1:
        raise InputError(
            f"the only snapshot up to step {chosen[0]} makes the same average of every length: give a larger "
            f"{option('end')}, or train with more {option('snapshots')}"
        )
    return chosen


def _replaced(file: Path) -> str:
    """Describe the average that this one replaces, if any. Raises InputError for a model that was not written here."""
    if not file.exists():
        return ""
    metadata = storage.read_metadata(file)
    if "average" not in metadata:
        raise InputError(f"{file} is a model that ancestral average did not write; give {option('out')} another folder")
    return f"replaces the average of length {float(metadata['average']):g}, step {metadata['step']}, in {file.parent}"


def _measure(
    subject: Subject,
    ema: Study,
    snapshots: Snapshots,
    steps: Sequence[int],
    lengths: Sequence[float],
    out: Path,
    size: int,
) -> Generator[Event, None, tuple[AveragingResult, Model]]:
    """Measure the EMA and the average of each length, and return the best model."""
    references, config = ema.references, subject.model.config
    train = yield from references.features("training data", references.train.items, size)
    unseen = None
    if references.held_out is not None:
        unseen = yield from references.features("held-out data", references.held_out.items, size)
    known = uncertainty.Reference(train.values)
    own = yield from _features(ema, "the EMA of training", size)
    found, errors, distances = list[Features](), list[float](), list[Estimate]()
    title = references.extractor.title("FD")
    for length in lengths:
        model, error = _average(subject.model, snapshots, length, steps)
        found.append((yield from _features(_study_of(ema, model, out), f"length {length:g}", size)))
        errors.append(error)
        distances.append(uncertainty.frechet(found[-1].values, known))
        yield Message(f"length {length:g}: {title} {distances[-1]}")
    distances.append(uncertainty.frechet(own.values, known))
    best = min(range(len(lengths)), key=lambda i: distances[i].value)

    def point(i: int, length: float, features: Features, error: float = 0.0) -> AveragePoint:
        x, y = features.values, known
        behind = None if i == best else uncertainty.frechet_difference(found[best].values, x, y)
        return AveragePoint(length, distances[i], uncertainty.kernel(x, y), behind, error)

    points = [point(i, *one) for i, one in enumerate(zip(lengths, found, errors, strict=True))]
    few = sample_size_warning(min(ema.count, len(train.values)), references.extractor.width)
    others, rest = floor_sets(ema.count, train.values, None if unseen is None else unseen.values)
    uneven = floor_note((len(others), len(rest)), (ema.count, len(known)))
    rough = [f"{one.length:g}" for one in points if one.profile_error > ROUGH]
    notes = [f"{few}."] if few else []
    if rough:
        notes.append(
            f"The snapshots are too few for an exact average of length {', '.join(rough)}: its profile is approximated."
        )
    if uneven is not None:
        notes.append(uneven)
    result = AveragingResult(
        model=ema.identity,
        end=steps[-1],
        snapshots=len(steps),
        decay=config.train.ema,
        samples=ComparedSamples(ema.count, ema.spec.seed, ema.spec.guidance),
        sampler=ema.spec.sampler,
        data=references.names(),
        extractor=ExtractorName(references.extractor.name, references.extractor.width),
        titles=MetricTitles(references.extractor.title("FD"), references.extractor.title("KID")),
        floor=uncertainty.frechet(others, rest),
        points=tuple(points),
        ema=point(len(lengths), ema_length(config.train.ema, max(1, subject.model.step)), own),
        notes=tuple(notes),
    )
    return result, _average(subject.model, snapshots, lengths[best], steps)[0]


def _average(model: Model, snapshots: Snapshots, length: float, steps: Sequence[int]) -> tuple[Model, float]:
    """The model with the average of this length, and the error of its profile. Buffers are those of the model."""
    weights, error = snapshots.reconstruct(length, steps[-1])
    denoiser = copy.deepcopy(model.diffusion)
    parameters = dict(denoiser.net.named_parameters())
    if weights.keys() != parameters.keys() or any(weights[name].shape != parameters[name].shape for name in weights):
        raise InputError(f"the snapshots in {snapshots.folder} are of another network than the model beside them")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return Model(denoiser, model.spec, model.config, steps[-1], model.version, average=length), error


def _studies_of(
    subject: Subject, ema: Study, snapshots: Snapshots, steps: Sequence[int], lengths: Sequence[float], out: Path
) -> Iterator[Study]:
    """The study of each length, to count the samples that are kept; without any, the EMA's stands for all."""
    for length in lengths:
        if (out / "evaluation" / "samples").is_dir():
            yield _study_of(ema, _average(subject.model, snapshots, length, steps)[0], out)
        else:
            yield dataclasses.replace(ema, store=dataclasses.replace(ema.store, folder=out / "evaluation" / "samples"))


def _study_of(ema: Study, model: Model, out: Path) -> Study:
    """The study of the EMA, of another model in its place; its samples are kept by a hash of its weights."""
    digest = hashlib.sha256()
    for value in model.diffusion.net.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    spec = dataclasses.replace(ema.spec, model=digest.hexdigest())
    folder = out / "evaluation" / "samples" if ema.kept else ema.temporary
    store = dataclasses.replace(ema.store, folder=folder / spec.key)
    return dataclasses.replace(ema, model=model, spec=spec, store=store)


def _features(study: Study, title: str, size: int) -> Generator[Event, None, Features]:
    """The features of the samples, which are made first if they are missing."""
    items = yield from study.samples(size, f"sampling {title}")
    features = yield from study.references.features(title, items, size, study.store.folder / "features")
    return features
