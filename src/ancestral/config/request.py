"""A request: which samples of a model are made, and how. Its JSON is the recipe that a PNG holds."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

from ancestral import __version__
from ancestral.base.arguments import checked, converted, plain, shown
from ancestral.base.errors import InputError
from ancestral.base.fields import argument
from ancestral.base.options import option
from ancestral.base.registries import RESTORATIONS, SAMPLERS
from ancestral.base.result import ATTACHED, Result
from ancestral.config.data_config import parse_sides
from ancestral.config.sweep_values import SweptAxes, SweptValue, read_axes

KEYWORD = "ancestral"
"""The keyword of the recipe in the metadata (iTXt) of a PNG."""
EDITED_IMAGES = ("image", "other", "mask")
"""The arguments of edits that are images."""
HASH = " sha256:"
"""What stands between the name of an image and its hash."""
Label: TypeAlias = int | str | Sequence[int | str] | None
"""Number or name of a class, or "none" for no class; several of these; or None for all classes in turn."""


@dataclass(frozen=True)
class ImageRef:
    """An image of a request, by which it is recognised when it is given again.

    Attributes:
        name: The name of its file, or "image".
        digest: The first 16 digits of the SHA-256 of its values as a model reads them.
    """

    name: str
    digest: str

    @classmethod
    def from_text(cls, text: str) -> ImageRef | str:
        """Return the reference that a text is, as in "low.png sha256:0123456789abcdef"; other text as it is."""
        name, mark, digest = text.rpartition(HASH)
        return cls(name, digest) if mark and "\0" not in text else text

    def __str__(self) -> str:
        return f"{self.name}{HASH}{self.digest}"


@dataclass(frozen=True)
class EditRequest:
    """The settings of an edit besides those of samples. Values that are None are the defaults of the task."""

    task: str
    """What is done: inpaint, restore, vary or interpolate."""
    images: dict[str, ImageRef] = field(default_factory=dict)
    """The images and the mask by name."""
    part: str = ""
    """Which picture of the edit this is: the number of a sample, "std", "overview" or "film"."""
    method: str | None = argument(None, sweep=str, choices=("auto", *RESTORATIONS), own=True)
    """The method of restoration."""
    operator: str | None = argument(None, sweep=str)
    """What restore undoes."""
    noise: float | None = argument(None, sweep=float)
    """The standard deviation of the noise of the image, in units of [-1, 1]."""
    strength: float | None = argument(None, sweep=float)
    """How far vary goes from the image."""
    t: float | None = argument(None, sweep=float)
    """The time from which interpolate walks."""
    iterations: int | None = argument(None, sweep=int)
    """The number of iterations of the method."""
    soften: float | None = argument(None, sweep=float)
    """Over how many pixels inside the edge of the mask, or of the window, samples pass into the image."""
    window: str | None = None
    """The part of the image that is edited, "x,y,w,h" in pixels; of inpaint None is around the mask, else all."""
    extend: str | None = None
    """The pixels that inpaint adds, "left,top,right,bottom"."""

    def __post_init__(self) -> None:
        for name in ("window", "extend"):
            object.__setattr__(self, name, _joined(name, getattr(self, name)))


def _joined(name: str, numbers: Any) -> str | None:
    """Numbers of pixels as text, joined by commas. Raises InputError for what is neither."""
    if numbers is None or isinstance(numbers, str):
        return numbers
    if not isinstance(numbers, Sequence):
        raise InputError(f"{option(name)} cannot be {shown(numbers)}: give whole numbers of pixels")
    return ",".join(map(str, numbers))


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Options of `sample` and `edit` that are settings of a request too, which `Request.of` takes by the same names.

    `index` is `indices` there.
    """

    LABEL_DEFAULT: ClassVar[str] = "all classes in turn, or none with `given`"
    sweep: SweptAxes | None = argument(
        None, title="Columns", words=str | None, metavar="NAME=VALUES", names="words", branches=False
    )
    """Setting or condition with a column for each of its values, in a table of samples of one seed: FIRST:LAST:COUNT
    for evenly spaced numbers, or A,B,C. NAME is a condition, one number of it (pose.yaw), {SWEPT} or
    guidance.CONDITION. Each cell has one sample, or n."""
    by: SweptAxes | None = argument(
        None, title="Rows", words=str | None, metavar="NAME=VALUES", names="words", branches=False
    )
    """Setting or condition with a row for each of its values, as of `sweep`."""
    index: tuple[int, ...] | None = argument(None, title="Sample numbers", largest=1024)
    """Indices of the samples of the seed, one or several; default: the first n."""
    seed: int | None = None
    """Seed of all noise; sample i of a seed is always the same. Default: 0."""
    label: Label = argument(None, title="Class", words=tuple[str, ...] | None, names="words")
    """Class to sample, by name or number, or "none"; with several, sample i has label i mod their number. Default:
    {LABEL_DEFAULT}."""
    given: Mapping[str, Any] | None = argument(
        None, title="Conditions", words=tuple[str, ...] | None, metavar="NAME=VALUE", repeats=True, names="condition"
    )
    """Condition of the samples, by name: a class by name or number, numbers joined by commas, or the file of an image.
    A folder of images gives one sample for each; files of several folders are paired by their names. {From Python
    a mapping of names to values, as of `Model.sample`.} Given several times, sample i has value i mod their number.
    A condition that is not given is absent."""
    guidance: float | Mapping[str, float] | None = argument(
        None, words=tuple[str, ...] | None, metavar="SCALE", names="words"
    )
    """Scale of guidance; above 1 strengthens the conditions. Name a condition to scale it alone, as in label=2
    low=1{ (a mapping in Python)}. Default: 1."""
    avoid: Mapping[str, Any] | None = argument(
        None, title="Avoid", words=tuple[str, ...] | None, metavar="NAME=VALUE", repeats=True, names="words"
    )
    """Value of a condition that guidance leads away from (negative prompt), in place of its absence: a text, a class or
    numbers, as of `given`. It needs a scale of guidance above 1. Given several times, sample i has value i mod their
    number."""
    guidance_interval: tuple[float, ...] | None = argument(None, title="Guided noise levels", metavar="LOW HIGH")
    """Noise levels b_t/a_t at which samples are guided: above LOW, and up to HIGH. Default: all."""
    guidance_rescale: float | None = argument(None, title="Keep contrast", least=0, most=1)
    """Share in which the standard deviation of the estimate is brought back to that without guidance; default: 0."""


