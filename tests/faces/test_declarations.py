"""One declaration of each use case: what the faces derive from it, and the words of a command line."""

import dataclasses
import importlib.util
import inspect
from pathlib import Path

import pytest
import torch

import ancestral
from ancestral.base.errors import InputError
from ancestral.base.fields import arguments_of, bases_of
from ancestral.declarations import USE_CASES, Evaluate, Train
from ancestral.faces.command import COMMANDS
from ancestral.faces.functions import read as read_arguments
from ancestral.faces.help_text import options_of
from ancestral.faces.words import read
from ancestral.use_cases.training.plan_training import plan

IN_ANY_FORM = {"given", "avoid", "data", "held_out", "source", "samples", "image", "other", "mask"}
"""Options that take data: names, arrays, tensors, Pillow images and data sets."""


def test_the_signatures_that_editors_read_are_those_of_the_declarations():
    """`python docs/hooks/stub.py` writes them."""
    spec = importlib.util.spec_from_file_location("stub", Path(__file__).parents[2] / "docs" / "hooks" / "stub.py")
    stub = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    assert stub.PATH.read_text(encoding="utf-8") == stub.stub()
    assert stub.PACKAGE.read_text(encoding="utf-8") == stub.package_stub()


@pytest.mark.parametrize("case", USE_CASES, ids=lambda case: case.command)
def test_a_use_case_is_a_command_a_function_a_plan_and_a_run(case):
    assert case.function in ancestral.__all__
    function = getattr(ancestral, case.function)
    names = [*inspect.signature(function).parameters]
    assert {one.name for one in arguments_of(case.declaration)} <= {*names}
    assert all(f"    {one.name}: " in function.__doc__ for one in arguments_of(case.declaration))
    module = importlib.import_module(case.module)
    assert callable(module.plan)
    assert callable(module.run)


def test_each_option_is_described_once_and_no_type_is_left_open():
    homes = {}
    for case in USE_CASES:
        for base in bases_of(case.declaration):
            for name, hint in inspect.get_annotations(base).items():
                if name in {one.name for one in dataclasses.fields(case.declaration)} - {"settings"}:
                    homes.setdefault(name, set()).add(base.__name__)
                    assert "Any" not in str(hint) or name in IN_ANY_FORM, (case.command, name)
        for one in arguments_of(case.declaration):
            assert one.text, (case.command, one.name)
    assert homes["out"] == {"WithOut"}
    assert homes["device"] == {"WithDevice"}


def words(command, *given):
    return read(given, options_of(COMMANDS[command]), command)


