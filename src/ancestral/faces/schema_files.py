"""The JSON Schemas that the site publishes: of config.json, of recipes and of results, by which editors know the keys.

They are made from the dataclasses that `arguments.from_json` reads (draft 2020-12), and are those of the files that
this version writes.
"""

import dataclasses
import importlib
import math
import pkgutil
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ancestral import results
from ancestral.base.arguments import UNIONS, stored_fields
from ancestral.base.fields import for_command, heading_of, texts_of
from ancestral.base.result import Result, schema_address
from ancestral.config import OPTIONS_OF, PRESETS, Config
from ancestral.config.presets import ALONE
from ancestral.config.request import EditRequest, Request
from ancestral.config.schema import ADDRESS, DIGEST, SECTION_KINDS
from ancestral.declarations import Edit, Sample

OF_ADDRESS = {"title": "JSON Schema", "description": "Address of the JSON Schema of this file.", "type": "string"}
OF_DIGEST = {"title": "Digest", "description": "SHA-256 of the settings, which --resume checks.", "type": "string"}
OF_PRESET = {
    "title": "Preset",
    "description": "Preset, whose settings are the defaults where a file holds some settings.",
    "anyOf": [{"enum": [*PRESETS]}, {"type": "string"}],
}
"""Any name, since a whole config may be of a preset that this version does not have."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEYWORDS = {"least": "minimum", "above": "exclusiveMinimum", "most": "maximum", "below": "exclusiveMaximum"}
"""The keywords of the bounds of `fields.BOUNDS`."""
PLAIN = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
Schema = dict[str, Any]


def schema_files() -> dict[str, Schema]:
    """Return the schemas of all files: config, and by name and version that of recipes and of each kind of result."""
    kinds = {kind.SCHEMA: kind for kind in result_kinds()}
    return {"config": config_schema(), **{name: result_schema(kind) for name, kind in sorted(kinds.items())}}


def result_kinds() -> list[type[Result]]:
    """List the classes whose JSON files hold: the results of this package, and `Request`."""
    for module in pkgutil.iter_modules(results.__path__):
        importlib.import_module(f"{results.__name__}.{module.name}")
    kinds = [kind for kind in _below(Result) if "SCHEMA" in vars(kind) and ADDRESS in kind.head()]
    return list(dict.fromkeys(kinds))


def _below(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def result_schema(kind: type[Result]) -> Schema:
    """Return the schema of the JSON of a result. A file of a newer version may have further keys.

    Args:
        kind: The class of the result.
    """
    writer = SchemaWriter(kind, options={Request: Sample, EditRequest: Edit})
    head = {ADDRESS: OF_ADDRESS, "schema": {"description": "Schema and its version.", "const": kind.SCHEMA}}
    schema = {"title": f"ancestral {kind.SCHEMA}", **writer.object_schema(kind)}
    return schema_file(schema_address(kind.SCHEMA), schema, head, writer.definitions)


def config_schema() -> Schema:
    """Return the schema of config.json and of settings files, whose settings may also stand outside the sections.

    A setting that this version does not know is refused, as by the reader.
    """
    writer = SchemaWriter(Config, closed=True)
    schema = writer.object_schema(Config)
    alternatives = {name: [section] for name, section in schema["properties"].items()}
    for kind in SECTION_KINDS:
        for one in dataclasses.fields(kind):
            if not one.metadata.get("hidden") or one.name in OPTIONS_OF:
                place = {"$ref": f"#/$defs/{kind.__name__}/properties/{one.name}"}
                for name in (one.name, *(section for section, setting in ALONE.items() if setting == one.name)):
                    alternatives.setdefault(name, []).append(place)
    properties = {name: one[0] if len(one) == 1 else {"anyOf": one} for name, one in alternatives.items()}
    schema |= {"title": "ancestral config", "properties": properties | {"preset": OF_PRESET}}
    return schema_file(schema_address("config"), schema, {ADDRESS: OF_ADDRESS, DIGEST: OF_DIGEST}, writer.definitions)


class SchemaWriter:
    """Writes the schemas of dataclasses, of which those inside others are definitions.

    Args:
        root: The dataclass that the whole file is.
        closed: Whether a key that is no field is refused, as `from_json` does with the same argument. Else a file of a
            newer version may have further keys.
        options: Declarations of the options that set the fields of a dataclass, by that dataclass. A field has the
            bounds of the option of the same key, and its title and text if it has no text of its own.

    Attributes:
        definitions: The schemas of the dataclasses inside others, by the names of their classes.
    """

    def __init__(self, root: type, closed: bool = False, options: Mapping[type, type] | None = None) -> None:
        self.root, self.closed, self.options = root, closed, options or {}
        self.definitions: dict[str, Schema] = {}

    def object_schema(self, kind: Any) -> Schema:
        """Return the schema of a dataclass.

        Args:
            kind: The dataclass.
        """
        hints, properties, required = typing.get_type_hints(kind), {}, []
        for one in stored_fields(kind):
            key = one.metadata.get("key", one.name)
            properties[key] = self._field(kind, one, hints[one.name])
            if one.default is one.default_factory is dataclasses.MISSING:
                required.append(key)
        about = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
        schema = {"description": about, "type": "object", "properties": properties}
        return schema | ({"required": required} if required else {}) | self._closing

    @property
    def _closing(self) -> Schema:
        return {"additionalProperties": False} if self.closed else {}

    def _field(self, kind: Any, one: dataclasses.Field[Any], hint: Any) -> Schema:
        """The schema of a field: its type, title and text, its bounds, and the names that its text begins with."""
        key, facts, text = one.metadata.get("key", one.name), dict(one.metadata), texts_of(kind).get(one.name, "")
        declaration: Any = self.options.get(kind)
        option = declaration.__dataclass_fields__.get(key) if declaration else None
        if option is not None:
            named = {} if text else option.metadata
            facts = {**{name: option.metadata[name] for name in KEYWORDS if name in option.metadata}, **named, **facts}
            text = text or texts_of(declaration).get(key, "")
        about = {"title": facts.get("title") or heading_of(key), "description": for_command(text)}
        bounds = {word: facts[name] for name, word in KEYWORDS.items() if abs(facts.get(name, math.inf)) != math.inf}
        if "keys" in one.metadata:
            return about | self._renamed(hint, one.metadata["keys"])
        choices = facts.get("choices", ())
        return {name: part for name, part in about.items() if part} | self.of_type(hint, choices, facts) | bounds

    def _renamed(self, kind: Any, keys: Mapping[str, str]) -> Schema:
        """The schema of a dataclass of which some fields are stored, by other keys."""
        whole = self.object_schema(kind)
        properties = {key: whole["properties"][name] for name, key in keys.items()}
        required = [keys[name] for name in whole["required"] if name in keys]
        return {"type": "object", "properties": properties, "required": required} | self._closing

    def of_type(self, hint: Any, choices: Sequence[str] = (), facts: Mapping[str, Any] | None = None) -> Schema:
        """Return the schema of a type.

        Args:
            hint: The type.
            choices: What text is, or begins with before a colon; () for any text.
            facts: `own`, whether text may also name an object of the user, as module:name.

        Raises:
            TypeError: If JSON has no such values.
        """
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin in UNIONS:
            return _union([self.of_type(one, choices, facts) for one in inner])
        if origin is Literal:
            return {"enum": list(inner)}
        if origin is tuple and inner[1:] == (...,):
            return {"type": "array", "items": self.of_type(inner[0])}
        if origin is tuple:
            parts = [self.of_type(one) for one in inner]
            return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of_type(inner[1])}
        if hint is Any:
            return {}
        if hasattr(hint, "from_text"):
            return {"type": "string"}
        if dataclasses.is_dataclass(hint):
            return self._reference(hint)
        if hint is str and choices:
            first = "[^:]+" if (facts or {}).get("own") else "|".join(map(re.escape, filter(None, choices)))
            return {"anyOf": [{"enum": list(choices)}, {"type": "string", "pattern": f"^(?:{first}):"}]}
        if hint not in PLAIN:
            raise TypeError(f"JSON has no values of the type {hint}")
        return {"type": PLAIN[hint]}

    def _reference(self, kind: Any) -> Schema:
        if kind is self.root:
            return {"$ref": "#"}
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = {}  # a class may hold values of itself
            self.definitions[kind.__name__] |= self.object_schema(kind)
        return {"$ref": f"#/$defs/{kind.__name__}"}


def _union(schemas: list[Schema]) -> Schema:
    """The schema of what fits any of some schemas."""
    types = [one["type"] for one in schemas if one.keys() == {"type"}]
    others = [one for one in schemas if one.keys() != {"type"}]
    names = [*dict.fromkeys(types)]
    plain = [{"type": names[0] if len(names) == 1 else names}] if names else []
    alternatives = [*others, *plain]
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def schema_file(address: str, schema: Schema, head: Mapping[str, Schema], definitions: Mapping[str, Schema]) -> Schema:
    """Return the schema of a file.

    Args:
        address: Its address.
        schema: The schema of the object that the file holds.
        head: Schemas of the keys that say what the file is, which are no fields.
        definitions: The schemas that it refers to.
    """
    parts = {**schema, "properties": {**head, **schema["properties"]}, "$defs": dict(sorted(definitions.items()))}
    return {"$schema": DIALECT, "$id": address, **parts}
