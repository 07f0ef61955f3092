"""Fine-tuning: a training run that starts from the averaged weights of a model, in place of random ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral import augmentation, derived
from ancestral.base import hub, storage
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import ABSENT, LABEL, Condition
from ancestral.config import FROM_PYTHON, OPTIONS_OF, ConditionSource, Config, CustomNetConfig, InitialConfig
from ancestral.data import Dataset
from ancestral.data.given import with_kinds
from ancestral.data.spec import DataSpec
from ancestral.model import CustomParts, Model, describe_file, find, load
from ancestral.schedules import Schedule
from ancestral.training import Checkpoints, RunFolder, Trainer

MAY_DIFFER = {"dropout", "clip", "function"}
"""Settings of network and process that the weights do not depend on."""
SCHEDULE = {"schedule", "timesteps", "sigma_min", "sigma_max", "zero_terminal_snr"}
"""The settings of the schedule."""
LABELS = "label.weight"
"""The label embedding of the networks of this package, (classes + 1, width); its last row is "no class"."""
CONDITIONING = "conditioning."
"""The layers for all other conditions in the networks of this package, by the beginning of their names."""
IMAGE_WEIGHTS = f"{CONDITIONING}stem.weight"
"""The weights of the images among them, (width, channels of all images, ...), in the order of the conditions."""
PIECES = f"{CONDITIONING}encoders.of_{{}}.embedding.weight"
"""The embedding of the pieces of words, (1 + pieces, width), by the name of the argument."""
LAST = "out."
"""The last layer of the networks of this package, which begins anew where what it predicts has no like."""
CLASSES_LISTED = 5
"""Largest number of classes that a message names."""


@dataclass(frozen=True)
class Start:
    """The model that a run starts from, and how the run's config records it."""

    model: Model
    record: InitialConfig

    def __str__(self) -> str:
        digest = f" (SHA-256 {self.record.sha256[:12]})" if self.record.sha256 else ""
        return f"starting from the averaged weights of {self.record.model}, step {self.model.step:,}{digest}"


def described(model: Model | str | Path) -> tuple[Config, DataSpec]:
    """Return the config and the data of a model. Raises InputError if there is no such model."""
    return (model.config, model.spec) if isinstance(model, Model) else describe_file(find(model))


def with_parts_of(initial: Model | str | Path, config: Config) -> Config:
    """Return the config with network, latents and process of the model that a run starts from, its size of items, its
    augmentation and the place of its conditions.

    Raises:
        InputError: If there is no such model.
    """
    source, spec = described(initial)
    given = source.data.given
    if given is not None:  # places of the data of the model say nothing of these
        given = tuple(one for one in given if not one.lost)
    data = dataclasses.replace(config.data, augment=source.data.augment, given=given, scale=source.data.scale)
    if spec.codec.level is None and spec.shape[0] > 1 and not spec.codec.ranges:  # as in imported models
        data = dataclasses.replace(data, ranges="shared")
    if spec.rate is not None:
        data = dataclasses.replace(data, channels=spec.shape[0], length=spec.shape[1])
    elif len(spec.shape) == 3:
        channels = spec.shape[0] if spec.shape[0] in (1, 3) else data.channels
        data = dataclasses.replace(data, image_size=spec.shape[1:], channels=channels)
    return dataclasses.replace(config, data=data, net=source.net, latent=source.latent, process=source.process)


