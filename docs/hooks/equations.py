"""Writes docs/explanation/equations.md: each equation, what it says, the line that computes it, and its test.

    python docs/hooks/equations.py

The table, `equations.toml`, holds what cannot be found by reading: formulas, words, and which test compares with which
truth. The lines are found by the numbers in the comments of the source: `(7)` is an equation of the DDPM paper,
`DDIM (12)` of another. `tests/docs/test_equations.py` fails when the page is stale, or when a marker of the source is
missing in the table.
"""

import ast
import io
import re
import textwrap
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
TABLE = Path(__file__).parent / "equations.toml"
PAGE = ROOT / "docs" / "explanation" / "equations.md"


class Paper(NamedTuple):
    """A paper, and the names by which comments and docstrings refer to it; the first is its heading."""

    names: tuple[str, ...]
    reference: str


class Proof(NamedTuple):
    """A test, as `file::function`, and the truth that it compares with."""

    test: str
    truth: str


class Equation(NamedTuple):
    """A row of the table, with the first name of its paper. The top of `equations.toml` describes its keys."""

    paper: str
    number: str
    formula: str
    words: str
    places: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    why: str = ""


def _equation(paper: str, row: dict[str, Any]) -> Equation:
    proofs = tuple(Proof(**proof) for proof in row["proofs"])
    return Equation(paper, **{"number": "", **row, "places": tuple(row.get("places", ())), "proofs": proofs})


_PAPERS = tomllib.loads(TABLE.read_text(encoding="utf-8"))["papers"]
PAPERS = tuple(Paper(tuple(paper["names"]), paper["reference"]) for paper in _PAPERS)
EQUATIONS = tuple(_equation(paper["names"][0], row) for paper in _PAPERS for row in paper["equations"])


# -- finding the lines ------------------------------------------------------------------------------------------------

NAMES = {name: paper.names[0] for paper in PAPERS for name in paper.names}
ANY_NAME = "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True))


class Marker(NamedTuple):
    """The number of an equation in a comment or docstring, and its line."""

    paper: str
    number: str
    line: int


@cache
def parsed(text: str) -> ast.Module:
    """Parse a text once."""
    return ast.parse(text)


def comment_markers(text: str) -> Iterator[Marker]:
    """Find the numbers in comments: `(7)` is DDPM's, `DDIM (12)` is of the paper named before it."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            for name, number in re.findall(rf"(?:({ANY_NAME}) )?\((\d{{1,2}})\)", token.string):
                yield Marker(NAMES[name or "DDPM"], number, token.start[0])


def docstring_markers(text: str) -> Iterator[Marker]:
    """Find "eq. 5" or "eqs. (6) and (7)" in docstrings: of the paper that was named last before it, else of DDPM."""
    for node in ast.walk(parsed(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        words = " ".join(str(node.value.value).split())
        for found in re.finditer(r"\beqs?\. \(?\d+\)?(?:(?:, | and )\(?\d+\)?)*", words):
            named = re.findall(ANY_NAME, words[: found.start()])
            for number in re.findall(r"\d+", found.group()):
                yield Marker(NAMES[named[-1]] if named else "DDPM", number, node.lineno)


def definition(module: str, names: list[str]) -> tuple[str, ast.stmt]:
    """Find a class, function, method or constant of a module: the module's text and the statement."""
    text = (ROOT / "src" / "ancestral" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    body: list[ast.stmt] = parsed(text).body
    for name in names:
        node = next((node for node in body if name in _names(node)), None)
        if node is None:
            raise LookupError(f"there is no {name} in {module}")
        body = getattr(node, "body", [])
    return text, node


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, ast.ClassDef | ast.FunctionDef) else set()


def split(place: str) -> tuple[str, list[str], str]:
    """Split "samplers.ddim.DDIM.advance: text" into the module, the names in it, and the text of the line."""
    path, _, text = place.partition(": ")
    parts = path.split(".")
    folder = ROOT / "src" / "ancestral"
    count = next(n for n in range(1, len(parts) + 1) if folder.joinpath(*parts[:n]).with_suffix(".py").is_file())
    return ".".join(parts[:count]), parts[count:], text


