"""The base of all declarations of use cases.

A declaration is a frozen dataclass with a docstring for the use case and one below each field. A face derives from it
what it needs: the Python function with its signature, the command with its options and help, the reference page, and
the spelling of an option in an error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.options import option

Prints = Literal["events", "parts", "result"]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The base of all declarations."""

    WORKFLOW: ClassVar[str]
    """The module of `workflows` that plans and runs the use case."""
    COMMON: ClassVar[tuple[str, ...]] = ()
    """The options that the help lists first; () lists all."""
    OUT: ClassVar[str] = ""
    """What `out` is, and its default."""
    RETURNS: ClassVar[str] = "None"
    """The type of the result."""
    PRINTS: ClassVar[Prints] = "events"
    """What the command prints: the events alone, or with them the parts of the result or all of it."""
    RESUMABLE: ClassVar[bool] = False
    """Whether work that Ctrl-C interrupts is saved, or can go on later."""
    COMMAND_DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    """Defaults that only the command has."""

    def check(self) -> None:
        """Raise InputError for a number out of its range, and for a file of a kind that its option does not write."""
        for one in dataclasses.fields(self):
            value, facts = getattr(self, one.name), one.metadata
            if isinstance(value, bool | None):
                continue
            suffixes, least, most = facts.get("suffixes"), facts.get("least", -math.inf), facts.get("most", math.inf)
            if suffixes and value != facts["bare"] and Path(value).suffix.lower() not in suffixes:
                raise InputError(f"{option(one.name)} writes {' or '.join(suffixes)} files, not {value}")
            if isinstance(value, int | float) and not least <= value <= most:
                bounds = f"from {least:g} to {most:g}" if most < math.inf else f"at least {least:g}"
                raise InputError(f"{option(one.name)} must be {bounds}, not {value}")

    @classmethod
    def has_settings(cls) -> bool:
        """Tell whether all settings of a config are options too."""
        return "settings" in cls.__dataclass_fields__

    @classmethod
    def ordered(cls) -> list[str]:
        """Name the options that Python takes by their place."""
        named = [one for one in dataclasses.fields(cls) if one.metadata.get("ordered")]
        return [one.name for one in sorted(named, key=lambda one: not one.metadata["positional"])]

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config | None:
        """Return the config whose settings the help shows as defaults, or None if settings are no options.

        Args:
            values: The options that were given.
        """
        return None
