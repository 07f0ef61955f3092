"""`ancestral evaluate RUN`: how good a model's samples are, and how well it knows the data."""

import contextlib
import dataclasses
import functools
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.cli import likelihood, samples
from ancestral.cli.evaluate_options import OF_LIKELIHOOD, OF_SAMPLES, Options
from ancestral.cli.parse import home, parse
from ancestral.errors import InputError

if TYPE_CHECKING:
    from ancestral.data import Dataset, InMemoryDataset
    from ancestral.evaluation import Subjects
    from ancestral.evaluation.study import Study
    from ancestral.model import Model
    from ancestral.training.distributed import Distributed

    Load = Callable[[str, str], Dataset]

EXACT = 16
"""Elements up to which the divergence of the flow is exact unless --probes says otherwise."""
ODE_STEPS = 100
IMAGES = 64
"""How many of each, unless the options say."""


def main(argv: Sequence[str]) -> int:
    """Evaluate, and return the exit code."""
    options = parse(Options, _with_values(argv), "evaluate")
    check(options)
    from ancestral.training.distributed import Distributed

    with contextlib.closing(Distributed(options.device)) as engine:
        return _evaluate(options, engine, shlex.join(["ancestral", "evaluate", *argv]))


def _evaluate(options: Options, engine: "Distributed", command: str) -> int:
    from ancestral import model as models
    from ancestral import storage
    from ancestral.device import keep_freed_memory
    from ancestral.evaluation import real

    model = models.load(options.run, str(engine.device))
    options = complete(options, model)
    folder = home(options.run)
    out = options.out or folder / "evaluation"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out the name of a folder")
    storage.check_writable(out)
    load: Load = functools.cache(functools.partial(real.fitting, model))
    study = study_of(options, model, load, out) if options.samples else None
    chosen = _subjects(options, model, load) if options.likelihood else None
    keep_freed_memory()
    try:
        if study is not None:
            samples.share(study, engine, options.batch_size)
        engine.close()  # what is left is the work of one, and takes as long as it takes
        if not engine.main:
            return 0
        if study is not None:
            samples.measure(study, options.run, options.batch_size, out)
    except KeyboardInterrupt:
        if engine.main and study is not None:
            kept = f"{study.drawn.count(study.count):,} of {study.count:,} samples are drawn and kept"
            print(f"Stopped; {kept}. Go on with:  {command}", file=sys.stderr)
        raise
    if chosen is not None:
        likelihood.measure(*chosen, out)
    if options.out is None:
        _tell(options, model, folder, out)
    return 0


def _tell(options: Options, model: "Model", folder: Path, out: Path) -> None:
    """Bring the model card and the page of the run up to date."""
    from ancestral import hub, render
    from ancestral.cli import card
    from ancestral.render import FOLDER

    card.tell(model, folder, options.run if hub.is_address(options.run) else FOLDER, out)
    if render.update_report(folder):
        print(folder / render.REPORT)
    elif (folder / render.REPORT).exists():
        print(f"{folder / render.REPORT} is left as it is, since it has no place for this; training writes a new one")


def _with_values(argv: Sequence[str]) -> list[str]:
    """`--clip` and `--no-clip` stand alone, though there is a third choice: to leave both out."""
    flags = {"--clip": ["--clip", "True"], "--no-clip": ["--clip", "False"]}
    return [word for given in argv for word in flags.get(given, [given])]


