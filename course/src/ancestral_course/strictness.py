"""A check that the functions of a file are their own: they reach no solution, of the course or of `ancestral`.

It reads the source before anything runs, and watches imports and files while it runs. It stops what is usual: imports,
`importlib`, `__import__`, `sys.modules`, `exec`, `getattr` with a name that is computed, reading the files of the
course, changes of other modules. It is no sandbox. Code that looks for a way out through the objects of Python or of
PyTorch finds one, and nothing sees what was typed off.
"""

import ast
import builtins
import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

from ancestral_course import solution_file
from ancestral_course.lessons import REPOSITORY

MODULES = frozenset((
    "__future__", "abc", "base64", "binascii", "bisect", "cmath", "collections", "copy", "dataclasses", "decimal",
    "einops", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "numpy",
    "operator", "random", "re", "scipy", "statistics", "string", "struct", "time", "torch", "typing", "warnings",
    "zlib",
))  # fmt: skip
"""Modules that a function may import."""
WORDS = frozenset((
    "__import__", "__builtins__", "__loader__", "__spec__", "breakpoint", "compile", "delattr", "eval", "exec",
    "globals", "locals", "open", "setattr", "vars",
))  # fmt: skip
"""Functions of Python that reach other code, and names of modules; a function may not name them."""
ATTRIBUTES = frozenset((
    "__builtins__", "__closure__", "__code__", "__dict__", "__getattribute__", "__globals__", "__import__",
    "__loader__", "__spec__", "__subclasses__", "__wrapped__", "attrgetter", "methodcaller", "ancestral",
    "ancestral_course", "builtins", "ctypes", "exec", "eval", "f_back", "f_builtins", "f_globals", "f_locals", "gc",
    "gi_frame", "import_module", "importlib", "inspect", "linecache", "os", "pathlib", "pkgutil", "runpy", "subprocess",
    "sys", "tb_frame",
))  # fmt: skip
"""Attributes by which objects reach other code."""
COURSE = (Path(__file__).resolve().parent, REPOSITORY.resolve())
"""Folders whose files hold solutions."""
ADVICE = "--strict takes what you wrote yourself"
_watched: ContextVar[Path | None] = ContextVar("file that is watched", default=None)


def complaint(path: Path, name: str, lesson: Path) -> str:
    """Say what a function of a file uses that it may not, in one line with the number of the line; "" if nothing.

    Args:
        path: The file: a script or a notebook.
        name: The name of the function.
        lesson: The script of the lesson. What a file has in common with it is no solution.

    Raises:
        InputError: The file cannot be read.
    """
    shared = {ast.dump(statement) for statement in solution_file.statements(lesson)}
    statements = solution_file.needed_statements(path, name)
    others = _imported([*solution_file.statements(lesson), *statements])
    for statement in statements:
        if ast.dump(statement) in shared:
            continue
        names = solution_file.global_names(statement)
        reached = {name: others.get(name, name) for name in names if name in others or name in WORDS}
        for node in ast.walk(statement):
            if text := _complaint(node, reached, path.parent):
                place = "its code cells" if path.suffix == ".ipynb" else "the file"
                return f"line {getattr(node, 'lineno', statement.lineno)} of {place}: {text}; {ADVICE}"
    return ""


def _imported(statements: Sequence[ast.stmt]) -> dict[str, str]:
    """Names that statements import from modules that a function may not use, and these modules."""
    names: dict[str, str] = {}
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: module for name, module in names.items() if not _allowed(module)}


def _allowed(module: str) -> bool:
    return module.partition(".")[0] in MODULES


def _complaint(node: ast.AST, reached: dict[str, str], folder: Path) -> str:
    """What is wrong with one node of the source, or "". `reached` are names that it may not use, and what they are."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [node.module or "."] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        module = next((name for name in names if not _allowed(name)), "")
        if module and ((folder / module.partition(".")[0]).with_suffix(".py").exists() or module == "."):
            return f"it imports the file {module} beside it; put what it needs into the file"
        if module:
            return f"it imports {module}"
        return next((f"it imports {alias.name}" for alias in node.names if alias.name in ATTRIBUTES), "")
    if isinstance(node, ast.Name):
        return f"it uses {reached[node.id]}" if node.id in reached else ""
    if isinstance(node, ast.Attribute):
        if node.attr.strip("_") in ATTRIBUTES or node.attr in ATTRIBUTES:
            return f"it uses .{node.attr}"
        root = solution_file.root_name(node)
        return f"it changes {root}.{node.attr}" if isinstance(node.ctx, ast.Store | ast.Del) and root in MODULES else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        name = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else None
        if not isinstance(name, str):
            return "it uses getattr with a name that is computed"
        return f"it uses .{name}" if name.strip("_") in ATTRIBUTES or name in ATTRIBUTES else ""
    return ""


# -- while it runs ----------------------------------------------------------------------------------------------------


class _Refused(ImportError):
    """The code of the student reached for what it may not use."""


@contextlib.contextmanager
def watched(path: Path) -> Iterator[dict[str, Any]]:
    """Refuse the files of the course to the code of a file within the block.

    Yields:
        The built-in functions for this code, of which `__import__` takes the modules that a function may import.
    """
    _install()
    token = _watched.set(path)
    try:
        yield {**vars(builtins), "__import__": _import, "open": _no_file}
    finally:
        _watched.reset(token)


def _import(name: str, *arguments: Any, **options: Any) -> Any:
    # lines that a file has in common with its lesson import more; a function that names it was refused
    if name.startswith("ancestral_course."):
        raise _Refused(f"it imports {name}; {ADVICE}")
    return builtins.__import__(name, *arguments, **options)


def _no_file(file: Any, *_: Any, **__: Any) -> Any:
    raise _Refused(f"it opens {file}; {ADVICE}")


_installed = False


def _install() -> None:
    """Watch which files are opened; a hook cannot be removed, so there is one for each process."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to open a file of the course where the code of the student asks for it."""
    student = _watched.get() if event == "open" else None
    if student is None or not isinstance(arguments[0], str | bytes):
        return
    name = arguments[0].decode(errors="surrogateescape") if isinstance(arguments[0], bytes) else arguments[0]
    file = Path(name).absolute()
    if any(file.is_relative_to(folder) for folder in COURSE) and _called_by(str(student)):
        raise _Refused(f"it opens {file.name} of the course; {ADVICE}")


def _called_by(path: str) -> bool:
    """Tell whether the code of a file is among the callers."""
    frame: FrameType | None = sys._getframe(2)
    while frame and frame.f_code.co_filename != path:
        frame = frame.f_back
    return frame is not None
