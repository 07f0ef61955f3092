"""Generate docs/explanation/benchmarks.md from the JSON files in bench/results."""

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ancestral.base.quantities import Estimate, format_number
from ancestral.base.storage import write_text
from measure import RESULTS, over_seeds, time_to
from parts.growth import exponent

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "benchmarks.md"
DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple's GPU", "gpu": "Pretended accelerator"}
MEASURED_ON = {"start": ("cpu",), "quality": ("cpu",), "gpu": ("cuda", "mps", "gpu")}
"""The devices of a part, if they are others than CPU and GPU."""
MISSING = "not measured"
PEERS = ("diffusers-documented", "diffusers-tuned", "ddp-documented", "ddp-tuned")
TUNED = ("diffusers-tuned", "ddp-tuned")

Result = dict[str, Any]
Row = dict[str, Any]

INTRODUCTION = """# Benchmarks against other libraries

`make bench` writes this page from the files in `bench/results`. `bench/README.md` describes the
methods and the settings of the other libraries. Numbers are medians over rounds in which all libraries take turns, with
quartiles in brackets. A ratio is the median of the ratios within a round. `ddp` is denoising-diffusion-pytorch.
`bench/records.md` has records: CPU time to a quality, and quality with few evaluations, over five seeds. A new entry is
measured beside the record, which is trained again in the same run.
"""

REPEAT = """\
These commands run in a clone, in which `make demo` trains `runs/demo`. `python bench/kill.py` kills trainings,
which then resume bit for bit.
"""

COMMANDS = re.compile(r"<!-- generated: measurement commands -->.*?<!-- end -->", re.DOTALL)
"""The block of the page that docs/hooks/blocks.py writes."""