def start_of(
    initial: Model | str | Path | None, config: Config, parts: CustomParts, saved: Config | None, folder: RunFolder
) -> Start | None:
    """Load the model that a run starts from: `initial`, or the one that its config records.

    Returns:
        The model; None for a run that starts from random weights, or that goes on from a checkpoint.

    Raises:
        InputError: If there is no such model, it is not the one that the config records, or does not fit the config.
    """
    name = _name(initial) if initial is not None else ""
    other_model = saved is not None and initial is not None and name != saved.initial.model
    if saved is not None and other_model and (not saved.initial.sha256 or _digest(initial) != saved.initial.sha256):
        origin = f"the model {saved.initial.model}" if saved.initial.model else "random weights"
        raise InputError(
            f"{folder.path} started from {origin}, so it cannot go on from {name}; give {option('out')} another name"
        )
    if not (name or config.initial.model) or (saved is not None and Checkpoints(folder.checkpoints).steps()):
        return None
    if isinstance(initial, Model):
        model = initial
    else:
        schedule = None if _plain(parts) else parts.schedule  # tables are in the file
        model = load(name or config.initial.model, "cpu", net=parts.net, schedule=schedule, target=parts.target)
    digest = _digest(model)
    record = InitialConfig(name or config.initial.model, digest)
    if config.initial.model == record.model and config.initial.sha256 not in ("", digest):
        raise InputError(
            f"{record.model} has changed: the SHA-256 of its file was {config.initial.sha256[:12]}, and is "
            f"{digest[:12]} now; give the model that the run started from"
        )
    may_differ = MAY_DIFFER | (SCHEDULE if _plain(parts) else set())
    if config.distil.convert or (model.config.process.target, config.process.target) == ("x0", "skip"):
        may_differ |= {"target"}
    if config.train.energy is not None:
        may_differ |= {"target", "learned_variance"}
    elif model.config.train.energy is not None:
        raise InputError(
            f"{record.model} answers in one evaluation: give {option('objective', model.config.train.objective)} to go "
            "on from it"
        )
    _check_parts(record.model, model.config, config, may_differ)
    if model.config.data.augment and not config.data.augment:
        before, after = (option(augmentation.NAME, part.data.augment) for part in (model.config, config))
        raise InputError(
            f"{record.model} has {before}, so a run that starts from it cannot have {after}; leave that out"
        )
    return Start(model, record)


def with_conditions_of(
    spec: DataSpec, name: str, dataset: Dataset, class_labels: bool = True
) -> tuple[Dataset, tuple[str, ...]]:
    """Return data whose conditions have the means, deviations and limits of a model, so that its weights keep their
    meaning, and come in its order, before new ones.

    A condition of the model that the data lack is absent in all items, as training drops it in some.

    Args:
        spec: The description of the data of the model.
        name: What messages call the model.
        dataset: The data.
        class_labels: Whether classes are a condition.

    Returns:
        The data, and the names of the conditions that they lack.

    Raises:
        InputError: If a condition is of another kind, or made by a function that the user does not name.
    """
    kinds, lacking = dict[str, Condition](), list[str]()
    if spec.classes and class_labels and dataset.labels is None:
        lacking.append(LABEL)
        dataset = dataset.with_labels(torch.full((len(dataset),), ABSENT), spec.classes)
    for condition, before in spec.further.items():
        now = dataset.spec.further.get(condition)
        if now is None:
            if before.made_by:  # of the items, as for the model
                derived.check_trusted([before.made_by], (), "given")
            else:
                lacking.append(condition)
            kinds[condition] = before
            continue
        if now.form != before.form:
            raise InputError(
                f"{name} is conditioned on {condition} as {before.form}, and in {dataset.name} it is "
                f"{now.form}: give {condition} alike, or call this one otherwise ({option('given', 'other=...')})"
            )
        kinds[condition] = now.scaled_as(before)
    theirs = dataset.spec.further
    values = {
        one: kinds[one].recoded(value, theirs[one]) if one in kinds else value
        for one, value in dataset.conditions.items()
    }
    others = {other: kind for other, kind in theirs.items() if other not in kinds}
    return with_kinds(dataset, kinds | others, values), tuple(lacking)


def without_lacking(
    given: Sequence[ConditionSource] | None, lacking: Sequence[str], dataset: Dataset
) -> tuple[ConditionSource, ...] | None:
    """Return where the data have their conditions, as `given` says it, without those that they lack."""
    if given is None:  # of data from Python all conditions are taken
        return tuple(ConditionSource("", name) for name in dataset.conditions) if set(lacking) - {LABEL} else None
    return tuple(one for one in given if one.condition not in lacking)


