"""The records: which contestant needs the least CPU time to a quality, or has the best quality with few evaluations.

python bench record                                       write bench/records.md from the entries in bench/records
python bench record digits --contestant diffusers-tuned   run five seeds, say whether the record falls, keep the entry
python bench record digits --contestant ancestral --settings '{"train": {"lr": 0.003}}' --minutes 0.5 1 2 --name lr
python bench record digits-2 --contestant my_module:build --teacher 15
python bench record fashion-gpu                           the same on one GPU, by the wall clock

A contestant is one of the benchmark, with your settings, or package.module:function: your function from a
`peers.contest.Task` to a `peers.contest.Contestant`. bench/records.md has the rules. Each training run has a process of
its own. It is kept in bench/out, and is not repeated if the command is repeated at the same commit.

The record of the division is trained again beside a new entry, seed by seed: the entry's baseline. Each entry is a
folder of bench/records, DATE_DIVISION.KIND.NAME, with a README.md of two lines, entry.json, seed-N.json for each seed,
and the baseline's files of the same names in the folder baseline.
"""

import argparse
import hashlib
import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, variance
from typing import Any

import torch

import image_sets
from ancestral.base.errors import InputError, whole
from ancestral.base.quantities import Estimate
from ancestral.base.storage import write_text
from ancestral.data import IMAGES
from ancestral.metrics import extractors
from measure import HERE, OUT, commit, over_seeds, provenance, result_path, time_to, write_json
from page import table
from parts.quality import Run, evaluate, read_settings, run_alone, some
from peers import factory

