"""docs/benchmarks.md, made of the JSONs in bench/results."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ancestral.storage import write_text
from measure import RESULTS
from parts.growth import exponent

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
DEVICES = {"cpu": "CPU", "cuda": "GPU"}
MISSING = "not measured"
PEERS = ("diffusers-documented", "diffusers-tuned", "ddp-documented", "ddp-tuned")
TUNED = ("diffusers-tuned", "ddp-tuned")

Result = dict[str, Any]
Row = dict[str, Any]

INTRODUCTION = """# Benchmarks against other libraries

`make bench` writes this page from the files in `bench/results`. [bench/README.md](../bench/README.md) describes the
methods and the settings of the other libraries. Numbers are medians over rounds in which all libraries take turns, with
quartiles in brackets. A ratio is the median of the ratios within a round. `ddp` is denoising-diffusion-pytorch.
"""

TITLES = {
    "steps": "A step of the DDPM paper's network",
    "memory": "Memory of a training step",
    "quality": "Time to quality",
    "sampling": "Sampling",
    "start": "Start-up time",
    "growth": "Growth of the cost of a training step",
}


def read(folder: Path = RESULTS) -> dict[str, Result]:
    """What there is, by "part.kind" of processor."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def page(results: Mapping[str, Result]) -> str:
    """The whole page. What no file tells is marked as not measured."""
    lines = INTRODUCTION.splitlines()
    for part, title in TITLES.items():
        lines += ["", f"## {title}", ""]
        if part in INTRODUCTIONS:
            lines += [*INTRODUCTIONS[part].strip().splitlines(), ""]
        for device, name in DEVICES.items():
            if device == "cuda" and part in ("start", "quality"):
                continue
            here = [result for kind, result in results.items() if kind.startswith(f"{part}.{device}")]
            for result in here:
                title = f"**On {result['machine'].get('GPU', result['machine']['processor'])}**"
                lines += [title, "", *SECTIONS[part](result["rows"]), "", f"{name}: {place(result)}", ""]
            if not here:
                lines += [f"{name}: {MISSING}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def place(result: Result) -> str:
    """Machine, threads, rounds, versions, date: a line."""
    machine = ", ".join(f"{name} {text}" for name, text in result["machine"].items())
    versions = ", ".join(f"{name} {text}" for name, text in result["versions"].items())
    settings = result.get("settings", {})
    rounds = f"rounds: {settings['rounds']}; " if "rounds" in settings else ""
    clock = settings.get("clock", result["clock"])  # some parts have one of their own
    return f"{machine}; threads: {result['threads']}; {rounds}{clock} time; {versions}; {result['date']}."


def table(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def line(cells: list[str]) -> str:
    """A row of it."""
    return "| " + " | ".join(cells) + " |"


def brackets(spread: Mapping[str, float] | None, digits: int = 2, scale: float = 1.0, unit: str = "") -> str:
    """Median and quartiles, or that there are none."""
    if spread is None:
        return MISSING
    middle, low, high = (f"{scale * spread[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{middle}{unit} ({low} to {high})"


def steps(rows: list[Row]) -> list[str]:
    """Seconds of ours, shares of the peak, and how many times as long the others take."""
    found = {(r["batch"], r["compile"], r["precision"], r["what"], r.get("contestant")): r for r in rows}
    lines = []
    for batch, compiled, precision, what in dict.fromkeys(key[:4] for key in found if key[3] in ("train", "forward")):
        each = {name: found.get((batch, compiled, precision, what, name)) for name in STEPPERS}
        mine = each["ancestral"]
        cells = [str(batch), precision + (", compiled" if compiled else ""), {"train": "training step"}.get(what, what)]
        cells += [f"{mine['seconds']['median']:.3f} s" if mine else MISSING]
        cells += [f"{each[name]['share']['median']:.0%}" if each[name] else MISSING for name in STEPPERS]
        lines.append(cells + [brackets((each[name] or {}).get("ratio")) for name in STEPPERS[1:]])
    head = ["batch", "precision", "what", "ancestral", *(f"{name}: share of the peak" for name in STEPPERS)]
    text = table([*head, *(f"{name} / ancestral" for name in STEPPERS[1:])], lines)
    defaults = [r for r in rows if r["what"] == "default"]
    text += [
        "",
        "A training step with the default precision of each library (ours is automatic, diffusers' is float32):",
        "",
    ]
    text += table(
        ["batch", "our precision", "diffusers / ancestral"],
        [[str(r["batch"]), r["precision"], brackets(r["ratio"])] for r in defaults],
    )
    peaks = [f"{r['flops'] / 1e9:.0f} in {r['precision']} (batch {r['batch']})" for r in rows if r["what"] == "peak"]
    return [*text, "", f"Peak rate, in GFLOP/s: {', '.join(dict.fromkeys(peaks))}."]


STEPPERS = ("ancestral", "diffusers", "diffusers-tuned")


def memory(rows: list[Row]) -> list[str]:
    """MiB, and what share of diffusers' that is."""
    lines = []
    for r in rows:
        cells = [str(r["batch"]), r["precision"], r["contestant"]]
        for what in ("step", "all"):
            share = r[f"{what} of diffusers'"]
            cells.append(f"{r[what]['median'] / 2**20:.0f}" + ("" if share is None else f" ({share:.2f})"))
        lines.append(cells)
    return table(["batch", "precision", "", "step, MiB (of diffusers')", "all, MiB (of diffusers')"], lines)


def quality(rows: list[Row]) -> list[str]:
    """Each contestant on each data set: the mean over seeds, or the one with its standard error."""
    text = []
    for name in dict.fromkeys(r["data"] for r in rows):
        mine = [r for r in rows if r["data"] == name]
        budget = max(r["minutes"] for r in mine)
        groups = {c: [r for r in mine if r["contestant"] == c] for c in ("ancestral", *PEERS, "training images")}
        kids = {c: statistics.mean(r["KID"]["value"] for r in group) for c, group in groups.items() if group}
        tuned = [kids[c] for c in TUNED if c in kids]
        lines = []
        for contestant, group in groups.items():
            if not group:
                lines.append([contestant, *[MISSING] * 6])
                continue
            trained = "steps" in group[0]
            share = f"{kids[contestant] / min(tuned):.2f}" if tuned else MISSING
            lines.append(
                [
                    contestant,
                    f"{statistics.mean(r['steps'] for r in group):,.0f}" if trained else "",
                    error(group, "KID", 4),
                    share,
                    error(group, "FD", 1),
                    f"{statistics.mean(r['sampling_cpu_seconds'] for r in group):.0f} s" if trained else "",
                    min(r["date"] for r in group)[:10],
                ]
            )
        head = ["", "training steps", "KID-lite0", "ratio to the better tuned library", "FD-lite0", "sampling", "date"]
        text += [f"### {name}: {budget:g} CPU-minutes", "", *table(head, lines), ""]
    return text[:-1]


def error(group: list[Row], what: str, digits: int) -> str:
    """The mean over the seeds with their span, or the one value with its standard error."""
    values = [r[what]["value"] for r in group]
    if len(values) > 1:
        span = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
        return f"{statistics.mean(values):.{digits}f} ({len(values)} seeds: {span})"
    return f"{values[0]:.{digits}f} ± {group[0][what]['error']:.{digits}f}"


def sampling(rows: list[Row]) -> list[str]:
    """Overhead, seconds to 1,000 images, sweep."""
    of = {what: [r for r in rows if r["what"] == what] for what in ("overhead", "1000", "sweep")}
    text = table(
        ["sampler, batch " + str(of["overhead"][0]["batch"]), "ms per network evaluation", "outside", "alone"],
        [
            [
                r["sampler"],
                f"{1e3 * r['network_seconds']['median']:.1f}",
                brackets(r["outside"], 2, 100, " %"),
                brackets(r["alone"], 2, 100, " %"),
            ]
            for r in of["overhead"]
        ],
    )
    text += [
        "",
        "Time of 1,000 digits, with the fewest steps whose KID is within 5 % of a library's own best KID:",
        "",
    ]
    if of["1000"]:
        rows_ = [[r["contestant"], str(r["steps"]), f"{r['KID']:.3f}", f"{r['seconds']:.1f} s"] for r in of["1000"]]
        text += table(["", "steps", "KID-lite0", "time"], rows_)
    else:
        text += [f"{MISSING}."]
    if of["sweep"]:
        text += ["", "Throughput (images times sampling steps per second) and memory while sampling:", ""]
        text += table(
            ["", "batch", "images x steps / s", "MiB"],
            [
                [
                    r["contestant"],
                    str(r["batch"]),
                    f"{1 / r['seconds_per_image_step']['median']:.0f}",
                    f"{r['bytes'] / 2**20:.0f}",
                ]
                for r in of["sweep"]
            ],
        )
    return text


def start(rows: list[Row]) -> list[str]:
    """Seconds."""
    return table(["", "seconds"], [[r["what"], brackets(r["seconds"])] for r in rows])


def growth(rows: list[Row]) -> list[str]:
    """Milliseconds an image, and the power with which they grow."""
    lines = []
    for over in dict.fromkeys(r["over"] for r in rows):
        for name in ("ancestral", "diffusers"):
            mine = [r for r in rows if r["over"] == over and r["contestant"] == name]
            points = [(r["value"], r["seconds_per_image"]["median"]) for r in mine]
            power = f"{exponent(points):.2f}" if len(points) > 1 else ""
            lines.append([over, name, ", ".join(f"{x:g}: {1e3 * y:.1f}" for x, y in points), power])
    return table(["variable", "", "value: ms per image", "exponent of the growth"], lines)


SECTIONS: dict[str, Callable[[list[Row]], list[str]]] = {
    "steps": steps,
    "memory": memory,
    "quality": quality,
    "sampling": sampling,
    "start": start,
    "growth": growth,
}

INTRODUCTIONS = {
    "steps": """
The network is the CIFAR-10 network of the DDPM paper with 35.7 M parameters. The share of the peak is a rate of
arithmetic divided by the peak rate. The rate counts for every library the FLOPs of the network as it is defined
(diffusers' count). The peak rate is that of 3×3 convolutions with 256 channels, forward and backward, measured in the
same rounds. `diffusers` is a step of its training example, and `diffusers-tuned` is the same step with fused AdamW.
""",
    "memory": """
The numbers are the peak memory of the second training step. "step" is the peak minus the memory between two steps
without gradients. "all" is the peak minus the memory of the process before the network was built.
""",
    "quality": """
Each library trains from scratch on one core for the same CPU time. 1,000 samples are compared with images that none was
trained on. "training images" is the floor: 1,000 images of the training set in place of samples.
""",
    "sampling": """
"outside" is the time of a trajectory that is not spent in the network, as a share of the network's time. "alone" is the
time of a trajectory whose network costs nothing, as a share of the same network's time.
""",
}


def write() -> None:
    """Write docs/benchmarks.md."""
    write_text(PAGE, page(read()))
    print(PAGE)
