"""The methods of the history in one picture: a row each, with its noise curve, paths, samples and costs."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from ancestral.config import PAPERS, Config
from ancestral.history import MOST, PATHS, SLACK, Study, on_one_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, TOP, ROW, HEAD, FOOT = 1600, 138, 240, 240, 44
"""Pixels of the picture: its width, and the heights of the title, of a method's row, of the first row and the foot."""
LEFTS, SIZES, GAP = (336, 604, 846, 1092), (248, 226, 226, 484), 34
"""Where the columns begin, how wide they are, and what is left below them for numbers."""
COLOURS = {
    "ncsn": "#7a3e9d",
    "ddpm": "#1f5fa8",
    "ddim": "#14868c",
    "improved": "#4f8a2a",
    "edm": "#d1741a",
    "flow": "#bf2c44",
}
INK, GREY, PALE, GROUND = "#22262b", "#5b636c", "#c9ced4", "#dfe3e7"
CLOUD = 2000
"""Samples that are drawn; more would be a blot."""
ANSWERS = {
    "score": r"the score  $\nabla\,\log\,p_t(x_t) = -\varepsilon/b$",
    "eps": r"the noise  $\varepsilon$",
    "edm": r"$F$, between $x_0$ and $\varepsilon$ by the noise",
    "flow": r"the velocity  $\varepsilon - x_0$",
}
FLOOR = "the data itself"


