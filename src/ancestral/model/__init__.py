"""A trained model: sampling from it, the file that explains it, and how it is built."""

from ancestral.model.building import NetSource, OwnParts, build, check_sampler, for_items, sampler_for, sampler_name
from ancestral.model.metadata import check_parts, describe, metadata_of, read_schedule
from ancestral.model.model_file import FILE_NAME, describe_file, find, load
from ancestral.model.trained_model import Guidance, Label, Model

__all__ = [
    "FILE_NAME",
    "Guidance",
    "Label",
    "Model",
    "NetSource",
    "OwnParts",
    "build",
    "check_parts",
    "check_sampler",
    "describe",
    "describe_file",
    "find",
    "for_items",
    "load",
    "metadata_of",
    "read_schedule",
    "sampler_for",
    "sampler_name",
]
