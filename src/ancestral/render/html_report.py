"""report.html: a training run on one page, which needs no other file and no network access.

While the run trains, a script loads the page again; afterwards it has none.
The templates of the package are filled here, that of the model card too.
"""

import base64
import functools
import hashlib
import io
import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ancestral import __version__
from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import on_command_line, spell
from ancestral.base.quantities import format_duration
from ancestral.config import Config, run_files
from ancestral.config.run_files import LOSS_HARDLY_FALLS
from ancestral.config.run_files import REPORT as REPORT
from ancestral.data.dataset import evenly_spaced
from ancestral.render import evaluation_text
from ancestral.render.plots import CHART_HEIGHT, CHART_WIDTH, LEFT, RIGHT, TOP, SvgPlot, svg_plot
from ancestral.results import EvaluationResult, symptoms

if TYPE_CHECKING:
    from jinja2 import Template

EVALUATION_START, EVALUATION_END = "<!-- evaluation -->", "<!-- end of evaluation -->"
"""Marks around the section on evaluations, which `update_report` replaces."""
LOSS_BY_TIME, GRADIENT = "loss by time t", "gradient norm, before it is clipped"
EVALUATION_PICTURES = {
    "memorisation.png": "Samples that are nearest to a training item, each above that item.",
    "ranks.png": "Shares of true values above 0, 1, 2, ... samples of their condition; flat if calibrated.",
    "worst.png": "The items that samples for their conditions forecast worst, above some of these samples.",
    "likelihood.png": "Bits/dim of each step, and the error of x̂_0 against the bits/dim sent so far.",
}
VALIDATION_TITLE = "loss of the averaged weights"
DISTANCE_TITLE = "distance of samples (KID)"
LOGARITHMIC = ("loss", VALIDATION_TITLE, LOSS_BY_TIME, GRADIENT)
"""Curves that have a logarithmic axis: a loss falls fast at first, and what follows would be flat on a linear one."""
GRIDS_SHOWN, NOTES_SHOWN, CLASSES_SHOWN_IN_REPORT = 12, 100, 40
"""The largest numbers of sample grids (the last one is large), notes and classes that are shown."""
PICTURE_WIDTH, STRIP_WIDTH = 1280, 1840
"""Largest widths in pixels of a picture and of the film strip."""
REFRESH = """setInterval(() => {
  const reading = document.activeElement !== document.body || !document.getSelection().isCollapsed
  if (!reading && !location.hash.startsWith("#full")) location.reload()
}, 15000)"""
"""The script of a page whose run trains. It waits while a link has the focus, text is selected or a picture is open."""
LOSSLESS_BYTES = 400_000
"""Size above which a large picture is compressed with loss."""


@dataclass(frozen=True)
class DataFacts:
    """Facts of the data in the report: properties by name (`rows`), the number of items of each class, the doctor's
    findings as (level, text, advice), a picture of some of the items, and the names of further conditions.
    """

    name: str
    rows: Mapping[str, str]
    classes: Mapping[str, int]
    findings: Sequence[tuple[str, str, str]] = ()
    picture: Image.Image | None = None
    given: Sequence[str] = ()


@dataclass(frozen=True)
class RunFacts:
    """Facts of a run in the report that the run folder does not hold: how far it is, the model in one `sentence`, the
    time trained, the number of parameters, the data, and versions and hardware by name.
    """

    step: int
    steps: int
    sentence: str
    seconds: float
    parameters: int
    data: DataFacts
    environment: Mapping[str, str]
    training: bool = False


