"""Values of a sweep as users write them."""

import numpy as np
import pytest

from ancestral.base.errors import InputError
from ancestral.config.sweep_values import axis_text, read_axes, spread, value_texts

AXES = [
    ("weight=0:210:7", {"weight": ("0:210:7",)}),
    ("sampler=ddim, heun", {"sampler": ("ddim", "heun")}),
    ("operator=blur:2;phase:1,2", {"operator": ("blur:2", "phase:1,2")}),
    ("caption=a cat, left; or right\nnone\n", {"caption": ("a cat, left; or right", "none")}),
    ({"angle": (0, 1.5), "label": "a"}, {"angle": (0, 1.5), "label": ("a",)}),
    ({"angle": "1,2", "seed": 3}, {"angle": ("1", "2"), "seed": (3,)}),
    ({"angle": np.array([1.0, 2.0]), "seed": range(2)}, {"angle": (1.0, 2.0), "seed": (0, 1)}),
]


@pytest.mark.parametrize(("written", "axes"), AXES, ids=str)
def test_values_by_name(written, axes):
    assert read_axes(written) == axes


@pytest.mark.parametrize("values", [("0", "35.5"), ("phase:1,2",), ("a,b", "c"), ("a;b", "c, d"), ("none",)])
def test_a_text_of_values_is_read_again(values):
    assert read_axes(axis_text("x", values)) == {"x": values}


@pytest.mark.parametrize(
    "written",
    [
        "",
        "=1",
        "label",
        "label=",
        "a=1,,2",
        {"a": ()},
        {"a": None},
        {"a": [True]},
        {"a": [None]},
        {"a": [float("nan")]},
    ],
)
def test_what_is_no_value(written):
    with pytest.raises(InputError, match="sweep"):
        read_axes(written)


SPREADS = [
    ("0:210:7", [0, 35, 70, 105, 140, 175, 210]),
    ("1:0:5", [1, 0.75, 0.5, 0.25, 0]),
    ("0:1:11", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    ("-1.5e1:.5:2", [-15, 0.5]),
    ("3:9:1", [3]),
    ("blur:2", None),
    ("1:2", None),
    (7, None),
]


@pytest.mark.parametrize(("text", "numbers"), SPREADS)
def test_evenly_spaced_numbers_have_both_ends(text, numbers):
    assert spread(text) == numbers


@pytest.mark.parametrize("text", ["0:1:0", "0:1:1025", "0:1:1000000000", f"1:5:{'9' * 5000}", f"0:{'9' * 400}:3"])
def test_too_few_and_too_many_and_too_large_numbers(text):
    with pytest.raises(InputError, match="give 1 to 1,024") as error:
        spread(text)
    assert len(str(error.value)) < 200


def test_zeros_before_a_count_are_read():
    assert spread(f"0:1:{'0' * 5000}2") == [0, 1]


def test_texts_tell_values_apart():
    assert value_texts([1.0, 2.5]) == ["1", "2.5"]
    assert value_texts([1.23456, 1.234561]) == ["1.23456", "1.234561"]
    assert value_texts([3, "none"]) == ["3", "none"]
