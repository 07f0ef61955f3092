"""Evaluation of a model: how good its samples are, and how well it knows data."""

import contextlib
import dataclasses
import math
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral import data as datasets
from ancestral import hub, render, storage
from ancestral import model as models
from ancestral.arguments import short_source
from ancestral.bound import ELBO
from ancestral.config import FROM_PYTHON, CustomNetConfig, DataConfig
from ancestral.config.output_folders import check_outside
from ancestral.data import TESTED, Dataset, DataSpec
from ancestral.declarations import METRICS, Evaluate, Metric
from ancestral.declarations.measuring import DEFAULT_COUNT, WithSamples
from ancestral.device import keep_freed_memory
from ancestral.errors import InputError, whole
from ancestral.evaluation import forecast
from ancestral.evaluation.bound_terms import EvalItems, bits_from_nats, collect_bound, flow_nats, mean
from ancestral.evaluation.reference import HELD_OUT, Loader, in_memory, labels_for, loader
from ancestral.evaluation.sample_quality import compute_features, is_cached, pieces
from ancestral.evaluation.sample_store import SamplingSpec
from ancestral.evaluation.study import Measurement, References, Study
from ancestral.events import Event, Measured, Message, Work, Wrote
from ancestral.guidance import NO_CLASS
from ancestral.model import Model, NetSource
from ancestral.options import option
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
)
from ancestral.samplers.loop import check_spacing
from ancestral.targets import Denoiser
from ancestral.threads import cpu_threads
from ancestral.training.distributed import Distributed
from ancestral.workflows import model_cards

EXACT_DIVERGENCE = 16
"""The largest number of elements of an item for which the default divergence of the ODE is exact."""
ODE_STEPS = 100
FASTER = f"fewer {option('samples')} or {option('steps')} are faster"
LIKELIHOOD_ITEMS = 64
"""The default number of items of the likelihood."""


def plan(options: Evaluate) -> Evaluate:
    """Check the options, and decide whether samples are measured.

    Raises:
        InputError: If an option is out of its range, or belongs to what is not measured.
    """
    samples = not options.likelihood if options.samples is None else options.samples
    options = dataclasses.replace(options, samples=DEFAULT_COUNT if samples is True else samples)
    check_options(options)
    check_parts(options)
    return options


def run(plan: Evaluate) -> Generator[Event, None, EvaluationResult]:
    """Measure the model.

    Yields:
        The progress, and the files written.

    Returns:
        What was measured.

    Raises:
        InputError: If the model or the data cannot be read or do not fit.
    """
    with contextlib.ExitStack() as stack:
        processes = Distributed(plan.device)
        subject = open_subject(plan.model, str(processes.device), plan.data, stack, net=plan.net, processes=processes)
        check_classes(plan.metrics, bool(subject.model.spec.classes))
        source = subject.source(plan.data)
        folder = check_folder(subject.folder if plan.out is None else plan.out, source, plan.held_out)
        load = loader(subject.model.spec, subject.data_config, subject.model.config.data)
        study = plan_study(subject, plan, count_of(plan), source, load, folder) if plan.samples else None
        likelihood_of = _choose_items(subject, plan, source, load) if plan.likelihood else None
        settings = _settings(subject.model, plan) if plan.likelihood else None
        keep_freed_memory()
        work = None if processes.world > 1 else partial(subject.model.rehearse, plan.batch_size)
        if reason := stack.enter_context(cpu_threads(plan.threads, subject.model.device, work)).reason:
            yield Message(reason)
        if processes.main and (line := _forecast(subject, study, settings, likelihood_of, plan, processes.world)):
            yield Message(line)

        def measure() -> Generator[Event, None, EvaluationResult]:
            metrics = bound = items = None
            if study is not None:
                items = yield from study.samples(plan.batch_size)
                measurement = study.metrics(items, plan.batch_size, plan.metrics or METRICS)
                metrics = yield from write_samples(measurement, folder, study.references.codec.limits)
            if settings is not None and likelihood_of is not None:
                bound = yield from _measure_likelihood(subject, settings, *likelihood_of, plan.batch_size, folder)
            if plan.out is None and subject.folder is not None:
                yield from _update_run(subject, items)
            return EvaluationResult(metrics, bound)

        try:
            if study is not None:
                yield from share_sampling(study, processes, plan.batch_size)
            return (yield from processes.first(measure()))
        except KeyboardInterrupt as stop:
            if processes.main and study is not None and study.kept:
                stop.add_note(f"{study.store.count(study.count):,} of {study.count:,} samples are kept")
            raise


