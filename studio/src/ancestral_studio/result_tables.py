"""Results as tables for the page: those that the command line prints, of the files that commands write."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ancestral.base.errors import InputError
from ancestral.base.options import on_command_line, spelled
from ancestral.base.result import Result, Table, to_plain
from ancestral.config.run_files import EVALUATION
from ancestral.results import EvaluationResult
from ancestral.results.comparison_result import ComparisonResult, SamplerComparisonResult
from ancestral.results.data_report import DataReport
from ancestral_studio.process import DATA_REPORT, Process


def parts_of(result: Result) -> list[dict[str, Any]]:
    """Return the tables and lines of a result, with options as the command line spells them."""
    parts: Sequence[Table | str] = spelled(list(result.parts()), on_command_line)
    return [{"text": part} if isinstance(part, str) else {"columns": part.columns, "rows": part.rows} for part in parts]


def evaluation(run: Path) -> list[dict[str, Any]]:
    """Return the parts of the last evaluation of a run; none without one."""
    with contextlib.suppress(InputError, OSError):
        return [part for result in EvaluationResult.load(run / EVALUATION).measured for part in parts_of(result)]
    return []


def samplers(run: Path) -> list[dict[str, Any]]:
    """Return the parts of the last comparison of the samplers of a run; none without one."""
    return _read(SamplerComparisonResult, run / EVALUATION / "samplers.json")


def of_process(process: Process) -> dict[str, Any]:
    """Return what a process wrote for the page: a report on data, or the parts of a comparison."""
    if process.command == "doctor":
        with contextlib.suppress(InputError, OSError):
            path = process.folder / DATA_REPORT
            report = DataReport.from_json(path.read_text(encoding="utf-8"), path.name)
            return {"report": to_plain(report), "parts": parts_of(report)}
    if process.command == "compare" and process.out is not None:
        return {"parts": _read(ComparisonResult, process.out / "compare.json")}
    return {}


def _read(kind: type[Result], path: Path) -> list[dict[str, Any]]:
    with contextlib.suppress(InputError, OSError):
        return parts_of(kind.from_json(path.read_text(encoding="utf-8"), path.name))
    return []