def initial_weights(trainer: Trainer, start: Start) -> tuple[Mapping[str, Tensor], list[str]]:
    """Return the weights of the model, with layers for the classes and the conditions of the data.

    Classes keep their label embedding by name, and one that takes the place of another has its own. New ones start from
    "no class", so that the network computes at first what it did without a label. The layers of new conditions end in
    zeros, so that they change nothing at first.

    Args:
        trainer: A trainer at step 0, with random weights.
        start: The model that the run starts from.

    Returns:
        The weights by their names in the network, and lines on what starts anew.

    Raises:
        InputError: If data, schedule or network do not fit the model.
    """
    name, before, now = start.record.model, start.model.spec, trainer.spec
    limits, limits_now = (
        [f"{low:g} to {high:g}" for low, high in spec.codec.ranges or (spec.codec.limits,)] for spec in (before, now)
    )
    if before.items != now.items or limits != limits_now:
        raise InputError(
            f"{name} was trained on {before.items}, and this data has {now.items}; give data alike, or change it by "
            f"{option('image_size')}, {option('length')}, {option('channels')} or {option('bits')}"
        )
    schedule, other = trainer.denoiser.schedule, start.model.denoiser.schedule
    if not (torch.equal(schedule.signal, other.signal) and torch.equal(schedule.noise, other.noise)):
        raise InputError(
            f"{name} has another schedule: give it from Python, schedule=ancestral.load({name!r}).denoiser.schedule"
        )
    weights: Mapping[str, Tensor] = start.model.diffusion.net.state_dict()
    notes = []
    distilling, fixed = trainer.config.distil.method, isinstance(trainer.config.net, CustomNetConfig)
    if before.classes != now.classes:
        changes = class_changes(before.classes, now.classes)
        if (distilling or fixed) and len(before.classes) != len(now.classes):
            raise InputError(f"{name} knows only the classes that it was trained on, and {changes}; give data alike")
        if not distilling:
            notes.append(f"{changes}; new ones start from the label embedding of no class, all other weights are kept")
        if not distilling and not fixed:
            weights = _for_classes(weights, before.classes, now.classes, trainer.state.net.state_dict())
    changed, pieces = _changed_classes(before, now), _new_pieces(before, now)
    new = [one for one in now.further if one not in before.further]
    if (distilling or fixed) and changed:
        one, changes = next(iter(changed.items()))
        raise InputError(
            f"{name} knows only the classes of {one} that it was trained on, and {changes}; give data alike"
        )
    if (distilling or fixed) and pieces:
        one, new_ones = next(iter(pieces.items()))
        raise InputError(f"{name} knows only the words of {one} that it was trained on, and there are {new_ones}")
    if distilling and new:
        raise InputError(f"{name} was trained without {', '.join(new)}: leave {option('given')} out")
    notes += [f"{one}: {changes}; new ones start from the embedding of none" for one, changes in changed.items()]
    notes += [f"{one} has {new_ones}; all others keep their embedding" for one, new_ones in pieces.items()]
    if new:
        notes.append(f"new conditions: {', '.join(new)}; at first they change nothing, and all other weights are kept")
    random = trainer.state.net.state_dict()
    fitted = _for_conditions(weights, before, now, random)
    if trainer.config.process.target != start.model.config.process.target and trainer.config.train.energy is not None:
        fitted = {**fitted, **{name: value for name, value in random.items() if name.startswith(LAST)}}
    return fitted, notes


def _changed_classes(before: DataSpec, now: DataSpec) -> dict[str, str]:
    """What changes in the classes of each condition whose classes change."""
    kinds = {name: (kind, now.further.get(name)) for name, kind in before.further.items()}
    return {
        name: class_changes(old.classes, new.classes)
        for name, (old, new) in kinds.items()
        if new is not None and old.form == new.form and old.classes != new.classes
    }


def _new_pieces(before: DataSpec, now: DataSpec) -> dict[str, str]:
    """The new pieces of the vocabulary of each condition that has some, in words."""
    kinds = {name: (kind, now.further.get(name)) for name, kind in before.further.items() if kind.in_sequence}
    pieces = {name: new.vocabulary[len(old.vocabulary) :] for name, (old, new) in kinds.items() if new is not None}
    return {name: f"{plural(len(new), 'new piece')} of words: {_first(new)}" for name, new in pieces.items() if new}