ENTRIES = HERE / "records"
"""A folder for each entry (committed)."""
FACTS, BASELINE = "entry.json", "baseline"
"""The file of an entry without its seeds, and the folder of its baseline."""
PAGE = HERE / "records.md"
SAMPLES = 1000
LEAST_SEEDS = 5
MOST_SEEDS = 1000
SIGNIFICANCE = 0.01
FEW = (1, 2, 4)
"""Numbers of network evaluations of the divisions of few evaluations."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Division:
    """What is measured: the time to a quality, or the quality with few evaluations after a fixed time."""

    title: str
    data: str
    minutes: tuple[float, ...]
    """Budgets in minutes of `clock`; those of a time to a quality may be changed."""
    metric: str = "KID"
    limit: float | None = None
    """The quality of a time to a quality."""
    evaluations: int | None = None
    """Number of network evaluations for each sample, otherwise."""
    device: str = "cpu"
    """Device of the training runs."""

    @property
    def clock(self) -> str:
        """The time that counts: that of one CPU core, or of the wall clock on a GPU."""
        return "CPU" if self.device == "cpu" else "wall"

    def value(self, rows: Sequence[dict[str, Any]], comparison: bool = False) -> float:
        """Compute the value of a seed from the rows of its training runs: seconds or KID. Less is better.

        A comparison to a time has the quality after the one budget, not the time.

        Raises:
            InputError: If the budgets are all too short or all too long, or sampling took more evaluations.
        """
        if self.limit is None:
            (row,) = rows
            count = row["curve_evaluations"][str(self.evaluations)]
            if not 0 < count <= self.evaluations:  # type: ignore[operator]
                raise InputError(f"the division allows {self.evaluations} evaluations a sample; {count:g} were counted")
            return float(row["curve"][str(self.evaluations)])
        if comparison:
            return float(rows[0][self.metric]["value"])
        points = [(row[f"training_{self.clock.lower()}_seconds"], Estimate(**row[self.metric])) for row in rows]
        seconds = time_to(Estimate(self.limit), points)
        if isinstance(seconds, str):
            raise InputError(
                f"seed {rows[0]['seed']} reaches {self.metric}-lite0 {self.limit:g} after {seconds} s of {self.clock} "
                "time: give --minutes on both sides of that"
            )
        return seconds.value

    def show(self, entry: Entry) -> str:
        """Format the mean over the seeds of an entry with its standard error."""
        if self.limit and entry.get("comparison"):
            run = entry["seeds"][0]["runs"][0]
            value = over_seeds(values(entry), run[self.metric]["error"])
            return f"{self.metric} {value.value:.4g} ± {value.error:.2g} after {60 * run['minutes']:.0f} s"
        value = over_seeds(values(entry))
        return f"{value.value:.1f} ± {value.error:.1f} s" if self.limit else f"{value.value:.4f} ± {value.error:.4f}"


DIVISIONS = {
    "digits": Division("One core: CPU seconds to KID-lite0 ≤ 0.05 on digits", "digits", (1, 2, 4, 8), limit=0.05),
    "fashion": Division(
        "One core: CPU seconds to FD-lite0 ≤ 180 on Fashion-MNIST", "fashion", (4, 8, 16, 32), "FD", 180.0
    ),
    "emoji": Division("One core: CPU seconds to KID-lite0 ≤ 0.5 on emoji", "emoji", (4, 8, 16, 32), limit=0.5),
    "icons": Division("One core: CPU seconds to KID-lite0 ≤ 1 on icons", "oxygen", (4, 8, 16, 32), limit=1.0),
    **{
        f"digits-{count}": Division(
            f"Few evaluations: KID-lite0 with {count} network evaluation{'s' * (count > 1)}, 15 CPU-minutes on digits",
            "digits",
            (15,),
            evaluations=count,
        )
        for count in FEW
    },
    "fashion-gpu": Division(
        "One GPU: seconds to FD-lite0 ≤ 180 on Fashion-MNIST", "fashion", (0.5, 1, 2, 4), "FD", 180.0, device="cuda"
    ),
}

DATA = {
    "digits": "7cec0f870adb0e2f7210a72bb24157cac60e9af7a43dab3ee1f1d9e83d5ba2e1",
    "fashion": "265164eab7753595da25684d917c1ca758976c74e38569ec9d16c346a32fb3e3",
    "emoji": "6135b5d20aaf8ec0b82bfd590ae7088a75490829bd485b75a66899af38bf300e",
    "oxygen": "fa87e8c2197453d66b25475388c23d2201613ce96d6d09cf1df79a0a2bc981fa",
}
"""SHA-256 of each data set, as `image_sets.digest` computes it."""
EVALUATOR = "lite0 v2 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db uint8 (0.0, 255.0)"
"""The identity of lite0: the version of its transform, the SHA-256 of its weights, and the codec."""
PROBE = {
    **{"digits": (-0.002755383, 179.085117), "fashion": (0.045842011, 655.745564)},
    **{"emoji": (0.060691203, 826.158845), "oxygen": (-0.018410593864, 738.7400566)},
}
"""KID and FD of 100 training images to 100 reference images, which other code of the evaluator would change."""


DEFAULTS = {
    **{"contestant": "ancestral", "settings": {}, "minutes": (), "seeds": LEAST_SEEDS, "teacher": 0.0, "name": ""},
    **{"comparison": False, "device": None, "change": ""},
}
"""Options of a measurement that were not given."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("division", nargs="?", choices=list(DIVISIONS), help="without one, only write bench/records.md")
    parser.add_argument("--contestant", help="a name, or package.module:function (default: ancestral)")
    parser.add_argument("--settings", type=read_settings, metavar="JSON", help="settings that replace its own")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        help="budgets on both sides of the limit, in CPU-minutes; on a GPU in minutes of the wall clock",
    )
    parser.add_argument("--seeds", type=int, help="number of seeds, from 0 on (default: 5)")
    parser.add_argument(
        "--teacher", type=float, help="CPU-minutes in which a model that the function loads was trained (default: 0)"
    )
    parser.add_argument(
        "--device", help="device in place of the division's, as cpu to try the command of a GPU division without a GPU"
    )
    parser.add_argument("--name", help="name of the entry (default: the contestant)")
    parser.add_argument(
        "--change", help="what differs from the record before, in a sentence (default: the contestant and its settings)"
    )
    parser.add_argument(
        "--comparison",
        action="store_true",
        default=None,
        help="a row without rank: fewer seeds, and in a division of time the quality after one budget",
    )


