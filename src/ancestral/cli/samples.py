"""The samples that `ancestral evaluate` measures: drawn by all processes, then looked at, and told of by one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.cli.bars import watched
from ancestral.cli.console import console

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ancestral.evaluation.quality import Quality
    from ancestral.evaluation.study import Study
    from ancestral.metrics.extractors import Features
    from ancestral.training.distributed import Distributed

SHOWN, POINTS = 12, 1000
"""Samples in a row of the picture; of points so many are a cloud."""


def share(study: "Study", engine: "Distributed", batch_size: int) -> None:
    """Draw this process's part of the samples that are missing, and look at its part of all items.

    Everything goes through files, so what is killed goes on; processes wait for each other where their work ends.
    """
    from ancestral.evaluation import quality

    missing = study.drawn.missing(study.count, batch_size)
    engine.wait()  # until all have seen the same
    mine, every = missing[engine.rank :: engine.world], sum(map(len, missing))
    steps = study.draw(mine)
    if mine and engine.main:
        scale = every / sum(map(len, mine))  # as fast as this one is, so are the others
        steps = watched(steps, "drawing", every, lambda images: images * scale, "samples")
    for _ in steps:
        pass
    engine.wait()
    if engine.world > 1 and quality.kept(study.extractor):  # through files too
        for _, items, folder in study.sets(samples(study, batch_size)):
            parts = quality.pieces(len(items))[engine.rank :: engine.world]
            for _ in quality.look(study.extractor, items, parts, batch_size, folder):
                pass
        engine.wait()


def samples(study: "Study", batch_size: int) -> "Tensor":
    """All samples; what is on no disk that this process can see is drawn first."""
    while (items := study.drawn.read(study.count)) is None:
        for _ in study.draw(study.drawn.missing(study.count, batch_size)):
            pass
    return items


def looks(study: "Study", items: "Tensor", batch_size: int) -> "list[Features]":
    """The features of samples and of the data that they are held against, in the order of `study.sets`."""
    from ancestral.evaluation import quality
    from ancestral.metrics.extractors import gathered

    found = []
    for name, part, folder in study.sets(items):
        look = quality.look(study.extractor, part, quality.pieces(len(part)), batch_size, folder)
        watching = watched(look, f"looking at {name}", len(part), lambda batch: len(batch.values), "items")
        found.append(gathered(watching))
    return found


def measure(study: "Study", run: str, batch_size: int, out: Path) -> None:
    """Show how good the samples are, and write samples.json and memorisation.png into `out`."""
    from ancestral import render
    from ancestral.evaluation import quality

    items = samples(study, batch_size)
    *_, whole = watched(study.measure(items, looks(study, items, batch_size)), "measuring", quality.STAGES)
    tree = study.tree(whole, run)
    _show(tree)
    render.write_json(out / "samples.json", tree)
    render.write_picture(out / "memorisation.png", _picture(study, items, whole))
    print(out / "samples.json", out / "memorisation.png", sep="\n")


def _picture(study: "Study", items: "Tensor", found: "Quality") -> "Image":
    """The samples that come nearest to training items, above these."""
    from ancestral.evaluation.results import closest
    from ancestral.render import Twins, memorisation

    spaces = (("pixels", found.pixels, study.train.all), ("features", found.features, study.train.items))
    groups = []
    for name, near, train in spaces:
        if near is not None:
            rows = closest(near, SHOWN if items.ndim > 2 else POINTS)
            groups.append(Twins(f"nearest by {name}", items[rows], train[near.samples.index[rows]]))
    return memorisation(groups, study.model.spec.codec.limits)


def _show(tree: dict[str, Any]) -> None:
    from rich.table import Table

    from ancestral.render import summary as words

    out = console()
    for rows in (words.setting(tree), None, words.others(tree)):
        if rows is None:
            distances = words.table(tree)
            table = Table(box=None)
            table.add_column("", style="bold")
            for column in distances.columns:
                table.add_column(column, justify="right")
            for row in distances.rows:
                table.add_row(*row)
        else:
            table = Table(show_header=False, box=None)
            table.add_column(style="bold")
            for name, text in rows.items():
                table.add_row(name, text)
        out.print(table)
    for note in words.notes(tree):
        out.print(note)
