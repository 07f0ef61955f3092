"""The autoencoder of a model of latents: built from a config, and as tensors in the model file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ancestral import nets
from ancestral.base import storage
from ancestral.base.device import memory_format
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import AUTOENCODER, LatentConfig
from ancestral.data.spec import DataSpec
from ancestral.model.metadata import describe
from ancestral.nets.autoencoder import Autoencoder
from ancestral.nets.unet import NOUNS
from ancestral.randomness import pytorch_generator

PREFIX = "autoencoder."
"""The beginning of the names of its weights in the file of a model of latents."""


def build_autoencoder(
    config: LatentConfig, spec: DataSpec, seed: int = 0, taken: Autoencoder | None = None
) -> Autoencoder:
    """Build the untrained autoencoder of a config for items of a data set.

    Args:
        config: The settings of the autoencoder.
        spec: The items.
        seed: The seed of its first weights.
        taken: The autoencoder whose weights it will get, if any.

    Raises:
        InputError: If the items are points, or smaller than the factor, or others than those of the one that is taken.
    """
    assert isinstance(config.latent, int)
    dims = len(spec.shape) - 1
    if not dims:
        raise InputError(f"points have no latents: leave {option('latent')} out")
    if min(spec.shape[1:]) < config.latent:
        sides = "x".join(map(str, spec.shape[1:]))
        raise InputError(
            f"{option('latent', config.latent)} is more than a side of items of {sides}: give a smaller one"
        )
    if taken is not None and (taken.channels, taken.dims) != (spec.shape[0], dims):
        raise InputError(
            f"the autoencoder of {option('latent')} is for {_kind(taken.channels, taken.dims)}, and the items are "
            f"{_kind(spec.shape[0], dims)}: train another"
        )
    with pytorch_generator(seed):
        autoencoder = Autoencoder(
            spec.shape[0], config.latent, config.channels, config.latent_width, dims, spec.periodic
        )
    return autoencoder.to(memory_format=memory_format(1 + len(spec.shape))).requires_grad_(False).eval()


def _kind(channels: int, dims: int) -> str:
    return f"{NOUNS[dims]} of {channels} channel{'s' * (channels > 1)}"


def autoencoder_tensors(spec: DataSpec) -> dict[str, Tensor]:
    """Return the weights of the autoencoder of a model by their names in its file; none of a model without one."""
    weights = {} if spec.autoencoder is None else spec.autoencoder.state_dict()
    return {f"{PREFIX}{name}": value.cpu() for name, value in weights.items()}


def same_autoencoder(one: Autoencoder | None, other: Autoencoder | None) -> bool:
    """Whether two autoencoders have the same weights, or both are None."""
    if one is None or other is None:
        return one is other
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name].cpu(), second[name].cpu()) for name in first)


def take_autoencoder(
    tensors: dict[str, Tensor], config: LatentConfig, spec: DataSpec, prefix: str = PREFIX
) -> Autoencoder | None:
    """Take the autoencoder out of the tensors of a model file.

    Args:
        tensors: The tensors by name, from which those of the autoencoder are removed.
        config: The settings of the autoencoder.
        spec: The items.
        prefix: The beginning of the names.

    Returns:
        The autoencoder; None of a model of the items themselves.

    Raises:
        InputError: If the weights do not fit.
    """
    if config.latent is None:
        return None
    names = [name for name in tensors if name.startswith(prefix)]
    weights = {name[len(prefix) :]: tensors.pop(name) for name in names}
    try:
        nets.check_weights(lambda: build_autoencoder(config, spec), weights)
    except InputError as error:
        raise InputError(f"the autoencoder: {error.text}") from None
    autoencoder = build_autoencoder(config, spec)
    autoencoder.load_state_dict(weights)
    return autoencoder


def described_autoencoder(path: Path, metadata: Mapping[str, str] | None = None) -> tuple[LatentConfig, DataSpec, str]:
    """Return the settings of the autoencoder in a file, its items, and the beginning of the names of its weights.

    Raises:
        InputError: If the file holds none.
    """
    metadata = storage.read_metadata(path) if metadata is None else metadata
    config, spec = describe(path, metadata)
    if config.latent.latent is None:
        raise InputError(
            f"{path} is a model of the items themselves, with no autoencoder to take: give a factor, "
            f"{option('latent', 4)}, or a run with one"
        )
    if config.preset == AUTOENCODER and config.train.steps != int(metadata["step"]):
        raise InputError(
            f"{path} is an autoencoder after {metadata['step']} of {config.train.steps} steps: train it to its end"
        )
    return config.latent, spec, "" if config.preset == AUTOENCODER else PREFIX


def load_autoencoder(path: Path) -> tuple[Autoencoder, DataSpec]:
    """Load the autoencoder of a model file, of a run of latents or of an autoencoder, and describe its items.

    Raises:
        InputError: If the file holds none, or is damaged.
    """
    tensors, metadata = storage.read_tensors(path)
    config, spec, prefix = described_autoencoder(path, metadata)
    try:
        autoencoder = take_autoencoder(tensors, config, spec, prefix)
    except InputError as error:
        raise InputError(f"{path}: {error.text}") from None
    assert autoencoder is not None
    return autoencoder, spec