def _for_conditions(
    weights: Mapping[str, Tensor], before: DataSpec, now: DataSpec, random: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Weights for the conditions `now`, of a network of this package with the conditions `before`."""
    fitted = {**{name: value for name, value in random.items() if name.startswith(CONDITIONING)}, **weights}
    for name in _changed_classes(before, now):
        embedding = f"{CONDITIONING}embeddings.of_{name}.weight"
        old, new = before.further[name], now.further[name]
        fitted[embedding] = weights[embedding][_rows(old.classes, new.classes)]
    for name in _new_pieces(before, now):
        key = PIECES.format(name)
        fitted[key] = torch.cat([weights[key], random[key][len(weights[key]) :].to(weights[key])])
    if IMAGE_WEIGHTS in weights and weights[IMAGE_WEIGHTS].shape != random[IMAGE_WEIGHTS].shape:
        old_images = weights[IMAGE_WEIGHTS]
        fitted[IMAGE_WEIGHTS] = torch.cat(
            [old_images, random[IMAGE_WEIGHTS][:, old_images.shape[1] :].to(old_images)], 1
        )
    return fitted


def class_changes(before: Sequence[str], now: Sequence[str]) -> str:
    """Say how the names of classes differ, as in "class flags is now banners"."""
    gone, new = _gone_and_new(before, now)
    if len(gone) == len(new) == 1:
        return f"class {gone[0]} is now {new[0]}"
    lists = (("classes that are gone", gone), ("new classes", new))
    parts = [f"{title}: {_first(names)}" for title, names in lists if names]
    return "; ".join(parts) or "the classes have another order"


def _gone_and_new(before: Sequence[str], now: Sequence[str]) -> tuple[list[str], list[str]]:
    return [name for name in before if name not in now], [name for name in now if name not in before]


def _first(names: Sequence[str]) -> str:
    more = len(names) - CLASSES_LISTED
    return ", ".join(names[:CLASSES_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _for_classes(
    weights: Mapping[str, Tensor], before: Sequence[str], now: Sequence[str], random: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Weights for the classes `now`, of a network of this package with the classes `before`."""
    others = {name: value for name, value in weights.items() if name != LABELS}
    if not now:
        return others
    rows = weights.get(LABELS, torch.zeros(1, random[LABELS].shape[1]))
    return others | {LABELS: rows[_rows(before, now)]}


def _rows(before: Sequence[str], now: Sequence[str]) -> list[int]:
    """The row of an embedding of the classes `before` for each of the classes `now`, and at the end for none."""
    gone, new = _gone_and_new(before, now)
    names = [gone[0] if name in new and len(gone) == len(new) == 1 else name for name in now]
    return [before.index(name) if name in before else -1 for name in names] + [-1]


def _name(initial: Model | str | Path) -> str:
    path = initial.file if isinstance(initial, Model) else initial
    if path is None:
        return FROM_PYTHON
    return str(Path(path).resolve()) if not hub.is_address(path) and Path(path).exists() else str(path)


def _digest(initial: Model | str | Path | None) -> str:
    """The SHA-256 of the file of a model; "" if it is in none."""
    file = initial.file if isinstance(initial, Model) else initial and find(initial)
    return storage.sha256(file) if file and file.is_file() else ""


def _plain(parts: CustomParts) -> bool:
    """Whether a schedule is given whose tables `initial_weights` compares with those of the model."""
    return type(parts.schedule) is Schedule


def _check_parts(name: str, model: Config, config: Config, may_differ: set[str]) -> None:
    """Raise InputError for a setting of network or process in which a run differs from the model it starts from."""
    for _, key, old, new in model.differences(config, ("net", "latent", "process")):
        if key not in may_differ:
            setting = OPTIONS_OF.get(key, key)
            before, after = (
                option(setting, *(value if isinstance(value, tuple) else (value,))) for value in (old, new)
            )
            raise InputError(f"{name} has {before}, so a run that starts from it cannot have {after}; leave that out")
