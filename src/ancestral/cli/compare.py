"""`ancestral compare RUN RUN ...`: runs side by side; with --samplers, the samplers of one run over what they cost."""

import dataclasses
import functools
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.cli import evaluate, evaluate_options, samples
from ancestral.cli.bars import watched
from ancestral.cli.compare_options import Options
from ancestral.cli.console import console
from ancestral.cli.parse import home, parse
from ancestral.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.evaluation.comparison import Point, Row, Rung
    from ancestral.evaluation.study import Study
    from ancestral.metrics.extractors import Features
    from ancestral.metrics.uncertainty import Estimate

IMAGES, POINTS = 36, 2000
"""Samples of each run in the picture; of points so many are a cloud."""


def main(argv: Sequence[str]) -> int:
    """Measure, draw, and return the exit code."""
    options = parse(Options, argv, "compare")
    _check(options)
    from ancestral import storage
    from ancestral.device import keep_freed_memory

    alone = home(options.runs[0]) / "evaluation" if options.samplers is not None else Path("runs/compare")
    out = options.out or alone
    studies = _studies(options)
    _check_folder(out)
    storage.check_writable(out)
    keep_freed_memory()
    try:
        if options.samplers is None:
            _runs(options, studies, out)
        else:
            _samplers(options, studies[0], out)
    except KeyboardInterrupt:
        command = shlex.join(["ancestral", "compare", *argv])
        print(f"Stopped; all samples that are drawn are kept. Go on with:  {command}", file=sys.stderr)
        raise
    return 0


def _check(options: Options) -> None:
    """Refuse what cannot be, before a model is read."""
    if not options.runs:
        raise InputError("name the runs: ancestral compare RUN RUN, or ancestral compare RUN --samplers all")
    if options.samplers is None:
        if len(options.runs) < 2:
            raise InputError("one run is compared with nothing; name another, or give --samplers all")
        if options.most is not None:
            raise InputError("--most belongs to --samplers; give that too")
    else:
        if len(options.runs) > 1:
            raise InputError("--samplers are compared of one run, not of several; name one")
        for name in ("sampler", "steps"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name} is for runs; --samplers tries several of each, so leave --{name} out")
        _names(options.samplers)
    if options.most is not None and options.most < 1:
        raise InputError(f"--most must be at least 1, not {options.most}")
    evaluate.check(_as_evaluate(options, ""))


def _names(samplers: str) -> list[str]:
    """The samplers that were asked for. Raises InputError for unknown ones."""
    from ancestral.samplers import BY_NAME, from_name

    names = list(BY_NAME) if samplers == "all" else [name.strip() for name in samplers.split(",") if name.strip()]
    if not names:
        raise InputError(f"--samplers names none; give all, or some of {', '.join(BY_NAME)}")
    for name in names:
        from_name(name)
    return list(dict.fromkeys(names))


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give --out the name of a folder")


def _as_evaluate(options: Options, run: str) -> evaluate_options.Options:
    """What `ancestral evaluate --samples` would be told, so that a run is measured as it does."""
    shared = {field.name for field in dataclasses.fields(evaluate_options.Options)} - {"samples", "out"}
    given = {name: value for name, value in vars(options).items() if name in shared}
    return evaluate_options.Options(run, samples=True, **given)


def _studies(options: Options) -> list["Study"]:
    """A study of each run, all on the same data. Raises InputError before anything is drawn."""
    from ancestral import model as models
    from ancestral import storage
    from ancestral.evaluation import comparison, real

    loaded = [models.load(run, options.device) for run in options.runs]
    first = loaded[0]
    for run, model in zip(options.runs[1:], loaded[1:], strict=True):
        comparison.check_alike(first, model, (options.runs[0], run))
    source = evaluate.complete(_as_evaluate(options, options.runs[0]), first).data
    options = dataclasses.replace(options, data=source)
    load = functools.cache(functools.partial(real.fitting, first))  # the very same items for all
    studies = []
    for run, model in zip(options.runs, loaded, strict=True):
        folder = home(run) / "evaluation"
        _check_folder(folder)
        storage.check_writable(folder)
        whole = evaluate.complete(_as_evaluate(options, run), model)
        studies.append(evaluate.study_of(whole, model, load, folder))
    return studies


def _drawn(study: "Study", name: str, batch_size: int) -> "Tensor":
    """All samples; those that are not there are drawn and kept."""
    missing = study.drawn.missing(study.count, batch_size)
    for _ in watched(study.draw(missing), f"drawing {name}", sum(map(len, missing)), lambda images: images, "samples"):
        pass
    return samples.samples(study, batch_size)


# -- runs -------------------------------------------------------------------------------------------------------------