TITLES = {
    "steps": "A step of the DDPM paper's network",
    "memory": "Memory of a training step",
    "quality": "Time to quality",
    "sampling": "Sampling",
    "start": "Start-up time",
    "growth": "Growth of the cost of a training step",
    "gpu": "On a GPU",
}


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """Read all result files, by "PART.KIND" (the kind of processor)."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def render(results: Mapping[str, Result]) -> str:
    """Format the page. Parts and devices without a result are marked as not measured."""
    (block,) = COMMANDS.findall(PAGE.read_text(encoding="utf-8"))
    lines = [*INTRODUCTION.splitlines(), "", "## Repeat the figures of README.md", "", *REPEAT.splitlines(), "", block]
    for part, title in TITLES.items():
        lines += ["", f"## {title}", ""]
        if part in INTRODUCTIONS:
            lines += [*INTRODUCTIONS[part].strip().splitlines(), ""]
        for device in MEASURED_ON.get(part, ("cpu", "cuda")):
            name = DEVICES[device]
            measured = [result for kind, result in results.items() if kind.startswith(f"{part}.{device}")]
            for result in measured:
                machine = result["machine"].get("GPU", result["machine"]["processor"])
                heading = "On a pretended accelerator" if device == "gpu" else f"On {machine}"
                lines += [f"**{heading}**", "", *SECTIONS[part](result["rows"]), "", f"{name}: {describe(result)}", ""]
            if not measured:
                lines += [f"{name}: {MISSING}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def describe(result: Result) -> str:
    """Format the machine, threads, rounds, clock, versions and date as one line."""
    machine = ", ".join(f"{name} {text}" for name, text in result["machine"].items())
    versions = ", ".join(f"{name} {text}" for name, text in result["versions"].items())
    settings = result.get("settings", {})
    rounds = f"rounds: {settings['rounds']}; " if "rounds" in settings else ""
    clock = settings.get("clock", result["clock"])  # the part's own clock, if it has one
    return f"{machine}; threads: {result['threads']}; {rounds}{clock} time; {versions}; {result['date']}."


def table(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> list[str]:
    """Format a Markdown table."""
    return [table_row(head), "|" + "---|" * len(head), *map(table_row, rows)]


def table_row(cells: list[str]) -> str:
    """Format a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def with_quartiles(values: Mapping[str, float] | None, digits: int = 2, scale: float = 1.0, unit: str = "") -> str:
    """Format the median with the quartiles in brackets, or "not measured"."""
    if values is None:
        return MISSING
    middle, low, high = (f"{scale * values[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{middle}{unit} ({low} to {high})"


def steps(rows: list[Row]) -> list[str]:
    """Format our seconds, the shares of the peak rate, and the ratios of the other libraries' times to ours."""
    by_key = {(r["batch"], r["compile"], r["precision"], r["what"], r.get("contestant")): r for r in rows}
    lines = []
    for batch, compiled, precision, what in dict.fromkeys(key[:4] for key in by_key if key[3] in ("train", "forward")):
        each = {name: by_key.get((batch, compiled, precision, what, name)) for name in STEP_LIBRARIES}
        ours = each["ancestral"]
        cells = [str(batch), precision + (", compiled" if compiled else ""), {"train": "training step"}.get(what, what)]
        cells += [f"{ours['seconds']['median']:.3f} s" if ours else MISSING]
        shares = [(each[name] or {}).get("share") for name in STEP_LIBRARIES]
        cells += [f"{share['median']:.0%}" if share else MISSING for share in shares]
        lines.append(cells + [with_quartiles((each[name] or {}).get("ratio")) for name in STEP_LIBRARIES[1:]])
    head = ["batch", "precision", "what", "ancestral", *(f"{name}: share of the peak" for name in STEP_LIBRARIES)]
    text = table([*head, *(f"{name} / ancestral" for name in STEP_LIBRARIES[1:])], lines)
    defaults = [r for r in rows if r["what"] == "default"]
    text += [
        "",
        "A training step with the default precision of each library (ours is automatic, diffusers' is float32):",
        "",
    ]
    text += table(
        ["batch", "our precision", "diffusers / ancestral"],
        [[str(r["batch"]), r["precision"], with_quartiles(r["ratio"])] for r in defaults],
    )
    peaks = [f"{r['flops'] / 1e9:.0f} in {r['precision']} (batch {r['batch']})" for r in rows if r["what"] == "peak"]
    return [*text, "", f"Peak rate, in GFLOP/s: {', '.join(dict.fromkeys(peaks))}."]


STEP_LIBRARIES = ("ancestral", "diffusers", "diffusers-tuned")


def memory(rows: list[Row]) -> list[str]:
    """Format the memory in MiB, with its ratio to diffusers' in brackets."""
    lines = []
    for r in rows:
        cells = [str(r["batch"]), r["precision"], r["contestant"]]
        for what in ("step", "all"):
            share = r[f"{what} of diffusers'"]
            cells.append(f"{r[what]['median'] / 2**20:.0f}" + ("" if share is None else f" ({share:.2f})"))
        lines.append(cells)
    return table(["batch", "precision", "", "step, MiB (of diffusers')", "all, MiB (of diffusers')"], lines)


def quality(rows: list[Row]) -> list[str]:
    """Format one table for each data set, with one row for each contestant, and the curve over CPU time."""
    text = []
    for name in dict.fromkeys(r["data"] for r in rows):
        every = [r for r in rows if r["data"] == name]
        budget = compared_budget(every)
        of_data = [r for r in every if r["minutes"] in (0, budget)]
        groups = {c: [r for r in of_data if r["contestant"] == c] for c in ("ancestral", *PEERS, "training images")}
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
                    metric(group, "KID", 4),
                    share,
                    metric(group, "FD", 1),
                    f"{statistics.mean(r['sampling_cpu_seconds'] for r in group):.0f} s" if trained else "",
                    min(r["date"] for r in group)[:10],
                ]
            )
        head = ["", "training steps", "KID-lite0", "ratio to the better tuned library", "FD-lite0", "sampling", "date"]
        text += [f"### {name}: {budget:g} CPU-minutes", "", *table(head, lines), ""]
        text += time_to_quality(every, budget)
    return text[:-1]


