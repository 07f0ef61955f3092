"""Writes the generated blocks of documents (command line, parts by their names, lessons, figures) and install lines.

    python docs/hooks/blocks.py

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`, so that it can be read without the site too. The
commands come from the declarations, the parts from their tables, and the figures from the JSON files of `bench/`.
A line that installs has the form of a clone until `PUBLISHED` names a version, and then that of the package index.
`tests/docs/test_blocks.py` fails when a block or such a line is stale.
"""

import html
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ancestral import __version__
from ancestral.base import registries
from ancestral.base.quantities import format_number
from ancestral.config import METHODS, PRESETS, Config
from ancestral.declarations import USE_CASES, UseCase
from ancestral.faces.help_text import description, entry_text, named, words_of
from ancestral_course import LESSONS, lesson_exercises, lesson_file
from ancestral_course.lessons import PATHS, find_lesson

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))
from records import ENTRIES, read_entry, values  # noqa: E402  # bench/ is no package

BLOCK = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "studio/README.md", "course/README.md")
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [*(ROOT / name for name in DOCUMENTS), *sorted((ROOT / "docs").rglob("*.md"))]
]

# -- installation -----------------------------------------------------------------------------------------------------

PUBLISHED = ""
"""The newest version on the package index; empty as long as there is none. CONTRIBUTING.md says when it is set."""
INSTALLATIONS = {
    "pip install . ./studio": "pip install 'ancestral[studio]'",
    "pip install . ./course": "pip install ancestral-course",
    "pip install '.[EXTRA]'": "pip install 'ancestral[EXTRA]'",
    "pip install .": "pip install ancestral",
    "uv pip install --torch-backend=cpu .": "uv pip install --torch-backend=cpu ancestral",
    "uvx --from . ancestral": "uvx ancestral",
    "uvx --from . --with ./studio ancestral": "uvx --from 'ancestral[studio]' ancestral",
}
"""What installs in a clone, and what does the same from the package index. EXTRA stands for one extra or several."""


def with_installations(text: str) -> str:
    """Return a text whose install lines have the form that works: that of a clone, or of the index if `PUBLISHED`."""
    for clone, index in INSTALLATIONS.items():
        old, new = (clone, index) if PUBLISHED else (index, clone)
        pattern = re.escape(old).replace("EXTRA", r"([\w,-]+)")
        text = re.sub(rf"{pattern}(?![^\s`])", new.replace("EXTRA", r"\1"), text)
    return text


def installations() -> str:
    """Return a table of the lines that install, in a clone and from the package index."""
    rows = (f"| `{clone}` | `{index}` |" for clone, index in INSTALLATIONS.items())
    return "\n".join(["| in a clone | from the package index |", "|---|---|", *rows])


def publication() -> str:
    """Say that no version is on the package index, as long as this is so."""
    if PUBLISHED:
        return ""
    version = __version__.rpartition(".")[0]
    return (
        f"Ancestral {version} is not on the package index yet. Install it from a clone: the lines with `pip install` "
        "and `uvx` are run in its folder, which the dot in them names."
    )


# -- commands ---------------------------------------------------------------------------------------------------------

ABOUT = {
    "doctor": "own-images",
    "train": "own-images",
    "distil": "few-evaluations",
    "sample": "sample",
    "edit": "edit",
    "evaluate": "evaluate",
    "evaluate-samples": "evaluate",
    "compare": "compare",
    "average": "averaging-length",
    "runs": "settings-and-runs",
    "info": "settings-and-runs",
    "export": "export-import",
    "import": "export-import",
    "studio": "studio",
    "push": "share",
}
"""The how-to page of each command."""


def command_names() -> str:
    """Return the names of all commands as a list in one line."""
    return ", ".join(f"`{case.command}`" for case in USE_CASES)


def commands() -> str:
    """Return a table of the commands: what each does, its function in Python, and its page."""
    rows = ["| command | | in Python | page |", "|---|---|---|---|"]
    for case in USE_CASES:
        name, page = case.command, f"{ABOUT[case.command]}.md"
        heading = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        command = f"[`ancestral {name}`](../reference/command-line.md#ancestral-{name})"
        rows.append(f"| {command} | {case.summary} | `ancestral.{case.function}` | [{heading}]({page}) |")
    return "\n".join(rows)


# -- the command line --------------------------------------------------------------------------------------------------

