"""report.html: a training on one page, which needs no other file, no network and no script."""

import base64
import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from ancestral import config as configs
from ancestral import storage
from ancestral.config import Config
from ancestral.data.evenly import evenly
from ancestral.errors import InputError
from ancestral.render.evaluation_section import evaluation_section
from ancestral.render.svg_plots import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Plot, plot

NAME = "report.html"
OPEN, CLOSE = "<!-- evaluation -->", "<!-- end of evaluation -->"
"""What stands around the part that tells of evaluations."""
BY_TIME, GRADIENT = "loss by time t", "gradient norm, before it is clipped"
GRIDS = 12
"""Sample grids that are shown, the last of them large."""
SMALL, LARGE, STRIP = 448, 1280, 1840
"""Pixels across of a grid among others, of one alone and of the film strip: about twice what a screen of one pixel a
point shows."""
HEAVY = 400_000
"""Bytes above which a large picture is compressed with loss."""
SPREAD = ("loss", BY_TIME, GRADIENT)
"""Curves that may span decades."""
NOTES, CLASSES = 100, 40
"""Lines shown."""


@dataclass(frozen=True)
class DataFacts:
    """What the page tells of the data."""

    name: str
    rows: Mapping[str, str]
    """DataSpec by name."""
    classes: Mapping[str, int]
    """Items of each class; empty without classes."""
    findings: Sequence[tuple[str, str, str]] = ()
    """(level, text, advice), as the doctor has them."""
    picture: Image.Image | None = None
    """Some of the items."""


@dataclass(frozen=True)
class About:
    """What the page tells of a run that its folder does not hold."""

    step: int
    steps: int
    sentence: str
    """What the model is."""
    seconds: float
    """Of training, by all processes that went on with it."""
    parameters: int
    data: DataFacts
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """A setting and, where it is another, that of the preset."""

    name: str
    value: str
    preset: str | None = None


def write_page(folder: Path, about: About, film: Image.Image | None = None) -> Path:
    """Write report.html, atomically, from the log, config, notes and sample grids that lie in a run folder.

    What is missing or damaged is left out. Raises OSError where the page cannot be written.
    """
    from markupsafe import Markup

    config = _config(folder / "config.json")
    rows = read_log(folder / "log.csv")
    grids = _grids(folder / "samples")
    text = _rendered(
        "report.html",
        name=folder.absolute().name,
        preset=config.preset if config else folder.absolute().name,
        about=about,
        time=_clock(about.seconds),
        loss=_last(rows, "loss"),
        rate=_last(rows, "images_per_second"),
        plots=_plots(rows, config.process.timesteps if config else None),
        box={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP},
        grids=grids[:-1],
        grid=grids[-1] if grids else None,
        film=_uri(film, STRIP) if film is not None else None,
        data=about.data,
        data_picture=_uri(about.data.picture, LARGE) if about.data.picture is not None else None,
        classes=list(about.data.classes.items())[:CLASSES],
        more_classes=max(0, len(about.data.classes) - CLASSES),
        most=max(about.data.classes.values(), default=0) or 1,
        evaluation=Markup(_evaluation(folder)),
        rooms=_settings(config) if config else {},
        notes=_notes(folder / "notes.txt"),
    )
    storage.write_text(folder / NAME, text)
    return folder / NAME


def update_page(folder: Path) -> bool:
    """Bring what the page of a run tells of evaluations up to date, and nothing else; False where there is no page.

    Raises OSError where it cannot be written.
    """
    path = folder / NAME
    try:
        before, first, rest = path.read_text(encoding="utf-8").partition(OPEN)
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    _, last, after = rest.partition(CLOSE)
    if not first or not last:
        return False
    storage.write_text(path, f"{before}{first}\n{_evaluation(folder)}\n{last}{after}")
    return True


def _evaluation(folder: Path) -> str:
    """The part of the page that tells of evaluations, in HTML; empty where there was none."""
    found = evaluation_section(folder / "evaluation")
    pictures = [(_uri(image, LARGE), text) for image, text in found.pictures] if found else []
    return _rendered("evaluation.html", measured=found, pictures=pictures)


def _rendered(template: str, **values: Any) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("ancestral.render").joinpath(template).read_text("utf-8")).render(values)


def read_log(path: Path) -> list[dict[str, float]]:
    """The whole lines of a log, what is no number as NaN; none where there is no log."""
    if not path.is_file():
        return []
    header, *lines = list(csv.reader(path.read_text(encoding="utf-8", errors="replace").splitlines())) or [[]]
    whole = [line for line in lines if line and len(line) == len(header) and line[0].isdecimal()]
    return [dict(zip(header, map(_number, line), strict=True)) for line in whole]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _last(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    known = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
    return known[-1] if known else None


def _plots(rows: Sequence[Mapping[str, float]], T: int | None) -> list[Plot]:
    """The curves of a log, those that have a point."""
    if not rows:
        return []
    bins = [name for name in rows[0] if name.startswith("loss_")]
    wanted = {
        "loss": {"loss": "loss"},
        BY_TIME: {_span(number, len(bins), T): name for number, name in enumerate(bins)},
        "learning rate": {"": "lr"},
        GRADIENT: {"": "gradient_norm"},
        "images per second": {"": "images_per_second"},
    }
    steps = [row["step"] for row in rows]
    drawn = [
        plot(title, steps, {label: [row[name] for row in rows] for label, name in lines.items()}, title in SPREAD)
        for title, lines in wanted.items()
        if set(lines.values()) <= set(rows[0])
    ]
    return [one for one in drawn if one is not None]


def _span(number: int, of: int, T: int | None) -> str:
    if T is None:
        return f"{number + 1} of {of}"
    return f"{number * T // of + 1}-{(number + 1) * T // of}"


def _grids(folder: Path) -> list[tuple[int, str]]:
    """(step, picture) of the grids that were drawn while training, in order."""
    paths = sorted((path for path in folder.glob("*.png") if path.stem.isdecimal()), key=lambda path: int(path.stem))
    chosen = [paths[i] for i in evenly(GRIDS, len(paths))]
    drawn = []
    for path in chosen:
        try:
            with Image.open(path) as image:
                drawn.append((int(path.stem), _uri(image, LARGE if path is chosen[-1] else SMALL)))
        except (OSError, ValueError, SyntaxError):  # all that Pillow says of damaged files
            continue
    return drawn


def _uri(image: Image.Image, width: int) -> str:
    """A picture as a data: URI, reduced to at most `width` pixels across; as it is where that is light enough."""
    image = image.convert("RGB")
    if image.width > width:
        size = (width, max(1, round(image.height * width / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = b""
    if width > SMALL:
        content = _webp(image, lossless=True, quality=20, method=1)
    if not content or len(content) > HEAVY:
        content = _webp(image, quality=82, method=2)
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def _webp(image: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _config(path: Path) -> Config | None:
    try:
        return Config.from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, InputError):
        return None


def _settings(config: Config) -> dict[str, list[Setting]]:
    """The settings of each room of a config, and what of them is not the preset's."""
    preset = configs.PRESETS[config.preset]() if config.preset in configs.PRESETS else config
    return {
        room.name: [
            Setting(field.name.replace("_", "-"), _words(mine), None if mine == usual else _words(usual))
            for field in dataclasses.fields(getattr(config, room.name))
            for mine, usual in [(getattr(getattr(c, room.name), field.name) for c in (config, preset))]
        ]
        for room in dataclasses.fields(config)
        if room.name != "preset"
    }


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", ()):
        return "–"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _notes(path: Path) -> list[str]:
    """The last notes of a training."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-NOTES:] if path.is_file() else []


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