def run(options: argparse.Namespace) -> None:
    """Run the seeds, compare them with the record, and write the entry and the page."""
    absent = {name: value for name, value in DEFAULTS.items() if getattr(options, name) is None}
    if not options.division and (given := DEFAULTS.keys() - absent):
        raise InputError(f"--{min(given)} belongs to a measurement: name its division, one of {', '.join(DIVISIONS)}")
    vars(options).update(absent)
    if options.division:
        entry = measure(options)
        print(verdict(entry, read_entries()))
        reasons = obstacles(entry)
        path = (OUT / "records" if reasons else ENTRIES) / folder_name(entry)
        write_entry(path, entry)
        print(f"no entry ({'; '.join(reasons)}): {path}" if reasons else path)
    write_text(PAGE, render(read_entries()))
    print(PAGE)


def measure(options: argparse.Namespace) -> Entry:
    """Train and evaluate all seeds of an entry. Raises InputError if the division does not allow it."""
    division = DIVISIONS[options.division]
    if options.minutes and division.limit is None:
        raise InputError(f"{options.division} has a budget of {division.minutes[0]:g} CPU-minutes: leave --minutes out")
    if options.teacher and division.limit:
        raise InputError("in a division of time all training counts: leave --teacher out")
    if not 0 <= options.teacher < math.inf:
        raise InputError(f"--teacher is a number of minutes, not {options.teacher:g}")
    budgets = sorted(set(options.minutes or division.minutes))
    if division.limit and options.comparison and len(budgets) > 1:
        raise InputError("a comparison has the quality after one budget: give one, as in --minutes 15")
    if division.limit and not options.comparison and len(budgets) < 2:
        raise InputError("one budget is not on both sides of the limit: give two or more, as in --minutes 2 4")
    if options.comparison and division.limit:  # the quality has an error of its own
        whole(options.seeds, 1, MOST_SEEDS, f"--seeds must be from 1 to {MOST_SEEDS}, not {options.seeds}")
    else:
        wrong = f"--seeds must be from 2, for a standard error, to {MOST_SEEDS}, not {options.seeds}"
        whole(options.seeds, 2, MOST_SEEDS, wrong)
    device = device_of(division, options.device)
    kind, name = kind_of(device), options.name or options.contestant
    for path in ENTRIES.glob(f"*_{stem(options.division, kind, name)}"):
        raise InputError(f"there is an entry {name!r} already, {path}: give another --name")
    factory(options.contestant)
    record = None if options.comparison else record_of(read_entries(), options.division, kind)
    if record:
        factory(record["contestant"])
    version = commit()
    curve = () if division.limit else FEW  # all three divisions use the same training run

    def planned(contestant: str, settings: dict[str, Any], budgets: Sequence[float]) -> list[list[Run]]:
        setting = json.dumps([version, contestant, settings], sort_keys=True)
        tag = f"record-{hashlib.sha256(setting.encode()).hexdigest()[:12]}"
        run = partial(Run, contestant, division.data, samples=SAMPLES, curve=curve, change=settings, tag=tag)
        run = partial(run, device=str(device), wall=division.clock == "wall")
        return [[run(minutes, seed) for minutes in budgets] for seed in range(options.seeds)]

    plan = planned(options.contestant, options.settings, budgets)
    facts = {"seeds": plan, "commit": version, "comparison": options.comparison}
    if reasons := obstacles({**facts, "division": options.division, "device": device.type}):
        print(f"this makes no entry: {'; '.join(reasons)}", flush=True)
    torch.set_num_threads(1)
    check_evaluator(division.data)

    def result(runs: list[Run], prefix: str = "") -> dict[str, Any]:
        rows = [finished(run, version) for run in runs]
        value = division.value(rows, options.comparison)
        print(f"{prefix}seed {runs[0].seed}: {value:.4g}", flush=True)
        return {"seed": runs[0].seed, "value": value, "runs": rows}

    seeds: list[dict[str, Any]] = []
    baseline: Entry | None = None
    if record:
        print(f"beside each seed the record is trained again: {record['name']}", flush=True)
        kept = {key: record[key] for key in ("name", "contestant", "settings", "teacher_minutes", "command")}
        baseline = {**kept, "commit": version, "seeds": []}
        beside = planned(
            record["contestant"], record["settings"], [run["minutes"] for run in record["seeds"][0]["runs"]]
        )
        for runs, others in zip(plan, beside, strict=True):
            turns = [(seeds, runs, ""), (baseline["seeds"], others, "baseline, ")]
            for rows, each, prefix in turns if len(seeds) % 2 else turns[::-1]:  # so that a drift counts for both
                rows.append(result(each, prefix))
    else:
        seeds = [result(runs) for runs in plan]
    return {
        "division": options.division,
        "name": name,
        "kind": kind,
        "contestant": options.contestant,
        "settings": options.settings,
        "change": options.change or described(options.contestant, options.settings),
        "comparison": options.comparison,
        "teacher_minutes": options.teacher,
        "command": command(options, budgets),
        "commit": version,
        "data_sha256": DATA[division.data],
        "evaluator": EVALUATOR,
        **provenance(device),
        "seeds": seeds,
        BASELINE: baseline,
    }


