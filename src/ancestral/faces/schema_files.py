"""The JSON Schemas that the site publishes: of config.json, of recipes and of results, by which editors know the keys.

They are made from the declarations that read these files, and are those of the files that this version writes.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from ancestral import results
from ancestral.base.addresses import schema_address
from ancestral.base.json_schema import Schema, SchemaWriter, schema_file
from ancestral.base.result import Result
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
