"""`ancestral evaluate RUN --likelihood`: bits/dim on data, split over time, as a table, JSON and a plot."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ancestral.cli import likelihood
from ancestral.cli.evaluate_options import Options
from ancestral.cli.parse import home, parse
from ancestral.errors import InputError

if TYPE_CHECKING:
    from ancestral.data import Dataset
    from ancestral.evaluation import Subjects
    from ancestral.model import Model

EXACT = 16
"""Elements up to which the divergence of the flow is exact unless --probes says otherwise."""
ODE_STEPS = 100
IMAGES = 64
"""How many of each, unless the options say."""


def main(argv: Sequence[str]) -> int:
    """Evaluate, and return the exit code."""
    options = parse(Options, _with_values(argv), "evaluate")
    _check(options)
    from ancestral import model as models
    from ancestral import storage
    from ancestral.device import keep_freed_memory

    model = models.load(options.run, options.device)
    options = _complete(options, model)
    out = options.out or home(options.run) / "evaluation"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out the name of a folder")
    storage.check_writable(out)
    dataset = _load(options, model)
    subjects, notes = _subjects(options, model, dataset)
    keep_freed_memory()
    likelihood.measure(options, model, dataset, subjects, notes, out)
    return 0


def _with_values(argv: Sequence[str]) -> list[str]:
    """`--clip` and `--no-clip` stand alone, though there is a third choice: to leave both out."""
    flags = {"--clip": ["--clip", "True"], "--no-clip": ["--clip", "False"]}
    return [word for given in argv for word in flags.get(given, [given])]


def _check(options: Options) -> None:
    """Refuse what cannot be, before the model is read."""
    if not options.likelihood:
        raise InputError("say what to evaluate: --likelihood")
    for name, number in (("-n", options.n), ("--batch-size", options.batch_size)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
    if options.passes is not None and options.passes < 2:
        raise InputError(f"--passes must be at least 2, one of which is L_0, not {options.passes}")
    if options.probes is not None and options.probes < 0:
        raise InputError(f"--probes must be 0 (exact) or more, not {options.probes}")
    if not options.ode and (options.ode_steps is not None or options.probes is not None):
        raise InputError("--ode-steps and --probes belong to --ode; give that too")


def _complete(options: Options, model: "Model") -> Options:
    """The options with every None that this model decides replaced."""
    from ancestral.data import TESTED
    from ancestral.samplers.loop import spaced

    if options.data is None and model.config.preset == "imported":
        raise InputError("this model was imported, so say which data to evaluate it on: --data SOURCE")
    levels, schedule = model.facts.codec.level, model.denoiser.schedule
    if not levels and options.decoder not in (None, "density"):
        raise InputError(f"points and floats have no grey levels to decode; leave --decoder {options.decoder} out")
    source = options.data if options.data is not None else model.config.data.source
    steps = options.ode_steps if options.ode_steps is not None else min(schedule.steps, ODE_STEPS)
    spaced(schedule, steps, "logsnr")  # refuses a number that does not fit
    usual: dict[str, Any] = {
        "data": source,
        "split": "test" if source in TESTED else "train",
        "variance": "learned" if model.denoiser.learned_variance else "large",
        "clip": True,
        "decoder": "exact" if levels else "density",
        "ode_steps": steps,
        "probes": 0 if math.prod(model.facts.shape) <= EXACT else 1,
    }
    return dataclasses.replace(options, **{k: v for k, v in usual.items() if getattr(options, k) is None})


def _load(options: Options, model: "Model") -> "Dataset":
    from ancestral import data

    own, source = model.config.data, str(options.data)
    channels, height, width = model.facts.shape if len(model.facts.shape) == 3 else (None, 0, None)
    if source != own.source and channels in (1, 3) and height == width:  # other data is brought to the model's shape
        bits: Any = {"uint8": 8, "uint16": 16}.get(model.facts.codec.kind)
        own = dataclasses.replace(own, image_size=height, channels=channels, bits=bits)
    try:
        dataset = data.load(source, **own.form, split=options.split or "train")
    except InputError as error:
        gone = source == own.source and "no such file" in str(error)
        hint = "; say with --data where the data of this run is now, or take other data" if gone else ""
        raise InputError(f"{error}{hint}") from None
    kind, known = dataset.codec.kind, model.facts.codec.kind
    if dataset.shape != model.facts.shape or kind != known:
        raise InputError(
            f"{dataset.name} holds items of {_sides(dataset.shape)}, but the model knows {_sides(model.facts.shape)}; "
            "give --data of that shape"
            if kind == known
            else f"{dataset.name} holds {kind} numbers, but the model knows {known}; give --data of that kind"
        )
    return dataset


def _subjects(options: Options, model: "Model", dataset: "Dataset") -> tuple["Subjects", list[str]]:
    """The images that were chosen, and what the reader should know of them."""
    from ancestral import evaluation

    notes, classes, source = [], model.facts.classes, str(options.data)
    if source == model.config.data.source and options.split == "train":
        notes.append("These are training data, which a model that has memorised them knows too well.")
    if dataset.skipped:
        notes.append(f"Files that could not be read were skipped: {len(dataset.skipped)}.")
    labels = evaluation.labels_for(dataset, classes, by_number=source.lower().endswith(".npz"))
    if classes and labels is None:
        labels = evaluation.without_class(len(dataset))
        notes.append('The data has no classes that the model knows, so it was asked for "no class".')
    elif classes:
        notes.append("The model was told the class of each image, so these are bits given the class.")
    codec = model.facts.codec
    if not codec.level and codec.scale != 1:
        notes.append(
            f"Densities are of the data scaled to [-1, 1]; in its own units add {math.log2(codec.scale):.4g} bits/dim."
        )
    n = min(IMAGES, len(dataset)) if options.n is None else options.n
    return evaluation.choose(dataset, n, model.facts.codec, labels), notes


def _sides(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
