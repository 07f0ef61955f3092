"""`examine`: everything about a data set before training, as one `Report`."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from ancestral.config import Config
from ancestral.doctor import findings, sources
from ancestral.doctor.cost import Estimate, estimate
from ancestral.doctor.findings import Finding
from ancestral.doctor.sheet import draw
from ancestral.doctor.sources import Source, Watch
from ancestral.doctor.survey import Files
from ancestral.doctor.values import Values
from ancestral.errors import InputError, one_line

LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Report:
    """What a data set is, and what to mind before training on it."""

    source: str
    preset: str
    image_size: int | None
    """Pixels of a side to which training would bring the images; None keeps theirs."""
    count: int
    """Items that training would see."""
    values: Values
    classes: dict[str, int]
    """Items of each class; empty without classes."""
    files: Files | None
    """None for what is no folder of images."""
    duplicates: tuple[tuple[str, tuple[str, ...]], ...]
    """Groups by name: ("same" or "alike", names)."""
    findings: tuple[Finding, ...]
    """The worst first."""
    estimate: Estimate | None
    """None where none was asked for, or where the preset cannot be trained on this data."""
    sheet: Image.Image = field(repr=False, compare=False)
    """The contact sheet."""

    @property
    def trainable(self) -> bool:
        """Whether the preset can be trained on this data as it is."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> str:
        """All but the picture, as JSON text."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "sheet"}
        tree = {"trainable": self.trainable, **fields}
        return json.dumps(tree, default=dataclasses.asdict, indent=2, ensure_ascii=False, allow_nan=False)


def examine(
    source: str,
    config: Config,
    *,
    steps: int = 5,
    threads: int | None = None,
    device: str = "auto",
    watch: Watch = sources.unwatched,
) -> Report:
    """Examine `source` as a training by `config` (whose own source is not looked at) would use it.

    `steps` training steps are measured for the estimate; 0 leaves it out. Files are decoded by `threads`; None is as
    many as there are cores, 8 at most. Raises InputError where nothing can be read.
    """
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
    found = sources.read(source, config.data, threads, watch)
    told = list(_of_data(found, config))
    measured = None
    if steps and all(finding.level != "error" for finding in told):
        try:
            measured = estimate(config, found.sample, found.count, device, steps)
        except InputError as error:
            told.append(Finding("refused", "error", str(error), f"see ancestral train {config.preset} --help"))
    told += findings.of_training(found.count, config, measured)
    told.sort(key=lambda finding: LEVELS.index(finding.level))
    groups = tuple((group.kind, tuple(found.title(member) for member in group.members)) for group in found.groups)
    return Report(
        one_line(source),
        config.preset,
        config.data.image_size,
        found.count,
        found.values,
        found.classes,
        found.files,
        groups,
        tuple(told),
        measured,
        draw(found, told),
    )


def _of_data(found: Source, config: Config) -> Iterator[Finding]:
    if found.files is not None:
        yield from findings.of_files(found.files, config.data)
    yield from findings.of_duplicates(found.groups, found.title, found.label)
    yield from findings.of_classes(found.classes)
    yield from findings.of_values(found.values)