@dataclass(frozen=True)
class Objects:
    """The parts of a request that memory alone holds: JSON names models and images by hashes, samplers by settings.

    Attributes:
        sampler: A sampler in place of one by name.
        sampler_options: Options of the sampler by name besides the number of steps.
        given: Values of conditions by name: what is not text, and images that are given again.
        avoid: Values of conditions by name that guidance leads away from.
        weak: The weaker model of autoguidance.
        then: The models that follow in a cascade.
        arguments: What is edited, by the arguments of the function of the task.
    """

    sampler: Any = None
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    avoid: Mapping[str, Any] = field(default_factory=dict)
    weak: Any = None
    then: Sequence[Any] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request(Result):
    """The model, the seed and the settings of samples, which decide every pixel of them.

        request = ancestral.Request.read("seven.png")
        model.make(request)  # the samples of the picture again
        model.make(request.replace(seed=1, guidance=3))

    `ancestral sample` and `ancestral edit` write it into the metadata of their PNGs. Images and models are named by
    hashes: they are given again where a request was read from a file.
    """

    SCHEMA: ClassVar[str] = "recipe-2"

    model: str
    """SHA-256 of the model file; "" for a model in no file, and for a grid of training, whose weights are in none."""
    version: str
    """Version of this package: another one may sample otherwise."""
    seed: int = field(metadata={"sweep": int})
    n: int | None
    """The number of items: those with indices 0..n−1 of the seed, unless `indices` names others; None is the default of
    the task."""
    sampler: str = field(metadata={"sweep": str, "choices": ("", *SAMPLERS)})
    """The sampler with its settings; "" is that of the model, or of the task of an edit."""
    guidance: float | dict[str, float] = field(metadata={"sweep": float})
    indices: tuple[int, ...] | None = argument(None, key="index", sweep=int)
    label: tuple[int | str, ...] | None = None
    """Names of classes, or their numbers: item i has label i mod their number. None takes all classes in turn, if there
    are any."""
    single: bool = False
    """Whether the picture is one item in its own size, not a grid."""
    step: int | None = None
    """The training step of a grid of training."""
    given: dict[str, tuple[ImageRef | str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label: names of classes, numbers and images. Item i has value i mod
    their number."""
    avoid: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of conditions that guidance leads away from, as of `given`."""
    guidance_interval: tuple[float, float] | None = None
    guidance_rescale: float | None = argument(None, sweep=float)
    weak: str | None = None
    """SHA-256 of the file of the weaker model of autoguidance."""
    then: dict[str, str] = field(default_factory=dict)
    """The models that follow in a cascade: the SHA-256 of the file of each, and its sampler with all its settings."""
    run: str | None = None
    """`Config.identity` of the run of a grid of training."""
    parent: Request | None = None
    """The request whose trajectory is continued from its state number `at`, by the other settings of this one."""
    at: int | None = None
    """The number of the state, from 0, which is x_T."""
    steps: int | None = argument(None, sweep=int)
    """The number of sampling steps, where the sampler does not say it."""
    rollout: int | None = None
    """The number of states in time of each sample, each of which is given those before it; None of samples without."""
    size: tuple[int, ...] | None = None
    """The sides of the samples, or one of all, that tiles of the model's own sides cover; None are its own."""
    seamless: str | None = None
    """The axes along which the samples go around: names joined by commas, or "all"; None are those of the model."""
    edit: EditRequest | None = None
    """What is edited, and how; None of plain samples."""
    sweep: dict[str, tuple[SweptValue, ...]] | None = None
    """The values of one or two settings and conditions by name, of which each pair is a cell of a table of samples: the
    first has a column for each value, the second a row."""
    source: str = field(default="the request", metadata=ATTACHED, compare=False)
    """What messages call the request: the file that it was read from."""
    objects: Objects = field(default_factory=Objects, metadata=ATTACHED, compare=False, repr=False)
    """The parts that memory alone holds."""

    @classmethod
    @checked
    def of(
        cls,
        n: int | None = None,
        sampler: Any = None,
        steps: int | None = None,
        seed: int = 0,
        label: Label = None,
        guidance: Any = 1.0,
        indices: Sequence[int] | None = None,
        given: Mapping[str, Any] | None = None,
        avoid: Mapping[str, Any] | None = None,
        guidance_interval: tuple[float, float] | None = None,
        guidance_rescale: float | None = None,
        weak: Any = None,
        rollout: int | None = None,
        size: int | str | Sequence[int] | None = None,
        seamless: str | None = None,
    ) -> Self:
        """Make a request of settings, as of `Model.sample` and of the ways to edit.

        Args:
            n: The number of items, which are the items 0..n−1 of the seed; None is the largest number of values of a
                condition in `given`, if it has several, else 64 samples or 4 edits.
            sampler: A name of `samplers.BY_NAME`, with options or without ("heun:churn=10"); None is the config's, or
                DDIM with η = 1 for edits. Or a sampler as an object, which is taken as it is: `UniPC`, `DPMSolver`,
                `Heun` and `Langevin` clip x̂_0 only with clip=1.0, and by their names all samplers do.
            steps: The number of sampling steps; None is the sampler's default (DDIM 50, DDPM all T), and 25 for edits.
            seed: The seed of all noise. Item i of a seed is always the same item.
            label: Number or name of a class, or "none"; of several, item i of the seed has label i mod their number.
                None takes all classes in turn, or none where other conditions are given, and for edits.
            guidance: Scale of guidance: above 1 strengthens the conditions that are given; or a scale for some of them
                by name, as in {"label": 2, "low": 1}.
            indices: Which items of the seed, in the place of the first n.
            given: What the items are conditioned on, by name: {"age": 31, "low": image}. A class is a name or number; a
                vector a number or k numbers; an image a tensor, an array, a Pillow image or a path, in the units of the
                data: floats are taken as they are, and integers of 8 or 16 bits are converted to the depth of the data.
                One value is that of all items; of several, item i has value i modulo their number. Files of several
                folders are paired by their names. What is left out is absent, and so is None or "none".
            avoid: Values of conditions by name that guidance leads away from, in the place of their absence, as in
                {"caption": "blue"}: x̂ = x̂(avoid) + scale · (x̂(given) − x̂(avoid)). Text, classes or numbers, as of
                `given`.
            guidance_interval: The lowest and the highest noise level b_t/a_t that are guided; None guides all.
            guidance_rescale: The share, from 0 to 1, in which the standard deviation of x̂_0 is brought back to that
                without guidance; None is 0.
            weak: A weaker model of the same data, as a snapshot of the run: guidance is then autoguidance, away from
                it, which needs no condition.
            rollout: The number of states in time that each sample has, of a model that was trained with
                `given="previous:2"` or the like: the first is given the states in `given`, and the later ones those
                before them. The samples are then (n, rollout, C, *space).
            size: The sides of the samples where they are larger than the model's, as in 128 or (128, 320): x̂_0 is
                made in overlapping tiles of the model's sides, as of `guidance.Tiled`.
            seamless: The axes along which samples go around, so that copies of them join without a seam: names joined
                by commas, as in "x,y", or "all".

        Raises:
            InputError: If a value has another type.
        """
        empty = cls(model="", version=__version__, seed=0, n=None, sampler="", guidance=1.0)
        return empty.replace(
            n=n,
            sampler=sampler,
            steps=steps,
            seed=seed,
            label=label,
            guidance=guidance,
            indices=indices,
            given=given,
            avoid=avoid,
            guidance_interval=guidance_interval,
            guidance_rescale=guidance_rescale,
            weak=weak,
            rollout=rollout,
            size=size,
            seamless=seamless,
        )

    def of_edit(self, edit: EditRequest, arguments: Mapping[str, Any]) -> Self:
        """Return the request as one of an edit.

        Args:
            edit: What the edit has beyond the settings of samples.
            arguments: What is edited, by the arguments of the function of the task.
        """
        return dataclasses.replace(self, edit=edit, objects=dataclasses.replace(self.objects, arguments=arguments))

    @property
    def avoided(self) -> dict[str, Any]:
        """The values that guidance leads away from, as a recipe or the user has them."""
        return {**self.avoid, **self.objects.avoid}

    def replace(self, **changes: Any) -> Self:
        """Return the request with other settings, or with images and models that are given again.

        Args:
            changes: Settings by the names of `of`; `then`, the models that follow; of an edit the fields of
                `EditRequest`, and `image`, `other` and `mask`. Conditions that `given` does not name stay.

        Raises:
            InputError: If a request has no such setting, or a value has another type.
        """
        further = {"then": tuple[Any, ...], "edit": EditRequest | None, "sweep": SweptAxes | None}
        hints = typing.get_type_hints(Request.of) | further
        changes = {
            name: converted(name, value, hints[name]) if name in hints else value for name, value in changes.items()
        }
        edit = {name: value for name, value in changes.items() if self.edit is not None and name in vars(self.edit)}
        inputs = (*EDITED_IMAGES, *({"operator"} & self.objects.arguments.keys()))
        images = {name: value for name, value in changes.items() if self.edit is not None and name in inputs}
        for name in changes:
            if name in UNSETTABLE or name not in {**vars(self), **edit, **images}:
                raise InputError(f"a request has no {name}")
        stored = {name: _stored(name, value) for name, value in changes.items() if name in vars(self)}
        divided = {name: _DIVIDED[name](self, value) for name, value in changes.items() if name in _DIVIDED}
        stored |= {name: in_json for name, (in_json, _) in divided.items()}
        if "indices" in changes:
            stored["n"] = changes.get("n")
        if self.edit is not None:
            stored["edit"] = dataclasses.replace(self.edit, **edit)
        held = {name: in_memory for name, (_, in_memory) in divided.items()}
        objects = dataclasses.replace(self.objects, **held, arguments={**self.objects.arguments, **images})
        return dataclasses.replace(self, **{"objects": objects, **stored})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the request in the metadata of a PNG.

        Args:
            path: The file.

        Raises:
            InputError: If it is no PNG that can be read, or holds no recipe of this package.
        """
        return dataclasses.replace(cls.from_json(read_text(Path(path)), f"the recipe in {path}"), source=str(path))


UNSETTABLE = ("objects", "source")
"""Fields of a request that are no settings."""


def _labels(value: Any) -> tuple[int | str, ...] | None:
    several = value if isinstance(value, list | tuple | range) else [value]
    return None if value is None else tuple(map(plain, several))


_STORED: dict[str, Callable[[Any], Any]] = {
    "label": _labels,
    "size": lambda value: None if value is None else parse_sides("size", value),
    "guidance": lambda value: dict(value) if isinstance(value, Mapping) else value,
    "indices": lambda value: None if value is None else tuple(value),
    "sweep": lambda value: None if value is None else read_axes(value),
}
"""How a request stores the settings that users write in several ways."""


def _stored(name: str, value: Any) -> Any:
    return _STORED[name](value) if name in _STORED else value


def _given_parts(request: Request, value: Mapping[str, Any] | None) -> tuple[Any, Any]:
    given = value or {}
    references = {name: refs for name, refs in request.given.items() if name not in given}
    return references, {**request.objects.given, **given}


def _sampler_parts(request: Request, value: Any) -> tuple[Any, Any]:
    if value == "":
        SAMPLERS.find(value)  # refuses it
    return (value or "", None) if isinstance(value, str | None) else ("", value)


_DIVIDED: dict[str, Callable[[Request, Any], tuple[Any, Any]]] = {
    "given": _given_parts,
    "avoid": lambda request, value: ({}, value or {}),
    "sampler": _sampler_parts,
    "weak": lambda request, value: (None, value),
    "then": lambda request, value: ({}, value),
}
"""What JSON names of a setting, and what memory alone holds of it, as a field of `Objects`."""
_KEYS = {one.name: one.metadata.get("key", one.name) for one in dataclasses.fields(Request)}
SETTINGS = {name: _KEYS[name] for name in inspect.signature(Request.of).parameters}
"""The options of `sample` and `edit` by the settings of `Request.of`."""
SAMPLER_OPTIONS: Mapping[str, type] = {"steps": int, "eta": float, "variance": str}
"""Options of samplers that are options of `sample` too, and their types."""


class SweptSetting(NamedTuple):
    """A setting that a sweep can have values of.

    Attributes:
        name: Its name in a request.
        kind: The type of its values.
        choices: All of its values; () if they are not finite in number.
    """

    name: str
    kind: type
    choices: Sequence[str] = ()


def swept_settings(edit: bool) -> dict[str, SweptSetting]:
    """Return the settings that a sweep of samples or of an edit can have, by the names of their options."""
    fields = [*dataclasses.fields(Request), *(dataclasses.fields(EditRequest) if edit else ())]
    facts = {one.name: one.metadata for one in fields if "sweep" in one.metadata}
    settings = {
        of.get("key", name): SweptSetting(name, of["sweep"], tuple(filter(None, of.get("choices", ()))))
        for name, of in facts.items()
    }
    further = {} if edit else {name: SweptSetting(name, kind) for name, kind in SAMPLER_OPTIONS.items()}
    return further | settings


def read_text(path: Path) -> str:
    """Read the recipe in the metadata of a PNG. Raises InputError if it cannot be read, or holds none."""
    from PIL import Image  # which the help of the commands does not need

    try:
        with Image.open(path, formats=["PNG"]) as image:
            recipe = image.info.get(KEYWORD)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is no PNG that can be read: {error}") from None
    if not isinstance(recipe, str):
        raise InputError(f"{path} holds no recipe; PNGs of `ancestral sample` do, unless another program saved them")
    return recipe