def described(contestant: str, settings: dict[str, Any]) -> str:
    """Say what is trained: the contestant and its settings."""
    return f"The contestant `{contestant}` with {f'`{json.dumps(settings)}`' if settings else 'its own settings'}."


def device_of(division: Division, name: str | None) -> torch.device:
    """Return the device to train on. Raises InputError if it is not there, or another one than a CPU division's."""
    if name not in (None, division.device) and division.device == "cpu":
        raise InputError(f"the time of this division is that of a CPU: leave --device {name} out")
    try:
        device = torch.device(name or division.device)
    except RuntimeError:
        raise InputError(f"there is no device {name}: give --device cuda or cpu") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "this division needs a GPU that PyTorch can use, and there is none; --device cpu --minutes 0.1 0.2 tries "
            "its command without an entry"
        )
    return device


def kind_of(device: torch.device) -> str:
    """Name the kind of processor, whose seconds are comparable: the instructions of a CPU, or the name of a GPU."""
    if device.type == "cuda":
        return "cuda-" + re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    return result_path("record", device).stem.partition(".")[2]


def check_evaluator(name: str) -> None:
    """Check the data and the evaluator. Raises InputError if they are not those of all entries."""
    images = image_sets.load(name)
    if (found := image_sets.digest(images)) != DATA[name]:
        raise InputError(f"the data {name} have SHA-256 {found}; those of the records have {DATA[name]}")
    extractor = extractors.extractor("lite0", tuple(images.reference.shape[1:]), IMAGES)
    if extractor.identity != EVALUATOR:
        raise InputError(f"the evaluator is {extractor.identity!r}; that of the records is {EVALUATOR!r}")
    for metric, expected in zip(("KID", "FD"), PROBE[name], strict=True):
        value = probe(images)[metric]["value"]
        if not math.isclose(value, expected, rel_tol=1e-3, abs_tol=1e-4):
            raise InputError(f"the evaluator's code differs: {metric} of its probe is {value:.6g}, not {expected:.6g}")


def probe(images: image_sets.Split) -> dict[str, Any]:
    """Evaluate 100 training images against 100 reference images, always the same ones."""
    return evaluate(some(images.train.items, 100), some(images.reference, 100))


def finished(run: Run, version: str) -> dict[str, Any]:
    """Return the row of a training run that was finished before, at the same commit, or train it now."""
    path = run.folder / "result.json"
    if path.is_file() and not version.endswith("-dirty"):
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return row
    return run_alone(run, threads=1)


