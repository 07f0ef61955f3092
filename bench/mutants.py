"""Change the theory by one operator, comparison or number at a time, and see which changes its tests catch.

    python bench/mutants.py > before.txt && ... && python bench/mutants.py > after.txt && diff before.txt after.txt

While the sources are the same, a seed chooses the same mutants. One is caught if a test fails or if the tests take
longer than --timeout. It meets the tests that run its line, or its file where none does: numbers of classes, default
values. Some survive because they change nothing, such as `<` for `<=` where both sides are never equal.
"""

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "ancestral"
FOLDERS = ("samplers", "guidance", "objectives")
FLAT = (
    *("adaptive", "augmentation", "bound", "conditions", "covariance", "curves", "diffusion", "gaussian", "operators"),
    *("oracle", "probability_flow", "randomness", "reverse", "schedules", "targets"),
)
TESTS = ("tests/nets", "tests/samplers", "tests/objectives", "tests/docs/test_equations.py")
PACKAGES = (
    *("torch._dynamo", "scipy.stats", "matplotlib.figure", "jsonschema", "azula.guidance", "deepinv", "onnxruntime"),
    *("diffusers.models.unets.unet_2d", "diffusers.schedulers", "diffusers.pipelines.ddpm"),
)
"""What tests import that takes seconds: it is imported once, rather than in the process of each mutant."""
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
OPERATORS |= {ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.And: ast.Or, ast.Or: ast.And}
OPERATORS |= {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
OPERATORS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
Mutant = tuple[str, ast.AST, str]
"""A file of the package, the expression in it, and the text that replaces the expression."""


def replacement(node: ast.AST) -> ast.expr | None:
    """Return what replaces an expression; None if nothing does."""
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            return ast.BinOp(left, OPERATORS[type(operator)](), right)
        case ast.BoolOp(operator, values):
            return ast.BoolOp(OPERATORS[type(operator)](), values)
        case ast.Compare(left, [operator, *others], values):
            return ast.Compare(left, [OPERATORS[type(operator)](), *others], values)
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            return operand
        case ast.Constant(bool()):
            return ast.Constant(not node.value)
        case ast.Constant(int() | float()):
            return ast.Constant(node.value + 1)
    return None


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of code, without its types and messages."""
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns") and not isinstance(node, ast.Raise | ast.JoinedStr):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield part
                    yield from parts(part)


def all_mutants() -> Iterator[Mutant]:
    """Yield every mutant of the theory."""
    paths = [path for folder in FOLDERS for path in sorted((SOURCES / folder).glob("*.py"))]
    for path in [*(SOURCES / f"{name}.py" for name in FLAT), *paths]:
        for node in parts(ast.parse(path.read_text(encoding="utf-8"))):
            if other := replacement(node):
                yield str(path.relative_to(SOURCES)), node, f"({ast.unparse(other)})"


def mutated(source: bytes, node: ast.AST, text: str) -> bytes:
    """Return the source with other text in place of an expression."""
    lines = [0, *(len(line) for line in source.splitlines(keepends=True))]
    start, end = (sum(lines[:line]) for line in (node.lineno, node.end_lineno))
    return source[: start + node.col_offset] + text.encode() + source[end + node.end_col_offset :]


def tests_by_line(copy: Path, tests: list[str]) -> dict[str, dict[int, set[str]]]:
    """Run the tests; return the names of those that run each line of each file. Exits if one fails."""
    data = str(copy / "coverage")
    command = [sys.executable, "-m", "pytest", "-q", "--cov=ancestral", "--cov-context=test", "--cov-report=", *tests]
    done = subprocess.run(command, env=os.environ | {"COVERAGE_FILE": data}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"tests fail without a mutant:\n{done.stdout[-4000:]}")
    covered = importlib.import_module("coverage").CoverageData(data)
    covered.read()
    return {
        str(Path(file).relative_to(copy / "ancestral")): {
            line: {name.rpartition("|")[0] for name in names if name}
            for line, names in covered.contexts_by_lineno(file).items()
        }
        for file in covered.measured_files()
    }


def run_tests(copy: Path, names: set[str]) -> None:
    """Run tests in this process, silently, up to the first failure; exit with pytest's code."""
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    (copy / "tests.txt").write_text("\n".join(sorted(names)), encoding="utf-8")
    options = ("-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    os._exit(importlib.import_module("pytest").main([*options, f"@{copy / 'tests.txt'}"]))


def pass_within(seconds: float, copy: Path, names: set[str]) -> bool:
    """Whether tests pass in a new process within a time."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=(copy, names))
    process.start()
    process.join(seconds)
    passed = process.exitcode == 0
    process.kill()
    process.join()
    return passed


def main() -> None:
    """Print the mutants, and whether each is caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=120, help="number of mutants (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="seed of their choice (default: 0)")
    parser.add_argument("--timeout", type=float, default=90, help="seconds for the tests of a mutant (default: 90)")
    options = parser.parse_args()
    os.chdir(ROOT)
    mutants = random.Random(options.seed).sample(list(all_mutants()), options.mutants)
    counts = {"caught": 0, "survived": 0}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(SOURCES, copy / "ancestral", ignore=shutil.ignore_patterns("__pycache__"))
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
        by_line = tests_by_line(copy, [*TESTS, *sorted(str(path) for path in Path("tests").glob("test_*.py"))])
        for name in PACKAGES:
            importlib.import_module(name)
        some = next(filter(None, by_line["gaussian.py"].values()))
        if not pass_within(options.timeout, copy, some):
            sys.exit(f"without a mutant too, these tests fail, or take longer: {some}")
        for file, node, text in sorted(mutants, key=lambda one: (one[0], one[1].lineno, one[1].col_offset)):
            lines = by_line.get(file, {})
            names = lines.get(node.lineno) or set().union(*lines.values())
            (copy / "ancestral" / file).write_bytes(mutated((SOURCES / file).read_bytes(), node, text))
            result = "survived" if not names or pass_within(options.timeout, copy, names) else "caught"
            shutil.copy2(SOURCES / file, copy / "ancestral" / file)
            counts[result] += 1
            print(f"{result:8} {file}:{node.lineno}:{node.col_offset}  {ast.unparse(node)} → {text}", flush=True)
    print(counts)


if __name__ == "__main__":
    main()
