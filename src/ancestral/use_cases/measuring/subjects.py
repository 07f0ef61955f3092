"""Models that are measured, with their data and samples: what evaluate, compare and average have in common."""

import contextlib
import dataclasses
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from PIL import Image

from ancestral import data as datasets
from ancestral import derived, randomness
from ancestral import model as models
from ancestral.base import storage
from ancestral.base.arguments import short_source
from ancestral.base.device import keep_freed_memory
from ancestral.base.errors import InputError, MissingSplitError
from ancestral.base.events import Event, Wrote
from ancestral.base.options import option
from ancestral.base.result import Result
from ancestral.base.threads import cpu_threads
from ancestral.config import FROM_PYTHON, CustomNetConfig, DataConfig, Given, run_files
from ancestral.config.folders import check_outside
from ancestral.data import TESTED, Dataset
from ancestral.declarations import DEFAULT_COUNT, WithSamples
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.measured_samples import References
from ancestral.measure.reference import HELD_OUT, Loader, check_partners, names_of_conditions
from ancestral.measure.sample_sets import floor_sets
from ancestral.measure.sample_store import SamplingSpec
from ancestral.measure.study import Study
from ancestral.metrics import uncertainty
from ancestral.metrics.distances import sample_size_warning
from ancestral.model import Model
from ancestral.randomness import Stream
from ancestral.render import writers
from ancestral.render.result_text import floor_note
from ancestral.results.comparison_result import ComparedSamples
from ancestral.results.sample_result import ExtractorName, MetricTitles
from ancestral.targets import Denoiser
from ancestral.training.distributed import Distributed
from ancestral.use_cases.model_cards import home

O = TypeVar("O", bound=WithSamples)  # noqa: E741
R = TypeVar("R")
FASTER = f"fewer {option('samples')} or {option('steps')} are faster"


@dataclass(frozen=True)
class Subject:
    """A model to measure, and what results call it.

    A model in a file also has the folder `evaluation` of its run, and the SHA-256 of the file.
    """

    model: Model
    name: str
    folder: Path | None = None
    sha256: str = ""

    @property
    def data_config(self) -> DataConfig | None:
        """Data that the model was trained on; None if they are not known."""
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


@dataclass(frozen=True)
class Measurements(Generic[O]):
    """Measurements that are decided: the options, and the models with their samples."""

    options: O
    processes: Distributed
    subjects: tuple[Subject, ...]
    studies: tuple[Study, ...]

    @property
    def batch_size(self) -> int:
        """The number of items that are sampled or measured at a time."""
        return self.subjects[0].model.batch(self.options.batch_size)


def open_subject(
    model: str | Path | Model | Denoiser, options: WithSamples, device: torch.device, name: str = "the model"
) -> Subject:
    """Open a model; `name` is what results call one that no file holds.

    Raises:
        InputError: If there is no such model, or its file names a function that the user does not.
    """
    if isinstance(model, str | Path):
        file = models.find(model)
        config, _ = models.describe_file(file)
        net = options.net if isinstance(config.net, CustomNetConfig) else None  # others build their own
        loaded = models.load(file, str(device), net=net)
        _check_functions(loaded, options)
        return Subject(loaded, str(model), home(model) / run_files.EVALUATION, storage.sha256(file))
    if isinstance(model, Model):
        if model.file is not None:  # as if its path had been given
            _check_functions(model, options)
            name = str(model.file.parent if model.file.name == run_files.MODEL else model.file)
        return Subject(model, name)
    if options.data is None:
        raise InputError("a denoiser does not know the shape of its items, so say which data it is of: data=...")
    return Subject(Model(model, datasets.open(options.data).spec), name)


def _check_functions(model: Model, options: WithSamples) -> None:
    """Raise InputError unless the user names the functions that make conditions of a model that a file holds."""
    made_by = [kind.made_by for kind in model.spec.further.values()]
    derived.check_trusted([*made_by, *map(str, model.config.data.given or ())], options.trust or (), "trust")


def given_of(subjects: Sequence[Subject], options: WithSamples, source: Any) -> tuple[Given, ...] | None:
    """Return where the data have the conditions of all models, as `data.open` takes it.

    Args:
        subjects: The models.
        options: The options: `given` names conditions that are elsewhere than in training.
        source: The training data.

    Returns:
        Where each is; None if no model says it.

    Raises:
        InputError: If no model takes such a condition from data, the place of one does not exist, or held-out items
            would have the partners of training items.
    """
    given = [names_of_conditions(one.model.spec, one.model.config.data.given) for one in subjects]
    sources = list(dict.fromkeys(source for each in given for source in each or ()))
    kinds = [pair for one in subjects for pair in one.model.spec.conditions.items()]
    names = list(dict.fromkeys(name for name, kind in kinds if not kind.made_by))
    for new in map(Given.from_text, options.given or ()):
        if new.name not in names:
            raise InputError(
                f"{option('given', new)}: give NAME=WHAT of a condition that {subjects[0].name} takes from data "
                f"({', '.join(names) or 'it has none'})"
            )
        places = [new if new.name == old.condition else old for old in sources]
        sources = list(dict.fromkeys(places if new in places else [*places, new]))
    for lost in (one for one in sources if one.lost):
        raise InputError(
            f"there is no {lost.what}, where {subjects[0].name} was given the condition {lost.name}: say where it is "
            f"now, {option('given', f'{lost.name}=PLACE')}"
        )
    check_partners(source, plain_source(options.held_out), sources)
    return tuple(sources) if options.given or any(each is not None for each in given) else None


