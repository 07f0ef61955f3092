"""The history: the methods from NCSN to rectified flow, trained on points, measured, and drawn in one figure."""

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
from ancestral.model import Model
from ancestral.results.history_result import HistoryMethod, HistoryResult
from ancestral.samplers import Step
from ancestral.training import RunFolder, Trainer
from ancestral.workflows.train import TrainingEvent, fit

SAMPLES = 5000
"""The number of samples, and of held-out points that they are compared with."""


def history(
    out: Path = Path("runs/history"),
    data: str = "moons",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    methods: Sequence[str] = tuple(configs.METHODS),
) -> Generator[TrainingEvent, None, HistoryResult | None]:
    """Train the methods on points, measure the distance of their samples to the data, and draw the figure.

    `out` gets history.json, history.png and the run folder of each method. Runs that are there already are resumed, or
    taken as they are where they are complete. `steps` replaces the training steps of the presets. If the user stops it,
    the result is None, and another call resumes it. Raises InputError for arguments that cannot be used and for a
    folder that holds other runs, before anything is written.
    """
    runs = _configs(out, data, steps, seed, methods)
    pick_device(device)
    folders = {name: RunFolder(out / config.preset) for name, config in runs.items()}
    for name, config in runs.items():
        _check_folder(folders[name], config)
    train_data = datasets.load(data)
    held_out = datasets.load(data, split="test").items[:SAMPLES]

    models: dict[str, Model] = {}
    for name, config in runs.items():
        twin = next((folders[other] for other in models if _trained_alike(runs[other], config)), None)
        model = yield from _train(folders[name], config, train_data, device, twin)
        if model is None:
            yield Message(f"Stopped while training {name}, and saved.")
            return None
        models[name] = model

    def sweeps() -> Generator[tuple[Sequence[int], Step], None, dict[str, StepSweep]]:
        results = {}
        for name, model in models.items():
            results[name] = yield from sweep_steps(model, held_out, seed)
        return results

    total = sum(steps + 1 for model in models.values() for steps in step_samplers(model))
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
    """The config of each method's run; raises InputError for arguments that cannot be used."""
    if not methods:
        raise InputError(f"--methods names none; there are {', '.join(configs.METHODS)}")
    for name in methods:
        if name not in configs.METHODS:
            near = difflib.get_close_matches(name, configs.METHODS, n=1, cutoff=0.0)[0]
            raise InputError(
                f"there is no method {name!r}; did you mean {near}? There are {', '.join(configs.METHODS)}"
            )
    if data not in configs.POINTS:
        raise InputError(
            f"the history is of points in the plane: --data {', '.join(configs.POINTS[:-1])} or {configs.POINTS[-1]}, "
            f"not {data}; for images try ancestral train {methods[0]} --data {data}"
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder")
    runs = {}
    for name in methods:
        config = configs.preset(f"{name}-points")
        train = dataclasses.replace(config.train, seed=seed, steps=config.train.steps if steps is None else steps)
        runs[name] = dataclasses.replace(config, data=dataclasses.replace(config.data, source=data), train=train)
        runs[name].check()
    return runs


def _check_folder(folder: RunFolder, config: Config) -> None:
    """Raise InputError if the folder holds another run, since the runs that are compared must be alike."""
    if folder.path.exists() and not folder.path.is_dir():
        raise InputError(f"{folder.path} is a file; give --out another folder")
    if folder.holds_run() and folder.read_config() != config:
        raise InputError(
            f"{folder.path} holds a run with other settings (data, steps, seed or preset); give --out another folder"
        )
    folder.check_whole()


def _trained_alike(one: Config, other: Config) -> bool:
    """Whether two runs differ only in how they are sampled."""
    one, other = (dataclasses.replace(config, preset="", sample=SampleConfig()) for config in (one, other))
    return one == other


def _train(
    folder: RunFolder, config: Config, dataset: Dataset, device: str, twin: RunFolder | None
) -> Generator[TrainingEvent, None, Model | None]:
    """The model of a run that is complete, resumed, copied from a run trained alike, or new; None if it was stopped."""
    keep_freed_memory()
    trainer = Trainer(config, dataset, device)
    if not folder.holds_run():
        folder.begin(config)
    if folder.checkpoints.exists():
        trainer.load(folder)
    elif twin is not None:
        trainer.load(twin)
        storage.write_text(folder.log, twin.log.read_text(encoding="utf-8"))
        trainer.save(folder)
        yield Message(f"{config.preset}: trained as {twin.path.name} is, so a copy of it")
    if trainer.step < config.train.steps:
        folder.trim_log(trainer.step)
        resumed = f" from step {trainer.step}" if trainer.step else ""
        yield Message(f"{config.preset}: training{resumed} -> {folder.path}")
        if not (yield from fit(trainer, folder)):
            return None
    elif not folder.model.exists():  # killed between the two files of its last save
        trainer.save(folder)
    return trainer.model()
