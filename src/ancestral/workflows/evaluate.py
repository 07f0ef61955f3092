"""Evaluation: how good samples are, and how well a model knows data.

`evaluate` measures a model, `evaluate_samples` samples that came from anywhere.
"""

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ancestral import data as datasets
from ancestral import hub, render, storage
from ancestral import model as models
from ancestral.bound import ELBO
from ancestral.config import Config, CustomNetConfig, DataConfig
from ancestral.data import TESTED, Dataset
from ancestral.data.spec import DataSpec
from ancestral.device import keep_freed_memory, pick_device
from ancestral.errors import InputError, whole
from ancestral.evaluation.bound_terms import EvalItems, bits_from_nats, collect_bound, flow_nats, mean
from ancestral.evaluation.reference import Loader, in_memory, labels_for, loader
from ancestral.evaluation.sample_quality import NearestPairs, compute_features, is_cached, pieces
from ancestral.evaluation.study import DEFAULT_COUNT, References, Study
from ancestral.events import Event, Message, Work, Wrote
from ancestral.guidance import NO_CLASS
from ancestral.model import Model
from ancestral.results.estimate import short_source
from ancestral.results.evaluation_result import (
    DATA_UNIT,
    LIKELIHOOD_FILE,
    SAMPLES_FILE,
    BitsPerItem,
    BoundMeans,
    EvaluationResult,
    LikelihoodData,
    LikelihoodResult,
    LikelihoodSettings,
    MeasuredModel,
    OdeMeans,
    SampleMetrics,
    SampleSettings,
)
from ancestral.samplers import Sampler
from ancestral.samplers.loop import spaced_times
from ancestral.targets import Denoiser
from ancestral.training.distributed import Distributed
from ancestral.workflows import publish

EXACT_DIVERGENCE = 16
"""The largest number of elements of an item for which the default divergence of the ODE is exact."""
ODE_STEPS = 100
LIKELIHOOD_ITEMS = 64
"""The default number of items of the likelihood."""