def command(options: argparse.Namespace, budgets: Sequence[float]) -> str:
    """Write the command that repeats an entry."""
    words = ["python", "bench", "record", options.division, "--contestant", options.contestant]
    if options.settings:
        words += ["--settings", json.dumps(options.settings)]
    if DIVISIONS[options.division].limit:
        words += ["--minutes", *(f"{minutes:g}" for minutes in budgets)]
    words += ["--seeds", str(options.seeds)]
    words += ["--teacher", f"{options.teacher:g}"] if options.teacher else []
    words += ["--comparison"] if options.comparison else []
    words += ["--device", options.device] if options.device else []
    words += ["--change", options.change] if options.change else []
    return shlex.join([*words, "--name", options.name or options.contestant])


def stem(division: str, kind: str, name: str) -> str:
    """Name the folder of an entry, without its date."""
    return f"{division}.{kind}.{re.sub('[^a-z0-9-]+', '-', name.lower())}"


def folder_name(entry: Entry) -> str:
    """Name the folder of an entry."""
    return f"{entry['date'][:10]}_{stem(entry['division'], entry['kind'], entry['name'])}"


def write_entry(folder: Path, entry: Entry) -> None:
    """Write the folder of an entry: its README.md, its facts, the result of each seed, and the same of its baseline."""
    write_text(folder / "README.md", readme(entry))
    parts = [(folder, entry)] + ([(folder / BASELINE, entry[BASELINE])] if entry.get(BASELINE) else [])
    for place, part in parts:
        write_json(place / FACTS, {key: value for key, value in part.items() if key not in ("seeds", BASELINE)})
        for seed in part["seeds"]:
            write_json(place / f"seed-{seed['seed']}.json", seed)


def read_entry(folder: Path) -> Entry:
    """Read the folder of an entry, or of its baseline."""
    entry: Entry = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    seeds = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("seed-*.json")]
    entry["seeds"] = sorted(seeds, key=lambda seed: seed["seed"])
    baseline = folder / BASELINE
    return {**entry, BASELINE: read_entry(baseline)} if baseline.is_dir() else entry


def readme(entry: Entry) -> str:
    """Format the README of an entry: what changed, and the result beside the baseline."""
    division = DIVISIONS[entry["division"]]
    count = len(entry["seeds"])
    value = f"{division.title}: {division.show(entry)} ({count} seed{'s' * (count > 1)})"
    return f"# {entry['name']}\n\n{entry['change']}\n{value}; {paired(entry)}.\n"


def paired(entry: Entry) -> str:
    """Say what the baseline of an entry has, and by how much the entry is lower seed by seed."""
    baseline = entry.get(BASELINE)
    if baseline is None:
        return "no baseline was trained in the same run"
    division = DIVISIONS[entry["division"]]
    differences = [new - old for new, old in zip(values(entry), values(baseline), strict=True)]
    found, digits = over_seeds(differences), 1 if division.limit else 4
    unit = " s" if division.limit else ""
    return (
        f"the baseline {baseline['name']}, trained in the same run, {division.show(baseline)}; difference seed by seed "
        f"{found.value:+.{digits}f} ± {found.error:.{digits}f}{unit}"
    )


def obstacles(entry: Entry) -> list[str]:
    """Say what keeps a measurement from being an entry."""
    reasons = []
    if len(entry["seeds"]) < LEAST_SEEDS and not entry.get("comparison"):
        reasons.append(f"{len(entry['seeds'])} of {LEAST_SEEDS} seeds")
    if entry["commit"].endswith("-dirty"):
        reasons.append("the working tree has changes that are not committed")
    if entry["device"] != (device := DIVISIONS[entry["division"]].device):
        reasons.append(f"on the device {entry['device']}, not {device}")
    return reasons


def read_entries(folder: Path | None = None) -> list[Entry]:
    """Read all entries, the oldest first."""
    paths = sorted((folder or ENTRIES).glob(f"*/{FACTS}"))
    return sorted((read_entry(path.parent) for path in paths), key=lambda entry: entry["date"])


def values(entry: Entry) -> list[float]:
    """Return the values of the seeds."""
    return [seed["value"] for seed in entry["seeds"]]