COMPLETION = """\
## Completion

Shells complete commands, options, their values (presets, samplers, metrics and others) and paths, by the script that
`ancestral --completion` prints. It is made for the installed version, so the line that prints it makes it anew:

| shell | once, or in the file that the shell reads when it starts |
|---|---|
| bash | `eval "$(ancestral --completion bash)"` in `~/.bashrc` |
| zsh | `eval "$(ancestral --completion zsh)"` in `~/.zshrc`, after `autoload -U compinit && compinit` |
| fish | `ancestral --completion fish > ~/.config/fish/completions/ancestral.fish`, once |

The first two take about half a second each time a shell starts. A file is faster: `ancestral --completion bash >
~/.local/share/bash-completion/completions/ancestral`, once for each version, where bash-completion is installed.
`ancestral-course --completion` prints the script of that command.
"""


def command_line() -> str:
    """Return the reference of the command line, from the options that `--help-all` of each command lists."""
    lines = ["| command | |", "|---|---|"]
    lines += [f"| [`{case.command}`](#ancestral-{case.command}) | {case.summary} |" for case in USE_CASES]
    lines += ["", COMPLETION]
    for case in USE_CASES:
        lines += ["", *_reference(case)]
    return "\n".join(lines).rstrip()


def _reference(case: UseCase) -> Iterator[str]:
    """Yield the lines of a command."""
    options = words_of(case, case.declaration.shown_config({}))
    places = "".join(f" {named(one)}" for one in options if one.positional)
    yield f"## ancestral {case.command}"
    yield f"\n```text\nancestral {case.command}{places} [options]\n```\n"
    yield html.escape(" ".join(description(case).split())) + "\n"
    names = {one.name for one in options}
    for section in dict.fromkeys(one.section for one in options):
        if section != "Options":
            yield f"**{html.escape(section)}**\n"
        for one in options:
            if one.section == section:
                text = html.escape(entry_text(one, names).replace("\u00a0", " ")).replace("*", r"\*")
                yield f"`{named(one)}`\n:   {text or '&nbsp;'}\n"


# -- the course --------------------------------------------------------------------------------------------------------

READING, WORKING = 0.75, 0.35
"""Estimated hours to read a lesson, and to work on an exercise or a proof."""


def lesson_table() -> str:
    """Return the table of the lessons."""
    rows = ["| lesson | what it teaches | after | exercises | hours | runs in |", "|---|---|---|---|---|---|"]
    for lesson in LESSONS:
        count, proofs = _work(lesson)
        work = f"{count} + {proofs} on paper" if proofs else str(count)
        after = ", ".join(map(str, lesson.needs)) or "–"
        rows.append(
            f"| {_link(lesson)} | {lesson.summary} | {after} | {work} | {_hours(lesson):g} | {lesson.minutes} min |"
        )
    return "\n".join(rows)


def paths() -> str:
    """Return the ways through the course as a list."""
    lines = []
    for name, (purpose, numbers) in PATHS.items():
        lessons = [find_lesson(number) for number in numbers]
        hours = sum(map(_hours, lessons))
        lines.append(f"* **{name}** ({purpose}; {hours:.0f} hours): {', '.join(map(_link, lessons))}")
    return "\n".join(lines)


def _work(lesson) -> tuple[int, int]:
    """The numbers of exercises and of tasks on paper of a lesson."""
    return len(lesson_exercises(lesson.number)), len(_headings(lesson, "On paper"))


def _hours(lesson) -> float:
    """Estimated hours of work, to half an hour."""
    return round(2 * (READING + WORKING * sum(_work(lesson)))) / 2


def exercise_map() -> str:
    """Return a table of what is derived in each lesson, by the headings of its exercises."""
    rows = ["| lesson | exercises | on paper |", "|---|---|---|"]
    for lesson in LESSONS:
        columns = ("; ".join(_headings(lesson, start)) or "–" for start in ("Exercise", "On paper"))
        rows.append(f"| {_link(lesson)} | {' | '.join(columns)} |")
    return "\n".join(rows)


def _link(lesson) -> str:
    return f"[{lesson.number}. {lesson.title}](../../course/lessons/{lesson.stem}.ipynb)"


def _headings(lesson, start: str) -> list[str]:
    """The headings of a lesson that begin with a word, without it and the number."""
    text = lesson_file(lesson).read_text(encoding="utf-8")
    return re.findall(rf"^# ### {start}(?: \d+)?: (.*)$", text, re.MULTILINE)