def _runs(options: Options, studies: list["Study"], out: Path) -> None:
    from ancestral import render
    from ancestral.evaluation import comparison, quality
    from ancestral.render.summary import read

    trees, grids, likelihoods, parameters = [], [], [], []
    for run, study in zip(options.runs, studies, strict=True):
        model, items = study.model, _drawn(study, run, options.batch_size)
        looks = samples.looks(study, items, options.batch_size)
        *_, whole = watched(study.measure(items, looks), f"measuring {run}", quality.STAGES)
        trees.append(study.tree(whole, run))
        grids.append(render.Grid(run, items[: POINTS if items.ndim == 2 else IMAGES]))
        likelihoods.append(read(home(run) / "evaluation", study.recipe.model).likelihood)
        parameters.append(sum(parameter.numel() for parameter in model.denoiser.parameters()))
    table = comparison.rows(trees, likelihoods, parameters)
    _show_runs(options.runs, trees, likelihoods, table)
    runs = [
        {
            **tree,
            "parameters": count,
            "bits_per_dim": None if known is None else {**known["bits_per_dim"]["total"], **known["settings"]},
        }
        for tree, count, known in zip(trees, parameters, likelihoods, strict=True)
    ]
    best = {row.title: None if row.best is None else options.runs[row.best] for row in table}
    render.write_json(out / "compare.json", {"runs": runs, "best": best})
    limits = studies[0].model.spec.codec.limits
    render.write_picture(out / "compare.png", render.side_by_side(grids, limits))
    print(out / "compare.json", out / "compare.png", sep="\n")


def _show_runs(
    names: Sequence[str],
    trees: list[dict[str, Any]],
    likelihoods: Sequence[Mapping[str, Any] | None],
    rows: "Sequence[Row]",
) -> None:
    from rich.table import Table

    from ancestral.render import summary as words

    out = console()
    own = [words.setting(tree) for tree in trees]
    table = Table(box=None)
    table.add_column("", style="bold")
    for name in (*names, "floor"):
        table.add_column(name, justify="right", overflow="fold")
    if len({one["samples"] for one in own}) > 1:
        table.add_row("samples", *(one["samples"] for one in own), "")
    bounds = ["–" if tree is None else f"{words.about_likelihood(tree)['data']}: {words.bound(tree)}"
              for tree in likelihoods]  # fmt: skip
    for row in rows:
        tell = words.percent if row.title == "class accuracy" else words.number if row.sign else _count
        if row.title == "bits/dim":
            tell = words.number
        cells = [
            "–" if value is None else f"{'* ' if place == row.best else ''}{tell(*value)}"
            for place, value in enumerate(row.values)
        ]
        table.add_row(row.title, *cells, "" if row.floor is None else tell(*row.floor))
        if row.title == "bits/dim" and len(set(bounds)) > 1:
            table.add_row("of", *bounds, "")
    same = {name: text for name, text in own[0].items() if all(one.get(name) == text for one in own)}
    facts = Table(show_header=False, box=None)
    facts.add_column(style="bold")
    for name, text in same.items():
        facts.add_row(name, text)
    out.print(facts)
    out.print(table)
    out.print("* better than all others by more than the error of their difference (95 %)")
    for note in dict.fromkeys(note for tree in trees for note in words.notes(tree)):
        out.print(note)


def _count(value: float, error: float | None) -> str:
    return f"{value:,.0f}"


# -- samplers ---------------------------------------------------------------------------------------------------------


def _samplers(options: Options, study: "Study", out: Path) -> None:
    from ancestral import render
    from ancestral.evaluation import comparison
    from ancestral.metrics.distances import enough

    assert options.samplers is not None
    most = max(comparison.PASSES) if options.most is None else options.most
    whole, notes = comparison.reference(study.model), list(study.notes)
    ladders: dict[str, list[Rung]] = {}
    names = _names(options.samplers)
    if options.samplers == "all":  # and what the run draws by, where that is one of them with other settings
        names = list(dict.fromkeys([*names, study.model.config.sample.sampler]))
    for name in names:
        try:
            ladders[name] = list(comparison.ladder(study.model, name, most))
        except InputError as error:
            notes.append(f"{name} was left out: {error}.")
            continue
        if not ladders[name]:
            notes.append(f"{name} was left out: it takes more than {most} passes.")
            del ladders[name]
    if not ladders:
        raise InputError(f"none of these samplers can be tried: {' '.join(notes)}")
    level, train, floor = _level(options, study, whole)
    curves: dict[str, list[Point]] = {}
    every, done = sum(map(len, ladders.values())), 0
    for name, rungs in ladders.items():
        for rung in rungs:
            done += 1
            try:
                found = _look(options, study.by(rung.sampler), f"{name}, {rung.passes} passes ({done} of {every})")
                curves.setdefault(name, []).append(comparison.point(rung, found, train))
            except InputError as error:  # they are no numbers: so few steps, and it flies apart
                notes.append(f"{name} has no number at {rung.passes} passes: {error}.")
    few = enough(min(study.count, len(train.values)), study.extractor.width)
    notes += [f"{few}."] if few else []
    notes += [doubt] if (doubt := comparison.doubt(level.frechet)) else []
    needed = {name: comparison.fewest(points, level.frechet.value) for name, points in curves.items()}
    tree = _tree(options, study, level, floor, curves, needed, notes)
    _show_samplers(tree, curves, needed, level, floor)
    render.write_json(out / "samplers.json", tree)
    plot = render.samplers_plot(curves, level, floor, study.extractor.title("FD"))
    render.write_picture(out / "samplers.png", plot)
    print(out / "samplers.json", out / "samplers.png", sep="\n")


