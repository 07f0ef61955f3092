"""Run the parts of `parts.toml`: all that has to pass before a change lands, or the part that a change needs.

    python3 .ci/gate.py run [PART ...]     all parts, or some; what has not changed since it passed is left out
    python3 .ci/gate.py check [ROOM ...]   format, types, and the tests of the rooms that differ from main, or of these

`run` writes the hashes of what tests read into `.ci/proved`, if all of these passed on committed files: commit it.
It ends with the seconds of each part, each failure, and the command that repeats it. Exit code 1: something failed.
"""

import ast
import contextlib
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ancestral"
PROVED = ROOT / ".ci" / "proved"
FLAKY = ROOT / ".ci" / "flaky"
"""The flaky tests that runs on this machine met; not committed."""
FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?|\S+\.py)(?: - (.*))?$")
MOST_LINES = 40
"""Length of the closing report."""

Parts = dict[str, dict[str, Any]]


# -- what a part reads, and whether that passed -----------------------------------------------------------------------


def git(*words: str) -> str:
    """What git prints; without a repository a refusal."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        refuse(f"git {words[0]} failed ({reason}): a clone is needed; elsewhere run make test")


def refuse(text: str) -> NoReturn:
    """Say in one line what is wrong and what to do; exit code 2."""
    print(f"gate: {text}", file=sys.stderr)
    raise SystemExit(2)


def units_of(part: dict[str, Any], common: list[str]) -> dict[str, list[str]]:
    """The tests of a part, each with the paths that they read."""
    units = {}
    for tests, reads in part.get("units", {}).items():
        rooms = sorted(place.name for place in SOURCE.iterdir() if (ROOT / "tests" / place.name).is_dir())
        for room in rooms if "{room}" in tests else [""]:
            name = tests.replace("{room}", room)
            units[name] = [f":(glob){name}" if "*" in name else name, *common]
            units[name] += [path.replace("{room}", room) for path in reads]
    return units


def key(command: str, reads: list[str]) -> str:
    """The hash of a command and of the committed files that it reads, with the Python that runs it."""
    text = "\n".join([command, *map(str, sys.version_info[:2]), git("ls-files", "--stage", "--", *reads)])
    return hashlib.sha256(text.encode()).hexdigest()


def read_proved() -> set[str]:
    """The lines of `.ci/proved`: part, tests and hash."""
    lines = PROVED.read_text(encoding="utf-8").splitlines() if PROVED.exists() else []
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(r"\S+ \S+ [0-9a-f]{64}", line):
            refuse(f".ci/proved, line {number}: {line[:40]!r} is no part, tests and hash: git checkout .ci/proved")
    return set(lines)


def record(passed: list[str], units: dict[str, list[str]]) -> None:
    """Write the lines of units that passed, where what they read is committed; older lines about them go."""
    names = {line.rpartition(" ")[0] for line in passed}
    lines = {line for line in read_proved() if line.rpartition(" ")[0] not in names}
    for line in passed:
        tests = line.split()[1]
        if changed := git("status", "--porcelain", "--", *units[tests]):
            count = len(changed.splitlines())
            print(f"gate: {tests} passed, and is not recorded: {count} of the files that it reads are not committed")
        else:
            lines.add(line)
    PROVED.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")


# -- running ----------------------------------------------------------------------------------------------------------


class Outcome:
    """How a command ended.

    Attributes:
        name: The name of the part.
        command: The command.
        seconds: How long it took.
        code: Its exit code; None at its limit.
        lines: What it printed.
    """

    def __init__(self, name: str, command: str, limit: float) -> None:
        self.name, self.command, self.lines = name, command, list[str]()
        began = time.monotonic()
        environment = os.environ | {"FLAKY": str(FLAKY)}
        process = subprocess.Popen(
            command, shell=True, cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        reader = threading.Thread(target=self._read, args=[process.stdout], daemon=True)
        reader.start()
        self.code: int | None
        try:
            self.code = process.wait(limit)
        except subprocess.TimeoutExpired:
            self.code = None
            self._signal(process.pid, signal.SIGABRT)  # pytest prints the stacks of all threads
            time.sleep(10)
        finally:
            self._signal(process.pid, signal.SIGKILL)  # and what it left behind
        reader.join(10)
        self.seconds = time.monotonic() - began

    def _read(self, stream: Any) -> None:
        for line in stream:
            print(line, end="", flush=True)
            self.lines.append(line.rstrip("\n"))

    @staticmethod
    def _signal(group: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)

    @property
    def passed(self) -> bool:
        """Whether it passed."""
        return self.code == 0

    @property
    def failures(self) -> list[re.Match[str]]:
        """The lines of pytest's summary that name a failing test, and why it failed."""
        return [found for line in self.lines if (found := FAILURE.match(line))]

    def passed_among(self, units: list[str]) -> list[str]:
        """The units that passed: all, or those of which no test failed in a run that came to its end."""
        if self.passed:
            return units
        failing = [found[1].partition("::")[0] for found in self.failures]
        failed = {unit for unit in units for path in failing if fnmatch(path, unit) or path.startswith(f"{unit}/")}
        ended = any(re.search(r"\d failed.* in [\d.]+s|\d errors? in [\d.]+s", line) for line in self.lines)
        known = all(any(fnmatch(path, unit) or path.startswith(f"{unit}/") for unit in units) for path in failing)
        ended = ended and not any(line.startswith("!!!") for line in self.lines)  # nor was it interrupted
        return [unit for unit in units if unit not in failed] if ended and known and failing else []

    def report(self) -> Iterator[str]:
        """Yield what failed, each with the command that repeats it."""
        if self.passed:
            return
        failures = self.failures
        how = f"ended with exit code {self.code}" if self.code is not None else "was stopped at its limit"
        yield f"{self.name} {how} after {self.seconds:.0f} s. Again: {self.command}"
        for found in failures[:8]:
            yield f"  {found[1]}"
            yield f"    {(found[2] or '')[:200]}"
            yield f"    again: .venv/bin/pytest -n 0 -m '' '{found[1]}'"
        if len(failures) > 8:
            yield f"  and {len(failures) - 8} more"
        if not failures:
            yield from (f"  {line[:200]}" for line in [line for line in self.lines if line.strip()][-8:])