def compared_budget(rows: list[Row]) -> float:
    """Return the budget in CPU-minutes of which most contestants have a row, of several the largest."""
    contestants: dict[float, set[str]] = {}
    for r in rows:
        contestants.setdefault(r["minutes"], set()).add(r["contestant"])
    return max(contestants, key=lambda minutes: (bool(minutes), len(contestants[minutes]), minutes))


def time_to_quality(rows: list[Row], budget: float) -> list[str]:
    """Format the CPU time in which each contestant with other budgets has the KID of the better tuned library.

    Empty if there is no such contestant, or no tuned library.
    """
    curves: dict[str, dict[float, list[float]]] = {}
    errors = {(r["contestant"], r["minutes"]): r["KID"]["error"] for r in rows}
    for r in sorted(rows, key=lambda r: r["minutes"]):
        curves.setdefault(r["contestant"], {}).setdefault(r["minutes"], []).append(r["KID"]["value"])
    points = {
        c: [(minutes, over_seeds(kids, errors[c, minutes])) for minutes, kids in curve.items()]
        for c, curve in curves.items()
    }
    tuned = {c: kid for c in TUNED for minutes, kid in points.get(c, []) if minutes == budget}
    lines = []
    for contestant in ("ancestral", *PEERS):
        if tuned and {minutes for minutes, _ in points.get(contestant, [])} - {budget}:
            found = time_to(min(tuned.values(), key=lambda kid: kid.value), points[contestant])
            known = isinstance(found, Estimate)
            share = format_number(found.value / budget, (found.error or 0) / budget) if known else ""
            curve = ", ".join(f"{minutes:g}: {kid}" for minutes, kid in points[contestant])
            lines.append([contestant, str(found), share, curve])
    if not lines:
        return []
    best = min(tuned, key=lambda c: tuned[c].value)
    head = ["", "CPU-minutes to it", f"share of {budget:g}", "CPU-minutes: KID-lite0, one training run each"]
    return [f"CPU time to KID-lite0 {tuned[best]}, that of {best}:", "", *table(head, lines), ""]


def metric(group: list[Row], name: str, digits: int) -> str:
    """Format the mean of a metric over several seeds with its range, or one value with its standard error."""
    values = [r[name]["value"] for r in group]
    if len(values) > 1:
        span = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
        return f"{statistics.mean(values):.{digits}f} ({len(values)} seeds: {span})"
    return f"{values[0]:.{digits}f} ± {group[0][name]['error']:.{digits}f}"


def sampling(rows: list[Row]) -> list[str]:
    """Format the tables of the overhead, the time of 1,000 images, and the throughput by batch size."""
    by_kind = {what: [r for r in rows if r["what"] == what] for what in ("overhead", "1000", "sweep")}
    text = table(
        ["sampler, batch " + str(by_kind["overhead"][0]["batch"]), "ms per network evaluation", "outside", "alone"],
        [
            [
                r["sampler"],
                f"{1e3 * r['network_seconds']['median']:.1f}",
                with_quartiles(r["outside"], 2, 100, " %"),
                with_quartiles(r["alone"], 2, 100, " %"),
            ]
            for r in by_kind["overhead"]
        ],
    )
    text += [
        "",
        "Time of 1,000 digits, with the fewest steps whose KID is within 5 % of a library's own best KID:",
        "",
    ]
    if timed := by_kind["1000"]:
        cells = [[r["contestant"], str(r["steps"]), f"{r['KID']:.3f}", f"{r['seconds']:.1f} s"] for r in timed]
        text += table(["", "steps", "KID-lite0", "time"], cells)
    else:
        text += [f"{MISSING}."]
    if by_kind["sweep"]:
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
                for r in by_kind["sweep"]
            ],
        )
    return text


def start(rows: list[Row]) -> list[str]:
    """Format the start-up times in seconds."""
    return table(["", "seconds"], [[r["what"], with_quartiles(r["seconds"])] for r in rows])