def _level(options: Options, study: "Study", whole: "Rung") -> "tuple[Point, Features, Estimate]":
    """DDPM by all steps, the features of the training data, and the floor."""
    from ancestral.evaluation import comparison

    study = study.by(whole.sampler)
    items = _drawn(study, f"ddpm, {whole.passes} passes", options.batch_size)
    own, train, *held_out = samples.looks(study, items, options.batch_size)
    floor = comparison.floor(study.count, train, held_out[0] if held_out else None)
    return comparison.point(whole, own, train), train, floor


def _look(options: Options, study: "Study", name: str) -> "Features":
    """The features of samples, which are drawn where they are not there."""
    from ancestral.evaluation import quality
    from ancestral.metrics.extractors import gathered

    items = _drawn(study, name, options.batch_size)
    _, _, folder = study.sets(items)[0]
    return gathered(quality.look(study.extractor, items, quality.pieces(len(items)), options.batch_size, folder))


def _tree(
    options: Options,
    study: "Study",
    level: "Point",
    floor: "Estimate",
    curves: "dict[str, list[Point]]",
    needed: "dict[str, Point | None]",
    notes: list[str],
) -> dict[str, Any]:
    """All that was found, for samplers.json."""
    from ancestral.evaluation import comparison

    def plain(point: "Point | None") -> dict[str, Any] | None:
        if point is None:
            return None
        return {**point._asdict(), "frechet": point.frechet._asdict(), "kernel": point.kernel._asdict()}

    return {
        "model": {"run": options.runs[0], "step": study.model.step, "sha256": study.recipe.model},
        "samples": {"count": study.count, "seed": study.recipe.seed, "guidance": study.recipe.guidance},
        "data": {"train": study.train.words(), "held_out": study.held_out and study.held_out.words()},
        "extractor": {"name": study.extractor.name, "features": study.extractor.width},
        "titles": {"frechet": study.extractor.title("FD"), "kernel": study.extractor.title("KID")},
        "floor": floor._asdict(),
        "reference": {"sampler": "ddpm", **(plain(level) or {})},
        "slack": comparison.SLACK,
        "needed": {name: plain(point) for name, point in needed.items()},
        "curves": {name: [plain(point) for point in points] for name, points in curves.items()},
        "notes": notes,
    }


def _show_samplers(
    tree: dict[str, Any],
    curves: "dict[str, list[Point]]",
    needed: "dict[str, Point | None]",
    level: "Point",
    floor: "Estimate",
) -> None:
    from rich.table import Table

    from ancestral.render import summary as words

    out, titles = console(), tree["titles"]
    out.print(
        f"{tree['samples']['count']:,} samples each, to {tree['data']['train']}; "
        f"the floor is {titles['frechet']} {words.number(floor.value, floor.error)}."
    )
    table = Table(box=None, pad_edge=False)
    for column in ("sampler", "passes needed", titles["frechet"], titles["kernel"], "best", "at passes"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    own = [words.number(*estimate[:2]) for estimate in (level.frechet, level.kernel)]
    table.add_row(f"ddpm, all {level.steps:,} steps", f"{level.passes:,}", *own, "", "")
    for name, points in curves.items():
        first = needed[name]
        best = min(points, key=lambda point: point.frechet.value)
        reached = ["not reached", "", ""]
        if first is not None:
            reached = [str(first.passes), *(words.number(*e[:2]) for e in (first.frechet, first.kernel))]
        table.add_row(name, *reached, words.number(*best.frechet[:2]), str(best.passes))
    out.print(table)
    out.print(f"Needed: the fewest passes whose {titles['frechet']} is within {tree['slack']:.0%} of DDPM's.")
    for note in tree["notes"]:
        out.print(note)
