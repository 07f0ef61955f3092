"""Solutions of the lessons: the code and the proofs that are folded there, for teachers, and lessons without them."""

import json
import re
from dataclasses import dataclass

from ancestral_course.lessons import find_lesson, lesson_file

FOLD = re.compile(r"^<details><summary>(.+?)</summary>\n(.*?)^</details>$", re.MULTILINE | re.DOTALL)
"""A folded part of a lesson: its title, and what it holds."""
HEADING = re.compile(r"^(#{2,3}) (.+)$", re.MULTILINE)
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE_CELL = "\n\f\n"
"""Stands for the cells of code between two texts of a lesson."""
HINT = "Hint"
"""The title of folded parts that are no solutions."""


@dataclass(frozen=True)
class Solution:
    """The solution of an exercise, or of a task on paper.

    Args:
        title: The heading in the lesson, such as "Exercise 1: the forward jump".
        task: The text of the exercise, as Markdown.
        code: The functions; "" of a task on paper.
        proofs: Derivations and proofs, as Markdown.
        after: What the lesson says below, up to its next cell of code: often the result as a formula, or its proof.
    """

    title: str
    task: str
    code: str
    proofs: tuple[str, ...]
    after: str

    def __str__(self) -> str:
        parts = [f"## {self.title}", self.task]
        parts += [f"**Solution**\n\n```python\n{self.code}```"] if self.code else []
        parts += [f"**On paper**\n\n{proof}" for proof in self.proofs]
        parts += [f"**The lesson goes on**\n\n{self.after}"] if self.after else []
        return "\n\n".join(parts)


def lesson_solutions(number: int) -> tuple[Solution, ...]:
    """Return the solutions of a lesson, in its order. Raises InputError if there is no such lesson."""
    text = CODE_CELL.join(_markdown(lesson_file(find_lesson(number)).read_text(encoding="utf-8")))
    headings = list(HEADING.finditer(text))
    solutions = []
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        body = text[heading.end() : following.start() if following else len(text)]
        folds = [(title, part.strip()) for title, part in FOLD.findall(body) if title != HINT]
        if not folds:
            continue
        task = FOLD.split(body)[0].replace(CODE_CELL, "\n").strip()
        after = FOLD.split(body)[-1].partition(CODE_CELL)[0].strip()
        code = "\n\n".join(code for _, part in folds for code in CODE.findall(part))
        proofs = tuple(proof for _, part in folds if (proof := CODE.sub("", part).strip()))
        solutions.append(Solution(heading[2], task, code, proofs, after))
    return tuple(solutions)


def solutions_text(number: int) -> str:
    """Write the solutions of a lesson as Markdown. Raises InputError if there is no such lesson."""
    lesson = find_lesson(number)
    heading = f"# Lesson {number}, {lesson.title}: solutions"
    return "\n\n".join([heading, *map(str, lesson_solutions(number))]) + "\n"


def without_solutions(text: str, suffix: str) -> str:
    """Take the solutions out of a lesson: a line stands where each was. Hints remain.

    Args:
        text: The script or the notebook.
        suffix: ".py" or ".ipynb".
    """
    if suffix == ".ipynb":
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                lines = FOLD.sub(_replaced, "".join(cell["source"])).splitlines(keepends=True)
                cell["source"] = lines if isinstance(cell["source"], list) else "".join(lines)
        return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    cells = re.split(r"^(?=# %%)", text, flags=re.MULTILINE)
    return "".join(_commented(FOLD.sub(_replaced, _text_of(cell))) if _is_text(cell) else cell for cell in cells)


def _replaced(fold: re.Match[str]) -> str:
    return fold[0] if fold[1] == HINT else f"*Your teacher has this: {fold[1].lower()}.*"


def _is_text(cell: str) -> bool:
    return cell.startswith("# %% [markdown]")


def _markdown(script: str) -> list[str]:
    """The texts of a script in the percent format."""
    cells = re.split(r"^(?=# %%)", script, flags=re.MULTILINE)
    return [_text_of(cell).partition("\n")[2] for cell in cells if _is_text(cell)]


def _text_of(cell: str) -> str:
    """A text cell of a script without the comment signs below its first line."""
    first, _, rest = cell.partition("\n")
    return f"{first}\n" + re.sub(r"^# ?", "", rest, flags=re.MULTILINE)


def _commented(text: str) -> str:
    """The text cell with its comment signs."""
    first, _, rest = text.partition("\n")
    body = rest.rstrip("\n")
    lines = [f"# {line}" if line else "#" for line in body.split("\n")]
    return "\n".join([first, *lines]) + rest[len(body) :]