def history(studies: Mapping[str, Study], points: Tensor, floor: float) -> Image.Image:
    """The picture of studies that were run, on data that `points` (N, 2) stand for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = TOP + HEAD + ROW * len(studies) + FOOT
    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=100, facecolor="white")
    _head(figure, studies, points, floor)
    for number, (name, study) in enumerate(studies.items()):
        top = TOP + HEAD + ROW * number
        _rule(figure, top)
        curve, paths, cloud, costs = (_axes(figure, column, top + 14, ROW - 14 - GAP) for column in range(4))
        _words(figure, top + 14, name, study, floor)
        _curve(curve, study, COLOURS[name])
        _paths(paths, study, points, COLOURS[name])
        _scatter(cloud, study.cloud[:CLOUD], COLOURS[name])
        _costs(costs, studies, name, floor)
    foot = (
        f"Ring: the fewest passes within {SLACK} times the method's best distance, or as near as the data is to itself "
        f"(dotted). Distance: sliced Wasserstein-2, {len(points):,} samples to as many held-out points."
    )
    _text(figure, 24, height - 25, foot, size=9.5, color=GREY)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return Image.open(buffer).convert("RGB")


def _head(figure: "Figure", studies: Mapping[str, Study], points: Tensor, floor: float) -> None:
    """The title and the first row: what the columns show, the data, and all methods together."""
    _text(figure, 24, 22, "A history of denoising diffusion", size=21, weight="bold")
    _text(
        figure, 24, 60, "Every row is the same core with a few settings changed, and the same small network.", size=11
    )
    titles = ("noise curve", "from noise to sample", "samples", "distance to the data, over passes of the network")
    for left, title in zip(LEFTS, titles, strict=True):
        _text(figure, left, TOP - 32, title, size=11.5, weight="bold")
    data = next(iter(studies.values())).model.config.data.source
    _text(figure, 24, TOP - 36, "The data", size=16, weight="bold")
    _text(figure, 24, TOP - 4, f"{len(points):,} points of {data}\nthat no method was trained on", size=10.5)
    curve = (
        "$x_t = a_t\\,x_0 + b_t\\,\\varepsilon$",
        "",
        "dashed:  $a_t$, the signal",
        "solid:  $b_t$, the noise",
        "",
        "over $t/T$, from data to noise;",
        "logarithmic above 1",
    )
    paths = (
        f"{PATHS} paths by the method's own",
        "sampler, from $x_T$ (ring) to the",
        "sample (dot), over the data.",
        "",
        "Where noise is added to a signal",
        "that stays (NCSN, EDM), $x_t$ is",
        "divided by  $(a^2 + b^2)^{1/2}$,  or it",
        "would begin far outside.",
    )
    for left, lines in ((LEFTS[0], curve), (LEFTS[1], paths)):
        for number, line in enumerate(lines):
            _text(figure, left, TOP - 2 + 21 * number, line, size=10)
    _scatter(_axes(figure, 2, TOP, ROW - 14 - GAP), points[:CLOUD], INK)
    _costs(_axes(figure, 3, TOP, ROW - 14 - GAP), studies, None, floor)


def _words(figure: "Figure", top: int, name: str, study: Study, floor: float) -> None:
    """What the method is, left of its row."""
    title, paper = PAPERS[name]
    _text(figure, 24, top, title, size=16, weight="bold", color=COLOURS[name])
    _text(figure, 24, top + 28, paper, size=10.5, color=GREY)
    rows = {"predicts": ANSWERS[study.model.config.process.target], **_settings(study.model.config, study)}
    for number, (key, value) in enumerate(rows.items()):
        _text(figure, 24, top + 58 + 24 * number, key, size=9.5, color=GREY)
        _text(figure, 92, top + 58 + 24 * number, value, size=9.5)
    needed = study.needed(floor).passes
    _text(figure, 24, top + 62 + 24 * len(rows), f"needs {needed} pass{'es' if needed > 1 else ''}", size=12,
          weight="bold")  # fmt: skip


def _settings(config: Config, study: Study) -> dict[str, str]:
    spec = study.model.denoiser.schedule.spec
    sigmas = f", σ {spec['sigma_min']:g} to {spec['sigma_max']:g}" if "sigma_max" in spec else ""
    name, _, options = config.sample.sampler.partition(":")
    kind = {"heun": "Heun", "euler": "Euler", "langevin": "annealed Langevin"}.get(name, name.upper())
    per = next((int(o.partition("=")[2]) for o in options.split(",") if o.startswith("steps_per_level=")), 0)
    how = f", {study.own} × {per} steps" if per else f", {study.own} steps"
    learned = ", learned variance" if config.process.learned_variance else ""
    return {"schedule": f"{spec['name']}{sigmas}", "sampler": f"{kind}{how}{learned}"}


def _curve(axes: "Axes", study: Study, colour: str) -> None:
    """a_t and b_t, linear up to 1 and logarithmic above, so that all schedules share an axis."""
    schedule = study.model.denoiser.schedule
    u = [t / schedule.steps for t in range(schedule.steps + 1)]
    axes.axhline(1, color=GROUND, linewidth=1, zorder=0)
    axes.plot(u, schedule.signal.tolist(), color=colour, linewidth=1.6, dashes=(4, 2))
    axes.plot(u, schedule.noise.tolist(), color=colour, linewidth=2)
    axes.set_yscale("symlog", linthresh=1, linscale=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 130), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1, 10, 100])
    axes.set_xticklabels(["0", "t/T", "1"])
    axes.set_yticklabels(["0", "½", "1", "10", "100"])
    axes.minorticks_off()
    _plain(axes)


def _paths(axes: "Axes", study: Study, points: Tensor, colour: str) -> None:
    """Lines that darken from x_T to the sample, over the data."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    paths = on_one_scale(study.model.denoiser.schedule, study.paths).double()
    x, y = points[:CLOUD].double().T.tolist()
    axes.scatter(x, y, s=6, color=PALE, linewidths=0, alpha=0.6, zorder=1)
    count = len(paths) - 1
    faint = min(0.6, 2 / float(paths.diff(dim=0).norm(dim=2).sum(0).mean()))  # long random walks would be a blot
    shades = [to_rgba(colour, faint + (0.8 - faint) * (place / count) ** 3) for place in range(count)]
    for path in paths.transpose(0, 1):
        lines = torch.stack([path[:-1], path[1:]], dim=1)
        axes.add_collection(LineCollection(lines.tolist(), colors=shades, linewidths=0.8, zorder=2))
    (x, y), (x_0, y_0) = (paths[place].T.tolist() for place in (0, -1))
    axes.scatter(x, y, s=10, facecolors="white", edgecolors=colour, linewidths=0.9, zorder=3)
    axes.scatter(x_0, y_0, s=18, color=INK, edgecolors="white", linewidths=0.5, zorder=4)
    axes.set(xlim=(-2.9, 2.9), ylim=(-2.46, 2.46), xticks=[], yticks=[])
    _plain(axes)


