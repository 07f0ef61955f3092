"""A trained model: sampling from it, the file that explains it, and the Hugging Face Hub."""

from ancestral.model.building import NetSource, OwnParts, build, sampler_for
from ancestral.model.model_file import FILE_NAME, describe, find, load, metadata_of, save
from ancestral.model.trained_model import Model

__all__ = [
    "FILE_NAME",
    "Model",
    "NetSource",
    "OwnParts",
    "build",
    "describe",
    "find",
    "load",
    "metadata_of",
    "sampler_for",
    "save",
]
