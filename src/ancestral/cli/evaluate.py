"""`ancestral evaluate RUN --likelihood`: bits/dim on data, split over time, as a table, JSON and a plot."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from tyro.conf import Positional, arg

from ancestral.cli.parse import home, parse
from ancestral.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.data import Dataset
    from ancestral.evaluation import Mean, Point, Subjects, Terms
    from ancestral.model import Model

T = TypeVar("T")
EXACT = 16
"""Elements up to which the divergence of the flow is exact unless --probes says otherwise."""
ODE_STEPS = 100
IMAGES = 64
"""How many of each, unless the options say."""


@dataclass(frozen=True)
class Options:
    """Measure how well a trained model knows its data."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""
    likelihood: bool = False
    """The variational bound in bits/dim, split over time, and the error of x̂_0 at each rate."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """How many images, spread evenly over the data; None is 64, or all where there are fewer."""
    data: Annotated[str | None, arg(metavar="SOURCE")] = None
    """A built-in, a folder of images, or a .npy/.npz file; None is what the run was trained on."""
    split: Literal["train", "test"] | None = None
    """Part of a built-in; None is test where it has one."""
    passes: int | None = None
    """Times at which each image is asked, drawn at random for each; None is all T, which is exact and slower."""
    variance: Literal["large", "small", "learned"] | None = None
    """Variance of the reverse steps; None is learned where the model has it, else large."""
    clip: Annotated[bool | None, arg(metavar="| --no-clip")] = None
    """Keep x̂_0 within [−1, 1]; None does for images and does not for points."""
    decoder: Literal["exact", "tanh", "density"] | None = None
    """Last step: the normal distribution's mass of a grey level, the DDPM code's tanh for it, or a density. None is
    exact for images, density for points."""
    ode: bool = False
    """Also the likelihood of the probability-flow ODE, of images with uniform noise within their grey levels."""
    ode_steps: int | None = None
    """Steps of the ODE, at two passes each; None is 100, or all T where there are fewer."""
    probes: int | None = None
    """Random directions that estimate the ODE's divergence; 0 is exact. None is exact up to 16 dimensions, else 1."""
    seed: int = 0
    """Image i of the data meets the same noise at a seed, whatever the rest."""
    batch_size: int = 64
    """Images at once. It changes memory and time, not the numbers."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for likelihood.json and likelihood.png; None is evaluation in RUN."""


def main(argv: Sequence[str]) -> int:
    """Evaluate, and return the exit code."""
    options = parse(Options, _with_values(argv), "evaluate")
    _check(options)
    from ancestral import model as models
    from ancestral import report
    from ancestral.device import keep_freed_memory

    model = models.load(options.run, options.device)
    options = _complete(options, model)
    out = options.out or home(options.run) / "evaluation"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out the name of a folder")
    dataset = _load(options, model)
    subjects, notes = _subjects(options, model, dataset)
    keep_freed_memory()
    terms = _bound(options, model, subjects)
    nats = _ode(options, model, subjects) if options.ode else None
    scale, unit = (127.5, "0..255") if _images(model) else (1.0, "units of the data")

    from ancestral.evaluation import curve

    points = curve(terms)
    plot = report.likelihood_plot(points, scale, unit)
    tree = _tree(options, model, dataset, subjects, notes, terms, points, nats)
    _print(options, model, dataset, notes, tree, points, scale)
    report.write_json(out / "likelihood.json", tree)
    report.write_picture(out / "likelihood.png", plot)
    print(out / "likelihood.json", out / "likelihood.png", sep="\n")
    return 0


def _with_values(argv: Sequence[str]) -> list[str]:
    """`--clip` and `--no-clip` stand alone, though there is a third choice: to leave both out."""
    flags = {"--clip": ["--clip", "True"], "--no-clip": ["--clip", "False"]}
    return [word for given in argv for word in flags.get(given, [given])]


def _check(options: Options) -> None:
    """Refuse what cannot be, before the model is read."""
    if not options.likelihood:
        raise InputError("say what to evaluate: --likelihood")
    if (options.n is not None and options.n < 1) or options.batch_size < 1:
        raise InputError(f"-n and --batch-size must be at least 1, not {options.n or 0} and {options.batch_size}")
    if options.passes is not None and options.passes < 2:
        raise InputError(f"--passes must be at least 2, one of which is L_0, not {options.passes}")
    if options.probes is not None and options.probes < 0:
        raise InputError(f"--probes must be 0 (exact) or more, not {options.probes}")
    if not options.ode and (options.ode_steps is not None or options.probes is not None):
        raise InputError("--ode-steps and --probes belong to --ode; give that too")


