"""Functions of a student's file, without running the rest of it.

The file may be a script of a few lines, a copy of a lesson or its notebook. Of a lesson only the statements that a
function needs are executed: its definition, and the imports, functions, classes and variables that it names. Training
and plots are left out, so that a check takes seconds. Names that the file does not define are those of the lesson.
"""

import ast
import json
import symtable
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ancestral.errors import InputError

Definition = ast.stmt


def read_source(path: Path) -> str:
    """Read the Python source of a script or notebook.

    Raises:
        InputError: The file is missing, not text, or no notebook.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".ipynb":
            return text
        cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        lines = "\n".join(cell if isinstance(cell, str) else "".join(cell) for cell in cells).splitlines()
        return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name the file that holds your solution") from None
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no Python script or notebook ({type(error).__name__}: {error})") from None


def load_functions(path: Path, names: Sequence[str], lesson: Path) -> dict[str, Callable[..., Any]]:
    """Load functions of a student's file.

    Args:
        path: The file: a script or a notebook.
        names: Names of the functions.
        lesson: The script of the lesson, for names that the file does not define.

    Returns:
        The functions by name; those that the file does not define are missing.

    Raises:
        InputError: The file cannot be read or executed.
    """
    own, given = _definitions(path), _definitions(lesson)
    found = [name for name in names if name in own]
    needed: dict[int, tuple[Path, Definition]] = {}
    open_names, seen = list(found), set[str]()
    while open_names:
        name = open_names.pop()
        if name in seen or (name not in own and name not in given):
            continue
        seen.add(name)
        source = path if name in own else lesson
        for statement in (own if name in own else given)[name]:
            needed[id(statement)] = (source, statement)
            open_names += _global_names(symtable.symtable(ast.unparse(statement), str(source), "exec"))
    scope: dict[str, Any] = {"__name__": "solution"}
    for source in (lesson, path):
        chosen = sorted((s for where, s in needed.values() if where == source), key=lambda s: s.lineno)
        try:
            exec(compile(ast.Module(chosen, []), str(source), "exec"), scope)
        except Exception as error:
            raise InputError(f"{source} stopped with {type(error).__name__}: {error}") from error
    return {name: scope[name] for name in found if callable(scope[name])}


def _definitions(path: Path) -> dict[str, list[Definition]]:
    """The statements of a file that define a name, by that name."""
    try:
        tree = ast.parse(read_source(path), str(path))
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: {error.msg}") from None
    found: dict[str, list[Definition]] = {}
    for statement in tree.body:
        for name in _bound(statement):
            found.setdefault(name, []).append(statement)
    return found


def _global_names(table: symtable.SymbolTable) -> set[str]:
    """The names that a statement takes from the top of its file; local variables of functions are not among them."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and symbol.is_global()}
    return own.union(*map(_global_names, table.get_children()))


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set()
