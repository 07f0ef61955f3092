"""A denoiser with what is needed to sample from it: a description of the data, and the config of its training."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ancestral import __version__, randomness
from ancestral.base.arguments import shown
from ancestral.base.device import check_memory, items_at_once, on_device
from ancestral.base.errors import InputError, whole
from ancestral.base.result import Table
from ancestral.config import FROM_PYTHON, PLAIN_LOOP, Config, CustomNetConfig, DataConfig
from ancestral.config.request import Label
from ancestral.covariance import Covariance
from ancestral.data.spec import DataSpec
from ancestral.diffusion import Diffusion
from ancestral.model.building import chosen_sampler
from ancestral.model.conversions import Conversions
from ancestral.model.data_covariance import analytic_variance_of, covariance_of_data, examples_of_data
from ancestral.model.guided_model import Guidance, guided
from ancestral.model.metadata import process_of
from ancestral.model.sample_conditioning import Conditioning, Route, class_names, label_tensor
from ancestral.nets import takes
from ancestral.randomness import Stream
from ancestral.reverse import AnalyticVariance
from ancestral.samplers import DDPM, Continuation, Sampler, Step
from ancestral.targets import Denoiser


class SamplingModel(Conversions):
    """A denoiser that can be sampled from.

    Args:
        denoiser: A `Diffusion`, or any other denoiser: an oracle, or a wrapper of one.
        spec: The shape of an item, its codec, and the names of the classes.
        config: The config that it was trained by; None for a denoiser that was made by hand. Its settings of the
            schedule, the target and the learned variance become those of the denoiser.
        step: The number of training steps.
        version: The version of this package that trained it.
        average: The length σ_rel of the power-function average that its weights are; None for those of training.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        spec: DataSpec,
        config: Config | None = None,
        step: int = 0,
        version: str = __version__,
        average: float | None = None,
    ) -> None:
        self.denoiser = denoiser.eval() if isinstance(denoiser, nn.Module) else denoiser
        self.spec, self.step, self.version, self.average = spec, step, version, average
        self.file: Path | None = None
        """The file that it was loaded from."""
        config = config or Config(PLAIN_LOOP, DataConfig(FROM_PYTHON), CustomNetConfig())
        self.config = dataclasses.replace(config, process=process_of(denoiser, config.process))

    @property
    def diffusion(self) -> Diffusion:
        """The denoiser as a `Diffusion`. Raises InputError if it is none, and so has no network."""
        if not isinstance(self.denoiser, Diffusion):
            raise InputError(f"a {type(self.denoiser).__name__} has no network; this needs a Diffusion")
        return self.denoiser

    def __repr__(self) -> str:
        classes = f", {len(self.spec.classes)} classes" if self.spec.classes else ""
        given = f", given {', '.join(self.spec.further)}" if self.spec.further else ""
        shape = "x".join(map(str, self.spec.shape))
        return f"Model({shape}{classes}{given}, {self.parameters:,} parameters, {self.step:,} training steps)"

    def _repr_html_(self) -> str:
        process = self.config.process
        rows = {
            "items": f"{self.spec.codec.kind} {'x'.join(map(str, self.spec.shape))}",
            **({} if self.spec.autoencoder is None else {"latents": "x".join(map(str, self.spec.x_shape))}),
            "classes": ", ".join(self.spec.classes) or "none",
            **{f"given {name}": str(kind) for name, kind in self.spec.further.items()},
            "network": f"{self.parameters:,} parameters; {self.config.net}",
            "process": f"{process.schedule} schedule, T = {process.timesteps:,}, target {process.target}",
            "trained": f"{self.step:,} steps",
            "sampler": self.config.sample.sampler,
        }
        return Table((), tuple(rows.items()))._repr_html_()

    @cached_property
    def covariance(self) -> Covariance | None:
        """The covariance of the items that the model was trained on, encoded; None where they cannot be read."""
        return covariance_of_data(self.config.data, self.spec)

    @cached_property
    def examples(self) -> Tensor | None:
        """Some items that the model was trained on, float32 in [-1, 1]; None where they cannot be read."""
        return examples_of_data(self.config.data, self.spec)

    @cached_property
    def analytic_variance(self) -> AnalyticVariance:
        """The analytic variance of reverse steps, measured on items that the model was trained on.

        Raises InputError where they cannot be read.
        """
        return analytic_variance_of(self.denoiser, self.config.data, self.spec, self.device)

    def _parameters(self) -> list[Tensor]:
        return list(self.denoiser.parameters()) if isinstance(self.denoiser, nn.Module) else []

    @property
    def parameters(self) -> int:
        """The number of parameters of the network."""
        return sum(parameter.numel() for parameter in self._parameters())

    @property
    def device(self) -> torch.device:
        """The device of the denoiser: of its weights, or of what it wraps."""
        of_weights = next((parameter.device for parameter in self._parameters()), torch.device("cpu"))
        return getattr(self.denoiser, "device", of_weights)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next(iter(self._parameters()), torch.empty(0)).dtype

    def to(self, *args: Any, **options: Any) -> Self:
        """Move the network to a device, or convert its weights to a dtype, in place.

        Sampling is in float64 for weights in float64, else in float32: weights in half precision are those of the
        network's arithmetic alone.

        Args:
            args: A device, a dtype, or both.
            options: The other arguments of `torch.nn.Module.to`.

        Returns:
            The model itself.

        Raises:
            InputError: If the denoiser has no network.
        """
        self.diffusion.to(*args, **options)
        return self

    def items(self, n: int, indices: Sequence[int] | None) -> Sequence[int]:
        """Return the indices of the items to sample: `indices`, or without them 0..n−1.

        Raises:
            InputError: Unless there is at least one, and the samples fit into memory.
        """
        count = len(indices) if indices else n
        whole(count, 1, 2**63 - 1, f"the number of samples must be at least 1 and below 2^63, not {shown(count)}")
        if indices is not None and not (indices and 0 <= min(indices) <= max(indices) < 2**63):
            raise InputError("indices must name at least one item of the seed, from 0 to 2^63 - 1")
        check_memory(count, self.spec.shape, self.spec.codec.dtype)
        return range(n) if indices is None else indices

    def batch(self, size: int | None) -> int:
        """Return the number of items in a batch: `size`, or what memory suffices for on most machines.

        Raises:
            InputError: If it is less than 1.
        """
        number = items_at_once(self.spec.x_shape, size)
        return whole(number, 1, math.inf, f"the batch size must be at least 1, not {number}")

    def decoded(self, x: Tensor) -> Tensor:
        """Return states in the units of the data, on the CPU."""
        return self.spec.decode(x).cpu()

    def sampler(self, sampler: str | Sampler | None = None, **options: object) -> Sampler:
        """Choose a sampler: by name, with these options; None is the config's; an object is returned as it is.

        By their names all samplers clip x̂_0, as their default; objects have the `clip` that they were made with.

        Raises:
            InputError: If the model cannot be sampled with it, or options are given for an object.
        """
        default = self.config.sample.sampler
        return chosen_sampler(self.denoiser, default if sampler is None else sampler, **options)

    def trajectory(
        self,
        indices: Sequence[int],
        sampler: Sampler,
        seed: int = 0,
        label: Label = None,
        guidance: float | Guidance = 1.0,
        condition: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Sample the items `indices` of a seed in one batch, step by step; `spec.decode` decodes the states.

        Args:
            indices: The indices of the items.
            sampler: The sampler.
            seed: The seed of all noise.
            label: The labels.
            guidance: How estimates are guided, or the scale.
            condition: Rows of what a network gets by the names of its arguments, one for each item: what else a network
                of one's own takes, or conditions as `given.inputs` makes them.

        Raises:
            InputError: If the samples are no finite numbers.
        """
        guidance = guidance if isinstance(guidance, Guidance) else Guidance(guidance)
        return self.states(indices, sampler, seed, Conditioning(label, guidance=guidance, rows=condition or {}))

    def states(
        self,
        indices: Sequence[int],
        sampler: Sampler,
        seed: int,
        conditioning: Conditioning,
        route: Route = Route(),  # noqa: B008  # frozen
    ) -> Iterator[Step]:
        """Sample items as `trajectory`, with all that they can be conditioned on, along any route.

        Args:
            indices: The indices of the items.
            sampler: The sampler.
            seed: The seed of all noise.
            conditioning: What they are conditioned on.
            route: The states that are visited; by default those of the sampler, from noise of the prior.
        """
        if isinstance(sampler, DDPM) and sampler.variance == "analytic":
            sampler = dataclasses.replace(sampler, variance=self.analytic_variance)
        first = self.continuation(indices, seed, conditioning)
        denoiser = first.denoiser if conditioning.wrap is None else conditioning.wrap(first.denoiser)
        x_T = self.x_T(indices, seed, conditioning, self.device) if route.start is None else route.start
        x_T = on_device(x_T.to(torch.promote_types(self.dtype, torch.float32)), self.device)
        options: dict[str, Any] = {"seed": seed, "indices": indices, "continuations": route.continuations}
        for step in sampler.trajectory(denoiser, x_T, route.times, **options, **first.condition):
            if step.t == 0 and not bool(step.x.isfinite().all()):
                raise InputError(f"the samples are no finite numbers: the network diverged, or {sampler} cannot do it")
            yield step

    def x_T(
        self, indices: Sequence[int], seed: int, conditioning: Conditioning, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Draw the noise at which the trajectories of some items begin, float32 (len(indices), *x_shape)."""
        return conditioning.prior(self.denoiser.schedule, self.spec.x_shape, seed, indices, device)

    def continuation(self, indices: Sequence[int], seed: int, conditioning: Conditioning) -> Continuation:
        """Return the guided denoiser, what it is conditioned on, and the seed of the noise of some items."""
        inputs = conditioning.inputs(self.spec, indices, self.device)
        if self._draws_noise and "keys" not in inputs:
            keys = randomness.keys(seed, Stream.KEYS, 0, indices)
            inputs["keys"] = on_device(keys, self.device)
        denoiser = self.guided(conditioning.guidance, conditioning.names(self.spec), indices)
        return Continuation(denoiser, inputs, seed)

    def guided(self, guidance: Guidance, names: Iterable[str], indices: Sequence[int] = (0,)) -> Denoiser:
        """Return the denoiser with guidance, for the samples `indices`, which are conditioned on these names.

        Raises:
            InputError: If a scale is not finite, there is no condition to strengthen and no weaker model, or a value to
                avoid has no effect.
        """
        return guided(self, guidance, names, indices)

    @property
    def _draws_noise(self) -> bool:
        """Whether the network is one of the user's that takes keys of noise."""
        custom = isinstance(self.config.net, CustomNetConfig) and isinstance(self.denoiser, Diffusion)
        return custom and takes(self.diffusion.net, "keys")

    def labels(self, indices: Sequence[int], label: Label) -> Tensor | None:
        """Return the labels (len(indices),) of these items, or None for a model without classes."""
        labels = label_tensor(self.spec, indices, label)
        return None if labels is None else on_device(labels, self.device)

    def class_names(self, indices: Sequence[int], label: Label = None) -> list[str] | None:
        """Return the names of the classes of these items, as `labels` does their numbers."""
        return class_names(self.spec, indices, label)
