"""Functions of a student's file, without running the rest of it.

The file may be a script of a few lines, a copy of a lesson or its notebook. Of a lesson only the statements that a
function needs are executed: its definition, and the imports, functions, classes and variables that it names. Training
and plots are left out, so that a check takes seconds. Names that the file does not define are those of the lesson, with
all that they need there.
"""

import ast
import inspect
import json
import re
import symtable
import sys
import threading
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ancestral.errors import InputError
from ancestral_course.exercise import STOPS, one_line
from ancestral_course.time_limit import TimeLimit, time_limit

Definition = ast.stmt
_PARSING = threading.Lock()
PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Commands of IPython at the top of a cell whose rest is Python."""
MAGIC = re.compile(r"^(\s*)(?:(?:[\w, ]+=\s*)?[%!?].*|[%!]?[\w.]+\?\??\s*)$")
"""A line with a command of IPython: %matplotlib inline, files = !ls, torch.randn?"""
COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
FILLERS = ("append", "extend", "insert", "update", "add", "setdefault")
"""Methods that fill what they are called on, as do those of PyTorch that end in an underscore."""


def read_source(path: Path) -> str:
    """Read the Python source of a script or notebook.

    Raises:
        InputError: The file is missing, not text, or no notebook.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file in it that holds your solution")
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin a file with a byte-order mark
        if path.suffix != ".ipynb":
            return text
        cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        return "\n".join(_without_magics(cell if isinstance(cell, str) else "".join(cell)) for cell in cells)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name the file that holds your solution") from None
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no Python script or notebook ({one_line(error)})") from None


def _without_magics(cell: str) -> str:
    """A code cell as Python: without IPython's commands (%, !, ?), and empty if it is in another language."""
    first = cell.lstrip().partition("\n")[0].split()
    if first and first[0].startswith("%%") and first[0] not in PYTHON_CELLS:
        return ""
    try:
        parsed(cell)  # a line of Python may begin with %, the remainder
    except (SyntaxError, ValueError):
        return "\n".join(MAGIC.sub(r"\1pass", line) for line in cell.splitlines())
    return cell