def _images(model: "Model") -> bool:
    return model.facts.codec.kind == "uint8"


def _complete(options: Options, model: "Model") -> Options:
    """The options with every None that this model decides replaced."""
    from ancestral.data import TESTED
    from ancestral.samplers.loop import spaced

    if options.data is None and model.config.preset == "imported":
        raise InputError("this model was imported, so say which data to evaluate it on: --data SOURCE")
    images, schedule = _images(model), model.denoiser.schedule
    if not images and options.decoder not in (None, "density"):
        raise InputError(f"points have no grey levels to decode; leave --decoder {options.decoder} out")
    source = options.data if options.data is not None else model.config.data.source
    steps = options.ode_steps if options.ode_steps is not None else min(schedule.steps, ODE_STEPS)
    spaced(schedule, steps, "logsnr")  # refuses a number that does not fit
    usual: dict[str, Any] = {
        "data": source,
        "split": "test" if source in TESTED else "train",
        "variance": "learned" if model.denoiser.learned_variance else "large",
        "clip": images,
        "decoder": "exact" if images else "density",
        "ode_steps": steps,
        "probes": 0 if math.prod(model.facts.shape) <= EXACT else 1,
    }
    return dataclasses.replace(options, **{k: v for k, v in usual.items() if getattr(options, k) is None})