# -- presets ----------------------------------------------------------------------------------------------------------

MINUTES = {
    "digits": "2 min",
    "scenes": "5 min of one core",
    "fashion": "5 to 15 min (estimated)",
    "folder": "8 min",
    "arrays": "8 min",
    "points": "22 s",
    "latent": "hours",
    **dict.fromkeys(("cifar10", "photos64", "photos128", "photos256", "ddpm256"), "needs a GPU"),
}
"""The time of training on two CPU cores, of the presets for data; those of the methods of papers share theirs."""


def presets() -> str:
    """Return a table of the presets for data, with their times, and a table of the settings of all presets."""
    times = ["| preset | data | on two CPU cores |", "|---|---|---|"]
    settings = [
        "| preset | paper | network | schedule | the network predicts | steps × batch | sampler |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in PRESETS:
        entry = PRESETS[name]
        config: Config = entry.make()
        batch = f"{size:,}" if (size := config.train.batch_size) else "by size"
        process = config.process
        predicts = f"{process.target}, variance" if process.learned_variance else process.target
        if name.removesuffix("-points") not in METHODS:
            times.append(f"| `{name}` | {entry.text} | {MINUTES[name]} |")
        settings.append(
            f"| `{name}` | {entry.paper or '–'} | {config.net} | {process.schedule_name} | {predicts} | "
            f"{config.train.steps:,} × {batch} | `{config.sample.sampler}` |"
        )
    return "\n".join([*times, "", "The settings of all presets:", "", *settings])


# -- figures ----------------------------------------------------------------------------------------------------------


def _read(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "bench" / path).read_text(encoding="utf-8"))
    return content


def _record(name: str) -> dict[str, Any]:
    """The newest record of a division, a kind of processor and a name, with its seeds."""
    return read_entry(max(ENTRIES.glob(f"????-??-??_{name}")))


def _over_seeds(record: dict[str, Any]) -> str:
    """The mean of a record over its seeds, with its standard error."""
    return format_number(mean(values(record)), stdev(values(record)) / len(record["seeds"]) ** 0.5)


def _command(record: dict[str, Any]) -> str:
    """The command of a record, without the options that say its defaults and its name."""
    words = shlex.split(record["command"])
    for option, value in (("--contestant", "ancestral"), ("--seeds", "5"), ("--name", record["name"])):
        place = words.index(option)
        if words[place + 1] == value:
            del words[place : place + 2]
    return shlex.join(words)