def load_functions(
    path: Path, names: Sequence[str], lesson: Path, built_in: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Load functions of a student's file.

    Args:
        path: The file: a script or a notebook.
        names: Names of the functions.
        lesson: The script of the lesson, for names that the file does not define.
        built_in: Built-in functions that the file gets; None is for those of Python.

    Returns:
        What the file defines by these names, functions if it is right; names that it does not define are missing.

    Raises:
        InputError: The file cannot be read or executed.
    """
    own = _definitions(path)
    found = [name for name in names if name in own]
    statements, missing = _needed(own, found)
    lesson_scope: dict[str, Any] = {"__name__": "lesson"}
    _execute(lesson, _needed(_lesson_definitions(lesson), missing)[0], lesson_scope)
    # A scope of its own: a table or a helper of the student changes none that the functions of the lesson use.
    scope = lesson_scope | {"__name__": __name__}  # of a module, which dataclasses look up
    if built_in is not None:
        scope["__builtins__"] = dict(built_in)
    _execute(path, statements, scope)
    functions = {name: scope[name] for name in found if name in scope}
    lesson_scope.update(functions)  # a function of the lesson that calls an exercise calls the student's
    return functions


def defined_names(path: Path, names: Sequence[str], number: int) -> list[str]:
    """Return which of these names a file defines, without executing it.

    Raises:
        InputError: The file cannot be read, or defines none of them.
    """
    defined = [name for name in names if name in _definitions(path)]
    if not defined:
        raise InputError(f"{path} defines no exercise of lesson {number}; its exercises are {', '.join(names)}")
    return defined


def changed_names(path: Path, names: Sequence[str], lesson: Path) -> list[str]:
    """Return which of these names a file defines in another way than its lesson. Raises InputError as `read_source`."""
    own, originals = _definitions(path), _lesson_definitions(lesson)

    def text(statements: Sequence[Definition]) -> list[str]:
        return [ast.unparse(statement) for statement in statements]

    return [name for name in names if name in own and text(own[name]) != text(originals.get(name, ()))]


def statements(lesson: Path) -> list[Definition]:
    """Return the statements of a lesson that define a name."""
    return [statement for defining in _lesson_definitions(lesson).values() for statement in defining]


def needed_statements(path: Path, name: str) -> list[Definition]:
    """Return the statements of a file that a name needs. Raises InputError if it cannot be read."""
    return _needed(_definitions(path), [name])[0]


def sources_of(path: Path, name: str, lesson: Path) -> list[str]:
    """Return all source code that a function of a file is made of; [] if it imports a module that lies beside it."""
    statements, missing = _needed(_definitions(path), [name])
    parts = [part for statement in statements for part in ast.walk(statement)]
    modules = [alias.name for part in parts if isinstance(part, ast.Import) for alias in part.names]
    modules += [part.module or "" for part in parts if isinstance(part, ast.ImportFrom)]
    for module in modules:
        beside = path.parent / module.partition(".")[0]
        if not module or beside.is_dir() or beside.with_suffix(".py").exists():
            return []
    of_lesson = _needed(_lesson_definitions(lesson), missing)[0]
    return [ast.unparse(statement) for statement in (*statements, *of_lesson)]


def global_variables(function: Any) -> dict[str, Any]:
    """Return the global variables that a function uses, also through the functions of its module that it calls."""
    found: dict[str, Any] = {}
    open_values = [function]
    while open_values:
        value = inspect.unwrap(open_values.pop())
        if isinstance(value, types.FunctionType):
            names = _names(value.__code__) - found.keys()
            found |= {name: value.__globals__[name] for name in names if name in value.__globals__}
            open_values += [found[name] for name in names if name in found]
    return found


def _names(code: types.CodeType) -> set[str]:
    """The names of global variables, and of attributes, in the code of a function and of those within it."""
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, types.CodeType)))


def lesson_constant(lesson: Path, name: str) -> Any:
    """Return the constant that a lesson assigns to a name, or None."""
    values = [statement.value for statement in _lesson_definitions(lesson).get(name, ()) if hasattr(statement, "value")]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def _needed(definitions: dict[str, list[Definition]], names: Iterable[str]) -> tuple[list[Definition], set[str]]:
    """The statements of a file that names need, and the names that they use and the file does not define."""
    needed = {id(statement): statement for statement in definitions.get("*", ())}
    open_names, seen = list(names), set[str]()
    while open_names:
        name = open_names.pop()
        if name in seen:
            continue
        seen.add(name)
        for statement in definitions.get(name, ()):
            needed[id(statement)] = statement
            open_names += global_names(statement)
    return sorted(needed.values(), key=lambda statement: statement.lineno), seen - definitions.keys()


def _execute(source: Path, statements: Sequence[Definition], scope: dict[str, Any]) -> None:
    """Execute statements of a file in a scope. Raises InputError if one of them fails."""
    sys.path.insert(0, str(source.parent.absolute()))  # for modules beside the file, as python runs a script
    try:
        with time_limit(text="does a loop in it never end, or does it train at its top level?"):
            exec(compile(ast.Module(list(statements), []), str(source), "exec"), scope)
    except STOPS as error:
        text = f"{source}: {error}" if isinstance(error, TimeLimit) else f"{source} stopped with {one_line(error)}"
        raise InputError(text) from error
    finally:
        sys.path.pop(0)


def parsed(source: str, name: str = "<unknown>") -> ast.Module:
    """Parse a script. Files of a class are judged in threads, and Python 3.11 counts the depth of all together.

    Args:
        source: The text of the script.
        name: Its name in errors.

    Raises:
        SyntaxError: If it is no Python, and others that `ast.parse` raises.
    """
    with _PARSING:
        return ast.parse(source, name)


@cache
def _lesson_definitions(lesson: Path) -> dict[str, list[Definition]]:
    """Those of a lesson, which does not change while the program runs."""
    return _definitions(lesson)


def _definitions(path: Path) -> dict[str, list[Definition]]:
    """The statements of a file that define a name, by that name."""
    text = read_source(path)
    try:
        tree = parsed(text, str(path))
    except SyntaxError as error:
        place = "its code cells" if path.suffix == ".ipynb" else "the file"
        raise InputError(f"{path}, line {error.lineno} of {place}: {error.msg}: {(error.text or '').strip()}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is no Python script ({one_line(error)})") from None
    found: dict[str, list[Definition]] = {}
    for statement in tree.body:
        for name in _bound(statement):
            found.setdefault(name, []).append(statement)
    return found


def global_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement takes from the top of its file; local variables are not among them."""
    return _global_names(_symbols(statement))


def _global_names(table: symtable.SymbolTable) -> set[str]:
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and symbol.is_global()}
    return own.union(*map(_global_names, table.get_children()))


def _symbols(statement: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(statement), "statement", "exec")


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file defines or fills; "*" if it is needed whatever is asked for."""
    if isinstance(statement, ast.ImportFrom) and (statement.module == "__future__" or statement.names[0].name == "*"):
        return {"*"}
    symbols = _symbols(statement).get_symbols()
    names = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    if isinstance(statement, (ast.Assign, ast.AugAssign, *COMPOUND)):  # table[0] = 1 fills a table
        targets = (node for node in ast.walk(statement) if isinstance(node, ast.Subscript | ast.Attribute))
        names |= {root for node in targets if isinstance(node.ctx, ast.Store) and (root := root_name(node))}
    if isinstance(statement, (ast.Expr, *COMPOUND)):  # table.append(1) does, too
        calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
        methods = (method for method in calls if isinstance(method, ast.Attribute))
        names |= {root for node in methods if _fills(node.attr) and (root := root_name(node))}
    return names


def _fills(method: str) -> bool:
    return method in FILLERS or (method.endswith("_") and not method.startswith("_"))


def root_name(node: ast.expr) -> str:
    """Return the name at the beginning of table[0].x, or ""."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