def _load(options: Options, model: "Model") -> "Dataset":
    from ancestral import data

    own, source = model.config.data, str(options.data)
    try:
        dataset = data.load(
            source,
            image_size=own.image_size,
            channels=own.channels,
            background=own.background,
            split=options.split or "train",
        )
    except InputError as error:
        hint = "; --data says where it is now, or takes other data" if source == own.source else ""
        raise InputError(f"{error}{hint}") from None
    if dataset.shape != model.facts.shape or dataset.codec != model.facts.codec:
        raise InputError(
            f"{dataset.name} holds items of {_sides(dataset.shape)}, but the model knows {_sides(model.facts.shape)}; "
            "give --data of that shape"
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
    n = min(IMAGES, len(dataset)) if options.n is None else options.n
    return evaluation.choose(dataset, n, model.facts.codec, labels), notes


def _bound(options: Options, model: "Model", subjects: "Subjects") -> "Terms":
    from ancestral import evaluation
    from ancestral.bound import Bounder

    assert options.variance is not None
    assert options.decoder is not None
    bounder = Bounder(options.seed, options.variance, bool(options.clip), options.decoder)
    denoiser = model.denoiser
    found = evaluation.cells(denoiser, subjects, bounder, options.passes, options.batch_size, model.device)
    count = len(evaluation.strata(denoiser.schedule.steps, options.passes))
    watched = list(_track(found, "bound", count * subjects.batch_count(options.batch_size)))
    return evaluation.gather(watched, denoiser, subjects, options.passes)


def _ode(options: Options, model: "Model", subjects: "Subjects") -> "Tensor":
    """−log p of each image in nats."""
    import torch

    from ancestral import evaluation, likelihood

    assert options.ode_steps is not None
    assert options.probes is not None
    denoiser, nats = model.denoiser, torch.zeros(len(subjects), dtype=torch.float64)
    walks = evaluation.walks(
        denoiser,
        subjects,
        options.ode_steps,
        options.probes,
        options.seed,
        _images(model),
        options.batch_size,
        model.device,
    )
    for walk in _track(walks, "probability flow", (options.ode_steps + 1) * subjects.batch_count(options.batch_size)):
        if walk.state.t == denoiser.schedule.steps:
            nats[walk.rows] = -likelihood.log_density(denoiser.schedule, walk.state).cpu().double()
    return nats


def _track(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, name, total, console=console, transient=True, disable=not console.is_terminal)


def _tree(
    options: Options,
    model: "Model",
    dataset: "Dataset",
    subjects: "Subjects",
    notes: Sequence[str],
    terms: "Terms",
    points: Sequence["Point"],
    nats: "Tensor | None",
) -> dict[str, Any]:
    """All that was found, for the JSON file."""
    from ancestral import evaluation

    names = ("variance", "clip", "decoder", "passes", "seed", *(("ode_steps", "probes") if options.ode else ()))
    rows = {"L_T": terms.prior, "L_t": terms.bits[:, :-1].sum(1), "L_0": terms.bits[:, -1], "total": terms.total}
    scale = 127.5 if _images(model) else 1.0
    tree: dict[str, Any] = {
        "model": {"run": options.run, "step": model.step, "version": model.version},
        "data": {
            "source": options.data,
            "split": options.split,
            "images": len(subjects),
            "of": len(dataset),
            "shape": list(dataset.shape),
            "notes": list(notes),
        },
        "settings": {"T": model.denoiser.schedule.steps, **{name: getattr(options, name) for name in names}},
        "bits_per_dim": {name: evaluation.mean(values)._asdict() for name, values in rows.items()},
        "over_time": {
            "t_first": [p.first for p in points],
            "t_last": [p.last for p in points],
            "bits_per_dim_of_a_step": [p.bits for p in points],
            "rate": [p.rate for p in points],
            "mean_square_error": [p.error for p in points],
            "distortion": [scale * math.sqrt(p.error) for p in points],
        },
        "per_image": {"index": subjects.indices, "bits_per_dim": terms.total.tolist()},
    }
    if nats is not None:
        bits = evaluation.bits_of_density(nats, math.prod(dataset.shape), _images(model))
        tree["ode"] = {"bits_per_dim": evaluation.mean(bits)._asdict(), "nats": evaluation.mean(nats)._asdict()}
        tree["per_image"] |= {"ode_bits_per_dim": bits.tolist()}
    return tree


def _print(
    options: Options,
    model: "Model",
    dataset: "Dataset",
    notes: Sequence[str],
    tree: dict[str, Any],
    points: Sequence["Point"],
    scale: float,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from ancestral.evaluation import Mean

    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    found = {name: Mean(**values) for name, values in tree["bits_per_dim"].items()}
    asked = len(points)
    how = f"{options.variance} variance, {'clipped' if options.clip else 'not clipped'}, {options.decoder} decoder"
    kind, n = "images" if _images(model) else "points", tree["data"]["images"]
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_row("data", f"{n:,} of {len(dataset):,} {kind} of {dataset.name}, {options.split} split")
    table.add_row("bound", f"{how}; {asked} passes for T = {model.denoiser.schedule.steps}")
    table.add_row("L_T", f"{_shown(found['L_T'])} bits/dim")
    table.add_row("Σ L_t", f"{_shown(found['L_t'])} bits/dim, t = 2..T")
    table.add_row("L_0", f"{_shown(found['L_0'])} bits/dim")
    table.add_row("total", f"{_shown(found['total'])} bits/dim")
    if options.ode:
        divergence = f"{options.probes} probe{'s' * (options.probes != 1)}" if options.probes else "exact divergence"
        nats = "" if _images(model) else f" ({_shown(Mean(**tree['ode']['nats']))} nats)"
        bits = _shown(Mean(**tree["ode"]["bits_per_dim"]))
        table.add_row("ODE", f"{bits} bits/dim{nats}, {options.ode_steps} steps, {divergence}")
    console.print(table)
    times = Table(box=None)
    for name in ("t", "bits/dim of a step", "rate so far", f"RMSE of x̂_0{' (0..255)' if scale != 1 else ''}"):
        times.add_column(name, justify="right")
    for p in _some(points):
        when = f"{p.first}" if p.first == p.last else f"{p.first}-{p.last}"
        times.add_row(when, f"{p.bits:.2g}", f"{p.rate:.3f}", f"{scale * math.sqrt(p.error):.3g}")
    console.print(times)
    for note in notes:
        console.print(note)


def _some(points: Sequence["Point"]) -> list["Point"]:
    """Those that hold T and parts of it, from T down to 1."""
    T = points[-1].last
    times = [max(round(part * T), 1) for part in (1, 0.75, 0.5, 0.25, 0.1, 0.01, 0)]
    return list(dict.fromkeys(next(p for p in points if p.first <= t <= p.last) for t in times))


def _shown(value: "Mean") -> str:
    """3.73 ± 0.02: as many digits as the error leaves."""
    mean, error = value
    if error is None:
        return f"{mean:.4g}"
    if 0 < abs(mean) < 1e-3:
        return f"{mean:.2g} ± {error:.1g}"
    places = min(max(2, -math.floor(math.log10(error))), 4) if error > 0 else 4
    return f"{mean:.{places}f} ± {error:.{places}f}"


def _sides(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
