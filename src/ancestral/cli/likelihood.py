"""The likelihood that `ancestral evaluate` measures: passes behind a progress bar, then a table, JSON and a plot."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.cli.bars import watched
from ancestral.cli.console import console

if TYPE_CHECKING:
    from torch import Tensor

    from ancestral.cli.evaluate_options import Options
    from ancestral.data import InMemoryDataset
    from ancestral.evaluation import Mean, Point, Subjects, Terms
    from ancestral.model import Model


def measure(
    options: "Options",
    model: "Model",
    dataset: "InMemoryDataset",
    subjects: "Subjects",
    notes: Sequence[str],
    out: Path,
) -> None:
    """Show the likelihood of these items and write likelihood.json and likelihood.png into `out`.

    No None is left in `options` for what the model decides. Nothing is written before everything is known.
    """
    from ancestral import render
    from ancestral.evaluation import curve

    terms = _bound(options, model, subjects)
    nats = _nats(options, model, subjects) if options.ode else None
    points = curve(terms)
    codec = model.spec.codec
    unit = f"0..{codec.limits[1]:.0f}" if codec.level else "units of the data"
    plot = render.likelihood_plot(points, codec.scale, unit)
    notes = [*notes, *_beyond(model, float(terms.total.mean()))]
    tree = _tree(options, model, dataset, subjects, notes, terms, points, nats)
    _show(options, model, dataset, tree, points, unit)
    render.write_json(out / "likelihood.json", tree)
    render.write_picture(out / "likelihood.png", plot)
    print(out / "likelihood.json", out / "likelihood.png", sep="\n")


def _beyond(model: "Model", bits: float) -> list[str]:
    """A note where a guess would do better."""
    codec = model.spec.codec
    uniform = math.log2(1 + codec.limits[1] - codec.limits[0]) if codec.level else math.inf
    if bits <= uniform:
        return []
    return [
        f"A uniform guess costs {uniform:g} bits/dim. The bound counts most where there is least noise, and there this "
        "network's error is larger than the noise. Samples do not show it; the preset `improved` learns for the bound."
    ]


def _bound(options: "Options", model: "Model", subjects: "Subjects") -> "Terms":
    from ancestral import evaluation
    from ancestral.bound import ELBO

    assert options.variance is not None
    assert options.decoder is not None
    level = model.spec.codec.level or 0.0  # of no matter to the density of data without levels
    elbo = ELBO(options.seed, options.variance, bool(options.clip), options.decoder, level=level)
    denoiser = model.denoiser
    found = evaluation.cells(denoiser, subjects, elbo, options.passes, options.batch_size, model.device)
    count = len(evaluation.strata(denoiser.schedule.steps, options.passes))
    seen = list(watched(found, "bound", count * subjects.batch_count(options.batch_size)))
    return evaluation.gather(seen, denoiser, subjects, options.passes)


def _nats(options: "Options", model: "Model", subjects: "Subjects") -> "Tensor":
    """−log p of each image in nats."""
    import torch

    from ancestral import evaluation, probability_flow

    assert options.ode_steps is not None
    assert options.probes is not None
    denoiser, nats = model.denoiser, torch.zeros(len(subjects), dtype=torch.float64)
    walks = evaluation.walks(
        denoiser,
        subjects,
        options.ode_steps,
        options.probes,
        options.seed,
        model.spec.codec.level,
        options.batch_size,
        model.device,
    )
    for walk in watched(walks, "probability flow", (options.ode_steps + 1) * subjects.batch_count(options.batch_size)):
        if walk.state.t == denoiser.schedule.steps:
            nats[walk.rows] = -probability_flow.log_density(denoiser.schedule, walk.state).cpu().double()
    return nats


def _tree(
    options: "Options",
    model: "Model",
    dataset: "InMemoryDataset",
    subjects: "Subjects",
    notes: Sequence[str],
    terms: "Terms",
    points: Sequence["Point"],
    nats: "Tensor | None",
) -> dict[str, Any]:
    """All that was found, for the JSON file."""
    from ancestral import evaluation, storage

    names = ("variance", "clip", "decoder", "passes", "seed", *(("ode_steps", "probes") if options.ode else ()))
    digest = None if model.file is None else storage.sha256(model.file)
    rows = {"L_T": terms.prior, "L_t": terms.bits[:, :-1].sum(1), "L_0": terms.bits[:, -1], "total": terms.total}
    tree: dict[str, Any] = {
        "model": {"run": options.run, "step": model.step, "version": model.version, "sha256": digest},
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
            "distortion": [model.spec.codec.scale * math.sqrt(p.error) for p in points],
        },
        "per_image": {"index": subjects.indices, "bits_per_dim": terms.total.tolist()},
    }
    if nats is not None:
        bits = evaluation.bits_of_density(nats, math.prod(dataset.shape), model.spec.codec.level)
        tree["ode"] = {"bits_per_dim": evaluation.mean(bits)._asdict(), "nats": evaluation.mean(nats)._asdict()}
        tree["per_image"] |= {"ode_bits_per_dim": bits.tolist()}
    return tree


def _show(
    options: "Options",
    model: "Model",
    dataset: "InMemoryDataset",
    tree: dict[str, Any],
    points: Sequence["Point"],
    unit: str,
) -> None:
    from rich.table import Table

    from ancestral.data.sources.arrays import NAMES
    from ancestral.evaluation import Mean
    from ancestral.render import summary as words

    out = console()
    found = {name: Mean(**values) for name, values in tree["bits_per_dim"].items()}
    kind, n = NAMES.get(len(dataset.shape) - 1, "points"), tree["data"]["images"]
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_row("data", f"{n:,} of {len(dataset):,} {kind} of {dataset.name}, {options.split} split")
    table.add_row("bound", words.bound(tree))
    table.add_row("L_T", f"{_shown(found['L_T'])} bits/dim")
    table.add_row("Σ L_t", f"{_shown(found['L_t'])} bits/dim, t = 2..T")
    table.add_row("L_0", f"{_shown(found['L_0'])} bits/dim")
    table.add_row("total", f"{_shown(found['total'])} bits/dim")
    if options.ode:
        nats = "" if model.spec.codec.level else f" ({_shown(Mean(**tree['ode']['nats']))} nats)"
        bits = _shown(Mean(**tree["ode"]["bits_per_dim"]))
        table.add_row("ODE", f"{bits} bits/dim{nats}, {words.about_likelihood(tree)['probability flow']}")
    out.print(table)
    times = Table(box=None)
    for name in ("t", "bits/dim of a step", "rate so far", f"RMSE of x̂_0{f' ({unit})' if unit[0] == '0' else ''}"):
        times.add_column(name, justify="right")
    for p in _some(points):
        when = f"{p.first}" if p.first == p.last else f"{p.first}-{p.last}"
        times.add_row(when, f"{p.bits:.2g}", f"{p.rate:.3f}", f"{model.spec.codec.scale * math.sqrt(p.error):.3g}")
    out.print(times)
    for note in tree["data"]["notes"]:
        out.print(note)


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
