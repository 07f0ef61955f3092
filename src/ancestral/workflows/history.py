"""The history: the methods from NCSN to consistency tuning, trained on points, measured, and drawn in one figure."""

import dataclasses
import difflib
from collections.abc import Generator, Sequence
from pathlib import Path

from ancestral import config as configs
from ancestral import data as datasets
from ancestral import render, storage
from ancestral.config import Config, SampleConfig
from ancestral.data import Dataset
from ancestral.device import keep_freed_memory, pick_device
from ancestral.errors import InputError
from ancestral.evaluation.step_sweep import TOLERANCE, StepSweep, data_floor, step_samplers, sweep_steps
from ancestral.events import Message, Wrote, track
from ancestral.model import Model, OwnParts
from ancestral.results.history_result import HistoryMethod, HistoryResult
from ancestral.samplers import Step
from ancestral.training import Checkpoints, RunFolder, Trainer
from ancestral.workflows import fine_tuning
from ancestral.workflows.train import TrainingEvent, fit

SAMPLES = 5000
"""The number of samples, and of held-out points that they are compared with."""


def history(
    out: Path = Path("runs/history"),
    data: str = "moons",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    methods: Sequence[str] = configs.HISTORY,
) -> Generator[TrainingEvent, None, HistoryResult | None]:
    """Train the methods on points, measure the distance of their samples to the data, and draw the figure.

    `out` gets history.json, history.png and the run folder of each method. Runs that are there already are resumed, or
    taken as they are where they are complete. A method that starts from the model of another trains that one first,
    also where it is not among `methods`. `steps` replaces the training steps of all. If the user stops it, the result
    is None, and another call resumes it. Raises InputError for arguments that cannot be used and for a folder that
    holds other runs, before anything is written.
    """
    methods = tuple(dict.fromkeys(methods))
    runs = _configs(out, data, steps, seed, methods)
    pick_device(device)
    folders = {name: RunFolder(out / f"{name}-points") for name in runs}
    bases = {name: configs.STARTS_FROM[name] for name in runs if name in configs.STARTS_FROM}
    for name, config in runs.items():
        _check_folder(folders[name], config)
    for name, base in bases.items():
        _check_start(folders[name], folders[base], runs[base])
    train_data = datasets.load(data)
    held_out = datasets.load(data, split="test").items[:SAMPLES]

    models: dict[str, Model] = {}
    for name, config in runs.items():
        twin = next((folders[other] for other in models if _trained_alike(runs[other], config)), None)
        start = folders[bases[name]] if name in bases else None
        model = yield from _train(folders[name], config, train_data, device, twin, start)
        if model is None:
            yield Message(f"Stopped while training {name}, and saved.")
            return None
        models[name] = model

    def sweeps() -> Generator[tuple[Sequence[int], Step], None, dict[str, StepSweep]]:
        results = {}
        for name in methods:
            results[name] = yield from sweep_steps(models[name], held_out, seed)
        return results

    total = sum(steps + 1 for name in methods for steps in step_samplers(models[name]))
    try:
        measured = yield from track(sweeps(), "measuring", total)
    except KeyboardInterrupt:
        yield Message("Stopped while measuring; all that was trained is saved.")
        return None
    floor = data_floor(train_data.items, held_out)
    result = HistoryResult(
        data=data,
        seed=seed,
        samples=len(held_out),
        distance="sliced Wasserstein-2, to held-out points",
        floor=floor,
        tolerance=TOLERANCE,
        methods={
            name: HistoryMethod(
                ", ".join(configs.PAPERS[name]),
                models[name].step,
                folders[name].seconds(),
                sweep.own(),
                sweep.best(),
                sweep.needed(floor),
                tuple(sweep.points),
                bases.get(name),
            )
            for name, sweep in measured.items()
        },
    )
    storage.write_text(out / "history.json", result.to_json())
    yield Wrote(out / "history.json")
    render.write_picture(out / "history.png", render.history_figure(result, measured, held_out))
    yield Wrote(out / "history.png")
    return result


