"""What the studio does at this moment, for the header of the page: jobs of the queue, and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ancestral_studio.ownership import Visitor
from ancestral_studio.process import TRAININGS, VERBS, Process, progress_of
from ancestral_studio.state import StudioState

PROGRESS_LINES = 20


def activity(state: StudioState, visitor: Visitor, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List what runs and what waits: processes, then the job that computes, then the queue in its order.

    Args:
        state: The studio.
        visitor: Who asks.
        runs: The summaries of all runs.
    """
    trainings = {run["process"]: run for run in runs if run["process"]}
    processes = state.processes.running()
    rows = [_process(one, state, visitor, trainings.get(one.id)) for one in processes]
    own = {one.id for one in processes}
    rows += [_outside(run) for run in runs if run["state"] == "training" and run["process"] not in own]
    queue = state.queue.expected()
    return rows + [one.job.described() | one.described() | visitor.marks(one.job.owner) for one in queue]


def _process(one: Process, state: StudioState, visitor: Visitor, run: Mapping[str, Any] | None) -> dict[str, Any]:
    """A process, with the run that it trains."""
    progress = progress_of(one.lines(PROGRESS_LINES)) if run is None else _steps(run)
    return {
        "id": one.id,
        "process": True,
        "command": one.command,
        "text": one.text(state.places),
        "state": "running",
        "stopping": one.is_stopping,
        "run": state.places.id_of(one.out) if one.command in TRAININGS and one.out is not None else None,
        "progress": progress,
        "seconds": (progress or {}).get("seconds") if run is None else run["seconds_left"],
        **visitor.marks(one.owner),
    }


def _outside(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run that is trained by a process that this studio did not start."""
    return {
        "id": run["id"],
        "process": True,
        "outside": True,
        "command": "train",
        "text": f"{VERBS['train']} {run['name']}",
        "state": "running",
        "stopping": False,
        "run": run["id"],
        "progress": _steps(run),
        "seconds": run["seconds_left"],
        "mine": False,
        "may_stop": False,
    }


def _steps(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """How far a training is; None before its first step."""
    return {"task": "", "done": run["step"], "total": run["steps"], "unit": "steps"} if run["steps"] else None