def evaluate(
    model: str | Path | Model | Denoiser,
    data: Any = None,
    *,
    samples: int | bool = DEFAULT_COUNT,
    likelihood: bool = False,
    held_out: Any = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    extractor: str | None = None,
    n: int | None = None,
    split: Literal["train", "test", "held-out"] | None = None,
    passes: int | None = None,
    variance: Literal["large", "small", "learned"] | None = None,
    clip: bool | None = None,
    decoder: Literal["exact", "tanh", "density"] | None = None,
    ode: bool = False,
    ode_steps: int | None = None,
    probes: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    out: str | Path | None = None,
) -> Generator[Event, None, EvaluationResult]:
    """Measure how good a model's samples are, its likelihood, or both.

    A run is measured as `ancestral evaluate` does: samples are kept in its folder and made only once, so an evaluation
    that was stopped goes on; samples.json, likelihood.json and their pictures are written there, and the model card and
    report.html are updated. For a model in memory nothing is written, unless `out` is given. Processes that a launcher
    started share the sampling; the others than the first return an empty result.

    Args:
        model: A run folder, a model file or an hf:// address; a `Model`; or any denoiser with `schedule` and `predict`.
        data: What the model was trained on, as `data.open` takes it. The default is the source of the run.
        samples: The number of samples; False measures none. The default of 2500 is more than the features of each
            built-in extractor.
        likelihood: Whether to measure the variational bound in bits/dim.
        held_out: Data of the same kind that the model was not trained on. The default is the test split, if there is
            one.
        sampler: A sampler or its name, with options if need be. The default is the one of the run.
        steps: Sampling steps. The default is the sampler's.
        guidance: Classifier-free guidance; above 1 strengthens the label. The default is 1.
        extractor: lite0, inception, dinov2, pixels or package.module:function. The default is lite0 for images of 1 or
            3 channels, else pixels.
        n: Likelihood: the number of items, spread evenly over the data. The default is 64, or all if there are fewer.
        split: Likelihood: the part of the data. The default is held-out if that was given, else test if there is one.
        passes: Likelihood: network evaluations of each item, at random times. The default is all T times, which is
            exact.
        variance: Likelihood: the variance of the reverse steps. The default is learned if the model has it, else large.
        clip: Likelihood: whether x̂_0 is kept in [−1, 1]. The default is True.
        decoder: Likelihood: the last step. The default is exact for data of 8 or 16 bits, density for floats.
        ode: Whether to measure the likelihood of the probability-flow ODE, too.
        ode_steps: Steps of the ODE. The default is 100, or T if that is less.
        probes: Random directions that estimate the ODE's divergence; 0 is exact. The default is exact up to 16
            dimensions, else 1.
        seed: Of the samples, and of the noise of the likelihood.
        batch_size: Items at a time. It changes memory and time, not the numbers.
        device: auto, cpu, cuda, cuda:N or mps. A model in memory stays where it is.
        out: The folder for the files. The default is `evaluation` in the run folder, or none for a model in memory.

    Returns:
        What was measured.

    Raises:
        InputError: If the model or the data cannot be read or do not fit, or an option does not apply.
    """
    count = DEFAULT_COUNT if samples is True else samples
    check_options(samples, seed, batch_size)
    if samples is False:
        _refuse("samples", sampler=sampler, steps=steps, guidance=guidance, extractor=extractor)
    if not likelihood:
        _refuse("likelihood", n=n, split=split, passes=passes, variance=variance, clip=clip, decoder=decoder,
                ode=ode or None, ode_steps=ode_steps, probes=probes)  # fmt: skip
    if not ode and (ode_steps is not None or probes is not None):
        raise InputError("ode_steps and probes are options of ode: ask for ode too, or leave them out")
    for name, number, least in (("n", n, 1), ("passes", passes, 2), ("probes", probes, 0)):
        if number is not None:
            whole(number, least, math.inf, f"{name} must be a whole number of at least {least}, not {number}")
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(contextlib.closing(Distributed(device)))
        subject = open_subject(model, str(processes.device), data, stack)
        folder = Path(out) if out is not None else subject.folder
        check_folder(folder)
        load = loader(subject.model.spec, subject.data_config)
        source = subject.source(data)
        study = settings = chosen = None
        if samples is not False:
            study = plan(subject, source, load, folder, held_out, count, sampler, steps, guidance, extractor, seed)
        if likelihood:
            settings = _settings(subject.model, passes, variance, clip, decoder, ode, ode_steps, probes, seed)
            chosen = _choose_items(subject, source, load, held_out, split, n)
        keep_freed_memory()
        try:
            if study is not None:
                yield from share_sampling(study, processes, batch_size)
            processes.close()  # the rest is the work of one process
            if not processes.main:
                return EvaluationResult()
            metrics = bound = None
            if study is not None:
                metrics = yield from _measure_samples(study, batch_size, folder)
        except KeyboardInterrupt as stop:
            if processes.main and study is not None and subject.sha256:
                stop.add_note(f"{study.store.count(count):,} of {count:,} samples are kept")
            raise
    if settings is not None and chosen is not None:
        bound = yield from _measure_likelihood(subject, settings, *chosen, batch_size, folder)
    if out is None and subject.folder is not None:
        yield from _update_run(subject)
    return EvaluationResult(metrics, bound)


def evaluate_samples(
    samples: Any,
    data: Any,
    *,
    held_out: Any = None,
    extractor: str | None = None,
    n: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    out: str | Path | None = None,
) -> Generator[Event, None, EvaluationResult]:
    """Measure how good samples are that are files or in memory, without a model.

    Args:
        samples: A folder of images, a .npy or .npz file, or items, as `data.open` takes them. Labels are those that the
            samples were conditioned on, in the numbering of the data's classes or by their names.
        data: The data that the samples are compared with. Images are brought to the size and channels of the samples.
        held_out: Data of the same kind that the model was not trained on. The default is the test split, if there is
            one.
        extractor: As of `evaluate`.
        n: The number of samples, spread evenly. The default is all that fit into memory.
        batch_size: Items at a time. It changes memory and time, not the numbers.
        device: auto, cpu, cuda, cuda:N or mps, where the extractor runs.
        out: The folder for samples.json and memorisation.png. The default writes none.

    Returns:
        The metrics of the samples.

    Raises:
        InputError: If the samples or the data cannot be read, or do not fit.
    """
    check_options(True, 0, batch_size)
    folder = Path(out) if out is not None else None
    check_folder(folder)
    opened = in_memory(datasets.open(samples))
    if n is not None:
        opened = opened.sample(whole(n, 1, math.inf, f"n must be a whole number of at least 1, not {n}"))
    load = loader(DataSpec(opened.shape, opened.codec), None)
    train = load(data, "train")
    unseen = _held_out(data, load, held_out)
    split = "test split" if _has_test_split(held_out) else "held out"
    references = References.of(train.codec, train.classes, train, unseen, extractor, ("train split", split),
                               pick_device(device))  # fmt: skip
    references.check(len(opened))
    made = SampleSettings(len(opened), None, None, None, None, folder=opened.name)
    labels = labels_for(opened, train.classes)
    metrics, pairs = yield from references.measure(opened.items, labels, batch_size, made)
    if folder is not None:
        yield from _write_samples(folder, metrics, pairs, references.codec.limits)
    return EvaluationResult(metrics)