def _configs(out: Path, data: str, steps: int | None, seed: int, methods: Sequence[str]) -> dict[str, Config]:
    """The config of each run, in the order of training; raises InputError for arguments that cannot be used."""
    if not methods:
        raise InputError(f"--methods names none; there are {', '.join(configs.HISTORY)}")
    for name in methods:
        if name not in configs.HISTORY:
            near = difflib.get_close_matches(name, configs.HISTORY, n=1, cutoff=0.0)[0]
            raise InputError(
                f"there is no method {name!r}; did you mean {near}? There are {', '.join(configs.HISTORY)}"
            )
    if data not in configs.POINTS:
        trained = configs.STARTS_FROM.get(methods[0], methods[0])
        raise InputError(
            f"the history is of points in the plane: --data {', '.join(configs.POINTS[:-1])} or {configs.POINTS[-1]}, "
            f"not {data}; for images try ancestral train {trained} --data {data}"
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder")
    runs = {}
    for name in [run for method in methods for run in (configs.STARTS_FROM.get(method, method), method)]:
        config = configs.preset(f"{configs.STARTS_FROM.get(name, name)}-points")
        if name in configs.STARTS_FROM:
            config = configs.distilled(config, "tuning")
            stages = min(config.distil.stages, steps or config.train.steps)
            config = dataclasses.replace(config, distil=dataclasses.replace(config.distil, stages=stages))
        train = dataclasses.replace(config.train, seed=seed, steps=config.train.steps if steps is None else steps)
        runs[name] = dataclasses.replace(config, data=dataclasses.replace(config.data, source=data), train=train)
        runs[name].check()
    return runs


def _check_folder(folder: RunFolder, config: Config) -> None:
    """Raise InputError if the folder holds another run, since the runs that are compared must be alike."""
    if folder.path.exists() and not folder.path.is_dir():
        raise InputError(f"{folder.path} is a file; give --out another folder")
    if folder.holds_run():
        saved = folder.read_config()
        if config.distil.method:  # the model that it starts from is checked apart
            saved = dataclasses.replace(saved, initial=config.initial)
        if saved != config:
            raise InputError(
                f"{folder.path} holds a run with other settings (data, steps, seed or preset); give --out another "
                "folder"
            )
    folder.check_whole()


def _check_start(folder: RunFolder, start: RunFolder, config: Config) -> None:
    """Raise InputError if the folder holds a run that started from another model than the one of a complete run."""
    if not (folder.holds_run() and start.publishes(config.train.steps)):
        return
    if folder.read_config().initial.sha256 != storage.sha256(start.model):
        raise InputError(
            f"{folder.path} holds a run that started from another model than {start.model}; give --out another folder"
        )


def _trained_alike(one: Config, other: Config) -> bool:
    """Whether two runs differ only in how they are sampled."""
    one, other = (dataclasses.replace(config, preset="", sample=SampleConfig()) for config in (one, other))
    return one == other


def _train(
    folder: RunFolder, config: Config, dataset: Dataset, device: str, twin: RunFolder | None, start: RunFolder | None
) -> Generator[TrainingEvent, None, Model | None]:
    """The model of a run that is complete, resumed, copied from a run trained alike, or new; None if it was stopped.

    A new run starts from random weights, or from the model of `start`.
    """
    keep_freed_memory()
    name, saved = folder.path.name, bool(Checkpoints(folder.checkpoints).steps())
    if saved:
        config = folder.read_config()  # it records the model that the run started from
    initial = None if saved or start is None else fine_tuning.start_of(start.path, config, OwnParts(), None, folder)
    if initial is not None:
        config = dataclasses.replace(config, initial=initial.record)
    trainer = Trainer(config, dataset, device)
    if not folder.holds_run():
        folder.begin(config)
    if saved:
        trainer.load(folder)
    elif twin is not None:
        trainer.load(twin)
        storage.write_text(folder.log, twin.log.read_text(encoding="utf-8"))
        trainer.save(folder)
        yield Message(f"{name}: trained as {twin.path.name} is, so a copy of it")
    elif initial is not None:
        fine_tuning.begin(trainer, initial)
        trainer.save(folder)  # from here on the run needs the model that it started from no more
        yield Message(f"{name}: {initial}")
    if trainer.step < config.train.steps:
        folder.trim_log(trainer.step)
        resumed = f" from step {trainer.step}" if trainer.step else ""
        yield Message(f"{name}: training{resumed} -> {folder.path}")
        if not (yield from fit(trainer, folder)):
            return None
    elif not folder.model.exists():  # killed between the two files of its last save
        trainer.save(folder)
    return trainer.model()
