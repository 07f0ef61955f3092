"""The folder of a training run: how a run is begun, resumed and logged there. `config.run_files` names its files."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ancestral.base import storage
from ancestral.base.arguments import is_digits
from ancestral.base.errors import InputError
from ancestral.base.options import on_command_line, option, spelled
from ancestral.base.quantities import Estimate
from ancestral.config import Config, run_files
from ancestral.config.run_files import BestModel, MeasuredDistance, ValidationLosses, last_row, read_log
from ancestral.config.schema import DIGEST, digest_of
from ancestral.model.metadata import read
from ancestral.training.averages import Snapshots
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.distributed import begun_before_restart, note_beginning
from ancestral.training.progress import BINS, Progress

LOG_HEADER = ",".join(
    [
        *("step", "loss"),
        *(f"loss_{number + 1}_of_{BINS}" for number in range(BINS)),
        *("lr", "gradient_norm", "images_per_second", "seconds"),
    ]
)

VALIDATION_HEADER = ",".join(field.name for field in dataclasses.fields(ValidationLosses))
DISTANCE_HEADER = ",".join(field.name for field in dataclasses.fields(MeasuredDistance))


TEMPORARY = re.compile(r"\..+-\w{8}(\.\w+)?")
"""Names of files and folders that `storage` writes."""


class _Inside:
    """The path of a file or folder in the run folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: "RunFolder", _type: type["RunFolder"]) -> Path:
        return folder.path / self.name


