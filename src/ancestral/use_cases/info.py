"""The description of a model, and the state of the files of a run."""

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

from ancestral.base import hub
from ancestral.base.errors import InputError
from ancestral.base.events import Event
from ancestral.base.quantities import plural
from ancestral.base.storage import read_tensors, size_of
from ancestral.config import run_files
from ancestral.declarations import Info
from ancestral.model import find, load
from ancestral.results.run_result import ConditionInfo, FileState, ModelInfo, RunFiles
from ancestral.training import Checkpoints, RunFolder
from ancestral.training.run_folder import run_named_in


def plan(options: Info) -> Info:
    """Return the options: there is nothing to decide."""
    return options


def run(plan: Info) -> Generator[Event, None, ModelInfo | RunFiles]:
    """Describe the model, or check the files of the run. Raises InputError if there is none."""
    yield from ()
    if plan.verify:
        return _verified(plan.run)
    file = find(plan.run)
    model = load(file, "cpu", net=plan.net)
    config, spec, schedule = model.config, model.spec, model.denoiser.schedule
    return ModelInfo(
        model=str(plan.run if hub.is_address(plan.run) else file),
        version=model.version,
        file_bytes=file.stat().st_size,
        preset=config.preset,
        source=config.data.source,
        step=model.step,
        steps=config.train.steps,
        batch_size=config.train.batch_size or 0,
        seed=config.train.seed,
        shape=spec.shape,
        codec=spec.codec.kind,
        limits=spec.codec.limits,
        classes=spec.classes,
        mean=spec.mean,
        parameters=model.parameters,
        network=str(config.net),
        schedule=schedule.spec.get("name", "custom"),
        timesteps=schedule.steps,
        final_signal=float(schedule.signal[-1]),
        rate=spec.rate,
        target=model.diffusion.target.name,
        clip=config.process.clip,
        initial=config.initial.model or None,
        average=model.average,
        objective=config.train.objective,
        distilled=str(config.distil) if config.distil.method else None,
        sampler=config.sample.sampler,
        latents=None if spec.autoencoder is None else f"{config.latent}: {'x'.join(map(str, spec.x_shape))}",
        best=RunFolder(file.parent).best_model(),
        ranges=spec.codec.ranges,
        channels=spec.titles,
        scale="" if spec.codec.bounded else str(config.data.scale),
        gaps=spec.codec.gaps,
        periodic=tuple(spec.axis_names[axis] for axis in spec.periodic),
        conditions={name: ConditionInfo.of(kind) for name, kind in spec.further.items()},
    )


def _verified(place: str | Path) -> RunFiles:
    """Check the files of a run folder, or a model file alone."""
    run = RunFolder(Path(place))
    if hub.is_address(place) or not run.holds_run():
        file = find(place)
        named, problem = _checked(file)
        return RunFiles(str(place), named, (FileState(str(place), file.stat().st_size, named, problem),))
    states = list[FileState]()
    unhashed = dict[str, list[Path]]()
    abandoned = run.abandoned()
    for path in _units(run, abandoned):
        name = str(path.relative_to(run.path))
        if path in abandoned:
            note = "left by a process that was killed: the next training here removes it"
            states.append(FileState(name, size_of(path), note=note))
        elif _is_stray(run, path):
            states.append(FileState(name, size_of(path), note="stray: no file of a run"))
        elif path.is_dir() or path.name == run_files.CONFIG or path.suffix == run.model.suffix:
            states.append(FileState(name, size_of(path), *_checked(path)))
        else:
            unhashed.setdefault(path.relative_to(run.path).parts[0], []).append(path)
    for name, paths in sorted(unhashed.items()):
        of = f"{plural(len(paths), 'file')} " if len(paths) > 1 else ""
        states.append(FileState(name, sum(map(size_of, paths)), note=f"{of}without digests"))
    identity = next((state.run for state in states if state.path == run_files.CONFIG and state.run), "")
    identity = identity or next((state.run for state in states if state.run), "")
    other = f"{{}} is of the run {{}}, and not of {identity}"
    checked = (
        replace(state, problem=other.format(run.path / state.path, state.run))
        if state.run not in ("", identity)
        else state
        for state in states
    )
    return RunFiles(str(run.path), identity, tuple(checked))


def _units(run: RunFolder, abandoned: list[Path]) -> Iterator[Path]:
    """All files of a run folder in order; a checkpoint, and a folder that a killed process left, count as one."""
    for place, folders, files in os.walk(run.path):
        whole = [name for name in folders if Path(place) == run.checkpoints or Path(place, name) in abandoned]
        folders[:] = sorted(name for name in folders if name not in whole)
        yield from (Path(place, name) for name in sorted([*whole, *files]))


def _is_stray(run: RunFolder, path: Path) -> bool:
    """Whether no run writes a file of this name."""
    name, *rest = path.relative_to(run.path).parts
    if name in (run_files.CHECKPOINTS, run_files.SNAPSHOTS):
        return not (len(rest) == 1 and Path(rest[0]).stem.isdecimal())
    return name not in run_files.OF_RUN


def _checked(path: Path) -> tuple[str, str]:
    """The run that a file or a checkpoint names, and what is wrong with it."""
    try:
        if path.is_dir():
            return str(Checkpoints(path.parent).verify(int(path.name))["facts"].get("run", "")), ""
        if path.name == run_files.CONFIG:
            return RunFolder(path.parent).read_config().run, ""
        return run_named_in(read_tensors(path)[1]), ""
    except InputError as error:
        return "", error.text