def welch(new: Sequence[float], old: Sequence[float]) -> float:
    """Compute the p-value of Welch's one-sided t-test: how probable so low a mean is, if the true one is not lower.

    References:
        B. L. Welch, The generalization of "Student's" problem when several different population variances are
        involved, Biometrika 34, 1947.
    """
    a, b = variance(new) / len(new), variance(old) / len(old)
    t = (mean(new) - mean(old)) / math.sqrt(a + b)
    return student(t, (a + b) ** 2 / (a**2 / (len(new) - 1) + b**2 / (len(old) - 1)))


def student(t: float, freedom: float, points: int = 100_000) -> float:
    """Compute P(T ≤ t) of Student's distribution: by T = √ν tan θ the integral of cos(θ)^(ν − 1), midpoint rule."""
    end = math.atan(t / math.sqrt(freedom)) + math.pi / 2  # from -π/2, where the cosine is the sine from 0
    theta = (torch.arange(points, dtype=torch.float64) + 0.5) * (end / points)
    total = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return float(theta.sin().pow(freedom - 1).mean()) * end / total


def history(entries: Sequence[Entry], division: str, kind: str) -> list[tuple[Entry, float | None, bool]]:
    """Return the entries of a division and a kind of processor in the order of their dates, without comparisons.

    Returns:
        Each entry, the p-value against the record before it (None of the first), and whether the record fell to it. The
        record's values are those of the entry's baseline if it is that record, trained again in the same run.
    """
    found: list[tuple[Entry, float | None, bool]] = []
    record = None
    for entry in entries:
        if (entry["division"], entry["kind"]) == (division, kind) and not entry.get("comparison"):
            p = None if record is None else welch(values(entry), values(beside(entry, record)))
            falls = p is None or p < SIGNIFICANCE
            record = entry if falls else record
            found.append((entry, p, falls))
    return found


def beside(entry: Entry, record: Entry) -> Entry:
    """Return what an entry is compared with: its baseline if that is the record, else the record as it was measured."""
    baseline: Entry | None = entry.get(BASELINE)
    return baseline if baseline and baseline["name"] == record["name"] else record


def record_of(entries: Sequence[Entry], division: str, kind: str) -> Entry | None:
    """Return the record of a division on a kind of processor; None without an entry."""
    return next((entry for entry, _, falls in reversed(history(entries, division, kind)) if falls), None)


def verdict(entry: Entry, before: Sequence[Entry]) -> str:
    """Say whether the record falls to an entry."""
    division = DIVISIONS[entry["division"]]
    shown = f"{entry['name']}: {division.show(entry)}"
    if entry.get("comparison"):
        return f"{shown}; a comparison has no rank"
    *old, (_, p, falls) = history([*before, entry], entry["division"], entry["kind"])
    if p is None:
        return f"{shown}; it is the first entry of its division on {entry['kind']}"
    record = beside(entry, [each for each, _, fell in old if fell][-1])
    outcome = "the record falls" if falls else f"the record stands, which needs p < {SIGNIFICANCE:g} to fall"
    return f"{shown}; {record['name']} {division.show(record)}; p = {p:.2g}: {outcome}"


