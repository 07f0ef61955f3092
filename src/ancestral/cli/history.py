"""`ancestral history`: the methods from NCSN to flow, trained on points, measured, and drawn in one picture."""

import dataclasses
import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ancestral import config as configs
from ancestral.cli.fit import fit
from ancestral.cli.parse import parse
from ancestral.cli.train import check
from ancestral.config import Config, SampleConfig
from ancestral.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from ancestral.data import InMemoryDataset
    from ancestral.history import Study
    from ancestral.model import Model
    from ancestral.training import RunFolder


@dataclass(frozen=True)
class Options:
    """Train the methods of the history on points, measure what each needs, and draw them side by side."""

    out: Path = Path("runs/history")
    """Folder for the picture, the figures, and a run folder of each method."""
    data: str = "moons"
    """Points in the plane: moons, swissroll or checkerboard."""
    steps: int | None = None
    """Training steps of each method; None is those of its preset."""
    seed: int = 0
    """Everything random follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    methods: tuple[str, ...] = tuple(configs.METHODS)
    """Which methods, in the order in which they are drawn."""


def main(argv: Sequence[str]) -> int:
    """Train, measure, draw, and return the exit code."""
    options = parse(Options, argv, "history")
    runs = _runs(options)

    from rich.console import Console

    from ancestral import data, history
    from ancestral.device import keep_freed_memory, pick_device
    from ancestral.training import RunFolder

    pick_device(options.device)  # one that is not there is refused before anything is written
    folders = {name: RunFolder(options.out / config.preset) for name, config in runs.items()}
    for name, config in runs.items():
        _refuse_others(folders[name], config)
    console = Console(markup=False, emoji=False, highlight=False)
    keep_freed_memory()
    dataset = data.load(options.data)
    held_out = data.load(options.data, split="test").items[: history.COUNT]

    models: dict[str, Model] = {}
    again = f"Go on with:  {shlex.join(['ancestral', 'history', *argv])}"
    for name, config in runs.items():
        twin = next((folders[other] for other in models if _same_training(runs[other], config)), None)
        model = _trained(folders[name], config, dataset, options.device, twin, console)
        if model is None:
            console.print(f"Stopped while training {name}, and saved. {again}", soft_wrap=True)
            return 0
        models[name] = model
    studies = {name: history.Study(model, held_out, options.seed) for name, model in models.items()}
    try:
        _measure(studies)
    except KeyboardInterrupt:
        console.print(f"Stopped while measuring; all that was trained is saved. {again}", soft_wrap=True)
        return 0
    floor = history.floor(dataset.items, held_out)
    seconds = {name: folder.seconds() for name, folder in folders.items()}
    _write(options, studies, floor, seconds, held_out, console)
    return 0


def _runs(options: Options) -> dict[str, Config]:
    """The config of each method's run. Raises InputError for what cannot be."""
    if not options.methods:
        raise InputError(f"--methods names none; there are {', '.join(configs.METHODS)}")
    for name in options.methods:
        if name not in configs.METHODS:
            near = difflib.get_close_matches(name, configs.METHODS, n=1, cutoff=0.0)[0]
            raise InputError(
                f"there is no method {name!r}; did you mean {near}? There are {', '.join(configs.METHODS)}"
            )
    if options.data not in configs.POINTS:
        raise InputError(
            f"history is of points in the plane: --data {', '.join(configs.POINTS[:-1])} or {configs.POINTS[-1]}, not "
            f"{options.data}; for images try ancestral train {options.methods[0]} --data {options.data}"
        )
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out} is a file; give --out a folder")
    runs = {}
    for name in options.methods:
        config = configs.preset(f"{name}-points")
        train = dataclasses.replace(config.train, seed=options.seed)
        if options.steps is not None:
            train = dataclasses.replace(train, steps=options.steps)
        data = dataclasses.replace(config.data, source=options.data)
        runs[name] = dataclasses.replace(config, data=data, train=train)
        check(runs[name])
    return runs


