"""How strictly files are judged, and on which inputs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Rules by which the functions of a file are judged.

    Args:
        strict: Refuse a function that reaches the solutions of the course, or uses `ancestral`; see `strictness`.
        seed: Judge on the inputs of this seed as well; None takes the fixed ones of a lesson alone.
    """

    strict: bool = False
    seed: int | None = None


AS_IN_LESSONS = Rules()
"""Any import, and the fixed inputs."""
