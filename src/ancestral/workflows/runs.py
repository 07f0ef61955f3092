"""The runs of a folder: what they came to, what they take on disk, and what finished ones no longer need."""

import contextlib
import os
import shutil
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ancestral import storage
from ancestral.config import Config
from ancestral.config.output_folders import REPORTS
from ancestral.declarations import Runs
from ancestral.errors import InputError
from ancestral.events import Event
from ancestral.model import describe, describe_file
from ancestral.options import option
from ancestral.results import EvaluationResult
from ancestral.results.run_list import PARTS, CleaningResult, Removal, RunList, RunSummary
from ancestral.storage import size_of
from ancestral.training import Checkpoints, RunFolder

DEPTH = 2
"""Folders of runs are searched in the folder and in its folders, as a comparison of several runs makes one."""
ABANDONED = 3600
"""Seconds after which a temporary file is no longer one that is being written."""


def plan(options: Runs) -> Runs:
    """Check the options. Raises InputError for `yes` without `clean`."""
    if options.yes and not options.clean:
        raise InputError(f"{option('yes', True)} removes what {option('clean', True)} shows; give both")
    return options


def run(plan: Runs) -> Generator[Event, None, RunList | CleaningResult]:
    """List the runs, or clean them up."""
    yield from ()
    return clean_runs(plan.folder, plan.yes) if plan.clean else list_runs(plan.folder)


def list_runs(folder: str | Path) -> RunList:
    """List the runs of a folder.

    Args:
        folder: The folder that holds run folders, or one run folder.

    Returns:
        The runs, the one that changed last first. Damaged runs and other folders are named in `problems`.

    Raises:
        InputError: If there is no such folder.
    """
    found, problems = [], list[str]()
    for run, name in _run_folders(Path(folder), problems):
        try:
            found.append(_summary(run, name, problems))
        except InputError as error:
            problems.append(f"damaged: {error.text}")
    return RunList(str(folder), tuple(sorted(found, key=lambda run: run.changed, reverse=True)), tuple(problems))


def clean_runs(folder: str | Path, yes: bool) -> CleaningResult:
    """Remove what finished runs no longer need: old checkpoints, snapshots, and temporary files that were left.

    The newest checkpoint stays, from which more steps go on, and those of `keep_every`; no snapshot stays, so that
    `average` makes no other averages. Runs that are not finished, or that a process trains, are left alone.

    Args:
        folder: The folder that holds run folders, or one run folder.
        yes: Whether to remove anything; without, the result says what would be removed.

    Returns:
        The files and folders, with their sizes.

    Raises:
        InputError: If there is no such folder.
        OSError: If something cannot be removed.
    """
    removals, problems = [], list[str]()
    for run, _ in _run_folders(Path(folder), []):
        try:
            config = _config(run)
            if _saved_step(run) < config.train.steps:
                continue
            with run.locked():
                for path in _needless(run, config):
                    removals.append(Removal(str(path), size_of(path)))
                    if yes:
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except InputError as error:
            problems.append(f"left alone: {error.text}")
    return CleaningResult(str(folder), tuple(removals), yes and bool(removals), tuple(problems))


def _run_folders(
    folder: Path, problems: list[str], depth: int = DEPTH, name: str = ""
) -> Iterator[tuple[RunFolder, str]]:
    """The run folders in a folder, or itself if it is one, with their names; adds a line for each other folder."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; runs are kept in runs/ unless {option('out')} says otherwise")
    run = RunFolder(folder)
    if run.holds_run():
        yield run, name or folder.absolute().name
        return
    try:
        inner = sorted(
            path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in REPORTS
        )
    except OSError as error:
        problems.append(f"cannot be read: {folder}: {error.strerror}")
        return
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
    measured = EvaluationResult.load(run.path / "evaluation").samples
    if measured is not None and (measured.model is None or measured.model.step != saved):
        measured = None  # of the model before
    parts = _parts(run)
    return RunSummary(
        name=name,
        data=config.data.source,
        preset=config.preset,
        step=max(saved, logged),
        steps=config.train.steps,
        size=sum(parts.values()),
        parts=parts,
        changed=_changed(run.path),
        loss=loss,
        distance=measured.distances.train.frechet if measured else None,
        distance_name=measured.titles.frechet if measured else None,
    )


def _config(run: RunFolder) -> Config:
    """The config of a run, or of its model file if that is all there is. Raises InputError if it is damaged."""
    if not run.config.exists() and run.model.exists():
        return describe_file(run.model)[0]
    try:
        return Config.from_json(run.config.read_text(encoding="utf-8"), str(run.config))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{run.path}: cannot read config.json: {error}") from None


def _saved_step(run: RunFolder) -> int:
    """The step of the model file, 0 without one. Raises InputError if it is damaged."""
    if not run.model.exists():
        return 0
    metadata = storage.read_metadata(run.model)
    describe(run.model, metadata)
    return int(metadata["step"])


def _last_logged(run: RunFolder) -> tuple[int, float | None]:
    """The step and the loss of the last whole line of the log; 0 and None without one."""
    with contextlib.suppress(OSError):
        for line in reversed(run.log.read_text(encoding="utf-8", errors="replace").splitlines()):
            with contextlib.suppress(ValueError):
                step, loss, *_ = line.split(",")
                return int(step), float(loss)
    return 0, None


def _needless(run: RunFolder, config: Config) -> list[Path]:
    """What a finished run no longer needs: checkpoints older than the newest whole one, snapshots, abandoned files."""
    checkpoints = Checkpoints(run.checkpoints)
    steps, every = checkpoints.steps(), config.runtime.keep_every
    whole = 0
    for step in reversed(steps):
        with contextlib.suppress(InputError):
            checkpoints.verify(step)
            whole = step
            break
    old = [checkpoints.path(step) for step in steps if step < whole and not (every and step % every == 0)]
    now = time.time()
    snapshots = [run.snapshots] if run.snapshots.is_dir() else []
    return [*old, *snapshots, *(path for path in run.temporary() if now - path.lstat().st_mtime > ABANDONED)]


def _parts(run: RunFolder) -> dict[str, int]:
    """The bytes of a run by what its files hold."""
    parts: dict[str, int] = {}
    for path in run.path.iterdir():
        kind = PARTS.get(path.name, "other")
        parts[kind] = parts.get(kind, 0) + size_of(path)
    return parts


def _changed(path: Path) -> str:
    """When a file of a run changed last; those that vanish meanwhile are left out."""
    times = [path.stat().st_mtime]
    for root, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                times.append((Path(root) / name).lstat().st_mtime)
    newest = max(times[1:], default=times[0])
    return datetime.fromtimestamp(newest, UTC).astimezone().isoformat(timespec="seconds")