# -- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model to evaluate, what results call it, where its files belong, and where its samples are kept."""

    model: Model
    name: str
    folder: Path | None
    """`evaluation` in the run folder; None for a model in memory."""
    samples: Path
    sha256: str
    """Of the model's file; empty for a model in memory."""

    @property
    def data_config(self) -> DataConfig | None:
        """What the model was trained on; None if that is not known."""
        config = self.model.config
        return None if config.preset == "imported" or config == Config(net=CustomNetConfig()) else config.data

    def source(self, data: Any) -> Any:
        """Return the data to evaluate on: as given, or what the model was trained on."""
        if data is not None:
            return str(data) if isinstance(data, Path) else data
        if self.data_config is None:
            raise InputError(
                "this model was imported or made in memory, so say which data to evaluate it on: data=..., or "
                "--data SOURCE"
            )
        return self.data_config.source


def open_subject(
    model: str | Path | Model | Denoiser, device: str, data: Any, stack: contextlib.ExitStack, name: str = "the model"
) -> Subject:
    """Open a model; samples of a model in memory are kept in a temporary folder until the stack is closed."""
    if isinstance(model, str | Path):
        folder, opened = publish.home(model) / "evaluation", models.load(model, device)
        assert opened.file is not None
        return Subject(opened, str(model), folder, folder / "samples", storage.sha256(opened.file))
    temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    if isinstance(model, Model):
        return Subject(model, name, None, temporary, "")
    if data is None:
        raise InputError("a denoiser does not know the shape of its items, so say which data it is of: data=...")
    train = datasets.open(data)
    spec = DataSpec(train.shape, train.codec, train.classes)
    return Subject(Model(model, spec), name, None, temporary, "")


def plan(
    subject: Subject,
    source: Any,
    load: Loader,
    out: Path | None,
    held_out: Any,
    count: int,
    sampler: str | Sampler | None,
    steps: int | None,
    guidance: float | None,
    extractor: str | None,
    seed: int,
) -> Study:
    """Plan the study of a model; its arguments are those of `evaluate`."""
    model = subject.model
    if isinstance(sampler, Sampler) and steps is not None:
        raise InputError("a sampler of your own has its own number of steps; leave steps out")
    chosen = sampler if isinstance(sampler, Sampler) else model.sampler(sampler, steps=steps)
    train = load(source, "train")
    splits = ("train split", "test split" if held_out is None or _has_test_split(held_out) else "held out")
    references = References.of(
        model.spec.codec, model.spec.classes, train, _held_out(source, load, held_out), extractor, splits, model.device
    )
    if subject.data_config is not None:
        learned, given = short_source(subject.data_config.source), _name(source, train)
        if learned != given:
            note = f"The model was trained on {learned}; what is called training data is {given}."
            references = dataclasses.replace(references, notes=(*references.notes, note))
    samples = out / "samples" if out is not None and subject.sha256 else subject.samples
    return Study.of(model, subject.name, chosen, references, samples, count, seed,
                    1.0 if guidance is None else guidance, subject.sha256)  # fmt: skip


# -- checks and data --------------------------------------------------------------------------------------------------


def check_options(samples: int | bool, seed: int, batch_size: int) -> None:
    """Refuse numbers that cannot be, before a model is read."""
    if not isinstance(samples, bool):
        whole(samples, 1, math.inf, f"the number of samples must be at least 1, not {samples}")
    whole(seed, -math.inf, math.inf, f"seed must be a whole number, not {seed}")
    whole(batch_size, 1, math.inf, f"batch_size must be at least 1, not {batch_size}")


def check_folder(folder: Path | None) -> None:
    """Raise InputError or OSError if files cannot be written into a folder, which need not exist."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give --out the name of a folder")
    storage.check_writable(folder)


def _refuse(part: str, **options: object) -> None:
    """Refuse options of a part that is not measured."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name} is an option of {part}: ask for {part} too, or leave {name} out")


def _has_test_split(source: Any) -> bool:
    return isinstance(source, str) and source in TESTED