def lines(place: str, equation: Equation) -> dict[int, str]:
    """Find the statements of a place that compute an equation, by line; raise LookupError if there is none."""
    module, names, wanted = split(place)
    text, node = definition(module, names)
    rows = text.splitlines()
    inside = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    if wanted:
        hits = [line for line in inside if wanted in rows[line - 1]]
    else:
        key = (equation.paper, equation.number)
        hits = [m.line for m in comment_markers(text) if (m.paper, m.number) == key and m.line in inside]
        if isinstance(node, ast.Assign):
            hits = [node.lineno]
    if not hits:
        raise LookupError(f"{place} has no line of {equation.paper} ({equation.number})")
    return dict(_statement(text, line) for line in hits)


def _statement(text: str, line: int) -> tuple[int, str]:
    """The shortest statement that a line is of, and where it begins; a comment of its own belongs to the line below."""
    rows = text.splitlines()
    code = line + 1 if rows[line - 1].lstrip().startswith("#") else line
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.stmt) and node.lineno <= code <= (node.end_lineno or node.lineno)
    ]
    first, last = min(spans, key=lambda span: span[1] - span[0])
    first = min(first, line)
    return first, textwrap.dedent("\n".join(rows[first - 1 : last]))


# -- the page ---------------------------------------------------------------------------------------------------------

INTRODUCTION = """\
---
hide: [navigation, toc]
---

<!-- Written by `python docs/hooks/equations.py`. Edit the table in `docs/hooks/equations.toml`, not this page. -->

# Equations

Each row has an equation, what it says, where the package computes it, and the test that proves it, with the truth that
the test compares with. A link in the column "line" leads to [the lines](#the-lines) at the end of the page. Comments in
the source carry the numbers: `(7)` is an equation of the DDPM paper, `DDIM (12)` one of another paper.
[The theory](theory.md) derives the equations, and [the glossary](glossary.md) translates the symbols.

Formulas are in the notation of their papers. A dash in the first column stands for an equation without a number. Later
papers have more equations; the tables hold those that the source refers to.
"""


def render() -> str:
    """The page."""
    headings = [_heading(paper) for paper in PAPERS]
    parts = [INTRODUCTION, " · ".join(f"[{heading}](#{slug(heading)})" for heading in headings) + "\n"]
    listed: dict[str, dict[int, str]] = {}
    for paper, heading in zip(PAPERS, headings, strict=True):
        parts.append(f"## {heading}\n\n{paper.reference}.\n")
        rows = ["| number | equation, and what it says | line | test, and its truth |", "|---|---|---|---|"]
        for equation in (e for e in EQUATIONS if e.paper == paper.names[0]):
            links = []
            for place in equation.places:
                module, names, _ = split(place)
                title = ".".join([module, *names])
                listed.setdefault(title, {}).update(lines(place, equation))
                short = ".".join(title.split(".")[-2:])
                links.append(f'<span style="white-space: nowrap">[`{short}`](#{slug(title)})</span>')
            links += [equation.why] if equation.why else []
            number = f"({equation.number})" if equation.number.isdigit() else equation.number or "–"
            proofs = "<br>".join(f"`{proof.test}`: {proof.truth}" for proof in equation.proofs)
            what = f"$\\displaystyle {equation.formula}$<br>{equation.words}"
            rows.append(f"| {number} | {what} | {'<br>'.join(links)} | {proofs} |")
        parts.append("\n".join(rows) + "\n")
    parts.append("## The lines\n\nEach place of the tables with its lines, in the order of the modules.\n")
    for title in sorted(listed):
        module = split(title)[0]
        body = "\n".join(text for _, text in sorted(listed[title].items()))
        parts.append(f"### `{title}`\n\n`src/ancestral/{module.replace('.', '/')}.py`\n\n```python\n{body}\n```\n")
    return "\n".join(parts)


def _heading(paper: Paper) -> str:
    return paper.names[0][0].upper() + paper.names[0][1:]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and Python-Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