# -- options ----------------------------------------------------------------------------------------------------------

OF_SAMPLES = ("sampler", "steps", "guidance", "extractor", "metrics")
OF_LIKELIHOOD = ("n", "split", "passes", "variance", "clip", "decoder", "ode", "ode_steps", "probes")
OF_ODE = ("ode_steps", "probes")


def count_of(options: WithSamples) -> int:
    """Return the number of samples."""
    return DEFAULT_COUNT if options.samples is None or isinstance(options.samples, bool) else options.samples


def check_options(options: WithSamples) -> None:
    """Raise InputError for numbers that no model can have, or no metric."""
    if not isinstance(options.samples, bool | None):
        whole(options.samples, 1, math.inf, f"{option('samples')} must be at least 1, not {options.samples}")
    for name in ("threads", "batch_size", "most"):
        if (value := getattr(options, name, None)) is not None:
            whole(value, 1, math.inf, f"{option(name)} must be at least 1, not {value}")
    check_metrics(getattr(options, "metrics", None))


def check_metrics(metrics: Sequence[Metric] | None) -> None:
    """Raise InputError for an empty list of metrics."""
    if metrics is not None and not metrics:
        raise InputError(f"{option('metrics')} names none; give some of {', '.join(METRICS)}")


def check_classes(metrics: Sequence[Metric] | None, classes: bool) -> None:
    """Raise InputError if the metrics that the user chose contain the class accuracy, and samples have no classes."""
    if metrics is not None and "class_accuracy" in metrics and not classes:
        raise InputError(
            f"class_accuracy cannot be measured of samples without classes; leave it out of {option('metrics')}"
        )


def check_parts(options: Evaluate) -> None:
    """Raise InputError for an option of a part that is not measured, or that is out of its range."""
    parts = {"samples": (bool(options.samples), OF_SAMPLES), "likelihood": (options.likelihood, OF_LIKELIHOOD),
             "ode": (options.ode, OF_ODE)}  # fmt: skip
    defaults = {field.name: field.default for field in dataclasses.fields(Evaluate)}
    for part, (measured, names) in parts.items():
        for name in names:
            if not measured and getattr(options, name) != defaults[name]:
                raise InputError(
                    f"{option(name)} is an option of {part}: give {option(part, True)} too, or leave {option(name)} out"
                )
    for name, least in (("n", 1), ("passes", 2), ("probes", 0)):
        if (value := getattr(options, name)) is not None:
            whole(value, least, math.inf, f"{option(name)} must be a whole number of at least {least}, not {value}")


