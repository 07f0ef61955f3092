"""Recipes of pictures as options of a command: what sets every control of a page as it was.

A recipe names models and images by hashes. Models are looked for among the runs of the studio, images among the
pictures that it keeps; what is not there is listed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.registries import SAMPLERS
from ancestral.config import run_files
from ancestral.config.request import SAMPLER_OPTIONS, SETTINGS, EditRequest, ImageRef, Request, read_text
from ancestral.config.sweep_values import axis_text
from ancestral_studio.places import contents

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.conditions import Image
    from ancestral.data.spec import DataSpec

MOST_PICTURES = 500
"""Largest number of pictures that are compared with an image of a recipe: those of its name, then the newest."""


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


def restored(file: Path, runs: Mapping[str, Path], pictures: Sequence[KeptPicture]) -> RestoredRecipe:
    """Read the recipe in a PNG, and find its model and its images.

    Args:
        file: The PNG.
        runs: The folders of the runs, by their ids.
        pictures: The pictures that are kept, the newest first.

    Returns:
        The options that make the picture again.

    Raises:
        InputError: If it is no PNG, or holds no recipe.
    """
    from ancestral.model import describe_file

    recipe = Request.from_json(read_text(file), "the recipe in the picture")
    run, missing = _run_of(recipe.model, runs), list[str]()
    if run is None:
        missing.append(
            f"the model with the SHA-256 {recipe.model[:12]}" if recipe.model else "the weights of a training grid"
        )
    options = _options(recipe) | _other_models(recipe, runs, missing)
    if recipe.then and any(sampler != recipe.sampler for sampler in recipe.then.values()):
        files = [runs[name] / run_files.MODEL for name in (run, *options.get("then", ())) if name]
        if [*map(_own_sampler, files)] == [recipe.sampler, *recipe.then.values()]:
            for name in ("sampler", *SAMPLER_OPTIONS):
                options.pop(name, None)  # each model has its own
        else:
            missing.append("the samplers of the models that follow: the one that is set is that of all")
    spec = None if run is None else describe_file(runs[run] / run_files.MODEL)[1]
    images = dict[str, KeptPicture]()
    if recipe.edit is not None:
        images |= _images_of_edit(recipe.edit, spec, pictures, missing)
        options |= {name: picture.reference for name, picture in images.items()}
    if words := _conditions(recipe, spec, pictures, images, missing):
        options["given"] = words
    if recipe.avoid:
        options["avoid"] = [f"{name}={text}" for name, texts in recipe.avoid.items() for text in texts]
    parent = "" if recipe.parent is None else recipe.parent.to_json()
    if parent:
        options.pop("n", None)  # a branch has the number of its parent
        options["at"] = recipe.at
    return RestoredRecipe("sample" if recipe.edit is None else "edit", run, options, images, parent, tuple(missing))


def _run_of(digest: str | None, runs: Mapping[str, Path]) -> str | None:
    """The id of the run whose model has a digest."""
    files = {name: folder / run_files.MODEL for name, folder in runs.items() if digest}
    return next((name for name, file in files.items() if _digest(file, contents(file)) == digest), None)


@functools.lru_cache(maxsize=1000)
def _digest(file: Path, state: tuple[int, int]) -> str:
    return storage.sha256(file) if file.is_file() else ""


def _other_models(recipe: Request, runs: Mapping[str, Path], missing: list[str]) -> dict[str, Any]:
    """The options of the weaker model and of the models that follow, as far as they are there."""
    ids: dict[str, list[str]] = {}
    for name, digest in (("weak", recipe.weak), *(("then", one) for one in recipe.then)):
        if (run := _run_of(digest, runs)) is not None:
            ids.setdefault(name, []).append(run)
        elif digest:
            missing.append(f"the model of {name} with the SHA-256 {digest[:12]}")
    return {name: several if name == "then" else several[0] for name, several in ids.items()}


def _conditions(
    recipe: Request,
    spec: DataSpec | None,
    pictures: Sequence[KeptPicture],
    images: dict[str, KeptPicture],
    missing: list[str],
) -> list[str]:
    """The words of the conditions; kept pictures among them go into `images`, and others into `missing`."""
    words = list[str]()
    for name, refs in recipe.given.items():
        kind = None if spec is None else spec.conditions.get(name)
        for ref in refs:
            if isinstance(ref, str):
                words.append(f"{name}={ref}")
            elif (picture := _image_of_condition(ref, name, kind, spec, pictures)) is None:
                missing.append(f"the image {ref.name} of {name}")
            else:
                images[name] = picture
                words.append(f"{name}={picture.reference}")
    return words


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
    own = {name: settings[name] for name in SAMPLER_OPTIONS if settings.get(name) is not None}
    rest = {
        name: value
        for name, value in settings.items()
        if name not in SAMPLER_OPTIONS and str(value) != str(defaults[name])
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


def _options(recipe: Request) -> dict[str, Any]:
    """The options of a recipe that need no file."""
    scale, plain = recipe.guidance, recipe.guidance == 1 and recipe.weak is None
    words = [f"{name}={value!r}" for name, value in scale.items()] if isinstance(scale, Mapping) else [repr(scale)]
    kept = [name for name in SETTINGS if name not in ("given", "avoid", "weak")]
    options: dict[str, Any] = {SETTINGS[name]: getattr(recipe, name) for name in kept}
    options = {name: [*value] if isinstance(value, tuple) else value for name, value in options.items()}
    options |= {"guidance": None if plain else words}
    if recipe.indices is not None:
        options["n"] = None
    if recipe.edit is not None:
        if recipe.edit.task == "interpolate":
            options["n"] = recipe.n
        options["sampler"] = recipe.sampler or None
        options |= {name: value for name, value in vars(recipe.edit).items() if name not in ("images", "part")}
    elif recipe.sampler:
        options |= sampler_words(recipe.sampler)
    axes = [axis_text(name, values) for name, values in (recipe.sweep or {}).items()]
    options |= {**dict.fromkeys(recipe.sweep or ()), **dict(zip(("sweep", "by"), axes, strict=False))}
    return {name: value for name, value in options.items() if value is not None}


def _images_of_edit(
    edit: EditRequest, spec: DataSpec | None, pictures: Sequence[KeptPicture], missing: list[str]
) -> dict[str, KeptPicture]:
    """The images and the mask of an edit, as far as they are kept."""
    from ancestral.model import editing
    from ancestral.model.masks import read_change
    from ancestral.use_cases.sampling.edit_inputs import image_ref

    images = dict[str, KeptPicture]()
    if spec is None:
        missing += [f"the {name} {ref.name}" for name, ref in edit.images.items()]
        return images

    def values(path: Path) -> Tensor:
        return editing.edited_images(spec, edit, path)[0]

    for name in edit.images.keys() - {"mask"}:
        picture = _matching(edit.images[name], pictures, lambda path: image_ref(path, values(path)))
        images |= {name: picture} if picture else {}
        missing += [] if picture else [f"the image {edit.images[name].name}"]
    if "mask" in edit.images:
        mask = None
        if "image" in images:  # whose size it has
            place = images["image"].path
            image = values(place)
            mask = _matching(
                edit.images["mask"],
                pictures,
                lambda path: image_ref(path, read_change(spec, place, image, path).values),
            )
        images |= {"mask": mask} if mask else {}
        missing += [] if mask else ["the mask"]
    return images


def _image_of_condition(
    ref: ImageRef, name: str, kind: Any, spec: DataSpec | None, pictures: Sequence[KeptPicture]
) -> KeptPicture | None:
    """The kept picture of a condition that is an image."""
    from ancestral.model.condition_values import ConditionValues
    from ancestral.model.image_values import condition_reader

    if spec is None or kind is None:
        return None
    image: Image = kind

    def ref_of(path: Path) -> ImageRef | str:
        values, origin = condition_reader(image, name, spec).read(path)[0]
        return ConditionValues(image, values[None], (origin,)).refs[0]

    return _matching(ref, pictures, ref_of)


def _matching(
    ref: ImageRef, pictures: Iterable[KeptPicture], ref_of: Callable[[Path], ImageRef | str]
) -> KeptPicture | None:
    """The picture whose values have the hash of a reference, those with its name first."""
    by_name = sorted(pictures, key=lambda picture: ref.name not in (picture.name, picture.path.name))
    for picture in by_name[:MOST_PICTURES]:
        try:
            found = ref_of(picture.path)
            if isinstance(found, ImageRef) and found.digest == ref.digest:
                return picture
        except (InputError, OSError):  # a picture of another size or kind
            continue
    return None
