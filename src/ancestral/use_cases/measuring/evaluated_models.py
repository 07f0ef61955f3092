"""Models that evaluate, compare and average measure, with the data and the evaluation of each."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ancestral import data as datasets
from ancestral import derived, randomness
from ancestral import model as models
from ancestral.base import storage
from ancestral.base.arguments import short_source
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import FROM_PYTHON, ConditionSource, CustomNetConfig, DataConfig, run_files
from ancestral.config.request import Request
from ancestral.declarations import DEFAULT_COUNT, WithSamples
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.measured_samples import References
from ancestral.measure.reference import (
    OpenSplit,
    check_partners,
    held_out_data,
    loader,
    names_of_conditions,
    plain_source,
)
from ancestral.model import Model
from ancestral.randomness import Stream
from ancestral.targets import Denoiser
from ancestral.use_cases.output_files import home


@dataclass(frozen=True)
class EvaluatedModel:
    """A model to measure, and what results call it.

    A model in a file also has the folder `evaluation` of its run, and the SHA-256 of the file.
    """

    model: Model
    name: str
    folder: Path | None = None
    sha256: str = ""

    @property
    def data_config(self) -> DataConfig | None:
        """Data that the model was trained on; None if they are not known."""
        config = self.model.config
        return None if config.preset == "imported" or config.data.source == FROM_PYTHON else config.data

    def source(self, data: Any) -> Any:
        """Return the data to evaluate on: as given, or what the model was trained on."""
        if data is not None:
            return plain_source(data)
        if self.data_config is None:
            raise InputError(
                "this model was imported or made from Python, so name the data to evaluate it on: "
                f"{option('data', '...')}"
            )
        return self.data_config.source


def open_model(
    model: str | Path | Model | Denoiser, options: WithSamples, device: torch.device, name: str = "the model"
) -> EvaluatedModel:
    """Open a model; `name` is what results call one that no file holds.

    Raises:
        InputError: If there is no such model, or its file names a function that the user does not.
    """
    if isinstance(model, str | Path):
        file = models.find(model)
        config, _ = models.describe_file(file)
        net = options.net if isinstance(config.net, CustomNetConfig) else None  # others build their own
        loaded = models.load(file, str(device), net=net)
        _check_functions(loaded, options)
        return EvaluatedModel(loaded, str(model), home(model) / run_files.EVALUATION, storage.sha256(file))
    if isinstance(model, Model):
        if model.file is not None:  # as if its path had been given
            _check_functions(model, options)
            name = str(model.file.parent if model.file.name == run_files.MODEL else model.file)
        return EvaluatedModel(model, name)
    if options.data is None:
        raise InputError("a denoiser does not know the shape of its items, so name its data: data=...")
    return EvaluatedModel(Model(model, datasets.open(options.data).spec), name)


def _check_functions(model: Model, options: WithSamples) -> None:
    """Raise InputError unless the user names the functions that make conditions of a model that a file holds."""
    made_by = [kind.made_by for kind in model.spec.further.values()]
    if made_by or model.config.data.given:
        derived.check_trusted([*made_by, *map(str, model.config.data.given or ())], options.trust or (), "trust")


def check_alike(one: EvaluatedModel, two: EvaluatedModel) -> None:
    """Raise InputError for two models whose items differ in shape or in coding."""
    first, second = one.model.spec.items, two.model.spec.items
    if first != second:
        raise InputError(f"{one.name} makes {first}, but {two.name} {second}; compare runs whose items are alike")


def check_same_conditions(one: EvaluatedModel, two: EvaluatedModel) -> None:
    """Raise InputError for two models that do not answer the same conditions of alike items."""
    check_alike(one, two)
    first, second = ({**each.model.spec.conditions} for each in (one, two))
    if first != second:
        names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
        raise InputError(
            f"{two.name} was not trained with the condition {names[0]} of {one.name}: compare runs of the same data "
            f"and {option('given')}"
        )


def opener(entries: Sequence[EvaluatedModel], options: WithSamples, source: Any) -> OpenSplit:
    """Return the function that opens data for models, whose items are alike.

    Args:
        entries: The models. What was held out of their runs is known where it is the same.
        options: The options.
        source: The training data.

    Raises:
        InputError: If the conditions of the models cannot be found in data.
    """
    first, configs = entries[0], [one.model.config.data for one in entries]
    splits = {(config.validation, config.moved, config.left_out, config.fingerprint) for config in configs}
    for other, config in zip(entries[1:], configs[1:], strict=True):
        same_data = config.fingerprint == configs[0].fingerprint
        if configs[0].held_out is not None and same_data and len(splits) > 1 and config.validation is None:
            raise InputError(
                f"{other.name} was trained on the items that {first.name} held out, and has seen the answers: train it "
                f"with {option('validation', configs[0].validation)}"
            )
    given = _given_of(entries, options, source)
    return loader(first.model.spec, first.data_config, configs[0] if len(splits) == 1 else None, given)


def _given_of(
    entries: Sequence[EvaluatedModel], options: WithSamples, source: Any
) -> tuple[ConditionSource, ...] | None:
    """Return where the data have the conditions of all models, as `data.open` takes it.

    Args:
        entries: The models.
        options: The options: `given` names conditions that are elsewhere than in training.
        source: The training data.

    Returns:
        Where each is; None if no model says it.

    Raises:
        InputError: If no model takes such a condition from data, the place of one does not exist, or held-out items
            would have the partners of training items.
    """
    given = [names_of_conditions(one.model.spec, one.model.config.data.given) for one in entries]
    sources = list(dict.fromkeys(source for each in given for source in each or ()))
    kinds = [pair for one in entries for pair in one.model.spec.conditions.items()]
    names = list(dict.fromkeys(name for name, kind in kinds if not kind.made_by))
    for new in map(ConditionSource.from_text, options.given or ()):
        if new.name not in names:
            raise InputError(
                f"{option('given', new)}: give NAME=WHAT of a condition that {entries[0].name} takes from data "
                f"({', '.join(names) or 'it has none'})"
            )
        places = [new if new.name == old.condition else old for old in sources]
        sources = list(dict.fromkeys(places if new in places else [*places, new]))
    for lost in (one for one in sources if one.lost):
        raise InputError(
            f"there is no {lost.what}, where {entries[0].name} was given the condition {lost.name}: say where it is "
            f"now, {option('given', f'{lost.name}=PLACE')}"
        )
    check_partners(source, plain_source(options.held_out), sources)
    return tuple(sources) if options.given or any(each is not None for each in given) else None


def plan_evaluation(
    entry: EvaluatedModel, options: WithSamples, source: Any, load: OpenSplit, temporary: Path, out: Path | None
) -> Evaluation:
    """Plan the evaluation of a model, whose samples are kept in `out` if the model is in a file."""
    model, data_config = entry.model, entry.data_config
    sampler = model.sampler(options.sampler, steps=options.steps)
    train = load(source, "train")
    held_out, split = held_out_data(source, load, options.held_out)
    notes = []
    if data_config is not None:
        trained_on = short_source(data_config.source)
        compared_with = short_source(source) if isinstance(source, str) else train.name
        if trained_on != compared_with:
            notes.append(f"The model was trained on {trained_on}; what is called training data is {compared_with}.")
        elif data_config.held_out is not None and held_out is None:
            notes.append(f"Some of what is called training data was held out of training by {option('validation')}.")
    flip = data_config is not None and data_config.flip
    references = References.of(model.spec, train, held_out, options.extractor, split, model.device)
    references = dataclasses.replace(references, notes=(*references.notes, *notes), mirrored=flip)
    references = references.checked_for_copies(options.leave_out_copies)
    guidance = 1.0 if options.guidance is None else options.guidance
    conditions = None
    if model.spec.further:  # in random order, since the data may be sorted
        order = randomness.permutation(len(references.train.items), 0, Stream.GIVEN, 0)
        conditions = ItemConditions.of(model.spec, references.train, order, options.seed)
    request = Request.of(sampler=sampler, seed=options.seed, guidance=guidance)
    request = dataclasses.replace(request, model=entry.sha256)
    folder = out / "samples" if out is not None and entry.sha256 else temporary
    count = DEFAULT_COUNT if isinstance(options.samples, bool | None) else options.samples
    return Evaluation(model, entry.name, request, folder, temporary, count, references, conditions=conditions)
