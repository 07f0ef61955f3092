"""ES modules as one script: a page that is opened from the file system can import no files.

Each module becomes a function that returns what it exports, and is called after those that it imports. Only these forms
are read, at the beginning of a line:

    import { name, other as alias } from "./file.js";
    export const name = ...        export class, function, function*, async function

A line of a module may begin with `import` or `export` for nothing else, also in a text or a comment.
"""

import posixpath
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

PAGE_FILES = files("ancestral.page")
"""The folder of the page's files."""
IMPORT = re.compile(r'^import \{([^{}]+)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) ([\w$]+))", re.MULTILINE)
UNREAD = re.compile(r"^[ \t]*(?:import|export)\b.*|\bimport\(.*", re.MULTILINE)


def modules(entry: str, folder: Traversable | None = None) -> dict[str, str]:
    """Return a module and all that it imports as functions, by the paths of their files, in the order of their calls.

    Args:
        entry: The path of the module below the folder.
        folder: The folder; by default that of the page.

    Raises:
        ValueError: If a module has an import or export of another form, one of a name that is not there, or one that
            leads back to itself.
    """
    folder = PAGE_FILES if folder is None else folder
    functions: dict[str, str] = {}
    exports: dict[str, set[str]] = {}

    def add(path: str, above: tuple[str, ...]) -> None:
        if path in above:
            raise ValueError(f"{path} imports itself: {' -> '.join((*above, path))}")
        if path in functions:
            return
        source = folder.joinpath(path).read_text("utf-8")
        heads = []
        for names, target in IMPORT.findall(source):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            add(other, (*above, path))
            pairs = [name.split(" as ") for name in map(str.strip, names.split(",")) if name]
            if missing := {name for name, *_ in pairs} - exports[other]:
                raise ValueError(f"{path} imports {', '.join(sorted(missing))} from {other}, which has no such export")
            heads.append(f"const {{ {', '.join(': '.join(pair) for pair in pairs)} }} = {_name(other)};\n")
        exports[path] = set(EXPORT.findall(source))
        body = EXPORT.sub("", IMPORT.sub("", source))
        if unread := UNREAD.search(body):
            raise ValueError(f"{path} has an import or export that cannot be bundled: {unread[0].strip()}")
        result = f"return {{ {', '.join(sorted(exports[path]))} }};\n" if exports[path] else ""
        functions[path] = f"const {_name(path)} = (() => {{\n{''.join(heads)}{body}{result}}})();\n"

    add(entry, ())
    return functions


def script(functions: dict[str, str]) -> str:
    """Return the text of a script that calls modules. It needs those that they import before it."""
    return '"use strict";\n' + "".join(functions.values())


def global_script(entry: str, name: str) -> str:
    """Return a script that makes the exports of a module of the page an object of a page, by a global name."""
    return f"{script(modules(entry))}globalThis.{name} = {{ ...{_name(entry)} }};\n"


def _name(path: str) -> str:
    """The name of the exports of a module."""
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
