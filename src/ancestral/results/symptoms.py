"""Symptoms of a run: what goes wrong, what to do about it, and where.

Whether a symptom applies to a run follows from what is on its disk: the messages of the training, and the results of
the last evaluation.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ancestral.base.options import option
from ancestral.base.quantities import format_percent
from ancestral.config import Config
from ancestral.results.evaluation_result import EvaluationResult

LOWER_LR = 0.25
"""Factor of the learning rate of a new run after one that diverged."""
HELD_OUT = 0.1
"""Share of the data that a new run holds out after one that copied."""


@dataclass(frozen=True)
class Symptom:
    """Something that goes wrong while a run is trained, or with its samples.

    Attributes:
        name: A word for it.
        title: What a user sees.
        advice: What to do.
        page: The page of the documentation that says more.
        tab: The tab of the studio in which it is looked at: sample, evaluate or data.
        message: A regular expression of the messages of a run that has it.
        measured: What an evaluation shows of it, in a sentence; "" if it does not.
        settings: The settings of a new run against it, by the config of the run.
    """

    name: str
    title: str
    advice: str
    page: str
    tab: str
    message: str
    measured: Callable[[EvaluationResult], str]
    settings: Callable[[Config], Mapping[str, Any]]


@dataclass(frozen=True)
class ObservedSymptom:
    """A symptom, and the messages and measurements of a run that show it; none if it does not apply to the run."""

    symptom: Symptom
    evidence: tuple[str, ...] = ()


def _grey(result: EvaluationResult) -> str:
    colour = result.samples and result.samples.colour
    if not colour or colour.faded is None:
        return ""
    return f"the variance of the samples' colours is {format_percent(colour.faded)} of that of the data"


def _copied(result: EvaluationResult) -> str:
    memorisation = result.samples and result.samples.memorisation
    if memorisation and (copies := memorisation.copied):
        return f"{copies.share.percent} of the samples copy a training item"
    if memorisation and (near := memorisation.near) and near.share is not None and near.expected is not None:
        share = f"{format_percent(near.share)} of the samples are very near to a training item"
        return f"{share}, {format_percent(near.expected)} of held-out items"
    return ""


def _alike(result: EvaluationResult) -> str:
    if result.conditional and result.conditional.calibration.overconfident:
        ratio = result.conditional.calibration.ratio
        return f"the samples of a condition spread {ratio} times as much as they err"
    if result.samples and (narrow := result.samples.narrow):
        return f"recall {narrow.comparable}, where data have {narrow.floor}"
    return ""


def _against_copies(config: Config) -> dict[str, Any]:
    held_out = {} if config.data.validation is not None else {"validation": HELD_OUT}
    once = {} if config.data.leave_out_copies else {"leave_out_copies": True}
    return held_out | {"until": "plateau"} | once


def _against_grey(config: Config) -> dict[str, Any]:
    other = {"target": "x0"} if config.process.target in ("eps", "score") else {}
    return other | {"steps": 2 * config.train.steps}


def _with_less_memory(config: Config) -> dict[str, Any]:
    at_once = config.runtime.micro_batch or config.train.batch_size or 2
    return {"micro_batch": max(1, at_once // 2)}


SYMPTOMS = (
    Symptom(
        "loss_rises",
        "The loss rises or is NaN",
        "training skips bad steps and goes back by itself; where it did so more than twice, train with a lower "
        f"{option('lr')} or {option('precision', 'fp32')}, and look at the items that the message names",
        "how-to/divergence.md",
        "data",
        r"bad steps in a row: back to step|training diverges again and again|: the loss is (nan|inf)",
        lambda result: "",
        lambda config: {"lr": LOWER_LR * config.train.lr} if config.train.lr else {},
    ),
    Symptom(
        "grey",
        "Samples are grey or pale",
        f"colours come late: train for more {option('steps')}; sample with more steps; {option('target', 'x0')} is "
        "more exact at high noise",
        "how-to/colour-drift.md",
        "sample",
        "",
        _grey,
        _against_grey,
    ),
    Symptom(
        "copies",
        "Samples are copies of training items",
        f"take more data, each item once ({option('leave_out_copies', True)}), or fewer {option('steps')}: hold a part "
        f"out ({option('validation', HELD_OUT)}), and end where its loss rises ({option('until', 'plateau')})",
        "how-to/memorisation.md",
        "evaluate",
        "the model begins to memorise",
        _copied,
        _against_copies,
    ),
    Symptom(
        "alike",
        "Samples are too little varied",
        f"guidance makes samples alike: sample with {option('guidance', 1)}; take more steps of the sampler, and train "
        f"for more {option('steps')}",
        "how-to/evaluate.md",
        "sample",
        "",
        _alike,
        lambda config: {"steps": 2 * config.train.steps},
    ),
    Symptom(
        "memory",
        "Memory runs out",
        f"compute fewer items at once ({option('micro_batch')}), which leaves the batches as they are; or recompute "
        f"activations ({option('checkpointing', True)})",
        "how-to/out-of-memory.md",
        "data",
        r"out of memory|not enough memory|does not suffice for|memory runs out",
        lambda result: "",
        _with_less_memory,
    ),
)
"""All symptoms, in the order in which they are listed."""


def observed(messages: Sequence[str], result: EvaluationResult) -> list[ObservedSymptom]:
    """List all symptoms, those that apply to a run first.

    Args:
        messages: The messages of its training: the notes of the run, and why it failed.
        result: Its last evaluation.
    """
    rows = [ObservedSymptom(one, tuple(_evidence(one, messages, result))) for one in SYMPTOMS]
    return sorted(rows, key=lambda row: not row.evidence)


def _evidence(symptom: Symptom, messages: Sequence[str], result: EvaluationResult) -> Iterator[str]:
    """Yield the last message that shows a symptom, and what was measured."""
    matching = [line for line in messages if symptom.message and re.search(symptom.message, line)]
    yield from matching[-1:]
    if text := symptom.measured(result):
        yield text
