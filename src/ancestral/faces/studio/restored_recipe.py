"""Recipes of pictures as options of a command: what sets every control of a page as it was.

A recipe names models and images by hashes. Models are looked for among the runs of the studio, images among the
pictures that it keeps; what is not there is listed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral import storage
from ancestral.arguments import read_json
from ancestral.errors import InputError
from ancestral.registries import SAMPLERS
from ancestral.results.editing_result import EditRecipe
from ancestral.results.sampling_result import SamplingRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.conditions import Image
    from ancestral.data.spec import DataSpec

MOST_PICTURES = 500
"""Largest number of pictures that are compared with an image of a recipe: those of its name, then the newest."""
OF_SAMPLERS = ("steps", "eta", "variance")
"""Options of samplers that are options of `sample` too."""
MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class KeptPicture:
    """A picture that the studio keeps.

    Attributes:
        reference: What names it as the value of an option: upload:ID or history:ID/PATH.
        name: The name of the file.
        path: Its file.
    """

    reference: str
    name: str
    path: Path


@dataclass(frozen=True)
class RestoredRecipe:
    """What sets the controls of a page.

    Attributes:
        command: sample or edit.
        run: The id of the run; None if it is not there.
        options: The options by name, without the run.
        images: The pictures of `options`, by the name of the option or condition.
        parent: The recipe that a branch continues, as JSON; "" of all others.
        missing: What is not there, a line each.
    """

    command: str
    run: str | None
    options: dict[str, Any]
    images: dict[str, KeptPicture]
    parent: str
    missing: tuple[str, ...]


class ModelDigests:
    """SHA-256 of model files, each computed once for each state of the file."""

    def __init__(self) -> None:
        self._digests: dict[tuple[Path, int, int], str] = {}

    def of(self, file: Path) -> str:
        """Return the digest of a file; "" if there is none."""
        try:
            status = file.stat()
        except OSError:
            return ""
        key = (file, status.st_mtime_ns, status.st_size)
        if key not in self._digests:
            self._digests[key] = storage.sha256(file)
        return self._digests[key]

    def find(self, digest: str, runs: Mapping[str, Path]) -> str | None:
        """Return the id of the run whose model has a digest."""
        return next((name for name, folder in runs.items() if digest and self.of(folder / MODEL_FILE) == digest), None)


def restored(
    file: Path, runs: Mapping[str, Path], pictures: Sequence[KeptPicture], digests: ModelDigests
) -> RestoredRecipe:
    """Read the recipe in a PNG, and find its model and its images.

    Args:
        file: The PNG.
        runs: The folders of the runs, by their ids.
        pictures: The pictures that are kept, the newest first.
        digests: The digests of the models.

    Returns:
        The options that make the picture again.

    Raises:
        InputError: If it is no PNG, or holds no recipe.
    """
    from ancestral.model import describe_file
    from ancestral.render import writers

    text = writers.read_recipe(file)
    edit = read_json(text, "the recipe in the picture").get("schema") == EditRecipe.SCHEMA
    recipe = (EditRecipe if edit else SamplingRecipe).from_json(text, "the recipe in the picture")
    run, missing = digests.find(recipe.model, runs), list[str]()
    if run is None:
        missing.append(
            f"the model with the SHA-256 {recipe.model[:12]}" if recipe.model else "the weights of a training grid"
        )
    options, further = _options(recipe), dict[str, list[str]]()
    for name, digest in (("weak", recipe.weak), *(("then", one) for one in recipe.then)):
        other = digests.find(digest, runs) if digest else None
        if other is not None:
            further[name] = [*further.get(name, []), other]
        elif digest:
            missing.append(f"the model of {name} with the SHA-256 {digest[:12]}")
    options |= {name: several if name == "then" else several[0] for name, several in further.items()}
    if recipe.then and any(sampler != recipe.sampler for sampler in recipe.then.values()):
        files = [runs[name] / MODEL_FILE for name in filter(None, (run, *further.get("then", [])))]
        if [*map(_own_sampler, files)] == [recipe.sampler, *recipe.then.values()]:
            for name in ("sampler", *OF_SAMPLERS):
                options.pop(name, None)  # each model has its own
        else:
            missing.append("the samplers of the models that follow: the one that is set is that of all")
    spec = None if run is None else describe_file(runs[run] / MODEL_FILE)[1]
    images: dict[str, KeptPicture] = {}
    if isinstance(recipe, EditRecipe):
        images |= _images_of_edit(recipe, spec, pictures, missing)
        options |= {name: picture.reference for name, picture in images.items()}
    words = list[str]()
    for name, texts in recipe.given.items():
        kind = None if spec is None else spec.conditions.get(name)
        for described in texts:
            if "sha256:" not in described:
                words.append(f"{name}={described}")
            elif (picture := _image_of_condition(described, name, kind, spec, pictures)) is None:
                missing.append(f"the image {_name_of(described)} of {name}")
            else:
                images[name] = picture
                words.append(f"{name}={picture.reference}")
    if words:
        options["given"] = words
    parent = "" if recipe.parent is None else recipe.parent.to_json()
    if parent:
        options.pop("n", None)  # a branch has the number of its parent
        options["at"] = recipe.at
    return RestoredRecipe("edit" if edit else "sample", run, options, images, parent, tuple(missing))


def sampler_words(sampler: str) -> dict[str, Any]:
    """Return the options of a sampler that is written with all its settings, without those that are its defaults.

    Args:
        sampler: The sampler, as in "ddim:steps=50,eta=0.0,clip=1.0".

    Returns:
        `sampler` with settings that have no option of their own, and those that have one.
    """
    from ancestral.samplers import from_name

    entry, settings = SAMPLERS.read(sampler)
    defaults = entry.defaults()
    own = {name: settings[name] for name in OF_SAMPLERS if settings.get(name) is not None}
    rest = {
        name: value for name, value in settings.items() if name not in OF_SAMPLERS and str(value) != str(defaults[name])
    }
    name = ":".join(filter(None, (entry.name, ",".join(f"{name}={value}" for name, value in rest.items()))))
    if from_name(name, **own) != from_name(sampler):  # what is None here is another default there
        return {"sampler": sampler}
    return {"sampler": name, **own}


def _own_sampler(file: Path) -> str:
    """The sampler of a model's config, with all its settings."""
    from ancestral.model import describe_file, sampler_name
    from ancestral.samplers import from_name

    config, _ = describe_file(file)
    return sampler_name(from_name(config.sample.sampler, config.process.timesteps))