# -- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model to evaluate.

    Attributes:
        model: The model.
        name: What results call it.
        folder: `evaluation` in its run folder; None for a model in memory.
        samples: Where its samples are kept: in this folder, or the temporary one.
        temporary: A folder for the time of the evaluation.
        sha256: Of its file; empty for a model in memory.
    """

    model: Model
    name: str
    folder: Path | None
    samples: Path
    temporary: Path
    sha256: str = ""

    @property
    def data_config(self) -> DataConfig | None:
        """What the model was trained on; None if that is not known."""
        config = self.model.config
        return None if config.preset == "imported" or config.data.source == FROM_PYTHON else config.data

    def source(self, data: Any) -> Any:
        """Return the data to evaluate on: as given, or what the model was trained on."""
        if data is not None:
            return plain_source(data)
        if self.data_config is None:
            raise InputError(
                "this model was imported or made from Python, so say which data to evaluate it on: "
                f"{option('data', '...')}"
            )
        return self.data_config.source


def open_subject(
    model: str | Path | Model | Denoiser,
    device: str,
    data: Any,
    stack: contextlib.ExitStack,
    name: str = "the model",
    net: NetSource | None = None,
    processes: Distributed | None = None,
) -> Subject:
    """Open a model; samples of a model in memory, and of code of your own, are there until the stack is closed.

    `name` is what results call a model that no file holds.
    """
    temporary = _temporary_folder(stack, processes)
    if isinstance(model, str | Path):
        file, folder = models.find(model), model_cards.home(model) / "evaluation"
        config, _ = models.describe_file(file)
        own = net if isinstance(config.net, CustomNetConfig) else None  # others build their own
        opened = models.load(file, device, net=own)
        return Subject(opened, str(model), folder, folder / "samples", temporary, storage.sha256(file))
    if isinstance(model, Model):
        if model.file is not None:  # as if its path had been given
            name = str(model.file.parent if model.file.name == models.FILE_NAME else model.file)
        return Subject(model, name, None, temporary, temporary)
    if data is None:
        raise InputError("a denoiser does not know the shape of its items, so say which data it is of: data=...")
    return Subject(Model(model, datasets.open(data).spec), name, None, temporary, temporary)


def _temporary_folder(stack: contextlib.ExitStack, processes: Distributed | None) -> Path:
    """Make a folder that is removed when the stack is closed; the processes of one machine share it."""
    if processes is None or processes.world == 1:
        return Path(stack.enter_context(tempfile.TemporaryDirectory()))
    number = processes.total(torch.tensor([secrets.randbits(48) if processes.main else 0]))
    folder = Path(tempfile.gettempdir()) / f"ancestral-{int(number):012x}"
    if processes.main:
        folder.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    processes.wait()
    return folder


def plan_study(
    subject: Subject, options: WithSamples, count: int, source: Any, load: Loader, out: Path | None
) -> Study:
    """Plan the study of a model, whose samples are kept in `out` if the model is in a file."""
    model = subject.model
    chosen = model.sampler(options.sampler, steps=options.steps)
    train = load(source, "train")
    unseen, split = held_out_data(source, load, options.held_out)
    flip = subject.data_config is not None and subject.data_config.flip
    references = References.of(model.spec, train, unseen, options.extractor, split, model.device, flip)
    if subject.data_config is not None:
        learned = short_source(subject.data_config.source)
        given = short_source(source) if isinstance(source, str) else train.name
        if learned != given:
            note = f"The model was trained on {learned}; what is called training data is {given}."
            references = dataclasses.replace(references, notes=(*references.notes, note))
        if learned == given and isinstance(subject.data_config.validation, float) and unseen is None:
            note = f"Some of what is called training data was held out of training by {option('validation')}."
            references = dataclasses.replace(references, notes=(*references.notes, note))
    guidance = 1.0 if options.guidance is None else options.guidance
    spec = SamplingSpec(subject.sha256, repr(chosen), options.seed, None, guidance)
    folder = out / "samples" if out is not None and subject.sha256 else subject.samples
    return Study.of(model, subject.name, chosen, spec, folder, subject.temporary, count, references)


# -- checks and data --------------------------------------------------------------------------------------------------


def check_folder(path: str | Path | None, *data: object) -> Path | None:
    """Return the folder, which need not exist.

    Raises:
        InputError: If it is a file, or lies among the data.
        OSError: If files cannot be written into it.
    """
    folder = None if path is None else Path(path)
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; give {option('out')} the name of a folder")
        for source in data:
            check_outside(folder, source)
        storage.check_writable(folder)
    return folder


def plain_source(source: Any) -> Any:
    """Return a path as text, and other data as they are."""
    return str(source) if isinstance(source, Path) else source


def _has_test_split(source: Any) -> bool:
    return isinstance(source, str) and source in TESTED


def held_out_data(source: Any, load: Loader, held_out: Any) -> tuple[Dataset | None, str]:
    """What is held out, and what it is called: as given, or the test split of the data, or what the run held out."""
    if held_out is not None:
        tested = _has_test_split(held_out)
        return load(plain_source(held_out), "test" if tested else "train"), "test split" if tested else "held out"
    if _has_test_split(source):
        return load(source, "test"), "test split"
    for split, called in (("test", "test split"), (HELD_OUT, HELD_OUT)):
        with contextlib.suppress(InputError):  # there is none
            if split != "test" or isinstance(source, str):
                return load(source, split), called
    return None, ""


def _choose_items(subject: Subject, options: Evaluate, source: Any, load: Loader) -> tuple[EvalItems, LikelihoodData]:
    """The items of the likelihood, and what the reader should know of them."""
    spec, codec, notes = subject.model.spec, subject.model.spec.codec, []
    split, held_out, n = options.split, options.held_out, options.n
    if split is None:
        known = held_out is not None or held_out_data(source, load, None)[1] == HELD_OUT
        split = "test" if held_out is None and _has_test_split(source) else "held-out" if known else "train"
    name = source if split != "held-out" or held_out is None else held_out
    found = held_out_data(source, load, held_out)[0] if split == "held-out" else load(source, split)
    if found is None:
        raise InputError(
            f"{source} has no test split: say with {option('held_out')} which data the model did not learn from"
        )
    dataset = in_memory(found)
    if dataset is not found:
        notes.append(f"The data does not fit into memory: {len(dataset):,} evenly chosen items stand for all.")
    if subject.data_config is not None and name == subject.data_config.source and split == "train":
        notes.append("These are training data, whose likelihood is too good if the model has memorised them.")
    if subject.model.config.distil.method:
        notes.append(
            "The model was distilled: its x̂_0 is a sample, not the mean of x_0 given x_t that the bound is of."
        )
    if dataset.skipped:
        notes.append(f"Files that could not be read were skipped: {len(dataset.skipped)}.")
    labels = labels_for(dataset, spec.classes)
    if spec.classes and labels is None:
        labels = torch.full((len(dataset),), NO_CLASS)
        notes.append('The data has no classes that the model knows, so the model was conditioned on "no class".')
    elif spec.classes:
        notes.append("The model was conditioned on the class of each image, so these are bits given the class.")
    if not codec.level and codec.scale != 1:
        notes.append(
            f"Densities are of the data scaled to [-1, 1]; in its own units add {math.log2(codec.scale):.4g} bits/dim."
        )
    items = EvalItems.choose(dataset, min(LIKELIHOOD_ITEMS, len(dataset)) if n is None else n, codec, labels)
    text = str(name) if isinstance(name, str | Path) else found.name
    return items, LikelihoodData(text, split, len(items), len(dataset), dataset.shape, tuple(notes))


def _settings(model: Model, options: Evaluate) -> LikelihoodSettings:
    """The settings of the likelihood, with the model's own in the place of None."""
    levels, schedule = model.spec.codec.level, model.denoiser.schedule
    if not levels and options.decoder not in (None, "density"):
        raise InputError(
            f"points and floats have no grey levels to decode; leave {option('decoder', options.decoder)} out"
        )
    ode_steps, probes = options.ode_steps, options.probes
    if options.ode:
        ode_steps = min(schedule.steps, ODE_STEPS) if ode_steps is None else ode_steps
        check_spacing(schedule, ode_steps, "logsnr")
        probes = int(math.prod(model.spec.shape) > EXACT_DIVERGENCE) if probes is None else probes
    learned = getattr(model.denoiser, "learned_variance", False)
    return LikelihoodSettings(
        T=schedule.steps,
        variance=options.variance or ("learned" if learned else "large"),
        clip=True if options.clip is None else options.clip,
        decoder=options.decoder or ("exact" if levels else "density"),
        passes=options.passes,
        seed=options.seed,
        ode_steps=ode_steps,
        probes=probes,
    )


