"""The data of a training run: opened, compared with those of the run or the model that it goes on from, and split."""

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from ancestral import config as configs
from ancestral import data as datasets
from ancestral import model as models
from ancestral.base.arguments import short_source
from ancestral.base.errors import InputError, UnsuitableError
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config import ConditionSource, Config
from ancestral.config.data_config import HeldOut
from ancestral.config.run_files import TrainingCost
from ancestral.data import Dataset, DataSpec, InMemoryDataset
from ancestral.data.equal_items import moved_rows
from ancestral.data.partners import AbsentError
from ancestral.data.scales import fitted_codec, with_codec
from ancestral.data.spec import NOTHING_TO_LEARN, SPEC_ITEMS
from ancestral.guidance import NO_CLASS
from ancestral.measure import reference
from ancestral.measure.findings import channel_findings, order_finding
from ancestral.measure.items import inspect_items
from ancestral.measure.reference import text_as_known
from ancestral.model import CustomParts
from ancestral.nets.autoencoder import Autoencoder
from ancestral.training import RunFolder, Trainer
from ancestral.training.distributed import memory_explained, on_first
from ancestral.training.training_state import spec_of
from ancestral.training.validation import VALIDATION_PASSES
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training.plan_training import TrainPlan


@dataclass(frozen=True)
class RunSetup:
    """What a run is made of, and what its user should know.

    Attributes:
        config: The config of the run, which records the data and their split.
        training: The items that are trained on.
        held_out: Items that are not, for the validation loss, if there are any.
        parts: Custom parts, and the weights that the run starts from.
        notes: What the user should know, a line each.
        autoencoder: The autoencoder of a run in a latent space.
        details: What the user may ask for, a line each.
        cost: The time and the memory of the steps, where they were measured.
    """

    config: Config
    training: Dataset
    held_out: Dataset | None
    parts: CustomParts
    notes: tuple[str, ...]
    autoencoder: Autoencoder | None = None
    details: tuple[str, ...] = ()
    cost: TrainingCost | None = None

    def trainer(self, device: str) -> Trainer:
        """Make the trainer of the run, at step 0, on a device by its name.

        Raises:
            InputError: As `Trainer`, and if there is not enough memory.
        """
        with memory_explained(f"give a smaller {option('width')} or {option('batch_size')}"):
            return Trainer(self.config, self.training, device, self.parts, self.held_out, self.autoencoder)


def opened(plan: TrainPlan) -> Generator[Event, None, RunSetup]:
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
    training, held_out = _scaled(plan, config, training, held_out)
    notes += [*lacking_notes, *copies_notes, *moved_notes, *split_notes, *_border_notes(training, config)]
    return RunSetup(config, training, held_out, plan.parts, tuple(notes))


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


def _scaled(
    plan: TrainPlan, config: Config, training: Dataset, held_out: Dataset | None
) -> tuple[Dataset, Dataset | None]:
    """The data in the scale of the run: that of the run or the model that is trained further, or one that is fitted to
    the items to train on.
    """
    if config.data.bounded:
        return training, held_out
    spec = _spec_before(plan)
    codec = spec.codec if spec is not None and spec.codec.scaling else fitted_codec(training, config.data.scale or "")
    return with_codec(training, codec), None if held_out is None else with_codec(held_out, codec)


def _with_conditions_before(
    plan: TrainPlan, dataset: Dataset
) -> tuple[Dataset, tuple[ConditionSource, ...] | None, tuple[str, ...]]:
    """The data with the conditions of the run or the model that is trained further, where they come from, and a line on
    those that the data lack.
    """
    config, start, notes = plan.config, plan.start, tuple[str, ...]()
    spec = _spec_before(plan)
    if spec is None:
        return dataset, config.data.given, ()
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
    compared = ("shape", "codec", "rate") if config.data.bounded else ("shape", "rate")  # scales are of the split
    for name in compared if trained_on is not None else ():
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


