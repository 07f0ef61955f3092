"""The items of a run's data that are no copies of others, where it leaves copies out."""

import dataclasses
from collections.abc import Generator

from ancestral.base.events import Event
from ancestral.base.quantities import plural
from ancestral.config import Config
from ancestral.data import Dataset
from ancestral.measure.items import inspect_items
from ancestral.training.distributed import on_first
from ancestral.use_cases.training.plan_training import TrainPlan


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
