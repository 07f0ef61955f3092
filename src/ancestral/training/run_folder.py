"""The folder of a training run: what lies where, and how a run is begun, found again and logged.

config.json            the whole config
model.safetensors      the averaged weights, self-describing: all that sampling needs
training.safetensors   raw weights, average, optimiser and step: all that going on needs
samples/               grids drawn while training, and what `ancestral sample` draws
log.csv                step, loss, learning rate, images per second, seconds
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ancestral import storage
from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.model import FILE_NAME

LOG_HEADER = "step,loss,lr,images_per_second,seconds"


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run, and the few things done with them."""

    path: Path

    @property
    def config(self) -> Path:
        """The config, as JSON."""
        return self.path / "config.json"

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / FILE_NAME

    @property
    def state(self) -> Path:
        """The training state."""
        return self.path / "training.safetensors"

    @property
    def samples(self) -> Path:
        """The folder of pictures."""
        return self.path / "samples"

    @property
    def log(self) -> Path:
        """The log, as CSV."""
        return self.path / "log.csv"

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config.exists() or self.model.exists() or self.state.exists()

    def begin(self, config: Config) -> None:
        """Make the folder and write the config. Raises InputError where a run is here already."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give --out a folder")
        if self.holds_run():
            raise InputError(f"{self.path} already holds a run: go on with it by --resume, or give --out another name")
        new = not self.path.exists()
        try:
            storage.write_text(self.config, config.to_json())
            storage.write_text(self.log, LOG_HEADER + "\n")
        except OSError:
            if new:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def read_config(self) -> Config:
        """The config of the run that is here. Raises InputError where it is missing or damaged."""
        try:
            text = self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {self.config}, so there is no run to resume: {error}") from None
        return Config.from_json(text, str(self.config))

    def trim_log(self, step: int) -> None:
        """Drop the lines after `step`, which a resumed run is about to write again."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else [LOG_HEADER]
        kept = [
            line for line in lines[1:] if line.partition(",")[0].isdecimal() and int(line.partition(",")[0]) <= step
        ]
        storage.write_text(self.log, "\n".join([LOG_HEADER, *kept]) + "\n")

    def append_log(self, step: int, loss: float, lr: float, images_per_second: float, seconds: float) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{step},{loss:.6g},{lr:.6g},{images_per_second:.5g},{seconds:.1f}\n")

    def seconds(self) -> float:
        """How long the training took, by the log: each process that went on with it counted from 0."""
        lines = self.log.read_text(encoding="utf-8").splitlines()[1:] if self.log.exists() else []
        times = [float(line.rpartition(",")[2]) for line in lines]
        return sum(time for time, after in zip(times, [*times[1:], 0.0], strict=True) if after < time)