def without_copies(
    plan: TrainPlan, config: Config, dataset: Dataset
) -> Generator[Event, None, tuple[Config, Dataset, list[str]]]:
    """Return the config with the items that are left out, the other items, and a line on them.

    A run that goes on keeps what was recorded.
    """
    left_out, notes = "" if plan.saved is None else plan.saved.data.left_out, list[str]()
    if plan.saved is None and config.data.leave_out_copies:
        rows = yield from on_first(_copies(dataset))
        left_out = " ".join(map(str, rows))
        notes += [f"{plural(len(rows), 'item')} left out: copies of others"] if rows else []
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, left_out=left_out))
    return config, dataset.without(config.data.left_out_rows), notes


def _copies(dataset: Dataset) -> Generator[Event, None, list[int]]:
    """Find the rows of items that are copies of others."""
    items = yield from inspect_items(dataset, dataset.threads)
    rows: list[int] = items.rows[items.copies].tolist()
    return rows


def with_copies_together(
    plan: TrainPlan, config: Config, dataset: Dataset
) -> Generator[Event, None, tuple[Config, list[str]]]:
    """Return the config with the items that change sides so that copies stay together, and a line on them.

    A run that goes on, or that starts from a model of the same split, keeps what was recorded, though it is nothing.
    """
    share, moved, notes = config.data.validation, "", list[str]()
    before = plan.saved.data if plan.saved is not None else plan.start.model.config.data if plan.start else None
    same_items = config.data.fingerprint, config.data.left_out, share
    alike = before is not None and (before.fingerprint, before.left_out, before.validation) == same_items
    if before is not None and (plan.saved is not None or alike):
        moved = before.moved
    elif (part := config.data.held_out) is not None:
        rows = yield from on_first(moved_rows(dataset, part))
        moved = " ".join(map(str, rows))
        notes += (
            [f"{plural(len(rows), 'item')} changed sides, so that copies are on one side of the split"] if rows else []
        )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, moved=moved)), notes


def _order_notes(dataset: Dataset, part: HeldOut) -> tuple[str, ...]:
    """Say if single items are held out of data in order."""
    if dataset.in_time and not part.by_blocks:
        return (f"the last {part.share:.0%} of the times are held out; {option('validation')} takes other stretches",)
    return () if part.by_blocks else tuple(f"{one.text}; {one.advice}" for one in order_finding(dataset))


def _border_notes(dataset: Dataset, config: Config) -> tuple[str, ...]:
    """Say which axes go around because their coordinates do."""
    around = [dataset.spec.axis_names[axis] for axis in dataset.spec.with_borders(None).periodic]
    if config.data.periodic is not None or not around:
        return ()
    return (
        f"{around[0]} goes around 360 degrees, and so does the network; {option('periodic', 'none')} ends it there",
    )


def split(dataset: Dataset, config: Config, validation: Any) -> tuple[Dataset, Dataset | None, tuple[str, ...]]:
    """Return the data to train on, what is held out, and notes on that: a share of them, or other data, `validation` if
    from Python.

    Raises:
        InputError: If the validation data cannot be read, are not of the kind of the data, or are the data.
    """
    share, part = config.data.validation, config.data.held_out
    if share is None:
        return dataset, None, ()
    if part is not None:
        return (*datasets.hold_out(dataset, part, config.data.moved_rows), _order_notes(dataset, part))
    spec, source = spec_of(dataset, config), validation if share == configs.FROM_PYTHON else share
    given = reference.names_of_conditions(spec, config.data.given)
    try:
        reference.check_partners(config.data.source, source, given or ())
        held_out = reference.load_validation(spec, source, config.data, given)
        items = held_out.sample(VALIDATION_PASSES)
        values, notes = reference.conditions_for(items, spec)
    except InputError as error:
        raise InputError(f"{option('validation')}: {error.text}") from None
    if held_out.fingerprint == dataset.fingerprint or share == config.data.source != configs.FROM_PYTHON:
        raise InputError(
            f"{option('validation')} names the data that are trained on: give a share of them, as in 0.1, or others"
        )
    labels = reference.labels_for(items, spec.classes) if spec.classes else None
    if spec.classes and labels is None:
        labels = torch.full((len(items),), NO_CLASS)
    conditions = {
        name: items.conditions[name] if spec.further[name].on_grid else value for name, value in values.items()
    }
    split = dataclasses.replace(items, labels=labels, classes=spec.classes, conditions=conditions, kinds=spec.further)
    return dataset, split, notes