def write_report(folder: Path, run: RunFacts, film: Image.Image | None = None) -> Path:
    """Write report.html atomically from the log, config, notes, sample grids and evaluations in a run folder.

    Missing and damaged files are left out. `film` is a film strip of the reverse process. Returns the path.
    """
    from markupsafe import Markup

    config, rows = _config(folder / run_files.CONFIG), _rows(folder / run_files.LOG)
    digest = base64.b64encode(hashlib.sha256(REFRESH.encode()).digest()).decode()
    text = fill_template(
        "report.html",
        title=config.title if config else folder.absolute().name,
        preset=config.preset if config else "",
        run=run,
        data=run.data,
        time=format_duration(run.seconds),
        loss=_last(rows, "loss"),
        rate=_last(rows, "images_per_second"),
        loss_note=f"{LOSS_HARDLY_FALLS[0].upper()}{LOSS_HARDLY_FALLS[1:]}.",
        plots=_plots(folder, config.process.timesteps if config else None),
        box={"width": CHART_WIDTH, "height": CHART_HEIGHT, "left": LEFT, "right": CHART_WIDTH - RIGHT, "top": TOP},
        grids=_grids(folder / run_files.SAMPLES),
        film=_data_uri(film, STRIP_WIDTH) if film is not None else None,
        data_picture=_data_uri(run.data.picture, PICTURE_WIDTH) if run.data.picture is not None else None,
        most_classes=CLASSES_SHOWN_IN_REPORT,
        script=Markup(REFRESH) if run.training else None,
        policy=f"; script-src 'sha256-{digest}'" if run.training else "",
        evaluation=Markup(_evaluation(folder)),
        config_sections=_settings(config.unplaced()) if config else {},
        notes=_notes(folder)[-NOTES_SHOWN:],
    )
    storage.write_text(folder / REPORT, text)
    return folder / REPORT


def update_report(folder: Path) -> bool:
    """Replace the section on evaluations in the report of a run folder; return False if there is no such section."""
    path = folder / REPORT
    try:
        before, start, rest = path.read_text(encoding="utf-8").partition(EVALUATION_START)
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    _, end, after = rest.partition(EVALUATION_END)
    if not start or not end:
        return False
    storage.write_text(path, f"{before}{start}\n{_evaluation(folder)}\n{end}{after}")
    return True


def _evaluation(folder: Path) -> str:
    """The section on symptoms and evaluations in HTML; empty without any."""
    notes, folder = _notes(folder), folder / run_files.EVALUATION
    images = ((_open(folder / name), caption) for name, caption in EVALUATION_PICTURES.items())
    pictures = [(_data_uri(image, PICTURE_WIDTH), caption) for image, caption in images if image is not None]
    result = EvaluationResult.load(folder)
    step = max((part.model.step for part in result.measured if part.model is not None), default=0)
    found = [one for one in symptoms.observed(notes, result) if one.evidence]
    return fill_template(
        "evaluation.html", result=result, words=evaluation_text, step=step, pictures=pictures, symptoms=found
    )


