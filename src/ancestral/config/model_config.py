"""Settings of what a model is: its network, a class for each kind, its latent space and its process."""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from ancestral.base import registries
from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.fields import argument, hidden
from ancestral.base.options import option
from ancestral.base.registries import TargetName

MOST_FEATURES, MOST_BLOCKS, MOST_PATCH, MOST_LEVELS = 65_536, 256, 1024, 16
"""Largest features of a layer, blocks, side of a patch, and levels of a network. A file that asks for more is damaged,
and would keep whoever opens it busy for hours."""


@checked_class
@dataclass(frozen=True)
class UNetConfig:
    """The U-Net of the DDPM paper, for images, signals and volumes."""

    kind: Literal["unet"] = hidden("unet")
    width: int | None = argument(128, least=4, most=MOST_FEATURES)
    """Channels of the first level; default: chosen by the size of the images."""
    mults: tuple[int, ...] | None = argument((1, 2, 2, 2), title="Width factors")
    """Width of each level, as a multiple of the first; every level but the last halves the resolution. Default: chosen
    by the size of the images."""
    blocks: int | None = argument(2, least=1, most=MOST_BLOCKS)
    """Number of residual blocks of each level; default: chosen by the size of the images."""
    attention: tuple[int, ...] | None = (16,)
    """Resolutions (after the patch) with self-attention; without a number there is none. Default: chosen by the size of
    the images."""
    dropout: float = argument(0.1, least=0, below=1)
    """Probability that a feature is dropped in each block during training."""
    patch: int | None = argument(1, title="Patch size", least=1, most=MOST_PATCH)
    """Side of the pixel blocks that are folded into channels first: 2 is about four times as fast on small images.
    Default: chosen by the size of the images."""
    groups: int | None = argument(None, title="Norm groups", least=1, most=MOST_FEATURES)
    """Number of groups of every group norm; default: 32, and fewer in narrow layers. Export to diffusers needs one
    number for all layers."""
    narrow: bool | None = argument(False, title="Narrow levels")
    """Change the width by the convolutions that change the resolution, so that no level holds the wide features of the
    level below it, and have one skip connection for each block: a training step takes about 0.6 of the time on a CPU.
    Off in the DDPM paper; default: chosen by the size of the images."""

    def __str__(self) -> str:
        if None in (self.width, self.mults, self.blocks, self.attention, self.patch):
            return "U-Net, chosen by the size of the images"
        mults = "·".join(map(str, self.mults or ()))
        blocks = f"{self.blocks} block{'s' * (self.blocks != 1)} a level, patch {self.patch}, dropout {self.dropout:g}"
        return f"U-Net, width {self.width} x {mults}, {blocks}"

    def check(self) -> None:
        """Raise InputError for settings that no U-Net can have."""
        widths = [] if self.width is None else [self.width * mult for mult in (1, *(self.mults or ()))]
        if widths and widths[0] % 2:
            raise InputError(f"{option('width', widths[0])} must be even")
        if self.mults is not None and not (
            1 <= len(self.mults) <= MOST_LEVELS and min(self.mults) >= 1 and max(widths) <= MOST_FEATURES
        ):
            raise InputError(
                f"{option('mults')} must be one or more numbers from 1, at most {MOST_LEVELS}, with at most "
                f"{MOST_FEATURES:,} channels in each level"
            )
        if self.blocks is not None and self.mults is not None and self.blocks * len(self.mults) > MOST_BLOCKS:
            raise InputError(f"{option('blocks', self.blocks)} of {len(self.mults)} levels: give at most {MOST_BLOCKS}")
        if self.groups is not None and any(channels % self.groups for channels in widths):
            raise InputError(
                f"{option('groups', self.groups)} must divide {option('width')}, and with it the channels of every "
                "level"
            )


