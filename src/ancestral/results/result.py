"""What all results share: JSON with a version of its schema, and tables for a terminal and a notebook.

The schema is the dataclass: a field is a key, a nested dataclass an object. A field whose default is None is left out
of the JSON where it is None. Files may come from anywhere: a value of another type than its field's is refused.
"""

import dataclasses
import html
import json
import math
import types
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from ancestral.errors import InputError
from ancestral.options import Spelling, in_python, on_command_line, spelled
from ancestral.results.table import Table

ATTACHED = {"attached": True}
"""The metadata of a field that JSON does not hold, such as a model or a picture. Its default is None."""


class Result:
    """The base of a frozen dataclass of plain numbers and text that a workflow returns."""

    SCHEMA: ClassVar[str]
    """The name and the version of the JSON schema."""

    def parts(self) -> Sequence[Table | str]:
        """Make the tables and lines of text that show the result. Those of this package are in `render`."""
        result_text = import_module("ancestral.render.result_text")  # by name: `render` is made of results
        parts: Sequence[Table | str] = result_text.result_parts(self)
        return parts

    def to_text(self, spelling: Spelling) -> str:
        """Write the tables and lines of the result, with options as `spelling` spells them."""
        return "\n".join(str(spelled(part, spelling)) for part in self.parts())

    def __str__(self) -> str:
        return self.to_text(in_python)

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<p>{html.escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
            for part in spelled(list(self.parts()), in_python)
        )

    def to_json(self) -> str:
        """Write the result as JSON. Numbers that are not finite become null."""
        tree = {"schema": self.SCHEMA, **spelled(to_plain(self), on_command_line)}
        return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> Self:
        """Read a result from JSON.

        Args:
            text: What `to_json` wrote, in this version of the schema.
            name: What error messages call the text, such as the path of its file.

        Returns:
            The result.

        Raises:
            InputError: If the text is not JSON, is of another schema, or a value is missing or of another type.
        """
        try:
            tree = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{name} is not JSON: {error}") from None
        if not isinstance(tree, dict):
            raise InputError(f"{name} holds no JSON object")
        if tree.get("schema", cls.SCHEMA) != cls.SCHEMA:
            raise InputError(f"{name} has the schema {tree['schema']!r}, but this version reads {cls.SCHEMA!r}")
        result: Self = from_plain(cls, tree, name)
        return result


def to_plain(value: Any) -> Any:
    """Convert a dataclass and all that it holds to dicts, lists, numbers and text."""
    if dataclasses.is_dataclass(value):
        tree = {}
        for field in _stored(value):
            part = getattr(value, field.name)
            if "keys" in field.metadata and part is not None:
                tree[field.name] = {key: to_plain(getattr(part, name)) for name, key in field.metadata["keys"].items()}
            elif part is not None or field.default is not None:
                tree[field.metadata.get("key", field.name)] = to_plain(part)
        return tree
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stored(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass, or of an instance of it, that JSON holds."""
    return [field for field in dataclasses.fields(value) if "attached" not in field.metadata]


def from_plain(kind: Any, value: Any, name: str) -> Any:
    """Convert what `to_plain` made back to a value of type `kind`; `name` is what an error calls it."""
    args = get_args(kind)
    if isinstance(kind, types.UnionType):
        kind = next((option for option in args if type(value) is option), args[0])
        return None if value is None else from_plain(kind, value, name)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(from_plain(args[0], part, name) for part in value)
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: from_plain(args[1], part, f"{name}: {key}") for key, part in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _dataclass_from(kind, value, name)
    if kind is float and type(value) in (int, float) and abs(value) < 1e300:
        return float(value)
    if type(value) is kind and (kind in (str, bool) or (kind is int and abs(value) < 2**63)):
        return value
    raise InputError(f"{name} is damaged")


def _dataclass_from(kind: Any, tree: dict[str, Any], name: str) -> Any:
    hints, values = get_type_hints(kind), {}
    for field in _stored(kind):
        key = field.metadata.get("key", field.name)
        if key not in tree:
            if field.default is field.default_factory is dataclasses.MISSING:
                raise InputError(f"{name} lacks {key}")
            continue
        part = tree[key]
        if "keys" in field.metadata and isinstance(part, dict):
            part = {inner: part[outer] for inner, outer in field.metadata["keys"].items() if outer in part}
        values[field.name] = from_plain(hints[field.name], part, f"{name}: {key}")
    return kind(**values)
