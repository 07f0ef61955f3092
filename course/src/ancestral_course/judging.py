"""Judge a student's file in a process of its own, which is ended where the code does not end by itself.

The process writes a line of JSON for each verdict. What it has not answered when it ends has ended it: the others are
judged by the next process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ancestral.errors import InputError
from ancestral_course import check_file, selected_exercises, time_limit
from ancestral_course.exercise import NOT_THERE, Verdict
from ancestral_course.rules import AS_IN_LESSONS, Rules
from ancestral_course.solution_file import defined_names


def judge_file(
    number: int, path: Path, names: Sequence[str] = (), rules: Rules = AS_IN_LESSONS, printed: int | None = None
) -> Iterator[Verdict]:
    """Check the exercises of a lesson in a student's file, in another process; see `check_file`.

    Args:
        number: The lesson.
        path: The file.
        names: Names of exercises, or of methods of lesson 18; without any all exercises are checked.
        rules: Whether the functions may use solutions, and the seed of the inputs.
        printed: Where to write what the code prints: `subprocess.DEVNULL`, or None for standard error.

    Yields:
        A verdict for each exercise as soon as it is known.

    Raises:
        InputError: As `check_file` does.
    """
    exercises = [exercise.name for exercise in selected_exercises(number, names)]
    defined = defined_names(path, exercises, number)
    verdicts = _judged(_Job(number, str(path.absolute()), rules.strict, rules.seed), defined, printed)
    for name in exercises:
        yield next(verdicts) if name in defined else Verdict(name, None, NOT_THERE)


class _Job(NamedTuple):
    """What a process judges."""

    number: int
    path: str
    strict: bool
    seed: int | None


def _judged(job: _Job, names: list[str], printed: int | None) -> Iterator[Verdict]:
    """The verdicts of functions that a file defines, by as many processes as they end."""
    pending = list(names)
    while pending:
        command = [sys.executable, "-P", "-m", "ancestral_course.judging", json.dumps(job), *pending]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=printed, encoding="utf-8"
        ) as process:
            try:
                for line in process.stdout or ():
                    verdict = _verdict(line)
                    if verdict is None or verdict.name not in pending:  # the code wrote it
                        break
                    pending.remove(verdict.name)
                    yield verdict
            finally:
                process.kill()
        if pending:
            yield Verdict(pending.pop(0), False, _ending(process.wait()))


def _verdict(line: str) -> Verdict | None:
    """The verdict in a line of the process, or None. Raises InputError if the line says that the file is bad."""
    try:
        answer = json.loads(line)
        if "error" not in answer:
            return Verdict(**answer)
    except (ValueError, TypeError):
        return None
    raise InputError(answer["error"])


def _ending(code: int) -> str:
    """What to say of a function in which the process ended."""
    if code == time_limit.KILLED:
        return "it did not end, and its process was killed: does a loop in it never end?"
    return f"it ended Python itself ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def main(job_text: str, *names: str) -> None:
    """Write the verdicts, for `judge_file`; what the student's code prints goes to standard error."""
    job = _Job(*json.loads(job_text))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    time_limit.kills = True
    torch.set_num_threads(1)  # networks of the course are small, and other files may be judged at the same time
    try:
        for verdict in check_file(job.number, Path(job.path), names, Rules(job.strict, job.seed)):
            print(json.dumps(vars(verdict)), file=answers, flush=True)
    except InputError as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
    sys.stderr.flush()
    os._exit(0)  # whatever threads the code has left


if __name__ == "__main__":
    main(*sys.argv[1:])
