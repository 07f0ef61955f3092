"""Options that visitors send: the words and errors of the command line, files in named folders alone, and no code."""

import typing
from pathlib import Path

import numpy as np
import pytest

from ancestral.base.errors import InputError, text_of
from ancestral.base.options import on_command_line, spell
from ancestral.faces.command import COMMANDS
from ancestral.faces.help_text import options_of
from ancestral.faces.words import read
from ancestral_studio.posted_options import STUDIO_COMMANDS, ReadableFiles, offered, read_posted
from studio_client import studio


@pytest.fixture(scope="module")
def run_id(shared_studio):
    places = shared_studio[0].state.places
    return places.id_of(places.folders[0])


@pytest.fixture(scope="module")
def readable(shared_studio):
    state = shared_studio[0].state
    return ReadableFiles(state.places, state.uploads, state.history)


def refusal(readable, command, **options):
    with pytest.raises(InputError) as caught:
        read_posted(readable, command, options)
    return getattr(caught.value, "option", None), spell(text_of(caught.value), on_command_line)


@pytest.mark.parametrize(
    ("command", "name", "value", "words"),
    [
        ("sample", "n", "x", ["-n", "x"]),
        ("sample", "n", 2.5, ["-n", "2.5"]),
        ("sample", "index", ["1", "a"], ["--index", "1", "a"]),
        ("edit", "task", "paint", ["RUN", "paint"]),
        ("train", "flip", "yes", ["--flip=yes"]),
        ("train", "compile", "fast", ["--compile=fast"]),
        ("train", "weighting", "snrr", ["--weighting", "snrr"]),
        ("train", "lr", "", ["--lr", ""]),
        ("train", "stesp", 3, ["--stesp", "3"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_value_gives_the_line_of_the_command_line(readable, run_id, command, name, value, words):
    given = {"model": run_id} if command in ("sample", "edit") else {}
    with pytest.raises(InputError) as caught:
        read(words, options_of(COMMANDS[command]), command)
    assert refusal(readable, command, **given, **{name: value}) == (name, spell(text_of(caught.value), on_command_line))


def test_a_preset_is_no_file_of_settings(readable):
    """Both are --config on the command line, where the preset has no name."""
    posted = read_posted(readable, "train", {"config": "digits", "data": "moons", "steps": 5})
    options = options_of(COMMANDS["train"])
    assert read(posted.words, options, "train") == {"config": "digits", "data": "moons", "steps": 5}
    assert read(read_posted(readable, "train", {"data": "moons"}).words, options, "train") == {"data": "moons"}


def test_a_form_has_the_defaults_of_its_preset_or_data(shared_studio):
    def steps(query):
        options = shared_studio[1].get(f"/api/forms/train?{query}").json["options"]
        return next(one["default"] for one in options if one["name"] == "steps")

    assert steps("") == steps("preset=digits") == steps("data=digits") != steps("preset=points") == steps("data=moons")
    for query in ("preset=/etc/passwd.json", "data=/etc", "preset=../x.json"):
        assert shared_studio[1].get(f"/api/forms/train?{query}").status == 403


def test_a_number_out_of_its_range_is_refused_by_its_name(shared_studio, run_id):
    answer = shared_studio[1].post("/api/jobs", {"command": "sample", "options": {"model": run_id, "fps": 99}})
    assert (answer.status, answer.json["option"]) == (400, "fps")
    assert answer.line == "--fps must be from 1 to 50, not 99"
    for name in ("n", "threads"):
        answer = shared_studio[1].post("/api/jobs", {"command": "sample", "options": {"model": run_id, name: 10**9}})
        assert (answer.status, answer.json["option"]) == (400, name)


def test_what_is_required_is_asked_for(readable, run_id):
    assert refusal(readable, "sample") == ("model", "RUN is missing; see ancestral sample --help")
    assert refusal(readable, "edit", model=run_id)[0] == "task"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("sample", {"model": "RUN", "n": 5, "label": ["0", "-1"], "captions": False, "guidance": "2", "gif": True}),
        ("sample", {"model": "RUN", "given": ["a=1", "b=2"], "index": [3, "4"], "guidance_interval": [0.5, "2"]}),
        ("edit", {"model": "RUN", "task": "inpaint", "image": "RUN/a.npy", "box": "0,0,4,4", "seed": -1}),
        ("train", {"data": "digits", "compile": True}),
        ("train", {"data": "digits", "compile": False}),
        ("train", {"data": "digits", "compile": "reduce-overhead"}),
        ("train", {"data": "digits", "steps": 3, "flip": False, "mults": [1, 2], "attention": [], "lr": 1e-3}),
        ("evaluate", {"model": "RUN", "samples": True, "metrics": ["colour"], "likelihood": True}),
        ("evaluate", {"model": "RUN", "samples": 100}),
        ("compare", {"runs": ["RUN", "RUN"], "most": 3}),
        ("doctor", {"source": "moons", "steps": 0}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_sent_is_what_the_command_line_reads(readable, run_id, shared_studio, command, options):
    """A process that gets the words has the values that were checked here."""
    folder = shared_studio[0].state.places.folders[0]
    np.save(folder / "a.npy", np.zeros((1, 8, 8)))

    def filled(value):
        if isinstance(value, list):
            return [filled(part) for part in value]
        return f"{folder}/a.npy" if value == "RUN/a.npy" else run_id if value == "RUN" else value

    posted = read_posted(readable, command, {name: filled(value) for name, value in options.items()})
    assert {*posted.values} == {*options}
    assert read(posted.words, options_of(COMMANDS[command]), command) == posted.values


OUTSIDE = {
    "run": {"model": "/etc"},
    "relative": {"model": "../../etc"},
    "nul": {"model": "a\0b"},
    "hub": {"model": "hf://user/repo"},
    "upper": {"model": "HF://user/repo"},
    "cascade": {"then": ["/etc"]},
    "weak": {"weak": "/etc"},
    "like": {"like": "/etc/passwd"},
    "condition": {"given": ["low=/etc/passwd"]},
    "equals": {"given": ["low=../x=y"]},
    "home": {"given": ["low=~/a.png"]},
    "upload": {"like": "upload:../../etc/passwd"},
    "history": {"like": "history:../../etc/passwd"},
    "entry": {"like": "history:0123456789abcdef/../../x"},
    "out": {"out": "/tmp/x"},
}


@pytest.mark.parametrize("options", OUTSIDE.values(), ids=[*OUTSIDE])
def test_files_outside_the_folders_are_not_read(readable, run_id, options):
    name, line = refusal(readable, "sample", **{"model": run_id, **options})
    assert name == next(iter(options))
    assert (
        "cannot be" in line
        or "outside the folders" in line
        or "NUL" in line
        or "there is no such" in line
        or "not there" in line
    )


WORDS = {
    "variables",
    "items",
    "periodic",
    "crop",
    "seamless",
    "size",
    *(
        "device",
        "sampler",
        "samplers",
        "schedule",
        "image_size",
        "layout",
        "coupling",
        "background",
        "variance",
        "label",
        "guidance",
        "avoid",
        "layout",
        "box",
    ),
    *("window", "extend", "method", "sweep", "by"),
}
"""Options whose text names neither files nor code."""
CODE = {
    "network": ("train", {"net": "os:system"}),
    "objective": ("train", {"objective": "os:system"}),
    "rate": ("train", {"lr_schedule": "os:system"}),
    "condition": ("train", {"given": ["os:system"]}),
    "named": ("train", {"given": ["a=package.module:function"]}),
    "tracker": ("train", {"trackers": ["wandb"]}),
    "operator": ("edit", {"operator": "os:system"}),
    "joined": ("edit", {"operator": "upscale:2+os:system"}),
    "trust": ("evaluate", {"trust": ["os:system"]}),
    "extractor": ("evaluate", {"extractor": "os:system"}),
    "net": ("sample", {"net": "os:system"}),
    "hub": ("train", {"data": "hf://datasets/a/b"}),
    "bucket": ("doctor", {"source": "s3://bucket/photos"}),
    "bucket of a condition": ("train", {"given": ["low=s3://bucket/low"]}),
    "json": ("doctor", {"json": "/tmp/a.json"}),
}


@pytest.mark.parametrize(("command", "options"), CODE.values(), ids=[*CODE])
def test_no_option_runs_code_or_leaves_the_machine(readable, run_id, command, options):
    assert refusal(readable, command, **options)[0] == next(iter(options))


def test_commands_that_leave_the_machine_or_remove_are_not_started(shared_studio):
    for command in ("push", "studio", "runs", "import", "nothing", ""):
        answer = shared_studio[1].post("/api/jobs", {"command": command, "options": {}})
        assert answer.status == 400
        assert "the studio has no command" in answer.line


def test_an_option_whose_text_names_nothing_is_not_offered():
    """A new option is refused until somebody decided whether it may name files or code."""
    for case in STUDIO_COMMANDS.values():
        names = {one.name for one in options_of(case, case.declaration.shown_config({}))}
        assert names - {one.name for one in offered(case)} <= {"net", "objective", "lr_schedule", "trust", "json"}
        for one in offered(case):
            paths = Path in (one.hint, *typing.get_args(one.hint))
            assert not paths or one.names in ("file", "run") or one.switch, one.name
            assert one.names != "words" or one.name in WORDS, one.name


def test_text_that_is_no_number_is_no_step(readable, run_id):
    """Python takes these for numbers, and the command line for the name of a run."""
    for text in ("nan", "infinity", "1e5", "1_0.5"):
        assert refusal(readable, "sample", model=run_id, weak=text)[0] == "weak"
        assert refusal(readable, "train", data="digits", latent=text)[0] == "latent"


def test_files_are_named_by_ids_and_by_paths_in_the_folders(tiny_run, tmp_path):
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a.npy", np.zeros((1, 8, 8), "uint8"))
    with studio(tiny_run.path, tmp_path / "data", out=tmp_path / "out") as (server, client):
        facts = client.ask("PUT", "/api/uploads?name=b.npy", (tmp_path / "data" / "a.npy").read_bytes()).json
        readable = ReadableFiles(server.state.places, server.state.uploads, server.state.history)
        run = server.state.places.id_of(tiny_run.path)
        for given in (f"low=upload:{facts['id']}", f"low={tmp_path}/data/a.npy", f"low={tmp_path}/data/../data/a.npy"):
            values = read_posted(readable, "sample", {"model": run, "given": [given], "weak": "3"}).values
            assert values["model"] == str(tiny_run.path.resolve())
            assert values["weak"] == 3
            name, _, path = values["given"][0].partition("=")
            assert name == "low"
            assert np.load(path).shape == (1, 8, 8)