def temporary_folder(processes: Distributed) -> Path:
    """Name a folder for samples that are not kept, the same for all processes; `perform` makes and removes it."""
    number = processes.total(torch.tensor([secrets.randbits(48) if processes.main else 0]))
    return Path(tempfile.gettempdir()) / f"ancestral-{int(number):012x}"


def plan_study(
    subject: Subject, options: WithSamples, source: Any, load: Loader, temporary: Path, out: Path | None
) -> Study:
    """Plan the study of a model, whose samples are kept in `out` if the model is in a file."""
    model, data_config = subject.model, subject.data_config
    sampler = model.sampler(options.sampler, steps=options.steps)
    train = load(source, "train")
    held_out, split = held_out_data(source, load, options.held_out)
    notes = []
    if data_config is not None:
        trained_on = short_source(data_config.source)
        compared_with = short_source(source) if isinstance(source, str) else train.name
        if trained_on != compared_with:
            notes.append(f"The model was trained on {trained_on}; what is called training data is {compared_with}.")
        elif isinstance(data_config.validation, float) and held_out is None:
            notes.append(f"Some of what is called training data was held out of training by {option('validation')}.")
    flip = data_config is not None and data_config.flip
    references = References.of(model.spec, train, held_out, options.extractor, split, model.device, flip)
    references = dataclasses.replace(references, notes=(*references.notes, *notes))
    references = references.checked_for_copies(options.leave_out_copies)
    guidance = 1.0 if options.guidance is None else options.guidance
    conditions = None
    if model.spec.further:  # in random order, since the data may be sorted
        order = randomness.permutation(len(references.train.items), 0, Stream.GIVEN, 0)
        conditions = ItemConditions.of(model.spec, references.train, order, options.seed)
    digest = "" if conditions is None else conditions.digest
    spec = SamplingSpec(subject.sha256, repr(sampler), options.seed, None, guidance, conditions=digest)
    folder = out / "samples" if out is not None and subject.sha256 else temporary
    count = DEFAULT_COUNT if isinstance(options.samples, bool | None) else options.samples
    return Study(model, subject.name, sampler, spec, folder, temporary, count, references, conditions=conditions)


def perform(plan: Measurements[O], events: Generator[Event, None, R]) -> Generator[Event, None, R]:
    """Run a measurement with the number of threads, and with the folder of samples that are not kept."""
    processes = plan.processes
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        for folder in {study.temporary for study in plan.studies} if processes.main else ():
            folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        processes.wait()
        stack.enter_context(cpu_threads(plan.options.threads))
        try:
            return (yield from events)
        except KeyboardInterrupt as stop:
            if processes.main and plan.studies and all(study.kept for study in plan.studies):
                stop.add_note("all samples so far are kept")
            raise


def distance_facts(
    study: Study, batch_size: int
) -> Generator[Event, None, tuple[uncertainty.Reference, dict[str, Any]]]:
    """Compute the features of the data.

    Returns:
        What distances of samples are measured to, and the fields of a result that say so.
    """
    references, extractor = study.references, study.references.extractor
    train = yield from references.features("training data", references.train.items, batch_size)
    held_out = None
    if references.held_out is not None:
        held_out = yield from references.features("held-out data", references.held_out.items, batch_size)
    others, rest = floor_sets(study.count, train.values, None if held_out is None else held_out.values)
    size_warning = sample_size_warning(min(study.count, len(train.values)), extractor.width)
    floor_warning = floor_note((len(others), len(rest)), (study.count, len(train.values)))
    return uncertainty.Reference(train.values), {
        "model": study.identity,
        "samples": ComparedSamples(study.count, study.spec.seed, study.spec.guidance),
        "data": references.names(),
        "extractor": ExtractorName(extractor.name, extractor.width),
        "titles": MetricTitles(extractor.title("FD"), extractor.title("KID")),
        "floor": uncertainty.frechet(others, rest),
        "notes": tuple(filter(None, [size_warning and f"{size_warning}.", floor_warning])),
    }


def write_results(folder: Path, files: Mapping[str, Result | Image.Image]) -> Iterator[Wrote]:
    """Write results as JSON and pictures as PNGs, by their names in the folder."""
    for name, content in files.items():
        if isinstance(content, Result):
            storage.write_text(folder / name, content.to_json())
        else:
            writers.write_picture(folder / name, content)
        yield Wrote(folder / name)


def check_folder(path: str | Path | None, *data: object) -> Path | None:
    """Return the folder, which need not exist.

    Raises:
        InputError: If it is a file, or lies among the data.
        OSError: If files cannot be written into it.
    """
    if path is None:
        return None
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give {option('out')} the name of a folder")
    for source in data:
        check_outside(folder, source)
    storage.check_writable(folder)
    return folder


def plain_source(source: Any) -> Any:
    """Return a path as text, and other data as they are."""
    return str(source) if isinstance(source, Path) else source


def held_out_data(source: Any, load: Loader, held_out: Any) -> tuple[Dataset | None, str]:
    """Held-out data and their name: as given, or the test split of the data, or the part that the run held out."""
    if held_out is not None:
        tested = isinstance(held_out, str) and held_out in TESTED
        return load(plain_source(held_out), "test" if tested else "train"), "test split" if tested else "held out"
    for split, title in (("test", "test split"), (HELD_OUT, HELD_OUT)):
        with contextlib.suppress(MissingSplitError):
            if split != "test" or isinstance(source, str):
                return load(source, split), title
    return None, ""