INTRODUCTION = """# Records

`python bench record` writes this page from the entries in `bench/records`. Anyone can take part, with other settings
of a contestant or with a function: `python bench record DIVISION --contestant NAME --settings JSON --change TEXT`.
Commit the folder that it writes, and the code of the function. The folder of an entry has a README.md of what changed,
the result of each seed, and the same of the baseline that was trained beside it.

## Rules

1. Data and evaluator are fixed. The command checks their SHA-256, which are below, before a run. 1,000 samples are
   compared with images that no contestant was trained on.
2. The time is the CPU time of training on one PyTorch thread; on a GPU it is that of the wall clock, and the GPU is
   synchronised after each step. Nothing else should run on the machine: it costs an entry
   steps. Each training run has the load average in its row (1 means alone). Building the contestant, estimating the
   time of a step and sampling do not count. So building must not train or load weights. The one exception is a teacher
   in the divisions of few evaluations. Its training time is part of the budget, or is stated by `--teacher`.
3. Samples come from a network. A contestant must not copy training images, and must not read the reference set.
4. In the divisions of time, each seed is trained from scratch for several budgets, with a learning rate schedule that
   ends at each. The value of a seed is the time from which on the quality is within the limit. It is interpolated
   between two budgets, in the logarithm of time.
5. In the divisions of few evaluations, the budget is 15 CPU-minutes. The command counts the images that pass through
   the network.
6. An entry has at least five seeds: 0, 1, 2 and so on, none left out. It is measured at a commit without changes.
7. Seconds of different kinds of processors or GPUs are not comparable, so each kind has a record of its own. To take
   part on another kind, repeat the command of the record there first.
8. The record is trained again beside a new entry, by the code of the same commit, in the same run on the same machine,
   with the same seeds in turns: it is the entry's baseline. The record falls to the entry if its mean is lower than the
   baseline's with p < 0.01 by Welch's one-sided t-test over the seeds. Peers take part under the same rules. Entries
   without a baseline are older than this rule, or the first of their division, and are compared with the record as it
   was measured before.
9. A comparison (`--comparison`) may have fewer seeds. In a division of time it has one budget, and the quality after
   it. It has no rank. So a peer that does not reach the limit stands in the table too.

Errors are standard errors of the mean over seeds. The error of the reference set is common to all entries of a
division, and is not part of them.
"""


def render(entries: Sequence[Entry]) -> str:
    """Format the page of records."""
    lines = [*INTRODUCTION.splitlines(), "", "## Data and evaluator", ""]
    lines += table(["data", "SHA-256"], [[name, f"`{sha}`"] for name, sha in DATA.items()])
    lines += ["", f"Evaluator: `{EVALUATOR}`", ""]
    for name, division in DIVISIONS.items():
        lines += [f"## {division.title}", "", f"`python bench record {name}`", ""]
        kinds = sorted({entry["kind"] for entry in entries if entry["division"] == name})
        for kind in kinds:
            here = [entry for entry in entries if (entry["division"], entry["kind"]) == (name, kind)]
            lines += [*division_table(division, history(here, name, kind), here), ""]
        lines += [] if kinds else ["No entry.", ""]
    return "\n".join(lines[:-1]) + "\n"


def division_table(
    division: Division, ranked: Sequence[tuple[Entry, float | None, bool]], entries: Sequence[Entry]
) -> list[str]:
    """Format the entries of a division on a kind of processor: the best first, comparisons last."""
    record = next((entry for entry, _, falls in reversed(ranked) if falls), None)
    found = {id(entry): (p, falls) for entry, p, falls in ranked}
    rows = []
    for entry in sorted(entries, key=lambda entry: (id(entry) not in found, mean(values(entry)))):
        p, falls = found.get(id(entry), (None, False))
        mark = "record" if entry is record else "former record" if falls else ""
        if entry.get("comparison"):
            mark = "comparison"
        teacher = f"{entry['teacher_minutes']:g} min" if entry["teacher_minutes"] else ""
        count = len(entry["seeds"])
        value = f"{division.show(entry)} ({count} seed{'s' * (count > 1)})"
        cells = [mark, entry["name"], value, "" if p is None else f"{p:.2g}", teacher, entry["date"][:10]]
        baseline = division.show(entry[BASELINE]) if entry.get(BASELINE) else ""
        folder = f"[{entry['name']}](records/{folder_name(entry)}/README.md)"
        cells[1:3] = folder, value, baseline
        rows.append([*cells, entry["commit"][:12], f"`{entry['command']}`"])
    head = ["", "entry", "mean and standard error", "baseline", "p", "teacher", "date", "commit", "command"]
    machine = entries[0]["machine"]
    processor = f"**On {machine.get('GPU', machine['processor'])}, {entries[0]['kind']}**"
    return [processor, "", *table(head, rows)]