@pytest.mark.parametrize(
    ("command", "given", "values"),
    [
        ("train", ("digits", "--steps", "3", "--no-flip"), {"config": "digits", "steps": 3, "flip": False}),
        ("train", ("--lr=1e-3", "--attention", "--mults", "1", "2"), {"lr": 1e-3, "attention": (), "mults": (1, 2)}),
        ("train", ("--compile", "digits"), {"config": "digits", "compile": True}),
        ("train", ("--compile", "max-autotune", "digits"), {"config": "digits", "compile": "max-autotune"}),
        ("train", ("--compile=reduce-overhead",), {"compile": "reduce-overhead"}),
        ("train", ("--no-compile", "digits"), {"config": "digits", "compile": False}),
        ("train", ("--validation", "0.1"), {"validation": 0.1}),
        ("train", ("--validation", "held/"), {"validation": "held/"}),
        ("sample", ("RUN", "-n5", "--eta", "-1e-3"), {"model": "RUN", "n": 5, "eta": -1e-3}),
        ("sample", ("--gif", "RUN", "--film", "a.png"), {"model": "RUN", "gif": True, "film": "a.png"}),
        ("sample", ("--label", "3", "4", "hf://me/x"), {"model": "hf://me/x", "label": ("3", "4")}),
        ("sample", ("--index", "3", "--", "-RUN"), {"model": "-RUN", "index": (3,)}),
        ("evaluate", ("--samples", "RUN", "--likelihood"), {"model": "RUN", "samples": True, "likelihood": True}),
        ("evaluate", ("RUN", "--draw", "9", "--no-clip"), {"model": "RUN", "samples": 9, "clip": False}),
        ("compare", ("A", "--most", "3", "B"), {"runs": ("A", "B"), "most": 3}),
        ("doctor", ("digits", "--json", "--steps", "0"), {"source": "digits", "json": "-", "steps": 0}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_words_of_a_command_line(command, given, values):
    options = words(command, *given)
    assert {name: str(value) if name in ("film", "json") else value for name, value in options.items()} == values


@pytest.mark.parametrize(
    ("command", "given", "option"),
    [
        ("train", ("--steps", "3.7"), "--steps"),
        ("train", ("--steps",), "--steps"),
        ("train", ("--flip=yes",), "--flip"),
        ("train", ("--steps", "3", "--lr", "1", "--steps", "4"), "--steps is given twice"),
        ("train", ("--flip", "--no-flip"), "--flip is given twice"),
        ("train", ("--compile=fast",), "--compile cannot be 'fast': give reduce-overhead, max-autotune"),
        ("train", ("--no-compile=fast",), "--no-compile takes no value"),
        ("sample", ("m", "--then", "a", "--then", "b"), "give all values after one, as in --then A B"),
        ("train", ("--weighting", "snrr"), "--weighting"),
        ("train", ("--stesp", "3"), "--steps?"),
        ("train", ("--gpu",), "--device cuda?"),
        ("train", ("--out", ""), "--out"),
        ("train", ("--decay", "custom"), "--decay cannot be 'custom': give none, cosine"),
        ("info", ("",), "RUN is empty"),
        ("sample", (), "RUN is missing"),
        ("sample", ("a", "b"), "'b' is one word too many"),
        ("push", ("a",), "hf://user/repo is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_words_name_the_option(command, given, option):
    with pytest.raises(InputError) as caught:
        words(command, *given)
    assert option in caught.value.text
    assert "\n" not in caught.value.text


def test_arguments_of_python_are_those_of_the_declaration():
    options = read_arguments(Evaluate, ("run",), {"metrics": "colour", "steps": torch.tensor(3), "samples": 7})
    assert (options.model, options.metrics, options.steps, options.samples) == ("run", ("colour",), 3, 7)
    for keywords, option in (({"stepz": 3}, "steps"), ({"steps": 3.5}, "steps"), ({"model": "b"}, "model")):
        with pytest.raises(InputError, match=option):
            read_arguments(Evaluate, ("run",), keywords)
    with pytest.raises(InputError, match="model is missing"):
        read_arguments(Evaluate, (), {})
    with pytest.raises(InputError, match="out is empty"):
        read_arguments(Train, (), {"out": ""})
    assert "resume" in inspect.signature(ancestral.train_steps).parameters


# -- the plan of a training run ---------------------------------------------------------------------------------------


def settings(**options):
    config = plan(Train(**options)).config
    return config.train.steps, config.train.lr, config.train.seed


def test_settings_have_the_value_of_the_first_that_gives_them(tmp_path):
    """Options, then the run that is resumed, the file, the preset, the default."""
    out = tmp_path / "run"
    file = tmp_path / "settings.json"
    file.write_text('{"steps": 30, "lr": 0.5}')
    assert settings(config="points", out=out) == (1500, 2e-3, 0)
    assert settings(config="points", file=file, out=out) == (30, 0.5, 0)
    assert settings(config="points", file=file, out=out, settings={"lr": 0.25, "seed": 4}) == (30, 0.25, 4)
    ancestral.train("points", out=out, steps=4, lr=0.125, seed=2, batch_size=4, progress=False, trackers="none")
    assert settings(config="points", out=out, resume=True) == (4, 0.125, 2)
    assert settings(out=out, resume=True, settings={"steps": 6}) == (6, 0.125, 2)
    assert settings(file=file, out=out, resume=True) == (30, 0.5, 2)
