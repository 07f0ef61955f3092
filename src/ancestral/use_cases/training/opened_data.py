"""The data of a training run: opened, compared with those of the run or the model that it goes on from, and split."""

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass

from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral.base.arguments import short_source
from ancestral.base.errors import InputError, UnsuitableError
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.config import Config, Given
from ancestral.data import Dataset, DataSpec, InMemoryDataset
from ancestral.data.partners import AbsentError
from ancestral.data.spec import NOTHING_TO_LEARN, SPEC_ITEMS
from ancestral.measure.findings import channel_findings
from ancestral.measure.reference import text_as_known
from ancestral.training import RunFolder
from ancestral.training.distributed import on_first
from ancestral.training.training_state import spec_of
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training.distinct_items import without_copies
from ancestral.use_cases.training.held_out_items import split, with_copies_together
from ancestral.use_cases.training.plan_training import TrainPlan


@dataclass(frozen=True)
class OpenedData:
    """The data of a run.

    Attributes:
        config: The config of the run, which records the data and their split.
        training: The items that are trained on.
        held_out: Items that are not, for the validation loss, if there are any.
        notes: What the user should know, a line each.
    """

    config: Config
    training: Dataset
    held_out: Dataset | None
    notes: tuple[str, ...]


def opened(plan: TrainPlan) -> Generator[Event, None, OpenedData]:
    """Open the data of a planned run, and split them.

    Raises:
        InputError: If they cannot be read, or are not those of the run or the model that is trained further.
    """
    config, dataset = plan.config, (yield from _read(plan))
    notes = [*plan.notes]
    if plan.saved is not None:
        notes += _check_same_data(plan.saved, config, dataset, plan.folder)
    else:
        _check_varied(dataset)
    fingerprint = dataset.fingerprint
    dataset, given, lacking_notes = _with_conditions_before(plan, dataset)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, given=given, fingerprint=fingerprint))
    config, dataset, copies_notes = yield from without_copies(plan, config, dataset)
    config, moved_notes = yield from with_copies_together(plan, config, dataset)
    notes += [f"{finding.text}; {finding.advice}" for finding in channel_findings(dataset)]
    training, held_out, split_notes = split(dataset, config, plan.validation)
    return OpenedData(config, training, held_out, (*notes, *lacking_notes, *copies_notes, *moved_notes, *split_notes))


def _read(plan: TrainPlan) -> Generator[Event, None, Dataset]:
    """Open the data of a plan. Raises InputError if they cannot be read, or lack what nothing makes up for."""
    data, spec = plan.config.data, _spec_before(plan)
    form = data.form if spec is None else {**data.form, "given": text_as_known(spec, data.given)}
    from_model = plan.start is not None and "given" not in plan.given  # it says where its own data had the conditions
    faults = list[InputError]() if from_model else None
    try:
        dataset = yield from on_first(datasets.opening(plan.data, **form, memory=data.memory, faults=faults))
    except UnsuitableError as error:
        if plan.saved is None:
            raise
        raise _other_data(plan.saved, data.source, plan.folder, error.text) from None
    for fault in faults or ():
        if not isinstance(fault, AbsentError):
            raise fault
    return dataset


def _with_conditions_before(
    plan: TrainPlan, dataset: Dataset
) -> tuple[Dataset, tuple[Given, ...] | None, tuple[str, ...]]:
    """The data with the conditions of the run or the model that is trained further, where they come from, and a line on
    those that the data lack.
    """
    config, start, lacking, notes = plan.config, plan.start, tuple[str, ...](), tuple[str, ...]()
    spec = _spec_before(plan)
    if spec is not None:
        name = str(plan.folder.path) if start is None else start.record.model
        dataset, lacking = fine_tuning.with_conditions_of(spec, name, dataset, config.data.class_labels)
    if lacking:
        names = ", ".join(lacking)
        notes = (f"{dataset.name} lacks {names}, which the model knows: it is trained on with {names} absent",)
    return dataset, fine_tuning.without_lacking(config.data.given, lacking, dataset), notes


def _check_same_data(saved: Config, config: Config, dataset: Dataset, folder: RunFolder) -> list[str]:
    """Say if the data have another place. Raises InputError unless they are those that the run was trained on."""
    before, source, differences = saved.data, config.data.source, []
    if before.fingerprint not in ("", dataset.fingerprint):  # "" is of a run that a Trainer began
        (count, _), (now, _) = (text.split(":") for text in (before.fingerprint, dataset.fingerprint))
        differences.append(f"{int(now):,} items, and had {int(count):,}")
        if now == count:
            differences = [f"other items or labels, of the same number, {now}"]
    trained_on, spec = _saved_spec(folder), spec_of(dataset, config)
    for name in ("shape", "codec", "rate") if trained_on is not None else ():
        if getattr(trained_on, name) != getattr(spec, name):
            differences.append(f"items of the {name} {getattr(spec, name)}, not {getattr(trained_on, name)}")
    if trained_on is not None and spec.classes and trained_on.classes != spec.classes:  # labels may be absent
        differences.append(f"other classes: {fine_tuning.class_changes(trained_on.classes, spec.classes)}")
    if differences:
        raise _other_data(saved, source, folder, f"it holds {'; '.join(differences)}")
    return [] if before.source == source else [f"changed: the place of {option('data', short_source(source))}"]


def _other_data(saved: Config, source: str, folder: RunFolder, reason: str) -> InputError:
    """Make the error that data are not those that a run was trained on."""
    place = "" if saved.data.source == configs.FROM_PYTHON else f" ({option('data', saved.data.source)})"
    return InputError(
        f"{source} is not what {folder.path} was trained on: {reason}. Resuming needs the same data{place}; to train "
        f"its model further on these, start another run from it ({option('initial', folder.path)}, "
        f"{option('out', '...')})"
    )


def _spec_before(plan: TrainPlan) -> DataSpec | None:
    """The description of the data of the model or the run that is trained further; None of a new run."""
    if plan.start is not None:
        return plan.start.model.spec
    return None if plan.saved is None else _saved_spec(plan.folder)


def _saved_spec(folder: RunFolder) -> DataSpec | None:
    """The description of the data in the model file of a run; None if the file is missing or damaged."""
    try:
        return models.describe_file(folder.model)[1]
    except InputError:  # it is written anew
        return None


def _check_varied(dataset: Dataset) -> None:
    """Raise InputError if integers, evenly chosen items of them at least, hold one value; floats have no range then."""
    if dataset.codec.level is None or not len(dataset):
        return
    items = dataset.items if isinstance(dataset, InMemoryDataset) else dataset.sample(SPEC_ITEMS).items
    value = items.flatten()[0]
    if bool((items[0] == value).all() and (items == value).all()):
        drawings = f" (drawings laid on their own colour? give another {option('background')}, or "
        advice = f"{drawings}{option('channels', 4)})" if items.ndim == 4 else ""
        raise InputError(f"{dataset.name} holds nothing but the value {int(value)}: {NOTHING_TO_LEARN}{advice}")
