"""Items that a run holds out for its validation loss: a share of its data, or other data."""

import dataclasses
from collections.abc import Generator
from typing import Any

import torch

from ancestral import config as configs
from ancestral import data as datasets
from ancestral.base.errors import InputError
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config import Config
from ancestral.config.data_config import HeldOut
from ancestral.data import Dataset
from ancestral.data.equal_items import moved_rows
from ancestral.guidance import NO_CLASS
from ancestral.measure import reference
from ancestral.measure.findings import order_finding
from ancestral.training.distributed import on_first
from ancestral.training.training_state import spec_of
from ancestral.training.validation import VALIDATION_PASSES
from ancestral.use_cases.training.plan_training import TrainPlan


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
    return () if part.by_blocks else tuple(f"{one.text}; {one.advice}" for one in order_finding(dataset))


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