def run(names: list[str]) -> int:
    """Run parts; all of them by default."""
    tree = tomllib.loads((ROOT / ".ci" / "parts.toml").read_text(encoding="utf-8"))
    parts: Parts = tree["part"]
    for name in names:
        if name not in parts:
            refuse(f"no part {name!r}: one of {', '.join(parts)}")
    proved, outcomes, ends = read_proved(), list[Outcome](), list[str]()
    flaky_before = FLAKY.read_text(encoding="utf-8") if FLAKY.exists() else ""
    free = least = shutil.disk_usage(tempfile.gettempdir()).free
    for name in names or parts:
        part, units = parts[name], units_of(parts[name], tree["common"])
        lines = {tests: f"{name} {tests} {key(part['command'], reads)}" for tests, reads in units.items()}
        open_units = [tests for tests, line in lines.items() if line not in proved]
        if units and not open_units:
            ends.append(f"{name:<10}       nothing changed since it passed")
            continue
        print(f"== {name}: {' '.join(open_units) or part['command']}", flush=True)
        command = part["command"].replace("{tests}", " ".join(open_units))
        outcome = Outcome(name, command, part["limit"])
        outcomes.append(outcome)
        least = min(least, shutil.disk_usage(tempfile.gettempdir()).free)
        last = [line.strip("= ") for line in outcome.lines if re.search(r"\d (passed|failed)", line)][-1:]
        ends.append(f"{name:<10} {outcome.seconds:4.0f} s {'passed' if outcome.passed else 'FAILED'}  {''.join(last)}")
        print(f"== {name} took {outcome.seconds:.0f} s", flush=True)
        if passed := outcome.passed_among(open_units):
            record([lines[tests] for tests in passed], units)
    report = [line for outcome in outcomes for line in outcome.report()]
    flaky = (FLAKY.read_text(encoding="utf-8") if FLAKY.exists() else "").removeprefix(flaky_before).splitlines()
    ends += [f"FLAKY {line}" for line in flaky]
    ends.append(f"disk: {(free - least) / 1e9:.1f} GB more than before, {least / 1e9:.0f} GB free")
    print("\n".join(["", "== the parts, and what failed", *ends, *report][:MOST_LINES]), flush=True)
    return int(any(not outcome.passed for outcome in outcomes))


# -- what a change needs ----------------------------------------------------------------------------------------------


def changed_paths() -> list[str]:
    """What differs from the last commit that was proved (main; on main its remote branch), also what is new."""
    here = git("rev-parse", "--abbrev-ref", "HEAD").strip()
    known = git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes").split()
    name = next((name for name in ("main", "origin/main") if name in known and name != here), "HEAD")
    tracked = git("diff", "--name-only", git("merge-base", name, "HEAD").strip())
    return [*tracked.splitlines(), *git("ls-files", "--others", "--exclude-standard").splitlines()]