def _row(rows: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """The one row of a result that has these facts."""
    (row,) = (row for row in rows if facts.items() <= row.items())
    return row


def _measured() -> Iterator[tuple[str, str, str, str]]:
    """Yield what was measured, the figure, those of other libraries, and the command that measures it."""
    fashion = _record("fashion.cpu-avx512-amx.preset-fashion-autoguidance")
    peer = _record("fashion.cpu-avx512-amx.diffusers-tuned")
    seconds = 60 * peer["seeds"][0]["runs"][0]["minutes"]
    tuned = f"diffusers: FD {_over_seeds(peer)} after {seconds:.0f} s"
    yield "Fashion-MNIST, training on one core to FD 180", f"{_over_seeds(fashion)} s", tuned, _command(fashion)

    few = _record("digits-2.cpu-avx512-amx.ancestral-distil")
    peer = _record("digits-2.cpu-avx512-amx.diffusers-tuned")
    undistilled = f"diffusers, undistilled: {_over_seeds(peer)}"
    spent = few["seeds"][0]["runs"][0]["minutes"]
    yield (
        f"digits, KID of two network evaluations, {spent:g} CPU-minutes of distillation",
        _over_seeds(few),
        undistilled,
        _command(few),
    )

    memory = _read("results/memory.cpu-avx512-bfloat16.json")["rows"]
    ours, peer = (
        f"{_row(memory, batch=32, precision='bf16', contestant=name)['step']['median'] / 2**20:,.0f} MiB"
        for name in ("ancestral", "diffusers")
    )
    step = "memory of a training step, DDPM's network, batches of 32"
    yield step, ours, f"diffusers: {peer}", "make bench-memory"

    editing = _read("results/editing.cpu-avx2.json")["rows"]
    ours, azula, deepinv = (
        format_number(*_row(editing, run="demo", task="left", by=name)["energy"])
        for name in ("ours, auto", "azula, JFPS", "deepinv, moment matching")
    )
    command = "python bench/editing.py compare runs/demo --images 16"
    yield "inpainting half a digit, energy score", ours, f"azula: {azula}; deepinv: {deepinv}", command

    browser = _row(_read("results/browser.cpu-avx512-bfloat16.json")["rows"], model="run")
    ours, peer = (f"{browser[name]['milliseconds']['median']:.1f} ms" for name in ("ours", "peer"))
    command = "python bench/browser.py runs/demo"
    yield "digits in Chromium, a network evaluation", ours, f"onnxruntime-web: {peer}", command


def measurements() -> str:
    """Return a table of figures beside those of other libraries."""
    rows = (f"| {what} | {ours} | {peer} |" for what, ours, peer, _ in _measured())
    return "\n".join(["| measured | Ancestral | peer |", "|---|---|---|", *rows])


def measurement_commands() -> str:
    """Return a table of the commands that measure these figures, in a clone."""
    rows = (f"| {what} | `{command}` |" for what, *_, command in _measured())
    return "\n".join(["| measured | command |", "|---|---|", *rows])


ASKED = {
    "left": "digits, left half given",
    "small": "digits, 4 times smaller",
    "clothes": "Fashion-MNIST, 4 times smaller",
    "grey32": "emoji of 32x32, grey given",
    "signal": "AR(2) signal, first half given",
    "volume": "porous volume of 16x16x16, 4 times smaller",
}
"""What bench/conditions.py asks for, by its tasks."""
ANSWERED = {
    "energy": "energy score",
    "denoising": "diffusion",
    "energy:members=1": "regression",
    "lucidrains": "denoising-diffusion-pytorch",
}
"""How they were trained: the objective of this package, or another package."""


def answers() -> str:
    """Return a table of conditional models after equal CPU times: of one evaluation, diffusion and regression."""
    (path,) = (ROOT / "bench" / "results").glob("answers.cpu-*.json")
    groups: dict[tuple[int, float, int], list[dict[str, Any]]] = {}
    for row in _read(f"results/{path.name}")["rows"]:
        trained = row["settings"]["objective"] if row["by"] == "ours" else row["by"]
        task, objective = [*ASKED].index(row["task"]), [*ANSWERED].index(trained)
        groups.setdefault((task, row["budget"], objective), []).append(row)
    head = ("", "trained by", "CPU-s", "evaluations", "seeds", "energy score", "coverage of 90 %", "spread / error")
    lines = [(*head, "texture", "ms a sample"), ("---",) * (len(head) + 2)]
    for (task, budget, objective), rows in sorted(groups.items()):
        names = ("energy", "coverage", "spread/error", "texture", "sample_ms")
        energy, coverage, spread, texture, each = (mean(row[name] for row in rows) for name in names)
        many = len(rows) > 1
        error = stdev(row["energy"] for row in rows) / len(rows) ** 0.5 if many else rows[0]["energy ±"]
        what = [*ASKED.values()][task], [*ANSWERED.values()][objective], f"{budget:.0f}", str(rows[0]["evaluations"])
        scores = format_number(energy, error), f"{100 * coverage:.1f} %", f"{spread:.2f}", f"{texture:.2f}"
        lines.append((*what, str(len(rows)), *scores, f"{each:.1f}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows_of(table: registries.Registry[Any]) -> Callable[[], str]:
    """Return a function that writes a table of parts by their names."""
    return lambda: table.rows


# -- pages ------------------------------------------------------------------------------------------------------------

BLOCKS = {
    "installations": installations,
    "publication": publication,
    "command names": command_names,
    "commands": commands,
    "command line": command_line,
    "presets": presets,
    "measurements": measurements,
    "measurement commands": measurement_commands,
    "answers": answers,
    "lessons": lesson_table,
    "paths": paths,
    "exercises": exercise_map,
    **{name: rows_of(table) for name, table in vars(registries).items() if isinstance(table, registries.Registry)},
}


def render(text: str) -> str:
    """Return the text of a page with its install lines and blocks. Raises KeyError for a block of an unknown name."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n\n{match[3]}", with_installations(text))


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if (written := render(text)) != text:
            path.write_text(written, encoding="utf-8")
            print(f"wrote {name}")
