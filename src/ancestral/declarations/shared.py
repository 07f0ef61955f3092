"""Options that several use cases have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ancestral.declarations.declaration import Declaration
from ancestral.fields import argument

if TYPE_CHECKING:
    from ancestral.model import NetSource


@dataclass(frozen=True, kw_only=True)
class WithDevice(Declaration):
    """A use case that computes with a network."""

    device: str = "auto"
    """Device on which networks run: auto, cpu, cuda, cuda:N or mps."""


@dataclass(frozen=True, kw_only=True)
class WithThreads(Declaration):
    """A use case that measures which number of threads serves."""

    threads: int | None = argument(None, least=1)
    """Number of CPU threads; default: measured."""


@dataclass(frozen=True, kw_only=True)
class WithOut(Declaration):
    """A use case that writes files."""

    out: str | Path | None = argument(None, words=Path | None, metavar="PATH")
    """{OUT}."""


@dataclass(frozen=True, kw_only=True)
class WithNet(Declaration):
    """A use case that loads models."""

    net: NetSource | None = argument(None, words=str | None, metavar="package.module:function")
    """The network of your own that the model was trained with, or the function that builds it."""


@dataclass(frozen=True, kw_only=True)
class WithResume(Declaration):
    """A use case that trains."""

    resume: bool = False
    """Resume the run in the folder, or start it if there is none."""
    verbose: bool = argument(False, short=["v"])
    """Show all that the notes of the run say before the first step: threads, snapshots, settings chosen by size."""