def _name(source: Any, found: Dataset) -> str:
    return short_source(source) if isinstance(source, str) else found.name


def _held_out(source: Any, load: Loader, held_out: Any) -> Dataset | None:
    """What is held out: as given, or the test split of the data if there is one."""
    if held_out is not None:
        held_out = str(held_out) if isinstance(held_out, Path) else held_out
        return load(held_out, "test" if _has_test_split(held_out) else "train")
    if not isinstance(source, str):
        return None
    if source in TESTED:
        return load(source, "test")
    try:
        return load(source, "test")
    except InputError:  # it has none
        return None


def _choose_items(
    subject: Subject, source: Any, load: Loader, held_out: Any, split: str | None, n: int | None
) -> tuple[EvalItems, LikelihoodData]:
    """The items of the likelihood, and what the reader should know of them."""
    model, notes = subject.model, []
    if split is None:
        split = "held-out" if held_out is not None else "test" if _has_test_split(source) else "train"
    name = source
    if split == "held-out":
        unseen = _held_out(source, load, held_out)
        if unseen is None:
            raise InputError(f"{source} has no test split: say with --held-out which data the model did not learn from")
        found, name = unseen, source if held_out is None else held_out
    else:
        found = load(source, split)
    dataset = in_memory(found)
    if dataset is not found:
        notes.append(f"The data does not fit into memory: {len(dataset):,} evenly chosen items stand for all.")
    if subject.data_config is not None and source == subject.data_config.source and split == "train":
        notes.append("These are training data, whose likelihood is too good if the model has memorised them.")
    if dataset.skipped:
        notes.append(f"Files that could not be read were skipped: {len(dataset.skipped)}.")
    labels, classes, codec = labels_for(dataset, model.spec.classes), model.spec.classes, model.spec.codec
    if classes and labels is None:
        labels = torch.full((len(dataset),), NO_CLASS)
        notes.append('The data has no classes that the model knows, so the model was conditioned on "no class".')
    elif classes:
        notes.append("The model was conditioned on the class of each image, so these are bits given the class.")
    if not codec.level and codec.scale != 1:
        notes.append(
            f"Densities are of the data scaled to [-1, 1]; in its own units add {math.log2(codec.scale):.4g} bits/dim."
        )
    items = EvalItems.choose(dataset, min(LIKELIHOOD_ITEMS, len(dataset)) if n is None else n, codec, labels)
    text = str(name) if isinstance(name, str | Path) else found.name
    return items, LikelihoodData(text, split, len(items), len(dataset), dataset.shape, tuple(notes))


def _settings(
    model: Model,
    passes: int | None,
    variance: str | None,
    clip: bool | None,
    decoder: str | None,
    ode: bool,
    ode_steps: int | None,
    probes: int | None,
    seed: int,
) -> LikelihoodSettings:
    """The settings of the likelihood, with the model's own in the place of None."""
    levels, schedule = model.spec.codec.level, model.denoiser.schedule
    if not levels and decoder not in (None, "density"):
        raise InputError(f"points and floats have no grey levels to decode; leave --decoder {decoder} out")
    if ode:
        ode_steps = min(schedule.steps, ODE_STEPS) if ode_steps is None else ode_steps
        spaced_times(schedule, ode_steps, "logsnr")  # refuses a number that does not fit
        probes = (0 if math.prod(model.spec.shape) <= EXACT_DIVERGENCE else 1) if probes is None else probes
    learned = getattr(model.denoiser, "learned_variance", False)
    return LikelihoodSettings(
        T=schedule.steps,
        variance=variance or ("learned" if learned else "large"),
        clip=True if clip is None else clip,
        decoder=decoder or ("exact" if levels else "density"),
        passes=passes,
        seed=seed,
        ode_steps=ode_steps,
        probes=probes,
    )


# -- measurements -----------------------------------------------------------------------------------------------------


def share_sampling(study: Study, processes: Distributed, batch_size: int) -> Iterator[Work]:
    """Sample this process's part of what is missing, and compute its part of all features.

    Everything goes through files, so a killed evaluation goes on; processes wait for each other at the end.
    """
    missing = study.store.missing(study.count, batch_size)
    processes.wait()  # until all have seen the same files
    mine, total, done = missing[processes.rank :: processes.world], sum(map(len, missing)), 0.0
    for share in study.sample(mine):
        done += share * total / sum(map(len, mine))  # the other processes are about as fast as this one
        if processes.main:
            yield Work("sampling", done, total, "samples")
    processes.wait()
    if processes.world > 1 and is_cached(study.references.extractor):
        items = yield from study.samples(batch_size)
        for _, part, folder in study.references.item_sets(items, study.store.folder / "features"):
            own = pieces(len(part))[processes.rank :: processes.world]
            for _ in compute_features(study.references.extractor, part, own, batch_size, folder):
                pass
        processes.wait()