def check(options: Options) -> None:
    """Refuse what cannot be, before the model is read."""
    usual = {field.name: field.default for field in dataclasses.fields(options)}
    for part, other, names in (("likelihood", "samples", OF_SAMPLES), ("samples", "likelihood", OF_LIKELIHOOD)):
        if getattr(options, part) and not getattr(options, other):
            given = [name for name in names if getattr(options, name) != usual[name]]
            if given:
                name = "-n" if given == ["n"] else f"--{given[0].replace('_', '-')}"
                raise InputError(f"{name} belongs to --{other}; give that too, or leave --{part} out")
    for name, number in (("-n", options.n), ("--draw", options.draw), ("--batch-size", options.batch_size)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
    if options.passes is not None and options.passes < 2:
        raise InputError(f"--passes must be at least 2, one of which is L_0, not {options.passes}")
    if options.probes is not None and options.probes < 0:
        raise InputError(f"--probes must be 0 (exact) or more, not {options.probes}")
    if not options.ode and (options.ode_steps is not None or options.probes is not None):
        raise InputError("--ode-steps and --probes belong to --ode; give that too")


def complete(options: Options, model: "Model") -> Options:
    """The options with every None that this model decides replaced."""
    from ancestral.data import TESTED
    from ancestral.evaluation.study import DRAW
    from ancestral.samplers.loop import spaced_times

    if not options.samples and not options.likelihood:
        options = dataclasses.replace(options, samples=True, likelihood=True)
    if options.data is None and model.config.preset == "imported":
        raise InputError("this model was imported, so say which data to evaluate it on: --data SOURCE")
    levels, schedule = model.spec.codec.level, model.denoiser.schedule
    if not levels and options.decoder not in (None, "density"):
        raise InputError(f"points and floats have no grey levels to decode; leave --decoder {options.decoder} out")
    source = options.data if options.data is not None else model.config.data.source
    steps = options.ode_steps if options.ode_steps is not None else min(schedule.steps, ODE_STEPS)
    spaced_times(schedule, steps, "logsnr")  # refuses a number that does not fit
    usual: dict[str, Any] = {
        "data": source,
        "split": "test" if source in TESTED else "train",
        "variance": "learned" if model.denoiser.learned_variance else "large",
        "clip": True,
        "decoder": "exact" if levels else "density",
        "ode_steps": steps,
        "probes": 0 if math.prod(model.spec.shape) <= EXACT else 1,
        "draw": DRAW,
        "guidance": 1.0,
    }
    if options.held_out is not None and options.split is None:
        usual["split"] = "held-out"
    return dataclasses.replace(options, **{k: v for k, v in usual.items() if getattr(options, k) is None})


def _held_out(options: Options, load: "Load") -> "Dataset | None":
    """What is held out: as given, or the test split of the data where there is one."""
    from ancestral.data import TESTED

    source = str(options.data)
    if options.held_out is not None:
        return load(options.held_out, "test" if options.held_out in TESTED else "train")
    if source in TESTED:
        return load(source, "test")
    try:
        return load(source, "test")
    except InputError:  # it has none
        return None


def study_of(options: Options, model: "Model", load: "Load", out: Path) -> "Study":
    """What is drawn, and kept in `out`, and what it is held against. The options are complete."""
    from ancestral.data import TESTED
    from ancestral.evaluation.study import study
    from ancestral.render.summary import short

    sampler = model.sampler(options.sampler, steps=options.steps)
    train = load(str(options.data), "train")
    assert options.draw is not None
    assert options.guidance is not None
    one = study(
        model,
        sampler,
        train,
        _held_out(options, load),
        options.draw,
        options.extractor,
        options.seed,
        options.guidance,
        out / "samples",
        ("train split", "test split" if options.held_out in (None, *TESTED) else "held out"),
    )
    learned, given = short(model.config.data.source), short(str(options.data))
    if learned == given or model.config.preset == "imported":
        return one
    note = f"A model here learned from {learned}; what is called training data is {given}."
    return dataclasses.replace(one, notes=(*one.notes, note))


def _subjects(
    options: Options, model: "Model", load: "Load"
) -> tuple[Options, "Model", "InMemoryDataset", "Subjects", list[str]]:
    """The items that were chosen for the likelihood, and what the reader should know of them."""
    from ancestral import evaluation
    from ancestral.evaluation import real

    notes, classes, source = [], model.spec.classes, str(options.data)
    if options.split == "held-out":
        held_out = _held_out(options, load)
        if held_out is None:
            raise InputError(f"{source} has no test split: say with --held-out which data the model did not learn from")
        found, options = held_out, dataclasses.replace(options, data=options.held_out or source)
    else:
        found = load(source, options.split or "train")
    dataset = real.in_memory(found)
    if dataset is not found:
        notes.append(f"The data do not fit into memory: {len(dataset):,} of them, evenly chosen, stand for all.")
    if source == model.config.data.source and options.split == "train":
        notes.append("These are training data, which a model that has memorised them knows too well.")
    if dataset.skipped:
        notes.append(f"Files that could not be read were skipped: {len(dataset.skipped)}.")
    labels = evaluation.labels_for(dataset, classes, real.nameless(dataset.classes))
    if classes and labels is None:
        labels = evaluation.without_class(len(dataset))
        notes.append('The data has no classes that the model knows, so it was asked for "no class".')
    elif classes:
        notes.append("The model was told the class of each image, so these are bits given the class.")
    codec = model.spec.codec
    if not codec.level and codec.scale != 1:
        notes.append(
            f"Densities are of the data scaled to [-1, 1]; in its own units add {math.log2(codec.scale):.4g} bits/dim."
        )
    n = min(IMAGES, len(dataset)) if options.n is None else options.n
    return options, model, dataset, evaluation.choose(dataset, n, model.spec.codec, labels), notes