def _scatter(axes: "Axes", cloud: Tensor, colour: str) -> None:
    x, y = cloud.double().T.tolist()
    axes.scatter(x, y, s=4, color=colour, linewidths=0, alpha=0.55)
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.21, 1.21), xticks=[], yticks=[])
    _plain(axes)


def _costs(axes: "Axes", studies: Mapping[str, Study], name: str | None, floor: float) -> None:
    """Distance over passes: of one method in its colour before the others in grey, or of all in theirs."""
    axes.axhline(floor, color=INK, linewidth=1, dashes=(2, 2), zorder=1)
    for other, study in studies.items():
        passes = [measure.passes for measure in study.measures]
        away = [measure.distance for measure in study.measures]
        mine = name in (None, other)
        style: dict[str, Any] = {"color": COLOURS[other], "zorder": 3} if mine else {"color": GROUND, "zorder": 0}
        axes.plot(passes, away, linewidth=1.8 if mine else 1.2, marker="o" if other == name else "", markersize=4,
                  **style)  # fmt: skip
    if name is None:
        axes.text(1.1, floor * 0.93, FLOOR, fontsize=9, color=INK, va="top")
        for place, other in enumerate(studies):
            axes.text(0.985, 0.95 - 0.1 * place, PAPERS[other][0], transform=axes.transAxes, fontsize=9.5,
                      color=COLOURS[other], ha="right", va="top")  # fmt: skip
    else:
        needed = studies[name].needed(floor)
        axes.plot(needed.passes, needed.distance, marker="o", markersize=10, markerfacecolor="none",
                  markeredgecolor=COLOURS[name], markeredgewidth=1.6, zorder=4)  # fmt: skip
        axes.annotate(str(needed.passes), (needed.passes, needed.distance), (0, 11), textcoords="offset points",
                      ha="center", fontsize=10.5, weight="bold", color=COLOURS[name])  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(0.9, 1.25 * MOST), ylim=(0.006, 1.3))
    axes.set(xticks=[1, 10, 100, 1000], yticks=[0.01, 0.1, 1])
    axes.set_xticklabels(["1", "10", "100", "1000"])
    axes.set_yticklabels(["0.01", "0.1", "1"])
    axes.minorticks_off()
    _plain(axes)


def _axes(figure: "Figure", column: int, top: int, height: int) -> "Axes":
    """Axes in a column, placed in pixels from the top left."""
    whole = figure.get_figheight() * 100
    inset = {0: 30, 3: 40}.get(column, 0)  # for the numbers at the left
    left, width = LEFTS[column] + inset, SIZES[column] - inset
    axes: Axes = figure.add_axes((left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole))
    return axes


def _plain(axes: "Axes") -> None:
    axes.tick_params(labelsize=8.5, colors=GREY, length=3, color=PALE)
    for spine in axes.spines.values():
        spine.set(color=PALE, linewidth=0.8)


def _text(figure: "Figure", left: int, top: int, text: str, **style: Any) -> None:
    whole = figure.get_figheight() * 100
    figure.text(left / WIDTH, 1 - top / whole, text, va="top", linespacing=1.35, **{"color": INK, **style})


def _rule(figure: "Figure", top: int) -> None:
    """A fine line between two rows."""
    from matplotlib.lines import Line2D

    whole = figure.get_figheight() * 100
    y = 1 - top / whole
    figure.add_artist(Line2D([24 / WIDTH, 1 - 24 / WIDTH], [y, y], color=GROUND, linewidth=0.8))
