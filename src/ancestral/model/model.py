"""A trained model: its ways to sample, to edit and to save it."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ancestral import __version__
from ancestral.base import storage
from ancestral.base.arguments import shown
from ancestral.base.device import check_memory, items_at_once, on_device
from ancestral.base.errors import InputError, whole
from ancestral.base.events import finish, warn
from ancestral.base.registries import SAMPLERS, MaskPart
from ancestral.base.result import Table
from ancestral.config import FROM_PYTHON, PLAIN_LOOP, Config, CustomNetConfig, DataConfig
from ancestral.config.request import EditRequest, Label, Request
from ancestral.config.sweep_values import SweptAxes
from ancestral.covariance import Covariance
from ancestral.data.convert import is_picture, to_uint8
from ancestral.data.decoding import from_pixels
from ancestral.data.field_files import to_xarray
from ancestral.data.spec import DataSpec
from ancestral.diffusion import Diffusion
from ancestral.model import editing
from ancestral.model.autoencoders import autoencoder_tensors
from ancestral.model.building import chosen_sampler
from ancestral.model.condition_values import captions
from ancestral.model.data_covariance import analytic_variance_of, covariance_of_data, examples_of_data
from ancestral.model.enlarged import of_sides
from ancestral.model.guided_model import Guidance, check_guidance
from ancestral.model.image_grid import ImageGrid
from ancestral.model.metadata import metadata_of, process_config
from ancestral.model.process import Process, made
from ancestral.model.processes import Rows, beyond_data, process_of
from ancestral.model.requested import check_are_models, check_model, check_scale
from ancestral.model.sample_conditioning import Conditioning, class_names, label_tensor, read_conditioning, states
from ancestral.model.sweeps import Swept, sweep_of
from ancestral.operators import Operator
from ancestral.reverse import AnalyticVariance
from ancestral.samplers import Sampler, Step
from ancestral.targets import Denoiser


class Model:
    """A denoiser that can be sampled from, and that edits items of the kind that it knows.

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
        self.name = "the model"
        """What messages call it: where it was loaded from."""
        config = config or Config(PLAIN_LOOP, DataConfig(FROM_PYTHON), CustomNetConfig())
        self.config = dataclasses.replace(config, process=process_config(denoiser, config.process))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its file; "" if it is in none."""
        return storage.sha256(self.file) if self.file is not None and self.file.is_file() else ""

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

    def sampler(self, sampler: str | Sampler | None = None, **options: object) -> Sampler:
        """Choose a sampler: by name, with these options; None is the config's; an object is returned as it is.

        By their names all samplers clip x̂_0 of data that have bounds, as their default; objects have the `clip` that
        they were made with.

        Raises:
            InputError: If the model cannot be sampled with it, or options are given for an object.
        """
        default = self.config.sample.sampler
        chosen = default if sampler is None else sampler
        made = chosen_sampler(self.denoiser, chosen, **options)
        if self.spec.codec.bounded or not isinstance(chosen, str) or "clip" in SAMPLERS.read(chosen)[1]:
            return made
        return dataclasses.replace(made, clip=None)  # type: ignore[type-var]  # all samplers are dataclasses

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
            condition: Arguments of the network by name, a row for each item: further ones of a custom network, or
                conditions as `given.inputs` makes them.

        Raises:
            InputError: If it cannot be guided so, or the samples are no finite numbers.
        """
        guidance = guidance if isinstance(guidance, Guidance) else Guidance(guidance)
        conditioning = Conditioning(label, guidance=guidance, rows=condition or {})
        check_guidance(self, guidance, conditioning.names(self.spec))
        return states(self, indices, sampler, seed, conditioning)

    def labels(self, indices: Sequence[int], label: Label) -> Tensor | None:
        """Return the labels (len(indices),) of these items, or None for a model without classes."""
        labels = label_tensor(self.spec, indices, label)
        return None if labels is None else on_device(labels, self.device)

    def class_names(self, indices: Sequence[int], label: Label = None) -> list[str] | None:
        """Return the names of the classes of these items, as `labels` does their numbers."""
        return class_names(self.spec, indices, label)

    def process(self, request: Request, condition: Mapping[str, Tensor] | Rows | None = None) -> Process:
        """Return the process of a request: conditions are read, and all is checked, before it runs.

            process = model.process(Request.of(n=4, label="7"))
            process.count, process.times, process.notes, process.recipe
            *_, last = process.steps(range(4))
            process.decode(last.x)  # the samples

        Args:
            request: The request of samples or of an edit; the cells of a sweep have one each.
            condition: As of `make`, or a function that returns the rows of samples at some places.

        Raises:
            InputError: If the model cannot do this, the request is one of another model, or an image that it names is
                not given again.
        """
        process = process_of(self, request, condition)
        check_scale(request)
        return process

    def make(
        self,
        request: Request,
        batch_size: int | None = None,
        condition: Mapping[str, Tensor] | None = None,
        decode: bool = True,
    ) -> Tensor:
        """Make the samples of a request: of settings, or of a picture that holds its recipe.

            model.make(Request.of(n=64, seed=1, label="7"))
            model.make(Request.read("seven.png").replace(seed=1))

        Args:
            request: The request.
            batch_size: The number of items in a batch; None is 64, and fewer of large items. It changes memory and
                time, not the items.
            condition: Further arguments of a custom network, by name: tensors with one row for all items,
                or one for each. They are moved to the model's device.
            decode: Whether to convert the items to the units of the data; False returns them as the network knows them.

        Returns:
            Items on the CPU, (n, C, *sides), or (n, 2) of points, in the units of the data: uint8 in 0..255, uint16 in
            0..65535, or float32. Without `decode` they are float32 and about in [−1, 1], exactly so if the sampler
            clips. Of edits `editing.Edited`, and of a sweep `Swept`, as of `sweep`.

        Raises:
            InputError: If the model cannot do this, the request is one of another model, or an image that it names is
                not given again.
        """
        if not isinstance(request, Request):
            raise InputError(f"a request cannot be {shown(request)}: Request.read(file) reads that of a picture")
        if request.sweep is None:
            return self._made(self.process(request, condition), batch_size, decode)
        if request.model:
            check_model(request, self.digest)
        check_scale(request)
        check_are_models(request.objects.then)
        models = [self, *request.objects.then]
        sweep = sweep_of(request, models)
        processes = [process_of(self, cell, condition) for row in sweep.cells for cell in row]
        limits = models[-1].spec.limits if decode else None
        return Swept.of(sweep, [self._made(process, batch_size, decode) for process in processes], limits)

    def _made(self, process: Process, batch_size: int | None, decode: bool) -> Tensor:
        """Make the samples of a process; of an edit they say how."""
        for note in dict.fromkeys(process.warnings):
            warn(note)
        samples = finish(made(process, batch_size, decoded=decode)).samples
        if not process.method:
            return samples
        whole_items = samples if decode else (process.finish or process.decode)(samples)
        return editing.Edited.of(process, samples, whole_items)

    def sample(
        self,
        n: int | None = None,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        seed: int = 0,
        *,
        batch_size: int | None = None,
        condition: Mapping[str, Tensor] | None = None,
        decode: bool = True,
        as_: Literal["tensor", "xarray"] = "tensor",
        **options: Any,
    ) -> Any:
        """Sample items of a seed: `make` of `Request.of` these settings.

        Args:
            n: The number of items, as of `Request.of`.
            sampler: The sampler, as of `Request.of`.
            steps: The number of sampling steps, as of `Request.of`.
            seed: The seed, as of `Request.of`.
            batch_size: The number of items in a batch, as of `make`.
            condition: Further arguments of a custom network, as of `make`.
            decode: Whether to convert the items to the units of the data.
            as_: "tensor"; or "xarray", an xarray.Dataset with the names, units and coordinates of the data.
            options: The further settings of `Request.of`.

        Returns:
            Items on the CPU, as of `make`.

        Raises:
            InputError: If the model cannot do this.
        """
        request = Request.of(n, sampler, steps, seed, **options)
        if as_ == "tensor":
            return self.make(request, batch_size, condition, decode)
        if as_ != "xarray" or not decode:
            raise InputError(f"samples cannot be {shown(as_)} as the network knows them: as_ is tensor or xarray")
        process = self.process(request, condition)
        given = {name: value.array(process.items) for name, value in process.values.items()}
        made, recipe = self._made(process, batch_size, True), process.recipe.to_json()
        return to_xarray(made, self.spec, recipe, given, process.start)

    def sweep(
        self,
        axes: SweptAxes,
        n: int | None = None,
        *,
        batch_size: int | None = None,
        condition: Mapping[str, Tensor] | None = None,
        decode: bool = True,
        **options: Any,
    ) -> Swept:
        """Sample a table of one seed, in which settings and conditions have one value in each cell.

            table = model.sweep({"guidance": "1:5:5", "label": ["cat", "dog"]}, seed=3)
            table[0, 2]  # the samples of a cat at guidance 3
            table.requests[0][2]  # their request

        Args:
            axes: One or two settings or conditions by name, with their values: the first has a column for each value,
                the second a row. A name is that of a condition, of one number of it ("pose.yaw"), or one of seed,
                index, sampler, steps, eta, variance, guidance, guidance_rescale and guidance.CONDITION. Values are a
                sequence, or a text: "FIRST:LAST:COUNT" of evenly spaced numbers, or "A,B,C".
            n: The number of samples of each cell; None is 1, or that of the values of a condition in `given`.
            batch_size: The number of items in a batch, as of `make`.
            condition: Further arguments of a custom network, as of `make`.
            decode: Whether to convert the items to the units of the data.
            options: The further settings of `Request.of`, which all cells have.

        Returns:
            The samples (rows, columns, n, C, *sides), with the values of the `axes` and the `requests` of the cells:
            each has the samples of its request, to the bit. All cells have the same noise, unless the seed or the index
            is swept.

        Raises:
            InputError: If the model cannot do this.
        """
        request = Request.of(n, **options).replace(sweep=axes)
        table = self.make(request, batch_size, condition, decode)
        assert isinstance(table, Swept)
        return table

    def images(self, n: int | None = None, **options: Any) -> ImageGrid:
        """Sample images for Pillow.

        Args:
            n: The number of images, as of `sample`.
            options: The other options of `sample`.

        Returns:
            A list, which notebooks draw as a grid, with what the images are conditioned on beside them. Images have 8
            bits, to which other numbers are scaled: L (grey), RGB, or LA and RGBA of a model that was trained on
            transparent images: integers of 2 or 4 channels.

        Raises:
            InputError: If the items are no such images, or as `sample` does.
        """
        spec = self.spec
        if not is_picture(spec.shape, spec.codec.dtype):
            raise InputError(f"items of shape {spec.shape} are no grey, RGB or RGBA images; use sample()")
        samples = self.sample(n, **options)
        given = read_conditioning(of_sides(spec, samples.shape[2:]), options.get("label"), options.get("given"))
        indices = options.get("indices") or range(len(samples))
        texts = captions(given.values, indices, self.class_names(indices, given.label) if spec.further else None)
        shown = [value.pictures() for value in given.values.values()]
        beside = [[pictures[index % len(pictures)] for index in indices] for pictures in shown if pictures]
        return ImageGrid(map(from_pixels, to_uint8(samples, spec.codec.channel_limits)), beside, texts)

    def restore(
        self,
        y: Any,
        operator: Operator | str | None = None,
        noise: float = 0.0,
        n: int | None = None,
        method: str | editing.CustomMethod = "auto",
        covariance: Covariance | None = None,
        iterations: int | None = None,
        **options: Any,
    ) -> editing.Edited:
        """Sample items that fit a measurement y = A x_0 + σ n.

        Args:
            y: What A makes of an item, or of several; sample i fits measurement i modulo their number. Floats are those
                of items in [-1, 1]; integers, Pillow images and files are in the units of the data.
            operator: A: an operator, or a text as of `given` in training, such as "upscale:4+noise:0.05"; None is the
                identity, of items that have noise alone. One that is not linear is for "dps", which "auto" then takes,
                and for a custom method; y is then floats, as it makes them of items in [-1, 1].
            noise: σ, the standard deviation of the noise of y, in units of [-1, 1]. At 0 the samples agree with y
                exactly, unless the inverse of A would enlarge the rounding of y, or y is not what A makes of the data:
                then the noise of the rounding is taken, or the least that explains y.
            n: The number of samples; None is 4 for each measurement.
            method: A name of `registries.RESTORATIONS`. "auto" takes a condition that the model was trained with, if
                one says the measurement, else the method that was best in the study of methods. A custom method is a
                function of (denoiser, y, operator, noise) that returns a denoiser whose samples fit y.
            covariance: The covariance of the data, for "jfps" and "pigdm"; None computes it of the items that
                the model was trained on.
            iterations: The number of iterations of "pigdm", "mmps" and "jfps"; None is the default of each.
            options: The settings of `Request.of`: sampler, steps, seed, indices, label, given, guidance and its further
                options; batch_size and decode, as of `make`; `window`, the part of a larger image that is edited, (x,
                y, width, height) in pixels, outside of which it stays as it is; and `soften`, the number of pixels
                inside the edge of the window over which the samples pass into the image.

        Returns:
            The samples, as of `sample`, with the `method`, the `reason` why it was taken, and `deviation`, the map of
            their standard deviation.

        Raises:
            InputError: If the model cannot do this.
        """
        options |= {"method": method, "covariance": covariance, "iterations": iterations}
        return self._fitted(EditRequest("restore", noise=noise), {"image": y, "operator": operator}, n, options)

    def inpaint(
        self,
        image: Any,
        mask: Any = None,
        n: int | None = None,
        noise: float = 0.0,
        changes: MaskPart | None = None,
        soften: float = 0.0,
        **options: Any,
    ) -> editing.Edited:
        """Sample a part of an image anew.

        Args:
            image: The image, in any form of `y` of `restore`.
            mask: The part that changes: a path, a Pillow image, an array or a tensor, white or True where the image
                changes; or what is painted on a transparent ground; or a copy of the image with holes. None is what is
                transparent in the image, a picture.
            n: The number of samples; None is 4.
            noise: The standard deviation of the noise of the image, in units of [-1, 1].
            changes: The part of the mask that changes, if it is another: "white", "black", "painted" or "transparent".
                With "grey" each pixel changes by its lightness, or by its opacity in a mask with transparent pixels.
            soften: The number of pixels of the image over which the samples pass into it, inside the edge of the mask.
            options: The further options of `restore`. The `window` is around the mask unless it is given. In place of a
                mask, `extend` adds pixels on each side, (left, top, right, bottom), which windows in the size of the
                model's items fill one after another.

        Returns:
            The samples; what the mask does not change is the image itself. More as of `restore`.

        Raises:
            InputError: If the model cannot do this.
        """
        settings = EditRequest("inpaint", noise=noise, soften=soften or None)
        return self._fitted(settings, {"image": image, "mask": mask, "changes": changes}, n, options)

    def vary(self, image: Any, strength: float = 0.5, n: int | None = None, **options: Any) -> editing.Edited:
        """Sample variations of an image: noise is added, and sampling goes on from there.

        Args:
            image: The image, in any form of `y` of `restore`.
            strength: The share of the schedule's times that noise is added for, above 0 and at most 1. Small ones
                change details, and at 1 nothing is left of the image.
            n: The number of samples; None is 4.
            options: The settings of `Request.of`, and window and soften, as of `restore`.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.

        References:
            Meng et al., *SDEdit: guided image synthesis and editing with stochastic differential equations* (2022).
        """
        return self._edited(EditRequest("vary", strength=strength), {"image": image}, n, options)

    def interpolate(
        self, a: Any = None, b: Any = None, n: int = editing.WALK, t: float | None = None, **options: Any
    ) -> editing.Edited:
        """Sample a walk between two images, between two values of conditions, or both.

        Args:
            a: The image at one end, in any form of `y` of `restore`. Without images all samples begin at one noise.
            b: The image at the other end.
            n: The number of samples, the ends included, which are the images themselves.
            t: The time at which images with noise are interpolated; None interpolates spherically between the noise
                that each is sampled from along the probability flow.
            options: The settings of `Request.of`. Labels and values of `given` may be two, one for each end:
                numbers are interpolated, and between classes and between images the estimates are.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.

        References:
            Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), section 5.3.
            Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), figures 8 and 9: with t.
        """
        return self._edited(EditRequest("interpolate", t=t), {"image": a, "other": b}, n, options)

    def invert(self, image: Any, steps: int = editing.FLOW_STEPS, **options: Any) -> Tensor:
        """Find the noise x_T that images are sampled from along the probability flow.

        Args:
            image: The image, or several, in any form of `y` of `restore`.
            steps: The number of steps of Heun's method.
            options: The settings of `Request.of`; a sampler has to be deterministic.

        Returns:
            x_T, float32 (m, C, *sides), of which `reconstruct` with the same options makes the images.

        Raises:
            InputError: If the model cannot do this.
        """
        request = Request.of(steps=steps, **options)
        for note in (*editing.conditioning_of(self, request).notes(), *beyond_data(self.spec, image)):
            warn(note)
        return editing.inversion(self, request, image)

    def reconstruct(self, x_T: Tensor, steps: int = editing.FLOW_STEPS, **options: Any) -> editing.Edited:
        """Sample items from given noise along the probability flow: the inverse of `invert`, with its options.

        Args:
            x_T: The noise, floats (m, C, *sides).
            steps: The number of steps of Heun's method.
            options: The settings of `Request.of`.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.
        """
        batch_size, decode = options.pop("batch_size", None), options.pop("decode", True)
        made_again = self._made(
            editing.reconstruction(self, Request.of(steps=steps, **options), x_T), batch_size, decode
        )
        assert isinstance(made_again, editing.Edited)
        return made_again

    def save(self, path: str | Path) -> None:
        """Write the model file, atomically.

        Args:
            path: Where to write it.

        Raises:
            InputError: If the denoiser has no network, so that there is nothing to save.
            OSError: If the file cannot be written; what was there before stays.
        """
        metadata = metadata_of(self.diffusion, self.config, self.spec, self.step, self.version, self.average)
        tensors = self.diffusion.net.state_dict() | autoencoder_tensors(self.spec)
        storage.write_tensors(Path(path), tensors, metadata)

    def _fitted(
        self, settings: EditRequest, arguments: Mapping[str, Any], n: int | None, options: Mapping[str, Any]
    ) -> editing.Edited:
        """Make samples that fit a measurement, by a method of a name or of the user's."""
        further = dict(options)
        method, covariance = further.pop("method", None), further.pop("covariance", None)
        name, custom_method = (method, None) if isinstance(method, str | None) else (None, method)
        settings = dataclasses.replace(settings, method=name, iterations=further.pop("iterations", None))
        return self._edited(
            settings, {**arguments, "covariance": covariance, "custom_method": custom_method}, n, further
        )

    def _edited(
        self, settings: EditRequest, arguments: Mapping[str, Any], n: int | None, options: Mapping[str, Any]
    ) -> editing.Edited:
        further = dict(options)
        batch_size, decode = further.pop("batch_size", None), further.pop("decode", True)
        if settings.task != "interpolate":
            names = ("window", "soften", *(["extend"] if settings.task == "inpaint" else []))
            places = {name: further.pop(name) for name in names if name in further}
            settings = dataclasses.replace(settings, **places)
        edited = self.make(Request.of(n, **further).of_edit(settings, arguments), batch_size, decode=decode)
        assert isinstance(edited, editing.Edited)
        return edited

    # below all annotations, whose types these names would hide

    def float(self) -> Self:
        """Convert the weights to float32, as `to` does."""
        return self.to(torch.float32)

    def double(self) -> Self:
        """Convert the weights to float64, as `to` does."""
        return self.to(torch.float64)

    def bfloat16(self) -> Self:
        """Convert the weights to bfloat16, as `to` does."""
        return self.to(torch.bfloat16)

    def half(self) -> Self:
        """Convert the weights to float16, as `to` does."""
        return self.to(torch.float16)