def _open(path: Path) -> Image.Image | None:
    """A picture; None if it is missing or damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.convert("RGBA" if image.has_transparency_data else "RGB")  # a plot has no ground
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged files
        return None


def _rows(path: Path) -> list[dict[str, float]]:
    """The rows of a log of a run, by column."""
    table = run_files.read_log(path)
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def _last(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    return next((row[name] for row in reversed(rows) if math.isfinite(row.get(name, math.nan))), None)


def _plots(folder: Path, T: int | None) -> list[SvgPlot]:
    """The curves of the logs in a run folder that have a point."""
    rows = _rows(folder / run_files.LOG)
    measured = {
        VALIDATION_TITLE: _rows(folder / run_files.VALIDATION),
        DISTANCE_TITLE: _rows(folder / run_files.DISTANCE),
    }
    bins = [name for name in (rows[0] if rows else ()) if name.startswith("loss_")]
    ends = [number * (T or len(bins)) // len(bins) for number in range(len(bins) + 1)] if bins else []
    curves = {
        "loss": {"loss": "loss"},
        VALIDATION_TITLE: {"held-out items": "validation", "training items": "training"},
        DISTANCE_TITLE: {"": "distance"},
        LOSS_BY_TIME: {f"{ends[number] + 1}-{ends[number + 1]}": name for number, name in enumerate(bins)},
        "learning rate": {"": "lr"},
        GRADIENT: {"": "gradient_norm"},
        "images per second": {"": "images_per_second"},
    }
    plots = []
    for title, lines in curves.items():
        table = measured.get(title, rows)
        if table and set(lines.values()) <= set(table[0]):
            values = {label: [row[name] for row in table] for label, name in lines.items()}
            plots.append(svg_plot(title, [row["step"] for row in table], values, title in LOGARITHMIC))
    return [plot for plot in plots if plot is not None]


def _grids(folder: Path) -> list[tuple[int, str]]:
    """(step, data URI) of the sample grids of a run folder, in order."""
    paths = [*run_files.grids_of(folder).items()]
    spaced = [paths[i] for i in evenly_spaced(GRIDS_SHOWN, len(paths))]
    grids = [(step, _grid(path, path.stat().st_mtime_ns, path == paths[-1][1])) for step, path in spaced]
    return [(step, uri) for step, uri in grids if uri is not None]


@functools.lru_cache(2 * GRIDS_SHOWN)  # the page is written again and again
def _grid(path: Path, _time: int, last: bool) -> str | None:
    """The data URI of a grid, without loss if it is the last one."""
    image = _open(path)
    return None if image is None else _data_uri(image, PICTURE_WIDTH, last)


def _data_uri(image: Image.Image, width: int, lossless: bool = True) -> str:
    """A picture, reduced to at most `width` pixels; compressed without loss if that is wanted and small enough."""
    if image.width > width:
        size = (width, max(1, round(image.height * width / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = _webp(image, lossless=True, quality=20, method=1) if lossless else b""
    if not content or len(content) > LOSSLESS_BYTES:
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


def _settings(config: Config) -> dict[str, list[tuple[str, str, str | None]]]:
    """(name, value, the preset's value where it differs) of the settings of each section of a config."""
    preset = configs.preset(config.preset) if config.preset in configs.PRESETS else config
    sections: dict[str, list[tuple[str, str, str | None]]] = {}
    others = [name for name, used in (("initial", config.initial.model), ("distil", config.distil.method)) if used]
    for section in (*configs.SECTIONS, *others):
        values, usual = (vars(getattr(c, section)) for c in (config, preset))
        sections[section] = [
            (name.replace("_", "-"), _format(value), None if value == usual.get(name, value) else _format(usual[name]))
            for name, value in values.items()
        ]
    return sections


def _format(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", ()):
        return "–"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _notes(folder: Path) -> list[str]:
    """The notes of a run, without the folders of this machine."""
    path, config = folder / run_files.NOTES, _config(folder / run_files.CONFIG)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [_without_folders(line, folder, config) for line in lines]


def _without_folders(text: str, folder: Path, config: Config | None) -> str:
    """A note without the folders in which the run, its data and the model that it starts from lie: a page is shared."""
    places = [str(folder.absolute())]
    if config is not None:
        places += [config.data.source, str(config.data.validation), config.initial.model]
    for place in sorted((Path(place) for place in places), key=lambda place: len(place.parts), reverse=True):
        if place.is_absolute() and place.parent != place.parent.parent:
            text = text.replace(f"{place.parent}/", "")
    return text


# -- environment ------------------------------------------------------------------------------------------------------


def environment(device: torch.device, dtype: torch.dtype, processes: int) -> dict[str, str]:
    """Describe versions, hardware and time by name, without anything that identifies the owner of the machine."""
    import psutil

    rows = {
        "ancestral": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "PyTorch": torch.__version__,
        "system": platform.platform(),
        "processor": f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
        "cores": f"{psutil.cpu_count(logical=False) or '?'}, {psutil.cpu_count()} threads; "
        f"{torch.get_num_threads()} used by each process",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        rows["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB (CUDA {torch.version.cuda})"
    return rows | {
        "device": str(device),
        "precision": str(dtype).removeprefix("torch."),
        "processes": str(processes),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _processor() -> str:
    """The name of the processor, which Python does not know on Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def fill_template(file: str, /, **values: Any) -> str:
    """Fill a Jinja template of this package; in HTML, values are escaped."""
    return spell(_template(file).render(values), on_command_line)


@functools.cache
def _template(file: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=file.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not file.endswith(".html"),
    )
    environment.filters["plain"] = _plain_markdown
    environment.filters["json"] = lambda text: json.dumps(text, ensure_ascii=False)  # valid YAML, whatever it holds
    return environment.from_string(files("ancestral.render").joinpath(file).read_text("utf-8"))


def _plain_markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(spell(text, on_command_line)))
