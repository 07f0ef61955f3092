"""The base of all declarations of use cases, and the options that several have.

A declaration is a frozen dataclass with a docstring for the use case and one below each field. A face derives from it
what it needs: the Python function with its signature, the command with its options and help, the reference page, and
the spelling of an option in an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.fields import argument, check_ranges
from ancestral.options import option

if TYPE_CHECKING:
    from ancestral.model import NetSource

Prints = Literal["events", "parts", "result"]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The base of all declarations: a class below it is a dataclass by itself.

    Args:
        prints: What the command prints: the events alone, or with them the parts of the result or all of it.
        resumable: Whether work that Ctrl-C interrupts is saved, or can go on later.
    """

    PRINTS: ClassVar[Prints]
    RESUMABLE: ClassVar[bool]
    SETTINGS: ClassVar[bool] = False
    """Whether all settings of a config are options too."""
    COMMON: ClassVar[tuple[str, ...]] = ()
    """The options that the help lists first; () lists all."""
    OUT: ClassVar[str] = ""
    """What `out` is, and its default."""
    COMMAND_DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    """Defaults that only the command has."""

    def __init_subclass__(cls, prints: Prints = "events", resumable: bool = False) -> None:
        cls.PRINTS, cls.RESUMABLE = prints, resumable
        dataclass(frozen=True, kw_only=True)(cls)

    def check(self) -> None:
        """Raise InputError for a number out of its range, and for a file of a kind that its option does not write."""
        check_ranges(self)
        for one in dataclasses.fields(self):
            value, suffixes = getattr(self, one.name), one.metadata.get("suffixes")
            if not suffixes or isinstance(value, bool | None) or value == one.metadata["bare"]:
                continue
            if Path(value).suffix.lower() not in suffixes:
                kinds = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
                raise InputError(f"{option(one.name)} writes {kinds} files, not {value}")

    @classmethod
    def ordered(cls) -> list[str]:
        """Name the options that Python takes by their place."""
        fields = dataclasses.fields(cls)
        return [one.name for fact in ("positional", "ordered") for one in fields if one.metadata.get(fact)]

    @classmethod
    def shown_config(cls, values: Mapping[str, Any]) -> Config | None:
        """Return the config whose settings the help shows as defaults, or None if settings are no options.

        Args:
            values: The options that were given.
        """
        return None


class WithSettings(Declaration):
    """A use case that takes the settings of a config too."""

    SETTINGS: ClassVar[bool] = True
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings in place of the config's."""


class WithDevice(Declaration):
    """A use case that computes with a network."""

    device: str = "auto"
    """Device on which networks run: auto, cpu, cuda, cuda:N or mps."""


class WithThreads(Declaration):
    """A use case that measures which number of threads serves."""

    threads: int | None = argument(None, least=1)
    """Number of CPU threads; default: measured."""


class WithOut(Declaration):
    """A use case that writes files."""

    out: str | Path | None = argument(None, words=Path | None, metavar="PATH")
    """{OUT}."""


class WithNet(Declaration):
    """A use case that loads models."""

    net: NetSource | None = argument(None, words=str | None, metavar="package.module:function")
    """The network of your own that the model was trained with, or the function that builds it."""


class WithResume(Declaration):
    """A use case that trains."""

    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    verbose: bool = argument(False, short=["v"])
    """Show all that the notes of the run say before the first step: threads, snapshots, settings chosen by size."""
