"""A model that makes the samples of requests: of settings, of the recipe of a picture, or a table of a sweep."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.events import finish, warn
from ancestral.config.request import Request
from ancestral.config.sweep_values import SweptAxes
from ancestral.data.convert import is_picture, to_uint8
from ancestral.data.decoding import from_pixels
from ancestral.model import editing
from ancestral.model.condition_values import captions
from ancestral.model.image_grid import ImageGrid
from ancestral.model.requested import RequestedModel, check_model, check_scale, count_of, digest_of, stages_of
from ancestral.model.sample_conditioning import Conditioning, read_conditioning
from ancestral.model.sampling_model import SamplingModel
from ancestral.model.stages import Stage
from ancestral.model.sweeps import Swept, sweep_of
from ancestral.samplers import Sampler, Step, record


class RequestModel(SamplingModel):
    """A denoiser that makes the samples of requests.

    The arguments are those of `SamplingModel`.
    """

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
            condition: What else a network of your own is conditioned on, by name: tensors with one row for all items,
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
        if request.model:
            check_model(request, digest_of(self))
        check_scale(request)
        if request.sweep is None:
            return self._maker(request, batch_size, condition, decode)()
        models = [self, *(RequestedModel.of(model).model for model in request.objects.then)]
        sweep = sweep_of(request, models)
        makers = [self._maker(cell, batch_size, condition, decode) for row in sweep.cells for cell in row]
        limits = models[-1].spec.codec.channel_limits if decode else None
        return Swept.of(sweep, [make() for make in makers], limits)

    def _maker(
        self,
        request: Request,
        batch_size: int | None = None,
        condition: Mapping[str, Tensor] | None = None,
        decode: bool = True,
    ) -> Callable[[], Tensor]:
        """Decide how the samples of a request without a sweep are made, and return what makes them."""
        size = self.batch(batch_size)
        if request.edit is not None:
            edit = editing.edit_of(self, request)
            for note in edit.beyond:
                warn(note)
            return partial(self._edit, edit, request, size, decode)
        stages = stages_of([RequestedModel(self), *map(RequestedModel.of, request.objects.then)], request)
        items = self.items(count_of(request, stages), request.indices)
        rows = _rows(condition or {}, len(items))

        def make() -> Tensor:
            samples = torch.empty(0)
            self._warn(*(stage.conditioning for stage in stages))
            for number, stage in enumerate(stages):
                made = stage.given_samples(samples, items) if number else stage
                sampled = _trajectory(made, items, request.seed, rows)
                convert = made.model.decoded if decode or number < len(stages) - 1 else Tensor.cpu
                samples = finish(record(sampled, range(len(items)), size, convert)).samples
            return samples

        return make

    def _edit(self, edit: editing.DecidedEdit, request: Request, batch_size: int, decode: bool) -> editing.Edited:
        """Make the samples of an edit that is decided."""
        self._warn(editing.conditioning_of(self, request))
        return edit.run(batch_size, decode)

    @staticmethod
    def _warn(*conditionings: Conditioning) -> None:
        for note in dict.fromkeys(note for conditioning in conditionings for note in conditioning.notes()):
            warn(note)

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
        **options: Any,
    ) -> Tensor:
        """Sample items of a seed: `make` of `Request.of` these settings.

        Args:
            n: The number of items, as of `Request.of`.
            sampler: The sampler, as of `Request.of`.
            steps: The number of sampling steps, as of `Request.of`.
            seed: The seed, as of `Request.of`.
            batch_size: The number of items in a batch, as of `make`.
            condition: What else a network of your own is conditioned on, as of `make`.
            decode: Whether to convert the items to the units of the data.
            options: The further settings of `Request.of`.

        Returns:
            Items on the CPU, as of `make`.

        Raises:
            InputError: If the model cannot do this.
        """
        request = Request.of(n, sampler, steps, seed, **options)
        return self.make(request, batch_size, condition, decode)

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
            condition: What else a network of your own is conditioned on, as of `make`.
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
        given = read_conditioning(spec, options.get("label"), options.get("given"))
        indices = options.get("indices") or range(len(samples))
        texts = captions(given.values, indices, self.class_names(indices, given.label) if spec.further else None)
        shown = [value.pictures() for value in given.values.values()]
        beside = [[pictures[index % len(pictures)] for index in indices] for pictures in shown if pictures]
        return ImageGrid(map(from_pixels, to_uint8(samples, spec.codec.channel_limits)), beside, texts)


def _trajectory(
    stage: Stage, items: Sequence[int], seed: int, rows: Mapping[str, Tensor]
) -> Callable[[Sequence[int]], Iterator[Step]]:
    def trajectory(positions: Sequence[int]) -> Iterator[Step]:
        part = {name: value[list(positions)] for name, value in rows.items()}
        return stage.trajectory([items[position] for position in positions], seed, condition=part)

    return trajectory


def _rows(condition: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Expand each condition to one row for each of `count` items. Raises InputError where that is not possible."""
    for name, value in condition.items():
        if name == "labels":
            raise InputError("classes are given as label=..., not as a condition")
        if not isinstance(value, Tensor) or not value.ndim or len(value) not in (1, count):
            what = f"the shape {list(value.shape)}" if isinstance(value, Tensor) else shown(value)
            raise InputError(f"condition {name!r} must be a tensor with 1 or {count} rows, not {what}")
    return {name: value.expand(count, *value.shape[1:]) for name, value in condition.items()}