def _options(recipe: SamplingRecipe) -> dict[str, Any]:
    """The options of a recipe that need no file."""
    scale = recipe.guidance
    guidance = [f"{name}={value!r}" for name, value in scale.items()] if isinstance(scale, Mapping) else [repr(scale)]
    options: dict[str, Any] = {
        "n": None if recipe.index is not None else recipe.n,
        "index": None if recipe.index is None else [*recipe.index],
        "seed": recipe.seed,
        "label": None if recipe.label is None else [*recipe.label],
        "guidance": None if guidance == ["1.0"] and recipe.weak is None else guidance,
        "guidance_interval": None if recipe.guidance_interval is None else [*recipe.guidance_interval],
        "guidance_rescale": recipe.guidance_rescale,
    }
    if isinstance(recipe, EditRecipe):
        if recipe.task == "interpolate":
            options["n"] = recipe.n
        options |= {"task": recipe.task, "sampler": recipe.sampler or None}
        for one in dataclasses.fields(EditRecipe):
            if one.name in ("steps", "method", "operator", "noise", "strength", "t", "particles", "iterations"):
                options[one.name] = getattr(recipe, one.name)
    elif recipe.sampler:
        options |= sampler_words(recipe.sampler)
    return {name: value for name, value in options.items() if value is not None}


def _images_of_edit(
    recipe: EditRecipe, spec: DataSpec | None, pictures: Sequence[KeptPicture], missing: list[str]
) -> dict[str, KeptPicture]:
    """The images and the mask of an edit, as far as they are kept."""
    from ancestral.model import editing
    from ancestral.model.image_values import read_images
    from ancestral.model.regions import read_change
    from ancestral.workflows.edit import described

    images = dict[str, KeptPicture]()
    if spec is None:
        missing += [f"the {name} {_name_of(text)}" for name, text in recipe.images.items() if text != "none"]
        return images
    is_measured = recipe.task == "restore"
    shape = editing.measured_shape(spec, recipe.operator, recipe.noise or 0.0) if is_measured else None

    def values(name: str, path: Path) -> Tensor:
        return read_images(spec, path, name, recipe.task == "inpaint", shape)[0]

    def text_of(name: str, path: Path) -> str:
        return described(path, values(name, path))

    for name in recipe.images.keys() - {"mask"}:
        text = recipe.images[name]
        if text != "none":
            picture = _matching(text, pictures, partial(text_of, name))
            images |= {name: picture} if picture else {}
            missing += [] if picture else [f"the image {_name_of(text)}"]
    if "mask" in recipe.images and recipe.images["mask"] != "none":
        mask = None
        if "image" in images:  # whose size it has
            place = images["image"].path
            image = values("image", place)
            mask = _matching(
                recipe.images["mask"],
                pictures,
                lambda path: described(path, read_change(spec, place, image, path).mask),
            )
        images |= {"mask": mask} if mask else {}
        missing += [] if mask else ["the mask"]
    return images


def _image_of_condition(
    text: str, name: str, kind: Any, spec: DataSpec | None, pictures: Sequence[KeptPicture]
) -> KeptPicture | None:
    """The kept picture of a condition that is an image."""
    from ancestral.model.condition_values import ConditionValues
    from ancestral.model.image_values import condition_reader

    if spec is None or kind is None:
        return None
    image: Image = kind

    def describe(path: Path) -> str:
        values, origin = condition_reader(image, name, spec).read(path)[0]
        return ConditionValues(image, values[None], (origin,)).described[0]

    return _matching(text, pictures, describe)


def _matching(text: str, pictures: Iterable[KeptPicture], describe: Callable[[Path], str]) -> KeptPicture | None:
    """The picture whose values have the hash of a text, those with its name first."""
    name, digest = _name_of(text), text.rpartition(" ")[2]
    by_name = sorted(pictures, key=lambda picture: picture.name != name and picture.path.name != name)
    for picture in by_name[:MOST_PICTURES]:
        try:
            if describe(picture.path).rpartition(" ")[2] == digest:
                return picture
        except (InputError, OSError):  # a picture of another size or kind
            continue
    return None


def _name_of(described: str) -> str:
    return described.partition(" sha256:")[0]