@dataclass
class RunFolder:
    """The paths of a run, and what is done with them."""

    config = _Inside(run_files.CONFIG)
    model = _Inside(run_files.MODEL)
    best = _Inside(run_files.BEST)
    checkpoints = _Inside(run_files.CHECKPOINTS)
    snapshots = _Inside(run_files.SNAPSHOTS)
    samples = _Inside(run_files.SAMPLES)
    log = _Inside(run_files.LOG)
    validation = _Inside(run_files.VALIDATION)
    distance = _Inside(run_files.DISTANCE)
    notes = _Inside(run_files.NOTES)
    report = _Inside(run_files.REPORT)

    path: Path

    def grid(self, step: int) -> Path:
        """Return the path of the preview of a step, a grid of samples."""
        return self.samples / f"{step:06d}.png"

    def holds_run(self) -> bool:
        """Tell whether a run was begun here."""
        return self.config.exists() or self.model.exists() or self.checkpoints.exists()

    def config_to_resume(self, resume: bool) -> Config | None:
        """Read the config of the run that is resumed; None if a run is begun.

        Workers that torchrun restarts resume the run that they began before, without an option.

        Args:
            resume: Whether the run in the folder, if there is one, is resumed.

        Raises:
            InputError: If the config is damaged, the run has lost its checkpoints and cannot be resumed, or files of
                another run lie among its own.
        """
        if not self.holds_run() or not (resume or begun_before_restart(self.path)):
            return None
        config = self.read_config()
        self.check_whole()
        self.check_one_run()
        return config

    def check_whole(self) -> None:
        """Raise InputError if the checkpoints of a run that saved are gone, so that it cannot be resumed."""
        if self.model.exists() and not Checkpoints(self.checkpoints).steps():
            raise InputError(
                f"all in {self.checkpoints} is gone, so the run cannot go on; give {option('out')} another name to "
                "start anew"
            )

    def check_one_run(self) -> None:
        """Raise InputError if files of another run lie among those of this one."""
        runs = dict[Path, str]()
        with contextlib.suppress(OSError, UnicodeDecodeError, InputError):
            runs[self.config] = Config.from_json(self.config.read_text(encoding="utf-8")).run
        for file in (self.model, self.best, *Snapshots(self.snapshots).paths()):
            with contextlib.suppress(InputError):  # a damaged file names none
                runs[file] = run_named_in(storage.read_metadata(file))
        checkpoints = Checkpoints(self.checkpoints)
        for step in checkpoints.steps():
            with contextlib.suppress(InputError):
                runs[checkpoints.path(step)] = checkpoints.manifest(step)["facts"].get("run", "")
        run_files.check_same_run(runs)

    def model_step(self) -> int | None:
        """Read the step of the model file, which may be older than the checkpoint; None if there is no whole one."""
        try:
            step = storage.read_tensors(self.model)[1].get("step", "")
        except InputError:
            return None
        return int(step) if is_digits(step) else None

    def abandoned(self) -> list[Path]:
        """List temporary files and folders that a killed process left; not those that another one writes now."""
        paths = []
        for place, folders, files in os.walk(self.path):
            found = [name for name in (*folders, *files) if TEMPORARY.fullmatch(name)]
            folders[:] = [name for name in folders if name not in found]
            paths += [path for path in (Path(place, name) for name in sorted(found)) if storage.is_abandoned(path)]
        return paths

    def tidy(self) -> None:
        """Remove temporary files that a killed process left."""
        for path in self.abandoned():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def check_free(self) -> None:
        """Raise InputError if no run can be begun here: there is one already, or a file, or the name is no UTF-8."""
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the name of the folder {self.path} is no UTF-8, which notes and reports could not hold; give "
                f"{option('out')} another"
            ) from None
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give {option('out')} a folder")
        if self.holds_run():
            raise InputError(
                f"{self.path} already holds a run: go on with it by {option('resume', True)}, or give {option('out')} "
                "another name"
            )

    def begin(self, config: Config) -> None:
        """Create the folder and write the config. Raises InputError as `check_free` does."""
        self.check_free()
        note_beginning(self.path)  # before the first file: a kill in between leaves a folder that may be taken again
        new = not self.path.exists()
        try:
            storage.write_text(self.config, config.to_file_text())
            storage.write_text(self.log, LOG_HEADER + "\n")
        except OSError:
            if new:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def read_config(self) -> Config:
        """Read the config of the run.

        Raises:
            InputError: If it is missing, damaged or not what the run wrote, so that the run cannot be resumed.
        """
        try:
            text = self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {self.config}, so there is no run to resume: {error}") from None
        config, tree = Config.from_json(text, str(self.config)), json.loads(text)
        if tree.get(DIGEST, digest_of(tree)) != digest_of(tree):  # its line may be removed
            raise InputError(
                f"{self.config} is not what the run wrote (by its SHA-256): it is damaged or was edited; put a copy of "
                f"it back and give settings that change as options ({option('steps', 5000)}), or remove its line "
                f'"{DIGEST}" to go on with it as it is'
            )
        return config

    def trim_log(self, step: int) -> None:
        """Remove the lines of the logs after `step`, which a resumed run writes again, and those cut short."""
        headers = {self.log: LOG_HEADER, self.validation: VALIDATION_HEADER, self.distance: DISTANCE_HEADER}
        for path, header in headers.items():
            lines = [line.split(",") for line in _lines(path) if line.count(",") == header.count(",")]
            before = [",".join(line) for line in lines if is_digits(line[0]) and int(line[0]) <= step]
            if before or path == self.log:
                storage.write_text(path, "\n".join([header, *before]) + "\n")
            else:
                path.unlink(missing_ok=True)

    def append_log(self, progress: Progress) -> None:
        """Append a line to the log."""
        numbers = [progress.loss, *progress.by_time, progress.lr, progress.gradient_norm, progress.images_per_second]
        line = ",".join([str(progress.step), *(f"{number:.6g}" for number in numbers), f"{progress.seconds:.1f}"])
        _append(self.log, LOG_HEADER, line)

    def append_validation(self, losses: ValidationLosses) -> None:
        """Append a line to the validation losses."""
        _append(self.validation, VALIDATION_HEADER, _row(losses))

    def append_distance(self, measured: MeasuredDistance) -> None:
        """Append a line to the distances of samples."""
        _append(self.distance, DISTANCE_HEADER, _row(measured))

    def last_validation(self) -> ValidationLosses | None:
        """Read the last validation losses; None if there are none."""
        return None if (row := last_row(self.validation)) is None else ValidationLosses(int(row[0]), *row[1:])

    def last_distance(self) -> MeasuredDistance | None:
        """Read the last distance of samples; None if there is none."""
        return None if (row := last_row(self.distance)) is None else MeasuredDistance(int(row[0]), *row[1:])

    def best_model(self) -> BestModel | None:
        """Describe the model with the smallest measured distance; None if there is no whole one."""
        try:
            metadata = storage.read_metadata(self.best)
            measured = read(self.best, metadata, "measured")
            step = int(metadata.get("step", ""))
        except (InputError, ValueError):
            return None
        if measured is None:
            return None
        distance = Estimate(measured["distance"], measured["error"])
        return BestModel(str(self.best), step, distance, measured["title"], measured["compared"])

    def append_notes(self, step: int, notes: Sequence[str]) -> None:
        """Append lines to the notes, with their step."""
        if notes:
            notes = spelled(notes, on_command_line)
            lines = [note if note.startswith("step ") else f"step {step}: {note}" for note in notes]
            with self.notes.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")

    def seconds(self) -> float:
        """Sum the seconds of training in the log, in which each resume counts from 0."""
        times = [row[-1] for row in read_log(self.log).rows]
        return sum(time for time, after in zip(times, [*times, 0.0][1:], strict=True) if after < time)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, so that no other process trains here. Raises InputError if one does.

        The system releases the lock however the process ends.
        """
        line = f"another process is training in {self.path}; wait for it, or give {option('out')} another name"
        with storage.locked(self.path, line):
            yield


def run_named_in(metadata: Mapping[str, str]) -> str:
    """The identity of the run in the metadata of a model or a snapshot; "" if they name none."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(metadata.get("run") or json.loads(metadata.get("config", "{}")).get("run", ""))
    return ""


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[1:] if path.exists() else []


def _row(row: ValidationLosses | MeasuredDistance) -> str:
    step, *numbers = dataclasses.astuple(row)
    return ",".join([str(step), *(f"{number:.6g}" for number in numbers)])


def _append(path: Path, header: str, line: str) -> None:
    """Append a line to a log, after the header in a new one."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n" if file.tell() else f"{header}\n{line}\n")