@checked_class
@dataclass(frozen=True)
class TransformerConfig:
    """A transformer on patches of pixels, for images, signals and volumes; it should predict x0."""

    kind: Literal["transformer"] = hidden("transformer")
    width: int = argument(192, least=4, most=MOST_FEATURES)
    """Number of features of a patch."""
    depth: int = argument(6, least=1, most=MOST_BLOCKS)
    """Number of blocks."""
    heads: int = argument(4, least=1, most=MOST_FEATURES)
    """Number of attention heads; twice this number divides the width."""
    patch: int | None = argument(None, title="Patch size", least=1, most=MOST_PATCH)
    """Side of the patches: a side twice as long is about four times as fast, and leaves less detail to attention.
    Default: chosen by the size of the images."""
    bottleneck: int | None = argument(None, least=1, most=MOST_FEATURES)
    """Number of features between the pixels of a patch and its first layer; default: none, one layer."""
    dropout: float = argument(0.0, least=0, below=1)
    """Probability that a feature is dropped in each block during training."""

    def __str__(self) -> str:
        size = f"width {self.width}, {self.depth} block{'s' * (self.depth > 1)} of {self.heads} head"
        patch = "patch chosen by size" if self.patch is None else f"patch {self.patch}"
        return f"transformer, {size}{'s' * (self.heads > 1)}, {patch}, dropout {self.dropout:g}"

    def check(self) -> None:
        """Raise InputError for settings that no transformer can have."""
        if self.width % (2 * self.heads):
            raise InputError(
                f"{option('width', self.width)} must be a multiple of twice {option('heads', self.heads)}: each head "
                "has an even number of features"
            )


@checked_class
@dataclass(frozen=True)
class MLPConfig:
    """A residual MLP, for points."""

    kind: Literal["mlp"] = hidden("mlp")
    width: int = argument(128, least=4, most=MOST_FEATURES)
    """Number of features of the hidden layers."""
    blocks: int = argument(3, least=1, most=MOST_BLOCKS)
    """Number of residual blocks."""

    def __str__(self) -> str:
        return f"MLP, width {self.width}, {self.blocks} block{'s' * (self.blocks > 1)}"

    def check(self) -> None:
        """Raise InputError for settings that no MLP can have."""
        if self.width % 2:
            raise InputError(f"{option('width', self.width)} must be even")


@checked_class
@dataclass(frozen=True)
class CustomNetConfig:
    """A custom network: any function that can be imported and returns one."""

    kind: Literal["custom"] = hidden("custom")
    function: str = hidden("")
    """package.module:function, called with the shape of an item and the number of classes; "" for a network that was
    given from Python and is needed again to load the model."""

    def __str__(self) -> str:
        return f"a network of its own, {self.function or 'given from Python'}"

    def check(self) -> None:
        """Raise InputError for a name that is none."""
        if self.function and not all(self.function.partition(":")):
            raise InputError(
                f"{option('net', self.function)}: give {registries.NETWORKS.names}, or a function as "
                "package.module:function"
            )


NetConfig = UNetConfig | TransformerConfig | MLPConfig | CustomNetConfig
NET_KINDS: dict[str, type[NetConfig]] = {kind.kind: kind for kind in typing.get_args(NetConfig)}


LATENT_FACTORS = (2, 4, 8, 16)
"""Factors by which the sides of latents may be smaller than those of items."""
AUTOENCODER = "autoencoder"
"""The preset of the runs that train the autoencoders of other runs."""