def _forecast(
    subject: Subject,
    study: Study | None,
    settings: LikelihoodSettings | None,
    likelihood_of: tuple[EvalItems, LikelihoodData] | None,
    options: Evaluate,
    world: int,
) -> str | None:
    """How long all takes, if it is long."""
    model, parts = subject.model, dict[str, float]()
    if study is not None:
        name = f"{study.count:,} samples of {study.passes:,} network evaluations"
        shared = forecast.sampling_parts([(name, study)], options.batch_size)
        parts |= {name: seconds / world for name, seconds in shared.items()}
    if settings is not None and likelihood_of is not None:
        n, evaluation = len(likelihood_of[0]), forecast.network_seconds(model, options.batch_size)
        passes = settings.T if settings.passes is None else min(settings.T, settings.passes)
        parts[f"bits/dim of {n:,} items"] = n * passes * evaluation
        if settings.ode_steps is not None and settings.probes is not None:
            gradients = settings.probes or math.prod(model.spec.shape)  # a backward pass takes as long as two forward
            parts["probability flow"] = 2 * n * settings.ode_steps * (1 + 2 * gradients) * evaluation
    return forecast.forecast(parts, FASTER if study is not None else f"fewer {option('passes')} are faster")


# -- measurements -----------------------------------------------------------------------------------------------------


