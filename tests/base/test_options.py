"""Options inside messages: each face spells them as its users write them."""

import pickle

import pytest

from ancestral.base.errors import InputError
from ancestral.base.options import command_line, in_python, on_command_line, option, spell, spelled
from ancestral.results.data_report import Finding


@pytest.mark.parametrize(
    ("name", "values", "python", "command"),
    [
        ("batch_size", (), "batch_size", "--batch-size"),
        ("batch_size", (32,), "batch_size=32", "--batch-size 32"),
        ("mults", (1, 2), "mults=(1, 2)", "--mults 1 2"),
        ("flip", (False,), "flip=False", "--no-flip"),
        ("resume", (True,), "resume=True", "--resume"),
        ("initial", ("runs/my run",), "initial='runs/my run'", "--from 'runs/my run'"),
        ("n", (3,), "n=3", "-n 3"),
    ],
)
def test_faces_spell_an_option_as_their_users_write_it(name, values, python, command):
    text = f"see {option(name, *values)}; then go on"
    assert spell(text, in_python) == f"see {python}; then go on"
    assert spell(text, on_command_line) == f"see {command}; then go on"


def test_an_error_carries_its_options_as_data():
    error = InputError(f"{option('no_such')}\nmust be {option('lr', 0.1)}")
    assert str(error) == "no_such must be lr=0.1"
    assert spell(error.text, on_command_line) == "--no-such must be --lr 0.1"
    assert error.args == ("no_such must be lr=0.1",)
    assert pickle.loads(pickle.dumps(error)).text == error.text
    assert spell(InputError(f"a file: {error.text}").text, on_command_line) == "a file: --no-such must be --lr 0.1"


def test_events_and_results_are_spelled_whole():
    finding = Finding("pad", "note", "", f"leave {option('fit', 'pad')} out", {"x.png": option("bits")})
    assert spelled((finding, 1), in_python) == (Finding("pad", "note", "", "leave fit='pad' out", {"x.png": "bits"}), 1)
    assert spelled(finding, on_command_line).advice == "leave --fit pad out"
    other = Finding("grey", "note", "a", "b")
    assert spelled(other, in_python) is other


def test_a_command_is_the_same_in_all_faces():
    text = command_line("train", "digits", out="my runs/a", flip=False, mults=(1, 2), resume=True)
    assert text == "ancestral train digits --out 'my runs/a' --no-flip --mults 1 2 --resume"
