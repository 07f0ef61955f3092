"""Resumed runs: the config that they go on from, and what may change."""

import contextlib
import dataclasses
from collections.abc import Mapping

from ancestral import config as configs
from ancestral import model as models
from ancestral.base import storage
from ancestral.base.arguments import short_source
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import ConditionSource, Config
from ancestral.config.data_config import held_out_share
from ancestral.model import CustomParts
from ancestral.training import RunFolder
from ancestral.use_cases.training.fine_tuning import Start


def changes(saved: Config, config: Config, folder: RunFolder) -> list[str]:
    """List what changes when a run is resumed, a line each. Raises InputError if it would become another run."""
    if saved.runtime.snapshots == 0 and config.runtime.snapshots:
        raise InputError(
            f"{folder.path} was begun without snapshots, whose averages need all steps: leave {option('snapshots')} "
            "out, or train it anew"
        )
    lines, now = [], config.data
    if configs.placeless(now.given) == configs.placeless(saved.data.given):
        moved = [one.renamed(short_source) for one in now.given or () if one not in (saved.data.given or ())]
        lines += [f"changed: the place of {option('given', one)}" for one in moved]
        now = dataclasses.replace(now, given=saved.data.given)
    after = dataclasses.replace(config, data=now)
    for section, key, old, new in saved.unplaced().differences(after.unplaced(), configs.SECTIONS):
        if section == "data" and key in ("source", "fingerprint", "moved", "left_out"):
            continue
        same_items = key == "validation" and held_out_share(old) is held_out_share(new) is None
        name = configs.OPTIONS_OF.get(key, key)
        fixed = key == "steps" and saved.distil.method  # the stages are shares of the steps
        may_change = section == "train" and key in configs.MAY_CHANGE and not fixed
        if not (section in ("runtime", "sample") or may_change or same_items):
            value = option(name, new) if isinstance(new, bool) else _words(new)
            raise InputError(
                f"{folder.path} was trained with {_setting(name, old)}, so it cannot go on with {value}; leave the "
                f"option out, or start a new run with {option('out')}"
            )
        lines.append(f"changed: {_setting(name, new)}, was {_words(old)}")
    return lines


def in_order(
    given: tuple[ConditionSource, ...], saved: tuple[ConditionSource, ...] | None
) -> tuple[ConditionSource, ...]:
    """Return `given` in the order of a run that has the same, on which the fingerprint of the data depends."""
    sources = {one.placeless: one for one in given}
    order = configs.placeless(saved) or ()
    return tuple(sources[one] for one in order) if sources.keys() == set(order) else given


def _setting(name: str, value: object) -> str:
    """An option with its value, or with several of a tuple."""
    return option(name, *value) if isinstance(value, tuple) else option(name, value)


def _words(value: object) -> str:
    """The value of an option as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def with_saved_schedule(
    parts: CustomParts, config: Config, saved: Config | None, start: Start | None, folder: RunFolder
) -> CustomParts:
    """Return the parts with a custom schedule from the file that holds its tables.

    Raises:
        InputError: If the run that is resumed has another schedule or target.
    """
    schedule, file = parts.schedule, folder.model
    if schedule is None and config.process.schedule == "custom" and start is not None:
        schedule = start.model.denoiser.schedule
    elif schedule is None and config.process.schedule == "custom" and saved is not None:
        schedule = models.read_schedule(file, storage.read_metadata(file))
    metadata: Mapping[str, str] = {}
    with contextlib.suppress(InputError):  # a file that is missing or damaged is written anew
        metadata = storage.read_metadata(file)
    if saved is not None and {"schedule", "target"} <= metadata.keys():
        models.check_parts(file, metadata, schedule, parts.target)
    return dataclasses.replace(parts, schedule=schedule)
