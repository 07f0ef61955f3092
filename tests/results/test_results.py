"""Results: JSON that comes back as it was, and what a terminal and a notebook show."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from ancestral.base.arguments import from_json
from ancestral.base.errors import InputError
from ancestral.base.result import Result, to_plain
from ancestral.results import Estimate, EvaluationResult, LikelihoodResult, SampleMetrics, Table
from ancestral.results.run_result import ConditionInfo, TrainingResult

SAVED = Path(__file__).parents[1] / "files" / "evaluation"
"""A folder with samples.json and likelihood.json."""


def test_the_text_of_a_table_is_the_same_in_a_notebook(monkeypatch):
    """There rich displays what it prints, so the text would be empty, and has colours by FORCE_COLOR."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(Table(("count", "value"), [["1", "2"]])).split() == ["count", "value", "1", "2"]


def test_files_load():
    result = EvaluationResult.load(SAVED)
    assert result.samples.metrics["frechet"].value.value == pytest.approx(107.4716)
    assert result.samples.model.step == result.likelihood.model.step == 60
    assert result.likelihood.bits_per_dim.total.value == pytest.approx(584.5148)
    assert EvaluationResult.load(SAVED, result.samples.model.sha256) == result
    assert EvaluationResult.load(SAVED, "another") == EvaluationResult()


@pytest.mark.parametrize(("kind", "name"), [(SampleMetrics, "samples"), (LikelihoodResult, "likelihood")])
def test_a_file_keeps_all_keys(kind, name):
    text = (SAVED / f"{name}.json").read_text(encoding="utf-8")
    result = kind.from_json(text)
    assert json.loads(result.to_json()) == json.loads(text) | kind.head()  # which may lack the address
    assert kind.from_json(result.to_json()) == result


def test_a_whole_evaluation_comes_back():
    result = EvaluationResult.load(SAVED)
    assert EvaluationResult.from_json(result.to_json()) == result
    assert EvaluationResult.from_json(EvaluationResult().to_json()) == EvaluationResult()
    assert str(EvaluationResult()) == ""


def test_a_model_stays_attached_to_a_changed_result():
    model = object()
    result = dataclasses.replace(TrainingResult("run", "digits", 2, 2, 1.0, 10, trained=model), step=1)
    assert result.model is model
    assert "trained" not in result.to_json() + repr(result)
    loaded = TrainingResult.from_json(result.to_json())
    assert loaded == result
    with pytest.raises(InputError, match=r"ancestral.load\('run'\)"):
        _ = loaded.model


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tree: tree.pop("sets"), "x.json lacks sets"),
        (lambda tree: tree["metrics"].update(mine={"kind": "class_accuracy"}), "x.json: metrics: mine lacks samples"),
        (lambda tree: tree["samples"].update(count="many"), "x.json: samples: count cannot be"),
        (lambda tree: tree["samples"].update(count=True), "x.json: samples: count cannot be"),
        (lambda tree: tree["metrics"]["kernel"].update(title=3), "x.json: metrics: kernel: title cannot be 3: give"),
        (lambda tree: tree.update(notes="none"), "x.json: notes cannot be"),
        (lambda tree: tree["metrics"]["colour"].update(levels=10**400), "x.json: metrics: colour: levels cannot be"),
        (lambda tree: tree["metrics"]["colour"].update(levels=float("nan")), "metrics: colour: levels cannot be"),
        (lambda tree: tree.update(schema="samples-3"), "x.json has the schema 'samples-3', but this version reads"),
        (lambda tree: tree.update(schema="samples-1"), "the schema 'samples-1', .* 'samples-2': make it anew, or read"),
    ],
)
def test_what_is_not_of_the_schema_is_refused(change, says):
    tree = json.loads((SAVED / "samples.json").read_text(encoding="utf-8"))
    change(tree)
    with pytest.raises(InputError, match=says):
        SampleMetrics.from_json(json.dumps(tree), "x.json")


@pytest.mark.parametrize("text", ["", "nothing", "[" * 100_000, "3", "[]", '{"a": ' + "9" * 5000 + "}"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(InputError):
        SampleMetrics.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["over_time"].update(t_first=[]),
        lambda tree: tree["over_time"].update(t_last=[1], t_first=[1], rate=[]),
    ],
)
def test_numbers_that_cannot_be_shown_count_as_none(change, tmp_path):
    tree = json.loads((SAVED / "likelihood.json").read_text(encoding="utf-8"))
    change(tree)
    (tmp_path / "likelihood.json").write_text(json.dumps(tree))
    assert EvaluationResult.load(tmp_path).likelihood is None


def test_own_results_have_schema_and_tables():
    @dataclass(frozen=True)
    class Own(Result):
        SCHEMA: ClassVar[str] = "own-1"
        count: int
        value: float
        note: str | None = None

        def parts(self):
            return [Table(("count", "value"), [[str(self.count), str(self.value)]]), "a < b"]

    result = Own(3, float("inf"))
    assert json.loads(result.to_json()) == {"schema": "own-1", "count": 3, "value": None}
    assert Own.from_json('{"count": 3, "value": 2}') == Own(3, 2.0)
    assert str(result) == "count  value\n3        inf\na < b"
    assert result._repr_html_().endswith("<p>a &lt; b</p>")
    with pytest.raises(InputError, match="value cannot be None: give a number"):
        Own.from_json(result.to_json())


def test_an_estimate_without_an_error_is_one_number():
    assert str(Estimate(3.14159)) == "3.142"
    assert Estimate(0.5).percent == "50 %"
    assert str(Estimate(float("nan"), float("nan"))) == "nan"


def test_a_condition_keeps_all_that_its_kind_holds():
    @dataclass(frozen=True)
    class Tokens:
        names: tuple[str, ...]
        length: int

    info = ConditionInfo.of(Tokens(("a", "b"), 4))
    assert to_plain(info) == {"kind": "Tokens", "names": ["a", "b"], "further": {"length": 4}}
    assert from_json(ConditionInfo, to_plain(info), "info") == info