def _measure_samples(study: Study, batch_size: int, folder: Path | None) -> Generator[Event, None, SampleMetrics]:
    items = yield from study.samples(batch_size)
    metrics, pairs = yield from study.metrics(items, batch_size)
    if folder is not None:
        yield from _write_samples(folder, metrics, pairs, study.references.codec.limits)
    return metrics


def _write_samples(
    folder: Path, metrics: SampleMetrics, pairs: list[NearestPairs], limits: tuple[float, float]
) -> Iterator[Wrote]:
    storage.write_text(folder / SAMPLES_FILE, metrics.to_json())
    yield Wrote(folder / SAMPLES_FILE)
    render.write_picture(folder / "memorisation.png", render.nearest_pairs(pairs, limits))
    yield Wrote(folder / "memorisation.png")


def _measure_likelihood(
    subject: Subject,
    settings: LikelihoodSettings,
    items: EvalItems,
    data: LikelihoodData,
    batch_size: int,
    folder: Path | None,
) -> Generator[Event, None, LikelihoodResult]:
    """The likelihood of these items. Nothing is written before everything is known."""
    model, codec = subject.model, subject.model.spec.codec
    denoiser: Denoiser = model.denoiser
    # the level does not matter to the density of data without levels
    elbo = ELBO(settings.seed, settings.variance, settings.clip, settings.decoder, level=codec.level or 0.0)  # type: ignore[arg-type]
    terms = yield from collect_bound(denoiser, items, elbo, settings.passes, batch_size, model.device)
    total, ode, ode_bits = terms.total, None, None
    if settings.ode_steps is not None and settings.probes is not None:
        nats = yield from flow_nats(
            denoiser, items, settings.ode_steps, settings.probes, settings.seed, codec.level, batch_size, model.device
        )
        bits = bits_from_nats(nats, math.prod(data.shape), codec.level)
        ode, ode_bits = OdeMeans(mean(bits), mean(nats)), tuple(bits.tolist())
    notes = (*data.notes, *uniform_guess_note(model.spec, float(total.mean())))
    unit = f"0..{codec.limits[1]:.0f}" if codec.level else DATA_UNIT
    result = LikelihoodResult(
        model=MeasuredModel(subject.name, model.step, subject.sha256 or None, model.version),
        data=dataclasses.replace(data, notes=notes),
        settings=settings,
        bits_per_dim=BoundMeans(
            mean(terms.prior), mean(terms.bits[:, :-1].sum(1)), mean(terms.bits[:, -1]), mean(total)
        ),
        over_time=terms.over_time(codec.scale, unit),
        per_image=BitsPerItem(tuple(items.indices), tuple(total.tolist()), ode_bits),
        ode=ode,
    )
    if folder is not None:
        plot = render.likelihood_plot(result.over_time)
        storage.write_text(folder / LIKELIHOOD_FILE, result.to_json())
        yield Wrote(folder / LIKELIHOOD_FILE)
        render.write_picture(folder / "likelihood.png", plot)
        yield Wrote(folder / "likelihood.png")
    return result


def uniform_guess_note(spec: DataSpec, bits: float) -> list[str]:
    """Say so if a uniform guess would have a better likelihood."""
    low, high = spec.codec.limits
    uniform = math.log2(1 + high - low) if spec.codec.level else math.inf
    if bits <= uniform:
        return []
    return [
        f"A uniform guess costs {uniform:g} bits/dim. The bound counts most where there is least noise, and there this "
        "network's error is larger than the noise. Samples do not show it; the preset `improved` learns for the bound."
    ]


def _update_run(subject: Subject) -> Iterator[Event]:
    """Update the model card and the report of the run."""
    assert subject.folder is not None
    run = subject.folder.parent
    address = subject.name if hub.is_address(subject.name) else render.FOLDER
    yield publish.update_card(subject.model, run, address, subject.folder)
    report = run / render.REPORT
    if render.update_report(run):
        yield Wrote(report)
    elif report.exists():
        yield Message(f"{report} is left as it is, since it has no place for this; training writes a new one")
