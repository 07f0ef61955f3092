"""A trained model: sampling from it, the file that explains it, and how it is built."""

from ancestral.config.request import Label
from ancestral.model.autoencoders import (
    autoencoder_tensors,
    build_autoencoder,
    described_autoencoder,
    load_autoencoder,
    same_autoencoder,
)
from ancestral.model.building import CustomParts, NetSource, build, check_sampler, for_items, sampler_for, sampler_name
from ancestral.model.guided_model import Guidance
from ancestral.model.metadata import check_parts, describe, metadata_of, read_schedule
from ancestral.model.model import Model
from ancestral.model.model_file import check_written, describe_file, find, load

__all__ = [
    "CustomParts",
    "Guidance",
    "Label",
    "Model",
    "NetSource",
    "autoencoder_tensors",
    "build",
    "build_autoencoder",
    "check_parts",
    "check_sampler",
    "check_written",
    "describe",
    "describe_file",
    "described_autoencoder",
    "find",
    "for_items",
    "load",
    "load_autoencoder",
    "metadata_of",
    "read_schedule",
    "same_autoencoder",
    "sampler_for",
    "sampler_name",
]