def room_of(path: Path) -> str:
    """The room of a file of the package: its folder, or the module itself."""
    return path.relative_to(SOURCE).parts[0].partition(".")[0]


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """The rooms of the package that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return frozenset(name.split(".")[1] for name in names if name.startswith("ancestral."))


def tests_of(room: str) -> list[str]:
    """The tests of a room: its folder, or the files of tests/ that import the module."""
    if (ROOT / "tests" / room).is_dir():
        return [f"tests/{room}"]
    return [f"tests/{file.name}" for file in sorted((ROOT / "tests").glob("test_*.py")) if room in imported(file)]


def touched(paths: list[str], beside: list[str]) -> tuple[list[str], list[str]]:
    """The rooms that hold some of the paths, those beside the package too, and the tests that changed themselves."""
    rooms, tests = dict[str, None](), dict[str, None]()
    for path in paths:
        first, *rest = Path(path).parts
        if path.startswith("src/ancestral/"):
            rooms[room_of(ROOT / path)] = None
        elif first == "tests" and rest:
            named = (ROOT / "tests" / rest[0]).is_dir() or rest[0].startswith("test_")
            tests[f"tests/{rest[0]}" if named else "tests"] = None  # a fixture is everybody's
        else:
            rooms |= dict.fromkeys(room for room in beside if path.startswith(room))
    return list(rooms), list(tests)


def users_of(rooms: set[str]) -> list[str]:
    """The tests of what imports one of the rooms."""
    tests = dict[str, None]()
    for path in sorted(SOURCE.rglob("*.py")):
        if room_of(path) not in rooms and imported(path) & rooms:
            tests |= dict.fromkeys(tests_of(room_of(path)))
    for folder in ("studio", "course"):
        if any(imported(path) & rooms for path in (ROOT / folder / "src").rglob("*.py")):
            tests[f"{folder}/tests"] = None
    return list(tests)


def check(words: list[str]) -> int:
    """Check format and types of all, then run the tests near to a change, until the first failure."""
    middle = words.index("--core") if "--core" in words else len(words)
    rooms, core = words[:middle], words[middle + 1 :]
    tree = tomllib.loads((ROOT / ".ci" / "parts.toml").read_text(encoding="utf-8"))["check"]
    known = {room_of(path) for path in SOURCE.rglob("*.py")} | tree["beside"].keys()
    for room in rooms:
        if room not in known:
            refuse(f"no room {room!r}: one of {', '.join(sorted(known))}")
    rooms, own = (rooms, []) if rooms else touched(changed_paths(), list(tree["beside"]))
    near = outermost([*own, *(test for room in rooms for test in tree["beside"].get(room) or tests_of(room)), *core])
    far = [test for test in outermost(users_of(set(rooms))) if outermost([*near, test]) != near]
    commands = ["make lint", "make types", f"make test-first TESTS='{' '.join(near)}'"]
    commands += [f"make test-first TESTS='{' '.join(far)}'"] if far else []
    further = {name: one for name, one in tree["further"].items() if {*one["rooms"]} & {*rooms}}
    further = {name: one for name, one in further.items() if shutil.which(one.get("needs", "make"))}
    print(f"gate: changed since main: {' '.join([*rooms, *own]) or 'nothing'}", flush=True)
    ends, began = list[str](), time.monotonic()
    for command in [*commands, *(one["command"] for one in further.values())]:
        print(f"== {command}", flush=True)
        outcome = Outcome("make check", command, tree["limit"])
        ends.append(f"{outcome.seconds:4.0f} s {'passed' if outcome.passed else 'FAILED'}  {command[:80]}")
        if not outcome.passed:
            print("\n".join(["", *ends, *outcome.report()][:MOST_LINES]), flush=True)
            return 1
    left = ", ".join([*(name for name in tree["further"] if name not in further), *tree["never"]])
    print(
        "\n".join(
            ["", *ends, f"gate: passed in {time.monotonic() - began:.0f} s; .ci/run has what was left out: {left}"]
        )
    )
    return 0


def outermost(paths: list[str]) -> list[str]:
    """Paths that are there, each once, without those inside of others."""
    places = dict.fromkeys(path for path in paths if (ROOT / path).exists())
    return [path for path in places if not any(path.startswith(f"{other}/") for other in places)]


COMMANDS = {"run": run, "check": check}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        refuse("python3 .ci/gate.py run [PART ...], or check [ROOM ...]")
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
