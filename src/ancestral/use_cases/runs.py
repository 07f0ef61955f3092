"""The runs of a folder: what they came to, what they take on disk, and what finished ones no longer need."""

import contextlib
import os
import shutil
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.base.storage import size_of
from ancestral.config import Config
from ancestral.config.run_files import EVALUATION, REPORTS, RUN_PARTS, last_row
from ancestral.declarations import Runs
from ancestral.model import describe, describe_file
from ancestral.results import EvaluationResult
from ancestral.results.run_result import CleaningResult, Removal, RunList, RunSummary
from ancestral.training import Checkpoints, RunFolder

RUNS_DEPTH = 2
"""Folders of runs are searched in the folder and in its folders, as a comparison of several runs makes one."""


def plan(options: Runs) -> Runs:
    """Check the options. Raises InputError for `yes` without `clean`."""
    if options.yes and not options.clean:
        raise InputError(f"{option('yes', True)} removes what {option('clean', True)} shows; give both")
    return options


def run(plan: Runs) -> Generator[Event, None, RunList | CleaningResult]:
    """List the runs of a folder, or clean them up. Raises InputError if there is no such folder."""
    yield from ()
    return _clean(Path(plan.folder), plan.yes) if plan.clean else _list(Path(plan.folder))


def _list(folder: Path) -> RunList:
    """List the runs, the one that changed last first. Damaged runs and other folders are named in `problems`."""
    summaries, problems = [], list[str]()
    for run, name in _run_folders(folder, problems):
        try:
            summaries.append(_summary(run, name, problems))
        except InputError as error:
            problems.append(f"damaged: {error.text}")
        except OSError:
            problems.append(f"may not be read: {run.path}")
    latest_first = sorted(summaries, key=lambda run: run.changed, reverse=True)
    return RunList(str(folder), tuple(latest_first), tuple(problems))


def _clean(folder: Path, yes: bool) -> CleaningResult:
    """Remove what finished runs no longer need: old checkpoints, snapshots, and temporary files that were left.

    The newest checkpoint stays, from which more steps go on, and those of `keep_every`; no snapshot stays, so that
    `average` makes no other averages. Of runs that are not finished only temporary files are removed, and runs that a
    process trains are left alone.
    """
    removals, problems = [], list[str]()
    for run, _ in _run_folders(folder, []):
        try:
            config = _config(run)
            finished = _saved_step(run) >= config.train.steps
            if not finished and not run.abandoned():
                continue
            with run.locked():
                for path in _needless(run, config) if finished else run.abandoned():
                    removals.append(Removal(str(path), size_of(path)))
                    if yes:
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except InputError as error:
            problems.append(f"left alone: {error.text}")
    return CleaningResult(str(folder), tuple(removals), yes and bool(removals), tuple(problems))


def _run_folders(
    folder: Path, problems: list[str], depth: int = RUNS_DEPTH, name: str = ""
) -> Iterator[tuple[RunFolder, str]]:
    """The run folders in a folder, or itself if it is one, with their names; adds a line for each other folder."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; training writes runs into runs/ by default")
    run = RunFolder(folder)
    if run.holds_run():
        yield run, name or folder.absolute().name
        return
    inner = sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in REPORTS
    )
    locked = [path for path in inner if not os.access(path, os.R_OK | os.X_OK)]
    problems += [f"may not be read: {path}" for path in locked]
    inner = [path for path in inner if path not in locked]
    if name and not any(RunFolder(path).holds_run() for path in inner):
        problems.append(f"no run: {folder}")
    elif depth:
        for path in inner:
            yield from _run_folders(path, problems, depth - 1, f"{name}/{path.name}" if name else path.name)


def _summary(run: RunFolder, name: str, problems: list[str]) -> RunSummary:
    config, saved, (logged, loss) = _config(run), 0, _last_logged(run)
    try:
        saved = _saved_step(run)
    except InputError as error:
        problems.append(f"damaged: {error.text}")
    samples, measured = EvaluationResult.load(run.path / EVALUATION).samples, None
    if samples is not None and samples.model is not None and samples.model.step == saved:  # not of the model before
        measured = samples.numbers.get("frechet")
    parts, changed = dict[str, int](), run.path.stat().st_mtime
    for path in (Path(root) / file for root, _, files in os.walk(run.path) for file in files):
        with contextlib.suppress(OSError):  # it vanished meanwhile
            facts, kind = path.lstat(), RUN_PARTS.get(path.relative_to(run.path).parts[0], "other")
            changed = max(changed, facts.st_mtime) if parts else facts.st_mtime  # not of the folder
            parts[kind] = parts.get(kind, 0) + facts.st_size
    return RunSummary(
        name=name,
        data=config.data.source,
        preset=config.preset,
        step=max(saved, logged),
        steps=config.train.steps,
        size=sum(parts.values()),
        parts=parts,
        changed=datetime.fromtimestamp(changed, UTC).astimezone().isoformat(timespec="seconds"),
        loss=loss,
        distance=None if measured is None else measured.value,
        distance_name=None if measured is None else measured.title,
        best=run.best_model(),
    )


def _config(run: RunFolder) -> Config:
    """The config of a run, or of its model file if that is all there is. Raises InputError if it is damaged."""
    if not run.config.exists() and run.model.exists():
        return describe_file(run.model)[0]
    try:
        return Config.from_json(run.config.read_text(encoding="utf-8"), str(run.config))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{run.path}: cannot read {run.config.name}: {error}") from None


def _saved_step(run: RunFolder) -> int:
    """The step of the model file, 0 without one. Raises InputError if it is damaged."""
    if not run.model.exists():
        return 0
    metadata = storage.read_metadata(run.model)
    describe(run.model, metadata)
    return int(metadata["step"])


def _last_logged(run: RunFolder) -> tuple[int, float | None]:
    """The step and the loss of the last whole line of the log; 0 and None without one."""
    row = last_row(run.log)
    return (0, None) if row is None else (int(row[0]), row[1])


def _needless(run: RunFolder, config: Config) -> list[Path]:
    """List files that a finished run needs no more: old checkpoints, snapshots, abandoned files."""
    checkpoints = Checkpoints(run.checkpoints)
    steps, every, whole = checkpoints.steps(), config.runtime.keep_every, 0
    for step in reversed(steps):
        with contextlib.suppress(InputError):
            checkpoints.verify(step)
            whole = step
            break
    old = [checkpoints.path(step) for step in steps if step < whole and not (every and step % every == 0)]
    snapshots = [run.snapshots] if run.snapshots.is_dir() else []
    return [*old, *snapshots, *run.abandoned()]
