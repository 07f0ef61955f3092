"""What a training run holds out: a share of its data, or other data."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from ancestral import data as datasets
from ancestral.config import FROM_PYTHON, Config
from ancestral.data import Dataset
from ancestral.errors import InputError
from ancestral.evaluation.reference import labels_for, load_validation
from ancestral.guidance import NO_CLASS
from ancestral.options import option
from ancestral.training.training_state import spec_of
from ancestral.training.validation import PASSES


def setting(given: Any) -> Any:
    """Return what the config says of validation data that were given from Python."""
    if isinstance(given, Path):
        return str(given)
    return given if isinstance(given, float | int | str) else FROM_PYTHON


def with_absolute_path(config: Config, given: Any) -> Config:
    """Return the config with an absolute path to its validation data.

    Raises:
        InputError: If there is no such path, or the data were given from Python and are not now.
    """
    named = config.data.validation
    if not isinstance(named, str) or (named == FROM_PYTHON and given is not None):
        return config
    if named == FROM_PYTHON:
        raise InputError("the validation data of this run were given from Python: give them again, validation=...")
    try:
        named = datasets.absolute(named)
    except InputError as error:
        advice = "give a share of the items, as in 0.1, or other data"
        raise InputError(f"{option('validation')}: {error.text}; {advice}") from None
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation=named))


def split(dataset: Dataset, config: Config, given: Any) -> tuple[Dataset, Dataset | None]:
    """Return the data to train on, and what is held out, if anything.

    Args:
        dataset: The data of the run.
        config: The config of the run.
        given: Data given from Python; anything else is in the config.

    Raises:
        InputError: If the validation data cannot be read, are not of the kind of the data, or are the data.
    """
    chosen = config.data.validation
    if chosen is None:
        return dataset, None
    if isinstance(chosen, float):
        return datasets.hold_out(dataset, chosen)
    spec = spec_of(dataset, config)
    try:
        found = load_validation(spec, given if chosen == FROM_PYTHON else chosen, config.data)
    except InputError as error:
        raise InputError(f"{option('validation')}: {error.text}") from None
    if found.fingerprint == dataset.fingerprint or chosen == config.data.source != FROM_PYTHON:
        raise InputError(
            f"{option('validation')} names the data that are trained on: give a share of them, as in 0.1, or others"
        )
    some = found.sample(PASSES)
    labels = labels_for(some, spec.classes) if spec.classes else None
    if spec.classes and labels is None:
        labels = torch.full((len(some),), NO_CLASS)
    return dataset, dataclasses.replace(some, labels=labels, classes=spec.classes)