def growth(rows: list[Row]) -> list[str]:
    """Format the milliseconds per image, and the exponent of their growth."""
    lines = []
    for over in dict.fromkeys(r["over"] for r in rows):
        for name in ("ancestral", "diffusers"):
            measured = [r for r in rows if r["over"] == over and r["contestant"] == name]
            points = [(r["value"], r["seconds_per_image"]["median"]) for r in measured]
            slope = f"{exponent(points):.2f}" if len(points) > 1 else ""
            lines.append([over, name, ", ".join(f"{x:g}: {1e3 * y:.1f}" for x, y in points) or MISSING, slope])
    return table(["variable", "", "value: ms per image", "exponent of the growth"], lines)


def gpu(rows: list[Row]) -> list[str]:
    """Format the tables of the equality with the CPU, of the training steps and of the samplers."""
    kinds = {what: [r for r in rows if r["what"] == what] for what in ("equality", "step", "sampling")}
    equal = [
        [r["case"], *[r["needs"]] * 3]
        if "needs" in r
        else [r["case"], number(r["difference"]), number(r["relative"]), f"{r['tolerance']:g}"]
        for r in kinds["equality"]
    ]
    steps = [
        [r["network"], r["variant"], *[r["needs"]] * 5]
        if "needs" in r
        else [
            r["network"],
            r["variant"],
            str(r["batch"]),
            with_quartiles(r["seconds"], 2, 1e3, " ms"),
            f"{with_quartiles(r['ratio'])} of {r['base']}" if r["ratio"] else MISSING,
            *waits_and_memory(r),
        ]
        for r in kinds["step"]
    ]
    samples = [
        [
            r["sampler"],
            str(r["batch"]),
            str(r["steps"]),
            f"{r['batch'] / r['seconds']['median']:,.0f}" if r["seconds"] else MISSING,
            *waits_and_memory(r),
        ]
        for r in kinds["sampling"]
    ]
    costs = ["waits", "MiB"]
    text = table(["computed on both devices", "largest difference", "relative difference", "tolerance"], equal)
    text += ["", *table(["network", "training step", "batch", "time", "ratio", *costs], steps), ""]
    return text + table(["sampler", "batch", "steps", "images a second", *costs], samples)


def number(value: float | None) -> str:
    """Format a number with two digits, or "not finite"."""
    return "not finite" if value is None else f"{value:.2g}"


def waits_and_memory(row: Row) -> list[str]:
    """Format the number of waits for the device, and the memory in MiB."""
    waits = "needs CUDA" if row["waits"] is None else str(sum(row["waits"].values()))
    return [waits, "needs CUDA" if row["bytes"] is None else f"{row['bytes'] / 2**20:,.0f}"]


SECTIONS: dict[str, Callable[[list[Row]], list[str]]] = {
    "steps": steps,
    "memory": memory,
    "quality": quality,
    "sampling": sampling,
    "start": start,
    "growth": growth,
    "gpu": gpu,
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
trained on. "training images" is the floor: 1,000 images of the training set in place of samples. A curve over CPU time
has a training run for each budget, since the learning rate ends with it. Between budgets, KID is interpolated in the
logarithm of time.
""",
    "sampling": """
"outside" is the time of a trajectory that is not spent in the network, as a share of the network's time. "alone" is the
time of a trajectory whose network costs nothing, as a share of the same network's time.
""",
    "gpu": """
`make bench-gpu` fills these tables, and the rows of a GPU above. The relative difference is a norm, as a share of the
norm of the CPU's values: of the change of the weights in trainings, else of the samples or metrics. In float32 TF32 is
off. Waits are those of one training step that is not logged, and of one call that samples. Without a GPU the same
measurements run with tiny networks on a pretended accelerator, whose times are not kept.
""",
}


def write_page() -> None:
    """Write docs/explanation/benchmarks.md."""
    write_text(PAGE, render(read_results()))
    print(PAGE)