@checked_class
@dataclass(frozen=True)
class LatentConfig:
    """The latent space in which the model is trained, of a small autoencoder of its own."""

    latent: int | str | None = argument(None, title="Latent space", metavar="FACTOR|RUN", names="run")
    """Train an autoencoder first, whose latents have sides shorter than the items by this factor (2, 4, 8 or 16), and
    then the model on its latents; or use the autoencoder of a run folder or model file. This suits images of 128 pixels
    and more. Default: the model is trained on the items themselves."""
    latent_channels: int | None = argument(None, least=1, most=64)
    """Number of channels of the latents. More channels lose less of the items, but are harder to sample. Default: the
    factor."""
    latent_width: int = argument(64, title="Autoencoder width", least=8, most=MOST_FEATURES)
    """Number of channels of the autoencoder at the resolution of the latents; finer resolutions have fewer."""
    latent_steps: int = argument(2000, title="Autoencoder steps", least=1, below=2**63)
    """Number of optimiser steps of the autoencoder."""

    @property
    def channels(self) -> int:
        """The number of channels of the latents."""
        return self.latent_channels or int(self.latent or 0)

    def __str__(self) -> str:
        return f"latents with {self.channels} channels and sides {self.latent} times shorter"

    def check(self) -> None:
        """Raise InputError for a factor that no autoencoder has, and for settings of no autoencoder."""
        if self.latent is None and self != LatentConfig():
            usual = dataclasses.asdict(LatentConfig())
            name, value = next(item for item in dataclasses.asdict(self).items() if item[1] != usual[item[0]])
            raise InputError(
                f"{option(name, value)} is for an autoencoder: give {option('latent', 4)} too, or leave it out"
            )
        if self.latent is not None and self.latent not in LATENT_FACTORS:
            factors = ", ".join(map(str, LATENT_FACTORS[:-1]))
            raise InputError(
                f"{option('latent', self.latent)} is no factor of an autoencoder: give {factors} or "
                f"{LATENT_FACTORS[-1]}, or the run folder or model file whose autoencoder is taken"
            )


@checked_class
@dataclass(frozen=True)
class ProcessConfig:
    """The forward process and what the network predicts."""

    schedule: str = argument("linear", title="Noise schedule", names="words", choices=(*registries.SCHEDULES, "custom"))
    """Noise schedule, a name or a name with options, as in karras:rho=5. {SCHEDULES}; custom is one that was given from
    Python."""
    timesteps: int = argument(1000, title="Time steps T")
    """T, the number of noise levels."""
    target: TargetName = "eps"
    """Target, which the network predicts: {TARGETS}; custom is a target that was given from Python."""
    sigma_min: float | None = argument(None, title="Lowest noise")
    """Smallest noise level of geometric and karras; default: 0.01 and 0.002."""
    sigma_max: float | None = argument(None, title="Highest noise")
    """Largest noise level of geometric and karras; default: 50 and 80."""
    zero_terminal_snr: bool = argument(False, title="Pure noise at T")
    """Shift linear, cosine or sigmoid so that the last level holds no signal; not for eps and score."""
    learned_variance: bool = False
    """Also learn the variance of the reverse steps, by the variational bound (Improved DDPM's hybrid loss)."""
    clip: bool = argument(False, title="Clip estimates")
    """Clip the predicted clean image to [-1, 1] in the loss, as samplers do; for images with saturated pixels."""

    @property
    def schedule_name(self) -> str:
        """The name of the schedule, without its options."""
        return self.schedule.partition(":")[0]

    def schedule_spec(self) -> dict[str, Any]:
        """Describe the schedule as `schedules.from_spec` takes it.

        Raises:
            InputError: If there are settings of another schedule, or the schedule was given from Python.
        """
        if self.schedule == "custom":
            raise InputError("a custom schedule is given from Python: train(..., schedule=...)")
        entry, options = registries.SCHEDULES.read(self.schedule)
        sigmas = {name: getattr(self, name) for name in ("sigma_min", "sigma_max") if getattr(self, name) is not None}
        if sigmas and entry.name not in ("geometric", "karras"):
            raise InputError(f"{option(next(iter(sigmas)))} is for the schedules geometric and karras")
        if twice := options.keys() & {"steps", *sigmas}:
            raise InputError(f"{min(twice)} of the schedule is a setting of its own: leave it out of {self.schedule}")
        spec = {"name": entry.name, "steps": self.timesteps, **options, **sigmas}
        return {"name": "zero_terminal", "of": spec} if self.zero_terminal_snr else spec