def share_sampling(study: Study, processes: Distributed, batch_size: int) -> Iterator[Event]:
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
    references = study.references
    if processes.world > 1 and is_cached(references.extractor):
        items = yield from study.samples(batch_size)
        for _, part, folder in references.item_sets(items, study.store.folder / "features"):
            own = pieces(len(part))[processes.rank :: processes.world]
            for _ in compute_features(references.extractor, part, own, batch_size, folder):
                pass
        processes.wait()


def write_samples(
    measurement: Measurement, folder: Path | None, limits: tuple[float, float]
) -> Generator[Event, None, SampleMetrics]:
    """Measure samples and write the files, if there is a folder."""
    metrics, pairs = yield from measurement
    yield Measured(metrics)
    if folder is not None:
        storage.write_text(folder / SAMPLES_FILE, metrics.to_json())
        yield Wrote(folder / SAMPLES_FILE)
        if pairs:
            render.write_picture(folder / "memorisation.png", render.nearest_pairs(pairs, limits))
            yield Wrote(folder / "memorisation.png")
    return metrics


def _measure_likelihood(
    subject: Subject,
    settings: LikelihoodSettings,
    items: EvalItems,
    data: LikelihoodData,
    batch_size: int,
    folder: Path | None,
) -> Generator[Event, None, LikelihoodResult]:
    """Measure the likelihood of these items. Nothing is written before everything is known."""
    model, codec, seed = subject.model, subject.model.spec.codec, settings.seed
    variance: Any = settings.variance
    decoder: Any = settings.decoder
    # the level does not matter to the density of data without levels
    elbo = ELBO(seed, variance, settings.clip, decoder, level=codec.level or 0.0)
    terms = yield from collect_bound(model.denoiser, items, elbo, settings.passes, batch_size, model.device)
    total, ode, ode_bits = terms.total, None, None
    if settings.ode_steps is not None and settings.probes is not None:
        options = (settings.ode_steps, settings.probes, seed, codec.level, batch_size, model.device)
        nats = yield from flow_nats(model.denoiser, items, *options)
        bits = bits_from_nats(nats, math.prod(data.shape), codec.level)
        ode, ode_bits = OdeMeans(mean(bits), mean(nats)), tuple(bits.tolist())
    notes = (*data.notes, *uniform_guess_note(model.spec, float(total.mean())))
    result = LikelihoodResult(
        model=MeasuredModel(subject.name, model.step, subject.sha256 or None, model.version),
        data=dataclasses.replace(data, notes=notes),
        settings=settings,
        bits_per_dim=BoundMeans(*map(mean, (terms.prior, terms.bits[:, :-1].sum(1), terms.bits[:, -1], total))),
        over_time=terms.over_time(codec.scale, f"0..{codec.limits[1]:.0f}" if codec.level else DATA_UNIT),
        per_image=BitsPerItem(tuple(items.indices), tuple(total.tolist()), ode_bits),
        ode=ode,
    )
    yield Measured(result)
    if folder is not None:
        plot = render.likelihood_plot(result.over_time)
        storage.write_text(folder / LIKELIHOOD_FILE, result.to_json())
        yield Wrote(folder / LIKELIHOOD_FILE)
        render.write_picture(folder / "likelihood.png", plot)
        yield Wrote(folder / "likelihood.png")
    return result


def uniform_guess_note(spec: DataSpec, bits: float) -> list[str]:
    """Say so if a uniform guess would have a better likelihood."""
    if bits <= spec.codec.uniform_bits:
        return []
    return [
        f"A uniform guess costs {spec.codec.uniform_bits:g} bits/dim. The bound counts most where there is least "
        "noise, and there this network's error is larger than the noise. Samples do not show it; the preset `improved` "
        "learns for the bound."
    ]


def _update_run(subject: Subject, samples: Tensor | None) -> Iterator[Event]:
    """Update the model card, which shows some of the samples, and the report of the run."""
    assert subject.folder is not None
    run = subject.folder.parent
    address = subject.name if hub.is_address(subject.name) else render.FOLDER
    yield model_cards.update_card(subject.model, run, address, subject.folder, samples)
    report = run / render.REPORT
    if render.update_report(run):
        yield Wrote(report)
    elif report.exists():
        yield Message(f"{report} is left as it is, since it has no place for this; training writes a new one")
