"""The symptoms of a run for the page: those that apply to it first, each with the settings of a new run against it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ancestral.base.options import spell
from ancestral.config import Config
from ancestral.config.data_config import FROM_PYTHON
from ancestral.config.run_files import CONFIG, EVALUATION
from ancestral.results import EvaluationResult
from ancestral.results.symptoms import Symptom, observed
from ancestral_studio.places import short_path


def symptoms_of(run: Path, config: Config | None, messages: Sequence[str]) -> list[dict[str, Any]]:
    """Describe all symptoms.

    Args:
        run: The run folder.
        config: Its config; None of a model without one.
        messages: The notes of the run, and why its training failed.
    """
    return [
        {
            "name": row.symptom.name,
            "title": row.symptom.title,
            "evidence": [spell(text, _in_words) for text in row.evidence],
            "advice": spell(row.symptom.advice, _in_words),
            "page": row.symptom.page,
            "tab": row.symptom.tab,
            "again": None if config is None else train_again(run, config, row.symptom),
        }
        for row in observed(messages, EvaluationResult.load(run / EVALUATION))
    ]


def train_again(run: Path, config: Config, symptom: Symptom) -> dict[str, Any] | None:
    """Return the options of `train` that begin a run like one but for the settings against a symptom, with their words.

    None where no options begin it: its data or its network came from Python, or it was distilled.
    """
    settings = symptom.settings(config)
    if not settings or config.distil.method or config.data.source == FROM_PYTHON or config.net.kind == "custom":
        return None
    words = [_in_words(name, [_short(value)]) for name, value in settings.items()]
    initial = {"initial": config.initial.model} if config.initial.model else {}
    return {"text": ", ".join(words), "values": {"config": short_path(run / CONFIG), **initial, **settings}}


def _in_words(name: str, values: list[str]) -> str:
    """Spell an option as a form names it: Learning rate 0.0005, Precision fp32."""
    title = next((one.heading for one in Config.settings() if one.name == name), name.replace("_", " ").capitalize())
    return " ".join([title, *({"True": "yes", "False": "no"}.get(value, value) for value in values)])


def _short(value: Any) -> str:
    """The value of a setting in words."""
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