def _refuse_others(folder: "RunFolder", config: Config) -> None:
    """Raise InputError where the folder holds a run that is not this one: what is compared must be alike."""
    if folder.path.exists() and not folder.path.is_dir():
        raise InputError(f"{folder.path} is a file; give --out another folder")
    if folder.holds_run() and folder.read_config() != config:
        raise InputError(
            f"{folder.path} holds a run with other settings (data, steps, seed or preset); give --out another folder"
        )
    folder.check_whole()


def _same_training(one: Config, other: Config) -> bool:
    """Whether two runs differ in nothing but how they are sampled."""
    return dataclasses.replace(one, preset="", sample=SampleConfig()) == dataclasses.replace(
        other, preset="", sample=SampleConfig()
    )


def _trained(
    folder: "RunFolder",
    config: Config,
    dataset: "InMemoryDataset",
    device: str,
    twin: "RunFolder | None",
    console: "Console",
) -> "Model | None":
    """The model of a run that is finished, gone on with, copied from its twin, or made; None where it was stopped."""
    from ancestral.storage import write_text
    from ancestral.training import Trainer

    trainer = Trainer(config, dataset, device)
    if not folder.holds_run():
        folder.begin(config)
    if folder.checkpoints.exists():
        trainer.load(folder)
    elif twin is not None:
        trainer.load(twin)
        write_text(folder.log, twin.log.read_text(encoding="utf-8"))
        trainer.save(folder)
        console.print(f"{config.preset}: trained as {twin.path.name} is, so a copy of it")
    if trainer.step < config.train.steps:
        folder.trim_log(trainer.step)
        went = f" from step {trainer.step}" if trainer.step else ""
        console.print(f"{config.preset}: training{went} -> {folder.path}", soft_wrap=True)
        if not fit(trainer, folder, console):
            return None
    elif not folder.model.exists():  # stopped between the two files of its last save
        trainer.save(folder)
    return trainer.model()


def _measure(studies: dict[str, "Study"]) -> None:
    """Run the studies under a live line."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    walks = ((name, step) for name, study in studies.items() for step in study.run())
    total = sum(steps + 1 for study in studies.values() for steps in study.samplers)
    for _ in track(walks, "measuring", total, console=console, transient=True, disable=not console.is_terminal):
        pass


def _write(
    options: Options,
    studies: dict[str, "Study"],
    floor: float,
    seconds: dict[str, float],
    held_out: "Tensor",
    console: "Console",
) -> None:
    """The figures, the picture, and the table."""
    from rich.table import Table

    from ancestral import history, render

    methods = {
        name: {"paper": ", ".join(configs.PAPERS[name]), "training_seconds": seconds[name], **study.figures(floor)}
        for name, study in studies.items()
    }
    figures = {
        "data": options.data,
        "seed": options.seed,
        "samples": len(held_out),
        "distance": "sliced Wasserstein-2, to held-out points",
        "floor": floor,
        "slack": history.SLACK,
        "methods": methods,
    }
    render.write_json(options.out / "history.json", figures)
    render.write_picture(options.out / "history.png", render.history(studies, held_out, floor))
    table = Table(box=None, pad_edge=False)
    for column in ("method", "passes needed", "distance", "of its own", "at", "training"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, study in studies.items():
        needed, own = study.needed(floor), next(m for m in study.measures if m.steps == study.own)
        table.add_row(name, str(needed.passes), f"{needed.distance:.4f}", str(own.passes), f"{own.distance:.4f}",
                      f"{seconds[name]:.0f} s")  # fmt: skip
    console.print(table)
    console.print(f"The data is {floor:.4f} away from itself: {len(held_out):,} points from as many others.")
    console.print(f"Look at {options.out / 'history.png'}; the figures are in history.json beside it.", soft_wrap=True)
