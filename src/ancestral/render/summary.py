"""What evaluations left in a run folder, read and put into words: for the card, the page and the terminal alike.

The files may come from anywhere, so a tree that is not as it should be counts as none.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

SAMPLES, LIKELIHOOD = "samples.json", "likelihood.json"
TITLES = ("precision", "recall", "density", "coverage")
COLUMNS = {"train": "to training data", "held_out": "to held-out data", "floor": "floor"}
SHOWN = 6
"""Channels whose means are told."""


@dataclass(frozen=True)
class Table:
    """A row is a name and a text for each column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Found:
    """The trees of samples.json and likelihood.json; None where there is none."""

    samples: Mapping[str, Any] | None = None
    likelihood: Mapping[str, Any] | None = None


def read(folder: Path, sha256: str | None = None) -> Found:
    """What lies in an evaluation's folder; with `sha256` only what was found of the model file that has it."""
    return Found(*(_read(folder / name, sha256) for name in (SAMPLES, LIKELIHOOD)))


def _read(path: Path, sha256: str | None) -> Mapping[str, Any] | None:
    try:
        tree: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if sha256 is not None and tree["model"]["sha256"] != sha256:
            return None
        facts = [step(tree), notes(tree)]
        facts += [about_likelihood(tree)] if path.name == LIKELIHOOD else [setting(tree), table(tree), others(tree)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return tree


def step(tree: Mapping[str, Any]) -> int:
    """The step of the model that was measured."""
    return int(tree["model"]["step"])


def notes(tree: Mapping[str, Any]) -> list[str]:
    """What a reader should know besides."""
    return [str(note) for note in (tree["data"].get("notes") or []) + tree.get("notes", [])]


def setting(tree: Mapping[str, Any]) -> dict[str, str]:
    """Of what the samples were measured, and against what."""
    drawn, data, extractor = tree["samples"], tree["data"], tree["extractor"]
    guidance = f", guidance {drawn['guidance']:g}" if drawn["guidance"] != 1 else ""
    label = f", {drawn['label']}" if drawn["label"] is not None else ""
    found = {
        "samples": f"{drawn['count']:,} by {drawn['sampler']}, seed {drawn['seed']}{guidance}{label}",
        "features": f"{extractor['features']:,} of {extractor['name']}",
        "training data": str(data["train"]),
    }
    if data["held_out"]:
        found["held-out data"] = str(data["held_out"])
    floor = tree["distances"]["floor"]
    return found | {"floor": f"{tree['floor']}: {floor['items']:,} to {floor['against']:,}"}


def table(tree: Mapping[str, Any]) -> Table:
    """The distances, each with its standard error."""
    sets = tree["distances"]
    columns = {name: title for name, title in COLUMNS.items() if name in sets}
    titles = {name: str(tree["titles"][name]) for name in ("frechet", "kernel")} | {name: name for name in TITLES}
    rows = (
        (title, *(number(sets[column][name]["value"], sets[column][name]["error"]) for column in columns))
        for name, title in titles.items()
    )
    return Table(tuple(columns.values()), tuple(rows))


def others(tree: Mapping[str, Any]) -> dict[str, str]:
    """What is no distance, by name."""
    found = {}
    scores, accuracy, colour = tree["inception_score"], tree["class_accuracy"], tree["colour"]
    if scores:
        own, data = (number(scores[name]["value"], scores[name]["error"]) for name in ("samples", "train"))
        found[str(tree["titles"]["inception_score"])] = f"{own}; training data {data}"
    if accuracy:
        own, data = (percent(accuracy[name]["value"], accuracy[name]["error"]) for name in ("samples", "data"))
        found["class accuracy"] = (
            f"{own} of samples are taken for the class that was asked for; of {accuracy['items']:,} real items {data}"
        )
    for name, near in tree["memorisation"].items():
        if near:
            found[f"memorisation by {name}"] = _memorised(near)
    if colour:
        sides = {"samples": colour["samples"], "training data": colour["data"]}
        sigmas = "–" if colour["sigmas"] is None else f"{colour['sigmas']:.1f}"
        means = "; ".join(f"{name} {_few(side['mean'])}" for name, side in sides.items())
        found["mean of each channel"] = (
            f"{means}; at most {colour['levels']:+.2f} of 255 levels apart, {sigmas} standard errors"
        )
        if "covariance" in colour["data"]:
            spread = {name: [row[i] ** 0.5 for i, row in enumerate(side["covariance"])] for name, side in sides.items()}
            found["deviation of each channel"] = "; ".join(f"{name} {_few(row)}" for name, row in spread.items())
    return found


def _memorised(near: Mapping[str, Any]) -> str:
    if "share" not in near:
        return f"cannot be told; the median distance to the nearest of {near['among']:,} is {near['median']:.4g}"
    share, expected, error = percent(near["share"], near.get("share_error")), near["expected"], near["error"]
    return (
        f"{share} of samples are nearer to a training item than {percent(1 - expected)} of unseen ones are; "
        f"without memorisation {percent(expected, error)}"
    )


def about_likelihood(tree: Mapping[str, Any]) -> dict[str, str]:
    """Bits/dim, by name, and of what."""
    data, bits = tree["data"], tree["bits_per_dim"]
    found = {
        "data": f"{data['images']:,} of {data['of']:,} of {short(str(data['source']))}, {data['split']} split",
        "bound": bound(tree),
        "bound, bits/dim": number(bits["total"]["mean"], bits["total"]["standard_error"]),
    }
    if "ode" in tree:
        ode, probes = tree["ode"]["bits_per_dim"], tree["settings"]["probes"]
        divergence = f"{probes} probe{'s' * (probes != 1)}" if probes else "exact divergence"
        found["probability flow"] = f"{tree['settings']['ode_steps']} steps, {divergence}, not clipped"
        found["probability flow, bits/dim"] = number(ode["mean"], ode["standard_error"])
    return found


def bound(tree: Mapping[str, Any]) -> str:
    """What a bound is of: other variances, clipping or decoders make another number."""
    settings, T = tree["settings"], tree["settings"]["T"]
    clipped = "clipped" if settings["clip"] else "not clipped"
    passes = T if settings["passes"] is None else min(T, settings["passes"])
    return f"{settings['variance']} variance, {clipped}, {settings['decoder']} decoder; {passes:,} passes for T = {T:,}"


def short(source: str) -> str:
    """What data is called, without the folders of the machine that it lies on."""
    return source if source.startswith("hf://") else PurePath(source).name or source


def number(value: float, error: float | None = None) -> str:
    """12.31 ± 0.42: two digits of the error, and the value to the same place."""
    if error is None or not error > 0:
        return f"{value:.4g}"
    places = 1 - math.floor(math.log10(error))
    if places > 5:
        return f"{value:.2g} ± {error:.1g}"
    return f"{value:,.{max(0, places)}f} ± {error:,.{max(0, places)}f}"


def percent(value: float, error: float | None = None) -> str:
    """A share in per cent, with one place at least of its error."""
    if error is None:
        return f"{100 * value:.3g} %"
    return f"{100 * value:.1f} ± {100 * error:.1f} %"


def _few(values: list[float]) -> str:
    shown = " ".join(f"{value:.4g}" for value in values[:SHOWN])
    return f"{shown} …" if len(values) > SHOWN else shown
